//! What `extract` writes is analysed like what it was made from.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use vpnscope::desk::Filed;
use vpnscope::source::{FrameSource, file};

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vpnscope-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn extract(files: &[&Path], out: &Path, more: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_vpnscope"))
        .arg("extract")
        .args(files)
        .arg("-o")
        .arg(out)
        .args(more)
        .output()
        .unwrap()
}

fn extracted(file: &Path, out: &Path, more: &[&str]) {
    let output = extract(&[file], out, more);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", file.display());
}

/// What must be the same in both.
fn gist(filed: &[Filed]) -> Vec<String> {
    filed.iter().map(one).collect()
}

fn one(filed: &Filed) -> String {
    let (session, verdict) = (&filed.session, &filed.verdict);
    let findings: Vec<_> = verdict
        .findings
        .iter()
        .map(|f| (f.cause.code, f.confidence.word()))
        .collect();
    format!(
        "{} {:?} {:?} {} {} {} {} {:?} {:?} {findings:?}",
        session.kind.word(),
        session.client,
        session.gateway,
        session.first.time,
        session.last.time,
        session.frames,
        verdict.outcome.word(),
        verdict.stage.word(),
        verdict.cause,
    )
}

fn captures() -> Vec<PathBuf> {
    common::files(&common::repository("pcaps"), common::is_capture)
}

fn frames(path: &Path) -> Vec<(i64, u32, Vec<u8>)> {
    let mut source = file::open(path, 0).unwrap();
    let mut all = Vec::new();
    while let Some(frame) = source.next_frame() {
        all.push((frame.time.0, frame.wire_len, frame.octets.to_vec()));
    }
    assert_eq!(source.statistics().problems, [], "{}", path.display());
    all
}

#[test]
fn the_extract_of_every_capture_gives_the_same_sessions() {
    let folder = Folder::new("extract-same");
    for capture in captures() {
        let whole = gist(&common::analyze(&capture));
        for (name, more) in [
            ("all.pcapng.zst", &[][..]),
            ("snap.pcapng", &["--snap-esp", "8"]),
        ] {
            let out = folder.join(name);
            extracted(&capture, &out, more);
            let part = gist(&common::analyze(&out));
            assert_eq!(part, whole, "{} {more:?}", capture.display());
        }
    }
}

#[test]
fn shards_hold_every_frame_once() {
    let folder = Folder::new("extract-shards");
    let capture = common::repository("pcaps/perf-mixed.pcap");
    let captures = captures();
    let all: Vec<&Path> = if capture.exists() {
        vec![&capture]
    } else {
        captures.iter().map(PathBuf::as_path).collect()
    };
    let whole = folder.join("whole.pcapng");
    assert!(extract(&all, &whole, &[]).status.success());
    let mut parts = Vec::new();
    let mut used = 0;
    for shard in ["1/3", "2/3", "3/3"] {
        let out = folder.join("part.pcapng.gz");
        assert!(extract(&all, &out, &["--shard", shard]).status.success());
        let part = frames(&out);
        used += usize::from(!part.is_empty());
        parts.extend(part);
    }
    assert!(used > 1, "addresses spread");
    let mut whole = frames(&whole);
    whole.sort();
    parts.sort();
    assert!(
        whole == parts,
        "{} frames, {} in parts",
        whole.len(),
        parts.len()
    );
}

#[test]
fn the_frames_of_one_session_are_that_session() {
    let folder = Folder::new("extract-session");
    let out = folder.join("one.pcapng");
    let mut sessions = 0;
    for capture in captures() {
        let whole = common::analyze(&capture);
        for filed in whole.iter().take(3) {
            sessions += 1;
            let number = filed.session.id.to_string();
            extracted(&capture, &out, &["--session", &number]);
            let part = common::analyze(&out);
            let same = |f: &&Filed| {
                let (a, b) = (&f.session, &filed.session);
                (a.client, a.gateway, a.first.time, a.last.time, a.frames)
                    == (b.client, b.gateway, b.first.time, b.last.time, b.frames)
            };
            assert!(
                part.iter().find(same).is_some(),
                "{} session {number}: {}\nof {:#?}",
                capture.display(),
                one(filed),
                gist(&part)
            );
        }
    }
    assert!(sessions > 40);
}

#[test]
fn ordinary_traffic_stays_behind_and_connections_that_turn_out_to_be_ours_come_whole() {
    let folder = Folder::new("extract-ordinary");
    let out = folder.join("some.pcapng");
    let ours = captures()
        .into_iter()
        .find(|p| p.ends_with("ikev2-psk-mismatch/client.pcap"));
    let ours = ours.unwrap();
    // The rest is ARP.
    let count = common::analyze(&ours)[0].session.frames;
    let plain = folder.join("plain.pcap");
    common::extracts::ordinary(&plain);
    let output = extract(&[&ours, &plain], &out, &[]);
    assert!(output.status.success());
    assert_eq!(frames(&out).len() as u64, count);
}

#[test]
fn an_input_is_never_overwritten_and_faults_are_said_in_one_line() {
    let folder = Folder::new("extract-refuse");
    let copy = folder.join("copy.pcap");
    std::fs::copy(
        common::repository("pcaps/ikev2-psk-mismatch/client.pcap"),
        &copy,
    )
    .unwrap();
    let before = std::fs::read(&copy).unwrap();
    let link = folder.join("link.pcap");
    std::fs::hard_link(&copy, &link).unwrap();
    let nowhere = folder.join("no/such/folder.pcap");
    for (out, more) in [
        (&copy, &[][..]),
        (&link, &[]),
        (&nowhere, &[]),
        (&folder.join("x.pcapng"), &["--shard", "9/4"]),
    ] {
        let output = extract(&[&copy], out, more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{}", out.display());
        assert!(
            said.lines().filter(|l| !l.trim().is_empty()).count() <= 3,
            "{said}"
        );
        assert_eq!(std::fs::read(&copy).unwrap(), before);
    }
}
