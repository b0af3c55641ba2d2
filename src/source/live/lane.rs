//! A ring and who reads it: the caller itself, or a thread of its own.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::handle::{Counted, Fetched, Handle, Head};
use super::{LATE, Options, clock, wall_clock};
use crate::source::LinkType;
use crate::time::{Span, Timestamp};

/// Octets of frames handed over at once, and how many of them at most.
const BATCH_OCTETS: usize = 512 << 10;
const BATCH_FRAMES: usize = 2048;
/// Batches of a lane that may be on their way.
const BATCHES: usize = 8;
/// Longest sleep of a reader, so that it hears when it is over.
const NAP: Duration = Duration::from_millis(50);

/// What a look for a frame found.
#[derive(Debug)]
pub(super) enum Found {
    /// A frame is there, or nothing.
    Looked,
    /// The interface is gone.
    Lost(String),
    /// The interface is back.
    Returned,
}

/// Frames that a reader took out of its ring.
#[derive(Default)]
struct Batch {
    octets: Vec<u8>,
    heads: Vec<(Head, usize)>,
    /// What happened after the frames.
    news: Option<Found>,
    /// Every frame captured before stands in this batch or an earlier one.
    seen_up_to: Timestamp,
}

impl Batch {
    fn empty(&mut self) {
        self.octets.clear();
        self.heads.clear();
        self.news = None;
        self.seen_up_to = Timestamp(i64::MIN);
    }

    fn is_full(&self) -> bool {
        self.octets.len() >= BATCH_OCTETS || self.heads.len() >= BATCH_FRAMES
    }
}

/// What reader and caller both know.
struct Shared {
    over: AtomicBool,
    counted: Mutex<Counted>,
    link: Mutex<LinkType>,
}

/// A thread that reads a ring, seen from outside.
pub(super) struct Reader {
    full: Receiver<Batch>,
    empty: Sender<Batch>,
    batches: VecDeque<Batch>,
    /// Next frame of the first batch, and where it begins.
    next: (usize, usize),
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// A ring.
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) filter: Option<String>,
    /// Number of its interface.
    pub(super) interface: usize,
    /// The frame that comes next, if one was fetched.
    pub(super) head: Option<Head>,
    /// Every frame captured before was fetched.
    pub(super) seen_up_to: Timestamp,
    pub(super) link: LinkType,
    /// The interface is gone and not back.
    pub(super) is_lost: bool,
    /// `head` was given; its octets are still read.
    pub(super) is_given: bool,
    way: Way,
}

enum Way {
    Here(Box<Handle>),
    Apart(Reader),
    /// Between the two, and after a thread that could not be started.
    Nowhere,
}

impl Lane {
    pub(super) fn new(handle: Handle, interface: usize) -> Self {
        Self {
            name: handle.name.clone(),
            filter: handle.filter.clone(),
            interface,
            head: None,
            // Nothing came before it was opened.
            seen_up_to: wall_clock(),
            link: handle.link,
            is_lost: false,
            is_given: false,
            way: Way::Here(Box::new(handle)),
        }
    }

    /// Gives the ring to a thread of its own, which wakes the caller through `bell`.
    pub(super) fn part(&mut self, options: &Options, bell: &SyncSender<()>) {
        let Way::Here(handle) = std::mem::replace(&mut self.way, Way::Nowhere) else {
            return;
        };
        let (to_caller, full) = channel();
        let (empty, to_reader) = channel();
        for _ in 0..BATCHES {
            empty.send(Batch::default()).ok();
        }
        let shared = Arc::new(Shared {
            over: AtomicBool::new(false),
            counted: Mutex::default(),
            link: Mutex::new(handle.link),
        });
        let work = Work {
            handle: *handle,
            options: options.clone(),
            shared: shared.clone(),
            full: to_caller,
            empty: to_reader,
            bell: bell.clone(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("ring {}", self.name))
            .spawn(move || work.go());
        let Ok(thread) = thread else { return };
        self.way = Way::Apart(Reader {
            full,
            empty,
            batches: VecDeque::new(),
            next: (0, 0),
            shared,
            thread: Some(thread),
        });
    }

    /// Whether anything can come from here before the caller opens it again.
    pub(super) fn is_open(&self) -> bool {
        match &self.way {
            Way::Here(handle) => handle.is_open(),
            Way::Apart(_) => true,
            Way::Nowhere => false,
        }
    }

    /// How far another lane may be ahead before this one is no longer waited for: then the
    /// clock was set back. A thread may also be late because the machine is busy.
    pub(super) fn patience(&self) -> Span {
        match &self.way {
            Way::Here(_) => Span::from_secs(2),
            Way::Apart(_) | Way::Nowhere => Span::from_secs(10),
        }
    }

    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.way {
            Way::Here(handle) => handle.descriptor(),
            Way::Apart(_) | Way::Nowhere => None,
        }
    }

    /// When a lost interface is tried next, where the caller has to do that.
    pub(super) fn next_try(&self) -> Option<Instant> {
        match &self.way {
            Way::Here(handle) => handle.next_try(),
            Way::Apart(_) | Way::Nowhere => None,
        }
    }

    /// The octets of `head`.
    pub(super) fn octets(&self) -> &[u8] {
        match &self.way {
            Way::Here(handle) => &handle.octets,
            Way::Apart(reader) => reader.octets(),
            Way::Nowhere => &[],
        }
    }

    /// Looks for the next frame.
    pub(super) fn fetch(&mut self) -> Found {
        match &mut self.way {
            Way::Here(handle) => {
                match handle.fetch() {
                    Fetched::Frame(head) => self.head = Some(head),
                    Fetched::Others => {}
                    // `LATE` has room for the moment between the look and the clock.
                    Fetched::Nothing => self.seen_up_to = wall_clock() - LATE,
                    Fetched::Lost(why) => return Found::Lost(why),
                }
                Found::Looked
            }
            Way::Apart(reader) => {
                if std::mem::take(&mut self.is_given) {
                    reader.given();
                }
                let (head, found) = reader.fetch(&mut self.seen_up_to);
                self.head = head;
                if matches!(found, Found::Returned) {
                    let link = reader.shared.link.lock();
                    self.link = *link.unwrap_or_else(PoisonError::into_inner);
                }
                found
            }
            Way::Nowhere => Found::Looked,
        }
    }

    /// Tries to open a lost interface again, where the caller has to do that.
    pub(super) fn reopen(&mut self, options: &Options, now: Instant) -> bool {
        let Way::Here(handle) = &mut self.way else {
            return false;
        };
        let is_back = handle.reopen(options, now);
        if is_back {
            self.link = handle.link;
            self.filter.clone_from(&handle.filter);
        }
        is_back
    }

    pub(super) fn count(&mut self) -> Counted {
        match &mut self.way {
            Way::Here(handle) => handle.count(),
            Way::Apart(reader) => {
                let counted = reader.shared.counted.lock();
                *counted.unwrap_or_else(PoisonError::into_inner)
            }
            Way::Nowhere => Counted::default(),
        }
    }
}

impl Reader {
    fn octets(&self) -> &[u8] {
        let (at, from) = self.next;
        let Some(batch) = self.batches.front() else {
            return &[];
        };
        let to = batch.heads.get(at).map_or(from, |(_, end)| *end);
        batch.octets.get(from..to).unwrap_or_default()
    }

    fn fetch(&mut self, seen_up_to: &mut Timestamp) -> (Option<Head>, Found) {
        self.batches.extend(self.full.try_iter());
        while let Some(batch) = self.batches.front_mut() {
            if let Some((head, _)) = batch.heads.get(self.next.0) {
                return (Some(*head), Found::Looked);
            }
            *seen_up_to = (*seen_up_to).max(batch.seen_up_to);
            let news = batch.news.take();
            if let Some(mut batch) = self.batches.pop_front() {
                batch.empty();
                self.empty.send(batch).ok();
            }
            self.next = (0, 0);
            if let Some(news) = news {
                return (None, news);
            }
        }
        (None, Found::Looked)
    }

    fn given(&mut self) {
        let (at, _) = self.next;
        let batch = self.batches.front();
        if let Some((_, end)) = batch.and_then(|batch| batch.heads.get(at)) {
            self.next = (at + 1, *end);
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // It may wait for an empty batch: without a sender it goes on, and sees that it is over.
        self.empty = channel().0;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// A thread that reads a ring, seen from inside.
struct Work {
    handle: Handle,
    options: Options,
    shared: Arc<Shared>,
    full: Sender<Batch>,
    empty: Receiver<Batch>,
    bell: SyncSender<()>,
}

impl Work {
    fn go(mut self) {
        while let Ok(mut batch) = self.empty.recv() {
            if self.shared.over.load(Ordering::Relaxed) {
                return;
            }
            self.fill(&mut batch);
            *self
                .shared
                .counted
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = self.handle.count();
            if self.full.send(batch).is_err() {
                return;
            }
            // Where it rings already, that is enough.
            self.bell.try_send(()).ok();
        }
    }

    /// Takes what the ring holds, and waits a moment where it holds nothing.
    fn fill(&mut self, batch: &mut Batch) {
        if !self.handle.is_open() {
            let wait = self
                .handle
                .next_try()
                .map(|at| at.saturating_duration_since(clock()));
            self.sleep(wait.unwrap_or(NAP).min(NAP));
            if self.handle.reopen(&self.options, clock()) {
                *self
                    .shared
                    .link
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = self.handle.link;
                batch.news = Some(Found::Returned);
            }
            batch.seen_up_to = wall_clock() - LATE;
            return;
        }
        let mut has_slept = false;
        while !batch.is_full() {
            let before = wall_clock();
            match self.handle.fetch() {
                Fetched::Frame(head) => {
                    batch.octets.extend_from_slice(&self.handle.octets);
                    batch.heads.push((head, batch.octets.len()));
                }
                Fetched::Others => {}
                Fetched::Lost(why) => {
                    batch.news = Some(Found::Lost(why));
                    return;
                }
                Fetched::Nothing => {
                    batch.seen_up_to = before - LATE;
                    if has_slept || !batch.heads.is_empty() {
                        return;
                    }
                    self.sleep(NAP);
                    has_slept = true;
                }
            }
        }
    }

    fn sleep(&self, most: Duration) {
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(most.subsec_nanos()),
        };
        let mut descriptors: Vec<PollFd<'_>> = self
            .handle
            .descriptor()
            .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
            .into_iter()
            .collect();
        rustix::event::poll(&mut descriptors, Some(&wait)).ok();
    }
}
