//! What UDP port 4500 carries (RFC 3948 §2): IKE behind a marker, ESP, and keepalives.
//!
//! What comes in: the payload of one UDP datagram. What goes out: which of the three it is, with
//! the octets of IKE unread.

use crate::esp;
use crate::{ParseError, Reason};

/// Octets of the non-ESP marker: four zeros, where ESP has its SPI (RFC 3948 §2.2).
pub const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// A datagram of port 4500.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// One octet 0xff (RFC 3948 §2.3), sent to keep a NAT's mapping.
    Keepalive,
    /// The octets after the non-ESP marker, to be read by [`ike::Message`](crate::ike::Message).
    /// Whether they are IKE is not looked at.
    Ike(&'a [u8]),
    /// ESP.
    Esp(esp::Packet<'a>),
}

impl<'a> Datagram<'a> {
    /// Tells the three apart. What is too short for any of them is an error.
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        match octets {
            [0xff] => Ok(Self::Keepalive),
            [0, 0, 0, 0, ike @ ..] => Ok(Self::Ike(ike)),
            [_, _, _, _, ..] => esp::Packet::parse(octets).map(Self::Esp),
            short => Err(ParseError::new(
                "UDP-encapsulated ESP",
                0,
                Reason::Truncated {
                    needed: esp::Packet::HEADER_LEN,
                    available: short.len(),
                },
            )),
        }
    }
}
