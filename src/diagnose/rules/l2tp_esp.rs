//! What the rhythm of ESP says about L2TP inside it, without keys.
//!
//! Only IKEv1 is looked at: L2TP/IPsec runs on it. Nothing here is more than likely, because
//! what is inside ESP is not seen.

use std::collections::BTreeSet;

use super::esp::ESP_ONE_WAY;
use super::l2tp::L2TP_NO_RESPONSE;
use super::liveness::PEER_DELETED;
use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, say};
use crate::time::Span;
use crate::track::esp::{EspFlow, Over};
use crate::track::ike1::kind;
use crate::track::session::{Kind, Session, Side, Stamp};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "l2tp-in-esp",
    causes: &[],
    check,
};

/// Packets that the shortest L2TP and PPP set-up takes: five control messages with two bare
/// acknowledgments, four of LCP, three of CHAP, six of IPCP.
const LEAST_SET_UP: u64 = 20;
/// Packets that the control connection and the call take before PPP begins.
const LEAST_CALL: u64 = 8;
/// Sizes that differ in such a set-up at least: pings and the like have one.
const LEAST_SIZES: usize = 4;

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    if session.kind != Kind::Ikev1 || session.vantage.started_late {
        return;
    }
    let count = |side| {
        let of_side = session.esp.iter().filter(|flow| flow.from == side);
        of_side.map(|flow| flow.packets).sum::<u64>()
    };
    let (client, gateway) = (count(Side::Client), count(Side::Gateway));
    if client >= 4 && gateway == 0 {
        silent_server(session, findings);
    } else if client > 0
        && gateway > 0
        && (LEAST_CALL..=LEAST_SET_UP).contains(&(client + gateway))
        && sizes(session) >= LEAST_SIZES
    {
        ended_at_once(session, client, gateway, findings);
    }
}

/// How many sizes the first ESP packets have.
fn sizes(session: &Session) -> usize {
    let all: BTreeSet<u32> = session
        .esp
        .iter()
        .flat_map(|flow| flow.head.iter().map(|(_, size)| *size))
        .collect();
    all.len()
}

/// Packets of one size, each gap about twice the one before: an L2TP daemon that asks for a
/// tunnel and hears nothing (RFC 2661 §5.8).
fn rhythm(flow: &EspFlow) -> Option<&[(Stamp, u32)]> {
    let (_, size) = flow.head.first()?;
    let run = flow
        .head
        .iter()
        .position(|(_, len)| len != size)
        .unwrap_or(flow.head.len());
    let run = flow.head.get(..run).filter(|run| run.len() >= 4)?;
    let gaps: Vec<i64> = run
        .iter()
        .zip(run.iter().skip(1))
        .map(|((a, _), (b, _))| (b.time - a.time).0)
        .collect();
    let starts_slowly = gaps
        .first()
        .is_some_and(|gap| *gap >= Span::from_millis(700).0);
    // The interval doubles up to a cap of eight seconds or more.
    let cap = Span::from_secs(7).0;
    let doubles = gaps.iter().zip(gaps.iter().skip(1)).all(|(a, b)| {
        let (low, high) = (a.saturating_mul(3) / 2, a.saturating_mul(3));
        (low..=high).contains(b) || *a >= cap && *b >= cap
    });
    (starts_slowly && doubles).then_some(run)
}

fn silent_server(session: &Session, findings: &mut Findings) {
    let Some((flow, run)) = session
        .esp
        .iter()
        .find_map(|flow| rhythm(flow).map(|run| (flow, run)))
    else {
        return;
    };
    let size = run.first().map_or(0, |(_, len)| *len);
    let span = match (run.first(), run.last()) {
        (Some((first, _)), Some((last, _))) => last.time - first.time,
        _ => Span::default(),
    };
    let summary = say!(
        "IPsec is up; then the client sent {} ESP packets of {size} octets over {span}, each gap about twice the one before, as L2TP asks for a tunnel, and no ESP came back.",
        run.len()
    );
    let basis = Basis::Absence { of: Side::Gateway };
    let mut finding = if flow.over == Over::Ip {
        // Protocol 50 may be dropped on the way: that stays the first suspicion.
        Finding::info(&L2TP_NO_RESPONSE, Stage::L2tpControl, basis, summary)
            .sure(Confidence::Possible)
    } else {
        // IKE passes on the same port, so the way is open: the server inside is silent.
        findings.withdraw(ESP_ONE_WAY.code);
        Finding::failure(&L2TP_NO_RESPONSE, Stage::L2tpControl, basis, summary)
            .candidates(&["esp-one-way", "response-lost"])
    };
    for (at, len) in run {
        finding = finding.frame(*at, say!("ESP of {len} octets, unanswered"));
    }
    findings
        .push(finding.needs("a capture at the server, on the wire and inside, at the same time"));
}

/// A few packets both ways, no more than a login takes, and then the farewell.
fn ended_at_once(session: &Session, client: u64, gateway: u64, findings: &mut Findings) {
    let Some(facts) = session.ike1() else { return };
    let first = session.esp.iter().map(|flow| flow.first).min();
    let last = session.esp.iter().map(|flow| flow.last).max();
    let (Some(first), Some(last)) = (first, last) else {
        return;
    };
    let farewell = facts
        .exchanges
        .iter()
        .filter(|exchange| exchange.kind == kind::INFORMATIONAL)
        .filter_map(|exchange| exchange.first())
        .find(|message| {
            let wait = message.at.time - last.time;
            wait.0 >= 0 && wait <= Span::from_secs(10)
        });
    let Some(farewell) = farewell else { return };
    if findings.any_trouble() {
        return;
    }
    // This says the same and more.
    findings.withdraw(PEER_DELETED.code);
    let finding = Finding::info(
        &PEER_DELETED,
        Stage::EspData,
        Basis::Inferred,
        say!(
            "IPsec is up; {client} ESP packets of the client and {gateway} of the gateway within {}, no more than an L2TP login takes, and then the {} took it down: what ran inside ended at once.",
            last.time - first.time,
            farewell.from.word()
        ),
    )
    .sure(Confidence::Possible)
    .candidates(&[
        "ppp-auth-failed",
        "ppp-auth-protocol-mismatch",
        "l2tp-cdn",
        "ppp-ipcp-rejected",
    ])
    .frame(first, "first ESP")
    .frame(last, "last ESP")
    .frame(farewell.at, "encrypted Informational of the farewell")
    .needs("a capture inside, at the server, or the server's PPP log");
    findings.push(finding);
}
