//! From a capture to one recorded [`Conversation`].
//!
//! The capture is read twice: once through the walk, which numbers the sessions as `analyze`
//! does, and once for the octets of the chosen one, which the tracker does not keep.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use vpnscope_dissectors::{ike, natt};

use super::conversation::{Channel, Conversation, Message, Protocol, Side, Transport};
use crate::assemble::messages::cisco_ike;
use crate::assemble::{ip, tcp_ike};
use crate::decap::{Content, Envelope, Segment, Tcp, decap};
use crate::source::{Frame, FrameSource, SourceError};
use crate::time::{Span, Timestamp};
use crate::track::session::Kind;
use crate::track::{self, Change, Session};
use crate::walk::{Last, Walk};

mod stream;

use stream::Stream;

/// Messages of one conversation that are kept.
const MESSAGES: usize = 2048;
/// Octets of one conversation that are kept.
const OCTETS: usize = 4 << 20;
/// Same octets within this time are copies made by a span port.
const COPIES: Span = Span::from_millis(20);

/// Why no conversation could be had.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The capture cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is nothing in it.
    #[error("the capture holds no VPN session")]
    Empty,
    /// The number is wrong.
    #[error("there is no session {wanted}; the capture holds {}", list(known))]
    NoSuchSession {
        /// The number asked for.
        wanted: u32,
        /// The sessions there are.
        known: Vec<(u32, &'static str)>,
    },
    /// None was chosen and there are several.
    #[error(
        "the capture holds several sessions, choose one with --session: {}",
        list(known)
    )]
    Ambiguous {
        /// The sessions there are.
        known: Vec<(u32, &'static str)>,
    },
    /// Its protocol cannot be replayed.
    #[error("session {id} is of kind {kind}, which cannot be replayed{why}")]
    Unsupported {
        /// The session.
        id: u32,
        /// Its kind.
        kind: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// Its octets are not there.
    #[error(
        "session {0} has no message that can be replayed: its octets are not in the capture, or travel inside something else"
    )]
    NoOctets(u32),
}

fn list(known: &[(u32, &'static str)]) -> String {
    const SHOWN: usize = 12;
    let mut text = known
        .iter()
        .take(SHOWN)
        .map(|(id, kind)| format!("{id} ({kind})"))
        .collect::<Vec<_>>()
        .join(", ");
    if known.len() > SHOWN {
        let _ = write!(text, " and {} more", known.len() - SHOWN);
    }
    text
}

/// Octets of sessions that are held; beyond, only the wanted one is.
const HELD: usize = 96 << 20;

/// Every session of a capture that the walk numbers, by number.
pub fn sessions(source: &mut impl FrameSource) -> Vec<Session> {
    let walk = Walk::new(ip::Config::default(), track::Config::default());
    sessions_and(source, None, walk)
}

/// The sessions of a capture, by number: as many as there is room for, and the wanted one.
pub fn sessions_and(
    source: &mut impl FrameSource,
    wanted: Option<u32>,
    mut walk: Walk,
) -> Vec<Session> {
    let mut sessions = Vec::new();
    let mut held = 0;
    let mut keep = |change: Change| {
        let Change::Closed(session) = change else {
            return;
        };
        if held < HELD || wanted == Some(session.id) {
            held += session.octets();
            sessions.push(*session);
        }
    };
    while let Some(frame) = source.next_frame() {
        walk.frame(&frame);
        while let Some(change) = walk.poll() {
            keep(change);
        }
    }
    walk.finish_each(&mut |last| {
        if let Last::PushedOut(change) = last {
            keep(change);
        }
    });
    while let Some(change) = walk.poll() {
        keep(change);
    }
    sessions.sort_by_key(|session| session.id);
    sessions
}

/// Chooses a session: the one with this number, or the only one that can be replayed.
pub fn choose(sessions: &[Session], wanted: Option<u32>) -> Result<&Session, RecordingError> {
    let known: Vec<_> = sessions.iter().map(|s| (s.id, s.kind.word())).collect();
    if let Some(wanted) = wanted {
        return sessions
            .iter()
            .find(|session| session.id == wanted)
            .ok_or(RecordingError::NoSuchSession { wanted, known });
    }
    let mut able = sessions
        .iter()
        .filter(|session| protocol(session.kind).is_ok());
    match (able.next(), able.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(RecordingError::Ambiguous { known }),
        (None, _) => match sessions {
            [] => Err(RecordingError::Empty),
            [only, ..] => {
                protocol(only.kind)
                    .map(|_| only)
                    .map_err(|why| RecordingError::Unsupported {
                        id: only.id,
                        kind: only.kind.word(),
                        why,
                    })
            }
        },
    }
}

fn protocol(kind: Kind) -> Result<Protocol, &'static str> {
    match kind {
        Kind::Ikev1 => Ok(Protocol::Ikev1),
        Kind::Ikev2 => Ok(Protocol::Ikev2),
        Kind::L2tp => Ok(Protocol::L2tp),
        Kind::Tls | Kind::TlsVpn => Ok(Protocol::Tls),
        Kind::Dtls => Ok(Protocol::Dtls),
        Kind::Esp => Err(": keys and anti-replay refuse it, so nothing would be learned"),
        Kind::Pppoe | Kind::Dns | Kind::Radius => Err(""),
    }
}

/// Reads the octets of `session` from its capture, read from the start again.
pub fn read(
    source: &mut impl FrameSource,
    session: &Session,
) -> Result<Conversation, RecordingError> {
    let unsupported = |why| RecordingError::Unsupported {
        id: session.id,
        kind: session.kind.word(),
        why,
    };
    let protocol = protocol(session.kind).map_err(unsupported)?;
    let conversation = extract(source, &Selection::of(session, protocol));
    if conversation.messages.is_empty() {
        return Err(RecordingError::NoOctets(session.id));
    }
    Ok(conversation)
}

/// Which messages of a capture are one conversation.
#[derive(Debug, Clone)]
pub struct Selection {
    /// In which protocol.
    pub protocol: Protocol,
    /// Its number.
    pub session: u32,
    /// Who began.
    pub client: SocketAddr,
    /// Its peer.
    pub gateway: SocketAddr,
    /// The frames of its messages, where every one of them is known; addresses may move then.
    pub frames: Option<HashSet<u64>>,
    /// The first frame and the last.
    pub range: (u64, u64),
}

impl Selection {
    fn of(session: &Session, protocol: Protocol) -> Self {
        let named = matches!(protocol, Protocol::Ikev1 | Protocol::Ikev2);
        let frames = session
            .steps
            .iter()
            .flat_map(|step| {
                let sightings = step.sightings().map(track::Stamp::frame);
                sightings.chain(step.frames.iter().copied())
            })
            .collect();
        Self {
            protocol,
            session: session.id,
            client: SocketAddr::new(session.client.ip, session.client.port),
            gateway: SocketAddr::new(session.gateway.ip, session.gateway.port),
            frames: named.then_some(frames),
            range: (session.first.frame(), session.last.frame()),
        }
    }
}

/// Reads the octets of a conversation.
pub fn extract(source: &mut impl FrameSource, selection: &Selection) -> Conversation {
    let mut reader = Reader::new(selection.clone());
    let mut fragments = ip::Assembler::new(ip::Config::default());
    while let Some(frame) = source.next_frame() {
        reader.frame(&frame, &mut fragments);
    }
    reader.conversation
}

/// Picks the datagrams of one session.
struct Reader {
    selection: Selection,
    octets: usize,
    streams: [Stream; 2],
    frames: [Frames; 2],
    pieces: cisco_ike::Assembler,
    conversation: Conversation,
}

/// IKE in one direction of a TCP connection, from its first octet.
struct Frames(tcp_ike::Stream);

impl Default for Frames {
    fn default() -> Self {
        Self(tcp_ike::Stream::new(true))
    }
}

impl Reader {
    fn new(selection: Selection) -> Self {
        Self {
            octets: 0,
            streams: Default::default(),
            pieces: cisco_ike::Assembler::default(),
            frames: Default::default(),
            conversation: Conversation {
                protocol: selection.protocol,
                transport: selection.protocol.transport(),
                session: selection.session,
                client: selection.client,
                gateway: selection.gateway,
                messages: Vec::new(),
            },
            selection,
        }
    }

    fn frame(&mut self, frame: &Frame<'_>, fragments: &mut ip::Assembler) {
        let segment = decap(frame);
        if matches!(segment.content, Content::Fragment(_)) {
            if let Some(datagram) = fragments.handle(&segment) {
                self.segment(&datagram.segment());
            }
            // What never became whole cannot be played.
            while fragments.poll().is_some() {}
        } else {
            self.segment(&segment);
        }
    }

    fn segment(&mut self, segment: &Segment<'_>) {
        let envelope = &segment.envelope;
        let (first, last) = self.selection.range;
        let ours = self
            .selection
            .frames
            .as_ref()
            .map_or((first..=last).contains(&envelope.frame), |frames| {
                frames.contains(&envelope.frame)
            });
        if let Content::Tcp(tcp) = segment.content
            && self.conversation.protocol.is_ike()
        {
            // Not every segment is named by the session: some hold ESP, or pieces.
            // The session begins where its first message is whole.
            if envelope.frame <= last
                && let Some(from) = self.end(envelope)
            {
                if tcp.has(Tcp::SYN) && envelope.frame <= first {
                    self.frames = Default::default();
                    self.conversation.messages.clear();
                }
                self.framed(envelope, from, &tcp);
            }
            return;
        }
        let Some(from) = self.side(envelope).filter(|_| ours) else {
            return;
        };
        match segment.content {
            Content::Udp { payload, .. } if self.conversation.transport == Transport::Datagrams => {
                let named = self.selection.frames.is_some();
                let (channel, octets) = unmark(envelope, payload, named);
                self.datagram(envelope, from, channel, octets);
            }
            Content::Tcp(tcp) if self.conversation.transport == Transport::Stream => {
                self.tcp(envelope, from, &tcp);
            }
            _ => {}
        }
    }

    /// Who sent it; `None` where it is of another conversation.
    fn side(&self, envelope: &Envelope) -> Option<Side> {
        let source = SocketAddr::new(envelope.source, envelope.source_port);
        let destination = SocketAddr::new(envelope.destination, envelope.destination_port);
        let (client, gateway) = (self.conversation.client, self.conversation.gateway);
        if self.selection.frames.is_some() && client.ip() != gateway.ip() {
            // The session named the frame; ports and even addresses may have moved.
            return if source.ip() == gateway.ip() || destination.ip() == client.ip() {
                Some(Side::Gateway)
            } else if source.ip() == client.ip() || destination.ip() == gateway.ip() {
                Some(Side::Client)
            } else {
                None
            };
        }
        self.end(envelope)
    }

    /// Who sent it, by addresses and ports.
    fn end(&self, envelope: &Envelope) -> Option<Side> {
        let source = SocketAddr::new(envelope.source, envelope.source_port);
        let destination = SocketAddr::new(envelope.destination, envelope.destination_port);
        let (client, gateway) = (self.conversation.client, self.conversation.gateway);
        if (source, destination) == (client, gateway) {
            Some(Side::Client)
        } else if (source, destination) == (gateway, client) {
            Some(Side::Gateway)
        } else {
            None
        }
    }

    fn room(&mut self, octets: usize) -> bool {
        let fits = self.octets.saturating_add(octets) <= OCTETS
            && self.conversation.messages.len() < MESSAGES;
        if fits {
            self.octets += octets;
        }
        fits
    }

    /// A datagram; one that is a piece of an IKEv1 message waits for the others.
    fn datagram(&mut self, envelope: &Envelope, from: Side, channel: Channel, octets: &[u8]) {
        match ike::Message::parse(octets) {
            Ok(piece) if cisco_ike::fragment(&piece).is_some() => {
                let whole = self.pieces.handle(envelope, &[envelope.frame], &piece);
                if let Some(whole) = whole {
                    self.message(envelope, from, channel, &whole.octets);
                }
            }
            _ => self.message(envelope, from, channel, octets),
        }
    }

    fn message(&mut self, envelope: &Envelope, from: Side, channel: Channel, octets: &[u8]) {
        let same = |m: &&mut Message| m.from == from && m.channel == channel && m.octets == octets;
        let known = self
            .conversation
            .messages
            .iter_mut()
            .rev()
            .take(64)
            .find(same);
        if let Some(known) = known {
            let last = known.repeats.last().copied().unwrap_or(known.time);
            if envelope.time - last > COPIES {
                known.repeats.push(envelope.time);
            }
            return;
        }
        if self.room(octets.len()) {
            let message = message(envelope, from, channel, octets);
            self.conversation.messages.push(message);
        }
    }

    fn take(&mut self, from: Side, tcp: &Tcp<'_>) -> Vec<u8> {
        let [client, gateway] = &mut self.streams;
        match from {
            Side::Client => client.take(tcp),
            Side::Gateway => gateway.take(tcp),
        }
    }

    /// IKE in a stream, with a length before each message (RFC 9329 §3).
    fn framed(&mut self, envelope: &Envelope, from: Side, tcp: &Tcp<'_>) {
        let said = self.take(from, tcp);
        let [client, gateway] = &mut self.frames;
        let stream = match from {
            Side::Client => client,
            Side::Gateway => gateway,
        };
        let (frame, time) = (envelope.frame, envelope.time);
        stream.0.push(&said, tcp_ike::Mark { frame, time });
        let mut whole = Vec::new();
        while let Some(message) = stream.0.next_message() {
            if let tcp_ike::Carried::Ike(octets) = message.carried {
                whole.push(octets.to_vec());
            }
        }
        for octets in whole {
            self.conversation.transport = Transport::Framed;
            self.datagram(envelope, from, Channel::Primary, &octets);
        }
    }

    fn tcp(&mut self, envelope: &Envelope, from: Side, tcp: &Tcp<'_>) {
        let said = self.take(from, tcp);
        if said.is_empty() || !self.room(said.len()) {
            return;
        }
        match self.conversation.messages.last_mut() {
            Some(last) if last.from == from => {
                last.octets.extend_from_slice(&said);
                last.frame = Some(envelope.frame);
            }
            _ => {
                let message = message(envelope, from, Channel::Primary, &said);
                self.conversation.messages.push(message);
            }
        }
    }
}

fn unmark<'a>(envelope: &Envelope, payload: &'a [u8], is_ike: bool) -> (Channel, &'a [u8]) {
    let natt = envelope.source_port == crate::dissect::NATT_PORT
        || envelope.destination_port == crate::dissect::NATT_PORT;
    match payload.strip_prefix(&natt::NON_ESP_MARKER) {
        Some(rest) if is_ike => (Channel::Natt, rest),
        _ if natt && is_ike => (Channel::Natt, payload),
        _ => (Channel::Primary, payload),
    }
}

fn message(envelope: &Envelope, from: Side, channel: Channel, octets: &[u8]) -> Message {
    Message {
        from,
        time: envelope.time,
        frame: Some(envelope.frame),
        channel,
        source: SocketAddr::new(envelope.source, envelope.source_port),
        destination: SocketAddr::new(envelope.destination, envelope.destination_port),
        octets: octets.to_vec(),
        fragments: envelope.fragments,
        repeats: Vec::<Timestamp>::new(),
    }
}
