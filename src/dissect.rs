//! From octets to typed messages: decides by content what a datagram is, and reads it.
//!
//! Ports are hints: they make an uncertain shape acceptable, and never turn a certain one
//! into something else.

use vpnscope_dissectors::{Verdict, dns, ike, l2tp, natt, ppp, pppoe, radius};

pub mod others;
pub mod streams;

use crate::assemble::tcp_ike::cisco;
use crate::decap::{Content, Peel, Segment};
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
    /// L2TP, version 2 or 3.
    L2tp,
    /// RADIUS.
    Radius,
    /// DNS.
    Dns,
    /// Nothing that is analysed.
    NotOurs,
}

/// Whether a UDP datagram is nothing of ours, nor a VPN that is counted, nor DTLS, nor on a port of
/// ours: what nearly all datagrams of a span port are, told by their ports and four octets. `false`
/// says nothing. `has_dtls`: whether an association is followed, so that encrypted DTLS matters.
#[inline]
pub fn is_dull(ports: (u16, u16), payload: &[u8], has_dtls: impl FnOnce() -> bool) -> bool {
    /// Ports that say more than octets, by their remainder of 64.
    const PORTS: u64 = 1 << (IKE_PORT % 64)
        | 1 << (NATT_PORT % 64)
        | 1 << (l2tp::PORT % 64)
        | 1 << (dns::PORT % 64);
    if (PORTS >> (ports.0 % 64) | PORTS >> (ports.1 % 64)) & 1 == 1 {
        return false;
    }
    let &[first, second, ..] = payload else {
        return false;
    };
    let may_be_ike = payload.get(18).is_some_and(|exchange| *exchange < 45) && payload.len() >= 28;
    let may_be_l2tp = matches!(second, 2 | 3) && first & 0x34 == 0;
    if may_be_ike || may_be_l2tp {
        return false;
    }
    match first {
        // Markers, RADIUS, WireGuard; then OpenVPN.
        0..=5 | 11..=13 | 0x38 | 40..=45 | 0x40 | 0x50 => false,
        // DTLS in clear: of its version nearly all have 0xfe, that of the first drafts 1.
        20..=27 => !matches!(second, 1 | 0xfe),
        0x20..=0x3f => !has_dtls(),
        _ => true,
    }
}

/// Decides what a UDP datagram is. Runs on every datagram of a span port: a few comparisons.
#[expect(clippy::inline_always, reason = "measured: ESP costs less than a call")]
#[inline(always)]
pub fn classify(ports: (u16, u16), payload: &[u8]) -> Class {
    if ports.0 == NATT_PORT || ports.1 == NATT_PORT {
        return classify_natt(payload);
    }
    let known = ports.0 == IKE_PORT || ports.1 == IKE_PORT;
    match (ike::recognise(payload), known) {
        (Verdict::Certain, _) | (Verdict::Unsure, true) => Class::Ike { marker: false },
        (_, true) if looks_like_header(payload) => Class::Ike { marker: false },
        _ => others(ports, payload),
    }
}

/// The protocols that their first octets and their length give away.
#[inline(never)]
fn others(ports: (u16, u16), payload: &[u8]) -> Class {
    let has_port = ports.0 == dns::PORT || ports.1 == dns::PORT;
    if has_port && dns::recognise(payload) != Verdict::NotOurs {
        return Class::Dns;
    }
    match *payload {
        [0, 0, 0, 0, ref rest @ ..] if ike::recognise(rest) == Verdict::Certain => {
            Class::Ike { marker: true }
        }
        // T, L, S and the version; data messages have T = 0 and may lack all else.
        [flags, version, ..]
            if flags & 0x34 == 0 && matches!(version, 2 | 3) || on_l2tp_port(ports) =>
        {
            classify_l2tp(ports, payload)
        }
        [1..=5 | 11..=13 | 40..=45, _, high, low, ..]
            if usize::from(u16::from_be_bytes([high, low])) <= payload.len() =>
        {
            classify_radius(ports, payload)
        }
        _ => Class::NotOurs,
    }
}

fn on_l2tp_port(ports: (u16, u16)) -> bool {
    ports.0 == l2tp::PORT || ports.1 == l2tp::PORT
}

/// A data message shows little of itself: on a port that is not L2TP's it must hold a PPP
/// control packet whose length is right.
fn classify_l2tp(ports: (u16, u16), payload: &[u8]) -> Class {
    let on_port = on_l2tp_port(ports);
    match l2tp::recognise(payload) {
        Verdict::Certain => Class::L2tp,
        Verdict::Unsure if on_port || holds_ppp(payload) => Class::L2tp,
        _ if on_port && is_cut_or_odd_control(payload) => Class::L2tp,
        _ => classify_radius(ports, payload),
    }
}

fn holds_ppp(payload: &[u8]) -> bool {
    let Ok(message) = l2tp::Message::parse(payload) else {
        return false;
    };
    ppp::Frame::parse(message.body)
        .is_ok_and(|frame| frame.protocol.has_packets() && frame.is_plausible())
}

/// A control message on its own port whose lengths are wrong or that was cut: somebody
/// wants to see what is wrong with it.
fn is_cut_or_odd_control(payload: &[u8]) -> bool {
    l2tp::Message::parse(payload).is_ok_and(|message| message.is_control())
}

fn classify_radius(ports: (u16, u16), payload: &[u8]) -> Class {
    let on_port = radius::PORTS.contains(&ports.0) || radius::PORTS.contains(&ports.1);
    match radius::recognise(payload) {
        Verdict::Certain => Class::Radius,
        Verdict::Unsure if on_port => Class::Radius,
        _ => Class::NotOurs,
    }
}

#[inline]
fn classify_natt(payload: &[u8]) -> Class {
    /// The magic cookie of STUN (RFC 8489 §5), octets 4..8.
    const STUN: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    if let Some(rest) = payload.strip_prefix(&natt::NON_ESP_MARKER) {
        return classify_marked(rest);
    }
    if payload == [0xff] {
        return Class::Keepalive;
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

/// What stands behind the non-ESP marker.
#[inline(never)]
fn classify_marked(rest: &[u8]) -> Class {
    if ike::recognise(rest) != Verdict::NotOurs || looks_like_header(rest) {
        Class::Ike { marker: true }
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

/// Reads a datagram and gives each of its messages to `sink`. `true` where it was ours. `class`
/// is what [`classify`] said of it, where somebody asked before.
pub fn segment(
    segment: &Segment<'_>,
    frames: &[u64],
    class: Option<Class>,
    sink: &mut impl FnMut(&Event<'_>),
) -> bool {
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
    ah.is_some() | content(segment, class, &mut give)
}

/// Reads what the innermost header carries.
fn content(segment: &Segment<'_>, class: Option<Class>, give: &mut impl FnMut(What<'_>)) -> bool {
    let envelope = &segment.envelope;
    match segment.content {
        Content::Udp {
            payload,
            payload_len,
        } => {
            let ports = (envelope.source_port, envelope.destination_port);
            match class.unwrap_or_else(|| classify(ports, payload)) {
                Class::Ike { marker } => {
                    give(ike(if marker {
                        payload.get(4..).unwrap_or_default()
                    } else {
                        payload
                    }));
                }
                Class::Esp => return esp(payload, payload_len, Over::Udp, give),
                Class::Keepalive => give(What::NatKeepalive),
                Class::L2tp => give(l2tp(l2tp::Message::parse(payload), payload)),
                Class::Radius => give(match radius::Packet::parse(payload) {
                    Ok(packet) => What::Radius {
                        packet,
                        octets: payload,
                    },
                    Err(error) => What::Unreadable(error),
                }),
                Class::Dns => match dns::Message::parse(payload) {
                    Ok(message) => give(What::Dns(message)),
                    Err(_) => return false,
                },
                Class::NotOurs => return false,
            }
            true
        }
        Content::Ip {
            payload,
            payload_len,
        } if envelope.protocol == 50 => esp(payload, payload_len, Over::Ip, give),
        Content::Ip { payload, .. } if envelope.protocol == l2tp::IP_PROTOCOL => {
            give(l2tp(l2tp::Message::parse_ip(payload), payload));
            true
        }
        Content::Pppoe { octets, .. } => match pppoe::Packet::parse(octets) {
            Ok(packet) => {
                give(What::Pppoe { packet });
                true
            }
            Err(_) => false,
        },
        Content::Ppp { octets } => match ppp::Frame::parse(octets) {
            Ok(frame) => {
                give(What::Ppp { frame });
                true
            }
            Err(_) => false,
        },
        Content::Icmp(icmp) => {
            give(What::Icmp(icmp));
            icmp.quoted.is_some()
        }
        _ => false,
    }
}

fn l2tp<'a>(
    message: Result<l2tp::Message<'a>, vpnscope_dissectors::ParseError>,
    octets: &'a [u8],
) -> What<'a> {
    match message {
        Ok(message) => What::L2tp { message, octets },
        Err(error) => What::Unreadable(error),
    }
}

/// Whether a TCP segment is a packet of Cisco's `IPsec` over TCP.
#[inline]
pub fn is_cisco_tcp(ports: (u16, u16), payload: &[u8]) -> bool {
    (ports.0 == cisco::PORT || ports.1 == cisco::PORT) && cisco::carried(payload).is_some()
}

/// Reads a segment of Cisco's `IPsec` over TCP, whose streams are none: `true` where it is one.
pub fn cisco_tcp(segment: &Segment<'_>, sink: &mut impl FnMut(&Event<'_>)) -> bool {
    let Content::Tcp(tcp) = segment.content else {
        return false;
    };
    let ports = (
        segment.envelope.source_port,
        segment.envelope.destination_port,
    );
    if !is_cisco_tcp(ports, tcp.payload) {
        return false;
    }
    let mut envelope = segment.envelope;
    envelope.encapsulation.push(Peel::CiscoTcp);
    let mut give = |what: What<'_>| {
        sink(&Event {
            envelope: &envelope,
            frames: &[],
            what,
        });
    };
    match cisco::carried(tcp.payload) {
        Some(cisco::Carried::Ike { octets, .. }) => {
            give(ike(octets));
            true
        }
        Some(cisco::Carried::Esp(octets)) => {
            let len = u32::try_from(octets.len()).unwrap_or(u32::MAX);
            esp(octets, len, Over::Tcp, &mut give)
        }
        None => false,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The same numbers at each run.
    fn numbers() -> impl FnMut() -> u64 {
        let mut state = 1_u64;
        move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        }
    }

    #[test]
    fn what_is_dull_is_nothing_to_anybody() {
        let ports = [53, 443, 500, 1645, 1646, 1701, 1812, 3799, 4500, 40_000];
        let mut next = numbers();
        let mut octet = || next().to_le_bytes()[0];
        let mut dull = 0;
        for round in 0..200_000_u32 {
            let [first, low, ..] = round.to_le_bytes();
            // Every first octet, with few values behind it so that shapes come about.
            let mut payload: Vec<u8> = (0..octet() % 40).map(|_| octet() % 48).collect();
            payload.iter_mut().take(1).for_each(|o| *o = first);
            if low % 2 == 0 {
                payload.iter_mut().skip(1).take(3).for_each(|o| *o = 0);
            }
            let mut port = || ports.get(usize::from(octet()) % 10).copied().unwrap_or(9);
            let ports = (port(), port());
            let has_dtls = low & 2 > 0;
            if !is_dull(ports, &payload, || has_dtls) {
                continue;
            }
            dull += 1;
            assert_eq!(classify(ports, &payload), Class::NotOurs, "{payload:02x?}");
            assert!(!others::may_be_udp(&payload), "{payload:02x?}");
            let verdict = streams::recognise_dtls(&payload);
            let is_encrypted = verdict == Verdict::Unsure && payload.first() >= Some(&0x20);
            let may_be = verdict != Verdict::NotOurs && (has_dtls || !is_encrypted);
            assert!(!may_be, "{payload:02x?}");
            let ours = |port| matches!(port, IKE_PORT | NATT_PORT | l2tp::PORT);
            assert!(!ours(ports.0) && !ours(ports.1));
        }
        assert!(dull > 10_000, "{dull}");
        // QUIC, RTP, and a datagram that is all padding.
        for payload in [&[0xc0, 0, 0, 0, 1][..], &[0x80, 0x60, 1, 2], &[0xff, 0xff]] {
            assert!(is_dull((443, 50_000), payload, || true));
        }
    }
}
