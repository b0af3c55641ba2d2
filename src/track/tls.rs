//! Facts of a TLS session: its TCP connections, the DTLS associations that belong to it, and
//! the look-ups of its gateway's name.

use crate::decap::Flow;
use crate::time::{Span, Timestamp};
use crate::track::rare::{Rare, Usual};
use crate::track::session::{PerSide, Side, Stamp};

pub mod association;
pub mod connection;
pub mod hello;

pub use association::Association;
pub use connection::Connection;
pub use hello::{Answer, Chain, Hello};

/// Facts of a TLS or DTLS session.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tls {
    /// TCP connections in the order of their opening. Bounded.
    pub connections: Vec<Connection>,
    /// DTLS associations in the order of their first datagram. Bounded.
    pub associations: Vec<Association>,
    /// Connections and associations beyond the bound.
    pub not_kept: u32,
    /// Look-ups of the gateway's name by this client. Bounded.
    pub lookups: Rare<Vec<Lookup>>,
    /// Who sends what over which channel.
    pub flow: DataFlow,
    /// Associations that might as well belong to another session from the same address.
    pub ambiguous: bool,
    /// The DTLS client sent from another address or port without a new hello.
    pub moves: Rare<Vec<Move>>,
    /// The client heard nothing more over UDP and began a new handshake. The first time.
    pub gave_up: Option<Box<GaveUp>>,
}

impl Tls {
    /// Connections, and associations, that are kept.
    pub const KEPT: usize = 64;

    /// The last connection.
    pub fn connection(&self) -> Option<&Connection> {
        self.connections.last()
    }

    /// The last connection that carried TLS; a reconnect that failed is none.
    pub fn channel(&self) -> Option<&Connection> {
        self.connections
            .iter()
            .rev()
            .find(|connection| !connection.hellos.is_empty() || connection.started_late)
            .or_else(|| self.connection())
    }

    /// Whether the first thing seen of the session, at `first`, is an association: the connection
    /// that it belongs to was not found.
    pub fn began_with_tunnel(&self, first: Stamp) -> bool {
        self.associations
            .iter()
            .filter_map(Association::hello)
            .any(|hello| hello.at <= first)
    }

    /// Whether an association was established at any time.
    pub fn has_tunnel(&self) -> bool {
        self.associations.iter().any(Association::is_established)
    }
}

/// A client that heard nothing more over UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GaveUp {
    /// What it sent in vain.
    pub run: Run,
    /// Its new `ClientHello`.
    pub at: Stamp,
}

/// A client's datagrams went on from another address or port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The first datagram from there.
    pub at: Stamp,
    /// Client to gateway, before.
    pub before: Flow,
    /// Client to gateway, after.
    pub after: Flow,
    /// Records from there.
    pub records: u32,
    /// Whether the gateway sent to the new place.
    pub answered: bool,
}

/// A look-up of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The name asked for.
    pub name: String,
    /// The first query.
    pub asked: Stamp,
    /// The first answer that says something.
    pub answered: Option<Stamp>,
}

/// Who sends what, when, over TCP and over UDP, after the handshakes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataFlow {
    /// Records of application data over TCP.
    pub tcp: PerSide<Activity>,
    /// Records of application data over UDP.
    pub udp: PerSide<Activity>,
    /// Records of the client over UDP since the last of the gateway.
    pub udp_unanswered: Run,
    /// Records of the gateway over UDP since the last of the client.
    pub udp_unheard: Run,
    /// Application records of each side over TCP since the gateway's last over UDP.
    pub tcp_since_udp: PerSide<Run>,
    /// The latest time that TCP carried nothing new of the gateway and UDP neither.
    pub gateway_last: Option<Stamp>,
    /// The same of the client.
    pub client_last: Option<Stamp>,
    /// From a hello over UDP to its answer, as the capture sees it.
    pub round_trip: Span,
    /// UDP records by length: which lengths of each side were followed by one of the peer.
    pub sizes: PerSide<Rare<Sizes>>,
}

/// How much of something there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Activity {
    /// The first.
    pub first: Option<Stamp>,
    /// The last.
    pub last: Option<Stamp>,
    /// How many.
    pub count: u64,
    /// Octets.
    pub octets: u64,
}

impl Activity {
    /// Notes one.
    pub fn note(&mut self, at: Stamp, octets: u32) {
        self.first.get_or_insert(at);
        self.last = Some(at);
        self.count += 1;
        self.octets += u64::from(octets);
    }
}

/// Several of something without something else between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Run {
    /// The first.
    pub first: Option<Stamp>,
    /// The last.
    pub last: Option<Stamp>,
    /// How many.
    pub count: u32,
    /// The longest, octets.
    pub longest: u32,
}

impl Run {
    /// Notes one.
    pub fn note(&mut self, at: Stamp, octets: u32) {
        self.first.get_or_insert(at);
        self.last = Some(at);
        self.count = self.count.saturating_add(1);
        self.longest = self.longest.max(octets);
    }

    /// From the first to the last.
    pub fn spread(&self) -> Span {
        match (self.first, self.last) {
            (Some(first), Some(last)) => last.time - first.time,
            _ => Span::default(),
        }
    }
}

/// Datagrams of one side by size: which crossed.
///
/// A datagram is taken to have crossed when the peer sends soon after it and before the next
/// one, or sends one as long as it: probes of the size are sent back. What is sent into silence
/// several times has not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sizes {
    /// One entry a size, of the datagram's IP length. Bounded.
    pub list: Vec<Size>,
    /// The datagram that waits for an answer.
    waiting: Option<(u32, Timestamp)>,
    /// The last ones that none as long came back for.
    recent: [Option<(u32, Timestamp)>; 8],
    /// When the last answer came that was as long as none of those, and what it was taken to
    /// answer.
    taken: Option<(Timestamp, (u32, Timestamp))>,
}

/// Datagrams of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// IP length, octets.
    pub ip_len: u32,
    /// How many.
    pub sent: u32,
    /// How many were followed by the peer.
    pub followed: u32,
    /// How many were followed by silence of both.
    pub lost: u32,
    /// The first.
    pub first: Stamp,
    /// The last.
    pub last: Stamp,
}

impl Usual for Sizes {
    const USUAL: &'static Self = &Self {
        list: Vec::new(),
        waiting: None,
        recent: [None; 8],
        taken: None,
    };
}

impl Sizes {
    const KEPT: usize = 64;
    /// What follows later than this and two round trips is no answer.
    const PATIENCE: Span = Span::from_millis(150);
    /// Who sends into silence waits before he sends again; a stream does not.
    const PAUSE: Span = Span::from_millis(40);

    /// Notes a datagram.
    pub fn sent(&mut self, ip_len: u32, at: Stamp) {
        if let Some((before, sent)) = self.waiting.replace((ip_len, at.time))
            && at.time - sent >= Self::PAUSE
        {
            self.lose(before);
        }
        self.recent.rotate_right(1);
        if let Some(oldest) = self.recent.first_mut() {
            *oldest = Some((ip_len, at.time));
        }
        if let Some(size) = self.list.iter_mut().find(|size| size.ip_len == ip_len) {
            size.sent = size.sent.saturating_add(1);
            size.last = at;
        } else if self.list.len() < Self::KEPT {
            self.list.push(Size {
                ip_len,
                sent: 1,
                followed: 0,
                lost: 0,
                first: at,
                last: at,
            });
        }
    }

    fn lose(&mut self, ip_len: u32) {
        if let Some(size) = self.list.iter_mut().find(|size| size.ip_len == ip_len) {
            size.lost = size.lost.saturating_add(1);
        }
    }

    /// How many datagrams of a size were followed by silence, the last included if nothing
    /// came after it.
    pub fn lost(&self, size: &Size) -> u32 {
        let last = self
            .waiting
            .is_some_and(|(ip_len, _)| ip_len == size.ip_len);
        size.lost.saturating_add(u32::from(last))
    }

    /// The peer sent a datagram of so many octets; tells when one as long was sent that it
    /// answers.
    ///
    /// Where the order is `doubtful`, what follows at once answers nothing else.
    pub fn heard(
        &mut self,
        ip_len: u32,
        now: Timestamp,
        round_trip: Span,
        doubtful: bool,
    ) -> Option<Timestamp> {
        let patience = Self::PATIENCE
            .0
            .saturating_add(round_trip.0.saturating_mul(2));
        let echo = |sent: &&mut Option<(u32, Timestamp)>| {
            sent.is_some_and(|(len, at)| len == ip_len && (now - at).0 <= patience)
        };
        if let Some((len, at)) = self.recent.iter_mut().find(echo).and_then(Option::take) {
            self.follow(len);
            self.waiting = self.waiting.filter(|waiting| *waiting != (len, at));
            return Some(at);
        }
        let (len, at) = self.waiting?;
        if doubtful && now - at <= Stamp::JITTER {
            return None;
        }
        self.waiting = None;
        if (now - at).0 > patience {
            self.lose(len);
        } else {
            self.follow(len);
            self.taken = Some((now, (len, at)));
        }
        None
    }

    fn follow(&mut self, ip_len: u32) {
        if let Some(size) = self.list.iter_mut().find(|size| size.ip_len == ip_len) {
            size.followed = size.followed.saturating_add(1);
        }
    }

    /// The last datagram is as long as one that the peer sent about as soon, at `asked`: one of
    /// them answers the other, and nobody knows which. So both crossed, and the peer's was no
    /// answer to anything else.
    fn either(&mut self, asked: Timestamp) {
        if let Some((ip_len, now)) = self.waiting.take() {
            self.follow(ip_len);
            if let Some((_, (len, sent))) = self.taken.take_if(|(at, _)| *at == asked) {
                if let Some(size) = self.list.iter_mut().find(|size| size.ip_len == len) {
                    size.followed = size.followed.saturating_sub(1);
                }
                if now - sent >= Self::PAUSE {
                    self.lose(len);
                }
            }
        }
        if let Some(newest) = self.recent.first_mut() {
            *newest = None;
        }
    }
}

impl DataFlow {
    /// Notes a record of application data over UDP.
    ///
    /// Where the order of frames is `doubtful`, who answered whom is told by lengths only.
    pub fn udp(&mut self, from: Side, at: Stamp, octets: u32, ip_len: u32, doubtful: bool) {
        self.udp.of_mut(from).note(at, octets);
        self.heard(from, at);
        self.sizes.of_mut(from).sent(ip_len, at);
        let round_trip = self.round_trip;
        let peer = self.sizes.of_mut(from.other());
        let asked = peer.heard(ip_len, at.time, round_trip, doubtful);
        if let Some(asked) = asked.filter(|asked| doubtful && at.time - *asked <= Stamp::JITTER) {
            self.sizes.of_mut(from).either(asked);
        }
        match from {
            Side::Client => {
                self.udp_unanswered.note(at, octets);
                self.udp_unheard = Run::default();
            }
            Side::Gateway => {
                self.udp_unanswered = Run::default();
                self.udp_unheard.note(at, octets);
                self.tcp_since_udp = PerSide::default();
            }
        }
    }

    /// Notes a record of application data over TCP.
    pub fn tcp(&mut self, from: Side, at: Stamp, octets: u32) {
        self.tcp.of_mut(from).note(at, octets);
        self.tcp_since_udp.of_mut(from).note(at, octets);
        self.heard(from, at);
    }

    /// Notes that an end was heard of.
    pub fn heard(&mut self, from: Side, at: Stamp) {
        match from {
            Side::Client => self.client_last = Some(at),
            Side::Gateway => self.gateway_last = Some(at),
        }
    }
}

packed! { Sizes { list, waiting, recent, taken } }
