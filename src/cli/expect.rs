//! `--expect-client`: what of a client did arrive, and if nothing, that the capture works.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::decap::decap;
use crate::report::ExpectedReport;
use crate::source::Frame;
use crate::time::Timestamp;

/// What is counted of the clients that should show up.
#[derive(Debug, Default)]
pub(super) struct Expected {
    clients: Vec<(IpAddr, Seen)>,
    others: BTreeSet<IpAddr>,
    frames: u64,
    span: Option<(Timestamp, Timestamp)>,
}

#[derive(Debug, Default)]
struct Seen {
    sent: u64,
    received: u64,
    first: Option<(u16, u64)>,
}

impl Expected {
    /// Other addresses that are counted one by one.
    const OTHERS: usize = 10_000;

    /// Nothing seen yet of these clients.
    pub(super) fn new(clients: &[IpAddr]) -> Self {
        Self {
            clients: clients.iter().map(|ip| (*ip, Seen::default())).collect(),
            ..Self::default()
        }
    }

    /// Takes a frame. Costs nothing where nobody is expected.
    #[inline]
    pub(super) fn frame(&mut self, frame: &Frame<'_>) {
        if !self.clients.is_empty() {
            self.look(frame);
        }
    }

    #[inline(never)]
    fn look(&mut self, frame: &Frame<'_>) {
        self.frames += 1;
        let (first, last) = self.span.unwrap_or((frame.time, frame.time));
        self.span = Some((first.min(frame.time), last.max(frame.time)));
        let envelope = decap(frame).envelope;
        let mut ours = false;
        for (ip, seen) in &mut self.clients {
            let sent = envelope.source == *ip;
            let received = envelope.destination == *ip;
            seen.sent += u64::from(sent);
            seen.received += u64::from(received);
            if sent || received {
                ours = true;
                seen.first.get_or_insert((frame.capture, frame.no));
            }
        }
        let known = !envelope.source.is_unspecified();
        if !ours && known && self.others.len() < Self::OTHERS {
            self.others.insert(envelope.source);
        }
    }

    /// What the report says.
    pub(super) fn report(&self) -> Vec<ExpectedReport> {
        self.clients
            .iter()
            .map(|(ip, seen)| {
                let looked = self.span.map_or_else(
                    || "the captures are empty: they prove nothing".to_string(),
                    |(first, last)| {
                        format!(
                            "looked from {first} to {last}, at {} frames of {} other senders",
                            self.frames,
                            self.others.len()
                        )
                    },
                );
                let says = match (seen.sent, seen.received) {
                    (0, 0) => format!("nothing from or to {ip} was seen; {looked}"),
                    (0, n) => format!("nothing from {ip} was seen, but {n} frames to it; {looked}"),
                    (n, m) => format!("{n} frames from {ip} and {m} to it were seen; {looked}"),
                };
                ExpectedReport {
                    client: ip.to_string(),
                    arrived: seen.sent > 0,
                    frames_from: seen.sent,
                    frames_to: seen.received,
                    first_capture: seen.first.map(|(capture, _)| capture),
                    first_frame: seen.first.map(|(_, frame)| frame),
                    frames_looked_at: self.frames,
                    other_senders: self.others.len() as u64,
                    since: self.span.map(|(first, _)| first.to_string()),
                    until: self.span.map(|(_, last)| last.to_string()),
                    says,
                }
            })
            .collect()
    }
}

/// What the same session has at every point: the initiator's SPI or cookie, or the random of the
/// first `ClientHello`.
fn mark(session: &crate::track::Session) -> Option<u64> {
    if let Some(facts) = session.ike2() {
        return facts.sas.first().map(|sa| sa.initiator_spi);
    }
    if let Some(facts) = session.ike1() {
        return Some(facts.initiator_cookie);
    }
    let facts = session.tls()?;
    let tls = facts.connections.iter().filter_map(|c| c.hellos.first());
    let dtls = facts.associations.iter().filter_map(|a| a.hellos.first());
    // Its first four octets were a clock once.
    let random = tls.chain(dtls).next()?.random;
    let tail = random.last_chunk::<8>().copied()?;
    Some(u64::from_be_bytes(tail)).filter(|mark| *mark != 0)
}

/// Captures that hold the same sessions: points that want to be compared.
#[derive(Debug, Default)]
pub(super) struct Twins {
    first: BTreeMap<u64, u16>,
    /// Of captures that go on where another one stopped: the first of them.
    slices: BTreeMap<u16, u16>,
    pairs: BTreeSet<(u16, u16)>,
}

impl Twins {
    /// Sessions that are remembered.
    const KEPT: usize = 100_000;

    /// A capture goes on where the one before it stopped: both are of one point.
    pub(super) fn go_on(&mut self, before: u16, capture: u16) {
        self.slices.insert(capture, self.point(before));
    }

    fn point(&self, capture: u16) -> u16 {
        self.slices.get(&capture).copied().unwrap_or(capture)
    }

    /// Notes a session.
    pub(super) fn see(&mut self, session: &crate::track::Session) {
        let Some(spi) = mark(session) else { return };
        let capture = self.point(session.first.capture());
        match self.first.get(&spi) {
            Some(other) if *other != capture => {
                self.pairs.insert((*other, capture));
            }
            None if self.first.len() < Self::KEPT => {
                self.first.insert(spi, capture);
            }
            _ => {}
        }
    }

    /// Sentences that offer the comparison.
    pub(super) fn hints(&self, files: &[std::path::PathBuf]) -> Vec<String> {
        let name = |capture: u16| {
            files
                .get(usize::from(capture))
                .map_or_else(String::new, |path| path.display().to_string())
        };
        self.pairs
            .iter()
            .take(16)
            .map(|(a, b)| {
                format!(
                    "{0} and {1} hold the same sessions, seen from two points; vpnscope compare a={0} b={1} shows what happened between them",
                    name(*a),
                    name(*b)
                )
            })
            .collect()
    }
}
