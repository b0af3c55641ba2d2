//! What `analyze` reports of TLS and DTLS, and what it only counts: through the binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test code"
)]

mod common;

use common::program::{Scratch, run};
use common::wrap;
use serde_json::Value;

/// The report, and the exit status.
fn analyze(arguments: &[&str]) -> (Value, i32) {
    let output = run(&[&["analyze", "--format", "json"], arguments].concat());
    let report = serde_json::from_slice(&output.stdout).expect("a report");
    (report, output.status.code().expect("an exit status"))
}

fn sessions(report: &Value) -> &Vec<Value> {
    report["sessions"].as_array().expect("sessions")
}

/// How many sessions are reported, how many are not, and the exit status.
fn counted(tls: &str, file: &str) -> (usize, u64, i32) {
    let (report, status) = analyze(&["--tls", tls, file]);
    let not = report["summary"]["tls_not_reported"].as_u64().unwrap();
    assert_eq!(report["summary"]["sessions"], sessions(&report).len());
    (sessions(&report).len(), not, status)
}

#[test]
fn what_is_not_reported_is_counted() {
    let healthy_web = "pcaps/tls13-chacha20/single.pcap";
    let failed_web = "pcaps/tls12-alert-server-unknown-ca/single.pcap";
    let healthy_vpn = "pcaps/oc-established-tls12/client.pcap";
    for (file, all, failed, vpn) in [
        (healthy_web, (1, 0, 0), (0, 1, 0), (0, 1, 0)),
        (failed_web, (1, 0, 1), (1, 0, 1), (0, 1, 0)),
        (healthy_vpn, (1, 0, 0), (1, 0, 0), (1, 0, 0)),
    ] {
        assert_eq!(counted("all", file), all, "all {file}");
        assert_eq!(counted("failed", file), failed, "failed {file}");
        assert_eq!(counted("auto", file), failed, "auto {file}");
        assert_eq!(counted("vpn", file), vpn, "vpn {file}");
    }
    let text = run(&["analyze", healthy_web]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("1 TLS or DTLS sessions that nothing marks as a VPN"),
        "{text}"
    );
}

#[test]
fn a_gateway_that_is_named_makes_its_sessions_a_vpn() {
    let file = "pcaps/tls13-chacha20/single.pcap";
    let (report, _) = analyze(&["--tls", "all", file]);
    let gateway = sessions(&report)[0]["gateway"]["ip"]
        .as_str()
        .unwrap()
        .to_string();
    let (report, status) = analyze(&["--tls", "vpn", "--gateway", &gateway, file]);
    assert_eq!((sessions(&report).len(), status), (1, 1));
    // The user says that it is a gateway; what answers does not behave like one.
    assert_eq!(sessions(&report)[0]["cause"], "not-a-vpn-gateway");
}

/// A pcap on Ethernet.
fn written(name: &str, datagrams: &[Vec<u8>]) -> Scratch {
    let timed: Vec<(i64, Vec<u8>)> = (0i64..)
        .zip(datagrams)
        .map(|(n, ip)| (1_700_000_000_000_000_000 + n * 1_000_000_000, ip.clone()))
        .collect();
    Scratch::new(name, &common::capture(&timed, &wrap::ALL[0]))
}

const CLIENT: [u8; 4] = [192, 0, 2, 9];
const GATEWAY: [u8; 4] = [203, 0, 113, 1];

fn tcp(from: u16, to: u16, numbers: (u32, u32), flags: u8, octets: &[u8]) -> Vec<u8> {
    wrap::cat(&[
        &from.to_be_bytes(),
        &to.to_be_bytes(),
        &numbers.0.to_be_bytes(),
        &numbers.1.to_be_bytes(),
        &[0x50, flags, 0x20, 0, 0, 0, 0, 0],
        octets,
    ])
}

fn to_gateway(protocol: u8, octets: &[u8]) -> Vec<u8> {
    wrap::ipv4(CLIENT, GATEWAY, protocol, 0, octets)
}

fn to_client(protocol: u8, octets: &[u8]) -> Vec<u8> {
    wrap::ipv4(GATEWAY, CLIENT, protocol, 0, octets)
}

const SYN: u8 = 2;
const ACK: u8 = 16;

/// Octets as if drawn by lot.
fn lot(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491u32;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[1]
        })
        .collect()
}

#[test]
fn vpns_that_are_not_analysed_are_named() {
    let wireguard = wrap::cat(&[&[1, 0, 0, 0], &lot(128), &[0; 16]]);
    let openvpn = wrap::cat(&[&[0x38], &lot(8), &[0; 5]]);
    let openvpn_tcp = wrap::cat(&[&[0, 14], &openvpn]);
    let sstp = b"SSTP_DUPLEX_POST /sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/ HTTP/1.1\r\n";
    let mut pptp = vec![0, 156, 0, 1, 0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0];
    pptp.resize(156, 0);
    let mut list = vec![
        to_gateway(17, &wrap::udp(40_000, 51_820, &wireguard)),
        // The same conversation again.
        to_gateway(17, &wrap::udp(40_000, 51_820, &wireguard)),
        to_gateway(17, &wrap::udp(40_001, 1194, &openvpn)),
        // A datagram like neither.
        to_gateway(17, &wrap::udp(40_002, 1194, &wireguard[..147])),
    ];
    for (port, octets) in [(1194, &openvpn_tcp[..]), (80, &sstp[..]), (1723, &pptp)] {
        list.push(to_gateway(6, &tcp(50_000, port, (9, 0), SYN, &[])));
        list.push(to_client(6, &tcp(port, 50_000, (99, 10), SYN | ACK, &[])));
        list.push(to_gateway(6, &tcp(50_000, port, (10, 100), ACK, octets)));
    }
    let file = written("others.pcap", &list);
    let (report, status) = analyze(&[file.name()]);
    let others = &report["summary"]["other_vpns"];
    assert_eq!(
        others,
        &serde_json::json!({"wireguard": 1, "openvpn": 2, "sstp": 1, "pptp": 1})
    );
    assert_eq!((sessions(&report).len(), status), (0, 0));
    let text = String::from_utf8(run(&["analyze", file.name()]).stdout).unwrap();
    for name in ["WireGuard (1)", "OpenVPN (2)", "SSTP (1)", "PPTP (1)"] {
        assert!(text.contains(name), "{name}: {text}");
    }
}

#[test]
fn hints_say_who_is_who_and_what_matters() {
    // Nobody answers on a port that is no usual one of TLS.
    let list: Vec<_> = (0..4)
        .map(|_| to_gateway(6, &tcp(50_000, 5555, (9, 0), SYN, &[])))
        .collect();
    let file = written("unanswered.pcap", &list);
    let (report, status) = analyze(&[file.name()]);
    assert_eq!((sessions(&report).len(), status), (0, 0));
    let (report, status) = analyze(&["--gateway", "203.0.113.1:5555", file.name()]);
    assert_eq!(sessions(&report)[0]["cause"], "tcp-no-answer");
    assert_eq!(status, 1);
    let (report, status) = analyze(&["--gateway", "203.0.113.1:5556", file.name()]);
    assert_eq!((sessions(&report).len(), status), (0, 0));

    // A connection from its middle, with the client on the lower port.
    let record = wrap::cat(&[&[23, 3, 3, 0, 64], &lot(64)]);
    let from = |n: u32| tcp(1000, 8443, (n * 69, 7), ACK, &record);
    let back = |n: u32| tcp(8443, 1000, (7, n * 69), ACK, &[]);
    let list: Vec<_> = (1..6)
        .flat_map(|n| [to_gateway(6, &from(n)), to_client(6, &back(n + 1))])
        .collect();
    let file = written("middle.pcap", &list);
    for (hint, client) in [
        (&[][..], "203.0.113.1"),
        (&["--gateway", "203.0.113.1"][..], "192.0.2.9"),
        (&["--client", "192.0.2.9"][..], "192.0.2.9"),
    ] {
        let (report, _) = analyze(&[&["--tls", "all"], hint, &[file.name()]].concat());
        assert_eq!(sessions(&report)[0]["client"]["ip"], client, "{hint:?}");
    }
}

/// Captures of others that hold web traffic, of which nothing failed but what is named here.
const FAILED: [(&str, &str); 13] = [
    ("tls-duplicate-hello__input.pcap", "tcp-reset"),
    ("tls-extra-alert__input.pcap", "tls-cipher-mismatch"),
    ("tls_DER-incomplete-content.pcap", "cert-rejected"),
    ("tls_DER-incomplete-header.pcap", "cert-rejected"),
    ("arkime_synthetic.pcap", "cert-not-yet-valid"),
    ("nfstream__nfstream/tls_alert.pcap", "tls-version-mismatch"),
    ("ntop__nDPI/tls_alert.pcap", "tls-version-mismatch"),
    ("ntop__nDPI/dtls.pcap", "dtls-alert"),
    ("zeek__zeek/dtls13-cid.pcap", "no-response"),
    ("zeek__zeek/https-to-http.pcap", "not-tls"),
    (
        "chrome55.0.2879.0-canary-aborted.pcap",
        "tls-version-mismatch",
    ),
    ("tls13draft16-ff52.a01-aborted.pcap", "tls-version-mismatch"),
    ("anyconnect-vpn.pcap", "-"),
];

#[test]
fn healthy_web_traffic_of_others_is_counted_and_not_reported() {
    let Some(corpus) = common::corpus("captures of others") else {
        return;
    };
    let folder = corpus.join("captures/files");
    let (mut files, mut not_reported) = (0, 0);
    for path in common::files(&folder, common::is_capture) {
        let name = path.to_str().unwrap();
        let (report, status) = analyze(&[name]);
        files += 1;
        not_reported += report["summary"]["tls_not_reported"].as_u64().unwrap();
        let known = FAILED.iter().find(|(file, _)| name.ends_with(file));
        let mut trouble = 0;
        for session in sessions(&report) {
            let outcome = session["outcome"].as_str().unwrap();
            let is_trouble = matches!(outcome, "failed" | "degraded");
            trouble += i32::from(is_trouble);
            if !matches!(session["kind"].as_str(), Some("tls" | "dtls" | "tls-vpn")) {
                continue;
            }
            let (_, cause) = known.unwrap_or_else(|| panic!("{name}: {session}"));
            if *cause == "-" {
                assert_eq!(outcome, "established", "{name}");
            } else {
                assert_eq!(session["cause"], *cause, "{name}");
            }
        }
        if status != 2 {
            assert_eq!(status, i32::from(trouble > 0), "{name}");
        }
    }
    assert!(files > 100 && not_reported > 50, "{files} {not_reported}");
}

/// Ten clients at once, one with the wrong password, one that does not trust the gateway: at the
/// clients' side each has its own address, at the gateway's all have the translator's.
#[test]
fn of_ten_interleaved_clients_the_right_two_fail() {
    for file in ["client", "gateway"] {
        let path = format!("pcaps/oc-ten-clients/{file}.pcap");
        let (report, status) = analyze(&[&path]);
        assert_eq!((sessions(&report).len(), status), (10, 1), "{file}");
        for session in sessions(&report) {
            let port = session["client"]["port"].as_u64().unwrap();
            let (outcome, cause) = match port {
                47836 => ("failed", Some("login-failed")),
                43812 => ("failed", Some("cert-rejected")),
                _ => ("established", None),
            };
            assert_eq!(session["outcome"], outcome, "{file} {port}");
            assert_eq!(session["cause"].as_str(), cause, "{file} {port}");
            // Those that work have their own DTLS channel.
            let kind = if cause.is_none() { "tls-vpn" } else { "tls" };
            assert_eq!(session["kind"], kind, "{file} {port}");
        }
    }
}

/// Captures of one client each, played at once: the verdict of each is the one it has alone.
#[test]
fn sessions_do_not_disturb_each_other() {
    let names = [
        "oc-established-tls12",
        "oc-cert-name-mismatch-tls12",
        "oc-established-tls13-dtls12-psk",
        "oc-dtls-other-node",
        "oc-client-cert-missing",
        "oc-dtls-udp-blocked",
        "oc-tls-version-mismatch-old-server",
        "oc-tls-pmtu-blackhole",
        "oc-dtls-rekey",
        "oc-login-wrong-password-tls12",
    ];
    // The certificates are judged at the time of the capture, so that stays what it was.
    let begun = common::datagrams("oc-cert-name-mismatch-tls12/client.pcap")[0].0;
    let mut all: Vec<(i64, Vec<u8>)> = Vec::new();
    let mut expected = Vec::new();
    for (n, name) in (0u8..).zip(names) {
        let file = format!("{name}/client.pcap");
        let (report, _) = analyze(&["--tls", "all", &format!("pcaps/{file}")]);
        let [session] = &sessions(&report)[..] else {
            panic!("{name}");
        };
        expected.push((session["outcome"].clone(), session["cause"].clone()));
        let list = common::datagrams(&file);
        let start = list[0].0;
        for (time, mut ip) in list {
            // Every client gets an address of its own; checksums go wrong with it.
            for at in [12, 16] {
                if ip[at..at + 4] == [10, 1, 0, 2] {
                    ip[at + 3] = 100 + n;
                }
            }
            let at = time - start + i64::from(n) * 70_000_000;
            all.push((begun + at, ip));
        }
    }
    all.sort_by_key(|(time, _)| *time);
    let octets = common::capture(&all, &wrap::ALL[0]);
    let file = Scratch::new("together.pcap", &octets);
    let (report, _) = analyze(&["--tls", "all", file.name()]);
    assert_eq!(sessions(&report).len(), names.len());
    for (n, name) in names.iter().enumerate() {
        let ip = format!("10.1.0.{}", 100 + n);
        let mut own = sessions(&report).iter().filter(|s| s["client"]["ip"] == ip);
        let session = own.next().unwrap_or_else(|| panic!("{name}"));
        assert!(own.next().is_none(), "{name}");
        let got = (session["outcome"].clone(), session["cause"].clone());
        assert_eq!(got, expected[n], "{name}");
    }
}
