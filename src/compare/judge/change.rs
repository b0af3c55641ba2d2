//! What is changed or made between two points: octets, translations, resets and errors that
//! their alleged sender never sent, the MSS, delays.

use std::collections::BTreeMap;

use super::super::group::Row;
use super::super::record::{Record, What};
use super::{Fate, Judge, cause};
use crate::decap::Flow;
use crate::diagnose::{Basis, Confidence, Finding, Stage, Verdict};
use crate::time::Span;
use crate::track::session::Side;

/// Delays less than this apart are the noise of hosts and queues.
const NOISE: Span = Span::from_millis(50);

/// Changes of translations that are looked at.
const CHANGES: usize = 64;

impl Judge<'_> {
    /// The same message with other octets.
    pub(super) fn altered(&self, stage: Stage) -> Option<Finding> {
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
        for (row, a, b) in changed.iter().take(8) {
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
    pub(super) fn mapping(&self, stage: Stage) -> Option<Finding> {
        let (near, far) = (*self.group.order.first()?, *self.group.order.last()?);
        let mut changes = 0;
        let mut seen: BTreeMap<Flow, (&Row, &Record)> = BTreeMap::new();
        for row in self.group.rows.iter().filter(|r| r.from == Side::Client) {
            let (Some(here), Some(there)) = (self.record(row, near), self.record(row, far)) else {
                continue;
            };
            if here.protocol != 17 {
                continue;
            }
            let Some((before, old)) = seen.insert(here.flow, (row, there)) else {
                continue;
            };
            if old.flow.source == there.flow.source || changes >= CHANGES {
                continue;
            }
            changes += 1;
            if !self.is_deaf(near, here.flow, row) {
                continue;
            }
            let stage = match here.what {
                What::Esp { .. } => Stage::EspData,
                What::Udp => Stage::TunnelData,
                _ => stage,
            };
            return Some(
                Finding::failure(
                    cause("nat-mapping-changed")?,
                    stage,
                    Basis::Seen,
                    format!(
                        "At {} the client sends from {}:{} all along; at {} it comes from {}:{} first and from {}:{} later, and from then on nothing of the gateway reaches the client there.",
                        self.name(near), here.flow.source.0, here.flow.source.1,
                        self.name(far), old.flow.source.0, old.flow.source.1,
                        there.flow.source.0, there.flow.source.1,
                    ),
                )
                // It may still recover behind the end of the capture.
                .sure(Confidence::Likely)
                .frame(old.at, format!("{} through the old mapping", before.name))
                .frame(there.at, format!("{} through the new mapping", row.name)),
            );
        }
        None
    }

    /// Whether the client's port was answered before `row`, and is not any more: what the
    /// gateway sends is lost, or it says nothing to several more datagrams.
    fn is_deaf(&self, near: usize, flow: Flow, row: &Row) -> bool {
        let answers = |before: bool| {
            self.group.rows.iter().any(|other| {
                other.from == Side::Gateway
                    && (other.time <= row.time) == before
                    && self
                        .record(other, near)
                        .is_some_and(|r| r.flow == flow.reversed())
            })
        };
        let lost = self.rows().any(|(later, fate)| {
            later.from == Side::Gateway
                && later.time > row.time
                && matches!(fate, Fate::Lost { .. })
        });
        let asked = self
            .group
            .rows
            .iter()
            .filter(|later| later.from == Side::Client && later.time > row.time)
            .filter(|later| self.record(later, near).is_some_and(|r| r.flow == flow))
            .count();
        lost || answers(true) && !answers(false) && asked >= 2
    }

    /// A TCP reset that its alleged sender never sent.
    pub(super) fn reset(&self, stage: Stage) -> Option<Finding> {
        let (row, point, target, record) = self.group.rows.iter().find_map(|row| {
            let way = self.group.path(row.from);
            let (source, target) = (*way.first()?, *way.last()?);
            let record = self.record(row, target)?;
            let is_reset = matches!(record.what, What::Tcp { flags, .. } if flags & 4 != 0);
            let unsent = self.record(row, source).is_none() && self.watched(source, row.time);
            (is_reset && unsent).then_some((row, source, target, record))
        })?;
        // Another TTL than the sender's own segments have there: another host.
        let foreign = self.group.rows.iter().any(|other| {
            other.from == row.from
                && self
                    .record(other, target)
                    .is_some_and(|r| r.protocol == 6 && r.at != record.at && r.ttl != record.ttl)
        });
        let sure = foreign || self.proved(point, row) && self.leaky.get(point) == Some(&false);
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
            .sure(if sure {
                Confidence::Certain
            } else {
                Confidence::Likely
            })
            .frame(record.at, "a reset that its sender did not send"),
        )
    }

    /// An ICMP error with the gateway's address that the gateway's capture never saw leave.
    pub(super) fn disown(&self, verdict: &mut Verdict) -> Option<String> {
        let (near, far) = (*self.group.order.first()?, *self.group.order.last()?);
        let record = self.group.rows.iter().find_map(|row| {
            let record = self.record(row, near)?;
            let error = matches!(record.what, What::Icmp { .. }) && row.from == Side::Gateway;
            let address = self.gateways_address(near)?;
            let unsent = self.record(row, far).is_none()
                && self.watched(far, row.time)
                && self.proved(far, row);
            (error && record.flow.source.0 == address && unsent && near != far).then_some(record)
        })?;
        let text = format!(
            "the ICMP error in frame {} at {} has the gateway's address, but {} never saw it: a box on the way made it",
            record.at.frame(),
            self.name(near),
            self.name(far)
        );
        let told = ["port-unreachable", "admin-prohibited"];
        if let Some(finding) = verdict
            .findings
            .iter_mut()
            .find(|f| told.contains(&f.cause.code))
        {
            finding.summary.push_str(" But ");
            finding.summary.push_str(&text);
            finding.summary.push('.');
        }
        Some(text)
    }

    fn gateways_address(&self, point: usize) -> Option<std::net::IpAddr> {
        let number = self.group.members.get(point)?.first()?;
        let filed = self.points.get(point)?.filed.get(*number)?;
        Some(filed.session.gateway.ip)
    }

    /// An MSS option that somebody rewrote.
    pub(super) fn clamped(&self) -> Vec<String> {
        let mut list: Vec<String> = Vec::new();
        for row in &self.group.rows {
            let seen: Vec<(usize, u16)> = self
                .group
                .path(row.from)
                .into_iter()
                .filter_map(|p| Some((p, self.record(row, p)?.mss?)))
                .collect();
            for pair in seen.windows(2) {
                if let [(a, x), (b, y)] = pair
                    && x != y
                {
                    let text = format!(
                        "the {}'s SYN offers an MSS of {x} at {} and of {y} at {}: a box between them rewrites it",
                        row.from.word(),
                        self.name(*a),
                        self.name(*b)
                    );
                    if list.len() < 4 && !list.contains(&text) {
                        list.push(text);
                    }
                }
            }
        }
        list
    }

    /// Ways on which the delay changed. The clocks' offset is the same for all of them, so
    /// this holds however uncertain the offset is.
    pub(super) fn delays(&self) -> Vec<String> {
        let mut list = Vec::new();
        for from in [Side::Client, Side::Gateway] {
            for pair in self.group.path(from).windows(2) {
                if let [a, b] = pair {
                    list.extend(self.delay(from, *a, *b));
                }
            }
        }
        list
    }

    fn delay(&self, from: Side, a: usize, b: usize) -> Option<String> {
        let rows = self.group.rows.iter().filter(|row| row.from == from);
        let ways: Vec<(Span, &Record)> = rows
            .filter_map(|row| {
                let (x, y) = (self.record(row, a)?, self.record(row, b)?);
                let sent = self.matches.corrected(a, x.at.time);
                Some((self.matches.corrected(b, y.at.time) - sent, y))
            })
            .collect();
        let (least, most) = (
            ways.iter().map(|(span, _)| *span).min()?,
            ways.iter().map(|(span, _)| *span).max()?,
        );
        let spread = Span(most.0.saturating_sub(least.0));
        if spread < NOISE {
            return None;
        }
        let half = Span(least.0.saturating_add(spread.0 / 2));
        let (_, first) = ways.iter().find(|(span, _)| *span > half)?;
        let slow = ways.iter().filter(|(span, _)| *span > half).count();
        Some(format!(
            "from {} to {} the {}'s datagrams take up to {spread} longer than the fastest: {slow} of {} do, frame {} at {} first",
            self.name(a),
            self.name(b),
            from.word(),
            ways.len(),
            first.at.frame(),
            self.name(b)
        ))
    }
}
