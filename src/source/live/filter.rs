//! The default kernel filter: what recognition by content needs, and no more.
//!
//! Gives the text of a BPF program for a link type. Never opens anything.

use crate::source::LinkType;

/// What passes, for libpcap.
///
/// All UDP, ICMP and IPv6; every IPv4 fragment; IP in IP, IPv6 in IPv4, GRE, ESP, AH, L2TPv3;
/// of TCP the segments that open or end a connection, those that begin like a TLS record, IKE
/// and Cisco's IPsec over TCP, DNS. A load beyond the end of a frame refuses it whatever follows, so what looks at
/// octets of the payload comes last.
const IP: &str = "ip6 or udp or icmp or (ip[6:2] & 0x3fff != 0) \
or ip proto 4 or ip proto 41 or ip proto 47 or ip proto 50 or ip proto 51 or ip proto 115 \
or tcp port 4500 or tcp port 53 or tcp port 10000 \
or (tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0) \
or (tcp[((tcp[12:1] & 0xf0) >> 2):2] & 0xfcff = 0x1403) \
or (tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x494b4554)";

/// Carriers below IP that stand only where there is an Ethernet type: `PPPoE`, MPLS.
const ETHERNET: &str = "ether proto 0x8863 or ether proto 0x8864 or ether proto 0x8847 \
or ether proto 0x8848";

/// The same for people.
pub(super) const IN_WORDS: &str = "the default, which passes UDP, ICMP, IPv6, fragments, IP in IP, \
GRE, ESP, AH, L2TPv3, PPPoE and MPLS; of TCP over IPv4 what opens or ends a connection, segments \
that begin like a TLS record, IKE and IPsec over TCP, DNS; the same inside VLAN tags. What else \
was on the wire was not seen; --all-traffic shows it";

/// The default filter for a link type. Inside up to two VLAN tags it is the same.
pub(super) fn default_for(link: LinkType) -> String {
    match link {
        LinkType::ETHERNET => {
            let plain = format!("{ETHERNET} or {IP}");
            // Each `vlan` moves the offsets of everything to its right.
            format!("{plain} or (vlan and ({plain} or (vlan and ({plain}))))")
        }
        // libpcap knows no tags there; the kernel takes one off, and what is below another passes.
        LinkType::LINUX_SLL | LinkType::LINUX_SLL2 => {
            format!("{ETHERNET} or ether proto 0x8100 or ether proto 0x88a8 or {IP}")
        }
        _ => IP.into(),
    }
}

#[cfg(test)]
mod tests {
    use pcap::{BpfProgram, Capture, Linktype};

    use super::*;

    /// The longest program a kernel takes.
    const BPF_MAXINSNS: usize = 4096;

    fn compiled(dlt: i32, link: LinkType) -> BpfProgram {
        let capture = Capture::dead(Linktype(dlt)).unwrap();
        let program = capture.compile(&default_for(link), true).unwrap();
        assert!(program.get_instructions().len() < BPF_MAXINSNS);
        program
    }

    #[test]
    fn libpcap_compiles_it_for_every_link_type() {
        for (dlt, link) in [
            (1, LinkType::ETHERNET),
            (12, LinkType::RAW),
            (0, LinkType::NULL),
            (108, LinkType::LOOP),
            (113, LinkType::LINUX_SLL),
            (276, LinkType::LINUX_SLL2),
            (228, LinkType::IPV4),
            (229, LinkType::IPV6),
            (9, LinkType::PPP),
        ] {
            compiled(dlt, link);
        }
    }

    /// An IPv4 packet: protocol, flags and fragment offset, what follows.
    fn ipv4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
        let mut ip = vec![0x45, 0, 0, 0, 0, 1];
        ip.extend(fragment.to_be_bytes());
        ip.extend([64, protocol, 0, 0, 192, 0, 2, 1, 203, 0, 113, 1]);
        ip.extend(payload);
        let len = u16::try_from(ip.len()).unwrap().to_be_bytes();
        ip[2..4].copy_from_slice(&len);
        ip
    }

    /// A TCP segment of a header of 24 octets.
    fn tcp(ports: (u16, u16), flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut tcp = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
        tcp.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x60, flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend([1, 1, 1, 0]);
        tcp.extend(payload);
        tcp
    }

    fn ethernet(tags: usize, kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        for _ in 0..tags {
            frame.extend([0x81, 0x00, 0x00, 0x0a]);
        }
        frame.extend(kind.to_be_bytes());
        frame.extend(payload);
        frame.resize(frame.len().max(60), 0);
        frame
    }

    const ACK: u8 = 0x10;

    /// Packets that pass, and why.
    fn wanted() -> Vec<(&'static str, u16, Vec<u8>)> {
        let over = |protocol, payload: &[u8]| ipv4(protocol, 0, payload);
        let tls = |octets: &[u8]| over(6, &tcp((50_000, 8443), ACK, octets));
        let mut ipv6 = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
        ipv6.extend([0x20; 32]);
        ipv6.extend(tcp((50_000, 80), ACK, b""));
        vec![
            ("udp", 0x0800, over(17, &[0; 20])),
            ("icmp", 0x0800, over(1, &[3, 4, 0, 0, 0, 0, 0, 0])),
            ("first fragment", 0x0800, ipv4(6, 0x2000, &[0; 40])),
            ("later fragment", 0x0800, ipv4(17, 0x00b9, &[0; 40])),
            ("ip in ip", 0x0800, over(4, &[0; 20])),
            ("6in4", 0x0800, over(41, &[0; 20])),
            ("gre", 0x0800, over(47, &[0; 20])),
            ("esp", 0x0800, over(50, &[0; 20])),
            ("ah", 0x0800, over(51, &[0; 20])),
            ("l2tpv3", 0x0800, over(115, &[0; 20])),
            ("syn", 0x0800, over(6, &tcp((50_000, 80), 0x02, b""))),
            ("fin", 0x0800, over(6, &tcp((50_000, 80), 0x11, b""))),
            ("rst", 0x0800, over(6, &tcp((50_000, 80), 0x04, b""))),
            ("tls handshake", 0x0800, tls(&[0x16, 3, 1, 0, 5, 1])),
            ("tls alert", 0x0800, tls(&[0x15, 3, 3, 0, 2, 2, 40])),
            ("tls ccs", 0x0800, tls(&[0x14, 3, 3, 0, 1, 1])),
            ("tls data", 0x0800, tls(&[0x17, 3, 3, 0, 1, 1])),
            ("IKETCP", 0x0800, tls(b"IKETCP\0\x40")),
            (
                "tcp 10000",
                0x0800,
                over(6, &tcp((50_000, 10_000), ACK, b"x")),
            ),
            ("tcp 4500", 0x0800, over(6, &tcp((4500, 50_000), ACK, b"x"))),
            (
                "tcp 53",
                0x0800,
                over(6, &tcp((53, 50_000), ACK, b"\0\x40")),
            ),
            ("ipv6 tcp", 0x86dd, ipv6),
        ]
    }

    fn unwanted() -> Vec<(&'static str, u16, Vec<u8>)> {
        let plain = |octets: &[u8]| ipv4(6, 0x4000, &tcp((50_000, 80), ACK, octets));
        vec![
            ("tcp data", 0x0800, plain(b"GET / HTTP/1.1")),
            ("tcp ack", 0x0800, plain(b"")),
            ("nearly tls", 0x0800, plain(&[0x16, 4, 1, 0, 5, 1])),
            ("arp", 0x0806, vec![0; 28]),
            ("ospf", 0x0800, ipv4(89, 0, &[0; 24])),
        ]
    }

    #[test]
    fn passes_what_is_needed_and_no_more_under_up_to_two_tags() {
        let program = compiled(1, LinkType::ETHERNET);
        for tags in 0..=2 {
            for (what, kind, packet) in wanted() {
                let frame = ethernet(tags, kind, &packet);
                assert!(program.filter(&frame), "{what} under {tags} tags");
            }
            for (what, kind, packet) in unwanted() {
                let frame = ethernet(tags, kind, &packet);
                assert!(!program.filter(&frame), "{what} under {tags} tags");
            }
            for kind in [0x8863, 0x8864, 0x8847, 0x8848] {
                assert!(program.filter(&ethernet(tags, kind, &[0; 46])));
            }
        }
    }

    #[test]
    fn a_cooked_capture_passes_the_same_and_what_is_tagged() {
        let program = compiled(113, LinkType::LINUX_SLL);
        let cooked =
            |kind: u16, packet: &[u8]| [&[0; 14][..], &kind.to_be_bytes(), packet].concat();
        for (what, kind, packet) in wanted() {
            assert!(program.filter(&cooked(kind, &packet)), "{what}");
        }
        for (what, kind, packet) in unwanted() {
            assert!(!program.filter(&cooked(kind, &packet)), "{what}");
        }
        for kind in [0x8863, 0x8864, 0x8847, 0x8848, 0x8100, 0x88a8] {
            assert!(program.filter(&cooked(kind, &[0; 46])), "{kind:04x}");
        }
    }

    #[test]
    fn raw_ip_passes_the_same() {
        let program = compiled(12, LinkType::RAW);
        for (what, _, packet) in wanted() {
            assert!(program.filter(&packet), "{what}");
        }
        for (what, kind, packet) in unwanted() {
            assert!(kind != 0x0800 || !program.filter(&packet), "{what}");
        }
    }
}
