//! What is put together from parts: DTLS messages, TCP streams, and streams read piece by piece
//! against the same streams read at once.

use std::collections::HashMap;

use vpnscope::assemble::messages::{dtls, tls};
use vpnscope::assemble::tcp::{self, Appetite, Party};
use vpnscope::assemble::tcp_ike;
use vpnscope::decap::{Flow, decap};
use vpnscope::source::LinkType;
use vpnscope::time::Timestamp;
use vpnscope_dissectors::Verdict;

use super::{frame_of, time_of};

/// The octet of a made message that stands at an offset: whoever puts it elsewhere is caught.
fn octet(message: u16, offset: u32) -> u8 {
    (offset.wrapping_mul(31) as u8) ^ (offset >> 8) as u8 ^ (message as u8).wrapping_mul(17)
}

fn flow(from_client: bool) -> Flow {
    let ends = [
        ("192.0.2.1".parse().unwrap(), 40_000),
        ("203.0.113.1".parse().unwrap(), 443),
    ];
    Flow {
        source: ends[usize::from(!from_client)],
        destination: ends[usize::from(from_client)],
    }
}

/// Fragments of handshake messages: types, numbers, lengths and places as the fuzzer likes, the
/// octets by their place. A message that becomes whole has each octet where it belongs. A part
/// that begins with 255 carries a datagram as it is.
pub fn dtls_streams(octets: &[u8]) {
    let config = dtls::Config {
        octets: 1 << 20,
        ..dtls::Config::default()
    };
    let mut assembler = dtls::Assembler::new(config);
    let (mut made_only, mut no) = (true, 0u64);
    let mut rest = octets;
    while let Some((&[kind, number, len, offset, count], tail)) = rest.split_first_chunk::<5>() {
        no += 1;
        let from_client = kind & 1 == 0;
        let datagram = if kind == 255 {
            made_only = false;
            let len = (usize::from(number) << 8 | usize::from(len)).min(tail.len());
            let (datagram, next) = tail.split_at(len);
            rest = next;
            datagram.to_vec()
        } else {
            rest = tail;
            // Twelve is nothing that the assembler learns from.
            let length = u32::from(len) * if kind & 2 == 0 { 1 } else { 97 };
            let offset = u32::from(offset) * if kind & 4 == 0 { 1 } else { 101 };
            let body: Vec<u8> = (offset..offset + u32::from(count) * 4)
                .map(|at| octet(u16::from(number), at))
                .collect();
            record(12, length, u16::from(number), offset, &body)
        };
        let mut sink = |item: &dtls::Item<'_>| check(item, made_only);
        assembler.advance(time_of(no), &mut sink);
        assembler.handle(0, &flow(from_client), no, time_of(no), &datagram, &mut sink);
    }
    assembler.finish(&mut |item| check(item, made_only));
}

fn check(item: &dtls::Item<'_>, made_only: bool) {
    match item.what {
        dtls::What::Message {
            message_seq, body, ..
        } if made_only => {
            for (at, found) in (0..).zip(body) {
                assert_eq!(*found, octet(message_seq, at), "octet {at} is another's");
            }
        }
        dtls::What::Incomplete { length, seen, .. } => assert!(seen < length || length == 0),
        _ => {}
    }
}

/// A datagram of one record with one fragment.
fn record(kind: u8, length: u32, number: u16, offset: u32, body: &[u8]) -> Vec<u8> {
    let count = body.len() as u32;
    let mut out = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0];
    out.extend((body.len() as u16 + 12).to_be_bytes());
    out.push(kind);
    out.extend(&length.to_be_bytes()[1..]);
    out.extend(number.to_be_bytes());
    out.extend(&offset.to_be_bytes()[1..]);
    out.extend(&count.to_be_bytes()[1..]);
    out.extend(body);
    out
}

/// What a reader of streams must hold: nothing.
#[derive(Debug, Default)]
struct Nothing;

impl tcp::Reader for Nothing {
    fn held(&self) -> usize {
        0
    }
}

/// How far the two directions of a connection were delivered.
#[derive(Debug, Default)]
struct Told {
    next: [Option<u32>; 2],
    octets: usize,
}

/// Segments of a connection whose octets follow from their place in the stream. What is
/// delivered goes forward without overlap, and each octet stands where it belongs.
pub fn tcp_streams(octets: &[u8]) {
    let config = tcp::Config {
        recognise: |_| Verdict::Certain,
        early_octets: 8 << 10,
        early_segments: 64,
        ..tcp::Config::default()
    };
    let mut assembler = tcp::Assembler::<Nothing>::new(config);
    let mut told: HashMap<u64, Told> = HashMap::new();
    let mut given = 0;
    let mut parts = octets.chunks_exact(5);
    let base = parts.next().map_or(0, |part| {
        u32::from_be_bytes([part[0], part[1], part[2], part[3]])
    });
    let bases = [base, base.wrapping_mul(3).wrapping_add(77)];
    for (no, part) in (1u64..).zip(parts.take(4096)) {
        let &[kind, high, low, len, pace] = part else {
            break;
        };
        let from_client = kind & 1 == 0;
        let offset = u32::from(u16::from_be_bytes([high, low]));
        let flags = if kind & 0xf0 == 0xf0 {
            kind >> 1 & 7 | 0x10
        } else {
            0x10
        };
        let count = u32::from(len) * (1 + u32::from(kind >> 1 & 3));
        let mine = usize::from(!from_client);
        let body: Vec<u8> = if flags & 2 == 0 {
            (offset..offset + count)
                .map(|at| octet(mine as u16, at))
                .collect()
        } else {
            Vec::new()
        };
        given += body.len();
        let first = u32::from(flags & 2 == 0);
        let sequence = bases[mine].wrapping_add(first).wrapping_add(offset * first);
        let ack = bases[1 - mine].wrapping_add(1 + u32::from(pace & 0x7f) * 64);
        let frame = segment(from_client, no as u16, sequence, ack, flags, &body);
        let time = time_of(no * u64::from(1 + (pace >> 7) * 40));
        let mut sink = |_: &mut Nothing, delivery: &tcp::Delivery<'_>| {
            told.entry(delivery.connection)
                .or_default()
                .take(delivery, bases);
            Appetite::All
        };
        assembler.advance(time, &mut sink);
        assembler.handle(
            &decap(&frame_of(no, time, LinkType::RAW, &frame)),
            &mut sink,
        );
    }
    assembler.finish(Timestamp::MAX, &mut |_, delivery| {
        told.entry(delivery.connection)
            .or_default()
            .take(delivery, bases);
        Appetite::All
    });
    let delivered: usize = told.values().map(|told| told.octets).sum();
    assert!(delivered <= given, "{delivered} octets of {given}");
}

impl Told {
    fn take(&mut self, delivery: &tcp::Delivery<'_>, _: [u32; 2]) {
        let (offset, len) = match delivery.what {
            tcp::What::Octets { offset, octets } => (offset, octets.len() as u32),
            tcp::What::Gap { offset, len } => (offset, len),
            tcp::What::Fact(_) => return,
        };
        let mine = usize::from(delivery.from == Party::Acceptor);
        if let Some(next) = self.next[mine] {
            assert_eq!(next, offset, "a delivery overlaps or leaves a hole");
        }
        self.next[mine] = Some(offset.wrapping_add(len));
        if let tcp::What::Octets { octets, .. } = delivery.what {
            self.octets += octets.len();
        }
    }
}

/// An IPv4 packet with a TCP segment.
fn segment(from_client: bool, id: u16, sequence: u32, ack: u32, flags: u8, body: &[u8]) -> Vec<u8> {
    let (client, gateway) = ([192, 0, 2, 1], [203, 0, 113, 1]);
    let ports = [40_000u16.to_be_bytes(), 443u16.to_be_bytes()];
    let [from, to] = if from_client {
        [client, gateway]
    } else {
        [gateway, client]
    };
    let mine = usize::from(!from_client);
    let total = (body.len() as u16 + 40).to_be_bytes();
    [
        &[0x45, 0],
        total.as_slice(),
        &id.to_be_bytes(),
        &[0x40, 0, 64, 6, 0, 0],
        &from,
        &to,
        &ports[mine],
        &ports[1 - mine],
        &sequence.to_be_bytes(),
        &ack.to_be_bytes(),
        &[0x50, flags, 0xff, 0xff, 0, 0, 0, 0],
        body,
    ]
    .concat()
}

/// The first octet chooses the protocol and where the stream is cut; both ways of reading give
/// the same items.
pub fn piecewise(octets: &[u8]) {
    let Some((&[kind, step], stream)) = octets.split_first_chunk::<2>() else {
        return;
    };
    // Two directions that take turns, as long as the second octet says.
    let turn = if kind & 2 == 0 {
        usize::MAX
    } else {
        usize::from(step) * 8 + 1
    };
    let cuts = |whole: bool| -> Vec<(bool, &[u8])> {
        let mut random = u32::from(step) << 8 | u32::from(kind) | 1;
        let mut parts = Vec::new();
        for (index, direction) in stream.chunks(turn.min(stream.len().max(1))).enumerate() {
            let mut rest = direction;
            while !rest.is_empty() {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let len = if whole {
                    rest.len()
                } else {
                    (1 + (random >> 24) as usize % (1 + usize::from(step))).min(rest.len())
                };
                let (part, next) = rest.split_at(len);
                rest = next;
                parts.push((index % 2 == 0, part));
            }
        }
        parts
    };
    if kind & 1 == 0 {
        assert_eq!(read_tls(&cuts(true)), read_tls(&cuts(false)));
    } else {
        assert_eq!(read_ike(&cuts(true)), read_ike(&cuts(false)));
    }
}

fn read_tls(parts: &[(bool, &[u8])]) -> Vec<String> {
    let mut stream = tls::Stream::default();
    let mut items = Vec::new();
    let mut offsets = [0u32; 2];
    let mut sink = |item: &tls::Item<'_>| items.push(tls_item(item));
    for (opener, part) in parts {
        let from = if *opener {
            Party::Opener
        } else {
            Party::Acceptor
        };
        let mine = &mut offsets[usize::from(*opener)];
        stream.octets(from, *mine == 0, 1, part, &mut sink);
        *mine += part.len() as u32;
    }
    stream.finish(&mut sink);
    // Where a stream goes on after what cannot be read depends on where its segments end.
    let lost = items
        .iter()
        .position(|item| item.ends_with("unreadable") || item.ends_with("no TLS"));
    items.truncate(lost.map_or(items.len(), |at| at + 1));
    items
}

fn tls_item(item: &tls::Item<'_>) -> String {
    match item.what {
        // How much of it is at hand when that is found out depends on the segments.
        tls::What::NotTls(_) => format!("{:?} no TLS", item.from),
        tls::What::Unreadable(_) => format!("{:?} unreadable", item.from),
        what => format!("{:?} {what:?} {:?}", item.from, item.context),
    }
}

fn read_ike(parts: &[(bool, &[u8])]) -> Vec<String> {
    let mut streams = [tcp_ike::Stream::new(true), tcp_ike::Stream::new(true)];
    let mut items = Vec::new();
    let mut given = 0;
    for (opener, part) in parts {
        let stream = &mut streams[usize::from(*opener)];
        let mark = tcp_ike::Mark {
            frame: 1,
            time: Timestamp(0),
        };
        stream.push(part, mark);
        while let Some(message) = stream.next_message() {
            given += 1;
            items.push((*opener, format!("{:?}", message.carried)));
        }
    }
    let octets: usize = parts.iter().map(|(_, part)| part.len()).sum();
    assert!(given <= octets, "more messages than octets");
    // The directions are read each by itself; only their own order counts.
    items.sort_by_key(|(opener, _)| *opener);
    items.into_iter().map(|(_, item)| item).collect()
}
