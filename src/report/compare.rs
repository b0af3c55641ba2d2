//! The serialised model of `compare`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{CaptureReport, SessionReport, Summary};
use crate::compare::group::{Group, Row};
use crate::compare::record::{Record, What};
use crate::compare::{Comparison, Point};
use crate::diagnose::{Outcome, Severity, Verdict};
use crate::time::Span;

/// Name and version of this model.
pub const SCHEMA: &str = "vpnscope.compare/1";
/// Messages of a session that are given; the rest is counted.
const MESSAGES: usize = 2000;

/// What `compare` says.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CompareReport {
    /// `vpnscope.compare/1`.
    pub schema: &'static str,
    /// The points, in the order in which they were given.
    pub vantages: Vec<VantagePoint>,
    /// Their captures, in the same order.
    pub captures: Vec<CaptureReport>,
    /// Sessions, with the verdict from all points.
    pub sessions: Vec<ComparedSession>,
    /// Counts.
    pub summary: Summary,
}

/// One point.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct VantagePoint {
    /// Its name.
    pub name: String,
    /// Its capture: index into `captures`, and what `capture` means in evidence and ladders.
    pub capture: usize,
    /// What its clock shows when the first point's shows nothing, nanoseconds.
    pub clock_offset_ns: i64,
    /// How far that may be off, nanoseconds; null where nothing was found in common.
    pub uncertainty_ns: Option<i64>,
    /// Datagrams that the offset was computed from.
    pub clock_pairs: usize,
    /// Datagrams recorded here that were found at another point as well.
    pub matched: usize,
    /// Datagrams recorded here.
    pub recorded: usize,
}

/// A session as all points saw it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ComparedSession {
    /// The session as the point nearest to the client saw it, with the verdict of all.
    #[serde(flatten)]
    pub session: SessionReport,
    /// The points from the client's end to the gateway's.
    pub path: Vec<String>,
    /// Its datagrams.
    pub messages: Vec<MessageReport>,
    /// Datagrams that are not listed.
    pub messages_not_shown: usize,
}

/// One datagram at all points.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct MessageReport {
    /// What it is.
    pub message: String,
    /// `client` or `gateway`.
    pub from: &'static str,
    /// Where it was seen: by name of the point, null where it was not.
    pub seen: BTreeMap<String, Option<SeenReport>>,
    /// What differs between the points.
    pub changed: Vec<String>,
    /// Nanoseconds from the first point that saw it to each other one, clocks corrected.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub delay_ns: BTreeMap<String, i64>,
}

/// One sighting.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SeenReport {
    /// Frame.
    pub frame: u64,
    /// Time, by the clock of that capture.
    pub time: String,
}

/// What is done with a session of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It is reported.
    Yes,
    /// It is one of TLS that nothing marks as a VPN's: counted, not reported.
    Counted,
    /// Other sessions were asked for.
    No,
}

impl ComparedSession {
    /// Whether it failed or is degraded.
    pub fn is_trouble(&self) -> bool {
        let trouble = [Outcome::Failed, Outcome::Degraded];
        trouble.iter().any(|o| o.word() == self.session.outcome)
    }
}

/// Builds the report of those sessions that `wants` wants: it is given a session's number, the
/// sessions of all points that it is, and the verdict.
pub fn report(
    comparison: &Comparison,
    mut wants: impl FnMut(u32, &Group, &Verdict) -> Wanted,
) -> CompareReport {
    let mut summary = Summary::default();
    let mut sessions = Vec::new();
    for (id, (group, judgement)) in (1u32..).zip(&comparison.sessions) {
        let (point, number) = judgement.base;
        let Some(filed) = comparison
            .points
            .get(point)
            .and_then(|p| p.filed.get(number))
        else {
            continue;
        };
        match wants(id, group, &judgement.verdict) {
            Wanted::Yes => {}
            Wanted::Counted => {
                summary.tls_not_reported += 1;
                continue;
            }
            Wanted::No => continue,
        }
        summary.count(filed.session.kind.word(), &judgement.verdict);
        let mut session = super::session(id, &filed.session, &judgement.verdict);
        notes(comparison, group, &mut session);
        session
            .vantage
            .notes
            .extend(judgement.notes.iter().cloned());
        let (messages, messages_not_shown) = messages(comparison, group);
        sessions.push(ComparedSession {
            session,
            path: group
                .order
                .iter()
                .map(|point| name(&comparison.points, *point))
                .collect(),
            messages,
            messages_not_shown,
        });
    }
    summary.evicted.descriptions = comparison.points.iter().map(|p| p.left_out).sum();
    CompareReport {
        schema: SCHEMA,
        vantages: vantages(comparison),
        captures: comparison
            .points
            .iter()
            .map(|p| super::capture(&p.statistics, p.copies, p.undecodable))
            .collect(),
        sessions,
        summary,
    }
}

fn name(points: &[Point], point: usize) -> String {
    points
        .get(point)
        .map_or_else(String::new, |p| p.name.clone())
}

fn notes(comparison: &Comparison, group: &Group, session: &mut SessionReport) {
    for (point, p) in comparison.points.iter().enumerate() {
        if group.members.get(point).is_none_or(Vec::is_empty) {
            let span = p.recording.span.map_or_else(
                || "the capture is empty".to_string(),
                |(first, last)| {
                    format!(
                        "it looked from {first} to {last} and saw {} frames",
                        p.statistics.frames
                    )
                },
            );
            session.vantage.notes.push(format!(
                "at {} nothing of this session was seen; {span}",
                p.name
            ));
        }
        if p.recording.beyond > 0 {
            session.vantage.notes.push(format!(
                "{} datagrams at {} were too many to compare",
                p.recording.beyond, p.name
            ));
        }
    }
    let lost = session
        .findings
        .iter()
        .any(|f| f.severity != Severity::Info.word());
    if !lost && comparison.points.len() > 1 {
        let clock = comparison.matches.clocks.iter().skip(1);
        if clock.clone().any(|c| c.uncertainty.is_none()) {
            session
                .vantage
                .notes
                .push("nothing was found in common by which the clocks could be compared".into());
        }
    }
}

fn vantages(comparison: &Comparison) -> Vec<VantagePoint> {
    let matches = &comparison.matches;
    comparison
        .points
        .iter()
        .enumerate()
        .map(|(point, p)| {
            let clock = matches.clocks.get(point).copied().unwrap_or_default();
            let list = matches.of.get(point).map_or(&[][..], Vec::as_slice);
            VantagePoint {
                name: p.name.clone(),
                capture: point,
                clock_offset_ns: clock.offset.0,
                uncertainty_ns: clock.uncertainty.map(|span| span.0),
                clock_pairs: clock.pairs,
                matched: list
                    .iter()
                    .filter_map(|sighting| matches.sightings.get(*sighting))
                    .filter(|s| s.seen.iter().flatten().count() > 1)
                    .count(),
                recorded: p.recording.records.len(),
            }
        })
        .collect()
}

fn messages(comparison: &Comparison, group: &Group) -> (Vec<MessageReport>, usize) {
    let points = &comparison.points;
    let shown: Vec<&Row> = group
        .rows
        .iter()
        .filter(|row| row.is_message || is_telling(comparison, row))
        .collect();
    let list = shown
        .iter()
        .take(MESSAGES)
        .map(|row| {
            let records: Vec<(usize, &Record)> = group
                .path(row.from)
                .into_iter()
                .filter_map(|p| Some((p, Group::record(points, &comparison.matches, row, p)?)))
                .collect();
            let seen = points
                .iter()
                .enumerate()
                .map(|(number, p)| {
                    let here = records.iter().find(|(point, _)| *point == number);
                    let seen = here.map(|(_, record)| SeenReport {
                        frame: record.at.frame(),
                        time: record.at.time.to_string(),
                    });
                    (p.name.clone(), seen)
                })
                .collect();
            MessageReport {
                message: row.name.clone(),
                from: row.from.word(),
                seen,
                changed: changed(comparison, group, row, &records),
                delay_ns: delays(comparison, &records),
            }
        })
        .collect();
    (list, group.rows.len() - shown.len().min(MESSAGES))
}

/// Whether a datagram that is no message of its own belongs into the list.
fn is_telling(comparison: &Comparison, row: &Row) -> bool {
    let Some(sighting) = comparison.matches.sightings.get(row.sighting) else {
        return false;
    };
    let record = sighting.seen.iter().enumerate().find_map(|(point, index)| {
        comparison
            .points
            .get(point)?
            .recording
            .records
            .get((*index)?)
    });
    let everywhere = sighting.seen.iter().all(Option::is_some);
    record.is_some_and(|record| match record.what {
        What::Fragment => !everywhere,
        What::Tcp { flags, .. } => !everywhere || flags & 6 != 0,
        _ => true,
    })
}

fn delays(comparison: &Comparison, records: &[(usize, &Record)]) -> BTreeMap<String, i64> {
    let Some((first, start)) = records.first() else {
        return BTreeMap::new();
    };
    let matches = &comparison.matches;
    let start = matches.corrected(*first, start.at.time);
    records
        .iter()
        .skip(1)
        .map(|(point, record)| {
            let Span(delay) = matches.corrected(*point, record.at.time) - start;
            (name(&comparison.points, *point), delay)
        })
        .collect()
}

/// What happened to a datagram between the points that saw it.
fn changed(
    comparison: &Comparison,
    group: &Group,
    row: &Row,
    records: &[(usize, &Record)],
) -> Vec<String> {
    let mut list = Vec::new();
    for pair in records.windows(2) {
        if let [(_, a), (_, b)] = pair {
            differences(a, b, &mut list);
        }
    }
    if let [(point, record)] = records
        && record.fragments > 1
    {
        list.extend(fragments(comparison, group, row, *point, record));
    }
    list
}

fn differences(a: &Record, b: &Record, list: &mut Vec<String>) {
    let ends = |(ip, port): (std::net::IpAddr, u16)| format!("{ip}:{port}");
    for (what, x, y) in [
        ("source", a.flow.source, b.flow.source),
        ("destination", a.flow.destination, b.flow.destination),
    ] {
        if x != y {
            list.push(format!("{what} address {} → {}", ends(x), ends(y)));
        }
    }
    if a.ttl != b.ttl {
        list.push(format!("TTL {} → {}", a.ttl, b.ttl));
    }
    if a.fragments != b.fragments {
        list.push(format!("fragments {} → {}", a.fragments, b.fragments));
    }
    if let (Some(x), Some(y)) = (a.mss, b.mss)
        && x != y
    {
        list.push(format!("MSS option {x} → {y}"));
    }
    if a.digest.zip(b.digest).is_some_and(|(x, y)| x != y) {
        list.push("payload altered".to_string());
    }
    if a.copies != b.copies {
        list.push(format!("copies {} → {}", a.copies, b.copies));
    }
}

/// Which fragments of a datagram that is whole at one point were seen at the others.
fn fragments(
    comparison: &Comparison,
    group: &Group,
    row: &Row,
    point: usize,
    record: &Record,
) -> Vec<String> {
    let matches = &comparison.matches;
    let pieces: Vec<&Vec<Option<usize>>> = group
        .rows
        .iter()
        .filter(|other| other.from == row.from)
        .filter_map(|other| {
            let piece = Group::record(&comparison.points, matches, other, point)?;
            let mine = piece.what == What::Fragment && record.frames.contains(&piece.at.frame());
            mine.then(|| matches.sightings.get(other.sighting).map(|s| &s.seen))?
        })
        .collect();
    (0..comparison.points.len())
        .filter(|other| *other != point && !pieces.is_empty())
        .map(|other| {
            let there = pieces
                .iter()
                .filter(|seen| seen.get(other).is_some_and(Option::is_some))
                .count();
            format!(
                "{there} of {} fragments seen at {}",
                pieces.len(),
                name(&comparison.points, other)
            )
        })
        .collect()
}
