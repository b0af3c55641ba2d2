//! Wire tests.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use hex_literal::hex;
use proptest::prelude::*;

use super::*;

const ANSWER: [u8; 81] = hex!(
    "1234" "8180" "0001" "0003" "0000" "0000"
    "03" "76706e" "07" "6578616d706c65" "00" "0001" "0001"   // vpn.example A IN, at 12
    "c00c" "0005" "0001" "0000003c" "0005" "02" "6777" "c010" // CNAME gw.example, at 29
    "c029" "0001" "0001" "0000003c" "0004" "cb00710a"        // A 203.0.113.10, at 46
    "c029" "001c" "0001" "0000003c" "0007" "20010db8000000"  // AAAA of a wrong size, at 62
);

#[test]
fn names_are_followed_and_data_read() {
    let message = Message::parse(&ANSWER).unwrap();
    assert!(message.flags.is_response() && !message.flags.is_truncated());
    assert_eq!(message.flags.response_code(), ResponseCode::NOERROR);
    let question = message.questions().next().unwrap().unwrap();
    assert_eq!(question.name.to_string(), "vpn.example");
    assert_eq!((question.record_type, question.class), (RecordType::A, 1));
    let answers: Vec<_> = message.answers().map(Result::unwrap).collect();
    assert_eq!(answers.len(), 3);
    let Data::Name(alias) = answers[0].data else {
        unreachable!()
    };
    assert_eq!(alias.to_string(), "gw.example");
    assert_eq!(answers[1].name, alias);
    assert_eq!(answers[1].data, Data::Ipv4(Ipv4Addr::new(203, 0, 113, 10)));
    assert_eq!(answers[1].ttl, 60);
    assert!(matches!(answers[2].data, Data::Octets(octets) if octets.len() == 7));
    assert_eq!(recognise(&ANSWER), Verdict::Certain);
}

fn question(name: &[u8]) -> Vec<u8> {
    let mut octets = hex!("1234" "0100" "0001" "0000" "0000" "0000").to_vec();
    octets.extend_from_slice(name);
    octets.extend_from_slice(&hex!("0001" "0001"));
    octets
}

#[test]
fn pointers_that_do_not_go_back_are_errors() {
    for (name, offset) in [
        (&hex!("c00c")[..], 12),        // to itself
        (&hex!("c020")[..], 12),        // forwards
        (&hex!("0161" "c00c")[..], 14), // to the start of the same name
    ] {
        let octets = question(name);
        let message = Message::parse(&octets).unwrap();
        assert_eq!(
            message.questions().next().unwrap().unwrap_err(),
            ParseError::new(
                "DNS question",
                offset,
                Reason::Invalid("compression pointer does not point back")
            )
        );
        assert_eq!(message.answers().count(), 0);
        assert_eq!(recognise(&octets), Verdict::NotOurs);
    }
}

#[test]
fn a_chain_of_pointers_is_cut() {
    // Pointer after pointer, each two octets back, the first of them to a root label.
    let mut octets = hex!("1234" "8180" "0001" "0000" "0000" "0000" "0000").to_vec();
    for at in (14..400u16).step_by(2) {
        octets.extend_from_slice(&(0xc000 | (at - 2)).to_be_bytes());
    }
    let last = octets.len() - 2;
    let name = Name::read(&octets, &octets[last..]).unwrap_err();
    let nom::Err::Error(fault) = name else {
        unreachable!()
    };
    assert_eq!(
        fault.reason,
        Reason::Invalid("too many compression pointers")
    );
    assert!(Name::read(&octets, &octets[100..]).is_ok());
}

#[test]
fn bad_labels_are_errors() {
    let unknown = question(&hex!("41" "61" "00"));
    let message = Message::parse(&unknown).unwrap();
    assert_eq!(
        message.questions().next().unwrap().unwrap_err().reason,
        Reason::Invalid("unknown label type")
    );
    let mut long = Vec::new();
    for _ in 0..5 {
        long.push(63);
        long.extend_from_slice(&[b'a'; 63]);
    }
    long.push(0);
    let long = question(&long);
    let message = Message::parse(&long).unwrap();
    assert_eq!(
        message.questions().next().unwrap().unwrap_err(),
        ParseError::new(
            "DNS question",
            12 + 3 * 64,
            Reason::Invalid("name longer than 255 octets")
        )
    );
    let mut ends = question(&hex!("05" "61"));
    ends.truncate(14);
    let message = Message::parse(&ends).unwrap();
    assert_eq!(
        message.questions().next().unwrap().unwrap_err(),
        ParseError::new(
            "DNS question",
            12,
            Reason::Truncated {
                needed: 6,
                available: 2
            }
        )
    );
}

#[test]
fn odd_octets_are_escaped_and_the_root_is_empty() {
    let octets = question(&hex!("04" "612e5c07" "00"));
    let message = Message::parse(&octets).unwrap();
    let name = message.questions().next().unwrap().unwrap().name;
    assert_eq!(name.to_string(), "a\\046\\092\\007");
    let octets = question(&hex!("00"));
    let message = Message::parse(&octets).unwrap();
    let name = message.questions().next().unwrap().unwrap().name;
    assert_eq!(name.to_string(), "");
    let upper = question(&hex!("03" "56504e" "00"));
    let lower = question(&hex!("03" "76706e" "00"));
    let root = question(&hex!("00"));
    let name = |octets| {
        Message::parse(octets)
            .unwrap()
            .questions()
            .next()
            .unwrap()
            .unwrap()
            .name
    };
    assert_eq!(name(&upper), name(&lower));
    assert_ne!(name(&upper), name(&root));
}

#[test]
fn what_is_no_dns() {
    let query = question(&hex!("03" "76706e" "00"));
    assert_eq!(recognise(&query), Verdict::Certain);
    for (at, value) in [(2, 0x28), (3, 0x40), (5, 2), (7, 1), (3, 0x03)] {
        let mut octets = query.clone();
        octets[at] = value;
        assert_eq!(recognise(&octets), Verdict::NotOurs, "octet {at}");
    }
    let mut refused = query[..12].to_vec();
    (refused[2], refused[3], refused[5]) = (0x81, 0x85, 0);
    assert_eq!(recognise(&refused), Verdict::Unsure);
}

#[test]
fn every_truncation_is_an_error_or_a_shorter_list() {
    for len in 0..ANSWER.len() {
        let short = &ANSWER[..len];
        match Message::parse(short) {
            Err(error) => assert!(len < 12 && error.offset <= len),
            Ok(message) => {
                let question = message.questions().next().unwrap();
                if let Err(error) = question {
                    assert!(len < 29 && error.offset <= len);
                }
                for answer in message.answers() {
                    if let Err(error) = answer {
                        assert!(error.offset <= len);
                    }
                }
                assert!(message.answers().filter_map(Result::ok).count() < 3);
            }
        }
    }
}

proptest! {
    #[test]
    fn names_are_put_in_lower_case(
        labels in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![any::<u8>(), 0x2au8..0x7b], 1..20),
            0..9,
        ),
    ) {
        let mut octets = Vec::new();
        for label in &labels {
            octets.push(u8::try_from(label.len()).unwrap());
            octets.extend_from_slice(label);
        }
        octets.push(0);
        let octets = question(&octets);
        let name = Message::parse(&octets).unwrap().questions().next().unwrap().unwrap().name;
        prop_assert_eq!(name.labels().count(), labels.len());
        let mut lower = b"of the name before".to_vec();
        name.put_lower_case(&mut lower);
        prop_assert_eq!(lower, name.to_string().to_ascii_lowercase().into_bytes());
    }

    #[test]
    fn never_panics_and_places_errors_inside(
        tail in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0xc0), 0u8..16], 0..200),
        questions in 0u8..4,
        answers in 0u8..9,
    ) {
        let mut octets = vec![0x12, 0x34, 0x81, 0x80, 0, questions, 0, answers, 0, 0, 0, 0];
        octets.extend_from_slice(&tail);
        let _ = recognise(&octets);
        let message = Message::parse(&octets).unwrap();
        for question in message.questions() {
            match question {
                Err(error) => prop_assert!(error.offset <= octets.len()),
                Ok(question) => {
                    let text = question.name.to_string();
                    prop_assert!(text.len() <= 4 * 255);
                    let mut lower = b"of the name before".to_vec();
                    question.name.put_lower_case(&mut lower);
                    prop_assert_eq!(lower, text.to_ascii_lowercase().into_bytes());
                }
            }
        }
        for answer in message.answers() {
            if let Err(error) = answer {
                prop_assert!(error.offset <= octets.len());
            }
        }
    }
}

#[test]
fn a_plain_name_ends_where_its_labels_end() {
    let whole = |labels: &[usize]| {
        let mut octets = Vec::new();
        for &len in labels {
            octets.push(u8::try_from(len).unwrap());
            octets.extend(std::iter::repeat_n(b'x', len));
        }
        octets.push(0);
        octets
    };
    let cases: [&[usize]; 6] = [
        &[],
        &[1],
        &[3, 63, 2],
        &[63; 3],
        &[63, 63, 63, 61],
        &[1; 126],
    ];
    for labels in cases {
        let mut octets = whole(labels);
        let root = octets.len() - 1;
        octets.extend([9, 9]);
        assert_eq!(plain(&octets, 0), Some((root, &[9, 9][..])));
        let (rest, name) = Name::read(&octets, &octets).unwrap();
        assert_eq!((rest, name.labels().count()), (&[9, 9][..], labels.len()));
        // Cut anywhere it is no name.
        octets.truncate(root);
        assert!(plain(&octets, 0).is_none() && Name::read(&octets, &octets).is_err());
    }
    // One octet too many, a pointer, a label type that nobody knows.
    for octets in [
        whole(&[63, 63, 63, 62]),
        vec![1, b'a', 0xc0, 0],
        vec![0x40, 0],
    ] {
        assert_eq!(plain(&octets, 0), None);
    }
}

proptest! {
    #[test]
    fn a_name_is_read_as_its_labels_say(octets in proptest::collection::vec(
        prop_oneof![3 => 0u8..5, 1 => any::<u8>()], 0..300,
    ), start in 0usize..8) {
        let Some((root, rest)) = plain(&octets, start) else {
            return Ok(());
        };
        let name = Name { message: &octets, start, root: 0 };
        let mut labels = name.labels();
        while labels.step().unwrap().is_some() {}
        prop_assert_eq!((labels.at, labels.pointers), (root, 0));
        prop_assert_eq!(octets.get(labels.end()..), Some(rest));
    }
}
