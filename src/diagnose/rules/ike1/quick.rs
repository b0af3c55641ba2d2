//! Did quick mode make a tunnel?

use self::secrecy::secrecy;
use super::super::child::{CHILD_REFUSED, REKEY_FAILED};
use super::super::points::REQUEST_NEVER_ARRIVED;
use super::super::reachability::{NO_RESPONSE, enough, lost};
use super::{settled, tell};
use crate::diagnose::ike1::{Reached, Story};
use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, cause, say};
use crate::time::Span;
use crate::track::ike1::{Exchange, Message, kind};
use crate::track::session::{Session, Stamp, Step};

mod secrecy;
mod superseded;

/// The family.
pub(in crate::diagnose::rules) static FAMILY: Family = Family {
    name: "ikev1-quick-mode",
    causes: &[&PHASE2_NOT_STARTED, &QUICK_MODE_SUPERSEDED],
    check,
};

cause! {
    /// ## What it means
    /// The peers authenticated each other, and then nobody asked for a tunnel.
    ///
    /// ## What is seen
    /// Phase 1 is complete, and no quick mode was begun by either end.
    ///
    /// ## Likely causes
    /// - The client has no phase-2 policy that matches, or waits for traffic that needs it.
    /// - The client waits for mode config or XAUTH, which the gateway does not begin.
    /// - The session only keeps phase 1 alive, for a tunnel negotiated before.
    ///
    /// ## What to check on each side
    /// - Client: its phase-2 settings, and its log after "ISAKMP SA established".
    /// - Both: whether XAUTH or mode config is expected by one and not by the other.
    ///
    /// ## When this is wrong
    /// When the tunnel was negotiated under an earlier phase 1 that the capture does not show.
    pub(in crate::diagnose::rules) static PHASE2_NOT_STARTED = {
        code: "phase2-not-started",
        title: "phase 1 is up, and nobody asked for a tunnel",
        remedies: [
            "Check the client's phase-2 settings (subnets, ESP proposals) and what its log says after phase 1.",
            "Check that both sides agree on whether XAUTH and mode config are used.",
        ],
        needs: "the client's log",
    }
}

cause! {
    /// ## What it means
    /// A quick mode was given up half-way, and another one, with a message ID of its own, made
    /// the tunnel. The peer goes on repeating the old one for a while: nothing is wrong.
    ///
    /// ## What is seen
    /// Two quick modes with different message IDs under one phase 1: the one left incomplete and
    /// repeated, the other one complete.
    ///
    /// ## Likely causes
    /// - Mode config came in between (a router that pushes the address), and the client began
    ///   anew with the address that it was given.
    ///
    /// ## What to check on each side
    /// - Nothing. "retransmitting phase 2" in a router's log is about the exchange that was given
    ///   up: compare the message ID in the log with the one of the quick mode that completed.
    ///
    /// ## When this is wrong
    /// When the two quick modes were for different tunnels, and one of them is missing.
    pub(in crate::diagnose::rules) static QUICK_MODE_SUPERSEDED = {
        code: "quick-mode-superseded",
        title: "a quick mode was given up for another one that succeeded",
        remedies: ["Leave it: the retransmissions of the exchange that was given up end by themselves."],
    }
}

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session) else {
        return;
    };
    if session.vantage.started_late {
        return;
    }
    let all: Vec<&Exchange> = story.facts.of_kind(kind::QUICK).collect();
    let done = all.iter().position(|e| is_done(e));
    match done {
        Some(first) => after_success(&story, &all, first, findings),
        None if story.reached == Reached::ChildDone => {}
        None => match all.last() {
            Some(last) => failed(&story, &all, last, findings),
            None => not_started(&story, findings),
        },
    }
}

fn is_done(exchange: &Exchange) -> bool {
    exchange.answer().is_some() && exchange.confirmation().is_some()
}

fn step<'a>(story: &Story<'a>, message: Option<&Message>) -> Option<&'a Step> {
    message.and_then(|message| story.step(message))
}

/// A tunnel was made: what the other quick modes were.
fn after_success(story: &Story<'_>, all: &[&Exchange], first: usize, findings: &mut Findings) {
    // The third message may be lost all the same: the responder asks for it again and again.
    if let Some(exchange) = all
        .get(first)
        .filter(|_| all.iter().filter(|e| is_done(e)).count() == 1)
        && third_lost(story, exchange, findings)
    {
        return;
    }
    let undone: Vec<&&Exchange> = all.iter().filter(|e| !is_done(e)).collect();
    let (early, late): (Vec<&Exchange>, Vec<&Exchange>) =
        undone.into_iter().partition(|e| superseded::is(all, e));
    for exchange in early {
        if superseded::by_another(story, all, exchange) {
            further_refused(story, exchange, findings);
        } else {
            superseded::note(story, all, exchange, findings);
        }
    }
    // A renewal that was refused, and none that succeeded after it.
    let refused = late.into_iter().rfind(|e| refusal(story, e).is_some());
    if let Some(exchange) = refused {
        rekey_refused(story, exchange, findings);
    }
}

/// The responder repeats its second message although the third was sent: the third gets lost.
/// `true` where that is so.
fn third_lost(story: &Story<'_>, exchange: &Exchange, findings: &mut Findings) -> bool {
    let (Some(answered), Some(third)) = (
        step(story, exchange.answer()),
        step(story, exchange.confirmation()),
    ) else {
        return false;
    };
    let begged: Vec<Stamp> = answered
        .repeats
        .stamps
        .iter()
        .copied()
        .filter(|stamp| stamp.time > third.at.time)
        .collect();
    let peer = exchange.by.other();
    let used = story.esp(peer) > 0;
    if begged.len() < 2 || used || begged.last() < Some(&third.at) {
        return false;
    }
    for code in ["esp-one-way", "esp-blocked"] {
        findings.withdraw(code);
    }
    findings.push(
        Finding::failure(
            &REQUEST_NEVER_ARRIVED,
            Stage::IpsecChild,
            Basis::Inferred,
            say!(
                "The {} sent quick mode 2 {} times and no data, although the {} answered with quick mode 3 {} times: that message does not reach it.",
                peer.word(),
                answered.sent(),
                exchange.by.word(),
                third.sent()
            ),
        )
        .step(answered, "")
        .step(third, ", never heard")
        .candidates(&["retransmission-storm"]),
    );
    true
}

/// The message by which the peer refuses a quick mode: its next informational one, before
/// anything else of it.
fn refusal<'a>(story: &Story<'a>, exchange: &Exchange) -> Option<&'a Step> {
    let asked = step(story, exchange.first())?;
    if exchange.answer().is_some() {
        return None;
    }
    let peer = exchange.by.other();
    // An answer comes within a round trip and some thinking, and before the question is put
    // again for the second time.
    let patience = story.round_trip().unwrap_or_default() + Span::from_secs(2);
    let prompt = |message: &&Message| {
        asked.sightings().any(|stamp| {
            let wait = message.at.time - stamp.time;
            wait.0 >= -Stamp::JITTER.0 && wait <= patience
        })
    };
    let after = story.informationals(peer, asked.at).next().filter(prompt);
    // Where times run wrong it may stand before the question; then its size must say what it is.
    let fits = |message: &&Message| usize::try_from(message.length).ok() == story.one_notify();
    let before = || {
        story
            .facts
            .of_kind(kind::INFORMATIONAL)
            .flat_map(|e| &e.messages)
            .find(|m| m.from == peer && m.at <= asked.at && m.at.follows(asked.at) && fits(m))
    };
    after
        .or_else(before)
        .and_then(|message| story.step(message))
}

/// No quick mode was completed.
fn failed(story: &Story<'_>, all: &[&Exchange], last: &Exchange, findings: &mut Findings) {
    if let Some(refused) = refusal(story, last) {
        findings.push(child_refused(story, all, last, refused));
        return;
    }
    let righted = righted(story, last);
    let last = righted.as_ref().unwrap_or(last);
    let Some(asked) = step(story, last.first()) else {
        return;
    };
    match step(story, last.answer()) {
        // Data of the one that asked: the answer was there, and this capture lacks it.
        None if !story.session.esp.is_empty() => {}
        None => unanswered(story, last, asked, findings),
        Some(answered) => unconfirmed(story, last, asked, answered, findings),
    }
}

/// The same exchange with its first two messages in the right order, where they came within the
/// time that clocks may err and only the one that seems to answer sends data: the responder would
/// wait for the third message, so it is the other one.
fn righted(story: &Story<'_>, exchange: &Exchange) -> Option<Exchange> {
    let [first, second] = exchange.messages.as_slice() else {
        return None;
    };
    let wrong = second.from != first.from
        && first.at.follows(second.at)
        && story.esp(second.from) > 0
        && story.esp(first.from) == 0;
    wrong.then(|| Exchange {
        by: second.from,
        messages: vec![second.clone(), first.clone()],
        ..exchange.clone()
    })
}

fn child_refused(
    story: &Story<'_>,
    all: &[&Exchange],
    exchange: &Exchange,
    refused: &Step,
) -> Finding {
    let attempts = all.len();
    let asked = step(story, exchange.first());
    let length = asked.map_or(0, |step| step.length);
    // One notify about an SA of phase 2 and nothing else: too short for a question of liveness,
    // and there is no SA yet to delete.
    let only_notify = usize::try_from(refused.length).is_ok_and(|len| {
        story.one_notify() == Some(len) && story.liveness().is_some_and(|probe| len < probe)
    });
    // Where the responder of phase 1 seems to ask, it may be answering what this capture lacks.
    let asks = exchange.by == story.initiator();
    let basis = if only_notify && asks && story.session.esp.is_empty() {
        Basis::Proven
    } else {
        Basis::Inferred
    };
    let mut finding = Finding::failure(
        &CHILD_REFUSED,
        Stage::IpsecChild,
        basis,
        say!(
            "The {} answered quick mode 1 ({length} octets) with an encrypted informational message of {} octets instead of quick mode 2{}.",
            refused.from.word(),
            refused.length,
            if attempts > 1 {
                say!(", {attempts} times")
            } else {
                String::new()
            }
        ),
    )
    .candidates(&["child-proposal-mismatch", "ts-unacceptable"])
    .exclude("psk-mismatch", "phase 1 is done")
    .exclude("proposal-mismatch", "phase 1 is done");
    if let Some(asked) = asked {
        finding = finding.step(asked, "");
    }
    finding = finding.step(refused, " instead of quick mode 2");
    if story.facts.of_kind(kind::TRANSACTION).next().is_some() {
        // Without the address that mode config was to bring, the client asks for another tunnel.
        finding = finding.candidates(&["config-no-address"]);
    }
    secrecy(story, length, finding)
}

fn unanswered(story: &Story<'_>, exchange: &Exchange, asked: &Step, findings: &mut Findings) {
    if super::auth::aggressive_blocked(story, asked, findings) {
        return;
    }
    let finding = Finding::failure(
        &NO_RESPONSE,
        Stage::IpsecChild,
        Basis::Absence { of: exchange.by.other() },
        say!(
            "The {} (message ID {:08x}) was sent {} times over {} without an answer, after phase 1 was done.",
            asked.message,
            exchange.id,
            asked.sent(),
            asked.spread()
        ),
    )
    .sure(Confidence::Likely)
    .step(asked, ", unanswered")
    .candidates(&[
        "child-proposal-mismatch",
        "ts-unacceptable",
        "pfs-mismatch",
        "response-lost",
        "request-never-arrived",
    ]);
    findings.push(tell(story, finding, enough(asked, story.session)));
}

/// Quick mode 2 is there, quick mode 3 is not.
fn unconfirmed(
    story: &Story<'_>,
    exchange: &Exchange,
    asked: &Step,
    answered: &Step,
    findings: &mut Findings,
) {
    if let Some(finding) = lost(asked, answered, Stage::IpsecChild) {
        for code in ["esp-one-way", "esp-blocked"] {
            findings.withdraw(code);
        }
        findings.push(finding);
        return;
    }
    if let Some(finding) = second_refused(story, exchange, answered) {
        findings.push(finding);
        return;
    }
    let sent = story.esp(exchange.by);
    if answered.repeats.count == 0 && sent == 0 {
        return;
    }
    for code in ["esp-one-way", "esp-blocked"] {
        findings.withdraw(code);
    }
    let (cause, data) = if sent > 0 {
        (
            &REQUEST_NEVER_ARRIVED,
            say!(
                " The {} sends its data ({sent} ESP packets), so it has answered: quick mode 3 is lost before it gets here.",
                exchange.by.word()
            ),
        )
    } else {
        (&NO_RESPONSE, String::new())
    };
    let mut finding = Finding::failure(
        cause,
        Stage::IpsecChild,
        if sent > 0 {
            Basis::Inferred
        } else {
            Basis::Absence { of: exchange.by }
        },
        say!(
            "Quick mode 2 was sent {} times over {}, and no quick mode 3 came.{data}",
            answered.sent(),
            answered.spread()
        ),
    )
    .sure(Confidence::Likely)
    .frame(asked.at, asked.message.to_string())
    .step(answered, ", not confirmed");
    finding = if sent > 0 {
        finding
    } else {
        finding.candidates(&["response-lost", "request-never-arrived", "child-refused"])
    };
    for (stamp, len) in story.session.esp.iter().flat_map(|f| &f.head).take(4) {
        finding = finding.frame(
            *stamp,
            say!("ESP of {len} octets, the tunnel counts as made there"),
        );
    }
    let told = answered.sent() >= 2 || settled(story.session);
    findings.push(tell(story, finding, told));
}

/// The one who asked does not take the answer, and says so at once in one notify: there is no SA
/// yet that it could delete.
fn second_refused(story: &Story<'_>, exchange: &Exchange, answered: &Step) -> Option<Finding> {
    let patience = story.round_trip().unwrap_or_default() + Span::from_millis(500);
    let refused = story
        .informationals(exchange.by, answered.at)
        .next()
        .filter(|m| m.at.time - answered.at.time <= patience)
        .filter(|m| usize::try_from(m.length).ok() == story.one_notify())
        .and_then(|message| story.step(message))?;
    if story.esp(exchange.by) > 0 {
        return None;
    }
    let finding = Finding::failure(
        &CHILD_REFUSED,
        Stage::IpsecChild,
        Basis::Inferred,
        say!(
            "The {} answered quick mode 1, and the {} sent an encrypted informational message of {} octets, one notify, instead of quick mode 3: it refuses what was chosen, or cannot install it.",
            answered.from.word(),
            refused.from.word(),
            refused.length
        ),
    )
    .step(answered, "")
    .step(refused, " instead of quick mode 3")
    .candidates(&["child-proposal-mismatch", "ts-unacceptable"])
    .exclude("psk-mismatch", "phase 1 is done")
    .exclude("proposal-mismatch", "phase 1 is done")
    .remedy(say!(
        "Read the {}'s log: it names what it does not take in the answer, or what it could not install.",
        refused.from.word()
    ));
    Some(finding)
}

/// One of several tunnels that were asked for in a row was refused: the others work.
fn further_refused(story: &Story<'_>, exchange: &Exchange, findings: &mut Findings) {
    let (Some(asked), Some(refused)) = (step(story, exchange.first()), refusal(story, exchange))
    else {
        return;
    };
    let finding = Finding::degradation(
        &CHILD_REFUSED,
        Stage::IpsecChild,
        Basis::Inferred,
        say!(
            "One of several quick modes in a row (message ID {:08x}, {} octets) was answered with an informational message of {} octets: that tunnel was refused, the others were made.",
            exchange.id, asked.length, refused.length
        ),
    )
    .step(asked, "")
    .step(refused, " instead of quick mode 2")
    .candidates(&["child-proposal-mismatch", "ts-unacceptable"]);
    findings.push(secrecy(story, asked.length, finding));
}

/// A later quick mode was refused: the tunnel will end with its lifetime.
fn rekey_refused(story: &Story<'_>, exchange: &Exchange, findings: &mut Findings) {
    let (Some(asked), Some(refused)) = (step(story, exchange.first()), refusal(story, exchange))
    else {
        return;
    };
    let finding = Finding::degradation(
        &REKEY_FAILED,
        Stage::IpsecChild,
        Basis::Inferred,
        say!(
            "A further quick mode (message ID {:08x}, {} octets) was answered with an informational message of {} octets: the tunnel is not renewed, or a second one not made.",
            exchange.id, asked.length, refused.length
        ),
    )
    .step(asked, "")
    .step(refused, " instead of quick mode 2")
    .candidates(&["child-proposal-mismatch", "ts-unacceptable"]);
    findings.push(secrecy(story, asked.length, finding));
}

/// Phase 1 is done, and nobody began a quick mode.
fn not_started(story: &Story<'_>, findings: &mut Findings) {
    let done = matches!(story.reached, Reached::Authenticated | Reached::Configuring);
    if !done || story.facts.renews.is_some() || findings.any_trouble() {
        return;
    }
    // What came before is complete, mode config and XAUTH included.
    let transactions: Vec<&Exchange> = story.facts.of_kind(kind::TRANSACTION).collect();
    let last = match transactions.last() {
        Some(transaction) => step(story, transaction.answer()),
        None => step(story, story.acceptance()),
    };
    let Some(last) = last else { return };
    let waited = story.session.vantage.watched_after + (story.session.last.time - last.at.time);
    let finding = Finding::failure(
        &PHASE2_NOT_STARTED,
        Stage::IpsecChild,
        Basis::Absence {
            of: story.initiator(),
        },
        say!(
            "Phase 1 was done with {}, and in {waited} after it nobody began a quick mode.",
            last.message
        ),
    )
    .sure(Confidence::Possible)
    .frame(last.at, last.message.to_string());
    findings.push(tell(story, finding, waited >= Span::from_secs(10)));
}
