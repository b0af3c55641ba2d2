//! One conversation: what two ends said to each other, in order, with the octets.
//!
//! A recorded one is read from a capture, a live one is what a [`Replayer`](super::Replayer)
//! sent and heard. [`compare`](super::compare) knows no difference between the two.

use std::net::SocketAddr;

use crate::time::Timestamp;
pub use crate::track::session::Side;

/// The protocols that can be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// IKEv1.
    Ikev1,
    /// IKEv2.
    Ikev2,
    /// L2TP over UDP, with the PPP inside.
    L2tp,
    /// TLS over TCP.
    Tls,
    /// DTLS.
    Dtls,
}

impl Protocol {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ikev1 => "IKEv1",
            Self::Ikev2 => "IKEv2",
            Self::L2tp => "L2TP",
            Self::Tls => "TLS",
            Self::Dtls => "DTLS",
        }
    }

    /// What carries it, unless a recording shows otherwise.
    pub const fn transport(self) -> Transport {
        match self {
            Self::Tls => Transport::Stream,
            _ => Transport::Datagrams,
        }
    }

    /// Whether it is IKE.
    pub const fn is_ike(self) -> bool {
        matches!(self, Self::Ikev1 | Self::Ikev2)
    }

    /// The port its gateways listen on.
    pub const fn port(self) -> u16 {
        match self {
            Self::Ikev1 | Self::Ikev2 => 500,
            Self::L2tp => 1701,
            Self::Tls | Self::Dtls => 443,
        }
    }
}

/// What carries a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// UDP.
    Datagrams,
    /// TCP, as a stream of octets.
    Stream,
    /// TCP, with a length before each message (RFC 9329 §3).
    Framed,
}

impl Transport {
    /// Whether it is TCP.
    pub const fn is_tcp(self) -> bool {
        matches!(self, Self::Stream | Self::Framed)
    }
}

/// Which of the two flows of a conversation: IKE has one on port 500 and one, behind a marker
/// of four zero octets, on port 4500 (RFC 3948).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Channel {
    /// The first or only one.
    #[default]
    Primary,
    /// Port 4500, with the non-ESP marker.
    Natt,
}

/// Something one end said: the payload of a UDP datagram without non-ESP marker, or the octets
/// of a stream between two words of the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who said it.
    pub from: Side,
    /// When.
    pub time: Timestamp,
    /// The frame of the capture that completed it; `None` in a live conversation.
    pub frame: Option<u64>,
    /// Where it went.
    pub channel: Channel,
    /// Addresses and ports it was sent between.
    pub source: SocketAddr,
    /// See `source`.
    pub destination: SocketAddr,
    /// The octets, without marker.
    pub octets: Vec<u8>,
    /// IP fragments it came in; 1 for a whole datagram, 0 where nobody could see.
    pub fragments: u16,
    /// When the same octets were sent again.
    pub repeats: Vec<Timestamp>,
}

/// What two ends said to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// In which protocol.
    pub protocol: Protocol,
    /// Over what.
    pub transport: Transport,
    /// Its number in the capture, as `analyze` counts; 0 for a live one.
    pub session: u32,
    /// Who began.
    pub client: SocketAddr,
    /// Its peer.
    pub gateway: SocketAddr,
    /// What was said, in order.
    pub messages: Vec<Message>,
}

impl Conversation {
    /// What one end said, with its place in the conversation.
    pub fn of(&self, side: Side) -> impl Iterator<Item = (usize, &Message)> {
        self.messages
            .iter()
            .enumerate()
            .filter(move |(_, message)| message.from == side)
    }
}
