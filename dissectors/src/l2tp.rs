//! L2TP: version 2 (RFC 2661) and version 3 (RFC 3931), over UDP and over IP protocol 115.
//!
//! In: the payload of a UDP datagram ([`Message::parse`]) or of an IP packet
//! ([`Message::parse_ip`]). Out: the header, and either the attributes of a control message
//! ([`Message::avps`]) or the octets of a data message ([`Message::body`], PPP in version 2).
//! The cookie and the L2-specific sublayer of version 3 data have no length on the wire:
//! they were agreed in the control messages and stay part of the body.

use crate::error::{PResult, be_u16, be_u32, located};
use crate::{ParseError, Reason, Verdict};

mod avp;
mod codes;

pub use avp::{Avp, Avps, Value};
pub use codes::{
    AvpType, CallResult, ErrorCode, MessageType, PppDisconnectCode, ProxyAuthenType, StopResult,
};

/// The UDP port of L2TP, on the responder's side.
pub const PORT: u16 = 1701;
/// The IP protocol where it travels without UDP (RFC 3931 §4.1.1).
pub const IP_PROTOCOL: u8 = 115;

/// The first two octets: flag bits and the version (RFC 2661 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// Bits that no version uses.
    const RESERVED: u16 = 0x34f0;

    /// T: a control message.
    pub const fn is_control(self) -> bool {
        self.0 & 0x8000 != 0
    }

    /// L: the length field is there.
    pub const fn has_length(self) -> bool {
        self.0 & 0x4000 != 0
    }

    /// S: Ns and Nr are there.
    pub const fn has_sequence(self) -> bool {
        self.0 & 0x0800 != 0
    }

    /// O: the offset size field is there (version 2).
    pub const fn has_offset(self) -> bool {
        self.0 & 0x0200 != 0
    }

    /// P: the data should be treated preferentially (version 2).
    pub const fn is_priority(self) -> bool {
        self.0 & 0x0100 != 0
    }

    /// Version: 2 or 3; 1 is L2F.
    pub const fn version(self) -> u8 {
        let [_, low] = self.0.to_be_bytes();
        low & 0x0f
    }
}

/// One L2TP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Octets 0..2. Over IP protocol 115 a data message has no such octets: the value is
    /// `0x0003` then.
    pub flags: Flags,
    /// The declared length of the message, header included, where the L bit is set.
    pub length: Option<u16>,
    /// Tunnel ID (version 2, 16 bits), or control connection ID (version 3 control, 32
    /// bits). A version 3 data message has none.
    pub tunnel_id: Option<u32>,
    /// Session ID: 16 bits in version 2, 32 in version 3. A version 3 control message has
    /// none.
    pub session_id: Option<u32>,
    /// Sequence number of this message.
    pub ns: Option<u16>,
    /// Sequence number expected next from the peer.
    pub nr: Option<u16>,
    /// Octets of padding between the offset field and the data (version 2).
    pub offset_size: Option<u16>,
    /// The octets after the header, cut to the declared length where that is shorter.
    pub body: &'a [u8],
    /// Where the body starts in what was parsed.
    pub body_offset: usize,
    /// What is wrong with the declared length, if anything; what is there is still readable.
    pub length_fault: Option<ParseError>,
    /// Octets after the declared end.
    pub trailing: usize,
}

/// The header fields as they were read, before the body is delimited.
#[derive(Default)]
struct Head {
    flags: Flags,
    length: Option<u16>,
    tunnel_id: Option<u32>,
    session_id: Option<u32>,
    ns: Option<u16>,
    nr: Option<u16>,
    offset_size: Option<u16>,
}

impl<'a> Message<'a> {
    /// Reads the payload of a UDP datagram.
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        let (body, head) = located("L2TP header", octets, octets, read_udp)?;
        Ok(Self::delimit(&head, octets, body, 0))
    }

    /// Reads the payload of an IP packet of protocol 115 (RFC 3931 §4.1.1): a session ID,
    /// and, where that is zero, a control message.
    pub fn parse_ip(octets: &'a [u8]) -> Result<Self, ParseError> {
        let (rest, session_id) = located("L2TP session ID", octets, octets, be_u32)?;
        if session_id != 0 {
            let head = Head {
                flags: Flags(3),
                session_id: Some(session_id),
                ..Head::default()
            };
            return Ok(Self::delimit(&head, octets, rest, 4));
        }
        let (body, head) = located("L2TP header", octets, rest, read_v3_control)?;
        Ok(Self::delimit(&head, octets, body, 4))
    }

    /// `start` is where the octets that the length counts begin.
    fn delimit(head: &Head, octets: &'a [u8], body: &'a [u8], start: usize) -> Self {
        let body_offset = octets.len().saturating_sub(body.len());
        let header_len = body_offset.saturating_sub(start);
        let declared = head.length.map_or(usize::MAX, usize::from);
        let available = octets.len().saturating_sub(start);
        let reason = if declared < header_len {
            Some(Reason::BadLength {
                value: declared,
                least: header_len,
            })
        } else if head.length.is_some() && declared > available {
            Some(Reason::Truncated {
                needed: declared,
                available,
            })
        } else {
            None
        };
        let body_len = declared.saturating_sub(header_len);
        let delimited = if declared < header_len {
            body
        } else {
            body.get(..body_len).unwrap_or(body)
        };
        Self {
            flags: head.flags,
            length: head.length,
            tunnel_id: head.tunnel_id,
            session_id: head.session_id,
            ns: head.ns,
            nr: head.nr,
            offset_size: head.offset_size,
            body: delimited,
            body_offset,
            length_fault: reason
                .map(|reason| ParseError::new("L2TP length", start.saturating_add(2), reason)),
            trailing: body.len().saturating_sub(delimited.len()),
        }
    }

    /// Whether it is a control message.
    pub const fn is_control(&self) -> bool {
        self.flags.is_control()
    }

    /// Whether it is a zero-length body message: a control message that only acknowledges.
    pub const fn is_zlb(&self) -> bool {
        self.is_control() && self.body.is_empty() && self.length_fault.is_none()
    }

    /// The attributes of a control message; none for a data message.
    pub fn avps(&self) -> Avps<'a> {
        let octets = if self.is_control() { self.body } else { &[] };
        Avps::new(octets, self.body_offset)
    }

    /// The message type, which is the first attribute of every control message but a ZLB
    /// (RFC 2661 §4.4.1).
    pub fn message_type(&self) -> Option<MessageType> {
        let first = self.avps().next()?.ok()?;
        match first.value() {
            Ok(Value::MessageType(message_type)) => Some(message_type),
            _ => None,
        }
    }
}

fn read_udp(i: &[u8]) -> PResult<'_, Head> {
    let (after, flags) = be_u16(i).map(|(i, flags)| (i, Flags(flags)))?;
    match (flags.version(), flags.is_control()) {
        (2, _) => read_v2(flags, after),
        (3, true) => read_v3_control(i),
        (3, false) => {
            let (i, _reserved) = be_u16(after)?;
            let (i, session_id) = be_u32(i)?;
            let head = Head {
                flags,
                session_id: Some(session_id),
                ..Head::default()
            };
            Ok((i, head))
        }
        _ => crate::error::fault(i, Reason::Invalid("neither version 2 nor 3")),
    }
}

fn read_v2(flags: Flags, i: &[u8]) -> PResult<'_, Head> {
    let (i, length) = optional(flags.has_length(), i)?;
    let (i, tunnel_id) = be_u16(i)?;
    let (i, session_id) = be_u16(i)?;
    let (i, ns) = optional(flags.has_sequence(), i)?;
    let (i, nr) = optional(flags.has_sequence(), i)?;
    let (i, offset_size) = optional(flags.has_offset(), i)?;
    let (i, _padding) = crate::error::take(usize::from(offset_size.unwrap_or(0)))(i)?;
    let head = Head {
        flags,
        length,
        tunnel_id: Some(u32::from(tunnel_id)),
        session_id: Some(u32::from(session_id)),
        ns,
        nr,
        offset_size,
    };
    Ok((i, head))
}

fn read_v3_control(i: &[u8]) -> PResult<'_, Head> {
    let start = i;
    let (i, flags) = be_u16(i).map(|(i, flags)| (i, Flags(flags)))?;
    if flags.version() != 3 || !flags.is_control() {
        return crate::error::fault(start, Reason::Invalid("not a version 3 control message"));
    }
    let (i, length) = be_u16(i)?;
    let (i, control_connection_id) = be_u32(i)?;
    let (i, ns) = be_u16(i)?;
    let (i, nr) = be_u16(i)?;
    let head = Head {
        flags,
        length: Some(length),
        tunnel_id: Some(control_connection_id),
        ns: Some(ns),
        nr: Some(nr),
        ..Head::default()
    };
    Ok((i, head))
}

fn optional(present: bool, i: &[u8]) -> PResult<'_, Option<u16>> {
    if present {
        be_u16(i).map(|(i, value)| (i, Some(value)))
    } else {
        Ok((i, None))
    }
}

/// Whether a UDP payload is L2TP.
///
/// A control message of either version is `Certain` when its flags are exactly those the
/// RFCs demand, its length is that of the datagram and its first attribute is the message
/// type. A data message carries next to nothing to recognise, so it is `Unsure` at best: a
/// known tunnel or port 1701 must speak for it.
pub fn recognise(octets: &[u8]) -> Verdict {
    let Some((&[high, low], rest)) = octets.split_first_chunk::<2>() else {
        return Verdict::NotOurs;
    };
    let flags = Flags(u16::from_be_bytes([high, low]));
    if !matches!(flags.version(), 2 | 3) || flags.0 & Flags::RESERVED != 0 {
        return Verdict::NotOurs;
    }
    if !flags.is_control() {
        return recognise_data(flags, rest);
    }
    if !matches!(flags.0, 0xc802 | 0xc803) {
        return Verdict::NotOurs;
    }
    let Ok(message) = Message::parse(octets) else {
        return Verdict::NotOurs;
    };
    if message.length_fault.is_some() {
        return Verdict::NotOurs;
    }
    if message.is_zlb() {
        return if message.trailing == 0 {
            Verdict::Certain
        } else {
            Verdict::Unsure
        };
    }
    match (message.message_type(), message.trailing) {
        (Some(_), 0) => Verdict::Certain,
        (Some(_), _) => Verdict::Unsure,
        // Version 3 may put a message digest or an extended vendor ID first.
        (None, 0) if flags.version() == 3 && message.avps().all(|avp| avp.is_ok()) => {
            Verdict::Unsure
        }
        (None, _) => Verdict::NotOurs,
    }
}

fn recognise_data(flags: Flags, rest: &[u8]) -> Verdict {
    if flags.version() == 3 {
        let reserved_is_zero = rest.starts_with(&[0, 0]);
        let session_id = rest.get(2..6).unwrap_or_default();
        let has_session = session_id.iter().any(|&octet| octet != 0);
        // Version 3 data uses no flag at all.
        return if flags.0 == 3 && reserved_is_zero && has_session {
            Verdict::Unsure
        } else {
            Verdict::NotOurs
        };
    }
    let Ok((body, head)) = read_v2(flags, rest) else {
        return Verdict::NotOurs;
    };
    let whole = rest.len().saturating_add(2);
    let fits = head
        .length
        .is_none_or(|length| usize::from(length) <= whole && length >= 6);
    if fits && head.tunnel_id != Some(0) && head.session_id != Some(0) && !body.is_empty() {
        Verdict::Unsure
    } else {
        Verdict::NotOurs
    }
}

#[cfg(test)]
mod tests;
