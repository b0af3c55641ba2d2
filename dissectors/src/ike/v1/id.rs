//! Identification payload.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::codes::IdType;
use super::{body, rest};
use crate::error::{PResult, be_u8, be_u16};
use crate::ike::RawPayload;
use crate::{Octets, ParseError};

/// Identification payload (RFC 2407 §4.6.2): in phase 1 who the sender is, in phase 2 what traffic
/// the SA is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identification<'a> {
    /// Octet 4 of the payload.
    pub id_type: IdType,
    /// Octet 5. IP protocol; 0 for any.
    pub protocol: u8,
    /// Octets 6..8. Port; 0 for any.
    pub port: u16,
    /// Octets 8..
    pub data: Octets<'a>,
}

impl<'a> Identification<'a> {
    /// Reads the body. Whether the data suits the type shows in [`Self::identity`].
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        body("IKEv1 identification", raw, Self::read)
    }

    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, id_type) = be_u8(i)?;
        let (i, protocol) = be_u8(i)?;
        let (i, port) = be_u16(i)?;
        let (i, data) = rest(i)?;
        Ok((
            i,
            Self {
                id_type: IdType(id_type),
                protocol,
                port,
                data,
            },
        ))
    }

    /// What the data say, by type.
    pub fn identity(&self) -> Identity<'a> {
        let octets = self.data;
        let text = || core::str::from_utf8(octets.0).ok();
        let found =
            match self.id_type {
                IdType::IPV4_ADDR => exact(octets).map(|a: [u8; 4]| Identity::Ipv4(a.into())),
                IdType::IPV6_ADDR => exact(octets).map(|a: [u8; 16]| Identity::Ipv6(a.into())),
                IdType::IPV4_ADDR_SUBNET => pair(octets)
                    .map(|(a, b): ([u8; 4], _)| Identity::Ipv4Subnet(a.into(), b.into())),
                IdType::IPV6_ADDR_SUBNET => pair(octets)
                    .map(|(a, b): ([u8; 16], _)| Identity::Ipv6Subnet(a.into(), b.into())),
                IdType::IPV4_ADDR_RANGE => {
                    pair(octets).map(|(a, b): ([u8; 4], _)| Identity::Ipv4Range(a.into(), b.into()))
                }
                IdType::IPV6_ADDR_RANGE => pair(octets)
                    .map(|(a, b): ([u8; 16], _)| Identity::Ipv6Range(a.into(), b.into())),
                IdType::FQDN => text().map(Identity::Fqdn),
                IdType::USER_FQDN => text().map(Identity::UserFqdn),
                IdType::DER_ASN1_DN => Some(Identity::DerName(octets)),
                IdType::DER_ASN1_GN => Some(Identity::DerGeneralName(octets)),
                IdType::KEY_ID => Some(Identity::KeyId(octets)),
                _ => None,
            };
        found.unwrap_or(Identity::Other(octets))
    }
}

fn exact<const N: usize>(octets: Octets<'_>) -> Option<[u8; N]> {
    octets.0.try_into().ok()
}

fn pair<const N: usize>(octets: Octets<'_>) -> Option<([u8; N], [u8; N])> {
    let (&first, second) = octets.0.split_first_chunk::<N>()?;
    Some((first, second.try_into().ok()?))
}

/// An identity, by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity<'a> {
    /// `ID_IPV4_ADDR`.
    Ipv4(Ipv4Addr),
    /// `ID_FQDN`.
    Fqdn(&'a str),
    /// `ID_USER_FQDN`.
    UserFqdn(&'a str),
    /// `ID_IPV4_ADDR_SUBNET`: address and mask.
    Ipv4Subnet(Ipv4Addr, Ipv4Addr),
    /// `ID_IPV6_ADDR`.
    Ipv6(Ipv6Addr),
    /// `ID_IPV6_ADDR_SUBNET`: address and mask.
    Ipv6Subnet(Ipv6Addr, Ipv6Addr),
    /// `ID_IPV4_ADDR_RANGE`: first and last.
    Ipv4Range(Ipv4Addr, Ipv4Addr),
    /// `ID_IPV6_ADDR_RANGE`: first and last.
    Ipv6Range(Ipv6Addr, Ipv6Addr),
    /// `ID_DER_ASN1_DN`: a distinguished name in DER.
    DerName(Octets<'a>),
    /// `ID_DER_ASN1_GN`: a general name in DER.
    DerGeneralName(Octets<'a>),
    /// `ID_KEY_ID`: vendor-specific octets, often text: with Cisco the group's name.
    KeyId(Octets<'a>),
    /// Another type, or data that do not suit the type.
    Other(Octets<'a>),
}

impl fmt::Display for Identity<'_> {
    /// Text as it is, addresses as usual, networks with the length of their prefix, everything
    /// else in hex; `KeyId` as text where all of it is printable ASCII.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ipv4(address) => fmt::Display::fmt(&address, f),
            Self::Ipv6(address) => fmt::Display::fmt(&address, f),
            Self::Fqdn(text) | Self::UserFqdn(text) => f.write_str(text),
            Self::Ipv4Subnet(network, mask) => {
                let bits = u32::from(mask);
                match prefix_len(u128::from(bits), 32) {
                    Some(len) => write!(f, "{network}/{len}"),
                    None => write!(f, "{network}/{mask}"),
                }
            }
            Self::Ipv6Subnet(network, mask) => match prefix_len(u128::from(mask), 128) {
                Some(len) => write!(f, "{network}/{len}"),
                None => write!(f, "{network}/{mask}"),
            },
            Self::Ipv4Range(first, last) => write!(f, "{first}-{last}"),
            Self::Ipv6Range(first, last) => write!(f, "{first}-{last}"),
            Self::KeyId(octets) => match core::str::from_utf8(octets.0) {
                Ok(text) if text.bytes().all(|b| (0x20..0x7f).contains(&b)) => f.write_str(text),
                _ => fmt::Display::fmt(&octets, f),
            },
            Self::DerName(octets) | Self::DerGeneralName(octets) | Self::Other(octets) => {
                fmt::Display::fmt(&octets, f)
            }
        }
    }
}

/// Length of the prefix that a mask of `width` bits makes; `None` where its ones are not in front.
pub(super) fn prefix_len(mask: u128, width: u32) -> Option<u32> {
    let ones = mask.count_ones();
    let zeros = width.checked_sub(ones)?;
    let prefix = if ones == 0 {
        0
    } else {
        u128::MAX
            .checked_shr(128_u32.saturating_sub(ones))?
            .checked_shl(zeros)?
    };
    (mask == prefix).then_some(ones)
}
