//! Long lives and many of them: nothing grows.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use vpnscope::source::live::{Filter, LiveSource, Options, Poll};
use vpnscope::source::{FrameSource, file};

use crate::common::repository;
use crate::wire::{folder, inside, ipv4, lines, sender, start, stop};

/// Open files, and resident memory in octets.
fn holds(process: &str) -> (usize, u64) {
    let files = std::fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .count();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: u64 = line
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    (files, kilobytes << 10)
}

#[test]
fn starts_and_stops_leak_nothing() {
    if !inside("life::starts_and_stops_leak_nothing") {
        return;
    }
    let long = std::env::var("VPNSCOPE_LONG").is_ok_and(|value| value == "1");
    let cycles = if long { 1000 } else { 50 };
    let mut out = sender("vb");
    let mut cycle = |threads| {
        let options = Options {
            buffer: 1 << 20,
            filter: Filter::Default,
            threads,
            ..Options::default()
        };
        let mut source = LiveSource::open(&["va".into()], options, 0).unwrap();
        source.next_frame(Duration::ZERO);
        out.sendpacket(ipv4(1, 17, 60)).unwrap();
        let found = source.next_frame(Duration::from_secs(5));
        assert!(matches!(found, Poll::Frame(_)), "{found:?}");
        source.counters();
    };
    for threads in [1, 2, 1, 2] {
        cycle(threads);
    }
    let before = holds("self");
    for number in 0..cycles {
        cycle(1 + number % 2);
    }
    let after = holds("self");
    println!("{cycles} cycles: {before:?} before, {after:?} after");
    assert_eq!(before.0, after.0, "open files");
    assert!(after.1 < before.1 + (2 << 20), "{before:?}, {after:?}");
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads <= 3, "{threads}");
}

/// What the sessions of the soak play. All fail in clear, and are let go ten minutes later; one
/// that may work behind its encryption would be waited for as long as a tunnel may be silent.
const SCRIPTS: &[&str] = &[
    "ikev2-udp500-dropped",
    "ikev2-response-lost",
    "ikev2-no-common-group",
    "libreswan-ikev2-no-proposal-chosen",
    "libreswan-ikev1-proposal-mismatch",
];

fn script(name: &str) -> Vec<Vec<u8>> {
    let path = repository("pcaps").join(name).join("client.pcap");
    let mut source = file::open(Path::new(&path), 0).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = source.next_frame() {
        if frame.octets.get(12..14) == Some(&[8, 0]) {
            frames.push(frame.octets.to_vec());
        }
    }
    frames
}

/// The frame of another client: another address, another initiator SPI.
fn renumbered(frame: &[u8], client: u32) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let [_, b, c, d] = client.to_be_bytes();
    for at in [26, 30] {
        if frame[at..at + 4] == [10, 1, 0, 10] {
            frame[at..at + 4].copy_from_slice(&[100, b, c, d]);
        }
    }
    let has_marker = frame.get(42..46) == Some(&[0; 4]);
    let at = if has_marker { 46 } else { 42 };
    if let Some(spi) = frame.get_mut(at..at + 4) {
        for (octet, new) in spi.iter_mut().zip([0x5a, b, c, d]) {
            *octet ^= new;
        }
    }
    frame
}

/// Sends 10,000 sessions an hour for a time, and looks at the program on the way.
fn soak(child: &Child, time: Duration, look: &mut dyn FnMut(Duration, u32)) -> u32 {
    let scripts: Vec<_> = SCRIPTS.iter().map(|name| script(name)).collect();
    let mut out = sender("vb");
    let begun = Instant::now();
    let mut client = 0u32;
    let mut looked = 0;
    while begun.elapsed() < time {
        let due = Duration::from_millis(360) * client;
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        client += 1;
        for frame in &scripts[client as usize % scripts.len()] {
            out.sendpacket(renumbered(frame, client)).unwrap();
            // Answers do not come at once, nor as copies.
            std::thread::sleep(Duration::from_micros(200));
        }
        let minute = begun.elapsed().as_secs() / 10;
        if minute > looked {
            looked = minute;
            look(begun.elapsed(), client);
        }
    }
    assert!(holds(&child.id().to_string()).0 > 3, "it is alive");
    client
}

#[test]
fn a_long_capture_stays_as_large_as_it_is() {
    if !inside("life::a_long_capture_stays_as_large_as_it_is") {
        return;
    }
    let seconds = std::env::var("VPNSCOPE_SOAK")
        .ok()
        .and_then(|n| n.parse().ok());
    let seconds: u64 = seconds.unwrap_or(12);
    let folder = folder("soak");
    let out = folder.join("failed.pcapng");
    let ring = [
        "--ring-size",
        "1M",
        "--ring-files",
        "3",
        "-w",
        out.to_str().unwrap(),
    ];
    let child = start(&[&["--format", "ndjson", "--write", "failed"], &ring[..]].concat());
    let process = child.id().to_string();
    // Its output is read, or it would wait for the pipe.
    let mut child = child;
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        std::io::Read::read_to_end(&mut stdout, &mut all).unwrap();
        all
    });
    let mut seen: Vec<(u64, u32, usize, u64)> = Vec::new();
    let sessions = soak(&child, Duration::from_secs(seconds), &mut |at, sessions| {
        let (files, memory) = holds(&process);
        println!(
            "{:>5} s {sessions:>6} sessions {files} files {} KiB",
            at.as_secs(),
            memory >> 10
        );
        seen.push((at.as_secs(), sessions, files, memory));
    });
    std::thread::sleep(Duration::from_millis(500));
    let mut output = stop(child);
    output.stdout = reader.join().unwrap();
    let finals = lines(&output);
    let finals = finals.iter().filter(|line| line["final"] == true).count();
    assert_eq!(finals, sessions as usize, "each session is reported once");
    let (first, last) = (seen.first().unwrap(), seen.last().unwrap());
    assert!(last.2 <= first.2 + 1, "open files: {first:?}, {last:?}");
    // After ten minutes as many are let go as begin.
    let each = last.3.saturating_sub(first.3) / u64::from((last.1 - first.1).clamp(1, 1700));
    println!("{each} octets of memory a session that is open");
    assert!(each < 24 << 10, "{first:?}, {last:?}");
    // The first ones let go leave the memory in another shape; then it is settled.
    let settled = seen.iter().find(|(at, ..)| *at >= 780);
    if let Some(settled) = settled {
        println!(
            "{} octets more since they are let go",
            last.3.saturating_sub(settled.3)
        );
        assert!(last.3 < settled.3 + settled.3 / 50, "{settled:?}, {last:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
