//! xl2tpd as the gateway and as the client, with a small PPP peer in the place of pppd.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::namespace::{GATEWAY, Namespaces};
use super::{Daemon, Folder, has, skip, tail, text, until};

/// A running xl2tpd.
pub struct Xl2tpd {
    daemon: Daemon,
    folder: Folder,
}

impl Xl2tpd {
    /// Starts it as the gateway; `ppp` are lines for the PPP peer.
    pub fn gateway(namespaces: &Namespaces, extra: &str, ppp: &str) -> Option<Self> {
        let conf = format!(
            "[global]\nport = 1701\naccess control = no\nauth file = @/secrets\n\
             [lns default]\nip range = 10.50.0.10-10.50.0.20\nlocal ip = 10.50.0.1\n\
             name = lns\nrequire authentication = no\nlength bit = yes\npppoptfile = @/options\n\
             {extra}\n"
        );
        let ppp = format!("lab-role server\n{ppp}");
        Self::start(namespaces.gateway("sh"), &conf, &ppp)
    }

    /// Starts it as a client of the gateway, which calls at once.
    pub fn client(namespaces: &Namespaces) -> Option<Self> {
        let conf = format!(
            "[global]\nport = 1701\naccess control = no\nauth file = @/secrets\n\
             [lac vpn]\nlns = {GATEWAY}\nname = lac\nrequire authentication = no\n\
             length bit = yes\nredial = no\nautodial = yes\npppoptfile = @/options\n"
        );
        Self::start(namespaces.client("sh"), &conf, "lab-role client")
    }

    fn start(mut command: Command, conf: &str, ppp: &str) -> Option<Self> {
        for program in ["xl2tpd", "pppd", "python3"] {
            if !has(program) {
                skip(&format!("no {program}"));
                return None;
            }
        }
        let folder = Folder::new();
        let path = folder.0.display().to_string();
        folder.write("conf", &conf.replace('@', &path));
        folder.write("secrets", "* * lab\n");
        folder.write("options", &format!("{ppp}\nlab-log {path}/ppp.log\n"));
        let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/ppp_peer.py");
        // The mount is seen in this namespace alone.
        let script = format!(
            "mount --bind {} /usr/sbin/pppd && exec xl2tpd -D -c {path}/conf -C {path}/control \
             -p {path}/pid -s {path}/secrets",
            peer.display()
        );
        command.args(["-c", &script]);
        let mut one = Self {
            daemon: Daemon::start(&mut command, &folder.0.join("out")),
            folder,
        };
        let control = one.folder.0.join("control");
        if !until(Duration::from_secs(10), || control.exists()) || !one.daemon.is_running() {
            let log = tail(&one.folder.0.join("out"));
            skip(&format!("xl2tpd does not start: {log}"));
            return None;
        }
        Some(one)
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        text(&self.folder.0.join("out"))
    }

    /// What the PPP peer wrote.
    pub fn ppp_log(&self) -> String {
        text(&self.folder.0.join("ppp.log"))
    }
}
