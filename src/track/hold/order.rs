//! Which of two messages of one conversation must have come first.

use std::net::IpAddr;

use vpnscope_dissectors::ike::v2::NotifyType;
use vpnscope_dissectors::l2tp::MessageType;
use vpnscope_dissectors::{ike, l2tp, pppoe};

use crate::decap::Envelope;
use crate::track::What;

/// What the order of a message follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    Ike(Ike),
    L2tp(L2tp),
    Pppoe(Pppoe),
}

/// What the order of a conversation's messages follows from besides themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// Who began the session.
    pub(crate) initiator: IpAddr,
    /// Transactions that its peer began (IKEv1).
    pub(crate) transactions: usize,
    /// A login by XAUTH was agreed on: the responder asks for it first.
    pub(crate) xauth: bool,
    /// Messages of it came in a wrong order before.
    pub(crate) disordered: bool,
}

impl Rank {
    /// Of a message that can wait.
    pub(super) fn of(what: &What<'_>, envelope: &Envelope) -> Option<Self> {
        let source = envelope.source;
        match what {
            What::Ike { message, .. } => Some(Self::Ike(Ike::of(message, source))),
            What::L2tp { message, .. } => Some(Self::L2tp(L2tp::of(message, source))),
            What::Pppoe { packet } => Some(Self::Pppoe(Pppoe::of(packet, envelope.mac))),
            _ => None,
        }
    }
}

/// Of an IKE message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ike {
    major: u8,
    source: IpAddr,
    exchange: u8,
    id: u32,
    length: u32,
    encrypted: bool,
    is_response: bool,
    /// Whether the exchange was begun by the SA's initiator (IKEv2).
    by_initiator: bool,
    /// The responder's SPI is not known yet.
    opens: bool,
    has_sa: bool,
    has_cookie: bool,
    /// A piece of a message as Cisco cuts them: nothing is known of the whole.
    is_piece: bool,
}

/// Of an L2TP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct L2tp {
    source: IpAddr,
    tunnel: u32,
    /// Ns and Nr of a control message.
    control: Option<(u16, u16)>,
    /// A control message without contents acknowledges and takes no number.
    is_empty: bool,
    /// Ends a call or the tunnel.
    ends: bool,
    /// Of PPP: phase, code and identifier.
    ppp: Option<(u8, u8, u8, u16)>,
}

/// Of a `PPPoE` packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pppoe {
    macs: ([u8; 6], [u8; 6]),
    code: pppoe::Code,
    session: u16,
    ppp: Option<(u8, u8, u8, u16)>,
}

/// Exchange types of IKEv1 (RFC 2408 §3.1, RFC 2409 §5).
mod v1 {
    pub(super) const MAIN: u8 = 2;
    pub(super) const AGGRESSIVE: u8 = 4;
    pub(super) const INFORMATIONAL: u8 = 5;
    pub(super) const TRANSACTION: u8 = 6;
    pub(super) const QUICK: u8 = 32;
    /// Payload type of Cisco's fragments.
    pub(super) const PIECE: u8 = 132;
}

/// `IKE_SA_INIT`.
const SA_INIT: u8 = 34;
/// Payloads looked at.
const PAYLOADS: usize = 64;

impl Ike {
    pub(super) fn of(message: &ike::Message<'_>, source: IpAddr) -> Self {
        let header = &message.header;
        let major = header.major();
        let clear = || message.payloads().take(PAYLOADS).flatten();
        let encrypted = if major == 1 {
            header.flags.is_encrypted()
        } else {
            header.exchange_type != SA_INIT
        };
        let (sa, notify) = if major == 1 { (1, 11) } else { (33, 41) };
        let cookie = NotifyType::COOKIE.0.to_be_bytes();
        Self {
            major,
            source,
            exchange: header.exchange_type,
            id: header.message_id,
            length: header.length,
            encrypted,
            is_response: header.flags.is_response(),
            by_initiator: header.flags.from_original_initiator() != header.flags.is_response(),
            opens: header.responder_spi.is_zero(),
            is_piece: major == 1 && header.next_payload == v1::PIECE,
            has_sa: !encrypted && clear().any(|raw| raw.payload_type == sa),
            has_cookie: !encrypted
                && clear().any(|raw| {
                    raw.payload_type == notify && raw.body.get(2..4) == Some(&cookie[..])
                }),
        }
    }

    fn precedes(&self, other: &Self, story: &Story) -> bool {
        match (self.major, other.major) {
            (2, 2) => self.precedes_v2(other, story.asked),
            (1, 1) => self.precedes_v1(other, story),
            _ => self.opens && self.has_sa && !other.has_sa,
        }
    }

    fn precedes_v2(&self, other: &Self, asked: bool) -> bool {
        let (init, later) = (self.exchange == SA_INIT, other.exchange == SA_INIT);
        if init != later {
            return init;
        }
        if init {
            return match (self.is_response, other.is_response) {
                // A request with a cookie follows the demand for it, and one for another
                // group what asked for it: only the first one stands before a refusal.
                (false, true) if other.has_sa => true,
                (false, true) => !self.has_cookie && !asked,
                (true, false) => self.has_cookie && other.has_cookie,
                (false, false) => !self.has_cookie && other.has_cookie,
                (true, true) => !self.has_sa && other.has_sa,
            };
        }
        self.by_initiator == other.by_initiator
            && (self.id < other.id || self.id == other.id && !self.is_response && other.is_response)
    }

    fn precedes_v1(&self, other: &Self, story: &Story) -> bool {
        if self.is_piece || other.is_piece {
            return false;
        }
        let initiator = story.initiator;
        let phase_1 = |m: &Self| matches!(m.exchange, v1::MAIN | v1::AGGRESSIVE);
        if self.opens && self.has_sa {
            return !(other.opens && other.has_sa);
        }
        if other.opens && other.has_sa {
            return false;
        }
        if phase_1(self) && phase_1(other) {
            return match (self.has_sa, other.has_sa) {
                (true, false) => true,
                (false, true) => false,
                _ if self.encrypted != other.encrypted => !self.encrypted,
                // The initiator speaks first.
                _ => Some(self.source) == initiator && self.source != other.source,
            };
        }
        if phase_1(self) {
            return other.encrypted;
        }
        if phase_1(other) {
            return false;
        }
        match (self.exchange, other.exchange) {
            (v1::QUICK, v1::QUICK) if self.id == other.id => self.quick(other, initiator),
            (v1::TRANSACTION, v1::TRANSACTION) if self.id == other.id => {
                self.transaction(other, story)
            }
            // What refuses a quick mode comes behind its first message.
            (v1::QUICK, v1::INFORMATIONAL) => self.source != other.source,
            _ => false,
        }
    }

    /// The gateway asks for a login, and tells what became of it, before the client asks for
    /// its configuration. The latter two messages are as long as each other.
    fn transaction(&self, other: &Self, story: &Story) -> bool {
        if self.source == other.source || story.initiator.is_none() {
            return false;
        }
        let from_initiator = Some(self.source) == story.initiator;
        match story.transactions {
            0 if story.disordered => story.xauth && !from_initiator,
            1 if story.disordered || self.length == other.length => !from_initiator,
            2.. if story.disordered => from_initiator,
            _ => false,
        }
    }

    /// Of quick mode the first two are alike, the third one holds a hash only.
    fn quick(&self, other: &Self, initiator: Option<IpAddr>) -> bool {
        let small =
            |m: &Self, than: &Self| m.length.saturating_mul(3) < than.length.saturating_mul(2);
        if self.source == other.source {
            return small(other, self);
        }
        if small(self, other) {
            return false;
        }
        small(other, self) || Some(self.source) == initiator
    }
}

impl L2tp {
    pub(super) fn of(message: &l2tp::Message<'_>, source: IpAddr) -> Self {
        let control = message.is_control();
        let kind = message.message_type().filter(|_| control);
        Self {
            source,
            tunnel: message.tunnel_id.unwrap_or(0),
            control: message.ns.zip(message.nr).filter(|_| control),
            is_empty: control && message.body.is_empty(),
            ends: matches!(kind, Some(MessageType::STOP_CCN | MessageType::CDN)),
            ppp: if control { None } else { ppp(message.body) },
        }
    }

    fn precedes(&self, other: &Self) -> bool {
        match (self.control, other.control) {
            (Some((ns, _)), Some((other_ns, other_nr))) => {
                if self.source == other.source {
                    let tunnel = self.tunnel == other.tunnel || self.tunnel == 0;
                    return tunnel && is_before(ns, other_ns);
                }
                // What the other one acknowledges came before it.
                !self.is_empty && is_before(ns, other_nr)
            }
            (Some(_), None) => !self.ends && !self.is_empty,
            (None, Some(_)) => other.ends,
            (None, None) => match (self.ppp, other.ppp) {
                (Some(a), Some(b)) => ppp_precedes(a, self.source == other.source, b),
                _ => false,
            },
        }
    }
}

/// Sequence numbers modulo 2^16 (RFC 2661 §5.8).
const fn is_before(a: u16, b: u16) -> bool {
    let ahead = b.wrapping_sub(a);
    ahead != 0 && ahead < 0x8000
}

/// Phase, code, identifier and protocol of a PPP control packet.
fn ppp(body: &[u8]) -> Option<(u8, u8, u8, u16)> {
    let body = body.strip_prefix(&[0xff, 0x03]).unwrap_or(body);
    let [high, low, code, identifier, ..] = *body else {
        return None;
    };
    let protocol = u16::from_be_bytes([high, low]);
    let phase = match protocol {
        // Link control opens and ends it (RFC 1661 §5).
        0xc021 if code <= 4 => 0,
        0xc021 if code <= 6 => 3,
        0xc023 | 0xc223 | 0xc227 => 1,
        0x8000..=0xbfff => 2,
        _ => return None,
    };
    Some((phase, code, identifier, protocol))
}

/// Phases follow each other, and within one the answer its question.
fn ppp_precedes(a: (u8, u8, u8, u16), same_source: bool, b: (u8, u8, u8, u16)) -> bool {
    if a.0 != b.0 {
        return a.0 < b.0;
    }
    if a.3 != b.3 {
        return false;
    }
    if same_source {
        return a.1 == b.1 && a.2 < b.2;
    }
    // Requests and challenges are code 1; CHAP's response, 2, is answered by 3 or 4.
    let chap = a.3 == 0xc223 && a.1 == 2 && matches!(b.1, 3 | 4);
    let ends = a.3 == 0xc021 && a.1 == 5 && b.1 == 6;
    let asks = a.1 == 1 && matches!(b.1, 2..=4);
    a.2 == b.2 && (chap || ends || asks)
}

impl Pppoe {
    pub(super) fn of(packet: &pppoe::Packet<'_>, macs: ([u8; 6], [u8; 6])) -> Self {
        Self {
            macs,
            code: packet.code,
            session: packet.session_id,
            ppp: if packet.is_session() {
                ppp(packet.body)
            } else {
                None
            },
        }
    }

    /// Its place in discovery (RFC 2516 §5), and whose discovery it is.
    const fn discovery(&self) -> Option<(u8, [u8; 6])> {
        let (source, destination) = self.macs;
        match self.code {
            pppoe::Code::PADI => Some((0, source)),
            pppoe::Code::PADO => Some((1, destination)),
            pppoe::Code::PADR => Some((2, source)),
            pppoe::Code::PADS => Some((3, destination)),
            _ => None,
        }
    }

    fn precedes(&self, other: &Self) -> bool {
        let (source, destination) = self.macs;
        let back = (destination, source) == other.macs;
        match (self.discovery(), other.discovery()) {
            (Some((place, client)), Some((later, whose))) => client == whose && place < later,
            (Some((place, _)), None) => {
                place == 3 && self.session == other.session && (back || self.macs == other.macs)
            }
            (None, Some(_)) => false,
            (None, None) => {
                let same = self.session == other.session && (back || self.macs == other.macs);
                match (self.ppp, other.ppp) {
                    (Some(a), Some(b)) => same && ppp_precedes(a, !back, b),
                    (Some(_), None) => same && other.code == pppoe::Code::PADT,
                    _ => false,
                }
            }
        }
    }
}

/// What is known where a message is put among those that wait.
struct Story {
    initiator: Option<IpAddr>,
    transactions: usize,
    xauth: bool,
    disordered: bool,
    /// A first request was taken already.
    asked: bool,
}

impl Story {
    fn of<'a>(
        list: impl Iterator<Item = &'a Rank> + Clone,
        new: &'a Rank,
        known: Option<Known>,
    ) -> Self {
        let ikes = list.clone().filter_map(|rank| match rank {
            Rank::Ike(ike) => Some(ike),
            _ => None,
        });
        let opener = list
            .chain(std::iter::once(new))
            .find_map(|rank| match rank {
                Rank::Ike(ike) if ike.major == 1 && ike.opens && ike.has_sa => Some(ike.source),
                _ => None,
            });
        let initiator = opener.or_else(|| known.map(|known| known.initiator));
        let id = match new {
            Rank::Ike(ike) => ike.id,
            _ => 0,
        };
        // Both messages of a transaction wait: one of them is the peer's.
        let waiting = ikes
            .clone()
            .filter(|ike| ike.major == 1 && ike.exchange == v1::TRANSACTION && ike.id != id)
            .filter(|ike| Some(ike.source) != initiator)
            .count();
        Self {
            initiator,
            transactions: known.map_or(0, |known| known.transactions) + waiting,
            xauth: known.is_some_and(|known| known.xauth),
            disordered: known.is_some_and(|known| known.disordered),
            asked: known.is_some()
                || ikes
                    .clone()
                    .any(|ike| ike.exchange == SA_INIT && !ike.is_response),
        }
    }
}

/// Where a message belongs among those that wait: before the first one that must follow it.
///
/// `known` is what was taken of its session already.
pub(super) fn place<'a>(
    list: impl Iterator<Item = &'a Rank> + Clone,
    new: &'a Rank,
    known: Option<Known>,
) -> usize {
    let story = Story::of(list.clone(), new, known);
    // Who asks again asks behind the answers to the first question.
    let again = |waiting: &Rank| match (new, waiting) {
        (Rank::Pppoe(new), Rank::Pppoe(waiting)) => {
            new.discovery().is_some() && new.discovery() == waiting.discovery()
        }
        _ => false,
    };
    let follows = |waiting: &Rank| match (new, waiting) {
        (Rank::Ike(new), Rank::Ike(waiting)) => new.precedes(waiting, &story),
        (Rank::L2tp(new), Rank::L2tp(waiting)) => new.precedes(waiting),
        (Rank::Pppoe(new), Rank::Pppoe(waiting)) => new.precedes(waiting),
        _ => false,
    };
    if list.clone().any(again) {
        return list.count();
    }
    list.clone()
        .position(follows)
        .unwrap_or_else(|| list.count())
}
