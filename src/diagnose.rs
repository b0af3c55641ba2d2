//! Turns facts into findings.
//!
//! A *family* asks one question of a session ("did the peers agree on a proposal?") and owns
//! the causes it may name; its file holds the code, the explanation, the evidence it needs
//! and the remedies. Rules see facts, never octets. The engine, not the rule, weighs what the
//! capture could not show: every finding says what it rests on ([`Basis`]), and
//! `weigh` lowers or withdraws what the vantage point cannot carry.

use std::fmt;

pub use context::{Attempt, CaptureFacts, Context};

use crate::track::Lone;
use crate::track::session::{Session, Side, Stamp, Step};

mod context;
pub mod ike1;
pub mod ike2;
mod memo;
pub mod mtu;
pub mod rules;
pub mod tls;
pub mod traps;
mod weigh;

/// How a session went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It works.
    Established,
    /// It does not.
    Failed,
    /// It works, but not as intended.
    Degraded,
    /// The capture starts too late, ends too early, or shows too little to tell.
    Incomplete,
}

impl Outcome {
    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::Failed => "failed",
            Self::Degraded => "degraded",
            Self::Incomplete => "incomplete",
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The connection failed because of it.
    Error,
    /// The connection suffers from it.
    Warning,
    /// Worth knowing; changes neither outcome nor cause.
    Info,
}

impl Severity {
    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Several causes fit, or something speaks against it.
    Possible,
    /// A pattern of lengths, order and timing, and nothing speaks against it.
    Likely,
    /// In clear, and nothing speaks against it.
    Certain,
}

impl Confidence {
    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }
}

macro_rules! stages {
    ($($(#[$doc:meta])* $name:ident = $word:literal),* $(,)?) => {
        /// Where on the way a session is, in the order in which they are reached.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Stage { $($(#[$doc])* $name),* }

        impl Stage {
            /// All stages in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word of the report.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

stages! {
    /// Looking up the gateway's name.
    Dns = "dns",
    /// The first packet and its first answer.
    Reachability = "reachability",
    /// `IKE_SA_INIT`, main mode 1–4, aggressive mode 1–2.
    IkeNegotiation = "ike-negotiation",
    /// The move to UDP 4500.
    IkeNatTraversal = "ike-nat-traversal",
    /// `IKE_AUTH`, main mode 5–6, aggressive mode 3, EAP.
    IkeAuthentication = "ike-authentication",
    /// XAUTH, mode config, configuration payloads.
    IkeConfiguration = "ike-configuration",
    /// Quick mode, `CREATE_CHILD_SA`, the child in `IKE_AUTH`.
    IpsecChild = "ipsec-child",
    /// ESP.
    EspData = "esp-data",
    /// L2TP tunnel and session set-up.
    L2tpControl = "l2tp-control",
    /// PPP link control.
    PppLcp = "ppp-lcp",
    /// PPP authentication.
    PppAuthentication = "ppp-authentication",
    /// PPP network control.
    PppNetwork = "ppp-network",
    /// The TCP handshake.
    TcpConnect = "tcp-connect",
    /// The TLS handshake.
    TlsHandshake = "tls-handshake",
    /// The login inside TLS.
    VpnLogin = "vpn-login",
    /// The DTLS handshake.
    DtlsHandshake = "dtls-handshake",
    /// Data in the TLS or DTLS tunnel.
    TunnelData = "tunnel-data",
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A cause that findings name: its code is stable and never reused.
#[derive(Debug)]
pub struct Cause {
    /// Kebab-case words.
    pub code: &'static str,
    /// One line, lower case, without full stop.
    pub title: &'static str,
    /// Markdown with the sections of [`SECTIONS`]; what `explain` prints.
    pub explanation: &'static str,
    /// What to do, the likeliest first.
    pub remedies: &'static [&'static str],
    /// What would settle what the capture leaves open.
    pub needs: Option<&'static str>,
    /// The source file that holds it.
    pub file: &'static str,
}

/// The sections that every explanation has, in order.
pub const SECTIONS: &[&str] = &[
    "## What it means",
    "## What is seen",
    "## Likely causes",
    "## What to check on each side",
    "## When this is wrong",
];

/// Declares a [`Cause`]; its doc comment is the explanation.
macro_rules! cause {
    (
        $(#[doc = $doc:literal])*
        $vis:vis static $name:ident = {
            code: $code:literal,
            title: $title:literal,
            remedies: [$($remedy:literal),* $(,)?],
            $(needs: $needs:literal,)?
        }
    ) => {
        $(#[doc = $doc])*
        $vis static $name: $crate::diagnose::Cause = $crate::diagnose::Cause {
            code: $code,
            title: $title,
            explanation: concat!($($doc, "\n",)*),
            remedies: &[$($remedy),*],
            needs: cause!(@needs $($needs)?),
            file: file!(),
        };
    };
    (@needs $needs:literal) => { Some($needs) };
    (@needs) => { None };
}
pub(crate) use cause;

std::thread_local! {
    /// Nobody will read the sentences of the verdict that is being made.
    static BRIEF: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether sentences are left out: see [`diagnose_briefly`].
pub(crate) fn is_brief() -> bool {
    BRIEF.get()
}

/// As [`format!`], for the sentences of findings: nothing where nobody will read them.
macro_rules! say {
    ($($text:tt)*) => {
        if $crate::diagnose::is_brief() {
            String::new()
        } else {
            format!($($text)*)
        }
    };
}
pub(crate) use say;

/// A sentence that is kept, unless nobody will read it.
fn kept(text: impl Into<String>) -> String {
    if is_brief() {
        String::new()
    } else {
        text.into()
    }
}

/// What a finding rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// A message in clear that says so.
    Seen,
    /// Arithmetic that leaves no other possibility, whatever is encrypted.
    Proven,
    /// Order, direction and arithmetic of what was seen.
    Inferred,
    /// Something that did not come. What a capture does not show may still have happened.
    Absence {
        /// Whose messages are missing.
        of: Side,
    },
}

/// A frame and what it proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The frame.
    pub at: Stamp,
    /// What it shows.
    pub what: String,
}

/// A cause that was considered and cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excluded {
    /// Its code.
    pub code: &'static str,
    /// Why not.
    pub because: String,
}

/// One thing that is wrong, or worth knowing, with its proof.
#[must_use]
#[derive(Debug, Clone)]
pub struct Finding {
    /// The cause.
    pub cause: &'static Cause,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// Where it stopped.
    pub stage: Stage,
    /// What becomes of the session if this is the primary finding.
    pub outcome: Outcome,
    /// What it rests on.
    pub basis: Basis,
    /// One sentence with the numbers of this session.
    pub summary: String,
    /// The frames.
    pub evidence: Vec<Evidence>,
    /// What it may be, where encryption hides which.
    pub candidates: Vec<&'static str>,
    /// What it cannot be.
    pub excluded: Vec<Excluded>,
    /// Remedies of this session, before those of the cause.
    pub remedies: Vec<String>,
    /// Whether those are all: the cause's own would mislead here.
    pub specific: bool,
    /// What would settle it, where that differs from the cause's.
    pub needs: Option<String>,
}

impl Finding {
    /// A failure: severity error, outcome failed, as sure as its basis allows.
    pub fn failure(cause: &'static Cause, stage: Stage, basis: Basis, summary: String) -> Self {
        let confidence = match basis {
            Basis::Seen | Basis::Proven => Confidence::Certain,
            Basis::Inferred | Basis::Absence { .. } => Confidence::Likely,
        };
        Self {
            cause,
            severity: Severity::Error,
            confidence,
            stage,
            outcome: Outcome::Failed,
            basis,
            summary,
            evidence: Vec::new(),
            candidates: Vec::new(),
            excluded: Vec::new(),
            remedies: Vec::new(),
            specific: false,
            needs: None,
        }
    }

    /// Something that makes a working session worse.
    pub fn degradation(cause: &'static Cause, stage: Stage, basis: Basis, summary: String) -> Self {
        Self {
            severity: Severity::Warning,
            outcome: Outcome::Degraded,
            ..Self::failure(cause, stage, basis, summary)
        }
    }

    /// Something worth knowing.
    pub fn info(cause: &'static Cause, stage: Stage, basis: Basis, summary: String) -> Self {
        Self {
            severity: Severity::Info,
            outcome: Outcome::Established,
            ..Self::failure(cause, stage, basis, summary)
        }
    }

    /// The same, but the capture cannot tell: outcome incomplete.
    pub fn inconclusive(mut self) -> Self {
        self.outcome = Outcome::Incomplete;
        self.confidence = Confidence::Possible;
        self
    }

    /// With this confidence.
    pub fn sure(mut self, confidence: Confidence) -> Self {
        self.confidence = confidence;
        self
    }

    /// With a frame as evidence.
    pub fn frame(mut self, at: Stamp, what: impl Into<String>) -> Self {
        self.note(at, what);
        self
    }

    /// With several.
    pub fn frames<T: Into<String>>(mut self, all: impl Iterator<Item = (Stamp, T)>) -> Self {
        let (least, most) = all.size_hint();
        self.evidence.reserve(most.unwrap_or(least).min(16));
        for (at, what) in all {
            self.note(at, what);
        }
        self
    }

    fn note(&mut self, at: Stamp, what: impl Into<String>) {
        if self
            .evidence
            .iter()
            .all(|known| (known.at.capture(), known.at.frame()) != (at.capture(), at.frame()))
        {
            self.evidence.push(Evidence {
                at,
                what: kept(what),
            });
        }
    }

    /// With a step and its retransmissions as evidence.
    pub fn step(mut self, step: &Step, what: &str) -> Self {
        self = self.frame(step.at, say!("{}{what}", step.message));
        for frame in step
            .frames
            .iter()
            .filter(|frame| **frame != step.at.frame())
        {
            self = self.frame(step.at.in_frame(*frame), "part of the same message");
        }
        for (n, stamp) in (1u32..).zip(step.repeats.stamps.iter()) {
            self = self.frame(*stamp, say!("{}, retransmission {n}", step.message));
        }
        self
    }

    /// With causes that it may be.
    pub fn candidates(mut self, codes: &[&'static str]) -> Self {
        self.candidates.extend_from_slice(codes);
        self
    }

    /// Without a cause that it cannot be.
    pub fn exclude(mut self, code: &'static str, because: impl Into<String>) -> Self {
        self.candidates.retain(|candidate| *candidate != code);
        self.excluded.push(Excluded {
            code,
            because: kept(because),
        });
        self
    }

    /// With a remedy for this session.
    pub fn remedy(mut self, text: impl Into<String>) -> Self {
        self.remedies.push(kept(text));
        self
    }

    /// With no remedies but those of this session.
    pub fn specific(mut self) -> Self {
        self.specific = true;
        self
    }

    /// With what would settle it.
    pub fn needs(mut self, text: impl Into<String>) -> Self {
        self.needs = Some(kept(text));
        self
    }
}

/// What rules collect.
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    /// Adds a finding.
    pub fn push(&mut self, finding: Finding) {
        self.list.push(finding);
    }

    /// Whether a cause was already found.
    pub fn has(&self, code: &str) -> bool {
        self.list.iter().any(|finding| finding.cause.code == code)
    }

    /// Whether anything that is more than worth knowing was found.
    pub fn any_trouble(&self) -> bool {
        self.list
            .iter()
            .any(|finding| finding.severity != Severity::Info)
    }

    /// All findings so far.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.list.iter()
    }

    /// Takes a finding back that a later family explains better.
    pub fn withdraw(&mut self, code: &str) {
        self.list.retain(|finding| finding.cause.code != code);
    }
}

/// A question put to every session.
#[derive(Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// The causes it may name.
    pub causes: &'static [&'static Cause],
    /// Asks.
    pub check: fn(&Session, &Context, &mut Findings),
}

/// What became of a session, and why.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Outcome.
    pub outcome: Outcome,
    /// The last stage reached; for a failure the one where it stopped.
    pub stage: Stage,
    /// The primary finding's cause.
    pub cause: Option<&'static str>,
    /// How sure.
    pub confidence: Confidence,
    /// Findings by severity, confidence, stage.
    pub findings: Vec<Finding>,
    /// What in this capture misleads, and was weighed.
    pub traps: Vec<traps::Trap>,
}

/// How far a session came, judged without any finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The last stage reached.
    pub stage: Stage,
    /// Whether it works as far as one can see, or why that cannot be said.
    pub outcome: Outcome,
    /// How sure that is.
    pub confidence: Confidence,
}

/// Diagnoses one session.
pub fn diagnose(session: &Session, context: &Context) -> Verdict {
    let _scope = memo::Scope::of(session, context);
    let mut findings = Findings::default();
    for family in rules::FAMILIES {
        (family.check)(session, context, &mut findings);
    }
    let progress = rules::progress(session);
    let mut list = weigh::weigh(findings.list, session, context);
    let rank = |f: &Finding| (f.severity, std::cmp::Reverse(f.confidence), f.stage);
    list.sort_by_key(rank);
    let settled = progress.outcome == Outcome::Established;
    let traps = traps::notice(session, context, &mut list, settled);
    list.sort_by_key(rank);
    let primary = list
        .iter()
        .find(|finding| finding.severity != Severity::Info);
    let (outcome, stage, cause, confidence) = match primary {
        Some(finding) => (
            finding.outcome,
            finding.stage,
            Some(finding.cause.code),
            finding.confidence,
        ),
        None => (progress.outcome, progress.stage, None, progress.confidence),
    };
    let cause = cause.filter(|_| outcome != Outcome::Established);
    Verdict {
        outcome,
        stage,
        cause,
        confidence,
        findings: list,
        traps,
    }
}

/// As [`diagnose`], without the sentences: outcome, stage, cause and codes are the same.
pub fn diagnose_briefly(session: &Session, context: &Context) -> Verdict {
    BRIEF.set(true);
    let verdict = diagnose(session, context);
    BRIEF.set(false);
    verdict
}

/// The outcome and the cause that [`diagnose`] finds for a session of ESP alone, without building
/// it.
pub fn diagnose_lone(lone: &Lone) -> (Outcome, Option<&'static str>) {
    (Outcome::Incomplete, rules::esp::alone(lone))
}

/// Every cause of every family.
pub fn causes() -> impl Iterator<Item = &'static Cause> {
    rules::FAMILIES
        .iter()
        .flat_map(|family| family.causes.iter().copied())
}
