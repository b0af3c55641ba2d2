//! What the sender's side shows: small messages are answered, a large one never.

use super::{FRAGMENT_LOST, PMTU_BLACKHOLE, stage, went_on, with_ike_fragmentation};
use crate::diagnose::rules::reachability::enough;
use crate::diagnose::{Basis, Finding, say};
use crate::track::path::USUAL_MTU;
use crate::track::session::{Session, Stamp, Step};

/// A large message that was sent often and never heard, after small ones that were.
pub(super) fn never_heard(session: &Session) -> Option<(Option<Stamp>, Finding)> {
    let (index, step) = session
        .steps
        .iter()
        .enumerate()
        .rev()
        .find(|(_, step)| is_large(session, step))?;
    let before = session.steps.get(..index).unwrap_or_default();
    let other = step.from.other();
    let passed = before
        .iter()
        .filter(|s| s.from == step.from && s.fragments <= 1 && !is_large(session, s))
        .map(|s| s.ip_len)
        .max()?;
    let answered = before.iter().any(|s| s.from == other);
    let stuck = !went_on(session, other, step.at) && !went_on(session, step.from, step.last());
    if !answered || !stuck || !insisted(session, step) {
        return None;
    }
    let parts = ike_parts(session, step);
    if step.fragments <= 1 && parts.is_none() {
        // Its size alone says little where nothing was ever heard from that port.
        let heard_there = before
            .iter()
            .any(|s| s.from == other && s.flow == step.flow.reversed());
        if !heard_there {
            return None;
        }
    }
    let asked = asked_again(session, step);
    let mut finding = unheard(session, step, parts, asked, passed);
    if let Some(asked) = asked {
        for stamp in asked.repeats.stamps.iter().filter(|s| **s > step.at) {
            finding = finding.frame(*stamp, say!("{} again", asked.message));
        }
    }
    if parts.is_some_and(|(_, largest)| largest <= SMALLEST_LINK) {
        finding.remedies.clear();
        finding = finding
            .remedy("Look for what drops part of a burst of datagrams on the path: flood protection or rate limits for UDP, an inspection that knows no IKE fragments (RFC 7383); such small ones do not fail for their size.")
            .remedy("Capture at the other end at the same time: the numbers of the IKE fragments stand in clear and show which are missing.")
            .specific();
    } else if let Some((_, largest)) = parts {
        finding = finding.remedy(say!(
            "Make IKE fragments smaller than {largest} octets of IP at the {} (strongSwan: fragment_size).",
            step.from.word()
        ));
    }
    Some((Some(step.at), finding))
}

/// What the other end repeats after `step`, as if it had not come.
fn asked_again<'a>(session: &'a Session, step: &Step) -> Option<&'a Step> {
    session
        .steps
        .iter()
        .find(|s| s.from == step.from.other() && s.repeats.count > 0 && s.last() > step.at)
}

fn unheard(
    session: &Session,
    step: &Step,
    parts: Option<(u16, u32)>,
    asked: Option<&Step>,
    passed: u32,
) -> Finding {
    let other = step.from.other();
    let (cause, how) = match (step.fragments, parts) {
        (2.., _) => (
            &FRAGMENT_LOST,
            say!("{} octets in {} IP fragments", step.ip_len, step.fragments),
        ),
        (_, Some((total, largest))) => (
            // Hardly any link takes less: another filter than size is at work.
            if largest <= SMALLEST_LINK {
                &FRAGMENT_LOST
            } else {
                &PMTU_BLACKHOLE
            },
            say!("{total} IKE fragments of up to {largest} octets of IP, not to be fragmented"),
        ),
        _ => (
            &PMTU_BLACKHOLE,
            say!("{} octets, not to be fragmented", step.ip_len),
        ),
    };
    let silence = match asked {
        Some(asked) => say!(
            "the {} repeats its {} as if nothing had come",
            other.word(),
            asked.message
        ),
        None => "nothing came back".to_string(),
    };
    let mut finding = Finding::failure(
        cause,
        stage(session),
        Basis::Absence { of: other },
        say!(
            "The {} ({how}) was sent {} time(s) over {}, and {silence}; messages of up to {passed} octets in one piece were answered.",
            step.message,
            step.sent(),
            step.spread()
        ),
    )
    .step(step, ", never heard")
    .candidates(&["fragment-lost", "pmtu-blackhole", "nat-t-blocked"]);
    finding.candidates.retain(|code| *code != cause.code);
    with_ike_fragmentation(finding, session)
}

/// Total and largest IP size of the IKE fragments that a step's message came in.
fn ike_parts(session: &Session, step: &Step) -> Option<(u16, u32)> {
    let facts = session.ike2()?;
    let message = facts
        .exchanges
        .iter()
        .flat_map(|e| e.request.iter().chain(e.response.iter()))
        .find(|m| m.at == step.at)?;
    let fragments = message.fragments.as_ref()?;
    // Of those that are missing here the size is not known.
    (fragments.total > 1 && fragments.is_complete())
        .then_some((fragments.total, fragments.largest_ip))
}

/// The smallest path MTU that is likely to be met (RFC 1191 §7.1: between 1492 and 508 stands
/// 1006 alone).
const SMALLEST_LINK: u32 = 1006;

/// Datagrams of up to so many octets pass nearly everywhere, tunnels and PPPoE included.
const PASSES: u32 = 1400;

/// Large enough for a path to mind: in fragments, or near what Ethernet takes, with DF.
fn is_large(session: &Session, step: &Step) -> bool {
    let cannot_shrink = step.dont_fragment || step.flow.source.0.is_ipv6();
    step.fragments > 1
        || cannot_shrink && step.ip_len > PASSES && step.ip_len <= USUAL_MTU
        || cannot_shrink && ike_parts(session, step).is_some()
}

/// Whether it was sent, or asked for, often enough for silence to mean something.
fn insisted(session: &Session, step: &Step) -> bool {
    let asked_again = session
        .steps
        .iter()
        .filter(|s| s.from == step.from.other())
        .flat_map(|s| &s.repeats.stamps)
        .filter(|stamp| **stamp > step.at)
        .count();
    enough(step, session) && (step.sent() >= 2 || asked_again >= 2)
}
