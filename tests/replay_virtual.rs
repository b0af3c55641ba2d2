//! The replayer in virtual time: the recorded client talks to the recorded gateway over a
//! network that loses, repeats, delays and disorders. No socket, no clock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

#[path = "replay_virtual/fields.rs"]
mod fields;
#[path = "replay_virtual/octets.rs"]
mod octets;
#[path = "replay_virtual/substitutions.rs"]
mod substitutions;
#[path = "replay_virtual/variations.rs"]
mod variations;
#[path = "replay_virtual/world.rs"]
mod world;

use vpnscope::replay::conversation::Side;
use vpnscope::replay::judge::{Verdict, Want, judge};
use vpnscope::replay::{Channel, Conversation, Ending, Protocol, Replayer, recording};
use vpnscope::source::file;
use vpnscope::time::{Span, Timestamp};

use world::{Network, World, at_once, flow, path, replayer, session, set, settings};

fn both(recording: &Conversation) -> World {
    World::new(
        replayer(recording.clone(), settings(Side::Client)),
        replayer(recording.clone(), settings(Side::Gateway)),
    )
}

fn all() -> Vec<(&'static str, Conversation, &'static str)> {
    vec![
        (
            "ikev2",
            session("ikev2-psk-established/client.pcap"),
            "IKE_SA_INIT response",
        ),
        (
            "main",
            session("ikev1-main-psk-established/client.pcap"),
            "Main Mode 4",
        ),
        (
            "aggressive",
            session("ikev1-aggressive-psk-mismatch/client.pcap"),
            "Aggressive Mode 2",
        ),
        (
            "refused",
            session("ikev1-phase1-proposal-mismatch/client.pcap"),
            "Informational (NO-PROPOSAL-CHOSEN)",
        ),
        (
            "l2tp chap",
            session("l2tp-mschapv2-established/client.pcap"),
            "CHAP Challenge",
        ),
        (
            "l2tp pap",
            session("l2tp-pap-established/client.pcap"),
            "LCP Configure-Ack",
        ),
        (
            "dtls",
            flow("dtls12-gnutls/single.pcap", Protocol::Dtls, 443),
            "ServerHello",
        ),
        (
            "tls",
            flow("tls12-dhe/single.pcap", Protocol::Tls, 443),
            "ServerHello",
        ),
    ]
}

#[test]
fn the_recorded_client_and_the_recorded_gateway_agree() {
    for (name, recording, reached) in all() {
        let judgement = both(&recording).run(at_once);
        assert_eq!(
            judgement.verdict,
            Verdict::Same,
            "{name}: {}",
            judgement.why
        );
        assert_eq!(judgement.reached.as_deref(), Some(reached), "{name}");
        assert_eq!(judgement.exit(Want::Same), 0);
    }
}

#[test]
fn one_lost_message_is_made_good() {
    fn lossy<const N: usize>(n: usize) -> Vec<Span> {
        if n == N { Vec::new() } else { at_once(n) }
    }
    let losses: [Network; 4] = [lossy::<0>, lossy::<1>, lossy::<2>, lossy::<3>];
    for (name, recording, reached) in all() {
        // A stream loses nothing, and a DTLS server repeats its flight by itself.
        if ["tls", "dtls"].contains(&name) {
            continue;
        }
        for (n, loss) in losses.into_iter().enumerate() {
            let judgement = both(&recording).run(loss);
            let last = judgement.reached.as_deref();
            assert_eq!(
                last,
                Some(reached),
                "{name}, message {n}: {}",
                judgement.why
            );
            assert_eq!(
                judgement.verdict,
                Verdict::Same,
                "{name}, message {n}: {}",
                judgement.why
            );
        }
    }
}

#[test]
fn copies_change_nothing() {
    fn twice(_: usize) -> Vec<Span> {
        vec![Span::from_millis(1), Span::from_millis(2)]
    }
    for (name, recording, reached) in all() {
        if name == "tls" {
            continue;
        }
        let judgement = both(&recording).run(twice);
        assert_eq!(
            judgement.reached.as_deref(),
            Some(reached),
            "{name}: {}",
            judgement.why
        );
        assert_eq!(
            judgement.verdict,
            Verdict::Same,
            "{name}: {}",
            judgement.why
        );
    }
}

#[test]
fn late_answers_are_answers() {
    fn slow(n: usize) -> Vec<Span> {
        vec![Span::from_millis(if n == 1 { 700 } else { 1 })]
    }
    for (name, recording, reached) in all() {
        let judgement = both(&recording).run(slow);
        assert_eq!(
            judgement.reached.as_deref(),
            Some(reached),
            "{name}: {}",
            judgement.why
        );
    }
}

#[test]
fn fragments_of_a_flight_may_overtake_each_other() {
    fn disordered(n: usize) -> Vec<Span> {
        vec![Span::from_millis(100 - i64::try_from(n % 7).unwrap() * 10)]
    }
    let recording = flow("dtls12-small-mtu/single.pcap", Protocol::Dtls, 443);
    let judgement = both(&recording).run(disordered);
    assert_eq!(judgement.verdict, Verdict::Same, "{}", judgement.why);
}

#[test]
fn a_recorded_cookie_round_is_passed() {
    let recording = session("ikev2-cookie-then-established/client.pcap");
    let mut world = both(&recording);
    let judgement = world.run(at_once);
    assert_eq!(judgement.verdict, Verdict::Same, "{}", judgement.why);
    let said: Vec<_> = judgement
        .difference
        .live
        .iter()
        .map(|d| d.name.as_str())
        .collect();
    assert_eq!(
        said,
        [
            "IKE_SA_INIT request",
            "IKE_SA_INIT response (COOKIE)",
            "IKE_SA_INIT request (COOKIE)",
            "IKE_SA_INIT response"
        ]
    );
    // The cookie stands first, and the SPI stays.
    let sent: Vec<_> = world
        .client
        .live()
        .of(Side::Client)
        .map(|(_, m)| &m.octets)
        .collect();
    assert_eq!(sent[1][16], 41);
    assert_eq!(sent[0][..8], sent[1][..8]);
}

#[test]
fn a_peer_that_asks_for_cookies_for_ever_is_given_up() {
    let recording = session("ikev2-cookie-then-established/client.pcap");
    let mut client = replayer(recording.clone(), settings(Side::Client));
    let mut now = Timestamp(0);
    let cookie = &recording.messages[1];
    let mut sent = 0;
    while !client.is_over() {
        now = now + Span::from_millis(1);
        if let Some(transmit) = client.poll_transmit(now) {
            sent += 1;
            let mut answer = cookie.octets.clone();
            answer[..8].copy_from_slice(&transmit.octets[..8]);
            // Another cookie each time.
            let last = answer.len() - 1;
            answer[last] = sent;
            client.handle(now, Channel::Primary, &answer);
        }
        assert!(sent < 30);
    }
    let judgement = judge(&client);
    assert_eq!(judgement.exit(Want::Same), 1, "{}", judgement.why);
}

#[test]
fn silence_is_said_and_bounded() {
    for (name, recording, _) in all() {
        let mut client = replayer(recording, settings(Side::Client));
        let start = Timestamp::from_parts(5, 0);
        let mut now = start;
        let mut sent = 0;
        while !client.is_over() {
            while client.poll_transmit(now).is_some() {
                sent += 1;
            }
            if let Some(next) = client.next_deadline() {
                now = now.max(next);
            }
        }
        assert!(now - start < Span::from_secs(60), "{name}: {}", now - start);
        assert!(sent <= 6, "{name}: {sent}");
        let judgement = judge(&client);
        assert_eq!(judgement.exit(Want::Same), 2, "{name}: {}", judgement.why);
        assert_eq!(judgement.exit(Want::Progress), 2, "{name}");
    }
}

#[test]
fn recorded_silence_is_reproduced_and_an_answer_is_progress() {
    let recording = session("ikev2-udp500-dropped/client.pcap");
    let mut client = replayer(recording.clone(), settings(Side::Client));
    let mut now = Timestamp(0);
    while !client.is_over() {
        while client.poll_transmit(now).is_some() {}
        now = now + Span::from_millis(100);
    }
    let judgement = judge(&client);
    assert_eq!(judgement.exit(Want::Same), 0, "{}", judgement.why);
    assert_eq!(judgement.exit(Want::Progress), 1);
    let answering = session("ikev2-psk-established/client.pcap");
    let gateway = replayer(answering, settings(Side::Gateway));
    let client = replayer(recording, settings(Side::Client));
    let judgement = World::new(client, gateway).run(at_once);
    assert_eq!(judgement.verdict, Verdict::Further, "{}", judgement.why);
    assert_eq!(judgement.exit(Want::Progress), 0);
}

/// Answers that are wrong in one way each; none of them is taken for the answer.
#[test]
fn wrong_answers_are_not_taken() {
    let recording = session("ikev2-psk-established/client.pcap");
    let answer = recording.of(Side::Gateway).next().unwrap().1.octets.clone();
    let mut request = answer.clone();
    request[19] = 0x08;
    let wrong = [
        ("another's SPI", answer),
        ("text", b"HTTP/1.0 400 Bad Request\r\n\r\n".to_vec()),
        ("nothing", Vec::new()),
        ("a request", request),
    ];
    for (name, octets) in wrong {
        let mut client = replayer(recording.clone(), settings(Side::Client));
        let mut now = Timestamp(0);
        while !client.is_over() {
            while client.poll_transmit(now).is_some() {
                client.handle(now, Channel::Primary, &octets);
            }
            now = now + Span::from_millis(100);
        }
        let judgement = judge(&client);
        assert_eq!(judgement.exit(Want::Same), 2, "{name}: {}", judgement.why);
        assert!(
            judgement.why.contains("answers with"),
            "{name}: {}",
            judgement.why
        );
    }
}

#[test]
fn a_flood_is_bounded() {
    for (name, recording, _) in all() {
        let mut client = replayer(recording, settings(Side::Client));
        let now = Timestamp(0);
        client.poll_transmit(now);
        let mut heard = 0u32;
        while client.ending().is_none() {
            heard += 1;
            client.handle(now, Channel::Primary, &heard.to_be_bytes());
            assert!(heard < 10_000, "{name}");
        }
        assert_eq!(client.ending(), Some(Ending::Flood), "{name}");
        assert!(client.live().messages.len() < 500);
        assert_eq!(judge(&client).exit(Want::Same), 2);
    }
}

#[test]
fn fresh_spis_and_kept_ones() {
    let recording = session("ikev2-psk-established/client.pcap");
    let recorded = recording.messages[0].octets[..8].to_vec();
    let mut fresh = replayer(recording.clone(), settings(Side::Client));
    assert_ne!(
        fresh.poll_transmit(Timestamp(0)).unwrap().octets[..8],
        recorded
    );
    let mut kept = replayer(recording, set(Side::Client, "keep=initiator-spi"));
    assert_eq!(
        kept.poll_transmit(Timestamp(0)).unwrap().octets[..8],
        recorded
    );
}

/// NAT detection hashes fit the live ends, in both versions.
#[test]
fn nat_detection_fits_the_live_addresses() {
    for name in [
        "ikev2-psk-established/client.pcap",
        "ikev1-main-psk-established/client.pcap",
    ] {
        let recording = session(name);
        let judgement = both(&recording).run(at_once);
        let nat: Vec<_> = judgement
            .difference
            .live
            .iter()
            .flat_map(|d| &d.fields)
            .filter(|field| field.name == "nat_detection")
            .map(|field| field.value.as_str())
            .collect();
        assert!(!nat.is_empty(), "{name}");
        let good = |text: &&str| {
            text.split(", ")
                .all(|word| ["as seen", "present"].contains(&word))
        };
        assert!(nat.iter().all(good), "{name}: {nat:?}");
        let client = replayer(recording.clone(), set(Side::Client, "keep=nat-detection"));
        let gateway = replayer(recording, settings(Side::Gateway));
        let judgement = World::new(client, gateway).run(at_once);
        let sent = judgement
            .difference
            .live
            .iter()
            .filter(|d| d.from == Side::Client);
        let kept = sent
            .flat_map(|d| &d.fields)
            .any(|f| f.value.contains("translated"));
        assert!(kept || name.contains("ikev1"), "{name}");
    }
}

/// Nothing that the recorded client said to prove itself is sent.
#[test]
fn credentials_are_not_sent() {
    let recording = session("l2tp-pap-established/client.pcap");
    let password = b"correct horse";
    let holds = |octets: &[u8]| octets.windows(password.len()).any(|w| w == password);
    assert!(recording.messages.iter().any(|m| holds(&m.octets)));
    let mut world = both(&recording);
    world.run(at_once);
    assert!(
        !world
            .client
            .live()
            .messages
            .iter()
            .any(|m| holds(&m.octets))
    );
}

/// A tunnel that was opened is closed.
#[test]
fn no_half_open_tunnel_is_left() {
    let recording = session("l2tp-mschapv2-established/client.pcap");
    let judgement = both(&recording).run(at_once);
    assert_eq!(judgement.difference.live.last().unwrap().name, "StopCCN");
}

/// Every labelled capture: whatever is in it is played or refused with a reason, in bounds. What
/// both ends play from one recording ends as recorded, but for what no two players can make up:
/// crafted contradictions, answers of which parts are lost.
#[test]
fn every_capture_is_played_or_refused() {
    let (mut played, mut odd) = (0, Vec::new());
    for folder in std::fs::read_dir(path("")).unwrap().flatten() {
        let files = std::fs::read_dir(folder.path()).into_iter().flatten();
        for file in files.flatten().map(|entry| entry.path()) {
            let kind = file.extension().and_then(|kind| kind.to_str());
            if !matches!(kind, Some("pcap" | "pcapng")) {
                continue;
            }
            let open = || file::open(&file, 0).unwrap();
            for session in recording::sessions(&mut open()) {
                let Ok(conversation) = recording::read(&mut open(), &session) else {
                    continue;
                };
                let able = |role| Replayer::new(conversation.clone(), settings(role)).is_ok();
                if !able(Side::Client) || !able(Side::Gateway) {
                    continue;
                }
                let judgement = both(&conversation).run(at_once);
                let why = format!("{}: {}", file.display(), judgement.why);
                assert_ne!(judgement.verdict, Verdict::Further, "{why}");
                if judgement.verdict != Verdict::Same {
                    odd.push(why);
                }
                played += 1;
            }
        }
    }
    assert!(played > 80, "{played}");
    assert!(odd.len() * 20 < played, "{played}: {odd:#?}");
}

/// A DTLS association that takes up the session of a TLS channel is announced as hopeless.
#[test]
fn a_channel_of_anyconnect_is_said_to_be_one() {
    let dtls = flow(
        "oc-established-dtls12-legacy/client.pcap",
        Protocol::Dtls,
        443,
    );
    let client = replayer(dtls, settings(Side::Client));
    let note = client.script().note.unwrap();
    assert!(note.contains("AnyConnect"), "{note}");
    let own = flow("dtls12-gnutls/single.pcap", Protocol::Dtls, 443);
    assert_eq!(replayer(own, settings(Side::Client)).script().note, None);
}
