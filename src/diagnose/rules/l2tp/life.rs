//! A tunnel that worked: did it die?

use vpnscope_dissectors::l2tp::MessageType;

use super::{closed_by, step_of};
use crate::diagnose::rules::liveness::DPD_TIMEOUT;
use crate::diagnose::rules::reachability::RESPONSE_LOST;
use crate::diagnose::{Basis, Finding, Findings, Outcome, Stage, say};
use crate::track::l2tp::L2tp;
use crate::track::session::{Session, Side, Stamp};

/// It worked; did it die?
pub(super) fn died(session: &Session, facts: &L2tp, findings: &mut Findings) {
    if session.vantage.started_late {
        return;
    }
    if let Some(finding) = repeated_until_dead(session, facts) {
        findings.push(finding);
        return;
    }
    for side in [Side::Client, Side::Gateway] {
        if let Some(finding) = keepalive_unanswered(facts, side) {
            findings.push(finding);
            return;
        }
    }
}

/// A control message of the set-up that is repeated although the link works: its
/// acknowledgments do not arrive, and the sender will tear the tunnel down.
fn repeated_until_dead(session: &Session, facts: &L2tp) -> Option<Finding> {
    let control = facts.control.iter().find(|control| {
        control.message_type != MessageType::STOP_CCN
            && control.message_type != MessageType::CDN
            && step_of(session, control).is_some_and(|step| step.repeats.count >= 3)
    })?;
    let step = step_of(session, control)?;
    let closing = facts
        .stop
        .as_ref()
        .filter(|stop| stop.from == control.from && stop.at.time > step.last().time);
    let (how, basis) = if control.acked.is_some() {
        ("although it was acknowledged each time", Basis::Seen)
    } else {
        (
            "and no acknowledgment was seen",
            Basis::Absence {
                of: control.from.other(),
            },
        )
    };
    let mut finding = Finding::failure(
        &RESPONSE_LOST,
        Stage::L2tpControl,
        basis,
        say!(
            "The {}'s {} was sent {} times over {}, {how}, while PPP worked{}.",
            control.from.word(),
            control.message_type,
            step.sent(),
            step.spread(),
            if closing.is_some() {
                "; then it closed the tunnel"
            } else {
                ""
            }
        ),
    )
    .candidates(&["l2tp-no-response"])
    .step(step, "");
    if let Some(closing) = closing {
        finding = closed_by(finding, session, closing);
    } else {
        finding.outcome = Outcome::Degraded;
    }
    Some(finding)
}

/// L2TP's or PPP's own keepalive, repeated without an answer to the end.
fn keepalive_unanswered(facts: &L2tp, side: Side) -> Option<Finding> {
    let peer = side.other();
    let heard = facts.data.of(peer).last;
    let after = |at: Stamp| heard.is_none_or(|heard| heard.time < at.time);
    let hello = facts.hello.of(side);
    let by_hello = hello
        .last
        .filter(|(at, _)| !hello.acked && hello.repeats.count >= 3 && after(*at))
        .map(|(at, _)| (at, hello.repeats.last, hello.repeats.count + 1, "HELLO"));
    let echo = facts.main_call().map(|call| *call.ppp.echo.of(side));
    let by_echo = echo
        .filter(|echo| echo.unanswered >= 3)
        .and_then(|echo| Some((echo.since?, echo.last, echo.unanswered, "LCP Echo-Request")))
        .filter(|(at, ..)| after(*at));
    let (at, last, count, what) = by_hello.or(by_echo)?;
    let mut finding = Finding::failure(
        &DPD_TIMEOUT,
        Stage::TunnelData,
        Basis::Absence { of: peer },
        say!(
            "The session worked; then the {} sent {count} {what} without an answer.",
            side.word()
        ),
    )
    .frame(at, say!("{what}, unanswered"));
    if let Some(last) = last {
        finding = finding.frame(last, say!("{what}, still unanswered"));
    }
    Some(finding)
}
