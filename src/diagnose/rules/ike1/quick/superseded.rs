//! Quick modes that were given up for others.

use super::{QUICK_MODE_SUPERSEDED, is_done, refusal, step};
use crate::diagnose::ike1::Story;
use crate::diagnose::{Basis, Finding, Findings, Stage, say};
use crate::time::Span;
use crate::track::ike1::{Exchange, kind};

/// Whether a later quick mode completed: the earlier one does not matter any more.
pub(super) fn is(all: &[&Exchange], exchange: &Exchange) -> bool {
    let begun = exchange.first().map(|m| m.at);
    all.iter()
        .any(|other| is_done(other) && other.confirmation().map(|m| m.at) > begun)
}

/// Whether an exchange was refused between two that were granted to the same end, all of one
/// size and in a row, before any data: each was for a tunnel of its own. Whoever tries one tunnel
/// again after a refusal has none yet, and renews none within a second of making it.
pub(super) fn by_another(story: &Story<'_>, all: &[&Exchange], exchange: &Exchange) -> bool {
    /// What differs between the identities of two tunnels, filled up to a block.
    const ALIKE: u32 = 16;
    let Some(asked) = step(story, exchange.first()) else {
        return false;
    };
    let near = |other: &&&Exchange| {
        other.by == exchange.by
            && is_done(other)
            && step(story, other.first()).is_some_and(|first| {
                let gap = first.at.time - asked.at.time;
                first.length.abs_diff(asked.length) <= ALIKE
                    && gap.0.saturating_abs() <= Span::from_secs(1).0
            })
    };
    let unused = story.session.esp.iter().all(|flow| flow.first > asked.at);
    let before = all
        .iter()
        .filter(near)
        .any(|other| other.confirmation().map(|m| m.at) < exchange.first().map(|m| m.at));
    unused && before && all.iter().filter(near).count() >= 2 && refusal(story, exchange).is_some()
}

pub(super) fn note(
    story: &Story<'_>,
    all: &[&Exchange],
    exchange: &Exchange,
    findings: &mut Findings,
) {
    let begun = exchange.first().map(|m| m.at);
    let heir = all
        .iter()
        .filter(|other| is_done(other))
        .find(|other| other.confirmation().map(|m| m.at) > begun);
    let (Some(first), Some(heir)) = (step(story, exchange.first()), heir) else {
        return;
    };
    let repeats: u32 = exchange
        .messages
        .iter()
        .filter_map(|m| story.step(m))
        .map(|step| step.repeats.count)
        .sum();
    let between = story.facts.of_kind(kind::TRANSACTION).any(|t| {
        t.first().map(|m| m.at) > begun && t.first().map(|m| m.at) < heir.first().map(|m| m.at)
    });
    let why = if between {
        " after a mode config exchange in between"
    } else {
        ""
    };
    let mut finding = Finding::info(
        &QUICK_MODE_SUPERSEDED,
        Stage::IpsecChild,
        Basis::Seen,
        say!(
            "The quick mode with message ID {:08x} was given up{why}, and the one with message ID {:08x} made the tunnel; {repeats} retransmission(s) of the old one are harmless.",
            exchange.id, heir.id
        ),
    )
    .frame(first.at, say!("{} of message ID {:08x}", first.message, exchange.id));
    for message in exchange.messages.iter().skip(1) {
        if let Some(step) = story.step(message) {
            finding = finding.step(step, " of the exchange that was given up");
        }
    }
    for stamp in &first.repeats.stamps {
        finding = finding.frame(*stamp, say!("{} again", first.message));
    }
    for message in &heir.messages {
        if let Some(step) = story.step(message) {
            finding = finding.frame(
                step.at,
                say!(
                    "{} of message ID {:08x}, which succeeds",
                    step.message,
                    heir.id
                ),
            );
        }
    }
    findings.push(finding);
}
