//! Frames, octets and times of every capture of the corpus, beside those that capinfos counts.
//!
//! The corpus is the folder named by `VPNSCOPE_CORPUS`; without it, or without capinfos, the
//! test says `skipped` and why, and fails if `VPNSCOPE_REQUIRE` is 1.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test code"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use vpnscope::source::file;
use vpnscope::source::writer::{Output, Writer};
use vpnscope::source::{FrameSource, SourceError};

/// Frames, octets on the wire, earliest and latest time in nanoseconds.
type Counts = (u64, u64, Option<(i64, i64)>);

/// Captures on which the two differ, and why.
const KNOWN: &[(&str, &str)] = &[
    (
        "captures/files/ajbanjara__Wireshark/PPPHandshake.cap",
        "a Network Monitor file, which is no pcap",
    ),
    (
        "captures/files/ajbanjara__Wireshark/ppp_lcp_ipcp.pcap",
        "wire lengths below the captured ones are raised to them",
    ),
    (
        "captures/files/seladb__PcapPlusPlus/pcapng-example.pcapng",
        "times beyond the year 2262 stay there, where capinfos wraps them",
    ),
    (
        "captures/files/the-tcpdump-group__tcpdump/timestamp_invalid_nano.pcap",
        "a fraction over a second is added, where capinfos takes it for negative",
    ),
];

fn captures_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            captures_below(&path, found);
        } else if path
            .extension()
            .is_some_and(|x| ["pcap", "pcapng", "cap", "ntar"].iter().any(|y| x == *y))
        {
            found.push(path);
        }
    }
}

/// What is counted here, and whether a problem was fatal.
fn ours(path: &Path) -> Result<(Counts, bool), SourceError> {
    let mut source = file::open(path, 0)?;
    let (mut frames, mut octets, mut times) = (0, 0, None);
    while let Some(frame) = source.next_frame() {
        frames += 1;
        octets += u64::from(frame.wire_len);
        let (first, last) = times.unwrap_or((frame.time.0, frame.time.0));
        times = Some((first.min(frame.time.0), last.max(frame.time.0)));
        assert_eq!(frame.no, frames);
    }
    let fatal = source.statistics().problems.iter().any(|p| p.fatal);
    Ok(((frames, octets, times), fatal))
}

fn nanoseconds(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = format!("{fraction:0<9}");
    let (seconds, fraction): (i64, i64) = (seconds.parse().ok()?, fraction.parse().ok()?);
    let sign = if text.starts_with('-') { -1 } else { 1 };
    Some(
        seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(sign * fraction),
    )
}

/// What capinfos counts, by file. Files it cannot read have no entry.
fn theirs(paths: &[PathBuf]) -> Option<BTreeMap<PathBuf, Counts>> {
    let output = Command::new("capinfos")
        .args(["-T", "-r", "-Q", "-m", "-M", "-c", "-d", "-a", "-e", "-S"])
        .args(paths)
        .output()
        .ok()?;
    let table = String::from_utf8(output.stdout).unwrap();
    let row = |line: &str| {
        let mut cells = line.trim_matches('"').split("\",\"");
        let path = PathBuf::from(cells.next()?);
        let (frames, octets) = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
        let times = (nanoseconds(cells.next()?), nanoseconds(cells.next()?));
        Some((path, (frames, octets, times.0.zip(times.1))))
    };
    Some(table.lines().filter_map(row).collect())
}

fn skipped(why: &str) {
    println!("skipped: {why}");
    let required = std::env::var("VPNSCOPE_REQUIRE").is_ok_and(|value| value == "1");
    assert!(!required, "VPNSCOPE_REQUIRE is 1, but: {why}");
}

#[test]
fn every_capture_has_the_frames_that_capinfos_counts() {
    let Ok(corpus) = std::env::var("VPNSCOPE_CORPUS") else {
        return skipped("VPNSCOPE_CORPUS names no folder");
    };
    let mut paths = Vec::new();
    for folder in ["lab", "captures"] {
        captures_below(&Path::new(&corpus).join(folder), &mut paths);
    }
    assert!(!paths.is_empty(), "no capture below {corpus}");
    let Some(theirs) = theirs(&paths) else {
        return skipped("capinfos is not installed");
    };
    let mut differences = Vec::new();
    let mut known = Vec::new();
    for path in &paths {
        let shown = path.strip_prefix(&corpus).unwrap().display().to_string();
        let (ours, theirs) = (ours(path), theirs.get(path));
        let same = match (&ours, theirs) {
            (Err(_), None) => true,
            (Ok((ours, fatal)), Some(theirs)) => alike(ours, theirs) && !fatal,
            (Ok((ours, _)), None) => {
                println!("{shown}: {ours:?}, not read by capinfos");
                true
            }
            (Err(_), Some(_)) => false,
        };
        if KNOWN.iter().any(|(file, _)| *file == shown) && !same {
            known.push(shown);
        } else if !same {
            differences.push(format!("{shown}: {ours:?}, theirs {theirs:?}"));
        }
    }
    println!("{} captures compared", theirs.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(known.len(), KNOWN.len(), "no longer different: {known:?}");
}

/// capinfos tells no times where a packet has none.
fn alike(ours: &Counts, theirs: &Counts) -> bool {
    (ours.0, ours.1) == (theirs.0, theirs.1) && (theirs.2.is_none() || ours.2 == theirs.2)
}

/// What a frame must keep on its way through the writer.
type Row = (u64, i64, u16, u32, Vec<u8>);

fn rows(source: &mut file::FileSource) -> Vec<Row> {
    let mut rows = Vec::new();
    while let Some(f) = source.next_frame() {
        // Times before 1970 cannot be written.
        let time = f.time.0.max(0);
        rows.push((f.no, time, f.link.0, f.wire_len, f.octets.to_vec()));
    }
    rows
}

#[test]
fn every_capture_written_anew_has_the_same_frames() {
    let Ok(corpus) = std::env::var("VPNSCOPE_CORPUS") else {
        return skipped("VPNSCOPE_CORPUS names no folder");
    };
    let mut paths = Vec::new();
    for folder in ["lab", "captures"] {
        captures_below(&Path::new(&corpus).join(folder), &mut paths);
    }
    let name = format!("vpnscope-anew-{}.pcapng", std::process::id());
    let anew = std::env::temp_dir().join(name);
    for (number, path) in paths.iter().enumerate() {
        let Ok(mut source) = file::open(path, 0) else {
            continue;
        };
        let mut writer = Writer::create(&anew, Output::for_path(&anew)).unwrap();
        while let Some(frame) = source.next_frame() {
            writer.frame(&frame, Some("a comment")).unwrap();
        }
        writer.finish().unwrap();
        let mut written = file::open(&anew, 0).unwrap();
        let expected = rows(&mut file::open(path, 0).unwrap());
        assert!(rows(&mut written) == expected, "{}", path.display());
        assert_eq!(written.statistics().problems, [], "{}", path.display());
        assert_eq!(written.annotations().comments, expected.len() as u64);
        // Starting a program each time costs more than all the rest: some will do.
        let asked = if number % 25 == 0 {
            std::slice::from_ref(&anew)
        } else {
            &[]
        };
        let theirs = (!asked.is_empty()).then(|| theirs(asked)).flatten();
        if let Some(theirs) = theirs.as_ref().and_then(|all| all.get(&anew)) {
            assert_eq!(theirs.0, expected.len() as u64, "{}", path.display());
        }
    }
    std::fs::remove_file(&anew).unwrap();
}
