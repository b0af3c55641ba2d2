//! PPP over Ethernet (RFC 2516): discovery (`EtherType` 0x8863) and session (0x8864).
//!
//! In: the octets after the `EtherType`. Out: the header, and the tags of a discovery
//! packet or the PPP frame of a session packet.

use crate::error::{be_u8, be_u16, located};
use crate::{Octets, ParseError, Reason};

/// `EtherType` of discovery packets.
pub const ETHERTYPE_DISCOVERY: u16 = 0x8863;
/// `EtherType` of session packets.
pub const ETHERTYPE_SESSION: u16 = 0x8864;

wire_code! {
    /// Codes (RFC 2516 §4, §5). Registry: IANA `PPPoE Active Discovery Packet Codes`, read
    /// 2026-11.
    pub struct Code(u8) {
        SESSION = 0 "PPP Session Stage",
        PADO = 0x07,
        PADI = 0x09,
        /// RFC 5578.
        PADG = 0x0a,
        /// RFC 5578.
        PADC = 0x0b,
        /// RFC 5578.
        PADQ = 0x0c,
        PADR = 0x19,
        PADS = 0x65,
        PADT = 0xa7,
        PADM = 0xd3,
        PADN = 0xd4,
    }
}

wire_code! {
    /// Tag types (RFC 2516 appendix A). Registry: IANA `PPPoE TAG Values`, read 2026-11.
    pub struct TagType(u16) {
        END_OF_LIST = 0x0000 "End-Of-List",
        SERVICE_NAME = 0x0101 "Service-Name",
        AC_NAME = 0x0102 "AC-Name",
        HOST_UNIQ = 0x0103 "Host-Uniq",
        AC_COOKIE = 0x0104 "AC-Cookie",
        VENDOR_SPECIFIC = 0x0105 "Vendor-Specific",
        CREDITS = 0x0106 "Credits",
        METRICS = 0x0107 "Metrics",
        SEQUENCE_NUMBER = 0x0108 "Sequence Number",
        CREDIT_SCALE_FACTOR = 0x0109 "Credit Scale Factor",
        RELAY_SESSION_ID = 0x0110 "Relay-Session-Id",
        HURL = 0x0111,
        MOTM = 0x0112,
        MAX_PAYLOAD = 0x0120 "PPP-Max-Payload",
        IP_ROUTE_ADD = 0x0121 "IP_Route_Add",
        SERVICE_NAME_ERROR = 0x0201 "Service-Name-Error",
        AC_SYSTEM_ERROR = 0x0202 "AC-System-Error",
        GENERIC_ERROR = 0x0203 "Generic-Error",
    }
}

impl TagType {
    /// Whether the tag reports an error.
    pub const fn is_error(self) -> bool {
        matches!(
            self,
            Self::SERVICE_NAME_ERROR | Self::AC_SYSTEM_ERROR | Self::GENERIC_ERROR
        )
    }
}

/// One `PPPoE` packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Octet 0: version in the upper four bits, type in the lower; both 1.
    pub version_type: u8,
    /// Octet 1.
    pub code: Code,
    /// Octets 2..4. 0 until the PADS gives one.
    pub session_id: u16,
    /// Octets 4..6. Length of the payload, without the six header octets.
    pub length: u16,
    /// The payload, cut to the declared length where that is shorter.
    pub body: &'a [u8],
    /// What is wrong with the declared length, if anything.
    pub length_fault: Option<ParseError>,
    /// Octets after the declared end: Ethernet padding.
    pub trailing: usize,
}

impl<'a> Packet<'a> {
    /// Size of the header in octets.
    pub const HEADER_LEN: usize = 6;

    /// Reads the header and delimits the payload.
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        let (rest, mut packet) = located("PPPoE header", octets, octets, |i| {
            let (i, version_type) = be_u8(i)?;
            let (i, code) = be_u8(i)?;
            let (i, session_id) = be_u16(i)?;
            let (i, length) = be_u16(i)?;
            let packet = Packet {
                version_type,
                code: Code(code),
                session_id,
                length,
                body: i,
                length_fault: None,
                trailing: 0,
            };
            Ok((i, packet))
        })?;
        let declared = usize::from(packet.length);
        match rest.get(..declared) {
            Some(body) => packet.body = body,
            None => {
                packet.length_fault = Some(ParseError::new(
                    "PPPoE length",
                    4,
                    Reason::Truncated {
                        needed: declared,
                        available: rest.len(),
                    },
                ));
            }
        }
        packet.trailing = rest.len().saturating_sub(packet.body.len());
        Ok(packet)
    }

    /// Whether the payload is a PPP frame.
    pub fn is_session(&self) -> bool {
        self.code == Code::SESSION
    }

    /// The tags of a discovery packet; none of a session packet.
    pub fn tags(&self) -> Tags<'a> {
        let rest = if self.is_session() { &[] } else { self.body };
        Tags {
            rest,
            offset: Self::HEADER_LEN,
        }
    }
}

/// One tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<'a> {
    /// Octets 0..2.
    pub tag_type: TagType,
    /// The value; octets 2..4 hold its length.
    pub value: Octets<'a>,
    /// Offset of the tag from the start of the packet.
    pub offset: usize,
}

/// The tags of a discovery packet: every good one, then at most one error. End-Of-List
/// ends it.
#[derive(Debug, Clone)]
pub struct Tags<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Tags<'a> {
    fn step(&mut self) -> Result<Tag<'a>, ParseError> {
        let error = |reason| ParseError::new("PPPoE tag", self.offset, reason);
        let available = self.rest.len();
        let Some((&[t0, t1, l0, l1], rest)) = self.rest.split_first_chunk::<4>() else {
            return Err(error(Reason::Truncated {
                needed: 4,
                available,
            }));
        };
        let tag_type = TagType(u16::from_be_bytes([t0, t1]));
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let Some((value, rest)) = rest.split_at_checked(len) else {
            return Err(error(Reason::Truncated {
                needed: len.saturating_add(4),
                available,
            }));
        };
        let offset = self.offset;
        self.offset = offset.saturating_add(len).saturating_add(4);
        self.rest = if tag_type == TagType::END_OF_LIST {
            &[]
        } else {
            rest
        };
        Ok(Tag {
            tag_type,
            value: Octets(value),
            offset,
        })
    }
}

until_error!(Tags gives Tag);

#[cfg(test)]
mod tests {
    use hex_literal::hex;
    use proptest::prelude::*;

    use super::*;

    const PADS: [u8; 32] = hex!(
        "11" "65" "0000" "0014"
        "0101" "0000"                         // Service-Name, empty
        "0103" "0004" "01020304"              // Host-Uniq
        "0201" "0004" "6e6f7065"              // Service-Name-Error
        "000000000000"                        // Ethernet padding
    );

    #[test]
    fn discovery_tags_are_read_and_padding_is_not() {
        let packet = Packet::parse(&PADS).unwrap();
        assert_eq!((packet.code, packet.trailing), (Code::PADS, 6));
        let tags: Vec<_> = packet.tags().map(Result::unwrap).collect();
        assert_eq!(tags.len(), 3);
        assert_eq!(tags[1].value, Octets(&[1, 2, 3, 4]));
        assert!(tags[2].tag_type.is_error() && tags[2].offset == 18);
        assert_eq!(TagType(0x0101).to_string(), "Service-Name");
    }

    #[test]
    fn end_of_list_ends_and_a_long_tag_is_an_error() {
        let octets = hex!("11" "09" "0000" "000c" "0000" "0000" "0101" "0000" "00000000");
        assert_eq!(Packet::parse(&octets).unwrap().tags().count(), 1);
        let octets = hex!("11" "09" "0000" "0006" "0101" "0009" "6162");
        let tags: Vec<_> = Packet::parse(&octets).unwrap().tags().collect();
        assert_eq!(
            tags,
            [Err(ParseError::new(
                "PPPoE tag",
                6,
                Reason::Truncated {
                    needed: 13,
                    available: 6
                }
            ))]
        );
    }

    #[test]
    fn a_session_packet_holds_a_ppp_frame() {
        let octets = hex!("11" "00" "0bb8" "0006" "c021" "0901" "0004");
        let packet = Packet::parse(&octets).unwrap();
        assert!(packet.is_session() && packet.session_id == 3000);
        assert_eq!(packet.body, &hex!("c021" "0901" "0004"));
        assert_eq!(packet.tags().count(), 0);
    }

    #[test]
    fn every_truncation_is_an_error_or_a_fault() {
        for len in 0..26 {
            match Packet::parse(&PADS[..len]) {
                Err(error) => assert!(len < 6 && error.offset <= len),
                Ok(packet) => assert_eq!(packet.length_fault.unwrap().offset, 4),
            }
        }
    }

    proptest! {
        #[test]
        fn never_panics(octets in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(packet) = Packet::parse(&octets) {
                for tag in packet.tags() {
                    prop_assert!(tag.map_or_else(|e| e.offset, |t| t.offset) <= octets.len());
                }
            }
        }
    }
}
