//! Finds the same datagrams at several vantage points, and what their clocks differ by.

use std::net::IpAddr;

use foldhash::fast::{FixedState, RandomState};
use hashbrown::HashMap;

use super::record::{Record, Recording};
use crate::time::{Span, Timestamp};

/// A record: vantage point and index.
pub type Place = (usize, usize);

/// What a vantage point's clock shows when the first one's shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clock {
    /// To be subtracted from its times.
    pub offset: Span,
    /// How far the offset may be off; `None` where nothing was found in common.
    pub uncertainty: Option<Span>,
    /// Datagrams that it was computed from.
    pub pairs: usize,
}

/// One datagram with its sightings: an index for each vantage point that saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// By vantage point.
    pub seen: Vec<Option<usize>>,
}

/// What belongs together.
#[derive(Debug)]
pub struct Matches {
    /// Clocks by vantage point; the first is the reference.
    pub clocks: Vec<Clock>,
    /// Every datagram.
    pub sightings: Vec<Sighting>,
    /// The sighting of each record, by vantage point.
    pub of: Vec<Vec<usize>>,
}

impl Matches {
    /// A time of one vantage point by the reference clock.
    pub fn corrected(&self, vantage: usize, time: Timestamp) -> Timestamp {
        let offset = self.clocks.get(vantage).map_or(Span(0), |c| c.offset);
        Timestamp(time.0.saturating_sub(offset.0))
    }
}

type Index = HashMap<u64, Vec<usize>, RandomState>;

fn index(records: &[Record]) -> Index {
    let mut index = Index::default();
    for (number, record) in records.iter().enumerate() {
        index.entry(record.key).or_default().push(number);
    }
    for list in index.values_mut() {
        list.sort_by_key(|n| records.get(*n).map(|r| r.at.time));
    }
    index
}

/// Matches everything with everything.
pub fn solve(recordings: &[&Recording]) -> Matches {
    let indices: Vec<Index> = recordings.iter().map(|r| index(&r.records)).collect();
    let mut clocks = vec![Clock {
        uncertainty: Some(Span(0)),
        ..Clock::default()
    }];
    let mut sightings: Vec<Sighting> = Vec::new();
    let mut of: Vec<Vec<usize>> = recordings
        .iter()
        .map(|r| vec![usize::MAX; r.records.len()])
        .collect();
    for later in 1..recordings.len() {
        let best = (0..later)
            .filter_map(|earlier| {
                let clock = offset((recordings, &indices), earlier, later)?;
                Some((clock.pairs, earlier, clock))
            })
            .max_by_key(|(pairs, earlier, _)| (*pairs, std::cmp::Reverse(*earlier)));
        clocks.push(best.map_or_else(Clock::default, |(_, earlier, mut clock)| {
            let base = clocks.get(earlier).copied().unwrap_or_default();
            clock.offset = clock.offset + base.offset;
            clock.uncertainty = clock.uncertainty.zip(base.uncertainty).map(|(a, b)| a + b);
            clock
        }));
    }
    for vantage in 0..recordings.len() {
        join(
            recordings,
            &indices,
            &clocks,
            vantage,
            &mut sightings,
            &mut of,
        );
    }
    Matches {
        clocks,
        sightings,
        of,
    }
}

/// Gives every record of one vantage point its sighting: one of an earlier point, or a new.
fn join(
    recordings: &[&Recording],
    indices: &[Index],
    clocks: &[Clock],
    vantage: usize,
    sightings: &mut Vec<Sighting>,
    of: &mut [Vec<usize>],
) {
    for earlier in 0..vantage {
        for (a, b) in pairs(recordings, indices, clocks, (earlier, vantage)) {
            let known = of.get(earlier).and_then(|list| list.get(a)).copied();
            let mine = of.get(vantage).and_then(|list| list.get(b)).copied();
            let (Some(known), Some(usize::MAX)) = (known, mine) else {
                continue;
            };
            let Some(slot) = sightings
                .get_mut(known)
                .and_then(|s| s.seen.get_mut(vantage))
            else {
                continue;
            };
            if slot.is_none() {
                *slot = Some(b);
                if let Some(place) = of.get_mut(vantage).and_then(|list| list.get_mut(b)) {
                    *place = known;
                }
            }
        }
    }
    let Some(list) = of.get_mut(vantage) else {
        return;
    };
    for (number, place) in list.iter_mut().enumerate() {
        if *place == usize::MAX {
            *place = sightings.len();
            let mut seen = vec![None; recordings.len()];
            if let Some(slot) = seen.get_mut(vantage) {
                *slot = Some(number);
            }
            sightings.push(Sighting { seen });
        }
    }
}

/// Longest time that a datagram is believed to take from one point to another, or the error
/// of a clock offset that nothing but this datagram speaks for.
const LONGEST: Span = Span::from_secs(5);

fn pairs(
    recordings: &[&Recording],
    indices: &[Index],
    clocks: &[Clock],
    (i, j): (usize, usize),
) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let (Some(a), Some(b), Some(index_a), Some(index_b), Some(clock_a), Some(clock_b)) = (
        recordings.get(i),
        recordings.get(j),
        indices.get(i),
        indices.get(j),
        clocks.get(i),
        clocks.get(j),
    ) else {
        return found;
    };
    let offset = Span(clock_b.offset.0.saturating_sub(clock_a.offset.0));
    for (key, mine) in index_a {
        let Some(theirs) = index_b.get(key) else {
            continue;
        };
        let times = |recording: &Recording, list: &[usize]| -> Vec<Placed> {
            list.iter()
                .filter_map(|n| Some((*n, recording.records.get(*n)?.at.time)))
                .collect()
        };
        let (mut mine, mut theirs) = (times(a, mine), times(b, theirs));
        if mine.len() + theirs.len() > 2 {
            // Alike in what translation leaves alone: first those alike in everything.
            alike(
                recordings,
                (i, j),
                (&mut mine, &mut theirs),
                offset,
                &mut found,
            );
        }
        greedy(&mine, &theirs, offset, &mut found);
    }
    found.sort_unstable();
    found
}

/// The place of a record, and its time.
type Placed = (usize, Timestamp);

/// Pairs those with the same digest and leaves the others.
fn alike(
    recordings: &[&Recording],
    (i, j): (usize, usize),
    (mine, theirs): (&mut Vec<Placed>, &mut Vec<Placed>),
    offset: Span,
    found: &mut Vec<(usize, usize)>,
) {
    let digest = |point: usize, n: usize| recordings.get(point)?.records.get(n)?.digest;
    let mut kinds: Vec<u64> = mine.iter().filter_map(|(n, _)| digest(i, *n)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.len() < 2 {
        return;
    }
    for kind in kinds {
        let of = |point: usize, list: &[Placed]| -> Vec<Placed> {
            let same = list.iter().filter(|(n, _)| digest(point, *n) == Some(kind));
            same.copied().collect()
        };
        let (a, b) = (of(i, mine), of(j, theirs));
        greedy(&a, &b, offset, found);
        mine.retain(|entry| !a.contains(entry));
        theirs.retain(|entry| !b.contains(entry));
    }
}

/// Pairs the transmissions of the same octets in order of time.
fn greedy(a: &[Placed], b: &[Placed], offset: Span, found: &mut Vec<(usize, usize)>) {
    let gap = |list: &[Placed]| {
        list.windows(2)
            .filter_map(|pair| match pair {
                [(_, x), (_, y)] => Some((*y - *x).0 / 2),
                _ => None,
            })
            .min()
            .unwrap_or(LONGEST.0)
    };
    let tolerance = LONGEST.0.min(gap(a)).min(gap(b));
    let (mut x, mut y) = (0, 0);
    while let (Some((m, ta)), Some((n, tb))) = (a.get(x), b.get(y)) {
        let late = (*tb - *ta).0.saturating_sub(offset.0);
        if late.saturating_abs() <= tolerance {
            found.push((*m, *n));
            x += 1;
            y += 1;
        } else if late > 0 {
            x += 1;
        } else {
            y += 1;
        }
    }
}

/// What the later clock shows more than the earlier one.
///
/// A datagram that travels from the earlier to the later point is seen there by the true
/// offset plus its delay later, one that travels back by the offset minus its delay. The
/// smallest of the first and the largest of the second enclose the offset.
fn offset((recordings, indices): (&[&Recording], &[Index]), i: usize, j: usize) -> Option<Clock> {
    let (a, b) = (recordings.get(i)?, recordings.get(j)?);
    let (index_a, index_b) = (indices.get(i)?, indices.get(j)?);
    let mut ways: HashMap<IpAddr, Way, FixedState> = HashMap::with_hasher(FixedState::default());
    let mut pairs = 0;
    for (key, mine) in index_a {
        let (Some(theirs), [one]) = (index_b.get(key), mine.as_slice()) else {
            continue;
        };
        let [other] = theirs.as_slice() else {
            continue;
        };
        let (Some(one), Some(other)) = (a.records.get(*one), b.records.get(*other)) else {
            continue;
        };
        pairs += 1;
        ways.entry(one.flow.source.0).or_default().add(one, other);
    }
    if pairs == 0 {
        return repeated(a, b, index_a, index_b);
    }
    let mut ways: Vec<(IpAddr, Way)> = ways.into_iter().collect();
    ways.sort_by_key(|(ip, _)| *ip);
    let there = ways.iter().map(|(_, w)| w).filter(|w| w.hops > 0);
    let back = ways.iter().map(|(_, w)| w).filter(|w| w.hops < 0);
    let (mut least, mut most) = (there.map(|w| w.least).min(), back.map(|w| w.most).max());
    if least.is_none() || most.is_none() {
        // No hop between the points: whatever shows up later there travels that way.
        let low = ways.iter().map(|(_, w)| w.most).min();
        let high = ways.iter().map(|(_, w)| w.least).max();
        if let (Some(low), Some(high), true) = (low, high, ways.len() > 1) {
            least = least.or(Some(high.max(low)));
            most = most.or(Some(high.min(low)));
        }
    }
    Some(match (least, most) {
        (Some(least), Some(most)) => Clock {
            offset: Span(least.0.midpoint(most.0)),
            uncertainty: Some(Span((least.0 - most.0).abs() / 2)),
            pairs,
        },
        (one, other) => Clock {
            offset: one.or(other).unwrap_or_default(),
            uncertainty: Some(LONGEST),
            pairs,
        },
    })
}

/// The delays of one sender's datagrams between two points.
#[derive(Debug, Clone, Copy)]
struct Way {
    least: Span,
    most: Span,
    /// Positive where most lost hops on the way from the earlier to the later point.
    hops: i64,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            least: Span(i64::MAX),
            most: Span(i64::MIN),
            hops: 0,
        }
    }
}

impl Way {
    fn add(&mut self, one: &Record, other: &Record) {
        let delta = other.at.time - one.at.time;
        self.least = self.least.min(delta);
        self.most = self.most.max(delta);
        self.hops += i64::from(one.ttl.cmp(&other.ttl) as i8);
    }
}

/// Everything in common was sent several times: the offset that pairs most of it.
fn repeated(a: &Recording, b: &Recording, index_a: &Index, index_b: &Index) -> Option<Clock> {
    /// Transmissions of the same octets that are looked at; all of them would cost their
    /// square.
    const FEW: usize = 32;
    let mut keys: Vec<_> = index_a
        .iter()
        .filter_map(|(key, mine)| Some((mine, index_b.get(key)?)))
        .collect();
    keys.sort_by_key(|(mine, theirs)| (mine.len() * theirs.len(), mine.first().copied()));
    let (mine, theirs) = keys.first()?;
    let time = |recording: &Recording, n: &usize| recording.records.get(*n).map(|r| r.at.time);
    let mut best: Option<(usize, Span)> = None;
    for x in mine.iter().take(16).filter_map(|n| time(a, n)) {
        for y in theirs.iter().take(16).filter_map(|n| time(b, n)) {
            let guess = y - x;
            let hits = keys
                .iter()
                .take(64)
                .flat_map(|(mine, theirs)| mine.iter().take(FEW).map(move |n| (n, theirs)))
                .filter(|(n, theirs)| {
                    time(a, n).is_some_and(|t| {
                        theirs
                            .iter()
                            .take(FEW)
                            .filter_map(|m| time(b, m))
                            .any(|u| ((u - t).0 - guess.0).abs() < 50_000_000)
                    })
                })
                .count();
            let better = best.is_none_or(|(most, span)| {
                hits > most || hits == most && guess.0.abs() < span.0.abs()
            });
            if better {
                best = Some((hits, guess));
            }
        }
    }
    best.map(|(pairs, offset)| Clock {
        offset,
        uncertainty: Some(LONGEST),
        pairs,
    })
}
