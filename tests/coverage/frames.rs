//! Where a frame comes from: a capture, or octets laid out by hand.

use serde::Deserialize;
use vpnscope::source::LinkType;
use vpnscope::time::Timestamp;

use crate::common::run::Owned;
use crate::common::wrap;

/// A name, a frame, a value in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// As the tables give it: `payload SA`.
    pub(crate) name: String,
    /// Capture below `pcaps/`.
    #[serde(default)]
    pub(crate) capture: Option<String>,
    /// Frame in it.
    #[serde(default)]
    pub(crate) frame: Option<u64>,
    /// Where the octets laid out below come from.
    #[serde(default)]
    pub(crate) hand: Option<String>,
    #[serde(default)]
    ike: Option<Ike>,
    #[serde(default)]
    udp: Option<Udp>,
    #[serde(default)]
    tls: Option<Tls>,
    #[serde(default)]
    raw: Option<Raw>,
    /// JSON pointer into the decoded frame.
    pub(crate) path: String,
    /// What stands there.
    pub(crate) value: toml::Value,
}

/// An IKE message: header and chain of payloads are made here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ike {
    #[serde(default = "two")]
    version: u8,
    #[serde(default = "ike_sa_init")]
    exchange: u8,
    /// Type and body, in wire order; the generic header is made here.
    payloads: Vec<(u8, String)>,
}

/// A datagram to a UDP port.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Udp {
    port: u16,
    octets: String,
}

/// Octets that a TLS client sends in its first segment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    /// Handshake messages: type and body. One record holds them.
    #[serde(default)]
    client: Vec<(u8, String)>,
    /// And those of the server, in the next segment.
    #[serde(default)]
    server: Vec<(u8, String)>,
}

/// A frame of a link type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    link: u16,
    octets: String,
}

const fn two() -> u8 {
    2
}

const fn ike_sa_init() -> u8 {
    34
}

/// Hex with blanks; `'text'` stands for its octets.
pub(crate) fn octets(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, part) in text.split('\'').enumerate() {
        if index % 2 == 1 {
            out.extend(part.as_bytes());
            continue;
        }
        let digits: Vec<u32> = part
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(|c| c.to_digit(16).unwrap_or_else(|| panic!("{text:?}: {c:?}")))
            .collect();
        assert!(digits.len().is_multiple_of(2), "{text:?}: half an octet");
        out.extend(
            digits
                .chunks(2)
                .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()),
        );
    }
    out
}

/// An IKE message from payloads.
pub(crate) fn ike(version: u8, exchange: u8, payloads: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (index, (_, octets)) in payloads.iter().enumerate() {
        let next = payloads.get(index + 1).map_or(0, |(number, _)| *number);
        // The encrypted payloads name what is first inside them.
        let next = if matches!(payloads[index].0, 46 | 53) {
            41
        } else {
            next
        };
        body.extend([next, 0]);
        body.extend(u16::try_from(octets.len() + 4).unwrap().to_be_bytes());
        body.extend(octets);
    }
    let first = payloads.first().map_or(0, |(number, _)| *number);
    let flags = if version == 2 { 0x08 } else { 0 };
    let length = u32::try_from(body.len() + 28).unwrap();
    let message_id: u32 = if version == 2 { 0 } else { 7 };
    [
        &[1, 2, 3, 4, 5, 6, 7, 8],
        [0x11; 8].as_slice(),
        &[first, version << 4, exchange, flags],
        &message_id.to_be_bytes(),
        &length.to_be_bytes(),
        &body,
    ]
    .concat()
}

/// A frame of a UDP datagram between documentation addresses.
pub(crate) fn udp(from: u16, to: u16, data: &[u8]) -> Owned {
    let datagram = wrap::udp(from, to, data);
    owned(
        1,
        wrap::ethernet(&wrap::ipv4(
            [192, 0, 2, 1],
            [203, 0, 113, 1],
            17,
            0x4000,
            &datagram,
        )),
    )
}

pub(crate) fn owned(link: u16, octets: Vec<u8>) -> Owned {
    Owned {
        time: Timestamp(1_700_000_000_000_000_000),
        link: LinkType(link),
        wire_len: u32::try_from(octets.len()).unwrap(),
        octets,
    }
}

/// A TCP segment to or from port 443.
fn tcp(from_server: bool, sequence: u32, acknowledged: u32, flags: u8, data: &[u8]) -> Owned {
    let (ports, addresses) = if from_server {
        ([443u16, 40_000], ([203, 0, 113, 1], [192, 0, 2, 1]))
    } else {
        ([40_000, 443], ([192, 0, 2, 1], [203, 0, 113, 1]))
    };
    let segment = [
        ports[0].to_be_bytes().as_slice(),
        &ports[1].to_be_bytes(),
        &sequence.to_be_bytes(),
        &acknowledged.to_be_bytes(),
        &[0x50, flags, 0xff, 0xff, 0, 0, 0, 0],
        data,
    ]
    .concat();
    let datagram = wrap::ipv4(addresses.0, addresses.1, 6, 0x4000, &segment);
    owned(1, wrap::ethernet(&datagram))
}

/// Handshake messages in one record.
fn record(messages: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (number, octets) in messages {
        body.push(*number);
        body.extend(&u32::try_from(octets.len()).unwrap().to_be_bytes()[1..]);
        body.extend(octets);
    }
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[22, 3, 3], length.as_slice(), &body].concat()
}

/// A TCP connection in which the client sends handshake messages, and the server answers.
pub(crate) fn segments(client: &[(u8, Vec<u8>)], server: &[(u8, Vec<u8>)]) -> Vec<Owned> {
    let hello = record(client);
    let mut frames = vec![
        tcp(false, 100, 0, 0x02, &[]),
        tcp(true, 500, 101, 0x12, &[]),
        tcp(false, 101, 501, 0x18, &hello),
    ];
    if !server.is_empty() {
        let next = 101 + u32::try_from(hello.len()).unwrap();
        frames.push(tcp(true, 501, next, 0x18, &record(server)));
    }
    frames
}

impl Entry {
    /// The frames that an entry lays out; the value stands in the last one.
    pub(crate) fn by_hand(&self) -> Vec<Owned> {
        if let Some(message) = &self.ike {
            let payloads: Vec<(u8, Vec<u8>)> = message
                .payloads
                .iter()
                .map(|(number, text)| (*number, octets(text)))
                .collect();
            return vec![udp(
                500,
                500,
                &ike(message.version, message.exchange, &payloads),
            )];
        }
        if let Some(datagram) = &self.udp {
            return vec![udp(40_000, datagram.port, &octets(&datagram.octets))];
        }
        if let Some(stream) = &self.tls {
            let read = |messages: &[(u8, String)]| -> Vec<(u8, Vec<u8>)> {
                messages
                    .iter()
                    .map(|(number, text)| (*number, octets(text)))
                    .collect()
            };
            return segments(&read(&stream.client), &read(&stream.server));
        }
        let raw = self
            .raw
            .as_ref()
            .unwrap_or_else(|| panic!("{}: nothing is laid out", self.name));
        vec![owned(raw.link, octets(&raw.octets))]
    }
}
