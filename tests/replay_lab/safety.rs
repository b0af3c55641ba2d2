//! What is refused, what is asked first, and what ends in bounded time.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::args;
use super::lab::namespace::Namespaces;
use super::lab::{Run, free_tcp, free_udp, has, pcap, replay, skip, vpnscope};

#[test]
fn without_terminal_and_consent_nothing_is_sent() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let target = socket.local_addr().unwrap().to_string();
    let file = pcap("ikev2-psk-established/client.pcap");
    for more in [&[][..], &["--dry-run"], &["--show-script"]] {
        let output = vpnscope()
            .arg("replay")
            .arg(&file)
            .args(["--target", &target])
            .args(more)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let wanted = if more.is_empty() { 2 } else { 0 };
        Run::of(&output).exits(wanted);
        assert!(
            socket.recv(&mut [0; 2000]).is_err(),
            "{more:?} sent something"
        );
    }
}

#[test]
fn bad_requests_are_refused_with_a_reason() {
    let good = "ikev2-psk-established/client.pcap";
    let cases: &[(&str, &[&str], &str)] = &[
        (good, &["--target", "255.255.255.255"], "broadcast"),
        (good, &["--target", "224.0.0.1"], "multicast"),
        (good, &["--target", "[ff02::1]:500"], "multicast"),
        (
            good,
            &["--target", "127.0.0.1", "--session", "99"],
            "no session 99",
        ),
        (
            good,
            &["--target", "127.0.0.1,127.0.0.2"],
            "more than one target",
        ),
        (good, &["--target", "127.0.0.0/8"], "more than one target"),
        (
            good,
            &["--target", "127.0.0.1", "--target", "127.0.0.2"],
            "cannot be used multiple times",
        ),
        (good, &["--target", "0.0.0.0"], "no address of a host"),
        (good, &["--listen", "224.0.0.1"], "multicast"),
        (
            good,
            &["--target", "127.0.0.1", "--set", "ciphers=c02f"],
            "does not apply to IKEv2",
        ),
        (
            good,
            &["--target", "127.0.0.1", "--listen", "127.0.0.1"],
            "cannot be used with",
        ),
        (good, &[], "required"),
        (
            good,
            &["--target", "127.0.0.1", "--set", "nonsense=1"],
            "not known",
        ),
        (
            "ikev2-capture-starts-late/client.pcap",
            &["--target", "127.0.0.1"],
            "half a session",
        ),
        (
            "oc-late-capture-start/client.pcap",
            &["--target", "127.0.0.1", "--session", "1"],
            "its octets are not in the capture",
        ),
        (
            "ikev2-psk-mismatch/client.pcap",
            &["--target", "127.0.0.1", "--session", "77"],
            "the capture holds 1 (",
        ),
        (
            "no-such-file.pcap",
            &["--target", "127.0.0.1"],
            "no-such-file",
        ),
        (good, &["--raw", "no-such-interface"], "no such interface"),
    ];
    for (file, more, reason) in cases {
        let run = replay(vpnscope(), &pcap(file), more);
        run.exits(2);
        assert!(run.stderr.contains(reason), "{more:?}: {}", run.stderr);
    }
}

#[test]
fn nobody_there_nonsense_and_floods_end_with_2() {
    let good = pcap("ikev2-psk-established/client.pcap");
    let refused = format!("127.0.0.1:{}", free_udp());
    let run = replay(
        vpnscope(),
        &good,
        &args(&refused, &["--source-port", &free_udp().to_string()]),
    );
    assert!(
        run.exits(2).says("not-played")["why"]
            .as_str()
            .unwrap()
            .contains("nothing listens")
    );
    // None, nonsense, and a flood of it.
    for answers in [0, 1, 3000] {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = socket.local_addr().unwrap().to_string();
        let port = free_udp().to_string();
        std::thread::spawn(move || {
            let mut buffer = [0; 2000];
            while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                for n in 0..answers {
                    let _ = socket.send_to(format!("nonsense {n}").as_bytes(), from);
                }
            }
        });
        let run = replay(vpnscope(), &good, &args(&target, &["--source-port", &port]));
        run.exits(2).says("not-played");
    }
}

/// On a terminal it asks, and sends nothing until the answer is yes.
#[test]
fn a_terminal_is_asked() {
    if !has("script") {
        skip("no script (bsdutils)");
        return;
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let target = socket.local_addr().unwrap();
    let line = format!(
        "{} replay {} --target {target} --timing fast --source-port {}",
        env!("CARGO_BIN_EXE_vpnscope"),
        pcap("ikev2-psk-established/client.pcap").display(),
        free_udp()
    );
    for (answer, is_sent) in [("n\n", false), ("\n", false), ("y\n", true)] {
        let mut child = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(answer.as_bytes())
            .unwrap();
        let output = Run::of(&child.wait_with_output().unwrap());
        assert!(output.stdout.contains("send? [y/N]"), "{}", output.stdout);
        assert_eq!(socket.recv(&mut [0; 2000]).is_ok(), is_sent, "{answer:?}");
        assert_eq!(output.stdout.contains("not sent"), !is_sent);
        output.exits(2);
    }
}

/// The broadcast address of a network that the machine is in.
#[test]
fn a_networks_broadcast_address_is_refused() {
    let Some(net) = Namespaces::new() else { return };
    let good = pcap("ikev2-psk-established/client.pcap");
    let run = replay(net.vpnscope(), &good, &args("198.51.100.255", &[]));
    run.exits(2);
    assert!(run.stderr.contains("broadcast"), "{}", run.stderr);
}

/// No more messages than allowed, however much the peer asks for.
#[test]
fn messages_are_limited() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = socket.local_addr().unwrap().to_string();
    let good = pcap("ikev2-psk-established/client.pcap");
    let counted = std::thread::spawn(move || {
        socket
            .set_read_timeout(Some(Duration::from_secs(6)))
            .unwrap();
        let mut buffer = [0; 2000];
        let mut count = 0u8;
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            count += 1;
            // Another cookie each time.
            let mut answer = buffer[..16].to_vec();
            answer.extend([41, 0x20, 34, 0x20, 0, 0, 0, 0, 0, 0, 0, 44]);
            answer.extend([0, 0, 0, 16, 0, 0, 0x40, 6, 1, 2, 3, 4, 5, 6, 7, count]);
            assert!(len > 28);
            socket.send_to(&answer, from).unwrap();
        }
        count
    });
    let started = Instant::now();
    let port = free_udp().to_string();
    let more = ["--source-port", &port, "--max-messages", "4"];
    let run = replay(vpnscope(), &good, &args(&target, &more));
    run.exits(1);
    // One a second, once there are more rounds than were recorded.
    assert!(started.elapsed() > Duration::from_secs(1));
    assert!(counted.join().unwrap() <= 4);
}

/// Servers that take a connection and then say nothing, nonsense, or far too much.
#[test]
fn servers_that_are_none_end_with_2() {
    let good = pcap("tls12-mutual/single.pcap");
    let nobody = format!("127.0.0.1:{}", free_tcp());
    let run = replay(vpnscope(), &good, &args(&nobody, &[]));
    let json = run.exits(2).says("not-played");
    let why = json["why"].as_str().unwrap();
    assert!(why.contains("does not take the connection"), "{why}");
    let cases: [(&str, &[u8], usize, &str); 4] = [
        ("closes", b"", 0, "closed the connection"),
        ("silent", b"", 1, "does not answer"),
        ("nonsense", b"HTTP/1.0 400 Bad Request\r\n\r\n", 1, "no TLS"),
        ("flood", &[0x16; 4096], 4096, "without end"),
    ];
    for (name, words, times, why) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4000]);
            for _ in 0..times {
                if stream.write_all(words).is_err() {
                    return;
                }
            }
            if times > 0 {
                // Whoever gives up closes the connection: the server never does.
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            }
        });
        let run = replay(vpnscope(), &good, &args(&target, &[]));
        let json = run.exits(2).says("not-played");
        let said = json["why"].as_str().unwrap();
        assert!(said.contains(why), "{name}: {said}");
    }
}
