//! The one public error, and the only glue to nom.
//!
//! Parsers are written as `fn read(i: &[u8]) -> PResult<'_, Self>`, one line per field in
//! wire order, with nom's *complete* combinators (a datagram never grows). The fault
//! remembers *where* it happened as a slice of the input, and [`located`] turns that into
//! an octet offset, which stays right through nested sub-slices.

use core::fmt;

/// Why a message could not be read, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {reason} at octet {offset}")]
pub struct ParseError {
    /// What was being read, for instance `IKE payload`.
    pub what: &'static str,
    /// Offset of the fault in octets from the start of what was handed to the parser.
    pub offset: usize,
    /// What is wrong there.
    pub reason: Reason,
}

impl ParseError {
    /// An error about `what` at `offset`.
    pub const fn new(what: &'static str, offset: usize, reason: Reason) -> Self {
        Self {
            what,
            offset,
            reason,
        }
    }

    /// The same error, seen from an enclosing structure that starts `octets` earlier.
    #[must_use]
    pub const fn moved(self, octets: usize) -> Self {
        Self {
            offset: self.offset.saturating_add(octets),
            ..self
        }
    }
}

/// What is wrong with the octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The input ends before the structure does.
    Truncated {
        /// Octets that were needed from the offset on.
        needed: usize,
        /// Octets that were there.
        available: usize,
    },
    /// A length field that cannot be right.
    BadLength {
        /// The value found.
        value: usize,
        /// The smallest value that would make sense.
        least: usize,
    },
    /// Octets remain where the structure should have ended.
    Trailing {
        /// How many.
        octets: usize,
    },
    /// A rule of the format is broken; the text says which.
    Invalid(&'static str),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { needed, available } => {
                write!(f, "{needed} octets needed, {available} available")
            }
            Self::BadLength { value, least } => {
                write!(f, "length {value} is below the least possible {least}")
            }
            Self::Trailing { octets } => write!(f, "{octets} octets left over"),
            Self::Invalid(text) => f.write_str(text),
        }
    }
}

/// The position-keeping error that flows through nom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault<'a> {
    /// The input as it stood where the fault was noticed.
    pub(crate) at: &'a [u8],
    /// What is wrong there.
    pub(crate) reason: Reason,
}

/// What a private `read` function returns.
pub(crate) type PResult<'a, T> = nom::IResult<&'a [u8], T, Fault<'a>>;

impl<'a> nom::error::ParseError<&'a [u8]> for Fault<'a> {
    fn from_error_kind(at: &'a [u8], kind: nom::error::ErrorKind) -> Self {
        let reason = match kind {
            nom::error::ErrorKind::Eof | nom::error::ErrorKind::Complete => Reason::Truncated {
                needed: at.len().saturating_add(1),
                available: at.len(),
            },
            _ => Reason::Invalid("unexpected octets"),
        };
        Self { at, reason }
    }

    fn append(_: &'a [u8], _: nom::error::ErrorKind, other: Self) -> Self {
        other
    }
}

/// A fault at `at`, as a nom error.
pub(crate) fn fault<T>(at: &[u8], reason: Reason) -> PResult<'_, T> {
    Err(nom::Err::Error(Fault { at, reason }))
}

/// Takes `n` octets, with a fault that says how many were needed.
pub(crate) fn take(n: usize) -> impl Fn(&[u8]) -> PResult<'_, &[u8]> {
    move |i| match i.split_at_checked(n) {
        Some((taken, rest)) => Ok((rest, taken)),
        None => fault(
            i,
            Reason::Truncated {
                needed: n,
                available: i.len(),
            },
        ),
    }
}

/// Takes the next `N` octets as an array.
pub(crate) fn array<const N: usize>(i: &[u8]) -> PResult<'_, [u8; N]> {
    match i.split_first_chunk::<N>() {
        Some((taken, rest)) => Ok((rest, *taken)),
        None => fault(
            i,
            Reason::Truncated {
                needed: N,
                available: i.len(),
            },
        ),
    }
}

/// One octet.
pub(crate) fn be_u8(i: &[u8]) -> PResult<'_, u8> {
    array::<1>(i).map(|(i, [v])| (i, v))
}

/// Two octets, network order.
pub(crate) fn be_u16(i: &[u8]) -> PResult<'_, u16> {
    array(i).map(|(i, v)| (i, u16::from_be_bytes(v)))
}

/// Three octets, network order.
pub(crate) fn be_u24(i: &[u8]) -> PResult<'_, u32> {
    array::<3>(i).map(|(i, [a, b, c])| (i, u32::from_be_bytes([0, a, b, c])))
}

/// Four octets, network order.
pub(crate) fn be_u32(i: &[u8]) -> PResult<'_, u32> {
    array(i).map(|(i, v)| (i, u32::from_be_bytes(v)))
}

/// Eight octets, network order.
pub(crate) fn be_u64(i: &[u8]) -> PResult<'_, u64> {
    array(i).map(|(i, v)| (i, u64::from_be_bytes(v)))
}

/// Runs `parser` over `part`, a sub-slice of `whole`, and turns a fault into an offset
/// within `whole`. Gives what is left of `part` and the value.
pub(crate) fn located<'a, T>(
    what: &'static str,
    whole: &'a [u8],
    part: &'a [u8],
    parser: impl FnOnce(&'a [u8]) -> PResult<'a, T>,
) -> Result<(&'a [u8], T), ParseError> {
    parser(part).map_err(|error| match error {
        nom::Err::Error(f) | nom::Err::Failure(f) => {
            ParseError::new(what, offset_within(whole, f.at), f.reason)
        }
        nom::Err::Incomplete(_) => ParseError::new(
            what,
            offset_within(whole, part),
            Reason::Truncated {
                needed: part.len().saturating_add(1),
                available: part.len(),
            },
        ),
    })
}

/// Offset of `part` in `whole`, in octets; `whole.len()` where `part` is none of it.
pub(crate) fn offset_within(whole: &[u8], part: &[u8]) -> usize {
    let offset = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    offset.min(whole.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_in_a_nested_slice_is_located_in_the_whole() {
        let whole = [0u8; 10];
        let error = located("thing", &whole, &whole[4..], |i| {
            let (i, _) = be_u16(i)?;
            let (_, sub) = take(3)(i)?;
            let (sub, _) = be_u16(sub)?;
            be_u32(sub)
        })
        .unwrap_err();
        assert_eq!(error.offset, 8);
        assert_eq!(
            error.reason,
            Reason::Truncated {
                needed: 4,
                available: 1
            }
        );
        assert_eq!(
            error.to_string(),
            "thing: 4 octets needed, 1 available at octet 8"
        );
    }
}
