//! Traffic for the benches: classic pcap in memory, made from a fixed seed and from labelled
//! captures, so that every run measures the same octets.

use std::path::Path;

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

fn header() -> Vec<u8> {
    let mut out = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&65_535u32.to_le_bytes());
    out.extend_from_slice(&1u32.to_le_bytes());
    out
}

/// A pcap file of so many ESP packets, by lot of one of so many SAs.
pub fn tunnels(sas: usize, frames: usize) -> Vec<u8> {
    let (mut out, mut numbers) = (header(), Numbers(1));
    let mut sequences = vec![0u32; sas];
    for clock in (START..).take(frames) {
        let frame = esp(&mut numbers, &mut sequences);
        // Sizes of the frames shall not blur what the number of SAs costs.
        let cut = &frame[..frame.len().min(128)];
        record(&mut out, clock, cut);
    }
    out
}

/// A pcap file of about `frames` frames.
pub fn pcap(mix: Mix, frames: usize) -> Vec<u8> {
    let mut out = header();
    let mut numbers = Numbers(1);
    if mix == Mix::Handshakes {
        for (clock, frame) in handshakes(&mut numbers, frames) {
            record(&mut out, clock, &frame);
        }
        return out;
    }
    let mut clock = START;
    let mut sequences = vec![0u32; 1000];
    for _ in 0..frames {
        clock += 1 + numbers.below(20);
        let frame = match mix {
            Mix::Span if numbers.below(10) > 0 => background(&mut numbers, 1400),
            Mix::Small => small(&mut numbers),
            _ => esp(&mut numbers, &mut sequences),
        };
        record(&mut out, clock, &frame);
    }
    out
}

/// When it begins, microseconds since 1970.
const START: u64 = 1_700_000_000_000_000;

/// Recorded sessions as those of many clients, a new one each millisecond, in the order of time.
fn handshakes(numbers: &mut Numbers, frames: usize) -> Vec<(u64, Vec<u8>)> {
    let recorded = recordings();
    let mut all: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut begins = START;
    while all.len() < frames * 2 {
        let script = &recorded[numbers.below(recorded.len() as u64) as usize];
        let client = numbers.next();
        begins += 1000;
        for (after, frame) in script {
            all.push((begins + after, renumbered(frame, client)));
        }
    }
    all.sort_by_key(|(clock, _)| *clock);
    all.truncate(frames);
    all
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
    let sa = numbers.below(sequences.len() as u64) as usize;
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

/// 60 octets: one of many flows that begins, a keepalive, ESP too short to be any, a header of IKE
/// without its message, ARP.
fn small(numbers: &mut Numbers) -> Vec<u8> {
    let flow = numbers.below(1_000_000) as u32;
    let ends = (0xac10_0000 + flow % 1000, 0x0808_0000 + flow);
    let ports = ((1024 + flow % 60_000) as u16, 443u16);
    let mut frame = match numbers.below(20) {
        0..=7 => {
            let mut frame = ipv4(17, ends.0, ends.1, 26);
            udp(&mut frame, ports.0, 5004, 18);
            frame
        }
        8..=13 => {
            let mut frame = ipv4(6, ends.0, ends.1, 20);
            frame.extend_from_slice(&ports.0.to_be_bytes());
            frame.extend_from_slice(&ports.1.to_be_bytes());
            frame.extend_from_slice(&flow.to_be_bytes());
            frame.extend_from_slice(&[0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0]);
            frame
        }
        14 | 15 => {
            let mut frame = ipv4(17, ends.0, ends.1, 9);
            udp(&mut frame, 4500, 4500, 1);
            frame.push(0xff);
            frame
        }
        16 | 17 => {
            let mut frame = ipv4(50, ends.0, ends.1, 26);
            frame.extend_from_slice(&numbers.next().to_be_bytes());
            frame
        }
        18 => {
            let mut frame = ipv4(17, ends.0, ends.1, 26);
            udp(&mut frame, 500, 500, 18);
            frame.extend_from_slice(&numbers.next().to_be_bytes());
            frame
        }
        _ => vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6],
    };
    frame.resize(60, 0);
    frame
}

/// The frames of some labelled captures, with the microseconds since their first.
pub fn recordings() -> Vec<Vec<(u64, Vec<u8>)>> {
    const NAMES: [(&str, &str); 16] = [
        ("ikev2-psk-established", "client"),
        ("ikev2-psk-established", "gateway"),
        ("ikev2-psk-mismatch", "client"),
        ("ikev2-cert-untrusted", "client"),
        ("ikev2-eap-mschapv2-established", "client"),
        ("libreswan-ikev2-no-proposal-chosen", "client"),
        ("ikev2-udp500-dropped", "client"),
        ("ikev1-main-psk-established", "client"),
        ("ikev1-xauth-modeconfig-established", "client"),
        ("ikev1-phase1-proposal-mismatch", "client"),
        ("l2tp-mschapv2-established", "client"),
        ("l2tp-pap-auth-failed", "client"),
        ("oc-established-tls12", "client"),
        ("oc-cert-expired", "client"),
        ("tls12-mutual", "single"),
        ("dtls12-gnutls", "single"),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcaps");
    let read = |(name, file): &(&str, &str)| {
        let path = folder.join(name).join(format!("{file}.pcap"));
        frames(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    };
    NAMES.iter().map(read).collect()
}

/// IPv4 over Ethernet in a classic pcap of this machine's order.
fn frames(file: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let word = |octets: &[u8], at: usize| {
        u32::from_le_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
    };
    let unit = if file[..4] == [0x4d, 0x3c, 0xb2, 0xa1] {
        1000
    } else {
        1
    };
    let mut all = Vec::new();
    let mut rest = &file[24..];
    while rest.len() > 16 {
        let clock = u64::from(word(rest, 0)) * 1_000_000 + u64::from(word(rest, 4) / unit);
        let len = word(rest, 8) as usize;
        let Some(frame) = rest.get(16..16 + len) else {
            break;
        };
        if frame.get(12..14) == Some(&[8, 0]) && len >= 42 {
            all.push((clock, frame.to_vec()));
        }
        rest = &rest[16 + len..];
    }
    let first = all.first().map_or(0, |(clock, _)| *clock);
    for (clock, _) in &mut all {
        *clock = clock.saturating_sub(first);
    }
    all
}

/// The frame of another client: another address and, where it is IKE, other SPIs. The client is
/// whoever has the lower port 500, 4500 or 1701 on the other side, or the higher port.
fn renumbered(frame: &[u8], client: u64) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let ports = (port(34), port(36));
    let is_client = |at: usize| frame[at..at + 2] == [10, 1] || frame[at..at + 3] == [10, 0, 0];
    let at = match (is_client(26), is_client(30)) {
        (true, false) => 26,
        (false, true) => 30,
        _ if ports.0 >= ports.1 => 26,
        _ => 30,
    };
    frame[at] = 100;
    frame[at + 1..at + 4].copy_from_slice(&client.to_be_bytes()[5..8]);
    let is = |number: u16| frame[23] == 17 && (ports.0 == number || ports.1 == number);
    let spi = match (is(4500), is(500)) {
        (true, _) if frame.get(42..46) == Some(&[0; 4]) => 46,
        (false, true) => 42,
        _ => return frame,
    };
    if let Some(spi) = frame.get_mut(spi..spi + 8) {
        for (octet, new) in spi.iter_mut().zip(client.to_be_bytes()) {
            *octet ^= new;
        }
    }
    frame
}
