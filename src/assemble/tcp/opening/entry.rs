//! What is kept of a connection that has not carried an octet yet, in 50 octets.

use super::super::{At, Opening, Party, Rewritten};
use super::Key;
use crate::decap::Flow;
use crate::time::{Span, Timestamp};

/// Flags of an [`Entry`].
const OPENER_FIRST: u8 = 1;
const DONE: u8 = 2;
const HAS_SYN: u8 = 4;
const HAS_MSS: u8 = 8;
const HAS_ANSWER: u8 = 16;
const HAS_ANSWER_MSS: u8 = 32;
/// No opening: a place for one.
pub(super) const FREE: u8 = 64;

/// What is kept of a connection without octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::assemble::tcp) struct Entry {
    pub(super) time: [u32; 2],
    pub(super) frame: [u32; 2],
    /// Since the first frame, see [`Lapse`].
    last_time: Lapse,
    last_frame: i32,
    answer_time: Lapse,
    answer_frame: i32,
    pub(super) sequence: u32,
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

pub(super) const fn join(parts: [u32; 2]) -> u64 {
    let [high, low] = parts;
    ((high as u64) << 32) | low as u64
}

impl Entry {
    pub(in crate::assemble::tcp) fn new(at: At, opener_first: bool) -> Self {
        Self {
            time: split(at.time.0.cast_unsigned()),
            frame: split(at.frame()),
            flags: if opener_first { OPENER_FIRST } else { 0 },
            ..Self::default()
        }
    }

    /// A place for an entry, which remembers the number of the next one.
    pub(super) const fn free(next: u32) -> Self {
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

    pub(super) const fn next_free(&self) -> u32 {
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

    pub(super) fn first_time(&self) -> Timestamp {
        Timestamp(join(self.time).cast_signed())
    }

    pub(super) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// What a SYN, or the answer to one, says otherwise than the same one a moment ago: only a
    /// box whose both sides the capture sees writes another segment size into it so soon.
    pub(in crate::assemble::tcp) fn rewrites(
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
    pub(in crate::assemble::tcp) fn begin(
        &mut self,
        is_answer: bool,
        sequence: u32,
        mss: Option<u16>,
        ttl: u8,
    ) {
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

    pub(in crate::assemble::tcp) fn syn(
        &mut self,
        at: At,
        sequence: u32,
        mss: Option<u16>,
        ttl: u8,
    ) {
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

    pub(in crate::assemble::tcp) fn answer(
        &mut self,
        at: At,
        sequence: u32,
        mss: Option<u16>,
        ttl: u8,
    ) {
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
    pub(in crate::assemble::tcp) fn done(&mut self) {
        self.flags |= DONE;
    }

    pub(in crate::assemble::tcp) const fn sequence(&self, party: Party) -> Option<u32> {
        match party {
            Party::Opener if self.has(HAS_SYN) => Some(self.sequence),
            Party::Acceptor if self.has(HAS_ANSWER) => Some(self.answer_sequence),
            _ => None,
        }
    }

    pub(in crate::assemble::tcp) const fn party(&self, sender_first: bool) -> Party {
        if sender_first == self.has(OPENER_FIRST) {
            Party::Opener
        } else {
            Party::Acceptor
        }
    }

    /// Whether all that was seen are SYNs.
    pub(in crate::assemble::tcp) const fn is_unanswered(&self) -> bool {
        self.flags & (HAS_SYN | HAS_ANSWER | DONE) == HAS_SYN
    }

    /// The latest time that is known of it.
    pub(in crate::assemble::tcp) fn last(&self) -> Timestamp {
        let lapse = self.last_time.span().max(self.answer_time.span());
        self.first_time() + lapse
    }

    /// The same for everybody else.
    pub(in crate::assemble::tcp) fn opening(&self, capture: u16) -> Opening {
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
    pub(in crate::assemble::tcp) fn flow(&self, key: &Key) -> Flow {
        let flow = key.flow();
        if self.has(OPENER_FIRST) {
            flow
        } else {
            flow.reversed()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
