//! Which stands first: what one capture told, or what several prove.

use super::{WEAK, is_trouble};
use crate::diagnose::{Confidence, Finding, Outcome, Severity, Verdict};

/// What one capture calls the cause although it is only the effect of what several tell.
const EFFECTS: &[(&str, &[&str])] = &[
    (
        "fragment-lost",
        &["dtls-mtu", "pmtu-blackhole", "retransmission-storm"],
    ),
    (
        "pmtu-blackhole",
        &["dtls-mtu", "tls-hello-rejected", "retransmission-storm"],
    ),
    (
        "nat-mapping-changed",
        &[
            "dpd-timeout",
            "dtls-missing",
            "peer-deleted",
            "rekey-failed",
            "retransmission-storm",
        ],
    ),
    (
        "tcp-reset",
        &[
            "tls-hello-rejected",
            "gateway-limit",
            "cert-rejected",
            "login-failed",
            "peer-deleted",
            "dpd-timeout",
        ],
    ),
    (
        "response-lost",
        &["dtls-missing", "retransmission-storm", "ppp-lcp-loop"],
    ),
    (
        "request-never-arrived",
        &["retransmission-storm", "ppp-lcp-loop"],
    ),
    (
        "payload-altered",
        &[
            "auth-failed",
            "psk-mismatch",
            "malformed-message",
            "eap-failed",
            "child-refused",
            "tls-alert-bad-record-mac",
            "tls-alert-decrypt-error",
            "tls-alert-decode-error",
            "replay-drops",
            "dpd-timeout",
        ],
    ),
];

/// Causes that stay even where one of their messages is proven to be lost: they say what the
/// loss came to, or what made it.
const FIRM: &[&str] = &[
    "dpd-timeout",
    "dtls-missing",
    "dtls-mtu",
    "port-unreachable",
    "admin-prohibited",
    "pmtu-blackhole",
    "frag-needed-ignored",
    "mss-clamp-wrong",
    "clients-behind-same-nat",
    "nat-mapping-changed",
    "nat-port-split",
    "dns-no-answer",
    "dns-nxdomain",
];

/// Whether what several points prove stands before what one capture made of it.
pub(super) fn outweighs(finding: &Finding, verdict: &Verdict) -> bool {
    let Some(single) = verdict.cause.filter(|code| *code != finding.cause.code) else {
        return false;
    };
    let effect = EFFECTS
        .iter()
        .any(|(code, effects)| *code == finding.cause.code && effects.contains(&single));
    let proven = finding.confidence == Confidence::Certain
        && finding.severity != Severity::Info
        && finding.evidence.len() >= 2;
    let inferred = verdict.confidence < Confidence::Certain && !FIRM.contains(&single);
    effect && finding.confidence > Confidence::Possible || proven && inferred
}

/// Puts what several points tell before what one told.
pub(super) fn prime(verdict: &mut Verdict, mut finding: Finding) {
    let known = verdict
        .findings
        .iter()
        .position(|f| f.cause.code == finding.cause.code);
    if let Some(index) = known {
        let before = verdict.findings.remove(index);
        finding.confidence = finding.confidence.max(before.confidence);
        finding.outcome = before.outcome;
        finding.severity = before.severity;
        finding.stage = before.stage;
        for evidence in before.evidence {
            finding = finding.frame(evidence.at, evidence.what);
        }
        finding.remedies.extend(before.remedies);
    } else if is_trouble(verdict) {
        // How far it came one capture knows as well.
        finding.outcome = verdict.outcome;
        finding.severity = match verdict.outcome {
            Outcome::Degraded => Severity::Warning,
            _ => Severity::Error,
        };
    }
    if finding.outcome == Outcome::Incomplete {
        finding.outcome = Outcome::Failed;
    }
    if finding.severity == Severity::Info {
        finding.severity = Severity::Error;
    }
    let rank = |f: &Finding| (f.severity, std::cmp::Reverse(f.confidence), f.stage);
    // What one capture could not decide is decided now.
    let overruled = verdict.cause;
    for other in &mut verdict.findings {
        let code = other.cause.code;
        let decided = WEAK.contains(&code) || overruled == Some(code);
        if decided || rank(other) < rank(&finding) {
            other.severity = Severity::Info;
        }
    }
    verdict.outcome = finding.outcome;
    verdict.cause = Some(finding.cause.code);
    verdict.confidence = finding.confidence;
    verdict.stage = finding.stage;
    verdict.findings.insert(0, finding);
    verdict.findings.sort_by_key(rank);
}

/// Puts what several points tell behind what one told: it makes that surer, or is worth
/// knowing.
pub(super) fn beside(verdict: &mut Verdict, mut finding: Finding, alone: bool) {
    let same = verdict
        .findings
        .iter_mut()
        .find(|f| f.cause.code == finding.cause.code);
    if let Some(same) = same {
        // Two views of the same fault.
        same.confidence = same.confidence.max(finding.confidence);
        if verdict.cause == Some(finding.cause.code) {
            verdict.confidence = verdict.confidence.max(finding.confidence);
        }
        same.summary.push(' ');
        same.summary.push_str(&finding.summary);
        for evidence in finding.evidence {
            let known = same.evidence.iter().any(|e| e.at == evidence.at);
            if !known {
                same.evidence.push(evidence);
            }
        }
        return;
    }
    let fact = ["payload-altered", "tcp-reset", "nat-mapping-changed"];
    if alone || fact.contains(&finding.cause.code) {
        finding.severity = Severity::Info;
        verdict.findings.push(finding);
    }
}
