//! RADIUS (RFC 2865, RFC 2866, RFC 5176): the header and the attributes.
//!
//! In: the payload of a UDP datagram. Out: code, identifier, authenticator and the lazy
//! chain of attributes. What this does not do: nothing is decrypted or verified, that takes
//! the shared secret.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::error::{array, be_u8, be_u16, be_u32, located};
use crate::ppp::auth::MsChapFailure;
use crate::{Octets, ParseError, Reason, Verdict};

mod codes;

pub use codes::{AttributeType, Code, MicrosoftType};

/// The UDP ports of authentication, accounting and dynamic authorisation, and the old ones.
pub const PORTS: [u16; 5] = [1812, 1813, 1645, 1646, 3799];

/// Microsoft's vendor number (RFC 2548).
pub const MICROSOFT: u32 = 311;

/// One RADIUS packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Octet 0.
    pub code: Code,
    /// Octet 1. Matches answers to requests, together with the client's address and port.
    pub identifier: u8,
    /// Octets 2..4. Length of the whole packet, as declared.
    pub length: u16,
    /// Octets 4..20. Random in a request; a retransmission repeats it.
    pub authenticator: [u8; 16],
    /// The attributes' octets, cut to the declared length where that is shorter.
    pub body: &'a [u8],
    /// What is wrong with the declared length, if anything.
    pub length_fault: Option<ParseError>,
    /// Octets after the declared end: padding.
    pub trailing: usize,
}

impl<'a> Packet<'a> {
    /// Size of the header in octets.
    pub const HEADER_LEN: usize = 20;
    /// The greatest length of a packet in octets (RFC 2865 §3).
    pub const MAX_LEN: usize = 4096;

    /// Reads the header and delimits the attributes.
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        let (rest, mut packet) = located("RADIUS header", octets, octets, |i| {
            let (i, code) = be_u8(i)?;
            let (i, identifier) = be_u8(i)?;
            let (i, length) = be_u16(i)?;
            let (i, authenticator) = array(i)?;
            let packet = Packet {
                code: Code(code),
                identifier,
                length,
                authenticator,
                body: i,
                length_fault: None,
                trailing: 0,
            };
            Ok((i, packet))
        })?;
        let declared = usize::from(packet.length);
        let reason = if declared < Self::HEADER_LEN {
            Some(Reason::BadLength {
                value: declared,
                least: Self::HEADER_LEN,
            })
        } else if let Some(body) = rest.get(..declared.saturating_sub(Self::HEADER_LEN)) {
            packet.body = body;
            None
        } else {
            Some(Reason::Truncated {
                needed: declared,
                available: octets.len(),
            })
        };
        packet.length_fault = reason.map(|reason| ParseError::new("RADIUS length", 2, reason));
        packet.trailing = rest.len().saturating_sub(packet.body.len());
        Ok(packet)
    }

    /// The attributes.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes {
            rest: self.body,
            offset: Self::HEADER_LEN,
        }
    }

    /// The first attribute of a type.
    pub fn attribute(&self, wanted: AttributeType) -> Option<Attribute<'a>> {
        self.attributes()
            .map_while(Result::ok)
            .find(|attribute| attribute.attribute_type == wanted)
    }
}

impl Code {
    /// Whether a client asks.
    pub const fn is_request(self) -> bool {
        matches!(
            self,
            Self::ACCESS_REQUEST
                | Self::ACCOUNTING_REQUEST
                | Self::STATUS_SERVER
                | Self::DISCONNECT_REQUEST
                | Self::COA_REQUEST
        )
    }
}

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Octet 0.
    pub attribute_type: AttributeType,
    /// Octet 1. Length with the two header octets.
    pub length: u8,
    /// Offset of the attribute from the start of the packet.
    pub offset: usize,
    /// The value.
    pub body: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// Whether the value is a password, a proof of one, or a key, hidden as RADIUS hides it.
    pub fn is_secret(&self) -> bool {
        match self.attribute_type {
            AttributeType::USER_PASSWORD
            | AttributeType::CHAP_PASSWORD
            | AttributeType::TUNNEL_PASSWORD
            | AttributeType::ARAP_PASSWORD
            | AttributeType::ARAP_CHALLENGE_RESPONSE => true,
            AttributeType::VENDOR_SPECIFIC => self
                .vendor_attributes()
                .is_some_and(|mut all| all.any(|sub| sub.is_ok_and(|sub| sub.is_secret()))),
            _ => false,
        }
    }

    /// Reads the value as its type demands; a value of the wrong size comes as octets.
    pub fn value(&self) -> Value<'a> {
        let octets = Value::Octets(Octets(self.body));
        if self.is_secret() {
            return Value::Secret(Octets(self.body));
        }
        match self.attribute_type {
            AttributeType::USER_NAME
            | AttributeType::FILTER_ID
            | AttributeType::REPLY_MESSAGE
            | AttributeType::CALLED_STATION_ID
            | AttributeType::CALLING_STATION_ID
            | AttributeType::NAS_IDENTIFIER
            | AttributeType::ACCT_SESSION_ID
            | AttributeType::CONNECT_INFO
            | AttributeType::NAS_PORT_ID
            | AttributeType::FRAMED_POOL
            | AttributeType::OPERATOR_NAME => Value::Text(Octets(self.body)),
            AttributeType::NAS_IP_ADDRESS
            | AttributeType::FRAMED_IP_ADDRESS
            | AttributeType::FRAMED_IP_NETMASK
            | AttributeType::LOGIN_IP_HOST => match self.body.first_chunk::<4>() {
                Some(address) if self.body.len() == 4 => Value::Ipv4(Ipv4Addr::from(*address)),
                _ => octets,
            },
            AttributeType::NAS_IPV6_ADDRESS | AttributeType::FRAMED_IPV6_ADDRESS => {
                match self.body.first_chunk::<16>() {
                    Some(address) if self.body.len() == 16 => Value::Ipv6(Ipv6Addr::from(*address)),
                    _ => octets,
                }
            }
            AttributeType::NAS_PORT
            | AttributeType::SERVICE_TYPE
            | AttributeType::FRAMED_PROTOCOL
            | AttributeType::FRAMED_MTU
            | AttributeType::SESSION_TIMEOUT
            | AttributeType::IDLE_TIMEOUT
            | AttributeType::ACCT_STATUS_TYPE
            | AttributeType::ACCT_SESSION_TIME
            | AttributeType::ACCT_TERMINATE_CAUSE
            | AttributeType::NAS_PORT_TYPE
            | AttributeType::ERROR_CAUSE => match self.body.first_chunk::<4>() {
                Some(number) if self.body.len() == 4 => Value::Number(u32::from_be_bytes(*number)),
                _ => octets,
            },
            _ => octets,
        }
    }

    /// The vendor's attributes inside Vendor-Specific (RFC 2865 §5.26), where it is one and
    /// long enough.
    pub fn vendor_attributes(&self) -> Option<VendorAttributes<'a>> {
        if self.attribute_type != AttributeType::VENDOR_SPECIFIC {
            return None;
        }
        let (rest, vendor) = be_u32(self.body).ok()?;
        Some(VendorAttributes {
            vendor,
            inner: Attributes {
                rest,
                offset: self.offset.saturating_add(6),
            },
        })
    }

    /// The MS-CHAP error inside a Microsoft attribute: an identifier octet, then the text
    /// that the PPP peer gets (RFC 2548 §2.1.5).
    pub fn ms_chap_error(&self) -> Option<MsChapFailure<'a>> {
        self.vendor_attributes()?
            .map_while(Result::ok)
            .filter(|sub| sub.vendor == MICROSOFT)
            .find(|sub| MicrosoftType(sub.vendor_type) == MicrosoftType::MS_CHAP_ERROR)
            .and_then(|sub| MsChapFailure::parse(sub.body.get(1..)?))
    }
}

/// A value, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Text.
    Text(Octets<'a>),
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
    /// A 32-bit number.
    Number(u32),
    /// A password, a proof of one, or a key. Never to be shown unasked.
    Secret(Octets<'a>),
    /// Anything else.
    Octets(Octets<'a>),
}

/// The attributes: every good one, then at most one error.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Attributes<'a> {
    fn step(&mut self) -> Result<Attribute<'a>, ParseError> {
        let error = |reason| ParseError::new("RADIUS attribute", self.offset, reason);
        let available = self.rest.len();
        let Some((&[attribute_type, length], _)) = self.rest.split_first_chunk::<2>() else {
            return Err(error(Reason::Truncated {
                needed: 2,
                available,
            }));
        };
        let len = usize::from(length);
        if len < 2 {
            return Err(error(Reason::BadLength {
                value: len,
                least: 2,
            }));
        }
        let Some((attribute, rest)) = self.rest.split_at_checked(len) else {
            return Err(error(Reason::Truncated {
                needed: len,
                available,
            }));
        };
        let offset = self.offset;
        self.rest = rest;
        self.offset = offset.saturating_add(len);
        Ok(Attribute {
            attribute_type: AttributeType(attribute_type),
            length,
            offset,
            body: attribute.get(2..).unwrap_or_default(),
        })
    }
}

until_error!(Attributes gives Attribute);

/// One attribute inside Vendor-Specific.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VendorAttribute<'a> {
    /// The vendor's enterprise number.
    pub vendor: u32,
    /// The vendor's type.
    pub vendor_type: u8,
    /// Offset from the start of the packet.
    pub offset: usize,
    /// The value.
    pub body: &'a [u8],
}

impl VendorAttribute<'_> {
    /// Whether it is a Microsoft password hash, proof or key.
    pub fn is_secret(&self) -> bool {
        self.vendor == MICROSOFT
            && matches!(
                MicrosoftType(self.vendor_type),
                MicrosoftType::MS_CHAP_RESPONSE
                    | MicrosoftType::MS_CHAP_CPW_1
                    | MicrosoftType::MS_CHAP_CPW_2
                    | MicrosoftType::MS_CHAP_LM_ENC_PW
                    | MicrosoftType::MS_CHAP_NT_ENC_PW
                    | MicrosoftType::MS_CHAP_MPPE_KEYS
                    | MicrosoftType::MS_MPPE_SEND_KEY
                    | MicrosoftType::MS_MPPE_RECV_KEY
                    | MicrosoftType::MS_OLD_ARAP_PASSWORD
                    | MicrosoftType::MS_NEW_ARAP_PASSWORD
                    | MicrosoftType::MS_CHAP2_RESPONSE
                    | MicrosoftType::MS_CHAP2_CPW
            )
    }
}

/// The attributes inside Vendor-Specific. Vendors may format theirs otherwise: an error
/// here is no fault of the packet.
#[derive(Debug, Clone)]
pub struct VendorAttributes<'a> {
    vendor: u32,
    inner: Attributes<'a>,
}

impl<'a> Iterator for VendorAttributes<'a> {
    type Item = Result<VendorAttribute<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let vendor = self.vendor;
        self.inner.next().map(|item| {
            item.map(|attribute| VendorAttribute {
                vendor,
                vendor_type: attribute.attribute_type.0,
                offset: attribute.offset,
                body: attribute.body,
            })
        })
    }
}

/// Whether a UDP payload is RADIUS: a known code, a length that is the datagram's, and a
/// chain of attributes that ends where the packet ends. With fewer than two attributes the
/// structure says too little and a port must speak for it.
pub fn recognise(octets: &[u8]) -> Verdict {
    let Ok(packet) = Packet::parse(octets) else {
        return Verdict::NotOurs;
    };
    let declared = usize::from(packet.length);
    if packet.code.name().is_none() || packet.length_fault.is_some() || declared > Packet::MAX_LEN {
        return Verdict::NotOurs;
    }
    let mut known = 0usize;
    for attribute in packet.attributes() {
        let Ok(attribute) = attribute else {
            return Verdict::NotOurs;
        };
        known = known.saturating_add(usize::from(attribute.attribute_type.name().is_some()));
    }
    if packet.trailing == 0 && known >= 2 {
        Verdict::Certain
    } else {
        Verdict::Unsure
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;
    use proptest::prelude::*;

    use super::*;
    use crate::ppp::MsChapError;

    const REQUEST: [u8; 68] = hex!(
        "01" "2a" "0044" "000102030405060708090a0b0c0d0e0f"
        "01" "05" "626f62"                                         // User-Name
        "02" "12" "ffffffffffffffffffffffffffffffff"               // User-Password
        "04" "06" "0a000001"                                       // NAS-IP-Address
        "05" "06" "00000007"                                       // NAS-Port
        "20" "06" "6e617331"                                       // NAS-Identifier
        "04" "05" "0a0000"                                         // NAS-IP-Address, short
        "18" "02"                                                  // State, empty
    );

    #[test]
    fn attributes_are_read_and_secrets_marked() {
        let packet = Packet::parse(&REQUEST).unwrap();
        assert_eq!((packet.code, packet.identifier), (Code::ACCESS_REQUEST, 42));
        assert!(packet.code.is_request());
        let values: Vec<_> = packet.attributes().map(|a| a.unwrap().value()).collect();
        assert_eq!(
            values,
            [
                Value::Text(Octets(b"bob")),
                Value::Secret(Octets(&[0xff; 16])),
                Value::Ipv4(Ipv4Addr::new(10, 0, 0, 1)),
                Value::Number(7),
                Value::Text(Octets(b"nas1")),
                Value::Octets(Octets(&[10, 0, 0])),
                Value::Octets(Octets(&[])),
            ]
        );
        assert_eq!(recognise(&REQUEST), Verdict::Certain);
        let name = packet.attribute(AttributeType::USER_NAME).unwrap();
        assert_eq!((name.offset, name.body), (20, &b"bob"[..]));
        assert_eq!(AttributeType(32).to_string(), "NAS-Identifier");
    }

    #[test]
    fn microsoft_attributes() {
        let reject = hex!(
            "03" "2a" "002a" "00000000000000000000000000000000"
            "1a" "16" "00000137" "02" "10" "01" "453d3639312052" "3d3020563d33"
        );
        let packet = Packet::parse(&reject).unwrap();
        let attribute = packet.attribute(AttributeType::VENDOR_SPECIFIC).unwrap();
        assert!(!attribute.is_secret());
        let failure = attribute.ms_chap_error().unwrap();
        assert_eq!(failure.error, MsChapError::AUTHENTICATION_FAILURE);
        assert_eq!(failure.retry, Some(false));
        // One attribute alone proves little.
        assert_eq!(recognise(&reject), Verdict::Unsure);
        let key = Attribute {
            body: &hex!("00000137" "10" "04" "abcd"),
            ..attribute
        };
        assert_eq!(key.value(), Value::Secret(Octets(key.body)));
        let short = Attribute {
            body: &[0, 0, 1],
            ..attribute
        };
        assert!(short.vendor_attributes().is_none() && short.ms_chap_error().is_none());
    }

    #[test]
    fn lengths_that_lie() {
        let mut octets = REQUEST;
        octets[3] = 19;
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(
            packet.length_fault.unwrap().reason,
            Reason::BadLength {
                value: 19,
                least: 20
            }
        );
        octets[3] = 69;
        assert_eq!(
            Packet::parse(&octets).unwrap().length_fault.unwrap().offset,
            2
        );
        assert_eq!(recognise(&octets), Verdict::NotOurs);
        for length in 0..2 {
            let mut octets = REQUEST;
            octets[21] = length;
            let first = Packet::parse(&octets).unwrap().attributes().next().unwrap();
            assert_eq!(
                first.unwrap_err(),
                ParseError::new(
                    "RADIUS attribute",
                    20,
                    Reason::BadLength {
                        value: usize::from(length),
                        least: 2
                    }
                )
            );
            assert_eq!(recognise(&octets), Verdict::NotOurs);
        }
    }

    #[test]
    fn every_truncation_is_an_error_or_a_fault() {
        for len in 0..REQUEST.len() {
            match Packet::parse(&REQUEST[..len]) {
                Err(error) => assert!(len < 20 && error.offset <= len),
                Ok(packet) => assert!(packet.length_fault.is_some()),
            }
            assert_eq!(recognise(&REQUEST[..len]), Verdict::NotOurs);
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_places_errors_inside(octets in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = recognise(&octets);
            if let Ok(packet) = Packet::parse(&octets) {
                for attribute in packet.attributes() {
                    match attribute {
                        Err(error) => prop_assert!(error.offset <= octets.len()),
                        Ok(attribute) => {
                            let _ = (attribute.value(), attribute.ms_chap_error());
                        }
                    }
                }
            }
        }
    }
}
