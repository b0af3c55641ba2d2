//! Delete payload.

use super::codes::ProtocolId;
use super::{body, end};
use crate::error::{PResult, be_u8, be_u16, take};
use crate::ike::RawPayload;
use crate::{Octets, ParseError};

/// Delete payload (RFC 7296 §3.11): SAs of one protocol that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delete<'a> {
    /// Octet 4 of the payload. IKE means the IKE SA that carries the message.
    pub protocol: ProtocolId,
    /// Octet 5. 0 for IKE, 4 for AH and ESP.
    pub spi_size: u8,
    /// Octets 6..8.
    pub spi_count: u16,
    octets: Octets<'a>,
}

impl<'a> Delete<'a> {
    /// Reads the body: as many SPIs as declared, and nothing after them.
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        body("IKEv2 delete", raw, Self::read)
    }

    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, protocol) = be_u8(i)?;
        let (i, spi_size) = be_u8(i)?;
        let (i, spi_count) = be_u16(i)?;
        let (i, spis) = take(usize::from(spi_size).saturating_mul(spi_count.into()))(i)?;
        let (i, ()) = end(i)?;
        Ok((
            i,
            Self {
                protocol: ProtocolId(protocol),
                spi_size,
                spi_count,
                octets: Octets(spis),
            },
        ))
    }

    /// The SPIs: those under which the *sender* receives.
    pub fn spis(&self) -> impl Iterator<Item = Octets<'a>> {
        let size = usize::from(self.spi_size.max(1));
        self.octets.0.chunks_exact(size).map(Octets)
    }
}
