//! Who takes what the front gives.

use std::convert::Infallible;

use crate::decap::Addresses;
use crate::source::Frame;
use crate::track::{DnsSight, ESP_TOGETHER, EspSight, Event, Tracker};
use vpnscope_dissectors::dns;

use super::halves::Taking;
use super::load::Load;

/// Who takes what the front gives.
pub trait Sink {
    /// An event.
    fn event(&mut self, event: &Event<'_>);

    /// ESP in a frame of plain shape. `true` where that was enough; `false` asks for the event.
    fn esp(&mut self, sight: &EspSight<'_>, frame: &Frame<'_>) -> bool;

    /// DNS in a frame of plain shape. `true` where that was enough; `false` asks for the event.
    fn dns(&mut self, sight: &DnsSight, payload: &[u8]) -> bool;

    /// Whether something between these addresses is followed: a keepalive alone is nothing.
    fn knows(&mut self, addresses: Addresses<'_>) -> bool;
}

/// A function that takes events only.
pub(super) struct Plain<'f, F>(pub(super) &'f mut F);

impl<F: FnMut(&Event<'_>)> Sink for Plain<'_, F> {
    fn event(&mut self, event: &Event<'_>) {
        (self.0)(event);
    }

    fn esp(&mut self, _: &EspSight<'_>, _: &Frame<'_>) -> bool {
        false
    }

    fn dns(&mut self, _: &DnsSight, _: &[u8]) -> bool {
        false
    }

    fn knows(&mut self, _: Addresses<'_>) -> bool {
        true
    }
}

/// Drives the tracker: time first, then the event. What comes in no frame is over since some
/// time: it is told before the session that it belongs to is closed for its silence.
pub(super) fn drive(tracker: &mut Tracker, event: &Event<'_>) {
    if event.envelope.frame > 0 {
        tracker.advance(event.envelope.time);
    }
    tracker.handle(event);
}

/// The tracker as it is driven. Where flows of ESP are many their packets wait for each other, so
/// that the processor waits for memory once for all of them; whatever else happens has them told
/// first.
pub(super) struct Tracked<'t> {
    pub(super) tracker: &'t mut Tracker,
    pub(super) later: &'t mut Load,
}

impl Tracked<'_> {
    /// Tells what waits.
    #[inline]
    pub(super) fn settle(&mut self) {
        if !self.later.is_empty() {
            self.give();
        }
    }

    /// Has a packet wait where it can.
    #[inline(never)]
    fn esp_later(&mut self, sight: &EspSight<'_>, frame: &Frame<'_>) -> bool {
        if !self.later.esp(sight, frame) {
            self.settle();
            return self.tracker.sight_esp(sight);
        }
        if self.later.len() >= ESP_TOGETHER {
            self.give();
        }
        true
    }

    #[inline(never)]
    fn give(&mut self) {
        let told = (self.later).give(&mut Taking::new(self.tracker), |_| Ok::<_, Infallible>(()));
        match told {
            Ok(()) => self.later.clear(),
        }
    }
}

impl Sink for Tracked<'_> {
    fn event(&mut self, event: &Event<'_>) {
        self.settle();
        drive(self.tracker, event);
    }

    #[expect(
        clippy::inline_always,
        reason = "measured: a sight is large, and goes nowhere but to who takes it"
    )]
    #[inline(always)]
    fn esp(&mut self, sight: &EspSight<'_>, frame: &Frame<'_>) -> bool {
        if self.tracker.is_esp_vast() || !self.later.is_empty() {
            // A copy, so that what is told at once need not be written to memory.
            let sight = *sight;
            return self.esp_later(&sight, frame);
        }
        self.tracker.sight_esp(sight)
    }

    fn dns(&mut self, sight: &DnsSight, payload: &[u8]) -> bool {
        let Ok(message) = dns::Message::parse(payload) else {
            return false;
        };
        self.settle();
        self.tracker.sight_dns(sight, &message);
        true
    }

    fn knows(&mut self, addresses: Addresses<'_>) -> bool {
        self.settle();
        self.tracker
            .knows(addresses.source(), addresses.destination())
    }
}
