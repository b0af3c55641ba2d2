//! What a capture writes: rings of files with everything, what is ours, or what failed.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::super::keep::outbox::{Known, Outbox};
use super::super::output;
use super::history::History;
use super::remarks::Remarks;
use super::units;
use crate::desk::Filed;
use crate::source::Frame;
use crate::source::live::LiveSource;
use crate::source::writer::{Counters, Limits, Origin, Output, Ring};
use crate::time::{Span, Timestamp};
use crate::walk::Walk;

/// Which frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum What {
    /// Those that matter for a VPN
    Vpn,
    /// All that the filter passes
    All,
    /// Those of sessions that failed or are degraded, from before the failure on
    Failed,
}

/// When a new file begins, and how many stay.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_field_names,
    reason = "they are the names of the options"
)]
pub(super) struct Rings {
    /// Begin a new file after this size: 100M
    #[arg(long, value_name = "SIZE", requires = "write_to", value_parser = units::size)]
    ring_size: Option<u64>,
    /// Begin a new file after this time: 1h
    #[arg(long, value_name = "TIME", requires = "write_to", value_parser = units::duration)]
    ring_time: Option<std::time::Duration>,
    /// Begin a new file after this many frames
    #[arg(long, value_name = "N", requires = "write_to")]
    ring_packets: Option<u64>,
    /// Keep this many files, remove older ones
    #[arg(long, value_name = "N", requires = "write_to")]
    ring_files: Option<usize>,
}

/// Frames on their way to files.
pub(super) struct Writing {
    ring: Ring,
    path: PathBuf,
    what: What,
    outbox: Outbox,
    history: History,
    remarks: Remarks,
    /// What was said of the last fault, so that it is said once.
    fault: Option<String>,
    faults: Vec<String>,
}

impl Writing {
    /// Prepares the place.
    pub(super) fn create(
        path: &Path,
        what: What,
        rings: &Rings,
        source: &mut LiveSource,
    ) -> anyhow::Result<Self> {
        let span = rings.ring_time.map(|time| {
            Span::from_millis(i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 1_000_000))
        });
        let limits = Limits {
            octets: rings.ring_size,
            span,
            frames: rings.ring_packets,
            files: rings.ring_files,
        };
        let ring = Ring::create(path, Output::for_path(path), limits);
        let mut ring = ring.with_context(|| format!("cannot write {}", path.display()))?;
        for (origin, description) in source.descriptions() {
            ring.describe(origin, description);
        }
        for (origin, counters) in source.counters() {
            ring.counters(origin, counters);
        }
        Ok(Self {
            ring,
            path: path.to_path_buf(),
            what,
            outbox: Outbox::default(),
            history: History::default(),
            remarks: Remarks::default(),
            fault: None,
            faults: Vec::new(),
        })
    }

    /// Takes a frame through the walk, and keeps it where it is wanted.
    pub(super) fn frame(&mut self, frame: &Frame<'_>, walk: &mut Walk) {
        let (ring, remarks) = (&mut self.ring, &mut self.remarks);
        let write = &mut |frame: &Frame<'_>, says: Option<&str>| ring.frame(frame, says);
        let written = match self.what {
            What::All => {
                walk.frame(frame);
                remarks.at_once(frame, write)
            }
            What::Vpn => {
                let fate = walk.frame(frame);
                let known = Known {
                    fate,
                    flow: walk.front().flow(),
                    pieces: walk.front().pieces(),
                    alone: true,
                };
                self.outbox
                    .put(frame, known, &mut |frame| remarks.hold(frame, write))
            }
            What::Failed => self
                .history
                .frame(frame, walk, &mut |frame| write(frame, None)),
        };
        self.note(written);
    }

    /// Takes the verdict of a session, grown or final. What is not reported is not written for
    /// its failure either.
    pub(super) fn judged(&mut self, filed: &Filed, is_reported: bool, is_final: bool) {
        let fails = is_reported && filed.is_trouble();
        if self.what == What::Failed {
            let ring = &mut self.ring;
            let write = &mut |frame: &Frame<'_>, comment: Option<&str>| ring.frame(frame, comment);
            let written = self.history.judged(filed, fails, is_final, write);
            self.note(written);
        } else {
            self.remarks.judged(filed, fails, is_final);
        }
    }

    /// Hands on what is gathered, so that a crash loses little.
    pub(super) fn tick(&mut self, counters: &[(Origin, Counters)], now: Timestamp) {
        let ring = &mut self.ring;
        let held = self
            .remarks
            .advance(now, &mut |frame, says| ring.frame(frame, says));
        self.note(held);
        for (origin, counters) in counters {
            self.ring.counters(*origin, *counters);
        }
        let flushed = self.ring.flush();
        self.note(flushed);
    }

    /// How much was written, for people.
    pub(super) fn told(&self) -> String {
        format!(
            "; written {} frames, lost {}",
            self.ring.frames().saturating_sub(self.ring.lost()),
            self.ring.lost()
        )
    }

    /// Writes what is left, and says what could not be written.
    pub(super) fn finish(mut self, counters: &[(Origin, Counters)]) -> Vec<String> {
        let (ring, remarks) = (&mut self.ring, &mut self.remarks);
        let write = &mut |frame: &Frame<'_>, says: Option<&str>| ring.frame(frame, says);
        let left = self
            .outbox
            .finish(&mut |frame| remarks.hold(frame, write))
            .and(remarks.finish(write));
        self.note(left);
        let unplaced = self.remarks.unplaced();
        if unplaced > 0 {
            self.faults.push(format!(
                "{unplaced} findings came after the last frame: they stand here, not in {}",
                self.path.display()
            ));
        }
        self.tick(counters, Timestamp(i64::MIN));
        let finished = self.ring.finish();
        self.note(finished);
        if self.ring.lost() > 0 {
            let lost = self.ring.lost();
            self.faults.push(format!(
                "{lost} frames were not written to {}",
                self.path.display()
            ));
        }
        self.faults
    }

    /// A full disk is said, and the diagnosis goes on.
    fn note(&mut self, result: io::Result<()>) {
        let Err(error) = result else { return };
        let what = format!("{}: {error}", self.path.display());
        if self.fault.as_ref() != Some(&what) {
            output::complain(&format!("vpnscope: {what}; the diagnosis goes on"));
            if self.faults.len() < 16 {
                self.faults.push(what.clone());
            }
            self.fault = Some(what);
        }
    }
}
