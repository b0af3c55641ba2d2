//! NAT-OA payload. (NAT-D is nothing but a hash.)

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::codes::IdType;
use super::{body, rest};
use crate::error::{PResult, be_u8, be_u24};
use crate::ike::RawPayload;
use crate::{Octets, ParseError};

/// NAT original address payload (RFC 3947 §5.2): what the sender thinks that an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatOriginalAddress<'a> {
    /// Octet 4 of the payload: `IPV4_ADDR` or `IPV6_ADDR`.
    pub id_type: IdType,
    /// Octets 5..8, reserved.
    pub reserved: u32,
    /// Octets 8.. See [`Self::address`].
    pub data: Octets<'a>,
}

impl<'a> NatOriginalAddress<'a> {
    /// Reads the body.
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        body("IKEv1 NAT-OA", raw, Self::read)
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

    /// The address; `None` where the octets do not suit the type.
    pub fn address(&self) -> Option<IpAddr> {
        match self.id_type {
            IdType::IPV4_ADDR => <[u8; 4]>::try_from(self.data.0)
                .ok()
                .map(|a| IpAddr::V4(Ipv4Addr::from(a))),
            IdType::IPV6_ADDR => <[u8; 16]>::try_from(self.data.0)
                .ok()
                .map(|a| IpAddr::V6(Ipv6Addr::from(a))),
            _ => None,
        }
    }

    /// Whether a payload of type 16, which may be something else, is one of these.
    pub(super) fn fits(octets: &[u8]) -> bool {
        matches!(
            (octets, octets.len()),
            ([1, 0, 0, 0, ..], 8) | ([5, 0, 0, 0, ..], 20)
        )
    }
}
