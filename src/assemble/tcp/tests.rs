//! Any order, any overlap, every budget.

use proptest::prelude::*;

use super::end::NO_SEGMENT;
use super::half::Half;
use super::*;
use crate::time::Span;

/// Sequence numbers of the SYNs.
const CLIENT_ISN: u32 = u32::MAX - 20;
const SERVER_ISN: u32 = 5000;

/// A reader that notes what it is given, and holds what it is told to hold.
#[derive(Debug, Default)]
struct Hoard(usize);

impl Reader for Hoard {
    fn held(&self) -> usize {
        self.0
    }
}

fn all(_: &[u8]) -> Verdict {
    Verdict::Certain
}

fn config() -> Config {
    Config {
        recognise: all,
        waits: false,
        ..Config::default()
    }
}

/// The same where segments wait for what they answer.
fn patient() -> Config {
    Config {
        waits: true,
        ..config()
    }
}

/// An assembler, and everything it delivered.
struct Bench {
    assembler: Assembler<Hoard>,
    octets: [Vec<u8>; 2],
    gaps: Vec<(Party, u32, u32)>,
    facts: Vec<(Party, Fact)>,
    frame: u64,
    time: Timestamp,
    /// What each connection says that it holds after the octets it was given.
    hoards: bool,
}

fn flow(client: u32) -> Flow {
    Flow {
        source: (
            std::net::Ipv4Addr::from(0x0a00_0000 + client).into(),
            50_000,
        ),
        destination: (std::net::Ipv4Addr::new(203, 0, 113, 1).into(), 443),
    }
}

impl Bench {
    fn new(config: Config) -> Self {
        Self {
            assembler: Assembler::new(config),
            octets: [Vec::new(), Vec::new()],
            gaps: Vec::new(),
            facts: Vec::new(),
            frame: 0,
            time: Timestamp(1_700_000_000_000_000_000),
            hoards: false,
        }
    }

    /// One with a connection that is open.
    fn open(config: Config) -> Self {
        let mut bench = Self::new(config);
        bench.syn(0);
        bench.server(flow(0), 0, Tcp::SYN | Tcp::ACK, b"");
        bench.client(flow(0), 1, Tcp::ACK, b"");
        bench
    }

    fn note(
        &mut self,
        run: impl FnOnce(&mut Assembler<Hoard>, &mut dyn FnMut(&mut Hoard, &Delivery<'_>) -> Appetite),
    ) {
        let (octets, gaps, facts) = (&mut self.octets, &mut self.gaps, &mut self.facts);
        let hoards = self.hoards;
        let mut sink = |hoard: &mut Hoard, delivery: &Delivery<'_>| {
            let of = usize::from(delivery.from == Party::Acceptor);
            match delivery.what {
                What::Octets { octets: new, .. } => {
                    octets[of].extend_from_slice(new);
                    if hoards {
                        hoard.0 += new.len();
                    }
                }
                What::Gap { offset, len } => gaps.push((delivery.from, offset, len)),
                What::Fact(fact) => facts.push((delivery.from, fact)),
            }
            Appetite::All
        };
        run(&mut self.assembler, &mut sink);
    }

    fn put(&mut self, flow: Flow, tcp: Tcp<'_>) {
        self.frame += 1;
        self.time = self.time + Span::from_millis(1);
        let mut envelope = blank_envelope(0, &flow, self.time, 6);
        envelope.frame = self.frame;
        envelope.ip_id = u32::try_from(self.frame).unwrap();
        let segment = Segment {
            envelope,
            content: Content::Tcp(tcp),
            ah: None,
            stopped: None,
        };
        self.note(|assembler, mut sink| {
            let known = assembler.is_known(0, &flow) || assembler.is_opening(0, &flow);
            let taken = assembler.handle(&segment, &mut sink);
            if !taken && !known && !tcp.has(Tcp::SYN) && assembler.remembers(1) {
                assembler.remember(&segment);
            }
        });
    }

    fn syn(&mut self, client: u32) {
        self.client(flow(client), 0, Tcp::SYN, b"");
    }

    /// Offsets count from the SYN.
    fn client(&mut self, flow: Flow, offset: u32, flags: u8, octets: &[u8]) {
        self.segment(
            flow,
            CLIENT_ISN.wrapping_add(offset),
            SERVER_ISN + 1,
            flags,
            octets,
        );
    }

    fn server(&mut self, flow: Flow, offset: u32, flags: u8, octets: &[u8]) {
        let acknowledged = CLIENT_ISN.wrapping_add(1);
        self.segment(
            flow.reversed(),
            SERVER_ISN + offset,
            acknowledged,
            flags,
            octets,
        );
    }

    fn segment(
        &mut self,
        flow: Flow,
        sequence: u32,
        acknowledgment: u32,
        flags: u8,
        octets: &[u8],
    ) {
        self.put(
            flow,
            Tcp {
                sequence,
                acknowledgment,
                flags,
                window: 1000,
                options: &[],
                payload: octets,
                payload_len: u32::try_from(octets.len()).unwrap(),
            },
        );
    }

    fn data(&mut self, offset: u32, octets: &[u8]) {
        self.client(flow(0), 1 + offset, Tcp::ACK, octets);
    }

    /// The server acknowledges so many octets.
    fn ack(&mut self, octets: u32) {
        let acknowledged = CLIENT_ISN.wrapping_add(1 + octets);
        self.segment(
            flow(0).reversed(),
            SERVER_ISN + 1,
            acknowledged,
            Tcp::ACK,
            b"",
        );
    }

    fn finish(&mut self) {
        let end = self.time;
        self.note(|assembler, mut sink| assembler.finish(end, &mut sink));
    }

    fn has(&self, wanted: impl Fn(&Fact) -> bool) -> bool {
        self.facts.iter().any(|(_, fact)| wanted(fact))
    }
}

#[test]
fn octets_come_once_and_in_order_across_the_end_of_the_numbers() {
    let mut bench = Bench::open(config());
    let text = b"the quick brown fox jumps over the lazy dog";
    bench.data(0, &text[..10]);
    bench.data(20, &text[20..30]);
    bench.data(10, &text[10..20]);
    bench.data(5, &text[5..25]);
    bench.data(30, &text[30..]);
    assert_eq!(bench.octets[0], text);
    assert!(bench.has(|fact| matches!(
        fact,
        Fact::Hole {
            offset: 10,
            len: 10
        }
    )));
    assert!(bench.has(|fact| matches!(fact, Fact::Filled { offset: 10 })));
    assert!(bench.has(|fact| matches!(
        fact,
        Fact::Repeat {
            offset: 5,
            len: 20,
            ..
        }
    )));
    assert!(bench.gaps.is_empty());
    assert_eq!(bench.assembler.counters().gaps, 0);
}

#[test]
fn of_overlapping_octets_those_that_came_first_stay() {
    let mut bench = Bench::open(config());
    bench.data(0, b"ab");
    bench.data(4, b"EF");
    // Around what waits, and other than it.
    bench.data(3, b"dxxg");
    assert!(bench.has(|fact| matches!(fact, Fact::Conflict { offset: 3 })));
    bench.data(2, b"c");
    assert_eq!(bench.octets[0], b"abcdEFg");
    // What was delivered stays, whatever comes later.
    bench.data(0, b"XXXXXXXh");
    assert_eq!(bench.octets[0], b"abcdEFgh");
}

#[test]
fn the_same_overlap_without_a_difference_is_no_conflict() {
    let mut bench = Bench::open(config());
    bench.data(4, b"ef");
    bench.data(3, b"defg");
    bench.data(0, b"abc");
    assert_eq!(bench.octets[0], b"abcdefg");
    assert!(!bench.has(|fact| matches!(fact, Fact::Conflict { .. })));
}

proptest! {
    #[test]
    fn any_order_and_any_overlap_give_the_same_stream(
        cuts in proptest::collection::vec((0usize..400, 1usize..60), 1..60),
        seed in any::<u64>(),
    ) {
        let text: Vec<u8> = (0..400u32).map(|n| (n * 7 % 251).to_le_bytes()[0]).collect();
        let mut pieces: Vec<(usize, usize)> = (0..400).step_by(40).map(|at| (at, 40)).collect();
        pieces.extend(cuts);
        // Shuffled by a generator of its own, so that a failure shows which order it was.
        let mut state = seed | 1;
        for n in (1..pieces.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let other = usize::try_from((state >> 33) % (n as u64 + 1)).unwrap();
            pieces.swap(n, other);
        }
        let mut bench = Bench::open(config());
        for (at, len) in pieces {
            let end = (at + len).min(text.len());
            bench.data(u32::try_from(at).unwrap(), &text[at..end]);
        }
        prop_assert_eq!(&bench.octets[0], &text);
        prop_assert!(bench.gaps.is_empty());
        let has_conflict = bench.has(|fact| matches!(fact, Fact::Conflict { .. }));
        prop_assert!(!has_conflict);
    }

    #[test]
    fn no_segments_whatsoever_break_it(
        list in proptest::collection::vec(
            (any::<bool>(), any::<u32>(), any::<u32>(), 0u8..32, 0usize..200, any::<u32>()),
            0..200,
        ),
    ) {
        let mut bench = Bench::open(Config { early_octets: 4096, early_segments: 16, ..config() });
        for (from_client, sequence, acknowledgment, flags, len, more) in list {
            let near = |isn: u32, number: u32| isn.wrapping_add(number % 5000);
            let octets = vec![0x16; len];
            let way = if from_client { flow(0) } else { flow(0).reversed() };
            let (own, other) = if from_client { (CLIENT_ISN, SERVER_ISN) } else { (SERVER_ISN, CLIENT_ISN) };
            bench.put(way, Tcp {
                sequence: near(own, sequence),
                acknowledgment: near(other, acknowledgment),
                flags,
                window: 0,
                options: &[5, 10, 0, 0, 0, 1, 0, 0, 0, 2],
                payload: &octets,
                payload_len: u32::try_from(len).unwrap() + more % 3,
            });
            for connection in bench.assembler.connections.values() {
                for half in &connection.halves {
                    prop_assert!(half.held() <= 4096 + 200);
                }
            }
        }
        bench.finish();
        prop_assert!(bench.assembler.connections.is_empty());
        prop_assert_eq!(bench.assembler.held, 0);
    }
}

#[test]
fn a_hole_that_was_acknowledged_is_given_up_and_the_stream_goes_on() {
    let mut bench = Bench::open(config());
    bench.data(0, b"ab");
    bench.data(4, b"ef");
    bench.ack(6);
    assert!(bench.gaps.is_empty());
    bench.time = bench.time + Span::from_millis(30);
    bench.data(6, b"gh");
    assert_eq!(bench.gaps, [(Party::Opener, 2, 2)]);
    assert_eq!(bench.octets[0], b"abefgh");
    assert_eq!(bench.assembler.counters().gaps, 1);
    // What fills it now is late.
    bench.data(2, b"cd");
    assert_eq!(bench.octets[0], b"abefgh");
}

#[test]
fn segments_are_taken_in_the_order_in_which_they_were_sent() {
    let (syn, ack, fin) = (Tcp::SYN, Tcp::ACK, Tcp::FIN | Tcp::ACK);
    let (client, server) = (CLIENT_ISN.wrapping_add(1), SERVER_ISN + 1);
    let there = flow(0);
    let back = flow(0).reversed();
    let sent: [(Flow, u32, u32, u8, &[u8]); 9] = [
        (there, CLIENT_ISN, 0, syn, b""),
        (back, SERVER_ISN, client, syn | ack, b""),
        (there, client, server, ack, b"ask "),
        (back, server, client.wrapping_add(4), ack, b"tell "),
        (back, server + 5, client.wrapping_add(4), ack, b"more "),
        (
            there,
            client.wrapping_add(4),
            server + 10,
            ack,
            b"ask again",
        ),
        (back, server + 10, client.wrapping_add(13), fin, b"end"),
        (there, client.wrapping_add(13), server + 14, fin, b""),
        (back, server + 14, client.wrapping_add(14), ack, b""),
    ];
    let order = |bench: &Bench| bench.facts.clone();
    let mut told = None;
    // Every rotation, each forwards and backwards.
    for turn in 0..18 {
        let mut bench = Bench::new(patient());
        let mut mixed = sent;
        mixed.rotate_left(turn % 9);
        if turn >= 9 {
            mixed.reverse();
        }
        for (flow, sequence, acknowledgment, flags, octets) in mixed {
            bench.segment(flow, sequence, acknowledgment, flags, octets);
        }
        assert_eq!(bench.octets[0], b"ask ask again", "{turn}");
        assert_eq!(bench.octets[1], b"tell more end", "{turn}");
        assert!(bench.gaps.is_empty());
        let ends: Vec<_> = order(&bench)
            .into_iter()
            .filter(|(_, fact)| matches!(fact, Fact::Fin { .. } | Fact::Acked { .. }))
            .collect();
        // A last acknowledgment alone may come whenever it likes.
        let ends = ends[..ends.len().min(4)].to_vec();
        assert_eq!(*told.get_or_insert(ends.clone()), ends, "{turn}");
        assert!(bench.assembler.waiting.is_empty());
        assert!(turn == 0 || bench.assembler.disordered() > 0, "{turn}");
    }
}

#[test]
fn what_is_in_order_never_waits() {
    let mut bench = Bench::open(patient());
    bench.data(0, b"ab");
    bench.ack(2);
    // Lost on the way, sent again, and acknowledged then.
    bench.data(4, b"ef");
    bench.ack(2);
    bench.data(2, b"cd");
    bench.ack(6);
    bench.client(flow(0), 7, Tcp::FIN | Tcp::ACK, b"");
    bench.ack(7);
    bench.server(flow(0), 1, Tcp::FIN | Tcp::ACK, b"");
    assert_eq!(bench.octets[0], b"abcdef");
    assert_eq!(bench.assembler.disordered(), 0);
    assert!(bench.assembler.waiting.is_empty());
    // The connection of somebody else, too.
    bench.assembler.config.recognise = |_| Verdict::NotOurs;
    bench.syn(1);
    bench.server(flow(1), 0, Tcp::SYN | Tcp::ACK, b"");
    bench.client(flow(1), 1, Tcp::ACK, b"EHLO");
    assert!(!bench.assembler.is_known(0, &flow(1)) && bench.assembler.waiting.is_empty());
}

#[test]
fn what_the_capture_lost_is_waited_for_a_moment_only() {
    let mut bench = Bench::open(patient());
    bench.data(0, b"ab");
    // Answers what is nowhere.
    bench.ack(9);
    bench.segment(
        flow(0).reversed(),
        SERVER_ISN + 1,
        CLIENT_ISN.wrapping_add(10),
        Tcp::ACK,
        b"answer",
    );
    bench.data(9, b"next");
    assert!(bench.octets[1].is_empty() && !bench.assembler.waiting.is_empty());
    let late = bench.time + Span::from_millis(25);
    assert!(bench.assembler.next_deadline() < late);
    bench.note(|assembler, mut sink| assembler.advance(late, &mut sink));
    assert_eq!(bench.octets[1], b"answer");
    assert_eq!(bench.assembler.disordered(), 0);
    // Nothing waits for the same octets twice.
    bench.ack(9);
    bench.ack(9);
    assert!(bench.assembler.waiting.is_empty());
    bench.finish();
    assert_eq!(bench.octets[0], b"abnext");
    assert_eq!(bench.gaps, [(Party::Opener, 2, 7)]);
}

#[test]
fn a_refusal_that_overtook_the_syn_still_refuses() {
    let mut bench = Bench::new(patient());
    let refusal = (flow(0).reversed(), 0, CLIENT_ISN.wrapping_add(1));
    let tcp = Tcp {
        sequence: refusal.1,
        acknowledgment: refusal.2,
        flags: Tcp::RST | Tcp::ACK,
        ..NO_SEGMENT
    };
    let mut envelope = blank_envelope(0, &refusal.0, bench.time, 6);
    envelope.frame = 1;
    let segment = Segment {
        envelope,
        content: Content::Tcp(tcp),
        ah: None,
        stopped: None,
    };
    assert!(bench.assembler.remembers(1) && !bench.assembler.remembers(1_000_000));
    bench.assembler.remember(&segment);
    bench.syn(0);
    assert!(bench.has(|fact| matches!(fact, Fact::Reset { .. })));
    // Not so one that is long gone.
    bench.assembler.remember(&segment);
    bench.time = bench.time + Span::from_secs(1);
    bench.syn(1);
    assert_eq!(
        bench
            .facts
            .iter()
            .filter(|(_, f)| matches!(f, Fact::Reset { .. }))
            .count(),
        1
    );
}

#[test]
fn what_waits_behind_a_hole_is_bounded() {
    let config = Config {
        early_octets: 10_000,
        early_segments: 64,
        ..config()
    };
    let mut bench = Bench::open(config);
    for n in 0..1000u32 {
        bench.data(10 + n * 110, &[7; 100]);
        let held: usize = bench
            .assembler
            .connections
            .values()
            .map(|c| c.halves[0].held())
            .sum();
        assert!(held <= 10_000, "{held}");
    }
    assert!(bench.assembler.counters().gaps > 10);
    assert_eq!(bench.gaps.len() as u64, bench.assembler.counters().gaps);
}

#[test]
fn what_snaplen_cut_off_is_a_gap() {
    let mut bench = Bench::open(config());
    bench.put(
        flow(0),
        Tcp {
            sequence: CLIENT_ISN.wrapping_add(1),
            acknowledgment: SERVER_ISN + 1,
            flags: Tcp::ACK,
            window: 1000,
            options: &[],
            payload: b"abc",
            payload_len: 1000,
        },
    );
    bench.data(1000, b"z");
    assert_eq!(bench.octets[0], b"abcz");
    assert_eq!(bench.gaps, [(Party::Opener, 3, 997)]);
}

#[test]
fn numbers_far_outside_the_window_are_ignored() {
    let mut bench = Bench::open(config());
    bench.data(0, b"ab");
    bench.data(0x5000_0000, b"lies");
    bench.data(2, b"cd");
    assert_eq!(bench.octets[0], b"abcd");
    assert!(!bench.has(|fact| matches!(fact, Fact::Hole { .. })));
}

#[test]
fn copies_of_a_span_port_are_counted_and_left_out() {
    let mut bench = Bench::open(config());
    bench.data(0, b"ab");
    bench.frame -= 1;
    bench.data(0, b"ab");
    assert_eq!(bench.assembler.counters().copies, 1);
    assert_eq!(bench.octets[0], b"ab");
    assert!(!bench.has(|fact| matches!(fact, Fact::Repeat { .. })));
}

#[test]
fn a_hundred_thousand_half_open_connections_are_remembered_and_told_of() {
    let mut bench = Bench::new(config());
    for client in 0..100_000 {
        bench.syn(client);
    }
    assert_eq!(bench.assembler.openings.len(), 100_000);
    assert_eq!(bench.assembler.counters(), Counters::default());
    bench.finish();
    assert_eq!(bench.assembler.openings.len(), 0);
    let told = bench
        .facts
        .iter()
        .filter(|(_, fact)| matches!(fact, Fact::Unanswered { idle: false, .. }));
    assert_eq!(told.count(), 100_000);
    assert_eq!(bench.assembler.counters().connections, 100_000);
}

#[test]
fn half_open_connections_beyond_the_budget_are_counted() {
    let mut bench = Bench::new(Config {
        openings: 1000,
        ..config()
    });
    for client in 0..100_000 {
        bench.syn(client);
        assert!(bench.assembler.openings.len() <= 1000);
    }
    assert_eq!(bench.assembler.counters().evicted, 99_000);
    // The same SYN again is of one that is known.
    bench.syn(0);
    assert_eq!(bench.assembler.counters().evicted, 99_000);
}

#[test]
fn connections_beyond_the_budget_are_let_go_of_and_counted() {
    let mut bench = Bench::new(Config {
        connections: 160,
        ..config()
    });
    for client in 0..1000 {
        bench.syn(client);
        bench.client(flow(client), 1, Tcp::ACK, b"hello");
        assert!(bench.assembler.connections.len() <= 160);
    }
    let evicted = bench.assembler.counters().evicted;
    assert_eq!(bench.assembler.counters().connections, 1000);
    assert_eq!(evicted, 1000 - bench.assembler.connections.len() as u64);
    let told = bench
        .facts
        .iter()
        .filter(|(_, fact)| matches!(fact, Fact::Forgotten { .. }));
    assert_eq!(told.count() as u64, evicted);
}

#[test]
fn octets_that_readers_hold_are_bounded() {
    let mut bench = Bench::new(Config {
        octets: 50_000,
        ..config()
    });
    bench.hoards = true;
    for client in 0..1000 {
        bench.syn(client);
        bench.client(flow(client), 1, Tcp::ACK, &[1; 1000]);
        assert!(bench.assembler.held <= 50_000);
    }
    assert!(bench.assembler.counters().evicted >= 950);
}

#[test]
fn a_segment_size_that_changes_on_the_way_is_noted() {
    let syn = |mss: u16| -> Vec<u8> { [&[2, 4], &mss.to_be_bytes()[..]].concat() };
    for (second, pause, expected) in [
        (
            1360,
            1,
            Some(Rewritten {
                from: 1460,
                to: 1360,
            }),
        ),
        // The same, a larger one, and a new try of the host.
        (1460, 1, None),
        (1500, 1, None),
        (1360, 900, None),
    ] {
        let mut bench = Bench::new(config());
        for (mss, pause) in [(1460, 0), (second, pause)] {
            bench.time = bench.time + Span::from_millis(pause);
            let options = syn(mss);
            bench.put(
                flow(0),
                Tcp {
                    sequence: CLIENT_ISN,
                    acknowledgment: 0,
                    flags: Tcp::SYN,
                    window: 1000,
                    options: &options,
                    payload: &[],
                    payload_len: 0,
                },
            );
        }
        bench.finish();
        let opened = bench.facts.iter().find_map(|(_, fact)| match fact {
            Fact::Opened(opening) | Fact::Unanswered { opening, .. } => Some(opening.rewritten),
            _ => None,
        });
        assert_eq!(opened, Some(expected), "{second} after {pause} ms");
    }
}

#[test]
fn stamps_a_little_too_early_do_not_turn_the_order_round() {
    let mut bench = Bench::open(config());
    let mut seen = Vec::new();
    let start = bench.time;
    for (n, ms) in [10, 8, 9, 30, -5000, -4990].into_iter().enumerate() {
        let mut envelope = blank_envelope(0, &flow(0), start + Span::from_millis(ms), 6);
        envelope.ip_id = u32::try_from(n).unwrap();
        let segment = Segment {
            envelope,
            content: Content::Tcp(Tcp {
                sequence: CLIENT_ISN.wrapping_add(1 + u32::try_from(n).unwrap()),
                acknowledgment: SERVER_ISN + 1,
                flags: Tcp::ACK,
                window: 1000,
                options: &[],
                payload: b"x",
                payload_len: 1,
            }),
            ah: None,
            stopped: None,
        };
        bench.assembler.handle(&segment, &mut |_, delivery| {
            if matches!(delivery.what, What::Octets { .. }) {
                seen.push(delivery.at.time.since(start).0);
            }
            Appetite::All
        });
    }
    let ms = 1_000_000;
    // A clock that was set back by seconds is believed.
    assert_eq!(
        seen,
        [
            10 * ms,
            10 * ms + 1,
            10 * ms + 2,
            30 * ms,
            -5000 * ms,
            -4990 * ms
        ]
    );
}

#[test]
fn a_connection_takes_little() {
    assert!(size_of::<Half>() <= 56 && size_of::<Connection<()>>() <= 160);
}
