//! With which rights it runs, and what it says where they are missing.

use std::process::{Command, Output};
use std::time::Duration;

use crate::common::repository;
use crate::wire::{PROGRAM, folder, inside, run, said, send, start, stop, veth};

/// Runs the program as nobody; `more` stands for capabilities that are left.
fn as_nobody(more: &[&str], words: &[&str]) -> Output {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder("rights");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&folder, open).unwrap();
    let program = folder.join("vpnscope");
    std::fs::copy(PROGRAM, &program).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(more)
        .arg(&program)
        .args(words)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    output
}

#[test]
fn without_the_right_it_says_which_is_missing_and_how_to_grant_it() {
    if !inside("rights::without_the_right_it_says_which_is_missing_and_how_to_grant_it") {
        return;
    }
    let output = as_nobody(&[], &["capture", "-i", "va"]);
    let line = said(&output);
    assert_eq!(output.status.code(), Some(2), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    for word in [
        "va: ",
        "CAP_NET_RAW is missing",
        "sudo setcap cap_net_raw+ep /",
    ] {
        assert!(line.contains(word), "{word}: {line}");
    }
    let output = as_nobody(&[], &["interfaces"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text.contains("No right to capture: CAP_NET_RAW is missing"),
        "{text}"
    );
    assert!(text.contains("setcap cap_net_raw+ep /"), "{text}");
    let json = Command::new(PROGRAM)
        .args(["interfaces", "--format", "json"])
        .output()
        .unwrap();
    let list: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(list["missing_right"], serde_json::Value::Null);
    let names: Vec<&str> = list["interfaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"va") && names.contains(&"lo"), "{names:?}");
}

#[test]
fn the_one_capability_is_enough() {
    if !inside("rights::the_one_capability_is_enough") {
        return;
    }
    let only = ["--inh-caps=+net_raw", "--ambient-caps=+net_raw"];
    let output = as_nobody(&only, &["capture", "-i", "va", "--duration", "0.5"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

/// Effective and permitted capabilities, and the user, of a process.
fn holds(process: u32) -> (u64, u64, String) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().to_string()
    };
    let number = |name| u64::from_str_radix(&of(name), 16).unwrap();
    (number("CapEff:"), number("CapPrm:"), of("Uid:"))
}

#[test]
fn another_user_keeps_the_right_put_aside_and_opens_a_lost_interface_again() {
    const NET_RAW: u64 = 1 << 13;
    if !inside("rights::another_user_keeps_the_right_put_aside_and_opens_a_lost_interface_again") {
        return;
    }
    for (threads, drop_all) in [("1", false), ("2", false), ("1", true)] {
        let mut words = vec!["--user", "nobody", "--all-traffic", "--threads", threads];
        words.extend(drop_all.then_some("--drop-all"));
        words.extend(["--format", "ndjson"]);
        let child = start(&words);
        std::thread::sleep(Duration::from_millis(300));
        let (effective, permitted, user) = holds(child.id());
        assert_eq!(effective, 0);
        assert_eq!(permitted, if drop_all { 0 } else { NET_RAW });
        assert!(user.starts_with("65534"), "{user}");
        run("ip link del va");
        std::thread::sleep(Duration::from_millis(500));
        veth("va", "vb", 65_535);
        std::thread::sleep(Duration::from_millis(2500));
        let count = send(&repository("pcaps/ikev2-psk-mismatch/client.pcap"));
        std::thread::sleep(Duration::from_millis(300));
        let output = stop(child);
        let told = said(&output);
        assert_eq!(told.matches("va: lost: ").count(), 1, "{told}");
        assert_eq!(told.contains("va: back again"), !drop_all, "{told}");
        let list = crate::wire::lines(&output);
        let report = list.iter().find(|line| line["type"] == "capture").unwrap();
        assert_eq!(report["frames"], if drop_all { 0 } else { count }, "{told}");
        let problems = report["problems"].to_string();
        assert!(problems.contains("va: lost: "), "{problems}");
    }
}
