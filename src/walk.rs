//! The walk: frames in, sessions out. Puts the rooms in line, and nothing else.

use crate::assemble::ip;
use crate::assemble::messages::cisco_ike;
use crate::assemble::tcp::{Noted, PlainSyn};
use crate::decap::{
    Addresses, Content, Flow, Glance, Icmp, Peel, Segment, Tcp, decap, glance, ordinary,
};
use crate::dissect::others::{self, Others};
use crate::dissect::streams::{self, Streams};
use crate::dissect::{self, Class};
use crate::source::Frame;
use crate::time::Timestamp;
use crate::track::session::{IncompleteDatagram, Side, Stamp};
use crate::track::{
    self, Change, DnsSight, Ended, EspSight, Event, Incomplete, Session, Tracker, What,
};
use vpnscope_dissectors::dns;

/// Counts of what the walk passed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Frames.
    pub frames: u64,
    /// Frames that held something of ours.
    pub ours: u64,
    /// Frames of which some layer could not be read.
    pub undecodable: u64,
    /// Datagrams on the ports of IKE and L2TP that are neither.
    pub unclassified: u64,
    /// The latest time of any frame.
    pub latest: Timestamp,
}

/// What a frame turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing of ours.
    NotOurs,
    /// Something of ours, or something that leads to it.
    Ours,
    /// A fragment: the rest of its datagram will tell.
    Fragment,
    /// It opens a connection: what it carries will tell.
    Opening,
}

/// From frames to events: decap, assemble and dissect in line.
#[derive(Debug)]
pub struct Front {
    fragments: ip::Assembler,
    messages: Messages,
    streams: Streams,
    others: Others,
    counters: Counters,
    /// Frames of the datagram that is being read.
    pieces: Vec<u64>,
    /// The capture that is read.
    capture: Option<u16>,
    /// Whether `flow` is kept.
    keeps_flow: bool,
    flow: Option<Flow>,
    /// When `streams` has something to do: asked after each change of it, not for each frame.
    quiet_until: Timestamp,
}

impl Front {
    /// A front with these budgets.
    pub fn new(fragments: ip::Config) -> Self {
        Self::with(fragments, streams::Config::default())
    }

    /// A front with these budgets, and hints for streams.
    pub fn with(fragments: ip::Config, streams: streams::Config) -> Self {
        Self {
            fragments: ip::Assembler::new(fragments),
            messages: Messages::default(),
            streams: Streams::new(streams),
            others: Others::default(),
            counters: Counters::default(),
            pieces: Vec::new(),
            capture: None,
            keeps_flow: false,
            flow: None,
            quiet_until: Timestamp(i64::MIN),
        }
    }

    /// Keeps the flow of each frame for [`Front::flow`] from now on.
    pub fn keep_flow(&mut self) {
        self.keeps_flow = true;
    }

    /// The innermost addresses and ports of the last frame, or those an ICMP error quotes;
    /// `None` for a frame that is not ours at first sight.
    pub const fn flow(&self) -> Option<Flow> {
        self.flow
    }

    /// The frames of the datagram that the last frame made whole, where it made one whole.
    pub fn pieces(&self) -> &[u64] {
        &self.pieces
    }

    /// Counters so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// What the reassembly of IP fragments counted.
    pub fn fragment_counters(&self) -> ip::Counters {
        self.fragments.counters()
    }

    /// Takes a frame and gives every event in it to `sink`.
    pub fn frame(&mut self, frame: &Frame<'_>, sink: &mut impl FnMut(&Event<'_>)) -> Fate {
        self.pass(frame, &mut Plain(sink))
    }

    /// Takes a frame; ESP of plain shape is offered to `sink` before anything is built for it.
    pub fn pass(&mut self, frame: &Frame<'_>, sink: &mut impl Sink) -> Fate {
        self.arrive(frame, sink);
        let (mut known, mut esp) = (None, None);
        match glance(frame) {
            Glance::Udp {
                addresses,
                source_port,
                destination_port,
                payload,
                payload_len,
            } => {
                let ports = (source_port, destination_port);
                if dissect::is_dull(ports, payload, || self.streams.has_dtls()) {
                    return Fate::NotOurs;
                }
                let class = dissect::classify(ports, payload);
                known = Some(class);
                let datagram = (addresses, ports, payload, payload_len);
                if class == Class::Esp {
                    esp = Some(datagram);
                } else if let Some(fate) = self.by_header(frame, datagram, class, sink) {
                    return fate;
                }
            }
            Glance::Tcp {
                addresses,
                source_port,
                destination_port,
                flags,
                sequence,
                options,
                ttl,
                payload,
                payload_len,
            } => {
                let ports = (source_port, destination_port);
                if flags & ENDS == Tcp::SYN && payload_len == 0 {
                    let syn = PlainSyn {
                        at: stamp(frame),
                        addresses,
                        ports,
                        sequence,
                        options,
                        ttl,
                    };
                    if let Some(fate) = self.syn(&syn, sink) {
                        return fate;
                    }
                }
                let capture = frame.capture;
                let streams = &mut self.streams;
                if !streams.wants_tcp(capture, addresses, ports, flags, payload)
                    && !dissect::is_cisco_tcp(ports, payload)
                {
                    if self.streams.remembers(frame.no) {
                        self.remember(frame);
                    }
                    return self.not_ours(&addresses, ports, payload);
                }
            }
            Glance::NotIp => return Fate::NotOurs,
            Glance::Esp {
                addresses,
                payload,
                payload_len,
            } => esp = Some((addresses, (0, 0), payload, payload_len)),
            Glance::Complex => {}
        }
        if let Some((addresses, ports, payload, payload_len)) = esp {
            let sight = sight(frame, addresses, ports, payload, payload_len);
            if sight.is_some_and(|sight| sink.esp(&sight)) {
                return self.sighted(&addresses, ports);
            }
        }
        self.read(frame, known, &mut |event: &Event<'_>| sink.event(event))
    }

    /// A capture goes on in another file: what was open in the one is open in the other.
    #[cold]
    fn go_on(&mut self, capture: u16, sink: &mut impl Sink) {
        if self.capture.replace(capture).is_some() {
            self.fragments.go_on(capture);
            self.streams
                .go_on(capture, &mut |event: &Event<'_>| sink.event(event));
            self.quiet_until = self.streams.next_deadline();
        }
    }

    /// What is done for each frame before it is looked at.
    #[inline]
    fn arrive(&mut self, frame: &Frame<'_>, sink: &mut impl Sink) {
        self.pieces.clear();
        if self.keeps_flow {
            self.flow = None;
        }
        self.counters.frames += 1;
        self.counters.latest = self.counters.latest.max(frame.time);
        if self.capture != Some(frame.capture) {
            self.go_on(frame.capture, sink);
        }
        if self.quiet_until <= frame.time {
            self.advance_streams(frame.time, sink);
        }
    }

    #[cold]
    fn advance_streams(&mut self, now: Timestamp, sink: &mut impl Sink) {
        self.streams
            .advance(now, &mut |event: &Event<'_>| sink.event(event));
        self.quiet_until = self.streams.next_deadline();
    }

    /// What becomes of a UDP datagram, other than ESP, that its header and first octets are enough
    /// for.
    #[inline]
    fn by_header(
        &mut self,
        frame: &Frame<'_>,
        (addresses, ports, payload, payload_len): (Addresses<'_>, (u16, u16), &[u8], u32),
        class: Class,
        sink: &mut impl Sink,
    ) -> Option<Fate> {
        match class {
            Class::NotOurs => {
                let flow = || flow(&addresses, ports.0, ports.1);
                if self.streams.wants_udp(frame.capture, flow, payload) {
                    return None;
                }
                let ours = |port| matches!(port, 500 | 4500 | 1701);
                if ours(ports.0) || ours(ports.1) {
                    self.counters.unclassified += 1;
                }
                if others::may_be_udp(payload) {
                    self.others.udp(&flow(), payload);
                }
                Some(Fate::NotOurs)
            }
            Class::Keepalive if !sink.knows(addresses) => Some(Fate::NotOurs),
            Class::Dns if u32::try_from(payload.len()) == Ok(payload_len) => {
                let sight = DnsSight {
                    at: stamp(frame),
                    source: (addresses.source(), ports.0),
                    destination: (addresses.destination(), ports.1),
                };
                let done = sink.dns(&sight, payload);
                done.then(|| self.sighted(&addresses, ports))
            }
            _ => None,
        }
    }

    /// Notes a SYN without octets; `None` where its segment has to be read. What is noted of it
    /// has no deadline of its own.
    #[inline]
    fn syn(&mut self, syn: &PlainSyn<'_>, sink: &mut impl Sink) -> Option<Fate> {
        // Who keeps frames has to know of each what becomes of it.
        let noted = if self.keeps_flow {
            self.streams.syn(syn)
        } else {
            self.streams.syn_later(syn)
        };
        match noted {
            Noted::Here => Some(self.opened(syn, Fate::Opening, sink)),
            Noted::NoRoom => Some(self.opened(syn, Fate::NotOurs, sink)),
            Noted::Whole => None,
        }
    }

    /// A SYN whose segment was not built. `otherwise`: what becomes of it where no gateway is
    /// expected.
    #[inline]
    fn opened(&mut self, syn: &PlainSyn<'_>, otherwise: Fate, sink: &mut impl Sink) -> Fate {
        self.expire(syn.at.time, &mut |event: &Event<'_>| sink.event(event));
        let (source, destination) = syn.ports;
        if self.keeps_flow {
            self.flow = Some(flow(&syn.addresses, source, destination));
        }
        let expects = || {
            self.streams
                .expects(&flow(&syn.addresses, source, destination))
        };
        let fate = if streams::TLS_PORTS.contains(&destination) || expects() {
            Fate::Ours
        } else {
            otherwise
        };
        self.counters.ours += u64::from(fate != Fate::NotOurs);
        fate
    }

    /// Keeps a segment for a moment: what opens its connection may come late.
    #[cold]
    fn remember(&mut self, frame: &Frame<'_>) {
        let segment = decap(frame);
        if let Content::Tcp(tcp) = &segment.content
            && (tcp.payload_len > 0 || tcp.flags & (Tcp::FIN | Tcp::RST) != 0)
        {
            self.streams.remember(&segment);
            self.quiet_until = self.streams.next_deadline();
        }
    }

    /// A TCP segment that is nothing that is analysed.
    #[inline]
    fn not_ours(&mut self, addresses: &Addresses<'_>, ports: (u16, u16), payload: &[u8]) -> Fate {
        if others::may_be_tcp(payload) {
            let flow = flow(addresses, ports.0, ports.1);
            self.others.tcp(&flow, payload);
        }
        Fate::NotOurs
    }

    /// ESP that was told by its header alone.
    #[inline]
    fn sighted(&mut self, addresses: &Addresses<'_>, ports: (u16, u16)) -> Fate {
        self.counters.ours += 1;
        if self.keeps_flow {
            self.flow = Some(flow(addresses, ports.0, ports.1));
        }
        Fate::Ours
    }

    #[inline(never)]
    fn read(
        &mut self,
        frame: &Frame<'_>,
        class: Option<Class>,
        sink: &mut impl FnMut(&Event<'_>),
    ) -> Fate {
        let fate = self.read_whole(frame, class, sink);
        self.quiet_until = self.streams.next_deadline();
        fate
    }

    fn read_whole(
        &mut self,
        frame: &Frame<'_>,
        class: Option<Class>,
        sink: &mut impl FnMut(&Event<'_>),
    ) -> Fate {
        self.expire(frame.time, sink);
        // By reference: a segment is too large to be handed on for nothing.
        let ordinary = ordinary(frame);
        let other;
        let segment = if let Some(segment) = &ordinary {
            segment
        } else {
            other = decap(frame);
            &other
        };
        if segment.stopped.is_some() && !segment.envelope.truncated {
            self.counters.undecodable += 1;
        }
        if self.keeps_flow {
            self.flow = Some(told_flow(segment));
        }
        let fate = if matches!(segment.content, Content::Fragment(_)) {
            self.fragment(segment, sink)
        } else {
            let mut rooms = (&mut self.messages, &mut self.streams, &mut self.others);
            dispatch(&mut rooms, segment, &[], class, sink)
        };
        self.counters.ours += u64::from(fate != Fate::NotOurs);
        fate
    }

    fn fragment(&mut self, segment: &Segment<'_>, sink: &mut impl FnMut(&Event<'_>)) -> Fate {
        let Some(datagram) = self.fragments.handle(segment) else {
            return Fate::Fragment;
        };
        let segment = datagram.segment();
        let pieces = datagram.pieces().iter();
        self.pieces
            .extend(frames_in(segment.envelope.capture, pieces));
        if self.keeps_flow {
            self.flow = Some(told_flow(&segment));
        }
        let mut rooms = (&mut self.messages, &mut self.streams, &mut self.others);
        dispatch(&mut rooms, &segment, &self.pieces, None, sink)
    }

    fn expire(&mut self, now: Timestamp, sink: &mut impl FnMut(&Event<'_>)) {
        if self
            .fragments
            .next_deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.fragments.advance(now);
            self.incomplete(sink);
        }
    }

    fn incomplete(&mut self, sink: &mut impl FnMut(&Event<'_>)) {
        while let Some(partial) = self.fragments.poll() {
            let incomplete = own(&partial);
            let what = What::Incomplete(&incomplete);
            sink(&Event {
                envelope: &partial.envelope,
                frames: &incomplete.fact.frames,
                what,
            });
        }
    }

    /// Gives up what waited too long: no frame came, and it is this late.
    pub fn advance(&mut self, now: Timestamp, sink: &mut impl FnMut(&Event<'_>)) {
        if self.quiet_until <= now {
            self.streams.advance(now, sink);
            self.quiet_until = self.streams.next_deadline();
        }
        self.expire(now, sink);
    }

    /// Gives up what is still incomplete: the capture ended.
    pub fn finish(&mut self, sink: &mut impl FnMut(&Event<'_>)) {
        self.fragments.finish();
        self.incomplete(sink);
        self.streams.finish(self.counters.latest, sink);
    }

    /// Connections and associations let go of early because a budget was reached.
    pub const fn evicted_streams(&self) -> u64 {
        self.streams.evicted()
    }

    /// VPNs that are only counted.
    pub const fn other_vpns(&self) -> others::Counts {
        self.others.counts()
    }
}

/// The flags of which a plain SYN has one.
const ENDS: u8 = Tcp::SYN | Tcp::ACK | Tcp::FIN | Tcp::RST;

/// Who takes what the front gives.
pub trait Sink {
    /// An event.
    fn event(&mut self, event: &Event<'_>);

    /// ESP in a frame of plain shape. `true` where that was enough; `false` asks for the event.
    fn esp(&mut self, sight: &EspSight<'_>) -> bool;

    /// DNS in a frame of plain shape. `true` where that was enough; `false` asks for the event.
    fn dns(&mut self, sight: &DnsSight, payload: &[u8]) -> bool;

    /// Whether something between these addresses is followed: a keepalive alone is nothing.
    fn knows(&self, addresses: Addresses<'_>) -> bool;
}

/// A function that takes events only.
struct Plain<'f, F>(&'f mut F);

impl<F: FnMut(&Event<'_>)> Sink for Plain<'_, F> {
    fn event(&mut self, event: &Event<'_>) {
        (self.0)(event);
    }

    fn esp(&mut self, _: &EspSight<'_>) -> bool {
        false
    }

    fn dns(&mut self, _: &DnsSight, _: &[u8]) -> bool {
        false
    }

    fn knows(&self, _: Addresses<'_>) -> bool {
        true
    }
}

/// Drives the tracker: time first, then the event. What comes in no frame is over since some
/// time: it is told before the session that it belongs to is closed for its silence.
fn drive(tracker: &mut Tracker, event: &Event<'_>) {
    if event.envelope.frame > 0 {
        tracker.advance(event.envelope.time);
    }
    tracker.handle(event);
}

/// The tracker as it is driven.
struct Tracked<'t>(&'t mut Tracker);

impl Sink for Tracked<'_> {
    fn event(&mut self, event: &Event<'_>) {
        drive(self.0, event);
    }

    #[expect(
        clippy::inline_always,
        reason = "measured: a sight is large, and goes nowhere but to who takes it"
    )]
    #[inline(always)]
    fn esp(&mut self, sight: &EspSight<'_>) -> bool {
        self.0.sight_esp(sight)
    }

    fn dns(&mut self, sight: &DnsSight, payload: &[u8]) -> bool {
        let Ok(message) = dns::Message::parse(payload) else {
            return false;
        };
        self.0.sight_dns(sight, &message);
        true
    }

    fn knows(&self, addresses: Addresses<'_>) -> bool {
        self.0.knows(addresses.source(), addresses.destination())
    }
}

/// Reads the header of ESP.
#[expect(
    clippy::inline_always,
    reason = "measured: a sight is large, and goes nowhere but to who takes it"
)]
#[inline(always)]
fn sight<'a>(
    frame: &Frame<'_>,
    addresses: Addresses<'a>,
    ports: (u16, u16),
    payload: &[u8],
    payload_len: u32,
) -> Option<EspSight<'a>> {
    let &[a, b, c, d, e, f, g, h] = payload.first_chunk::<8>()?;
    // The shapes that a glance knows have no options: IP, and UDP where there are ports.
    let udp = if ports == (0, 0) { 0 } else { 8 };
    let (ip, v6) = match addresses {
        Addresses::V4(_) => (20, false),
        Addresses::V6(_) => (40, true),
    };
    Some(EspSight {
        at: stamp(frame),
        addresses,
        ports,
        spi: u32::from_be_bytes([a, b, c, d]),
        sequence: u32::from_be_bytes([e, f, g, h]),
        len: payload_len,
        ip_len: payload_len + udp + ip,
        cannot_shrink: v6 || dont_fragment(frame, addresses),
        truncated: payload.len() < usize::try_from(payload_len).unwrap_or(usize::MAX),
    })
}

fn stamp(frame: &Frame<'_>) -> Stamp {
    Stamp::new(frame.capture, frame.no, frame.time)
}

/// The DF bit, six octets before the addresses of an IPv4 header.
fn dont_fragment(frame: &Frame<'_>, addresses: Addresses<'_>) -> bool {
    let Addresses::V4(octets) = addresses else {
        return true;
    };
    let at = octets
        .as_ptr()
        .addr()
        .saturating_sub(frame.octets.as_ptr().addr());
    at.checked_sub(6)
        .and_then(|at| frame.octets.get(at))
        .is_some_and(|flags| flags & 0x40 != 0)
}

fn flow(addresses: &Addresses<'_>, source_port: u16, destination_port: u16) -> Flow {
    Flow {
        source: (addresses.source(), source_port),
        destination: (addresses.destination(), destination_port),
    }
}

/// Reads a whole datagram, where needed with what was kept of those before it.
fn dispatch(
    (messages, streams, others): &mut (&mut Messages, &mut Streams, &mut Others),
    segment: &Segment<'_>,
    frames: &[u64],
    class: Option<Class>,
    sink: &mut impl FnMut(&Event<'_>),
) -> Fate {
    let ours = match &segment.content {
        Content::Tcp(tcp) => {
            let envelope = &segment.envelope;
            // An AH header around the segment is an event of its own.
            let ah = segment.ah.is_some() && messages.segment(segment, frames, class, sink);
            let ours = dissect::cisco_tcp(segment, sink) || streams.tcp(segment, sink) || ah;
            if !ours && others::may_be_tcp(tcp.payload) {
                others.tcp(&envelope.flow(), tcp.payload);
            }
            if !ours && streams.is_opening(envelope.capture, &envelope.flow()) {
                return Fate::Opening;
            }
            ours || streams.expects(&envelope.flow())
        }
        Content::Icmp(icmp) => {
            streams.icmp(icmp, &segment.envelope, sink);
            messages.segment(segment, frames, class, sink)
        }
        Content::Udp { payload, .. } => {
            // An AH header in front is ours and says nothing of what it carries.
            let known = messages.segment(segment, frames, class, sink);
            if known && segment.ah.is_none() {
                true
            } else {
                let ours = streams.udp(segment, frames, sink) || known;
                if !ours && others::may_be_udp(payload) {
                    others.udp(&segment.envelope.flow(), payload);
                }
                ours
            }
        }
        // PPP in GRE is PPTP's.
        Content::Ppp { .. } if segment.envelope.encapsulation.iter().last() == Some(Peel::Gre) => {
            others.pptp(segment.envelope.source, segment.envelope.destination);
            messages.segment(segment, frames, class, sink)
        }
        _ => messages.segment(segment, frames, class, sink),
    };
    if ours { Fate::Ours } else { Fate::NotOurs }
}

/// The flow of a segment; that of what it quotes where it is an ICMP error.
fn told_flow(segment: &Segment<'_>) -> Flow {
    match &segment.content {
        Content::Icmp(Icmp {
            quoted: Some(quoted),
            ..
        }) => Flow {
            source: (quoted.source, quoted.source_port),
            destination: (quoted.destination, quoted.destination_port),
        },
        _ => segment.envelope.flow(),
    }
}

/// Messages that span datagrams.
#[derive(Debug, Default)]
struct Messages {
    cisco: cisco_ike::Assembler,
}

impl Messages {
    /// Dissects a datagram, and gives after its events the message that it completes.
    fn segment(
        &mut self,
        segment: &Segment<'_>,
        frames: &[u64],
        class: Option<Class>,
        sink: &mut impl FnMut(&Event<'_>),
    ) -> bool {
        dissect::segment(segment, frames, class, &mut |event| {
            sink(event);
            let What::Ike { message, .. } = &event.what else {
                return;
            };
            let whole = self.cisco.handle(event.envelope, event.frames, message);
            if let Some(whole) = whole {
                sink(&Event {
                    envelope: event.envelope,
                    frames: &whole.frames,
                    what: dissect::ike(&whole.octets),
                });
            }
        })
    }
}

/// The frames of pieces in one file: those in the file before it have the same numbers.
fn frames_in<'p>(
    capture: u16,
    pieces: impl Iterator<Item = &'p ip::Piece>,
) -> impl Iterator<Item = u64> {
    pieces
        .filter(move |piece| piece.capture == capture)
        .map(|piece| piece.frame)
}

fn own(partial: &ip::Partial) -> Incomplete {
    let envelope = &partial.envelope;
    let frames = frames_in(envelope.capture, partial.pieces.iter()).collect();
    let ports = partial
        .has_first()
        .then_some((envelope.source_port, envelope.destination_port));
    let (ike_spis, is_esp) = carried(partial);
    Incomplete {
        flow: envelope.flow(),
        ike_spis,
        fact: IncompleteDatagram {
            at: Stamp::from(envelope),
            from: Side::Client,
            protocol: partial.protocol,
            ports,
            seen: partial.pieces.iter().map(|piece| piece.len).sum(),
            total: partial.payload_len,
            has_first: partial.has_first(),
            largest: partial
                .pieces
                .iter()
                .map(|piece| piece.ip_len)
                .max()
                .unwrap_or_default(),
            is_esp,
            frames,
        },
    }
}

/// What an incomplete datagram began with: SPIs of IKE, or ESP.
fn carried(partial: &ip::Partial) -> (Option<(u64, u64)>, bool) {
    let envelope = &partial.envelope;
    if partial.protocol != 17 {
        return (None, partial.protocol == 50);
    }
    let ports = (envelope.source_port, envelope.destination_port);
    let data = partial.leading.get(8..).unwrap_or_default();
    match dissect::classify(ports, data) {
        Class::Ike { marker } => {
            let octets = data.get(if marker { 4 } else { 0 }..).unwrap_or_default();
            let header = vpnscope_dissectors::ike::Header::parse(octets).ok();
            let spis = header.map(|header| (header.initiator_spi.0, header.responder_spi.0));
            (spis, false)
        }
        class => (None, class == Class::Esp),
    }
}

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
        }
    }

    /// Takes a frame.
    #[inline]
    pub fn frame(&mut self, frame: &Frame<'_>) -> Fate {
        self.front.pass(frame, &mut Tracked(&mut self.tracker))
    }

    /// Takes a frame, and tells `told` of each event which session took it.
    pub fn frame_of(
        &mut self,
        frame: &Frame<'_>,
        told: &mut impl FnMut(&Event<'_>, Option<u32>),
    ) -> Fate {
        let tracker = &mut self.tracker;
        tracker.keep_told();
        self.front.frame(frame, &mut |event: &Event<'_>| {
            drive(tracker, event);
            let taken = tracker.taken_by();
            tracker.tell(told);
            told(event, taken);
        })
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
        let tracker = &mut self.tracker;
        self.front.advance(now, &mut |event: &Event<'_>| {
            drive(tracker, event);
        });
        self.tracker.advance(now);
    }

    /// Takes a frame, and shows every event in it to `also` first.
    pub fn frame_and(&mut self, frame: &Frame<'_>, also: &mut impl FnMut(&Event<'_>)) {
        let tracker = &mut self.tracker;
        self.front.frame(frame, &mut |event: &Event<'_>| {
            also(event);
            Tracked(tracker).event(event);
        });
    }

    /// Looks at the sessions that have been silent for a while, as configured.
    pub fn look(&mut self, now: Timestamp) {
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
        let latest = &mut self.front.counters.latest;
        *latest = (*latest).max(end.unwrap_or(*latest));
    }

    /// Ends the walk: everything still open is closed.
    pub fn finish(&mut self) {
        self.finish_of(&mut |_, _| {});
    }

    /// Ends the walk, and shows each session that is over by then.
    pub fn finish_shown(&mut self, show: &mut impl FnMut(Ended<'_>)) {
        let tracker = &mut self.tracker;
        self.front.finish(&mut |event: &Event<'_>| {
            tracker.handle(event);
        });
        self.tracker.finish(self.front.counters.latest, show);
    }

    /// Ends the walk, and tells `told` of each last event which session took it.
    pub fn finish_of(&mut self, told: &mut impl FnMut(&Event<'_>, Option<u32>)) {
        let tracker = &mut self.tracker;
        self.front.finish(&mut |event: &Event<'_>| {
            tracker.handle(event);
            let taken = tracker.taken_by();
            tracker.tell(told);
            told(event, taken);
        });
        self.tracker.finish(self.front.counters.latest, &mut |_| {});
        self.tracker.tell(told);
    }

    /// Ends the walk; what connections at their end push out of the tracker is given away at
    /// once: it may be more than there is room for. What the end closes is shown, session by
    /// session, and is then there to be asked for.
    pub fn finish_each(&mut self, last: &mut impl FnMut(Last<'_>)) {
        let tracker = &mut self.tracker;
        self.front.finish(&mut |event: &Event<'_>| {
            tracker.handle(event);
            tracker.pushed_out(&mut |change| last(Last::PushedOut(change)));
        });
        self.tracker
            .finish(self.front.counters.latest, &mut |ended| {
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
        self.front.counters
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
        self.front.fragment_counters().evicted + self.front.messages.cisco.counters().evicted
    }
}
