//! L2TP facts: the tunnel, its calls, and the PPP inside them.

use vpnscope_dissectors::l2tp::MessageType;

use crate::track::ppp::Ppp;
use crate::track::rare::Rare;
use crate::track::session::{PerSide, Repeats, Side, Stamp};

pub(in crate::track) mod fold;

/// What was seen of one L2TP tunnel.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct L2tp {
    /// 2 or 3.
    pub version: u8,
    /// The tunnel ID (version 3: control connection ID) that each side gave to be addressed
    /// by.
    pub tunnel: PerSide<Option<u32>>,
    /// Control messages in order, `HELLO` and bare acknowledgments left out. Bounded.
    pub control: Vec<Control>,
    /// The host name of each side.
    pub host: PerSide<Option<String>>,
    /// The vendor name of each side.
    pub vendor: PerSide<Option<String>>,
    /// Whether each side sent a challenge, and an answer to one.
    pub challenge: PerSide<Challenge>,
    /// StopCCN, the first one.
    pub stop: Option<Closing>,
    /// The calls in order. Bounded.
    pub calls: Vec<Call>,
    /// Calls beyond the bound.
    pub calls_not_kept: u64,
    /// Data messages of each side.
    pub data: PerSide<Data>,
    /// Keepalives of each side.
    pub hello: PerSide<Hello>,
    /// Messages with attributes hidden by the tunnel secret.
    pub hidden: u32,
    /// Sequence numbers, to tell what was sent and not seen.
    pub(super) sequence: PerSide<Sequence>,
    /// Digests of the messages in `control`.
    pub(super) digests: Vec<(u64, usize)>,
}

impl L2tp {
    /// How many control messages are kept.
    pub const CONTROL_KEPT: usize = 256;
    /// How many calls are kept.
    pub const CALLS_KEPT: usize = 64;

    /// The control messages of one type.
    pub fn of_type(&self, wanted: MessageType) -> impl DoubleEndedIterator<Item = &Control> {
        self.control
            .iter()
            .filter(move |control| control.message_type == wanted)
    }

    /// Whether the tunnel is up: the server agreed and the client confirmed.
    pub fn is_tunnel_up(&self) -> bool {
        self.of_type(MessageType::SCCCN).next().is_some() || !self.calls.is_empty()
    }

    /// The call that counts: one on which IP runs, else the one that came furthest.
    pub fn main_call(&self) -> Option<&Call> {
        self.calls
            .iter()
            .find(|call| call.ppp.is_up())
            .or_else(|| self.calls.iter().rev().find(|call| call.ppp.is_seen()))
            .or_else(|| self.calls.last())
    }
}

/// One control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    /// Its type.
    pub message_type: MessageType,
    /// Who sent it.
    pub from: Side,
    /// Its sequence number.
    pub ns: u16,
    /// First sighting.
    pub at: Stamp,
    /// Its step.
    pub step: Option<usize>,
    /// When the peer acknowledged it.
    pub acked: Option<Stamp>,
    /// The call it is about.
    pub call: Option<usize>,
}

/// What a side did to authenticate the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Challenge {
    /// Frame with its challenge.
    pub asked: Option<Stamp>,
    /// Frame with its answer to the peer's.
    pub answered: Option<Stamp>,
}

/// A StopCCN or CDN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// Who closes.
    pub from: Side,
    /// When.
    pub at: Stamp,
    /// Its step.
    pub step: Option<usize>,
    /// Result code.
    pub result: Option<u16>,
    /// Error code.
    pub error: Option<u16>,
    /// The text beside them.
    pub message: Option<String>,
    /// PPP Disconnect Cause Code (RFC 3145): code and control protocol.
    pub ppp_cause: Option<(u16, u16)>,
}

/// One call: a session in the tunnel.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Call {
    /// The session ID that each side gave to be addressed by.
    pub session: PerSide<Option<u32>>,
    /// Who asked for it; the client for an incoming call.
    pub by: Option<Side>,
    /// Whether ICCN or OCCN was seen.
    pub connected: Option<Stamp>,
    /// CDN.
    pub disconnect: Option<Closing>,
    /// What runs inside.
    pub ppp: Ppp,
}

/// Data messages of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Data {
    /// How many.
    pub packets: u64,
    /// Octets of L2TP.
    pub octets: u64,
    /// The first.
    pub first: Option<Stamp>,
    /// The last.
    pub last: Option<Stamp>,
}

/// Keepalives of one side.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hello {
    /// Distinct ones.
    pub sent: u32,
    /// The last one and its sequence number.
    pub last: Option<(Stamp, u16)>,
    /// Its repetitions.
    pub repeats: Rare<Repeats>,
    /// Whether it was acknowledged.
    pub acked: bool,
}

/// Sequence numbers of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sequence {
    /// Distinct sequence numbers seen.
    seen: u32,
    /// One more than the highest seen.
    next: u16,
    /// What the peer says it expects next.
    expected: u16,
}

packed! { Sequence { seen, next, expected } }
