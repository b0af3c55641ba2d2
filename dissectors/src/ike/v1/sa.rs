//! SA payload: situation, proposals and transforms, the latter two walked lazily.

use super::attribute::AttributeClass;
use super::codes::{Doi, Protocol, transform_name};
use super::suite::{IkeSuite, IpsecSuite};
use super::{Attributes, body, rest};
use crate::error::{PResult, be_u16, be_u32, take};
use crate::ike::RawPayload;
use crate::ike::substructure::{State, Substructure, Substructures};
use crate::{Octets, ParseError, Reason};

/// SA payload (RFC 2408 §3.4, RFC 2407 §4.6.1): a situation and a chain of proposals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurityAssociation<'a> {
    /// Octets 4..8 of the payload.
    pub doi: Doi,
    /// Octets 8.., four of them unless labels follow.
    pub situation: Situation<'a>,
    /// What follows: the proposals.
    pub octets: Octets<'a>,
    offset: usize,
}

impl<'a> SecurityAssociation<'a> {
    /// Reads what stands before the proposals; those are read by [`Self::proposals`].
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        let end = raw.body_offset().saturating_add(raw.body.len());
        body("IKEv1 SA", raw, |i| {
            let (i, doi) = be_u32(i)?;
            let (i, situation) = Situation::read(i, Doi(doi))?;
            let (i, octets) = rest(i)?;
            Ok((
                i,
                Self {
                    doi: Doi(doi),
                    situation,
                    octets,
                    offset: end.saturating_sub(octets.len()),
                },
            ))
        })
    }

    /// The proposals, in the order of preference: every good one, then at most one error.
    pub const fn proposals(&self) -> Proposals<'a> {
        let mut chain = Substructures::new("IKEv1 proposal", self.octets.0, self.offset);
        if self.octets.0.is_empty() {
            chain.state = State::Done;
        }
        Proposals(chain)
    }
}

/// The situation field of an SA payload (RFC 2407 §4.2, §4.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation<'a> {
    /// Octets 0..4. See [`Self::is_identity_only`], [`Self::has_secrecy`],
    /// [`Self::has_integrity`].
    pub flags: u32,
    /// What follows where secrecy or integrity is wanted.
    pub labels: Option<Labels<'a>>,
}

impl<'a> Situation<'a> {
    fn read(i: &'a [u8], doi: Doi) -> PResult<'a, Self> {
        let (i, flags) = be_u32(i)?;
        let mut situation = Self {
            flags,
            labels: None,
        };
        if doi != Doi::IPSEC || !(situation.has_secrecy() || situation.has_integrity()) {
            return Ok((i, situation));
        }
        let (i, labels) = Labels::read(i)?;
        situation.labels = Some(labels);
        Ok((i, situation))
    }

    /// `SIT_IDENTITY_ONLY`: what everybody sends.
    pub const fn is_identity_only(&self) -> bool {
        self.flags == 1
    }

    /// `SIT_SECRECY`.
    pub const fn has_secrecy(&self) -> bool {
        self.flags & 2 != 0
    }

    /// `SIT_INTEGRITY`.
    pub const fn has_integrity(&self) -> bool {
        self.flags & 4 != 0
    }
}

/// Security labels of a situation (RFC 2407 §4.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels<'a> {
    /// Octets 0..4. Who gives the labels their meaning.
    pub domain: u32,
    /// Octets 8.., their number from octets 4..6.
    pub secrecy_level: Octets<'a>,
    /// A bitmap; its length on the wire is in bits.
    pub secrecy_categories: Octets<'a>,
    /// As the secrecy level.
    pub integrity_level: Octets<'a>,
    /// As the secrecy categories.
    pub integrity_categories: Octets<'a>,
}

impl<'a> Labels<'a> {
    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, domain) = be_u32(i)?;
        let (i, secrecy_level) = padded(i, usize::from)?;
        let (i, secrecy_categories) = padded(i, |bits| usize::from(bits.div_ceil(8)))?;
        let (i, integrity_level) = padded(i, usize::from)?;
        let (i, integrity_categories) = padded(i, |bits| usize::from(bits.div_ceil(8)))?;
        Ok((
            i,
            Self {
                domain,
                secrecy_level,
                secrecy_categories,
                integrity_level,
                integrity_categories,
            },
        ))
    }
}

/// A length, two reserved octets, and so many octets filled up to a multiple of four.
fn padded(i: &[u8], octets: impl Fn(u16) -> usize) -> PResult<'_, Octets<'_>> {
    let (i, length) = be_u16(i)?;
    let (i, _) = be_u16(i)?;
    let len = octets(length);
    let (i, field) = take(len.next_multiple_of(4))(i)?;
    Ok((i, Octets(field.get(..len).unwrap_or(field))))
}

/// The proposals of an SA payload; see [`SecurityAssociation::proposals`].
#[derive(Debug, Clone)]
pub struct Proposals<'a>(Substructures<'a>);

impl<'a> Iterator for Proposals<'a> {
    type Item = Result<Proposal<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.0.next()?.and_then(|link| Proposal::read(&link));
        if item.is_err() {
            self.0.state = State::Done;
        }
        Some(item)
    }
}

/// A proposal payload (RFC 2408 §3.5). Proposals of the same number are wanted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal<'a> {
    /// Octets 2..4. Length of the proposal with its transforms, as declared.
    pub length: u16,
    /// Octet 4.
    pub number: u8,
    /// Octet 5. What is to be protected; the meaning of the transforms hangs on it.
    pub protocol: Protocol,
    /// Octet 7. How many transforms the sender says there are.
    pub transform_count: u8,
    /// Octets 8.. The sender's SPI, its size from octet 6: for ISAKMP none is needed, and any may
    /// be there; 4 octets for AH and ESP, 2 for IPCOMP.
    pub spi: Octets<'a>,
    /// Offset of the proposal from the start of the message.
    pub offset: usize,
    transforms: &'a [u8],
    transforms_offset: usize,
}

impl<'a> Proposal<'a> {
    /// Size of a proposal without SPI and transforms, in octets.
    pub const HEADER_LEN: usize = 8;

    fn read(link: &Substructure<'a>) -> Result<Self, ParseError> {
        let error = |least| {
            let value = usize::from(link.length);
            let reason = Reason::BadLength { value, least };
            Err(ParseError::new("IKEv1 proposal", link.offset, reason))
        };
        let Some((&[number, protocol, spi_size, transform_count], rest)) =
            link.body.split_first_chunk::<4>()
        else {
            return error(Self::HEADER_LEN);
        };
        let spi_size = usize::from(spi_size);
        let least = Self::HEADER_LEN.saturating_add(spi_size);
        let Some((spi, transforms)) = rest.split_at_checked(spi_size) else {
            return error(least);
        };
        Ok(Self {
            length: link.length,
            number,
            protocol: Protocol(protocol),
            transform_count,
            spi: Octets(spi),
            offset: link.offset,
            transforms,
            transforms_offset: link.offset.saturating_add(least),
        })
    }

    /// The transforms, in the order of preference: every good one, then at most one error. A chain
    /// whose length differs from [`Self::transform_count`] is such an error.
    pub const fn transforms(&self) -> Transforms<'a> {
        let mut chain =
            Substructures::new("IKEv1 transform", self.transforms, self.transforms_offset);
        if self.transform_count == 0 && self.transforms.is_empty() {
            chain.state = State::Done;
        }
        Transforms {
            chain,
            protocol: self.protocol,
            declared: self.transform_count,
            seen: 0,
        }
    }
}

/// The transforms of a proposal; see [`Proposal::transforms`].
#[derive(Debug, Clone)]
pub struct Transforms<'a> {
    chain: Substructures<'a>,
    protocol: Protocol,
    declared: u8,
    seen: u8,
}

impl<'a> Iterator for Transforms<'a> {
    type Item = Result<Transform<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(item) = self.chain.next() else {
            if self.chain.state == State::Last && self.seen != self.declared {
                self.chain.state = State::Done;
                let text = "the number of transforms is not the declared one";
                return Some(Err(self.chain.error(Reason::Invalid(text))));
            }
            return None;
        };
        let item = item.and_then(|link| Transform::read(&link, self.protocol));
        if item.is_err() {
            self.chain.state = State::Done;
        }
        self.seen = self.seen.saturating_add(1);
        Some(item)
    }
}

/// A transform payload (RFC 2408 §3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transform<'a> {
    /// Octets 2..4. Length with the attributes, as declared.
    pub length: u16,
    /// Octet 4. The answer repeats the number of the chosen one.
    pub number: u8,
    /// Octet 5. Its meaning depends on the proposal's protocol: [`Self::name`].
    pub id: u8,
    /// Octets 6..8, reserved.
    pub reserved: u16,
    /// The protocol of the proposal it belongs to.
    pub protocol: Protocol,
    /// Offset of the transform from the start of the message.
    pub offset: usize,
    attributes: &'a [u8],
}

impl<'a> Transform<'a> {
    /// Size of a transform without attributes, in octets.
    pub const HEADER_LEN: usize = 8;

    fn read(link: &Substructure<'a>, protocol: Protocol) -> Result<Self, ParseError> {
        let Some((&[number, id, high, low], attributes)) = link.body.split_first_chunk() else {
            let reason = Reason::BadLength {
                value: usize::from(link.length),
                least: Self::HEADER_LEN,
            };
            return Err(ParseError::new("IKEv1 transform", link.offset, reason));
        };
        Ok(Self {
            length: link.length,
            number,
            id,
            reserved: u16::from_be_bytes([high, low]),
            protocol,
            offset: link.offset,
            attributes,
        })
    }

    /// The registry's name of the id.
    pub const fn name(&self) -> Option<&'static str> {
        transform_name(self.protocol, self.id)
    }

    /// Which registry the attributes belong to.
    pub const fn class(&self) -> AttributeClass {
        AttributeClass::of(self.protocol)
    }

    /// The attributes: every good one, then at most one error.
    pub const fn attributes(&self) -> Attributes<'a> {
        let offset = self.offset.saturating_add(Self::HEADER_LEN);
        Attributes::new(self.attributes, offset)
    }

    /// What the attributes say together, for a transform of phase 1.
    pub fn ike_suite(&self) -> IkeSuite {
        IkeSuite::gather(self.attributes())
    }

    /// What the attributes say together, for a transform of phase 2.
    pub fn ipsec_suite(&self) -> IpsecSuite {
        IpsecSuite::gather(self.attributes())
    }
}
