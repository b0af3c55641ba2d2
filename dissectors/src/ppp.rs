//! PPP (RFC 1661): the frame, the packets of the control and authentication protocols, and
//! what they carry.
//!
//! In: the octets of one frame without HDLC flags and checksum, as L2TP, `PPPoE`, PPTP's GRE
//! and `DLT_PPP` captures hold it. Out: a [`Frame`], a [`Packet`] where its protocol has
//! packets, and lazily the [`Options`] of a Configure packet or one of [`auth`]'s messages.

use crate::error::{PResult, be_u8, be_u16, be_u32, located};
use crate::{Octets, ParseError, Reason};

pub mod auth;
mod codes;
mod option;

pub use codes::{
    CcpOption, ChapAlgorithm, ChapCode, Code, IpcpOption, Ipv6cpOption, LcpOption, MsChapError,
    PapCode, Protocol,
};
pub use option::{Mppe, OptionValue, Options, RawOption};

/// One PPP frame: the protocol, and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Whether the address and control fields `ff 03` stand before the protocol; they go
    /// away where ACFC was agreed (RFC 1661 §6.6).
    pub has_address_control: bool,
    /// The protocol.
    pub protocol: Protocol,
    /// Whether the protocol took one octet only (PFC, RFC 1661 §6.5).
    pub is_protocol_compressed: bool,
    /// Offset of the body from the start of the frame.
    pub body_offset: usize,
    /// The octets after the protocol.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame, compressed or not.
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        located("PPP frame", octets, octets, |i| {
            let start = i;
            let (has_address_control, i) = match i.split_first_chunk::<2>() {
                Some(([0xff, 0x03], rest)) => (true, rest),
                _ => (false, i),
            };
            let (_, first) = be_u8(i)?;
            let is_protocol_compressed = first & 1 == 1;
            let (i, protocol) = if is_protocol_compressed {
                be_u8(i).map(|(i, number)| (i, u16::from(number)))?
            } else {
                be_u16(i)?
            };
            let frame = Frame {
                has_address_control,
                protocol: Protocol(protocol),
                is_protocol_compressed,
                body_offset: start.len().saturating_sub(i.len()),
                body: i,
            };
            Ok((&[], frame))
        })
        .map(|(_, frame)| frame)
    }

    /// Whether the frame holds what its protocol says: the first nibble of IP, or a packet
    /// whose length fits. For recognising PPP where nothing else speaks for it.
    pub fn is_plausible(&self) -> bool {
        match self.protocol {
            Protocol::IPV4 => self.body.first().is_some_and(|first| first >> 4 == 4),
            Protocol::IPV6 => self.body.first().is_some_and(|first| first >> 4 == 6),
            protocol if protocol.has_packets() => self
                .packet()
                .is_some_and(|packet| packet.is_ok_and(|packet| packet.length_fault.is_none())),
            protocol => protocol.name().is_some(),
        }
    }

    /// The packet, where the protocol has packets. Errors are placed from the frame's start.
    pub fn packet(&self) -> Option<Result<Packet<'a>, ParseError>> {
        self.protocol
            .has_packets()
            .then(|| Packet::parse(self.protocol, self.body, self.body_offset))
    }
}

/// A packet of a control or authentication protocol (RFC 1661 §5): code, identifier, length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The protocol it belongs to.
    pub protocol: Protocol,
    /// Octet 0. [`Code`], [`PapCode`], [`ChapCode`] or an EAP code.
    pub code: u8,
    /// Octet 1. Matches answers to requests.
    pub identifier: u8,
    /// Octets 2..4. Length with the four header octets, as declared.
    pub length: u16,
    /// The octets after the header, cut to the declared length where that is shorter.
    pub body: &'a [u8],
    /// Where the body starts in the frame.
    pub body_offset: usize,
    /// What is wrong with the declared length, if anything.
    pub length_fault: Option<ParseError>,
    /// Octets after the declared end: padding.
    pub trailing: usize,
}

impl<'a> Packet<'a> {
    /// Size of the header in octets.
    pub const HEADER_LEN: usize = 4;

    /// Reads a packet of `protocol` that starts `offset` octets into the frame.
    pub fn parse(protocol: Protocol, octets: &'a [u8], offset: usize) -> Result<Self, ParseError> {
        let (rest, (code, identifier, length)) = located("PPP packet", octets, octets, |i| {
            let (i, code) = be_u8(i)?;
            let (i, identifier) = be_u8(i)?;
            let (i, length) = be_u16(i)?;
            Ok((i, (code, identifier, length)))
        })
        .map_err(|error| error.moved(offset))?;
        let declared = usize::from(length);
        let body_len = declared.saturating_sub(Self::HEADER_LEN);
        let reason = if declared < Self::HEADER_LEN {
            Some(Reason::BadLength {
                value: declared,
                least: Self::HEADER_LEN,
            })
        } else if body_len > rest.len() {
            Some(Reason::Truncated {
                needed: declared,
                available: octets.len(),
            })
        } else {
            None
        };
        let body = if declared < Self::HEADER_LEN {
            rest
        } else {
            rest.get(..body_len).unwrap_or(rest)
        };
        Ok(Self {
            protocol,
            code,
            identifier,
            length,
            body,
            body_offset: offset.saturating_add(Self::HEADER_LEN),
            length_fault: reason.map(|reason| {
                ParseError::new("PPP packet length", offset.saturating_add(2), reason)
            }),
            trailing: rest.len().saturating_sub(body.len()),
        })
    }

    /// The code's name in its protocol.
    pub const fn code_name(&self) -> Option<&'static str> {
        self.protocol.code_name(self.code)
    }

    /// The code, where the protocol negotiates: LCP, IPCP, IPV6CP, CCP and their like.
    pub const fn control_code(&self) -> Option<Code> {
        if self.protocol.negotiates() {
            Some(Code(self.code))
        } else {
            None
        }
    }

    /// The options of a Configure-Request, -Ack, -Nak or -Reject; none of anything else.
    pub fn options(&self) -> Options<'a> {
        let octets = match self.control_code() {
            Some(
                Code::CONFIGURE_REQUEST
                | Code::CONFIGURE_ACK
                | Code::CONFIGURE_NAK
                | Code::CONFIGURE_REJECT,
            ) => self.body,
            _ => &[],
        };
        Options::new(self.protocol, octets, self.body_offset)
    }

    /// What the packet carries beside options.
    pub fn content(&self) -> Result<Content<'a>, ParseError> {
        let (what, reader) = content_reader(self.protocol, self.code);
        located(what, self.body, self.body, reader)
            .map(|(_, content)| content)
            .map_err(|error| error.moved(self.body_offset))
    }
}

type ContentReader = fn(&[u8]) -> PResult<'_, Content<'_>>;

fn content_reader(protocol: Protocol, code: u8) -> (&'static str, ContentReader) {
    match protocol {
        Protocol::PAP => {
            let reader: ContentReader = match PapCode(code) {
                PapCode::AUTHENTICATE_REQUEST => auth::read_pap_request,
                PapCode::AUTHENTICATE_ACK | PapCode::AUTHENTICATE_NAK => auth::read_pap_answer,
                _ => read_other,
            };
            ("PAP packet", reader)
        }
        Protocol::CHAP => {
            let reader: ContentReader = match ChapCode(code) {
                ChapCode::CHALLENGE | ChapCode::RESPONSE => auth::read_chap_value,
                ChapCode::SUCCESS | ChapCode::FAILURE => auth::read_chap_message,
                _ => read_other,
            };
            ("CHAP packet", reader)
        }
        _ if protocol.negotiates() => ("PPP packet", control_reader(protocol, Code(code))),
        _ => ("PPP packet", read_other),
    }
}

fn control_reader(protocol: Protocol, code: Code) -> ContentReader {
    match (code, protocol) {
        (
            Code::CONFIGURE_REQUEST
            | Code::CONFIGURE_ACK
            | Code::CONFIGURE_NAK
            | Code::CONFIGURE_REJECT,
            _,
        ) => |_| Ok((&[], Content::Options)),
        (Code::TERMINATE_REQUEST | Code::TERMINATE_ACK, _) => {
            |i| Ok((&[], Content::Text(Octets(i))))
        }
        (Code::CODE_REJECT, _) => |i| Ok((&[], Content::RejectedPacket(Octets(i)))),
        (Code::PROTOCOL_REJECT, Protocol::LCP) => read_protocol_reject,
        (Code::ECHO_REQUEST | Code::ECHO_REPLY | Code::DISCARD_REQUEST, Protocol::LCP) => read_echo,
        (Code::IDENTIFICATION, Protocol::LCP) => read_identification,
        (Code::TIME_REMAINING, Protocol::LCP) => read_time_remaining,
        _ => read_other,
    }
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content<'a> {
    /// Options: see [`Packet::options`].
    Options,
    /// The reason in a Terminate packet, or the text of a PAP answer.
    Text(Octets<'a>),
    /// The packet that a Code-Reject did not understand.
    RejectedPacket(Octets<'a>),
    /// Protocol-Reject (RFC 1661 §5.7).
    ProtocolReject {
        /// Octets 0..2 of the body.
        protocol: Protocol,
        /// The rejected packet, as far as it was sent back.
        information: Octets<'a>,
    },
    /// Echo-Request, Echo-Reply, Discard-Request (RFC 1661 §5.8, §5.9).
    Echo {
        /// Octets 0..4 of the body. The sender's magic number: one's own means a loop.
        magic: u32,
        /// Anything.
        data: Octets<'a>,
    },
    /// Identification (RFC 1570 §2.1); Windows sends its version and host name.
    Identification {
        /// Octets 0..4 of the body.
        magic: u32,
        /// What the sender is.
        message: Octets<'a>,
    },
    /// Time-Remaining (RFC 1570 §2.2).
    TimeRemaining {
        /// Octets 0..4 of the body.
        magic: u32,
        /// Octets 4..8, seconds.
        seconds: u32,
        /// Text for the user.
        message: Octets<'a>,
    },
    /// PAP Authenticate-Request.
    Pap(auth::PapRequest<'a>),
    /// CHAP Challenge or Response.
    ChapValue(auth::ChapValue<'a>),
    /// CHAP Success or Failure.
    ChapMessage(auth::ChapMessage<'a>),
    /// Anything else; an EAP packet is read by [`crate::eap`].
    Other(Octets<'a>),
}

#[expect(clippy::unnecessary_wraps, reason = "one of a table of readers")]
fn read_other(i: &[u8]) -> PResult<'_, Content<'_>> {
    Ok((&[], Content::Other(Octets(i))))
}

fn read_protocol_reject(i: &[u8]) -> PResult<'_, Content<'_>> {
    let (information, protocol) = be_u16(i)?;
    let content = Content::ProtocolReject {
        protocol: Protocol(protocol),
        information: Octets(information),
    };
    Ok((&[], content))
}

fn read_echo(i: &[u8]) -> PResult<'_, Content<'_>> {
    let (data, magic) = be_u32(i)?;
    let data = Octets(data);
    Ok((&[], Content::Echo { magic, data }))
}

fn read_identification(i: &[u8]) -> PResult<'_, Content<'_>> {
    let (message, magic) = be_u32(i)?;
    let message = Octets(message);
    Ok((&[], Content::Identification { magic, message }))
}

fn read_time_remaining(i: &[u8]) -> PResult<'_, Content<'_>> {
    let (i, magic) = be_u32(i)?;
    let (message, seconds) = be_u32(i)?;
    let content = Content::TimeRemaining {
        magic,
        seconds,
        message: Octets(message),
    };
    Ok((&[], content))
}

#[cfg(test)]
mod tests;
