//! CP payload.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::codes::{ConfigAttributeType, ConfigType};
use super::notify::Codes16;
use super::{body, rest};
use crate::error::{PResult, be_u8, be_u16, be_u24, located, take};
use crate::ike::RawPayload;
use crate::{Octets, ParseError};

/// CP payload (RFC 7296 §3.15): addresses and names asked for and given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Configuration<'a> {
    /// Octet 4 of the payload.
    pub config_type: ConfigType,
    /// Octets 5..8, reserved.
    pub reserved: u32,
    /// Octets 8.. The attributes.
    pub octets: Octets<'a>,
    offset: usize,
}

impl<'a> Configuration<'a> {
    /// Reads the four octets before the attributes.
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        let offset = raw.body_offset().saturating_add(4);
        body("IKEv2 CP", raw, |i| {
            let (i, config_type) = be_u8(i)?;
            let (i, reserved) = be_u24(i)?;
            let (i, octets) = rest(i)?;
            Ok((
                i,
                Self {
                    config_type: ConfigType(config_type),
                    reserved,
                    octets,
                    offset,
                },
            ))
        })
    }

    /// The attributes: every good one, then at most one error.
    pub const fn attributes(&self) -> ConfigAttributes<'a> {
        ConfigAttributes {
            rest: self.octets.0,
            offset: self.offset,
        }
    }
}

/// The attributes of a configuration; see [`Configuration::attributes`].
#[derive(Debug, Clone)]
pub struct ConfigAttributes<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for ConfigAttributes<'a> {
    type Item = Result<ConfigAttribute<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let what = "IKEv2 CP attribute";
        match located(what, self.rest, self.rest, ConfigAttribute::read) {
            Ok((rest, attribute)) => {
                let read = self.rest.len().saturating_sub(rest.len());
                self.offset = self.offset.saturating_add(read);
                self.rest = rest;
                Some(Ok(attribute))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error.moved(self.offset)))
            }
        }
    }
}

/// A configuration attribute (RFC 7296 §3.15.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigAttribute<'a> {
    /// Octets 0..2 without the reserved bit.
    pub attribute_type: ConfigAttributeType,
    /// Octets 4.., as many as octets 2..4 say. Empty in a request that has no wish.
    pub octets: Octets<'a>,
}

impl<'a> ConfigAttribute<'a> {
    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, attribute_type) = be_u16(i)?;
        let (i, length) = be_u16(i)?;
        let (i, octets) = take(length.into())(i)?;
        Ok((
            i,
            Self {
                attribute_type: ConfigAttributeType(attribute_type & 0x7fff),
                octets: Octets(octets),
            },
        ))
    }

    /// What the value says, by type; [`ConfigValue::Octets`] where it does not suit the type.
    pub fn value(&self) -> ConfigValue<'a> {
        use ConfigAttributeType as T;
        let octets = self.octets;
        if octets.is_empty() {
            return ConfigValue::Empty;
        }
        let value = match self.attribute_type {
            T::INTERNAL_IP4_ADDRESS
            | T::INTERNAL_IP4_NETMASK
            | T::INTERNAL_IP4_DNS
            | T::INTERNAL_IP4_NBNS
            | T::INTERNAL_IP4_DHCP
            | T::P_CSCF_IP4_ADDRESS
            | T::INTERNAL_IP4_SERVER => ipv4(octets.0).map(ConfigValue::Ipv4),
            T::INTERNAL_IP4_SUBNET => ipv4_subnet(octets.0),
            T::INTERNAL_IP6_ADDRESS | T::INTERNAL_IP6_SUBNET => ipv6_prefix(octets.0),
            T::INTERNAL_IP6_DNS
            | T::INTERNAL_IP6_DHCP
            | T::P_CSCF_IP6_ADDRESS
            | T::INTERNAL_IP6_SERVER => ipv6(octets.0).map(ConfigValue::Ipv6),
            T::APPLICATION_VERSION
            | T::INTERNAL_DNS_DOMAIN
            | T::UNITY_BANNER
            | T::UNITY_DEF_DOMAIN
            | T::UNITY_SPLITDNS_NAME => core::str::from_utf8(octets.0).ok().map(ConfigValue::Text),
            T::SUPPORTED_ATTRIBUTES => Codes16::parse(octets.0).map(ConfigValue::Supported),
            T::TIMEOUT_PERIOD_FOR_LIVENESS_CHECK => <[u8; 4]>::try_from(octets.0)
                .ok()
                .map(|seconds| ConfigValue::Seconds(u32::from_be_bytes(seconds))),
            _ => None,
        };
        value.unwrap_or(ConfigValue::Octets(octets))
    }
}

fn ipv4(octets: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from)
}

fn ipv6(octets: &[u8]) -> Option<Ipv6Addr> {
    <[u8; 16]>::try_from(octets).ok().map(Ipv6Addr::from)
}

fn ipv4_subnet<'a>(octets: &[u8]) -> Option<ConfigValue<'a>> {
    let (&network, mask) = octets.split_first_chunk::<4>()?;
    Some(ConfigValue::Ipv4Subnet(network.into(), ipv4(mask)?))
}

fn ipv6_prefix<'a>(octets: &[u8]) -> Option<ConfigValue<'a>> {
    let (&length, address) = octets.split_last()?;
    Some(ConfigValue::Ipv6Prefix(ipv6(address)?, length))
}

/// The value of a configuration attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigValue<'a> {
    /// No value: asked for, without a wish.
    Empty,
    /// An address or a mask.
    Ipv4(Ipv4Addr),
    /// An address.
    Ipv6(Ipv6Addr),
    /// A network and its mask.
    Ipv4Subnet(Ipv4Addr, Ipv4Addr),
    /// An address or a network, and the length of its prefix in bits.
    Ipv6Prefix(Ipv6Addr, u8),
    /// A name, a banner, a version.
    Text(&'a str),
    /// Attribute types the sender knows.
    Supported(Codes16<'a, ConfigAttributeType>),
    /// A time in seconds.
    Seconds(u32),
    /// Something else, or a value whose length does not suit the type.
    Octets(Octets<'a>),
}
