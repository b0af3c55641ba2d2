//! What is lost between two points: by size, by port, by protocol, in one direction.

use std::collections::BTreeMap;

use super::super::group::Row;
use super::super::record::{Record, What};
use super::{Fate, Judge};
use crate::diagnose::mtu::LEAST;
use crate::diagnose::{Confidence, Finding, Outcome, Severity, Stage};
use crate::time::Timestamp;
use crate::track::session::Side;

impl Judge<'_> {
    /// Large ones are lost, small ones pass.
    pub(super) fn by_size(&self) -> Option<Finding> {
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
        if lost.len() < 2 || total > lost.len() || passed < 40 || least < LEAST || self.gaps(from) {
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
            between.1,
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
    pub(super) fn fragments(&self, stage: Stage) -> Option<Finding> {
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
                between.1,
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
    pub(super) fn port_4500(&self) -> Option<Finding> {
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
                between.1,
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
    pub(super) fn esp(&self) -> Option<Finding> {
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
                between.1,
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

    /// The message that does not get through, whoever sends it.
    pub(super) fn stuck(&self, stage: Stage) -> Option<Finding> {
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
        let mut finding = self.finding(
            code,
            stage,
            between.1,
            &rows,
            format!(
                "The {}'s {}, sent {} time(s), was seen at {} and {what} {}.",
                first.from.word(),
                first.name,
                rows.len(),
                self.name(between.0),
                self.name(between.1)
            ),
        )?;
        if self.worked() {
            finding.confidence = finding.confidence.min(Confidence::Likely);
        }
        Some(finding)
    }
}
