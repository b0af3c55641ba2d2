//! The chains inside an SA payload: proposals and transforms.
//!
//! RFC 2408 §3.5 and §3.6 and RFC 7296 §3.3 give both the same first four octets: whether another
//! one follows, a reserved octet, and the length.

use crate::{ParseError, Reason};

/// One link of a chain: proposals and transforms have the same first four octets.
pub(super) struct Substructure<'a> {
    /// The link's octets, from octet 4 on.
    pub(super) body: &'a [u8],
    /// Octets 2..4.
    pub(super) length: u16,
    /// Offset of the link from the start of the message.
    pub(super) offset: usize,
}

/// The links of one chain: every good one, then at most one error.
#[derive(Debug, Clone)]
pub(super) struct Substructures<'a> {
    what: &'static str,
    rest: &'a [u8],
    offset: usize,
    pub(super) state: State,
}

/// How far a chain has been walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// A link must follow.
    More,
    /// The last link was given: nothing may follow.
    Last,
    /// Ended or failed.
    Done,
}

impl<'a> Substructures<'a> {
    const HEADER_LEN: usize = 4;

    pub(super) const fn new(what: &'static str, rest: &'a [u8], offset: usize) -> Self {
        Self {
            what,
            rest,
            offset,
            state: State::More,
        }
    }

    pub(super) fn error(&self, reason: Reason) -> ParseError {
        ParseError::new(self.what, self.offset, reason)
    }

    fn step(&mut self) -> Result<Substructure<'a>, ParseError> {
        let available = self.rest.len();
        let Some((&[more, _, high, low], _)) = self.rest.split_first_chunk::<4>() else {
            let needed = Self::HEADER_LEN;
            return Err(self.error(Reason::Truncated { needed, available }));
        };
        let length = u16::from_be_bytes([high, low]);
        let len = usize::from(length);
        if len < Self::HEADER_LEN {
            let least = Self::HEADER_LEN;
            return Err(self.error(Reason::BadLength { value: len, least }));
        }
        let Some((link, rest)) = self.rest.split_at_checked(len) else {
            let needed = len;
            return Err(self.error(Reason::Truncated { needed, available }));
        };
        let offset = self.offset;
        self.rest = rest;
        self.offset = self.offset.saturating_add(len);
        self.state = if more == 0 { State::Last } else { State::More };
        let body = link.get(Self::HEADER_LEN..).unwrap_or_default();
        Ok(Substructure {
            body,
            length,
            offset,
        })
    }

    /// The next link, or one error, or nothing.
    pub(super) fn next(&mut self) -> Option<Result<Substructure<'a>, ParseError>> {
        let item = match self.state {
            State::Done => return None,
            State::Last if self.rest.is_empty() => return None,
            State::Last => Err(self.error(Reason::Trailing {
                octets: self.rest.len(),
            })),
            State::More => self.step(),
        };
        if item.is_err() {
            self.state = State::Done;
        }
        Some(item)
    }
}
