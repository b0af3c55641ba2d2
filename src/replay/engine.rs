//! The [`Replayer`]: plays one end of a recorded conversation. Without sockets, without clock.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::conversation::{Channel, Conversation, Message, Side};
use super::player::{Ends, Heard, Next, Outgoing, Player};
use super::script::{CannotPlay, Script};
use super::settings::{Settings, Timing};
use crate::time::{Span, Timestamp};

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
    outgoing: Outgoing,
    since: Timestamp,
    /// When it is sent again, from `since`.
    again: VecDeque<Span>,
    /// When it is given up, from `since`.
    give_up: Span,
    /// Its place in the live conversation.
    place: usize,
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
    sent: u32,
    heard: (u32, usize),
    ending: Option<Ending>,
    said_farewell: bool,
}

impl Replayer {
    /// Prepares to play `recording`.
    pub fn new(recording: Conversation, settings: Settings) -> Result<Self, CannotPlay> {
        let script = Script::of(&recording, settings.role)?;
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
            hold: None,
            quiet: None,
            idle: None,
            blind,
            pending: VecDeque::new(),
            live,
            noise: Noise::default(),
            sent: 0,
            heard: (0, 0),
            ending: None,
            said_farewell: false,
        })
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
        let heard = self.player.hear(channel, octets);
        if matches!(heard, Heard::Answer | Heard::Part | Heard::Aside) {
            self.idle = None;
        }
        match heard {
            Heard::Answer => {
                self.note_heard(now, channel, octets);
                self.waiting = None;
                self.quiet = None;
                self.hold = self.think(now);
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
            fragments: 1,
            repeats: Vec::new(),
        });
        let transmit = Transmit {
            channel: outgoing.channel,
            octets: outgoing.octets.clone(),
        };
        if outgoing.awaits {
            let (again, give_up) = self.patience(outgoing.recorded);
            self.waiting = Some(Waiting {
                outgoing,
                since: now,
                again,
                give_up,
                place: self.live.messages.len() - 1,
            });
        }
        transmit
    }

    fn note_heard(&mut self, now: Timestamp, channel: Channel, octets: &[u8]) {
        let ends = self.ends(channel);
        let from = self.settings.role.other();
        let stream = self.recording.protocol.is_stream();
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
                fragments: 1,
                repeats: Vec::new(),
            }),
        }
    }

    /// The longest that is waited for anything.
    const LONGEST: Span = Span::from_secs(60);

    /// When a message is sent again, and when it is given up.
    fn patience(&self, recorded: Option<usize>) -> (VecDeque<Span>, Span) {
        let steps = |millis: &[i64]| millis.iter().map(|ms| Span::from_millis(*ms)).collect();
        if self.recording.protocol.is_stream() {
            return (VecDeque::new(), Span::from_secs(10));
        }
        if self.settings.timing == Timing::Fast {
            return (steps(&[500, 1500]), Span::from_millis(3500));
        }
        let message = recorded.and_then(|place| self.recording.messages.get(place));
        let mut again: VecDeque<Span> = message
            .map(|m| m.repeats.iter().map(|time| *time - m.time).collect())
            .unwrap_or_default();
        again.retain(|span| Span(0) < *span && *span < Self::LONGEST);
        if again.is_empty() {
            again = steps(&[1000, 3000]);
        }
        let last = again.back().copied().unwrap_or_default();
        let pause = last.0.clamp(Span::from_secs(2).0, Span::from_secs(10).0);
        (again, Span(last.0 + pause))
    }

    fn retransmission(&mut self, now: Timestamp) -> Option<Transmit> {
        let waiting = self.waiting.as_mut()?;
        let due = waiting.since + *waiting.again.front()?;
        if now < due {
            return None;
        }
        waiting.again.pop_front();
        if let Some(message) = self.live.messages.get_mut(waiting.place) {
            message.repeats.push(now);
        }
        Some(Transmit {
            channel: waiting.outgoing.channel,
            octets: waiting.outgoing.octets.clone(),
        })
    }

    fn expire(&mut self, now: Timestamp) {
        if self.hold.is_some_and(|hold| hold <= now) {
            self.hold = None;
        }
        let given_up = |w: &Waiting| w.since + w.give_up <= now;
        let quiet = self.quiet.is_some_and(|quiet| quiet <= now);
        if quiet {
            self.quiet = None;
        }
        if quiet && self.player.satisfied() {
            self.end(Ending::Played);
        } else if self.waiting.as_ref().is_some_and(given_up)
            || self.idle.is_some_and(|idle| idle <= now)
        {
            self.give_up();
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

    /// When the next message is due after something was heard, as the recording paused.
    fn think(&self, now: Timestamp) -> Option<Timestamp> {
        if self.settings.timing == Timing::Fast {
            return None;
        }
        let role = self.settings.role;
        let heard = self.live.of(role.other()).count();
        let (place, asked) = self.recording.of(role.other()).nth(heard.checked_sub(1)?)?;
        let answered = self
            .recording
            .messages
            .get(place + 1)
            .filter(|next| next.from == role)?;
        let pause = answered.time - asked.time;
        Some(now + Span(pause.0.clamp(0, Span::from_secs(5).0)))
    }

    /// When [`Replayer::poll_transmit`] will have something to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if let Some(hold) = self.hold {
            return Some(hold);
        }
        let waiting = self.waiting.as_ref().map(|waiting| {
            let span = waiting.again.front().copied().unwrap_or(waiting.give_up);
            waiting.since + span.min(waiting.give_up)
        });
        [waiting, self.quiet, self.idle].into_iter().flatten().min()
    }
}
