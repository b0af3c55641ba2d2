//! A capture spread over files: a new one by size, time or count, the oldest removed.
//!
//! Names are those of dumpcap: `name_00001_20260301120000.pcapng`, number and time of the
//! first frame, UTC.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Counters, Description, Origin, Output, Writer};
use crate::source::Frame;
use crate::time::{Civil, Span, Timestamp};

/// When a new file begins, and how many stay. Without a limit there is one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Octets of a file, before compression.
    pub octets: Option<u64>,
    /// Time from the first frame of a file.
    pub span: Option<Span>,
    /// Frames of a file.
    pub frames: Option<u64>,
    /// Files kept; older ones of this run are removed.
    pub files: Option<usize>,
}

impl Limits {
    fn is_ring(&self) -> bool {
        self.octets.is_some() || self.span.is_some() || self.frames.is_some()
    }
}

/// The files being written.
#[derive(Debug)]
pub struct Ring {
    path: PathBuf,
    output: Output,
    limits: Limits,
    current: Option<(Writer, Timestamp)>,
    files: VecDeque<PathBuf>,
    number: u64,
    descriptions: BTreeMap<Origin, Description>,
    counters: BTreeMap<Origin, Counters>,
    frames: u64,
    lost: u64,
}

impl Ring {
    /// Prepares to write. Without limits the one file is created at once, so that a place that
    /// cannot be written to is known before the first frame; with limits it is tried out.
    pub fn create(path: &Path, output: Output, limits: Limits) -> io::Result<Self> {
        let mut ring = Self {
            path: path.to_path_buf(),
            output,
            limits,
            current: None,
            files: VecDeque::new(),
            number: 0,
            descriptions: BTreeMap::new(),
            counters: BTreeMap::new(),
            frames: 0,
            lost: 0,
        };
        if limits.is_ring() {
            let trial = numbered(path, 0, Timestamp(0));
            fs::File::create(&trial)?;
            fs::remove_file(&trial)?;
        } else {
            let writer = Writer::create(path, output)?;
            ring.current = Some((writer, Timestamp(0)));
            ring.files.push_back(path.to_path_buf());
        }
        Ok(ring)
    }

    /// Says what is known of an interface, before its first frame.
    pub fn describe(&mut self, origin: Origin, description: Description) {
        if let Some((writer, _)) = &mut self.current {
            writer.describe(origin, description.clone());
        }
        self.descriptions.insert(origin, description);
    }

    /// Writes a frame, into a new file where a limit says so.
    pub fn frame(&mut self, frame: &Frame<'_>, comment: Option<&str>) -> io::Result<()> {
        self.frames += 1;
        // A file that cannot be ended does not keep the next from beginning.
        let closed = if self.is_full(frame.time) {
            self.close()
        } else {
            Ok(())
        };
        if self.current.is_none() {
            self.begin(frame.time).inspect_err(|_| self.lost += 1)?;
        }
        match &mut self.current {
            Some((writer, _)) => closed.and(writer.frame(frame, comment)),
            None => closed,
        }
    }

    /// Keeps the latest counters of an interface; they are written at the end of each file.
    pub fn counters(&mut self, origin: Origin, counters: Counters) {
        self.counters.insert(origin, counters);
    }

    /// The files written and not removed again, oldest first.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }

    /// Frames given so far, those lost included.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Frames lost because they could not be written.
    pub fn lost(&self) -> u64 {
        self.lost + self.current.as_ref().map_or(0, |(writer, _)| writer.lost())
    }

    /// Hands everything on to the system.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.current {
            Some((writer, _)) => writer.flush(),
            None => Ok(()),
        }
    }

    /// Writes what is left.
    pub fn finish(&mut self) -> io::Result<()> {
        self.close()
    }

    fn is_full(&self, now: Timestamp) -> bool {
        let Some((writer, begun)) = &self.current else {
            return false;
        };
        let Limits {
            octets,
            span,
            frames,
            ..
        } = self.limits;
        octets.is_some_and(|most| writer.octets() >= most)
            || frames.is_some_and(|most| writer.frames() >= most)
            || span.is_some_and(|most| now.since(*begun) >= most)
    }

    fn begin(&mut self, now: Timestamp) -> io::Result<()> {
        self.number += 1;
        let path = numbered(&self.path, self.number, now);
        let mut writer = Writer::create(&path, self.output)?;
        for (origin, description) in &self.descriptions {
            writer.describe(*origin, description.clone());
        }
        self.current = Some((writer, now));
        self.files.push_back(path);
        while self
            .limits
            .files
            .is_some_and(|most| self.files.len() > most.max(1))
        {
            if let Some(oldest) = self.files.pop_front() {
                match fs::remove_file(oldest) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        let Some((mut writer, _)) = self.current.take() else {
            return Ok(());
        };
        let mut result = Ok(());
        for (origin, counters) in &self.counters {
            result = result.and(writer.counters(*origin, counters));
        }
        result = result.and(writer.flush());
        self.lost += writer.lost();
        result.and(writer.finish())
    }
}

/// The name of a file of a ring: number and time stand before all its extensions.
fn numbered(path: &Path, number: u64, time: Timestamp) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (stem, extensions) = match name.char_indices().skip(1).find(|(_, c)| *c == '.') {
        Some((at, _)) => name.split_at(at),
        None => (&*name, ""),
    };
    let Civil {
        year,
        month,
        day,
        time: (hour, minute, second),
        ..
    } = Civil::from(time);
    let stamp = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}");
    path.with_file_name(OsString::from(format!(
        "{stem}_{number:05}_{stamp}{extensions}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_number_and_time_before_the_extensions() {
        let time = Timestamp::from_parts(951_827_696, 0);
        let name = |path: &str| numbered(Path::new(path), 7, time).display().to_string();
        assert_eq!(
            name("/var/ring.pcapng.zst"),
            "/var/ring_00007_20000229123456.pcapng.zst"
        );
        assert_eq!(name("ring"), "ring_00007_20000229123456");
        assert_eq!(name(".hidden"), ".hidden_00007_20000229123456");
    }
}
