//! What an IP datagram carries: UDP, TCP, ICMP, another IP datagram, a tunnel, or something
//! that is for a dissector.

use std::net::IpAddr;

use etherparse::{TcpHeaderSlice, UdpHeaderSlice};

use super::ip::{self, protocol};
use super::rest::Rest;
use super::walk::{Layer, Step, Walk};
use super::{Checksum, Content, Peel, Tcp, checksum, icmp, tunnel};

/// The payload of protocol `number`.
pub(super) fn payload<'a>(walk: &mut Walk<'a>, number: u8, rest: Rest<'a>) -> Step<'a> {
    let v6 = matches!(walk.envelope.destination, IpAddr::V6(_));
    match number {
        protocol::UDP => udp(walk, rest),
        protocol::TCP => tcp(walk, rest),
        protocol::ICMP if !v6 => icmp::message(walk, false, rest),
        protocol::ICMPV6 if v6 => icmp::message(walk, true, rest),
        protocol::AH => ip::authentication(walk, rest),
        protocol::IPV4 => nested(walk, v6, Layer::Ipv4, rest),
        protocol::IPV6 => nested(walk, v6, Layer::Ipv6, rest),
        protocol::GRE => tunnel::gre(walk, rest),
        protocol::MPLS => Ok(Some((Layer::Mpls, rest))),
        protocol::HOP_BY_HOP
        | protocol::ROUTING
        | protocol::FRAGMENT
        | protocol::DESTINATION
        | protocol::MOBILITY
        | protocol::HIP
        | protocol::SHIM6
            if v6 =>
        {
            // After AH, or at the start of what fragments carried.
            ip::extensions(walk, number, rest, 0)
        }
        _ => Ok(None),
    }
}

fn nested<'a>(walk: &mut Walk<'a>, v6: bool, layer: Layer, rest: Rest<'a>) -> Step<'a> {
    let peel = if v6 { Peel::Ip6Tunnel } else { Peel::Ipip };
    walk.peel(peel, rest)?;
    Ok(Some((layer, rest)))
}

/// The ports, where both are there.
fn ports<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) {
    if let (Some(from), Some(to)) = (rest.be16(0), rest.be16(2)) {
        walk.envelope.source_port = from;
        walk.envelope.destination_port = to;
        walk.found(super::walk::other(rest));
    }
}

/// UDP (RFC 768): octets 0..4 ports, 4..6 length, 6..8 checksum.
fn udp<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    ports(walk, rest);
    let Ok(header) = UdpHeaderSlice::from_slice(rest.octets) else {
        return Err(rest.short("udp"));
    };
    let declared = usize::from(header.length());
    let whole = if declared == 0 {
        // Longer than 16 bits can say: offloaded segmentation, or a jumbogram.
        rest
    } else if declared < header.slice().len() {
        return Err(rest.stop("udp", 4, "length below 8"));
    } else {
        if declared > rest.wire {
            walk.note(rest.stop("udp", 4, "length longer than the datagram"));
        }
        rest.declared(declared)
    };
    if whole.is_cut() {
        // Not verifiable; what the IP header said stands.
    } else if header.checksum() == 0 {
        walk.envelope.checksum = checksum::both(walk.envelope.checksum, Checksum::Absent);
    } else {
        let sum = checksum::with_pseudo_header(&walk.envelope, protocol::UDP, whole.octets);
        walk.envelope.checksum = checksum::both(walk.envelope.checksum, sum);
    }
    let data = whole.skip_or_end(8);
    walk.found(Content::Udp {
        payload: data.octets,
        payload_len: data.wire_len(),
    });
    let ports = [header.source_port(), header.destination_port()];
    tunnel::in_udp(walk, ports, data)
}

/// TCP (RFC 9293 §3.1).
fn tcp<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    use etherparse::err::tcp::HeaderSliceError;
    ports(walk, rest);
    let (header, stop) = match TcpHeaderSlice::from_slice(rest.octets) {
        Ok(header) => (header.slice(), None),
        Err(HeaderSliceError::Content(_)) => {
            return Err(rest.stop("tcp", 12, "data offset below 20 octets"));
        }
        // With the fixed part there, only options are missing.
        Err(HeaderSliceError::Len(_)) if rest.octets.len() >= 20 => {
            (rest.octets, Some(rest.short("tcp")))
        }
        Err(HeaderSliceError::Len(_)) => return Err(rest.short("tcp")),
    };
    let (Some(sequence), Some(acknowledgment), Some(offset), Some(flags), Some(window)) = (
        rest.be32(4),
        rest.be32(8),
        rest.u8(12),
        rest.u8(13),
        rest.be16(14),
    ) else {
        return Err(rest.short("tcp"));
    };
    let data = rest.skip_or_end(usize::from(offset >> 4) * 4);
    if !rest.is_cut() {
        let sum = checksum::with_pseudo_header(&walk.envelope, protocol::TCP, rest.octets);
        walk.envelope.checksum = checksum::both(walk.envelope.checksum, sum);
    }
    walk.found(Content::Tcp(Tcp {
        sequence,
        acknowledgment,
        flags,
        window,
        options: header.get(20..).unwrap_or_default(),
        payload: data.octets,
        payload_len: data.wire_len(),
    }));
    stop.map_or(Ok(None), Err)
}
