//! L2TP and the PPP in it, up to the point where a password is asked for.
//!
//! Both protocols want answers that follow the live peer, so this is a small end of its own
//! that takes from the recording what it says first and how it answers what.

use std::collections::VecDeque;

use vpnscope_dissectors::l2tp::{self, AvpType, MessageType, Value};
use vpnscope_dissectors::{Verdict, ppp};

use super::conversation::{Channel, Conversation, Message, Side};
use super::player::{Awaits, Ends, Heard, Next, Outgoing, Player};
use super::rng::Rng;
use super::script::{CannotPlay, Reach, Script};
use super::settings::{Settings, Substitution};
use wire::{Options, Packet, Places, avp};

mod link;
mod wire;

const LCP: u16 = 0xc021;
const PAP: u16 = 0xc023;
const CHAP: u16 = 0xc223;
const EAP: u16 = 0xc227;

/// Codes of LCP (RFC 1661 §5).
mod code {
    pub(super) const REQUEST: u8 = 1;
    pub(super) const ACK: u8 = 2;
    pub(super) const NAK: u8 = 3;
    pub(super) const REJECT: u8 = 4;
    pub(super) const TERMINATE: u8 = 5;
    pub(super) const TERMINATE_ACK: u8 = 6;
    pub(super) const ECHO: u8 = 9;
    pub(super) const ECHO_REPLY: u8 = 10;
}

/// LCP options.
const AUTHENTICATION: u8 = 3;
const MAGIC: u8 = 5;

/// Rounds of Configure-Requests before the peer is taken never to agree.
const ROUNDS: u32 = 8;

/// What a recorded message is.
enum Said {
    Control(MessageType),
    Ppp(Packet),
    /// Acknowledgements, keepalives, data.
    Nothing,
}

fn said(message: &Message) -> Said {
    let Ok(read) = l2tp::Message::parse(&message.octets) else {
        return Said::Nothing;
    };
    if read.is_control() {
        return match read.message_type() {
            Some(MessageType::HELLO) | None => Said::Nothing,
            Some(kind) => Said::Control(kind),
        };
    }
    match Packet::read(read.body) {
        Some(packet) if packet.protocol == LCP && packet.code >= code::ECHO => Said::Nothing,
        Some(packet) => Said::Ppp(packet),
        None => Said::Nothing,
    }
}

/// How far a conversation can be played: as the client up to its credentials, as the gateway
/// up to its verdict on them.
pub(super) fn reach(recording: &Conversation, role: Side) -> Result<Reach, CannotPlay> {
    let mut places = Vec::new();
    for (place, message) in recording.messages.iter().enumerate() {
        match said(message) {
            Said::Nothing => {}
            // The recorded client took its leave: so does ours, when it is done.
            Said::Control(MessageType::STOP_CCN | MessageType::CDN)
                if role == Side::Client && message.from == Side::Client =>
            {
                break;
            }
            Said::Control(_) if role == message.from && proves(message) => break,
            Said::Control(_) => places.push(place),
            Said::Ppp(packet) => {
                let auth = [PAP, CHAP, EAP].contains(&packet.protocol);
                let ours = message.from == Side::Client && role == Side::Client;
                if (auth && ours) || !(auth || packet.protocol == LCP) {
                    break;
                }
                places.push(place);
            }
        }
    }
    if places.is_empty() {
        return Err(CannotPlay::Half {
            session: recording.session,
            what: "the client's SCCRQ",
        });
    }
    Ok(Reach {
        places,
        first: "the client's SCCRQ",
        end: "where the password is asked for: recorded credentials are never sent",
    })
}

/// Whether a control message proves knowledge of a password: the tunnel's own, or a caller's.
fn proves(message: &Message) -> bool {
    l2tp::Message::parse(&message.octets).is_ok_and(|read| {
        read.avps().flatten().any(|avp| {
            [
                Some(AvpType::CHALLENGE_RESPONSE),
                Some(AvpType::PROXY_AUTHEN_RESPONSE),
            ]
            .contains(&avp.avp_type())
        })
    })
}

/// What is changed in a message of ours.
pub(super) fn substitutions(message: &Message) -> Vec<Substitution> {
    use Substitution as S;
    match said(message) {
        Said::Control(_) => vec![S::TunnelId, S::SessionId, S::Sequence],
        Said::Ppp(packet) if packet.code == code::REQUEST => {
            vec![S::TunnelId, S::SessionId, S::Magic]
        }
        Said::Ppp(_) => vec![S::TunnelId, S::SessionId, S::Identifier],
        Said::Nothing => Vec::new(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    Control(u16),
    Configure(u8),
}

/// A message of ours in the recording, and which of the peer's it follows.
struct Line {
    after: Option<MessageType>,
    place: usize,
}

/// Plays one end of L2TP.
pub(super) struct L2tp {
    recording: Conversation,
    settings: Settings,
    role: Side,
    rng: Rng,
    lines: VecDeque<Line>,
    queue: VecDeque<usize>,
    urgent: VecDeque<Outgoing>,
    pending: Option<Pending>,
    ours: (u16, u16),
    theirs: (u16, u16),
    ns: u16,
    nr: u16,
    /// A recorded data message of ours, for its header.
    pattern: Option<Vec<u8>>,
    request: Option<(u8, Options)>,
    request_due: bool,
    magic: [u8; 4],
    rounds: u32,
    up: (bool, bool),
    /// The authentication protocol that the gateway's LCP asked for.
    authentication: Option<u16>,
    auth_lines: VecDeque<Packet>,
    heard: VecDeque<Vec<u8>>,
    done: bool,
    /// The last control message that the recorded peer sent.
    last_words: Option<MessageType>,
    leave: Leave,
}

/// How the recorded gateway took its leave after PPP had begun.
#[derive(Default)]
struct Leave {
    /// LCP Terminate-Request.
    terminate: Option<Packet>,
    /// StopCCN or CDN, by its place.
    control: Option<usize>,
    /// How often it took a refusal of its Configure-Request before.
    refusals: u32,
    /// Whether LCP is being terminated: the rest comes when the client has agreed.
    is_terminating: bool,
}

impl L2tp {
    pub(super) fn new(script: &Script, recording: &Conversation, settings: &Settings) -> Self {
        let mut rng = Rng::new(settings.seed);
        let role = script.role;
        let mut after = None;
        let mut lines = VecDeque::new();
        let mut auth_lines = VecDeque::new();
        let (mut pattern, mut request, mut last_words) = (None, None, None);
        let mut leave = Leave::default();
        for step in &script.steps {
            let Some(message) = recording.messages.get(step.recorded) else {
                continue;
            };
            let ours = message.from == role;
            match said(message) {
                Said::Control(kind) if !ours => {
                    after = Some(kind);
                    last_words = after;
                }
                Said::Control(MessageType::STOP_CCN | MessageType::CDN) if pattern.is_some() => {
                    leave.control.get_or_insert(step.recorded);
                }
                Said::Control(_) => lines.push_back(Line {
                    after,
                    place: step.recorded,
                }),
                Said::Ppp(packet) if !ours => {
                    let refused = [code::NAK, code::REJECT].contains(&packet.code);
                    leave.refusals += u32::from(packet.protocol == LCP && refused);
                }
                Said::Ppp(packet) => {
                    pattern.get_or_insert_with(|| message.octets.clone());
                    if packet.protocol != LCP {
                        auth_lines.push_back(packet);
                    } else if packet.code == code::REQUEST && request.is_none() {
                        request = Some((packet.identifier, wire::options(&packet.data)));
                    } else if packet.code == code::TERMINATE {
                        leave.terminate.get_or_insert(packet);
                    }
                }
                Said::Nothing => {}
            }
        }
        let mut one = Self {
            recording: recording.clone(),
            settings: settings.clone(),
            role,
            lines,
            queue: VecDeque::new(),
            urgent: VecDeque::new(),
            pending: None,
            ours: (rng.nonzero_u16(), rng.nonzero_u16()),
            theirs: (0, 0),
            ns: 0,
            nr: 0,
            pattern,
            request,
            request_due: false,
            magic: [0; 4],
            rounds: 0,
            up: (false, false),
            authentication: None,
            auth_lines,
            heard: VecDeque::new(),
            done: false,
            last_words,
            leave,
            rng,
        };
        one.keep_ids();
        one.new_magic();
        if role == Side::Client {
            one.follow(None);
        }
        one
    }

    /// Takes the recorded ids where they are to be kept.
    fn keep_ids(&mut self) {
        let role = self.role;
        let mut kept = (0, 0);
        for (_, message) in self.recording.of(role) {
            if let Ok(read) = l2tp::Message::parse(&message.octets) {
                let (tunnel, session) = assigned(&read);
                kept = (tunnel.unwrap_or(kept.0), session.unwrap_or(kept.1));
            }
        }
        if !self.settings.does(Substitution::TunnelId) && kept.0 != 0 {
            self.ours.0 = kept.0;
        }
        if !self.settings.does(Substitution::SessionId) && kept.1 != 0 {
            self.ours.1 = kept.1;
        }
    }

    fn new_magic(&mut self) {
        let fresh = self.settings.does(Substitution::Magic);
        let mut magic = self.magic;
        self.rng.fill(&mut magic);
        if let Some((_, options)) = &mut self.request {
            for (_, value) in options.iter_mut().filter(|(kind, _)| *kind == MAGIC) {
                if fresh {
                    *value = magic.to_vec();
                } else if let Ok(recorded) = <[u8; 4]>::try_from(value.as_slice()) {
                    magic = recorded;
                }
            }
        }
        self.magic = magic;
    }

    /// Makes ready what the recording said after a message of this type.
    fn follow(&mut self, after: Option<MessageType>) {
        while self.lines.front().is_some_and(|line| line.after == after) {
            self.queue
                .extend(self.lines.pop_front().map(|line| line.place));
        }
    }

    fn control(&mut self, place: usize) -> Option<Outgoing> {
        let message = self.recording.messages.get(place)?;
        let mut octets = message.octets.clone();
        self.rewrite(&mut octets);
        self.pending = Some(Pending::Control(self.ns));
        self.ns = self.ns.wrapping_add(1);
        Some(Outgoing {
            channel: Channel::Primary,
            octets,
            recorded: Some(place),
            awaits: Awaits::Answer,
        })
    }

    /// Puts the live ids and numbers into a message of ours.
    fn rewrite(&mut self, octets: &mut [u8]) {
        let Some(places) = Places::of(octets) else {
            return;
        };
        if self.settings.does(Substitution::TunnelId) {
            places.set_tunnel(octets, self.theirs.0);
        }
        if self.settings.does(Substitution::SessionId) && places.session(octets) != 0 {
            places.set_session(octets, self.theirs.1);
        }
        if !places.is_control {
            return;
        }
        if self.settings.does(Substitution::Sequence) {
            places.set_sequence(octets, self.ns, self.nr);
        }
        let (tunnel, session) = self.ours;
        let tie = self.rng.next_u64().to_be_bytes();
        if let Some(body) = octets.get_mut(places.body..) {
            wire::for_each_avp(body, |kind, value| match kind {
                avp::ASSIGNED_TUNNEL => wire::set_u16(value, 0, tunnel),
                avp::ASSIGNED_SESSION => wire::set_u16(value, 0, session),
                avp::TIE_BREAKER if value.len() == 8 => value.copy_from_slice(&tie),
                _ => {}
            });
        }
    }

    /// A control message of our own making: an acknowledgement, or a farewell.
    fn own(&self, body: &[u8]) -> Outgoing {
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

    /// A PPP packet in a data message with the header of the recorded ones.
    fn data(&mut self, packet: &Packet) -> Outgoing {
        let mut octets = vec![0, 2, 0, 0, 0, 1];
        let mut prefix = true;
        if let Some(pattern) = &self.pattern
            && let Some(places) = Places::of(pattern)
        {
            octets = pattern.get(..places.body).unwrap_or_default().to_vec();
            let frame = pattern.get(places.body..).unwrap_or_default();
            prefix = frame.starts_with(&[0xff, 0x03]);
        }
        octets.extend(packet.write(prefix));
        if let Some(places) = Places::of(&octets) {
            places.set_length(&mut octets);
        }
        self.rewrite(&mut octets);
        Outgoing {
            channel: Channel::Primary,
            octets,
            recorded: None,
            awaits: Awaits::Nothing,
        }
    }

    fn hear_control(&mut self, read: &l2tp::Message<'_>) -> Heard {
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
fn assigned(read: &l2tp::Message<'_>) -> (Option<u16>, Option<u16>) {
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

impl Player for L2tp {
    fn next(&mut self, _ends: &dyn Fn(Channel) -> Ends) -> Next {
        if let Some(place) = self.queue.pop_front() {
            let outgoing = self.control(place);
            if self.queue.is_empty() && self.lines.is_empty() && self.role == Side::Client {
                self.request_due = true;
            }
            return outgoing.map_or(Next::Wait, Next::Send);
        }
        if self.done && self.urgent.is_empty() {
            return Next::Done;
        }
        if self.request_due && self.theirs.1 != 0 {
            self.request_due = false;
            if let Some((identifier, options)) = self.request.clone() {
                let packet = Packet {
                    protocol: LCP,
                    code: code::REQUEST,
                    identifier,
                    data: wire::encode(&options),
                };
                self.pending = Some(Pending::Configure(identifier));
                return Next::Send(Outgoing {
                    awaits: Awaits::Answer,
                    ..self.data(&packet)
                });
            }
        }
        Next::Wait
    }

    fn urgent(&mut self) -> Option<Outgoing> {
        self.urgent.pop_front()
    }

    fn hear(&mut self, _channel: Channel, octets: &[u8]) -> Heard {
        if l2tp::recognise(octets) == Verdict::NotOurs {
            return Heard::Garbage("octets that are no L2TP");
        }
        let Ok(read) = l2tp::Message::parse(octets) else {
            return Heard::Garbage("an L2TP message that cannot be read");
        };
        let first = read.message_type() == Some(MessageType::SCCRQ) && self.role == Side::Gateway;
        if !first && read.tunnel_id != Some(u32::from(self.ours.0)) {
            return Heard::Foreign("a tunnel id that is not ours");
        }
        if read.is_control() {
            return self.hear_control(&read);
        }
        if read.session_id != Some(u32::from(self.ours.1)) {
            return Heard::Foreign("a session id that is not ours");
        }
        let Some(packet) = Packet::read(read.body) else {
            return Heard::Aside;
        };
        let again = self.heard.iter().any(|known| known == octets);
        self.heard.push_back(octets.to_vec());
        if self.heard.len() > 64 {
            self.heard.pop_front();
        }
        let heard = self.hear_ppp(&packet);
        if again { Heard::Again } else { heard }
    }

    fn farewell(&mut self) -> Vec<Outgoing> {
        if self.theirs.0 == 0 {
            return Vec::new();
        }
        // Message Type 4 (StopCCN), Assigned Tunnel ID, Result Code 6: shutting down.
        let [high, low] = self.ours.0.to_be_bytes();
        let stop = [
            0x80, 8, 0, 0, 0, 0, 0, 4, // Message Type
            0x80, 8, 0, 0, 0, 9, high, low, // Assigned Tunnel ID
            0x80, 8, 0, 0, 0, 1, 0, 6, // Result Code
        ];
        vec![self.own(&stop)]
    }

    fn blind(&mut self, recorded: usize) -> Option<Outgoing> {
        let message = self.recording.messages.get(recorded)?;
        let mut octets = message.octets.clone();
        self.rewrite(&mut octets);
        Some(Outgoing {
            channel: Channel::Primary,
            octets,
            recorded: Some(recorded),
            awaits: Awaits::Nothing,
        })
    }

    fn satisfied(&self) -> bool {
        self.done || self.leave.is_terminating
    }
}

/// The name of a PPP protocol.
pub(super) fn protocol_name(protocol: ppp::Protocol) -> String {
    match protocol.0 {
        LCP => "LCP".to_string(),
        PAP => "PAP".to_string(),
        CHAP => "CHAP".to_string(),
        EAP => "EAP".to_string(),
        _ => protocol.to_string(),
    }
}
