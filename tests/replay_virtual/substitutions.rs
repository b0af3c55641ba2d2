//! Every substitution: left out, the peer refuses or what it says is not what was recorded. The
//! table is checked against the list, so that a new one without an entry fails.

use std::collections::BTreeSet;

use vpnscope::replay::conversation::Side;
use vpnscope::replay::judge::{Judgement, Verdict};
use vpnscope::replay::settings::{Substitution, Variation};
use vpnscope::replay::{Conversation, Protocol, Settings};

use super::world::{World, at_once, flow, replayer, session, settings};

/// How leaving it out shows.
enum Shows {
    /// What is played from this capture against a peer that plays it too does not end as
    /// recorded.
    Refused(&'static str),
    /// The same over a recording of TLS or DTLS.
    RefusedFlow(&'static str, Protocol),
    /// The named field of what is sent is as recorded, which it must not be.
    Kept(&'static str, &'static str),
    /// Only a live peer can tell: the test that asks one.
    Live(&'static str),
}

const TABLE: &[(&str, Shows)] = &[
    (
        "initiator-spi",
        Shows::Kept("ikev2-psk-established/client.pcap", "initiator_spi"),
    ),
    ("responder-spi", Shows::Live("ikev1_against_strongswan")),
    ("nat-detection", Shows::Live("ikev2_against_strongswan")),
    (
        "cookie",
        Shows::Refused("ikev2-cookie-then-established/client.pcap"),
    ),
    (
        "key-share",
        Shows::Live("a_retry_is_answered_with_a_share_of_our_own"),
    ),
    (
        "tunnel-id",
        Shows::Refused("l2tp-mschapv2-established/client.pcap"),
    ),
    (
        "session-id",
        Shows::Refused("l2tp-mschapv2-established/client.pcap"),
    ),
    (
        "sequence",
        Shows::Live("what_is_left_out_of_l2tp_is_refused"),
    ),
    (
        "identifier",
        Shows::Refused("l2tp-mschapv2-established/client.pcap"),
    ),
    (
        "magic",
        Shows::Kept("l2tp-mschapv2-established/client.pcap", "magic"),
    ),
    (
        "dtls-cookie",
        Shows::RefusedFlow("dtls12-gnutls/single.pcap", Protocol::Dtls),
    ),
    (
        "message-seq",
        Shows::Live("dtls_message_and_record_numbers_count_on"),
    ),
    (
        "record-sequence",
        Shows::Live("dtls_message_and_record_numbers_count_on"),
    ),
    ("random", Shows::Kept("tls12-mutual/single.pcap", "random")),
    ("binders", Shows::Live("binders_are_taken_out")),
    ("server-name", Shows::Live("the_server_name_is_replaced")),
];

fn leave_out(settings: &mut Settings, word: &str) {
    let text = format!("keep={word}");
    settings.variations.push(Variation::parse(&text).unwrap());
}

fn run(recording: &Conversation, client: Settings, gateway: Settings) -> Judgement {
    let client = replayer(recording.clone(), client);
    let gateway = replayer(recording.clone(), gateway);
    World::new(client, gateway).run(at_once)
}

/// The recorded and the sent values of a field of what the client says.
fn sent(judgement: &Judgement, name: &str) -> Vec<bool> {
    let steps = judgement
        .difference
        .steps
        .iter()
        .filter(|s| s.from == Side::Client);
    let fields = steps.flat_map(|step| &step.fields);
    fields
        .filter(|field| field.field == name && field.recorded.is_some() && field.live.is_some())
        .map(|field| field.recorded == field.live)
        .collect()
}

#[test]
fn each_is_needed() {
    for (word, shows) in TABLE {
        let mut without = settings(Side::Client);
        leave_out(&mut without, word);
        let load = |name: &str| match name.split_once("tls") {
            Some(("", _)) => flow(name, Protocol::Tls, 443),
            _ => session(name),
        };
        match shows {
            Shows::Refused(name) => {
                let recording = session(name);
                needed(word, &recording, without);
            }
            Shows::RefusedFlow(name, protocol) => {
                needed(word, &flow(name, *protocol, 443), without);
            }
            Shows::Kept(name, field) => {
                let recording = load(name);
                let fresh = run(&recording, settings(Side::Client), settings(Side::Gateway));
                assert!(!sent(&fresh, field).contains(&true), "{word}");
                let kept = run(&recording, without, settings(Side::Gateway));
                assert!(sent(&kept, field).contains(&true), "{word}");
            }
            Shows::Live(test) => {
                let tests = [
                    include_str!("../replay_lab.rs"),
                    include_str!("../replay_lab/gateways.rs"),
                    include_str!("../replay_tls.rs"),
                ];
                let body = tests.iter().find_map(|text| {
                    let start = text.find(&format!("fn {test}()"))?;
                    text[start..].split("\n}\n").next()
                });
                let body = body.unwrap_or_else(|| panic!("{word}: no test {test}"));
                let says = body.contains(&format!("keep={word}"))
                    || (body.contains("keep=") && body.contains(&format!("\"{word}\"")))
                    || (*word == "server-name" && body.contains("sni"));
                assert!(says, "{word}: {test} does not leave it out");
            }
        }
    }
}

fn needed(word: &str, recording: &Conversation, without: Settings) {
    let with = run(recording, settings(Side::Client), settings(Side::Gateway));
    assert_eq!(with.verdict, Verdict::Same, "{word}: {}", with.why);
    let left_out = run(recording, without, settings(Side::Gateway));
    let same = left_out.verdict == Verdict::Same && left_out.reached == with.reached;
    assert!(!same, "{word}: {}", left_out.why);
}

/// NAT detection that the recorded client hashed for its own addresses says "translated" to a
/// peer that looks.
#[test]
fn kept_nat_detection_says_translated() {
    let recording = session("ikev2-psk-established/client.pcap");
    let mut without = settings(Side::Client);
    leave_out(&mut without, "nat-detection");
    let judgement = run(&recording, without, settings(Side::Gateway));
    let said = judgement
        .difference
        .live
        .iter()
        .filter(|d| d.from == Side::Client);
    let mut fields = said
        .flat_map(|d| &d.fields)
        .filter(|f| f.name == "nat_detection");
    assert_eq!(fields.next().unwrap().value, "translated, translated");
}

#[test]
fn every_substitution_is_in_the_table() {
    let known: BTreeSet<&str> = Substitution::ALL.iter().map(|(_, word, _)| *word).collect();
    let tested: BTreeSet<&str> = TABLE.iter().map(|(word, _)| *word).collect();
    assert_eq!(known, tested);
}
