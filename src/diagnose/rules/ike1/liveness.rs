//! Is the peer of IKEv1 still there, and who ended it?

use std::collections::BTreeMap;

use super::super::esp::{ESP_BLOCKED, by_way_of};
use super::super::liveness::{DPD_TIMEOUT, PEER_DELETED, service_gone};
use crate::diagnose::ike1::{Reached, Story};
use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, say};
use crate::time::Span;
use crate::track::ike1::{Message, kind};
use crate::track::session::{Session, Side, Step};

/// The family.
pub(in crate::diagnose::rules) static FAMILY: Family = Family {
    name: "ikev1-liveness",
    causes: &[],
    check,
};

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session) else {
        return;
    };
    if story.reached < Reached::ChildDone && story.facts.renews.is_none() {
        return;
    }
    if dead(&story, findings) {
        return;
    }
    never_used(&story, findings);
    deleted(&story, findings);
}

/// The messages of one length, latest first, that stand out at the end where one end alone speaks.
fn questions<'a>(all: &[&'a Message]) -> Vec<&'a Message> {
    let mut backwards = all.iter().rev().copied().peekable();
    let Some(from) = backwards.peek().map(|last| last.from) else {
        return Vec::new();
    };
    let tail: Vec<&Message> = backwards.take_while(|m| m.from == from).collect();
    // Who gives up takes his leave, in messages of another length than that of his questions.
    let mut alike: BTreeMap<u32, usize> = BTreeMap::new();
    for message in &tail {
        *alike.entry(message.length).or_default() += 1;
    }
    let usual = alike.into_iter().max_by_key(|(_, count)| *count);
    let Some((length, _)) = usual else {
        return Vec::new();
    };
    tail.into_iter().filter(|m| m.length == length).collect()
}

/// Questions of one end that the other one does not answer any more. Each has a message ID of its
/// own (RFC 3706 §5); those of one kind have one length.
fn dead(story: &Story<'_>, findings: &mut Findings) -> bool {
    let all: Vec<&Message> = story
        .facts
        .of_kind(kind::INFORMATIONAL)
        .flat_map(|exchange| &exchange.messages)
        .collect();
    let run = questions(&all);
    let Some(last) = run.first().copied() else {
        return false;
    };
    let asked: Vec<&Step> = run.iter().rev().filter_map(|m| story.step(m)).collect();
    // Questions come spaced; deletes of several SAs come at once.
    let spaced = asked
        .windows(2)
        .filter(|pair| match pair {
            [a, b] => b.at.time - a.at.time >= Span::from_millis(400),
            _ => false,
        })
        .count();
    let repeats: u32 = asked.iter().map(|step| step.repeats.count).sum();
    let Some(first) = asked.first() else {
        return false;
    };
    let silent = last.from.other();
    let heard = story.heard_after(silent, first.at);
    // Two questions may cross with their answers; three in a row do not.
    if heard || spaced + usize::try_from(repeats).unwrap_or_default() < 2 {
        return false;
    }
    for code in ["esp-one-way", "esp-blocked"] {
        findings.withdraw(code);
    }
    let times = asked.len() + usize::try_from(repeats).unwrap_or_default();
    let over = last.at.time - first.at.time;
    let mut finding = Finding::failure(
        &DPD_TIMEOUT,
        Stage::EspData,
        Basis::Absence { of: silent },
        say!(
            "The {} sent {times} informational messages of {} octets over {over}, the size of a liveness check, and the {} did not answer any more.",
            last.from.word(),
            last.length,
            silent.word()
        ),
    );
    for step in &asked {
        finding = finding.step(step, ", unanswered");
    }
    // The last question that was answered shows what an answer looks like.
    let answered = all
        .iter()
        .rfind(|m| m.from == silent && m.length == last.length)
        .and_then(|m| story.step(m));
    if let Some(step) = answered {
        finding = finding.frame(step.at, "the last answer");
    }
    let probe = usize::try_from(last.length).ok() == story.liveness();
    if probe && times >= if answered.is_some() { 3 } else { 4 } {
        finding = finding.sure(Confidence::Certain);
    }
    findings.push(service_gone(finding, story.session, last.from));
    true
}

/// Made, never used, and taken down: perhaps its data never got here.
fn never_used(story: &Story<'_>, findings: &mut Findings) {
    let session = story.session;
    let made = story
        .facts
        .of_kind(kind::QUICK)
        .filter_map(|e| e.confirmation())
        .next_back();
    let (Some(made), Some(left)) = (made, story.farewell()) else {
        return;
    };
    let seen = !session.esp.is_empty() || !session.knows_esp();
    if seen || session.vantage.started_late || findings.any_trouble() {
        return;
    }
    findings.push(by_way_of(
        &story.facts.nat,
        Finding::failure(
            &ESP_BLOCKED,
            Stage::EspData,
            Basis::Absence { of: left.from },
            say!(
                "The tunnel was made, no ESP was seen at all, and after {} the {} took it down: its data may have been lost before this point, or there were none.",
                left.at.time - made.at.time,
                left.from.word()
            ),
        )
        .inconclusive()
        .frame(made.at, "the last message of quick mode")
        .frame(left.at, "informational message: a delete by its place")
        .needs("a capture at the other end at the same time"),
    ));
}

/// One end took its leave.
fn deleted(story: &Story<'_>, findings: &mut Findings) {
    if findings.any_trouble() || story.session.esp.is_empty() {
        return;
    }
    let Some(left) = story.farewell().and_then(|message| story.step(message)) else {
        return;
    };
    let who = if left.from == Side::Client {
        "client"
    } else {
        "gateway"
    };
    findings.push(
        Finding::info(
            &PEER_DELETED,
            Stage::EspData,
            Basis::Inferred,
            say!("The {who} ended the session with an informational message; nothing followed."),
        )
        .frame(left.at, say!("{}, {} octets", left.message, left.length)),
    );
}
