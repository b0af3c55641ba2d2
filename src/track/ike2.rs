//! IKEv2 facts: the SAs, exchanges and messages of one attempt, and everything after it.

use std::sync::Arc;

pub use crate::track::clear::{Notifies, Notify, Types};
use crate::track::rare::Rare;
use crate::track::session::{Side, Stamp};

pub mod fold;
pub mod nat;
pub mod solve;
pub mod suite;

pub use nat::Nat;
pub use suite::{Offer, Proposal, Suite};

/// What was seen of an IKEv2 session.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ike2 {
    /// The IKE SAs in order: the first, then those that renewed it.
    pub sas: Vec<IkeSa>,
    /// Exchanges in order of their first message. Bounded.
    pub exchanges: Vec<Exchange>,
    /// Exchanges beyond the bound.
    pub exchanges_not_kept: u64,
    /// NAT detection, verified.
    pub nat: Nat,
    /// Vendor ids of the initiator and the responder, as hex where unknown.
    pub vendor_ids: Vec<(Side, Arc<str>)>,
    /// Responder SPIs of other answers to the same request: several backends.
    pub other_responders: Rare<Vec<(Stamp, u64)>>,
}

/// One IKE SA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IkeSa {
    /// Initiator's SPI.
    pub initiator_spi: u64,
    /// Responder's SPI; 0 until it is known.
    pub responder_spi: u64,
    /// Who began this SA: in a renewal this may be the gateway.
    pub initiator: Side,
    /// What the initiator offered last.
    pub offered: Offer,
    /// What the responder chose: one proposal.
    pub chosen: Offer,
    /// The algorithms of that.
    pub suite: Option<Suite>,
    /// Its first message.
    pub first: Stamp,
    /// Whether that it renews the SA before it is concluded from address, port and time,
    /// because the rekey itself is encrypted.
    pub inferred: bool,
}

impl IkeSa {
    /// The negotiated algorithms, where the negotiation was seen.
    pub const fn suite(&self) -> Option<Suite> {
        self.suite
    }
}

/// A request and its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Index of its SA in [`Ike2::sas`].
    pub sa: usize,
    /// Message ID.
    pub id: u32,
    /// Exchange type, as on the wire.
    pub kind: u8,
    /// Who sent the request.
    pub by: Side,
    /// The request; absent where only the response was seen.
    pub request: Option<Message>,
    /// The response.
    pub response: Option<Message>,
}

/// `IKE_SA_INIT`, and the others by number.
pub mod kind {
    /// `IKE_SA_INIT`.
    pub const SA_INIT: u8 = 34;
    /// `IKE_AUTH`.
    pub const AUTH: u8 = 35;
    /// `CREATE_CHILD_SA`.
    pub const CREATE_CHILD: u8 = 36;
    /// `INFORMATIONAL`.
    pub const INFORMATIONAL: u8 = 37;
    /// `IKE_SESSION_RESUME`.
    pub const RESUME: u8 = 38;
    /// `IKE_INTERMEDIATE`.
    pub const INTERMEDIATE: u8 = 43;
    /// `IKE_FOLLOWUP_KE`.
    pub const FOLLOWUP: u8 = 44;
}

impl Exchange {
    /// Its first frame.
    pub fn first(&self) -> Option<Stamp> {
        match (&self.request, &self.response) {
            (Some(request), Some(response)) => Some(request.at.min(response.at)),
            (Some(one), None) | (None, Some(one)) => Some(one.at),
            (None, None) => None,
        }
    }
}

/// One message of an exchange, all its fragments together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Index of its step in the session; `None` beyond the bound.
    pub step: Option<usize>,
    /// First sighting.
    pub at: Stamp,
    /// Octets of the IKE message; for one in IKE fragments, the sum over the fragments.
    pub length: u32,
    /// Types of the payloads that stand in clear.
    pub payloads: Types,
    /// Notifies that stand in clear.
    pub notifies: Notifies,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The key exchange method of its KE payload, where in clear.
    pub ke_group: Option<u16>,
    /// IKE fragments (RFC 7383) of the message, where it came in such.
    pub fragments: Option<Box<Fragments>>,
    /// Whether snaplen cut it.
    pub truncated: bool,
    /// Digest of the octets, to tell a retransmission from another message.
    pub digest: u64,
}

impl Message {
    /// Whether it carries a notify of this type in clear.
    pub fn notify(&self, notify_type: u16) -> Option<Notify<'_>> {
        self.notifies
            .iter()
            .find(|notify| notify.notify_type == notify_type)
    }

    /// The first error notify in clear: RFC 7296 §3.10.1, types below 16384.
    pub fn error(&self) -> Option<Notify<'_>> {
        self.notifies
            .iter()
            .find(|notify| notify.notify_type < 16384)
    }

    /// Whether it carries a payload of this type in clear.
    pub fn has(&self, payload_type: u8) -> bool {
        self.payloads.has(payload_type)
    }

    /// Whether everything of it was seen.
    pub fn is_whole(&self) -> bool {
        self.fragments
            .as_ref()
            .is_none_or(|fragments| fragments.is_complete())
    }
}

/// Which IKE fragments of a message were seen (RFC 7383 §2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragments {
    /// Total, as the fragments say.
    pub total: u16,
    /// For each fragment number from 1: in which frame it was first seen and how often.
    pub seen: Vec<(u16, Stamp, u32)>,
    /// Octets of the largest fragment's IP datagram.
    pub largest_ip: u32,
}

impl Fragments {
    /// Fragments of one message that are kept.
    pub const KEPT: usize = 64;

    /// Whether every one was seen.
    pub fn is_complete(&self) -> bool {
        self.seen.len() >= usize::from(self.total)
    }

    /// Numbers never seen.
    pub fn missing(&self) -> Vec<u16> {
        let most = self
            .total
            .min(u16::try_from(Self::KEPT).unwrap_or(u16::MAX));
        (1..=most)
            .filter(|number| !self.seen.iter().any(|(seen, ..)| seen == number))
            .collect()
    }
}

impl Ike2 {
    /// How many exchanges are kept.
    pub const EXCHANGES_KEPT: usize = 256;

    /// The rounds of `IKE_SA_INIT`: more than one after COOKIE or `INVALID_KE_PAYLOAD`.
    pub fn init_rounds(&self) -> impl DoubleEndedIterator<Item = &Exchange> {
        self.exchanges
            .iter()
            .filter(|e| matches!(e.kind, kind::SA_INIT | kind::RESUME))
    }

    /// The exchanges of one type on the first SA.
    pub fn of_kind(&self, kind: u8) -> impl DoubleEndedIterator<Item = &Exchange> {
        self.exchanges
            .iter()
            .filter(move |exchange| exchange.kind == kind)
    }

    /// The response that accepted the negotiation: with SA and KE payloads.
    pub fn accepted(&self) -> Option<&Message> {
        self.init_rounds()
            .filter_map(|e| e.response.as_ref())
            .find(|m| m.has(33))
    }

    /// Whether both sides said this status notify in `IKE_SA_INIT`.
    pub fn both_said(&self, notify_type: u16) -> bool {
        let said = |m: Option<&Message>| m.is_some_and(|m| m.notify(notify_type).is_some());
        said(
            self.init_rounds()
                .filter_map(|e| e.request.as_ref())
                .next_back(),
        ) && said(self.accepted())
    }
}
