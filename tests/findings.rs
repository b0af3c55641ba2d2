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

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use vpnscope::desk::Filed;
use vpnscope::diagnose::{Confidence, Outcome};

/// What one capture scored.
#[derive(Debug, Default)]
struct Score {
    files: u32,
    right: u32,
    stage: u32,
    count: u32,
    evidence: u32,
    /// Right answers that the truth allows to be certain, and those that are.
    could_be_certain: u32,
    is_certain: u32,
    wrong: Vec<String>,
    certain_and_wrong: Vec<String>,
    false_alarm: Vec<String>,
    confusion: BTreeMap<(String, String), u32>,
}

fn strings(value: &Value) -> BTreeSet<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(String::from)
        .collect()
}

fn says(filed: &Filed) -> String {
    let v = &filed.verdict;
    format!(
        "{} {} {} {} {}",
        filed.session.kind.word(),
        v.outcome.word(),
        v.stage.word(),
        v.cause.unwrap_or("-"),
        v.confidence.word()
    )
}

fn matches(filed: &Filed, accept: &Value) -> bool {
    let causes = &accept["causes"];
    strings(&accept["outcome"]).contains(filed.verdict.outcome.word())
        && (causes.is_null()
            || filed
                .verdict
                .cause
                .is_some_and(|c| strings(causes).contains(c)))
}

fn at_stage(filed: &Filed, accept: &Value) -> bool {
    matches(filed, accept)
        && (accept["stages"].is_null()
            || strings(&accept["stages"]).contains(filed.verdict.stage.word()))
}

impl Score {
    fn capture(&mut self, name: &str, filed: &[Filed], expect: &Value) {
        self.files += 1;
        let told: Vec<String> = filed.iter().map(says).collect();
        let settled = filed
            .iter()
            .filter(|f| f.verdict.outcome != Outcome::Incomplete)
            .count() as u64;
        if expect["none"] == true {
            let clean = settled == 0;
            self.right += u32::from(clean);
            self.stage += u32::from(clean);
            self.count += u32::from(clean);
            self.evidence += 1;
            if !clean {
                self.false_alarm.push(format!("{name}: {told:?}"));
            }
            return;
        }
        let accept = expect["accept"].as_array().cloned().unwrap_or_default();
        let may_be_incomplete = accept
            .iter()
            .any(|a| strings(&a["outcome"]) == BTreeSet::from(["incomplete".to_string()]));
        self.count += u32::from(
            expect["count"].as_u64() == Some(settled) || settled == 0 && may_be_incomplete,
        );
        self.evidence(filed, expect);
        let (right, stage) = match expect["sessions"].as_object() {
            Some(clients) => clients
                .iter()
                .fold((true, true), |(right, stage), (ip, accept)| {
                    let mine: Vec<&Filed> = filed
                        .iter()
                        .filter(|f| f.session.client.ip.to_string() == *ip)
                        .collect();
                    let (r, s) = self.judge(name, &mine, accept.as_array().expect("a list"));
                    (right && r, stage && s)
                }),
            None => self.judge(name, &filed.iter().collect::<Vec<_>>(), &accept),
        };
        self.right += u32::from(right);
        self.stage += u32::from(stage);
        if !right {
            self.wrong.push(format!("{name}: {told:?}"));
        }
    }

    fn evidence(&mut self, filed: &[Filed], expect: &Value) {
        let wanted: BTreeSet<u64> = expect["key_frames"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_u64)
            .collect();
        let shown: BTreeSet<u64> = filed
            .iter()
            .flat_map(|f| &f.verdict.findings)
            .flat_map(|f| &f.evidence)
            .map(|e| e.at.frame)
            .collect();
        let healthy = filed
            .iter()
            .all(|f| f.verdict.outcome == Outcome::Established);
        let fine = wanted.is_empty() || !wanted.is_disjoint(&shown) || healthy;
        self.evidence += u32::from(fine);
    }

    fn judge(&mut self, name: &str, filed: &[&Filed], accept: &[Value]) -> (bool, bool) {
        let right = filed.iter().find(|f| accept.iter().any(|a| matches(f, a)));
        let stage = filed.iter().any(|f| accept.iter().any(|a| at_stage(f, a)));
        let certain: BTreeSet<String> =
            accept.iter().flat_map(|a| strings(&a["certain"])).collect();
        let healthy = accept
            .iter()
            .all(|a| strings(&a["outcome"]) == BTreeSet::from(["established".to_string()]));
        if let Some(right) = right.filter(|_| !certain.is_empty()) {
            self.could_be_certain += 1;
            self.is_certain += u32::from(right.verdict.confidence == Confidence::Certain);
        }
        for f in filed.iter().filter(|f| f.is_trouble()) {
            if healthy {
                self.false_alarm.push(format!("{name}: {}", says(f)));
            }
            let claim = f.verdict.cause.unwrap_or_default();
            if f.verdict.confidence == Confidence::Certain && !certain.contains(claim) {
                self.certain_and_wrong.push(format!("{name}: {}", says(f)));
            }
        }
        let expected = accept.first().map(|a| {
            strings(&a["outcome"])
                .into_iter()
                .collect::<Vec<_>>()
                .join("|")
        });
        let got = filed
            .first()
            .map_or("nothing", |f| f.verdict.outcome.word());
        *self
            .confusion
            .entry((expected.unwrap_or_default(), got.to_string()))
            .or_default() += 1;
        (right.is_some(), stage)
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: {} files, {} right, {} stage, {} count, {} evidence; certain {} of {} that may be",
            self.files,
            self.right,
            self.stage,
            self.count,
            self.evidence,
            self.is_certain,
            self.could_be_certain
        );
        println!("  expected outcome -> told: files");
        for ((expected, got), count) in &self.confusion {
            println!("  {expected:<24} -> {got:<12} {count}");
        }
        for line in &self.wrong {
            println!("  not right: {line}");
        }
    }
}

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
