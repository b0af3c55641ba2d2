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
