//! What most sessions do not have: a pointer until it is there, and nothing at the end of it.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::track::pack::{Pack, Packer, Unpacker};

/// What something is where nothing is known of it.
pub trait Usual: Sized + 'static {
    /// That, once for all.
    const USUAL: &'static Self;
}

/// A value that is as usual in most sessions, and takes a word there. It is read as if it were
/// there; whoever wants to change it makes it so.
#[derive(Clone)]
pub struct Rare<T>(Option<Box<T>>);

impl<T> Rare<T> {
    /// As usual.
    pub const USUAL: Self = Self(None);

    /// Something else.
    pub fn new(value: T) -> Self {
        Self(Some(Box::new(value)))
    }

    /// What is there, to change it; `None` where it is as usual.
    pub(crate) fn there(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self::USUAL
    }
}

impl<T: Usual> Deref for Rare<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::USUAL)
    }
}

impl<T: Usual + Clone> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_with(|| Box::new(T::USUAL.clone()))
    }
}

impl<T: Usual + PartialEq> PartialEq for Rare<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Usual + Eq> Eq for Rare<T> {}

impl<T: Usual + fmt::Debug> fmt::Debug for Rare<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Pack> Pack for Rare<T> {
    fn pack(&self, to: &mut Packer<'_>) {
        self.0.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Pack::unpack(from).map(Self)
    }
}

impl<T: 'static> Usual for Vec<T> {
    const USUAL: &'static Self = &Self::new();
}

impl<'a, T: 'static> IntoIterator for &'a Rare<Vec<T>> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Of what is there: a list that is not stays so.
impl<'a, T> IntoIterator for &'a mut Rare<Vec<T>> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0
            .as_deref_mut()
            .map_or(&mut [][..], Vec::as_mut_slice)
            .iter_mut()
    }
}

impl<T: 'static> Usual for VecDeque<T> {
    const USUAL: &'static Self = &Self::new();
}

/// Adds to a list that mostly holds one: that one gets no room for more.
pub(crate) fn push_lean<T>(list: &mut Vec<T>, item: T) {
    if list.capacity() == 0 {
        list.reserve_exact(1);
    }
    list.push(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_usual_until_it_is_changed() {
        let mut list = Rare::<Vec<u8>>::default();
        assert_eq!(size_of_val(&list), size_of::<usize>());
        assert_eq!((list.len(), list.there()), (0, None));
        list.push(1);
        assert_eq!(list.there(), Some(&mut vec![1]));
        assert_ne!(list, Rare::USUAL);
        list.clear();
        assert_eq!(list, Rare::new(Vec::new()));
        assert_eq!(list, Rare::USUAL);
    }

    #[test]
    fn one_is_alone() {
        let mut list = Vec::new();
        push_lean(&mut list, 1_u64);
        assert_eq!(list.capacity(), 1);
        push_lean(&mut list, 2);
        assert_eq!(list, [1, 2]);
    }
}
