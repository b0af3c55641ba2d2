//! Every input that a fuzzer ever found something with, once more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test code"
)]

mod common;

#[path = "../fuzz/harness.rs"]
mod harness;

use std::collections::BTreeSet;

#[test]
fn old_findings_stay_found() {
    let folder = common::repository("fuzz/regressions");
    assert!(folder.is_dir(), "fuzz/regressions is missing");
    let mut replayed = BTreeSet::new();
    for (name, run) in harness::TARGETS {
        let inputs = folder.join(name);
        assert!(
            inputs.is_dir(),
            "{} is missing: each target has a folder, with a seed at least",
            inputs.display()
        );
        for path in common::files(&inputs, |_| true) {
            let octets = std::fs::read(&path).unwrap();
            println!("{}", path.display());
            run(&octets);
            replayed.insert(*name);
        }
    }
    assert_eq!(
        replayed.len(),
        harness::TARGETS.len(),
        "a target has no input to replay: {replayed:?}"
    );
}

#[test]
fn every_target_is_one_that_is_replayed() {
    let programs: BTreeSet<String> =
        common::files(&common::repository("fuzz/fuzz_targets"), |_| true)
            .iter()
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
    let replayed: BTreeSet<String> = harness::TARGETS
        .iter()
        .map(|(name, _)| (*name).to_string())
        .collect();
    assert_eq!(programs, replayed);
}
