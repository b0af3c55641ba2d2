//! Live clients against the recorded gateway.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::lab::namespace::{GATEWAY, Namespaces};
use super::lab::ocserv::openconnect;
use super::lab::strongswan::{NO_COOKIES, Setup, Strongswan};
use super::lab::xl2tpd::Xl2tpd;
use super::lab::{Folder, Run, free_tcp, has, long, pcap, replay, skip, text, until, vpnscope};
use super::{args, stream};

/// The program, playing the gateway.
pub(super) struct Played(Option<Child>);

impl Played {
    /// Plays the gateway of `file`; `port` is one it then listens on.
    pub(super) fn start(net: &Namespaces, file: &Path, port: u16, more: &[&str]) -> Self {
        let program = net.gateway(env!("CARGO_BIN_EXE_vpnscope"));
        let one = Self::run(program, file, GATEWAY, more);
        let listens = until(Duration::from_secs(10), || {
            let table = net
                .gateway("cat")
                .args(["/proc/net/udp", "/proc/net/tcp"])
                .output();
            let table = table.map(|t| String::from_utf8_lossy(&t.stdout).into_owned());
            table.is_ok_and(|t| t.contains(&format!(":{port:04X} ")))
        });
        assert!(listens, "nobody listens on {port}");
        one
    }

    fn run(mut program: Command, file: &Path, at: &str, more: &[&str]) -> Self {
        let child = program
            .arg("replay")
            .arg(file)
            .args([
                "--listen", at, "--yes", "--timing", "fast", "--format", "json",
            ])
            .args(["--timeout", "20"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(Some(child))
    }

    pub(super) fn end(mut self) -> Run {
        Run::of(&self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn setup(version: u8, proposals: &str) -> Setup<'_> {
    Setup {
        version,
        proposals,
        extra: NO_COOKIES,
        ..Setup::default()
    }
}

/// What charon makes of recorded gateways: it goes on, is refused, brings a cookie, is asked
/// for another group.
#[test]
fn charon_calls() {
    let Some(net) = Namespaces::new() else { return };
    let x25519 = setup(2, "aes256-sha256-x25519");
    let cases: &[(&str, Setup<'_>, &str, &str)] = &[
        (
            "ikev2-psk-established/client.pcap",
            x25519,
            "generating IKE_AUTH request",
            "IKE_SA_INIT request",
        ),
        (
            "libreswan-ikev2-no-proposal-chosen/client.pcap",
            x25519,
            "NO_PROPOSAL_CHOSEN",
            "IKE_SA_INIT request",
        ),
        (
            "ikev2-cookie-then-established/client.pcap",
            x25519,
            "generating IKE_AUTH request",
            "IKE_SA_INIT request (COOKIE)",
        ),
        (
            "ikev1-main-psk-established/client.pcap",
            setup(1, "aes256-sha1-modp2048"),
            "generating ID_PROT request 0 [ ID HASH",
            "Main Mode 3",
        ),
        (
            "ikev1-phase1-proposal-mismatch/client.pcap",
            setup(1, "aes256-sha1-modp2048"),
            "NO_PROPOSAL_CHOSEN",
            "Main Mode 1",
        ),
    ];
    let Some(mut client) = Strongswan::client(&net, &x25519) else {
        return;
    };
    for (name, setup, log, reached) in cases {
        let before = text(&client.log()).len();
        client.load(&net, setup);
        let played = Played::start(&net, &pcap(name), 500, &[]);
        client.initiate(&net, 2);
        client.forget(&net);
        let run = played.end();
        let wrote = text(&client.log())[before..].to_string();
        assert!(wrote.contains(log), "{name}: {wrote}\n{}", run.stderr);
        assert_eq!(run.json()["reached"], *reached, "{name}: {}", run.stdout);
    }
}

/// Without these, charon does not take the recorded gateway for a gateway.
#[test]
fn what_the_gateway_leaves_out_charon_refuses() {
    if !long() {
        return;
    }
    let Some(net) = Namespaces::new() else { return };
    let setup = setup(2, "aes256-sha256-x25519");
    let Some(client) = Strongswan::client(&net, &setup) else {
        return;
    };
    let good = pcap("ikev2-psk-established/client.pcap");
    for (left_out, log, is_there) in [
        ("responder-spi", "IKE_AUTH", true),
        ("nat-detection", "is behind NAT", true),
        ("cookie", "is behind NAT", false),
    ] {
        let before = text(&client.log()).len();
        let keep = format!("keep={left_out}");
        let played = Played::start(&net, &good, 500, &["--set", &keep]);
        client.initiate(&net, 2);
        client.forget(&net);
        drop(played);
        let wrote = text(&client.log())[before..].to_string();
        assert_eq!(wrote.contains(log), is_there, "{left_out}: {wrote}");
    }
}

/// One recorded gateway for many clients, each with a verdict of its own.
#[test]
fn many_clients_are_served_at_once() {
    if !has("ike-scan") {
        skip("no ike-scan");
        return;
    }
    let Some(net) = Namespaces::new() else { return };
    let file = pcap("ikescan-main-mode/client.pcap");
    let played = Played::start(&net, &file, 500, &["--clients", "5"]);
    let scans: Vec<Child> = (0..5)
        .map(|n| {
            net.client("ike-scan")
                .args([
                    "--nodns",
                    "--retry=3",
                    "--sport",
                    &(20_000 + n).to_string(),
                    GATEWAY,
                ])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for scan in scans {
        let said = Run::of(&scan.wait_with_output().unwrap());
        assert!(
            said.stdout.contains("Main Mode Handshake returned"),
            "{}",
            said.stdout
        );
    }
    let json = played.end().json();
    assert_eq!(json["clients"].as_array().unwrap().len(), 5, "{json:#}");
    assert_eq!(json["reached"], "Main Mode 1");
}

#[test]
fn ike_scan_in_aggressive_mode() {
    if !has("ike-scan") {
        skip("no ike-scan");
        return;
    }
    let Some(net) = Namespaces::new() else { return };
    let file = pcap("ikescan-aggressive/client.pcap");
    let played = Played::start(&net, &file, 500, &[]);
    let scan = net
        .client("ike-scan")
        .args([
            "--nodns",
            "--retry=2",
            "--aggressive",
            "--id=group",
            GATEWAY,
        ])
        .output()
        .unwrap();
    let scan = Run::of(&scan);
    let run = played.end();
    assert!(
        scan.stdout.contains("Aggressive Mode Handshake returned"),
        "{}",
        scan.stdout
    );
    assert_eq!(run.json()["reached"], "Aggressive Mode 1");
}

/// A stranger is not answered.
#[test]
fn only_the_named_client_is_answered() {
    if !has("ike-scan") {
        skip("no ike-scan");
        return;
    }
    let Some(net) = Namespaces::new() else { return };
    let file = pcap("ikescan-main-mode/client.pcap");
    let more = ["--client", "198.51.100.77", "--timeout", "4"];
    let program = net.gateway(env!("CARGO_BIN_EXE_vpnscope"));
    let child = {
        let mut program = program;
        program
            .arg("replay")
            .arg(&file)
            .args(["--listen", GATEWAY, "--yes", "--format", "json"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let played = Played(Some(child));
    std::thread::sleep(Duration::from_millis(500));
    let scan = net
        .client("ike-scan")
        .args(["--nodns", "--retry=1", GATEWAY])
        .output();
    assert!(String::from_utf8_lossy(&scan.unwrap().stdout).contains("0 returned handshake"));
    let run = played.end();
    let json = run.exits(2).says("not-played");
    assert!(json["why"].as_str().unwrap().contains("nobody called"));
}

/// A recorded gateway that asks for a password and refuses it.
#[test]
fn xl2tpd_calls() {
    let cases = [
        ("l2tp-pap-auth-failed/client.pcap", "PAP nak"),
        ("l2tp-pap-established/client.pcap", "PAP ack"),
        ("l2tp-mschapv2-established/client.pcap", "CHAP success"),
    ];
    for (name, log) in cases {
        let Some(net) = Namespaces::new() else { return };
        let played = Played::start(&net, &pcap(name), 1701, &[]);
        let Some(client) = Xl2tpd::client(&net) else {
            return;
        };
        let said = until(Duration::from_secs(10), || client.ppp_log().contains(log));
        assert!(said, "{name}: {}\n{}", client.ppp_log(), client.log());
        let run = played.end();
        assert!(run.json()["reached"].is_string(), "{}", run.stdout);
    }
}

/// What the recorded gateway leaves out, xl2tpd does not take.
#[test]
fn what_the_gateway_leaves_out_xl2tpd_refuses() {
    if !long() {
        return;
    }
    for left_out in ["tunnel-id", "session-id", "identifier"] {
        let Some(net) = Namespaces::new() else { return };
        let keep = format!("keep={left_out}");
        let file = pcap("l2tp-pap-established/client.pcap");
        let played = Played::start(&net, &file, 1701, &["--set", &keep]);
        let Some(client) = Xl2tpd::client(&net) else {
            return;
        };
        let said = until(Duration::from_secs(3), || {
            client.ppp_log().contains("PAP ack")
        });
        assert!(!said, "{left_out}: {}", client.ppp_log());
        drop(played);
    }
}

/// openconnect meets the recorded server's certificates, and its alert.
#[test]
fn openconnect_calls() {
    let cases = [
        ("oc-established-tls12/client.pcap", "SSL connection failure"),
        (
            "oc-established-tls13-dtls12-psk/client.pcap",
            "SSL connection failure",
        ),
        (
            "oc-tls-version-mismatch-old-server/client.pcap",
            "SSL connection failure",
        ),
    ];
    for (name, said) in cases {
        let Some(net) = Namespaces::new() else { return };
        let played = Played::start(&net, &pcap(name), 443, &["--session", "1"]);
        let Some(client) = openconnect(&net) else {
            return;
        };
        let client = Run::of(&client);
        assert_ne!(client.status, 0);
        assert!(client.stderr.contains(said), "{name}: {}", client.stderr);
        let run = played.end();
        let json = run.json();
        assert!(json["reached"].is_string(), "{name}: {json:#}");
        let hello = json["steps"]
            .as_array()
            .unwrap()
            .iter()
            .find(|step| step["received"] == "ClientHello")
            .unwrap();
        let named = |name: &str| {
            hello["fields"]
                .as_array()
                .unwrap()
                .iter()
                .any(|f| f["field"] == name)
        };
        assert!(named("cipher_suites") && named("extensions"), "{hello:#}");
    }
}

/// IKE over TCP (RFC 9329), both ends played: the kernels of test machines seldom have what
/// daemons need for it.
#[test]
fn ike_over_tcp() {
    let folder = Folder::new();
    let file = stream::recording(&folder, &pcap("ikev2-psk-established/client.pcap"));
    let script = vpnscope()
        .arg("replay")
        .arg(&file)
        .args(["--target", "127.0.0.1", "--dry-run"])
        .output()
        .unwrap();
    let script = Run::of(&script);
    script.exits(0);
    assert!(
        script.stdout.contains("IKEv2 over TCP"),
        "{}",
        script.stdout
    );
    // The prefix, the length that counts itself, the marker.
    assert!(
        script.stdout.contains("494b4554435000f600000000"),
        "{}",
        script.stdout
    );
    let port = free_tcp();
    let at = format!("127.0.0.1:{port}");
    let played = Played::run(vpnscope(), &file, &at, &["--clients", "2"]);
    std::thread::sleep(Duration::from_millis(500));
    let record: PathBuf = folder.0.join("record.pcapng");
    let run = replay(
        vpnscope(),
        &file,
        &args(&at, &["--record", record.to_str().unwrap()]),
    );
    let json = run.exits(0).says("same");
    assert_eq!(json["reached"], "IKE_SA_INIT response");
    // What was written is IKE over TCP too.
    let again = replay(vpnscope(), &record, &args(&at, &[]));
    again.exits(0).says("same");
    let json = played.end().json();
    assert_eq!(json["clients"].as_array().unwrap().len(), 2, "{json:#}");
}
