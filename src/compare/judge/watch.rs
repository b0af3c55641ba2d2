//! Whether a capture was watching, and whether what it does not show is proven to be lost.

use std::collections::BTreeMap;

use super::super::group::Row;
use super::super::record::What;
use super::Judge;
use crate::diagnose::{Outcome, Stage};
use crate::time::{Span, Timestamp};
use crate::track::session::Side;

impl Judge<'_> {
    /// Whether a point saw anything at all before this time: it had started, as far as one
    /// can know. A capture that holds nothing of anything counts as watching.
    pub(super) fn watched(&self, point: usize, time: Timestamp) -> bool {
        let Some(p) = self.points.get(point) else {
            return false;
        };
        let Some((first, _)) = p.recording.span else {
            return true;
        };
        let nothing_of_it = self
            .common
            .get(point)
            .and_then(|of| *of.get(point)?)
            .is_none();
        nothing_of_it || self.matches.corrected(point, first) <= time + Span::from_millis(50)
    }

    /// Whether a point proves that it watched when a row should have come by: it saw others
    /// that the row's own point saw earlier and later, or frames of any kind, however wrong
    /// its clock may be set.
    pub(super) fn proved(&self, point: usize, row: &Row) -> bool {
        let Some((seen, record)) = self.sent(row) else {
            return false;
        };
        let common = self.common.get(seen).and_then(|of| *of.get(point)?);
        let clock = self.matches.clocks.get(point);
        let margin = clock
            .and_then(|clock| clock.uncertainty)
            .map(|off| off + Span::from_millis(50));
        let span = self.points.get(point).and_then(|p| p.recording.span);
        let (earlier, later) = margin.zip(span).map_or((false, false), |(margin, span)| {
            let first = self.matches.corrected(point, span.0);
            let last = self.matches.corrected(point, span.1);
            (first + margin < row.time, last > row.time + margin)
        });
        let (first, last) = common.unwrap_or((record.at.time, record.at.time));
        (earlier || first < record.at.time) && (later || last > record.at.time)
    }

    /// By point, and by other point: the first and last time, by the point's own clock, of
    /// what both saw.
    pub(super) fn common(&self) -> Vec<Vec<Option<(Timestamp, Timestamp)>>> {
        let count = self.points.len();
        let mut common = vec![vec![None; count]; count];
        for row in &self.group.rows {
            for (point, of) in common.iter_mut().enumerate() {
                let Some(time) = self.record(row, point).map(|r| r.at.time) else {
                    continue;
                };
                for (other, slot) in of.iter_mut().enumerate() {
                    if self.record(row, other).is_some() {
                        let (first, last) = slot.unwrap_or((time, time));
                        *slot = Some((time.min(first), time.max(last)));
                    }
                }
            }
        }
        common
    }

    /// Whether a capture is known to lack frames: datagrams that passed it were seen behind
    /// it, messages must have been there, or it says so itself.
    pub(super) fn leaks(&self, point: usize) -> bool {
        let Some(p) = self.points.get(point) else {
            return true;
        };
        let sessions = self.group.members.get(point).into_iter().flatten();
        let unseen = sessions
            .filter_map(|number| p.filed.get(*number))
            .map(|filed| &filed.session.vantage)
            .any(|v| v.unseen.client + v.unseen.gateway > 0 || v.started_late);
        let behind = |from| -> Vec<usize> {
            let path = self.group.path(from).into_iter();
            path.skip_while(|other| *other != point).skip(1).collect()
        };
        let (there, back) = (behind(Side::Client), behind(Side::Gateway));
        unseen
            || p.statistics.dropped.is_some_and(|n| n > 0)
            || self.group.rows.iter().any(|row| {
                let behind = match row.from {
                    Side::Client => &there,
                    Side::Gateway => &back,
                };
                self.record(row, point).is_none()
                    && self.watched(point, row.time)
                    && behind.iter().any(|far| self.record(row, *far).is_some())
            })
    }

    /// Whether it is beyond doubt that these were lost before a point: the same one three
    /// times or more, or as many without a single one that came, while it watched.
    pub(super) fn is_proven(&self, before: usize, lost: &[&Row]) -> bool {
        let sure = lost.iter().filter(|row| self.proved(before, row));
        let mut keys: BTreeMap<u64, u32> = BTreeMap::new();
        let mut data = 0;
        for (_, record) in sure.filter_map(|row| self.sent(row)) {
            *keys.entry(record.key).or_default() += 1;
            data += u32::from(matches!(record.what, What::Esp { .. }));
        }
        let most = keys.values().copied().max().unwrap_or(0);
        most.max(data) >= 3 && !self.leaky.contains(&true)
    }

    /// Whether data had passed before between these two, in this session or another one: then
    /// what stops later is an end, not a beginning.
    pub(super) fn worked(&self) -> bool {
        self.group.members.iter().zip(self.points).any(|(list, p)| {
            let ours = list.iter().filter_map(|number| p.filed.get(*number));
            let ends: Vec<_> = ours
                .map(|f| (f.session.client.ip, f.session.gateway.ip))
                .collect();
            p.filed.iter().any(|filed| {
                let (session, verdict) = (&filed.session, &filed.verdict);
                let data = matches!(verdict.outcome, Outcome::Established | Outcome::Degraded)
                    || matches!(verdict.stage, Stage::EspData | Stage::TunnelData);
                data && ends.contains(&(session.client.ip, session.gateway.ip))
            })
        })
    }

    /// Whether captures nearer to the sender miss what points farther away saw: then what is
    /// not seen proves little.
    pub(super) fn gaps(&self, from: Side) -> bool {
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
}
