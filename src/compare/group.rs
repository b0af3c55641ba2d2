//! Puts the sessions of several points together, and lists their messages.

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::Point;
use super::matching::Matches;
use super::record::{Record, What};
use crate::decap::Flow;
use crate::time::{Span, Timestamp};
use crate::track::session::{Kind, Session, Side};

/// One datagram of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which sighting.
    pub sighting: usize,
    /// Who sent it.
    pub from: Side,
    /// What it is.
    pub name: String,
    /// When it was first seen anywhere, by the reference clock.
    pub time: Timestamp,
    /// Whether the name comes from the session rather than from the datagram alone.
    pub is_message: bool,
}

/// One session as all points saw it.
#[derive(Debug, Clone)]
pub struct Group {
    /// Sessions by point: indices into its list.
    pub members: Vec<Vec<usize>>,
    /// Its datagrams in order of time.
    pub rows: Vec<Row>,
    /// The points from the client's end to the gateway's.
    pub order: Vec<usize>,
}

impl Group {
    /// The record of a row at a point.
    pub fn record<'a>(
        points: &'a [Point],
        matches: &Matches,
        row: &Row,
        point: usize,
    ) -> Option<&'a Record> {
        let index = (*matches.sightings.get(row.sighting)?.seen.get(point)?)?;
        points.get(point)?.recording.records.get(index)
    }

    /// The points in the order in which something of one end passes them.
    pub fn path(&self, from: Side) -> Vec<usize> {
        match from {
            Side::Client => self.order.clone(),
            Side::Gateway => self.order.iter().rev().copied().collect(),
        }
    }
}

/// What a session says of a record: who sent it, and a name where it has one.
struct Claim {
    record: usize,
    from: Side,
    name: Option<String>,
}

/// Records of one point, findable.
struct Lookup {
    /// By the frames they came in; fragments apart.
    whole: HashMap<u64, Vec<usize>, RandomState>,
    fragments: HashMap<u64, usize, RandomState>,
    esp: HashMap<u32, Vec<usize>, RandomState>,
    flows: HashMap<Flow, Vec<usize>, RandomState>,
}

impl Lookup {
    fn new(records: &[Record]) -> Self {
        let mut lookup = Self {
            whole: HashMap::default(),
            fragments: HashMap::default(),
            esp: HashMap::default(),
            flows: HashMap::default(),
        };
        for (number, record) in records.iter().enumerate() {
            if record.what == What::Fragment {
                lookup.fragments.insert(record.at.frame(), number);
                continue;
            }
            lookup
                .whole
                .entry(record.at.frame())
                .or_default()
                .push(number);
            for frame in record.frames.iter().filter(|f| **f != record.at.frame()) {
                lookup.whole.entry(*frame).or_default().push(number);
            }
            if let What::Esp { spi, .. } = record.what {
                lookup.esp.entry(spi).or_default().push(number);
            }
            lookup.flows.entry(record.flow).or_default().push(number);
        }
        lookup
    }

    fn at(&self, frame: u64) -> impl Iterator<Item = usize> + '_ {
        self.whole
            .get(&frame)
            .into_iter()
            .flatten()
            .copied()
            .chain(self.fragments.get(&frame).copied())
    }
}

/// What belongs to a session at one point.
fn claims(
    session: &Session,
    lookup: &Lookup,
    records: &[Record],
    claimed: &mut [u8],
) -> Vec<Claim> {
    let mut claims = Vec::new();
    for step in &session.steps {
        for (nth, stamp) in step.sightings().enumerate() {
            let again = if nth == 0 { "" } else { ", again" };
            let mut frames = vec![stamp.frame()];
            if nth == 0 {
                frames.extend(step.frames.iter().filter(|f| **f != stamp.frame()));
            }
            for record in frames.into_iter().flat_map(|frame| lookup.at(frame)) {
                claims.push(Claim {
                    record,
                    from: step.from,
                    name: Some(format!("{}{again}", step.message)),
                });
            }
        }
    }
    for flow in &session.esp {
        let list = lookup.esp.get(&flow.spi).into_iter().flatten();
        claims.extend(list.map(|record| Claim {
            record: *record,
            from: flow.from,
            name: None,
        }));
    }
    for fact in &session.icmp {
        for stamp in std::iter::once(&fact.at).chain(&fact.repeats.stamps) {
            claims.extend(lookup.at(stamp.frame()).map(|record| Claim {
                record,
                from: fact.about.other(),
                name: None,
            }));
        }
    }
    for part in &session.incomplete {
        for frame in &part.frames {
            claims.extend(lookup.at(*frame).map(|record| Claim {
                record,
                from: part.from,
                name: None,
            }));
        }
    }
    if !matches!(session.kind, Kind::Ikev1 | Kind::Ikev2 | Kind::Esp) {
        streams(session, lookup, records, claimed, &mut claims);
    }
    claims
}

/// Datagrams of one flow that are looked at for one session.
const LOOKED_AT: usize = 65_536;
/// Sessions that claim one datagram because of its addresses and ports alone.
const CLAIMED: u8 = 4;

/// Every datagram of the session's connections, also those that no message came of. Where many
/// sessions share addresses and ports, the first to come have them.
fn streams(
    session: &Session,
    lookup: &Lookup,
    records: &[Record],
    claimed: &mut [u8],
    claims: &mut Vec<Claim>,
) {
    let mut flows: BTreeMap<Flow, Side> = BTreeMap::new();
    flows.insert(
        Flow {
            source: (session.client.ip, session.client.port),
            destination: (session.gateway.ip, session.gateway.port),
        },
        Side::Client,
    );
    for step in &session.steps {
        flows.entry(step.flow).or_insert(step.from);
    }
    let since = Timestamp(session.first.time.0.saturating_sub(2_000_000_000));
    let until = session.last.time + Span::from_secs(60);
    for (flow, from) in flows {
        for (flow, from) in [(flow, from), (flow.reversed(), from.other())] {
            let list = lookup.flows.get(&flow).map_or(&[][..], Vec::as_slice);
            let time = |record: &usize| records.get(*record).map(|r| r.at.time);
            let begin = list.partition_point(|record| time(record) < Some(since));
            for record in list.get(begin..).unwrap_or_default().iter().take(LOOKED_AT) {
                let fits = time(record).is_some_and(|at| at >= since && at <= until);
                let Some(count) = claimed.get_mut(*record) else {
                    continue;
                };
                if fits && *count < CLAIMED {
                    *count += 1;
                    claims.push(Claim {
                        record: *record,
                        from,
                        name: None,
                    });
                }
            }
        }
    }
}

/// A node of the union: point and session.
#[derive(Debug)]
struct Union {
    parent: Vec<usize>,
}

impl Union {
    fn root(&mut self, mut node: usize) -> usize {
        while let Some(up) = self.parent.get(node).copied().filter(|up| *up != node) {
            let above = self.parent.get(up).copied().unwrap_or(up);
            if let Some(slot) = self.parent.get_mut(node) {
                *slot = above;
            }
            node = above;
        }
        node
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let (low, high) = (a.min(b), a.max(b));
        if let Some(slot) = self.parent.get_mut(high) {
            *slot = low;
        }
    }
}

/// The sessions of all points, those of one attempt together.
pub fn groups(points: &[Point], matches: &Matches) -> Vec<Group> {
    let nodes: Vec<(usize, usize)> = points
        .iter()
        .enumerate()
        .flat_map(|(point, p)| (0..p.filed.len()).map(move |session| (point, session)))
        .collect();
    let mut union = Union {
        parent: (0..nodes.len()).collect(),
    };
    let lookups: Vec<Lookup> = points
        .iter()
        .map(|p| Lookup::new(&p.recording.records))
        .collect();
    let mut claimed: Vec<Vec<u8>> = points
        .iter()
        .map(|p| vec![0; p.recording.records.len()])
        .collect();
    let mut owners: HashMap<usize, usize, RandomState> = HashMap::default();
    let mut spis: HashMap<u64, usize, RandomState> = HashMap::default();
    let mut all: Vec<Vec<Row>> = Vec::new();
    for (node, (point, number)) in nodes.iter().enumerate() {
        let (Some(p), Some(lookup), Some(claimed)) = (
            points.get(*point),
            lookups.get(*point),
            claimed.get_mut(*point),
        ) else {
            continue;
        };
        let Some(filed) = p.filed.get(*number) else {
            continue;
        };
        if let Some(sa) = filed.session.ike2().and_then(|facts| facts.sas.first()) {
            union.join(*spis.entry(sa.initiator_spi).or_insert(node), node);
        }
        let mut rows = Vec::new();
        for claim in claims(&filed.session, lookup, &p.recording.records, claimed) {
            let Some(row) = row(p, matches, *point, claim) else {
                continue;
            };
            if row.is_message || !owners.contains_key(&row.sighting) {
                union.join(*owners.entry(row.sighting).or_insert(node), node);
            }
            rows.push(row);
        }
        all.push(rows);
    }
    let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
    for (node, ((point, number), rows)) in nodes.iter().zip(all).enumerate() {
        let group = groups.entry(union.root(node)).or_insert_with(|| Group {
            members: vec![Vec::new(); points.len()],
            rows: Vec::new(),
            order: Vec::new(),
        });
        if let Some(list) = group.members.get_mut(*point) {
            list.push(*number);
        }
        group.rows.extend(rows);
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    for group in &mut groups {
        tidy(group, points, matches);
    }
    groups.sort_by_key(|g| g.rows.first().map(|row| row.time));
    groups
}

fn row(p: &Point, matches: &Matches, point: usize, claim: Claim) -> Option<Row> {
    let record = p.recording.records.get(claim.record)?;
    let sighting = *matches.of.get(point)?.get(claim.record)?;
    let is_message = claim.name.is_some() && record.what != What::Fragment;
    let name = match claim.name {
        Some(name) if is_message => match record.what {
            What::Ike {
                part: Some((part, total)),
            } => format!("{name}, part {part} of {total}"),
            _ => name,
        },
        _ => plain(record),
    };
    Some(Row {
        sighting,
        from: claim.from,
        name,
        time: matches.corrected(point, record.at.time),
        is_message,
    })
}

/// The name of a datagram that no message came of.
fn plain(record: &Record) -> String {
    match record.what {
        What::Fragment => format!("IP fragment, {} octets", record.ip_len),
        What::Ike { .. } => "IKE message".to_string(),
        What::Esp { spi, sequence } => {
            format!("ESP {spi:08x} #{sequence}, {} octets", record.ip_len)
        }
        What::Udp => format!("UDP datagram, {} octets", record.ip_len),
        What::Icmp { icmp_type, code } => format!("ICMP type {icmp_type} code {code}"),
        What::Tcp { flags, len } => {
            let marks: Vec<&str> = [(2, "SYN"), (1, "FIN"), (4, "RST"), (16, "ACK")]
                .iter()
                .filter(|(bit, name)| flags & bit != 0 && (*name != "ACK" || flags & 2 != 0))
                .map(|(_, name)| *name)
                .collect();
            if marks.is_empty() {
                format!("TCP segment, {len} octets")
            } else {
                format!("TCP {}", marks.join("/"))
            }
        }
    }
}

fn tidy(group: &mut Group, points: &[Point], matches: &Matches) {
    group.rows.sort_by(|a, b| {
        (a.sighting, !a.is_message, a.time).cmp(&(b.sighting, !b.is_message, b.time))
    });
    let mut rows: Vec<Row> = Vec::new();
    for row in group.rows.drain(..) {
        match rows.last_mut() {
            Some(last) if last.sighting == row.sighting => last.time = last.time.min(row.time),
            _ => rows.push(row),
        }
    }
    rows.sort_by_key(|row| (row.time, row.sighting));
    group.rows = rows;
    group.order = order(group, points, matches);
}

/// The points from the client to the gateway: the client's datagrams lose hops, and some are
/// lost, on the way.
fn order(group: &Group, points: &[Point], matches: &Matches) -> Vec<usize> {
    let mean = |point: usize, from: Side| -> (i64, usize) {
        let ttls: Vec<i64> = group
            .rows
            .iter()
            .filter(|row| row.from == from)
            .filter_map(|row| Group::record(points, matches, row, point))
            .filter(|record| !matches!(record.what, What::Icmp { .. }))
            .map(|record| i64::from(record.ttl))
            .collect();
        let count = ttls.len();
        let sum: i64 = ttls.iter().sum();
        let mean = i64::try_from(count)
            .ok()
            .filter(|n| *n > 0)
            .map_or(-1, |n| sum * 16 / n);
        (mean, count)
    };
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|point| {
        let (client, sent) = mean(*point, Side::Client);
        let (gateway, _) = mean(*point, Side::Gateway);
        (-client, gateway, std::cmp::Reverse(sent), *point)
    });
    order
}
