//! IKE, of both versions, as far as it goes without keys: `IKE_SA_INIT` with its rounds, Main
//! Mode 1 to 4, Aggressive Mode 1 and 2.

use vpnscope_dissectors::Verdict;
use vpnscope_dissectors::ike::v1::{self, Hash};
use vpnscope_dissectors::ike::v2::{KeyExchange, NotifyData, NotifyType, Payload};
use vpnscope_dissectors::ike::{self, Header, Spi};

use super::conversation::{Channel, Conversation, Message, Side};
use super::player::{Ends, Heard, Next, Outgoing, Player};
use super::rng::Rng;
use super::script::{CannotPlay, Reach, Script};
use super::settings::{Settings, Substitution};
use edit::{Edit, Part};

mod edit;
mod nat;
mod share;
mod vary;

pub(super) use nat::detection;

/// A public value of our own for a group of IKE.
pub(super) fn public_value(group: u16, rng: &mut Rng) -> Option<Vec<u8>> {
    share::public_value(KeyExchange(group), rng)
}

/// Payload types that are touched.
mod kind {
    pub(super) const V1_KE: u8 = 4;
    pub(super) const V1_NAT_D: u8 = 20;
    pub(super) const V1_NAT_D_DRAFT: u8 = 130;
    pub(super) const V2_KE: u8 = 34;
    pub(super) const V2_NOTIFY: u8 = 41;
}

/// Exchange types.
const MAIN: u8 = 2;
const AGGRESSIVE: u8 = 4;
const INFORMATIONAL_V1: u8 = 5;
const SA_INIT: u8 = 34;

/// Rounds of cookies and groups before the peer is taken to ask for ever.
const ROUNDS: u32 = 6;

fn header(message: &Message) -> Option<Header> {
    Header::parse(&message.octets).ok()
}

/// How far an IKEv2 conversation can be played.
pub(super) fn reach_v2(recording: &Conversation) -> Reach {
    let places: Vec<usize> = recording
        .messages
        .iter()
        .enumerate()
        .filter(|(_, m)| header(m).is_some_and(|h| h.exchange_type == SA_INIT))
        .map(|(place, _)| place)
        .collect();
    Reach {
        places,
        first: "the client's IKE_SA_INIT request",
        end: "with the answer to IKE_SA_INIT: IKE_AUTH is encrypted with keys that only the peers have",
    }
}

/// How far an IKEv1 conversation can be played.
pub(super) fn reach_v1(recording: &Conversation) -> Result<Reach, CannotPlay> {
    let clear = |m: &Message| header(m).filter(|h| !h.flags.is_encrypted());
    let mode = recording
        .messages
        .iter()
        .filter_map(clear)
        .map(|h| h.exchange_type)
        .find(|exchange| [MAIN, AGGRESSIVE].contains(exchange));
    let Some(mode) = mode else {
        return Err(CannotPlay::Half {
            session: recording.session,
            what: "phase 1",
        });
    };
    let mut places = Vec::new();
    for (place, message) in recording.messages.iter().enumerate() {
        let Some(header) = clear(message) else {
            continue;
        };
        let refusal = header.exchange_type == INFORMATIONAL_V1 && message.from == Side::Gateway;
        // Aggressive Mode 3 proves knowledge of the keys.
        let beyond = mode == AGGRESSIVE && message.from == Side::Client && places.len() > 1;
        if (header.exchange_type == mode && !beyond) || (refusal && places.len() < 4) {
            places.push(place);
        }
    }
    Ok(Reach {
        places,
        first: if mode == MAIN {
            "the client's first Main Mode message"
        } else {
            "the client's first Aggressive Mode message"
        },
        end: if mode == MAIN {
            "with Main Mode 4: what follows is encrypted with keys that only the peers have"
        } else {
            "with Aggressive Mode 2: the third message proves knowledge of the key"
        },
    })
}

/// What is changed in a message of ours.
pub(super) fn substitutions(message: &Message) -> Vec<Substitution> {
    let Some(edit) = Edit::new(&message.octets) else {
        return Vec::new();
    };
    let mut list = vec![Substitution::InitiatorSpi, Substitution::ResponderSpi];
    let v2 = edit.header.major() >= 2;
    if edit.parts.iter().any(|part| is_nat_detection(v2, part)) {
        list.push(Substitution::NatDetection);
    }
    if v2 && message.from == Side::Client {
        list.extend([Substitution::Cookie, Substitution::KeyShare]);
    } else if edit.parts.iter().any(|part| part.kind == kind::V1_KE) {
        list.push(Substitution::KeyShare);
    }
    list
}

fn is_nat_detection(v2: bool, part: &Part) -> bool {
    if v2 {
        matches!(
            notify_type(part),
            Some(NotifyType::NAT_DETECTION_SOURCE_IP | NotifyType::NAT_DETECTION_DESTINATION_IP)
        )
    } else {
        [kind::V1_NAT_D, kind::V1_NAT_D_DRAFT].contains(&part.kind)
    }
}

/// The type of an IKEv2 notify payload: octets 2..4 of its body.
fn notify_type(part: &Part) -> Option<NotifyType> {
    match (part.kind, part.body.get(2..4)) {
        (kind::V2_NOTIFY, Some(&[high, low])) => Some(NotifyType(u16::from_be_bytes([high, low]))),
        _ => None,
    }
}

/// Plays one end of IKE.
pub(super) struct Ike {
    recording: Conversation,
    settings: Settings,
    role: Side,
    rng: Rng,
    /// Places of recorded messages of ours, in order.
    ours: Vec<usize>,
    initiator: Spi,
    responder: Spi,
    /// Where we are among `ours`.
    at: usize,
    heard: usize,
    state: State,
    cookie: Option<Vec<u8>>,
    group: Option<u16>,
    rounds: u32,
    /// The hash that IKEv1's NAT-D uses: of the proposal chosen live.
    hash: Hash,
    last_heard: Vec<u8>,
    last_sent: Option<Outgoing>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Something is to be said.
    Speak,
    /// The last word is to be said again: the peer repeated its question.
    Repeat,
    Listen,
    Done,
}

impl Ike {
    pub(super) fn new(script: &Script, recording: &Conversation, settings: &Settings) -> Self {
        let role = script.role;
        let places = |side: Side| -> Vec<usize> {
            let from = |place: &usize| recording.messages.get(*place).map(|m| m.from);
            let all = script.steps.iter().map(|step| step.recorded);
            all.filter(|place| from(place) == Some(side)).collect()
        };
        let mut ours = places(role);
        if recording.protocol == super::Protocol::Ikev2 && role == Side::Client {
            // The rounds of the recording are not replayed: the live peer asks for its own.
            ours.truncate(1);
        }
        let mut rng = Rng::new(settings.seed);
        let recorded = ours
            .first()
            .and_then(|place| recording.messages.get(*place));
        let kept = recorded.and_then(header).unwrap_or(Header {
            initiator_spi: Spi::ZERO,
            responder_spi: Spi::ZERO,
            next_payload: 0,
            version: 0,
            exchange_type: 0,
            flags: ike::Flags(0),
            message_id: 0,
            length: 0,
        });
        let fresh = Spi(rng.nonzero());
        let (initiator, responder) = match role {
            Side::Client if settings.does(Substitution::InitiatorSpi) => (fresh, Spi::ZERO),
            Side::Client => (kept.initiator_spi, Spi::ZERO),
            Side::Gateway if settings.does(Substitution::ResponderSpi) => (Spi::ZERO, fresh),
            Side::Gateway => (Spi::ZERO, kept.responder_spi),
        };
        Self {
            recording: recording.clone(),
            settings: settings.clone(),
            role,
            rng,
            ours,
            initiator,
            responder,
            at: 0,
            heard: 0,
            state: if role == Side::Client {
                State::Speak
            } else {
                State::Listen
            },
            cookie: None,
            group: None,
            rounds: 0,
            hash: Hash::SHA,
            last_heard: Vec::new(),
            last_sent: None,
        }
    }

    fn is_v2(&self) -> bool {
        self.recording.protocol == super::Protocol::Ikev2
    }

    /// The live form of a recorded message of ours.
    fn author(&mut self, place: usize, ends: Ends) -> Option<Vec<u8>> {
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

    /// The public value of a later recorded request in this group.
    fn recorded_share(&self, group: u16) -> Option<Vec<u8>> {
        self.recording
            .of(self.role)
            .filter_map(|(_, message)| Edit::new(&message.octets))
            .filter_map(|mut edit| edit.first_mut(kind::V2_KE).map(|part| part.body.clone()))
            .find(|body| body.starts_with(&group.to_be_bytes()))
            .and_then(|body| body.get(4..).map(<[u8]>::to_vec))
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

    fn hear_v2(&mut self, message: &ike::Message<'_>) -> Heard {
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
                        && self.can_share(group) =>
                {
                    self.group = Some(group.0);
                    self.round();
                }
                _ => {}
            }
        }
        Heard::Answer
    }

    fn can_share(&self, group: KeyExchange) -> bool {
        self.recorded_share(group.0).is_some()
            || share::public_value(group, &mut Rng::new(0)).is_some()
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

    fn hear_v1(&mut self, message: &ike::Message<'_>) -> Heard {
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
                self.group = suite.group.map(|group| group.0);
            }
        }
    }
}

impl Player for Ike {
    fn next(&mut self, ends: &dyn Fn(Channel) -> Ends) -> Next {
        match self.state {
            State::Listen => return Next::Wait,
            State::Done => return Next::Done,
            State::Repeat => {
                self.state = State::Listen;
                return self.last_sent.clone().map_or(Next::Wait, Next::Send);
            }
            State::Speak => {}
        }
        let Some(place) = self.ours.get(self.at).copied() else {
            self.state = State::Done;
            return Next::Done;
        };
        let channel = self
            .recording
            .messages
            .get(place)
            .map_or(Channel::Primary, |message| message.channel);
        let Some(octets) = self.author(place, ends(channel)) else {
            self.state = State::Done;
            return Next::Done;
        };
        self.at += 1;
        let client = self.role == Side::Client;
        self.state = State::Listen;
        let outgoing = Outgoing {
            channel,
            octets,
            recorded: Some(place),
            awaits: client,
        };
        self.last_sent = Some(Outgoing {
            awaits: false,
            ..outgoing.clone()
        });
        Next::Send(outgoing)
    }

    fn hear(&mut self, _channel: Channel, octets: &[u8]) -> Heard {
        if ike::recognise(octets) == Verdict::NotOurs {
            return Heard::Garbage("octets that are no IKE message");
        }
        let Ok(message) = ike::Message::parse(octets) else {
            return Heard::Garbage("an IKE message that cannot be read");
        };
        if octets == self.last_heard {
            if self.role == Side::Gateway && self.last_sent.is_some() {
                self.state = State::Repeat;
            }
            return Heard::Again;
        }
        let heard = if self.is_v2() {
            self.hear_v2(&message)
        } else {
            self.hear_v1(&message)
        };
        if heard == Heard::Answer {
            self.last_heard = octets.to_vec();
        }
        heard
    }

    fn satisfied(&self) -> bool {
        self.role == Side::Gateway && self.heard > 0 && self.at >= self.ours.len()
    }

    fn blind(&mut self, recorded: usize) -> Option<Outgoing> {
        let message = self.recording.messages.get(recorded)?;
        let mut edit = Edit::new(&message.octets)?;
        edit.set_spis(self.initiator, self.responder);
        Some(Outgoing {
            channel: message.channel,
            octets: edit.encode(),
            recorded: Some(recorded),
            awaits: false,
        })
    }
}

#[cfg(test)]
mod tests;
