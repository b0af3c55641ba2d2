//! Writes the seeds of every target, taken from the labelled captures: `seeds PCAPS CORPUS`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use vpnscope::decap::{Content, decap};
use vpnscope::source::{Frame, FrameSource, LinkType, file};
use vpnscope_dissectors::tls;

/// Seeds of one target that are kept.
const KEPT: usize = 400;

struct Seeds {
    folder: PathBuf,
    counts: BTreeMap<&'static str, usize>,
}

impl Seeds {
    fn write(&mut self, target: &'static str, octets: &[u8]) {
        let count = self.counts.entry(target).or_default();
        if octets.is_empty() || octets.len() > 65_536 || *count >= KEPT {
            return;
        }
        *count += 1;
        let folder = self.folder.join(target);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("seed-{count:04}")), octets).expect("a seed");
    }
}

/// A record of the `frames` target.
fn framed(frame: &Frame<'_>, out: &mut Vec<u8>) {
    const LINKS: [u16; 16] = [
        1, 1, 0, 9, 12, 14, 50, 51, 101, 104, 108, 113, 166, 204, 239, 276,
    ];
    let link = LINKS.iter().position(|n| LinkType(*n) == frame.link);
    if let (Some(link), Ok(len)) = (link, u16::try_from(frame.octets.len())) {
        out.push(link as u8);
        out.extend(len.to_be_bytes());
        out.extend(frame.octets);
    }
}

/// A record of the `walk` target: the payload, and the shape that makes headers like its own.
fn shaped(shape: u8, payload: &[u8], out: &mut Vec<u8>) {
    let len = payload.len().min(0x0fff);
    out.push(shape);
    out.extend((len as u16).to_be_bytes());
    out.extend(&payload[..len]);
}

fn ppp(payload: &[u8], seeds: &mut Seeds) {
    if let Ok(message) = vpnscope_dissectors::l2tp::Message::parse(payload)
        && !message.is_control()
    {
        seeds.write("ppp", message.body);
    }
}

fn udp(ports: (u16, u16), payload: &[u8], seeds: &mut Seeds) -> u8 {
    let has = |port| ports.0 == port || ports.1 == port;
    if has(500) || has(4500) {
        let ike = payload.strip_prefix(&[0; 4]).unwrap_or(payload);
        let target = if ike.get(17) == Some(&0x10) { "ikev1" } else { "ikev2" };
        seeds.write(target, ike);
        seeds.write("natt", payload);
        return if has(500) { 0 } else { 1 };
    }
    if has(1701) {
        seeds.write("l2tp", payload);
        ppp(payload, seeds);
        return 3;
    }
    if has(53) {
        seeds.write("dns", payload);
        return 5;
    }
    if has(1812) || has(1813) {
        seeds.write("radius", payload);
        return 6;
    }
    seeds.write("dtls", &[&[255], payload].concat());
    4
}

fn handshakes(payload: &[u8], seeds: &mut Seeds) {
    seeds.write("tls", &[&[2 | 3 << 5, 1], payload].concat());
    for record in tls::Records::new(payload).flatten() {
        let fragment = record.fragment.0;
        for handshake in tls::Handshakes::new(fragment).flatten() {
            let head = [6 | 2 << 5, handshake.message_type.0];
            seeds.write("tls", &[&head, handshake.body.0].concat());
            if let Ok(list) = tls::Certificates::parse(handshake.body.0) {
                for entry in list.entries().flatten() {
                    seeds.write("certificate", entry.der.0);
                }
            }
        }
    }
}

/// The file as seeds of the readers.
fn formats(octets: &[u8], seeds: &mut Seeds) {
    seeds.write("file", octets);
    match octets {
        [0xd4, 0xc3, 0xb2, 0xa1, rest @ ..] => seeds.write("pcap", &[&[0], rest].concat()),
        [0xa1, 0xb2, 0xc3, 0xd4, rest @ ..] => seeds.write("pcap", &[&[1], rest].concat()),
        [0x4d, 0x3c, 0xb2, 0xa1, rest @ ..] => seeds.write("pcap", &[&[2], rest].concat()),
        [0xa1, 0xb2, 0x3c, 0x4d, rest @ ..] => seeds.write("pcap", &[&[3], rest].concat()),
        [0x0a, 0x0d, 0x0d, 0x0a, ..] => seeds.write("pcapng", &blocks(octets)),
        _ => {}
    }
    let head = octets.get(..4096).unwrap_or(octets);
    for choice in [1, 3, 7] {
        seeds.write("gzip", &[&[choice, 40, 1], head].concat());
        seeds.write("zstd", &[&[choice, 40, 1], head].concat());
    }
}

/// The blocks of a little-endian pcapng file as the `pcapng` target takes them.
fn blocks(octets: &[u8]) -> Vec<u8> {
    let mut out = vec![0];
    let mut rest = octets;
    while let Some((head, tail)) = rest.split_first_chunk::<8>() {
        let kind = head[0] & 15;
        let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let (Some(body), Some(next)) = (tail.get(..len.saturating_sub(12)), rest.get(len..)) else {
            break;
        };
        let skip = match head[0] {
            0x0a => None,
            1 => Some(8),
            _ => Some(0),
        };
        if let Some(body) = skip.and_then(|skip| body.get(skip..)) {
            let len = body.len().min(0x3fff);
            out.push(kind);
            out.extend((len as u16).to_be_bytes());
            out.extend(&body[..len]);
        }
        if len == 0 {
            break;
        }
        rest = next;
    }
    out
}

fn capture(path: &Path, seeds: &mut Seeds) {
    if let Ok(octets) = fs::read(path) {
        formats(&octets, seeds);
    }
    let Ok(mut source) = file::open(path, 0) else {
        return;
    };
    let (mut frames, mut walk) = (Vec::new(), Vec::new());
    let (mut ethernet, mut written) = (Vec::new(), vec![0]);
    let mut stream = vec![0, 7];
    while let Some(frame) = source.next_frame() {
        framed(&frame, &mut frames);
        if frame.link == LinkType::ETHERNET && ethernet.len() < 40_000 {
            let len = frame.octets.len().min(0xffff);
            ethernet.extend((len as u16).to_be_bytes());
            ethernet.extend(&frame.octets[..len]);
        }
        if written.len() < 4096 {
            let len = frame.octets.len().min(255);
            written.extend([0, 0x65, 1, 2, 3, len as u8]);
            written.extend(&frame.octets[..len]);
        }
        let segment = decap(&frame);
        let envelope = segment.envelope;
        let ports = (envelope.source_port, envelope.destination_port);
        let side = if envelope.source < envelope.destination { 0 } else { 0x80 };
        match segment.content {
            Content::Udp { payload, .. } => {
                let shape = udp(ports, payload, seeds);
                shaped(shape | side, payload, &mut walk);
            }
            Content::Tcp(tcp) => {
                if stream.len() < 16_000 {
                    stream.extend(tcp.payload);
                }
                if !tcp.payload.is_empty() {
                    handshakes(tcp.payload, seeds);
                }
                let flags = [tcp.flags];
                let (shape, data) = if tcp.payload.is_empty() {
                    (15, flags.as_slice())
                } else {
                    (13, tcp.payload)
                };
                shaped(shape | side, data, &mut walk);
            }
            Content::Ip { payload, .. } if envelope.protocol == 50 => {
                seeds.write("natt", payload);
                shaped(7 | side, payload, &mut walk);
            }
            Content::Pppoe { octets, .. } => seeds.write("pppoe", octets),
            _ => {}
        }
    }
    seeds.write("frames", &frames);
    seeds.write("walk", &walk);
    seeds.write("structured", &ethernet);
    for choice in [0, 3, 5, 8] {
        written[0] = choice;
        seeds.write("writer", &written);
    }
    if stream.len() > 2 {
        for kind in [0, 1, 2, 3] {
            stream[0] = kind;
            seeds.write("piecewise", &stream);
        }
    }
}

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(pcaps), Some(folder)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: seeds PCAPS CORPUS");
        std::process::exit(2);
    };
    let mut seeds = Seeds {
        folder,
        counts: BTreeMap::new(),
    };
    let mut scenarios: Vec<PathBuf> = fs::read_dir(&pcaps)
        .expect("the captures")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    scenarios.sort();
    for scenario in scenarios {
        let mut files: Vec<PathBuf> = fs::read_dir(scenario)
            .expect("a scenario")
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().contains(".pcap"))
            .collect();
        files.sort();
        for file in files {
            capture(&file, &mut seeds);
        }
    }
    // By hand: an EAP identity request, MS-CHAPv2 in EAP, EAP-TLS start; a PADI; an Access-Request;
    // fragments of two datagrams.
    seeds.write("eap", b"\x01\x01\x00\x0a\x01hello");
    seeds.write("eap", b"\x01\x02\x00\x1a\x1a\x04\x02\x00\x15E=691 R=1 C=0 V=3");
    seeds.write("eap", b"\x01\x03\x00\x06\x0d\x20");
    seeds.write("pppoe", b"\x11\x09\x00\x00\x00\x08\x01\x01\x00\x00\x01\x03\x00\x00");
    seeds.write(
        "radius",
        b"\x01\x01\x00\x19\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x05bob",
    );
    seeds.write("fragments", &[1, 0, 1, 2, 0, 1, 2, 0, 2, 0, 2, 0, 1, 255, 0]);
    reassembly(&mut seeds);
    for (target, count) in &seeds.counts {
        println!("{target}: {count} seeds");
    }
}

/// Streams whose parts are in order, and turned around; recordings that hear their own answers.
fn reassembly(seeds: &mut Seeds) {
    let fragment = |at: u8| [2 | 4, 1, 9, at * 2, 51];
    let forward: Vec<u8> = (0..9).flat_map(fragment).collect();
    let backward: Vec<u8> = (0..9).rev().flat_map(fragment).collect();
    seeds.write("dtls_streams", &forward);
    seeds.write("dtls_streams", &backward);
    let segment = |at: u8| [0, 0, at * 100, 100, 1];
    let begin = [9, 9, 9, 9, 0, 0xf4, 0, 0, 0, 0];
    let forward: Vec<u8> = (0..3).flat_map(segment).collect();
    let backward: Vec<u8> = (0..3).rev().flat_map(segment).collect();
    seeds.write("tcp_streams", &[&begin[..], &forward].concat());
    seeds.write("tcp_streams", &[&begin[..], &backward].concat());
    for recording in 0..16 {
        let mut parts = vec![recording];
        for answer in 0..8 {
            parts.extend([0x0a, 0, answer, 4, 0, 0]);
        }
        seeds.write("replay", &parts);
    }
}
