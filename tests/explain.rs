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
    assert!(told.because.contains("not one of the usual causes"));
}
