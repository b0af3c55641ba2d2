//! Every `--set`: what is sent differs from what is sent without it in that one thing.

use std::collections::BTreeSet;

use vpnscope::replay::conversation::Side;
use vpnscope::replay::settings::Variation;
use vpnscope::replay::{Conversation, Protocol, Replayer, Settings};
use vpnscope::time::Timestamp;

use super::octets::second_proposal;
use super::world::{flow, replayer, session, settings};

/// What the client says at first: each datagram.
fn said(recording: &Conversation, changes: &[&str]) -> Vec<Vec<u8>> {
    let mut settings: Settings = settings(Side::Client);
    for change in changes {
        settings.variations.push(Variation::parse(change).unwrap());
    }
    let mut one: Replayer = replayer(recording.clone(), settings);
    let mut all = Vec::new();
    while let Some(transmit) = one.poll_transmit(Timestamp(0)) {
        all.push(transmit.octets);
    }
    all
}

/// The field of the first message, as the comparison describes it.
fn described(recording: &Conversation, changes: &[&str], name: &str) -> String {
    let mut told = recording.clone();
    told.messages.truncate(1);
    told.messages[0].octets = said(recording, changes).concat();
    let all = vpnscope::replay::compare::describe_all(&told);
    let field = all[0].fields.iter().find(|field| field.name == name);
    field.map_or_else(String::new, |field| field.value.clone())
}

const V2: &str = "ikev2-psk-established/client.pcap";
const V1: &str = "ikev1-groups-19-20-2-established/client.pcap";
const V1_VENDORS: &str = "ikev1-main-psk-established/client.pcap";
const TLS: &str = "tls12-mutual/single.pcap";

/// The change, the recording, the field that shows it, and what it says then.
const TABLE: &[(&str, &str, &str, &str)] = &[
    (
        "encryption=20/128",
        V2,
        "proposal",
        "AES_GCM_16_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/CURVE25519",
    ),
    (
        "prf=7",
        V2,
        "proposal",
        "AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_512/CURVE25519",
    ),
    (
        "integrity=2",
        V2,
        "proposal",
        "AES_CBC_256/HMAC_SHA1_96/PRF_HMAC_SHA2_256/CURVE25519",
    ),
    ("group=19", V2, "key_exchange", "ECP_256"),
    ("version=21", V2, "version", "2.1"),
    ("drop=4", V2, "payloads", "SA KE No N N N N"),
    ("duplicate=1", V2, "payloads", "SA SA KE No N N N N N"),
    ("drop-vendor-id=all", V1_VENDORS, "payloads", "SA"),
    (
        "ciphers=c02f,009c",
        TLS,
        "cipher_suites",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 TLS_RSA_WITH_AES_128_GCM_SHA256",
    ),
    ("version=0302", TLS, "version", "TLS 1.1"),
];

#[test]
fn each_changes_one_thing() {
    for (change, name, field, value) in TABLE {
        let recording = if *name == TLS {
            flow(name, Protocol::Tls, 443)
        } else {
            session(name)
        };
        assert_ne!(described(&recording, &[], field), *value, "{change}");
        assert_eq!(described(&recording, &[change], field), *value, "{change}");
    }
}

#[test]
fn proposals_are_reordered_and_left_out() {
    for name in [V2, V1] {
        let mut recording = session(name);
        if name == V2 {
            second_proposal(&mut recording.messages[0].octets);
        }
        let plain = described(&recording, &[], "proposal");
        let offers: Vec<&str> = plain.split(' ').collect();
        assert!(offers.len() > 1, "{name}: {plain}");
        let back: Vec<&str> = offers.iter().rev().copied().collect();
        assert_eq!(
            described(&recording, &["proposals=reverse"], "proposal"),
            back.join(" ")
        );
        let two = [offers[1], offers[0]].join(" ");
        assert_eq!(
            described(&recording, &["proposals=2,1"], "proposal"),
            two,
            "{name}"
        );
    }
}

#[test]
fn hash_is_the_prf_of_version_1() {
    let recording = session(V1_VENDORS);
    let plain = described(&recording, &[], "proposal");
    let hashed = described(&recording, &["hash=4"], "proposal");
    assert_eq!(hashed, plain.replace("/SHA/", "/SHA2_256/"));
    let grouped = described(&recording, &["group=5"], "proposal");
    assert_eq!(grouped, plain.replace("MODP_2048", "MODP_1536"));
}

#[test]
fn vendor_ids_are_dropped_by_their_beginning() {
    let recording = session(V1_VENDORS);
    let plain = described(&recording, &[], "vendor_id");
    // XAUTH, draft-ietf-ipsec-isakmp-xauth-06.
    let dropped = described(&recording, &["drop-vendor-id=09002689"], "vendor_id");
    assert!(
        plain.contains("XAUTH") && !dropped.contains("XAUTH"),
        "{plain} | {dropped}"
    );
    assert!(dropped.contains("NAT-T"), "{dropped}");
}

/// Records of TLS and fragments of DTLS hold no more than was asked for, and the message whole.
#[test]
fn fragments_are_as_long_as_asked() {
    let whole = said(&flow(TLS, Protocol::Tls, 443), &[]).concat();
    let cut = said(&flow(TLS, Protocol::Tls, 443), &["fragment=40"]).concat();
    let mut rest = cut.as_slice();
    let mut joined: Vec<u8> = Vec::new();
    while let [22, _, _, high, low, ..] = *rest {
        let len = usize::from(u16::from_be_bytes([high, low]));
        assert!(len <= 40);
        joined.extend(&rest[5..5 + len]);
        rest = &rest[5 + len..];
    }
    assert_eq!(joined.len(), whole.len() - 5);
    let dtls = flow("dtls12-gnutls/single.pcap", Protocol::Dtls, 443);
    let pieces = said(&dtls, &["fragment=50"]);
    assert!(pieces.len() > 2, "{}", pieces.len());
    // Each in a record of its own number, with the whole length in each.
    for (number, piece) in pieces.iter().enumerate() {
        assert_eq!(usize::from(piece[10]), number);
        assert_eq!(piece[14..17], pieces[0][14..17]);
        assert!(piece.len() <= 25 + 50);
    }
}

/// What does not concern the protocol is refused rather than left undone.
#[test]
fn what_does_not_apply_is_refused() {
    for (change, recording) in [
        ("ciphers=c02f", session(V2)),
        ("fragment=100", session(V2)),
        ("group=19", flow(TLS, Protocol::Tls, 443)),
        ("integrity=2", session(V1)),
        ("drop=1", session("l2tp-mschapv2-established/client.pcap")),
        ("keep=tunnel-id", session(V2)),
    ] {
        let mut settings = settings(Side::Client);
        settings.variations.push(Variation::parse(change).unwrap());
        let refused = Replayer::new(recording, settings).err();
        let text = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains("does not apply"), "{change}: {text}");
    }
}

/// Every key that `--set` understands is tried above, or in the table of substitutions.
#[test]
fn every_key_is_tried() {
    let help: BTreeSet<&str> = Variation::HELP
        .split(", ")
        .filter_map(|part| part.split('=').next())
        .collect();
    let source = include_str!("variations.rs");
    for key in help {
        assert!(source.contains(&format!("\"{key}=")), "{key}");
    }
}
