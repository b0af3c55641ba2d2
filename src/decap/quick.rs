//! The full parse of a frame of an ordinary shape, in a straight line.
//!
//! Gives what [`decap`](super::decap) gives, for the shapes that [`glance`](super::glance())
//! knows on Ethernet and raw IP; everything else is for the walk. Tests hold both to each other.

use std::net::IpAddr;

use super::ip::protocol;
use super::link::ether;
use super::tunnel::port;
use super::{Checksum, Content, Envelope, Peel, Segment, Tcp, checksum};
use crate::source::{Frame, LinkType};

/// Reads a frame of an ordinary shape; checksums only with `SUMS`.
pub(super) fn quick<'a, const SUMS: bool>(frame: &Frame<'a>) -> Option<Segment<'a>> {
    let mut envelope = Envelope::of(frame);
    let octets = frame.octets;
    let wire = frame.wire_len.max(u32::try_from(octets.len()).ok()?);
    let (at, ether_type) = match frame.link {
        LinkType::ETHERNET => ethernet(octets, &mut envelope)?,
        LinkType::RAW => match octets.first()? >> 4 {
            4 => (0, ether::IPV4),
            6 => (0, ether::IPV6),
            _ => return None,
        },
        _ => return None,
    };
    let ip = octets.get(at..)?;
    let room = wire - u32::try_from(at).ok()?;
    let (header, length) = match ether_type {
        ether::IPV4 => (20, v4::<SUMS>(ip, &mut envelope)?),
        ether::IPV6 => (40, v6(ip, &mut envelope)?),
        _ => return None,
    };
    envelope.ip_len = length + header;
    if envelope.ip_len > room {
        return None;
    }
    let body = ip.get(header as usize..)?;
    let body = body.get(..length as usize).unwrap_or(body);
    envelope.truncated = body.len() < length as usize;
    let content = match envelope.protocol {
        protocol::UDP => udp::<SUMS>(body, length, &mut envelope)?,
        protocol::TCP => tcp::<SUMS>(body, length, &mut envelope)?,
        protocol::ESP => Content::Ip {
            payload: body,
            payload_len: length,
        },
        _ => return None,
    };
    Some(Segment {
        envelope,
        content,
        ah: None,
        stopped: None,
    })
}

/// Addresses and at most one VLAN tag; where IP begins, and its `EtherType`.
fn ethernet(octets: &[u8], envelope: &mut Envelope) -> Option<(usize, u16)> {
    let header = octets.first_chunk::<14>()?;
    let (destination, rest) = header.split_first_chunk::<6>()?;
    let (source, ether_type) = rest.split_first_chunk::<6>()?;
    envelope.mac = (*source, *destination);
    let ether_type = u16::from_be_bytes(*ether_type.first_chunk()?);
    if ether_type != ether::VLAN {
        return Some((14, ether_type));
    }
    let &[.., t0, t1, e0, e1] = octets.first_chunk::<18>()?;
    let id = u16::from_be_bytes([t0, t1]) & 0x0fff;
    envelope.vlan = Some(id);
    envelope.encapsulation.push(Peel::Vlan(id));
    Some((18, u16::from_be_bytes([e0, e1])))
}

/// IPv4 without options that is no fragment; octets of its payload.
fn v4<const SUMS: bool>(octets: &[u8], envelope: &mut Envelope) -> Option<u32> {
    let header = octets.first_chunk::<20>()?;
    let &[
        0x45,
        _,
        l0,
        l1,
        i0,
        i1,
        f0,
        f1,
        ttl,
        number,
        _,
        _,
        ref addresses @ ..,
    ] = header
    else {
        return None;
    };
    let flags = u16::from_be_bytes([f0, f1]);
    // More fragments, or an offset.
    if flags & 0x3fff != 0 {
        return None;
    }
    let &[s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
    envelope.source = IpAddr::from([s0, s1, s2, s3]);
    envelope.destination = IpAddr::from([d0, d1, d2, d3]);
    envelope.protocol = number;
    envelope.ttl = ttl;
    envelope.ip_id = u32::from(u16::from_be_bytes([i0, i1]));
    envelope.dont_fragment = flags & 0x4000 != 0;
    if SUMS {
        envelope.checksum = checksum::ipv4_header(header);
    }
    u32::from(u16::from_be_bytes([l0, l1])).checked_sub(20)
}

/// IPv6 without extension headers; octets of its payload.
fn v6(octets: &[u8], envelope: &mut Envelope) -> Option<u32> {
    let &[first, _, _, _, l0, l1, number, ttl, ref addresses @ ..] = octets.first_chunk::<40>()?;
    let length = u32::from(u16::from_be_bytes([l0, l1]));
    if first >> 4 != 6 || length == 0 {
        return None;
    }
    let (source, destination) = addresses.split_first_chunk::<16>()?;
    envelope.source = IpAddr::from(*source);
    envelope.destination = IpAddr::from(*destination.first_chunk::<16>()?);
    envelope.protocol = number;
    envelope.ttl = ttl;
    Some(length)
}

fn udp<'a, const SUMS: bool>(
    body: &'a [u8],
    length: u32,
    envelope: &mut Envelope,
) -> Option<Content<'a>> {
    let (&[s0, s1, d0, d1, l0, l1, c0, c1], data) = body.split_first_chunk()?;
    let declared = u32::from(u16::from_be_bytes([l0, l1]));
    let (source, destination) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
    if declared < 8 || declared > length || port::any_tunnel(source, destination) {
        return None;
    }
    (envelope.source_port, envelope.destination_port) = (source, destination);
    if SUMS && let Some(whole) = body.get(..declared as usize) {
        let sum = if [c0, c1] == [0, 0] {
            Checksum::Absent
        } else {
            checksum::with_pseudo_header(envelope, protocol::UDP, whole)
        };
        envelope.checksum = checksum::both(envelope.checksum, sum);
    }
    Some(Content::Udp {
        payload: data.get(..declared as usize - 8).unwrap_or(data),
        payload_len: declared - 8,
    })
}

fn tcp<'a, const SUMS: bool>(
    body: &'a [u8],
    length: u32,
    envelope: &mut Envelope,
) -> Option<Content<'a>> {
    let &[
        s0,
        s1,
        d0,
        d1,
        q0,
        q1,
        q2,
        q3,
        a0,
        a1,
        a2,
        a3,
        offset,
        flags,
        w0,
        w1,
        ..,
    ] = body.first_chunk::<20>()?;
    let header = u32::from(offset >> 4) * 4;
    if header < 20 || header > length {
        return None;
    }
    let (header_octets, data) = body.split_at_checked(header as usize)?;
    envelope.source_port = u16::from_be_bytes([s0, s1]);
    envelope.destination_port = u16::from_be_bytes([d0, d1]);
    if SUMS && !envelope.truncated {
        let sum = checksum::with_pseudo_header(envelope, protocol::TCP, body);
        envelope.checksum = checksum::both(envelope.checksum, sum);
    }
    Some(Content::Tcp(Tcp {
        sequence: u32::from_be_bytes([q0, q1, q2, q3]),
        acknowledgment: u32::from_be_bytes([a0, a1, a2, a3]),
        flags,
        window: u16::from_be_bytes([w0, w1]),
        options: header_octets.get(20..).unwrap_or_default(),
        payload: data,
        payload_len: length - header,
    }))
}
