//! From octets to typed messages: decides by content what a datagram is, and reads it.
//!
//! Ports are hints: they make an uncertain shape acceptable, and never turn a certain one
//! into something else.

use vpnscope_dissectors::{Verdict, ike, natt};

pub mod streams;

use crate::decap::{Content, Segment};
use crate::track::{Event, Over, What};

/// The port of IKE (RFC 7296 §2).
pub const IKE_PORT: u16 = 500;
/// The port of IKE and ESP behind NAT (RFC 3948).
pub const NATT_PORT: u16 = 4500;

/// What a UDP datagram is at first sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// IKE, with or without the non-ESP marker before it.
    Ike {
        /// Whether four zero octets stand before the header.
        marker: bool,
    },
    /// ESP in UDP.
    Esp,
    /// A NAT keepalive.
    Keepalive,
    /// Nothing that is analysed.
    NotOurs,
}

/// Decides what a UDP datagram is. Runs on every datagram of a span port: a few comparisons.
#[inline]
pub fn classify(ports: (u16, u16), payload: &[u8]) -> Class {
    if ports.0 == NATT_PORT || ports.1 == NATT_PORT {
        return classify_natt(payload);
    }
    let known = ports.0 == IKE_PORT || ports.1 == IKE_PORT;
    match (ike::recognise(payload), known) {
        (Verdict::Certain, _) | (Verdict::Unsure, true) => Class::Ike { marker: false },
        (_, true) if looks_like_header(payload) => Class::Ike { marker: false },
        _ => behind_marker(payload),
    }
}

fn behind_marker(payload: &[u8]) -> Class {
    match payload.strip_prefix(&natt::NON_ESP_MARKER) {
        Some(rest) if ike::recognise(rest) == Verdict::Certain => Class::Ike { marker: true },
        _ => Class::NotOurs,
    }
}

#[cold]
fn classify_natt(payload: &[u8]) -> Class {
    /// The magic cookie of STUN (RFC 8489 §5), octets 4..8.
    const STUN: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    if payload == [0xff] {
        return Class::Keepalive;
    }
    if let Some(rest) = payload.strip_prefix(&natt::NON_ESP_MARKER) {
        let ike = ike::recognise(rest) != Verdict::NotOurs || looks_like_header(rest);
        return if ike {
            Class::Ike { marker: true }
        } else {
            Class::NotOurs
        };
    }
    if ike::recognise(payload) == Verdict::Certain {
        return Class::Ike { marker: false };
    }
    let stun = payload.get(4..8) == Some(&STUN);
    // The shortest ESP packet: SPI, sequence number, padding trailer and some check value.
    if payload.len() >= 16 && !stun {
        Class::Esp
    } else {
        Class::NotOurs
    }
}

/// A header whose length is right, on a port of IKE: of a version nobody knows yet, which a
/// peer answers with `INVALID_MAJOR_VERSION`, or with an SPI or a payload that no sane
/// implementation would send, which somebody wants to see named.
fn looks_like_header(payload: &[u8]) -> bool {
    ike::Header::parse(payload)
        .is_ok_and(|header| usize::try_from(header.length).is_ok_and(|len| len == payload.len()))
}

/// Reads a datagram and gives each of its messages to `sink`. `true` where it was ours.
pub fn segment(segment: &Segment<'_>, frames: &[u64], sink: &mut impl FnMut(&Event<'_>)) -> bool {
    let envelope = &segment.envelope;
    let mut give = |what: What<'_>| {
        sink(&Event {
            envelope,
            frames,
            what,
        });
    };
    let ah = segment
        .ah
        .and_then(|octets| vpnscope_dissectors::ah::Packet::parse(octets).ok());
    if let Some(ah) = ah {
        give(What::Ah {
            spi: ah.spi,
            sequence: ah.sequence,
            next_header: ah.next_header,
        });
    }
    ah.is_some() | content(segment, &mut give)
}

/// Reads what the innermost header carries.
fn content(segment: &Segment<'_>, give: &mut impl FnMut(What<'_>)) -> bool {
    let envelope = &segment.envelope;
    match segment.content {
        Content::Udp {
            payload,
            payload_len,
        } => {
            let ports = (envelope.source_port, envelope.destination_port);
            match classify(ports, payload) {
                Class::Ike { marker } => {
                    give(ike(if marker {
                        payload.get(4..).unwrap_or_default()
                    } else {
                        payload
                    }));
                }
                Class::Esp => return esp(payload, payload_len, Over::Udp, give),
                Class::Keepalive => give(What::NatKeepalive),
                Class::NotOurs => return false,
            }
            true
        }
        Content::Ip {
            payload,
            payload_len,
        } if envelope.protocol == 50 => esp(payload, payload_len, Over::Ip, give),
        Content::Icmp(icmp) => {
            give(What::Icmp(icmp));
            icmp.quoted.is_some()
        }
        _ => false,
    }
}

/// Reads an IKE message.
pub fn ike(octets: &[u8]) -> What<'_> {
    match ike::Message::parse(octets) {
        Ok(message) => What::Ike { message, octets },
        Err(error) => What::Unreadable(error),
    }
}

fn esp(payload: &[u8], len: u32, over: Over, give: &mut impl FnMut(What<'_>)) -> bool {
    let Ok(packet) = vpnscope_dissectors::esp::Packet::parse(payload) else {
        return false;
    };
    give(What::Esp {
        spi: packet.spi,
        sequence: packet.sequence,
        len,
        over,
    });
    true
}
