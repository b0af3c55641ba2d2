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
