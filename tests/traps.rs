//! Each way in which a capture misleads has a capture of its own: it is noticed, told in the
//! notes of the report, and weighs on the verdict.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test code"
)]

mod common;

use std::collections::BTreeSet;

use common::program::{json, run};
use serde_json::Value;
use vpnscope::diagnose::traps::What;

fn report(file: &str) -> Value {
    let file = format!("pcaps/{file}");
    json(&["analyze", "--tls", "all", "--format", "json", &file])
}

fn sessions(file: &str) -> Vec<Value> {
    report(file)["sessions"].as_array().unwrap().clone()
}

fn text(file: &str) -> String {
    let file = format!("pcaps/{file}");
    let text = String::from_utf8(run(&["analyze", "--tls", "all", &file]).stdout).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn traps(session: &Value) -> BTreeSet<&str> {
    let list = session["vantage"]["traps"].as_array().unwrap();
    list.iter().filter_map(|t| t["trap"].as_str()).collect()
}

/// The only session; its trap is noted, in JSON and in text, with what it does.
fn one(file: &str, trap: &str) -> Value {
    let mut all = sessions(file);
    assert_eq!(all.len(), 1, "{file}");
    noted(&all[0], file, trap);
    all.remove(0)
}

fn noted(session: &Value, file: &str, trap: &str) {
    let list = session["vantage"]["traps"].as_array().unwrap();
    let found = list.iter().find(|t| t["trap"] == trap);
    let found = found.unwrap_or_else(|| panic!("{file}: no {trap} in {list:?}"));
    let note = found["note"].as_str().unwrap();
    assert!(
        session["vantage"]["notes"]
            .as_array()
            .unwrap()
            .contains(&found["note"]),
        "{file}: the note of {trap}"
    );
    let told = text(file);
    assert!(told.contains(&format!("Note: {note}")), "{file}: {told}");
    assert!(!found["effect"].as_str().unwrap().is_empty());
}

fn says(session: &Value) -> (&str, Option<&str>, &str) {
    (
        session["outcome"].as_str().unwrap(),
        session["cause"].as_str(),
        session["confidence"].as_str().unwrap(),
    )
}

#[test]
fn one_direction_proves_no_silence() {
    for session in sessions("crafted-trap-one-direction/single.pcap") {
        assert_eq!(session["outcome"], "incomplete");
        assert_eq!(session["confidence"], "possible");
    }
    let all = sessions("crafted-trap-one-direction/single.pcap");
    noted(
        &all[0],
        "crafted-trap-one-direction/single.pcap",
        "one-direction",
    );
    assert!(sessions("ikev2-psk-established/client.pcap")[0]["vantage"]["traps"].is_array());
    let whole = sessions("ikev2-psk-established/client.pcap");
    assert!(!traps(&whole[0]).contains("one-direction"));
}

#[test]
fn what_starts_late_is_incomplete() {
    let file = "crafted-trap-started-late/single.pcap";
    for session in sessions(file) {
        noted(&session, file, "started-late");
        assert_eq!(session["outcome"], "incomplete");
        assert_eq!(session["confidence"], "possible");
    }
    let whole = sessions("ikev2-gateway-restarted/client.pcap");
    assert_eq!(says(&whole[0]).1, Some("dpd-timeout"));
    assert_ne!(whole[0]["outcome"], "incomplete");
}

#[test]
fn what_ends_early_is_incomplete() {
    let session = one("crafted-trap-ends-early/single.pcap", "ends-early");
    assert_eq!(session["outcome"], "incomplete");
    let whole = sessions("ikev2-udp4500-blocked/client.pcap");
    assert_eq!(whole[0]["outcome"], "failed");
    assert!(!traps(&whole[0]).contains("ends-early"));
}

#[test]
fn who_does_not_go_on_is_noticed() {
    let session = one("ikev2-client-without-secret/single.pcap", "not-continued");
    assert_eq!(says(&session), ("incomplete", None, "possible"));
    for file in [
        "ikev2-psk-mismatch/client.pcap",
        "crafted-trap-ends-early/single.pcap",
        "ikev2-no-common-group/client.pcap",
    ] {
        let whole = sessions(file);
        assert!(!traps(&whole[0]).contains("not-continued"), "{file}");
    }
}

#[test]
fn what_snaplen_cut_is_not_certain() {
    let session = one("crafted-trap-snaplen/single.pcap", "snaplen");
    assert_eq!(
        says(&session),
        ("failed", Some("proposal-mismatch"), "likely")
    );
    let whole = sessions("libreswan-ikev2-no-proposal-chosen/client.pcap");
    assert_eq!(
        says(&whole[0]),
        ("failed", Some("proposal-mismatch"), "certain")
    );
    let malformed = session["findings"]
        .as_array()
        .unwrap()
        .iter()
        .any(|f| f["code"] == "malformed-message");
    assert!(!malformed);
}

#[test]
fn sizes_of_an_offloading_host_prove_little() {
    let session = one("crafted-trap-offload/single.pcap", "offload");
    assert_ne!(session["confidence"], "certain");
    let whole = sessions("ikev2-esp-pmtu-blackhole/client.pcap");
    assert!(!traps(&whole[0]).contains("offload"));
}

#[test]
fn what_the_host_decrypted_is_no_second_conversation_in_clear() {
    let file = "crafted-trap-decrypted-copy/single.pcap";
    let all = sessions(file);
    let copy = all.iter().find(|s| s["kind"] == "l2tp").unwrap();
    noted(copy, file, "decrypted-copy");
    assert_eq!(copy["outcome"], "incomplete");
    assert_eq!(copy["confidence"], "possible");
    let leak = all.iter().any(|s| {
        s["findings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|f| f["code"] == "l2tp-without-ipsec")
    });
    assert!(!leak);
    let tunnel = all.iter().find(|s| s["kind"] == "ikev1").unwrap();
    assert_eq!(tunnel["outcome"], "established");
}

#[test]
fn drops_of_the_capturing_host_are_no_loss() {
    let file = "crafted-trap-capture-drops/single.pcapng";
    let session = one(file, "capture-drops");
    assert_eq!(says(&session), ("failed", Some("no-response"), "possible"));
    assert_eq!(report(file)["captures"][0]["dropped"], 37);
    let whole = sessions("ikev2-udp500-dropped/client.pcap");
    assert_eq!(says(&whole[0]), ("failed", Some("no-response"), "likely"));
}

#[test]
fn holes_in_unrelated_sessions_are_the_captures() {
    let file = "crafted-trap-capture-holes/single.pcap";
    let all = sessions(file);
    let silent = all.iter().find(|s| s["cause"] == "no-response").unwrap();
    assert_eq!(silent["confidence"], "possible");
    noted(silent, file, "capture-drops");
    let notes = silent["vantage"]["notes"].to_string();
    assert!(notes.contains("the capture itself loses frames"), "{notes}");
}

#[test]
fn copies_of_a_span_port_are_no_retransmissions() {
    let session = one("crafted-trap-span-copies/single.pcap", "span-copies");
    let whole = sessions("ikev2-udp500-dropped/client.pcap");
    assert_eq!(says(&session), says(&whole[0]));
    assert_eq!(
        session["counters"]["retransmissions"],
        whole[0]["counters"]["retransmissions"]
    );
    assert_eq!(session["vantage"]["copies"], 4);
}

#[test]
fn an_answer_before_its_question_is_no_late_start() {
    let session = one("crafted-trap-time-order/single.pcap", "time-order");
    assert_eq!(
        says(&session),
        ("failed", Some("proposal-mismatch"), "likely")
    );
    let whole = sessions("ikev1-phase1-proposal-mismatch/client.pcap");
    assert_eq!(
        says(&whole[0]),
        ("failed", Some("proposal-mismatch"), "certain")
    );
}

#[test]
fn encapsulation_that_is_forced_proves_no_nat() {
    let session = one("ikev2-psk-established/client.pcap", "forced-encapsulation");
    assert_eq!(session["negotiated"]["nat"]["initiator_behind"], false);
    assert_eq!(session["negotiated"]["nat"]["forced"], true);
}

#[test]
fn what_was_granted_later_is_no_failure() {
    let file = "crafted-ikev1-mode-config-interleaved/single.pcap";
    let session = one(file, "superseded");
    assert_ne!(session["outcome"], "failed");
    let benign = sessions("ikev1-groups-19-20-2-established/client.pcap");
    assert_eq!(benign[0]["outcome"], "established");
}

#[test]
fn a_forged_refusal_does_not_undo_what_works() {
    let forged = sessions("crafted-trap-forged-error/single.pcap");
    assert_eq!(forged.len(), 1);
    assert_eq!(forged[0]["outcome"], "established");
    assert_eq!(forged[0]["cause"], Value::Null);
    let file = "crafted-trap-doubtful-error/single.pcap";
    let session = one(file, "unauthenticated-error");
    assert_eq!(
        says(&session),
        ("failed", Some("proposal-mismatch"), "likely")
    );
    assert!(text(file).contains("TTL 200"));
    let ignored = one("crafted-error-ignored/single.pcap", "unauthenticated-error");
    assert_eq!(
        says(&ignored),
        ("failed", Some("proposal-mismatch"), "likely")
    );
}

#[test]
fn lengths_are_never_certain() {
    let session = one("ikev2-cert-untrusted/client.pcap", "length-collision");
    assert_eq!(says(&session), ("failed", Some("auth-failed"), "likely"));
    // The same lengths, and the session is used afterwards.
    let used = sessions("ikev2-childless/client.pcap");
    assert_eq!(used[0]["outcome"], "established");
    assert!(!traps(&used[0]).contains("length-collision"));
}

#[test]
fn several_hosts_behind_one_address_make_unsure() {
    let session = one("crafted-different-backends/single.pcap", "several-hosts");
    assert_eq!(session["cause"], "different-backends");
    assert_ne!(session["confidence"], "certain");
}

#[test]
fn an_own_replay_is_no_clients_failure() {
    let session = one("crafted-trap-own-replay/single.pcapng", "own-replay");
    assert_eq!(session["confidence"], "possible");
    let client = sessions("ikev2-psk-mismatch/client.pcap");
    assert_eq!(client[0]["confidence"], "certain");
    assert!(!traps(&client[0]).contains("own-replay"));
}

#[test]
fn each_attempt_has_its_verdict() {
    let file = "libreswan-client-psk-mismatch/client.pcap";
    let all = sessions(file);
    assert!(all.len() > 1);
    for session in &all {
        assert!(traps(session).contains("several-attempts"));
        assert_eq!(says(session).1, Some("auth-failed"));
    }
}

#[test]
fn other_protocols_on_our_ports_are_counted_and_no_sessions() {
    let file = "crafted-trap-port-collision/single.pcap";
    let report = report(file);
    assert_eq!(report["sessions"], Value::Array(Vec::new()));
    assert_eq!(report["captures"][0]["unclassified_frames"], 24);
    assert!(text(file).contains("24 datagram(s) on UDP 500, 1701 or 4500 are no VPN"));
    let whole = self::report("ikev2-psk-established/client.pcap");
    assert_eq!(whole["captures"][0]["unclassified_frames"], 0);
}

#[test]
fn an_answer_at_the_clients_own_card_may_still_be_dropped_there() {
    let session = one("crafted-trap-host-firewall/single.pcap", "host-firewall");
    assert_eq!(says(&session), ("failed", Some("response-lost"), "likely"));
    let needs = session["findings"][0]["needs"].as_str().unwrap();
    assert!(needs.contains("firewall"), "{needs}");
    let gateway = sessions("ikev2-response-lost/gateway.pcap");
    assert_eq!(
        says(&gateway[0]),
        ("failed", Some("response-lost"), "certain")
    );
}

#[test]
fn a_hidden_certificate_is_not_blamed() {
    let session = one("oc-cert-expired/client.pcap", "hidden-certificate");
    // That it was refused is plain, why is not: the reasons stay candidates.
    assert_eq!(session["cause"], "cert-rejected");
    let candidates = session["findings"][0]["candidates"].to_string();
    assert!(candidates.contains("cert-expired") && candidates.contains("cert-untrusted"));
    // No look-up in the capture, and nothing is said of names.
    let silent = sessions("oc-tcp-refused/client.pcap");
    assert!(silent.iter().all(|s| s["kind"] != "dns"));
}

#[test]
fn a_certificate_that_expires_soon_is_told_and_changes_nothing() {
    let session = &sessions("crafted-trap-expires-soon/single.pcap")[0];
    assert_eq!(session["outcome"], "established");
    let finding = session["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["code"] == "cert-expires-soon")
        .unwrap();
    assert_eq!(finding["severity"], "info");
    assert!(
        finding["summary"]
            .as_str()
            .unwrap()
            .contains("day(s) after this capture"),
        "{finding}"
    );
    let today = &sessions("oc-established-tls12/client.pcap")[0];
    assert!(!today["findings"].to_string().contains("cert-expires-soon"));
}

#[test]
fn every_trap_is_in_the_documentation() {
    let text = std::fs::read_to_string(common::repository("docs/confidence.md")).unwrap();
    for what in What::ALL {
        assert!(
            text.contains(&format!("`{}`", what.word())),
            "{} is missing from docs/confidence.md",
            what.word()
        );
    }
}
