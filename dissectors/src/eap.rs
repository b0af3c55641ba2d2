//! EAP (RFC 3748), as IKEv2, PPP and RADIUS carry it.
//!
//! What comes in: one EAP packet. What goes out: its code and, for the methods VPN clients use,
//! what stands in clear. Fragments of EAP-TLS are not put together.

use crate::error::{PResult, array, be_u8, be_u16, be_u24, be_u32, located, take};
use crate::{Octets, ParseError, Reason};

wire_code! {
    /// EAP codes. Registry: IANA "Extensible Authentication Protocol (EAP) Registry", read 2026-11.
    pub struct Code(u8) {
        REQUEST = 1 "Request",
        RESPONSE = 2 "Response",
        SUCCESS = 3 "Success",
        FAILURE = 4 "Failure",
        /// RFC 6696.
        INITIATE = 5 "Initiate",
        /// RFC 6696.
        FINISH = 6 "Finish",
    }
}

wire_code! {
    /// EAP method types. Registry: IANA "EAP Method Types", read 2026-11.
    pub struct Method(u8) {
        IDENTITY = 1 "Identity",
        NOTIFICATION = 2 "Notification",
        NAK = 3 "Legacy Nak",
        MD5_CHALLENGE = 4 "MD5-Challenge",
        OTP = 5 "One-Time Password (OTP)",
        GTC = 6 "Generic Token Card (GTC)",
        TLS = 13 "EAP-TLS",
        SECURID = 15 "RSA Security SecurID EAP",
        LEAP = 17 "EAP-Cisco Wireless",
        SIM = 18 "GSM Subscriber Identity Modules (EAP-SIM)",
        SRP_SHA1 = 19 "SRP-SHA1",
        TTLS = 21 "EAP-TTLS",
        AKA = 23 "EAP-AKA Authentication",
        PEAP = 25,
        /// What people call EAP-MS-CHAPv2.
        MSCHAPV2 = 26 "MS-EAP-Authentication",
        /// Not what people call EAP-MS-CHAPv2: that is 26.
        EAP_MSCHAP_V2 = 29 "EAP-MSCHAP-V2",
        MS_AUTHENTICATION_TLV = 33 "MS-Authentication-TLV",
        FAST = 43 "EAP-FAST",
        PAX = 46 "EAP-PAX",
        PSK = 47 "EAP-PSK",
        SAKE = 48 "EAP-SAKE",
        IKEV2 = 49 "EAP-IKEv2",
        AKA_PRIME = 50 "EAP-AKA'",
        GPSK = 51 "EAP-GPSK",
        PWD = 52 "EAP-pwd",
        EKE = 53 "EAP-EKE Version 1",
        PT_EAP = 54 "EAP Method Type for PT-EAP",
        TEAP = 55,
        NOOB = 56 "EAP-NOOB",
        EXPANDED = 254 "Expanded Types",
        EXPERIMENTAL = 255 "Experimental",
    }
}

/// An EAP packet (RFC 3748 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Octet 0.
    pub code: Code,
    /// Octet 1. A response repeats the identifier of its request.
    pub identifier: u8,
    /// Octets 2..4. Length of the packet, as declared.
    pub length: u16,
    /// Octet 4, in requests and responses.
    pub method: Option<Method>,
    /// Octets 5.. in requests and responses, 4.. in the others.
    pub data: Octets<'a>,
}

impl<'a> Packet<'a> {
    /// Size of the header in octets.
    pub const HEADER_LEN: usize = 4;

    /// Reads a packet. Octets after the declared length are padding of the layer below
    /// (RFC 3748 §4) and are left out.
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        located("EAP packet", octets, octets, Self::read).map(|(_, packet)| packet)
    }

    fn read(whole: &'a [u8]) -> PResult<'a, Self> {
        let (i, code) = be_u8(whole)?;
        let (at_length, identifier) = be_u8(i)?;
        let (_, length) = be_u16(at_length)?;
        let code = Code(code);
        let has_method = matches!(code, Code::REQUEST | Code::RESPONSE);
        let least = Self::HEADER_LEN.saturating_add(usize::from(has_method));
        let value = usize::from(length);
        if value < least {
            return crate::error::fault(at_length, Reason::BadLength { value, least });
        }
        let (rest, packet) = take(value)(whole)?;
        let (i, _) = array::<4>(packet)?;
        let (method, data) = match i.split_first() {
            Some((&method, data)) if has_method => (Some(Method(method)), data),
            _ => (None, i),
        };
        Ok((
            rest,
            Self {
                code,
                identifier,
                length,
                method,
                data: Octets(data),
            },
        ))
    }

    /// The text of an Identity or a Notification (RFC 3748 §5.1, §5.2), where it is UTF-8. In a
    /// response Identity it is the name of the user, to which a realm may belong.
    pub fn text(&self) -> Option<&'a str> {
        match self.method {
            Some(Method::IDENTITY | Method::NOTIFICATION) => core::str::from_utf8(self.data.0).ok(),
            _ => None,
        }
    }

    /// The methods that a Nak asks for instead (RFC 3748 §5.3.1); a single 0 means none.
    pub fn wanted_methods(&self) -> impl Iterator<Item = Method> + 'a {
        let list = match self.method {
            Some(Method::NAK) => self.data.0,
            _ => &[],
        };
        list.iter().map(|&method| Method(method))
    }

    /// The head of an expanded type (RFC 3748 §5.7).
    pub fn expanded(&self) -> Option<Expanded<'a>> {
        match self.method {
            Some(Method::EXPANDED) => Expanded::read(self.data.0).ok().map(|(_, value)| value),
            _ => None,
        }
    }

    /// The MS-CHAPv2 packet inside, where the method is that.
    pub fn ms_chap_v2(&self) -> Option<Result<MsChapV2<'a>, ParseError>> {
        let offset = Self::HEADER_LEN.saturating_add(1);
        let data = self.data.0;
        (self.method == Some(Method::MSCHAPV2)).then(|| {
            located("EAP-MS-CHAPv2", data, data, MsChapV2::read)
                .map(|(_, value)| value)
                .map_err(|error| error.moved(offset))
        })
    }

    /// The TLS part inside, where the method is one that carries TLS in the format of RFC 5216:
    /// EAP-TLS, EAP-TTLS, PEAP, EAP-FAST, TEAP.
    pub fn tls(&self) -> Option<Result<TlsPart<'a>, ParseError>> {
        let offset = Self::HEADER_LEN.saturating_add(1);
        let data = self.data.0;
        let is_tls = matches!(
            self.method,
            Some(Method::TLS | Method::TTLS | Method::PEAP | Method::FAST | Method::TEAP)
        );
        is_tls.then(|| {
            located("EAP-TLS", data, data, TlsPart::read)
                .map(|(_, value)| value)
                .map_err(|error| error.moved(offset))
        })
    }
}

/// An expanded type (RFC 3748 §5.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expanded<'a> {
    /// Octets 0..3 of the data. An SMI enterprise number; 0 for the IETF.
    pub vendor: u32,
    /// Octets 3..7.
    pub vendor_type: u32,
    /// Octets 7..
    pub data: Octets<'a>,
}

impl<'a> Expanded<'a> {
    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, vendor) = be_u24(i)?;
        let (i, vendor_type) = be_u32(i)?;
        Ok((
            &[],
            Self {
                vendor,
                vendor_type,
                data: Octets(i),
            },
        ))
    }
}

/// Flags of a method that carries TLS (RFC 5216 §3.1), and its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsPart<'a> {
    /// Octet 0 of the data.
    pub flags: u8,
    /// Octets 1..5, where the flags say so. Octets of all fragments together.
    pub total_length: Option<u32>,
    /// What follows: TLS records, or a piece of them.
    pub data: Octets<'a>,
}

impl<'a> TlsPart<'a> {
    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, flags) = be_u8(i)?;
        let (i, total_length) = if flags & 0x80 == 0 {
            (i, None)
        } else {
            be_u32(i).map(|(i, length)| (i, Some(length)))?
        };
        let data = Octets(i);
        Ok((
            &[],
            Self {
                flags,
                total_length,
                data,
            },
        ))
    }

    /// L: the total length is given.
    pub const fn has_length(&self) -> bool {
        self.flags & 0x80 != 0
    }

    /// M: more fragments follow.
    pub const fn has_more_fragments(&self) -> bool {
        self.flags & 0x40 != 0
    }

    /// S: the server starts the method.
    pub const fn is_start(&self) -> bool {
        self.flags & 0x20 != 0
    }

    /// The version that PEAP, EAP-TTLS, EAP-FAST and TEAP keep in the lower bits.
    pub const fn version(&self) -> u8 {
        self.flags & 0x07
    }
}

wire_code! {
    /// Operations of EAP-MS-CHAPv2 (draft-kamath-pppext-eap-mschapv2).
    pub struct MsChapV2Op(u8) {
        CHALLENGE = 1 "Challenge",
        RESPONSE = 2 "Response",
        SUCCESS = 3 "Success",
        FAILURE = 4 "Failure",
        CHANGE_PASSWORD = 7 "Change-Password",
    }
}

/// An MS-CHAPv2 packet inside EAP (draft-kamath-pppext-eap-mschapv2, RFC 2759).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MsChapV2<'a> {
    /// Octet 0 of the data.
    pub op: MsChapV2Op,
    /// Octet 1. Absent where the packet is an acknowledgement: one octet of operation.
    pub identifier: Option<u8>,
    /// Octets 2..4, as declared, where there are any. Octets from the operation on.
    pub length: Option<u16>,
    /// Octets 4..
    pub data: Octets<'a>,
}

impl<'a> MsChapV2<'a> {
    fn read(i: &'a [u8]) -> PResult<'a, Self> {
        let (i, op) = be_u8(i)?;
        let op = MsChapV2Op(op);
        if i.is_empty() {
            let packet = Self {
                op,
                identifier: None,
                length: None,
                data: Octets(i),
            };
            return Ok((i, packet));
        }
        let (i, identifier) = be_u8(i)?;
        let (i, length) = be_u16(i)?;
        Ok((
            &[],
            Self {
                op,
                identifier: Some(identifier),
                length: Some(length),
                data: Octets(i),
            },
        ))
    }

    /// The name at the end of a challenge (the server) or of a response (the user), after a value
    /// whose size the first octet says.
    pub fn name(&self) -> Option<&'a str> {
        if !matches!(self.op, MsChapV2Op::CHALLENGE | MsChapV2Op::RESPONSE) {
            return None;
        }
        let (&size, rest) = self.data.0.split_first()?;
        core::str::from_utf8(rest.get(usize::from(size)..)?).ok()
    }

    /// The message of a success (`S=…`) or a failure (`E=691 R=0 …`), without the zeros that some
    /// servers put at its end. An acknowledgement has none.
    pub fn message(&self) -> Option<&'a str> {
        let has_message = matches!(self.op, MsChapV2Op::SUCCESS | MsChapV2Op::FAILURE);
        if !has_message || self.identifier.is_none() {
            return None;
        }
        let text = core::str::from_utf8(self.data.0).ok()?;
        Some(text.trim_end_matches('\0'))
    }

    /// The error number of a failure: 646, 647, 648, 649, 691, 709 (RFC 2759 §6).
    pub fn error(&self) -> Option<u32> {
        if self.op != MsChapV2Op::FAILURE {
            return None;
        }
        let (_, text) = self.message()?.split_once("E=")?;
        let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;
    use proptest::prelude::*;

    use super::*;

    /// Reads everything; every fault lies within.
    fn walk(octets: &[u8]) -> Result<Packet<'_>, ParseError> {
        let packet = Packet::parse(octets).inspect_err(|e| assert!(e.offset <= octets.len()))?;
        for error in [
            packet.ms_chap_v2().and_then(Result::err),
            packet.tls().and_then(Result::err),
        ]
        .into_iter()
        .flatten()
        {
            assert!(error.offset <= octets.len(), "{error}");
        }
        if let Some(Ok(chap)) = packet.ms_chap_v2() {
            assert!(chap.name().is_none() || chap.message().is_none());
            assert!(chap.error().is_none() || chap.op == MsChapV2Op::FAILURE);
        }
        assert!(packet.wanted_methods().count() <= octets.len());
        assert!(packet.text().is_none() || packet.expanded().is_none());
        Ok(packet)
    }

    fn truncations(octets: &[u8]) {
        walk(octets).unwrap();
        for len in 0..octets.len() {
            walk(&octets[..len]).unwrap_err();
        }
    }

    // What follows is charon's, as decrypted, unless it says otherwise.

    #[test]
    fn an_identity() {
        let request = Packet::parse(&hex!("01 00 0005 01")).map(|p| (p.code, p.text()));
        assert_eq!(request, Ok((Code::REQUEST, Some(""))));
        let response = hex!("02 00 0008 01 626f62");
        let packet = Packet::parse(&response).unwrap();
        assert_eq!(packet.code, Code::RESPONSE);
        assert_eq!(packet.method, Some(Method::IDENTITY));
        assert_eq!(packet.text(), Some("bob"));
        truncations(&response);
    }

    #[test]
    fn success_and_failure_have_no_method() {
        let success = hex!("03 8a 0004");
        let packet = Packet::parse(&success).unwrap();
        assert_eq!((packet.code, packet.method), (Code::SUCCESS, None));
        assert_eq!((packet.identifier, packet.length), (0x8a, 4));
        truncations(&success);
        let failure = Packet::parse(&hex!("04 8a 0004")).unwrap();
        assert_eq!(failure.code, Code::FAILURE);
    }

    #[test]
    fn ms_chap_v2_challenge_and_response() {
        let challenge = hex!(
            "01 89 0024 1a 01 89 001f 10 b349c57ea58085a90feb3f2ccfa648f6"
            "7374726f6e675377616e"
        );
        let packet = Packet::parse(&challenge).unwrap();
        let chap = packet.ms_chap_v2().unwrap().unwrap();
        assert_eq!(
            (chap.op, chap.identifier),
            (MsChapV2Op::CHALLENGE, Some(0x89))
        );
        assert_eq!(chap.length, Some(31));
        assert_eq!(chap.name(), Some("strongSwan"));
        truncations(&challenge);

        let response = hex!(
            "02 89 003e 1a 02 89 0039"
            "31 e89b5a853d326ee15d26255074b621c1 0000000000000000"
            "   d97db06e50606a74788dcbf1c5f68f4d8c04e3ec8d215612 00"
            "626f62"
        );
        let packet = Packet::parse(&response).unwrap();
        let chap = packet.ms_chap_v2().unwrap().unwrap();
        assert_eq!((chap.op, chap.name()), (MsChapV2Op::RESPONSE, Some("bob")));
        assert_eq!((chap.message(), chap.error()), (None, None));
        truncations(&response);
    }

    #[test]
    fn ms_chap_v2_verdicts() {
        let acknowledgement = hex!("02 8a 0006 1a 03");
        let packet = Packet::parse(&acknowledgement).unwrap();
        let chap = packet.ms_chap_v2().unwrap().unwrap();
        assert_eq!((chap.op, chap.identifier), (MsChapV2Op::SUCCESS, None));
        assert_eq!(chap.message(), None);
        truncations(&acknowledgement);

        // The texts and the zeros at the end are shortened.
        let success = hex!(
            "01 8a 0022 1a 03 89 001d"
            "533d4345314138413933 204d3d57656c636f6d653200"
            "000000"
        );
        let packet = Packet::parse(&success).unwrap();
        let chap = packet.ms_chap_v2().unwrap().unwrap();
        assert_eq!(chap.message(), Some("S=CE1A8A93 M=Welcome2"));

        // By hand from RFC 2759 §6.
        let text = b"E=691 R=1 C=00112233445566778899aabbccddeeff V=3 M=no";
        let mut failure = hex!("01 8b 003e 1a 04 89 0039").to_vec();
        failure.extend_from_slice(text);
        failure[3] = u8::try_from(failure.len()).unwrap();
        let packet = Packet::parse(&failure).unwrap();
        let chap = packet.ms_chap_v2().unwrap().unwrap();
        assert_eq!(chap.op, MsChapV2Op::FAILURE);
        assert_eq!(chap.message(), core::str::from_utf8(text).ok());
        assert_eq!(chap.error(), Some(691));
        truncations(&failure);
    }

    #[test]
    fn tls_flags() {
        // The head of charon's first fragment, cut, its length set right.
        let first = hex!("01 c5 000e 0d c0 00000567 16030305");
        let part = Packet::parse(&first).unwrap().tls().unwrap().unwrap();
        assert!(part.has_length() && part.has_more_fragments() && !part.is_start());
        assert_eq!(part.total_length, Some(0x567));
        assert_eq!(part.data.to_string(), "16030305");
        truncations(&first);

        let acknowledgement = Packet::parse(&hex!("02 c5 0006 0d 00")).unwrap();
        let part = acknowledgement.tls().unwrap().unwrap();
        assert_eq!((part.flags, part.total_length), (0, None));
        // By hand from RFC 5281 §9.1: the server starts EAP-TTLS, version 1.
        let start = Packet::parse(&hex!("01 01 0006 15 21")).unwrap();
        let part = start.tls().unwrap().unwrap();
        assert!(part.is_start());
        assert_eq!(part.version(), 1);
        // By hand: the flags say a length that is not there.
        let short = Packet::parse(&hex!("01 01 0008 0d 80 0000")).unwrap();
        let reason = Reason::Truncated {
            needed: 4,
            available: 2,
        };
        assert_eq!(
            short.tls(),
            Some(Err(ParseError::new("EAP-TLS", 6, reason)))
        );
        assert_eq!(start.ms_chap_v2(), None);
    }

    #[test]
    fn a_nak_names_what_is_wanted_instead() {
        // By hand from RFC 3748 §5.3.1.
        let nak = hex!("02 01 0007 03 0d 1a");
        let wanted: Vec<_> = Packet::parse(&nak).unwrap().wanted_methods().collect();
        assert_eq!(wanted, [Method::TLS, Method::MSCHAPV2]);
        truncations(&nak);
    }

    #[test]
    fn an_expanded_type_names_its_vendor() {
        // By hand from RFC 3748 §5.7: Microsoft, 7.
        let packet = hex!("01 01 000d fe 000137 00000007 05");
        assert_eq!(
            Packet::parse(&packet).unwrap().expanded(),
            Some(Expanded {
                vendor: 311,
                vendor_type: 7,
                data: Octets(&[5]),
            })
        );
        let short = hex!("01 01 0008 fe 000137");
        assert_eq!(Packet::parse(&short).unwrap().expanded(), None);
        truncations(&packet);
    }

    #[test]
    fn lengths_are_checked_and_padding_is_left_out() {
        let reason = Reason::BadLength { value: 4, least: 5 };
        assert_eq!(
            Packet::parse(&hex!("01 01 0004")),
            Err(ParseError::new("EAP packet", 2, reason))
        );
        let reason = Reason::BadLength { value: 3, least: 4 };
        assert_eq!(
            Packet::parse(&hex!("03 01 0003")),
            Err(ParseError::new("EAP packet", 2, reason))
        );
        let reason = Reason::Truncated {
            needed: 6,
            available: 5,
        };
        assert_eq!(
            Packet::parse(&hex!("01 01 0006 01")),
            Err(ParseError::new("EAP packet", 0, reason))
        );
        let padded = Packet::parse(&hex!("02 00 0006 01 62 0000")).unwrap();
        assert_eq!(padded.text(), Some("b"));
    }

    proptest! {
        #[test]
        fn never_panics(octets in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(walk(&octets), Packet::parse(&octets));
        }

        #[test]
        fn never_panics_within_a_method(
            method in any::<u8>(),
            data in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let len = u8::try_from(data.len()).unwrap().saturating_add(5);
            let mut octets = vec![2, 0, 0, len, method];
            octets.extend_from_slice(&data);
            prop_assert!(walk(&octets).is_ok());
        }
    }
}
