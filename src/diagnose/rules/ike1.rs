//! Families that ask about IKEv1 alone.

use crate::diagnose::Finding;
use crate::diagnose::ike1::Story;
use crate::time::Span;
use crate::track::ike1::Message;
use crate::track::session::{Session, Step};

pub(super) mod auth;
pub(super) mod config;
pub(super) mod liveness;
pub(super) mod natt;
pub(super) mod negotiation;
pub(super) mod quick;

/// The step of a message that may be there.
fn step<'a>(story: &Story<'a>, message: Option<&Message>) -> Option<&'a Step> {
    message.and_then(|message| story.step(message))
}

/// Whether the capture went on long enough after the session's last frame for silence to mean
/// something: daemons repeat a message that they want answered within four seconds, Windows
/// within one.
fn settled(session: &Session) -> bool {
    session.vantage.watched_after >= Span::from_secs(4)
}

/// A finding that rests on what did not come: a conclusion only where the sender insisted, and
/// where nothing proves that this capture lacks messages of the session.
fn tell(story: &Story<'_>, finding: Finding, insisted: bool) -> Finding {
    if insisted && !story.has_holes() {
        finding
    } else {
        finding.inconclusive()
    }
}
