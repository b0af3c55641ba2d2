//! A window over the octets of an input.
//!
//! Takes any [`Read`]; gives the octets before the reader's place in one contiguous piece.
//! One buffer is reused: it is filled by large reads, what is left over moves to its front.
//! It knows nothing of captures.

use std::io::{self, ErrorKind, Read};

mod ahead;
pub(super) mod compressed;

use ahead::Ahead;

/// Size the buffer starts with: small enough to stay in the second-level cache.
const START: usize = 256 << 10;

/// How an input came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing follows.
    Clean,
    /// Compressed data that stops in its middle.
    CutOff,
    /// It could not be read further, for the reason the system or the decoder gave.
    Failed(String),
}

/// Where octets come from.
enum Octets {
    /// Read when they are wanted.
    Reader(Box<dyn Read + Send>),
    /// Read before they are wanted.
    Ahead(Ahead),
}

/// The window.
pub(super) struct Input {
    octets: Octets,
    buffer: Vec<u8>,
    /// Where the reader stands in `buffer`.
    at: usize,
    /// End of what was read into `buffer`.
    filled: usize,
    /// Offset of `buffer` in the whole (decompressed) input.
    base: u64,
    end: Option<End>,
}

impl Input {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self::of(Octets::Reader(reader), START)
    }

    /// As [`Input::new`], with a thread that reads ahead.
    pub(super) fn ahead_of(reader: impl Read + Send + 'static) -> io::Result<Self> {
        Ok(Self::of(Octets::Ahead(Ahead::new(reader)?), 0))
    }

    fn of(octets: Octets, start: usize) -> Self {
        Self {
            octets,
            buffer: vec![0; start],
            at: 0,
            filled: 0,
            base: 0,
            end: None,
        }
    }

    /// Offset of the reader's place in octets.
    pub(super) fn offset(&self) -> u64 {
        self.base.wrapping_add(self.at as u64)
    }

    /// The reader's place in the buffer, valid until the next `ensure`.
    #[inline]
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// How many octets `ahead` holds.
    #[inline]
    pub(super) fn available(&self) -> usize {
        self.filled - self.at
    }

    /// All octets read so far from the reader's place on.
    #[inline]
    pub(super) fn ahead(&self) -> &[u8] {
        self.ready().unwrap_or_default()
    }

    /// As `ahead`, for where each instruction counts. It is never `None`.
    #[inline]
    pub(super) fn ready(&self) -> Option<&[u8]> {
        self.buffer.get(self.at..self.filled)
    }

    /// Octets at a `place`.
    #[inline]
    pub(super) fn slice(&self, place: usize, len: usize) -> &[u8] {
        self.buffer.get(place..place + len).unwrap_or_default()
    }

    /// Steps over `n` octets that were ensured before.
    #[inline]
    pub(super) fn advance(&mut self, n: usize) {
        debug_assert!(n <= self.available(), "stepping over octets not read yet");
        self.at += n;
    }

    /// Reads until `n` octets are ahead; false where the input ends before. The caller bounds
    /// `n`: the buffer grows to hold it.
    #[inline]
    pub(super) fn ensure(&mut self, n: usize) -> bool {
        self.available() >= n || self.fill(n)
    }

    /// How the input ended, once `ensure` said no.
    pub(super) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    #[cold]
    #[inline(never)]
    fn fill(&mut self, n: usize) -> bool {
        if matches!(self.octets, Octets::Ahead(_)) {
            while self.available() < n && self.end.is_none() {
                self.next_block();
            }
            return self.available() >= n;
        }
        // Twice the need, so that moving what is left over costs less than reading the rest.
        if self.buffer.len() < n.saturating_mul(2) {
            let size = n.saturating_mul(2).next_power_of_two();
            self.buffer.resize(size, 0);
        }
        while self.available() < n {
            if self.end.is_some() {
                return false;
            }
            let left = self.available();
            let room = self.buffer.len() - self.filled;
            if self.at > 0 && (left <= self.buffer.len() / 4 || room < n - left) {
                self.buffer.copy_within(self.at..self.filled, 0);
                self.base += self.at as u64;
                (self.at, self.filled) = (0, left);
            }
            self.read_once();
        }
        true
    }

    fn read_once(&mut self) {
        let Octets::Reader(reader) = &mut self.octets else {
            return;
        };
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        match reader.read(room) {
            Ok(0) => self.end = Some(End::Clean),
            Ok(n) => self.filled = (self.filled + n).min(self.buffer.len()),
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &io::Error) {
        match error.kind() {
            ErrorKind::Interrupted => {}
            ErrorKind::UnexpectedEof => self.end = Some(End::CutOff),
            _ => self.end = Some(End::Failed(error.to_string())),
        }
    }

    /// Puts what is left before the octets of the next block, and goes on in that.
    fn next_block(&mut self) {
        let Octets::Ahead(ahead) = &self.octets else {
            return;
        };
        let mut block = match ahead.next() {
            Some(Ok(block)) => block,
            Some(Err(error)) => return self.failed(&error),
            None => return self.end = Some(End::Clean),
        };
        let offset = self.offset();
        let left = self.ready().unwrap_or_default();
        self.at = match ahead::ROOM.checked_sub(left.len()) {
            Some(at) => {
                if let Some(room) = block.get_mut(at..ahead::ROOM) {
                    room.copy_from_slice(left);
                }
                at
            }
            None => {
                // A record longer than the room.
                let fresh = block.get(ahead::ROOM..).unwrap_or_default();
                block = [left, fresh].concat();
                0
            }
        };
        self.base = offset.wrapping_sub(self.at as u64);
        self.filled = block.len();
        let used = std::mem::replace(&mut self.buffer, block);
        ahead.give_back(used);
    }
}

/// Reads up to `n` octets, fewer only at the end.
pub(super) fn read_head(reader: &mut dyn Read, n: u64) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.take(n).read_to_end(&mut head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one octet a read, with an interruption before each.
    struct Drip(u8, bool);

    impl Read for Drip {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::Interrupted.into());
            }
            if self.0 == 200 {
                return Ok(0);
            }
            room[0] = self.0;
            self.0 += 1;
            Ok(1)
        }
    }

    #[test]
    fn gives_every_octet_once_and_counts_the_offset() {
        let mut input = Input::new(Box::new(Drip(0, false)));
        for expected in 0..200_u8 {
            assert!(input.ensure(1));
            assert_eq!(input.ahead()[0], expected);
            assert_eq!(input.offset(), u64::from(expected));
            input.advance(1);
        }
        assert!(!input.ensure(1));
        assert_eq!(input.end(), Some(&End::Clean));
    }

    #[test]
    fn grows_for_a_bigger_need_and_keeps_what_was_ahead() {
        let octets: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let mut input = Input::new(Box::new(io::Cursor::new(octets.clone())));
        assert!(input.ensure(10));
        input.advance(100_000);
        assert!(input.ensure(1_000_000));
        assert_eq!(
            input.slice(input.place(), 1_000_000),
            &octets[100_000..1_100_000]
        );
        input.advance(1_000_000);
        assert_eq!(input.offset(), 1_100_000);
        assert!(input.ensure(1_900_000));
        assert!(!input.ensure(1_900_001));
        assert_eq!(input.ahead(), &octets[1_100_000..]);
    }

    #[test]
    fn reading_ahead_gives_the_same_octets() {
        let octets: Vec<u8> = (0..2_000_000_u32).map(|i| (i % 251) as u8).collect();
        let mut input = Input::ahead_of(io::Cursor::new(octets.clone())).unwrap();
        let mut at = 0;
        // Small records, one longer than the room of a block, one longer than two blocks.
        for len in (0..1000).map(|n| n % 1700 + 1).chain([100_000, 700_000]) {
            assert!(input.ensure(len));
            assert_eq!(input.offset(), at as u64);
            assert_eq!(input.slice(input.place(), len), &octets[at..at + len]);
            input.advance(len);
            at += len;
        }
        assert!(input.ensure(octets.len() - at));
        assert!(!input.ensure(octets.len() - at + 1));
        assert_eq!(input.ahead(), &octets[at..]);
        assert_eq!(input.end(), Some(&End::Clean));
        let mut dripping = Input::ahead_of(Drip(0, false)).unwrap();
        assert!(dripping.ensure(200) && !dripping.ensure(201));
    }

    #[test]
    fn a_failing_read_ends_the_input_with_its_reason() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is gone"))
            }
        }
        let mut input = Input::new(Box::new(Broken));
        assert!(!input.ensure(1));
        assert_eq!(input.end(), Some(&End::Failed("the disk is gone".into())));
    }
}
