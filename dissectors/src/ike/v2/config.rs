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

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::super::tests::{fault, raw, truncations};
    use super::*;
    use crate::Reason;
    use crate::ike::v2::PayloadType;

    fn values(body: &[u8]) -> Vec<(ConfigAttributeType, ConfigValue<'_>)> {
        Configuration::parse(&raw(PayloadType::CP, body))
            .unwrap()
            .attributes()
            .map(|attribute| {
                let attribute = attribute.unwrap();
                (attribute.attribute_type, attribute.value())
            })
            .collect()
    }

    #[test]
    fn a_reply_gives_an_address_and_a_name_server() {
        // As charon sent it, decrypted.
        let body = hex!("02 000000 0001 0004 0a1e0001 0003 0004 0a140035");
        let config = Configuration::parse(&raw(PayloadType::CP, &body)).unwrap();
        assert_eq!(config.config_type, ConfigType::CFG_REPLY);
        assert_eq!(
            values(&body),
            [
                (
                    ConfigAttributeType::INTERNAL_IP4_ADDRESS,
                    ConfigValue::Ipv4([10, 30, 0, 1].into())
                ),
                (
                    ConfigAttributeType::INTERNAL_IP4_DNS,
                    ConfigValue::Ipv4([10, 20, 0, 53].into())
                ),
            ]
        );
        truncations(PayloadType::CP, &body);
    }

    #[test]
    fn a_request_wishes_nothing_in_particular() {
        // As charon sent it, decrypted.
        let body = hex!("01 000000 0001 0000");
        assert_eq!(
            values(&body),
            [(
                ConfigAttributeType::INTERNAL_IP4_ADDRESS,
                ConfigValue::Empty
            )]
        );
    }

    #[test]
    fn every_kind_of_value() {
        // By hand from RFC 7296 §3.15.1, RFC 8598 §4.1 and 3GPP TS 24.302 §8.2.4.2; the reserved
        // bit of the second is set.
        let body = hex!(
            "02 000000"
            "000d 0008 0a140000 ffff0000"
            "8008 0011 20010db8000000000000000000000001 40"
            "000a 0010 20010db8000000000000000000000035"
            "0019 0004 74657374"
            "000e 0004 0001 0003"
            "0018 0004 0000003c"
            "0001 0003 0a0101"
            "0007 0001 ff"
            "7fff 0002 0102"
        );
        let values: Vec<_> = values(&body).into_iter().map(|(_, value)| value).collect();
        assert_eq!(
            values[0],
            ConfigValue::Ipv4Subnet([10, 20, 0, 0].into(), [255, 255, 0, 0].into())
        );
        let address = "2001:db8::1".parse().unwrap();
        assert_eq!(values[1], ConfigValue::Ipv6Prefix(address, 64));
        assert!(matches!(values[2], ConfigValue::Ipv6(a) if a.segments()[7] == 0x35));
        assert_eq!(values[3], ConfigValue::Text("test"));
        let ConfigValue::Supported(types) = values[4] else {
            panic!("{:?}", values[4]);
        };
        assert_eq!(
            types.iter().collect::<Vec<_>>(),
            [
                ConfigAttributeType::INTERNAL_IP4_ADDRESS,
                ConfigAttributeType::INTERNAL_IP4_DNS
            ]
        );
        assert_eq!(values[5], ConfigValue::Seconds(60));
        // Of the wrong length, no text, unknown.
        assert_eq!(values[6], ConfigValue::Octets(Octets(&[10, 1, 1])));
        assert_eq!(values[7], ConfigValue::Octets(Octets(&[0xff])));
        assert_eq!(values[8], ConfigValue::Octets(Octets(&[1, 2])));
        truncations(PayloadType::CP, &body);
    }

    #[test]
    fn a_value_longer_than_the_payload_is_a_fault() {
        let reason = Reason::Truncated {
            needed: 5,
            available: 4,
        };
        assert_eq!(
            fault(PayloadType::CP, &hex!("02 000000 0001 0005 0a1e0001")),
            ParseError::new("IKEv2 CP attribute", 40, reason)
        );
    }
}
