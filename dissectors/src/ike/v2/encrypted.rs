//! SK and SKF payloads: what can be said without keys.

use super::codes::{Encryption, Integrity, PayloadType};
use super::{body, rest};
use crate::error::{PResult, be_u16};
use crate::ike::RawPayload;
use crate::{Octets, ParseError};

/// SK payload (RFC 7296 §3.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encrypted<'a> {
    /// Octet 0 of the payload. Type of the first payload inside.
    pub first_payload: PayloadType,
    /// Octets 4.. Initialisation vector, encrypted octets, integrity check value.
    pub octets: Octets<'a>,
}

impl<'a> Encrypted<'a> {
    /// Takes the body.
    pub const fn parse(raw: &RawPayload<'a>) -> Self {
        Self {
            first_payload: PayloadType(raw.next_payload),
            octets: Octets(raw.body),
        }
    }

    /// The parts, once the algorithms are known.
    pub fn sealed(&self, encryption: Encryption, integrity: Integrity) -> Option<Sealed<'a>> {
        Sealed::split(self.octets, encryption, integrity)
    }
}

/// SKF payload (RFC 7383 §2.5): one fragment of an SK payload, protected by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncryptedFragment<'a> {
    /// Octet 0 of the payload. Type of the first payload inside, in the first fragment alone; 0
    /// in the others.
    pub first_payload: PayloadType,
    /// Octets 4..6. Counted from 1.
    pub fragment_number: u16,
    /// Octets 6..8.
    pub total_fragments: u16,
    /// Octets 8.. Initialisation vector, encrypted octets, integrity check value.
    pub octets: Octets<'a>,
}

impl<'a> EncryptedFragment<'a> {
    /// Reads the body.
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        let first_payload = PayloadType(raw.next_payload);
        body("IKEv2 SKF", raw, |i| Self::read(i, first_payload))
    }

    fn read(i: &'a [u8], first_payload: PayloadType) -> PResult<'a, Self> {
        let (i, fragment_number) = be_u16(i)?;
        let (i, total_fragments) = be_u16(i)?;
        let (i, octets) = rest(i)?;
        Ok((
            i,
            Self {
                first_payload,
                fragment_number,
                total_fragments,
                octets,
            },
        ))
    }

    /// Whether the number lies within 1 and the total, as RFC 7383 §2.5 demands.
    pub const fn is_numbered_right(&self) -> bool {
        self.fragment_number >= 1 && self.fragment_number <= self.total_fragments
    }

    /// The parts, once the algorithms are known.
    pub fn sealed(&self, encryption: Encryption, integrity: Integrity) -> Option<Sealed<'a>> {
        Sealed::split(self.octets, encryption, integrity)
    }
}

/// The parts of an encrypted payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// Initialisation vector.
    pub iv: Octets<'a>,
    /// Encrypted payloads, padding and pad length.
    pub ciphertext: Octets<'a>,
    /// Integrity check value.
    pub icv: Octets<'a>,
}

impl<'a> Sealed<'a> {
    fn split(octets: Octets<'a>, encryption: Encryption, integrity: Integrity) -> Option<Self> {
        let icv_len = if encryption.is_aead() {
            encryption.icv_len()?
        } else {
            integrity.icv_len()?
        };
        let (iv, rest) = octets.0.split_at_checked(encryption.iv_len()?)?;
        let (ciphertext, icv) = rest.split_at_checked(rest.len().checked_sub(icv_len)?)?;
        Some(Self {
            iv: Octets(iv),
            ciphertext: Octets(ciphertext),
            icv: Octets(icv),
        })
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
    fn a_fragment_has_its_number_in_clear() {
        // The head of charon's first fragment of two.
        let body = hex!("0001 0002 a4764c83f344f287");
        let mut payload = raw(PayloadType::SKF, &body);
        payload.next_payload = 35;
        let fragment = EncryptedFragment::parse(&payload).unwrap();
        assert_eq!(fragment.first_payload, PayloadType::IDI);
        assert_eq!((fragment.fragment_number, fragment.total_fragments), (1, 2));
        assert!(fragment.is_numbered_right());
        assert_eq!(fragment.octets.to_string(), "a4764c83f344f287");
        truncations(PayloadType::SKF, &body);
    }

    #[test]
    fn numbers_out_of_order_are_kept() {
        for body in [hex!("0000 0002"), hex!("0003 0002"), hex!("0001 0000")] {
            let fragment = EncryptedFragment::parse(&raw(PayloadType::SKF, &body)).unwrap();
            assert!(!fragment.is_numbered_right());
        }
        let reason = Reason::Truncated {
            needed: 2,
            available: 1,
        };
        assert_eq!(
            fault(PayloadType::SKF, &[0, 1, 0]),
            ParseError::new("IKEv2 SKF", 34, reason)
        );
    }

    #[test]
    fn the_parts_follow_from_the_algorithms() {
        let body = [7; 48];
        let encrypted = Encrypted::parse(&raw(PayloadType::SK, &body));
        let lens = |encryption, integrity| {
            encrypted
                .sealed(encryption, integrity)
                .map(|s| (s.iv.len(), s.ciphertext.len(), s.icv.len()))
        };
        assert_eq!(
            lens(Encryption::ENCR_AES_CBC, Integrity::AUTH_HMAC_SHA2_256_128),
            Some((16, 16, 16))
        );
        assert_eq!(
            lens(Encryption::ENCR_AES_GCM_16, Integrity::NONE),
            Some((8, 24, 16))
        );
        // Too short, and unknown.
        assert_eq!(
            lens(Encryption::ENCR_AES_CBC, Integrity::AUTH_HMAC_SHA2_512_256),
            Some((16, 0, 32))
        );
        assert_eq!(lens(Encryption(99), Integrity::NONE), None);
        let short = Encrypted::parse(&raw(PayloadType::SK, &body[..20]));
        assert_eq!(
            short.sealed(Encryption::ENCR_AES_GCM_16, Integrity::NONE),
            None
        );
    }
}
