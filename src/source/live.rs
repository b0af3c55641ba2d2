//! Live interfaces, through libpcap.
//!
//! Takes names of interfaces; gives their [`Frame`]s in the order of time, as one capture. An
//! interface that vanishes is opened again when it returns. On Linux libpcap uses a memory-mapped
//! ring (`TPACKET_V3`), filtered in the kernel. This room owns a clock: it waits.

use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::writer::{Counters, Description, Origin};
use super::{Format, Frame, LinkType, SourceError, Statistics};
use crate::time::{Span, Timestamp};

mod filter;
mod handle;
mod interfaces;
mod rights;

pub use interfaces::{Interface, interfaces, missing_right};
pub use rights::become_user;

use handle::{Fetched, Handle};

/// Which frames the kernel passes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Filter {
    /// Those that recognition by content needs.
    #[default]
    Default,
    /// All.
    None,
    /// Those an expression in libpcap's language names.
    Text(String),
}

/// How to capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Octets captured of a frame at most.
    pub snaplen: u32,
    /// Whether frames for other machines are wanted, as on a span port.
    pub promiscuous: bool,
    /// Size of the kernel's ring in octets, for each interface.
    pub buffer: u32,
    /// The filter.
    pub filter: Filter,
}

impl Options {
    /// How long the kernel gathers frames before it hands them on, milliseconds.
    const BLOCK_MS: u32 = 60;
}

impl Default for Options {
    fn default() -> Self {
        Self {
            snaplen: 262_144,
            promiscuous: true,
            buffer: 64 << 20,
            filter: Filter::Default,
        }
    }
}

/// What waiting for a frame gave.
#[derive(Debug)]
pub enum Poll<'a> {
    /// A frame.
    Frame(Frame<'a>),
    /// None came in time.
    Idle,
    /// An interface went down or vanished. It is tried again from time to time.
    Lost {
        /// Its number, in the order in which the interfaces were named.
        interface: u32,
        /// What the system says.
        why: String,
    },
    /// A lost interface is back.
    Returned {
        /// Its number.
        interface: u32,
    },
}

/// Interfaces being captured from.
pub struct LiveSource {
    handles: Vec<Handle>,
    options: Options,
    statistics: Statistics,
    capture: u16,
    /// When to look next whether the interfaces are up.
    look: Instant,
}

/// Time between two looks whether an interface is up.
const LOOK: Duration = Duration::from_secs(1);
/// How late a frame may come out of a ring: what the kernel gathers, and some room.
const LATE: Span = Span::from_millis(Options::BLOCK_MS as i64 + 40);
/// Longest wait while a frame of one interface waits for an earlier one of another.
const MERGE_WAIT: Duration = Duration::from_millis(10);
/// A frame further ahead of the clock than this tells that the clock was set back.
const LATE_OF_A_SET_CLOCK: Span = Span::from_secs(2);

impl LiveSource {
    /// Opens interfaces. `capture` is the number their frames carry.
    pub fn open(names: &[String], options: Options, capture: u16) -> Result<Self, SourceError> {
        let mut statistics = Statistics::new(names.join(", "), Format::Live);
        statistics.dropped = Some(0);
        let mut handles = Vec::new();
        for name in names {
            let handle = Handle::open(name, &options)?;
            if !statistics.link_types.contains(&handle.link) {
                statistics.link_types.push(handle.link);
            }
            statistics.filter = statistics.filter.or_else(|| handle.filter.clone());
            handles.push(handle);
        }
        Ok(Self {
            handles,
            options,
            statistics,
            capture,
            look: clock(),
        })
    }

    /// The next frame of any interface, or what else happened within `timeout`.
    pub fn next_frame(&mut self, timeout: Duration) -> Poll<'_> {
        // The clock is asked only where nothing is there at once.
        let mut deadline = None;
        loop {
            if let Some(news) = self.fetch() {
                return news;
            }
            if let Some(at) = self.earliest() {
                return self.give(at);
            }
            let now = clock();
            let deadline = *deadline.get_or_insert(now + timeout);
            if let Some(interface) = self.reopen(now) {
                return Poll::Returned { interface };
            }
            if let Some(news) = self.look_whether_up(now) {
                return news;
            }
            if now >= deadline {
                return Poll::Idle;
            }
            self.wait(now, deadline);
        }
    }

    /// What is known so far. The counters of the kernel are those read last.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Where frames of each interface come from, and what is known of it, for a writer.
    pub fn descriptions(&self) -> Vec<(Origin, Description)> {
        let of = |(number, handle): (usize, &Handle)| {
            let description = Description {
                name: Some(handle.name.clone()),
                filter: handle.filter.clone(),
                snaplen: self.options.snaplen,
            };
            (origin(self.capture, number, handle.link), description)
        };
        self.handles.iter().enumerate().map(of).collect()
    }

    /// Reads the counters of each interface, and with them the drops in the statistics.
    pub fn counters(&mut self) -> Vec<(Origin, Counters)> {
        let time = wall_clock();
        let mut all = Vec::new();
        let mut dropped = 0;
        for (number, handle) in self.handles.iter_mut().enumerate() {
            let counted = handle.count();
            dropped += counted.dropped_by_interface + counted.dropped_by_system;
            let counters = Counters {
                time,
                received: Some(counted.received),
                dropped_by_interface: Some(counted.dropped_by_interface),
                dropped_by_system: Some(counted.dropped_by_system),
            };
            all.push((origin(self.capture, number, handle.link), counters));
        }
        self.statistics.dropped = Some(dropped);
        all
    }

    /// Fetches a frame of each interface that may hold the earliest one.
    fn fetch(&mut self) -> Option<Poll<'static>> {
        let earliest = self.handles.iter().filter_map(|handle| handle.head);
        let earliest = earliest.map(|head| head.time).min();
        let alone = self.handles.len() == 1;
        for (number, handle) in self.handles.iter_mut().enumerate() {
            let is_sure = earliest.is_some_and(|time| handle.seen_up_to >= time);
            if handle.head.is_some() || !handle.is_open() || is_sure {
                continue;
            }
            // One interface alone is in order, and needs no clock.
            let before = if alone { Timestamp::MAX } else { wall_clock() };
            match handle.fetch() {
                Fetched::Frame => {}
                Fetched::Nothing => handle.seen_up_to = before - LATE,
                Fetched::Lost(why) => {
                    let interface = u32::try_from(number).unwrap_or(u32::MAX);
                    return Some(Poll::Lost { interface, why });
                }
            }
        }
        None
    }

    /// The interface whose frame comes next, once no other can still give an earlier one.
    fn earliest(&self) -> Option<usize> {
        let (at, head) = self
            .handles
            .iter()
            .enumerate()
            .filter_map(|(at, handle)| Some((at, handle.head?)))
            .min_by_key(|(_, head)| head.time)?;
        let is_settled = |handle: &Handle| {
            handle.head.is_some()
                || !handle.is_open()
                || handle.seen_up_to >= head.time
                || head.time - handle.seen_up_to > LATE_OF_A_SET_CLOCK
        };
        self.handles.iter().all(is_settled).then_some(at)
    }

    fn give(&mut self, at: usize) -> Poll<'_> {
        let taken = self
            .handles
            .get_mut(at)
            .and_then(|handle| Some((handle.head.take()?, handle)));
        let Some((head, handle)) = taken else {
            return Poll::Idle;
        };
        let captured = u32::try_from(handle.octets.len()).unwrap_or(u32::MAX);
        let statistics = &mut self.statistics;
        statistics.frames += 1;
        statistics.bytes += u64::from(captured);
        statistics.truncated_frames += u64::from(head.wire_len > captured);
        statistics.first.get_or_insert(head.time);
        statistics.last = statistics.last.max(Some(head.time));
        Poll::Frame(Frame {
            capture: self.capture,
            no: statistics.frames,
            time: head.time,
            link: handle.link,
            octets: &handle.octets,
            wire_len: head.wire_len.max(captured),
            interface: u32::try_from(at).unwrap_or(u32::MAX),
        })
    }

    /// libpcap says nothing when an interface goes down; it goes on when it is up again. So
    /// somebody has to look, now and then, while nothing comes.
    fn look_whether_up(&mut self, now: Instant) -> Option<Poll<'static>> {
        if now < self.look {
            return None;
        }
        let all = interfaces().unwrap_or_default();
        for (number, handle) in self.handles.iter_mut().enumerate() {
            let listed = all.iter().find(|interface| interface.name == handle.name);
            let is_down = listed.is_some_and(|interface| !interface.up);
            if handle.is_open() && is_down != handle.is_down {
                handle.is_down = is_down;
                let interface = u32::try_from(number).unwrap_or(u32::MAX);
                return Some(if is_down {
                    let why = "it is down".into();
                    Poll::Lost { interface, why }
                } else {
                    Poll::Returned { interface }
                });
            }
        }
        self.look = now + LOOK;
        None
    }

    fn reopen(&mut self, now: Instant) -> Option<u32> {
        for (number, handle) in self.handles.iter_mut().enumerate() {
            if handle.reopen(&self.options, now) {
                if !self.statistics.link_types.contains(&handle.link) {
                    self.statistics.link_types.push(handle.link);
                }
                return u32::try_from(number).ok();
            }
        }
        None
    }

    /// Waits until an interface has a frame, or something else is due.
    fn wait(&self, now: Instant, deadline: Instant) {
        let pending = self.handles.iter().any(|handle| handle.head.is_some());
        let tries = self.handles.iter().filter_map(Handle::next_try);
        let merge = pending.then(|| now + MERGE_WAIT);
        let until = tries.chain(merge).fold(deadline, Instant::min);
        let wait = until.saturating_duration_since(now);
        let wait = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let idle = self.handles.iter().filter(|handle| handle.head.is_none());
        let descriptors = idle.filter_map(Handle::descriptor);
        let mut descriptors: Vec<PollFd<'_>> = descriptors
            .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
            .collect();
        // A signal ends the wait early, which is what the caller wants.
        rustix::event::poll(&mut descriptors, Some(&wait)).ok();
    }
}

fn origin(capture: u16, number: usize, link: LinkType) -> Origin {
    Origin {
        capture,
        interface: u32::try_from(number).unwrap_or(u32::MAX),
        link,
    }
}

/// The clock that waits are measured by.
#[expect(clippy::disallowed_methods, reason = "the live driver owns a clock")]
pub fn clock() -> Instant {
    Instant::now()
}

/// Until when everything that came was given, while nothing comes.
pub fn settled() -> Timestamp {
    wall_clock() - LATE
}

/// The clock that stamps frames.
#[expect(clippy::disallowed_methods, reason = "the live driver owns a clock")]
pub fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_parts(seconds, since.subsec_nanos())
}
