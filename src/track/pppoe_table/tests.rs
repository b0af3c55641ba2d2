//! Hostile traffic stays within the budgets.

use proptest::prelude::*;
use vpnscope_dissectors::{pppoe, radius};

use crate::decap::Envelope;
use crate::source::{Frame, LinkType};
use crate::time::{Span, Timestamp};
use crate::track::session::Session;
use crate::track::{Change, Config, Event, Tracker, What};

fn envelope(client: u32, from_client: bool, number: u64) -> Envelope {
    let frame = Frame {
        capture: 0,
        no: number,
        time: Timestamp::default() + Span::from_millis(i64::try_from(number).unwrap() * 30),
        link: LinkType::ETHERNET,
        octets: &[],
        wire_len: 0,
        interface: 0,
    };
    let [_, b, c, d] = client.to_be_bytes();
    let (client, server) = ([2, 0, 0, b, c, d], [4, 0, 0, 0, 0, 1]);
    Envelope {
        mac: if from_client {
            (client, server)
        } else {
            (server, client)
        },
        fragments: 1,
        ..Envelope::of(&frame)
    }
}

fn give(tracker: &mut Tracker, envelope: &Envelope, octets: &[u8]) {
    let Ok(packet) = pppoe::Packet::parse(octets) else {
        return;
    };
    tracker.advance(envelope.time);
    tracker.handle(&Event {
        envelope,
        frames: &[],
        what: What::Pppoe { packet },
    });
}

#[test]
fn a_flood_of_clients_stays_within_the_budget() {
    let mut tracker = Tracker::new(Config {
        sessions: 500,
        waits: false,
        ..Config::default()
    });
    for n in 0..20_000u32 {
        let padi = [0x11, 0x09, 0, 0, 0, 4, 1, 1, 0, 0];
        give(&mut tracker, &envelope(n, true, u64::from(n) + 1), &padi);
        while tracker.poll().is_some() {}
        assert!(tracker.open_sessions() <= 500);
    }
    assert_eq!(tracker.pppoe.by_id.len(), 500);
    assert_eq!(tracker.counters().evicted_sessions, 19_500);
}

#[test]
fn a_session_that_began_earlier_is_one_in_both_directions() {
    let mut tracker = Tracker::new(Config::default());
    let echo = [0x11, 0, 0, 7, 0, 10, 0xc0, 0x21, 9, 1, 0, 8, 0, 0, 0, 0];
    for (number, from_client) in [(1, true), (2, false), (3, true)] {
        give(&mut tracker, &envelope(1, from_client, number), &echo);
    }
    assert_eq!(tracker.open_sessions(), 1);
}

#[test]
fn a_million_radius_requests_are_bounded() {
    let mut tracker = Tracker::new(Config {
        sessions: 200,
        ..Config::default()
    });
    for n in 0..30_000u32 {
        let [_, _, high, low] = n.to_be_bytes();
        let mut octets = vec![1, low, 0, 27];
        octets.extend_from_slice(&[high; 16]);
        octets.extend_from_slice(&[1, 7, b'u', b's', b'e', high, low]);
        let mut envelope = envelope(n, true, u64::from(n) + 1);
        envelope.source_port = u16::try_from(n % 60_000).unwrap();
        envelope.destination_port = 1812;
        let packet = radius::Packet::parse(&octets).unwrap();
        tracker.advance(envelope.time);
        tracker.handle(&Event {
            envelope: &envelope,
            frames: &[],
            what: What::Radius {
                packet,
                octets: &octets,
            },
        });
        while tracker.poll().is_some() {}
        assert!(tracker.open_sessions() <= 200);
    }
}

proptest! {
    #[test]
    fn any_octets_leave_the_tracker_whole(
        packets in proptest::collection::vec(
            (any::<bool>(), 0u32..3, prop_oneof![Just(0u8), Just(7), Just(9), Just(0x19), Just(0x65), Just(0xa7), any::<u8>()], 0u8..3, proptest::collection::vec(any::<u8>(), 0..50)),
            0..60,
        ),
    ) {
        let mut tracker = Tracker::new(Config { sessions: 4, ..Config::default() });
        for (number, (from_client, client, code, id, tail)) in (1u64..).zip(packets) {
            let mut octets = vec![0x11, code, 0, id, 0, u8::try_from(tail.len()).unwrap()];
            octets.extend_from_slice(&tail);
            give(&mut tracker, &envelope(client, from_client, number), &octets);
            prop_assert!(tracker.open_sessions() <= 4);
        }
        tracker.finish(Timestamp::default() + Span::from_secs(100), &mut |_| {});
        while let Some(Change::Closed(session)) = tracker.poll() {
            prop_assert!(session.steps.len() <= Session::STEPS_KEPT);
        }
    }
}
