//! The source itself: order, counters, filters, interfaces that come and go.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use vpnscope::source::SourceError;
use vpnscope::source::live::{self, Filter, LiveSource, Options, Poll};

use crate::wire::{inside, ipv4, run, sender, tagged, veth};

fn open(names: &[&str], filter: Filter) -> LiveSource {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let options = Options {
        buffer: 4 << 20,
        filter,
        ..Options::default()
    };
    LiveSource::open(&names, options, 3).unwrap()
}

/// An Ethernet frame with an IPv4 packet: UDP, or a bare TCP acknowledgement.
fn frame(number: u32, protocol: u8, tag: bool) -> Vec<u8> {
    let frame = ipv4(number, protocol, if protocol == 17 { 40 } else { 20 });
    if tag {
        tagged(&frame, &[0x8100])
    } else {
        frame
    }
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
    if !inside("source::every_frame_comes_in_order_and_is_counted") {
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
fn the_default_filter_works_in_the_kernel_under_tags_it_strips() {
    if !inside("source::the_default_filter_works_in_the_kernel_under_tags_it_strips") {
        return;
    }
    let tcp = |payload: &[u8]| {
        let mut frame = ipv4(1, 6, 20 + payload.len());
        let len = frame.len();
        frame[len - payload.len()..].copy_from_slice(payload);
        frame
    };
    let mut ipv6 = vec![2; 12];
    ipv6.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64]);
    ipv6.resize(80, 0x20);
    let mut fragment = ipv4(1, 6, 40);
    fragment[20..22].copy_from_slice(&[0x00, 0xb9]);
    let wanted = [
        ipv4(7, 17, 40),
        ipv4(7, 50, 40),
        ipv4(7, 115, 40),
        tcp(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]),
        tcp(b"IKETCP\0\x40abc"),
        ipv6,
        fragment,
    ];
    let unwanted = [ipv4(7, 6, 20), tcp(b"GET / HTTP/1.1\r\n"), ipv4(7, 89, 40)];
    for tags in [
        &[][..],
        &[0x8100],
        &[0x88a8],
        &[0x8100, 0x8100],
        &[0x88a8, 0x8100],
    ] {
        let mut source = open(&["va"], Filter::Default);
        let mut out = sender("vb");
        for plain in wanted.iter().chain(&unwanted) {
            out.sendpacket(tagged(plain, tags)).unwrap();
        }
        let octets: Vec<Vec<u8>> = drain(&mut source).into_iter().map(|row| row.3).collect();
        let whole: Vec<Vec<u8>> = wanted.iter().map(|plain| tagged(plain, tags)).collect();
        assert_eq!(
            octets.len(),
            whole.len(),
            "under {tags:04x?}: {octets:02x?}"
        );
        assert_eq!(octets, whole, "under {tags:04x?}");
        let filter = source.statistics().filter.clone().unwrap();
        assert!(filter.contains("vlan and"), "{filter}");
    }
}

#[test]
fn rings_share_the_frames_and_each_comes_once_and_in_order() {
    if !inside("source::rings_share_the_frames_and_each_comes_once_and_in_order") {
        return;
    }
    let options = Options {
        buffer: 4 << 20,
        filter: Filter::None,
        threads: 3,
        ..Options::default()
    };
    let mut source = LiveSource::open(&["va".into()], options, 3).unwrap();
    let mut out = sender("vb");
    for round in 0..2 {
        for number in 0..3000 {
            out.sendpacket(frame(number, 17, number % 2 == 1)).unwrap();
        }
        let all = drain(&mut source);
        assert_eq!(all.len(), 3000);
        for (number, (no, interface, _, octets)) in (0..).zip(&all) {
            assert_eq!((*no, *interface), (u64::from(number) + 1 + 3000 * round, 0));
            assert_eq!(*octets, frame(number, 17, number % 2 == 1));
        }
        let counters = source.counters();
        assert_eq!((counters.len(), source.descriptions().len()), (1, 1));
        assert_eq!(source.statistics().dropped, Some(0));
    }
    // They come back as a group.
    run("ip link del va");
    assert!(news(&mut source).starts_with("Lost"));
    veth("va", "vb", 1500);
    assert_eq!(news(&mut source), "Returned { interface: 0 }");
    std::thread::sleep(Duration::from_millis(200));
    let mut out = sender("vb");
    for number in 0..300 {
        out.sendpacket(frame(number, 17, false)).unwrap();
    }
    assert_eq!(drain(&mut source).len(), 300);
}

#[test]
fn jumbo_frames_come_whole() {
    if !inside("source::jumbo_frames_come_whole") {
        return;
    }
    veth("vc", "vd", 9000);
    let mut source = open(&["vc"], Filter::Default);
    let jumbo = ipv4(1, 17, 9000 - 20);
    sender("vd").sendpacket(jumbo.clone()).unwrap();
    let all = drain(&mut source);
    assert_eq!((all.len(), all[0].3.len()), (1, 9014));
    assert_eq!(all[0].3, jumbo);
}

#[test]
fn a_snap_length_cuts_and_is_counted() {
    if !inside("source::a_snap_length_cuts_and_is_counted") {
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
    assert_eq!((cut.octets.len(), cut.wire_len), (60, 74));
    assert_eq!(source.statistics().truncated_frames, 1);
}

#[test]
fn frames_of_several_interfaces_come_in_the_order_of_time() {
    if !inside("source::frames_of_several_interfaces_come_in_the_order_of_time") {
        return;
    }
    veth("vc", "vd", 1500);
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
pub fn news(source: &mut LiveSource) -> String {
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
    if !inside("source::an_interface_that_goes_down_or_vanishes_is_opened_again") {
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
    let blind = &source.statistics().blind;
    assert_eq!(blind.len(), 2, "{blind:?}");
    assert!(
        blind
            .iter()
            .all(|(from, to)| from < to && *to < live::wall_clock())
    );
}

#[test]
fn drops_are_told() {
    if !inside("source::drops_are_told") {
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
    let big = ipv4(1, 17, 1400);
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
    if !inside("source::what_cannot_be_opened_is_said_clearly") {
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
    if !inside("source::another_user_with_the_right_put_aside_opens_a_lost_interface_again") {
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
