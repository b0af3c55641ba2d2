//! TLS and DTLS up to the end of the server's first flight in clear.

use std::collections::VecDeque;

use vpnscope_dissectors::Verdict;
use vpnscope_dissectors::dtls;
use vpnscope_dissectors::tls::HandshakeType;

use super::conversation::{Channel, Conversation, Message, Protocol, Side};
use super::player::{Awaits, Ends, Heard, Next, Outgoing, Player};
use super::rng::Rng;
use super::script::{CannotPlay, Reach, Script};
use super::settings::{Settings, Substitution};
pub(super) use flight::Flight;
use hello::Hello;

mod author;
mod flight;
mod hear;
mod hello;

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;

/// Rounds of cookies and retries before the peer is taken to ask for ever.
const ROUNDS: u32 = 4;

/// The flight of messages said in one go.
pub(super) fn flight(protocol: Protocol, group: &[&Message]) -> Flight {
    if protocol == Protocol::Dtls {
        Flight::dtls(group.iter().map(|message| message.octets.as_slice()))
    } else {
        let all: Vec<u8> = group
            .iter()
            .flat_map(|m| m.octets.iter().copied())
            .collect();
        Flight::tls(&all)
    }
}

/// How far a conversation can be played: the client's hellos, and what the server says to them.
pub(super) fn reach(recording: &Conversation, role: Side) -> Result<Reach, CannotPlay> {
    let half = || CannotPlay::Half {
        session: recording.session,
        what: "the ClientHello",
    };
    let mut places = Vec::new();
    let groups = recording.messages.chunk_by(|a, b| a.from == b.from);
    let mut place = 0;
    for group in groups {
        let messages: Vec<&Message> = group.iter().collect();
        let flight = flight(recording.protocol, &messages);
        let client = group.first().is_some_and(|m| m.from == Side::Client);
        // What the client says to the server's flight is waited for, never said.
        let judged = role == Side::Gateway && !flight.alerts.is_empty();
        if client && flight.get(HandshakeType::CLIENT_HELLO).is_none() && !judged {
            break;
        }
        places.extend(place..place + group.len());
        place += group.len();
    }
    if places.is_empty() {
        return Err(half());
    }
    Ok(Reach {
        places,
        first: "the ClientHello",
        end: "with the server's first flight, of TLS 1.3 its ServerHello: what follows needs keys",
    })
}

/// What is changed in a message of ours.
pub(super) fn substitutions(protocol: Protocol, message: &Message) -> Vec<Substitution> {
    if message.from == Side::Gateway {
        return vec![Substitution::Random];
    }
    let mut list = vec![
        Substitution::Random,
        Substitution::Binders,
        Substitution::ServerName,
    ];
    if protocol == Protocol::Dtls {
        list.extend([
            Substitution::DtlsCookie,
            Substitution::MessageSeq,
            Substitution::RecordSequence,
        ]);
    }
    list
}

/// Plays one end of TLS or DTLS.
pub(super) struct Tls {
    recording: Conversation,
    settings: Settings,
    role: Side,
    dtls: bool,
    rng: Rng,
    /// Ours in the recording, one list for each time that we speak.
    ours: Vec<Vec<usize>>,
    at: usize,
    hello: Option<Hello>,
    state: State,
    queue: VecDeque<Outgoing>,
    /// What was heard since we spoke.
    heard: Vec<Vec<u8>>,
    /// Datagrams that were heard before: copies of them say nothing.
    known: VecDeque<Vec<u8>>,
    rounds: u32,
    message_seq: u16,
    record_seq: u64,
    version: u16,
    satisfied: bool,
    /// The live client's session id, which a server repeats.
    session_id: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Speak,
    Listen,
    Done,
}

impl Tls {
    pub(super) fn new(script: &Script, recording: &Conversation, settings: &Settings) -> Self {
        let role = script.role;
        let dtls = recording.protocol == Protocol::Dtls;
        let mut ours: Vec<Vec<usize>> = Vec::new();
        let mut last = None;
        for step in &script.steps {
            let Some(message) = recording.messages.get(step.recorded) else {
                continue;
            };
            if message.from == role {
                if last != Some(role) {
                    ours.push(Vec::new());
                }
                if let Some(list) = ours.last_mut() {
                    list.push(step.recorded);
                }
            }
            last = Some(message.from);
        }
        let mut rng = Rng::new(settings.seed);
        let hellos = |list: &Vec<usize>| {
            let group: Vec<&Message> = list
                .iter()
                .filter_map(|place| recording.messages.get(*place))
                .collect();
            let flight = flight(recording.protocol, &group);
            Hello::new(flight.get(HandshakeType::CLIENT_HELLO)?, dtls)
        };
        let mut hello = ours.first().and_then(hellos);
        if let Some(hello) = &mut hello {
            hello.change(settings, &mut rng);
        }
        let first = ours.first().and_then(|list| list.first());
        let first = first.and_then(|place| recording.messages.get(*place));
        let version = first
            .and_then(|message| message.octets.get(1..3))
            .map_or(0x0301, |v| {
                v.iter().fold(0, |all, octet| all << 8 | u16::from(*octet))
            });
        Self {
            recording: recording.clone(),
            settings: settings.clone(),
            role,
            dtls,
            rng,
            ours,
            at: 0,
            hello,
            state: if role == Side::Client {
                State::Speak
            } else {
                State::Listen
            },
            queue: VecDeque::new(),
            heard: Vec::new(),
            known: VecDeque::new(),
            rounds: 0,
            message_seq: 0,
            record_seq: 0,
            version,
            satisfied: false,
            session_id: Vec::new(),
        }
    }
}

impl Player for Tls {
    fn next(&mut self, _ends: &dyn Fn(Channel) -> Ends) -> Next {
        if let Some(outgoing) = self.queue.pop_front() {
            return Next::Send(outgoing);
        }
        match self.state {
            State::Listen => Next::Wait,
            State::Done => Next::Done,
            State::Speak => {
                self.state = State::Listen;
                self.author();
                self.queue.pop_front().map_or(Next::Wait, Next::Send)
            }
        }
    }

    fn hear(&mut self, _channel: Channel, octets: &[u8]) -> Heard {
        if self.dtls {
            if dtls::recognise(octets) == Verdict::NotOurs {
                return Heard::Garbage("octets that are no DTLS");
            }
            if self.known.iter().any(|known| known == octets) {
                return Heard::Again;
            }
            self.known.push_back(octets.to_vec());
            if self.known.len() > Self::KNOWN {
                self.known.pop_front();
            }
        }
        self.heard.push(octets.to_vec());
        let flight = if self.dtls {
            Flight::dtls(self.heard.iter().map(Vec::as_slice))
        } else {
            Flight::tls(&self.heard.concat())
        };
        if flight.foreign {
            self.heard.pop();
            return Heard::Garbage("octets that are no TLS");
        }
        match self.role {
            Side::Client => self.hear_server(&flight),
            Side::Gateway => self.hear_client(&flight),
        }
    }

    fn repeat(&mut self, outgoing: &Outgoing) -> Vec<u8> {
        let mut octets = outgoing.octets.clone();
        // A record number that was seen before is a replay (RFC 6347 §4.1.2.6).
        if self.dtls
            && self.settings.does(Substitution::RecordSequence)
            && let Some(place) = octets.get_mut(3..11)
        {
            place.copy_from_slice(&self.record_seq.to_be_bytes());
            self.record_seq += 1;
        }
        octets
    }

    fn farewell(&mut self) -> Vec<Outgoing> {
        if self.role == Side::Gateway {
            return Vec::new();
        }
        // A warning: close_notify (RFC 8446 §6.1).
        let content = [1, 0];
        let octets = if self.dtls {
            self.dtls_record(ALERT, &content)
        } else {
            let mut octets = vec![ALERT, 3, 3, 0, 2];
            octets.extend(content);
            octets
        };
        vec![Outgoing {
            channel: Channel::Primary,
            octets,
            recorded: None,
            awaits: Awaits::Nothing,
        }]
    }

    fn blind(&mut self, recorded: usize) -> Option<Outgoing> {
        let message = self.recording.messages.get(recorded)?;
        Some(Outgoing {
            channel: Channel::Primary,
            octets: message.octets.clone(),
            recorded: Some(recorded),
            awaits: Awaits::Nothing,
        })
    }

    fn satisfied(&self) -> bool {
        self.satisfied
    }
}
