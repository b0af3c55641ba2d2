//! Which frames are of one session.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::budget::Budgets;
use super::keep::Conversation;
use super::seam::Seam;
use crate::assemble::Hints;
use crate::decap::Flow;
use crate::source::{Frame, FrameSource, file};
use crate::time::Timestamp;
use crate::track::session::Stamp;
use crate::track::{self, Change, Event, What};
use crate::walk::Walk;

/// A frame: its capture and its number.
type At = (u16, u64);

/// The frames of one session.
#[derive(Debug, Default)]
pub(super) struct Members {
    frames: HashSet<At>,
    /// Connections of it, and the frames between which they are of it.
    flows: HashMap<Conversation, (At, At)>,
}

/// After every frame.
const NEVER: At = (u16::MAX, u64::MAX);

impl Members {
    /// Walks files and notes which frames are of a session, as they are counted over all of them.
    /// A file that cannot be opened is passed over: who writes its frames says so.
    pub(super) fn of(
        budgets: &Budgets,
        takes: &dyn Fn(Timestamp) -> bool,
        files: &[PathBuf],
        session: u32,
    ) -> Self {
        let mut members = Self::default();
        let mut seam = Seam::default();
        let mut open: Option<Walk> = None;
        let mut sessions = 0;
        for (number, path) in (0u16..).zip(files) {
            let Ok(mut source) = file::open_within(path, number, &budgets.file()) else {
                continue;
            };
            let mut begun = false;
            while let Some(frame) = source.next_frame() {
                if !takes(frame.time) {
                    continue;
                }
                if !begun && !seam.goes_on(frame.time, frame.link) {
                    members.finish(open.take(), session, &mut sessions);
                }
                begun = true;
                let walk = open.get_or_insert_with(|| budgets.walk(sessions, Hints::default()));
                walk.frame_of(&frame, &mut |event, taken| {
                    members.note(event, taken == Some(session));
                });
                members.closed(walk, session);
            }
            if begun {
                seam.ended(source.statistics());
            }
        }
        members.finish(open, session, &mut sessions);
        members
    }

    fn finish(&mut self, walk: Option<Walk>, session: u32, sessions: &mut u32) {
        let Some(mut walk) = walk else { return };
        walk.finish_of(&mut |event, taken| self.note(event, taken == Some(session)));
        self.closed(&mut walk, session);
        *sessions = walk.numbered();
    }

    /// What a session has that was not its own yet when it came.
    fn closed(&mut self, walk: &mut Walk, number: u32) {
        while let Some(change) = walk.poll() {
            let Change::Closed(session) = change else {
                continue;
            };
            if session.id == number {
                let at = |stamp: Stamp| (stamp.capture(), stamp.frame());
                self.frames.insert(at(session.first));
                for step in &session.steps {
                    let pieces = step.frames.iter().map(|no| (step.at.capture(), *no));
                    self.frames.extend(pieces);
                    self.frames.extend(step.sightings().map(at));
                }
                let first = session.esp.iter().map(|flow| at(flow.first));
                self.frames.extend(first);
            }
        }
    }

    fn note(&mut self, event: &Event<'_>, is_member: bool) {
        let capture = event.envelope.capture;
        let (stream, at) = match event.what {
            What::Tcp(tcp) => (
                tcp.stream.flow,
                (tcp.stream.at.capture(), tcp.stream.at.frame()),
            ),
            What::Tls(
                track::TlsEvent::Item { stream, .. } | track::TlsEvent::Gap { stream, .. },
            ) => (stream.flow, (stream.at.capture(), stream.at.frame())),
            _ if event.envelope.protocol == 6 => {
                (event.envelope.flow(), (capture, event.envelope.frame))
            }
            _ => {
                if is_member {
                    self.frames
                        .extend(event.frames.iter().map(|no| (capture, *no)));
                    self.frames.insert((capture, event.envelope.frame));
                }
                return;
            }
        };
        let key = Conversation::from(stream);
        if is_member {
            self.frames
                .extend(event.frames.iter().map(|no| (capture, *no)));
            let (first, last) = self.flows.entry(key).or_insert((at, NEVER));
            *first = at.min(*first);
            *last = NEVER;
        } else if let Some((first, last)) = self.flows.get_mut(&key) {
            // Another session on the same ports.
            if *first < at {
                *last = (*last).min(at);
            }
        }
    }

    pub(super) fn has(&self, frame: &Frame<'_>, flow: Option<Flow>) -> bool {
        let at = (frame.capture, frame.no);
        self.frames.contains(&at)
            || flow
                .and_then(|flow| self.flows.get(&flow.into()))
                .is_some_and(|(first, last)| (*first..*last).contains(&at))
    }
}
