//! IP packets around the octets of a replay, for the record of what happened.

use std::net::{IpAddr, SocketAddr};

/// Protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// TCP flags.
pub mod flags {
    /// FIN.
    pub const FIN: u8 = 0x01;
    /// SYN.
    pub const SYN: u8 = 0x02;
    /// ACK.
    pub const ACK: u8 = 0x10;
}

/// A UDP datagram in its IP packet.
pub fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::with_capacity(8 + payload.len());
    segment.extend(source.port().to_be_bytes());
    segment.extend(destination.port().to_be_bytes());
    segment.extend(
        u16::try_from(8 + payload.len())
            .unwrap_or(u16::MAX)
            .to_be_bytes(),
    );
    segment.extend([0, 0]);
    segment.extend(payload);
    ip(source.ip(), destination.ip(), UDP, segment, 6)
}

/// A TCP segment in its IP packet.
pub fn tcp(
    source: SocketAddr,
    destination: SocketAddr,
    numbers: (u32, u32),
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut segment = Vec::with_capacity(20 + payload.len());
    segment.extend(source.port().to_be_bytes());
    segment.extend(destination.port().to_be_bytes());
    segment.extend(numbers.0.to_be_bytes());
    segment.extend(numbers.1.to_be_bytes());
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    ip(source.ip(), destination.ip(), TCP, segment, 16)
}

/// Puts an IP header before a segment whose checksum stands at `at`.
fn ip(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    mut segment: Vec<u8>,
    at: usize,
) -> Vec<u8> {
    let len = u16::try_from(segment.len()).unwrap_or(u16::MAX);
    let mut pseudo = Vec::new();
    let mut header = match (source.to_canonical(), destination.to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            pseudo.extend(source.octets());
            pseudo.extend(destination.octets());
            let total = len.saturating_add(20).to_be_bytes();
            let mut header = vec![
                0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, protocol, 0, 0,
            ];
            header.extend(&pseudo);
            let sum = checksum(&header).to_be_bytes();
            for (place, octet) in header.iter_mut().skip(10).zip(sum) {
                *place = octet;
            }
            header
        }
        (source, destination) => {
            let v6 = |ip| match ip {
                IpAddr::V4(ip) => std::net::Ipv4Addr::to_ipv6_mapped(&ip).octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            pseudo.extend(v6(source));
            pseudo.extend(v6(destination));
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(len.to_be_bytes());
            header.extend([protocol, 64]);
            header.extend(&pseudo);
            header
        }
    };
    pseudo.extend([0, protocol]);
    pseudo.extend(len.to_be_bytes());
    pseudo.extend(&segment);
    let sum = match checksum(&pseudo) {
        0 if protocol == UDP => 0xffff,
        sum => sum,
    };
    for (place, octet) in segment.iter_mut().skip(at).zip(sum.to_be_bytes()) {
        *place = octet;
    }
    header.extend(segment);
    header
}

/// The Internet checksum (RFC 1071).
pub fn checksum(octets: &[u8]) -> u16 {
    let mut sum: u64 = 0;
    for pair in octets.chunks(2) {
        let word = match *pair {
            [a, b] => u16::from_be_bytes([a, b]),
            [a] => u16::from_be_bytes([a, 0]),
            _ => 0,
        };
        sum += u64::from(word);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decap::{Checksum, Content, decap};
    use crate::source::{Frame, LinkType};
    use crate::time::Timestamp;

    fn read(octets: &[u8]) -> Frame<'_> {
        Frame {
            capture: 0,
            no: 1,
            time: Timestamp(0),
            link: LinkType::RAW,
            octets,
            wire_len: u32::try_from(octets.len()).unwrap(),
            interface: 0,
        }
    }

    #[test]
    fn what_is_made_is_read_back_with_good_checksums() {
        for (a, b) in [
            ("192.0.2.1:500", "203.0.113.9:4500"),
            ("[2001:db8::1]:500", "[2001:db8::2]:4500"),
        ] {
            let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
            for payload in [&b"odd"[..], b"even", b""] {
                let packet = udp(a, b, payload);
                let segment = decap(&read(&packet));
                assert_eq!(segment.envelope.checksum, Checksum::Good);
                assert!(matches!(segment.content, Content::Udp { payload: p, .. } if p == payload));
                let packet = tcp(a, b, (7, 9), flags::ACK, payload);
                let segment = decap(&read(&packet));
                assert_eq!(segment.envelope.checksum, Checksum::Good);
                assert!(matches!(segment.content, Content::Tcp(t) if t.payload == payload));
            }
        }
    }
}
