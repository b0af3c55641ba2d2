//! Any order, any copies, every budget.

use proptest::prelude::*;

use super::*;
use crate::decap::decap;
use crate::decap::tests::wrap::{self, ETHERNET, cat, ethernet, ipv4, ipv6, udp};
use crate::decap::tests::{CLIENT, GATEWAY, frame};

/// Feeds datagrams as frames 1.. in steps of a millisecond.
fn feed(assembler: &mut Assembler, datagrams: &[Vec<u8>]) -> Vec<Datagram> {
    let mut whole = Vec::new();
    for (i, datagram) in datagrams.iter().enumerate() {
        let octets = ethernet(datagram);
        let mut frame = frame(&octets, ETHERNET);
        frame.no = i as u64 + 1;
        frame.time = Timestamp(i64::try_from(i).unwrap() * 1_000_000);
        whole.extend(assembler.handle(&decap(&frame)));
    }
    whole
}

fn data(n: usize) -> Vec<u8> {
    (0..n).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect()
}

fn big() -> Vec<u8> {
    ipv4(CLIENT, GATEWAY, 17, 0, &udp(500, 4500, &data(3000)))
}

fn content(datagram: &[u8]) -> (Envelope, Vec<u8>) {
    let octets = ethernet(datagram);
    let segment = decap(&frame(&octets, ETHERNET));
    let Content::Udp { payload, .. } = segment.content else {
        panic!()
    };
    (segment.envelope, payload.to_vec())
}

#[test]
fn a_whole_datagram_is_as_if_it_had_never_been_cut() {
    for (datagram, parts) in [
        (big(), wrap::fragments(&big(), 1480)),
        (
            ipv6(5, 6, 17, &udp(500, 4500, &data(3000))),
            wrap::fragments6(&ipv6(5, 6, 17, &udp(500, 4500, &data(3000))), 1440),
        ),
    ] {
        let mut assembler = Assembler::default();
        let whole = feed(&mut assembler, &parts);
        let [whole] = &whole[..] else { panic!() };
        let segment = whole.segment();
        let (expected, payload) = content(&datagram);
        assert_eq!(segment.envelope.fragments, 3);
        assert_eq!(segment.envelope.ip_len, expected.ip_len);
        assert_eq!(segment.envelope.flow(), expected.flow());
        assert_eq!(segment.envelope.frame, 3);
        assert_eq!(segment.envelope.time, Timestamp(2_000_000));
        assert_eq!(
            segment.content,
            Content::Udp {
                payload: &payload,
                payload_len: 3000
            }
        );
        let frames: Vec<u64> = whole.pieces().iter().map(|piece| piece.frame).collect();
        assert_eq!(frames, [1, 2, 3]);
        assert_eq!(whole.oddities(), Oddities::default());
        assert_eq!(assembler.pending(), 0);
        assert_eq!(assembler.octets, 0);
    }
}

#[test]
fn copies_by_a_span_port_disturb_nothing() {
    let parts = wrap::fragments(&big(), 1480);
    let mut copies = Vec::new();
    for part in &parts {
        let mut copy = part.clone();
        copy[8] -= 1;
        copies.push(part.clone());
        copies.push(copy);
    }
    let mut assembler = Assembler::default();
    assert_eq!(feed(&mut assembler, &copies).len(), 1);
    assembler.finish();
    assert_eq!(assembler.poll(), None);
    assert_eq!(assembler.counters().duplicates, 3);
    assert_eq!(assembler.counters().whole, 1);
}

#[test]
fn another_datagram_may_have_the_same_identification() {
    let other = ipv4(CLIENT, GATEWAY, 17, 0, &udp(500, 4500, &[1; 3000]));
    let parts = [wrap::fragments(&big(), 1480), wrap::fragments(&other, 1480)].concat();
    let whole = feed(&mut Assembler::default(), &parts);
    assert_eq!(whole.len(), 2);
    assert_eq!(whole[1].payload[8..], [1; 3000]);
}

#[test]
fn what_never_becomes_whole_says_what_is_missing() {
    let parts = wrap::fragments(&big(), 1480);
    let mut assembler = Assembler::default();
    feed(&mut assembler, &[parts[0].clone(), parts[2].clone()]);
    let deadline = assembler.next_deadline().unwrap();
    assembler.advance(Timestamp(deadline.0 - 1));
    assert_eq!(assembler.poll(), None);
    assembler.advance(deadline);
    let partial = assembler.poll().unwrap();
    assert_eq!(partial.missing, [(1480, Some(1480))]);
    assert_eq!(partial.payload_len, Some(3008));
    assert_eq!(partial.envelope.ip_len, 3028);
    assert_eq!(partial.envelope.fragments, 2);
    assert_eq!(partial.envelope.source_port, 500);
    assert_eq!(partial.leading[..4], [1, 244, 0x11, 0x94]);
    assert_eq!(partial.leading.len(), Partial::LEADING);
    assert!(partial.has_first());
    assert_eq!(partial.why, GivenUp::Expired);
    assert_eq!(assembler.counters().incomplete, 1);

    feed(&mut assembler, &[parts[1].clone()]);
    assembler.finish();
    let partial = assembler.poll().unwrap();
    assert_eq!(partial.missing, [(0, Some(1480)), (2960, None)]);
    assert_eq!(partial.why, GivenUp::EndOfCapture);
    assert!(!partial.has_first());
    assert!(partial.leading.is_empty());
}

#[test]
fn of_overlapping_fragments_the_first_stays() {
    let first = ipv4(
        CLIENT,
        GATEWAY,
        17,
        0x2000,
        &cat(&[&udp(1, 2, &[]), &[1; 16]]),
    );
    let second = ipv4(CLIENT, GATEWAY, 17, 0x0002, &[2; 16]);
    let whole = feed(&mut Assembler::default(), &[first.clone(), second.clone()]);
    assert_eq!(whole[0].payload[8..], [[1; 16], [2; 16]].concat()[..24]);
    let oddities = whole[0].oddities();
    assert!(oddities.overlapping && oddities.conflicting);
    let whole = feed(&mut Assembler::default(), &[second, first]);
    assert_eq!(whole[0].payload[8..], [[1; 8], [2; 8], [2; 8]].concat());
}

#[test]
fn a_second_end_is_left_out() {
    let parts = [
        ipv4(CLIENT, GATEWAY, 17, 0x0002, &[2; 16]),
        ipv4(CLIENT, GATEWAY, 17, 0x0004, &[3; 16]),
        ipv4(CLIENT, GATEWAY, 17, 0x2008, &[3; 16]),
        ipv4(CLIENT, GATEWAY, 17, 0x2000, &udp(1, 2, &[0; 8])),
    ];
    let mut assembler = Assembler::default();
    let whole = feed(&mut assembler, &parts);
    assert_eq!(whole[0].payload.len(), 32);
    assert!(whole[0].oddities().conflicting);
    assert_eq!(assembler.counters().impossible, 2);
}

#[test]
fn fragments_beyond_any_datagram_are_left_out() {
    let parts = [ipv4(CLIENT, GATEWAY, 17, 0x1fff, &[2; 16])];
    let mut assembler = Assembler::default();
    assert!(feed(&mut assembler, &parts).is_empty());
    assert_eq!(assembler.counters().impossible, 1);
    assert_eq!(assembler.pending(), 0);
}

#[test]
fn budgets_hold_and_evictions_are_counted() {
    let fragment = |id: u16| {
        let mut ip = ipv4(CLIENT, GATEWAY, 17, 0x2000, &[1; 1000]);
        ip[4..6].copy_from_slice(&id.to_be_bytes());
        ip
    };
    let flood: Vec<_> = (0..100).map(fragment).collect();
    let mut few = Assembler::new(Config {
        datagrams: 10,
        ..Config::default()
    });
    feed(&mut few, &flood);
    assert_eq!(few.pending(), 10);
    assert_eq!(few.counters().evicted, 90);
    let mut small = Assembler::new(Config {
        octets: 5000,
        ..Config::default()
    });
    feed(&mut small, &flood);
    assert!(small.octets <= 5000 && small.pending() >= 3);
    assert_eq!(small.counters().evicted, 100 - small.pending() as u64);
    assert_eq!(small.poll(), None, "what made room is no evidence");
    assert_eq!((small.partials.capacity(), few.partials.capacity()), (0, 0));
}

#[test]
fn the_queue_does_not_grow_with_what_became_whole() {
    let mut assembler = Assembler::default();
    for id in 0..5000_u16 {
        let mut ip = big();
        ip[4..6].copy_from_slice(&id.to_be_bytes());
        for part in wrap::fragments(&ip, 1480) {
            let octets = ethernet(&part);
            assembler.handle(&decap(&frame(&octets, ETHERNET)));
        }
    }
    assert_eq!(assembler.counters().whole, 5000);
    assert!(assembler.waiting.len() <= 65);
    assert!(assembler.done.len() <= assembler.config.datagrams);
    assert_eq!(assembler.entries.len(), assembler.done.len());
}

#[test]
fn snaplen_ends_the_payload_where_it_cut() {
    let parts = wrap::fragments(&big(), 1480);
    let mut assembler = Assembler::default();
    let mut whole = None;
    for part in &parts {
        let octets = ethernet(part);
        let mut frame = frame(&octets[..octets.len().min(200)], ETHERNET);
        frame.wire_len = u32::try_from(octets.len()).unwrap();
        whole = assembler.handle(&decap(&frame));
    }
    let whole = whole.unwrap();
    let segment = whole.segment();
    assert!(segment.envelope.truncated);
    assert_eq!(segment.envelope.ip_len, 3028);
    let Content::Udp {
        payload,
        payload_len,
    } = segment.content
    else {
        panic!()
    };
    assert_eq!((payload, payload_len), (&data(3000)[..158], 3000));
}

#[test]
fn fragments_of_a_tunnel_are_followed_inside() {
    for wrapping in wrap::ALL {
        if !matches!(wrapping.name, "gre" | "vxlan" | "ip in ipv4" | "ah, tunnel") {
            continue;
        }
        // The inner datagram is fragmented, and so is each outer one.
        let outer: Vec<Vec<u8>> = wrap::fragments(&big(), 1480)
            .iter()
            .enumerate()
            .flat_map(|(i, inner)| {
                let mut outer = (wrapping.wrap)(inner)[14..].to_vec();
                outer[5] = u8::try_from(i).unwrap();
                wrap::fragments(&outer, 800)
            })
            .collect();
        let whole = feed(&mut Assembler::default(), &outer);
        let [whole] = &whole[..] else {
            panic!("{}", wrapping.name)
        };
        let segment = whole.segment();
        assert_eq!(segment.envelope.source, IpAddr::from(CLIENT));
        assert_eq!(
            segment.envelope.encapsulation.iter().count(),
            wrapping.peels.len()
        );
        assert!(matches!(
            segment.content,
            Content::Udp {
                payload_len: 3000,
                ..
            }
        ));
    }
}

proptest! {
    #[test]
    fn any_order_and_duplication_gives_the_same_datagram(
        size in (1..200_usize).prop_map(|n| n * 8),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..400),
        seed in any::<u64>(),
        v6 in any::<bool>(),
    ) {
        let (datagram, mut parts) = if v6 {
            let ip = ipv6(5, 6, 17, &udp(500, 4500, &data(3000)));
            (ip.clone(), wrap::fragments6(&ip, size))
        } else {
            (big(), wrap::fragments(&big(), size))
        };
        // Duplicates first in any order, then all of them shuffled, so that none is missing.
        let extra: Vec<_> = order.iter().map(|index| index.get(&parts).clone()).collect();
        let mut state = seed;
        for i in (1..parts.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let j = usize::try_from(state >> 33).unwrap() % (i + 1);
            parts.swap(i, j);
        }
        let all = [extra, parts].concat();
        let mut assembler = Assembler::new(Config { copies: Span::from_secs(60), ..Config::default() });
        let whole = feed(&mut assembler, &all);
        prop_assert_eq!(whole.len(), 1);
        let (envelope, payload) = content(&datagram);
        let segment = whole[0].segment();
        let expected = Content::Udp { payload: &payload, payload_len: 3000 };
        prop_assert_eq!(segment.content, expected);
        prop_assert_eq!(segment.envelope.ip_len, envelope.ip_len);
        prop_assert!(!whole[0].oddities().conflicting);
        assembler.finish();
        // A datagram in very many fragments is not remembered whole.
        prop_assert!(assembler.poll().is_none() || all.len() > 128);
    }

    #[test]
    fn hostile_fragments_keep_the_books(
        fragments in prop::collection::vec((0..64_u16, any::<bool>(), 0..200_usize, 0..3_u8), 0..100),
    ) {
        let mut assembler = Assembler::new(Config { datagrams: 2, octets: 4000, ..Config::default() });
        for (offset, more, len, id) in fragments {
            let mut ip = ipv4(CLIENT, GATEWAY, 17, u16::from(more) << 13 | offset, &data(len));
            ip[5] = id;
            let octets = ethernet(&ip);
            if let Some(whole) = assembler.handle(&decap(&frame(&octets, ETHERNET))) {
                prop_assert_eq!(whole.payload.len(), usize::try_from(whole.payload_len).unwrap());
            }
            prop_assert!(assembler.pending() <= 2 && assembler.octets <= 4000);
        }
        assembler.finish();
        prop_assert_eq!((assembler.pending(), assembler.octets), (0, 0));
        while let Some(partial) = assembler.poll() {
            prop_assert!(!partial.missing.is_empty());
        }
    }
}
