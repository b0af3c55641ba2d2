//! DTLS messages from fragments that come in any order, twice, or not at all.
//!
//! Takes datagrams, gives records, fragments, whole handshake messages in clear, and what is
//! missing of those that never became whole. **Overlaps**: octets that arrived first stay.
//! Keeps for each association only the messages that are not complete yet, and a note of the
//! last ones that were.

use vpnscope_dissectors::dtls::{
    self, ChangeCipherSpec, Fragment, Fragments, PlainRecord, Record, Records, UnifiedRecord,
};
use vpnscope_dissectors::tls::{
    Alert, ClientHello, ContentType, Context, HandshakeType, ServerHello, Version,
};
use vpnscope_dissectors::{Octets, ParseError, Verdict};

use super::super::Hints;
use crate::decap::Flow;
use crate::tables::{Boxes, Keyed};
use crate::time::{Span, Timestamp};

mod message;
mod order;

use message::{Insertion, Partial};
use order::Order;

/// Budgets.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Associations that are known at a time.
    pub associations: usize,
    /// Octets of incomplete messages that are held at a time, of all of them.
    pub octets: usize,
    /// How long an association is remembered without a datagram.
    pub idle: Span,
    /// Who is who, where an association is seen from its middle.
    pub hints: Hints,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            associations: 100_000,
            octets: 32 << 20,
            idle: Span::from_secs(3600),
            hints: Hints::default(),
        }
    }
}

/// Something in a datagram.
#[derive(Debug, Clone, Copy)]
pub enum What<'a> {
    /// A record with the header of DTLS 1.2 and before.
    Record(PlainRecord<'a>),
    /// A record of DTLS 1.3 that is encrypted.
    Unified(UnifiedRecord<'a>),
    /// A fragment in clear; again where all its octets were there before.
    Fragment {
        /// It.
        fragment: Fragment<'a>,
        /// All of it was seen before.
        again: bool,
    },
    /// A handshake message in clear that is whole.
    Message {
        /// Its type.
        message_type: HandshakeType,
        /// Its number in the handshake.
        message_seq: u16,
        /// What is after its header.
        body: &'a [u8],
        /// The frames it was in.
        frames: &'a [u64],
        /// How many fragments it came in.
        fragments: u32,
    },
    /// A handshake message that never became whole.
    Incomplete {
        /// Its type.
        message_type: HandshakeType,
        /// Its number in the handshake.
        message_seq: u16,
        /// Its declared length.
        length: u32,
        /// Octets of it that were seen.
        seen: u32,
        /// The frames they were in.
        frames: &'a [u64],
    },
    /// An alert in clear.
    Alert(Alert),
    /// `ChangeCipherSpec`.
    ChangeCipherSpec(ChangeCipherSpec),
    /// What follows in the datagram, or in a record, cannot be read.
    Unreadable(ParseError),
}

/// Something in a datagram, and of which association.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// The capture.
    pub capture: u16,
    /// Number of the association, from 1, never used twice.
    pub association: u64,
    /// From the client to the server.
    pub flow: Flow,
    /// Whether the roles follow from a hello.
    pub roles_known: bool,
    /// Whether the client sent it.
    pub from_client: bool,
    /// What is known of the handshake.
    pub context: Context,
    /// What.
    pub what: What<'a>,
}

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Associations let go of early because there were too many, or too much was held.
    pub evicted: u64,
    /// Messages let go of early because too many of one direction were incomplete.
    pub messages: u64,
}

/// All associations.
#[derive(Debug)]
pub struct Assembler {
    config: Config,
    table: Boxes<Association>,
    numbers: u64,
    next_sweep: Timestamp,
    held: usize,
    counters: Counters,
}

#[derive(Debug)]
struct Association {
    capture: u16,
    number: u64,
    /// From the client to the server.
    flow: Flow,
    roles_known: bool,
    last: Timestamp,
    context: Context,
    client: Direction,
    server: Direction,
    /// The random of the client's hello.
    random: Option<[u8; 32]>,
    order: Order,
}

impl Keyed for Association {
    /// Its capture, and its flow from the lower end.
    type Key<'a> = (u16, Flow);

    fn key(&self) -> (u16, Flow) {
        (self.capture, ordered(&self.flow))
    }

    fn is(&self, (capture, flow): &(u16, Flow)) -> bool {
        self.capture == *capture && (self.flow == *flow || self.flow.reversed() == *flow)
    }
}

/// What a datagram is to the associations that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Nothing of ours.
    NotOurs,
    /// Something must have come before it.
    Early,
    /// It begins a handshake where no association is known.
    First,
    /// It may be what comes next.
    Ready,
}

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    partial: Vec<Partial>,
    done: Vec<Done>,
    /// Length of the connection id in the records that this direction sends.
    id_len: Option<u16>,
    /// Incomplete messages that were let go of.
    dropped: u32,
}

/// A message that was whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Done {
    message_type: HandshakeType,
    /// Big-endian, as it stands in the message.
    length: [u8; 3],
    message_seq: u16,
}

impl Done {
    const fn new(message_type: HandshakeType, message_seq: u16, length: u32) -> Self {
        let [_, length @ ..] = length.to_be_bytes();
        Self {
            message_type,
            length,
            message_seq,
        }
    }
}

/// What is known of a handshake that begins.
const DTLS: Context = Context {
    is_dtls: true,
    version: None,
    suite: None,
};

/// Messages that may be incomplete at the same time, in one direction.
const PARTIAL_KEPT: usize = 16;
/// Messages that are remembered as whole.
const DONE_KEPT: usize = 24;
/// A message longer than this is passed by.
const LONGEST_MESSAGE: u32 = 192 << 10;

impl Assembler {
    /// An assembler that knows nothing yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            table: Boxes::default(),
            numbers: 0,
            next_sweep: Timestamp(i64::MIN),
            held: 0,
            counters: Counters::default(),
        }
    }

    /// What happened so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The capture goes on under another number.
    pub fn go_on(&mut self, capture: u16) {
        for mut association in self.table.take() {
            association.capture = capture;
            self.table.remove(&association.key());
            self.table.insert(association);
        }
    }

    /// Whether no association is followed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether a datagram is of ours: recognised, or of an association that is known and
    /// recognised with its help.
    pub fn wants(&self, capture: u16, flow: &Flow, payload: &[u8]) -> bool {
        match dtls::recognise(payload) {
            Verdict::Certain => true,
            Verdict::Unsure => self.table.get(&(capture, ordered(flow))).is_some(),
            Verdict::NotOurs => false,
        }
    }

    /// Takes a datagram and gives what is in it to `sink`. `false` where it is none of ours.
    pub fn handle(
        &mut self,
        capture: u16,
        flow: &Flow,
        frame: u64,
        time: Timestamp,
        payload: &[u8],
        sink: &mut impl FnMut(&Item<'_>),
    ) -> bool {
        let key = (capture, ordered(flow));
        if self.look(&key, flow, payload) == Look::NotOurs {
            return false;
        }
        self.put(&key, flow, (frame, time), payload, sink);
        true
    }

    /// What a datagram is to the associations that are known.
    pub fn look(&self, key: &(u16, Flow), flow: &Flow, payload: &[u8]) -> Look {
        let verdict = dtls::recognise(payload);
        if verdict == Verdict::NotOurs {
            return Look::NotOurs;
        }
        let Some(association) = self.table.get(key) else {
            return match verdict {
                Verdict::Certain if order::opens(payload) => Look::First,
                Verdict::Certain => Look::Early,
                _ => Look::NotOurs,
            };
        };
        if association.is_early(flow, payload) {
            Look::Early
        } else {
            Look::Ready
        }
    }

    /// The order of an association's datagrams cannot be told: none of them waits.
    pub fn give_up_order(&mut self, key: &(u16, Flow)) {
        if let Some(association) = self.table.get_mut(key) {
            association.order.give_up();
        }
    }

    /// Takes a datagram of ours, in a frame and of a time, and gives what is in it to `sink`.
    pub fn put(
        &mut self,
        key: &(u16, Flow),
        flow: &Flow,
        (frame, time): (u64, Timestamp),
        payload: &[u8],
        sink: &mut impl FnMut(&Item<'_>),
    ) {
        let (association, known) = match self.table.get_mut(key) {
            Some(association) => (association, true),
            None => {
                self.open(*key, flow, time, payload, sink);
                match self.table.get_mut(key) {
                    Some(association) => (association, false),
                    None => return,
                }
            }
        };
        association.last = association.last.max(time);
        let before = association.held();
        let renewed = association.is_new_hello(flow, payload);
        if renewed {
            association.close(sink);
            self.numbers += 1;
            association.renew(self.numbers, flow);
        }
        association.datagram(flow, frame, payload, sink);
        let before = if known { before } else { 0 };
        self.held = (self.held + association.held()).saturating_sub(before);
        self.counters.messages += association.take_dropped();
        if self.held > self.config.octets {
            self.evict(sink);
        }
    }

    fn open(
        &mut self,
        key: (u16, Flow),
        flow: &Flow,
        time: Timestamp,
        payload: &[u8],
        sink: &mut impl FnMut(&Item<'_>),
    ) {
        if self.table.len() >= self.config.associations {
            self.evict(sink);
        }
        self.numbers += 1;
        let (from_client, roles_known) = match first_message(payload) {
            Some(HandshakeType::CLIENT_HELLO) => (true, true),
            Some(HandshakeType::SERVER_HELLO | HandshakeType::HELLO_VERIFY_REQUEST) => {
                (false, true)
            }
            _ => {
                let hinted = self.config.hints.from_client(flow);
                (hinted.unwrap_or(flow.source.1 > flow.destination.1), false)
            }
        };
        let association = Association {
            capture: key.0,
            number: self.numbers,
            flow: if from_client { *flow } else { flow.reversed() },
            roles_known,
            last: time,
            context: DTLS,
            client: Direction::default(),
            server: Direction::default(),
            random: None,
            order: Order::default(),
        };
        self.table.insert(Box::new(association));
    }

    /// Lets go of the sixteenth of the associations that was quiet for longest.
    fn evict(&mut self, sink: &mut impl FnMut(&Item<'_>)) {
        let mut all: Vec<_> = self
            .table
            .iter()
            .map(|association| (association.last, association.number, association.key()))
            .collect();
        all.sort_unstable();
        let count = (all.len() / 16).max(1);
        for (_, _, key) in all.into_iter().take(count) {
            self.counters.evicted += 1;
            self.close(&key, sink);
        }
    }

    fn close(&mut self, key: &(u16, Flow), sink: &mut impl FnMut(&Item<'_>)) {
        if let Some(mut association) = self.table.remove(key) {
            self.held = self.held.saturating_sub(association.held());
            association.close(sink);
        }
    }

    /// When [`Assembler::advance`] has something to do.
    pub const fn next_deadline(&self) -> Timestamp {
        self.next_sweep
    }

    /// Lets go of what was quiet for too long.
    pub fn advance(&mut self, now: Timestamp, sink: &mut impl FnMut(&Item<'_>)) {
        const SWEEP: Span = Span::from_secs(10);
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + SWEEP;
        let limit = now - self.config.idle;
        self.close_where(|association| association.last <= limit, sink);
    }

    /// Ends everything: the capture ended.
    pub fn finish(&mut self, sink: &mut impl FnMut(&Item<'_>)) {
        self.close_where(|_| true, sink);
    }

    fn close_where(
        &mut self,
        is_over: impl Fn(&Association) -> bool,
        sink: &mut impl FnMut(&Item<'_>),
    ) {
        let mut over: Vec<_> = self
            .table
            .iter()
            .filter(|association| is_over(association))
            .map(|association| (association.number, association.key()))
            .collect();
        over.sort_unstable();
        for (_, key) in over {
            self.close(&key, sink);
        }
    }
}

/// Whether a datagram may be of an association, where one is about to begin.
pub fn may_be(payload: &[u8]) -> bool {
    dtls::recognise(payload) != Verdict::NotOurs
}

/// The same for both directions.
pub fn ordered(flow: &Flow) -> Flow {
    if flow.is_ordered() {
        *flow
    } else {
        flow.reversed()
    }
}

/// The first handshake message in clear of a datagram.
fn first_message(payload: &[u8]) -> Option<HandshakeType> {
    clear_fragments(payload)
        .map(|fragment| fragment.message_type)
        .next()
}

/// The handshake fragments in clear of a datagram.
fn clear_fragments(payload: &[u8]) -> impl Iterator<Item = Fragment<'_>> {
    Records::new(payload, None)
        .map_while(Result::ok)
        .filter_map(|record| match record {
            Record::Plain(record) if is_clear_handshake(&record) => Some(record.fragment.0),
            _ => None,
        })
        .flat_map(|octets| Fragments::new(octets).map_while(Result::ok))
}

const fn is_clear_handshake(record: &PlainRecord<'_>) -> bool {
    matches!(record.content_type, ContentType::HANDSHAKE) && record.epoch == 0
}

impl Association {
    fn held(&self) -> usize {
        size_of::<Self>() + self.client.held() + self.server.held()
    }

    /// Incomplete messages let go of since the last call.
    fn take_dropped(&mut self) -> u64 {
        let directions = [&mut self.client, &mut self.server];
        let dropped = directions.map(|direction| std::mem::take(&mut direction.dropped));
        dropped.into_iter().map(u64::from).sum()
    }

    fn direction(&mut self, from_client: bool) -> &mut Direction {
        if from_client {
            &mut self.client
        } else {
            &mut self.server
        }
    }

    /// A first ClientHello with another random than the last: the client began anew on the
    /// same ports.
    fn is_new_hello(&self, flow: &Flow, payload: &[u8]) -> bool {
        let Some(known) = self.random else {
            return false;
        };
        if flow.source != self.flow.source && self.roles_known {
            return false;
        }
        clear_fragments(payload)
            .find(|fragment| {
                fragment.message_type == HandshakeType::CLIENT_HELLO
                    && fragment.message_seq == 0
                    && fragment.fragment_offset == 0
            })
            .and_then(|fragment| fragment.body.0.get(2..)?.first_chunk::<32>().copied())
            .is_some_and(|random| random != known)
    }

    fn renew(&mut self, number: u64, flow: &Flow) {
        self.number = number;
        self.flow = *flow;
        self.roles_known = true;
        self.context = DTLS;
        self.client = Direction::default();
        self.server = Direction::default();
        self.random = None;
        self.order = Order::default();
    }

    /// Whether something must have come before a datagram.
    fn is_early(&self, flow: &Flow, payload: &[u8]) -> bool {
        let from_client = flow.source == self.flow.source;
        let direction = if from_client {
            &self.client
        } else {
            &self.server
        };
        self.order
            .is_early(from_client, payload, direction.id_len())
    }

    fn datagram(
        &mut self,
        flow: &Flow,
        frame: u64,
        payload: &[u8],
        sink: &mut impl FnMut(&Item<'_>),
    ) {
        let from_client = flow.source == self.flow.source;
        let (association, known, roles) = (self.number, self.flow, self.roles_known);
        let capture = self.capture;
        let mut give = |context: Context, what: What<'_>| {
            sink(&Item {
                capture,
                association,
                flow: known,
                roles_known: roles,
                from_client,
                context,
                what,
            });
        };
        let id_len = self.direction(from_client).id_len();
        for record in Records::new(payload, id_len) {
            if let Ok(record) = &record {
                self.order.note(from_client, record);
            }
            match record {
                Ok(Record::Plain(record)) => {
                    give(self.context, What::Record(record));
                    self.plain(from_client, frame, &record, &mut give);
                }
                Ok(Record::Unified(record)) => give(self.context, What::Unified(record)),
                Err(error) => give(self.context, What::Unreadable(error)),
            }
        }
    }

    fn plain(
        &mut self,
        from_client: bool,
        frame: u64,
        record: &PlainRecord<'_>,
        give: &mut impl FnMut(Context, What<'_>),
    ) {
        match record.content_type {
            ContentType::ALERT if record.fragment.len() == 2 => {
                if let Ok(alert) = Alert::parse(record.fragment.0) {
                    give(self.context, What::Alert(alert));
                }
            }
            ContentType::CHANGE_CIPHER_SPEC => match ChangeCipherSpec::parse(record.fragment.0) {
                Ok(change) => give(self.context, What::ChangeCipherSpec(change)),
                Err(error) => give(self.context, What::Unreadable(error)),
            },
            _ if is_clear_handshake(record) => {
                for fragment in Fragments::new(record.fragment.0) {
                    match fragment {
                        Ok(fragment) => self.fragment(from_client, frame, &fragment, give),
                        Err(error) => give(self.context, What::Unreadable(error)),
                    }
                }
            }
            _ => {}
        }
    }

    fn fragment(
        &mut self,
        from_client: bool,
        frame: u64,
        fragment: &Fragment<'_>,
        give: &mut impl FnMut(Context, What<'_>),
    ) {
        self.order.note_fragment(from_client, fragment);
        let context = self.context;
        let direction = self.direction(from_client);
        if direction.is_done(fragment) {
            give(
                context,
                What::Fragment {
                    fragment: *fragment,
                    again: true,
                },
            );
            return;
        }
        if fragment.length > LONGEST_MESSAGE {
            give(
                context,
                What::Fragment {
                    fragment: *fragment,
                    again: false,
                },
            );
            return;
        }
        if direction.takes_whole(fragment) {
            direction.note_done(fragment.message_type, fragment.message_seq, fragment.length);
            self.whole(from_client, frame, fragment, give);
            return;
        }
        let (index, insertion) = direction.insert(fragment, frame);
        give(
            context,
            What::Fragment {
                fragment: *fragment,
                again: insertion == Insertion::Nothing,
            },
        );
        if insertion != Insertion::Whole {
            return;
        }
        let partial = direction.partial.swap_remove(index);
        if direction.partial.is_empty() {
            // There may be no other one, and there are many directions.
            direction.partial = Vec::new();
        }
        direction.remember(&partial);
        let body = partial.body();
        let frames = partial.frames();
        self.learn(from_client, partial.message_type(), &body);
        give(
            self.context,
            What::Message {
                message_type: partial.message_type(),
                message_seq: partial.message_seq(),
                body: &body,
                frames: &frames,
                fragments: partial.fragments(),
            },
        );
    }

    /// A message in one fragment, as nearly all are: nothing is copied.
    fn whole(
        &mut self,
        from_client: bool,
        frame: u64,
        fragment: &Fragment<'_>,
        give: &mut impl FnMut(Context, What<'_>),
    ) {
        give(
            self.context,
            What::Fragment {
                fragment: *fragment,
                again: false,
            },
        );
        let body = fragment.body.0;
        self.learn(from_client, fragment.message_type, body);
        give(
            self.context,
            What::Message {
                message_type: fragment.message_type,
                message_seq: fragment.message_seq,
                body,
                frames: &[frame],
                fragments: 1,
            },
        );
    }

    /// Keeps of a hello what later records cannot be read without.
    fn learn(&mut self, from_client: bool, message_type: HandshakeType, body: &[u8]) {
        match message_type {
            HandshakeType::CLIENT_HELLO => {
                let Ok(hello) = ClientHello::parse_dtls(body) else {
                    return;
                };
                if from_client {
                    self.random = Some(*hello.random);
                }
                // What a hello names is what its sender wants to receive.
                self.server.id_len = hello.connection_id().map(len_of);
            }
            HandshakeType::SERVER_HELLO => {
                let Ok(hello) = ServerHello::parse(body) else {
                    return;
                };
                self.context.version = Some(hello.selected_version());
                self.context.suite = Some(hello.cipher_suite);
                let id_len = hello.connection_id().map(len_of);
                // DTLS 1.3 encrypts the server's answer to the extension.
                if hello.selected_version() != Version::DTLS_1_3 || id_len.is_some() {
                    self.client.id_len = id_len;
                }
            }
            _ => {}
        }
    }

    /// Gives what never became whole.
    fn close(&mut self, sink: &mut impl FnMut(&Item<'_>)) {
        for from_client in [true, false] {
            let (association, flow, roles_known) = (self.number, self.flow, self.roles_known);
            let mut partial = std::mem::take(&mut self.direction(from_client).partial);
            partial.sort_unstable_by_key(Partial::message_seq);
            for message in partial {
                let frames = message.frames();
                sink(&Item {
                    capture: self.capture,
                    association,
                    flow,
                    roles_known,
                    from_client,
                    context: self.context,
                    what: What::Incomplete {
                        message_type: message.message_type(),
                        message_seq: message.message_seq(),
                        length: message.length(),
                        seen: message.seen(),
                        frames: &frames,
                    },
                });
            }
        }
    }
}

/// Octets of a connection id, which an extension holds.
fn len_of(id: Octets<'_>) -> u16 {
    u16::try_from(id.len()).unwrap_or(u16::MAX)
}

impl Direction {
    fn id_len(&self) -> Option<usize> {
        self.id_len.map(usize::from)
    }

    fn held(&self) -> usize {
        self.partial.iter().map(Partial::held).sum()
    }

    fn is_done(&self, fragment: &Fragment<'_>) -> bool {
        let (message_type, message_seq) = (fragment.message_type, fragment.message_seq);
        self.done
            .contains(&Done::new(message_type, message_seq, fragment.length))
    }

    fn remember(&mut self, partial: &Partial) {
        self.note_done(
            partial.message_type(),
            partial.message_seq(),
            partial.length(),
        );
    }

    fn note_done(&mut self, message_type: HandshakeType, message_seq: u16, length: u32) {
        if self.done.len() >= DONE_KEPT {
            self.done.remove(0);
        }
        self.done.push(Done::new(message_type, message_seq, length));
    }

    /// Whether a fragment is a whole message of which no octet was seen before.
    fn takes_whole(&self, fragment: &Fragment<'_>) -> bool {
        fragment.fragment_offset == 0
            && fragment.fragment_length == fragment.length
            && u32::try_from(fragment.body.len()) == Ok(fragment.length)
            && !self.partial.iter().any(|partial| partial.is_of(fragment))
    }

    fn insert(&mut self, fragment: &Fragment<'_>, frame: u64) -> (usize, Insertion) {
        let known = self
            .partial
            .iter()
            .position(|partial| partial.is_of(fragment));
        let index = known.unwrap_or_else(|| {
            if self.partial.len() >= PARTIAL_KEPT {
                self.partial.remove(0);
                self.dropped += 1;
            }
            self.partial.push(Partial::new(fragment));
            self.partial.len() - 1
        });
        let insertion = self
            .partial
            .get_mut(index)
            .map_or(Insertion::Nothing, |partial| {
                partial.insert(fragment, frame)
            });
        (index, insertion)
    }
}

#[cfg(test)]
mod tests;
