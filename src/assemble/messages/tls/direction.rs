//! One direction: its octets cut into records.

use vpnscope_dissectors::tls::{
    self, Alert, ContentType, HandshakeType, Record, Ssl2ClientHello, Version,
};
use vpnscope_dissectors::{ParseError, Reason};

use super::{FRAMES_KEPT, Item, Shared, What};
use crate::assemble::tcp::Party;

/// What is read at the moment.
#[derive(Debug, Default)]
pub(super) enum State {
    /// The first octets of the stream.
    #[default]
    Start,
    /// A record header, so many of its octets.
    Header([u8; 5], usize),
    /// The fragment of a record.
    Body(Body),
    /// An SSL 2.0 message, so many octets in all.
    Ssl2(Vec<u8>, usize),
    /// The place in the stream is lost: look for a record.
    Lost,
    /// The stream is not TLS.
    Foreign,
}

#[derive(Debug)]
pub(super) struct Body {
    pub(super) content_type: ContentType,
    pub(super) version: Version,
    pub(super) length: u16,
    pub(super) left: usize,
    /// The octets, where they are wanted.
    pub(super) octets: Vec<u8>,
    pub(super) kept: bool,
    pub(super) cut: bool,
}

#[derive(Debug, Default)]
pub(super) struct Direction {
    pub(super) state: State,
    /// Whether the stream was seen from its first octet.
    pub(super) from_start: bool,
    /// Frames of the record at hand.
    pub(super) frames: Vec<u64>,
    /// Handshake octets in clear that make no whole message yet.
    pub(super) message: Vec<u8>,
    /// Frames of that message.
    pub(super) message_frames: Vec<u64>,
    /// Octets to pass by of a message that is too long.
    pub(super) skip: usize,
    /// A `ChangeCipherSpec` was sent.
    pub(super) changed: bool,
    /// A record was read.
    pub(super) read_any: bool,
}

impl Direction {
    pub(super) const fn is_lost(&self) -> bool {
        matches!(self.state, State::Foreign | State::Lost)
    }

    pub(super) fn held(&self) -> usize {
        let state = match &self.state {
            State::Body(body) => body.octets.len(),
            State::Ssl2(octets, _) => octets.len(),
            _ => 0,
        };
        state + self.message.len() + 8 * (self.frames.len() + self.message_frames.len())
    }

    pub(super) fn rest(&mut self) {
        if let State::Body(body) = &mut self.state {
            body.octets.shrink_to_fit();
        }
        self.message.shrink_to_fit();
        self.frames.shrink_to_fit();
        self.message_frames.shrink_to_fit();
    }

    pub(super) fn octets(
        &mut self,
        from: Party,
        frame: u64,
        mut octets: &[u8],
        shared: &mut Shared,
        sink: &mut impl FnMut(&Item<'_>),
    ) {
        while !octets.is_empty() {
            octets = match &mut self.state {
                State::Start => self.start(octets),
                State::Header(..) => self.header(from, frame, octets, shared, sink),
                State::Body(_) => self.body(from, frame, octets, shared, sink),
                State::Ssl2(..) => self.ssl2(from, frame, octets, shared, sink),
                State::Lost => {
                    // A record that starts with a segment and fits what is there.
                    if tls::recognise(octets) == vpnscope_dissectors::Verdict::NotOurs {
                        return;
                    }
                    self.state = State::Header([0; 5], 0);
                    octets
                }
                State::Foreign => return,
            };
        }
    }

    fn start<'o>(&mut self, octets: &'o [u8]) -> &'o [u8] {
        self.state = match octets.first() {
            Some(0x80..) => State::Ssl2(Vec::new(), 2),
            _ => State::Header([0; 5], 0),
        };
        octets
    }

    fn note_frame(&mut self, frame: u64) {
        if self.frames.last() != Some(&frame) && self.frames.len() < FRAMES_KEPT {
            self.frames.push(frame);
        }
    }

    fn header<'o>(
        &mut self,
        from: Party,
        frame: u64,
        octets: &'o [u8],
        shared: &mut Shared,
        sink: &mut impl FnMut(&Item<'_>),
    ) -> &'o [u8] {
        let State::Header(header, have) = &mut self.state else {
            return &[];
        };
        let take = (5 - *have).min(octets.len());
        let (part, rest) = octets.split_at(take);
        for (slot, octet) in header.iter_mut().skip(*have).zip(part) {
            *slot = *octet;
        }
        *have += take;
        let (header, have) = (*header, *have);
        self.note_frame(frame);
        // The first octets tell whether it is a record at all.
        if let Some(error) = fault_in(header, have) {
            self.foreign(from, frame, octets, error, shared, sink);
            return &[];
        }
        if have < 5 {
            return rest;
        }
        let [content_type, major, minor, high, low] = header;
        let length = u16::from_be_bytes([high, low]);
        let content_type = ContentType(content_type);
        let kept = match content_type {
            ContentType::ALERT => length == 2,
            ContentType::HANDSHAKE => {
                !self.changed || shared.is_tls13() || shared.context.version.is_none()
            }
            ContentType::CHANGE_CIPHER_SPEC => length <= 8,
            _ => false,
        };
        self.state = State::Body(Body {
            content_type,
            version: Version(u16::from_be_bytes([major, minor])),
            length,
            left: usize::from(length),
            octets: Vec::new(),
            kept,
            cut: false,
        });
        if length == 0 {
            self.end_of_record(from, shared, sink);
        }
        rest
    }

    /// What should have been a record is none.
    fn foreign(
        &mut self,
        from: Party,
        frame: u64,
        octets: &[u8],
        error: ParseError,
        shared: &mut Shared,
        sink: &mut impl FnMut(&Item<'_>),
    ) {
        let at_start = self.from_start && !self.read_any;
        let frames = [frame];
        if at_start || !shared.recognised {
            self.state = State::Foreign;
            if shared.recognised {
                let first = octets.get(..octets.len().min(64)).unwrap_or_default();
                sink(&Item {
                    from,
                    frames: &frames,
                    context: shared.context,
                    what: What::NotTls(first),
                });
            }
            return;
        }
        self.state = State::Lost;
        self.frames.clear();
        self.give_up_message(from, shared, sink);
        sink(&Item {
            from,
            frames: &frames,
            context: shared.context,
            what: What::Unreadable(error),
        });
    }

    fn body<'o>(
        &mut self,
        from: Party,
        frame: u64,
        octets: &'o [u8],
        shared: &mut Shared,
        sink: &mut impl FnMut(&Item<'_>),
    ) -> &'o [u8] {
        self.note_frame(frame);
        let State::Body(body) = &mut self.state else {
            return &[];
        };
        let take = body.left.min(octets.len());
        let (part, rest) = octets.split_at(take);
        body.left -= take;
        if body.kept && !body.cut {
            body.octets.extend_from_slice(part);
        }
        if body.left == 0 {
            self.end_of_record(from, shared, sink);
        }
        rest
    }

    fn end_of_record(
        &mut self,
        from: Party,
        shared: &mut Shared,
        sink: &mut impl FnMut(&Item<'_>),
    ) {
        let state = std::mem::replace(&mut self.state, State::Header([0; 5], 0));
        let State::Body(body) = state else { return };
        let frames = std::mem::take(&mut self.frames);
        self.read_any = true;
        let clear = self.is_clear(&body, shared);
        if !shared.recognised {
            // The start of a stream must be a hello; elsewhere the record was recognised.
            let is_hello = clear && matches!(body.octets.first(), Some(1 | 2));
            let is_start = self.from_start && from == Party::Opener;
            if is_start && !(is_hello && body.content_type == ContentType::HANDSHAKE) {
                self.state = State::Foreign;
                return;
            }
            shared.recognised = true;
        }
        shared.records = shared.records.saturating_add(1);
        let give = |sink: &mut dyn FnMut(&Item<'_>), what: What<'_>| {
            sink(&Item {
                from,
                frames: &frames,
                context: shared.context,
                what,
            });
        };
        give(
            sink,
            What::Record {
                content_type: body.content_type,
                version: body.version,
                length: body.length,
                clear,
                cut: body.cut,
            },
        );
        match body.content_type {
            ContentType::CHANGE_CIPHER_SPEC => {
                self.changed = true;
                if self.message.is_empty() {
                    // What follows is encrypted, and nothing of it is gathered.
                    self.message = Vec::new();
                    self.message_frames = Vec::new();
                }
            }
            ContentType::ALERT if clear => {
                if let Ok(alert) = Alert::parse(&body.octets) {
                    give(sink, What::Alert(alert));
                }
            }
            ContentType::HANDSHAKE if clear => {
                for frame in &frames {
                    if self.message_frames.last() != Some(frame)
                        && self.message_frames.len() < FRAMES_KEPT
                    {
                        self.message_frames.push(*frame);
                    }
                }
                self.join(from, &body, shared, sink);
            }
            _ => {}
        }
    }

    /// Whether a record is in clear.
    fn is_clear(&self, body: &Body, shared: &Shared) -> bool {
        match body.content_type {
            ContentType::CHANGE_CIPHER_SPEC => true,
            ContentType::ALERT => body.length == 2,
            ContentType::HANDSHAKE => {
                if self.from_start && !self.changed {
                    return true;
                }
                if !self.message.is_empty() && !self.changed {
                    return true;
                }
                let knows = shared.context.version.is_some();
                if self.changed && knows && !shared.is_tls13() {
                    return false;
                }
                looks_clear(&body.octets, usize::from(body.length))
            }
            _ => false,
        }
    }

    pub(super) fn gap(
        &mut self,
        from: Party,
        len: usize,
        shared: &mut Shared,
        sink: &mut impl FnMut(&Item<'_>),
    ) {
        if let State::Body(body) = &mut self.state
            && len <= body.left
        {
            body.left -= len;
            body.cut = true;
            if body.left == 0 {
                self.end_of_record(from, shared, sink);
            }
            return;
        }
        if matches!(self.state, State::Foreign) {
            return;
        }
        let state = std::mem::replace(&mut self.state, State::Lost);
        if let State::Body(body) = state
            && body.content_type == ContentType::HANDSHAKE
            && self.is_clear(&body, shared)
            && shared.recognised
        {
            self.message.extend_from_slice(&body.octets);
        }
        self.from_start = false;
        self.frames.clear();
        if shared.recognised {
            self.give_up_message(from, shared, sink);
        }
    }

    fn ssl2<'o>(
        &mut self,
        from: Party,
        frame: u64,
        octets: &'o [u8],
        shared: &mut Shared,
        sink: &mut impl FnMut(&Item<'_>),
    ) -> &'o [u8] {
        self.note_frame(frame);
        let State::Ssl2(held, need) = &mut self.state else {
            return &[];
        };
        let take = need.saturating_sub(held.len()).min(octets.len());
        let (part, rest) = octets.split_at(take);
        held.extend_from_slice(part);
        if held.len() < *need {
            return rest;
        }
        if let [high, low] = held[..] {
            // Two octets of length, then the message.
            *need = 2 + usize::from(u16::from_be_bytes([high & 0x7f, low]));
            if *need < 11 || *need > 4096 {
                self.state = State::Foreign;
            }
            return rest;
        }
        let held = std::mem::take(held);
        let frames = std::mem::take(&mut self.frames);
        if let Ok(hello) = Ssl2ClientHello::parse(&held) {
            self.state = State::Header([0; 5], 0);
            self.read_any = true;
            shared.recognised = true;
            shared.records = shared.records.saturating_add(1);
            sink(&Item {
                from,
                frames: &frames,
                context: shared.context,
                what: What::Ssl2Hello(hello),
            });
        } else {
            self.state = State::Foreign;
        }
        rest
    }
}

/// Whether a handshake record looks like one in clear: a hello, or messages that fill it.
fn looks_clear(octets: &[u8], length: usize) -> bool {
    match *octets {
        [1 | 2, 0, _, _, 3 | 0x7f, ..] => true,
        [message_type, a, b, c, ..] => {
            let known = HandshakeType::KNOWN.contains(&HandshakeType(message_type));
            let declared = u32::from_be_bytes([0, a, b, c]);
            known && usize::try_from(declared).is_ok_and(|declared| declared + 4 == length)
        }
        _ => false,
    }
}

/// What is wrong with the first `have` octets of a record header.
fn fault_in(header: [u8; 5], have: usize) -> Option<ParseError> {
    let fault = |offset, text| Some(ParseError::new("TLS record", offset, Reason::Invalid(text)));
    let [content_type, major, ..] = header;
    if have >= 1 && !(20..=24).contains(&content_type) {
        return fault(0, "no content type of TLS");
    }
    if have >= 2 && major != 3 {
        return fault(1, "no version of TLS");
    }
    if have >= 5 {
        return Record::size(&header).err();
    }
    None
}
