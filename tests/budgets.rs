//! Every budget is reached, counted and reported: an attack that fits no budget leaves a count
//! that is not 0, and what is held stays within it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

mod common;

#[path = "../examples/adversary/attacks.rs"]
mod attacks;

use std::io::{Cursor, Write as _};
use std::process::{Command, Output, Stdio};

use attacks::Random;
use serde_json::Value;
use vpnscope::assemble::ip;
use vpnscope::decap::decap;
use vpnscope::dissect::streams;
use vpnscope::source::file::{FileSource, Limits};
use vpnscope::source::{Frame, FrameSource, LinkType};
use vpnscope::time::Timestamp;
use vpnscope::track;
use vpnscope::walk::Walk;

/// So many frames of these kinds, as a capture.
fn capture(kinds: &str, frames: u64) -> Vec<u8> {
    let kinds = attacks::kinds(Some(kinds));
    let mut random = Random(7);
    let all = (0..frames).map(|_| kinds[random.below(kinds.len() as u64) as usize](&mut random));
    pcap(all.collect::<Vec<_>>())
}

fn pcap(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut out = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    out.extend([0, 0, 4, 0, 1, 0, 0, 0]);
    for (no, frame) in (0..).zip(frames) {
        let micros = attacks::time_of(no) / 1000;
        let len = u32::try_from(frame.len()).unwrap();
        let seconds = u32::try_from(micros / 1_000_000).unwrap();
        let rest = u32::try_from(micros % 1_000_000).unwrap();
        for value in [seconds, rest, len, len] {
            out.extend(value.to_le_bytes());
        }
        out.extend(frame);
    }
    out
}

fn vpnscope(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vpnscope"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// The report of an attack with a budget, and without one.
fn with_and_without(budget: &str, kinds: &str, frames: u64) -> [Value; 2] {
    let capture = capture(kinds, frames);
    let json = |arguments: &[&str]| {
        let output = vpnscope(arguments, &capture);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    [
        json(&[
            "analyze", "--format", "json", "--tls", "all", "--budget", budget, "-",
        ]),
        json(&["analyze", "--format", "json", "--tls", "all", "-"]),
    ]
}

fn evicted(report: &Value, what: &str) -> u64 {
    report["summary"]["evicted"][what].as_u64().expect(what)
}

/// A budget of `n` is reached by an attack, is counted, and is not reached at defaults.
fn is_reached(budget: &str, what: &str, kinds: &str, frames: u64, at_least: u64) -> Value {
    let [tight, usual] = with_and_without(budget, kinds, frames);
    let count = evicted(&tight, what);
    assert!(count >= at_least, "{budget} gave up {count} {what}");
    assert_eq!(evicted(&usual, what), 0, "{budget} by default");
    tight
}

#[test]
fn sessions() {
    let report = is_reached("sessions=50", "sessions", "i", 500, 450);
    assert_eq!(evicted(&report, "sessions"), 450);
    assert_eq!(report["summary"]["sessions"], 500, "each is reported");
    is_reached("sessions=50", "sessions", "m", 500, 450);
    is_reached("sessions=50", "sessions", "l", 500, 400);
    is_reached("sessions=50", "sessions", "d", 500, 400);
    is_reached("sessions=50", "sessions", "o", 500, 400);
    is_reached("sessions=50", "sessions", "u", 500, 400);
}

#[test]
fn descriptions() {
    let capture = capture("i", 100);
    let text = |arguments: &[&str]| {
        let output = vpnscope(arguments, &capture);
        let text = String::from_utf8(output.stdout).unwrap();
        let flat: Vec<&str> = text.split_whitespace().collect();
        (text.matches("session ").count(), flat.join(" "))
    };
    let (described, said) = text(&["analyze", "--budget", "descriptions=20", "-"]);
    assert!((20..30).contains(&described), "{said}");
    assert!(said.contains("room: 80 descriptions of sessions"), "{said}");
    assert!(said.contains("100 session(s) in 100 frames"), "{said}");
    let (described, said) = text(&["analyze", "-"]);
    assert!(described >= 100 && !said.contains("Given up"), "{said}");
}

#[test]
fn streams() {
    is_reached("connections=64", "streams", "t", 1000, 900);
    is_reached("openings=64", "streams", "s", 1000, 900);
    is_reached("stream-octets=64K", "streams", "t", 1000, 100);
    is_reached("associations=64", "streams", "d", 1000, 900);
    is_reached("dtls-octets=64K", "streams", "p", 1000, 100);
}

#[test]
fn fragments() {
    is_reached("fragments=50", "fragments", "g", 500, 400);
    is_reached("fragment-octets=64K", "fragments", "g", 500, 100);
}

#[test]
fn look_ups() {
    is_reached("lookups=50", "lookups", "n", 500, 450);
}

#[test]
fn esp_flows() {
    // A flow is one that shows twice.
    let mut random = Random(3);
    let make = attacks::kinds(Some("e"))[0];
    let first: Vec<Vec<u8>> = (0..500).map(|_| make(&mut random)).collect();
    let again = first.iter().cloned().map(|mut frame| {
        frame[14 + 20 + 8 + 7] = 2;
        frame
    });
    let capture = pcap(first.iter().cloned().chain(again));
    let arguments = [
        "analyze",
        "--format",
        "json",
        "--budget",
        "esp-flows=50",
        "-",
    ];
    let output = vpnscope(&arguments, &capture);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = evicted(&report, "esp_flows");
    assert!(count >= 400, "{count} flows given up");
}

#[test]
fn what_is_given_up_stands_in_the_text() {
    let capture = capture("ign", 900);
    let budget = "sessions=10,fragments=10,lookups=10";
    let output = vpnscope(&["analyze", "--summary", "--budget", budget, "-"], &capture);
    let text = String::from_utf8(output.stdout).unwrap();
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("Given up for lack of room:"), "{text}");
    for what in ["sessions", "fragmented datagrams", "look-ups"] {
        assert!(flat.contains(what), "{text}");
    }
    for wrong in ["sessions", "beer=1", "sessions=0"] {
        let output = vpnscope(&["analyze", "--budget", wrong, "-"], &[]);
        assert_eq!(output.status.code(), Some(2));
    }
}

/// The octets held do not grow with what is thrown at them.
#[test]
fn what_is_held_stays_within_the_budget() {
    let mut streams = streams::Config::default();
    streams.tcp.connections = 100;
    streams.tcp.openings = 100;
    streams.dtls.associations = 100;
    let fragments = ip::Config {
        datagrams: 100,
        ..ip::Config::default()
    };
    let tracker = track::Config {
        sessions: 100,
        esp_flows: 100,
        lookups: 100,
        ..track::Config::default()
    };
    let mut walk = Walk::with(fragments, streams, tracker);
    let kinds = attacks::kinds(None);
    let mut random = Random(11);
    let mut closed = 0;
    for no in 0..20_000 {
        let octets = kinds[random.below(kinds.len() as u64) as usize](&mut random);
        walk.frame(&Frame {
            capture: 0,
            no,
            time: Timestamp(attacks::time_of(no)),
            link: LinkType::ETHERNET,
            octets: &octets,
            wire_len: u32::try_from(octets.len()).unwrap(),
            interface: 0,
        });
        assert!(walk.open_sessions() <= 100);
        while walk.poll().is_some() {
            closed += 1;
        }
    }
    assert!(closed > 1000 && walk.track_counters().evicted_sessions > 1000);
    assert!(walk.evicted_streams() > 1000 && walk.evicted_fragments() > 100);
}

#[test]
fn encapsulations_are_peeled_so_deep_and_no_deeper() {
    let nested = |depth: usize| {
        let mut packet = [
            &[0x45, 0, 0, 28][..],
            &[0; 5],
            &[17, 0, 0],
            &[10; 8],
            &[0; 8],
        ]
        .concat();
        for _ in 0..depth {
            let total = u16::try_from(packet.len() + 20).unwrap().to_be_bytes();
            let header = [&[0x45, 0][..], &total, &[0; 5], &[4, 0, 0], &[10; 8]].concat();
            packet = [header, packet].concat();
        }
        packet
    };
    let stopped = |packet: &[u8]| {
        let frame = Frame {
            capture: 0,
            no: 1,
            time: Timestamp(0),
            link: LinkType::RAW,
            octets: packet,
            wire_len: u32::try_from(packet.len()).unwrap(),
            interface: 0,
        };
        decap(&frame).stopped.map(|stop| format!("{stop:?}"))
    };
    assert_eq!(stopped(&nested(3)), None);
    let deep = stopped(&nested(40)).expect("it stops");
    assert!(deep.to_lowercase().contains("deep"), "{deep}");
    // And it is counted.
    let ethernet = |packet: Vec<u8>| [&[2; 12][..], &[8, 0], &packet].concat();
    let capture = pcap((0..5).map(|_| ethernet(nested(40))));
    let output = vpnscope(&["analyze", "--format", "json", "-"], &capture);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["captures"][0]["undecodable_frames"], 5);
}

/// A block of a little-endian pcapng file; `total` may lie.
fn block(kind: u32, total: u32, body: &[u8]) -> Vec<u8> {
    let (kind, total) = (kind.to_le_bytes(), total.to_le_bytes());
    [&kind[..], &total, body, &total].concat()
}

fn section() -> Vec<u8> {
    let body = [&[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..], &[255; 8]].concat();
    block(0x0a0d_0d0a, 28, &body)
}

fn problems(octets: Vec<u8>, limits: Limits) -> (usize, u64, String) {
    let mut source = FileSource::within("memory", Cursor::new(octets), 0, &limits).unwrap();
    while source.next_frame().is_some() {}
    let statistics = source.statistics();
    let first = statistics.problems.first().map(|p| p.what.clone());
    let (kept, more) = (statistics.problems.len(), statistics.problems_not_kept);
    (kept, more, first.unwrap_or_default())
}

#[test]
fn a_million_interfaces_are_named_up_to_the_budget() {
    let interface = block(1, 20, &[1, 0, 0, 0, 0, 0, 4, 0]);
    let octets = [section(), interface.repeat(1_000_000)].concat();
    let (kept, more, first) = problems(octets.clone(), Limits::default());
    assert_eq!(kept as u64 + more, 1_000_000 - 65_536, "{first}");
    assert!(first.contains("an interface beyond 65536"), "{first}");
    let limits = Limits {
        interfaces: 10,
        ..Limits::default()
    };
    let (kept, more, _) = problems(octets, limits);
    assert_eq!(kept as u64 + more, 1_000_000 - 10);
}

#[test]
fn blocks_of_absurd_length_are_not_believed() {
    let packet = block(6, 0xffff_fff0, &[0; 20]);
    let good = block(6, 36, &[&[0; 20][..], &[1, 2, 3, 4]].concat());
    let interface = block(1, 20, &[1, 0, 0, 0, 0, 0, 4, 0]);
    let lying = [packet, good].concat().repeat(1000);
    let octets = [section(), interface, lying].concat();
    let (kept, more, first) = problems(octets, Limits::default());
    assert!(kept == 100 && more >= 800, "{kept} {more} {first}");
    assert!(first.contains("announces 4294967280 octets"), "{first}");
}

#[test]
fn a_compression_bomb_is_given_up() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&pcap([vec![0; 60]])).unwrap();
    for _ in 0..200 {
        gzip.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = gzip.finish().unwrap();
    let output = vpnscope(&["analyze", "--format", "json", "-"], &bomb);
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problems = report["captures"][0]["problems"].to_string();
    assert!(problems.contains("times as many"), "{problems}");
    let arguments = [
        "analyze",
        "--budget",
        "plain-octets=1M",
        "--format",
        "json",
        "-",
    ];
    let output = vpnscope(&arguments, &bomb);
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problems = report["captures"][0]["problems"].to_string();
    assert!(
        problems.contains("longer than 1048576 octets"),
        "{problems}"
    );
}

/// The decoded frame of a UDP payload.
fn decoded(port: u16, payload: &[u8]) -> Value {
    let udp = u16::try_from(payload.len() + 8).unwrap().to_be_bytes();
    let total = u16::try_from(payload.len() + 28).unwrap().to_be_bytes();
    let frame = [
        &[2; 12][..],
        &[8, 0, 0x45, 0],
        &total,
        &[0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2],
        &port.to_be_bytes(),
        &port.to_be_bytes(),
        &udp,
        &[0, 0],
        payload,
    ]
    .concat();
    let output = vpnscope(&["decode", "--format", "ndjson", "-"], &pcap([frame]));
    let line = output.stdout.split(|octet| *octet == b'\n').next().unwrap();
    serde_json::from_slice(line).unwrap()
}

#[test]
fn lists_of_a_message_are_shown_so_far_and_the_rest_is_counted() {
    let avps = [0x80, 8, 0, 0, 0, 0, 0, 1].repeat(1000);
    let length = u16::try_from(avps.len() + 12).unwrap().to_be_bytes();
    let message = [&[0xc8, 2][..], &length, &[0; 8], &avps].concat();
    let layer = &decoded(1701, &message)["layers"][0];
    assert_eq!(layer["avps"].as_array().unwrap().len(), 256);
    assert_eq!(layer["avps_not_shown"], 744);

    let payloads = [43, 0, 0, 4].repeat(999);
    let payloads = [&payloads[..], &[0, 0, 0, 4]].concat();
    let length = u32::try_from(payloads.len() + 28).unwrap().to_be_bytes();
    let head = [
        7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 43, 0x20, 34, 8, 0, 0, 0, 0,
    ];
    let message = [&head[..], &length, &payloads].concat();
    let layer = &decoded(500, &message)["layers"][0];
    assert_eq!(layer["payloads"].as_array().unwrap().len(), 256);
    assert_eq!(layer["payloads_not_shown"], 744);
}
