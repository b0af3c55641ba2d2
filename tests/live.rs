//! `capture` in network namespaces of its own: lab captures sent through a veth pair.
//!
//! Needs root, `unshare` and `ip`; without them it says `skipped` and why, and fails if
//! `VPNSCOPE_REQUIRE` is 1. `VPNSCOPE_LIVE=all` sends every capture instead of a sample.

#![cfg(all(feature = "live", target_os = "linux"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use pcap::Capture;
use serde_json::Value;
use vpnscope::source::{FrameSource, LinkType, file};

const PROGRAM: &str = env!("CARGO_BIN_EXE_vpnscope");
const INSIDE: &str = "VPNSCOPE_INSIDE_NAMESPACE";

/// Whether the test runs inside a namespace of its own. If not, it has been run in one, or said
/// why it was skipped.
fn inside(test: &str) -> bool {
    if std::env::var(INSIDE).is_ok() {
        run("ip link set lo up");
        run("ip link add va mtu 65000 type veth peer name vb mtu 65000");
        for interface in ["va", "vb"] {
            let off = format!("sysctl -qw net.ipv6.conf.{interface}.disable_ipv6=1");
            run(&off);
            run(&format!("ip link set {interface} up"));
        }
        return true;
    }
    let trial = Command::new("unshare").args(["--net", "true"]).output();
    if !trial.is_ok_and(|output| output.status.success()) {
        println!("skipped: {test}: no right to make network namespaces");
        let required = std::env::var("VPNSCOPE_REQUIRE").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "VPNSCOPE_REQUIRE is 1, but network namespaces cannot be made"
        );
        return false;
    }
    let output = Command::new("unshare")
        .arg("--net")
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
    false
}

fn run(command: &str) {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap())
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
}

fn start(more: &[&str]) -> Child {
    let child = Command::new(PROGRAM)
        .args(["capture", "-i", "va", "--buffer", "8M"])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It listens once the kernel lists a packet socket.
    let begun = Instant::now();
    while std::fs::read_to_string("/proc/net/packet")
        .unwrap()
        .lines()
        .count()
        < 2
    {
        assert!(begun.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(150));
    child
}

fn stop(child: Child) -> Output {
    run(&format!("kill -TERM {}", child.id()));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    output
}

/// Sends the frames of a capture at the times they came. Gives how many.
fn send(path: &Path) -> usize {
    let mut out = Capture::from_device("vb").unwrap().open().unwrap();
    let mut source = file::open(path, 0).unwrap();
    let begun = Instant::now();
    let (mut first, mut count) = (None, 0);
    while let Some(frame) = source.next_frame() {
        let first = *first.get_or_insert(frame.time.0);
        let due = Duration::from_nanos(u64::try_from(frame.time.0 - first).unwrap_or(0));
        if let Some(wait) = due.checked_sub(begun.elapsed()) {
            std::thread::sleep(wait);
        }
        out.sendpacket(frame.octets).unwrap();
        count += 1;
    }
    count
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Client, gateway, outcome and cause of the final line of each session.
fn finals(lines: &[Value]) -> Vec<String> {
    let is_final = |line: &&Value| line["type"] == "session" && line["final"] == true;
    let finals = lines.iter().filter(is_final);
    let mut all: Vec<String> = finals
        .map(|s| {
            ["kind", "client", "gateway", "outcome", "stage", "cause"]
                .map(|k| s[k].to_string())
                .join(" ")
        })
        .collect();
    all.sort();
    all
}

/// The same of a file.
fn of_file(path: &Path) -> Vec<String> {
    let output = Command::new(PROGRAM)
        .args(["analyze", "--format", "ndjson"])
        .arg(path)
        .output()
        .unwrap();
    let mut all = lines(&output);
    for line in &mut all {
        line["final"] = true.into();
    }
    finals(&all)
}

/// Whether a veth can carry it as it was.
fn can_be_sent(path: &Path, longest: Duration) -> bool {
    let mut source = file::open(path, 0).unwrap();
    let mut whole = true;
    while let Some(frame) = source.next_frame() {
        let len = frame.octets.len();
        whole &= frame.link == LinkType::ETHERNET
            && len == frame.wire_len as usize
            && (14..60_000).contains(&len);
    }
    let statistics = source.statistics();
    let length = statistics
        .first
        .zip(statistics.last)
        .map(|(a, b)| b.since(a).as_millis());
    whole && length.is_some_and(|ms| u128::try_from(ms).unwrap_or(u128::MAX) < longest.as_millis())
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("vpnscope-live-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn lab_captures_sent_through_a_wire_are_judged_like_the_file_that_is_written() {
    if !inside("lab_captures_sent_through_a_wire_are_judged_like_the_file_that_is_written") {
        return;
    }
    let all = std::env::var("VPNSCOPE_LIVE").is_ok_and(|value| value == "all");
    let captures = common::files(&common::repository("pcaps"), common::is_capture);
    let sample = [
        "ikev2-psk-mismatch/client",
        "ikev2-proposal-mismatch/client",
        "encap-gre/",
    ];
    let is_wanted = |path: &PathBuf| {
        let name = path.display().to_string();
        all || sample.iter().any(|wanted| name.contains(wanted))
    };
    let longest = Duration::from_secs(if all { 200 } else { 20 });
    let folder = folder("judged");
    let mut sent = 0;
    for capture in captures
        .iter()
        .filter(|p| is_wanted(p) && can_be_sent(p, longest))
    {
        let out = folder.join("seen.pcapng");
        let child = start(&[
            "--all-traffic",
            "--format",
            "ndjson",
            "--write",
            "all",
            "-w",
            out.to_str().unwrap(),
        ]);
        let count = send(capture);
        std::thread::sleep(Duration::from_millis(400));
        let output = stop(child);
        let lines = lines(&output);
        let seen = lines.iter().find(|line| line["type"] == "capture").unwrap();
        assert_eq!(seen["frames"], count, "{}", capture.display());
        assert_eq!(seen["dropped"], 0);
        assert_eq!(finals(&lines), of_file(&out), "{}", capture.display());
        assert_eq!(lines.last().unwrap()["type"], "summary");
        sent += 1;
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(sent >= 2, "{sent}");
}

#[test]
fn a_failure_is_said_while_it_goes_on_and_its_frames_are_written_with_it() {
    if !inside("a_failure_is_said_while_it_goes_on_and_its_frames_are_written_with_it") {
        return;
    }
    let folder = folder("failed");
    let out = folder.join("failed.pcapng");
    let child = start(&[
        "--format",
        "ndjson",
        "--until-failures",
        "1",
        "--write",
        "failed",
        "-w",
        out.to_str().unwrap(),
    ]);
    send(&common::repository("pcaps/ikev2-psk-mismatch/client.pcap"));
    // It stops by itself, long before the session is over.
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines = lines(&output);
    let sessions: Vec<&Value> = lines.iter().filter(|l| l["type"] == "session").collect();
    let revisions: Vec<u64> = sessions
        .iter()
        .map(|s| s["revision"].as_u64().unwrap())
        .collect();
    assert!(
        revisions.len() > 1 && revisions.is_sorted(),
        "{revisions:?}"
    );
    assert_eq!(
        (&sessions[0]["final"], &sessions[0]["cause"]),
        (&false.into(), &"auth-failed".into())
    );
    assert_eq!(sessions.last().unwrap()["final"], true);
    assert!(
        lines
            .iter()
            .any(|l| l["filter"].as_str().is_some_and(|f| f.contains("ip6")))
    );
    let mut source = file::open(&out, 0).unwrap();
    let mut frames = 0;
    while source.next_frame().is_some() {
        frames += 1;
    }
    assert_eq!((frames, source.annotations().comments), (4, 2));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn killed_in_the_middle_it_leaves_a_readable_file() {
    if !inside("killed_in_the_middle_it_leaves_a_readable_file") {
        return;
    }
    let folder = folder("killed");
    let out = folder.join("killed.pcapng");
    let mut child = start(&["--write", "all", "-w", out.to_str().unwrap()]);
    let count = send(&common::repository("pcaps/ikev2-psk-mismatch/client.pcap"));
    std::thread::sleep(Duration::from_millis(1500));
    child.kill().unwrap();
    child.wait().unwrap();
    let mut source = file::open(&out, 0).unwrap();
    let mut frames = 0;
    while source.next_frame().is_some() {
        frames += 1;
    }
    assert!(frames > 0 && frames <= count, "{frames} of {count}");
    assert_eq!(source.statistics().problems, []);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    if !inside("what_cannot_be_done_is_said_in_one_line") {
        return;
    }
    for bad in [
        &["-i", "nosuch0"][..],
        &["-i", "va", "--filter", "udp and and"],
        &["-i", "va", "-w", "/no/such/folder/out.pcapng"],
        &["-i", "va", "--user", "no-such-user"],
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
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{bad:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{bad:?}: {said}");
        assert!(said.starts_with("vpnscope: "), "{said}");
    }
}
