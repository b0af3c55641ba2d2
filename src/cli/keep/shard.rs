//! Frames spread over shards by the addresses of their conversation.

use std::net::IpAddr;
use std::str::FromStr;

use crate::decap::Flow;

/// One share of all address pairs. The same for every file, run and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Shard {
    number: u64,
    of: u64,
}

impl FromStr for Shard {
    type Err = String;

    /// `i/n`, counted from 1 to n or from 0 to n - 1: 0/n and n/n are the same.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let number = |text: &str| text.parse::<u64>().ok();
        match parts.and_then(|(i, n)| Some((number(i)?, number(n)?))) {
            Some((i, n)) if n > 0 && i <= n => Ok(Self {
                number: i % n,
                of: n,
            }),
            _ => Err("not i/n with i from 1 to n".into()),
        }
    }
}

impl Shard {
    /// Whether a conversation belongs to this shard.
    pub(in crate::cli) fn takes(self, flow: &Flow) -> bool {
        let (a, b) = (flow.source.0, flow.destination.0);
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        let mixed = mix(mix(0xcbf2_9ce4_8422_2325, low), high);
        // The low bits of FNV depend on the low bits of its input alone: mix the high ones in.
        let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let mixed = mixed ^ (mixed >> 33);
        mixed % self.of == self.number
    }
}

/// FNV-1a, which is written down and will not change.
fn mix(state: u64, ip: IpAddr) -> u64 {
    let octets = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    octets.iter().fold(state, |state, octet| {
        (state ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(a: u8, b: u8) -> Flow {
        Flow {
            source: (IpAddr::from([10, 0, 0, a]), 500),
            destination: (IpAddr::from([203, 0, 113, b]), 4500),
        }
    }

    #[test]
    fn every_pair_is_in_exactly_one_shard_whatever_its_direction_and_ports() {
        let shards: Vec<Shard> = (1..=5).map(|i| format!("{i}/5").parse().unwrap()).collect();
        let mut sizes = [0; 5];
        for a in 0..40 {
            for b in 0..40 {
                let taking = |flow: &Flow| -> Vec<usize> {
                    (0..5).filter(|i| shards[*i].takes(flow)).collect()
                };
                let mut back = flow(a, b).reversed();
                back.source.1 = 9;
                let taken = taking(&flow(a, b));
                assert_eq!(taken.len(), 1);
                assert_eq!(taken, taking(&back));
                sizes[taken[0]] += 1;
            }
        }
        assert!(
            sizes.iter().all(|size| (250..400).contains(size)),
            "{sizes:?}"
        );
    }

    #[test]
    fn the_share_of_a_pair_never_changes() {
        let share = |flow: &Flow| {
            let is_taken = |i: &u64| {
                Shard {
                    number: *i,
                    of: 1000,
                }
                .takes(flow)
            };
            (0..1000).find(is_taken).unwrap()
        };
        assert_eq!([share(&flow(1, 1)), share(&flow(2, 7))], [735, 234]);
    }

    #[test]
    fn counts_from_nought_or_one() {
        assert_eq!("0/4".parse::<Shard>(), "4/4".parse::<Shard>());
        for bad in ["", "1", "5/4", "1/0", "-1/4", "a/b"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }
}
