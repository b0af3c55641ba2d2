//! Who left after the other's certificate without saying why, and what the records before tell of it.

use vpnscope_dissectors::tls::KeyExchange;

use super::chain::{expected_names, reasons};
use super::{CERT_EXPIRED, CERT_NOT_YET_VALID, CERT_REJECTED, CLIENT_CERT_REQUIRED};
use crate::diagnose::tls::{
    End, Phase, Story, client_flight, may_be_alert, may_be_empty_certificate,
};
use crate::diagnose::{Basis, Finding, Findings, Stage, say};
use crate::track::session::{Side, Stamp};
use crate::track::tls::Connection;

const CHILDREN: [&str; 5] = [
    "cert-untrusted",
    "cert-expired",
    "cert-not-yet-valid",
    "cert-name-mismatch",
    "cert-missing-eku",
];

/// In TLS 1.3: whether an encrypted alert is all that the client says after the hellos.
pub(super) fn only_alerts(connection: &Connection) -> bool {
    let mut flight = client_flight(connection).peekable();
    connection.is_tls13()
        && flight.peek().is_some()
        && flight.all(|record| may_be_alert(connection, record.length))
}

/// The client left after the gateway's flight and before it finished.
pub(super) fn client_left(
    story: &Story<'_>,
    connection: &Connection,
    at: Stamp,
    what: &str,
    findings: &mut Findings,
) {
    let refused = match story.phase {
        Phase::Flight => true,
        Phase::ClientFinished => only_alerts(connection),
        _ => false,
    };
    // Who greets twice without being asked to is no client that checks certificates.
    let retries = connection.answers.iter().filter(|answer| answer.is_retry);
    let greets_twice = connection.hellos.len() > 1 + retries.count();
    if !refused || greets_twice || is_resumed(connection) {
        return;
    }
    let chain = connection.chains.gateway.as_ref();
    let shown = chain.map_or_else(Vec::new, |chain| {
        reasons(chain, Side::Gateway, &expected_names(story))
    });
    let answer = connection.answer();
    let version = answer.map_or_else(String::new, |answer| answer.version.to_string());
    // Every octet was seen, the client had the whole flight, and said nothing more.
    let is_proven =
        connection.is_whole() && connection.is_heard(Side::Gateway) && story.phase == Phase::Flight;
    let mut finding = match shown.first() {
        Some(first) => {
            let mut finding = Finding::failure(
                first.cause,
                Stage::TlsHandshake,
                // Of several reasons in clear the client names none.
                if is_proven && shown.len() == 1 {
                    Basis::Proven
                } else {
                    Basis::Inferred
                },
                say!(
                    "The client left with {what} after the gateway's certificate, which in clear shows: {}.",
                    shown.iter().map(|r| r.says.as_str()).collect::<Vec<_>>().join("; ")
                ),
            );
            for other in shown.iter().skip(1) {
                finding = finding.candidates(&[other.cause.code]);
            }
            finding
        }
        None if chain.is_some() => Finding::failure(
            &CERT_REJECTED,
            Stage::TlsHandshake,
            Basis::Inferred,
            say!(
                "The client left with {what} after the gateway's certificate. Dates, names and chain are in order as far as they show: probably the client does not know the CA."
            ),
        )
        .candidates(&["cert-untrusted"]),
        None => Finding::failure(
            &CERT_REJECTED,
            Stage::TlsHandshake,
            if is_proven {
                Basis::Proven
            } else {
                Basis::Inferred
            },
            say!(
                "The client left with {what} after the gateway's flight, without finishing the handshake; {version} hides the certificate and the reason."
            ),
        )
        .candidates(&CHILDREN),
    };
    if let Some(hello) = connection.hello() {
        finding = finding.frame(hello.at, "ClientHello");
    }
    if let Some(chain) = chain {
        finding = finding.frame(chain.at, "certificate of the gateway");
    }
    if let Some(last) = last_record(connection, Side::Gateway) {
        finding = finding.frame(last, "end of the gateway's flight");
    }
    finding = finding.frame(at, say!("{what} of the client"));
    findings.push(if connection.lacks_octets() {
        // What it said in them may have been more than that it leaves.
        finding.inconclusive()
    } else {
        finding
    });
}

fn last_record(connection: &Connection, from: Side) -> Option<Stamp> {
    let mut records = connection
        .kept_records()
        .filter(|record| record.from == from);
    records.next_back().map(|record| record.at)
}

pub(super) fn is_psk(connection: &Connection) -> bool {
    connection.answer().is_some_and(|answer| {
        matches!(
            answer.suite.key_exchange(),
            KeyExchange::Psk | KeyExchange::PskWith(_)
        ) || answer.has_psk
    })
}

/// Whether no certificate is sent: a session or key is used again.
fn is_resumed(connection: &Connection) -> bool {
    let Some(answer) = connection.answer() else {
        return false;
    };
    let same_session = !answer.is_tls13()
        && !answer.session_id.is_empty()
        && connection
            .hello()
            .is_some_and(|hello| hello.session_id == answer.session_id);
    answer.has_psk || same_session || is_psk(connection)
}

/// Whether the client's flight of TLS 1.3 begins with a record that has room for an empty
/// Certificate and nothing else, and goes on.
pub(in crate::diagnose::rules) fn sent_empty_certificate(connection: &Connection) -> bool {
    let mut flight = client_flight(connection);
    let first = flight.next();
    first.is_some_and(|record| may_be_empty_certificate(connection, record.length))
        && flight.next().is_some()
}

/// The gateway left after the client's flight.
pub(super) fn gateway_left(
    story: &Story<'_>,
    connection: &Connection,
    at: Stamp,
    findings: &mut Findings,
) {
    if story.phase != Phase::ClientFinished && connection.chains.client.is_none() {
        return;
    }
    let what = match story.end {
        End::Reset(..) => "RST",
        _ => "FIN",
    };
    let empty = connection
        .chains
        .client
        .as_ref()
        .is_some_and(|chain| chain.count == 0);
    if empty || sent_empty_certificate(connection) {
        // A record with room for an empty certificate only, in a flight of which every octet
        // was seen.
        let basis = match (empty, connection.is_whole()) {
            (true, _) => Basis::Seen,
            (false, true) => Basis::Proven,
            (false, false) => Basis::Inferred,
        };
        findings.push(demanded(
            connection,
            at,
            Stage::TlsHandshake,
            basis,
            &say!("ended the connection with a {what}"),
        ));
        return;
    }
    let sent_one = match &connection.chains.client {
        Some(chain) => chain.count > 0,
        // A certificate and its signature stand before Finished.
        None => connection.is_tls13() && client_flight(connection).count() >= 3,
    };
    if !sent_one {
        return;
    }
    let chain = connection.chains.client.as_ref();
    let shown = chain.map_or_else(Vec::new, |chain| reasons(chain, Side::Client, &[]));
    let dated = shown.iter().find(|reason| {
        reason.cause.code == CERT_EXPIRED.code || reason.cause.code == CERT_NOT_YET_VALID.code
    });
    let cause = dated.map_or(&CERT_REJECTED, |reason| reason.cause);
    let mut finding = Finding::failure(
        cause,
        Stage::TlsHandshake,
        Basis::Inferred,
        say!(
            "The gateway ended the connection with a {what} {}after the client's certificate{}.",
            connection
                .kept_records()
                .filter(|record| record.from == Side::Client)
                .map(|record| record.at)
                .next_back()
                .map_or_else(String::new, |last| say!("{} ", at.time - last.time)),
            dated.map_or_else(String::new, |reason| say!(": {}", reason.says))
        ),
    )
    .frame(at, say!("TCP {what} of the gateway"));
    if dated.is_none() {
        finding = finding.candidates(&["cert-untrusted", "cert-expired", "cert-missing-eku"]);
    }
    if let Some(chain) = chain {
        finding = finding.frame(chain.at, "certificate of the client");
    } else if let Some(flight) = client_flight(connection).next() {
        finding = finding.frame(
            flight.at,
            "the client's flight, long enough for a certificate",
        );
    }
    findings.push(if connection.lacks_octets() {
        finding.inconclusive()
    } else {
        finding
    });
}

/// The gateway wanted a certificate and got none.
pub(in crate::diagnose::rules) fn demanded(
    connection: &Connection,
    at: Stamp,
    stage: Stage,
    basis: Basis,
    how: &str,
) -> Finding {
    let tls13 = connection.is_tls13();
    let mut finding = Finding::failure(
        &CLIENT_CERT_REQUIRED,
        stage,
        basis,
        if tls13 {
            say!(
                "The client's flight begins with a record that has room for an empty Certificate only, and the gateway {how}."
            )
        } else {
            say!(
                "The gateway asked for a certificate, the client sent none, and the gateway {how}."
            )
        },
    );
    if let Some(request) = connection.certificate_request {
        finding = finding.frame(request, "CertificateRequest");
    }
    if let Some(chain) = &connection.chains.client {
        finding = finding.frame(chain.at, "empty Certificate of the client");
    } else if let Some(first) = client_flight(connection).next() {
        finding = finding.frame(first.at, "the client's flight with an empty Certificate");
    }
    let last = last_record(connection, Side::Gateway).filter(|last| last.time <= at.time);
    if let Some(last) = last.filter(|_| tls13) {
        finding = finding.frame(last, "last record of the gateway");
    }
    finding.frame(at, "end by the gateway")
}
