//! What IKEv1 and IKEv2 share: the header, SPIs, flags and the payload chain.
//!
//! Both versions have the same 28-octet header (RFC 2408 §3.1, RFC 7296 §3.1) and chain
//! their payloads by a *next payload* octet and a length. The body of a payload is read by
//! [`v1`] or [`v2`], and only when asked for.

use core::cmp::Ordering;
use core::fmt;

use crate::error::{PResult, be_u8, be_u32, be_u64, fault, located};
use crate::{Octets, ParseError, Reason, Verdict};

mod attribute;
mod substructure;

pub mod v1;
pub mod v2;
pub mod vendor;

/// An IKE SPI. RFC 2408 calls it a cookie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Spi(pub u64);

impl Spi {
    /// The all-zero SPI of a responder that is not known yet.
    pub const ZERO: Self = Self(0);

    /// Whether it is the all-zero SPI.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Spi {
    /// Sixteen lower-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The flags octet of the IKE header (octet 19).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// IKEv1 E(ncryption): the payloads after the header are encrypted.
    pub const fn is_encrypted(self) -> bool {
        self.0 & 0x01 != 0
    }

    /// IKEv1 C(ommit).
    pub const fn is_commit(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// IKEv1 A(uthentication only): the payloads are authenticated but not encrypted.
    pub const fn is_authentication_only(self) -> bool {
        self.0 & 0x04 != 0
    }

    /// IKEv2 I: sent by the original initiator of the IKE SA. Not the same as "request":
    /// the responder may start an exchange too, and a rekey may turn the roles round.
    pub const fn from_original_initiator(self) -> bool {
        self.0 & 0x08 != 0
    }

    /// IKEv2 V: the sender could speak a higher major version.
    pub const fn is_higher_version(self) -> bool {
        self.0 & 0x10 != 0
    }

    /// IKEv2 R: a response to the message with the same message ID.
    pub const fn is_response(self) -> bool {
        self.0 & 0x20 != 0
    }
}

/// The IKE header, 28 octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Octets 0..8. The initiator's SPI (IKEv1: cookie).
    pub initiator_spi: Spi,
    /// Octets 8..16. The responder's SPI; zero in the first message.
    pub responder_spi: Spi,
    /// Octet 16. Type of the first payload; 0 where there is none.
    pub next_payload: u8,
    /// Octet 17. Major version in the upper four bits, minor in the lower.
    pub version: u8,
    /// Octet 18. The exchange type; its meaning depends on the major version.
    pub exchange_type: u8,
    /// Octet 19.
    pub flags: Flags,
    /// Octets 20..24.
    pub message_id: u32,
    /// Octets 24..28. Length of the whole message, header included, as declared.
    pub length: u32,
}

impl Header {
    /// Size of the header in octets.
    pub const LEN: usize = 28;

    /// Reads the header. The declared length is not checked here.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        match octets.first_chunk() {
            Some(header) => Ok(Self::whole(header)),
            // Says what is missing.
            None => located("IKE header", octets, octets, Self::read).map(|(_, header)| header),
        }
    }

    #[inline]
    const fn whole(octets: &[u8; Self::LEN]) -> Self {
        let &[
            i0,
            i1,
            i2,
            i3,
            i4,
            i5,
            i6,
            i7, // initiator SPI
            r0,
            r1,
            r2,
            r3,
            r4,
            r5,
            r6,
            r7, // responder SPI
            next_payload,
            version,
            exchange_type,
            flags, //
            m0,
            m1,
            m2,
            m3, // message ID
            l0,
            l1,
            l2,
            l3, // length
        ] = octets;
        Self {
            initiator_spi: Spi(u64::from_be_bytes([i0, i1, i2, i3, i4, i5, i6, i7])),
            responder_spi: Spi(u64::from_be_bytes([r0, r1, r2, r3, r4, r5, r6, r7])),
            next_payload,
            version,
            exchange_type,
            flags: Flags(flags),
            message_id: u32::from_be_bytes([m0, m1, m2, m3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        }
    }

    fn read(i: &[u8]) -> PResult<'_, Self> {
        let (i, initiator_spi) = be_u64(i)?;
        let (i, responder_spi) = be_u64(i)?;
        let (i, next_payload) = be_u8(i)?;
        let (i, version) = be_u8(i)?;
        let (i, exchange_type) = be_u8(i)?;
        let (i, flags) = be_u8(i)?;
        let (i, message_id) = be_u32(i)?;
        let (i, length) = be_u32(i)?;
        Ok((
            i,
            Self {
                initiator_spi: Spi(initiator_spi),
                responder_spi: Spi(responder_spi),
                next_payload,
                version,
                exchange_type,
                flags: Flags(flags),
                message_id,
                length,
            },
        ))
    }

    /// Major version: 1 or 2 for what this crate reads.
    pub const fn major(&self) -> u8 {
        self.version >> 4
    }

    /// Minor version.
    pub const fn minor(&self) -> u8 {
        self.version & 0x0f
    }
}

/// One IKE message: its header and the octets after it, up to the declared length.
///
/// The payloads are walked lazily with [`Message::payloads`].
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The header.
    pub header: Header,
    /// The octets after the header, cut to the declared length where that is shorter.
    pub body: &'a [u8],
    /// What is wrong with the declared length, if anything: the payloads that are there
    /// are still readable.
    pub length_fault: Option<ParseError>,
    /// Octets after the declared end.
    pub trailing: usize,
}

impl<'a> Message<'a> {
    /// Reads the header and delimits the body. `octets` starts at the initiator SPI: a
    /// non-ESP marker is peeled off before.
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        let header = Header::parse(octets)?;
        let rest = octets.get(Header::LEN..).unwrap_or_default();
        let declared = usize::try_from(header.length).unwrap_or(usize::MAX);
        let body_len = declared.saturating_sub(Header::LEN);
        let length_fault = if declared < Header::LEN {
            Some(Reason::BadLength {
                value: declared,
                least: Header::LEN,
            })
        } else if body_len > rest.len() {
            Some(Reason::Truncated {
                needed: declared,
                available: octets.len(),
            })
        } else {
            None
        }
        .map(|reason| ParseError::new("IKE length", 24, reason));
        let body = if declared < Header::LEN {
            rest
        } else {
            rest.get(..body_len).unwrap_or(rest)
        };
        Ok(Self {
            header,
            body,
            length_fault,
            trailing: rest.len().saturating_sub(body.len()),
        })
    }

    /// The payload chain. Empty for an encrypted IKEv1 message, whose body is no chain.
    pub fn payloads(&self) -> Payloads<'a> {
        let first = if self.header.major() < 2 && self.header.flags.is_encrypted() {
            0
        } else {
            self.header.next_payload
        };
        Payloads::new(first, self.body, Header::LEN)
    }
}

/// One link of the payload chain, its body unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawPayload<'a> {
    /// The payload's own type, as the link before it said.
    pub payload_type: u8,
    /// Octet 0. The type of the payload after it. In SK and SKF: of the first one inside.
    pub next_payload: u8,
    /// Octet 1. Reserved in IKEv1; bit 7 is *critical* in IKEv2.
    pub reserved: u8,
    /// Octets 2..4. Length with the 4-octet generic header, as declared.
    pub length: u16,
    /// Offset of the payload's generic header from the start of the message.
    pub offset: usize,
    /// The octets after the generic header.
    pub body: &'a [u8],
}

impl RawPayload<'_> {
    /// Size of the generic payload header in octets (RFC 2408 §3.2, RFC 7296 §3.2).
    pub const HEADER_LEN: usize = 4;

    /// Offset of the body from the start of the message, to place errors.
    pub const fn body_offset(&self) -> usize {
        self.offset.saturating_add(Self::HEADER_LEN)
    }
}

/// The payload chain: yields every good payload, then at most one error, then nothing.
///
/// SK (46), SKF (53) and IKEv1's Cisco fragment (132) end the chain: what they name as
/// next payload is inside them.
#[derive(Debug, Clone)]
pub struct Payloads<'a> {
    next: u8,
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Payloads<'a> {
    /// A chain whose first payload has type `first` and starts `offset` octets into the
    /// message.
    pub const fn new(first: u8, octets: &'a [u8], offset: usize) -> Self {
        Self {
            next: first,
            rest: octets,
            offset,
        }
    }

    /// Octets after the last payload that was yielded.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn step(&mut self) -> Result<RawPayload<'a>, ParseError> {
        let error = |reason| ParseError::new("IKE payload", self.offset, reason);
        let available = self.rest.len();
        let Some((&[next_payload, reserved, high, low], _)) = self.rest.split_first_chunk::<4>()
        else {
            return Err(error(Reason::Truncated {
                needed: RawPayload::HEADER_LEN,
                available,
            }));
        };
        let length = u16::from_be_bytes([high, low]);
        let len = usize::from(length);
        if len < RawPayload::HEADER_LEN {
            let least = RawPayload::HEADER_LEN;
            return Err(error(Reason::BadLength { value: len, least }));
        }
        let Some((payload, rest)) = self.rest.split_at_checked(len) else {
            return Err(error(Reason::Truncated {
                needed: len,
                available,
            }));
        };
        let payload_type = self.next;
        let offset = self.offset;
        self.next = if ends_chain(payload_type) {
            0
        } else {
            next_payload
        };
        self.rest = rest;
        self.offset = self.offset.saturating_add(len);
        let body = payload.get(RawPayload::HEADER_LEN..).unwrap_or_default();
        Ok(RawPayload {
            payload_type,
            next_payload,
            reserved,
            length,
            offset,
            body,
        })
    }
}

/// Whether `octets`, the payload of a UDP datagram without non-ESP marker, are an IKE message.
///
/// Meant for every datagram of a span port: the version octet and its neighbours refuse nearly all
/// that is not ours. [`Verdict::Certain`] needs a header in which every field has a value that IKE
/// gives it, the length of the datagram as the declared length, and a first payload that fits. A
/// message that was cut, that has octets after it, or that breaks one rule that senders are known
/// to break, is [`Verdict::Unsure`].
#[inline]
pub fn recognise(octets: &[u8]) -> Verdict {
    // The version and the exchange type refuse nearly everything.
    match octets.first_chunk::<{ Header::LEN }>() {
        Some(&[.., 0x10..=0xff, 1..=6 | 32..=44, _, _, _, _, _, _, _, _, _]) => {
            recognise_header(octets)
        }
        _ => Verdict::NotOurs,
    }
}

fn recognise_header(octets: &[u8]) -> Verdict {
    let Some((header, body)) = octets.split_first_chunk::<{ Header::LEN }>() else {
        return Verdict::NotOurs;
    };
    let &[
        i0,
        i1,
        i2,
        i3,
        i4,
        i5,
        i6,
        i7, // initiator SPI
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _, // responder SPI
        next_payload,
        version,
        exchange,
        flags, //
        _,
        _,
        _,
        _, // message ID
        l0,
        l1,
        l2,
        l3, // length
    ] = header;
    let (is_plausible, reserved_flags) = match version >> 4 {
        0 => (false, 0),
        1 => (
            matches!(exchange, 1..=6 | 32 | 33) && matches!(next_payload, 0..=22 | 130..=132),
            0xf8,
        ),
        // A higher version may be an IKEv2 peer that tests how versions are negotiated.
        2.. => (
            matches!(exchange, 34..=44) && matches!(next_payload, 0 | 33..=54),
            0xc7,
        ),
    };
    let declared = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    if !is_plausible || !(Header::LEN..=65535).contains(&declared) {
        return Verdict::NotOurs;
    }
    // Openswan set a reserved flag; test tools leave the SPI zero.
    let is_clean = matches!(version, 0x10 | 0x20)
        && flags & reserved_flags == 0
        && [i0, i1, i2, i3, i4, i5, i6, i7] != [0; 8];
    let is_v1_encrypted = version >> 4 == 1 && flags & 0x01 != 0;
    let body_len = declared.saturating_sub(Header::LEN);
    let first_fits = first_payload_fits(next_payload, is_v1_encrypted, body, body_len);
    match (is_clean, first_fits, declared.cmp(&octets.len())) {
        (true, true, Ordering::Equal) => Verdict::Certain,
        // Unclean, or cut by the snaplen or by IP fragmentation, or followed by something; or
        // malformed, or cut within the first payload.
        (_, true, _) | (true, false, Ordering::Equal | Ordering::Greater) => Verdict::Unsure,
        (_, false, _) => Verdict::NotOurs,
    }
}

/// Whether what follows the header can be the first payload of a body of `body_len` octets.
fn first_payload_fits(first: u8, is_v1_encrypted: bool, body: &[u8], body_len: usize) -> bool {
    match body.first_chunk::<4>() {
        None => body_len == 0 && first == 0,
        // Every cipher of IKEv1 has blocks of at least eight octets.
        Some(_) if is_v1_encrypted && first != 132 => body_len.is_multiple_of(8),
        Some(&[_, _, high, low]) => {
            let len = usize::from(u16::from_be_bytes([high, low]));
            let ends_message = !matches!(first, 46 | 53) || len == body_len;
            first != 0 && (RawPayload::HEADER_LEN..=body_len).contains(&len) && ends_message
        }
    }
}

const fn ends_chain(payload_type: u8) -> bool {
    matches!(payload_type, 46 | 53 | 132)
}

impl<'a> Iterator for Payloads<'a> {
    type Item = Result<RawPayload<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == 0 {
            return None;
        }
        let item = self.step();
        if item.is_err() {
            self.next = 0;
        }
        Some(item)
    }
}

/// Runs `read` over the whole body of `raw`; a fault gets its offset from the start of the message.
fn body<'a, T>(
    what: &'static str,
    raw: &RawPayload<'a>,
    read: impl FnOnce(&'a [u8]) -> PResult<'a, T>,
) -> Result<T, ParseError> {
    located(what, raw.body, raw.body, read)
        .map(|(_, value)| value)
        .map_err(|error| error.moved(raw.body_offset()))
}

/// Everything that is left.
#[expect(
    clippy::unnecessary_wraps,
    reason = "has the form of every other field reader"
)]
fn rest(i: &[u8]) -> PResult<'_, Octets<'_>> {
    Ok((i.get(i.len()..).unwrap_or_default(), Octets(i)))
}

/// Nothing may be left.
fn end(i: &[u8]) -> PResult<'_, ()> {
    if i.is_empty() {
        Ok((i, ()))
    } else {
        fault(i, Reason::Trailing { octets: i.len() })
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::arithmetic_side_effects,
        reason = "sums of small lengths in tests"
    )]

    use proptest::prelude::*;

    use super::*;

    fn message(length: u32, chain: &[u8]) -> Vec<u8> {
        let mut octets = vec![
            1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0x20, 34, 0x08,
        ];
        octets.extend_from_slice(&[0, 0, 0, 0]);
        octets.extend_from_slice(&length.to_be_bytes());
        octets.extend_from_slice(chain);
        octets
    }

    #[test]
    fn yields_good_payloads_then_one_error() {
        let octets = message(28 + 8 + 3, &[43, 0, 0, 8, 1, 2, 3, 4, 0, 0, 0]);
        let message = Message::parse(&octets).unwrap();
        assert_eq!(message.header.initiator_spi, Spi(0x0102_0304_0506_0708));
        assert!(message.header.flags.from_original_initiator());
        let all: Vec<_> = message.payloads().collect();
        assert_eq!(all.len(), 2);
        let first = all[0].unwrap();
        assert_eq!(
            (first.payload_type, first.offset, first.body),
            (40, 28, &[1, 2, 3, 4][..])
        );
        let error = all[1].unwrap_err();
        assert_eq!(
            error.to_string(),
            "IKE payload: 4 octets needed, 3 available at octet 36"
        );
    }

    #[test]
    fn a_lying_length_is_a_fault_and_the_payloads_remain() {
        let octets = message(400, &[0, 0, 0, 8, 1, 2, 3, 4]);
        let message = Message::parse(&octets).unwrap();
        assert_eq!(
            message.length_fault.unwrap().reason,
            Reason::Truncated {
                needed: 400,
                available: 36
            }
        );
        assert_eq!(message.payloads().filter_map(Result::ok).count(), 1);
    }

    #[test]
    fn every_truncation_is_an_error_or_a_shorter_chain() {
        let octets = message(36, &[0, 0, 0, 8, 1, 2, 3, 4]);
        for len in 0..octets.len() {
            let short = &octets[..len];
            match Message::parse(short) {
                Err(error) => assert!(error.offset <= len && len < Header::LEN),
                Ok(message) => {
                    for payload in message.payloads() {
                        assert!(payload.unwrap_err().offset <= len);
                    }
                }
            }
        }
    }

    #[test]
    fn a_whole_message_is_recognised_and_a_cut_one_doubted() {
        let octets = message(36, &[0, 0, 0, 8, 1, 2, 3, 4]);
        assert_eq!(recognise(&octets), Verdict::Certain);
        for len in 0..octets.len() {
            let expected = if len < Header::LEN {
                Verdict::NotOurs
            } else {
                Verdict::Unsure
            };
            assert_eq!(recognise(&octets[..len]), expected, "{len}");
        }
        let mut longer = octets.clone();
        longer.push(0);
        assert_eq!(recognise(&longer), Verdict::Unsure);
    }

    #[test]
    fn each_field_of_the_header_can_refuse() {
        let octets = message(36, &[0, 0, 0, 8, 1, 2, 3, 4]);
        let with = |at: usize, value: u8| {
            let mut changed = octets.clone();
            changed[at] = value;
            recognise(&changed)
        };
        // Next payload: one of IKEv1, one of nobody.
        assert_eq!(with(16, 1), Verdict::NotOurs);
        assert_eq!(with(16, 60), Verdict::NotOurs);
        // Version: 0, IKEv1 with an exchange of IKEv2, a minor version, a higher major version.
        assert_eq!(with(17, 0x00), Verdict::NotOurs);
        assert_eq!(with(17, 0x10), Verdict::NotOurs);
        assert_eq!(with(17, 0x21), Verdict::Unsure);
        assert_eq!(with(17, 0x30), Verdict::Unsure);
        // Exchange.
        assert_eq!(with(18, 33), Verdict::NotOurs);
        assert_eq!(with(18, 45), Verdict::NotOurs);
        // Flags: the reserved bit that Openswan set; initiator, version and response.
        assert_eq!(with(19, 0x09), Verdict::Unsure);
        assert_eq!(with(19, 0x38), Verdict::Certain);
        // Length: below the header, and beyond any datagram.
        assert_eq!(with(27, 27), Verdict::NotOurs);
        assert_eq!(with(24, 1), Verdict::NotOurs);
        // First payload: below its header, and longer than the message.
        assert_eq!(with(31, 3), Verdict::Unsure);
        assert_eq!(with(31, 9), Verdict::Unsure);
        let mut no_spi = octets.clone();
        no_spi[..8].fill(0);
        assert_eq!(recognise(&no_spi), Verdict::Unsure);
        no_spi[31] = 9;
        assert_eq!(recognise(&no_spi), Verdict::NotOurs);
    }

    #[test]
    fn an_encrypted_payload_must_end_its_message() {
        let mut octets = message(44, &[41, 0, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        octets[16] = 46;
        assert_eq!(recognise(&octets), Verdict::Certain);
        octets[31] = 12;
        assert_eq!(recognise(&octets), Verdict::Unsure);
    }

    #[test]
    fn an_encrypted_message_of_ikev1_is_a_whole_number_of_blocks() {
        let mut octets = message(44, &[0x5a; 16]);
        octets[16..20].copy_from_slice(&[8, 0x10, 32, 0x01]);
        assert_eq!(recognise(&octets), Verdict::Certain);
        octets[27] = 43;
        octets.pop();
        assert_eq!(recognise(&octets), Verdict::Unsure);
    }

    #[test]
    fn a_message_without_payloads_is_recognised() {
        let mut octets = message(28, &[]);
        octets[16] = 0;
        octets[18] = 37;
        assert_eq!(recognise(&octets), Verdict::Certain);
    }

    proptest! {
        #[test]
        fn noise_is_not_certain(octets in prop::collection::vec(any::<u8>(), 0..128)) {
            prop_assert_ne!(recognise(&octets), Verdict::Certain);
        }

        #[test]
        fn no_octets_make_the_chain_panic(
            first in any::<u8>(),
            octets in prop::collection::vec(any::<u8>(), 0..96),
        ) {
            let mut count = 0;
            for payload in Payloads::new(first, &octets, Header::LEN) {
                count += 1;
                if let Err(error) = payload {
                    prop_assert!(error.offset <= Header::LEN + octets.len());
                }
            }
            prop_assert!(count <= octets.len() / RawPayload::HEADER_LEN + 1);
        }
    }
}
