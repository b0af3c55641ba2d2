//! Many processes over shards of many files tell the same as one process over all of them.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code"
)]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_vpnscope");

/// What must be the same of each session. Numbers are those of a shard.
fn sessions(ndjson: &[u8]) -> Vec<String> {
    let mut all: Vec<String> = String::from_utf8_lossy(ndjson)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["type"] == "session")
        .map(|s| {
            let of = |key: &str| s[key].to_string();
            let keys = [
                "first",
                "last",
                "kind",
                "client",
                "gateway",
                "frames",
                "outcome",
                "stage",
                "cause",
                "negotiated",
                "counters",
            ];
            keys.map(of).join(" ")
        })
        .collect();
    all.sort();
    all
}

fn scenarios() -> Vec<PathBuf> {
    // The two captures of a scenario hold the same session, so one of each.
    let all = common::files(&common::repository("pcaps"), common::is_capture);
    let mut seen = BTreeSet::new();
    all.into_iter()
        .filter(|p| seen.insert(p.parent().unwrap().to_path_buf()))
        .collect()
}

fn reduced(files: &[PathBuf], shards: &str) -> Vec<String> {
    let output = Command::new(common::repository("contrib/map-reduce.sh"))
        .args(["-n", shards, "-j", "2"])
        .args(files)
        .env("VPNSCOPE", PROGRAM)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    sessions(&output.stdout)
}

/// Whether the capture holds look-ups or logins that belong to a session of other addresses, or
/// a session of it has more than one pair of addresses.
fn moves(path: &Path) -> bool {
    let folder = path.parent().unwrap().display().to_string();
    if folder.contains("radius") || folder.contains("dns") {
        return true;
    }
    let pair = |flow: &vpnscope::decap::Flow| {
        let (a, b) = (flow.source.0, flow.destination.0);
        (a.min(b), a.max(b))
    };
    common::analyze(path).iter().any(|filed| {
        let steps = &filed.session.steps;
        let pairs: BTreeSet<_> = steps.iter().map(|step| pair(&step.flow)).collect();
        pairs.len() > 1 || filed.session.vantage.two_points || filed.session.vantage.copies > 0
    })
}

#[test]
fn many_processes_give_the_same_sessions_as_one() {
    let files = scenarios();
    let output = Command::new(PROGRAM)
        .args(["analyze", "--format", "ndjson"])
        .args(&files)
        .output()
        .unwrap();
    let one = sessions(&output.stdout);
    assert!(one.len() > 30);
    assert_eq!(one, reduced(&files, "1"));
}

#[test]
fn shards_give_the_same_sessions_where_addresses_stay() {
    let all = scenarios();
    let files: Vec<PathBuf> = all.iter().filter(|p| !moves(p)).cloned().collect();
    assert!(
        files.len() * 10 > all.len() * 8,
        "{} of {}",
        files.len(),
        all.len()
    );
    let output = Command::new(PROGRAM)
        .args(["analyze", "--format", "ndjson"])
        .args(&files)
        .output()
        .unwrap();
    let (one, many) = (sessions(&output.stdout), reduced(&files, "3"));
    assert_eq!(one.len(), many.len());
    // What other clients taught of a gateway is not known in a shard: that may weaken a verdict.
    let other = one.iter().filter(|session| !many.contains(session));
    let other: Vec<_> = other.collect();
    assert!(other.len() * 50 < one.len(), "{other:#?}");
}
