//! What may be known, told from one octet: for the packets of a span port, of which nearly none
//! belongs to something that is.

use std::net::IpAddr;

/// A counter for each of a power of two of hashes: how many known things have it. A full counter
/// stays full, so that the answer errs on the side of a look-up. What somebody chooses to share a
/// counter costs look-ups and nothing else.
#[derive(Debug)]
pub(crate) struct Sieve {
    counters: Box<[u8]>,
}

/// Counters, as a power of two. Untouched pages cost no memory.
const BITS: u32 = 18;

impl Default for Sieve {
    fn default() -> Self {
        Self {
            counters: vec![0; 1 << BITS].into(),
        }
    }
}

impl Sieve {
    /// Notes something of this hash.
    pub(crate) fn add(&mut self, hash: u64) {
        if let Some(counter) = self.counters.get_mut(place::<BITS>(hash)) {
            *counter = counter.saturating_add(1);
        }
    }

    /// Takes back what was noted.
    pub(crate) fn remove(&mut self, hash: u64) {
        if let Some(counter) = self.counters.get_mut(place::<BITS>(hash))
            && *counter < u8::MAX
        {
            *counter = counter.saturating_sub(1);
        }
    }

    /// Whether something of this hash may have been noted.
    #[inline]
    pub(crate) fn may_hold(&self, hash: u64) -> bool {
        let counter = self.counters.get(place::<BITS>(hash));
        counter.is_none_or(|count| *count > 0)
    }
}

/// Where one of so many places, as a power of two, stands for a hash.
#[inline]
pub(crate) fn place<const BITS: u32>(hash: u64) -> usize {
    usize::try_from(hash >> (64 - BITS)).unwrap_or_default()
}

/// 2^64 divided by the golden ratio, and the second prime of the hash function XXH64: odd, and
/// with their ones far apart.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
const OTHER: u64 = 0xc2b2_ae3d_27d4_eb4f;

/// The hash of two ends, the same in either order.
#[inline]
pub(crate) const fn mix(a: u64, b: u64) -> u64 {
    (a ^ b).wrapping_mul(ODD) ^ a.wrapping_add(b).wrapping_mul(OTHER)
}

/// The hash of two addresses, the same in either order.
#[inline]
pub(crate) fn between(a: IpAddr, b: IpAddr) -> u64 {
    mix(narrow(a), narrow(b))
}

/// An address in one word.
#[inline]
pub(crate) const fn narrow(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => v4.to_bits() as u64,
        IpAddr::V6(v6) => fold(v6.to_bits()),
    }
}

/// The number of an address in one word; of IPv4, it is that number.
#[inline]
pub(crate) const fn fold(address: u128) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves of the value"
    )]
    let (high, low) = ((address >> 64) as u64, address as u64);
    high.wrapping_mul(ODD) ^ low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_held_in_either_order_until_it_is_removed() {
        let pairs = [
            ("192.0.2.1", "10.0.0.9"),
            ("2001:db8::1", "2001:db8:0:1::2"),
        ];
        for (a, b) in pairs.map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())) {
            let mut sieve = Sieve::default();
            let held = |sieve: &Sieve| {
                assert_eq!(sieve.may_hold(between(a, b)), sieve.may_hold(between(b, a)));
                sieve.may_hold(between(a, b))
            };
            assert!(!held(&sieve));
            sieve.add(between(a, b));
            sieve.add(between(b, a));
            assert!(held(&sieve));
            sieve.remove(between(a, b));
            assert!(held(&sieve), "noted twice");
            sieve.remove(between(a, b));
            assert!(!held(&sieve));
        }
    }

    #[test]
    fn neighbours_are_told_apart() {
        let v4 = |n: u32| IpAddr::from((0x0a00_0000 + n).to_be_bytes());
        let v6 = |n: u32| IpAddr::from((0x2001_0db8_u128 << 96 | u128::from(n)).to_be_bytes());
        let addresses: [&dyn Fn(u32) -> IpAddr; 2] = [&v4, &v6];
        for client in addresses {
            let mut sieve = Sieve::default();
            let gateway = client(0x0001_0001);
            (0..1000).for_each(|n| sieve.add(between(client(2 * n), gateway)));
            let odd = (0..1000).filter(|n| sieve.may_hold(between(client(2 * n + 1), gateway)));
            assert!(odd.count() < 20);
        }
    }

    #[test]
    fn a_full_counter_stays_full() {
        let mut sieve = Sieve::default();
        (0..300).for_each(|_| sieve.add(1 << 60));
        (0..300).for_each(|_| sieve.remove(1 << 60));
        assert!(sieve.may_hold(1 << 60) && !sieve.may_hold(1 << 61));
    }
}
