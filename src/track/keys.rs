//! Which session a key belongs to, where one session has several keys that become known one
//! after the other. A session that closes takes all of its keys with it, also those by which
//! it was found and that its facts do not repeat.

use std::hash::Hash;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Keys of open sessions.
#[derive(Debug)]
pub(super) struct Keys<K> {
    by_key: HashMap<K, u32, RandomState>,
    of_session: HashMap<u32, Vec<K>, RandomState>,
}

impl<K> Default for Keys<K> {
    fn default() -> Self {
        Self {
            by_key: HashMap::default(),
            of_session: HashMap::default(),
        }
    }
}

impl<K: Hash + Eq + Clone> Keys<K> {
    /// How many keys one session may have: both ends of 64 calls, and some to spare. What a
    /// stranger invents beyond that finds nothing.
    pub(super) const KEPT: usize = 192;

    /// The session with this key.
    pub(super) fn get(&self, key: &K) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// Makes a session findable. The newest session wins a key.
    pub(super) fn insert(&mut self, key: K, index: u32) {
        if self.by_key.get(&key) == Some(&index) {
            return;
        }
        let own = self.of_session.entry(index).or_default();
        if own.len() < Self::KEPT {
            own.push(key.clone());
            self.by_key.insert(key, index);
        }
    }

    /// Forgets a session that is over.
    pub(super) fn forget(&mut self, index: u32) {
        for key in self.of_session.remove(&index).unwrap_or_default() {
            if self.by_key.get(&key) == Some(&index) {
                self.by_key.remove(&key);
            }
        }
    }

    /// How many keys there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_takes_its_keys_with_it_and_no_others() {
        let mut keys = Keys::default();
        for key in 0..10u64 {
            keys.insert(key, 1);
        }
        keys.insert(3, 2);
        keys.insert(77, 2);
        keys.forget(1);
        assert_eq!(keys.len(), 2);
        assert_eq!((keys.get(&3), keys.get(&4)), (Some(2), None));
        keys.forget(2);
        assert_eq!((keys.len(), keys.of_session.len()), (0, 0));
    }

    #[test]
    fn one_session_has_so_many_keys_and_no_more() {
        let mut keys = Keys::default();
        for key in 0..100_000u64 {
            keys.insert(key, 1);
            keys.insert(key, 1);
        }
        assert_eq!(keys.len(), Keys::<u64>::KEPT);
        keys.forget(1);
        assert_eq!(keys.len(), 0);
    }
}
