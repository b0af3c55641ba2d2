//! What an alert says of a certificate, and of whose.

use vpnscope_dissectors::tls::{AlertDescription, HandshakeType};

use super::chain::{expected_names, reasons, with_reasons};
use super::silent::{demanded, is_psk, sent_empty_certificate};
use super::{CERT_EXPIRED, CERT_MISSING_EKU, CERT_REJECTED, CERT_UNTRUSTED};
use crate::diagnose::rules::ike1::auth::PSK_MISMATCH;
use crate::diagnose::tls::Story;
use crate::diagnose::{Basis, Cause, Confidence, Finding, Findings, Stage, say};
use crate::track::session::{Side, Stamp};
use crate::track::tls::connection::AlertSeen;
use crate::track::tls::{Association, Chain, Connection};

/// What an alert about certificates says of whose certificate.
pub(super) fn by_alert(
    story: &Story<'_>,
    connection: &Connection,
    alert: &AlertSeen,
) -> Option<Finding> {
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
pub(in crate::diagnose::rules) const fn alert_cause(
    description: AlertDescription,
) -> Option<&'static Cause> {
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

/// Alerts about certificates in DTLS.
pub(super) fn in_dtls(story: &Story<'_>, association: &Association, findings: &mut Findings) {
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
        &PSK_MISMATCH,
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
