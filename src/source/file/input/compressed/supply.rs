//! Compressed octets, as a decoder takes them.
//!
//! Takes any [`Read`]; gives what was read and not used yet.

use std::io::{self, ErrorKind, Read};

/// Octets read at once.
const SIZE: usize = 128 << 10;

/// The octets before the decoder.
pub(super) struct Supply<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where the decoder stands in `buffer`.
    at: usize,
    /// End of what was read into `buffer`.
    filled: usize,
}

impl<R: Read> Supply<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; SIZE],
            at: 0,
            filled: 0,
        }
    }

    /// What is there, read when nothing is; empty at the end of the input.
    pub(super) fn ahead(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.filled {
            self.at = 0;
            self.filled = loop {
                match self.reader.read(&mut self.buffer) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    read => break read?.min(self.buffer.len()),
                }
            };
        }
        Ok(self.buffer.get(self.at..self.filled).unwrap_or_default())
    }

    /// Steps over `n` octets of what `ahead` gave.
    pub(super) fn advance(&mut self, n: usize) {
        self.at = self.at.saturating_add(n).min(self.filled);
    }

    /// The next octet; an error where there is none.
    pub(super) fn octet(&mut self) -> io::Result<u8> {
        let first = self.ahead()?.first().copied();
        self.advance(1);
        first.ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }
}
