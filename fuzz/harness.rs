//! What each fuzz target does with its octets. The targets and the replay of old findings in
//! `cargo test` share this file, so a finding stays found.
//!
//! A check here is a promise of the product: no panic, every iterator ends, an error points into
//! what was read, output is harmless and no longer than its input explains.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "harness code, shared by programs that each use a part of it"
)]

use std::io::Cursor;

#[path = "harness/answers.rs"]
mod answers;
#[path = "harness/files.rs"]
mod files;
#[path = "harness/reassembly.rs"]
mod reassembly;
#[path = "harness/shape.rs"]
pub mod shape;

pub use answers::replay;
pub use files::{gzip, pcap, pcapng, writer, zstd};
pub use reassembly::{dtls_streams, piecewise, tcp_streams};

use vpnscope::assemble::ip;
use vpnscope::decap::decap;
use vpnscope::desk::Desk;
use vpnscope::render::{text, tree};
use vpnscope::report::decode::{Builder, Secrets, wire_len};
use vpnscope::report::{self, Report, Summary};
use vpnscope::source::file::FileSource;
use vpnscope::source::{Format, Frame, FrameSource, LinkType, Statistics};
use vpnscope::time::Timestamp;
use vpnscope::track::{self, Change, Event};
use vpnscope::walk::{Front, Walk};
use vpnscope_dissectors::ike::{self, v1, v2, vendor};
use vpnscope_dissectors::{
    ParseError, ah, dns, dtls, eap, esp, l2tp, natt, ppp, pppoe, radius, tls,
};

/// A target by its name.
type Target = (&'static str, fn(&[u8]));

/// Every target by its name.
pub const TARGETS: &[Target] = &[
    ("ikev1", ikev1),
    ("ikev2", ikev2),
    ("natt", natt_esp_ah),
    ("eap", eap),
    ("l2tp", l2tp),
    ("ppp", ppp),
    ("pppoe", pppoe),
    ("radius", radius),
    ("dns", dns),
    ("tls", tls),
    ("dtls", dtls),
    ("certificate", certificate),
    ("file", file),
    ("fragments", fragments),
    ("frames", frames),
    ("walk", walk),
    ("structured", structured),
    ("dtls_streams", dtls_streams),
    ("tcp_streams", tcp_streams),
    ("piecewise", piecewise),
    ("replay", replay),
    ("pcap", pcap),
    ("pcapng", pcapng),
    ("gzip", gzip),
    ("zstd", zstd),
    ("writer", writer),
];

/// The time of the n-th frame, a millisecond each.
fn time_of(no: u64) -> Timestamp {
    Timestamp(1_700_000_000_000_000_000 + no as i64 * 1_000_000)
}

fn frame_of(no: u64, time: Timestamp, link: LinkType, octets: &[u8]) -> Frame<'_> {
    Frame {
        capture: 0,
        no,
        time,
        link,
        octets,
        wire_len: octets.len() as u32,
        interface: 0,
    }
}

/// An error lies within what was read.
fn within(error: &ParseError, octets: &[u8]) {
    assert!(
        error.offset <= octets.len(),
        "{error} in {} octets",
        octets.len()
    );
    let _ = error.to_string();
}

/// Walks to the end of an iterator that must end, because every item takes an octet.
fn ends<T>(octets: &[u8], items: impl Iterator<Item = Result<T, ParseError>>) -> Vec<T> {
    let mut good = Vec::new();
    for (n, item) in items.enumerate() {
        assert!(n <= octets.len(), "an iterator gives more than its octets");
        match item {
            Ok(item) => good.push(item),
            Err(error) => within(&error, octets),
        }
    }
    good
}

fn read<T>(octets: &[u8], result: Result<T, ParseError>) -> Option<T> {
    result.map_err(|error| within(&error, octets)).ok()
}

pub fn ikev2(octets: &[u8]) {
    let _ = ike::recognise(octets);
    let Some(message) = read(octets, ike::Message::parse(octets)) else {
        return;
    };
    for raw in ends(octets, message.payloads()) {
        let Some(payload) = read(octets, v2::Payload::parse(&raw)) else {
            continue;
        };
        match payload {
            v2::Payload::Sa(sa) => {
                for proposal in ends(octets, sa.proposals()) {
                    for transform in ends(octets, proposal.transforms()) {
                        let _ = (transform.to_string(), transform.key_length());
                        ends(octets, transform.attributes());
                    }
                }
            }
            v2::Payload::Notify(notify) => {
                if let Some(content) = read(octets, notify.content()) {
                    let _ = format!("{content:?}");
                    if let v2::NotifyData::AuthMethods(methods) = content {
                        ends(octets, methods);
                    }
                }
            }
            v2::Payload::TsI(ts) | v2::Payload::TsR(ts) => drop(ends(octets, ts.selectors())),
            v2::Payload::Config(config) => {
                for attribute in ends(octets, config.attributes()) {
                    let _ = format!("{:?}", attribute.value());
                }
            }
            v2::Payload::IdI(id) | v2::Payload::IdR(id) | v2::Payload::IdG(id) => {
                let _ = id.identity().to_string();
            }
            v2::Payload::Delete(delete) => {
                assert!(delete.spis().count() <= octets.len());
            }
            v2::Payload::CertReq(request) => {
                assert!(request.authorities().count() <= octets.len());
            }
            v2::Payload::VendorId(id) => {
                let _ = vendor::lookup(&id).map(|found| found.to_string());
            }
            other => {
                let _ = format!("{other:?}");
            }
        }
    }
}

pub fn ikev1(octets: &[u8]) {
    let Some(message) = read(octets, ike::Message::parse(octets)) else {
        return;
    };
    let exchange = v1::ExchangeType(message.header.exchange_type);
    for raw in ends(octets, message.payloads()) {
        let Some(payload) = read(octets, v1::Payload::parse(&raw, exchange)) else {
            continue;
        };
        match payload {
            v1::Payload::Sa(sa) => {
                for proposal in ends(octets, sa.proposals()) {
                    for transform in ends(octets, proposal.transforms()) {
                        ends(octets, transform.attributes());
                    }
                }
            }
            v1::Payload::Notify(notify) => {
                if let Some(v1::NotifyData::Attributes(list)) = read(octets, notify.content()) {
                    ends(octets, list);
                }
            }
            v1::Payload::Config(config) => {
                for attribute in ends(octets, config.attributes()) {
                    let _ = format!("{:?}", v1::ConfigValue::of(&attribute));
                }
            }
            v1::Payload::VendorId(id) => {
                let from = message.header.initiator_spi;
                let _ = vendor::lookup_from(&id, from).map(|found| found.to_string());
            }
            v1::Payload::Delete(delete) => {
                assert!(delete.spis().count() <= octets.len());
            }
            other => {
                let _ = format!("{other:?}");
            }
        }
    }
}

pub fn natt_esp_ah(octets: &[u8]) {
    read(octets, natt::Datagram::parse(octets));
    read(octets, esp::Packet::parse(octets));
    if let Some(packet) = read(octets, ah::Packet::parse(octets)) {
        assert!(packet.header_len() <= octets.len());
    }
}

pub fn eap(octets: &[u8]) {
    let Some(packet) = read(octets, eap::Packet::parse(octets)) else {
        return;
    };
    let _ = (packet.text(), packet.expanded());
    assert!(packet.wanted_methods().count() <= octets.len());
    if let Some(method) = packet.ms_chap_v2().and_then(|part| read(octets, part)) {
        let _ = (method.name(), method.message(), method.error());
    }
    packet.tls().and_then(|part| read(octets, part));
}

pub fn l2tp(octets: &[u8]) {
    let _ = l2tp::recognise(octets);
    for message in [
        l2tp::Message::parse(octets),
        l2tp::Message::parse_ip(octets),
    ] {
        let Some(message) = read(octets, message) else {
            continue;
        };
        let _ = message.message_type();
        for avp in ends(octets, message.avps()) {
            read(octets, avp.value());
        }
    }
}

pub fn ppp(octets: &[u8]) {
    let Some(frame) = read(octets, ppp::Frame::parse(octets)) else {
        return;
    };
    let Some(packet) = frame.packet().and_then(|packet| read(octets, packet)) else {
        return;
    };
    let _ = packet.code_name();
    for option in ends(octets, packet.options()) {
        let _ = option.name();
        read(octets, option.value());
    }
    if let Some(content) = read(octets, packet.content()) {
        let _ = format!("{content:?}");
    }
}

pub fn pppoe(octets: &[u8]) {
    if let Some(packet) = read(octets, pppoe::Packet::parse(octets)) {
        ends(octets, packet.tags());
    }
}

pub fn radius(octets: &[u8]) {
    let _ = radius::recognise(octets);
    let Some(packet) = read(octets, radius::Packet::parse(octets)) else {
        return;
    };
    for attribute in ends(octets, packet.attributes()) {
        let _ = format!("{:?}", attribute.value());
        let _ = attribute.ms_chap_error();
        if let Some(inner) = attribute.vendor_attributes() {
            ends(octets, inner);
        }
    }
}

pub fn dns(octets: &[u8]) {
    let _ = dns::recognise(octets);
    let Some(message) = read(octets, dns::Message::parse(octets)) else {
        return;
    };
    for question in ends(octets, message.questions()) {
        assert!(question.name.labels().count() <= 128);
        let _ = question.name.to_string();
    }
    for record in ends(octets, message.answers()) {
        assert!(record.name.labels().count() <= 128);
        let _ = record.name.to_string();
    }
}

/// The first octet chooses the context of the message, the second its type.
pub fn tls(octets: &[u8]) {
    let _ = tls::recognise(octets);
    for record in ends(octets, tls::Records::new(octets)) {
        let _ = format!("{record:?}");
    }
    let Some((&[shape, number], body)) = octets.split_first_chunk::<2>() else {
        return;
    };
    let version = [
        0x0300, 0x0301, 0x0303, 0x0304, 0xfeff, 0xfefd, 0xfefc, 0x0100,
    ];
    let context = tls::Context {
        is_dtls: shape & 1 != 0,
        version: (shape & 2 != 0).then(|| tls::Version(version[usize::from(shape >> 5)])),
        suite: (shape & 4 != 0).then_some(tls::CipherSuite(0xc02f)),
    };
    ends(body, tls::Handshakes::new(body));
    let Some(message) = read(
        body,
        tls::Message::parse(tls::HandshakeType(number), body, context),
    ) else {
        return;
    };
    match message {
        tls::Message::ClientHello(hello) => {
            let _ = (hello.server_name(), hello.newest_version());
            for extension in ends(body, hello.extensions.iter()) {
                if let Some(content) = read(body, extension.read(tls::Place::ClientHello)) {
                    let _ = format!("{content:?}");
                }
            }
        }
        tls::Message::ServerHello(hello) => {
            let _ = (hello.selected_version(), hello.downgraded_from());
            for extension in ends(body, hello.extensions.iter()) {
                read(body, extension.read(tls::Place::ServerHello));
            }
        }
        tls::Message::Certificate(list) => drop(ends(body, list.entries())),
        other => {
            let _ = format!("{other:?}");
        }
    }
}

/// The first octet is the length of the connection ids, where it is small.
pub fn dtls(octets: &[u8]) {
    let _ = dtls::recognise(octets);
    let Some((&first, datagram)) = octets.split_first() else {
        return;
    };
    let id_len = (first < 32).then_some(usize::from(first));
    for record in ends(datagram, dtls::Records::new(datagram, id_len)) {
        let _ = format!("{record:?}");
    }
    ends(datagram, dtls::Fragments::new(datagram));
    read(datagram, dtls::Ack::parse(datagram));
    read(datagram, dtls::ChangeCipherSpec::parse(datagram));
}

pub fn certificate(octets: &[u8]) {
    if let Some(found) = read(octets, tls::Certificate::parse(octets)) {
        let _ = format!("{found:?}");
    }
}

/// A capture file of any format, through both commands.
pub fn file(octets: &[u8]) {
    let Ok(mut source) = FileSource::new("fuzz", Cursor::new(octets.to_vec()), 0) else {
        return;
    };
    let mut run = Run::default();
    let mut captured = 0u64;
    while let Some(frame) = source.next_frame() {
        assert!(u64::from(frame.wire_len) >= frame.octets.len() as u64);
        captured += frame.octets.len() as u64 + 12;
        run.frame(&frame);
    }
    let plain = !octets.starts_with(&[0x1f, 0x8b]) && !octets.starts_with(&[0x28, 0xb5]);
    for problem in source.statistics().problems.iter().filter(|_| plain) {
        assert!(
            problem.offset.is_none_or(|at| at <= octets.len() as u64),
            "{problem:?}"
        );
    }
    assert!(!plain || captured <= octets.len() as u64 * 2 + 64);
    run.finish(source.statistics());
}

/// Records of link type and octets: what lies in the frame is up to the fuzzer.
pub fn frames(octets: &[u8]) {
    const LINKS: [u16; 16] = [
        1, 1, 0, 9, 12, 14, 50, 51, 101, 104, 108, 113, 166, 204, 239, 276,
    ];
    let mut run = Run::default();
    let mut rest = octets;
    let mut no = 0;
    while let Some((&[link, high, low], tail)) = rest.split_first_chunk::<3>() {
        no += 1;
        let len = usize::from(u16::from_be_bytes([high, low])).min(tail.len());
        let (frame, next) = tail.split_at(len);
        rest = next;
        run.octets(no, LinkType(LINKS[usize::from(link & 15)]), frame);
    }
    run.finish(&Statistics::new("fuzz", Format::Pcap));
}

/// Records of a shape and octets: the headers around the octets are made here, with lengths that
/// fit, so that what the fuzzer changes reaches the dissectors and the tracker.
pub fn walk(octets: &[u8]) {
    let mut run = Run::default();
    let mut rest = octets;
    let mut no = 0;
    let mut sequence = [1000u32, 2000];
    while let Some((&[shape, high, low], tail)) = rest.split_first_chunk::<3>() {
        no += 1;
        let len = usize::from(u16::from_be_bytes([high, low]) & 0x0fff).min(tail.len());
        let (data, next) = tail.split_at(len);
        rest = next;
        let frame = shaped(shape, data, &mut sequence);
        run.octets(no, LinkType::ETHERNET, &frame);
    }
    run.finish(&Statistics::new("fuzz", Format::Pcap));
}

/// Ethernet frames of a capture, changed by a mutator that keeps lengths and checksums right.
pub fn structured(octets: &[u8]) {
    let mut run = Run::default();
    for (no, frame) in (1..).zip(shape::records(octets)) {
        run.octets(no, LinkType::ETHERNET, &frame);
    }
    run.finish(&Statistics::new("fuzz", Format::Pcap));
}

/// Bits 0..4 of the shape: what it is; bit 6: one of two clients; bit 7: from the gateway.
fn shaped(shape: u8, data: &[u8], sequence: &mut [u32; 2]) -> Vec<u8> {
    let from_gateway = shape & 0x80 != 0;
    let client = [192, 0, 2, if shape & 0x40 == 0 { 1 } else { 2 }];
    let gateway = [203, 0, 113, 1];
    let (from, to) = if from_gateway {
        (gateway, client)
    } else {
        (client, gateway)
    };
    let ports = |port: u16, other: u16| {
        if from_gateway {
            [port.to_be_bytes(), other.to_be_bytes()].concat()
        } else {
            [other.to_be_bytes(), port.to_be_bytes()].concat()
        }
    };
    let udp = |port: u16, other: u16| {
        let len = (data.len() as u16 + 8).to_be_bytes();
        [ports(port, other).as_slice(), &len, &[0, 0], data].concat()
    };
    let (protocol, payload) = match shape & 0x0f {
        0 => (17, udp(500, 500)),
        1 => (17, udp(4500, 4500)),
        2 => (17, udp(4500, 31_000)),
        3 => (17, udp(1701, 1701)),
        4 => (17, udp(443, 40_000)),
        5 => (17, udp(53, 40_001)),
        6 => (17, udp(1812, 40_002)),
        7 => (50, data.to_vec()),
        8 => (1, [&[3, 4, 0, 0, 0, 0, 5, 0x14], data].concat()),
        9 => (1, [&[3, 13, 0, 0, 0, 0, 0, 0], data].concat()),
        10 => (115, data.to_vec()),
        11 => (47, data.to_vec()),
        kind => {
            let port = if kind == 12 { 4500 } else { 443 };
            let flags = if kind == 15 {
                data.first().copied().unwrap_or(2)
            } else {
                0x18
            };
            let mine = usize::from(from_gateway);
            let (seq, ack) = (sequence[mine], sequence[1 - mine]);
            sequence[mine] = seq.wrapping_add(data.len() as u32 + u32::from(flags & 3 != 0));
            let header = [
                ports(port, 40_003).as_slice(),
                &seq.to_be_bytes(),
                &ack.to_be_bytes(),
                &[0x50, flags, 0xff, 0xff, 0, 0, 0, 0],
            ]
            .concat();
            (6, [header.as_slice(), data].concat())
        }
    };
    let total = (payload.len() as u16 + 20).to_be_bytes();
    [
        &[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0],
        total.as_slice(),
        &[0, 1, 0x40, 0, 64, protocol, 0, 0],
        &from,
        &to,
        &payload,
    ]
    .concat()
}

/// Fragments of a few datagrams, offsets and lengths as the fuzzer likes; what is put together
/// has the octets of the fragments and no others.
pub fn fragments(octets: &[u8]) {
    let mut assembler = ip::Assembler::new(ip::Config::default());
    for (no, part) in (1u64..).zip(octets.chunks(5).take(4096)) {
        let &[id, offset, flags, len, fill] = part else {
            break;
        };
        let data = vec![fill; usize::from(len) * 8 + usize::from(flags >> 5)];
        let total = (data.len() as u16 + 20).to_be_bytes();
        let place = u16::from(offset) | u16::from(flags & 1) << 13 | u16::from(flags & 2) << 7;
        let frame = [
            &[0x45, 0],
            total.as_slice(),
            &[0, id & 7],
            &place.to_be_bytes(),
            &[64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2],
            &data,
        ]
        .concat();
        let time = Timestamp(no as i64 * 1_000_000 * (1 + i64::from(flags & 0x1c) * 100));
        assembler.advance(time);
        let segment = decap(&Frame {
            capture: 0,
            no,
            time,
            link: LinkType::RAW,
            octets: &frame,
            wire_len: frame.len() as u32,
            interface: 0,
        });
        if let Some(datagram) = assembler.handle(&segment) {
            assert!(datagram.pieces().len() as u64 <= no);
            let _ = format!("{:?}", datagram.segment());
        }
        while assembler.poll().is_some() {}
    }
    assembler.finish();
    let mut given_up = 0;
    while assembler.poll().is_some() {
        given_up += 1;
    }
    assert!(given_up <= 4096 && assembler.pending() == 0);
}

/// Both commands at once.
struct Run {
    front: Front,
    walk: Walk,
    desk: Desk,
    sessions: Vec<vpnscope::desk::Filed>,
    octets: usize,
    printed: usize,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            front: Front::new(ip::Config::default()),
            walk: Walk::new(ip::Config::default(), track::Config::default()),
            desk: Desk::new(None),
            sessions: Vec::new(),
            octets: 0,
            printed: 0,
        }
    }
}

impl Run {
    fn octets(&mut self, no: u64, link: LinkType, octets: &[u8]) {
        self.frame(&Frame {
            capture: 0,
            no,
            time: Timestamp(1_700_000_000_000_000_000 + no as i64 * 250_000_000),
            link,
            octets,
            wire_len: octets.len() as u32,
            interface: 0,
        });
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        self.octets += frame.octets.len() + 16;
        let mut builder = Builder::default();
        self.front.frame(frame, &mut |event: &Event<'_>| {
            builder.add(event, wire_len(event.envelope), Secrets(false));
        });
        if let Some(report) = builder.take() {
            let mut out = serde_json::to_vec(&report).expect("serialises");
            tree::frame(&mut out, &report).expect("memory does not fail");
            self.printed += out.len();
        }
        self.walk.frame(frame);
        while let Some(Change::Closed(session)) = self.walk.poll() {
            self.sessions.push(self.desk.close(session));
        }
    }

    fn finish(mut self, statistics: &Statistics) {
        assert!(
            self.printed <= 400 * self.octets + 4096,
            "{} octets printed of {}",
            self.printed,
            self.octets
        );
        self.walk.finish();
        self.desk.capture_ended(statistics);
        let mut last = Vec::new();
        while let Some(Change::Closed(session)) = self.walk.poll() {
            last.push(session);
        }
        self.sessions.extend(self.desk.close_all(last));
        let mut summary = Summary::default();
        for filed in &self.sessions {
            summary.count(filed.session.kind.word(), &filed.verdict);
        }
        let counters = self.walk.track_counters();
        let undecodable = self.walk.counters().undecodable;
        let report = Report {
            schema: report::SCHEMA,
            captures: vec![report::capture(statistics, counters.copies, undecodable)],
            sessions: self
                .sessions
                .iter()
                .map(|filed| report::session(filed.session.id, &filed.session, &filed.verdict))
                .collect(),
            summary,
            expected: Vec::new(),
            hints: Vec::new(),
        };
        let mut out = Vec::new();
        text::report(&mut out, &report, text::Style { colour: false }).expect("no fault");
        let shown = String::from_utf8(out).expect("UTF-8");
        let bad = shown
            .chars()
            .find(|c| *c != '\n' && vpnscope::render::escape::is_harmful(*c));
        assert_eq!(bad, None, "an octet of the wire reaches the terminal");
        serde_json::to_vec(&report).expect("serialises");
        for session in &report.sessions {
            assert!(session.cause.is_none() || session.outcome != "established");
        }
    }
}
