//! One direction of a connection: octets in order.

use std::collections::VecDeque;

use super::{At, Config};
use crate::time::{Span, Timestamp};

/// Whether sequence number `a` is before `b` (RFC 9293 §3.4).
pub(super) const fn before(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) > 0x8000_0000
}

/// How much a later segment may lie ahead and still be taken for one of this stream: the
/// largest window there is.
const WINDOW: u32 = 1 << 30;

/// How much may be on its way while a segment waits a moment.
pub(super) const NEAR: u32 = 1 << 20;

/// A segment that came before the one it follows.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) sequence: u32,
    pub(super) octets: Box<[u8]>,
    /// Octets on the wire; more than `octets` holds where snaplen cut.
    pub(super) len: u32,
    pub(super) at: At,
}

impl Early {
    fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.len)
    }
}

/// A segment that was seen a moment ago, to know copies of a span port.
#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    sequence: u32,
    len: u32,
    flags: u8,
    ip_id: u32,
    time: Timestamp,
}

/// The last segments of a direction. Directions that are quiet have none: a copy comes at once.
#[derive(Debug, Default)]
pub(super) struct Recents {
    list: [Recent; 6],
    oldest: usize,
}

/// Room for recent segments that is not used at the moment.
#[expect(
    clippy::vec_box,
    reason = "they go from here to a direction and back as they are"
)]
#[derive(Debug, Default)]
pub(super) struct Room(Vec<Box<Recents>>);

impl Room {
    const KEPT: usize = 1024;

    fn take(&mut self) -> Box<Recents> {
        self.0.pop().unwrap_or_default()
    }

    fn give_back(&mut self, mut recents: Box<Recents>) {
        if self.0.len() < Self::KEPT {
            *recents = Recents::default();
            self.0.push(recents);
        }
    }
}

/// What a segment is to its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It starts at or before the next octet, and reaches beyond it: so many octets of it
    /// were there before.
    Next {
        /// Octets to leave out.
        skip: u32,
    },
    /// It leaves a hole before it.
    Ahead,
    /// All of it was seen before.
    Old,
    /// It probes whether the peer is there: one octet or none, just before the next.
    KeepAlive,
    /// It belongs to no window of this stream.
    Outside,
}

/// Segments that wait behind a hole.
#[derive(Debug, Default)]
struct Waiting {
    early: VecDeque<Early>,
    octets: usize,
    /// When the peer acknowledged octets of the hole.
    hole_acked: Option<Timestamp>,
}

impl Waiting {
    fn insert(&mut self, index: usize, early: Early) {
        self.octets += early.octets.len();
        self.early.insert(index.min(self.early.len()), early);
    }

    /// Keeps a segment, as [`Half::keep`] says.
    fn keep(&mut self, mut early: Early) -> bool {
        let mut differs = false;
        let mut index = 0;
        while let Some(known) = self.early.get(index) {
            if !before(known.sequence, early.end()) {
                break;
            }
            if !before(early.sequence, known.end()) {
                index += 1;
                continue;
            }
            differs |= conflict(known, &early);
            if before(early.sequence, known.sequence) {
                // The part in front of the known one is new.
                let front = known.sequence.wrapping_sub(early.sequence);
                let part = cut(&early, 0, front);
                self.insert(index, part);
                index += 1;
            }
            let Some(known) = self.early.get(index) else {
                break;
            };
            let skip = known.end().wrapping_sub(early.sequence);
            if !before(known.end(), early.end()) {
                return differs;
            }
            early = cut(&early, skip, early.len);
            index += 1;
        }
        self.insert(index, early);
        differs
    }
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// Sequence number of the first octet of data; offsets count from it.
    base: u32,
    /// Sequence number of the octet that is delivered next.
    next: u32,
    /// One beyond the highest octet seen.
    high: u32,
    /// The highest acknowledgment of the peer.
    acked: u32,
    /// Whether the numbers above are known.
    started: bool,
    /// What waits behind a hole: most connections never have one.
    waiting: Option<Box<Waiting>>,
    recent: Option<Box<Recents>>,
    /// Sequence number of the FIN.
    pub(super) fin: Option<u32>,
    pub(super) window_closed: bool,
    /// Frames it sent.
    pub(super) frames: u32,
}

impl Half {
    /// A direction whose SYN had this sequence number, or whose first octet seen has.
    pub(super) fn start(&mut self, base: u32) {
        if !self.started {
            (self.base, self.next, self.high, self.acked) = (base, base, base, base);
            self.started = true;
        }
    }

    pub(super) const fn is_started(&self) -> bool {
        self.started
    }

    /// Octets from the start of the stream.
    pub(super) const fn offset(&self, sequence: u32) -> u32 {
        sequence.wrapping_sub(self.base)
    }

    /// Offset of the octet that is delivered next.
    pub(super) const fn next(&self) -> u32 {
        self.offset(self.next)
    }

    /// Offset up to which the peer acknowledged.
    pub(super) const fn acked(&self) -> u32 {
        self.offset(self.acked)
    }

    /// Up to where the peer acknowledged, as a sequence number.
    pub(super) const fn heard(&self) -> u32 {
        self.acked
    }

    /// Whether a number lies beyond what was delivered or acknowledged, a FIN included, and
    /// near enough to be reached soon.
    pub(super) fn is_ahead(&self, number: u32) -> bool {
        if !self.started || !before(self.next, number) || !before(self.acked, number) {
            return false;
        }
        let ended = self
            .fin
            .is_some_and(|fin| !before(fin.wrapping_add(1), number));
        !ended && self.is_near(number)
    }

    /// Whether a number is one that the stream may reach soon.
    pub(super) const fn is_near(&self, number: u32) -> bool {
        number.wrapping_sub(self.next) <= NEAR
    }

    /// Octets that wait.
    pub(super) fn held(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.octets)
    }

    fn first_early(&self) -> Option<&Early> {
        self.waiting.as_ref()?.early.front()
    }

    /// Whether the same segment was seen within so short a time that only a span port can
    /// have made the copy: no timer of TCP fires as fast.
    pub(super) fn is_copy(
        &mut self,
        sequence: u32,
        len: u32,
        flags: u8,
        ip_id: u32,
        time: Timestamp,
        room: &mut Room,
    ) -> bool {
        const COPY: Span = Span::from_millis(5);
        let recents = self.recent.get_or_insert_with(|| room.take());
        let is_copy = recents.list.iter().any(|recent| {
            recent.sequence == sequence
                && recent.len == len
                && recent.flags == flags
                && recent.ip_id == ip_id
                && recent.time != Timestamp::default()
                && time.since(recent.time) < COPY
                && time.since(recent.time) > Span(-COPY.0)
        });
        if let Some(slot) = recents.list.get_mut(recents.oldest) {
            *slot = Recent {
                sequence,
                len,
                flags,
                ip_id,
                time,
            };
        }
        recents.oldest = (recents.oldest + 1) % recents.list.len();
        is_copy
    }

    /// Gives away what only a segment that follows at once would need.
    pub(super) fn rest(&mut self, room: &mut Room) {
        if let Some(recents) = self.recent.take() {
            room.give_back(recents);
        }
    }

    /// Where a segment of `len` octets stands.
    pub(super) fn place(&self, sequence: u32, len: u32) -> Place {
        let end = sequence.wrapping_add(len);
        if len <= 1 && sequence == self.next.wrapping_sub(1) && self.next != self.base {
            return Place::KeepAlive;
        }
        if before(self.next, sequence) {
            return if sequence.wrapping_sub(self.next) > WINDOW {
                Place::Outside
            } else {
                Place::Ahead
            };
        }
        let skip = self.next.wrapping_sub(sequence);
        if skip > WINDOW {
            Place::Outside
        } else if before(self.next, end) {
            Place::Next { skip }
        } else {
            Place::Old
        }
    }

    /// Notes octets up to `end`; tells whether some were seen for the first time.
    pub(super) fn reach(&mut self, end: u32) -> bool {
        let fresh = before(self.high, end);
        if fresh {
            self.high = end;
        }
        fresh
    }

    /// Moves on to `sequence`.
    pub(super) fn advance(&mut self, sequence: u32) {
        self.next = sequence;
        if let Some(waiting) = &mut self.waiting {
            waiting.hole_acked = None;
            if waiting.early.is_empty() {
                self.waiting = None;
            }
        }
        if before(self.high, sequence) {
            self.high = sequence;
        }
    }

    /// Notes an acknowledgment of the peer; tells whether it is a new one.
    pub(super) fn acknowledge(&mut self, acknowledgment: u32, now: Timestamp) -> bool {
        if !self.started || acknowledgment.wrapping_sub(self.acked) > WINDOW {
            return false;
        }
        if acknowledgment == self.acked {
            return false;
        }
        self.acked = acknowledgment;
        if before(self.next, acknowledgment)
            && let Some(waiting) = &mut self.waiting
            && !waiting.early.is_empty()
        {
            waiting.hole_acked.get_or_insert(now);
        }
        true
    }

    /// Keeps a segment that came early. The octets that arrived first stay: what overlaps
    /// them is cut off the newcomer. Tells whether overlapping octets differed.
    pub(super) fn keep(&mut self, early: Early) -> bool {
        self.waiting.get_or_insert_default().keep(early)
    }

    /// The early segment that is next in order now, cut to what is new of it.
    pub(super) fn ready(&mut self) -> Option<(Early, u32)> {
        let waiting = self.waiting.as_mut()?;
        loop {
            let first = waiting.early.front()?;
            if before(self.next, first.sequence) {
                return None;
            }
            let skip = self.next.wrapping_sub(first.sequence);
            let whole = waiting.early.pop_front()?;
            waiting.octets -= whole.octets.len();
            if skip < whole.len {
                return Some((whole, skip));
            }
        }
    }

    /// The hole before the first early segment: its offset and length.
    pub(super) fn hole(&self) -> Option<(u32, u32)> {
        let first = self.first_early()?;
        before(self.next, first.sequence)
            .then(|| (self.next(), first.sequence.wrapping_sub(self.next)))
    }

    /// Whether the hole will not be filled: the peer has its octets, or too much waits.
    pub(super) fn gives_up(&self, now: Timestamp, config: &Config) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| {
            let late = |since| now.since(since) >= config.patience;
            waiting.hole_acked.is_some_and(late)
                || waiting.octets > config.early_octets
                || waiting.early.len() > config.early_segments
        })
    }

    /// Skips the hole; gives its offset and length.
    pub(super) fn skip_hole(&mut self) -> Option<(u32, u32)> {
        let hole = self.hole()?;
        let sequence = self.first_early()?.sequence;
        self.advance(sequence);
        Some(hole)
    }

    /// Forgets what waits.
    pub(super) fn forget_early(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.early = VecDeque::new();
            waiting.octets = 0;
        }
    }
}

/// The octets `from..to` of a segment.
fn cut(early: &Early, from: u32, to: u32) -> Early {
    let index = |n: u32| {
        usize::try_from(n)
            .unwrap_or(usize::MAX)
            .min(early.octets.len())
    };
    let (start, end) = (index(from), index(to.max(from)));
    Early {
        sequence: early.sequence.wrapping_add(from),
        octets: early.octets.get(start..end).unwrap_or_default().into(),
        len: to.saturating_sub(from),
        at: early.at,
    }
}

/// Whether two segments that overlap say different things there.
fn conflict(known: &Early, new: &Early) -> bool {
    let (a, b) = if before(known.sequence, new.sequence) {
        (known, new)
    } else {
        (new, known)
    };
    let skip = usize::try_from(b.sequence.wrapping_sub(a.sequence)).unwrap_or(usize::MAX);
    a.octets
        .get(skip..)
        .unwrap_or_default()
        .iter()
        .zip(b.octets.iter())
        .any(|(a, b)| a != b)
}
