//! Whole captures whose frames are changed with understanding: what was changed, the lengths and
//! checksums around it are made to fit again, so that the change reaches what lies behind them.

/// Splits records of two octets of length and a frame.
pub fn records(octets: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut rest = octets;
    while let Some((&[high, low], tail)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes([high, low])).min(tail.len());
        let (frame, next) = tail.split_at(len);
        rest = next;
        frames.push(frame.to_vec());
    }
    frames
}

/// The records of frames.
pub fn joined(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames {
        let len = frame.len().min(0xffff);
        out.extend((len as u16).to_be_bytes());
        out.extend(&frame[..len]);
    }
    out
}

/// A few numbers of a seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Changes one thing: a place in what a frame carries, or frames as a whole.
pub fn mutate(octets: &[u8], seed: u64, inside: &mut impl FnMut(&mut Vec<u8>)) -> Vec<u8> {
    let mut random = Random(seed);
    let mut frames = records(octets);
    if frames.is_empty() {
        return joined(&[vec![0; 60]]);
    }
    let at = random.below(frames.len());
    let other = random.below(frames.len());
    match random.below(12) {
        0 => {
            let copy = frames[at].clone();
            frames.insert(other, copy);
        }
        1 if frames.len() > 1 => drop(frames.remove(at)),
        2 => frames.swap(at, other),
        3 => {
            // The body of one behind the headers of another.
            let from = carried(&frames[other]);
            let body = frames[other][from..].to_vec();
            let to = carried(&frames[at]);
            frames[at].truncate(to);
            frames[at].extend(body);
        }
        4 => {
            let len = random.below(frames[at].len() + 1);
            frames[at].truncate(len);
        }
        5 => {
            // A length inside of the message lies.
            let from = carried(&frames[at]);
            let frame = &mut frames[at];
            if frame.len() > from + 2 {
                let place = from + random.below(frame.len() - from - 1);
                let value = u16::from_be_bytes([frame[place], frame[place + 1]]);
                let lie = [1, 4, 8, 0xffff, 0x8000, 0x100][random.below(6)];
                let lie = value.wrapping_add(lie).to_be_bytes();
                frame[place..place + 2].copy_from_slice(&lie);
            }
        }
        _ => {
            let from = carried(&frames[at]);
            let mut body = frames[at].split_off(from);
            inside(&mut body);
            frames[at].extend(body);
        }
    }
    // One frame less leaves the last place empty.
    if let Some(frame) = frames.get_mut(at) {
        *frame = fitted(frame);
    }
    joined(&frames)
}

/// Where the network header begins, and whether it is IPv6.
fn network(frame: &[u8]) -> Option<(usize, bool)> {
    let mut at = 12;
    loop {
        match frame.get(at..at + 2)? {
            [0x81, 0] | [0x88, 0xa8] => at += 4,
            [0x08, 0] => return Some((at + 2, false)),
            [0x86, 0xdd] => return Some((at + 2, true)),
            _ => return None,
        }
    }
}

/// Where the transport header begins, and its protocol.
fn transport(frame: &[u8]) -> Option<(usize, u8)> {
    let (at, v6) = network(frame)?;
    if v6 {
        return Some((at + 40, *frame.get(at + 6)?));
    }
    let first = *frame.get(at)?;
    Some((at + usize::from(first & 15) * 4, *frame.get(at + 9)?))
}

/// Where what is carried begins.
fn carried(frame: &[u8]) -> usize {
    let inner = || {
        let (at, protocol) = transport(frame)?;
        Some(match protocol {
            17 => at + 8,
            6 => at + usize::from(frame.get(at + 12)? >> 4) * 4,
            _ => at,
        })
    };
    inner().unwrap_or(0).min(frame.len())
}

/// The frame with lengths and checksums that fit: of IP, UDP, TCP, and of the IKE header, the
/// L2TP header and the first TLS record behind them.
pub fn fitted(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let _ = fit(&mut frame);
    frame
}

fn fit(frame: &mut [u8]) -> Option<()> {
    let (ip, v6) = network(frame)?;
    let (at, protocol) = transport(frame)?;
    let body = carried(frame);
    let len = |from: usize| u16::try_from(frame.len().saturating_sub(from)).unwrap_or(u16::MAX);
    let (total, payload, datagram) = (len(ip), len(ip + 40), len(at));
    message(&mut frame[body..], protocol);
    if v6 {
        put(frame, ip + 4, payload)?;
    } else {
        put(frame, ip + 2, total)?;
        put(frame, ip + 10, 0)?;
        let sum = checksum(0, frame.get(ip..at)?);
        put(frame, ip + 10, sum)?;
    }
    let addresses = if v6 {
        frame.get(ip + 8..ip + 40)?
    } else {
        frame.get(ip + 12..ip + 20)?
    };
    let pseudo = addresses
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum::<u32>()
        + u32::from(protocol)
        + u32::from(datagram);
    let place = match protocol {
        17 => {
            put(frame, at + 4, datagram)?;
            at + 6
        }
        6 => at + 16,
        _ => return None,
    };
    put(frame, place, 0)?;
    let sum = checksum(pseudo, frame.get(at..)?);
    put(frame, place, if sum == 0 { 0xffff } else { sum })
}

/// Makes the length of a message fit what is there of it.
fn message(body: &mut [u8], protocol: u8) -> Option<()> {
    let len = body.len();
    if protocol == 6 {
        let first = *body.first()?;
        if (20..=24).contains(&first) && body.get(1) == Some(&3) {
            let longest = u16::try_from(len.checked_sub(5)?).ok()?;
            if u16::from_be_bytes([*body.get(3)?, *body.get(4)?]) > longest {
                put(body, 3, longest)?;
            }
        }
        return Some(());
    }
    let ike = if body.starts_with(&[0; 4]) { 4 } else { 0 };
    if matches!(body.get(ike + 17), Some(0x10 | 0x20)) {
        let length = u32::try_from(len - ike).ok()?.to_be_bytes();
        body.get_mut(ike + 24..ike + 28)?.copy_from_slice(&length);
    } else if matches!(body, [0xc8, 2, ..]) {
        put(body, 2, u16::try_from(len).ok()?)?;
    }
    Some(())
}

fn put(octets: &mut [u8], at: usize, value: u16) -> Option<()> {
    octets
        .get_mut(at..at + 2)?
        .copy_from_slice(&value.to_be_bytes());
    Some(())
}

fn checksum(start: u32, octets: &[u8]) -> u16 {
    let mut sum = u64::from(start);
    for pair in octets.chunks(2) {
        sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}
