//! Traffic for the benches: classic pcap in memory, made from a fixed seed and from labelled
//! captures, so that every run measures the same octets.

use std::path::Path;

use vpnscope::source::{FrameSource, file};

/// A mix of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// ESP of a thousand SAs, most of it in UDP.
    Esp,
    /// IKEv2 set-ups of many clients, some of which fail.
    Handshakes,
    /// Nine frames of ten are not ours.
    Span,
    /// Short frames of many flows.
    Small,
}

impl Mix {
    /// All mixes.
    pub const ALL: [Self; 4] = [Self::Esp, Self::Handshakes, Self::Span, Self::Small];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Esp => "esp-bulk",
            Self::Handshakes => "handshakes",
            Self::Span => "mixed-span",
            Self::Small => "small-64B",
        }
    }
}

/// A small generator of numbers (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A pcap file of about `frames` frames.
pub fn pcap(mix: Mix, frames: usize) -> Vec<u8> {
    let mut out = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&65_535u32.to_le_bytes());
    out.extend_from_slice(&1u32.to_le_bytes());
    let mut numbers = Numbers(1);
    let mut clock = 1_700_000_000_000_000u64;
    let recorded = if mix == Mix::Handshakes {
        recordings()
    } else {
        Vec::new()
    };
    let mut sequences = vec![0u32; 1000];
    let mut written = 0;
    while written < frames {
        if mix == Mix::Handshakes {
            let script = &recorded[(numbers.below(recorded.len() as u64)) as usize];
            let client = numbers.next();
            for frame in script {
                clock += 20;
                record(&mut out, clock, &renumbered(frame, client));
                written += 1;
            }
            continue;
        }
        clock += 1 + numbers.below(20);
        let frame = match mix {
            Mix::Esp => esp(&mut numbers, &mut sequences),
            Mix::Span if numbers.below(10) == 0 => esp(&mut numbers, &mut sequences),
            Mix::Span => background(&mut numbers, 1400),
            _ => background(&mut numbers, 6),
        };
        record(&mut out, clock, &frame);
        written += 1;
    }
    out
}

fn record(out: &mut Vec<u8>, clock: u64, frame: &[u8]) {
    out.extend_from_slice(&((clock / 1_000_000) as u32).to_le_bytes());
    out.extend_from_slice(&((clock % 1_000_000) as u32).to_le_bytes());
    let len = (frame.len() as u32).to_le_bytes();
    out.extend_from_slice(&len);
    out.extend_from_slice(&len);
    out.extend_from_slice(frame);
}

fn ipv4(protocol: u8, source: u32, destination: u32, payload: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    frame.extend_from_slice(&((20 + payload) as u16).to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0x40, 0, 63, protocol, 0, 0]);
    frame.extend_from_slice(&source.to_be_bytes());
    frame.extend_from_slice(&destination.to_be_bytes());
    frame
}

fn udp(frame: &mut Vec<u8>, source: u16, destination: u16, len: usize) {
    frame.extend_from_slice(&source.to_be_bytes());
    frame.extend_from_slice(&destination.to_be_bytes());
    frame.extend_from_slice(&((len + 8) as u16).to_be_bytes());
    frame.extend_from_slice(&[0, 0]);
}

fn esp(numbers: &mut Numbers, sequences: &mut [u32]) -> Vec<u8> {
    let sa = numbers.below(1000) as usize;
    sequences[sa] += 1;
    let len = [72usize, 96, 600, 1420][numbers.below(4) as usize];
    let (client, gateway) = (0x0a00_0000 + sa as u32 / 2, 0xcb00_7101);
    let ends = if sa.is_multiple_of(2) {
        (client, gateway)
    } else {
        (gateway, client)
    };
    let in_udp = sa % 10 < 7;
    let outer = if in_udp { (17, len + 8) } else { (50, len) };
    let mut frame = ipv4(outer.0, ends.0, ends.1, outer.1);
    if in_udp {
        udp(&mut frame, 4500, 4500, len);
    }
    frame.extend_from_slice(&(0x1000_0000 + sa as u32).to_be_bytes());
    frame.extend_from_slice(&sequences[sa].to_be_bytes());
    frame.resize(frame.len() + len - 8, 0x5a);
    frame
}

/// TCP data and acknowledgments, media-like UDP.
fn background(numbers: &mut Numbers, most: u64) -> Vec<u8> {
    let flow = numbers.below(100_000) as u32;
    let len = numbers.below(most) as usize;
    let (source, destination) = (0xc0a8_0000 + flow % 60_000, 0x0808_0000 + flow / 3);
    let port = (20_000 + flow % 40_000) as u16;
    if numbers.below(3) == 0 {
        let mut frame = ipv4(17, source, destination, 8 + len);
        udp(&mut frame, port, 5004, len);
        frame.resize(frame.len() + len, 0x80);
        return frame;
    }
    let mut frame = ipv4(6, source, destination, 20 + len);
    frame.extend_from_slice(&port.to_be_bytes());
    frame.extend_from_slice(&443u16.to_be_bytes());
    frame.extend_from_slice(&numbers.next().to_be_bytes());
    frame.extend_from_slice(&[0x50, 0x10, 0x20, 0, 0, 0, 0, 0]);
    frame.resize(frame.len() + len, 23);
    frame
}

/// The frames of some labelled IKEv2 captures.
fn recordings() -> Vec<Vec<Vec<u8>>> {
    const NAMES: [&str; 6] = [
        "ikev2-psk-established",
        "ikev2-psk-mismatch",
        "ikev2-cert-untrusted",
        "ikev2-eap-mschapv2-established",
        "libreswan-ikev2-no-proposal-chosen",
        "ikev2-udp500-dropped",
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcaps");
    let frames = |name: &&str| {
        let mut source = file::open(&folder.join(name).join("client.pcap"), 0).expect("a capture");
        let mut frames = Vec::new();
        while let Some(frame) = source.next_frame() {
            if frame.octets.get(12..14) == Some(&[8, 0]) {
                frames.push(frame.octets.to_vec());
            }
        }
        frames
    };
    NAMES.iter().map(frames).collect()
}

/// The frame of another client: another address, other SPIs.
fn renumbered(frame: &[u8], client: u64) -> Vec<u8> {
    let mut frame = frame.to_vec();
    for at in [26, 30] {
        if frame.get(at..at + 4) == Some(&[10, 1, 0, 10]) {
            frame[at] = 100;
            frame[at + 1..at + 4].copy_from_slice(&client.to_be_bytes()[5..8]);
        }
    }
    let natt = frame.get(36..38) == Some(&[0x11, 0x94]) || frame.get(34..36) == Some(&[0x11, 0x94]);
    let at = if natt && frame.get(42..46) == Some(&[0; 4]) {
        46
    } else {
        42
    };
    if let Some(spi) = frame.get_mut(at..at + 8) {
        for (octet, new) in spi.iter_mut().zip(client.to_be_bytes()) {
            *octet ^= new;
        }
    }
    frame
}
