//! Where each ESP flow stands, by SPI and destination.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::RandomState;

/// An SPI is chosen by the receiver, so it is unique per destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) spi: u32,
    pub(super) destination: u128,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [low, high] = self.words();
        state.write_u64(low);
        state.write_u64(high);
    }
}

impl Key {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    #[inline]
    const fn words(&self) -> [u64; 2] {
        let low = self.destination as u64 ^ (self.spi as u64) << 32;
        [low, (self.destination >> 64) as u64]
    }
}

/// Places of flows; their keys stand there. One word leads to a flow: in its upper half the place
/// and one, in its lower half bits of the hash, which also say where it is looked for first: when
/// there are more words than before nothing else is read. Words that lie side by side are tried
/// one after the other.
#[derive(Debug)]
pub(super) struct Index {
    /// A power of two of them, or none. 0 was never used.
    words: Vec<u64>,
    /// Words that are not 0: those of flows, and those that were.
    used: usize,
    flows: usize,
    /// Drawn by lot, so that nobody can choose keys that get in each other's way.
    secret: [u64; 2],
}

/// What stands where a flow was.
const GONE: u64 = 1;
/// Words that there are at first.
const LEAST: usize = 64;

const fn word(place: u32, hash: u64) -> u64 {
    (place as u64 + 1) << 32 | hash & 0xffff_ffff
}

/// The place in a word that leads to a flow.
const fn place(word: u64) -> Option<u32> {
    ((word >> 32) as u32).checked_sub(1)
}

impl Default for Index {
    fn default() -> Self {
        let lot = RandomState::default();
        Self {
            words: Vec::new(),
            used: 0,
            flows: 0,
            secret: [lot.hash_one(0), lot.hash_one(1)],
        }
    }
}

impl Index {
    /// How many flows there are.
    pub(super) const fn len(&self) -> usize {
        self.flows
    }

    /// Octets that it takes.
    pub(super) const fn octets(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }

    /// The place of a flow. `is_it` tells whether the flow at a place is that of the key.
    #[expect(
        clippy::inline_always,
        reason = "measured: each packet of ESP is looked up"
    )]
    #[inline(always)]
    pub(super) fn get(&self, key: &Key, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = hash(self.secret, key);
        let mask = self.words.len().wrapping_sub(1);
        let mut at = home(hash) & mask;
        loop {
            let word = *self.words.get(at)?;
            if (word ^ hash) & 0xffff_ffff == 0
                && let Some(place) = place(word)
                && is_it(place)
            {
                return Some(place);
            }
            if word == 0 {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    /// The place that the first word of a key leads to: most likely its own.
    #[inline]
    pub(super) fn home_of(&self, key: &Key) -> Option<u32> {
        let mask = self.words.len().wrapping_sub(1);
        place(*self.words.get(home(hash(self.secret, key)) & mask)?)
    }

    /// Notes the place of a flow that has none yet.
    pub(super) fn insert(&mut self, key: &Key, place: u32) {
        if (self.used + 1) * 4 > self.words.len() * 3 {
            self.rebuild();
        }
        self.put(word(place, hash(self.secret, key)));
        self.flows += 1;
    }

    fn put(&mut self, word: u64) {
        let mask = self.words.len().wrapping_sub(1);
        let mut at = home(word) & mask;
        while let Some(slot) = self.words.get_mut(at) {
            if *slot == 0 {
                *slot = word;
                self.used += 1;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn rebuild(&mut self) {
        let room = ((self.flows + 1) * 2).next_power_of_two().max(LEAST);
        let before = std::mem::replace(&mut self.words, vec![0; room]);
        self.used = 0;
        let flows = before.into_iter().filter(|word| place(*word).is_some());
        flows.for_each(|word| self.put(word));
    }

    /// Forgets a flow.
    pub(super) fn remove(&mut self, key: &Key, place: u32) {
        let hash = hash(self.secret, key);
        let wanted = word(place, hash);
        let mask = self.words.len().wrapping_sub(1);
        let mut at = home(hash) & mask;
        while let Some(slot) = self.words.get_mut(at) {
            if *slot == 0 {
                return;
            }
            if *slot == wanted {
                *slot = GONE;
                self.flows -= 1;
                return;
            }
            at = (at + 1) & mask;
        }
    }
}

/// Where a flow is looked for first, by its hash or by the word that leads to it.
#[inline]
const fn home(word: u64) -> usize {
    (word & 0xffff_ffff) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "both halves are mixed")]
#[inline]
fn hash([one, two]: [u64; 2], key: &Key) -> u64 {
    let [low, high] = key.words();
    let product = u128::from(low ^ one).wrapping_mul(u128::from(high ^ two));
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flow_has_its_place_until_it_is_removed() {
        let key = |n: u32| Key {
            spi: 0x1000 + n / 2,
            destination: u128::from(n % 2) << 64 | u128::from(n % 7),
        };
        let keys: Vec<Key> = (0..5000).map(key).collect();
        let key_at = |place: u32| keys.get(place as usize).copied();
        let mut index = Index::default();
        let find = |index: &Index, key: &Key| index.get(key, |at| key_at(at) == Some(*key));
        for (key, place) in keys.iter().zip(0..) {
            assert_eq!(find(&index, key), None);
            index.insert(key, place);
        }
        for (key, place) in keys.iter().zip(0..).step_by(3) {
            index.remove(key, place);
        }
        for (key, place) in keys.iter().zip(0..) {
            let there = Some(place).filter(|place| place % 3 != 0);
            assert_eq!(find(&index, key), there);
        }
        assert_eq!(index.len(), 3333);
        // Coming and going does not fill it up.
        let octets = index.octets();
        for (key, place) in keys.iter().zip(0..).step_by(3).cycle().take(100_000) {
            index.insert(key, place);
            index.remove(key, place);
        }
        assert_eq!((index.len(), index.octets()), (3333, octets));
    }
}
