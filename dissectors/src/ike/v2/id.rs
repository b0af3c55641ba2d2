//! `IDi`, `IDr` and `IDg` payloads.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::codes::IdType;
use super::{body, rest};
use crate::error::{PResult, be_u8, be_u24};
use crate::ike::RawPayload;
use crate::{Octets, ParseError};

/// Identification payload (RFC 7296 §3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identification<'a> {
    /// Octet 4 of the payload.
    pub id_type: IdType,
    /// Octets 5..8, reserved.
    pub reserved: u32,
    /// Octets 8..
    pub data: Octets<'a>,
}

impl<'a> Identification<'a> {
    /// Reads the body. Whether the data suits the type shows in [`Self::identity`].
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        body("IKEv2 identification", raw, Self::read)
    }

    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, id_type) = be_u8(i)?;
        let (i, reserved) = be_u24(i)?;
        let (i, data) = rest(i)?;
        Ok((
            i,
            Self {
                id_type: IdType(id_type),
                reserved,
                data,
            },
        ))
    }

    /// What the data say, by type.
    pub fn identity(&self) -> Identity<'a> {
        let octets = self.data;
        let text = || core::str::from_utf8(octets.0).ok();
        match self.id_type {
            IdType::ID_IPV4_ADDR => <[u8; 4]>::try_from(octets.0)
                .map_or(Identity::Other(octets), |a| Identity::Ipv4(a.into())),
            IdType::ID_IPV6_ADDR => <[u8; 16]>::try_from(octets.0)
                .map_or(Identity::Other(octets), |a| Identity::Ipv6(a.into())),
            IdType::ID_FQDN => text().map_or(Identity::Other(octets), Identity::Fqdn),
            IdType::ID_RFC822_ADDR => text().map_or(Identity::Other(octets), Identity::Mail),
            IdType::ID_DER_ASN1_DN => Identity::DerName(octets),
            IdType::ID_DER_ASN1_GN => Identity::DerGeneralName(octets),
            IdType::ID_KEY_ID => Identity::KeyId(octets),
            IdType::ID_NULL => Identity::Null,
            _ => Identity::Other(octets),
        }
    }
}

/// An identity, by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity<'a> {
    /// `ID_IPV4_ADDR`.
    Ipv4(Ipv4Addr),
    /// `ID_IPV6_ADDR`.
    Ipv6(Ipv6Addr),
    /// `ID_FQDN`.
    Fqdn(&'a str),
    /// `ID_RFC822_ADDR`.
    Mail(&'a str),
    /// `ID_DER_ASN1_DN`: a distinguished name in DER.
    DerName(Octets<'a>),
    /// `ID_DER_ASN1_GN`: a general name in DER.
    DerGeneralName(Octets<'a>),
    /// `ID_KEY_ID`: vendor-specific octets, often text.
    KeyId(Octets<'a>),
    /// `ID_NULL` (RFC 7619).
    Null,
    /// Another type, or data that do not suit the type.
    Other(Octets<'a>),
}

impl fmt::Display for Identity<'_> {
    /// Text as it is, addresses as usual, everything else in hex; `KeyId` as text where all of it
    /// is printable ASCII.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ipv4(address) => fmt::Display::fmt(&address, f),
            Self::Ipv6(address) => fmt::Display::fmt(&address, f),
            Self::Fqdn(text) | Self::Mail(text) => f.write_str(text),
            Self::KeyId(octets) => match core::str::from_utf8(octets.0) {
                Ok(text) if text.bytes().all(|b| (0x20..0x7f).contains(&b)) => f.write_str(text),
                _ => fmt::Display::fmt(&octets, f),
            },
            Self::Null => f.write_str("(null)"),
            Self::DerName(octets) | Self::DerGeneralName(octets) | Self::Other(octets) => {
                fmt::Display::fmt(&octets, f)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::super::tests::{fault, raw, truncations};
    use super::*;
    use crate::Reason;
    use crate::ike::v2::PayloadType;

    fn identity(body: &[u8]) -> Identity<'_> {
        Identification::parse(&raw(PayloadType::IDI, body))
            .unwrap()
            .identity()
    }

    #[test]
    fn a_gateway_by_name() {
        // As charon sent it, decrypted.
        let body = hex!("02 000000 67772e6578616d706c652e74657374");
        assert_eq!(identity(&body), Identity::Fqdn("gw.example.test"));
        truncations(PayloadType::IDR, &body);
        truncations(PayloadType::IDG, &body);
    }

    #[test]
    fn every_type_says_what_it_is() {
        let of = |body: &[u8]| identity(body).to_string();
        assert_eq!(of(&hex!("01 000000 c0000201")), "192.0.2.1");
        assert_eq!(
            of(&hex!("05 000000 20010db8000000000000000000000001")),
            "2001:db8::1"
        );
        assert_eq!(of(b"\x03\0\0\0bob@example.test"), "bob@example.test");
        assert_eq!(of(b"\x0b\0\0\0group 1"), "group 1");
        assert_eq!(of(&hex!("0b 000000 0102")), "0102");
        assert_eq!(of(&hex!("0d 000000")), "(null)");
        let name = hex!("09 000000 300d310b3009060355040613025858");
        assert!(matches!(identity(&name), Identity::DerName(der) if der[0] == 0x30));
        assert!(matches!(
            identity(&hex!("0a 000000 8201 61")),
            Identity::DerGeneralName(_)
        ));
        assert!(matches!(
            identity(&hex!("c9 000000 61")),
            Identity::Other(_)
        ));
    }

    #[test]
    fn data_that_do_not_suit_their_type_are_kept() {
        assert!(matches!(identity(&hex!("01 000000 c00002")), Identity::Other(d) if d.len() == 3));
        assert!(matches!(
            identity(&hex!("05 000000 c0")),
            Identity::Other(_)
        ));
        assert!(matches!(
            identity(&hex!("02 000000 ff")),
            Identity::Other(_)
        ));
    }

    #[test]
    fn a_short_head_is_a_fault() {
        let reason = Reason::Truncated {
            needed: 3,
            available: 2,
        };
        assert_eq!(
            fault(PayloadType::IDI, &[1, 0, 0]),
            ParseError::new("IKEv2 identification", 33, reason)
        );
    }
}
