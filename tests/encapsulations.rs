//! The same session in every encapsulation gives the same report.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod common;

use common::program::fed;
use common::wrap;
use common::{capture, datagrams};
use serde_json::Value;

/// The report of a capture, without what is about the file itself.
fn report(capture: &[u8]) -> Value {
    let (report, file) = whole_report(capture);
    assert_eq!(file["undecodable_frames"], 0);
    report
}

/// The report of a capture, and apart what is about the file.
fn whole_report(capture: &[u8]) -> (Value, Value) {
    let output = fed(&["analyze", "--format", "json", "-"], capture);
    let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let file = report.as_object_mut().unwrap().remove("captures").unwrap();
    (report, file[0].clone())
}

#[test]
fn the_same_session_gives_the_same_report() {
    let names = [
        "ikev2-psk-mismatch/client.pcap",
        "ikev2-last-fragment-dropped/gateway.pcap",
        "ikev2-frag-needed-then-established/client.pcap",
        "ikev2-esp-pmtu-blackhole/client.pcap",
        "ikev1-certificates-fragments-dropped/client.pcap",
        "oc-established-tls13-dtls12-psk/client.pcap",
        "l2tp-mschapv2-established/client.pcap",
    ];
    std::thread::scope(|scope| {
        for name in names {
            scope.spawn(move || {
                let datagrams = datagrams(name);
                let plain = report(&capture(&datagrams, &wrap::ALL[0]));
                assert_ne!(plain["sessions"][0]["outcome"], Value::Null, "{name}");
                for wrapping in &wrap::ALL[1..] {
                    let wrapped = report(&capture(&datagrams, wrapping));
                    assert_eq!(wrapped, plain, "{name} in {}", wrapping.name);
                }
            });
        }
    });
}

/// A TCP segment with a right checksum is not needed: offload leaves them wrong as well.
fn tcp(ports: [u16; 2], numbers: [u32; 2], flags: u8, data: &[u8]) -> Vec<u8> {
    wrap::cat(&[
        &wrap::be16(ports[0]),
        &wrap::be16(ports[1]),
        &numbers[0].to_be_bytes(),
        &numbers[1].to_be_bytes(),
        &[0x50, flags, 0xff, 0xff, 0, 0, 0, 0],
        data,
    ])
}

/// What a datagram of an IKE session carries, as RFC 9329 frames it; `None` for what has no
/// place there.
fn framed(ip: &[u8]) -> Option<Vec<u8>> {
    let carried = match (ip[9], &ip[20..]) {
        (50, esp) => esp.to_vec(),
        (17, udp) if udp[2..4] == wrap::be16(500) || udp[..2] == wrap::be16(500) => {
            wrap::cat(&[&[0; 4], &udp[8..]])
        }
        (17, udp) if udp.len() > 9 => udp[8..].to_vec(),
        _ => return None,
    };
    let length = u16::try_from(carried.len() + 2).unwrap();
    Some(wrap::cat(&[&wrap::be16(length), &carried]))
}

/// A session as one TCP connection, in segments of at most `size` octets.
fn over_tcp(name: &str, port: u16, size: usize) -> Vec<(i64, Vec<u8>)> {
    let all = datagrams(name);
    let client = all[0].1[12..16].to_vec();
    let gateway = all[0].1[16..20].to_vec();
    let mut sent = [1000_u32, 9000];
    let mut list = Vec::new();
    let mut send = |time: i64, from_client: bool, flags: u8, data: &[u8]| {
        let (from, to) = if from_client { (0, 1) } else { (1, 0) };
        let ports = if from_client {
            [40_000, port]
        } else {
            [port, 40_000]
        };
        let segment = tcp(ports, [sent[from], sent[to]], flags, data);
        let addresses = [&client, &gateway];
        let ip = |side: usize| <[u8; 4]>::try_from(&addresses[side][..]).unwrap();
        list.push((time, wrap::ipv4(ip(from), ip(to), 6, 0x4000, &segment)));
        sent[from] += u32::try_from(data.len()).unwrap() + u32::from(flags & 2 != 0);
    };
    let start = all[0].0;
    send(start - 3000, true, 0x02, &[]);
    send(start - 2000, false, 0x12, &[]);
    send(start - 1500, true, 0x10, &[]);
    send(start - 1000, true, 0x18, b"IKETCP");
    for (time, ip) in &all {
        if let Some(frame) = framed(ip) {
            for part in frame.chunks(size) {
                send(*time, ip[12..16] == client[..], 0x18, part);
            }
        }
    }
    list
}

#[test]
fn ike_and_esp_in_tcp_are_the_same_session() {
    for name in [
        "ikev2-psk-established/client.pcap",
        "ikev2-psk-mismatch/client.pcap",
    ] {
        let plain = report(&capture(&datagrams(name), &wrap::ALL[0]));
        for (port, size) in [(4500, 1400), (443, 1400), (4500, 100)] {
            let wrapped = report(&capture(&over_tcp(name, port, size), &wrap::ALL[0]));
            let sessions = wrapped["sessions"].as_array().unwrap();
            assert_eq!(sessions.len(), 1, "{name} on {port} in {size}");
            for key in ["kind", "outcome", "stage", "cause", "offered"] {
                assert_eq!(
                    sessions[0][key], plain["sessions"][0][key],
                    "{key} of {name} on {port} in {size}"
                );
            }
            let esp = |report: &Value| {
                let list = report["sessions"][0]["counters"]["esp"]
                    .as_array()
                    .unwrap()
                    .clone();
                list.iter()
                    .map(|e| e["packets"].clone())
                    .collect::<Vec<_>>()
            };
            assert_eq!(esp(&wrapped), esp(&plain), "{name} on {port} in {size}");
        }
    }
}

/// A session as Cisco's `IPsec` over TCP: each segment a packet with a trailer.
fn over_cisco_tcp(name: &str) -> Vec<(i64, Vec<u8>)> {
    let all = datagrams(name);
    let client: [u8; 4] = all[0].1[12..16].try_into().unwrap();
    let mut list = Vec::new();
    for (time, ip) in &all {
        let (packet, protocol) = match (ip[9], &ip[20..]) {
            (50, esp) => (esp, 50),
            // Behind a UDP header without marker, as on port 500.
            (17, udp) if udp[2..4] == wrap::be16(500) || udp[..2] == wrap::be16(500) => (udp, 17),
            _ => continue,
        };
        let trailer = [0, 0, 0, 0, 0, 1, 0x40, 0, 7, 7, 7, 7, 7, protocol, 7, 7];
        let from: [u8; 4] = ip[12..16].try_into().unwrap();
        let to = ip[16..20].try_into().unwrap();
        let ports = if from == client {
            [40_000, 10_000]
        } else {
            [10_000, 40_000]
        };
        let segment = tcp(ports, [1, 1], 0x18, &wrap::cat(&[packet, &trailer]));
        list.push((*time, wrap::ipv4(from, to, 6, 0x4000, &segment)));
    }
    list
}

#[test]
fn ipsec_over_tcp_of_cisco_is_recognised() {
    let name = "ikev2-esp-protocol-50-established/client.pcap";
    let wrapped = report(&capture(&over_cisco_tcp(name), &wrap::ALL[0]));
    assert_eq!(wrapped["sessions"][0]["kind"], "ikev2");
    assert_eq!(wrapped["sessions"][0]["outcome"], "established");
}

#[test]
fn copies_of_fragments_by_a_span_port_are_counted_and_change_nothing() {
    let name = "ikev2-frag-needed-then-established/client.pcap";
    let list = datagrams(name);
    let mut twice = Vec::new();
    let mut fragments = 0;
    for (time, ip) in &list {
        twice.push((*time, ip.clone()));
        if u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff != 0 {
            fragments += 1;
            // The copy after one more router, a little later.
            let mut copy = ip.clone();
            copy[8] -= 1;
            copy[10..12].copy_from_slice(&[0, 0]);
            let sum = wrap::ones_complement(&copy[..20]);
            copy[10..12].copy_from_slice(&wrap::be16(sum));
            twice.push((time + 30_000, copy));
        }
    }
    assert!(fragments >= 4);
    let (plain, _) = whole_report(&capture(&list, &wrap::ALL[0]));
    let (copied, file) = whole_report(&capture(&twice, &wrap::ALL[0]));
    assert_eq!(file["duplicated_frames"], fragments);
    for key in ["outcome", "cause", "counters"] {
        assert_eq!(
            copied["sessions"][0][key], plain["sessions"][0][key],
            "{key}"
        );
    }
    assert_eq!(
        copied["sessions"][0]["ladder"].as_array().unwrap().len(),
        plain["sessions"][0]["ladder"].as_array().unwrap().len()
    );
}
