//! The Internet checksum (RFC 1071) of IP, UDP, TCP and ICMP headers.
//!
//! A wrong sum is noticed and never fatal: a host that captures its own packets sees them
//! before its network card has filled the sums in.

use std::net::IpAddr;

use etherparse::checksum::Sum16BitWords;

use super::{Checksum, Envelope};

/// IPv4 header, options included.
pub(super) fn ipv4_header(header: &[u8]) -> Checksum {
    verdict(&Sum16BitWords::new().add_slice(header))
}

/// UDP, TCP and ICMPv6 with the pseudo header of `envelope`. `octets` must be the whole
/// transport datagram.
pub(super) fn with_pseudo_header(envelope: &Envelope, protocol: u8, octets: &[u8]) -> Checksum {
    let length = u32::try_from(octets.len()).unwrap_or(u32::MAX);
    let mut sum = match (envelope.source, envelope.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut sum = Sum16BitWords::new();
            sum = sum.add_4bytes(from.octets());
            sum.add_4bytes(to.octets())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut sum = Sum16BitWords::new();
            sum = sum.add_16bytes(from.octets());
            sum.add_16bytes(to.octets())
        }
        // Cannot be: one header has both addresses.
        _ => return Checksum::Unverified,
    };
    sum = sum.add_4bytes(length.to_be_bytes());
    verdict(&sum.add_2bytes([0, protocol]).add_slice(octets))
}

/// ICMP, which has no pseudo header.
pub(super) fn icmp(octets: &[u8]) -> Checksum {
    verdict(&Sum16BitWords::new().add_slice(octets))
}

/// The verdict on the IP header together with that on what it carries.
pub(super) fn both(header: Checksum, transport: Checksum) -> Checksum {
    match (header, transport) {
        (Checksum::Bad, _) | (_, Checksum::Bad) => Checksum::Bad,
        (header, Checksum::Unverified) => header,
        (_, transport) => transport,
    }
}

fn verdict(sum: &Sum16BitWords) -> Checksum {
    if sum.ones_complement() == 0 {
        Checksum::Good
    } else {
        Checksum::Bad
    }
}
