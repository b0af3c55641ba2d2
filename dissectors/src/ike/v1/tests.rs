//! Whole messages and decrypted chains, as daemons sent them.

use core::net::{IpAddr, Ipv4Addr};

use hex_literal::hex;
use proptest::prelude::*;

use super::*;
use crate::ike::{Message, Payloads, Spi, recognise};
use crate::{Reason, Verdict};

/// pluto's first main mode message: one proposal, vendor IDs after it.
const MAIN_1: [u8; 180] = hex!(
    "22938459508bb3d1 0000000000000000 01 10 02 00 00000000 000000b4"
    "0d00 0038 00000001 00000001"
    "   0000 002c 01 01 00 01"
    "      0000 0024 01 01 0000"
    "         80010007 800e0100 80020002 8004000e 80030001 800b0001 800c3de0"
    "0d00 000c 09002689dfd6b712"
    "0d00 0014 afcad71368a1f1c96b8696fc77570100"
    "0d00 0018 4048b7d56ebce88525e7de7f00d6c2d380000000"
    "0d00 0014 4a131c81070358455c5728f20e95452f"
    "0000 0014 90cb80913ebb696e086381b5ec427b1f"
);

/// The XAUTH exchange of vpnc and charon, decrypted: request, reply with a password, status.
const XAUTH: [[u8; 64]; 3] = [
    hex!(
        "0e00 0018 66ee79bb32793329e1197a98d9d3c0292990cc81"
        "0000 0010 01 00 0000 40890000 408a0000"
        "000000000000000000000000 000000000000000000000000"
    ),
    hex!(
        "0e00 0018 4e519d67c701b634050a4b79f560503be04e9329"
        "0000 0020 02 00 0000 40890003626f62 408a000d636f727265637420686f727365"
        "0000000000000000"
    ),
    hex!(
        "0e00 0018 bda9da8a89737cd445e5dc4cfd67a5cbf525975e"
        "0000 000c 03 00 0000 c08f0001"
        "00000000000000000000000000000000000000000000000000000000"
    ),
];

/// charon's quick mode 1 for L2TP in transport mode through a NAT, decrypted: NAT-OA included.
const QUICK_1: [u8; 176] = hex!(
    "0100 0018 f9a9437d635be14da0ba086ac2e53e7a8f04d4ec"
    "0a00 0034 00000001 00000001"
    "   0000 0028 01 03 04 01 c5fb70a5"
    "      0000 001c 01 0c 0000 80060080 80050002 80040004 80010001 80020f78"
    "0500 0024 a0f897de637a534f20dc9a73607ee3c683b6cae68372c030a0ce20292d326d1b"
    "0500 000c 01 11 06a5 0a01000a"
    "1500 000c 01 11 06a5 cb00710a"
    "1500 000c 01 00 0000 0a01000a"
    "0000 000c 01 00 0000 cb00710a"
    "00000000000000000000000000000000"
);

/// The payloads of a decrypted chain whose first payload is of type `first`.
fn chain(
    first: PayloadType,
    octets: &[u8],
    exchange: ExchangeType,
) -> Vec<Result<Payload<'_>, ParseError>> {
    Payloads::new(first.0, octets, 28)
        .map(|raw| raw.and_then(|raw| Payload::parse(&raw, exchange)))
        .collect()
}

/// One payload of type `payload_type` with this body, at offset 28 of its message.
fn one(payload_type: PayloadType, body: &[u8]) -> Result<Payload<'_>, ParseError> {
    let raw = RawPayload {
        payload_type: payload_type.0,
        next_payload: 0,
        reserved: 0,
        length: u16::try_from(body.len()).unwrap().saturating_add(4),
        offset: 28,
        body,
    };
    Payload::parse(&raw, ExchangeType::INFORMATIONAL)
}

fn notify(body: &[u8]) -> Notify<'_> {
    match one(PayloadType::N, body) {
        Ok(Payload::Notify(notify)) => notify,
        other => panic!("{other:?}"),
    }
}

/// Walks everything that `payload` holds: the errors inside it.
fn inner_errors(payload: &Payload<'_>) -> Vec<ParseError> {
    let mut errors = Vec::new();
    match payload {
        Payload::Sa(sa) => {
            for proposal in sa.proposals() {
                let proposal = match proposal {
                    Ok(proposal) => proposal,
                    Err(error) => {
                        errors.push(error);
                        continue;
                    }
                };
                for transform in proposal.transforms() {
                    match transform {
                        Ok(transform) => {
                            drop(transform.ike_suite().to_string());
                            drop(transform.ipsec_suite().to_string());
                            errors.extend(transform.attributes().filter_map(Result::err));
                        }
                        Err(error) => errors.push(error),
                    }
                }
            }
        }
        Payload::Notify(notify) => match notify.content() {
            Ok(NotifyData::Attributes(list)) => errors.extend(list.filter_map(Result::err)),
            Ok(_) => drop(notify.cookies()),
            Err(error) => errors.push(error),
        },
        Payload::Config(config) => {
            for attribute in config.attributes() {
                match attribute {
                    Ok(attribute) => drop(format!("{:?}", ConfigValue::of(&attribute))),
                    Err(error) => errors.push(error),
                }
            }
        }
        Payload::Delete(delete) => {
            assert!(delete.cookies().count() <= delete.spis().count());
        }
        Payload::Id(id) => drop(id.identity().to_string()),
        Payload::NatOa(address) => drop(address.address()),
        _ => (),
    }
    errors
}

/// As [`walk`], with offsets checked against `len`.
fn walk_all(octets: &[u8]) {
    let Ok(message) = Message::parse(octets) else {
        return;
    };
    let exchange = ExchangeType(message.header.exchange_type);
    for raw in message.payloads() {
        let errors = match raw.and_then(|raw| Payload::parse(&raw, exchange)) {
            Ok(payload) => inner_errors(&payload),
            Err(error) => vec![error],
        };
        for error in errors {
            assert!(error.offset <= octets.len(), "{error}");
        }
    }
}

#[test]
fn a_first_message_reads_whole() {
    assert_eq!(recognise(&MAIN_1), Verdict::Certain);
    let message = Message::parse(&MAIN_1).unwrap();
    let payloads: Vec<_> = message
        .payloads()
        .map(|raw| Payload::parse(&raw.unwrap(), ExchangeType::IDENTITY_PROTECTION).unwrap())
        .collect();
    assert_eq!(payloads.len(), 6);
    let Payload::Sa(sa) = payloads[0] else {
        panic!("{:?}", payloads[0]);
    };
    assert_eq!(sa.doi, Doi::IPSEC);
    assert!(sa.situation.is_identity_only());
    let proposals: Vec<_> = sa.proposals().map(Result::unwrap).collect();
    let [proposal] = proposals[..] else {
        panic!("{proposals:?}");
    };
    assert_eq!(
        (proposal.number, proposal.protocol, proposal.offset),
        (1, Protocol::ISAKMP, 40)
    );
    let transforms: Vec<_> = proposal.transforms().map(Result::unwrap).collect();
    let [transform] = transforms[..] else {
        panic!("{transforms:?}");
    };
    assert_eq!((transform.number, transform.name()), (1, Some("KEY_IKE")));
    let attributes: Vec<_> = transform.attributes().map(Result::unwrap).collect();
    assert_eq!(attributes.len(), 7);
    assert_eq!(attributes[0].offset, 56);
    let suite = transform.ike_suite();
    assert_eq!(suite.to_string(), "AES_CBC_256/SHA/PSK/MODP_2048");
    assert_eq!(
        (suite.life_seconds, suite.life_kilobytes),
        (Some(15840), None)
    );
    assert_eq!((suite.block_len(), suite.prf_len()), (Some(16), Some(20)));
    assert!(matches!(payloads[1], Payload::VendorId(octets) if octets.len() == 8));
}

#[test]
fn lengths_follow_from_the_suite() {
    let suite = IkeSuite {
        encryption: Some(Encryption::AES_CBC),
        key_length: Some(256),
        hash: Some(Hash::SHA),
        ..IkeSuite::default()
    };
    // ID of 8 and HASH of 20 octets, each with its generic header.
    assert_eq!(suite.sealed_len(12 + 24), Some(76));
    // Already whole blocks.
    assert_eq!(suite.sealed_len(48), Some(76));
    assert_eq!(IkeSuite::default().sealed_len(36), None);
    assert_eq!(suite.sealed_len(usize::MAX), None);
}

#[test]
fn transforms_with_odd_values_are_kept() {
    let body = hex!(
        "00000001 00000001"
        "0000 0058 01 01 08 02 1122334455667788"
        "   0300 0024 01 01 0000 80010005 80020001 8003fde9 80040002"
        "                      800b0001 000c0004 00015180"
        "   0000 0024 02 01 0000 80017fff 8002ffff 800e0080 800b0002 000c0004 00465000"
        "                      800b0063"
    );
    let Ok(Payload::Sa(sa)) = one(PayloadType::SA, &body) else {
        panic!();
    };
    let proposal = sa.proposals().next().unwrap().unwrap();
    assert_eq!(proposal.spi.len(), 8);
    let suites: Vec<_> = proposal
        .transforms()
        .map(|transform| transform.unwrap().ike_suite())
        .collect();
    assert_eq!(
        suites[0].to_string(),
        "3DES_CBC/MD5/XAUTH_INIT_PSK/MODP_1024"
    );
    assert_eq!(suites[0].life_seconds, Some(86400));
    assert_eq!(suites[1].to_string(), "UNKNOWN_32767_128/UNKNOWN_65535");
    assert_eq!(suites[1].life_kilobytes, Some(4_608_000));
    assert_eq!(suites[1].life_seconds, None);
}

#[test]
fn a_wrong_number_of_transforms_is_an_error_after_the_good_ones() {
    let body = hex!(
        "00000001 00000001"
        "0000 0014 01 01 00 02"
        "   0000 000c 01 01 0000 80010005"
    );
    let Ok(Payload::Sa(sa)) = one(PayloadType::SA, &body) else {
        panic!();
    };
    let proposal = sa.proposals().next().unwrap().unwrap();
    let transforms: Vec<_> = proposal.transforms().collect();
    assert_eq!(transforms.len(), 2);
    assert_eq!(
        transforms[1].unwrap_err().to_string(),
        "IKEv1 transform: the number of transforms is not the declared one at octet 60"
    );
}

#[test]
fn labels_of_a_situation() {
    let body = hex!(
        "00000001 00000007"
        "0000000a 0003 0000 aabbcc00 000a 0000 ffc00000 0000 0000 0001 0000 80000000"
    );
    let Ok(Payload::Sa(sa)) = one(PayloadType::SA, &body) else {
        panic!();
    };
    let labels = sa.situation.labels.unwrap();
    assert!(sa.situation.has_secrecy() && sa.situation.has_integrity());
    assert_eq!(labels.domain, 10);
    assert_eq!(labels.secrecy_level.0, [0xaa, 0xbb, 0xcc]);
    assert_eq!(labels.secrecy_categories.0, [0xff, 0xc0]);
    assert!(labels.integrity_level.is_empty());
    assert_eq!(labels.integrity_categories.0, [0x80]);
    assert_eq!(sa.proposals().count(), 0);
}

#[test]
fn a_quick_mode_with_original_addresses() {
    let payloads: Vec<_> = chain(PayloadType::HASH, &QUICK_1, ExchangeType::QUICK_MODE)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(payloads.len(), 7);
    let Payload::Sa(sa) = payloads[1] else {
        panic!();
    };
    let proposal = sa.proposals().next().unwrap().unwrap();
    assert_eq!(
        (proposal.protocol, proposal.spi.0),
        (Protocol::ESP, &[0xc5, 0xfb, 0x70, 0xa5][..])
    );
    let transform = proposal.transforms().next().unwrap().unwrap();
    assert_eq!(transform.name(), Some("ESP_AES_CBC"));
    let suite = transform.ipsec_suite();
    assert_eq!(suite.to_string(), "128/HMAC_SHA/UDP_ENCAPSULATED_TRANSPORT");
    assert_eq!((suite.life_seconds, suite.group), (Some(3960), None));
    let Payload::Id(id) = payloads[3] else {
        panic!();
    };
    assert_eq!((id.protocol, id.port), (17, 1701));
    assert_eq!(id.identity().to_string(), "10.1.0.10");
    let Payload::NatOa(address) = payloads[6] else {
        panic!();
    };
    assert_eq!(
        address.address(),
        Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)))
    );
}

#[test]
fn xauth_with_its_secret_hidden() {
    let configs: Vec<_> = XAUTH
        .iter()
        .map(|octets| {
            let payloads = chain(PayloadType::HASH, octets, ExchangeType::TRANSACTION);
            match payloads[1] {
                Ok(Payload::Config(config)) => config,
                ref other => panic!("{other:?}"),
            }
        })
        .collect();
    assert!(configs.iter().all(Configuration::is_xauth));
    let types: Vec<_> = configs.iter().map(|config| config.config_type).collect();
    assert_eq!(
        types,
        [ConfigType::REQUEST, ConfigType::REPLY, ConfigType::SET]
    );
    let values: Vec<_> = configs[1]
        .attributes()
        .map(|attribute| ConfigValue::of(&attribute.unwrap()))
        .collect();
    assert_eq!(values[0], ConfigValue::Text("bob"));
    assert_eq!(values[1], ConfigValue::Secret(Octets(b"correct horse")));
    assert_eq!(format!("{:?}", values[1]), "Secret(13 octets)");
    let status = configs[2].attributes().next().unwrap().unwrap();
    assert_eq!(ConfigAttribute(status.code), ConfigAttribute::XAUTH_STATUS);
    assert_eq!(ConfigValue::of(&status), ConfigValue::Number(1));
}

#[test]
fn mode_config_values() {
    let body = hex!(
        "02 00 0007"
        "0001 0004 0a1e0001" "0002 0004 ffffff00" "0003 0000" "0005 0004 00000e10"
        "0007 0003 312e30" "0008 0011 20010db8000000000000000000000001 40"
        "000a 0010 20010db8000000000000000000000053" "000d 0008 0a000000ff000000"
        "7000 0002 4869" "f001 0001"
        "7004 001c 0a000000ff000000 0000 0000 0000 c0a80100ffffff00 0011 0000 0035"
        "7002 0001 ff" "4ef0 0001 00" "0001 0003 0a1e00"
    );
    let Ok(Payload::Config(config)) = one(PayloadType::ATTRIBUTES, &body) else {
        panic!();
    };
    assert_eq!((config.identifier, config.is_xauth()), (7, false));
    let values: Vec<_> = config
        .attributes()
        .map(|attribute| format!("{:?}", ConfigValue::of(&attribute.unwrap())))
        .collect();
    assert_eq!(
        values,
        [
            "Ipv4(10.30.0.1)",
            "Ipv4(255.255.255.0)",
            "Empty",
            "Number(3600)",
            "Text(\"1.0\")",
            "Ipv6Prefix(2001:db8::1/64)",
            "Ipv6(2001:db8::53)",
            "Ipv4Subnet(10.0.0.0, 255.0.0.0)",
            "Text(\"Hi\")",
            "Number(1)",
            "Networks[SplitNetwork { network: 10.0.0.0, mask: 255.0.0.0, protocol: 0, \
             source_port: 0, destination_port: 0 }, SplitNetwork { network: 192.168.1.0, \
             mask: 255.255.255.0, protocol: 17, source_port: 0, destination_port: 53 }]",
            "Octets(ff)",
            "Octets(00)",
            "Octets(0a1e00)",
        ]
    );
    let networks = config.attributes().nth(10).unwrap().unwrap();
    let ConfigValue::Networks(networks) = ConfigValue::of(&networks) else {
        panic!();
    };
    let written: Vec<_> = networks.map(|network| network.to_string()).collect();
    assert_eq!(
        written,
        ["10.0.0.0/8", "192.168.1.0/24 protocol 17 ports 0:53"]
    );
}

#[test]
fn notifies_and_their_data() {
    let dead = notify(&hex!(
        "00000001 01 10 8d28 055c258d94086ec2 3c0f0030ca05e5e1 1dfbb286"
    ));
    assert_eq!(dead.notify_type, NotifyType::R_U_THERE);
    assert_eq!(
        dead.cookies(),
        Some((Spi(0x055c_258d_9408_6ec2), Spi(0x3c0f_0030_ca05_e5e1)))
    );
    assert_eq!(dead.content(), Ok(NotifyData::Sequence(0x1dfb_b286)));

    let plain = notify(&hex!("00000001 01 00 000e"));
    assert_eq!(plain.notify_type, NotifyType::NO_PROPOSAL_CHOSEN);
    assert_eq!(plain.content(), Ok(NotifyData::None));
    assert_eq!(plain.cookies(), None);

    let lifetime = notify(&hex!(
        "00000001 03 04 6000 c5fb70a5 80010001 00020004 00000e10"
    ));
    let Ok(NotifyData::Attributes(attributes)) = lifetime.content() else {
        panic!();
    };
    assert_eq!(lifetime.class(), AttributeClass::Ipsec);
    let suite = IpsecSuite::gather(attributes);
    assert_eq!(suite.life_seconds, Some(3600));

    let content = |octets| notify(octets).content().unwrap();
    assert_eq!(
        content(&hex!("00000001 03 04 6001 c5fb70a5 00000001")),
        NotifyData::Replay(true)
    );
    assert_eq!(
        content(&hex!("00000001 01 00 9e35 c0000205")),
        NotifyData::Gateway(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 5)))
    );
    assert_eq!(
        content(&hex!(
            "00000001 03 08 9c43 0000000000000000 a1b2c3d4 0000362c"
        )),
        NotifyData::WindowsStatus {
            status: 13868,
            message_id: Some(0xa1b2_c3d4)
        }
    );
    assert_eq!(
        content(&hex!("00000001 01 00 9c43 000035e9")),
        NotifyData::WindowsStatus {
            status: 13801,
            message_id: None
        }
    );
    assert_eq!(
        content(&hex!("00000001 01 00 9c44 0102030405060708")),
        NotifyData::DosCookie(Spi(0x0102_0304_0506_0708))
    );
    assert_eq!(
        content(&hex!("00000001 03 00 9c45 00000001 00000002")),
        NotifyData::ExchangeInfo {
            flags: 2,
            message_id: Some(1)
        }
    );
    assert_eq!(
        content(&hex!("00000001 01 00 0012 0102")),
        NotifyData::Octets(Octets(&[1, 2]))
    );
    assert_eq!(
        content(&hex!("00000001 01 00 000d 0102")),
        NotifyData::Octets(Octets(&[1, 2]))
    );
}

#[test]
fn data_of_the_wrong_size_are_an_error() {
    let error = |octets| notify(octets).content().unwrap_err().to_string();
    assert_eq!(
        error(&hex!("00000001 01 00 8d28 0102")),
        "IKEv1 notify data: 4 octets needed, 2 available at octet 40"
    );
    assert_eq!(
        error(&hex!("00000001 03 04 6001 c5fb70a5 00000001 00")),
        "IKEv1 notify data: 1 octets left over at octet 48"
    );
    assert_eq!(
        error(&hex!("00000001 01 00 9e35 c00002")),
        "IKEv1 notify data: neither an IPv4 nor an IPv6 address at octet 40"
    );
}

#[test]
fn deletes_of_both_phases() {
    let body = hex!("00000001 01 10 0001 2c8c7d8d1a3dfc34 a3d22ad936b5bdb4");
    let Ok(Payload::Delete(delete)) = one(PayloadType::D, &body) else {
        panic!();
    };
    let cookies: Vec<_> = delete.cookies().collect();
    assert_eq!(
        cookies,
        [(Spi(0x2c8c_7d8d_1a3d_fc34), Spi(0xa3d2_2ad9_36b5_bdb4))]
    );
    let body = hex!("00000001 03 04 0002 c5fb70a5 01020304");
    let Ok(Payload::Delete(delete)) = one(PayloadType::D, &body) else {
        panic!();
    };
    assert_eq!(delete.spis().count(), 2);
    assert_eq!(delete.cookies().count(), 0);
    let short = one(PayloadType::D, &body[..14]).unwrap_err();
    assert_eq!(
        short.to_string(),
        "IKEv1 delete: 8 octets needed, 6 available at octet 40"
    );
}

#[test]
fn identities() {
    let written = |octets: &[u8]| match one(PayloadType::ID, octets) {
        Ok(Payload::Id(id)) => id.identity().to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(written(b"\x02\0\0\0gw.example.test"), "gw.example.test");
    assert_eq!(written(b"\x03\0\0\0a@example.test"), "a@example.test");
    assert_eq!(written(b"\x0b\0\0\0group"), "group");
    assert_eq!(written(b"\x0b\0\0\0\x01\x02"), "0102");
    assert_eq!(
        written(&hex!("04 00 0000 0a140000 ffffff00")),
        "10.20.0.0/24"
    );
    assert_eq!(written(&hex!("04 00 0000 00000000 00000000")), "0.0.0.0/0");
    assert_eq!(
        written(&hex!("04 00 0000 0a140000 ff00ff00")),
        "10.20.0.0/255.0.255.0"
    );
    assert_eq!(
        written(&hex!(
            "06 00 0000 20010db8000000000000000000000000 ffffffffffffffff0000000000000000"
        )),
        "2001:db8::/64"
    );
    assert_eq!(
        written(&hex!("07 00 0000 0a140001 0a140009")),
        "10.20.0.1-10.20.0.9"
    );
    assert_eq!(
        written(&hex!("05 00 0000 20010db8000000000000000000000001")),
        "2001:db8::1"
    );
    assert_eq!(
        written(&hex!(
            "08 00 0000 20010db8000000000000000000000001 20010db8000000000000000000000002"
        )),
        "2001:db8::1-2001:db8::2"
    );
    assert_eq!(written(&hex!("09 00 0000 3000")), "3000");
    assert_eq!(written(&hex!("01 00 0000 0a1400")), "0a1400");
}

#[test]
fn payload_types_of_drafts() {
    let hash = [0_u8; 20];
    let of = |payload_type: u8, body: &'static [u8], exchange| {
        let raw = RawPayload {
            payload_type,
            next_payload: 0,
            reserved: 0,
            length: 0,
            offset: 28,
            body,
        };
        Payload::parse(&raw, exchange).unwrap()
    };
    let oa = &hex!("01000000 c0000201");
    for (payload_type, exchange) in [
        (20, ExchangeType::IDENTITY_PROTECTION),
        (130, ExchangeType::AGGRESSIVE),
        (15, ExchangeType::IDENTITY_PROTECTION),
    ] {
        assert!(matches!(
            of(payload_type, &[0; 20], exchange),
            Payload::NatD(octets) if octets.0 == hash
        ));
    }
    for payload_type in [21, 131, 16] {
        assert!(matches!(
            of(payload_type, oa, ExchangeType::QUICK_MODE),
            Payload::NatOa(_)
        ));
    }
    assert!(matches!(
        of(15, &[0; 20], ExchangeType::QUICK_MODE),
        Payload::Unknown(PayloadType::SA_KEK, _)
    ));
    assert!(matches!(
        of(16, &[0; 20], ExchangeType::QUICK_MODE),
        Payload::Unknown(PayloadType::SA_TEK, _)
    ));
    assert!(matches!(
        of(99, oa, ExchangeType::QUICK_MODE),
        Payload::Unknown(PayloadType(99), _)
    ));
}

#[test]
fn the_small_payloads() {
    let Ok(Payload::Cert(certificate)) = one(PayloadType::CERT, &hex!("04 3000")) else {
        panic!();
    };
    assert_eq!(certificate.encoding, CertEncoding::X_509_SIGNATURE);
    assert_eq!(certificate.data.len(), 2);
    let Ok(Payload::CertReq(request)) = one(PayloadType::CR, &hex!("04")) else {
        panic!();
    };
    assert!(request.authority.is_empty());
    let Ok(Payload::Fragment(fragment)) = one(PayloadType::FRAGMENT, &hex!("0001 03 01 aabb"))
    else {
        panic!();
    };
    assert_eq!((fragment.id, fragment.number), (1, 3));
    assert!(fragment.is_last());
    assert_eq!(fragment.data.0, [0xaa, 0xbb]);
    assert_eq!(
        one(PayloadType::CERT, &[]).unwrap_err().reason,
        Reason::Truncated {
            needed: 1,
            available: 0
        }
    );
    for (payload_type, is) in [
        (PayloadType::KE, Payload::Ke(Octets(&[1]))),
        (PayloadType::HASH, Payload::Hash(Octets(&[1]))),
        (PayloadType::SIG, Payload::Signature(Octets(&[1]))),
        (PayloadType::NONCE, Payload::Nonce(Octets(&[1]))),
    ] {
        assert_eq!(one(payload_type, &[1]), Ok(is));
    }
}

#[test]
fn names_of_attributes_and_values() {
    let ike = AttributeClass::of(Protocol::ISAKMP);
    assert_eq!(ike.name(1), Some("ENCRYPTION_ALGORITHM"));
    assert_eq!(ike.value_name(1, 7), Some("AES_CBC"));
    assert_eq!(ike.value_name(2, 4), Some("SHA2_256"));
    assert_eq!(ike.value_name(3, 64221), Some("HYBRID_INIT_RSA"));
    assert_eq!(ike.value_name(4, 20), Some("ECP_384"));
    assert_eq!(ike.value_name(5, 1), Some("MODP"));
    assert_eq!(ike.value_name(11, 2), Some("KILOBYTES"));
    assert_eq!(ike.value_name(12, 86400), None);
    let ipsec = AttributeClass::of(Protocol::ESP);
    assert_eq!(ipsec.name(4), Some("ENCAPSULATION_MODE"));
    assert_eq!(
        ipsec.value_name(4, 61443),
        Some("UDP_ENCAPSULATED_TUNNEL_DRAFT")
    );
    assert_eq!(ipsec.value_name(5, 5), Some("HMAC_SHA2_256"));
    assert_eq!(ipsec.value_name(3, 14), Some("MODP_2048"));
    assert_eq!(ipsec.value_name(1, 1), Some("SECONDS"));
    assert_eq!(ipsec.value_name(6, 256), None);
}

#[test]
fn every_truncation_gives_what_is_before_it() {
    for len in 0..MAIN_1.len() {
        walk_all(&MAIN_1[..len]);
    }
    let whole = chain(PayloadType::HASH, &QUICK_1, ExchangeType::QUICK_MODE);
    for len in 0..QUICK_1.len() {
        let cut = chain(PayloadType::HASH, &QUICK_1[..len], ExchangeType::QUICK_MODE);
        let good = cut.iter().filter(|payload| payload.is_ok()).count();
        assert!(cut.len() <= good.saturating_add(1), "{len}");
        for (cut, whole) in cut.iter().zip(&whole).take(good) {
            assert_eq!(cut, whole);
        }
    }
}

proptest! {
    #[test]
    fn any_octets_are_walked(
        exchange in prop_oneof![Just(2_u8), Just(4), Just(5), Just(6), Just(32), any::<u8>()],
        first: u8,
        octets: Vec<u8>,
    ) {
        let mut message = MAIN_1[..28].to_vec();
        message[16] = first;
        message[18] = exchange;
        message.extend_from_slice(&octets);
        let length = u32::try_from(message.len()).unwrap();
        message[24..28].copy_from_slice(&length.to_be_bytes());
        walk_all(&message);
    }

    #[test]
    fn changed_octets_are_walked(at: prop::sample::Index, to: u8, which: bool) {
        if which {
            let mut octets = MAIN_1;
            octets[at.index(MAIN_1.len())] = to;
            walk_all(&octets);
        } else {
            let mut octets = QUICK_1;
            octets[at.index(QUICK_1.len())] = to;
            for payload in chain(PayloadType::HASH, &octets, ExchangeType::QUICK_MODE) {
                let errors = payload.map_or_else(|e| vec![e], |p| inner_errors(&p));
                for error in errors {
                    prop_assert!(error.offset <= octets.len().saturating_add(28), "{}", error);
                }
            }
        }
    }
}
