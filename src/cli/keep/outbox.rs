//! Frames on their way to a file, in order, some of them waiting for what others tell.
//!
//! A fragment is of ours if its datagram is; a SYN if its connection carries TLS or IKE. What
//! comes meanwhile waits behind it, within a budget of octets and of time.

use std::collections::VecDeque;
use std::io;

use std::collections::HashMap;

use super::{Conversation, Held};
use crate::decap::Flow;
use crate::source::Frame;
use crate::time::Span;
use crate::walk::Fate;

/// Octets held at most.
const OCTETS: usize = 32 << 20;
/// How long a frame waits, in the time of the capture.
const PATIENCE: Span = Span::from_secs(40);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Kept,
    Dropped,
    Fragment { alone: bool },
    Opening(Conversation),
}

/// What is known of a frame.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Known<'a> {
    /// What it turned out to be.
    pub(in crate::cli) fate: Fate,
    /// Its flow, where it was looked at.
    pub(in crate::cli) flow: Option<Flow>,
    /// Frames of the datagram it made whole.
    pub(in crate::cli) pieces: &'a [u64],
    /// Whether it is written where it is a fragment whose datagram stays incomplete.
    pub(in crate::cli) alone: bool,
}

/// Frames waiting to be written.
#[derive(Debug, Default)]
pub(in crate::cli) struct Outbox {
    queue: VecDeque<(Held, State)>,
    /// Place in the queue of all times of the first that is there.
    begin: usize,
    octets: usize,
    fragments: HashMap<u64, usize>,
    openings: HashMap<Conversation, VecDeque<usize>>,
}

impl Outbox {
    /// Takes a frame, and gives to `write` what can be written now.
    pub(in crate::cli) fn put(
        &mut self,
        frame: &Frame<'_>,
        known: Known<'_>,
        write: &mut impl FnMut(&Frame<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let is_kept = known.fate == Fate::Ours;
        if !self.queue.is_empty() {
            self.settle(known, is_kept);
        }
        let state = match (known.fate, known.flow) {
            (Fate::NotOurs, _) => State::Dropped,
            (Fate::Opening, Some(flow)) => State::Opening(flow.into()),
            (Fate::Fragment, _) => State::Fragment { alone: known.alone },
            _ => State::Kept,
        };
        match state {
            State::Kept if self.queue.is_empty() => return write(frame),
            State::Dropped => {}
            state => self.push(frame, state),
        }
        self.hand_on(frame, write)
    }

    /// Frames of which it is known that they are kept: fragments that stayed alone.
    pub(in crate::cli) fn keep(&mut self, frames: &[u64]) {
        self.decide_fragments(frames, State::Kept);
    }

    /// Writes what is left.
    pub(in crate::cli) fn finish(
        &mut self,
        write: &mut impl FnMut(&Frame<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut result = Ok(());
        while !self.queue.is_empty() {
            result = result.and(self.pop(false, write));
        }
        self.fragments.clear();
        self.openings.clear();
        result
    }

    fn settle(&mut self, known: Known<'_>, is_kept: bool) {
        let state = if is_kept { State::Kept } else { State::Dropped };
        self.decide_fragments(known.pieces, state);
        if matches!(known.fate, Fate::Fragment | Fate::Opening) {
            return;
        }
        let places = known
            .flow
            .and_then(|flow| self.openings.remove(&flow.into()));
        for place in places.unwrap_or_default() {
            self.decide(place, state);
        }
    }

    fn decide_fragments(&mut self, frames: &[u64], state: State) {
        for frame in frames {
            if let Some(place) = self.fragments.remove(frame) {
                self.decide(place, state);
            }
        }
    }

    fn decide(&mut self, place: usize, state: State) {
        let at = place.checked_sub(self.begin);
        if let Some((_, known)) = at.and_then(|at| self.queue.get_mut(at)) {
            *known = state;
        }
    }

    fn push(&mut self, frame: &Frame<'_>, state: State) {
        let place = self.begin + self.queue.len();
        match state {
            State::Fragment { .. } => {
                self.fragments.insert(frame.no, place);
            }
            State::Opening(of) => self.openings.entry(of).or_default().push_back(place),
            State::Kept | State::Dropped => {}
        }
        let held = Held::new(frame);
        self.octets += held.cost();
        self.queue.push_back((held, state));
    }

    /// Writes from the front what is decided, too old or too much.
    fn hand_on(
        &mut self,
        now: &Frame<'_>,
        write: &mut impl FnMut(&Frame<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut result = Ok(());
        while let Some((held, state)) = self.queue.front() {
            let is_decided = matches!(state, State::Kept | State::Dropped);
            let is_old = now.time.since(held.time) > PATIENCE;
            let is_much = self.octets > OCTETS;
            if !(is_decided || is_old || is_much) {
                break;
            }
            result = result.and(self.pop(is_much, write));
        }
        result
    }

    /// Lets the first frame go. What could not be decided is written where it is a fragment,
    /// or when there was no time to learn more.
    fn pop(
        &mut self,
        in_haste: bool,
        write: &mut impl FnMut(&Frame<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some((held, state)) = self.queue.pop_front() else {
            return Ok(());
        };
        self.octets -= held.cost();
        self.begin += 1;
        let is_kept = match state {
            State::Kept => true,
            State::Dropped => false,
            State::Fragment { alone } => {
                self.fragments.remove(&held.no);
                alone
            }
            State::Opening(of) => {
                // The first to wait is the first to go.
                if let Some(places) = self.openings.get_mut(&of) {
                    places.pop_front();
                    if places.is_empty() {
                        self.openings.remove(&of);
                    }
                }
                in_haste
            }
        };
        if is_kept {
            write(&held.frame())
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::source::LinkType;
    use crate::time::Timestamp;

    fn flow(port: u16) -> Flow {
        Flow {
            source: (IpAddr::from([10, 0, 0, 1]), port),
            destination: (IpAddr::from([10, 0, 0, 2]), 8080),
        }
    }

    /// Number, second, fate, port and pieces of each frame; gives the numbers written.
    fn written(frames: &[(u64, i64, Fate, u16, &[u64])]) -> Vec<u64> {
        let mut outbox = Outbox::default();
        let mut all = Vec::new();
        let mut write = |frame: &Frame<'_>| {
            all.push(frame.no);
            Ok(())
        };
        for (no, second, fate, port, pieces) in frames {
            let frame = Frame {
                capture: 0,
                no: *no,
                time: Timestamp::from_parts(*second, 0),
                link: LinkType::ETHERNET,
                octets: &[0; 60],
                wire_len: 60,
                interface: 0,
            };
            let known = Known {
                fate: *fate,
                flow: Some(flow(*port)),
                pieces,
                alone: true,
            };
            outbox.put(&frame, known, &mut write).unwrap();
        }
        outbox.finish(&mut write).unwrap();
        all
    }

    #[test]
    fn a_connection_is_written_from_its_first_frame_if_it_is_ours() {
        use Fate::{NotOurs, Opening, Ours};
        let frames = [
            (1, 0, Opening, 1, &[][..]),
            (2, 0, Opening, 2, &[]),
            (3, 0, Ours, 9, &[]),
            (4, 0, Opening, 1, &[]),
            (5, 0, NotOurs, 2, &[]),
            (6, 0, Ours, 1, &[]),
            (7, 0, NotOurs, 7, &[]),
        ];
        assert_eq!(written(&frames), [1, 3, 4, 6]);
    }

    #[test]
    fn fragments_share_the_fate_of_their_datagram_and_lonely_ones_stay() {
        use Fate::{Fragment, NotOurs, Ours};
        let frames = [
            (1, 0, Fragment, 0, &[][..]),
            (2, 0, Fragment, 0, &[]),
            (3, 0, Fragment, 0, &[]),
            (4, 0, Ours, 3, &[1, 4]),
            (5, 0, NotOurs, 4, &[2, 5]),
        ];
        assert_eq!(written(&frames), [1, 3, 4]);
    }

    #[test]
    fn nobody_waits_for_ever() {
        use Fate::{Opening, Ours};
        let frames = [
            (1, 0, Opening, 1, &[][..]),
            (2, 39, Ours, 2, &[]),
            (3, 41, Ours, 3, &[]),
        ];
        assert_eq!(written(&frames), [2, 3]);
        let many: Vec<_> = (1..300_000)
            .map(|no| (no, 0, Opening, 1, &[][..]))
            .collect();
        assert!(written(&many).len() > 100_000, "in haste they are kept");
    }
}
