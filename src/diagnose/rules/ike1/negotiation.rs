//! Did the peers of IKEv1 agree on phase 1?

use vpnscope_dissectors::ike::v1::{IkeSuite, NotifyType};

use super::super::auth::AUTH_FAILED;
use super::super::negotiation::{
    KE_GROUP_MISMATCH, MALFORMED_MESSAGE, NO_PEER_CONFIG, PROPOSAL_MISMATCH, VERSION_MISMATCH,
    error_ignored, single_group, unless_unseen,
};
use super::super::reachability::{NO_RESPONSE, enough, icmp, lost};
use super::{step, tell};
use crate::diagnose::ike1::{Reached, Story};
use crate::diagnose::{
    Basis, Cause, Confidence, Context, Family, Finding, Findings, Stage, cause, say,
};
use crate::track::ike1::{Message, Mode, Offer, kind};
use crate::track::session::{Session, Side, Step};

/// The family.
pub(in crate::diagnose::rules) static FAMILY: Family = Family {
    name: "ikev1-negotiation",
    causes: &[&TRANSFORM_SKIPPED],
    check,
};

cause! {
    /// ## What it means
    /// The gateway passed over the client's first offers and took a later one. That is what a
    /// list of offers is for: nothing is wrong.
    ///
    /// ## What is seen
    /// The answer names a transform that is not the first of the offer.
    ///
    /// ## Likely causes
    /// - The gateway does not have, or does not want, the algorithms or groups of the offers
    ///   before it. Windows begins with groups 20 and 19, which many gateways lack.
    ///
    /// ## What to check on each side
    /// - Nothing. racoon writes "invalid DH group 20" for each offer that it passes over: the line
    ///   matters only where no answer follows.
    ///
    /// ## When this is wrong
    /// When the weaker suite that was taken is not what was intended.
    pub(in crate::diagnose::rules) static TRANSFORM_SKIPPED = {
        code: "transform-skipped",
        title: "the gateway took a later offer, which is no error",
        remedies: ["Leave it, or put the suite that the gateway takes first in the client's list."],
    }
}

fn check(session: &Session, context: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session) else {
        return;
    };
    if session.vantage.started_late || icmp(session, findings) {
        return;
    }
    skipped(&story, findings);
    if story.reached > Reached::Answered {
        return;
    }
    if let Some(foreign) = story.facts.foreign.first() {
        version(&story, foreign, findings);
        return;
    }
    if let Some(error) = last_error(&story) {
        refused(&story, error, context, findings);
        return;
    }
    match story.reached {
        Reached::Nothing => no_response(&story, context, findings),
        _ => stuck(&story, findings),
    }
}

/// An error in clear from the responder that no progress followed.
fn last_error<'a>(story: &Story<'a>) -> Option<&'a Message> {
    let mut informational = story
        .facts
        .of_kind(kind::INFORMATIONAL)
        .flat_map(|exchange| &exchange.messages);
    let error = informational
        .rfind(|m| m.from == story.responder() && !m.encrypted && m.error().is_some())?;
    // Steps stand in the order of the protocol, even where times run wrong.
    let went_on = story.facts.phase1.iter().any(|m| m.step > error.step);
    (!went_on).then_some(error)
}

/// The last message of the initiator before a moment: what an error answers.
fn asked<'a>(story: &Story<'a>, error: &Message) -> Option<&'a Step> {
    let before = story
        .facts
        .phase1
        .iter()
        .rfind(|m| m.from == story.initiator() && m.step < error.step);
    step(story, before)
}

fn refused(story: &Story<'_>, error: &Message, context: &Context, findings: &mut Findings) {
    let Some(notify) = error.error().map(|n| NotifyType(n.notify_type)) else {
        return;
    };
    let (Some(asked), Some(answered)) = (asked(story, error), story.step(error)) else {
        return;
    };
    let finding = match notify {
        NotifyType::NO_PROPOSAL_CHOSEN | NotifyType::ATTRIBUTES_NOT_SUPPORTED => {
            no_proposal(story, notify, context)
        }
        NotifyType::INVALID_MAJOR_VERSION | NotifyType::INVALID_MINOR_VERSION => simple(
            &VERSION_MISMATCH,
            say!("The gateway answered {notify}: it does not speak the client's version of IKE."),
        ),
        NotifyType::INVALID_KEY_INFORMATION => simple(
            &KE_GROUP_MISMATCH,
            say!("The gateway answered {notify} to the client's key exchange."),
        ),
        NotifyType::UNSUPPORTED_EXCHANGE_TYPE
        | NotifyType::INVALID_EXCHANGE_TYPE
        | NotifyType::INVALID_ID_INFORMATION => no_config(story, notify),
        // The identity of aggressive mode's first message stands in clear: it can be refused at
        // once.
        NotifyType::AUTHENTICATION_FAILED
            if story.facts.mode == Mode::Aggressive && story.facts.message(2).is_none() =>
        {
            identity(story, notify)
        }
        // In main mode these belong to the fifth message; the family of authentication reads them.
        NotifyType::AUTHENTICATION_FAILED
        | NotifyType::INVALID_HASH_INFORMATION
        | NotifyType::INVALID_SIGNATURE => return,
        other => simple(
            &MALFORMED_MESSAGE,
            say!("The gateway answered {other} to the {}.", asked.message),
        ),
    };
    findings.push(
        finding
            .frame(asked.at, asked.message.to_string())
            .step(answered, &say!(" with N({notify})")),
    );
    error_ignored(asked, answered.at, findings);
}

fn simple(cause: &'static Cause, summary: String) -> Finding {
    Finding::failure(cause, Stage::IkeNegotiation, Basis::Seen, summary)
}

/// The gateway read the message, and has nothing that fits the client or its mode.
fn no_config(story: &Story<'_>, notify: NotifyType) -> Finding {
    let mode = story.facts.mode.title();
    simple(
        &NO_PEER_CONFIG,
        say!("The gateway answered {notify} to the client's {mode}: it has no configuration for it."),
    )
    .sure(Confidence::Likely)
    .remedy(say!(
        "Check on the gateway that a connection for this client permits {mode}, and the identity that it expects."
    ))
}

/// The first message of aggressive mode was refused for who it comes from, before any key was
/// used.
fn identity(story: &Story<'_>, notify: NotifyType) -> Finding {
    Finding::failure(
        &AUTH_FAILED,
        Stage::IkeAuthentication,
        Basis::Seen,
        say!(
            "The gateway answered {notify} to the first message of {}: it accepts no client with this identity in this mode.",
            story.facts.mode.title()
        ),
    )
    .candidates(&["id-mismatch", "no-peer-config"])
    .exclude("psk-mismatch", "the gateway refused before a message was sent that the key protects")
    .remedy("Compare the identity that the client sends (in clear in its first message) with what the gateway's connection expects, and check that this connection permits aggressive mode.")
    .remedy("Read the gateway's log: it names the identity for which it found nothing.")
    .specific()
}

fn no_proposal(story: &Story<'_>, notify: NotifyType, context: &Context) -> Finding {
    let offered = &story.facts.offered;
    let accepted = context
        .accepted_ikev1(&story.session.gateway.ip)
        .unwrap_or_default();
    let known = accepted.iter().find(|suite| {
        offered
            .iter()
            .any(|o| differences(&o.suite, suite).is_empty())
    });
    let cause = if known.is_some() {
        &NO_PEER_CONFIG
    } else {
        &PROPOSAL_MISMATCH
    };
    let mut finding = simple(
        cause,
        say!(
            "The gateway answered {notify} to the offer {}.",
            offer(story)
        ),
    );
    if let Some(suite) = known {
        return finding
            .sure(Confidence::Likely)
            .candidates(&["proposal-mismatch"])
            .exclude(
                "ke-group-mismatch",
                say!("the same gateway accepted {suite} from another client"),
            );
    }
    // The nearest thing that this gateway is known to take, and what differs.
    let nearest = accepted
        .iter()
        .flat_map(|suite| {
            offered
                .iter()
                .map(move |o| (differences(&o.suite, suite), suite, o))
        })
        .min_by_key(|(differences, ..)| differences.len());
    if let Some((differences, suite, nearest)) = nearest {
        let differences = differences.join(" and ");
        let near = say!(
            " It accepted {suite} from another client; the nearest offer, {}, differs in {differences}.",
            nearest.suite
        );
        finding.summary.push_str(&near);
    }
    finding.candidates = vec!["no-peer-config"];
    if let [only] = groups(story).as_slice() {
        finding = finding
            .candidates(&["ke-group-mismatch"])
            .remedy(single_group(only, &["MODP_2048", "ECP_256", "MODP_1024"]));
    }
    unless_unseen(finding, &story.session.gateway, context)
}

/// What two suites differ in, in words; lifetimes are not compared, because a responder may
/// shorten them.
fn differences(offered: &IkeSuite, accepted: &IkeSuite) -> Vec<String> {
    let mut list = Vec::new();
    let mut note = |what: &str, ours: Option<String>, theirs: Option<String>| {
        if let (Some(ours), Some(theirs)) = (&ours, &theirs) {
            if ours != theirs {
                list.push(say!("{what} ({ours} against {theirs})"));
            }
        } else if ours.is_some() != theirs.is_some() {
            list.push(what.to_string());
        }
    };
    let cipher = |s: &IkeSuite| s.cipher().map(|c| c.to_string());
    note("encryption", cipher(offered), cipher(accepted));
    let hash = |s: &IkeSuite| s.hash.map(|h| h.to_string());
    note("hash", hash(offered), hash(accepted));
    let method = |s: &IkeSuite| s.authentication.map(|a| a.to_string());
    note("authentication", method(offered), method(accepted));
    let group = |s: &IkeSuite| s.group.map(|g| g.to_string());
    note("group", group(offered), group(accepted));
    list
}

/// The offer in words, cut where it is long.
fn offer(story: &Story<'_>) -> String {
    const SHOWN: usize = 6;
    let all = &story.facts.offered;
    let shown: Vec<String> = all
        .iter()
        .take(SHOWN)
        .map(|offer| offer.suite.to_string())
        .collect();
    let more = all.len().saturating_sub(SHOWN);
    let text = shown.join(", ");
    if more > 0 {
        say!("{text} and {more} more")
    } else {
        text
    }
}

fn groups(story: &Story<'_>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for group in story.facts.offered.iter().filter_map(|o| o.suite.group) {
        let name = group.to_string();
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

fn version(story: &Story<'_>, foreign: &Message, findings: &mut Findings) {
    let (Some(asked), Some(answered)) = (step(story, story.facts.message(1)), story.step(foreign))
    else {
        return;
    };
    findings.push(
        simple(
            &VERSION_MISMATCH,
            "The client began with IKEv1, and the gateway answered in another version.".to_string(),
        )
        .frame(asked.at, asked.message.to_string())
        .step(answered, ""),
    );
}

/// Nothing at all came back.
fn no_response(story: &Story<'_>, context: &Context, findings: &mut Findings) {
    let session = story.session;
    let Some(asked) = step(story, story.facts.message(1)) else {
        return;
    };
    let mut finding = Finding::failure(
        &NO_RESPONSE,
        Stage::Reachability,
        Basis::Absence {
            of: story.responder(),
        },
        say!(
            "The {} was sent {} times over {} from {} to {}, and nothing came back.",
            asked.message,
            asked.sent(),
            asked.spread(),
            session.client.ip,
            session.gateway.ip
        ),
    )
    .step(asked, "")
    .candidates(&["request-never-arrived", "response-lost"]);
    // Some gateways keep silent where nothing fits; one that answers others can be reached.
    if context.accepted_ikev1(&session.gateway.ip).is_some() {
        finding = finding.candidates(&["proposal-mismatch", "no-peer-config"]);
        finding
            .summary
            .push_str(" The same gateway answered another client in these captures.");
    }
    findings.push(if enough(asked, session) {
        finding
    } else {
        finding
            .inconclusive()
            .needs("a longer capture: it ends before the sender gave up")
    });
}

/// The first message was answered, and then it did not go on.
fn stuck(story: &Story<'_>, findings: &mut Findings) {
    let facts = story.facts;
    // A message repeated although its answer is in the capture: the answer gets lost.
    for (asked, answered) in [(1, 2), (3, 4)] {
        let pair = (
            step(story, facts.message(asked)),
            step(story, facts.message(answered)),
        );
        let went_on = facts.message(answered + 1).is_some();
        if let ((Some(asked), Some(answered)), false) = (pair, went_on)
            && let Some(finding) = lost(asked, answered, Stage::IkeNegotiation)
        {
            findings.push(finding);
            return;
        }
    }
    if facts.mode != Mode::Main || facts.message(4).is_some() {
        return;
    }
    let Some(third) = step(story, facts.message(3)) else {
        return;
    };
    let finding = Finding::failure(
        &NO_RESPONSE,
        Stage::IkeNegotiation,
        Basis::Absence { of: story.responder() },
        say!(
            "The {} was sent {} times over {} without an answer, although the first message was answered.",
            third.message,
            third.sent(),
            third.spread()
        ),
    )
    .step(third, ", unanswered")
    .candidates(&["ke-group-mismatch", "fragment-lost", "response-lost", "request-never-arrived"]);
    findings.push(tell(story, finding, enough(third, story.session)));
}

/// The responder took an offer that is not the first.
fn skipped(story: &Story<'_>, findings: &mut Findings) {
    let facts = story.facts;
    let Some(chosen) = &facts.chosen else { return };
    // Some repeat the number, as RFC 2408 §4.2 asks for, others count their own.
    let algorithms = |offer: &Offer| {
        let IkeSuite {
            encryption,
            key_length,
            hash,
            group,
            authentication,
            ..
        } = offer.suite;
        (encryption, key_length, hash, group, authentication)
    };
    let same = |offer: &Offer| algorithms(offer) == algorithms(chosen);
    let mut offered = facts.offered.iter();
    let position = offered
        .position(|offer| offer.number == chosen.number && same(offer))
        .or_else(|| facts.offered.iter().position(same));
    let (Some(position), Some(answered)) = (position, step(story, facts.message(2))) else {
        return;
    };
    let over: Vec<String> = facts
        .offered
        .iter()
        .take(position)
        .map(|offer| offer.suite.to_string())
        .collect();
    if over.is_empty() {
        return;
    }
    let (count, shown) = (over.len(), over.iter().take(4).cloned().collect::<Vec<_>>());
    let more = if count > shown.len() {
        " and others"
    } else {
        ""
    };
    findings.push(
        Finding::info(
            &TRANSFORM_SKIPPED,
            Stage::IkeNegotiation,
            Basis::Seen,
            say!(
                "The {} passed over {count} offer(s) ({}{more}) and took the one at place {}, {}: harmless, whatever its log says about them.",
                if story.responder() == Side::Gateway { "gateway" } else { "client" },
                shown.join(", "),
                position + 1,
                chosen.suite
            ),
        )
        .frame(answered.at, say!("{} with {}", answered.message, chosen.suite)),
    );
}
