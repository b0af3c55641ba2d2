//! TLS messages over many segments and records, and several in one.
//!
//! Takes the octets of both directions of a connection in order, gives records, whole
//! handshake messages in clear and alerts in clear, each with the frames they came in. Keeps
//! only what a handshake needs: the record at hand while it is in clear, and the message that
//! is not complete yet. After a gap it goes on at the next record.

use vpnscope_dissectors::ParseError;
use vpnscope_dissectors::tls::{self, Alert, ContentType, HandshakeType, Ssl2ClientHello, Version};

use super::super::tcp::{Appetite, Party};

mod direction;
mod messages;
#[cfg(test)]
mod tests;

use direction::{Direction, State};

/// How many frames of a record or message are named.
const FRAMES_KEPT: usize = 256;

/// Something in the stream of one direction.
#[derive(Debug, Clone, Copy)]
pub enum What<'a> {
    /// A record that ended.
    Record {
        /// What it carries.
        content_type: ContentType,
        /// The version it names.
        version: Version,
        /// Octets after its header.
        length: u16,
        /// Whether it is in clear.
        clear: bool,
        /// Whether octets of it were lost by the capture.
        cut: bool,
    },
    /// A handshake message in clear that is whole.
    Handshake {
        /// Its type.
        message_type: HandshakeType,
        /// What is after its header.
        body: &'a [u8],
    },
    /// A handshake message in clear of which octets were lost, or that is too long to keep.
    HandshakeCut {
        /// Its type.
        message_type: HandshakeType,
        /// Its declared length.
        length: u32,
        /// What there is of the body, from its start.
        body: &'a [u8],
    },
    /// The ClientHello of SSL 2.0.
    Ssl2Hello(Ssl2ClientHello<'a>),
    /// An alert in clear.
    Alert(Alert),
    /// The stream is no TLS, although its peer's is: its first octets.
    NotTls(&'a [u8]),
    /// The stream was TLS, and what follows is not.
    Unreadable(ParseError),
}

/// Something in the stream of one direction, and where it came from.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// Who sent it.
    pub from: Party,
    /// The frames it was in, in the order of their octets; at most 256.
    pub frames: &'a [u64],
    /// What is known of the handshake.
    pub context: tls::Context,
    /// What.
    pub what: What<'a>,
}

/// Both directions of a connection.
#[derive(Debug, Default)]
pub struct Stream {
    opener: Direction,
    acceptor: Direction,
    shared: Shared,
}

/// What one direction must know of the other.
#[derive(Debug, Default)]
struct Shared {
    recognised: bool,
    context: tls::Context,
    records: u32,
}

impl Shared {
    fn is_tls13(&self) -> bool {
        self.context
            .version
            .is_some_and(|version| version.rank() >= Version::TLS_1_3.rank())
    }
}

impl Stream {
    /// Octets that are held.
    pub fn held(&self) -> usize {
        self.opener.held() + self.acceptor.held()
    }

    /// Gives away room that is not used.
    pub fn rest(&mut self) {
        for direction in [&mut self.opener, &mut self.acceptor] {
            direction.rest();
        }
    }

    /// Whether the connection is known to be TLS.
    pub const fn is_recognised(&self) -> bool {
        self.shared.recognised
    }

    /// What is wanted of the connection.
    pub const fn appetite(&self) -> Appetite {
        if !self.shared.recognised && (self.opener.is_lost() || self.acceptor.is_lost()) {
            Appetite::Nothing
        } else if self.shared.records < 64 {
            Appetite::All
        } else {
            Appetite::Some
        }
    }

    /// Takes the next octets of a direction, which came in `frame`. `at_start` says whether they
    /// are the first that the sender sent at all.
    pub fn octets(
        &mut self,
        from: Party,
        at_start: bool,
        frame: u64,
        octets: &[u8],
        sink: &mut impl FnMut(&Item<'_>),
    ) {
        let (direction, shared) = self.split(from);
        if matches!(direction.state, State::Start) && direction.frames.is_empty() {
            direction.from_start = at_start;
        }
        direction.octets(from, frame, octets, shared, sink);
    }

    /// Octets of a direction will not come.
    pub fn gap(&mut self, from: Party, len: u32, sink: &mut impl FnMut(&Item<'_>)) {
        let (direction, shared) = self.split(from);
        direction.gap(
            from,
            usize::try_from(len).unwrap_or(usize::MAX),
            shared,
            sink,
        );
    }

    /// The connection is over: gives what there is of messages that were begun.
    pub fn finish(&mut self, sink: &mut impl FnMut(&Item<'_>)) {
        for from in [Party::Opener, Party::Acceptor] {
            let (direction, shared) = self.split(from);
            if shared.recognised {
                direction.give_up_message(from, shared, sink);
            }
        }
    }

    const fn split(&mut self, from: Party) -> (&mut Direction, &mut Shared) {
        match from {
            Party::Opener => (&mut self.opener, &mut self.shared),
            Party::Acceptor => (&mut self.acceptor, &mut self.shared),
        }
    }
}
