//! Captures on standard input: the same frames as from a file, as soon as they are there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test code"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use vpnscope::source::{FrameSource, file};

const INSIDE: &str = "VPNSCOPE_READ_STDIN";

/// Inside: one line a frame, and one at the end.
fn inside() -> bool {
    if std::env::var(INSIDE).is_err() {
        return false;
    }
    let mut source = file::open(Path::new("-"), 0).unwrap();
    while let Some(frame) = source.next_frame() {
        println!("frame {} {:?}", frame.no, frame.octets);
    }
    let statistics = source.statistics();
    println!("end {} {:?}", statistics.name, statistics.problems);
    true
}

fn reader(test: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn pcap() -> Vec<u8> {
    let mut octets = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    octets.extend([0; 8]);
    octets.extend([0, 0, 4, 0, 1, 0, 0, 0]);
    octets
}

fn record(octet: u8) -> Vec<u8> {
    vec![1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, octet, octet]
}

#[test]
fn frames_come_while_the_writer_still_writes() {
    if inside() {
        return;
    }
    let mut child = reader("frames_come_while_the_writer_still_writes");
    let (mut to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut said = BufReader::new(from).lines().map(Result::unwrap);
    let mut next = || said.find(|line| line.starts_with("frame ") || line.starts_with("end "));
    to.write_all(&pcap()).unwrap();
    for octet in 1..=3 {
        to.write_all(&record(octet)).unwrap();
        to.flush().unwrap();
        // The next record is written only once this one came out at the other end.
        let expected = format!("frame {octet} [{octet}, {octet}]");
        assert_eq!(next(), Some(expected));
    }
    drop(to);
    assert_eq!(next(), Some("end - []".into()));
    assert!(child.wait().unwrap().success());
}

#[test]
fn compressed_input_is_recognised() {
    if inside() {
        return;
    }
    let plain = [pcap(), record(7)].concat();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let zst = zstd::encode_all(&plain[..], 1).unwrap();
    for compressed in [gzip.finish().unwrap(), zst] {
        let mut child = reader("compressed_input_is_recognised");
        child.stdin.take().unwrap().write_all(&compressed).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("frame 1 [7, 7]\nend - []\n"), "{said}");
    }
}
