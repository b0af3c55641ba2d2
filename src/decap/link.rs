//! Link layers: what a frame of a link type begins with, and where IP begins in it.

use etherparse::{Ethernet2HeaderSlice, SingleVlanHeaderSlice};

use super::rest::Rest;
use super::walk::{Layer, Step, Walk};
use super::{Content, Peel};
use crate::source::LinkType;

/// `EtherType`s (IEEE 802 numbers) that lead on.
pub(super) mod ether {
    pub(in crate::decap) const IPV4: u16 = 0x0800;
    pub(in crate::decap) const ARP: u16 = 0x0806;
    pub(in crate::decap) const BRIDGED: u16 = 0x6558;
    pub(in crate::decap) const VLAN: u16 = 0x8100;
    pub(in crate::decap) const IPV6: u16 = 0x86dd;
    pub(in crate::decap) const SLOW: u16 = 0x8809;
    pub(in crate::decap) const CISCO_METADATA: u16 = 0x8909;
    pub(in crate::decap) const LLDP: u16 = 0x88cc;
    pub(in crate::decap) const MPLS: u16 = 0x8847;
    pub(in crate::decap) const MPLS_MULTICAST: u16 = 0x8848;
    pub(in crate::decap) const PPPOE_DISCOVERY: u16 = 0x8863;
    pub(in crate::decap) const PPPOE_SESSION: u16 = 0x8864;
    pub(in crate::decap) const QINQ: u16 = 0x88a8;
    pub(in crate::decap) const QINQ_OLD: u16 = 0x9100;
    pub(in crate::decap) const QINQ_OLDER: u16 = 0x9200;
    /// Below this the field is the length of an 802.3 frame.
    pub(in crate::decap) const LENGTH_BELOW: u16 = 0x0600;
}

/// Link types that only the walk knows, numbered as in pcap files.
mod kind {
    use crate::source::LinkType;

    /// Raw IP, as some systems number it.
    pub(super) const RAW_12: LinkType = LinkType(12);
    pub(super) const RAW_14: LinkType = LinkType(14);
    /// PPP with HDLC framing, address and control always there.
    pub(super) const PPP_HDLC: LinkType = LinkType(50);
    /// PPPoE without Ethernet.
    pub(super) const PPPOE: LinkType = LinkType(51);
    /// Cisco HDLC: address, control, `EtherType`.
    pub(super) const CISCO_HDLC: LinkType = LinkType(104);
    /// PPP with a direction octet in place of the address.
    pub(super) const PPP_PPPD: LinkType = LinkType(166);
    /// PPP with a direction octet before it.
    pub(super) const PPP_WITH_DIR: LinkType = LinkType(204);
    /// Netfilter log: attributes, one of which is the IP datagram.
    pub(super) const NFLOG: LinkType = LinkType(239);
}

/// The first layer of a frame.
pub(super) fn first<'a>(walk: &mut Walk<'a>, link: LinkType, rest: Rest<'a>) -> Step<'a> {
    match link {
        LinkType::ETHERNET => Ok(Some((Layer::Ethernet, rest))),
        LinkType::RAW | kind::RAW_12 | kind::RAW_14 => Ok(Some((Layer::Ip, rest))),
        LinkType::IPV4 => Ok(Some((Layer::Ipv4, rest))),
        LinkType::IPV6 => Ok(Some((Layer::Ipv6, rest))),
        LinkType::NULL | LinkType::LOOP => null(rest),
        LinkType::LINUX_SLL => linux_sll(walk, rest),
        LinkType::LINUX_SLL2 => linux_sll2(walk, rest),
        LinkType::PPP | kind::PPP_HDLC => Ok(Some((Layer::Ppp, rest))),
        kind::PPP_PPPD => after(rest, 2, "ppp", Layer::Ppp),
        kind::PPP_WITH_DIR => after(rest, 1, "ppp", Layer::Ppp),
        kind::PPPOE => pppoe_session(walk, rest),
        kind::CISCO_HDLC => match rest.be16(2) {
            Some(ether_type) => after(rest, 4, "hdlc", Layer::EtherType(ether_type)),
            None => Err(rest.short("hdlc")),
        },
        kind::NFLOG => nflog(rest),
        _ => Err(rest.stop("link", 0, "a link type that is not read")),
    }
}

fn after<'a>(rest: Rest<'a>, n: usize, layer: &'static str, next: Layer) -> Step<'a> {
    match rest.skip(n) {
        Some(rest) => Ok(Some((next, rest))),
        None => Err(rest.short(layer)),
    }
}

/// Octets 0..6 destination, 6..12 source, 12..14 `EtherType` or length.
pub(super) fn ethernet<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let Ok(header) = Ethernet2HeaderSlice::from_slice(rest.octets) else {
        return Err(rest.short("ethernet"));
    };
    walk.envelope.mac = (header.source(), header.destination());
    let next = Layer::EtherType(header.ether_type().0);
    after(rest, header.slice().len(), "ethernet", next)
}

/// What an `EtherType` announces.
pub(super) fn ether_type<'a>(walk: &mut Walk<'a>, ether_type: u16, rest: Rest<'a>) -> Step<'a> {
    match ether_type {
        ether::IPV4 => Ok(Some((Layer::Ipv4, rest))),
        ether::IPV6 => Ok(Some((Layer::Ipv6, rest))),
        ether::VLAN | ether::QINQ | ether::QINQ_OLD | ether::QINQ_OLDER => vlan(walk, rest),
        ether::MPLS | ether::MPLS_MULTICAST => Ok(Some((Layer::Mpls, rest))),
        ether::PPPOE_SESSION => pppoe_session(walk, rest),
        ether::PPPOE_DISCOVERY => {
            let (_, whole) = pppoe_header(rest)?;
            walk.found(Content::Pppoe {
                discovery: true,
                octets: whole.octets,
            });
            Ok(None)
        }
        ether::BRIDGED => Ok(Some((Layer::Ethernet, rest))),
        // Octet 0 version, 1 length, 2..4 option, 4..6 security group, 6..8 `EtherType`.
        ether::CISCO_METADATA => match (rest.be16(0), rest.be16(6)) {
            (Some(0x0101), Some(inner)) => {
                after(rest, 8, "cisco-metadata", Layer::EtherType(inner))
            }
            _ => Ok(None),
        },
        length if length < ether::LENGTH_BELOW => snap(rest, length),
        _ => Ok(None),
    }
}

/// Octets 0..2 priority and VLAN id, 2..4 the next `EtherType`.
fn vlan<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let Ok(tag) = SingleVlanHeaderSlice::from_slice(rest.octets) else {
        return Err(rest.short("vlan"));
    };
    let id = tag.vlan_identifier().value();
    walk.peel(Peel::Vlan(id), rest)?;
    walk.envelope.vlan = Some(id);
    let next = Layer::EtherType(tag.ether_type().0);
    after(rest, tag.slice().len(), "vlan", next)
}

/// 802.3 with LLC and SNAP: `AA AA 03`, a zero organisation code, an `EtherType`. Everything
/// else in 802.3 frames is no IP.
fn snap(rest: Rest<'_>, length: u16) -> Step<'_> {
    let length = usize::from(length);
    let rest = if length <= rest.wire {
        rest.declared(length)
    } else {
        rest
    };
    match rest.head() {
        Some([0xaa, 0xaa, 0x03, 0, 0, 0, high, low]) => {
            let ether_type = u16::from_be_bytes([*high, *low]);
            if ether_type < ether::LENGTH_BELOW {
                return Ok(None);
            }
            after(rest, 8, "snap", Layer::EtherType(ether_type))
        }
        _ => Ok(None),
    }
}

/// BSD loopback: four octets of address family, in either byte order (a file does not say which
/// host wrote it). The numbers of `AF_INET6` differ between systems.
fn null(rest: Rest<'_>) -> Step<'_> {
    let Some(&[a, b, c, d]) = rest.head() else {
        return Err(rest.short("null"));
    };
    let family = match (a, b, c, d) {
        (0, 0, high, low) | (low, high, 0, 0) => u16::from_be_bytes([high, low]),
        _ => return Err(rest.stop("null", 0, "an address family that is not known")),
    };
    let next = match family {
        2 => Layer::Ipv4,
        10 | 24 | 28 | 30 => Layer::Ipv6,
        ether_type if ether_type >= ether::LENGTH_BELOW => Layer::EtherType(ether_type),
        _ => return Ok(None),
    };
    after(rest, 4, "null", next)
}

/// Octets 0..2 direction, 2..4 ARPHRD type, 4..6 address length, 6..14 address, 14..16 protocol.
fn linux_sll<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let Some(header) = rest.head::<16>() else {
        return Err(rest.short("linux-sll"));
    };
    let [_, _, t0, t1, _, n, address @ .., p0, p1] = header;
    let hardware = u16::from_be_bytes([*t0, *t1]);
    if let (6, Some(mac)) = (n, address.first_chunk()) {
        walk.envelope.mac.0 = *mac;
    }
    let next = cooked(hardware, u16::from_be_bytes([*p0, *p1]));
    match next {
        Some(next) => after(rest, 16, "linux-sll", next),
        None => Ok(None),
    }
}

/// Octets 0..2 protocol, 2..4 zero, 4..8 interface, 8..10 ARPHRD type, 10 direction, 11 address
/// length, 12..20 address.
fn linux_sll2<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let Some(header) = rest.head::<20>() else {
        return Err(rest.short("linux-sll2"));
    };
    let [p0, p1, _, _, _, _, _, _, t0, t1, _, n, address @ ..] = header;
    let hardware = u16::from_be_bytes([*t0, *t1]);
    if let (6, Some(mac)) = (n, address.first_chunk()) {
        walk.envelope.mac.0 = *mac;
    }
    let next = cooked(hardware, u16::from_be_bytes([*p0, *p1]));
    match next {
        Some(next) => after(rest, 20, "linux-sll2", next),
        None => Ok(None),
    }
}

/// The protocol of a cooked frame, whose meaning depends on the hardware type for a few kinds
/// of interface that carry no datagrams of a host.
fn cooked(hardware: u16, protocol: u16) -> Option<Layer> {
    const NETLINK: u16 = 824;
    const FRAD: u16 = 770;
    match (hardware, protocol) {
        (NETLINK | FRAD, _) => None,
        // 802.2 LLC follows.
        (_, protocol) if protocol < ether::LENGTH_BELOW => None,
        (_, protocol) => Some(Layer::EtherType(protocol)),
    }
}

/// PPP: `FF 03` may be left out, and so may the first octet of the protocol (RFC 1661 §6.5,
/// §6.6).
pub(super) fn ppp<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let rest = match rest.head() {
        Some([0xff, 0x03]) => rest.skip_or_end(2),
        // Cisco HDLC in a file that says PPP.
        Some([0x0f | 0x8f, 0x00]) => {
            return match rest.be16(2) {
                Some(ether_type) => after(rest, 4, "hdlc", Layer::EtherType(ether_type)),
                None => Err(rest.short("hdlc")),
            };
        }
        _ => rest,
    };
    match ppp_protocol(rest) {
        Some((layer, n)) => after(rest, n, "ppp", layer),
        None if rest.octets.is_empty() => Err(rest.short("ppp")),
        None => {
            walk.found(Content::Ppp {
                octets: rest.octets,
            });
            Ok(None)
        }
    }
}

/// The layer of a PPP protocol that leads to IP, and the octets the protocol field takes.
fn ppp_protocol(rest: Rest<'_>) -> Option<(Layer, usize)> {
    let first = rest.u8(0)?;
    let (protocol, n) = if first & 1 == 1 {
        (u16::from(first), 1)
    } else {
        (rest.be16(0)?, 2)
    };
    let layer = match protocol {
        0x0021 => Layer::Ipv4,
        0x0057 => Layer::Ipv6,
        0x0281 | 0x0283 => Layer::Mpls,
        _ => return None,
    };
    Some((layer, n))
}

/// PPPoE session stage (RFC 2516 §4): IP leads on, everything else is for a dissector.
fn pppoe_session<'a>(walk: &mut Walk<'a>, rest: Rest<'a>) -> Step<'a> {
    let (session, whole) = pppoe_header(rest)?;
    let inner = whole.skip_or_end(6);
    let Some((layer, n)) = ppp_protocol(inner) else {
        walk.found(Content::Pppoe {
            discovery: false,
            octets: whole.octets,
        });
        return Ok(None);
    };
    walk.peel(Peel::Pppoe(session), rest)?;
    after(inner, n, "pppoe", layer)
}

/// Octets 0 version and type, 1 code, 2..4 session, 4..6 length of what follows. Gives the
/// session and the frame without padding.
fn pppoe_header(rest: Rest<'_>) -> Result<(u16, Rest<'_>), super::Stop> {
    let (Some(session), Some(length)) = (rest.be16(2), rest.be16(4)) else {
        return Err(rest.short("pppoe"));
    };
    if rest.u8(0) != Some(0x11) {
        return Err(rest.stop("pppoe", 0, "neither version 1 nor type 1"));
    }
    let length = usize::from(length) + 6;
    let whole = if length <= rest.wire {
        rest.declared(length)
    } else {
        rest
    };
    Ok((session, whole))
}

/// Octet 0 family, 1 version, 2..4 resource, then attributes: length (host order, header
/// included), type, value padded to four octets. Type 9 is the datagram.
fn nflog(rest: Rest<'_>) -> Step<'_> {
    const PAYLOAD: u16 = 9;
    let Some(mut attributes) = rest.skip(4) else {
        return Err(rest.short("nflog"));
    };
    while let Some(&[l0, l1, t0, t1]) = attributes.head() {
        // The byte order is the writing host's; a type below 256 tells which it was.
        let little = matches!(t1, 0 | 0x80);
        let read = |pair| {
            if little {
                u16::from_le_bytes(pair)
            } else {
                u16::from_be_bytes(pair)
            }
        };
        let length = usize::from(read([l0, l1]));
        if length < 4 {
            return Err(attributes.stop("nflog", 0, "an attribute shorter than its header"));
        }
        if read([t0, t1]) & 0x7fff == PAYLOAD {
            let value = attributes.declared(length.min(attributes.wire));
            return after(value, 4, "nflog", Layer::Ip);
        }
        attributes = attributes.skip_or_end(length.next_multiple_of(4));
    }
    Ok(None)
}
