//! From a recorded conversation to what is played: which messages are sent, which are waited
//! for, what is changed in them, and where it ends for want of keys.

use std::fmt::Write as _;

use super::conversation::{Channel, Conversation, Message, Protocol, Side, Transport};
use super::player::Player;
use super::settings::{Settings, Substitution};
use super::{compare, ike, l2tp, tls};

/// Why a recorded conversation cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotPlay {
    /// Its beginning is not in the capture.
    #[error("session {session} is half a session: {what} is not in the capture")]
    Half {
        /// The session.
        session: u32,
        /// What is missing.
        what: &'static str,
    },
    /// A change was asked for that its protocol knows nothing of.
    #[error("--set {word} does not apply to {protocol}")]
    NotApplicable {
        /// What was asked for.
        word: String,
        /// The protocol.
        protocol: &'static str,
    },
    /// Nothing in it can be played without keys.
    #[error("session {session} cannot be played: {why}")]
    Keys {
        /// The session.
        session: u32,
        /// Why.
        why: &'static str,
    },
}

/// Whether a step is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is sent.
    Send,
    /// It is waited for.
    Expect,
}

/// One recorded message that is played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Sent or waited for.
    pub action: Action,
    /// Its place in the recorded conversation.
    pub recorded: usize,
    /// What it is.
    pub name: String,
    /// What is changed in it.
    pub substitutions: Vec<Substitution>,
}

/// What is played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Who is played.
    pub role: Side,
    /// In which protocol.
    pub protocol: Protocol,
    /// Over what.
    pub transport: Transport,
    /// The messages, in order.
    pub steps: Vec<Step>,
    /// Where it ends, and why.
    pub end: &'static str,
    /// What is to be expected, where that is known beforehand.
    pub note: Option<&'static str>,
    /// Places of later messages of ours, which only `--blind` sends.
    pub later: Vec<usize>,
    /// Where the first message goes.
    pub first_channel: Channel,
    /// The gateway's port in the recording.
    pub recorded_port: u16,
}

impl Script {
    /// The script for one end of a recorded conversation.
    pub fn of(recording: &Conversation, role: Side) -> Result<Self, CannotPlay> {
        let reach = match recording.protocol {
            Protocol::Ikev1 => ike::reach_v1(recording)?,
            Protocol::Ikev2 => ike::reach_v2(recording),
            Protocol::Tls | Protocol::Dtls => tls::reach(recording, role)?,
            Protocol::L2tp => l2tp::reach(recording, role)?,
        };
        let half = |what| CannotPlay::Half {
            session: recording.session,
            what,
        };
        let begins = reach
            .places
            .first()
            .and_then(|p| recording.messages.get(*p));
        if begins.is_none_or(|first| first.from != Side::Client) {
            return Err(half(reach.first));
        }
        let steps: Vec<Step> = reach
            .places
            .iter()
            .filter_map(|place| Some((*place, recording.messages.get(*place)?)))
            .map(|(place, message)| Step {
                action: if message.from == role {
                    Action::Send
                } else {
                    Action::Expect
                },
                recorded: place,
                name: compare::name(recording.protocol, message),
                substitutions: if message.from == role {
                    substitutions(recording.protocol, message)
                } else {
                    Vec::new()
                },
            })
            .collect();
        let last = reach.places.last().copied().unwrap_or_default();
        let later = recording
            .of(role)
            .map(|(place, _)| place)
            .filter(|place| *place > last)
            .collect();
        Ok(Self {
            role,
            protocol: recording.protocol,
            transport: recording.transport,
            steps,
            end: reach.end,
            note: note(recording),
            later,
            first_channel: begins.map_or(Channel::Primary, |first| first.channel),
            recorded_port: match recording.gateway.port() {
                0 => recording.protocol.port(),
                port => port,
            },
        })
    }

    /// The protocol, and what carries it where that is not the usual.
    pub fn name(&self) -> String {
        match self.transport {
            Transport::Framed => format!("{} over TCP", self.protocol.name()),
            Transport::Datagrams | Transport::Stream => self.protocol.name().to_string(),
        }
    }

    /// The channels it may need.
    pub fn channels(&self, recording: &Conversation) -> Vec<Channel> {
        let mut channels: Vec<Channel> = self
            .steps
            .iter()
            .map(|step| step.recorded)
            .chain(self.later.iter().copied())
            .filter_map(|place| recording.messages.get(place))
            .map(|message| message.channel)
            .collect();
        channels.sort_unstable();
        channels.dedup();
        channels
    }

    /// The state machine that plays it.
    pub(super) fn player(&self, recording: &Conversation, settings: &Settings) -> Box<dyn Player> {
        match self.protocol {
            Protocol::Tls | Protocol::Dtls => Box::new(tls::Tls::new(self, recording, settings)),
            Protocol::L2tp => Box::new(l2tp::L2tp::new(self, recording, settings)),
            Protocol::Ikev1 | Protocol::Ikev2 => Box::new(ike::Ike::new(self, recording, settings)),
        }
    }

    /// The script as text, for `--show-script`.
    pub fn text(&self, recording: &Conversation, settings: &Settings) -> String {
        let mut text = String::new();
        let who = match self.role {
            Side::Client => "the client",
            Side::Gateway => "the gateway",
        };
        let _ = writeln!(
            text,
            "session {}: {}, played as {who}",
            recording.session,
            self.name()
        );
        for (number, step) in (1..).zip(&self.steps) {
            let Some(message) = recording.messages.get(step.recorded) else {
                continue;
            };
            let action = match step.action {
                Action::Send => "send  ",
                Action::Expect => "expect",
            };
            let _ = writeln!(
                text,
                "{number:>3}. {action} {} ({} octets, frame {}{})",
                step.name,
                message.octets.len(),
                message.frame.unwrap_or_default(),
                match message.repeats.len() {
                    0 => String::new(),
                    n => format!(", sent {} times", n + 1),
                }
            );
            for substitution in &step.substitutions {
                let rule = if settings.does(*substitution) {
                    substitution.rule()
                } else {
                    "left as recorded"
                };
                let _ = writeln!(text, "       {}: {rule}", substitution.word());
            }
        }
        let _ = writeln!(text, "  ends: {}", self.end);
        if let Some(note) = self.note {
            let _ = writeln!(text, "  note: {note}");
        }
        if !self.later.is_empty() {
            let what = if settings.blind {
                "sent blindly, as recorded"
            } else {
                "not sent (--blind sends them as recorded)"
            };
            let _ = writeln!(text, "  {} later messages: {what}", self.later.len());
        }
        text
    }
}

/// A DTLS association that takes up a session which a TLS connection opened: that of AnyConnect.
fn note(recording: &Conversation) -> Option<&'static str> {
    let said = compare::describe_all(recording);
    let resumes = said
        .iter()
        .any(|one| one.resumes && one.from == Side::Gateway);
    (recording.protocol == Protocol::Dtls && resumes).then_some(
        "the recorded hello takes up a session that is gone; where a TLS channel opened it, as for \
         AnyConnect, expect the gateway to drop this one",
    )
}

fn substitutions(protocol: Protocol, message: &Message) -> Vec<Substitution> {
    match protocol {
        Protocol::Ikev1 | Protocol::Ikev2 => ike::substitutions(message),
        Protocol::Tls | Protocol::Dtls => tls::substitutions(protocol, message),
        Protocol::L2tp => l2tp::substitutions(message),
    }
}

/// How far a recorded conversation can be played.
pub(super) struct Reach {
    /// Places of the messages.
    pub(super) places: Vec<usize>,
    /// What the first message must be.
    pub(super) first: &'static str,
    /// Where it ends, and why.
    pub(super) end: &'static str,
}
