//! Sessions by the addresses between which they are: a few octets for each, since nearly every
//! pair of hosts has one session.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use super::rare::Rare;
use crate::tables::book::{Book, Key, Two};

/// Two addresses, the lower one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair(IpAddr, IpAddr);

impl Pair {
    #[inline]
    pub(super) fn of(a: IpAddr, b: IpAddr) -> Self {
        if a <= b { Self(a, b) } else { Self(b, a) }
    }

    /// Whether these are the two, in whatever order.
    pub(super) fn is(self, a: IpAddr, b: IpAddr) -> bool {
        (self.0 == a && self.1 == b) || (self.0 == b && self.1 == a)
    }
}

impl Key for Pair {
    type Short = Two;

    #[inline]
    fn short(&self) -> Option<Two> {
        (self.0, self.1).short()
    }
}

impl Hash for Pair {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.short() {
            Some(short) => short.hash(state),
            None => (self.0, self.1).hash(state),
        }
    }
}

/// The pairs that one session is found by: mostly one.
#[derive(Debug, Default)]
pub(crate) struct FoundBy {
    first: Option<Pair>,
    others: Rare<Vec<Pair>>,
}

impl FoundBy {
    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = Pair> {
        self.first.iter().chain(self.others.iter()).copied()
    }

    /// The one that was added last.
    pub(super) fn last(&self) -> Option<Pair> {
        self.others.last().copied().or(self.first)
    }

    /// Adds one.
    pub(super) fn push(&mut self, pair: Pair) {
        if self.first.is_none() {
            self.first = Some(pair);
        } else {
            self.others.push(pair);
        }
    }
}

/// The sessions of one pair.
#[derive(Debug, Clone, Copy)]
enum Few {
    One(u32),
    /// The place of a list.
    Many(u32),
}

/// Open sessions of one address pair that are remembered; older ones stay open but are no
/// longer found by address alone.
const KEPT: usize = 1024;

/// Sessions by unordered pair of addresses, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    few: Book<Pair, Few>,
    /// Lists of pairs with several sessions.
    lists: Vec<Vec<u32>>,
    free: Vec<u32>,
}

impl Pairs {
    /// Sessions of a pair, oldest first.
    pub(super) fn of(&self, pair: Pair) -> &[u32] {
        match self.few.get(&pair) {
            None => &[],
            Some(Few::One(index)) => std::slice::from_ref(index),
            Some(Few::Many(place)) => self.lists.get(*place as usize).map_or(&[], Vec::as_slice),
        }
    }

    /// Adds a session to a pair, behind all others; whether it was not there.
    pub(super) fn add(&mut self, pair: Pair, index: u32) -> bool {
        if self.of(pair).contains(&index) {
            return false;
        }
        if let Some(Few::Many(place)) = self.few.get(&pair).copied()
            && let Some(list) = self.lists.get_mut(place as usize)
            && list.len() >= KEPT
        {
            list.remove(0);
        }
        self.insert(pair, usize::MAX, index)
    }

    /// Adds a session to a pair that has none of it, behind so many others; `false` where there
    /// are too many.
    pub(super) fn insert(&mut self, pair: Pair, behind: usize, index: u32) -> bool {
        match self.few.get(&pair).copied() {
            None => self.few.put(pair, Few::One(index)),
            Some(Few::One(known)) => {
                let both = match behind {
                    0 => vec![index, known],
                    _ => vec![known, index],
                };
                let place = match self.free.pop() {
                    Some(place) => {
                        if let Some(list) = self.lists.get_mut(place as usize) {
                            *list = both;
                        }
                        place
                    }
                    None => {
                        self.lists.push(both);
                        u32::try_from(self.lists.len() - 1).unwrap_or(u32::MAX)
                    }
                };
                self.few.put(pair, Few::Many(place));
            }
            Some(Few::Many(place)) => {
                let Some(list) = self.lists.get_mut(place as usize) else {
                    return false;
                };
                if list.len() >= KEPT {
                    return false;
                }
                list.insert(behind.min(list.len()), index);
            }
        }
        true
    }

    /// Forgets a session of all its pairs.
    pub(super) fn remove_each(&mut self, pairs: &FoundBy, index: u32) {
        for pair in pairs.iter() {
            self.remove(pair, index);
        }
    }

    /// Forgets a session of a pair.
    pub(super) fn remove(&mut self, pair: Pair, index: u32) {
        match self.few.get(&pair).copied() {
            Some(Few::One(known)) if known == index => self.few.remove(&pair),
            Some(Few::Many(place)) => {
                let Some(list) = self.lists.get_mut(place as usize) else {
                    return;
                };
                list.retain(|known| *known != index);
                let few = match list.as_slice() {
                    [] => None,
                    [one] => Some(Few::One(*one)),
                    _ => return,
                };
                *list = Vec::new();
                self.free.push(place);
                match few {
                    Some(few) => self.few.put(pair, few),
                    None => self.few.remove(&pair),
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(n: u8) -> Pair {
        let v4 = |n: u8| IpAddr::from([192, 0, 2, n]);
        let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(n)]);
        if n.is_multiple_of(2) {
            Pair::of(v4(n), v4(n / 2))
        } else {
            Pair::of(v6, v4(n))
        }
    }

    #[test]
    fn sessions_stand_in_order_until_they_are_removed() {
        let mut pairs = Pairs::default();
        for index in 0..3 {
            for n in 0..20 {
                assert!(pairs.add(pair(n), u32::from(n) * 10 + index));
                assert!(!pairs.add(pair(n), u32::from(n) * 10 + index));
            }
        }
        assert_eq!(pairs.of(pair(7)), [70, 71, 72]);
        for n in 0..20 {
            pairs.remove(pair(n), u32::from(n) * 10 + 1);
            assert_eq!(pairs.of(pair(n)).len(), 2);
            pairs.remove(pair(n), u32::from(n) * 10);
        }
        assert_eq!(
            (pairs.of(pair(7)), pairs.of(pair(8))),
            (&[72][..], &[82][..])
        );
        assert!(pairs.add(pair(8), 99));
        assert_eq!(pairs.of(pair(8)), [82, 99]);
        for n in 0..20 {
            pairs.remove(pair(n), u32::from(n) * 10 + 2);
        }
        assert_eq!(pairs.of(pair(8)), [99]);
        assert!(pairs.insert(pair(8), 0, 98) && pairs.insert(pair(8), 1, 97));
        assert_eq!(pairs.of(pair(8)), [98, 97, 99]);
        for index in 97..100 {
            pairs.remove(pair(8), index);
        }
        assert!(pairs.few.is_empty());
        // The places of lists that are gone are used again.
        assert_eq!(pairs.lists.len(), 20);
    }

    #[test]
    fn a_session_is_found_by_one_pair_or_several() {
        let mut found_by = FoundBy::default();
        assert_eq!((found_by.last(), found_by.iter().count()), (None, 0));
        for n in 1..4 {
            found_by.push(pair(n));
            assert_eq!(found_by.last(), Some(pair(n)));
        }
        assert!(found_by.iter().eq((1..4).map(pair)));
    }

    #[test]
    fn of_very_many_the_oldest_are_forgotten() {
        let mut pairs = Pairs::default();
        for index in 0..2000 {
            pairs.add(pair(2), index);
        }
        assert_eq!(pairs.of(pair(2)).len(), KEPT);
        assert_eq!(pairs.of(pair(2)).first(), Some(&976));
        // One that is not there is none of them.
        pairs.remove(pair(2), 5);
        pairs.remove(pair(4), 1999);
        assert!(!pairs.insert(pair(2), 0, 5000));
        assert_eq!(pairs.of(pair(2)).len(), KEPT);
    }
}
