//! DTLS: records and handshake fragments (DTLS 1.0 RFC 4347, 1.2 RFC 6347, 1.3 RFC 9147,
//! connection ids RFC 9146, and the version `0x0100` of old AnyConnect).
//!
//! What comes in: one datagram. What goes out: [`record::Records`], and the
//! [`handshake::Fragment`]s in them. Putting fragments together is the caller's; the whole
//! messages are those of [`crate::tls`], which [`crate::tls::Message`] reads.

pub mod handshake;
pub mod record;

pub use handshake::{Ack, ChangeCipherSpec, Fragment, Fragments, RecordNumber};
pub use record::{PlainRecord, Record, Records, UnifiedRecord};

use crate::Verdict;
use crate::tls::{Handshake, HandshakeType, Version};

/// Whether a datagram is DTLS. Cheap: it looks at the first record and its fit in the
/// datagram. A DTLS 1.3 record without a handshake seen before is never more than unsure.
pub fn recognise(datagram: &[u8]) -> Verdict {
    match datagram.first() {
        Some(20..=27) => recognise_plain(datagram),
        Some(0x20..=0x3f) => recognise_unified(datagram),
        _ => Verdict::NotOurs,
    }
}

fn recognise_plain(datagram: &[u8]) -> Verdict {
    let Some((header, rest)) = datagram.split_first_chunk::<13>() else {
        return Verdict::NotOurs;
    };
    let &[content_type, v0, v1, e0, e1, _, _, _, _, _, _, l0, l1] = header;
    let version = Version(u16::from_be_bytes([v0, v1]));
    if !version.is_dtls() {
        return Verdict::NotOurs;
    }
    if content_type == 25 {
        // The connection id stands before the length and has any length.
        return match Records::new(datagram, None).next() {
            Some(Ok(_)) => Verdict::Unsure,
            _ => Verdict::NotOurs,
        };
    }
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let body = rest.get(..length).unwrap_or(rest);
    let follows = match rest.get(length..) {
        None => return truncated_plain(content_type, e0 | e1, body),
        Some([] | [0x20..=0x3f, ..]) => true,
        Some([20..=27, a, b, ..]) => Version(u16::from_be_bytes([*a, *b])).is_dtls(),
        Some(_) => false,
    };
    if !follows {
        return Verdict::NotOurs;
    }
    let is_clear = e0 | e1 == 0;
    match content_type {
        22 if is_clear => match Fragment::parse(body) {
            Ok(fragment) if is_plausible(&fragment) => Verdict::Certain,
            _ => Verdict::NotOurs,
        },
        20 if version == Version::DTLS_0_9 => fits(length == 3),
        20 => fits(length == 1),
        21 if is_clear => fits(length == 2),
        24 | 27 => Verdict::Unsure,
        _ if version == Version::DTLS_0_9 => Verdict::Unsure,
        _ => Verdict::Certain,
    }
}

fn fits(it_does: bool) -> Verdict {
    if it_does {
        Verdict::Certain
    } else {
        Verdict::NotOurs
    }
}

/// A record that runs past the end: a capture with a short snapshot length cuts so.
fn truncated_plain(content_type: u8, epoch: u8, body: &[u8]) -> Verdict {
    if content_type == 22 && epoch == 0 {
        let octets = body.get(..Fragment::HEADER_LEN);
        return match octets.map(|octets| octets.split_first_chunk::<12>()) {
            Some(Some((&[1..=20, 0, ..], _))) => Verdict::Unsure,
            _ => Verdict::NotOurs,
        };
    }
    Verdict::NotOurs
}

fn is_plausible(fragment: &Fragment<'_>) -> bool {
    let known = HandshakeType::KNOWN.contains(&fragment.message_type);
    known
        && fragment
            .fragment_offset
            .saturating_add(fragment.fragment_length)
            <= fragment.length
}

fn recognise_unified(datagram: &[u8]) -> Verdict {
    match Records::new(datagram, None).next() {
        // Sequence number, and at the least a tag of 8 octets and one of content.
        Some(Ok(Record::Unified(record))) if record.ciphertext.len() >= 16 => Verdict::Unsure,
        _ => Verdict::NotOurs,
    }
}

/// Size of the header that a reassembled message has in TLS: what stands before the body of
/// a message in clear, once its fragments are joined.
pub const MESSAGE_HEADER_LEN: usize = Handshake::HEADER_LEN;

#[cfg(test)]
mod tests;
