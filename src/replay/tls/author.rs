//! What one end of TLS or DTLS says.

use vpnscope_dissectors::tls::HandshakeType;

use super::{HANDSHAKE, Tls};
use crate::replay::conversation::{Channel, Side};
use crate::replay::player::{Awaits, Outgoing};
use crate::replay::settings::{Substitution, Variation};

impl Tls {
    /// Fills the queue with what is said next.
    pub(super) fn author(&mut self) {
        self.heard.clear();
        if self.role == Side::Gateway {
            self.answer();
            return;
        }
        let place = self.ours.first().and_then(|list| list.first()).copied();
        let Some(hello) = &self.hello else {
            // A malformed ClientHello is sent as it was recorded.
            let list = self.ours.first().cloned().unwrap_or_default();
            let last = list.len().saturating_sub(1);
            for (number, place) in list.into_iter().enumerate() {
                self.verbatim(place, number == last);
            }
            return;
        };
        let body = hello.encode();
        let size = self.settings.variations.iter().find_map(|v| match v {
            Variation::FragmentSize(size) => Some(*size),
            _ => None,
        });
        let records = if self.dtls {
            self.dtls_records(&body, size.unwrap_or(Self::FRAGMENT))
        } else {
            vec![self.tls_records(&body, size.unwrap_or(16_384))]
        };
        let last = records.len().saturating_sub(1);
        for (number, octets) in records.into_iter().enumerate() {
            self.queue.push_back(Outgoing {
                channel: Channel::Primary,
                octets,
                recorded: place,
                awaits: if number < last {
                    Awaits::Rest
                } else {
                    Awaits::Answer
                },
            });
        }
    }

    /// Datagrams that are known again.
    pub(super) const KNOWN: usize = 64;

    /// Octets of a ClientHello in one DTLS record: fits every path.
    const FRAGMENT: usize = 1200;

    fn tls_records(&self, body: &[u8], size: usize) -> Vec<u8> {
        let mut message = vec![HandshakeType::CLIENT_HELLO.0];
        message.extend(u24(body.len()));
        message.extend(body);
        let mut octets = Vec::new();
        for chunk in message.chunks(size.max(1)) {
            octets.push(HANDSHAKE);
            octets.extend(self.version.to_be_bytes());
            octets.extend(u16::try_from(chunk.len()).unwrap_or(u16::MAX).to_be_bytes());
            octets.extend(chunk);
        }
        octets
    }

    fn dtls_records(&mut self, body: &[u8], size: usize) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        let mut offset = 0;
        for chunk in body.chunks(size.max(1)) {
            let mut fragment = vec![HandshakeType::CLIENT_HELLO.0];
            fragment.extend(u24(body.len()));
            fragment.extend(self.message_seq.to_be_bytes());
            fragment.extend(u24(offset));
            fragment.extend(u24(chunk.len()));
            fragment.extend(chunk);
            datagrams.push(self.dtls_record(HANDSHAKE, &fragment));
            offset += chunk.len();
        }
        datagrams
    }

    pub(super) fn dtls_record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut record = vec![kind];
        record.extend(self.version.to_be_bytes());
        record.extend(self.record_seq.to_be_bytes());
        record.extend(
            u16::try_from(content.len())
                .unwrap_or(u16::MAX)
                .to_be_bytes(),
        );
        record.extend(content);
        if self.settings.does(Substitution::RecordSequence) {
            self.record_seq += 1;
        }
        record
    }

    fn verbatim(&mut self, place: usize, last: bool) {
        if let Some(message) = self.recording.messages.get(place) {
            self.queue.push_back(Outgoing {
                channel: Channel::Primary,
                octets: message.octets.clone(),
                recorded: Some(place),
                awaits: if last { Awaits::Answer } else { Awaits::Rest },
            });
        }
    }

    /// The recorded server's flight.
    fn answer(&mut self) {
        let list = self.ours.get(self.at).cloned().unwrap_or_default();
        for place in list {
            let Some(message) = self.recording.messages.get(place) else {
                continue;
            };
            let mut octets = message.octets.clone();
            if !self.dtls && self.settings.does(Substitution::Random) {
                repeat_session_id(&mut octets, &self.session_id);
            }
            self.queue.push_back(Outgoing {
                channel: Channel::Primary,
                octets,
                recorded: Some(place),
                awaits: Awaits::Nothing,
            });
        }
        self.at += 1;
    }
}

fn u24(value: usize) -> [u8; 3] {
    let [_, a, b, c] = u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
    [a, b, c]
}

/// Puts the live client's session id where the recorded server repeated the recorded one.
///
/// Only where the lengths are equal, as in the compatibility mode of TLS 1.3 (RFC 8446 §D.4),
/// in which a client insists on it.
fn repeat_session_id(octets: &mut [u8], live: &[u8]) {
    // Record header 5, handshake header 4, version 2, random 32, then the length.
    const AT: usize = 43;
    let is_hello = octets.first() == Some(&HANDSHAKE) && octets.get(5) == Some(&2);
    let fits = octets
        .get(AT)
        .is_some_and(|len| usize::from(*len) == live.len());
    if is_hello
        && fits
        && let Some(place) = octets.get_mut(AT + 1..AT + 1 + live.len())
    {
        place.copy_from_slice(live);
    }
}
