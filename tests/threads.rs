//! Several threads, a pipe, a compressed file, counts only: the same answer every time.
#![allow(
    clippy::pedantic,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    unreachable_pub,
    dead_code,
    reason = "test code"
)]

#[path = "../benches/traffic/mod.rs"]
mod traffic;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use traffic::{Mix, pcap};

/// A capture of generated traffic, removed at the end.
struct Capture(PathBuf);

impl Capture {
    fn new(name: &str, octets: &[u8]) -> Self {
        let name = format!("vpnscope-threads-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, octets).expect("a file");
        Self(path)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn analyze(arguments: &[&str], file: &Path, stdin: Option<File>) -> Value {
    let arguments = [&["--tls", "all"], arguments].concat();
    report(&arguments, file, stdin)
}

fn report(arguments: &[&str], file: &Path, stdin: Option<File>) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_vpnscope"))
        .args(["analyze", "--format", "json"])
        .args(arguments)
        .arg(file)
        .stdin(stdin.map_or_else(Stdio::null, Stdio::from))
        .output()
        .expect("vpnscope runs");
    let mut report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for capture in report["captures"].as_array_mut().expect("captures") {
        // The one thing that differs.
        capture["file"] = Value::Null;
    }
    report
}

#[test]
fn threads_pipes_and_compression_change_nothing() {
    for mix in Mix::ALL {
        let octets = pcap(mix, 6000);
        let plain = Capture::new(mix.name(), &octets);
        let one = analyze(&["--threads", "1"], &plain.0, None);
        assert!(
            one["sessions"]
                .as_array()
                .is_some_and(|all| !all.is_empty()),
            "{} holds no session",
            mix.name()
        );
        for threads in ["2", "3"] {
            let several = analyze(&["--threads", threads], &plain.0, None);
            assert!(one == several, "{}: {threads} threads", mix.name());
        }
        let pipe = || Some(File::open(&plain.0).expect("it was written"));
        let piped = analyze(&["--threads", "2"], Path::new("-"), pipe());
        assert!(one == piped, "{}: a pipe and two threads", mix.name());
        let compressed = zstd::encode_all(&octets[..], 1).expect("zstd");
        let compressed = Capture::new(&format!("{}.zst", mix.name()), &compressed);
        let unpacked = analyze(&["--threads", "2"], &compressed.0, None);
        assert!(one == unpacked, "{}: compressed", mix.name());
    }
}

#[test]
fn counting_only_counts_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcaps");
    let mut compared = 0;
    let mut folders: Vec<_> = std::fs::read_dir(folder)
        .expect("pcaps")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    // Each third: all of them take a minute.
    for folder in folders.iter().step_by(3) {
        for file in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = file.path();
            if path.extension().is_none_or(|end| end != "pcap") {
                continue;
            }
            let whole = analyze(&[], &path, None);
            let counts = analyze(&["--summary"], &path, None);
            assert_eq!(whole["summary"], counts["summary"], "{}", path.display());
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared} captures");
}

/// Sessions of SYNs alone are not built where nothing is to be said of them: what is left out
/// must be what a report of everything has nothing to say of.
#[test]
fn what_is_not_reported_is_what_there_is_nothing_to_say_of() {
    let mut left_out = 0;
    for mix in [Mix::Small, Mix::Span] {
        let capture = Capture::new(&format!("quiet-{}", mix.name()), &pcap(mix, 6000));
        let all = report(&["--tls", "all"], &capture.0, None);
        let usual = report(&[], &capture.0, None);
        let sessions = |report: &Value| report["sessions"].as_array().expect("a list").clone();
        let usual_sessions = sessions(&usual);
        for session in sessions(&all) {
            if let Some(same) = usual_sessions.iter().find(|one| one["id"] == session["id"]) {
                assert_eq!(*same, session, "{}", mix.name());
                continue;
            }
            left_out += 1;
            let outcome = session["outcome"].as_str().expect("a word");
            assert!(
                !matches!(outcome, "failed" | "degraded"),
                "{}: {session}",
                mix.name()
            );
        }
        let count = |report: &Value| sessions(report).len() as u64;
        let counted = usual["summary"]["tls_not_reported"].as_u64();
        assert_eq!(
            count(&all),
            count(&usual) + counted.expect("a number"),
            "{}",
            mix.name()
        );
    }
    assert!(left_out > 100, "{left_out} sessions were left out");
}

/// Cuts a classic little-endian capture into files of so many frames.
fn slices(octets: &[u8], frames: usize) -> Vec<Vec<u8>> {
    let (header, mut rest) = octets.split_at(24);
    let mut all: Vec<Vec<u8>> = Vec::new();
    let mut count = 0;
    while let Some(record) = rest.get(..16) {
        let len = u32::from_le_bytes(record[8..12].try_into().expect("four")) as usize;
        let (record, after) = rest.split_at(16 + len);
        if count % frames == 0 {
            all.push(header.to_vec());
        }
        all.last_mut().expect("one").extend_from_slice(record);
        rest = after;
        count += 1;
    }
    all
}

fn told(threads: &str, format: &str, files: &[&Path], stdin: Option<File>) -> (Vec<u8>, Vec<u8>) {
    let output = Command::new(env!("CARGO_BIN_EXE_vpnscope"))
        .args(["analyze", "--tls", "all", "--format", format])
        .args(["--threads", threads])
        .args(files)
        .stdin(stdin.map_or_else(Stdio::null, Stdio::from))
        .output()
        .expect("vpnscope runs");
    assert!(!output.stdout.is_empty());
    let status = format!("{:?}", output.status).into_bytes();
    (output.stdout, [output.stderr, status].concat())
}

/// Independent files, slices that go on from one to the next, the same file twice, one that
/// cannot be read and one that comes through a pipe: however many are walked at a time, the
/// output is the same octet for octet.
#[test]
fn files_side_by_side_say_what_they_say_one_by_one() {
    let handshakes = pcap(Mix::Handshakes, 9000);
    let whole = Capture::new("side-whole", &handshakes);
    let span = Capture::new("side-span", &pcap(Mix::Span, 3000));
    let parts: Vec<Capture> = slices(&handshakes, 2500)
        .iter()
        .enumerate()
        .map(|(n, octets)| Capture::new(&format!("side-part-{n}"), octets))
        .collect();
    assert_eq!(parts.len(), 4);
    let bad = Capture::new("side-bad", b"this is no capture, and never was");
    let mut files: Vec<&Path> = vec![&span.0, &whole.0, &bad.0];
    files.extend(parts.iter().map(|part| &*part.0));
    files.extend([&*span.0, Path::new("-"), &whole.0]);
    for format in ["json", "ndjson", "text"] {
        let pipe = || Some(File::open(&whole.0).expect("it was written"));
        let one = told("1", format, &files, pipe());
        for threads in ["2", "3", "8"] {
            let several = told(threads, format, &files, pipe());
            assert!(one.1 == several.1, "{format}, {threads} threads: stderr");
            assert!(one.0 == several.0, "{format}, {threads} threads");
        }
    }
    // Sessions of slices are found whole: as many as in one file.
    let count = |files: &[&Path]| {
        let (out, _) = told("2", "json", files, None);
        let report: Value = serde_json::from_slice(&out).expect("JSON");
        report["sessions"].as_array().expect("a list").len()
    };
    let all: Vec<&Path> = parts.iter().map(|part| &*part.0).collect();
    assert_eq!(count(&all), count(&[&whole.0]));
}
