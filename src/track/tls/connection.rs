//! Facts of one TCP connection with TLS in it.

use vpnscope_dissectors::tls::{Alert, ContentType, NamedGroup, SignatureScheme};

use super::hello::{Answer, Chain, Hello};
use crate::assemble::tcp::Opening;
use crate::decap::{Envelope, Flow};
use crate::track::rare::Rare;
use crate::track::session::{PerSide, Repeats, Side, Stamp};

/// One TCP connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Its number.
    pub number: u64,
    /// From the client to the gateway.
    pub flow: Flow,
    /// Whether the roles follow from a SYN or a hello.
    pub roles_known: bool,
    /// How it was opened.
    pub opening: Opening,
    /// Neither a SYN nor a first `ClientHello` was seen.
    pub started_late: bool,
    /// `ClientHello`s: one, two after a `HelloRetryRequest`. Bounded.
    pub hellos: Vec<Hello>,
    /// `ServerHello`s and `HelloRetryRequest`s. Bounded.
    pub answers: Vec<Answer>,
    /// Certificates in clear.
    pub chains: PerSide<Option<Chain>>,
    /// A `CertificateRequest` in clear.
    pub certificate_request: Option<Stamp>,
    /// The client's `CertificateVerify` in clear.
    pub certificate_verify: Option<Stamp>,
    /// `ServerHelloDone`: the end of the server's flight in TLS 1.2 and before.
    pub hello_done: Option<Stamp>,
    /// The client's `ClientKeyExchange`.
    pub key_exchange: Option<Stamp>,
    /// The group of a `ServerKeyExchange`.
    pub group: Option<NamedGroup>,
    /// The signature scheme of a `ServerKeyExchange`.
    pub scheme: Option<SignatureScheme>,
    /// `ChangeCipherSpec` of each side.
    pub changed: PerSide<Option<Stamp>>,
    /// Handshake messages that were cut off or lost, by type.
    pub cut_messages: u32,
    /// The first records of both sides, in the order in which they ended. Bounded.
    pub records: Vec<RecordSeen>,
    /// The last records, beyond those. Bounded.
    pub tail: Rare<std::collections::VecDeque<RecordSeen>>,
    /// Records of each side.
    pub record_count: PerSide<u64>,
    /// Alerts in clear. Bounded.
    pub alerts: Rare<Vec<AlertSeen>>,
    /// One side speaks something else.
    pub not_tls: Option<NotTls>,
    /// FIN of each side.
    pub fin: PerSide<Option<Stamp>>,
    /// Octets that each side sent, as its FIN says.
    pub length: PerSide<Option<u32>>,
    /// The first RST.
    pub reset: Option<Reset>,
    /// Octets of each side that its peer acknowledged, and when last.
    pub acked: PerSide<Progress>,
    /// Octets of each side that were delivered in order.
    pub sent: PerSide<u64>,
    /// Segments that were sent again. Bounded.
    pub repeats: Rare<Vec<Repeated>>,
    /// Segments sent again, of each side.
    pub repeat_count: PerSide<u32>,
    /// Stretches that were missing when something after them came. Bounded.
    pub holes: Rare<Vec<Hole>>,
    /// What each side said to have got beyond a hole. Bounded.
    pub sacks: Rare<Vec<Sack>>,
    /// Octets that the capture does not have.
    pub gaps: u32,
    /// Octets that overlapped others and said something else.
    pub conflicts: u32,
    /// Segments: the largest IP datagram that each side sent, and whether it may be fragmented.
    pub largest: PerSide<Largest>,
    /// The last segment of each side.
    pub last: PerSide<Option<Stamp>>,
    /// TTL of each side's last segment but a RST.
    pub ttl: PerSide<Option<u8>>,
    /// Nothing more can come of it.
    pub closed: Option<Stamp>,
    /// Segments of each side that were counted.
    pub counted: PerSide<u64>,
    /// The frame in which the client's first encrypted record of TLS 1.3 ended.
    pub client_flight: Option<Stamp>,
}

/// A record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSeen {
    /// The frame in which it ended.
    pub at: Stamp,
    /// Who sent it.
    pub from: Side,
    /// What it carries, as its header says.
    pub content_type: ContentType,
    /// Octets after its header.
    pub length: u16,
    /// In clear.
    pub clear: bool,
}

/// An alert in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertSeen {
    /// Its frame.
    pub at: Stamp,
    /// Who sent it.
    pub from: Side,
    /// What it says.
    pub alert: Alert,
}

/// A side that speaks something else than TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTls {
    /// Its frame.
    pub at: Stamp,
    /// Who sent it.
    pub from: Side,
    /// Its first octets.
    pub octets: Vec<u8>,
}

/// A reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset {
    /// Its frame.
    pub at: Stamp,
    /// Whose address it has.
    pub from: Side,
    /// Its TTL.
    pub ttl: u8,
    /// The TTL of the same side's segments before it.
    pub usual_ttl: Option<u8>,
    /// Where in the sender's stream.
    pub offset: u32,
}

impl Reset {
    /// Whether it seems to come from somewhere else than the peer: its TTL differs by more
    /// than a rerouting would explain.
    pub fn is_foreign(&self) -> bool {
        self.usual_ttl
            .is_some_and(|usual| usual != self.ttl && self.at.frame() != 0)
    }
}

/// How far something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Octets.
    pub octets: u32,
    /// When it came so far.
    pub at: Option<Stamp>,
}

/// A segment that was sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeated {
    /// Who sent it.
    pub from: Side,
    /// Where in the sender's stream.
    pub offset: u32,
    /// Octets of data.
    pub len: u32,
    /// Length of the largest IP datagram that carried it again.
    pub ip_len: u32,
    /// DF.
    pub dont_fragment: bool,
    /// When.
    pub repeats: Rare<Repeats>,
    /// Up to where the peer had acknowledged at the last of them.
    pub acked: u32,
}

/// A stretch that was missing when something after it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// Who should have sent it.
    pub from: Side,
    /// Where.
    pub offset: u32,
    /// Octets.
    pub len: u32,
    /// The segment beyond it.
    pub at: Stamp,
    /// What filled it.
    pub filled: Option<Stamp>,
    /// The peer acknowledged its octets: the capture lost them, not the path.
    pub lost_by_capture: bool,
}

/// A side said to have got octets beyond a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sack {
    /// Who says so.
    pub by: Side,
    /// Where the hole starts in the peer's stream.
    pub acked: u32,
    /// Where it ends.
    pub from: u32,
    /// The first that says so.
    pub first: Stamp,
    /// The last.
    pub last: Stamp,
    /// How many.
    pub count: u32,
}

/// The largest datagram of a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Largest {
    /// IP length, octets.
    pub ip_len: u32,
    /// Its frame.
    pub at: Option<Stamp>,
    /// Whether its octets were acknowledged later.
    pub dont_fragment: bool,
}

impl Connection {
    /// Records that are kept from the start.
    pub const RECORDS_KEPT: usize = 48;
    const TAIL_KEPT: usize = 8;
    const LIST_KEPT: usize = 24;

    /// A connection that begins.
    pub fn new(number: u64, flow: Flow, roles_known: bool, opening: Opening) -> Self {
        Self {
            number,
            flow,
            roles_known,
            opening,
            started_late: opening.syn.is_none(),
            hellos: Vec::new(),
            answers: Vec::new(),
            chains: PerSide::default(),
            certificate_request: None,
            certificate_verify: None,
            hello_done: None,
            key_exchange: None,
            group: None,
            scheme: None,
            changed: PerSide::default(),
            cut_messages: 0,
            records: Vec::new(),
            tail: Rare::USUAL,
            record_count: PerSide::default(),
            alerts: Rare::USUAL,
            not_tls: None,
            fin: PerSide::default(),
            length: PerSide::default(),
            reset: None,
            acked: PerSide::default(),
            sent: PerSide::default(),
            repeats: Rare::USUAL,
            repeat_count: PerSide::default(),
            holes: Rare::USUAL,
            sacks: Rare::USUAL,
            gaps: 0,
            conflicts: 0,
            largest: PerSide::default(),
            last: PerSide::default(),
            ttl: PerSide::default(),
            closed: None,
            counted: PerSide::default(),
            client_flight: None,
        }
    }

    /// The first `ClientHello`.
    pub fn hello(&self) -> Option<&Hello> {
        self.hellos.first()
    }

    /// The `ServerHello`, where it is no retry.
    pub fn answer(&self) -> Option<&Answer> {
        self.answers.iter().rev().find(|answer| !answer.is_retry)
    }

    /// Whether TLS 1.3 was chosen.
    pub fn is_tls13(&self) -> bool {
        self.answer().is_some_and(Answer::is_tls13)
    }

    /// Whether a record of application data is no part of the handshake, whose own records
    /// look the same in TLS 1.3.
    pub fn is_data(&mut self, record: &RecordSeen) -> bool {
        if record.content_type != ContentType::APPLICATION_DATA {
            return false;
        }
        if !self.is_tls13() {
            return true;
        }
        match (record.from, self.client_flight) {
            (Side::Client, None) => {
                self.client_flight = Some(record.at);
                false
            }
            (Side::Client, Some(at)) => at != record.at,
            (Side::Gateway, flight) => flight.is_some(),
        }
    }

    /// Notes a record.
    pub fn record(&mut self, record: RecordSeen) {
        *self.record_count.of_mut(record.from) += 1;
        *self.sent.of_mut(record.from) += u64::from(record.length) + 5;
        if self.records.len() < Self::RECORDS_KEPT {
            self.records.push(record);
            return;
        }
        if self.tail.len() >= Self::TAIL_KEPT {
            self.tail.pop_front();
        }
        self.tail.push_back(record);
    }

    /// Records that are kept, first to last.
    pub fn kept_records(&self) -> impl DoubleEndedIterator<Item = &RecordSeen> + Clone {
        self.records.iter().chain(self.tail.iter())
    }

    /// Notes a segment that was sent again.
    pub fn repeated(
        &mut self,
        from: Side,
        (offset, len, acked): (u32, u32, u32),
        at: Stamp,
        envelope: &Envelope,
    ) {
        let count = self.repeat_count.of_mut(from);
        *count = count.saturating_add(1);
        let has_room = self.repeats.len() < Self::LIST_KEPT;
        let known = self
            .repeats
            .iter_mut()
            .find(|known| known.from == from && known.offset == offset);
        match known {
            Some(known) => {
                known.repeats.note(at);
                known.acked = acked;
                known.len = known.len.max(len);
                known.ip_len = known.ip_len.max(envelope.ip_len);
            }
            None if has_room => {
                let mut repeats = Rare::<Repeats>::USUAL;
                repeats.note(at);
                self.repeats.push(Repeated {
                    from,
                    offset,
                    len,
                    ip_len: envelope.ip_len,
                    dont_fragment: envelope.dont_fragment,
                    repeats,
                    acked,
                });
            }
            None => {}
        }
    }

    /// Notes a hole.
    pub fn hole(&mut self, from: Side, offset: u32, len: u32, at: Stamp) {
        if self.holes.len() < Self::LIST_KEPT {
            self.holes.push(Hole {
                from,
                offset,
                len,
                at,
                filled: None,
                lost_by_capture: false,
            });
        }
    }

    /// Notes octets that the capture does not have.
    pub fn gap(&mut self, from: Side, offset: u32, len: u32) {
        self.gaps = self.gaps.saturating_add(1);
        let acked = self.acked.of(from).octets;
        for hole in (&mut self.holes)
            .into_iter()
            .filter(|hole| hole.from == from)
        {
            if hole.offset == offset && acked >= offset.wrapping_add(len) {
                hole.lost_by_capture = true;
            }
        }
    }

    /// Whether every octet that either end sent or acknowledged was seen, from the first one
    /// on: a capture that shows this loses nothing and sees both directions.
    pub fn is_whole(&self) -> bool {
        // A FIN counts as an octet.
        let all =
            |side| u64::from(self.acked.of(side).octets) <= self.sent.of(side).saturating_add(1);
        let ended = |side| {
            let fin = self.length.of(side).unwrap_or(0);
            let reset = self.reset.filter(|reset| reset.from == side);
            let said = fin.max(reset.map_or(0, |reset| reset.offset));
            // A RST may stand behind a FIN.
            u64::from(said) <= self.sent.of(side).saturating_add(1)
        };
        ended(Side::Client)
            && ended(Side::Gateway)
            && self.opening.syn.is_some()
            && self.opening.answer.is_some()
            && !self.is_torn()
            && all(Side::Client)
            && all(Side::Gateway)
    }

    /// Whether a side sent octets that the capture lacks: inside its stream, or at its end, as
    /// its FIN or RST or what the peer acknowledged tells.
    pub fn lacks_octets(&self) -> bool {
        let lacks = |side| {
            let reset = self.reset.filter(|reset| reset.from == side);
            let said = self
                .length
                .of(side)
                .unwrap_or(0)
                .max(reset.map_or(0, |reset| reset.offset))
                .max(self.acked.of(side).octets);
            // A FIN counts as an octet.
            u64::from(said) > self.sent.of(side).saturating_add(1)
        };
        self.is_torn() || lacks(Side::Client) || lacks(Side::Gateway)
    }

    /// Whether the capture lacks octets that were sent.
    pub fn is_torn(&self) -> bool {
        self.gaps > 0 || self.holes.iter().any(|hole| hole.filled.is_none())
    }

    /// Whether the peer acknowledged every octet that a side sent.
    pub fn is_heard(&self, side: Side) -> bool {
        u64::from(self.acked.of(side).octets) >= *self.sent.of(side)
    }

    /// When an end opened the connection, as far as it was seen.
    pub fn opening_of(&self, side: Side) -> Option<Stamp> {
        match side {
            Side::Client => self.opening.syn,
            Side::Gateway => self.opening.answer,
        }
    }

    /// Notes that a hole was filled.
    pub fn filled(&mut self, from: Side, offset: u32, at: Stamp) {
        let hole = (&mut self.holes).into_iter().rev();
        if let Some(hole) = hole
            .filter(|hole| hole.from == from && hole.filled.is_none())
            .find(|hole| offset.wrapping_sub(hole.offset) <= hole.len || offset <= hole.offset)
        {
            hole.filled = Some(at);
        }
    }

    /// Notes what a side says to have got beyond a hole.
    pub fn sack(&mut self, by: Side, acked: u32, from: u32, at: Stamp) {
        let has_room = self.sacks.len() < Self::LIST_KEPT;
        let known = self
            .sacks
            .iter_mut()
            .find(|known| known.by == by && known.acked == acked);
        match known {
            Some(known) => {
                known.last = at;
                known.from = known.from.min(from);
                known.count = known.count.saturating_add(1);
            }
            None if has_room => self.sacks.push(Sack {
                by,
                acked,
                from,
                first: at,
                last: at,
                count: 1,
            }),
            None => {}
        }
    }

    /// Notes a segment.
    pub fn segment(&mut self, from: Side, at: Stamp, envelope: &Envelope, is_reset: bool) {
        if self
            .last
            .of(from)
            .is_none_or(|last| last.frame() != at.frame())
        {
            *self.counted.of_mut(from) += 1;
        }
        *self.last.of_mut(from) = Some(at);
        if !is_reset {
            *self.ttl.of_mut(from) = Some(envelope.ttl);
        }
        let largest = self.largest.of_mut(from);
        if envelope.ip_len > largest.ip_len {
            *largest = Largest {
                ip_len: envelope.ip_len,
                at: Some(at),
                dont_fragment: envelope.dont_fragment,
            };
        }
    }
}
