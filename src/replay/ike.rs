//! IKE, of both versions, as far as it goes without keys: `IKE_SA_INIT` with its rounds, Main
//! Mode 1 to 4, Aggressive Mode 1 and 2.

use vpnscope_dissectors::Verdict;
use vpnscope_dissectors::ike::v1::Hash;
use vpnscope_dissectors::ike::v2::{KeyExchange, NotifyType};
use vpnscope_dissectors::ike::{self, Header, Spi};

use super::conversation::{Channel, Conversation, Message, Side};
use super::player::{Awaits, Ends, Heard, Next, Outgoing, Player};
use super::rng::Rng;
use super::script::{CannotPlay, Reach, Script};
use super::settings::{Settings, Substitution};
use edit::{Edit, Part};

mod author;
mod edit;
mod hear;
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
        let mut one = Self {
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
        };
        if role == Side::Gateway && !one.is_v2() {
            one.learn_own_suite();
        }
        one
    }

    fn is_v2(&self) -> bool {
        self.recording.protocol == super::Protocol::Ikev2
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
        let base = self.base(place);
        let Some(octets) = self.author(base, ends(channel)) else {
            self.state = State::Done;
            return Next::Done;
        };
        self.at += 1;
        let client = self.role == Side::Client;
        self.state = State::Listen;
        let outgoing = Outgoing {
            channel,
            octets,
            recorded: Some(base),
            awaits: Awaits::answer(client),
        };
        self.last_sent = Some(Outgoing {
            awaits: Awaits::Nothing,
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
            awaits: Awaits::Nothing,
        })
    }
}

#[cfg(test)]
mod tests;
