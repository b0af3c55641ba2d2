//! Folds events into sessions: owned facts with their frames, no judgement.
//!
//! The tracker is sans-IO. It is driven the same way from a file and from an interface:
//! [`Tracker::advance`] before each event, [`Tracker::handle`] for each, [`Tracker::poll`]
//! for what changed, [`Tracker::finish`] at the end. Time is what the capture says.

use std::net::IpAddr;

use vpnscope_dissectors::{
    ParseError, dns, ike, l2tp as l2tp_wire, ppp as ppp_wire, pppoe as pppoe_wire,
    radius as radius_wire,
};

use crate::assemble::messages::{dtls as dtls_messages, tls as tls_messages};
use crate::assemble::tcp::{self, At, Party};
use crate::decap::{Envelope, Flow, Icmp};
use crate::time::{Span, Timestamp};

#[macro_use]
mod pack;

mod clear;
mod end;
pub mod esp;
mod esp_index;
mod esp_lay;
mod esp_table;
mod hold;
mod icmp;
pub mod ike1;
mod ike1_table;
pub mod ike2;
mod ike_table;
mod keys;
pub mod l2tp;
mod l2tp_table;
mod line;
mod lone;
mod memo;
pub mod names;
mod nap;
mod pairs;
pub mod path;
pub mod ppp;
pub mod pppoe;
mod pppoe_table;
pub mod radius;
mod radius_table;
pub mod rare;
pub mod session;
mod slab;
pub mod tls;
mod tls_table;
mod unanswered;
pub mod vantage;
mod vendor;

pub use crate::assemble::messages::dtls::{Item as DtlsItem, What as DtlsWhat};
pub use crate::assemble::messages::tls::What as TlsWhat;
use end::End;
pub use esp::{EspFlow, Over};
pub use esp_table::{EspSight, TOGETHER as ESP_TOGETHER};
use line::Line;
pub use lone::{Lone, LoneSight};
use nap::Nap;
use pack::Shared;
use pairs::{Pair, Pairs};
use session::{Ending, IncompleteDatagram};
pub use session::{Session, Side, Stamp};
use slab::{Open, Slab};
pub use unanswered::Unanswered;
pub(crate) use vendor::{known_vendor, vendor_of};

/// Something that happened, for the tracker.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// How it travelled.
    pub envelope: &'a Envelope,
    /// The frames it was put together from; empty for the envelope's one.
    pub frames: &'a [u64],
    /// What it is.
    pub what: What<'a>,
}

/// What an [`Event`] carries.
#[derive(Debug, Clone, Copy)]
pub enum What<'a> {
    /// An IKE message, of either version.
    Ike {
        /// The message.
        message: ike::Message<'a>,
        /// All its octets, from the initiator SPI on.
        octets: &'a [u8],
    },
    /// One octet 0xFF on a NAT-traversal port.
    NatKeepalive,
    /// An ESP packet.
    Esp {
        /// SPI.
        spi: u32,
        /// Sequence number.
        sequence: u32,
        /// Octets from the SPI on, on the wire.
        len: u32,
        /// How it travelled.
        over: Over,
    },
    /// An AH header; what it protects follows as an event of its own.
    Ah {
        /// SPI.
        spi: u32,
        /// Sequence number.
        sequence: u32,
        /// IP protocol of what follows.
        next_header: u8,
    },
    /// An L2TP message, control or data.
    L2tp {
        /// The message.
        message: l2tp_wire::Message<'a>,
        /// All its octets.
        octets: &'a [u8],
    },
    /// A `PPPoE` packet: discovery, or the PPP control packets of a session.
    Pppoe {
        /// The packet.
        packet: pppoe_wire::Packet<'a>,
    },
    /// A PPP frame without IP on a link that is PPP itself.
    Ppp {
        /// The frame.
        frame: ppp_wire::Frame<'a>,
    },
    /// A RADIUS packet.
    Radius {
        /// The packet.
        packet: radius_wire::Packet<'a>,
        /// All its octets.
        octets: &'a [u8],
    },
    /// An ICMP message.
    Icmp(Icmp<'a>),
    /// A fact of a TCP connection.
    Tcp(TcpEvent),
    /// Something in the TLS of a TCP connection.
    Tls(TlsEvent<'a>),
    /// Something in a DTLS association.
    Dtls(DtlsEvent<'a>),
    /// A DNS message.
    Dns(dns::Message<'a>),
    /// Fragments that never became a datagram.
    Incomplete(&'a Incomplete),
    /// Octets recognised as IKE that could not be read at all.
    Unreadable(ParseError),
}

/// How a DNS message travelled.
#[derive(Debug, Clone, Copy)]
pub struct DnsSight {
    /// Its frame and time.
    pub at: Stamp,
    /// Address and port that it came from.
    pub source: (IpAddr, u16),
    /// Address and port that it went to.
    pub destination: (IpAddr, u16),
}

impl From<&Envelope> for DnsSight {
    fn from(envelope: &Envelope) -> Self {
        let flow = envelope.flow();
        Self {
            at: Stamp::from(envelope),
            source: flow.source,
            destination: flow.destination,
        }
    }
}

/// A TCP connection, one of its ends, and the frame at hand.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// Number of the connection.
    pub number: u64,
    /// From the opener to the acceptor.
    pub flow: Flow,
    /// Whether the roles follow from a SYN.
    pub roles_known: bool,
    /// Who sent what the event is about.
    pub from: Party,
    /// The frame that carried it, which is not the one that completed it where segments came
    /// out of order.
    pub at: At,
}

/// A fact of a TCP connection.
#[derive(Debug, Clone, Copy)]
pub struct TcpEvent {
    /// Which.
    pub stream: Stream,
    /// What.
    pub fact: tcp::Fact,
}

/// Something in the TLS of a TCP connection.
#[derive(Debug, Clone, Copy)]
pub enum TlsEvent<'a> {
    /// A record, a message, an alert.
    Item {
        /// Which connection.
        stream: Stream,
        /// What is known of the handshake.
        context: vpnscope_dissectors::tls::Context,
        /// What.
        what: tls_messages::What<'a>,
    },
    /// Octets that the capture lost or cut off.
    Gap {
        /// Which connection.
        stream: Stream,
        /// Where in the sender's stream.
        offset: u32,
        /// How many.
        len: u32,
    },
}

/// Something in a DTLS association.
#[derive(Debug, Clone, Copy)]
pub struct DtlsEvent<'a> {
    /// What, and of which association.
    pub item: dtls_messages::Item<'a>,
}

/// Fragments of one datagram that never became whole, as `assemble` gave them up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incomplete {
    /// Source and destination; ports are 0 where the first fragment was not seen.
    pub flow: Flow,
    /// SPIs of the IKE message it began, where it was one.
    pub ike_spis: Option<(u64, u64)>,
    /// The fact itself; its `from` is set by the tracker.
    pub fact: IncompleteDatagram,
}

/// Limits and timers. Captures are hostile input: everything is bounded.
#[derive(Debug, Clone)]
pub struct Config {
    /// Sessions open at the same time.
    pub sessions: usize,
    /// Octets that they take, about.
    pub session_octets: usize,
    /// Octets, about, of those among them that are not packed. The others are unpacked when
    /// something is about them.
    pub awake_octets: usize,
    /// How long a session must be silent before it is packed. Handshakes take some 100 ms, and
    /// retransmissions begin after 500: what was seen later than that goes on, or is over soon, and
    /// in a storm that fills `session_octets` within this time it makes room unpacked.
    pub awake_for: Span,
    /// ESP flows known at the same time.
    pub esp_flows: usize,
    /// Octets that they take.
    pub esp_octets: usize,
    /// Look-ups of names open at the same time.
    pub lookups: usize,
    /// A session of which nothing was answered is closed after this silence.
    pub idle_unanswered: Span,
    /// A session whose set-up did not finish is closed after this silence.
    pub idle_half_open: Span,
    /// A session that works is closed after this silence.
    pub idle_established: Span,
    /// After each of these silences, [`Tracker::look`] gives what a session looks like. Empty
    /// for files: their sessions are judged when they close.
    pub settled_after: Vec<Span>,
    /// Sessions are numbered on from here.
    pub numbered_from: u32,
    /// Whether messages wait a moment for what they overtook: in files, whose times and order
    /// may run wrong. An interface gives frames in order.
    pub waits: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sessions: 200_000,
            session_octets: 32 << 20,
            awake_octets: 6 << 20,
            awake_for: Span::from_millis(500),
            esp_flows: 2_000_000,
            esp_octets: 192 << 20,
            lookups: 20_000,
            idle_unanswered: Span::from_secs(600),
            idle_half_open: Span::from_secs(600),
            idle_established: Span::from_secs(6 * 3600),
            settled_after: Vec::new(),
            numbered_from: 0,
            waits: true,
        }
    }
}

/// What changed.
#[derive(Debug)]
pub enum Change {
    /// A session began; its number. Only where sessions are looked at while they go on.
    Opened(u32),
    /// A session was silent long enough to say something of it; what it looks like now.
    Verdict(Box<Session>),
    /// A session is over: the tracker has let go of it.
    Closed(Box<Session>),
    /// A session of unanswered SYNs is over. Only [`Tracker::poll_unbuilt`] gives this.
    Unanswered(Unanswered),
    /// A session of ESP alone is over. Only [`Tracker::poll_unbuilt`] gives this.
    Lone(Box<Lone>),
}

/// Counters of the tracker as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Sessions closed early because there were too many.
    pub evicted_sessions: u64,
    /// ESP flows not tracked because there were too many, or whose packets are not laid side by
    /// side because they took too much.
    pub evicted_esp: u64,
    /// Look-ups of names given up early because there were too many.
    pub evicted_lookups: u64,
    /// IKE SAs that renew one of a session which has no room for more.
    pub evicted_sas: u64,
    /// Copies made by a span port.
    pub copies: u64,
    /// ESP packets that stayed the only ones of their SPI, beyond those kept.
    pub single_esp: u64,
    /// ICMP errors that fit no session.
    pub unrelated_icmp: u64,
}

/// State that all protocols share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) now: Timestamp,
    pub(crate) slab: Slab,
    /// Sessions of ESP alone, which are kept elsewhere.
    pub(crate) lone: usize,
    pub(crate) pairs: Pairs,
    pub(crate) counters: Counters,
    changes: Line<Queued>,
}

/// A change that waits to be asked for.
#[derive(Debug)]
enum Queued {
    /// As it is.
    Change(Change),
    /// A session that is over, and what its end adds to it.
    Closed(Nap, Box<End>),
    /// So many sessions of ESP alone that the end of the capture closed.
    Lone(usize),
    /// So many others.
    Retired(usize),
}

impl Queued {
    fn change(self, shared: &Shared) -> Option<Change> {
        match self {
            Self::Change(change) => Some(change),
            Self::Lone(_) | Self::Retired(_) => None,
            Self::Closed(nap, mut end) => {
                let mut session = nap.into_session(shared)?;
                end.tell(&mut session);
                Some(Change::Closed(session))
            }
        }
    }
}

/// A session that is over, as it will be given.
#[derive(Debug)]
pub enum Ended<'a> {
    /// A session.
    Session(&'a Session),
    /// One of unanswered SYNs.
    Unanswered(&'a Unanswered),
    /// One of ESP alone.
    Lone(LoneSight),
}

/// Sessions of one address pair among which none is packed: a new one may be compared with all of
/// them.
const PAIR_ASLEEP: usize = 16;

impl Core {
    /// Whether open sessions are more than the budgets allow. One is always allowed.
    fn is_full(&self) -> bool {
        let (len, held) = (self.slab.len(), self.slab.held());
        len > self.config.sessions.max(1) || (held > self.config.session_octets && len > 1)
    }

    /// Opens a session between the addresses of `envelope`.
    pub(crate) fn open(&mut self, session: Session, envelope: &Envelope) -> u32 {
        let index = self.slab.insert(session, self.now);
        self.opened();
        self.join_pair(index, envelope);
        index
    }

    /// Tells that the session with the highest number began, where that is asked for.
    pub(crate) fn opened(&mut self) {
        if !self.config.settled_after.is_empty() {
            let opened = Change::Opened(self.slab.numbered());
            self.changes.push_back(Queued::Change(opened));
        }
    }

    /// Keeps a session that was opened before, between its client and its gateway.
    pub(crate) fn reopen(&mut self, session: Session, seen: Timestamp, idle: Span) -> u32 {
        let (id, pair) = (session.id, Pair::of(session.client.ip, session.gateway.ip));
        let index = self.slab.insert_numbered(session, seen);
        let slab = &mut self.slab;
        let is_younger = |other: &u32| slab.aside(*other).is_some_and(|open| open.id > id);
        let list = self.pairs.of(pair);
        let at = list.iter().position(is_younger).unwrap_or(list.len());
        if self.pairs.insert(pair, at, index)
            && let Some(open) = self.slab.aside(index)
        {
            open.pairs.push(pair);
        }
        self.slab.touch(index, seen, idle);
        index
    }

    /// Makes a session findable by the addresses of `envelope`.
    pub(crate) fn join_pair(&mut self, index: u32, envelope: &Envelope) {
        if envelope.source.is_unspecified() && envelope.destination.is_unspecified() {
            // Below IP, as `PPPoE`: it is never asked for by addresses.
            return;
        }
        let (source, destination) = (envelope.source, envelope.destination);
        // Nearly every message travels between the addresses of the one before it.
        let pairs = self.slab.aside(index).map(|open| &open.pairs);
        if pairs
            .and_then(pairs::FoundBy::last)
            .is_some_and(|pair| pair.is(source, destination))
        {
            return;
        }
        let pair = Pair::of(source, destination);
        if self.pairs.add(pair, index)
            && let Some(open) = self.slab.aside(index)
        {
            open.pairs.push(pair);
        }
    }

    /// Packs sessions that were quiet for long where those that are not packed are too many.
    fn doze(&mut self) {
        let pairs = &self.pairs;
        let quiet_since = self.now - self.config.awake_for;
        self.slab
            .doze(self.config.awake_octets, quiet_since, |open| {
                let few = |pair: Pair| pairs.of(pair).len() <= PAIR_ASLEEP;
                open.pairs.iter().all(few)
            });
    }

    /// Sessions between two addresses, oldest first.
    pub(crate) fn between(&self, a: IpAddr, b: IpAddr) -> &[u32] {
        self.pairs.of(Pair::of(a, b))
    }

    /// Reports a session that is over as soon as it is known.
    pub(crate) fn open_closed(&mut self, session: Session) {
        let index = self.slab.insert(session, self.now);
        self.close(index, End::new(Ending::Idle, self.now));
    }

    /// Lets go of a session and reports it.
    fn close(&mut self, index: u32, end: End) {
        let Some(Open { session, pairs, .. }) = self.slab.remove(index) else {
            return;
        };
        self.pairs.remove_each(&pairs, index);
        self.changes
            .push_back(Queued::Closed(session, Box::new(end)));
    }

    /// Shows the sessions that are over, from this change on, as they will be given.
    fn show(&mut self, from: usize, show: &mut impl FnMut(Ended<'_>)) {
        for queued in self.changes.range_mut(from) {
            match queued {
                Queued::Closed(session, end) => end.show(session, self.slab.shared(), show),
                Queued::Change(Change::Closed(session)) => show(Ended::Session(session)),
                Queued::Change(Change::Unanswered(syns)) => show(Ended::Unanswered(syns)),
                Queued::Change(_) | Queued::Lone(_) | Queued::Retired(_) => {}
            }
        }
    }
}

/// What the order of an IKE session's next messages follows from.
fn known(session: &Session) -> Option<hold::Known> {
    const FEW: usize = 8;
    let first = session.steps.first()?;
    let initiator = if first.from == Side::Client {
        session.client.ip
    } else {
        session.gateway.ip
    };
    let transactions = session.ike1().map_or(0, |ike| {
        let by_peer = |exchange: &&ike1::Exchange| {
            exchange.kind == ike1::kind::TRANSACTION && exchange.by != ike.initiator
        };
        ike.exchanges.iter().take(FEW).filter(by_peer).count()
    });
    let method = session
        .ike1()
        .and_then(|ike| ike.suite()?.authentication)
        .map(|method| method.0);
    Some(hold::Known {
        initiator,
        transactions,
        // Hybrid authentication implies it.
        xauth: matches!(method, Some(64_221..=64_224 | 65_001..=65_010)),
        disordered: session.vantage.reordered > 0,
    })
}

/// Messages of IKE whose sessions are looked at together.
const FORESEEN: usize = 8;

/// How often look-ups are gone through for those that are over.
const NAMES_EVERY: Span = Span::from_secs(5);

/// The tracker.
#[derive(Debug)]
pub struct Tracker {
    core: Core,
    ike: ike_table::Table,
    esp: esp_table::Table,
    l2tp: l2tp_table::Table,
    radius: radius_table::Table,
    pppoe: pppoe_table::Table,
    tls: tls_table::Table,
    names: names::Names,
    /// When look-ups are gone through next.
    names_due: Timestamp,
    taken_by: Option<u32>,
    /// Number of the session that the event at hand is, where that is not kept open.
    numbered: Option<u32>,
    hold: hold::Hold,
    /// Messages whose sessions were looked at together, as many as are left of them.
    foreseen: usize,
    /// Messages that waited and were taken since, where somebody wants to know by whom.
    told: Option<Vec<(Box<hold::Held>, Option<u32>)>>,
    /// Sessions of ESP alone that the end of the capture closed.
    ended: std::vec::IntoIter<u32>,
    /// Others that it closed.
    retired: std::vec::IntoIter<u32>,
}

impl Tracker {
    /// A tracker that knows nothing yet.
    pub fn new(config: Config) -> Self {
        Self {
            core: Core {
                slab: Slab::numbered_from(config.numbered_from),
                config,
                now: Timestamp::default(),
                pairs: Pairs::default(),
                counters: Counters::default(),
                changes: Line::default(),
                lone: 0,
            },
            ike: ike_table::Table::default(),
            esp: esp_table::Table::default(),
            l2tp: l2tp_table::Table::default(),
            radius: radius_table::Table::default(),
            pppoe: pppoe_table::Table::default(),
            tls: tls_table::Table::default(),
            names: names::Names::default(),
            names_due: Timestamp::default(),
            taken_by: None,
            numbered: None,
            hold: hold::Hold::default(),
            foreseen: 0,
            told: None,
            ended: Vec::new().into_iter(),
            retired: Vec::new().into_iter(),
        }
    }

    /// Counters so far.
    pub const fn counters(&self) -> Counters {
        self.core.counters
    }

    /// The highest number of a session so far.
    pub const fn numbered(&self) -> u32 {
        self.core.slab.numbered()
    }

    /// Number of the session that took the last event, where one did.
    pub const fn taken_by(&self) -> Option<u32> {
        self.taken_by
    }

    /// Sessions open now.
    pub fn open_sessions(&self) -> usize {
        self.core.slab.len() + self.core.lone
    }

    /// Counts ESP in a frame of plain shape; `false` asks for the event with its envelope.
    #[expect(
        clippy::inline_always,
        reason = "measured: a sight is large, and goes nowhere but to who takes it"
    )]
    #[inline(always)]
    pub fn sight_esp(&mut self, sight: &EspSight<'_>) -> bool {
        self.esp.sight(&mut self.core, &self.hold, sight)
    }

    /// Whether flows of ESP are so many that the next packet's is likely where the processor has
    /// to wait for it.
    #[inline]
    pub const fn is_esp_vast(&self) -> bool {
        self.esp.is_vast()
    }

    /// Looks at what will be looked up for packets of ESP that come next: the processor waits for
    /// memory once, rather than for each of them.
    #[inline]
    pub fn foresee_esp(&self, sights: &[EspSight<'_>]) {
        self.esp.foresee(sights);
    }

    /// Takes a DNS message in a frame of plain shape.
    pub fn sight_dns(&mut self, sight: &DnsSight, message: &dns::Message<'_>) {
        self.advance(sight.at.time);
        self.taken_by = None;
        self.names.handle(&mut self.core, sight, message);
    }

    /// Whether a session between two addresses is open.
    pub fn knows(&self, a: IpAddr, b: IpAddr) -> bool {
        !self.core.between(a, b).is_empty() || self.esp.lone.find(a, b).is_some()
    }

    /// Builds the session of ESP alone that an event is about, where the event is more than a
    /// packet of it.
    fn build_for(&mut self, event: &Event<'_>) {
        let pair = match &event.what {
            What::NatKeepalive => Some((event.envelope.source, event.envelope.destination)),
            What::Icmp(icmp) => icmp
                .quoted
                .map(|quoted| (quoted.source, quoted.destination)),
            What::Incomplete(incomplete) => {
                let flow = &incomplete.flow;
                Some((flow.source.0, flow.destination.0))
            }
            What::Radius { packet, .. } => radius_table::stations(packet),
            _ => None,
        };
        if let Some((a, b)) = pair {
            self.esp.build(&mut self.core, a, b);
        }
    }

    /// Adds an event.
    pub fn handle(&mut self, event: &Event<'_>) {
        if self.core.lone > 0 {
            self.build_for(event);
        }
        // Streams are in order already, and nothing that waits is about them.
        let in_order = matches!(event.what, What::Tcp(_) | What::Tls(_) | What::Dtls(_));
        if self.core.config.waits && !in_order {
            let (ike, slab) = (&self.ike, &self.core.slab);
            let known = |spi| known(&slab.get(ike.find(spi, 0)?)?.session);
            if self.hold.take(event, known) {
                self.taken_by = None;
                return;
            }
            self.let_go_for(event);
            if let What::Icmp(icmp) = &event.what
                && icmp::is_unrelated(&self.core, &self.ike, event, icmp)
                && self.hold.take_error(event, icmp)
            {
                self.taken_by = None;
                return;
            }
        }
        self.process(event);
    }

    /// What waits and the event may be about goes before it.
    fn let_go_for(&mut self, event: &Event<'_>) {
        let (a, b) = (event.envelope.source, event.envelope.destination);
        let about = match &event.what {
            What::Esp { .. } | What::NatKeepalive | What::Ike { .. } | What::L2tp { .. } => {
                self.hold.concerns(a, b)
            }
            What::Pppoe { .. } => self.hold.has_pppoe(),
            // A login that it decides waits between other addresses.
            What::Radius { .. } => true,
            What::Icmp(icmp) => icmp
                .quoted
                .is_some_and(|q| self.hold.concerns(q.source, q.destination)),
            What::Incomplete(incomplete) => {
                let flow = &incomplete.flow;
                self.hold.concerns(flow.source.0, flow.destination.0)
            }
            _ => false,
        };
        if about {
            while let Some(held) = self.hold.next() {
                self.take_held(held);
            }
        }
    }

    /// Looks, at each few messages that waited, at the sessions of the next ones: the processor
    /// waits for the memory of all of them at once, rather than for each piece of each. Words of
    /// all of them first, then what they lead to.
    fn foresee(&mut self) {
        self.foreseen = match self.foreseen.checked_sub(1) {
            Some(left) => left,
            None => FORESEEN - 1,
        };
        if self.foreseen < FORESEEN - 1 {
            return;
        }
        let mut places = [None; FORESEEN];
        for (place, spi) in places.iter_mut().zip(self.hold.upcoming(FORESEEN)) {
            *place = self.ike.find(spi, 0);
        }
        let sessions = places.map(|place| self.core.slab.if_awake(place?));
        let near = sessions
            .iter()
            .flatten()
            .map(|session| session.frames ^ session.steps_not_kept ^ u64::from(session.id));
        std::hint::black_box(near.fold(0, |all, word| all ^ word));
        let far = sessions.iter().flatten().map(|session| {
            let step = session
                .steps
                .last()
                .map_or(0, |step| u64::from(step.length));
            let sa = session.ike2().and_then(|ike| ike.sas.first());
            let exchange = session.ike2().and_then(|ike| ike.exchanges.last());
            step ^ sa.map_or(0, |sa| sa.initiator_spi)
                ^ exchange.map_or(0, |exchange| u64::from(exchange.id))
        });
        std::hint::black_box(far.fold(0, |all, word| all ^ word));
    }

    fn take_held(&mut self, held: Box<hold::Held>) {
        if let Some(event) = held.event() {
            self.process(&event);
        }
        if let Some(told) = &mut self.told {
            told.push((held, self.taken_by));
        } else {
            self.hold.give_back(held);
        }
    }

    /// Keeps for [`Tracker::tell`] what waited from now on.
    pub fn keep_told(&mut self) {
        self.told.get_or_insert_default();
    }

    /// Tells which session took each message that had waited.
    pub fn tell(&mut self, told: &mut impl FnMut(&Event<'_>, Option<u32>)) {
        for (held, taken) in self.told.iter_mut().flat_map(|list| list.drain(..)) {
            if let Some(event) = held.event() {
                told(&event, taken);
            }
        }
    }

    fn process(&mut self, event: &Event<'_>) {
        self.core.slab.forget_changed();
        self.numbered = None;
        self.take(event);
        self.taken_by = self.core.slab.changed().or(self.numbered);
        self.core.slab.weigh_changed();
        // The session that was quiet for longest makes room for the new one.
        while self.core.is_full() {
            let esp = &self.esp;
            let quietest = self.core.slab.quietest(|index| esp.last_used(index));
            let Some(index) = quietest else {
                return;
            };
            self.core.counters.evicted_sessions += 1;
            self.close(index, Ending::Evicted);
        }
        self.core.doze();
    }

    fn take(&mut self, event: &Event<'_>) {
        match &event.what {
            What::Ike { message, octets } => {
                self.ike.handle(&mut self.core, event, message, octets);
            }
            What::L2tp { message, octets } => {
                self.l2tp.handle(&mut self.core, event, *message, octets);
            }
            What::Radius { packet, .. } => {
                self.radius
                    .handle(&mut self.core, &self.l2tp, event, packet);
            }
            What::NatKeepalive => self.keepalive(event.envelope),
            &What::Esp {
                spi,
                sequence,
                len,
                over,
            } => {
                if let Some(stale) = self.esp.stale(&self.core, event.envelope) {
                    self.close_lone(stale);
                }
                self.numbered = self.esp.handle(
                    &mut self.core,
                    event.envelope,
                    esp_table::Packet {
                        spi,
                        sequence,
                        len,
                        over,
                    },
                );
            }
            What::Icmp(icmp) => {
                let told = icmp::handle(&mut self.core, &self.ike, event, icmp);
                if let Some(owner) = told {
                    self.esp.watch(owner);
                }
            }
            What::Incomplete(incomplete) => {
                icmp::incomplete(&mut self.core, &self.ike, incomplete);
            }
            What::Tcp(TcpEvent {
                stream,
                fact: tcp::Fact::Unanswered { opening, idle },
            }) => self.unanswered(event, stream, *opening, *idle),
            What::Tcp(tcp) => self.tls.tcp(&mut self.core, event, tcp),
            What::Tls(tls) => self.tls.tls(&mut self.core, event, tls),
            What::Dtls(dtls) => self.tls.dtls(&mut self.core, event, dtls),
            What::Dns(message) => {
                let sight = DnsSight::from(event.envelope);
                self.names.handle(&mut self.core, &sight, message);
            }
            What::Pppoe { packet } => self.pppoe.handle(&mut self.core, event, packet),
            What::Ah { .. } | What::Ppp { .. } | What::Unreadable(_) => {}
        }
    }

    fn unanswered(
        &mut self,
        event: &Event<'_>,
        stream: &Stream,
        opening: tcp::Opening,
        idle: bool,
    ) {
        let alone = self
            .tls
            .unanswered(&mut self.core, event, stream, opening, idle);
        let Some(syns) = alone else { return };
        self.numbered = Some(syns.id);
        let gateway = stream.flow.destination.0;
        let change = if self.names.name(gateway, syns.first.time).is_some() {
            let mut session = syns.session();
            names(&mut self.names, &mut session);
            Change::Closed(session)
        } else {
            Change::Unanswered(syns)
        };
        self.core.changes.push_back(Queued::Change(change));
    }

    fn keepalive(&mut self, envelope: &Envelope) {
        let list = self.core.between(envelope.source, envelope.destination);
        let Some(index) = list.last().copied() else {
            return;
        };
        let Some(open) = self.core.slab.get_mut(index) else {
            return;
        };
        if let Some(side) = open.session.side_of(envelope.source) {
            open.session.touch(envelope, side);
            *open.session.keepalives.of_mut(side) += 1;
        }
    }

    /// Tells the tracker how late it is, and closes what is over.
    pub fn advance(&mut self, now: Timestamp) {
        if now <= self.core.now {
            return;
        }
        while let Some(held) = self.hold.due(now) {
            self.core.now = self.core.now.max(held.envelope.time);
            self.foresee();
            self.take_held(held);
        }
        self.core.now = now;
        while let Some(index) = self.core.slab.due(now) {
            // ESP does not touch its session while it passes.
            let used = self.esp.last_used(index);
            if !used.is_some_and(|used| self.core.slab.extend(index, used, now)) {
                self.close(index, Ending::Idle);
            }
        }
        if self.names_due <= now {
            self.names_due = now + NAMES_EVERY;
            self.names.advance(&mut self.core, now);
            let (built, lone) = self.esp.expire(&mut self.core, now);
            for index in built {
                self.close(index, Ending::Idle);
            }
            for session in lone {
                self.close_lone(session);
            }
        }
    }

    /// When `advance` will have something to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let held = self.hold.deadline();
        let idle = self.core.slab.next_deadline();
        held.into_iter().chain(idle).min()
    }

    /// Looks at the sessions that have been silent for a while. Costs nothing while packets
    /// pass; meant to be called about once a second.
    pub fn look(&mut self, now: Timestamp) {
        let settled = std::mem::take(&mut self.core.config.settled_after);
        if let (Some(after), true) = (settled.first(), self.core.lone > 0) {
            for session in self.esp.lone.settled(now, *after) {
                self.esp.build_one(&mut self.core, session);
            }
        }
        for index in self.core.slab.silent(now, &settled) {
            let Some(open) = self.core.slab.get(index) else {
                continue;
            };
            let mut session = Box::new(Session::clone(&open.session));
            self.esp.snapshot(index, &mut session, now);
            session.end_sizes(now);
            session.vantage.watched_after = now - session.last.time;
            let verdict = Change::Verdict(session);
            self.core.changes.push_back(Queued::Change(verdict));
        }
        self.core.config.settled_after = settled;
        self.core.doze();
    }

    /// What changed since the last call.
    #[inline]
    pub fn poll(&mut self) -> Option<Change> {
        if self.core.changes.is_empty() {
            return None;
        }
        self.next_change()
    }

    fn next_change(&mut self) -> Option<Change> {
        Some(match self.poll_unbuilt()? {
            Change::Unanswered(syns) => Change::Closed(syns.session()),
            Change::Lone(lone) => Change::Closed(lone.session()),
            change => change,
        })
    }

    /// As [`Tracker::poll`], for those who can do without the sessions of unanswered SYNs and of
    /// ESP alone.
    pub fn poll_unbuilt(&mut self) -> Option<Change> {
        loop {
            match self.core.changes.front_mut() {
                Some(Queued::Lone(left)) if *left > 0 => {
                    *left -= 1;
                    let session = self.ended.next();
                    let lone = session.and_then(|at| self.end_lone(at, Ending::CaptureEnd));
                    if let Some(lone) = lone {
                        return Some(Change::Lone(Box::new(lone)));
                    }
                    continue;
                }
                Some(Queued::Retired(left)) if *left > 0 => {
                    *left -= 1;
                    let session = self.retired.next();
                    if let Some(session) = session.and_then(|at| self.take_retired(at)) {
                        return Some(Change::Closed(session));
                    }
                    continue;
                }
                _ => {}
            }
            let queued = self.core.changes.pop_front()?;
            if let Some(change) = queued.change(self.core.slab.shared()) {
                return Some(change);
            }
        }
    }

    /// Gives what the last event pushed out for lack of room. Sessions of unanswered SYNs, which
    /// take little, stay for [`Tracker::poll`].
    pub(crate) fn pushed_out(&mut self, sink: &mut impl FnMut(Change)) {
        let changes = &mut self.core.changes;
        let is_small = |queued: &Queued| matches!(queued, Queued::Change(Change::Unanswered(_)));
        let mut pushed = Vec::new();
        while changes.back().is_some_and(|queued| !is_small(queued)) {
            pushed.extend(changes.pop_back());
        }
        let shared = self.core.slab.shared();
        for queued in pushed.into_iter().rev() {
            queued.change(shared).into_iter().for_each(&mut *sink);
        }
    }

    /// A session of ESP alone that is over.
    fn end_lone(&mut self, session: u32, ending: Ending) -> Option<Lone> {
        let taken = self.esp.take_lone(&mut self.core, session)?;
        let mut lone = Lone::new(taken, ending, self.core.now);
        let (gateway, began) = lone.asked_for();
        let name = self.names.name(gateway, began);
        lone.gateway_name = name.map(str::to_string);
        Some(lone)
    }

    fn close_lone(&mut self, session: u32) {
        if let Some(lone) = self.end_lone(session, Ending::Idle) {
            let closed = Change::Closed(lone.session());
            self.core.changes.push_back(Queued::Change(closed));
        }
    }

    fn close(&mut self, index: u32, ending: Ending) {
        self.ike.settle_renewal(&mut self.core, &self.esp, index);
        let flows = self.esp.release(index);
        if let Some(end) = self.forget(index, ending, flows) {
            self.core.close(index, end);
        }
    }

    /// Forgets what leads to a session that is over; gives what its end adds to it.
    fn forget(&mut self, index: u32, ending: Ending, flows: Vec<EspFlow>) -> Option<End> {
        let open = self.core.slab.get(index)?;
        let (client, gateway) = (open.session.client.ip, open.session.gateway.ip);
        let began = open.session.first.time;
        let name = self.names.name(gateway, began);
        let end = End {
            flows,
            gateway_name: name.map(str::to_string),
            lookup: self.names.lookup(client, gateway, began),
            ..End::new(ending, self.core.now)
        };
        self.ike.forget(&open.session);
        self.l2tp.forget(index);
        self.pppoe.forget(index);
        self.tls.forget(&open.session);
        Some(end)
    }
}

/// Gives a session that is over what its client asked for by name.
fn names(names: &mut names::Names, session: &mut Session) {
    let began = session.first.time;
    if session.gateway_name.is_none() {
        let name = names.name(session.gateway.ip, began);
        session.gateway_name = name.map(str::to_string);
    }
    let lookup = names.lookup(session.client.ip, session.gateway.ip, began);
    if let (Some(lookup), session::Detail::Tls(facts)) = (lookup, &mut session.detail) {
        facts.lookups.push(lookup);
    }
}
