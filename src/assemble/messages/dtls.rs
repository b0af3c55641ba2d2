//! DTLS messages from fragments that come in any order, twice, or not at all.
//!
//! Takes datagrams, gives records, fragments, whole handshake messages in clear, and what is
//! missing of those that never became whole. **Overlaps**: octets that arrived first stay.
//! Keeps for each association only the messages that are not complete yet, and a note of the
//! last ones that were.

use vpnscope_dissectors::dtls::{self, ChangeCipherSpec, Fragment, PlainRecord, UnifiedRecord};
use vpnscope_dissectors::tls::{Alert, Context, HandshakeType};
use vpnscope_dissectors::{ParseError, Verdict};

use super::super::Hints;
use crate::decap::Flow;
use crate::tables::{Boxes, Keyed};
use crate::time::{Span, Timestamp};

mod association;
mod direction;
mod message;
mod order;
#[cfg(test)]
mod tests;

use association::{Association, DTLS, first_message};
use direction::Direction;
use order::Order;

/// Budgets.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Associations that are known at a time.
    pub associations: usize,
    /// Octets of incomplete messages that are held at a time, of all of them.
    pub octets: usize,
    /// How long an association is remembered without a datagram.
    pub idle: Span,
    /// Who is who, where an association is seen from its middle.
    pub hints: Hints,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            associations: 100_000,
            octets: 32 << 20,
            idle: Span::from_secs(3600),
            hints: Hints::default(),
        }
    }
}

/// Something in a datagram.
#[derive(Debug, Clone, Copy)]
pub enum What<'a> {
    /// A record with the header of DTLS 1.2 and before.
    Record(PlainRecord<'a>),
    /// A record of DTLS 1.3 that is encrypted.
    Unified(UnifiedRecord<'a>),
    /// A fragment in clear; again where all its octets were there before.
    Fragment {
        /// It.
        fragment: Fragment<'a>,
        /// All of it was seen before.
        again: bool,
    },
    /// A handshake message in clear that is whole.
    Message {
        /// Its type.
        message_type: HandshakeType,
        /// Its number in the handshake.
        message_seq: u16,
        /// What is after its header.
        body: &'a [u8],
        /// The frames it was in.
        frames: &'a [u64],
        /// How many fragments it came in.
        fragments: u32,
    },
    /// A handshake message that never became whole.
    Incomplete {
        /// Its type.
        message_type: HandshakeType,
        /// Its number in the handshake.
        message_seq: u16,
        /// Its declared length.
        length: u32,
        /// Octets of it that were seen.
        seen: u32,
        /// The frames they were in.
        frames: &'a [u64],
    },
    /// An alert in clear.
    Alert(Alert),
    /// `ChangeCipherSpec`.
    ChangeCipherSpec(ChangeCipherSpec),
    /// What follows in the datagram, or in a record, cannot be read.
    Unreadable(ParseError),
}

/// Something in a datagram, and of which association.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// The capture.
    pub capture: u16,
    /// Number of the association, from 1, never used twice.
    pub association: u64,
    /// From the client to the server.
    pub flow: Flow,
    /// Whether the roles follow from a hello.
    pub roles_known: bool,
    /// Whether the client sent it.
    pub from_client: bool,
    /// What is known of the handshake.
    pub context: Context,
    /// What.
    pub what: What<'a>,
}

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Associations let go of early because there were too many, or too much was held.
    pub evicted: u64,
    /// Messages let go of early because too many of one direction were incomplete.
    pub messages: u64,
}

/// All associations.
#[derive(Debug)]
pub struct Assembler {
    config: Config,
    table: Boxes<Association>,
    numbers: u64,
    next_sweep: Timestamp,
    held: usize,
    counters: Counters,
}

/// What a datagram is to the associations that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Nothing of ours.
    NotOurs,
    /// Something must have come before it.
    Early,
    /// It begins a handshake where no association is known.
    First,
    /// It may be what comes next.
    Ready,
}

impl Assembler {
    /// An assembler that knows nothing yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            table: Boxes::default(),
            numbers: 0,
            next_sweep: Timestamp(i64::MIN),
            held: 0,
            counters: Counters::default(),
        }
    }

    /// What happened so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The capture goes on under another number.
    pub fn go_on(&mut self, capture: u16) {
        for mut association in self.table.take() {
            association.capture = capture;
            self.table.remove(&association.key());
            self.table.insert(association);
        }
    }

    /// Whether no association is followed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether a datagram is of ours: recognised, or of an association that is known and
    /// recognised with its help.
    pub fn wants(&self, capture: u16, flow: &Flow, payload: &[u8]) -> bool {
        match dtls::recognise(payload) {
            Verdict::Certain => true,
            Verdict::Unsure => self.table.get(&(capture, ordered(flow))).is_some(),
            Verdict::NotOurs => false,
        }
    }

    /// Takes a datagram and gives what is in it to `sink`. `false` where it is none of ours.
    pub fn handle(
        &mut self,
        capture: u16,
        flow: &Flow,
        frame: u64,
        time: Timestamp,
        payload: &[u8],
        sink: &mut impl FnMut(&Item<'_>),
    ) -> bool {
        let key = (capture, ordered(flow));
        if self.look(&key, flow, payload) == Look::NotOurs {
            return false;
        }
        self.put(&key, flow, (frame, time), payload, sink);
        true
    }

    /// What a datagram is to the associations that are known.
    pub fn look(&self, key: &(u16, Flow), flow: &Flow, payload: &[u8]) -> Look {
        let verdict = dtls::recognise(payload);
        if verdict == Verdict::NotOurs {
            return Look::NotOurs;
        }
        let Some(association) = self.table.get(key) else {
            return match verdict {
                Verdict::Certain if order::opens(payload) => Look::First,
                Verdict::Certain => Look::Early,
                _ => Look::NotOurs,
            };
        };
        if association.is_early(flow, payload) {
            Look::Early
        } else {
            Look::Ready
        }
    }

    /// The order of an association's datagrams cannot be told: none of them waits.
    pub fn give_up_order(&mut self, key: &(u16, Flow)) {
        if let Some(association) = self.table.get_mut(key) {
            association.order.give_up();
        }
    }

    /// Takes a datagram of ours, in a frame and of a time, and gives what is in it to `sink`.
    pub fn put(
        &mut self,
        key: &(u16, Flow),
        flow: &Flow,
        (frame, time): (u64, Timestamp),
        payload: &[u8],
        sink: &mut impl FnMut(&Item<'_>),
    ) {
        let (association, known) = match self.table.get_mut(key) {
            Some(association) => (association, true),
            None => {
                self.open(*key, flow, time, payload, sink);
                match self.table.get_mut(key) {
                    Some(association) => (association, false),
                    None => return,
                }
            }
        };
        association.last = association.last.max(time);
        let before = association.held();
        let renewed = association.is_new_hello(flow, payload);
        if renewed {
            association.close(sink);
            self.numbers += 1;
            association.renew(self.numbers, flow);
        }
        association.datagram(flow, frame, payload, sink);
        let before = if known { before } else { 0 };
        self.held = (self.held + association.held()).saturating_sub(before);
        self.counters.messages += association.take_dropped();
        if self.held > self.config.octets {
            self.evict(sink);
        }
    }

    fn open(
        &mut self,
        key: (u16, Flow),
        flow: &Flow,
        time: Timestamp,
        payload: &[u8],
        sink: &mut impl FnMut(&Item<'_>),
    ) {
        if self.table.len() >= self.config.associations {
            self.evict(sink);
        }
        self.numbers += 1;
        let (from_client, roles_known) = match first_message(payload) {
            Some(HandshakeType::CLIENT_HELLO) => (true, true),
            Some(HandshakeType::SERVER_HELLO | HandshakeType::HELLO_VERIFY_REQUEST) => {
                (false, true)
            }
            _ => {
                let hinted = self.config.hints.from_client(flow);
                (hinted.unwrap_or(flow.source.1 > flow.destination.1), false)
            }
        };
        let association = Association {
            capture: key.0,
            number: self.numbers,
            flow: if from_client { *flow } else { flow.reversed() },
            roles_known,
            last: time,
            context: DTLS,
            client: Direction::default(),
            server: Direction::default(),
            random: None,
            order: Order::default(),
        };
        self.table.insert(Box::new(association));
    }

    /// Lets go of the sixteenth of the associations that was quiet for longest.
    fn evict(&mut self, sink: &mut impl FnMut(&Item<'_>)) {
        let mut all: Vec<_> = self
            .table
            .iter()
            .map(|association| (association.last, association.number, association.key()))
            .collect();
        all.sort_unstable();
        let count = (all.len() / 16).max(1);
        for (_, _, key) in all.into_iter().take(count) {
            self.counters.evicted += 1;
            self.close(&key, sink);
        }
    }

    fn close(&mut self, key: &(u16, Flow), sink: &mut impl FnMut(&Item<'_>)) {
        if let Some(mut association) = self.table.remove(key) {
            self.held = self.held.saturating_sub(association.held());
            association.close(sink);
        }
    }

    /// When [`Assembler::advance`] has something to do.
    pub const fn next_deadline(&self) -> Timestamp {
        self.next_sweep
    }

    /// Lets go of what was quiet for too long.
    pub fn advance(&mut self, now: Timestamp, sink: &mut impl FnMut(&Item<'_>)) {
        const SWEEP: Span = Span::from_secs(10);
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + SWEEP;
        let limit = now - self.config.idle;
        self.close_where(|association| association.last <= limit, sink);
    }

    /// Ends everything: the capture ended.
    pub fn finish(&mut self, sink: &mut impl FnMut(&Item<'_>)) {
        self.close_where(|_| true, sink);
    }

    fn close_where(
        &mut self,
        is_over: impl Fn(&Association) -> bool,
        sink: &mut impl FnMut(&Item<'_>),
    ) {
        let mut over: Vec<_> = self
            .table
            .iter()
            .filter(|association| is_over(association))
            .map(|association| (association.number, association.key()))
            .collect();
        over.sort_unstable();
        for (_, key) in over {
            self.close(&key, sink);
        }
    }
}

/// Whether a datagram may be of an association, where one is about to begin.
pub fn may_be(payload: &[u8]) -> bool {
    dtls::recognise(payload) != Verdict::NotOurs
}

/// The same for both directions.
pub fn ordered(flow: &Flow) -> Flow {
    if flow.is_ordered() {
        *flow
    } else {
        flow.reversed()
    }
}
