//! L2TP and the PPP in it, up to the point where a password is asked for.
//!
//! Both protocols want answers that follow the live peer, so this is a small end of its own
//! that takes from the recording what it says first and how it answers what.

use std::collections::VecDeque;

use vpnscope_dissectors::l2tp::{self, MessageType};
use vpnscope_dissectors::{Verdict, ppp};

use super::conversation::{Channel, Conversation, Side};
use super::player::{Awaits, Ends, Heard, Next, Outgoing, Player};
use super::rng::Rng;
use super::script::Script;
use super::settings::{Settings, Substitution};
use wire::{Options, Packet, Places, avp};

mod control;
mod link;
mod said;
mod wire;

use control::assigned;
use said::{Said, said};
pub(super) use said::{reach, substitutions};

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
    /// What it asked for in later Configure-Requests.
    requests: VecDeque<Options>,
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
                    } else if packet.code == code::REQUEST && role == Side::Gateway {
                        leave.requests.push_back(wire::options(&packet.data));
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
