//! Where captures stand and how they belong together, through the binary: expected clients,
//! `--at`, slices of one capture, interfaces of one file, files that want to be compared.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test code"
)]

mod common;

use common::program::{Scratch, json, run};
use common::wrap;
use serde_json::Value;

const HEALTHY: &str = "pcaps/ikev2-psk-established/client.pcap";
const SILENT: &str = "pcaps/ikev2-udp500-dropped/client.pcap";

/// The text without its line breaks.
fn flat(arguments: &[&str]) -> String {
    let text = String::from_utf8(run(arguments).stdout).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn an_expected_client_that_never_showed_up_is_proof() {
    let absent = ["--expect-client", "192.0.2.77", HEALTHY];
    let report = json(&[&["analyze", "--format", "json"], &absent[..]].concat());
    let expected = &report["expected"][0];
    assert_eq!(expected["client"], "192.0.2.77");
    assert_eq!(expected["arrived"], false);
    assert_eq!(expected["frames_from"], 0);
    assert_eq!(expected["frames_to"], 0);
    assert_eq!(expected["first_frame"], Value::Null);
    let capture = &report["captures"][0];
    assert_eq!(expected["frames_looked_at"], capture["frames"]);
    assert!(expected["other_senders"].as_u64().unwrap() >= 2);
    assert_eq!(expected["since"], capture["first"]);
    assert_eq!(expected["until"], capture["last"]);
    let text = flat(&[&["analyze"], &absent[..]].concat());
    let says = format!(
        "Expected: nothing from or to 192.0.2.77 was seen; looked from {} to {}, at {} frames of {} other senders",
        capture["first"].as_str().unwrap(),
        capture["last"].as_str().unwrap(),
        capture["frames"],
        expected["other_senders"],
    );
    assert!(text.contains(&says), "{text}");
    // Line by line as well.
    let lines = run(&[&["analyze", "--format", "ndjson"], &absent[..]].concat());
    let told = String::from_utf8(lines.stdout).unwrap();
    assert!(told.lines().any(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["type"] == "expected" && line["arrived"] == false
    }));
}

#[test]
fn an_expected_client_that_did_show_up_is_counted() {
    let report = json(&[
        "analyze",
        "--format",
        "json",
        "--expect-client",
        "198.51.100.10",
        "--expect-client",
        "192.0.2.77",
        HEALTHY,
    ]);
    let [came, absent] = report["expected"].as_array().unwrap().as_slice() else {
        panic!("{}", report["expected"]);
    };
    assert_eq!(came["arrived"], true);
    assert!(came["frames_from"].as_u64().unwrap() > 2);
    assert_eq!(came["first_frame"], 3, "the first IP datagram");
    assert_eq!(absent["arrived"], false);
    // An empty capture proves nothing.
    let empty = Scratch::new("empty.pcap", &common::capture(&[], &wrap::ALL[0]));
    let report = json(&[
        "analyze",
        "--format",
        "json",
        "--expect-client",
        "192.0.2.77",
        empty.name(),
    ]);
    let says = report["expected"][0]["says"].as_str().unwrap();
    assert!(says.contains("they prove nothing"), "{says}");
}

#[test]
fn what_was_seen_at_the_gateway_had_come_that_far() {
    let told = json(&["analyze", "--format", "json", "--at", "wan", SILENT]);
    let session = &told["sessions"][0];
    let finding = &session["findings"][0];
    assert_eq!(finding["code"], "no-response");
    assert_eq!(session["vantage"]["stands"]["told"], "wan");
    let candidates = finding["candidates"].to_string();
    assert!(
        !candidates.contains("request-never-arrived"),
        "{candidates}"
    );
    let excluded = finding["excluded"].as_array().unwrap();
    assert!(
        excluded.iter().any(|e| e["code"] == "request-never-arrived"
            && e["because"] == "the request was seen at the wan"),
        "{excluded:?}"
    );
    assert!(flat(&["analyze", "--at", "wan", SILENT]).contains("the request was seen at the wan"));
    let client = json(&["analyze", "--format", "json", "--at", "client", SILENT]);
    let finding = &client["sessions"][0]["findings"][0];
    assert!(
        finding["candidates"]
            .to_string()
            .contains("request-never-arrived")
    );
    let silent = json(&["analyze", "--format", "json", SILENT]);
    assert_eq!(
        silent["sessions"][0]["vantage"]["stands"]["told"],
        Value::Null
    );
    assert_eq!(silent["sessions"][0]["vantage"]["stands"]["at"], "client");
}

/// Datagrams with their times.
type Datagrams = Vec<(i64, Vec<u8>)>;

/// Two files, cut in the middle of a session.
fn halves() -> (Datagrams, Datagrams) {
    let all = common::datagrams("ikev2-psk-established/client.pcap");
    (all[..3].to_vec(), all[3..].to_vec())
}

#[test]
fn slices_of_one_capture_are_one_session() {
    let (first, second) = halves();
    let a = Scratch::new("slice-1.pcap", &common::capture(&first, &wrap::ALL[0]));
    let b = Scratch::new("slice-2.pcap", &common::capture(&second, &wrap::ALL[0]));
    let report = json(&["analyze", "--format", "json", a.name(), b.name()]);
    let sessions = report["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 1, "{sessions:#?}");
    assert_eq!(sessions[0]["outcome"], "established");
    assert_eq!(sessions[0]["vantage"]["started_late"], false);
    let captures: Vec<u64> = sessions[0]["ladder"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|rung| rung["capture"].as_u64())
        .collect();
    assert!(
        captures.contains(&0) && captures.contains(&1),
        "{captures:?}"
    );
    assert_eq!(report["hints"], Value::Null, "slices are no two points");
}

#[test]
fn what_does_not_continue_is_no_slice() {
    let (first, second) = halves();
    let a = Scratch::new("apart-1.pcap", &common::capture(&first, &wrap::ALL[0]));
    let later: Vec<(i64, Vec<u8>)> = second
        .iter()
        .map(|(time, ip)| (time + 3_600_000_000_000, ip.clone()))
        .collect();
    let b = Scratch::new("apart-2.pcap", &common::capture(&later, &wrap::ALL[0]));
    let report = json(&["analyze", "--format", "json", a.name(), b.name()]);
    assert!(report["sessions"].as_array().unwrap().len() > 1);
    // Another link type is another vantage point.
    let sll = wrap::ALL.iter().find(|w| w.name == "sll").unwrap();
    let c = Scratch::new("link-2.pcap", &common::capture(&second, sll));
    let report = json(&["analyze", "--format", "json", a.name(), c.name()]);
    let sessions = report["sessions"].as_array().unwrap();
    assert!(sessions.len() > 1);
    assert!(sessions.iter().all(|s| s["outcome"] != "established"));
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    while !body.len().is_multiple_of(4) {
        body.push(0);
    }
    let length = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
    [&kind.to_le_bytes()[..], &length, &body, &length].concat()
}

/// A pcapng with two interfaces; times in nanoseconds.
fn two_interfaces(a: &[(i64, Vec<u8>)], b: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let mut out = block(
        0x0a0d_0d0a,
        &[&0x1a2b_3c4du32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat(),
    );
    for _ in 0..2 {
        out.extend(block(
            1,
            &[
                1, 0, 0, 0, 0xff, 0xff, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0,
            ],
        ));
    }
    let mut frames: Vec<(i64, u32, &Vec<u8>)> = a
        .iter()
        .map(|(t, ip)| (*t, 0, ip))
        .chain(b.iter().map(|(t, ip)| (*t, 1, ip)))
        .collect();
    frames.sort_by_key(|(time, ..)| *time);
    for (time, interface, ip) in frames {
        let frame = (wrap::ALL[0].wrap)(ip);
        let len = u32::try_from(frame.len()).unwrap().to_le_bytes();
        let time = u64::try_from(time).unwrap();
        let high = u32::try_from(time >> 32).unwrap().to_le_bytes();
        let low = u32::try_from(time & 0xffff_ffff).unwrap().to_le_bytes();
        let head = [&interface.to_le_bytes()[..], &high, &low, &len, &len].concat();
        out.extend(block(6, &[head, frame].concat()));
    }
    out
}

#[test]
fn the_interfaces_of_one_file_are_compared_with_each_other() {
    let client = common::datagrams("ikev2-response-lost/client.pcap");
    let gateway = common::datagrams("ikev2-response-lost/gateway.pcap");
    let both = Scratch::new("both.pcapng", &two_interfaces(&client, &gateway));
    let report = json(&["compare", "--format", "json", both.name()]);
    let names: Vec<&str> = report["vantages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|v| v["name"].as_str())
        .collect();
    assert_eq!(names, ["interface-0", "interface-1"]);
    let session = &report["sessions"][0];
    assert_eq!(session["cause"], "response-lost");
    assert_eq!(session["outcome"], "failed");
    let lost = session["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|m| m["seen"]["interface-0"].is_null())
        .count();
    assert!(lost >= 3, "{lost}");
    let text = flat(&["compare", both.name()]);
    assert!(
        text.contains("interface-0") && text.contains("not seen"),
        "{text}"
    );
    assert_eq!(run(&["compare", both.name()]).status.code(), Some(1));
    // One interface is nothing to compare.
    assert_eq!(run(&["compare", HEALTHY]).status.code(), Some(2));
}

#[test]
fn files_of_the_same_event_are_offered_for_comparison() {
    for scenario in [
        "ikev2-psk-established",
        "ikev1-main-psk-established",
        "oc-established-tls12",
    ] {
        let a = format!("pcaps/{scenario}/client.pcap");
        let b = format!("pcaps/{scenario}/gateway.pcap");
        let report = json(&["analyze", "--format", "json", &a, &b]);
        let hints = report["hints"].to_string();
        assert!(
            hints.contains(&format!("vpnscope compare a={a} b={b}")),
            "{scenario}: {hints}"
        );
        assert!(flat(&["analyze", &a, &b]).contains("Hint:"));
        let lines = run(&["analyze", "--format", "ndjson", &a, &b]);
        let told = String::from_utf8(lines.stdout).unwrap();
        assert!(told.contains("\"type\":\"hint\""), "{told}");
    }
    let report = json(&[
        "analyze",
        "--format",
        "json",
        HEALTHY,
        "pcaps/ikev2-childless/client.pcap",
    ]);
    assert_eq!(report["hints"], Value::Null, "different events");
}

#[test]
fn a_comparison_reports_what_is_asked_for() {
    let pair = |name: &str| {
        [
            format!("client=pcaps/{name}/client.pcap"),
            format!("gateway=pcaps/{name}/gateway.pcap"),
        ]
    };
    let [a, b] = pair("oc-ten-clients");
    let all = json(&["compare", "--format", "json", "--tls", "all", &a, &b]);
    let ids: Vec<u64> = all["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|s| s["id"].as_u64())
        .collect();
    assert!(ids.len() > 3, "{ids:?}");
    let third = ids[2].to_string();
    let one = json(&[
        "compare",
        "--format",
        "json",
        "--tls",
        "all",
        "--session",
        &third,
        &a,
        &b,
    ]);
    let chosen = one["sessions"].as_array().unwrap();
    assert_eq!(chosen.len(), 1);
    assert_eq!(chosen[0]["id"], ids[2]);
    assert_eq!(chosen[0]["messages"], all["sessions"][2]["messages"]);
    // TLS that works and is no VPN's is counted, not shown.
    let web = [
        "a=pcaps/tls12-dhe/single.pcap",
        "b=pcaps/tls12-dhe/single.pcap",
    ];
    let quiet = json(&["compare", "--format", "json", web[0], web[1]]);
    assert_eq!(quiet["sessions"], Value::Array(Vec::new()));
    assert_eq!(quiet["summary"]["tls_not_reported"], 1);
    let shown = json(&[
        "compare", "--format", "json", "--tls", "all", web[0], web[1],
    ]);
    assert_eq!(shown["sessions"].as_array().unwrap().len(), 1);
    // The address of either point names the session, and the exit status is that of the report.
    let [a, b] = pair("ikev2-nat-mapping-changed");
    for client in ["10.1.0.10", "203.0.113.1"] {
        let found = json(&["compare", "--format", "json", "--client", client, &a, &b]);
        assert_eq!(found["sessions"].as_array().unwrap().len(), 1, "{client}");
    }
    let other = run(&["compare", "--client", "192.0.2.9", &a, &b]);
    assert_eq!(other.status.code(), Some(0));
    assert_eq!(run(&["compare", &a, &b]).status.code(), Some(1));
}

/// The search itself, bounded and remembered, is tested where it is.
#[test]
fn a_private_address_is_only_searched_where_asked_for() {
    let natted = "pcaps/ikev2-nat-mapping-changed/gateway.pcap";
    let report = json(&["analyze", "--format", "json", natted]);
    let nat = &report["sessions"][0]["negotiated"]["nat"];
    assert_eq!(nat["initiator_behind"], true);
    assert_eq!(nat["private_address"], Value::Null);
}
