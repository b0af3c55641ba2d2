//! How far a session came, against where a cause stops one.

use super::single::{out, rung_evidence};
use super::{frames, primary};
use crate::explain::catalogue::Cause;
use crate::explain::model::CauseVerdict;
use crate::report::{EvidenceReport, SessionReport};

/// The way of a session, by its kind.
const IKE: &[&str] = &[
    "dns",
    "reachability",
    "ike-negotiation",
    "ike-nat-traversal",
    "ike-authentication",
    "ike-configuration",
    "ipsec-child",
    "esp-data",
    "l2tp-control",
    "ppp-lcp",
    "ppp-authentication",
    "ppp-network",
    "tunnel-data",
];
const L2TP: &[&str] = &[
    "dns",
    "reachability",
    "l2tp-control",
    "ppp-lcp",
    "ppp-authentication",
    "ppp-network",
    "tunnel-data",
];
const TLS: &[&str] = &[
    "dns",
    "tcp-connect",
    "tls-handshake",
    "vpn-login",
    "dtls-handshake",
    "tunnel-data",
];

/// Causes that stand in connections that succeed.
const BENIGN: &[&str] = &[
    "transform-skipped",
    "quick-mode-superseded",
    "weak-algorithms",
    "ikev1-obsolete",
    "pfs-not-exercised",
    "no-ike-fragmentation",
    "keepalive-too-slow",
];

pub(super) fn way(kind: &str) -> &'static [&'static str] {
    match kind {
        "l2tp" | "pppoe" | "radius" => L2TP,
        "tls" | "dtls" | "tls-vpn" | "dns" => TLS,
        _ => IKE,
    }
}

/// How far the session came, against where the cause stops one.
pub(super) fn by_stage(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    // Harmless things stop nothing.
    if BENIGN.contains(&cause.code.as_str()) {
        return None;
    }
    let way = way(session.kind);
    let at = |stage: &str| way.iter().position(|rung| *rung == stage);
    let stop = at(session.stage)?;
    let places: Vec<usize> = cause.stage.iter().filter_map(|stage| at(stage)).collect();
    let (Some(first), Some(last)) = (places.iter().min(), places.iter().max()) else {
        let rung = session.ladder.first()?;
        return Some(out(
            cause,
            format!(
                "it belongs to {}, and this is {}",
                cause.usual_stage(),
                session.kind
            ),
            rung_evidence(rung),
        ));
    };
    let works = session.outcome == "established";
    if *last < stop || works && *last <= stop && session.stage != "esp-data" {
        let past = way.get(*last).copied().unwrap_or_default();
        let proof = beyond(session, way, *last);
        let because = match proof.first() {
            Some(frame) => format!(
                "the session got past {past}: frame {}, {}",
                frame.frame, frame.what
            ),
            None => format!("the session got past {past}"),
        };
        return Some(out(cause, because, proof));
    }
    if *first > stop && session.outcome == "failed" {
        let proof = primary(session).map(frames).filter(|f| !f.is_empty());
        let proof = proof.or_else(|| session.ladder.last().map(rung_evidence))?;
        let frame = proof.first().map_or(0, |frame| frame.frame);
        return Some(out(
            cause,
            format!(
                "the session stopped at {} (frame {frame}) and never came to {}",
                session.stage,
                way.get(*first).copied().unwrap_or_default()
            ),
            proof,
        ));
    }
    None
}

/// Frames of a stage after `last`.
fn beyond(session: &SessionReport, way: &[&str], last: usize) -> Vec<EvidenceReport> {
    // That the client went on proves an answer, except to its very first message.
    let only_answers = last <= 1;
    let later = session.ladder.iter().find(|rung| {
        if only_answers && rung.from != "gateway" {
            return false;
        }
        stage_of(&rung.message)
            .and_then(|stage| way.iter().position(|known| *known == stage))
            .is_some_and(|at| at > last)
    });
    later
        .map(rung_evidence)
        .or_else(|| primary(session).map(frames))
        .or_else(|| session.ladder.last().map(rung_evidence))
        .unwrap_or_default()
}

/// The stage that a message of the ladder belongs to.
fn stage_of(message: &str) -> Option<&'static str> {
    const TABLE: &[(&str, &str)] = &[
        ("IKE_SA_INIT response", "ike-negotiation"),
        ("IKE_SA_INIT", "reachability"),
        ("IKE_AUTH", "ike-authentication"),
        ("CREATE_CHILD_SA", "ipsec-child"),
        ("Main Mode 1", "reachability"),
        ("Main Mode 5", "ike-authentication"),
        ("Main Mode 6", "ike-authentication"),
        ("Main Mode", "ike-negotiation"),
        ("Aggressive Mode 1", "reachability"),
        ("Aggressive Mode 3", "ike-authentication"),
        ("Aggressive", "ike-negotiation"),
        ("Transaction", "ike-configuration"),
        ("Quick Mode", "ipsec-child"),
        ("SCC", "l2tp-control"),
        ("IC", "l2tp-control"),
        ("StopCCN", "l2tp-control"),
        ("LCP Configure", "ppp-lcp"),
        ("PAP", "ppp-authentication"),
        ("CHAP", "ppp-authentication"),
        ("EAP", "ppp-authentication"),
        ("IPCP", "ppp-network"),
        ("IPV6CP", "ppp-network"),
        ("CCP", "ppp-network"),
        ("SYN", "tcp-connect"),
        ("ClientHello", "tls-handshake"),
        ("ServerHello", "tls-handshake"),
        ("Certificate", "tls-handshake"),
        ("application data", "vpn-login"),
    ];
    TABLE
        .iter()
        .find(|(start, _)| message.starts_with(start))
        .map(|(_, stage)| *stage)
}
