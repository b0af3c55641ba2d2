//! Gzip, RFC 1952: members, one after the other.
//!
//! Takes compressed octets, gives the plain ones of all members. What was decompressed before an
//! error is given before the error, so that a damaged file shows the same capture however its
//! octets arrive. (The decoder of `flate2` forgets what it wrote in the call that fails: up to
//! all that a file holds.)

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::supply::Supply;

/// How far back a deflate stream refers, RFC 1951 §2.
const WINDOW: u64 = 32 << 10;
/// Longest text of a header that is read over.
const TEXT: usize = 64 << 10;

/// Flags of a header, RFC 1952 §2.3.1.
const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// What comes next.
enum Next {
    Header,
    Body,
    Trailer,
    /// The error that ended it, not told yet.
    Error(io::Error),
    Nothing,
}

/// The plain octets of all members.
pub(super) struct Gunzip<R> {
    supply: Supply<R>,
    inflate: Decompress,
    /// Sum and length of the member's plain octets.
    crc: Crc,
    next: Next,
    /// Decompressed, and not given yet.
    waiting: VecDeque<u8>,
}

impl<R: Read> Gunzip<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            supply: Supply::new(reader),
            inflate: Decompress::new(false),
            crc: Crc::new(),
            next: Next::Header,
            waiting: VecDeque::new(),
        }
    }

    /// Reads octets of a header.
    fn part<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut part = [0; N];
        for octet in &mut part {
            *octet = self.supply.octet()?;
        }
        self.crc.update(&part);
        Ok(part)
    }

    /// Reads a header, RFC 1952 §2.3.
    fn header(&mut self) -> io::Result<()> {
        self.crc.reset();
        self.inflate.reset(false);
        let [0x1f, 0x8b, 8, flags, ..] = self.part::<10>()? else {
            return Err(invalid("what follows is no gzip header"));
        };
        if flags & RESERVED != 0 {
            return Err(invalid("a gzip header has unknown flags"));
        }
        if flags & EXTRA != 0 {
            for _ in 0..u16::from_le_bytes(self.part()?) {
                self.part::<1>()?;
            }
        }
        for text in [NAME, COMMENT] {
            if flags & text != 0 {
                self.text()?;
            }
        }
        if flags & HEADER_CRC != 0 {
            let [low, high, ..] = self.crc.sum().to_le_bytes();
            if self.part()? != [low, high] {
                return Err(invalid("the checksum of a gzip header is wrong"));
            }
        }
        self.crc.reset();
        Ok(())
    }

    /// Reads over a text that ends with a zero.
    fn text(&mut self) -> io::Result<()> {
        for _ in 0..TEXT {
            if self.part()? == [0] {
                return Ok(());
            }
        }
        Err(invalid("a text of a gzip header is too long"))
    }

    /// Decompresses into the room: how much it became, and what comes next.
    fn body(&mut self, room: &mut [u8]) -> (usize, Next) {
        loop {
            let ahead = match self.supply.ahead() {
                Ok(ahead) => ahead,
                Err(error) => return (0, Next::Error(error)),
            };
            let at_end = ahead.is_empty();
            let before = (self.inflate.total_in(), self.inflate.total_out());
            let done = self.inflate.decompress(ahead, room, FlushDecompress::None);
            let used = usize::try_from(self.inflate.total_in() - before.0).unwrap_or(usize::MAX);
            let n = usize::try_from(self.inflate.total_out() - before.1).unwrap_or(usize::MAX);
            self.supply.advance(used);
            self.crc.update(room.get(..n).unwrap_or_default());
            match done {
                Ok(Status::StreamEnd) => return (n, Next::Trailer),
                Ok(_) if n > 0 => return (n, Next::Body),
                Ok(_) if at_end => return (0, Next::Error(ErrorKind::UnexpectedEof.into())),
                Ok(_) if used > 0 => {}
                // Neither can be: that nothing happens at all would be for ever.
                Ok(_) | Err(_) => return (n, Next::Error(invalid("corrupt deflate stream"))),
            }
        }
    }

    /// As [`Gunzip::body`]. The decoder writes into a window of its own and stops at its end:
    /// what the room cannot take stays there, lost where the decoder met an error behind it. So
    /// the room reaches to the window's end always, behind the room given if need be.
    fn body_within(&mut self, room: &mut [u8]) -> (usize, Next) {
        let left = usize::try_from(WINDOW - self.inflate.total_out() % WINDOW).unwrap_or_default();
        if let Some(room) = room.get_mut(..left) {
            return self.body(room);
        }
        let mut more = vec![0; left];
        let (n, next) = self.body(&mut more);
        more.truncate(n);
        self.waiting = more.into();
        (self.waiting.read(room).unwrap_or_default(), next)
    }

    /// Reads a trailer, RFC 1952 §2.3.1: CRC-32 and length of the plain octets.
    fn trailer(&mut self) -> io::Result<Next> {
        let wanted = (
            self.crc.sum().to_le_bytes(),
            self.crc.amount().to_le_bytes(),
        );
        if (self.part()?, self.part()?) != wanted {
            return Err(invalid("the checksum of a gzip member is wrong"));
        }
        Ok(if self.supply.ahead()?.is_empty() {
            Next::Nothing
        } else {
            Next::Header
        })
    }
}

impl<R: Read> Read for Gunzip<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if room.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.waiting.is_empty() {
                return self.waiting.read(room);
            }
            // After an error nothing follows.
            match std::mem::replace(&mut self.next, Next::Nothing) {
                Next::Header => {
                    self.header()?;
                    self.next = Next::Body;
                }
                Next::Body => {
                    let (n, next) = self.body_within(room);
                    self.next = next;
                    if n > 0 {
                        return Ok(n);
                    }
                }
                Next::Trailer => self.next = self.trailer()?,
                Next::Error(error) => return Err(error),
                Next::Nothing => return Ok(0),
            }
        }
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
