//! Builds captures octet by octet, and looks at what the reader makes of them.

use super::super::*;
use crate::source::Problem;

/// What a test looks at of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) no: u64,
    pub(super) time: i64,
    pub(super) link: u16,
    pub(super) octets: Vec<u8>,
    pub(super) wire_len: u32,
    pub(super) interface: u32,
}

pub(super) fn seen(no: u64, time: i64, octets: &[u8]) -> Seen {
    Seen {
        no,
        time,
        link: 1,
        octets: octets.to_vec(),
        wire_len: u32::try_from(octets.len()).unwrap(),
        interface: 0,
    }
}

pub(super) fn open_octets(octets: &[u8]) -> Result<FileSource, SourceError> {
    FileSource::new("test", Cursor::new(octets.to_vec()), 7)
}

pub(super) fn drain(source: &mut FileSource) -> Vec<Seen> {
    let mut all = Vec::new();
    while let Some(frame) = source.next_frame() {
        assert_eq!(frame.capture, 7);
        all.push(Seen {
            no: frame.no,
            time: frame.time.0,
            link: frame.link.0,
            octets: frame.octets.to_vec(),
            wire_len: frame.wire_len,
            interface: frame.interface,
        });
    }
    assert!(source.next_frame().is_none(), "the end stays the end");
    all
}

pub(super) fn read(octets: &[u8]) -> (Vec<Seen>, Statistics, Annotations) {
    let mut source = open_octets(octets).unwrap();
    let all = drain(&mut source);
    assert_eq!(source.statistics().frames, all.len() as u64);
    let annotations = source.annotations().clone();
    (all, source.statistics().clone(), annotations)
}

pub(super) fn problem(offset: u64, frame: u64, fatal: bool, what: &str) -> Problem {
    Problem {
        offset: Some(offset),
        frame: Some(frame),
        what: what.into(),
        fatal,
    }
}

pub(super) fn fault_of(octets: &[u8]) -> (u64, String) {
    match open_octets(octets).map(|_| ()).unwrap_err() {
        SourceError::NotACapture { offset, what, .. } => (offset, what),
        other => panic!("{other}"),
    }
}

/// Writes numbers in one of the byte orders.
#[derive(Clone, Copy)]
pub(super) struct Maker {
    pub(super) big: bool,
}

pub(super) const LE: Maker = Maker { big: false };
pub(super) const BE: Maker = Maker { big: true };

impl Maker {
    pub(super) fn n16(self, n: u16) -> [u8; 2] {
        if self.big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    }

    pub(super) fn n32(self, n: u32) -> [u8; 4] {
        if self.big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    }

    pub(super) fn n64(self, n: u64) -> [u8; 8] {
        if self.big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    }

    pub(super) fn words(self, words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|&n| self.n32(n)).collect()
    }

    pub(super) fn pcap(self, magic: u32, link: u32) -> Vec<u8> {
        let mut out = self.n32(magic).to_vec();
        out.extend(self.n16(2));
        out.extend(self.n16(4));
        out.extend(self.words(&[0, 0, 65_535, link]));
        out
    }

    pub(super) fn record(self, seconds: u32, fraction: u32, octets: &[u8]) -> Vec<u8> {
        let len = u32::try_from(octets.len()).unwrap();
        [self.words(&[seconds, fraction, len, len]), octets.to_vec()].concat()
    }

    pub(super) fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let total = self.n32(u32::try_from(body.len() + 12).unwrap());
        [&self.n32(kind)[..], &total, &body, &total].concat()
    }

    pub(super) fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut out = [
            self.n16(code),
            self.n16(u16::try_from(value.len()).unwrap()),
        ]
        .concat();
        out.extend(value);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    pub(super) fn section(self) -> Vec<u8> {
        let body = [
            &self.n32(0x1a2b_3c4d)[..],
            &self.n16(1),
            &self.n16(0),
            &[0xff; 8],
        ]
        .concat();
        self.block(0x0a0d_0d0a, &body)
    }

    pub(super) fn interface(self, link: u16, snaplen: u32, options: &[u8]) -> Vec<u8> {
        let body = [&self.n16(link)[..], &[0, 0], &self.n32(snaplen), options].concat();
        self.block(1, &body)
    }

    pub(super) fn packet(
        self,
        interface: u32,
        ticks: u64,
        octets: &[u8],
        options: &[u8],
    ) -> Vec<u8> {
        let len = u32::try_from(octets.len()).unwrap();
        let mut body = self.words(&[
            interface,
            (ticks >> 32) as u32,
            (ticks & 0xffff_ffff) as u32,
            len,
            len,
        ]);
        body.extend(octets);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(options);
        self.block(6, &body)
    }
}

pub(super) const US: u32 = 0xa1b2_c3d4;
pub(super) const NS: u32 = 0xa1b2_3c4d;
pub(super) const MODIFIED: u32 = 0xa1b2_cd34;

pub(super) fn small_pcap(maker: Maker) -> Vec<u8> {
    [
        maker.pcap(US, 1),
        maker.record(10, 1, b"first"),
        maker.record(11, 2, b""),
        maker.record(12, 3, b"third frame"),
    ]
    .concat()
}

pub(super) fn small_frames() -> Vec<Seen> {
    vec![
        seen(1, 10_000_001_000, b"first"),
        seen(2, 11_000_002_000, b""),
        seen(3, 12_000_003_000, b"third frame"),
    ]
}

pub(super) fn small_pcapng(maker: Maker) -> Vec<u8> {
    [
        maker.section(),
        maker.interface(1, 0, &[]),
        maker.packet(0, 10_000_001, b"first", &[]),
        maker.packet(0, 11_000_002, b"", &[]),
        maker.packet(0, 12_000_003, b"third frame", &[]),
    ]
    .concat()
}
