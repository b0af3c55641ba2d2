//! Gzip and Zstandard, decompressed on a thread of their own.
//!
//! Takes a compressed stream, gives a [`Read`] over the plain octets. Memory is bounded: a few
//! blocks travel between the two threads, and a Zstandard window is at most 128 MiB. What comes
//! before an error is given in full.

use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::source::file::Limits;

mod gunzip;
mod supply;
mod unzstd;

use gunzip::Gunzip;
use unzstd::Unzstd;

/// Octets in a block that travels between the threads.
const BLOCK: usize = 256 << 10;
/// Blocks on the way.
const BLOCKS: usize = 4;

/// Plain octets from which on their ratio to the compressed ones is looked at: a small file
/// harms nobody.
const UNCHECKED: u64 = 64 << 20;

/// A compression recognised by its first octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// The compression a stream begins with, if any.
    pub(in crate::source::file) fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, 0x08, ..] => Some(Self::Gzip),
            // A frame, or a skippable frame before it, as parallel compressors write.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Its name for messages.
    pub(in crate::source::file) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The plain octets of `reader`.
    pub(in crate::source::file) fn plain(
        self,
        reader: impl Read + Send + 'static,
        limits: Limits,
    ) -> io::Result<Box<dyn Read + Send>> {
        let mut meter = Meter {
            limits,
            read: Arc::default(),
            plain: 0,
        };
        let reader = Counted {
            reader,
            read: Arc::clone(&meter.read),
        };
        let (blocks, received) = sync_channel(BLOCKS);
        let (used, reuse) = sync_channel(BLOCKS + 2);
        let work = move || match self {
            Self::Gzip => pump(Gunzip::new(reader), &mut meter, &blocks, &reuse),
            Self::Zstd => match Unzstd::new(reader) {
                Ok(decoder) => pump(decoder, &mut meter, &blocks, &reuse),
                // Nobody listens only when the reader was dropped.
                Err(error) => drop(blocks.send(Err(error))),
            },
        };
        thread::Builder::new()
            .name("decompress".into())
            .spawn(work)?;
        Ok(Box::new(Plain {
            blocks: received,
            used,
            block: Vec::new(),
            at: 0,
        }))
    }
}

/// Counts what is read.
struct Counted<R> {
    reader: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(room)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// How many octets became how many.
struct Meter {
    limits: Limits,
    read: Arc<AtomicU64>,
    plain: u64,
}

impl Meter {
    /// Adds plain octets; an error where there are too many.
    fn add(&mut self, octets: usize) -> io::Result<()> {
        self.plain = self.plain.saturating_add(octets as u64);
        let Limits { ratio, plain, .. } = self.limits;
        if self.plain > plain {
            let what = format!("it is longer than {plain} octets when decompressed");
            return Err(io::Error::other(what));
        }
        let read = self.read.load(Ordering::Relaxed).max(1);
        if self.plain > UNCHECKED && self.plain / read > ratio {
            let what = format!(
                "{read} octets became {} when decompressed, more than {ratio} times as many",
                self.plain
            );
            return Err(io::Error::other(what));
        }
        Ok(())
    }
}

/// Decompresses block by block until the end, an error, or nobody listens.
fn pump(
    mut decoder: impl Read,
    meter: &mut Meter,
    blocks: &SyncSender<io::Result<Vec<u8>>>,
    reuse: &Receiver<Vec<u8>>,
) {
    loop {
        let mut block = reuse.try_recv().unwrap_or_default();
        block.resize(BLOCK, 0);
        let (filled, end) = fill(&mut decoder, &mut block);
        block.truncate(filled);
        if let Err(error) = meter.add(filled) {
            return drop(blocks.send(Err(error)));
        }
        if !block.is_empty() && blocks.send(Ok(block)).is_err() {
            return;
        }
        match end {
            None => {}
            Some(Ok(())) => return,
            Some(Err(error)) => return drop(blocks.send(Err(error))),
        }
    }
}

/// Fills a block. What came before an error is kept.
fn fill(decoder: &mut impl Read, block: &mut [u8]) -> (usize, Option<io::Result<()>>) {
    let mut filled = 0;
    while let Some(room) = block.get_mut(filled..).filter(|room| !room.is_empty()) {
        match decoder.read(room) {
            Ok(0) => return (filled, Some(Ok(()))),
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(Err(error))),
        }
    }
    (filled, None)
}

/// The reading end.
struct Plain {
    blocks: Receiver<io::Result<Vec<u8>>>,
    used: SyncSender<Vec<u8>>,
    block: Vec<u8>,
    at: usize,
}

impl Read for Plain {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.block.len() {
            let Ok(next) = self.blocks.recv() else {
                return Ok(0);
            };
            let used = std::mem::replace(&mut self.block, next?);
            self.at = 0;
            // A block too many is simply freed.
            drop(self.used.try_send(used));
        }
        let n = self.block.get(self.at..).unwrap_or_default().read(room)?;
        self.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Write};

    fn octets() -> Vec<u8> {
        (0..1_500_000_u32).flat_map(u32::to_le_bytes).collect()
    }

    fn gzip(octets: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(octets).unwrap();
        encoder.finish().unwrap()
    }

    fn plain(compressed: Vec<u8>) -> (Vec<u8>, io::Result<()>) {
        within(compressed, Limits::default())
    }

    fn within(compressed: Vec<u8>, limits: Limits) -> (Vec<u8>, io::Result<()>) {
        let compression = Compression::of(&compressed).unwrap();
        let mut reader = compression.plain(Cursor::new(compressed), limits).unwrap();
        let mut out = Vec::new();
        let end = reader.read_to_end(&mut out).map(drop);
        (out, end)
    }

    #[test]
    fn gives_the_plain_octets_of_both_compressions() {
        let octets = octets();
        for compressed in [gzip(&octets), zstd::encode_all(&octets[..], 1).unwrap()] {
            let (out, end) = plain(compressed);
            assert!(end.is_ok());
            assert!(out == octets);
        }
    }

    #[test]
    fn reads_on_over_members_and_frames_that_follow() {
        let twice = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(plain(twice).0, b"one two");
        let frame = |octets: &[u8]| zstd::encode_all(octets, 1).unwrap();
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        let parts = [skippable, frame(b"one "), frame(b"two")].concat();
        assert_eq!(plain(parts).0, b"one two");
    }

    #[test]
    fn what_came_before_a_cut_is_given_and_the_cut_is_named() {
        let octets = octets();
        for mut compressed in [gzip(&octets), zstd::encode_all(&octets[..], 1).unwrap()] {
            compressed.truncate(compressed.len() / 2);
            let (out, end) = plain(compressed);
            assert!(out.len() > 100_000 && octets.starts_with(&out));
            assert_eq!(end.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        }
    }

    /// Gives few octets at a time, never as many as before, now and then none for the moment.
    struct Drip(Cursor<Vec<u8>>, u64);

    impl Read for Drip {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1.is_multiple_of(7) {
                return Err(ErrorKind::Interrupted.into());
            }
            (&mut self.0).take(self.1 * 31 % 1021 + 1).read(room)
        }
    }

    /// What a decoder gives, and how that ends.
    fn all(mut decoder: impl Read) -> (Vec<u8>, Option<String>) {
        let (mut out, mut block) = (Vec::new(), vec![0; BLOCK]);
        loop {
            let (filled, end) = fill(&mut decoder, &mut block);
            out.extend(&block[..filled]);
            match end {
                None => {}
                Some(end) => return (out, end.err().map(|error| error.to_string())),
            }
        }
    }

    /// Plain octets, some of which come again; compressed in two pieces.
    fn damaged(compress: impl Fn(&[u8]) -> Vec<u8>) -> (Vec<u8>, usize) {
        let mut noise = 1_u32;
        let mut plain = Vec::new();
        while plain.len() < 700_000 {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (value, times) = ((noise >> 8).to_le_bytes(), noise as usize >> 29);
            plain.extend(value.repeat(times));
        }
        let first = compress(&plain[..600_000]);
        let len = first.len();
        ([first, compress(&plain[600_000..])].concat(), len)
    }

    /// A flipped bit anywhere: what is read does not depend on how the octets arrive, and all
    /// that comes before the damage is there.
    fn damage<D: Read>(
        compress: impl Fn(&[u8]) -> Vec<u8>,
        decoder: impl Fn(Box<dyn Read>) -> D,
        places: usize,
    ) -> usize {
        let (whole, first) = damaged(compress);
        let mut named = 0;
        let anywhere = (0..places).map(|n| n * whole.len() / places);
        for place in anywhere.chain([first - 1, first, first + 3, whole.len() - 1]) {
            let mut bad = whole.clone();
            bad[place] ^= 1 << (place % 8);
            let before = all(decoder(Box::new(Cursor::new(bad[..place].to_vec()))));
            let (out, end) = all(decoder(Box::new(Cursor::new(bad.clone()))));
            let dripped = all(decoder(Box::new(Drip(Cursor::new(bad), 0))));
            assert!((&out, &end) == (&dripped.0, &dripped.1), "{place}: {end:?}");
            assert!(out.starts_with(&before.0), "{place}: {end:?}");
            named += usize::from(end.is_some());
        }
        named
    }

    #[test]
    fn damaged_gzip_reads_the_same_however_it_arrives() {
        // Some octets of a header mean nothing to anybody.
        assert!(damage(gzip, Gunzip::new, 40) >= 40);
    }

    #[test]
    fn damaged_zstandard_reads_the_same_however_it_arrives() {
        let compress = |octets: &[u8]| {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(octets).unwrap();
            encoder.finish().unwrap()
        };
        assert!(damage(compress, |reader| Unzstd::new(reader).unwrap(), 40) >= 40);
    }

    #[test]
    fn a_lie_about_the_length_costs_the_same_however_it_arrives() {
        // One segment of 20 octets; its last block has 10, uncompressed.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, 20, 10 << 3 | 1, 0, 0];
        frame.extend(b"0123456789");
        let at_once = all(Unzstd::new(&frame[..]).unwrap());
        assert_eq!(at_once.0, b"012345678");
        assert!(at_once.1.is_some());
        for step in 1..12 {
            let parts = frame.chunks(step).map(Cursor::new);
            let reader = parts.fold(Box::new(io::empty()) as Box<dyn Read>, |all, part| {
                Box::new(all.chain(part))
            });
            assert_eq!(all(Unzstd::new(reader).unwrap()), at_once);
        }
    }

    #[test]
    fn all_parts_of_a_gzip_header_are_read_over() {
        let mut member = vec![0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 3];
        member.extend([3, 0, 1, 2, 3]);
        member.extend(b"a name\0a comment\0");
        let mut crc = flate2::Crc::new();
        crc.update(&member);
        member.extend(&crc.sum().to_le_bytes()[..2]);
        member.extend(&gzip(b"plain")[10..]);
        assert_eq!(all(Gunzip::new(&member[..])), (b"plain".to_vec(), None));
        for place in 0..member.len() {
            let (out, end) = all(Gunzip::new(&member[..place]));
            assert!(end.is_some() && b"plain".starts_with(&out[..]), "{place}");
            let mut bad = member.clone();
            bad[place] ^= 0x20;
            // Only the last bits of the deflate stream, before the trailer, mean nothing.
            let filler = place == member.len() - 9;
            assert!(filler || all(Gunzip::new(&bad[..])).1.is_some(), "{place}");
        }
        let mut endless = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3];
        endless.resize(1 << 20, b'a');
        let (_, end) = all(Gunzip::new(&endless[..]));
        assert_eq!(end.unwrap(), "a text of a gzip header is too long");
    }

    #[test]
    fn a_window_beyond_the_bound_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(unzstd::WINDOW_LOG + 1).unwrap();
        encoder.long_distance_matching(true).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(&octets()).unwrap();
        let (out, end) = plain(encoder.finish().unwrap());
        assert!(out.is_empty());
        assert!(end.unwrap_err().to_string().contains("too much memory"));
    }

    #[test]
    fn what_becomes_too_much_is_given_up_and_said_so() {
        let bomb = vec![0; 100 << 20];
        // The fast level stays under the ratio with some back ends.
        let best = flate2::Compression::best();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), best);
        encoder.write_all(&bomb).unwrap();
        let gzip = encoder.finish().unwrap();
        for compressed in [gzip, zstd::encode_all(&bomb[..], 1).unwrap()] {
            let (out, end) = plain(compressed.clone());
            assert!((60 << 20..70 << 20).contains(&out.len()), "{}", out.len());
            let what = end.unwrap_err().to_string();
            assert!(what.contains("more than 250 times as many"), "{what}");
            let generous = Limits {
                ratio: 1 << 20,
                ..Limits::default()
            };
            assert!(within(compressed.clone(), generous).1.is_ok());
            let narrow = Limits {
                plain: 1 << 20,
                ..generous
            };
            let (out, end) = within(compressed, narrow);
            assert!(out.len() <= 1 << 20);
            assert!(end.unwrap_err().to_string().contains("longer than 1048576"));
        }
    }
}
