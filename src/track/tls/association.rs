//! Facts of one DTLS association.

use vpnscope_dissectors::tls::{HandshakeType, Version};

use super::connection::AlertSeen;
use super::hello::{Answer, Chain, Hello};
use crate::decap::Flow;
use crate::track::rare::Rare;
use crate::track::session::{PerSide, Repeats, Side, Stamp};

/// One DTLS association.
#[derive(Debug, Clone, PartialEq)]
pub struct Association {
    /// Its number.
    pub number: u64,
    /// From the client to the gateway.
    pub flow: Flow,
    /// Whether the roles follow from a hello.
    pub roles_known: bool,
    /// No `ClientHello` was seen.
    pub started_late: bool,
    /// `ClientHello`s: one, two after a `HelloVerifyRequest` or `HelloRetryRequest`. Bounded.
    pub hellos: Vec<Hello>,
    /// `HelloVerifyRequest`s. Bounded.
    pub verify_requests: Rare<Vec<Stamp>>,
    /// `ServerHello`s and `HelloRetryRequest`s. Bounded.
    pub answers: Vec<Answer>,
    /// Certificates in clear.
    pub chains: PerSide<Option<Chain>>,
    /// Handshake messages in clear, by type and number. Bounded.
    pub messages: Vec<MessageSeen>,
    /// Messages that never became whole.
    pub incomplete: Rare<Vec<IncompleteMessage>>,
    /// Alerts in clear. Bounded.
    pub alerts: Rare<Vec<AlertSeen>>,
    /// `ChangeCipherSpec` of each side.
    pub changed: PerSide<Option<Stamp>>,
    /// The first encrypted handshake record of each side.
    pub finished: PerSide<Option<Stamp>>,
    /// Encrypted alerts of each side.
    pub encrypted_alerts: PerSide<Option<Stamp>>,
    /// The first and last record of application data of each side.
    pub data: PerSide<super::Activity>,
    /// Datagrams of each side.
    pub datagrams: PerSide<u32>,
    /// The last datagram of each side.
    pub last: PerSide<Option<Stamp>>,
    /// The version of its records, where no hello was seen.
    pub record_version: Option<Version>,
    /// The highest epoch and sequence number of each side in its present keys.
    pub sequence: PerSide<(u16, u64)>,
    /// Repeated handshake flights after it was established: a rekey that hangs.
    pub late_handshake: PerSide<u32>,
    /// The first record of a rekey of each side.
    pub rekey: PerSide<Option<Stamp>>,
    /// Copies of records made on the way.
    pub copies: u32,
    /// The last record numbers of each side.
    pub(crate) window: PerSide<Window>,
}

/// The record numbers that were seen, as far back as an order on the way may be mixed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Window {
    epoch: u16,
    /// One beyond the highest number.
    end: u64,
    /// Bit n: the number `end - 1 - n`.
    bits: u128,
}

impl Window {
    /// Whether a record number was seen before; notes it.
    pub(crate) fn seen(&mut self, (epoch, sequence): (u16, u64)) -> bool {
        if epoch != self.epoch {
            if epoch < self.epoch {
                return false;
            }
            *self = Self {
                epoch,
                end: sequence + 1,
                bits: 1,
            };
            return false;
        }
        if sequence >= self.end {
            let shift = u32::try_from(sequence + 1 - self.end).unwrap_or(u32::MAX);
            self.bits = self.bits.checked_shl(shift).unwrap_or(0) | 1;
            self.end = sequence + 1;
            return false;
        }
        let back = u32::try_from(self.end - 1 - sequence).unwrap_or(u32::MAX);
        let bit = 1_u128.checked_shl(back).unwrap_or(0);
        let seen = self.bits & bit != 0;
        self.bits |= bit;
        seen
    }
}

/// A handshake message in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSeen {
    /// Who sent it.
    pub from: Side,
    /// Its type.
    pub message_type: HandshakeType,
    /// Its number.
    pub message_seq: u16,
    /// Its first fragment.
    pub at: Stamp,
    /// Whether all of it was seen.
    pub whole: bool,
    /// Its length.
    pub length: u32,
    /// The largest IP datagram that carried a fragment of it.
    pub ip_len: u32,
    /// IP fragments of that datagram.
    pub ip_fragments: u16,
    /// Sightings after the first, of its first fragment.
    pub repeats: Rare<Repeats>,
    /// The line of the ladder.
    pub step: Option<usize>,
}

/// A handshake message that never became whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncompleteMessage {
    /// Who sent it.
    pub from: Side,
    /// Its type.
    pub message_type: HandshakeType,
    /// Its number.
    pub message_seq: u16,
    /// Its length.
    pub length: u32,
    /// Octets that were seen.
    pub seen: u32,
    /// Their frames.
    pub frames: Vec<u64>,
}

impl Association {
    /// Messages that are kept.
    pub const MESSAGES_KEPT: usize = 32;

    /// An association that begins.
    pub fn new(number: u64, flow: Flow, roles_known: bool) -> Self {
        Self {
            number,
            flow,
            roles_known,
            started_late: false,
            hellos: Vec::new(),
            verify_requests: Rare::USUAL,
            answers: Vec::new(),
            chains: PerSide::default(),
            messages: Vec::new(),
            incomplete: Rare::USUAL,
            alerts: Rare::USUAL,
            changed: PerSide::default(),
            finished: PerSide::default(),
            encrypted_alerts: PerSide::default(),
            data: PerSide::default(),
            datagrams: PerSide::default(),
            last: PerSide::default(),
            record_version: None,
            sequence: PerSide::default(),
            late_handshake: PerSide::default(),
            rekey: PerSide::default(),
            copies: 0,
            window: PerSide::default(),
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

    /// Whether both ends have shown that they have the keys: both finished, or data of both
    /// under new keys.
    pub fn is_established(&self) -> bool {
        let both_finished = self.finished.client.is_some() && self.finished.gateway.is_some();
        let both_data = self.data.client.count > 0 && self.data.gateway.count > 0;
        let tls13 = self.answer().is_some_and(Answer::is_tls13);
        if tls13 {
            let any_data = self.data.client.count + self.data.gateway.count > 0;
            return both_data || (both_finished && any_data);
        }
        both_finished || both_data
    }

    /// A message of a side and type.
    pub fn message(&self, from: Side, message_type: HandshakeType) -> Option<&MessageSeen> {
        self.messages
            .iter()
            .find(|message| message.from == from && message.message_type == message_type)
    }
}

packed! { Window { epoch, end, bits } }
