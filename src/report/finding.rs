//! Findings: what is wrong, or worth knowing, and the frames that prove it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::diagnose::{Confidence, Finding, Severity};
use crate::track::session::Kind;

/// One thing that is wrong, or worth knowing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FindingReport {
    /// Cause code.
    pub code: &'static str,
    /// `error`, `warning` or `info`.
    pub severity: &'static str,
    /// `certain`, `likely` or `possible`.
    pub confidence: &'static str,
    /// Stage.
    pub stage: &'static str,
    /// One sentence with the numbers of this session.
    pub summary: String,
    /// The frames that prove it.
    pub evidence: Vec<EvidenceReport>,
    /// What it may be, where encryption hides it.
    pub candidates: Vec<&'static str>,
    /// What it cannot be.
    pub excluded: Vec<ExcludedReport>,
    /// What to do.
    pub remedies: Vec<String>,
    /// What users see.
    pub seen_as: Vec<SeenAs>,
    /// What capture or key would settle it.
    pub needs: Option<String>,
}

/// A frame and what it shows.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EvidenceReport {
    /// Capture, from 0.
    pub capture: u16,
    /// Frame number.
    pub frame: u64,
    /// What it shows.
    pub what: String,
}

/// A cause that was considered and cannot be.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ExcludedReport {
    /// Code.
    pub code: &'static str,
    /// Why not.
    pub because: String,
}

/// A code that users of a product see.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct SeenAs {
    /// Product.
    pub product: String,
    /// Code or message.
    pub code: String,
}

pub(super) fn finding(finding: &Finding, kind: Kind) -> FindingReport {
    let mut remedies = finding.remedies.clone();
    let general = !finding.specific && finding.severity != Severity::Info;
    if general || remedies.is_empty() {
        // What the rule said for this session is not said again.
        let others = finding.cause.remedies.iter();
        let others = others.filter(|other| !finding.remedies.iter().any(|own| own == *other));
        remedies.extend(others.map(ToString::to_string));
    }
    let open = !finding.candidates.is_empty() || finding.confidence != Confidence::Certain;
    FindingReport {
        code: finding.cause.code,
        severity: finding.severity.word(),
        confidence: finding.confidence.word(),
        stage: finding.stage.word(),
        summary: finding.summary.clone(),
        evidence: finding
            .evidence
            .iter()
            .map(|e| EvidenceReport {
                capture: e.at.capture(),
                frame: e.at.frame(),
                what: e.what.clone(),
            })
            .collect(),
        candidates: finding.candidates.clone(),
        excluded: finding
            .excluded
            .iter()
            .map(|e| ExcludedReport {
                code: e.code,
                because: e.because.clone(),
            })
            .collect(),
        remedies,
        seen_as: seen_as(finding, kind),
        needs: finding.needs.clone().or_else(|| {
            finding
                .cause
                .needs
                .filter(|_| open)
                .map(ToString::to_string)
        }),
    }
}

/// What users see of the cause, and of those that it may be.
fn seen_as(finding: &Finding, kind: Kind) -> Vec<SeenAs> {
    let mut codes = vec![finding.cause.code];
    codes.extend(&finding.candidates);
    crate::explain::seen_in(kind.word(), &codes)
}
