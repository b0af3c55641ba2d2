//! What became of the link, before anybody logged in.

use vpnscope_dissectors::ppp::LcpOption;

use super::{
    PPP_AUTH_PROTOCOL_MISMATCH, PPP_LCP_LOOP, closed, ended_by, quoted, refusals, tries, who,
    with_step,
};
use crate::diagnose::rules::reachability::enough;
use crate::diagnose::{Basis, Confidence, Finding, Stage, say};
use crate::track::ppp::{Half, Method, Ppp, Value};
use crate::track::session::{Session, Side};

/// The link itself.
pub(super) fn link(session: &Session, ppp: &Ppp) -> Option<Finding> {
    if ppp.lcp.is_open() && ppp.login().is_some() {
        return None;
    }
    authentication_protocol(session, ppp)
        .or_else(|| refused_again(session, ppp))
        .or_else(|| peer_refuses_to_authenticate(session, ppp))
        .or_else(|| silent(session, ppp))
        .or_else(|| ended_early(session, ppp))
}

/// One magic number from both sides. Somebody who answers a login is no echo: then both ends drew
/// the same number, and neither minded.
pub(super) fn looped(_: &Session, ppp: &Ppp) -> Option<Finding> {
    let at = ppp.looped?;
    if ppp.login().is_some_and(|login| login.verdict.is_some()) {
        return None;
    }
    let magic = ppp.magic.client.unwrap_or_default();
    Some(
        Finding::failure(
            &PPP_LCP_LOOP,
            Stage::PppLcp,
            Basis::Seen,
            say!("Both sides use the magic number {magic:08x}: the link is looped back."),
        )
        .frame(at, "LCP with the peer's own magic number"),
    )
}

fn method_of(half: &Half) -> Option<Method> {
    half.wanted.iter().find_map(|wanted| match wanted.value {
        Value::Authentication(method) => Some(method),
        _ => None,
    })
}

/// The option that says how to log in, refused.
fn authentication_protocol(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let option = LcpOption::AUTHENTICATION_PROTOCOL.0;
    let (side, refusal) = [Side::Gateway, Side::Client]
        .into_iter()
        .find_map(|side| Some((side, ppp.lcp.of.of(side).refusal(option)?)))?;
    let half = ppp.lcp.of.of(side);
    let over = ended_by(ppp, None).is_some() || closed(session);
    if half.acked.is_some() || (!over && refusal.count < 3) {
        return None;
    }
    let asked = method_of(half).map_or_else(|| "a login".to_string(), Method::name);
    let peer = who(side.other());
    let loops = !refusal.rejected && refusal.count >= 3;
    let instead = match refusal.instead {
        Some(Value::Authentication(method)) => say!(" and wants {}", method.name()),
        _ => String::new(),
    };
    let (cause, summary) = if loops {
        (
            &PPP_LCP_LOOP,
            say!(
                "The {} insists on {asked}; the {peer} refused it {} times{instead}, and neither gave in.",
                who(side),
                refusal.count
            ),
        )
    } else {
        (
            &PPP_AUTH_PROTOCOL_MISMATCH,
            say!(
                "The {} demands {asked}; the {peer} {} it{instead}, and the link ended.",
                who(side),
                if refusal.rejected {
                    "rejects"
                } else {
                    "refuses"
                }
            ),
        )
    };
    let mut finding = Finding::failure(cause, Stage::PppLcp, Basis::Seen, summary);
    if loops {
        finding = finding.candidates(&["ppp-auth-protocol-mismatch"]);
    } else if !refusal.rejected {
        // More refusals, perhaps not captured, and it is a loop.
        finding = finding.sure(Confidence::Likely);
    }
    finding = refusals(finding, session, refusal);
    finding = with_step(finding, session, half.first);
    Some(match ended_by(ppp, None) {
        Some(end) => with_step(finding, session, end.step),
        None => finding,
    })
}

/// Another option, refused until nobody goes on.
fn refused_again(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let (side, refusal) = [Side::Client, Side::Gateway].into_iter().find_map(|side| {
        let half = ppp.lcp.of.of(side);
        let refusal = half.most_refused().filter(|r| r.count >= 5)?;
        half.acked.is_none().then_some((side, refusal))
    })?;
    let finding = Finding::failure(
        &PPP_LCP_LOOP,
        Stage::PppLcp,
        Basis::Seen,
        say!(
            "The {} refused the {}'s LCP option {} {} times, and they never agreed.",
            who(side.other()),
            who(side),
            LcpOption(refusal.option),
            refusal.count
        ),
    );
    Some(refusals(finding, session, refusal))
}

/// `peer refused to authenticate`, and texts like it.
fn peer_refuses_to_authenticate(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let end = ended_by(ppp, None)?;
    let text = end.text.to_ascii_lowercase();
    if !text.contains("authenticat") {
        return None;
    }
    let finding = Finding::failure(
        &PPP_AUTH_PROTOCOL_MISMATCH,
        Stage::PppLcp,
        Basis::Inferred,
        say!("The {} ended the link: \"{}\".", who(end.by), end.text),
    )
    .candidates(&["ppp-auth-failed"]);
    Some(with_step(finding, session, end.step))
}

/// One side asks and the other one never says a word of LCP.
fn silent(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let side = [Side::Client, Side::Gateway].into_iter().find(|side| {
        let mine = ppp.lcp.of.of(*side);
        mine.requests > 0 && mine.answers == 0 && ppp.lcp.of.of(side.other()).requests == 0
    })?;
    let silent = side.other();
    // Who takes the call down at once has said why: that is the call's story, not PPP's.
    let call = session.l2tp().and_then(|facts| facts.main_call());
    if call
        .and_then(|call| call.disconnect.as_ref())
        .is_some_and(|closing| closing.from == silent)
    {
        return None;
    }
    let half = ppp.lcp.of.of(side);
    let (asked, first) = tries(session, half)?;
    let step = session.step(first)?;
    if asked < 3 && !enough(step, session) {
        return None;
    }
    let finding = Finding::failure(
        &PPP_LCP_LOOP,
        Stage::PppLcp,
        Basis::Absence { of: silent },
        say!(
            "The {} sent {asked} LCP Configure-Request(s), and the {} never answered nor sent LCP of its own.",
            who(side),
            who(silent)
        ),
    )
    .candidates(&["l2tp-cdn", "request-never-arrived", "response-lost"])
    .remedy(say!("Look whether the {}'s PPP daemon starts for this call, in its log.", who(silent)))
    .remedy("Capture at the other end at the same time: the control messages of L2TP get through, its data messages perhaps do not.")
    .specific();
    Some(with_step(finding, session, Some(first)))
}

/// Terminated before the link was open, without a reason that can be named.
fn ended_early(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let end = ended_by(ppp, None)?;
    if ppp.login().is_some_and(|login| login.verdict.is_some()) {
        return None;
    }
    let finding = Finding::failure(
        &PPP_LCP_LOOP,
        Stage::PppLcp,
        Basis::Inferred,
        say!(
            "The {} ended the link during its negotiation{}.",
            who(end.by),
            quoted(&end.text)
        ),
    )
    .sure(Confidence::Possible)
    .candidates(&["ppp-auth-protocol-mismatch", "peer-deleted"]);
    let finding = with_step(finding, session, end.step);
    // An open link that is ended again without a word of why: perhaps somebody gave up.
    Some(if ppp.lcp.is_open() {
        finding.inconclusive()
    } else {
        finding
    })
}
