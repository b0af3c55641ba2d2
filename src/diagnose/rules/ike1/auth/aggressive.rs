//! Aggressive mode: three messages, of which the second proves the responder and the third the
//! initiator.

use super::super::super::auth::{AUTH_FAILED, fitting};
use super::super::super::natt::NAT_T_BLOCKED;
use super::super::super::reachability::enough;
use super::super::{settled, step, tell};
use super::{CERTIFICATES, moved};
use crate::diagnose::ike1::Story;
use crate::diagnose::{Basis, Confidence, Finding, Findings, Stage, say};
use crate::track::ike1::{Message, Mode};
use crate::track::session::Step;

/// Three messages: the second proves the responder, the third the initiator.
pub(super) fn check(story: &Story<'_>, findings: &mut Findings) {
    let facts = story.facts;
    let Some(second) = facts.message(2) else {
        return;
    };
    let Some(answered) = story.step(second) else {
        return;
    };
    match facts.message(3) {
        None => responder_refused(story, answered, findings),
        Some(third) => initiator_refused(story, third, answered, findings),
    }
}

const AGGRESSIVE_PSK: &[&str] = &["psk-mismatch", "id-mismatch"];

fn with_candidates(story: &Story<'_>, finding: Finding) -> Finding {
    if story.has_psk() {
        finding.candidates(AGGRESSIVE_PSK)
    } else {
        finding.candidates(CERTIFICATES)
    }
}

/// The initiator did not go on after the second message, which proves the responder.
fn responder_refused(story: &Story<'_>, answered: &Step, findings: &mut Findings) {
    let initiator = story.initiator();
    let left = story
        .informationals(initiator, answered.at)
        .next()
        .and_then(|message| story.step(message));
    let closed = story.session.icmp.iter().find(|i| {
        i.about == initiator.other() && i.is_port_unreachable() && i.at.follows(answered.at)
    });
    let asked_again = step(story, story.facts.message(1))
        .is_some_and(|first| first.repeats.count > 0 && first.last() > answered.at);
    if asked_again || (left.is_none() && closed.is_none() && answered.repeats.count == 0) {
        return;
    }
    let how = match (left, closed) {
        (Some(left), _) => say!(
            "left with an informational message after {}",
            left.at.time - answered.at.time
        ),
        (None, Some(_)) => "closed its port".to_string(),
        (None, None) => say!("kept silent while it was sent {} times", answered.sent()),
    };
    let mut finding = Finding::failure(
        &AUTH_FAILED,
        Stage::IkeAuthentication,
        Basis::Inferred,
        say!(
            "The {} answered with {}, which holds its hash; the {} {how} instead of sending the third message: it does not accept what the {} proved.",
            story.responder().word(),
            answered.message,
            initiator.word(),
            story.responder().word()
        ),
    );
    if let Some(first) = step(story, story.facts.message(1)) {
        finding = finding.frame(first.at, first.message.to_string());
    }
    finding = finding.step(answered, "");
    if let Some(left) = left {
        finding = finding.step(left, ": the initiator gives up");
    }
    if let Some(icmp) = closed {
        finding = finding.frame(
            icmp.at,
            say!("ICMP port unreachable from {}", icmp.reporter),
        );
        for stamp in &icmp.repeats.stamps {
            finding = finding.frame(*stamp, "ICMP port unreachable again");
        }
    }
    finding = with_candidates(story, finding).exclude(
        "proposal-mismatch",
        "the gateway chose a proposal in its answer",
    );
    // A client that refuses says so, or closes its port; but it closes this port as well when it
    // goes on at another one, where perhaps nothing passes. One that says nothing may also have
    // heard nothing.
    let near = story.is_near(initiator);
    finding = fitting(finding);
    if left.is_none() && !near {
        finding = finding
            .sure(Confidence::Possible)
            .candidates(if closed.is_some() {
                &["nat-t-blocked"]
            } else {
                &["nat-t-blocked", "response-lost"]
            })
            .needs("a capture at the client: does it send the third message, perhaps to UDP 4500?");
    }
    let silent = left.is_none() && closed.is_none();
    let strong = !silent || answered.repeats.count >= 2 && near;
    findings.push(if strong {
        finding
    } else {
        finding.inconclusive()
    });
}

/// The initiator proved itself, and nothing that follows shows that it was accepted.
fn initiator_refused(story: &Story<'_>, third: &Message, answered: &Step, findings: &mut Findings) {
    let Some(sent) = story.step(third) else {
        return;
    };
    let responder = story.responder();
    let answers: Vec<&Message> = story.informationals(responder, third.at).collect();
    let begged = answered
        .repeats
        .stamps
        .iter()
        .filter(|stamp| stamp.time > third.at.time)
        .count();
    if story.facts.renews.is_some()
        || (answers.is_empty() && begged == 0 && sent.repeats.count == 0)
    {
        return;
    }
    let arrived = story.is_near(responder);
    let blocked = answers.is_empty() && moved(story, sent) && !arrived;
    let (cause, stage) = if blocked {
        (&NAT_T_BLOCKED, Stage::IkeNatTraversal)
    } else {
        (&AUTH_FAILED, Stage::IkeAuthentication)
    };
    let how = match (answers.is_empty(), begged) {
        (false, _) => "answered it with an informational message".to_string(),
        (true, 0) => "did not answer".to_string(),
        (true, n) => say!("sent its second message {n} time(s) again"),
    };
    let mut finding = Finding::failure(
        cause,
        stage,
        if answers.is_empty() {
            Basis::Absence { of: responder }
        } else {
            Basis::Inferred
        },
        say!(
            "The {} was sent {} time(s), and the {} {how}.",
            sent.message,
            sent.sent(),
            responder.word()
        ),
    )
    .sure(Confidence::Likely)
    .step(sent, "");
    for message in answers {
        if let Some(step) = story.step(message) {
            finding = finding.step(step, " after the third message");
        }
    }
    for stamp in answered
        .repeats
        .stamps
        .iter()
        .filter(|s| s.time > third.at.time)
    {
        finding = finding.frame(*stamp, "the second message again");
    }
    finding = fitting(with_candidates(story, finding));
    if !blocked {
        finding.candidates.push("nat-t-blocked");
        if arrived || !moved(story, sent) {
            finding.candidates.retain(|code| *code != "nat-t-blocked");
        }
    }
    findings.push(tell(
        story,
        finding,
        enough(sent, story.session) || begged >= 2 || settled(story.session),
    ));
}

/// The client went on to another port after the second message, and from there nothing ever came:
/// not the third message is refused, it does not get there. `true` where that is so.
pub(in crate::diagnose::rules::ike1) fn blocked(
    story: &Story<'_>,
    asked: &Step,
    findings: &mut Findings,
) -> bool {
    let (Some(answered), Some(third)) = (
        step(story, story.facts.message(2)),
        step(story, story.facts.message(3)),
    ) else {
        return false;
    };
    let responder = story.responder();
    let aggressive = matches!(story.facts.mode, Mode::Aggressive);
    let heard = story.heard_after(responder, third.at)
        && story
            .session
            .steps
            .iter()
            .any(|s| s.from == responder && s.flow.source.1 == asked.flow.destination.1);
    if !aggressive
        || asked.from == responder
        || heard
        || !moved(story, asked)
        || !moved(story, third)
        || story.is_near(responder)
    {
        return false;
    }
    let begged = answered.repeats.stamps.iter().copied();
    let begged: Vec<_> = begged.filter(|stamp| stamp.time > third.at.time).collect();
    let mut finding = Finding::failure(
        &NAT_T_BLOCKED,
        Stage::IkeNatTraversal,
        Basis::Absence { of: responder },
        say!(
            "On UDP port {} the {} answered; the {} and {} went to port {}, the latter {} times over {}, and nothing came back from there{}.",
            answered.flow.source.1,
            responder.word(),
            third.message,
            asked.message,
            asked.flow.destination.1,
            asked.sent(),
            asked.spread(),
            if begged.is_empty() {
                String::new()
            } else {
                say!(", while the second message came {} time(s) again: the third did not arrive", begged.len())
            }
        ),
    )
    .sure(Confidence::Likely)
    .frame(answered.at, say!("{} on port {}", answered.message, answered.flow.source.1))
    .step(third, " on the new port, unanswered")
    .step(asked, " on the new port, unanswered")
    .candidates(&["request-never-arrived", "fragment-lost"]);
    for stamp in begged {
        finding = finding.frame(stamp, "the second message again");
    }
    findings.push(tell(story, finding, enough(asked, story.session)));
    true
}
