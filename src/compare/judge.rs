//! What became of a session, from all points together.
//!
//! The verdict of each capture alone stands first. Where it could only say that something did
//! not come, the points between which it was lost say more; where all is well, a loss by size
//! or in one direction is still worth telling.

use std::collections::BTreeMap;

use super::Point;
use super::group::{Group, Row};
use super::matching::Matches;
use super::record::{Record, What};
use crate::diagnose::{
    Basis, Cause, Confidence, Finding, Outcome, Severity, Stage, Verdict, causes,
};
use crate::time::Timestamp;
use crate::track::session::Side;

/// The verdict, and the session that stands for the group.
#[derive(Debug)]
pub struct Judgement {
    /// Point and index of the session whose facts are reported.
    pub base: (usize, usize),
    /// The verdict from all points.
    pub verdict: Verdict,
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
}

/// Judges a group.
pub fn judge(points: &[Point], matches: &Matches, group: &Group) -> Judgement {
    let mut judge = Judge {
        points,
        matches,
        group,
        fates: Vec::new(),
    };
    judge.fates = group.rows.iter().map(|row| judge.fate(row)).collect();
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

    /// Whether a point saw anything at all before this time: it had started, as far as one
    /// can know. A capture that holds nothing of anything counts as watching.
    fn watched(&self, point: usize, time: Timestamp) -> bool {
        let Some(p) = self.points.get(point) else {
            return false;
        };
        let Some((first, _)) = p.recording.span else {
            return true;
        };
        let nothing_of_it = p.recording.records.is_empty()
            || !self
                .group
                .rows
                .iter()
                .any(|row| self.record(row, point).is_some());
        nothing_of_it
            || self.matches.corrected(point, first) <= time + crate::time::Span::from_millis(50)
    }

    /// Whether a point proves by a later frame that it still watched.
    fn proved(&self, point: usize, time: Timestamp) -> bool {
        self.points
            .get(point)
            .and_then(|p| p.recording.span)
            .is_some_and(|(_, last)| self.matches.corrected(point, last) > time)
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
            };
        };
        let mut verdict = (*verdict).clone();
        let healthy = strong.is_none() && weak.is_none() && good.is_some();
        let cross = self.cross(&verdict, healthy).filter(|finding| {
            // One capture could not tell, and the other one may just have ended.
            is_trouble(&verdict)
                || finding.confidence == Confidence::Certain
                || finding.evidence.len() >= 3
        });
        if let Some(finding) = cross {
            merge(&mut verdict, finding, strong.is_some());
        }
        Judgement {
            base: *base,
            verdict,
        }
    }

    /// What only several points can tell.
    fn cross(&self, verdict: &Verdict, healthy: bool) -> Option<Finding> {
        let stage = verdict.stage;
        if let Some(finding) = self.by_size() {
            return Some(finding);
        }
        if healthy {
            return None;
        }
        self.altered(stage)
            .or_else(|| self.mapping())
            .or_else(|| self.fragments(stage))
            .or_else(|| self.port_4500())
            .or_else(|| self.esp())
            .or_else(|| self.reset(stage))
            .or_else(|| self.stuck(stage))
    }

    fn finding(
        &self,
        code: &str,
        stage: Stage,
        (after, before): (usize, usize),
        lost: &[&Row],
        summary: String,
    ) -> Option<Finding> {
        let proven = lost.iter().any(|row| self.proved(before, row.time))
            && !self.gaps(lost.first().map_or(Side::Client, |row| row.from));
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
        let _ = after;
        Some(finding)
    }

    /// Whether captures nearer to the sender miss what points farther away saw: then what is
    /// not seen proves little.
    fn gaps(&self, from: Side) -> bool {
        let path = self.group.path(from);
        let (mut missed, mut seen) = (0usize, 0usize);
        for row in self.group.rows.iter().filter(|row| row.from == from) {
            let places: Vec<bool> = path
                .iter()
                .map(|point| self.record(row, *point).is_some())
                .collect();
            let Some(last) = places.iter().rposition(|there| *there) else {
                continue;
            };
            seen += 1;
            let early = path.iter().take(last).enumerate().any(|(n, point)| {
                !places.get(n).copied().unwrap_or(false) && self.watched(*point, row.time)
            });
            missed += usize::from(early);
        }
        missed * 10 > seen
    }

    /// The same message with other octets.
    fn altered(&self, stage: Stage) -> Option<Finding> {
        let changed: Vec<(&Row, usize, usize)> = self
            .group
            .rows
            .iter()
            .filter_map(|row| {
                let seen: Vec<(usize, u64)> = self
                    .group
                    .path(row.from)
                    .into_iter()
                    .filter_map(|p| Some((p, self.record(row, p)?.digest?)))
                    .collect();
                seen.windows(2).find_map(|pair| match pair {
                    [(a, x), (b, y)] if x != y => Some((row, *a, *b)),
                    _ => None,
                })
            })
            .collect();
        let (first, a, b) = changed.first()?;
        let mut finding = Finding::failure(
            cause("payload-altered")?,
            stage,
            Basis::Seen,
            format!(
                "{} message(s), the {} first, have other octets at {} than at {}.",
                changed.len(),
                first.name,
                self.name(*b),
                self.name(*a)
            ),
        );
        for (row, ..) in changed.iter().take(8) {
            for point in [*a, *b] {
                if let Some(record) = self.record(row, point) {
                    finding = finding.frame(
                        record.at,
                        format!("{} as {} saw it", row.name, self.name(point)),
                    );
                }
            }
        }
        Some(finding)
    }

    /// The translation of one of the client's flows changed while the session went on.
    fn mapping(&self) -> Option<Finding> {
        let (near, far) = (self.group.order.first()?, self.group.order.last()?);
        let mut seen: BTreeMap<_, (&Row, &Record)> = BTreeMap::new();
        for row in self.group.rows.iter().filter(|r| r.from == Side::Client) {
            let (Some(here), Some(there)) = (self.record(row, *near), self.record(row, *far))
            else {
                continue;
            };
            if here.protocol != 17 {
                continue;
            }
            let Some((before, old)) = seen.insert(here.flow, (row, there)) else {
                continue;
            };
            if old.flow.source == there.flow.source {
                continue;
            }
            let stale = self.rows().any(|(later, fate)| {
                later.from == Side::Gateway
                    && later.time > row.time
                    && matches!(fate, Fate::Lost { .. })
            });
            if !stale {
                continue;
            }
            return Some(
                Finding::failure(
                    cause("nat-mapping-changed")?,
                    Stage::EspData,
                    Basis::Seen,
                    format!(
                        "At {} the client sends from {}:{} all along; at {} it comes from {}:{} first and from {}:{} later, and what the gateway sends no longer reaches the client.",
                        self.name(*near), here.flow.source.0, here.flow.source.1,
                        self.name(*far), old.flow.source.0, old.flow.source.1,
                        there.flow.source.0, there.flow.source.1,
                    ),
                )
                .frame(old.at, format!("{} through the old mapping", before.name))
                .frame(there.at, format!("{} through the new mapping", row.name)),
            );
        }
        None
    }

    /// Large ones are lost, small ones pass.
    fn by_size(&self) -> Option<Finding> {
        [Side::Client, Side::Gateway]
            .into_iter()
            .find_map(|from| self.by_size_from(from))
    }

    fn by_size_from(&self, from: Side) -> Option<Finding> {
        let mut lost: Vec<(&Row, u32, (usize, usize))> = Vec::new();
        let mut passed = 0;
        for (row, fate) in self.rows().filter(|(row, _)| row.from == from) {
            let Some((_, record)) = self.sent(row) else {
                continue;
            };
            let data = matches!(record.what, What::Esp { .. } | What::Udp)
                || matches!(record.what, What::Tcp { flags, .. } if flags & 6 == 0);
            if !data || record.fragments > 1 {
                continue;
            }
            match fate {
                Fate::Passed => passed = passed.max(record.ip_len),
                Fate::Lost { after, before } => lost.push((row, record.ip_len, (after, before))),
                Fate::Unknown => {}
            }
        }
        lost.retain(|(_, len, _)| *len > passed);
        let least = lost.iter().map(|(_, len, _)| *len).min()?;
        let total = self
            .rows()
            .filter(|(row, fate)| row.from == from && matches!(fate, Fate::Lost { .. }))
            .filter(|(row, _)| {
                self.sent(row)
                    .is_some_and(|(_, r)| !matches!(r.what, What::Ike { .. } | What::Fragment))
            })
            .count();
        // Only size tells the lost from the passed, and the size is one that paths have.
        if lost.len() < 2 || total > lost.len() || passed < 40 || least < 576 || self.gaps(from) {
            return None;
        }
        let between = lost.first().map(|(.., between)| *between)?;
        let rows: Vec<&Row> = lost.iter().map(|(row, ..)| *row).collect();
        let stage = match self.sent(rows.first()?)?.1.what {
            What::Esp { .. } => Stage::EspData,
            What::Tcp { .. } => Stage::TlsHandshake,
            _ => Stage::TunnelData,
        };
        let mut finding = self.finding(
            "pmtu-blackhole",
            stage,
            between,
            &rows,
            format!(
                "From the {} packets of up to {passed} octets pass from {} to {}, all {} of {least} octets and more are lost.",
                from.word(), self.name(between.0), self.name(between.1), rows.len()
            ),
        )?;
        finding.severity = Severity::Warning;
        finding.outcome = Outcome::Degraded;
        Some(finding)
    }

    /// Messages in fragments of which not all arrive.
    fn fragments(&self, stage: Stage) -> Option<Finding> {
        for from in [Side::Client, Side::Gateway] {
            let split: Vec<(&Row, (usize, usize))> = self
                .rows()
                .filter(|(row, _)| row.from == from)
                .filter_map(|(row, fate)| {
                    let (_, record) = self.sent(row)?;
                    let is_split = record.fragments > 1
                        || record.what == What::Fragment
                        || matches!(record.what, What::Ike { part: Some(_) });
                    match fate {
                        Fate::Lost { after, before } if is_split => Some((row, (after, before))),
                        _ => None,
                    }
                })
                .collect();
            let Some((_, between)) = split.first().copied() else {
                continue;
            };
            let all: Vec<&Row> = split.iter().map(|(row, _)| *row).collect();
            let mut rows: Vec<&Row> = all
                .iter()
                .copied()
                .filter(|row| self.is_part(row))
                .collect();
            if rows.is_empty() {
                rows = all;
            }
            // A smaller whole message of the same kind that is stuck as well: not the size.
            let stuck = self.rows().any(|(row, fate)| {
                row.from == from
                    && matches!(fate, Fate::Lost { .. })
                    && self.sent(row).is_some_and(|(_, r)| {
                        r.fragments <= 1 && matches!(r.what, What::Ike { part: None } | What::Udp)
                    })
            });
            let later_passed = rows.last().is_some_and(|last| {
                let name = last.name.trim_end_matches(", again");
                self.rows().any(|(row, fate)| {
                    row.from == from
                        && fate == Fate::Passed
                        && row.time >= last.time
                        && row.name.trim_end_matches(", again") == name
                })
            });
            if stuck || later_passed {
                continue;
            }
            return self.finding(
                "fragment-lost",
                stage,
                between,
                &rows,
                format!(
                    "Of what the {} sends in fragments {} part(s) are seen at {} and not at {}: {}.",
                    from.word(),
                    rows.len(),
                    self.name(between.0),
                    self.name(between.1),
                    rows.first().map_or("", |row| row.name.as_str()),
                ),
            );
        }
        None
    }

    /// Whether a row is a fragment itself rather than a datagram that came in fragments.
    fn is_part(&self, row: &Row) -> bool {
        self.sent(row).is_some_and(|(_, r)| {
            r.what == What::Fragment || matches!(r.what, What::Ike { part: Some(_) })
        })
    }

    fn tally(
        &self,
        from: Side,
        wanted: impl Fn(&Record) -> bool,
    ) -> (Vec<&Row>, usize, Option<(usize, usize)>) {
        let (mut lost, mut passed, mut between) = (Vec::new(), 0, None);
        for (row, fate) in self.rows().filter(|(row, _)| row.from == from) {
            if !self.sent(row).is_some_and(|(_, record)| wanted(record)) {
                continue;
            }
            match fate {
                Fate::Passed => passed += 1,
                Fate::Lost { after, before } => {
                    between = between.or(Some((after, before)));
                    lost.push(row);
                }
                Fate::Unknown => {}
            }
        }
        (lost, passed, between)
    }

    /// UDP 500 passes, 4500 does not.
    fn port_4500(&self) -> Option<Finding> {
        let ike = |r: &Record| matches!(r.what, What::Ike { .. });
        let natt = |r: &Record| r.flow.destination.1 == 4500 || r.flow.source.1 == 4500;
        for from in [Side::Client, Side::Gateway] {
            let (lost, through, between) = self.tally(from, |r| ike(r) && natt(r));
            let (_, plain, _) = self.tally(from, |r| ike(r) && !natt(r));
            if lost.is_empty() || through > 0 || plain == 0 {
                continue;
            }
            let between = between?;
            return self.finding(
                "nat-t-blocked",
                Stage::IkeNatTraversal,
                between,
                &lost,
                format!(
                    "The {}'s messages on UDP 500 pass from {} to {}, its {} on UDP 4500 do not.",
                    from.word(),
                    self.name(between.0),
                    self.name(between.1),
                    lost.len()
                ),
            );
        }
        None
    }

    /// ESP of one end that never arrives.
    fn esp(&self) -> Option<Finding> {
        for from in [Side::Client, Side::Gateway] {
            let (lost, passed, between) = self.tally(from, |r| matches!(r.what, What::Esp { .. }));
            if lost.len() < 2 || passed > 0 {
                continue;
            }
            let between = between?;
            let plain = self
                .sent(lost.first()?)
                .is_some_and(|(_, r)| r.protocol == 50);
            let (code, how) = if plain {
                ("esp-blocked", "as IP protocol 50")
            } else {
                ("esp-one-way", "in UDP")
            };
            return self.finding(
                code,
                Stage::EspData,
                between,
                &lost,
                format!(
                    "All {} ESP packets that the {} sends {how} are lost between {} and {}.",
                    lost.len(),
                    from.word(),
                    self.name(between.0),
                    self.name(between.1)
                ),
            );
        }
        None
    }

    /// A TCP reset that its alleged sender never sent.
    fn reset(&self, stage: Stage) -> Option<Finding> {
        let path = |from| self.group.path(from);
        let (row, point, record) = self.group.rows.iter().find_map(|row| {
            let way = path(row.from);
            let source = *way.first()?;
            let target = *way.last()?;
            let record = self.record(row, target)?;
            let is_reset = matches!(record.what, What::Tcp { flags, .. } if flags & 4 != 0);
            (is_reset && self.record(row, source).is_none() && self.watched(source, row.time))
                .then_some((row, source, record))
        })?;
        Some(
            Finding::failure(
                cause("tcp-reset")?,
                stage,
                Basis::Seen,
                format!(
                    "The {}'s reset with TTL {} was never seen at {}: a box on the way made it.",
                    row.from.word(),
                    record.ttl,
                    self.name(point)
                ),
            )
            .frame(record.at, "a reset that its sender did not send"),
        )
    }

    /// The message that does not get through, whoever sends it.
    fn stuck(&self, stage: Stage) -> Option<Finding> {
        let mut last_passed: BTreeMap<Side, Timestamp> = BTreeMap::new();
        let talk = |row: &Row| {
            self.sent(row).is_some_and(|(_, r)| {
                !matches!(
                    r.what,
                    What::Esp { .. } | What::Fragment | What::Icmp { .. }
                )
            })
        };
        for (row, fate) in self.rows().filter(|(row, _)| talk(row)) {
            if fate == Fate::Passed {
                last_passed.insert(row.from, row.time);
            }
        }
        let lost: Vec<(&Row, (usize, usize))> = self
            .rows()
            .filter(|(row, _)| talk(row))
            .filter(|(row, _)| last_passed.get(&row.from).is_none_or(|t| row.time > *t))
            .filter_map(|(row, fate)| match fate {
                Fate::Lost { after, before } => Some((row, (after, before))),
                _ => None,
            })
            .collect();
        let (first, between) = lost.first().copied()?;
        let rows: Vec<&Row> = lost
            .iter()
            .map(|(row, _)| *row)
            .filter(|row| row.from == first.from)
            .collect();
        let (code, what) = match first.from {
            Side::Client => ("request-never-arrived", "did not arrive at"),
            Side::Gateway => ("response-lost", "was lost before"),
        };
        self.finding(
            code,
            stage,
            between,
            &rows,
            format!(
                "The {}'s {}, sent {} time(s), was seen at {} and {what} {}.",
                first.from.word(),
                first.name,
                rows.len(),
                self.name(between.0),
                self.name(between.1)
            ),
        )
    }
}

/// Puts what several points tell before or behind what one told.
fn merge(verdict: &mut Verdict, mut finding: Finding, strong: bool) {
    let known = verdict
        .findings
        .iter()
        .position(|f| f.cause.code == finding.cause.code);
    if strong {
        if let Some(same) = known.and_then(|index| verdict.findings.get_mut(index)) {
            // Two views of the same fault.
            same.confidence = same.confidence.max(finding.confidence);
            if verdict.cause == Some(finding.cause.code) {
                verdict.confidence = verdict.confidence.max(finding.confidence);
            }
            same.evidence.extend(finding.evidence);
        } else {
            finding.severity = Severity::Info;
            verdict.findings.push(finding);
        }
        return;
    }
    if let Some(index) = known {
        let before = verdict.findings.remove(index);
        finding.confidence = finding.confidence.max(before.confidence);
        finding.outcome = before.outcome;
        finding.severity = before.severity;
        finding.stage = before.stage;
        for evidence in before.evidence {
            finding = finding.frame(evidence.at, evidence.what);
        }
        finding.remedies.extend(before.remedies);
    }
    if finding.outcome == Outcome::Incomplete {
        finding.outcome = Outcome::Failed;
    }
    verdict.outcome = finding.outcome;
    verdict.cause = Some(finding.cause.code);
    verdict.confidence = finding.confidence;
    verdict.stage = finding.stage;
    // What one capture could not decide is decided now.
    for other in &mut verdict.findings {
        if WEAK.contains(&other.cause.code) {
            other.severity = Severity::Info;
        }
    }
    verdict.findings.insert(0, finding);
}

fn nothing() -> Verdict {
    Verdict {
        outcome: Outcome::Incomplete,
        stage: Stage::Reachability,
        cause: None,
        confidence: Confidence::Possible,
        findings: Vec::new(),
    }
}
