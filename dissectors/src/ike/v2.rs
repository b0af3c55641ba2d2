//! IKEv2 (RFC 7296 and successors).
//!
//! What comes in: a link of the payload chain, [`RawPayload`], whose body is unread. What goes
//! out: the typed body, borrowed. What is encrypted stays octets: the chain inside an SK payload
//! is walked with [`Payloads::new`](super::Payloads::new) by whoever has decrypted it.
//!
//! Offsets in errors count from the start of the message, as the payload's own offset does.
//! Values are not judged: unknown codes are kept, and a length that fits is taken.

use super::{RawPayload, body, end, rest};
use crate::{Octets, ParseError, eap};

pub mod codes;

mod auth;
mod cert;
mod config;
mod delete;
mod encrypted;
mod id;
mod ke;
mod notify;
mod notify_type;
mod sa;
mod ts;

pub use super::attribute::{Attribute, AttributeValue, Attributes};
pub use auth::{Authentication, DigitalSignature};
pub use cert::{Certificate, CertificateRequest, HashAndUrl};
pub use codes::{
    AuthMethod, CertEncoding, ConfigAttributeType, ConfigType, Encryption, ExchangeType,
    GatewayIdentityType, GroupControllerAuth, HashAlgorithm, IdType, Integrity, IpcompTransform,
    KeyExchange, KeyWrap, PayloadType, PpkIdType, Prf, ProtocolId, PublicLen, RohcAttributeType,
    SecurePasswordMethod, SequenceNumbers, TransformAttributeType, TransformType, TsType,
};
pub use config::{ConfigAttribute, ConfigAttributes, ConfigValue, Configuration};
pub use delete::Delete;
pub use encrypted::{Encrypted, EncryptedFragment, Sealed};
pub use id::{Identification, Identity};
pub use ke::KeyShare;
pub use notify::{
    AuthAnnouncement, AuthAnnouncements, Codes16, GatewayIdentity, Notify, NotifyData,
};
pub use notify_type::NotifyType;
pub use sa::{Algorithm, Proposal, Proposals, SecurityAssociation, Transform, Transforms};
pub use ts::{Selector, Selectors, TrafficSelectors};

/// The typed body of an IKEv2 payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payload<'a> {
    /// SA (33).
    Sa(SecurityAssociation<'a>),
    /// KE (34).
    Ke(KeyShare<'a>),
    /// `IDi` (35).
    IdI(Identification<'a>),
    /// `IDr` (36).
    IdR(Identification<'a>),
    /// CERT (37).
    Cert(Certificate<'a>),
    /// CERTREQ (38).
    CertReq(CertificateRequest<'a>),
    /// AUTH (39).
    Auth(Authentication<'a>),
    /// Ni, Nr (40): 16 to 256 octets of nonce (RFC 7296 §3.9), whose number is not checked.
    Nonce(Octets<'a>),
    /// N (41).
    Notify(Notify<'a>),
    /// D (42).
    Delete(Delete<'a>),
    /// V (43): the vendor id, RFC 7296 §3.12. [`vendor`](super::vendor) knows whose it is.
    VendorId(Octets<'a>),
    /// `TSi` (44).
    TsI(TrafficSelectors<'a>),
    /// `TSr` (45).
    TsR(TrafficSelectors<'a>),
    /// SK (46).
    Encrypted(Encrypted<'a>),
    /// CP (47).
    Config(Configuration<'a>),
    /// EAP (48): one EAP packet, RFC 7296 §3.16.
    Eap(eap::Packet<'a>),
    /// GSPM (49): the data of a secure password method, RFC 6467, as octets.
    Gspm(Octets<'a>),
    /// `IDg` (50): the group, in the form of an identification (RFC 9838).
    IdG(Identification<'a>),
    /// GSA (51), RFC 9838, as octets.
    Gsa(Octets<'a>),
    /// KD (52), RFC 9838, as octets.
    Kd(Octets<'a>),
    /// SKF (53).
    EncryptedFragment(EncryptedFragment<'a>),
    /// PS (54): the solution of a puzzle, RFC 8019 §8.2: as many keys as the puzzle wants, one
    /// after the other, as octets.
    Puzzle(Octets<'a>),
    /// A type that is not in the registry.
    Unknown(PayloadType, Octets<'a>),
}

impl<'a> Payload<'a> {
    /// Reads the body of `raw`. Chains inside it (proposals, selectors, attributes) are walked
    /// later and yield their own errors.
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        let octets = Octets(raw.body);
        Ok(match PayloadType(raw.payload_type) {
            PayloadType::SA => Self::Sa(SecurityAssociation::parse(raw)),
            PayloadType::KE => Self::Ke(KeyShare::parse(raw)?),
            PayloadType::IDI => Self::IdI(Identification::parse(raw)?),
            PayloadType::IDR => Self::IdR(Identification::parse(raw)?),
            PayloadType::CERT => Self::Cert(Certificate::parse(raw)?),
            PayloadType::CERTREQ => Self::CertReq(CertificateRequest::parse(raw)?),
            PayloadType::AUTH => Self::Auth(Authentication::parse(raw)?),
            PayloadType::NONCE => Self::Nonce(octets),
            PayloadType::N => Self::Notify(Notify::parse(raw)?),
            PayloadType::D => Self::Delete(Delete::parse(raw)?),
            PayloadType::V => Self::VendorId(octets),
            PayloadType::TSI => Self::TsI(TrafficSelectors::parse(raw)?),
            PayloadType::TSR => Self::TsR(TrafficSelectors::parse(raw)?),
            PayloadType::SK => Self::Encrypted(Encrypted::parse(raw)),
            PayloadType::CP => Self::Config(Configuration::parse(raw)?),
            PayloadType::EAP => Self::Eap(
                eap::Packet::parse(raw.body).map_err(|error| error.moved(raw.body_offset()))?,
            ),
            PayloadType::GSPM => Self::Gspm(octets),
            PayloadType::IDG => Self::IdG(Identification::parse(raw)?),
            PayloadType::GSA => Self::Gsa(octets),
            PayloadType::KD => Self::Kd(octets),
            PayloadType::SKF => Self::EncryptedFragment(EncryptedFragment::parse(raw)?),
            PayloadType::PS => Self::Puzzle(octets),
            other => Self::Unknown(other, octets),
        })
    }
}

impl RawPayload<'_> {
    /// IKEv2's *critical* bit: a receiver that does not know the payload type must refuse the
    /// message (RFC 7296 §2.5).
    pub const fn is_critical(&self) -> bool {
        self.reserved & 0x80 != 0
    }
}

#[cfg(test)]
mod tests;
