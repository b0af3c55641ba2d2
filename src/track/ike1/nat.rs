//! NAT detection of IKEv1, verified by recomputing the hashes (RFC 3947 §3.2).

use std::net::IpAddr;

use md5::Md5;
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384, Sha512};
use vpnscope_dissectors::ike::v1::Hash;

use crate::track::ike2::nat::Fit;

/// What the hashes of one message say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fits {
    /// The sender's own address.
    pub(super) source: Fit,
    /// The receiver's.
    pub(super) destination: Fit,
}

/// What the hashes cover.
#[derive(Debug, Clone, Copy)]
pub(super) struct Covered {
    pub(super) initiator_cookie: u64,
    pub(super) responder_cookie: u64,
    pub(super) source: (IpAddr, u16),
    pub(super) destination: (IpAddr, u16),
}

/// Compares the NAT-D payloads of a message with what they cover: the first is about the
/// receiver's address, all others about addresses that the sender may have.
pub(super) fn compare(hashes: &[&[u8]], covered: &Covered, hash: Option<Hash>) -> Fits {
    let Some((receiver, senders)) = hashes.split_first() else {
        return Fits::default();
    };
    let fits = |want: &[u8], at: (IpAddr, u16)| digest(covered, at, hash, want.len()) == want;
    let one = |fits| if fits { Fit::Fits } else { Fit::Differs };
    Fits {
        destination: one(fits(receiver, covered.destination)),
        source: if senders.is_empty() {
            Fit::Absent
        } else {
            one(senders.iter().any(|want| fits(want, covered.source)))
        },
    }
}

/// The hash over cookies, address and port; by its size where the suite is not known.
fn digest(
    covered: &Covered,
    (address, port): (IpAddr, u16),
    hash: Option<Hash>,
    len: usize,
) -> Vec<u8> {
    let mut octets = Vec::with_capacity(34);
    octets.extend(covered.initiator_cookie.to_be_bytes());
    octets.extend(covered.responder_cookie.to_be_bytes());
    match address {
        IpAddr::V4(v4) => octets.extend(v4.octets()),
        IpAddr::V6(v6) => octets.extend(v6.octets()),
    }
    octets.extend(port.to_be_bytes());
    match (hash, len) {
        (Some(Hash::MD5), _) | (None, 16) => Md5::digest(&octets).to_vec(),
        (Some(Hash::SHA), _) | (None, 20) => Sha1::digest(&octets).to_vec(),
        (Some(Hash::SHA2_256), _) | (None, 32) => Sha256::digest(&octets).to_vec(),
        (Some(Hash::SHA2_384), _) | (None, 48) => Sha384::digest(&octets).to_vec(),
        (Some(Hash::SHA2_512), _) | (None, 64) => Sha512::digest(&octets).to_vec(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_hash_of_the_seen_address_fits() {
        // Libreswan's main mode 3 behind a NAT, at the client.
        let covered = Covered {
            initiator_cookie: 0x2293_8459_508b_b3d1,
            responder_cookie: 0x4752_3052_98ba_54c8,
            source: (IpAddr::V4(Ipv4Addr::new(10, 1, 0, 10)), 500),
            destination: (IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)), 500),
        };
        let about_gateway = [
            0x4d, 0x11, 0x6d, 0x33, 0x40, 0x1f, 0x06, 0x33, 0xa7, 0x30, 0x2a, 0x5d, 0x17, 0xf6,
            0x24, 0x6f, 0xb9, 0x29, 0x05, 0x44,
        ];
        let about_client = [
            0xcd, 0x67, 0x72, 0x6a, 0x9a, 0x36, 0x41, 0x23, 0x25, 0x1b, 0x75, 0x06, 0x63, 0xc6,
            0x1f, 0x33, 0xb3, 0xf0, 0x21, 0x6f,
        ];
        let fits = compare(&[&about_gateway, &about_client], &covered, Some(Hash::SHA));
        assert_eq!((fits.destination, fits.source), (Fit::Fits, Fit::Fits));
        let moved = Covered {
            source: (IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), 500),
            ..covered
        };
        let fits = compare(&[&about_gateway, &about_client], &moved, None);
        assert_eq!((fits.destination, fits.source), (Fit::Fits, Fit::Differs));
        assert_eq!(compare(&[], &covered, None), Fits::default());
    }
}
