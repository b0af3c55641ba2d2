//! The records of DTLS.

use crate::error::{PResult, be_u8, be_u16, fault, located, offset_within, take};
use crate::tls::{ContentType, Version};
use crate::{Octets, ParseError, Reason};

/// One record, of either form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// With a header of 13 octets, or 13 and a connection id: every version, and DTLS 1.3
    /// until it encrypts.
    Plain(PlainRecord<'a>),
    /// The ciphertext of DTLS 1.3, with its short header (RFC 9147 §4).
    Unified(UnifiedRecord<'a>),
}

/// A record with the header of DTLS 1.0 and 1.2 (RFC 6347 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainRecord<'a> {
    /// Octet 0. With a connection id 25; the true one is encrypted (RFC 9146 §4).
    pub content_type: ContentType,
    /// Octets 1..3.
    pub version: Version,
    /// Octets 3..5. 0 in clear; each change of keys adds 1.
    pub epoch: u16,
    /// Octets 5..11. Counts from 0 in each epoch, 48 bits.
    pub sequence: u64,
    /// Octets 11..11+n of a record of type 25, empty in every other.
    pub connection_id: Octets<'a>,
    /// The last two octets of the header. Octets after it.
    pub length: u16,
    /// Where the record starts in the datagram.
    pub offset: usize,
    /// The octets after the header.
    pub fragment: Octets<'a>,
}

/// A record of DTLS 1.3 that is encrypted (RFC 9147 §4). Its sequence number is encrypted
/// too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnifiedRecord<'a> {
    /// Octet 0: `001CSLEE`.
    pub flags: u8,
    /// With C: as long as the handshake said.
    pub connection_id: Octets<'a>,
    /// The low bits of the sequence number, as they stand there, encrypted: 16 with S,
    /// otherwise 8.
    pub encrypted_sequence: u16,
    /// With L: octets after the header. Without it the record fills the datagram.
    pub length: Option<u16>,
    /// Where the record starts in the datagram.
    pub offset: usize,
    /// The octets after the header.
    pub ciphertext: Octets<'a>,
}

impl UnifiedRecord<'_> {
    /// EE: the low two bits of the epoch. 2 is the handshake, 3 the first of the data.
    pub const fn epoch_bits(&self) -> u8 {
        self.flags & 0x03
    }

    /// C: whether a connection id is there.
    pub const fn has_connection_id(&self) -> bool {
        self.flags & 0x10 != 0
    }
}

impl<'a> PlainRecord<'a> {
    /// Size of the header without a connection id, in octets.
    pub const HEADER_LEN: usize = 13;

    fn read(i: &'a [u8], id_len: Option<usize>) -> PResult<'a, Self> {
        let whole = i;
        let (i, content_type) = be_u8(i)?;
        let at_version = i;
        let (i, version) = be_u16(i)?;
        if !Version(version).is_dtls() {
            return fault(at_version, Reason::Invalid("no version of DTLS"));
        }
        let (i, epoch) = be_u16(i)?;
        let (i, high) = be_u16(i)?;
        let (i, low) = crate::error::be_u32(i)?;
        let (i, connection_id) = if content_type == ContentType::TLS12_CID.0 {
            let id_len = match id_len {
                Some(id_len) => id_len,
                None => fitting_id(i, whole)?,
            };
            take(id_len)(i)?
        } else {
            (i, &[][..])
        };
        let (i, length) = be_u16(i)?;
        let (i, fragment) = take(usize::from(length))(i)?;
        let record = Self {
            content_type: ContentType(content_type),
            version: Version(version),
            epoch,
            sequence: (u64::from(high) << 32) | u64::from(low),
            connection_id: Octets(connection_id),
            length,
            offset: 0,
            fragment: Octets(fragment),
        };
        Ok((i, record))
    }
}

impl<'a> UnifiedRecord<'a> {
    fn read(i: &'a [u8], id_len: Option<usize>) -> PResult<'a, Self> {
        let whole = i;
        let (i, flags) = be_u8(i)?;
        let (i, connection_id) = if flags & 0x10 != 0 {
            let id_len = match id_len {
                Some(id_len) => id_len,
                None if flags & 0x04 != 0 => {
                    let sequence_len = if flags & 0x08 != 0 { 2 } else { 1 };
                    fitting_id_after(i, whole, sequence_len)?
                }
                None => return fault(i, Reason::Invalid(UNKNOWN_ID)),
            };
            take(id_len)(i)?
        } else {
            (i, &[][..])
        };
        let (i, encrypted_sequence) = if flags & 0x08 != 0 {
            be_u16(i)?
        } else {
            be_u8(i).map(|(i, low)| (i, u16::from(low)))?
        };
        let (i, length) = if flags & 0x04 != 0 {
            be_u16(i).map(|(i, length)| (i, Some(length)))?
        } else {
            (i, None)
        };
        let (i, ciphertext) = match length {
            Some(length) => take(usize::from(length))(i)?,
            None => (&[][..], i),
        };
        let record = Self {
            flags,
            connection_id: Octets(connection_id),
            encrypted_sequence,
            length,
            offset: 0,
            ciphertext: Octets(ciphertext),
        };
        Ok((i, record))
    }
}

const UNKNOWN_ID: &str = "connection id of unknown length";

/// The length of a connection id at `i` that makes the record fill the datagram.
fn fitting_id<'a>(
    i: &'a [u8],
    whole: &'a [u8],
) -> Result<usize, nom::Err<crate::error::Fault<'a>>> {
    fitting_id_after(i, whole, 0)
}

/// The same, with `between` octets between the id and the length.
fn fitting_id_after<'a>(
    i: &'a [u8],
    whole: &'a [u8],
    between: usize,
) -> Result<usize, nom::Err<crate::error::Fault<'a>>> {
    for id_len in 0..=255_usize {
        let at = id_len.saturating_add(between);
        let Some((length, rest)) = i.get(at..).and_then(|i| i.split_first_chunk::<2>()) else {
            break;
        };
        if usize::from(u16::from_be_bytes(*length)) == rest.len() {
            return Ok(id_len);
        }
    }
    Err(nom::Err::Error(crate::error::Fault {
        at: whole,
        reason: Reason::Invalid(UNKNOWN_ID),
    }))
}

/// The records of a datagram: every whole one, then at most one error, then nothing.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    offset: usize,
    id_len: Option<usize>,
    done: bool,
}

impl<'a> Records<'a> {
    /// The records of `datagram`. `id_len` is the length of the receiver's connection id,
    /// from the handshake; where it is not known, a record with an id is read only if it
    /// fills the datagram.
    pub const fn new(datagram: &'a [u8], id_len: Option<usize>) -> Self {
        Self {
            rest: datagram,
            offset: 0,
            id_len,
            done: false,
        }
    }

    fn read(i: &'a [u8], id_len: Option<usize>) -> PResult<'a, Record<'a>> {
        match i.first() {
            Some(20..=27) => {
                PlainRecord::read(i, id_len).map(|(i, record)| (i, Record::Plain(record)))
            }
            Some(0x20..=0x3f) => {
                UnifiedRecord::read(i, id_len).map(|(i, record)| (i, Record::Unified(record)))
            }
            _ => fault(i, Reason::Invalid("no content type of DTLS")),
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done || self.rest.is_empty() {
            return None;
        }
        let id_len = self.id_len;
        match located("DTLS record", self.rest, self.rest, |i| {
            Self::read(i, id_len)
        }) {
            Ok((left, mut record)) => {
                match &mut record {
                    Record::Plain(plain) => plain.offset = self.offset,
                    Record::Unified(unified) => unified.offset = self.offset,
                }
                let octets = if left.is_empty() {
                    self.rest.len()
                } else {
                    offset_within(self.rest, left)
                };
                self.offset = self.offset.saturating_add(octets);
                self.rest = left;
                Some(Ok(record))
            }
            Err(error) => {
                self.done = true;
                Some(Err(error.moved(self.offset)))
            }
        }
    }
}
