//! Who takes what the front gives.

use crate::decap::Addresses;
use crate::source::Frame;
use crate::track::{DnsSight, EspSight, Event, Tracker};
use vpnscope_dissectors::dns;

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

/// The tracker as it is driven.
pub(super) struct Tracked<'t>(pub(super) &'t mut Tracker);

impl Sink for Tracked<'_> {
    fn event(&mut self, event: &Event<'_>) {
        drive(self.0, event);
    }

    #[expect(
        clippy::inline_always,
        reason = "measured: a sight is large, and goes nowhere but to who takes it"
    )]
    #[inline(always)]
    fn esp(&mut self, sight: &EspSight<'_>, _: &Frame<'_>) -> bool {
        self.0.sight_esp(sight)
    }

    fn dns(&mut self, sight: &DnsSight, payload: &[u8]) -> bool {
        let Ok(message) = dns::Message::parse(payload) else {
            return false;
        };
        self.0.sight_dns(sight, &message);
        true
    }

    fn knows(&mut self, addresses: Addresses<'_>) -> bool {
        self.0.knows(addresses.source(), addresses.destination())
    }
}
