//! Mutations with fixed seeds: the same faults in every run.

use std::io::Write as _;

use crate::common::run::Owned;

/// `SplitMix64`: small, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 where there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        if bound == 0 {
            return 0;
        }
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn pick(&mut self, values: &[u16]) -> u16 {
        values[self.below(values.len())]
    }
}

/// Values that length fields lie with.
const LIES: &[u16] = &[
    0, 1, 2, 3, 4, 5, 7, 8, 9, 0x0f, 0x10, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xfffe, 0xffff,
];

/// Octets with some of them changed, removed or repeated.
pub(crate) fn octets(octets: &[u8], random: &mut Random) -> Vec<u8> {
    let mut all = octets.to_vec();
    for _ in 0..=random.below(8) {
        one(&mut all, random);
    }
    all
}

fn one(all: &mut Vec<u8>, random: &mut Random) {
    let len = all.len();
    if len < 4 {
        all.push(random.next().to_le_bytes()[0]);
        return;
    }
    let at = random.below(len - 3);
    match random.below(8) {
        0..=2 => all[at] ^= 1 << random.below(8),
        3 => all[at] = random.next().to_le_bytes()[0],
        4 => all[at..at + 2].copy_from_slice(&random.pick(LIES).to_be_bytes()),
        5 => {
            let near = u16::from_be_bytes([all[at], all[at + 1]])
                .wrapping_add(random.pick(&[1, 2, 4, 8, 0xffff, 0xfffe, 0xfffc, 0xfff8]));
            all[at..at + 2].copy_from_slice(&near.to_be_bytes());
        }
        6 => {
            let wide = u32::from(random.pick(LIES)) << (8 * random.below(3));
            all[at..at + 4].copy_from_slice(&wide.to_be_bytes());
        }
        _ => {
            let end = at + random.below((len - at).min(64));
            if random.below(2) == 0 {
                all.drain(at..end);
            } else {
                let part = all[at..end].to_vec();
                all.splice(at..at, part);
            }
        }
    }
}

/// Frames, some of them changed in what they hold, spliced, swapped, repeated, lost or moved in
/// time.
pub(crate) fn frames(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let mut all = frames.to_vec();
    let faults = 1 + random.below(all.len() * 2);
    for _ in 0..faults {
        let at = random.below(all.len());
        let other = random.below(all.len());
        match random.below(12) {
            0..=5 => inside(&mut all[at], random),
            6 => splice(&mut all, at, other, random),
            7 => all.swap(at, other),
            8 => {
                let copy = all[at].clone();
                all.insert(other, copy);
            }
            9 if all.len() > 1 => {
                all.remove(at);
            }
            10 => {
                let leap = i64::try_from(random.next() >> (1 + random.below(63))).unwrap();
                let time = &mut all[at].time.0;
                *time = if random.below(2) == 0 {
                    time.saturating_add(leap)
                } else {
                    time.saturating_sub(leap)
                };
            }
            _ => {
                let len = random.below(all[at].octets.len() + 1);
                all[at].octets.truncate(len);
            }
        }
    }
    for frame in &mut all {
        frame.wire_len = frame
            .wire_len
            .max(u32::try_from(frame.octets.len()).unwrap());
    }
    all
}

/// Changes what lies behind the link header more often than the headers, so that the change
/// reaches a dissector.
fn inside(frame: &mut Owned, random: &mut Random) {
    let skip = if random.below(4) == 0 {
        0
    } else {
        42.min(frame.octets.len())
    };
    let mut tail = frame.octets.split_off(skip);
    one(&mut tail, random);
    frame.octets.extend(tail);
}

/// The head of one frame before the tail of another.
fn splice(all: &mut [Owned], at: usize, other: usize, random: &mut Random) {
    let cut = random.below(all[at].octets.len() + 1);
    let from = random.below(all[other].octets.len() + 1);
    let tail = all[other].octets[from..].to_vec();
    all[at].octets.truncate(cut);
    all[at].octets.extend(tail);
    // What no link carries need not be carried here.
    all[at].octets.truncate(70_000);
}

/// The octets as a gzip file.
pub(crate) fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(octets).unwrap();
    out.finish().unwrap()
}
