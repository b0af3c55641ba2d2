//! Holds messages back for a moment, so that one that overtook another stands behind it again.
//!
//! Clocks of several queues or interfaces, and merged files, turn the order of messages round
//! that are milliseconds apart. What must come first follows from the protocols: a request
//! before its response, message IDs and sequence numbers before higher ones, an answer behind
//! what it acknowledges. Messages of which nothing says so keep the order in which they came.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use vpnscope_dissectors::{ike, l2tp, pppoe};

use super::session::Stamp;
use super::{Event, What};
use crate::decap::{Envelope, Icmp, Quoted};
use crate::tables::sieve;
use crate::time::{Span, Timestamp};

mod order;

pub(crate) use order::Known;
use order::Rank;

/// A message with its octets.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) envelope: Envelope,
    frames: Vec<u64>,
    octets: Vec<u8>,
    kind: Kind,
    /// What its place follows from: asked for where there is another one to be before.
    rank: Option<Rank>,
    /// The one behind it in its conversation.
    next: Option<Box<Self>>,
}

/// What a message is.
#[derive(Debug)]
enum Kind {
    Ike,
    L2tp,
    Pppoe,
    /// An ICMP error; the octets are what it quotes.
    Error(Box<Error>),
}

/// An ICMP error without the octets that it quotes.
#[derive(Debug)]
struct Error {
    icmp: Icmp<'static>,
    quoted: Quoted<'static>,
}

/// Messages that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conversation {
    /// By the initiator's SPI or cookie.
    Ike(u64),
    /// By the addresses, the lower one first.
    L2tp(IpAddr, IpAddr),
    /// All of it: what opens a session of `PPPoE` goes to everybody.
    Pppoe,
}

impl Hash for Conversation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match *self {
            Self::Ike(spi) => state.write_u64(spi),
            Self::Pppoe => state.write_u8(0),
            Self::L2tp(a, b) => {
                for address in [a, b] {
                    match address {
                        IpAddr::V4(v4) => state.write_u32(v4.to_bits()),
                        IpAddr::V6(v6) => state.write_u128(v6.to_bits()),
                    }
                }
            }
        }
    }
}

/// Messages that wait.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    /// The first one of each conversation.
    waiting: HashMap<Conversation, Box<Held>, RandomState>,
    /// One entry for each message: until when its conversation's first one waits.
    queue: VecDeque<(Timestamp, Conversation)>,
    /// How many wait between addresses of each hash: nearly every question is answered by it.
    between: Vec<u32>,
    spare: Spare,
    /// Octets that all of them take.
    octets: usize,
    /// Errors about what was not seen yet, and until when they wait.
    errors: VecDeque<(Timestamp, Box<Held>)>,
}

/// What is used again, rather than asked of the allocator.
#[derive(Debug, Default)]
struct Spare {
    first: Option<Box<Held>>,
    len: usize,
}

impl Spare {
    fn pop(&mut self) -> Option<Box<Held>> {
        let mut held = self.first.take()?;
        self.first = held.next.take();
        self.len = self.len.saturating_sub(1);
        Some(held)
    }

    fn push(&mut self, mut held: Box<Held>) {
        if self.len < SPARE {
            if held.octets.capacity() > SPARE_OCTETS {
                held.octets = Vec::new();
            }
            held.next = self.first.take();
            self.first = Some(held);
            self.len += 1;
        }
    }
}

/// Places of `between`, as a power of two.
const PLACES: u32 = 13;

/// The same for both directions.
fn place(a: IpAddr, b: IpAddr) -> usize {
    sieve::place::<PLACES>(sieve::between(a, b))
}

/// How long a message waits for what should stand before it.
const PATIENCE: Span = Stamp::JITTER;
/// Messages of one conversation that wait.
const EACH: usize = 64;
/// Messages that wait altogether.
const ALL: usize = 65_536;
/// Octets that wait altogether: beyond, messages are taken in the order in which they come.
const OCTETS: usize = 8 << 20;
/// Errors that wait.
const ERRORS: usize = 1024;
/// So many are gone through for those between two addresses; of more, all are let go.
const FEW: usize = 256;
/// Messages kept to be used again, and the octets that each may keep.
const SPARE: usize = 256;
const SPARE_OCTETS: usize = 2048;

impl Hold {
    /// Takes a message that can wait; `false` gives the event back.
    ///
    /// `known` tells of the session with an initiator's SPI.
    pub(crate) fn take(&mut self, event: &Event<'_>, known: impl Fn(u64) -> Option<Known>) -> bool {
        let envelope = event.envelope;
        if self.queue.len() >= ALL || self.octets >= OCTETS {
            return false;
        }
        let packet;
        let (conversation, octets) = match &event.what {
            What::Ike { message, octets } if !message.header.initiator_spi.is_zero() => {
                (Conversation::Ike(message.header.initiator_spi.0), *octets)
            }
            What::L2tp { octets, .. } if envelope.protocol == 17 && octets.len() <= 512 => {
                let (a, b) = (envelope.source, envelope.destination);
                (Conversation::L2tp(a.min(b), a.max(b)), *octets)
            }
            What::Pppoe { packet: whole }
                if whole.length_fault.is_none() && whole.body.len() <= 512 =>
            {
                packet = written(whole);
                (Conversation::Pppoe, packet.as_slice())
            }
            _ => return false,
        };
        match self.waiting.entry(conversation) {
            Entry::Vacant(entry) => {
                let held = Held::of(event, octets, None, &mut self.spare);
                self.octets += held.weight();
                entry.insert(held);
            }
            Entry::Occupied(mut entry) => {
                if entry.get().chain().count() >= EACH {
                    return false;
                }
                let Some(rank) = Rank::of(&event.what, envelope) else {
                    return false;
                };
                entry.get_mut().find_ranks();
                let known = match conversation {
                    Conversation::Ike(spi) => known(spi),
                    _ => None,
                };
                let ranks = entry.get().chain().filter_map(|held| held.rank.as_ref());
                let position = order::place(ranks, &rank, known);
                let held = Held::of(event, octets, Some(rank), &mut self.spare);
                self.octets += held.weight();
                entry.get_mut().insert(position, held);
            }
        }
        if self.between.is_empty() {
            self.between = vec![0; 1 << PLACES];
        }
        let between = place(envelope.source, envelope.destination);
        if let Some(count) = self.between.get_mut(between) {
            *count += 1;
        }
        self.queue
            .push_back((envelope.time + PATIENCE, conversation));
        true
    }

    /// Takes an error about something that was not seen yet; `false` where it cannot wait.
    pub(crate) fn take_error(&mut self, event: &Event<'_>, icmp: &Icmp<'_>) -> bool {
        let Some(quoted) = icmp.quoted.filter(|_| self.errors.len() < ERRORS) else {
            return false;
        };
        let mut held = Held::of(event, quoted.payload, None, &mut self.spare);
        held.kind = Kind::Error(Box::new(Error {
            icmp: Icmp {
                quoted: None,
                ..*icmp
            },
            quoted: Quoted {
                payload: &[],
                ..quoted
            },
        }));
        let until = event.envelope.time + PATIENCE;
        self.errors.push_back((until, held));
        true
    }

    /// The next message that waited long enough.
    #[inline]
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<Box<Held>> {
        if self.queue.front().is_some_and(|(until, _)| *until <= now) {
            return self.next();
        }
        let error = self.errors.front().is_some_and(|(until, _)| *until <= now);
        if error { self.next_error() } else { None }
    }

    /// The next error.
    pub(crate) fn next_error(&mut self) -> Option<Box<Held>> {
        self.errors.pop_front().map(|(_, held)| held)
    }

    /// Whether packets of `PPPoE` wait.
    pub(crate) fn has_pppoe(&self) -> bool {
        self.waiting.contains_key(&Conversation::Pppoe)
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> Option<Box<Held>> {
        while let Some((_, conversation)) = self.queue.pop_front() {
            let Entry::Occupied(mut entry) = self.waiting.entry(conversation) else {
                continue;
            };
            let held = match entry.get_mut().next.take() {
                Some(behind) => entry.insert(behind),
                None => entry.remove(),
            };
            self.octets = self.octets.saturating_sub(held.weight());
            let between = place(held.envelope.source, held.envelope.destination);
            if let Some(count) = self.between.get_mut(between) {
                *count = count.saturating_sub(1);
            }
            return Some(held);
        }
        None
    }

    /// Initiators' SPIs of the messages of IKE among the next ones.
    pub(crate) fn upcoming(&self, next: usize) -> impl Iterator<Item = u64> {
        let next = self.queue.iter().take(next);
        next.filter_map(|(_, conversation)| match conversation {
            Conversation::Ike(spi) => Some(*spi),
            _ => None,
        })
    }

    /// Takes back a message that is done with.
    pub(crate) fn give_back(&mut self, held: Box<Held>) {
        self.spare.push(held);
    }

    /// Whether something waits that an event between these addresses may be about.
    #[inline]
    pub(crate) fn concerns(&self, a: IpAddr, b: IpAddr) -> bool {
        let waits = |count: &u32| *count > 0;
        !self.queue.is_empty()
            && self.between.get(place(a, b)).is_some_and(waits)
            && self.is_between(a, b)
    }

    fn is_between(&self, a: IpAddr, b: IpAddr) -> bool {
        self.queue.len() > FEW
            || self
                .waiting
                .values()
                .flat_map(|held| held.chain())
                .any(|held| {
                    let (x, y) = (held.envelope.source, held.envelope.destination);
                    (x, y) == (a, b) || (x, y) == (b, a)
                })
    }

    /// When the first one will have waited long enough.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let queue = self.queue.front().map(|(until, _)| *until);
        let error = self.errors.front().map(|(until, _)| *until);
        queue.into_iter().chain(error).min()
    }
}

/// A packet without faults as it was on the wire, without what followed it.
fn written(packet: &pppoe::Packet<'_>) -> Vec<u8> {
    let ([i0, i1], [l0, l1]) = (packet.session_id.to_be_bytes(), packet.length.to_be_bytes());
    let mut octets = vec![packet.version_type, packet.code.0, i0, i1, l0, l1];
    octets.extend_from_slice(packet.body);
    octets
}

impl Held {
    fn of(event: &Event<'_>, octets: &[u8], rank: Option<Rank>, spare: &mut Spare) -> Box<Self> {
        let kind = match event.what {
            What::L2tp { .. } => Kind::L2tp,
            What::Pppoe { .. } => Kind::Pppoe,
            _ => Kind::Ike,
        };
        if let Some(mut held) = spare.pop() {
            held.envelope = *event.envelope;
            held.frames.clear();
            held.frames.extend_from_slice(event.frames);
            held.octets.clear();
            held.octets.extend_from_slice(octets);
            held.kind = kind;
            held.rank = rank;
            return held;
        }
        Box::new(Self {
            envelope: *event.envelope,
            frames: event.frames.to_vec(),
            octets: octets.to_vec(),
            kind,
            rank,
            next: None,
        })
    }

    /// Octets that it takes.
    fn weight(&self) -> usize {
        size_of::<Self>() + self.octets.len() + size_of_val(&*self.frames)
    }

    /// This one and those behind it.
    fn chain(&self) -> impl Iterator<Item = &Self> + Clone {
        std::iter::successors(Some(self), |held| held.next.as_deref())
    }

    /// Asks for the rank of each one in the chain that has none yet.
    fn find_ranks(&mut self) {
        let mut next = Some(self);
        while let Some(held) = next {
            if held.rank.is_none() {
                held.rank = held
                    .event()
                    .and_then(|event| Rank::of(&event.what, &held.envelope));
            }
            next = held.next.as_deref_mut();
        }
    }

    /// Puts another one at a place of the chain; behind all where there are less.
    fn insert(self: &mut Box<Self>, place: usize, mut held: Box<Self>) {
        match (place.checked_sub(1), &mut self.next) {
            (None, _) => {
                std::mem::swap(self, &mut held);
                self.next = Some(held);
            }
            (Some(place), Some(next)) => next.insert(place, held),
            (Some(_), None) => self.next = Some(held),
        }
    }

    /// The event again.
    pub(crate) fn event(&self) -> Option<Event<'_>> {
        let octets = &self.octets;
        let what = match &self.kind {
            Kind::Ike => What::Ike {
                message: ike::Message::parse(octets).ok()?,
                octets,
            },
            Kind::L2tp => What::L2tp {
                message: l2tp::Message::parse(octets).ok()?,
                octets,
            },
            Kind::Pppoe => What::Pppoe {
                packet: pppoe::Packet::parse(octets).ok()?,
            },
            Kind::Error(error) => What::Icmp(Icmp {
                quoted: Some(Quoted {
                    payload: octets,
                    ..error.quoted
                }),
                ..error.icmp
            }),
        };
        Some(Event {
            envelope: &self.envelope,
            frames: &self.frames,
            what,
        })
    }
}
