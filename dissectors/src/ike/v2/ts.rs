//! `TSi` and `TSr` payloads.

use core::net::IpAddr;

use super::codes::TsType;
use super::{body, rest};
use crate::error::{PResult, array, be_u8, be_u16, be_u24, fault, located, take};
use crate::ike::RawPayload;
use crate::{Octets, ParseError, Reason};

/// Traffic selector payload (RFC 7296 §3.13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrafficSelectors<'a> {
    /// Octet 4 of the payload. How many selectors the sender says there are.
    pub count: u8,
    /// Octets 5..8, reserved.
    pub reserved: u32,
    /// Octets 8.. The selectors.
    pub octets: Octets<'a>,
    offset: usize,
}

impl<'a> TrafficSelectors<'a> {
    /// Reads the four octets before the selectors.
    pub fn parse(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        let offset = raw.body_offset().saturating_add(4);
        body("IKEv2 traffic selectors", raw, |i| {
            let (i, count) = be_u8(i)?;
            let (i, reserved) = be_u24(i)?;
            let (i, octets) = rest(i)?;
            Ok((
                i,
                Self {
                    count,
                    reserved,
                    octets,
                    offset,
                },
            ))
        })
    }

    /// The selectors: every good one, then at most one error. Fewer or more than declared is such
    /// an error.
    pub const fn selectors(&self) -> Selectors<'a> {
        Selectors {
            rest: self.octets.0,
            offset: self.offset,
            left: self.count,
        }
    }
}

/// The selectors of a payload; see [`TrafficSelectors::selectors`].
#[derive(Debug, Clone)]
pub struct Selectors<'a> {
    rest: &'a [u8],
    offset: usize,
    left: u8,
}

const WHAT: &str = "IKEv2 traffic selector";

impl<'a> Iterator for Selectors<'a> {
    type Item = Result<Selector<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let octets = core::mem::take(&mut self.rest).len();
            let error = ParseError::new(WHAT, self.offset, Reason::Trailing { octets });
            return (octets != 0).then_some(Err(error));
        }
        let item = located(WHAT, self.rest, self.rest, Selector::read);
        match item {
            Ok((rest, selector)) => {
                let read = self.rest.len().saturating_sub(rest.len());
                self.offset = self.offset.saturating_add(read);
                self.rest = rest;
                self.left = self.left.saturating_sub(1);
                Some(Ok(selector))
            }
            Err(error) => {
                self.left = 0;
                self.rest = &[];
                Some(Err(error.moved(self.offset)))
            }
        }
    }
}

/// A traffic selector (RFC 7296 §3.13.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selector<'a> {
    /// `TS_IPV4_ADDR_RANGE` and `TS_IPV6_ADDR_RANGE`.
    Addresses {
        /// Octet 1. An IP protocol; 0 means any.
        ip_protocol: u8,
        /// Octets 4..6. Lowest port, or ICMP type and code.
        start_port: u16,
        /// Octets 6..8. Highest port. 0 with a start of 65535 means *opaque*.
        end_port: u16,
        /// Octets 8..12, or 8..24.
        start: IpAddr,
        /// Octets 12..16, or 24..40.
        end: IpAddr,
    },
    /// `TS_SECLABEL` (RFC 9478 §3): octets 4..
    SecurityLabel(Octets<'a>),
    /// Another type.
    Other {
        /// Octet 0.
        ts_type: TsType,
        /// Octet 1.
        ip_protocol: u8,
        /// Octets 4..
        octets: Octets<'a>,
    },
}

impl<'a> Selector<'a> {
    /// Size of a selector before the ports, in octets.
    const HEADER_LEN: usize = 4;

    fn read(whole: &'a [u8]) -> PResult<'a, Self> {
        let (i, ts_type) = be_u8(whole)?;
        let (i, ip_protocol) = be_u8(i)?;
        let (_, length) = be_u16(i)?;
        let length = usize::from(length);
        let ts_type = TsType(ts_type);
        let (exact, least) = match ts_type {
            TsType::TS_IPV4_ADDR_RANGE => (true, 16),
            TsType::TS_IPV6_ADDR_RANGE => (true, 40),
            _ => (false, Self::HEADER_LEN),
        };
        if length < least {
            let value = length;
            return fault(i, Reason::BadLength { value, least });
        }
        if exact && length > least {
            return fault(i, Reason::Invalid("selector longer than its addresses"));
        }
        let (left, selector) = take(length)(whole)?;
        let (octets, _) = take(Self::HEADER_LEN)(selector)?;
        let selector = match ts_type {
            TsType::TS_IPV4_ADDR_RANGE => Self::addresses::<4>(ip_protocol, octets)?.1,
            TsType::TS_IPV6_ADDR_RANGE => Self::addresses::<16>(ip_protocol, octets)?.1,
            TsType::TS_SECLABEL => Self::SecurityLabel(Octets(octets)),
            _ => Self::Other {
                ts_type,
                ip_protocol,
                octets: Octets(octets),
            },
        };
        Ok((left, selector))
    }

    fn addresses<const N: usize>(ip_protocol: u8, i: &'a [u8]) -> PResult<'a, Self>
    where
        IpAddr: From<[u8; N]>,
    {
        let (i, start_port) = be_u16(i)?;
        let (i, end_port) = be_u16(i)?;
        let (i, start) = array::<N>(i)?;
        let (i, end) = array::<N>(i)?;
        Ok((
            i,
            Self::Addresses {
                ip_protocol,
                start_port,
                end_port,
                start: start.into(),
                end: end.into(),
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::super::tests::{fault, raw, truncations};
    use super::*;
    use crate::ike::v2::PayloadType;

    fn selectors(body: &[u8]) -> Vec<Selector<'_>> {
        TrafficSelectors::parse(&raw(PayloadType::TSI, body))
            .unwrap()
            .selectors()
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn a_network_of_ipv4() {
        // As charon sent it, decrypted.
        let body = hex!("01 000000 07 00 0010 0000 ffff 0a140000 0a1400ff");
        assert_eq!(
            selectors(&body),
            [Selector::Addresses {
                ip_protocol: 0,
                start_port: 0,
                end_port: 65535,
                start: [10, 20, 0, 0].into(),
                end: [10, 20, 0, 255].into(),
            }]
        );
        truncations(PayloadType::TSR, &body);
    }

    /// By hand from RFC 7296 §3.13.1, RFC 9478 §3 and RFC 4595.
    const THREE: [u8; 72] = hex!(
        "03 000000"
        "08 06 0028 0050 0050"
        "   20010db8000000000000000000000000 20010db80000000000000000000000ff"
        "0a 00 000c 6c6162656c5f7400"
        "09 00 0010 000000000000000000000000"
    );

    #[test]
    fn ipv6_and_a_label_and_another_type() {
        let all = selectors(&THREE);
        assert!(matches!(
            all[0],
            Selector::Addresses { ip_protocol: 6, start_port: 80, end_port: 80, start, .. }
                if start.to_string() == "2001:db8::"
        ));
        assert_eq!(all[1], Selector::SecurityLabel(Octets(b"label_t\0")));
        assert_eq!(
            all[2],
            Selector::Other {
                ts_type: TsType::TS_FC_ADDR_RANGE,
                ip_protocol: 0,
                octets: Octets(&[0; 12])
            }
        );
        truncations(PayloadType::TSI, &THREE);
    }

    #[test]
    fn selectors_are_counted() {
        let mut more = THREE;
        more[0] = 4;
        let reason = Reason::Truncated {
            needed: 1,
            available: 0,
        };
        assert_eq!(
            fault(PayloadType::TSI, &more),
            ParseError::new("IKEv2 traffic selector", 104, reason)
        );
        let mut fewer = THREE;
        fewer[0] = 2;
        assert_eq!(
            fault(PayloadType::TSI, &fewer),
            ParseError::new(
                "IKEv2 traffic selector",
                88,
                Reason::Trailing { octets: 16 }
            )
        );
    }

    #[test]
    fn a_length_must_suit_its_type() {
        let mut body = THREE;
        body[7] = 39;
        let reason = Reason::BadLength {
            value: 39,
            least: 40,
        };
        assert_eq!(
            fault(PayloadType::TSI, &body),
            ParseError::new("IKEv2 traffic selector", 38, reason)
        );
        body[7] = 41;
        let reason = Reason::Invalid("selector longer than its addresses");
        assert_eq!(
            fault(PayloadType::TSI, &body),
            ParseError::new("IKEv2 traffic selector", 38, reason)
        );
        let body = hex!("01 000000 0a 00 0003");
        let reason = Reason::BadLength { value: 3, least: 4 };
        assert_eq!(
            fault(PayloadType::TSI, &body),
            ParseError::new("IKEv2 traffic selector", 38, reason)
        );
    }
}
