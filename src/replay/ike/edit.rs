//! An IKE message taken apart for changes, and put together again with its lengths and its
//! chain of next payloads right.

use vpnscope_dissectors::ike::{Header, Message, Spi};

/// One payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Its type.
    pub(super) kind: u8,
    /// The octet with the critical bit, as recorded.
    pub(super) reserved: u8,
    /// What follows the generic header.
    pub(super) body: Vec<u8>,
}

/// A message that can be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) header: Header,
    pub(super) parts: Vec<Part>,
    /// What the last payload names as next: 0, but for encrypted payloads.
    last_next: u8,
    /// What could not be read as payloads: sent as it was recorded, with the recorded lengths,
    /// for a malformed message is often the very thing to reproduce.
    rest: Vec<u8>,
    malformed: bool,
}

impl Edit {
    /// Takes a message apart. `None` where there is not even a header.
    pub(super) fn new(octets: &[u8]) -> Option<Self> {
        let message = Message::parse(octets).ok()?;
        let mut payloads = message.payloads();
        let mut parts = Vec::new();
        let mut last_next = 0;
        let mut malformed = message.length_fault.is_some() || message.trailing > 0;
        for payload in payloads.by_ref() {
            let Ok(raw) = payload else {
                malformed = true;
                break;
            };
            last_next = raw.next_payload;
            parts.push(Part {
                kind: raw.payload_type,
                reserved: raw.reserved,
                body: raw.body.to_vec(),
            });
        }
        let rest = if malformed {
            parts.clear();
            octets.get(Header::LEN..).unwrap_or_default().to_vec()
        } else {
            payloads.rest().to_vec()
        };
        Some(Self {
            header: message.header,
            parts,
            last_next,
            rest,
            malformed,
        })
    }

    /// Whether it is sent as recorded but for its header.
    pub(super) const fn is_malformed(&self) -> bool {
        self.malformed
    }

    /// Puts it together.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (index, part) in self.parts.iter().enumerate() {
            let next = self
                .parts
                .get(index + 1)
                .map_or(self.last_next, |part| part.kind);
            let length = u16::try_from(part.body.len() + 4).unwrap_or(u16::MAX);
            body.extend([next, part.reserved]);
            body.extend(length.to_be_bytes());
            body.extend(&part.body);
        }
        body.extend(&self.rest);
        let mut header = self.header;
        if !self.malformed {
            header.length = u32::try_from(Header::LEN + body.len()).unwrap_or(u32::MAX);
            if let Some(first) = self.parts.first() {
                header.next_payload = first.kind;
            }
        }
        let mut octets = header_octets(&header);
        octets.extend(body);
        octets
    }

    /// The first payload of a type.
    pub(super) fn first_mut(&mut self, kind: u8) -> Option<&mut Part> {
        self.parts.iter_mut().find(|part| part.kind == kind)
    }

    /// Sets the SPIs.
    pub(super) const fn set_spis(&mut self, initiator: Spi, responder: Spi) {
        self.header.initiator_spi = initiator;
        self.header.responder_spi = responder;
    }
}

fn header_octets(header: &Header) -> Vec<u8> {
    let mut octets = Vec::with_capacity(Header::LEN);
    octets.extend(header.initiator_spi.0.to_be_bytes());
    octets.extend(header.responder_spi.0.to_be_bytes());
    octets.extend([
        header.next_payload,
        header.version,
        header.exchange_type,
        header.flags.0,
    ]);
    octets.extend(header.message_id.to_be_bytes());
    octets.extend(header.length.to_be_bytes());
    octets
}
