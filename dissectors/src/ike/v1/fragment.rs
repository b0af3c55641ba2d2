//! Cisco's fragment payload.

use super::{body, rest};
use crate::error::{PResult, be_u8, be_u16};
use crate::ike::RawPayload;
use crate::{Octets, ParseError};

/// A piece of an IKE message (MS-IKEE §2.2.3.1; Cisco's invention).
///
/// It is the only payload of its message and is not encrypted; the pieces together are a whole
/// message with a header of its own. Putting them together is not done here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Octets 4..6 of the payload. The same for all pieces of a message.
    pub id: u16,
    /// Octet 6. Counted from 1.
    pub number: u8,
    /// Octet 7. See [`Self::is_last`].
    pub flags: u8,
    /// Octets 8..
    pub data: Octets<'a>,
}

impl<'a> Fragment<'a> {
    /// Reads the body.
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        body("IKEv1 fragment", raw, Self::read)
    }

    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, id) = be_u16(i)?;
        let (i, number) = be_u8(i)?;
        let (i, flags) = be_u8(i)?;
        let (i, data) = rest(i)?;
        Ok((
            i,
            Self {
                id,
                number,
                flags,
                data,
            },
        ))
    }

    /// Whether it is the last piece, so that its number is how many there are.
    pub const fn is_last(&self) -> bool {
        self.flags & 0x01 != 0
    }
}
