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
use std::net::IpAddr;

use hashbrown::HashMap;
use vpnscope_dissectors::Verdict;

use super::Hints;
use crate::decap::{Addresses, Content, Envelope, Flow, Quoted, Segment, Tcp};
use crate::tables::Sieve;
pub use crate::time::Stamp as At;
use crate::time::{Span, Timestamp};

mod facts;
mod half;
mod later;
mod opening;
mod options;
#[cfg(test)]
mod tests;
mod wait;
mod work;

pub use facts::{
    Appetite, Config, Counters, Delivery, Fact, Opening, Party, Reader, Rewritten, What,
};
use foldhash::fast::RandomState;
use half::{Half, Room};
use later::Later;
use opening::{Entry, Key, Openings, Over};
pub use options::Options;
use wait::{Look, Rejected};
use work::Work;

#[derive(Debug)]
struct Connection<U> {
    number: u64,
    opener_first: bool,
    roles_known: bool,
    last: Timestamp,
    /// The time of the last segment, so that those after it are not before it.
    clock: Timestamp,
    closed: bool,
    /// It is quiet, and what only a lively one needs was given away.
    rests: bool,
    appetite: Appetite,
    halves: [Half; 2],
    user: U,
    /// Octets held when it was last looked at.
    held: usize,
}

impl<U> Connection<U> {
    fn flow(&self, key: &Key) -> Flow {
        let flow = key.flow();
        if self.opener_first {
            flow
        } else {
            flow.reversed()
        }
    }

    /// The time of a segment that follows others in the file. A little too early by its stamp,
    /// as where several clocks or queues stamp, it is taken to have come just after them; much
    /// too early, the clock was set.
    fn straighten(&mut self, time: Timestamp) -> Timestamp {
        const LITTLE: Span = Span::from_millis(100);
        let behind = self.clock.since(time);
        self.clock = if behind > Span(0) && behind < LITTLE {
            self.clock + Span(1)
        } else {
            time
        };
        self.clock
    }

    const fn party(&self, sender_first: bool) -> Party {
        if sender_first == self.opener_first {
            Party::Opener
        } else {
            Party::Acceptor
        }
    }

    fn half(&mut self, party: Party) -> &mut Half {
        let [opener, acceptor] = &mut self.halves;
        match party {
            Party::Opener => opener,
            Party::Acceptor => acceptor,
        }
    }
}

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

/// A SYN without octets, read without its segment being built.
#[derive(Debug, Clone, Copy)]
pub struct PlainSyn<'a> {
    /// Its frame.
    pub at: At,
    /// Source and destination.
    pub addresses: Addresses<'a>,
    /// Source and destination port.
    pub ports: (u16, u16),
    /// Sequence number.
    pub sequence: u32,
    /// TCP options.
    pub options: &'a [u8],
    /// TTL or hop limit.
    pub ttl: u8,
}

/// What became of a [`PlainSyn`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// It was noted.
    Here,
    /// It was not: there are too many.
    NoRoom,
    /// Its segment has to be taken whole.
    Whole,
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
    /// Openings that are told at a time that are over.
    const TOLD: usize = 1024;

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
    #[inline]
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
        if look == Look::Early && self.hold(&key, tcp, envelope, first, sink) {
            return true;
        }
        let known = self.take(&key, tcp, envelope, first, look, sink);
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
        key: &Key,
        tcp: &Tcp<'_>,
        envelope: &Envelope,
        first: bool,
        look: Look,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) -> bool {
        if tcp.has(Tcp::SYN) {
            self.renew(key, tcp, envelope, first, sink);
            if tcp.payload_len > 0 {
                return self.fast_open(key, tcp, envelope, first, sink);
            }
            return self.put(key, tcp, envelope, first, sink);
        }
        if look != Look::Followed && !self.admit(key, tcp, envelope, first, sink) {
            return false;
        }
        self.put_into(key, tcp, envelope, first, sink)
    }

    /// A SYN with octets (RFC 7413): first the one, then the other.
    fn fast_open(
        &mut self,
        key: &Key,
        tcp: &Tcp<'_>,
        envelope: &Envelope,
        first: bool,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) -> bool {
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
        let known = self.put(key, &syn, envelope, first, sink);
        self.put(key, &octets, envelope, first, sink) || known
    }

    fn put(
        &mut self,
        key: &Key,
        tcp: &Tcp<'_>,
        envelope: &Envelope,
        first: bool,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) -> bool {
        if !self.connections.contains_key(key) && !self.admit(key, tcp, envelope, first, sink) {
            return false;
        }
        self.put_into(key, tcp, envelope, first, sink)
    }

    /// Adds a segment to a connection that is followed.
    fn put_into(
        &mut self,
        key: &Key,
        tcp: &Tcp<'_>,
        envelope: &Envelope,
        first: bool,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) -> bool {
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
        key: &Key,
        tcp: &Tcp<'_>,
        envelope: &Envelope,
        first: bool,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
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

    /// Decides whether a segment starts something to follow.
    fn admit(
        &mut self,
        key: &Key,
        tcp: &Tcp<'_>,
        envelope: &Envelope,
        first: bool,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) -> bool {
        let at = At::from(envelope);
        if tcp.has(Tcp::SYN) {
            let is_answer = tcp.has(Tcp::ACK);
            let what = (tcp.sequence, Options::mss(tcp.options), envelope.ttl);
            let hash = self.openings.hash(key);
            self.note(key, hash, what, is_answer, at, first);
            return false;
        }
        let carries = tcp.payload_len > 0;
        if let Some(entry) = self.openings.get_mut(key) {
            let party = entry.party(first);
            if carries {
                return self.first_octets(key, tcp, envelope, first, sink);
            }
            if tcp.has(Tcp::RST) || tcp.has(Tcp::FIN) {
                self.follow(key, envelope, sink);
                return true;
            }
            if party == Party::Opener && tcp.has(Tcp::ACK) {
                entry.done();
            }
            return false;
        }
        if !carries || (self.config.recognise)(tcp.payload) != Verdict::Certain {
            return false;
        }
        let hinted = self.config.hints.from_client(&key.flow());
        let opener_first = likely_opener(tcp.payload, first, &key.flow(), hinted);
        let entry = Entry::new(at, opener_first);
        self.insert(key, entry, false, sink, envelope);
        true
    }

    /// Notes a SYN of a connection that is not followed.
    #[inline]
    pub fn plain_syn(&mut self, syn: &PlainSyn<'_>) -> Noted {
        self.note_waiting();
        let (key, first) = Key::of_plain(syn.at.capture(), syn.addresses, syn.ports);
        if self.is_awaited(&key, syn) {
            return Noted::Whole;
        }
        let what = (syn.sequence, Options::mss(syn.options), syn.ttl);
        let hash = self.openings.hash(&key);
        if self.note(&key, hash, what, false, syn.at, first) {
            Noted::Here
        } else {
            Noted::NoRoom
        }
    }

    /// Whether more has to be known of a SYN than that it is one.
    #[inline]
    fn is_awaited(&self, key: &Key, syn: &PlainSyn<'_>) -> bool {
        let is_followed = !self.connections.is_empty()
            && self
                .sieve
                .may_hold(Key::sieved_plain(syn.addresses, syn.ports))
            && self.connections.contains_key(key);
        is_followed || self.waiting.holds(key) || self.rejected.is_fresh(syn.at.time)
    }

    /// Notes a SYN or the answer to one, by its sequence number, segment size and TTL; `false`
    /// where there is no room.
    fn note(
        &mut self,
        key: &Key,
        hash: u64,
        (sequence, mss, ttl): (u32, Option<u16>, u8),
        is_answer: bool,
        at: At,
        first: bool,
    ) -> bool {
        let opener_first = first != is_answer;
        let fresh = || Entry::new(at, opener_first);
        let sieve = &mut self.sieve;
        let most = self.config.openings;
        let mut is_new = false;
        let entry = self.openings.known_or((key, hash), most, || {
            is_new = true;
            sieve.add(key.sieved());
            let mut entry = fresh();
            entry.begin(is_answer, sequence, mss, ttl);
            entry
        });
        let Some(entry) = entry else {
            self.counters.evicted += 1;
            return false;
        };
        if is_new {
            return true;
        }
        let other_number = entry
            .sequence(Party::Opener)
            .is_some_and(|known| known != sequence);
        if !is_answer && other_number {
            *entry = fresh();
        }
        let rewritten = entry.rewrites(at, is_answer, sequence, (mss, ttl));
        let mss = rewritten.map_or(mss, |rewritten| Some(rewritten.to));
        if is_answer {
            entry.answer(at, sequence, mss, ttl);
        } else {
            entry.syn(at, sequence, mss, ttl);
        }
        if let Some(rewritten) = rewritten {
            self.openings.note_rewritten(key, is_answer, rewritten);
        }
        true
    }

    /// The first octets of a connection whose opening was seen.
    fn first_octets(
        &mut self,
        key: &Key,
        tcp: &Tcp<'_>,
        envelope: &Envelope,
        first: bool,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) -> bool {
        let Some(entry) = self.openings.get_mut(key) else {
            return false;
        };
        let party = entry.party(first);
        let at_start = entry
            .sequence(party)
            .is_some_and(|sequence| sequence.wrapping_add(1) == tcp.sequence);
        // A few octets at the very start of the opener's stream may be the beginning of
        // something; their reader will see.
        let is_short = at_start && party == Party::Opener && tcp.payload.len() < 16;
        let verdict = (self.config.recognise)(tcp.payload);
        let starts_like_one = matches!(tcp.payload.first(), Some(20..=23 | 0x80));
        let accepted = match verdict {
            Verdict::Certain => true,
            Verdict::Unsure => at_start,
            Verdict::NotOurs => is_short && starts_like_one,
        };
        // A segment after the first may come before it: its reader will wait and see.
        let is_early = entry
            .sequence(party)
            .is_some_and(|sequence| !at_start && tcp.sequence.wrapping_sub(sequence) < EARLY);
        if accepted || is_early {
            self.follow(key, envelope, sink);
            return true;
        }
        self.forget_opening(key);
        false
    }

    fn forget_opening(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.openings.remove(key)?;
        self.sieve.remove(key.sieved());
        Some(entry)
    }

    /// Begins to follow a connection whose opening was seen.
    fn follow(
        &mut self,
        key: &Key,
        envelope: &Envelope,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        if let Some(entry) = self.forget_opening(key) {
            self.insert(key, entry, true, sink, envelope);
        }
    }

    fn insert(
        &mut self,
        key: &Key,
        entry: Entry,
        roles_known: bool,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
        envelope: &Envelope,
    ) {
        if self.connections.len() >= self.config.connections {
            self.evict(envelope, sink);
        }
        self.numbers += 1;
        self.counters.connections += 1;
        let flow = entry.flow(key);
        let mut connection = Connection {
            number: self.numbers,
            opener_first: key.flow() == flow,
            roles_known,
            last: envelope.time,
            clock: entry.last(),
            closed: false,
            rests: false,
            appetite: Appetite::All,
            halves: [Half::default(), Half::default()],
            user: U::default(),
            held: 0,
        };
        for party in [Party::Opener, Party::Acceptor] {
            if let Some(sequence) = entry.sequence(party) {
                connection.half(party).start(sequence.wrapping_add(1));
            }
        }
        let mut opening = self.openings.opening(key, &entry);
        [opening.rewritten, opening.answer_rewritten] = self.openings.rewritten(key);
        let [opener, acceptor] = &mut connection.halves;
        opener.frames = u32::from(opening.syns);
        acceptor.frames = u32::from(opening.answer.is_some());
        let delivery = Delivery {
            connection: connection.number,
            flow,
            roles_known,
            envelope,
            at: opening.syn.unwrap_or_else(|| At::from(envelope)),
            from: Party::Opener,
            what: What::Fact(Fact::Opened(opening)),
        };
        connection.appetite = sink(&mut connection.user, &delivery);
        if self
            .connections
            .insert(*key, Box::new(connection))
            .is_none()
        {
            self.sieve.add(key.sieved());
        }
        self.note_lively(envelope.time, *key);
    }

    /// Notes a connection as lively. Those that were let go of meanwhile are forgotten when they
    /// are the greater part.
    fn note_lively(&mut self, time: Timestamp, key: Key) {
        if self.lively.len() > 2 * self.connections.len() + 4096 {
            let connections = &self.connections;
            self.lively.retain(|(_, key)| connections.contains_key(key));
        }
        self.lively.push_back((time, key));
        self.next_rest = self.next_rest.min(time + QUIET);
    }

    /// Lets go of the sixteenth of the connections that was quiet for longest.
    fn evict(
        &mut self,
        envelope: &Envelope,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        let mut all: Vec<(Timestamp, Key)> = self
            .connections
            .iter()
            .map(|(key, connection)| (connection.last, *key))
            .collect();
        all.sort_unstable();
        let count = (all.len() / 16).max(1);
        self.counters.evicted += u64::try_from(count).unwrap_or(u64::MAX);
        for (_, key) in all.into_iter().take(count) {
            self.drop_one(&key, envelope, sink);
        }
    }

    fn let_go(&mut self, key: &Key) -> Option<Box<Connection<U>>> {
        let connection = self.connections.remove(key)?;
        self.sieve.remove(key.sieved());
        Some(connection)
    }

    fn drop_one(
        &mut self,
        key: &Key,
        envelope: &Envelope,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        if let Some(mut connection) = self.let_go(key) {
            self.held = self.held.saturating_sub(connection.held);
            let flow = connection.flow(key);
            forget(&mut connection, flow, &At::from(envelope), envelope, sink);
        }
    }

    /// Begins to follow the connection of an ICMP error's quoted segment, if it is known.
    pub fn touch(
        &mut self,
        quoted: &Flow,
        envelope: &Envelope,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        self.note_waiting();
        let (key, _) = Key::of(envelope.capture, quoted);
        self.follow(&key, envelope, sink);
    }

    /// Whether a connection is known, followed or only opened.
    pub fn is_known(&mut self, capture: u16, flow: &Flow) -> bool {
        self.note_waiting();
        let (key, _) = Key::of(capture, flow);
        self.connections.contains_key(&key) || self.openings.contains(&key)
    }

    /// The same for a segment whose addresses a translator, or whoever rewrote the capture, left
    /// as they were: the error's receiver, the ports and the number of its SYN still tell.
    /// Tells whether one was found.
    pub fn touch_foreign(
        &mut self,
        told: IpAddr,
        quoted: &Quoted<'_>,
        envelope: &Envelope,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) -> bool {
        const FEW: usize = 64;
        self.note_waiting();
        let sequence = quoted.payload.get(4..8).and_then(<[u8]>::first_chunk::<4>);
        let Some(sequence) = sequence.map(|octets| u32::from_be_bytes(*octets)) else {
            return false;
        };
        if self.openings.len() > FEW {
            return false;
        }
        let key = self.openings.find(|key, entry| {
            let flow = entry.flow(key);
            flow.source == (told, quoted.source_port)
                && flow.destination.1 == quoted.destination_port
                && entry.sequence(Party::Opener) == Some(sequence)
        });
        if let Some(key) = key {
            self.follow(&key, envelope, sink);
        }
        key.is_some()
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

    /// When [`Assembler::advance`] has something to do.
    pub fn next_deadline(&self) -> Timestamp {
        let sweeps = self.next_sweep.min(self.next_rest);
        sweeps.min(self.waiting.deadline())
    }

    /// Lets go of what was quiet for too long.
    pub fn advance(
        &mut self,
        now: Timestamp,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        const SWEEP: Span = Span::from_secs(5);
        self.note_waiting();
        while let Some(key) = self.waiting.due(now) {
            self.give_way(&key, Some(now), sink);
        }
        if self.next_rest <= now {
            self.rest(now);
        }
        if now < self.next_sweep {
            return;
        }
        if self.over.is_empty() {
            self.take_over(now - self.config.opening_idle);
        }
        self.tell_over(Self::TOLD, (now, true), sink);
        if !self.over.is_empty() {
            // The rest with the next segments: what follows from them wants room too.
            return;
        }
        self.next_sweep = now + SWEEP;
        let mut over: Vec<(u64, Key)> = self
            .connections
            .iter()
            .filter(|(_, connection)| {
                let idle = if connection.closed {
                    self.config.closed
                } else {
                    self.config.idle
                };
                now.since(connection.last) >= idle
            })
            .map(|(key, connection)| (connection.number, *key))
            .collect();
        over.sort_unstable();
        for (_, key) in over {
            self.flush(&key, now, sink);
            self.drop_one(&key, &blank(&key, now), sink);
        }
    }

    /// Lets connections that are quiet give away what only lively ones need: there are many, and
    /// nobody closes most of them.
    fn rest(&mut self, now: Timestamp) {
        while let Some((seen, key)) = self.lively.front().copied()
            && now.since(seen) >= QUIET
        {
            self.lively.pop_front();
            let Some(connection) = self.connections.get_mut(&key) else {
                continue;
            };
            if now.since(connection.last) < QUIET {
                self.lively.push_back((connection.last, key));
            } else if !std::mem::replace(&mut connection.rests, true) {
                connection.user.rest();
                for half in &mut connection.halves {
                    half.rest(&mut self.room);
                }
            }
        }
        self.next_rest = if self.lively.is_empty() {
            Timestamp::MAX
        } else {
            now + QUIET
        };
    }

    /// Takes out the openings that were quiet since `before`. Those that matter are told.
    fn take_over(&mut self, before: Timestamp) {
        let (expects, hints) = (self.config.expects, self.config.hints);
        let (sieve, counters) = (&mut self.sieve, &mut self.counters);
        let numbers = &mut self.numbers;
        let all = before == Timestamp::MAX;
        let mut over = self.openings.expire(before, |key, entry| {
            if !all {
                // At the end nobody asks any more.
                sieve.remove(key.sieved());
            }
            let matters = expects(&entry.flow(key), hints);
            if !matters {
                // Its reader would say nothing of it.
                counters.connections += 1;
                *numbers += 1;
            }
            matters
        });
        if !over.is_empty() {
            self.over.push_back(over);
        }
    }

    /// Openings that never carried an octet become connections for their reader to judge,
    /// and are let go of. `told`: when, and whether because they were silent for long.
    fn tell_over(
        &mut self,
        mut most: usize,
        told: (Timestamp, bool),
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        while most > 0
            && let Some(over) = self.over.front_mut()
        {
            let Some((key, entry)) = over.next() else {
                self.over.pop_front();
                continue;
            };
            most -= 1;
            if entry.is_unanswered() && !self.openings.is_rewritten(&key) {
                self.tell_unanswered(&key, &entry, told, sink);
                continue;
            }
            let envelope = blank(&key, entry.last());
            self.insert(&key, entry, true, sink, &envelope);
            self.drop_one(&key, &envelope, sink);
        }
    }

    /// SYNs alone are one fact: no connection is made for them.
    fn tell_unanswered(
        &mut self,
        key: &Key,
        entry: &Entry,
        (told, idle): (Timestamp, bool),
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        self.numbers += 1;
        self.counters.connections += 1;
        let envelope = blank(key, told);
        let opening = self.openings.opening(key, entry);
        let delivery = Delivery {
            connection: self.numbers,
            flow: entry.flow(key),
            roles_known: true,
            envelope: &envelope,
            at: opening.syn.unwrap_or_else(|| At::from(&envelope)),
            from: Party::Opener,
            what: What::Fact(Fact::Unanswered { opening, idle }),
        };
        sink(&mut U::default(), &delivery);
    }

    /// Ends everything: the capture ended.
    pub fn finish(
        &mut self,
        end: Timestamp,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        self.note_waiting();
        while let Some(key) = self.waiting.due(Timestamp::MAX) {
            self.give_way(&key, None, sink);
        }
        self.take_over(Timestamp::MAX);
        self.tell_over(usize::MAX, (end, false), sink);
        let mut all: Vec<(u64, Key)> = self
            .connections
            .iter()
            .map(|(key, connection)| (connection.number, *key))
            .collect();
        all.sort_unstable();
        for (_, key) in all {
            self.flush(&key, end, sink);
            self.drop_one(&key, &blank(&key, end), sink);
        }
    }

    /// Delivers what waits behind holes.
    fn flush(
        &mut self,
        key: &Key,
        end: Timestamp,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let flow = connection.flow(key);
        let envelope = blank(key, end);
        for party in [Party::Opener, Party::Acceptor] {
            let incoming = Incoming {
                envelope: &envelope,
                tcp: &NO_SEGMENT,
                at: At::from(&envelope),
                party,
            };
            let mut work = Work {
                connection,
                flow,
                incoming,
                config: &self.config,
                counters: &mut self.counters,
                room: &mut self.room,
                sink,
            };
            while work.skip(party) {}
        }
    }
}

/// Silence after which a connection gives away what only lively ones need.
const QUIET: Span = Span::from_secs(1);

/// How far ahead of the first octet a segment is still taken for one of the first.
const EARLY: u32 = 1 << 16;

const NO_SEGMENT: Tcp<'static> = Tcp {
    sequence: 0,
    acknowledgment: 0,
    flags: 0,
    window: 0,
    options: &[],
    payload: &[],
    payload_len: 0,
};

fn blank(key: &Key, time: Timestamp) -> Envelope {
    blank_envelope(key.capture(), &key.flow(), time, 6)
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

fn forget<U>(
    connection: &mut Connection<U>,
    flow: Flow,
    at: &At,
    envelope: &Envelope,
    sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
) {
    let [opener, acceptor] = &connection.halves;
    let delivery = Delivery {
        connection: connection.number,
        flow,
        roles_known: connection.roles_known,
        envelope,
        at: *at,
        from: Party::Opener,
        what: What::Fact(Fact::Forgotten {
            opener: opener.frames,
            acceptor: acceptor.frames,
        }),
    };
    sink(&mut connection.user, &delivery);
}

/// Whether the end that stands first in the key opened a connection that is seen from its
/// middle: it sent a ClientHello or its peer a ServerHello; otherwise the lower port is the
/// one that was called, unless the user knows better.
fn likely_opener(payload: &[u8], sender_first: bool, key: &Flow, hinted: Option<bool>) -> bool {
    match payload {
        [22, _, _, _, _, 1, ..] | [0x80..=0xff, ..] => sender_first,
        [22, _, _, _, _, 2, ..] => !sender_first,
        _ => hinted.unwrap_or(key.source.1 > key.destination.1),
    }
}
