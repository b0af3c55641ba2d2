//! Files that are walked on threads of their own, while sessions of those before them are judged.
//!
//! A lane walks one file and hands on what ended, in order. It begins before it is known
//! whether its file goes on where the one before it stopped: where that proves true, what it did
//! is thrown away. An input that can be read once only waits until it is known.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope};

use super::{Args, Walked, Watcher, walk_through};
use crate::source::file;
use crate::source::{Frame, LinkType, SourceError};
use crate::time::Timestamp;
use crate::track::Session;
use crate::walk::Walk;

/// Sessions that are handed on together.
const BATCH: usize = 32;
/// Files that were walked and wait for their turn, at most.
const WAITING: usize = 2;
/// Batches on the way.
const BATCHES: usize = 48;

/// Sessions as the tracker gives them.
type Batch = Vec<Box<Session>>;

/// What a lane hands on.
pub(super) enum Part {
    /// The first frame that was asked for.
    Began(Timestamp, LinkType),
    /// Sessions that ended, up to this offset of the input.
    Over(Batch, u64),
    /// The end of the file.
    Done(Box<Walked>),
    /// It cannot be read at all.
    Refused(SourceError),
}

/// One file on its way.
pub(super) struct Lane {
    pub(super) path: PathBuf,
    pub(super) number: u16,
    /// What it handed on already.
    first: Option<Part>,
    parts: Receiver<Part>,
    /// Who waits for a walk.
    walk: Option<SyncSender<Walk>>,
}

/// Files in order, so many at a time.
pub(super) struct Lanes<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    args: &'env Args,
    next: usize,
    /// Lanes that walk at a time.
    most: usize,
    walking: Arc<AtomicUsize>,
    /// Those that were begun, in order.
    begun: VecDeque<Lane>,
    /// Whether the last file went on from the one before it: then the next one will, too.
    slices: bool,
}

impl<'scope, 'env> Lanes<'scope, 'env> {
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, args: &'env Args) -> Self {
        Self {
            scope,
            args,
            next: 0,
            most: args.threads.clamp(1, 64),
            walking: Arc::default(),
            begun: VecDeque::new(),
            slices: false,
        }
    }

    /// The next file in order; those after it are begun.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Lane>> {
        self.fill()?;
        if self.begun.is_empty() {
            // Whoever walks yet is about to end: its file was the one before.
            self.begin_next()?;
        }
        Ok(self.begun.pop_front())
    }

    /// Begins files while there are threads for them. One that was walked waits with all that was
    /// open at its end, so there are few of them.
    pub(super) fn fill(&mut self) -> anyhow::Result<()> {
        while self.walking.load(Ordering::Relaxed) < self.most
            && self.begun.len() < self.most + WAITING
            && self.begin_next()?
        {}
        Ok(())
    }

    /// Begins the next file; `false` where there is none.
    fn begin_next(&mut self) -> anyhow::Result<bool> {
        let (Some(path), Ok(number)) = (self.args.files.get(self.next), u16::try_from(self.next))
        else {
            return Ok(false);
        };
        let waits = self.slices || !path.is_file();
        let lane = self.begin(path, number, waits)?;
        self.begun.push_back(lane);
        self.next += 1;
        Ok(true)
    }

    /// The same file with the walk of the one before it, from its start where it was begun without.
    /// Where it cannot be read a second time the walk stays where it is.
    pub(super) fn go_on(&mut self, lane: Lane, walk: &mut Option<Walk>) -> anyhow::Result<Lane> {
        self.slices = true;
        let mut lane = lane;
        if lane.walk.is_none() {
            let (path, number) = (lane.path.clone(), lane.number);
            // It stops with the next thing it has to say.
            drop(lane);
            lane = self.begin(&path, number, true)?;
            match lane.parts.recv().ok() {
                // It is known.
                Some(Part::Began(..)) => {}
                other => {
                    lane.first = other;
                    return Ok(lane);
                }
            }
        }
        Ok(match walk.take() {
            Some(walk) => lane.with(walk),
            None => lane,
        })
    }

    /// The file has a walk of its own.
    pub(super) fn start(&mut self, lane: Lane, walk: impl FnOnce() -> Walk) -> Lane {
        self.slices = false;
        if lane.walk.is_some() {
            lane.with(walk())
        } else {
            lane
        }
    }

    fn begin(&self, path: &Path, number: u16, waits: bool) -> anyhow::Result<Lane> {
        let (parts, received) = sync_channel(BATCHES);
        let (walk, given) = sync_channel(1);
        let args = self.args;
        let worker = Worker {
            args,
            parts,
            walk: waits.then_some(given),
            batch: Vec::new(),
            _walking: Walking::new(&self.walking),
        };
        let from = path.to_path_buf();
        thread::Builder::new()
            .name("walk".into())
            .spawn_scoped(self.scope, move || worker.run(&from, number))?;
        Ok(Lane {
            path: path.to_path_buf(),
            number,
            first: None,
            parts: received,
            walk: waits.then_some(walk),
        })
    }
}

impl Lane {
    /// What it hands on next; `None` where it ended in another way than it should.
    pub(super) fn part(&mut self) -> Option<Part> {
        self.first.take().or_else(|| self.parts.recv().ok())
    }

    fn with(mut self, walk: Walk) -> Self {
        if let Some(to) = self.walk.take() {
            drop(to.send(walk));
        }
        self
    }
}

/// The walking end of a lane.
struct Worker<'a> {
    args: &'a Args,
    parts: SyncSender<Part>,
    /// Where its walk comes from, unless it makes one.
    walk: Option<Receiver<Walk>>,
    batch: Batch,
    _walking: Walking,
}

/// Counts who walks.
struct Walking(Arc<AtomicUsize>);

impl Walking {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Walking {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Nobody wants the rest.
struct Stopped;

impl Worker<'_> {
    fn run(mut self, path: &Path, number: u16) {
        // Where there are more threads than files, one reads frames while another one tracks; a
        // third one for octets alone would only wake them.
        let threads = self.args.threads;
        let in_halves = threads > self.args.files.len();
        let limits = file::Limits {
            ahead: !in_halves || threads > 2,
            ..self.args.common.budgets.file()
        };
        let last = match file::open_within(path, number, &limits) {
            Ok(source) => match walk_through(source, &self.args.choice, &mut self, in_halves) {
                Ok(walked) => Part::Done(Box::new(walked)),
                Err(Stopped) => return,
            },
            Err(error) => Part::Refused(error),
        };
        let _ = self.hand_on(0).and_then(|()| self.say(last));
    }

    fn say(&self, part: Part) -> Result<(), Stopped> {
        self.parts.send(part).map_err(|_| Stopped)
    }

    fn hand_on(&mut self, offset: u64) -> Result<(), Stopped> {
        if self.batch.is_empty() && offset == 0 {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.say(Part::Over(batch, offset))
    }
}

impl Watcher for Worker<'_> {
    type Error = Stopped;

    fn begin(&mut self, frame: &Frame<'_>) -> Result<Walk, Stopped> {
        self.say(Part::Began(frame.time, frame.link))?;
        match &self.walk {
            Some(walk) => walk.recv().map_err(|_| Stopped),
            None => Ok(self.args.walk(0)),
        }
    }

    fn frame(&mut self, _: &Frame<'_>) {}

    fn over(&mut self, session: Box<Session>) -> Result<(), Stopped> {
        self.batch.push(session);
        if self.batch.len() < BATCH {
            return Ok(());
        }
        self.hand_on(0)
    }

    fn at(&mut self, offset: u64) -> Result<(), Stopped> {
        self.hand_on(offset)
    }
}
