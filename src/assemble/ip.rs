//! IPv4 and IPv6 fragments (RFC 791 §3.2, RFC 8200 §4.5) to whole datagrams.
//!
//! **Order** does not matter, and neither do copies. **Overlaps** follow one policy: the octets
//! that arrived first stay, and a datagram in which a later fragment said something else is
//! marked ([`Oddities::conflicting`]). **Copies by a span port** (the same fragment again,
//! perhaps with another TTL or VLAN, perhaps after its datagram was already whole) are counted
//! and otherwise ignored. **What never becomes whole** comes out as a [`Partial`]: it is
//! evidence.
//!
//! Fragments are told apart by capture, addresses, identification and protocol. Everything that
//! comes out comes out in an order that depends on the input alone.

use std::collections::VecDeque;
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::decap::{Content, Envelope, Fragment, Segment, resume};
use crate::time::{Span, Timestamp};

mod pieces;
#[cfg(test)]
mod tests;

pub use pieces::Oddities;
use pieces::{Insertion, Pieces};

/// Budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Datagrams that wait for fragments at a time.
    pub datagrams: usize,
    /// Octets their fragments may take together, bookkeeping included.
    pub octets: usize,
    /// How long a datagram waits for its last fragment. Hosts wait 30 s (Linux, BSD) to 60 s
    /// (Windows); fragments travel together, so what is missing for much less is lost, and the
    /// fact is wanted while its session lives.
    pub age: Span,
    /// How long after a datagram became whole its fragments are known again, should a span port
    /// deliver second copies of them.
    pub copies: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            datagrams: 4096,
            octets: 16 << 20,
            age: Span::from_secs(10),
            copies: Span::from_millis(250),
        }
    }
}

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Fragments taken.
    pub fragments: u64,
    /// Fragments that said nothing new: copies by a span port or the network.
    pub duplicates: u64,
    /// Fragments with an offset or length no datagram can have, left out.
    pub impossible: u64,
    /// Datagrams that became whole.
    pub whole: u64,
    /// Datagrams given up because fragments were missing for too long, or at the end.
    pub incomplete: u64,
    /// Datagrams given up early because a budget was reached.
    pub evicted: u64,
}

/// One frame that carried a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Capture, from 0.
    pub capture: u16,
    /// Frame number, from 1.
    pub frame: u64,
    /// When it was captured.
    pub time: Timestamp,
    /// Offset of its part in the payload of the datagram, octets.
    pub offset: u32,
    /// Octets of its part.
    pub len: u32,
    /// Length of its own IP datagram, headers included.
    pub ip_len: u32,
}

/// A whole datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    envelope: Envelope,
    payload: Vec<u8>,
    payload_len: u32,
    pieces: Vec<Piece>,
    oddities: Oddities,
}

impl Datagram {
    /// The datagram as if it had come in one frame: envelope of its first fragment, frame and
    /// time of the one that completed it, its whole length, and how many fragments it had.
    ///
    /// Never a [`Content::Fragment`] unless fragments were nested deeper than is followed.
    pub fn segment(&self) -> Segment<'_> {
        resume(&self.envelope, &self.payload, self.payload_len)
    }

    /// The frames that it came in, in the order of their offsets. Copies are not among them.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// What was odd about its fragments.
    pub fn oddities(&self) -> Oddities {
        self.oddities
    }
}

/// Why a datagram was given up. One that had to make room for others is counted and no more:
/// its fragments might have come, so that it is no evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GivenUp {
    /// Its last fragments did not come in time.
    Expired,
    /// The capture ended; they might have come.
    EndOfCapture,
}

/// A datagram that never became whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// Envelope of its first fragment where that was seen, ports included, otherwise of the
    /// fragment seen first. `fragments` counts those seen, `ip_len` is the length of the whole
    /// datagram where it is known.
    pub envelope: Envelope,
    /// Protocol of the datagram, as its fragments name it.
    pub protocol: u8,
    /// The fragments seen, in the order of their offsets.
    pub pieces: Vec<Piece>,
    /// What is missing, as offset and length; the last one is open where the last fragment
    /// was not seen.
    pub missing: Vec<(u32, Option<u32>)>,
    /// Octets of the whole payload, where the last fragment was seen.
    pub payload_len: Option<u32>,
    /// The first octets of the payload, transport header included, where the first fragment was
    /// seen: enough to tell what it was.
    pub leading: Vec<u8>,
    /// What was odd.
    pub oddities: Oddities,
    /// Why it was given up.
    pub why: GivenUp,
}

impl Partial {
    /// Octets of [`Partial::leading`] that are kept.
    pub const LEADING: usize = 128;

    /// Whether the fragment with the transport header was seen.
    pub fn has_first(&self) -> bool {
        self.pieces.first().is_some_and(|piece| piece.offset == 0)
    }
}

/// What fragments of one datagram have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    capture: u16,
    source: IpAddr,
    destination: IpAddr,
    id: u32,
    protocol: u8,
}

/// A datagram that waits, or one that became whole a moment ago.
#[derive(Debug)]
struct Entry {
    /// Tells this entry from an earlier one with the same key in the queue.
    serial: u64,
    envelope: Envelope,
    pieces: Pieces,
    /// Of the IP header in front of the whole payload.
    header_len: u32,
    /// When it became whole.
    done: Option<Timestamp>,
}

/// Puts fragments together.
#[derive(Debug)]
pub struct Assembler {
    config: Config,
    entries: HashMap<Key, Entry, foldhash::fast::RandomState>,
    /// Entries in the order of their first fragments, oldest first. May name entries that are
    /// gone, told by their serial.
    waiting: VecDeque<(Timestamp, u64, Key)>,
    /// Entries that became whole, likewise.
    done: VecDeque<(Timestamp, u64, Key)>,
    pending: usize,
    octets: usize,
    serial: u64,
    counters: Counters,
    partials: VecDeque<Partial>,
}

/// Fragments inside fragments (of a tunnel) are followed this deep.
const NESTED: usize = 4;

impl Default for Assembler {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl Assembler {
    /// An assembler with these budgets.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            entries: HashMap::default(),
            waiting: VecDeque::new(),
            done: VecDeque::new(),
            pending: 0,
            octets: 0,
            serial: 0,
            counters: Counters::default(),
            partials: VecDeque::new(),
        }
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Datagrams that wait for fragments.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Takes a fragment; gives the datagram that it completes. Segments that are no fragments
    /// are none of this assembler's business.
    pub fn handle(&mut self, segment: &Segment<'_>) -> Option<Datagram> {
        let Content::Fragment(fragment) = segment.content else {
            return None;
        };
        let mut whole = self.insert(&segment.envelope, &fragment)?;
        for _ in 1..NESTED {
            let inner = whole.segment();
            let Content::Fragment(fragment) = inner.content else {
                break;
            };
            let next = self.insert(&inner.envelope, &fragment)?;
            whole = next;
        }
        Some(whole)
    }

    /// Lets time pass: what waited too long is given up.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some((since, ..)) = self.waiting.front() {
            if now.since(*since) <= self.config.age {
                break;
            }
            self.give_up_oldest(Some(GivenUp::Expired));
        }
        while let Some((since, serial, key)) = self.done.front().copied() {
            if now.since(since) <= self.config.copies && self.done.len() < self.config.datagrams {
                break;
            }
            self.done.pop_front();
            if self
                .entries
                .get(&key)
                .is_some_and(|entry| entry.serial == serial)
            {
                self.entries.remove(&key);
            }
        }
    }

    /// The capture goes on under another number.
    pub fn go_on(&mut self, capture: u16) {
        let entries = std::mem::take(&mut self.entries);
        let renumbered = entries
            .into_iter()
            .map(|(key, entry)| (Key { capture, ..key }, entry));
        self.entries = renumbered.collect();
        let waiting = self.waiting.iter_mut().map(|(.., key)| key);
        let done = self.done.iter_mut().map(|(.., key)| key);
        for key in waiting.chain(done) {
            key.capture = capture;
        }
    }

    /// When [`Assembler::advance`] has something to do next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.waiting
            .front()
            .map(|(since, ..)| *since + self.config.age + Span(1))
    }

    /// The next datagram that was given up.
    pub fn poll(&mut self) -> Option<Partial> {
        self.partials.pop_front()
    }

    /// The capture ends: gives up all that wait.
    pub fn finish(&mut self) {
        while self.give_up_oldest(Some(GivenUp::EndOfCapture)) {}
        self.entries.clear();
        self.done.clear();
    }

    fn insert(&mut self, envelope: &Envelope, fragment: &Fragment<'_>) -> Option<Datagram> {
        self.advance(envelope.time);
        self.counters.fragments += 1;
        let key = Key {
            capture: envelope.capture,
            source: envelope.source,
            destination: envelope.destination,
            id: fragment.id,
            protocol: fragment.protocol,
        };
        if self.is_late_copy(&key, fragment) {
            self.counters.duplicates += 1;
            return None;
        }
        let piece = Piece {
            capture: envelope.capture,
            frame: envelope.frame,
            time: envelope.time,
            offset: fragment.offset,
            len: fragment.payload_len,
            ip_len: envelope.ip_len,
        };
        if !pieces::is_possible(fragment) {
            self.counters.impossible += 1;
            return None;
        }
        let entry = self.entry(key, envelope, fragment.header_len);
        let before = entry.pieces.cost();
        let insertion = entry.pieces.insert(fragment, piece);
        let cost = entry.pieces.cost() - before;
        if fragment.offset == 0 && insertion == Insertion::New {
            entry.header_len = fragment.header_len;
            let first = *envelope;
            entry.envelope = first;
        }
        let whole = entry.pieces.is_whole();
        self.octets += cost;
        match insertion {
            Insertion::New => {}
            Insertion::Copy => self.counters.duplicates += 1,
            Insertion::Impossible => self.counters.impossible += 1,
        }
        if whole {
            return self.complete(&key, envelope);
        }
        while self.octets > self.config.octets && self.give_up_oldest(None) {}
        None
    }

    /// Whether this is a copy of a fragment whose datagram is already whole. Another datagram
    /// with the same identification takes the entry's place.
    fn is_late_copy(&mut self, key: &Key, fragment: &Fragment<'_>) -> bool {
        match self.entries.get(key) {
            Some(entry) if entry.done.is_some() => {
                if entry.pieces.knows(fragment) {
                    return true;
                }
                self.entries.remove(key);
                false
            }
            _ => false,
        }
    }

    /// The entry of a key, made where there is none.
    fn entry(&mut self, key: Key, envelope: &Envelope, header_len: u32) -> &mut Entry {
        if !self.entries.contains_key(&key) {
            while self.pending >= self.config.datagrams.max(1) && self.give_up_oldest(None) {}
            self.serial += 1;
            self.pending += 1;
            self.waiting.push_back((envelope.time, self.serial, key));
            self.forget_finished();
        }
        let serial = self.serial;
        self.entries.entry(key).or_insert_with(|| Entry {
            serial,
            envelope: *envelope,
            pieces: Pieces::default(),
            header_len,
            done: None,
        })
    }

    /// Datagrams that became whole leave their places in the queue, which are cleared when they
    /// are the greater part of it.
    fn forget_finished(&mut self) {
        if self.waiting.len() > 2 * self.pending + 64 {
            let entries = &self.entries;
            self.waiting.retain(|(_, serial, key)| {
                // The one just queued has no entry yet.
                *serial == self.serial
                    || entries
                        .get(key)
                        .is_some_and(|entry| entry.serial == *serial && entry.done.is_none())
            });
        }
    }

    /// Takes a whole datagram out and remembers its fragments for a moment.
    fn complete(&mut self, key: &Key, last: &Envelope) -> Option<Datagram> {
        let entry = self.entries.get_mut(key)?;
        self.octets -= entry.pieces.cost();
        self.pending -= 1;
        self.counters.whole += 1;
        entry.done = Some(last.time);
        self.done.push_back((last.time, entry.serial, *key));
        let assembled = entry.pieces.take();
        let mut envelope = entry.envelope;
        envelope.capture = last.capture;
        envelope.frame = last.frame;
        envelope.time = last.time;
        envelope.wire_len = last.wire_len;
        envelope.captured_len = last.captured_len;
        envelope.ip_len = entry.header_len.saturating_add(assembled.payload_len);
        envelope.fragments = u16::try_from(assembled.pieces.len()).unwrap_or(u16::MAX);
        Some(Datagram {
            envelope,
            payload: assembled.payload,
            payload_len: assembled.payload_len,
            pieces: assembled.pieces,
            oddities: assembled.oddities,
        })
    }

    /// Gives up the datagram that waits longest, for a reason or to make room; `false` where
    /// none waits.
    fn give_up_oldest(&mut self, why: Option<GivenUp>) -> bool {
        while let Some((_, serial, key)) = self.waiting.pop_front() {
            let stands = self
                .entries
                .get(&key)
                .is_some_and(|entry| entry.serial == serial && entry.done.is_none());
            if !stands {
                continue;
            }
            if let Some(entry) = self.entries.remove(&key) {
                self.pending -= 1;
                self.octets -= entry.pieces.cost();
                if let Some(why) = why {
                    self.counters.incomplete += 1;
                    self.partials.push_back(partial(key, entry, why));
                } else {
                    self.counters.evicted += 1;
                }
            }
            return true;
        }
        false
    }
}

fn partial(key: Key, mut entry: Entry, why: GivenUp) -> Partial {
    let missing = entry.pieces.missing();
    let total = entry.pieces.total();
    let leading = entry.pieces.leading(Partial::LEADING);
    let assembled = entry.pieces.take();
    let mut envelope = entry.envelope;
    envelope.fragments = u16::try_from(assembled.pieces.len()).unwrap_or(u16::MAX);
    if let Some(total) = total {
        envelope.ip_len = entry.header_len.saturating_add(total);
    }
    Partial {
        envelope,
        protocol: key.protocol,
        pieces: assembled.pieces,
        missing,
        payload_len: total,
        leading,
        oddities: assembled.oddities,
        why,
    }
}
