//! Which flows may be known, told from a few instructions: for the segments of a span port, of
//! which nearly none belongs to a connection that is followed.

use std::net::IpAddr;

use super::opening::Key;
use crate::decap::Addresses;

/// A counter for each hash: how many known flows have it. A full counter stays full, so that
/// the answer errs on the side of a look-up.
#[derive(Debug)]
pub(super) struct Sieve {
    counters: Box<[u8]>,
}

/// Places, as a power of two. Untouched pages cost no memory.
const BITS: u32 = 18;

impl Default for Sieve {
    fn default() -> Self {
        Self {
            counters: vec![0; 1 << BITS].into(),
        }
    }
}

impl Sieve {
    /// Notes the flow of a key.
    pub(super) fn add(&mut self, key: &Key) {
        if let Some(counter) = self.counters.get_mut(place(mixed(key))) {
            *counter = counter.saturating_add(1);
        }
    }

    /// Takes back what was noted.
    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(counter) = self.counters.get_mut(place(mixed(key)))
            && *counter < u8::MAX
        {
            *counter = counter.saturating_sub(1);
        }
    }

    /// Whether a flow may have been noted, in either direction.
    #[inline]
    pub(super) fn may_hold(&self, addresses: Addresses<'_>, ports: (u16, u16)) -> bool {
        let (source, destination) = match addresses {
            Addresses::V4(&[a, b, c, d, e, f, g, h]) => (
                u64::from(u32::from_be_bytes([a, b, c, d])),
                u64::from(u32::from_be_bytes([e, f, g, h])),
            ),
            Addresses::V6(octets) => {
                let (source, destination) = octets.split_at(16);
                (wide(source), wide(destination))
            }
        };
        let hash = mix(end(source, ports.0), end(destination, ports.1));
        self.counters.get(place(hash)).is_none_or(|n| *n > 0)
    }
}

fn wide(octets: &[u8]) -> u64 {
    let (words, _) = octets.as_chunks::<8>();
    match *words {
        [high, low] => fold(u64::from_be_bytes(high), u64::from_be_bytes(low)),
        _ => 0,
    }
}

const fn fold(high: u64, low: u64) -> u64 {
    high.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ low
}

/// An address in one word.
pub(super) fn narrow(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => wide(&v6.octets()),
    }
}

const fn end(address: u64, port: u16) -> u64 {
    address.rotate_left(16) ^ port as u64
}

/// The same from either end.
const fn mix(a: u64, b: u64) -> u64 {
    (a ^ b).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ a.wrapping_add(b).wrapping_mul(0xc2b2_ae3d_27d4_eb4f)
}

fn mixed(key: &Key) -> u64 {
    let [(a, p), (b, q)] = key.ends();
    mix(end(a, p), end(b, q))
}

fn place(hash: u64) -> usize {
    usize::try_from(hash >> (64 - BITS)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decap::Flow;

    fn key(flow: &Flow) -> Key {
        Key::of(0, flow).0
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
            let there = sieve.may_hold(Addresses::V4(&octets), (50_000, 443));
            assert_eq!(there, sieve.may_hold(Addresses::V4(&back), (443, 50_000)));
            there
        };
        assert!(!held(&sieve));
        sieve.add(&key(&flow));
        sieve.add(&key(&flow.reversed()));
        assert!(held(&sieve));
        sieve.remove(&key(&flow));
        assert!(held(&sieve), "noted twice");
        sieve.remove(&key(&flow));
        assert!(!held(&sieve));
    }

    #[test]
    fn flows_of_ipv6_are_told_apart() {
        let at = |n: u16, port| (IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]), port);
        let mut sieve = Sieve::default();
        sieve.add(&key(&Flow {
            source: at(1, 1000),
            destination: at(2, 443),
        }));
        let mut octets = [0; 32];
        octets[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        octets[16..20].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        (octets[15], octets[31]) = (1, 2);
        assert!(sieve.may_hold(Addresses::V6(&octets), (1000, 443)));
        let others = (0..1000_u16)
            .filter(|port| *port != 443 && sieve.may_hold(Addresses::V6(&octets), (1000, *port)));
        assert!(others.count() < 5);
    }
}
