//! Connections that have not carried an octet yet: 64 octets of memory each.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{At, Opening, Party, Rewritten, sieve};
use crate::decap::{Addresses, Flow};
use crate::time::{Span, Timestamp};

mod over;
mod table;

pub(super) use over::Over;
use table::{Slot, Table};

/// Both ends of a connection in the order of their addresses, so that either direction finds
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    V4([u8; 14]),
    V6([u8; 38]),
}

impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::V4(key) => V4(*key).hash(state),
            Self::V6(key) => state.write(key),
        }
    }
}

/// A key of IPv4, hashed as the two words that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct V4([u8; 14]);

impl Hash for V4 {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        for half in [self.0.first_chunk(), self.0.last_chunk()] {
            state.write_u64(half.map_or(0, |half| u64::from_ne_bytes(*half)));
        }
    }
}

impl Key {
    /// The key of a flow, and whether its source is the end that stands first in it.
    pub(super) fn of(capture: u16, flow: &Flow) -> (Self, bool) {
        if let (IpAddr::V4(x), IpAddr::V4(y)) = (flow.source.0, flow.destination.0) {
            return Self::v4(capture, (x, flow.source.1), (y, flow.destination.1));
        }
        let first = flow.source <= flow.destination;
        let (a, b) = if first {
            (flow.source, flow.destination)
        } else {
            (flow.destination, flow.source)
        };
        let ([p0, p1], [q0, q1]) = (a.1.to_be_bytes(), b.1.to_be_bytes());
        let mut key = [0; 38];
        let (one, rest) = key.split_at_mut(18);
        put(one, v6(a.0), [p0, p1]);
        put(rest, v6(b.0), [q0, q1]);
        if let Some(last) = rest.last_chunk_mut() {
            *last = capture.to_be_bytes();
        }
        (Self::V6(key), first)
    }

    /// The order of numbers is that of addresses and then ports.
    fn v4(capture: u16, source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16)) -> (Self, bool) {
        let number = |end: (Ipv4Addr, u16)| u64::from(end.0.to_bits()) << 16 | u64::from(end.1);
        Self::ordered(capture, number(source), number(destination))
    }

    /// As [`Key::of`], from the octets of an IP header.
    #[inline]
    pub(super) fn of_plain(
        capture: u16,
        addresses: Addresses<'_>,
        (source, destination): (u16, u16),
    ) -> (Self, bool) {
        let Addresses::V4(&[s0, s1, s2, s3, d0, d1, d2, d3]) = addresses else {
            let flow = Flow {
                source: (addresses.source(), source),
                destination: (addresses.destination(), destination),
            };
            return Self::of(capture, &flow);
        };
        let end = |octets: [u8; 4], port: u16| {
            u64::from(u32::from_be_bytes(octets)) << 16 | u64::from(port)
        };
        let from = end([s0, s1, s2, s3], source);
        let to = end([d0, d1, d2, d3], destination);
        Self::ordered(capture, from, to)
    }

    /// The key of two ends of 48 bits each, in order.
    #[inline]
    fn ordered(capture: u16, from: u64, to: u64) -> (Self, bool) {
        let first = from <= to;
        let (a, b) = if first { (from, to) } else { (to, from) };
        let [k0, k1, k2, k3, k4, k5, k6, k7] = (a << 16 | b >> 32).to_be_bytes();
        let [_, _, k8, k9, k10, k11, k12, k13] = (b << 16 | u64::from(capture)).to_be_bytes();
        let key = [k0, k1, k2, k3, k4, k5, k6, k7, k8, k9, k10, k11, k12, k13];
        (Self::V4(key), first)
    }

    /// The capture.
    pub(super) fn capture(&self) -> u16 {
        match self {
            Self::V4(key) => u16::from_be_bytes(part(key, 12)),
            Self::V6(key) => u16::from_be_bytes(part(key, 36)),
        }
    }

    /// Both ends for the sieve: address and port.
    pub(super) fn ends(&self) -> [(u64, u16); 2] {
        match self {
            Self::V4(key) => [0, 6].map(|at| {
                let address = u32::from_be_bytes(part(key, at));
                (u64::from(address), u16::from_be_bytes(part(key, at + 4)))
            }),
            Self::V6(_) => {
                let flow = self.flow();
                [flow.source, flow.destination].map(|(ip, port)| (sieve::narrow(ip), port))
            }
        }
    }

    /// The same in another capture.
    pub(super) fn of_capture(mut self, capture: u16) -> Self {
        let last = match &mut self {
            Self::V4(key) => key.last_chunk_mut(),
            Self::V6(key) => key.last_chunk_mut(),
        };
        if let Some(last) = last {
            *last = capture.to_be_bytes();
        }
        self
    }

    /// The flow from the end that stands first in the key to the other.
    pub(super) fn flow(&self) -> Flow {
        match self {
            Self::V4(key) => {
                let end = |at: usize| {
                    let octets: [u8; 4] = part(key, at);
                    (IpAddr::from(octets), u16::from_be_bytes(part(key, at + 4)))
                };
                Flow {
                    source: end(0),
                    destination: end(6),
                }
            }
            Self::V6(key) => {
                let end = |at: usize| {
                    let octets: [u8; 16] = part(key, at);
                    (IpAddr::from(octets), u16::from_be_bytes(part(key, at + 16)))
                };
                Flow {
                    source: end(0),
                    destination: end(18),
                }
            }
        }
    }
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn put(key: &mut [u8], address: [u8; 16], port: [u8; 2]) {
    if let Some((first, rest)) = key.split_first_chunk_mut() {
        *first = address;
        if let Some(ports) = rest.first_chunk_mut() {
            *ports = port;
        }
    }
}

fn part<const N: usize>(key: &[u8], at: usize) -> [u8; N] {
    key.get(at..)
        .and_then(|rest| rest.first_chunk::<N>())
        .copied()
        .unwrap_or([0; N])
}

/// Flags of an [`Entry`].
const OPENER_FIRST: u8 = 1;
const DONE: u8 = 2;
const HAS_SYN: u8 = 4;
const HAS_MSS: u8 = 8;
const HAS_ANSWER: u8 = 16;
const HAS_ANSWER_MSS: u8 = 32;
/// No opening: a place for one.
const FREE: u8 = 64;

/// What is kept of a connection without octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Entry {
    time: [u32; 2],
    frame: [u32; 2],
    /// Since the first frame, see [`Lapse`].
    last_time: Lapse,
    last_frame: i32,
    answer_time: Lapse,
    answer_frame: i32,
    sequence: u32,
    answer_sequence: u32,
    mss: u16,
    answer_mss: u16,
    ttl: u8,
    answer_ttl: u8,
    syns: u8,
    flags: u8,
}

/// A span in four octets: exact up to two seconds, to the microsecond up to half an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Lapse(u32);

impl Lapse {
    const COARSE: u32 = 1 << 31;

    fn of(span: Span) -> Self {
        let ns = u64::try_from(span.0).unwrap_or_default();
        match u32::try_from(ns) {
            Ok(ns) if ns < Self::COARSE => Self(ns),
            _ => {
                let us = u32::try_from(ns / 1000).unwrap_or(u32::MAX);
                Self(us.min(Self::COARSE - 1) | Self::COARSE)
            }
        }
    }

    const fn span(self) -> Span {
        if self.0 & Self::COARSE == 0 {
            Span(self.0 as i64)
        } else {
            Span((self.0 & !Self::COARSE) as i64 * 1000)
        }
    }
}

const fn split(value: u64) -> [u32; 2] {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves of the value"
    )]
    [(value >> 32) as u32, value as u32]
}

const fn join(parts: [u32; 2]) -> u64 {
    let [high, low] = parts;
    ((high as u64) << 32) | low as u64
}

impl Entry {
    pub(super) fn new(at: At, opener_first: bool) -> Self {
        Self {
            time: split(at.time.0.cast_unsigned()),
            frame: split(at.frame()),
            flags: if opener_first { OPENER_FIRST } else { 0 },
            ..Self::default()
        }
    }

    /// A place for an entry, which remembers the number of the next one.
    const fn free(next: u32) -> Self {
        Self {
            time: [0; 2],
            frame: [0; 2],
            last_time: Lapse(0),
            last_frame: 0,
            answer_time: Lapse(0),
            answer_frame: 0,
            sequence: next,
            answer_sequence: 0,
            mss: 0,
            answer_mss: 0,
            ttl: 0,
            answer_ttl: 0,
            syns: 0,
            flags: FREE,
        }
    }

    const fn next_free(&self) -> u32 {
        self.sequence
    }

    /// Frames may stand in the file before the first one, in time they do not.
    fn since(&self, at: At) -> (Lapse, i32) {
        let frames = at
            .frame()
            .cast_signed()
            .saturating_sub(join(self.frame).cast_signed());
        (
            Lapse::of(at.time.since(self.first_time())),
            i32::try_from(frames).unwrap_or(i32::MAX),
        )
    }

    fn at(&self, capture: u16, time: Lapse, frame: i32) -> At {
        At::new(
            capture,
            join(self.frame).saturating_add_signed(i64::from(frame)),
            self.first_time() + time.span(),
        )
    }

    fn first_time(&self) -> Timestamp {
        Timestamp(join(self.time).cast_signed())
    }

    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// What a SYN, or the answer to one, says otherwise than the same one a moment ago: only a
    /// box whose both sides the capture sees writes another segment size into it so soon.
    pub(super) fn rewrites(
        &self,
        at: At,
        is_answer: bool,
        sequence: u32,
        (mss, ttl): (Option<u16>, u8),
    ) -> Option<Rewritten> {
        const SOON: Span = Span::from_millis(20);
        let (has, known, number, last) = if is_answer {
            (
                HAS_ANSWER_MSS,
                self.answer_mss,
                self.answer_sequence,
                self.answer_time,
            )
        } else {
            (HAS_MSS, self.mss, self.sequence, self.last_time)
        };
        let before = if is_answer { self.answer_ttl } else { self.ttl };
        let soon = at.time.since(self.first_time() + last.span()) <= SOON;
        let mss = mss?;
        // Boxes lower it. Where the file has the two the wrong way round, the one behind the
        // box still has the lower TTL.
        let turned = mss > known && ttl > before;
        let rewritten = Rewritten {
            from: mss.max(known),
            to: mss.min(known),
        };
        let lower = mss < known || turned;
        (self.has(has) && number == sequence && soon && lower).then_some(rewritten)
    }

    /// As [`Entry::syn`] or [`Entry::answer`] in the frame of a new entry.
    #[inline]
    pub(super) fn begin(&mut self, is_answer: bool, sequence: u32, mss: Option<u16>, ttl: u8) {
        let (has, has_mss) = if is_answer {
            (self.answer_sequence, self.answer_ttl) = (sequence, ttl);
            self.answer_mss = mss.unwrap_or_default();
            (HAS_ANSWER, HAS_ANSWER_MSS)
        } else {
            (self.sequence, self.ttl, self.syns) = (sequence, ttl, 1);
            self.mss = mss.unwrap_or_default();
            (HAS_SYN, HAS_MSS)
        };
        self.flags |= has | if mss.is_some() { has_mss } else { 0 };
    }

    pub(super) fn syn(&mut self, at: At, sequence: u32, mss: Option<u16>, ttl: u8) {
        self.syns = self.syns.saturating_add(1);
        (self.last_time, self.last_frame) = self.since(at);
        self.sequence = sequence;
        self.ttl = ttl;
        self.flags |= HAS_SYN;
        if let Some(mss) = mss {
            self.mss = mss;
            self.flags |= HAS_MSS;
        }
    }

    pub(super) fn answer(&mut self, at: At, sequence: u32, mss: Option<u16>, ttl: u8) {
        if !self.has(HAS_ANSWER) {
            (self.answer_time, self.answer_frame) = self.since(at);
        }
        self.flags |= HAS_ANSWER;
        self.answer_sequence = sequence;
        self.answer_ttl = ttl;
        if let Some(mss) = mss {
            self.answer_mss = mss;
            self.flags |= HAS_ANSWER_MSS;
        }
    }

    /// The opener acknowledged the answer.
    pub(super) fn done(&mut self) {
        self.flags |= DONE;
    }

    pub(super) const fn sequence(&self, party: Party) -> Option<u32> {
        match party {
            Party::Opener if self.has(HAS_SYN) => Some(self.sequence),
            Party::Acceptor if self.has(HAS_ANSWER) => Some(self.answer_sequence),
            _ => None,
        }
    }

    pub(super) const fn party(&self, sender_first: bool) -> Party {
        if sender_first == self.has(OPENER_FIRST) {
            Party::Opener
        } else {
            Party::Acceptor
        }
    }

    /// Whether all that was seen are SYNs.
    pub(super) const fn is_unanswered(&self) -> bool {
        self.flags & (HAS_SYN | HAS_ANSWER | DONE) == HAS_SYN
    }

    /// The latest time that is known of it.
    pub(super) fn last(&self) -> Timestamp {
        let lapse = self.last_time.span().max(self.answer_time.span());
        self.first_time() + lapse
    }

    /// The same for everybody else.
    pub(super) fn opening(&self, capture: u16) -> Opening {
        Opening {
            syn: self.has(HAS_SYN).then(|| self.at(capture, Lapse(0), 0)),
            last_syn: self
                .has(HAS_SYN)
                .then(|| self.at(capture, self.last_time, self.last_frame)),
            syns: self.syns,
            answer: self
                .has(HAS_ANSWER)
                .then(|| self.at(capture, self.answer_time, self.answer_frame)),
            acknowledged: self.has(DONE),
            mss: self.has(HAS_MSS).then_some(self.mss),
            answer_mss: self.has(HAS_ANSWER_MSS).then_some(self.answer_mss),
            rewritten: None,
            answer_rewritten: None,
            ttl: self.ttl,
            answer_ttl: self.answer_ttl,
        }
    }

    /// From the opener to the acceptor.
    pub(super) fn flow(&self, key: &Key) -> Flow {
        let flow = key.flow();
        if self.has(OPENER_FIRST) {
            flow
        } else {
            flow.reversed()
        }
    }
}

/// All connections without octets.
#[derive(Debug, Default)]
pub(super) struct Openings {
    v4: Table,
    v6: HashMap<[u8; 38], Entry, RandomState>,
    /// Rare, so beside the entries. Bounded: a new one beyond that makes all old ones forgotten.
    rewritten: HashMap<Key, [Option<Rewritten>; 2], RandomState>,
    /// What stood in an earlier file of the same capture.
    before: HashMap<Key, Opening, RandomState>,
}

impl Openings {
    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    pub(super) fn is_rewritten(&self, key: &Key) -> bool {
        !self.rewritten.is_empty() && self.rewritten.contains_key(key)
    }

    /// Segment sizes that were rewritten: the opener's, the acceptor's.
    pub(super) fn rewritten(&mut self, key: &Key) -> [Option<Rewritten>; 2] {
        self.rewritten.remove(key).unwrap_or_default()
    }

    pub(super) fn note_rewritten(&mut self, key: &Key, is_answer: bool, what: Rewritten) {
        const KEPT: usize = 4096;
        if self.rewritten.len() >= KEPT {
            self.rewritten.clear();
        }
        let [opener, acceptor] = self.rewritten.entry(*key).or_default();
        if is_answer {
            acceptor.get_or_insert(what);
        } else {
            opener.get_or_insert(what);
        }
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Entry> {
        match key {
            Key::V4(key) => self.v4.get(&V4(*key)),
            Key::V6(key) => self.v6.get(key),
        }
    }

    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        match key {
            Key::V4(key) => self.v4.get_mut(&V4(*key)),
            Key::V6(key) => self.v6.get_mut(key),
        }
    }

    /// The hash of a key for [`Openings::known_or`]; of IPv6, for which that has no use, 0.
    #[inline]
    pub(super) fn hash(&self, key: &Key) -> u64 {
        match key {
            Key::V4(key) => self.v4.hash(&V4(*key)),
            Key::V6(_) => 0,
        }
    }

    /// Reads what is read first where a key of this hash is looked for, to have it near.
    #[inline]
    pub(super) fn touch(&self, hash: u64) -> u32 {
        self.v4.touch(hash)
    }

    /// The same with what is read next.
    #[inline]
    pub(super) fn touch_record(&self, hash: u64) -> u32 {
        self.v4.touch_record(hash)
    }

    /// What is known, or else what `make` gives; that only where fewer than `most` are known.
    #[inline]
    pub(super) fn known_or(
        &mut self,
        (key, hash): (&Key, u64),
        most: usize,
        make: impl FnOnce() -> Entry,
    ) -> Option<&mut Entry> {
        let has_room = self.len() < most;
        match key {
            Key::V4(key) => self.v4.known_or(&V4(*key), hash, has_room, make),
            Key::V6(key) if has_room => Some(self.v6.entry(*key).or_insert_with(make)),
            Key::V6(key) => self.v6.get_mut(key),
        }
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Entry> {
        match key {
            Key::V4(key) => self.v4.remove(&V4(*key)),
            Key::V6(key) => self.v6.remove(key),
        }
    }

    fn iter(&self) -> impl Iterator<Item = (Key, &Entry)> {
        let v4 = self.v4.iter().map(Slot::pair);
        v4.chain(self.v6.iter().map(|(key, entry)| (Key::V6(*key), entry)))
    }

    /// The first that fits.
    pub(super) fn find(&self, fits: impl Fn(&Key, &Entry) -> bool) -> Option<Key> {
        self.iter()
            .find(|(key, entry)| fits(key, entry))
            .map(|(key, _)| key)
    }

    /// What is known of an opening that is taken out.
    pub(super) fn opening(&mut self, key: &Key, entry: &Entry) -> Opening {
        let mut opening = entry.opening(key.capture());
        let before = if self.before.is_empty() {
            None
        } else {
            self.before.remove(key)
        };
        if let Some(before) = before {
            let known = [before.syn, before.last_syn, before.answer];
            let all = [&mut opening.syn, &mut opening.last_syn, &mut opening.answer];
            for (at, known) in all.into_iter().zip(known) {
                // The same frame, but for the number of the file.
                if at.map(|at| (at.time, at.frame())) == known.map(|at| (at.time, at.frame())) {
                    *at = known;
                }
            }
        }
        opening
    }

    /// The capture goes on under another number, and so do the latest openings; the others will
    /// be over in the file where they are.
    pub(super) fn go_on(&mut self, capture: u16) {
        const LATEST: usize = 8192;
        let mut before = HashMap::default();
        for key in self.latest(LATEST) {
            let Some(entry) = self.remove(&key) else {
                continue;
            };
            let next = key.of_capture(capture);
            before.insert(next, self.opening(&key, &entry));
            if let Some(rewritten) = self.rewritten.remove(&key) {
                self.rewritten.insert(next, rewritten);
            }
            let hash = self.hash(&next);
            self.known_or((&next, hash), usize::MAX, || entry);
        }
        self.before = before;
    }

    /// The latest ones, so many at most.
    fn latest(&self, most: usize) -> Vec<Key> {
        let all = self.iter();
        let mut all: Vec<_> = all
            .map(|(key, entry)| (entry.last(), join(entry.frame), key))
            .collect();
        all.sort_unstable();
        let older = all.len().saturating_sub(most);
        all.drain(older..).map(|(.., key)| key).collect()
    }

    /// Takes out what was quiet since `before`, and gives what `matters` of it, oldest first.
    pub(super) fn expire(
        &mut self,
        before: Timestamp,
        mut matters: impl FnMut(&Key, &Entry) -> bool,
    ) -> Over {
        if before == Timestamp::MAX {
            return self.expire_all(matters);
        }
        let mut over = Over::default();
        self.v4.expire(before, |slot| {
            if matters(&Key::V4(slot.key.0), &slot.entry) {
                over.push(slot);
            }
        });
        let v6 = self.v6.extract_if(|_, entry| entry.last() <= before);
        let v6 = v6.map(|(key, entry)| (Key::V6(key), entry));
        let v6 = v6.filter(|(key, entry)| matters(key, entry)).collect();
        if self.v6.is_empty() {
            self.v6 = HashMap::default();
        }
        over.and(v6)
    }

    /// The same for all of them: the capture ended.
    fn expire_all(&mut self, mut matters: impl FnMut(&Key, &Entry) -> bool) -> Over {
        let mut chunks = self.v4.take();
        for chunk in &mut chunks {
            chunk.retain(|slot| slot.is_taken() && matters(&Key::V4(slot.key.0), &slot.entry));
        }
        let v6 = std::mem::take(&mut self.v6).into_iter();
        let v6 = v6.map(|(key, entry)| (Key::V6(key), entry));
        let v6 = v6.filter(|(key, entry)| matters(key, entry)).collect();
        Over::of(chunks).and(v6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::size_of;

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Slot>(), 64);
    }

    #[test]
    fn a_new_entry_says_what_one_that_was_told_says() {
        let at = At::new(0, 9, Timestamp(1_000_000_007));
        for (is_answer, mss) in [
            (false, None),
            (false, Some(1300)),
            (true, None),
            (true, Some(9)),
        ] {
            let (mut new, mut told) = (Entry::new(at, true), Entry::new(at, true));
            new.begin(is_answer, 5, mss, 61);
            if is_answer {
                told.answer(at, 5, mss, 61);
            } else {
                told.syn(at, 5, mss, 61);
            }
            assert_eq!(new, told);
        }
    }

    #[test]
    fn keys_are_the_same_from_both_ends() {
        let flow = Flow {
            source: ("192.0.2.9".parse().unwrap(), 50_000),
            destination: ("192.0.2.1".parse().unwrap(), 443),
        };
        let (key, first) = Key::of(0, &flow);
        let (same, other) = Key::of(0, &flow.reversed());
        assert_eq!(key, same);
        assert!(!first && other);
        assert_eq!(key.flow(), flow.reversed());
        let octets = [192, 0, 2, 9, 192, 0, 2, 1];
        let back = [192, 0, 2, 1, 192, 0, 2, 9];
        let there = Key::of_plain(0, Addresses::V4(&octets), (50_000, 443));
        assert_eq!(there, (key, false));
        let other = Key::of_plain(0, Addresses::V4(&back), (443, 50_000));
        assert_eq!(other, (key, true));
        let flow = Flow {
            source: ("2001:db8::1".parse().unwrap(), 1),
            destination: ("2001:db8::1".parse().unwrap(), 2),
        };
        let (key, first) = Key::of(0, &flow);
        assert!(first);
        assert_eq!(key.flow(), flow);
    }

    #[test]
    fn times_and_frames_survive() {
        let at = |frame, ms| {
            At::new(
                3,
                frame,
                Timestamp(1_700_000_000_000_000_000) + Span::from_millis(ms),
            )
        };
        let mut entry = Entry::new(at(1 << 40, 0), true);
        entry.syn(at(1 << 40, 0), 7, Some(1460), 64);
        entry.syn(at((1 << 40) + 5, 3000), 7, Some(1460), 64);
        entry.answer(at((1 << 40) + 6, 3001), 9, None, 63);
        let opening = entry.opening(3);
        assert_eq!(opening.syn, Some(at(1 << 40, 0)));
        assert_eq!(opening.syns, 2);
        assert_eq!(opening.last_syn, Some(at((1 << 40) + 5, 3000)));
        assert_eq!(opening.answer, Some(at((1 << 40) + 6, 3001)));
        assert_eq!(Lapse::of(Span(2_000_000_001)).span(), Span(2_000_000_001));
        assert_eq!(Lapse::of(Span(3_000_000_001)).span(), Span(3_000_000_000));
        assert_eq!(Lapse::of(Span(-1)).span(), Span(0));
        assert_eq!((opening.mss, opening.answer_mss), (Some(1460), None));
    }
}
