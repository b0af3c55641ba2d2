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

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::super::tests::{fault, raw, truncations};
    use super::*;
    use crate::Reason;
    use crate::ike::v2::PayloadType;

    fn parse(body: &[u8]) -> Delete<'_> {
        Delete::parse(&raw(PayloadType::D, body)).unwrap()
    }

    #[test]
    fn one_child_sa_and_the_ike_sa() {
        // As charon sent them, decrypted.
        let child = hex!("03 04 0001 f8bd2ff4");
        let delete = parse(&child);
        assert_eq!((delete.protocol, delete.spi_count), (ProtocolId::ESP, 1));
        assert_eq!(
            delete.spis().collect::<Vec<_>>(),
            [Octets(&hex!("f8bd2ff4"))]
        );
        truncations(PayloadType::D, &child);

        let ike = parse(&hex!("01 00 0000"));
        assert_eq!((ike.protocol, ike.spi_count), (ProtocolId::IKE, 0));
        assert_eq!(ike.spis().count(), 0);
    }

    #[test]
    fn several_child_sas() {
        let delete = hex!("02 04 0003 00000101 00000102 00000103");
        let spis: Vec<_> = parse(&delete).spis().map(|spi| spi.to_string()).collect();
        assert_eq!(spis, ["00000101", "00000102", "00000103"]);
    }

    #[test]
    fn the_count_must_fit() {
        let reason = Reason::Truncated {
            needed: 8,
            available: 4,
        };
        assert_eq!(
            fault(PayloadType::D, &hex!("03 04 0002 f8bd2ff4")),
            ParseError::new("IKEv2 delete", 36, reason)
        );
        assert_eq!(
            fault(PayloadType::D, &hex!("03 04 0001 f8bd2ff4 00")),
            ParseError::new("IKEv2 delete", 40, Reason::Trailing { octets: 1 })
        );
    }

    #[test]
    fn spis_of_no_octets_are_no_spis() {
        assert_eq!(parse(&hex!("03 00 ffff")).spis().count(), 0);
    }
}
