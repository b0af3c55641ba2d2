//! Streams built by code, cut anywhere, with gaps anywhere.

use proptest::prelude::*;

use super::*;

/// An IKE header and nothing else of an INFORMATIONAL request, padded as a message of unknown
/// payloads would not be: next payload 0.
fn ike_message(body: usize) -> Vec<u8> {
    let length = u32::try_from(28 + body).unwrap();
    let mut message = [
        &[0xa1; 8][..],
        &[0xb2; 8],
        // Next payload SK, version 2.0, INFORMATIONAL, initiator, message 2.
        &[46, 0x20, 37, 0x08, 0, 0, 0, 2],
        &length.to_be_bytes(),
    ]
    .concat();
    if body >= 4 {
        let length = u16::try_from(body).unwrap();
        message.extend([&[0, 0][..], &length.to_be_bytes(), &vec![0x5a; body - 4]].concat());
    }
    message
}

fn esp_packet(sequence: u32, len: usize) -> Vec<u8> {
    let mut packet = [0xc0, 0xff, 0xee, 0x01].to_vec();
    packet.extend(sequence.to_be_bytes());
    packet.extend((0..len).map(|i| u8::try_from((i * 31 + sequence as usize * 7) % 256).unwrap()));
    packet
}

fn framed(carried: &[u8], marker: bool) -> Vec<u8> {
    let marker = if marker { &[0; 4][..] } else { &[] };
    let length = u16::try_from(2 + marker.len() + carried.len()).unwrap();
    [&length.to_be_bytes()[..], marker, carried].concat()
}

fn mark(frame: u64) -> Mark {
    Mark {
        frame,
        time: Timestamp(i64::try_from(frame).unwrap()),
    }
}

fn take(stream: &mut Stream) -> Vec<(Option<bool>, Vec<u8>, Vec<u64>)> {
    let mut messages = Vec::new();
    while let Some(message) = stream.next_message() {
        let (is_ike, octets) = match message.carried {
            Carried::Ike(octets) => (Some(true), octets),
            Carried::Esp(octets) => (Some(false), octets),
            Carried::Short(octets) => (None, octets),
        };
        let frames = message.marks.iter().map(|mark| mark.frame).collect();
        messages.push((is_ike, octets.to_vec(), frames));
    }
    messages
}

#[test]
fn prefix_lengths_and_markers_are_taken_off() {
    let mut stream = Stream::new(true);
    let octets = [
        &PREFIX[..],
        &framed(&ike_message(40), true),
        &framed(&esp_packet(1, 60), false),
    ]
    .concat();
    stream.push(&octets[..4], mark(4));
    assert!(stream.next_message().is_none());
    stream.push(&octets[4..30], mark(5));
    assert!(stream.next_message().is_none());
    stream.push(&octets[30..], mark(6));
    assert_eq!(
        take(&mut stream),
        [
            (Some(true), ike_message(40), vec![5, 6]),
            (Some(false), esp_packet(1, 60), vec![6]),
        ]
    );
    assert!(stream.has_prefix());
    assert_eq!(stream.counters().messages, 2);
    assert_eq!(stream.counters().skipped, 0);
}

#[test]
fn the_responder_sends_no_prefix() {
    let mut stream = Stream::new(true);
    stream.push(&framed(&ike_message(40), true), mark(1));
    assert_eq!(take(&mut stream).len(), 1);
    assert!(!stream.has_prefix());
}

#[test]
fn a_gap_inside_a_frame_loses_only_that_frame() {
    let mut stream = Stream::new(true);
    let frames = [
        framed(&esp_packet(1, 1000), false),
        framed(&esp_packet(2, 60), false),
    ]
    .concat();
    stream.push(&frames[..300], mark(1));
    assert!(take(&mut stream).is_empty());
    stream.gap(Some(500));
    assert!(!stream.is_lost());
    stream.push(&frames[800..], mark(2));
    assert_eq!(
        take(&mut stream),
        [(Some(false), esp_packet(2, 60), vec![2])]
    );
    assert_eq!(stream.counters().resynchronised, 0);
}

#[test]
fn after_a_gap_over_a_length_frames_are_found_again() {
    let mut octets = Vec::new();
    for sequence in 1..=12 {
        octets.extend(framed(&esp_packet(sequence, 90 + sequence as usize), false));
    }
    let mut stream = Stream::new(true);
    stream.push(&octets[..150], mark(1));
    assert_eq!(take(&mut stream).len(), 1);
    stream.gap(Some(100));
    assert!(stream.is_lost());
    stream.push(&octets[250..], mark(2));
    let found = take(&mut stream);
    let sequences: Vec<u8> = found.iter().map(|(_, octets, _)| octets[7]).collect();
    assert_eq!(sequences, [4, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(stream.counters().resynchronised, 1);
}

#[test]
fn a_stream_without_its_beginning_is_found() {
    let mut octets = vec![0x77; 45];
    octets.extend(framed(&esp_packet(7, 100), false));
    octets.extend(framed(&ike_message(40), true));
    octets.extend(framed(&esp_packet(8, 100), false));
    let mut stream = Stream::new(false);
    stream.push(&octets, mark(1));
    assert_eq!(take(&mut stream).len(), 3);
    assert_eq!(stream.counters().skipped, 45);
}

#[test]
fn impossible_lengths_lose_the_stream() {
    let mut stream = Stream::new(true);
    stream.push(&[0, 1, 2, 3], mark(1));
    assert!(stream.next_message().is_none());
    assert!(stream.is_lost());
    assert_eq!(stream.counters().invalid, 1);
}

#[test]
fn beginnings_are_recognised() {
    assert_eq!(recognise(b"IKETCP\0\x20"), Verdict::Certain);
    assert_eq!(recognise(b"IKE"), Verdict::Unsure);
    assert_eq!(recognise(&framed(&ike_message(40), true)), Verdict::Certain);
    assert_eq!(recognise(b"GET / HTTP/1.1\r\n"), Verdict::NotOurs);
    assert_eq!(
        recognise(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 9, 9]),
        Verdict::NotOurs
    );
}

#[test]
fn cisco_segments_carry_one_packet_each() {
    let trailer = |protocol| [0, 0, 0, 0, 0, 9, 0x40, 0, 1, 2, 3, 4, 5, protocol, 6, 7];
    let message = ike_message(40);
    let udp = [&[1, 244, 1, 244, 0, 76, 0, 0][..], &message].concat();
    assert_eq!(
        cisco::carried(&[&udp[..], &trailer(17)].concat()),
        Some(cisco::Carried::Ike {
            ports: [500, 500],
            octets: &message
        })
    );
    let esp = esp_packet(1, 60);
    assert_eq!(
        cisco::carried(&[&esp[..], &trailer(50)].concat()),
        Some(cisco::Carried::Esp(&esp))
    );
    assert_eq!(cisco::carried(&[&esp[..], &trailer(6)].concat()), None);
    assert_eq!(cisco::carried(&esp), None);
    assert_eq!(cisco::carried(&trailer(50)), None);
}

proptest! {
    #[test]
    fn segments_may_be_cut_anywhere(
        lengths in prop::collection::vec((20..400_usize, any::<bool>()), 1..20),
        cuts in prop::collection::vec(1..200_usize, 1..400),
    ) {
        let mut octets = PREFIX.to_vec();
        let mut expected = Vec::new();
        for (i, (len, is_ike)) in lengths.into_iter().enumerate() {
            let carried = if is_ike {
                ike_message(len)
            } else {
                esp_packet(u32::try_from(i).unwrap(), len)
            };
            octets.extend(framed(&carried, is_ike));
            expected.push((Some(is_ike), carried));
        }
        let mut stream = Stream::new(true);
        let mut got = Vec::new();
        let mut rest = &octets[..];
        for (i, cut) in cuts.iter().cycle().enumerate() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            stream.push(now, mark(i as u64 + 1));
            got.extend(take(&mut stream).into_iter().map(|(kind, octets, frames)| {
                assert!(frames.is_sorted() && !frames.is_empty());
                (kind, octets)
            }));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn no_octets_and_no_gaps_break_it(
        steps in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..100), prop::option::of(prop::option::of(0..5000_u64))),
            0..40,
        ),
        from_start in any::<bool>(),
    ) {
        let mut stream = Stream::new(from_start);
        let mut pushed = 0;
        for (i, (octets, gap)) in steps.iter().enumerate() {
            stream.push(octets, mark(i as u64));
            pushed += octets.len();
            while stream.next_message().is_some() {}
            if let Some(gap) = gap {
                stream.gap(*gap);
            }
        }
        prop_assert!(stream.counters().skipped <= pushed as u64);
        prop_assert!(stream.buffer.len() <= 65_535 + 100);
    }

    /// As if everything kept were searched again with every segment.
    #[test]
    fn a_lost_stream_is_found_where_a_search_of_everything_finds_it(
        parts in prop::collection::vec(
            (prop::collection::vec(0..40_u8, 0..60), 0..6_u8, 20..60_usize),
            1..30,
        ),
        cuts in prop::collection::vec(1..40_usize, 1..100),
    ) {
        let mut octets = Vec::new();
        for (i, (noise, frames, len)) in parts.into_iter().enumerate() {
            octets.extend(noise);
            for frame in 0..u32::from(frames) {
                let carried = esp_packet(u32::try_from(i).unwrap() * 1000 + frame, len);
                octets.extend(framed(&carried, false));
            }
        }
        let mut stream = Stream::new(false);
        let mut kept: Vec<u8> = Vec::new();
        let mut rest = &octets[..];
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            rest = later;
            kept.extend(now);
            stream.push(now, mark(1));
            let found = stream.search().is_some();
            let at = |fits: fn(Chain) -> bool| (0..kept.len()).find(|at| fits(chain(&kept[*at..])));
            let first = at(|chain| matches!(chain, Chain::Fits));
            let open = at(|chain| matches!(chain, Chain::Open(_)));
            prop_assert_eq!(found, first.is_some());
            kept.drain(..first.or(open).unwrap_or(kept.len()));
            prop_assert_eq!(stream.rest(), &kept[..]);
            prop_assert!(found || stream.open.first().is_none_or(|(at, _)| *at == 0));
            if found || rest.is_empty() {
                break;
            }
        }
    }
}
