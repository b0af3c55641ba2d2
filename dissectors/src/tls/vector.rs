//! The vectors of the presentation language: a length, then that many octets (RFC 9846
//! §3.4), read lazily.

use core::fmt;
use core::marker::PhantomData;

use crate::error::{PResult, be_u8, be_u16, be_u24, fault, located, offset_within, take};
use crate::{Octets, ParseError, Reason};

/// `<0..2^8-1>`.
pub(crate) fn opaque8(i: &[u8]) -> PResult<'_, &[u8]> {
    let (i, length) = be_u8(i)?;
    take(usize::from(length))(i)
}

/// `<0..2^16-1>`.
pub(crate) fn opaque16(i: &[u8]) -> PResult<'_, &[u8]> {
    let (i, length) = be_u16(i)?;
    take(usize::from(length))(i)
}

/// `<0..2^24-1>`.
pub(crate) fn opaque24(i: &[u8]) -> PResult<'_, &[u8]> {
    let (i, length) = be_u24(i)?;
    take(usize::try_from(length).unwrap_or(usize::MAX))(i)
}

/// The next `N` octets, borrowed.
pub(crate) fn array_ref<const N: usize>(i: &[u8]) -> PResult<'_, &[u8; N]> {
    match i.split_first_chunk::<N>() {
        Some((taken, rest)) => Ok((rest, taken)),
        None => fault(
            i,
            Reason::Truncated {
                needed: N,
                available: i.len(),
            },
        ),
    }
}

/// Refuses what is left over.
pub(crate) fn end(i: &[u8]) -> PResult<'_, ()> {
    if i.is_empty() {
        Ok((i, ()))
    } else {
        fault(i, Reason::Trailing { octets: i.len() })
    }
}

/// A list of two-octet codes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Codes<'a, T> {
    octets: &'a [u8],
    code: PhantomData<T>,
}

impl<T> Default for Codes<'_, T> {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl<'a, T> Codes<'a, T> {
    const fn of(octets: &'a [u8]) -> Self {
        Self {
            octets,
            code: PhantomData,
        }
    }

    /// The list in `octets`, which must be even in number.
    pub(crate) fn read(octets: &'a [u8]) -> PResult<'a, Self> {
        if octets.len().is_multiple_of(2) {
            Ok((&[], Self::of(octets)))
        } else {
            fault(
                octets,
                Reason::Invalid("odd length of a list of two-octet codes"),
            )
        }
    }

    /// As many as `octets` hold, an odd one left out: for what was cut off.
    pub(crate) const fn cut(octets: &'a [u8]) -> Self {
        Self::of(octets)
    }

    /// The list as it stands, two octets each.
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.octets.len() >> 1
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a, T: From<u16>> Codes<'a, T> {
    /// The codes in wire order.
    pub fn iter(&self) -> impl Iterator<Item = T> + Clone + use<'a, T> {
        self.octets.chunks_exact(2).filter_map(|pair| {
            pair.first_chunk::<2>()
                .map(|pair| T::from(u16::from_be_bytes(*pair)))
        })
    }
}

impl<T: From<u16> + fmt::Debug> fmt::Debug for Codes<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A list of structures that are read one at a time: every good one, then at most one
/// error, then nothing.
#[derive(Clone, Copy)]
pub struct List<'a, T> {
    what: &'static str,
    rest: &'a [u8],
    /// Of `rest`, from the start of what the caller was given.
    offset: usize,
    read: fn(&'a [u8]) -> PResult<'a, T>,
}

impl<'a, T> List<'a, T> {
    /// The list `part` of `whole`, whose entries are called `what` in errors.
    pub(crate) fn new(
        what: &'static str,
        whole: &'a [u8],
        part: &'a [u8],
        read: fn(&'a [u8]) -> PResult<'a, T>,
    ) -> Self {
        Self {
            what,
            rest: part,
            offset: offset_within(whole, part),
            read,
        }
    }

    /// What was not read yet.
    pub const fn rest(&self) -> Octets<'a> {
        Octets(self.rest)
    }
}

impl<T> Iterator for List<'_, T> {
    type Item = Result<T, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let rest = core::mem::take(&mut self.rest);
        match located(self.what, rest, rest, self.read) {
            // An entry of no octets would never end.
            Ok((left, entry)) if left.len() < rest.len() => {
                self.offset = self.offset.saturating_add(offset_within(rest, left));
                self.rest = left;
                Some(Ok(entry))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error.moved(self.offset))),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let copy = Self { ..*self };
        f.debug_list().entries(copy).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_the_good_before_the_bad() {
        let octets = [9, 9, 1, b'a', 2, b'b', b'c', 4, b'd'];
        let list = List::new("name", &octets, &octets[2..], |i| {
            opaque8(i).map(|(i, name)| (i, Octets(name)))
        });
        let got: Vec<_> = list.collect();
        assert_eq!(got[0], Ok(Octets(b"a")));
        assert_eq!(got[1], Ok(Octets(b"bc")));
        let error = got[2].unwrap_err();
        assert_eq!(
            error.to_string(),
            "name: 4 octets needed, 1 available at octet 8"
        );
        assert_eq!(got.len(), 3);
    }

    #[test]
    fn codes_are_pairs() {
        let (_, codes) = Codes::<u16>::read(&[1, 2, 3, 4]).unwrap();
        assert_eq!(codes.iter().collect::<Vec<_>>(), [0x0102, 0x0304]);
        assert!(Codes::<u16>::read(&[1, 2, 3]).is_err());
        assert_eq!(Codes::<u16>::cut(&[1, 2, 3]).iter().count(), 1);
        assert_eq!(Codes::<u16>::cut(&[1, 2, 3]).len(), 1);
    }
}
