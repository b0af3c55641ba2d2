//! The client's private address, tried out.
//!
//! `NAT_DETECTION_SOURCE_IP` is the SHA-1 of both SPIs, the address and the port of the sender
//! (RFC 7296 §2.23). Behind a NAT the address is one of RFC 1918 or of 100.64.0.0/10
//! (RFC 6598): 22 million, which are tried for a few ports.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use sha1::{Digest, Sha1};

use super::Ike2;
use super::nat::Fit;
use crate::track::session::{Session, Side};

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
    known: BTreeMap<(u64, [u8; 20]), Option<(Ipv4Addr, u16)>>,
}

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
        let crate::track::session::Detail::Ike2(facts) = &mut session.detail else {
            return;
        };
        // A host that forces encapsulation hashes nonsense on purpose.
        if facts.nat.request_source != Fit::Differs || facts.nat.forced(Side::Client) {
            return;
        }
        let Some((initiator, hash)) = request(facts) else {
            return;
        };
        let found = match self.known.get(&(initiator, hash)) {
            Some(known) => *known,
            None => self.search(initiator, hash, observed),
        };
        facts.nat.private = found.map(|(ip, port)| (IpAddr::V4(ip), port));
    }

    fn search(&mut self, initiator: u64, hash: [u8; 20], observed: u16) -> Option<(Ipv4Addr, u16)> {
        let mut ports = vec![500, 4500];
        if !ports.contains(&observed) {
            ports.push(observed);
        }
        let mut octets = [0u8; 22];
        if let Some(part) = octets.get_mut(..8) {
            part.copy_from_slice(&initiator.to_be_bytes());
        }
        let found = ports.into_iter().find_map(|port| {
            if let Some(part) = octets.get_mut(20..) {
                part.copy_from_slice(&port.to_be_bytes());
            }
            let ip = NETWORKS
                .iter()
                .find_map(|network| self.network(*network, &mut octets, hash))?;
            Some((ip, port))
        });
        if self.known.len() < Self::KEPT {
            self.known.insert((initiator, hash), found);
        }
        found
    }

    fn network(
        &mut self,
        (first, prefix): (u32, u32),
        octets: &mut [u8; 22],
        hash: [u8; 20],
    ) -> Option<Ipv4Addr> {
        let last = first | (u32::MAX >> prefix);
        for address in first..=last {
            self.budget = self.budget.checked_sub(1)?;
            if let Some(part) = octets.get_mut(16..20) {
                part.copy_from_slice(&address.to_be_bytes());
            }
            let digest: [u8; 20] = Sha1::digest(&octets[..]).into();
            if digest == hash {
                return Some(Ipv4Addr::from(address));
            }
        }
        None
    }
}

/// Initiator SPI and hash of the first request.
fn request(facts: &Ike2) -> Option<(u64, [u8; 20])> {
    const NAT_DETECTION_SOURCE_IP: u16 = 16388;
    let sa = facts
        .sas
        .first()
        .filter(|sa| sa.initiator == Side::Client)?;
    let message = facts.init_rounds().find_map(|e| e.request.as_ref())?;
    let notify = message.notify(NAT_DETECTION_SOURCE_IP)?;
    Some((sa.initiator_spi, notify.data.as_slice().try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::nat::hash;
    use super::*;

    #[test]
    fn a_private_address_is_found_and_a_public_one_is_not() {
        let mut solver = Solver {
            budget: 200_000,
            known: BTreeMap::new(),
        };
        let home = IpAddr::V4(Ipv4Addr::new(192, 168, 178, 23));
        let digest = hash(0x1122_3344_5566_7788, 0, home, 500);
        assert_eq!(
            solver.search(0x1122_3344_5566_7788, digest, 1024),
            Some((Ipv4Addr::new(192, 168, 178, 23), 500))
        );
        let public = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5));
        let digest = hash(7, 0, public, 500);
        assert_eq!(
            solver.search(7, digest, 500),
            None,
            "and the budget ends it"
        );
        assert_eq!(solver.budget, 0);
    }
}
