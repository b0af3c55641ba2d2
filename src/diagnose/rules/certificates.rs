//! Did each side accept the other's certificate?

use super::tls_alerts;
use crate::diagnose::tls::{End, Phase, Story, client_flight, turned_away};
use crate::diagnose::{Context, Family, Findings, cause};
use crate::track::session::{Session, Side};

mod alert;
mod chain;
mod silent;

pub(super) use alert::alert_cause;
use alert::{by_alert, in_dtls};
use silent::{client_left, gateway_left, only_alerts};
pub(super) use silent::{demanded, sent_empty_certificate};

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
