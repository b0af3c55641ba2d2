//! Notify payload, with its data decoded where they have structure.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::attribute::AttributeClass;
use super::codes::{Doi, NotifyType, Protocol};
use super::delete::cookies;
use super::{Attributes, body, end, rest};
use crate::error::{PResult, array, be_u8, be_u16, be_u32, be_u64, fault, located, take};
use crate::ike::{RawPayload, Spi};
use crate::{Octets, ParseError, Reason};

/// Notify payload (RFC 2408 §3.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notify<'a> {
    /// Octets 4..8 of the payload.
    pub doi: Doi,
    /// Octet 8.
    pub protocol: Protocol,
    /// Octets 10..12.
    pub notify_type: NotifyType,
    /// Octets 12.., their number from octet 9. The SA it concerns.
    pub spi: Octets<'a>,
    /// What follows.
    pub data: Octets<'a>,
    data_offset: usize,
}

impl<'a> Notify<'a> {
    /// Reads the body. The data are read by [`Self::content`].
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        let offset = raw.body_offset();
        body("IKEv1 notify", raw, |i| Self::read(i, offset))
    }

    fn read(i: &'a [u8], offset: usize) -> PResult<'a, Self> {
        let (i, doi) = be_u32(i)?;
        let (i, protocol) = be_u8(i)?;
        let (i, spi_size) = be_u8(i)?;
        let (i, notify_type) = be_u16(i)?;
        let (i, spi) = take(spi_size.into())(i)?;
        let (i, data) = rest(i)?;
        Ok((
            i,
            Self {
                doi: Doi(doi),
                protocol: Protocol(protocol),
                notify_type: NotifyType(notify_type),
                spi: Octets(spi),
                data,
                data_offset: offset.saturating_add(8).saturating_add(spi.len()),
            },
        ))
    }

    /// The cookies of the ISAKMP SA it concerns, where the SPI is made of them; initiator's first.
    pub fn cookies(&self) -> Option<(Spi, Spi)> {
        cookies(self.spi)
    }

    /// Which registry the attributes in the data belong to.
    pub const fn class(&self) -> AttributeClass {
        AttributeClass::of(self.protocol)
    }

    /// What the data say, by type. [`NotifyData::None`] where there are none,
    /// [`NotifyData::Octets`] where the type gives them no structure; an error where they do not
    /// have the structure of their type.
    pub fn content(&self) -> Result<NotifyData<'a>, ParseError> {
        let data = self.data.0;
        let offset = self.data_offset;
        located("IKEv1 notify data", data, data, |i| {
            NotifyData::read(self.notify_type, i, offset)
        })
        .map(|(_, data)| data)
        .map_err(|error| error.moved(offset))
    }
}

/// The data of a notify.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotifyData<'a> {
    /// None.
    None,
    /// `ATTRIBUTES-NOT-SUPPORTED` (RFC 2408 §3.14.1), `RESPONDER-LIFETIME` (RFC 2407 §4.6.3.1) and
    /// `NOTIFY-SA-LIFETIME`: attributes of the class [`Notify::class`].
    Attributes(Attributes<'a>),
    /// `REPLAY-STATUS` (RFC 2407 §4.6.3.2): whether replay detection is on.
    Replay(bool),
    /// `R-U-THERE` and its acknowledgement (RFC 3706 §5.4): the sequence number, which the answer
    /// repeats. Cisco IOS' own keepalive has one too.
    Sequence(u32),
    /// Cisco's load balancing: the gateway to go to.
    Gateway(IpAddr),
    /// Microsoft's status: a Windows error code, and the message ID of the quick mode that failed.
    WindowsStatus {
        /// The code, as Windows shows it.
        status: u32,
        /// The quick mode, unless a main mode failed.
        message_id: Option<u32>,
    },
    /// Microsoft's denial of service protection: the responder's cookie.
    DosCookie(Spi),
    /// Microsoft's negotiation discovery.
    ExchangeInfo {
        /// 1: at the boundary; 2: encryption is guaranteed.
        flags: u32,
        /// The quick mode it belongs to.
        message_id: Option<u32>,
    },
    /// Octets without a structure of their own: some senders repeat the offending payload, some
    /// write text.
    Octets(Octets<'a>),
}

impl<'a> NotifyData<'a> {
    fn read(notify_type: NotifyType, i: &'a [u8], offset: usize) -> PResult<'a, Self> {
        if i.is_empty() {
            return Ok((i, Self::None));
        }
        match notify_type {
            NotifyType::RESPONDER_LIFETIME | NotifyType::NOTIFY_SA_LIFETIME => {
                let (i, octets) = rest(i)?;
                Ok((i, Self::Attributes(Attributes::new(octets.0, offset))))
            }
            // Senders differ in what they repeat; attributes are what the RFC asks for.
            NotifyType::ATTRIBUTES_NOT_SUPPORTED
                if Attributes::new(i, 0).all(|item| item.is_ok()) =>
            {
                let (i, octets) = rest(i)?;
                Ok((i, Self::Attributes(Attributes::new(octets.0, offset))))
            }
            NotifyType::REPLAY_STATUS => whole(i, be_u32, |on| Self::Replay(on != 0)),
            NotifyType::R_U_THERE
            | NotifyType::R_U_THERE_ACK
            | NotifyType::CISCO_KEEPALIVE
            | NotifyType::CISCO_KEEPALIVE_ACK => whole(i, be_u32, Self::Sequence),
            NotifyType::CISCO_LOAD_BALANCE => match i.len() {
                4 => whole(i, array::<4>, |a| Self::Gateway(Ipv4Addr::from(a).into())),
                16 => whole(i, array::<16>, |a| Self::Gateway(Ipv6Addr::from(a).into())),
                _ => fault(i, Reason::Invalid("neither an IPv4 nor an IPv6 address")),
            },
            NotifyType::MS_NOTIFY_STATUS => whole(i, with_message_id, |(message_id, status)| {
                Self::WindowsStatus { status, message_id }
            }),
            NotifyType::MS_EXCHANGE_INFO => whole(i, with_message_id, |(message_id, flags)| {
                Self::ExchangeInfo { flags, message_id }
            }),
            NotifyType::MS_NOTIFY_DOS_COOKIE => {
                whole(i, be_u64, |cookie| Self::DosCookie(Spi(cookie)))
            }
            _ => {
                let (i, octets) = rest(i)?;
                Ok((i, Self::Octets(octets)))
            }
        }
    }
}

/// A field that must be all there is.
fn whole<'a, T, U>(
    i: &'a [u8],
    field: impl FnOnce(&'a [u8]) -> PResult<'a, T>,
    make: impl FnOnce(T) -> U,
) -> PResult<'a, U> {
    let (i, value) = field(i)?;
    let (i, ()) = end(i)?;
    Ok((i, make(value)))
}

/// Microsoft puts the message ID of a quick mode in front, where there is one (MS-IKEE §2.2.6).
fn with_message_id(i: &[u8]) -> PResult<'_, (Option<u32>, u32)> {
    let (i, first) = be_u32(i)?;
    if i.is_empty() {
        return Ok((i, (None, first)));
    }
    let (i, second) = be_u32(i)?;
    Ok((i, (Some(first), second)))
}
