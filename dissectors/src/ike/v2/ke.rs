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

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::super::tests::{fault, raw, truncations};
    use super::*;
    use crate::Reason;
    use crate::ike::v2::PayloadType;

    #[test]
    fn method_and_data() {
        let body = hex!("0013 0000 a7702d71ae0f25e3");
        let ke = KeyShare::parse(&raw(PayloadType::KE, &body)).unwrap();
        assert_eq!(ke.method, KeyExchange::ECP_256);
        assert_eq!(ke.reserved, 0);
        assert_eq!(ke.data.to_string(), "a7702d71ae0f25e3");
        truncations(PayloadType::KE, &body);
    }

    #[test]
    fn a_short_head_is_a_fault() {
        let reason = Reason::Truncated {
            needed: 2,
            available: 1,
        };
        assert_eq!(
            fault(PayloadType::KE, &[0, 19, 0]),
            ParseError::new("IKEv2 KE", 34, reason)
        );
    }
}
