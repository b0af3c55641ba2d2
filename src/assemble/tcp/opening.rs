//! Connections that have not carried an octet yet: 64 octets of memory each.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{Opening, Rewritten};
use crate::time::Timestamp;

mod entry;
mod key;
mod over;
mod table;

pub(super) use entry::Entry;
use entry::{FREE, join};
pub(super) use key::Key;
use key::V4;
pub(super) use over::Over;
use table::{Slot, Slots, Table};

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
        let mut over = Slots::default();
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
        Over::of(over.into_blocks()).and(v6)
    }

    /// The same for all of them: the capture ended.
    fn expire_all(&mut self, mut matters: impl FnMut(&Key, &Entry) -> bool) -> Over {
        let mut blocks = self.v4.take().into_blocks();
        for block in &mut blocks {
            block.retain(|slot| slot.is_taken() && matters(&Key::V4(slot.key.0), &slot.entry));
        }
        let v6 = std::mem::take(&mut self.v6).into_iter();
        let v6 = v6.map(|(key, entry)| (Key::V6(key), entry));
        let v6 = v6.filter(|(key, entry)| matters(key, entry)).collect();
        Over::of(blocks).and(v6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Slot>(), 64);
    }
}
