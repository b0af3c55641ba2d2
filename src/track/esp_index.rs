//! Where each ESP flow stands, by SPI and destination.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

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

/// Places of flows; their keys stand there.
#[derive(Debug)]
pub(super) struct Index {
    places: HashTable<u32>,
    /// Drawn by lot, so that nobody can choose keys that get in each other's way.
    secret: [u64; 2],
}

impl Default for Index {
    fn default() -> Self {
        let lot = RandomState::default();
        Self {
            places: HashTable::new(),
            secret: [lot.hash_one(0), lot.hash_one(1)],
        }
    }
}

impl Index {
    /// How many flows there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The place of a flow. `key_at` tells the key at a place.
    #[inline]
    pub(super) fn get(&self, key: &Key, key_at: impl Fn(u32) -> Option<Key>) -> Option<u32> {
        let is_it = |place: &u32| key_at(*place) == Some(*key);
        self.places.find(hash(self.secret, key), is_it).copied()
    }

    /// Notes the place of a flow that has none yet.
    pub(super) fn insert(&mut self, key: &Key, place: u32, key_at: impl Fn(u32) -> Option<Key>) {
        let secret = self.secret;
        let hash_of = |place: &u32| key_at(*place).map_or(0, |key| hash(secret, &key));
        self.places.insert_unique(hash(secret, key), place, hash_of);
    }

    /// Forgets a flow.
    pub(super) fn remove(&mut self, key: &Key, place: u32) {
        let hash = hash(self.secret, key);
        if let Ok(entry) = self.places.find_entry(hash, |known| *known == place) {
            entry.remove();
        }
    }
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
        for (key, place) in keys.iter().zip(0..) {
            assert_eq!(index.get(key, key_at), None);
            index.insert(key, place, key_at);
        }
        for (key, place) in keys.iter().zip(0..).step_by(3) {
            index.remove(key, place);
        }
        for (key, place) in keys.iter().zip(0..) {
            let there = Some(place).filter(|place| place % 3 != 0);
            assert_eq!(index.get(key, key_at), there);
        }
        assert_eq!(index.len(), 3333);
    }
}
