//! The control connection: numbers, acknowledgements, ids.

use vpnscope_dissectors::l2tp::{self, AvpType, MessageType, Value};

use super::wire::Places;
use super::{L2tp, Pending};
use crate::replay::conversation::{Channel, Side};
use crate::replay::player::{Awaits, Heard, Outgoing};

impl L2tp {
    /// A control message of our own making: an acknowledgement, or a farewell.
    pub(super) fn own(&self, body: &[u8]) -> Outgoing {
        let mut octets = vec![0xc8, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        octets.extend(body);
        if let Some(places) = Places::of(&octets) {
            places.set_length(&mut octets);
            places.set_tunnel(&mut octets, self.theirs.0);
            places.set_sequence(&mut octets, self.ns, self.nr);
        }
        Outgoing {
            channel: Channel::Primary,
            octets,
            recorded: None,
            awaits: Awaits::Nothing,
        }
    }

    pub(super) fn hear_control(&mut self, read: &l2tp::Message<'_>) -> Heard {
        let (ns, nr) = (read.ns.unwrap_or_default(), read.nr.unwrap_or_default());
        let mut acknowledged = false;
        if let Some(Pending::Control(sent)) = self.pending
            && (1..0x8000).contains(&nr.wrapping_sub(sent))
        {
            self.pending = None;
            acknowledged = true;
        }
        let Some(kind) = read.message_type() else {
            return if acknowledged {
                Heard::Answer
            } else {
                Heard::Again
            };
        };
        if ns != self.nr {
            if self.nr.wrapping_sub(ns) < 0x8000 {
                let acknowledgement = self.own(&[]);
                self.urgent.push_back(acknowledgement);
                return Heard::Again;
            }
            return Heard::Foreign("a message whose number is ahead");
        }
        self.nr = self.nr.wrapping_add(1);
        let (tunnel, session) = assigned(read);
        self.theirs = (
            tunnel.unwrap_or(self.theirs.0),
            session.unwrap_or(self.theirs.1),
        );
        let before = self.queue.len();
        match kind {
            MessageType::STOP_CCN | MessageType::CDN => self.done = true,
            MessageType::ICCN => {
                self.request_due = true;
                self.follow(Some(kind));
            }
            MessageType::HELLO => {}
            _ => self.follow(Some(kind)),
        }
        let silent = self.queue.is_empty() && self.lines.is_empty() && self.request.is_none();
        if silent && self.role == Side::Client && self.last_words == Some(kind) {
            // The recorded client went on with a password.
            self.done = true;
        }
        if self.queue.len() == before || self.pending.is_some() {
            let acknowledgement = self.own(&[]);
            self.urgent.push_back(acknowledgement);
        }
        if acknowledged || self.pending.is_none() {
            Heard::Answer
        } else {
            Heard::Aside
        }
    }
}

/// The ids that a control message assigns.
pub(super) fn assigned(read: &l2tp::Message<'_>) -> (Option<u16>, Option<u16>) {
    let mut ids = (None, None);
    for avp in read.avps().flatten() {
        let number = match avp.value() {
            Ok(Value::Number(number)) => u16::try_from(number).ok(),
            _ => None,
        };
        match avp.avp_type() {
            Some(AvpType::ASSIGNED_TUNNEL_ID) => ids.0 = number,
            Some(AvpType::ASSIGNED_SESSION_ID) => ids.1 = number,
            _ => {}
        }
    }
    ids
}
