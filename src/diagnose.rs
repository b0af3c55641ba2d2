//! Turns facts into findings.
//!
//! A *family* asks one question of a session ("did the peers agree on a proposal?") and owns
//! the causes it may name; its file holds the code, the explanation, the evidence it needs
//! and the remedies. Rules see facts, never octets. The engine, not the rule, weighs what the
//! capture could not show: every finding says what it rests on ([`Basis`]), and
//! `weigh` lowers or withdraws what the vantage point cannot carry.

use std::fmt;

use vpnscope_dissectors::ike::v1::IkeSuite;

use crate::time::Timestamp;
use crate::track::session::{Endpoint, Kind, Session, Side, Stamp, Step};
use crate::track::{Lone, LoneSight, Unanswered};

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

/// What is known of a capture as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CaptureFacts {
    /// Its first and last frame's times.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Frames the capturing host dropped.
    pub dropped: Option<u64>,
    /// Whether snaplen cut frames.
    pub truncated: bool,
    /// Whether a filter chose the frames.
    pub filtered: bool,
    /// When nothing could be captured, from and to.
    pub blind: Vec<(Timestamp, Timestamp)>,
}

/// What others need to know of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Its client.
    pub client: Endpoint,
    /// Its first frame's time.
    pub first: Timestamp,
    /// The gateway's last message, where it sent any.
    pub answered: Option<Timestamp>,
    /// When data began to flow.
    pub granted: Option<Timestamp>,
}

/// Attempts at one gateway.
#[derive(Debug, Default)]
pub struct Attempts {
    /// All of them.
    count: usize,
    /// Those that were answered or granted something.
    pub told: Vec<Attempt>,
}

/// What is only looked up, never gone through: its order would differ between runs.
type Set<T> = hashbrown::HashSet<T, foldhash::fast::RandomState>;
/// As [`Set`].
type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::RandomState>;

/// What a rule may know besides the session.
#[derive(Debug, Default)]
pub struct Context {
    /// The captures.
    pub captures: Vec<CaptureFacts>,
    /// Addresses from which something was seen in these captures, bounded.
    pub heard: Set<std::net::IpAddr>,
    /// IKE transforms that a gateway accepted from anybody: gateway address and one line
    /// for each accepted suite. Bounded.
    pub accepted: Map<std::net::IpAddr, Vec<crate::track::ike2::Suite>>,
    /// The same of IKEv1, lifetimes left out.
    pub accepted_ikev1: Map<std::net::IpAddr, Vec<IkeSuite>>,
    /// Gateways of which a negotiation that went well was not seen: what they accepted is not
    /// known. Bounded.
    pub accepted_unseen: Set<std::net::IpAddr>,
    /// Addresses between which IKE was seen: client and gateway. Bounded.
    pub ike: Set<(std::net::IpAddr, std::net::IpAddr)>,
    /// Attempts by gateway. Bounded.
    pub attempts: Map<std::net::IpAddr, Attempts>,
    /// How many of them are a client's at a gateway, and when the first of these began: there
    /// may be very many, and each is asked how many others there are.
    pub tries: Map<(std::net::IpAddr, std::net::IpAddr), (u32, Timestamp)>,
    /// How many of those began at a time, where there are several.
    pub began: Map<(std::net::IpAddr, std::net::IpAddr, Timestamp), u32>,
    /// How many they are.
    pub attempts_kept: usize,
    /// The gateway that the user named.
    pub gateway: Option<std::net::IpAddr>,
    /// Addresses and ports at which a VPN over TLS was seen. Bounded.
    pub vpn_gateways: Set<(std::net::IpAddr, u16)>,
    /// Addresses of clients and gateways between which a tunnel over TLS was seen. Bounded.
    pub tunnels: Set<(std::net::IpAddr, std::net::IpAddr)>,
    /// Addresses and ports that answered with TLS. Bounded.
    pub tls_servers: Set<(std::net::IpAddr, u16)>,
    /// Where the user says that the captures stand.
    pub at: Option<crate::track::vantage::Told>,
    /// Sessions by capture from which messages are missing.
    pub holes: std::collections::BTreeMap<u16, u32>,
    /// Frames that vpnscope itself sent, by capture. Bounded by who reads the file.
    pub own: std::collections::BTreeSet<(u16, u64)>,
}

impl Context {
    /// How many addresses are remembered.
    pub const KEPT: usize = 100_000;

    /// How many attempts are remembered of one gateway: the first ones.
    const ATTEMPTS: usize = 4096;

    fn keep_attempt(&mut self, gateway: std::net::IpAddr, attempt: impl FnOnce() -> Attempt) {
        if self.attempts_kept >= Self::KEPT {
            return;
        }
        let list = self.attempts.entry(gateway).or_default();
        if list.count >= Self::ATTEMPTS {
            return;
        }
        self.attempts_kept += 1;
        list.count += 1;
        let attempt = attempt();
        if attempt.answered.is_some() || attempt.granted.is_some() {
            if list.told.is_empty() {
                // Most gateways see one.
                list.told.reserve_exact(1);
            }
            list.told.push(attempt);
        }
        let (client, first) = (attempt.client.ip, attempt.first);
        let tries = self.tries.entry((client, gateway));
        let (count, earliest) = tries.or_insert((0, first));
        *count += 1;
        if *count == 2 {
            self.began.insert((client, gateway, *earliest), 1);
        }
        if *count >= 2 {
            *self.began.entry((client, gateway, first)).or_default() += 1;
        }
    }

    /// How many other attempts the client of a session made at its gateway, at other times.
    pub fn other_attempts(&self, session: &Session) -> u32 {
        let (client, gateway) = (session.client.ip, session.gateway.ip);
        let first = session.first.time;
        match self.tries.get(&(client, gateway)) {
            None => 0,
            Some((1, earliest)) => u32::from(*earliest != first),
            Some((count, _)) => {
                let same = self.began.get(&(client, gateway, first)).copied();
                count.saturating_sub(same.unwrap_or_default())
            }
        }
    }

    fn learn_attempt(&mut self, session: &Session) {
        self.keep_attempt(session.gateway.ip, || Attempt {
            client: session.client,
            first: session.first.time,
            answered: session
                .steps
                .iter()
                .filter(|s| s.from == Side::Gateway)
                .map(|s| s.last().time)
                .max(),
            granted: session.esp.iter().map(|f| f.first.time).min(),
        });
    }

    /// Sessions of the same capture, this one left out, from which messages are missing.
    pub fn others_with_holes(&self, session: &Session) -> u32 {
        let all = self
            .holes
            .get(&session.first.capture())
            .copied()
            .unwrap_or(0);
        all.saturating_sub(u32::from(has_holes(session)))
    }

    /// Whether vpnscope itself sent frames of this session.
    pub fn is_own(&self, session: &Session) -> bool {
        !self.own.is_empty()
            && session
                .steps
                .iter()
                .any(|step| self.own.contains(&(step.at.capture(), step.at.frame())))
    }

    /// As [`Context::learn`], from a session that is not built.
    pub(crate) fn learn_unanswered(&mut self, syns: &Unanswered) {
        let flow = syns.flow();
        let (client, gateway) = (flow.source, flow.destination);
        if self.heard.len() < Self::KEPT {
            self.heard.insert(client.0);
        }
        let attempt = Attempt {
            client: Endpoint {
                ip: client.0,
                port: client.1,
            },
            first: syns.first.time,
            answered: None,
            granted: None,
        };
        self.keep_attempt(gateway.0, || attempt);
    }

    /// As [`Context::learn`], from a session of ESP alone that is not built.
    pub(crate) fn learn_lone(&mut self, lone: &LoneSight) {
        for (sent, end) in [
            (lone.sent.gateway, lone.gateway),
            (lone.sent.client, lone.client),
        ] {
            if sent > 0 && self.heard.len() < Self::KEPT {
                self.heard.insert(end.ip);
            }
        }
        let attempt = Attempt {
            client: lone.client,
            first: lone.first,
            answered: None,
            granted: Some(lone.earliest),
        };
        self.keep_attempt(lone.gateway.ip, || attempt);
    }

    /// Whether no rule has anything to say of a session that is not built, and nothing shows that
    /// it belongs to a VPN: a SYN that the capture ended too soon after.
    pub(crate) fn has_nothing_to_say(&self, syns: &Unanswered) -> bool {
        let gateway = syns.flow().destination;
        rules::tcp::is_too_early(syns.syns, syns.watched())
            && self.gateway != Some(gateway.0)
            && !self.vpn_gateways.contains(&gateway)
            && self.own.is_empty()
    }

    /// Learns from a session before any is diagnosed.
    pub fn learn(&mut self, session: &Session) {
        if has_holes(session) {
            let count = self.holes.entry(session.first.capture()).or_default();
            *count = count.saturating_add(1);
        }
        if self.heard.len() < Self::KEPT {
            if session.vantage.frames.gateway > 0 {
                self.heard.insert(session.gateway.ip);
            }
            if session.vantage.frames.client > 0 {
                self.heard.insert(session.client.ip);
            }
        }
        self.learn_attempt(session);
        if let Some(facts) = session.tls() {
            let endpoint = (session.gateway.ip, session.gateway.port);
            let up = facts
                .connections
                .iter()
                .any(|c| tls::phase(c) == tls::Phase::Up);
            if facts.has_tunnel() && self.tunnels.len() < Self::KEPT {
                self.tunnels.insert((session.client.ip, session.gateway.ip));
            }
            if up && self.tls_servers.len() < Self::KEPT {
                self.tls_servers.insert(endpoint);
            }
            if tls::is_vpn_gateway(session, facts, self) && self.vpn_gateways.len() < Self::KEPT {
                self.vpn_gateways.insert(endpoint);
            }
        }
        let is_ike = matches!(session.kind, Kind::Ikev1 | Kind::Ikev2);
        if is_ike && self.ike.len() < Self::KEPT {
            self.ike.insert((session.client.ip, session.gateway.ip));
        }
        if is_ike && session.vantage.started_late && self.accepted_unseen.len() < Self::KEPT {
            // Who is who may be a guess there.
            self.accepted_unseen.insert(session.gateway.ip);
            self.accepted_unseen.insert(session.client.ip);
        }
        if let Some(suite) = session
            .ike2()
            .and_then(|f| f.sas.first())
            .and_then(super::track::ike2::IkeSa::suite)
            && self.accepted.len() < Self::KEPT
        {
            let list = self.accepted.entry(session.gateway.ip).or_default();
            if list.len() < 64 && !list.contains(&suite) {
                list.push(suite);
            }
        }
        if let Some(suite) = session.ike1().and_then(crate::track::ike1::Ike1::suite)
            && self.accepted_ikev1.len() < Self::KEPT
        {
            let suite = IkeSuite {
                life_seconds: None,
                life_kilobytes: None,
                ..*suite
            };
            let list = self.accepted_ikev1.entry(session.gateway.ip).or_default();
            if list.len() < 64 && !list.contains(&suite) {
                list.push(suite);
            }
        }
    }
}

/// Whether messages of a session, or packets of its ESP, are missing that must have been sent.
fn has_holes(session: &Session) -> bool {
    let unseen = session.vantage.unseen;
    let one_way = session.vantage.one_direction() || session.vantage.started_late;
    !one_way && unseen.client + unseen.gateway > 0
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
