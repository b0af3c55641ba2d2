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
pub mod extracts;
pub mod program;
pub mod run;
pub mod schema;
pub mod score;
pub mod wrap;

/// The IPv4 datagrams of a labelled capture on Ethernet, with their times in nanoseconds.
pub fn datagrams(name: &str) -> Vec<(i64, Vec<u8>)> {
    let mut source = file::open(&repository("pcaps").join(name), 0).unwrap();
    let mut list = Vec::new();
    while let Some(frame) = source.next_frame() {
        let (ether_type, ip) = (&frame.octets[12..14], &frame.octets[14..]);
        if ether_type == [8, 0] {
            let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
            list.push((frame.time.0, ip[..total].to_vec()));
        }
    }
    assert!(list.len() >= 4, "{name}");
    list
}

/// A pcap file with every datagram wrapped.
pub fn capture(datagrams: &[(i64, Vec<u8>)], wrapping: &wrap::Wrapping) -> Vec<u8> {
    let mut octets = Vec::new();
    for word in [
        0xa1b2_3c4d,
        0x0004_0002,
        0,
        0,
        0xffff,
        u32::from(wrapping.link),
    ] {
        octets.extend(u32::to_le_bytes(word));
    }
    for (time, ip) in datagrams {
        let frame = (wrapping.wrap)(ip);
        let len = u32::try_from(frame.len()).unwrap();
        let second = u32::try_from(time / 1_000_000_000).unwrap();
        let nanosecond = u32::try_from(time % 1_000_000_000).unwrap();
        for word in [second, nanosecond, len, len] {
            octets.extend(word.to_le_bytes());
        }
        octets.extend(frame);
    }
    octets
}

/// What is added to fixed seeds: 0, or what `VPNSCOPE_SEED` says, to look for more.
pub fn seed() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test may look at its environment"
    )]
    let wish = std::env::var("VPNSCOPE_SEED");
    wish.ok().and_then(|s| s.parse().ok()).unwrap_or(0)
}

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
    analyze_source(file::open(path, 0).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

/// All sessions of a capture in memory.
pub fn analyze_octets(capture: Vec<u8>) -> Vec<Filed> {
    analyze_source(file::FileSource::new("memory", std::io::Cursor::new(capture), 0).unwrap())
}

fn analyze_source(mut source: file::FileSource) -> Vec<Filed> {
    let mut walk = Walk::new(ip::Config::default(), track::Config::default());
    let mut desk = Desk::default();
    let mut filed = Vec::new();
    while let Some(frame) = source.next_frame() {
        walk.frame(&frame);
        while let Some(Change::Closed(session)) = walk.poll() {
            filed.push(desk.close(session));
        }
    }
    walk.watched_until(source.statistics().ended);
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
