//! What a capture says about the causes behind a code or log line.
//!
//! In: an explanation and the sessions of a report. Out: the same explanation, each cause
//! supported, excluded or left open, with the frames that say so, the supported ones first.
//! Nothing is diagnosed here: findings are taken at their word, and what they leave open is
//! decided by how far the session came. [`single`] weighs one cause in one session, [`ladder`]
//! by how far it came, [`attempt`] tells whether line and capture belong together.

use std::collections::BTreeSet;

use attempt::Named;
use single::{one, open};

use super::catalogue::{Catalogue, Cause, Entry, EntryKind};
use super::model::{CHECKS, CauseVerdict, Explanation, Match, MatchKind, spread};
use crate::report::{EvidenceReport, FindingReport, SessionReport};

mod attempt;
mod ladder;
mod single;

/// How many sessions are weighed against each other.
const SESSIONS: usize = 64;
/// How many frames stand for one cause.
const FRAMES: usize = 6;
/// What stands where encryption hides which of several causes it is.
const PARENTS: &[&str] = &[
    "auth-failed",
    "cert-rejected",
    "child-refused",
    "login-failed",
    "tls-hello-rejected",
];
/// How many causes an answer excludes at least, where the capture allows it.
const EXCLUDED: usize = 2;

/// Judges every cause of every match by what `sessions` show.
pub fn judge(explanation: &mut Explanation, sessions: &[SessionReport]) {
    let catalogue = Catalogue::builtin();
    let named = Named::find(&explanation.query);
    let of_line: Vec<&SessionReport> = sessions
        .iter()
        .filter(|session| named.fits(session))
        .collect();
    let other_time = named.other_time(&sessions.iter().collect::<Vec<_>>());
    let elsewhere = !named.is_empty() && of_line.is_empty() && !sessions.is_empty();
    let candidates = if of_line.is_empty() {
        sessions.iter().collect()
    } else {
        of_line
    };
    let chosen = chosen(&candidates);
    for found in &mut explanation.matches {
        if elsewhere {
            found.different_attempt = Some(named.missing());
        } else {
            found.different_attempt.clone_from(&other_time);
        }
        judge_match(catalogue, found, &explanation.query, &chosen);
    }
}

/// The sessions that matter: those in trouble, else those that cannot be told, else all.
fn chosen<'a>(sessions: &[&'a SessionReport]) -> Vec<&'a SessionReport> {
    let of = |outcomes: &[&str]| {
        let fits = |s: &&&SessionReport| outcomes.contains(&s.outcome);
        let list: Vec<_> = sessions
            .iter()
            .filter(fits)
            .copied()
            .take(SESSIONS)
            .collect();
        Some(list).filter(|list| !list.is_empty())
    };
    of(&["failed", "degraded"])
        .or_else(|| of(&["incomplete"]))
        .or_else(|| of(&["established"]))
        .unwrap_or_default()
}

fn judge_match(catalogue: &Catalogue, found: &mut Match, query: &str, sessions: &[&SessionReport]) {
    if sessions.is_empty() {
        return;
    }
    let entry = catalogue
        .entries()
        .iter()
        .find(|entry| Some(&entry.product) == found.product.as_ref() && entry.code == found.code);
    for verdict in &mut found.causes {
        if let Some(cause) = catalogue.cause(&verdict.code) {
            *verdict = weigh(cause, sessions);
        }
    }
    let settled = entry.map_or_else(BTreeSet::new, |entry| settle(entry, found, sessions));
    if found.different_attempt.is_none() {
        found.different_attempt = entry.and_then(|entry| {
            attempt::other_stage(entry, query, sessions)
                .or_else(|| attempt::nothing_left(entry, found, sessions))
        });
    }
    if found.kind != MatchKind::Cause {
        add_primary(found, sessions);
    }
    let rank = |verdict: &CauseVerdict| {
        let primary = sessions
            .iter()
            .any(|session| session.cause == Some(verdict.code.as_str()));
        match verdict.supported {
            Some(true) if settled.contains(&verdict.code) => 0,
            Some(true) if primary => 1,
            Some(true) => 2,
            None if !verdict.evidence.is_empty() => 3,
            None => 4,
            Some(false) => 5,
        }
    };
    found.causes.sort_by_key(rank);
    if let Some(entry) = entry.filter(|entry| !entry.benign && !entry.causes.is_empty()) {
        recheck(catalogue, entry, found);
        add_excluded(catalogue, found, sessions);
    }
}

/// Where encryption hides which of several causes it is, the line may say it, or only one of
/// them goes with the code: capture and line together settle it. The codes of those.
fn settle(entry: &Entry, found: &mut Match, sessions: &[&SessionReport]) -> BTreeSet<String> {
    let mut settled = BTreeSet::new();
    for finding in sessions.iter().filter_map(|session| primary(session)) {
        let left: Vec<&String> = entry
            .causes
            .iter()
            .filter(|code| {
                *code != finding.code && finding.candidates.iter().any(|other| other == *code)
            })
            .collect();
        let is_listed = entry.causes.iter().any(|code| code == finding.code);
        let code = match (left.as_slice(), entry.causes.first()) {
            ([code, ..], Some(first)) if entry.names_cause && *code == first => *code,
            ([code], _) if !is_listed && PARENTS.contains(&finding.code) => *code,
            _ => continue,
        };
        let verdict = found
            .causes
            .iter_mut()
            .find(|verdict| verdict.code == *code && verdict.supported.is_none());
        if let Some(verdict) = verdict {
            let says = match entry.kind {
                _ if !entry.names_cause => "only this of its reasons goes with the code",
                EntryKind::Code => "the code says which reason it had",
                EntryKind::LogLine => "the line says which reason it had",
            };
            verdict.supported = Some(true);
            verdict.because = format!(
                "the capture shows {}, {says}: {}",
                finding.code, finding.summary
            );
            settled.insert(code.clone());
        }
    }
    settled
}

/// What the capture shows, where it is none of the usual causes.
fn add_primary(found: &mut Match, sessions: &[&SessionReport]) {
    let listed = |code: &str| found.causes.iter().any(|verdict| verdict.code == code);
    let missing = sessions.iter().find_map(|session| {
        let finding = primary(session)?;
        (!listed(finding.code)).then_some(finding)
    });
    let any_listed = sessions
        .iter()
        .any(|session| session.cause.is_some_and(&listed));
    if let Some(finding) = missing.filter(|_| !any_listed && !found.causes.is_empty()) {
        let is_parent =
            PARENTS.contains(&finding.code) && finding.candidates.iter().any(|code| listed(code));
        let how = if is_parent {
            "encryption hides for which of several reasons: "
        } else if found.different_attempt.is_some() {
            "what this capture shows instead: "
        } else {
            "not one of the usual causes, but what the capture shows: "
        };
        found.causes.push(CauseVerdict {
            code: finding.code.to_owned(),
            supported: Some(true),
            because: format!("{how}{}", finding.summary),
            evidence: frames(finding),
        });
    }
}

/// What to check, now that the capture has ranked the causes: nothing of what it excludes.
fn recheck(catalogue: &Catalogue, entry: &Entry, found: &mut Match) {
    let left: Vec<&Cause> = found
        .causes
        .iter()
        .filter(|verdict| verdict.supported != Some(false))
        .filter_map(|verdict| catalogue.cause(&verdict.code))
        .collect();
    if left.is_empty() {
        return;
    }
    found.check = spread(&left);
    found.check.extend(entry.check.iter().cloned());
    found.check.truncate(CHECKS);
}

/// What is often taken for the fault, along the ladder.
const OFTEN_SUSPECTED: &[&str] = &[
    "proposal-mismatch",
    "nat-t-blocked",
    "psk-mismatch",
    "esp-blocked",
    "l2tp-no-response",
    "ppp-auth-failed",
    "tcp-no-answer",
    "tls-version-mismatch",
    "login-failed",
    "no-response",
    "dns-no-answer",
    "service-not-started",
];

/// Where the capture excludes little of what the entry can mean, what else it excludes: to
/// know what need not be checked is half of the answer.
fn add_excluded(catalogue: &Catalogue, found: &mut Match, sessions: &[&SessionReport]) {
    let is_excluded = |verdict: &CauseVerdict| {
        verdict.supported == Some(false) && verdict.evidence.iter().any(|at| at.frame > 0)
    };
    let excluded = found.causes.iter().filter(|one| is_excluded(one)).count();
    let more: Vec<CauseVerdict> = OFTEN_SUSPECTED
        .iter()
        .filter(|code| !found.causes.iter().any(|verdict| verdict.code == **code))
        .filter_map(|code| catalogue.cause(code))
        .filter(|cause| fits_kind(cause, sessions))
        .map(|cause| weigh(cause, sessions))
        .filter(is_excluded)
        .take(EXCLUDED.saturating_sub(excluded))
        .collect();
    found.causes.extend(more);
}

/// Whether somebody would suspect the cause in a session of this kind.
fn fits_kind(cause: &Cause, sessions: &[&SessionReport]) -> bool {
    sessions.iter().any(|session| {
        let way = ladder::way(session.kind);
        cause
            .stage
            .iter()
            .any(|stage| way.contains(&stage.as_str()))
    })
}

/// The finding that names the session's cause.
fn primary(session: &SessionReport) -> Option<&FindingReport> {
    let code = session.cause?;
    session.findings.iter().find(|finding| finding.code == code)
}

fn frames(finding: &FindingReport) -> Vec<EvidenceReport> {
    finding.evidence.iter().take(FRAMES).cloned().collect()
}

/// One cause over all sessions: what one supports stands; what none leaves open is out.
fn weigh(cause: &Cause, sessions: &[&SessionReport]) -> CauseVerdict {
    let mut verdicts = sessions.iter().map(|session| one(cause, session));
    let Some(mut best) = verdicts.next() else {
        return open(cause, String::new(), Vec::new());
    };
    let rank = |supported: Option<bool>| match supported {
        Some(true) => 0,
        None => 1,
        Some(false) => 2,
    };
    for verdict in verdicts {
        let better = rank(verdict.supported) < rank(best.supported)
            || verdict.supported.is_none() && best.supported.is_none() && best.evidence.is_empty();
        if better {
            best = verdict;
        }
    }
    best
}
