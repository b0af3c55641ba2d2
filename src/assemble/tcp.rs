//! TCP segments to streams of octets in order, and the facts of the transport.
//!
//! Only connections that may carry something of ours are followed: those whose first octets
//! are recognised, and, as long as they carried none, those that were opened. Of the others
//! nothing is kept.
//!
//! **Order.** Octets are delivered once, in the order of their sequence numbers; segments that
//! come early wait. **Overlaps** follow one policy: octets that arrived first stay, later
//! ones are left out, and a difference that can still be seen is reported
//! ([`Fact::Conflict`]). **Holes** are given up when the receiver acknowledged their octets
//! (then the capture lost them, not the path), when too much waits behind them, or at the
//! end; the stream goes on after [`What::Gap`]. **Copies by a span port** are left out.
//! **A start in mid-stream** is taken where octets are recognised.
//!
//! Nothing here judges, and nothing asks for the time: time is what the segments say.

use std::collections::VecDeque;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use vpnscope_dissectors::Verdict;

use super::Hints;
use crate::decap::{Addresses, Content, Envelope, Flow, Segment, Tcp};
use crate::tables::Sieve;
pub use crate::time::Stamp as At;
use crate::time::Timestamp;

mod begin;
mod connection;
mod end;
mod facts;
mod half;
mod later;
mod opening;
mod options;
#[cfg(test)]
mod tests;
mod wait;
mod work;

pub use begin::{Noted, PlainSyn};
use connection::Connection;
use end::{QUIET, forget};
pub use facts::{
    Appetite, Config, Counters, Delivery, Fact, Opening, Party, Reader, Rewritten, What,
};
use half::Room;
use later::Later;
use opening::{Key, Openings, Over};
pub use options::Options;
use wait::{Look, Rejected};
use work::Work;

/// Puts connections together. `U` is what their reader keeps for each of them.
#[derive(Debug)]
pub struct Assembler<U> {
    config: Config,
    connections: HashMap<Key, Box<Connection<U>>, RandomState>,
    openings: Openings,
    /// Openings that are over and not told yet.
    over: VecDeque<Over>,
    /// All flows in `connections` and `openings`.
    sieve: Sieve,
    counters: Counters,
    numbers: u64,
    next_sweep: Timestamp,
    held: usize,
    /// SYNs that are not in `openings` yet.
    later: Later,
    waiting: wait::Early,
    rejected: Rejected,
    room: Room,
    /// Connections that have what only lively ones need, and when each was seen last, as far as
    /// that is known here.
    lively: VecDeque<(Timestamp, Key)>,
    /// When those that are quiet give it away.
    next_rest: Timestamp,
    /// How often a segment waited for one that came.
    disordered: u64,
    /// Frames from this one on are taken to be in order.
    orderly_from: u64,
}

/// A segment that came, and whose it is.
#[derive(Clone, Copy)]
struct Arrival<'a> {
    key: &'a Key,
    tcp: &'a Tcp<'a>,
    envelope: &'a Envelope,
    /// Whether the end that stands first in the key sent it.
    first: bool,
}

/// The segment at hand.
#[derive(Clone, Copy)]
struct Incoming<'a> {
    envelope: &'a Envelope,
    tcp: &'a Tcp<'a>,
    at: At,
    party: Party,
}

impl<U: Reader> Assembler<U> {
    /// An assembler that knows nothing yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            connections: HashMap::default(),
            openings: Openings::default(),
            over: VecDeque::new(),
            sieve: Sieve::default(),
            counters: Counters::default(),
            numbers: 0,
            next_sweep: Timestamp(i64::MIN),
            held: 0,
            later: Later::default(),
            waiting: wait::Early::default(),
            rejected: Rejected::default(),
            room: Room::default(),
            lively: VecDeque::new(),
            next_rest: Timestamp::MAX,
            disordered: 0,
            orderly_from: 0,
        }
    }

    /// What happened so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether a segment can matter: it opens or ends a connection, belongs to one that is
    /// followed, or carries octets that are recognised. Cheap, for the span port. To be asked
    /// after [`Assembler::note_waiting`].
    #[expect(
        clippy::inline_always,
        reason = "measured: each segment of a span port is asked about"
    )]
    #[inline(always)]
    pub fn wants(
        &self,
        capture: u16,
        addresses: Addresses<'_>,
        ports: (u16, u16),
        flags: u8,
        payload: &[u8],
    ) -> bool {
        flags & Tcp::SYN != 0
            || (self.sieve.may_hold(Key::sieved_plain(addresses, ports))
                && self.knows(capture, addresses, ports))
            || (!payload.is_empty() && (self.config.recognise)(payload) != Verdict::NotOurs)
    }

    fn knows(&self, capture: u16, addresses: Addresses<'_>, ports: (u16, u16)) -> bool {
        let flow = Flow {
            source: (addresses.source(), ports.0),
            destination: (addresses.destination(), ports.1),
        };
        let (key, _) = Key::of(capture, &flow);
        self.connections.contains_key(&key)
            || self.openings.contains(&key)
            || self.waiting.holds(&key)
    }

    /// Whether a connection was opened of which no octet was seen yet. To be asked after
    /// [`Assembler::note_waiting`].
    pub fn is_opening(&self, capture: u16, flow: &Flow) -> bool {
        let (key, _) = Key::of(capture, flow);
        self.openings.contains(&key) || self.waiting.holds(&key)
    }

    /// Takes a segment and gives what follows from it to `sink`, which answers what it wants
    /// of the connection from now on. `true` where the segment belongs to a connection that
    /// is followed.
    pub fn handle(
        &mut self,
        segment: &Segment<'_>,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) -> bool {
        let Content::Tcp(tcp) = &segment.content else {
            return false;
        };
        self.note_waiting();
        let envelope = &segment.envelope;
        let (key, first) = Key::of(envelope.capture, &envelope.flow());
        let look = self.look(&key, tcp, first);
        let arrival = Arrival {
            key: &key,
            tcp,
            envelope,
            first,
        };
        if look == Look::Early && self.hold(&arrival, sink) {
            return true;
        }
        let known = self.take(&arrival, look, sink);
        if tcp.has(Tcp::SYN) && !self.rejected.is_empty() {
            self.rejected.forget(envelope.time);
            self.recall(&key);
        }
        if !self.waiting.is_empty() {
            self.release(&key, sink);
        }
        known
    }

    /// Takes a segment whose turn it is.
    fn take(
        &mut self,
        arrival: &Arrival<'_>,
        look: Look,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) -> bool {
        if arrival.tcp.has(Tcp::SYN) {
            self.renew(arrival, sink);
            if arrival.tcp.payload_len > 0 {
                return self.fast_open(arrival, sink);
            }
            return self.put(arrival, sink);
        }
        if look != Look::Followed && !self.admit(arrival, sink) {
            return false;
        }
        self.put_into(arrival, sink)
    }

    /// A SYN with octets (RFC 7413): first the one, then the other.
    fn fast_open(
        &mut self,
        arrival: &Arrival<'_>,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) -> bool {
        let tcp = arrival.tcp;
        let syn = Tcp {
            payload: &[],
            payload_len: 0,
            ..*tcp
        };
        let octets = Tcp {
            sequence: tcp.sequence.wrapping_add(1),
            flags: tcp.flags & !Tcp::SYN,
            ..*tcp
        };
        let with = |tcp| Arrival { tcp, ..*arrival };
        let known = self.put(&with(&syn), sink);
        self.put(&with(&octets), sink) || known
    }

    fn put(
        &mut self,
        arrival: &Arrival<'_>,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) -> bool {
        if !self.connections.contains_key(arrival.key) && !self.admit(arrival, sink) {
            return false;
        }
        self.put_into(arrival, sink)
    }

    /// Adds a segment to a connection that is followed.
    fn put_into(
        &mut self,
        arrival: &Arrival<'_>,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) -> bool {
        let Arrival {
            key,
            tcp,
            envelope,
            first,
        } = *arrival;
        let Some(connection) = self.connections.get_mut(key) else {
            return false;
        };
        let straight = Envelope {
            time: connection.straighten(envelope.time),
            ..*envelope
        };
        let envelope = &straight;
        connection.last = connection.last.max(envelope.time);
        if std::mem::take(&mut connection.rests) {
            self.lively.push_back((envelope.time, *key));
            self.next_rest = self.next_rest.min(envelope.time + QUIET);
        }
        let incoming = Incoming {
            envelope,
            tcp,
            at: At::from(envelope),
            party: connection.party(first),
        };
        let flow = connection.flow(key);
        let mut work = Work {
            connection,
            flow,
            incoming,
            config: &self.config,
            counters: &mut self.counters,
            room: &mut self.room,
            sink,
        };
        work.segment();
        self.settle(key, envelope, sink);
        true
    }

    /// Lets go of what its reader does not want, and keeps the budget.
    fn settle(
        &mut self,
        key: &Key,
        envelope: &Envelope,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let [opener, acceptor] = &connection.halves;
        let held =
            size_of::<Connection<U>>() + opener.held() + acceptor.held() + connection.user.held();
        self.held = (self.held + held).saturating_sub(connection.held);
        connection.held = held;
        if connection.appetite == Appetite::Nothing {
            self.held -= held.min(self.held);
            self.let_go(key);
        } else if self.held > self.config.octets {
            self.evict(envelope, sink);
        }
    }

    /// A SYN with another number on a connection that is known: a new one on its ports.
    fn renew(
        &mut self,
        arrival: &Arrival<'_>,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        let Arrival {
            key,
            tcp,
            envelope,
            first,
        } = *arrival;
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let party = connection.party(first);
        let half = connection.half(party);
        let again = half.is_started() && half.offset(tcp.sequence.wrapping_add(1)) == 0;
        if again || (tcp.has(Tcp::ACK) && !connection.closed) {
            return;
        }
        let flow = connection.flow(key);
        forget(connection, flow, &At::from(envelope), envelope, sink);
        self.held = self.held.saturating_sub(connection.held);
        self.let_go(key);
    }

    /// The capture goes on under another number.
    pub fn go_on(
        &mut self,
        capture: u16,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        self.note_waiting();
        while let Some(key) = self.waiting.due(Timestamp::MAX) {
            self.give_way(&key, None, sink);
        }
        self.openings.go_on(capture);
        let connections = std::mem::take(&mut self.connections);
        let renumbered = connections
            .into_iter()
            .map(|(key, connection)| (key.of_capture(capture), connection));
        self.connections = renumbered.collect();
        for (_, key) in &mut self.lively {
            *key = key.of_capture(capture);
        }
        self.rejected.go_on(capture);
        self.orderly_from = 0;
    }
}

/// An envelope for what no frame carries.
pub fn blank_envelope(capture: u16, flow: &Flow, time: Timestamp, protocol: u8) -> Envelope {
    let frame = crate::source::Frame {
        capture,
        no: 0,
        time,
        link: crate::source::LinkType(0),
        octets: &[],
        wire_len: 0,
        interface: 0,
    };
    Envelope {
        source: flow.source.0,
        source_port: flow.source.1,
        destination: flow.destination.0,
        destination_port: flow.destination.1,
        protocol,
        ..Envelope::of(&frame)
    }
}
