//! The walk: frames in, sessions out. Puts the rooms in line, and nothing else.

use crate::assemble::ip;
use crate::dissect::{others, streams};
use crate::source::Frame;
use crate::time::Timestamp;
use crate::track::{self, Change, Ended, Event, Session, Tracker};

mod front;
mod halves;
mod load;
mod sink;

pub use front::{Counters, Fate, Front};
pub use halves::{Giving, Taking};
pub use load::Load;
pub use sink::Sink;
use sink::{Tracked, drive};

/// What the end of a walk brings.
#[derive(Debug)]
pub enum Last<'a> {
    /// A change that waits no longer.
    PushedOut(Change),
    /// A session that [`Walk::closed`] will give.
    Over(Ended<'a>),
}

/// The whole walk: from frames to sessions.
#[derive(Debug)]
pub struct Walk {
    front: Front,
    tracker: Tracker,
    /// Packets of ESP that wait to be told to the tracker: before it is asked for anything else
    /// than what changed, it has to be told.
    later: Load,
}

impl Walk {
    /// A walk with these budgets.
    pub fn new(fragments: ip::Config, tracker: track::Config) -> Self {
        Self::with(fragments, streams::Config::default(), tracker)
    }

    /// A walk with these budgets, and hints for streams.
    pub fn with(fragments: ip::Config, streams: streams::Config, tracker: track::Config) -> Self {
        Self {
            front: Front::with(fragments, streams),
            tracker: Tracker::new(tracker),
            later: Load::default(),
        }
    }

    /// Takes a frame.
    #[inline]
    pub fn frame(&mut self, frame: &Frame<'_>) -> Fate {
        let mut sink = Tracked {
            tracker: &mut self.tracker,
            later: &mut self.later,
        };
        self.front.pass(frame, &mut sink)
    }

    /// Tells the tracker what waits to be told. Whatever drives a walk does so itself; it is for
    /// who wants to see counters that are exact.
    pub fn settle(&mut self) {
        let mut sink = Tracked {
            tracker: &mut self.tracker,
            later: &mut self.later,
        };
        sink.settle();
    }

    /// Takes a frame, and tells `told` of each event which session took it.
    pub fn frame_of(
        &mut self,
        frame: &Frame<'_>,
        told: &mut impl FnMut(&Event<'_>, Option<u32>),
    ) -> Fate {
        self.settle();
        let tracker = &mut self.tracker;
        tracker.keep_told();
        self.front.frame(frame, &mut |event: &Event<'_>| {
            drive(tracker, event);
            let taken = tracker.taken_by();
            tracker.tell(told);
            told(event, taken);
        })
    }

    /// What reads frames and what tracks, to be driven on two threads.
    pub fn halves(&mut self) -> (Giving<'_>, Taking<'_>) {
        self.settle();
        (Giving::new(&mut self.front), Taking::new(&mut self.tracker))
    }

    /// The front, for what it knows of the last frame.
    pub const fn front(&self) -> &Front {
        &self.front
    }

    /// Keeps the flow of each frame from now on.
    pub fn keep_flow(&mut self) {
        self.front.keep_flow();
    }

    /// Says how late it is although no frame came: for interfaces.
    pub fn advance(&mut self, now: Timestamp) {
        self.settle();
        let tracker = &mut self.tracker;
        self.front.advance(now, &mut |event: &Event<'_>| {
            drive(tracker, event);
        });
        self.tracker.advance(now);
    }

    /// Takes a frame, and shows every event in it to `also` first.
    pub fn frame_and(&mut self, frame: &Frame<'_>, also: &mut impl FnMut(&Event<'_>)) {
        self.settle();
        let tracker = &mut self.tracker;
        self.front.frame(frame, &mut |event: &Event<'_>| {
            also(event);
            drive(tracker, event);
        });
    }

    /// Looks at the sessions that have been silent for a while, as configured.
    pub fn look(&mut self, now: Timestamp) {
        self.settle();
        self.tracker.look(now);
    }

    /// What changed.
    #[inline]
    pub fn poll(&mut self) -> Option<Change> {
        self.tracker.poll()
    }

    /// As [`Walk::poll`], for those who can do without the sessions of unanswered SYNs.
    pub fn poll_unbuilt(&mut self) -> Option<Change> {
        self.tracker.poll_unbuilt()
    }

    /// Says until when the capture went on, where that is known to be after its last frame.
    pub fn watched_until(&mut self, end: Option<Timestamp>) {
        let latest = self.front.latest_mut();
        *latest = (*latest).max(end.unwrap_or(*latest));
    }

    /// Ends the walk: everything still open is closed.
    pub fn finish(&mut self) {
        self.finish_of(&mut |_, _| {});
    }

    /// Ends the walk, and shows each session that is over by then.
    pub fn finish_shown(&mut self, show: &mut impl FnMut(Ended<'_>)) {
        self.settle();
        let tracker = &mut self.tracker;
        self.front.finish(&mut |event: &Event<'_>| {
            tracker.handle(event);
        });
        self.tracker.finish(self.front.counters().latest, show);
    }

    /// Ends the walk, and tells `told` of each last event which session took it.
    pub fn finish_of(&mut self, told: &mut impl FnMut(&Event<'_>, Option<u32>)) {
        self.settle();
        let tracker = &mut self.tracker;
        self.front.finish(&mut |event: &Event<'_>| {
            tracker.handle(event);
            let taken = tracker.taken_by();
            tracker.tell(told);
            told(event, taken);
        });
        self.tracker
            .finish(self.front.counters().latest, &mut |_| {});
        self.tracker.tell(told);
    }

    /// Ends the walk; what connections at their end push out of the tracker is given away at
    /// once: it may be more than there is room for. What the end closes is shown, session by
    /// session, and is then there to be asked for.
    pub fn finish_each(&mut self, last: &mut impl FnMut(Last<'_>)) {
        self.settle();
        let tracker = &mut self.tracker;
        self.front.finish(&mut |event: &Event<'_>| {
            tracker.handle(event);
            tracker.pushed_out(&mut |change| last(Last::PushedOut(change)));
        });
        self.tracker
            .finish(self.front.counters().latest, &mut |ended| {
                last(Last::Over(ended));
            });
    }

    /// A session that is over; other changes are passed over.
    pub fn next_closed(&mut self) -> Option<Box<Session>> {
        loop {
            if let Change::Closed(session) = self.poll()? {
                return Some(session);
            }
        }
    }

    /// The sessions that are over, each unpacked when it is asked for.
    pub fn closed(&mut self) -> impl Iterator<Item = Box<Session>> {
        std::iter::from_fn(|| self.next_closed())
    }

    /// The highest number of a session so far.
    pub const fn numbered(&self) -> u32 {
        self.tracker.numbered()
    }

    /// Sessions open now.
    pub fn open_sessions(&self) -> usize {
        self.tracker.open_sessions()
    }

    /// Counters of the front.
    pub const fn counters(&self) -> Counters {
        self.front.counters()
    }

    /// Counters of the tracker.
    pub const fn track_counters(&self) -> track::Counters {
        self.tracker.counters()
    }

    /// Connections and associations let go of early because a budget was reached.
    pub const fn evicted_streams(&self) -> u64 {
        self.front.evicted_streams()
    }

    /// VPNs that are only counted.
    pub const fn other_vpns(&self) -> others::Counts {
        self.front.other_vpns()
    }

    /// Fragments that a span port or the network delivered again; the tracker never sees them.
    pub fn copied_fragments(&self) -> u64 {
        self.front.fragment_counters().duplicates
    }

    /// Datagrams, and IKE messages in parts, given up early because a budget was reached.
    pub fn evicted_fragments(&self) -> u64 {
        self.front.evicted_fragments()
    }
}

#[cfg(test)]
mod tests;
