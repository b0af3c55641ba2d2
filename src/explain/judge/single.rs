//! One cause in one session: supported, excluded or left open, and by which frames.

use super::ladder::by_stage;
use super::{frames, primary};
use crate::explain::catalogue::Cause;
use crate::explain::model::CauseVerdict;
use crate::report::{EvidenceReport, FindingReport, Rung, SessionReport};

/// One cause in one session.
pub(super) fn one(cause: &Cause, session: &SessionReport) -> CauseVerdict {
    let mine = session
        .findings
        .iter()
        .find(|finding| is_cause(cause, finding.code));
    if let Some(finding) = mine {
        return verdict(cause, Some(true), finding.summary.clone(), frames(finding));
    }
    for finding in &session.findings {
        let excluded = finding
            .excluded
            .iter()
            .find(|excluded| is_cause(cause, excluded.code));
        if let Some(excluded) = excluded {
            return out(cause, excluded.because.clone(), frames(finding));
        }
    }
    let candidate = session
        .findings
        .iter()
        .filter(|finding| finding.severity != "info")
        .find(|finding| finding.candidates.iter().any(|code| may_be(cause, code)));
    if let Some(finding) = candidate {
        let because = if session.cause == Some(finding.code) {
            format!(
                "possible: from here it looks the same as {}. {}",
                finding.code,
                needs(finding, cause)
            )
        } else {
            format!("possible: {} {}", finding.summary, needs(finding, cause))
        };
        return open(cause, because, frames(finding));
    }
    paired(cause, session)
        .or_else(|| contradicted(cause, session))
        .or_else(|| by_stage(cause, session))
        .or_else(|| by_primary(cause, session))
        .unwrap_or_else(|| {
            open(
                cause,
                format!(
                    "the capture says nothing for or against it; it would show so: {}",
                    cause.shows
                ),
                Vec::new(),
            )
        })
}

/// What was seen that cannot be together with the cause.
fn paired(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    const PAIRS: &[(&str, &str, &str)] = &[
        ("dns-nxdomain", "dns-no-answer", "the resolver did answer"),
        (
            "dns-no-answer",
            "dns-nxdomain",
            "no answer came, so none that denies the name",
        ),
        (
            "client-cert-required",
            "cert-rejected",
            "the client showed no certificate that could be rejected",
        ),
    ];
    let finding = primary(session)?;
    let (_, _, because) = PAIRS
        .iter()
        .find(|(seen, code, _)| *seen == finding.code && *code == cause.code)?;
    Some(out(cause, (*because).to_owned(), frames(finding)))
}

fn needs(finding: &FindingReport, cause: &Cause) -> String {
    let needs = finding.needs.as_deref().unwrap_or(&cause.capture);
    format!("To decide: {needs}.")
}

pub(super) fn rung_evidence(rung: &Rung) -> Vec<EvidenceReport> {
    vec![EvidenceReport {
        capture: rung.capture,
        frame: rung.frame,
        what: format!("{} of the {}", rung.message, rung.from),
    }]
}

fn first_of<'a>(session: &'a SessionReport, from: &str) -> Option<&'a Rung> {
    session.ladder.iter().find(|rung| rung.from == from)
}

/// Single facts that rule a cause out.
fn contradicted(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    let answer = first_of(session, "gateway");
    let asked = first_of(session, "client");
    let against = |because: String, rung: &Rung| Some(out(cause, because, rung_evidence(rung)));
    match cause.code.as_str() {
        "l2tp-no-response" if session.kind != "l2tp" => hidden(cause, session),
        "no-response" if answer.is_none() && session.outcome != "established" => {
            let finding = primary(session)?;
            let because = format!("possible: {}", finding.summary);
            Some(open(cause, because, frames(finding)))
        }
        "no-response" | "request-never-arrived" | "l2tp-no-response" | "tcp-no-answer" => {
            let rung = answer?;
            let because = format!(
                "the gateway answered in frame {}: {}",
                rung.frame, rung.message
            );
            against(because, rung)
        }
        "service-not-started" => {
            let rung = asked?;
            against(
                format!(
                    "the client does send: {} in frame {}",
                    rung.message, rung.frame
                ),
                rung,
            )
        }
        "dns-no-answer" | "dns-nxdomain" if session.kind != "dns" => {
            let rung = asked?;
            against(
                format!(
                    "the client knows the address: frame {} goes there",
                    rung.frame
                ),
                rung,
            )
        }
        "l2tp-without-ipsec" if session.kind.starts_with("ikev") => {
            let rung = asked.or(answer)?;
            against(
                format!("IKE is there: {} in frame {}", rung.message, rung.frame),
                rung,
            )
        }
        "port-unreachable" | "admin-prohibited" => {
            let rung = asked?;
            Some(out(
                cause,
                format!(
                    "no ICMP error quotes the client's packets, such as frame {}",
                    rung.frame
                ),
                rung_evidence(rung),
            ))
        }
        "nat-t-responder-behind-nat" | "nat-t-not-supported" | "nat-t-blocked" => {
            nat(cause, session)
        }
        "fragment-lost" => unfragmented(cause, session),
        "eap-failed" | "radius-timeout" | "ppp-auth-protocol-mismatch" => {
            login(cause, session).or_else(|| hidden(cause, session))
        }
        "cert-name-mismatch" | "cert-missing-eku" => unjudged(cause, session),
        "esp-blocked" | "esp-one-way" => both_ways(cause, session),
        code if code.starts_with("l2tp-") || code.starts_with("ppp-") => hidden(cause, session),
        _ => None,
    }
}

/// What runs inside ESP cannot be seen; but where nothing came back, only silence fits.
fn hidden(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    // L2TP/IPsec runs on IKEv1.
    if session.kind != "ikev1" || session.stage != "esp-data" {
        return None;
    }
    let hint = session.findings.iter().find(|finding| {
        let leaves_open = finding.candidates.iter().any(|code| may_be(cause, code));
        finding.severity == "info" && leaves_open
    });
    if let Some(finding) = hint {
        let because = format!("possible: {}", finding.summary);
        return Some(open(cause, because, frames(finding)));
    }
    let came_back = session
        .counters
        .esp
        .iter()
        .any(|flow| flow.from == "gateway");
    let evidence = primary(session).map(frames).unwrap_or_default();
    if came_back || cause.code == "l2tp-no-response" {
        let because = "possible: it would be inside ESP, which cannot be read without keys";
        return Some(open(cause, because.to_owned(), evidence));
    }
    let because = "no ESP came from the gateway, so nothing inside it was answered";
    Some(out(cause, because.to_owned(), evidence))
}

/// The gateway refused before the client could judge its certificate.
fn unjudged(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    let finding = primary(session).filter(|finding| finding.code == "auth-failed")?;
    let judged = ["cert-untrusted", "cert-name-mismatch", "cert-missing-eku"];
    let by_client = finding.candidates.iter().any(|code| judged.contains(code));
    if by_client {
        return None;
    }
    let frame = finding.evidence.last()?.frame;
    let because = format!(
        "it was the gateway that refused, in frame {frame}: the client never got to judge a certificate"
    );
    Some(out(cause, because, frames(finding)))
}

/// What NAT detection says.
fn nat(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    let nat = session.negotiated.get("nat")?;
    let behind = |who: &str| nat.get(who).and_then(serde_json::Value::as_bool);
    let (client, gateway) = (behind("initiator_behind")?, behind("responder_behind")?);
    let forced = behind("forced").unwrap_or(false);
    let rung = session
        .ladder
        .iter()
        .rev()
        .find(|rung| rung.from == "gateway")?;
    let because = match cause.code.as_str() {
        "nat-t-responder-behind-nat" if !gateway => {
            "NAT detection says that the gateway is not behind NAT"
        }
        "nat-t-not-supported" if client || gateway || forced => {
            "both sides did NAT detection, so both know NAT traversal"
        }
        "nat-t-blocked" if !client && !gateway && !forced => {
            "NAT detection found no NAT, so IKE does not move to port 4500"
        }
        _ => return None,
    };
    Some(out(cause, because.to_owned(), rung_evidence(rung)))
}

/// No message came in fragments.
fn unfragmented(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    let any = session
        .ladder
        .iter()
        .any(|rung| rung.note.contains("fragment"));
    let rung = session.ladder.last().filter(|_| !any)?;
    Some(out(
        cause,
        format!(
            "no message of this session was fragmented, up to frame {}",
            rung.frame
        ),
        rung_evidence(rung),
    ))
}

/// What the login in PPP shows.
fn login(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    let ppp = session.negotiated.get("ppp")?;
    let method = ppp.get("auth").and_then(serde_json::Value::as_str)?;
    let rung = session.ladder.iter().find(|rung| {
        ["PAP ", "CHAP ", "EAP "]
            .iter()
            .any(|protocol| rung.message.starts_with(protocol))
    })?;
    match cause.code.as_str() {
        "eap-failed" if method != "EAP" => Some(out(
            cause,
            format!("the login is {method}, not EAP: frame {}", rung.frame),
            rung_evidence(rung),
        )),
        "ppp-auth-protocol-mismatch" => Some(out(
            cause,
            format!("both sides agreed on {method}: frame {}", rung.frame),
            rung_evidence(rung),
        )),
        "radius-timeout" => {
            let verdict = session.ladder.iter().rev().find(|rung| {
                [
                    "CHAP Success",
                    "CHAP Failure",
                    "PAP Authenticate-Ack",
                    "PAP Authenticate-Nak",
                    "EAP Success",
                    "EAP Failure",
                ]
                .contains(&rung.message.as_str())
            })?;
            Some(out(
                cause,
                format!(
                    "the gateway did give its verdict: {} in frame {}",
                    verdict.message, verdict.frame
                ),
                rung_evidence(verdict),
            ))
        }
        _ => None,
    }
}

/// ESP that flows both ways.
fn both_ways(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    let of = |side: &str| {
        session
            .counters
            .esp
            .iter()
            .filter(|flow| flow.from == side)
            .map(|flow| flow.packets)
            .sum::<u64>()
    };
    let (client, gateway) = (of("client"), of("gateway"));
    if client == 0 || gateway == 0 || session.outcome == "failed" && session.stage == "esp-data" {
        return None;
    }
    let rung = session.ladder.last()?;
    Some(out(
        cause,
        format!("ESP flows both ways: {client} packets of the client, {gateway} of the gateway"),
        rung_evidence(rung),
    ))
}

/// Another cause of the same stage was seen in clear.
fn by_primary(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    let finding = primary(session)?;
    let settled = finding.confidence == "certain" && finding.candidates.is_empty();
    settled.then(|| {
        out(
            cause,
            format!("something else stopped it: {}", finding.summary),
            frames(finding),
        )
    })
}

pub(super) fn verdict(
    cause: &Cause,
    supported: Option<bool>,
    because: String,
    evidence: Vec<EvidenceReport>,
) -> CauseVerdict {
    CauseVerdict {
        code: cause.code.clone(),
        supported,
        because,
        evidence,
    }
}

pub(super) fn open(cause: &Cause, because: String, evidence: Vec<EvidenceReport>) -> CauseVerdict {
    verdict(cause, None, because, evidence)
}

pub(super) fn out(cause: &Cause, because: String, evidence: Vec<EvidenceReport>) -> CauseVerdict {
    verdict(cause, Some(false), because, evidence)
}

/// Whether a finding's code is the cause, or one of its family.
fn is_cause(cause: &Cause, code: &str) -> bool {
    cause.code == code || cause.code == "tls-alert-NAME" && code.starts_with("tls-alert-")
}

/// Whether a candidate of a finding leaves the cause possible: it is the cause, or one of
/// the reasons for which a certificate is rejected.
pub(super) fn may_be(cause: &Cause, candidate: &str) -> bool {
    is_cause(cause, candidate) || cause.code == "cert-rejected" && candidate.starts_with("cert-")
}
