//! Where frames come from: files, standard input, interfaces.
//!
//! Gives [`Frame`]s and the [`Statistics`] of their capture. Never looks into the octets.

use std::path::PathBuf;

use crate::time::Timestamp;

pub mod file;
#[cfg(feature = "live")]
pub mod live;
pub mod writer;

/// A link-layer type, numbered as in pcap files (`LINKTYPE_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: a four-octet address family in the capturing host's byte order.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// PPP in HDLC-like framing.
    pub const PPP: Self = Self(9);
    /// Raw IP, version by its first nibble.
    pub const RAW: Self = Self(101);
    /// OpenBSD loopback: a four-octet address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux cooked capture v1.
    pub const LINUX_SLL: Self = Self(113);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux cooked capture v2.
    pub const LINUX_SLL2: Self = Self(276);
}

/// One captured frame, borrowed from the reader's buffer until the next one is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Which capture of this run, from 0.
    pub capture: u16,
    /// Number within the capture, from 1, as Wireshark counts.
    pub no: u64,
    /// When it was captured.
    pub time: Timestamp,
    /// How its first octets are to be read.
    pub link: LinkType,
    /// The captured octets.
    pub octets: &'a [u8],
    /// Length on the wire in octets; larger than `octets` where snaplen cut it.
    pub wire_len: u32,
    /// Interface within the capture, from 0.
    pub interface: u32,
}

/// The format a capture came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Classic pcap.
    Pcap,
    /// pcapng.
    PcapNg,
    /// A live interface.
    Live,
}

/// Something wrong with an input, at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Octet offset in the (decompressed) input, where there is one.
    pub offset: Option<u64>,
    /// The frame concerned, where there is one.
    pub frame: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// Whether what follows could not be read at all for another reason than the file
    /// simply ending inside its last record.
    pub fatal: bool,
}

/// What is known about a capture as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// File name, `-`, or interface name.
    pub name: String,
    /// Format.
    pub format: Format,
    /// Link types met, in the order they were met.
    pub link_types: Vec<LinkType>,
    /// Frames read.
    pub frames: u64,
    /// Octets captured in them.
    pub bytes: u64,
    /// Time of the first frame.
    pub first: Option<Timestamp>,
    /// Latest time of any frame.
    pub last: Option<Timestamp>,
    /// Until when the capture went on at least, where it says so: later than its last frame.
    pub ended: Option<Timestamp>,
    /// The capture filter, where the file or the interface names one.
    pub filter: Option<String>,
    /// Frames the capturing host dropped, where the file or the kernel says so.
    pub dropped: Option<u64>,
    /// When nothing could be captured, from and to: an interface was down. The latest ones.
    pub blind: Vec<(Timestamp, Timestamp)>,
    /// Frames cut by snaplen.
    pub truncated_frames: u64,
    /// What was wrong with the input. Bounded; what is beyond the bound is counted.
    pub problems: Vec<Problem>,
    /// Problems beyond the bound.
    pub problems_not_kept: u64,
}

impl Statistics {
    /// How many problems are kept by name; the rest is counted.
    pub const PROBLEMS_KEPT: usize = 100;

    /// Statistics of a capture nothing was read of yet.
    pub fn new(name: impl Into<String>, format: Format) -> Self {
        Self {
            name: name.into(),
            format,
            link_types: Vec::new(),
            frames: 0,
            bytes: 0,
            first: None,
            last: None,
            ended: None,
            filter: None,
            dropped: None,
            blind: Vec::new(),
            truncated_frames: 0,
            problems: Vec::new(),
            problems_not_kept: 0,
        }
    }

    /// How many times of blindness are kept.
    pub const BLIND_KEPT: usize = 64;

    /// Says that nothing can be captured from a time on, until [`Statistics::blind_to`].
    pub fn blind_from(&mut self, from: Timestamp) {
        if self
            .blind
            .last()
            .is_some_and(|(_, to)| *to == Timestamp::MAX)
        {
            return;
        }
        if self.blind.len() >= Self::BLIND_KEPT {
            self.blind.remove(0);
        }
        self.blind.push((from, Timestamp::MAX));
    }

    /// Says that everything can be captured again.
    pub fn blind_to(&mut self, to: Timestamp) {
        if let Some((_, end)) = self.blind.last_mut() {
            *end = to.min(*end);
        }
    }

    /// Notes a problem, within the bound.
    pub fn note(&mut self, problem: Problem) {
        if self.problems.len() < Self::PROBLEMS_KEPT {
            self.problems.push(problem);
        } else {
            self.problems_not_kept += 1;
        }
    }
}

/// Why an input could not be opened as a capture.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be opened or read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is no capture.
    #[error("{}: {what} at offset {offset}", path.display())]
    NotACapture {
        /// The file.
        path: PathBuf,
        /// Offset of the fault in octets.
        offset: u64,
        /// What was found instead.
        what: String,
    },
    /// The interface cannot be opened.
    #[error("{interface}: {what}")]
    Interface {
        /// The interface.
        interface: String,
        /// What is wrong, and what to do about it.
        what: String,
    },
}

/// A stream of frames.
///
/// Problems inside an input are data: they stand in [`Statistics::problems`], the reader goes
/// on as far as it can, and `next_frame` gives `None` at the end.
pub trait FrameSource {
    /// The next frame, borrowed until the next call.
    fn next_frame(&mut self) -> Option<Frame<'_>>;

    /// What is known so far.
    fn statistics(&self) -> &Statistics;
}
