//! An association: its records in order of arrival, and messages put together from fragments.

use vpnscope_dissectors::Octets;
use vpnscope_dissectors::dtls::{
    ChangeCipherSpec, Fragment, Fragments, PlainRecord, Record, Records,
};
use vpnscope_dissectors::tls::{
    Alert, ClientHello, ContentType, Context, HandshakeType, ServerHello, Version,
};

use super::direction::Direction;
use super::message::{Insertion, Partial};
use super::order::Order;
use super::{Item, What, ordered};
use crate::decap::Flow;
use crate::tables::Keyed;
use crate::time::Timestamp;

/// A message longer than this is passed by.
const LONGEST_MESSAGE: u32 = 192 << 10;

/// What is known of a handshake that begins.
pub(super) const DTLS: Context = Context {
    is_dtls: true,
    version: None,
    suite: None,
};

#[derive(Debug)]
pub(super) struct Association {
    pub(super) capture: u16,
    pub(super) number: u64,
    /// From the client to the server.
    pub(super) flow: Flow,
    pub(super) roles_known: bool,
    pub(super) last: Timestamp,
    pub(super) context: Context,
    pub(super) client: Direction,
    pub(super) server: Direction,
    /// The random of the client's hello.
    pub(super) random: Option<[u8; 32]>,
    pub(super) order: Order,
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

impl Association {
    pub(super) fn held(&self) -> usize {
        size_of::<Self>() + self.client.held() + self.server.held()
    }

    /// Incomplete messages let go of since the last call.
    pub(super) fn take_dropped(&mut self) -> u64 {
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
    pub(super) fn is_new_hello(&self, flow: &Flow, payload: &[u8]) -> bool {
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

    pub(super) fn renew(&mut self, number: u64, flow: &Flow) {
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
    pub(super) fn is_early(&self, flow: &Flow, payload: &[u8]) -> bool {
        let from_client = flow.source == self.flow.source;
        let direction = if from_client {
            &self.client
        } else {
            &self.server
        };
        self.order
            .is_early(from_client, payload, direction.id_len())
    }

    pub(super) fn datagram(
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
    pub(super) fn close(&mut self, sink: &mut impl FnMut(&Item<'_>)) {
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

/// The first handshake message in clear of a datagram.
pub(super) fn first_message(payload: &[u8]) -> Option<HandshakeType> {
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

/// Octets of a connection id, which an extension holds.
fn len_of(id: Octets<'_>) -> u16 {
    u16::try_from(id.len()).unwrap_or(u16::MAX)
}
