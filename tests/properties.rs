//! What holds for every input: parts make the same whole in any order, and no reader trips over
//! octets that mean nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test code"
)]

mod common;

#[path = "../fuzz/harness.rs"]
mod harness;

use std::path::PathBuf;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use vpnscope::assemble::messages::dtls;
use vpnscope::assemble::{ip, tcp};
use vpnscope::decap::{Flow, decap};
use vpnscope::source::{Frame, FrameSource, LinkType, file};
use vpnscope::time::{Span, Timestamp};
use vpnscope::track::session::Ending;
use vpnscope::track::{self, Change, Session};
use vpnscope::walk::Walk;
use vpnscope_dissectors::Verdict;

fn frame(no: u64, octets: &[u8]) -> Frame<'_> {
    Frame {
        capture: 0,
        no,
        time: Timestamp(1_700_000_000_000_000_000 + i64::try_from(no).unwrap() * 100_000),
        link: LinkType::RAW,
        octets,
        wire_len: u32::try_from(octets.len()).unwrap(),
        interface: 0,
    }
}

/// Places at which to cut, and an order with repetitions in which the parts come.
fn parts(len: usize) -> impl Strategy<Value = (Vec<usize>, Vec<Index>)> {
    let cuts = proptest::collection::btree_set(1..len, 0..12);
    let extra = proptest::collection::vec(any::<Index>(), 0..40);
    (cuts, extra).prop_map(|(cuts, extra)| (cuts.into_iter().collect(), extra))
}

/// The stretches between the cuts, in an order made of `order`, each at least once.
fn shuffled(len: usize, cuts: &[usize], order: &[Index]) -> Vec<(usize, usize)> {
    let ends = cuts.iter().copied().chain([len]);
    let begins = [0].into_iter().chain(cuts.iter().copied());
    let all: Vec<(usize, usize)> = begins.zip(ends).collect();
    let mut out: Vec<(usize, usize)> = order.iter().map(|index| *index.get(&all)).collect();
    let missing: Vec<_> = all.into_iter().filter(|part| !out.contains(part)).collect();
    out.extend(missing.into_iter().rev());
    out
}

fn fragment(body: &[u8], at: usize, end: usize) -> Vec<u8> {
    let more = u16::from(end < body.len()) << 13;
    let place = (more | u16::try_from(at / 8).unwrap()).to_be_bytes();
    let total = u16::try_from(end - at + 20).unwrap().to_be_bytes();
    let header = [&[0x45, 0][..], &total, &[0, 7], &place, &[64, 17, 0, 0]].concat();
    [&header[..], &[192, 0, 2, 1, 192, 0, 2, 2], &body[at..end]].concat()
}

fn segment(sequence: u32, flags: u8, body: &[u8]) -> Vec<u8> {
    let total = u16::try_from(body.len() + 40).unwrap().to_be_bytes();
    // Each segment has an identification of its own, as hosts give them.
    let id = (sequence ^ u32::from(flags)).to_be_bytes();
    [
        &[0x45, 0][..],
        &total,
        &id[2..],
        &[
            0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 203, 0, 113, 1, 0x9c, 0x40, 1, 0xbb,
        ],
        &sequence.to_be_bytes(),
        &[0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0],
        body,
    ]
    .concat()
}

#[derive(Debug, Default)]
struct Nothing;

impl tcp::Reader for Nothing {
    fn held(&self) -> usize {
        0
    }
}

/// The frames of a labelled capture.
struct Part {
    name: String,
    frames: Vec<(i64, LinkType, u32, u32, Vec<u8>)>,
}

/// A capture of each scenario.
static PARTS: LazyLock<Vec<Part>> = LazyLock::new(|| {
    let paths = common::files(&common::repository("pcaps"), common::is_capture);
    let small = |path: &PathBuf| path.metadata().unwrap().len() < 200_000;
    let read = |path: &PathBuf| {
        let mut source = file::open(path, 0).unwrap();
        let mut frames = Vec::new();
        while let Some(frame) = source.next_frame() {
            let octets = frame.octets.to_vec();
            frames.push((
                frame.time.0,
                frame.link,
                frame.wire_len,
                frame.interface,
                octets,
            ));
        }
        let name = path.display().to_string();
        Part { name, frames }
    };
    let parts = paths.iter().filter(|path| small(path)).map(read);
    parts.filter(|part| !part.frames.is_empty()).collect()
});

/// Between two parts: longer than any session waits for more.
const APART: Span = Span::from_secs(24 * 3600);

/// What is walked of some parts that follow each other, and until when it is watched.
fn walked(parts: &[(&Part, u64, i64)], until: Option<i64>) -> Vec<Session> {
    let mut walk = Walk::new(ip::Config::default(), track::Config::default());
    let mut sessions = Vec::new();
    for (part, first, shift) in parts {
        for (no, (time, link, wire_len, interface, octets)) in (*first..).zip(&part.frames) {
            walk.frame(&Frame {
                capture: 0,
                no,
                time: Timestamp(time + shift),
                link: *link,
                octets,
                wire_len: *wire_len,
                interface: *interface,
            });
            while let Some(change) = walk.poll() {
                sessions.push(change);
            }
        }
    }
    walk.watched_until(until.map(Timestamp));
    walk.finish();
    while let Some(change) = walk.poll() {
        sessions.push(change);
    }
    let mut sessions: Vec<Session> = sessions
        .into_iter()
        .filter_map(|change| match change {
            Change::Closed(session) => Some(*session),
            _ => None,
        })
        .collect();
    for session in &mut sessions {
        // Numbers count on; a session of an earlier part ends because it was silent, not
        // because the capture ended.
        session.id = 0;
        session.vantage.ending = Ending::CaptureEnd;
        session.vantage.watched_after = Span(0);
    }
    sessions.sort_by_key(|session| (session.first, session.last, format!("{session:?}")));
    sessions
}

/// All that is known of a session, but for the numbers by which associations and connections are
/// told apart: these count on.
fn told(session: &Session) -> String {
    let lines = format!("{session:#?}");
    let lines = lines
        .lines()
        .filter(|line| !line.trim_start().starts_with("number: "));
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether captures that follow each other show the sessions that each of them shows.
fn adds_up(chosen: &[&Part]) {
    let (mut no, mut time) = (1, 1_700_000_000_000_000_000_i64);
    let mut placed = Vec::new();
    for part in chosen {
        let times = part.frames.iter().map(|(time, ..)| *time);
        let (first, last) = (times.clone().min().unwrap(), times.max().unwrap());
        placed.push((*part, no, time - first));
        no += part.frames.len() as u64;
        time += last - first + APART.0;
    }
    let together = walked(&placed, None);
    let mut alone: Vec<Session> = Vec::new();
    for (at, part) in placed.iter().enumerate() {
        let next = placed.get(at + 1).map(|(part, _, shift)| {
            let times = part.frames.iter().map(|(time, ..)| *time);
            times.min().unwrap() + shift
        });
        alone.extend(walked(&[*part], next));
    }
    alone.sort_by_key(|session| (session.first, session.last, format!("{session:?}")));
    let names: Vec<&str> = chosen.iter().map(|part| part.name.as_str()).collect();
    for (one, other) in together.iter().zip(&alone) {
        assert_eq!(told(one), told(other), "{names:#?}");
    }
    assert_eq!(together.len(), alone.len(), "{names:#?}");
}

/// Each capture, followed by another one a day later: what the tracker knows of their sessions is
/// the same as from each by itself. Verdicts are not: they learn from all that came before.
#[test]
fn captures_that_follow_each_other_show_what_each_of_them_shows() {
    let seed = common::seed().wrapping_add(1);
    let mut random = seed;
    let mut wrong = Vec::new();
    for part in PARTS.iter() {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let other = &PARTS[usize::try_from(random >> 33).unwrap() % PARTS.len()];
        let pair = [part, other];
        if std::panic::catch_unwind(|| adds_up(&pair)).is_err() {
            wrong.push((&part.name, &other.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}: {wrong:#?}",
        wrong.len(),
        PARTS.len()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn datagrams_are_the_same_from_fragments_in_every_order(
        body in proptest::collection::vec(any::<u8>(), 64..4000),
        (cuts, order) in parts(8),
    ) {
        // Fragments begin at multiples of eight octets.
        let unit = body.len() / 8 / 8 * 8;
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut * unit).collect();
        let mut assembler = ip::Assembler::new(ip::Config::default());
        let mut whole = Vec::new();
        for (no, (at, end)) in (1..).zip(shuffled(body.len(), &cuts, &order)) {
            let octets = fragment(&body, at, end);
            if let Some(datagram) = assembler.handle(&decap(&frame(no, &octets))) {
                let vpnscope::decap::Content::Udp { payload, .. } = datagram.segment().content else {
                    continue;
                };
                whole.push(payload.to_vec());
            }
        }
        // A datagram whose UDP header says another length is cut to it: its octets are those.
        if !cuts.is_empty() {
            prop_assert!(whole.len() <= 1 + order.len());
            for payload in &whole {
                prop_assert!(body[8..].starts_with(payload));
            }
            let counters = assembler.counters();
            prop_assert!(counters.whole >= 1 && assembler.pending() <= 1);
        }
    }

    #[test]
    fn messages_of_dtls_are_the_same_from_fragments_in_every_order(
        body in proptest::collection::vec(any::<u8>(), 64..4000),
        (cuts, order) in parts(64),
    ) {
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut * body.len() / 64).filter(|c| *c > 0).collect();
        let mut assembler = dtls::Assembler::new(dtls::Config::default());
        let flow = Flow {
            source: ("192.0.2.1".parse().unwrap(), 40_000),
            destination: ("203.0.113.1".parse().unwrap(), 443),
        };
        let mut whole = Vec::new();
        for (no, (at, end)) in (1u64..).zip(shuffled(body.len(), &cuts, &order)) {
            let part = &body[at..end];
            let three = |n: usize| u32::try_from(n).unwrap().to_be_bytes()[1..].to_vec();
            let len = u16::try_from(part.len() + 12).unwrap().to_be_bytes();
            let datagram = [
                &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0][..], &len, &[11],
                &three(body.len()), &[0, 3], &three(at), &three(part.len()), part,
            ].concat();
            let time = Timestamp(i64::try_from(no).unwrap());
            assembler.handle(0, &flow, no, time, &datagram, &mut |item| {
                if let dtls::What::Message { body, .. } = item.what {
                    whole.push(body.to_vec());
                }
            });
        }
        prop_assert_eq!(whole, vec![body]);
    }

    #[test]
    fn streams_are_the_same_from_segments_in_every_order(
        body in proptest::collection::vec(any::<u8>(), 64..4000),
        (cuts, order) in parts(64),
        isn in any::<u32>(),
    ) {
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut * body.len() / 64).filter(|c| *c > 0).collect();
        let config = tcp::Config { recognise: |_| Verdict::Certain, ..tcp::Config::default() };
        let mut assembler = tcp::Assembler::<Nothing>::new(config);
        let mut stream: Vec<u8> = Vec::new();
        let mut broken = false;
        let mut sink = |_: &mut Nothing, delivery: &tcp::Delivery<'_>| {
            match delivery.what {
                tcp::What::Octets { octets, .. } => stream.extend_from_slice(octets),
                tcp::What::Gap { .. } => broken = true,
                tcp::What::Fact(_) => {}
            }
            tcp::Appetite::All
        };
        let syn = segment(isn, 2, &[]);
        assembler.handle(&decap(&frame(1, &syn)), &mut sink);
        for (no, (at, end)) in (2..).zip(shuffled(body.len(), &cuts, &order)) {
            let sequence = isn.wrapping_add(1).wrapping_add(u32::try_from(at).unwrap());
            let octets = segment(sequence, 0x18, &body[at..end]);
            assembler.handle(&decap(&frame(no, &octets)), &mut sink);
        }
        assembler.finish(Timestamp::MAX, &mut sink);
        prop_assert!(!broken);
        prop_assert_eq!(stream, body);
    }

    /// Each target of the fuzzer checks what it promises: no panic, iterators that end, errors
    /// within, writers that read back.
    #[test]
    fn nothing_trips_over_octets_that_mean_nothing(
        octets in proptest::collection::vec(any::<u8>(), 0..600),
        target in select(harness::TARGETS),
    ) {
        target.1(&octets);
    }
}

/// The last record of one association comes twice, and then another association begins: its hello
/// is no copy of anything.
#[test]
fn a_hello_after_a_copy_is_none() {
    let part = |name: &str| PARTS.iter().find(|part| part.name.ends_with(name)).unwrap();
    let twice = part("dtls12-fragments-duplicated/single.pcap");
    adds_up(&[twice, part("encap-mpls/single.pcap")]);
}
