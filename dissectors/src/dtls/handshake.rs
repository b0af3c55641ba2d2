//! What DTLS carries in clear that TLS has in another form: fragments of handshake
//! messages, `ChangeCipherSpec`, ACK.

use crate::error::{PResult, be_u8, be_u16, be_u24, be_u64, located, offset_within, take};
use crate::tls::HandshakeType;
use crate::tls::vector::{List, end, opaque16};
use crate::{Octets, ParseError};

/// A fragment of a handshake message, perhaps all of it (RFC 6347 §4.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Octet 0.
    pub message_type: HandshakeType,
    /// Octets 1..4. Octets of the whole message, this header not counted.
    pub length: u32,
    /// Octets 4..6. The message's number in the handshake, from 0; the same in a repeat.
    pub message_seq: u16,
    /// Octets 6..9. Where the fragment belongs in the message.
    pub fragment_offset: u32,
    /// Octets 9..12. Octets in this fragment.
    pub fragment_length: u32,
    /// Where the fragment starts in the record's fragment.
    pub offset: usize,
    /// The octets after the header.
    pub body: Octets<'a>,
}

impl<'a> Fragment<'a> {
    /// Size of the header in octets.
    pub const HEADER_LEN: usize = 12;

    /// Reads the first fragment in what a handshake record carries.
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        located("DTLS handshake fragment", octets, octets, Self::read).map(|(_, it)| it)
    }

    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, message_type) = be_u8(i)?;
        let (i, length) = be_u24(i)?;
        let (i, message_seq) = be_u16(i)?;
        let (i, fragment_offset) = be_u24(i)?;
        let (i, fragment_length) = be_u24(i)?;
        let (i, body) = take(usize::try_from(fragment_length).unwrap_or(usize::MAX))(i)?;
        let fragment = Self {
            message_type: HandshakeType(message_type),
            length,
            message_seq,
            fragment_offset,
            fragment_length,
            offset: 0,
            body: Octets(body),
        };
        Ok((i, fragment))
    }

    /// Whether it is the whole message.
    pub const fn is_whole(&self) -> bool {
        self.fragment_offset == 0 && self.fragment_length == self.length
    }
}

/// The fragments in one record: every whole one, then at most one error, then nothing.
#[derive(Debug, Clone)]
pub struct Fragments<'a> {
    rest: &'a [u8],
    offset: usize,
    done: bool,
}

impl<'a> Fragments<'a> {
    /// The fragments in what a handshake record in clear carries.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self {
            rest: octets,
            offset: 0,
            done: false,
        }
    }
}

impl<'a> Iterator for Fragments<'a> {
    type Item = Result<Fragment<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done || self.rest.is_empty() {
            return None;
        }
        match located(
            "DTLS handshake fragment",
            self.rest,
            self.rest,
            Fragment::read,
        ) {
            Ok((left, fragment)) => {
                let offset = self.offset;
                self.offset = offset.saturating_add(offset_within(self.rest, left));
                self.rest = left;
                Some(Ok(Fragment { offset, ..fragment }))
            }
            Err(error) => {
                self.done = true;
                Some(Err(error.moved(self.offset)))
            }
        }
    }
}

/// `ChangeCipherSpec`: one octet, or in the version `0x0100` three, the last two of which are
/// the message's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeCipherSpec {
    /// Octet 0; 1.
    pub value: u8,
    /// Octets 1..3, in the version `0x0100` only.
    pub message_seq: Option<u16>,
}

impl ChangeCipherSpec {
    /// Reads what a record of that type carries.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        located("DTLS ChangeCipherSpec", octets, octets, |i| {
            let (i, value) = be_u8(i)?;
            if i.is_empty() {
                let message_seq = None;
                return Ok((i, Self { value, message_seq }));
            }
            let (i, message_seq) = be_u16(i).map(|(i, seq)| (i, Some(seq)))?;
            end(i).map(|(i, ())| (i, Self { value, message_seq }))
        })
        .map(|(_, it)| it)
    }
}

/// The number of a record of DTLS 1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordNumber {
    /// Octets 0..8.
    pub epoch: u64,
    /// Octets 8..16.
    pub sequence: u64,
}

/// ACK of DTLS 1.3: which records arrived (RFC 9147 §7).
#[derive(Debug, Clone, Copy)]
pub struct Ack<'a> {
    /// In wire order.
    pub records: List<'a, RecordNumber>,
}

impl<'a> Ack<'a> {
    /// Reads what an ACK record in clear carries.
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        located("DTLS ACK", octets, octets, |i| {
            let (i, part) = opaque16(i)?;
            end(i).map(|(i, ())| (i, part))
        })
        .map(|(_, part)| Self {
            records: List::new("DTLS record number", octets, part, record_number),
        })
    }
}

fn record_number(i: &[u8]) -> PResult<'_, RecordNumber> {
    let (i, epoch) = be_u64(i)?;
    let (i, sequence) = be_u64(i)?;
    Ok((i, RecordNumber { epoch, sequence }))
}
