//! Openings of IPv4 by their ends: records of one cache line each, in the order in which they
//! came, and an index of words to them.
//!
//! A span port sees SYNs by the million, nearly all of them once. What is asked of the table is
//! whether it knows one, and that is told from one word; what it does not know is put behind
//! what came last. Nothing is moved where it grows but the words.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::{Entry, FREE, V4};
use crate::tables::Blocks;
use crate::time::Timestamp;

/// An opening and its ends.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Slot {
    pub(super) key: V4,
    pub(super) entry: Entry,
}

/// Slots of one piece of memory: 64 KiB.
const EACH: usize = 1024;

/// Slots that stand where they were put.
pub(super) type Slots = Blocks<Slot, EACH>;

/// A word of the index: eight bits of the hash, and the number of a slot from 1. All zero where
/// nothing is; without a number where something was.
const NUMBER: u32 = 0x00ff_ffff;
const GONE: u32 = 1 << 24;

/// The table.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Slots,
    index: Box<[u32]>,
    /// Words that are not zero.
    used: usize,
    len: usize,
    /// Slots that are free, each with the number of the next; 0 where none is.
    free: u32,
    hasher: RandomState,
}

impl Table {
    /// How many there may be.
    const MOST: usize = NUMBER as usize - 1;

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn hash(&self, key: &V4) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The word where a search begins.
    #[inline]
    pub(super) fn touch(&self, hash: u64) -> u32 {
        let mask = self.index.len().wrapping_sub(1);
        self.index.get(place(hash, mask)).copied().unwrap_or(0)
    }

    /// Something of the first record that a search may look at.
    #[inline]
    pub(super) fn touch_record(&self, hash: u64) -> u32 {
        let mask = self.index.len().wrapping_sub(1);
        let (mut at, tag) = (place(hash, mask), tag(hash));
        while let Some(word) = self.index.get(at)
            && *word != 0
        {
            if word & !NUMBER == tag {
                let slot = self.slot(word & NUMBER);
                return slot.map_or(0, |slot| slot.entry.sequence);
            }
            at = (at + 1) & mask;
        }
        0
    }

    /// The number of a slot, and where its word stands.
    #[inline]
    fn find(&self, key: &V4, hash: u64) -> Option<(u32, usize)> {
        let mask = self.index.len().wrapping_sub(1);
        let (mut at, tag) = (place(hash, mask), tag(hash));
        loop {
            let word = *self.index.get(at)?;
            if word & !NUMBER == tag
                && let Some(slot) = self.slot(word & NUMBER)
                && slot.key == *key
            {
                return Some((word & NUMBER, at));
            }
            if word == 0 {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    #[inline]
    fn slot(&self, number: u32) -> Option<&Slot> {
        self.slots.get(number.wrapping_sub(1))
    }

    #[inline]
    fn slot_mut(&mut self, number: u32) -> Option<&mut Slot> {
        self.slots.get_mut(number.wrapping_sub(1))
    }

    #[inline]
    pub(super) fn get(&self, key: &V4) -> Option<&Entry> {
        let (number, _) = self.find(key, self.hash(key))?;
        self.slot(number).map(|slot| &slot.entry)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: &V4) -> Option<&mut Entry> {
        let (number, _) = self.find(key, self.hash(key))?;
        self.slot_mut(number).map(|slot| &mut slot.entry)
    }

    /// What is known, or else `make`, which is added where there is room.
    #[inline]
    pub(super) fn known_or(
        &mut self,
        key: &V4,
        hash: u64,
        has_room: bool,
        make: impl FnOnce() -> Entry,
    ) -> Option<&mut Entry> {
        let number = match self.find(key, hash) {
            Some((number, _)) => number,
            None if has_room && self.len < Self::MOST => {
                let entry = make();
                self.add(Slot { key: *key, entry }, hash)
            }
            None => return None,
        };
        self.slot_mut(number).map(|slot| &mut slot.entry)
    }

    fn add(&mut self, slot: Slot, hash: u64) -> u32 {
        if (self.used + 1) * 2 > self.index.len() {
            self.index_anew();
        }
        let number = self.put(slot);
        self.used += usize::from(set(&mut self.index, hash, number));
        self.len += 1;
        number
    }

    /// Puts a slot where one is free, or behind all others.
    fn put(&mut self, slot: Slot) -> u32 {
        let free = self.free;
        if let Some(place) = self.slot_mut(free) {
            let next = std::mem::replace(place, slot).entry.next_free();
            self.free = next;
            return free;
        }
        self.slots.push(slot).saturating_add(1)
    }

    pub(super) fn remove(&mut self, key: &V4) -> Option<Entry> {
        let (number, at) = self.find(key, self.hash(key))?;
        if let Some(word) = self.index.get_mut(at) {
            *word = GONE;
        }
        let next = self.free;
        let slot = self.slot_mut(number)?;
        let entry = std::mem::replace(&mut slot.entry, Entry::free(next));
        self.free = number;
        self.len -= 1;
        if self.len == 0 && self.slots.room() > EACH {
            *self = Self::default();
        }
        Some(entry)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| slot.is_taken())
    }

    /// Takes out what was quiet since `before`, and gives it to `over`.
    pub(super) fn expire(&mut self, before: Timestamp, mut over: impl FnMut(Slot)) {
        let mut free = self.free;
        let len = self.len;
        for (number, slot) in (1..).zip(self.slots.iter_mut()) {
            if slot.is_taken() && slot.entry.last() <= before {
                let gone = Entry::free(free);
                over(Slot {
                    key: slot.key,
                    entry: std::mem::replace(&mut slot.entry, gone),
                });
                free = number;
                self.len -= 1;
            }
        }
        self.free = free;
        if self.len == 0 {
            *self = Self::default();
        } else if self.close_up() || self.len < len {
            self.index_anew();
        }
    }

    /// Gives back slots where most are free, so that going through all costs what they are worth;
    /// `true` where the index has to be made anew then.
    fn close_up(&mut self) -> bool {
        if self.slots.room() <= (self.len * 4).max(EACH) {
            return false;
        }
        let mut slots = Slots::default();
        for block in std::mem::take(&mut self.slots).into_blocks() {
            for slot in block.into_iter().filter(Slot::is_taken) {
                slots.push(slot);
            }
        }
        self.slots = slots;
        self.free = 0;
        true
    }

    /// Takes out all of them.
    pub(super) fn take(&mut self) -> Slots {
        std::mem::take(self).slots
    }

    /// Makes the index again, with room for as many more. That is not needed again before a part
    /// of all slots was used, which pays for going through them.
    #[cold]
    fn index_anew(&mut self) {
        let size = (self.len * 4)
            .max(self.slots.room())
            .max(EACH)
            .next_power_of_two();
        let mut index = vec![0; size].into_boxed_slice();
        for (number, slot) in (1..).zip(self.slots.iter()) {
            if slot.is_taken() {
                set(&mut index, self.hash(&slot.key), number);
            }
        }
        self.used = self.len;
        self.index = index;
    }
}

impl Slot {
    #[inline]
    pub(super) const fn is_taken(&self) -> bool {
        !self.entry.has(FREE)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower bits of the hash"
)]
#[inline]
const fn place(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}

#[inline]
const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32 & !NUMBER
}

/// Notes a slot in the index: in place of one that is gone, or, then `true`, where nothing was.
#[inline]
fn set(index: &mut [u32], hash: u64, number: u32) -> bool {
    let mask = index.len().wrapping_sub(1);
    let mut at = place(hash, mask);
    while let Some(word) = index.get_mut(at) {
        if *word & NUMBER == 0 {
            let fresh = *word == 0;
            *word = tag(hash) | number;
            return fresh;
        }
        at = (at + 1) & mask;
    }
    false
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Key, Openings, Over, join};
    use super::*;
    use crate::assemble::tcp::At;
    use crate::time::Span;

    fn key(n: u16) -> V4 {
        let [a, b] = n.to_be_bytes();
        V4([10, 0, a, b, 0x80, 0, 10, 1, 0, 0, 1, 187, 0, 0])
    }

    fn entry(n: u16) -> Entry {
        let time = Timestamp(0) + Span::from_millis(i64::from(n));
        let at = At::new(0, u64::from(n), time);
        Entry::new(at, true)
    }

    fn frame(entry: &Entry) -> u64 {
        join(entry.frame)
    }

    fn put(openings: &mut Openings, key: Key, time: u16) {
        let hash = openings.hash(&key);
        openings.known_or((&key, hash), usize::MAX, || entry(time));
    }

    /// The same sequence of numbers at each run.
    fn numbers() -> impl Iterator<Item = u16> {
        let mut state = 7_u64;
        std::iter::from_fn(move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            u16::try_from(state >> 48).ok()
        })
    }

    #[test]
    fn it_knows_what_a_map_knows() {
        let mut table = Table::default();
        let mut map = BTreeMap::new();
        for (n, other) in (0..60_000_u16).zip(numbers()) {
            let (put, gone) = (other % 5000, other / 3 % 5000);
            let hash = table.hash(&key(put));
            let made = table.known_or(&key(put), hash, true, || entry(n));
            let made = made.map(|entry| frame(entry));
            assert_eq!(made, Some(u64::from(*map.entry(put).or_insert(n))));
            if other % 3 > 0 {
                let removed = table.remove(&key(gone)).map(|entry| frame(&entry));
                assert_eq!(removed, map.remove(&gone).map(u64::from));
            }
            assert_eq!(table.len(), map.len());
        }
        for n in 0..5000 {
            let known = table.get(&key(n)).map(frame);
            assert_eq!(known, map.get(&n).copied().map(u64::from), "{n}");
        }
        assert_eq!(table.iter().count(), map.len());
        let room = table.slots.room();
        assert!(room < 2 * 5000, "places are used again: {room}");
        assert!(table.index.len() <= 8 * 5000, "{}", table.index.len());
    }

    #[test]
    fn nothing_is_added_where_there_is_no_room() {
        let mut table = Table::default();
        let mut put = |n, has_room, value| {
            let hash = table.hash(&key(n));
            let entry = table.known_or(&key(n), hash, has_room, || entry(value));
            entry.map(|entry| frame(entry))
        };
        assert_eq!(put(1, false, 1), None);
        assert_eq!(put(1, true, 1), Some(1));
        assert_eq!(put(1, false, 2), Some(1));
        assert_eq!(put(2, false, 2), None);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn what_is_over_comes_in_order_of_time() {
        let mut openings = Openings::default();
        for (n, time) in (0..9000).zip(numbers()) {
            put(&mut openings, Key::V4(key(n).0), time);
            if n % 3 == 0 {
                let mut six = [0; 38];
                six[..2].copy_from_slice(&n.to_be_bytes());
                put(&mut openings, Key::V6(six), time);
            }
        }
        let half = Timestamp(0) + Span::from_millis(1 << 15);
        let over = openings.expire(half, |key, _| key.capture() == 0);
        let first: Vec<_> = over.map(|(key, entry)| (frame(&entry), key)).collect();
        assert!(first.is_sorted() && first.iter().all(|(frame, _)| *frame <= 1 << 15));
        assert_eq!(first.len() + openings.len(), 12_000);
        let rest: Vec<_> = openings
            .expire(Timestamp::MAX, |_, _| true)
            .map(|(key, entry)| (frame(&entry), key))
            .collect();
        assert!(rest.is_sorted() && rest.iter().all(|(frame, _)| *frame > 1 << 15));
        assert_eq!((first.len() + rest.len(), openings.len()), (12_000, 0));
        let mut none = openings.expire(Timestamp::MAX, |_, _| true);
        assert!(Over::is_empty(&mut none) && none.next().is_none());
    }

    #[test]
    fn what_is_left_takes_no_more_than_it_is_worth() {
        let mut table = Table::default();
        let put = |table: &mut Table, n, time| {
            let hash = table.hash(&key(n));
            table
                .known_or(&key(n), hash, true, || entry(time))
                .is_some()
        };
        assert!((0..50_000).all(|n| put(&mut table, n, if n % 100 == 7 { 9 } else { 1 })));
        let mut over = 0;
        table.expire(Timestamp(0) + Span::from_millis(5), |_| over += 1);
        assert_eq!((over, table.len()), (49_500, 500));
        assert_eq!((table.slots.room(), table.free), (EACH, 0));
        assert!((0..50_000).all(|n| table.get(&key(n)).is_some() == (n % 100 == 7)));
        // Most taken out one by one: the index is not made anew for each few that follow.
        assert!((0..50_000).all(|n| put(&mut table, n, 9)));
        assert!((0..49_999).all(|n| table.remove(&key(n)).is_some()));
        let slots = table.slots.room();
        let mut made = 0;
        for n in 0..u16::try_from(slots).unwrap() {
            let used = table.used;
            assert!(put(&mut table, n % 600, 9) && table.remove(&key(n % 600)).is_some());
            made += usize::from(table.used < used);
        }
        assert!(made <= 8, "{made} times for {slots} slots");
        table.expire(Timestamp(0), |_| unreachable!());
        assert_eq!((table.len(), table.slots.room()), (1, EACH));
        assert_eq!(table.get(&key(49_999)).map(frame), Some(9));
    }

    #[test]
    fn what_came_in_order_is_given_as_it_lies() {
        let mut openings = Openings::default();
        for n in 0..3000 {
            put(&mut openings, Key::V4(key(n).0), n);
        }
        let over = openings.expire(Timestamp::MAX, |_, entry| frame(entry) % 2 == 1);
        let frames: Vec<_> = over.map(|(_, entry)| frame(&entry)).collect();
        assert!(frames.iter().copied().eq((1..3000).step_by(2)));
    }
}
