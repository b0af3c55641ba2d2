//! The data: causes, stages, and the crosswalk.

use std::sync::LazyLock;

use serde::Deserialize;

use super::lookup::canonical;

const CAUSES: &str = include_str!("causes.toml");
const CODES: &str = include_str!("codes.toml");

static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| {
    // A test proves that the built-in data is good; without it explain knows nothing, which
    // is no reason to end an analysis.
    Catalogue::parse(CAUSES, CODES).unwrap_or_default()
});

/// Causes, stages and the crosswalk.
#[derive(Debug, Default)]
pub struct Catalogue {
    stages: Vec<Stage>,
    causes: Vec<Cause>,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CausesFile {
    stage: Vec<Stage>,
    cause: Vec<Cause>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CodesFile {
    entry: Vec<Entry>,
}

impl Catalogue {
    /// The one that is built in.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// Reads the two files.
    pub fn parse(causes: &str, codes: &str) -> Result<Self, toml::de::Error> {
        let CausesFile { stage, cause } = toml::from_str(causes)?;
        let CodesFile { mut entry } = toml::from_str(codes)?;
        for entry in &mut entry {
            entry.spelled = Spelled::of(entry);
        }
        Ok(Self {
            stages: stage,
            causes: cause,
            entries: entry,
        })
    }

    /// The stages, in the order of the ladder.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The causes, in the order of the ladder.
    pub fn causes(&self) -> &[Cause] {
        &self.causes
    }

    /// Codes and log lines.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The cause of a code. Every `tls-alert-…` is one family.
    pub fn cause(&self, code: &str) -> Option<&Cause> {
        let code = if code.starts_with("tls-alert-") {
            "tls-alert-NAME"
        } else {
            code
        };
        self.causes.iter().find(|cause| cause.code == code)
    }

    /// The stage of a code.
    pub fn stage(&self, code: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.code == code)
    }

    /// Where a stage stands on the ladder.
    pub fn rung(&self, code: &str) -> Option<usize> {
        self.stages.iter().position(|stage| stage.code == code)
    }
}

/// A rung of the ladder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Its code.
    pub code: String,
    /// What happens there.
    pub meaning: String,
    /// Which frames belong to it.
    pub shows: String,
}

/// Something that goes wrong.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// Its code, stable.
    pub code: String,
    /// The stages where it can stop a connection, usual one first.
    pub stage: Vec<String>,
    /// What it means.
    pub meaning: String,
    /// How it shows on the wire without keys.
    pub shows: String,
    /// What keys add.
    pub keys: Option<String>,
    /// What to check at the client, most promising first.
    pub client: Vec<String>,
    /// What to check at the gateway.
    pub gateway: Vec<String>,
    /// Which capture settles it.
    pub capture: String,
}

impl Cause {
    /// The stage where it usually stops a connection.
    pub fn usual_stage(&self) -> &str {
        self.stage.first().map_or("", String::as_str)
    }
}

/// Whether an entry is a code or a line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A code or a name.
    Code,
    /// Part of a log line.
    LogLine,
}

/// When in the dial Windows emits a code: it tells the stage, and a capture of another
/// stage is of another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dial {
    /// While the tunnel is set up, before PPP.
    Tunnel,
    /// Once PPP runs.
    Ppp,
}

/// What a user reads, and what can be behind it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Code or log line.
    pub kind: EntryKind,
    /// Who says it.
    pub product: String,
    /// The code, or the stable part of the line.
    pub code: String,
    /// Other names of the same.
    #[serde(default)]
    pub names: Vec<String>,
    /// Texts that a pasted line holds; `*` stands for what varies.
    #[serde(default)]
    pub patterns: Vec<String>,
    /// The stage that it speaks of.
    pub stage: String,
    /// What can be behind it, usual one first.
    pub causes: Vec<String>,
    /// What it means.
    pub meaning: String,
    /// What the capture must hold.
    #[serde(default)]
    pub shows: String,
    /// What in the capture speaks against it.
    #[serde(default)]
    pub against: String,
    /// When Windows says it.
    pub dial: Option<Dial>,
    /// Advice often given for it that does not help.
    pub folklore: Option<String>,
    /// Whether it says itself that it is the first of its causes: it settles what encryption
    /// hides in a capture.
    #[serde(default)]
    pub names_cause: bool,
    /// Whether the line also stands in connections that succeed.
    #[serde(default)]
    pub benign: bool,
    /// Among the codes that users report most: 1 most of all.
    pub common: Option<u8>,
    /// What to check beside what the causes name.
    #[serde(default)]
    pub check: Vec<String>,
    /// Which capture settles it, where the first cause's would not.
    pub capture: Option<String>,
    /// Its words as queries are compared with them.
    #[serde(skip)]
    pub(super) spelled: Spelled,
}

/// The words of an entry, canonical, so that no query spells them anew.
#[derive(Debug, Default)]
pub(super) struct Spelled {
    /// The product.
    pub(super) product: String,
    /// The code and its other names.
    pub(super) names: Vec<String>,
    /// The patterns; of a log line the code too.
    pub(super) patterns: Vec<String>,
}

impl Spelled {
    fn of(entry: &Entry) -> Self {
        let own = (entry.kind == EntryKind::LogLine).then_some(&entry.code);
        let names = core::iter::once(&entry.code).chain(&entry.names);
        let patterns = entry.patterns.iter().chain(own);
        Self {
            product: canonical(&entry.product),
            names: names.map(|name| canonical(name)).collect(),
            patterns: patterns.map(|pattern| canonical(pattern)).collect(),
        }
    }
}

impl Entry {
    /// Whether users meet it: names of protocol codes stand in captures, not on screens.
    pub fn is_seen_by_users(&self) -> bool {
        !matches!(
            self.product.as_str(),
            "IKEv1" | "IKEv2" | "TLS" | "L2TP" | "PPP" | "RADIUS" | "DNS" | "ICMP"
        )
    }
}
