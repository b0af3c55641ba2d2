//! Handshake messages: a type, a length of three octets, a body (RFC 5246 §7.4, RFC 9846
//! §4). What is in the body is read by [`super::hello`] and its neighbours.

use super::codes::HandshakeType;
use crate::error::{PResult, be_u8, be_u24, located, offset_within, take};
use crate::{Octets, ParseError};

/// One whole handshake message, its body unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake<'a> {
    /// Octet 0.
    pub message_type: HandshakeType,
    /// Octets 1..4. Octets after this header.
    pub length: u32,
    /// Where the message starts in what was handed to [`Handshakes::new`].
    pub offset: usize,
    /// The octets after the header.
    pub body: Octets<'a>,
}

impl<'a> Handshake<'a> {
    /// Size of the header in octets.
    pub const HEADER_LEN: usize = 4;

    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, message_type) = be_u8(i)?;
        let (i, length) = be_u24(i)?;
        let (i, body) = take(usize::try_from(length).unwrap_or(usize::MAX))(i)?;
        let message = Self {
            message_type: HandshakeType(message_type),
            length,
            offset: 0,
            body: Octets(body),
        };
        Ok((i, message))
    }
}

/// The handshake messages in the joined fragments of handshake records: every whole one,
/// then at most one error, then nothing. [`crate::Reason::Truncated`] means that the next
/// record is needed.
#[derive(Debug, Clone)]
pub struct Handshakes<'a> {
    rest: &'a [u8],
    offset: usize,
    done: bool,
}

impl<'a> Handshakes<'a> {
    /// The messages in `octets`, which start with one.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self {
            rest: octets,
            offset: 0,
            done: false,
        }
    }

    /// The octets after the last message that was given.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Handshakes<'a> {
    type Item = Result<Handshake<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done || self.rest.is_empty() {
            return None;
        }
        match located(
            "TLS handshake message",
            self.rest,
            self.rest,
            Handshake::read,
        ) {
            Ok((left, message)) => {
                let offset = self.offset;
                self.offset = offset.saturating_add(offset_within(self.rest, left));
                self.rest = left;
                Some(Ok(Handshake { offset, ..message }))
            }
            Err(error) => {
                self.done = true;
                Some(Err(error.moved(self.offset)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reason;
    use hex_literal::hex;

    #[test]
    fn messages_follow_one_another() {
        let octets = hex!("0e 000000" "14 000002 aabb" "0b ffffff 00");
        let mut messages = Handshakes::new(&octets);
        let done = messages.next().unwrap().unwrap();
        assert_eq!(done.message_type, HandshakeType::SERVER_HELLO_DONE);
        assert!(done.body.is_empty());
        let finished = messages.next().unwrap().unwrap();
        assert_eq!((finished.offset, finished.length), (4, 2));
        let error = messages.next().unwrap().unwrap_err();
        assert_eq!(error.offset, 14);
        assert_eq!(
            error.reason,
            Reason::Truncated {
                needed: 0x00ff_ffff,
                available: 1
            }
        );
        assert_eq!(messages.rest(), &octets[10..]);
        assert!(messages.next().is_none());
    }
}
