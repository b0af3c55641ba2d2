//! Capture files and standard input: pcap and pcapng, plain or compressed.
//!
//! Takes a path or any [`Read`]; gives [`Frame`]s out of one reused buffer, and the
//! [`Statistics`] of the capture. What is wrong inside an input becomes a problem in the
//! statistics, and everything readable is given. Never looks into the octets of a frame.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use super::{Format, Frame, FrameSource, LinkType, SourceError, Statistics};
use crate::time::Timestamp;

mod input;
mod note;
mod pcap;
mod pcapng;

use input::Input;
pub use input::compressed::Compression;
use pcap::Pcap;
use pcapng::PcapNg;

/// Octets read to recognise what an input is.
const MAGIC: usize = 16;

/// What is read of a file at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Plain octets for one compressed octet. Real captures compress to a fiftieth at best;
    /// gzip can reach a thousandth, and Zstandard knows no bound.
    pub ratio: u64,
    /// Plain octets of compressed data.
    pub plain: u64,
    /// Interfaces of a pcapng section.
    pub interfaces: usize,
    /// Whether a thread of its own reads ahead.
    pub ahead: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ratio: 250,
            plain: u64::MAX,
            interfaces: 65_536,
            ahead: false,
        }
    }
}

/// Opens a capture file, or standard input for `-`. `capture` is the number its frames carry.
pub fn open(path: &Path, capture: u16) -> Result<FileSource, SourceError> {
    open_within(path, capture, &Limits::default())
}

/// Opens a capture file as [`open`] does, within these limits.
pub fn open_within(path: &Path, capture: u16, limits: &Limits) -> Result<FileSource, SourceError> {
    if path.as_os_str() == "-" {
        return FileSource::within(path, io::stdin(), capture, limits);
    }
    let file = File::open(path).map_err(|error| io_error(path, error))?;
    FileSource::within(path, file, capture, limits)
}

/// A capture read from octets: a file, a pipe, memory.
pub struct FileSource {
    input: Input,
    walker: Walker,
    statistics: Statistics,
    annotations: Annotations,
    /// Latest time of any frame, before every time at first.
    latest: Timestamp,
    capture: u16,
}

// A tag of its own is one comparison a frame; a niche in the walkers is four.
#[repr(u8)]
enum Walker {
    Pcap(Pcap),
    PcapNg(PcapNg),
    /// Nothing follows.
    Done,
}

/// What a capture carries besides frames.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Annotations {
    /// Comments, on the capture, its interfaces and its frames.
    pub comments: u64,
    /// Blocks of embedded decryption secrets. They are not read.
    pub secrets: u64,
    /// Blocks of a type that is not known.
    pub unknown_blocks: u64,
    /// Frames whose comment says that this program sent them, in rising order. Bounded.
    pub sent_by_us: Vec<u64>,
}

impl Annotations {
    /// What the comment of a frame sent by this program begins with.
    pub const SENT_BY_US: &str = "sent by vpnscope";
    /// How many frame numbers are kept.
    const KEPT: usize = 1 << 20;

    fn keep_sent(&mut self, frame: u64) {
        if self.sent_by_us.len() < Self::KEPT && self.sent_by_us.last() != Some(&frame) {
            self.sent_by_us.push(frame);
        }
    }
}

/// A record of a capture: where its octets lie in the buffer, and what stood beside them.
#[derive(Debug, Clone, Copy)]
struct Record {
    place: usize,
    captured: u32,
    wire_len: u32,
    time: Timestamp,
    link: LinkType,
    interface: u32,
}

impl Record {
    #[inline]
    fn at(mut self, place: usize) -> Self {
        self.place = place;
        self
    }

    /// Takes a frame check sequence off the end of the frame.
    fn cut_tail(&mut self, octets: u32) {
        self.wire_len = self.wire_len.saturating_sub(octets);
        self.captured = self.captured.min(self.wire_len);
    }
}

impl FileSource {
    /// Reads a capture from `reader`. `name` is what it is called in reports and errors.
    pub fn new(
        name: impl AsRef<Path>,
        reader: impl Read + Send + 'static,
        capture: u16,
    ) -> Result<Self, SourceError> {
        Self::within(name, reader, capture, &Limits::default())
    }

    /// Reads a capture as [`FileSource::new`] does, within these limits.
    pub fn within(
        name: impl AsRef<Path>,
        reader: impl Read + Send + 'static,
        capture: u16,
        limits: &Limits,
    ) -> Result<Self, SourceError> {
        let path = name.as_ref();
        let (input, compression) = plain(reader, limits).map_err(|error| io_error(path, error))?;
        let mut source = Self::recognise(path, input, compression, capture)?;
        if let Walker::PcapNg(walker) = &mut source.walker {
            walker.keep_interfaces(limits.interfaces);
        }
        Ok(source)
    }

    fn recognise(
        path: &Path,
        mut input: Input,
        compression: Option<Compression>,
        capture: u16,
    ) -> Result<Self, SourceError> {
        input.ensure(pcap::HEADER);
        let mut statistics = Statistics::new(path.to_string_lossy(), Format::Pcap);
        let head = input.ahead();
        let walker = match head {
            [0x0a, 0x0d, 0x0d, 0x0a, ..] => {
                statistics.format = Format::PcapNg;
                PcapNg::open(&mut input).map(Walker::PcapNg)
            }
            &[m0, m1, m2, m3, ..] if Pcap::magic([m0, m1, m2, m3]).is_some() => {
                pcap_header(&mut input, &mut statistics).map(Walker::Pcap)
            }
            _ => Err(found(&input)),
        };
        match walker {
            Ok(walker) => Ok(Self {
                input,
                walker,
                statistics,
                annotations: Annotations::default(),
                latest: Timestamp(i64::MIN),
                capture,
            }),
            Err(what) => Err(SourceError::NotACapture {
                path: path.to_path_buf(),
                offset: input.offset(),
                what: match compression {
                    Some(compression) => {
                        format!("no capture but {what} inside {} data", compression.name())
                    }
                    None => format!("no capture but {what}"),
                },
            }),
        }
    }

    /// Comments, secrets and the like, as far as was read.
    pub fn annotations(&self) -> &Annotations {
        match &self.walker {
            Walker::PcapNg(walker) => &walker.annotations,
            Walker::Pcap(_) | Walker::Done => &self.annotations,
        }
    }

    /// Offset in octets, in the decompressed input, up to which was read; for progress.
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    #[inline]
    fn give(&mut self, record: Record) -> Frame<'_> {
        let statistics = &mut self.statistics;
        statistics.frames += 1;
        statistics.bytes += u64::from(record.captured);
        statistics.truncated_frames += u64::from(record.wire_len > record.captured);
        if record.time > self.latest {
            self.latest = record.time;
            statistics.last = Some(record.time);
            if statistics.first.is_none() {
                statistics.first = Some(record.time);
            }
        }
        Frame {
            capture: self.capture,
            no: statistics.frames,
            time: record.time,
            link: record.link,
            octets: self.input.slice(record.place, record.captured as usize),
            // Some writers give 0, or less than they captured.
            wire_len: record.wire_len.max(record.captured),
            interface: record.interface,
        }
    }

    /// The next record, whatever it looks like.
    #[inline(never)]
    fn any(&mut self) -> Option<Record> {
        let (input, statistics) = (&mut self.input, &mut self.statistics);
        let record = match &mut self.walker {
            Walker::Pcap(walker) => walker.any(input, statistics),
            Walker::PcapNg(walker) => walker.any(input, statistics),
            Walker::Done => None,
        };
        if record.is_none() {
            self.done();
        }
        record
    }

    #[cold]
    fn done(&mut self) {
        if let Walker::PcapNg(walker) = std::mem::replace(&mut self.walker, Walker::Done) {
            self.annotations = walker.annotations;
        }
    }
}

impl FrameSource for FileSource {
    #[expect(
        clippy::inline_always,
        reason = "measured: a frame is large, and goes nowhere but to who asked"
    )]
    #[inline(always)]
    fn next_frame(&mut self) -> Option<Frame<'_>> {
        // The usual record first.
        let usual = match &mut self.walker {
            Walker::Pcap(walker) => walker.usual(&mut self.input),
            Walker::PcapNg(walker) => walker.usual(&mut self.input),
            Walker::Done => return None,
        };
        let record = match usual {
            Some(record) => record,
            None => self.any()?,
        };
        Some(self.give(record))
    }

    fn statistics(&self) -> &Statistics {
        &self.statistics
    }
}

/// Undoes a compression, recognised by its first octets and not by a name.
fn plain(
    mut reader: impl Read + Send + 'static,
    limits: &Limits,
) -> io::Result<(Input, Option<Compression>)> {
    let head = input::read_head(&mut reader, MAGIC as u64)?;
    let compression = Compression::of(&head);
    let whole = Cursor::new(head).chain(reader);
    let input = match compression {
        Some(compression) => Input::new(compression.plain(whole, *limits)?),
        None if limits.ahead => Input::ahead_of(whole)?,
        None => Input::new(Box::new(whole)),
    };
    Ok((input, compression))
}

fn pcap_header(input: &mut Input, statistics: &mut Statistics) -> Result<Pcap, String> {
    let header = input.ahead().first_chunk().and_then(Pcap::parse);
    let Some(walker) = header else {
        let there = input.available();
        return Err(format!(
            "a pcap header cut off after {there} of {} octets",
            pcap::HEADER
        ));
    };
    let (major, minor) = walker.version;
    if major != 2 {
        let what = format!("pcap version {major}.{minor}, read as 2.4");
        note::problem(statistics, 4, note::Walk::GoesOn, what);
    }
    statistics.link_types.push(walker.link);
    input.advance(pcap::HEADER);
    Ok(walker)
}

/// Says what an input is that is no capture.
fn found(input: &Input) -> String {
    let head = input.ahead();
    let head = head.get(..MAGIC).unwrap_or(head);
    let known: &[(&[u8], &str)] = &[
        (
            b"snoop\0\0\0",
            "a snoop file; convert it with `editcap -F pcapng`",
        ),
        (
            b"GMBU",
            "a Network Monitor file; convert it with `editcap -F pcapng`",
        ),
        (
            b"RTSS",
            "a Network Monitor file; convert it with `editcap -F pcapng`",
        ),
        (b"\xfd7zXZ\0", "xz data; decompress it first"),
        (b"BZh", "bzip2 data; decompress it first"),
        (b"\x04\x22\x4d\x18", "lz4 data; decompress it first"),
        (b"PK\x03\x04", "a zip archive; unpack it first"),
        (b"\x7fELF", "a program"),
    ];
    if head.is_empty() {
        return match input.end() {
            Some(input::End::Failed(reason)) => format!("unreadable octets ({reason})"),
            Some(input::End::CutOff) => "a stub".into(),
            _ => "nothing: it is empty".into(),
        };
    }
    match known.iter().find(|(magic, _)| head.starts_with(magic)) {
        Some((_, what)) => (*what).into(),
        None => format!("the octets \"{}\"", head.escape_ascii()),
    }
}

fn io_error(path: &Path, error: io::Error) -> SourceError {
    SourceError::Io {
        path: path.to_path_buf(),
        error,
    }
}

#[cfg(test)]
mod tests;
