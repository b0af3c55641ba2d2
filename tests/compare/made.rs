//! Second vantage points made by code from one capture: clocks shifted, hops added, datagrams
//! dropped, delayed, rewritten, or added where their alleged sender never sent them.

use std::net::IpAddr;

use vpnscope::decap::decap;
use vpnscope::diagnose::{Confidence, Outcome};
use vpnscope::render;
use vpnscope::report::compare::{Wanted, report};

use super::common::damage::{self, Owned};
use super::{capture, causes, together};
use crate::common;

const MS: i64 = 1_000_000;

fn load(name: &str, point: &str) -> Vec<Owned> {
    let folder = common::repository("pcaps").join(name);
    damage::load(&capture(&folder, point).unwrap()).0
}

/// Offset of the IP header in a frame on Ethernet without tags.
const IP: usize = 14;

fn source(frame: &Owned) -> IpAddr {
    decap(&frame.frame()).envelope.source
}

/// Who sent the first IPv4 datagram.
fn opener(frames: &[Owned]) -> IpAddr {
    source(frames.iter().find(|f| f.octets[12..14] == [8, 0]).unwrap())
}

/// The same frames one hop nearer to the gateway: its clock is `ahead`, and the client's
/// datagrams take `there` to it, the gateway's `back` to the first point.
fn farther(near: &[Owned], client: IpAddr, ahead: i64, there: i64, back: i64) -> Vec<Owned> {
    let mut far = near.to_vec();
    for frame in &mut far {
        if frame.octets[12..14] != [8, 0] {
            continue;
        }
        let from_client = source(frame) == client;
        frame.time.0 += ahead + if from_client { there } else { -back };
        let ttl = &mut frame.octets[IP + 8];
        *ttl = if from_client { *ttl - 1 } else { *ttl + 1 };
    }
    far
}

fn text(comparison: &vpnscope::compare::Comparison) -> String {
    let mut out = Vec::new();
    let style = render::text::Style { colour: false };
    render::compare::report(&mut out, &report(comparison, |_, _, _| Wanted::Yes), style).unwrap();
    String::from_utf8(out).unwrap()
}

/// The text without its line breaks.
fn flat(comparison: &vpnscope::compare::Comparison) -> String {
    let text = text(comparison);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_offset_of_a_clock_lies_within_its_uncertainty() {
    let near = load("ikev2-psk-established", "client");
    let client = opener(&near);
    for (ahead, there, back) in [
        (3_250 * MS, 2 * MS, 2 * MS),
        (-90_000 * MS, MS, 9 * MS),
        (0, 30 * MS, MS / 10),
    ] {
        let far = farther(&near, client, ahead, there, back);
        let both = together(&[("client", &near), ("wan", &far)]);
        let clock = both.matches.clocks[1];
        let off = (clock.offset.0 - ahead).abs();
        let uncertainty = clock.uncertainty.unwrap().0;
        assert!(off <= uncertainty, "{off} within {uncertainty}");
        assert!(uncertainty <= there + back, "{uncertainty}");
        assert!(clock.pairs > 4);
        let vantages = serde_json::to_value(report(&both, |_, _, _| Wanted::Yes)).unwrap();
        assert_eq!(vantages["vantages"][1]["clock_offset_ns"], clock.offset.0);
        assert_eq!(vantages["vantages"][1]["uncertainty_ns"], uncertainty);
        assert!(text(&both).contains(" ± "), "{}", text(&both));
        assert_eq!(both.sessions[0].1.verdict.outcome, Outcome::Established);
        let messages = vantages["sessions"][0]["messages"].as_array().unwrap();
        let sent = messages.iter().find(|m| m["from"] == "client").unwrap();
        let delay = sent["delay_ns"]["wan"].as_i64().unwrap();
        assert!((delay - there).abs() <= uncertainty, "{delay}");
    }
}

#[test]
fn a_delay_that_grows_one_way_is_told_and_a_constant_one_is_not() {
    let near = load("ikev2-psk-established", "client");
    let client = opener(&near);
    let mut far = farther(&near, client, 700 * MS, 4 * MS, 4 * MS);
    let told = |far: &[Owned]| -> Vec<String> {
        let both = together(&[("client", &near), ("wan", far)]);
        both.sessions[0].1.notes.clone()
    };
    assert_eq!(told(&far), Vec::<String>::new());
    let half = far.len() / 2;
    let mut slow = 0;
    for frame in far.iter_mut().skip(half) {
        if source(frame) == client {
            frame.time.0 += 310 * MS;
            slow += 1;
        }
    }
    assert!(slow > 1);
    let notes = told(&far);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(
        notes[0].contains("from client to wan the client's datagrams take up to 310"),
        "{notes:?}"
    );
    assert!(notes[0].contains(&format!("{slow} of ")), "{notes:?}");
    let both = together(&[("client", &near), ("wan", &far)]);
    assert!(flat(&both).contains("take up to 310"));
}

#[test]
fn octets_changed_on_the_way_stand_before_what_they_led_to() {
    let client = load("ikev2-psk-mismatch", "client");
    let mut gateway = load("ikev2-psk-mismatch", "gateway");
    let alone = together(&[("client", &client), ("gateway", &gateway)]);
    assert_eq!(causes(&alone), ["auth-failed"]);
    let mut changed = 0;
    for frame in &mut gateway {
        // The last octet of every datagram to port 4500: part of the check value.
        let natt = frame.octets.get(36..38) == Some(&[0x11, 0x94]);
        if natt && frame.octets.len() > 120 {
            *frame.octets.last_mut().unwrap() ^= 1;
            changed += 1;
        }
    }
    assert!(changed > 0, "the capture has such a message");
    let both = together(&[("client", &client), ("gateway", &gateway)]);
    let verdict = &both.sessions[0].1.verdict;
    assert_eq!(verdict.cause, Some("payload-altered"));
    assert_eq!(verdict.outcome, Outcome::Failed);
    assert!(verdict.findings[0].evidence.len() >= 2);
    let told = serde_json::to_value(report(&both, |_, _, _| Wanted::Yes)).unwrap();
    let altered = told["sessions"][0]["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|m| {
            m["changed"]
                .as_array()
                .unwrap()
                .contains(&"payload altered".into())
        })
        .count();
    assert_eq!(altered, changed);
}

#[test]
fn altered_octets_of_a_session_that_works_are_no_failure() {
    let near = load("ikev2-psk-established", "client");
    let mut far = farther(&near, opener(&near), 0, MS, MS);
    let large = far.iter_mut().find(|f| f.octets.len() > 200).unwrap();
    *large.octets.last_mut().unwrap() ^= 1;
    let both = together(&[("client", &near), ("wan", &far)]);
    let verdict = &both.sessions[0].1.verdict;
    assert_eq!(verdict.outcome, Outcome::Established);
    assert_eq!(verdict.cause, None);
    assert!(
        verdict
            .findings
            .iter()
            .any(|f| f.cause.code == "payload-altered")
    );
}

#[test]
fn a_rewritten_mss_is_told() {
    let name = "oc-tls-mss-clamp-right";
    let both = together(&[
        ("client", &load(name, "client")),
        ("gateway", &load(name, "gateway")),
    ]);
    let notes = &both.sessions[0].1.notes;
    assert!(
        notes
            .iter()
            .any(|n| n.contains("client's SYN offers an MSS of 1460 at client and of 1260")),
        "{notes:?}"
    );
    let told = serde_json::to_value(report(&both, |_, _, _| Wanted::Yes)).unwrap();
    let syn = &told["sessions"][0]["messages"][0];
    let changed: Vec<&str> = syn["changed"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|c| c.as_str())
        .collect();
    assert!(changed.contains(&"MSS option 1460 → 1260"), "{changed:?}");
    assert!(changed.contains(&"TTL 64 → 63"), "{changed:?}");
    assert!(
        changed.iter().any(|c| c.starts_with("source address ")),
        "{changed:?}"
    );
    assert!(flat(&both).contains("a box between them rewrites it"));
}

/// SYN to ClientHello of a connection, then a RST with the gateway's address.
fn reset_behind_hello(ttl: u8) -> (Vec<Owned>, Owned) {
    let all = load("oc-tcp-silent-after-connect", "client");
    let syn = all
        .iter()
        .position(|f| f.octets[IP + 9] == 6 && f.octets[IP + 33] & 2 != 0)
        .unwrap();
    let gateway = &all[syn + 1];
    assert_eq!(gateway.octets[IP + 33] & 0x12, 0x12, "the SYN/ACK");
    let hello = all
        .iter()
        .position(|f| f.octets[IP + 9] == 6 && f.octets.len() > IP + 100)
        .unwrap();
    let mut reset = gateway.clone();
    reset.time.0 = all[hello].time.0 + 8 * MS;
    let sequence = u32::from_be_bytes(reset.octets[IP + 24..IP + 28].try_into().unwrap()) + 1;
    reset.octets[IP + 24..IP + 28].copy_from_slice(&sequence.to_be_bytes());
    reset.octets[IP + 33] = 0x14;
    reset.octets[IP + 8] = ttl;
    (all[syn..=hello].to_vec(), reset)
}

fn renumbered(mut frames: Vec<Owned>) -> Vec<Owned> {
    for (no, frame) in (1..).zip(&mut frames) {
        frame.no = no;
    }
    frames
}

#[test]
fn a_reset_that_its_sender_never_sent_is_a_box_on_the_way() {
    let (start, reset) = reset_behind_hello(50);
    let client = opener(&start);
    let mut near = start.clone();
    near.push(reset);
    let near = renumbered(near);
    // The gateway hears the hello and acknowledges it: no reset of its own.
    let mut far = farther(&renumbered(start), client, 0, MS, MS);
    let mut ack = far[1].clone();
    ack.time.0 = far.last().unwrap().time.0 + 40 * MS;
    ack.octets[IP + 33] = 0x11;
    far.push(ack);
    let far = renumbered(far);
    let both = together(&[("client", &near), ("gateway", &far)]);
    let verdict = &both.sessions[0].1.verdict;
    assert_eq!(verdict.cause, Some("tcp-reset"), "{verdict:#?}");
    let finding = &verdict.findings[0];
    let own = finding.evidence.iter().any(|e| e.at.capture() == 0);
    assert!(own && finding.cause.code == "tcp-reset");
    assert!(
        verdict
            .findings
            .iter()
            .any(|f| f.summary.contains("never seen at gateway")
                || f.evidence
                    .iter()
                    .any(|e| e.what.contains("its sender did not send"))),
        "{verdict:#?}"
    );
    // Near miss: the gateway's capture has the reset too.
    let far = farther(&near, client, 0, MS, MS);
    let both = together(&[("client", &near), ("gateway", &far)]);
    let invented = both.sessions[0].1.verdict.findings.iter().any(|f| {
        f.evidence
            .iter()
            .any(|e| e.what.contains("its sender did not send"))
    });
    assert!(!invented);
}

#[test]
fn an_error_that_the_gateway_never_sent_is_a_box_on_the_way() {
    let mut near = load("crafted-port-unreachable", "single");
    let client = opener(&near);
    let mut again = near.iter().find(|f| source(f) == client).unwrap().clone();
    again.time.0 = near.last().unwrap().time.0 + 5_000 * MS;
    near.push(again);
    let near = renumbered(near);
    let all = farther(&near, client, 0, MS, MS);
    // The gateway's capture has all that the client sent, and no error.
    let far: Vec<Owned> = all
        .iter()
        .filter(|f| source(f) == client)
        .cloned()
        .collect();
    let both = together(&[("client", &near), ("gateway", &renumbered(far))]);
    assert_eq!(causes(&both), ["port-unreachable"]);
    let (_, judgement) = &both.sessions[0];
    assert!(
        judgement.notes.iter().any(|n| n.contains("never saw it")),
        "{:?}",
        judgement.notes
    );
    assert!(
        judgement.verdict.findings[0]
            .summary
            .contains("a box on the way made it")
    );
    let both = together(&[("client", &near), ("gateway", &all)]);
    assert_eq!(causes(&both), ["port-unreachable"]);
    assert!(both.sessions[0].1.notes.is_empty());
}

#[test]
fn fragments_are_found_by_their_datagram() {
    let name = "ikev2-last-fragment-dropped";
    let both = together(&[
        ("client", &load(name, "client")),
        ("gateway", &load(name, "gateway")),
    ]);
    let verdict = &both.sessions[0].1.verdict;
    assert_eq!(verdict.cause, Some("fragment-lost"));
    assert!(
        verdict.findings[0]
            .evidence
            .iter()
            .any(|e| e.what.contains("seen at client, not at gateway")),
        "{verdict:#?}"
    );
    let told = serde_json::to_value(report(&both, |_, _, _| Wanted::Yes)).unwrap();
    let messages = told["sessions"][0]["messages"].as_array().unwrap();
    let lost = messages
        .iter()
        .find(|m| m["seen"]["gateway"].is_null() && !m["seen"]["client"].is_null())
        .unwrap();
    assert!(lost["seen"]["client"]["frame"].is_u64());
    assert!(text(&both).contains("not seen"));
}

#[test]
fn a_large_message_answered_into_nothing_is_told_with_both_sizes() {
    let name = "ikev2-esp-pmtu-blackhole";
    let both = together(&[
        ("client", &load(name, "client")),
        ("gateway", &load(name, "gateway")),
    ]);
    let finding = &both.sessions[0].1.verdict.findings[0];
    assert_eq!(finding.cause.code, "pmtu-blackhole");
    let numbers: Vec<u32> = finding
        .summary
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|n| n.parse().ok())
        .filter(|n| *n >= 100)
        .collect();
    assert!(
        numbers.iter().any(|a| numbers.iter().any(|b| a < b)),
        "the size that passes and the one that does not: {}",
        finding.summary
    );
}

#[test]
fn a_response_lost_before_a_point_between_is_lost_behind_it() {
    let near = load("ikev2-response-lost", "client");
    let gateway = load("ikev2-response-lost", "gateway");
    let both = together(&[("client", &near), ("gateway", &gateway)]);
    let verdict = &both.sessions[0].1.verdict;
    assert_eq!(verdict.cause, Some("response-lost"));
    assert_eq!(verdict.confidence, Confidence::Certain);
    let summary = &verdict.findings[0].summary;
    assert!(
        summary.contains("gateway") && summary.contains("client"),
        "{summary}"
    );
}
