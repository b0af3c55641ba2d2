//! From segments and datagrams of connections to the messages in them: TLS, DTLS, and IKE in
//! TCP; and the conversations of other VPNs, which are only counted.
//!
//! Joins the assemblers with the readers of messages, and gives their results as events. Of a
//! connection nothing is said before its octets are recognised; of one without octets
//! nothing, unless it went to a port or address where a VPN gateway is expected.

use std::collections::VecDeque;

use vpnscope_dissectors::{Verdict, tls as tls_wire};

use crate::assemble::Hints;
use crate::assemble::messages::{dtls, tls};
use crate::assemble::tcp::{self, Appetite, At, Delivery, Fact, Opening, Party};
use crate::assemble::tcp_ike;
use crate::decap::{Addresses, Content, Envelope, Flow, Icmp, Segment};
use crate::time::Timestamp;
use crate::track::{DtlsEvent, Event, Over, Stream, TcpEvent, TlsEvent, What};

mod late;

/// Ports on which a connection that carried nothing counts.
pub const TLS_PORTS: [u16; 4] = [443, 4443, 8443, 10443];

/// Budgets and hints.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Of TCP.
    pub tcp: tcp::Config,
    /// Of DTLS.
    pub dtls: dtls::Config,
    /// Who is who, as the user knows it.
    pub hints: Hints,
    /// Whether what came too early waits a moment: in files, whose times and order may run
    /// wrong. An interface gives frames in order.
    pub waits: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tcp: tcp::Config::default(),
            dtls: dtls::Config::default(),
            hints: Hints::default(),
            waits: true,
        }
    }
}

/// What is kept for a connection.
#[derive(Debug, Default)]
struct Reader {
    opening: Option<Box<(At, Opening)>>,
    /// Events of it were given.
    shown: bool,
    /// It carried octets.
    octets: bool,
    content: Carries,
}

/// What a connection carries.
#[derive(Debug, Default)]
enum Carries {
    #[default]
    Unknown,
    Tls(Box<tls::Stream>),
    Ike(Box<Ike>),
}

#[derive(Debug)]
struct Ike {
    opener: tcp_ike::Stream,
    acceptor: tcp_ike::Stream,
}

impl tcp::Reader for Reader {
    fn held(&self) -> usize {
        match &self.content {
            Carries::Unknown => 0,
            Carries::Tls(stream) => stream.held(),
            Carries::Ike(ike) => size_of::<Ike>() + ike.opener.held() + ike.acceptor.held(),
        }
    }

    fn rest(&mut self) {
        if let Carries::Tls(stream) = &mut self.content {
            stream.rest();
        }
    }
}

/// Everything that has a state on the way from octets to messages.
#[derive(Debug)]
pub struct Streams {
    tcp: tcp::Assembler<Reader>,
    dtls: dtls::Assembler,
    hints: Hints,
    /// As in [`Config::waits`].
    waits: bool,
    /// Datagrams that came too early.
    early: late::Early,
    /// Errors that came before the connection that they are about.
    errors: VecDeque<late::Error>,
}

/// Whether a stretch of a TCP stream is of ours.
fn recognise(octets: &[u8]) -> Verdict {
    match tls_wire::recognise(octets) {
        Verdict::Certain => Verdict::Certain,
        other => match tcp_ike::recognise(octets) {
            Verdict::Certain => Verdict::Certain,
            _ => other,
        },
    }
}

impl Streams {
    /// Nothing known yet.
    pub fn new(config: Config) -> Self {
        Self {
            tcp: tcp::Assembler::new(tcp::Config {
                recognise,
                expects: is_expected,
                hints: config.hints,
                waits: config.waits,
                ..config.tcp
            }),
            dtls: dtls::Assembler::new(dtls::Config {
                hints: config.hints,
                ..config.dtls
            }),
            hints: config.hints,
            waits: config.waits,
            early: late::Early::default(),
            errors: VecDeque::new(),
        }
    }

    /// The capture goes on under another number.
    pub fn go_on(&mut self, capture: u16, sink: &mut dyn FnMut(&Event<'_>)) {
        self.let_go(Timestamp::MAX, sink);
        self.dtls.go_on(capture);
        let hints = self.hints;
        self.tcp.go_on(capture, &mut |reader, delivery| {
            reader.take(delivery, hints, sink)
        });
    }

    /// Connections, associations and messages of these let go of early.
    pub const fn evicted(&self) -> u64 {
        let dtls = self.dtls.counters();
        self.tcp.counters().evicted + dtls.evicted + dtls.messages
    }

    /// Copies of segments made by a span port.
    pub const fn copies(&self) -> u64 {
        self.tcp.counters().copies
    }

    /// Whether a TCP segment can matter.
    #[expect(
        clippy::inline_always,
        reason = "measured: each segment of a span port is asked about"
    )]
    #[inline(always)]
    pub fn wants_tcp(
        &mut self,
        capture: u16,
        addresses: Addresses<'_>,
        ports: (u16, u16),
        flags: u8,
        payload: &[u8],
    ) -> bool {
        self.tcp.note_waiting();
        self.tcp.wants(capture, addresses, ports, flags, payload)
    }

    /// Notes a SYN without octets.
    #[inline]
    pub fn syn(&mut self, syn: &tcp::PlainSyn<'_>) -> tcp::Noted {
        self.tcp.plain_syn(syn)
    }

    /// The same for who need not know whether there is room: some are noted together.
    #[inline]
    pub fn syn_later(&mut self, syn: &tcp::PlainSyn<'_>) -> tcp::Noted {
        self.tcp.syn_later(syn)
    }

    /// Whether an association of DTLS is followed, or may be in a moment.
    #[inline]
    pub fn has_dtls(&self) -> bool {
        !self.dtls.is_empty() || !self.early.is_empty()
    }

    /// Whether a UDP datagram can matter.
    #[inline]
    pub fn wants_udp(&self, capture: u16, flow: impl FnOnce() -> Flow, payload: &[u8]) -> bool {
        let payload = without_preamble(payload);
        // The first octet of DTLS is 20 to 63.
        if !matches!(payload.first(), Some(20..=63)) {
            return false;
        }
        let flow = flow();
        self.dtls.wants(capture, &flow, payload)
            || (!self.early.is_empty()
                && self.early.holds(&(capture, dtls::ordered(&flow)))
                && dtls::may_be(payload))
    }

    /// Whether a segment belongs to a connection of which nothing can be said yet: it carried
    /// no octets, and went where no gateway is expected.
    pub fn is_opening(&self, capture: u16, flow: &Flow) -> bool {
        !self.expects(flow) && self.tcp.is_opening(capture, flow)
    }

    /// Whether a gateway is expected at one end of a flow.
    pub fn expects(&self, flow: &Flow) -> bool {
        is_expected(flow, self.hints) || is_expected(&flow.reversed(), self.hints)
    }

    /// Takes a segment. `true` where it was ours.
    pub fn tcp(&mut self, segment: &Segment<'_>, sink: &mut dyn FnMut(&Event<'_>)) -> bool {
        let hints = self.hints;
        self.tcp.handle(segment, &mut |reader, delivery| {
            reader.take(delivery, hints, sink)
        })
    }

    /// Takes a datagram, put together from `frames`. `true` where it was ours.
    pub fn udp(
        &mut self,
        segment: &Segment<'_>,
        frames: &[u64],
        sink: &mut dyn FnMut(&Event<'_>),
    ) -> bool {
        let Content::Udp { payload, .. } = segment.content else {
            return false;
        };
        let payload = without_preamble(payload);
        self.datagram(&segment.envelope, frames, payload, sink)
    }

    /// Whether a segment that nobody wanted is worth keeping for a moment.
    #[inline]
    pub fn remembers(&self, frame: u64) -> bool {
        self.tcp.remembers(frame)
    }

    /// Keeps a segment that nobody wanted for a moment.
    pub fn remember(&mut self, segment: &Segment<'_>) {
        self.tcp.remember(segment);
    }

    /// Takes an ICMP error: a connection that it is about is worth an event now.
    pub fn icmp(&mut self, icmp: &Icmp<'_>, envelope: &Envelope, sink: &mut dyn FnMut(&Event<'_>)) {
        let Some(quoted) = icmp.quoted.filter(|quoted| quoted.protocol == 6) else {
            return;
        };
        let flow = Flow {
            source: (quoted.source, quoted.source_port),
            destination: (quoted.destination, quoted.destination_port),
        };
        if self.tcp.is_known(envelope.capture, &flow) {
            self.touch(&flow, envelope, sink);
        } else {
            let hints = self.hints;
            let told = envelope.destination;
            let mut give = |reader: &mut Reader, delivery: &Delivery<'_>| {
                reader.touched(delivery, hints, sink)
            };
            let found = self.tcp.touch_foreign(told, &quoted, envelope, &mut give);
            if !found {
                self.keep_error(flow, envelope);
            }
        }
    }

    fn touch(&mut self, flow: &Flow, envelope: &Envelope, sink: &mut dyn FnMut(&Event<'_>)) {
        let hints = self.hints;
        self.tcp.touch(flow, envelope, &mut |reader, delivery| {
            reader.touched(delivery, hints, sink)
        });
    }

    /// When [`Streams::advance`] has something to do.
    pub fn next_deadline(&self) -> Timestamp {
        let sweeps = self.tcp.next_deadline().min(self.dtls.next_deadline());
        let errors = self.errors.front().map(late::Error::until);
        sweeps
            .min(self.early.deadline())
            .min(errors.unwrap_or(Timestamp::MAX))
    }

    /// Lets go of what was quiet for too long.
    pub fn advance(&mut self, now: Timestamp, sink: &mut dyn FnMut(&Event<'_>)) {
        let hints = self.hints;
        self.tcp.advance(now, &mut |reader, delivery| {
            reader.take(delivery, hints, sink)
        });
        self.let_go(now, sink);
        self.dtls
            .advance(now, &mut |item| give_dtls_end(item, now, sink));
    }

    /// Ends everything: the capture ended.
    pub fn finish(&mut self, end: Timestamp, sink: &mut dyn FnMut(&Event<'_>)) {
        let hints = self.hints;
        self.let_go(Timestamp::MAX, sink);
        self.tcp.finish(end, &mut |reader, delivery| {
            reader.take(delivery, hints, sink)
        });
        self.dtls.finish(&mut |item| give_dtls_end(item, end, sink));
    }
}

/// What a UDP datagram is to the reader of DTLS.
#[cfg(test)]
pub(super) fn recognise_dtls(payload: &[u8]) -> Verdict {
    vpnscope_dissectors::dtls::recognise(without_preamble(payload))
}

/// DTLS of access points stands behind four octets of CAPWAP (RFC 5415 §4.2).
fn without_preamble(payload: &[u8]) -> &[u8] {
    match payload.strip_prefix(&[1, 0, 0, 0]) {
        Some(rest) if matches!(rest, [20..=23, 0xfe, 0xfd | 0xff, ..]) => rest,
        _ => payload,
    }
}

fn give_dtls(
    item: &dtls::Item<'_>,
    envelope: &Envelope,
    frames: &[u64],
    sink: &mut dyn FnMut(&Event<'_>),
) {
    // A message names the datagrams it came in; the last of them may have come in fragments.
    let mut all: Vec<u64> = Vec::new();
    let mut whole: &[u64] = &[];
    if let dtls::What::Message { frames: own, .. } | dtls::What::Incomplete { frames: own, .. } =
        item.what
    {
        if own.is_sorted() && frames.iter().all(|frame| own.contains(frame)) {
            whole = own;
        } else {
            all.extend(own);
            all.extend(frames.iter().filter(|frame| !own.contains(frame)));
            all.sort_unstable();
            whole = &all;
        }
    }
    let frames = if whole.is_empty() { frames } else { whole };
    sink(&Event {
        envelope,
        frames,
        what: What::Dtls(DtlsEvent { item: *item }),
    });
}

fn give_dtls_end(item: &dtls::Item<'_>, time: Timestamp, sink: &mut dyn FnMut(&Event<'_>)) {
    let envelope = tcp::blank_envelope(item.capture, &item.flow, time, 17);
    give_dtls(item, &envelope, &[], sink);
}

fn is_expected(flow: &Flow, hints: Hints) -> bool {
    TLS_PORTS.contains(&flow.destination.1) || hints.to_gateway(flow)
}

fn stream(delivery: &Delivery<'_>) -> Stream {
    Stream {
        number: delivery.connection,
        flow: delivery.flow,
        roles_known: delivery.roles_known,
        from: delivery.from,
        at: delivery.at,
    }
}

fn give_fact(delivery: &Delivery<'_>, fact: Fact, sink: &mut dyn FnMut(&Event<'_>)) {
    sink(&Event {
        envelope: delivery.envelope,
        frames: &[],
        what: What::Tcp(TcpEvent {
            stream: stream(delivery),
            fact,
        }),
    });
}

impl Reader {
    fn take(
        &mut self,
        delivery: &Delivery<'_>,
        hints: Hints,
        sink: &mut dyn FnMut(&Event<'_>),
    ) -> Appetite {
        match delivery.what {
            tcp::What::Fact(Fact::Opened(opening)) => {
                self.opening = Some(Box::new((delivery.at, opening)));
            }
            tcp::What::Fact(fact @ Fact::Unanswered { .. }) => {
                if is_expected(&delivery.flow, hints) {
                    give_fact(delivery, fact, sink);
                }
            }
            tcp::What::Fact(fact) => {
                if matches!(
                    fact,
                    Fact::Reset { .. } | Fact::Fin { .. } | Fact::Forgotten { .. }
                ) {
                    self.show_if_expected(delivery, hints, sink);
                }
                if matches!(fact, Fact::Forgotten { .. }) {
                    self.end(delivery, sink);
                }
                if self.shown {
                    give_fact(delivery, fact, sink);
                }
            }
            tcp::What::Octets { offset, octets } => self.octets(delivery, offset, octets, sink),
            tcp::What::Gap { offset, len } => self.gap(delivery, offset, len, sink),
        }
        match &self.content {
            Carries::Unknown => Appetite::All,
            Carries::Tls(stream) => stream.appetite(),
            Carries::Ike(_) => Appetite::Some,
        }
    }

    /// Takes a delivery of a connection that an error is about.
    fn touched(
        &mut self,
        delivery: &Delivery<'_>,
        hints: Hints,
        sink: &mut dyn FnMut(&Event<'_>),
    ) -> Appetite {
        let appetite = self.take(delivery, hints, sink);
        self.show_if_expected(delivery, hints, sink);
        appetite
    }

    /// A connection that carried nothing is shown where a gateway is expected.
    fn show_if_expected(
        &mut self,
        delivery: &Delivery<'_>,
        hints: Hints,
        sink: &mut dyn FnMut(&Event<'_>),
    ) {
        if !self.shown && !self.octets && is_expected(&delivery.flow, hints) {
            self.show(delivery, sink);
        }
    }

    fn show(&mut self, delivery: &Delivery<'_>, sink: &mut dyn FnMut(&Event<'_>)) {
        if self.shown {
            return;
        }
        self.shown = true;
        if let Some((at, opening)) = self.opening.take().map(|opening| *opening) {
            let opened = Delivery {
                at,
                from: Party::Opener,
                ..*delivery
            };
            give_fact(&opened, Fact::Opened(opening), sink);
        }
    }

    fn octets(
        &mut self,
        delivery: &Delivery<'_>,
        offset: u32,
        octets: &[u8],
        sink: &mut dyn FnMut(&Event<'_>),
    ) {
        self.octets = true;
        // Where the opening was not seen, the first octets seen are those of a stream if they
        // are a hello.
        let is_hello = matches!(octets, [22, _, _, _, _, 1 | 2, ..] | [0x80..=0xff, ..]);
        let at_start = offset == 0 && (delivery.roles_known || is_hello);
        if matches!(self.content, Carries::Unknown) {
            self.content = Carries::of(offset == 0, octets);
        }
        let mut content = std::mem::take(&mut self.content);
        match &mut content {
            Carries::Unknown => {}
            Carries::Tls(stream) => {
                let frame = delivery.at.frame();
                stream.octets(delivery.from, at_start, frame, octets, &mut |item| {
                    self.show(delivery, sink);
                    give_tls(delivery, item, sink);
                });
            }
            Carries::Ike(ike) => {
                let direction = ike.direction(delivery.from);
                direction.push(
                    octets,
                    tcp_ike::Mark {
                        frame: delivery.at.frame(),
                        time: delivery.at.time,
                    },
                );
                give_ike(direction, delivery.envelope, sink);
            }
        }
        self.content = content;
    }

    fn gap(
        &mut self,
        delivery: &Delivery<'_>,
        offset: u32,
        len: u32,
        sink: &mut dyn FnMut(&Event<'_>),
    ) {
        self.octets = true;
        let mut content = std::mem::take(&mut self.content);
        match &mut content {
            Carries::Unknown => {}
            Carries::Tls(stream) => {
                stream.gap(delivery.from, len, &mut |item| {
                    self.show(delivery, sink);
                    give_tls(delivery, item, sink);
                });
                if self.shown {
                    sink(&Event {
                        envelope: delivery.envelope,
                        frames: &[],
                        what: What::Tls(TlsEvent::Gap {
                            stream: self::stream(delivery),
                            offset,
                            len,
                        }),
                    });
                }
            }
            Carries::Ike(ike) => {
                let direction = ike.direction(delivery.from);
                give_ike(direction, delivery.envelope, sink);
                direction.gap(Some(u64::from(len)));
            }
        }
        self.content = content;
    }

    /// What was begun and will not be finished.
    fn end(&mut self, delivery: &Delivery<'_>, sink: &mut dyn FnMut(&Event<'_>)) {
        if let Carries::Tls(stream) = &mut self.content
            && self.shown
        {
            stream.finish(&mut |item| give_tls(delivery, item, sink));
        }
    }
}

impl Carries {
    fn of(from_start: bool, octets: &[u8]) -> Self {
        let is_tls = tls_wire::recognise(octets) != Verdict::NotOurs;
        if !is_tls && tcp_ike::recognise(octets) == Verdict::Certain {
            return Self::Ike(Box::new(Ike {
                opener: tcp_ike::Stream::new(from_start),
                acceptor: tcp_ike::Stream::new(from_start),
            }));
        }
        Self::Tls(Box::default())
    }
}

impl Ike {
    const fn direction(&mut self, from: Party) -> &mut tcp_ike::Stream {
        match from {
            Party::Opener => &mut self.opener,
            Party::Acceptor => &mut self.acceptor,
        }
    }
}

fn give_tls(delivery: &Delivery<'_>, item: &tls::Item<'_>, sink: &mut dyn FnMut(&Event<'_>)) {
    let stream = Stream {
        from: item.from,
        ..stream(delivery)
    };
    sink(&Event {
        envelope: delivery.envelope,
        frames: item.frames,
        what: What::Tls(TlsEvent::Item {
            stream,
            context: item.context,
            what: item.what,
        }),
    });
}

/// Gives the whole messages of a stream that carries IKE and ESP.
fn give_ike(
    direction: &mut tcp_ike::Stream,
    envelope: &Envelope,
    sink: &mut dyn FnMut(&Event<'_>),
) {
    while let Some(message) = direction.next_message() {
        let frames: Vec<u64> = message.marks.iter().map(|mark| mark.frame).collect();
        let what = match message.carried {
            tcp_ike::Carried::Ike(octets) => super::ike(octets),
            tcp_ike::Carried::Esp(octets) => {
                let Ok(packet) = vpnscope_dissectors::esp::Packet::parse(octets) else {
                    continue;
                };
                What::Esp {
                    spi: packet.spi,
                    sequence: packet.sequence,
                    len: u32::try_from(octets.len()).unwrap_or(u32::MAX),
                    over: Over::Tcp,
                }
            }
            tcp_ike::Carried::Short(_) => continue,
        };
        sink(&Event {
            envelope,
            frames: &frames,
            what,
        });
    }
}
