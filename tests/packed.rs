//! Sessions that are packed while they wait: what they say, whom they make room for, and that
//! memory does not grow with what passes.
#![allow(
    clippy::pedantic,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    unreachable_pub,
    dead_code,
    reason = "test code"
)]

mod common;
#[path = "../benches/traffic/mod.rs"]
mod traffic;

use std::io::{Cursor, Write};
use std::process::{Command, Stdio};

use traffic::{Mix, pcap};
use vpnscope::assemble::ip;
use vpnscope::source::FrameSource;
use vpnscope::source::file::{self, FileSource};
use vpnscope::time::Span;
use vpnscope::track::{self, Session};
use vpnscope::walk::Walk;

/// All sessions of a capture, and how many were evicted.
fn sessions(mut source: FileSource, config: track::Config) -> (Vec<Session>, u64) {
    let mut walk = Walk::new(ip::Config::default(), config);
    let mut all = Vec::new();
    while let Some(frame) = source.next_frame() {
        walk.frame(&frame);
        while let Some(session) = walk.next_closed() {
            all.push(*session);
        }
    }
    walk.finish();
    all.extend(walk.closed().map(|session| *session));
    all.sort_by_key(|session| session.id);
    (all, walk.track_counters().evicted_sessions)
}

/// Every session falls asleep after every event.
fn drowsy() -> track::Config {
    track::Config {
        awake_octets: 0,
        awake_for: Span::from_millis(0),
        ..track::Config::default()
    }
}

#[test]
fn a_session_is_the_same_after_any_number_of_naps() {
    let mut compared = 0;
    for path in common::files(&common::repository("pcaps"), common::is_capture) {
        let open = || file::open(&path, 0).expect("a capture");
        let (awake, _) = sessions(open(), track::Config::default());
        let (asleep, _) = sessions(open(), drowsy());
        assert!(awake == asleep, "{}", path.display());
        compared += awake.len();
    }
    assert!(compared > 400, "{compared} sessions");
    let octets = pcap(Mix::Handshakes, 8000);
    let open = || FileSource::new("traffic", Cursor::new(octets.clone()), 0).expect("a capture");
    let (awake, _) = sessions(open(), track::Config::default());
    let (asleep, _) = sessions(open(), drowsy());
    assert!(awake.len() > 100 && awake == asleep);
}

#[test]
fn the_session_that_was_quiet_for_longest_makes_room() {
    let octets = pcap(Mix::Handshakes, 20_000);
    let open = || FileSource::new("traffic", Cursor::new(octets.clone()), 0).expect("a capture");
    let (all, none) = sessions(open(), track::Config::default());
    assert_eq!(none, 0);
    let few = track::Config {
        sessions: all.len() / 2,
        ..track::Config::default()
    };
    let (cut, evicted) = sessions(open(), few);
    assert!(evicted > 0);
    // Of those that go on few are cut in two. Whose timer ran out first would be each new one.
    assert!(
        cut.len() <= all.len() + all.len() / 5,
        "{} of {}",
        cut.len(),
        all.len()
    );
}

/// Peak memory in KiB of `analyze --summary -` that was given `octets` and waits for more.
#[cfg(target_os = "linux")]
fn peak(octets: &[u8]) -> u64 {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vpnscope"))
        .args(["analyze", "--summary", "--threads", "1", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("vpnscope runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(octets).expect("it reads");
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
    drop(stdin);
    child.wait().expect("it ends");
    let status = status.expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|n| n.parse().ok()).expect("a number")
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_what_comes_through_a_pipe() {
    let (short, long) = (pcap(Mix::Esp, 80_000), pcap(Mix::Esp, 400_000));
    let packed = |octets: &[u8]| zstd::encode_all(octets, 1).expect("zstd");
    for (name, short, long) in [
        ("plain", short.clone(), long.clone()),
        ("zstd", packed(&short), packed(&long)),
    ] {
        let (short, long) = (peak(&short), peak(&long));
        assert!(
            long <= short + 2048,
            "{name}: {short} KiB, and {long} KiB of five times as much"
        );
    }
}
