//! Finds the session that a TCP connection or a DTLS association belongs to, and folds their
//! events into it.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::rare::push_lean;
use super::session::{Detail, Endpoint, Kind, Session, Side, Stamp};
use super::tls::{Connection, Tls};
use super::unanswered::Unanswered;
use super::{Core, Event, Stream, TcpEvent, TlsEvent};
use crate::assemble::tcp::{At, Fact, Opening, Party};
use crate::decap::{Envelope, Flow};
use crate::time::Span;

mod datagrams;
mod fold;
mod link;

/// Connections and associations, and their sessions.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// By connection number: session, and place among its connections.
    connections: HashMap<u64, (u32, usize), RandomState>,
    /// By association number: session, and place among its associations.
    associations: HashMap<u64, (u32, usize), RandomState>,
    /// The record at hand is a copy.
    skip_record: bool,
}

impl From<Party> for Side {
    fn from(party: Party) -> Self {
        match party {
            Party::Opener => Self::Client,
            Party::Acceptor => Self::Gateway,
        }
    }
}

/// Silence after which a session that is not over is closed.
const IDLE_OPEN: Span = Span::from_secs(6 * 3600);
/// Silence after which a session is closed whose connections are all closed. A tunnel may be
/// taken up again: clients try for a few minutes.
const IDLE_CLOSED: Span = Span::from_secs(20);
/// The same where it was a tunnel.
const IDLE_TUNNEL: Span = Span::from_secs(300);

impl Table {
    /// Adds a fact of a connection.
    pub(super) fn tcp(&mut self, core: &mut Core, event: &Event<'_>, tcp: &TcpEvent) {
        let stream = &tcp.stream;
        if let Fact::Opened(opening) = tcp.fact {
            self.open(core, event.envelope, stream, opening);
            return;
        }
        let Some((index, place)) = self.connections.get(&stream.number).copied() else {
            return;
        };
        if matches!(tcp.fact, Fact::Forgotten { .. }) {
            self.connections.remove(&stream.number);
        }
        with(core, index, |session, facts| {
            if let Some(connection) = facts.connections.get_mut(place) {
                fold::fact(session, connection, stream, tcp.fact, event.envelope);
            }
            if !matches!(tcp.fact, Fact::Forgotten { .. } | Fact::Repeat { .. }) {
                facts.flow.heard(stream.from.into(), stream.at);
            }
        });
        settle(core, index);
    }

    /// Adds something in the TLS of a connection.
    pub(super) fn tls(&mut self, core: &mut Core, event: &Event<'_>, tls: &TlsEvent<'_>) {
        let (TlsEvent::Item { stream, .. } | TlsEvent::Gap { stream, .. }) = tls;
        let Some((index, place)) = self.connections.get(&stream.number).copied() else {
            return;
        };
        with(core, index, |session, facts| {
            let Some(connection) = facts.connections.get_mut(place) else {
                return;
            };
            let from = Side::from(stream.from);
            match tls {
                TlsEvent::Gap { offset, len, .. } => connection.gap(from, *offset, *len),
                TlsEvent::Item { context, what, .. } => {
                    let mut fold = fold::Fold {
                        session,
                        connection,
                        event,
                        from,
                        at: stamp(event, stream.at),
                    };
                    let at = fold.at;
                    if let Some(length) = fold.item(what, *context) {
                        facts.flow.tcp(from, at, u32::from(length));
                    } else {
                        facts.flow.heard(from, at);
                    }
                }
            }
        });
        settle(core, index);
    }

    fn open(&mut self, core: &mut Core, envelope: &Envelope, stream: &Stream, opening: Opening) {
        let flow = stream.flow;
        let first = opening.syn.map_or_else(|| stream.at, Stamp::from);
        let known = link::continued(core, &flow, first.time).or_else(|| {
            let late = opening.syn.is_none();
            late.then(|| link::late_tunnel(core, &flow)).flatten()
        });
        let index = known.unwrap_or_else(|| {
            let index = begin(core, envelope, &flow, Kind::Tls, first);
            with(core, index, |session, _| {
                session.roles_known = stream.roles_known;
            });
            index
        });
        let connections = &mut self.connections;
        with(core, index, |session, facts| {
            if facts.connections.len() >= Tls::KEPT {
                facts.not_kept = facts.not_kept.saturating_add(1);
                return;
            }
            if opening.syn.is_none() && facts.connections.is_empty() {
                session.vantage.started_late = true;
            }
            if session.kind == Kind::Dtls {
                session.kind = Kind::TlsVpn;
            }
            connections.insert(stream.number, (index, facts.connections.len()));
            let connection = Connection::new(stream.number, flow, stream.roles_known, opening);
            push_lean(&mut facts.connections, connection);
            fold::opening_steps(session, &flow, &opening, envelope);
        });
        settle(core, index);
    }

    /// Adds SYNs that nobody answered: to the session that they go on with, where there is one.
    /// Otherwise they are a session of their own, given back.
    pub(super) fn unanswered(
        &mut self,
        core: &mut Core,
        event: &Event<'_>,
        stream: &Stream,
        opening: Opening,
        idle: bool,
    ) -> Option<Unanswered> {
        let syn = opening.syn?;
        if link::continued(core, &stream.flow, syn.time).is_none() {
            let id = core.slab.take_number();
            return Unanswered::new(id, stream, &opening, event.envelope.time, idle);
        }
        let time = opening.last_syn.unwrap_or(syn).time;
        let envelope = Envelope {
            time,
            ..*event.envelope
        };
        self.open(core, &envelope, stream, opening);
        let end = TcpEvent {
            stream: Stream {
                at: At::from(&envelope),
                ..*stream
            },
            fact: forgotten(&opening),
        };
        let event = Event {
            envelope: &envelope,
            ..*event
        };
        self.tcp(core, &event, &end);
        None
    }

    /// Forgets a session that is over.
    pub(super) fn forget(&mut self, session: &Session) {
        let Some(facts) = session.tls() else { return };
        for connection in &facts.connections {
            self.connections.remove(&connection.number);
        }
        for association in &facts.associations {
            self.associations.remove(&association.number);
        }
    }
}

/// How a connection ends that consists of SYNs.
fn forgotten(opening: &Opening) -> Fact {
    Fact::Forgotten {
        opener: u32::from(opening.syns),
        acceptor: 0,
    }
}

/// Gives a session its only connection, which consists of SYNs.
pub(super) fn complete(
    session: &mut Session,
    mut connection: Connection,
    stream: &Stream,
    opening: &Opening,
    envelope: &Envelope,
) {
    fold::opening_steps(session, &stream.flow, opening, envelope);
    fold::fact(
        session,
        &mut connection,
        stream,
        forgotten(opening),
        envelope,
    );
    if let Detail::Tls(facts) = &mut session.detail {
        push_lean(&mut facts.connections, connection);
    }
}

/// A session between the ends of a flow.
fn begin(core: &mut Core, envelope: &Envelope, flow: &Flow, kind: Kind, first: Stamp) -> u32 {
    let detail = Detail::Tls(Box::default());
    let mut session = Session::open(kind, envelope, Side::Client, detail);
    session.client = endpoint(flow.source);
    session.gateway = endpoint(flow.destination);
    (session.first, session.last) = (first, first);
    let towards = Envelope {
        source: flow.source.0,
        destination: flow.destination.0,
        ..*envelope
    };
    core.open(session, &towards)
}

const fn endpoint((ip, port): (std::net::IpAddr, u16)) -> Endpoint {
    Endpoint { ip, port }
}

/// Changes a session and its TLS facts.
fn with(core: &mut Core, index: u32, change: impl FnOnce(&mut Session, &mut Tls)) {
    let Some(open) = core.slab.get_mut(index) else {
        return;
    };
    match std::mem::replace(&mut open.session.detail, Detail::Esp) {
        Detail::Tls(mut facts) => {
            change(&mut open.session, &mut facts);
            open.session.detail = Detail::Tls(facts);
        }
        other => open.session.detail = other,
    }
}

/// The frame that completed what an event is about.
fn stamp(event: &Event<'_>, at: At) -> Stamp {
    if event.envelope.frame == 0 {
        let frame = event.frames.last().copied().unwrap_or(at.frame());
        return at.in_frame(frame);
    }
    Stamp::from(event.envelope)
}

/// Says how long a session may be silent from now on.
fn settle(core: &mut Core, index: u32) {
    let now = core.now;
    let Some(open) = core.slab.get_mut(index) else {
        return;
    };
    let Some(facts) = open.session.tls() else {
        return;
    };
    let closed = facts
        .connections
        .iter()
        .all(|connection| connection.closed.is_some());
    let idle = if facts.connections.is_empty() || !closed {
        IDLE_OPEN
    } else if facts.associations.is_empty() {
        IDLE_CLOSED
    } else {
        IDLE_TUNNEL
    };
    core.slab.touch(index, now, idle);
}
