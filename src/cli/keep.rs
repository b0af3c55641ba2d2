//! Which frames are kept for writing: those of ours, those of a session, those of failures.

pub(super) mod outbox;
pub(super) mod shard;

use crate::decap::Flow;
use crate::source::{Frame, LinkType};
use crate::time::Timestamp;

/// A frame that is held until it is known whether it is written.
#[derive(Debug)]
pub(super) struct Held {
    capture: u16,
    no: u64,
    time: Timestamp,
    link: LinkType,
    octets: Box<[u8]>,
    wire_len: u32,
    interface: u32,
}

impl Held {
    /// A copy of a frame.
    pub(super) fn new(frame: &Frame<'_>) -> Self {
        Self {
            capture: frame.capture,
            no: frame.no,
            time: frame.time,
            link: frame.link,
            octets: frame.octets.into(),
            wire_len: frame.wire_len,
            interface: frame.interface,
        }
    }

    /// The frame.
    pub(super) fn frame(&self) -> Frame<'_> {
        Frame {
            capture: self.capture,
            no: self.no,
            time: self.time,
            link: self.link,
            octets: &self.octets,
            wire_len: self.wire_len,
            interface: self.interface,
        }
    }

    /// What holding it costs, octets.
    pub(super) fn cost(&self) -> usize {
        self.octets.len() + 128
    }
}

/// A flow, the same for both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Conversation(Flow);

impl From<Flow> for Conversation {
    fn from(flow: Flow) -> Self {
        if flow.source <= flow.destination {
            Self(flow)
        } else {
            Self(flow.reversed())
        }
    }
}
