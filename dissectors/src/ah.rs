//! AH (RFC 4302).

use crate::error::{PResult, array, be_u8, be_u16, be_u32, fault, located, take};
use crate::{Octets, ParseError, Reason};

/// An AH packet (RFC 4302 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Octet 0. IP protocol of what follows the header.
    pub next_header: u8,
    /// Octet 1. Length of the header in units of four octets, less two, as declared.
    pub payload_len: u8,
    /// Octets 2..4, reserved.
    pub reserved: u16,
    /// Octets 4..8.
    pub spi: u32,
    /// Octets 8..12. The lower half, where sequence numbers have 64 bits.
    pub sequence: u32,
    /// Octets 12.. Integrity check value, with its padding.
    pub icv: Octets<'a>,
    /// What follows the header, in clear.
    pub payload: Octets<'a>,
}

impl<'a> Packet<'a> {
    /// Size of the header without integrity check value, in octets.
    pub const HEADER_LEN: usize = 12;

    /// Reads the header. The SPI is not judged: [`Self::has_reserved_spi`].
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        located("AH packet", octets, octets, Self::read).map(|(_, packet)| packet)
    }

    fn read(whole: &'a [u8]) -> PResult<'a, Self> {
        let (at_len, next_header) = be_u8(whole)?;
        let (i, payload_len) = be_u8(at_len)?;
        let (i, reserved) = be_u16(i)?;
        let (i, spi) = be_u32(i)?;
        let (_, sequence) = be_u32(i)?;
        let value = usize::from(payload_len).saturating_add(2).saturating_mul(4);
        if value < Self::HEADER_LEN {
            let least = Self::HEADER_LEN;
            return fault(at_len, Reason::BadLength { value, least });
        }
        let (payload, header) = take(value)(whole)?;
        let (icv, _) = array::<12>(header)?;
        let packet = Self {
            next_header,
            payload_len,
            reserved,
            spi,
            sequence,
            icv: Octets(icv),
            payload: Octets(payload),
        };
        Ok((&[], packet))
    }

    /// Length of the header with its integrity check value, in octets.
    pub fn header_len(&self) -> usize {
        Self::HEADER_LEN.saturating_add(self.icv.len())
    }

    /// Whether the SPI is one that no SA can have: 0 is for local use and never sent, 1 to 255 are
    /// reserved (RFC 4302 §2.4).
    pub const fn has_reserved_spi(&self) -> bool {
        self.spi < 256
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;
    use proptest::prelude::*;

    use super::*;

    /// By hand from RFC 4302 §2: 96 bits of integrity check value, then an ICMP echo.
    const ECHO: [u8; 32] = hex!(
        "01 04 0000 604816f6 00000007"
        "e732abace1c60046eec641ed"
        "0800f7ff00000000"
    );

    #[test]
    fn header_and_payload() {
        let packet = Packet::parse(&ECHO).unwrap();
        assert_eq!((packet.next_header, packet.payload_len), (1, 4));
        assert_eq!((packet.spi, packet.sequence), (0x6048_16f6, 7));
        assert_eq!(packet.icv.to_string(), "e732abace1c60046eec641ed");
        assert_eq!(packet.payload.to_string(), "0800f7ff00000000");
        assert_eq!(packet.header_len(), 24);
        assert!(!packet.has_reserved_spi());
        for len in 0..24 {
            let error = Packet::parse(&ECHO[..len]).unwrap_err();
            assert!(error.offset <= len);
        }
        assert!(Packet::parse(&ECHO[..24]).unwrap().payload.is_empty());
    }

    #[test]
    fn the_length_must_hold_the_header_and_fit() {
        let mut octets = ECHO;
        octets[1] = 0;
        let reason = Reason::BadLength {
            value: 8,
            least: 12,
        };
        assert_eq!(
            Packet::parse(&octets),
            Err(ParseError::new("AH packet", 1, reason))
        );
        octets[1] = 7;
        let reason = Reason::Truncated {
            needed: 36,
            available: 32,
        };
        assert_eq!(
            Packet::parse(&octets),
            Err(ParseError::new("AH packet", 0, reason))
        );
        octets[1] = 1;
        let packet = Packet::parse(&octets).unwrap();
        assert!(packet.icv.is_empty());
        assert_eq!(packet.payload.len(), 20);
    }

    #[test]
    fn reserved_spis() {
        let mut octets = ECHO;
        octets[4..8].copy_from_slice(&[0, 0, 0, 255]);
        assert!(Packet::parse(&octets).unwrap().has_reserved_spi());
        octets[4..8].copy_from_slice(&[0, 0, 1, 0]);
        assert!(!Packet::parse(&octets).unwrap().has_reserved_spi());
    }

    proptest! {
        #[test]
        fn never_panics(octets in prop::collection::vec(any::<u8>(), 0..80)) {
            match Packet::parse(&octets) {
                Ok(packet) => prop_assert_eq!(
                    packet.header_len().saturating_add(packet.payload.len()),
                    octets.len()
                ),
                Err(error) => prop_assert!(error.offset <= octets.len()),
            }
        }
    }
}
