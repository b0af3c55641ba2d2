//! A room in which what came too early waits a moment: lists of what belongs together, a
//! deadline for each thing, and budgets.

use std::collections::VecDeque;
use std::hash::Hash;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::time::{Span, Timestamp};

/// How long something waits for what should stand before it: queues and clocks of a capturing
/// host differ by less.
pub const PATIENCE: Span = Span::from_millis(20);
/// Things of one list that wait.
const EACH: usize = 64;
/// Things that wait altogether.
const ALL: usize = 16_384;
/// Octets that wait altogether.
const OCTETS: usize = 8 << 20;

/// All that waits, `T`, in lists by `K`.
#[derive(Debug)]
pub struct Waiting<K, T> {
    lists: HashMap<K, Vec<Entry<T>>, RandomState>,
    /// One entry for each thing, as they came.
    queue: VecDeque<(Timestamp, K)>,
    octets: usize,
    /// The latest time that was seen: patience never runs backwards.
    clock: Timestamp,
}

#[derive(Debug)]
struct Entry<T> {
    until: Timestamp,
    octets: usize,
    what: T,
}

impl<K, T> Default for Waiting<K, T> {
    fn default() -> Self {
        Self {
            lists: HashMap::default(),
            queue: VecDeque::new(),
            octets: 0,
            clock: Timestamp(i64::MIN),
        }
    }
}

impl<K: Copy + Eq + Hash, T> Waiting<K, T> {
    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Whether something of a list waits.
    pub fn holds(&self, key: &K) -> bool {
        !self.lists.is_empty() && self.lists.contains_key(key)
    }

    /// When the first thing has waited long enough.
    #[inline]
    pub fn deadline(&self) -> Timestamp {
        self.queue
            .front()
            .map_or(Timestamp::MAX, |(until, _)| *until)
    }

    /// What waits of a list.
    pub fn list(&self, key: &K) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        let list = self.lists.get(key).map_or(&[][..], Vec::as_slice);
        list.iter().map(|entry| &entry.what)
    }

    /// Whether there is room for one more.
    pub fn has_room(&self, key: &K) -> bool {
        self.queue.len() < ALL
            && self.octets < OCTETS
            && self.lists.get(key).is_none_or(|list| list.len() < EACH)
    }

    /// Puts something of so many octets, that came at `time`, at a place of its list; tells
    /// whether it is the only one there.
    pub fn keep(&mut self, key: &K, time: Timestamp, octets: usize, at: usize, what: T) -> bool {
        self.clock = self.clock.max(time);
        let until = self.clock + PATIENCE;
        let octets = octets + size_of::<T>();
        self.octets += octets;
        self.queue.push_back((until, *key));
        let list = self.lists.entry(*key).or_default();
        let entry = Entry {
            until,
            octets,
            what,
        };
        list.insert(at.min(list.len()), entry);
        list.len() == 1
    }

    /// Takes something out of a list, and tells whether it was the last one.
    pub fn take(&mut self, key: &K, at: usize) -> Option<(T, bool)> {
        let list = self.lists.get_mut(key)?;
        if at >= list.len() {
            return None;
        }
        let entry = list.remove(at);
        self.octets = self.octets.saturating_sub(entry.octets);
        let over = list.is_empty();
        if over {
            self.lists.remove(key);
            if self.lists.is_empty() {
                self.queue.clear();
            }
        }
        Some((entry.what, over))
    }

    /// A list of which something waited until `now`.
    pub fn due(&mut self, now: Timestamp) -> Option<K> {
        while let Some((until, key)) = self.queue.front().copied() {
            if until > now {
                return None;
            }
            if self.is_late(&key, until) {
                return Some(key);
            }
            self.queue.pop_front();
        }
        None
    }

    /// Whether something of a list waited until `now`.
    pub fn is_late(&self, key: &K, now: Timestamp) -> bool {
        let late = |list: &Vec<Entry<T>>| list.iter().any(|entry| entry.until <= now);
        self.lists.get(key).is_some_and(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp(0) + Span::from_millis(ms)
    }

    #[test]
    fn everything_waits_its_time_whatever_goes_before_it() {
        let mut waiting = Waiting::<u8, &str>::default();
        assert_eq!(waiting.deadline(), Timestamp::MAX);
        assert!(waiting.keep(&1, at(0), 1, 0, "b"));
        assert!(!waiting.keep(&1, at(5), 1, 0, "a"));
        assert!(waiting.keep(&2, at(1), 1, 9, "c"));
        assert_eq!(waiting.list(&1).copied().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(waiting.deadline(), at(20));
        assert_eq!(waiting.due(at(19)), None);
        assert_eq!(waiting.due(at(20)), Some(1));
        assert_eq!(waiting.take(&1, 1), Some(("b", false)));
        // What came after a later time waits from then on.
        assert_eq!(waiting.due(at(24)), None);
        assert_eq!(waiting.due(at(25)), Some(1));
        assert_eq!(waiting.take(&1, 0), Some(("a", true)));
        assert_eq!(waiting.due(at(25)), Some(2));
        assert_eq!(waiting.take(&2, 1), None);
        assert_eq!(waiting.take(&2, 0), Some(("c", true)));
        assert!(waiting.is_empty() && waiting.deadline() == Timestamp::MAX);
    }

    #[test]
    fn room_is_bounded_for_each_and_for_all() {
        let mut waiting = Waiting::<usize, ()>::default();
        let mut kept = 0;
        while waiting.has_room(&0) {
            waiting.keep(&0, at(0), 1, 0, ());
            kept += 1;
        }
        assert_eq!(kept, EACH);
        let mut key = 0;
        while waiting.has_room(&key) || key == 0 {
            key += 1;
            waiting.keep(&key, at(0), OCTETS / 100, 0, ());
        }
        assert_eq!(key, 100);
        for key in 1..=key {
            waiting.take(&key, 0).unwrap();
        }
        while waiting.take(&0, 0).is_some() {}
        while waiting.has_room(&key) {
            key += 1;
            waiting.keep(&key, at(0), 0, 0, ());
        }
        assert_eq!(key, ALL + 100);
    }
}
