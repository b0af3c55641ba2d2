//! What one end of IKE says: recorded messages with what a live peer insists on.

use vpnscope_dissectors::ike::Spi;
use vpnscope_dissectors::ike::v1::Hash;
use vpnscope_dissectors::ike::v2::{KeyExchange, NotifyType};

use super::edit::{Edit, Part};
use super::{Ike, detection, is_nat_detection, kind, notify_type, share, vary};
use crate::replay::conversation::{Message, Side};
use crate::replay::player::Ends;
use crate::replay::settings::Substitution;

/// The group of the key share in an IKEv2 request: octets 0..2 of its KE payload's body.
pub(super) fn requested_group(message: &Message) -> Option<u16> {
    let mut edit = Edit::new(&message.octets)?;
    let part = edit.first_mut(kind::V2_KE)?;
    part.body.first_chunk().map(|two| u16::from_be_bytes(*two))
}

impl Ike {
    /// The live form of a recorded message of ours.
    pub(super) fn author(&mut self, place: usize, ends: Ends) -> Option<Vec<u8>> {
        let recorded = self.recording.messages.get(place)?;
        let mut edit = Edit::new(&recorded.octets)?;
        let v2 = self.is_v2();
        let zero = edit.header.responder_spi.is_zero();
        let responder = if !self.settings.does(Substitution::ResponderSpi) {
            edit.header.responder_spi
        } else if zero || (v2 && self.role == Side::Client) {
            Spi::ZERO
        } else {
            self.responder
        };
        edit.set_spis(self.initiator, responder);
        if edit.is_malformed() {
            return Some(edit.encode());
        }
        if v2 {
            self.cookie_first(&mut edit);
        }
        if let Some(group) = self.group {
            self.key_share(&mut edit, group);
        }
        vary::apply(&mut edit, &self.settings.variations, &mut self.rng);
        if self.settings.does(Substitution::NatDetection) {
            self.nat_detection(&mut edit, responder, ends);
        }
        Some(edit.encode())
    }

    /// Puts the cookie of the live peer first, and takes a recorded one out.
    fn cookie_first(&self, edit: &mut Edit) {
        if self.role != Side::Client || !self.settings.does(Substitution::Cookie) {
            return;
        }
        edit.parts
            .retain(|part| notify_type(part) != Some(NotifyType::COOKIE));
        if let Some(cookie) = &self.cookie {
            let [high, low] = NotifyType::COOKIE.0.to_be_bytes();
            let mut body = vec![0, 0, high, low];
            body.extend(cookie);
            let part = Part {
                kind: kind::V2_NOTIFY,
                reserved: 0,
                body,
            };
            edit.parts.insert(0, part);
        }
    }

    /// A key share in another group: that of the recording where it has one.
    fn key_share(&mut self, edit: &mut Edit, group: u16) {
        if !self.settings.does(Substitution::KeyShare) {
            return;
        }
        let v2 = self.is_v2();
        let recorded = v2.then(|| self.recorded_share(group)).flatten();
        let value = recorded.or_else(|| share::public_value(KeyExchange(group), &mut self.rng));
        let Some(value) = value else { return };
        if v2 {
            if let Some(part) = edit.first_mut(kind::V2_KE) {
                part.body = group.to_be_bytes().to_vec();
                part.body.extend([0, 0]);
                part.body.extend(value);
            }
        } else if let Some(part) = edit.first_mut(kind::V1_KE)
            && part.body.len() != value.len()
        {
            part.body = value;
        }
    }

    /// The recorded message that the next one is made from: where the peer asked for another
    /// group and the recorded client was asked too, what it said then.
    pub(super) fn base(&self, place: usize) -> usize {
        let Some(group) = self.group.filter(|_| self.is_v2()) else {
            return place;
        };
        let mut requests = self.recording.of(self.role);
        let found = requests.find(|(_, message)| requested_group(message) == Some(group));
        found.map_or(place, |(place, _)| place)
    }

    /// The public value of a later recorded request in this group.
    pub(super) fn recorded_share(&self, group: u16) -> Option<Vec<u8>> {
        let mut requests = self.recording.of(self.role);
        let (_, message) = requests.find(|(_, m)| requested_group(m) == Some(group))?;
        let mut edit = Edit::new(&message.octets)?;
        let part = edit.first_mut(kind::V2_KE)?;
        part.body.get(4..).map(<[u8]>::to_vec)
    }

    fn nat_detection(&self, edit: &mut Edit, responder: Spi, ends: Ends) {
        let v2 = self.is_v2();
        let hash = if v2 { Hash::SHA } else { self.hash };
        let of = |at| detection(hash, self.initiator, responder, at);
        let (Some(local), Some(peer)) = (of(ends.local), of(ends.peer)) else {
            return;
        };
        let mut first = true;
        for part in &mut edit.parts {
            if !is_nat_detection(v2, part) {
                continue;
            }
            if v2 {
                let source = notify_type(part) == Some(NotifyType::NAT_DETECTION_SOURCE_IP);
                part.body.truncate(4);
                part.body.extend(if source { &local } else { &peer });
            } else {
                // The first is of the address the message goes to (RFC 3947 §3.2).
                part.body.clone_from(if first { &peer } else { &local });
                first = false;
            }
        }
    }
}
