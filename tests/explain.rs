//! Codes and log lines, judged by labelled captures: what the capture shows comes first, and
//! at least one other cause is excluded by a frame.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod common;

use vpnscope::explain::{Explanation, Match, explain, judge};
use vpnscope::report;

/// What is asked, the capture, and the cause that comes first.
const PAIRS: &[(&str, &str, &str)] = &[
    ("809", "ikev2-udp500-dropped/client.pcap", "no-response"),
    ("809", "ikev2-udp4500-blocked/client.pcap", "nat-t-blocked"),
    (
        "809",
        "ikev2-last-fragment-dropped/client.pcap",
        "fragment-lost",
    ),
    ("809", "l2tp-sccrp-lost/client.pcap", "l2tp-no-response"),
    (
        "13868",
        "ikev2-no-common-group/client.pcap",
        "proposal-mismatch",
    ),
    ("13801", "ikev2-psk-mismatch/client.pcap", "auth-failed"),
    ("691", "l2tp-pap-auth-failed/client.pcap", "ppp-auth-failed"),
    ("691", "ikev2-eap-bad-password/client.pcap", "eap-failed"),
    ("789", "l2tp-ipsec-psk-mismatch/client.pcap", "psk-mismatch"),
    (
        "789",
        "ikev1-phase1-proposal-mismatch/client.pcap",
        "proposal-mismatch",
    ),
    (
        "811",
        "libreswan-ikev1-psk-mismatch/client.pcap",
        "psk-mismatch",
    ),
    ("678", "l2tp-ipsec-esp50-blocked/client.pcap", "esp-blocked"),
    (
        "809",
        "l2tp-ipsec-lns-silent/client.pcap",
        "l2tp-no-response",
    ),
    ("720", "l2tp-ipcp-rejected/client.pcap", "ppp-ipcp-rejected"),
    ("628", "l2tp-cdn/client.pcap", "l2tp-cdn"),
    ("718", "l2tp-radius-silent/single.pcap", "radius-timeout"),
    ("734", "l2tp-mppe-required/single.pcap", "ppp-mppe-required"),
    (
        "giving up after 5 retransmits",
        "ikev2-last-fragment-dropped/client.pcap",
        "fragment-lost",
    ),
    (
        "control_finish: Connection closed to 203.0.113.10, port 1701 (no more tunnels), Local: 21001, Remote: 7. Result code 2, error 4",
        "l2tp-stopccn-resources/single.pcap",
        "l2tp-stopccn",
    ),
    (
        "789",
        "ikev1-phase1-proposal-mismatch/gateway.pcap",
        "proposal-mismatch",
    ),
    (
        "788",
        "libreswan-ikev1-proposal-mismatch/client.pcap",
        "proposal-mismatch",
    ),
    (
        "809",
        "crafted-ikev1-gateway-behind-nat/single.pcap",
        "nat-t-responder-behind-nat",
    ),
    (
        "809",
        "crafted-port-unreachable/single.pcap",
        "port-unreachable",
    ),
    (
        "809",
        "ikev2-admin-prohibited/client.pcap",
        "admin-prohibited",
    ),
    (
        "809",
        "ikev1-certificates-fragments-dropped/client.pcap",
        "fragment-lost",
    ),
    (
        "809",
        "ikev1-nat-t-not-supported/client.pcap",
        "nat-t-not-supported",
    ),
    (
        "13805",
        "ikev2-response-fragments-dropped/gateway.pcap",
        "fragment-lost",
    ),
    ("13805", "ikev2-response-lost/gateway.pcap", "response-lost"),
    ("13801", "ikev2-cert-untrusted/client.pcap", "auth-failed"),
    (
        "13801",
        "ikev2-cert-name-mismatch/client.pcap",
        "auth-failed",
    ),
    (
        "13801",
        "ikev2-client-cert-expired/client.pcap",
        "auth-failed",
    ),
    ("13801", "ikev2-id-mismatch/client.pcap", "auth-failed"),
    (
        "08[IKE] tried 2 shared keys for '%any' - 'bob', but MAC mismatched",
        "ikev2-psk-mismatch/gateway.pcap",
        "psk-mismatch",
    ),
    (
        "13[IKE] no trusted RSA public key found for 'CN=gw'",
        "ikev2-cert-untrusted/client.pcap",
        "cert-untrusted",
    ),
    (
        "13[CFG] constraint check failed: identity 'vpn.example' required",
        "ikev2-cert-name-mismatch/client.pcap",
        "auth-failed",
    ),
    (
        "received TS_UNACCEPTABLE notify, no CHILD_SA built",
        "ikev2-ts-unacceptable/client.pcap",
        "ts-unacceptable",
    ),
    (
        "cannot respond to IPsec SA request because no connection is known for 10.99.0.0/24",
        "libreswan-ikev1-phase2-mismatch/gateway.pcap",
        "ts-unacceptable",
    ),
    (
        "received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built",
        "ikev1-phase2-proposal-mismatch/client.pcap",
        "child-proposal-mismatch",
    ),
    (
        "no suitable policy found.",
        "ikev1-phase2-proposal-mismatch/gateway.pcap",
        "child-proposal-mismatch",
    ),
    (
        "13868",
        "ikev1-phase2-proposal-mismatch/client.pcap",
        "child-proposal-mismatch",
    ),
    (
        "13868",
        "libreswan-ikev2-no-proposal-chosen/client.pcap",
        "proposal-mismatch",
    ),
    (
        "13865",
        "crafted-ke-group-mismatch/single.pcap",
        "ke-group-mismatch",
    ),
    (
        "13824",
        "ikev2-invalid-major-version/client.pcap",
        "version-mismatch",
    ),
    (
        "XAuth authentication of 'bob' failed",
        "ikev1-vpnc-xauth-failed/gateway.pcap",
        "xauth-failed",
    ),
    (
        "HASH mismatched",
        "ikev1-aggressive-psk-mismatch/client.pcap",
        "psk-mismatch",
    ),
    (
        "INVALID-HASH-INFORMATION",
        "ikev1-vpnc-group-secret-wrong/client.pcap",
        "psk-mismatch",
    ),
    (
        "seems to be dead",
        "ikev1-dpd-timeout/client.pcap",
        "dpd-timeout",
    ),
    ("807", "ikev2-gateway-restarted/client.pcap", "dpd-timeout"),
    ("829", "ikev2-peer-deleted/client.pcap", "peer-deleted"),
    (
        "Replay Check Failed",
        "crafted-replay-drops/single.pcap",
        "replay-drops",
    ),
    ("717", "l2tp-no-address/single.pcap", "config-no-address"),
    ("738", "l2tp-no-address/single.pcap", "config-no-address"),
    (
        "733",
        "l2tp-ipcp-rejected/gateway.pcap",
        "ppp-ipcp-rejected",
    ),
    (
        "919",
        "l2tp-auth-rejected/single.pcap",
        "ppp-auth-protocol-mismatch",
    ),
    (
        "peer refused to authenticate",
        "l2tp-auth-rejected/single.pcap",
        "ppp-auth-protocol-mismatch",
    ),
    (
        "732",
        "l2tp-auth-protocol-not-agreed/client.pcap",
        "ppp-lcp-loop",
    ),
    ("742", "l2tp-mppe-required/single.pcap", "ppp-mppe-required"),
    ("691", "l2tp-radius-silent/single.pcap", "radius-timeout"),
    (
        "691",
        "l2tp-chap-success-without-proof/single.pcap",
        "ppp-auth-failed",
    ),
    ("691", "l2tp-radius-rejects/single.pcap", "ppp-auth-failed"),
    (
        "691",
        "pppoe-pap-auth-failed/single.pcap",
        "ppp-auth-failed",
    ),
    ("812", "ikev2-eap-bad-password/gateway.pcap", "eap-failed"),
    ("651", "pppoe-service-refused/single.pcap", "pppoe-refused"),
    ("678", "pppoe-no-answer/single.pcap", "no-response"),
    ("678", "l2tp-stopccn-resources/single.pcap", "l2tp-stopccn"),
    ("678", "l2tp-sccrp-lost/client.pcap", "l2tp-no-response"),
    (
        "xl2tpd[2057]: Maximum retries exceeded for tunnel 32599.  Closing.",
        "l2tp-iccn-ack-lost/single.pcap",
        "response-lost",
    ),
    (
        "xl2tpd[2057]: Maximum retries exceeded for tunnel 32599.  Closing.",
        "l2tp-ipsec-lns-silent/client.pcap",
        "l2tp-no-response",
    ),
    (
        "789",
        "l2tp-windows-without-ipsec/single.pcap",
        "l2tp-without-ipsec",
    ),
    (
        "809",
        "l2tp-windows-without-ipsec/single.pcap",
        "l2tp-without-ipsec",
    ),
    (
        "StopCCN result 4",
        "l2tp-tunnel-secret-wrong/single.pcap",
        "l2tp-tunnel-auth-failed",
    ),
    ("868", "oc-dns-nxdomain/client.pcap", "dns-nxdomain"),
    (
        "DnsLookupErr",
        "oc-dns-no-answer/client.pcap",
        "dns-no-answer",
    ),
    (
        "Connection attempt has failed",
        "oc-tcp-synack-lost/client.pcap",
        "tcp-no-answer",
    ),
    (
        "Connection attempt has failed",
        "oc-tcp-admin-prohibited/client.pcap",
        "admin-prohibited",
    ),
    (
        "Server requested SSL client certificate; none was configured",
        "oc-client-cert-missing/client.pcap",
        "client-cert-required",
    ),
    (
        "Server certificate verify failed: certificate does not match hostname",
        "oc-cert-name-mismatch/client.pcap",
        "cert-name-mismatch",
    ),
    (
        "Server certificate verify failed: signer not found",
        "oc-cert-self-signed-tls12/client.pcap",
        "cert-untrusted",
    ),
    (
        "Server certificate verify failed: certificate expired",
        "oc-cert-expired/client.pcap",
        "cert-expired",
    ),
    (
        "Login failed.",
        "oc-login-wrong-password-tls12/client.pcap",
        "login-failed",
    ),
    (
        "ASA 113015",
        "oc-login-wrong-password-tls12/gateway.pcap",
        "login-failed",
    ),
    (
        "DTLS handshake timed out",
        "oc-dtls-udp-blocked/client.pcap",
        "dtls-missing",
    ),
    (
        "722036",
        "oc-dtls-disabled-on-server/client.pcap",
        "dtls-missing",
    ),
    (
        "SSL success, DTLS fail",
        "oc-dtls-resume-wrong-cipher/client.pcap",
        "dtls-cipher-mismatch",
    ),
    (
        "DTLS handshake failed",
        "oc-dtls-udp-port-unreachable/client.pcap",
        "port-unreachable",
    ),
    (
        "725006",
        "tls-alert-protocol-version-old-server/single.pcap",
        "tls-version-mismatch",
    ),
    (
        "error in DTLS handshake",
        "dtls13-vs-dtls12-server/single.pcap",
        "dtls-version-mismatch",
    ),
    (
        "alert 40",
        "tls-alert-handshake-failure-cipher/single.pcap",
        "tls-cipher-mismatch",
    ),
    (
        "No response to size 1459 after 3 tries; declare MTU is 1300",
        "oc-dtls-pmtu-blackhole/client.pcap",
        "pmtu-blackhole",
    ),
    (
        "have not received any UDP message or DPD for long",
        "oc-dtls-blocked-mid-session/gateway.pcap",
        "dpd-timeout",
    ),
    (
        "have not received any UDP message or DPD for long",
        "oc-nat-rebinding/gateway.pcap",
        "nat-mapping-changed",
    ),
    (
        "Peer is not responsive",
        "libreswan-client-no-response/client.pcap",
        "no-response",
    ),
    (
        "AWS No Proposal Match Found by AWS",
        "ikev2-no-common-group/gateway.pcap",
        "proposal-mismatch",
    ),
    (
        "FortiGate probable pre-shared secret mismatch",
        "libreswan-client-psk-mismatch/gateway.pcap",
        "psk-mismatch",
    ),
    (
        "giving up after 5 retransmits",
        "ikev2-udp4500-blocked/client.pcap",
        "nat-t-blocked",
    ),
    (
        "10[IKE] giving up after 5 retransmits",
        "libreswan-client-no-response/client.pcap",
        "no-response",
    ),
    (
        "13863",
        "ikev2-child-pfs-mismatch/client.pcap",
        "rekey-failed",
    ),
    (
        "13816",
        "ikev2-child-pfs-mismatch/client.pcap",
        "rekey-failed",
    ),
    (
        "QM FSM error",
        "ikev1-pfs-mismatch/client.pcap",
        "child-refused",
    ),
    ("651", "pppoe-no-answer/single.pcap", "no-response"),
    (
        "error 809",
        "crafted-rate-limited-by-gateway/single.pcap",
        "rate-limited-by-gateway",
    ),
    (
        "809",
        "crafted-non-esp-marker-missing/single.pcap",
        "non-esp-marker-missing",
    ),
    (
        "789",
        "crafted-ikev1-answered-in-ikev2/single.pcap",
        "version-mismatch",
    ),
    (
        "789",
        "crafted-ikev1-message-1-unanswered/single.pcap",
        "no-response",
    ),
    (
        "789",
        "libreswan-ikev1-psk-mismatch/gateway.pcap",
        "psk-mismatch",
    ),
    (
        "787",
        "crafted-ikev1-psk-mismatch-payload-malformed/single.pcap",
        "psk-mismatch",
    ),
    (
        "792",
        "ikev1-phase2-proposal-mismatch/client.pcap",
        "child-proposal-mismatch",
    ),
    ("792", "ikev1-qm3-lost/client.pcap", "request-never-arrived"),
    (
        "13805",
        "libreswan-client-no-response/client.pcap",
        "no-response",
    ),
    (
        "13805",
        "ikev2-last-fragment-dropped/gateway.pcap",
        "fragment-lost",
    ),
    ("13813", "ikev2-udp500-dropped/client.pcap", "no-response"),
    (
        "13868",
        "crafted-error-ignored/single.pcap",
        "proposal-mismatch",
    ),
    (
        "60 second timeout exceeded after 7 retransmits",
        "crafted-error-ignored/single.pcap",
        "proposal-mismatch",
    ),
    (
        "no SA proposal chosen",
        "crafted-no-peer-config/single.pcap",
        "no-peer-config",
    ),
    (
        "no IKE config found for 10.1.0.1...10.1.0.2, sending NO_PROPOSAL_CHOSEN",
        "crafted-no-peer-config/single.pcap",
        "no-peer-config",
    ),
    (
        "All SA proposals found unacceptable",
        "ikev1-phase1-proposal-mismatch/gateway.pcap",
        "proposal-mismatch",
    ),
    (
        "QM FSM error",
        "ikev1-phase2-proposal-mismatch/gateway.pcap",
        "child-refused",
    ),
    (
        "Reserved Not Zero on Payload 5",
        "l2tp-ipsec-psk-mismatch/gateway.pcap",
        "psk-mismatch",
    ),
    (
        "received NO_PROPOSAL_CHOSEN notify error",
        "ikescan-main-mode-refused/client.pcap",
        "proposal-mismatch",
    ),
    (
        "717",
        "crafted-ikev1-mode-config-no-address/single.pcap",
        "config-no-address",
    ),
    (
        "no address available",
        "crafted-ikev1-mode-config-no-address/single.pcap",
        "config-no-address",
    ),
    (
        "Invalid SPI",
        "ikev2-gateway-restarted/client.pcap",
        "dpd-timeout",
    ),
    (
        "Declaring peer dead",
        "ikev2-gateway-restarted/gateway.pcap",
        "dpd-timeout",
    ),
    (
        "duplicate Message ID 1; retransmitting response",
        "ikev2-response-lost/gateway.pcap",
        "response-lost",
    ),
    (
        "DPD: remote seems to be dead",
        "crafted-nat-port-split/single.pcap",
        "nat-port-split",
    ),
    (
        "829",
        "ikev2-nat-mapping-changed/gateway.pcap",
        "nat-mapping-changed",
    ),
    (
        "INVALID_KE_PAYLOAD",
        "crafted-ke-group-mismatch/single.pcap",
        "ke-group-mismatch",
    ),
    (
        "13824",
        "crafted-ikev2-answered-in-ikev1/single.pcap",
        "version-mismatch",
    ),
    (
        "ALM-303046755 reason 21",
        "crafted-cookie-loop/single.pcap",
        "cookie-loop",
    ),
    (
        "13846",
        "crafted-different-backends/single.pcap",
        "different-backends",
    ),
    ("651", "l2tp-cdn/gateway.pcap", "l2tp-cdn"),
    (
        "control_finish: Connection closed to 203.0.113.10, serial 1 (), Result code 4, error 0",
        "l2tp-tunnel-secret-wrong/single.pcap",
        "l2tp-tunnel-auth-failed",
    ),
    (
        "LCP: timeout sending Config-Requests",
        "l2tp-auth-protocol-not-agreed/client.pcap",
        "ppp-lcp-loop",
    ),
    (
        "628",
        "l2tp-auth-rejected/single.pcap",
        "ppp-auth-protocol-mismatch",
    ),
    (
        "691",
        "l2tp-auth-rejected/single.pcap",
        "ppp-auth-protocol-mismatch",
    ),
    (
        "718",
        "l2tp-login-without-verdict/single.pcap",
        "radius-timeout",
    ),
    (
        "734",
        "l2tp-auth-protocol-not-agreed/client.pcap",
        "ppp-lcp-loop",
    ),
    ("736", "l2tp-ipcp-rejected/client.pcap", "ppp-ipcp-rejected"),
    ("629", "l2tp-pap-auth-failed/client.pcap", "ppp-auth-failed"),
    (
        "E=649",
        "l2tp-radius-rejects/single.pcap",
        "ppp-auth-failed",
    ),
    ("649", "l2tp-radius-rejects/single.pcap", "ppp-auth-failed"),
    (
        "Access-Reject",
        "l2tp-radius-rejects/single.pcap",
        "ppp-auth-failed",
    ),
    (
        "alert 48",
        "tls12-alert-server-unknown-ca/single.pcap",
        "cert-untrusted",
    ),
    (
        "certificate_expired",
        "tls12-alert-client-cert-expired/single.pcap",
        "cert-expired",
    ),
    (
        "alert 70",
        "oc-tls-version-mismatch-old-server/client.pcap",
        "tls-version-mismatch",
    ),
    ("10061", "oc-tcp-refused/client.pcap", "tcp-refused"),
    (
        "0x80072746",
        "oc-gateway-killed-mid-session/client.pcap",
        "peer-deleted",
    ),
    ("10060", "oc-tcp-synack-lost/client.pcap", "tcp-no-answer"),
    ("868", "oc-dns-no-answer/client.pcap", "dns-no-answer"),
    (
        "ocserv client certificate verification failed",
        "oc-client-cert-untrusted/gateway.pcap",
        "cert-rejected",
    ),
    (
        "Server certificate verify failed: certificate not activated",
        "oc-cert-not-yet-valid/client.pcap",
        "cert-not-yet-valid",
    ),
    (
        "CSTP Dead Peer Detection detected dead peer!",
        "oc-client-vanishes/gateway.pcap",
        "dpd-timeout",
    ),
    (
        "failed authentication",
        "oc-login-wrong-password-tls12/gateway.pcap",
        "login-failed",
    ),
    (
        "DTLS session resume failed; possible MITM attack",
        "oc-dtls-resume-wrong-cipher/client.pcap",
        "dtls-cipher-mismatch",
    ),
];

fn judged(query: &str, file: &str) -> Explanation {
    let mut explanation = explain(query).unwrap_or_else(|near| panic!("{query}: {near:?}"));
    let filed = common::analyze(&common::repository("pcaps").join(file));
    let sessions: Vec<_> = filed
        .iter()
        .map(|filed| report::session(filed.session.id, &filed.session, &filed.verdict))
        .collect();
    assert!(!sessions.is_empty(), "{file}: no session");
    judge(&mut explanation, &sessions);
    explanation
}

fn first(query: &str, file: &str) -> Match {
    judged(query, file).matches.swap_remove(0)
}

#[test]
fn the_true_cause_comes_first_and_another_is_excluded_by_a_frame() {
    let mut faults = Vec::new();
    for (query, file, cause) in PAIRS {
        let found = first(query, file);
        let top = &found.causes[0];
        if top.code != *cause || top.supported != Some(true) || top.evidence.is_empty() {
            faults.push(format!(
                "{query} in {file}: {} {:?}",
                top.code, top.supported
            ));
        }
        let excluded = found
            .causes
            .iter()
            .filter(|verdict| verdict.supported == Some(false))
            .any(|verdict| verdict.evidence.iter().any(|evidence| evidence.frame > 0));
        if !excluded {
            faults.push(format!("{query} in {file}: nothing excluded"));
        }
        if let Some(other) = &found.different_attempt {
            faults.push(format!("{query} in {file}: {other}"));
        }
        // Nothing of what the capture excludes is left to check.
        for cause in found
            .causes
            .iter()
            .filter(|one| one.supported == Some(false))
        {
            let word = format!(", {}: ", cause.code);
            assert!(
                !found.check.iter().any(|check| check.contains(&word)),
                "{query} in {file}: {:?}",
                found.check
            );
        }
        // Supported before open before excluded.
        let ranks: Vec<u8> = found
            .causes
            .iter()
            .map(|verdict| match verdict.supported {
                Some(true) => 0,
                None => 1,
                Some(false) => 2,
            })
            .collect();
        assert!(ranks.is_sorted(), "{query} in {file}: {ranks:?}");
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_code_of_ppp_and_a_capture_that_never_came_there_are_different_attempts() {
    let found = first("691", "ikev2-psk-mismatch/client.pcap");
    assert!(found.different_attempt.unwrap().contains("before") || !found.causes.is_empty());
    let found = first("691", "ikev2-psk-mismatch/client.pcap");
    assert!(
        found
            .different_attempt
            .unwrap()
            .contains("ike-authentication")
    );
    let found = first("809", "l2tp-pap-auth-failed/client.pcap");
    assert!(
        found
            .different_attempt
            .unwrap()
            .contains("ppp-authentication")
    );
}

/// What is asked, the capture, and a word of the reason why they do not belong together.
const OTHER_ATTEMPTS: &[(&str, &str, &str)] = &[
    ("809", "ikev2-psk-established/client.pcap", "came up"),
    ("13801", "ikev2-udp500-dropped/client.pcap", "reachability"),
    (
        "13806",
        "ikev2-no-common-group/client.pcap",
        "ike-negotiation",
    ),
    (
        "received TS_UNACCEPTABLE notify, no CHILD_SA built",
        "ikev2-udp500-dropped/client.pcap",
        "reachability",
    ),
    (
        "12[IKE] retransmit 3 of request with message ID 1",
        "ikev2-udp500-dropped/client.pcap",
        "message ID 1",
    ),
    (
        "2026-11-12T08:14:11+01:00 gw charon: 13[CFG] no matching peer config found",
        "ikev2-idr-unknown/gateway.pcap",
        "2026-11-12 08:14:11",
    ),
    (
        "Nov 12 08:14:11 gw charon: 13[CFG] no matching peer config found",
        "ikev2-idr-unknown/gateway.pcap",
        "Nov 12",
    ),
];

#[test]
fn line_and_capture_that_disagree_are_of_different_attempts() {
    for (query, file, reason) in OTHER_ATTEMPTS {
        let found = first(query, file);
        let told = found.different_attempt.unwrap_or_default();
        assert!(told.contains(reason), "{query} in {file}: {told:?}");
    }
}

#[test]
fn a_line_of_the_same_minute_is_of_the_same_attempt() {
    let file = "ikev2-idr-unknown/gateway.pcap";
    // The capture is of 2026-11-22 05:07:15 UTC; the zones are those of the machines.
    for stamp in [
        "2026-11-22T05:07:15Z",
        "2026-11-22T06:07:15.123+01:00",
        "2026-11-22T00:37:15-04:30",
        "2026-11-22 16:07:16",
        "Nov 22 06:07:15",
        "Nov 21 21:07:15",
    ] {
        let query = format!("{stamp} gw charon: 13[CFG] no matching peer config found");
        let found = first(&query, file);
        assert_eq!(found.different_attempt, None, "{stamp}");
        assert_eq!(found.causes[0].code, "id-mismatch");
    }
}

#[test]
fn a_network_in_a_line_is_nobodys_address() {
    let line = "cannot respond to IPsec SA request because no connection is known for 10.99.0.0/24";
    let found = first(line, "libreswan-ikev1-phase2-mismatch/gateway.pcap");
    assert_eq!(found.different_attempt, None);
    assert_eq!(found.causes[0].code, "ts-unacceptable");
}

#[test]
fn what_ended_inside_esp_is_possible_and_no_more() {
    let found = first("691", "l2tp-ipsec-ppp-auth-failed/client.pcap");
    let top = &found.causes[0];
    assert_eq!(top.code, "ppp-auth-failed");
    assert_eq!(top.supported, None);
    assert!(top.because.contains("possible") && !top.evidence.is_empty());
    assert_eq!(found.different_attempt, None);
}

#[test]
fn benign_lines_blame_nothing() {
    let found = first(
        "invalid DH group 19.",
        "l2tp-ipsec-nat-established/client.pcap",
    );
    assert!(
        found
            .causes
            .iter()
            .all(|verdict| verdict.supported != Some(true))
    );
    assert_eq!(found.different_attempt, None);
}

#[test]
fn a_line_that_names_others_is_of_another_attempt() {
    let other = "no configuration found for 192.0.2.99.";
    let found = first(other, "ikev2-no-common-group/client.pcap");
    assert!(found.different_attempt.unwrap().contains("192.0.2.99"));
    let cookies = "ISAKMP-SA established 10.1.0.10[4500]-203.0.113.10[4500] spi:0011223344556677:8899aabbccddeeff";
    let found = first(cookies, "ikev2-psk-established/client.pcap");
    assert!(
        found
            .different_attempt
            .unwrap()
            .contains("0011223344556677")
    );
    let own = "no configuration found for 10.1.0.10.";
    let found = first(own, "ikev2-no-common-group/client.pcap");
    assert!(found.different_attempt.is_none());
}

#[test]
fn a_session_that_works_excludes_what_stands_before_it() {
    let found = first(
        "received NO_PROPOSAL_CHOSEN notify error",
        "ikev2-psk-established/client.pcap",
    );
    for verdict in found
        .causes
        .iter()
        .filter(|v| v.code == "proposal-mismatch")
    {
        assert_eq!(verdict.supported, Some(false), "{}", verdict.because);
    }
}

#[test]
fn what_is_not_among_the_usual_causes_is_still_told() {
    let found = first("868", "l2tp-pap-auth-failed/client.pcap");
    let told = found
        .causes
        .iter()
        .find(|v| v.code == "ppp-auth-failed")
        .unwrap();
    assert_eq!(told.supported, Some(true));
    assert!(told.because.contains("what this capture shows instead"));
    // The name was resolved, or there would be no capture of a login.
    assert!(found.different_attempt.is_some());
}
