//! TLS and DTLS up to the end of the server's first flight in clear.

use std::collections::VecDeque;

use vpnscope_dissectors::Verdict;
use vpnscope_dissectors::dtls;
use vpnscope_dissectors::tls::{
    AlertLevel, ExtensionType, HandshakeType, HelloVerifyRequest, ServerHello, Version,
};
use vpnscope_dissectors::tls::{NamedGroup, extension::Body};

use super::conversation::{Channel, Conversation, Message, Protocol, Side};
use super::ike::public_value;
use super::player::{Ends, Heard, Next, Outgoing, Player};
use super::rng::Rng;
use super::script::{CannotPlay, Reach, Script};
use super::settings::{Settings, Substitution, Variation};
pub(super) use flight::Flight;
use hello::Hello;

mod flight;
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

    /// Fills the queue with what is said next.
    fn author(&mut self) {
        self.heard.clear();
        if self.role == Side::Gateway {
            self.answer();
            return;
        }
        let place = self.ours.first().and_then(|list| list.first()).copied();
        let Some(hello) = &self.hello else {
            // A malformed ClientHello is sent as it was recorded.
            let list = self.ours.first().cloned().unwrap_or_default();
            for place in list {
                self.verbatim(place, true);
            }
            return;
        };
        let body = hello.encode();
        let size = self.settings.variations.iter().find_map(|v| match v {
            Variation::FragmentSize(size) => Some(*size),
            _ => None,
        });
        let records = if self.dtls {
            self.dtls_records(&body, size.unwrap_or(Self::FRAGMENT))
        } else {
            vec![self.tls_records(&body, size.unwrap_or(16_384))]
        };
        for octets in records {
            self.queue.push_back(Outgoing {
                channel: Channel::Primary,
                octets,
                recorded: place,
                awaits: true,
            });
        }
    }

    /// Datagrams that are known again.
    const KNOWN: usize = 64;

    /// Octets of a ClientHello in one DTLS record: fits every path.
    const FRAGMENT: usize = 1200;

    fn tls_records(&self, body: &[u8], size: usize) -> Vec<u8> {
        let mut message = vec![HandshakeType::CLIENT_HELLO.0];
        message.extend(u24(body.len()));
        message.extend(body);
        let mut octets = Vec::new();
        for chunk in message.chunks(size.max(1)) {
            octets.push(HANDSHAKE);
            octets.extend(self.version.to_be_bytes());
            octets.extend(u16::try_from(chunk.len()).unwrap_or(u16::MAX).to_be_bytes());
            octets.extend(chunk);
        }
        octets
    }

    fn dtls_records(&mut self, body: &[u8], size: usize) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        let mut offset = 0;
        for chunk in body.chunks(size.max(1)) {
            let mut fragment = vec![HandshakeType::CLIENT_HELLO.0];
            fragment.extend(u24(body.len()));
            fragment.extend(self.message_seq.to_be_bytes());
            fragment.extend(u24(offset));
            fragment.extend(u24(chunk.len()));
            fragment.extend(chunk);
            datagrams.push(self.dtls_record(HANDSHAKE, &fragment));
            offset += chunk.len();
        }
        datagrams
    }

    fn dtls_record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut record = vec![kind];
        record.extend(self.version.to_be_bytes());
        record.extend(self.record_seq.to_be_bytes());
        record.extend(
            u16::try_from(content.len())
                .unwrap_or(u16::MAX)
                .to_be_bytes(),
        );
        record.extend(content);
        if self.settings.does(Substitution::RecordSequence) {
            self.record_seq += 1;
        }
        record
    }

    fn verbatim(&mut self, place: usize, awaits: bool) {
        if let Some(message) = self.recording.messages.get(place) {
            self.queue.push_back(Outgoing {
                channel: Channel::Primary,
                octets: message.octets.clone(),
                recorded: Some(place),
                awaits,
            });
        }
    }

    /// The recorded server's flight.
    fn answer(&mut self) {
        let list = self.ours.get(self.at).cloned().unwrap_or_default();
        for place in list {
            let Some(message) = self.recording.messages.get(place) else {
                continue;
            };
            let mut octets = message.octets.clone();
            if !self.dtls && self.settings.does(Substitution::Random) {
                repeat_session_id(&mut octets, &self.session_id);
            }
            self.queue.push_back(Outgoing {
                channel: Channel::Primary,
                octets,
                recorded: Some(place),
                awaits: false,
            });
        }
        self.at += 1;
    }

    fn hear_client(&mut self, flight: &Flight) -> Heard {
        let Some(body) = flight.get(HandshakeType::CLIENT_HELLO) else {
            let alert = !flight.alerts.is_empty() || flight.hidden > 0 || flight.changed;
            if alert && self.at > 0 {
                self.satisfied = true;
                self.state = State::Done;
                return Heard::Answer;
            }
            return Heard::Part;
        };
        if let Some(hello) = Hello::new(body, self.dtls) {
            self.session_id = hello.session_id;
        }
        self.state = if self.at < self.ours.len() {
            State::Speak
        } else {
            State::Listen
        };
        self.satisfied = self.at + 1 >= self.ours.len();
        self.heard.clear();
        Heard::Answer
    }

    fn hear_server(&mut self, flight: &Flight) -> Heard {
        if flight
            .alerts
            .iter()
            .any(|alert| alert.level == AlertLevel::FATAL)
        {
            return self.done();
        }
        if let Some(body) = flight.get(HandshakeType::HELLO_VERIFY_REQUEST)
            && let Ok(request) = HelloVerifyRequest::parse(body)
            && flight.get(HandshakeType::SERVER_HELLO).is_none()
        {
            return self.verify(&request);
        }
        let Some(body) = flight.get(HandshakeType::SERVER_HELLO) else {
            return Heard::Part;
        };
        let Ok(hello) = ServerHello::parse(body) else {
            return self.done();
        };
        if hello.is_hello_retry_request() {
            return self.retry(&hello);
        }
        self.satisfied = true;
        let over = flight.get(HandshakeType::SERVER_HELLO_DONE).is_some() && flight.whole;
        let tls13 = hello.selected_version().rank() >= Version::TLS_1_3.rank();
        if over || (flight.changed && !tls13) {
            return self.done();
        }
        Heard::Part
    }

    const fn done(&mut self) -> Heard {
        self.satisfied = true;
        self.state = State::Done;
        Heard::Answer
    }

    fn verify(&mut self, request: &HelloVerifyRequest<'_>) -> Heard {
        self.rounds += 1;
        if self.rounds > ROUNDS || !self.settings.does(Substitution::DtlsCookie) {
            return self.done();
        }
        if let Some(hello) = &mut self.hello {
            hello.cookie = Some(request.cookie.to_vec());
        }
        self.again();
        Heard::Answer
    }

    fn retry(&mut self, request: &ServerHello<'_>) -> Heard {
        self.rounds += 1;
        let group = request.group();
        let cookie = match request.extension(ExtensionType::COOKIE) {
            Some(Body::Cookie(cookie)) => Some(cookie.to_vec()),
            _ => None,
        };
        let share = group.map(|group| (group, self.share(group)));
        let impossible = matches!(share, Some((_, None)));
        if self.rounds > ROUNDS || impossible || !self.settings.does(Substitution::KeyShare) {
            return self.done();
        }
        let share = share.and_then(|(group, value)| Some((group.0, value?)));
        if let Some(hello) = &mut self.hello {
            hello.retry(share, cookie.as_deref());
        }
        self.again();
        Heard::Answer
    }

    /// A key share: that of the recorded second ClientHello, or one of our own.
    fn share(&mut self, group: NamedGroup) -> Option<Vec<u8>> {
        let recorded = self.recording.of(Side::Client).find_map(|(_, message)| {
            let flight = flight(self.recording.protocol, &[message]);
            Hello::new(flight.get(HandshakeType::CLIENT_HELLO)?, self.dtls)?.share(group.0)
        });
        recorded.or_else(|| own_share(group, &mut self.rng))
    }

    fn again(&mut self) {
        if self.settings.does(Substitution::MessageSeq) {
            self.message_seq += 1;
        }
        self.state = State::Speak;
        self.heard.clear();
    }
}

/// A public value of our own: the groups of IKE under their numbers in TLS (RFC 8446 §4.2.7).
fn own_share(group: NamedGroup, rng: &mut Rng) -> Option<Vec<u8>> {
    let (ike, uncompressed) = match group.0 {
        23 => (19, true),
        24 => (20, true),
        25 => (21, true),
        29 => (31, false),
        30 => (32, false),
        _ => return None,
    };
    let value = public_value(ike, rng)?;
    let mut share = if uncompressed { vec![4] } else { Vec::new() };
    share.extend(value);
    Some(share)
}

fn u24(value: usize) -> [u8; 3] {
    let [_, a, b, c] = u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
    [a, b, c]
}

/// Puts the live client's session id where the recorded server repeated the recorded one.
///
/// Only where the lengths are equal, as in the compatibility mode of TLS 1.3 (RFC 8446 §D.4),
/// in which a client insists on it.
fn repeat_session_id(octets: &mut [u8], live: &[u8]) {
    // Record header 5, handshake header 4, version 2, random 32, then the length.
    const AT: usize = 43;
    let is_hello = octets.first() == Some(&HANDSHAKE) && octets.get(5) == Some(&2);
    let fits = octets
        .get(AT)
        .is_some_and(|len| usize::from(*len) == live.len());
    if is_hello
        && fits
        && let Some(place) = octets.get_mut(AT + 1..AT + 1 + live.len())
    {
        place.copy_from_slice(live);
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
            awaits: false,
        }]
    }

    fn blind(&mut self, recorded: usize) -> Option<Outgoing> {
        let message = self.recording.messages.get(recorded)?;
        Some(Outgoing {
            channel: Channel::Primary,
            octets: message.octets.clone(),
            recorded: Some(recorded),
            awaits: false,
        })
    }

    fn satisfied(&self) -> bool {
        self.satisfied
    }
}
