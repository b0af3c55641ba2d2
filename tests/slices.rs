//! A capture that was cut in two, as a ring of files is, tells the same as the whole: nothing of
//! what was open at the seam is lost, and the proof names the right file.
#![allow(
    clippy::pedantic,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Where each record of a classic little-endian capture begins, and where the last one ends.
fn records(octets: &[u8]) -> Option<Vec<usize>> {
    if !octets.starts_with(&[0xd4, 0xc3, 0xb2, 0xa1])
        && !octets.starts_with(&[0x4d, 0x3c, 0xb2, 0xa1])
    {
        return None;
    }
    let mut starts = vec![24];
    while let Some(header) = octets.get(starts[starts.len() - 1]..)?.get(..16) {
        let len = u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
        starts.push(starts[starts.len() - 1] + 16 + len);
    }
    (starts[starts.len() - 1] == octets.len()).then_some(starts)
}

/// The cause of a finding, how sure it is, and its frames.
type Told = (String, String, Vec<u64>);

/// Of each session: outcome, and of each finding the cause, how sure, and its frames as they are
/// numbered in the whole.
fn told(files: &[&Path], cut: usize) -> Vec<(String, Vec<Told>)> {
    let output = Command::new(env!("CARGO_BIN_EXE_vpnscope"))
        .args(["analyze", "--format", "json", "--tls", "all"])
        .args(files)
        .output()
        .expect("vpnscope runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["hints"].as_array().map_or(0, Vec::len), 0);
    let text = |value: &Value| value.as_str().expect("a word").to_string();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let frame = |proof: &Value| {
        let before = match proof["capture"].as_u64() {
            Some(0) => 0,
            Some(1) => cut as u64,
            other => panic!("capture {other:?}"),
        };
        proof["frame"].as_u64().expect("a number") + before
    };
    let finding = |finding: Value| {
        let mut frames: Vec<u64> = list(&finding["evidence"]).iter().map(frame).collect();
        frames.sort_unstable();
        (text(&finding["code"]), text(&finding["confidence"]), frames)
    };
    list(&report["sessions"])
        .iter()
        .map(|session| {
            let findings = list(&session["findings"]).into_iter().map(finding);
            (text(&session["outcome"]), findings.collect())
        })
        .collect()
}

#[test]
fn a_capture_that_was_cut_tells_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcaps");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("pcaps")
        .flatten()
        .filter_map(|entry| std::fs::read_dir(entry.path()).ok())
        .flat_map(|files| files.flatten().map(|file| file.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "pcap"))
        .collect();
    files.sort();
    let scratch = std::env::temp_dir();
    let part = |n: u8| scratch.join(format!("vpnscope-slices-{}-{n}.pcap", std::process::id()));
    let (one, two) = (part(1), part(2));
    let mut compared = 0;
    // Each fifth, each in another place: all of them take a minute.
    for (n, file) in files.iter().enumerate().step_by(5) {
        let octets = std::fs::read(file).expect("a capture");
        let Some(starts) = records(&octets).filter(|starts| starts.len() > 4) else {
            continue;
        };
        let frames = starts.len() - 1;
        let cut = (frames * (n % 7 + 1) / 8).clamp(1, frames - 1);
        std::fs::write(&one, &octets[..starts[cut]]).expect("a file");
        let rest = [&octets[..24], &octets[starts[cut]..]].concat();
        std::fs::write(&two, rest).expect("a file");
        if gap(&octets, &starts, cut) > 5 {
            // So long a silence: two captures, as far as anybody can tell.
            continue;
        }
        let whole = told(&[file], 0);
        let cut_in_two = told(&[&one, &two], cut);
        assert_eq!(whole, cut_in_two, "{} cut at {cut}", file.display());
        if compared % 4 == 0 {
            for session in 1..=whole.len().min(3) {
                assert_eq!(
                    extracted(session, &[file], &part(3)),
                    extracted(session, &[&one, &two], &part(3)),
                    "session {session} of {} cut at {cut}",
                    file.display()
                );
            }
        }
        compared += 1;
    }
    let _ = (std::fs::remove_file(one), std::fs::remove_file(two));
    assert!(compared > 50, "{compared} captures");
}

/// The frames of a session, as `extract` writes them.
fn extracted(session: usize, files: &[&Path], out: &Path) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_vpnscope"))
        .args(["extract", "--session", &session.to_string(), "-o"])
        .arg(out)
        .args(files)
        .output()
        .expect("vpnscope runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let octets = std::fs::read(out).expect("what was written");
    std::fs::remove_file(out).expect("it is ours");
    assert!(octets.len() > 24, "no frame of session {session}");
    octets
}

/// Seconds between the frames at a seam.
fn gap(octets: &[u8], starts: &[usize], cut: usize) -> i64 {
    let second = |record: usize| {
        let at = starts[record];
        i64::from(u32::from_le_bytes(octets[at..at + 4].try_into().unwrap()))
    };
    (second(cut) - second(cut - 1)).abs()
}
