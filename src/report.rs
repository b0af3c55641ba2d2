//! The serialised model of `analyze`: what other programs rely on.
//!
//! Built from sessions and verdicts; formats nothing. Fields may be added; one that stands
//! here keeps its name, type and meaning.

use schemars::JsonSchema;
use serde::Serialize;

mod capture;
pub mod compare;
pub mod decode;
mod finding;
mod ike1;
mod ike2;
mod l2tp;
pub mod replay;
mod session;
mod summary;
mod tls;
mod vantage;

pub use capture::{CaptureReport, ExpectedReport, ProblemReport, capture};
pub use finding::{EvidenceReport, ExcludedReport, FindingReport, SeenAs};
pub use session::{Both, Counters, EndpointReport, EspReport, Rung, SessionReport, session};
pub use summary::{Evicted, OtherVpns, Summary};
pub use vantage::{StandsReport, TrapReport, VantageReport};

/// The name and version of this model.
pub const SCHEMA: &str = "vpnscope.report/1";

/// What `analyze --format json` prints.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Report {
    /// `vpnscope.report/1`.
    pub schema: &'static str,
    /// The inputs.
    pub captures: Vec<CaptureReport>,
    /// One entry for each attempt of one client at one gateway.
    pub sessions: Vec<SessionReport>,
    /// Counts over all sessions.
    pub summary: Summary,
    /// Clients that should have shown up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<ExpectedReport>,
    /// What else could be done with these captures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}
