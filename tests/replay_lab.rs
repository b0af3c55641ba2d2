//! The program against real daemons in network namespaces, and as the gateway of real clients.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code"
)]

#[path = "replay_lab/clients.rs"]
mod clients;
#[path = "replay_lab/gateways.rs"]
mod gateways;
mod lab;
#[path = "replay_lab/raw.rs"]
mod raw;
#[path = "replay_lab/safety.rs"]
mod safety;
#[path = "replay_lab/stream.rs"]
mod stream;

use std::process::Stdio;
use std::time::Duration;

use lab::namespace::{GATEWAY, Namespaces};
use lab::strongswan::{NO_COOKIES, Setup, Strongswan};
use lab::{Folder, Run, has, pcap, replay, skip, text, until, vpnscope};

const FAST: [&str; 2] = ["--timing", "fast"];

fn args<'a>(target: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--target", target][..], &FAST, more].concat()
}

fn setup(proposals: &str) -> Setup<'_> {
    Setup {
        proposals,
        extra: NO_COOKIES,
        ..Setup::default()
    }
}

#[test]
fn ikev2_against_strongswan() {
    let Some(net) = Namespaces::new() else { return };
    let Some(mut gateway) = Strongswan::start(&net, &setup("aes256-sha256-x25519")) else {
        return;
    };
    let good = pcap("ikev2-psk-established/client.pcap");
    let bad = pcap("libreswan-ikev2-no-proposal-chosen/client.pcap");
    let run = |file, more: &[&str]| replay(net.vpnscope(), file, &args(GATEWAY, more));
    // The same configuration.
    run(&good, &[]).exits(0).says("same");
    run(&good, &["--want", "progress"]).exits(0);
    assert!(!text(&gateway.log()).contains("is behind NAT"));
    // Without the substitution the gateway sees a NAT.
    run(&good, &["--set", "keep=nat-detection"]).exits(0);
    assert!(until(Duration::from_secs(3), || text(&gateway.log())
        .contains("behind NAT")));
    // Another one.
    gateway.load(&net, &setup("aes128-sha1-modp1024"));
    let json = run(&good, &[]).exits(1).says("different");
    assert!(
        json["why"].as_str().unwrap().contains("NO_PROPOSAL_CHOSEN"),
        "{json:#}"
    );
    // One that asks for another group first.
    gateway.load(&net, &setup("aes256-sha256-modp2048"));
    let json = run(&good, &["--set", "proposals=1"]).json();
    assert_eq!(json["reached"], "IKE_SA_INIT response", "{json:#}");
    for group in [14, 15, 19, 20, 21, 31] {
        let words = [
            "modp2048", "modp3072", "ecp256", "ecp384", "ecp521", "x25519",
        ];
        let place = [14, 15, 19, 20, 21, 31]
            .iter()
            .position(|g| *g == group)
            .unwrap();
        gateway.load(&net, &setup(&format!("aes256-sha256-{}", words[place])));
        let json = run(&good, &["--set", &format!("group={group}")]).json();
        let answer = json["steps"].as_array().unwrap().last().unwrap();
        let fields = answer["fields"].as_array().unwrap();
        let payloads = fields.iter().find(|f| f["field"] == "payloads").unwrap();
        assert!(
            payloads["live"].as_str().unwrap().starts_with("SA KE"),
            "{group}: {json:#}"
        );
    }
    // The recorded refusal, and the gateway that is repaired.
    let recorded = vpnscope()
        .arg("replay")
        .arg(&bad)
        .args(["--target", GATEWAY, "--show-script"])
        .output()
        .unwrap();
    assert!(recorded.status.success());
    gateway.load(&net, &setup("aes256gcm16-prfsha384-ecp521"));
    run(&bad, &["--want", "progress"]).exits(1);
    gateway.load(&net, &setup("aes128-sha1-ecp256,aes256-sha256-modp2048,aes256-sha512-modp2048,aes128-sha256-modp2048,aes256gcm16-prfsha512-modp2048,aes256-sha256-ecp256,aes256-sha256-x25519,aes256-sha256-modp3072"));
    run(&bad, &["--want", "progress"]).exits(0).says("further");
    run(&bad, &[]).exits(1).says("further");
}

#[test]
fn rounds_of_strongswan_are_passed() {
    let Some(net) = Namespaces::new() else { return };
    let setup = Setup {
        proposals: "aes256-sha256-ecp384-x25519",
        extra: "cookie_threshold_ip = 1\nblock_threshold = 100",
        ..Setup::default()
    };
    let Some(gateway) = Strongswan::start(&net, &setup) else {
        return;
    };
    let good = pcap("ikev2-psk-established/client.pcap");
    // Every IKE_SA_INIT after the first is asked for a cookie.
    replay(net.vpnscope(), &good, &args(GATEWAY, &[])).exits(0);
    let json = replay(net.vpnscope(), &good, &args(GATEWAY, &[]))
        .exits(0)
        .json();
    let steps = json["steps"].as_array().unwrap();
    assert!(
        steps
            .iter()
            .any(|s| s["received"] == "IKE_SA_INIT response (COOKIE)"),
        "{json:#}"
    );
    let left_out = replay(
        net.vpnscope(),
        &good,
        &args(GATEWAY, &["--set", "keep=cookie"]),
    );
    assert_eq!(left_out.json()["reached"], "IKE_SA_INIT response (COOKIE)");
    drop(gateway);
}

#[test]
fn ikev1_against_strongswan() {
    let Some(net) = Namespaces::new() else { return };
    let main = Setup {
        version: 1,
        proposals: "aes256-sha1-modp2048",
        ..Setup::default()
    };
    let Some(mut gateway) = Strongswan::start(&net, &main) else {
        return;
    };
    let run = |file: &str, more: &[&str]| replay(net.vpnscope(), &pcap(file), &args(GATEWAY, more));
    let json = run("ikev1-main-psk-established/client.pcap", &[])
        .exits(0)
        .says("same");
    assert_eq!(json["reached"], "Main Mode 4");
    // Without the live cookie the gateway does not answer the third message.
    let json = run(
        "ikev1-main-psk-established/client.pcap",
        &["--set", "keep=responder-spi"],
    )
    .json();
    assert_ne!(json["reached"], "Main Mode 4", "{json:#}");
    gateway.load(
        &net,
        &Setup {
            version: 1,
            proposals: "aes128-sha256-modp3072",
            ..Setup::default()
        },
    );
    let json = run("ikev1-main-psk-established/client.pcap", &[])
        .exits(1)
        .says("different");
    assert!(
        json["why"].as_str().unwrap().contains("NO-PROPOSAL-CHOSEN"),
        "{json:#}"
    );
    gateway.load(
        &net,
        &Setup {
            version: 1,
            proposals: "aes256-sha1-modp2048",
            aggressive: true,
            ..Setup::default()
        },
    );
    let json = run("ikev1-aggressive-psk-mismatch/client.pcap", &[]).json();
    assert_eq!(json["reached"], "Aggressive Mode 2", "{json:#}");
}

/// What happened is written as a capture, which can be analysed and replayed in turn.
#[test]
fn the_record_is_a_recording() {
    let Some(net) = Namespaces::new() else { return };
    let Some(_gateway) = Strongswan::start(&net, &Setup::default()) else {
        return;
    };
    let folder = Folder::new();
    let record = folder.0.join("record.pcapng");
    let good = pcap("ikev2-psk-established/client.pcap");
    replay(
        net.vpnscope(),
        &good,
        &args(GATEWAY, &["--record", record.to_str().unwrap()]),
    )
    .exits(0);
    let again = replay(net.vpnscope(), &record, &args(GATEWAY, &[]));
    again.exits(0).says("same");
}

/// The recorded gateway to ike-scan.
#[test]
fn ike_scan_is_answered() {
    if !has("ike-scan") {
        skip("no ike-scan");
        return;
    }
    let Some(net) = Namespaces::new() else { return };
    let file = pcap("ikescan-main-mode/client.pcap");
    let mut command = net.gateway(env!("CARGO_BIN_EXE_vpnscope"));
    command.arg("replay").arg(&file).args([
        "--listen",
        GATEWAY,
        "--yes",
        "--timing",
        "fast",
        "--timeout",
        "20",
        "--format",
        "json",
    ]);
    let served = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let scan = net
        .client("ike-scan")
        .args(["--nodns", "--retry=2", GATEWAY])
        .output()
        .unwrap();
    let scan = String::from_utf8_lossy(&scan.stdout).into_owned();
    let served = Run::of(&served.wait_with_output().unwrap());
    assert!(
        scan.contains("Main Mode Handshake returned"),
        "{scan}\n{}",
        served.stderr
    );
    assert_eq!(served.json()["reached"], "Main Mode 1");
}
