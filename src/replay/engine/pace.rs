//! When the [`Replayer`] sends, sends again, and gives up.

use std::collections::VecDeque;

use super::{Ending, Replayer, Transmit, Waiting};
use crate::replay::conversation::Side;
use crate::replay::settings::{Settings, Timing};
use crate::time::{Span, Timestamp};

impl Replayer {
    /// The longest that is waited for anything.
    const LONGEST: Span = Span::from_secs(60);

    /// When a message is sent again, and when it is given up.
    pub(super) fn patience(&self, recorded: Option<usize>) -> (VecDeque<Span>, Span) {
        let steps = |millis: &[i64]| millis.iter().map(|ms| Span::from_millis(*ms)).collect();
        if self.recording.transport.is_tcp() {
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

    /// The next of what is sent again.
    pub(super) fn retransmission(&mut self, now: Timestamp) -> Option<Transmit> {
        if let Some(next) = self.resend.pop_front() {
            return Some(next);
        }
        let waiting = self.waiting.as_mut()?;
        let due = waiting.since + *waiting.again.front()?;
        if now < due {
            return None;
        }
        waiting.again.pop_front();
        for (outgoing, place) in &waiting.said {
            if let Some(message) = self.live.messages.get_mut(*place) {
                message.repeats.push(now);
            }
            self.resend.push_back(Transmit {
                channel: outgoing.channel,
                octets: self.player.repeat(outgoing),
            });
        }
        self.resend.pop_front()
    }

    pub(super) fn expire(&mut self, now: Timestamp) {
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

    /// A peer that asks for more rounds than the recorded one gets one a second.
    pub(super) fn pace(&self, now: Timestamp) -> Option<Timestamp> {
        let role = self.settings.role;
        let recorded = self.script.steps.iter().filter_map(|step| {
            let message = self.recording.messages.get(step.recorded)?;
            (message.from != role).then_some(())
        });
        let more = role == Side::Client && self.answers > recorded.count() + 1;
        more.then_some(now + Settings::PACE)
    }

    /// When the next message is due after something was heard, as the recording paused.
    pub(super) fn think(&self, now: Timestamp) -> Option<Timestamp> {
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
