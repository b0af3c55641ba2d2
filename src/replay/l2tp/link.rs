//! The PPP in the tunnel: LCP until both ends agree, then whatever asks for a password.

use vpnscope_dissectors::l2tp::MessageType;

use super::wire::{self, Options, Packet};
use super::{AUTHENTICATION, CHAP, EAP, L2tp, LCP, MAGIC, PAP, Pending, ROUNDS, Said, code, said};
use crate::replay::conversation::Side;
use crate::replay::player::{Heard, Outgoing};
use crate::replay::settings::Substitution;

impl L2tp {
    pub(super) fn hear_ppp(&mut self, packet: &Packet) -> Heard {
        let answer = match packet.protocol {
            LCP => self.hear_lcp(packet),
            PAP | CHAP | EAP => self.hear_auth(packet),
            _ => {
                // Nobody asks for a password: the link is up.
                self.done = true;
                true
            }
        };
        if answer || self.pending.is_none() {
            Heard::Answer
        } else {
            Heard::Aside
        }
    }

    /// `true` where it answers what we asked.
    fn hear_lcp(&mut self, packet: &Packet) -> bool {
        let ours = self.pending == Some(Pending::Configure(packet.identifier));
        match packet.code {
            code::REQUEST => self.configure(packet),
            code::ACK if ours => {
                self.up.0 = true;
                self.pending = None;
                self.both_up();
                return true;
            }
            code::NAK | code::REJECT if ours => {
                self.pending = None;
                self.amend(packet);
                return true;
            }
            code::TERMINATE => {
                let reply = self.reply(packet, code::TERMINATE_ACK, packet.data.clone());
                self.urgent.push_back(reply);
                // The recorded gateway may have closed the call, too, after that.
                let closes = [Some(MessageType::STOP_CCN), Some(MessageType::CDN)];
                self.leave.is_terminating = true;
                self.done = !closes.contains(&self.last_words) || self.role == Side::Gateway;
            }
            code::TERMINATE_ACK if self.role == Side::Gateway && self.leave.is_terminating => {
                self.leave();
            }
            code::ECHO => {
                let mut data = self.magic.to_vec();
                data.extend(packet.data.get(4..).unwrap_or_default());
                let reply = self.reply(packet, code::ECHO_REPLY, data);
                self.urgent.push_back(reply);
            }
            _ => {}
        }
        false
    }

    fn reply(&mut self, to: &Packet, code: u8, data: Vec<u8>) -> Outgoing {
        let identifier = if self.settings.does(Substitution::Identifier) {
            to.identifier
        } else {
            // Any that is not the live one.
            to.identifier.wrapping_add(97)
        };
        let packet = Packet {
            protocol: to.protocol,
            code,
            identifier,
            data,
        };
        self.data(&packet)
    }

    /// Answers a Configure-Request as the recording did; else agrees.
    fn configure(&mut self, packet: &Packet) {
        let wanted = wire::options(&packet.data);
        let (code, data) = self
            .recorded_answer(&wanted)
            .unwrap_or_else(|| (code::ACK, packet.data.clone()));
        if code == code::ACK {
            self.up.1 = true;
            if self.role == Side::Client {
                let option = wanted.iter().find(|(kind, _)| *kind == AUTHENTICATION);
                self.authentication = option.and_then(|(_, value)| wire::u16_at(value, 0));
            }
        }
        let reply = self.reply(packet, code, data);
        self.urgent.push_back(reply);
        self.both_up();
    }

    /// What our end refused in the recording when it was asked for the same.
    fn recorded_answer(&self, wanted: &Options) -> Option<(u8, Vec<u8>)> {
        let plain = |options: &Options| -> Options {
            options
                .iter()
                .filter(|(k, _)| *k != MAGIC)
                .cloned()
                .collect()
        };
        let packets = |side: Side| {
            self.recording.of(side).filter_map(|(_, m)| match said(m) {
                Said::Ppp(packet) if packet.protocol == LCP => Some(packet),
                _ => None,
            })
        };
        let asked = packets(self.role.other()).find(|packet| {
            packet.code == code::REQUEST && plain(&wire::options(&packet.data)) == plain(wanted)
        })?;
        let refused = packets(self.role).find(|packet| {
            packet.identifier == asked.identifier
                && [code::NAK, code::REJECT].contains(&packet.code)
        })?;
        Some((refused.code, refused.data))
    }

    /// Takes the peer's Nak or Reject into our next Configure-Request.
    fn amend(&mut self, packet: &Packet) {
        self.rounds += 1;
        let refused = wire::options(&packet.data);
        let next = self.leave.requests.pop_front();
        if let Some((identifier, options)) = &mut self.request {
            *identifier = identifier.wrapping_add(1);
            if let Some(next) = next {
                // As the recorded gateway did, whatever the client wants.
                let magic = self.magic;
                *options = next;
                for (_, value) in options.iter_mut().filter(|(kind, _)| *kind == MAGIC) {
                    *value = magic.to_vec();
                }
            } else if packet.code == code::REJECT {
                options.retain(|(kind, _)| !refused.iter().any(|(other, _)| other == kind));
            } else {
                for (kind, value) in options.iter_mut() {
                    if let Some((_, wanted)) = refused.iter().find(|(other, _)| other == kind) {
                        value.clone_from(wanted);
                    }
                }
            }
        }
        if self.role == Side::Gateway
            && self.leave.terminate.is_some()
            && self.rounds >= self.leave.refusals
        {
            self.leave();
            return;
        }
        self.request_due = self.rounds <= ROUNDS;
        self.done |= self.rounds > ROUNDS;
    }

    fn both_up(&mut self) {
        if self.up != (true, true) {
            return;
        }
        if self.role == Side::Gateway {
            // A challenge comes unasked.
            if self.auth_lines.front().is_some_and(|line| line.code == 1) {
                self.say_auth(None);
            }
        } else if self.authentication == Some(PAP) {
            self.done = true;
        }
    }

    fn say_auth(&mut self, to: Option<&Packet>) {
        if let Some(mut line) = self.auth_lines.pop_front() {
            if let Some(to) = to.filter(|_| self.settings.does(Substitution::Identifier)) {
                line.identifier = to.identifier;
            }
            let outgoing = self.data(&line);
            self.urgent.push_back(outgoing);
            if self.auth_lines.is_empty() && self.role == Side::Gateway {
                self.leave();
            }
        }
    }

    /// Takes its leave as the recorded gateway did.
    fn leave(&mut self) {
        if let Some(packet) = self.leave.terminate.take() {
            let outgoing = self.data(&packet);
            self.urgent.push_back(outgoing);
            // A StopCCN at once would take away what the client has not read yet.
            self.leave.is_terminating = true;
            return;
        }
        self.leave.is_terminating = false;
        if let Some(place) = self.leave.control.take() {
            self.queue.push_back(place);
            self.done = true;
        }
    }

    fn hear_auth(&mut self, packet: &Packet) -> bool {
        if self.role == Side::Client {
            self.done = true;
        } else {
            self.say_auth(Some(packet));
        }
        true
    }
}
