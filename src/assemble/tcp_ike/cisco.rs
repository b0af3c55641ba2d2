//! Cisco's "`IPsec` over TCP", by default on port 10000: every segment is one packet with a
//! trailer. The connection is a façade without retransmission, so segments are read one by one.
//! The trailer is not published; what is used of it was learned from captures.

use vpnscope_dissectors::Verdict;
use vpnscope_dissectors::ike;

/// The port that clients use unless told otherwise.
pub const PORT: u16 = 10_000;

/// Octets of the trailer: 0..4 zero, 4..6 a number, 6..8 direction of IKE, low 12 bits zero,
/// 8..13 constant, 13 IP protocol of the packet, 14..16 constant.
const TRAILER: usize = 16;

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried<'a> {
    /// An IKE message; before it stands a UDP header with these ports.
    Ike {
        /// Source and destination port of the UDP header.
        ports: [u16; 2],
        /// The message.
        octets: &'a [u8],
    },
    /// An ESP packet from its SPI on.
    Esp(&'a [u8]),
}

/// Reads the payload of one segment; `None` where it is something else, as the backup protocol
/// NDMP that has the same port.
pub fn carried(segment: &[u8]) -> Option<Carried<'_>> {
    let (packet, trailer) = segment.split_last_chunk::<TRAILER>()?;
    let [0, 0, 0, 0, _, _, direction, 0, .., protocol, _, _] = trailer else {
        return None;
    };
    if direction & 0x0f != 0 {
        return None;
    }
    match (protocol, packet) {
        (17, [s0, s1, d0, d1, l0, l1, _, _, octets @ ..])
            if usize::from(u16::from_be_bytes([*l0, *l1])) == packet.len()
                && ike::recognise(octets) != Verdict::NotOurs =>
        {
            let ports = [
                u16::from_be_bytes([*s0, *s1]),
                u16::from_be_bytes([*d0, *d1]),
            ];
            Some(Carried::Ike { ports, octets })
        }
        (50, [a, b, c, d, _, _, _, _, _, ..]) if u32::from_be_bytes([*a, *b, *c, *d]) >= 256 => {
            Some(Carried::Esp(packet))
        }
        _ => None,
    }
}
