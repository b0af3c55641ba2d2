//! From a frame to the innermost IP datagram, with its envelope.
//!
//! [`glance()`] is the fast decision for the span port: a few comparisons, no copies, enough to
//! drop what cannot be ours. [`decap`] is the full, lenient parse of what may be ours: it
//! peels link layers and tunnels, keeps everything it could read, and says where it stopped.
//! Keeps no state and allocates nothing.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};

use crate::limits::NESTING;
use crate::source::Frame;
use crate::time::{Stamp, Timestamp};

mod checksum;
mod glance;
mod icmp;
mod ip;
mod link;
mod quick;
mod rest;
#[cfg(test)]
pub(crate) mod tests;
mod transport;
mod tunnel;
mod walk;

pub use glance::{Addresses, Glance, glance};

/// The full, lenient parse of one frame: its innermost IP datagram, with everything that is
/// known of how it travelled.
///
/// Where a layer cannot be read, what was read before it stands and [`Segment::stopped`] says
/// which layer, where and why.
pub fn decap<'a>(frame: &Frame<'a>) -> Segment<'a> {
    quick::quick::<true>(frame).unwrap_or_else(|| walk::frame(frame))
}

/// As [`decap`], for frames of an ordinary shape only, and with no checksum verified: adding up
/// all octets costs more than everything else that is done here.
#[inline]
pub fn ordinary<'a>(frame: &Frame<'a>) -> Option<Segment<'a>> {
    quick::quick::<false>(frame)
}

/// Goes on where IP ended: `octets` is the payload of protocol `envelope.protocol` of a
/// datagram whose IP header `envelope` describes.
///
/// For what `assemble` put together, and whatever else yields IP payloads without a frame of
/// their own. `wire_len` is the length the payload had on the wire; offsets in
/// [`Segment::stopped`] count from the start of `octets`.
pub fn resume<'a>(envelope: &Envelope, octets: &'a [u8], wire_len: u32) -> Segment<'a> {
    walk::payload(envelope, octets, wire_len)
}

/// What was peeled off on the way to the innermost datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peel {
    /// 802.1Q or 802.1ad tag with its VLAN id.
    Vlan(u16),
    /// One MPLS label.
    Mpls(u32),
    /// Ethernet in MPLS (pseudowire), with or without control word.
    Pseudowire,
    /// PPPoE session.
    Pppoe(u16),
    /// GRE.
    Gre,
    /// ERSPAN of a version: 1, 2 or 3.
    Erspan(u8),
    /// VXLAN with its network identifier.
    Vxlan(u32),
    /// GENEVE with its network identifier.
    Geneve(u32),
    /// GTP-U of a mobile core with its tunnel identifier.
    Gtp(u32),
    /// IPv4 around another IP header.
    Ipip,
    /// IPv6 around another IP header.
    Ip6Tunnel,
    /// An AH header that was looked through.
    Ah,
    /// Cisco's `IPsec` over TCP: each segment is a packet.
    CiscoTcp,
}

impl fmt::Display for Peel {
    /// As the report names it: `vlan:10`, `gre`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vlan(id) => write!(f, "vlan:{id}"),
            Self::Mpls(label) => write!(f, "mpls:{label}"),
            Self::Pseudowire => f.write_str("pseudowire"),
            Self::Pppoe(session) => write!(f, "pppoe:{session}"),
            Self::Gre => f.write_str("gre"),
            Self::Erspan(version) => write!(f, "erspan:{version}"),
            Self::Vxlan(id) => write!(f, "vxlan:{id}"),
            Self::Geneve(id) => write!(f, "geneve:{id}"),
            Self::Gtp(tunnel) => write!(f, "gtp:{tunnel}"),
            Self::Ipip => f.write_str("ipip"),
            Self::Ip6Tunnel => f.write_str("ip6tunnel"),
            Self::Ah => f.write_str("ah"),
            Self::CiscoTcp => f.write_str("cisco-tcp"),
        }
    }
}

/// Up to eight [`Peel`]s, outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Encapsulation {
    peels: [Option<Peel>; 8],
}

impl Encapsulation {
    /// The deepest nesting that is peeled; deeper frames stop there.
    pub const MAX: usize = 8;

    /// Adds an inner layer; `false` where there is no room.
    pub fn push(&mut self, peel: Peel) -> bool {
        self.peels
            .iter_mut()
            .take(NESTING.or(Self::MAX))
            .find(|slot| slot.is_none())
            .map(|slot| *slot = Some(peel))
            .is_some()
    }

    /// What was peeled, outermost first.
    pub fn iter(&self) -> impl Iterator<Item = Peel> + '_ {
        self.peels.iter().map_while(|peel| *peel)
    }

    /// Whether the frame was plain.
    pub fn is_empty(&self) -> bool {
        self.peels.first().is_none_or(Option::is_none)
    }
}

/// Verdict on the checksums of the innermost datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Checksum {
    /// Present and right.
    Good,
    /// Present and wrong: damage, or a capturing host that leaves it to its network card.
    Bad,
    /// Zero: the sender did not use it (legal in UDP over IPv4).
    Absent,
    /// Not checked: the datagram was cut, is a fragment, or has none.
    #[default]
    Unverified,
}

/// How the innermost datagram travelled. Everything about a message except its octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// Capture, from 0.
    pub capture: u16,
    /// Interface within the capture, from 0.
    pub interface: u32,
    /// Frame number, from 1: of the frame that completed the datagram.
    pub frame: u64,
    /// When that frame was captured.
    pub time: Timestamp,
    /// Source address of the innermost IP header.
    pub source: IpAddr,
    /// Its destination address.
    pub destination: IpAddr,
    /// UDP or TCP source port, 0 where there is none.
    pub source_port: u16,
    /// UDP or TCP destination port, 0 where there is none.
    pub destination_port: u16,
    /// IP protocol number of the payload after all extension headers.
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// IPv4 identification; 0 in IPv6 without fragment header.
    pub ip_id: u32,
    /// IPv4 DF.
    pub dont_fragment: bool,
    /// Source and destination MAC, zero where the link has none.
    pub mac: ([u8; 6], [u8; 6]),
    /// Innermost VLAN id.
    pub vlan: Option<u16>,
    /// Total length of the innermost IP datagram in octets, headers included; after
    /// reassembly that of the whole datagram.
    pub ip_len: u32,
    /// Length of the frame on the wire.
    pub wire_len: u32,
    /// Length of the frame as captured.
    pub captured_len: u32,
    /// Whether the innermost datagram was cut by snaplen.
    pub truncated: bool,
    /// Checksums of the innermost IP and transport headers.
    pub checksum: Checksum,
    /// What was peeled off.
    pub encapsulation: Encapsulation,
    /// How many IP fragments the datagram came in; 1 for a whole one.
    pub fragments: u16,
}

impl From<&Envelope> for Stamp {
    fn from(envelope: &Envelope) -> Self {
        Self::new(envelope.capture, envelope.frame, envelope.time)
    }
}

/// One direction of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    /// Source address and port.
    pub source: (IpAddr, u16),
    /// Destination address and port.
    pub destination: (IpAddr, u16),
}

/// As derived, in fewer and larger words: it is asked for with every datagram.
impl Hash for Flow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (address, port) in [self.source, self.destination] {
            match address {
                IpAddr::V4(v4) => state.write_u64(u64::from(v4.to_bits()) << 16 | u64::from(port)),
                IpAddr::V6(v6) => {
                    state.write_u128(v6.to_bits());
                    state.write_u16(port);
                }
            }
        }
    }
}

impl Flow {
    /// Whether its source stands before its destination, by address and then by port.
    pub fn is_ordered(&self) -> bool {
        match (self.source, self.destination) {
            ((IpAddr::V4(a), p), (IpAddr::V4(b), q)) => (a.to_bits(), p) <= (b.to_bits(), q),
            (source, destination) => source <= destination,
        }
    }

    /// The same conversation, seen from the other end.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
        }
    }
}

impl Envelope {
    /// That of a frame nothing was read of yet.
    pub fn of(frame: &Frame<'_>) -> Self {
        Self {
            capture: frame.capture,
            interface: frame.interface,
            frame: frame.no,
            time: frame.time,
            source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            destination: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            source_port: 0,
            destination_port: 0,
            protocol: 0,
            ttl: 0,
            ip_id: 0,
            dont_fragment: false,
            mac: ([0; 6], [0; 6]),
            vlan: None,
            ip_len: 0,
            wire_len: frame.wire_len,
            captured_len: u32::try_from(frame.octets.len()).unwrap_or(u32::MAX),
            truncated: false,
            checksum: Checksum::Unverified,
            encapsulation: Encapsulation::default(),
            fragments: 1,
        }
    }

    /// The flow this datagram belongs to.
    pub const fn flow(&self) -> Flow {
        Flow {
            source: (self.source, self.source_port),
            destination: (self.destination, self.destination_port),
        }
    }
}

/// A TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp<'a> {
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number; meaningful with ACK.
    pub acknowledgment: u32,
    /// FIN 0x01, SYN 0x02, RST 0x04, PSH 0x08, ACK 0x10.
    pub flags: u8,
    /// Window as in the header, unscaled.
    pub window: u16,
    /// The options, raw.
    pub options: &'a [u8],
    /// Data octets.
    pub payload: &'a [u8],
    /// Data octets on the wire: more than `payload` holds where snaplen cut.
    pub payload_len: u32,
}

impl Tcp<'_> {
    /// FIN.
    pub const FIN: u8 = 0x01;
    /// SYN.
    pub const SYN: u8 = 0x02;
    /// RST.
    pub const RST: u8 = 0x04;
    /// PSH.
    pub const PSH: u8 = 0x08;
    /// ACK.
    pub const ACK: u8 = 0x10;

    /// Whether all of `flags` are set.
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

/// The datagram that an ICMP error quotes, as far as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted<'a> {
    /// Its source address.
    pub source: IpAddr,
    /// Its destination address.
    pub destination: IpAddr,
    /// Its IP protocol after extension headers.
    pub protocol: u8,
    /// UDP or TCP source port, 0 where unknown.
    pub source_port: u16,
    /// UDP or TCP destination port, 0 where unknown.
    pub destination_port: u16,
    /// Its total IP length as its header says.
    pub ip_len: u32,
    /// Fragment offset in octets.
    pub fragment_offset: u32,
    /// What follows the UDP header, or the IP header for other protocols (TCP header
    /// included); often cut short.
    pub payload: &'a [u8],
}

/// An ICMP or ICMPv6 message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmp<'a> {
    /// ICMPv6 rather than ICMP.
    pub v6: bool,
    /// Type.
    pub icmp_type: u8,
    /// Code.
    pub code: u8,
    /// Next-hop MTU of "fragmentation needed" and "packet too big"; 0 from old routers.
    pub mtu: Option<u32>,
    /// For error messages: the datagram they are about.
    pub quoted: Option<Quoted<'a>>,
}

/// One IP fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Identification.
    pub id: u32,
    /// Protocol of the whole datagram.
    pub protocol: u8,
    /// Offset of `payload` in the whole datagram's payload, octets.
    pub offset: u32,
    /// Whether more fragments follow.
    pub more: bool,
    /// Octets of the IP header and of the extension headers before the fragment header.
    pub header_len: u32,
    /// This fragment's part.
    pub payload: &'a [u8],
    /// Length of this part on the wire; more than `payload` holds where snaplen cut.
    pub payload_len: u32,
}

/// What the innermost datagram carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// UDP.
    Udp {
        /// Data octets, cut to the declared length.
        payload: &'a [u8],
        /// Data octets as the header declares them.
        payload_len: u32,
    },
    /// TCP.
    Tcp(Tcp<'a>),
    /// ICMP and ICMPv6.
    Icmp(Icmp<'a>),
    /// Any other IP protocol: ESP (50), L2TPv3 (115)…
    Ip {
        /// Octets after the IP header.
        payload: &'a [u8],
        /// Their length on the wire.
        payload_len: u32,
    },
    /// A fragment: for `assemble`.
    Fragment(Fragment<'a>),
    /// A PPPoE frame that carries no IP: discovery, or PPP control in a session.
    Pppoe {
        /// Whether it is discovery (ethertype 0x8863) rather than session (0x8864).
        discovery: bool,
        /// From the PPPoE version octet on.
        octets: &'a [u8],
    },
    /// A PPP frame without IP on a link that is PPP itself: LCP, authentication, NCPs.
    Ppp {
        /// From the PPP protocol field on.
        octets: &'a [u8],
    },
    /// Nothing that could be read.
    Nothing,
}

/// Where the lenient parse stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// The layer that could not be read.
    pub layer: &'static str,
    /// Offset in the frame, octets.
    pub offset: usize,
    /// Why.
    pub what: &'static str,
}

/// The innermost datagram of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// How it travelled.
    pub envelope: Envelope,
    /// What it carries.
    pub content: Content<'a>,
    /// An AH header (RFC 4302) that was looked through, whole.
    pub ah: Option<&'a [u8]>,
    /// Where the parse stopped, if it did. What was read before stands.
    pub stopped: Option<Stop>,
}
