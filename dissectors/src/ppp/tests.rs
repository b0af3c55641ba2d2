//! Wire tests.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use hex_literal::hex;
use proptest::prelude::*;

use super::auth::{MsChapFailure, MsChapSuccess, Secret};
use super::*;

fn packet(octets: &[u8]) -> Packet<'_> {
    Frame::parse(octets).unwrap().packet().unwrap().unwrap()
}

#[test]
fn every_mix_of_field_compression() {
    for (octets, address_control, compressed, offset) in [
        (&hex!("ff03" "c021" "0901")[..], true, false, 4),
        (&hex!("c021" "0901")[..], false, false, 2),
        (&hex!("ff03" "0021" "45")[..], true, false, 4),
        (&hex!("21" "45")[..], false, true, 1),
        (&hex!("ff03" "21" "45")[..], true, true, 3),
        (&hex!("fd" "9000")[..], false, true, 1),
    ] {
        let frame = Frame::parse(octets).unwrap();
        assert_eq!(frame.has_address_control, address_control);
        assert_eq!(frame.is_protocol_compressed, compressed);
        assert_eq!(frame.body_offset, offset);
        assert_eq!(frame.body, &octets[offset..]);
    }
    assert_eq!(
        Frame::parse(&hex!("21" "45")).unwrap().protocol,
        Protocol::IPV4
    );
    assert!(Frame::parse(&hex!("21" "45")).unwrap().is_plausible());
    assert!(!Frame::parse(&hex!("21" "55")).unwrap().is_plausible());
    assert_eq!(
        Frame::parse(&hex!("ff03" "c0")).unwrap_err(),
        ParseError::new(
            "PPP frame",
            2,
            Reason::Truncated {
                needed: 2,
                available: 1
            }
        )
    );
}

/// A Configure-Request with most LCP options.
const REQUEST: [u8; 57] = hex!(
    "ff03" "c021"
    "01" "07" "0035"
    "01" "04" "0578"                          // MRU 1400
    "02" "06" "00000000"                      // ACCM
    "03" "05" "c223" "81"                     // MS-CHAPv2
    "04" "08" "c025" "000003e8"               // LQR
    "05" "06" "deadbeef"                      // Magic
    "07" "02"                                 // PFC
    "08" "02"                                 // ACFC
    "0d" "03" "06"                            // Callback, CBCP
    "11" "04" "064e"                          // MRRU 1614
    "13" "09" "03" "020000000001"             // Endpoint discriminator, MAC
);

#[test]
fn lcp_options_are_read() {
    let packet = packet(&REQUEST);
    assert_eq!(packet.control_code(), Some(Code::CONFIGURE_REQUEST));
    assert_eq!(packet.code_name(), Some("Configure-Request"));
    assert_eq!((packet.identifier, packet.length), (7, 53));
    assert_eq!(packet.content().unwrap(), Content::Options);
    let options: Vec<_> = packet.options().map(Result::unwrap).collect();
    let values: Vec<_> = options.iter().map(|o| o.value().unwrap()).collect();
    assert_eq!(
        values,
        [
            OptionValue::Number(1400),
            OptionValue::Bits(0),
            OptionValue::Authentication {
                protocol: Protocol::CHAP,
                algorithm: Some(ChapAlgorithm::MS_CHAP_V2)
            },
            OptionValue::Protocol {
                protocol: Protocol::LQR,
                data: Octets(&[0, 0, 3, 0xe8])
            },
            OptionValue::Bits(0xdead_beef),
            OptionValue::Flag,
            OptionValue::Flag,
            OptionValue::Classed {
                class: 6,
                data: Octets(&[])
            },
            OptionValue::Number(1614),
            OptionValue::Classed {
                class: 3,
                data: Octets(&[2, 0, 0, 0, 0, 1])
            },
        ]
    );
    assert_eq!(options[2].offset, 18);
    assert_eq!(options[2].name(), Some("Authentication-Protocol"));
}

#[test]
fn option_lengths_zero_and_one_are_errors() {
    for length in 0..2u8 {
        let octets = [0xc0, 0x21, 1, 1, 0, 8, 7, length, 8, 2];
        let options: Vec<_> = packet(&octets).options().collect();
        assert_eq!(
            options,
            [Err(ParseError::new(
                "PPP option",
                6,
                Reason::BadLength {
                    value: usize::from(length),
                    least: 2
                }
            ))]
        );
    }
    let octets = hex!("c021" "01" "01" "0008" "07" "02" "05" "06");
    let options: Vec<_> = packet(&octets).options().collect();
    assert_eq!(options[0].unwrap().value().unwrap(), OptionValue::Flag);
    assert_eq!(
        options[1].unwrap_err(),
        ParseError::new(
            "PPP option",
            8,
            Reason::Truncated {
                needed: 6,
                available: 2
            }
        )
    );
    let octets = hex!("c021" "01" "01" "0007" "01" "03" "05");
    let option = packet(&octets).options().next().unwrap().unwrap();
    assert_eq!(option.value().unwrap_err().offset, 8);
}

#[test]
fn the_other_lcp_packets() {
    let reject = hex!("c021" "08" "02" "000a" "8021" "01010004");
    assert_eq!(
        packet(&reject).content().unwrap(),
        Content::ProtocolReject {
            protocol: Protocol::IPCP,
            information: Octets(&[1, 1, 0, 4])
        }
    );
    let echo = hex!("c021" "09" "02" "0009" "01020304" "aa" "00");
    assert_eq!(packet(&echo).trailing, 1);
    assert_eq!(
        packet(&echo).content().unwrap(),
        Content::Echo {
            magic: 0x0102_0304,
            data: Octets(&[0xaa])
        }
    );
    let identification = hex!("c021" "0c" "02" "0012" "01020304" "4d535241535635" "2e3230");
    assert_eq!(
        packet(&identification).content().unwrap(),
        Content::Identification {
            magic: 0x0102_0304,
            message: Octets(b"MSRASV5.20")
        }
    );
    let time = hex!("c021" "0d" "02" "000c" "01020304" "0000003c");
    assert!(matches!(
        packet(&time).content().unwrap(),
        Content::TimeRemaining { seconds: 60, .. }
    ));
    let end = hex!("c021" "05" "03" "0008" "62796521");
    assert_eq!(
        packet(&end).content().unwrap(),
        Content::Text(Octets(b"bye!"))
    );
    let short = hex!("c021" "08" "02" "0005" "80");
    assert_eq!(
        packet(&short).content().unwrap_err(),
        ParseError::new(
            "PPP packet",
            6,
            Reason::Truncated {
                needed: 2,
                available: 1
            }
        )
    );
}

#[test]
fn pap_hides_the_password_from_debug() {
    let octets = hex!("c023" "01" "01" "000e" "03" "626f62" "05" "6f70656e21");
    let Content::Pap(request) = packet(&octets).content().unwrap() else {
        unreachable!()
    };
    assert_eq!(request.peer_id, Octets(b"bob"));
    assert_eq!(request.password, Secret(b"open!"));
    assert!(format!("{request:?}").contains("Secret(5 octets)"));
    let nak = hex!("c023" "03" "01" "0008" "03" "6e6f21");
    assert_eq!(
        packet(&nak).content().unwrap(),
        Content::Text(Octets(b"no!"))
    );
    assert_eq!(packet(&nak).code_name(), Some("Authenticate-Nak"));
    let empty = hex!("c023" "02" "01" "0004");
    assert_eq!(
        packet(&empty).content().unwrap(),
        Content::Text(Octets(b""))
    );
}

#[test]
fn chap_value_and_name() {
    let octets = hex!("c223" "01" "2a" "000c" "04" "a1a2a3a4" "6c6e73");
    let Content::ChapValue(challenge) = packet(&octets).content().unwrap() else {
        unreachable!()
    };
    assert_eq!(challenge.value, Octets(&[0xa1, 0xa2, 0xa3, 0xa4]));
    assert_eq!(challenge.name, Octets(b"lns"));
    let lying = hex!("c223" "02" "2a" "0006" "31" "aa");
    assert_eq!(
        packet(&lying).content().unwrap_err(),
        ParseError::new(
            "CHAP packet",
            7,
            Reason::Truncated {
                needed: 49,
                available: 1
            }
        )
    );
}

#[test]
fn ms_chap_texts() {
    let text = b"E=691 R=1 C=0123456789ABCDEF0123456789ABCDEF V=3 M=Access denied = really";
    assert_eq!(
        MsChapFailure::parse(text).unwrap(),
        MsChapFailure {
            error: MsChapError::AUTHENTICATION_FAILURE,
            retry: Some(true),
            challenge: Some("0123456789ABCDEF0123456789ABCDEF"),
            version: Some(3),
            message: Some("Access denied = really"),
        }
    );
    let bare = MsChapFailure::parse(b"E=0000000648 R=0 V=3\xff").unwrap();
    assert_eq!(bare.error, MsChapError::PASSWD_EXPIRED);
    assert_eq!((bare.retry, bare.challenge), (Some(false), None));
    for no in [
        &b"Authentication failed"[..],
        b"",
        b"E= R=1",
        b"E=x",
        b"M=E=691",
    ] {
        assert_eq!(MsChapFailure::parse(no), None);
    }
    let ok = b"S=63A39962FFD2A6DA360DFE776D9668F14334A2D9 M=Access granted";
    let success = MsChapSuccess::parse(ok).unwrap();
    assert!(success.is_well_formed());
    assert_eq!(success.message, Some("Access granted"));
    assert!(!MsChapSuccess::parse(b"S=12 M=x").unwrap().is_well_formed());
    assert_eq!(MsChapSuccess::parse(b"Welcome"), None);
}

#[test]
fn network_control_options() {
    let ipcp = hex!(
        "8021" "03" "05" "0016"
        "03" "06" "0a32000a" "81" "06" "0a140035" "02" "06" "002d" "0f01"
    );
    let values: Vec<_> = packet(&ipcp)
        .options()
        .map(|o| o.unwrap().value().unwrap())
        .collect();
    assert_eq!(
        values,
        [
            OptionValue::Ipv4([10, 50, 0, 10]),
            OptionValue::Ipv4([10, 20, 0, 53]),
            OptionValue::Protocol {
                protocol: Protocol::VJ_COMPRESSED,
                data: Octets(&[0x0f, 1])
            },
        ]
    );
    let ipv6cp = hex!("8057" "01" "05" "000e" "01" "0a" "0102030405060708");
    assert_eq!(
        packet(&ipv6cp).options().next().unwrap().unwrap().value(),
        Ok(OptionValue::InterfaceIdentifier([1, 2, 3, 4, 5, 6, 7, 8]))
    );
    let ccp = hex!("80fd" "01" "05" "000a" "12" "06" "01000060");
    let option = packet(&ccp).options().next().unwrap().unwrap();
    assert_eq!(option.name(), Some("Microsoft PPC"));
    let OptionValue::Mppe(bits) = option.value().unwrap() else {
        unreachable!()
    };
    assert!(bits.is_stateless() && bits.is_128_bit() && bits.is_40_bit() && bits.encrypts());
    assert!(!bits.is_56_bit() && !bits.compresses());
}

#[test]
fn lengths_that_lie() {
    let long = hex!("c021" "01" "01" "0100" "0702");
    let packet_long = packet(&long);
    assert_eq!(
        packet_long.length_fault,
        Some(ParseError::new(
            "PPP packet length",
            4,
            Reason::Truncated {
                needed: 256,
                available: 6
            }
        ))
    );
    assert_eq!(packet_long.options().count(), 1);
    assert!(!Frame::parse(&long).unwrap().is_plausible());
    let short = hex!("c021" "01" "01" "0003" "0702");
    assert_eq!(
        packet(&short).length_fault.unwrap().reason,
        Reason::BadLength { value: 3, least: 4 }
    );
    for len in 0..REQUEST.len() {
        match Frame::parse(&REQUEST[..len]) {
            Err(error) => assert!(error.offset <= len),
            Ok(frame) => match frame.packet() {
                // `ff` alone reads as a compressed protocol.
                None => assert_eq!(len, 1),
                Some(Err(error)) => assert!(error.offset <= len),
                Some(Ok(packet)) => assert!(packet.length_fault.is_some()),
            },
        }
    }
}

#[test]
fn which_protocols_have_packets() {
    for protocol in [
        Protocol::LCP,
        Protocol::IPCP,
        Protocol::CCP,
        Protocol::MPLSCP,
        Protocol::CDPCP,
    ] {
        assert!(protocol.has_packets() && protocol.negotiates() && !protocol.authenticates());
    }
    for protocol in [Protocol::PAP, Protocol::CHAP, Protocol::EAP] {
        assert!(protocol.has_packets() && !protocol.negotiates() && protocol.authenticates());
    }
    for protocol in [Protocol::IPV4, Protocol::LQR, Protocol::COMPRESSED] {
        assert!(!protocol.has_packets() && !protocol.negotiates());
    }
    assert_eq!(Protocol::EAP.code_name(4), Some("Failure"));
    assert_eq!(Protocol::CHAP.code_name(4), Some("Failure"));
    assert_eq!(Protocol::LCP.code_name(4), Some("Configure-Reject"));
    assert_eq!(Protocol::IPV4.code_name(4), None);
}

proptest! {
    #[test]
    fn never_panics_and_places_errors_inside(
        prefix in prop_oneof![Just(&[][..]), Just(&[0xff, 3, 0xc0, 0x21][..]), Just(&[0xc0, 0x23][..]), Just(&[0xc2, 0x23][..]), Just(&[0x80, 0x21][..]), Just(&[0x80, 0xfd][..])],
        code in 0u8..16,
        tail in proptest::collection::vec(any::<u8>(), 0..120),
        honest: bool,
    ) {
        let mut octets = prefix.to_vec();
        octets.push(code);
        octets.extend_from_slice(&tail);
        if honest {
            let at = prefix.len() + 2;
            let len = u16::try_from(octets.len() - prefix.len()).unwrap().to_be_bytes();
            octets.splice(at.min(octets.len()).., len.into_iter().chain(tail.iter().copied().take(60)));
        }
        if let Ok(frame) = Frame::parse(&octets) {
            let _ = frame.is_plausible();
            match frame.packet() {
                Some(Ok(packet)) => {
                    for option in packet.options() {
                        match option {
                            Ok(option) => if let Err(error) = option.value() { prop_assert!(error.offset <= octets.len()); },
                            Err(error) => prop_assert!(error.offset <= octets.len()),
                        }
                    }
                    match packet.content() {
                        Ok(Content::ChapMessage(message)) => {
                            let _ = (message.ms_chap_failure(), message.ms_chap_success());
                        }
                        Ok(_) => {}
                        Err(error) => prop_assert!(error.offset <= octets.len()),
                    }
                }
                Some(Err(error)) => prop_assert!(error.offset <= octets.len()),
                None => {}
            }
        }
    }

    #[test]
    fn ms_chap_texts_never_panic(text in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = (MsChapFailure::parse(&text), MsChapSuccess::parse(&text));
    }
}
