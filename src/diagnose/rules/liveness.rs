//! Is the peer still there?

use crate::diagnose::ike2::Story;
use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, cause, say};
use crate::time::Span;
use crate::track::ike2::kind;
use crate::track::session::{Session, Side};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "liveness",
    causes: &[&DPD_TIMEOUT, &PEER_DELETED],
    check,
};

cause! {
    /// ## What it means
    /// The session worked, and then one peer was gone: liveness checks stay unanswered.
    ///
    /// ## What is seen
    /// The same `INFORMATIONAL` request several times without an answer, at the end of the
    /// session.
    ///
    /// ## Likely causes
    /// - The gateway restarted or crashed and lost its SAs.
    /// - The path broke, or a NAT mapping is gone.
    ///
    /// ## What to check on each side
    /// - The silent side: uptime, log, and whether it still has this SA.
    /// - The path between them at that time.
    ///
    /// ## When this is wrong
    /// When the capture lost the answers, or stands on a path that is no longer used.
    pub(super) static DPD_TIMEOUT = {
        code: "dpd-timeout",
        title: "the peer stopped answering in mid-session",
        remedies: [
            "Look at the silent side at that time: restart, crash, changed address, lost SA.",
            "Let the client restart the connection by itself when the peer is dead (dpdaction=restart or the like).",
            "Check the path and the NAT's UDP timeout.",
        ],
        needs: "the silent side's log",
    }
}

cause! {
    /// ## What it means
    /// One peer took the session down in good order.
    ///
    /// ## What is seen
    /// An `INFORMATIONAL` request of Delete size, its answer, and nothing after it.
    ///
    /// ## Likely causes
    /// - The user or an administrator ended the session, or a lifetime or idle timer did.
    ///
    /// ## What to check on each side
    /// - The log of the side that sent the Delete names the reason.
    ///
    /// ## When this is wrong
    /// A liveness check has the same length in some suites.
    pub(super) static PEER_DELETED = {
        code: "peer-deleted",
        title: "one peer ended the session",
        remedies: ["Read the log of the side that sent the Delete."],
    }
}

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session) else {
        return;
    };
    dead(&story, findings);
    forgotten(&story, findings);
    deleted(&story, findings);
}

fn dead(story: &Story<'_>, findings: &mut Findings) {
    let session = story.session;
    let Some(exchange) = story.facts.exchanges.iter().rev().find(|e| {
        matches!(e.kind, kind::INFORMATIONAL | kind::CREATE_CHILD) && e.response.is_none()
    }) else {
        return;
    };
    let Some(step) = exchange
        .request
        .as_ref()
        .and_then(|m| session.step(m.step?))
    else {
        return;
    };
    let silent = exchange.by.other();
    let heard_after = session
        .steps
        .iter()
        .any(|s| s.from == silent && s.last().time > step.at.time)
        || session
            .esp
            .iter()
            .any(|f| f.from == silent && f.last.time > step.at.time + Span::from_millis(500));
    let asked_enough =
        step.sent() >= 3 || step.sent() >= 2 && session.vantage.watched_after >= Span::from_secs(4);
    if heard_after || !asked_enough {
        return;
    }
    findings.withdraw("esp-one-way");
    let mut finding = Finding::failure(
        &DPD_TIMEOUT,
        Stage::EspData,
        Basis::Absence { of: silent },
        say!(
            "The {} sent the {} (message ID {}) {} times over {} and the {} did not answer any more.",
            exchange.by.word(),
            step.message,
            exchange.id,
            step.sent(),
            step.spread(),
            silent.word()
        ),
    )
    .step(step, ", unanswered");
    if step.sent() >= 4 {
        finding = finding.sure(Confidence::Certain);
    }
    findings.push(service_gone(finding, session, exchange.by));
}

/// Adds the ICMP error that answered what one side sent, where one did: nobody listens any more.
pub(super) fn service_gone(finding: Finding, session: &Session, sender: Side) -> Finding {
    let Some(icmp) = session
        .icmp
        .iter()
        .find(|i| i.about == sender && i.is_port_unreachable())
    else {
        return finding;
    };
    finding.frame(
        icmp.at,
        say!(
            "ICMP port unreachable from {}: its service is gone",
            icmp.reporter
        ),
    )
}

/// A peer that lost its state says so in clear: `INVALID_IKE_SPI`, or `INVALID_SPI` about ESP
/// (RFC 7296 §2.21.4). Anybody could have said it, so the session must not go on after it.
fn forgotten(story: &Story<'_>, findings: &mut Findings) {
    const INVALID_IKE_SPI: u16 = 4;
    const INVALID_SPI: u16 = 11;
    let session = story.session;
    let said = story.facts.exchanges.iter().find_map(|exchange| {
        let peer = exchange.by.other();
        let from_response = exchange.response.as_ref().map(|m| (m, peer));
        let from_request = exchange.request.as_ref().map(|m| (m, exchange.by));
        from_response
            .into_iter()
            .chain(from_request)
            .find(|(m, _)| {
                !m.encrypted
                    && matches!(
                        m.error().map(|e| e.notify_type),
                        Some(INVALID_IKE_SPI | INVALID_SPI)
                    )
            })
    });
    let Some((message, from)) = said.filter(|_| story.facts.accepted().is_some()) else {
        return;
    };
    let alive = session
        .esp
        .iter()
        .any(|f| f.from == from && f.last.time > message.at.time)
        || story.facts.exchanges.iter().any(|exchange| {
            // Only who still holds the keys encrypts.
            let said = if exchange.by == from {
                &exchange.request
            } else {
                &exchange.response
            };
            said.as_ref()
                .is_some_and(|m| m.encrypted && m.at.time > message.at.time)
        });
    if alive {
        return;
    }
    findings.push(
        Finding::failure(
            &DPD_TIMEOUT,
            Stage::EspData,
            Basis::Inferred,
            say!("The {} says in clear that it does not know this SA (any more): it restarted or dropped it.", from.word()),
        )
        .frame(message.at, "INVALID_IKE_SPI or INVALID_SPI in clear")
        .candidates(&["different-backends"]),
    );
}

fn deleted(story: &Story<'_>, findings: &mut Findings) {
    let Some(exchange) = story.deleted() else {
        return;
    };
    if exchange.response.is_none() || findings.any_trouble() {
        return;
    }
    let Some(step) = exchange
        .request
        .as_ref()
        .and_then(|m| story.session.step(m.step?))
    else {
        return;
    };
    let who = if exchange.by == Side::Client {
        "client"
    } else {
        "gateway"
    };
    findings.push(
        Finding::info(
            &PEER_DELETED,
            Stage::EspData,
            Basis::Inferred,
            say!("The {who} ended the session with a message of Delete size; nothing followed."),
        )
        .frame(step.at, say!("{} of Delete size", step.message)),
    );
}
