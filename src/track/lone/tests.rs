//! A session that is kept small ends as one that was built at its first packet.

use std::net::IpAddr;

use super::super::{Change, Config, EspSight, Event, Over, Tracker, What};
use crate::assemble::tcp::blank_envelope;
use crate::decap::{Addresses, Envelope, Flow};
use crate::diagnose::{Context, diagnose, diagnose_lone};
use crate::time::{Span, Timestamp};
use crate::track::session::{Ending, Session, Stamp};

/// Numbers by lot, the same in each run.
struct Lot(u64);

impl Lot {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % n
    }
}

fn address(n: u64, v6: bool) -> IpAddr {
    if v6 {
        format!("2001:db8::{n:x}").parse().unwrap()
    } else {
        format!("10.0.0.{n}").parse().unwrap()
    }
}

#[derive(Debug, Clone, Copy)]
struct Esp {
    envelope: Envelope,
    spi: u32,
    sequence: u32,
    len: u32,
    over: Over,
}

/// What a span port may show of some tunnels that were up before: mostly packets in order, and
/// whatever else there is now and then.
fn traffic(lot: &mut Lot, pauses: bool) -> Vec<Esp> {
    let mut next = [[1_u32; 2]; 6];
    let mut time = 1_000_000_000_000_i64;
    let mut all = Vec::new();
    for frame in 1..=400 {
        let (pair, way) = (lot.below(6), lot.below(2));
        let (v6, over) = (pair == 5, if pair % 2 == 0 { Over::Udp } else { Over::Ip });
        // Of one pair one end only.
        let way = if pair == 1 { 0 } else { way };
        time += match lot.below(40) {
            _ if pauses && frame % 130 == 0 => Span::from_secs(7 * 3600).0,
            1 => 0,
            n => 3_000_000 * i64::try_from(n).unwrap(),
        };
        let last = &mut next[usize::try_from(pair).unwrap()][usize::try_from(way).unwrap()];
        let sequence = match lot.below(60) {
            0 => *last + 3,
            1 => last.saturating_sub(2),
            2 => *last + 200,
            3 => last.saturating_sub(100),
            _ => *last,
        };
        *last = sequence + 1;
        // A packet that stays the only one of its SPI is put away when its silence is found out.
        let generation = u32::from(!pauses && lot.below(50) == 0);
        let ports = match over {
            Over::Udp if lot.below(150) == 0 => (4500, 1024),
            Over::Udp => (4500, 4500),
            _ => (0, 0),
        };
        let (near, far) = (address(pair + 1, v6), address(pair + 101, v6));
        let mut flow = Flow {
            source: (near, ports.0),
            destination: (far, ports.1),
        };
        if way == 1 {
            flow = flow.reversed();
        }
        let protocol = if over == Over::Udp { 17 } else { 50 };
        let mut envelope = blank_envelope(0, &flow, Timestamp(time), protocol);
        envelope.frame = frame;
        let len = if lot.below(200) == 0 {
            4000
        } else {
            80 + 4 * u32::try_from(lot.below(200)).unwrap()
        };
        envelope.ip_len = len + 28;
        envelope.truncated = lot.below(20) == 0;
        envelope.fragments = if lot.below(200) == 0 { 3 } else { 1 };
        let spi = 0x1000 + 16 * u32::try_from(pair).unwrap() + 2 * u32::try_from(way).unwrap();
        all.push(Esp {
            envelope,
            spi: spi + generation,
            sequence,
            len,
            over,
        });
    }
    all
}

fn octets(envelope: &Envelope) -> ([u8; 8], [u8; 32]) {
    let (mut four, mut six) = ([0; 8], [0; 32]);
    match (envelope.source, envelope.destination) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            four[..4].copy_from_slice(&a.octets());
            four[4..].copy_from_slice(&b.octets());
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            six[..16].copy_from_slice(&a.octets());
            six[16..].copy_from_slice(&b.octets());
        }
        _ => {}
    }
    (four, six)
}

fn give(tracker: &mut Tracker, esp: &Esp, by_sight: bool) {
    let envelope = &esp.envelope;
    let (four, six) = octets(envelope);
    let addresses = if envelope.source.is_ipv4() {
        Addresses::V4(&four)
    } else {
        Addresses::V6(&six)
    };
    let sight = EspSight {
        at: Stamp::from(envelope),
        addresses,
        ports: (envelope.source_port, envelope.destination_port),
        spi: esp.spi,
        sequence: esp.sequence,
        len: esp.len,
        ip_len: envelope.ip_len,
        cannot_shrink: false,
        truncated: envelope.truncated,
    };
    if by_sight && envelope.fragments == 1 && tracker.sight_esp(&sight) {
        return;
    }
    tracker.advance(envelope.time);
    tracker.handle(&Event {
        envelope,
        frames: &[],
        what: What::Esp {
            spi: esp.spi,
            sequence: esp.sequence,
            len: esp.len,
            over: esp.over,
        },
    });
}

fn end(tracker: &mut Tracker, end: Timestamp) -> Vec<Session> {
    tracker.finish(end, &mut |_| {});
    let mut all: Vec<Session> = Vec::new();
    while let Some(change) = tracker.poll() {
        if let Change::Closed(session) = change {
            all.push(*session);
        }
    }
    all
}

#[test]
fn ends_as_a_session_that_was_built_at_once() {
    let mut lot = Lot(11);
    let mut closed = 0;
    for run in 0..60 {
        // Who is seen by its header alone is not asked whether it was silent, once built.
        let by_sight = run % 2 == 0;
        let traffic = traffic(&mut lot, !by_sight);
        let mut small = Tracker::new(Config::default());
        let mut whole = Tracker::new(Config::default());
        let mut kept = 0;
        for esp in &traffic {
            give(&mut small, esp, by_sight);
            kept = kept.max(small.core.lone);
            give(&mut whole, esp, by_sight);
            for (_, session) in whole.esp.lone.in_order() {
                whole.esp.build_one(&mut whole.core, session);
            }
        }
        assert!(kept > 0, "run {run}: none was kept small");
        let last = traffic.iter().map(|esp| esp.envelope.time).max().unwrap();
        let over = last + Span::from_secs(3);
        let (mut small, mut whole) = (end(&mut small, over), end(&mut whole, over));
        for list in [&mut small, &mut whole] {
            list.sort_by_key(|session| session.id);
            for session in list {
                // Whoever is kept small is asked for its silence later.
                if session.vantage.ending == Ending::Idle {
                    session.vantage.watched_after = Span::default();
                }
            }
        }
        closed += small.len();
        assert_eq!(small, whole, "run {run}");
    }
    assert!(closed > 300, "{closed}");
}

#[test]
fn is_judged_alike_without_being_built() {
    let mut lot = Lot(5);
    let context = Context::default();
    let (mut one_way, mut both) = (0, 0);
    for _ in 0..40 {
        let mut tracker = Tracker::new(Config::default());
        for esp in traffic(&mut lot, false).iter().take(60) {
            give(&mut tracker, esp, true);
        }
        let now = tracker.core.now;
        tracker.finish(now, &mut |_| {});
        while let Some(change) = tracker.poll_unbuilt() {
            let Change::Lone(lone) = change else { continue };
            let (outcome, cause) = diagnose_lone(&lone);
            let verdict = diagnose(&lone.session(), &context);
            assert_eq!((outcome, cause), (verdict.outcome, verdict.cause));
            match cause {
                Some(_) => one_way += 1,
                None => both += 1,
            }
        }
    }
    assert!(one_way > 20 && both > 20, "{one_way} {both}");
}

/// What was seen once waits for a second packet. Meanwhile the other direction may make the
/// session known; it is still one flow.
#[test]
fn a_flow_that_waited_while_its_session_began_is_one() {
    let mut lot = Lot(3);
    let all = traffic(&mut lot, false);
    let of = |esp: &&Esp, spi| esp.spi == spi && esp.envelope.fragments == 1;
    let near: Vec<&Esp> = all.iter().filter(|esp| of(esp, 0x1000)).take(2).collect();
    let far: Vec<&Esp> = all.iter().filter(|esp| of(esp, 0x1002)).take(2).collect();
    let mut tracker = Tracker::new(Config::default());
    for (frame, esp) in [near[0], far[0], far[1], near[1]].into_iter().enumerate() {
        let mut esp = *esp;
        esp.envelope.frame = frame as u64 + 1;
        give(&mut tracker, &esp, false);
    }
    let over = end(&mut tracker, all[399].envelope.time);
    let flows: Vec<(u32, u64)> = over[0].esp.iter().map(|f| (f.spi, f.packets)).collect();
    assert_eq!((over.len(), flows), (1, vec![(0x1000, 2), (0x1002, 2)]));
}
