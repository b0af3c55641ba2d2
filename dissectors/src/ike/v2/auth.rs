//! AUTH payload.

use super::codes::AuthMethod;
use super::{body, rest};
use crate::error::{PResult, be_u8, be_u24};
use crate::ike::RawPayload;
use crate::{Octets, ParseError};

/// AUTH payload (RFC 7296 §3.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authentication<'a> {
    /// Octet 4 of the payload.
    pub method: AuthMethod,
    /// Octets 5..8, reserved.
    pub reserved: u32,
    /// Octets 8..
    pub data: Octets<'a>,
}

impl<'a> Authentication<'a> {
    /// Reads the body.
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        body("IKEv2 AUTH", raw, Self::read)
    }

    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, method) = be_u8(i)?;
        let (i, reserved) = be_u24(i)?;
        let (i, data) = rest(i)?;
        Ok((
            i,
            Self {
                method: AuthMethod(method),
                reserved,
                data,
            },
        ))
    }

    /// The parts of the data of method 14 (RFC 7427 §3); `None` for another method or where the
    /// length of the algorithm does not fit.
    pub fn digital_signature(&self) -> Option<DigitalSignature<'a>> {
        let (&len, data) = self.data.0.split_first()?;
        let (algorithm, signature) = data.split_at_checked(usize::from(len))?;
        (self.method == AuthMethod::DIGITAL_SIGNATURE).then_some(DigitalSignature {
            algorithm: Octets(algorithm),
            signature: Octets(signature),
        })
    }
}

/// Signature and algorithm (RFC 7427 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigitalSignature<'a> {
    /// Octets 1.., their number from octet 0: the algorithm identifier in DER.
    pub algorithm: Octets<'a>,
    /// What follows.
    pub signature: Octets<'a>,
}
