//! Builds frames by code: one IP datagram in every encapsulation that reaches a span port.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "test code, shared by tests that each use a part of it"
)]

/// One way of wrapping: its name, the link type of the frame, what `decode` calls the peels.
pub struct Wrapping {
    pub name: &'static str,
    pub link: u16,
    pub wrap: fn(&[u8]) -> Vec<u8>,
    pub peels: &'static [&'static str],
}

pub const ETHERNET: u16 = 1;

/// Every encapsulation. The datagram may be IPv4 or IPv6.
pub const ALL: &[Wrapping] = &[
    w("ethernet", 1, ethernet, &[]),
    w("padded", 1, |ip| cat(&[&ethernet(ip), &[0xa5; 19]]), &[]),
    w("vlan", 1, |ip| eth(0x8100, &tag(10, ip)), &["vlan:10"]),
    w(
        "qinq",
        1,
        |ip| eth(0x88a8, &cat(&[&[0, 20, 0x81, 0], &tag(10, ip)])),
        &["vlan:20", "vlan:10"],
    ),
    w(
        "snap",
        1,
        |ip| {
            let llc = cat(&[&[0xaa, 0xaa, 3, 0, 0, 0], &be16(ether_type(ip)), ip]);
            eth(u16::try_from(llc.len()).unwrap(), &llc)
        },
        &[],
    ),
    w("sll", 113, sll, &[]),
    w(
        "sll2",
        276,
        |ip| {
            let rest = [0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
            cat(&[&be16(ether_type(ip)), &rest, ip])
        },
        &[],
    ),
    w("raw", 101, <[u8]>::to_vec, &[]),
    w(
        "null, little-endian",
        0,
        |ip| cat(&[&[family(ip), 0, 0, 0], ip]),
        &[],
    ),
    w(
        "null, big-endian",
        0,
        |ip| cat(&[&[0, 0, 0, family(ip)], ip]),
        &[],
    ),
    w("loop", 108, |ip| cat(&[&[0, 0, 0, family(ip)], ip]), &[]),
    w("ppp", 9, |ip| cat(&[&[0xff, 3], &ppp(ip)]), &[]),
    w("ppp, compressed", 9, |ip| cat(&[&ppp(ip)[1..]]), &[]),
    w(
        "nflog",
        239,
        |ip| {
            let length = u16::try_from(ip.len() + 4).unwrap().to_le_bytes();
            cat(&[&[2, 0, 0, 0, 8, 0, 1, 0, 9, 9, 9, 9], &length, &[9, 0], ip])
        },
        &[],
    ),
    w("mpls", 1, |ip| eth(0x8847, &cat(&[&labels(), ip])), MPLS),
    w(
        "pseudowire",
        1,
        |ip| eth(0x8847, &cat(&[&labels(), &ethernet(ip)])),
        PSEUDOWIRE,
    ),
    w(
        "pseudowire, control word",
        1,
        |ip| eth(0x8847, &cat(&[&labels(), &[0, 0, 0, 7], &ethernet(ip)])),
        PSEUDOWIRE,
    ),
    w(
        "pseudowire, address like IPv4",
        1,
        |ip| eth(0x8847, &cat(&[&labels(), &[0x45], &ethernet(ip)[1..]])),
        PSEUDOWIRE,
    ),
    w(
        "pseudowire, address like IPv6",
        1,
        |ip| eth(0x8847, &cat(&[&labels(), &[0x60], &ethernet(ip)[1..]])),
        PSEUDOWIRE,
    ),
    w(
        "pppoe",
        1,
        |ip| {
            let ppp = ppp(ip);
            let length = u16::try_from(ppp.len()).unwrap();
            let header = cat(&[&[0x11, 0, 0, 7], &be16(length)]);
            eth(0x8864, &cat(&[&header, &ppp, &[0; 5]]))
        },
        &["pppoe:7"],
    ),
    w("gre", 1, |ip| gre4(&[0, 0], ip), &["gre"]),
    w(
        "gre, key",
        1,
        |ip| gre4(&[0x20, 0, 1, 2, 3, 4], ip),
        &["gre"],
    ),
    w(
        "gre, all fields",
        1,
        |ip| gre4(&[0xb0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 9], ip),
        &["gre"],
    ),
    w(
        "gre, bridged",
        1,
        |ip| ethernet(&outer(47, &cat(&[&[0, 0, 0x65, 0x58], &ethernet(ip)]))),
        &["gre"],
    ),
    w(
        "gre over IPv6",
        1,
        |ip| ethernet(&outer6(47, &cat(&[&[0, 0], &be16(ether_type(ip)), ip]))),
        &["gre"],
    ),
    w(
        "erspan 1",
        1,
        |ip| ethernet(&outer(47, &cat(&[&[0, 0, 0x88, 0xbe], &ethernet(ip)]))),
        &["erspan:1"],
    ),
    w(
        "erspan 2",
        1,
        |ip| {
            let header = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 5, 0, 1, 0, 0, 0, 0];
            ethernet(&outer(47, &cat(&[&header, &ethernet(ip)])))
        },
        &["erspan:2"],
    ),
    w("erspan 3", 1, |ip| erspan3(0, &ethernet(ip)), &["erspan:3"]),
    w(
        "erspan 3, subheader",
        1,
        |ip| erspan3(1, &cat(&[&[0; 8], &ethernet(ip)])),
        &["erspan:3"],
    ),
    w("erspan 3, IP", 1, |ip| erspan3(2 << 10, ip), &["erspan:3"]),
    w(
        "vxlan",
        1,
        |ip| in_udp(4789, &cat(&[&[8, 0, 0, 0, 0, 0, 99, 0], &ethernet(ip)])),
        &["vxlan:99"],
    ),
    w(
        "geneve",
        1,
        |ip| {
            in_udp(
                6081,
                &cat(&[&[0, 0, 0x65, 0x58, 0, 0, 98, 0], &ethernet(ip)]),
            )
        },
        &["geneve:98"],
    ),
    w(
        "geneve, options, no Ethernet",
        1,
        |ip| {
            let header = cat(&[&[2, 0], &be16(ether_type(ip)), &[0, 0, 98, 0], &[1; 8]]);
            in_udp(6081, &cat(&[&header, ip]))
        },
        &["geneve:98"],
    ),
    w(
        "vxlan gpe",
        1,
        |ip| {
            let next = if ip[0] >> 4 == 4 { 1 } else { 2 };
            in_udp(4790, &cat(&[&[0x0c, 0, 0, next, 0, 0, 99, 0], ip]))
        },
        &["vxlan:99"],
    ),
    w(
        "mpls in udp",
        1,
        |ip| in_udp(6635, &cat(&[&labels(), ip])),
        MPLS,
    ),
    w(
        "gtp",
        1,
        |ip| {
            let length = u16::try_from(ip.len()).unwrap();
            let header = cat(&[&[0x30, 0xff], &be16(length), &[0, 0, 0, 97]]);
            in_udp(2152, &cat(&[&header, ip]))
        },
        &["gtp:97"],
    ),
    w(
        "gtp, extensions",
        1,
        |ip| {
            let length = u16::try_from(ip.len() + 8).unwrap();
            let header = cat(&[&[0x36, 0xff], &be16(length), &[0, 0, 0, 97]]);
            in_udp(2152, &cat(&[&header, &[0, 1, 0, 0x85, 1, 0, 9, 0], ip]))
        },
        &["gtp:97"],
    ),
    w(
        "security group tag",
        1,
        |ip| {
            eth(
                0x8909,
                &cat(&[&[1, 1, 0, 1, 0, 9], &be16(ether_type(ip)), ip]),
            )
        },
        &[],
    ),
    w(
        "ip in ipv4",
        1,
        |ip| ethernet(&outer(next(ip), ip)),
        &["ipip"],
    ),
    w(
        "ip in ipv6",
        1,
        |ip| ethernet(&outer6(next(ip), ip)),
        &["ip6tunnel"],
    ),
    w(
        "ip in ipv6 with extensions",
        1,
        |ip| {
            let header = [60, 0, 1, 4, 0, 0, 0, 0, next(ip), 0, 1, 4, 0, 0, 0, 0];
            ethernet(&outer6(0, &cat(&[&header, ip])))
        },
        &["ip6tunnel"],
    ),
    w(
        "ah, tunnel",
        1,
        |ip| {
            let header = [next(ip), 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
            ethernet(&outer(51, &cat(&[&header, &[0xcc; 12], ip])))
        },
        &["ah", "ipip"],
    ),
    w(
        "deep",
        1,
        |ip| {
            let vxlan = in_udp(4789, &cat(&[&[8, 0, 0, 0, 0, 0, 99, 0], &ethernet(ip)]));
            eth(0x8100, &cat(&[&[0, 10, 8, 0], &outer(4, &vxlan[14..])]))
        },
        &["vlan:10", "ipip", "vxlan:99"],
    ),
];

const MPLS: &[&str] = &["mpls:100", "mpls:200"];
const PSEUDOWIRE: &[&str] = &["mpls:100", "mpls:200", "pseudowire"];

const fn w(
    name: &'static str,
    link: u16,
    wrap: fn(&[u8]) -> Vec<u8>,
    peels: &'static [&'static str],
) -> Wrapping {
    Wrapping {
        name,
        link,
        wrap,
        peels,
    }
}

/// Octets one after the other.
pub fn cat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub fn be16(value: u16) -> [u8; 2] {
    value.to_be_bytes()
}

fn ether_type(ip: &[u8]) -> u16 {
    if ip[0] >> 4 == 4 { 0x0800 } else { 0x86dd }
}

fn next(ip: &[u8]) -> u8 {
    if ip[0] >> 4 == 4 { 4 } else { 41 }
}

fn family(ip: &[u8]) -> u8 {
    if ip[0] >> 4 == 4 { 2 } else { 30 }
}

fn ppp(ip: &[u8]) -> Vec<u8> {
    let protocol = if ip[0] >> 4 == 4 { 0x21 } else { 0x57 };
    cat(&[&[0, protocol], ip])
}

fn tag(id: u8, ip: &[u8]) -> Vec<u8> {
    cat(&[&[0, id], &be16(ether_type(ip)), ip])
}

fn labels() -> Vec<u8> {
    cat(&[
        &(100_u32 << 12 | 64).to_be_bytes(),
        &(200_u32 << 12 | 0x100 | 64).to_be_bytes(),
    ])
}

/// An Ethernet frame.
pub fn eth(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    cat(&[
        &[0x02, 0, 0, 0, 0, 2],
        &[0x02, 0, 0, 0, 0, 1],
        &be16(ether_type),
        payload,
    ])
}

/// An Ethernet frame with an IP datagram.
pub fn ethernet(ip: &[u8]) -> Vec<u8> {
    eth(ether_type(ip), ip)
}

fn sll(ip: &[u8]) -> Vec<u8> {
    let header = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
    cat(&[&header, &be16(ether_type(ip)), ip])
}

fn gre4(header: &[u8], ip: &[u8]) -> Vec<u8> {
    let (flags, fields) = header.split_at(2);
    let gre = cat(&[flags, &be16(ether_type(ip)), fields, ip]);
    ethernet(&outer(47, &gre))
}

fn erspan3(last: u16, frame: &[u8]) -> Vec<u8> {
    let header = [
        0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 5, 0, 1, 0, 0, 0, 0, 0, 0,
    ];
    ethernet(&outer(47, &cat(&[&header, &be16(last), frame])))
}

/// An Ethernet frame with a datagram to a UDP port.
pub fn in_udp(port: u16, data: &[u8]) -> Vec<u8> {
    ethernet(&outer(17, &udp(50_000, port, data)))
}

/// A UDP datagram without checksum.
pub fn udp(from: u16, to: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len() + 8).unwrap();
    cat(&[&be16(from), &be16(to), &be16(length), &[0, 0], data])
}

/// An IPv4 datagram of a tunnel.
pub fn outer(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4([172, 16, 0, 1], [172, 16, 0, 2], protocol, 0x4000, payload)
}

/// An IPv4 datagram; `flags` are DF, MF and the offset as they stand in the header.
pub fn ipv4(from: [u8; 4], to: [u8; 4], protocol: u8, flags: u16, payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(payload.len() + 20).unwrap();
    let mut header = cat(&[
        &[0x45, 0],
        &be16(total),
        &[0x12, 0x34],
        &be16(flags),
        &[64, protocol, 0, 0],
        &from,
        &to,
    ]);
    let sum = ones_complement(&header);
    header[10..12].copy_from_slice(&be16(sum));
    cat(&[&header, payload])
}

fn outer6(next: u8, payload: &[u8]) -> Vec<u8> {
    ipv6(1, 2, next, payload)
}

/// An IPv6 datagram of the documentation prefix.
pub fn ipv6(from: u8, to: u8, next: u8, payload: &[u8]) -> Vec<u8> {
    let address = |last| {
        let mut octets = [0; 16];
        octets[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
        octets[15] = last;
        octets
    };
    let length = u16::try_from(payload.len()).unwrap();
    cat(&[
        &[0x60, 0, 0, 0],
        &be16(length),
        &[next, 64],
        &address(from),
        &address(to),
        payload,
    ])
}

/// The Internet checksum.
pub fn ones_complement(octets: &[u8]) -> u16 {
    let mut sum: u32 = octets
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

/// Fragments of an IPv4 datagram (without options), `size` octets of payload each, a multiple
/// of eight.
pub fn fragments(ip: &[u8], size: usize) -> Vec<Vec<u8>> {
    let (header, payload) = ip.split_at(20);
    let from = header[12..16].try_into().unwrap();
    let to = header[16..20].try_into().unwrap();
    let last = payload.chunks(size).count() - 1;
    payload
        .chunks(size)
        .enumerate()
        .map(|(i, part)| {
            let more = if i < last { 0x2000 } else { 0 };
            let offset = u16::try_from(i * size / 8).unwrap();
            let mut fragment = ipv4(from, to, header[9], more | offset, part);
            // The identification of the whole.
            fragment[4..6].copy_from_slice(&header[4..6]);
            fragment[10..12].copy_from_slice(&[0, 0]);
            let sum = ones_complement(&fragment[..20]);
            fragment[10..12].copy_from_slice(&be16(sum));
            fragment
        })
        .collect()
}

/// Fragments of an IPv6 datagram without extension headers.
pub fn fragments6(ip: &[u8], size: usize) -> Vec<Vec<u8>> {
    let (header, payload) = ip.split_at(40);
    let last = payload.chunks(size).count() - 1;
    payload
        .chunks(size)
        .enumerate()
        .map(|(i, part)| {
            let offset = u16::try_from(i * size).unwrap() | u16::from(i < last);
            let extension = cat(&[&[header[6], 0], &be16(offset), &[0, 0, 0x56, 0x78], part]);
            ipv6(header[23], header[39], 44, &extension)
        })
        .collect()
}
