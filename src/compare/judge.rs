//! What became of a session, from all points together.
//!
//! The verdict of each capture alone stands first. Where it could only say that something did
//! not come, the points between which it was lost say more (`loss`), and what only several
//! points can prove (`change`) stands before what one of them took for the cause. Where all
//! is well, a loss by size is still worth telling.

use super::Point;
use super::group::{Group, Row};
use super::matching::Matches;
use super::record::{Record, What};
use crate::diagnose::{
    Basis, Cause, Confidence, Finding, Outcome, Severity, Stage, Verdict, causes,
};
use crate::time::Timestamp;
use merge::{beside, outweighs, prime};

mod change;
mod loss;
mod merge;
mod watch;

/// The verdict, and the session that stands for the group.
#[derive(Debug)]
pub struct Judgement {
    /// Point and index of the session whose facts are reported.
    pub base: (usize, usize),
    /// The verdict from all points.
    pub verdict: Verdict,
    /// Sentences for a person: what was changed, made or delayed between the points.
    pub notes: Vec<String>,
}

/// Causes that say no more than that something did not come: the other capture knows better.
const WEAK: &[&str] = &[
    "no-response",
    "tcp-no-answer",
    "l2tp-no-response",
    "request-never-arrived",
    "response-lost",
    "nat-t-blocked",
    "esp-blocked",
    "esp-one-way",
    "fragment-lost",
    "nat-t-not-supported",
];

/// What became of a datagram on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Seen at the last point of its way.
    Passed,
    /// Not seen any more after the first of these points, although the second one watched.
    Lost { after: usize, before: usize },
    /// The points that did not see it may not have been watching.
    Unknown,
}

struct Judge<'a> {
    points: &'a [Point],
    matches: &'a Matches,
    group: &'a Group,
    fates: Vec<Fate>,
    /// What each point has in common with each other one.
    common: Vec<Vec<Option<(Timestamp, Timestamp)>>>,
    /// Points whose captures lack frames.
    leaky: Vec<bool>,
}

/// Judges a group.
pub fn judge(points: &[Point], matches: &Matches, group: &Group) -> Judgement {
    let mut judge = Judge {
        points,
        matches,
        group,
        fates: Vec::new(),
        common: Vec::new(),
        leaky: Vec::new(),
    };
    judge.common = judge.common();
    judge.fates = group.rows.iter().map(|row| judge.fate(row)).collect();
    judge.leaky = (0..points.len()).map(|point| judge.leaks(point)).collect();
    judge.verdict()
}

fn is_trouble(verdict: &Verdict) -> bool {
    matches!(verdict.outcome, Outcome::Failed | Outcome::Degraded)
}

fn is_weak(verdict: &Verdict) -> bool {
    verdict.cause.is_none_or(|cause| WEAK.contains(&cause))
}

fn cause(code: &str) -> Option<&'static Cause> {
    causes().find(|cause| cause.code == code)
}

impl Judge<'_> {
    fn record(&self, row: &Row, point: usize) -> Option<&Record> {
        Group::record(self.points, self.matches, row, point)
    }

    /// The record of a row nearest to its sender.
    fn sent(&self, row: &Row) -> Option<(usize, &Record)> {
        self.group
            .path(row.from)
            .into_iter()
            .find_map(|point| Some((point, self.record(row, point)?)))
    }

    fn fate(&self, row: &Row) -> Fate {
        if self
            .sent(row)
            .is_some_and(|(_, r)| matches!(r.what, What::Icmp { .. }))
        {
            // An ICMP error starts anywhere on the way.
            return Fate::Unknown;
        }
        let path = self.group.path(row.from);
        let Some(last) = path
            .iter()
            .rposition(|point| self.record(row, *point).is_some())
        else {
            return Fate::Unknown;
        };
        match (path.get(last), path.get(last + 1)) {
            (_, None) => Fate::Passed,
            (Some(after), Some(before)) if self.watched(*before, row.time) => Fate::Lost {
                after: *after,
                before: *before,
            },
            _ => Fate::Unknown,
        }
    }

    fn rows(&self) -> impl Iterator<Item = (&Row, Fate)> {
        self.group.rows.iter().zip(self.fates.iter().copied())
    }

    fn name(&self, point: usize) -> &str {
        self.points.get(point).map_or("?", |p| p.name.as_str())
    }

    fn verdicts(&self) -> Vec<((usize, usize), &Verdict)> {
        // From the client's end on: its story is the user's.
        self.group
            .order
            .iter()
            .flat_map(|point| {
                let list = self.group.members.get(*point).into_iter().flatten();
                list.filter_map(move |number| {
                    let filed = self.points.get(*point)?.filed.get(*number)?;
                    Some(((*point, *number), &filed.verdict))
                })
            })
            .collect()
    }

    fn verdict(&self) -> Judgement {
        let all = self.verdicts();
        let strong = all
            .iter()
            .filter(|(_, v)| is_trouble(v) && !is_weak(v))
            .max_by_key(|(_, v)| v.confidence);
        // Of equal confidence the last is taken by max_by_key; the client's comes first.
        let strong = strong.and_then(|(_, best)| {
            all.iter()
                .find(|(_, v)| is_trouble(v) && !is_weak(v) && v.confidence == best.confidence)
        });
        let weak = all.iter().find(|(_, v)| is_trouble(v));
        let good = all.iter().find(|(_, v)| v.outcome == Outcome::Established);
        let Some((base, verdict)) = strong.or(weak).or(good).or(all.first()) else {
            return Judgement {
                base: (0, 0),
                verdict: nothing(),
                notes: Vec::new(),
            };
        };
        let mut verdict = (*verdict).clone();
        let healthy = strong.is_none() && weak.is_none() && good.is_some();
        let mut list = self.cross(&verdict, healthy);
        list.retain(|finding| {
            // One capture could not tell, and the other one may just have ended.
            is_trouble(&verdict)
                || finding.confidence == Confidence::Certain
                || finding.evidence.len() >= 3
        });
        let best = if strong.is_some() {
            list.iter().position(|f| outweighs(f, &verdict))
        } else {
            list.iter().position(|f| f.severity != Severity::Info)
        };
        if let Some(finding) = best.map(|index| list.remove(index)) {
            prime(&mut verdict, finding);
        }
        for (n, finding) in list.into_iter().enumerate() {
            beside(&mut verdict, finding, n == 0 && best.is_none());
        }
        let mut notes: Vec<String> = self.disown(&mut verdict).into_iter().collect();
        notes.extend(self.clamped());
        notes.extend(self.delays());
        Judgement {
            base: *base,
            verdict,
            notes,
        }
    }

    /// What only several points can tell, the strongest first.
    fn cross(&self, verdict: &Verdict, healthy: bool) -> Vec<Finding> {
        let stage = verdict.stage;
        let mut list: Vec<Finding> = self.by_size().into_iter().collect();
        if healthy {
            // It works: whoever changed octets changed them in the capture, or harmlessly.
            list.extend(self.altered(stage).map(|mut finding| {
                finding.severity = Severity::Info;
                finding.outcome = Outcome::Established;
                finding
            }));
            return list;
        }
        list.extend(self.altered(stage));
        list.extend(self.mapping(stage));
        list.extend(self.fragments(stage));
        list.extend(self.port_4500());
        list.extend(self.esp());
        list.extend(self.reset(stage));
        list.extend(self.stuck(stage));
        list
    }

    fn finding(
        &self,
        code: &str,
        stage: Stage,
        before: usize,
        lost: &[&Row],
        summary: String,
    ) -> Option<Finding> {
        let proven = self.is_proven(before, lost);
        let mut finding =
            Finding::failure(cause(code)?, stage, Basis::Seen, summary).sure(if proven {
                Confidence::Certain
            } else {
                Confidence::Likely
            });
        for row in lost.iter().take(16) {
            if let Some((point, record)) = self.sent(row) {
                finding = finding.frame(
                    record.at,
                    format!(
                        "{}, seen at {}, not at {}",
                        row.name,
                        self.name(point),
                        self.name(before)
                    ),
                );
            }
        }
        if !proven {
            finding = finding.needs(format!(
                "a capture at {} that goes on until after the last of these messages, without gaps",
                self.name(before)
            ));
        }
        Some(finding)
    }
}

fn nothing() -> Verdict {
    Verdict {
        outcome: Outcome::Incomplete,
        stage: Stage::Reachability,
        cause: None,
        confidence: Confidence::Possible,
        findings: Vec::new(),
        traps: Vec::new(),
    }
}
