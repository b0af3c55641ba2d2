//! Between which addresses something may be known, told from one octet: nearly all keepalives of a
//! span port, and first packets of a flow, are between addresses of which nothing is.

use std::net::IpAddr;

/// A counter for each hash: how many known pairs have it. A full counter stays full, so that the
/// answer errs on the side of a look-up. What somebody chooses to share a counter costs look-ups
/// and nothing else.
#[derive(Debug)]
pub(super) struct PairSieve {
    counters: Box<[u8]>,
}

/// Places, as a power of two. Untouched pages cost no memory.
const BITS: u32 = 18;

impl Default for PairSieve {
    fn default() -> Self {
        Self {
            counters: vec![0; 1 << BITS].into(),
        }
    }
}

impl PairSieve {
    /// Notes a pair.
    pub(super) fn add(&mut self, a: IpAddr, b: IpAddr) {
        if let Some(counter) = self.counters.get_mut(place(a, b)) {
            *counter = counter.saturating_add(1);
        }
    }

    /// Takes back what was noted.
    pub(super) fn remove(&mut self, a: IpAddr, b: IpAddr) {
        if let Some(counter) = self.counters.get_mut(place(a, b))
            && *counter < u8::MAX
        {
            *counter = counter.saturating_sub(1);
        }
    }

    /// Whether a pair may have been noted, in either order.
    #[inline]
    pub(super) fn may_hold(&self, a: IpAddr, b: IpAddr) -> bool {
        self.counters.get(place(a, b)).is_none_or(|n| *n > 0)
    }
}

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
const OTHER: u64 = 0xc2b2_ae3d_27d4_eb4f;

#[inline]
fn narrow(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => {
            let [high, low] = [v6.to_bits() >> 64, v6.to_bits() & u128::from(u64::MAX)]
                .map(|half| u64::try_from(half).unwrap_or_default());
            high.wrapping_mul(OTHER).rotate_left(32) ^ low
        }
    }
}

/// The same for either order.
#[inline]
fn place(a: IpAddr, b: IpAddr) -> usize {
    let (a, b) = (narrow(a), narrow(b));
    let hash = (a ^ b).wrapping_mul(ODD) ^ a.wrapping_add(b).wrapping_mul(OTHER);
    usize::try_from(hash >> (64 - BITS)).unwrap_or_default()
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
            let mut sieve = PairSieve::default();
            let held = |sieve: &PairSieve| {
                assert_eq!(sieve.may_hold(a, b), sieve.may_hold(b, a));
                sieve.may_hold(a, b)
            };
            assert!(!held(&sieve));
            sieve.add(a, b);
            sieve.add(b, a);
            assert!(held(&sieve));
            sieve.remove(a, b);
            assert!(held(&sieve), "noted twice");
            sieve.remove(a, b);
            assert!(!held(&sieve));
        }
    }

    #[test]
    fn neighbours_are_told_apart() {
        let mut sieve = PairSieve::default();
        let gateway: IpAddr = "198.51.100.1".parse().unwrap();
        let client = |n: u32| IpAddr::from((0x0a00_0000 + n).to_be_bytes());
        (0..1000).for_each(|n| sieve.add(client(2 * n), gateway));
        let odd = (0..1000).filter(|n| sieve.may_hold(client(2 * n + 1), gateway));
        assert!(odd.count() < 20);
    }

    #[test]
    fn a_full_counter_stays_full() {
        let mut sieve = PairSieve::default();
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        (0..300).for_each(|_| sieve.add(a, b));
        (0..300).for_each(|_| sieve.remove(a, b));
        assert!(sieve.may_hold(a, b));
    }
}
