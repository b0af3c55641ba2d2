//! Did the peers get across to UDP 4500?

use super::reachability::enough;
use crate::diagnose::ike2::{Auth, Story};
use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, cause, say};
use crate::time::Span;
use crate::track::ike2::nat::is_initial_ttl;
use crate::track::session::{Session, Side};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "nat-traversal",
    causes: &[&NAT_T_BLOCKED],
    check,
};

cause! {
    /// ## What it means
    /// The negotiation on UDP 500 worked. Then the peers moved to UDP 4500, as they must where
    /// a NAT stands between them, and nothing came back from there.
    ///
    /// ## What is seen
    /// `IKE_SA_INIT` (or main mode 1–4) answered on port 500, then the next message sent to
    /// port 4500 several times without an answer on 4500.
    ///
    /// ## Likely causes
    /// - A firewall permits UDP 500 but not UDP 4500.
    /// - UDP 4500 is not forwarded to the gateway behind its NAT.
    /// - The message or its answer is too large for the path and its fragments are lost.
    ///
    /// ## What to check on each side
    /// - Every firewall on the path: UDP 4500 in both directions.
    /// - Gateway: does a capture there show the message on 4500?
    ///
    /// ## When this is wrong
    /// When the gateway received the message and answered nothing on purpose, or when its
    /// answer is lost in fragments: from the client's side all three look the same.
    pub(super) static NAT_T_BLOCKED = {
        code: "nat-t-blocked",
        title: "UDP 500 passes, UDP 4500 does not",
        remedies: [
            "Open or forward UDP 4500 as well as UDP 500, in both directions, on every firewall and NAT up to the gateway.",
            "Capture at the gateway: if the first message on 4500 does not arrive there, the box before it drops it.",
        ],
        needs: "a capture on the gateway's WAN interface at the same time",
    }
}

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session) else {
        return;
    };
    let Auth::Unanswered(exchange) = story.auth else {
        return;
    };
    let Some(request) = &exchange.request else {
        return;
    };
    let Some(step) = request.step.and_then(|index| session.step(index)) else {
        return;
    };
    let Some(accepted) = story.facts.accepted() else {
        return;
    };
    let Some(answer) = accepted.step.and_then(|index| session.step(index)) else {
        return;
    };
    let moved = step.flow.destination.1 != answer.flow.source.1;
    let heard_there = session
        .steps
        .iter()
        .any(|other| other.from == Side::Gateway && other.flow.source.1 == step.flow.destination.1);
    let fragmented = step.fragments > 1 || request.fragments.is_some();
    if !moved || heard_there || fragmented {
        return;
    }
    let finding = Finding::failure(
        &NAT_T_BLOCKED,
        Stage::IkeNatTraversal,
        Basis::Absence { of: Side::Gateway },
        say!(
            "On UDP port {} the gateway answered; on port {} the {} was sent {} times over {} and nothing came back.",
            answer.flow.source.1,
            step.flow.destination.1,
            step.message,
            step.sent(),
            step.spread()
        ),
    )
    .frame(answer.at, say!("{} on port {}", answer.message, answer.flow.source.1))
    .step(step, " on the new port, unanswered")
    .candidates(&["request-never-arrived", "fragment-lost"]);
    // One port answers, the other never does, however often it is tried. Where it was tried next
    // to the gateway, it arrived: then the gateway itself keeps silent, for whatever reason.
    let insisted = step.sent() >= 3 && step.spread() >= Span::from_secs(1);
    let arrived = is_initial_ttl(answer.ttl) && !is_initial_ttl(step.ttl);
    let finding = if insisted && !arrived {
        finding.sure(Confidence::Certain)
    } else {
        finding
    };
    findings.push(if enough(step, session) {
        finding
    } else {
        finding
            .inconclusive()
            .needs("a longer capture: it ends before the sender gave up")
    });
}
