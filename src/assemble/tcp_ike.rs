//! IKE and ESP over TCP: the stream prefix and length framing of RFC 9329, and Cisco's own
//! encapsulation on port 10000.
//!
//! Takes the octets of one direction in order, with gap markers where some are missing; gives
//! whole IKE messages and ESP packets with the frames they came in. After a gap that swallowed
//! a length field the stream is lost until three frames in a row fit together. Knows no
//! connection and judges nothing.

use vpnscope_dissectors::{Verdict, ike};

use crate::time::Timestamp;

pub mod cisco;
#[cfg(test)]
mod tests;

/// What the initiator of the connection sends first (RFC 9329 §4).
pub const PREFIX: [u8; 6] = *b"IKETCP";

/// Octets of a length field, which counts itself (RFC 9329 §3).
const FIELD: usize = 2;
/// Frames in a row that have to fit together after a gap.
const CHAIN: usize = 3;
/// Longer frames are not believed in while the stream is lost: packets are cut to fit a path.
const BELIEVED: usize = 4096;
/// Segments of one message that are named; beyond, the last name stands for the rest.
const MARKS: usize = 256;

/// What a frame of the stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried<'a> {
    /// An IKE message, without the marker of four zero octets.
    Ike(&'a [u8]),
    /// An ESP packet from its SPI on.
    Esp(&'a [u8]),
    /// Neither: too short for an SPI, or a keepalive that belongs to UDP.
    Short(&'a [u8]),
}

/// A segment that octets came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Frame number, from 1.
    pub frame: u64,
    /// When it was captured.
    pub time: Timestamp,
}

/// A whole frame of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it holds.
    pub carried: Carried<'a>,
    /// The segments it came in, in order.
    pub marks: &'a [Mark],
}

/// What happened to the framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Whole frames.
    pub messages: u64,
    /// Missing stretches.
    pub gaps: u64,
    /// Length fields that cannot be.
    pub invalid: u64,
    /// Octets thrown away: pieces of frames, and what was searched through.
    pub skipped: u64,
    /// Times the framing was found again.
    pub resynchronised: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of the stream, where the prefix may stand.
    Start,
    /// A length field comes next.
    Framed,
    /// The rest of a frame with a gap in it.
    Skipping(usize),
    /// Where frames begin is not known.
    Lost,
}

/// One direction of a connection.
#[derive(Debug)]
pub struct Stream {
    state: State,
    has_prefix: bool,
    buffer: Vec<u8>,
    /// Octets of the buffer that are consumed.
    used: usize,
    /// Where in the buffer each segment ends.
    ends: Vec<usize>,
    /// The segments themselves.
    marks: Vec<Mark>,
    /// While lost: octets that were searched of those not consumed.
    searched: usize,
    /// While lost: where frames may begin, by place, each with the end that it takes to tell.
    open: Vec<(u32, u32)>,
    counters: Counters,
}

/// Whether octets are the beginning of such a stream, in either direction. `Unsure` may become
/// `Certain` with more of them.
pub fn recognise(octets: &[u8]) -> Verdict {
    if octets.starts_with(&PREFIX) {
        return Verdict::Certain;
    }
    if octets.is_empty() || PREFIX.starts_with(octets) {
        return Verdict::Unsure;
    }
    match plausible(octets) {
        Fit::Ike => Verdict::Certain,
        Fit::Esp { .. } | Fit::Unknown(_) => Verdict::Unsure,
        Fit::No => Verdict::NotOurs,
    }
}

impl Stream {
    /// A direction of which the first octet that comes is its first octet, or, if not `from_start`, of which
    /// the beginning was not captured.
    pub fn new(from_start: bool) -> Self {
        Self {
            state: if from_start {
                State::Start
            } else {
                State::Lost
            },
            has_prefix: false,
            buffer: Vec::new(),
            used: 0,
            ends: Vec::new(),
            marks: Vec::new(),
            searched: 0,
            open: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Whether the prefix was seen: this direction is that of the one who connected.
    pub fn has_prefix(&self) -> bool {
        self.has_prefix
    }

    /// Whether frames cannot be told at the moment.
    pub fn is_lost(&self) -> bool {
        self.state == State::Lost
    }

    /// Octets of memory it takes beside itself.
    pub fn held(&self) -> usize {
        self.buffer.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.marks.capacity() * size_of::<Mark>()
            + self.open.capacity() * size_of::<(u32, u32)>()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The next octets.
    pub fn push(&mut self, octets: &[u8], mark: Mark) {
        self.compact();
        self.buffer.extend_from_slice(octets);
        let end = self.buffer.len();
        if self.marks.len() < MARKS && self.marks.last() != Some(&mark) {
            self.ends.push(end);
            self.marks.push(mark);
        } else if let Some(last) = self.ends.last_mut() {
            *last = end;
        }
    }

    /// `octets` are missing here; `None` where nobody knows how many. Whole frames before the
    /// gap are to be taken with [`Stream::next_message`] first.
    pub fn gap(&mut self, octets: Option<u64>) {
        self.counters.gaps += 1;
        let held = self.rest().len();
        let missing = octets.and_then(|octets| usize::try_from(octets).ok());
        self.state = match (self.state, self.declared(), missing) {
            // The gap ends inside the frame it began in.
            (State::Framed, Some(length), Some(missing)) if held + missing <= length => {
                skipping(length - held - missing)
            }
            (State::Skipping(left), _, Some(missing)) if held + missing <= left => {
                skipping(left - held - missing)
            }
            _ => State::Lost,
        };
        self.skip(held);
        self.forget_search();
    }

    /// The next whole frame, if it is there.
    pub fn next_message(&mut self) -> Option<Message<'_>> {
        let length = self.ready()?;
        let start = self.used;
        self.used += length;
        self.counters.messages += 1;
        let frame = self.buffer.get(start + FIELD..self.used)?;
        let first = self.ends.partition_point(|end| *end <= start);
        let last = self.ends.partition_point(|end| *end < self.used);
        let carried = match frame {
            [0, 0, 0, 0, ike @ ..] => Carried::Ike(ike),
            [_, _, _, _, _, _, _, _, ..] => Carried::Esp(frame),
            short => Carried::Short(short),
        };
        Some(Message {
            carried,
            marks: self.marks.get(first..=last).unwrap_or_default(),
        })
    }

    /// Goes on until a whole frame begins at `used`; gives its length.
    fn ready(&mut self) -> Option<usize> {
        loop {
            match self.state {
                State::Start => self.start()?,
                State::Skipping(left) => {
                    let held = self.rest().len();
                    self.skip(left.min(held));
                    if held < left {
                        self.state = State::Skipping(left - held);
                        return None;
                    }
                    self.state = State::Framed;
                }
                State::Lost => self.search()?,
                State::Framed => {
                    let length = self.declared()?;
                    if length <= FIELD {
                        self.counters.invalid += 1;
                        self.state = State::Lost;
                        continue;
                    }
                    return (self.rest().len() >= length).then_some(length);
                }
            }
        }
    }

    /// Takes the prefix off, if it is there; `None` where that cannot be told yet.
    fn start(&mut self) -> Option<()> {
        let rest = self.rest();
        if rest.starts_with(&PREFIX) {
            self.has_prefix = true;
            self.used += PREFIX.len();
        } else if PREFIX.starts_with(rest) {
            return None;
        }
        self.state = State::Framed;
        Some(())
    }

    /// Looks for frames that fit together; `None` where more octets are needed to tell. No place
    /// is looked at again before what it waits for has come: segments may be an octet long.
    fn search(&mut self) -> Option<()> {
        let rest = self.buffer.get(self.used..).unwrap_or_default();
        let fits = |at: u32| {
            let rest = usize::try_from(at).ok().and_then(|at| rest.get(at..));
            chain(rest.unwrap_or_default())
        };
        let end = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let mut found = None;
        self.open.retain_mut(|(at, until)| {
            if found.is_some() || *until > end {
                return true;
            }
            match fits(*at) {
                Chain::Fits => found = Some(*at),
                Chain::Broken => return false,
                Chain::Open(needed) => *until = at.saturating_add(needed),
            }
            true
        });
        let mut new = u32::try_from(self.searched).unwrap_or(end)..end;
        while let (None, Some(at)) = (found, new.next()) {
            match fits(at) {
                Chain::Fits => found = Some(at),
                Chain::Broken => {}
                Chain::Open(needed) => self.open.push((at, at.saturating_add(needed))),
            }
        }
        // What may yet turn out to be a frame is kept.
        let first = self.open.first().map(|(at, _)| *at);
        let gone = found.or(first).unwrap_or(end);
        for (at, until) in self.open.iter_mut().filter(|_| gone > 0) {
            *at -= gone.min(*at);
            *until -= gone;
        }
        self.searched = rest.len();
        self.skip(usize::try_from(gone).unwrap_or_default());
        found?;
        self.counters.resynchronised += 1;
        self.forget_search();
        self.state = State::Framed;
        Some(())
    }

    fn forget_search(&mut self) {
        self.searched = 0;
        self.open.clear();
    }

    /// The length field that comes next.
    fn declared(&self) -> Option<usize> {
        let field: &[u8; FIELD] = self.rest().first_chunk()?;
        Some(usize::from(u16::from_be_bytes(*field)))
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.used..).unwrap_or_default()
    }

    fn skip(&mut self, n: usize) {
        self.used += n;
        self.searched = self.searched.saturating_sub(n);
        self.counters.skipped += n as u64;
    }

    /// Lets go of what is consumed.
    fn compact(&mut self) {
        let used = std::mem::take(&mut self.used);
        self.buffer.drain(..used);
        let gone = self.ends.partition_point(|end| *end <= used);
        self.ends.drain(..gone);
        self.marks.drain(..gone);
        for end in &mut self.ends {
            *end -= used;
        }
    }
}

fn skipping(left: usize) -> State {
    if left == 0 {
        State::Framed
    } else {
        State::Skipping(left)
    }
}

/// How octets fit as a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// An IKE header of just this length.
    Ike,
    /// Possibly ESP.
    Esp {
        spi: u32,
        sequence: u32,
    },
    /// Too few octets to tell; so many are needed.
    Unknown(usize),
    No,
}

fn plausible(octets: &[u8]) -> Fit {
    let Some((field, frame)) = octets.split_first_chunk::<FIELD>() else {
        return Fit::Unknown(FIELD);
    };
    let length = usize::from(u16::from_be_bytes(*field));
    // ESP has at least its header, one block and a checksum value.
    if !(FIELD + 20..=BELIEVED).contains(&length) {
        return Fit::No;
    }
    let Some((&[a, b, c, d], body)) = frame.split_first_chunk() else {
        return Fit::Unknown(FIELD + 4);
    };
    let spi = u32::from_be_bytes([a, b, c, d]);
    if spi == 0 {
        let Some(header) = body.first_chunk::<{ ike::Header::LEN }>() else {
            return Fit::Unknown(FIELD + 4 + ike::Header::LEN);
        };
        let whole = ike::Header::parse(header)
            .is_ok_and(|header| header.length as usize + FIELD + 4 == length);
        let known = ike::recognise(body.get(..length - FIELD - 4).unwrap_or(body));
        return if whole && known != Verdict::NotOurs {
            Fit::Ike
        } else {
            Fit::No
        };
    }
    match body.first_chunk() {
        // SPIs below 256 are reserved (RFC 4303 §2.1).
        Some(_) if spi < 256 => Fit::No,
        Some(sequence) => Fit::Esp {
            spi,
            sequence: u32::from_be_bytes(*sequence),
        },
        None => Fit::Unknown(FIELD + 8),
    }
}

/// How octets fit as frames in a row.
enum Chain {
    Fits,
    Broken,
    /// So many octets are needed to tell.
    Open(u32),
}

/// Whether frames that fit together begin here. Lengths alone are no proof: ESP packets have to
/// continue each other's numbers.
fn chain(octets: &[u8]) -> Chain {
    let mut rest = octets;
    // Frames believed in are short.
    let open = |needed: usize| Chain::Open(u32::try_from(needed).unwrap_or(u32::MAX));
    let mut numbers: Option<(u32, u32)> = None;
    for _ in 0..CHAIN {
        let before = octets.len() - rest.len();
        match (plausible(rest), numbers) {
            (Fit::Ike, _) => {}
            (Fit::Esp { spi, sequence }, None) => numbers = Some((spi, sequence)),
            (Fit::Esp { spi, sequence }, Some((before, last)))
                if spi == before && (1..=64).contains(&sequence.wrapping_sub(last)) =>
            {
                numbers = Some((spi, sequence));
            }
            (Fit::Unknown(needed), _) => return open(before + needed),
            (Fit::Esp { .. } | Fit::No, _) => return Chain::Broken,
        }
        let length = rest
            .first_chunk()
            .map_or(0, |field| usize::from(u16::from_be_bytes(*field)));
        match rest.get(length..) {
            Some(next) => rest = next,
            None => return open(before + length),
        }
    }
    Chain::Fits
}
