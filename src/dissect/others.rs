//! VPNs that are not analysed, known by what they begin with, so that a report without a
//! session is not read as "no VPN here".
//!
//! Everything rests on octets, nothing on ports. What begins a conversation has a structure
//! strict enough to be known from one message; `WireGuard`'s data has not, and is known from
//! several whose counters go on.

use std::net::IpAddr;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

use crate::decap::Flow;

/// How many conversations of each kind were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// `WireGuard`, by addresses and ports.
    pub wireguard: u64,
    /// `OpenVPN` over UDP and TCP, by addresses and ports.
    pub openvpn: u64,
    /// SSTP without TLS around it, as behind a terminator; by addresses and ports.
    pub sstp: u64,
    /// PPTP, by addresses.
    pub pptp: u64,
}

/// A VPN that is only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Other {
    /// `WireGuard`.
    WireGuard,
    /// `OpenVPN`.
    OpenVpn,
    /// SSTP.
    Sstp,
    /// PPTP.
    Pptp,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Others {
    seen: HashSet<(Other, Flow), RandomState>,
    /// Data of what may be `WireGuard`, by direction.
    data: HashMap<Flow, Data, RandomState>,
    counts: Counts,
}

/// Data packets of one direction, as long as they fit each other.
#[derive(Debug, Clone, Copy)]
struct Data {
    index: u32,
    counter: u64,
    packets: u8,
}

/// Conversations that are remembered at a time. Beyond that all are forgotten, so that one
/// that goes on counts again.
const KEPT: usize = 65_536;

/// Whether a datagram can be of interest: a few comparisons for all the others.
#[inline]
pub const fn may_be_udp(payload: &[u8]) -> bool {
    matches!(
        payload,
        [1 | 2 | 4, 0, 0, 0, ..] | [0x38 | 0x40 | 0x50, _, ..]
    )
}

/// Whether a TCP segment can be of interest.
#[inline]
pub const fn may_be_tcp(payload: &[u8]) -> bool {
    matches!(
        payload,
        [_, _, 0x38 | 0x40 | 0x50, ..] | [b'S', b'S', b'T', b'P', ..] | [_, _, 0, 1, 0x1a, ..]
    )
}

impl Others {
    /// What was seen so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes a datagram that is nothing that is analysed.
    #[cold]
    pub fn udp(&mut self, flow: &Flow, payload: &[u8]) {
        match payload {
            [4, 0, 0, 0, ..] => self.data(flow, payload),
            [1 | 2, 0, 0, 0, ..] if is_wireguard(payload) => self.note(Other::WireGuard, flow),
            _ if is_openvpn(payload) => self.note(Other::OpenVpn, flow),
            _ => {}
        }
    }

    /// Takes a segment of a connection that is nothing that is analysed.
    #[cold]
    pub fn tcp(&mut self, flow: &Flow, payload: &[u8]) {
        if is_pptp(payload) {
            self.pptp(flow.source.0, flow.destination.0);
        } else if is_sstp(payload) {
            self.note(Other::Sstp, flow);
        } else if let [high, low, rest @ ..] = payload
            && usize::from(u16::from_be_bytes([*high, *low])) == rest.len()
            && is_openvpn(rest)
        {
            // Over TCP each packet follows its length.
            self.note(Other::OpenVpn, flow);
        }
    }

    /// PPTP between two hosts.
    pub fn pptp(&mut self, source: IpAddr, destination: IpAddr) {
        let flow = Flow {
            source: (source, 0),
            destination: (destination, 0),
        };
        self.note(Other::Pptp, &flow);
    }

    fn note(&mut self, other: Other, flow: &Flow) {
        let ordered = if flow.source <= flow.destination {
            *flow
        } else {
            flow.reversed()
        };
        if self.seen.len() >= KEPT {
            self.seen.clear();
        }
        if self.seen.insert((other, ordered)) {
            let count = match other {
                Other::WireGuard => &mut self.counts.wireguard,
                Other::OpenVpn => &mut self.counts.openvpn,
                Other::Sstp => &mut self.counts.sstp,
                Other::Pptp => &mut self.counts.pptp,
            };
            *count += 1;
        }
    }

    /// Data of `WireGuard`: octet 0 the type and three zeros, 4..8 the receiver's index,
    /// 8..16 a counter, little endian, then content padded to 16 octets and a tag of 16.
    fn data(&mut self, flow: &Flow, payload: &[u8]) {
        /// So many of one direction in order are no accident.
        const ENOUGH: u8 = 4;
        /// Packets that a capture may lack between two of them.
        const NEAR: u64 = 4096;
        let (Some(index), Some(counter)) = (word(payload, 4), long(payload, 8)) else {
            return;
        };
        if payload.len() < 32 || !payload.len().is_multiple_of(16) || counter >> 48 != 0 {
            self.data.remove(flow);
            return;
        }
        if self.data.len() >= KEPT && !self.data.contains_key(flow) {
            self.data.clear();
        }
        let fresh = Data {
            index,
            counter,
            packets: 1,
        };
        let known = self.data.entry(*flow).or_insert(fresh);
        let goes_on =
            known.index == index && counter > known.counter && counter - known.counter <= NEAR;
        if goes_on {
            known.counter = counter;
            known.packets = known.packets.saturating_add(1);
        } else if (known.index, known.counter) != (index, counter) {
            *known = fresh;
        }
        if known.packets >= ENOUGH {
            self.data.remove(flow);
            self.note(Other::WireGuard, flow);
        }
    }
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    octets
        .get(at..)?
        .first_chunk::<4>()
        .map(|word| u32::from_le_bytes(*word))
}

fn long(octets: &[u8], at: usize) -> Option<u64> {
    octets
        .get(at..)?
        .first_chunk::<8>()
        .map(|long| u64::from_le_bytes(*long))
}

fn be32(octets: &[u8], at: usize) -> Option<u32> {
    word(octets, at).map(u32::swap_bytes)
}

/// Whether octets look drawn by lot: keys, tags and what is encrypted do; text, padding and
/// counters do not. Of 32 octets drawn by lot fewer than 20 different ones never come.
fn is_random(octets: &[u8]) -> bool {
    let mut seen = [false; 256];
    for octet in octets {
        if let Some(seen) = seen.get_mut(usize::from(*octet)) {
            *seen = true;
        }
    }
    let different = seen.iter().filter(|seen| **seen).count();
    // For any number of octets from 16 to 64 this is well under what chance gives.
    different * 8 >= octets.len() * 5
}

/// The two messages that begin a session of `WireGuard`.
///
/// Initiation, 148 octets: type, three zeros, index, 8..40 a key, 40..116 encrypted, 116..132
/// a keyed hash, 132..148 another one or zeros. Response, 92: type, three zeros, two indices,
/// 12..44 a key, 44..60 a tag, 60..76 and 76..92 the same two.
fn is_wireguard(payload: &[u8]) -> bool {
    let (key, hash, cookie) = match (payload.first(), payload.len()) {
        (Some(1), 148) => (8..40, 116..132, 132..148),
        (Some(2), 92) => (12..44, 60..76, 76..92),
        _ => return false,
    };
    let part = |range: std::ops::Range<usize>| payload.get(range).unwrap_or_default();
    let cookie = part(cookie);
    is_random(part(key))
        && is_random(part(hash))
        && (cookie.iter().all(|octet| *octet == 0) || is_random(cookie))
}

/// The packets that begin a session of `OpenVPN`: hard resets of client (7, 10) and server (8),
/// with key 0.
///
/// Octet 0 opcode and key, 1..9 the sender's session. In clear then: a count of
/// acknowledgments, these, the peer's session if there are any, and the packet's number, which
/// is 0. With `tls-auth` a hash, a number and a time stand before the count; with `tls-crypt` a
/// number, a time and a hash of 32 octets, and what follows is encrypted, in version 2 with the
/// client's key behind it, whose length stands in its last two octets.
fn is_openvpn(payload: &[u8]) -> bool {
    let (Some(opcode), Some(session)) = (payload.first(), payload.get(1..9)) else {
        return false;
    };
    if session.iter().all(|octet| *octet == 0) {
        return false;
    }
    let body = payload.get(9..).unwrap_or_default();
    match opcode {
        0x38 => is_reset(body, false) || is_authenticated(body, false) || is_crypt(body, 5),
        0x40 => is_reset(body, true) || is_authenticated(body, true) || is_crypt(body, 17),
        0x50 => is_crypt_v2(body),
        _ => false,
    }
}

/// A reset from its count of acknowledgments on: the client's has none, the server's one.
fn is_reset(body: &[u8], is_answer: bool) -> bool {
    match (is_answer, body) {
        (false, [0, 0, 0, 0, 0]) => true,
        (true, [1, 0, 0, 0, 0, session @ .., 0, 0, 0, 0]) => {
            session.len() == 8 && session.iter().any(|octet| *octet != 0)
        }
        _ => false,
    }
}

/// Hash, number and time, then a reset.
fn is_authenticated(body: &[u8], is_answer: bool) -> bool {
    [16, 20, 28, 32, 48, 64].into_iter().any(|hash| {
        body.get(..hash).is_some_and(is_random)
            && body.get(hash..).is_some_and(is_stamped)
            && body
                .get(hash + 8..)
                .is_some_and(|reset| is_reset(reset, is_answer))
    })
}

/// Number, time, hash, and so many octets encrypted.
fn is_crypt(body: &[u8], encrypted: usize) -> bool {
    body.len() == 8 + 32 + encrypted && is_stamped(body) && body.get(8..40).is_some_and(is_random)
}

/// The same with the client's wrapped key, of at least a hash and a key of 256 octets.
fn is_crypt_v2(body: &[u8]) -> bool {
    let Some(&[high, low]) = body.last_chunk::<2>() else {
        return false;
    };
    let wrapped = usize::from(u16::from_be_bytes([high, low]));
    wrapped >= 290
        && body
            .len()
            .checked_sub(wrapped)
            .and_then(|len| body.get(..len))
            .is_some_and(|body| is_crypt(body, 5))
}

/// A number that counts the first packets (its high octet may tell of early negotiation), and
/// a time since 2001.
fn is_stamped(body: &[u8]) -> bool {
    let number = be32(body, 0).unwrap_or_default();
    let time = be32(body, 4).unwrap_or_default();
    matches!(number, 1..=255 | 0x0f00_0001..=0x0f00_00ff) && time >= 1_000_000_000
}

/// The request that begins SSTP (MS-SSTP §3.2.4.1): its method, its path, and the length that
/// says "without end".
fn is_sstp(payload: &[u8]) -> bool {
    payload.starts_with(b"SSTP_DUPLEX_POST /sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/ HTTP/1.")
}

/// A control message of PPTP (RFC 2637 §2): 0..2 its length, 2..4 the number 1, 4..8 the magic
/// cookie, 8..10 its type, 10..12 zero.
fn is_pptp(payload: &[u8]) -> bool {
    let &[a, b, 0, 1, 0x1a, 0x2b, 0x3c, 0x4d, 0, kind, 0, 0, ..] = payload else {
        return false;
    };
    let length = usize::from(u16::from_be_bytes([a, b]));
    let fixed = match kind {
        1 | 2 => 156,
        3 | 4 | 5 | 12 => 16,
        6 => 20,
        7 => 168,
        8 => 32,
        9 => 220,
        10 | 15 => 24,
        11 => 28,
        13 => 148,
        14 => 40,
        _ => return false,
    };
    length == fixed
}

#[cfg(test)]
mod tests;
