//! Findings as comments on the frames that show them.
//!
//! A finding often comes seconds after its frames: silence has to last first. So the frames that
//! matter are held for a moment; what is found later stands on the next frame, with the times of
//! those that show it.

use std::collections::{HashMap, VecDeque};
use std::io;

use super::super::keep::Held;
use crate::desk::Filed;
use crate::diagnose::{Finding, Severity};
use crate::source::Frame;
use crate::time::{Span, Timestamp};

/// How long a frame is held. A crash loses as much.
const HELD: Span = Span::from_millis(2500);
/// Octets held at most.
const OCTETS: usize = 16 << 20;
/// Comments that wait for a frame.
const WAITING: usize = 256;

/// What a finding says in a capture.
pub(super) fn says(filed: &Filed, finding: &Finding) -> String {
    format!(
        "vpnscope: session {}: {} ({}): {}",
        filed.session.id,
        finding.cause.code,
        finding.confidence.word(),
        finding.summary
    )
}

/// Codes and confidences that were said of a session.
type Said = Vec<(&'static str, &'static str)>;

/// Frames held for a moment, and what is to be said of them.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    line: VecDeque<(Held, Vec<String>)>,
    octets: usize,
    /// What is said on the next frame.
    waiting: Vec<String>,
    said: HashMap<u32, Said>,
    unplaced: u64,
}

type Write<'a> = &'a mut dyn FnMut(&Frame<'_>, Option<&str>) -> io::Result<()>;

impl Remarks {
    /// Writes a frame now, with what waits.
    pub(super) fn at_once(&mut self, frame: &Frame<'_>, write: Write<'_>) -> io::Result<()> {
        if self.waiting.is_empty() {
            return write(frame, None);
        }
        let says = std::mem::take(&mut self.waiting).join("\n");
        write(frame, Some(&says))
    }

    /// Holds a frame, and writes those that were held long enough.
    pub(super) fn hold(&mut self, frame: &Frame<'_>, write: Write<'_>) -> io::Result<()> {
        let held = Held::new(frame);
        self.octets += held.cost();
        self.line.push_back((held, Vec::new()));
        self.advance(frame.time, write)
    }

    /// Writes what was held long enough.
    pub(super) fn advance(&mut self, now: Timestamp, write: Write<'_>) -> io::Result<()> {
        let mut result = Ok(());
        while let Some((held, _)) = self.line.front() {
            if self.octets <= OCTETS && now.since(held.frame().time) <= HELD {
                break;
            }
            result = result.and(self.pop(write));
        }
        result
    }

    /// Writes everything.
    pub(super) fn finish(&mut self, write: Write<'_>) -> io::Result<()> {
        let mut result = Ok(());
        while !self.line.is_empty() {
            result = result.and(self.pop(write));
        }
        result
    }

    fn pop(&mut self, write: Write<'_>) -> io::Result<()> {
        let Some((held, mut says)) = self.line.pop_front() else {
            return Ok(());
        };
        self.octets -= held.cost();
        says.append(&mut self.waiting);
        let says = says.join("\n");
        write(&held.frame(), (!says.is_empty()).then_some(&*says))
    }

    /// Takes a verdict, grown or final.
    pub(super) fn judged(&mut self, filed: &Filed, fails: bool, is_final: bool) {
        if fails {
            for finding in &filed.verdict.findings {
                if finding.severity != Severity::Info && self.is_new(filed, finding) {
                    self.remark(filed, finding);
                }
            }
        }
        if is_final {
            self.said.remove(&filed.session.id);
        }
    }

    fn is_new(&mut self, filed: &Filed, finding: &Finding) -> bool {
        let said = self.said.entry(filed.session.id).or_default();
        let gist = (finding.cause.code, finding.confidence.word());
        let is_new = !said.contains(&gist);
        if is_new {
            said.push(gist);
        }
        is_new
    }

    fn remark(&mut self, filed: &Filed, finding: &Finding) {
        let says = says(filed, finding);
        let mut is_placed = false;
        for evidence in &finding.evidence {
            let at = self
                .line
                .binary_search_by_key(&evidence.at.frame(), |(held, _)| held.frame().no);
            let place = at.ok().and_then(|at| self.line.get_mut(at));
            if let Some((_, remarks)) = place {
                if !remarks.contains(&says) {
                    remarks.push(says.clone());
                }
                is_placed = true;
            }
        }
        if is_placed {
            return;
        }
        if self.waiting.len() >= WAITING {
            self.unplaced += 1;
            return;
        }
        let times = finding.evidence.iter().take(4);
        let times: Vec<String> = times.map(|e| e.at.time.to_string()).collect();
        self.waiting
            .push(format!("{says} [seen before, at {}]", times.join(", ")));
    }

    /// How many findings stand in no comment.
    pub(super) fn unplaced(&self) -> u64 {
        self.unplaced + self.waiting.len() as u64
    }
}
