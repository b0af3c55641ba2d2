//! Attributes in type/value or type/length/value form.
//!
//! RFC 2408 §3.3 and RFC 7296 §3.3.5 have the same form; transforms carry them, and so do IKEv1's
//! attribute payload and some notifies.

use crate::{Octets, ParseError, Reason};

/// A chain of attributes: every good one, then at most one error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Attributes<'a> {
    /// The chain in `octets`, which starts `offset` octets into the message.
    pub const fn new(octets: &'a [u8], offset: usize) -> Self {
        Self {
            rest: octets,
            offset,
        }
    }

    fn step(&mut self) -> Result<Attribute<'a>, ParseError> {
        let available = self.rest.len();
        let error = |needed| {
            let reason = Reason::Truncated { needed, available };
            Err(ParseError::new("IKE attribute", self.offset, reason))
        };
        let Some((&[a, b, c, d], value)) = self.rest.split_first_chunk::<4>() else {
            return error(4);
        };
        let word = u16::from_be_bytes([a, b]);
        let number = u16::from_be_bytes([c, d]);
        let len = usize::from(number);
        let (value, rest) = if word & 0x8000 != 0 {
            (AttributeValue::Short(number), value)
        } else {
            match value.split_at_checked(len) {
                Some((value, rest)) => (AttributeValue::Long(Octets(value)), rest),
                None => return error(len.saturating_add(4)),
            }
        };
        let offset = self.offset;
        self.offset = offset.saturating_add(available.saturating_sub(rest.len()));
        self.rest = rest;
        Ok(Attribute {
            code: word & 0x7fff,
            value,
            offset,
        })
    }
}

until_error!(Attributes gives Attribute);

/// An attribute (RFC 2408 §3.3, RFC 7296 §3.3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Octets 0..2 without the format bit. What it means depends on where the attribute stands.
    pub code: u16,
    /// Octets 2..4 (short form) or octets 4.. (long form).
    pub value: AttributeValue<'a>,
    /// Offset of the attribute from the start of the message.
    pub offset: usize,
}

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeValue<'a> {
    /// Format bit set: two octets.
    Short(u16),
    /// Format bit clear: as many octets as the length says.
    Long(Octets<'a>),
}

impl AttributeValue<'_> {
    /// The value as a number: both forms may carry one. `None` where it has no octets, or more
    /// than eight of them after leading zeros.
    pub fn number(&self) -> Option<u64> {
        match *self {
            Self::Short(number) => Some(number.into()),
            Self::Long(octets) if octets.is_empty() => None,
            Self::Long(octets) => octets.iter().try_fold(0_u64, |number, &octet| {
                number.checked_mul(256)?.checked_add(octet.into())
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_both_forms() {
        assert_eq!(AttributeValue::Short(7).number(), Some(7));
        let long = |octets| AttributeValue::Long(Octets(octets)).number();
        assert_eq!(long(&[0, 0, 0x70, 0x80]), Some(28800));
        assert_eq!(long(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), Some(1));
        assert_eq!(long(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(long(&[]), None);
    }

    #[test]
    fn good_attributes_come_before_the_bad_one() {
        let octets = [
            0x80, 0x0b, 0, 1, 0, 12, 0, 4, 0, 1, 0x51, 0x80, 0, 12, 0, 4, 1,
        ];
        let all: Vec<_> = Attributes::new(&octets, 100).collect();
        assert_eq!(all.len(), 3);
        assert_eq!(all[1].unwrap().value.number(), Some(86400));
        assert_eq!(
            all[2].unwrap_err().to_string(),
            "IKE attribute: 8 octets needed, 5 available at octet 112"
        );
    }
}
