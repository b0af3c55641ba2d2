//! ESP (RFC 4303): what stands in clear.

use crate::error::{PResult, be_u32, located};
use crate::{Octets, ParseError};

/// An ESP packet (RFC 4303 §2). Initialisation vector, ciphertext and integrity check value
/// cannot be told apart without the SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Octets 0..4.
    pub spi: u32,
    /// Octets 4..8. The lower half, where sequence numbers have 64 bits.
    pub sequence: u32,
    /// Octets 8..
    pub payload: Octets<'a>,
}

impl<'a> Packet<'a> {
    /// Size of the header in octets.
    pub const HEADER_LEN: usize = 8;

    /// Reads the header. The SPI is not judged: [`Self::has_reserved_spi`].
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        located("ESP packet", octets, octets, Self::read).map(|(_, packet)| packet)
    }

    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, spi) = be_u32(i)?;
        let (i, sequence) = be_u32(i)?;
        let packet = Self {
            spi,
            sequence,
            payload: Octets(i),
        };
        Ok((&[], packet))
    }

    /// Whether the SPI is one that no SA can have: 0 is for local use and never sent, 1 to 255 are
    /// reserved (RFC 4303 §2.1).
    pub const fn has_reserved_spi(&self) -> bool {
        self.spi < 256
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;
    use crate::Reason;

    #[test]
    fn spi_and_sequence() {
        // The head of a packet between two charons.
        let octets = hex!("825de9ca 00000001 394c043b653dfe5e");
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!((packet.spi, packet.sequence), (0x825d_e9ca, 1));
        assert_eq!(packet.payload.len(), 8);
        assert!(!packet.has_reserved_spi());
        for len in 0..8 {
            let error = Packet::parse(&octets[..len]).unwrap_err();
            assert!(error.offset <= len);
        }
        let reason = Reason::Truncated {
            needed: 4,
            available: 3,
        };
        assert_eq!(
            Packet::parse(&octets[..7]),
            Err(ParseError::new("ESP packet", 4, reason))
        );
        assert!(Packet::parse(&octets[..8]).unwrap().payload.is_empty());
    }

    #[test]
    fn spis_up_to_255_are_reserved() {
        let reserved = |spi: u32| {
            let mut octets = [0; 8];
            octets[..4].copy_from_slice(&spi.to_be_bytes());
            Packet::parse(&octets).unwrap().has_reserved_spi()
        };
        assert!(reserved(0) && reserved(1) && reserved(255));
        assert!(!reserved(256) && !reserved(u32::MAX));
    }
}
