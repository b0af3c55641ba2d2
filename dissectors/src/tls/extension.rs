//! Extensions: a type, a length, a body whose form depends on the message it stands in
//! (RFC 6066, RFC 9846 §4.2).

use super::codes::ExtensionType;
use super::vector::opaque16;
use crate::error::{PResult, be_u16, located, offset_within};
use crate::{Octets, ParseError, Reason};

mod body;

pub use body::{
    Body, EncryptedClientHello, KeyShare, OidFilter, PskIdentity, ServerName, StatusRequest,
};

/// The message that an extension stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// ClientHello.
    ClientHello,
    /// ServerHello, of any version.
    ServerHello,
    /// HelloRetryRequest.
    HelloRetryRequest,
    /// `EncryptedExtensions`.
    EncryptedExtensions,
    /// An entry of a Certificate message of TLS 1.3.
    Certificate,
    /// CertificateRequest of TLS 1.3.
    CertificateRequest,
    /// `NewSessionTicket` of TLS 1.3.
    NewSessionTicket,
}

/// One extension, its body unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Octets 0..2.
    pub extension_type: ExtensionType,
    /// Where the extension starts in the body of its message.
    pub offset: usize,
    /// Octets 4.., of the length that octets 2..4 declare.
    pub body: Octets<'a>,
}

impl<'a> Extension<'a> {
    /// Size of type and length in octets.
    pub const HEADER_LEN: usize = 4;

    fn read_raw(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, extension_type) = be_u16(i)?;
        let (i, body) = opaque16(i)?;
        let extension = Self {
            extension_type: ExtensionType(extension_type),
            offset: 0,
            body: Octets(body),
        };
        Ok((i, extension))
    }

    /// Reads the body as it must look in `place`.
    pub fn read(&self, place: Place) -> Result<Body<'a>, ParseError> {
        Body::parse(self.extension_type, place, self.body.0)
            .map_err(|error| error.moved(self.offset.saturating_add(Self::HEADER_LEN)))
    }
}

/// The extensions of a message: every whole one, then at most one error, then nothing.
#[derive(Debug, Clone, Copy)]
pub struct Extensions<'a> {
    what: &'static str,
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Extensions<'a> {
    /// None at all.
    pub const fn none() -> Self {
        Self {
            what: "",
            rest: &[],
            offset: 0,
        }
    }

    /// The block of extensions that starts with its length at `part` of `whole`, and what
    /// is wrong with that length. What is there of a block that was cut off is given.
    pub(crate) fn delimit(
        what: &'static str,
        whole: &'a [u8],
        part: &'a [u8],
    ) -> (Self, Option<ParseError>) {
        let offset = offset_within(whole, part);
        let error = |reason| Some(ParseError::new(what, offset, reason));
        let (block, fault) = match part.split_first_chunk::<2>() {
            None => (
                &[][..],
                error(Reason::Truncated {
                    needed: 2,
                    available: part.len(),
                }),
            ),
            Some((length, rest)) => {
                let length = usize::from(u16::from_be_bytes(*length));
                match rest.split_at_checked(length) {
                    None => (
                        rest,
                        error(Reason::Truncated {
                            needed: length.saturating_add(2),
                            available: part.len(),
                        }),
                    ),
                    Some((block, [])) => (block, None),
                    Some((block, left)) => (block, error(Reason::Trailing { octets: left.len() })),
                }
            }
        };
        let extensions = Self {
            what,
            rest: block,
            offset: offset.saturating_add(2),
        };
        (extensions, fault)
    }

    /// The block of extensions `part`, without its length, of `whole`.
    pub(crate) fn of(what: &'static str, whole: &'a [u8], part: &'a [u8]) -> Self {
        Self {
            what,
            rest: part,
            offset: offset_within(whole, part),
        }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> IntoIterator for &Extensions<'a> {
    type Item = Result<Extension<'a>, ParseError>;
    type IntoIter = Walk<'a>;

    fn into_iter(self) -> Walk<'a> {
        Walk(*self)
    }
}

impl<'a> IntoIterator for Extensions<'a> {
    type Item = Result<Extension<'a>, ParseError>;
    type IntoIter = Walk<'a>;

    fn into_iter(self) -> Walk<'a> {
        Walk(self)
    }
}

impl<'a> Extensions<'a> {
    /// The first whole extension of a type.
    pub(super) fn find(&self, wanted: ExtensionType) -> Option<Extension<'a>> {
        let mut rest = self.rest;
        while let Some((&[t0, t1, l0, l1], after)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            let (body, left) = after.split_at_checked(length)?;
            if u16::from_be_bytes([t0, t1]) == wanted.0 {
                let before = self.rest.len().saturating_sub(rest.len());
                return Some(Extension {
                    extension_type: wanted,
                    offset: self.offset.saturating_add(before),
                    body: Octets(body),
                });
            }
            rest = left;
        }
        None
    }

    /// The extensions in wire order.
    pub fn iter(&self) -> Walk<'a> {
        Walk(*self)
    }
}

/// A walk over [`Extensions`].
#[derive(Debug, Clone)]
pub struct Walk<'a>(Extensions<'a>);

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Extension<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let block = &mut self.0;
        if block.rest.is_empty() {
            return None;
        }
        if let Some((&[t0, t1, l0, l1], rest)) = block.rest.split_first_chunk()
            && let length = usize::from(u16::from_be_bytes([l0, l1]))
            && let Some((body, left)) = rest.split_at_checked(length)
        {
            let offset = block.offset;
            block.offset = offset.saturating_add(length.saturating_add(Extension::HEADER_LEN));
            block.rest = left;
            return Some(Ok(Extension {
                extension_type: ExtensionType(u16::from_be_bytes([t0, t1])),
                offset,
                body: Octets(body),
            }));
        }
        // Says what is wrong.
        match located(block.what, block.rest, block.rest, Extension::read_raw) {
            Ok((left, extension)) => {
                let offset = block.offset;
                block.offset = offset.saturating_add(offset_within(block.rest, left));
                block.rest = left;
                Some(Ok(Extension {
                    offset,
                    ..extension
                }))
            }
            Err(error) => {
                block.rest = &[];
                Some(Err(error.moved(block.offset)))
            }
        }
    }
}
