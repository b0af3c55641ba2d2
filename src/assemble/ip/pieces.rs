//! The parts of one datagram that were seen, disjoint, and what can be said of the rest.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use super::Piece;
use crate::decap::Fragment;

/// What was odd about the fragments of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Oddities {
    /// Fragments that said nothing new.
    pub copies: u32,
    /// A fragment covered octets of another without being its copy.
    pub overlapping: bool,
    /// A later fragment had other octets, or another end of the datagram, than an earlier one.
    pub conflicting: bool,
}

/// What became of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Insertion {
    /// It brought octets that were missing.
    New,
    /// All of it was there.
    Copy,
    /// It contradicts the length of the datagram and was left out.
    Impossible,
}

/// Octets of one part, as many as were captured.
#[derive(Debug)]
struct Part {
    octets: Box<[u8]>,
    /// On the wire.
    len: u32,
}

/// A fragment as it is remembered after its datagram is whole.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    offset: u32,
    len: u32,
    digest: u64,
}

/// Fragments of one datagram.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// Disjoint parts by offset.
    parts: BTreeMap<u32, Part>,
    frames: Vec<Piece>,
    marks: Vec<Mark>,
    total: Option<u32>,
    /// Octets of the parts together, on the wire.
    covered: u32,
    /// Where the part that reaches farthest ends.
    extent: u32,
    cost: usize,
    oddities: Oddities,
}

/// A datagram put together.
#[derive(Debug)]
pub(super) struct Assembled {
    /// Up to the first octet that was not captured.
    pub(super) payload: Vec<u8>,
    pub(super) payload_len: u32,
    /// By offset.
    pub(super) pieces: Vec<Piece>,
    pub(super) oddities: Oddities,
}

/// An IP datagram has at most this many octets (jumbograms are not fragmented).
const LONGEST: u32 = 65_535;
/// A datagram in more fragments than this is not recognised in late copies.
const MARKS: usize = 128;
/// What a part costs beside its octets.
const OVERHEAD: usize = 128;

/// Whether a datagram can have this fragment.
pub(super) fn is_possible(fragment: &Fragment<'_>) -> bool {
    let end = fragment.offset.saturating_add(fragment.payload_len);
    end <= LONGEST && (fragment.payload_len > 0 || !fragment.more)
}

fn mark(fragment: &Fragment<'_>) -> Mark {
    let mut hasher = DefaultHasher::new();
    hasher.write(fragment.payload);
    Mark {
        offset: fragment.offset,
        len: fragment.payload_len,
        digest: hasher.finish(),
    }
}

impl Pieces {
    /// Octets of memory, about.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Length of the payload, where the last fragment was seen.
    pub(super) fn total(&self) -> Option<u32> {
        self.total
    }

    pub(super) fn is_whole(&self) -> bool {
        self.total == Some(self.covered)
    }

    /// Whether this very fragment was taken.
    pub(super) fn knows(&self, fragment: &Fragment<'_>) -> bool {
        self.marks.contains(&mark(fragment))
    }

    /// Takes what a fragment has that was missing.
    pub(super) fn insert(&mut self, fragment: &Fragment<'_>, piece: Piece) -> Insertion {
        let start = fragment.offset;
        let end = start.saturating_add(fragment.payload_len);
        let is_last = !fragment.more;
        let contradicts = match self.total {
            Some(total) => end > total || (is_last && end != total),
            None => is_last && self.extent > end,
        };
        if contradicts {
            self.oddities.conflicting = true;
            return Insertion::Impossible;
        }
        let tells_length = is_last && self.total.is_none();
        if is_last {
            self.total = Some(end);
        }
        let gaps = self.gaps(fragment, start, end);
        if gaps.is_empty() && !tells_length {
            self.oddities.copies = self.oddities.copies.saturating_add(1);
            return Insertion::Copy;
        }
        let missing: u32 = gaps.iter().map(|(from, to)| to - from).sum();
        if missing < fragment.payload_len {
            self.oddities.overlapping = true;
        }
        for (from, to) in gaps {
            self.store(fragment, from, to);
        }
        self.extent = self.extent.max(end);
        self.frames.push(piece);
        self.cost += OVERHEAD;
        if self.marks.len() < MARKS {
            self.marks.push(mark(fragment));
        }
        Insertion::New
    }

    /// What of `start..end` is not there yet. Notes where octets that are there differ.
    fn gaps(&mut self, fragment: &Fragment<'_>, start: u32, end: u32) -> Vec<(u32, u32)> {
        let first = self
            .parts
            .range(..=start)
            .next_back()
            .map_or(start, |(at, _)| *at);
        let mut gaps = Vec::new();
        let mut at = start;
        let mut conflicting = false;
        for (from, part) in self.parts.range(first..end.max(first)) {
            let to = from + part.len;
            if to <= start {
                continue;
            }
            if *from > at {
                gaps.push((at, *from));
            }
            let both = (start.max(*from), end.min(to));
            conflicting |= slice(&part.octets, *from, both)
                .zip(slice(fragment.payload, start, both))
                .is_some_and(|(old, new)| {
                    let n = old.len().min(new.len());
                    old.get(..n) != new.get(..n)
                });
            at = at.max(to);
        }
        if at < end {
            gaps.push((at, end));
        }
        self.oddities.conflicting |= conflicting;
        gaps
    }

    fn store(&mut self, fragment: &Fragment<'_>, from: u32, to: u32) {
        let octets: Box<[u8]> = slice(fragment.payload, fragment.offset, (from, to))
            .unwrap_or_default()
            .into();
        self.cost += OVERHEAD + octets.len();
        self.covered += to - from;
        let len = to - from;
        self.parts.insert(from, Part { octets, len });
    }

    /// The first octets of the payload, at most `n`.
    pub(super) fn leading(&self, n: usize) -> Vec<u8> {
        let mut leading = self.joined(n);
        leading.truncate(n);
        leading
    }

    /// What is missing; open-ended where the last fragment is.
    pub(super) fn missing(&self) -> Vec<(u32, Option<u32>)> {
        let mut missing = Vec::new();
        let mut at = 0;
        for (from, part) in &self.parts {
            if *from > at {
                missing.push((at, Some(from - at)));
            }
            at = from + part.len;
        }
        match self.total {
            Some(total) if total > at => missing.push((at, Some(total - at))),
            Some(_) => {}
            None => missing.push((at, None)),
        }
        missing
    }

    /// The octets from offset 0 to the first that is missing or was not captured, or to where
    /// more than `enough` are there.
    fn joined(&self, enough: usize) -> Vec<u8> {
        let mut joined = Vec::new();
        let mut at = 0;
        for (from, part) in &self.parts {
            if *from != at || joined.len() >= enough {
                break;
            }
            joined.extend_from_slice(&part.octets);
            if part.octets.len() < part.len as usize {
                break;
            }
            at = from + part.len;
        }
        joined
    }

    /// Puts it together and lets go of the octets; only the marks stay.
    pub(super) fn take(&mut self) -> Assembled {
        let payload = self.joined(usize::MAX);
        let mut pieces = std::mem::take(&mut self.frames);
        pieces.sort_by_key(|piece| (piece.offset, piece.frame));
        self.parts.clear();
        self.cost = 0;
        Assembled {
            payload,
            payload_len: self.total.unwrap_or(self.extent),
            pieces,
            oddities: self.oddities,
        }
    }
}

/// Of `octets`, which begin at `base`, those in `range`, as far as they are there.
fn slice(octets: &[u8], base: u32, (from, to): (u32, u32)) -> Option<&[u8]> {
    let from = from.checked_sub(base)? as usize;
    let to = (to.checked_sub(base)? as usize).min(octets.len());
    octets.get(from..to)
}
