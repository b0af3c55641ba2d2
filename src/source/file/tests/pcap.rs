//! Classic pcap.

use super::super::*;
use super::maker::*;

#[test]
fn pcap_in_both_byte_orders_and_resolutions() {
    for maker in [LE, BE] {
        let (frames, statistics, _) = read(&small_pcap(maker));
        assert_eq!(frames, small_frames());
        assert_eq!(statistics.format, Format::Pcap);
        assert_eq!(statistics.link_types, [LinkType::ETHERNET]);
        assert_eq!((statistics.frames, statistics.bytes), (3, 16));
        assert_eq!(statistics.first, Some(Timestamp(10_000_001_000)));
        assert_eq!(statistics.last, Some(Timestamp(12_000_003_000)));
        assert_eq!(statistics.problems, []);
        let nanoseconds = [maker.pcap(NS, 101), maker.record(1, 5, b"x")].concat();
        let mut expected = seen(1, 1_000_000_005, b"x");
        expected.link = 101;
        assert_eq!(read(&nanoseconds).0, [expected]);
    }
}

#[test]
fn modified_pcap_has_a_longer_record_header() {
    let record = [LE.words(&[1, 2, 3, 3, 9, 9]), b"abc".to_vec()].concat();
    let file = [LE.pcap(MODIFIED, 1), record.clone(), record].concat();
    let expected = [
        seen(1, 1_000_002_000, b"abc"),
        seen(2, 1_000_002_000, b"abc"),
    ];
    assert_eq!(read(&file).0, expected);
}

#[test]
fn old_pcap_may_swap_the_lengths() {
    let mut file = [LE.pcap(US, 1), LE.words(&[1, 0, 9, 3]), b"abc".to_vec()].concat();
    file[6] = 3;
    let mut expected = seen(1, 1_000_000_000, b"abc");
    expected.wire_len = 9;
    assert_eq!(read(&file).0, [expected]);
}

#[test]
fn frame_check_sequence_named_in_the_link_type_is_cut_off() {
    let link = 0x2400_0001; // two pairs of octets, Ethernet
    let whole = LE.record(1, 0, b"frameFCS!");
    let cut = [LE.words(&[1, 0, 4, 9]), b"fram".to_vec()].concat();
    let (frames, statistics, _) = read(&[LE.pcap(US, link), whole, cut].concat());
    let mut second = seen(2, 1_000_000_000, b"fram");
    second.wire_len = 5;
    assert_eq!(frames, [seen(1, 1_000_000_000, b"frame"), second]);
    assert_eq!(statistics.link_types, [LinkType::ETHERNET]);
    assert_eq!(statistics.truncated_frames, 1);
}

#[test]
fn a_wire_length_below_the_captured_one_is_raised_to_it() {
    let lie = [LE.words(&[1, 0, 3, 0]), b"abc".to_vec()].concat();
    let (frames, statistics, _) = read(&[LE.pcap(US, 1), lie].concat());
    assert_eq!(frames, [seen(1, 1_000_000_000, b"abc")]);
    assert_eq!(statistics.truncated_frames, 0);
}

#[test]
fn times_may_run_backwards() {
    let file = [LE.pcap(US, 1), LE.record(9, 0, b"a"), LE.record(5, 0, b"b")].concat();
    let (_, statistics, _) = read(&file);
    assert_eq!(statistics.first, Some(Timestamp(9_000_000_000)));
    assert_eq!(statistics.last, Some(Timestamp(9_000_000_000)));
}

#[test]
fn every_truncation_of_a_pcap_gives_the_whole_frames_before_it() {
    let file = small_pcap(LE);
    let ends = [24, 45, 61, 88];
    for len in 0..file.len() {
        let cut = &file[..len];
        if len < 24 {
            let (offset, what) = fault_of(cut);
            assert_eq!(offset, 0, "{what}");
            assert!(what.starts_with("no capture but "), "{what}");
            continue;
        }
        let whole = ends.iter().filter(|&&end| end <= len).count() - 1;
        let (frames, statistics, _) = read(cut);
        assert_eq!(frames, small_frames()[..whole]);
        if ends.contains(&len) {
            assert_eq!(statistics.problems, []);
        } else {
            let begin = ends[whole];
            let left = len - begin;
            let announced = if left < 16 {
                16
            } else {
                ends[whole + 1] - begin
            };
            let what =
                format!("cut off in its last record: {left} of {announced} octets are there");
            let expected = problem(begin as u64, whole as u64 + 1, false, &what);
            assert_eq!(statistics.problems, [expected]);
        }
    }
}

#[test]
fn garbage_between_pcap_records_is_skipped() {
    let garbage = [0xff; 37];
    let file = [
        LE.pcap(US, 1),
        LE.record(10, 1, b"first"),
        garbage.to_vec(),
        LE.record(11, 2, b"second"),
        LE.record(12, 3, b"third"),
    ]
    .concat();
    let (frames, statistics, _) = read(&file);
    assert_eq!(
        frames,
        [
            seen(1, 10_000_001_000, b"first"),
            seen(2, 11_000_002_000, b"second"),
            seen(3, 12_000_003_000, b"third"),
        ]
    );
    let what = "a record announces 4294967295 octets, more than 262144; \
                37 octets skipped up to the next record";
    assert_eq!(statistics.problems, [problem(45, 2, false, what)]);
}

#[test]
fn garbage_up_to_the_end_of_a_pcap_is_fatal() {
    let file = [
        LE.pcap(US, 1),
        LE.record(10, 1, b"first"),
        vec![0xff; 300_000],
    ]
    .concat();
    let (frames, statistics, _) = read(&file);
    assert_eq!(frames, [seen(1, 10_000_001_000, b"first")]);
    let what = "a record announces 4294967295 octets, more than 262144; \
                no record was found after it";
    assert_eq!(statistics.problems, [problem(45, 2, true, what)]);
}

#[test]
fn an_unknown_pcap_version_is_noted_and_read_on() {
    let mut file = small_pcap(BE);
    file[5] = 9;
    let (frames, statistics, _) = read(&file);
    assert_eq!(frames, small_frames());
    let expected = problem(4, 1, false, "pcap version 9.4, read as 2.4");
    assert_eq!(statistics.problems, [expected]);
}

#[test]
fn a_record_bigger_than_the_buffer_is_read_whole() {
    let big: Vec<u8> = (0..262_144_u32).map(|i| (i % 253) as u8).collect();
    let file = [
        LE.pcap(US, 1),
        LE.record(1, 0, b"x"),
        LE.record(2, 0, &big),
        LE.record(3, 0, b"y"),
    ]
    .concat();
    let (frames, statistics, _) = read(&file);
    assert_eq!(frames.len(), 3);
    assert_eq!(frames[1].octets, big);
    assert_eq!(statistics.problems, []);
}
