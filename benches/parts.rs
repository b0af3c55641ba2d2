//! Each part by itself: dissectors by the message, decap by the frame, the walk by the event.
#![allow(
    clippy::pedantic,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "a bench"
)]

mod traffic;

use std::hint::black_box;
use std::io::Cursor;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use traffic::{Mix, pcap, recordings};
use vpnscope::assemble::ip;
use vpnscope::decap::{Content, decap, glance};
use vpnscope::dissect::{Class, classify};
use vpnscope::source::file::FileSource;
use vpnscope::source::{Frame, FrameSource, LinkType};
use vpnscope::time::Timestamp;
use vpnscope::track;
use vpnscope::walk::Walk;
use vpnscope_dissectors::{dns, dtls, esp, ike, l2tp, tls};

fn frame(octets: &[u8]) -> Frame<'_> {
    Frame {
        capture: 0,
        no: 1,
        time: Timestamp(1_700_000_000_000_000_000),
        link: LinkType::ETHERNET,
        octets,
        wire_len: octets.len() as u32,
        interface: 0,
    }
}

/// One message of each kind, from the labelled captures: the longest there is.
#[derive(Default)]
struct Samples {
    ike1: Vec<u8>,
    ike2: Vec<u8>,
    l2tp: Vec<u8>,
    esp: Vec<u8>,
    dns: Vec<u8>,
    hello: Vec<u8>,
    dtls: Vec<u8>,
    frame: Vec<u8>,
}

fn longest(slot: &mut Vec<u8>, octets: &[u8]) {
    if octets.len() > slot.len() {
        *slot = octets.to_vec();
    }
}

fn samples() -> Samples {
    let mut found = Samples::default();
    for (_, octets) in recordings().into_iter().flatten() {
        let frame = frame(&octets);
        let segment = decap(&frame);
        let envelope = segment.envelope;
        let ports = (envelope.source_port, envelope.destination_port);
        match segment.content {
            Content::Udp { payload, .. } => match classify(ports, payload) {
                Class::Ike { marker } => {
                    let octets = &payload[if marker { 4 } else { 0 }..];
                    match octets[17] >> 4 {
                        1 if octets[19] & 1 == 0 => longest(&mut found.ike1, octets),
                        2 if octets[18] == 34 => longest(&mut found.ike2, octets),
                        _ => {}
                    }
                }
                Class::L2tp => longest(&mut found.l2tp, payload),
                Class::Esp => longest(&mut found.esp, payload),
                Class::Dns => longest(&mut found.dns, payload),
                _ if dtls::recognise(payload) == vpnscope_dissectors::Verdict::Certain => {
                    longest(&mut found.dtls, payload);
                }
                _ => {}
            },
            Content::Tcp(tcp) if matches!(tcp.payload, [22, 3, _, _, _, 1, ..]) => {
                longest(&mut found.hello, &tcp.payload[9..]);
            }
            _ => {}
        }
        longest(&mut found.frame, &octets);
    }
    found
}

fn dissectors(criterion: &mut Criterion) {
    let found = samples();
    let mut group = criterion.benchmark_group("dissect");
    group.bench_function("ikev2 IKE_SA_INIT", |b| {
        b.iter(|| {
            let message = ike::Message::parse(black_box(&found.ike2)).unwrap();
            message
                .payloads()
                .flatten()
                .filter(|raw| ike::v2::Payload::parse(raw).is_ok())
                .count()
        });
    });
    group.bench_function("ikev1 in clear", |b| {
        b.iter(|| {
            let message = ike::Message::parse(black_box(&found.ike1)).unwrap();
            let exchange = ike::v1::ExchangeType(message.header.exchange_type);
            message
                .payloads()
                .flatten()
                .filter(|raw| ike::v1::Payload::parse(raw, exchange).is_ok())
                .count()
        });
    });
    group.bench_function("l2tp", |b| {
        b.iter(|| {
            let message = l2tp::Message::parse(black_box(&found.l2tp)).unwrap();
            message.avps().flatten().count()
        });
    });
    group.bench_function("tls ClientHello", |b| {
        b.iter(|| {
            tls::ClientHello::parse(black_box(&found.hello)).map(|hello| hello.newest_version())
        });
    });
    group.bench_function("dtls datagram", |b| {
        b.iter(|| {
            dtls::Records::new(black_box(&found.dtls), None)
                .flatten()
                .count()
        });
    });
    if !found.esp.is_empty() {
        group.bench_function("esp", |b| {
            b.iter(|| esp::Packet::parse(black_box(&found.esp)).map(|packet| packet.spi));
        });
    }
    if !found.dns.is_empty() {
        group.bench_function("dns", |b| {
            b.iter(|| {
                let message = dns::Message::parse(black_box(&found.dns)).unwrap();
                message.answers().flatten().count()
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("decap");
    group.bench_function("glance", |b| {
        b.iter(|| black_box(glance(&frame(black_box(&found.frame)))))
    });
    group.bench_function("decap", |b| {
        b.iter(|| black_box(decap(&frame(black_box(&found.frame)))))
    });
    group.finish();
}

/// Frames through assemblers and tracker, without verdicts; by the frame.
fn tracker(criterion: &mut Criterion) {
    const FRAMES: usize = 5000;
    let mut group = criterion.benchmark_group("walk");
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.sample_size(10);
    for mix in Mix::ALL {
        let file = pcap(mix, FRAMES);
        group.bench_function(mix.name(), |b| {
            b.iter_batched(
                || FileSource::new("bench", Cursor::new(file.clone()), 0).unwrap(),
                |mut source| {
                    let mut walk = Walk::new(ip::Config::default(), track::Config::default());
                    while let Some(frame) = source.next_frame() {
                        walk.frame(&frame);
                        while walk.poll().is_some() {}
                    }
                    walk.counters().ours
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, dissectors, tracker);
criterion_main!(benches);
