//! Frames built by code through the whole walk.

use super::*;
use crate::source::LinkType;

#[path = "../../tests/common/wrap.rs"]
pub(crate) mod wrap;

use wrap::{ETHERNET, cat, ethernet, ipv4, ipv6, udp};

pub(crate) fn frame(octets: &[u8], link: u16) -> Frame<'_> {
    Frame {
        capture: 0,
        no: 1,
        time: Timestamp(1_000),
        link: LinkType(link),
        octets,
        wire_len: u32::try_from(octets.len()).unwrap(),
        interface: 0,
    }
}

pub(crate) const CLIENT: [u8; 4] = [192, 0, 2, 1];
pub(crate) const GATEWAY: [u8; 4] = [203, 0, 113, 1];

/// One datagram of each kind that the walk tells apart.
fn datagrams() -> Vec<Vec<u8>> {
    let tcp = cat(&[
        &[
            0xc0, 1, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 2, 0x60, 0x18, 1, 0, 0, 0, 0, 0,
        ],
        &[2, 4, 5, 0xb4],
        b"data",
    ]);
    vec![
        ipv4(
            CLIENT,
            GATEWAY,
            17,
            0x4000,
            &udp(500, 500, b"twenty-eight octets of IKE.."),
        ),
        ipv4(CLIENT, GATEWAY, 6, 0x4000, &tcp),
        ipv4(CLIENT, GATEWAY, 50, 0, &[7; 60]),
        ipv4(CLIENT, GATEWAY, 1, 0, &[8, 0, 0, 0, 0, 1, 0, 1]),
        ipv4(CLIENT, GATEWAY, 17, 0x2000, &[1, 244, 1, 244, 0, 200, 0, 0]),
        ipv6(5, 6, 17, &udp(4500, 4500, &[0xff])),
        ipv6(5, 6, 50, &[7; 60]),
        ipv6(5, 6, 0, &cat(&[&[6, 0, 1, 4, 0, 0, 0, 0], &tcp])),
    ]
}

fn names(encapsulation: Encapsulation) -> Vec<String> {
    encapsulation.iter().map(|peel| peel.to_string()).collect()
}

#[test]
fn every_encapsulation_gives_the_same_innermost_datagram() {
    for datagram in datagrams() {
        let plain_octets = ethernet(&datagram);
        let plain = decap(&frame(&plain_octets, ETHERNET));
        assert_eq!(plain.stopped, None);
        assert_ne!(plain.content, Content::Nothing);
        for wrapping in wrap::ALL {
            let octets = (wrapping.wrap)(&datagram);
            let inner = decap(&frame(&octets, wrapping.link));
            let name = wrapping.name;
            assert_eq!(
                names(inner.envelope.encapsulation),
                wrapping.peels,
                "{name}"
            );
            assert_eq!(inner.content, plain.content, "{name}");
            assert_eq!(inner.stopped, None, "{name}");
            let mut expected = plain.envelope;
            expected.wire_len = inner.envelope.wire_len;
            expected.captured_len = inner.envelope.captured_len;
            expected.encapsulation = inner.envelope.encapsulation;
            expected.vlan = inner.envelope.vlan;
            expected.mac = inner.envelope.mac;
            assert_eq!(inner.envelope, expected, "{name}");
            assert_eq!(inner.ah.is_some(), wrapping.peels.contains(&"ah"), "{name}");
        }
    }
}

#[test]
fn truncation_anywhere_keeps_what_was_before() {
    for datagram in datagrams() {
        for wrapping in wrap::ALL {
            let octets = (wrapping.wrap)(&datagram);
            let whole = decap(&frame(&octets, wrapping.link));
            for n in 0..octets.len() {
                // By snaplen: the length on the wire is known.
                let mut cut = frame(&octets[..n], wrapping.link);
                cut.wire_len = u32::try_from(octets.len()).unwrap();
                let segment = decap(&cut);
                if let Some(stop) = segment.stopped {
                    assert!(stop.offset <= n, "{} cut at {n}: {stop:?}", wrapping.name);
                }
                if segment.envelope.protocol == whole.envelope.protocol
                    && segment.envelope.source == whole.envelope.source
                    && segment.envelope.encapsulation == whole.envelope.encapsulation
                {
                    assert_eq!(segment.envelope.ip_len, whole.envelope.ip_len);
                }
                agree(&cut);
                // By damage: nothing says that there was more.
                let damaged = frame(&octets[..n], wrapping.link);
                if let Some(stop) = decap(&damaged).stopped {
                    assert!(stop.offset <= n, "{} ends at {n}: {stop:?}", wrapping.name);
                }
                agree(&damaged);
            }
        }
    }
}

/// What [`glance`] reads, [`decap`] reads alike.
pub(crate) fn agree(frame: &Frame<'_>) {
    let segment = decap(frame);
    assert_eq!(segment, walk::frame(frame), "the quick way and the walk");
    if let Some(mut unsummed) = ordinary(frame) {
        assert_eq!(unsummed.envelope.checksum, Checksum::Unverified);
        unsummed.envelope.checksum = segment.envelope.checksum;
        assert_eq!(unsummed, segment, "the same but for the checksum");
    }
    glance_agrees(frame, &segment);
}

fn glance_agrees(frame: &Frame<'_>, segment: &Segment<'_>) {
    let envelope = segment.envelope;
    match (glance(frame), segment.content) {
        (Glance::Complex, _) => {}
        (Glance::NotIp, content) => assert_eq!(content, Content::Nothing),
        (
            Glance::Udp {
                addresses,
                source_port,
                destination_port,
                payload,
                payload_len,
            },
            Content::Udp {
                payload: full,
                payload_len: full_len,
            },
        ) => {
            assert_eq!(
                (payload, payload_len, source_port, destination_port),
                (
                    full,
                    full_len,
                    envelope.source_port,
                    envelope.destination_port
                )
            );
            same_addresses(addresses, &envelope);
        }
        (
            Glance::Tcp {
                addresses,
                source_port,
                destination_port,
                flags,
                sequence,
                options,
                ttl,
                payload,
                payload_len,
            },
            Content::Tcp(tcp),
        ) => {
            let ports = (envelope.source_port, envelope.destination_port);
            assert_eq!((source_port, destination_port), ports);
            assert_eq!((options, ttl), (tcp.options, envelope.ttl));
            assert_eq!(
                (payload, payload_len, flags, sequence),
                (tcp.payload, tcp.payload_len, tcp.flags, tcp.sequence)
            );
            same_addresses(addresses, &envelope);
        }
        (
            Glance::Esp {
                addresses,
                payload,
                payload_len,
            },
            Content::Ip {
                payload: full,
                payload_len: full_len,
            },
        ) => {
            assert_eq!(
                (payload, payload_len, 50),
                (full, full_len, envelope.protocol)
            );
            same_addresses(addresses, &envelope);
        }
        (glance, content) => panic!("{glance:?} and {content:?} disagree"),
    }
}

fn same_addresses(addresses: Addresses<'_>, envelope: &Envelope) {
    assert_eq!(
        (addresses.source(), addresses.destination()),
        (envelope.source, envelope.destination)
    );
    assert!(
        envelope
            .encapsulation
            .iter()
            .all(|peel| matches!(peel, Peel::Vlan(_)))
    );
}

#[test]
fn a_glance_reads_plain_shapes() {
    for wrapping in wrap::ALL {
        let datagram = ipv4(CLIENT, GATEWAY, 17, 0x4000, &udp(500, 4500, b"payload"));
        let octets = (wrapping.wrap)(&datagram);
        let seen = glance(&frame(&octets, wrapping.link));
        let plain = matches!(
            wrapping.name,
            "ethernet" | "padded" | "vlan" | "sll" | "raw"
        );
        assert_eq!(
            matches!(seen, Glance::Udp { .. }),
            plain,
            "{}: {seen:?}",
            wrapping.name
        );
        assert!(
            plain || seen == Glance::Complex,
            "{}: {seen:?}",
            wrapping.name
        );
    }
}

#[test]
fn checksums_are_noticed() {
    let mut datagram = udp(500, 500, b"hi");
    let mut pseudo = cat(&[&CLIENT, &GATEWAY, &[0, 17, 0, 10], &datagram]);
    let sum = wrap::ones_complement(&pseudo);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    pseudo[18..20].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(wrap::ones_complement(&pseudo), 0);
    let verdict = |ip: &[u8]| decap(&frame(&ethernet(ip), ETHERNET)).envelope.checksum;
    let mut ip = ipv4(CLIENT, GATEWAY, 17, 0, &datagram);
    assert_eq!(verdict(&ip), Checksum::Good);
    ip[29] ^= 1;
    assert_eq!(verdict(&ip), Checksum::Bad);
    ip[29] ^= 1;
    // TTL is part of the IP header's sum alone.
    ip[8] -= 1;
    assert_eq!(verdict(&ip), Checksum::Bad);
    let absent = ipv4(CLIENT, GATEWAY, 17, 0, &udp(500, 500, b"hi"));
    assert_eq!(verdict(&absent), Checksum::Absent);
    assert_eq!(
        verdict(&ipv4(CLIENT, GATEWAY, 50, 0, &[0; 16])),
        Checksum::Good
    );
}

#[test]
fn icmp_errors_quote_a_datagram() {
    let quoted = ipv4(CLIENT, GATEWAY, 17, 0x4000, &udp(500, 4500, &[9; 40]));
    let error = cat(&[&[3, 4, 0, 0, 0, 0, 0x05, 0x78], &quoted[..28]]);
    let octets = ethernet(&ipv4([198, 51, 100, 1], CLIENT, 1, 0, &error));
    let segment = decap(&frame(&octets, ETHERNET));
    let Content::Icmp(icmp) = segment.content else {
        panic!("{segment:?}")
    };
    assert_eq!((icmp.icmp_type, icmp.code, icmp.mtu), (3, 4, Some(1400)));
    assert_eq!(
        icmp.quoted,
        Some(Quoted {
            source: IpAddr::from(CLIENT),
            destination: IpAddr::from(GATEWAY),
            protocol: 17,
            source_port: 500,
            destination_port: 4500,
            ip_len: 68,
            fragment_offset: 0,
            payload: &[],
        })
    );
}

#[test]
fn icmpv6_errors_quote_through_extension_headers() {
    let hop_by_hop = cat(&[&[17, 0, 1, 4, 0, 0, 0, 0], &udp(500, 500, b"ike")]);
    let quoted = ipv6(5, 6, 0, &hop_by_hop);
    let error = cat(&[&[2, 0, 0, 0, 0, 0, 0x05, 0], &quoted]);
    let octets = ethernet(&ipv6(9, 5, 58, &error));
    let Content::Icmp(icmp) = decap(&frame(&octets, ETHERNET)).content else {
        panic!()
    };
    let quoted = icmp.quoted.unwrap();
    assert_eq!((icmp.v6, icmp.mtu), (true, Some(1280)));
    assert_eq!((quoted.protocol, quoted.source_port), (17, 500));
    assert_eq!((quoted.payload, quoted.ip_len), (&b"ike"[..], 59));
}

#[test]
fn extensions_of_rfc_4884_are_not_quoted() {
    let quoted = ipv4(CLIENT, GATEWAY, 50, 0x4000, &[9; 300]);
    let extension = [0x20, 0, 0, 0, 0, 8, 1, 1, 0, 0, 0, 0];
    let error = cat(&[&[11, 0, 0, 0, 0, 32, 0, 0], &quoted[..128], &extension]);
    let octets = ethernet(&ipv4(GATEWAY, CLIENT, 1, 0, &error));
    let Content::Icmp(icmp) = decap(&frame(&octets, ETHERNET)).content else {
        panic!()
    };
    assert_eq!(icmp.quoted.unwrap().payload, [9; 108]);
}

#[test]
fn a_datagram_without_length_takes_the_frame() {
    let mut ip = ipv4(CLIENT, GATEWAY, 50, 0, &[1; 100]);
    ip[2..4].copy_from_slice(&[0, 0]);
    let octets = ethernet(&ip);
    let segment = decap(&frame(&octets, ETHERNET));
    assert_eq!(segment.envelope.ip_len, 120);
    assert_eq!(
        segment.content,
        Content::Ip {
            payload: &[1; 100],
            payload_len: 100
        }
    );
    assert_eq!(glance(&frame(&octets, ETHERNET)), Glance::Complex);
}

#[test]
fn lengths_beyond_the_frame_are_named_and_read_on() {
    let ip = ipv4(CLIENT, GATEWAY, 17, 0, &udp(500, 500, &[1; 100]));
    let octets = ethernet(&ip[..60]);
    let segment = decap(&frame(&octets, ETHERNET));
    assert_eq!(
        segment.stopped,
        Some(Stop {
            layer: "ipv4",
            offset: 16,
            what: "total length longer than the frame"
        })
    );
    assert!(segment.envelope.truncated);
    assert_eq!(
        segment.content,
        Content::Udp {
            payload: &[1; 32],
            payload_len: 100
        }
    );
}

#[test]
fn faults_are_named_with_their_place() {
    let stop = |octets: &[u8]| {
        let stop = decap(&frame(octets, ETHERNET)).stopped.unwrap();
        (stop.layer, stop.offset, stop.what)
    };
    let mut ip = ipv4(CLIENT, GATEWAY, 17, 0, &udp(500, 500, b""));
    ip[0] = 0x44;
    assert_eq!(
        stop(&ethernet(&ip)),
        ("ipv4", 14, "header length below 20 octets")
    );
    ip[0] = 0x65;
    assert_eq!(
        stop(&wrap::eth(0x0800, &ip)),
        ("ipv4", 14, "version is not 4")
    );
    ip[0] = 0x45;
    ip[25] = 7;
    assert_eq!(stop(&ethernet(&ip)), ("udp", 38, "length below 8"));
    let loops = ipv6(1, 2, 0, &[0; 17 * 8]);
    assert_eq!(
        stop(&ethernet(&loops)),
        ("ipv6-extension", 54 + 16 * 8, "too many extension headers")
    );
    let mut nested = ipv4(CLIENT, GATEWAY, 59, 0, &[]);
    for _ in 0..9 {
        nested = wrap::outer(4, &nested);
    }
    assert_eq!(
        stop(&ethernet(&nested)),
        ("encapsulation", 14 + 9 * 20, "nested too deep")
    );
}

#[test]
fn a_fault_inside_a_tunnel_leaves_the_tunnel() {
    let octets = ethernet(&wrap::outer(47, &[0, 0, 8, 0, 0x45, 0]));
    let segment = decap(&frame(&octets, ETHERNET));
    assert_eq!(segment.envelope.protocol, 47);
    assert_eq!(segment.envelope.source, IpAddr::from([172, 16, 0, 1]));
    assert!(matches!(
        segment.content,
        Content::Ip { payload_len: 6, .. }
    ));
    assert_eq!(segment.stopped.unwrap().layer, "ipv4");
}

#[test]
fn ppp_control_is_for_a_dissector() {
    let lcp = [0xc0, 0x21, 1, 1, 0, 4];
    let octets = wrap::eth(0x8864, &cat(&[&[0x11, 0, 0, 7, 0, 6], &lcp, &[0; 30]]));
    assert_eq!(
        decap(&frame(&octets, ETHERNET)).content,
        Content::Pppoe {
            discovery: false,
            octets: &octets[14..26]
        }
    );
    let octets = cat(&[&[0xff, 3], &lcp]);
    assert_eq!(
        decap(&frame(&octets, LinkType::PPP.0)).content,
        Content::Ppp { octets: &lcp }
    );
    let discovery = [0x11, 9, 0, 0, 0, 4, 1, 1, 0, 0];
    let octets = wrap::eth(0x8863, &cat(&[&discovery, &[0; 36]]));
    assert_eq!(
        decap(&frame(&octets, ETHERNET)).content,
        Content::Pppoe {
            discovery: true,
            octets: &discovery
        }
    );
}

#[test]
fn cooked_frames_of_netlink_hold_no_datagram() {
    let ip = ipv4(CLIENT, GATEWAY, 50, 0, &[1; 40]);
    let header = [0, 4, 0x03, 0x38, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0];
    let octets = cat(&[&header, &ip]);
    let frame = frame(&octets, LinkType::LINUX_SLL.0);
    assert_eq!(decap(&frame).content, Content::Nothing);
    assert_eq!(glance(&frame), Glance::Complex);
}

#[test]
fn the_sieve_of_ports_lets_every_tunnel_through() {
    for port in 0..=u16::MAX {
        let expected = tunnel::port::tunnel(port).is_some();
        assert_eq!(tunnel::port::any_tunnel(port, 0), expected, "{port}");
        assert_eq!(tunnel::port::any_tunnel(40_000, port), expected, "{port}");
    }
}

mod corpus;

mod generated {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_octets_break_the_walk(
            octets in prop::collection::vec(any::<u8>(), 0..200),
            link in prop::sample::select(vec![0, 1, 9, 12, 50, 51, 101, 104, 108, 113, 166, 204, 228, 229, 239, 276]),
            more in 0_u32..100,
        ) {
            let mut frame = frame(&octets, link);
            frame.wire_len += more;
            let segment = decap(&frame);
            prop_assert!(segment.stopped.is_none_or(|stop| stop.offset <= octets.len()));
            agree(&frame);
        }

        #[test]
        fn no_change_breaks_the_walk(
            which in 0..wrap::ALL.len(),
            kind in 0..8_usize,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let wrapping = &wrap::ALL[which];
            let mut octets = (wrapping.wrap)(&datagrams()[kind]);
            for (at, value) in changes {
                *at.get_mut(&mut octets) = value;
            }
            let frame = frame(&octets, wrapping.link);
            let segment = decap(&frame);
            prop_assert!(segment.stopped.is_none_or(|stop| stop.offset <= octets.len()));
            agree(&frame);
        }
    }
}
