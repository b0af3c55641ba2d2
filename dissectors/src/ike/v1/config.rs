//! Attribute payload: mode config and XAUTH.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::codes::{ConfigAttribute, ConfigType};
use super::id::prefix_len;
use super::{Attribute, AttributeValue, Attributes, body, rest};
use crate::error::{PResult, array, be_u8, be_u16};
use crate::ike::RawPayload;
use crate::{Octets, ParseError};

/// Attribute payload (draft-ietf-ipsec-isakmp-mode-cfg §3.2): what a transaction exchange asks for
/// and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Configuration<'a> {
    /// Octet 4 of the payload.
    pub config_type: ConfigType,
    /// Octet 5, reserved.
    pub reserved: u8,
    /// Octets 6..8. The same in request and reply.
    pub identifier: u16,
    /// Octets 8.. The attributes.
    pub octets: Octets<'a>,
    offset: usize,
}

impl<'a> Configuration<'a> {
    /// Reads the four octets before the attributes.
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        let offset = raw.body_offset().saturating_add(4);
        body("IKEv1 attributes", raw, |i| Self::read(i, offset))
    }

    fn read(i: &'a [u8], offset: usize) -> PResult<'a, Self> {
        let (i, config_type) = be_u8(i)?;
        let (i, reserved) = be_u8(i)?;
        let (i, identifier) = be_u16(i)?;
        let (i, octets) = rest(i)?;
        Ok((
            i,
            Self {
                config_type: ConfigType(config_type),
                reserved,
                identifier,
                octets,
                offset,
            },
        ))
    }

    /// The attributes, their codes being [`ConfigAttribute`]s: every good one, then at most one
    /// error. [`ConfigValue::of`] reads a value.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.octets.0, self.offset)
    }

    /// Whether it carries an attribute of XAUTH.
    pub fn is_xauth(&self) -> bool {
        self.attributes()
            .flatten()
            .any(|attribute| ConfigAttribute(attribute.code).is_xauth())
    }
}

/// The value of a configuration attribute.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigValue<'a> {
    /// No value: asked for, without a wish.
    Empty,
    /// A number: a status, a type, a switch, a port, seconds.
    Number(u64),
    /// An address or a mask.
    Ipv4(Ipv4Addr),
    /// An address.
    Ipv6(Ipv6Addr),
    /// A network and its mask.
    Ipv4Subnet(Ipv4Addr, Ipv4Addr),
    /// An address or a network, and the length of its prefix in bits.
    Ipv6Prefix(Ipv6Addr, u8),
    /// Networks that go through the tunnel, or stay out of it.
    Networks(SplitNetworks<'a>),
    /// A name, a banner, a version, a message.
    Text(&'a str),
    /// A password or an answer: `Debug` does not print it.
    Secret(Octets<'a>),
    /// Something else, or a value whose length does not suit the attribute.
    Octets(Octets<'a>),
}

impl<'a> ConfigValue<'a> {
    /// What the value of `attribute` says, by its code.
    pub fn of(attribute: &Attribute<'a>) -> Self {
        use ConfigAttribute as A;
        let code = ConfigAttribute(attribute.code);
        let octets = match attribute.value {
            AttributeValue::Short(number) => return Self::Number(number.into()),
            AttributeValue::Long(octets) => octets,
        };
        if octets.is_empty() {
            return Self::Empty;
        }
        if code.is_secret() {
            return Self::Secret(octets);
        }
        let value = match code {
            A::INTERNAL_IP4_ADDRESS
            | A::INTERNAL_IP4_NETMASK
            | A::INTERNAL_IP4_DNS
            | A::INTERNAL_IP4_NBNS
            | A::INTERNAL_IP4_DHCP => ipv4(octets.0).map(Self::Ipv4),
            A::INTERNAL_IP4_SUBNET => ipv4_subnet(octets.0),
            A::INTERNAL_IP6_ADDRESS | A::INTERNAL_IP6_SUBNET => ipv6_or_prefix(octets.0),
            A::INTERNAL_IP6_NETMASK
            | A::INTERNAL_IP6_DNS
            | A::INTERNAL_IP6_NBNS
            | A::INTERNAL_IP6_DHCP => ipv6(octets.0).map(Self::Ipv6),
            A::INTERNAL_ADDRESS_EXPIRY
            | A::XAUTH_TYPE
            | A::XAUTH_STATUS
            | A::UNITY_SAVE_PASSWD
            | A::UNITY_NATT_PORT
            | A::UNITY_PFS => attribute.value.number().map(Self::Number),
            A::APPLICATION_VERSION
            | A::XAUTH_USER_NAME
            | A::XAUTH_MESSAGE
            | A::XAUTH_DOMAIN
            | A::UNITY_BANNER
            | A::UNITY_DEF_DOMAIN
            | A::UNITY_SPLITDNS_NAME
            | A::UNITY_BACKUP_SERVERS
            | A::UNITY_DDNS_HOSTNAME => core::str::from_utf8(octets.0).ok().map(Self::Text),
            A::UNITY_SPLIT_INCLUDE | A::UNITY_LOCAL_LAN => {
                SplitNetworks::fitting(octets.0).map(Self::Networks)
            }
            _ => None,
        };
        value.unwrap_or(Self::Octets(octets))
    }
}

impl fmt::Debug for ConfigValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Number(number) => write!(f, "Number({number})"),
            Self::Ipv4(address) => write!(f, "Ipv4({address})"),
            Self::Ipv6(address) => write!(f, "Ipv6({address})"),
            Self::Ipv4Subnet(network, mask) => write!(f, "Ipv4Subnet({network}, {mask})"),
            Self::Ipv6Prefix(address, len) => write!(f, "Ipv6Prefix({address}/{len})"),
            Self::Networks(networks) => {
                f.write_str("Networks")?;
                f.debug_list().entries(networks.clone()).finish()
            }
            Self::Text(text) => write!(f, "Text({text:?})"),
            Self::Secret(octets) => write!(f, "Secret({} octets)", octets.len()),
            Self::Octets(octets) => write!(f, "Octets({octets:?})"),
        }
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

fn ipv6_or_prefix<'a>(octets: &[u8]) -> Option<ConfigValue<'a>> {
    if let Some(address) = ipv6(octets) {
        return Some(ConfigValue::Ipv6(address));
    }
    let (&length, address) = octets.split_last()?;
    Some(ConfigValue::Ipv6Prefix(ipv6(address)?, length))
}

/// A list of networks in Cisco's `UNITY_SPLIT_INCLUDE` and `UNITY_LOCAL_LAN`: 14 octets each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitNetworks<'a>(&'a [u8]);

impl<'a> SplitNetworks<'a> {
    const LEN: usize = 14;

    fn fitting(octets: &'a [u8]) -> Option<Self> {
        octets
            .len()
            .is_multiple_of(Self::LEN)
            .then_some(Self(octets))
    }
}

impl Iterator for SplitNetworks<'_> {
    type Item = SplitNetwork;

    fn next(&mut self) -> Option<SplitNetwork> {
        let (rest, network) = SplitNetwork::read(self.0).ok()?;
        self.0 = rest;
        Some(network)
    }
}

/// One network of [`SplitNetworks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitNetwork {
    /// Octets 0..4.
    pub network: Ipv4Addr,
    /// Octets 4..8.
    pub mask: Ipv4Addr,
    /// Octets 8..10. IP protocol; 0 for any.
    pub protocol: u16,
    /// Octets 10..12. 0 for any.
    pub source_port: u16,
    /// Octets 12..14. 0 for any.
    pub destination_port: u16,
}

impl SplitNetwork {
    fn read(i: &[u8]) -> PResult<'_, Self> {
        let (i, network) = array::<4>(i)?;
        let (i, mask) = array::<4>(i)?;
        let (i, protocol) = be_u16(i)?;
        let (i, source_port) = be_u16(i)?;
        let (i, destination_port) = be_u16(i)?;
        Ok((
            i,
            Self {
                network: network.into(),
                mask: mask.into(),
                protocol,
                source_port,
                destination_port,
            },
        ))
    }
}

impl fmt::Display for SplitNetwork {
    /// `10.0.0.0/8`, and protocol and ports where they are not any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match prefix_len(u32::from(self.mask).into(), 32) {
            Some(len) => write!(f, "{}/{len}", self.network)?,
            None => write!(f, "{}/{}", self.network, self.mask)?,
        }
        let Self {
            protocol,
            source_port,
            destination_port,
            ..
        } = self;
        if (protocol, source_port, destination_port) == (&0, &0, &0) {
            return Ok(());
        }
        write!(
            f,
            " protocol {protocol} ports {source_port}:{destination_port}"
        )
    }
}
