//! The model of `explain --format json`.

use schemars::JsonSchema;
use serde::Serialize;

use super::catalogue::{Catalogue, Cause, Entry, EntryKind, Stage};
use super::lookup::Found;
use crate::report::EvidenceReport;

/// Name and version of the model.
pub const SCHEMA: &str = "vpnscope.explain/1";

/// How many checks an answer lists.
pub(super) const CHECKS: usize = 12;

/// What a query means.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Explanation {
    /// Always `vpnscope.explain/1`.
    pub schema: &'static str,
    /// What was asked.
    pub query: String,
    /// What it names, best match first.
    pub matches: Vec<Match>,
}

/// What kind of thing a query names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MatchKind {
    /// A cause of the catalogue.
    Cause,
    /// A stage of the ladder.
    Stage,
    /// A code, by number or name.
    Code,
    /// A line of a log.
    LogLine,
}

/// One thing that a query names.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Match {
    /// What kind of thing it is.
    pub kind: MatchKind,
    /// Its code, or the stable part of the line.
    pub code: String,
    /// Who says it; null for causes and stages.
    pub product: Option<String>,
    /// Where on the ladder it stands.
    pub stage: String,
    /// What it means.
    pub meaning: String,
    /// What can be behind it: usual one first, or with a capture what it supports first.
    pub causes: Vec<CauseVerdict>,
    /// What to check, most promising first.
    pub check: Vec<String>,
    /// Which capture settles it.
    pub capture: String,
    /// What the capture must hold for it.
    pub shows: String,
    /// What in the capture speaks against it.
    pub against: String,
    /// Of a cause: why it usually happens, most frequent reason first.
    pub likely: Vec<String>,
    /// Whether the line also stands in connections that succeed.
    pub benign: bool,
    /// Advice often given for it that does not help.
    pub folklore: Option<String>,
    /// With a capture: why code or line and capture may be of different attempts.
    pub different_attempt: Option<String>,
}

/// One cause, and what a capture says of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CauseVerdict {
    /// The cause.
    pub code: String,
    /// Whether the capture supports it; null without a capture, or where it cannot tell.
    pub supported: Option<bool>,
    /// Why; without a capture, how the cause shows on the wire.
    pub because: String,
    /// The frames that say so.
    pub evidence: Vec<EvidenceReport>,
}

impl Explanation {
    /// The answer to `query`.
    pub(super) fn new(catalogue: &Catalogue, query: &str, found: &[Found<'_>]) -> Self {
        let matches = found
            .iter()
            .map(|found| match found {
                Found::Cause(cause) => of_cause(cause),
                Found::Stage(stage) => of_stage(catalogue, stage),
                Found::Entry(entry) => of_entry(catalogue, entry),
            })
            .collect();
        Self {
            schema: SCHEMA,
            query: query.to_owned(),
            matches,
        }
    }
}

fn verdict(cause: &Cause) -> CauseVerdict {
    CauseVerdict {
        code: cause.code.clone(),
        supported: None,
        because: cause.shows.clone(),
        evidence: Vec::new(),
    }
}

fn checks_of(cause: &Cause) -> impl Iterator<Item = String> {
    let client = cause.client.iter().map(|check| format!("Client: {check}"));
    let gateway = cause
        .gateway
        .iter()
        .map(|check| format!("Gateway: {check}"));
    client.chain(gateway)
}

fn of_cause(cause: &Cause) -> Match {
    let meaning = match &cause.keys {
        Some(keys) => format!("{} With keys or a log: {}", cause.meaning, keys),
        None => cause.meaning.clone(),
    };
    Match {
        kind: MatchKind::Cause,
        code: cause.code.clone(),
        product: None,
        stage: cause.usual_stage().to_owned(),
        meaning,
        causes: vec![verdict(cause)],
        check: checks_of(cause).collect(),
        capture: cause.capture.clone(),
        shows: cause.shows.clone(),
        against: when_wrong(&cause.code),
        likely: likely(&cause.code),
        benign: false,
        folklore: None,
        different_attempt: None,
    }
}

/// When the rule that names the cause is wrong, as its own explanation says.
fn when_wrong(code: &str) -> String {
    of_rule(code, "When this is wrong")
        .collect::<Vec<_>>()
        .join(" ")
}

/// Why the cause usually happens, as the explanation of its rule says.
pub(super) fn likely(code: &str) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for line in of_rule(code, "Likely causes") {
        match (line.strip_prefix("- "), reasons.last_mut()) {
            (Some(reason), _) => reasons.push(reason.to_owned()),
            (None, Some(reason)) => {
                reason.push(' ');
                reason.push_str(line);
            }
            (None, None) => reasons.push(line.to_owned()),
        }
    }
    reasons
}

/// The lines of a section of the explanation of the rule that names a cause; none where no
/// rule does.
fn of_rule(code: &str, title: &'static str) -> impl Iterator<Item = &'static str> {
    let rule = crate::diagnose::causes().find(|cause| cause.code == code);
    let lines = rule.map_or("", |cause| cause.explanation).lines();
    lines
        .map(str::trim)
        .skip_while(move |line| line.strip_prefix("## ") != Some(title))
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| !line.is_empty())
}

fn of_stage(catalogue: &Catalogue, stage: &Stage) -> Match {
    // The causes that usually stop a connection here before those that sometimes do.
    let usual = catalogue
        .causes()
        .iter()
        .filter(|cause| cause.usual_stage() == stage.code);
    let rare = catalogue
        .causes()
        .iter()
        .filter(|cause| cause.usual_stage() != stage.code && cause.stage.contains(&stage.code));
    let causes: Vec<&Cause> = usual.chain(rare).collect();
    Match {
        kind: MatchKind::Stage,
        code: stage.code.clone(),
        product: None,
        stage: stage.code.clone(),
        meaning: stage.meaning.clone(),
        check: spread(&causes),
        capture: causes
            .first()
            .map(|cause| cause.capture.clone())
            .unwrap_or_default(),
        causes: causes.iter().map(|cause| verdict(cause)).collect(),
        shows: stage.shows.clone(),
        against: String::new(),
        likely: Vec::new(),
        benign: false,
        folklore: None,
        different_attempt: None,
    }
}

fn of_entry(catalogue: &Catalogue, entry: &Entry) -> Match {
    let causes: Vec<&Cause> = entry
        .causes
        .iter()
        .filter_map(|code| catalogue.cause(code))
        .collect();
    let mut check = entry.check.clone();
    check.extend(spread(&causes));
    check.truncate(CHECKS);
    let capture = entry
        .capture
        .clone()
        .or_else(|| causes.first().map(|cause| cause.capture.clone()))
        .unwrap_or_else(|| "none needed: the line reports no failure".to_owned());
    Match {
        kind: match entry.kind {
            EntryKind::Code => MatchKind::Code,
            EntryKind::LogLine => MatchKind::LogLine,
        },
        code: entry.code.clone(),
        product: Some(entry.product.clone()),
        stage: entry.stage.clone(),
        meaning: entry.meaning.clone(),
        causes: causes.iter().map(|cause| verdict(cause)).collect(),
        check,
        capture,
        shows: entry.shows.clone(),
        against: entry.against.clone(),
        likely: Vec::new(),
        benign: entry.benign,
        folklore: entry.folklore.clone(),
        different_attempt: None,
    }
}

/// The first checks of each cause in turn: all of the first cause, then the first one of
/// each other.
pub(super) fn spread(causes: &[&Cause]) -> Vec<String> {
    let mut checks: Vec<String> = Vec::new();
    for (rank, cause) in causes.iter().enumerate() {
        let (client, gateway) = if rank == 0 {
            (usize::MAX, usize::MAX)
        } else {
            (1, 1)
        };
        let own = cause
            .client
            .iter()
            .take(client)
            .map(|check| format!("Client, {}: {check}", cause.code))
            .chain(
                cause
                    .gateway
                    .iter()
                    .take(gateway)
                    .map(|check| format!("Gateway, {}: {check}", cause.code)),
            );
        for check in own {
            if checks.len() < CHECKS && !checks.contains(&check) {
                checks.push(check);
            }
        }
    }
    checks
}
