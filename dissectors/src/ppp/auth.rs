//! PAP (RFC 1334), CHAP (RFC 1994), and Microsoft's texts in CHAP (RFC 2433, RFC 2759).

use core::str;

use super::Content;
use super::codes::MsChapError;
use crate::Octets;
use crate::error::{PResult, be_u8, take};

/// PAP Authenticate-Request: octet 0 the length of the name, the name, an octet with the
/// length of the password, the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PapRequest<'a> {
    /// The user's name.
    pub peer_id: Octets<'a>,
    /// The password, in clear. Never to be shown unasked.
    pub password: Secret<'a>,
}

/// Octets that open doors: `Debug` shows their number alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret<'a>(pub &'a [u8]);

impl core::fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Secret({} octets)", self.0.len())
    }
}

/// CHAP Challenge or Response: octet 0 the size of the value, the value, the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChapValue<'a> {
    /// The challenge, or the response to it: MD5 16 octets, MS-CHAP and MS-CHAPv2 49. A
    /// pair of them can be tried offline.
    pub value: Octets<'a>,
    /// Who challenges or answers.
    pub name: Octets<'a>,
}

/// CHAP Success or Failure: text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChapMessage<'a> {
    /// The text.
    pub text: Octets<'a>,
}

impl<'a> ChapMessage<'a> {
    /// The text of an MS-CHAP Failure, where it is one.
    pub fn ms_chap_failure(&self) -> Option<MsChapFailure<'a>> {
        MsChapFailure::parse(self.text.0)
    }

    /// The text of an MS-CHAPv2 Success, where it is one.
    pub fn ms_chap_success(&self) -> Option<MsChapSuccess<'a>> {
        MsChapSuccess::parse(self.text.0)
    }
}

/// `E=691 R=1 C=0123… V=3 M=text` (RFC 2433 §5, RFC 2759 §6), read field by field; only
/// the error must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MsChapFailure<'a> {
    /// E: why.
    pub error: MsChapError,
    /// R: whether the user may try again on this link.
    pub retry: Option<bool>,
    /// C: the challenge for that, in hex.
    pub challenge: Option<&'a str>,
    /// V: the version of the password-change protocol.
    pub version: Option<u32>,
    /// M: text for the user, to the end of the packet.
    pub message: Option<&'a str>,
}

impl<'a> MsChapFailure<'a> {
    /// Reads the text.
    pub fn parse(octets: &'a [u8]) -> Option<Self> {
        let text = leading_text(octets);
        let (fields, message) = split_message(text);
        let mut failure = Self {
            error: MsChapError(0),
            retry: None,
            challenge: None,
            version: None,
            message,
        };
        let mut has_error = false;
        for (key, value) in fields
            .split_ascii_whitespace()
            .filter_map(|field| field.split_once('='))
        {
            match key {
                "E" => {
                    failure.error = MsChapError(value.parse().ok()?);
                    has_error = true;
                }
                "R" => failure.retry = Some(value == "1"),
                "C" => failure.challenge = Some(value),
                "V" => failure.version = value.parse().ok(),
                _ => {}
            }
        }
        has_error.then_some(failure)
    }
}

/// `S=40 hex digits M=text` (RFC 2759 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MsChapSuccess<'a> {
    /// S: the authenticator response. A client takes nothing but 40 hex digits.
    pub authenticator: &'a str,
    /// M: text for the user.
    pub message: Option<&'a str>,
}

impl<'a> MsChapSuccess<'a> {
    /// Reads the text.
    pub fn parse(octets: &'a [u8]) -> Option<Self> {
        let (fields, message) = split_message(leading_text(octets));
        let authenticator = fields
            .split_ascii_whitespace()
            .find_map(|field| field.strip_prefix("S="))?;
        Some(Self {
            authenticator,
            message,
        })
    }

    /// Whether the authenticator is forty hex digits, as RFC 2759 demands.
    pub fn is_well_formed(&self) -> bool {
        self.authenticator.len() == 40
            && self
                .authenticator
                .bytes()
                .all(|octet| octet.is_ascii_hexdigit())
    }
}

/// The octets up to the first that is no UTF-8.
fn leading_text(octets: &[u8]) -> &str {
    match str::from_utf8(octets) {
        Ok(text) => text,
        Err(error) => octets
            .get(..error.valid_up_to())
            .and_then(|good| str::from_utf8(good).ok())
            .unwrap_or_default(),
    }
}

/// M is the last field and runs to the end, blanks and all.
fn split_message(text: &str) -> (&str, Option<&str>) {
    if let Some(message) = text.strip_prefix("M=") {
        return ("", Some(message));
    }
    match text.split_once(" M=") {
        Some((fields, message)) => (fields, Some(message)),
        None => (text, None),
    }
}

pub(super) fn read_pap_request(i: &[u8]) -> PResult<'_, Content<'_>> {
    let (i, len) = be_u8(i)?;
    let (i, peer_id) = take(len.into())(i)?;
    let (i, len) = be_u8(i)?;
    let (i, password) = take(len.into())(i)?;
    let content = Content::Pap(PapRequest {
        peer_id: Octets(peer_id),
        password: Secret(password),
    });
    Ok((i, content))
}

/// A length octet and text; some peers leave out both (RFC 1334 §2.2.2 has them).
#[expect(clippy::unnecessary_wraps, reason = "one of a table of readers")]
pub(super) fn read_pap_answer(i: &[u8]) -> PResult<'_, Content<'_>> {
    let text = match i.split_first() {
        None => &[],
        Some((&len, rest)) => rest.get(..len.into()).unwrap_or(rest),
    };
    Ok((&[], Content::Text(Octets(text))))
}

pub(super) fn read_chap_value(i: &[u8]) -> PResult<'_, Content<'_>> {
    let (i, len) = be_u8(i)?;
    let (name, value) = take(len.into())(i)?;
    let content = Content::ChapValue(ChapValue {
        value: Octets(value),
        name: Octets(name),
    });
    Ok((&[], content))
}

#[expect(clippy::unnecessary_wraps, reason = "one of a table of readers")]
pub(super) fn read_chap_message(i: &[u8]) -> PResult<'_, Content<'_>> {
    Ok((&[], Content::ChapMessage(ChapMessage { text: Octets(i) })))
}
