//! What is written, read back.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::*;
use crate::source::file::{self, Annotations, FileSource};
use crate::source::{FrameSource, Statistics};
use crate::time::Span;

/// A place that keeps what is written, up to a limit.
#[derive(Clone)]
struct Memory(Arc<Mutex<Vec<u8>>>, usize);

impl Memory {
    fn new() -> Self {
        Self(Arc::default(), usize::MAX)
    }

    fn octets(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Memory {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap();
        if kept.len() + octets.len() > self.1 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        kept.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vpnscope-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn frame(no: u64, octets: &[u8]) -> Frame<'_> {
    Frame {
        capture: 0,
        no,
        time: Timestamp(1_700_000_000_000_000_000 + no.cast_signed() * 1_000_000_007),
        link: LinkType::ETHERNET,
        octets,
        wire_len: u32::try_from(octets.len()).unwrap() + 5,
        interface: 0,
    }
}

const NG: Output = Output {
    format: Format::PcapNg,
    compression: None,
};

type Row = (i64, u16, Vec<u8>, u32, u32);

fn rows(source: &mut FileSource) -> Vec<Row> {
    let mut rows = Vec::new();
    while let Some(f) = source.next_frame() {
        rows.push((
            f.time.0,
            f.link.0,
            f.octets.to_vec(),
            f.wire_len,
            f.interface,
        ));
    }
    assert_eq!(source.statistics().problems, []);
    rows
}

fn read(octets: Vec<u8>) -> (Vec<Row>, Statistics, Annotations) {
    let mut source = FileSource::new("written", io::Cursor::new(octets), 0).unwrap();
    let rows = rows(&mut source);
    (
        rows,
        source.statistics().clone(),
        source.annotations().clone(),
    )
}

#[test]
fn frames_come_back_as_they_were_from_every_form() {
    for format in [Format::Pcap, Format::PcapNg] {
        for compression in [None, Some(Compression::Gzip), Some(Compression::Zstd)] {
            let memory = Memory::new();
            let output = Output {
                format,
                compression,
            };
            let mut writer = Writer::new(memory.clone(), output).unwrap();
            let octets = vec![0xa5; 9001];
            let mut expected = Vec::new();
            for (no, len) in (1..100).zip((97..).step_by(97)) {
                let f = frame(no, &octets[..len % 9001]);
                writer.frame(&f, None).unwrap();
                expected.push((f.time.0, 1, f.octets.to_vec(), f.wire_len, 0));
            }
            assert_eq!((writer.frames(), writer.lost()), (99, 0));
            writer.finish().unwrap();
            let (rows, statistics, _) = read(memory.octets());
            assert_eq!(rows, expected);
            assert_eq!(statistics.format, format);
            assert_eq!(statistics.truncated_frames, 99);
        }
    }
}

#[test]
fn interfaces_comments_and_counters_come_back() {
    let memory = Memory::new();
    let mut writer = Writer::new(memory.clone(), NG).unwrap();
    let first = frame(1, b"first");
    let second = Frame {
        link: LinkType::LINUX_SLL,
        interface: 4,
        ..frame(2, b"second")
    };
    writer.describe(
        Origin::of(&second),
        Description {
            name: Some("any".into()),
            filter: Some("udp".into()),
            snaplen: 128,
        },
    );
    writer
        .frame(&first, Some("proposal-mismatch: sämtlich"))
        .unwrap();
    writer
        .frame(&second, Some(Annotations::SENT_BY_US))
        .unwrap();
    writer.frame(&first, None).unwrap();
    let counters = Counters {
        time: first.time,
        received: Some(9),
        dropped_by_interface: Some(2),
        dropped_by_system: Some(5),
    };
    writer.counters(Origin::of(&second), &counters).unwrap();
    writer.finish().unwrap();
    let (rows, statistics, annotations) = read(memory.octets());
    let interfaces: Vec<(u16, u32)> = rows.iter().map(|row| (row.1, row.4)).collect();
    assert_eq!(interfaces, [(1, 0), (113, 1), (1, 0)]);
    assert_eq!(statistics.filter.as_deref(), Some("udp"));
    assert_eq!(statistics.dropped, Some(7));
    assert_eq!(annotations.comments, 2);
    assert_eq!(annotations.sent_by_us, [2]);
}

#[test]
fn an_overlong_comment_is_cut_between_characters() {
    let memory = Memory::new();
    let mut writer = Writer::new(memory.clone(), NG).unwrap();
    let comment = "ü".repeat(60_000);
    writer.frame(&frame(1, b"x"), Some(&comment)).unwrap();
    writer.finish().unwrap();
    let (rows, _, annotations) = read(memory.octets());
    assert_eq!((rows.len(), annotations.comments), (1, 1));
}

#[test]
fn classic_pcap_refuses_a_second_link_type_and_an_empty_one_is_a_capture() {
    let output = Output {
        format: Format::Pcap,
        compression: None,
    };
    let mut writer = Writer::new(Memory::new(), output).unwrap();
    writer.frame(&frame(1, b"x"), None).unwrap();
    let raw = Frame {
        link: LinkType::RAW,
        ..frame(2, b"y")
    };
    let error = writer.frame(&raw, None).unwrap_err();
    assert!(error.to_string().contains("one link type only"), "{error}");

    let memory = Memory::new();
    Writer::new(memory.clone(), output)
        .unwrap()
        .finish()
        .unwrap();
    assert_eq!(read(memory.octets()).0, []);
}

#[test]
fn names_say_what_is_written() {
    let of = |name: &str| {
        let output = Output::for_path(Path::new(name));
        (output.format, output.compression)
    };
    assert_eq!(of("a.pcap"), (Format::Pcap, None));
    assert_eq!(of("a.pcapng"), (Format::PcapNg, None));
    assert_eq!(of("-"), (Format::PcapNg, None));
    assert_eq!(of("a.PCAP.ZST"), (Format::Pcap, Some(Compression::Zstd)));
    assert_eq!(of("a.pcapng.gz"), (Format::PcapNg, Some(Compression::Gzip)));
    assert_eq!(of("a.gz"), (Format::PcapNg, Some(Compression::Gzip)));
}

#[test]
fn a_full_place_is_an_error_and_the_lost_frames_are_counted() {
    let mut full = Memory::new();
    full.1 = 100_000;
    let mut writer = Writer::new(full.clone(), NG).unwrap();
    let octets = vec![0; 1000];
    let mut errors = 0;
    for no in 1..=500 {
        errors += u64::from(writer.frame(&frame(no, &octets), None).is_err());
    }
    assert_eq!(
        writer.flush().unwrap_err().kind(),
        io::ErrorKind::StorageFull
    );
    assert!(errors > 0);
    let (rows, _, _) = read(full.octets());
    assert_eq!(rows.len() as u64 + writer.lost(), 500);
}

#[test]
fn what_was_flushed_is_readable_without_an_end() {
    for compression in [None, Some(Compression::Gzip), Some(Compression::Zstd)] {
        let memory = Memory::new();
        let output = Output { compression, ..NG };
        let mut writer = Writer::new(memory.clone(), output).unwrap();
        for no in 1..=10 {
            writer.frame(&frame(no, b"abc"), None).unwrap();
        }
        writer.flush().unwrap();
        let mut source = FileSource::new("x", io::Cursor::new(memory.octets()), 0).unwrap();
        let mut frames = 0;
        while source.next_frame().is_some() {
            frames += 1;
        }
        assert_eq!(frames, 10);
        assert!(source.statistics().problems.iter().all(|p| !p.fatal));
    }
}

fn ring_of(folder: &Folder, name: &str, limits: Limits) -> Vec<(String, usize)> {
    let path = folder.0.join(name);
    let mut ring = Ring::create(&path, Output::for_path(&path), limits).unwrap();
    let origin = Origin::of(&frame(1, b""));
    ring.describe(origin, Description::default());
    for no in 1..=20 {
        let f = frame(no, &[7; 100]);
        let counters = Counters {
            time: f.time,
            received: Some(no),
            dropped_by_interface: Some(0),
            dropped_by_system: Some(no / 10),
        };
        ring.counters(origin, counters);
        ring.frame(&f, None).unwrap();
    }
    ring.finish().unwrap();
    assert_eq!((ring.frames(), ring.lost()), (20, 0));
    let mut files = Vec::new();
    for file in ring.files() {
        let mut source = file::open(file, 0).unwrap();
        let rows = rows(&mut source);
        assert!(source.statistics().dropped.is_some());
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        files.push((name, rows.len()));
    }
    files
}

#[test]
fn rings_turn_by_count_time_and_size_and_remove_the_oldest() {
    let folder = Folder::new("rings");
    let by_count = Limits {
        frames: Some(8),
        ..Limits::default()
    };
    assert_eq!(
        ring_of(&folder, "count.pcapng", by_count),
        [
            ("count_00001_20231114221321.pcapng".to_owned(), 8),
            ("count_00002_20231114221329.pcapng".to_owned(), 8),
            ("count_00003_20231114221337.pcapng".to_owned(), 4),
        ]
    );
    let by_time = Limits {
        span: Some(Span::from_secs(5)),
        files: Some(2),
        ..Limits::default()
    };
    let left = ring_of(&folder, "time.pcapng.zst", by_time);
    let counts: Vec<usize> = left.iter().map(|(_, frames)| *frames).collect();
    assert_eq!(counts, [5, 5]);
    let on_disk = std::fs::read_dir(&folder.0)
        .unwrap()
        .filter(|e| {
            e.as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with("time")
        })
        .count();
    assert_eq!(on_disk, 2);
    let by_size = Limits {
        octets: Some(1000),
        ..Limits::default()
    };
    let left = ring_of(&folder, "size.pcapng", by_size);
    assert_eq!(left.iter().map(|(_, frames)| frames).sum::<usize>(), 20);
    assert!(left.len() >= 3);
    let whole = ring_of(&folder, "whole.pcapng", Limits::default());
    assert_eq!(whole, [("whole.pcapng".to_owned(), 20)]);
}

#[test]
fn a_place_that_cannot_be_written_to_is_known_at_once() {
    let path = Path::new("/nonexistent/x.pcapng");
    for limits in [
        Limits::default(),
        Limits {
            frames: Some(1),
            ..Limits::default()
        },
    ] {
        let error = Ring::create(path, NG, limits).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
