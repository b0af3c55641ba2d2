//! TLS: records, handshake messages, certificates, alerts (SSL 3.0 to TLS 1.3).
//!
//! What comes in: a stretch of a stream that starts with a record, or the joined fragments
//! of handshake records. What goes out: [`record::Records`], [`handshake::Handshakes`],
//! [`message::Message`]. Putting the stream and the fragments together is the caller's.
//! DTLS shares the messages and has its own records in [`crate::dtls`].

pub mod alert;
pub mod certificate;
pub mod codes;
pub mod extension;
pub mod fingerprint;
pub mod groups;
pub mod handshake;
pub mod hello;
pub mod key_exchange;
pub mod message;
pub mod record;
pub mod signatures;
pub mod suites;
pub(crate) mod vector;

pub use alert::Alert;
pub use certificate::{Certificate, Certificates};
pub use codes::{AlertDescription, AlertLevel, ContentType, ExtensionType, HandshakeType, Version};
pub use extension::{Extension, Extensions, Place};
pub use groups::NamedGroup;
pub use handshake::{Handshake, Handshakes};
pub use hello::{ClientHello, HelloVerifyRequest, ServerHello};
pub use key_exchange::{Authentication, KeyExchange};
pub use message::{Context, Message};
pub use record::{Record, Records, Ssl2ClientHello};
pub use signatures::SignatureScheme;
pub use suites::CipherSuite;
pub use vector::{Codes, List};

use crate::Verdict;

/// Whether a stretch of a TCP stream starts with a TLS record. Cheap: it looks at a few
/// octets and never walks.
pub fn recognise(octets: &[u8]) -> Verdict {
    let Some((&[content_type, major, minor, high, low], body)) = octets.split_first_chunk::<5>()
    else {
        return match octets {
            [20..=23, 3] | [20..=23, 3, 0..=4, ..] => Verdict::Unsure,
            _ => Verdict::NotOurs,
        };
    };
    if content_type & 0x80 != 0 {
        return recognise_ssl2(octets);
    }
    let length = u16::from_be_bytes([high, low]);
    if !(20..=24).contains(&content_type) || major != 3 || minor > 4 || length > Record::MAX_LENGTH
    {
        return Verdict::NotOurs;
    }
    match (content_type, length, body) {
        (20, 1, [1, ..] | [])
        | (21, 2, [1 | 2, _, ..] | [])
        | (22, _, [1 | 2, 0, _, _, 3 | 0x7f, ..]) => Verdict::Certain,
        (22, 1..=3, [1 | 2, ..]) => Verdict::Unsure,
        (20, ..) | (21, 2, _) | (22, 0..=3, _) => Verdict::NotOurs,
        _ => chained(body, usize::from(length)),
    }
}

/// Certain where another record starts right after the first, or the octets end there.
fn chained(body: &[u8], length: usize) -> Verdict {
    match body.get(length..) {
        Some([20..=24, 3, 0..=4, high, low, ..])
            if u16::from_be_bytes([*high, *low]) <= Record::MAX_LENGTH =>
        {
            Verdict::Certain
        }
        Some([_, _, _, _, _, ..]) => Verdict::NotOurs,
        // It ends with the segment.
        Some([]) if length > 0 => Verdict::Certain,
        _ => Verdict::Unsure,
    }
}

/// The ClientHello of SSL 2.0 that offers something newer.
fn recognise_ssl2(octets: &[u8]) -> Verdict {
    match Ssl2ClientHello::parse(octets) {
        Ok(hello)
            if hello
                .cipher_specs
                .len()
                .saturating_add(hello.session_id.len())
                .saturating_add(hello.challenge.len())
                .saturating_add(9)
                == usize::from(hello.length) =>
        {
            Verdict::Certain
        }
        _ => Verdict::NotOurs,
    }
}

#[cfg(test)]
mod tests;
