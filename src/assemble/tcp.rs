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
pub use crate::time::Stamp as At;
use crate::time::{Span, Timestamp};

mod half;
mod later;
mod opening;
mod options;
mod sieve;
#[cfg(test)]
mod tests;
mod wait;

use foldhash::fast::RandomState;
use half::{Early, Half, Place, Room};
use later::Later;
use opening::{Entry, Key, Openings, Over};
pub use options::Options;
use sieve::Sieve;
use wait::{Look, Rejected};

/// Budgets and timers.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Connections that are followed at a time.
    pub connections: usize,
    /// Connections without octets that are remembered at a time.
    pub openings: usize,
    /// Octets of one direction that may wait behind a hole.
    pub early_octets: usize,
    /// Segments of one direction that may wait behind a hole.
    pub early_segments: usize,
    /// How long after its acknowledgment a missing segment may still come: captures put
    /// frames out of order by a little.
    pub patience: Span,
    /// How long a connection without octets is remembered after its last SYN. Linux repeats
    /// a SYN for 127 s with gaps up to 64 s.
    pub opening_idle: Span,
    /// How long a connection is remembered without a segment.
    pub idle: Span,
    /// How long a connection is remembered that was closed.
    pub closed: Span,
    /// Octets that may be held at a time, by all connections and their readers.
    pub octets: usize,
    /// Whether segments wait a moment for what they answer: in files, whose times and order
    /// may run wrong. An interface gives frames in order.
    pub waits: bool,
    /// Whether a stretch of a stream is of ours.
    pub recognise: fn(&[u8]) -> Verdict,
    /// Whether a connection that never carried an octet matters, by its flow from the opener.
    pub expects: fn(&Flow, Hints) -> bool,
    /// Who is who, where a connection is seen from its middle.
    pub hints: Hints,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections: 250_000,
            openings: 450_000,
            early_octets: 128 << 10,
            early_segments: 512,
            patience: Span::from_millis(20),
            opening_idle: Span::from_secs(75),
            idle: Span::from_secs(3600),
            closed: Span::from_secs(5),
            octets: 48 << 20,
            waits: true,
            recognise: vpnscope_dissectors::tls::recognise,
            expects: |_, _| true,
            hints: Hints::default(),
        }
    }
}

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Connections followed.
    pub connections: u64,
    /// Connections let go of early because there were too many, with or without octets.
    pub evicted: u64,
    /// Copies made by a span port.
    pub copies: u64,
    /// Holes given up.
    pub gaps: u64,
}

/// The ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The one that sent the SYN.
    Opener,
    /// The one that answered it.
    Acceptor,
}

impl Party {
    /// The other end.
    pub const fn other(self) -> Self {
        match self {
            Self::Opener => Self::Acceptor,
            Self::Acceptor => Self::Opener,
        }
    }
}

/// How a connection was opened, as far as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// The first SYN.
    pub syn: Option<At>,
    /// The last SYN.
    pub last_syn: Option<At>,
    /// How many.
    pub syns: u8,
    /// The first SYN with ACK.
    pub answer: Option<At>,
    /// Whether the opener acknowledged the answer.
    pub acknowledged: bool,
    /// What the opener wants to receive at most, octets of data.
    pub mss: Option<u16>,
    /// What the acceptor wants to receive at most.
    pub answer_mss: Option<u16>,
    /// A segment size that a box on the path put into the opener's SYN, seen before and after it.
    pub rewritten: Option<Rewritten>,
    /// The same of the acceptor's.
    pub answer_rewritten: Option<Rewritten>,
    /// TTL of the SYN at the capture point.
    pub ttl: u8,
    /// TTL of the answer at the capture point.
    pub answer_ttl: u8,
}

/// A segment size that changes on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    /// What the host wrote, octets of data.
    pub from: u16,
    /// What stands there afterwards.
    pub to: u16,
}

/// Something about a connection that is no octet of its streams. Offsets count octets of data
/// from the start of the sender's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// A connection begins to be followed; the first of its facts.
    Opened(Opening),
    /// SYNs that nobody answered, and nothing else: all there will be of this connection.
    Unanswered {
        /// The SYNs.
        opening: Opening,
        /// Whether it was let go of because it was silent for long; otherwise the capture ended.
        idle: bool,
    },
    /// A SYN or its answer again, after the first octets.
    SynRepeated,
    /// It was reset.
    Reset {
        /// Where in the sender's stream.
        offset: u32,
    },
    /// The sender has nothing more to say.
    Fin {
        /// Length of the sender's stream.
        offset: u32,
    },
    /// A segment of which everything was seen before: a retransmission.
    Repeat {
        /// Where.
        offset: u32,
        /// Octets.
        len: u32,
        /// Up to where the peer had acknowledged then.
        acked: u32,
    },
    /// A segment that leaves a hole before it.
    Hole {
        /// Where the hole starts.
        offset: u32,
        /// Octets.
        len: u32,
    },
    /// A hole was filled by a segment that came late.
    Filled {
        /// Where it was.
        offset: u32,
    },
    /// The peer acknowledged more. Only while octets are wanted.
    Acked {
        /// Up to where in the peer's stream.
        offset: u32,
    },
    /// The sender has octets of the peer's stream beyond a hole (RFC 2018): that hole is on
    /// the path, not in the capture. Only while octets are wanted.
    Sack {
        /// Where the hole starts: what is acknowledged.
        acked: u32,
        /// The first octet beyond it.
        from: u32,
        /// One beyond the last octet of the highest block.
        to: u32,
    },
    /// A probe whether the peer is there.
    KeepAlive,
    /// The sender wants to receive nothing at the moment.
    WindowClosed,
    /// Octets that overlap earlier ones and differ from them.
    Conflict {
        /// Where the segment starts.
        offset: u32,
    },
    /// A copy made by a span port.
    Copy,
    /// Nothing more will be said of this connection. How many frames each end sent.
    Forgotten {
        /// Frames of the opener.
        opener: u32,
        /// Frames of the acceptor.
        acceptor: u32,
    },
}

/// What is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What<'a> {
    /// A fact.
    Fact(Fact),
    /// The next octets of the sender's stream.
    Octets {
        /// Where they stand in it.
        offset: u32,
        /// They themselves.
        octets: &'a [u8],
    },
    /// Octets that will not come: lost by the capture, or cut off by it.
    Gap {
        /// Where.
        offset: u32,
        /// How many.
        len: u32,
    },
}

/// A delivery: what, of which connection, in which frame.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// Number of the connection, from 1, never used twice.
    pub connection: u64,
    /// From the opener to the acceptor.
    pub flow: Flow,
    /// Whether the roles follow from a SYN.
    pub roles_known: bool,
    /// How the segment travelled. Octets that waited come with the frame they were in by
    /// [`Delivery::at`], and with the envelope of the segment that set them free.
    pub envelope: &'a Envelope,
    /// The frame that carried it.
    pub at: At,
    /// Who sent it.
    pub from: Party,
    /// What.
    pub what: What<'a>,
}

/// What the reader of a connection wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Appetite {
    /// Every octet, in order, and all facts.
    #[default]
    All,
    /// Octets, and the rarer facts.
    Some,
    /// Nothing: it is not ours.
    Nothing,
}

/// What a reader keeps for a connection.
pub trait Reader: Default {
    /// Octets that it holds.
    fn held(&self) -> usize;
    /// Its connection is quiet: room that is not used may go.
    fn rest(&mut self) {}
}

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
            || (self.sieve.may_hold(addresses, ports) && self.knows(capture, addresses, ports))
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
            && self.sieve.may_hold(syn.addresses, syn.ports)
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
            sieve.add(key);
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
        self.sieve.remove(key);
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
            self.sieve.add(key);
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
        self.sieve.remove(key);
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
                sieve.remove(key);
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

/// A connection and the segment that is being put into it.
struct Work<'a, 'b, U, S> {
    connection: &'a mut Connection<U>,
    flow: Flow,
    incoming: Incoming<'b>,
    config: &'a Config,
    counters: &'a mut Counters,
    room: &'a mut Room,
    sink: &'a mut S,
}

impl<U, S: FnMut(&mut U, &Delivery<'_>) -> Appetite> Work<'_, '_, U, S> {
    fn give(&mut self, from: Party, at: At, what: What<'_>) {
        let delivery = Delivery {
            connection: self.connection.number,
            flow: self.flow,
            roles_known: self.connection.roles_known,
            envelope: self.incoming.envelope,
            at,
            from,
            what,
        };
        self.connection.appetite = (self.sink)(&mut self.connection.user, &delivery);
    }

    fn fact(&mut self, fact: Fact) {
        self.give(self.incoming.party, self.incoming.at, What::Fact(fact));
    }

    fn hungry(&self) -> bool {
        self.connection.appetite == Appetite::All
    }

    fn segment(&mut self) {
        let Incoming {
            tcp,
            party,
            envelope,
            at,
        } = self.incoming;
        if tcp.has(Tcp::SYN) {
            let sequence = tcp.sequence.wrapping_add(1);
            self.connection.half(party).start(sequence);
            self.fact(Fact::SynRepeated);
            return;
        }
        let half = self.connection.half(party);
        half.frames = half.frames.saturating_add(1);
        let notable = tcp.payload_len > 0 || tcp.flags & (Tcp::FIN | Tcp::RST) != 0;
        let half = self.connection.half(party);
        if !half.is_started() && !tcp.has(Tcp::RST) {
            half.start(tcp.sequence);
        }
        if notable
            && half.is_copy(
                tcp.sequence,
                tcp.payload_len,
                tcp.flags,
                envelope.ip_id,
                at.time,
                self.room,
            )
        {
            self.counters.copies += 1;
            self.fact(Fact::Copy);
            return;
        }
        if tcp.has(Tcp::ACK) {
            self.acknowledgment();
        }
        self.window();
        if tcp.payload_len > 0 || self.is_probe() {
            self.data();
        }
        if tcp.has(Tcp::FIN) {
            self.fin();
        }
        if tcp.has(Tcp::RST) {
            let half = self.connection.half(party);
            let offset = half.offset(tcp.sequence);
            self.connection.closed = true;
            self.fact(Fact::Reset { offset });
        }
        for party in [Party::Opener, Party::Acceptor] {
            while self.connection.half(party).gives_up(at.time, self.config) && self.skip(party) {}
        }
    }

    fn is_probe(&mut self) -> bool {
        let Incoming { tcp, party, .. } = self.incoming;
        tcp.flags & !Tcp::PSH == Tcp::ACK
            && tcp.payload_len == 0
            && self.connection.half(party).place(tcp.sequence, 0) == Place::KeepAlive
    }

    fn window(&mut self) {
        let Incoming { tcp, party, .. } = self.incoming;
        let closed = tcp.window == 0 && tcp.flags & (Tcp::RST | Tcp::FIN) == 0;
        let half = self.connection.half(party);
        let changed = closed && !half.window_closed;
        half.window_closed = closed;
        if changed {
            self.fact(Fact::WindowClosed);
        }
    }

    fn acknowledgment(&mut self) {
        let Incoming { tcp, party, at, .. } = self.incoming;
        let peer = self.connection.half(party.other());
        if !peer.is_started() {
            if tcp.flags & Tcp::RST == 0 {
                peer.start(tcp.acknowledgment);
            }
            return;
        }
        let moved = peer.acknowledge(tcp.acknowledgment, at.time);
        let offset = peer.acked();
        if !self.hungry() {
            return;
        }
        if moved {
            self.fact(Fact::Acked { offset });
        }
        if tcp.options.len() < 10 {
            return;
        }
        let peer = self.connection.half(party.other());
        let blocks = Options::parse(tcp.options).sack;
        let blocks = blocks.iter().flatten();
        let beyond = blocks
            .map(|(from, to)| (peer.offset(*from), peer.offset(*to)))
            .filter(|(from, to)| from > &offset && to > from);
        let edges = beyond.fold(None, |edges: Option<(u32, u32)>, (from, to)| {
            Some(edges.map_or((from, to), |(low, high)| (low.min(from), high.max(to))))
        });
        if let Some((from, to)) = edges {
            self.fact(Fact::Sack {
                acked: offset,
                from,
                to,
            });
        }
    }

    fn data(&mut self) {
        let Incoming { tcp, party, at, .. } = self.incoming;
        let half = self.connection.half(party);
        let (offset, len) = (half.offset(tcp.sequence), tcp.payload_len);
        let end = tcp.sequence.wrapping_add(len);
        let acked = half.acked();
        match half.place(tcp.sequence, len) {
            Place::KeepAlive => self.fact(Fact::KeepAlive),
            Place::Outside => {}
            Place::Old => self.fact(Fact::Repeat { offset, len, acked }),
            Place::Next { skip } => {
                let had_hole = half.hole().is_some();
                half.reach(end);
                if skip > 0 {
                    let len = skip;
                    self.fact(Fact::Repeat { offset, len, acked });
                }
                self.deliver(party, tcp.sequence, tcp.payload, len, skip, at);
                self.drain(party);
                if had_hole {
                    self.fact(Fact::Filled { offset });
                }
            }
            Place::Ahead => {
                let fresh = half.reach(end);
                let known = half.hole();
                let early = Early {
                    sequence: tcp.sequence,
                    octets: tcp.payload.into(),
                    len,
                    at,
                };
                let differs = half.keep(early);
                let hole = half.hole();
                if differs {
                    self.fact(Fact::Conflict { offset });
                }
                if !fresh {
                    self.fact(Fact::Repeat { offset, len, acked });
                } else if known.is_none()
                    && let Some((offset, len)) = hole
                {
                    self.fact(Fact::Hole { offset, len });
                }
            }
        }
    }

    /// Delivers the octets of a segment after the first `skip`.
    fn deliver(&mut self, party: Party, sequence: u32, octets: &[u8], len: u32, skip: u32, at: At) {
        let end = sequence.wrapping_add(len);
        let half = self.connection.half(party);
        let offset = half.next();
        half.advance(end);
        let fresh = usize::try_from(skip)
            .ok()
            .and_then(|skip| octets.get(skip..))
            .unwrap_or_default();
        if !fresh.is_empty() {
            let what = What::Octets {
                offset,
                octets: fresh,
            };
            self.give(party, at, what);
        }
        let present = u32::try_from(octets.len()).unwrap_or(u32::MAX).max(skip);
        if present < len {
            let what = What::Gap {
                offset: offset.wrapping_add(present - skip),
                len: len - present,
            };
            self.give(party, at, what);
        }
    }

    /// Delivers what waited and is next now.
    fn drain(&mut self, party: Party) {
        while let Some((early, skip)) = self.connection.half(party).ready() {
            self.deliver(
                party,
                early.sequence,
                &early.octets,
                early.len,
                skip,
                early.at,
            );
        }
    }

    /// Gives up the first hole of a direction; tells whether there was one.
    fn skip(&mut self, party: Party) -> bool {
        let half = self.connection.half(party);
        let Some((offset, len)) = half.skip_hole() else {
            half.forget_early();
            return false;
        };
        self.counters.gaps += 1;
        self.give(party, self.incoming.at, What::Gap { offset, len });
        self.drain(party);
        true
    }

    fn fin(&mut self) {
        let Incoming { tcp, party, .. } = self.incoming;
        let sequence = tcp.sequence.wrapping_add(tcp.payload_len);
        let half = self.connection.half(party);
        let again = half.fin.is_some();
        half.fin = Some(sequence);
        let offset = half.offset(sequence);
        if !again {
            self.fact(Fact::Fin { offset });
        }
        let both = self.connection.halves.iter().all(|half| half.fin.is_some());
        self.connection.closed |= both;
    }
}
