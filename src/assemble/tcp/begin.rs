//! What begins: SYNs that are noted, and connections that are followed from then on.

use std::net::IpAddr;
use vpnscope_dissectors::Verdict;

use super::connection::Connection;
use super::end::QUIET;
use super::half::Half;
use super::opening::{Entry, Key};
use super::options::Options;
use super::{Appetite, Arrival, Assembler, At, Delivery, Fact, Party, Reader, What};
use crate::decap::{Addresses, Envelope, Flow, Quoted, Tcp};
use crate::time::Timestamp;

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

/// How far ahead of the first octet a segment is still taken for one of the first.
const EARLY: u32 = 1 << 16;

impl<U: Reader> Assembler<U> {
    /// Decides whether a segment starts something to follow.
    pub(super) fn admit(
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
                return self.first_octets(arrival, sink);
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
    pub(super) fn is_awaited(&self, key: &Key, syn: &PlainSyn<'_>) -> bool {
        let is_followed = !self.connections.is_empty()
            && self
                .sieve
                .may_hold(Key::sieved_plain(syn.addresses, syn.ports))
            && self.connections.contains_key(key);
        is_followed || self.waiting.holds(key) || self.rejected.is_fresh(syn.at.time)
    }

    /// Notes a SYN or the answer to one, by its sequence number, segment size and TTL; `false`
    /// where there is no room.
    pub(super) fn note(
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
        arrival: &Arrival<'_>,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) -> bool {
        let Arrival {
            key,
            tcp,
            envelope,
            first,
        } = *arrival;
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
    pub(super) fn follow(
        &mut self,
        key: &Key,
        envelope: &Envelope,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        if let Some(entry) = self.forget_opening(key) {
            self.insert(key, entry, true, sink, envelope);
        }
    }

    pub(super) fn insert(
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
