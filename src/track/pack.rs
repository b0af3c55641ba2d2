//! Sessions as octets: what a session knows, in a twentieth of the room.
//!
//! Most sessions wait: for a timer that says that nothing follows, or for the end of the capture.
//! While they do they are kept packed. Numbers take as many octets as they need, a run of zeros
//! one; a frame and its time are told by how far they are from the one before, or by its place
//! among those before; texts and lists that many sessions share are kept once, in [`Shared`].
//!
//! This is memory, not a format: it is read by the process that wrote it, and nothing else.

use std::net::IpAddr;
use std::sync::Arc;

use vpnscope_dissectors::tls::Certificate;

use crate::decap::Flow;
use crate::time::Timestamp;
use crate::track::session::{Session, Stamp, Unreadable};

#[macro_use]
mod shape;
mod ike;
mod plain;
mod ppp;
mod session;
mod shared;
mod tls;

pub(in crate::track) use plain::{octets, octets_of};
pub(super) use shared::Shared;

/// Something that can be written as octets and read back.
pub(super) trait Pack: Sized {
    /// Writes it.
    fn pack(&self, to: &mut Packer<'_>);
    /// Reads it; `None` where the octets are none of [`Pack::pack`].
    fn unpack(from: &mut Unpacker<'_>) -> Option<Self>;
}

/// A packed session.
#[derive(Debug)]
pub(super) struct Packed {
    octets: Box<[u8]>,
    kept: Option<Box<Kept>>,
}

/// What is kept as it is.
#[derive(Debug, Default)]
struct Kept {
    certificates: Vec<Arc<Certificate>>,
    unreadable: Vec<Unreadable>,
}

impl Kept {
    const fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.unreadable.is_empty()
    }
}

impl Packed {
    /// Packs a session; `None` where it holds something that cannot be packed.
    pub(super) fn of(session: &Session, shared: &mut Shared) -> Option<Self> {
        let mut to = Packer::new(shared);
        session.pack(&mut to);
        to.flush();
        let Packer {
            octets,
            kept,
            declined,
            shared,
            ..
        } = to;
        let packed = (!declined).then(|| Self {
            octets: octets.as_slice().into(),
            kept: (!kept.is_empty()).then(|| Box::new(kept)),
        });
        shared.give_back(octets);
        packed
    }

    /// The session as it was.
    pub(super) fn unpack(&self, shared: &Shared) -> Option<Box<Session>> {
        let mut from = Unpacker::new(&self.octets, self.kept.as_deref(), shared);
        Session::unpack(&mut from).map(Box::new)
    }

    /// Octets of memory that it takes.
    pub(super) fn octets(&self) -> usize {
        /// A certificate is shared by the sessions that saw it; each counts a part of it.
        const SHARE: usize = 256;
        let kept = self.kept.as_ref().map_or(0, |kept| {
            size_of::<Kept>()
                + kept.certificates.len() * SHARE
                + kept.unreadable.len() * size_of::<Unreadable>()
        });
        self.octets.len() + kept
    }
}

/// The values seen last, told by their place.
struct Recent<T, const N: usize> {
    kept: [Option<T>; N],
    next: usize,
    /// Where the next one is likely to stand: lists are gone through in the same order.
    guess: usize,
}

impl<T: Copy + PartialEq, const N: usize> Recent<T, N> {
    const fn new() -> Self {
        Self {
            kept: [None; N],
            next: 0,
            guess: 0,
        }
    }

    fn find(&mut self, value: T) -> Option<usize> {
        let wanted = Some(value);
        let place = if self.kept.get(self.guess) == Some(&wanted) {
            self.guess
        } else {
            self.kept.iter().position(|known| *known == wanted)?
        };
        self.guess = (place + 1) % N;
        Some(place)
    }

    fn at(&self, place: usize) -> Option<T> {
        self.kept.get(place).copied().flatten()
    }

    fn push(&mut self, value: T) {
        if let Some(slot) = self.kept.get_mut(self.next) {
            *slot = Some(value);
        }
        self.next = (self.next + 1) % N;
    }
}

/// Stamps told by their place.
const STAMPS: usize = 32;
/// Flows told by their place.
const FLOWS: usize = 8;
/// Numbers below it are one octet.
const SMALL: u8 = 232;
/// From here on up to `LONG` an octet stands for this many zeros more than one.
const RUN: u8 = SMALL;
/// From here on an octet says how many follow, less one.
const LONG: u8 = 248;

/// Where a session is written to.
pub(super) struct Packer<'s> {
    octets: Vec<u8>,
    zeros: u8,
    pub(super) shared: &'s mut Shared,
    stamps: Recent<Stamp, STAMPS>,
    last: Stamp,
    flows: Recent<Flow, FLOWS>,
    kept: Kept,
    declined: bool,
}

const NEVER: Stamp = Stamp::new(0, 0, Timestamp(0));

impl<'s> Packer<'s> {
    fn new(shared: &'s mut Shared) -> Self {
        Self {
            octets: shared.scratch(),
            zeros: 0,
            shared,
            stamps: Recent::new(),
            last: NEVER,
            flows: Recent::new(),
            kept: Kept::default(),
            declined: false,
        }
    }

    /// Says that this session cannot be packed.
    pub(super) fn decline(&mut self) {
        self.declined = true;
    }

    /// Keeps a certificate as it is.
    pub(super) fn keep(&mut self, certificate: &Arc<Certificate>) {
        self.kept.certificates.push(Arc::clone(certificate));
    }

    /// Keeps what could not be read as it is.
    pub(super) fn keep_unreadable(&mut self, unreadable: &[Unreadable]) {
        self.kept.unreadable.extend_from_slice(unreadable);
    }

    /// Writes a number.
    #[inline]
    pub(super) fn number(&mut self, number: u64) {
        if number == 0 {
            self.zeros += 1;
            if self.zeros == LONG - RUN + 1 {
                self.flush();
            }
            return;
        }
        if self.zeros > 0 {
            self.flush();
        }
        match u8::try_from(number) {
            Ok(small) if small < SMALL => self.octets.push(small),
            _ => self.long(number),
        }
    }

    fn long(&mut self, number: u64) {
        let long = 7 - u8::try_from(number.leading_zeros() / 8).unwrap_or_default();
        let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
        let end = self.octets.len() + 2 + usize::from(long);
        // All of them at once, then back to those that count: faster than so many as count.
        self.octets
            .extend_from_slice(&[LONG + long, a, b, c, d, e, f, g, h]);
        self.octets.truncate(end);
    }

    /// Writes a number that may be negative.
    #[inline]
    pub(super) fn signed(&mut self, number: i64) {
        self.number((number.wrapping_shl(1) ^ (number >> 63)).cast_unsigned());
    }

    /// Writes yes and no, at most seven of them.
    pub(super) fn flags<const N: usize>(&mut self, flags: [bool; N]) {
        let number = flags
            .iter()
            .fold(0, |number, flag| number << 1 | u64::from(*flag));
        self.number(number);
    }

    /// Writes octets as they are; how many is known to the reader.
    pub(super) fn raw(&mut self, octets: &[u8]) {
        self.flush();
        self.octets.extend_from_slice(octets);
    }

    #[inline]
    fn flush(&mut self) {
        match self.zeros {
            0 => return,
            1 => self.octets.push(0),
            run => self.octets.push(RUN + run - 2),
        }
        self.zeros = 0;
    }

    /// What `write` writes, kept once for all sessions in which it is the same. It must not write
    /// stamps or flows, nor keep anything.
    pub(super) fn once(&mut self, write: impl FnOnce(&mut Self)) {
        self.flush();
        let from = self.octets.len();
        write(self);
        self.flush();
        let own = self.octets.get(from..).unwrap_or_default();
        let place = self.shared.list(own);
        let own = match place {
            Some(_) => Vec::new(),
            None => own.to_vec(),
        };
        self.octets.truncate(from);
        if let Some(place) = place {
            self.number(place + 1);
        } else {
            self.number(0);
            self.number(own.len() as u64);
            self.raw(&own);
        }
    }
}

/// Where a session is read from.
pub(super) struct Unpacker<'a> {
    octets: &'a [u8],
    zeros: u8,
    pub(super) shared: &'a Shared,
    stamps: Recent<Stamp, STAMPS>,
    last: Stamp,
    flows: Recent<Flow, FLOWS>,
    certificates: &'a [Arc<Certificate>],
    unreadable: &'a [Unreadable],
}

impl<'a> Unpacker<'a> {
    fn new(octets: &'a [u8], kept: Option<&'a Kept>, shared: &'a Shared) -> Self {
        Self {
            octets,
            zeros: 0,
            shared,
            stamps: Recent::new(),
            last: NEVER,
            flows: Recent::new(),
            certificates: kept.map_or(&[], |kept| &kept.certificates),
            unreadable: kept.map_or(&[], |kept| &kept.unreadable),
        }
    }

    /// The next certificate kept as it is.
    pub(super) fn kept(&mut self) -> Option<Arc<Certificate>> {
        let (first, rest) = self.certificates.split_first()?;
        self.certificates = rest;
        Some(Arc::clone(first))
    }

    /// What could not be read.
    pub(super) fn kept_unreadable(&mut self) -> Vec<Unreadable> {
        self.unreadable.to_vec()
    }

    /// Reads a number.
    #[inline]
    pub(super) fn number(&mut self) -> Option<u64> {
        if self.zeros > 0 {
            self.zeros -= 1;
            return Some(0);
        }
        let (&first, rest) = self.octets.split_first()?;
        self.octets = rest;
        if first < SMALL {
            return Some(u64::from(first));
        }
        if first < LONG {
            self.zeros = first - RUN + 1;
            return Some(0);
        }
        self.long(first - LONG)
    }

    fn long(&mut self, long: u8) -> Option<u64> {
        let len = usize::from(long) + 1;
        if let Some(octets) = self.octets.first_chunk::<8>() {
            self.octets = self.octets.get(len..)?;
            let unused = 56 - 8 * u32::from(long);
            return Some(u64::from_le_bytes(*octets) << unused >> unused);
        }
        let mut number = [0; 8];
        number.get_mut(..len)?.copy_from_slice(self.raw(len)?);
        Some(u64::from_le_bytes(number))
    }

    /// Reads a number that may be negative.
    #[inline]
    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ (number & 1).cast_signed().wrapping_neg())
    }

    /// Reads yes and no.
    pub(super) fn flags<const N: usize>(&mut self) -> Option<[bool; N]> {
        let number = self.number()?;
        let mut flags = [false; N];
        for (bit, flag) in flags.iter_mut().rev().enumerate() {
            *flag = number >> bit & 1 == 1;
        }
        Some(flags)
    }

    /// What is usual where it is so, else what was written.
    pub(super) fn unless<T: Pack>(&mut self, is_usual: bool, usual: T) -> Option<T> {
        if is_usual {
            Some(usual)
        } else {
            T::unpack(self)
        }
    }

    /// Reads octets.
    pub(super) fn raw(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.octets.split_at_checked(len)?;
        self.octets = rest;
        Some(taken)
    }

    /// Reads the length of a list, none of whose items is less than nothing.
    pub(super) fn len(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    /// What [`Packer::once`] wrote.
    pub(super) fn once<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let place = self.number()?;
        let own = match place.checked_sub(1) {
            Some(place) => self.shared.listed(place)?,
            None => {
                let len = self.len()?;
                self.raw(len)?
            }
        };
        let rest = std::mem::replace(&mut self.octets, own);
        let zeros = std::mem::take(&mut self.zeros);
        let value = read(self);
        (self.octets, self.zeros) = (rest, zeros);
        value
    }
}

impl Pack for Stamp {
    #[inline]
    fn pack(&self, to: &mut Packer<'_>) {
        if let Some(place) = to.stamps.find(*self) {
            to.last = *self;
            return to.number(place as u64);
        }
        let since = self.time.0.wrapping_sub(to.last.time.0);
        let frames = self.frame().wrapping_sub(to.last.frame()).cast_signed();
        if self.capture() != to.last.capture() {
            to.number(STAMPS as u64 + 2);
            to.number(u64::from(self.capture()));
            to.signed(since);
        } else if since % 1000 == 0 {
            to.number(STAMPS as u64);
            to.signed(since / 1000);
        } else {
            to.number(STAMPS as u64 + 1);
            to.signed(since);
        }
        to.signed(frames);
        to.last = *self;
        to.stamps.push(*self);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let place = from.len()?;
        if let Some(way) = place.checked_sub(STAMPS) {
            let last = from.last;
            let capture = match way {
                2 => u16::try_from(from.number()?).ok()?,
                _ => last.capture(),
            };
            let times = if way == 0 { 1000 } else { 1 };
            let since = from.signed()?.wrapping_mul(times);
            let time = Timestamp(last.time.0.wrapping_add(since));
            let frame = last.frame().wrapping_add(from.signed()?.cast_unsigned());
            let stamp = Self::new(capture, frame, time);
            from.stamps.push(stamp);
            from.last = stamp;
        } else {
            from.last = from.stamps.at(place)?;
        }
        Some(from.last)
    }
}

impl Pack for Flow {
    fn pack(&self, to: &mut Packer<'_>) {
        if let Some(place) = to.flows.find(*self) {
            return to.number(place as u64);
        }
        if let Some(place) = to.flows.find(self.reversed()) {
            to.number((FLOWS + place) as u64);
        } else {
            to.number(2 * FLOWS as u64);
            self.source.pack(to);
            self.destination.pack(to);
        }
        to.flows.push(*self);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let place = from.len()?;
        if place < FLOWS {
            return from.flows.at(place);
        }
        let flow = if place < 2 * FLOWS {
            from.flows.at(place - FLOWS)?.reversed()
        } else {
            Self {
                source: Pack::unpack(from)?,
                destination: Pack::unpack(from)?,
            }
        };
        from.flows.push(flow);
        Some(flow)
    }
}

impl Pack for IpAddr {
    fn pack(&self, to: &mut Packer<'_>) {
        match self {
            Self::V4(v4) => {
                to.number(1);
                to.raw(&v4.octets());
            }
            Self::V6(v6) => {
                to.number(2);
                to.raw(&v6.octets());
            }
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        match from.number()? {
            1 => Some(Self::from(*from.raw(4)?.first_chunk::<4>()?)),
            2 => Some(Self::from(*from.raw(16)?.first_chunk::<16>()?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_with_the_zeros_between_them() {
        let mut numbers = vec![
            0,
            1,
            231,
            232,
            247,
            248,
            255,
            256,
            65_535,
            1 << 24,
            u64::MAX,
        ];
        for zeros in 1..40 {
            numbers.extend(std::iter::repeat_n(0, zeros));
            numbers.push(zeros as u64);
        }
        numbers.extend([0; 3]);
        let mut shared = Shared::default();
        let mut to = Packer::new(&mut shared);
        for number in &numbers {
            to.number(*number);
            to.signed(-number.cast_signed().wrapping_abs());
        }
        to.flush();
        let octets = to.octets;
        let mut from = Unpacker::new(&octets, None, &shared);
        for number in &numbers {
            assert_eq!(from.number(), Some(*number));
            assert_eq!(from.signed(), Some(-number.cast_signed().wrapping_abs()));
        }
        assert_eq!(from.number(), None);
        // Runs of zeros are one octet for seventeen.
        assert!(octets.len() < numbers.len() * 2);
    }

    #[test]
    fn stamps_and_flows_come_back_in_any_order() {
        let stamp = |n: i64| {
            Stamp::new(
                u16::from(n % 7 == 0),
                n.unsigned_abs() * 3,
                Timestamp(1_700_000_000_000_000_000 + n * 1_000 + i64::from(n % 5 == 0)),
            )
        };
        let at = |n: u8| (IpAddr::from([192, 0, 2, n]), u16::from(n));
        let flow = |n: u8| Flow {
            source: at(n),
            destination: (IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]), 500),
        };
        let stamps: Vec<Stamp> = (0..100).chain((0..100).rev()).map(stamp).collect();
        let flows = (0..20)
            .chain(0..20)
            .flat_map(|n| [flow(n), flow(n).reversed(), flow(n)]);
        let both = (stamps, flows.collect::<Vec<Flow>>());
        let mut shared = Shared::default();
        let mut to = Packer::new(&mut shared);
        both.pack(&mut to);
        to.flush();
        let octets = to.octets;
        let back = Pack::unpack(&mut Unpacker::new(&octets, None, &shared));
        assert_eq!(back, Some(both));
    }

    #[test]
    fn what_is_the_same_is_kept_once_and_what_is_too_much_in_the_session() {
        let mut shared = Shared::default();
        let long = |n: u32| format!("{n:04000}");
        let lens: Vec<usize> = (0..1000u32)
            .map(|n| {
                let text: Arc<str> = long(n / 2).into();
                let mut to = Packer::new(&mut shared);
                to.once(|to| long(n / 2).pack(to));
                text.pack(&mut to);
                to.flush();
                let octets = to.octets;
                let mut from = Unpacker::new(&octets, None, &shared);
                let first = from.once(String::unpack);
                assert_eq!(first.as_deref(), Some(&*text));
                assert_eq!(Arc::unpack(&mut from).as_ref(), Some(&text));
                octets.len()
            })
            .collect();
        assert!(lens.first().is_some_and(|len| *len < 8));
        assert!(
            lens.last().is_some_and(|len| *len > 8000),
            "the room has an end"
        );
    }
}
