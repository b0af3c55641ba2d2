//! Did the L2TP server answer, agree, and keep the tunnel?

use vpnscope_dissectors::l2tp::{CallResult, ErrorCode, MessageType, StopResult};

use super::liveness::DPD_TIMEOUT;
use super::reachability::{self, RESPONSE_LOST, enough};
use crate::diagnose::{
    Basis, Confidence, Context, Family, Finding, Findings, Outcome, Progress, Stage, cause,
};
use crate::time::Span;
use crate::track::l2tp::{Closing, Control, L2tp};
use crate::track::session::{Session, Side, Stamp};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "l2tp",
    causes: &[
        &L2TP_NO_RESPONSE,
        &L2TP_STOPCCN,
        &L2TP_CDN,
        &L2TP_TUNNEL_AUTH_FAILED,
        &L2TP_WITHOUT_IPSEC,
    ],
    check,
};

cause! {
    /// ## What it means
    /// The L2TP server does not answer: neither the request for a tunnel nor, inside IPsec,
    /// whatever the client sends once IPsec is up.
    ///
    /// ## What is seen
    /// The same control message several times with growing gaps and no answer. Inside IPsec:
    /// ESP packets of one size at such intervals, and none back.
    ///
    /// ## Likely causes
    /// - The L2TP daemon does not run, or does not listen on UDP 1701.
    /// - A firewall drops 1701 outside IPsec and the packets are not taken as from IPsec.
    /// - The answers are lost, or ESP passes in one direction only.
    ///
    /// ## What to check on each side
    /// - Server: is the daemon listening; do the requests reach it (inside capture)?
    /// - Server's firewall: accept UDP 1701 when it comes out of IPsec.
    ///
    /// ## When this is wrong
    /// When the capture sees one direction only.
    pub(super) static L2TP_NO_RESPONSE = {
        code: "l2tp-no-response",
        title: "the L2TP server does not answer",
        remedies: [
            "Check that the L2TP daemon runs and listens on UDP 1701 of this address.",
            "Let the firewall accept UDP 1701 from decrypted IPsec traffic.",
            "Capture on the server, on the wire and inside, at the same time.",
        ],
        needs: "a capture at the server at the same time",
    }
}

cause! {
    /// ## What it means
    /// One side closes the L2TP tunnel before it was of use, and says why.
    ///
    /// ## What is seen
    /// StopCCN with its result code, error code and text.
    ///
    /// ## Likely causes
    /// - Result 2 with an error code: the peer names its trouble, such as lack of resources.
    /// - Result 4: not authorised; 5: another version; 6: shutting down.
    ///
    /// ## What to check on each side
    /// - The log of the side that sent it, at that second.
    ///
    /// ## When this is wrong
    /// A StopCCN after a working session is its normal end.
    pub(super) static L2TP_STOPCCN = {
        code: "l2tp-stopccn",
        title: "the L2TP tunnel was refused or closed",
        remedies: ["Read the log of the side that sent the StopCCN; its result and error code name the reason."],
    }
}

cause! {
    /// ## What it means
    /// The tunnel stands, and the call inside it is refused or ended before PPP got anywhere.
    ///
    /// ## What is seen
    /// CDN with its result code, error code and text, soon after ICRQ or ICCN.
    ///
    /// ## Likely causes
    /// - The server could not start PPP: no `/dev/ppp`, no kernel module, a bad options file.
    /// - No free session or port.
    ///
    /// ## What to check on each side
    /// - Server: does its PPP daemon start, and with what status does it end?
    ///
    /// ## When this is wrong
    /// A CDN after a working session, or after a refused login, is its normal end.
    pub(super) static L2TP_CDN = {
        code: "l2tp-cdn",
        title: "the call in the L2TP tunnel was refused or ended at once",
        remedies: [
            "Server: look why PPP does not start: /dev/ppp, kernel modules, options file, the PPP daemon's log.",
            "Server: raise the number of sessions if the codes speak of resources.",
        ],
    }
}

cause! {
    /// ## What it means
    /// The tunnel's own shared secret differs on the two sides, apart from any user's
    /// password.
    ///
    /// ## What is seen
    /// A challenge in SCCRQ or SCCRP, and then StopCCN (result 4, or a text about
    /// authentication) instead of the next message.
    ///
    /// ## Likely causes
    /// - Different secrets, or a secret stored for another host name.
    /// - Only one side has tunnel authentication switched on.
    ///
    /// ## What to check on each side
    /// - The secret and the host names in SCCRQ and SCCRP.
    ///
    /// ## When this is wrong
    /// When the StopCCN has another reason and the challenge is only its neighbour.
    pub(super) static L2TP_TUNNEL_AUTH_FAILED = {
        code: "l2tp-tunnel-auth-failed",
        title: "the L2TP tunnel's shared secret differs",
        remedies: [
            "Set the same tunnel secret for this host name on both sides, or switch tunnel authentication off on both.",
        ],
    }
}

cause! {
    /// ## What it means
    /// L2TP runs in clear, without IPsec around it: whoever is on the path reads logins and
    /// data. Where the gateway expects IPsec it drops such packets.
    ///
    /// ## What is seen
    /// L2TP control messages on UDP 1701 in clear, and no IKE between the two addresses.
    ///
    /// ## Likely causes
    /// - The profile has no IPsec (Windows: `ProhibitIpSec` is 1, no pre-shared key set).
    /// - A line between two providers, where plain L2TP is meant.
    ///
    /// ## What to check on each side
    /// - Client: is IPsec part of the profile, and did its IKE service start?
    /// - Gateway: does it accept 1701 outside IPsec? It should not.
    ///
    /// ## When this is wrong
    /// When the capture was taken after decryption, or plain L2TP is intended.
    pub(super) static L2TP_WITHOUT_IPSEC = {
        code: "l2tp-without-ipsec",
        title: "L2TP runs in clear, without IPsec",
        remedies: [
            "Client: put IPsec back into the profile (Windows: ProhibitIpSec = 0, then restart).",
            "Gateway: accept UDP 1701 only inside IPsec, so that this fails visibly.",
        ],
        needs: "a capture that starts before the client's first packet, with UDP 500 and 4500",
    }
}

/// How far the session came.
pub(super) fn progress(session: &Session) -> Progress {
    let Some(facts) = session.l2tp() else {
        return super::UNKNOWN;
    };
    let call = facts.main_call();
    let carried = facts.data.client.packets > 0 && facts.data.gateway.packets > 0;
    let up = call.is_some_and(|call| {
        call.ppp.is_up() || facts.version == 3 && call.connected.is_some() && carried
    });
    let ppp = call.map(|call| &call.ppp);
    let stage = match ppp {
        Some(ppp) if up => {
            if ppp.carried.client.packets + ppp.carried.gateway.packets > 0 || facts.version == 3 {
                Stage::TunnelData
            } else {
                Stage::PppNetwork
            }
        }
        Some(ppp) if ppp.reached_network() => Stage::PppNetwork,
        Some(ppp) if !ppp.logins.is_empty() => Stage::PppAuthentication,
        Some(ppp) if ppp.is_seen() => Stage::PppLcp,
        _ => Stage::L2tpControl,
    };
    let outcome = if up && !session.vantage.started_late {
        Outcome::Established
    } else {
        Outcome::Incomplete
    };
    let confidence = if outcome == Outcome::Established {
        Confidence::Certain
    } else {
        Confidence::Possible
    };
    Progress {
        stage,
        outcome,
        confidence,
    }
}

fn check(session: &Session, context: &Context, findings: &mut Findings) {
    let Some(facts) = session.l2tp() else { return };
    if !findings.any_trouble() {
        let up = facts.main_call().is_some_and(|call| call.ppp.is_up());
        if up {
            died(session, facts, findings);
        } else {
            set_up(session, facts, findings);
        }
    }
    clear(session, facts, context, findings);
}

/// Questions about a tunnel in which nothing works yet, the most telling first.
fn set_up(session: &Session, facts: &L2tp, findings: &mut Findings) {
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

fn step_of<'a>(session: &'a Session, control: &Control) -> Option<&'a crate::track::session::Step> {
    control.step.and_then(|index| session.step(index))
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
        format!(
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
            format!(
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
        format!(
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
        format!(
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

fn closed_by(finding: Finding, session: &Session, closing: &Closing) -> Finding {
    match closing.step.and_then(|index| session.step(index)) {
        Some(step) => finding.step(step, ""),
        None => finding.frame(closing.at, "end of tunnel or call"),
    }
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
            format!("result {code} ({name})")
        },
    );
    let error = closing
        .error
        .filter(|code| *code != 0)
        .map_or_else(String::new, |code| {
            format!(", error {code} ({})", ErrorCode(code))
        });
    let text = closing
        .message
        .as_ref()
        .map_or_else(String::new, |text| format!(", \"{text}\""));
    format!("{result}{error}{text}")
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
        format!(
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
    Some(closed_by(finding, session, stop))
}

/// CDN before PPP got anywhere.
fn disconnected(session: &Session, facts: &L2tp) -> Option<Finding> {
    let call = facts.main_call()?;
    let closing = call.disconnect.as_ref()?;
    Some(call_ended(session, closing))
}

fn call_ended(session: &Session, closing: &Closing) -> Finding {
    let finding = Finding::failure(
        &L2TP_CDN,
        Stage::L2tpControl,
        Basis::Seen,
        format!(
            "The {} ended the call before PPP was up: {}.",
            closing.from.word(),
            words(closing, false)
        ),
    );
    closed_by(finding, session, closing)
}

/// It worked; did it die?
fn died(session: &Session, facts: &L2tp, findings: &mut Findings) {
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
        format!(
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
        format!(
            "The session worked; then the {} sent {count} {what} without an answer.",
            side.word()
        ),
    )
    .frame(at, format!("{what}, unanswered"));
    if let Some(last) = last {
        finding = finding.frame(last, format!("{what}, still unanswered"));
    }
    Some(finding)
}

/// L2TP in clear, where no IKE was seen between the two.
fn clear(session: &Session, facts: &L2tp, context: &Context, findings: &mut Findings) {
    let pair = (session.client.ip, session.gateway.ip);
    if context.ike.contains(&pair) || facts.version != 2 {
        return;
    }
    let Some(request) = facts.of_type(MessageType::SCCRQ).next() else {
        return;
    };
    let from_windows = facts
        .vendor
        .client
        .as_deref()
        .is_some_and(|vendor| vendor.contains("Microsoft"));
    let unanswered = session.vantage.frames.gateway == 0;
    let summary = format!(
        "L2TP runs in clear between {} and {}, and no IKE was seen between them.",
        pair.0, pair.1
    );
    let stage = Stage::L2tpControl;
    // Windows itself runs L2TP without IPsec only when a registry value tells it to.
    let finding = if from_windows && unanswered {
        findings.withdraw(L2TP_NO_RESPONSE.code);
        let summary = format!(
            "{summary} Windows' own client does so only when IPsec is switched off for L2TP; nothing came back."
        );
        Finding::failure(&L2TP_WITHOUT_IPSEC, stage, Basis::Inferred, summary)
            .candidates(&[L2TP_NO_RESPONSE.code, "request-never-arrived"])
    } else {
        Finding::info(&L2TP_WITHOUT_IPSEC, stage, Basis::Seen, summary)
    };
    findings.push(finding.frame(request.at, "SCCRQ in clear"));
}
