//! Zstandard, RFC 8878: frames, one after the other.
//!
//! Takes compressed octets, gives the plain ones of all frames. libzstd forgets what it wrote in
//! the call that fails, which may be all that a file holds. So it is given its input block by
//! block, and a damaged file shows what comes before the damaged block however its octets arrive.

use std::io::{self, ErrorKind, Read};

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::supply::Supply;

/// Largest window accepted, as a power of two.
pub(super) const WINDOW_LOG: u32 = 27;
/// The shortest frame header, RFC 8878 §3.1.1.
const FRAME_HEADER: usize = 6;
/// A block header, RFC 8878 §3.1.1.2.
const BLOCK_HEADER: usize = 3;

/// The plain octets of all frames.
pub(super) struct Unzstd<R> {
    supply: Supply<R>,
    decoder: Decoder<'static>,
    /// How much the decoder wants next; 0 before a frame.
    wanted: usize,
    /// Whether the last room was filled, so that the decoder may hold more for the next.
    full: bool,
    ended: bool,
}

impl<R: Read> Unzstd<R> {
    pub(super) fn new(reader: R) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self {
            supply: Supply::new(reader),
            decoder,
            wanted: 0,
            full: false,
            ended: false,
        })
    }

    /// Decompresses a block at most, or what an earlier one left over.
    fn step(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let ahead = if self.full && self.wanted > 0 {
            &[]
        } else {
            let ahead = self.supply.ahead()?;
            if ahead.is_empty() {
                self.ended = true;
                return match self.wanted {
                    0 => Ok(0),
                    _ => Err(ErrorKind::UnexpectedEof.into()),
                };
            }
            ahead
        };
        let most = match self.wanted {
            0 => FRAME_HEADER,
            // What is wanted of a block that is not the last takes the next one's header in.
            wanted if wanted > BLOCK_HEADER => wanted - BLOCK_HEADER,
            // The last octets of a last block, which may be given as they come: an error in
            // what they complete costs the last one of them however many come at once.
            _ => 1,
        };
        let mut input = InBuffer::around(ahead.get(..most).unwrap_or(ahead));
        let mut output = OutBuffer::around(room);
        self.wanted = self.decoder.run(&mut input, &mut output)?;
        let (used, n) = (input.pos(), output.pos());
        self.supply.advance(used);
        self.full = n == room.len();
        Ok(n)
    }
}

impl<R: Read> Read for Unzstd<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        while !room.is_empty() && !self.ended {
            match self.step(room) {
                Ok(0) => {}
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
                given => return given,
            }
        }
        Ok(0)
    }
}
