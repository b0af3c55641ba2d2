//! Writes captures: pcapng or classic pcap, plain or compressed.
//!
//! Takes [`Frame`]s with comments and the counters of interfaces; gives octets to a file. Time
//! is that of the frames. Blocks are handed on whole, so what a crash leaves behind is a
//! capture; when the disk is full, what was written before stays readable.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use super::file::Compression;
use super::{Format, Frame, LinkType};
use crate::time::Timestamp;

mod encode;
mod ring;
mod sink;

pub use ring::{Limits, Ring};

use sink::Sink;

/// Octets gathered before they are handed on.
const GATHERED: usize = 64 << 10;
/// Interfaces told apart in one file; what comes beyond shares one for each link type.
const INTERFACES: usize = 65_536;

/// How a capture is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// pcapng unless [`Format::Pcap`].
    pub format: Format,
    /// Compressed how, if at all.
    pub compression: Option<Compression>,
}

impl Output {
    /// What the name of a file asks for: `.pcap` is classic, everything else pcapng; `.gz` and
    /// `.zst` are compressed.
    pub fn for_path(path: &Path) -> Self {
        let has = |path: &Path, wanted: &str| {
            path.extension()
                .is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
        };
        let compression = match path {
            path if has(path, "gz") => Some(Compression::Gzip),
            path if has(path, "zst") => Some(Compression::Zstd),
            _ => None,
        };
        let stem = match (compression, path.file_stem()) {
            (Some(_), Some(stem)) => Path::new(stem),
            _ => path,
        };
        let format = if has(stem, "pcap") {
            Format::Pcap
        } else {
            Format::PcapNg
        };
        Self {
            format,
            compression,
        }
    }
}

/// What is known of an interface frames come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// Its name, such as `eth0`, or that of the file the frames come from.
    pub name: Option<String>,
    /// The capture filter.
    pub filter: Option<String>,
    /// Octets captured of a frame at most; 0 means all.
    pub snaplen: u32,
}

/// Counters of an interface, running from the start of its capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// When they were read.
    pub time: Timestamp,
    /// Frames received, where known.
    pub received: Option<u64>,
    /// Frames dropped by the interface.
    pub dropped_by_interface: Option<u64>,
    /// Frames dropped by the system, for want of buffers.
    pub dropped_by_system: Option<u64>,
}

/// Where a frame comes from: its capture, the interface within it, and the link type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// Number of the capture.
    pub capture: u16,
    /// Interface within the capture.
    pub interface: u32,
    /// Link type of its frames.
    pub link: LinkType,
}

impl Origin {
    /// The origin of a frame.
    pub fn of(frame: &Frame<'_>) -> Self {
        Self {
            capture: frame.capture,
            interface: frame.interface,
            link: frame.link,
        }
    }
}

/// One capture being written.
#[derive(Debug)]
pub struct Writer {
    sink: Sink,
    format: Format,
    /// Whole blocks not handed on yet.
    gathered: Vec<u8>,
    gathered_frames: u64,
    descriptions: BTreeMap<Origin, Description>,
    interfaces: BTreeMap<Origin, u32>,
    /// The interface looked up last.
    latest: Option<(Origin, u32)>,
    octets: u64,
    frames: u64,
    lost: u64,
}

impl Writer {
    /// Creates a file, or writes to standard output for `-`.
    pub fn create(path: &Path, output: Output) -> io::Result<Self> {
        Ok(Self::over(
            Sink::create(path, output.compression)?,
            output.format,
        ))
    }

    /// Writes to anything.
    pub fn new(out: impl Write + Send + 'static, output: Output) -> io::Result<Self> {
        let sink = Sink::new(Box::new(out), output.compression)?;
        Ok(Self::over(sink, output.format))
    }

    fn over(sink: Sink, format: Format) -> Self {
        let mut writer = Self {
            sink,
            format,
            gathered: Vec::with_capacity(GATHERED * 2),
            gathered_frames: 0,
            descriptions: BTreeMap::new(),
            interfaces: BTreeMap::new(),
            latest: None,
            octets: 0,
            frames: 0,
            lost: 0,
        };
        if format != Format::Pcap {
            encode::section(&mut writer.gathered);
        }
        writer
    }

    /// Says what is known of an interface, before its first frame.
    pub fn describe(&mut self, origin: Origin, description: Description) {
        self.descriptions.insert(origin, description);
    }

    /// Writes a frame. Classic pcap holds no comments, and frames of one link type only.
    pub fn frame(&mut self, frame: &Frame<'_>, comment: Option<&str>) -> io::Result<()> {
        let interface = self.interface(Origin::of(frame))?;
        if self.format == Format::Pcap {
            encode::record(&mut self.gathered, frame);
        } else {
            encode::packet(&mut self.gathered, frame, interface, comment);
        }
        self.frames += 1;
        self.gathered_frames += 1;
        self.hand_on_if_due()
    }

    /// Writes the counters of an interface. Classic pcap cannot hold them.
    pub fn counters(&mut self, origin: Origin, counters: &Counters) -> io::Result<()> {
        if self.format == Format::Pcap {
            return Ok(());
        }
        let interface = self.interface(origin)?;
        encode::interface_statistics(&mut self.gathered, interface, counters);
        self.hand_on_if_due()
    }

    /// Octets of the capture so far, before compression.
    pub fn octets(&self) -> u64 {
        self.octets + self.gathered.len() as u64
    }

    /// Frames given so far, those lost included.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Frames lost because they could not be written.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Hands everything on, so that it is in the file whatever happens to the program.
    pub fn flush(&mut self) -> io::Result<()> {
        self.hand_on()?;
        self.sink.flush()
    }

    /// Writes what is left and ends compression.
    pub fn finish(mut self) -> io::Result<()> {
        if self.format == Format::Pcap && self.interfaces.is_empty() {
            // No frame told a link type. Ethernet is what an empty capture is expected to be.
            encode::pcap_header(&mut self.gathered, LinkType::ETHERNET);
        }
        self.hand_on()?;
        self.sink.finish()
    }

    fn hand_on_if_due(&mut self) -> io::Result<()> {
        if self.gathered.len() < GATHERED {
            return Ok(());
        }
        self.hand_on()
    }

    fn hand_on(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let written = self.sink.write_whole(&self.gathered);
        match &written {
            Ok(()) => self.octets += self.gathered.len() as u64,
            Err(_) => self.lost += self.gathered_frames,
        }
        self.gathered.clear();
        self.gathered_frames = 0;
        written
    }

    /// The number of an interface in this file; it is described when first met.
    fn interface(&mut self, origin: Origin) -> io::Result<u32> {
        if let Some((latest, id)) = self.latest
            && latest == origin
        {
            return Ok(id);
        }
        let mut key = origin;
        if self.interfaces.len() >= INTERFACES && !self.interfaces.contains_key(&key) {
            (key.capture, key.interface) = (u16::MAX, u32::MAX);
        }
        let id = match self.interfaces.get(&key) {
            Some(&id) => id,
            None => self.add(key)?,
        };
        self.latest = Some((origin, id));
        Ok(id)
    }

    fn add(&mut self, origin: Origin) -> io::Result<u32> {
        if self.format == Format::Pcap {
            let same = |known: &Origin| known.link == origin.link;
            if self.interfaces.is_empty() {
                encode::pcap_header(&mut self.gathered, origin.link);
            } else if !self.interfaces.keys().any(same) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "classic pcap holds frames of one link type only; write pcapng",
                ));
            }
        } else {
            let description = self.descriptions.get(&origin);
            encode::interface(&mut self.gathered, origin.link, description);
        }
        let id = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        self.interfaces.insert(origin, id);
        Ok(id)
    }
}

#[cfg(test)]
mod tests;
