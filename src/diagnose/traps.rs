//! Ways in which a capture misleads, noticed: each is told in the report and weighs on what
//! may be claimed. The table is in `docs/confidence.md`.

use super::{Basis, Confidence, Context, Finding, Outcome, Severity, say};
use crate::time::Span;
use crate::track::session::{Detail, Ending, Kind, Session, Side};
use crate::track::vantage::{Place, standing};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $effect:literal;)*) => {
        /// What misleads.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum What { $($(#[$doc])* $name),* }

        impl What {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word of the report.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// What it does to the verdict.
            pub const fn effect(self) -> &'static str {
                match self { $(Self::$name => $effect),* }
            }
        }
    };
}

kinds! {
    /// Frames of one end only, although the other one answers.
    OneDirection = "one-direction", "what did not come proves nothing: incomplete, possible";
    /// The first message is no first message.
    StartedLate = "started-late", "incomplete, possible";
    /// The capture ends while the sender would still have retried.
    EndsEarly = "ends-early", "incomplete";
    /// The negotiation was answered, and its initiator is not heard again.
    NotContinued = "not-continued", "incomplete: why is not seen here";
    /// Frames cut by snaplen.
    Snaplen = "snaplen", "at most likely; lengths come from headers";
    /// Datagrams larger than the link: the card cuts or joins them.
    Offload = "offload", "sizes of these prove nothing; causes of size at most likely";
    /// What the capturing host decrypted stands beside what it received.
    DecryptedCopy = "decrypted-copy", "what did not come proves nothing: incomplete, possible";
    /// Frames that the capturing host lost.
    CaptureDrops = "capture-drops", "at most likely; what did not come at most possible";
    /// The same frame several times, as a span port of both directions gives it.
    SpanCopies = "span-copies", "copies count neither as retransmissions nor as replays";
    /// Frames that stand in the file before older ones.
    TimeOrder = "time-order", "at most likely";
    /// An end that hashes its address falsely, to force encapsulation.
    ForcedEncapsulation = "forced-encapsulation", "NAT is not proven; causes that need one at most possible";
    /// Refused or abandoned first, granted later.
    Superseded = "superseded", "worth knowing, no failure";
    /// An error that anybody on the path can send, and that its receiver does not believe.
    UnauthenticatedError = "unauthenticated-error", "at most likely";
    /// Encrypted messages are told by their lengths and their order.
    LengthCollision = "length-collision", "at most likely";
    /// Several hosts answer behind one address.
    SeveralHosts = "several-hosts", "at most likely";
    /// Frames that vpnscope itself sent.
    OwnReplay = "own-replay", "at most possible: no client's failure";
    /// Other attempts of the same client in the same capture.
    SeveralAttempts = "several-attempts", "one verdict for each attempt";
    /// What reached the host's card may not have reached the program.
    HostFirewall = "host-firewall", "at most likely, with the host's own firewall as a candidate";
    /// Certificates that TLS 1.3 encrypts or a resumed session leaves out.
    HiddenCertificate = "hidden-certificate", "the reason for a refusal is not claimed";
}

/// Something that misleads, in one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    /// What.
    pub what: What,
    /// One sentence with the numbers of this session.
    pub note: String,
}

/// Causes told by the sizes of datagrams.
const BY_SIZE: &[&str] = &[
    "pmtu-blackhole",
    "frag-needed-ignored",
    "mss-clamp-wrong",
    "dtls-mtu",
    "fragment-lost",
];

/// Causes that need a NAT.
const BY_NAT: &[&str] = &["nat-t-responder-behind-nat", "nat-t-not-supported"];

/// Errors in clear that nothing authenticates.
const UNAUTHENTICATED: &[&str] = &[
    "proposal-mismatch",
    "ke-group-mismatch",
    "version-mismatch",
    "no-peer-config",
    "port-unreachable",
    "admin-prohibited",
];

/// Sessions of a capture that must lack messages before the capture itself is suspected.
const OTHERS_WITH_HOLES: u32 = 2;

/// A sender that hears nothing tries again within this time.
const PATIENCE: Span = Span::from_secs(10);

struct Look<'a> {
    session: &'a Session,
    context: &'a Context,
    traps: Vec<Trap>,
}

/// Notices what misleads, and weighs the findings with it.
pub(super) fn notice(
    session: &Session,
    context: &Context,
    findings: &mut [Finding],
    settled: bool,
) -> Vec<Trap> {
    let mut look = Look {
        session,
        context,
        traps: Vec::new(),
    };
    look.missing(findings, settled);
    look.sizes(findings);
    look.copies(findings);
    look.time(findings);
    look.encapsulation(findings);
    look.errors(findings);
    look.ciphers(findings);
    look.others(findings);
    look.host(findings);
    look.traps.sort_by_key(|trap| trap.what);
    look.traps
}

/// The finding that decides.
fn primary(findings: &[Finding]) -> Option<&Finding> {
    findings.iter().find(|f| f.severity != Severity::Info)
}

fn lower(findings: &mut [Finding], to: Confidence, which: impl Fn(&Finding) -> bool) {
    for finding in findings
        .iter_mut()
        .filter(|f| f.severity != Severity::Info && which(f))
    {
        finding.confidence = finding.confidence.min(to);
    }
}

/// Whether `IKE_SA_INIT` was accepted and nothing came after it.
fn is_left(session: &Session) -> bool {
    session.ike2().is_some_and(|facts| {
        let rounds = facts.init_rounds().count();
        facts.accepted().is_some() && facts.exchanges.len() == rounds && session.esp.is_empty()
    })
}

fn is_absence(finding: &Finding) -> bool {
    matches!(finding.basis, Basis::Absence { .. })
}

impl Look<'_> {
    fn note(&mut self, what: What, note: String) {
        self.traps.push(Trap { what, note });
    }

    /// What is missing, and whether the capture lost it. The findings were weighed with what
    /// is missing of this session; holes of others count here.
    fn missing(&mut self, findings: &mut [Finding], settled: bool) {
        let session = self.session;
        let vantage = &session.vantage;
        if vantage.one_direction() {
            self.note(
                What::OneDirection,
                "the capture sees one direction only; capture where both pass, or on both ports of the span"
                    .to_string(),
            );
        }
        if vantage.started_late {
            let note = "the capture starts in the middle of this session";
            self.note(What::StartedLate, note.to_string());
        }
        let open = !settled && primary(findings).is_none_or(|f| f.outcome == Outcome::Incomplete);
        let ended = vantage.ending == Ending::CaptureEnd && vantage.watched_after < PATIENCE;
        if open && ended && !vantage.started_late {
            let note = say!(
                "the capture ends {} after the last frame of this session",
                vantage.watched_after
            );
            self.note(What::EndsEarly, note);
        }
        if open && !ended && !vantage.started_late && is_left(session) {
            self.note(
                What::NotContinued,
                "the gateway answered, and the client did not go on to IKE_AUTH here: it lacks a key or certificate of its own, did not like what it read (childless, post-quantum keys), or went on where this capture does not see it (UDP 4500)"
                    .to_string(),
            );
        }
        if vantage.truncated > 0 {
            let note = say!("{} message(s) were cut by snaplen", vantage.truncated);
            self.note(What::Snaplen, note);
        }
        let unseen = vantage.unseen.client + vantage.unseen.gateway;
        if unseen > 0 {
            self.note(
                What::CaptureDrops,
                say!("{unseen} message(s) must have been sent but are not in the capture"),
            );
        }
        let dropped = self.capture().and_then(|capture| capture.dropped);
        if let Some(dropped) = dropped.filter(|n| *n > 0) {
            let note = say!("the capturing host dropped {dropped} frames: loss is not provable");
            self.note(What::CaptureDrops, note);
        }
        let others = self.context.others_with_holes(session);
        if others >= OTHERS_WITH_HOLES {
            let note = say!(
                "messages are missing from {others} other sessions too: the capture itself loses frames"
            );
            self.note(What::CaptureDrops, note);
            lower(findings, Confidence::Likely, |_| true);
            lower(findings, Confidence::Possible, is_absence);
        } else if others > 0 {
            // One alone may have its own reasons.
            lower(findings, Confidence::Likely, |_| true);
        }
    }

    fn capture(&self) -> Option<&super::CaptureFacts> {
        let number = usize::from(self.session.first.capture());
        self.context.captures.get(number)
    }

    fn sizes(&mut self, findings: &mut [Finding]) {
        let path = &self.session.path;
        let count = path.client.offloaded.saturating_add(path.gateway.offloaded);
        if count == 0 {
            return;
        }
        let note = say!(
            "{count} datagram(s) are larger than a link takes: the capturing host's card cuts or joins them; switch that off (ethtool -K) or capture on a span port"
        );
        self.note(What::Offload, note);
        lower(findings, Confidence::Likely, |f| {
            BY_SIZE.contains(&f.cause.code)
        });
    }

    fn copies(&mut self, findings: &mut [Finding]) {
        let session = self.session;
        if session.vantage.copies > 0 {
            let note = say!(
                "{} copies made by a span port were left out",
                session.vantage.copies
            );
            self.note(What::SpanCopies, note);
        }
        let pair = (session.client.ip, session.gateway.ip);
        let reverse = (pair.1, pair.0);
        let ike = &self.context.ike;
        if session.kind == Kind::L2tp && (ike.contains(&pair) || ike.contains(&reverse)) {
            self.note(
                What::DecryptedCopy,
                "L2TP in clear between hosts that speak IPsec: what the capturing host decrypted; what it encrypts is not seen a second time"
                    .to_string(),
            );
            for finding in findings.iter_mut().filter(|f| is_absence(f)) {
                finding.outcome = Outcome::Incomplete;
                finding.confidence = Confidence::Possible;
            }
        }
    }

    fn time(&mut self, findings: &mut [Finding]) {
        let reordered = self.session.vantage.reordered;
        if reordered > 0 {
            let note = say!("{reordered} frame(s) stand in the file before older ones");
            self.note(What::TimeOrder, note);
            lower(findings, Confidence::Likely, |_| true);
        }
    }

    fn encapsulation(&mut self, findings: &mut [Finding]) {
        let forced = |side| match &self.session.detail {
            Detail::Ike2(facts) => facts.nat.forced(side),
            Detail::Ike1(facts) => facts.nat.forced(side),
            _ => false,
        };
        for side in [Side::Client, Side::Gateway] {
            if forced(side) {
                let note = say!(
                    "the {} forces encapsulation: nothing stands between it and the capture, and yet its hash does not fit its address; NAT is not proven",
                    side.word()
                );
                self.note(What::ForcedEncapsulation, note);
                lower(findings, Confidence::Possible, |f| {
                    BY_NAT.contains(&f.cause.code)
                });
            }
        }
    }

    fn errors(&mut self, findings: &mut [Finding]) {
        let superseded = findings
            .iter()
            .find(|f| ["quick-mode-superseded", "transform-skipped"].contains(&f.cause.code));
        if superseded.is_some() {
            let note = "what was refused or repeated first was granted later";
            self.note(What::Superseded, note.to_string());
        }
        let ignored = findings.iter().any(|f| f.cause.code == "error-ignored");
        let Some(error) = primary(findings).filter(|f| UNAUTHENTICATED.contains(&f.cause.code))
        else {
            return;
        };
        let foreign = self.foreign_ttl(error);
        let note = match (ignored, foreign) {
            (_, Some((ttl, usual))) => say!(
                "the error came with TTL {ttl}, other messages of the gateway with {usual}: it may be forged"
            ),
            (true, None) => {
                "the error is not authenticated, and its receiver went on as if it had not come"
                    .to_string()
            }
            (false, None) => return,
        };
        self.note(What::UnauthenticatedError, note);
        lower(findings, Confidence::Likely, |f| {
            UNAUTHENTICATED.contains(&f.cause.code)
        });
    }

    /// TTL of the gateway's error and of its other messages, where they differ.
    fn foreign_ttl(&self, error: &Finding) -> Option<(u8, u8)> {
        let session = self.session;
        if session.vantage.two_points {
            return None;
        }
        let gateways = || session.steps.iter().filter(|s| s.from == Side::Gateway);
        let shown = |frame| error.evidence.iter().any(|e| e.at.frame() == frame);
        let error = gateways().find(|s| s.ttl > 0 && shown(s.at.frame()))?;
        let other = gateways().find(|s| s.ttl > 0 && s.ttl != error.ttl)?;
        Some((error.ttl, other.ttl))
    }

    fn ciphers(&mut self, findings: &mut [Finding]) {
        let Some(finding) = primary(findings) else {
            return;
        };
        let ike = matches!(self.session.kind, Kind::Ikev1 | Kind::Ikev2);
        if ike && finding.basis == Basis::Inferred {
            self.note(
                What::LengthCollision,
                "what decides is encrypted: it is told by lengths and order, and other messages are as long"
                    .to_string(),
            );
        }
        let certificates = finding.cause.code == "cert-rejected";
        let connection = self
            .session
            .tls()
            .and_then(|facts| facts.connections.last());
        let Some(connection) = connection.filter(|_| certificates) else {
            return;
        };
        if connection.chains.gateway.is_none() {
            self.note(
                What::HiddenCertificate,
                "the gateway's certificate is not in clear (TLS 1.3 encrypts it, a resumed session has none)"
                    .to_string(),
            );
        }
    }

    fn others(&mut self, findings: &mut [Finding]) {
        let session = self.session;
        if findings
            .iter()
            .any(|f| f.cause.code == "different-backends")
        {
            let note = "several hosts answer behind the gateway's address";
            self.note(What::SeveralHosts, note.to_string());
            lower(findings, Confidence::Likely, |_| true);
        }
        if self.context.is_own(session) {
            self.note(
                What::OwnReplay,
                "frames of this session were sent by vpnscope itself: it is no client's attempt"
                    .to_string(),
            );
            lower(findings, Confidence::Possible, |_| true);
        }
        if primary(findings).is_some() {
            let count = self.context.other_attempts(session);
            if count > 0 {
                let note = say!(
                    "{count} other attempt(s) of this client at this gateway are in the capture; this verdict is about this one"
                );
                self.note(What::SeveralAttempts, note);
            }
        }
    }

    fn host(&mut self, findings: &mut [Finding]) {
        let lost = findings
            .iter()
            .any(|f| f.severity != Severity::Info && f.cause.code == "response-lost");
        if !lost || standing(self.session).place != Place::Client {
            return;
        }
        self.note(
            What::HostFirewall,
            "the answers reached the client's card, and yet it asks again: its own firewall, or another program on the port, may have taken them"
                .to_string(),
        );
        lower(findings, Confidence::Likely, |f| {
            f.cause.code == "response-lost"
        });
        for finding in findings
            .iter_mut()
            .filter(|f| f.cause.code == "response-lost")
        {
            finding.needs.get_or_insert_with(|| {
                "the rules and counters of the client's own firewall, and what else listens on the port"
                    .to_string()
            });
        }
    }
}
