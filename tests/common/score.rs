//! Scores sessions against the truth of a labelled capture.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test code; each test uses a part of it"
)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use vpnscope::desk::Filed;
use vpnscope::diagnose::{Confidence, Outcome};

/// What one capture scored.
#[derive(Debug, Default)]
pub struct Score {
    pub files: u32,
    pub right: u32,
    pub stage: u32,
    pub count: u32,
    pub evidence: u32,
    /// Right answers that the truth allows to be certain, and those that are.
    pub could_be_certain: u32,
    pub is_certain: u32,
    /// Right answers by cause: those that may be certain, and those that are.
    pub sure: BTreeMap<String, (u32, u32)>,
    pub wrong: Vec<String>,
    pub certain_and_wrong: Vec<String>,
    pub false_alarm: Vec<String>,
    pub confusion: BTreeMap<(String, String), u32>,
}

pub fn strings(value: &Value) -> BTreeSet<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(String::from)
        .collect()
}

pub fn says(filed: &Filed) -> String {
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

pub fn matches(filed: &Filed, accept: &Value) -> bool {
    let causes = &accept["causes"];
    strings(&accept["outcome"]).contains(filed.verdict.outcome.word())
        && (causes.is_null()
            || filed
                .verdict
                .cause
                .is_some_and(|c| strings(causes).contains(c)))
}

pub fn at_stage(filed: &Filed, accept: &Value) -> bool {
    matches(filed, accept)
        && (accept["stages"].is_null()
            || strings(&accept["stages"]).contains(filed.verdict.stage.word()))
}

impl Score {
    pub fn capture(&mut self, name: &str, filed: &[Filed], expect: &Value) {
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
            .map(|e| e.at.frame())
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
        let may = |f: &&&Filed| f.verdict.cause.is_some_and(|cause| certain.contains(cause));
        if let Some(right) = right.filter(may) {
            self.could_be_certain += 1;
            let sure = right.verdict.confidence == Confidence::Certain;
            self.is_certain += u32::from(sure);
            let cause = right.verdict.cause.unwrap_or(right.verdict.outcome.word());
            let (may, are) = self.sure.entry(cause.to_string()).or_default();
            *may += 1;
            *are += u32::from(sure);
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

    pub fn print(&self, what: &str) {
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
        println!("  cause told: certain of those that may be");
        for (cause, (may, are)) in &self.sure {
            println!("  {cause:<40} {are:>3} of {may:>3}");
        }
        for line in &self.wrong {
            println!("  not right: {line}");
        }
    }
}
