//! SYNs that nobody answered. On a span port they are many, from scans above all, and nearly
//! all are nothing that anybody asked for: a small record is kept of them, and the session is
//! built where somebody wants to read it.

use std::net::IpAddr;

use super::session::{Detail, Ending, Endpoint, Kind, Session, Stamp};
use super::tls::Connection;
use super::{Stream, tls_table};
use crate::assemble::tcp::{At, Opening, Party, blank_envelope};
use crate::decap::Flow;
use crate::time::{Span, Timestamp};

/// A session that consists of unanswered SYNs: it is over as soon as it is known. There may be
/// very many: it is as small as it can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// Number in order of opening, from 1.
    pub id: u32,
    flow: Ends,
    /// The first SYN.
    pub first: Stamp,
    last: Stamp,
    /// How many SYNs.
    pub syns: u8,
    ttl: u8,
    idle: bool,
    /// What the client wants to receive at most, octets of data.
    mss: Option<u16>,
    /// Number of the connection.
    number: u64,
    told: Timestamp,
}

/// From the client to the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ends {
    /// The addresses, then the ports.
    V4([u8; 12]),
    Other(Box<Flow>),
}

impl Ends {
    fn of(flow: &Flow) -> Self {
        let ((IpAddr::V4(client), from), (IpAddr::V4(gateway), to)) =
            (flow.source, flow.destination)
        else {
            return Self::Other(Box::new(*flow));
        };
        let ([a, b, c, d], [e, f, g, h]) = (client.octets(), gateway.octets());
        let ([p, q], [r, s]) = (from.to_be_bytes(), to.to_be_bytes());
        Self::V4([a, b, c, d, e, f, g, h, p, q, r, s])
    }

    fn flow(&self) -> Flow {
        match *self {
            Self::V4([a, b, c, d, e, f, g, h, p, q, r, s]) => Flow {
                source: ([a, b, c, d].into(), u16::from_be_bytes([p, q])),
                destination: ([e, f, g, h].into(), u16::from_be_bytes([r, s])),
            },
            Self::Other(ref flow) => **flow,
        }
    }
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
            flow: Ends::of(&stream.flow),
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

    /// From the client to the gateway.
    pub fn flow(&self) -> Flow {
        self.flow.flow()
    }

    /// How long an answer could have been seen: from the first SYN to when the capture ended or
    /// nobody waited any more.
    pub fn watched(&self) -> Span {
        self.told.max(self.last.time) - self.first.time
    }

    /// The session that this is.
    pub fn session(&self) -> Box<Session> {
        let (first, last, flow) = (self.first, self.last, self.flow());
        let opening = Opening {
            syn: Some(first),
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
        let envelope = blank_envelope(last.capture(), &flow, last.time, 6);
        let stream = Stream {
            number: self.number,
            flow,
            roles_known: true,
            from: Party::Opener,
            at: At::from(&envelope),
        };
        let end = |(ip, port)| Endpoint { ip, port };
        let mut session = Box::new(Session::empty(
            Kind::Tls,
            end(flow.source),
            end(flow.destination),
            first,
            Detail::Tls(Box::default()),
        ));
        session.id = self.id;
        let connection = Connection::new(stream.number, flow, true, opening);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small_and_gives_what_it_took() {
        assert!(size_of::<Unanswered>() <= 80, "{}", size_of::<Unanswered>());
        let at = |capture, frame, seconds| {
            Stamp::new(capture, frame, Timestamp(0) + Span::from_secs(seconds))
        };
        let opening = Opening {
            syn: Some(at(0, 7, 1)),
            last_syn: Some(at(1, 2, 4)),
            syns: 3,
            answer: None,
            acknowledged: false,
            mss: Some(1460),
            answer_mss: None,
            rewritten: None,
            answer_rewritten: None,
            ttl: 61,
            answer_ttl: 0,
        };
        for (client, gateway) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
            let flow = Flow {
                source: (client.parse().unwrap(), 40_000),
                destination: (gateway.parse().unwrap(), 443),
            };
            let stream = Stream {
                number: 5,
                flow,
                roles_known: true,
                from: Party::Opener,
                at: at(1, 2, 4),
            };
            let told = Timestamp(0) + Span::from_secs(80);
            let syns = Unanswered::new(9, &stream, &opening, told, true).unwrap();
            assert_eq!((syns.flow(), syns.id), (flow, 9));
            assert_eq!((syns.first, syns.last), (at(0, 7, 1), at(1, 2, 4)));
            assert_eq!(syns.watched(), Span::from_secs(79));
            let session = syns.session();
            assert_eq!(
                (session.client.ip, session.gateway.port),
                (flow.source.0, 443)
            );
            assert_eq!(session.vantage.ending, Ending::Idle);
        }
    }
}
