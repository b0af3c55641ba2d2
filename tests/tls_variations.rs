//! Verdicts rest on order, direction and arithmetic: they are the same with another host name,
//! another size or kind of certificate, another cipher and another library. Real servers and
//! clients of OpenSSL and `GnuTLS` talk through a recorder on loopback, which makes a capture of
//! what it passed on.
#![allow(
    clippy::duplicate_mod,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test code"
)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use common::wrap;

/// Says why something is left out; fails where nothing may be.
fn skip(why: &str) {
    assert!(
        std::env::var_os("VPNSCOPE_REQUIRE").is_none(),
        "VPNSCOPE_REQUIRE is set: {why}"
    );
    println!("skipped: {why}");
}

/// Whether a program is there.
fn has(program: &str) -> bool {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/bin"];
    let mut folders = folders.iter();
    folders.any(|folder| Path::new(folder).join(program).exists())
}

/// What passed the recorder: from the client or not, when, and octets; `None` is a reset, and no
/// octets are a FIN.
type Passed = (bool, Instant, Option<Vec<u8>>);

/// Passes on what one side says to the other.
fn pump(mut from: TcpStream, mut to: TcpStream, is_client: bool, log: &Sender<Passed>) {
    let mut octets = [0; 16384];
    loop {
        let Ok(len) = from.read(&mut octets) else {
            let _ = log.send((is_client, Instant::now(), None));
            break;
        };
        let _ = log.send((is_client, Instant::now(), Some(octets[..len].to_vec())));
        if len == 0 || to.write_all(&octets[..len]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Waits for one client, and passes what it says on to `server`.
fn record(listener: &TcpListener, server: u16) -> Receiver<Passed> {
    let (client, _) = listener.accept().unwrap();
    let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
    let (log, passed) = channel();
    let other = log.clone();
    let (a, b) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || pump(a, b, true, &log));
    thread::spawn(move || pump(server, client, false, &other));
    passed
}

const CLIENT: [u8; 4] = [192, 0, 2, 9];
const GATEWAY: [u8; 4] = [203, 0, 113, 1];

/// The capture of a recorded connection.
fn capture(passed: &[Passed]) -> Vec<u8> {
    let start = passed.first().expect("the client spoke").1;
    let mut list = Vec::new();
    let mut sent = [1u32, 1];
    let mut put = |is_client: bool, at: i64, sent: &[u32; 2], flags: u8, octets: &[u8]| {
        let (own, other) = if is_client { (0, 1) } else { (1, 0) };
        let ports: [u16; 2] = [50_000, 443];
        let acknowledged = if flags == 2 { 0 } else { sent[other] };
        let segment = wrap::cat(&[
            &ports[own].to_be_bytes(),
            &ports[other].to_be_bytes(),
            &sent[own].to_be_bytes(),
            &acknowledged.to_be_bytes(),
            &[0x50, flags, 0x20, 0, 0, 0, 0, 0],
            octets,
        ]);
        let ends = if is_client {
            (CLIENT, GATEWAY)
        } else {
            (GATEWAY, CLIENT)
        };
        let time = 1_700_000_000_000_000_000 + at;
        list.push((time, wrap::ipv4(ends.0, ends.1, 6, 0x4000, &segment)));
    };
    put(true, 0, &[0, 0], 2, &[]);
    put(false, 1000, &[1, 0], 0x12, &[]);
    put(true, 2000, &[1, 1], 0x10, &[]);
    for (is_client, at, octets) in passed {
        let at = 3000 + i64::try_from(at.duration_since(start).as_nanos()).unwrap();
        let own = usize::from(!is_client);
        let Some(octets) = octets else {
            put(*is_client, at, &sent, 0x14, &[]);
            continue;
        };
        if octets.is_empty() {
            put(*is_client, at, &sent, 0x11, &[]);
            sent[own] += 1;
        }
        for part in octets.chunks(1400) {
            put(*is_client, at, &sent, 0x18, part);
            sent[own] += u32::try_from(part.len()).unwrap();
        }
    }
    common::capture(&list, &wrap::ALL[0])
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output()
        .expect("openssl runs");
    assert!(output.status.success(), "{arguments}: {output:?}");
}

/// Certificates of several kinds and sizes, each with its key.
fn certificates(folder: &Path) -> Vec<&'static str> {
    let many: Vec<String> = (0..120)
        .map(|n| format!("DNS:host-{n}.example.test"))
        .collect();
    let names = "subjectAltName=DNS:vpn.example.test";
    let long = format!("{names},{}", many.join(","));
    for (name, key, names) in [
        ("rsa2048", "rsa:2048", names),
        ("rsa4096", "rsa:4096", names),
        ("large", "rsa:2048", &long),
        ("p256", "ec -pkeyopt ec_paramgen_curve:P-256", names),
    ] {
        openssl(
            folder,
            &format!(
                "req -x509 -newkey {key} -nodes -keyout {name}.key -out {name}.pem -days 30 -subj /CN=vpn.example.test -addext {names}"
            ),
        );
    }
    vec!["rsa2048", "rsa4096", "large", "p256"]
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A process that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(folder: &Path, program: &str, arguments: &str) -> Running {
    Running(
        Command::new(program)
            .args(arguments.split_whitespace())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs"),
    )
}

/// What server and client are told besides certificate, name and ports.
struct Case {
    what: &'static str,
    server: (&'static str, &'static str),
    client: (&'static str, &'static str),
    /// Outcome, stage, and the causes it may be: the libraries send other alerts.
    expect: (&'static str, &'static str, &'static [Option<&'static str>]),
}

const O_SERVER: &str = "openssl";
const G_SERVER: &str = "gnutls-serv";
const O_CLIENT: &str = "openssl";
const G_CLIENT: &str = "gnutls-cli";

const WORKS: (&str, &str, &[Option<&str>]) = ("established", "tls-handshake", &[None]);
const UNTRUSTED: (&str, &str, &[Option<&str>]) = (
    "failed",
    "tls-handshake",
    &[Some("cert-untrusted"), Some("cert-rejected")],
);
const OLD: (&str, &str, &[Option<&str>]) =
    ("failed", "tls-handshake", &[Some("tls-version-mismatch")]);
const NO_CERTIFICATE: (&str, &str, &[Option<&str>]) =
    ("failed", "tls-handshake", &[Some("client-cert-required")]);

const CASES: &[Case] = &[
    Case {
        what: "works, 1.3",
        server: (O_SERVER, "-tls1_3"),
        client: (O_CLIENT, "-tls1_3"),
        expect: WORKS,
    },
    Case {
        what: "works, 1.2",
        server: (O_SERVER, "-tls1_2"),
        client: (O_CLIENT, "-tls1_2"),
        expect: WORKS,
    },
    Case {
        what: "works, GnuTLS serves",
        server: (G_SERVER, ""),
        client: (O_CLIENT, ""),
        expect: WORKS,
    },
    Case {
        what: "works, GnuTLS calls",
        server: (O_SERVER, ""),
        client: (G_CLIENT, "--insecure"),
        expect: WORKS,
    },
    Case {
        what: "works, GnuTLS calls, 1.2",
        server: (O_SERVER, "-tls1_2"),
        client: (G_CLIENT, "--insecure"),
        expect: WORKS,
    },
    Case {
        what: "untrusted, 1.3",
        server: (O_SERVER, "-tls1_3"),
        client: (O_CLIENT, "-verify_return_error -verify 2 -tls1_3"),
        expect: UNTRUSTED,
    },
    Case {
        what: "untrusted, 1.2",
        server: (O_SERVER, "-tls1_2"),
        client: (O_CLIENT, "-verify_return_error -verify 2 -tls1_2"),
        expect: UNTRUSTED,
    },
    Case {
        what: "untrusted, GnuTLS calls",
        server: (O_SERVER, ""),
        client: (G_CLIENT, ""),
        expect: UNTRUSTED,
    },
    Case {
        what: "untrusted, GnuTLS on both sides",
        server: (G_SERVER, ""),
        client: (G_CLIENT, ""),
        expect: UNTRUSTED,
    },
    Case {
        what: "too old",
        server: (O_SERVER, "-tls1_3"),
        client: (O_CLIENT, "-tls1_2"),
        expect: OLD,
    },
    Case {
        what: "no certificate, 1.2",
        server: (O_SERVER, "-Verify 1 -verify_return_error -tls1_2"),
        client: (O_CLIENT, "-tls1_2"),
        expect: NO_CERTIFICATE,
    },
    Case {
        what: "no certificate, 1.3",
        server: (O_SERVER, "-Verify 1 -verify_return_error -tls1_3"),
        client: (O_CLIENT, "-tls1_3"),
        expect: NO_CERTIFICATE,
    },
    Case {
        what: "no certificate, GnuTLS serves",
        server: (G_SERVER, "--require-client-cert"),
        client: (O_CLIENT, "-tls1_2"),
        expect: NO_CERTIFICATE,
    },
];

/// Ciphers of both versions, by turns.
const CIPHERS: [&str; 3] = [
    "-ciphersuites TLS_AES_128_GCM_SHA256 -cipher ECDHE+AESGCM",
    "-ciphersuites TLS_CHACHA20_POLY1305_SHA256 -cipher ECDHE+CHACHA20",
    "-ciphersuites TLS_AES_256_GCM_SHA384 -cipher ECDHE+AES256",
];

const NAMES: [Option<&str>; 3] = [
    Some("vpn.example.test"),
    None,
    Some("a-much-longer-name-of-the-very-same-gateway-in-another-domain.of.example.test"),
];

fn serve(folder: &Path, case: &Case, certificate: &str, port: u16) -> Running {
    let (program, options) = case.server;
    let arguments = if program == O_SERVER {
        format!(
            "s_server -accept 127.0.0.1:{port} -cert {certificate}.pem -key {certificate}.key -www {options}"
        )
    } else {
        format!(
            "-p {port} --x509certfile {certificate}.pem --x509keyfile {certificate}.key --http {options}"
        )
    };
    let running = start(folder, program, &arguments);
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{program} does not listen"
        );
        thread::sleep(Duration::from_millis(10));
    }
    running
}

fn call(folder: &Path, case: &Case, name: Option<&str>, cipher: &str, port: u16) -> Running {
    let (program, options) = case.client;
    let arguments = if program == O_CLIENT {
        let name = name.map_or("-noservername".to_string(), |name| {
            format!("-servername {name}")
        });
        format!("s_client -quiet -connect 127.0.0.1:{port} {name} {cipher} {options}")
    } else {
        let name = name.map_or("--disable-sni".to_string(), |name| {
            format!("--sni-hostname {name}")
        });
        format!("-p {port} {name} {options} 127.0.0.1")
    };
    let mut running = start(folder, program, &arguments);
    let input = running.0.stdin.as_mut().unwrap();
    let _ = input.write_all(b"GET / HTTP/1.0\r\n\r\n");
    running
}

/// Records one connection; the verdict as outcome, stage and cause.
fn verdict(
    folder: &Path,
    case: &Case,
    certificate: &str,
    name: Option<&str>,
    cipher: &str,
) -> (&'static str, &'static str, Option<&'static str>) {
    let (port, listener) = (free_port(), TcpListener::bind("127.0.0.1:0").unwrap());
    let _server = serve(folder, case, certificate, port);
    let caller = call(
        folder,
        case,
        name,
        cipher,
        listener.local_addr().unwrap().port(),
    );
    let log = record(&listener, port);
    let mut passed = Vec::new();
    // Until both are done, or nobody has said anything for a while.
    while let Ok(one) = log.recv_timeout(Duration::from_millis(1500)) {
        passed.push(one);
    }
    drop(caller);
    passed.extend(log.iter());
    if let Some(path) = std::env::var_os("VPNSCOPE_KEEP") {
        // For a look at what is behind a fault.
        let name = format!("{}-{certificate}.pcap", case.what.replace([' ', ','], "-"));
        std::fs::write(Path::new(&path).join(name), capture(&passed)).unwrap();
    }
    let filed = common::analyze_octets(capture(&passed));
    let [filed] = &filed[..] else {
        panic!("{} session(s)", filed.len());
    };
    (
        filed.verdict.outcome.word(),
        filed.verdict.stage.word(),
        filed.verdict.cause,
    )
}

#[test]
fn names_certificates_ciphers_and_libraries_do_not_change_a_verdict() {
    if !has("openssl") {
        skip("no openssl");
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tls-variations");
    std::fs::create_dir_all(&folder).unwrap();
    let kinds = certificates(&folder);
    let (mut count, mut faults) = (0, Vec::new());
    for case in CASES {
        let programs = [case.server.0, case.client.0];
        if let Some(program) = programs.iter().find(|program| !has(program)) {
            skip(&format!("{}: no {program}", case.what));
            continue;
        }
        // Each certificate, each name and each cipher, in turn.
        for (n, certificate) in kinds.iter().enumerate() {
            let (name, cipher) = (NAMES[n % 3], CIPHERS[(n + 1) % 3]);
            let got = verdict(&folder, case, certificate, name, cipher);
            let (outcome, stage, causes) = case.expect;
            count += 1;
            if (got.0, got.1) != (outcome, stage) || !causes.contains(&got.2) {
                faults.push(format!(
                    "{}, {certificate}, {name:?}, {cipher}: {got:?}",
                    case.what
                ));
            }
        }
    }
    println!("{count} connections");
    assert!(faults.is_empty(), "{faults:#?}");
}
