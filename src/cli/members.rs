//! Which frames are of one session.

use std::collections::{HashMap, HashSet};

use super::budget::Budgets;
use super::keep::Conversation;
use crate::assemble::Hints;
use crate::decap::Flow;
use crate::source::FrameSource;
use crate::source::file::FileSource;
use crate::time::Timestamp;
use crate::track::{self, Change, Event, What};
use crate::walk::Walk;

/// The frames of one session.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// By number.
    frames: HashSet<u64>,
    /// Connections of it, and the frames between which they are of it.
    flows: HashMap<Conversation, (u64, u64)>,
}

impl Members {
    /// Walks a file and notes which frames are of a session. Sessions are counted on over
    /// files.
    pub(super) fn of(
        budgets: &Budgets,
        takes: &dyn Fn(Timestamp) -> bool,
        mut source: FileSource,
        session: u32,
        sessions: &mut u32,
    ) -> Self {
        let mut members = Self::default();
        let mut walk = budgets.walk(*sessions, Hints::default());
        while let Some(frame) = source.next_frame() {
            if takes(frame.time) {
                walk.frame_of(&frame, &mut |event, taken| {
                    members.note(event, taken == Some(session));
                });
                members.closed(&mut walk, session);
            }
        }
        walk.finish_of(&mut |event, taken| members.note(event, taken == Some(session)));
        members.closed(&mut walk, session);
        *sessions = walk.numbered();
        members
    }

    /// What a session has that was not its own yet when it came.
    fn closed(&mut self, walk: &mut Walk, number: u32) {
        while let Some(change) = walk.poll() {
            let Change::Closed(session) = change else {
                continue;
            };
            if session.id == number {
                self.frames.insert(session.first.frame);
                for step in &session.steps {
                    self.frames.extend(&step.frames);
                    self.frames.extend(step.sightings().map(|at| at.frame));
                }
                self.frames
                    .extend(session.esp.iter().map(|flow| flow.first.frame));
            }
        }
    }

    fn note(&mut self, event: &Event<'_>, is_member: bool) {
        let (stream, at) = match event.what {
            What::Tcp(tcp) => (tcp.stream.flow, tcp.stream.at.frame),
            What::Tls(
                track::TlsEvent::Item { stream, .. } | track::TlsEvent::Gap { stream, .. },
            ) => (stream.flow, stream.at.frame),
            _ if event.envelope.protocol == 6 => (event.envelope.flow(), event.envelope.frame),
            _ => {
                if is_member {
                    self.frames.extend(event.frames);
                    self.frames.insert(event.envelope.frame);
                }
                return;
            }
        };
        let key = Conversation::from(stream);
        if is_member {
            self.frames.extend(event.frames);
            let (first, last) = self.flows.entry(key).or_insert((at, u64::MAX));
            *first = at.min(*first);
            *last = u64::MAX;
        } else if let Some((first, last)) = self.flows.get_mut(&key) {
            // Another session on the same ports.
            if *first < at {
                *last = (*last).min(at);
            }
        }
    }

    pub(super) fn has(&self, no: u64, flow: Option<Flow>) -> bool {
        self.frames.contains(&no)
            || flow
                .and_then(|flow| self.flows.get(&flow.into()))
                .is_some_and(|(first, last)| (*first..*last).contains(&no))
    }
}
