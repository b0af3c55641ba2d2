//! From frames to events: decap, assemble and dissect in line.

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
use crate::track::{DnsSight, EspSight, Event, Incomplete, What};

use super::sink::{Plain, Sink};

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
    /// When `streams` or `fragments` have something to do: asked after each change of them, not for
    /// each frame.
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

    /// The latest time of any frame, to be put off.
    pub(super) const fn latest_mut(&mut self) -> &mut Timestamp {
        &mut self.counters.latest
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
                    if let Some(fate) = self.syn(&syn) {
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
            if sight.is_some_and(|sight| sink.esp(&sight, frame)) {
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
            self.settle();
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
            self.expire(frame.time, &mut |event: &Event<'_>| sink.event(event));
        }
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
    fn syn(&mut self, syn: &PlainSyn<'_>) -> Option<Fate> {
        // Who keeps frames has to know of each what becomes of it.
        let noted = if self.keeps_flow {
            self.streams.syn(syn)
        } else {
            self.streams.syn_later(syn)
        };
        match noted {
            Noted::Here => Some(self.opened(syn, Fate::Opening)),
            Noted::NoRoom => Some(self.opened(syn, Fate::NotOurs)),
            Noted::Whole => None,
        }
    }

    /// A SYN whose segment was not built. `otherwise`: what becomes of it where no gateway is
    /// expected.
    #[inline]
    fn opened(&mut self, syn: &PlainSyn<'_>, otherwise: Fate) -> Fate {
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
            self.settle();
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
        self.settle();
        fate
    }

    fn read_whole(
        &mut self,
        frame: &Frame<'_>,
        class: Option<Class>,
        sink: &mut impl FnMut(&Event<'_>),
    ) -> Fate {
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

    /// Gives up what waited too long.
    #[cold]
    fn expire(&mut self, now: Timestamp, sink: &mut impl FnMut(&Event<'_>)) {
        if self.streams.next_deadline() <= now {
            self.streams.advance(now, sink);
        }
        if (self.fragments.next_deadline()).is_some_and(|deadline| deadline <= now) {
            self.fragments.advance(now);
            self.incomplete(sink);
        }
        self.settle();
    }

    /// Finds out when there will be something to do.
    fn settle(&mut self) {
        let fragments = self.fragments.next_deadline().unwrap_or(Timestamp::MAX);
        self.quiet_until = self.streams.next_deadline().min(fragments);
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
            self.expire(now, sink);
        }
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

    /// Datagrams, and IKE messages in parts, given up early because a budget was reached.
    pub fn evicted_fragments(&self) -> u64 {
        self.fragments.counters().evicted + self.messages.cisco.counters().evicted
    }

    /// VPNs that are only counted.
    pub const fn other_vpns(&self) -> others::Counts {
        self.others.counts()
    }
}

/// The flags of which a plain SYN has one.
const ENDS: u8 = Tcp::SYN | Tcp::ACK | Tcp::FIN | Tcp::RST;

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
