//! Live capture in network namespaces of its own, over veth pairs.
//!
//! Each test starts itself again inside a fresh namespace. That needs root, `unshare` and `ip`;
//! without them it says `skipped` and why, and fails if `VPNSCOPE_REQUIRE` is 1.

#![cfg(all(feature = "live", target_os = "linux"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code"
)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pcap::{Active, Capture};
use vpnscope::source::SourceError;
use vpnscope::source::live::{self, Filter, LiveSource, Options, Poll};

const INSIDE: &str = "VPNSCOPE_INSIDE_NAMESPACE";

/// Whether the test runs inside a namespace of its own. If not, it has been run in one, or said
/// why it was skipped.
fn inside(test: &str) -> bool {
    if std::env::var(INSIDE).is_ok() {
        run("ip link set lo up");
        run("ip link add va type veth peer name vb");
        for interface in ["va", "vb"] {
            run(&format!(
                "sysctl -qw net.ipv6.conf.{interface}.disable_ipv6=1"
            ));
            run(&format!("ip link set {interface} up"));
        }
        return true;
    }
    let trial = Command::new("unshare").args(["--net", "true"]).output();
    if !trial.is_ok_and(|output| output.status.success()) {
        println!("skipped: no right to make network namespaces");
        assert!(
            !std::env::var("VPNSCOPE_REQUIRE").is_ok_and(|value| value == "1"),
            "VPNSCOPE_REQUIRE is 1, but network namespaces cannot be made"
        );
        return false;
    }
    let output = Command::new("unshare")
        .arg("--net")
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

fn run(command: &str) {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap())
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
}

fn open(names: &[&str], filter: Filter) -> LiveSource {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let options = Options {
        buffer: 4 << 20,
        filter,
        ..Options::default()
    };
    LiveSource::open(&names, options, 3).unwrap()
}

fn sender(name: &str) -> Capture<Active> {
    Capture::from_device(name).unwrap().open().unwrap()
}

/// An Ethernet frame with an IPv4 packet: UDP, or a bare TCP acknowledgement.
fn frame(number: u32, protocol: u8, tag: bool) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    if tag {
        frame.extend([0x81, 0, 0, 10]);
    }
    frame.extend([0x08, 0x00]);
    frame.extend([0x45, 0, 0, 60, 0, 1, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend([192, 0, 2, 1, 203, 0, 113, 1]);
    frame.extend([0x13, 0x88, 0x13, 0x89]);
    if protocol == 17 {
        frame.extend([0, 40, 0, 0]);
        frame.extend(number.to_be_bytes());
    } else {
        frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 1, 0, 0, 0, 0]);
    }
    frame.resize(80, 0);
    frame
}

/// Number, interface, time and octets of the frames that come until none comes for a while.
fn drain(source: &mut LiveSource) -> Vec<(u64, u32, i64, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        match source.next_frame(Duration::from_millis(400)) {
            Poll::Frame(f) => {
                assert_eq!(f.capture, 3);
                assert_eq!(f.wire_len as usize, f.octets.len());
                all.push((f.no, f.interface, f.time.0, f.octets.to_vec()));
            }
            Poll::Idle => return all,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_frame_comes_in_order_and_is_counted() {
    if !inside("every_frame_comes_in_order_and_is_counted") {
        return;
    }
    let mut source = open(&["va"], Filter::None);
    let mut out = sender("vb");
    for number in 0..2000 {
        out.sendpacket(frame(number, 17, number % 2 == 1)).unwrap();
    }
    let all = drain(&mut source);
    assert_eq!(all.len(), 2000);
    for (number, (no, interface, _, octets)) in (0..).zip(&all) {
        assert_eq!((*no, *interface), (u64::from(number) + 1, 0));
        assert_eq!(*octets, frame(number, 17, number % 2 == 1));
    }
    assert!(all.windows(2).all(|pair| pair[0].2 <= pair[1].2));
    let counters = source.counters();
    assert_eq!(counters[0].1.received, Some(2000));
    assert_eq!(source.statistics().dropped, Some(0));
    assert_eq!(source.statistics().frames, 2000);
    assert_eq!(source.statistics().name, "va");
    assert_eq!(source.statistics().filter, None);
}

#[test]
fn the_default_filter_works_in_the_kernel() {
    if !inside("the_default_filter_works_in_the_kernel") {
        return;
    }
    let mut source = open(&["va"], Filter::Default);
    let mut out = sender("vb");
    for tag in [false, true] {
        out.sendpacket(frame(7, 17, tag)).unwrap();
        out.sendpacket(frame(7, 6, tag)).unwrap();
    }
    let octets: Vec<Vec<u8>> = drain(&mut source).into_iter().map(|row| row.3).collect();
    assert_eq!(octets, [frame(7, 17, false), frame(7, 17, true)]);
    let filter = source.statistics().filter.clone().unwrap();
    assert!(filter.contains("vlan and"), "{filter}");
}

#[test]
fn a_snap_length_cuts_and_is_counted() {
    if !inside("a_snap_length_cuts_and_is_counted") {
        return;
    }
    let options = Options {
        snaplen: 60,
        buffer: 4 << 20,
        ..Options::default()
    };
    let mut source = LiveSource::open(&["va".into()], options, 0).unwrap();
    sender("vb").sendpacket(frame(7, 17, false)).unwrap();
    let Poll::Frame(cut) = source.next_frame(Duration::from_secs(5)) else {
        panic!("no frame");
    };
    assert_eq!((cut.octets.len(), cut.wire_len), (60, 80));
    assert_eq!(source.statistics().truncated_frames, 1);
}

#[test]
fn frames_of_several_interfaces_come_in_the_order_of_time() {
    if !inside("frames_of_several_interfaces_come_in_the_order_of_time") {
        return;
    }
    run("ip link add vc type veth peer name vd");
    run("ip link set vc up");
    run("ip link set vd up");
    // The third has nothing to say, and must not hold the others up.
    let mut source = open(&["va", "vc", "lo"], Filter::Text("udp".into()));
    let (mut to_a, mut to_c) = (sender("vb"), sender("vd"));
    for number in 0..500 {
        to_a.sendpacket(frame(number * 2, 17, false)).unwrap();
        to_c.sendpacket(frame(number * 2 + 1, 17, false)).unwrap();
    }
    let begun = Instant::now();
    let all = drain(&mut source);
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(all.len(), 1000);
    for (number, (no, interface, _, octets)) in (0..).zip(&all) {
        assert_eq!((*no, *interface), (u64::from(number) + 1, number % 2));
        assert_eq!(*octets, frame(number, 17, false));
    }
    assert_eq!(source.counters().len(), 3);
    assert_eq!(source.descriptions()[1].1.name.as_deref(), Some("vc"));
    assert_eq!(source.statistics().name, "va, vc, lo");
}

/// Waits for something else than silence.
fn news(source: &mut LiveSource) -> String {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        match source.next_frame(Duration::from_millis(100)) {
            Poll::Idle => {}
            other => return format!("{other:?}"),
        }
    }
    panic!("nothing for 20 s");
}

#[test]
fn an_interface_that_goes_down_or_vanishes_is_opened_again() {
    if !inside("an_interface_that_goes_down_or_vanishes_is_opened_again") {
        return;
    }
    let mut source = open(&["va"], Filter::None);
    sender("vb").sendpacket(frame(1, 17, false)).unwrap();
    assert!(news(&mut source).starts_with("Frame"));

    run("ip link set va down");
    let lost = news(&mut source);
    assert!(lost.starts_with("Lost { interface: 0, why: "), "{lost}");
    run("ip link set va up");
    assert_eq!(news(&mut source), "Returned { interface: 0 }");
    std::thread::sleep(Duration::from_millis(200));
    sender("vb").sendpacket(frame(2, 17, false)).unwrap();
    assert!(news(&mut source).starts_with("Frame"));

    run("ip link del va");
    assert!(news(&mut source).starts_with("Lost"));
    run("ip link add va type veth peer name vb");
    run("ip link set va up");
    run("ip link set vb up");
    assert_eq!(news(&mut source), "Returned { interface: 0 }");
    assert_eq!(source.statistics().frames, 2);
    source.counters();
}

#[test]
fn drops_are_told() {
    if !inside("drops_are_told") {
        return;
    }
    let options = Options {
        buffer: 1 << 20,
        filter: Filter::None,
        ..Options::default()
    };
    let mut source = LiveSource::open(&["va".into()], options, 3).unwrap();
    let mut out = sender("vb");
    // Nobody reads: the ring runs over.
    let mut big = frame(1, 17, false);
    big.resize(1400, 0);
    for _ in 0..4000 {
        out.sendpacket(big.clone()).unwrap();
    }
    let counters = source.counters()[0].1;
    assert!(counters.dropped_by_system > Some(0), "{counters:?}");
    let left = drain(&mut source).len() as u64;
    source.counters();
    assert_eq!(left + source.statistics().dropped.unwrap(), 4000);
}

fn fault(names: &[&str], filter: &str) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let options = Options {
        filter: Filter::Text(filter.into()),
        ..Options::default()
    };
    match LiveSource::open(&names, options, 0).map(|_| ()) {
        Err(error @ SourceError::Interface { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_opened_is_said_clearly() {
    if !inside("what_cannot_be_opened_is_said_clearly") {
        return;
    }
    assert_eq!(
        fault(&["va", "nosuch0"], "udp"),
        "nosuch0: no such interface; `vpnscope interfaces` lists them"
    );
    let bad = fault(&["va"], "udp and and");
    assert!(bad.starts_with("va: bad filter: "), "{bad}");
    open(&["any"], Filter::Default);
    assert_eq!(live::missing_right(), None);

    live::become_user("nobody", false).unwrap();
    let refused = fault(&["va"], "udp");
    assert!(
        refused.starts_with("va: no right to capture: CAP_NET_RAW is missing; grant it with"),
        "{refused}"
    );
    assert!(live::missing_right().unwrap().contains("setcap"));
}

#[test]
fn another_user_with_the_right_put_aside_opens_a_lost_interface_again() {
    if !inside("another_user_with_the_right_put_aside_opens_a_lost_interface_again") {
        return;
    }
    let mut source = open(&["va"], Filter::None);
    let later = "sleep 0.5; ip link del va; sleep 0.5; ip link add va type veth peer name vb; \
                 ip link set va up; ip link set vb up";
    let mut changes = Command::new("sh")
        .args(["-c", later])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    live::become_user("nobody", true).unwrap();
    assert!(std::fs::File::create("/vpnscope-was-root").is_err());
    assert!(live::missing_right().is_some(), "permitted, not effective");
    assert!(news(&mut source).starts_with("Lost"));
    assert_eq!(news(&mut source), "Returned { interface: 0 }");
    assert!(live::missing_right().is_some(), "put aside again");
    changes.wait().unwrap();
}
