//! Notify payload, with its data decoded where they have structure.

use core::marker::PhantomData;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::codes::{
    AuthMethod, GatewayIdentityType, HashAlgorithm, IpcompTransform, KeyExchange, PayloadType,
    PpkIdType, Prf, ProtocolId, SecurePasswordMethod,
};
use super::notify_type::NotifyType;
use super::{body, end, rest};
use crate::error::{PResult, array, be_u8, be_u16, be_u32, fault, located, take};
use crate::ike::RawPayload;
use crate::ike::attribute::Attributes;
use crate::{Octets, ParseError, Reason};

/// Notify payload (RFC 7296 §3.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notify<'a> {
    /// Octet 4 of the payload. Of the SA it concerns; 0 where the SPI is empty.
    pub protocol: ProtocolId,
    /// Octets 6..8.
    pub notify_type: NotifyType,
    /// Octets 8.., their number from octet 5. The SA it concerns.
    pub spi: Octets<'a>,
    /// What follows.
    pub data: Octets<'a>,
    data_offset: usize,
}

impl<'a> Notify<'a> {
    /// Reads the body. The data are read by [`Self::content`].
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        let offset = raw.body_offset();
        body("IKEv2 notify", raw, |i| Self::read(i, offset))
    }

    fn read(i: &'a [u8], offset: usize) -> PResult<'a, Self> {
        let (i, protocol) = be_u8(i)?;
        let (i, spi_size) = be_u8(i)?;
        let (i, notify_type) = be_u16(i)?;
        let (i, spi) = take(spi_size.into())(i)?;
        let (i, data) = rest(i)?;
        Ok((
            i,
            Self {
                protocol: ProtocolId(protocol),
                notify_type: NotifyType(notify_type),
                spi: Octets(spi),
                data,
                data_offset: offset.saturating_add(4).saturating_add(spi.len()),
            },
        ))
    }

    /// What the data say, by type. [`NotifyData::None`] where there are none,
    /// [`NotifyData::Octets`] where the type gives them no structure; an error where they do not
    /// have the structure of their type.
    pub fn content(&self) -> Result<NotifyData<'a>, ParseError> {
        let data = self.data.0;
        let offset = self.data_offset;
        located("IKEv2 notify data", data, data, |i| {
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
    /// `UNSUPPORTED_CRITICAL_PAYLOAD` (RFC 7296 §2.5): the type that was not understood.
    UnsupportedPayload(PayloadType),
    /// `INVALID_MESSAGE_ID` (RFC 7296 §2.3): the message ID that was.
    MessageId(u32),
    /// `INVALID_KE_PAYLOAD` (RFC 7296 §1.3): the method that the responder wants.
    KeyExchange(KeyExchange),
    /// `SET_WINDOW_SIZE` (RFC 7296 §2.3): requests the sender takes at once.
    WindowSize(u32),
    /// `IPCOMP_SUPPORTED` (RFC 7296 §2.22).
    Ipcomp {
        /// Octets 0..2. The sender's compression parameter index.
        cpi: u16,
        /// Octet 2.
        transform: IpcompTransform,
        /// Octets 3.. Attributes; none are defined.
        attributes: Octets<'a>,
    },
    /// `NAT_DETECTION_SOURCE_IP`, `NAT_DETECTION_DESTINATION_IP` (RFC 7296 §2.23): SHA-1 of SPIs,
    /// address and port.
    NatDetection(&'a [u8; 20]),
    /// `COOKIE` (RFC 7296 §2.6: 1 to 64 octets) and `COOKIE2` (RFC 4555 §4.2.5: 8 to 64 octets),
    /// whose number is not checked.
    Cookie(Octets<'a>),
    /// `ADDITIONAL_IP4_ADDRESS`, `ADDITIONAL_IP6_ADDRESS` (RFC 4555 §4.2).
    Address(IpAddr),
    /// `AUTH_LIFETIME` (RFC 4478 §3): seconds until the peer must authenticate again.
    AuthLifetime(u32),
    /// `REDIRECT` (RFC 5685 §5).
    Redirect {
        /// Octets 0..; the gateway to go to.
        gateway: GatewayIdentity<'a>,
        /// What follows: the initiator's nonce, in `IKE_SA_INIT` only.
        nonce: Octets<'a>,
    },
    /// `REDIRECTED_FROM` (RFC 5685 §5): the gateway that sent the client here.
    RedirectedFrom(GatewayIdentity<'a>),
    /// `TICKET_LT_OPAQUE` (RFC 5723 §7.2).
    TicketLifetime {
        /// Octets 0..4. Seconds.
        lifetime: u32,
        /// Octets 4..
        ticket: Octets<'a>,
    },
    /// `ROHC_SUPPORTED` (RFC 5857 §2.1.2).
    Rohc(Attributes<'a>),
    /// `IKEV2_MESSAGE_ID_SYNC` (RFC 6311 §5.3).
    MessageIdSync {
        /// Octets 0..4.
        nonce: u32,
        /// Octets 4..8. The message ID the sender will use next.
        expected_send: u32,
        /// Octets 8..12. The message ID the sender expects next.
        expected_receive: u32,
    },
    /// `IPSEC_REPLAY_COUNTER_SYNC` (RFC 6311 §5.4): by how much the counters were moved, in 4 or 8
    /// octets.
    ReplayCounterSync(u64),
    /// `SECURE_PASSWORD_METHODS` (RFC 6467 §3).
    SecurePasswordMethods(Codes16<'a, SecurePasswordMethod>),
    /// `ERX_SUPPORTED` (RFC 6867 §6.1): the domain name, where it is one.
    Domain(&'a str),
    /// `SIGNATURE_HASH_ALGORITHMS` (RFC 7427 §4).
    HashAlgorithms(Codes16<'a, HashAlgorithm>),
    /// `PUZZLE` (RFC 8019 §8.1).
    Puzzle {
        /// Octets 0..2.
        prf: Prf,
        /// Octet 2. Bits that must be zero; 0 leaves it to the initiator.
        difficulty: u8,
    },
    /// `PPK_IDENTITY` (RFC 8784 §5.1), where it has data: a responder may send it without.
    PpkIdentity {
        /// Octet 0.
        id_type: PpkIdType,
        /// Octets 1..
        id: Octets<'a>,
    },
    /// `PPK_IDENTITY_KEY` (RFC 9867).
    PpkIdentityKey {
        /// Octet 0.
        id_type: PpkIdType,
        /// Octets 1.. without the last eight.
        id: Octets<'a>,
        /// The last eight octets: proof that the sender has the key.
        confirmation: &'a [u8; 8],
    },
    /// `NO_PPK_AUTH` (RFC 8784 §3): AUTH data made without the preshared key.
    NoPpkAuth(Octets<'a>),
    /// `USE_AGGFRAG` (RFC 9347 §5.1).
    Aggfrag {
        /// Bit 1: congestion control is asked for.
        congestion_control: bool,
        /// Bit 0: the sender does not take fragments.
        dont_fragment: bool,
    },
    /// `SUPPORTED_AUTH_METHODS` (RFC 9593 §3.2).
    AuthMethods(AuthAnnouncements<'a>),
    /// `MS_NOTIFY_STATUS`, private to Windows: a Win32 error code.
    Win32(u32),
    /// Data without a structure, or of a type that is not in the registry.
    Octets(Octets<'a>),
}

impl<'a> NotifyData<'a> {
    fn read(notify_type: NotifyType, i: &'a [u8], offset: usize) -> PResult<'a, Self> {
        use NotifyType as T;
        if i.is_empty() && !needs_data(notify_type) {
            return Ok((i, Self::None));
        }
        match notify_type {
            T::UNSUPPORTED_CRITICAL_PAYLOAD => {
                whole(i, be_u8, |v| Self::UnsupportedPayload(PayloadType(v)))
            }
            T::INVALID_MESSAGE_ID => whole(i, be_u32, Self::MessageId),
            T::INVALID_KE_PAYLOAD => whole(i, be_u16, |v| Self::KeyExchange(KeyExchange(v))),
            T::SET_WINDOW_SIZE => whole(i, be_u32, Self::WindowSize),
            T::AUTH_LIFETIME => whole(i, be_u32, Self::AuthLifetime),
            T::MS_NOTIFY_STATUS => whole(i, be_u32, Self::Win32),
            T::NAT_DETECTION_SOURCE_IP | T::NAT_DETECTION_DESTINATION_IP => {
                whole(i, chunk::<20>, Self::NatDetection)
            }
            T::ADDITIONAL_IP4_ADDRESS => {
                whole(i, array::<4>, |v| Self::Address(Ipv4Addr::from(v).into()))
            }
            T::ADDITIONAL_IP6_ADDRESS => {
                whole(i, array::<16>, |v| Self::Address(Ipv6Addr::from(v).into()))
            }
            T::COOKIE | T::COOKIE2 => Self::of_rest(i, Self::Cookie),
            T::NO_PPK_AUTH => Self::of_rest(i, Self::NoPpkAuth),
            T::ROHC_SUPPORTED => Self::of_rest(i, |v| Self::Rohc(Attributes::new(v.0, offset))),
            T::SUPPORTED_AUTH_METHODS => Self::of_rest(i, |octets| {
                Self::AuthMethods(AuthAnnouncements {
                    rest: octets.0,
                    offset,
                })
            }),
            T::SIGNATURE_HASH_ALGORITHMS => whole(i, Codes16::read, Self::HashAlgorithms),
            T::SECURE_PASSWORD_METHODS => whole(i, Codes16::read, Self::SecurePasswordMethods),
            T::REDIRECTED_FROM => whole(i, GatewayIdentity::read, Self::RedirectedFrom),
            T::IPCOMP_SUPPORTED => Self::ipcomp(i),
            T::REDIRECT => Self::redirect(i),
            T::TICKET_LT_OPAQUE => Self::ticket(i),
            T::IKEV2_MESSAGE_ID_SYNC => Self::message_id_sync(i),
            T::IPSEC_REPLAY_COUNTER_SYNC => Self::replay_counter_sync(i),
            T::PUZZLE => Self::puzzle(i),
            T::PPK_IDENTITY => Self::ppk_identity(i),
            T::PPK_IDENTITY_KEY => Self::ppk_identity_key(i),
            T::USE_AGGFRAG => whole(i, be_u8, |flags| Self::Aggfrag {
                congestion_control: flags & 0x02 != 0,
                dont_fragment: flags & 0x01 != 0,
            }),
            T::ERX_SUPPORTED => Self::of_rest(i, |v| {
                core::str::from_utf8(v.0).map_or(Self::Octets(v), Self::Domain)
            }),
            _ => Self::of_rest(i, Self::Octets),
        }
    }

    fn of_rest(i: &'a [u8], make: impl FnOnce(Octets<'a>) -> Self) -> PResult<'a, Self> {
        rest(i).map(|(i, octets)| (i, make(octets)))
    }

    fn ipcomp(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, cpi) = be_u16(i)?;
        let (i, transform) = be_u8(i)?;
        let (i, attributes) = rest(i)?;
        let transform = IpcompTransform(transform);
        Ok((
            i,
            Self::Ipcomp {
                cpi,
                transform,
                attributes,
            },
        ))
    }

    fn redirect(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, gateway) = GatewayIdentity::read(i)?;
        let (i, nonce) = rest(i)?;
        Ok((i, Self::Redirect { gateway, nonce }))
    }

    fn ticket(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, lifetime) = be_u32(i)?;
        let (i, ticket) = rest(i)?;
        Ok((i, Self::TicketLifetime { lifetime, ticket }))
    }

    fn message_id_sync(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, nonce) = be_u32(i)?;
        let (i, expected_send) = be_u32(i)?;
        let (i, expected_receive) = be_u32(i)?;
        let (i, ()) = end(i)?;
        Ok((
            i,
            Self::MessageIdSync {
                nonce,
                expected_send,
                expected_receive,
            },
        ))
    }

    fn replay_counter_sync(i: &'a [u8]) -> PResult<'a, Self> {
        if i.len() <= 4 {
            whole(i, be_u32, |v| Self::ReplayCounterSync(v.into()))
        } else {
            whole(i, crate::error::be_u64, Self::ReplayCounterSync)
        }
    }

    fn puzzle(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, prf) = be_u16(i)?;
        let (i, difficulty) = be_u8(i)?;
        let (i, ()) = end(i)?;
        let prf = Prf(prf);
        Ok((i, Self::Puzzle { prf, difficulty }))
    }

    fn ppk_identity(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, id_type) = be_u8(i)?;
        let (i, id) = rest(i)?;
        let id_type = PpkIdType(id_type);
        Ok((i, Self::PpkIdentity { id_type, id }))
    }

    fn ppk_identity_key(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, id_type) = be_u8(i)?;
        let Some((id, confirmation)) = i.split_last_chunk::<8>() else {
            let available = i.len();
            let needed = 8;
            return fault(i, Reason::Truncated { needed, available });
        };
        let value = Self::PpkIdentityKey {
            id_type: PpkIdType(id_type),
            id: Octets(id),
            confirmation,
        };
        Ok((i.get(i.len()..).unwrap_or_default(), value))
    }
}

/// Whether a type is wrong without data. The others may come without.
const fn needs_data(notify_type: NotifyType) -> bool {
    use NotifyType as T;
    matches!(
        notify_type,
        T::INVALID_KE_PAYLOAD
            | T::NAT_DETECTION_SOURCE_IP
            | T::NAT_DETECTION_DESTINATION_IP
            | T::REDIRECT
            | T::REDIRECTED_FROM
            | T::SET_WINDOW_SIZE
            | T::AUTH_LIFETIME
            | T::ADDITIONAL_IP4_ADDRESS
            | T::ADDITIONAL_IP6_ADDRESS
            | T::IPCOMP_SUPPORTED
            | T::TICKET_LT_OPAQUE
            | T::IKEV2_MESSAGE_ID_SYNC
            | T::IPSEC_REPLAY_COUNTER_SYNC
            | T::PUZZLE
            | T::PPK_IDENTITY_KEY
            | T::USE_AGGFRAG
    )
}

/// Reads one value that must fill the data.
fn whole<'a, T, U>(
    i: &'a [u8],
    read: impl FnOnce(&'a [u8]) -> PResult<'a, T>,
    make: impl FnOnce(T) -> U,
) -> PResult<'a, U> {
    let (i, value) = read(i)?;
    let (i, ()) = end(i)?;
    Ok((i, make(value)))
}

/// `N` octets by reference.
fn chunk<const N: usize>(i: &[u8]) -> PResult<'_, &[u8; N]> {
    match i.split_first_chunk::<N>() {
        Some((taken, rest)) => Ok((rest, taken)),
        None => fault(
            i,
            Reason::Truncated {
                needed: N,
                available: i.len(),
            },
        ),
    }
}

/// A gateway in a redirection (RFC 5685 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GatewayIdentity<'a> {
    /// Type 1 or 2.
    Address(IpAddr),
    /// Type 3.
    Fqdn(&'a str),
    /// Another type, or data that do not suit the type.
    Other(GatewayIdentityType, Octets<'a>),
}

impl<'a> GatewayIdentity<'a> {
    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, identity_type) = be_u8(i)?;
        let (i, length) = be_u8(i)?;
        let (i, octets) = take(length.into())(i)?;
        let identity_type = GatewayIdentityType(identity_type);
        let identity = match identity_type {
            GatewayIdentityType::IPV4 => <[u8; 4]>::try_from(octets)
                .ok()
                .map(|a| Self::Address(Ipv4Addr::from(a).into())),
            GatewayIdentityType::IPV6 => <[u8; 16]>::try_from(octets)
                .ok()
                .map(|a| Self::Address(Ipv6Addr::from(a).into())),
            GatewayIdentityType::FQDN => core::str::from_utf8(octets).ok().map(Self::Fqdn),
            _ => None,
        };
        let identity = identity.unwrap_or(Self::Other(identity_type, Octets(octets)));
        Ok((i, identity))
    }
}

/// A list of 16-bit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codes16<'a, T> {
    octets: &'a [u8],
    code: PhantomData<T>,
}

impl<'a, T: From<u16>> Codes16<'a, T> {
    /// The list in `octets`, unless their number is odd.
    pub(super) fn parse(octets: &'a [u8]) -> Option<Self> {
        octets.len().is_multiple_of(2).then_some(Self {
            octets,
            code: PhantomData,
        })
    }

    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        match Self::parse(i) {
            Some(codes) => Ok((i.get(i.len()..).unwrap_or_default(), codes)),
            None => fault(i, Reason::Invalid("an odd number of octets")),
        }
    }

    /// The codes, in wire order.
    pub fn iter(&self) -> impl Iterator<Item = T> + 'a {
        self.octets.chunks_exact(2).filter_map(|pair| {
            let pair = <[u8; 2]>::try_from(pair).ok()?;
            Some(T::from(u16::from_be_bytes(pair)))
        })
    }
}

/// The announcements of a `SUPPORTED_AUTH_METHODS` notify: every good one, then at most one error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthAnnouncements<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for AuthAnnouncements<'a> {
    type Item = Result<AuthAnnouncement<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let what = "IKEv2 authentication method announcement";
        match located(what, self.rest, self.rest, AuthAnnouncement::read) {
            Ok((rest, announcement)) => {
                let read = self.rest.len().saturating_sub(rest.len());
                self.offset = self.offset.saturating_add(read);
                self.rest = rest;
                Some(Ok(announcement))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error.moved(self.offset)))
            }
        }
    }
}

/// A method the sender can authenticate with (RFC 9593 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthAnnouncement<'a> {
    /// Octet 1.
    pub method: AuthMethod,
    /// Octet 2, where there is one. The certification authority of the CERTREQ payloads, counted
    /// from 1, that this goes with; 0 for all.
    pub cert_link: Option<u8>,
    /// Octets 3.. The signature algorithm, an `AlgorithmIdentifier` in DER.
    pub algorithm: Octets<'a>,
}

impl<'a> AuthAnnouncement<'a> {
    fn read(whole: &'a [u8]) -> PResult<'a, Self> {
        let (_, length) = be_u8(whole)?;
        if length < 2 {
            let value = usize::from(length);
            return fault(whole, Reason::BadLength { value, least: 2 });
        }
        let (left, announcement) = take(length.into())(whole)?;
        let (i, _) = be_u8(announcement)?;
        let (i, method) = be_u8(i)?;
        let (cert_link, algorithm) = match i.split_first() {
            Some((&link, algorithm)) => (Some(link), algorithm),
            None => (None, i),
        };
        Ok((
            left,
            Self {
                method: AuthMethod(method),
                cert_link,
                algorithm: Octets(algorithm),
            },
        ))
    }
}

#[cfg(test)]
mod tests;
