//! SA payload: proposals, transforms and attributes (RFC 7296 §3.3), each walked lazily.

use core::fmt;

use super::codes::{
    Encryption, GroupControllerAuth, Integrity, KeyExchange, KeyWrap, Prf, ProtocolId,
    SequenceNumbers, TransformAttributeType, TransformType,
};
use crate::ike::RawPayload;
use crate::ike::attribute::{AttributeValue, Attributes};
use crate::ike::substructure::{State, Substructure, Substructures};
use crate::{Octets, ParseError, Reason};

/// SA payload (RFC 7296 §3.3): a chain of proposals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurityAssociation<'a> {
    /// Octets 4.. of the payload: the proposals.
    pub octets: Octets<'a>,
    offset: usize,
}

impl<'a> SecurityAssociation<'a> {
    /// Takes the body; what it holds is read by [`Self::proposals`].
    pub const fn parse(raw: &RawPayload<'a>) -> Self {
        Self {
            octets: Octets(raw.body),
            offset: raw.body_offset(),
        }
    }

    /// The proposals, in the order of preference: every good one, then at most one error.
    pub const fn proposals(&self) -> Proposals<'a> {
        Proposals(Substructures::new(
            "IKEv2 proposal",
            self.octets.0,
            self.offset,
        ))
    }
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

/// A proposal (RFC 7296 §3.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal<'a> {
    /// Octets 2..4. Length of the proposal with its transforms, as declared.
    pub length: u16,
    /// Octet 4. Proposals are numbered from 1; the answer repeats the chosen number.
    pub number: u8,
    /// Octet 5. What is to be protected.
    pub protocol: ProtocolId,
    /// Octet 7. How many transforms the sender says there are.
    pub transform_count: u8,
    /// Octets 8.. The sender's SPI, its size from octet 6: none for the first IKE SA, 8 octets for
    /// a rekeyed one, 4 for AH and ESP.
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
        let error = |reason| ParseError::new("IKEv2 proposal", link.offset, reason);
        let Some((&[number, protocol, spi_size, transform_count], rest)) =
            link.body.split_first_chunk::<4>()
        else {
            return Err(error(Reason::BadLength {
                value: usize::from(link.length),
                least: Self::HEADER_LEN,
            }));
        };
        let spi_size = usize::from(spi_size);
        let least = Self::HEADER_LEN.saturating_add(spi_size);
        let Some((spi, transforms)) = rest.split_at_checked(spi_size) else {
            return Err(error(Reason::BadLength {
                value: usize::from(link.length),
                least,
            }));
        };
        Ok(Self {
            length: link.length,
            number,
            protocol: ProtocolId(protocol),
            transform_count,
            spi: Octets(spi),
            offset: link.offset,
            transforms,
            transforms_offset: link.offset.saturating_add(least),
        })
    }

    /// The transforms: every good one, then at most one error. A chain whose length differs from
    /// [`Self::transform_count`] is such an error.
    pub const fn transforms(&self) -> Transforms<'a> {
        let mut chain =
            Substructures::new("IKEv2 transform", self.transforms, self.transforms_offset);
        if self.transform_count == 0 && self.transforms.is_empty() {
            chain.state = State::Done;
        }
        Transforms {
            chain,
            declared: self.transform_count,
            seen: 0,
        }
    }
}

/// The transforms of a proposal; see [`Proposal::transforms`].
#[derive(Debug, Clone)]
pub struct Transforms<'a> {
    chain: Substructures<'a>,
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
        let item = item.and_then(|link| Transform::read(&link));
        if item.is_err() {
            self.chain.state = State::Done;
        }
        self.seen = self.seen.saturating_add(1);
        Some(item)
    }
}

/// A transform (RFC 7296 §3.3.2).
///
/// `Display` writes it as people write suites: `AES_CBC_256`, `HMAC_SHA2_256_128`,
/// `PRF_HMAC_SHA2_256`, `MODP_2048`, `ESN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transform<'a> {
    /// Octets 2..4. Length with the attributes, as declared.
    pub length: u16,
    /// Octet 4.
    pub transform_type: TransformType,
    /// Octets 6..8. Its meaning depends on the type: [`Self::algorithm`].
    pub id: u16,
    /// Offset of the transform from the start of the message.
    pub offset: usize,
    attributes: &'a [u8],
}

impl<'a> Transform<'a> {
    /// Size of a transform without attributes, in octets.
    pub const HEADER_LEN: usize = 8;

    fn read(link: &Substructure<'a>) -> Result<Self, ParseError> {
        let Some((&[transform_type, _, high, low], attributes)) = link.body.split_first_chunk()
        else {
            let reason = Reason::BadLength {
                value: usize::from(link.length),
                least: Self::HEADER_LEN,
            };
            return Err(ParseError::new("IKEv2 transform", link.offset, reason));
        };
        Ok(Self {
            length: link.length,
            transform_type: TransformType(transform_type),
            id: u16::from_be_bytes([high, low]),
            offset: link.offset,
            attributes,
        })
    }

    /// The algorithm that type and id name together.
    pub const fn algorithm(&self) -> Algorithm {
        match self.transform_type {
            TransformType::ENCR => Algorithm::Encryption(Encryption(self.id)),
            TransformType::PRF => Algorithm::Prf(Prf(self.id)),
            TransformType::INTEG => Algorithm::Integrity(Integrity(self.id)),
            TransformType::KE => Algorithm::KeyExchange(KeyExchange(self.id)),
            TransformType::SN => Algorithm::SequenceNumbers(SequenceNumbers(self.id)),
            TransformType::KWA => Algorithm::KeyWrap(KeyWrap(self.id)),
            TransformType::GCAUTH => Algorithm::GroupControllerAuth(GroupControllerAuth(self.id)),
            other => match other.additional_key_exchange() {
                Some(number) => Algorithm::AdditionalKeyExchange(number, KeyExchange(self.id)),
                None => Algorithm::Unknown(other, self.id),
            },
        }
    }

    /// The attributes: every good one, then at most one error.
    pub const fn attributes(&self) -> Attributes<'a> {
        let offset = self.offset.saturating_add(Self::HEADER_LEN);
        Attributes::new(self.attributes, offset)
    }

    /// The key length attribute, in bits (RFC 7296 §3.3.5).
    pub fn key_length(&self) -> Option<u16> {
        self.attributes().flatten().find_map(|attribute| {
            let is_key_length = attribute.code == TransformAttributeType::KEY_LENGTH.0;
            match attribute.value {
                AttributeValue::Short(bits) if is_key_length => Some(bits),
                _ => None,
            }
        })
    }
}

impl fmt::Display for Transform<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.algorithm(), f)?;
        match self.key_length() {
            Some(bits) => write!(f, "_{bits}"),
            None => Ok(()),
        }
    }
}

/// What a transform proposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Transform type 1.
    Encryption(Encryption),
    /// Transform type 2.
    Prf(Prf),
    /// Transform type 3.
    Integrity(Integrity),
    /// Transform type 4.
    KeyExchange(KeyExchange),
    /// Transform type 5.
    SequenceNumbers(SequenceNumbers),
    /// Transform types 6 to 12, numbered 1 to 7 (RFC 9370).
    AdditionalKeyExchange(u8, KeyExchange),
    /// Transform type 13.
    KeyWrap(KeyWrap),
    /// Transform type 14.
    GroupControllerAuth(GroupControllerAuth),
    /// A type that is not in the registry, and the id.
    Unknown(TransformType, u16),
}

impl Algorithm {
    /// The name of the id, as [`codes`](super::codes) spells it.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Encryption(code) => code.name(),
            Self::Prf(code) => code.name(),
            Self::Integrity(code) => code.name(),
            Self::KeyExchange(code) | Self::AdditionalKeyExchange(_, code) => code.name(),
            Self::SequenceNumbers(code) => code.name(),
            Self::KeyWrap(code) => code.name(),
            Self::GroupControllerAuth(code) => code.name(),
            Self::Unknown(..) => None,
        }
    }
}

impl fmt::Display for Algorithm {
    /// The short name: `AES_CBC`, `MODP_2048`, `NO_ESN`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = match *self {
            Self::Encryption(code) => code.short_name(),
            Self::Integrity(code) => code.short_name(),
            Self::SequenceNumbers(code) => code.short_name(),
            other => other.name(),
        };
        match (short, *self) {
            (Some(name), _) => f.write_str(name),
            (None, Self::Encryption(code)) => fmt::Display::fmt(&code, f),
            (None, Self::Prf(code)) => fmt::Display::fmt(&code, f),
            (None, Self::Integrity(code)) => fmt::Display::fmt(&code, f),
            (None, Self::KeyExchange(code) | Self::AdditionalKeyExchange(_, code)) => {
                fmt::Display::fmt(&code, f)
            }
            (None, Self::SequenceNumbers(code)) => fmt::Display::fmt(&code, f),
            (None, Self::KeyWrap(code)) => fmt::Display::fmt(&code, f),
            (None, Self::GroupControllerAuth(code)) => fmt::Display::fmt(&code, f),
            (None, Self::Unknown(_, id)) => write!(f, "UNKNOWN_{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::super::tests::{fault, raw, truncations};
    use super::*;
    use crate::ike::attribute::Attribute;
    use crate::ike::v2::PayloadType;

    fn names(body: &[u8]) -> Vec<Vec<String>> {
        SecurityAssociation::parse(&raw(PayloadType::SA, body))
            .proposals()
            .map(|proposal| {
                let transforms = proposal.unwrap().transforms();
                transforms.map(|t| t.unwrap().to_string()).collect()
            })
            .collect()
    }

    /// charon's child SA, as decrypted.
    const CHILD: [u8; 40] = hex!(
        "00 00 0028 01 03 04 03 7b48cb9b"
        "   03 00 000c 01 00 000c 800e0080"
        "   03 00 0008 03 00 000c"
        "   00 00 0008 05 00 0000"
    );

    #[test]
    fn a_child_sa_has_an_spi() {
        let sa = SecurityAssociation::parse(&raw(PayloadType::SA, &CHILD));
        let proposals: Vec<_> = sa.proposals().map(Result::unwrap).collect();
        assert_eq!(proposals.len(), 1);
        let proposal = proposals[0];
        assert_eq!(
            (proposal.number, proposal.protocol, proposal.transform_count),
            (1, ProtocolId::ESP, 3)
        );
        assert_eq!(proposal.spi.to_string(), "7b48cb9b");
        assert_eq!((proposal.offset, proposal.length), (32, 40));
        let transforms: Vec<_> = proposal.transforms().map(Result::unwrap).collect();
        assert_eq!(transforms[0].offset, 44);
        assert_eq!(transforms[0].key_length(), Some(128));
        assert_eq!(
            transforms[0].attributes().collect::<Vec<_>>(),
            [Ok(Attribute {
                code: TransformAttributeType::KEY_LENGTH.0,
                value: AttributeValue::Short(128),
                offset: 52,
            })]
        );
        assert_eq!(
            names(&CHILD),
            [["AES_CBC_128", "HMAC_SHA2_256_128", "NO_ESN"]]
        );
        truncations(PayloadType::SA, &CHILD);
    }

    /// By hand from RFC 9370 §2.2.2: an AEAD proposal with additional key exchanges, a KEM among
    /// them, then a proposal with numbers nobody has registered.
    const TWO: [u8; 92] = hex!(
        "02 00 003c 01 01 00 06"
        "   03 00 000c 01 00 0014 800e0100"
        "   03 00 0008 02 00 0007"
        "   03 00 0008 04 00 001f"
        "   03 00 0008 06 00 0024"
        "   03 00 0008 06 00 0000"
        "   00 00 0008 0c 00 0025"
        "00 00 0020 02 01 00 03"
        "   03 00 0008 01 00 03e8"
        "   03 00 0008 63 00 0001"
        "   00 00 0008 0d 00 0001"
    );

    #[test]
    fn additional_key_exchanges_are_key_exchanges() {
        assert_eq!(
            names(&TWO),
            [
                &[
                    "AES_GCM_16_256",
                    "PRF_HMAC_SHA2_512",
                    "CURVE25519",
                    "ML_KEM_768",
                    "NONE",
                    "ML_KEM_1024"
                ][..],
                &["UNKNOWN_1000", "UNKNOWN_1", "KW_5649_128"][..]
            ]
        );
        let sa = SecurityAssociation::parse(&raw(PayloadType::SA, &TWO));
        let algorithms: Vec<_> = sa
            .proposals()
            .flatten()
            .flat_map(|proposal| proposal.transforms().flatten())
            .map(|transform| transform.algorithm())
            .collect();
        assert_eq!(
            algorithms[3],
            Algorithm::AdditionalKeyExchange(1, KeyExchange::ML_KEM_768)
        );
        assert_eq!(
            algorithms[5],
            Algorithm::AdditionalKeyExchange(7, KeyExchange::ML_KEM_1024)
        );
        assert_eq!(algorithms[7], Algorithm::Unknown(TransformType(99), 1));
        assert_eq!(algorithms[7].name(), None);
        assert_eq!(algorithms[0].name(), Some("ENCR_AES_GCM_16"));
        truncations(PayloadType::SA, &TWO);
    }

    #[test]
    fn every_transform_type_has_its_algorithm() {
        for &transform_type in TransformType::KNOWN {
            let body = [
                0,
                0,
                0,
                16,
                1,
                1,
                0,
                1,
                0,
                0,
                0,
                8,
                transform_type.0,
                0,
                0,
                2,
            ];
            let sa = SecurityAssociation::parse(&raw(PayloadType::SA, &body));
            let proposal = sa.proposals().next().unwrap().unwrap();
            let transform = proposal.transforms().next().unwrap().unwrap();
            let algorithm = transform.algorithm();
            assert!(!matches!(algorithm, Algorithm::Unknown(..)));
            assert!(algorithm.name().is_some(), "{transform_type}");
        }
    }

    #[test]
    fn an_empty_payload_has_no_proposal() {
        let reason = Reason::Truncated {
            needed: 4,
            available: 0,
        };
        assert_eq!(
            fault(PayloadType::SA, &[]),
            ParseError::new("IKEv2 proposal", 32, reason)
        );
    }

    #[test]
    fn a_proposal_without_transforms_is_empty() {
        let body = hex!("00 00 0008 01 01 00 00");
        assert_eq!(names(&body), [Vec::<String>::new()]);
    }

    #[test]
    fn a_chain_that_ends_too_early_or_too_late_is_a_fault() {
        // The first proposal says that it is the last.
        let mut early = TWO;
        early[0] = 0;
        assert_eq!(
            fault(PayloadType::SA, &early),
            ParseError::new("IKEv2 proposal", 92, Reason::Trailing { octets: 32 })
        );
        // The last says that another follows.
        let mut late = CHILD;
        late[0] = 2;
        let reason = Reason::Truncated {
            needed: 4,
            available: 0,
        };
        assert_eq!(
            fault(PayloadType::SA, &late),
            ParseError::new("IKEv2 proposal", 72, reason)
        );
        // So does the last transform.
        let mut late = CHILD;
        late[32] = 3;
        assert_eq!(
            fault(PayloadType::SA, &late),
            ParseError::new("IKEv2 transform", 72, reason)
        );
    }

    #[test]
    fn transforms_are_counted() {
        let mut body = CHILD;
        body[7] = 4;
        let text = "the number of transforms is not the declared one";
        assert_eq!(
            fault(PayloadType::SA, &body),
            ParseError::new("IKEv2 transform", 72, Reason::Invalid(text))
        );
    }

    #[test]
    fn an_spi_longer_than_its_proposal_is_a_fault() {
        let body = hex!("00 00 000a 01 03 04 00 7b48");
        let reason = Reason::BadLength {
            value: 10,
            least: 12,
        };
        assert_eq!(
            fault(PayloadType::SA, &body),
            ParseError::new("IKEv2 proposal", 32, reason)
        );
    }

    #[test]
    fn attributes_have_two_forms() {
        let octets = hex!("000e 0002 0100" "8012 0007" "0001 0004 ffff");
        let mut attributes = Attributes::new(&octets, 100);
        assert_eq!(
            attributes.next(),
            Some(Ok(Attribute {
                code: 14,
                value: AttributeValue::Long(Octets(&[1, 0])),
                offset: 100
            }))
        );
        assert_eq!(
            attributes.next(),
            Some(Ok(Attribute {
                code: 18,
                value: AttributeValue::Short(7),
                offset: 106
            }))
        );
        let reason = Reason::Truncated {
            needed: 8,
            available: 6,
        };
        assert_eq!(
            attributes.next(),
            Some(Err(ParseError::new("IKE attribute", 110, reason)))
        );
        assert_eq!(attributes.next(), None);
    }
}
