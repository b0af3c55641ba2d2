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

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::super::tests::{fault, raw, truncations};
    use super::*;
    use crate::Reason;
    use crate::ike::v2::PayloadType;

    #[test]
    fn a_shared_key_gives_as_many_octets_as_the_prf() {
        // As charon sent it under PRF_HMAC_SHA2_256, decrypted.
        let body = hex!(
            "02 000000"
            "8ee4b2ce4f308161b3c83c589fe1f356cf34a1cd1394866b9b080e368be0d023"
        );
        let auth = Authentication::parse(&raw(PayloadType::AUTH, &body)).unwrap();
        assert_eq!(auth.method, AuthMethod::SHARED_KEY);
        assert_eq!(
            Some(auth.data.len()),
            super::super::Prf::PRF_HMAC_SHA2_256.output_len()
        );
        assert_eq!(auth.digital_signature(), None);
        truncations(PayloadType::AUTH, &body);
    }

    #[test]
    fn a_digital_signature_names_its_algorithm() {
        // The head of charon's ECDSA signature, as decrypted.
        let body = hex!("0e 000000 0c 300a06082a8648ce3d040302 3045022100b2b7");
        let auth = Authentication::parse(&raw(PayloadType::AUTH, &body)).unwrap();
        let signature = auth.digital_signature().unwrap();
        assert_eq!(signature.algorithm.to_string(), "300a06082a8648ce3d040302");
        assert_eq!(signature.signature.to_string(), "3045022100b2b7");
        let short = Authentication::parse(&raw(PayloadType::AUTH, &body[..12])).unwrap();
        assert_eq!(short.digital_signature(), None);
    }

    #[test]
    fn a_short_head_is_a_fault() {
        let reason = Reason::Truncated {
            needed: 3,
            available: 0,
        };
        assert_eq!(
            fault(PayloadType::AUTH, &[2]),
            ParseError::new("IKEv2 AUTH", 33, reason)
        );
    }
}
