//! When findings come, how a capture ends, what it tells on the way.

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::repository;
use crate::wire::{
    PROGRAM, capture, inside, ipv4, lines, said, send, send_some, send_unanswered, sender, signal,
    start, stop,
};

#[test]
fn a_finding_comes_when_silence_has_lasted_not_with_the_next_packet() {
    if !inside("control::a_finding_comes_when_silence_has_lasted_not_with_the_next_packet") {
        return;
    }
    let mut child = start(&["--format", "ndjson", "--duration", "20"]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    // Its request twice, and nothing more.
    send_unanswered();
    let sent = Instant::now();
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let session: Value = serde_json::from_str(&line).unwrap();
    assert!(
        sent.elapsed() < Duration::from_secs(8),
        "{:?}",
        sent.elapsed()
    );
    assert_eq!(
        (&session["type"], &session["final"]),
        (&"session".into(), &false.into())
    );
    assert_eq!(session["revision"], 1);
    signal(&child, "INT");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut out, &mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let rest: Vec<Value> = rest
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = rest.iter().rfind(|line| line["type"] == "session").unwrap();
    assert_eq!(last["final"], true);
    assert!(last["revision"].as_u64() > Some(1));
    assert_eq!(last["id"], session["id"]);
    assert_eq!(rest.last().unwrap()["type"], "summary");
}

/// Frames that are not ours, now and then, never enough of them for the clock to be looked at
/// for their number, never a pause long enough to wait for.
fn trickle(time: Duration) {
    let mut out = sender("vb");
    let begun = Instant::now();
    while begun.elapsed() < time {
        out.sendpacket(ipv4(1, 17, 60)).unwrap();
        std::thread::sleep(Duration::from_millis(70));
    }
}

#[test]
fn timers_run_while_other_traffic_trickles() {
    if !inside("control::timers_run_while_other_traffic_trickles") {
        return;
    }
    let begun = Instant::now();
    let child = start(&[
        "--format",
        "ndjson",
        "--duration",
        "4",
        "--stats-interval",
        "1",
    ]);
    send_unanswered();
    trickle(Duration::from_millis(4500));
    let output = child.wait_with_output().unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    assert!(output.status.success());
    let lines = lines(&output);
    let early = lines
        .iter()
        .filter(|l| l["type"] == "session" && l["final"] == false);
    assert!(early.count() >= 1, "{lines:?}");
    let told = said(&output);
    let told: Vec<&str> = told.lines().collect();
    assert!((2..=5).contains(&told.len()), "{told:?}");
    for line in told {
        for word in [
            "received ",
            "dropped by kernel 0",
            "dropped by interface 0",
            "ours ",
            "sessions open ",
            "closed ",
            "evicted 0",
            "memory ",
        ] {
            assert!(line.contains(word), "{word}: {line}");
        }
    }
}

#[test]
fn it_ends_as_asked() {
    if !inside("control::it_ends_as_asked") {
        return;
    }
    let path = repository("pcaps/ikev2-psk-mismatch/client.pcap");
    let child = start(&["--format", "ndjson", "--packets", "3", "--all-traffic"]);
    send(&path);
    let output = child.wait_with_output().unwrap();
    let list = lines(&output);
    let report = list.iter().find(|line| line["type"] == "capture").unwrap();
    assert_eq!(
        (output.status.code(), &report["frames"]),
        (Some(0), &3.into())
    );

    // What is still in the kernel's ring when the signal comes belongs to it.
    for name in ["INT", "TERM"] {
        let child = start(&[
            "--format",
            "ndjson",
            "--all-traffic",
            "--exit-status",
            "findings",
        ]);
        let count = send_some(&path, usize::MAX, 1000);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let list = lines(&output);
        let report = list.iter().find(|line| line["type"] == "capture").unwrap();
        assert_eq!(report["frames"], count, "{name}");
        assert_eq!(output.status.code(), Some(1), "{name}");
        let finals = list.iter().filter(|line| line["final"] == true);
        assert_eq!(finals.count(), 1, "{name}");
    }

    let child = start(&["--summary"]);
    send(&path);
    signal(&child, "USR1");
    std::thread::sleep(Duration::from_secs(2));
    let output = stop(child);
    assert!(
        said(&output).contains("sessions open 1, closed 0"),
        "{}",
        said(&output)
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("va: capture filter: the default, which passes UDP"),
        "{text}"
    );
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    assert!(text.contains("1 session(s)"), "{text}");
}

#[test]
fn several_interfaces_make_one_capture() {
    if !inside("control::several_interfaces_make_one_capture") {
        return;
    }
    crate::wire::veth("vc", "vd", 1500);
    let both = ["-i", "va", "-i", "vc"];
    let words = [&both[..], &["--format", "ndjson", "--all-traffic"]].concat();
    let child = capture(&words);
    let count = send(&repository("pcaps/ikev2-psk-mismatch/client.pcap"));
    sender("vd").sendpacket(ipv4(1, 17, 60)).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let list = lines(&stop(child));
    let report = list.iter().find(|line| line["type"] == "capture").unwrap();
    assert_eq!(report["file"], "va, vc");
    assert_eq!(report["frames"], count + 1);
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    if !inside("control::what_cannot_be_done_is_said_in_one_line") {
        return;
    }
    for bad in [
        &["-i", "nosuch0"][..],
        &["-i", "va", "--filter", "udp and and"],
        &["-i", "va", "-w", "/no/such/folder/out.pcapng"],
        &[
            "-i",
            "va",
            "-w",
            "/no/such/folder/out.pcapng",
            "--ring-size",
            "1M",
        ],
        &["-i", "va", "-o", "/no/such/folder/report.json"],
        &["-i", "va", "--user", "no-such-user"],
        &["-i", "va", "--since", "2026-01-01"],
        &["-i", "va", "--until", "2026-01-01"],
        &["-i", "va", "--buffer", "2G"],
        &[
            "-i",
            "va",
            "--user",
            "nobody",
            "-w",
            "/nobody-may-write-here.pcapng",
        ],
    ] {
        let output = Command::new(PROGRAM)
            .arg("capture")
            .args(bad)
            .output()
            .unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{bad:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{bad:?}: {said}");
        assert!(said.starts_with("vpnscope: "), "{said}");
        assert_eq!(output.stdout, b"", "{bad:?}");
    }
    crate::wire::run("ip link set va down");
    let output = Command::new(PROGRAM)
        .args(["capture", "-i", "va"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        said(&output),
        "vpnscope: va: it is down; `ip link set va up` brings it up\n"
    );
}
