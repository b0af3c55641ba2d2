//! Captures built octet by octet, and what the reader makes of them.

use std::io::{Cursor, Write};

use proptest::prelude::*;

use super::*;
use crate::source::Problem;

/// What a test looks at of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    no: u64,
    time: i64,
    link: u16,
    octets: Vec<u8>,
    wire_len: u32,
    interface: u32,
}

fn seen(no: u64, time: i64, octets: &[u8]) -> Seen {
    Seen {
        no,
        time,
        link: 1,
        octets: octets.to_vec(),
        wire_len: u32::try_from(octets.len()).unwrap(),
        interface: 0,
    }
}

fn open_octets(octets: &[u8]) -> Result<FileSource, SourceError> {
    FileSource::new("test", Cursor::new(octets.to_vec()), 7)
}

fn drain(source: &mut FileSource) -> Vec<Seen> {
    let mut all = Vec::new();
    while let Some(frame) = source.next_frame() {
        assert_eq!(frame.capture, 7);
        all.push(Seen {
            no: frame.no,
            time: frame.time.0,
            link: frame.link.0,
            octets: frame.octets.to_vec(),
            wire_len: frame.wire_len,
            interface: frame.interface,
        });
    }
    assert!(source.next_frame().is_none(), "the end stays the end");
    all
}

fn read(octets: &[u8]) -> (Vec<Seen>, Statistics, Annotations) {
    let mut source = open_octets(octets).unwrap();
    let all = drain(&mut source);
    assert_eq!(source.statistics().frames, all.len() as u64);
    let annotations = source.annotations().clone();
    (all, source.statistics().clone(), annotations)
}

fn problem(offset: u64, frame: u64, fatal: bool, what: &str) -> Problem {
    Problem {
        offset: Some(offset),
        frame: Some(frame),
        what: what.into(),
        fatal,
    }
}

fn fault_of(octets: &[u8]) -> (u64, String) {
    match open_octets(octets).map(|_| ()).unwrap_err() {
        SourceError::NotACapture { offset, what, .. } => (offset, what),
        other => panic!("{other}"),
    }
}

/// Writes numbers in one of the byte orders.
#[derive(Clone, Copy)]
struct Maker {
    big: bool,
}

const LE: Maker = Maker { big: false };
const BE: Maker = Maker { big: true };

impl Maker {
    fn n16(self, n: u16) -> [u8; 2] {
        if self.big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    }

    fn n32(self, n: u32) -> [u8; 4] {
        if self.big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    }

    fn n64(self, n: u64) -> [u8; 8] {
        if self.big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    }

    fn words(self, words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|&n| self.n32(n)).collect()
    }

    fn pcap(self, magic: u32, link: u32) -> Vec<u8> {
        let mut out = self.n32(magic).to_vec();
        out.extend(self.n16(2));
        out.extend(self.n16(4));
        out.extend(self.words(&[0, 0, 65_535, link]));
        out
    }

    fn record(self, seconds: u32, fraction: u32, octets: &[u8]) -> Vec<u8> {
        let len = u32::try_from(octets.len()).unwrap();
        [self.words(&[seconds, fraction, len, len]), octets.to_vec()].concat()
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let total = self.n32(u32::try_from(body.len() + 12).unwrap());
        [&self.n32(kind)[..], &total, &body, &total].concat()
    }

    fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut out = [
            self.n16(code),
            self.n16(u16::try_from(value.len()).unwrap()),
        ]
        .concat();
        out.extend(value);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn section(self) -> Vec<u8> {
        let body = [
            &self.n32(0x1a2b_3c4d)[..],
            &self.n16(1),
            &self.n16(0),
            &[0xff; 8],
        ]
        .concat();
        self.block(0x0a0d_0d0a, &body)
    }

    fn interface(self, link: u16, snaplen: u32, options: &[u8]) -> Vec<u8> {
        let body = [&self.n16(link)[..], &[0, 0], &self.n32(snaplen), options].concat();
        self.block(1, &body)
    }

    fn packet(self, interface: u32, ticks: u64, octets: &[u8], options: &[u8]) -> Vec<u8> {
        let len = u32::try_from(octets.len()).unwrap();
        let mut body = self.words(&[
            interface,
            (ticks >> 32) as u32,
            (ticks & 0xffff_ffff) as u32,
            len,
            len,
        ]);
        body.extend(octets);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(options);
        self.block(6, &body)
    }
}

const US: u32 = 0xa1b2_c3d4;
const NS: u32 = 0xa1b2_3c4d;
const MODIFIED: u32 = 0xa1b2_cd34;

fn small_pcap(maker: Maker) -> Vec<u8> {
    [
        maker.pcap(US, 1),
        maker.record(10, 1, b"first"),
        maker.record(11, 2, b""),
        maker.record(12, 3, b"third frame"),
    ]
    .concat()
}

fn small_frames() -> Vec<Seen> {
    vec![
        seen(1, 10_000_001_000, b"first"),
        seen(2, 11_000_002_000, b""),
        seen(3, 12_000_003_000, b"third frame"),
    ]
}

fn small_pcapng(maker: Maker) -> Vec<u8> {
    [
        maker.section(),
        maker.interface(1, 0, &[]),
        maker.packet(0, 10_000_001, b"first", &[]),
        maker.packet(0, 11_000_002, b"", &[]),
        maker.packet(0, 12_000_003, b"third frame", &[]),
    ]
    .concat()
}

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
fn what_is_no_capture_is_named() {
    let what = |octets: &[u8]| fault_of(octets).1;
    assert_eq!(what(b""), "no capture but nothing: it is empty");
    assert_eq!(
        what(b"hello world, hello"),
        "no capture but the octets \"hello world, hel\""
    );
    assert_eq!(
        what(b"\xfd7zXZ\0..."),
        "no capture but xz data; decompress it first"
    );
    assert_eq!(
        what(&zstd::encode_all(&b"hello"[..], 1).unwrap()),
        "no capture but the octets \"hello\" inside zstd data"
    );
    assert_eq!(
        what(&zstd::encode_all(&b""[..], 1).unwrap()),
        "no capture but nothing: it is empty inside zstd data"
    );
    let mut version = LE.section();
    version[12] = 2;
    assert_eq!(
        what(&version),
        "no capture but pcapng version 2.0, only 1.x is known"
    );
    assert_eq!(
        what(&LE.block(0x0a0d_0d0a, &[0; 16])),
        "no capture but a pcapng section header that is cut off or has no byte-order magic"
    );
}

#[test]
fn a_file_that_cannot_be_opened_is_an_io_error() {
    let error = open(Path::new("/nonexistent/x.pcap"), 0)
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, SourceError::Io { .. }));
    assert!(error.to_string().starts_with("/nonexistent/x.pcap: "));
    let folder = open(Path::new("."), 0).map(|_| ()).unwrap_err();
    assert!(matches!(folder, SourceError::Io { .. }));
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

fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_same_frames_come_from_every_form() {
    for plain in [
        small_pcap(LE),
        small_pcap(BE),
        small_pcapng(LE),
        small_pcapng(BE),
    ] {
        let zst = zstd::encode_all(&plain[..], 3).unwrap();
        for form in [plain.clone(), gzip(&plain), zst] {
            let (frames, statistics, _) = read(&form);
            assert_eq!(frames, small_frames());
            assert_eq!(statistics.problems, []);
        }
    }
}

#[test]
fn compressed_data_cut_off_or_corrupt_is_a_problem_after_what_was_readable() {
    let mut plain = LE.pcap(US, 1);
    let mut noise = 1_u32;
    for _ in 0..20_000 {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        plain.extend(LE.record(1, 0, &noise.to_le_bytes().repeat(3)));
    }
    let whole = gzip(&plain);
    let (frames, statistics, _) = read(&whole[..whole.len() / 2]);
    assert!(frames.len() > 1000 && frames.len() < 20_000);
    let [cut] = &statistics.problems[..] else {
        panic!("{:?}", statistics.problems);
    };
    assert_eq!(cut.what, "the compressed data stops in its middle");
    assert!(!cut.fatal);

    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(&plain).unwrap();
    let mut corrupt = encoder.finish().unwrap();
    let middle = corrupt.len() / 2;
    corrupt[middle..middle + 40].fill(0x55);
    let (_, statistics, _) = read(&corrupt);
    let last = statistics.problems.last().unwrap();
    assert!(last.fatal);
    assert!(
        last.what.starts_with("it cannot be read further: "),
        "{}",
        last.what
    );
}

/// Reads whatever it is; checks what must hold of any input.
fn survive(octets: &[u8]) -> Result<(), TestCaseError> {
    let Ok(mut source) = open_octets(octets) else {
        return Ok(());
    };
    let frames = drain(&mut source);
    prop_assert!(frames.len() <= octets.len() / 16);
    let held: usize = frames.iter().map(|frame| frame.octets.len()).sum();
    prop_assert!(held <= octets.len());
    for problem in &source.statistics().problems {
        prop_assert!(problem.offset.unwrap() <= octets.len() as u64);
    }
    Ok(())
}

fn mutated(file: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let len = file.len();
    let changes = prop::collection::vec((0..len, any::<u8>()), 0..12);
    let cut = 0..=len;
    let splice = (0..len, prop::collection::vec(any::<u8>(), 0..40));
    (changes, cut, splice).prop_map(move |(changes, cut, (at, more))| {
        let mut file = file.clone();
        for (at, octet) in changes {
            file[at] = octet;
        }
        file.splice(at..at, more);
        file.truncate(file.len() - cut / 4);
        file
    })
}

proptest! {
    #[test]
    fn any_octets_are_survived(octets in prop::collection::vec(any::<u8>(), 0..2000)) {
        survive(&octets)?;
        survive(&[LE.pcap(US, 1), octets.clone()].concat())?;
        survive(&[LE.section(), LE.interface(1, 0, &[]), octets].concat())?;
    }

    #[test]
    fn mutated_pcaps_are_survived(file in mutated([small_pcap(LE), small_pcap(LE)].concat())) {
        survive(&file)?;
    }

    #[test]
    fn mutated_pcapngs_are_survived(
        file in mutated([small_pcapng(LE), small_pcapng(BE), small_pcapng(LE)].concat())
    ) {
        survive(&file)?;
    }
}
