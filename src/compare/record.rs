//! What one vantage point saw: a line for every datagram that can be found again elsewhere.
//!
//! A record's key is made of what address translation leaves alone: for IKE the header (SPIs,
//! exchange, flags, message ID, length; of IKEv1 the first octets too), for ESP the SPI and the sequence number, for
//! everything else over UDP the payload, for TCP the sequence number, flags and payload.

use std::hash::BuildHasher;
use std::rc::Rc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use vpnscope_dissectors::{Verdict, esp, ike, natt};

use super::Room;
use crate::assemble::ip::{self, Datagram};
use crate::decap::{Content, Envelope, Flow, Icmp, Segment, Tcp, decap};
use crate::source::Frame;
use crate::time::{Span, Timestamp};
use crate::track::Stamp;

/// The same octets within this time are copies of one datagram.
const COPY: Span = Span::from_millis(20);
/// Octets of a payload that a key is made of: more may be cut off by a snaplen.
const PREFIX: usize = 64;

/// What a record is, as far as the comparison cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// An IP fragment; its datagram is a record of its own where it became whole.
    Fragment,
    /// An IKE message, or one fragment of it (RFC 7383).
    Ike {
        /// Number and total where it is an encrypted fragment.
        part: Option<(u16, u16)>,
    },
    /// An ESP packet.
    Esp {
        /// SPI.
        spi: u32,
        /// Sequence number.
        sequence: u32,
    },
    /// Any other UDP datagram.
    Udp,
    /// A TCP segment that carries data or a flag.
    Tcp {
        /// Flags (RFC 9293 §3.1).
        flags: u8,
        /// Octets of data.
        len: u32,
    },
    /// An ICMP error.
    Icmp {
        /// Type.
        icmp_type: u8,
        /// Code.
        code: u8,
    },
}

/// One datagram as one vantage point saw it.
#[derive(Debug, Clone)]
pub struct Record {
    /// Frame and time; the capture is the number of the vantage point.
    pub at: Stamp,
    /// Frames of its fragments, where there were several.
    pub frames: Vec<u64>,
    /// Addresses and ports here.
    pub flow: Flow,
    /// IP protocol.
    pub protocol: u8,
    /// TTL here.
    pub ttl: u8,
    /// Octets of the IP datagram.
    pub ip_len: u32,
    /// Fragments it came in.
    pub fragments: u16,
    /// MSS option of a SYN.
    pub mss: Option<u16>,
    /// What it is.
    pub what: What,
    /// What it is found by.
    pub key: u64,
    /// Digest of all its octets, where none were cut off.
    pub digest: Option<u64>,
    /// Copies of it that followed at once.
    pub copies: u32,
}

/// Collects the records of one vantage point.
#[derive(Debug)]
pub struct Recorder {
    records: Vec<Record>,
    latest: HashMap<u64, usize, foldhash::fast::RandomState>,
    fragments: ip::Assembler,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    beyond: u64,
    room: Rc<Room>,
}

impl Recorder {
    /// Nothing yet, of one of two points.
    pub fn new() -> Self {
        Self::within(Room::share(2))
    }

    /// Nothing yet; what there is no room for is counted.
    pub fn within(room: Rc<Room>) -> Self {
        Self {
            room,
            records: Vec::new(),
            latest: HashMap::default(),
            fragments: ip::Assembler::new(ip::Config::default()),
            first: None,
            last: None,
            beyond: 0,
        }
    }

    /// Takes a frame.
    pub fn frame(&mut self, frame: &Frame<'_>) {
        self.first = Some(self.first.map_or(frame.time, |t| t.min(frame.time)));
        self.last = Some(self.last.map_or(frame.time, |t| t.max(frame.time)));
        self.fragments.advance(frame.time);
        while self.fragments.poll().is_some() {}
        let segment = decap(frame);
        if matches!(segment.content, Content::Fragment(_)) {
            self.segment(&segment, &[]);
            if let Some(datagram) = self.fragments.handle(&segment) {
                self.datagram(&datagram);
            }
        } else {
            self.segment(&segment, &[]);
        }
    }

    fn datagram(&mut self, datagram: &Datagram) {
        let frames: Vec<u64> = datagram.pieces().iter().map(|piece| piece.frame).collect();
        self.segment(&datagram.segment(), &frames);
    }

    fn segment(&mut self, segment: &Segment<'_>, frames: &[u64]) {
        let Some(seen) = identify(segment) else {
            return;
        };
        let envelope = &segment.envelope;
        let at = Stamp::from(envelope);
        if let Some(known) = self
            .latest
            .get(&seen.key)
            .and_then(|index| self.records.get_mut(*index))
            && (at.time - known.at.time).0.abs() <= COPY.0
        {
            known.copies += 1;
            return;
        }
        if !self.room.take_record() {
            self.beyond += 1;
            return;
        }
        if self.records.len() == self.records.capacity() {
            // By a quarter: there may be very many.
            self.records.reserve_exact(64 + self.records.len() / 4);
        }
        self.latest.insert(seen.key, self.records.len());
        self.records.push(Record {
            at,
            frames: frames.to_vec(),
            flow: envelope.flow(),
            protocol: envelope.protocol,
            ttl: envelope.ttl,
            ip_len: envelope.ip_len,
            fragments: envelope.fragments,
            mss: seen.mss,
            what: seen.what,
            key: seen.key,
            digest: seen.digest,
            copies: 0,
        });
    }

    /// Ends the recording.
    pub fn finish(self) -> Recording {
        Recording {
            records: self.records,
            span: self.first.zip(self.last),
            beyond: self.beyond,
        }
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

/// Everything one vantage point saw.
#[derive(Debug)]
pub struct Recording {
    /// In the order of the capture.
    pub records: Vec<Record>,
    /// First and last frame's times, of whatever frames.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Datagrams beyond the bound.
    pub beyond: u64,
}

struct Identity {
    what: What,
    key: u64,
    digest: Option<u64>,
    mss: Option<u16>,
}

fn hash(what: &impl std::hash::Hash) -> u64 {
    FixedState::default().hash_one(what)
}

fn prefix(octets: &[u8]) -> &[u8] {
    octets.get(..PREFIX).unwrap_or(octets)
}

fn identify(segment: &Segment<'_>) -> Option<Identity> {
    let envelope = &segment.envelope;
    match segment.content {
        Content::Udp {
            payload,
            payload_len,
        } => Some(datagram(envelope, payload, payload_len)),
        Content::Tcp(tcp) => stream(envelope, &tcp),
        Content::Icmp(icmp) => error(&icmp),
        Content::Ip {
            payload,
            payload_len,
        } if envelope.protocol == 50 => sealed(envelope, payload, payload_len),
        Content::Fragment(part) => Some(Identity {
            what: What::Fragment,
            key: hash(&(
                b'f',
                part.protocol,
                part.offset,
                part.more,
                part.payload_len,
                prefix(part.payload),
            )),
            digest: None,
            mss: None,
        }),
        _ => None,
    }
}

fn whole(envelope: &Envelope, octets: &[u8]) -> Option<u64> {
    (!envelope.truncated).then(|| hash(&octets))
}

fn datagram(envelope: &Envelope, payload: &[u8], len: u32) -> Identity {
    let natt = envelope.source_port == 4500 || envelope.destination_port == 4500;
    let body = payload
        .strip_prefix(&natt::NON_ESP_MARKER)
        .unwrap_or(payload);
    let known = natt || envelope.source_port == 500 || envelope.destination_port == 500;
    let verdict = ike::recognise(body);
    let is_ike = verdict == Verdict::Certain
        || known && body.len() < payload.len()
        || known && !natt && verdict == Verdict::Unsure;
    if is_ike && let Ok(header) = ike::Header::parse(body) {
        // Next payload 53 is an encrypted fragment: number and total follow its header.
        let part = body
            .get(32..36)
            .filter(|_| body.get(16) == Some(&53))
            .and_then(|o| <[u8; 4]>::try_from(o).ok())
            .map(|[a, b, c, d]| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])));
        // IKEv1 has no flag for the direction, and both ends' messages may be equally long.
        let own = (header.version >> 4 == 1).then(|| prefix(body));
        return Identity {
            what: What::Ike { part },
            key: hash(&(b'i', body.get(..28), part, header.length, own)),
            digest: whole(envelope, body),
            mss: None,
        };
    }
    if natt && let Some(identity) = sealed(envelope, payload, len).filter(|_| payload.len() > 8) {
        return identity;
    }
    Identity {
        what: What::Udp,
        key: hash(&(b'u', prefix(payload), len)),
        digest: whole(envelope, payload),
        mss: None,
    }
}

fn sealed(envelope: &Envelope, payload: &[u8], len: u32) -> Option<Identity> {
    let packet = esp::Packet::parse(payload).ok()?;
    Some(Identity {
        what: What::Esp {
            spi: packet.spi,
            sequence: packet.sequence,
        },
        key: hash(&(b'e', packet.spi, packet.sequence, len)),
        digest: whole(envelope, payload),
        mss: None,
    })
}

fn stream(envelope: &Envelope, tcp: &Tcp<'_>) -> Option<Identity> {
    let marks = tcp.flags & (Tcp::SYN | Tcp::FIN | Tcp::RST);
    if marks == 0 && tcp.payload_len == 0 {
        return None;
    }
    Some(Identity {
        what: What::Tcp {
            flags: tcp.flags,
            len: tcp.payload_len,
        },
        key: hash(&(
            b't',
            tcp.sequence,
            marks,
            tcp.payload_len,
            prefix(tcp.payload),
        )),
        digest: whole(envelope, tcp.payload),
        mss: (marks & Tcp::SYN != 0).then(|| mss(tcp.options)).flatten(),
    })
}

/// The MSS option (kind 2, length 4; RFC 9293 §3.7.1).
fn mss(mut options: &[u8]) -> Option<u16> {
    loop {
        match options {
            [2, 4, high, low, ..] => return Some(u16::from_be_bytes([*high, *low])),
            [1, rest @ ..] => options = rest,
            [kind, len, ..] if *kind != 0 && *len >= 2 => {
                options = options.get(usize::from(*len)..)?;
            }
            _ => return None,
        }
    }
}

fn error(icmp: &Icmp<'_>) -> Option<Identity> {
    let quoted = icmp.quoted?;
    Some(Identity {
        what: What::Icmp {
            icmp_type: icmp.icmp_type,
            code: icmp.code,
        },
        key: hash(&(
            b'c',
            icmp.icmp_type,
            icmp.code,
            icmp.mtu,
            quoted.protocol,
            quoted.ip_len,
            prefix(quoted.payload),
        )),
        digest: None,
        mss: None,
    })
}

#[cfg(test)]
mod tests {
    use super::mss;

    #[test]
    fn the_mss_option_is_found_behind_others() {
        assert_eq!(mss(&[1, 1, 4, 2, 2, 4, 0x05, 0xb4]), Some(1460));
        assert_eq!(mss(&[1, 1, 0, 2, 4, 0x05, 0xb4]), None);
        assert_eq!(
            mss(&[3, 0, 2, 4, 0x05, 0xb4]),
            None,
            "a length of 0 ends it"
        );
        assert_eq!(mss(&[8, 200]), None);
    }
}
