//! The client's private address, tried out.
//!
//! `NAT_DETECTION_SOURCE_IP` is the SHA-1 of both SPIs, the address and the port of the sender
//! (RFC 7296 §2.23), IKEv1's NAT-D payload the negotiated hash of the same (RFC 3947 §3.2).
//! Behind a NAT the address is one of RFC 1918 or of 100.64.0.0/10
//! (RFC 6598): 22 million, which are tried for a few ports.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use md5::Md5;
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384, Sha512};

use super::Ike2;
use super::nat::{Fit, Nat};
use crate::track::session::{Detail, Session, Side};

/// Networks that are tried, the smallest first: first address and prefix length.
const NETWORKS: [(u32, u32); 4] = [
    (0xc0a8_0000, 16),
    (0xac10_0000, 12),
    (0x6440_0000, 10),
    (0x0a00_0000, 8),
];

/// Tries, with a budget for all sessions together.
#[derive(Debug)]
pub struct Solver {
    budget: u64,
    known: BTreeMap<Question, Option<(Ipv4Addr, u16)>>,
}

/// What is asked: both SPIs or cookies, and the first of the hashes.
type Question = (u64, u64, Vec<u8>);

impl Default for Solver {
    fn default() -> Self {
        Self {
            budget: Self::BUDGET,
            known: BTreeMap::new(),
        }
    }
}

impl Solver {
    /// Hashes for one run of the program.
    pub const BUDGET: u64 = 1_000_000_000;
    /// Answers that are remembered.
    const KEPT: usize = 100_000;

    /// Finds what the client hashed, if it is behind a NAT.
    pub fn solve(&mut self, session: &mut Session) {
        let observed = session.client.port;
        match &mut session.detail {
            Detail::Ike2(facts) => {
                if !is_translated(&facts.nat) {
                    return;
                }
                let Some((initiator, hash)) = request(facts) else {
                    return;
                };
                let question = (initiator, 0, hash);
                facts.nat.private = self.ask::<Sha1>(question, &[], observed);
            }
            Detail::Ike1(facts) => {
                if facts.initiator != Side::Client || !is_translated(&facts.nat) {
                    return;
                }
                let sources: Vec<Vec<u8>> = facts.nat.request.sources().take(4).collect();
                let Some((first, others)) = sources.split_first() else {
                    return;
                };
                let question = (
                    facts.initiator_cookie,
                    facts.responder_cookie,
                    first.clone(),
                );
                // As long as the hash that was agreed on (RFC 3947 §3.2).
                facts.nat.private = match first.len() {
                    16 => self.ask::<Md5>(question, others, observed),
                    20 => self.ask::<Sha1>(question, others, observed),
                    32 => self.ask::<Sha256>(question, others, observed),
                    48 => self.ask::<Sha384>(question, others, observed),
                    64 => self.ask::<Sha512>(question, others, observed),
                    _ => None,
                };
            }
            _ => {}
        }
    }

    fn ask<D: Digest>(
        &mut self,
        question: Question,
        others: &[Vec<u8>],
        observed: u16,
    ) -> Option<(IpAddr, u16)> {
        let found = match self.known.get(&question) {
            Some(known) => *known,
            None => {
                let found = self.search::<D>(&question, others, observed);
                if self.known.len() < Self::KEPT {
                    self.known.insert(question, found);
                }
                found
            }
        };
        found.map(|(ip, port)| (IpAddr::V4(ip), port))
    }

    fn search<D: Digest>(
        &mut self,
        (initiator, responder, hash): &Question,
        others: &[Vec<u8>],
        observed: u16,
    ) -> Option<(Ipv4Addr, u16)> {
        let mut ports = vec![500, 4500];
        if !ports.contains(&observed) {
            ports.push(observed);
        }
        let mut octets = [0u8; 22];
        if let Some(part) = octets.get_mut(..8) {
            part.copy_from_slice(&initiator.to_be_bytes());
        }
        if let Some(part) = octets.get_mut(8..16) {
            part.copy_from_slice(&responder.to_be_bytes());
        }
        ports.into_iter().find_map(|port| {
            if let Some(part) = octets.get_mut(20..) {
                part.copy_from_slice(&port.to_be_bytes());
            }
            let ip = NETWORKS
                .iter()
                .find_map(|network| self.network::<D>(*network, &mut octets, (hash, others)))?;
            Some((ip, port))
        })
    }

    fn network<D: Digest>(
        &mut self,
        (first, prefix): (u32, u32),
        octets: &mut [u8; 22],
        (hash, others): (&[u8], &[Vec<u8>]),
    ) -> Option<Ipv4Addr> {
        let last = first | (u32::MAX >> prefix);
        for address in first..=last {
            self.budget = self.budget.checked_sub(1)?;
            if let Some(part) = octets.get_mut(16..20) {
                part.copy_from_slice(&address.to_be_bytes());
            }
            let digest = D::digest(&octets[..]);
            if digest.as_slice() == hash || others.iter().any(|h| h == digest.as_slice()) {
                return Some(Ipv4Addr::from(address));
            }
        }
        None
    }
}

/// Whether the client's address was translated on the way; a host that forces encapsulation
/// hashes nonsense on purpose.
fn is_translated(nat: &Nat) -> bool {
    nat.request.source() == Fit::Differs && !nat.forced(Side::Client)
}

/// Initiator SPI and hash of the first request.
fn request(facts: &Ike2) -> Option<(u64, Vec<u8>)> {
    const NAT_DETECTION_SOURCE_IP: u16 = 16388;
    let sa = facts
        .sas
        .first()
        .filter(|sa| sa.initiator == Side::Client)?;
    let message = facts.init_rounds().find_map(|e| e.request.as_ref())?;
    let notify = message.notify(NAT_DETECTION_SOURCE_IP)?;
    (notify.data.len() == 20).then(|| (sa.initiator_spi, notify.data.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::super::nat::hash;
    use super::*;

    fn solver(budget: u64) -> Solver {
        Solver {
            budget,
            known: BTreeMap::new(),
        }
    }

    #[test]
    fn a_private_address_is_found_and_a_public_one_is_not() {
        let mut solver = solver(200_000);
        let home = IpAddr::V4(Ipv4Addr::new(192, 168, 178, 23));
        let digest = hash(0x1122_3344_5566_7788, 0, home, 500).to_vec();
        let question = (0x1122_3344_5566_7788, 0, digest);
        assert_eq!(
            solver.search::<Sha1>(&question, &[], 1024),
            Some((Ipv4Addr::new(192, 168, 178, 23), 500))
        );
        let public = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5));
        let question = (7, 0, hash(7, 0, public, 500).to_vec());
        assert_eq!(
            solver.search::<Sha1>(&question, &[], 500),
            None,
            "and the budget ends it"
        );
        assert_eq!(solver.budget, 0);
    }

    #[test]
    fn an_answer_is_remembered_and_costs_nothing_again() {
        let mut solver = solver(100_000);
        let home = IpAddr::V4(Ipv4Addr::new(192, 168, 0, 9));
        let digest = hash(1, 0, home, 500).to_vec();
        let first = solver.ask::<Sha1>((1, 0, digest.clone()), &[], 500);
        let left = solver.budget;
        assert_eq!(first, Some((home, 500)));
        assert!(left < 100_000);
        assert_eq!(solver.ask::<Sha1>((1, 0, digest), &[], 500), first);
        assert_eq!(solver.budget, left);
        // What was not found is not tried again either.
        let mut tired = self::solver(10);
        assert_eq!(tired.ask::<Sha1>((2, 0, vec![0; 20]), &[], 500), None);
        tired.budget = 5;
        assert_eq!(tired.ask::<Sha1>((2, 0, vec![0; 20]), &[], 500), None);
        assert_eq!(tired.budget, 5);
    }

    #[test]
    fn ikev1_hashes_with_what_was_agreed_on_and_any_of_several_addresses_fits() {
        let mut solver = solver(70_000);
        let octets = [
            &0x2293_8459_508b_b3d1u64.to_be_bytes()[..],
            &0x4752_3052_98ba_54c8u64.to_be_bytes()[..],
            &[192, 168, 7, 7, 0x01, 0xf4],
        ]
        .concat();
        let right = Sha256::digest(&octets).to_vec();
        let question = (0x2293_8459_508b_b3d1, 0x4752_3052_98ba_54c8, vec![9; 32]);
        assert_eq!(
            solver.search::<Sha256>(&question, &[right], 4500),
            Some((Ipv4Addr::new(192, 168, 7, 7), 500))
        );
    }
}
