//! The latest frames of each session, so that those before a failure can be written.

use std::collections::{HashMap, VecDeque};
use std::io;

use super::super::keep::{Conversation, Held};
use super::remarks;
use crate::desk::Filed;
use crate::source::Frame;
use crate::walk::{Fate, Walk};

/// Octets kept of a session.
const OF_A_SESSION: usize = 1 << 20;
/// Octets kept of all.
const OF_ALL: usize = 128 << 20;
/// Octets kept of what belongs to no session yet.
const WAITING: usize = 4 << 20;

#[derive(Debug, Default)]
struct Kept {
    frames: VecDeque<Held>,
    octets: usize,
    /// What comes is written at once.
    fails: bool,
    flows: Vec<Conversation>,
}

/// Frames of sessions that may fail yet.
#[derive(Debug, Default)]
pub(super) struct History {
    sessions: HashMap<u32, Kept>,
    /// Sessions in the order in which they began.
    order: VecDeque<u32>,
    octets: usize,
    /// Connections, and the sessions they belong to.
    flows: HashMap<Conversation, u32>,
    /// Fragments and segments of which the session is not known yet.
    waiting: VecDeque<(Held, Option<Conversation>)>,
    waiting_octets: usize,
}

type Write<'a> = &'a mut dyn FnMut(&Frame<'_>, Option<&str>) -> io::Result<()>;

impl History {
    /// Takes a frame through the walk and keeps it with its session.
    pub(super) fn frame(
        &mut self,
        frame: &Frame<'_>,
        walk: &mut Walk,
        write: &mut impl FnMut(&Frame<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut owner = None;
        let mut pieces: Vec<u64> = Vec::new();
        let mut stream = None;
        let fate = walk.frame_of(frame, &mut |event, taken| {
            if taken.is_some() && event.envelope.frame == frame.no {
                owner = taken;
                pieces.extend(event.frames.iter().filter(|no| **no != frame.no));
                if event.envelope.protocol == 6 {
                    stream = Some(Conversation::from(event.envelope.flow()));
                }
            }
        });
        if fate == Fate::NotOurs {
            return Ok(());
        }
        let flow = walk.front().flow().map(Conversation::from);
        let owner = owner.or_else(|| self.flows.get(&flow?).copied());
        let Some(owner) = owner else {
            self.wait(frame, flow);
            return Ok(());
        };
        let is_new = stream.is_some_and(|stream| self.flows.insert(stream, owner) != Some(owner));
        if let Some(stream) = stream.filter(|_| is_new) {
            self.session(owner).flows.push(stream);
        }
        if is_new || !pieces.is_empty() {
            self.claim(owner, stream, &pieces);
        }
        if self.sessions.get(&owner).is_some_and(|kept| kept.fails) {
            return write(frame);
        }
        self.keep(owner, Held::new(frame));
        Ok(())
    }

    /// Takes a verdict: what failed is written from the first frame that is there.
    pub(super) fn judged(
        &mut self,
        filed: &Filed,
        fails: bool,
        is_final: bool,
        write: Write<'_>,
    ) -> io::Result<()> {
        let id = filed.session.id;
        let mut result = Ok(());
        if let Some(kept) = self.sessions.get_mut(&id) {
            kept.fails = fails;
            if kept.fails && !kept.frames.is_empty() {
                let frames = std::mem::take(&mut kept.frames);
                self.octets -= std::mem::take(&mut kept.octets);
                result = write_all(&frames, filed, write);
            }
        }
        if is_final {
            self.forget(id);
            while self
                .order
                .front()
                .is_some_and(|id| !self.sessions.contains_key(id))
            {
                self.order.pop_front();
            }
        }
        result
    }

    fn forget(&mut self, id: u32) {
        let Some(kept) = self.sessions.remove(&id) else {
            return;
        };
        self.octets -= kept.octets;
        for flow in kept.flows {
            if self.flows.get(&flow) == Some(&id) {
                self.flows.remove(&flow);
            }
        }
    }

    fn session(&mut self, id: u32) -> &mut Kept {
        if !self.sessions.contains_key(&id) {
            self.order.push_back(id);
        }
        self.sessions.entry(id).or_default()
    }

    fn keep(&mut self, owner: u32, held: Held) {
        let cost = held.cost();
        let kept = self.session(owner);
        kept.octets += cost;
        kept.frames.push_back(held);
        let mut freed = 0;
        while kept.octets > OF_A_SESSION {
            let Some(oldest) = kept.frames.pop_front() else {
                break;
            };
            kept.octets -= oldest.cost();
            freed += oldest.cost();
        }
        self.octets = self.octets + cost - freed;
        while self.octets > OF_ALL {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.forget(oldest);
        }
    }

    fn wait(&mut self, frame: &Frame<'_>, flow: Option<Conversation>) {
        let held = Held::new(frame);
        self.waiting_octets += held.cost();
        self.waiting.push_back((held, flow));
        while self.waiting_octets > WAITING {
            let Some((oldest, _)) = self.waiting.pop_front() else {
                break;
            };
            self.waiting_octets -= oldest.cost();
        }
    }

    /// Gives to a session what waited for it.
    fn claim(&mut self, owner: u32, stream: Option<Conversation>, pieces: &[u64]) {
        let mut mine = Vec::new();
        let mut others = VecDeque::with_capacity(self.waiting.len());
        for (held, flow) in self.waiting.drain(..) {
            let is_mine = (stream.is_some() && flow == stream) || pieces.contains(&held.frame().no);
            if is_mine {
                mine.push(held);
            } else {
                others.push_back((held, flow));
            }
        }
        self.waiting = others;
        for held in mine {
            self.waiting_octets -= held.cost();
            self.keep(owner, held);
        }
    }
}

/// Writes the frames of a session, the evidence of its findings with what it shows.
fn write_all(frames: &VecDeque<Held>, filed: &Filed, write: Write<'_>) -> io::Result<()> {
    let findings = &filed.verdict.findings;
    let mut comments: HashMap<u64, Vec<String>> = HashMap::new();
    let last = frames.back().map_or(0, |held| held.frame().no);
    let is_there = |no: u64| frames.iter().any(|held| held.frame().no == no);
    for finding in findings {
        let says = remarks::says(filed, finding);
        let evidence = finding.evidence.iter().map(|evidence| evidence.at.frame());
        let mut at: Vec<u64> = evidence.filter(|no| is_there(*no)).collect();
        if at.is_empty() {
            at.push(last);
        }
        at.dedup();
        for no in at {
            comments.entry(no).or_default().push(says.clone());
        }
    }
    let mut result = Ok(());
    for held in frames {
        let frame = held.frame();
        let comment = comments.get(&frame.no).map(|all| all.join("\n"));
        result = result.and(write(&frame, comment.as_deref()));
    }
    result
}
