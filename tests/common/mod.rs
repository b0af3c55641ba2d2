//! What the integration tests share.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code; each test uses a part of it"
)]

use std::path::{Path, PathBuf};

use vpnscope::assemble::ip;
use vpnscope::desk::{Desk, Filed};
use vpnscope::source::{FrameSource, file};
use vpnscope::track::{self, Change};
use vpnscope::walk::Walk;

pub mod damage;
pub mod run;
pub mod score;
pub mod wrap;

/// A folder of the repository.
pub fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The larger corpus, where the environment names one; says so where it does not.
pub fn corpus(what: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("VPNSCOPE_CORPUS")
        .map(PathBuf::from)
        .filter(|p| p.is_dir());
    if folder.is_none() {
        assert!(
            std::env::var_os("VPNSCOPE_REQUIRE").is_none(),
            "VPNSCOPE_REQUIRE is set and VPNSCOPE_CORPUS names no folder"
        );
        println!("skipped: {what}: VPNSCOPE_CORPUS names no folder");
    }
    folder
}

/// All sessions of a capture with their verdicts, in order of opening.
pub fn analyze(path: &Path) -> Vec<Filed> {
    let mut source = file::open(path, 0).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut walk = Walk::new(ip::Config::default(), track::Config::default());
    let mut desk = Desk::default();
    let mut filed = Vec::new();
    while let Some(frame) = source.next_frame() {
        walk.frame(&frame);
        while let Some(Change::Closed(session)) = walk.poll() {
            filed.push(desk.close(session));
        }
    }
    walk.finish();
    desk.capture_ended(source.statistics());
    let mut last = Vec::new();
    while let Some(Change::Closed(session)) = walk.poll() {
        last.push(session);
    }
    filed.extend(desk.close_all(last));
    filed.sort_by_key(|f| f.session.id);
    filed
}

/// Every file below a folder that satisfies a condition, sorted.
pub fn files(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in
            std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        {
            let path = entry.expect("a folder entry").path();
            if path.is_dir() {
                open.push(path);
            } else if wanted(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Whether a path names a capture.
pub fn is_capture(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_string();
    [".pcap", ".pcapng", ".pcap.gz", ".pcap.zst", ".cap"]
        .iter()
        .any(|end| name.ends_with(end))
}
