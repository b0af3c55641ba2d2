//! IKEv1 sessions, told from real and crafted captures that are cut, repeated, swapped and thinned
//! by code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod common;

use common::{analyze_octets, capture, datagrams, wrap};
use vpnscope::desk::Filed;
use vpnscope::diagnose::{Confidence, Outcome};
use vpnscope::track::session::Side;

type Datagrams = Vec<(i64, Vec<u8>)>;

const MS: i64 = 1_000_000;

fn sessions(list: &Datagrams) -> Vec<Filed> {
    analyze_octets(capture(list, &wrap::ALL[0]))
}

fn judge(list: &Datagrams) -> Filed {
    let mut list = list.clone();
    list.sort_by_key(|(time, _)| *time);
    let mut sessions = sessions(&list);
    assert_eq!(sessions.len(), 1);
    sessions.remove(0)
}

fn codes(filed: &Filed) -> Vec<&'static str> {
    filed
        .verdict
        .findings
        .iter()
        .map(|f| f.cause.code)
        .collect()
}

/// Captures of sessions that came up.
const ESTABLISHED: &[&str] = &[
    "ikev1-main-psk-established/client.pcap",
    "ikev1-certificates-established/client.pcap",
    "ikev1-esp-protocol-50-established/client.pcap",
    "ikev1-groups-19-20-2-established/gateway.pcap",
    "ikev1-hybrid-xauth-established/client.pcap",
    "ikev1-xauth-modeconfig-established/gateway.pcap",
    "ikev1-vpnc-xauth-established/client.pcap",
    "libreswan-ikev1-established/client.pcap",
    "crafted-ikev1-mode-config-interleaved/single.pcap",
    "crafted-ikev1-router-pushes-config/single.pcap",
    "crafted-ikev1-mode-config-before-xauth/single.pcap",
    "crafted-ikev1-base-mode/single.pcap",
];

#[test]
fn the_first_two_messages_may_come_in_the_wrong_order() {
    for name in ESTABLISHED {
        let mut list = datagrams(name);
        let (first, second) = (list[0].1.clone(), list[1].1.clone());
        (list[0].1, list[1].1) = (second, first);
        let right = judge(&datagrams(name));
        let filed = judge(&list);
        assert_eq!(filed.session.client, right.session.client, "{name}");
        assert_eq!(filed.verdict.outcome, Outcome::Established, "{name}");
        assert_eq!(
            filed.session.ike1().unwrap().initiator,
            Side::Client,
            "{name}"
        );
    }
}

/// What a capture of a session that came up may never be told to be.
fn faults(name: &str, how: &str, list: &Datagrams) -> Vec<String> {
    sessions(list)
        .iter()
        .filter(|filed| {
            filed.verdict.outcome == Outcome::Failed
                || filed.verdict.findings.iter().any(|f| {
                    f.outcome != Outcome::Established
                        && f.confidence == Confidence::Certain
                        && f.severity != vpnscope::diagnose::Severity::Info
                })
        })
        .map(|filed| {
            format!(
                "{name} {how}: {:?} {:?} {:?}",
                filed.verdict.outcome,
                filed.verdict.confidence,
                codes(filed)
            )
        })
        .collect()
}

#[test]
fn no_prefix_of_a_session_that_comes_up_is_a_failure() {
    let mut all = Vec::new();
    for name in ESTABLISHED {
        let list = datagrams(name);
        for n in 1..=list.len() {
            all.extend(faults(name, &format!("first {n}"), &list[..n].to_vec()));
        }
    }
    // After a refused login nothing follows, and neither where the capture ends with the login.
    all.retain(|fault| !fault.ends_with(r#"Failed Possible ["xauth-failed"]"#));
    assert!(all.is_empty(), "{all:#?}");
}

#[test]
fn no_suffix_of_a_session_that_comes_up_is_a_failure() {
    let mut all = Vec::new();
    for name in ESTABLISHED {
        let list = datagrams(name);
        for n in 1..list.len() {
            all.extend(faults(
                name,
                &format!("without first {n}"),
                &list[n..].to_vec(),
            ));
        }
    }
    assert!(all.is_empty(), "{all:#?}");
}

#[test]
fn one_frame_less_is_no_failure() {
    let mut all = Vec::new();
    for name in ESTABLISHED {
        let list = datagrams(name);
        for n in 0..list.len() {
            let mut list = list.clone();
            list.remove(n);
            all.extend(faults(name, &format!("without {n}"), &list));
        }
    }
    assert!(all.is_empty(), "{all:#?}");
}

#[test]
fn one_direction_is_no_failure() {
    let mut all = Vec::new();
    for name in ESTABLISHED {
        let list = datagrams(name);
        let source = list[0].1[12..16].to_vec();
        for client in [true, false] {
            let one: Datagrams = list
                .iter()
                .filter(|(_, ip)| (ip[12..16] == source[..]) == client)
                .cloned()
                .collect();
            all.extend(faults(name, &format!("only client: {client}"), &one));
        }
    }
    assert!(all.is_empty(), "{all:#?}");
}

#[test]
fn a_repetition_has_the_same_octets_and_a_new_message_id_is_a_new_exchange() {
    let mut list = datagrams("ikev1-main-psk-established/client.pcap");
    let fifth = list[4].clone();
    // As a span port doubles it, and as the client repeats it.
    list.push((fifth.0 + MS / 2, fifth.1.clone()));
    list.push((fifth.0 + 2000 * MS, fifth.1));
    let filed = judge(&list);
    let step = filed
        .session
        .steps
        .iter()
        .find(|s| s.message == "Main Mode 5")
        .unwrap();
    assert_eq!((step.copies, step.repeats.count), (1, 1));
    let facts = filed.session.ike1().unwrap();
    assert_eq!(facts.phase1.len(), 6);
    let quick: Vec<u32> = facts.of_kind(32).map(|e| e.id).collect();
    assert_eq!(quick.len(), 1);
    // Another message ID: the same octets but for these four.
    let mut other = list[6].1.clone();
    let at = 20 + 8 + if other[22..24] == [0x11, 0x94] { 4 } else { 0 } + 20;
    assert_eq!(other[at..at + 4], quick[0].to_be_bytes());
    other[at] ^= 0x55;
    list.push((fifth.0 + 3000 * MS, other));
    let filed = judge(&list);
    assert_eq!(filed.session.ike1().unwrap().of_kind(32).count(), 2);
    assert_eq!(filed.verdict.outcome, Outcome::Established);
}

#[test]
fn quick_mode_is_begun_by_the_one_that_sends_two_messages() {
    let mut list = datagrams("ikev1-main-psk-established/client.pcap");
    let quick = |ip: &[u8]| ip[9] == 17 && ip.windows(2).any(|w| w == [0x10, 32]) && ip.len() > 100;
    let first = list.iter().position(|(_, ip)| quick(ip)).unwrap();
    let (a, b) = (list[first].1.clone(), list[first + 1].1.clone());
    (list[first].1, list[first + 1].1) = (b, a);
    let filed = judge(&list);
    let facts = filed.session.ike1().unwrap();
    let exchange = facts.of_kind(32).next().unwrap();
    assert_eq!(exchange.by, Side::Client);
    let ordinals: Vec<u8> = exchange.messages.iter().map(|m| m.ordinal).collect();
    assert_eq!(ordinals, [1, 2, 3]);
    let names: Vec<String> = filed
        .session
        .steps
        .iter()
        .filter(|s| s.message.starts_with("Quick"))
        .map(|s| s.message.to_string())
        .collect();
    // What overtook its question by less than jitter stands behind it again.
    assert_eq!(names, ["Quick Mode 1", "Quick Mode 2", "Quick Mode 3"]);
}

#[test]
fn a_second_phase_1_renews_the_first_one() {
    let list = datagrams("ikev1-rekey/client.pcap");
    let all = sessions(&list);
    assert_eq!(all.len(), 2);
    let (old, new) = (
        all[0].session.ike1().unwrap(),
        all[1].session.ike1().unwrap(),
    );
    assert_eq!(
        new.renews,
        Some((old.initiator_cookie, old.responder_cookie))
    );
    assert!(new.inherited.is_some());
    assert!(
        all.iter()
            .all(|f| f.verdict.outcome == Outcome::Established)
    );
    // Without data after it nothing shows that the tunnel lived on.
    let done = all[1].session.last.time;
    let cut: Datagrams = list
        .into_iter()
        .filter(|(time, ip)| *time <= done.0 && ip[9] == 17 && ip.len() > 60)
        .collect();
    assert!(
        sessions(&cut)
            .iter()
            .all(|f| f.verdict.outcome != Outcome::Failed)
    );
}

#[test]
fn retransmissions_of_an_abandoned_quick_mode_are_harmless_and_say_why() {
    let filed = judge(&datagrams(
        "crafted-ikev1-mode-config-interleaved/single.pcap",
    ));
    assert_eq!(filed.verdict.outcome, Outcome::Established);
    assert_eq!(filed.verdict.cause, None);
    let finding = filed
        .verdict
        .findings
        .iter()
        .find(|f| f.cause.code == "quick-mode-superseded")
        .unwrap();
    assert!(
        finding.summary.contains("after a mode config exchange")
            && finding.summary.contains("4 retransmission(s)")
            && finding.summary.contains("harmless"),
        "{}",
        finding.summary
    );
    assert!(finding.evidence.len() >= 8, "{:?}", finding.evidence);
    // The exchange that made the tunnel taken away, the repetitions are a fault.
    let mut list = datagrams("crafted-ikev1-mode-config-interleaved/single.pcap");
    let id = filed
        .session
        .ike1()
        .unwrap()
        .of_kind(32)
        .find(|e| e.messages.len() == 3)
        .unwrap()
        .id
        .to_be_bytes();
    list.retain(|(_, ip)| ip[9] != 50 && !ip.windows(4).any(|w| w == id));
    let filed = judge(&list);
    assert_ne!(filed.verdict.outcome, Outcome::Established);
    assert!(!codes(&filed).contains(&"quick-mode-superseded"));
}

#[test]
fn one_encrypted_answer_is_an_identity_and_repetitions_are_a_key() {
    let once = datagrams("crafted-ikev1-id-mismatch/single.pcap");
    assert_eq!(judge(&once).verdict.cause, Some("id-mismatch"));
    // The same, but the client sends its message again: it could not read the refusal.
    let mut again = once.clone();
    let (fifth, sixth) = (once[4].clone(), once[5].clone());
    for seconds in [4, 11, 24] {
        again.push((fifth.0 + seconds * 1000 * MS, fifth.1.clone()));
        let mut answer = sixth.1.clone();
        // Another message ID.
        let at = answer.len() - 76 + 20;
        answer[at] ^= u8::try_from(seconds).unwrap();
        again.push((sixth.0 + seconds * 1000 * MS, answer));
    }
    let filed = judge(&again);
    assert_eq!(
        filed.verdict.cause,
        Some("psk-mismatch"),
        "{:?}",
        codes(&filed)
    );
    // Cut right after the answer, it may be either.
    let cut = once[..6].to_vec();
    let filed = judge(&cut);
    assert_eq!(filed.verdict.cause, Some("auth-failed"));
    let candidates = &filed.verdict.findings[0].candidates;
    assert!(candidates.contains(&"psk-mismatch") && candidates.contains(&"id-mismatch"));
}

#[test]
fn the_size_of_quick_mode_1_says_whether_it_holds_a_key_exchange() {
    for (name, words) in [
        (
            "ikev1-pfs-mismatch/client.pcap",
            "no room for a key exchange",
        ),
        (
            "libreswan-ikev1-phase2-mismatch/client.pcap",
            "no room for a key exchange",
        ),
    ] {
        let filed = judge(&datagrams(name));
        assert_eq!(filed.verdict.cause, Some("child-refused"), "{name}");
        let finding = &filed.verdict.findings[0];
        assert!(finding.candidates.contains(&"pfs-mismatch"), "{name}");
        assert!(finding.summary.contains(words), "{}", finding.summary);
    }
}
