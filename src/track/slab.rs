//! Open sessions and their deadlines.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::time::{Span, Timestamp};
use crate::track::nap::Nap;
use crate::track::pack::Shared;
use crate::track::pairs::FoundBy;
use crate::track::session::Session;

/// An open session and what the tracker needs to keep it.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) session: Nap,
    /// Its number.
    pub(crate) id: u32,
    /// Address pairs it is findable by.
    pub(crate) pairs: FoundBy,
    /// How long it may be silent.
    pub(crate) idle: Span,
    last_seen: Timestamp,
    generation: u32,
    /// Octets it took when it was weighed.
    weight: usize,
    /// When it was changed last, counted in changes.
    changed: u64,
    /// Octets that others hold for it.
    burden: usize,
    /// It cannot be packed, or is not worth it.
    restless: bool,
    /// How often it was looked at since it was seen, and when that was.
    looked: (usize, Timestamp),
}

/// Open sessions by a small index that stays the same while they are open.
#[derive(Debug, Default)]
pub(crate) struct Slab {
    slots: Vec<Option<Open>>,
    free: Vec<u32>,
    /// Deadlines as they were when noted; a session that was active since is put back.
    due: BinaryHeap<Reverse<(Timestamp, u32, u32)>>,
    /// Sessions by when they were last seen, as that was when noted. Empty until there are too
    /// many of them for the first time.
    quiet: BinaryHeap<Reverse<(Timestamp, u32, u32)>>,
    next_generation: u32,
    next_id: u32,
    len: usize,
    /// Octets of all sessions, and of those among them that are awake.
    held: usize,
    awake: usize,
    /// The session that was changed last.
    changed: Option<u32>,
    /// What packed sessions share.
    shared: Shared,
    /// Sessions that are awake: index, generation, and when it was changed last as far as that is
    /// known here. The next one that may fall asleep is in front.
    waking: VecDeque<(u32, u32, u64)>,
    /// Sessions that were looked at while asleep: they were unpacked for it.
    disturbed: RefCell<Vec<u32>>,
    /// Changes of sessions so far.
    changes: u64,
}

/// Octets of the heaviest session that is packed: one that a stranger blew up would cost more with
/// every packet of it than it is worth.
const HEAVIEST: usize = 64 << 10;
/// Sessions that are looked at for sleep after an event, at most.
const TRIED: usize = 2;
/// Generation of what is over and only waits to be taken: no deadline and no list means it.
const RETIRED: u32 = 0;
/// Octets that a session takes wherever it is found by.
const FOUND_BY: usize = 512;

impl Slab {
    /// Nothing open; sessions are numbered on from here.
    pub(crate) fn numbered_from(number: u32) -> Self {
        Self {
            next_id: number,
            ..Self::default()
        }
    }

    /// The highest number so far.
    pub(crate) const fn numbered(&self) -> u32 {
        self.next_id
    }

    /// Numbers a session that is not kept here.
    pub(crate) fn take_number(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, mut session: Session, now: Timestamp) -> u32 {
        session.id = self.take_number();
        self.insert_numbered(session, now)
    }

    /// Keeps a session that has a number.
    pub(crate) fn insert_numbered(&mut self, session: Session, now: Timestamp) -> u32 {
        self.next_generation = self.next_generation.wrapping_add(1).max(RETIRED + 1);
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        self.changes += 1;
        let open = Open {
            id: session.id,
            session: Nap::awake(Box::new(session)),
            pairs: FoundBy::default(),
            idle: Span::from_secs(600),
            last_seen: now,
            generation: self.next_generation,
            weight: 0,
            changed: self.changes,
            burden: 0,
            restless: false,
            looked: (0, now),
        };
        self.waking
            .push_back((index, open.generation, self.changes));
        self.note_deadline((now + open.idle, index, open.generation));
        if !self.quiet.is_empty() {
            self.note_quiet((now, index, open.generation));
        }
        if let Some(slot) = self.slots.get_mut(index as usize) {
            *slot = Some(open);
        }
        self.len += 1;
        self.weigh(index);
        index
    }

    /// Notes when a session may be over. Those of sessions that were let go of meanwhile are
    /// forgotten when they are the greater part.
    fn note_deadline(&mut self, entry: (Timestamp, u32, u32)) {
        if self.due.len() > 2 * self.len + 4096 {
            let slots = &self.slots;
            self.due.retain(|Reverse((_, index, generation))| {
                slots
                    .get(*index as usize)
                    .and_then(Option::as_ref)
                    .is_some_and(|open| open.generation == *generation)
            });
        }
        self.due.push(Reverse(entry));
    }

    /// Notes when a session was last seen, with the same care as for deadlines.
    fn note_quiet(&mut self, entry: (Timestamp, u32, u32)) {
        if self.quiet.len() > 2 * self.len + 4096 {
            let slots = &self.slots;
            self.quiet.retain(|Reverse((_, index, generation))| {
                slots
                    .get(*index as usize)
                    .and_then(Option::as_ref)
                    .is_some_and(|open| open.generation == *generation)
            });
        }
        self.quiet.push(Reverse(entry));
    }

    /// Octets that open sessions take.
    pub(crate) const fn held(&self) -> usize {
        self.held
    }

    /// Finds out how much a session takes now.
    fn weigh(&mut self, index: u32) {
        let slot = self.slots.get_mut(index as usize);
        if let Some(open) = slot.and_then(Option::as_mut)
            && !open.session.is_asleep()
        {
            let weight = open.session.octets() + FOUND_BY + open.burden;
            self.held = (self.held + weight).saturating_sub(open.weight);
            self.awake = (self.awake + weight).saturating_sub(open.weight);
            open.weight = weight;
        }
    }

    /// Adds octets that others hold for a session, whether it is awake or not.
    pub(crate) fn burden(&mut self, index: u32, octets: usize) {
        if let Some(Some(open)) = self.slots.get_mut(index as usize) {
            open.burden += octets;
            open.weight += octets;
            self.held += octets;
            if !open.session.is_asleep() {
                self.awake += octets;
            }
        }
    }

    /// Lets sessions fall asleep that were not changed for the longest time, while those awake
    /// take more than `room`; only those last seen at `quiet_since` at the latest, and of which
    /// `may` says that they may.
    pub(crate) fn doze(
        &mut self,
        room: usize,
        quiet_since: Timestamp,
        may: impl Fn(&Open) -> bool,
    ) {
        self.settle_disturbed();
        let mut tried = 0;
        while self.awake > room && tried < TRIED {
            tried += 1;
            let Some((index, generation, changed)) = self.waking.front().copied() else {
                return;
            };
            if self.is_lively(index, generation, changed, quiet_since) {
                // Those behind it were changed later.
                return;
            }
            self.waking.pop_front();
            let slot = self.slots.get_mut(index as usize);
            let Some(open) = slot
                .and_then(Option::as_mut)
                .filter(|open| open.generation == generation && !open.session.is_asleep())
            else {
                continue;
            };
            let quiet = open.changed == changed && !open.restless;
            if quiet && open.weight <= HEAVIEST && may(open) && open.session.sleep(&mut self.shared)
            {
                let weight = open.session.packed() + FOUND_BY + open.burden;
                self.awake = self.awake.saturating_sub(open.weight);
                self.held = (self.held + weight).saturating_sub(open.weight);
                open.weight = weight;
            } else {
                // What could not be packed is tried again when it has changed.
                open.restless = quiet;
                self.waking.push_back((index, generation, open.changed));
            }
        }
    }

    /// Whether a session that is awake was not changed since that was noted, and was seen after
    /// `quiet_since`.
    fn is_lively(&self, index: u32, generation: u32, changed: u64, quiet_since: Timestamp) -> bool {
        let slot = self.slots.get(index as usize).and_then(Option::as_ref);
        slot.is_some_and(|open| {
            open.generation == generation
                && open.changed == changed
                && open.last_seen > quiet_since
                && !open.session.is_asleep()
        })
    }

    /// Forgets what was unpacked to be looked at.
    pub(crate) fn settle_disturbed(&mut self) {
        for index in self.disturbed.get_mut().drain(..) {
            if let Some(Some(open)) = self.slots.get_mut(index as usize) {
                open.session.settle();
            }
        }
    }

    /// What packed sessions share.
    pub(in crate::track) const fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Finds out how much the session takes that was changed last.
    pub(crate) fn weigh_changed(&mut self) {
        if let Some(index) = self.changed {
            self.weigh(index);
        }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Open> {
        let open = self.slots.get(index as usize)?.as_ref()?;
        if open.session.is_asleep() {
            self.disturb(index, open)?;
        }
        Some(open)
    }

    #[cold]
    fn disturb(&self, index: u32, open: &Open) -> Option<()> {
        if open.session.disturb(&self.shared)? {
            self.disturbed.borrow_mut().push(index);
        }
        Some(())
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Open> {
        self.changed = Some(index);
        self.changes += 1;
        let open = self.slots.get_mut(index as usize)?.as_mut()?;
        open.changed = self.changes;
        open.restless = false;
        if open.session.is_asleep() {
            open.session.wake(&self.shared)?;
            self.awake += open.weight;
            self.waking
                .push_back((index, open.generation, self.changes));
        }
        Some(open)
    }

    /// A session that is awake, without noting that it was looked at.
    #[inline]
    pub(crate) fn if_awake(&self, index: u32) -> Option<&Session> {
        self.slots.get(index as usize)?.as_ref()?.session.if_awake()
    }

    /// What is known of a session without looking at it.
    pub(crate) fn aside(&mut self, index: u32) -> Option<&mut Open> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    /// Notes which session was changed without being looked up.
    pub(crate) fn note_changed(&mut self, index: u32) {
        self.changed = Some(index);
    }

    /// Forgets which session was changed last.
    pub(crate) fn forget_changed(&mut self) {
        self.changed = None;
    }

    /// Number of the session that was changed last.
    pub(crate) fn changed(&self) -> Option<u32> {
        let index = self.changed? as usize;
        Some(self.slots.get(index)?.as_ref()?.id)
    }

    /// Notes activity, and how long silence may last from now on.
    pub(crate) fn touch(&mut self, index: u32, now: Timestamp, idle: Span) {
        self.changed = Some(index);
        let Some(open) = self.aside(index) else {
            return;
        };
        open.last_seen = open.last_seen.max(now);
        let shortened = idle < open.idle;
        open.idle = idle;
        if shortened {
            let entry = (open.last_seen + idle, index, open.generation);
            self.note_deadline(entry);
        }
    }

    /// Notes activity at `used` that was not told at once; `false` where even so the silence
    /// has lasted too long.
    pub(crate) fn extend(&mut self, index: u32, used: Timestamp, now: Timestamp) -> bool {
        self.changed = Some(index);
        let Some(open) = self.aside(index) else {
            return false;
        };
        open.last_seen = open.last_seen.max(used);
        let (deadline, generation) = (open.last_seen + open.idle, open.generation);
        if deadline <= now {
            return false;
        }
        self.note_deadline((deadline, index, generation));
        true
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<Open> {
        let open = self.slots.get_mut(index as usize)?.take()?;
        self.free.push(index);
        self.len -= 1;
        self.held = self.held.saturating_sub(open.weight);
        if !open.session.is_asleep() {
            self.awake = self.awake.saturating_sub(open.weight);
        }
        Some(open)
    }

    /// Counts a session as over that stays here until it is taken; gives it, and what packed ones
    /// share.
    pub(in crate::track) fn retire(&mut self, index: u32) -> Option<(&mut Open, &Shared)> {
        let open = self.slots.get_mut(index as usize)?.as_mut()?;
        open.generation = RETIRED;
        self.len -= 1;
        self.held = self.held.saturating_sub(open.weight);
        if !open.session.is_asleep() {
            self.awake = self.awake.saturating_sub(open.weight);
        }
        Some((open, &self.shared))
    }

    /// Takes a session that was retired.
    pub(crate) fn take_retired(&mut self, index: u32) -> Option<Nap> {
        let slot = self.slots.get_mut(index as usize)?;
        let open = slot.take_if(|open| open.generation == RETIRED)?;
        self.free.push(index);
        Some(open.session)
    }

    /// Brings the earliest true deadline to the top.
    fn settle(&mut self) -> Option<(Timestamp, u32)> {
        while let Some(Reverse((noted, index, generation))) = self.due.peek().copied() {
            let slot = self.slots.get(index as usize).and_then(Option::as_ref);
            let open = slot.filter(|open| open.generation == generation);
            let deadline = open.map(|open| open.last_seen + open.idle);
            match deadline {
                Some(deadline) if deadline <= noted => return Some((deadline, index)),
                Some(deadline) => {
                    self.due.pop();
                    self.due.push(Reverse((deadline, index, generation)));
                }
                None => {
                    self.due.pop();
                }
            }
        }
        None
    }

    /// A session whose silence has lasted too long.
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<u32> {
        let Reverse((noted, ..)) = self.due.peek()?;
        if *noted > now {
            return None;
        }
        self.settle()
            .filter(|(deadline, _)| *deadline <= now)
            .map(|(_, index)| index)
    }

    /// The session that was quiet for longest. `used` says when something was seen of it that did
    /// not touch it.
    pub(crate) fn quietest(&mut self, used: impl Fn(u32) -> Option<Timestamp>) -> Option<u32> {
        if self.quiet.is_empty() {
            let slots = (0u32..).zip(&self.slots);
            let all = slots.filter_map(|(index, slot)| {
                let open = slot.as_ref().filter(|open| open.generation != RETIRED)?;
                Some(Reverse((open.last_seen, index, open.generation)))
            });
            self.quiet = all.collect();
        }
        while let Some(Reverse((noted, index, generation))) = self.quiet.pop() {
            let slot = self.slots.get_mut(index as usize).and_then(Option::as_mut);
            let Some(open) = slot.filter(|open| open.generation == generation) else {
                continue;
            };
            if let Some(used) = used(index) {
                open.last_seen = open.last_seen.max(used);
            }
            if open.last_seen <= noted {
                return Some(index);
            }
            self.quiet
                .push(Reverse((open.last_seen, index, generation)));
        }
        None
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.due.peek().map(|Reverse((noted, ..))| *noted)
    }

    /// Sessions whose silence has reached the next of these lengths.
    pub(crate) fn silent(&mut self, now: Timestamp, lengths: &[Span]) -> Vec<u32> {
        let mut all = Vec::new();
        for (index, slot) in (0u32..).zip(&mut self.slots) {
            let Some(open) = slot.as_mut().filter(|open| open.generation != RETIRED) else {
                continue;
            };
            if open.looked.1 != open.last_seen {
                open.looked = (0, open.last_seen);
            }
            let reached = |length: &&Span| open.last_seen + **length <= now;
            let reached = lengths.iter().take_while(reached).count();
            if reached > open.looked.0 {
                open.looked.0 = reached;
                all.push(index);
            }
        }
        all
    }

    /// Indices of all open sessions, oldest first.
    pub(crate) fn indices(&self) -> Vec<u32> {
        let mut all: Vec<(u32, u32)> = (0u32..)
            .zip(&self.slots)
            .filter_map(|(index, slot)| Some((slot.as_ref()?, index)))
            .filter(|(open, _)| open.generation != RETIRED)
            .map(|(open, index)| (open.id, index))
            .collect();
        all.sort_unstable();
        all.into_iter().map(|(_, index)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::session::{Detail, Endpoint, Kind, Stamp};

    #[test]
    fn a_session_is_packed_once_it_was_silent_long_enough() {
        let at = |ms| Timestamp::from_parts(1_700_000_000, 0) + Span::from_millis(ms);
        let mut slab = Slab::default();
        let mut open = |ms| {
            let end = |last| Endpoint {
                ip: [192, 0, 2, last].into(),
                port: 500,
            };
            let first = Stamp::new(0, 1, at(ms));
            let session = Session::empty(Kind::Esp, end(1), end(2), first, Detail::Esp);
            slab.insert(session, at(ms))
        };
        let (older, younger) = (open(0), open(300));
        let asleep = |slab: &mut Slab, now, room| {
            slab.doze(room, at(now) - Span::from_millis(500), |_| true);
            [older, younger].map(|index| slab.aside(index).is_some_and(|o| o.session.is_asleep()))
        };
        assert_eq!(asleep(&mut slab, 499, 0), [false, false]);
        assert_eq!(asleep(&mut slab, 500, usize::MAX), [false, false]);
        assert_eq!(asleep(&mut slab, 500, 0), [true, false]);
        // It goes on, and the other one is the one that was quiet for longer now.
        assert!(slab.get_mut(older).is_some());
        slab.touch(older, at(700), Span::from_secs(600));
        assert_eq!(asleep(&mut slab, 799, 0), [false, false]);
        assert_eq!(asleep(&mut slab, 1100, 0), [false, true]);
        assert_eq!(asleep(&mut slab, 1200, 0), [true, true]);
    }
}
