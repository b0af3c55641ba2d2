//! What one end of TLS or DTLS said in one go, put together: whole handshake messages, alerts
//! in clear, and how much is encrypted.

use std::collections::BTreeMap;

use vpnscope_dissectors::dtls;
use vpnscope_dissectors::tls::{Alert, ContentType, HandshakeType, Handshakes, Records, Version};

/// The longest handshake message that is put together.
const LONGEST: usize = 1 << 18;

/// Everything said in one go.
#[derive(Debug, Clone, Default)]
pub(in crate::replay) struct Flight {
    /// Whole handshake messages in clear, in order.
    pub(in crate::replay) handshakes: Vec<(HandshakeType, Vec<u8>)>,
    /// Alerts in clear.
    pub(in crate::replay) alerts: Vec<Alert>,
    /// `ChangeCipherSpec` was said.
    pub(in crate::replay) changed: bool,
    /// Octets of encrypted records.
    pub(in crate::replay) hidden: usize,
    /// The version of the first record.
    pub(in crate::replay) version: Option<Version>,
    /// Whether nothing of it is missing.
    pub(in crate::replay) whole: bool,
    /// Octets that are no record.
    pub(in crate::replay) foreign: bool,
}

impl Flight {
    /// From octets of a stream.
    pub(in crate::replay) fn tls(octets: &[u8]) -> Self {
        let mut flight = Self::default();
        let mut joined = Vec::new();
        let mut records = Records::new(octets);
        let mut cut = false;
        // Octets of a hello that stands in clear after ChangeCipherSpec and goes on.
        let mut clear = 0;
        for record in records.by_ref() {
            let Ok(record) = record else {
                cut = true;
                break;
            };
            flight.version.get_or_insert(record.version);
            match record.content_type {
                ContentType::HANDSHAKE
                    if !flight.changed || clear > 0 || hello(&record.fragment).is_some() =>
                {
                    let whole = hello(&record.fragment).filter(|_| flight.changed && clear == 0);
                    clear = whole.unwrap_or(clear).saturating_sub(record.fragment.len());
                    joined.extend(record.fragment.iter());
                }
                ContentType::ALERT if !flight.changed && record.fragment.len() == 2 => {
                    flight.alerts.extend(Alert::parse(&record.fragment));
                }
                ContentType::CHANGE_CIPHER_SPEC => flight.changed = true,
                _ => flight.hidden += record.fragment.len(),
            }
        }
        let mut messages = Handshakes::new(&joined);
        for message in messages.by_ref().flatten() {
            let body = message.body.to_vec();
            flight.handshakes.push((message.message_type, body));
        }
        flight.whole = !cut && messages.rest().is_empty();
        flight.foreign = flight.version.is_none() && !could_begin(octets);
        flight
    }

    /// From datagrams.
    pub(in crate::replay) fn dtls<'a>(datagrams: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut flight = Self::default();
        let mut pieces: BTreeMap<u16, Pieces> = BTreeMap::new();
        for datagram in datagrams {
            for record in dtls::Records::new(datagram, None).flatten() {
                match record {
                    dtls::Record::Plain(record) => flight.plain(&record, &mut pieces),
                    dtls::Record::Unified(record) => flight.hidden += record.ciphertext.len(),
                }
            }
        }
        let first = pieces.keys().next().copied().unwrap_or_default();
        flight.whole = (first..).zip(pieces.keys()).all(|(a, b)| a == *b)
            && pieces.values().all(Pieces::is_whole);
        flight.foreign = flight.version.is_none() && flight.hidden == 0;
        flight.handshakes = pieces
            .into_values()
            .filter(Pieces::is_whole)
            .map(|pieces| (pieces.kind, pieces.octets))
            .collect();
        flight
    }

    fn plain(&mut self, record: &dtls::PlainRecord<'_>, pieces: &mut BTreeMap<u16, Pieces>) {
        self.version.get_or_insert(record.version);
        if record.epoch > 0 {
            self.hidden += record.fragment.len();
            return;
        }
        match record.content_type {
            ContentType::HANDSHAKE => {
                for fragment in dtls::Fragments::new(&record.fragment).flatten() {
                    let known = pieces.len() < 64 || pieces.contains_key(&fragment.message_seq);
                    let length = usize::try_from(fragment.length).unwrap_or(usize::MAX);
                    if !known || length > LONGEST {
                        continue;
                    }
                    pieces
                        .entry(fragment.message_seq)
                        .or_insert_with(|| Pieces::new(fragment.message_type, length))
                        .add(&fragment);
                }
            }
            ContentType::ALERT => self.alerts.extend(Alert::parse(&record.fragment)),
            ContentType::CHANGE_CIPHER_SPEC => self.changed = true,
            _ => self.hidden += record.fragment.len(),
        }
    }

    /// The first whole message of a type.
    pub(in crate::replay) fn get(&self, kind: HandshakeType) -> Option<&[u8]> {
        self.handshakes
            .iter()
            .find(|(this, _)| *this == kind)
            .map(|(_, body)| body.as_slice())
    }
}

/// The length of the hello that begins here in clear. In the compatibility mode of TLS 1.3 the
/// second ClientHello and the ServerHello after it follow a `ChangeCipherSpec` that changes nothing
/// (RFC 8446 §D.4).
fn hello(octets: &[u8]) -> Option<usize> {
    let &[1 | 2, 0, high, low, 3, 3, ..] = octets else {
        return None;
    };
    let whole = usize::from(u16::from_be_bytes([high, low])) + 4;
    (whole >= octets.len() && octets.len() >= 38).then_some(whole)
}

/// Whether more octets could make it a record.
fn could_begin(octets: &[u8]) -> bool {
    let kind = octets.first().is_none_or(|kind| (20..=24).contains(kind));
    kind && octets.get(1).is_none_or(|major| *major == 3) && octets.len() < 5
}

/// A message that arrives in fragments.
struct Pieces {
    kind: HandshakeType,
    octets: Vec<u8>,
    known: Vec<bool>,
}

impl Pieces {
    fn new(kind: HandshakeType, length: usize) -> Self {
        Self {
            kind,
            octets: vec![0; length],
            known: vec![false; length],
        }
    }

    fn add(&mut self, fragment: &dtls::Fragment<'_>) {
        let start = usize::try_from(fragment.fragment_offset).unwrap_or(usize::MAX);
        let places = self.octets.iter_mut().zip(&mut self.known).skip(start);
        for ((place, known), octet) in places.zip(fragment.body.iter()) {
            *place = *octet;
            *known = true;
        }
    }

    fn is_whole(&self) -> bool {
        self.known.iter().all(|known| *known)
    }
}
