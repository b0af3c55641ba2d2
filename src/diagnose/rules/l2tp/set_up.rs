//! A tunnel in which nothing worked yet: what kept it from coming up?

use vpnscope_dissectors::l2tp::{CallResult, ErrorCode, MessageType, StopResult};

use super::{
    L2TP_CDN, L2TP_NO_RESPONSE, L2TP_STOPCCN, L2TP_TUNNEL_AUTH_FAILED, closed_by, step_of,
};
use crate::diagnose::rules::reachability::{self, RESPONSE_LOST, enough};
use crate::diagnose::{Basis, Confidence, Finding, Findings, Stage, say};
use crate::time::Span;
use crate::track::l2tp::{Closing, L2tp};
use crate::track::session::{Session, Side};

/// Questions about a tunnel in which nothing works yet, the most telling first.
pub(super) fn set_up(session: &Session, facts: &L2tp, findings: &mut Findings) {
    if reachability::icmp(session, findings) {
        return;
    }
    let finding = unanswered(session, facts)
        .or_else(|| answers_lost(session, facts))
        .or_else(|| tunnel_secret(session, facts))
        .or_else(|| not_acknowledged(session, facts, Side::Client))
        .or_else(|| stopped(session, facts))
        .or_else(|| disconnected(session, facts))
        .or_else(|| not_acknowledged(session, facts, Side::Gateway));
    if let Some(finding) = finding {
        findings.push(finding);
    }
}

/// The request for a tunnel, and not a word from the gateway.
fn unanswered(session: &Session, facts: &L2tp) -> Option<Finding> {
    if session.vantage.frames.gateway > 0 || session.vantage.started_late {
        return None;
    }
    let request = facts.of_type(MessageType::SCCRQ).next()?;
    let step = step_of(session, request)?;
    let finding = Finding::failure(
        &L2TP_NO_RESPONSE,
        Stage::L2tpControl,
        Basis::Absence { of: Side::Gateway },
        say!(
            "The SCCRQ was sent {} times over {} to {}, and nothing came back.",
            step.sent(),
            step.spread(),
            session.gateway.ip
        ),
    )
    .step(step, "")
    .candidates(&[
        "request-never-arrived",
        "response-lost",
        "l2tp-without-ipsec",
    ]);
    Some(if enough(step, session) {
        finding
    } else {
        finding
            .inconclusive()
            .needs("a longer capture: it ends before the sender gave up")
    })
}

/// The client goes on with a message that was answered.
fn answers_lost(session: &Session, facts: &L2tp) -> Option<Finding> {
    let pairs = [
        (MessageType::SCCRQ, MessageType::SCCRP, MessageType::SCCCN),
        (MessageType::ICRQ, MessageType::ICRP, MessageType::ICCN),
    ];
    let lost = pairs.into_iter().find_map(|(ask, answer, next)| {
        let asked = step_of(session, facts.of_type(ask).next()?)?;
        let answered = step_of(session, facts.of_type(answer).next()?)?;
        if facts.of_type(next).next().is_some() {
            return None;
        }
        reachability::lost(asked, answered, Stage::L2tpControl)
    });
    lost.or_else(|| {
        // The server repeats its answer, and the client never goes on.
        let (ask, answer, _) = pairs.into_iter().find(|(_, answer, next)| {
            facts.of_type(*answer).next().is_some() && facts.of_type(*next).next().is_none()
        })?;
        let answered = step_of(session, facts.of_type(answer).next()?)?;
        if answered.repeats.count < 3 {
            return None;
        }
        let finding = Finding::failure(
            &RESPONSE_LOST,
            Stage::L2tpControl,
            Basis::Absence { of: Side::Client },
            say!(
                "The gateway answered the {ask} and repeated its {answer} {} times, and the client never went on.",
                answered.repeats.count
            ),
        )
        .candidates(&["l2tp-tunnel-auth-failed"])
        .step(answered, "");
        Some(finding)
    })
}

/// A control message of `side` that was repeated and never acknowledged.
fn not_acknowledged(session: &Session, facts: &L2tp, side: Side) -> Option<Finding> {
    if session.vantage.started_late {
        return None;
    }
    let control = facts.control.iter().find(|control| {
        control.from == side
            && control.acked.is_none()
            && control.message_type != MessageType::STOP_CCN
            && step_of(session, control).is_some_and(|step| step.repeats.count >= 3)
    })?;
    let step = step_of(session, control)?;
    let peer = side.other();
    let cause = if peer == Side::Gateway {
        &L2TP_NO_RESPONSE
    } else {
        &RESPONSE_LOST
    };
    let finding = Finding::failure(
        cause,
        Stage::L2tpControl,
        Basis::Absence { of: peer },
        say!(
            "The {}'s {} was sent {} times over {} and never acknowledged.",
            side.word(),
            control.message_type,
            step.sent(),
            step.spread()
        ),
    )
    .step(step, "");
    Some(if peer == Side::Gateway {
        finding.candidates(&["response-lost"])
    } else {
        finding
    })
}

/// Whether a closing speaks of authentication.
fn speaks_of_authentication(closing: &Closing) -> bool {
    let text = closing
        .message
        .as_deref()
        .unwrap_or("")
        .to_ascii_lowercase();
    ["authent", "challenge", "secret"]
        .iter()
        .any(|word| text.contains(word))
}

/// StopCCN in answer to a challenge, its answer or the lack of one.
fn tunnel_secret(session: &Session, facts: &L2tp) -> Option<Finding> {
    let stop = facts.stop.as_ref()?;
    if !facts.calls.is_empty() {
        return None;
    }
    let challenged = [facts.challenge.client, facts.challenge.gateway];
    let asked = challenged.iter().any(|challenge| challenge.asked.is_some());
    let not_authorized = stop.result == Some(StopResult::NOT_AUTHORIZED.0);
    let said = speaks_of_authentication(stop);
    // Right after the peer's proof, without a word: the proof did not please.
    let proof = facts.challenge.of(stop.from.other()).answered;
    let at_once = proof.is_some_and(|proof| {
        let wait = stop.at.time - proof.time;
        wait.0 >= 0 && wait < Span::from_secs(2)
    });
    if !(said || asked && (not_authorized || at_once)) {
        return None;
    }
    let sure = said || not_authorized;
    let mut finding = Finding::failure(
        &L2TP_TUNNEL_AUTH_FAILED,
        Stage::L2tpControl,
        if sure { Basis::Seen } else { Basis::Inferred },
        say!(
            "The {} closed the tunnel during its authentication: {}.",
            stop.from.word(),
            words(stop, true)
        ),
    );
    if let Some(proof) = proof {
        finding = finding.frame(proof, "answer to the challenge");
    }
    for challenge in challenged {
        if let Some(at) = challenge.asked {
            finding = finding.frame(at, "challenge");
        }
    }
    Some(closed_by(finding, session, stop))
}

/// Result, error and text of a closing.
fn words(closing: &Closing, is_stop: bool) -> String {
    let result = closing.result.map_or_else(
        || "no result code".to_string(),
        |code| {
            let name = if is_stop {
                StopResult(code).to_string()
            } else {
                CallResult(code).to_string()
            };
            say!("result {code} ({name})")
        },
    );
    let error = closing
        .error
        .filter(|code| *code != 0)
        .map_or_else(String::new, |code| {
            say!(", error {code} ({})", ErrorCode(code))
        });
    let text = closing
        .message
        .as_ref()
        .map_or_else(String::new, |text| say!(", \"{text}\""));
    say!("{result}{error}{text}")
}

/// StopCCN before anything worked.
fn stopped(session: &Session, facts: &L2tp) -> Option<Finding> {
    let stop = facts.stop.as_ref()?;
    if let Some(call) = facts
        .main_call()
        .and_then(|call| call.disconnect.as_ref())
        .filter(|call| stop.at.follows(call.at))
    {
        // The call ended first: the tunnel goes with it.
        return Some(call_ended(session, call));
    }
    let finding = Finding::failure(
        &L2TP_STOPCCN,
        Stage::L2tpControl,
        Basis::Seen,
        say!(
            "The {} closed the tunnel before it was of use: {}.",
            stop.from.word(),
            words(stop, true)
        ),
    );
    // Somebody asked again before: the end may be the consequence of what got lost.
    let repeated = session.steps.iter().any(|step| step.repeats.count > 0);
    let finding = if repeated {
        finding.sure(Confidence::Likely)
    } else {
        finding
    };
    Some(cut(session, closed_by(finding, session, stop)))
}

/// Of PPP the first octets tell nothing: where frames were cut, a link may have been up.
fn cut(session: &Session, finding: Finding) -> Finding {
    if session.vantage.truncated == 0 {
        return finding;
    }
    finding
        .inconclusive()
        .needs("a capture of whole frames: snaplen cut those in which PPP tells how it went")
}

/// CDN before PPP got anywhere.
fn disconnected(session: &Session, facts: &L2tp) -> Option<Finding> {
    let call = facts.main_call()?;
    let closing = call.disconnect.as_ref()?;
    let finding = call_ended(session, closing);
    // PPP had begun: what ended it may be in a packet of it that is not here, and none of them
    // has a number that would tell.
    Some(if call.ppp.is_seen() {
        finding.sure(Confidence::Likely)
    } else {
        finding
    })
}

fn call_ended(session: &Session, closing: &Closing) -> Finding {
    let finding = Finding::failure(
        &L2TP_CDN,
        Stage::L2tpControl,
        Basis::Seen,
        say!(
            "The {} ended the call before PPP was up: {}.",
            closing.from.word(),
            words(closing, false)
        ),
    );
    cut(session, closed_by(finding, session, closing))
}
