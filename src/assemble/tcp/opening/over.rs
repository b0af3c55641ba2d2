//! Openings that are over, oldest first.

use std::collections::VecDeque;
use std::iter::Peekable;

use super::table::Slot;
use super::{Entry, Key, join};

/// Openings that are over. Those of IPv4 stay where they are: there may be very many, and nearly
/// always they are in order already. Otherwise not they are put in order but their places.
#[derive(Debug, Default)]
pub(in crate::assemble::tcp) struct Over {
    blocks: VecDeque<Vec<Slot>>,
    /// How many of the first block were given.
    given: usize,
    /// Places, where they are not in order.
    order: Option<std::vec::IntoIter<u32>>,
    v6: Option<Peekable<std::vec::IntoIter<(Key, Entry)>>>,
}

/// What they are put in order by.
fn when(key: &Key, entry: &Entry) -> (u64, u64, Key) {
    (join(entry.time), join(entry.frame), *key)
}

impl Slot {
    /// Its key and entry.
    pub(super) fn pair(&self) -> (Key, &Entry) {
        (Key::V4(self.key.0), &self.entry)
    }

    fn when(&self) -> (u64, u64, [u8; 14]) {
        (join(self.entry.time), join(self.entry.frame), self.key.0)
    }
}

impl Over {
    /// Of all these.
    pub(super) fn of(blocks: Vec<Vec<Slot>>) -> Self {
        Self {
            blocks: blocks.into(),
            ..Self::default()
        }
    }

    /// With these of IPv6, and all of them in order.
    pub(super) fn and(mut self, mut v6: Vec<(Key, Entry)>) -> Self {
        if !self.blocks.iter().flatten().map(Slot::when).is_sorted() {
            self.put_in_order();
        }
        v6.sort_unstable_by_key(|(key, entry)| when(key, entry));
        self.v6 = (!v6.is_empty()).then(|| v6.into_iter().peekable());
        self
    }

    #[cold]
    fn put_in_order(&mut self) {
        let all: Vec<Slot> = std::mem::take(&mut self.blocks)
            .into_iter()
            .flatten()
            .collect();
        let mut order: Vec<(u64, u32)> = (0u32..)
            .zip(&all)
            .map(|(place, slot)| (join(slot.entry.time), place))
            .collect();
        order.sort_unstable_by(|(time, place), (other_time, other)| {
            let at = |place: &u32| all.get(*place as usize).map(Slot::when);
            time.cmp(other_time).then_with(|| at(place).cmp(&at(other)))
        });
        let order: Vec<u32> = order.into_iter().map(|(_, place)| place).collect();
        self.blocks = VecDeque::from([all]);
        self.order = Some(order.into_iter());
    }

    pub(in crate::assemble::tcp) fn is_empty(&mut self) -> bool {
        self.head().is_none() && self.v6.is_none()
    }

    /// The next of IPv4.
    fn head(&mut self) -> Option<&Slot> {
        if let Some(order) = &self.order {
            let place = *order.as_slice().first()?;
            return self.blocks.front()?.get(place as usize);
        }
        while self.blocks.front()?.len() <= self.given {
            self.blocks.pop_front();
            self.given = 0;
        }
        self.blocks.front()?.get(self.given)
    }

    fn step(&mut self) {
        match &mut self.order {
            Some(order) => drop(order.next()),
            None => self.given += 1,
        }
    }
}

impl Iterator for Over {
    type Item = (Key, Entry);

    fn next(&mut self) -> Option<Self::Item> {
        let v4 = self
            .head()
            .map(Slot::pair)
            .map(|(key, entry)| (key, *entry));
        if let Some(list) = &mut self.v6 {
            let first = list.next_if(|(key, entry)| {
                v4.is_none_or(|(v4, of_v4)| when(key, entry) < when(&v4, &of_v4))
            });
            if first.is_some() {
                return first;
            }
            if v4.is_none() {
                self.v6 = None;
            }
        }
        self.step();
        v4
    }
}
