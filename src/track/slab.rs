//! Open sessions and their deadlines.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;

use crate::time::{Span, Timestamp};
use crate::track::session::Session;

/// An open session and what the tracker needs to keep it.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) session: Box<Session>,
    /// Address pairs it is findable by.
    pub(crate) pairs: Vec<(IpAddr, IpAddr)>,
    /// How long it may be silent.
    pub(crate) idle: Span,
    last_seen: Timestamp,
    generation: u32,
    /// Octets it took when it was weighed.
    weight: usize,
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
    next_generation: u32,
    next_id: u32,
    len: usize,
    /// Octets of all sessions.
    held: usize,
    /// The session that was changed last.
    changed: Option<u32>,
}

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
        self.next_id += 1;
        self.next_generation = self.next_generation.wrapping_add(1);
        session.id = self.next_id;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let open = Open {
            session: Box::new(session),
            pairs: Vec::new(),
            idle: Span::from_secs(600),
            last_seen: now,
            generation: self.next_generation,
            weight: 0,
            looked: (0, now),
        };
        self.note_deadline((now + open.idle, index, open.generation));
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

    /// Octets that open sessions take.
    pub(crate) const fn held(&self) -> usize {
        self.held
    }

    /// Finds out how much a session takes now.
    fn weigh(&mut self, index: u32) {
        let slot = self.slots.get_mut(index as usize);
        if let Some(open) = slot.and_then(Option::as_mut) {
            let weight = open.session.octets();
            self.held = (self.held + weight).saturating_sub(open.weight);
            open.weight = weight;
        }
    }

    /// Finds out how much the session takes that was changed last.
    pub(crate) fn weigh_changed(&mut self) {
        if let Some(index) = self.changed {
            self.weigh(index);
        }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Open> {
        self.slots.get(index as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Open> {
        self.changed = Some(index);
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
        Some(self.get(self.changed?)?.session.id)
    }

    /// Notes activity, and how long silence may last from now on.
    pub(crate) fn touch(&mut self, index: u32, now: Timestamp, idle: Span) {
        let Some(open) = self.get_mut(index) else {
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
        let Some(open) = self.get_mut(index) else {
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
        Some(open)
    }

    /// Brings the earliest true deadline to the top.
    fn settle(&mut self) -> Option<(Timestamp, u32)> {
        while let Some(Reverse((noted, index, generation))) = self.due.peek().copied() {
            let open = self.get(index).filter(|open| open.generation == generation);
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

    /// The session that will be closed first if nothing comes.
    pub(crate) fn oldest(&mut self) -> Option<u32> {
        self.settle().map(|(_, index)| index)
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.due.peek().map(|Reverse((noted, ..))| *noted)
    }

    /// Sessions whose silence has reached the next of these lengths.
    pub(crate) fn silent(&mut self, now: Timestamp, lengths: &[Span]) -> Vec<u32> {
        let mut all = Vec::new();
        for (index, slot) in (0u32..).zip(&mut self.slots) {
            let Some(open) = slot else { continue };
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
            .filter_map(|(index, slot)| slot.as_ref().map(|open| (open.session.id, index)))
            .collect();
        all.sort_unstable();
        all.into_iter().map(|(_, index)| index).collect()
    }
}
