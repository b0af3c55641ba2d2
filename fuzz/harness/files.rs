//! Capture files: a reader each for pcap, pcapng, gzip and Zstandard, and the writer whose files
//! are read back.

use std::io::{Cursor, Read, Write};
use std::sync::{Arc, Mutex};

use vpnscope::source::file::{Compression, FileSource};
use vpnscope::source::writer::{Output, Writer};
use vpnscope::source::{Format, Frame, FrameSource, LinkType};
use vpnscope::time::Timestamp;

/// Frames that one input may give before it has shown that it is longer than its octets.
const FRAMES: u64 = 1 << 20;

/// Reads a capture to its end, twice: at once, and from a pipe that gives little at a time.
/// Both give the same.
fn read_both(octets: &[u8], step: usize) {
    let at_once = read(Cursor::new(octets.to_vec()), octets);
    let dripping = Drip {
        octets: octets.to_vec(),
        at: 0,
        step: step.max(1),
    };
    assert_eq!(
        at_once,
        read(dripping, octets),
        "short reads give another capture"
    );
}

/// What a capture holds, as numbers: frames, their octets, a sum over all of it, and problems.
type Held = Option<(u64, u64, u64, Vec<String>)>;

fn read(reader: impl Read + Send + 'static, octets: &[u8]) -> Held {
    let mut source = FileSource::new("fuzz", reader, 0).ok()?;
    let mut sum = 0u64;
    let (mut frames, mut captured) = (0u64, 0u64);
    while let Some(frame) = source.next_frame() {
        frames += 1;
        assert_eq!(frame.no, frames);
        assert!(u64::from(frame.wire_len) >= frame.octets.len() as u64);
        assert!(frames < FRAMES, "more frames than octets");
        captured += frame.octets.len() as u64;
        let mut add = |value: u64| sum = sum.rotate_left(5) ^ value.wrapping_mul(0x9e37_79b9);
        add(frame.time.0.cast_unsigned());
        add(u64::from(frame.link.0) << 32 | u64::from(frame.interface));
        frame.octets.iter().for_each(|octet| add(u64::from(*octet)));
    }
    let statistics = source.statistics();
    assert!(statistics.problems.len() <= 100);
    let plain = !octets.starts_with(&[0x1f, 0x8b]) && !is_zstd(octets);
    if plain {
        // The smallest record of a frame is longer than none at all.
        assert!(frames <= octets.len() as u64 / 12);
        assert!(captured <= octets.len() as u64 * 2 + 64);
        for problem in &statistics.problems {
            let lies_within = problem.offset.is_none_or(|at| at <= octets.len() as u64);
            assert!(lies_within, "{problem:?}");
        }
    }
    let problems = statistics.problems.iter().map(|p| p.what.clone()).collect();
    Some((frames, captured, sum, problems))
}

fn is_zstd(octets: &[u8]) -> bool {
    matches!(
        octets,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
    )
}

/// A pipe that gives a few octets at a time.
struct Drip {
    octets: Vec<u8>,
    at: usize,
    step: usize,
}

impl Read for Drip {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let rest = &self.octets[self.at..];
        let len = rest.len().min(room.len()).min(self.step);
        room[..len].copy_from_slice(&rest[..len]);
        self.at += len;
        self.step = self.step % 1021 + 1;
        Ok(len)
    }
}

/// Classic pcap: one of its four magic numbers, then the octets.
pub fn pcap(octets: &[u8]) {
    const MAGIC: [[u8; 4]; 4] = [
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
    ];
    if let Some((&choice, rest)) = octets.split_first() {
        let magic = MAGIC[usize::from(choice & 3)];
        read_both(&[&magic, rest].concat(), usize::from(choice >> 2));
    }
}

/// pcapng: blocks whose lengths fit what the fuzzer puts into them, now and then. Each part is
/// type, length of the body in two octets, and the body.
pub fn pcapng(octets: &[u8]) {
    let Some((&choice, mut rest)) = octets.split_first() else {
        return;
    };
    let big = choice & 1 != 0;
    let order = |value: u32| {
        if big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let mut out = Vec::new();
    let mut block = |kind: u32, lie: u32, body: &[u8]| {
        let length = body.len().next_multiple_of(4) as u32 + 12;
        out.extend(order(kind));
        out.extend(order(length ^ lie));
        out.extend(body);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(order(length));
    };
    let section = [&order(0x1a2b_3c4d)[..], &[0, 1, 0, 0], &[255; 8]].concat();
    block(0x0a0d_0d0a, 0, &section);
    while let Some((&[kind, high, low], tail)) = rest.split_first_chunk::<3>() {
        let len = usize::from(u16::from_be_bytes([high & 0x3f, low])).min(tail.len());
        let (body, next) = tail.split_at(len);
        rest = next;
        let lie = if high & 0xc0 == 0xc0 {
            1 << ((kind >> 4) * 2)
        } else {
            0
        };
        match kind & 15 {
            0 => block(0x0a0d_0d0a, lie, &[&order(0x1a2b_3c4d)[..], body].concat()),
            1 => block(1, lie, &[&[1, 0, 0, 0, 0, 0, 0, 0], body].concat()),
            15 => block(0x0bad, lie, body),
            kind => block(u32::from(kind), lie, body),
        }
    }
    read_both(&out, usize::from(choice >> 1));
}

/// Gzip: the octets as a compressed stream behind a right header, or compressed here and damaged
/// afterwards where the first of them say.
pub fn gzip(octets: &[u8]) {
    let whole = |octets: &[u8]| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(octets).unwrap();
        out.finish().unwrap()
    };
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    compressed(octets, &head, whole);
}

/// Zstandard: likewise.
pub fn zstd(octets: &[u8]) {
    let whole = |octets: &[u8]| zstd::encode_all(octets, 1).unwrap();
    compressed(octets, &[0x28, 0xb5, 0x2f, 0xfd], whole);
}

fn compressed(octets: &[u8], head: &[u8], whole: impl Fn(&[u8]) -> Vec<u8>) {
    let Some((&[choice, at, with], rest)) = octets.split_first_chunk::<3>() else {
        return;
    };
    let mut file = match choice & 3 {
        0 => [head, rest].concat(),
        1 => whole(rest),
        2 => [whole(rest), head.to_vec(), rest.to_vec()].concat(),
        _ => [
            whole(&rest[..rest.len() / 2]),
            whole(&rest[rest.len() / 2..]),
        ]
        .concat(),
    };
    if choice & 4 != 0 {
        let place = head.len() + usize::from(at) * file.len().saturating_sub(head.len()) / 256;
        if let Some(octet) = file.get_mut(place) {
            *octet ^= with;
        }
    }
    read_both(&file, usize::from(choice >> 3));
}

/// What is written, kept in memory.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A frame that is written.
#[derive(Debug, PartialEq)]
struct Written {
    time: i64,
    link: u16,
    octets: Vec<u8>,
    wire_len: u32,
}

/// Frames of any time, link type, length and comment, written in every form: what is read back
/// is what was written.
pub fn writer(octets: &[u8]) {
    let Some((&choice, mut rest)) = octets.split_first() else {
        return;
    };
    // Classic pcap has one link type and whole seconds from 1970 to 2106.
    let classic = choice & 1 == 0;
    let mut frames = Vec::new();
    while let Some((&[link, a, b, c, d, len], tail)) = rest.split_first_chunk::<6>() {
        let (body, next) = tail.split_at(usize::from(len).min(tail.len()));
        rest = next;
        let seconds = i64::from(u32::from_be_bytes([a, b, c, d]));
        frames.push(Written {
            time: seconds * 1_000_000_000 + i64::from(len) * 3_906_250 + i64::from(link),
            link: if classic {
                1
            } else {
                [1, 101, 113, 276][usize::from(link & 3)]
            },
            octets: body.to_vec(),
            wire_len: body.len() as u32 + u32::from(link >> 2) * u32::from(link & 1),
        });
    }
    let compression = match choice >> 1 & 3 {
        1 => Some(Compression::Gzip),
        2 => Some(Compression::Zstd),
        _ => None,
    };
    let format = if classic {
        Format::Pcap
    } else {
        Format::PcapNg
    };
    let file = Shared::default();
    let output = Output {
        format,
        compression,
    };
    let mut writer = Writer::new(file.clone(), output).unwrap();
    for (no, frame) in (1..).zip(&frames) {
        let comment = (choice & 8 != 0).then(|| String::from_utf8_lossy(&frame.octets));
        let frame = Frame {
            capture: 0,
            no,
            time: Timestamp(frame.time),
            link: LinkType(frame.link),
            octets: &frame.octets,
            wire_len: frame.wire_len,
            interface: 0,
        };
        writer.frame(&frame, comment.as_deref()).unwrap();
    }
    assert_eq!(writer.frames() + writer.lost(), frames.len() as u64);
    let lost = writer.lost();
    writer.finish().unwrap();
    let octets = file.0.lock().unwrap().clone();
    let Ok(mut source) = FileSource::new("fuzz", Cursor::new(octets), 0) else {
        assert!(frames.is_empty(), "what was written is no capture");
        return;
    };
    let mut back = Vec::new();
    while let Some(frame) = source.next_frame() {
        back.push(Written {
            time: frame.time.0,
            link: frame.link.0,
            octets: frame.octets.to_vec(),
            wire_len: frame.wire_len,
        });
    }
    assert_eq!(lost, 0);
    assert!(
        source.statistics().problems.is_empty(),
        "{:?}",
        source.statistics().problems
    );
    assert!(back == frames, "{back:?} of {frames:?}");
}
