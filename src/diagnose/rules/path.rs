//! Did large datagrams cross the path, and their fragments?

use crate::diagnose::ike2::{Auth, Story};
use crate::diagnose::{Context, Family, Finding, Findings, Stage, cause, say};
use crate::track::ike2::Message;
use crate::track::session::{Session, Side, Stamp};

mod arrived;
mod sizes;
mod unheard;

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "path",
    causes: &[&FRAGMENT_LOST, &PMTU_BLACKHOLE, &FRAG_NEEDED_IGNORED],
    check,
};

cause! {
    /// ## What it means
    /// A message was too large for one packet, was sent in fragments, and not all of them
    /// arrive. The receiver waits for the rest and says nothing; the sender repeats it and
    /// gives up.
    ///
    /// ## What is seen
    /// At the receiver: fragments of the same message again and again, some always missing.
    /// At the sender: small messages are answered, the fragmented one never. The numbers of
    /// IKE fragments (RFC 7383) and the offsets of IP fragments stand in clear.
    ///
    /// ## Likely causes
    /// - A firewall, provider or cloud gateway drops IP fragments; stateless filters drop all
    ///   but the first, which alone has ports.
    /// - A certificate chain or a post-quantum key makes the message large, and one side does
    ///   not support IKE fragmentation.
    ///
    /// ## What to check on each side
    /// - Both: IKE fragmentation (RFC 7383) on; on Windows servers the registry value
    ///   `EnableServerFragmentation`.
    /// - Everything between: rules and counters for IP fragments.
    ///
    /// ## When this is wrong
    /// When the capture itself leaves fragments out: a capture filter by port never matches
    /// any but the first.
    pub(super) static FRAGMENT_LOST = {
        code: "fragment-lost",
        title: "fragments of a large message do not arrive",
        remedies: [
            "Let the ends cut large messages themselves, so that no IP fragments are needed: IKE fragmentation (RFC 7383), a smaller DTLS MTU.",
            "Permit IP fragments on every firewall of the path.",
            "Make the message smaller: shorter certificate chain, ECDSA instead of RSA.",
        ],
        needs: "a capture at the other end at the same time: it shows which fragments arrive",
    }
}

cause! {
    /// ## What it means
    /// The path takes packets up to a size and swallows larger ones, and no ICMP message says
    /// so. Small things work, large ones hang.
    ///
    /// ## What is seen
    /// Packets up to one size are answered; those of a larger size, not to be fragmented, are
    /// sent again and again and never answered.
    ///
    /// ## Likely causes
    /// - A link with a smaller MTU (PPPoE, LTE, another tunnel) and a firewall that drops ICMP
    ///   "fragmentation needed".
    /// - The MTU of the tunnel interface, or the TCP MSS inside it, takes no account of what
    ///   ESP adds.
    ///
    /// ## What to check on each side
    /// - `ping` with DF and growing size between the two ends, outside the tunnel.
    /// - Whether ICMP type 3 code 4 (IPv6: type 2) may pass.
    ///
    /// ## When this is wrong
    /// When the large packets are a stream that wants no answer, or the receiver drops them for
    /// another reason.
    pub(super) static PMTU_BLACKHOLE = {
        code: "pmtu-blackhole",
        title: "large packets vanish on the path",
        remedies: [
            "Let ICMP \"fragmentation needed\" and \"packet too big\" pass on every firewall.",
            "Lower the MTU of the tunnel, or clamp the TCP MSS inside it.",
            "For IKE: make its fragments smaller (strongSwan: fragment_size).",
        ],
        needs: "a capture at the other end at the same time: it shows the largest size that arrives",
    }
}

cause! {
    /// ## What it means
    /// A router says that packets are too large for the next link, names the size that fits,
    /// and the sender goes on as before.
    ///
    /// ## What is seen
    /// ICMP "fragmentation needed" (3/4) or "packet too big" (`ICMPv6` 2) about the session, and
    /// later packets of the same sender that are still larger and still not to be fragmented.
    ///
    /// ## Likely causes
    /// - The sender's own firewall drops the ICMP message, or a NAT does not translate what it
    ///   quotes.
    /// - The VPN software does not pass the new size on to what it tunnels.
    ///
    /// ## What to check on each side
    /// - Sender: does the ICMP reach the host, is path MTU discovery on, what does
    ///   `ip route get` show as the MTU?
    ///
    /// ## When this is wrong
    /// When the ICMP is forged or belongs to another path that is used no longer.
    pub(super) static FRAG_NEEDED_IGNORED = {
        code: "frag-needed-ignored",
        title: "a router names a smaller MTU and the sender takes no notice",
        remedies: [
            "Let ICMP \"fragmentation needed\" reach the sender, through its own firewall and NAT.",
            "Or set the MTU by hand to the size that the router names.",
        ],
    }
}

fn check(session: &Session, context: &Context, findings: &mut Findings) {
    // Another family knows its protocol better.
    if FAMILY.causes.iter().any(|cause| findings.has(cause.code)) {
        return;
    }
    if sizes::frag_needed_ignored(session, findings) {
        return;
    }
    let cut = arrived::in_part(session, context).or_else(|| unheard::never_heard(session));
    if let Some((step, finding)) = cut {
        // The same silence, explained better.
        let silences: &[&str] = match session.ike1() {
            // What main mode 5 without an answer is taken for where it is a small message.
            Some(_) => &[
                "no-response",
                "response-lost",
                "nat-t-blocked",
                "auth-failed",
                "psk-mismatch",
            ],
            None => &["no-response", "response-lost", "eap-failed"],
        };
        for code in silences {
            let same = findings.iter().any(|other| {
                other.cause.code == *code
                    && step.is_none_or(|at| other.evidence.iter().any(|e| e.at == at))
            });
            if same {
                findings.withdraw(code);
            }
        }
        findings.push(finding);
        return;
    }
    arrived::esp_in_part(session, findings);
    sizes::esp_by_size(session, findings);
}

/// The stage of what is stuck.
fn stage(session: &Session) -> Stage {
    match Story::of(session) {
        Some(story) => match story.auth {
            Auth::NotReached if story.facts.accepted().is_none() => Stage::IkeNegotiation,
            Auth::Granted(last) if story.used_after(last) => Stage::EspData,
            _ => Stage::IkeAuthentication,
        },
        // What main mode's first four messages agreed on, only the fifth can need fragments.
        None if session
            .ike1()
            .is_some_and(|facts| facts.message(4).is_some()) =>
        {
            super::progress(session).stage.max(Stage::IkeAuthentication)
        }
        None => super::progress(session).stage,
    }
}

const SIDES: [Side; 2] = [Side::Client, Side::Gateway];

/// Whether `side` brought something new after `at`: a message not seen before, or data.
fn went_on(session: &Session, side: Side, at: Stamp) -> bool {
    session
        .steps
        .iter()
        .any(|step| step.from == side && step.at > at)
        || session
            .esp
            .iter()
            .any(|flow| flow.from == side && flow.last.time > at.time)
}

/// Which ends say that they fragment IKE itself: client, gateway; `None` where it is not IKE.
fn fragmentation_said(session: &Session) -> Option<(bool, bool)> {
    /// `IKEV2_FRAGMENTATION_SUPPORTED`.
    const SUPPORTED: u16 = 16430;
    if let Some(facts) = session.ike1() {
        let abilities = &facts.abilities;
        return Some((
            abilities.client.fragmentation,
            abilities.gateway.fragmentation,
        ));
    }
    let facts = session.ike2()?;
    let said = |m: Option<&Message>| m.is_some_and(|m| m.notify(SUPPORTED).is_some());
    let asked = facts
        .init_rounds()
        .filter_map(|e| e.request.as_ref())
        .next_back();
    Some((said(asked), said(facts.accepted())))
}

/// How both ends stand to fragmentation of IKE itself: a sentence, and what to do about it.
fn ike_fragmentation(session: &Session) -> Option<(String, &'static str)> {
    let said = fragmentation_said(session)?;
    let how = if session.ike1().is_some() {
        "IKE fragmentation (Cisco's vendor id)"
    } else {
        "IKE fragmentation (RFC 7383)"
    };
    let (sentence, remedy) = match said {
        (true, true) => (
            say!("Both ends offered {how}."),
            "Set a smaller IKE fragment size at the sender, below the largest size that passes (strongSwan: fragment_size; 576 to be safe everywhere).",
        ),
        (true, false) => (
            say!("The client offered {how}, the gateway did not."),
            "Switch on IKE fragmentation at the gateway; the client offers it (strongSwan: fragmentation = yes; Windows RRAS: registry value EnableServerFragmentation = 1).",
        ),
        (false, true) => (
            say!("The client did not offer {how}."),
            "Switch on IKE fragmentation at the client (strongSwan: fragmentation = yes).",
        ),
        (false, false) => (
            say!("Neither end offered {how}."),
            "Switch on IKE fragmentation at both ends (strongSwan: fragmentation = yes, fragment_size = 1280; Windows RRAS: registry value EnableServerFragmentation = 1).",
        ),
    };
    Some((sentence, remedy))
}

/// Adds how both ends stand to fragmentation of IKE.
fn with_ike_fragmentation(mut finding: Finding, session: &Session) -> Finding {
    if let Some((sentence, remedy)) = ike_fragmentation(session) {
        finding.summary.push(' ');
        finding.summary.push_str(&sentence);
        finding = finding.remedy(remedy);
    }
    finding
}
