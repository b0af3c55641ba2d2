//! Tunnels that carry frames or datagrams to a collector or through a core: GRE, ERSPAN,
//! VXLAN, GENEVE, MPLS.

use etherparse::Ipv4HeaderSlice;

use super::ip::protocol;
use super::link::ether;
use super::rest::Rest;
use super::walk::{Layer, Step, Walk};
use super::{Checksum, Peel, checksum};

/// UDP destination ports of tunnels; 8472 is where Linux put VXLAN before it had a port.
pub(super) mod port {
    pub(in crate::decap) const VXLAN: u16 = 4789;
    pub(in crate::decap) const VXLAN_LINUX: u16 = 8472;
    pub(in crate::decap) const GENEVE: u16 = 6081;
}

/// What a UDP destination port leads to, where the octets agree. A mere coincidence of ports
/// leaves the UDP datagram as it is.
pub(super) fn in_udp<'a>(walk: &mut Walk<'a>, destination: u16, data: Rest<'a>) -> Step<'a> {
    match destination {
        port::VXLAN | port::VXLAN_LINUX => vxlan(walk, data),
        port::GENEVE => geneve(walk, data),
        _ => Ok(None),
    }
}

/// VXLAN (RFC 7348 §5): octet 0 flags, 1..4 reserved, 4..7 network identifier, 7 reserved.
/// Group policy uses reserved bits, so only the I flag and the version of GPE are asked for.
fn vxlan<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let Some(&[flags, _, _, _, v0, v1, v2, 0]) = rest.head() else {
        return Ok(None);
    };
    let frame = rest.skip_or_end(8);
    if flags & 0x7f != 0x08 || ethernet_likeness(frame) == Likeness::No {
        return Ok(None);
    }
    walk.peel(Peel::Vxlan(u32::from_be_bytes([0, v0, v1, v2])), rest)?;
    Ok(Some((Layer::Ethernet, frame)))
}

/// GENEVE (RFC 8926 §3.4): octet 0 version and length of the options in four octets, 1 flags,
/// 2..4 `EtherType`, 4..7 network identifier, 7 reserved.
fn geneve<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let Some(&[first, _, t0, t1, v0, v1, v2, 0]) = rest.head() else {
        return Ok(None);
    };
    let next = match u16::from_be_bytes([t0, t1]) {
        ether::BRIDGED => Layer::Ethernet,
        ether_type @ (ether::IPV4 | ether::IPV6 | ether::MPLS) => Layer::EtherType(ether_type),
        _ => return Ok(None),
    };
    if first >> 6 != 0 {
        return Ok(None);
    }
    walk.peel(Peel::Geneve(u32::from_be_bytes([0, v0, v1, v2])), rest)?;
    match rest.skip(8 + usize::from(first & 0x3f) * 4) {
        Some(inner) => Ok(Some((next, inner))),
        None => Err(rest.short("geneve")),
    }
}

/// GRE (RFC 2784, RFC 2890): octets 0..2 flags and version, 2..4 `EtherType`, then checksum,
/// key and sequence number where their flags say so.
pub(super) fn gre<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const VERSION: u16 = 0x0007;
    let (Some(flags), Some(ether_type)) = (rest.be16(0), rest.be16(2)) else {
        return Err(rest.short("gre"));
    };
    if flags & VERSION != 0 {
        // Version 1 is PPTP's, whose PPP is compressed and encrypted.
        return Ok(None);
    }
    if flags & ROUTING != 0 {
        return Err(rest.stop("gre", 0, "source routing, which is not read"));
    }
    let fields = [CHECKSUM, KEY, SEQUENCE]
        .iter()
        .filter(|field| flags & **field != 0)
        .count();
    let Some(inner) = rest.skip(4 + 4 * fields) else {
        return Err(rest.short("gre"));
    };
    match ether_type {
        ERSPAN => erspan(walk, flags & SEQUENCE != 0, inner),
        ERSPAN_III => erspan3(walk, inner),
        ether::IPV4
        | ether::IPV6
        | ether::BRIDGED
        | ether::VLAN
        | ether::QINQ
        | ether::MPLS
        | ether::MPLS_MULTICAST
        | ether::PPPOE_DISCOVERY
        | ether::PPPOE_SESSION => {
            walk.peel(Peel::Gre, rest)?;
            Ok(Some((Layer::EtherType(ether_type), inner)))
        }
        _ => Ok(None),
    }
}

const ERSPAN: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;

/// ERSPAN type I has no header and, unlike type II, no GRE sequence number. Type II: octets
/// 0..2 version and VLAN, 2..4 class, encapsulation, truncation and session, 4..8 index.
fn erspan<'a>(walk: &mut Walk<'a>, numbered: bool, rest: Rest<'a>) -> Step<'a> {
    let Some(first) = rest.u8(0) else {
        return Err(rest.short("erspan"));
    };
    let (version, header) = match (numbered, first >> 4) {
        (false, _) => (1, 0),
        (true, 1) => (2, 8),
        (true, 2) => return erspan3(walk, rest),
        (true, _) => return Err(rest.stop("erspan", 0, "an unknown version")),
    };
    walk.peel(Peel::Erspan(version), rest)?;
    match rest.skip(header) {
        Some(frame) => Ok(Some((Layer::Ethernet, frame))),
        None => Err(rest.short("erspan")),
    }
}

/// ERSPAN type III: octets 0..4 as in type II, 4..8 timestamp, 8..10 group tag, 10..12 frame
/// type, hardware, direction, granularity, and whether eight more octets follow.
fn erspan3<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let Some(last) = rest.be16(10) else {
        return Err(rest.short("erspan"));
    };
    if rest.u8(0).is_none_or(|first| first >> 4 != 2) {
        return Err(rest.stop("erspan", 0, "an unknown version"));
    }
    let next = match last >> 10 & 0x1f {
        0 => Layer::Ethernet,
        2 => Layer::Ip,
        _ => return Err(rest.stop("erspan", 10, "an unknown frame type")),
    };
    walk.peel(Peel::Erspan(3), rest)?;
    let header = if last & 1 == 1 { 20 } else { 12 };
    match rest.skip(header) {
        Some(frame) => Ok(Some((next, frame))),
        None => Err(rest.short("erspan")),
    }
}

/// MPLS label stack (RFC 3032 §2.1): 20 bits label, 3 class, 1 bottom of stack, 8 TTL.
pub(super) fn mpls<'a>(walk: &mut Walk<'a>, mut rest: Rest<'a>) -> Step<'a> {
    loop {
        let Some(entry) = rest.be32(0) else {
            return Err(rest.short("mpls"));
        };
        walk.peel(Peel::Mpls(entry >> 12), rest)?;
        rest = rest.skip_or_end(4);
        if entry & 0x100 != 0 {
            return Ok(Some((Layer::UnderMpls, rest)));
        }
    }
}

/// Nothing says what an MPLS stack carries: IP shows its version, Ethernet in a pseudowire may
/// or may not have a control word (RFC 4385 §3), whose first nibble is 0. What fits best wins;
/// MAC addresses that begin with 4 or 6 would otherwise pass for IP.
pub(super) fn under_mpls<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let Some(first) = rest.u8(0) else {
        return Err(rest.short("mpls"));
    };
    let plain = ethernet_likeness(rest);
    let worded = rest.skip_or_end(4);
    let frame = match first >> 4 {
        4 if plain == Likeness::No || ipv4_likeness(rest) >= plain => {
            return Ok(Some((Layer::Ipv4, rest)));
        }
        6 if plain == Likeness::No || ipv6_likeness(rest) >= plain => {
            return Ok(Some((Layer::Ipv6, rest)));
        }
        0 if ethernet_likeness(worded) >= plain => {
            if ethernet_likeness(worded) == Likeness::No {
                return Err(rest.stop("mpls", 0, "neither IP nor Ethernet"));
            }
            worded
        }
        _ if plain == Likeness::No => {
            return Err(rest.stop("mpls", 0, "neither IP nor Ethernet"));
        }
        _ => rest,
    };
    walk.peel(Peel::Pseudowire, rest)?;
    Ok(Some((Layer::Ethernet, frame)))
}

/// How much octets look like something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    /// They cannot be it.
    No,
    /// A number fits.
    Weak,
    /// Structure fits.
    Good,
    /// Structure and lengths or sums fit.
    Strong,
}

fn ethernet_likeness(rest: Rest<'_>) -> Likeness {
    let mut at = 12;
    for _ in 0..3 {
        let (Some(ether_type), inner) = (rest.be16(at), rest.skip_or_end(at + 2)) else {
            return Likeness::No;
        };
        match ether_type {
            ether::VLAN | ether::QINQ | ether::QINQ_OLD => at += 4,
            ether::IPV4 => return ipv4_likeness(inner),
            ether::IPV6 => return ipv6_likeness(inner),
            ether::ARP if inner.be32(0) == Some(0x0001_0800) => return Likeness::Strong,
            ether::PPPOE_DISCOVERY | ether::PPPOE_SESSION if inner.u8(0) == Some(0x11) => {
                return Likeness::Good;
            }
            ether::MPLS | ether::MPLS_MULTICAST | ether::LLDP | ether::SLOW => {
                return Likeness::Weak;
            }
            length if length < ether::LENGTH_BELOW && usize::from(length) <= inner.wire => {
                return Likeness::Weak;
            }
            _ => return Likeness::No,
        }
    }
    Likeness::No
}

fn ipv4_likeness(rest: Rest<'_>) -> Likeness {
    let Ok(header) = Ipv4HeaderSlice::from_slice(rest.octets) else {
        return if rest.is_cut() && rest.u8(0).is_some_and(|first| first >> 4 == 4) {
            Likeness::Weak
        } else {
            Likeness::No
        };
    };
    let total = usize::from(header.total_len());
    if total != 0 && total < header.slice().len() {
        Likeness::No
    } else if total > rest.wire {
        Likeness::Weak
    } else if checksum::ipv4_header(header.slice()) == Checksum::Good {
        Likeness::Strong
    } else {
        Likeness::Good
    }
}

fn ipv6_likeness(rest: Rest<'_>) -> Likeness {
    let (Some(first), Some(payload), Some(next)) = (rest.u8(0), rest.be16(4), rest.u8(6)) else {
        return Likeness::No;
    };
    let usual = matches!(
        next,
        protocol::HOP_BY_HOP
            | protocol::IPV4
            | protocol::TCP
            | protocol::UDP
            | protocol::IPV6
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::GRE
            | protocol::ESP
            | protocol::AH
            | protocol::ICMPV6
            | protocol::NO_NEXT
            | protocol::DESTINATION
    );
    let total = usize::from(payload) + 40;
    if first >> 4 != 6 {
        Likeness::No
    } else if total > rest.wire || !usual {
        Likeness::Weak
    } else if total == rest.wire {
        Likeness::Strong
    } else {
        Likeness::Good
    }
}
