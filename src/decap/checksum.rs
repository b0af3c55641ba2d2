//! The Internet checksum (RFC 1071) of IP, UDP, TCP and ICMP headers.
//!
//! A wrong sum is noticed and never fatal: a host that captures its own packets sees them
//! before its network card has filled the sums in.

use std::net::IpAddr;

use super::{Checksum, Envelope};

/// IPv4 header, options included.
pub(super) fn ipv4_header(header: &[u8]) -> Checksum {
    verdict(sum(header))
}

/// UDP, TCP and ICMPv6 with the pseudo header of `envelope`. `octets` must be the whole
/// transport datagram.
pub(super) fn with_pseudo_header(envelope: &Envelope, protocol: u8, octets: &[u8]) -> Checksum {
    let addresses = match (envelope.source, envelope.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => sum(&from.octets()) + sum(&to.octets()),
        (IpAddr::V6(from), IpAddr::V6(to)) => sum(&from.octets()) + sum(&to.octets()),
        // Cannot be: one header has both addresses.
        _ => return Checksum::Unverified,
    };
    let length = u32::try_from(octets.len()).unwrap_or(u32::MAX);
    let rest = sum(&length.to_be_bytes()) + sum(&[0, protocol]);
    verdict(addresses + rest + sum(octets))
}

/// ICMP, which has no pseudo header.
pub(super) fn icmp(octets: &[u8]) -> Checksum {
    verdict(sum(octets))
}

/// The verdict on the IP header together with that on what it carries.
pub(super) fn both(header: Checksum, transport: Checksum) -> Checksum {
    match (header, transport) {
        (Checksum::Bad, _) | (_, Checksum::Bad) => Checksum::Bad,
        (header, Checksum::Unverified) => header,
        (_, transport) => transport,
    }
}

/// The sum of all words in the machine's own order of octets, an odd octet filled up with zero.
/// Which order that is makes no difference to whether the sum is right (RFC 1071 §2 B), and
/// words of 32 bits add up to the same after folding (§2 A). No datagram is long enough to
/// overflow 64 bits.
#[inline]
fn sum(octets: &[u8]) -> u64 {
    let (words, rest) = octets.as_chunks::<4>();
    let whole: u64 = words
        .iter()
        .map(|word| u64::from(u32::from_ne_bytes(*word)))
        .sum();
    let last = match *rest {
        [a] => [a, 0, 0, 0],
        [a, b] => [a, b, 0, 0],
        [a, b, c] => [a, b, c, 0],
        _ => [0; 4],
    };
    whole + u64::from(u32::from_ne_bytes(last))
}

/// Folds a sum to 16 bits: all ones where the checksum in it is right.
#[inline]
fn verdict(sum: u64) -> Checksum {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    if sum == 0xffff {
        Checksum::Good
    } else {
        Checksum::Bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::checksum::Sum16BitWords;

    #[test]
    fn sums_are_those_of_another_implementation() {
        let mut octets = Vec::new();
        let mut state = 1_u32;
        for len in 0..300 {
            let other = Sum16BitWords::new().add_slice(&octets);
            let good = other.ones_complement() == 0;
            assert_eq!(icmp(&octets) == Checksum::Good, good, "{len}");
            // The same with a sum that is right, wherever the length is even.
            if len % 2 == 0 && len > 0 {
                let sum = Sum16BitWords::new().add_slice(&octets).ones_complement();
                let mut whole = octets.clone();
                whole.extend(sum.to_ne_bytes());
                let right = Sum16BitWords::new().add_slice(&whole).ones_complement() == 0;
                assert!(right, "{len}");
                assert_eq!(icmp(&whole), Checksum::Good, "{len}");
            }
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            octets.push(state.to_be_bytes()[0]);
        }
        assert_eq!(icmp(&[0; 8]), Checksum::Bad, "nothing but zeros has no sum");
    }
}
