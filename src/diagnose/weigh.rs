//! Lowers or withdraws what the vantage point cannot carry. See `docs/confidence.md`.

use super::{Basis, Confidence, Context, Finding, Outcome, Severity, say};
use crate::time::Span;
use crate::track::ike2::Message;
use crate::track::session::{Session, Side};
use crate::track::tls::Connection;

/// Causes whose message stands in clear, but is contradicted by another one just as short that
/// the capture may lack. They are certain only where the rule calls them proven: where the
/// end of the stream says that there was nothing else.
const CONTRADICTABLE: &[&str] = &[
    // "No address" of one record type is contradicted by the answer for another; that the name
    // does not exist holds for all.
    "dns-nxdomain",
    // A refusal may be what is left of a tunnel whose gateway died before.
    "tcp-refused",
    // Both follow an answer of the gateway as well as none; numbers prove that there was none.
    "tcp-reset",
    "tls-hello-rejected",
    // What is wrong stands in the message before it: another suite, an empty certificate.
    "dtls-alert",
    "tls-alert-handshake-failure",
    // Has no name: what it answers is all that tells.
    "tls-alert-general-error",
    // Without the ServerHello nobody sees that it is about a pre-shared key.
    "tls-alert-bad-record-mac",
    "tls-alert-decrypt-error",
];

/// How long an answer is waited for at most.
const ANSWERED_WITHIN: Span = Span::from_secs(60);

/// Applies the traps of the capture to every finding.
pub(super) fn weigh(mut list: Vec<Finding>, session: &Session, context: &Context) -> Vec<Finding> {
    // Of a connection that shows every octet nothing is missing that could contradict.
    let whole = session.tls().is_some_and(|facts| {
        let mut all = facts.connections.iter();
        !facts.connections.is_empty() && all.all(Connection::is_whole)
    });
    for finding in &mut list {
        if finding.severity == Severity::Info {
            continue;
        }
        match finding.basis {
            Basis::Seen | Basis::Proven => {}
            Basis::Inferred => finding.confidence = finding.confidence.min(Confidence::Likely),
            Basis::Absence { of } => absence(finding, of, session, context),
        }
        traps(finding, session, context);
        let last_word = ["tls-hello-rejected", "tcp-reset"].contains(&finding.cause.code) && whole;
        let proven = last_word || finding.basis == Basis::Proven;
        if CONTRADICTABLE.contains(&finding.cause.code) && !proven {
            finding.confidence = finding.confidence.min(Confidence::Likely);
        }
        told(finding, session);
        if session.vantage.started_late && finding.outcome != Outcome::Incomplete {
            finding.outcome = Outcome::Incomplete;
            finding.confidence = Confidence::Possible;
            note(
                finding,
                "a capture from before the first message of this session",
            );
        }
    }
    list
}

/// The user says where the capture stands: what was seen there had come so far.
fn told(finding: &mut Finding, session: &Session) {
    let Some(told) = session.vantage.told else {
        return;
    };
    let arrived = session.vantage.frames.client > 0 && told.is_gateways();
    if finding.cause.code == "no-response" && arrived {
        finding
            .candidates
            .retain(|code| *code != "request-never-arrived");
        finding.excluded.push(super::Excluded {
            code: "request-never-arrived",
            because: say!("the request was seen at the {}", told.word()),
        });
        finding.needs = Some("the gateway's log: the request reached it".to_string());
    }
}

/// Nothing is certain where the capture is known to lack something: what is missing may have
/// told of an earlier cause.
fn traps(finding: &mut Finding, session: &Session, context: &Context) {
    let vantage = &session.vantage;
    let gaps = vantage.unseen.client + vantage.unseen.gateway > 0;
    let dropped = lost(session, context).is_some();
    let evicted = vantage.ending == crate::track::session::Ending::Evicted;
    if finding.confidence != Confidence::Certain {
        return;
    }
    // Of TCP one knows octet for octet what is missing.
    let torn = session
        .tls()
        .is_some_and(|facts| facts.connections.iter().any(Connection::lacks_octets));
    let gaps = gaps || torn;
    if gaps || dropped || evicted {
        finding.confidence = Confidence::Likely;
        note(
            finding,
            "a capture without gaps: messages of this session are missing from this one",
        );
    } else if vantage.truncated > 0 {
        finding.confidence = Confidence::Likely;
        note(
            finding,
            "a capture of whole frames: snaplen cut messages of this session",
        );
    }
}

/// What did not come may have come unseen.
fn absence(finding: &mut Finding, of: Side, session: &Session, context: &Context) {
    let vantage = &session.vantage;
    if vantage.one_direction() || *vantage.unseen.of(of) > 0 && *vantage.frames.of(of) == 0 {
        finding.outcome = Outcome::Incomplete;
        finding.confidence = Confidence::Possible;
        let side = of.word();
        note(
            finding,
            &say!(
                "a capture that sees both directions: the {side}'s is missing here, although later messages prove that it answered"
            ),
        );
        return;
    }
    let mut ceiling = Confidence::Certain;
    if *vantage.unseen.of(of) > 0 || vantage.unseen.client + vantage.unseen.gateway > 0 {
        ceiling = Confidence::Possible;
        note(
            finding,
            "a capture without gaps: messages are missing from this one",
        );
    }
    if let Some(needs) = lost(session, context) {
        ceiling = Confidence::Possible;
        note(finding, needs);
    }
    if answers_missing(session) {
        ceiling = ceiling.min(Confidence::Likely);
        note(
            finding,
            "a capture at the other end at the same time: a request and its answer came not equally often, so messages get lost on the way or in this capture",
        );
    }
    if esp_holes(session) {
        ceiling = Confidence::Possible;
        note(
            finding,
            "a capture without holes: sequence numbers are missing from the ESP that it does show",
        );
    }
    let (ip, peer) = match of {
        Side::Client => (session.client.ip, session.gateway.ip),
        Side::Gateway => (session.gateway.ip, session.client.ip),
    };
    let unheard = *vantage.frames.of(of) == 0 && !context.heard.contains(&ip);
    if unheard && context.deaf.contains(&peer) {
        finding.outcome = Outcome::Incomplete;
        ceiling = Confidence::Possible;
        note(
            finding,
            "a capture that sees both directions: other sessions show that what this end is answered is missing here",
        );
    }
    if unheard {
        // Nothing of that address at all: perhaps the capture sees one direction only.
        ceiling = ceiling.min(Confidence::Likely);
    }
    finding.confidence = finding.confidence.min(ceiling);
}

/// Each copy of a request gets an answer, and none comes without (RFC 7296 §2.1). Where one got
/// fewer, the path or the capture loses messages; where more, the capture does.
fn answers_missing(session: &Session) -> bool {
    let Some(facts) = session.ike2() else {
        return false;
    };
    facts.exchanges.iter().any(|exchange| {
        let sent = |message: &Option<Message>| {
            let step = message.as_ref().and_then(|message| message.step)?;
            Some(session.steps.get(step)?.repeats.count)
        };
        sent(&exchange.request)
            .zip(sent(&exchange.response))
            .is_some_and(|(requests, responses)| requests != responses)
    })
}

/// What would be needed instead, where the capturing host lost frames, or could see none while
/// this session went on.
fn lost(session: &Session, context: &Context) -> Option<&'static str> {
    let capture = context.captures.get(usize::from(session.first.capture()))?;
    if capture.dropped.is_some_and(|dropped| dropped > 0) {
        return Some("a capture without drops: the capturing host lost frames");
    }
    // What answers the last message may be this late.
    let until = session.last.time + ANSWERED_WITHIN;
    capture
        .blind
        .iter()
        .any(|(from, to)| *from <= until && *to >= session.first.time)
        .then_some("a capture without a pause: the interface was down while this session went on")
}

/// More than one packet in ten is missing from what flows: where so much is lost, by the
/// network or by the capture, silence says little.
fn esp_holes(session: &Session) -> bool {
    let (missing, packets) = session.esp.iter().fold((0u64, 0u64), |(m, p), flow| {
        (
            m.saturating_add(flow.missing),
            p.saturating_add(flow.packets),
        )
    });
    missing > 0 && missing.saturating_mul(9) > packets
}

fn note(finding: &mut Finding, needs: &str) {
    if finding.needs.is_none() {
        finding.needs = Some(needs.to_string());
    }
}
