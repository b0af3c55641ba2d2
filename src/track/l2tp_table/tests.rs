//! Hostile traffic stays within the budgets, and tunnels are told apart.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use vpnscope_dissectors::l2tp::Message;

use crate::decap::Envelope;
use crate::source::{Frame, LinkType};
use crate::time::{Span, Timestamp};
use crate::track::session::{Session, Side};
use crate::track::{Change, Config, Event, Tracker, What};

fn envelope(client: u32, from_client: bool, number: u64, millis: i64) -> Envelope {
    let frame = Frame {
        capture: 0,
        no: number,
        time: Timestamp::default() + Span::from_millis(millis),
        link: LinkType::ETHERNET,
        octets: &[],
        wire_len: 0,
        interface: 0,
    };
    let client = (IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | client)), 1701);
    let gateway = (IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)), 1701);
    let (source, destination) = if from_client {
        (client, gateway)
    } else {
        (gateway, client)
    };
    Envelope {
        source: source.0,
        source_port: source.1,
        destination: destination.0,
        destination_port: destination.1,
        protocol: 17,
        fragments: 1,
        ..Envelope::of(&frame)
    }
}

fn give(tracker: &mut Tracker, envelope: &Envelope, octets: &[u8]) {
    let Ok(message) = Message::parse(octets) else {
        return;
    };
    tracker.advance(envelope.time);
    tracker.handle(&Event {
        envelope,
        frames: &[],
        what: What::L2tp { message, octets },
    });
}

fn control(tunnel: u16, ns: u16, nr: u16, avps: &[u8]) -> Vec<u8> {
    let mut octets = vec![0xc8, 0x02];
    let len = u16::try_from(12 + avps.len()).unwrap();
    for field in [len, tunnel, 0, ns, nr] {
        octets.extend_from_slice(&field.to_be_bytes());
    }
    octets.extend_from_slice(avps);
    octets
}

fn message_type(kind: u8) -> Vec<u8> {
    vec![0x80, 8, 0, 0, 0, 0, 0, kind]
}

fn sccrq(id: u16) -> Vec<u8> {
    let mut avps = message_type(1);
    avps.extend_from_slice(&[0x80, 8, 0, 0, 0, 9]);
    avps.extend_from_slice(&id.to_be_bytes());
    control(0, 0, 0, &avps)
}

fn sessions(mut tracker: Tracker, end: i64) -> Vec<Session> {
    tracker.finish(Timestamp::default() + Span::from_millis(end), &mut |_| {});
    let mut all = Vec::new();
    while let Some(Change::Closed(session)) = tracker.poll() {
        all.push(*session);
    }
    all.sort_by_key(|session| session.id);
    all
}

#[test]
fn a_flood_of_half_open_tunnels_stays_within_the_budget() {
    let mut tracker = Tracker::new(Config {
        sessions: 1000,
        waits: false,
        ..Config::default()
    });
    let mut closed = 0u32;
    for n in 0..50_000u32 {
        let envelope = envelope(n >> 4, true, u64::from(n) + 1, i64::from(n) / 100);
        give(
            &mut tracker,
            &envelope,
            &sccrq(u16::try_from(n & 0xf).unwrap() + 1),
        );
        while tracker.poll().is_some() {
            closed += 1;
        }
        assert!(tracker.open_sessions() <= 1000);
    }
    assert_eq!(closed, 49_000);
    assert_eq!(tracker.l2tp.by_id.len(), 1000);
    assert_eq!(tracker.counters().evicted_sessions, 49_000);
}

/// Each request is of another client; that a million cost no more than these follows, because
/// every one is handled in the same way.
#[test]
fn half_open_tunnels_cost_no_more_than_the_budget() {
    const FLOOD: u32 = 100_000;
    let mut tracker = Tracker::new(Config {
        sessions: 50,
        waits: false,
        ..Config::default()
    });
    for n in 0..FLOOD {
        let envelope = envelope(n, true, u64::from(n) + 1, i64::from(n) / 1000);
        give(&mut tracker, &envelope, &sccrq(7));
        while tracker.poll().is_some() {}
    }
    assert_eq!(tracker.open_sessions(), 50);
    assert_eq!(tracker.l2tp.by_id.len(), 50);
    assert_eq!(tracker.counters().evicted_sessions, u64::from(FLOOD) - 50);
}

/// Version 3 data names its session alone: who invents sessions must not fill the table.
#[test]
fn invented_sessions_of_one_tunnel_find_nothing() {
    let mut tracker = Tracker::new(Config::default());
    let mut request = vec![0xc8, 0x03, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0];
    request.extend_from_slice(&[0x80, 8, 0, 0, 0, 0, 0, 1]);
    give(&mut tracker, &envelope(1, true, 1, 0), &request);
    for n in 0..20_000u32 {
        // Flags of version 3, reserved, the session ID, a payload.
        let mut octets = vec![0, 3, 0, 0];
        octets.extend_from_slice(&(n + 1).to_be_bytes());
        octets.extend_from_slice(&[1; 8]);
        let envelope = envelope(1, n % 2 == 0, u64::from(n) + 2, i64::from(n));
        give(&mut tracker, &envelope, &octets);
    }
    assert!(tracker.l2tp.by_id.len() <= 200 * tracker.open_sessions());
    assert!(tracker.open_sessions() < 10);
    let all = sessions(tracker, 10_000_000);
    assert!(all.iter().map(|session| session.frames).sum::<u64>() > 19_000);
}

#[test]
fn what_is_hidden_is_counted_and_never_read() {
    let mut tracker = Tracker::new(Config {
        waits: false,
        ..Config::default()
    });
    let mut avps = message_type(1);
    // Assigned Tunnel ID, mandatory and hidden, and no Random Vector before it.
    avps.extend_from_slice(&[0xc0, 10, 0, 0, 0, 9, 0xde, 0xad, 0xbe, 0xef]);
    give(
        &mut tracker,
        &envelope(1, true, 1, 0),
        &control(0, 0, 0, &avps),
    );
    let all = sessions(tracker, 100_000);
    assert_eq!(all.len(), 1);
    let facts = all[0].l2tp().unwrap();
    assert_eq!((facts.hidden, facts.tunnel.client), (1, None));
}

#[test]
fn attributes_shorter_than_their_header_cost_only_themselves() {
    for length in 0..6u8 {
        let mut tracker = Tracker::new(Config {
            waits: false,
            ..Config::default()
        });
        let mut avps = message_type(1);
        avps.extend_from_slice(&[0x80, 8, 0, 0, 0, 9, 0, 7]);
        avps.extend_from_slice(&[0x80, length, 0, 0, 0, 7, b'h', b'o']);
        give(
            &mut tracker,
            &envelope(1, true, 1, 0),
            &control(0, 0, 0, &avps),
        );
        let all = sessions(tracker, 100_000);
        let facts = all[0].l2tp().unwrap();
        assert_eq!(facts.tunnel.client, Some(7), "length {length}");
        assert!(facts.host.client.is_none());
        assert_eq!(all[0].unreadable.len(), 1, "length {length}");
    }
}

#[test]
fn an_endless_negotiation_is_counted_and_not_kept() {
    let mut tracker = Tracker::new(Config::default());
    give(&mut tracker, &envelope(1, true, 1, 0), &sccrq(7));
    for n in 0..5000u32 {
        let from_client = n % 2 == 0;
        let [_, _, high, low] = n.to_be_bytes();
        // Configure-Request, then Configure-Nak of the MRU, each new by its identifier.
        let code = if from_client { 1 } else { 3 };
        let mut octets = vec![0, 2, 0, if from_client { 9 } else { 7 }, 0, 1];
        octets.extend_from_slice(&[0xff, 3, 0xc0, 0x21, code, low, 0, 8, 1, 4, high, low]);
        let envelope = envelope(1, from_client, u64::from(n) + 2, i64::from(n) * 30);
        give(&mut tracker, &envelope, &octets);
    }
    let all = sessions(tracker, 200_000);
    assert_eq!(all.len(), 1);
    let session = &all[0];
    assert!(session.steps.len() <= Session::STEPS_KEPT);
    assert!(session.steps_not_kept > 4000);
    let half = &session.ppp().unwrap().lcp.of.client;
    assert_eq!(half.requests, 2500);
    let refusal = half.most_refused().unwrap();
    assert_eq!((refusal.option, refusal.count), (1, 2500));
    assert!(refusal.steps.len() <= 16);
}

#[test]
fn repetitions_copies_and_new_attempts_are_told_apart() {
    let mut tracker = Tracker::new(Config::default());
    for (number, millis) in [(1, 0), (2, 5), (3, 1000), (4, 3000)] {
        give(&mut tracker, &envelope(1, true, number, millis), &sccrq(7));
    }
    give(&mut tracker, &envelope(1, true, 5, 60_000), &sccrq(8));
    let all = sessions(tracker, 70_000);
    assert_eq!(all.len(), 2);
    let step = &all[0].steps[0];
    assert_eq!((step.copies, step.repeats.count), (1, 2));
    assert_eq!(all[1].steps[0].repeats.count, 0);
}

#[test]
fn what_sequence_numbers_prove_and_the_capture_lacks_is_counted() {
    // The client goes on as if it had been answered: SCCCN with Nr 1, then ICRQ.
    let mut tracker = Tracker::new(Config::default());
    give(&mut tracker, &envelope(1, true, 1, 0), &sccrq(7));
    give(
        &mut tracker,
        &envelope(1, true, 2, 20),
        &control(9, 1, 1, &message_type(3)),
    );
    give(
        &mut tracker,
        &envelope(1, true, 3, 40),
        &control(9, 2, 1, &message_type(10)),
    );
    let all = sessions(tracker, 10_000);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].vantage.unseen.gateway, 1);
    assert_eq!(all[0].vantage.unseen.client, 0);
    assert!(all[0].vantage.one_direction());
}

#[test]
fn both_directions_of_a_tunnel_that_began_earlier_are_one_session() {
    let mut tracker = Tracker::new(Config::default());
    let data = |tunnel: u8| [0, 2, 0, tunnel, 0, 1, 0xff, 3, 0, 0x21, 0x45, 0];
    give(&mut tracker, &envelope(1, true, 1, 0), &data(9));
    give(&mut tracker, &envelope(1, false, 2, 10), &data(7));
    give(&mut tracker, &envelope(1, true, 3, 20), &data(9));
    let all = sessions(tracker, 1000);
    assert_eq!(all.len(), 1);
    assert!(all[0].vantage.started_late);
    let carried = &all[0].ppp().unwrap().carried;
    assert_eq!((carried.client.packets, carried.gateway.packets), (2, 1));
}

#[test]
fn hello_is_counted_and_its_repetitions_are_kept() {
    let mut tracker = Tracker::new(Config::default());
    give(&mut tracker, &envelope(1, true, 1, 0), &sccrq(7));
    for (number, millis, ns) in [(2, 60_000, 1), (3, 61_000, 1), (4, 63_000, 1)] {
        let hello = control(9, ns, 1, &message_type(6));
        give(&mut tracker, &envelope(1, true, number, millis), &hello);
    }
    let all = sessions(tracker, 100_000);
    let hello = &all[0].l2tp().unwrap().hello.of(Side::Client);
    assert_eq!(
        (hello.sent, hello.repeats.count, hello.acked),
        (1, 2, false)
    );
    assert_eq!(all[0].steps.len(), 1);
}

proptest! {
    #[test]
    fn any_octets_leave_the_tracker_whole(
        messages in proptest::collection::vec(
            (any::<bool>(), 0u32..3, proptest::collection::vec(any::<u8>(), 0..60), any::<bool>()),
            0..60,
        ),
    ) {
        let mut tracker = Tracker::new(Config { sessions: 8, ..Config::default() });
        for (number, (from_client, client, tail, is_control)) in (1u64..).zip(messages) {
            let mut octets = if is_control { vec![0xc8, 2, 0, 60] } else { vec![0, 2] };
            octets.extend_from_slice(&tail);
            let millis = i64::try_from(number).unwrap() * 7;
            give(&mut tracker, &envelope(client, from_client, number, millis), &octets);
            prop_assert!(tracker.open_sessions() <= 8);
        }
        for session in sessions(tracker, 10_000) {
            prop_assert!(session.steps.len() <= Session::STEPS_KEPT);
        }
    }
}
