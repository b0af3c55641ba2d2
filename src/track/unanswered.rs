//! SYNs that nobody answered. On a span port they are many, from scans above all, and nearly
//! all are nothing that anybody asked for: a small record is kept of them, and the session is
//! built where somebody wants to read it.

use super::session::{Detail, Ending, Endpoint, Kind, Session, Stamp};
use super::tls::Connection;
use super::{Stream, tls_table};
use crate::assemble::tcp::{At, Opening, Party, blank_envelope};
use crate::decap::Flow;
use crate::time::{Span, Timestamp};

/// A session that consists of unanswered SYNs: it is over as soon as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswered {
    /// Number in order of opening, from 1.
    pub id: u32,
    /// From the client to the gateway.
    pub flow: Flow,
    /// The first SYN.
    pub first: Stamp,
    /// The last SYN: capture, frame and time.
    last: Stamp,
    /// How many SYNs.
    pub syns: u8,
    ttl: u8,
    /// What the client wants to receive at most, octets of data.
    mss: Option<u16>,
    /// Number of the connection.
    number: u64,
    told: Timestamp,
    idle: bool,
}

impl Unanswered {
    /// Takes what was told at `told`; `None` where the opening has no SYN.
    pub(super) fn new(
        id: u32,
        stream: &Stream,
        opening: &Opening,
        told: Timestamp,
        idle: bool,
    ) -> Option<Self> {
        let first = opening.syn?;
        let last = opening.last_syn.unwrap_or(first);
        Some(Self {
            id,
            flow: stream.flow,
            first,
            last,
            syns: opening.syns,
            ttl: opening.ttl,
            mss: opening.mss,
            number: stream.number,
            told,
            idle,
        })
    }

    /// How long an answer could have been seen: from the first SYN to when the capture ended or
    /// nobody waited any more.
    pub fn watched(&self) -> Span {
        self.told.max(self.last.time) - self.first.time
    }

    /// The session that this is.
    pub fn session(&self) -> Box<Session> {
        let last = self.last;
        let opening = Opening {
            syn: Some(self.first),
            last_syn: Some(last),
            syns: self.syns,
            answer: None,
            acknowledged: false,
            mss: self.mss,
            answer_mss: None,
            rewritten: None,
            answer_rewritten: None,
            ttl: self.ttl,
            answer_ttl: 0,
        };
        let envelope = blank_envelope(last.capture(), &self.flow, last.time, 6);
        let stream = Stream {
            number: self.number,
            flow: self.flow,
            roles_known: true,
            from: Party::Opener,
            at: At::from(&envelope),
        };
        let end = |(ip, port)| Endpoint { ip, port };
        let mut session = Box::new(Session::empty(
            Kind::Tls,
            end(self.flow.source),
            end(self.flow.destination),
            self.first,
            Detail::Tls(Box::default()),
        ));
        session.id = self.id;
        let connection = Connection::new(stream.number, self.flow, true, opening);
        tls_table::complete(&mut session, connection, &stream, &opening, &envelope);
        self.end(&mut session);
        session
    }

    fn end(&self, session: &mut Session) {
        session.vantage.ending = if self.idle {
            Ending::Idle
        } else {
            Ending::CaptureEnd
        };
        session.vantage.watched_after = self.told - session.last.time;
    }
}
