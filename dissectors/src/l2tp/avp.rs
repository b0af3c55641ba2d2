//! Attribute value pairs (RFC 2661 §4.1, RFC 3931 §5.1).

use super::codes::{AvpType, ErrorCode, MessageType, PppDisconnectCode, ProxyAuthenType};
use crate::error::{PResult, be_u8, be_u16, be_u32, located};
use crate::{Octets, ParseError, Reason};

/// One attribute, its value unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avp<'a> {
    /// Octets 0..2, the upper six bits: M, H and four reserved ones, shifted down.
    pub flags: u8,
    /// Octets 0..2, the lower ten bits. Length of the attribute with its 6-octet header.
    pub length: u16,
    /// Octets 2..4. Vendor ID; 0 for the attributes of the RFCs.
    pub vendor: u16,
    /// Octets 4..6. Attribute type, within its vendor.
    pub attribute: u16,
    /// Offset of the attribute from the start of what the message was parsed from.
    pub offset: usize,
    /// The value.
    pub body: &'a [u8],
}

impl<'a> Avp<'a> {
    /// Size of the attribute's header in octets.
    pub const HEADER_LEN: usize = 6;

    /// M: the peer must understand it, or give up.
    pub const fn is_mandatory(&self) -> bool {
        self.flags & 0x20 != 0
    }

    /// H: the value is hidden with the tunnel secret and a Random Vector (RFC 2661 §4.3).
    pub const fn is_hidden(&self) -> bool {
        self.flags & 0x10 != 0
    }

    /// The attribute type, for vendor 0.
    pub const fn avp_type(&self) -> Option<AvpType> {
        if self.vendor == 0 {
            Some(AvpType(self.attribute))
        } else {
            None
        }
    }

    /// Whether the value holds something that opens doors or can be tried offline: the
    /// peers' proof of the shared secret, or the credentials of a proxied login.
    pub fn is_secret(&self) -> bool {
        matches!(
            self.avp_type(),
            Some(
                AvpType::CHALLENGE_RESPONSE
                    | AvpType::PROXY_AUTHEN_RESPONSE
                    | AvpType::ASSIGNED_COOKIE
            )
        )
    }

    /// Reads the value as its type demands.
    pub fn value(&self) -> Result<Value<'a>, ParseError> {
        if self.is_hidden() {
            return Ok(Value::Hidden(Octets(self.body)));
        }
        let Some(avp_type) = self.avp_type() else {
            return Ok(Value::Octets(Octets(self.body)));
        };
        located("L2TP attribute value", self.body, self.body, |i| {
            read_value(avp_type, i)
        })
        .map(|(_, value)| value)
        .map_err(|error| error.moved(self.offset.saturating_add(Self::HEADER_LEN)))
    }
}

/// A value, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Hidden: only the tunnel secret opens it.
    Hidden(Octets<'a>),
    /// Message Type.
    MessageType(MessageType),
    /// Result Code: octets 0..2 the result, whose meaning depends on the message (`StopCCN` or
    /// CDN); 2..4 the error code; then text. Both may be absent.
    Result {
        /// [`super::StopResult`] or [`super::CallResult`].
        result: u16,
        /// The general error code.
        error: Option<ErrorCode>,
        /// What the sender says about it.
        message: Option<Octets<'a>>,
    },
    /// Protocol Version.
    Version {
        /// Octet 0.
        version: u8,
        /// Octet 1.
        revision: u8,
    },
    /// Q.931 Cause Code: octets 0..2 the cause, 2 the message, then advisory text.
    Cause {
        /// Q.931 cause code.
        code: u16,
        /// Q.931 message code.
        message: u8,
        /// Advisory text.
        text: Octets<'a>,
    },
    /// PPP Disconnect Cause Code (RFC 3145): octets 0..2 the code, 2..4 the PPP control
    /// protocol, 4 the direction (0 global, 1 at the peer, 2 at the sender), then text.
    PppDisconnect {
        /// Why PPP ended.
        code: PppDisconnectCode,
        /// The control protocol concerned, 0 for none.
        protocol: u16,
        /// Direction.
        direction: u8,
        /// Text for the log.
        text: Octets<'a>,
    },
    /// Proxy Authen Type: how the LAC authenticated the user.
    ProxyAuthen(ProxyAuthenType),
    /// A number of 1, 2, 4 or 8 octets.
    Number(u64),
    /// ACCM: octets 2..6 the send map, 6..10 the receive map.
    Accm {
        /// Send map.
        send: u32,
        /// Receive map.
        receive: u32,
    },
    /// Text.
    Text(Octets<'a>),
    /// Anything else.
    Octets(Octets<'a>),
}

fn read_value(avp_type: AvpType, i: &[u8]) -> PResult<'_, Value<'_>> {
    match avp_type {
        AvpType::MESSAGE_TYPE => {
            be_u16(i).map(|(i, code)| (i, Value::MessageType(MessageType(code))))
        }
        AvpType::RESULT_CODE => read_result(i),
        AvpType::PROTOCOL_VERSION => {
            let (i, version) = be_u8(i)?;
            let (i, revision) = be_u8(i)?;
            Ok((i, Value::Version { version, revision }))
        }
        AvpType::CAUSE_CODE => {
            let (i, code) = be_u16(i)?;
            let (text, message) = be_u8(i)?;
            let text = Octets(text);
            let value = Value::Cause {
                code,
                message,
                text,
            };
            Ok((&[], value))
        }
        AvpType::PPP_DISCONNECT_CAUSE_CODE => read_ppp_disconnect(i),
        AvpType::PROXY_AUTHEN_TYPE => {
            be_u16(i).map(|(i, code)| (i, Value::ProxyAuthen(ProxyAuthenType(code))))
        }
        AvpType::ACCM => {
            let (i, _reserved) = be_u16(i)?;
            let (i, send) = be_u32(i)?;
            let (i, receive) = be_u32(i)?;
            Ok((i, Value::Accm { send, receive }))
        }
        AvpType::HOST_NAME
        | AvpType::VENDOR_NAME
        | AvpType::CALLED_NUMBER
        | AvpType::CALLING_NUMBER
        | AvpType::SUB_ADDRESS
        | AvpType::CALLING_SUB_ADDRESS
        | AvpType::SERVICE_NAME
        | AvpType::PROXY_AUTHEN_NAME
        | AvpType::PREFERRED_LANGUAGE => Ok((&[], Value::Text(Octets(i)))),
        _ if is_number(avp_type) => read_number(i),
        _ => Ok((&[], Value::Octets(Octets(i)))),
    }
}

fn is_number(avp_type: AvpType) -> bool {
    matches!(
        avp_type,
        AvpType::FRAMING_CAPABILITIES
            | AvpType::BEARER_CAPABILITIES
            | AvpType::FIRMWARE_REVISION
            | AvpType::ASSIGNED_TUNNEL_ID
            | AvpType::RECEIVE_WINDOW_SIZE
            | AvpType::ASSIGNED_SESSION_ID
            | AvpType::CALL_SERIAL_NUMBER
            | AvpType::MINIMUM_BPS
            | AvpType::MAXIMUM_BPS
            | AvpType::BEARER_TYPE
            | AvpType::FRAMING_TYPE
            | AvpType::TX_CONNECT_SPEED_BPS
            | AvpType::PHYSICAL_CHANNEL_ID
            | AvpType::PROXY_AUTHEN_ID
            | AvpType::RX_CONNECT_SPEED_BPS
            | AvpType::RX_MINIMUM_BPS
            | AvpType::RX_MAXIMUM_BPS
            | AvpType::ROUTER_ID
            | AvpType::ASSIGNED_CONTROL_CONNECTION_ID
            | AvpType::LOCAL_SESSION_ID
            | AvpType::REMOTE_SESSION_ID
            | AvpType::PSEUDOWIRE_TYPE
            | AvpType::L2_SPECIFIC_SUBLAYER
            | AvpType::DATA_SEQUENCING
            | AvpType::CIRCUIT_STATUS
            | AvpType::TX_CONNECT_SPEED
            | AvpType::RX_CONNECT_SPEED
            | AvpType::INTERFACE_MAXIMUM_TRANSMISSION_UNIT
            | AvpType::MAXIMUM_RECEIVE_UNIT
            | AvpType::MAXIMUM_REASSEMBLED_RECEIVE_UNIT
    )
}

fn read_number(i: &[u8]) -> PResult<'_, Value<'_>> {
    let value = match *i {
        [] => {
            return crate::error::fault(
                i,
                Reason::Truncated {
                    needed: 1,
                    available: 0,
                },
            );
        }
        ref octets if octets.len() <= 8 => octets
            .iter()
            .fold(0u64, |value, &octet| (value << 8) | u64::from(octet)),
        _ => return crate::error::fault(i, Reason::Invalid("number longer than 8 octets")),
    };
    Ok((&[], Value::Number(value)))
}

fn read_result(i: &[u8]) -> PResult<'_, Value<'_>> {
    let (i, result) = be_u16(i)?;
    let (text, error) = match *i {
        [] | [_] => (i, None),
        _ => be_u16(i).map(|(i, code)| (i, Some(ErrorCode(code))))?,
    };
    let message = (!text.is_empty()).then_some(Octets(text));
    let value = Value::Result {
        result,
        error,
        message,
    };
    Ok((&[], value))
}

fn read_ppp_disconnect(i: &[u8]) -> PResult<'_, Value<'_>> {
    let (i, code) = be_u16(i)?;
    let (i, protocol) = be_u16(i)?;
    let (text, direction) = be_u8(i)?;
    let value = Value::PppDisconnect {
        code: PppDisconnectCode(code),
        protocol,
        direction,
        text: Octets(text),
    };
    Ok((&[], value))
}

/// The attributes of a control message: every good one, then at most one error.
#[derive(Debug, Clone)]
pub struct Avps<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Avps<'a> {
    pub(super) const fn new(octets: &'a [u8], offset: usize) -> Self {
        Self {
            rest: octets,
            offset,
        }
    }

    fn step(&mut self) -> Result<Avp<'a>, ParseError> {
        let error = |reason| ParseError::new("L2TP attribute", self.offset, reason);
        let available = self.rest.len();
        let Some((&[high, low, v0, v1, t0, t1], _)) = self.rest.split_first_chunk::<6>() else {
            return Err(error(Reason::Truncated {
                needed: Avp::HEADER_LEN,
                available,
            }));
        };
        let length = u16::from_be_bytes([high & 0x03, low]);
        let len = usize::from(length);
        if len < Avp::HEADER_LEN {
            let least = Avp::HEADER_LEN;
            return Err(error(Reason::BadLength { value: len, least }));
        }
        let Some((avp, rest)) = self.rest.split_at_checked(len) else {
            return Err(error(Reason::Truncated {
                needed: len,
                available,
            }));
        };
        let offset = self.offset;
        self.rest = rest;
        self.offset = self.offset.saturating_add(len);
        Ok(Avp {
            flags: high >> 2,
            length,
            vendor: u16::from_be_bytes([v0, v1]),
            attribute: u16::from_be_bytes([t0, t1]),
            offset,
            body: avp.get(Avp::HEADER_LEN..).unwrap_or_default(),
        })
    }
}

until_error!(Avps gives Avp);
