//! What is known of the messages of one direction: those that are not whole yet, and the last that
//! were.

use vpnscope_dissectors::dtls::Fragment;
use vpnscope_dissectors::tls::HandshakeType;

use super::message::{Insertion, Partial};

/// Messages that may be incomplete at the same time, in one direction.
const PARTIAL_KEPT: usize = 16;

/// Messages that are remembered as whole.
const DONE_KEPT: usize = 24;

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Direction {
    pub(super) partial: Vec<Partial>,
    done: Vec<Done>,
    /// Length of the connection id in the records that this direction sends.
    pub(super) id_len: Option<u16>,
    /// Incomplete messages that were let go of.
    pub(super) dropped: u32,
}

/// A message that was whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    message_type: HandshakeType,
    /// Big-endian, as it stands in the message.
    length: [u8; 3],
    message_seq: u16,
}

impl Done {
    const fn new(message_type: HandshakeType, message_seq: u16, length: u32) -> Self {
        let [_, length @ ..] = length.to_be_bytes();
        Self {
            message_type,
            length,
            message_seq,
        }
    }
}

impl Direction {
    pub(super) fn id_len(&self) -> Option<usize> {
        self.id_len.map(usize::from)
    }

    pub(super) fn held(&self) -> usize {
        self.partial.iter().map(Partial::held).sum()
    }

    pub(super) fn is_done(&self, fragment: &Fragment<'_>) -> bool {
        let (message_type, message_seq) = (fragment.message_type, fragment.message_seq);
        self.done
            .contains(&Done::new(message_type, message_seq, fragment.length))
    }

    pub(super) fn remember(&mut self, partial: &Partial) {
        self.note_done(
            partial.message_type(),
            partial.message_seq(),
            partial.length(),
        );
    }

    pub(super) fn note_done(&mut self, message_type: HandshakeType, message_seq: u16, length: u32) {
        if self.done.len() >= DONE_KEPT {
            self.done.remove(0);
        }
        self.done.push(Done::new(message_type, message_seq, length));
    }

    /// Whether a fragment is a whole message of which no octet was seen before.
    pub(super) fn takes_whole(&self, fragment: &Fragment<'_>) -> bool {
        fragment.fragment_offset == 0
            && fragment.fragment_length == fragment.length
            && u32::try_from(fragment.body.len()) == Ok(fragment.length)
            && !self.partial.iter().any(|partial| partial.is_of(fragment))
    }

    pub(super) fn insert(&mut self, fragment: &Fragment<'_>, frame: u64) -> (usize, Insertion) {
        let known = self
            .partial
            .iter()
            .position(|partial| partial.is_of(fragment));
        let index = known.unwrap_or_else(|| {
            if self.partial.len() >= PARTIAL_KEPT {
                self.partial.remove(0);
                self.dropped += 1;
            }
            self.partial.push(Partial::new(fragment));
            self.partial.len() - 1
        });
        let insertion = self
            .partial
            .get_mut(index)
            .map_or(Insertion::Nothing, |partial| {
                partial.insert(fragment, frame)
            });
        (index, insertion)
    }
}
