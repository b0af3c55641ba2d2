//! Every type of notify whose data have structure. Where no origin is named, the octets are by
//! hand from the RFC that the type's documentation names.

use hex_literal::hex;

use super::super::tests::{fault, raw, truncations};
use super::super::{Attribute, AttributeValue};
use super::*;

/// A notify without SPI.
fn body(notify_type: NotifyType, data: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0];
    body.extend_from_slice(&notify_type.0.to_be_bytes());
    body.extend_from_slice(data);
    body
}

/// Reads the data of a type with `check`, and cuts the payload everywhere.
fn reads(notify_type: NotifyType, data: &[u8], check: impl FnOnce(NotifyData<'_>)) {
    let body = body(notify_type, data);
    let notify = Notify::parse(&raw(PayloadType::N, &body)).unwrap();
    check(notify.content().unwrap());
    truncations(PayloadType::N, &body);
}

/// The data of a type are exactly `expected`.
fn is(notify_type: NotifyType, data: &[u8], expected: &NotifyData<'_>) {
    reads(notify_type, data, |found| assert_eq!(&found, expected));
}

/// One octet less and one octet more than `data` is a fault.
fn is_exact(notify_type: NotifyType, data: &[u8]) {
    let mut longer = data.to_vec();
    longer.push(0);
    let error = fault(PayloadType::N, &body(notify_type, &longer));
    let trailing = Reason::Trailing { octets: 1 };
    let offset = data.len().saturating_add(36);
    assert_eq!(
        error,
        ParseError::new("IKEv2 notify data", offset, trailing)
    );
    let shorter = &data[..data.len().saturating_sub(1)];
    if !shorter.is_empty() {
        let error = fault(PayloadType::N, &body(notify_type, shorter));
        assert!(matches!(error.reason, Reason::Truncated { .. }), "{error}");
    }
}

#[test]
fn an_sa_is_rekeyed_by_its_spi() {
    // As charon sent it, decrypted.
    let body = hex!("03 04 4009 f8bd2ff4");
    let notify = Notify::parse(&raw(PayloadType::N, &body)).unwrap();
    assert_eq!(notify.protocol, ProtocolId::ESP);
    assert_eq!(notify.notify_type, NotifyType::REKEY_SA);
    assert_eq!(notify.spi.to_string(), "f8bd2ff4");
    assert!(notify.data.is_empty());
    assert_eq!(notify.content(), Ok(NotifyData::None));
    truncations(PayloadType::N, &body);
}

#[test]
fn an_spi_longer_than_the_payload_is_a_fault() {
    let reason = Reason::Truncated {
        needed: 4,
        available: 2,
    };
    assert_eq!(
        fault(PayloadType::N, &hex!("03 04 4009 f8bd")),
        ParseError::new("IKEv2 notify", 36, reason)
    );
}

#[test]
fn errors_with_data() {
    is(
        NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD,
        &[53],
        &NotifyData::UnsupportedPayload(PayloadType::SKF),
    );
    is(
        NotifyType::INVALID_MESSAGE_ID,
        &hex!("00000007"),
        &NotifyData::MessageId(7),
    );
    is(
        NotifyType::INVALID_KE_PAYLOAD,
        &hex!("000e"),
        &NotifyData::KeyExchange(KeyExchange::MODP_2048),
    );
    is(
        NotifyType::MS_NOTIFY_STATUS,
        &hex!("000035e9"),
        &NotifyData::Win32(13801),
    );
    // Of the packet that was refused.
    is(
        NotifyType::INVALID_SELECTORS,
        &hex!("45000054"),
        &NotifyData::Octets(Octets(&hex!("45000054"))),
    );
    is_exact(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, &[53]);
    is_exact(NotifyType::INVALID_MESSAGE_ID, &[0; 4]);
    is_exact(NotifyType::INVALID_KE_PAYLOAD, &[0, 14]);
    is_exact(NotifyType::MS_NOTIFY_STATUS, &[0; 4]);
}

#[test]
fn a_ke_error_without_its_group_is_a_fault() {
    let reason = Reason::Truncated {
        needed: 2,
        available: 0,
    };
    assert_eq!(
        fault(PayloadType::N, &body(NotifyType::INVALID_KE_PAYLOAD, &[])),
        ParseError::new("IKEv2 notify data", 36, reason)
    );
}

#[test]
fn an_error_offset_counts_the_spi() {
    let error = fault(PayloadType::N, &hex!("01 08 0011 0102030405060708 00"));
    let reason = Reason::Truncated {
        needed: 2,
        available: 1,
    };
    assert_eq!(error, ParseError::new("IKEv2 notify data", 44, reason));
}

#[test]
fn types_without_data_have_none() {
    for &notify_type in NotifyType::KNOWN {
        let body = body(notify_type, &[]);
        let notify = Notify::parse(&raw(PayloadType::N, &body)).unwrap();
        match notify.content() {
            Ok(content) => assert_eq!(content, NotifyData::None, "{notify_type}"),
            Err(error) => {
                assert!(needs_data(notify_type), "{notify_type}");
                assert_eq!(error.offset, 36);
            }
        }
    }
}

#[test]
fn unstructured_and_unknown_data_are_kept() {
    for notify_type in [
        NotifyType::NO_PROPOSAL_CHOSEN,
        NotifyType::TICKET_OPAQUE,
        NotifyType::LINK_ID,
        NotifyType::QUICK_CRASH_DETECTION,
        NotifyType::ADDITIONAL_KEY_EXCHANGE,
        NotifyType::SA_RESOURCE_INFO,
        NotifyType(40999),
    ] {
        is(
            notify_type,
            &[1, 2, 3],
            &NotifyData::Octets(Octets(&[1, 2, 3])),
        );
    }
}

#[test]
fn numbers() {
    is(
        NotifyType::SET_WINDOW_SIZE,
        &hex!("00000008"),
        &NotifyData::WindowSize(8),
    );
    is(
        NotifyType::AUTH_LIFETIME,
        &hex!("00000e10"),
        &NotifyData::AuthLifetime(3600),
    );
    is(
        NotifyType::IPSEC_REPLAY_COUNTER_SYNC,
        &hex!("00000400"),
        &NotifyData::ReplayCounterSync(1024),
    );
    is(
        NotifyType::IPSEC_REPLAY_COUNTER_SYNC,
        &hex!("0000000100000000"),
        &NotifyData::ReplayCounterSync(1 << 32),
    );
    is(
        NotifyType::IKEV2_MESSAGE_ID_SYNC,
        &hex!("01020304 00000005 00000006"),
        &NotifyData::MessageIdSync {
            nonce: 0x0102_0304,
            expected_send: 5,
            expected_receive: 6,
        },
    );
    for (notify_type, len) in [
        (NotifyType::SET_WINDOW_SIZE, 4),
        (NotifyType::AUTH_LIFETIME, 4),
        (NotifyType::IPSEC_REPLAY_COUNTER_SYNC, 8),
        (NotifyType::IKEV2_MESSAGE_ID_SYNC, 12),
    ] {
        is_exact(notify_type, &[0; 12][..len]);
    }
}

#[test]
fn nat_detection_is_a_sha1() {
    // As charon sent it, decrypted.
    let hash = hex!("c36f76c701f1cc68c17989efbcddeac3f8fb2ae0");
    is(
        NotifyType::NAT_DETECTION_SOURCE_IP,
        &hash,
        &NotifyData::NatDetection(&hash),
    );
    is_exact(NotifyType::NAT_DETECTION_SOURCE_IP, &hash);
    is_exact(NotifyType::NAT_DETECTION_DESTINATION_IP, &hash);
}

#[test]
fn cookies_may_have_any_length() {
    // As charon sent it, decrypted.
    let cookie = hex!("42b8c6a1888be36ee551a460914fc62c");
    is(
        NotifyType::COOKIE2,
        &cookie,
        &NotifyData::Cookie(Octets(&cookie)),
    );
    is(NotifyType::COOKIE, &[1], &NotifyData::Cookie(Octets(&[1])));
}

#[test]
fn additional_addresses() {
    is(
        NotifyType::ADDITIONAL_IP4_ADDRESS,
        &[192, 0, 2, 9],
        &NotifyData::Address([192, 0, 2, 9].into()),
    );
    let v6 = hex!("20010db8000000000000000000000009");
    is(
        NotifyType::ADDITIONAL_IP6_ADDRESS,
        &v6,
        &NotifyData::Address(v6.into()),
    );
    is_exact(NotifyType::ADDITIONAL_IP4_ADDRESS, &[192, 0, 2, 9]);
    is_exact(NotifyType::ADDITIONAL_IP6_ADDRESS, &v6);
}

#[test]
fn redirections() {
    is(
        NotifyType::REDIRECT,
        &hex!("01 04 cb007105 0102030405060708"),
        &NotifyData::Redirect {
            gateway: GatewayIdentity::Address([203, 0, 113, 5].into()),
            nonce: Octets(&[1, 2, 3, 4, 5, 6, 7, 8]),
        },
    );
    is(
        NotifyType::REDIRECT,
        b"\x03\x05gw.ex",
        &NotifyData::Redirect {
            gateway: GatewayIdentity::Fqdn("gw.ex"),
            nonce: Octets(&[]),
        },
    );
    let v6 = hex!("02 10 20010db8000000000000000000000009");
    is(
        NotifyType::REDIRECTED_FROM,
        &v6,
        &NotifyData::RedirectedFrom(GatewayIdentity::Address("2001:db8::9".parse().unwrap())),
    );
    is_exact(NotifyType::REDIRECTED_FROM, &v6);
    is(
        NotifyType::REDIRECTED_FROM,
        &hex!("01 03 cb0071"),
        &NotifyData::RedirectedFrom(GatewayIdentity::Other(
            GatewayIdentityType::IPV4,
            Octets(&[203, 0, 113]),
        )),
    );
    let reason = Reason::Truncated {
        needed: 9,
        available: 4,
    };
    assert_eq!(
        fault(
            PayloadType::N,
            &body(NotifyType::REDIRECT, &hex!("01 09 cb007105"))
        ),
        ParseError::new("IKEv2 notify data", 38, reason)
    );
}

#[test]
fn compression_and_tickets_and_puzzles() {
    is(
        NotifyType::IPCOMP_SUPPORTED,
        &hex!("4711 02"),
        &NotifyData::Ipcomp {
            cpi: 0x4711,
            transform: IpcompTransform::IPCOMP_DEFLATE,
            attributes: Octets(&[]),
        },
    );
    is(
        NotifyType::TICKET_LT_OPAQUE,
        &hex!("00000e10 aabb"),
        &NotifyData::TicketLifetime {
            lifetime: 3600,
            ticket: Octets(&[0xaa, 0xbb]),
        },
    );
    is(
        NotifyType::PUZZLE,
        &hex!("0005 12"),
        &NotifyData::Puzzle {
            prf: Prf::PRF_HMAC_SHA2_256,
            difficulty: 18,
        },
    );
    is_exact(NotifyType::PUZZLE, &hex!("0005 12"));
    is(
        NotifyType::USE_AGGFRAG,
        &[0x02],
        &NotifyData::Aggfrag {
            congestion_control: true,
            dont_fragment: false,
        },
    );
    is_exact(NotifyType::USE_AGGFRAG, &[0x01]);
    is(
        NotifyType::ERX_SUPPORTED,
        b"example.test",
        &NotifyData::Domain("example.test"),
    );
    is(
        NotifyType::ERX_SUPPORTED,
        &[0xff],
        &NotifyData::Octets(Octets(&[0xff])),
    );
}

#[test]
fn header_compression_is_a_chain_of_attributes() {
    reads(
        NotifyType::ROHC_SUPPORTED,
        &hex!("8001 000f 8005 0000"),
        |found| {
            let NotifyData::Rohc(attributes) = found else {
                panic!("{found:?}");
            };
            assert_eq!(
                attributes.collect::<Vec<_>>(),
                [
                    Ok(Attribute {
                        code: 1,
                        value: AttributeValue::Short(15),
                        offset: 36
                    }),
                    Ok(Attribute {
                        code: 5,
                        value: AttributeValue::Short(0),
                        offset: 40
                    })
                ]
            );
        },
    );
}

#[test]
fn lists_of_codes() {
    // As charon sent it.
    reads(
        NotifyType::SIGNATURE_HASH_ALGORITHMS,
        &hex!("0002 0003 0004 0005"),
        |found| {
            let NotifyData::HashAlgorithms(list) = found else {
                panic!("{found:?}");
            };
            let hashes: Vec<_> = list.iter().collect();
            assert_eq!(hashes[0], HashAlgorithm::SHA2_256);
            assert_eq!(hashes[3], HashAlgorithm::IDENTITY);
            assert_eq!(hashes.len(), 4);
        },
    );
    reads(
        NotifyType::SECURE_PASSWORD_METHODS,
        &hex!("0001 0003"),
        |found| {
            let NotifyData::SecurePasswordMethods(list) = found else {
                panic!("{found:?}");
            };
            assert_eq!(
                list.iter().collect::<Vec<_>>(),
                [SecurePasswordMethod::PACE, SecurePasswordMethod::SECURE_PSK]
            );
        },
    );
    let reason = Reason::Invalid("an odd number of octets");
    assert_eq!(
        fault(
            PayloadType::N,
            &body(NotifyType::SIGNATURE_HASH_ALGORITHMS, &[0, 2, 0])
        ),
        ParseError::new("IKEv2 notify data", 36, reason)
    );
}

#[test]
fn preshared_keys_against_quantum_computers() {
    is(
        NotifyType::PPK_IDENTITY,
        b"\x02key1",
        &NotifyData::PpkIdentity {
            id_type: PpkIdType::PPK_ID_FIXED,
            id: Octets(b"key1"),
        },
    );
    is(NotifyType::PPK_IDENTITY, &[], &NotifyData::None);
    is(
        NotifyType::PPK_IDENTITY_KEY,
        b"\x02key1\x01\x02\x03\x04\x05\x06\x07\x08",
        &NotifyData::PpkIdentityKey {
            id_type: PpkIdType::PPK_ID_FIXED,
            id: Octets(b"key1"),
            confirmation: &[1, 2, 3, 4, 5, 6, 7, 8],
        },
    );
    let reason = Reason::Truncated {
        needed: 8,
        available: 4,
    };
    assert_eq!(
        fault(
            PayloadType::N,
            &body(NotifyType::PPK_IDENTITY_KEY, b"\x02key1")
        ),
        ParseError::new("IKEv2 notify data", 37, reason)
    );
    is(
        NotifyType::NO_PPK_AUTH,
        &[9; 32],
        &NotifyData::NoPpkAuth(Octets(&[9; 32])),
    );
    is(NotifyType::USE_PPK, &[], &NotifyData::None);
}

#[test]
fn announced_authentication_methods() {
    // One in each form of RFC 9593 §3.2.
    let data = hex!(
        "02 02"
        "03 01 00"
        "0f 0e 01 300a06082a8648ce3d040302"
    );
    reads(NotifyType::SUPPORTED_AUTH_METHODS, &data, |found| {
        let NotifyData::AuthMethods(list) = found else {
            panic!("{found:?}");
        };
        let all: Vec<_> = list.map(Result::unwrap).collect();
        assert_eq!(all.len(), 3);
        assert_eq!(
            (all[0].method, all[0].cert_link),
            (AuthMethod::SHARED_KEY, None)
        );
        assert_eq!(
            (all[1].method, all[1].cert_link),
            (AuthMethod::RSA_SIGNATURE, Some(0))
        );
        assert_eq!(all[2].method, AuthMethod::DIGITAL_SIGNATURE);
        assert_eq!(all[2].cert_link, Some(1));
        assert_eq!(all[2].algorithm.to_string(), "300a06082a8648ce3d040302");
    });
    let reason = Reason::BadLength { value: 1, least: 2 };
    assert_eq!(
        fault(
            PayloadType::N,
            &body(NotifyType::SUPPORTED_AUTH_METHODS, &hex!("02 02 01 02"))
        ),
        ParseError::new("IKEv2 authentication method announcement", 38, reason)
    );
}
