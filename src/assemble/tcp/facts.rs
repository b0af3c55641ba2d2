//! What is told of connections, to whom, and within which bounds.

use vpnscope_dissectors::Verdict;

use crate::decap::{Envelope, Flow};
use crate::time::Span;

use super::{At, Hints};

/// Budgets and timers.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Connections that are followed at a time.
    pub connections: usize,
    /// Connections without octets that are remembered at a time.
    pub openings: usize,
    /// Octets of one direction that may wait behind a hole.
    pub early_octets: usize,
    /// Segments of one direction that may wait behind a hole.
    pub early_segments: usize,
    /// How long after its acknowledgment a missing segment may still come: captures put
    /// frames out of order by a little.
    pub patience: Span,
    /// How long a connection without octets is remembered after its last SYN. Linux repeats
    /// a SYN for 127 s with gaps up to 64 s.
    pub opening_idle: Span,
    /// How long a connection is remembered without a segment.
    pub idle: Span,
    /// How long a connection is remembered that was closed.
    pub closed: Span,
    /// Octets that may be held at a time, by all connections and their readers.
    pub octets: usize,
    /// Whether segments wait a moment for what they answer: in files, whose times and order
    /// may run wrong. An interface gives frames in order.
    pub waits: bool,
    /// Whether a stretch of a stream is of ours.
    pub recognise: fn(&[u8]) -> Verdict,
    /// Whether a connection that never carried an octet matters, by its flow from the opener.
    pub expects: fn(&Flow, Hints) -> bool,
    /// Who is who, where a connection is seen from its middle.
    pub hints: Hints,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections: 250_000,
            openings: 450_000,
            early_octets: 128 << 10,
            early_segments: 512,
            patience: Span::from_millis(20),
            opening_idle: Span::from_secs(75),
            idle: Span::from_secs(3600),
            closed: Span::from_secs(5),
            octets: 48 << 20,
            waits: true,
            recognise: vpnscope_dissectors::tls::recognise,
            expects: |_, _| true,
            hints: Hints::default(),
        }
    }
}

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Connections followed.
    pub connections: u64,
    /// Connections let go of early because there were too many, with or without octets.
    pub evicted: u64,
    /// Copies made by a span port.
    pub copies: u64,
    /// Holes given up.
    pub gaps: u64,
}

/// The ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The one that sent the SYN.
    Opener,
    /// The one that answered it.
    Acceptor,
}

impl Party {
    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Opener => Self::Acceptor,
            Self::Acceptor => Self::Opener,
        }
    }
}

/// How a connection was opened, as far as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// The first SYN.
    pub syn: Option<At>,
    /// The last SYN.
    pub last_syn: Option<At>,
    /// How many.
    pub syns: u8,
    /// The first SYN with ACK.
    pub answer: Option<At>,
    /// Whether the opener acknowledged the answer.
    pub acknowledged: bool,
    /// What the opener wants to receive at most, octets of data.
    pub mss: Option<u16>,
    /// What the acceptor wants to receive at most.
    pub answer_mss: Option<u16>,
    /// A segment size that a box on the path put into the opener's SYN, seen before and after it.
    pub rewritten: Option<Rewritten>,
    /// The same of the acceptor's.
    pub answer_rewritten: Option<Rewritten>,
    /// TTL of the SYN at the capture point.
    pub ttl: u8,
    /// TTL of the answer at the capture point.
    pub answer_ttl: u8,
}

/// A segment size that changes on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    /// What the host wrote, octets of data.
    pub from: u16,
    /// What stands there afterwards.
    pub to: u16,
}

/// Something about a connection that is no octet of its streams. Offsets count octets of data
/// from the start of the sender's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// A connection begins to be followed; the first of its facts.
    Opened(Opening),
    /// SYNs that nobody answered, and nothing else: all there will be of this connection.
    Unanswered {
        /// The SYNs.
        opening: Opening,
        /// Whether it was let go of because it was silent for long; otherwise the capture ended.
        idle: bool,
    },
    /// A SYN or its answer again, after the first octets.
    SynRepeated,
    /// It was reset.
    Reset {
        /// Where in the sender's stream.
        offset: u32,
    },
    /// The sender has nothing more to say.
    Fin {
        /// Length of the sender's stream.
        offset: u32,
    },
    /// A segment of which everything was seen before: a retransmission.
    Repeat {
        /// Where.
        offset: u32,
        /// Octets.
        len: u32,
        /// Up to where the peer had acknowledged then.
        acked: u32,
    },
    /// A segment that leaves a hole before it.
    Hole {
        /// Where the hole starts.
        offset: u32,
        /// Octets.
        len: u32,
    },
    /// A hole was filled by a segment that came late.
    Filled {
        /// Where it was.
        offset: u32,
    },
    /// The peer acknowledged more. Only while octets are wanted.
    Acked {
        /// Up to where in the peer's stream.
        offset: u32,
    },
    /// The sender has octets of the peer's stream beyond a hole (RFC 2018): that hole is on
    /// the path, not in the capture. Only while octets are wanted.
    Sack {
        /// Where the hole starts: what is acknowledged.
        acked: u32,
        /// The first octet beyond it.
        from: u32,
        /// One beyond the last octet of the highest block.
        to: u32,
    },
    /// A probe whether the peer is there.
    KeepAlive,
    /// The sender wants to receive nothing at the moment.
    WindowClosed,
    /// Octets that overlap earlier ones and differ from them.
    Conflict {
        /// Where the segment starts.
        offset: u32,
    },
    /// A copy made by a span port.
    Copy,
    /// Nothing more will be said of this connection. How many frames each end sent.
    Forgotten {
        /// Frames of the opener.
        opener: u32,
        /// Frames of the acceptor.
        acceptor: u32,
    },
}

/// What is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What<'a> {
    /// A fact.
    Fact(Fact),
    /// The next octets of the sender's stream.
    Octets {
        /// Where they stand in it.
        offset: u32,
        /// They themselves.
        octets: &'a [u8],
    },
    /// Octets that will not come: lost by the capture, or cut off by it.
    Gap {
        /// Where.
        offset: u32,
        /// How many.
        len: u32,
    },
}

/// A delivery: what, of which connection, in which frame.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// Number of the connection, from 1, never used twice.
    pub connection: u64,
    /// From the opener to the acceptor.
    pub flow: Flow,
    /// Whether the roles follow from a SYN.
    pub roles_known: bool,
    /// How the segment travelled. Octets that waited come with the frame they were in by
    /// [`Delivery::at`], and with the envelope of the segment that set them free.
    pub envelope: &'a Envelope,
    /// The frame that carried it.
    pub at: At,
    /// Who sent it.
    pub from: Party,
    /// What.
    pub what: What<'a>,
}

/// What the reader of a connection wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Appetite {
    /// Every octet, in order, and all facts.
    #[default]
    All,
    /// Octets, and the rarer facts.
    Some,
    /// Nothing: it is not ours.
    Nothing,
}

/// What a reader keeps for a connection.
pub trait Reader: Default {
    /// Octets that it holds.
    fn held(&self) -> usize;
    /// Its connection is quiet: room that is not used may go.
    fn rest(&mut self) {}
}
