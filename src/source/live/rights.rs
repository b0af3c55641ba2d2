//! The right to capture: whether it is there, how to grant it, how to hold no more than it.
//!
//! On Linux that is the capability `CAP_NET_RAW`. See `docs/capture-rights.md`.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Whether this program may capture now.
pub(super) fn can_capture() -> bool {
    rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_RAW))
}

/// The command that grants the right to capture.
pub(super) fn how_to_grant() -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("vpnscope"));
    format!(
        "CAP_NET_RAW is missing; grant it with `sudo setcap cap_net_raw+ep {}`, or run as root",
        program.display()
    )
}

/// Gives up root for a user, by name or number. With `keep_capture`, the right to capture stays
/// permitted, but not effective, so that an interface that vanished can be opened again.
///
/// To be called before any thread is started: a thread keeps the rights it began with.
pub fn become_user(user: &str, keep_capture: bool) -> Result<(), String> {
    let (uid, gid) = look_up(user)?;
    let failed = |what: &str, error: rustix::io::Errno| format!("cannot {what}: {error}");
    let root = Uid::ROOT == rustix::process::geteuid();
    if root || uid != rustix::process::getuid() {
        rustix::thread::set_keep_capabilities(keep_capture)
            .map_err(|error| failed("keep capabilities", error))?;
        rustix::thread::set_thread_groups(&[gid])
            .map_err(|error| failed("leave the groups of root", error))?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)
            .map_err(|error| failed(&format!("become group {}", gid.as_raw()), error))?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)
            .map_err(|error| failed(&format!("become user {user}"), error))?;
    }
    let permitted = if keep_capture {
        permitted() & CapabilitySet::NET_RAW
    } else {
        CapabilitySet::empty()
    };
    set(CapabilitySet::empty(), permitted).map_err(|error| failed("give up capabilities", error))
}

/// Runs `open` with the right to capture effective, where it is permitted but was put aside.
pub(super) fn with_capture<T>(open: impl FnOnce() -> T) -> T {
    if can_capture() || !permitted().contains(CapabilitySet::NET_RAW) {
        return open();
    }
    let permitted = permitted();
    // Where that fails, opening fails too, and says so.
    let raised = set(CapabilitySet::NET_RAW, permitted).is_ok();
    let opened = open();
    if raised {
        set(CapabilitySet::empty(), permitted).ok();
    }
    opened
}

fn permitted() -> CapabilitySet {
    rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.permitted)
}

fn set(effective: CapabilitySet, permitted: CapabilitySet) -> rustix::io::Result<()> {
    let sets = CapabilitySets {
        effective,
        permitted,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets)
}

/// User and group number of a user in `/etc/passwd`; a number is taken as both.
fn look_up(user: &str) -> Result<(Uid, Gid), String> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    in_passwd(&passwd, user).ok_or_else(|| format!("no user `{user}` in /etc/passwd"))
}

fn in_passwd(passwd: &str, user: &str) -> Option<(Uid, Gid)> {
    for line in passwd.lines() {
        let mut fields = line.split(':');
        let (name, _, uid, gid) = (fields.next()?, fields.next(), fields.next(), fields.next());
        if name == user || uid == Some(user) {
            return Some((
                Uid::from_raw(uid?.parse().ok()?),
                Gid::from_raw(gid?.parse().ok()?),
            ));
        }
    }
    let number = user.parse().ok()?;
    Some((Uid::from_raw(number), Gid::from_raw(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n";
        let found = |user| in_passwd(passwd, user).map(|(u, g)| (u.as_raw(), g.as_raw()));
        assert_eq!(found("nobody"), Some((65_534, 65_533)));
        assert_eq!(found("65534"), Some((65_534, 65_533)));
        assert_eq!(found("4242"), Some((4242, 4242)));
        assert_eq!(found("nobod"), None);
    }

    #[test]
    fn the_way_to_the_right_names_this_program() {
        let way = how_to_grant();
        assert!(way.contains("setcap cap_net_raw+ep /"), "{way}");
    }
}
