//! Whole messages, as daemons sent them.

use hex_literal::hex;
use proptest::prelude::*;

use super::*;
use crate::ike::{Message, recognise};
use crate::{Reason, Verdict};

/// charon's first message with a cookie, AES-CBC-256/SHA-256/X25519.
const INIT_WITH_COOKIE: [u8; 272] = hex!(
    "c10a9b9a71511e71 0000000000000000 29 20 22 08 00000000 00000110"
    "21 00 0020 00 00 4006"
    "   ac06000017aaccdf39992df48ba3aa333eeab7bb23d16298"
    "22 00 0030"
    "   00 00 002c 01 01 00 04"
    "      03 00 000c 01 00 000c 800e0100"
    "      03 00 0008 03 00 000c"
    "      03 00 0008 02 00 0005"
    "      00 00 0008 04 00 001f"
    "28 00 0028 001f 0000"
    "   d029b7c6ef949f6d76e83c1058cd6db8cb62c32427d8aa062911d0f8a81eb502"
    "29 00 0024"
    "   aa73d30db0e8d8b0769e23a90cd221ee411fab9a0651c6263f8bbcf7e6f354ee"
    "29 00 001c 00 00 4004 3acbf89fe0fb9f97e519509850d14bad51dca2c4"
    "29 00 001c 00 00 4005 b8ed5cf087f57af5838a3f31efdac53e25546921"
    "29 00 0008 00 00 402e"
    "29 00 0010 00 00 402f 0002000300040005"
    "00 00 0008 00 00 4016"
);

/// Every body of a message and everything inside it, in wire order; panics are the point.
fn walk(octets: &[u8]) -> Vec<Result<Payload<'_>, ParseError>> {
    let Ok(message) = Message::parse(octets) else {
        return Vec::new();
    };
    message
        .payloads()
        .map(|raw| raw.and_then(|raw| Payload::parse(&raw)))
        .collect()
}

/// The errors of all chains inside the payloads.
fn inner_errors(payloads: &[Result<Payload<'_>, ParseError>]) -> Vec<ParseError> {
    let mut errors: Vec<_> = payloads.iter().filter_map(|p| p.err()).collect();
    for payload in payloads.iter().flatten() {
        match payload {
            Payload::Sa(sa) => {
                for proposal in sa.proposals() {
                    match proposal {
                        Ok(proposal) => {
                            let transforms: Vec<_> = proposal.transforms().collect();
                            errors.extend(transforms.iter().filter_map(|t| t.err()));
                            for transform in transforms.iter().flatten() {
                                assert!(!transform.to_string().is_empty());
                                errors.extend(transform.attributes().filter_map(Result::err));
                            }
                        }
                        Err(error) => errors.push(error),
                    }
                }
            }
            Payload::Notify(notify) => match notify.content() {
                Ok(NotifyData::AuthMethods(list)) => errors.extend(list.filter_map(Result::err)),
                Ok(NotifyData::Rohc(list)) => errors.extend(list.filter_map(Result::err)),
                Ok(_) => (),
                Err(error) => errors.push(error),
            },
            Payload::TsI(ts) | Payload::TsR(ts) => {
                errors.extend(ts.selectors().filter_map(Result::err));
            }
            Payload::Config(config) => {
                for attribute in config.attributes() {
                    match attribute {
                        Ok(attribute) => drop(format!("{:?}", attribute.value())),
                        Err(error) => errors.push(error),
                    }
                }
            }
            Payload::Eap(packet) => {
                errors.extend(packet.ms_chap_v2().and_then(Result::err));
                errors.extend(packet.tls().and_then(Result::err));
                assert!(packet.text().is_none() || packet.expanded().is_none());
            }
            Payload::Delete(delete) => assert!(delete.spis().count() <= 65535),
            Payload::IdI(id) | Payload::IdR(id) | Payload::IdG(id) => {
                drop(id.identity().to_string());
            }
            _ => (),
        }
    }
    errors
}

/// A payload of the given type and body, as the first one of a message.
pub(super) fn raw(payload_type: PayloadType, body: &[u8]) -> RawPayload<'_> {
    RawPayload {
        payload_type: payload_type.0,
        next_payload: 0,
        reserved: 0,
        length: u16::try_from(body.len()).unwrap().saturating_add(4),
        offset: 28,
        body,
    }
}

/// The body has no fault, and however it is cut, nothing panics and every error lies within.
pub(super) fn truncations(payload_type: PayloadType, body: &[u8]) {
    let whole = [Payload::parse(&raw(payload_type, body))];
    assert_eq!(inner_errors(&whole), [], "whole");
    for len in 0..body.len() {
        for error in inner_errors(&[Payload::parse(&raw(payload_type, &body[..len]))]) {
            let offset = error.offset.checked_sub(32).unwrap();
            assert!(offset <= len, "{error} of {len}");
        }
    }
}

/// The one error in a payload.
pub(super) fn fault(payload_type: PayloadType, body: &[u8]) -> ParseError {
    let errors = inner_errors(&[Payload::parse(&raw(payload_type, body))]);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0]
}

#[test]
fn a_first_message_reads_whole() {
    let payloads: Vec<_> = walk(&INIT_WITH_COOKIE)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(recognise(&INIT_WITH_COOKIE), Verdict::Certain);
    assert_eq!(payloads.len(), 9);

    let Payload::Notify(cookie) = payloads[0] else {
        panic!("{:?}", payloads[0]);
    };
    assert_eq!(cookie.notify_type, NotifyType::COOKIE);
    assert!(matches!(
        cookie.content().unwrap(),
        NotifyData::Cookie(octets) if octets.len() == 24 && octets[0] == 0xac
    ));

    let Payload::Sa(sa) = payloads[1] else {
        panic!("{:?}", payloads[1]);
    };
    let proposals: Vec<_> = sa.proposals().map(Result::unwrap).collect();
    assert_eq!(proposals.len(), 1);
    assert_eq!(
        (
            proposals[0].number,
            proposals[0].protocol,
            proposals[0].spi.len()
        ),
        (1, ProtocolId::IKE, 0)
    );
    let transforms: Vec<_> = proposals[0]
        .transforms()
        .map(|t| t.unwrap().to_string())
        .collect();
    assert_eq!(
        transforms,
        [
            "AES_CBC_256",
            "HMAC_SHA2_256_128",
            "PRF_HMAC_SHA2_256",
            "CURVE25519"
        ]
    );

    let Payload::Ke(ke) = payloads[2] else {
        panic!("{:?}", payloads[2]);
    };
    assert_eq!(ke.method, KeyExchange::CURVE25519);
    assert_eq!(
        ke.data.len(),
        ke.method.public_len().map(|len| len.initiator).unwrap()
    );
    assert!(matches!(payloads[3], Payload::Nonce(nonce) if nonce.len() == 32));

    let contents: Vec<_> = payloads[4..]
        .iter()
        .map(|payload| match payload {
            Payload::Notify(notify) => (notify.notify_type, notify.content().unwrap()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(contents[0].0, NotifyType::NAT_DETECTION_SOURCE_IP);
    assert!(matches!(contents[0].1, NotifyData::NatDetection(hash) if hash[..2] == [0x3a, 0xcb]));
    assert_eq!(
        contents[2],
        (NotifyType::IKEV2_FRAGMENTATION_SUPPORTED, NotifyData::None)
    );
    let NotifyData::HashAlgorithms(hashes) = contents[3].1 else {
        panic!("{:?}", contents[3]);
    };
    assert_eq!(
        hashes.iter().collect::<Vec<_>>(),
        [
            HashAlgorithm::SHA2_256,
            HashAlgorithm::SHA2_384,
            HashAlgorithm::SHA2_512,
            HashAlgorithm::IDENTITY
        ]
    );
    assert_eq!(contents[4].0, NotifyType::REDIRECT_SUPPORTED);
}

#[test]
fn every_truncation_gives_the_good_payloads_and_errors_within_the_input() {
    let whole = walk(&INIT_WITH_COOKIE);
    for len in 0..INIT_WITH_COOKIE.len() {
        let short = &INIT_WITH_COOKIE[..len];
        let payloads = walk(short);
        for (short, whole) in payloads.iter().flatten().zip(whole.iter().flatten()) {
            assert_eq!(short, whole);
        }
        assert!(payloads.iter().filter(|p| p.is_err()).count() <= 1);
        for error in inner_errors(&payloads) {
            assert!(error.offset <= len, "{error} of {len}");
        }
        assert_ne!(recognise(short), Verdict::Certain);
    }
}

proptest! {
    #[test]
    fn mutations_never_panic_and_errors_lie_within(
        changes in prop::collection::vec((28usize..272, any::<u8>()), 1..12)
    ) {
        let mut octets = INIT_WITH_COOKIE;
        for (at, value) in changes {
            octets[at] = value;
        }
        let payloads = walk(&octets);
        for error in inner_errors(&payloads) {
            prop_assert!(error.offset <= octets.len());
        }
    }

    #[test]
    fn any_body_of_any_type_never_panics(
        payload_type in 32u8..58,
        octets in prop::collection::vec(any::<u8>(), 0..96),
    ) {
        for error in inner_errors(&[Payload::parse(&raw(PayloadType(payload_type), &octets))]) {
            prop_assert!(error.offset >= 32 && error.offset.saturating_sub(32) <= octets.len());
        }
    }
}

#[test]
fn an_error_inside_a_proposal_is_placed_in_the_message() {
    let mut octets = INIT_WITH_COOKIE;
    // The length of the attribute-bearing transform at 28 + 32 + 4 + 8 = 72.
    octets[75] = 0x06;
    let payloads = walk(&octets);
    let errors = inner_errors(&payloads);
    assert_eq!(
        errors,
        [ParseError::new(
            "IKEv2 transform",
            72,
            Reason::BadLength { value: 6, least: 8 }
        )]
    );
}
