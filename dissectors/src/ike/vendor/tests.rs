use core::fmt::Write as _;

use hex_literal::hex;
use proptest::prelude::*;

use super::*;

/// The hash of `text` by one of the two functions that makers use.
fn digest(source: Source) -> Option<Vec<u8>> {
    use md5::Digest as _;
    match source {
        Source::Md5(text) => Some(md5::Md5::digest(text).to_vec()),
        Source::Sha256(text) => Some(sha2::Sha256::digest(text).to_vec()),
        Source::Text | Source::Seen => None,
    }
}

#[test]
fn hashes_are_those_of_their_texts() {
    let mut hashes = 0;
    for entry in table::TABLE {
        if let Some(digest) = digest(entry.source) {
            assert!(digest.starts_with(entry.octets), "{}", entry.name);
            assert!(entry.octets.len() >= 8, "{}", entry.name);
            hashes += 1;
        }
        if entry.source == Source::Text {
            assert!(entry.octets.is_ascii(), "{}", entry.name);
        }
    }
    assert!(hashes > 100, "{hashes}");
}

#[test]
fn no_two_rows_are_the_same_and_each_finds_itself() {
    for (i, entry) in table::TABLE.iter().enumerate() {
        assert!(!entry.octets.is_empty() && !entry.name.is_empty());
        for other in &table::TABLE[..i] {
            assert!(
                entry.octets != other.octets,
                "{} and {}",
                entry.name,
                other.name
            );
        }
        let len = match entry.rule {
            Rule::Whole | Rule::Prefix => entry.octets.len(),
            Rule::PrefixOf(len) => len,
        };
        let mut octets = entry.octets.to_vec();
        octets.resize(len, 0);
        let found = lookup(&octets).unwrap();
        assert!(found.matched >= entry.octets.len(), "{}", entry.name);
        assert!(!found.to_string().is_empty());
    }
}

#[track_caller]
fn says(octets: &[u8], family: Family, matched: usize, text: &str) {
    let found = lookup(octets).unwrap();
    assert_eq!(
        (found.family, found.matched, found.to_string().as_str()),
        (family, matched, text)
    );
}

#[test]
fn versions_behind_the_constant_part() {
    says(
        &hex!("1e2b516905991c7d7c96fcbfb587e461 00000009"),
        Family::Microsoft,
        16,
        "MS NT5 ISAKMPOAKLEY (Windows 8, Server 2012 or later)",
    );
    says(
        &hex!("1e2b516905991c7d7c96fcbfb587e461 00000063"),
        Family::Microsoft,
        16,
        "MS NT5 ISAKMPOAKLEY v99",
    );
    says(
        &hex!("01528bbbc00696121849ab9a1c5b2a51 00000002"),
        Family::Microsoft,
        16,
        "Windows key modules (IKEv2)",
    );
    says(
        &hex!("afcad71368a1f1c96b8696fc7757 0100"),
        Family::Dpd,
        14,
        "Dead Peer Detection 1.0",
    );
    says(
        &hex!("12f5f28c457168a9702d9fe274cc 0100"),
        Family::Cisco,
        14,
        "Cisco Unity 1.0",
    );
    says(
        &hex!("1f07f70eaa6514d3b0fa96542a50 0306"),
        Family::Cisco,
        14,
        "Cisco VPN 3000 3.0.6",
    );
    says(
        &hex!("4048b7d56ebce88525e7de7f00d6c2d3 c0000000"),
        Family::Fragmentation,
        16,
        "FRAGMENTATION (c0000000)",
    );
    says(
        &hex!("8299031757a36082c6a621de 0005024d"),
        Family::Fortinet,
        12,
        "FortiGate v5 build 589",
    );
    says(
        &hex!("8299031757a36082c6a621de 00000000"),
        Family::Fortinet,
        12,
        "FortiGate",
    );
    says(
        &hex!("4a4340b543e02b84c88a8b96a8af9ebe77d9accc 0000000b 00000500"),
        Family::Juniper,
        20,
        "NetScreen / ScreenOS 5.0, platform 11",
    );
    says(
        &hex!(
            "f4ed19e0c114eb516faaac0ee37daf2807b4381f"
            "00000001 0000138d 5ba4ce9a 00000000 18380000"
        ),
        Family::CheckPoint,
        20,
        "Check Point gateway, version 5005",
    );
}

#[test]
fn text_in_clear_and_in_base_64() {
    says(
        b"OE-Libreswan-4.10",
        Family::Libreswan,
        13,
        "Libreswan 4.10",
    );
    says(b"HUAWEI-IKEv1DSCP", Family::Huawei, 7, "Huawei IKEv1DSCP");
    let mut octets =
        hex!("bfc22e9856ba993611c11e48a6d20807a95bedb393026a49e60fac327bb9601b").to_vec();
    octets.extend_from_slice(b"Vk49MTIuMTEuMyBCTj03MTk4OTQ=");
    says(
        &octets,
        Family::WatchGuard,
        32,
        "WatchGuard VN=12.11.3 BN=719894",
    );
}

#[test]
fn short_rows_give_way_to_longer_ones_and_to_other_lengths() {
    says(
        b"OEplutounit0",
        Family::Openswan,
        2,
        "FreeS/WAN or Openswan",
    );
    says(
        b"OENplutounit",
        Family::Libreswan,
        3,
        "Libreswan 3.0 to 3.5",
    );
    says(b"OSW{UGAoLgKd", Family::Openswan, 3, "Openswan (Xelerance)");
    assert_eq!(lookup(b"OEplutounit01"), None);
    assert_eq!(lookup(b""), None);
    assert_eq!(lookup(&hex!("0000000000000000")), None);
}

#[test]
fn capabilities() {
    let of = |octets| lookup(octets).and_then(|found| found.capability);
    assert_eq!(
        of(&hex!("4a131c81070358455c5728f20e95452f")),
        Some(Capability::NatTraversal(NatDraft::Rfc3947))
    );
    assert_eq!(
        of(&hex!("90cb80913ebb696e086381b5ec427b1f")),
        Some(Capability::NatTraversal(NatDraft::Ietf(2)))
    );
    assert_eq!(of(&hex!("09002689dfd6b712")), Some(Capability::Xauth));
    assert!(NatDraft::Ietf(2).floats() && !NatDraft::Ietf(1).floats());
    assert!(NatDraft::Rfc3947 > NatDraft::Ietf(8));
}

#[test]
fn cisco_repeats_its_cookie() {
    let octets = hex!("ed66aee5 9218e8df be01a135a2ad8994");
    let cookie = Spi(0x18a1_09f8_9219_e8df);
    assert_eq!(lookup(&octets), None);
    assert_eq!(lookup_from(&octets, Spi(1)), None);
    let found = lookup_from(&octets, cookie).unwrap();
    assert_eq!((found.family, found.matched), (Family::Cisco, 4));
}

#[test]
fn extensions_are_no_makers() {
    for entry in table::TABLE {
        let extension = matches!(
            entry.capability,
            Some(Capability::DeadPeerDetection | Capability::Xauth | Capability::Fragmentation)
        );
        assert!(!extension || entry.family.is_extension(), "{}", entry.name);
        for maker in entry.family.also() {
            assert!(!maker.is_extension());
        }
    }
}

proptest! {
    #[test]
    fn any_octets_are_looked_up_and_written(octets: Vec<u8>, row: prop::sample::Index, sender: u64) {
        let mut text = String::new();
        let entry = row.get(table::TABLE);
        for octets in [octets.clone(), [entry.octets, &octets[..]].concat()] {
            if let Some(found) = lookup_from(&octets, Spi(sender)) {
                prop_assert!(found.matched <= octets.len());
                write!(text, "{found} {found:?}").unwrap();
            }
        }
    }
}
