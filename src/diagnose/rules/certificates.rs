//! Did each side accept the other's certificate?

use vpnscope_dissectors::tls::{AlertDescription, Certificate, HandshakeType, KeyExchange};

use super::tls_alerts;
use crate::diagnose::tls::{
    End, Phase, Story, client_flight, may_be_alert, may_be_empty_certificate, turned_away,
};
use crate::diagnose::{
    Basis, Cause, Confidence, Context, Family, Finding, Findings, Stage, cause, say,
};
use crate::time::Timestamp;
use crate::track::session::{Session, Side, Stamp};
use crate::track::tls::connection::AlertSeen;
use crate::track::tls::{Association, Chain, Connection};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "certificates",
    causes: &[
        &CERT_REJECTED,
        &CERT_EXPIRED,
        &CERT_NOT_YET_VALID,
        &CERT_UNTRUSTED,
        &CERT_NAME_MISMATCH,
        &CERT_MISSING_EKU,
        &CLIENT_CERT_REQUIRED,
    ],
    check,
};

cause! {
    /// ## What it means
    /// One side did not accept the other's certificate. Which of the reasons it was is not
    /// visible here.
    ///
    /// ## What is seen
    /// In TLS 1.3 the certificate itself is encrypted: the server's flight is complete, and
    /// the client leaves without finishing. In TLS 1.2 the certificate can be read and shows
    /// nothing wrong by itself.
    ///
    /// ## Likely causes
    /// - The issuing CA is not trusted, or an intermediate certificate is missing.
    /// - The certificate has expired, or is for another name.
    /// - It lacks the purpose that the other side wants.
    ///
    /// ## What to check on each side
    /// - Client: its log or error message, and its list of trusted CAs.
    /// - Gateway: the chain it sends (`openssl s_client -showcerts`), dates and names.
    ///
    /// ## When this is wrong
    /// When the user broke off at that moment, or the client crashed.
    pub(super) static CERT_REJECTED = {
        code: "cert-rejected",
        title: "a certificate is not accepted",
        remedies: [
            "Read the client's message: it names what it did not like about the certificate.",
            "Send the whole chain from the gateway, and trust its root on the client.",
            "Check the certificate's dates and names against the clock and the name the client uses.",
        ],
        needs: "the client's log, or the keys of the session (TLS 1.3 encrypts certificates)",
    }
}

cause! {
    /// ## What it means
    /// A certificate was past its date when it was used.
    ///
    /// ## What is seen
    /// The certificate in clear with its dates, against the time of the capture; or the alert
    /// `certificate_expired`.
    ///
    /// ## Likely causes
    /// - It was not renewed, or the renewed one was not loaded.
    /// - The clock of the side that checks is wrong.
    ///
    /// ## What to check on each side
    /// - The dates of the certificate in use, and the clocks of both sides.
    ///
    /// ## When this is wrong
    /// When the capturing host's clock is wrong.
    pub(super) static CERT_EXPIRED = {
        code: "cert-expired",
        title: "a certificate has expired",
        remedies: [
            "Renew the certificate, install it and restart the service.",
            "Check the clocks of both sides.",
        ],
    }
}

cause! {
    /// ## What it means
    /// A certificate was used before its date.
    ///
    /// ## What is seen
    /// The certificate in clear, valid only from a later time than that of the capture.
    ///
    /// ## Likely causes
    /// - The clock of the side that checks is slow, often after a flat battery.
    /// - The certificate was issued by a CA whose clock is fast.
    ///
    /// ## What to check on each side
    /// - The clocks of both sides and of the CA.
    ///
    /// ## When this is wrong
    /// When the capturing host's clock is wrong.
    pub(super) static CERT_NOT_YET_VALID = {
        code: "cert-not-yet-valid",
        title: "a certificate is not valid yet",
        remedies: [
            "Set the clock of the side that checks, and let it keep time by NTP.",
            "Issue the certificate anew.",
        ],
    }
}

cause! {
    /// ## What it means
    /// The side that checks knows no CA that vouches for the certificate.
    ///
    /// ## What is seen
    /// The alert `unknown_ca`; or, after a certificate in clear that is signed by itself or
    /// comes without its issuer, the end of the connection.
    ///
    /// ## Likely causes
    /// - A self-signed certificate, or one of a private CA that the other side does not have.
    /// - The gateway does not send the intermediate certificate.
    ///
    /// ## What to check on each side
    /// - Gateway: whether it sends the whole chain.
    /// - Client: whether the root is in the store that the VPN client uses.
    ///
    /// ## When this is wrong
    /// When the client stores intermediates, a chain of one may be enough for it.
    pub(super) static CERT_UNTRUSTED = {
        code: "cert-untrusted",
        title: "no trusted CA vouches for a certificate",
        remedies: [
            "Install the CA's certificate where the other side looks for trusted CAs.",
            "Send the whole chain from the gateway, intermediates included.",
            "Replace a self-signed certificate by one of a CA that the clients trust.",
        ],
    }
}

cause! {
    /// ## What it means
    /// The gateway's certificate is for another name than the one the client used.
    ///
    /// ## What is seen
    /// The name in the `ClientHello` is not among the names of the certificate in clear, and
    /// the client leaves.
    ///
    /// ## Likely causes
    /// - The profile names the gateway by an alias or by its address.
    /// - The certificate was renewed without one of its names.
    ///
    /// ## What to check on each side
    /// - The name in the profile against the certificate's subject alternative names.
    ///
    /// ## When this is wrong
    /// When the client checks another name than it sends.
    pub(super) static CERT_NAME_MISMATCH = {
        code: "cert-name-mismatch",
        title: "the gateway's certificate is for another name",
        remedies: [
            "Use a name in the client that stands in the certificate.",
            "Issue the certificate with all names (and addresses) that clients use.",
        ],
    }
}

cause! {
    /// ## What it means
    /// A certificate may not be used for this purpose.
    ///
    /// ## What is seen
    /// A certificate in clear whose extended key usage lacks server (or client)
    /// authentication, and the end of the connection.
    ///
    /// ## Likely causes
    /// - The certificate was issued from the wrong template.
    ///
    /// ## What to check on each side
    /// - The extended key usage: `serverAuth` for the gateway, `clientAuth` for the client.
    ///
    /// ## When this is wrong
    /// When the other side does not look at the purpose and left for another reason.
    pub(super) static CERT_MISSING_EKU = {
        code: "cert-missing-eku",
        title: "a certificate lacks the purpose it is used for",
        remedies: [
            "Issue the gateway's certificate with serverAuth, the client's with clientAuth.",
        ],
    }
}

cause! {
    /// ## What it means
    /// The gateway wants a certificate from the client, and the client sends none.
    ///
    /// ## What is seen
    /// A request for a certificate, an empty Certificate message of the client, and then the
    /// end by the gateway. In TLS 1.3 both are encrypted and known by their arithmetic: the
    /// client's flight begins with a record that has room for an empty Certificate and nothing
    /// else.
    ///
    /// ## Likely causes
    /// - No certificate is installed or chosen in the client, or its private key is missing.
    /// - None of the client's certificates comes from a CA that the gateway accepts.
    ///
    /// ## What to check on each side
    /// - Client: certificate with private key, in the store that the VPN client uses.
    /// - Gateway: whether certificates are meant to be required, and of which CA.
    ///
    /// ## When this is wrong
    /// When the gateway only asks and does not insist, and left for another reason.
    pub(super) static CLIENT_CERT_REQUIRED = {
        code: "client-cert-required",
        title: "the gateway demands a client certificate and gets none",
        remedies: [
            "Install a client certificate with its private key, and select it in the VPN profile.",
            "Or switch the requirement off on the gateway.",
        ],
    }
}

fn check(session: &Session, context: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session, context) else {
        return;
    };
    if findings.any_trouble() {
        return;
    }
    let Some(connection) = story.channel else {
        if let Some(association) = story.association() {
            in_dtls(&story, association, findings);
        }
        return;
    };
    if story.phase == Phase::Up || story.phase < Phase::Answered {
        return;
    }
    if let Some(alert) = tls_alerts::deciding(connection, story.end) {
        if let Some(found) = by_alert(&story, connection, alert) {
            findings.push(found);
        }
        return;
    }
    if connection.gaps > 0 || connection.cut_messages > 0 {
        return;
    }
    // Who says nothing but an alert has left, even if the other end closes first.
    let refusal = client_flight(connection).last().map(|record| record.at);
    if let Some(at) = refusal.filter(|_| story.end != End::None && only_alerts(connection)) {
        client_left(&story, connection, at, "an encrypted alert", findings);
        return;
    }
    let flight = client_flight(connection).last().map(|record| record.at);
    let broke = flight.filter(|_| connection.is_tls13() && !only_alerts(connection));
    if let Some(at) = broke.and_then(|flight| turned_away(connection, flight)) {
        gateway_left(&story, connection, at, findings);
        return;
    }
    match story.end {
        End::Fin(Side::Client, at) | End::Reset(Side::Client, at) => {
            let what = match story.end {
                End::Reset(..) => "a RST",
                _ => "a FIN",
            };
            client_left(&story, connection, at, what, findings);
        }
        End::Fin(Side::Gateway, at) | End::Reset(Side::Gateway, at) => {
            gateway_left(&story, connection, at, findings);
        }
        End::None => {}
    }
}

/// What an alert about certificates says of whose certificate.
fn by_alert(story: &Story<'_>, connection: &Connection, alert: &AlertSeen) -> Option<Finding> {
    let about = alert.from.other();
    let chain = connection.chains.of(about).as_ref();
    let description = alert.alert.description;
    let empty = connection
        .chains
        .client
        .as_ref()
        .is_some_and(|chain| chain.count == 0)
        || connection.is_tls13() && sent_empty_certificate(connection);
    let wanted = matches!(
        description,
        AlertDescription::CERTIFICATE_REQUIRED | AlertDescription::NO_CERTIFICATE
    ) || alert.from == Side::Gateway
        && empty
        && matches!(
            description,
            // The last is what GnuTLS says.
            AlertDescription::HANDSHAKE_FAILURE
                | AlertDescription::BAD_CERTIFICATE
                | AlertDescription::CERTIFICATE_UNKNOWN
                | AlertDescription::ACCESS_DENIED
                | AlertDescription::DECODE_ERROR
        );
    if wanted {
        return Some(demanded(
            connection,
            alert.at,
            Stage::TlsHandshake,
            Basis::Seen,
            &say!("ended the handshake with the alert {description}"),
        ));
    }
    if is_psk(connection)
        && matches!(
            description,
            AlertDescription::BAD_RECORD_MAC
                | AlertDescription::DECRYPT_ERROR
                | AlertDescription::UNKNOWN_PSK_IDENTITY
        )
    {
        return Some(psk_finding(
            alert,
            Stage::TlsHandshake,
            connection.hello().map(|h| h.at),
        ));
    }
    let cause = alert_cause(description)?;
    let chain = chain.filter(|chain| chain.count > 0);
    let (cause, basis) = named(cause, alert, chain, &expected_names(story));
    let mut finding = rejected_by_alert(cause, Stage::TlsHandshake, basis, alert);
    if let Some(chain) = chain {
        finding = finding.frame(chain.at, say!("certificate of the {}", about.word()));
        finding = with_reasons(finding, story, chain, about, cause);
    }
    Some(finding)
}

/// What an alert that names no reason is about: the certificate in clear shows it, if one of
/// its own dates, names or purposes is wrong.
fn named(
    cause: &'static Cause,
    alert: &AlertSeen,
    chain: Option<&Chain>,
    names: &[&str],
) -> (&'static Cause, Basis) {
    let description = alert.alert.description;
    let is_general =
        cause.code == CERT_REJECTED.code && description != AlertDescription::CERTIFICATE_REVOKED;
    let Some(chain) = chain.filter(|_| is_general) else {
        return (cause, Basis::Seen);
    };
    let shown = reasons(chain, alert.from.other(), names);
    // Who speaks of a certificate that does not suit means its purpose, if that is wrong.
    let purpose = (description == AlertDescription::UNSUPPORTED_CERTIFICATE)
        .then(|| {
            shown
                .iter()
                .find(|reason| reason.cause.code == CERT_MISSING_EKU.code)
        })
        .flatten();
    let first = purpose.or_else(|| {
        let mut own = shown.iter();
        own.find(|reason| reason.cause.code != CERT_UNTRUSTED.code)
    });
    first.map_or((cause, Basis::Seen), |reason| {
        (reason.cause, Basis::Inferred)
    })
}

fn rejected_by_alert(
    cause: &'static Cause,
    stage: Stage,
    basis: Basis,
    alert: &AlertSeen,
) -> Finding {
    let description = alert.alert.description;
    Finding::failure(
        cause,
        stage,
        basis,
        say!(
            "The {} refused the {}'s certificate with the alert {description}.",
            alert.from.word(),
            alert.from.other().word()
        ),
    )
    .frame(
        alert.at,
        say!("alert {description} of the {}", alert.from.word()),
    )
}

/// The cause that an alert about certificates names.
pub(super) const fn alert_cause(description: AlertDescription) -> Option<&'static Cause> {
    match description {
        AlertDescription::CERTIFICATE_EXPIRED => Some(&CERT_EXPIRED),
        AlertDescription::UNKNOWN_CA => Some(&CERT_UNTRUSTED),
        AlertDescription::BAD_CERTIFICATE
        | AlertDescription::UNSUPPORTED_CERTIFICATE
        | AlertDescription::CERTIFICATE_REVOKED
        | AlertDescription::CERTIFICATE_UNKNOWN => Some(&CERT_REJECTED),
        _ => None,
    }
}

fn is_psk(connection: &Connection) -> bool {
    connection.answer().is_some_and(|answer| {
        matches!(
            answer.suite.key_exchange(),
            KeyExchange::Psk | KeyExchange::PskWith(_)
        ) || answer.has_psk
    })
}

/// A reason that a certificate in clear shows by itself.
struct Reason {
    cause: &'static Cause,
    says: String,
}

/// What is wrong with a chain in clear, at the time of the capture, the surest first.
fn reasons(chain: &Chain, of: Side, names: &[&str]) -> Vec<Reason> {
    let mut list = Vec::new();
    let now = chain.at.time.0.div_euclid(1_000_000_000);
    let date = |seconds| Timestamp::from_parts(seconds, 0).to_string();
    let day = |seconds| date(seconds).get(..10).unwrap_or_default().to_string();
    for certificate in &chain.certificates {
        if certificate.not_after_s < now {
            list.push(Reason {
                cause: &CERT_EXPIRED,
                says: say!(
                    "{} expired on {}",
                    certificate.subject,
                    day(certificate.not_after_s)
                ),
            });
        }
        if certificate.not_before_s > now {
            list.push(Reason {
                cause: &CERT_NOT_YET_VALID,
                says: say!(
                    "{} is valid only from {}",
                    certificate.subject,
                    day(certificate.not_before_s)
                ),
            });
        }
    }
    let Some(leaf) = chain.leaf() else {
        return list;
    };
    if of == Side::Gateway
        && let Some(name) = names.iter().find(|name| !leaf.is_for(name))
    {
        list.push(Reason {
            cause: &CERT_NAME_MISMATCH,
            says: say!("{} is not for {name}", names_of(leaf)),
        });
    }
    if let Some(usage) = leaf.extended_key_usage {
        let (has, wanted) = match of {
            Side::Gateway => (usage.server_auth, "serverAuth"),
            Side::Client => (usage.client_auth, "clientAuth"),
        };
        if !has && !usage.any {
            list.push(Reason {
                cause: &CERT_MISSING_EKU,
                says: say!("{} lacks the purpose {wanted}", leaf.subject),
            });
        }
    }
    if leaf.is_self_issued {
        list.push(Reason {
            cause: &CERT_UNTRUSTED,
            says: say!("{} is signed by itself", leaf.subject),
        });
    } else if !has_issuer(chain, leaf) && of == Side::Gateway {
        list.push(Reason {
            cause: &CERT_UNTRUSTED,
            says: say!(
                "the chain of {} certificate(s) does not hold the issuer {}",
                chain.count,
                leaf.issuer
            ),
        });
    }
    list
}

/// Whether the chain holds the certificate of the leaf's issuer. A chain whose first issuer
/// is a root may leave it out; which issuers are roots, nobody can tell from outside.
fn has_issuer(chain: &Chain, leaf: &Certificate) -> bool {
    chain
        .certificates
        .iter()
        .skip(1)
        .any(|certificate| certificate.subject == leaf.issuer)
}

fn names_of(certificate: &Certificate) -> String {
    let names = &certificate.subject_alternative_names;
    if names.is_empty() {
        return certificate.subject.clone();
    }
    let list: Vec<String> = names.iter().take(4).map(ToString::to_string).collect();
    say!("a certificate for {}", list.join(", "))
}

fn expected_names<'a>(story: &Story<'a>) -> Vec<&'a str> {
    story
        .channel
        .and_then(Connection::hello)
        .and_then(|hello| hello.server_name.as_deref())
        .into_iter()
        .collect()
}

/// Adds what the chain itself shows to a refusal that names another reason.
fn with_reasons(
    mut finding: Finding,
    story: &Story<'_>,
    chain: &Chain,
    of: Side,
    cause: &'static Cause,
) -> Finding {
    for reason in reasons(chain, of, &expected_names(story)) {
        finding.summary = say!("{} In clear: {}.", finding.summary, reason.says);
        let is_other = reason.cause.code != cause.code;
        let is_open = finding.basis == Basis::Inferred || cause.code == CERT_REJECTED.code;
        if is_other && is_open {
            finding = finding.candidates(&[reason.cause.code]);
        }
    }
    finding
}

const CHILDREN: [&str; 5] = [
    "cert-untrusted",
    "cert-expired",
    "cert-not-yet-valid",
    "cert-name-mismatch",
    "cert-missing-eku",
];

/// In TLS 1.3: whether an encrypted alert is all that the client says after the hellos.
fn only_alerts(connection: &Connection) -> bool {
    let mut flight = client_flight(connection).peekable();
    connection.is_tls13()
        && flight.peek().is_some()
        && flight.all(|record| may_be_alert(connection, record.length))
}

/// The client left after the gateway's flight and before it finished.
fn client_left(
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
pub(super) fn sent_empty_certificate(connection: &Connection) -> bool {
    let mut flight = client_flight(connection);
    let first = flight.next();
    first.is_some_and(|record| may_be_empty_certificate(connection, record.length))
        && flight.next().is_some()
}

/// The gateway left after the client's flight.
fn gateway_left(story: &Story<'_>, connection: &Connection, at: Stamp, findings: &mut Findings) {
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
pub(super) fn demanded(
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

/// Alerts about certificates in DTLS.
fn in_dtls(story: &Story<'_>, association: &Association, findings: &mut Findings) {
    if association.is_established() {
        return;
    }
    let Some((alert, cause)) = association
        .alerts
        .iter()
        .find_map(|alert| Some((alert, alert_cause(alert.alert.description)?)))
    else {
        return;
    };
    let about = alert.from.other();
    let chain = association.chains.of(about).as_ref();
    let (cause, basis) = named(cause, alert, chain, &[]);
    let mut finding = rejected_by_alert(cause, Stage::DtlsHandshake, basis, alert);
    if let Some(chain) = chain {
        finding = finding.frame(chain.at, say!("certificate of the {}", about.word()));
        finding = with_reasons(finding, story, chain, about, cause);
    }
    let request = association.message(Side::Gateway, HandshakeType::CERTIFICATE_REQUEST);
    if about == Side::Client && request.is_none() {
        finding = finding.sure(Confidence::Likely);
    }
    findings.push(finding);
}

/// The finding for an alert that says that the pre-shared keys differ.
fn psk_finding(alert: &AlertSeen, stage: Stage, hello: Option<Stamp>) -> Finding {
    let description = alert.alert.description;
    let mut finding = Finding::failure(
        &super::ike1::auth::PSK_MISMATCH,
        stage,
        Basis::Seen,
        say!(
            "The {} ended a handshake with a pre-shared key with the alert {description}: the keys differ.",
            alert.from.word()
        ),
    )
    .frame(alert.at, say!("alert {description} of the {}", alert.from.word()));
    if let Some(hello) = hello {
        finding = finding.frame(hello, "ClientHello");
    }
    finding
}
