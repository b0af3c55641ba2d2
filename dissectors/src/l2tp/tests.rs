//! Wire tests.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use hex_literal::hex;
use proptest::prelude::*;

use super::*;
use crate::Octets;

/// SCCRQ as xl2tpd writes it, shortened.
const SCCRQ: [u8; 50] = hex!(
    "c802" "0032"       // control, 50 octets
    "0000" "0000"       // tunnel, session
    "0000" "0000"       // Ns, Nr
    "8008" "0000" "0000" "0001"       // Message Type: SCCRQ
    "8008" "0000" "0002" "0100"       // Protocol Version 1.0
    "800a" "0000" "0007" "6c61626f"   // Host Name "labo"
    "4008" "0000" "000b" "beef"       // Challenge, hidden, not mandatory
    "8004"                            // too short by two
    "0000"
);

#[test]
fn a_control_message_yields_good_attributes_then_one_error() {
    let message = Message::parse(&SCCRQ).unwrap();
    assert!(message.is_control() && !message.is_zlb());
    assert_eq!(
        (message.length, message.tunnel_id, message.session_id),
        (Some(50), Some(0), Some(0))
    );
    assert_eq!((message.ns, message.nr), (Some(0), Some(0)));
    assert_eq!(message.message_type(), Some(MessageType::SCCRQ));
    let avps: Vec<_> = message.avps().collect();
    assert_eq!(avps.len(), 5);
    let version = avps[1].unwrap();
    assert!(version.is_mandatory() && !version.is_hidden());
    assert_eq!(
        version.value().unwrap(),
        Value::Version {
            version: 1,
            revision: 0
        }
    );
    assert_eq!(
        avps[2].unwrap().value().unwrap(),
        Value::Text(Octets(b"labo"))
    );
    let challenge = avps[3].unwrap();
    assert!(challenge.is_hidden() && !challenge.is_mandatory());
    assert_eq!(
        challenge.value().unwrap(),
        Value::Hidden(Octets(&[0xbe, 0xef]))
    );
    assert_eq!(
        avps[4].unwrap_err(),
        ParseError::new(
            "L2TP attribute",
            46,
            Reason::Truncated {
                needed: 6,
                available: 4
            }
        )
    );
}

#[test]
fn attribute_lengths_below_the_header_are_errors() {
    for length in 0..6u8 {
        let octets = [
            0xc8, 0x02, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, length, 0, 0, 0, 0, 0, 1,
        ];
        let message = Message::parse(&octets).unwrap();
        let avps: Vec<_> = message.avps().collect();
        assert_eq!(
            avps,
            [Err(ParseError::new(
                "L2TP attribute",
                12,
                Reason::BadLength {
                    value: usize::from(length),
                    least: 6
                }
            ))]
        );
        assert_eq!(recognise(&octets), Verdict::NotOurs);
    }
}

#[test]
fn result_codes_carry_error_and_text() {
    let cdn = hex!(
        "c802" "0032" "0001" "0002" "0003" "0004"
        "8008" "0000" "0000" "000e"                       // CDN
        "8016" "0000" "0001" "0002" "0004" "6e6f20706f727473213f" "2121" // 22 octets
        "8008" "0000" "000e" "0007"                       // Assigned Session ID
    );
    let message = Message::parse(&cdn).unwrap();
    assert_eq!(message.message_type(), Some(MessageType::CDN));
    let avps: Vec<_> = message.avps().map(Result::unwrap).collect();
    assert_eq!(
        avps[1].value().unwrap(),
        Value::Result {
            result: CallResult::GENERAL_ERROR.0,
            error: Some(ErrorCode::INSUFFICIENT_RESOURCES),
            message: Some(Octets(b"no ports!?!!")),
        }
    );
    assert_eq!(avps[2].value().unwrap(), Value::Number(7));
    let alone = hex!("c802" "001c" "0001" "0000" "0003" "0004" "8008" "0000" "0000" "0004" "8008" "0000" "0001" "0006");
    let message = Message::parse(&alone).unwrap();
    let result = message.avps().nth(1).unwrap().unwrap().value().unwrap();
    assert_eq!(
        result,
        Value::Result {
            result: StopResult::SHUTTING_DOWN.0,
            error: None,
            message: None
        }
    );
}

#[test]
fn ppp_disconnect_cause_is_read() {
    let avp = Avp {
        flags: 0,
        length: 16,
        vendor: 0,
        attribute: 46,
        offset: 20,
        body: &hex!("0010" "c223" "01" "6e6f70" "6521"),
    };
    assert_eq!(
        avp.value().unwrap(),
        Value::PppDisconnect {
            code: PppDisconnectCode::AUTH_FAILED,
            protocol: 0xc223,
            direction: 1,
            text: Octets(b"nope!"),
        }
    );
    let short = Avp {
        body: &avp.body[..4],
        ..avp
    };
    assert_eq!(
        short.value().unwrap_err(),
        ParseError::new(
            "L2TP attribute value",
            30,
            Reason::Truncated {
                needed: 1,
                available: 0
            }
        )
    );
}

#[test]
fn data_with_every_optional_field() {
    let octets = hex!(
        "4b02" "0015" "0102" "0304" "0005" "0006" "0002" "aaaa" "ff03c021" "00"
        "ee"                                                // after the declared end
    );
    let message = Message::parse(&octets).unwrap();
    assert!(!message.is_control() && message.flags.is_priority());
    assert_eq!(
        (message.tunnel_id, message.session_id),
        (Some(0x0102), Some(0x0304))
    );
    assert_eq!((message.ns, message.nr), (Some(5), Some(6)));
    assert_eq!(message.offset_size, Some(2));
    assert_eq!(message.body, &hex!("ff03c02100"));
    assert_eq!((message.body_offset, message.trailing), (16, 1));
    assert_eq!(message.avps().count(), 0);
    assert_eq!(recognise(&octets), Verdict::Unsure);
    let bare = hex!("0002" "0102" "0304" "ff03c021");
    let message = Message::parse(&bare).unwrap();
    assert_eq!((message.length, message.ns), (None, None));
    assert_eq!(message.body, &hex!("ff03c021"));
}

#[test]
fn an_offset_beyond_the_end_is_an_error() {
    let octets = hex!("0202" "0102" "0304" "00ff" "ff03");
    assert_eq!(
        Message::parse(&octets).unwrap_err(),
        ParseError::new(
            "L2TP header",
            8,
            Reason::Truncated {
                needed: 255,
                available: 2
            }
        )
    );
}

#[test]
fn version_3_over_udp_and_ip() {
    let control = hex!("c803" "0014" "00000000" "0000" "0000" "8008" "0000" "0000" "0001");
    let message = Message::parse(&control).unwrap();
    assert_eq!((message.tunnel_id, message.session_id), (Some(0), None));
    assert_eq!(message.message_type(), Some(MessageType::SCCRQ));
    assert_eq!(recognise(&control), Verdict::Certain);
    let data = hex!("0003" "0000" "00000bb8" "00000000");
    let message = Message::parse(&data).unwrap();
    assert_eq!((message.tunnel_id, message.session_id), (None, Some(3000)));
    assert_eq!(recognise(&data), Verdict::Unsure);

    let mut over_ip = vec![0, 0, 0, 0];
    over_ip.extend_from_slice(&control);
    let message = Message::parse_ip(&over_ip).unwrap();
    assert_eq!(message.message_type(), Some(MessageType::SCCRQ));
    assert_eq!(message.avps().next().unwrap().unwrap().offset, 16);
    assert_eq!(message.length_fault, None);
    let message = Message::parse_ip(&hex!("00000fa0" "aabb")).unwrap();
    assert_eq!(
        (message.session_id, message.body),
        (Some(4000), &[0xaa, 0xbb][..])
    );
    assert_eq!(
        Message::parse_ip(&hex!("00000000" "c802" "000c" "0000" "0000" "0000" "0000"))
            .unwrap_err()
            .offset,
        4
    );
}

#[test]
fn zlb_and_other_versions() {
    let zlb = hex!("c802" "000c" "05f7" "0000" "0001" "0002");
    assert!(Message::parse(&zlb).unwrap().is_zlb());
    assert_eq!(recognise(&zlb), Verdict::Certain);
    let l2f = hex!("c801" "000c" "05f7" "0000" "0001" "0002");
    assert_eq!(
        Message::parse(&l2f).unwrap_err(),
        ParseError::new("L2TP header", 0, Reason::Invalid("neither version 2 nor 3"))
    );
    assert_eq!(recognise(&l2f), Verdict::NotOurs);
    // An L2TP control message never lacks the length or the sequence numbers.
    assert_eq!(
        recognise(&hex!("8002" "05f7" "0000" "0001")),
        Verdict::NotOurs
    );
}

#[test]
fn a_lying_length_is_a_fault_and_the_attributes_remain() {
    let mut octets = SCCRQ;
    octets[3] = 200;
    let message = Message::parse(&octets).unwrap();
    assert_eq!(
        message.length_fault,
        Some(ParseError::new(
            "L2TP length",
            2,
            Reason::Truncated {
                needed: 200,
                available: 50
            }
        ))
    );
    assert_eq!(message.message_type(), Some(MessageType::SCCRQ));
    octets[3] = 4;
    let message = Message::parse(&octets).unwrap();
    assert_eq!(
        message.length_fault.unwrap().reason,
        Reason::BadLength {
            value: 4,
            least: 12
        }
    );
}

#[test]
fn every_truncation_is_an_error_or_a_fault() {
    for len in 0..SCCRQ.len() {
        let short = &SCCRQ[..len];
        match Message::parse(short) {
            Err(error) => assert!(error.offset <= len && len < 12),
            Ok(message) => {
                assert!(message.length_fault.is_some());
                for avp in message.avps() {
                    assert!(avp.map_or_else(|error| error.offset, |avp| avp.offset) <= len);
                }
            }
        }
        assert_eq!(recognise(short), Verdict::NotOurs);
    }
}

#[test]
fn every_known_code_has_a_name_of_its_own() {
    for code in MessageType::KNOWN {
        assert!(code.name().is_some());
    }
    assert_eq!(MessageType::STOP_CCN.to_string(), "StopCCN");
    assert_eq!(AvpType(20).to_string(), "UNKNOWN_20");
    assert_eq!(AvpType(9).name(), Some("Assigned Tunnel ID"));
}

proptest! {
    #[test]
    fn never_panics_and_places_errors_inside(octets in proptest::collection::vec(any::<u8>(), 0..200), control: bool) {
        let mut octets = octets;
        if control && octets.len() > 2 {
            octets[0] = 0xc8;
            octets[1] = 2;
        }
        let _ = recognise(&octets);
        for parsed in [Message::parse(&octets), Message::parse_ip(&octets)] {
            match parsed {
                Err(error) => prop_assert!(error.offset <= octets.len()),
                Ok(message) => {
                    let mut steps = 0;
                    for avp in message.avps() {
                        steps += 1;
                        match avp {
                            Err(error) => prop_assert!(error.offset <= octets.len()),
                            Ok(avp) => {
                                if let Err(error) = avp.value() {
                                    prop_assert!(error.offset <= octets.len());
                                }
                            }
                        }
                    }
                    prop_assert!(steps <= octets.len());
                }
            }
        }
    }
}
