//! The record layer of SSL 3.0 and TLS (RFC 5246 §6.2, RFC 9846 §5).

use super::codes::{ContentType, Version};
use crate::error::{PResult, be_u8, be_u16, fault, located, offset_within, take};
use crate::{Octets, ParseError, Reason};

/// One record: a header of 5 octets and what it carries, which may be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Octet 0.
    pub content_type: ContentType,
    /// Octets 1..3. TLS 1.3 writes TLS 1.2 here, and TLS 1.0 in a first ClientHello.
    pub version: Version,
    /// Octets 3..5. Octets after the header.
    pub length: u16,
    /// Where the record starts in what was handed to [`Records::new`].
    pub offset: usize,
    /// The octets after the header.
    pub fragment: Octets<'a>,
}

impl<'a> Record<'a> {
    /// Size of the header in octets.
    pub const HEADER_LEN: usize = 5;

    /// The longest fragment any version allows: `2^14 + 2048` (RFC 5246 §6.2.3).
    pub const MAX_LENGTH: u16 = 16384 + 2048;

    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let start = i;
        let (i, content_type) = be_u8(i)?;
        if !(20..=63).contains(&content_type) {
            return fault(start, Reason::Invalid("no content type of TLS"));
        }
        let at_version = i;
        let (i, version) = be_u16(i)?;
        if version >> 8 != 3 {
            return fault(at_version, Reason::Invalid("no version of TLS"));
        }
        let at_length = i;
        let (i, length) = be_u16(i)?;
        if length > Self::MAX_LENGTH {
            return fault(
                at_length,
                Reason::Invalid("record longer than 18432 octets"),
            );
        }
        let (i, fragment) = take(usize::from(length))(i)?;
        let record = Self {
            content_type: ContentType(content_type),
            version: Version(version),
            length,
            offset: 0,
            fragment: Octets(fragment),
        };
        Ok((i, record))
    }

    /// The size of the record that `octets` start with, header included, as declared;
    /// `None` where fewer than 5 octets are there, an error where it is no record.
    pub fn size(octets: &[u8]) -> Result<Option<usize>, ParseError> {
        let Some((&[content_type, major, _, high, low], _)) = octets.split_first_chunk::<5>()
        else {
            return Ok(None);
        };
        let fail = |offset, text| Err(ParseError::new("TLS record", offset, Reason::Invalid(text)));
        let length = u16::from_be_bytes([high, low]);
        if !(20..=63).contains(&content_type) {
            return fail(0, "no content type of TLS");
        }
        if major != 3 {
            return fail(1, "no version of TLS");
        }
        if length > Self::MAX_LENGTH {
            return fail(3, "record longer than 18432 octets");
        }
        Ok(Some(Self::HEADER_LEN.saturating_add(usize::from(length))))
    }
}

/// The records in a stretch of a stream: every whole one, then at most one error, then
/// nothing. [`Reason::Truncated`] means that more octets of the stream are needed.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    offset: usize,
    done: bool,
}

impl<'a> Records<'a> {
    /// The records in `octets`, which start with one.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self {
            rest: octets,
            offset: 0,
            done: false,
        }
    }

    /// The octets after the last record that was given.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done || self.rest.is_empty() {
            return None;
        }
        match located("TLS record", self.rest, self.rest, Record::read) {
            Ok((left, record)) => {
                let offset = self.offset;
                self.offset = offset.saturating_add(offset_within(self.rest, left));
                self.rest = left;
                Some(Ok(Record { offset, ..record }))
            }
            Err(error) => {
                self.done = true;
                Some(Err(error.moved(self.offset)))
            }
        }
    }
}

/// The ClientHello of SSL 2.0 with which clients once offered SSL 3.0 and TLS too (RFC 5246
/// §E.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ssl2ClientHello<'a> {
    /// Octets 0..2 with the top bit off. Octets after these two.
    pub length: u16,
    /// Octets 3..5. The highest version offered.
    pub version: Version,
    /// Three octets each; those of TLS have a zero in front.
    pub cipher_specs: Octets<'a>,
    /// To resume a session of SSL 2.0.
    pub session_id: Octets<'a>,
    /// 16 to 32 octets.
    pub challenge: Octets<'a>,
}

impl<'a> Ssl2ClientHello<'a> {
    /// Reads the message at the start of `octets`; its length is in the message.
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        located("SSL 2.0 ClientHello", octets, octets, Self::read).map(|(_, hello)| hello)
    }

    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let start = i;
        let (i, length) = be_u16(i)?;
        if length & 0x8000 == 0 {
            return fault(start, Reason::Invalid("no header of two octets"));
        }
        let at_type = i;
        let (i, message_type) = be_u8(i)?;
        if message_type != 1 {
            return fault(at_type, Reason::Invalid("no ClientHello"));
        }
        let (i, version) = be_u16(i)?;
        if version != 2 && version >> 8 != 3 {
            return fault(at_type, Reason::Invalid("no version of SSL or TLS"));
        }
        let (i, cipher_specs) = be_u16(i)?;
        let (i, session_id) = be_u16(i)?;
        let (i, challenge) = be_u16(i)?;
        if cipher_specs == 0 || cipher_specs.checked_rem(3) != Some(0) {
            return fault(
                at_type,
                Reason::Invalid("cipher specs come by three octets"),
            );
        }
        let (i, cipher_specs) = take(usize::from(cipher_specs))(i)?;
        let (i, session_id) = take(usize::from(session_id))(i)?;
        let (i, challenge) = take(usize::from(challenge))(i)?;
        let hello = Self {
            length: length & 0x7fff,
            version: Version(version),
            cipher_specs: Octets(cipher_specs),
            session_id: Octets(session_id),
            challenge: Octets(challenge),
        };
        Ok((i, hello))
    }

    /// The cipher specs that are suites of SSL 3.0 and TLS.
    pub fn cipher_suites(&self) -> impl Iterator<Item = super::CipherSuite> + use<'a> {
        self.cipher_specs
            .0
            .chunks_exact(3)
            .filter_map(|spec| match spec {
                [0, high, low] => Some(super::CipherSuite(u16::from_be_bytes([*high, *low]))),
                _ => None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    #[test]
    fn records_follow_one_another() {
        let octets = hex!("15 0303 0002 0228" "14 0303 0001 01" "17 0303 0003 aabb");
        let mut records = Records::new(&octets);
        let alert = records.next().unwrap().unwrap();
        assert_eq!(alert.content_type, ContentType::ALERT);
        assert_eq!(alert.version, Version::TLS_1_2);
        assert_eq!(alert.fragment.0, [2, 0x28]);
        let ccs = records.next().unwrap().unwrap();
        assert_eq!((ccs.offset, ccs.length), (7, 1));
        let error = records.next().unwrap().unwrap_err();
        assert_eq!(error.offset, 18);
        assert_eq!(
            error.reason,
            Reason::Truncated {
                needed: 3,
                available: 2
            }
        );
        assert_eq!(records.rest(), &octets[13..]);
        assert!(records.next().is_none());
    }

    #[test]
    fn what_is_no_record_says_where() {
        let at = |octets: &[u8]| Records::new(octets).next().unwrap().unwrap_err();
        assert_eq!(
            at(b"HTTP/1.1 400").to_string(),
            "TLS record: no content type of TLS at octet 0"
        );
        assert_eq!(at(&[0x80, 3, 1, 0, 0]).offset, 0);
        assert_eq!(at(&hex!("16 0301 ffff 00")).offset, 3);
        for octets in [&b"HTTP/1.1 400"[..], &hex!("16 0301 ffff 00")] {
            assert_eq!(Record::size(octets).unwrap_err(), at(octets));
        }
        assert_eq!(Record::size(&hex!("16 0301 0100")), Ok(Some(261)));
        assert_eq!(Record::size(&hex!("16 0301 01")), Ok(None));
    }

    #[test]
    fn ssl2_hello() {
        let octets = hex!(
            "802e" "01" "0301" "0006" "0000" "0010"
            "00002f" "0700c0"
            "000102030405060708090a0b0c0d0e0f"
        );
        let hello = Ssl2ClientHello::parse(&octets).unwrap();
        assert_eq!(hello.version, Version::TLS_1_0);
        assert_eq!(hello.length, 0x2e);
        let suites: Vec<_> = hello.cipher_suites().collect();
        assert_eq!(
            suites,
            [super::super::CipherSuite::TLS_RSA_WITH_AES_128_CBC_SHA]
        );
        for length in 0..octets.len() {
            assert!(Ssl2ClientHello::parse(&octets[..length]).is_err());
        }
    }
}
