//! The fast decision: what a frame of an ordinary shape holds, by a few comparisons.
//!
//! No allocation, no copies, no sums. Everything unusual is [`Glance::Complex`] and goes to
//! [`decap`](super::decap); where both read a frame, they agree, and tests hold them to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ip::protocol;
use super::link::ether;
use super::tunnel::port;
use crate::source::{Frame, LinkType};

/// Source and destination as they stand in the IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses<'a> {
    /// IPv4: source in octets 0..4, destination in 4..8.
    V4(&'a [u8; 8]),
    /// IPv6: source in octets 0..16, destination in 16..32.
    V6(&'a [u8; 32]),
}

impl Addresses<'_> {
    /// The source address.
    pub fn source(self) -> IpAddr {
        match self {
            Self::V4(octets) => octets
                .first_chunk()
                .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |octets: &[u8; 4]| {
                    IpAddr::V4(Ipv4Addr::from(*octets))
                }),
            Self::V6(octets) => octets
                .first_chunk()
                .map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |octets: &[u8; 16]| {
                    IpAddr::V6(Ipv6Addr::from(*octets))
                }),
        }
    }

    /// Whether they are of IPv6.
    #[inline]
    pub const fn is_v6(self) -> bool {
        matches!(self, Self::V6(_))
    }

    /// Source and destination as numbers; those of IPv4 in the lower 32 bits.
    #[inline]
    pub fn wide(self) -> (u128, u128) {
        match self {
            Self::V4(&[a, b, c, d, e, f, g, h]) => (
                u128::from(u32::from_be_bytes([a, b, c, d])),
                u128::from(u32::from_be_bytes([e, f, g, h])),
            ),
            Self::V6(octets) => {
                let (source, destination) = octets.split_at(16);
                let number =
                    |half: &[u8]| half.first_chunk().map_or(0, |o| u128::from_be_bytes(*o));
                (number(source), number(destination))
            }
        }
    }

    /// The destination address.
    pub fn destination(self) -> IpAddr {
        match self {
            Self::V4(octets) => octets
                .last_chunk()
                .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |octets: &[u8; 4]| {
                    IpAddr::V4(Ipv4Addr::from(*octets))
                }),
            Self::V6(octets) => octets
                .last_chunk()
                .map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |octets: &[u8; 16]| {
                    IpAddr::V6(Ipv6Addr::from(*octets))
                }),
        }
    }
}

/// What a frame holds at first sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glance<'a> {
    /// A whole UDP datagram.
    Udp {
        /// Source and destination.
        addresses: Addresses<'a>,
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
        /// Data octets, as many as were captured.
        payload: &'a [u8],
        /// Data octets on the wire.
        payload_len: u32,
    },
    /// A TCP segment.
    Tcp {
        /// Source and destination.
        addresses: Addresses<'a>,
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
        /// As in [`Tcp::flags`](super::Tcp::flags).
        flags: u8,
        /// Sequence number.
        sequence: u32,
        /// Options, as many octets as the header says.
        options: &'a [u8],
        /// TTL or hop limit.
        ttl: u8,
        /// Data octets, as many as were captured.
        payload: &'a [u8],
        /// Data octets on the wire.
        payload_len: u32,
    },
    /// ESP directly over IP.
    Esp {
        /// Source and destination.
        addresses: Addresses<'a>,
        /// From the SPI on, as many octets as were captured.
        payload: &'a [u8],
        /// Octets on the wire.
        payload_len: u32,
    },
    /// Of an unusual shape, or possibly a tunnel, a fragment, an ICMP error, a damaged header:
    /// for [`decap`](super::decap) to say.
    Complex,
    /// No IP and nothing that leads to IP.
    NotIp,
}

/// Looks at a frame.
#[expect(
    clippy::inline_always,
    reason = "measured: the caller's match takes the place of the value"
)]
#[inline(always)]
pub fn glance<'a>(frame: &Frame<'a>) -> Glance<'a> {
    let octets = frame.octets;
    let wire = frame.wire_len;
    match network(frame) {
        Some((at, ether::IPV4)) => v4(octets, wire, at),
        Some((at, ether::IPV6)) => v6(octets, wire, at),
        Some((_, ether::ARP)) => Glance::NotIp,
        _ => Glance::Complex,
    }
}

/// Where the network header begins, and its Ethernet type.
#[expect(
    clippy::inline_always,
    reason = "measured: the caller's bounds fold in"
)]
#[inline(always)]
fn network(frame: &Frame<'_>) -> Option<(usize, u16)> {
    let octets = frame.octets;
    if frame.link != LinkType::ETHERNET {
        return other_link(frame);
    }
    let &[.., t0, t1] = octets.first_chunk::<14>()?;
    let ether_type = u16::from_be_bytes([t0, t1]);
    if ether_type != ether::VLAN {
        return Some((14, ether_type));
    }
    let &[.., t0, t1] = octets.first_chunk::<18>()?;
    Some((18, u16::from_be_bytes([t0, t1])))
}

fn other_link(frame: &Frame<'_>) -> Option<(usize, u16)> {
    match frame.link {
        LinkType::LINUX_SLL => match frame.octets.first_chunk::<16>()? {
            // Hardware types of interfaces without datagrams (netlink, frame relay) are at 0x03xx.
            &[_, _, 0, _, .., p0, p1] => Some((16, u16::from_be_bytes([p0, p1]))),
            _ => None,
        },
        LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 => {
            match (frame.octets.first()? >> 4, frame.link) {
                (4, LinkType::RAW | LinkType::IPV4) => Some((0, ether::IPV4)),
                (6, LinkType::RAW | LinkType::IPV6) => Some((0, ether::IPV6)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// IPv4 without options that is no fragment.
#[expect(
    clippy::inline_always,
    reason = "measured: the caller's bounds fold in"
)]
#[inline(always)]
fn v4(octets: &[u8], wire: u32, at: usize) -> Glance<'_> {
    let Some(header) = octets.get(at..).and_then(<[u8]>::first_chunk::<20>) else {
        return Glance::Complex;
    };
    let [
        0x45,
        _,
        l0,
        l1,
        _,
        _,
        f0,
        f1,
        ttl,
        number,
        _,
        _,
        addresses @ ..,
    ] = header
    else {
        return Glance::Complex;
    };
    // More fragments, or an offset.
    if u16::from_be_bytes([*f0, *f1]) & 0x3fff != 0 {
        return Glance::Complex;
    }
    let total = u32::from(u16::from_be_bytes([*l0, *l1]));
    if total < 20 {
        return Glance::Complex;
    }
    body(
        octets,
        wire,
        at + 20,
        total - 20,
        (*number, *ttl),
        Addresses::V4(addresses),
    )
}

/// IPv6 without extension headers.
#[expect(
    clippy::inline_always,
    reason = "measured: the caller's bounds fold in"
)]
#[inline(always)]
fn v6(octets: &[u8], wire: u32, at: usize) -> Glance<'_> {
    let Some(header) = octets.get(at..).and_then(<[u8]>::first_chunk::<40>) else {
        return Glance::Complex;
    };
    let [first, _, _, _, l0, l1, number, ttl, addresses @ ..] = header;
    let length = u32::from(u16::from_be_bytes([*l0, *l1]));
    if first >> 4 != 6 || length == 0 {
        return Glance::Complex;
    }
    body(
        octets,
        wire,
        at + 40,
        length,
        (*number, *ttl),
        Addresses::V6(addresses),
    )
}

/// What the IP header, whose payload of `length` octets begins `at`, carries.
#[expect(
    clippy::inline_always,
    reason = "measured: the caller's bounds fold in"
)]
#[inline(always)]
fn body<'a>(
    octets: &'a [u8],
    wire: u32,
    at: usize,
    length: u32,
    (number, ttl): (u8, u8),
    addresses: Addresses<'a>,
) -> Glance<'a> {
    let Some(captured) = octets.get(at..) else {
        return Glance::Complex;
    };
    // Longer than the frame: damaged, or of a capture whose lengths were rewritten.
    if at as u64 + u64::from(length) > u64::from(wire).max(octets.len() as u64) {
        return Glance::Complex;
    }
    let captured = captured.get(..length as usize).unwrap_or(captured);
    match number {
        protocol::UDP => udp(captured, length, addresses),
        protocol::TCP => tcp(captured, length, ttl, addresses),
        protocol::ESP => Glance::Esp {
            addresses,
            payload: captured,
            payload_len: length,
        },
        _ => Glance::Complex,
    }
}

#[expect(
    clippy::inline_always,
    reason = "measured: the caller's bounds fold in"
)]
#[inline(always)]
fn udp<'a>(captured: &'a [u8], length: u32, addresses: Addresses<'a>) -> Glance<'a> {
    let Some((&[s0, s1, d0, d1, l0, l1, _, _], data)) = captured.split_first_chunk() else {
        return Glance::Complex;
    };
    let declared = u32::from(u16::from_be_bytes([l0, l1]));
    let source_port = u16::from_be_bytes([s0, s1]);
    let destination_port = u16::from_be_bytes([d0, d1]);
    if declared < 8 || declared > length || port::any_tunnel(source_port, destination_port) {
        return Glance::Complex;
    }
    Glance::Udp {
        addresses,
        source_port,
        destination_port,
        payload: data.get(..declared as usize - 8).unwrap_or(data),
        payload_len: declared - 8,
    }
}

#[expect(
    clippy::inline_always,
    reason = "measured: the caller's bounds fold in"
)]
#[inline(always)]
fn tcp<'a>(captured: &'a [u8], length: u32, ttl: u8, addresses: Addresses<'a>) -> Glance<'a> {
    let Some(header) = captured.first_chunk::<20>() else {
        return Glance::Complex;
    };
    let [
        s0,
        s1,
        d0,
        d1,
        q0,
        q1,
        q2,
        q3,
        _,
        _,
        _,
        _,
        offset,
        flags,
        ..,
    ] = *header;
    let header_len = u32::from(offset >> 4) * 4;
    let Some((header_octets, data)) = captured.split_at_checked(header_len as usize) else {
        return Glance::Complex;
    };
    if header_len < 20 || header_len > length {
        return Glance::Complex;
    }
    Glance::Tcp {
        addresses,
        source_port: u16::from_be_bytes([s0, s1]),
        destination_port: u16::from_be_bytes([d0, d1]),
        flags,
        sequence: u32::from_be_bytes([q0, q1, q2, q3]),
        options: header_octets.get(20..).unwrap_or_default(),
        ttl,
        payload: data,
        payload_len: length - header_len,
    }
}
