//! The same for IKEv1, L2TP, PPP and TLS: each code of a table is put into a message, and must
//! come back with its number and name.

use serde_json::Value;
use vpnscope_dissectors::ike::v1::codes::{
    ConfigAttribute, ExchangeType, IdType, IkeAttribute, IpsecAttribute, NotifyType, PayloadType,
};
use vpnscope_dissectors::l2tp::{AvpType, MessageType};
use vpnscope_dissectors::ppp::Protocol;
use vpnscope_dissectors::tls::{ExtensionType, HandshakeType};

use crate::common::{self, run};
use crate::frames::{ike, segments, udp};

fn message(exchange: u8, number: u8, body: Vec<u8>) -> Value {
    let frame = udp(500, 500, &ike(1, exchange, &[(number, body)]));
    run::decode_values(&[frame])[0]["layers"][0].clone()
}

#[test]
fn every_ikev1_exchange_and_payload_shows_its_name() {
    for code in ExchangeType::KNOWN {
        let shown = message(code.0, 13, vec![1; 16]);
        assert_eq!(shown["exchange_type"], code.0);
        assert_eq!(shown["exchange_type_name"], code.to_string().as_str());
    }
    // Proposals and transforms stand inside an SA only; 0 ends the chain.
    let inside = [
        PayloadType::NONE,
        PayloadType::PROPOSAL,
        PayloadType::TRANSFORM,
    ];
    for code in PayloadType::KNOWN.iter().filter(|c| !inside.contains(c)) {
        let shown = message(2, code.0, vec![0; 20]);
        assert_eq!(shown["payloads"][0]["type"], code.0);
        let name = shown["payloads"][0]["name"].as_str().unwrap().to_string();
        // Number 15 and 16 are NAT-D and NAT-OA outside of group exchanges.
        let known = name == code.to_string() || name.starts_with("NAT-");
        assert!(known, "{code}: {name}");
    }
}

/// An SA of one proposal with one transform of one attribute.
fn attribute(protocol: u8, code: u16) -> Value {
    let mut body = vec![0, 0, 0, 1, 0, 0, 0, 1];
    body.extend([0, 0, 0, 20, 1, protocol, 0, 1]);
    body.extend([0, 0, 0, 12, 1, 1, 0, 0]);
    body.extend((0x8000 | code).to_be_bytes());
    body.extend([0, 1]);
    let shown = message(if protocol == 1 { 2 } else { 32 }, 1, body);
    shown["payloads"][0]["proposals"][0]["transforms"][0]["attributes"][0].clone()
}

#[test]
fn every_ikev1_attribute_class_shows_its_name() {
    let phase_1 = IkeAttribute::KNOWN.iter().map(|c| (1, c.0, c.to_string()));
    let phase_2 = IpsecAttribute::KNOWN
        .iter()
        .map(|c| (3, c.0, c.to_string()));
    for (protocol, code, name) in phase_1.chain(phase_2) {
        let shown = attribute(protocol, code);
        assert_eq!(shown["type"], code);
        assert_eq!(shown["type_name"], name.as_str());
        assert_eq!(shown["value"], 1);
    }
    for code in ConfigAttribute::KNOWN {
        let mut body = vec![1, 0, 0, 1];
        body.extend(code.0.to_be_bytes());
        body.extend([0, 0]);
        let shown = message(6, 14, body)["payloads"][0]["attributes"][0].clone();
        assert_eq!(shown["type"], code.0);
        assert_eq!(shown["name"], code.to_string().as_str());
    }
}

#[test]
fn every_ikev1_notify_and_identity_shows_its_name() {
    for code in NotifyType::KNOWN {
        let mut body = vec![0, 0, 0, 1, 1, 0];
        body.extend(code.0.to_be_bytes());
        let shown = message(5, 11, body)["payloads"][0].clone();
        assert_eq!(shown["notify_type"], code.0);
        assert_eq!(shown["notify_name"], code.to_string().as_str());
    }
    for code in IdType::KNOWN {
        let shown = message(4, 5, vec![code.0, 17, 1, 0xf4, 1, 2, 3, 4])["payloads"][0].clone();
        assert_eq!(shown["id_type_name"], code.to_string().as_str());
        assert_eq!(shown["id_port"], 500);
    }
}

/// The rows of the table of vendor ids, read from its source: octets, family, name.
fn vendor_rows() -> Vec<(Vec<u8>, String, String)> {
    let path = common::repository("dissectors/src/ike/vendor/table.rs");
    let source = std::fs::read_to_string(path).unwrap();
    source
        .lines()
        .filter_map(|line| {
            let rest = line.trim().strip_prefix("row(&hex!(\"")?;
            let (digits, rest) = rest.split_once('"')?;
            let family = rest.split("F::").nth(1)?.split(',').next()?;
            let name = rest.split('"').nth(1)?;
            let octets = crate::frames::octets(digits);
            Some((octets, family.to_string(), name.to_string()))
        })
        .collect()
}

#[test]
fn every_vendor_id_is_known_by_name() {
    let rows = vendor_rows();
    assert!(rows.len() > 50, "{} vendor ids only", rows.len());
    for family in [
        "NatT",
        "Dpd",
        "Xauth",
        "Fragmentation",
        "GssApi",
        "StrongSwan",
        "Libreswan",
        "Openswan",
        "Racoon",
        "Apple",
        "Cisco",
        "Microsoft",
        "Fortinet",
        "Juniper",
        "CheckPoint",
        "SonicWall",
        "Sophos",
        "WatchGuard",
        "Zyxel",
        "GreenBow",
        "Shrew",
    ] {
        let source = common::repository("dissectors/src/ike/vendor/table.rs");
        let text = std::fs::read_to_string(source).unwrap();
        assert!(
            text.contains(&format!("F::{family},")),
            "{family} has no vendor id"
        );
    }
    let mut named = 0;
    for (octets, family, name) in rows {
        for version in [1, 2] {
            let number = if version == 1 { 13 } else { 43 };
            let exchange = if version == 1 { 2 } else { 34 };
            let frame = udp(
                500,
                500,
                &ike(version, exchange, &[(number, octets.clone())]),
            );
            let decoded = run::decode_values(&[frame]);
            let payload = &decoded[0]["layers"][0]["payloads"][0];
            // A prefix that is sent with more behind it is not always a vendor id by itself.
            if let Some(shown) = payload["vendor_name"].as_str() {
                assert!(!shown.is_empty(), "{family} {name}");
                named += 1;
            }
        }
    }
    assert!(named > 100, "{named} names only");
}

fn avp(number: u16, value: &[u8]) -> Vec<u8> {
    let mut out = (0x8000 | u16::try_from(value.len() + 6).unwrap())
        .to_be_bytes()
        .to_vec();
    out.extend([0, 0]);
    out.extend(number.to_be_bytes());
    out.extend(value);
    out
}

fn l2tp(avps: &[u8]) -> Value {
    let length = u16::try_from(avps.len() + 12).unwrap();
    let mut octets = vec![0xc8, 2];
    octets.extend(length.to_be_bytes());
    octets.extend([0, 1, 0, 0, 0, 0, 0, 0]);
    octets.extend(avps);
    run::decode_values(&[udp(1701, 1701, &octets)])[0]["layers"][0].clone()
}

#[test]
fn every_l2tp_message_and_avp_shows_its_name() {
    for code in MessageType::KNOWN {
        let shown = l2tp(&avp(0, &code.0.to_be_bytes()));
        assert_eq!(shown["message_type"], code.0);
        assert_eq!(shown["message_type_name"], code.to_string().as_str());
    }
    for code in AvpType::KNOWN.iter().filter(|code| code.0 != 0) {
        let avps = [avp(0, &[0, 1]), avp(code.0, &[0, 1, 0, 2, 0, 3, 0, 4])].concat();
        let shown = l2tp(&avps)["avps"][1].clone();
        assert_eq!(shown["type"], code.0);
        assert_eq!(shown["name"], code.to_string().as_str());
    }
}

#[test]
fn every_ppp_protocol_shows_its_name() {
    // IP goes on to what it carries; the rest is shown as it is.
    for code in Protocol::KNOWN
        .iter()
        .filter(|c| !matches!(c.0, 0x21 | 0x57))
    {
        let mut octets = vec![0, 2, 0, 1, 0, 1, 0xff, 3];
        octets.extend(code.0.to_be_bytes());
        octets.extend([1, 7, 0, 4]);
        let control = [avp(0, &[0, 1]).as_slice()].concat();
        let mut hello = vec![0xc8, 2, 0, 20, 0, 1, 0, 0, 0, 0, 0, 0];
        hello.extend(control);
        let frames = [udp(1701, 1701, &hello), udp(1701, 1701, &octets)];
        let decoded = run::decode_values(&frames);
        let Some(ppp) = decoded.last().unwrap()["layers"]
            .as_array()
            .unwrap()
            .iter()
            .find(|layer| layer["layer"] == "ppp")
        else {
            panic!("{code}: no ppp layer in {decoded:?}");
        };
        assert_eq!(ppp["protocol"], code.0);
        assert_eq!(ppp["protocol_name"], code.to_string().as_str());
    }
}

/// A ClientHello of TLS 1.2 with one extension.
fn hello(extension: u16) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2f, 1, 0, 0, 4]);
    body.extend(extension.to_be_bytes());
    body.extend([0, 0]);
    body
}

#[test]
fn every_tls_extension_shows_its_name() {
    for code in ExtensionType::KNOWN {
        let frames = segments(&[(1, hello(code.0))], &[]);
        let decoded = run::decode_values(&frames);
        let shown = &decoded.last().unwrap()["layers"][0]["handshakes"][0];
        assert_eq!(shown["extensions"][0], code.0, "{code}");
        assert_eq!(shown["extensions_names"][0], code.to_string().as_str());
    }
}

#[test]
fn every_tls_handshake_type_shows_its_name() {
    for code in HandshakeType::KNOWN {
        let (client, server) = match *code {
            HandshakeType::CLIENT_HELLO => (vec![(1, hello(23))], Vec::new()),
            other => (vec![(1, hello(23))], vec![(other.0, vec![0; 6])]),
        };
        let decoded = run::decode_values(&segments(&client, &server));
        let shown = &decoded.last().unwrap()["layers"][0]["handshakes"][0];
        assert_eq!(shown["type"], code.0, "{code} in {decoded:?}");
        assert_eq!(shown["type_name"], code.to_string().as_str());
    }
}
