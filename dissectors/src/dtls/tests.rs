use hex_literal::hex;
use proptest::prelude::*;

use super::*;
use crate::tls::ContentType;
use crate::{Octets, ParseError, Reason};

#[test]
fn plain_records_in_one_datagram() {
    let datagram = hex!(
        "16 fefd 0000 000000000002 0010" // handshake record, epoch 0, number 2
            "0e 000004 0003 000000 000004 aabbccdd"
        "14 fefd 0000 000000000003 0001 01"
        "16 fefd 0001 000000000000 0002 eeff"
    );
    let mut records = Records::new(&datagram, None);
    let Some(Ok(Record::Plain(first))) = records.next() else {
        panic!("no record")
    };
    assert_eq!((first.epoch, first.sequence, first.length), (0, 2, 16));
    let fragment = Fragment::parse(first.fragment.0).unwrap();
    assert_eq!(fragment.message_type, HandshakeType::SERVER_HELLO_DONE);
    assert_eq!((fragment.message_seq, fragment.length), (3, 4));
    assert!(fragment.is_whole());
    let Some(Ok(Record::Plain(second))) = records.next() else {
        panic!("no record")
    };
    assert_eq!(
        (second.content_type, second.offset),
        (ContentType::CHANGE_CIPHER_SPEC, 29)
    );
    let Some(Ok(Record::Plain(third))) = records.next() else {
        panic!("no record")
    };
    assert_eq!((third.epoch, third.sequence), (1, 0));
    assert!(records.next().is_none());
    assert_eq!(recognise(&datagram), Verdict::Certain);
}

#[test]
fn a_change_cipher_spec_of_three_octets() {
    let datagram = hex!("14 0100 0000 000000000005 0003 01 0002");
    assert_eq!(recognise(&datagram), Verdict::Certain);
    let Some(Ok(Record::Plain(record))) = Records::new(&datagram, None).next() else {
        panic!("no record")
    };
    assert_eq!(record.version, Version::DTLS_0_9);
    let change = ChangeCipherSpec::parse(record.fragment.0).unwrap();
    assert_eq!((change.value, change.message_seq), (1, Some(2)));
    assert_eq!(ChangeCipherSpec::parse(&[1]).unwrap().message_seq, None);
    assert!(ChangeCipherSpec::parse(&[]).is_err());
    assert!(ChangeCipherSpec::parse(&[1, 0]).is_err());
    assert!(ChangeCipherSpec::parse(&[1, 0, 0, 0]).is_err());
}

#[test]
fn connection_ids_of_dtls12() {
    let datagram = hex!("19 fefd 0001 000000000001 c11e47 0004 aabbccdd");
    for id_len in [Some(3), None] {
        let Some(Ok(Record::Plain(record))) = Records::new(&datagram, id_len).next() else {
            panic!("no record")
        };
        assert_eq!(record.connection_id, Octets(&[0xc1, 0x1e, 0x47]));
        assert_eq!(record.fragment, Octets(&[0xaa, 0xbb, 0xcc, 0xdd]));
        assert_eq!(record.sequence, 1);
    }
    let error = Records::new(&datagram, Some(4))
        .next()
        .unwrap()
        .unwrap_err();
    assert!(matches!(error.reason, Reason::Truncated { .. }));
    assert_eq!(recognise(&datagram), Verdict::Unsure);
}

#[test]
fn unified_headers() {
    // No id, sequence of 16 bits, length, epoch bits 2; then one without a length.
    let datagram = hex!("2e 1234 0003 aabbcc" "23 56 ddeeff");
    let mut records = Records::new(&datagram, None);
    let Some(Ok(Record::Unified(first))) = records.next() else {
        panic!("no record")
    };
    assert_eq!((first.epoch_bits(), first.encrypted_sequence), (2, 0x1234));
    assert_eq!(
        (first.length, first.ciphertext),
        (Some(3), Octets(&[0xaa, 0xbb, 0xcc]))
    );
    let Some(Ok(Record::Unified(second))) = records.next() else {
        panic!("no record")
    };
    assert_eq!((second.epoch_bits(), second.encrypted_sequence), (3, 0x56));
    assert_eq!((second.length, second.offset), (None, 8));
    assert_eq!(second.ciphertext.len(), 3);
    assert!(records.next().is_none());

    let datagram = hex!("3e c11e47 1234 0003 aabbcc");
    for id_len in [Some(3), None] {
        let Some(Ok(Record::Unified(record))) = Records::new(&datagram, id_len).next() else {
            panic!("no record")
        };
        assert!(record.has_connection_id());
        assert_eq!(record.connection_id, Octets(&[0xc1, 0x1e, 0x47]));
        assert_eq!(record.encrypted_sequence, 0x1234);
    }
    // Neither an id length nor a length: nobody can tell.
    let error = Records::new(&hex!("3a c11e47 1234 aa"), None)
        .next()
        .unwrap()
        .unwrap_err();
    assert_eq!(
        error.reason,
        Reason::Invalid("connection id of unknown length")
    );
}

#[test]
fn acknowledgements() {
    let body = hex!("0020 0000000000000000 0000000000000001 0000000000000002 0000000000000000");
    let ack = Ack::parse(&body).unwrap();
    let numbers: Vec<_> = ack.records.flatten().collect();
    assert_eq!(
        numbers,
        [
            RecordNumber {
                epoch: 0,
                sequence: 1
            },
            RecordNumber {
                epoch: 2,
                sequence: 0
            }
        ]
    );
    for length in 0..body.len() {
        assert!(Ack::parse(&body[..length]).unwrap_err().offset <= length);
    }
}

#[test]
fn fragments_that_lie() {
    let body = hex!("0b 000100 0001 000000 000004 aabbccdd" "0b 000100 0001 0000f0 000020 aa");
    let got: Vec<_> = Fragments::new(&body).collect();
    let first = got[0].unwrap();
    assert!(!first.is_whole());
    assert_eq!((first.length, first.fragment_length), (256, 4));
    let error = got[1].unwrap_err();
    assert_eq!(
        error.to_string(),
        "DTLS handshake fragment: 32 octets needed, 1 available at octet 28"
    );
    assert_eq!(got.len(), 2);
}

#[test]
fn recognition() {
    let hello = hex!("16 fefd 0000 000000000000 0010 01 000100 0000 000000 000004 fefd0000");
    assert_eq!(recognise(&hello), Verdict::Certain);
    for length in 0..hello.len() {
        assert_ne!(recognise(&hello[..length]), Verdict::Certain);
    }
    // A fragment beyond its message.
    let lies = hex!("16 fefd 0000 000000000000 0010 01 000003 0000 000000 000004 fefd0000");
    assert_eq!(recognise(&lies), Verdict::NotOurs);
    let data = hex!("17 0100 0001 000000000009 0002 aabb");
    assert_eq!(recognise(&data), Verdict::Unsure);
    // STUN, RTP, QUIC, IKE.
    for octets in [
        &hex!("0001 0000 2112a442 000102030405060708090a0b")[..],
        &hex!("80 60 0001 00000001 00000001 aabb"),
        &hex!("c3 00000001 08 0001020304050607 00"),
        &hex!("1617181920212223 0000000000000000 21202208 00000000 0000001c"),
        &hex!("2e 1234 0003 aabbcc"),
    ] {
        assert_eq!(recognise(octets), Verdict::NotOurs, "{octets:02x?}");
    }
    let unified = hex!("2e 1234 0010 000102030405060708090a0b0c0d0e0f");
    assert_eq!(recognise(&unified), Verdict::Unsure);
}

fn walk_everything(octets: &[u8]) {
    let inside = |error: ParseError| assert!(error.offset <= octets.len(), "{error}");
    let _ = recognise(octets);
    for id_len in [None, Some(0), Some(4), Some(20)] {
        for record in Records::new(octets, id_len) {
            let _ = record.map_err(inside);
        }
    }
    for fragment in Fragments::new(octets) {
        let _ = fragment.map_err(inside);
    }
    let _ = ChangeCipherSpec::parse(octets).map_err(inside);
    if let Ok(ack) = Ack::parse(octets).map_err(inside) {
        for number in ack.records {
            let _ = number.map_err(inside);
        }
    }
}

proptest! {
    #[test]
    fn nothing_panics(mut octets in proptest::collection::vec(any::<u8>(), 0..200), kind in 0_u8..5) {
        let starts: [&[u8]; 4] = [
            &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0],
            &[0x2e],
            &[0x3e],
        ];
        if let Some(start) = starts.get(usize::from(kind)) {
            octets.splice(0..0, start.iter().copied());
        }
        walk_everything(&octets);
    }
}
