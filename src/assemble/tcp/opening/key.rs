//! What a connection is found by: its capture and both ends, as few octets.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};

use crate::decap::{Addresses, Flow};
use crate::tables::sieve::{fold, mix, narrow};

/// Both ends of a connection in the order of their addresses, so that either direction finds
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::assemble::tcp) enum Key {
    V4([u8; 14]),
    V6([u8; 38]),
}

impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::V4(key) => V4(*key).hash(state),
            Self::V6(key) => state.write(key),
        }
    }
}

/// A key of IPv4, hashed as the two words that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct V4(pub(super) [u8; 14]);

impl Hash for V4 {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        for half in [self.0.first_chunk(), self.0.last_chunk()] {
            state.write_u64(half.map_or(0, |half| u64::from_ne_bytes(*half)));
        }
    }
}

impl Key {
    /// The key of a flow, and whether its source is the end that stands first in it.
    pub(in crate::assemble::tcp) fn of(capture: u16, flow: &Flow) -> (Self, bool) {
        if let (IpAddr::V4(x), IpAddr::V4(y)) = (flow.source.0, flow.destination.0) {
            return Self::v4(capture, (x, flow.source.1), (y, flow.destination.1));
        }
        let first = flow.source <= flow.destination;
        let (a, b) = if first {
            (flow.source, flow.destination)
        } else {
            (flow.destination, flow.source)
        };
        let ([p0, p1], [q0, q1]) = (a.1.to_be_bytes(), b.1.to_be_bytes());
        let mut key = [0; 38];
        let (one, rest) = key.split_at_mut(18);
        put(one, v6(a.0), [p0, p1]);
        put(rest, v6(b.0), [q0, q1]);
        if let Some(last) = rest.last_chunk_mut() {
            *last = capture.to_be_bytes();
        }
        (Self::V6(key), first)
    }

    /// The order of numbers is that of addresses and then ports.
    fn v4(capture: u16, source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16)) -> (Self, bool) {
        let number = |end: (Ipv4Addr, u16)| u64::from(end.0.to_bits()) << 16 | u64::from(end.1);
        Self::ordered(capture, number(source), number(destination))
    }

    /// As [`Key::of`], from the octets of an IP header.
    #[inline]
    pub(in crate::assemble::tcp) fn of_plain(
        capture: u16,
        addresses: Addresses<'_>,
        (source, destination): (u16, u16),
    ) -> (Self, bool) {
        let Addresses::V4(&[s0, s1, s2, s3, d0, d1, d2, d3]) = addresses else {
            let flow = Flow {
                source: (addresses.source(), source),
                destination: (addresses.destination(), destination),
            };
            return Self::of(capture, &flow);
        };
        let end = |octets: [u8; 4], port: u16| {
            u64::from(u32::from_be_bytes(octets)) << 16 | u64::from(port)
        };
        let from = end([s0, s1, s2, s3], source);
        let to = end([d0, d1, d2, d3], destination);
        Self::ordered(capture, from, to)
    }

    /// The key of two ends of 48 bits each, in order.
    #[inline]
    fn ordered(capture: u16, from: u64, to: u64) -> (Self, bool) {
        let first = from <= to;
        let (a, b) = if first { (from, to) } else { (to, from) };
        let [k0, k1, k2, k3, k4, k5, k6, k7] = (a << 16 | b >> 32).to_be_bytes();
        let [_, _, k8, k9, k10, k11, k12, k13] = (b << 16 | u64::from(capture)).to_be_bytes();
        let key = [k0, k1, k2, k3, k4, k5, k6, k7, k8, k9, k10, k11, k12, k13];
        (Self::V4(key), first)
    }

    /// The capture.
    pub(in crate::assemble::tcp) fn capture(&self) -> u16 {
        match self {
            Self::V4(key) => u16::from_be_bytes(part(key, 12)),
            Self::V6(key) => u16::from_be_bytes(part(key, 36)),
        }
    }

    /// The hash of its flow for the sieve.
    pub(in crate::assemble::tcp) fn sieved(&self) -> u64 {
        let [(a, p), (b, q)] = self.ends();
        mix(end(a, p), end(b, q))
    }

    /// The same of a flow from either end, from the octets of an IP header.
    #[inline]
    pub(in crate::assemble::tcp) fn sieved_plain(
        addresses: Addresses<'_>,
        ports: (u16, u16),
    ) -> u64 {
        let (source, destination) = addresses.wide();
        mix(end(fold(source), ports.0), end(fold(destination), ports.1))
    }

    /// Both ends: address and port.
    fn ends(&self) -> [(u64, u16); 2] {
        match self {
            Self::V4(key) => [0, 6].map(|at| {
                let address = u32::from_be_bytes(part(key, at));
                (u64::from(address), u16::from_be_bytes(part(key, at + 4)))
            }),
            Self::V6(_) => {
                let flow = self.flow();
                [flow.source, flow.destination].map(|(ip, port)| (narrow(ip), port))
            }
        }
    }

    /// The same in another capture.
    pub(in crate::assemble::tcp) fn of_capture(mut self, capture: u16) -> Self {
        let last = match &mut self {
            Self::V4(key) => key.last_chunk_mut(),
            Self::V6(key) => key.last_chunk_mut(),
        };
        if let Some(last) = last {
            *last = capture.to_be_bytes();
        }
        self
    }

    /// The flow from the end that stands first in the key to the other.
    pub(in crate::assemble::tcp) fn flow(&self) -> Flow {
        match self {
            Self::V4(key) => {
                let end = |at: usize| {
                    let octets: [u8; 4] = part(key, at);
                    (IpAddr::from(octets), u16::from_be_bytes(part(key, at + 4)))
                };
                Flow {
                    source: end(0),
                    destination: end(6),
                }
            }
            Self::V6(key) => {
                let end = |at: usize| {
                    let octets: [u8; 16] = part(key, at);
                    (IpAddr::from(octets), u16::from_be_bytes(part(key, at + 16)))
                };
                Flow {
                    source: end(0),
                    destination: end(18),
                }
            }
        }
    }
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// An end for the hash of a flow.
const fn end(address: u64, port: u16) -> u64 {
    address.rotate_left(16) ^ port as u64
}

fn put(key: &mut [u8], address: [u8; 16], port: [u8; 2]) {
    if let Some((first, rest)) = key.split_first_chunk_mut() {
        *first = address;
        if let Some(ports) = rest.first_chunk_mut() {
            *ports = port;
        }
    }
}

fn part<const N: usize>(key: &[u8], at: usize) -> [u8; N] {
    key.get(at..)
        .and_then(|rest| rest.first_chunk::<N>())
        .copied()
        .unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::Sieve;

    fn sieved(flow: &Flow) -> u64 {
        Key::of(0, flow).0.sieved()
    }

    #[test]
    fn keys_are_the_same_from_both_ends() {
        let flow = Flow {
            source: ("192.0.2.9".parse().unwrap(), 50_000),
            destination: ("192.0.2.1".parse().unwrap(), 443),
        };
        let (key, first) = Key::of(0, &flow);
        let (same, other) = Key::of(0, &flow.reversed());
        assert_eq!(key, same);
        assert!(!first && other);
        assert_eq!(key.flow(), flow.reversed());
        let octets = [192, 0, 2, 9, 192, 0, 2, 1];
        let back = [192, 0, 2, 1, 192, 0, 2, 9];
        let there = Key::of_plain(0, Addresses::V4(&octets), (50_000, 443));
        assert_eq!(there, (key, false));
        let other = Key::of_plain(0, Addresses::V4(&back), (443, 50_000));
        assert_eq!(other, (key, true));
        let flow = Flow {
            source: ("2001:db8::1".parse().unwrap(), 1),
            destination: ("2001:db8::1".parse().unwrap(), 2),
        };
        let (key, first) = Key::of(0, &flow);
        assert!(first);
        assert_eq!(key.flow(), flow);
    }

    #[test]
    fn a_flow_is_held_from_both_ends_until_it_is_removed() {
        let flow = Flow {
            source: ("192.0.2.9".parse().unwrap(), 50_000),
            destination: ("192.0.2.1".parse().unwrap(), 443),
        };
        let octets = [192, 0, 2, 9, 192, 0, 2, 1];
        let back = [192, 0, 2, 1, 192, 0, 2, 9];
        let mut sieve = Sieve::default();
        let held = |sieve: &Sieve| {
            let there = sieve.may_hold(Key::sieved_plain(Addresses::V4(&octets), (50_000, 443)));
            assert_eq!(
                there,
                sieve.may_hold(Key::sieved_plain(Addresses::V4(&back), (443, 50_000)))
            );
            there
        };
        assert!(!held(&sieve));
        sieve.add(sieved(&flow));
        sieve.add(sieved(&flow.reversed()));
        assert!(held(&sieve));
        sieve.remove(sieved(&flow));
        assert!(held(&sieve), "noted twice");
        sieve.remove(sieved(&flow));
        assert!(!held(&sieve));
    }

    #[test]
    fn flows_of_ipv6_are_told_apart() {
        let at = |n: u16, port| (IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]), port);
        let mut sieve = Sieve::default();
        sieve.add(sieved(&Flow {
            source: at(1, 1000),
            destination: at(2, 443),
        }));
        let mut octets = [0; 32];
        octets[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        octets[16..20].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        (octets[15], octets[31]) = (1, 2);
        let held = |port| sieve.may_hold(Key::sieved_plain(Addresses::V6(&octets), (1000, port)));
        assert!(held(443));
        let others = (0..1000_u16).filter(|port| *port != 443 && held(*port));
        assert!(others.count() < 5);
    }
}
