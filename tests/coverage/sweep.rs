//! Tables whose values have no structure of their own: each code is put into a message and must
//! come back with its number and the registry's name.

use serde_json::Value;
use vpnscope_dissectors::ike::v2::NotifyType;
use vpnscope_dissectors::ike::v2::codes::{
    AuthMethod, CertEncoding, ConfigAttributeType, ConfigType, Encryption, GroupControllerAuth,
    HashAlgorithm, Integrity, KeyExchange, KeyWrap, Prf, ProtocolId, SequenceNumbers,
};

use crate::common::run;
use crate::frames::{ike, udp};

fn payload(number: u8, body: Vec<u8>) -> Value {
    let frame = udp(500, 500, &ike(2, 35, &[(number, body)]));
    let decoded = run::decode_values(&[frame]);
    decoded[0]["layers"][0]["payloads"][0].clone()
}

/// An SA of one proposal with one transform.
fn transform(kind: u8, id: u16) -> Value {
    let mut body = vec![0, 0, 0, 16, 1, 1, 0, 1, 0, 0, 0, 8, kind, 0];
    body.extend(id.to_be_bytes());
    payload(33, body)["proposals"][0]["transforms"][0].clone()
}

#[test]
fn every_ikev2_algorithm_shows_its_registry_name() {
    let mut codes: Vec<(u8, u16, String)> = Vec::new();
    codes.extend(Encryption::KNOWN.iter().map(|c| (1, c.0, c.to_string())));
    codes.extend(Prf::KNOWN.iter().map(|c| (2, c.0, c.to_string())));
    codes.extend(Integrity::KNOWN.iter().map(|c| (3, c.0, c.to_string())));
    codes.extend(
        SequenceNumbers::KNOWN
            .iter()
            .map(|c| (5, c.0, c.to_string())),
    );
    codes.extend(KeyWrap::KNOWN.iter().map(|c| (13, c.0, c.to_string())));
    codes.extend(
        GroupControllerAuth::KNOWN
            .iter()
            .map(|c| (14, c.0, c.to_string())),
    );
    for kind in [4, 6, 7, 8, 9, 10, 11, 12] {
        codes.extend(
            KeyExchange::KNOWN
                .iter()
                .map(|c| (kind, c.0, c.to_string())),
        );
    }
    for (kind, id, name) in codes {
        let shown = transform(kind, id);
        assert_eq!((&shown["type"], &shown["id"]), (&kind.into(), &id.into()));
        assert_eq!(shown["name"], name.as_str(), "transform {kind} {id}");
    }
    assert_eq!(transform(1, 999)["name"], "UNKNOWN_999");
}

#[test]
fn every_ikev2_notify_shows_its_registry_name() {
    for code in NotifyType::KNOWN {
        let [high, low] = code.0.to_be_bytes();
        let shown = payload(41, vec![0, 0, high, low]);
        assert_eq!(shown["notify_type"], code.0);
        assert_eq!(shown["notify_name"], code.to_string().as_str());
    }
}

#[test]
fn every_ikev2_code_octet_shows_its_registry_name() {
    for code in CertEncoding::KNOWN {
        let shown = payload(37, vec![code.0, 0x30]);
        assert_eq!(shown["encoding_name"], code.to_string().as_str());
    }
    for code in AuthMethod::KNOWN {
        let shown = payload(39, vec![code.0, 0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(shown["method_name"], code.to_string().as_str());
    }
    for code in ConfigType::KNOWN {
        let shown = payload(47, vec![code.0, 0, 0, 0]);
        assert_eq!(shown["config_type_name"], code.to_string().as_str());
    }
    for code in ProtocolId::KNOWN {
        let shown = payload(42, vec![code.0, 0, 0, 0]);
        assert_eq!(shown["protocol_name"], code.to_string().as_str());
    }
    for code in KeyExchange::KNOWN {
        let [high, low] = code.0.to_be_bytes();
        let shown = payload(34, vec![high, low, 0, 0, 1]);
        assert_eq!(shown["group_name"], code.to_string().as_str());
    }
    for code in ConfigAttributeType::KNOWN {
        let [high, low] = code.0.to_be_bytes();
        let shown = payload(47, vec![1, 0, 0, 0, high, low, 0, 0]);
        assert_eq!(shown["attributes"][0]["name"], code.to_string().as_str());
    }
    for code in HashAlgorithm::KNOWN {
        let [high, low] = code.0.to_be_bytes();
        let shown = payload(41, vec![0, 0, 0x40, 0x2f, high, low]);
        assert_eq!(shown["hash_algorithms_names"][0], code.to_string().as_str());
    }
}
