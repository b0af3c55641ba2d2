//! Which datagram of a handshake cannot be the next one: flights follow each other (RFC 6347
//! §4.2.4, RFC 9147 §5.7), and the records of one end are numbered.

use vpnscope_dissectors::dtls::{Fragment, PlainRecord, Record, Records};
use vpnscope_dissectors::tls::{ContentType, HandshakeType};

/// How far the handshake of an association is, as far as the order of what comes next follows
/// from it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Order {
    client: Progress,
    server: Progress,
    /// What something waited for did not come: nothing waits any more.
    given_up: bool,
}

/// How far one end is.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Something of it was seen.
    started: bool,
    epoch: u16,
    /// One beyond the highest record number of the epoch.
    next: u64,
    /// Number of the last hello, or of the demand for another one.
    hello: Option<u16>,
    /// The last hello of a server demands another one of the client.
    demands: bool,
    /// `ServerHelloDone`, or what a client answers it with.
    half_way: bool,
    changed: bool,
    /// Something encrypted was seen.
    encrypted: bool,
}

/// Records that may be missing before one that waits for them.
const NEAR: u64 = 32;

/// What a datagram begins with.
enum First {
    Hello(u16, HandshakeType),
    /// What a server that was shown the client's half begins its last flight with.
    Ticket,
    Handshake,
    Alert,
    Change,
    Encrypted,
    Unified(u8),
    Other,
}

impl First {
    fn of(record: &Record<'_>) -> Self {
        let record = match record {
            Record::Plain(record) => record,
            Record::Unified(record) => return Self::Unified(record.epoch_bits()),
        };
        if record.epoch > 0 {
            return Self::Encrypted;
        }
        match record.content_type {
            ContentType::HANDSHAKE => match Fragment::parse(record.fragment.0) {
                Ok(fragment) if is_hello(fragment.message_type) => {
                    Self::Hello(fragment.message_seq, fragment.message_type)
                }
                Ok(fragment) if fragment.message_type == HandshakeType::NEW_SESSION_TICKET => {
                    Self::Ticket
                }
                Ok(_) => Self::Handshake,
                Err(_) => Self::Other,
            },
            ContentType::ALERT => Self::Alert,
            ContentType::CHANGE_CIPHER_SPEC => Self::Change,
            _ => Self::Other,
        }
    }
}

fn is_hello(message_type: HandshakeType) -> bool {
    matches!(
        message_type,
        HandshakeType::CLIENT_HELLO
            | HandshakeType::SERVER_HELLO
            | HandshakeType::HELLO_VERIFY_REQUEST
    )
}

/// Whether a datagram begins a handshake.
pub(super) fn opens(payload: &[u8]) -> bool {
    let Some(Ok(record)) = Records::new(payload, None).next() else {
        return false;
    };
    matches!(
        First::of(&record),
        First::Hello(0, HandshakeType::CLIENT_HELLO)
    )
}

impl Order {
    /// Both ends have sent something encrypted: from here on nothing waits.
    const fn is_settled(&self) -> bool {
        self.given_up || (self.client.encrypted && self.server.encrypted)
    }

    /// Lets nothing wait from now on.
    pub(super) const fn give_up(&mut self) {
        self.given_up = true;
    }

    /// Whether something must have come before a datagram that did not come yet.
    pub(super) fn is_early(
        &self,
        from_client: bool,
        payload: &[u8],
        id_len: Option<usize>,
    ) -> bool {
        if self.is_settled() {
            return false;
        }
        let Some(Ok(record)) = Records::new(payload, id_len).next() else {
            return false;
        };
        let (own, peer) = if from_client {
            (&self.client, &self.server)
        } else {
            (&self.server, &self.client)
        };
        let first = First::of(&record);
        if let First::Hello(0, HandshakeType::CLIENT_HELLO) = first {
            return false;
        }
        // Messages in clear say themselves where they belong.
        let is_message = matches!(first, First::Hello(..) | First::Handshake);
        if let Record::Plain(record) = &record
            && !is_message
            && own.lacks(record)
        {
            return true;
        }
        if from_client {
            Self::client_waits(own, peer, &first)
        } else {
            Self::server_waits(own, peer, &first)
        }
    }

    fn client_waits(own: &Progress, server: &Progress, first: &First) -> bool {
        let answered = server.hello >= own.hello && server.hello.is_some();
        match first {
            First::Hello(number, _) => number.checked_sub(1) > server.hello,
            First::Handshake => !server.half_way && !own.half_way,
            First::Change => !own.half_way && !server.encrypted,
            First::Alert => !answered && own.started,
            First::Encrypted => !own.changed,
            First::Unified(2) => !server.encrypted,
            First::Unified(3) => !own.encrypted,
            First::Unified(_) | First::Ticket | First::Other => false,
        }
    }

    fn server_waits(own: &Progress, client: &Progress, first: &First) -> bool {
        // The rest of a handshake after its middle follows from what the client sent there.
        let second_half = own.half_way && !client.half_way && !client.encrypted;
        match first {
            First::Hello(number, _) => client.hello.is_some() && Some(*number) > client.hello,
            First::Ticket | First::Change => own.hello.is_none() || second_half,
            First::Alert => (own.demands && own.hello >= client.hello) || second_half,
            First::Encrypted => !own.changed,
            First::Unified(2) => own.hello.is_none() || own.demands,
            First::Unified(3) => !own.encrypted,
            First::Unified(_) | First::Handshake | First::Other => false,
        }
    }

    /// Notes a record.
    pub(super) fn note(&mut self, from_client: bool, record: &Record<'_>) {
        if self.is_settled() {
            return;
        }
        let own = if from_client {
            &mut self.client
        } else {
            &mut self.server
        };
        own.started = true;
        match record {
            Record::Plain(record) => own.note(record),
            Record::Unified(_) => own.encrypted = true,
        }
    }

    /// Notes a fragment in clear.
    pub(super) fn note_fragment(&mut self, from_client: bool, fragment: &Fragment<'_>) {
        let kind = fragment.message_type;
        let own = if from_client {
            &mut self.client
        } else {
            &mut self.server
        };
        if is_hello(kind) {
            let number = Some(fragment.message_seq);
            if number >= own.hello {
                own.hello = number;
                own.demands = kind == HandshakeType::HELLO_VERIFY_REQUEST || is_retry(fragment);
            }
        } else if from_client {
            own.half_way = true;
        } else {
            own.half_way |= kind == HandshakeType::SERVER_HELLO_DONE;
        }
    }
}

/// A `ServerHello` that asks for another `ClientHello` has a random of its own (RFC 9846
/// §4.2.3).
fn is_retry(fragment: &Fragment<'_>) -> bool {
    fragment.message_type == HandshakeType::SERVER_HELLO
        && vpnscope_dissectors::tls::ServerHello::parse(fragment.body.0)
            .is_ok_and(|hello| hello.is_hello_retry_request())
}

impl Progress {
    /// Whether the record before one is missing.
    fn lacks(&self, record: &PlainRecord<'_>) -> bool {
        self.started
            && record.epoch == self.epoch
            && record.sequence > self.next
            && record.sequence - self.next < NEAR
    }

    fn note(&mut self, record: &PlainRecord<'_>) {
        if record.epoch > self.epoch {
            (self.epoch, self.next) = (record.epoch, 0);
        }
        if record.epoch == self.epoch {
            self.next = self.next.max(record.sequence.saturating_add(1));
        }
        self.encrypted |= record.epoch > 0;
        self.changed |= record.content_type == ContentType::CHANGE_CIPHER_SPEC;
    }
}
