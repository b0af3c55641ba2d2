//! Segments that came before what they answer, and wait a moment for it.
//!
//! Clocks of several queues or interfaces, and merged files, turn the order of frames round
//! that are milliseconds apart. What a segment acknowledges was sent before it, and so was
//! what its sender acknowledged earlier. Sequence and acknowledgment number together only ever
//! grow along such a chain, in both directions by the same measure: their sum puts segments
//! of both ends into one order. Whatever stands in order passes by this room.

use std::collections::VecDeque;

use vpnscope_dissectors::Verdict;

use super::half::before;
use super::opening::{Entry, Key};
use super::{Appetite, Arrival, Assembler, Connection, Delivery, Party, Reader};
use crate::assemble::waiting::{PATIENCE, Waiting};
use crate::decap::{Content, Envelope, Segment, Tcp};
use crate::time::Timestamp;

/// A segment with its octets.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) envelope: Envelope,
    /// Whether its sender stands first in the key.
    pub(super) first: bool,
    sequence: u32,
    acknowledgment: u32,
    flags: u8,
    window: u16,
    options: Box<[u8]>,
    payload: Box<[u8]>,
    payload_len: u32,
}

/// What is known of the connection of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It came before what it answers.
    Early,
    /// Its connection is followed.
    Followed,
    /// It is not.
    New,
}

/// Segments that wait.
pub(super) type Early = Waiting<Key, Held>;

/// The last segments that nobody wanted: of no connection that was known.
#[derive(Debug, Default)]
pub(super) struct Rejected {
    list: VecDeque<(Key, Held)>,
    octets: usize,
}

impl Rejected {
    /// Frames from the start of a capture of which those that nobody wanted are kept: nothing
    /// is known yet of the order in which they stand.
    pub(super) const BEGINNING: u64 = 256;
    /// The same after two segments of one connection stood in the wrong order: one that did so
    /// does not make a whole span port's traffic worth keeping for ever.
    pub(super) const AFTER: u64 = 1024;
    const KEPT: usize = 256;
    const OCTETS: usize = 512 << 10;

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether something is young enough to be wanted yet.
    #[inline]
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        let newest = self.list.back();
        newest.is_some_and(|(_, held)| now - held.envelope.time <= PATIENCE)
    }

    /// The capture goes on under another number.
    pub(super) fn go_on(&mut self, capture: u16) {
        for (key, _) in &mut self.list {
            *key = key.of_capture(capture);
        }
    }

    pub(super) fn keep(&mut self, key: Key, held: Held) {
        let now = held.envelope.time;
        self.octets += held.octets();
        self.list.push_back((key, held));
        self.forget(now);
    }

    /// Forgets what is too old, and what is too much.
    pub(super) fn forget(&mut self, now: Timestamp) {
        while let Some((_, first)) = self.list.front()
            && (self.list.len() > Self::KEPT
                || self.octets > Self::OCTETS
                || now - first.envelope.time > PATIENCE)
        {
            self.octets = self.octets.saturating_sub(first.octets());
            self.list.pop_front();
        }
    }

    /// Takes out those of a connection.
    pub(super) fn recall(&mut self, key: &Key) -> Vec<Held> {
        let mut found = Vec::new();
        if !self.list.iter().any(|(other, _)| other == key) {
            return found;
        }
        let mut rest = VecDeque::new();
        for (other, held) in self.list.drain(..) {
            if other == *key {
                self.octets = self.octets.saturating_sub(held.octets());
                found.push(held);
            } else {
                rest.push_back((other, held));
            }
        }
        self.list = rest;
        found
    }
}

/// Whether a segment must stand behind one that waits.
pub(super) fn is_behind(early: &Early, key: &Key, tcp: &Tcp<'_>) -> bool {
    let first = early.list(key).next();
    first.is_some_and(|first| !tcp.has(Tcp::SYN) && !precedes(place(tcp), place(&first.tcp())))
}

/// Lets a segment wait; tells whether it is the only one of its connection.
pub(super) fn keep(early: &mut Early, key: &Key, held: Held) -> bool {
    let own = place(&held.tcp());
    let behind = early
        .list(key)
        .rposition(|other| !precedes(own, place(&other.tcp())));
    let (time, octets) = (held.envelope.time, held.octets());
    early.keep(key, time, octets, behind.map_or(0, |index| index + 1), held)
}

impl Held {
    /// Copies a segment.
    pub(super) fn of(tcp: &Tcp<'_>, envelope: &Envelope, first: bool) -> Self {
        Self {
            envelope: *envelope,
            first,
            sequence: tcp.sequence,
            acknowledgment: tcp.acknowledgment,
            flags: tcp.flags,
            window: tcp.window,
            options: tcp.options.into(),
            payload: tcp.payload.into(),
            payload_len: tcp.payload_len,
        }
    }

    fn octets(&self) -> usize {
        self.options.len() + self.payload.len()
    }

    /// The segment again.
    pub(super) fn tcp(&self) -> Tcp<'_> {
        Tcp {
            sequence: self.sequence,
            acknowledgment: self.acknowledgment,
            flags: self.flags,
            window: self.window,
            options: &self.options,
            payload: &self.payload,
            payload_len: self.payload_len,
        }
    }
}

/// Where a segment stands in the order of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It opens it.
    First,
    /// By its numbers.
    At(u32),
    /// It has no acknowledgment: a RST.
    Last,
}

fn place(tcp: &Tcp<'_>) -> Place {
    if !tcp.has(Tcp::ACK) {
        return if tcp.has(Tcp::SYN) {
            Place::First
        } else {
            Place::Last
        };
    }
    Place::At(tcp.sequence.wrapping_add(tcp.acknowledgment))
}

const fn precedes(a: Place, b: Place) -> bool {
    match (a, b) {
        (Place::At(a), Place::At(b)) => before(a, b),
        (Place::Last, _) | (_, Place::First) => false,
        (Place::First, _) | (_, Place::Last) => true,
    }
}

impl<U: Reader> Assembler<U> {
    /// What is known of the connection of a segment, and whether the segment must wait.
    pub(super) fn look(&self, key: &Key, tcp: &Tcp<'_>, first: bool) -> Look {
        let waits = self.config.waits;
        if let Some(connection) = self.connections.get(key) {
            let early = waits && (connection.is_early(tcp, first) || self.is_behind(key, tcp));
            return if early { Look::Early } else { Look::Followed };
        }
        if !waits {
            return Look::New;
        }
        let early = if let Some(entry) = self.openings.get(key) {
            let answer =
                entry.party(first) == Party::Acceptor && entry.sequence(Party::Opener).is_some();
            entry.is_early(tcp, first) && (answer || self.may_be_ours(tcp))
                || self.is_behind(key, tcp)
        } else if tcp.has(Tcp::SYN) {
            tcp.has(Tcp::ACK)
        } else {
            tcp.payload_len > 0 && (self.config.recognise)(tcp.payload) == Verdict::Certain
                || self.is_behind(key, tcp)
        };
        if early { Look::Early } else { Look::New }
    }

    fn is_behind(&self, key: &Key, tcp: &Tcp<'_>) -> bool {
        !self.waiting.is_empty() && is_behind(&self.waiting, key, tcp)
    }

    /// Whether it is worth while to wait with a segment without knowing its connection.
    fn may_be_ours(&self, tcp: &Tcp<'_>) -> bool {
        tcp.payload_len == 0
            || matches!(tcp.payload.first(), Some(20..=23 | 0x80))
            || (self.config.recognise)(tcp.payload) != Verdict::NotOurs
    }

    /// Lets a segment wait; `false` where there is no room for it.
    pub(super) fn hold(
        &mut self,
        arrival: &Arrival<'_>,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) -> bool {
        let key = arrival.key;
        if !self.waiting.has_room(key) {
            self.give_way(key, None, sink);
            return false;
        }
        self.keep(key, Held::of(arrival.tcp, arrival.envelope, arrival.first));
        if !self.is_known_key(key) {
            self.recall(key);
        }
        true
    }

    fn is_known_key(&self, key: &Key) -> bool {
        self.connections.contains_key(key) || self.openings.contains(key)
    }

    fn keep(&mut self, key: &Key, held: Held) {
        if keep(&mut self.waiting, key, held) {
            self.sieve.add(key.sieved());
        }
    }

    /// Whether segments that nobody wanted are worth keeping for a moment: where a capture
    /// begins, and where its order is wrong, their connection may still turn up.
    #[inline]
    pub fn remembers(&self, frame: u64) -> bool {
        self.config.waits && (frame <= Rejected::BEGINNING || frame < self.orderly_from)
    }

    /// Keeps a segment that nobody wanted.
    pub fn remember(&mut self, segment: &Segment<'_>) {
        let Content::Tcp(tcp) = &segment.content else {
            return;
        };
        let envelope = &segment.envelope;
        let (key, first) = Key::of(envelope.capture, &envelope.flow());
        self.rejected.keep(key, Held::of(tcp, envelope, first));
    }

    /// Segments of a connection that nobody wanted before it turned up.
    pub(super) fn recall(&mut self, key: &Key) {
        for held in self.rejected.recall(key) {
            if self.waiting.has_room(key) {
                self.keep(key, held);
            }
        }
    }

    /// How often a segment waited for one that came.
    pub const fn disordered(&self) -> u64 {
        self.disordered
    }

    /// Takes the segments that waited for what came now.
    pub(super) fn release(
        &mut self,
        key: &Key,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        while self.is_turn(key) {
            self.disordered += 1;
            let frame = self
                .waiting
                .list(key)
                .next()
                .map_or(0, |held| held.envelope.frame);
            self.orderly_from = frame.saturating_add(Rejected::AFTER);
            self.take_first(key, sink);
        }
    }

    /// Whether what the first segment of a connection waited for is there.
    fn is_turn(&self, key: &Key) -> bool {
        let Some(held) = self.waiting.list(key).next() else {
            return false;
        };
        let (tcp, first) = (held.tcp(), held.first);
        if let Some(connection) = self.connections.get(key) {
            return !connection.is_early(&tcp, first);
        }
        let entry = self.openings.get(key);
        entry.is_some_and(|entry| !entry.is_early(&tcp, first))
    }

    /// Takes segments that waited until `now` without what they answer, or all of a
    /// connection.
    pub(super) fn give_way(
        &mut self,
        key: &Key,
        now: Option<Timestamp>,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        while self.waiting.holds(key) && now.is_none_or(|now| self.waiting.is_late(key, now)) {
            self.take_first(key, sink);
        }
        self.release(key, sink);
    }

    fn take_first(&mut self, key: &Key, sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite) {
        let Some((held, over)) = self.waiting.take(key, 0) else {
            return;
        };
        let look = if self.connections.contains_key(key) {
            Look::Followed
        } else {
            Look::New
        };
        let arrival = Arrival {
            key,
            tcp: &held.tcp(),
            envelope: &held.envelope,
            first: held.first,
        };
        self.take(&arrival, look, sink);
        if over {
            self.sieve.remove(key.sieved());
        }
    }
}

impl<U> Connection<U> {
    /// Whether a segment answers what was not seen yet, or ends what is not whole yet.
    pub(super) fn is_early(&self, tcp: &Tcp<'_>, first: bool) -> bool {
        if tcp.has(Tcp::SYN) {
            return false;
        }
        let [opener, acceptor] = &self.halves;
        let (own, peer) = match self.party(first) {
            Party::Opener => (opener, acceptor),
            Party::Acceptor => (acceptor, opener),
        };
        if tcp.has(Tcp::ACK) {
            if peer.is_ahead(tcp.acknowledgment) {
                return true;
            }
        } else if own.is_started() && before(own.heard(), tcp.sequence) {
            // A RST without acknowledgment has the number that its cause acknowledged (RFC
            // 9293 §3.10.7).
            return own.is_near(tcp.sequence);
        }
        tcp.flags & (Tcp::FIN | Tcp::RST) != 0 && own.is_ahead(tcp.sequence)
    }
}

impl Entry {
    /// The same of a connection without octets.
    pub(super) fn is_early(&self, tcp: &Tcp<'_>, first: bool) -> bool {
        let ends = tcp.flags & (Tcp::FIN | Tcp::RST) != 0;
        if tcp.has(Tcp::SYN) || (tcp.payload_len == 0 && !ends) {
            return false;
        }
        let party = self.party(first);
        let peer = self.sequence(party.other());
        let Some(own) = self.sequence(party) else {
            // Who refuses a connection has no number, and acknowledges the SYN.
            let refuses = tcp.has(Tcp::RST | Tcp::ACK)
                && peer.is_some_and(|syn| syn.wrapping_add(1) == tcp.acknowledgment);
            return !refuses;
        };
        let Some(peer) = peer else {
            return true;
        };
        let beyond = |number: u32, isn: u32| {
            let ahead = number.wrapping_sub(isn.wrapping_add(1));
            ahead > 0 && ahead <= super::half::NEAR
        };
        (tcp.has(Tcp::ACK) && beyond(tcp.acknowledgment, peer))
            || (ends && beyond(tcp.sequence, own))
    }
}
