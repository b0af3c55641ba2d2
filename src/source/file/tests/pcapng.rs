//! pcapng.

use super::super::*;
use super::maker::*;

#[test]
fn every_truncation_of_a_pcapng_gives_the_whole_frames_before_it() {
    for maker in [LE, BE] {
        let file = small_pcapng(maker);
        let ends = [28, 48, 88, 120, 164];
        assert_eq!(file.len(), 164);
        for len in 0..file.len() {
            let cut = &file[..len];
            if len < 28 {
                assert_eq!(fault_of(cut).0, 0);
                continue;
            }
            let blocks = ends.iter().filter(|&&end| end <= len).count();
            let whole = blocks.saturating_sub(2);
            let (frames, statistics, _) = read(cut);
            assert_eq!(frames, small_frames()[..whole]);
            if ends.contains(&len) {
                assert_eq!(statistics.problems, []);
            } else {
                let begin = ends[blocks - 1];
                let [only] = &statistics.problems[..] else {
                    panic!("{:?}", statistics.problems);
                };
                assert_eq!(only.offset, Some(begin as u64));
                assert_eq!(only.frame, Some(whole as u64 + 1));
                assert!(!only.fatal);
                assert!(only.what.starts_with("cut off in its last record"));
            }
        }
    }
}

#[test]
fn sections_of_both_byte_orders_number_their_interfaces_on() {
    let file = [
        LE.section(),
        LE.interface(1, 0, &[]),
        LE.interface(113, 0, &[]),
        LE.packet(1, 1_000_000, b"a", &[]),
        BE.section(),
        BE.interface(101, 0, &BE.option(9, &[9])),
        BE.packet(0, 2_000_000_000, b"b", &[]),
    ]
    .concat();
    let (frames, statistics, _) = read(&file);
    let mut first = seen(1, 1_000_000_000, b"a");
    (first.link, first.interface) = (113, 1);
    let mut second = seen(2, 2_000_000_000, b"b");
    (second.link, second.interface) = (101, 2);
    assert_eq!(frames, [first, second]);
    let links: Vec<u16> = statistics.link_types.iter().map(|link| link.0).collect();
    assert_eq!(links, [1, 113, 101]);
    assert_eq!(statistics.problems, []);
}

#[test]
fn resolution_offset_and_fcs_of_an_interface_are_used() {
    let options = [
        LE.option(9, &[0x8a]),
        LE.option(14, &LE.n64(100)),
        LE.option(13, &[4]),
    ]
    .concat();
    let file = [
        LE.section(),
        LE.interface(1, 0, &options),
        LE.packet(0, 1536, b"frameFCS!", &[]),
    ]
    .concat();
    assert_eq!(read(&file).0, [seen(1, 101_500_000_000, b"frame")]);
}

#[test]
fn simple_and_obsolete_packets_are_read() {
    let simple = LE.block(3, &[&LE.n32(9)[..], b"abcd"].concat());
    let short = LE.block(3, &[&LE.n32(2)[..], b"xy"].concat());
    let mut obsolete = [LE.n16(0), LE.n16(3)].concat();
    obsolete.extend(LE.words(&[0, 5_000_000, 3, 7]));
    obsolete.extend(b"old\0");
    let obsolete = LE.block(2, &obsolete);
    let file = [
        LE.section(),
        LE.interface(1, 4, &[]),
        obsolete,
        simple,
        short,
    ]
    .concat();
    let (frames, statistics, _) = read(&file);
    let mut first = seen(1, 5_000_000_000, b"old");
    first.wire_len = 7;
    let mut second = seen(2, 5_000_000_000, b"abcd");
    second.wire_len = 9;
    assert_eq!(frames, [first, second, seen(3, 5_000_000_000, b"xy")]);
    assert_eq!(statistics.dropped, Some(3));
    assert_eq!(statistics.truncated_frames, 2);
}

#[test]
fn drops_filters_comments_and_secrets_are_told() {
    let statistics_of = |received: u64, dropped: u64, by_system: u64| {
        let body = [
            LE.words(&[0, 0, 0]),
            LE.option(4, &LE.n64(received)),
            LE.option(5, &LE.n64(dropped)),
            LE.option(7, &LE.n64(by_system)),
        ]
        .concat();
        LE.block(5, &body)
    };
    let filter = |text: &[u8]| LE.option(11, &[&[0], text].concat());
    let comment = |text: &[u8]| LE.option(1, text);
    let file = [
        LE.section(),
        LE.interface(1, 0, &filter(b"udp port 500")),
        LE.interface(1, 0, &filter(b"esp")),
        LE.interface(1, 0, &filter(b"esp")),
        LE.packet(0, 0, b"abc", &comment(b"seen on a Friday")),
        LE.packet(0, 0, b"abcd", &comment(b"sent by vpnscope 0.1")),
        LE.packet(
            0,
            0,
            b"",
            &[comment(b"sent by vpnscope"), LE.option(4, &LE.n64(1))].concat(),
        ),
        statistics_of(10, 2, 1),
        statistics_of(20, 5, 1),
        LE.block(10, b"\x53\x53\x4c\x54\x08\0\0\0CLIENT_R"),
        LE.block(4, &[0; 4]),
        LE.block(0xbad, b"custom"),
    ]
    .concat();
    let (frames, statistics, annotations) = read(&file);
    assert_eq!(frames.len(), 3);
    assert_eq!(statistics.filter.as_deref(), Some("udp port 500; esp"));
    assert_eq!(statistics.dropped, Some(6));
    assert_eq!(
        annotations,
        Annotations {
            comments: 3,
            secrets: 1,
            unknown_blocks: 1,
            sent_by_us: vec![2, 3],
        }
    );
    assert_eq!(statistics.problems, []);
}

#[test]
fn packets_without_interface_or_room_are_left_out_and_noted() {
    let mut lie = LE.packet(0, 0, b"abcd", &[]);
    lie[20] = 200;
    let file = [
        LE.section(),
        LE.packet(0, 0, b"early", &[]),
        LE.interface(1, 0, &[]),
        lie,
        LE.block(6, b"tiny"),
        LE.packet(0, 1, b"good", &[]),
    ]
    .concat();
    let (frames, statistics, _) = read(&file);
    assert_eq!(frames, [seen(1, 1000, b"good")]);
    let at = |offset, what| problem(offset, 1, false, what);
    assert_eq!(
        statistics.problems,
        [
            at(
                28,
                "a packet of interface 0, which is not described, is left out"
            ),
            at(88, "a packet of 200 octets in a shorter block is left out"),
            at(124, "a packet block that is too short"),
        ]
    );
}

#[test]
fn broken_framing_of_a_pcapng_is_stepped_over() {
    let (a, b) = (
        LE.packet(0, 1, b"first", &[]),
        LE.packet(0, 2, b"second", &[]),
    );
    let head = [LE.section(), LE.interface(1, 0, &[])].concat();
    let begin = head.len() as u64;
    let both = [seen(1, 1000, b"first"), seen(2, 2000, b"second")];

    // A zero length: the block is lost, the next is found.
    let mut zero = a.clone();
    zero[4..8].fill(0);
    let (frames, statistics, _) = read(&[&head[..], &zero, &b].concat());
    assert_eq!(frames, [seen(1, 2000, b"second")]);
    let what = "a block of type 0x00000006 announces 0 octets; \
                40 octets skipped up to the next block";
    assert_eq!(statistics.problems, [problem(begin, 1, false, what)]);

    // An absurd length.
    let mut absurd = a.clone();
    absurd[4..8].fill(0xfc);
    let (frames, statistics, _) = read(&[&head[..], &absurd, &b].concat());
    assert_eq!(frames, [seen(1, 2000, b"second")]);
    assert_eq!(statistics.problems.len(), 1);

    // Only the length at the end is wrong: the packet is believed.
    let mut end = a.clone();
    end[36] = 44;
    let (frames, statistics, _) = read(&[&head[..], &end, &b].concat());
    assert_eq!(frames, both);
    let what = "a block announces 40 octets, and another length at its end";
    assert_eq!(statistics.problems, [problem(begin, 1, false, what)]);

    // A length that reaches into the next block.
    let mut into = a.clone();
    into[4] = 60;
    let (frames, statistics, _) = read(&[&head[..], &into, &b].concat());
    assert_eq!(frames, [seen(1, 2000, b"second")]);
    assert_eq!(statistics.problems.len(), 1);

    // A length of an unknown block that goes beyond the end.
    let mut beyond = LE.block(0x99, b"what");
    beyond[4..8].copy_from_slice(&LE.n32(1000));
    let (frames, statistics, _) = read(&[&head[..], &beyond, &a, &b].concat());
    assert_eq!(frames, both);
    let what = "a block announces 1000 octets, 96 are there; \
                16 octets skipped up to the next block";
    assert_eq!(statistics.problems, [problem(begin, 1, false, what)]);

    // Garbage up to the end.
    let (frames, statistics, _) = read(&[&head[..], &a, &[0xee; 5000]].concat());
    assert_eq!(frames, both[..1]);
    assert!(statistics.problems[0].fatal);
    assert_eq!(statistics.problems[0].offset, Some(begin + 40));
}

#[test]
fn interfaces_and_problems_by_the_hundred_thousand_stay_bounded() {
    let mut file = LE.section();
    for i in 0..70_000_u32 {
        file.extend(LE.interface((i % 1000) as u16, 0, &LE.option(11, b"\0udp")));
    }
    file.extend(LE.packet(69_999, 0, b"beyond", &[]));
    file.extend(LE.packet(65_535, 0, b"last", &[]));
    let (frames, statistics, _) = read(&file);
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].interface, 65_535);
    assert_eq!(statistics.link_types.len(), 256);
    assert_eq!(statistics.problems.len(), Statistics::PROBLEMS_KEPT);
    assert_eq!(statistics.problems_not_kept, 70_000 - 65_536 + 1 - 100);
    assert_eq!(statistics.filter.as_deref(), Some("udp"));
}
