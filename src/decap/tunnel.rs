//! Tunnels that carry frames or datagrams to a collector or through a core: GRE, ERSPAN,
//! VXLAN, GENEVE, MPLS, GTP.

use etherparse::Ipv4HeaderSlice;

use super::ip::protocol;
use super::link::ether;
use super::rest::Rest;
use super::walk::{Layer, Step, Walk};
use super::{Checksum, Encapsulation, Peel, checksum};

/// UDP ports of tunnels.
pub(super) mod port {
    const GTP_U: u16 = 2152;
    const VXLAN: u16 = 4789;
    /// VXLAN with a next protocol.
    const VXLAN_GPE: u16 = 4790;
    const GENEVE: u16 = 6081;
    const MPLS: u16 = 6635;
    /// Where Linux put VXLAN before it had a port.
    const VXLAN_LINUX: u16 = 8472;

    /// A tunnel that a port announces.
    pub(in crate::decap) enum Tunnel {
        Vxlan,
        Geneve,
        Mpls,
        Gtp,
    }

    pub(in crate::decap) const fn tunnel(number: u16) -> Option<Tunnel> {
        match number {
            VXLAN | VXLAN_GPE | VXLAN_LINUX => Some(Tunnel::Vxlan),
            GENEVE => Some(Tunnel::Geneve),
            MPLS => Some(Tunnel::Mpls),
            GTP_U => Some(Tunnel::Gtp),
            _ => None,
        }
    }

    /// Bit n is set where a tunnel's port is n modulo 64.
    const SIEVE: u64 = 1 << (GTP_U % 64)
        | 1 << (VXLAN % 64)
        | 1 << (VXLAN_GPE % 64)
        | 1 << (GENEVE % 64)
        | 1 << (MPLS % 64)
        | 1 << (VXLAN_LINUX % 64);

    /// Whether one of two ports is that of a tunnel. Nearly always decided by two shifts: every
    /// datagram of a span port passes here.
    #[expect(
        clippy::inline_always,
        reason = "measured: a call costs more than it does"
    )]
    #[inline(always)]
    pub(in crate::decap) const fn any_tunnel(source: u16, destination: u16) -> bool {
        (SIEVE >> (source % 64) | SIEVE >> (destination % 64)) & 1 == 1
            && is_tunnel(source, destination)
    }

    #[inline(never)]
    const fn is_tunnel(source: u16, destination: u16) -> bool {
        tunnel(source).is_some() || tunnel(destination).is_some()
    }
}

/// What a UDP port leads to, where the octets agree. A mere coincidence of ports leaves the UDP
/// datagram as it is.
pub(super) fn in_udp<'a>(walk: &mut Walk<'a>, ports: [u16; 2], data: Rest<'a>) -> Step<'a> {
    use port::Tunnel;
    // The destination names the tunnel; few write their own port as the source.
    let [source, destination] = ports.map(port::tunnel);
    match destination.or(source) {
        Some(Tunnel::Vxlan) => vxlan(walk, data),
        Some(Tunnel::Geneve) => geneve(walk, data),
        Some(Tunnel::Mpls) => mpls_in_udp(walk, data),
        Some(Tunnel::Gtp) => gtp(walk, data),
        None => Ok(None),
    }
}

/// VXLAN (RFC 7348 §5): octet 0 flags, 1..3 reserved, 3 next protocol where the flag 0x04 says
/// so, 4..7 network identifier, 7 reserved. Group policy uses some of the reserved bits.
fn vxlan<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let Some(&[flags, _, _, next, v0, v1, v2, _]) = rest.head() else {
        return Ok(None);
    };
    let inner = rest.skip_or_end(8);
    let (next, likeness) = match (flags & 0x04, next) {
        (0, _) | (_, 3) => (Layer::Ethernet, ethernet_likeness(inner)),
        (_, 1) => (Layer::Ipv4, ipv4_likeness(inner)),
        (_, 2) => (Layer::Ipv6, ipv6_likeness(inner)),
        _ => return Ok(None),
    };
    if flags & 0x08 == 0 || likeness == Likeness::No {
        return Ok(None);
    }
    walk.peel(Peel::Vxlan(u32::from_be_bytes([0, v0, v1, v2])), rest)?;
    Ok(Some((next, inner)))
}

/// GENEVE (RFC 8926 §3.4): octet 0 version and length of the options in four octets, 1 flags,
/// 2..4 `EtherType`, 4..7 network identifier, 7 reserved.
fn geneve<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let Some(&[first, _, t0, t1, v0, v1, v2, _]) = rest.head() else {
        return Ok(None);
    };
    let inner = rest.skip_or_end(8 + usize::from(first & 0x3f) * 4);
    let (next, likeness) = match u16::from_be_bytes([t0, t1]) {
        ether::BRIDGED => (Layer::Ethernet, ethernet_likeness(inner)),
        ether::IPV4 => (Layer::Ipv4, ipv4_likeness(inner)),
        ether::IPV6 => (Layer::Ipv6, ipv6_likeness(inner)),
        _ => return Ok(None),
    };
    if first >> 6 != 0 || likeness == Likeness::No {
        return Ok(None);
    }
    walk.peel(Peel::Geneve(u32::from_be_bytes([0, v0, v1, v2])), rest)?;
    Ok(Some((next, inner)))
}

/// MPLS in UDP (RFC 7510 §3), where the labels end above an IP header.
fn mpls_in_udp<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let bottom =
        (0..Encapsulation::MAX).find(|n| rest.be32(n * 4).is_some_and(|entry| entry & 0x100 != 0));
    let Some(bottom) = bottom else {
        return Ok(None);
    };
    let inner = rest.skip_or_end((bottom + 1) * 4);
    if ipv4_likeness(inner) < Likeness::Good && ipv6_likeness(inner) < Likeness::Good {
        return Ok(None);
    }
    mpls(walk, rest)
}

/// GTP-U (3GPP TS 29.281 §5): octet 0 version 1, type 1 and flags, 1 message (255 carries a
/// datagram), 2..4 length of what follows octet 8, 4..8 tunnel; with any flag four more octets,
/// whose last begins a chain of extension headers.
fn gtp<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let Some(&[first, 0xff, l0, l1, t0, t1, t2, t3]) = rest.head() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([l0, l1])) + 8;
    if first & 0xf0 != 0x30 || length > rest.wire {
        return Ok(None);
    }
    let mut inner = rest.declared(length);
    let mut extension = 0;
    if first & 0x07 == 0 {
        inner = inner.skip_or_end(8);
    } else {
        extension = if first & 0x04 == 0 {
            0
        } else {
            inner.u8(11).unwrap_or(0)
        };
        inner = inner.skip_or_end(12);
    }
    while extension != 0 {
        // Octet 0 length in four octets, the last octet the next type.
        let length = usize::from(inner.u8(0).unwrap_or(0)) * 4;
        if length == 0 {
            return Ok(None);
        }
        extension = inner.u8(length - 1).unwrap_or(0);
        inner = inner.skip_or_end(length);
    }
    if ipv4_likeness(inner) == Likeness::No && ipv6_likeness(inner) == Likeness::No {
        return Ok(None);
    }
    walk.peel(Peel::Gtp(u32::from_be_bytes([t0, t1, t2, t3])), rest)?;
    Ok(Some((Layer::Ip, inner)))
}

/// PPTP's GRE (RFC 2637 §4.1): octets 0..2 flags, 2..4 protocol, 4..6 length, 6..8 call ID,
/// then sequence and acknowledgment numbers where their flags say so. What it carries is PPP,
/// of which the control packets are in clear and the data mostly encrypted.
fn pptp<'a>(walk: &mut Walk<'a>, rest: Rest<'a>, flags: u16, ether_type: u16) -> Step<'a> {
    const PPP: u16 = 0x880b;
    const SEQUENCE: u16 = 0x1000;
    const ACKNOWLEDGMENT: u16 = 0x0080;
    const VERSION_1: u16 = 1;
    if ether_type != PPP || flags & 0x0007 != VERSION_1 {
        return Ok(None);
    }
    let fields = [SEQUENCE, ACKNOWLEDGMENT]
        .iter()
        .filter(|field| flags & **field != 0)
        .count();
    let Some(inner) = rest.skip(8 + 4 * fields) else {
        return Err(rest.short("gre"));
    };
    let protocol = match inner.head() {
        Some([0xff, 0x03]) => inner.be16(2),
        _ => inner.be16(0),
    };
    if protocol.is_some_and(|protocol| protocol & 0x8000 != 0) {
        walk.peel(Peel::Gre, rest)?;
        walk.found(super::Content::Ppp {
            octets: inner.octets,
        });
    }
    Ok(None)
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
        return pptp(walk, rest, flags, ether_type);
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
