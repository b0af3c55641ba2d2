//! The same session in every encapsulation gives the same report.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::wrap::{self, Wrapping};
use serde_json::Value;
use vpnscope::source::{FrameSource, file};

/// What a span port sends after the wrapping: time in nanoseconds and an IP datagram.
fn datagrams(name: &str) -> Vec<(i64, Vec<u8>)> {
    let path = common::repository("pcaps").join(name);
    let mut source = file::open(&path, 0).unwrap();
    let mut list = Vec::new();
    while let Some(frame) = source.next_frame() {
        let (ether_type, ip) = (&frame.octets[12..14], &frame.octets[14..]);
        if ether_type == [8, 0] {
            let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
            list.push((frame.time.0, ip[..total].to_vec()));
        }
    }
    assert!(list.len() >= 4, "{name}");
    list
}

/// A pcap file with every datagram wrapped.
fn capture(datagrams: &[(i64, Vec<u8>)], wrapping: &Wrapping) -> Vec<u8> {
    let mut octets = Vec::new();
    for word in [
        0xa1b2_3c4d,
        0x0004_0002,
        0,
        0,
        0xffff,
        u32::from(wrapping.link),
    ] {
        octets.extend(u32::to_le_bytes(word));
    }
    for (time, ip) in datagrams {
        let frame = (wrapping.wrap)(ip);
        let len = u32::try_from(frame.len()).unwrap();
        let second = u32::try_from(time / 1_000_000_000).unwrap();
        let nanosecond = u32::try_from(time % 1_000_000_000).unwrap();
        for word in [second, nanosecond, len, len] {
            octets.extend(word.to_le_bytes());
        }
        octets.extend(frame);
    }
    octets
}

/// The report of a capture, without what is about the file itself.
fn report(capture: &[u8]) -> Value {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vpnscope"))
        .args(["analyze", "--format", "json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(capture).unwrap();
    let output = child.wait_with_output().unwrap();
    let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let file = report.as_object_mut().unwrap().remove("captures").unwrap();
    assert_eq!(file[0]["undecodable_frames"], 0);
    report
}

#[test]
fn the_same_session_gives_the_same_report() {
    for (name, outcome) in [
        ("ikev2-psk-mismatch/client.pcap", "failed"),
        (
            "ikev2-esp-protocol-50-established/client.pcap",
            "established",
        ),
        ("ikev2-last-fragment-dropped/gateway.pcap", "failed"),
        (
            "ikev2-frag-needed-then-established/client.pcap",
            "established",
        ),
        ("ikev2-esp-pmtu-blackhole/client.pcap", "degraded"),
    ] {
        let datagrams = datagrams(name);
        let plain = report(&capture(&datagrams, &wrap::ALL[0]));
        assert_eq!(plain["sessions"][0]["outcome"], outcome, "{name}");
        for wrapping in &wrap::ALL[1..] {
            let wrapped = report(&capture(&datagrams, wrapping));
            assert_eq!(wrapped, plain, "{name} in {}", wrapping.name);
        }
    }
}
