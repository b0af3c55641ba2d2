//! What UDP port 4500 carries (RFC 3948 §2): IKE behind a marker, ESP, and keepalives.
//!
//! What comes in: the payload of one UDP datagram. What goes out: which of the three it is, with
//! the octets of IKE unread.

use crate::esp;
use crate::{ParseError, Reason};

/// Octets of the non-ESP marker: four zeros, where ESP has its SPI (RFC 3948 §2.2).
pub const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// A datagram of port 4500.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// One octet 0xff (RFC 3948 §2.3), sent to keep a NAT's mapping.
    Keepalive,
    /// The octets after the non-ESP marker, to be read by [`ike::Message`](crate::ike::Message).
    /// Whether they are IKE is not looked at.
    Ike(&'a [u8]),
    /// ESP.
    Esp(esp::Packet<'a>),
}

impl<'a> Datagram<'a> {
    /// Tells the three apart. What is too short for any of them is an error.
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        match octets {
            [0xff] => Ok(Self::Keepalive),
            [0, 0, 0, 0, ike @ ..] => Ok(Self::Ike(ike)),
            [_, _, _, _, ..] => esp::Packet::parse(octets).map(Self::Esp),
            short => Err(ParseError::new(
                "UDP-encapsulated ESP",
                0,
                Reason::Truncated {
                    needed: esp::Packet::HEADER_LEN,
                    available: short.len(),
                },
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_octets_decide() {
        assert_eq!(Datagram::parse(&[0xff]), Ok(Datagram::Keepalive));
        assert_eq!(
            Datagram::parse(&hex!("00000000 ebd689ba85bd2937")),
            Ok(Datagram::Ike(&hex!("ebd689ba85bd2937")))
        );
        let esp = Datagram::parse(&hex!("825de9ca 00000001 394c"));
        assert!(matches!(esp, Ok(Datagram::Esp(packet)) if packet.spi == 0x825d_e9ca));
    }

    #[test]
    fn a_marker_alone_is_ike_without_octets() {
        assert_eq!(Datagram::parse(&NON_ESP_MARKER), Ok(Datagram::Ike(&[])));
    }

    #[test]
    fn reserved_spis_are_esp() {
        let esp = Datagram::parse(&hex!("00000001 00000001"));
        assert!(matches!(esp, Ok(Datagram::Esp(packet)) if packet.has_reserved_spi()));
    }

    #[test]
    fn short_datagrams_are_faults() {
        for short in [&[][..], &[0xfe], &[0xff, 0xff], &[0, 0, 0]] {
            let reason = Reason::Truncated {
                needed: 8,
                available: short.len(),
            };
            assert_eq!(
                Datagram::parse(short),
                Err(ParseError::new("UDP-encapsulated ESP", 0, reason))
            );
        }
        let reason = Reason::Truncated {
            needed: 4,
            available: 3,
        };
        assert_eq!(
            Datagram::parse(&[1, 2, 3, 4, 5, 6, 7]),
            Err(ParseError::new("ESP packet", 4, reason))
        );
    }

    proptest! {
        #[test]
        fn never_panics(octets in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Err(error) = Datagram::parse(&octets) {
                prop_assert!(error.offset <= octets.len());
            }
        }
    }
}
