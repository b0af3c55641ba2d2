//! ICMP and ICMPv6 messages, with the datagram that an error quotes as far as it goes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ip::protocol;
use super::rest::Rest;
use super::walk::{Step, Walk};
use super::{Content, Icmp, Quoted, checksum};

/// RFC 792 and RFC 4443 §2.1: octet 0 type, 1 code, 2..4 checksum, 4..8 by type.
pub(super) fn message<'a>(walk: &mut Walk<'a>, v6: bool, rest: Rest<'a>) -> Step<'a> {
    let (Some(icmp_type), Some(code)) = (rest.u8(0), rest.u8(1)) else {
        return Err(rest.short("icmp"));
    };
    if !rest.is_cut() && rest.octets.len() >= 4 {
        let sum = if v6 {
            checksum::with_pseudo_header(&walk.envelope, protocol::ICMPV6, rest.octets)
        } else {
            checksum::icmp(rest.octets)
        };
        walk.envelope.checksum = checksum::both(walk.envelope.checksum, sum);
    }
    let mtu = match (v6, icmp_type, code) {
        (false, 3, 4) => rest.be16(6).map(u32::from),
        (true, 2, _) => rest.be32(4),
        _ => None,
    };
    let is_error = if v6 {
        matches!(icmp_type, 1..=4)
    } else {
        matches!(icmp_type, 3 | 4 | 5 | 11 | 12)
    };
    let quoted = if is_error {
        quotation(v6, icmp_type, rest).and_then(quoted)
    } else {
        None
    };
    walk.found(Content::Icmp(Icmp {
        v6,
        icmp_type,
        code,
        mtu,
        quoted,
    }));
    if rest.octets.len() < 8 {
        return Err(rest.short("icmp"));
    }
    Ok(None)
}

/// The quoted octets, without the extensions of RFC 4884 that may follow them.
fn quotation(v6: bool, icmp_type: u8, rest: Rest<'_>) -> Option<&[u8]> {
    let octets = rest.skip(8)?.octets;
    let words = match (v6, icmp_type) {
        (false, 3 | 11 | 12) => usize::from(rest.u8(5)?) * 4,
        (true, 1 | 3) => usize::from(rest.u8(4)?) * 8,
        _ => 0,
    };
    // Below 128 octets it is no such length (RFC 4884 §5.5), only junk in a reserved field.
    if words >= 128 {
        Some(octets.get(..words).unwrap_or(octets))
    } else {
        Some(octets)
    }
}

/// Reads a quoted datagram: lenient, because routers cut it and change it.
fn quoted(octets: &[u8]) -> Option<Quoted<'_>> {
    match octets.first()? >> 4 {
        4 => quoted_v4(octets),
        6 => quoted_v6(octets),
        _ => None,
    }
}

fn quoted_v4(octets: &[u8]) -> Option<Quoted<'_>> {
    let fixed: &[u8; 20] = octets.first_chunk()?;
    let [
        first,
        _,
        l0,
        l1,
        _,
        _,
        f0,
        f1,
        _,
        protocol,
        _,
        _,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ] = *fixed;
    let header_len = usize::from(first & 0x0f) * 4;
    if header_len < 20 {
        return None;
    }
    let ip_len = u32::from(u16::from_be_bytes([l0, l1]));
    let fragment_offset = u32::from(u16::from_be_bytes([f0, f1]) & 0x1fff) * 8;
    let end = usize::try_from(ip_len)
        .ok()
        .filter(|end| *end >= header_len);
    let octets = end.and_then(|end| octets.get(..end)).unwrap_or(octets);
    Some(with_payload(
        Quoted {
            source: IpAddr::V4(Ipv4Addr::new(s0, s1, s2, s3)),
            destination: IpAddr::V4(Ipv4Addr::new(d0, d1, d2, d3)),
            protocol,
            source_port: 0,
            destination_port: 0,
            ip_len,
            fragment_offset,
            payload: &[],
        },
        octets.get(header_len..).unwrap_or_default(),
    ))
}

fn quoted_v6(octets: &[u8]) -> Option<Quoted<'_>> {
    let fixed: &[u8; 40] = octets.first_chunk()?;
    let (fields, addresses) = fixed.split_first_chunk::<8>()?;
    let (source, destination) = addresses.split_first_chunk::<16>()?;
    let [_, _, _, _, l0, l1, next, _] = *fields;
    let payload_len = u16::from_be_bytes([l0, l1]);
    let mut rest = octets.get(40..).unwrap_or_default();
    rest = rest.get(..usize::from(payload_len)).unwrap_or(rest);
    let mut quoted = Quoted {
        source: IpAddr::V6(Ipv6Addr::from(*source)),
        destination: IpAddr::V6(Ipv6Addr::from(destination.first_chunk().copied()?)),
        protocol: next,
        source_port: 0,
        destination_port: 0,
        ip_len: u32::from(payload_len) + 40,
        fragment_offset: 0,
        payload: &[],
    };
    while let (
        protocol::HOP_BY_HOP
        | protocol::ROUTING
        | protocol::DESTINATION
        | protocol::FRAGMENT
        | protocol::AH,
        Some(&[after, length, high, low]),
    ) = (quoted.protocol, rest.first_chunk())
    {
        let length = match quoted.protocol {
            protocol::FRAGMENT => {
                quoted.fragment_offset = u32::from(u16::from_be_bytes([high, low]) & 0xfff8);
                8
            }
            protocol::AH => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        quoted.protocol = after;
        rest = rest.get(length..).unwrap_or_default();
        if quoted.fragment_offset != 0 {
            break;
        }
    }
    Some(with_payload(quoted, rest))
}

/// The ports, and what follows the UDP header; TCP keeps its header, whose sequence number
/// tells which segment it was.
fn with_payload<'a>(mut quoted: Quoted<'a>, octets: &'a [u8]) -> Quoted<'a> {
    quoted.payload = octets;
    let transport = matches!(quoted.protocol, protocol::UDP | protocol::TCP);
    if let (true, 0, Some(&[a, b, c, d])) =
        (transport, quoted.fragment_offset, octets.first_chunk())
    {
        quoted.source_port = u16::from_be_bytes([a, b]);
        quoted.destination_port = u16::from_be_bytes([c, d]);
        if quoted.protocol == protocol::UDP {
            quoted.payload = octets.get(8..).unwrap_or_default();
        }
    }
    quoted
}
