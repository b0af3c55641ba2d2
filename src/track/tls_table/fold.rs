//! Folds what a TCP connection carried into its facts and the session's ladder.

use std::borrow::Cow;

use vpnscope_dissectors::tls::fingerprint::Carrier;
use vpnscope_dissectors::tls::{
    Alert, Certificates, ClientHello, ContentType, Context, HandshakeType, Message, ServerHello,
};

use super::super::rare::push_lean;
use super::super::session::{Session, Side, Stamp, Step, Unreadable};
use super::super::tls::connection::{AlertSeen, NotTls, Progress, RecordSeen, Reset};
use super::super::tls::{Answer, Chain, Connection, Hello};
use super::super::{Event, Stream};
use crate::assemble::messages::tls::What;
use crate::assemble::tcp::{At, Fact, Opening};
use crate::decap::{Envelope, Flow};

/// Application records of a connection that are lines of the ladder.
const DATA_STEPS: u64 = 24;
/// Hellos, alerts and the like of a connection that are kept.
const KEPT: usize = 8;

/// Lines of the ladder for the way a connection was opened.
pub(super) fn opening_steps(
    session: &mut Session,
    flow: &Flow,
    opening: &Opening,
    envelope: &Envelope,
) {
    let step = |at: At, from: Side, message: &'static str, ttl: u8| Step {
        at,
        flow: if from == Side::Client {
            *flow
        } else {
            flow.reversed()
        },
        ttl,
        ip_len: 0,
        ..Step::new(envelope, &[], from, message, 0)
    };
    if let Some(at) = opening.syn {
        let mut syn = step(at, Side::Client, "TCP SYN", opening.ttl);
        if opening.syns > 1 {
            syn.repeats.count = u32::from(opening.syns - 1);
        }
        if let Some(last) = opening.last_syn.filter(|last| *last != at) {
            syn.repeats.stamps.push(last);
            syn.repeats.last = Some(last);
        }
        session.last = session.last.max(syn.last());
        session.push_step(syn);
    }
    if let Some(at) = opening.answer {
        session.last = session.last.max(at);
        session.push_step(step(at, Side::Gateway, "TCP SYN, ACK", opening.answer_ttl));
    }
}

/// Counts a frame once, however many events it gives.
pub(super) fn touch(session: &mut Session, at: Stamp, envelope: &Envelope, from: Side) {
    let counted = session.last == at || session.counted == (at.capture(), at.frame());
    if envelope.frame == 0 || counted {
        return;
    }
    session.touch(envelope, from);
}

/// Adds a fact of the transport.
pub(super) fn fact(
    session: &mut Session,
    connection: &mut Connection,
    stream: &Stream,
    fact: Fact,
    envelope: &Envelope,
) {
    let from = Side::from(stream.from);
    let at = stream.at;
    if !matches!(fact, Fact::Forgotten { .. }) {
        touch(session, at, envelope, from);
        connection.segment(from, at, envelope, matches!(fact, Fact::Reset { .. }));
    }
    match fact {
        Fact::Opened(_) | Fact::Unanswered { .. } | Fact::WindowClosed | Fact::KeepAlive => {}
        Fact::Copy => session.vantage.copies += 1,
        Fact::Conflict { .. } => connection.conflicts = connection.conflicts.saturating_add(1),
        Fact::SynRepeated => {
            let step = session
                .steps
                .iter_mut()
                .find(|step| step.from == from && step.message.starts_with("TCP SYN"));
            if let Some(step) = step {
                step.repeats.note(at);
            }
        }
        Fact::Reset { offset } => {
            if connection.reset.is_none() {
                let usual_ttl = *connection.ttl.of(from);
                connection.reset = Some(Reset {
                    at,
                    from,
                    ttl: envelope.ttl,
                    usual_ttl: usual_ttl.or_else(|| opening_ttl(connection, from)),
                    offset,
                });
                session.push_step(Step::new(envelope, &[], from, "TCP RST", 0));
            }
            connection.closed.get_or_insert(at);
        }
        Fact::Fin { offset } => {
            connection.length.of_mut(from).get_or_insert(offset);
            connection.fin.of_mut(from).get_or_insert(at);
            if connection.fin.client.is_some() && connection.fin.gateway.is_some() {
                connection.closed.get_or_insert(at);
            }
            session.push_step(Step::new(envelope, &[], from, "TCP FIN", 0));
        }
        Fact::Repeat { offset, len, acked } => {
            connection.repeated(from, (offset, len, acked), at, envelope);
        }
        Fact::Hole { offset, len } => connection.hole(from, offset, len, at),
        Fact::Filled { offset } => connection.filled(from, offset, at),
        Fact::Acked { offset } => acknowledged(session, connection, from, offset, at),
        Fact::Sack {
            acked, from: edge, ..
        } => connection.sack(from, acked, edge, at),
        Fact::Forgotten { opener, acceptor } => {
            connection.closed.get_or_insert(at);
            for (side, frames) in [(Side::Client, opener), (Side::Gateway, acceptor)] {
                let counted = *connection.counted.of(side);
                let missing = u64::from(frames).saturating_sub(counted);
                session.frames += missing;
                *session.vantage.frames.of_mut(side) += missing;
            }
        }
    }
}

const fn opening_ttl(connection: &Connection, from: Side) -> Option<u8> {
    match from {
        Side::Client if connection.opening.syn.is_some() => Some(connection.opening.ttl),
        Side::Gateway if connection.opening.answer.is_some() => Some(connection.opening.answer_ttl),
        _ => None,
    }
}

/// One end acknowledged octets of the other.
fn acknowledged(
    session: &mut Session,
    connection: &mut Connection,
    by: Side,
    offset: u32,
    at: Stamp,
) {
    let peer = by.other();
    *connection.acked.of_mut(peer) = Progress {
        octets: offset,
        at: Some(at),
    };
    if connection.last.of(peer).is_none() && connection.opening_of(peer).is_none() {
        // The peer sent, and the capture did not see it.
        *session.vantage.unseen.of_mut(peer) = 1;
    }
}

/// What is being folded.
pub(super) struct Fold<'a, 'e> {
    pub(super) session: &'a mut Session,
    pub(super) connection: &'a mut Connection,
    pub(super) event: &'a Event<'e>,
    pub(super) from: Side,
    pub(super) at: Stamp,
}

impl Fold<'_, '_> {
    fn step(&mut self, message: impl Into<Cow<'static, str>>, length: u32) {
        let mut step = Step::new(
            self.event.envelope,
            self.event.frames,
            self.from,
            message,
            length,
        );
        step.at = self.at;
        let flow = self.connection.flow;
        step.flow = if self.from == Side::Client {
            flow
        } else {
            flow.reversed()
        };
        self.session.push_step(step);
    }

    /// Adds an item; gives the length of a record of application data.
    pub(super) fn item(&mut self, what: &What<'_>, context: Context) -> Option<u16> {
        touch(self.session, self.at, self.event.envelope, self.from);
        self.connection
            .segment(self.from, self.at, self.event.envelope, false);
        match what {
            What::Record {
                content_type,
                length,
                clear,
                cut,
                ..
            } => {
                if *cut {
                    self.connection.gaps = self.connection.gaps.saturating_add(1);
                }
                return self.record(*content_type, *length, *clear);
            }
            What::Handshake { message_type, body } => {
                let step = step_name(*message_type, body);
                let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
                self.step(step, length);
                self.handshake(*message_type, body, context);
            }
            What::HandshakeCut {
                message_type,
                length,
                body,
            } => {
                self.connection.cut_messages = self.connection.cut_messages.saturating_add(1);
                let step = format!("{} (cut)", step_name(*message_type, body));
                self.step(step, *length);
                if matches!(
                    *message_type,
                    HandshakeType::CLIENT_HELLO | HandshakeType::SERVER_HELLO
                ) {
                    self.handshake(*message_type, body, context);
                }
            }
            What::Ssl2Hello(hello) => {
                self.step("ClientHello (SSL 2.0 form)", u32::from(hello.length));
                let hello = Hello::of_ssl2(hello, self.at);
                self.hello(hello);
            }
            What::Alert(alert) => self.alert(*alert),
            What::NotTls(octets) => {
                self.step("data that is no TLS", 0);
                self.connection.not_tls.get_or_insert_with(|| NotTls {
                    at: self.at,
                    from: self.from,
                    octets: octets.to_vec(),
                });
            }
            What::Unreadable(error) => {
                if self.session.unreadable.len() < Session::FACTS_KEPT {
                    self.session.unreadable.push(Unreadable {
                        at: self.at,
                        from: self.from,
                        what: error.what,
                        offset: error.offset,
                        reason: error.reason,
                    });
                }
            }
        }
        None
    }

    fn record(&mut self, content_type: ContentType, length: u16, clear: bool) -> Option<u16> {
        let record = RecordSeen {
            at: self.at,
            from: self.from,
            content_type,
            length,
            clear,
        };
        let is_data = self.connection.is_data(&record);
        self.connection.record(record);
        let count = self.connection.record_count;
        let early = count.client + count.gateway <= DATA_STEPS;
        match content_type {
            ContentType::CHANGE_CIPHER_SPEC => {
                self.connection
                    .changed
                    .of_mut(self.from)
                    .get_or_insert(self.at);
                self.step("ChangeCipherSpec", u32::from(length));
            }
            ContentType::HANDSHAKE if !clear => {
                self.step("encrypted handshake message", u32::from(length));
            }
            ContentType::ALERT if !clear => self.step("encrypted alert", u32::from(length)),
            ContentType::APPLICATION_DATA => {
                if early {
                    self.step("encrypted record", u32::from(length));
                }
                return is_data.then_some(length);
            }
            _ => {}
        }
        None
    }

    fn alert(&mut self, alert: Alert) {
        self.step(format!("Alert {} ({})", alert.description, alert.level), 2);
        if self.connection.alerts.len() < KEPT {
            self.connection.alerts.push(AlertSeen {
                at: self.at,
                from: self.from,
                alert,
            });
        }
    }

    fn hello(&mut self, hello: Hello) {
        let name = self.session.gateway_name.take();
        self.session.gateway_name = name.or_else(|| hello.server_name.clone());
        if self.connection.hellos.len() < KEPT {
            push_lean(&mut self.connection.hellos, hello);
        }
        if self.from == Side::Client && self.connection.record_count.gateway == 0 {
            // The handshake is there from its start, wherever the connection began.
            self.connection.started_late = false;
            self.connection.roles_known = true;
            self.session.vantage.started_late = false;
            self.session.roles_known = true;
        }
    }

    fn handshake(&mut self, message_type: HandshakeType, body: &[u8], context: Context) {
        let at = self.at;
        let connection = &mut *self.connection;
        match message_type {
            HandshakeType::CLIENT_HELLO => {
                if let Ok(hello) = ClientHello::parse(body) {
                    self.hello(Hello::of(&hello, at, Carrier::Tcp));
                }
            }
            HandshakeType::SERVER_HELLO => {
                if let Ok(hello) = ServerHello::parse(body)
                    && connection.answers.len() < KEPT
                {
                    push_lean(&mut connection.answers, Answer::of(&hello, at));
                }
            }
            HandshakeType::CERTIFICATE => {
                if let Ok(message) = Certificates::parse(body) {
                    let chain = connection.chains.of_mut(self.from);
                    chain.get_or_insert_with(|| Chain::of(&message, at));
                }
            }
            HandshakeType::CERTIFICATE_REQUEST => {
                connection.certificate_request.get_or_insert(at);
            }
            HandshakeType::CERTIFICATE_VERIFY => {
                connection.certificate_verify.get_or_insert(at);
            }
            HandshakeType::SERVER_HELLO_DONE => {
                connection.hello_done.get_or_insert(at);
            }
            HandshakeType::CLIENT_KEY_EXCHANGE => {
                connection.key_exchange.get_or_insert(at);
            }
            HandshakeType::SERVER_KEY_EXCHANGE => {
                let message = Message::parse(message_type, body, context);
                if let Ok(Message::ServerKeyExchange(exchange)) = message {
                    connection.group = connection.group.or_else(|| exchange.group());
                    connection.scheme = connection.scheme.or(exchange.scheme);
                }
            }
            _ => {}
        }
    }
}

/// What a message is called on the ladder.
pub(super) fn step_name(message_type: HandshakeType, body: &[u8]) -> Cow<'static, str> {
    Cow::Borrowed(match message_type {
        HandshakeType::CLIENT_HELLO => "ClientHello",
        HandshakeType::SERVER_HELLO => {
            let is_retry =
                ServerHello::parse(body).is_ok_and(|hello| hello.is_hello_retry_request());
            if is_retry {
                "HelloRetryRequest"
            } else {
                "ServerHello"
            }
        }
        HandshakeType::HELLO_REQUEST => "HelloRequest",
        HandshakeType::HELLO_VERIFY_REQUEST => "HelloVerifyRequest",
        HandshakeType::NEW_SESSION_TICKET => "NewSessionTicket",
        HandshakeType::CERTIFICATE => "Certificate",
        HandshakeType::SERVER_KEY_EXCHANGE => "ServerKeyExchange",
        HandshakeType::CERTIFICATE_REQUEST => "CertificateRequest",
        HandshakeType::SERVER_HELLO_DONE => "ServerHelloDone",
        HandshakeType::CERTIFICATE_VERIFY => "CertificateVerify",
        HandshakeType::CLIENT_KEY_EXCHANGE => "ClientKeyExchange",
        HandshakeType::CERTIFICATE_STATUS => "CertificateStatus",
        HandshakeType::FINISHED => "Finished",
        other => return Cow::Owned(other.to_string()),
    })
}
