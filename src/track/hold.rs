//! Holds messages back for a moment, so that one that overtook another stands behind it again.
//!
//! Clocks of several queues or interfaces, and merged files, turn the order of messages round
//! that are milliseconds apart. What must come first follows from the protocols: a request
//! before its response, message IDs and sequence numbers before higher ones, an answer behind
//! what it acknowledges. Messages of which nothing says so keep the order in which they came.

use std::collections::VecDeque;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use vpnscope_dissectors::{ike, l2tp};

use super::session::Stamp;
use super::{Event, What};
use crate::decap::Envelope;
use crate::time::{Span, Timestamp};

mod order;

use order::{Ike, Rank};

/// A message with its octets.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) envelope: Envelope,
    frames: Vec<u64>,
    octets: Box<[u8]>,
    rank: Rank,
}

/// Messages that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Conversation {
    /// By the initiator's SPI or cookie.
    Ike(u64),
    /// By the addresses, the lower one first.
    L2tp(IpAddr, IpAddr),
}

/// Messages that wait.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    waiting: HashMap<Conversation, Vec<Held>, RandomState>,
    /// One entry for each message: until when its conversation's first one waits.
    queue: VecDeque<(Timestamp, Conversation)>,
    /// How many wait between addresses of each hash: nearly every question is answered by it.
    between: Vec<u32>,
    /// Octets that all of them take.
    octets: usize,
}

/// Places of `between`, as a power of two.
const PLACES: u32 = 10;

/// The same for both directions.
fn place(a: IpAddr, b: IpAddr) -> usize {
    let narrow = |address: IpAddr| match address {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            let (words, _) = octets.as_chunks::<8>();
            words
                .iter()
                .fold(0, |all, word| all ^ u64::from_be_bytes(*word))
        }
    };
    let (a, b) = (narrow(a), narrow(b));
    let mixed = (a ^ b)
        .wrapping_add(a.wrapping_mul(b))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> (64 - PLACES)).unwrap_or_default()
}

/// How long a message waits for what should stand before it.
const PATIENCE: Span = Stamp::JITTER;
/// Messages of one conversation that wait.
const EACH: usize = 64;
/// Messages that wait altogether.
const ALL: usize = 65_536;
/// Octets that wait altogether: beyond, messages are taken in the order in which they come.
const OCTETS: usize = 8 << 20;
/// So many are gone through for those between two addresses; of more, all are let go.
const FEW: usize = 256;

impl Hold {
    /// Takes a message that can wait; `false` gives the event back.
    ///
    /// `known` tells whether a session with this initiator's SPI is open.
    pub(crate) fn take(&mut self, event: &Event<'_>, known: impl Fn(u64) -> bool) -> bool {
        let envelope = event.envelope;
        if self.queue.len() >= ALL || self.octets >= OCTETS {
            return false;
        }
        let (conversation, rank, octets) = match event.what {
            What::Ike { message, octets } if !message.header.initiator_spi.is_zero() => (
                Conversation::Ike(message.header.initiator_spi.0),
                Rank::Ike(Ike::of(&message, envelope.source)),
                octets,
            ),
            What::L2tp { message, octets } if envelope.protocol == 17 && octets.len() <= 512 => {
                let (a, b) = (envelope.source, envelope.destination);
                (
                    Conversation::L2tp(a.min(b), a.max(b)),
                    Rank::L2tp(order::L2tp::of(&message, envelope.source)),
                    octets,
                )
            }
            _ => return false,
        };
        let known = matches!(conversation, Conversation::Ike(spi) if known(spi));
        let list = self.waiting.entry(conversation).or_default();
        if list.len() >= EACH {
            return false;
        }
        let place = order::place(list.iter().map(|held| &held.rank), &rank, known);
        let held = Held {
            envelope: *envelope,
            frames: event.frames.to_vec(),
            octets: octets.into(),
            rank,
        };
        self.octets += held.weight();
        list.insert(place.min(list.len()), held);
        self.between.resize(1 << PLACES, 0);
        let between = self::place(envelope.source, envelope.destination);
        if let Some(count) = self.between.get_mut(between) {
            *count += 1;
        }
        self.queue
            .push_back((envelope.time + PATIENCE, conversation));
        true
    }

    /// The next message that waited long enough.
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<Held> {
        let (until, _) = self.queue.front()?;
        if *until > now {
            return None;
        }
        self.next()
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> Option<Held> {
        while let Some((_, conversation)) = self.queue.pop_front() {
            let Some(list) = self.waiting.get_mut(&conversation) else {
                continue;
            };
            if list.is_empty() {
                continue;
            }
            let held = list.remove(0);
            self.octets = self.octets.saturating_sub(held.weight());
            let between = place(held.envelope.source, held.envelope.destination);
            if let Some(count) = self.between.get_mut(between) {
                *count = count.saturating_sub(1);
            }
            if list.is_empty() {
                self.waiting.remove(&conversation);
            }
            return Some(held);
        }
        None
    }

    /// Whether something waits that an event between these addresses may be about.
    pub(crate) fn concerns(&self, a: IpAddr, b: IpAddr) -> bool {
        let waits = |count: &u32| *count > 0;
        !self.queue.is_empty()
            && self.between.get(place(a, b)).is_some_and(waits)
            && (self.queue.len() > FEW
                || self.waiting.values().flatten().any(|held| {
                    let (x, y) = (held.envelope.source, held.envelope.destination);
                    (x, y) == (a, b) || (x, y) == (b, a)
                }))
    }

    /// When the first one will have waited long enough.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.queue.front().map(|(until, _)| *until)
    }
}

impl Held {
    /// Octets that it takes.
    fn weight(&self) -> usize {
        size_of::<Self>() + self.octets.len() + size_of_val(&*self.frames)
    }

    /// The event again.
    pub(crate) fn event(&self) -> Option<Event<'_>> {
        let octets = &self.octets;
        let what = match self.rank {
            Rank::Ike(_) => What::Ike {
                message: ike::Message::parse(octets).ok()?,
                octets,
            },
            Rank::L2tp(_) => What::L2tp {
                message: l2tp::Message::parse(octets).ok()?,
                octets,
            },
        };
        Some(Event {
            envelope: &self.envelope,
            frames: &self.frames,
            what,
        })
    }
}
