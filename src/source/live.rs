//! Live interfaces, through libpcap.
//!
//! Takes names of interfaces; gives their [`Frame`]s in the order of time, as one capture. An
//! interface that vanishes is opened again when it returns. On Linux libpcap uses a memory-mapped
//! ring (`TPACKET_V3`), filtered in the kernel. This room owns a clock: it waits.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::writer::{Counters, Description, Origin};
use super::{Format, Frame, LinkType, SourceError, Statistics};
use crate::time::{Span, Timestamp};

mod fanout;
mod filter;
mod handle;
mod interfaces;
mod lane;
mod rights;
mod watch;

pub use interfaces::{Interface, interfaces, missing_right};
pub use rights::become_user;

use fanout::Group;
use handle::Handle;
use lane::{Found, Lane};
use watch::Watched;

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

impl Filter {
    /// What it passes, for people, where that is not its own text.
    pub const fn in_words(&self) -> Option<&'static str> {
        match self {
            Self::Default => Some(filter::IN_WORDS),
            Self::None | Self::Text(_) => None,
        }
    }
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
    /// Rings of each interface, each read by a thread of its own where there are several.
    pub threads: usize,
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
            threads: 1,
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
    lanes: Vec<Lane>,
    interfaces: Vec<Watched>,
    /// Rings when a reader has something; there are readers from the first frame on.
    bell: Option<Receiver<()>>,
    options: Options,
    statistics: Statistics,
    capture: u16,
    /// When to look next whether the interfaces are up.
    look: Instant,
    /// Frames until the clock is asked although there is always another frame.
    hurry: u32,
}

/// How late a frame may come out of a ring: what the kernel gathers, and some room.
const LATE: Span = Span::from_millis(Options::BLOCK_MS as i64 + 40);
/// Longest wait while a frame of one interface waits for an earlier one of another.
const MERGE_WAIT: Duration = Duration::from_millis(10);
/// Frames between two looks at the clock where there is always another frame.
const HURRY: u32 = 4096;

impl LiveSource {
    /// Opens interfaces. `capture` is the number their frames carry.
    pub fn open(names: &[String], options: Options, capture: u16) -> Result<Self, SourceError> {
        let mut statistics = Statistics::new(names.join(", "), Format::Live);
        statistics.dropped = Some(0);
        let (mut lanes, mut interfaces) = (Vec::new(), Vec::new());
        for (number, name) in names.iter().enumerate() {
            let rings = options.threads.max(1);
            let group = (rings > 1).then(|| Arc::new(Group::default()));
            for _ in 0..rings {
                let handle = Handle::open(name, &options, group.clone())?;
                if !statistics.link_types.contains(&handle.link) {
                    statistics.link_types.push(handle.link);
                }
                statistics.filter = statistics.filter.or_else(|| handle.filter.clone());
                lanes.push(Lane::new(handle, number));
            }
            interfaces.push(Watched {
                name: name.clone(),
                is_down: false,
                lost: 0,
            });
        }
        Ok(Self {
            lanes,
            interfaces,
            bell: None,
            options,
            statistics,
            capture,
            look: clock(),
            hurry: HURRY,
        })
    }

    /// The next frame of any interface, or what else happened within `timeout`.
    ///
    /// With several threads they are started by the first call, with the rights of its caller.
    pub fn next_frame(&mut self, timeout: Duration) -> Poll<'_> {
        if self.options.threads > 1 && self.bell.is_none() {
            self.part();
        }
        // The clock is asked only where nothing is there at once, and now and then.
        let mut deadline = None;
        loop {
            if self.hurry == 0 {
                self.hurry = HURRY;
                if let Some(news) = self.look_around(clock()) {
                    return news;
                }
            }
            if let Some(news) = self.fetch() {
                return news;
            }
            if let Some(at) = self.earliest() {
                self.hurry -= 1;
                return self.give(at);
            }
            let now = clock();
            let deadline = *deadline.get_or_insert(now + timeout);
            if let Some(news) = self.look_around(now) {
                return news;
            }
            if now >= deadline {
                return Poll::Idle;
            }
            self.wait(now, deadline);
        }
    }

    /// Gives each ring to a thread of its own.
    fn part(&mut self) {
        let (ring, bell) = sync_channel(1);
        for lane in &mut self.lanes {
            lane.part(&self.options, &ring);
        }
        self.bell = Some(bell);
    }

    /// Until when everything that came was given: what is in a ring still may be older than the
    /// clock.
    pub fn settled(&self) -> Timestamp {
        let now = wall_clock() - LATE;
        let of = |lane: &Lane| match lane.head {
            Some(head) => head.time,
            None if lane.is_lost || !lane.is_open() => now,
            None => lane.seen_up_to.min(now),
        };
        let lanes = self.lanes.iter().map(of).min().unwrap_or(now);
        lanes.max(self.statistics.last.unwrap_or(lanes).min(now))
    }

    /// What is known so far. The counters of the kernel are those read last.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Where frames of each interface come from, and what is known of it, for a writer.
    pub fn descriptions(&self) -> Vec<(Origin, Description)> {
        let mut all = Vec::new();
        for lane in &self.lanes {
            let origin = origin(self.capture, lane.interface, lane.link);
            let description = Description {
                name: Some(lane.name.clone()),
                filter: lane.filter.clone(),
                snaplen: self.options.snaplen,
            };
            if all.last().is_none_or(|(last, _)| *last != origin) {
                all.push((origin, description));
            }
        }
        all
    }

    /// Reads the counters of each interface, and with them the drops in the statistics.
    pub fn counters(&mut self) -> Vec<(Origin, Counters)> {
        let time = wall_clock();
        let mut all: Vec<(Origin, Counters)> = Vec::new();
        let mut dropped = 0;
        for lane in &mut self.lanes {
            let counted = lane.count();
            dropped += counted.dropped_by_interface + counted.dropped_by_system;
            let counters = Counters {
                time,
                received: Some(counted.received),
                dropped_by_interface: Some(counted.dropped_by_interface),
                dropped_by_system: Some(counted.dropped_by_system),
            };
            let origin = origin(self.capture, lane.interface, lane.link);
            match all.last_mut() {
                // Another ring of the same interface.
                Some((last, sum)) if *last == origin => *sum = plus(*sum, counters),
                _ => all.push((origin, counters)),
            }
        }
        self.statistics.dropped = Some(dropped);
        all
    }

    /// Fetches a frame of each lane that may hold the earliest one.
    fn fetch(&mut self) -> Option<Poll<'static>> {
        let earliest = self.lanes.iter().filter_map(|lane| lane.head);
        let earliest = earliest.map(|head| head.time).min();
        for at in 0..self.lanes.len() {
            let lane = self.lanes.get_mut(at)?;
            let is_sure = earliest.is_some_and(|time| lane.seen_up_to >= time);
            if lane.head.is_some() || !lane.is_open() || is_sure {
                continue;
            }
            let number = lane.interface;
            match lane.fetch() {
                Found::Looked => {}
                Found::Lost(why) => {
                    lane.is_lost = true;
                    if let Some(news) = self.lost(number, why) {
                        return Some(news);
                    }
                }
                Found::Returned => {
                    lane.is_lost = false;
                    if let Some(news) = self.returned(number) {
                        return Some(news);
                    }
                }
            }
        }
        None
    }

    /// The lane whose frame comes next, once no other can still give an earlier one.
    fn earliest(&self) -> Option<usize> {
        let (at, head) = self
            .lanes
            .iter()
            .enumerate()
            .filter_map(|(at, lane)| Some((at, lane.head?)))
            .min_by_key(|(_, head)| head.time)?;
        let is_settled = |lane: &Lane| {
            lane.head.is_some()
                || !lane.is_open()
                || lane.seen_up_to >= head.time
                || head.time - lane.seen_up_to > lane.patience()
        };
        self.lanes.iter().all(is_settled).then_some(at)
    }

    fn give(&mut self, at: usize) -> Poll<'_> {
        let taken = self
            .lanes
            .get_mut(at)
            .and_then(|lane| Some((lane.head.take()?, lane)));
        let Some((head, lane)) = taken else {
            return Poll::Idle;
        };
        lane.is_given = true;
        let octets = lane.octets();
        let captured = u32::try_from(octets.len()).unwrap_or(u32::MAX);
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
            link: lane.link,
            octets,
            wire_len: head.wire_len.max(captured),
            interface: u32::try_from(lane.interface).unwrap_or(u32::MAX),
        })
    }

    /// Waits until a lane has a frame, or something else is due.
    fn wait(&self, now: Instant, deadline: Instant) {
        let pending = self.lanes.iter().any(|lane| lane.head.is_some());
        let tries = self.lanes.iter().filter_map(Lane::next_try);
        let merge = pending.then(|| now + MERGE_WAIT);
        let until = tries.chain(merge).fold(deadline, Instant::min);
        let wait = until.saturating_duration_since(now);
        if let Some(bell) = &self.bell {
            match bell.recv_timeout(wait) {
                Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            return;
        }
        let wait = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let idle = self.lanes.iter().filter(|lane| lane.head.is_none());
        let descriptors = idle.filter_map(Lane::descriptor);
        let mut descriptors: Vec<PollFd<'_>> = descriptors
            .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
            .collect();
        // A signal ends the wait early, which is what the caller wants.
        rustix::event::poll(&mut descriptors, Some(&wait)).ok();
    }
}

fn plus(a: Counters, b: Counters) -> Counters {
    let sum = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
    Counters {
        time: a.time.max(b.time),
        received: sum(a.received, b.received),
        dropped_by_interface: sum(a.dropped_by_interface, b.dropped_by_interface),
        dropped_by_system: sum(a.dropped_by_system, b.dropped_by_system),
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

/// The clock that stamps frames.
#[expect(clippy::disallowed_methods, reason = "the live driver owns a clock")]
pub fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_parts(seconds, since.subsec_nanos())
}
