//! Which session a new connection or association belongs to.
//!
//! A client of a VPN opens several: one connection after another while it logs in, a DTLS
//! association as soon as the gateway has answered its CONNECT, new ones when it rekeys, comes
//! back after a loss, or moves.

use super::super::Core;
use super::super::session::Session;
use super::super::tls::{Connection, Hello, Tls};
use crate::decap::Flow;
use crate::time::{Span, Timestamp};

/// How long after the end of a tunnel's connection another one takes it up.
const RECONNECT: Span = Span::from_secs(240);
/// How soon after the end of a connection the next one of the same attempt begins.
const RETRY: Span = Span::from_millis(100);
/// A connection of an attempt that goes on in another one is short.
const SHORT: Span = Span::from_secs(30);
/// Silence of the gateway on all channels after which a client opens another connection
/// without closing the one it has.
const DEAD: Span = Span::from_secs(2);
/// How soon after an answer over TCP the first datagram of DTLS comes: a round trip and some.
const SOON: Span = Span::from_secs(3);
/// Two candidates whose answers came this close to each other cannot be told apart.
const TOGETHER: Span = Span::from_millis(30);

/// The open session that a new connection goes on with.
pub(super) fn continued(core: &Core, flow: &Flow, started: Timestamp) -> Option<u32> {
    let pair = core.between(flow.source.0, flow.destination.0);
    pair.iter().rev().copied().find(|index| {
        core.slab.get(*index).is_some_and(|open| {
            let session = &open.session;
            session.tls().is_some_and(|facts| {
                session.client.ip == flow.source.0
                    && (session.gateway.ip, session.gateway.port) == flow.destination
                    && goes_on(session, facts, started)
            })
        })
    })
}

fn goes_on(session: &Session, facts: &Tls, started: Timestamp) -> bool {
    let Some(connection) = facts.connection() else {
        return false;
    };
    if facts.has_tunnel() {
        return if let Some(closed) = connection
            .closed
            .or(connection.fin.client)
            .or(connection.fin.gateway)
        {
            started - closed.time <= RECONNECT
        } else {
            let last = facts.flow.gateway_last.unwrap_or(session.first);
            started - last.time >= DEAD && started - session.last.time <= RECONNECT
        };
    }
    is_retried(connection, started)
}

/// Whether the client left a connection after some exchange, without taking its leave as TLS
/// wants it, and came back at once.
fn is_retried(connection: &Connection, started: Timestamp) -> bool {
    let Some(fin) = connection.fin.client else {
        return false;
    };
    let opened = connection.opening.syn.map_or(fin.time, |at| at.time);
    let gateway_first = connection.fin.gateway.is_some_and(|at| at.time < fin.time);
    started >= fin.time
        && started - fin.time <= RETRY
        && fin.time - opened <= SHORT
        && !gateway_first
        && connection.alerts.is_empty()
        && !said_goodbye(connection, fin.time)
        && connection.record_count.gateway > 2
        && requests(connection) <= 1
}

/// Records of the client after its handshake.
fn requests(connection: &Connection) -> usize {
    let mut records = connection.kept_records().filter(|record| {
        record.from == super::Side::Client
            && record.content_type == vpnscope_dissectors::tls::ContentType::APPLICATION_DATA
            && (!connection.is_tls13() || connection.client_flight != Some(record.at))
    });
    records.by_ref().count()
}

/// An open session that began late with DTLS, for a connection that begins late as well.
pub(super) fn late_tunnel(core: &Core, flow: &Flow) -> Option<u32> {
    let pair = core.between(flow.source.0, flow.destination.0);
    pair.iter().rev().copied().find(|index| {
        core.slab.get(*index).is_some_and(|open| {
            let session = &open.session;
            session.vantage.started_late
                && session
                    .tls()
                    .is_some_and(|facts| facts.connections.is_empty())
                && session.client.ip == flow.source.0
                && session.gateway.ip == flow.destination.0
        })
    })
}

/// Whether the client's last record before its FIN may be `close_notify`: an encrypted alert,
/// or in TLS 1.3 a record with room for nothing else (RFC 9846 §5.2: two octets, the content
/// type, and a tag of 16 or 8).
pub(super) fn said_goodbye(connection: &Connection, until: Timestamp) -> bool {
    use vpnscope_dissectors::tls::ContentType;
    let last = connection
        .kept_records()
        .rfind(|record| record.from == super::Side::Client && record.at.time <= until);
    last.is_some_and(|record| match record.content_type {
        ContentType::ALERT => true,
        ContentType::APPLICATION_DATA => connection.is_tls13() && matches!(record.length, 19 | 11),
        _ => false,
    })
}

/// Where a new association belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The session.
    pub(super) index: u32,
    /// Another one fits as well.
    pub(super) ambiguous: bool,
}

/// The open session that a new association of the client belongs to.
pub(super) fn tunnel(
    core: &Core,
    flow: &Flow,
    hello: Option<&Hello>,
    now: Timestamp,
) -> Option<Place> {
    let pair = core.between(flow.source.0, flow.destination.0);
    let sessions = pair.iter().rev().copied().filter_map(|index| {
        let session = &core.slab.get(index)?.session;
        let facts = session.tls()?;
        (session.client.ip == flow.source.0 && session.gateway.ip == flow.destination.0)
            .then_some((index, session, facts))
    });
    // The same session id: the same CSTP connection, whatever the port.
    if let Some(hello) = hello.filter(|hello| !hello.session_id.is_empty()) {
        let same = sessions.clone().find(|(_, _, facts)| {
            facts.associations.iter().any(|association| {
                association
                    .hello()
                    .is_some_and(|known| known.session_id == hello.session_id)
            })
        });
        if let Some((index, ..)) = same {
            return Some(Place {
                index,
                ambiguous: false,
            });
        }
    }
    let mut waiting: Vec<(Span, u32)> = sessions
        .clone()
        .filter_map(|(index, _, facts)| Some((waits(facts, now)?, index)))
        .collect();
    waiting.sort_unstable();
    if let Some((delay, index)) = waiting.first().copied() {
        let ambiguous = waiting
            .get(1)
            .is_some_and(|(second, _)| second.0 - delay.0 < TOGETHER.0);
        return Some(Place { index, ambiguous });
    }
    // Later than that it is another try of the only tunnel there is.
    let mut alive = sessions.filter(|(_, _, facts)| is_alive(facts));
    let (index, ..) = alive.next()?;
    Some(Place {
        index,
        ambiguous: alive.next().is_some(),
    })
}

fn is_alive(facts: &Tls) -> bool {
    facts
        .connection()
        .is_some_and(|connection| connection.closed.is_none() && is_up(connection))
}

/// Whether both sides of a connection have sent application data.
fn is_up(connection: &Connection) -> bool {
    let data = |side| {
        connection.kept_records().any(|record| {
            record.from == side
                && record.content_type == vpnscope_dissectors::tls::ContentType::APPLICATION_DATA
        })
    };
    data(super::Side::Client) && data(super::Side::Gateway)
}

/// For a session whose gateway has just answered over TCP, and that no association took since:
/// how long ago.
fn waits(facts: &Tls, now: Timestamp) -> Option<Span> {
    if !is_alive(facts) {
        return None;
    }
    let answered = facts.flow.tcp.gateway.last?;
    let delay = now - answered.time;
    let taken = facts.associations.iter().any(|association| {
        association
            .hello()
            .is_none_or(|hello| hello.at.time >= answered.time)
    });
    let asked_last = facts
        .flow
        .tcp
        .client
        .last
        .is_some_and(|asked| asked.time > answered.time);
    (!taken && !asked_last && delay <= SOON && delay >= Span(0)).then_some(delay)
}

/// The session whose association goes on from another address or port of the client: the same
/// gateway, the same keys, and sequence numbers that go on.
pub(super) fn moved(core: &Core, flow: &Flow, epoch: u16, sequence: u64) -> Option<(u32, usize)> {
    const NEAR: u64 = 256;
    let fits = |session: &Session, facts: &Tls| -> Option<usize> {
        if session.gateway.ip != flow.destination.0 {
            return None;
        }
        facts.associations.iter().rposition(|association| {
            let (known, last) = association.sequence.client;
            association.flow.destination == flow.destination
                && association.is_established()
                && known == epoch
                && sequence > last
                && sequence - last < NEAR
        })
    };
    let pair = core.between(flow.source.0, flow.destination.0);
    pair.iter().rev().copied().find_map(|index| {
        let session = &core.slab.get(index)?.session;
        let place = fits(session, session.tls()?)?;
        Some((index, place))
    })
}
