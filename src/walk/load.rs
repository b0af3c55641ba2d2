//! Events on their way to another thread.
//!
//! The front gives events that borrow from the frame at hand. A load keeps what they borrow in one
//! row, and gives them again, in order and as they were, to whoever has it.

use vpnscope_dissectors::{Octets, dns, dtls, ike, l2tp, ppp, pppoe, radius, tls};

use crate::decap::{Addresses, Envelope, Icmp, Quoted, decap, ordinary};
use crate::dissect::{self, Class};
use crate::source::{Frame, LinkType};
use crate::track::session::Stamp;
use crate::track::{
    DnsSight, DtlsEvent, DtlsItem, DtlsWhat, EspSight, Event, Incomplete, Stream, TlsEvent,
    TlsWhat, What,
};

use super::sink::Sink;

/// Octets that a load holds before it goes.
const OCTETS: usize = 128 << 10;
/// Items that a load holds before it goes.
const ITEMS: usize = 1024;

/// Packets of ESP that are looked up together: as many as a processor waits for at a time.
pub(super) const TOGETHER: usize = 16;

/// Where something lies in its row. A load goes long before these are too small.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    at: u32,
    len: u32,
}

impl Part {
    /// Puts more behind what is in a row.
    #[inline]
    fn behind<T: Copy>(row: &mut Vec<T>, more: &[T]) -> Self {
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let (at, len) = (narrow(row.len()), narrow(more.len()));
        row.extend_from_slice(more);
        Self { at, len }
    }

    #[inline]
    fn of<T>(self, row: &[T]) -> &[T] {
        let rest = row.get(self.at as usize..).unwrap_or_default();
        rest.get(..self.len as usize).unwrap_or_default()
    }
}

/// Rows of what events borrow.
#[derive(Debug, Default)]
struct Rows {
    octets: Vec<u8>,
    frames: Vec<u64>,
}

impl Rows {
    #[inline]
    fn keep(&mut self, octets: &[u8]) -> Part {
        Part::behind(&mut self.octets, octets)
    }

    fn keep_frames(&mut self, frames: &[u64]) -> Part {
        Part::behind(&mut self.frames, frames)
    }

    #[inline]
    fn octets(&self, part: Part) -> &[u8] {
        part.of(&self.octets)
    }

    fn frames(&self, part: Part) -> &[u64] {
        part.of(&self.frames)
    }
}

/// Something that the front gave.
#[derive(Debug)]
enum Item {
    Esp(Esp),
    /// The next of these messages.
    Dns,
    /// The next event.
    Event,
    /// The next event, which is a keepalive, and counts only where it is known between whom.
    Keepalive,
}

/// Who is given again what the front gave.
pub(super) trait Taker {
    /// Packets of ESP that come next.
    fn foresee(&mut self, sights: &[EspSight<'_>]);

    /// ESP by its header; `whole` has the event where that is not enough.
    fn esp(&mut self, sight: &EspSight<'_>, whole: &Whole<'_>);

    fn dns(&mut self, sight: &DnsSight, message: &dns::Message<'_>);

    fn event(&mut self, event: &Event<'_>);

    /// Nothing, unless something between its addresses is followed.
    fn keepalive(&mut self, event: &Event<'_>);
}

/// Everything that the front gave since the load was empty.
#[derive(Debug, Default)]
pub struct Load {
    rows: Rows,
    items: Vec<Item>,
    lookups: Vec<(DnsSight, Part)>,
    events: Vec<Kept>,
    /// A keepalive follows of which it was asked whether it counts.
    asked: bool,
}

impl Load {
    /// Whether it should go.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.items.len() >= ITEMS || self.rows.octets.len() >= OCTETS
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Empties it, to be filled again.
    pub fn clear(&mut self) {
        self.rows.octets.clear();
        self.rows.frames.clear();
        self.items.clear();
        self.lookups.clear();
        self.events.clear();
    }

    /// Gives everything in it, in order; asks after each of it whether to go on.
    pub(super) fn give<T: Taker, E>(
        &self,
        taker: &mut T,
        mut go_on: impl FnMut(&mut T) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut lookups, mut events) = (self.lookups.iter(), self.events.iter());
        let mut items = self.items.as_slice();
        loop {
            items = self.give_esp(items, taker, &mut go_on)?;
            let Some((item, behind)) = items.split_first() else {
                return Ok(());
            };
            items = behind;
            match item {
                Item::Esp(_) => continue,
                Item::Dns => {
                    let kept = lookups.next();
                    let read = |part: &Part| dns::Message::parse(self.rows.octets(*part));
                    if let Some((sight, Ok(message))) = kept.map(|(at, part)| (at, read(part))) {
                        taker.dns(sight, &message);
                    }
                }
                Item::Event | Item::Keepalive => {
                    let event = events.next().and_then(|kept| kept.event(&self.rows));
                    match (item, event) {
                        (_, None) => {}
                        (Item::Keepalive, Some(event)) => taker.keepalive(&event),
                        (_, Some(event)) => taker.event(&event),
                    }
                }
            }
            go_on(taker)?;
        }
    }

    /// Gives the packets of ESP in front of `items`, and what is behind them.
    #[inline]
    fn give_esp<'i, T: Taker, E>(
        &self,
        mut items: &'i [Item],
        taker: &mut T,
        go_on: &mut impl FnMut(&mut T) -> Result<(), E>,
    ) -> Result<&'i [Item], E> {
        loop {
            let mut sights = [EspSight::NONE; TOGETHER];
            let of_esp = items.iter().map_while(|item| match item {
                Item::Esp(esp) => esp.sight(self.rows.octets(esp.octets)),
                _ => None,
            });
            let mut len = 0;
            for (place, sight) in sights.iter_mut().zip(of_esp) {
                *place = sight;
                len += 1;
            }
            let sights = sights.get(..len).unwrap_or_default();
            let Some((now, behind)) = items.split_at_checked(len).filter(|_| len > 0) else {
                return Ok(items);
            };
            taker.foresee(sights);
            for (sight, item) in sights.iter().zip(now) {
                if let Item::Esp(esp) = item {
                    let octets = self.rows.octets(esp.octets);
                    taker.esp(sight, &Whole { esp, octets });
                }
                go_on(taker)?;
            }
            items = behind;
        }
    }
}

impl Sink for Load {
    fn event(&mut self, event: &Event<'_>) {
        let kept = Kept::of(event, &mut self.rows);
        self.events.push(kept);
        let asked = std::mem::take(&mut self.asked);
        self.items
            .push(if asked { Item::Keepalive } else { Item::Event });
    }

    #[inline]
    fn esp(&mut self, sight: &EspSight<'_>, frame: &Frame<'_>) -> bool {
        let esp = Esp::of(sight, frame, &mut self.rows).map(Item::Esp);
        let is_kept = esp.is_some();
        self.items.extend(esp);
        is_kept
    }

    fn dns(&mut self, sight: &DnsSight, payload: &[u8]) -> bool {
        let is_dns = dns::Message::parse(payload).is_ok();
        if is_dns {
            let part = self.rows.keep(payload);
            self.lookups.push((*sight, part));
            self.items.push(Item::Dns);
        }
        is_dns
    }

    fn knows(&mut self, _: Addresses<'_>) -> bool {
        self.asked = true;
        true
    }
}

/// ESP in a frame of plain shape. There are many of them: what follows from their headers is not
/// kept a second time.
#[derive(Debug)]
struct Esp {
    at: Stamp,
    /// Its headers; the frame, where more than these says what it is.
    octets: Part,
    /// Octets from the SPI on, on the wire.
    len: u32,
    wire_len: u32,
    captured_len: u32,
    interface: u32,
    link: LinkType,
    /// Where the addresses are in `octets`.
    addresses: u16,
    is_v6: bool,
    is_udp: bool,
    cannot_shrink: bool,
    truncated: bool,
}

/// Octets of a frame that are copied at once: all headers of nearly every frame.
const HEAD: usize = 96;

impl Esp {
    #[inline]
    fn of(sight: &EspSight<'_>, frame: &Frame<'_>, rows: &mut Rows) -> Option<Self> {
        let (addresses, is_v6) = match sight.addresses {
            Addresses::V4(octets) => (octets.as_ptr(), false),
            Addresses::V6(octets) => (octets.as_ptr(), true),
        };
        let addresses = (addresses.addr()).checked_sub(frame.octets.as_ptr().addr())?;
        let captured_len = u32::try_from(frame.octets.len()).ok()?;
        let is_ordinary = matches!(frame.link, LinkType::ETHERNET | LinkType::RAW)
            && !sight.truncated
            && captured_len <= frame.wire_len;
        let octets = match frame.octets.first_chunk::<HEAD>() {
            // The headers of an ordinary frame take 82 octets at most.
            Some(head) if is_ordinary => rows.keep(head),
            _ => rows.keep(frame.octets),
        };
        Some(Self {
            at: sight.at,
            octets,
            len: sight.len,
            wire_len: frame.wire_len,
            captured_len,
            interface: frame.interface,
            link: frame.link,
            addresses: u16::try_from(addresses).ok()?,
            is_v6,
            is_udp: sight.ports != (0, 0),
            cannot_shrink: sight.cannot_shrink,
            truncated: sight.truncated,
        })
    }

    #[inline]
    fn sight<'a>(&self, octets: &'a [u8]) -> Option<EspSight<'a>> {
        let from_addresses = octets.get(usize::from(self.addresses)..)?;
        let (addresses, rest, ip) = if self.is_v6 {
            let (addresses, rest) = from_addresses.split_first_chunk()?;
            (Addresses::V6(addresses), rest, 40)
        } else {
            let (addresses, rest) = from_addresses.split_first_chunk()?;
            (Addresses::V4(addresses), rest, 20)
        };
        let mut esp = rest;
        let (mut ports, mut udp) = ((0, 0), 0);
        if self.is_udp {
            let (&[s0, s1, d0, d1, ..], behind) = rest.split_first_chunk::<8>()?;
            ports = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
            (esp, udp) = (behind, 8);
        }
        let &[a, b, c, d, e, f, g, h] = esp.first_chunk()?;
        Some(EspSight {
            at: self.at,
            addresses,
            ports,
            spi: u32::from_be_bytes([a, b, c, d]),
            sequence: u32::from_be_bytes([e, f, g, h]),
            len: self.len,
            ip_len: self.len + udp + ip,
            cannot_shrink: self.cannot_shrink,
            truncated: self.truncated,
        })
    }
}

/// The frame that ESP was in, as far as an event follows from it.
pub(super) struct Whole<'a> {
    esp: &'a Esp,
    octets: &'a [u8],
}

impl Whole<'_> {
    /// Gives the event of the packet.
    #[cold]
    pub(super) fn event(&self, sink: &mut impl FnMut(&Event<'_>)) {
        let Esp {
            at,
            captured_len,
            is_udp,
            ..
        } = *self.esp;
        let frame = Frame {
            capture: at.capture(),
            no: at.frame(),
            time: at.time,
            link: self.esp.link,
            octets: self.octets,
            wire_len: self.esp.wire_len,
            interface: self.esp.interface,
        };
        let mut segment = ordinary(&frame).unwrap_or_else(|| decap(&frame));
        if segment.envelope.captured_len < captured_len {
            // Only headers came along, of a frame that was whole.
            segment.envelope.captured_len = captured_len;
            segment.envelope.truncated = false;
        }
        let class = is_udp.then_some(Class::Esp);
        dissect::segment(&segment, &[], class, sink);
    }
}

/// An event without what it borrows.
#[derive(Debug)]
struct Kept {
    envelope: Envelope,
    frames: Part,
    what: Bare,
}

/// What an event carries, without what it borrows: messages that are read from all their octets
/// are read again.
#[derive(Debug)]
enum Bare {
    Ike(Part),
    L2tp(Part),
    L2tpIp(Part),
    Radius(Part),
    Dns(Part),
    Pppoe(pppoe::Packet<'static>, Part),
    Ppp(ppp::Frame<'static>, Part),
    Icmp(Icmp<'static>),
    IcmpError(Icmp<'static>, Box<(Quoted<'static>, Part)>),
    Incomplete(Box<Incomplete>),
    Tls(Box<Tls>),
    Dtls(Box<Dtls>),
    /// What borrows nothing.
    Plain(What<'static>),
}

#[derive(Debug)]
struct Tls {
    stream: Stream,
    context: tls::Context,
    what: TlsWhat<'static>,
    parts: [Part; 3],
}

#[derive(Debug)]
struct Dtls {
    item: DtlsItem<'static>,
    parts: [Part; 2],
    frames: Part,
}

impl Kept {
    fn of(event: &Event<'_>, rows: &mut Rows) -> Self {
        Self {
            envelope: *event.envelope,
            frames: rows.keep_frames(event.frames),
            what: Bare::of(event, rows),
        }
    }

    fn event<'a>(&'a self, rows: &'a Rows) -> Option<Event<'a>> {
        Some(Event {
            envelope: &self.envelope,
            frames: rows.frames(self.frames),
            what: self.what.what(rows)?,
        })
    }
}

impl Bare {
    fn of(event: &Event<'_>, rows: &mut Rows) -> Self {
        match event.what {
            What::Ike { octets, .. } => Self::Ike(rows.keep(octets)),
            What::L2tp { octets, .. } if event.envelope.protocol == l2tp::IP_PROTOCOL => {
                Self::L2tpIp(rows.keep(octets))
            }
            What::L2tp { octets, .. } => Self::L2tp(rows.keep(octets)),
            What::Radius { octets, .. } => Self::Radius(rows.keep(octets)),
            What::Dns(message) => Self::Dns(rows.keep(message.octets())),
            What::Pppoe { packet } => {
                let body = rows.keep(packet.body);
                Self::Pppoe(
                    pppoe::Packet {
                        body: &[],
                        ..packet
                    },
                    body,
                )
            }
            What::Ppp { frame } => {
                let body = rows.keep(frame.body);
                Self::Ppp(ppp::Frame { body: &[], ..frame }, body)
            }
            What::Icmp(icmp) => {
                let bare = Icmp {
                    quoted: None,
                    ..icmp
                };
                match icmp.quoted {
                    None => Self::Icmp(bare),
                    Some(quoted) => {
                        let part = rows.keep(quoted.payload);
                        let quoted = Quoted {
                            payload: &[],
                            ..quoted
                        };
                        Self::IcmpError(bare, Box::new((quoted, part)))
                    }
                }
            }
            What::Incomplete(incomplete) => Self::Incomplete(Box::new(incomplete.clone())),
            What::Tls(TlsEvent::Item {
                stream,
                context,
                what,
            }) => {
                let (what, parts) = bare_tls(what, rows);
                Self::Tls(Box::new(Tls {
                    stream,
                    context,
                    what,
                    parts,
                }))
            }
            What::Tls(TlsEvent::Gap {
                stream,
                offset,
                len,
            }) => Self::Plain(What::Tls(TlsEvent::Gap {
                stream,
                offset,
                len,
            })),
            What::Dtls(DtlsEvent { item }) => Self::Dtls(Box::new(bare_dtls(item, rows))),
            What::NatKeepalive => Self::Plain(What::NatKeepalive),
            What::Esp {
                spi,
                sequence,
                len,
                over,
            } => Self::Plain(What::Esp {
                spi,
                sequence,
                len,
                over,
            }),
            What::Ah {
                spi,
                sequence,
                next_header,
            } => Self::Plain(What::Ah {
                spi,
                sequence,
                next_header,
            }),
            What::Tcp(tcp) => Self::Plain(What::Tcp(tcp)),
            What::Unreadable(error) => Self::Plain(What::Unreadable(error)),
        }
    }

    fn what<'a>(&'a self, rows: &'a Rows) -> Option<What<'a>> {
        Some(match self {
            Self::Ike(part) => {
                let octets = rows.octets(*part);
                let message = ike::Message::parse(octets).ok()?;
                What::Ike { message, octets }
            }
            Self::L2tp(part) => {
                let octets = rows.octets(*part);
                let message = l2tp::Message::parse(octets).ok()?;
                What::L2tp { message, octets }
            }
            Self::L2tpIp(part) => {
                let octets = rows.octets(*part);
                let message = l2tp::Message::parse_ip(octets).ok()?;
                What::L2tp { message, octets }
            }
            Self::Radius(part) => {
                let octets = rows.octets(*part);
                let packet = radius::Packet::parse(octets).ok()?;
                What::Radius { packet, octets }
            }
            Self::Dns(part) => What::Dns(dns::Message::parse(rows.octets(*part)).ok()?),
            Self::Pppoe(packet, body) => What::Pppoe {
                packet: pppoe::Packet {
                    body: rows.octets(*body),
                    ..*packet
                },
            },
            Self::Ppp(frame, body) => What::Ppp {
                frame: ppp::Frame {
                    body: rows.octets(*body),
                    ..*frame
                },
            },
            Self::Icmp(icmp) => What::Icmp(*icmp),
            Self::IcmpError(icmp, error) => {
                let (quoted, payload) = &**error;
                What::Icmp(Icmp {
                    quoted: Some(Quoted {
                        payload: rows.octets(*payload),
                        ..*quoted
                    }),
                    ..*icmp
                })
            }
            Self::Incomplete(incomplete) => What::Incomplete(incomplete),
            Self::Tls(tls) => What::Tls(TlsEvent::Item {
                stream: tls.stream,
                context: tls.context,
                what: whole_tls(tls, rows),
            }),
            Self::Dtls(dtls) => What::Dtls(DtlsEvent {
                item: whole_dtls(dtls, rows),
            }),
            Self::Plain(what) => *what,
        })
    }
}

fn bare_tls(what: TlsWhat<'_>, rows: &mut Rows) -> (TlsWhat<'static>, [Part; 3]) {
    let mut parts = [Part::default(); 3];
    let [first, second, third] = &mut parts;
    let bare = match what {
        TlsWhat::Record {
            content_type,
            version,
            length,
            clear,
            cut,
        } => TlsWhat::Record {
            content_type,
            version,
            length,
            clear,
            cut,
        },
        TlsWhat::Handshake { message_type, body } => {
            *first = rows.keep(body);
            TlsWhat::Handshake {
                message_type,
                body: &[],
            }
        }
        TlsWhat::HandshakeCut {
            message_type,
            length,
            body,
        } => {
            *first = rows.keep(body);
            TlsWhat::HandshakeCut {
                message_type,
                length,
                body: &[],
            }
        }
        TlsWhat::Ssl2Hello(hello) => {
            *first = rows.keep(&hello.cipher_specs);
            *second = rows.keep(&hello.session_id);
            *third = rows.keep(&hello.challenge);
            TlsWhat::Ssl2Hello(tls::Ssl2ClientHello {
                cipher_specs: Octets(&[]),
                session_id: Octets(&[]),
                challenge: Octets(&[]),
                ..hello
            })
        }
        TlsWhat::Alert(alert) => TlsWhat::Alert(alert),
        TlsWhat::NotTls(octets) => {
            *first = rows.keep(octets);
            TlsWhat::NotTls(&[])
        }
        TlsWhat::Unreadable(error) => TlsWhat::Unreadable(error),
    };
    (bare, parts)
}

fn whole_tls<'a>(tls: &Tls, rows: &'a Rows) -> TlsWhat<'a> {
    let [first, second, third] = tls.parts.map(|part| rows.octets(part));
    match tls.what {
        TlsWhat::Handshake { message_type, .. } => TlsWhat::Handshake {
            message_type,
            body: first,
        },
        TlsWhat::HandshakeCut {
            message_type,
            length,
            ..
        } => TlsWhat::HandshakeCut {
            message_type,
            length,
            body: first,
        },
        TlsWhat::Ssl2Hello(hello) => TlsWhat::Ssl2Hello(tls::Ssl2ClientHello {
            cipher_specs: Octets(first),
            session_id: Octets(second),
            challenge: Octets(third),
            ..hello
        }),
        TlsWhat::NotTls(_) => TlsWhat::NotTls(first),
        what => what,
    }
}

fn bare_dtls(item: DtlsItem<'_>, rows: &mut Rows) -> Dtls {
    let mut parts = [Part::default(); 2];
    let mut frames = Part::default();
    let [first, second] = &mut parts;
    let what = match item.what {
        DtlsWhat::Record(record) => {
            *first = rows.keep(&record.connection_id);
            *second = rows.keep(&record.fragment);
            DtlsWhat::Record(dtls::PlainRecord {
                connection_id: Octets(&[]),
                fragment: Octets(&[]),
                ..record
            })
        }
        DtlsWhat::Unified(record) => {
            *first = rows.keep(&record.connection_id);
            *second = rows.keep(&record.ciphertext);
            DtlsWhat::Unified(dtls::UnifiedRecord {
                connection_id: Octets(&[]),
                ciphertext: Octets(&[]),
                ..record
            })
        }
        DtlsWhat::Fragment { fragment, again } => {
            *first = rows.keep(&fragment.body);
            let fragment = dtls::Fragment {
                body: Octets(&[]),
                ..fragment
            };
            DtlsWhat::Fragment { fragment, again }
        }
        DtlsWhat::Message {
            message_type,
            message_seq,
            body,
            frames: of,
            fragments,
        } => {
            *first = rows.keep(body);
            frames = rows.keep_frames(of);
            DtlsWhat::Message {
                message_type,
                message_seq,
                body: &[],
                frames: &[],
                fragments,
            }
        }
        DtlsWhat::Incomplete {
            message_type,
            message_seq,
            length,
            seen,
            frames: of,
        } => {
            frames = rows.keep_frames(of);
            DtlsWhat::Incomplete {
                message_type,
                message_seq,
                length,
                seen,
                frames: &[],
            }
        }
        DtlsWhat::Alert(alert) => DtlsWhat::Alert(alert),
        DtlsWhat::ChangeCipherSpec(change) => DtlsWhat::ChangeCipherSpec(change),
        DtlsWhat::Unreadable(error) => DtlsWhat::Unreadable(error),
    };
    Dtls {
        item: DtlsItem { what, ..item },
        parts,
        frames,
    }
}

fn whole_dtls<'a>(kept: &Dtls, rows: &'a Rows) -> DtlsItem<'a> {
    let [first, second] = kept.parts.map(|part| rows.octets(part));
    let in_frames = rows.frames(kept.frames);
    let what = match kept.item.what {
        DtlsWhat::Record(record) => DtlsWhat::Record(dtls::PlainRecord {
            connection_id: Octets(first),
            fragment: Octets(second),
            ..record
        }),
        DtlsWhat::Unified(record) => DtlsWhat::Unified(dtls::UnifiedRecord {
            connection_id: Octets(first),
            ciphertext: Octets(second),
            ..record
        }),
        DtlsWhat::Fragment { fragment, again } => DtlsWhat::Fragment {
            fragment: dtls::Fragment {
                body: Octets(first),
                ..fragment
            },
            again,
        },
        DtlsWhat::Message {
            message_type,
            message_seq,
            fragments,
            ..
        } => DtlsWhat::Message {
            message_type,
            message_seq,
            body: first,
            frames: in_frames,
            fragments,
        },
        DtlsWhat::Incomplete {
            message_type,
            message_seq,
            length,
            seen,
            ..
        } => DtlsWhat::Incomplete {
            message_type,
            message_seq,
            length,
            seen,
            frames: in_frames,
        },
        what => what,
    };
    DtlsItem { what, ..kept.item }
}
