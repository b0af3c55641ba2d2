//! KE payload.

use super::codes::KeyExchange;
use super::{body, rest};
use crate::error::{PResult, be_u16};
use crate::ike::RawPayload;
use crate::{Octets, ParseError};

/// KE payload (RFC 7296 §3.4): a public value, or with ML-KEM a key or a ciphertext. Whether the
/// data has the length of its method is not checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyShare<'a> {
    /// Octets 4..6 of the payload.
    pub method: KeyExchange,
    /// Octets 6..8, reserved.
    pub reserved: u16,
    /// Octets 8.. Key exchange data.
    pub data: Octets<'a>,
}

impl<'a> KeyShare<'a> {
    /// Reads the body.
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        body("IKEv2 KE", raw, Self::read)
    }

    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, method) = be_u16(i)?;
        let (i, reserved) = be_u16(i)?;
        let (i, data) = rest(i)?;
        Ok((
            i,
            Self {
                method: KeyExchange(method),
                reserved,
                data,
            },
        ))
    }
}
