//! Compressed input, and what is no capture.

use std::io::Write;

use super::super::*;
use super::maker::*;

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

#[test]
fn a_flipped_bit_hides_no_frame_before_it() {
    let mut plain = LE.pcap(US, 1);
    let mut noise = 1_u32;
    for _ in 0..20_000 {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        plain.extend(LE.record(1, 0, &noise.to_le_bytes().repeat(3)));
    }
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(&plain).unwrap();
    for mut whole in [gzip(&plain), encoder.finish().unwrap()] {
        let middle = whole.len() / 2;
        whole[middle] ^= 0x10;
        let (before, ..) = read(&whole[..middle]);
        let (frames, statistics, _) = read(&whole);
        // What the flipped bit made of itself may read as a frame or two.
        assert!(before.len() > 5000 && frames.starts_with(&before));
        assert_eq!(statistics.problems.len(), 1);
    }
}
