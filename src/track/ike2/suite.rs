//! Proposals, and the arithmetic that a negotiated suite allows.
//!
//! The lengths are computed from RFC 7296 §3.14 and the algorithms' own RFCs, never looked up
//! in a table of observed sizes.

use vpnscope_dissectors::ike::RawPayload;
use vpnscope_dissectors::ike::v2::{
    Encryption, Integrity, KeyExchange, Prf, Proposal as Wire, SecurityAssociation, TransformType,
};

use crate::track::pack::{Pack, Packer, Unpacker, octets, octets_of};

/// One proposal, its transforms sorted by type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proposal {
    /// Number.
    pub number: u8,
    /// Protocol: 1 IKE, 2 AH, 3 ESP.
    pub protocol: u8,
    /// Encryption: id and key length in bits.
    pub encryption: Vec<(Encryption, Option<u16>)>,
    /// Pseudo-random functions.
    pub prf: Vec<Prf>,
    /// Integrity algorithms.
    pub integrity: Vec<Integrity>,
    /// Key exchange methods.
    pub key_exchange: Vec<KeyExchange>,
    /// Sequence number properties.
    pub sequence_numbers: Vec<u16>,
    /// Additional key exchanges: transform type 6..=12 and method.
    pub additional: Vec<(u8, KeyExchange)>,
}

/// Transforms of one proposal that are read; a real one has some dozens.
const TRANSFORMS_READ: usize = 256;
/// Proposals of one SA payload that are read.
const PROPOSALS_READ: usize = 64;

/// The body of an SA payload. It is read only when somebody asks: of a session that works nobody
/// does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offer(Box<[u8]>);

impl Offer {
    /// Octets that are kept.
    const KEPT: usize = 16 << 10;

    /// Keeps the body of an SA payload.
    pub fn new(body: &[u8]) -> Self {
        Self(body.get(..Self::KEPT).unwrap_or(body).into())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its proposals. Bounded.
    pub fn proposals(&self) -> Vec<Proposal> {
        wire(&self.0)
            .map(|proposal| Proposal::of(&proposal))
            .collect()
    }

    /// Its first proposal.
    pub fn first(&self) -> Option<Proposal> {
        wire(&self.0).next().map(|proposal| Proposal::of(&proposal))
    }
}

/// The proposals in the body of an SA payload, as far as they can be read.
pub(super) fn wire(body: &[u8]) -> impl Iterator<Item = Wire<'_>> {
    let raw = RawPayload {
        payload_type: 33,
        next_payload: 0,
        reserved: 0,
        length: 0,
        offset: 0,
        body,
    };
    let sa = SecurityAssociation::parse(&raw);
    sa.proposals().take(PROPOSALS_READ).flatten()
}

impl Proposal {
    fn of(wire: &Wire<'_>) -> Self {
        let mut proposal = Self {
            number: wire.number,
            protocol: wire.protocol.0,
            ..Self::default()
        };
        for transform in wire.transforms().take(TRANSFORMS_READ).flatten() {
            let id = transform.id;
            match transform.transform_type {
                TransformType::ENCR => {
                    let bits = transform.key_length();
                    proposal.encryption.push((Encryption(id), bits));
                }
                TransformType::PRF => proposal.prf.push(Prf(id)),
                TransformType::INTEG => proposal.integrity.push(Integrity(id)),
                TransformType::KE => proposal.key_exchange.push(KeyExchange(id)),
                TransformType::SN => proposal.sequence_numbers.push(id),
                TransformType(other @ 6..=12) => proposal.additional.push((other, KeyExchange(id))),
                _ => {}
            }
        }
        proposal
    }
}

/// The algorithms that protect an IKE SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Suite {
    /// Encryption.
    pub encryption: Encryption,
    /// Its key length in bits, where said.
    pub key_bits: Option<u16>,
    /// Integrity; `None` with an AEAD.
    pub integrity: Option<Integrity>,
    /// Pseudo-random function.
    pub prf: Prf,
    /// Key exchange method.
    pub key_exchange: Option<KeyExchange>,
}

impl Suite {
    /// The suite that a responder's answer chose: the first transform of each type.
    pub(super) fn of(proposal: &Wire<'_>) -> Option<Self> {
        let (mut encryption, mut prf, mut integrity, mut method) = (None, None, None, None);
        for transform in proposal.transforms().take(TRANSFORMS_READ).flatten() {
            let id = transform.id;
            match transform.transform_type {
                TransformType::ENCR if encryption.is_none() => {
                    encryption = Some((Encryption(id), transform.key_length()));
                }
                TransformType::PRF => prf = prf.or(Some(Prf(id))),
                TransformType::INTEG => integrity = integrity.or(Some(Integrity(id))),
                TransformType::KE => method = method.or(Some(KeyExchange(id))),
                _ => {}
            }
        }
        let (encryption, key_bits) = encryption?;
        Some(Self {
            encryption,
            key_bits,
            integrity: integrity.filter(|i| i.0 != 0),
            prf: prf?,
            key_exchange: method,
        })
    }

    /// Octets of the initialisation vector.
    fn iv(&self) -> Option<u32> {
        self.encryption
            .iv_len()
            .and_then(|len| u32::try_from(len).ok())
    }

    /// Octets of the integrity check value.
    fn icv(&self) -> Option<u32> {
        let len = match self.integrity {
            Some(integrity) => integrity.icv_len(),
            None => self.encryption.icv_len(),
        };
        len.and_then(|len| u32::try_from(len).ok())
    }

    /// IKE length of a message whose SK payload holds `inner` octets of payloads, with the
    /// least padding that the cipher allows (RFC 7296 §3.14): header 28, SK header 4, IV,
    /// payloads and pad-length octet rounded up to the block, ICV.
    pub fn sealed(&self, inner: u32) -> Option<u32> {
        let block = u32::try_from(self.encryption.block_len()?).ok()?.max(1);
        let padded = (inner + 1).div_ceil(block) * block;
        Some(28 + 4 + self.iv()? + padded + self.icv()?)
    }

    /// Length of a message with nothing inside: liveness check and its answer.
    pub fn empty(&self) -> Option<u32> {
        self.sealed(0)
    }

    /// Length of a message with one notify without SPI and data, or with a Delete of the
    /// IKE SA: eight octets.
    pub fn one_notify(&self) -> Option<u32> {
        self.sealed(8)
    }

    /// The longest message that holds nothing but one short notify: 12 octets leave room
    /// for an SPI or four octets of data.
    pub fn short_notify(&self) -> Option<u32> {
        self.sealed(12)
    }

    /// The shortest last `IKE_AUTH` response that grants a child SA: AUTH, SA, two traffic
    /// selectors; `IDr` is absent where EAP came before (RFC 7296 §1.2, §2.16).
    ///
    /// AUTH holds a 4-octet body header and at least the output of the PRF; the smallest SA
    /// is 4 + 8 + 4 (proposal with SPI) and one 12-octet transform with key length plus one
    /// 8-octet ESN transform; a TS payload with one IPv4 range is 24.
    pub fn least_success(&self, with_idr: bool) -> Option<u32> {
        let prf = u32::try_from(self.prf.output_len()?).ok()?;
        let idr = if with_idr { 8 } else { 0 };
        self.sealed(idr + (8 + prf) + 32 + 24 + 24)
    }

    /// Length of a message with nothing but an AUTH payload made with the PRF: what closes EAP
    /// (RFC 7296 §2.16, §3.8).
    pub fn authentication(&self) -> Option<u32> {
        let prf = u32::try_from(self.prf.output_len()?).ok()?;
        self.sealed(8 + prf)
    }

    /// The same with one notify of up to eight octets of data beside it.
    pub fn authentication_and_notify(&self) -> Option<u32> {
        let prf = u32::try_from(self.prf.output_len()?).ok()?;
        self.sealed(8 + prf + 16)
    }

    /// The shortest `CREATE_CHILD_SA` response that grants anything: SA (32), nonce (4 + 16)
    /// and for a child two traffic selectors; for an IKE SA a KE payload, longer than those.
    pub fn least_child(&self) -> Option<u32> {
        self.sealed(32 + 20)
    }
}

impl Pack for Offer {
    fn pack(&self, to: &mut Packer<'_>) {
        to.once(|to| octets(&self.0, to));
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        from.once(|from| octets_of(from).map(Box::from)).map(Self)
    }
}
