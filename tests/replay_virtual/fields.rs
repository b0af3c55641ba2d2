//! Every field that is compared: changed in the peer's answer, it is named and the status is 1.
//! The table is checked against the source, so that a new field without an entry fails.

use std::collections::BTreeSet;

use vpnscope::replay::compare;
use vpnscope::replay::conversation::Side;
use vpnscope::replay::judge::{Judgement, Verdict, Want, judge};
use vpnscope::replay::settings::Timing;
use vpnscope::replay::{Conversation, Protocol};
use vpnscope::time::Span;

use super::octets::{add_extension, attribute, extension, handshake, payload, ppp};
use super::world::{Tamper, World, at_once, flow, replayer, session, set, settings};

const V2: &str = "ikev2-psk-established/client.pcap";
const V2_CERTIFICATE: &str = "ikev2-eap-mschapv2-established/client.pcap";
const MAIN: &str = "ikev1-main-psk-established/client.pcap";
const AGGRESSIVE: &str = "ikev1-aggressive-psk-mismatch/client.pcap";
const L2TP: &str = "l2tp-mschapv2-established/client.pcap";
const L2TP_CDN: &str = "l2tp-cdn/client.pcap";
const TLS: &str = "tls12-mutual/single.pcap";
const TLS_ALERT: &str = "tls-alert-protocol-version-old-server/single.pcap";

/// A field, the recording in which it is changed on its way to the client, and how.
type Row = (&'static str, &'static str, Tamper);

/// Adds to one octet of a place that a finder finds.
macro_rules! bump {
    ($find:expr, $at:expr) => {
        |from, octets| {
            if from == Side::Gateway
                && let Some(place) = $find(octets.as_slice())
            {
                let place: std::ops::Range<usize> = place;
                let at: usize = $at(place.clone());
                octets[at] = octets[at].wrapping_add(1);
            }
        }
    };
}

fn first(place: std::ops::Range<usize>) -> usize {
    place.start
}

fn last(place: std::ops::Range<usize>) -> usize {
    place.end - 1
}

/// Removes the last octet of the nonce of an IKEv2 message: another size, nothing else.
fn shorter(from: Side, octets: &mut Vec<u8>) {
    if from == Side::Gateway
        && let Some(nonce) = payload(octets, 40, 0)
    {
        octets.remove(nonce.end - 1);
        octets[nonce.start - 1] -= 1;
        octets[27] -= 1;
    }
}

/// The vendor id of the recorded answer stands for a certificate.
fn certified(recording: &mut Conversation) {
    for message in &mut recording.messages {
        // Whatever names a vendor id (13) as what comes next names a certificate (6) instead.
        let (mut next, mut at) = (message.octets[16], 28);
        while next != 0 && message.from == Side::Gateway {
            let length = usize::from(message.octets[at + 3]);
            next = message.octets[at];
            if next == 13 {
                message.octets[at] = 6;
            }
            at += length.max(4) + (usize::from(message.octets[at + 2]) << 8);
            if at >= message.octets.len() {
                break;
            }
        }
    }
}

const ROWS: &[Row] = &[
    ("message", V2, |from, octets| {
        if from == Side::Gateway {
            octets[18] = 37;
        }
    }),
    ("exchange", V2, |from, octets| {
        if from == Side::Gateway {
            octets[18] = 36;
        }
    }),
    ("version", V2, |from, octets| {
        if from == Side::Gateway {
            octets[17] = 0x21;
        }
    }),
    ("flags", V2, |from, octets| {
        if from == Side::Gateway {
            octets[19] |= 0x10;
        }
    }),
    ("message_id", V2, |from, octets| {
        if from == Side::Gateway {
            octets[23] = 1;
        }
    }),
    ("malformed", V2, |from, octets| {
        if from == Side::Gateway {
            // The length of the first payload, below its header's.
            octets[31] = 3;
            octets[30] = 0;
        }
    }),
    ("size", V2, shorter),
    // The encryption transform's id, in the body of the SA after proposal and transform header.
    (
        "proposal",
        V2,
        bump!(|o: &[u8]| payload(o, 33, 0), |p: std::ops::Range<usize>| p
            .start
            + 15),
    ),
    (
        "key_exchange",
        V2,
        bump!(|o: &[u8]| payload(o, 34, 0), |p: std::ops::Range<usize>| p
            .start
            + 1),
    ),
    (
        "notify",
        V2,
        bump!(|o: &[u8]| payload(o, 41, 3), |p: std::ops::Range<usize>| p
            .start
            + 3),
    ),
    (
        "certificate_request",
        V2_CERTIFICATE,
        bump!(|o: &[u8]| payload(o, 38, 0), last),
    ),
    ("payloads", MAIN, |from, octets| {
        // The first vendor id becomes a payload of private use.
        if from == Side::Gateway && octets[28] == 13 {
            octets[28] = 200;
        }
    }),
    (
        "vendor_id",
        MAIN,
        bump!(|o: &[u8]| payload(o, 13, 0), first),
    ),
    (
        "identity",
        AGGRESSIVE,
        bump!(|o: &[u8]| payload(o, 5, 0), last),
    ),
    (
        "certificate",
        AGGRESSIVE,
        bump!(|o: &[u8]| payload(o, 6, 0), last),
    ),
    // Firmware revision, host name, the kind of an attribute, the CHAP challenge's name, an MRU.
    ("values", L2TP, bump!(|o: &[u8]| attribute(o, 7), first)),
    (
        "avps",
        L2TP,
        bump!(|o: &[u8]| attribute(o, 8), |p: std::ops::Range<usize>| p
            .start
            - 1),
    ),
    ("name", L2TP, bump!(|o: &[u8]| ppp(o, 0xc223, 1), last)),
    (
        "options",
        L2TP,
        bump!(|o: &[u8]| ppp(o, 0xc021, 1), |p: std::ops::Range<usize>| p
            .start
            + 3),
    ),
    (
        "result",
        L2TP_CDN,
        bump!(|o: &[u8]| attribute(o, 1), |p: std::ops::Range<usize>| p
            .start
            + 1),
    ),
    ("record_version", TLS, |from, octets| {
        if from == Side::Gateway {
            octets[2] = 2;
        }
    }),
    (
        "version",
        TLS,
        bump!(|o: &[u8]| handshake(o, 2), |p: std::ops::Range<usize>| p
            .start
            + 1),
    ),
    (
        "cipher_suite",
        TLS,
        bump!(|o: &[u8]| handshake(o, 2), |p: std::ops::Range<usize>| p
            .start
            + 36),
    ),
    (
        "compression",
        TLS,
        bump!(|o: &[u8]| handshake(o, 2), |p: std::ops::Range<usize>| p
            .start
            + 37),
    ),
    (
        "extensions",
        TLS,
        bump!(|o: &[u8]| extension(o, 0xff01), |p: std::ops::Range<
            usize,
        >| p.start - 3),
    ),
    ("alpn", TLS, bump!(|o: &[u8]| extension(o, 16), last)),
    ("certificate", TLS, bump!(|o: &[u8]| handshake(o, 11), last)),
    (
        "group",
        TLS,
        bump!(|o: &[u8]| handshake(o, 12), |p: std::ops::Range<usize>| p
            .start
            + 2),
    ),
    ("signature", TLS, |from, octets| {
        // After curve type, curve and point: the scheme.
        if from == Side::Gateway
            && let Some(exchange) = handshake(octets, 12)
        {
            let point = usize::from(octets[exchange.start + 3]);
            octets[exchange.start + 4 + point] ^= 1;
        }
    }),
    (
        "certificate_request",
        TLS,
        bump!(|o: &[u8]| handshake(o, 13), |p: std::ops::Range<usize>| p
            .start
            + 1),
    ),
    (
        "messages",
        TLS,
        bump!(|o: &[u8]| handshake(o, 13), |p: std::ops::Range<usize>| p
            .start
            - 4),
    ),
    ("malformed", TLS, |from, octets| {
        if from == Side::Gateway
            && let Some(certificate) = handshake(octets, 11)
        {
            // The list is longer than the message.
            octets[certificate.start + 1] = 0xff;
        }
    }),
    ("alert", TLS_ALERT, |from, octets| {
        // A fatal alert of another kind.
        if from == Side::Gateway && octets.len() == 7 {
            octets[6] = 40;
        }
    }),
];

/// Fields that what the client says has, and how a client differs in them.
const CLIENT_ROWS: &[(&str, &str)] = &[
    ("cipher_suites", "ciphers=c02f"),
    ("version", "version=0302"),
    ("sni", "sni"),
    ("groups", "groups"),
];

fn load(name: &str) -> Conversation {
    let mut recording = if name.starts_with("tls") {
        flow(name, Protocol::Tls, 443)
    } else {
        session(name)
    };
    if name == TLS {
        let answer = recording
            .messages
            .iter_mut()
            .find(|m| m.from == Side::Gateway);
        add_extension(&mut answer.unwrap().octets, 16, &[0, 3, 2, b'h', b'1']);
    }
    if name == AGGRESSIVE {
        certified(&mut recording);
    }
    recording
}

fn run(recording: &Conversation, tamper: Tamper) -> Judgement {
    let client = replayer(recording.clone(), settings(Side::Client));
    let gateway = replayer(recording.clone(), settings(Side::Gateway));
    let mut world = World::new(client, gateway);
    world.tamper = tamper;
    world.run(at_once)
}

fn names(judgement: &Judgement, from: Side) -> BTreeSet<&'static str> {
    let steps = judgement.difference.steps.iter().filter(|s| s.from == from);
    steps
        .flat_map(|step| &step.fields)
        .filter(|field| field.verdict == compare::Verdict::Different)
        .map(|field| field.field)
        .collect()
}

#[test]
fn a_changed_field_is_named() {
    for (field, name, tamper) in ROWS {
        let recording = load(name);
        let good = run(&recording, |_, _| {});
        assert_eq!(good.verdict, Verdict::Same, "{name}: {}", good.why);
        let judgement = run(&recording, *tamper);
        let named = names(&judgement, Side::Gateway);
        assert!(
            named.contains(field),
            "{name} {field}: {named:?}, {}",
            judgement.why
        );
        assert_eq!(
            judgement.exit(Want::Same),
            1,
            "{name} {field}: {}",
            judgement.why
        );
    }
}

/// The gateway that is played judges what the client says.
#[test]
fn a_changed_field_of_a_client_is_named() {
    for (field, change) in CLIENT_ROWS {
        let recording = load(TLS);
        let mut mine = settings(Side::Client);
        let mut recorded = recording.clone();
        match *change {
            "sni" => mine.sni = Some("other.example.test".to_string()),
            "groups" => {
                let hello = &mut recorded.messages[0].octets;
                // The extension's kind and its length: the first group comes two octets later.
                let at = hello
                    .windows(4)
                    .position(|w| w[..2] == [0, 10] && w[2] == 0);
                hello[at.unwrap() + 7] ^= 1;
            }
            change => mine = set(Side::Client, change),
        }
        let client = replayer(recorded, mine);
        let gateway = replayer(recording, settings(Side::Gateway));
        let mut world = World::new(client, gateway);
        world.run(at_once);
        world.gateway.give_up();
        let judgement = judge(&world.gateway);
        let named = names(&judgement, Side::Client);
        assert!(named.contains(field), "{field}: {named:?}");
        assert_eq!(judgement.exit(Want::Same), 1, "{field}: {}", judgement.why);
    }
}

/// An answer that takes seconds longer is a difference; one that is quicker is none.
#[test]
fn a_slow_answer_is_named() {
    let recording = session(V2);
    let mut patient = settings(Side::Client);
    patient.timing = Timing::Recorded;
    let client = replayer(recording.clone(), patient.clone());
    let gateway = replayer(recording.clone(), settings(Side::Gateway));
    let mut slow_world = World::new(client, gateway);
    let judgement = slow_world.run(|n| vec![Span::from_millis(if n == 1 { 990 } else { 5 })]);
    assert_eq!(judgement.verdict, Verdict::Same, "{}", judgement.why);
    // The first request is repeated after a second; what counts is the last one that was sent.
    let mut late = recording.clone();
    let answer = late.messages.iter_mut().find(|m| m.from == Side::Gateway);
    answer.unwrap().time = answer_time(&recording, Span::from_secs(3));
    let compared = compare::compare(&recording, &late);
    let latency = find(&compared, "latency");
    assert_eq!(latency, compare::Verdict::Different);
    let compared = compare::compare(&late, &recording);
    assert_eq!(find(&compared, "latency"), compare::Verdict::Expected);
    // Live: the answer comes after a second and a half, before the request is sent again.
    let mut twice = recording;
    let asked = &mut twice.messages[0];
    asked.repeats = vec![asked.time + Span::from_secs(4)];
    let client = replayer(twice.clone(), patient);
    let gateway = replayer(twice, settings(Side::Gateway));
    let mut world = World::new(client, gateway);
    let judgement = world.run(|n| vec![Span::from_millis(if n == 1 { 1500 } else { 5 })]);
    assert!(
        names(&judgement, Side::Gateway).contains("latency"),
        "{}",
        judgement.why
    );
    assert_eq!(judgement.exit(Want::Same), 1);
}

fn answer_time(recording: &Conversation, later: Span) -> vpnscope::time::Timestamp {
    let answer = recording.of(Side::Gateway).next().unwrap().1;
    answer.time + later
}

fn find(difference: &compare::Difference, name: &str) -> compare::Verdict {
    let steps = difference.steps.iter().filter(|s| s.from == Side::Gateway);
    let mut fields = steps.flat_map(|step| &step.fields);
    fields.find(|f| f.field == name).unwrap().verdict
}

/// More fragments than recorded; where nobody could see them, nothing is said.
#[test]
fn fragments_are_compared_where_they_were_seen() {
    let recording = session(V2);
    for (count, verdict) in [
        (1, compare::Verdict::Same),
        (3, compare::Verdict::Different),
        (0, compare::Verdict::Expected),
    ] {
        let mut other = recording.clone();
        for message in &mut other.messages {
            message.fragments = count;
        }
        let compared = compare::compare(&recording, &other);
        assert_eq!(find(&compared, "fragments"), verdict, "{count}");
    }
}

/// Every name that stands in the source is in the tables above, or is said to vary.
#[test]
fn every_compared_field_has_a_test() {
    /// Another one every time, or encrypted.
    const VARYING: &[&str] = &[
        "assigned_session_id",
        "assigned_tunnel_id",
        "challenge",
        "cookie",
        "datagrams",
        "encrypted",
        "identifier",
        "initiator_spi",
        "key",
        "magic",
        "nat_detection",
        "nonce",
        "nr",
        "ns",
        "random",
        "responder_spi",
        "session_id",
        "text",
        "tunnel_id",
    ];
    let tested: BTreeSet<&str> = ROWS
        .iter()
        .map(|row| row.0)
        .chain(CLIENT_ROWS.iter().map(|row| row.0))
        .chain(["fragments", "latency"])
        .chain(VARYING.iter().copied())
        .collect();
    let mut found = BTreeSet::new();
    let sources = [
        include_str!("../../src/replay/compare.rs"),
        include_str!("../../src/replay/compare/ike.rs"),
        include_str!("../../src/replay/compare/l2tp.rs"),
        include_str!("../../src/replay/compare/tls.rs"),
    ];
    for source in sources {
        for opening in [
            "same(",
            "varies(",
            "list(",
            "name: ",
            "field: ",
            "            (",
        ] {
            for part in source.split(opening).skip(1) {
                let Some(name) = part.trim_start().strip_prefix('"') else {
                    continue;
                };
                let name = name.split('"').next().unwrap();
                if name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                    found.insert(name);
                }
            }
        }
    }
    assert!(found.len() > 40, "{found:?}");
    let untested: Vec<_> = found.difference(&tested).collect();
    assert!(untested.is_empty(), "{untested:?}");
    let gone: Vec<_> = tested.difference(&found).collect();
    assert!(gone.is_empty(), "{gone:?}");
}
