//! Delete payload.

use super::codes::{Doi, Protocol};
use super::{body, end};
use crate::error::{PResult, be_u8, be_u16, be_u32, take};
use crate::ike::{RawPayload, Spi};
use crate::{Octets, ParseError};

/// Delete payload (RFC 2408 §3.15): SAs of one protocol that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delete<'a> {
    /// Octets 4..8 of the payload.
    pub doi: Doi,
    /// Octet 8.
    pub protocol: Protocol,
    /// Octet 9. 16 for an ISAKMP SA, 4 for AH and ESP.
    pub spi_size: u8,
    /// Octets 10..12.
    pub spi_count: u16,
    octets: Octets<'a>,
}

impl<'a> Delete<'a> {
    /// Reads the body: as many SPIs as declared, and nothing after them.
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        body("IKEv1 delete", raw, Self::read)
    }

    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, doi) = be_u32(i)?;
        let (i, protocol) = be_u8(i)?;
        let (i, spi_size) = be_u8(i)?;
        let (i, spi_count) = be_u16(i)?;
        let (i, spis) = take(usize::from(spi_size).saturating_mul(spi_count.into()))(i)?;
        let (i, ()) = end(i)?;
        Ok((
            i,
            Self {
                doi: Doi(doi),
                protocol: Protocol(protocol),
                spi_size,
                spi_count,
                octets: Octets(spis),
            },
        ))
    }

    /// The SPIs: those under which the *sender* receives, or the cookies of an ISAKMP SA.
    pub fn spis(&self) -> impl Iterator<Item = Octets<'a>> {
        let size = usize::from(self.spi_size.max(1));
        self.octets.0.chunks_exact(size).map(Octets)
    }

    /// The cookies of the ISAKMP SAs that are gone, initiator's first.
    pub fn cookies(&self) -> impl Iterator<Item = (Spi, Spi)> {
        self.spis().filter_map(cookies)
    }
}

/// The two cookies that make the SPI of an ISAKMP SA (RFC 2408 §3.14), initiator's first.
pub(super) fn cookies(spi: Octets<'_>) -> Option<(Spi, Spi)> {
    let (&initiator, rest) = spi.0.split_first_chunk::<8>()?;
    let responder = <[u8; 8]>::try_from(rest).ok()?;
    Some((
        Spi(u64::from_be_bytes(initiator)),
        Spi(u64::from_be_bytes(responder)),
    ))
}
