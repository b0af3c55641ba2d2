//! The recorded client against live gateways.

use std::path::Path;
use std::time::Duration;

use super::args;
use super::clients::Played;
use super::lab::libreswan::Libreswan;
use super::lab::namespace::{GATEWAY, Namespaces};
use super::lab::ocserv::Ocserv;
use super::lab::strongswan::{CERTIFICATE, NO_COOKIES, Setup, Strongswan};
use super::lab::xl2tpd::Xl2tpd;
use super::lab::{Folder, Run, long, pcap, replay, text, until};

/// Plays `file` against the gateway.
fn run(net: &Namespaces, file: &Path, more: &[&str]) -> Run {
    replay(net.vpnscope(), file, &args(GATEWAY, more))
}

/// Plays a labelled capture, and what that gave once more: the second run ends as the first.
#[track_caller]
fn twice(net: &Namespaces, name: &str, reached: &str) {
    let folder = Folder::new();
    let record = folder.0.join("record.pcapng");
    let first = run(
        net,
        &pcap(name),
        &["--session", "1", "--record", record.to_str().unwrap()],
    );
    let json = first.json();
    assert_eq!(json["reached"], reached, "{name}: {json:#}");
    let again = run(net, &record, &[]);
    let json = again.says("same");
    again.exits(0);
    assert_eq!(json["reached"], reached, "{name}");
}

fn setup(version: u8, proposals: &str) -> Setup<'_> {
    Setup {
        version,
        proposals,
        extra: NO_COOKIES,
        ..Setup::default()
    }
}

/// Recordings of many kinds, the set-up that takes them, and where they end.
fn kinds_v2() -> Vec<(&'static str, Setup<'static>, &'static str)> {
    let sa_init = "IKE_SA_INIT response";
    vec![
        (
            "ikev2-psk-mismatch-aes128-sha1-modp2048/client.pcap",
            setup(2, "aes128-sha1-modp2048"),
            sa_init,
        ),
        (
            "ikev2-psk-mismatch-aes128gcm-ecp256/client.pcap",
            setup(2, "aes128gcm16-prfsha256-ecp256"),
            sa_init,
        ),
        (
            "ikev2-psk-mismatch-aes256-sha384-ecp384/client.pcap",
            setup(2, "aes256-sha384-ecp384"),
            sa_init,
        ),
        (
            "ikev2-psk-mismatch-chacha20poly1305-x25519/client.pcap",
            setup(2, "chacha20poly1305-prfsha256-x25519"),
            sa_init,
        ),
        (
            "ikev2-eap-mschapv2-established/client.pcap",
            Setup {
                local: CERTIFICATE,
                ..setup(2, "aes256-sha256-x25519")
            },
            sa_init,
        ),
        (
            "libreswan-ikev2-established/client.pcap",
            setup(2, "aes256-sha256-modp2048"),
            sa_init,
        ),
    ]
}

/// Those of both versions.
fn kinds() -> Vec<(&'static str, Setup<'static>, &'static str)> {
    [kinds_v2(), kinds_v1()].concat()
}

fn kinds_v1() -> Vec<(&'static str, Setup<'static>, &'static str)> {
    let (main, aggressive) = ("Main Mode 4", "Aggressive Mode 2");
    let xauth: &[&str] = &["auth = psk", "auth = xauth"];
    vec![
        (
            "ikev1-main-psk-established/client.pcap",
            setup(1, "aes256-sha1-modp2048"),
            main,
        ),
        (
            "ikev1-groups-19-20-2-established/client.pcap",
            setup(1, "aes128-sha1-ecp256"),
            main,
        ),
        (
            "libreswan-ikev1-established/client.pcap",
            setup(1, "aes256-sha256-modp2048,aes256-sha1-modp2048"),
            main,
        ),
        (
            "ikev1-certificates-established/client.pcap",
            Setup {
                local: CERTIFICATE,
                remote: &["auth = pubkey"],
                ..setup(1, "aes256-sha1-modp2048")
            },
            main,
        ),
        (
            "ikev1-xauth-modeconfig-established/client.pcap",
            Setup {
                remote: xauth,
                ..setup(1, "aes256-sha1-modp2048")
            },
            main,
        ),
        (
            "ikev1-hybrid-xauth-established/client.pcap",
            Setup {
                local: CERTIFICATE,
                remote: &["auth = xauth"],
                ..setup(1, "aes256-sha1-modp2048")
            },
            main,
        ),
        (
            "ikev1-aggressive-psk-mismatch/client.pcap",
            Setup {
                aggressive: true,
                ..setup(1, "aes256-sha1-modp2048")
            },
            aggressive,
        ),
        (
            "ikev1-vpnc-xauth-established/client.pcap",
            Setup {
                aggressive: true,
                remote: xauth,
                ..setup(1, "aes256-sha1-modp1024")
            },
            aggressive,
        ),
    ]
}

#[test]
fn recordings_of_many_kinds_are_taken_by_strongswan() {
    let Some(net) = Namespaces::new() else { return };
    let Some(mut gateway) = Strongswan::start(&net, &setup(2, "aes256-sha256-x25519")) else {
        return;
    };
    for (name, setup, reached) in kinds() {
        gateway.load(&net, &setup);
        twice(&net, name, reached);
    }
}

/// Each of them against a gateway that is set up otherwise: refused, and said so.
#[test]
fn other_proposals_are_named() {
    let Some(net) = Namespaces::new() else { return };
    let Some(mut gateway) = Strongswan::start(&net, &setup(2, "aes256-sha256-x25519")) else {
        return;
    };
    let all = kinds();
    let chosen = if long() {
        all
    } else {
        all.into_iter().step_by(6).collect()
    };
    for (name, right, _) in chosen {
        let wrong = Setup {
            proposals: "3des-md5-modp8192",
            ..right
        };
        gateway.load(&net, &wrong);
        let run = run(&net, &pcap(name), &["--session", "1"]);
        let json = run.exits(1).says("different");
        let why = json["why"].as_str().unwrap().replace('-', "_");
        assert!(why.contains("NO_PROPOSAL_CHOSEN"), "{name}: {why}");
        assert!(why.contains("recorded was"), "{name}: {why}");
    }
}

/// A refusal that was recorded against the broken gateway, and the repaired one.
#[test]
fn a_repaired_gateway_is_progress() {
    let Some(net) = Namespaces::new() else { return };
    let Some(mut gateway) = Strongswan::start(&net, &setup(2, "3des-md5-modp8192")) else {
        return;
    };
    let folder = Folder::new();
    let refused = folder.0.join("refused.pcapng");
    let cases = [
        (
            "ikev2-psk-established/client.pcap",
            setup(2, "3des-md5-modp8192"),
            setup(2, "aes256-sha256-x25519"),
        ),
        (
            "ikev1-main-psk-established/client.pcap",
            setup(1, "3des-md5-modp8192"),
            setup(1, "aes256-sha1-modp2048"),
        ),
    ];
    for (name, broken, repaired) in cases {
        gateway.load(&net, &broken);
        run(&net, &pcap(name), &["--record", refused.to_str().unwrap()]).exits(1);
        run(&net, &refused, &[]).exits(0).says("same");
        run(&net, &refused, &["--want", "progress"]).exits(1);
        gateway.load(&net, &repaired);
        run(&net, &refused, &[]).exits(1).says("further");
        run(&net, &refused, &["--want", "progress"])
            .exits(0)
            .says("further");
    }
}

/// What fails only once it is encrypted cannot be seen to be repaired.
#[test]
fn a_failure_beyond_reach_is_no_progress() {
    let Some(net) = Namespaces::new() else { return };
    let proposals = setup(2, "aes128-sha1-modp2048");
    let Some(_gateway) = Strongswan::start(&net, &proposals) else {
        return;
    };
    let mismatch = pcap("ikev2-psk-mismatch-aes128-sha1-modp2048/client.pcap");
    let run = run(&net, &mismatch, &["--want", "progress"]);
    let json = run.exits(1).json();
    let why = json["why"].as_str().unwrap();
    assert!(why.contains("the recording failed later"), "{why}");
}

/// A group that the gateway asks for: of the recording where it has one, else one of our own.
#[test]
fn rounds_for_another_group_are_passed() {
    let Some(net) = Namespaces::new() else { return };
    let folder = Folder::new();
    // What a client says that offers several groups: charon, to a gateway that is played.
    let offer = folder.0.join("offer.pcapng");
    let groups = setup(2, "aes256-sha256-x25519-ecp256-ecp384-modp3072");
    let Some(client) = Strongswan::client(&net, &groups) else {
        return;
    };
    let good = pcap("ikev2-psk-established/client.pcap");
    let more = ["--record", offer.to_str().unwrap()];
    let played = Played::start(&net, &good, 500, &more);
    client.initiate(&net, 1);
    drop(client);
    played.end();
    let Some(mut gateway) = Strongswan::start(&net, &setup(2, "aes256-sha256-ecp256")) else {
        return;
    };
    for group in ["ecp256", "ecp384", "modp3072"] {
        gateway.load(&net, &setup(2, &format!("aes256-sha256-{group}")));
        let record = folder.0.join(format!("{group}.pcapng"));
        let asked = "IKE_SA_INIT response (INVALID_KE_PAYLOAD)";
        let passed = run(&net, &offer, &["--record", record.to_str().unwrap()]);
        let json = passed.exits(1).says("different");
        assert_eq!(json["reached"], "IKE_SA_INIT response", "{group}: {json:#}");
        let steps = json["steps"].as_array().unwrap();
        assert!(
            steps.iter().any(|s| s["received"] == asked),
            "{group}: {json:#}"
        );
        let kept = run(&net, &offer, &["--set", "keep=key-share"]).json();
        assert_eq!(kept["reached"], asked, "{group}: {kept:#}");
        // The recorded round is passed with the recorded share.
        run(&net, &record, &[]).exits(0).says("same");
        // A group that was not offered is not answered (RFC 7296 section 1.3).
        let other = setup(2, "aes256-sha256-modp4096");
        gateway.load(&net, &other);
        run(&net, &offer, &[]).exits(1);
    }
}

/// An answer that comes in IP fragments, which the recorded one did not.
#[test]
fn fragments_of_a_live_answer_are_seen() {
    let Some(net) = Namespaces::new() else { return };
    let file = pcap("ikev1-aggressive-psk-mismatch/client.pcap");
    // A cable takes no more at one end than at the other.
    for (mut ip, name) in [
        (net.gateway("ip"), net.gateway_interface()),
        (net.client("ip"), net.client_interface()),
    ] {
        let narrow = ip
            .args(["link", "set", name, "mtu", "400"])
            .output()
            .unwrap();
        assert!(narrow.status.success());
    }
    let played = Played::start(&net, &file, 500, &[]);
    let json = run(&net, &file, &[]).exits(1).says("different");
    let why = json["why"].as_str().unwrap();
    assert!(why.contains("fragments is 2, recorded was 1"), "{why}");
    drop(played);
}

#[test]
fn libreswan_as_the_gateway() {
    let cases: &[(&str, &[&str], &str)] = &[
        (
            "ikev2-psk-established/client.pcap",
            &["ikev2=insist", "ike=aes256-sha2_256-dh31"],
            "IKE_SA_INIT response",
        ),
        (
            "ikev1-main-psk-established/client.pcap",
            &["ikev2=never", "ike=aes256-sha1-dh14"],
            "Main Mode 4",
        ),
        (
            "ikev1-aggressive-psk-mismatch/client.pcap",
            &[
                "ikev2=never",
                "aggressive=yes",
                "rightid=alice@example.test",
                "ike=aes256-sha1-dh14",
            ],
            "Aggressive Mode 2",
        ),
    ];
    for (name, lines, reached) in cases {
        let Some(net) = Namespaces::new() else { return };
        let Some(gateway) = Libreswan::start(&net, lines) else {
            return;
        };
        twice(&net, name, reached);
        drop(gateway);
        if !long() && !name.starts_with("ikev2") {
            continue;
        }
        let mut wrong = lines.to_vec();
        wrong.retain(|line| !line.starts_with("ike="));
        // A group of the length that Aggressive Mode guesses, another cipher.
        wrong.push("ike=aes128-sha2_512-dh14");
        let Some(other) = Libreswan::start(&net, &wrong) else {
            return;
        };
        let json = run(&net, &pcap(name), &[]).exits(1).says("different");
        let why = json["why"].as_str().unwrap().replace('-', "_");
        assert!(why.contains("NO_PROPOSAL_CHOSEN"), "{name}: {why}");
        drop(other);
    }
}

/// All of IKE goes to port 4500 with its marker where the user names that port.
#[test]
fn port_4500_is_spoken_to_with_the_marker() {
    let Some(net) = Namespaces::new() else { return };
    let Some(gateway) = Strongswan::start(&net, &setup(2, "aes256-sha256-x25519")) else {
        return;
    };
    let good = pcap("ikev2-psk-established/client.pcap");
    let target = format!("{GATEWAY}:4500");
    let run = replay(net.vpnscope(), &good, &args(&target, &[]));
    let json = run.json();
    assert_eq!(json["reached"], "IKE_SA_INIT response", "{json:#}");
    assert!(text(&gateway.log()).contains("[4500]"));
}

/// A recording that moves to port 4500: `--blind` follows it there, and says so beforehand.
#[test]
fn later_messages_are_sent_blindly_to_port_4500() {
    let Some(net) = Namespaces::new() else { return };
    let Some(gateway) = Strongswan::start(&net, &setup(2, "aes256-sha256-x25519")) else {
        return;
    };
    let good = pcap("ikev2-eap-mschapv2-established/client.pcap");
    let run = run(&net, &good, &["--blind", "--max-messages", "3"]);
    assert!(run.stderr.contains("--blind"), "{}", run.stderr);
    assert!(run.stderr.contains("credentials"), "{}", run.stderr);
    let seen = until(Duration::from_secs(5), || {
        text(&gateway.log()).contains("[4500]")
    });
    assert!(seen, "{}", text(&gateway.log()));
}

#[test]
fn xl2tpd_as_the_gateway() {
    let cases = [
        (
            "l2tp-pap-established/client.pcap",
            "pap",
            "LCP Configure-Ack",
        ),
        (
            "l2tp-mschapv2-established/client.pcap",
            "mschapv2",
            "CHAP Challenge",
        ),
        (
            "l2tp-mschapv2-established/client.pcap",
            "chap",
            "CHAP Challenge",
        ),
    ];
    for (name, auth, reached) in cases {
        let Some(net) = Namespaces::new() else { return };
        let Some(gateway) = Xl2tpd::gateway(&net, "", &format!("lab-auth {auth}")) else {
            return;
        };
        twice(&net, name, reached);
        // No password was said, and the tunnel is closed.
        assert!(
            !gateway.ppp_log().contains("by bob"),
            "{}",
            gateway.ppp_log()
        );
        let closed = until(Duration::from_secs(5), || {
            gateway.log().contains("Connection closed")
        });
        assert!(closed, "{}", gateway.log());
    }
}

/// Without each of these, xl2tpd or the PPP behind it does not go on as recorded.
#[test]
fn what_is_left_out_of_l2tp_is_refused() {
    if !long() {
        return;
    }
    let Some(net) = Namespaces::new() else { return };
    let name = "l2tp-mschapv2-established/client.pcap";
    // The recorded magic number, so that a peer with the same one sees its line looped.
    let magic = super::stream::magic(&pcap(name));
    let told = format!("lab-auth mschapv2\nlab-magic {magic}");
    let Some(gateway) = Xl2tpd::gateway(&net, "", &told) else {
        return;
    };
    let folder = Folder::new();
    let record = folder.0.join("record.pcapng");
    run(&net, &pcap(name), &["--record", record.to_str().unwrap()]);
    run(&net, &record, &[]).exits(0).says("same");
    let renumbered = super::stream::renumbered(&folder, &record);
    run(&net, &renumbered, &[]).exits(0).says("same");
    let kept = run(&net, &renumbered, &["--set", "keep=sequence"]);
    assert_ne!(kept.status, 0, "{}", kept.stdout);
    for left_out in ["tunnel-id", "session-id", "identifier"] {
        let run = run(&net, &record, &["--set", &format!("keep={left_out}")]);
        assert_ne!(run.status, 0, "{left_out}: {}", run.stdout);
    }
    let looped = run(&net, &pcap(name), &["--set", "keep=magic"]);
    assert!(
        gateway.ppp_log().contains("looped"),
        "{}",
        gateway.ppp_log()
    );
    assert_ne!(looped.status, 0);
}

#[test]
fn ocserv_as_the_gateway() {
    let Some(net) = Namespaces::new() else { return };
    let Some(gateway) = Ocserv::start(&net, "NORMAL:-VERS-TLS1.3") else {
        return;
    };
    twice(&net, "oc-established-tls12/client.pcap", "ServerHello");
    drop(gateway);
    let Some(gateway) = Ocserv::start(&net, "NORMAL") else {
        return;
    };
    twice(
        &net,
        "oc-established-tls13-dtls12-psk/client.pcap",
        "ServerHello",
    );
    drop(gateway);
    let Some(_old) = Ocserv::start(&net, "NORMAL:-VERS-ALL:+VERS-TLS1.2") else {
        return;
    };
    let json = run(
        &net,
        &pcap("oc-established-tls13-dtls12-psk/client.pcap"),
        &[],
    )
    .exits(1)
    .says("different");
    assert!(
        json["why"].as_str().unwrap().contains("version"),
        "{json:#}"
    );
}
