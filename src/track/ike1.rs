//! IKEv1 facts: phase 1, and the exchanges that it protects.
//!
//! A session is one phase 1 by its cookies, with everything under it. Phase 1 has message ID 0;
//! every other exchange has its own: the same octets again are a retransmission, another message
//! ID is another exchange.

use std::sync::Arc;

use vpnscope_dissectors::ike::v1::IkeSuite;
use vpnscope_dissectors::ike::vendor::{Family, NatDraft};

use super::ike2::nat::Nat;
use super::ike2::{Notifies, Notify, Types};
use crate::track::session::{PerSide, Side, Stamp};

pub mod fold;
mod read;

/// What was seen of an IKEv1 session.
#[derive(Debug, Clone, PartialEq)]
pub struct Ike1 {
    /// Initiator's cookie.
    pub initiator_cookie: u64,
    /// Responder's cookie; 0 until it is known.
    pub responder_cookie: u64,
    /// Who began phase 1: in a renewal this may be the gateway.
    pub initiator: Side,
    /// How phase 1 is done.
    pub mode: Mode,
    /// What the initiator offered, in order. Bounded.
    pub offered: Vec<Offer>,
    /// What the responder chose.
    pub chosen: Option<Offer>,
    /// The distinct messages of phase 1, in order of their first sighting. Bounded.
    pub phase1: Vec<Message>,
    /// The other exchanges, in order of their first message. Bounded.
    pub exchanges: Vec<Exchange>,
    /// Exchanges beyond the bound.
    pub exchanges_not_kept: u64,
    /// NAT detection, verified.
    pub nat: Nat,
    /// Vendor ids of both ends.
    pub vendor_ids: Vec<(Side, Arc<str>)>,
    /// What both ends said that they can do.
    pub abilities: PerSide<Abilities>,
    /// Responder cookies of other answers to the same first message.
    pub other_responders: Vec<(Stamp, u64)>,
    /// Identities in clear, as aggressive mode shows them.
    pub identities: Vec<(Side, String)>,
    /// Fragments of messages (Cisco), whole or not. Bounded.
    pub fragments: Vec<FragmentSet>,
    /// The cookies of the session between the same endpoints that this phase 1 renews.
    pub renews: Option<(u64, u64)>,
    /// Data of the session that this one renews was seen after this phase 1 was done: the tunnel
    /// lives on under it.
    pub inherited: Option<Stamp>,
    /// Answers in another major version of IKE.
    pub foreign: Vec<Message>,
}

/// How phase 1 is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Identity protection, six messages.
    Main,
    /// Three messages, identities and a hash in clear.
    Aggressive,
    /// Base exchange.
    Base,
    /// Its messages were not seen.
    #[default]
    Unknown,
}

impl Mode {
    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Aggressive => "aggressive",
            Self::Base => "base",
            Self::Unknown => "unknown",
        }
    }

    /// How the field calls a message of it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Main => "Main Mode",
            Self::Aggressive => "Aggressive Mode",
            Self::Base => "Base Exchange",
            Self::Unknown => "Phase 1",
        }
    }

    /// How many messages it has.
    pub const fn messages(self) -> u8 {
        match self {
            Self::Main | Self::Unknown => 6,
            Self::Aggressive => 3,
            Self::Base => 4,
        }
    }
}

/// One transform of phase 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Its number: the answer repeats that of the chosen one.
    pub number: u8,
    /// What it says.
    pub suite: IkeSuite,
}

/// What an end said by its vendor ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one vendor id")]
pub struct Abilities {
    /// The newest document of NAT traversal that it knows.
    pub nat: Option<NatDraft>,
    /// All of them. Bounded by the number of vendor ids that are read.
    pub nat_drafts: Vec<NatDraft>,
    /// Dead peer detection.
    pub dpd: bool,
    /// XAUTH.
    pub xauth: bool,
    /// Cisco's fragmentation of IKE messages.
    pub fragmentation: bool,
    /// Cisco's Unity.
    pub unity: bool,
    /// Makers that its vendor ids name.
    pub makers: Vec<Family>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Index of its step in the session; `None` beyond the bound.
    pub step: Option<usize>,
    /// First sighting.
    pub at: Stamp,
    /// Who sent it.
    pub from: Side,
    /// Its place in its mode, from 1, where its payloads tell; 0 where they do not.
    pub ordinal: u8,
    /// Octets of the IKE message.
    pub length: u32,
    /// Types of the payloads that stand in clear.
    pub payloads: Types,
    /// Notifies that stand in clear.
    pub notifies: Notifies,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The commit flag.
    pub commit: bool,
    /// Octets of the public value in its KE payload, where in clear.
    pub ke_len: Option<u32>,
    /// How many Cisco fragments it came in; 1 where it came whole.
    pub pieces: u16,
    /// Whether snaplen cut it.
    pub truncated: bool,
    /// Digest of the octets, to tell a retransmission from another message.
    pub digest: u64,
}

impl Message {
    /// Whether it carries a payload of this type in clear.
    pub fn has(&self, payload_type: u8) -> bool {
        self.payloads.has(payload_type)
    }

    /// The first error notify in clear: RFC 2408 §3.14.1, types below 16384.
    pub fn error(&self) -> Option<Notify<'_>> {
        self.notifies
            .iter()
            .find(|notify| (1..16384).contains(&notify.notify_type))
    }

    /// Whether it carries a notify of this type in clear.
    pub fn notify(&self, notify_type: u16) -> Option<Notify<'_>> {
        self.notifies
            .iter()
            .find(|notify| notify.notify_type == notify_type)
    }
}

/// One exchange after, or beside, phase 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Exchange type, as on the wire.
    pub kind: u8,
    /// Message ID.
    pub id: u32,
    /// Who began it.
    pub by: Side,
    /// Its distinct messages, in order of their first sighting. Bounded.
    pub messages: Vec<Message>,
}

/// Exchange types by number.
pub mod kind {
    /// Base exchange.
    pub const BASE: u8 = 1;
    /// Main mode.
    pub const MAIN: u8 = 2;
    /// Authentication only.
    pub const AUTHENTICATION_ONLY: u8 = 3;
    /// Aggressive mode.
    pub const AGGRESSIVE: u8 = 4;
    /// Informational.
    pub const INFORMATIONAL: u8 = 5;
    /// Transaction: mode config and XAUTH.
    pub const TRANSACTION: u8 = 6;
    /// Quick mode.
    pub const QUICK: u8 = 32;
    /// New group mode.
    pub const NEW_GROUP: u8 = 33;
}

impl Exchange {
    /// How many distinct messages are kept.
    pub const MESSAGES_KEPT: usize = 8;

    /// Its first message.
    pub fn first(&self) -> Option<&Message> {
        self.messages.first()
    }

    /// The `n`th distinct message of an end, from 0.
    pub fn of(&self, side: Side, n: usize) -> Option<&Message> {
        self.messages.iter().filter(|m| m.from == side).nth(n)
    }

    /// The peer's first message.
    pub fn answer(&self) -> Option<&Message> {
        self.of(self.by.other(), 0)
    }

    /// The third message of quick mode: the initiator's second.
    pub fn confirmation(&self) -> Option<&Message> {
        self.of(self.by, 1)
    }
}

/// The Cisco fragments of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentSet {
    /// Who sent them.
    pub from: Side,
    /// Their common number.
    pub id: u16,
    /// How many there are, where the last one was seen.
    pub total: Option<u8>,
    /// For each fragment number: in which frame it was first seen and how often it was.
    pub seen: Vec<(u8, Stamp, u32)>,
}

impl FragmentSet {
    /// Sets of one session that are kept.
    pub const KEPT: usize = 32;

    /// Whether every one was seen.
    pub fn is_complete(&self) -> bool {
        self.total
            .is_some_and(|total| self.seen.len() >= usize::from(total))
    }

    /// Numbers that must exist and were not seen.
    pub fn missing(&self) -> Vec<u8> {
        let most = self
            .total
            .or_else(|| self.seen.iter().map(|(number, ..)| *number).max())
            .unwrap_or_default();
        (1..=most)
            .filter(|number| !self.seen.iter().any(|(seen, ..)| seen == number))
            .collect()
    }
}

impl Ike1 {
    /// How many exchanges are kept.
    pub const EXCHANGES_KEPT: usize = 256;
    /// How many distinct messages of phase 1 are kept.
    pub const PHASE1_KEPT: usize = 32;
    /// How many offers are kept; a real client has some dozens.
    pub const OFFERS_KEPT: usize = 256;

    /// Facts of a session between these cookies, begun by `initiator`.
    pub fn new(initiator_cookie: u64, responder_cookie: u64, initiator: Side) -> Self {
        Self {
            initiator_cookie,
            responder_cookie,
            initiator,
            mode: Mode::default(),
            offered: Vec::new(),
            chosen: None,
            phase1: Vec::new(),
            exchanges: Vec::new(),
            exchanges_not_kept: 0,
            nat: Nat::default(),
            vendor_ids: Vec::new(),
            abilities: PerSide::default(),
            other_responders: Vec::new(),
            identities: Vec::new(),
            fragments: Vec::new(),
            renews: None,
            inherited: None,
            foreign: Vec::new(),
        }
    }

    /// The first message of phase 1 with this place in its mode.
    pub fn message(&self, ordinal: u8) -> Option<&Message> {
        self.phase1.iter().find(|m| m.ordinal == ordinal)
    }

    /// The exchanges of one type.
    pub fn of_kind(&self, kind: u8) -> impl DoubleEndedIterator<Item = &Exchange> {
        self.exchanges.iter().filter(move |e| e.kind == kind)
    }

    /// The negotiated suite of phase 1.
    pub fn suite(&self) -> Option<&IkeSuite> {
        self.chosen.as_ref().map(|offer| &offer.suite)
    }

    /// Whether a quick mode was answered.
    pub fn has_child(&self) -> bool {
        self.of_kind(kind::QUICK).any(|e| e.answer().is_some())
    }

    /// When its last message of phase 1 was first seen, if that one completes it.
    pub fn phase1_done(&self) -> Option<&Message> {
        let last = self.mode.messages();
        self.phase1.iter().find(|m| m.ordinal == last)
    }
}
