//! How far a TLS or DTLS session came, who ended it, and whether it belongs to a VPN.
//!
//! All of it follows from order, direction, the arithmetic of records and the endings of TCP;
//! lengths alone decide nothing.

use vpnscope_dissectors::tls::{CipherSuite, ContentType, Version};

use crate::diagnose::memo;
use crate::diagnose::{Confidence, Context, Outcome, Progress, Stage};
use crate::time::Span;
use crate::track::names::looks_like_vpn;
use crate::track::session::{Kind, Session, Side, Stamp};
use crate::track::tls::connection::{Connection, RecordSeen};
use crate::track::tls::{Association, Tls};

/// How far a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Its beginning was not seen.
    Late,
    /// SYNs without an answer.
    Unanswered,
    /// A SYN, answered by a reset.
    Refused,
    /// Open, but nobody said anything.
    Open,
    /// A `ClientHello`, and no TLS of the server since.
    HelloSent,
    /// The server answered with TLS.
    Answered,
    /// The server said all it says before the client's turn.
    Flight,
    /// The client finished its handshake.
    ClientFinished,
    /// Both have finished.
    Up,
}

/// What ended a connection first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing that was seen.
    None,
    /// A FIN.
    Fin(Side, Stamp),
    /// A RST.
    Reset(Side, Stamp),
}

impl End {
    /// Who, and when.
    pub const fn by(self) -> Option<(Side, Stamp)> {
        match self {
            Self::None => None,
            Self::Fin(side, at) | Self::Reset(side, at) => Some((side, at)),
        }
    }

    /// Whether that side ended it.
    pub fn is_by(self, side: Side) -> bool {
        self.by().is_some_and(|(by, _)| by == side)
    }
}

/// Why a session is taken for one of a VPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vpn {
    /// A DTLS association to the same gateway belongs to it.
    Dtls,
    /// The user named the gateway.
    Named,
    /// The client's fingerprint is that of a VPN client.
    Fingerprint,
    /// Both ends sent records with room for the eight octets of a CSTP keepalive and nothing
    /// else.
    Keepalives,
    /// The same gateway serves a VPN to somebody in this capture.
    Gateway,
    /// The gateway's name is one that people give to VPN gateways.
    Name,
}

/// Fingerprints (suites and extensions of JA4) of clients that speak nothing but VPN.
const CLIENTS: [(&str, &str); 1] = [
    // OpenConnect 9 with GnuTLS 3.7, as measured.
    ("bfa337485184", "5671b5df5029"),
];

/// A TLS or DTLS session with what follows from its facts.
#[derive(Debug, Clone, Copy)]
pub struct Story<'a> {
    /// The session.
    pub session: &'a Session,
    /// Its facts.
    pub facts: &'a Tls,
    /// The connection that decides: the last that carried TLS, or the last.
    pub channel: Option<&'a Connection>,
    /// How far that came.
    pub phase: Phase,
    /// What ended it.
    pub end: End,
    /// Why it is taken for one of a VPN.
    pub vpn: Option<Vpn>,
}

impl<'a> Story<'a> {
    /// How sure something that did not come can be: where the channel shows every octet of
    /// both ends, the capture loses nothing and sees both directions.
    pub fn sure_of_silence(&self) -> Confidence {
        if self.channel.is_some_and(Connection::is_whole) {
            Confidence::Certain
        } else {
            Confidence::Likely
        }
    }

    /// Reads a TLS or DTLS session; `None` for any other.
    pub fn of(session: &'a Session, context: &Context) -> Option<Self> {
        let facts = session.tls()?;
        let channel = facts.channel();
        let (phase, end, vpn) = memo::tls(session, context, || {
            (
                channel.map_or(Phase::Late, phase),
                channel.map_or(End::None, end),
                evidence(session, facts, context),
            )
        });
        Some(Self {
            session,
            facts,
            channel,
            phase,
            end,
            vpn,
        })
    }

    /// Whether the session is a DTLS association alone.
    pub fn is_dtls_alone(&self) -> bool {
        self.channel.is_none()
    }

    /// How long the capture went on after `at`, or the connection's end if that came first.
    pub fn watched(&self, at: Stamp) -> Span {
        let last = self.end.by().map_or(self.session.last, |(_, end)| end);
        let until = last.time.max(self.session.last.time) - at.time;
        Span(until.0.saturating_add(if self.end == End::None {
            self.session.vantage.watched_after.0
        } else {
            0
        }))
    }

    /// The last association.
    pub fn association(&self) -> Option<&'a Association> {
        self.facts.associations.last()
    }

    /// Application records of the channel after the handshake, in order.
    pub fn data(&self) -> impl Iterator<Item = &'a RecordSeen> + Clone + use<'a> {
        self.channel.into_iter().flat_map(after_handshake)
    }
}

/// Records of application data after the handshake. In TLS 1.3 the handshake's own records
/// look the same; those of the client's flight are left out.
pub fn after_handshake(
    connection: &Connection,
) -> impl Iterator<Item = &RecordSeen> + Clone + use<'_> {
    let tls13 = connection.is_tls13();
    let finished = if tls13 {
        client_flight(connection).last().map(|record| record.at)
    } else {
        None
    };
    connection.kept_records().filter(move |record| {
        record.content_type == ContentType::APPLICATION_DATA
            && (!tls13 || is_after(record, finished))
    })
}

fn is_after(record: &RecordSeen, finished: Option<Stamp>) -> bool {
    // Of the frame that ends the client's flight only what the client adds counts.
    finished.is_some_and(|at| {
        record.at.comes_after(at) || (record.at == at && record.from == Side::Client)
    })
}

/// In TLS 1.3: the client's first encrypted records, up to the end of the segment in which the
/// first of them ended.
pub fn client_flight(
    connection: &Connection,
) -> impl Iterator<Item = &RecordSeen> + Clone + use<'_> {
    let encrypted = connection.kept_records().filter(|record| {
        record.from == Side::Client && record.content_type == ContentType::APPLICATION_DATA
    });
    let first = encrypted.clone().next().map(|record| record.at);
    encrypted.take_while(move |record| Some(record.at) == first)
}

/// How far a connection came.
pub fn phase(connection: &Connection) -> Phase {
    let octets = connection.record_count.client + connection.record_count.gateway > 0
        || connection.not_tls.is_some();
    if connection.started_late {
        return if is_up(connection) {
            Phase::Up
        } else {
            Phase::Late
        };
    }
    if !octets {
        return match (connection.opening.answer, connection.reset) {
            (None, Some(reset)) if reset.from == Side::Gateway => Phase::Refused,
            (None, _) => Phase::Unanswered,
            (Some(_), _) => Phase::Open,
        };
    }
    if is_up(connection) {
        return Phase::Up;
    }
    if connection.record_count.gateway == 0 {
        return Phase::HelloSent;
    }
    let tls13 = connection.is_tls13();
    let client_finished = if tls13 {
        client_flight(connection).next().is_some()
    } else {
        has_encrypted_handshake(connection, Side::Client)
    };
    if client_finished {
        return Phase::ClientFinished;
    }
    let flight = if tls13 {
        connection.kept_records().any(|record| {
            record.from == Side::Gateway && record.content_type == ContentType::APPLICATION_DATA
        })
    } else {
        connection.hello_done.is_some() || has_encrypted_handshake(connection, Side::Gateway)
    };
    if flight {
        Phase::Flight
    } else {
        Phase::Answered
    }
}

fn has_encrypted_handshake(connection: &Connection, from: Side) -> bool {
    connection.kept_records().any(|record| {
        record.from == from && record.content_type == ContentType::HANDSHAKE && !record.clear
    })
}

/// So long after its flight a client has heard of a refusal: longer than the way there and back is
/// on nearly any path. Chosen, not derived.
const HEARD: Span = Span::from_millis(500);

/// Whether both ends have shown that the handshake is over for them.
fn is_up(connection: &Connection) -> bool {
    let data = |from| {
        connection.kept_records().filter(move |record| {
            record.from == from && record.content_type == ContentType::APPLICATION_DATA
        })
    };
    if connection.record_count.gateway == 0 {
        return false;
    }
    if !connection.is_tls13() && connection.answer().is_some() {
        let both = data(Side::Client).next().is_some() && data(Side::Gateway).next().is_some();
        let finished = has_encrypted_handshake(connection, Side::Client)
            && has_encrypted_handshake(connection, Side::Gateway);
        return both || finished;
    }
    // TLS 1.3, or no hello seen: after the client's flight the server must go on, with more
    // than an alert before it leaves.
    let Some(flight) = client_flight(connection).last().map(|record| record.at) else {
        return false;
    };
    let is_alert_only = |record: &RecordSeen| may_be_alert(connection, record.length);
    if client_flight(connection).all(is_alert_only) {
        return false;
    }
    let mut answers = data(Side::Gateway).filter(|record| record.at.comes_after(flight));
    let gateway_left =
        end(connection).is_by(Side::Gateway) || turned_away(connection, flight).is_some();
    if gateway_left {
        return answers.any(|record| !is_alert_only(record));
    }
    if answers.next().is_some() {
        return true;
    }
    // The server has nothing to say; the client would have heard by now if it refused.
    let late = connection
        .kept_records()
        .any(|record| record.from == Side::Client && record.at.time - flight.time > HEARD);
    late || end(connection).is_by(Side::Client)
        && end(connection)
            .by()
            .is_some_and(|(_, at)| at.time - flight.time > HEARD)
}

/// In TLS 1.3: the record with which the gateway answers the client's flight where that has room
/// for an alert and nothing follows, although the client has not taken its leave: whoever
/// closes first, the gateway broke off.
pub fn turned_away(connection: &Connection, flight: Stamp) -> Option<Stamp> {
    let of = |side| {
        connection.kept_records().filter(move |record| {
            record.from == side && record.content_type == ContentType::APPLICATION_DATA
        })
    };
    let is_alert = |record: &RecordSeen| may_be_alert(connection, record.length);
    let mut answers = of(Side::Gateway).filter(|record| record.at.comes_after(flight));
    let first = answers.next()?;
    let alone = is_alert(first) && answers.next().is_none();
    let goodbye = of(Side::Client).next_back().is_some_and(is_alert);
    (alone && !goodbye && end(connection) != End::None).then_some(first.at)
}

/// Whether a record of TLS 1.3 has room for an alert and nothing else: two octets, the content
/// type, and the tag of the suite (RFC 9846 §5.2).
pub fn may_be_alert(connection: &Connection, length: u16) -> bool {
    length == 2 + 1 + tag(connection)
}

/// Whether a record of TLS 1.3 has room for a Certificate message without a certificate and
/// nothing else: a header of four octets, a context of length zero, a list of length zero.
pub fn may_be_empty_certificate(connection: &Connection, length: u16) -> bool {
    length == 4 + 1 + 3 + 1 + tag(connection)
}

/// Octets that the suite of TLS 1.3 adds to a record.
fn tag(connection: &Connection) -> u16 {
    let short = connection
        .answer()
        .is_some_and(|answer| matches!(answer.suite, CipherSuite::TLS_AES_128_CCM_8_SHA256));
    if short { 8 } else { 16 }
}

/// Octets that encryption adds to eight octets of content, where that can be told: TLS 1.3
/// and the AEAD suites of TLS 1.2.
fn keepalive_length(connection: &Connection) -> Option<u16> {
    let answer = connection.answer()?;
    if answer.is_tls13() {
        return Some(8 + 1 + tag(connection));
    }
    let name = answer.suite.name()?;
    if answer.version != Version::TLS_1_2 {
        return None;
    }
    if name.contains("CHACHA20") {
        Some(8 + 16)
    } else if name.contains("_GCM_") {
        Some(8 + 8 + 16)
    } else {
        None
    }
}

/// Octets that a side sent in all, as the number of its FIN or RST says: nothing of it can be
/// missing then, whatever the capture lacks (RFC 9293 §3.4). Only where the other end of its
/// stream was seen too.
pub fn said_in_all(connection: &Connection, side: Side) -> Option<u32> {
    connection.opening.answer?;
    let reset = connection
        .reset
        .filter(|reset| reset.from == side && !reset.is_foreign())
        .map(|reset| reset.offset);
    connection.length.of(side).or(reset)
}

/// What ended a connection first.
pub fn end(connection: &Connection) -> End {
    let fin = |side| {
        let at: Option<Stamp> = *connection.fin.of(side);
        at.map(|at| (at, End::Fin(side, at)))
    };
    let reset = connection
        .reset
        .map(|reset| (reset.at, End::Reset(reset.from, reset.at)));
    let ends = [fin(Side::Client), fin(Side::Gateway), reset];
    ends.into_iter()
        .flatten()
        .min_by_key(|(at, _)| (at.time, at.frame()))
        .map_or(End::None, |(_, end)| end)
}

/// Why a session is taken for one of a VPN, the strongest reason first.
pub fn evidence(session: &Session, facts: &Tls, context: &Context) -> Option<Vpn> {
    if session.kind == Kind::TlsVpn {
        return Some(Vpn::Dtls);
    }
    if context.gateway == Some(session.gateway.ip) {
        return Some(Vpn::Named);
    }
    let connections = facts.connections.iter();
    if connections.clone().any(|connection| {
        connection
            .hello()
            .is_some_and(|hello| is_vpn_client(&hello.ja4))
    }) {
        return Some(Vpn::Fingerprint);
    }
    if connections.clone().any(has_keepalives) {
        return Some(Vpn::Keepalives);
    }
    let endpoint = (session.gateway.ip, session.gateway.port);
    if context.vpn_gateways.contains(&endpoint) {
        return Some(Vpn::Gateway);
    }
    let named = session.gateway_name.as_deref().is_some_and(looks_like_vpn)
        || facts
            .lookups
            .iter()
            .any(|lookup| looks_like_vpn(&lookup.name));
    named.then_some(Vpn::Name)
}

fn is_vpn_client(ja4: &str) -> bool {
    let Some((_, parts)) = ja4.split_once('_') else {
        return false;
    };
    let after = |known: &(&str, &str)| {
        let rest = parts.strip_prefix(known.0)?.strip_prefix('_')?;
        rest.strip_prefix(known.1)
    };
    CLIENTS
        .iter()
        .filter_map(after)
        .any(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// Records of both ends, after the handshake and not at the end, with room for eight octets of
/// content and no more: the header of a CSTP packet without a payload, which is what its
/// keepalives and liveness checks are.
fn has_keepalives(connection: &Connection) -> bool {
    let Some(length) = keepalive_length(connection) else {
        return false;
    };
    let of = |side| {
        after_handshake(connection)
            .filter(|record| record.from == side && record.length == length)
            .count()
    };
    of(Side::Client) > 0 && of(Side::Gateway) > 0
}

/// Whether a connection carries SSTP: after a request and an answer of HTTP the client sends
/// one message of 14 octets, Call Connect Request, and the server one of 48, its
/// acknowledgment with the request for a binding (MS-SSTP §2.2.9, §2.2.10).
pub fn is_sstp(connection: &Connection) -> bool {
    /// Octets that request and answer have at least: a hint, which only has to lie above those of
    /// the two messages behind them. The first line of the request alone has 72 (MS-SSTP
    /// §3.2.4.1). The answer has a status line of 14, as a rule the same Content-Length of 20
    /// digits in 38, and a Date in 37 (RFC 9110 §6.6.1).
    const HTTP: u16 = 64;
    let Some(overhead) = keepalive_length(connection).map(|length| length.saturating_sub(8)) else {
        return false;
    };
    let mut records = after_handshake(connection)
        .map(|record| (record.from, record.length.saturating_sub(overhead)))
        // Tickets of TLS 1.3 come before the first request.
        .skip_while(|(from, _)| *from == Side::Gateway);
    let is_http = |record: Option<(Side, u16)>, of| {
        record.is_some_and(|(from, length)| from == of && length >= HTTP)
    };
    is_http(records.next(), Side::Client)
        && is_http(records.next(), Side::Gateway)
        && records.next() == Some((Side::Client, 14))
        && records.next() == Some((Side::Gateway, 48))
}

/// Whether the session has strong evidence of being a VPN's, so that its gateway is one.
pub fn is_vpn_gateway(session: &Session, facts: &Tls, context: &Context) -> bool {
    matches!(
        evidence(session, facts, context),
        Some(Vpn::Dtls | Vpn::Fingerprint | Vpn::Keepalives)
    )
}

/// How far a session came, judged without any finding.
pub fn progress(session: &Session) -> Progress {
    let incomplete = |stage| Progress {
        stage,
        outcome: Outcome::Incomplete,
        confidence: Confidence::Possible,
    };
    let Some(story) = Story::of(session, &Context::default()) else {
        return incomplete(Stage::TcpConnect);
    };
    let stage = stage(&story);
    if session.vantage.started_late {
        return incomplete(stage);
    }
    let works = match story.association() {
        Some(_) if story.is_dtls_alone() => story.facts.has_tunnel(),
        _ => story.phase == Phase::Up,
    };
    if !works {
        return incomplete(stage);
    }
    Progress {
        stage,
        outcome: Outcome::Established,
        confidence: Confidence::Certain,
    }
}

/// The stage at which a session stands if nothing went wrong.
pub fn stage(story: &Story<'_>) -> Stage {
    if story.is_dtls_alone() {
        return Stage::DtlsHandshake;
    }
    match story.phase {
        Phase::Unanswered | Phase::Refused | Phase::Open => Stage::TcpConnect,
        Phase::HelloSent | Phase::Answered | Phase::Flight | Phase::ClientFinished => {
            Stage::TlsHandshake
        }
        Phase::Late => Stage::TunnelData,
        Phase::Up if story.facts.has_tunnel() || is_tunnel(story) => Stage::TunnelData,
        // A name alone makes no web server a gateway.
        Phase::Up if story.vpn.is_some_and(|vpn| vpn != Vpn::Name) => Stage::VpnLogin,
        Phase::Up => Stage::TlsHandshake,
    }
}

/// Whether the channel carries a tunnel: after the exchanges of a login, one request and one
/// answer at a time, it goes on with records that are no answers.
pub fn is_tunnel(story: &Story<'_>) -> bool {
    let Some(connection) = story.channel else {
        return false;
    };
    if has_keepalives(connection) {
        return true;
    }
    if story.vpn.is_none() {
        return false;
    }
    let (exchanges, after) = logins(connection);
    exchanges >= 2 && after >= 2
}

/// The exchanges of a login: how often one record of the client was answered at once, and how
/// many records came when the next request was due no more.
pub fn logins(connection: &Connection) -> (u32, u32) {
    /// A login form waits for a person or a program; the tunnel comes up at machine speed,
    /// and what the user does in it begins later.
    const PAUSE: Span = Span::from_millis(300);
    /// Octets that a request, or the answer that asks for more, has at least: a hint. Those of
    /// OpenConnect 9 and ocserv 1 had 648 to 1176 and 504 to 927; what a tunnel begins with had
    /// 25 (liveness) and 109 (a ping).
    const REQUEST: u16 = 400;
    let mut exchanges = 0;
    let mut after = 0;
    let mut last: Option<&RecordSeen> = None;
    let mut in_tunnel = false;
    // Tickets of TLS 1.3 come before the first request.
    for record in after_handshake(connection).skip_while(|record| record.from == Side::Gateway) {
        let turn = last.is_none_or(|last| last.from != record.from);
        let pause = last.is_some_and(|last| record.at.time - last.at.time > PAUSE);
        in_tunnel |= exchanges > 0 && pause && record.length < REQUEST;
        if in_tunnel {
            after += 1;
        } else if turn && record.from == Side::Gateway {
            exchanges += 1;
        }
        last = Some(record);
    }
    (exchanges, after)
}

/// Octets of the requests and of their answers inside TLS, in order, without what can only be a
/// farewell.
pub fn turns(connection: &Connection) -> Vec<(u32, u32)> {
    let mut turns: Vec<(u32, u32)> = Vec::new();
    let mut answered = true;
    for record in after_handshake(connection) {
        let length = u32::from(record.length);
        let farewell = connection.is_tls13() && may_be_alert(connection, record.length);
        match (record.from, turns.last_mut()) {
            _ if farewell => {}
            (Side::Client, Some(last)) if !answered => last.0 = last.0.saturating_add(length),
            (Side::Client, _) => {
                turns.push((length, 0));
                answered = false;
            }
            (Side::Gateway, Some(last)) => {
                last.1 = last.1.saturating_add(length);
                answered = true;
            }
            // Tickets of TLS 1.3 come before the first request.
            (Side::Gateway, None) => {}
        }
    }
    turns
}

/// Whether the last record of the client, or of the gateway if that left first, is the farewell
/// of TLS: an encrypted alert, or in TLS 1.3 a record with room for nothing else.
pub fn said_goodbye(connection: &Connection) -> bool {
    let last = connection
        .kept_records()
        .rfind(|record| record.from == Side::Client);
    last.is_some_and(|record| match record.content_type {
        ContentType::ALERT => true,
        ContentType::APPLICATION_DATA => {
            connection.is_tls13() && may_be_alert(connection, record.length)
        }
        _ => false,
    })
}
