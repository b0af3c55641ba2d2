//! The arithmetic of path MTU: what ESP adds, and what then fits.
//!
//! RFC 4303 §2: SPI and sequence number, IV, payload with padding, pad length and next header,
//! ICV. The algorithms of an ESP SA are negotiated encrypted; those that fit every length seen
//! are taken, the IKE SA's own first, because most configurations use the same for both.

use crate::track::esp::{EspFlow, Over};
use crate::track::ike2::Suite;

/// What one ESP flow adds to a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overhead {
    /// Outer IP header: 20 or 40.
    pub ip: u32,
    /// UDP header around ESP: 8 or 0.
    pub udp: u32,
    /// Initialisation vector.
    pub iv: u32,
    /// The encrypted part is a multiple of this.
    pub block: u32,
    /// Integrity check value.
    pub icv: u32,
}

/// SPI and sequence number.
const HEADER: u32 = 8;
/// Pad length and next header.
const TRAILER: u32 = 2;

/// What ESP uses in the field: IV, block, ICV. AES-GCM and ChaCha20-Poly1305; AES-CBC with
/// SHA-2-256, SHA-1 or MD5, SHA-2-384, SHA-2-512; 3DES with the same.
const USUAL: &[(u32, u32, u32)] = &[
    (8, 4, 16),
    (16, 16, 16),
    (16, 16, 12),
    (16, 16, 24),
    (16, 16, 32),
    (8, 8, 12),
    (8, 8, 16),
];

/// The most often met path MTUs, descending.
const MTUS: &[u32] = &[
    1500, 1492, 1480, 1460, 1454, 1440, 1420, 1400, 1380, 1350, 1300, 1280, 1200, 1100, 1000, 576,
];

impl Overhead {
    /// What `flow` adds, where an algorithm fits all its lengths.
    pub fn of(flow: &EspFlow, suite: Option<Suite>) -> Option<Self> {
        let fits = |(iv, block, icv): (u32, u32, u32)| {
            flow.head.iter().all(|(_, len)| {
                len.checked_sub(HEADER + iv + icv)
                    .is_some_and(|sealed| sealed > 0 && sealed % block == 0)
            })
        };
        let same = suite.and_then(as_in_ike).filter(|sizes| fits(*sizes));
        let (iv, block, icv) = same.or_else(|| USUAL.iter().copied().find(|s| fits(*s)))?;
        Some(Self {
            ip: if flow.flow.source.0.is_ipv6() { 40 } else { 20 },
            udp: if flow.over == Over::Udp { 8 } else { 0 },
            iv,
            block,
            icv,
        })
    }

    /// Octets around the encrypted part.
    fn around(&self) -> u32 {
        self.ip + self.udp + HEADER + self.iv + self.icv
    }

    /// The largest inner datagram of a tunnel that fits into `mtu`.
    pub fn inner(&self, mtu: u32) -> u32 {
        let sealed = mtu.saturating_sub(self.around()) / self.block * self.block;
        sealed.saturating_sub(TRAILER)
    }

    /// The TCP MSS inside the tunnel for `mtu`, over IPv4.
    pub fn mss(&self, mtu: u32) -> u32 {
        self.inner(mtu).saturating_sub(40)
    }

    /// What it consists of, in words.
    pub fn words(&self) -> String {
        let udp = if self.udp > 0 { ", UDP 8" } else { "" };
        format!(
            "outer IP {}{udp}, SPI and sequence number 8, IV {}, trailer 2 and padding to {}, ICV {}",
            self.ip, self.iv, self.block, self.icv
        )
    }
}

fn as_in_ike(suite: Suite) -> Option<(u32, u32, u32)> {
    let narrow = |len: usize| u32::try_from(len).ok();
    let encryption = suite.encryption;
    let icv = match suite.integrity {
        Some(integrity) => integrity.icv_len(),
        None => encryption.icv_len(),
    };
    Some((
        narrow(encryption.iv_len()?)?,
        narrow(encryption.block_len()?)?.max(4),
        narrow(icv?)?,
    ))
}

/// A path MTU to try where datagrams of `fails` octets vanish and those of `passes` arrive.
pub fn to_try(passes: u32, fails: u32) -> u32 {
    MTUS.iter()
        .copied()
        .find(|mtu| *mtu < fails)
        .unwrap_or(576)
        .max(passes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_sizes_follow_from_the_outer_ones() {
        // AES-CBC with SHA-2-256 in UDP over IPv4: 20 + 8 + 8 + 16 + n·16 + 16.
        let cbc = Overhead {
            ip: 20,
            udp: 8,
            iv: 16,
            block: 16,
            icv: 16,
        };
        assert_eq!(cbc.inner(1500), 1422);
        assert_eq!(cbc.mss(1500), 1382);
        assert_eq!(cbc.inner(68), 0);
        // AES-GCM as protocol 50 over IPv6: 40 + 8 + 8 + n·4 + 16.
        let gcm = Overhead {
            ip: 40,
            udp: 0,
            iv: 8,
            block: 4,
            icv: 16,
        };
        assert_eq!(gcm.inner(1280), 1206);
    }

    #[test]
    fn tries_the_next_usual_mtu() {
        assert_eq!(to_try(164, 1300), 1280);
        assert_eq!(to_try(1290, 1300), 1290);
        assert_eq!(to_try(0, 500), 576);
    }
}
