//! Lost fragments and path MTU, told from real captures that are cut, repeated and fragmented
//! by code: what fires, and what comes close and must not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod common;

use common::{analyze_octets, capture, datagrams, wrap};
use vpnscope::desk::Filed;
use vpnscope::diagnose::{Outcome, Severity, Stage};

type Datagrams = Vec<(i64, Vec<u8>)>;

const MS: i64 = 1_000_000;

fn judge(list: &Datagrams) -> Filed {
    let mut list = list.clone();
    list.sort_by_key(|(time, _)| *time);
    let mut sessions = analyze_octets(capture(&list, &wrap::ALL[0]));
    assert_eq!(sessions.len(), 1);
    sessions.remove(0)
}

fn verdict(list: &Datagrams) -> (Outcome, Option<&'static str>, Stage) {
    let filed = judge(list);
    (
        filed.verdict.outcome,
        filed.verdict.cause,
        filed.verdict.stage,
    )
}

/// `IKE_SA_INIT` of a session whose `IKE_AUTH` comes in two IKE fragments, and these two.
fn in_ike_fragments() -> (Datagrams, Vec<u8>, Vec<u8>) {
    let all = datagrams("ikev2-frag-needed-then-established/client.pcap");
    // The ICMP message stands between them.
    (all[..2].to_vec(), all[2].1.clone(), all[4].1.clone())
}

/// A message again and again, as a sender repeats it that hears nothing.
fn repeated(list: &mut Datagrams, parts: &[&[u8]]) {
    let start = list.last().unwrap().0;
    for ms in [5, 1005, 2505, 4755] {
        for (i, part) in parts.iter().enumerate() {
            list.push((start + (ms + i64::try_from(i).unwrap()) * MS, part.to_vec()));
        }
    }
}

#[test]
fn only_the_last_small_ike_fragment_arrives() {
    let (mut list, _, small) = in_ike_fragments();
    repeated(&mut list, &[&small]);
    assert_eq!(
        verdict(&list),
        (
            Outcome::Failed,
            Some("pmtu-blackhole"),
            Stage::IkeAuthentication
        )
    );
}

#[test]
fn only_the_first_ike_fragment_arrives() {
    let (mut list, large, _) = in_ike_fragments();
    repeated(&mut list, &[&large]);
    let filed = judge(&list);
    assert_eq!(filed.verdict.cause, Some("fragment-lost"));
    let summary = &filed.verdict.findings[0].summary;
    assert!(
        summary.contains("Of 2 IKE fragments of the client's message, number 2"),
        "{summary}"
    );
}

#[test]
fn ike_fragments_that_nobody_hears_are_too_large_for_the_path() {
    let (mut list, large, small) = in_ike_fragments();
    repeated(&mut list, &[&large, &small]);
    let filed = judge(&list);
    assert_eq!(filed.verdict.cause, Some("pmtu-blackhole"));
    let finding = &filed.verdict.findings[0];
    assert!(
        finding
            .summary
            .contains("2 IKE fragments of up to 1268 octets"),
        "{}",
        finding.summary
    );
    assert!(
        finding
            .summary
            .contains("Both ends offered IKE fragmentation")
    );
    assert!(finding.candidates.contains(&"nat-t-blocked"));
    assert!(
        !filed
            .verdict
            .findings
            .iter()
            .any(|f| f.cause.code == "no-response")
    );
}

#[test]
fn fragments_are_no_trouble_where_the_session_goes_on() {
    // A capture filter by port lets only first fragments through.
    let mut list = Vec::new();
    for (time, ip) in datagrams("ikev2-frag-needed-then-established/client.pcap") {
        let offset = u16::from_be_bytes([ip[6], ip[7]]) & 0x1fff;
        if offset == 0 {
            list.push((time, ip));
        }
    }
    let filed = judge(&list);
    assert!(
        !filed
            .verdict
            .findings
            .iter()
            .any(|f| f.cause.code == "fragment-lost"),
        "{:?}",
        filed.verdict.findings
    );
    assert_ne!(filed.verdict.outcome, Outcome::Failed);
}

/// A session with small ESP that is answered and four large ESP packets that are not.
fn with_large_esp() -> (Datagrams, Vec<usize>) {
    let all = datagrams("ikev2-esp-pmtu-blackhole/client.pcap");
    let large = (0..all.len()).filter(|i| all[*i].1.len() == 1300).collect();
    (all, large)
}

#[test]
fn what_to_set_follows_from_the_suite() {
    let (list, _) = with_large_esp();
    let filed = judge(&list);
    let finding = &filed.verdict.findings[0];
    assert_eq!(finding.cause.code, "pmtu-blackhole");
    // 1280 less 20 (IP), 8 (UDP), 8 (SPI, sequence), 16 (IV), 16 (ICV): 1212, in blocks of 16:
    // 1200, less 2 for the trailer.
    assert!(
        finding.remedies[0].contains("MTU inside the tunnel to 1198"),
        "{:?}",
        finding.remedies
    );
    assert!(finding.remedies[0].contains("MSS to 1158"));
    assert!(finding.summary.contains("up to 164 octets"));
    assert!(finding.summary.contains("1300 octets"));
}

#[test]
fn esp_whose_fragments_vanish_has_lost_fragments() {
    let (all, large) = with_large_esp();
    let mut list = Vec::new();
    for (i, (time, ip)) in all.iter().enumerate() {
        if large.contains(&i) {
            let mut ip = ip.clone();
            ip[5] = u8::try_from(i).unwrap();
            list.extend(
                wrap::fragments(&ip, 800)
                    .into_iter()
                    .map(|part| (*time, part)),
            );
        } else {
            list.push((*time, ip.clone()));
        }
    }
    assert_eq!(
        verdict(&list),
        (Outcome::Degraded, Some("fragment-lost"), Stage::EspData)
    );
}

#[test]
fn esp_that_arrives_in_part_degrades_only_where_the_capture_shows_fragments() {
    let (all, large) = with_large_esp();
    for whole in [false, true] {
        let mut list = Vec::new();
        for (i, (time, ip)) in all.iter().enumerate() {
            if !large.contains(&i) {
                list.push((*time, ip.clone()));
                continue;
            }
            let mut ip = ip.clone();
            ip[5] = u8::try_from(i).unwrap();
            let parts = wrap::fragments(&ip, 800);
            let kept = if whole && i == large[0] { 2 } else { 1 };
            list.extend(parts.into_iter().take(kept).map(|part| (*time, part)));
        }
        let filed = judge(&list);
        let finding = filed
            .verdict
            .findings
            .iter()
            .find(|f| f.cause.code == "fragment-lost")
            .unwrap();
        let (severity, outcome) = if whole {
            (Severity::Warning, Outcome::Degraded)
        } else {
            (Severity::Info, Outcome::Established)
        };
        assert_eq!(finding.severity, severity);
        assert_eq!(filed.verdict.outcome, outcome);
    }
}

#[test]
fn a_stream_that_wants_no_answer_is_no_black_hole() {
    let (all, large) = with_large_esp();
    let packet = all[large[0]].1.clone();
    let mut list: Datagrams = all
        .iter()
        .enumerate()
        .filter(|(i, _)| !large.contains(i))
        .map(|(_, datagram)| datagram.clone())
        .collect();
    // One large packet a second, for a minute and a half; then the small ones are answered.
    let at = all[large[0]].0;
    for (time, _) in list.iter_mut().filter(|(time, _)| *time > at) {
        *time += 100_000 * MS;
    }
    for n in 0..90_u32 {
        let mut packet = packet.clone();
        packet[28 + 4..28 + 8].copy_from_slice(&(n + 10).to_be_bytes());
        list.push((at + i64::from(n) * 1000 * MS, packet));
    }
    let filed = judge(&list);
    assert!(
        !filed
            .verdict
            .findings
            .iter()
            .any(|f| f.cause.code == "pmtu-blackhole")
    );
}

#[test]
fn super_packets_of_an_offloading_host_prove_nothing() {
    let (all, large) = with_large_esp();
    let list: Datagrams = all
        .iter()
        .enumerate()
        .map(|(i, (time, ip))| {
            if !large.contains(&i) {
                return (*time, ip.clone());
            }
            let mut payload = ip[20..].to_vec();
            payload.resize(8000, 0x5a);
            let length = u16::try_from(payload.len()).unwrap();
            payload[4..6].copy_from_slice(&length.to_be_bytes());
            let (from, to) = (
                ip[12..16].try_into().unwrap(),
                ip[16..20].try_into().unwrap(),
            );
            (*time, wrap::ipv4(from, to, 17, 0x4000, &payload))
        })
        .collect();
    let filed = judge(&list);
    assert_eq!(filed.session.path.client.offloaded, 4);
    assert!(
        !filed
            .verdict
            .findings
            .iter()
            .any(|f| f.cause.code == "pmtu-blackhole")
    );
}

#[test]
fn a_named_mtu_is_obeyed_or_not() {
    let list = datagrams("ikev2-esp-frag-needed-ignored/client.pcap");
    let filed = judge(&list);
    let limit = &filed.session.path.client.limits[0];
    assert_eq!((limit.mtu, limit.ignored_count), (1000, 3));
    assert!(filed.verdict.findings[0].remedies[0].contains("MTU inside the tunnel to 926"));
    // After the first ICMP message the sender keeps within it.
    let obedient: Datagrams = list
        .iter()
        .enumerate()
        .filter(|(i, (_, ip))| *i <= 12 || ip.len() <= 1000)
        .map(|(_, datagram)| datagram.clone())
        .collect();
    let filed = judge(&obedient);
    assert!(
        !filed
            .verdict
            .findings
            .iter()
            .any(|f| f.cause.code == "frag-needed-ignored")
    );
    // One that names no MTU, as old routers do.
    let nameless: Datagrams = list
        .iter()
        .map(|(time, ip)| {
            let mut ip = ip.clone();
            if ip[9] == 1 {
                ip[26..28].copy_from_slice(&[0, 0]);
            }
            (*time, ip)
        })
        .collect();
    let filed = judge(&nameless);
    assert_eq!(filed.session.path.client.limits[0].mtu, 1299);
    assert_eq!(filed.verdict.cause, Some("frag-needed-ignored"));
}

/// A Cisco fragment with the cookies of an `IKEv1` datagram on port 500.
fn cisco_fragment(of: &[u8], number: u8, last: bool) -> Vec<u8> {
    let data = [0x5a; 200];
    let payload = wrap::cat(&[&[0, 0, 0, 208, 0, 1, number, u8::from(last)], &data]);
    let mut ike = of[28..56].to_vec();
    ike[16] = 132;
    ike[24..28].copy_from_slice(&u32::to_be_bytes(28 + 208));
    let (from, to) = (
        of[12..16].try_into().unwrap(),
        of[16..20].try_into().unwrap(),
    );
    let message = wrap::cat(&[&ike, &payload]);
    wrap::ipv4(from, to, 17, 0, &wrap::udp(500, 500, &message))
}

#[test]
fn a_cisco_fragment_that_never_arrives() {
    let all = datagrams("ikev1-main-psk-established/client.pcap");
    // The third message has both cookies and is the client's.
    for (number, last, what) in [
        (1, false, "the last never"),
        (2, true, "number 1 of 2 never"),
    ] {
        let mut list = all[..4].to_vec();
        let fragment = cisco_fragment(&all[2].1, number, last);
        repeated(&mut list, &[&fragment]);
        let filed = judge(&list);
        assert_eq!(filed.verdict.cause, Some("fragment-lost"), "{what}");
        let summary = &filed.verdict.findings[0].summary;
        assert!(summary.contains(what), "{summary}");
    }
}

#[test]
fn a_large_message_in_one_piece_is_suspected_only_where_the_port_was_heard() {
    let all = datagrams("ikev2-psk-mismatch/client.pcap");
    for heard in [true, false] {
        let mut list = all[..2].to_vec();
        // The IKE_AUTH request, padded by its last payload to what Ethernet takes.
        let request = &all[2].1;
        let (from, to) = (
            request[12..16].try_into().unwrap(),
            request[16..20].try_into().unwrap(),
        );
        let ike_at = if request[22..24] == wrap::be16(4500) {
            32
        } else {
            28
        };
        let mut ike = request[ike_at..].to_vec();
        let more = 1440 - ike.len();
        ike.resize(1440, 0x5a);
        let length = u16::from_be_bytes([ike[30], ike[31]]) + u16::try_from(more).unwrap();
        ike[30..32].copy_from_slice(&length.to_be_bytes());
        ike[24..28].copy_from_slice(&1440_u32.to_be_bytes());
        let datagram = if heard {
            wrap::udp(500, 500, &ike)
        } else {
            wrap::udp(4500, 4500, &wrap::cat(&[&[0; 4], &ike]))
        };
        let datagram = wrap::ipv4(from, to, 17, 0x4000, &datagram);
        repeated(&mut list, &[&datagram]);
        let filed = judge(&list);
        let cause = if heard {
            "pmtu-blackhole"
        } else {
            "nat-t-blocked"
        };
        assert_eq!(
            filed.verdict.cause,
            Some(cause),
            "{:?}",
            filed.verdict.findings
        );
    }
}
