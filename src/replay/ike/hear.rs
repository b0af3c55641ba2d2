//! What one end of IKE makes of what it hears.

use vpnscope_dissectors::ike::v1::{self, Hash};
use vpnscope_dissectors::ike::v2::{Algorithm, KeyExchange, NotifyData, NotifyType, Payload};
use vpnscope_dissectors::ike::{self, Header};

use super::{INFORMATIONAL_V1, Ike, ROUNDS, SA_INIT, State, share};
use crate::replay::conversation::Side;
use crate::replay::player::Heard;
use crate::replay::rng::Rng;
use crate::replay::settings::Substitution;

impl Ike {
    pub(super) fn hear_v2(&mut self, message: &ike::Message<'_>) -> Heard {
        let header = &message.header;
        if self.role == Side::Gateway {
            if header.exchange_type != SA_INIT || header.flags.is_response() {
                return Heard::Foreign("not an IKE_SA_INIT request");
            }
            return self.take_request(header);
        }
        if header.initiator_spi != self.initiator {
            return Heard::Foreign("an initiator SPI that is not ours");
        }
        if !header.flags.is_response() {
            return Heard::Foreign("a request");
        }
        self.state = State::Done;
        self.responder = header.responder_spi;
        for payload in message.payloads().flatten() {
            let Ok(Payload::Notify(notify)) = Payload::parse(&payload) else {
                continue;
            };
            match notify.content() {
                Ok(NotifyData::Cookie(cookie)) if self.settings.does(Substitution::Cookie) => {
                    self.cookie = Some(cookie.0.to_vec());
                    self.round();
                }
                Ok(NotifyData::KeyExchange(group))
                    if notify.notify_type == NotifyType::INVALID_KE_PAYLOAD
                        && self.settings.does(Substitution::KeyShare)
                        && self.goes_on(group) =>
                {
                    self.group = Some(group.0);
                    self.round();
                }
                _ => {}
            }
        }
        Heard::Answer
    }

    /// Whether the client comes back with a share in the group that the gateway asks for.
    fn goes_on(&self, group: KeyExchange) -> bool {
        let can = self.recorded_share(group.0).is_some()
            || share::public_value(group, &mut Rng::new(0)).is_some();
        can && self.offered(group) && !self.gave_up(group)
    }

    /// Only a group that was offered may be asked for (RFC 7296 §1.3).
    fn offered(&self, group: KeyExchange) -> bool {
        let Some(sent) = &self.last_sent else {
            return false;
        };
        let Ok(message) = ike::Message::parse(&sent.octets) else {
            return false;
        };
        message.payloads().flatten().any(|raw| {
            let Ok(Payload::Sa(sa)) = Payload::parse(&raw) else {
                return false;
            };
            sa.proposals()
                .flatten()
                .flat_map(|proposal| proposal.transforms().flatten())
                .any(|transform| transform.algorithm() == Algorithm::KeyExchange(group))
        })
    }

    /// Whether the recorded client was asked for this group and did not come back.
    fn gave_up(&self, group: KeyExchange) -> bool {
        let asked = self.recording.of(Side::Gateway).any(|(_, message)| {
            let Ok(read) = ike::Message::parse(&message.octets) else {
                return false;
            };
            read.payloads().flatten().any(|raw| {
                matches!(Payload::parse(&raw), Ok(Payload::Notify(notify))
                    if notify.notify_type == NotifyType::INVALID_KE_PAYLOAD
                        && matches!(notify.content(), Ok(NotifyData::KeyExchange(g)) if g == group))
            })
        });
        asked && self.recorded_share(group.0).is_none()
    }

    /// The same message once more, with what the peer asked for.
    const fn round(&mut self) {
        self.rounds += 1;
        if self.rounds <= ROUNDS {
            self.at = 0;
            self.state = State::Speak;
        }
    }

    fn take_request(&mut self, header: &Header) -> Heard {
        if self.initiator.is_zero() {
            self.initiator = header.initiator_spi;
        } else if self.initiator != header.initiator_spi {
            return Heard::Foreign("another initiator SPI");
        }
        self.heard += 1;
        self.state = if self.at < self.ours.len() {
            State::Speak
        } else {
            State::Listen
        };
        Heard::Answer
    }

    pub(super) fn hear_v1(&mut self, message: &ike::Message<'_>) -> Heard {
        let header = &message.header;
        if header.flags.is_encrypted() {
            return Heard::Foreign("an encrypted message");
        }
        if self.role == Side::Gateway {
            return self.take_request(header);
        }
        if header.initiator_spi != self.initiator {
            return Heard::Foreign("an initiator cookie that is not ours");
        }
        if header.exchange_type == INFORMATIONAL_V1 {
            self.state = State::Done;
            return Heard::Answer;
        }
        self.responder = header.responder_spi;
        self.learn_suite(message);
        self.heard += 1;
        self.state = if self.at < self.ours.len() {
            State::Speak
        } else {
            State::Done
        };
        Heard::Answer
    }

    /// As the gateway: what the recorded one chose decides.
    pub(super) fn learn_own_suite(&mut self) {
        let places = self.ours.iter();
        let said: Vec<Vec<u8>> = places
            .filter_map(|place| self.recording.messages.get(*place))
            .map(|message| message.octets.clone())
            .collect();
        for octets in said {
            if let Ok(message) = ike::Message::parse(&octets) {
                self.learn_suite(&message);
            }
        }
    }

    /// What the live gateway chose decides the NAT-D hash and the group of the key share.
    fn learn_suite(&mut self, message: &ike::Message<'_>) {
        let exchange = v1::ExchangeType(message.header.exchange_type);
        for payload in message.payloads().flatten() {
            let Ok(v1::Payload::Sa(sa)) = v1::Payload::parse(&payload, exchange) else {
                continue;
            };
            let chosen = sa
                .proposals()
                .flatten()
                .flat_map(|proposal| proposal.transforms().flatten())
                .map(|transform| transform.ike_suite())
                .next();
            if let Some(suite) = chosen {
                self.hash = suite.hash.unwrap_or(Hash::SHA);
                if self.role == Side::Client {
                    self.group = suite.group.map(|group| group.0);
                }
            }
        }
    }
}
