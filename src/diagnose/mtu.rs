//! The arithmetic of path MTU: what ESP adds, and what then fits.
//!
//! RFC 4303 §2: SPI and sequence number, IV, payload with padding, pad length and next header,
//! ICV. The algorithms of an ESP SA are negotiated encrypted; those that fit every length seen
//! are taken, the IKE SA's own first, because most configurations use the same for both. Where
//! several fit, those of a block cipher, which add more: a tunnel set too small works, one set too
//! large does not.

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

/// What ESP uses in the field: IV, block, ICV. AES-CBC with SHA-2-256, SHA-1 or MD5, SHA-2-384,
/// SHA-2-512; 3DES with SHA-2-256, SHA-1 or MD5; AES-GCM and ChaCha20-Poly1305. What fits fewer
/// lengths stands first; of SHA-2-256 and SHA-2-512, which no length tells apart, the usual one.
const USUAL: &[(u32, u32, u32)] = &[
    (16, 16, 16),
    (16, 16, 12),
    (16, 16, 24),
    (16, 16, 32),
    (8, 8, 16),
    (8, 8, 12),
    (8, 4, 16),
];

/// So many different lengths that all fit a block of 16 do not do so by chance.
const TELLING: usize = 4;

/// The least that may be called an MTU: every host takes datagrams of so many octets (RFC 791
/// §3.1, RFC 1122 §3.3.2). What loses shorter ones looks at something else than their size.
pub const LEAST: u32 = 576;

/// The most often met path MTUs, descending.
const MTUS: &[u32] = &[
    1500, 1492, 1480, 1460, 1454, 1440, 1420, 1400, 1380, 1350, 1300, 1280, 1200, 1100, 1000, LEAST,
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
        let mut lengths: Vec<u32> = flow.head.iter().map(|(_, len)| *len).collect();
        lengths.sort_unstable();
        lengths.dedup();
        // A stream cipher fits whatever a block cipher makes.
        let blocks = USUAL.iter().copied().filter(|(_, block, _)| *block == 16);
        let blocky = blocks.into_iter().find(|sizes| fits(*sizes));
        let same = match (same, blocky) {
            (Some((_, 4, _)), Some(other)) if lengths.len() >= TELLING => Some(other),
            (same, _) => same,
        };
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
        .unwrap_or(LEAST)
        .max(passes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use crate::track::session::{Side, Stamp};

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

    /// What ESP makes of an inner datagram, written from RFC 4303 §2 alone.
    fn outer(o: &Overhead, inner: u32) -> u32 {
        let mut sealed = inner + 2;
        while !sealed.is_multiple_of(o.block) {
            sealed += 1;
        }
        o.ip + o.udp + 4 + 4 + o.iv + sealed + o.icv
    }

    #[test]
    fn the_inner_size_is_the_largest_that_fits() {
        let suites = [
            ("AES-CBC, SHA-1-96", 16, 16, 12, 1438, 1422),
            ("AES-CBC, SHA-2-256-128", 16, 16, 16, 1438, 1422),
            ("AES-CBC, SHA-2-384-192", 16, 16, 24, 1422, 1422),
            ("AES-CBC, SHA-2-512-256", 16, 16, 32, 1422, 1406),
            ("3DES, SHA-1-96", 8, 8, 12, 1446, 1438),
            ("AES-GCM-16, ChaCha20-Poly1305", 8, 4, 16, 1446, 1438),
            ("AES-GCM-8", 8, 4, 8, 1454, 1446),
            ("AES-CTR, SHA-1-96", 8, 4, 12, 1450, 1442),
        ];
        for (name, iv, block, icv, plain, in_udp) in suites {
            for (ip, udp) in [(20, 0), (20, 8), (40, 0), (40, 8)] {
                let one = Overhead {
                    ip,
                    udp,
                    iv,
                    block,
                    icv,
                };
                for mtu in [576, 1280, 1400, 1492, 1500, 9000] {
                    let inner = one.inner(mtu);
                    assert!(outer(&one, inner) <= mtu, "{name} {ip} {udp} {mtu}");
                    assert!(outer(&one, inner + 1) > mtu, "{name} {ip} {udp} {mtu}");
                    assert_eq!(one.mss(mtu), inner - 40);
                }
                let known = match (ip, udp) {
                    (20, 0) => plain,
                    (20, 8) => in_udp,
                    _ => continue,
                };
                assert_eq!(one.inner(1500), known, "{name} {udp}");
            }
        }
    }

    fn flow(over: Over, lengths: &[u32]) -> EspFlow {
        let at = |frame| Stamp::new(0, frame, Timestamp(0));
        let from = "192.0.2.1".parse().unwrap();
        let to = "198.51.100.1".parse().unwrap();
        let addresses = crate::decap::Flow {
            source: (from, 0),
            destination: (to, 0),
        };
        let mut flow = EspFlow::new(1, Side::Client, over, addresses, at(1), 1);
        flow.head = lengths.iter().map(|len| (at(1), *len)).collect();
        flow
    }

    #[test]
    fn block_ciphers_show_in_the_lengths() {
        // 8 + 16 + n·16 + 16: AES-CBC with SHA-2-256, although IKE itself may use AES-GCM.
        let cbc = Overhead::of(&flow(Over::Ip, &[136, 152, 168, 1448]), None).unwrap();
        assert_eq!((cbc.iv, cbc.block, cbc.icv), (16, 16, 16));
        assert_eq!(cbc.udp, 0);
        // 8 + 8 + n·4 + 16.
        let gcm = Overhead::of(&flow(Over::Udp, &[120, 124, 132, 1436]), None).unwrap();
        assert_eq!((gcm.iv, gcm.block, gcm.icv, gcm.udp), (8, 4, 16, 8));
        // Nothing fits 17 octets.
        assert_eq!(Overhead::of(&flow(Over::Ip, &[17]), None), None);
    }

    #[test]
    fn tries_the_next_usual_mtu() {
        assert_eq!(to_try(164, 1300), 1280);
        assert_eq!(to_try(1290, 1300), 1290);
        assert_eq!(to_try(0, 500), 576);
    }
}
