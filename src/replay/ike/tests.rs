//! The IKE player alone: what it makes of live answers.

use super::*;

/// A notify payload alone, as an answer to `IKE_SA_INIT`.
fn answer(initiator: Spi, kind: NotifyType, data: &[u8]) -> Vec<u8> {
    let mut octets = initiator.0.to_be_bytes().to_vec();
    octets.extend([0; 8]);
    octets.extend([kind::V2_NOTIFY, 0x20, SA_INIT, 0x20, 0, 0, 0, 0]);
    let body = 8 + data.len();
    octets.extend(u32::try_from(28 + body).unwrap().to_be_bytes());
    octets.extend([0, 0]);
    octets.extend(u16::try_from(body).unwrap().to_be_bytes());
    octets.extend([0, 0]);
    octets.extend(kind.0.to_be_bytes());
    octets.extend(data);
    octets
}

#[test]
fn an_edit_gives_back_what_it_took_apart() {
    let octets = answer(Spi(7), NotifyType::NO_PROPOSAL_CHOSEN, &[]);
    assert_eq!(octets.len(), 36);
    assert_eq!(Edit::new(&octets).unwrap().encode(), octets);
}

#[test]
fn a_malformed_message_stays_malformed() {
    let mut octets = answer(Spi(7), NotifyType::COOKIE, &[1, 2, 3]);
    octets[31] = 200;
    let mut edit = Edit::new(&octets).unwrap();
    assert!(edit.is_malformed());
    edit.set_spis(Spi(7), Spi(9));
    let encoded = edit.encode();
    assert_eq!(encoded[8..16], 9u64.to_be_bytes());
    assert_eq!(encoded[16..], octets[16..]);
}
