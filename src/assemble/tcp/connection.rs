//! A connection that is followed.

use super::half::Half;
use super::opening::Key;
use super::{Appetite, Party};
use crate::decap::Flow;
use crate::time::{Span, Timestamp};

#[derive(Debug)]
pub(super) struct Connection<U> {
    pub(super) number: u64,
    pub(super) opener_first: bool,
    pub(super) roles_known: bool,
    pub(super) last: Timestamp,
    /// The time of the last segment, so that those after it are not before it.
    pub(super) clock: Timestamp,
    pub(super) closed: bool,
    /// It is quiet, and what only a lively one needs was given away.
    pub(super) rests: bool,
    pub(super) appetite: Appetite,
    pub(super) halves: [Half; 2],
    pub(super) user: U,
    /// Octets held when it was last looked at.
    pub(super) held: usize,
}

impl<U> Connection<U> {
    pub(super) fn flow(&self, key: &Key) -> Flow {
        let flow = key.flow();
        if self.opener_first {
            flow
        } else {
            flow.reversed()
        }
    }

    /// The time of a segment that follows others in the file. A little too early by its stamp,
    /// as where several clocks or queues stamp, it is taken to have come just after them; much
    /// too early, the clock was set.
    pub(super) fn straighten(&mut self, time: Timestamp) -> Timestamp {
        const LITTLE: Span = Span::from_millis(100);
        let behind = self.clock.since(time);
        self.clock = if behind > Span(0) && behind < LITTLE {
            self.clock + Span(1)
        } else {
            time
        };
        self.clock
    }

    pub(super) const fn party(&self, sender_first: bool) -> Party {
        if sender_first == self.opener_first {
            Party::Opener
        } else {
            Party::Acceptor
        }
    }

    pub(super) fn half(&mut self, party: Party) -> &mut Half {
        let [opener, acceptor] = &mut self.halves;
        match party {
            Party::Opener => opener,
            Party::Acceptor => acceptor,
        }
    }
}
