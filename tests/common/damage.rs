//! Ways in which a capture suffers, with fixed seeds: what a span port, a short snaplen, a
//! late start and an anonymiser do to frames.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "test code"
)]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use vpnscope::decap::decap;
use vpnscope::source::{Format, Frame, FrameSource, LinkType, Statistics, file};
use vpnscope::time::Timestamp;

/// A frame of our own.
#[derive(Debug, Clone)]
pub struct Owned {
    pub no: u64,
    pub time: Timestamp,
    pub link: LinkType,
    pub octets: Vec<u8>,
    pub wire_len: u32,
    pub interface: u32,
}

impl Owned {
    pub fn frame(&self) -> Frame<'_> {
        Frame {
            capture: 0,
            no: self.no,
            time: self.time,
            link: self.link,
            octets: &self.octets,
            wire_len: self.wire_len,
            interface: self.interface,
        }
    }
}

/// All frames of a capture.
pub fn load(path: &Path) -> (Vec<Owned>, Statistics) {
    let mut source = file::open(path, 0).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = source.next_frame() {
        frames.push(Owned {
            no: frame.no,
            time: frame.time,
            link: frame.link,
            octets: frame.octets.to_vec(),
            wire_len: frame.wire_len,
            interface: frame.interface,
        });
    }
    let statistics = source.statistics().clone();
    (frames, statistics)
}

/// What such frames would tell of themselves as a file.
pub fn statistics(frames: &[Owned], dropped: Option<u64>) -> Statistics {
    let mut statistics = Statistics::new("damaged", Format::Pcap);
    statistics.frames = frames.len() as u64;
    statistics.first = frames.first().map(|f| f.time);
    statistics.last = frames.iter().map(|f| f.time).max();
    statistics.dropped = dropped;
    statistics.truncated_frames = frames
        .iter()
        .filter(|f| (f.octets.len() as u32) < f.wire_len)
        .count() as u64;
    statistics
}

/// A reproducible source of numbers (splitmix64).
#[derive(Debug, Clone, Copy)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn numbered(mut frames: Vec<Owned>) -> Vec<Owned> {
    for (no, frame) in (1..).zip(&mut frames) {
        frame.no = no;
    }
    frames
}

/// Without the frames that `ip` sent.
pub fn without_source(frames: &[Owned], ips: &[IpAddr]) -> Vec<Owned> {
    numbered(
        frames
            .iter()
            .filter(|f| !ips.contains(&decap(&f.frame()).envelope.source))
            .cloned()
            .collect(),
    )
}

/// The second half only.
pub fn second_half(frames: &[Owned]) -> Vec<Owned> {
    numbered(frames[frames.len() / 2..].to_vec())
}

/// The first half only.
pub fn first_half(frames: &[Owned]) -> Vec<Owned> {
    numbered(frames[..frames.len().div_ceil(2)].to_vec())
}

/// Every frame again a few microseconds later with its TTL one lower.
pub fn doubled(frames: &[Owned]) -> Vec<Owned> {
    let mut all = Vec::new();
    for frame in frames {
        let mut copy = frame.clone();
        copy.time.0 += 3_000;
        if let Some(at) = ip_offset(&copy) {
            lower_ttl(&mut copy.octets[at..]);
        }
        all.push(frame.clone());
        all.push(copy);
    }
    numbered(all)
}

/// Cut to `snaplen` octets.
pub fn snapped(frames: &[Owned], snaplen: usize) -> Vec<Owned> {
    let mut frames = frames.to_vec();
    for frame in &mut frames {
        frame.octets.truncate(snaplen);
    }
    frames
}

/// Without `percent` of the frames.
pub fn dropped(frames: &[Owned], percent: u64, seed: u64) -> Vec<Owned> {
    let mut dice = Dice(seed);
    numbered(
        frames
            .iter()
            .filter(|_| dice.next() % 100 >= percent)
            .cloned()
            .collect(),
    )
}

/// Every time changed by up to `micros` microseconds, the order in the file kept or renewed.
pub fn jittered(frames: &[Owned], micros: i64, sorted: bool, seed: u64) -> Vec<Owned> {
    let mut dice = Dice(seed);
    let mut frames = frames.to_vec();
    for frame in &mut frames {
        let by = (dice.next() % (2 * micros as u64 + 1)) as i64 - micros;
        frame.time.0 += by * 1_000;
    }
    if sorted {
        frames.sort_by_key(|f| f.time);
        frames = numbered(frames);
    }
    frames
}

/// Every IPv4 address replaced by another one; gives the frames and what became of each.
pub fn rewritten(frames: &[Owned], fix_sums: bool) -> (Vec<Owned>, BTreeMap<IpAddr, IpAddr>) {
    let mut names = BTreeMap::new();
    let mut frames = frames.to_vec();
    for frame in &mut frames {
        let Some(at) = ip_offset(frame) else { continue };
        let ip = &mut frame.octets[at..];
        if ip.len() < 20 || ip[0] >> 4 != 4 {
            continue;
        }
        for field in [12, 16] {
            let old: [u8; 4] = ip[field..field + 4].try_into().unwrap();
            if old[0] >= 224 || old == [0; 4] {
                continue;
            }
            let next = names.len() as u8 + 1;
            let new = *names
                .entry(IpAddr::from(old))
                .or_insert_with(|| IpAddr::V4(Ipv4Addr::new(198, 18, old[1], next)));
            let IpAddr::V4(new) = new else { continue };
            ip[field..field + 4].copy_from_slice(&new.octets());
            if fix_sums {
                fix_transport(ip, old, new.octets());
            }
        }
        if fix_sums {
            header_sum(ip);
        }
    }
    (frames, names)
}

fn ip_offset(frame: &Owned) -> Option<usize> {
    let octets = &frame.octets;
    let at = match frame.link.0 {
        1 => {
            let mut at = 12;
            while matches!(octets.get(at..at + 2)?, [0x81, 0] | [0x88, 0xa8]) {
                at += 4;
            }
            match octets.get(at..at + 2)? {
                [0x08, 0x00] | [0x86, 0xdd] => at + 2,
                _ => return None,
            }
        }
        113 => 16,
        276 => 20,
        101 | 228 | 229 => 0,
        0 | 108 => 4,
        _ => return None,
    };
    (octets.len() >= at + 20).then_some(at)
}

fn lower_ttl(ip: &mut [u8]) {
    if ip[0] >> 4 == 6 {
        ip[7] = ip[7].saturating_sub(1);
    } else {
        ip[8] = ip[8].saturating_sub(1);
        header_sum(ip);
    }
}

fn header_sum(ip: &mut [u8]) {
    let len = usize::from(ip[0] & 15) * 4;
    if ip.len() < len || len < 20 {
        return;
    }
    ip[10] = 0;
    ip[11] = 0;
    let sum: u32 = ip[..len]
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = fold(sum);
    ip[10..12].copy_from_slice(&(!folded).to_be_bytes());
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn fix_transport(ip: &mut [u8], old: [u8; 4], new: [u8; 4]) {
    let header = usize::from(ip[0] & 15) * 4;
    let first = ip[6] & 0x1f == 0 && ip[7] == 0;
    let at = header
        + match ip[9] {
            6 => 16,
            17 => 6,
            _ => return,
        };
    if !first || ip.len() < at + 2 || ip[9] == 17 && ip[at..at + 2] == [0, 0] {
        return;
    }
    // RFC 1624: HC' = ~(~HC + ~m + m').
    let word = |pair: &[u8]| u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    let mut sum = !word(&ip[at..at + 2]) & 0xffff;
    for (o, n) in old.chunks(2).zip(new.chunks(2)) {
        sum += (!word(o) & 0xffff) + word(n);
    }
    let sum = !fold(sum);
    ip[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}
