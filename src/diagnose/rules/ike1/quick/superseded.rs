//! Quick modes that were given up for others.

use super::{QUICK_MODE_SUPERSEDED, is_done, step};
use crate::diagnose::ike1::Story;
use crate::diagnose::{Basis, Finding, Findings, Stage, say};
use crate::track::ike1::{Exchange, kind};

/// Whether a later quick mode completed: the earlier one does not matter any more.
pub(super) fn is(all: &[&Exchange], exchange: &Exchange) -> bool {
    let begun = exchange.first().map(|m| m.at);
    all.iter()
        .any(|other| is_done(other) && other.confirmation().map(|m| m.at) > begun)
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
