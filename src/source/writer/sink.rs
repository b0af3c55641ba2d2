//! Where the octets of a capture go: a file, standard output, a compressor before either.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use crate::source::file::Compression;

/// Level of Zstandard: fast enough to stand behind a capture.
const ZSTD_LEVEL: i32 = 3;

type Out = Box<dyn Write + Send>;

/// A place for octets.
pub(super) enum Sink {
    /// A file, with the length up to which it is whole.
    File(File, u64),
    Plain(Out),
    Gzip(flate2::write::GzEncoder<Out>),
    Zstd(zstd::stream::write::Encoder<'static, Out>),
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File(..) => "File",
            Self::Plain(_) => "Plain",
            Self::Gzip(_) => "Gzip",
            Self::Zstd(_) => "Zstd",
        })
    }
}

impl Sink {
    pub(super) fn create(path: &Path, compression: Option<Compression>) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Self::new(Box::new(io::stdout()), compression);
        }
        let file = File::create(path)?;
        // A named pipe or a device has no length to go back to.
        match compression {
            None if file.metadata()?.is_file() => Ok(Self::File(file, 0)),
            _ => Self::new(Box::new(file), compression),
        }
    }

    pub(super) fn new(out: Out, compression: Option<Compression>) -> io::Result<Self> {
        Ok(match compression {
            None => Self::Plain(out),
            Some(Compression::Gzip) => {
                let level = flate2::Compression::default();
                Self::Gzip(flate2::write::GzEncoder::new(out, level))
            }
            Some(Compression::Zstd) => {
                let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Writes octets whole. A file goes back to its length before when that fails.
    pub(super) fn write_whole(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file, whole) => {
                let written = file.write_all(octets);
                if written.is_ok() {
                    *whole += octets.len() as u64;
                } else {
                    file.set_len(*whole)?;
                    file.seek(SeekFrom::Start(*whole))?;
                }
                written
            }
            Self::Plain(out) => out.write_all(octets),
            Self::Gzip(encoder) => encoder.write_all(octets),
            Self::Zstd(encoder) => encoder.write_all(octets),
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(..) => Ok(()),
            Self::Plain(out) => out.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::File(..) => Ok(()),
            Self::Plain(mut out) => out.flush(),
            Self::Gzip(encoder) => encoder.finish()?.flush(),
            Self::Zstd(encoder) => encoder.finish()?.flush(),
        }
    }
}
