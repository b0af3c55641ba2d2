//! What is remembered of addresses: in a few octets each, for there are very many of them, and
//! nearly all are IPv4.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// A key that mostly is a short number.
pub trait Key: Copy + Eq + Hash {
    /// The number.
    type Short: Copy + Eq + Hash;

    /// The number, where it is one.
    fn short(&self) -> Option<Self::Short>;
}

impl Key for IpAddr {
    type Short = u32;

    #[inline]
    fn short(&self) -> Option<u32> {
        match self {
            Self::V4(v4) => Some(v4.to_bits()),
            Self::V6(_) => None,
        }
    }
}

/// Two addresses of IPv4: a number that is aligned so that a value of four octets beside it takes
/// no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Two([u32; 2]);

impl Hash for Two {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self([a, b]) = *self;
        state.write_u64(u64::from(a) << 32 | u64::from(b));
    }
}

impl Key for (IpAddr, IpAddr) {
    type Short = Two;

    #[inline]
    fn short(&self) -> Option<Two> {
        Some(Two([self.0.short()?, self.1.short()?]))
    }
}

impl Key for (IpAddr, u16) {
    type Short = u64;

    fn short(&self) -> Option<u64> {
        Some(u64::from(self.0.short()?) << 16 | u64::from(self.1))
    }
}

/// Values by key. They are only looked up, never gone through: their order would differ between
/// runs.
#[derive(Debug)]
pub struct Book<K: Key, V = ()> {
    short: HashMap<K::Short, V, RandomState>,
    long: HashMap<K, V, RandomState>,
}

impl<K: Key, V> Default for Book<K, V> {
    fn default() -> Self {
        Self {
            short: HashMap::default(),
            long: HashMap::default(),
        }
    }
}

impl<K: Key, V> Book<K, V> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.short.len() + self.long.len()
    }

    /// Octets that it takes.
    pub fn octets(&self) -> usize {
        self.short.allocation_size() + self.long.allocation_size()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is a value of `key`.
    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// The value of `key`.
    #[inline]
    pub fn get(&self, key: &K) -> Option<&V> {
        match key.short() {
            Some(short) => self.short.get(&short),
            None => self.long.get(key),
        }
    }

    /// The value of `key`, to change; made where there is none.
    pub fn or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        match key.short() {
            Some(short) => self.short.entry(short).or_insert_with(make),
            None => self.long.entry(key).or_insert_with(make),
        }
    }

    /// Notes a value, in place of the one that was there.
    pub fn put(&mut self, key: K, value: V) {
        match key.short() {
            Some(short) => self.short.insert(short, value),
            None => self.long.insert(key, value),
        };
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &K) {
        match key.short() {
            Some(short) => self.short.remove(&short),
            None => self.long.remove(key),
        };
    }
}

impl<K: Key> Book<K> {
    /// Notes a key.
    pub fn insert(&mut self, key: K) {
        self.or_insert_with(key, || ());
    }

    /// Notes a key while there are fewer than so many.
    pub fn insert_within(&mut self, most: usize, key: K) {
        if self.len() < most {
            self.insert(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_value_whatever_its_family() {
        let v4 = |n: u8| IpAddr::from([192, 0, 2, n]);
        let v6 = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
        let mut book = Book::<(IpAddr, IpAddr), u32>::default();
        assert!(book.is_empty());
        let keys = [
            (v4(1), v4(2)),
            (v4(2), v4(1)),
            (v4(1), v6(2)),
            (v6(1), v4(2)),
            (v6(1), v6(2)),
        ];
        for (n, key) in (0..).zip(keys) {
            assert!(!book.contains(&key));
            *book.or_insert_with(key, || 100) += n;
        }
        for (n, key) in (100..).zip(keys) {
            assert_eq!(book.get(&key), Some(&n));
        }
        assert_eq!(book.len(), 5);
        for key in keys {
            book.put(key, 7);
            assert_eq!((book.get(&key), book.len()), (Some(&7), 5));
        }
        for (n, key) in (0..5).rev().zip(keys) {
            book.remove(&key);
            assert_eq!((book.get(&key), book.len()), (None, n));
        }
        let mut ports = Book::<(IpAddr, u16)>::default();
        ports.insert((v4(1), 443));
        ports.insert((v4(1), 443));
        assert!(ports.contains(&(v4(1), 443)) && ports.len() == 1);
        assert!(!ports.contains(&(v4(2), 443)) && !ports.contains(&(v4(1), 444)));
        ports.insert_within(1, (v4(1), 444));
        assert_eq!(ports.len(), 1);
        ports.insert_within(2, (v4(1), 444));
        assert!(ports.contains(&(v4(1), 444)));
        // As short as they are said to be.
        assert_eq!(size_of::<<IpAddr as Key>::Short>(), 4);
        assert_eq!(size_of::<(<(IpAddr, IpAddr) as Key>::Short, u32)>(), 12);
    }
}
