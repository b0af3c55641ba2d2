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

use attacks::Random;
use common::program::fed;
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

/// The report of an attack with a budget, and without one.
fn with_and_without(budget: &str, kinds: &str, frames: u64) -> [Value; 2] {
    let capture = capture(kinds, frames);
    let json = |arguments: &[&str]| {
        let output = fed(arguments, &capture);
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
        let output = fed(arguments, &capture);
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
    let output = fed(&arguments, &capture);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = evicted(&report, "esp_flows");
    assert!(count >= 400, "{count} flows given up");
}

/// A Main Mode between two hosts, and packets of so many SPIs from one to the other.
fn sealed(spis: u32, each: u32) -> Vec<u8> {
    let mut first = attacks::kinds(Some("m"))[0](&mut Random(5));
    let ends = [10, 0, 0, 1, 203, 0, 113, 1];
    first[26..34].copy_from_slice(&ends);
    let mut frames = vec![first];
    for number in 0..spis * each {
        let mut frame = attacks::kinds(Some("E"))[0](&mut Random(9));
        frame[26..34].copy_from_slice(&ends);
        frame[34..38].copy_from_slice(&(1000 + number / each).to_be_bytes());
        frame[38..42].copy_from_slice(&(1 + number % each).to_be_bytes());
        frames.push(frame);
    }
    pcap(frames)
}

#[test]
fn esp_octets() {
    let report = |capture: &[u8], budget: &str| -> Value {
        let arguments = ["analyze", "--format", "json", "--budget", budget, "-"];
        serde_json::from_slice(&fed(&arguments, capture).stdout).unwrap()
    };
    // So many SPIs that some are left out, and so many packets that they are not laid side by
    // side, which is counted as well.
    for (spis, each) in [(2000, 1), (30, 200)] {
        let capture = sealed(spis, each);
        let tight = report(&capture, "esp-octets=128K");
        let usual = report(&capture, "sessions=1000");
        let counted = |report: &Value| -> u64 {
            let flows = report["sessions"][0]["counters"]["esp"].as_array().unwrap();
            flows
                .iter()
                .map(|flow| flow["packets"].as_u64().unwrap())
                .sum()
        };
        assert!(evicted(&tight, "esp_flows") >= 20, "{spis} {each}");
        assert_eq!(evicted(&usual, "esp_flows"), 0);
        assert_eq!(counted(&usual), u64::from(spis * each));
        assert!(each == 1 || counted(&tight) == counted(&usual));
    }
    // One session has so many flows and no more.
    let many = report(&sealed(9000, 1), "sessions=1000");
    assert_eq!(evicted(&many, "esp_flows"), 9000 - 8192);
}

/// A span port that is plugged in while so many tunnels are up: each is one session from its first
/// packet to its last, however long the others take in between.
#[test]
fn tunnels_that_were_up_before() {
    const TUNNELS: u32 = 20_000;
    let template = attacks::kinds(Some("E"))[0](&mut Random(9));
    let packet = |tunnel: u32, back: bool, round: u32| {
        let mut frame = template.clone();
        let (near, far) = ([10, 1 + (tunnel >> 16) as u8], [203, 0, 113, 1]);
        let near = [near[0], near[1], (tunnel >> 8) as u8, tunnel as u8];
        let (source, destination) = if back { (far, near) } else { (near, far) };
        frame[26..30].copy_from_slice(&source);
        frame[30..34].copy_from_slice(&destination);
        let spi = 0x1000_0000 + 2 * tunnel + u32::from(back);
        frame[34..38].copy_from_slice(&spi.to_be_bytes());
        frame[38..42].copy_from_slice(&(7 + round).to_be_bytes());
        frame
    };
    let rounds = (0..4).flat_map(|round| {
        (0..TUNNELS).flat_map(move |tunnel| [(tunnel, false, round), (tunnel, true, round)])
    });
    let capture = pcap(rounds.map(|(tunnel, back, round)| packet(tunnel, back, round)));
    let arguments = ["analyze", "--format", "json", "--summary", "-"];
    let report: Value = serde_json::from_slice(&fed(&arguments, &capture).stdout).unwrap();
    let summary = &report["summary"];
    let sessions = summary["sessions"].as_u64().unwrap();
    // A handful shares its place in the filter of what was seen once with two others.
    assert!((19_900..=20_000).contains(&sessions), "{summary}");
    assert_eq!(summary["by_kind"]["esp"].as_u64(), Some(sessions));
    assert_eq!(
        evicted(&report, "sessions") + evicted(&report, "esp_flows"),
        0
    );
}

/// A datagram between two hosts with these UDP ports.
fn datagram(ends: [u8; 8], port: u16, payload: &[u8]) -> Vec<u8> {
    let udp = u16::try_from(payload.len() + 8).unwrap().to_be_bytes();
    let total = u16::try_from(payload.len() + 28).unwrap().to_be_bytes();
    [
        &[2; 12][..],
        &[8, 0, 0x45, 0],
        &total,
        &[0, 0, 0, 0, 64, 17, 0, 0],
        &ends,
        &port.to_be_bytes(),
        &port.to_be_bytes(),
        &udp,
        &[0, 0],
        payload,
    ]
    .concat()
}

#[test]
fn associations_that_renew_each_other() {
    let (there, back) = ([10, 0, 0, 1, 203, 0, 113, 1], [203, 0, 113, 1, 10, 0, 0, 1]);
    let message = |number: u8, flags: u8| {
        let spis = [[number, 1, 1, 1, 1, 1, 1, 1], [number, 2, 2, 2, 2, 2, 2, 2]].concat();
        let head = [46, 0x20, 36, flags, 0, 0, 0, 0, 0, 0, 0, 64];
        [&spis[..], &head, &[0, 0, 0, 36], &[9; 32]].concat()
    };
    let frames = (1..=20).flat_map(|number| {
        let (request, response) = (message(number, 0x08), message(number, 0x20));
        [
            datagram(there, 500, &request),
            datagram(back, 500, &response),
        ]
    });
    let capture = pcap(frames);
    let report = |budget: &str| -> Value {
        let arguments = ["analyze", "--format", "json", "--budget", budget, "-"];
        serde_json::from_slice(&fed(&arguments, &capture).stdout).unwrap()
    };
    let (tight, usual) = (report("sas=5"), report("sas=64"));
    assert_eq!((evicted(&tight, "sas"), evicted(&usual, "sas")), (3, 0));
    let count = |report: &Value| report["sessions"].as_array().unwrap().len();
    assert_eq!((count(&tight), count(&usual)), (4, 1));
}

#[test]
fn certificates() {
    let capture = common::repository("pcaps/tls12-big-certificate/single.pcap");
    let capture = std::fs::read(capture).unwrap();
    let report = |budget: &str| -> Value {
        let arguments = [
            "analyze", "--format", "json", "--tls", "all", "--budget", budget, "-",
        ];
        serde_json::from_slice(&fed(&arguments, &capture).stdout).unwrap()
    };
    let count = evicted(&report("certificates=1"), "certificates");
    assert!(count >= 1, "{count}");
    assert_eq!(evicted(&report("certificates=8"), "certificates"), 0);
    let arguments = [
        "decode",
        "--format",
        "ndjson",
        "--budget",
        "certificates=1",
        "-",
    ];
    let lines = String::from_utf8(fed(&arguments, &capture).stdout).unwrap();
    assert!(lines.contains("\"certificates_not_shown\":1"), "{lines}");
}

#[test]
fn session_octets() {
    for kind in ["i", "m", "l", "d", "o", "u"] {
        is_reached("session-octets=256K", "sessions", kind, 1000, 300);
    }
}

#[test]
fn what_is_given_up_stands_in_the_text() {
    let capture = capture("ign", 900);
    let budget = "sessions=10,fragments=10,lookups=10";
    let output = fed(&["analyze", "--summary", "--budget", budget, "-"], &capture);
    let text = String::from_utf8(output.stdout).unwrap();
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("Given up for lack of room:"), "{text}");
    for what in ["sessions", "fragmented datagrams", "look-ups"] {
        assert!(flat.contains(what), "{text}");
    }
    for wrong in ["sessions", "beer=1", "sessions=0"] {
        let output = fed(&["analyze", "--budget", wrong, "-"], &[]);
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
    let undecodable = |depth: usize, budget: &str| {
        let capture = pcap((0..5).map(|_| ethernet(nested(depth))));
        let arguments = ["analyze", "--format", "json", "--budget", budget, "-"];
        let output = fed(&arguments, &capture);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["captures"][0]["undecodable_frames"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(undecodable(40, "nesting=8"), 5);
    assert_eq!(
        (undecodable(3, "nesting=8"), undecodable(3, "nesting=2")),
        (0, 5)
    );
    let output = fed(&["analyze", "--budget", "nesting=9", "-"], &[]);
    assert_eq!(output.status.code(), Some(2));
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
    let output = fed(&["analyze", "--format", "json", "-"], &bomb);
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
    let output = fed(&arguments, &bomb);
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problems = report["captures"][0]["problems"].to_string();
    assert!(
        problems.contains("longer than 1048576 octets"),
        "{problems}"
    );
}

/// The decoded frame of a UDP payload.
fn decoded(port: u16, payload: &[u8], budget: &str) -> Value {
    let frame = datagram([10, 0, 0, 1, 10, 0, 0, 2], port, payload);
    let arguments = ["decode", "--format", "ndjson", "--budget", budget, "-"];
    let output = fed(&arguments, &pcap([frame]));
    let line = output.stdout.split(|octet| *octet == b'\n').next().unwrap();
    serde_json::from_slice(line).unwrap()
}

#[test]
fn lists_of_a_message_are_shown_so_far_and_the_rest_is_counted() {
    let avps = [0x80, 8, 0, 0, 0, 0, 0, 1].repeat(1000);
    let length = u16::try_from(avps.len() + 12).unwrap().to_be_bytes();
    let message = [&[0xc8, 2][..], &length, &[0; 8], &avps].concat();
    for (budget, shown) in [("sessions=9", 256), ("items=10", 10)] {
        let layer = &decoded(1701, &message, budget)["layers"][0];
        assert_eq!(layer["avps"].as_array().unwrap().len(), shown);
        assert_eq!(layer["avps_not_shown"], 1000 - shown);
    }

    let payloads = [43, 0, 0, 4].repeat(999);
    let payloads = [&payloads[..], &[0, 0, 0, 4]].concat();
    let length = u32::try_from(payloads.len() + 28).unwrap().to_be_bytes();
    let head = [
        7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 43, 0x20, 34, 8, 0, 0, 0, 0,
    ];
    let message = [&head[..], &length, &payloads].concat();
    for (budget, shown) in [("sessions=9", 256), ("items=10", 10)] {
        let layer = &decoded(500, &message, budget)["layers"][0];
        assert_eq!(layer["payloads"].as_array().unwrap().len(), shown);
        assert_eq!(layer["payloads_not_shown"], 1000 - shown);
    }
}
