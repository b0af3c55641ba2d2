//! The [`Replayer`]: plays one end of a recorded conversation. Without sockets, without clock.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::conversation::{Channel, Conversation, Message, Side, Transport};
use super::player::{Awaits, Ends, Heard, Next, Outgoing, Player};
use super::script::{CannotPlay, Script};
use super::settings::Settings;
use crate::assemble::messages::cisco_ike;
use crate::time::{Span, Timestamp};

mod pace;
mod pieces;

/// Octets to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where.
    pub channel: Channel,
    /// The payload of the datagram, without marker, or octets for the stream.
    pub octets: Vec<u8>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All that can be played was played.
    Played,
    /// The other end fell silent.
    Silence,
    /// The other end's host said that nothing listens there, or closed the connection.
    Refused,
    /// The other end closed the connection.
    Closed,
    /// Too many messages were sent: the other end asks for the same again and again.
    Budget,
    /// The other end said far too much.
    Flood,
}

/// What was heard and did not belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Noise {
    /// Messages that were not of this conversation.
    pub foreign: u32,
    /// Octets that were not of this protocol.
    pub garbage: u32,
    /// What was wrong with the last of them.
    pub last: &'static str,
}

/// What waits for an answer.
struct Waiting {
    /// Everything that was said, with its place in the live conversation.
    said: Vec<(Outgoing, usize)>,
    since: Timestamp,
    /// When it is sent again, from `since`.
    again: VecDeque<Span>,
    /// When it is given up, from `since`.
    give_up: Span,
}

/// Plays one end of a recorded conversation.
///
/// Drive it like this: [`Replayer::connected`] when the addresses are known,
/// [`Replayer::poll_transmit`] until it gives nothing, then wait until
/// [`Replayer::next_deadline`] or until something is heard for [`Replayer::handle`].
pub struct Replayer {
    recording: Conversation,
    script: Script,
    settings: Settings,
    player: Box<dyn Player>,
    ends: [Option<Ends>; 2],
    waiting: Option<Waiting>,
    /// What was said of something that is not said in full.
    saying: Vec<(Outgoing, usize)>,
    /// What of it is to be sent again now.
    resend: VecDeque<Transmit>,
    /// Answers that were heard.
    answers: usize,
    /// Why nothing could be said at all.
    fault: Option<String>,
    /// Not before this time.
    hold: Option<Timestamp>,
    /// When the quiet after something heard means that it was all.
    quiet: Option<Timestamp>,
    /// When waiting without having anything to send again is given up.
    idle: Option<Timestamp>,
    /// Places of recorded messages to send as they are.
    blind: VecDeque<usize>,
    pending: VecDeque<Outgoing>,
    live: Conversation,
    noise: Noise,
    pieces: cisco_ike::Assembler,
    sent: u32,
    heard: (u32, usize),
    ending: Option<Ending>,
    said_farewell: bool,
}

impl Replayer {
    /// Prepares to play `recording`.
    pub fn new(mut recording: Conversation, settings: Settings) -> Result<Self, CannotPlay> {
        let script = Script::of(&recording, settings.role)?;
        if let Some(word) = settings.misplaced(recording.protocol) {
            let protocol = recording.protocol.name();
            return Err(CannotPlay::NotApplicable { word, protocol });
        }
        if !settings.blind {
            // What is not played is not kept: there may be many replayers.
            let last = script.steps.last().map_or(0, |step| step.recorded + 1);
            recording.messages.truncate(last);
        }
        let player = script.player(&recording, &settings);
        let live = Conversation {
            session: 0,
            messages: Vec::new(),
            ..recording.clone()
        };
        let blind = if settings.blind {
            script.later.iter().copied().collect()
        } else {
            VecDeque::new()
        };
        Ok(Self {
            recording,
            script,
            settings,
            player,
            ends: [None; 2],
            waiting: None,
            saying: Vec::new(),
            resend: VecDeque::new(),
            answers: 0,
            fault: None,
            hold: None,
            quiet: None,
            idle: None,
            blind,
            pending: VecDeque::new(),
            live,
            noise: Noise::default(),
            pieces: cisco_ike::Assembler::default(),
            sent: 0,
            heard: (0, 0),
            ending: None,
            said_farewell: false,
        })
    }

    /// What was asked for.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The script it follows.
    pub const fn script(&self) -> &Script {
        &self.script
    }

    /// What it plays.
    pub const fn recording(&self) -> &Conversation {
        &self.recording
    }

    /// What was said and heard so far.
    pub const fn live(&self) -> &Conversation {
        &self.live
    }

    /// What was heard and did not belong.
    pub const fn noise(&self) -> Noise {
        self.noise
    }

    /// Whether silence now would mean that all was said.
    pub fn is_satisfied(&self) -> bool {
        self.player.satisfied()
    }

    /// How it ended, if it did.
    pub const fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Tells the addresses of a channel. Both are to be told before anything else.
    pub fn connected(&mut self, channel: Channel, local: SocketAddr, peer: SocketAddr) {
        let ends = Ends { local, peer };
        match channel {
            Channel::Primary => {
                self.ends[0] = Some(ends);
                (self.live.client, self.live.gateway) = match self.settings.role {
                    Side::Client => (local, peer),
                    Side::Gateway => (peer, local),
                };
            }
            Channel::Natt => self.ends[1] = Some(ends),
        }
    }

    fn ends(&self, channel: Channel) -> Ends {
        let [primary, natt] = self.ends;
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let chosen = match channel {
            Channel::Primary => primary.or(natt),
            Channel::Natt => natt.or(primary),
        };
        chosen.unwrap_or(Ends {
            local: nowhere,
            peer: nowhere,
        })
    }

    /// Takes something heard.
    pub fn handle(&mut self, now: Timestamp, channel: Channel, octets: &[u8]) {
        if self.ending.is_some() && self.blind.is_empty() {
            return;
        }
        self.heard.0 += 1;
        self.heard.1 = self.heard.1.saturating_add(octets.len());
        if self.heard.0 > Settings::HEARD || self.heard.1 > Settings::HEARD_OCTETS {
            self.end(Ending::Flood);
            return;
        }
        let whole = match self.joined(now, channel, octets) {
            Ok(None) => return,
            Ok(whole) => whole,
            Err(()) => None,
        };
        let octets = whole.as_deref().unwrap_or(octets);
        let heard = self.player.hear(channel, octets);
        if matches!(heard, Heard::Answer | Heard::Part | Heard::Aside) {
            self.idle = None;
        }
        match heard {
            Heard::Answer => {
                self.note_heard(now, channel, octets);
                self.waiting = None;
                self.resend.clear();
                self.quiet = None;
                self.answers += 1;
                self.hold = self.think(now).max(self.pace(now));
            }
            Heard::Aside => self.note_heard(now, channel, octets),
            Heard::Part => {
                self.note_heard(now, channel, octets);
                if let Some(waiting) = &mut self.waiting {
                    waiting.again.clear();
                }
                self.quiet = Some(now + Self::QUIET);
            }
            Heard::Again => {
                let from = self.settings.role.other();
                let known = |m: &&mut Message| m.from == from && m.octets == octets;
                if let Some(message) = self.live.messages.iter_mut().rev().find(known) {
                    message.repeats.push(now);
                }
            }
            Heard::Foreign(why) => {
                self.noise.foreign += 1;
                self.noise.last = why;
            }
            Heard::Garbage(why) => {
                self.noise.garbage += 1;
                self.noise.last = why;
            }
        }
    }

    /// Waiting for the other end without anything to send again is given up after so long.
    const IDLE: Span = Span::from_secs(5);

    /// What comes in pieces is over when nothing came for so long.
    const QUIET: Span = Span::from_millis(700);

    /// The host of the other end says that nothing listens there.
    pub fn refused(&mut self) {
        self.end(Ending::Refused);
    }

    /// Takes in how many IP fragments the datagrams of the other end came in, where somebody
    /// saw that.
    pub fn fragments(&mut self, seen: &dyn Fn(&Message) -> Option<u16>) {
        let from = self.settings.role.other();
        for message in self.live.messages.iter_mut().filter(|m| m.from == from) {
            message.fragments = seen(message).unwrap_or_default();
        }
    }

    /// The other end cannot be reached.
    pub fn unreachable(&mut self, why: String) {
        self.fault.get_or_insert(why);
        self.end(Ending::Refused);
    }

    /// Why the other end cannot be reached, where that is so.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// The other end closed the connection.
    pub fn closed(&mut self) {
        if self.ending.is_none() {
            self.end(if self.player.satisfied() {
                Ending::Played
            } else {
                Ending::Closed
            });
        }
    }

    fn end(&mut self, ending: Ending) {
        self.waiting = None;
        self.saying.clear();
        self.resend.clear();
        self.quiet = None;
        self.idle = None;
        self.hold = None;
        self.ending.get_or_insert(ending);
        if ending != Ending::Played {
            self.blind.clear();
        }
    }

    /// The next thing to send at this time.
    pub fn poll_transmit(&mut self, now: Timestamp) -> Option<Transmit> {
        self.expire(now);
        if self.hold.is_some_and(|hold| now < hold) {
            return None;
        }
        if let Some(again) = self.retransmission(now) {
            return Some(again);
        }
        if let Some(outgoing) = self.pending.pop_front() {
            return Some(self.send(now, outgoing));
        }
        if self.ending.is_none()
            && let Some(outgoing) = self.player.urgent()
        {
            if self.sent < self.settings.messages * 2 {
                return Some(self.send(now, outgoing));
            }
            self.end(Ending::Budget);
        }
        if self.ending.is_some() {
            return self.after(now);
        }
        if self.waiting.is_some() {
            return None;
        }
        let ends = [self.ends(Channel::Primary), self.ends(Channel::Natt)];
        let lookup = move |channel| match channel {
            Channel::Primary => ends[0],
            Channel::Natt => ends[1],
        };
        match self.player.next(&lookup) {
            Next::Send(_) if self.sent >= self.settings.messages => {
                self.end(Ending::Budget);
                self.after(now)
            }
            Next::Send(outgoing) => Some(self.send(now, outgoing)),
            Next::Wait => {
                if self.settings.role == Side::Client {
                    self.idle.get_or_insert(now + Self::IDLE);
                }
                None
            }
            Next::Done => {
                self.end(Ending::Played);
                self.after(now)
            }
        }
    }

    /// What is sent when everything is played: later messages as recorded, then a farewell.
    fn after(&mut self, now: Timestamp) -> Option<Transmit> {
        while let Some(place) = self.blind.pop_front() {
            if self.sent >= self.settings.messages {
                self.blind.clear();
                break;
            }
            if let Some(outgoing) = self.player.blind(place) {
                self.hold = Some(now + Settings::PACE);
                return Some(self.send(now, outgoing));
            }
        }
        if !self.said_farewell && self.ending != Some(Ending::Refused) {
            self.said_farewell = true;
            self.pending.extend(self.player.farewell());
        }
        let outgoing = self.pending.pop_front()?;
        Some(self.send(now, outgoing))
    }

    /// Whether there is nothing left to do.
    pub fn is_over(&self) -> bool {
        self.ending.is_some()
            && self.said_farewell_or_cannot()
            && self.pending.is_empty()
            && self.blind.is_empty()
            && self.hold.is_none()
    }

    fn said_farewell_or_cannot(&self) -> bool {
        self.said_farewell || self.ending == Some(Ending::Refused)
    }

    fn send(&mut self, now: Timestamp, outgoing: Outgoing) -> Transmit {
        self.sent += 1;
        let ends = self.ends(outgoing.channel);
        self.live.messages.push(Message {
            from: self.settings.role,
            time: now,
            frame: None,
            channel: outgoing.channel,
            source: ends.local,
            destination: ends.peer,
            octets: outgoing.octets.clone(),
            fragments: 0,
            repeats: Vec::new(),
        });
        let transmit = Transmit {
            channel: outgoing.channel,
            octets: outgoing.octets.clone(),
        };
        let (awaits, recorded) = (outgoing.awaits, outgoing.recorded);
        if awaits != Awaits::Nothing {
            self.saying.push((outgoing, self.live.messages.len() - 1));
        }
        if awaits == Awaits::Answer {
            let (again, give_up) = self.patience(recorded);
            self.waiting = Some(Waiting {
                said: std::mem::take(&mut self.saying),
                since: now,
                again,
                give_up,
            });
        }
        transmit
    }

    fn note_heard(&mut self, now: Timestamp, channel: Channel, octets: &[u8]) {
        let ends = self.ends(channel);
        let from = self.settings.role.other();
        let stream = self.recording.transport == Transport::Stream;
        match self.live.messages.last_mut() {
            Some(last) if stream && last.from == from => last.octets.extend_from_slice(octets),
            _ => self.live.messages.push(Message {
                from,
                time: now,
                frame: None,
                channel,
                source: ends.peer,
                destination: ends.local,
                octets: octets.to_vec(),
                fragments: 0,
                repeats: Vec::new(),
            }),
        }
    }

    /// Ends it: nothing more is waited for.
    pub fn give_up(&mut self) {
        self.end(if self.player.satisfied() {
            Ending::Played
        } else {
            Ending::Silence
        });
    }
}
