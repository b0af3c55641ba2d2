//! The walk in two halves, for two threads: what reads frames, and what tracks.
//!
//! The front knows nothing of the tracker, so it may be ahead of it. The tracker is given the same
//! in the same order, and so what it finds is the same.

use crate::source::Frame;
use crate::time::{Span, Timestamp};
use crate::track::{Change, DnsSight, EspSight, Event, Session, Tracker};
use vpnscope_dissectors::dns;

use super::front::Front;
use super::load::{Load, Taker, Whole};
use super::sink::drive;

/// How much of the capture's time a load may take to fill: who reads from a pipe wants to hear of
/// what happened.
const PATIENCE: Span = Span::from_millis(100);

/// The half that reads frames.
#[derive(Debug)]
pub struct Giving<'w> {
    front: &'w mut Front,
    load: Load,
    until: Timestamp,
}

impl<'w> Giving<'w> {
    pub(super) fn new(front: &'w mut Front) -> Self {
        Self {
            front,
            load: Load::default(),
            until: Timestamp(i64::MIN),
        }
    }

    /// Takes a frame. `true` where what was found should be handed over.
    #[inline]
    pub fn frame(&mut self, frame: &Frame<'_>) -> bool {
        let was_empty = self.load.is_empty();
        self.front.pass(frame, &mut self.load);
        if was_empty {
            self.until = frame.time + PATIENCE;
        }
        self.load.is_full() || (self.until <= frame.time && !self.load.is_empty())
    }

    /// Gives what was found, for an empty load.
    pub fn hand_over(&mut self, empty: Load) -> Load {
        std::mem::replace(&mut self.load, empty)
    }
}

/// The half that tracks.
#[derive(Debug)]
pub struct Taking<'w> {
    tracker: &'w mut Tracker,
}

impl<'w> Taking<'w> {
    pub(super) const fn new(tracker: &'w mut Tracker) -> Self {
        Self { tracker }
    }

    /// Takes a load, and gives each session that ended to `over`.
    pub fn take<E>(
        &mut self,
        load: &Load,
        mut over: impl FnMut(Box<Session>) -> Result<(), E>,
    ) -> Result<(), E> {
        load.give(self, |taking| {
            while let Some(Change::Closed(session)) = taking.tracker.poll() {
                over(session)?;
            }
            Ok(())
        })
    }
}

impl Taker for Taking<'_> {
    #[inline]
    fn foresee(&mut self, sights: &[EspSight<'_>]) {
        if self.tracker.is_esp_vast() {
            self.tracker.foresee_esp(sights);
        }
    }

    #[inline]
    fn esp(&mut self, sight: &EspSight<'_>, whole: &Whole<'_>) {
        let tracker = &mut *self.tracker;
        if !tracker.sight_esp(sight) {
            whole.event(&mut |event| drive(tracker, event));
        }
    }

    fn dns(&mut self, sight: &DnsSight, message: &dns::Message<'_>) {
        self.tracker.sight_dns(sight, message);
    }

    fn event(&mut self, event: &Event<'_>) {
        drive(self.tracker, event);
    }

    fn keepalive(&mut self, event: &Event<'_>) {
        let (a, b) = (event.envelope.source, event.envelope.destination);
        if self.tracker.knows(a, b) {
            drive(self.tracker, event);
        }
    }
}
