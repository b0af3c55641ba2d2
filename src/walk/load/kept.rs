//! Events without what they borrow.

use vpnscope_dissectors::{Octets, dns, dtls, ike, l2tp, ppp, pppoe, radius, tls};

use crate::decap::{Envelope, Icmp, Quoted};
use crate::track::{
    DtlsEvent, DtlsItem, DtlsWhat, Event, Incomplete, Over, Stream, TcpEvent, TlsEvent, TlsWhat,
    What,
};

use super::rows::{Part, Rows};

/// An event without what it borrows.
#[derive(Debug)]
pub(super) struct Kept {
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
    /// Where it is among those of its kind: most of them are larger than the others.
    Tcp(usize),
    Tls(usize),
    Dtls(usize),
    /// What borrows nothing.
    Plain(Box<What<'static>>),
    Keepalive,
    Esp {
        spi: u32,
        sequence: u32,
        len: u32,
        over: Over,
    },
}

/// Events of streams. They are kept by kind, and what they lie in is used again: what one thread
/// asks of the allocator is dear to give back on another one.
#[derive(Debug, Default)]
pub(super) struct Streams {
    tcp: Vec<TcpEvent>,
    tls: Vec<Tls>,
    dtls: Vec<Dtls>,
}

impl Streams {
    pub(super) fn clear(&mut self) {
        self.tcp.clear();
        self.tls.clear();
        self.dtls.clear();
    }
}

/// Puts something behind all others; gives where it is.
fn put<T>(list: &mut Vec<T>, item: T) -> usize {
    list.push(item);
    list.len() - 1
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
    pub(super) fn of(event: &Event<'_>, rows: &mut Rows) -> Self {
        Self {
            envelope: *event.envelope,
            frames: rows.keep_frames(event.frames),
            what: Bare::of(event, rows),
        }
    }

    pub(super) fn event<'a>(&'a self, rows: &'a Rows) -> Option<Event<'a>> {
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
            What::Icmp(icmp) => Self::of_icmp(icmp, rows),
            What::Incomplete(incomplete) => Self::Incomplete(Box::new(incomplete.clone())),
            What::Tls(TlsEvent::Item {
                stream,
                context,
                what,
            }) => {
                let (what, parts) = bare_tls(what, rows);
                let tls = Tls {
                    stream,
                    context,
                    what,
                    parts,
                };
                Self::Tls(put(&mut rows.streams.tls, tls))
            }
            What::Tls(TlsEvent::Gap {
                stream,
                offset,
                len,
            }) => Self::Plain(Box::new(What::Tls(TlsEvent::Gap {
                stream,
                offset,
                len,
            }))),
            What::Dtls(DtlsEvent { item }) => {
                let dtls = bare_dtls(item, rows);
                Self::Dtls(put(&mut rows.streams.dtls, dtls))
            }
            What::NatKeepalive => Self::Keepalive,
            What::Esp {
                spi,
                sequence,
                len,
                over,
            } => Self::Esp {
                spi,
                sequence,
                len,
                over,
            },
            What::Ah {
                spi,
                sequence,
                next_header,
            } => Self::Plain(Box::new(What::Ah {
                spi,
                sequence,
                next_header,
            })),
            What::Tcp(tcp) => Self::Tcp(put(&mut rows.streams.tcp, tcp)),
            What::Unreadable(error) => Self::Plain(Box::new(What::Unreadable(error))),
        }
    }

    fn of_icmp(icmp: Icmp<'_>, rows: &mut Rows) -> Self {
        let bare = Icmp {
            quoted: None,
            ..icmp
        };
        let Some(quoted) = icmp.quoted else {
            return Self::Icmp(bare);
        };
        let part = rows.keep(quoted.payload);
        let quoted = Quoted {
            payload: &[],
            ..quoted
        };
        Self::IcmpError(bare, Box::new((quoted, part)))
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
            Self::Tcp(at) => What::Tcp(*rows.streams.tcp.get(*at)?),
            Self::Tls(at) => {
                let tls = rows.streams.tls.get(*at)?;
                What::Tls(TlsEvent::Item {
                    stream: tls.stream,
                    context: tls.context,
                    what: whole_tls(tls, rows),
                })
            }
            Self::Dtls(at) => What::Dtls(DtlsEvent {
                item: whole_dtls(rows.streams.dtls.get(*at)?, rows),
            }),
            Self::Keepalive => What::NatKeepalive,
            &Self::Esp {
                spi,
                sequence,
                len,
                over,
            } => What::Esp {
                spi,
                sequence,
                len,
                over,
            },
            Self::Plain(what) => **what,
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
