//! IKEv1 (RFC 2407, RFC 2408, RFC 2409 and successors).
//!
//! What comes in: a link of the payload chain, [`RawPayload`], whose body is unread, and the
//! exchange it travels in. What goes out: the typed body, borrowed. An encrypted message has no
//! chain to walk: whoever has decrypted it walks it with [`Payloads::new`](super::Payloads::new).
//!
//! Offsets in errors count from the start of the message, as the payload's own offset does.
//! Values are not judged: unknown codes are kept, and a length that fits is taken.

use super::{RawPayload, body, end, rest};
use crate::{Octets, ParseError};

pub mod codes;

mod attribute;
mod cert;
mod config;
mod delete;
mod fragment;
mod id;
mod natd;
mod notify;
mod sa;
mod suite;

pub use super::attribute::{Attribute, AttributeValue, Attributes};
pub use attribute::AttributeClass;
pub use cert::{Certificate, CertificateRequest};
pub use codes::{
    AuthenticationAlgorithm, AuthenticationMethod, CertEncoding, ConfigAttribute, ConfigType, Doi,
    EncapsulationMode, Encryption, EspTransform, ExchangeType, Group, Hash, IdType, IkeAttribute,
    IpsecAttribute, LifeType, NotifyType, PayloadType, Protocol, XauthStatus, XauthType,
};
pub use config::{ConfigValue, Configuration, SplitNetwork, SplitNetworks};
pub use delete::Delete;
pub use fragment::Fragment;
pub use id::{Identification, Identity};
pub use natd::NatOriginalAddress;
pub use notify::{Notify, NotifyData};
pub use sa::{Labels, Proposal, Proposals, SecurityAssociation, Situation, Transform, Transforms};
pub use suite::{CipherName, IkeSuite, IpsecSuite};

/// The typed body of an IKEv1 payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payload<'a> {
    /// SA (1).
    Sa(SecurityAssociation<'a>),
    /// KE (4): the sender's public value. Its size tells the group:
    /// [`Group::public_len`].
    Ke(Octets<'a>),
    /// ID (5).
    Id(Identification<'a>),
    /// CERT (6).
    Cert(Certificate<'a>),
    /// CR (7).
    CertReq(CertificateRequest<'a>),
    /// HASH (8): in aggressive mode in clear, so that a guessed pre-shared key can be tested.
    Hash(Octets<'a>),
    /// SIG (9).
    Signature(Octets<'a>),
    /// NONCE (10): 8 to 256 octets (RFC 2409 §5), whose number is not checked.
    Nonce(Octets<'a>),
    /// N (11).
    Notify(Notify<'a>),
    /// D (12).
    Delete(Delete<'a>),
    /// VID (13). [`vendor`](super::vendor) knows whose it is.
    VendorId(Octets<'a>),
    /// Attributes (14): mode config and XAUTH.
    Config(Configuration<'a>),
    /// NAT-D (20, in drafts 15 or 130): a hash of cookies, address and port (RFC 3947 §3.2). Its
    /// size is that of the negotiated [hash](codes::Hash).
    NatD(Octets<'a>),
    /// NAT-OA (21, in drafts 16 or 131).
    NatOa(NatOriginalAddress<'a>),
    /// Cisco's fragment (132).
    Fragment(Fragment<'a>),
    /// A type that has no structure here, those of group key exchanges included (RFC 6407).
    Unknown(PayloadType, Octets<'a>),
}

impl<'a> Payload<'a> {
    /// Reads the body of `raw`, which travels in an exchange of type `exchange`: drafts of RFC
    /// 3947 used payload types that other exchanges use otherwise. Chains inside it (proposals,
    /// attributes) are walked later and yield their own errors.
    pub fn parse(raw: &RawPayload<'a>, exchange: ExchangeType) -> Result<Self, ParseError> {
        let octets = Octets(raw.body);
        Ok(match PayloadType(raw.payload_type) {
            PayloadType::SA => Self::Sa(SecurityAssociation::parse(raw)?),
            PayloadType::KE => Self::Ke(octets),
            PayloadType::ID => Self::Id(Identification::parse(raw)?),
            PayloadType::CERT => Self::Cert(Certificate::parse(raw)?),
            PayloadType::CR => Self::CertReq(CertificateRequest::parse(raw)?),
            PayloadType::HASH => Self::Hash(octets),
            PayloadType::SIG => Self::Signature(octets),
            PayloadType::NONCE => Self::Nonce(octets),
            PayloadType::N => Self::Notify(Notify::parse(raw)?),
            PayloadType::D => Self::Delete(Delete::parse(raw)?),
            PayloadType::VID => Self::VendorId(octets),
            PayloadType::ATTRIBUTES => Self::Config(Configuration::parse(raw)?),
            PayloadType::NAT_D | PayloadType::NAT_D_DRAFT => Self::NatD(octets),
            PayloadType::NAT_OA | PayloadType::NAT_OA_DRAFT => {
                Self::NatOa(NatOriginalAddress::parse(raw)?)
            }
            // Group key exchanges follow a phase 1 and are encrypted; the drafts' NAT-D is part of
            // one.
            PayloadType::SA_KEK if exchange.is_phase_1() => Self::NatD(octets),
            PayloadType::SA_TEK if NatOriginalAddress::fits(raw.body) => {
                Self::NatOa(NatOriginalAddress::parse(raw)?)
            }
            PayloadType::FRAGMENT => Self::Fragment(Fragment::parse(raw)?),
            other => Self::Unknown(other, octets),
        })
    }
}

#[cfg(test)]
mod tests;
