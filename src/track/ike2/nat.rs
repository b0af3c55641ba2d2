//! NAT detection of both versions, verified by recomputing the hashes (RFC 7296 §2.23,
//! RFC 3947 §3.2).

use std::net::IpAddr;

use md5::Md5;
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384, Sha512};
use vpnscope_dissectors::ike::v1::Hash;

use crate::track::pack::{Pack, Packer, Unpacker, octets, octets_of};
use crate::track::session::Side;

/// Whether a hash fits the address and port that this capture saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fit {
    /// No such notify was seen.
    #[default]
    Absent,
    /// It fits: between its sender and this capture nothing translates.
    Fits,
    /// It does not fit: an address was translated, or the sender wants it to look so.
    Differs,
}

/// What the NAT detection payloads of the first messages say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nat {
    /// The initiator's hashes.
    pub request: Said,
    /// The responder's hashes.
    pub response: Said,
    /// What the client hashed as its own address and port, where trying found it.
    pub private: Option<(IpAddr, u16)>,
}

/// The hashes of one message with what they should cover. They are recomputed only when somebody
/// asks whether they fit: most sessions never come to that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    covered: Option<Covered>,
    /// Of each hash whether it is about the receiver, its length, and its octets.
    hashes: Vec<u8>,
    /// The message came straight from its sender: its TTL is one that hosts start with.
    pub untouched: bool,
}

/// What the hashes of a message cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Covered {
    /// The SPIs in the header of the message; IKEv1: cookies.
    pub spis: (u64, u64),
    /// Address and port it came from, as this capture saw them.
    pub source: (IpAddr, u16),
    /// Address and port it went to.
    pub destination: (IpAddr, u16),
    /// How the hashes are made.
    pub algorithm: Algorithm,
}

/// How a hash is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-1 (RFC 7296 §2.23).
    V2,
    /// The negotiated hash (RFC 3947 §3.2), or by its size where that is not known.
    V1(Option<Hash>),
}

impl Said {
    /// Hashes of one message that are kept.
    const KEPT: usize = 32;
    /// Octets of one hash that are kept: SHA-512 has as many.
    const OCTETS: usize = 64;

    /// What a message says: hashes about its sender and about its receiver.
    pub fn new<'a>(
        covered: Covered,
        untouched: bool,
        source: impl Iterator<Item = &'a [u8]>,
        destination: impl Iterator<Item = &'a [u8]>,
    ) -> Self {
        let about = |receiver: u8| move |octets| (receiver, octets);
        let all = source.map(about(0)).chain(destination.map(about(1)));
        let mut hashes = Vec::with_capacity(44);
        for (receiver, octets) in all.take(Self::KEPT) {
            let octets = octets.get(..Self::OCTETS).unwrap_or(octets);
            hashes.extend([receiver, u8::try_from(octets.len()).unwrap_or(u8::MAX)]);
            hashes.extend(octets);
        }
        Self {
            covered: Some(covered),
            hashes,
            untouched,
        }
    }

    /// Whether the sender's own address fits.
    pub fn source(&self) -> Fit {
        self.fit(0, |covered| covered.source)
    }

    /// Whether the receiver's address fits.
    pub fn destination(&self) -> Fit {
        self.fit(1, |covered| covered.destination)
    }

    /// The hashes about the sender's own addresses.
    pub fn sources(&self) -> impl Iterator<Item = Vec<u8>> {
        self.about(0).map(<[u8]>::to_vec)
    }

    fn about(&self, wanted: u8) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.hashes.as_slice();
        let all = std::iter::from_fn(move || {
            let [about, len, after @ ..] = rest else {
                return None;
            };
            let (hash, next) = after.split_at_checked(usize::from(*len))?;
            rest = next;
            Some((*about, hash))
        });
        all.filter(move |(about, _)| *about == wanted)
            .map(|(_, hash)| hash)
    }

    /// A multihomed sender may send several hashes of its own; one that fits is enough.
    fn fit(&self, about: u8, at: fn(&Covered) -> (IpAddr, u16)) -> Fit {
        let Some(covered) = &self.covered else {
            return Fit::Absent;
        };
        let mut fit = Fit::Absent;
        let mut known: (usize, Vec<u8>) = (usize::MAX, Vec::new());
        for want in self.about(about) {
            if known.0 != want.len() {
                known = (want.len(), covered.digest(at(covered), want.len()));
            }
            if known.1 == want {
                return Fit::Fits;
            }
            fit = Fit::Differs;
        }
        fit
    }
}

impl Covered {
    /// The hash over SPIs, address and port that has `len` octets.
    fn digest(&self, (address, port): (IpAddr, u16), len: usize) -> Vec<u8> {
        let hash = match self.algorithm {
            Algorithm::V2 => return hash(self.spis.0, self.spis.1, address, port).to_vec(),
            Algorithm::V1(hash) => hash,
        };
        let mut octets = Vec::with_capacity(34);
        octets.extend(self.spis.0.to_be_bytes());
        octets.extend(self.spis.1.to_be_bytes());
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
}

/// TTLs that hosts start with.
pub const fn is_initial_ttl(ttl: u8) -> bool {
    matches!(ttl, 64 | 128 | 255)
}

impl Nat {
    /// Whether an end hashed its own address falsely on purpose, to force encapsulation: its
    /// datagram was captured before any router, where nothing can have translated it.
    pub fn forced(&self, side: Side) -> bool {
        let said = match side {
            Side::Client => &self.request,
            Side::Gateway => &self.response,
        };
        said.untouched && said.source() == Fit::Differs
    }

    /// Whether an end looks translated to its peer or to this capture.
    pub fn detected(&self, side: Side) -> bool {
        let (own, other) = match side {
            Side::Client => (&self.request, &self.response),
            Side::Gateway => (&self.response, &self.request),
        };
        own.source() == Fit::Differs || other.destination() == Fit::Differs
    }
}

/// The hash of RFC 7296 §2.23: SHA-1 over SPIs, address and port.
pub fn hash(initiator_spi: u64, responder_spi: u64, address: IpAddr, port: u16) -> [u8; 20] {
    let mut sha = Sha1::new();
    sha.update(initiator_spi.to_be_bytes());
    sha.update(responder_spi.to_be_bytes());
    match address {
        IpAddr::V4(v4) => sha.update(v4.octets()),
        IpAddr::V6(v6) => sha.update(v6.octets()),
    }
    sha.update(port.to_be_bytes());
    sha.finalize().into()
}

impl Pack for Said {
    fn pack(&self, to: &mut Packer<'_>) {
        let Self {
            covered,
            hashes,
            untouched,
        } = self;
        covered.pack(to);
        octets(hashes, to);
        untouched.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(Self {
            covered: Pack::unpack(from)?,
            hashes: octets_of(from)?.to_vec(),
            untouched: Pack::unpack(from)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn said(hashes: &[&[u8]], covered: Covered) -> Said {
        let (receiver, senders) = hashes.split_at(hashes.len().min(1));
        let (receiver, senders) = (receiver.iter().copied(), senders.iter().copied());
        Said::new(covered, false, senders, receiver)
    }

    #[test]
    fn a_hash_of_the_seen_address_fits() {
        // Libreswan's main mode 3 behind a NAT, at the client.
        let covered = Covered {
            spis: (0x2293_8459_508b_b3d1, 0x4752_3052_98ba_54c8),
            source: (IpAddr::V4(Ipv4Addr::new(10, 1, 0, 10)), 500),
            destination: (IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)), 500),
            algorithm: Algorithm::V1(Some(Hash::SHA)),
        };
        let about_gateway = [
            0x4d, 0x11, 0x6d, 0x33, 0x40, 0x1f, 0x06, 0x33, 0xa7, 0x30, 0x2a, 0x5d, 0x17, 0xf6,
            0x24, 0x6f, 0xb9, 0x29, 0x05, 0x44,
        ];
        let about_client = [
            0xcd, 0x67, 0x72, 0x6a, 0x9a, 0x36, 0x41, 0x23, 0x25, 0x1b, 0x75, 0x06, 0x63, 0xc6,
            0x1f, 0x33, 0xb3, 0xf0, 0x21, 0x6f,
        ];
        let both = said(&[&about_gateway, &about_client], covered);
        assert_eq!((both.destination(), both.source()), (Fit::Fits, Fit::Fits));
        let moved = Covered {
            source: (IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), 500),
            algorithm: Algorithm::V1(None),
            ..covered
        };
        let both = said(&[&about_gateway, &about_client], moved);
        assert_eq!(
            (both.destination(), both.source()),
            (Fit::Fits, Fit::Differs)
        );
        let several = said(&[&about_gateway, &about_gateway, &about_client], covered);
        assert_eq!(several.source(), Fit::Fits, "one of several is enough");
        let none = said(&[], covered);
        assert_eq!(
            (none.destination(), none.source()),
            (Fit::Absent, Fit::Absent)
        );
        let other_size = said(&[&about_gateway[..8]], covered);
        assert_eq!(other_size.destination(), Fit::Differs);
    }
}
