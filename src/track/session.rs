//! What was seen of one attempt of one client at one gateway: owned facts, each with its
//! frames, and what the capture could not show. No verdicts.

use std::borrow::Cow;
use std::net::IpAddr;

use vpnscope_dissectors::Reason;

use crate::decap::{Envelope, Flow};
pub use crate::time::Stamp;
use crate::time::{Span, Timestamp};
use crate::track::esp::EspFlow;
use crate::track::ike1::Ike1;
use crate::track::ike2::Ike2;
use crate::track::l2tp::L2tp;
use crate::track::names::Look;
use crate::track::path::Sent;
use crate::track::ppp::Ppp;
use crate::track::pppoe::Pppoe;
use crate::track::radius::Exchange;
use crate::track::rare::{Rare, Usual};
use crate::track::tls::Tls;

/// The two ends of a session. The client is the first initiator seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The end that began.
    Client,
    /// Its peer.
    Gateway,
}

impl Side {
    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Gateway,
            Self::Gateway => Self::Client,
        }
    }

    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
        }
    }
}

/// One value for each end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerSide<T> {
    /// The client's.
    pub client: T,
    /// The gateway's.
    pub gateway: T,
}

impl<T> PerSide<T> {
    /// That of `side`.
    pub const fn of(&self, side: Side) -> &T {
        match side {
            Side::Client => &self.client,
            Side::Gateway => &self.gateway,
        }
    }

    /// That of `side`, to change.
    pub const fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Client => &mut self.client,
            Side::Gateway => &mut self.gateway,
        }
    }
}

/// An address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Address.
    pub ip: IpAddr,
    /// UDP or TCP port; 0 where there is none.
    pub port: u16,
}

/// What kind of VPN conversation a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// IKEv1 with its ESP.
    Ikev1,
    /// IKEv2 with its ESP.
    Ikev2,
    /// L2TP outside `IPsec`.
    L2tp,
    /// PPPoE with the PPP inside.
    Pppoe,
    /// A TLS connection of which nothing says that it is a VPN.
    Tls,
    /// A DTLS association without a TLS channel.
    Dtls,
    /// A TLS channel with the DTLS channel that belongs to it.
    TlsVpn,
    /// ESP without the IKE that made it.
    Esp,
    /// A look-up of a gateway's name that failed and was followed by nothing.
    Dns,
    /// RADIUS without the login it serves.
    Radius,
}

impl Kind {
    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ikev1 => "ikev1",
            Self::Ikev2 => "ikev2",
            Self::L2tp => "l2tp",
            Self::Pppoe => "pppoe",
            Self::Tls => "tls",
            Self::Dtls => "dtls",
            Self::TlsVpn => "tls-vpn",
            Self::Esp => "esp",
            Self::Dns => "dns",
            Self::Radius => "radius",
        }
    }
}

/// One distinct message of a session: a line of the ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its first sighting: of the frame that completed it.
    pub at: Stamp,
    /// All frames it was put together from, where there is more than one.
    pub frames: Rare<Vec<u64>>,
    /// Who sent it.
    pub from: Side,
    /// What it is, in the field's words: `IKE_SA_INIT request`.
    pub message: Cow<'static, str>,
    /// Octets of the message itself (IKE length, TLS or L2TP message).
    pub length: u32,
    /// Octets of the largest IP datagram that carried it, headers included.
    pub ip_len: u32,
    /// Whether that datagram had DF set.
    pub dont_fragment: bool,
    /// IP fragments of that datagram; 1 where it was whole.
    pub fragments: u16,
    /// Addresses and ports it was sent between.
    pub flow: Flow,
    /// TTL at the capture point.
    pub ttl: u8,
    /// Sightings of the same octets after the first, copies of a span port excluded.
    pub repeats: Rare<Repeats>,
    /// Copies: the same octets within a few milliseconds.
    pub copies: u32,
}

/// When the same octets were seen again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repeats {
    /// How often.
    pub count: u32,
    /// The first of them.
    pub stamps: Vec<Stamp>,
    /// The last of them.
    pub last: Option<Stamp>,
}

impl Usual for Repeats {
    const USUAL: &'static Self = &Self {
        count: 0,
        stamps: Vec::new(),
        last: None,
    };
}

impl Repeats {
    /// How many are kept by frame; the rest is counted.
    pub const KEPT: usize = 16;

    /// Notes another sighting.
    pub fn note(&mut self, stamp: Stamp) {
        self.count = self.count.saturating_add(1);
        if self.stamps.len() < Self::KEPT {
            self.stamps.push(stamp);
        }
        self.last = Some(stamp);
    }
}

impl Step {
    /// A step first seen in `envelope`, put together from `frames`.
    pub fn new(
        envelope: &Envelope,
        frames: &[u64],
        from: Side,
        message: impl Into<Cow<'static, str>>,
        length: u32,
    ) -> Self {
        Self {
            at: Stamp::from(envelope),
            frames: if frames.len() > 1 {
                Rare::new(frames.to_vec())
            } else {
                Rare::USUAL
            },
            from,
            message: message.into(),
            length,
            ip_len: envelope.ip_len,
            dont_fragment: envelope.dont_fragment,
            fragments: envelope.fragments,
            flow: envelope.flow(),
            ttl: envelope.ttl,
            repeats: Rare::USUAL,
            copies: 0,
        }
    }

    /// A step of which only this is known.
    pub fn bare(at: Stamp, from: Side, message: impl Into<Cow<'static, str>>, flow: Flow) -> Self {
        Self {
            at,
            frames: Rare::USUAL,
            from,
            message: message.into(),
            length: 0,
            ip_len: 0,
            dont_fragment: false,
            fragments: 1,
            flow,
            ttl: 0,
            repeats: Rare::USUAL,
            copies: 0,
        }
    }

    /// How often it was sent.
    pub fn sent(&self) -> u32 {
        self.repeats.count.saturating_add(1)
    }

    /// Its last sighting.
    pub fn last(&self) -> Stamp {
        self.repeats.last.unwrap_or(self.at)
    }

    /// From its first sighting to its last.
    pub fn spread(&self) -> Span {
        self.last().time - self.at.time
    }

    /// Every kept sighting, first to last.
    pub fn sightings(&self) -> impl Iterator<Item = Stamp> + '_ {
        std::iter::once(self.at).chain(self.repeats.stamps.iter().copied())
    }
}

/// An ICMP error that quotes a datagram of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IcmpFact {
    /// Its frame.
    pub at: Stamp,
    /// Who sent it: the peer itself or a box on the path.
    pub reporter: IpAddr,
    /// ICMPv6 rather than ICMP.
    pub v6: bool,
    /// Type.
    pub icmp_type: u8,
    /// Code.
    pub code: u8,
    /// MTU of "fragmentation needed" and "packet too big".
    pub mtu: Option<u32>,
    /// Who had sent the quoted datagram.
    pub about: Side,
    /// IP protocol of the quoted datagram.
    pub protocol: u8,
    /// Ports of the quoted datagram: source, destination.
    pub ports: (u16, u16),
    /// Total IP length of the quoted datagram.
    pub quoted_len: u32,
    /// How many more like it were seen.
    pub repeats: Rare<Repeats>,
}

impl IcmpFact {
    /// Port (or protocol) unreachable: the host was reached, the service was not.
    pub const fn is_port_unreachable(&self) -> bool {
        matches!(
            (self.v6, self.icmp_type, self.code),
            (false, 3, 2 | 3) | (true, 1, 4)
        )
    }

    /// Administratively prohibited: a filter says so.
    pub const fn is_prohibited(&self) -> bool {
        matches!(
            (self.v6, self.icmp_type, self.code),
            (false, 3, 9 | 10 | 13) | (true, 1, 1 | 5 | 6)
        )
    }

    /// Host or network unreachable.
    pub const fn is_unreachable(&self) -> bool {
        matches!(
            (self.v6, self.icmp_type, self.code),
            (false, 3, 0 | 1 | 5 | 6 | 7 | 8 | 11 | 12) | (true, 1, 0 | 2 | 3)
        )
    }

    /// Fragmentation needed, packet too big.
    pub const fn is_too_big(&self) -> bool {
        matches!(
            (self.v6, self.icmp_type, self.code),
            (false, 3, 4) | (true, 2, _)
        )
    }
}

/// IP fragments of one datagram that never became whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncompleteDatagram {
    /// Its first fragment seen.
    pub at: Stamp,
    /// Frames of all its fragments.
    pub frames: Vec<u64>,
    /// Who sent it.
    pub from: Side,
    /// IP protocol.
    pub protocol: u8,
    /// Ports, where the first fragment was seen.
    pub ports: Option<(u16, u16)>,
    /// Octets of payload seen.
    pub seen: u32,
    /// Octets of the whole payload, where the last fragment was seen.
    pub total: Option<u32>,
    /// Whether the first fragment was seen.
    pub has_first: bool,
    /// Octets of the largest fragment, IP header included.
    pub largest: u32,
    /// Whether it was ESP, as far as one can see.
    pub is_esp: bool,
}

/// A message that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its frame.
    pub at: Stamp,
    /// Who sent it.
    pub from: Side,
    /// What was being read.
    pub what: &'static str,
    /// Offset in the message, octets.
    pub offset: usize,
    /// What is wrong there.
    pub reason: Reason,
}

/// Why the tracker let go of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// The capture ended.
    #[default]
    CaptureEnd,
    /// Its own protocol ended it and nothing followed.
    Done,
    /// Nothing came for as long as nothing can still come.
    Idle,
    /// It was the oldest idle one when there were too many.
    Evicted,
}

/// What the capture could and could not show of this session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vantage {
    /// Frames seen of each end, copies included.
    pub frames: PerSide<u64>,
    /// The first message seen is not a first message.
    pub started_late: bool,
    /// Messages that must have been sent, because a later one proves them, but were not
    /// seen: what is missing here may be missing from the capture, not from the wire.
    pub unseen: PerSide<u32>,
    /// Messages of this session cut by snaplen.
    pub truncated: u32,
    /// Copies made by a span port.
    pub copies: u64,
    /// Frames the capturing host dropped during the capture, where known.
    pub dropped: Option<u64>,
    /// From the session's last frame to the end of its capture.
    pub watched_after: Span,
    /// The same frames were seen at two points (both sides of a NAT).
    pub two_points: bool,
    /// Some frame of the capture, of this session or not, came from the gateway's address or
    /// towards the client's: proof that the capture sees that direction.
    pub other_direction_seen: bool,
    /// Frames whose times run backwards.
    pub reordered: u32,
    /// How the tracker's watch ended.
    pub ending: Ending,
    /// Where the user says that the capture stands.
    pub told: Option<crate::track::vantage::Told>,
}

impl Vantage {
    /// Nothing of one end was seen although the other one's messages prove answers.
    pub const fn one_direction(&self) -> bool {
        (self.frames.client == 0 || self.frames.gateway == 0)
            && (self.unseen.client > 0 || self.unseen.gateway > 0)
    }
}

/// Packets of one end without any of the other between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EspRun {
    /// Who sends.
    pub from: Side,
    /// How many.
    pub packets: u64,
    /// The first.
    pub since: Stamp,
    /// The last.
    pub last: Stamp,
}

/// Protocol-specific facts.
#[derive(Debug, Clone, PartialEq)]
pub enum Detail {
    /// IKEv1.
    Ike1(Box<Ike1>),
    /// IKEv2.
    Ike2(Box<Ike2>),
    /// RADIUS without the login it serves: see [`Session::radius`].
    Radius,
    /// `PPPoE` with the PPP inside.
    Pppoe(Box<Pppoe>),
    /// L2TP with the PPP inside.
    L2tp(Box<L2tp>),
    /// ESP alone.
    Esp,
    /// TLS, with the DTLS that belongs to it, or DTLS alone.
    Tls(Box<Tls>),
    /// A look-up that came to nothing.
    Dns(Box<Look>),
}

/// One attempt of one client at one gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Number in order of opening, from 1.
    pub id: u32,
    /// What it is.
    pub kind: Kind,
    /// The first initiator seen, by the first frame.
    pub client: Endpoint,
    /// Its peer, by the first frame.
    pub gateway: Endpoint,
    /// Name the gateway was looked up or addressed by.
    pub gateway_name: Option<String>,
    /// Whether the roles follow from the protocol rather than from who was seen first.
    pub roles_known: bool,
    /// First frame.
    pub first: Stamp,
    /// Last frame.
    pub last: Stamp,
    /// Frames, copies included.
    pub frames: u64,
    /// Capture and number of the frame that was counted last.
    pub(crate) counted: (u16, u64),
    /// Every distinct message in order of its first sighting. Bounded.
    pub steps: Vec<Step>,
    /// Messages beyond the bound.
    pub steps_not_kept: u64,
    /// ICMP errors about it. Bounded.
    pub icmp: Rare<Vec<IcmpFact>>,
    /// Datagrams that never became whole. Bounded.
    pub incomplete: Rare<Vec<IncompleteDatagram>>,
    /// Messages that could not be read. Bounded.
    pub unreadable: Rare<Vec<Unreadable>>,
    /// ESP flows of its children.
    pub esp: Vec<EspFlow>,
    /// The last run of ESP packets of one end without any of the other.
    pub esp_run: Option<EspRun>,
    /// The longest time each end sent ESP before the other one sent any.
    pub esp_pace: PerSide<Span>,
    /// What each end sent, by size, and what routers told it.
    pub path: PerSide<Sent>,
    /// NAT keepalives seen of each end.
    pub keepalives: PerSide<u32>,
    /// What was asked of a RADIUS server about this login. Bounded.
    pub radius: Rare<Vec<Exchange>>,
    /// What the capture could show.
    pub vantage: Vantage,
    /// Protocol-specific facts.
    pub detail: Detail,
}

impl Session {
    /// How many steps are kept.
    pub const STEPS_KEPT: usize = 512;
    /// Steps that room is made for at a time, at least: most sessions have six to sixteen.
    const STEPS_AT_ONCE: usize = 8;
    /// How many ICMP errors, incomplete datagrams and unreadable messages are kept.
    pub const FACTS_KEPT: usize = 64;

    /// A session that `envelope` opens; its sender is the client if `from` says so.
    pub fn open(kind: Kind, envelope: &Envelope, from: Side, detail: Detail) -> Self {
        let source = Endpoint {
            ip: envelope.source,
            port: envelope.source_port,
        };
        let destination = Endpoint {
            ip: envelope.destination,
            port: envelope.destination_port,
        };
        let (client, gateway) = match from {
            Side::Client => (source, destination),
            Side::Gateway => (destination, source),
        };
        Self::empty(kind, client, gateway, Stamp::from(envelope), detail)
    }

    /// A session without frames that begins at `at`.
    pub fn empty(
        kind: Kind,
        client: Endpoint,
        gateway: Endpoint,
        at: Stamp,
        detail: Detail,
    ) -> Self {
        Self {
            id: 0,
            kind,
            client,
            gateway,
            gateway_name: None,
            roles_known: true,
            first: at,
            last: at,
            frames: 0,
            counted: (0, 0),
            steps: Vec::new(),
            steps_not_kept: 0,
            icmp: Rare::USUAL,
            incomplete: Rare::USUAL,
            unreadable: Rare::USUAL,
            esp: Vec::new(),
            esp_run: None,
            esp_pace: PerSide::default(),
            path: PerSide::default(),
            keepalives: PerSide::default(),
            radius: Rare::USUAL,
            vantage: Vantage::default(),
            detail,
        }
    }

    /// Counts a frame that belongs to the session.
    pub fn touch(&mut self, envelope: &Envelope, from: Side) {
        let at = Stamp::from(envelope);
        self.counted = (at.capture(), at.frame());
        let behind = at.capture() == self.last.capture() && at.frame() < self.last.frame();
        if at.time < self.last.time || behind {
            self.vantage.reordered = self.vantage.reordered.saturating_add(1);
        } else {
            self.last = at;
        }
        self.path.of_mut(from).count(envelope);
        self.frames += u64::from(envelope.fragments.max(1));
        *self.vantage.frames.of_mut(from) += 1;
        if envelope.truncated {
            self.vantage.truncated = self.vantage.truncated.saturating_add(1);
        }
    }

    /// Settles what waits for an answer.
    pub fn end_sizes(&mut self, now: Timestamp) {
        for sent in [&mut self.path.client, &mut self.path.gateway] {
            if let Some(esp) = &mut sent.esp {
                esp.end(now);
            }
        }
    }

    /// Adds a step and gives its index; `None` beyond the bound.
    pub fn push_step(&mut self, step: Step) -> Option<usize> {
        if self.steps.len() >= Self::STEPS_KEPT {
            self.steps_not_kept += 1;
            return None;
        }
        if self.steps.len() == self.steps.capacity() {
            let room = (self.steps.len() / 4).max(Self::STEPS_AT_ONCE);
            self.steps.reserve_exact(room);
        }
        self.steps.push(step);
        Some(self.steps.len() - 1)
    }

    /// The step at an index that `push_step` gave.
    pub fn step(&self, index: usize) -> Option<&Step> {
        self.steps.get(index)
    }

    /// Retransmissions of each end.
    pub fn retransmissions(&self) -> PerSide<u32> {
        let mut sum = PerSide::default();
        for step in &self.steps {
            let of: &mut u32 = sum.of_mut(step.from);
            *of = of.saturating_add(step.repeats.count);
        }
        sum
    }

    /// Octets of memory that it takes, about: what it holds, and a share of the texts in it.
    pub fn octets(&self) -> usize {
        /// A text or a short list.
        const TEXT: usize = 64;
        /// What most steps do not have: their texts are the program's.
        const STEP: usize = 24;
        /// The map entries that lead to a session.
        const FOUND_BY: usize = 256;
        fn list<T>(list: &Vec<T>, texts: usize) -> usize {
            list.capacity() * size_of::<T>() + list.len() * texts
        }
        let detail = match &self.detail {
            Detail::Ike1(facts) => {
                size_of_val(&**facts) + list(&facts.phase1, TEXT) + list(&facts.exchanges, 6 * TEXT)
            }
            Detail::Ike2(facts) => {
                size_of_val(&**facts)
                    + list(&facts.sas, 3 * TEXT)
                    + list(&facts.exchanges, 2 * TEXT)
            }
            Detail::L2tp(facts) => {
                size_of_val(&**facts) + list(&facts.control, 0) + list(&facts.calls, 16 * TEXT)
            }
            Detail::Pppoe(facts) => size_of_val(&**facts) + list(&facts.discovery, 2 * TEXT),
            Detail::Tls(facts) => {
                size_of_val(&**facts)
                    + list(&facts.connections, 12 * TEXT)
                    + list(&facts.associations, 16 * TEXT)
            }
            Detail::Dns(look) => {
                size_of_val(&**look) + list(&look.queries, 0) + list(&look.answers, 0)
            }
            Detail::Radius | Detail::Esp => 0,
        };
        size_of::<Self>()
            + FOUND_BY
            + detail
            + list(&self.steps, STEP)
            + list(&self.icmp, TEXT)
            + list(&self.incomplete, 2 * TEXT)
            + list(&self.unreadable, TEXT)
            + list(&self.esp, 0)
            + list(&self.radius, 4 * TEXT)
    }

    /// Which end an address belongs to, by the first frame's addresses.
    pub fn side_of(&self, ip: IpAddr) -> Option<Side> {
        if ip == self.client.ip {
            Some(Side::Client)
        } else if ip == self.gateway.ip {
            Some(Side::Gateway)
        } else {
            None
        }
    }

    /// The `PPPoE` facts, where it is `PPPoE`.
    pub fn pppoe(&self) -> Option<&Pppoe> {
        match &self.detail {
            Detail::Pppoe(facts) => Some(facts),
            _ => None,
        }
    }

    /// The L2TP facts, where it is L2TP.
    pub fn l2tp(&self) -> Option<&L2tp> {
        match &self.detail {
            Detail::L2tp(facts) => Some(facts),
            _ => None,
        }
    }

    /// The IKEv1 facts, where it is IKEv1.
    pub fn ike1(&self) -> Option<&Ike1> {
        match &self.detail {
            Detail::Ike1(facts) => Some(facts),
            _ => None,
        }
    }

    /// The PPP link that counts, where there is one.
    pub fn ppp(&self) -> Option<&Ppp> {
        match &self.detail {
            Detail::L2tp(facts) => facts.main_call().map(|call| &call.ppp),
            Detail::Pppoe(facts) => Some(&facts.ppp),
            _ => None,
        }
    }

    /// Whether ESP of this session would be known as such in a capture: on other UDP ports than
    /// IKE's own nothing tells it from other datagrams.
    pub fn knows_esp(&self) -> bool {
        let usual = |port: u16| matches!(port, 500 | 4500);
        !self.esp.is_empty()
            || self
                .steps
                .last()
                .is_none_or(|step| usual(step.flow.source.1) || usual(step.flow.destination.1))
    }

    /// The IKEv2 facts, where it is IKEv2.
    pub fn ike2(&self) -> Option<&Ike2> {
        match &self.detail {
            Detail::Ike2(facts) => Some(facts),
            _ => None,
        }
    }

    /// The TLS facts, where it is TLS or DTLS.
    pub fn tls(&self) -> Option<&Tls> {
        match &self.detail {
            Detail::Tls(facts) => Some(facts),
            _ => None,
        }
    }
}
