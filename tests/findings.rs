//! Every labelled capture, judged against its truth: outcome, cause, stage, count, evidence.
//! A certain claim that the truth does not hold fails the test at once; so does a failure
//! reported where all is well.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test code"
)]

mod common;

use std::path::Path;

use common::score::Score;
use serde_json::Value;

fn score(folder: &Path) -> Score {
    let mut score = Score::default();
    for truth in common::files(folder, |p| p.ends_with("truth.json")) {
        let scenario = truth.parent().expect("a folder");
        let text = std::fs::read_to_string(&truth).unwrap();
        let truth: Value =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", scenario.display()));
        for (file, expect) in truth["expect"].as_object().expect("expectations") {
            if file != "compare" {
                let name = format!("{}/{file}", scenario.file_name().unwrap().to_string_lossy());
                score.capture(&name, &common::analyze(&scenario.join(file)), expect);
            }
        }
    }
    score
}

fn hold(score: &Score, what: &str, least_right: f64) {
    score.print(what);
    assert!(
        score.certain_and_wrong.is_empty(),
        "certain and wrong: {:#?}",
        score.certain_and_wrong
    );
    assert!(
        score.false_alarm.is_empty(),
        "false alarms: {:#?}",
        score.false_alarm
    );
    // Where the truth allows it, most right answers say so.
    assert!(
        score.is_certain * 100 >= score.could_be_certain * 60,
        "{what}: only {} of {} right answers are certain",
        score.is_certain,
        score.could_be_certain
    );
    let share = f64::from(score.right) / f64::from(score.files);
    assert!(
        share >= least_right,
        "{what}: only {:.1} % right",
        share * 100.0
    );
}

#[test]
fn labelled_captures_are_judged_right() {
    let score = score(&common::repository("pcaps"));
    assert!(score.files >= 40, "the labelled captures are missing");
    hold(&score, "pcaps", 0.97);
}

#[test]
fn the_larger_corpus_is_judged_right() {
    let Some(corpus) = common::corpus("larger labelled corpus") else {
        return;
    };
    if corpus.join("lab").is_dir() {
        hold(&score(&corpus.join("lab")), "corpus", 0.97);
    } else {
        println!("skipped: the corpus has no lab folder");
    }
}
