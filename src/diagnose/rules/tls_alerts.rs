//! Alerts in clear that name no cause of their own elsewhere: one cause for each.

use vpnscope_dissectors::tls::{AlertDescription, AlertLevel};

use crate::diagnose::tls::End;
use crate::diagnose::{Cause, Context, Family, Findings};
use crate::track::session::Session;
use crate::track::tls::Connection;
use crate::track::tls::connection::AlertSeen;

/// The family. What its causes say is found by `tls-handshake` and `dtls`.
pub(super) static FAMILY: Family = Family {
    name: "tls-alerts",
    causes: ALL,
    check,
};

const fn check(_: &Session, _: &Context, _: &mut Findings) {}

/// Declares a cause for each alert.
macro_rules! alerts {
    ($( $name:ident $code:literal $alert:ident $means:literal $remedy:literal; )*) => {
        $(
            static $name: Cause = Cause {
                code: $code,
                title: concat!("the handshake ended with the alert ", $code),
                explanation: concat!(
                    "## What it means\n", $means, "\n\n",
                    "## What is seen\n",
                    "The alert in clear, and after it the end of the connection.\n\n",
                    "## Likely causes\n- ", $means, "\n\n",
                    "## What to check on each side\n",
                    "- The log of the side that sent the alert: it knows more than it says.\n",
                    "- ", $remedy, "\n\n",
                    "## When this is wrong\n",
                    "When the implementation uses this alert for something else, which the standard permits.\n",
                ),
                remedies: &[$remedy, "Read the log of the side that sent the alert."],
                needs: Some("the log of the side that sent the alert"),
                file: file!(),
            };
        )*

        const ALL: &[&Cause] = &[$(&$name),*];

        /// The cause that an alert stands for.
        pub(super) fn cause(description: AlertDescription) -> &'static Cause {
            match description {
                $( AlertDescription::$alert => &$name, )*
                _ => &OTHER,
            }
        }
    };
}

alerts! {
    UNEXPECTED_MESSAGE "tls-alert-unexpected-message" UNEXPECTED_MESSAGE
        "A message came that has no place at this point of the handshake."
        "Update the older implementation of the two.";
    BAD_RECORD_MAC "tls-alert-bad-record-mac" BAD_RECORD_MAC
        "A record could not be decrypted: the keys differ, or something on the path changed it."
        "Look for a box on the path that rewrites the stream, and for bad memory or network cards.";
    RECORD_OVERFLOW "tls-alert-record-overflow" RECORD_OVERFLOW
        "A record was longer than allowed."
        "Check what answers on the port: other protocols look like a long record.";
    HANDSHAKE_FAILURE "tls-alert-handshake-failure" HANDSHAKE_FAILURE
        "The sender could not find a set of parameters that suits it: suites, groups, signature schemes, or a certificate that is missing."
        "Compare the cipher suites, groups and signature schemes of both sides.";
    ILLEGAL_PARAMETER "tls-alert-illegal-parameter" ILLEGAL_PARAMETER
        "A field had a value that does not fit the others, for instance a resumed session with another cipher suite."
        "Clear the session cache, and update the older implementation.";
    ACCESS_DENIED "tls-alert-access-denied" ACCESS_DENIED
        "The certificate was valid, and its owner has no access."
        "Grant the user or the certificate access on the gateway.";
    DECODE_ERROR "tls-alert-decode-error" DECODE_ERROR
        "A message could not be read."
        "Update the older implementation, and look for a box on the path that changes the handshake.";
    DECRYPT_ERROR "tls-alert-decrypt-error" DECRYPT_ERROR
        "A signature or a Finished message could not be verified: wrong key, or a changed handshake."
        "Check that the private key belongs to the certificate, and that nothing on the path changes the handshake.";
    INTERNAL_ERROR "tls-alert-internal-error" INTERNAL_ERROR
        "The sender failed for a reason of its own, often a missing certificate or key for the name asked for."
        "Read the gateway's log at that time.";
    INAPPROPRIATE_FALLBACK "tls-alert-inappropriate-fallback" INAPPROPRIATE_FALLBACK
        "The client came back with an older version although the gateway knows a newer one."
        "Find out why the first try with the newer version failed: this alert is its consequence.";
    USER_CANCELED "tls-alert-user-canceled" USER_CANCELED
        "The user broke off."
        "Ask the user.";
    MISSING_EXTENSION "tls-alert-missing-extension" MISSING_EXTENSION
        "An extension that is needed is missing."
        "Update the older implementation.";
    UNSUPPORTED_EXTENSION "tls-alert-unsupported-extension" UNSUPPORTED_EXTENSION
        "The answer had an extension that was not asked for."
        "Update the older implementation.";
    UNRECOGNIZED_NAME "tls-alert-unrecognized-name" UNRECOGNIZED_NAME
        "The gateway does not serve the name that the client asks for."
        "Configure the gateway for the name that the clients use, or correct the name in the client.";
    BAD_CERTIFICATE_STATUS_RESPONSE "tls-alert-bad-certificate-status-response" BAD_CERTIFICATE_STATUS_RESPONSE
        "The stapled OCSP response was invalid or too old."
        "Let the gateway fetch a new OCSP response, and check its clock.";
    NO_APPLICATION_PROTOCOL "tls-alert-no-application-protocol" NO_APPLICATION_PROTOCOL
        "The gateway knows none of the application protocols (ALPN) that the client offers."
        "Align the application protocols of both sides, or switch ALPN off.";
    ECH_REQUIRED "tls-alert-ech-required" ECH_REQUIRED
        "The client insists on encrypted hellos and the gateway could not read one."
        "Publish the gateway's present ECH keys in DNS.";
    OTHER "tls-alert-general-error" GENERAL_ERROR
        "The sender broke off for a reason that has no name of its own."
        "Read the log of the side that sent the alert.";
}

/// The alert in clear that ended a handshake, if one did: a fatal one, or one after which its
/// sender left.
pub(super) fn deciding(connection: &Connection, end: End) -> Option<&AlertSeen> {
    connection.alerts.iter().find(|seen| {
        let fatal = seen.alert.level == AlertLevel::FATAL;
        let left = end
            .by()
            .is_some_and(|(by, at)| by == seen.from && at.time >= seen.at.time);
        fatal || left
    })
}
