//! Did `PPPoE` find an access concentrator, and did it take the client?

use vpnscope_dissectors::pppoe::{Code, TagType};

use super::reachability::{NO_RESPONSE, enough};
use crate::diagnose::{
    Basis, Confidence, Context, Family, Finding, Findings, Outcome, Progress, Stage, cause, say,
};
use crate::track::pppoe::Pppoe;
use crate::track::session::{Session, Side};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "pppoe",
    causes: &[&PPPOE_REFUSED],
    check,
};

cause! {
    /// ## What it means
    /// An access concentrator was found and refuses the session.
    ///
    /// ## What is seen
    /// A PADO or PADS with an error tag, or a PADS with session ID 0.
    ///
    /// ## Likely causes
    /// - The service name in the profile is not offered.
    /// - The concentrator has no room, or the last session of this client is still open.
    ///
    /// ## What to check on each side
    /// - Client: leave the service name empty, or as the provider gives it.
    /// - Concentrator: its log, its limits for each hardware address.
    ///
    /// ## When this is wrong
    /// When another concentrator on the same network takes the client.
    pub(super) static PPPOE_REFUSED = {
        code: "pppoe-refused",
        title: "the access concentrator refuses the PPPoE session",
        remedies: [
            "Leave the service name empty, or set the one that the provider names.",
            "Wait until the last session has timed out, or let the provider clear it.",
        ],
    }
}

/// How far the session came.
pub(super) fn progress(session: &Session) -> Progress {
    let Some(facts) = session.pppoe() else {
        return super::UNKNOWN;
    };
    let ppp = &facts.ppp;
    let stage = if ppp.is_up() || ppp.reached_network() {
        Stage::PppNetwork
    } else if !ppp.logins.is_empty() {
        Stage::PppAuthentication
    } else if ppp.is_seen() {
        Stage::PppLcp
    } else {
        Stage::Reachability
    };
    let works = ppp.is_up() && !session.vantage.started_late;
    Progress {
        stage,
        outcome: if works {
            Outcome::Established
        } else {
            Outcome::Incomplete
        },
        confidence: if works {
            Confidence::Certain
        } else {
            Confidence::Possible
        },
    }
}

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    let Some(facts) = session.pppoe() else { return };
    if findings.any_trouble() || facts.ppp.is_seen() {
        return;
    }
    let finding = refused(session, facts).or_else(|| unanswered(session, facts));
    if let Some(finding) = finding {
        findings.push(finding);
    }
}

fn refused(session: &Session, facts: &Pppoe) -> Option<Finding> {
    let error = facts.error.as_ref()?;
    let text = if error.text.is_empty() {
        String::new()
    } else {
        say!(": \"{}\"", error.text)
    };
    let finding = Finding::failure(
        &PPPOE_REFUSED,
        Stage::Reachability,
        Basis::Seen,
        say!(
            "The access concentrator refused with {}{text}.",
            TagType(error.tag)
        ),
    );
    Some(match error.step.and_then(|index| session.step(index)) {
        Some(step) => finding.step(step, ""),
        None => finding.frame(error.at, "refusal"),
    })
}

/// PADI without PADO, or PADR without PADS.
fn unanswered(session: &Session, facts: &Pppoe) -> Option<Finding> {
    if session.vantage.started_late || facts.session_id.is_some() {
        return None;
    }
    let (asked, wanted) = if facts.of_code(Code::PADR).next().is_some() {
        (Code::PADR, "PADS")
    } else {
        (Code::PADI, "PADO")
    };
    if asked == Code::PADI && facts.of_code(Code::PADO).next().is_some() {
        return None;
    }
    let first = facts.of_code(asked).next()?;
    let step = first.step.and_then(|index| session.step(index))?;
    let others = facts.of_code(asked).count().saturating_sub(1);
    let count = u64::from(step.sent()).saturating_add(others as u64);
    let finding = Finding::failure(
        &NO_RESPONSE,
        Stage::Reachability,
        Basis::Absence { of: Side::Gateway },
        say!("The client sent {count} {asked} and no {wanted} came back."),
    )
    .step(step, "")
    // No gateway on the internet is asked here, so its remedies do not help.
    .specific()
    .remedy("Check the line: modem in bridge mode, cable, VLAN tag that the provider asks for.")
    .remedy("Ask the provider whether the line is up and its access concentrator answers.")
    .needs("a capture on the line's side of the modem, at the same time");
    Some(if count >= 3 || enough(step, session) {
        finding
    } else {
        finding.inconclusive()
    })
}
