//! Configuration options (RFC 1661 §6 and the documents of each control protocol).

use super::codes::{CcpOption, ChapAlgorithm, IpcpOption, Ipv6cpOption, LcpOption, Protocol};
use crate::error::{PResult, array, be_u8, be_u16, be_u32, located};
use crate::{Octets, ParseError, Reason};

/// One option, its value unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawOption<'a> {
    /// The protocol that gives the type its meaning.
    pub protocol: Protocol,
    /// Octet 0.
    pub option_type: u8,
    /// Octet 1. Length with the two header octets.
    pub length: u8,
    /// Offset of the option from the start of the frame.
    pub offset: usize,
    /// The value.
    pub body: &'a [u8],
}

impl<'a> RawOption<'a> {
    /// Size of the option's header in octets.
    pub const HEADER_LEN: usize = 2;

    /// The registry's name of the option in its protocol.
    pub const fn name(&self) -> Option<&'static str> {
        match self.protocol {
            Protocol::LCP => LcpOption(self.option_type).name(),
            Protocol::IPCP => IpcpOption(self.option_type).name(),
            Protocol::IPV6CP => Ipv6cpOption(self.option_type).name(),
            Protocol::CCP => CcpOption(self.option_type).name(),
            _ => None,
        }
    }

    /// Reads the value as protocol and type demand.
    pub fn value(&self) -> Result<OptionValue<'a>, ParseError> {
        let reader = match self.protocol {
            Protocol::LCP => lcp_reader(LcpOption(self.option_type)),
            Protocol::IPCP => ipcp_reader(IpcpOption(self.option_type)),
            Protocol::IPV6CP => match Ipv6cpOption(self.option_type) {
                Ipv6cpOption::INTERFACE_IDENTIFIER => read_interface_identifier,
                Ipv6cpOption::IPV6_COMPRESSION_PROTOCOL => read_compression_protocol,
                _ => read_octets,
            },
            Protocol::CCP if CcpOption(self.option_type) == CcpOption::MPPE => read_mppe,
            _ => read_octets,
        };
        located("PPP option value", self.body, self.body, reader)
            .map(|(_, value)| value)
            .map_err(|error| error.moved(self.offset.saturating_add(Self::HEADER_LEN)))
    }
}

/// MPPE's supported bits (RFC 3078 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Mppe(pub u32);

impl Mppe {
    /// H: stateless mode.
    pub const fn is_stateless(self) -> bool {
        self.0 & 0x0100_0000 != 0
    }

    /// M: 56-bit keys.
    pub const fn is_56_bit(self) -> bool {
        self.0 & 0x80 != 0
    }

    /// S: 128-bit keys.
    pub const fn is_128_bit(self) -> bool {
        self.0 & 0x40 != 0
    }

    /// L: 40-bit keys.
    pub const fn is_40_bit(self) -> bool {
        self.0 & 0x20 != 0
    }

    /// C: compression (MPPC, RFC 2118).
    pub const fn compresses(self) -> bool {
        self.0 & 0x01 != 0
    }

    /// Whether any encryption is offered.
    pub const fn encrypts(self) -> bool {
        self.0 & 0xe0 != 0
    }
}

/// A value, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionValue<'a> {
    /// An option that says all by being there.
    Flag,
    /// MRU and MRRU, in octets; FCS alternatives; short numbers.
    Number(u32),
    /// Magic-Number, ACCM: 32 bits best read as hex.
    Bits(u32),
    /// Authentication-Protocol.
    Authentication {
        /// Octets 0..2.
        protocol: Protocol,
        /// Octet 2, of CHAP alone.
        algorithm: Option<ChapAlgorithm>,
    },
    /// Quality-Protocol, IP- and IPv6-Compression-Protocol.
    Protocol {
        /// Octets 0..2.
        protocol: Protocol,
        /// What the protocol adds.
        data: Octets<'a>,
    },
    /// An operation or class octet and what it is about: Callback, Endpoint-Discriminator.
    Classed {
        /// Octet 0.
        class: u8,
        /// The rest.
        data: Octets<'a>,
    },
    /// IP-Address and the server addresses.
    Ipv4([u8; 4]),
    /// IP-Addresses: the sender's, then the receiver's.
    Ipv4Pair([u8; 4], [u8; 4]),
    /// Interface-Identifier.
    InterfaceIdentifier([u8; 8]),
    /// MPPE and MPPC.
    Mppe(Mppe),
    /// Anything else.
    Octets(Octets<'a>),
}

type Reader = fn(&[u8]) -> PResult<'_, OptionValue<'_>>;

fn lcp_reader(option_type: LcpOption) -> Reader {
    match option_type {
        LcpOption::MRU
        | LcpOption::MULTILINK_MRRU
        | LcpOption::LINK_DISCRIMINATOR
        | LcpOption::NUMBERED_MODE => {
            |i| be_u16(i).map(|(i, v)| (i, OptionValue::Number(v.into())))
        }
        LcpOption::FCS_ALTERNATIVES
        | LcpOption::SELF_DESCRIBING_PAD
        | LcpOption::MULTI_LINK_PLUS
        | LcpOption::DCE_IDENTIFIER => {
            |i| be_u8(i).map(|(i, v)| (i, OptionValue::Number(v.into())))
        }
        LcpOption::CONNECT_TIME => |i| be_u32(i).map(|(i, v)| (i, OptionValue::Number(v))),
        LcpOption::ACCM | LcpOption::MAGIC_NUMBER => {
            |i| be_u32(i).map(|(i, v)| (i, OptionValue::Bits(v)))
        }
        LcpOption::AUTHENTICATION_PROTOCOL => read_authentication,
        LcpOption::QUALITY_PROTOCOL => read_compression_protocol,
        LcpOption::CALLBACK
        | LcpOption::ENDPOINT_DISCRIMINATOR
        | LcpOption::MULTILINK_HEADER_FORMAT => read_classed,
        LcpOption::PROTOCOL_FIELD_COMPRESSION
        | LcpOption::ADDRESS_CONTROL_FIELD_COMPRESSION
        | LcpOption::COMPOUND_FRAMES
        | LcpOption::NOMINAL_DATA_ENCAPSULATION
        | LcpOption::MULTILINK_SHORT_SEQUENCE => |i| match i {
            [] => Ok((i, OptionValue::Flag)),
            _ => read_octets(i),
        },
        _ => read_octets,
    }
}

fn ipcp_reader(option_type: IpcpOption) -> Reader {
    match option_type {
        IpcpOption::IP_ADDRESS
        | IpcpOption::MOBILE_IPV4
        | IpcpOption::PRIMARY_DNS
        | IpcpOption::PRIMARY_NBNS
        | IpcpOption::SECONDARY_DNS
        | IpcpOption::SECONDARY_NBNS => |i| array(i).map(|(i, v)| (i, OptionValue::Ipv4(v))),
        IpcpOption::IP_ADDRESSES => |i| {
            let (i, sender) = array(i)?;
            let (i, receiver) = array(i)?;
            Ok((i, OptionValue::Ipv4Pair(sender, receiver)))
        },
        IpcpOption::IP_COMPRESSION_PROTOCOL => read_compression_protocol,
        _ => read_octets,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "one of a table of readers")]
fn read_octets(i: &[u8]) -> PResult<'_, OptionValue<'_>> {
    Ok((&[], OptionValue::Octets(Octets(i))))
}

fn read_authentication(i: &[u8]) -> PResult<'_, OptionValue<'_>> {
    let (i, protocol) = be_u16(i).map(|(i, number)| (i, Protocol(number)))?;
    let (i, algorithm) = if protocol == Protocol::CHAP {
        be_u8(i).map(|(i, algorithm)| (i, Some(ChapAlgorithm(algorithm))))?
    } else {
        (i, None)
    };
    let value = OptionValue::Authentication {
        protocol,
        algorithm,
    };
    Ok((i, value))
}

fn read_compression_protocol(i: &[u8]) -> PResult<'_, OptionValue<'_>> {
    let (data, protocol) = be_u16(i)?;
    let value = OptionValue::Protocol {
        protocol: Protocol(protocol),
        data: Octets(data),
    };
    Ok((&[], value))
}

fn read_classed(i: &[u8]) -> PResult<'_, OptionValue<'_>> {
    let (data, class) = be_u8(i)?;
    let data = Octets(data);
    Ok((&[], OptionValue::Classed { class, data }))
}

fn read_interface_identifier(i: &[u8]) -> PResult<'_, OptionValue<'_>> {
    array(i).map(|(i, v)| (i, OptionValue::InterfaceIdentifier(v)))
}

fn read_mppe(i: &[u8]) -> PResult<'_, OptionValue<'_>> {
    be_u32(i).map(|(i, bits)| (i, OptionValue::Mppe(Mppe(bits))))
}

/// The options of a Configure packet: every good one, then at most one error.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    protocol: Protocol,
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Options<'a> {
    pub(super) const fn new(protocol: Protocol, octets: &'a [u8], offset: usize) -> Self {
        Self {
            protocol,
            rest: octets,
            offset,
        }
    }

    fn step(&mut self) -> Result<RawOption<'a>, ParseError> {
        let error = |reason| ParseError::new("PPP option", self.offset, reason);
        let available = self.rest.len();
        let Some((&[option_type, length], _)) = self.rest.split_first_chunk::<2>() else {
            return Err(error(Reason::Truncated {
                needed: RawOption::HEADER_LEN,
                available,
            }));
        };
        let len = usize::from(length);
        if len < RawOption::HEADER_LEN {
            let least = RawOption::HEADER_LEN;
            return Err(error(Reason::BadLength { value: len, least }));
        }
        let Some((option, rest)) = self.rest.split_at_checked(len) else {
            return Err(error(Reason::Truncated {
                needed: len,
                available,
            }));
        };
        let offset = self.offset;
        self.rest = rest;
        self.offset = self.offset.saturating_add(len);
        Ok(RawOption {
            protocol: self.protocol,
            option_type,
            length,
            offset,
            body: option.get(RawOption::HEADER_LEN..).unwrap_or_default(),
        })
    }
}

until_error!(Options gives RawOption);
