//! Large things that hold what they are found by: a word for each place, since there are as many
//! places without one.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// What holds its key.
pub(crate) trait Keyed {
    /// The key.
    type Key<'a>: Hash
    where
        Self: 'a;

    /// Its key.
    fn key(&self) -> Self::Key<'_>;

    /// Whether that is its key.
    fn is(&self, key: &Self::Key<'_>) -> bool;
}

/// Things by their keys.
#[derive(Debug)]
pub(crate) struct Boxes<T> {
    places: HashTable<Box<T>>,
    hashes: RandomState,
}

impl<T> Default for Boxes<T> {
    fn default() -> Self {
        Self {
            places: HashTable::default(),
            hashes: RandomState::default(),
        }
    }
}

impl<T: Keyed> Boxes<T> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().map(|thing| &**thing)
    }

    pub(crate) fn get(&self, key: &T::Key<'_>) -> Option<&T> {
        let hash = self.hashes.hash_one(key);
        let found = self.places.find(hash, |thing| thing.is(key));
        found.map(|thing| &**thing)
    }

    pub(crate) fn get_mut(&mut self, key: &T::Key<'_>) -> Option<&mut T> {
        let hash = self.hashes.hash_one(key);
        let found = self.places.find_mut(hash, |thing| thing.is(key));
        found.map(|thing| &mut **thing)
    }

    /// Adds one whose key is not there.
    pub(crate) fn insert(&mut self, thing: Box<T>) {
        let Self { places, hashes } = self;
        let hash = hashes.hash_one(thing.key());
        places.insert_unique(hash, thing, |other| hashes.hash_one(other.key()));
    }

    pub(crate) fn remove(&mut self, key: &T::Key<'_>) -> Option<Box<T>> {
        let hash = self.hashes.hash_one(key);
        let found = self.places.find_entry(hash, |thing| thing.is(key));
        Some(found.ok()?.remove().0)
    }

    /// Takes out those that are over, in no order.
    pub(crate) fn take_where(&mut self, mut is_over: impl FnMut(&T) -> bool) -> Vec<Box<T>> {
        let over = self.places.extract_if(|thing| is_over(thing));
        over.collect()
    }

    /// Takes out all of them, in no order.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Box<T>> + use<T> {
        std::mem::take(&mut self.places).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Named {
        name: String,
        value: u32,
    }

    impl Keyed for Named {
        type Key<'a> = &'a str;

        fn key(&self) -> &str {
            &self.name
        }

        fn is(&self, key: &&str) -> bool {
            self.name == *key
        }
    }

    #[test]
    fn each_is_found_by_what_it_holds() {
        let mut boxes = Boxes::default();
        assert!(boxes.is_empty());
        for value in 0..500 {
            let name = value.to_string();
            boxes.insert(Box::new(Named { name, value }));
        }
        let value = |boxes: &Boxes<Named>, name: &str| boxes.get(&name).map(|named| named.value);
        assert_eq!((boxes.len(), value(&boxes, "77")), (500, Some(77)));
        if let Some(named) = boxes.get_mut(&"77") {
            named.value = 1000;
        }
        assert_eq!(boxes.iter().filter(|named| named.value == 1000).count(), 1);
        let gone = boxes.remove(&"77").map(|named| named.value);
        assert_eq!((gone, value(&boxes, "77")), (Some(1000), None));
        assert!(boxes.remove(&"77").is_none());
        assert_eq!(boxes.take_where(|named| named.value < 100).len(), 99);
        assert_eq!(
            (value(&boxes, "99"), value(&boxes, "100")),
            (None, Some(100))
        );
        assert_eq!(boxes.take().count(), 400);
        assert!(boxes.is_empty());
    }
}
