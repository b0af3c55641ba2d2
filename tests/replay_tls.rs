//! The replay of TLS and DTLS against real servers on loopback.
#![cfg(feature = "replay")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod lab;

use std::net::SocketAddr;

use lab::tls::Server;
use vpnscope::replay::judge::{self, Judgement, Verdict};
use vpnscope::replay::recording::{Selection, extract};
use vpnscope::replay::settings::{Settings, Timing, Variation};
use vpnscope::replay::{Conversation, Protocol, Replayer, drive};
use vpnscope::source::file;
use vpnscope::time::Span;
use vpnscope::track::session::Side;

/// The first flow to `port` in a labelled capture.
fn recorded(name: &str, protocol: Protocol, port: u16) -> Conversation {
    use vpnscope::source::FrameSource as _;
    let path = lab::pcap(name);
    let mut source = file::open(&path, 0).unwrap();
    let mut ends: Option<(SocketAddr, SocketAddr)> = None;
    while let Some(frame) = source.next_frame() {
        let envelope = vpnscope::decap::decap(&frame).envelope;
        if envelope.destination_port == port && ends.is_none() {
            ends = Some((
                SocketAddr::new(envelope.source, envelope.source_port),
                SocketAddr::new(envelope.destination, port),
            ));
        }
    }
    let (client, gateway) = ends.unwrap();
    let selection = Selection {
        protocol,
        session: 1,
        client,
        gateway,
        frames: None,
        range: (1, u64::MAX),
    };
    extract(&mut file::open(&path, 0).unwrap(), &selection)
}

fn target(port: u16) -> drive::Target {
    drive::Target {
        ip: "127.0.0.1".parse().unwrap(),
        port: Some(port),
        source_port: None,
        patience: Span::from_secs(20),
    }
}

fn play(recording: Conversation, server: &Server, settings: Settings) -> Judgement {
    let mut replayer = Replayer::new(recording, settings).unwrap();
    drive::play(&mut replayer, &target(server.port), &mut |_| {}).unwrap();
    judge::judge(&replayer)
}

fn settings() -> Settings {
    let mut settings = Settings::new(Side::Client, 42);
    settings.timing = Timing::Fast;
    settings
}

fn field<'a>(judgement: &'a Judgement, name: &str) -> Option<&'a str> {
    judgement
        .difference
        .steps
        .iter()
        .rev()
        .flat_map(|step| &step.fields)
        .find(|field| field.field == name)
        .and_then(|field| field.live.as_deref())
}

/// Plays, and gives what was live as the recording of the next run.
fn record(recording: Conversation, server: &Server) -> Conversation {
    let mut replayer = Replayer::new(recording, settings()).unwrap();
    drive::play(&mut replayer, &target(server.port), &mut |_| {}).unwrap();
    replayer.live().clone()
}

/// The fields of what the server said that differ and should not.
fn differing(judgement: &Judgement) -> Vec<&'static str> {
    let steps = judgement.difference.steps.iter();
    steps
        .filter(|step| step.from == Side::Gateway)
        .flat_map(|step| &step.fields)
        .filter(|field| field.verdict == vpnscope::replay::compare::Verdict::Different)
        .map(|field| field.field)
        .collect()
}

fn set(text: &str) -> Settings {
    let mut settings = settings();
    settings.variations.push(Variation::parse(text).unwrap());
    settings
}

#[test]
fn tls12_up_to_the_end_of_the_servers_flight() {
    let Some(server) = Server::openssl(&["-tls1_2"], false) else {
        return;
    };
    let recorded = recorded("tls12-dhe/single.pcap", Protocol::Tls, 443);
    let judgement = play(recorded.clone(), &server, settings());
    assert!(
        field(&judgement, "messages")
            .unwrap()
            .ends_with("server_hello_done")
    );
    // The server has another certificate than the recorded one, and nothing else differs.
    assert_eq!(judgement.verdict, Verdict::Different);
    assert!(
        differing(&judgement).contains(&"certificate"),
        "{:?}",
        differing(&judgement)
    );
    let again = play(record(recorded, &server), &server, settings());
    assert_eq!(again.verdict, Verdict::Same, "{}", again.why);
}

/// One field of the server's answer is changed at a time.
#[test]
fn each_field_of_tls12_is_compared() {
    let base = ["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"];
    let Some(server) = Server::openssl(&base, false) else {
        return;
    };
    let good = record(
        recorded("tls12-mutual/single.pcap", Protocol::Tls, 443),
        &server,
    );
    let same = play(good.clone(), &server, settings());
    assert_eq!(same.verdict, Verdict::Same, "{}", same.why);
    let cases: &[(&[&str], &str)] = &[
        (
            &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"],
            "cipher_suite",
        ),
        (
            &[
                "-tls1_2",
                "-cipher",
                "ECDHE-RSA-AES256-GCM-SHA384",
                "-groups",
                "P-384",
            ],
            "group",
        ),
        (
            &[
                "-tls1_2",
                "-cipher",
                "ECDHE-RSA-AES256-GCM-SHA384",
                "-sigalgs",
                "RSA+SHA512",
            ],
            "signature",
        ),
        (
            &[
                "-tls1_2",
                "-cipher",
                "ECDHE-RSA-AES256-GCM-SHA384",
                "-verify",
                "1",
            ],
            "certificate_request",
        ),
        (
            &[
                "-tls1_2",
                "-cipher",
                "ECDHE-RSA-AES256-GCM-SHA384",
                "-no_ticket",
            ],
            "extensions",
        ),
        (
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
            "alert",
        ),
    ];
    for (options, name) in cases {
        let Some(other) = Server::openssl(options, false) else {
            return;
        };
        let judgement = play(good.clone(), &other, settings());
        assert_eq!(judgement.verdict, Verdict::Different, "{options:?}");
        assert!(
            differing(&judgement).contains(name),
            "{options:?}: {:?}",
            differing(&judgement)
        );
    }
    let Some(other) = Server::openssl_for("other.example.test", &base, false) else {
        return;
    };
    let judgement = play(good, &other, settings());
    assert_eq!(differing(&judgement), ["certificate"]);
}

#[test]
fn tls10_is_spoken_to_old_servers() {
    let Some(server) = Server::openssl(&["-tls1"], false) else {
        return;
    };
    let judgement = play(
        recorded("tls10-rsa/single.pcap", Protocol::Tls, 443),
        &server,
        settings(),
    );
    assert_eq!(field(&judgement, "version"), Some("TLS 1.0"));
    assert_eq!(judgement.reached.as_deref(), Some("ServerHello"));
}

#[test]
fn tls13_up_to_the_server_hello() {
    let Some(server) = Server::openssl(&["-tls1_3"], false) else {
        return;
    };
    let good = record(
        recorded("tls13-chacha20/single.pcap", Protocol::Tls, 443),
        &server,
    );
    let judgement = play(good.clone(), &server, settings());
    assert_eq!(judgement.verdict, Verdict::Same, "{}", judgement.why);
    assert!(
        judgement
            .difference
            .steps
            .iter()
            .flat_map(|s| &s.fields)
            .any(|f| {
                f.field == "encrypted" && f.verdict == vpnscope::replay::compare::Verdict::Hidden
            })
    );
    let Some(other) = Server::openssl(&["-tls1_2"], false) else {
        return;
    };
    let judgement = play(good, &other, settings());
    assert_eq!(judgement.verdict, Verdict::Different);
    assert!(
        judgement.why.contains("protocol_version"),
        "{}",
        judgement.why
    );
}

#[test]
fn a_retry_is_answered_with_a_share_of_our_own() {
    let Some(server) = Server::openssl(&["-tls1_3", "-groups", "P-384"], false) else {
        return;
    };
    let recorded = recorded("tls13-chacha20/single.pcap", Protocol::Tls, 443);
    let judgement = play(recorded.clone(), &server, settings());
    assert_eq!(
        judgement.reached.as_deref(),
        Some("ServerHello"),
        "{}",
        judgement.why
    );
    assert_eq!(field(&judgement, "group"), Some("secp384r1"));
    let left_out = play(recorded, &server, set("keep=key-share"));
    assert_eq!(left_out.reached.as_deref(), Some("HelloRetryRequest"));
}

#[test]
fn binders_are_taken_out() {
    let psk = [
        "-tls1_3",
        "-psk",
        "0123456789abcdef",
        "-ciphersuites",
        "TLS_AES_128_GCM_SHA256",
    ];
    let Some(server) = Server::openssl(&psk, false) else {
        return;
    };
    let recorded = recorded("tls13-psk/single.pcap", Protocol::Tls, 443);
    let judgement = play(recorded.clone(), &server, settings());
    assert_eq!(
        judgement.reached.as_deref(),
        Some("ServerHello"),
        "{}",
        judgement.why
    );
    let left_out = play(recorded, &server, set("keep=binders"));
    assert!(
        left_out.reached.unwrap().contains("Alert"),
        "{}",
        left_out.why
    );
}

#[test]
fn the_server_name_is_replaced() {
    let options = [
        "-tls1_2",
        "-servername",
        "right.example.test",
        "-servername_fatal",
        "-cert2",
        "cert.pem",
        "-key2",
        "key.pem",
    ];
    let Some(server) = Server::openssl(&options, false) else {
        return;
    };
    let mut named = settings();
    named.sni = Some("right.example.test".to_string());
    let recorded = recorded("tls12-mutual/single.pcap", Protocol::Tls, 443);
    let good = play(recorded.clone(), &server, named);
    assert_eq!(good.reached.as_deref(), Some("ServerHello"), "{}", good.why);
    let mut wrong = settings();
    wrong.sni = Some("wrong.example.test".to_string());
    let bad = play(recorded, &server, wrong);
    assert!(bad.why.contains("unrecognized_name"), "{}", bad.why);
}

#[test]
fn ciphers_and_version_can_be_set() {
    let Some(server) = Server::openssl(&["-tls1_2"], false) else {
        return;
    };
    let recorded = recorded("tls12-mutual/single.pcap", Protocol::Tls, 443);
    let judgement = play(recorded.clone(), &server, set("ciphers=c02f"));
    let suite = field(&judgement, "cipher_suite");
    assert_eq!(suite, Some("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"));
    let old = play(recorded.clone(), &server, set("version=0301"));
    assert!(old.why.contains("protocol_version"), "{}", old.why);
    let small = play(recorded, &server, set("fragment=40"));
    assert_eq!(
        small.reached.as_deref(),
        Some("ServerHello"),
        "{}",
        small.why
    );
}

#[test]
fn a_fixed_server_is_progress() {
    let alert = recorded(
        "tls-alert-protocol-version-old-server/single.pcap",
        Protocol::Tls,
        443,
    );
    let Some(server) = Server::openssl(&[], false) else {
        return;
    };
    let judgement = play(alert.clone(), &server, settings());
    assert_eq!(judgement.verdict, Verdict::Further, "{}", judgement.why);
    assert_eq!(judgement.exit(judge::Want::Progress), 0);
    assert_eq!(judgement.exit(judge::Want::Same), 1);
    let Some(server) = Server::openssl(&["-tls1"], false) else {
        return;
    };
    let judgement = play(alert, &server, settings());
    assert_eq!(
        judgement.exit(judge::Want::Progress),
        1,
        "{}",
        judgement.why
    );
}

#[test]
fn dtls_cookies_are_returned() {
    let Some(server) = Server::openssl(&["-dtls1_2", "-listen"], true) else {
        return;
    };
    let recorded = recorded("dtls12-gnutls/single.pcap", Protocol::Dtls, 443);
    let left_out = play(recorded.clone(), &server, set("keep=dtls-cookie"));
    assert_eq!(
        left_out.reached.as_deref(),
        Some("HelloVerifyRequest"),
        "{}",
        left_out.why
    );
    let judgement = play(recorded, &server, settings());
    assert_eq!(
        judgement.reached.as_deref(),
        Some("ServerHello"),
        "{}",
        judgement.why
    );
    assert!(
        field(&judgement, "messages")
            .unwrap()
            .ends_with("server_hello_done")
    );
}

#[test]
fn dtls_of_gnutls() {
    let Some(server) = Server::gnutls(&[], true) else {
        return;
    };
    let first = recorded("dtls12-gnutls/single.pcap", Protocol::Dtls, 443);
    let good = record(first, &server);
    let judgement = play(good, &server, settings());
    assert_eq!(judgement.verdict, Verdict::Same, "{}", judgement.why);
}

#[test]
fn dtls_message_and_record_numbers_count_on() {
    let Some(server) = Server::openssl(&["-dtls1_2", "-listen"], true) else {
        return;
    };
    let recorded = recorded("dtls12-gnutls/single.pcap", Protocol::Dtls, 443);
    let left_out = play(recorded.clone(), &server, set("keep=message-seq"));
    let reached = left_out.reached.as_deref();
    assert_ne!(reached, Some("ServerHello"), "{}", left_out.why);
    let Some(server) = Server::openssl(&["-dtls1_2"], true) else {
        return;
    };
    let left_out = play(recorded, &server, set("keep=record-sequence"));
    let reached = left_out.reached.as_deref();
    assert_ne!(reached, Some("ServerHello"), "{}", left_out.why);
}

#[test]
fn dtls10_is_spoken_to_old_servers() {
    let Some(server) = Server::openssl(&["-dtls1"], true) else {
        return;
    };
    let judgement = play(
        recorded("dtls10/single.pcap", Protocol::Dtls, 443),
        &server,
        settings(),
    );
    assert_eq!(
        field(&judgement, "version"),
        Some("DTLS 1.0"),
        "{}",
        judgement.why
    );
}

/// Plays a labelled capture on the command line, then what that gave: the same.
fn twice(name: &str, session: &str, server: &Server, reached: &str) -> serde_json::Value {
    let folder = lab::Folder::new();
    let record = folder.0.join("record.pcapng");
    let at = server.at();
    let arguments = ["--target", &at, "--timing", "fast", "--session"];
    let first = [
        &arguments[..],
        &[session, "--record", record.to_str().unwrap()],
    ]
    .concat();
    let first = lab::replay(lab::vpnscope(), &lab::pcap(name), &first);
    let json = first.json();
    assert_eq!(json["reached"], reached, "{name}: {json:#}");
    let again = [&arguments[..], &["1"]].concat();
    let again = lab::replay(lab::vpnscope(), &record, &again);
    again.exits(0).says("same");
    json
}

/// The second of two connections took up the session of the first. The offer is left out, so
/// the server goes the whole way: that is expected, and nothing else differs.
#[test]
fn resumptions_go_the_whole_way() {
    let options = ["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"];
    let Some(server) = Server::openssl(&options, false) else {
        return;
    };
    for name in ["tls12-resumption-ticket", "tls12-resumption-session-id"] {
        let file = format!("{name}/single.pcap");
        let json = twice(&file, "2", &server, "ServerHello");
        let steps = json["steps"].as_array().unwrap();
        let answer = steps
            .iter()
            .find(|s| s["received"] == "ServerHello")
            .unwrap();
        let fields = answer["fields"].as_array().unwrap();
        let of = |name: &str| fields.iter().find(|f| f["field"] == name).unwrap();
        for field in ["messages", "certificate"] {
            assert_eq!(of(field)["verdict"], "expected", "{name}: {json:#}");
        }
        assert!(
            of("messages")["live"]
                .as_str()
                .unwrap()
                .ends_with("server_hello_done")
        );
    }
}

/// A HelloRetryRequest that was recorded is passed, and the ServerHello after it compared.
#[test]
fn recorded_retries_are_played_to_the_end() {
    let Some(server) = Server::openssl(&["-tls1_3", "-groups", "P-521"], false) else {
        return;
    };
    let json = twice("tls13-hello-retry/single.pcap", "1", &server, "ServerHello");
    let retried =
        json["steps"].as_array().unwrap().iter().any(|step| {
            step["received"] == "HelloRetryRequest" && !step["recorded_frame"].is_null()
        });
    assert!(retried, "{json:#}");
}

/// A ClientHello in many DTLS fragments arrives whole.
#[test]
fn dtls_hellos_are_fragmented() {
    let Some(server) = Server::openssl(&["-dtls1_2"], true) else {
        return;
    };
    let recorded = recorded("dtls12-gnutls/single.pcap", Protocol::Dtls, 443);
    let judgement = play(recorded, &server, set("fragment=60"));
    assert_eq!(
        judgement.reached.as_deref(),
        Some("ServerHello"),
        "{}",
        judgement.why
    );
}

/// Every version that servers still speak.
#[test]
fn versions_are_spoken() {
    for (option, name, version) in [
        ("-tls1", "tls10-rsa", "TLS 1.0"),
        ("-tls1_1", "tls10-rsa", "TLS 1.1"),
        ("-tls1_2", "tls12-mutual", "TLS 1.2"),
        ("-tls1_3", "tls13-chacha20", "TLS 1.3"),
    ] {
        let Some(server) = Server::openssl(&[option], false) else {
            return;
        };
        let mut settings = settings();
        if option == "-tls1_1" {
            settings
                .variations
                .push(Variation::parse("version=0302").unwrap());
        }
        let file = format!("{name}/single.pcap");
        let judgement = play(recorded(&file, Protocol::Tls, 443), &server, settings);
        assert_eq!(
            field(&judgement, "version"),
            Some(version),
            "{option}: {}",
            judgement.why
        );
    }
}

#[test]
fn gnutls_over_tcp() {
    for (priority, name) in [
        ("NORMAL:-VERS-ALL:+VERS-TLS1.2", "tls12-mutual/single.pcap"),
        (
            "NORMAL:-VERS-ALL:+VERS-TLS1.3",
            "tls13-chacha20/single.pcap",
        ),
    ] {
        let Some(server) = Server::gnutls(&["--priority", priority], false) else {
            return;
        };
        twice(name, "1", &server, "ServerHello");
    }
}
