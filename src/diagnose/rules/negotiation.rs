//! Did the peers agree on how to talk?

use std::fmt::Write as _;

use vpnscope_dissectors::ike::v2::{Algorithm, Encryption, Integrity, KeyExchange};

use crate::diagnose::ike2::Story;
use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, cause, say};
use crate::track::ike2::{Exchange, IkeSa, Message, Proposal, Suite, kind};
use crate::track::session::{Endpoint, Session, Side, Stamp, Step};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "negotiation",
    causes: &[
        &PROPOSAL_MISMATCH,
        &KE_GROUP_MISMATCH,
        &VERSION_MISMATCH,
        &COOKIE_LOOP,
        &NO_PEER_CONFIG,
        &ERROR_IGNORED,
        &MALFORMED_MESSAGE,
    ],
    check,
};

cause! {
    /// ## What it means
    /// The gateway read the client's offer and found nothing in it that it may use.
    ///
    /// ## What is seen
    /// An `IKE_SA_INIT` answer in clear with the notify `NO_PROPOSAL_CHOSEN` (14). The offer
    /// stands in clear in the request; what the gateway would take does not.
    ///
    /// ## Likely causes
    /// - Encryption, integrity, PRF or group lists have no common element.
    /// - The gateway has no configuration for this client and answers the same (strongSwan,
    ///   libreswan do so).
    ///
    /// ## What to check on each side
    /// - Gateway: the log names the proposals it has and the ones it received.
    /// - Client: offer one suite that the gateway has; modern ones first.
    ///
    /// ## When this is wrong
    /// The answer is not authenticated: somebody on the path can forge it.
    pub(super) static PROPOSAL_MISMATCH = {
        code: "proposal-mismatch",
        title: "the peers share no proposal",
        remedies: [
            "Compare the offer shown here with the gateway's configured IKE proposals, transform by transform: encryption with key length, integrity, PRF, group.",
            "Add one of the offered suites on the gateway, or one of the gateway's suites on the client; prefer AES-GCM or AES-CBC with SHA-2 and group 19, 14 or 31.",
            "If the suites agree on paper, check that the gateway has a connection for this client's address and identity: without one it answers the same.",
        ],
        needs: "the gateway's log or its list of IKE proposals",
    }
}

cause! {
    /// ## What it means
    /// The gateway wants another key exchange group than the one the client sent a key for,
    /// and the client did not follow.
    ///
    /// ## What is seen
    /// `INVALID_KE_PAYLOAD` (17) in clear with the wanted group, and no request with it, or
    /// the same round again and again.
    ///
    /// ## Likely causes
    /// - The wanted group is not in the client's list.
    /// - The client does not retry as RFC 7296 §1.2 asks.
    ///
    /// ## What to check on each side
    /// - Client: put the group that the gateway wants first.
    /// - Gateway: allow a group that the client has.
    ///
    /// ## When this is wrong
    /// When the client did retry, but the capture does not show it.
    pub(super) static KE_GROUP_MISMATCH = {
        code: "ke-group-mismatch",
        title: "the gateway wants another key exchange group",
        remedies: [
            "Put the group that the gateway asks for first in the client's proposal.",
            "Or allow the group that the client sent on the gateway.",
        ],
    }
}

cause! {
    /// ## What it means
    /// The peers speak different versions of IKE.
    ///
    /// ## What is seen
    /// An answer `INVALID_MAJOR_VERSION` (5), or an answer in another major version.
    ///
    /// ## Likely causes
    /// - One side is configured for IKEv1, the other for IKEv2.
    /// - A test tool or a damaged message.
    ///
    /// ## What to check on each side
    /// - Both: the IKE version of this connection.
    ///
    /// ## When this is wrong
    /// The answer is not authenticated: somebody on the path can forge it.
    pub(super) static VERSION_MISMATCH = {
        code: "version-mismatch",
        title: "the peers speak different versions of IKE",
        remedies: ["Set the same IKE version on both sides; prefer IKEv2."],
    }
}

cause! {
    /// ## What it means
    /// The gateway asks for its cookie again and again, and the client never gets past it.
    ///
    /// ## What is seen
    /// Three or more rounds of `IKE_SA_INIT` answered with COOKIE (16390) only.
    ///
    /// ## Likely causes
    /// - The client's address or port changes between the rounds (NAT, load balancer).
    /// - The gateways of a cluster do not share the cookie secret.
    /// - The client does not return the cookie unchanged.
    ///
    /// ## What to check on each side
    /// - The path: does the client's source address and port stay the same?
    /// - Gateway: one node or several behind one address?
    ///
    /// ## When this is wrong
    /// When the gateway is under attack and rotates its secret quickly.
    pub(super) static COOKIE_LOOP = {
        code: "cookie-loop",
        title: "the gateway keeps asking for its cookie",
        remedies: [
            "Keep the client's address and port stable on the way (NAT, load balancer with affinity).",
            "Let all nodes behind the gateway's address share the cookie secret, or pin a client to one node.",
        ],
    }
}

cause! {
    /// ## What it means
    /// The gateway says that it has no common proposal, although this very offer contains a
    /// suite that it accepted from another client: it did not find a configuration for this
    /// client.
    ///
    /// ## What is seen
    /// `NO_PROPOSAL_CHOSEN` (14) to an offer that includes a suite which the same gateway chose
    /// in another session of the same captures.
    ///
    /// ## Likely causes
    /// - The gateway selects its configuration by the client's address, and has none for it.
    ///
    /// ## What to check on each side
    /// - Gateway: which connections match this client's address.
    ///
    /// ## When this is wrong
    /// When the gateway has different suites for different clients on purpose.
    pub(super) static NO_PEER_CONFIG = {
        code: "no-peer-config",
        title: "the gateway has no configuration for this client",
        remedies: ["Give the gateway a connection that matches this client's address, or widen an existing one."],
        needs: "the gateway's log",
    }
}

cause! {
    /// ## What it means
    /// An error answer is in the capture, but the client goes on as if there were none; its
    /// log will say "timeout".
    ///
    /// ## What is seen
    /// The same request again after the error answer.
    ///
    /// ## Likely causes
    /// - The client does not trust unauthenticated errors (RFC 7296 §2.21.1 allows that).
    ///
    /// ## What to check on each side
    /// - Trust the packet, not the client's log: the error is the cause.
    ///
    /// ## When this is wrong
    /// When the error did not reach the client, or was forged.
    pub(super) static ERROR_IGNORED = {
        code: "error-ignored",
        title: "the client ignores the gateway's error answer",
        remedies: ["Treat the error answer as the cause, whatever the client's log says."],
    }
}

cause! {
    /// ## What it means
    /// A peer says that it cannot read the other one's message.
    ///
    /// ## What is seen
    /// A notify `INVALID_SYNTAX` (7) in clear, or a message whose lengths contradict each
    /// other and that is never answered.
    ///
    /// ## Likely causes
    /// - A bug in one implementation, or a box on the path that alters packets.
    ///
    /// ## What to check on each side
    /// - Compare captures from both ends: are the octets the same?
    ///
    /// ## When this is wrong
    /// When the capture itself cut the message.
    pub(super) static MALFORMED_MESSAGE = {
        code: "malformed-message",
        title: "a message cannot be read by its receiver",
        remedies: ["Capture at both ends and compare the octets; update the side that sends the faulty message."],
        needs: "a capture from the other end",
    }
}

fn check(session: &Session, context: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session) else {
        return;
    };
    if story.facts.accepted().is_some() || story.auths().next().is_some() {
        return;
    }
    cookies(&story, findings);
    let Some(round) = story.facts.init_rounds().rfind(|e| e.response.is_some()) else {
        malformed(&story, findings);
        return;
    };
    let Some(answer) = &round.response else {
        return;
    };
    let Some(error) = answer.error() else { return };
    let finding = match error.notify_type {
        14 => no_proposal(&story, round, answer, context),
        17 => invalid_ke(&story, round, answer, error.number()),
        5 => version(&story, answer),
        7 => simple(&story, answer, &MALFORMED_MESSAGE, "INVALID_SYNTAX"),
        _ => return,
    };
    let Some(finding) = finding else { return };
    findings.push(finding);
    ignored(&story, round, answer, findings);
}

fn step<'a>(story: &Story<'a>, message: &Message) -> Option<&'a Step> {
    message.step.and_then(|index| story.session.step(index))
}

/// How one names the transforms of an offer: `AES_CBC_256`.
fn offer(sa: &IkeSa) -> String {
    let mut text = String::new();
    for proposal in sa.offered.proposals().iter().take(4) {
        let mut parts: Vec<String> = proposal
            .encryption
            .iter()
            .map(|(id, bits)| encryption(*id, *bits))
            .collect();
        parts.extend(
            proposal
                .integrity
                .iter()
                .map(|i| Algorithm::Integrity(*i).to_string()),
        );
        parts.extend(proposal.prf.iter().map(|p| Algorithm::Prf(*p).to_string()));
        parts.extend(proposal.key_exchange.iter().map(|k| group(*k)));
        let more = parts.len().saturating_sub(12);
        parts.truncate(12);
        let _ = write!(
            text,
            "{}{}",
            if text.is_empty() { "" } else { "; " },
            parts.join(" ")
        );
        if more > 0 {
            let _ = write!(text, " and {more} more");
        }
    }
    text
}

fn no_proposal(
    story: &Story<'_>,
    round: &Exchange,
    answer: &Message,
    context: &Context,
) -> Option<Finding> {
    let sa = story.facts.sas.first()?;
    let answered = step(story, answer)?;
    let offered = sa.offered.proposals();
    let holds = |suite: &&Suite| offered.iter().any(|p| lack(p, suite) == 0);
    let elsewhere = context
        .accepted(&story.session.gateway.ip)
        .and_then(|suites| suites.into_iter().find(|suite| holds(&suite)));
    let cause = if elsewhere.is_some() {
        &NO_PEER_CONFIG
    } else {
        &PROPOSAL_MISMATCH
    };
    let mut finding = Finding::failure(
        cause,
        Stage::IkeNegotiation,
        Basis::Seen,
        say!(
            "The gateway answered NO_PROPOSAL_CHOSEN to the offer {}.",
            offer(sa)
        ),
    );
    if let Some(asked) = round.request.as_ref().and_then(|m| step(story, m)) {
        finding = finding.frame(asked.at, "IKE_SA_INIT request with the offer");
    }
    finding = finding.step(answered, " with N(NO_PROPOSAL_CHOSEN)");
    if let Some(suite) = elsewhere {
        finding = finding
            .sure(Confidence::Likely)
            .candidates(&["proposal-mismatch"])
            .exclude(
                "ke-group-mismatch",
                say!(
                    "the same gateway accepted {} from another client",
                    suite.encryption
                ),
            );
    } else if let Some((suite, changes)) = nearest(
        &offered,
        context.accepted(&story.session.gateway.ip).as_deref(),
    ) {
        finding = finding.candidates(&["no-peer-config"]).remedy(say!(
            "The same gateway accepted {} from another client: offering {} as well would meet it.",
            written(&suite),
            changes.join(" and ")
        ));
    } else if let [only] = *groups(&offered) {
        finding = finding
            .candidates(&["ke-group-mismatch", "no-peer-config"])
            .remedy(single_group(
                &group(only),
                &["MODP_2048", "ECP_256", "CURVE25519"],
            ));
    } else {
        finding = finding.candidates(&["no-peer-config"]);
    }
    Some(unless_unseen(finding, &story.session.gateway, context))
}

/// What to do where an offer holds one group alone: others, and for the oldest one what Windows
/// needs to offer more.
pub(super) fn single_group(only: &str, others: &[&str]) -> String {
    let others: Vec<&str> = others
        .iter()
        .copied()
        .filter(|name| *name != only)
        .collect();
    let windows = if only == "MODP_1024" {
        " Windows offers no other unless NegotiateDH2048_AES256 is set to 1 or 2 on the client."
    } else {
        ""
    };
    say!(
        "The offer holds a single group, {only}: try another one first ({}).{windows}",
        others.join(" or ")
    )
}

/// A refused offer, where the gateway may have accepted the same one from another client before the
/// capture began: then it lacks this client's configuration.
pub(super) fn unless_unseen(finding: Finding, gateway: &Endpoint, context: &Context) -> Finding {
    if context.accepted_unseen.contains(&gateway.ip) {
        finding
            .sure(Confidence::Likely)
            .needs("a capture from before the other sessions of this gateway began: it shows what it accepts")
    } else {
        finding
    }
}

/// `MODP_2048`.
fn group(id: KeyExchange) -> String {
    Algorithm::KeyExchange(id).to_string()
}

fn groups(offered: &[Proposal]) -> Vec<KeyExchange> {
    let mut all = Vec::new();
    for group in offered.iter().flat_map(|p| &p.key_exchange) {
        if !all.contains(group) {
            all.push(*group);
        }
    }
    all
}

/// A suite in one line.
fn written(suite: &Suite) -> String {
    let mut parts = vec![encryption(suite.encryption, suite.key_bits)];
    parts.extend(suite.integrity.map(|i| Algorithm::Integrity(i).to_string()));
    parts.push(Algorithm::Prf(suite.prf).to_string());
    parts.extend(suite.key_exchange.map(group));
    parts.join(" ")
}

fn encryption(id: Encryption, bits: Option<u16>) -> String {
    let name = Algorithm::Encryption(id).to_string();
    bits.map_or(name.clone(), |bits| say!("{name}_{bits}"))
}

/// Of the suites that the gateway accepted from others, the one that takes the fewest changes
/// of one proposal of the offer, with what would have to be added.
fn nearest(offered: &[Proposal], accepted: Option<&[Suite]>) -> Option<(Suite, Vec<String>)> {
    let all = accepted?
        .iter()
        .flat_map(|suite| offered.iter().map(move |p| (suite, p)));
    let (suite, p) = all.min_by_key(|(suite, p)| lack(p, suite))?;
    Some((*suite, lacks(p, suite)))
}

/// How many algorithms a proposal lacks to hold a suite.
fn lack(p: &Proposal, suite: &Suite) -> usize {
    let integrity = |i: &Integrity| p.integrity.contains(i);
    let group = |k: &KeyExchange| p.key_exchange.contains(k);
    [
        p.encryption.contains(&(suite.encryption, suite.key_bits)),
        suite.integrity.as_ref().is_none_or(integrity),
        p.prf.contains(&suite.prf),
        suite.key_exchange.as_ref().is_none_or(group),
    ]
    .iter()
    .filter(|held| !**held)
    .count()
}

/// What a proposal lacks to hold a suite.
fn lacks(p: &Proposal, suite: &Suite) -> Vec<String> {
    let mut missing = Vec::new();
    if !p.encryption.contains(&(suite.encryption, suite.key_bits)) {
        missing.push(encryption(suite.encryption, suite.key_bits));
    }
    missing.extend(
        suite
            .integrity
            .filter(|i| !p.integrity.contains(i))
            .map(|i| Algorithm::Integrity(i).to_string()),
    );
    if !p.prf.contains(&suite.prf) {
        missing.push(Algorithm::Prf(suite.prf).to_string());
    }
    missing.extend(
        suite
            .key_exchange
            .filter(|k| !p.key_exchange.contains(k))
            .map(group),
    );
    missing
}

fn invalid_ke(
    story: &Story<'_>,
    round: &Exchange,
    answer: &Message,
    wanted: Option<u16>,
) -> Option<Finding> {
    let answered = step(story, answer)?;
    let wanted_name =
        wanted.map_or_else(|| "another group".to_string(), |id| group(KeyExchange(id)));
    let sent = round.request.as_ref().and_then(|m| m.ke_group);
    let sent_name = sent.map_or_else(
        || "a key".to_string(),
        |id| say!("a key for {}", group(KeyExchange(id))),
    );
    let mut finding = Finding::failure(
        &KE_GROUP_MISMATCH,
        Stage::IkeNegotiation,
        Basis::Seen,
        say!(
            "The client sent {sent_name}; the gateway wants {wanted_name}, and the client did not come back with one."
        ),
    );
    if let Some(asked) = round.request.as_ref().and_then(|m| step(story, m)) {
        finding = finding.frame(asked.at, say!("IKE_SA_INIT request with {sent_name}"));
    }
    let finding = finding.step(
        answered,
        &say!(" with N(INVALID_KE_PAYLOAD) asking for {wanted_name}"),
    );
    let patient = story.session.vantage.watched_after >= crate::time::Span::from_secs(2)
        || story.facts.init_rounds().count() > 2;
    Some(if patient {
        finding
    } else {
        finding.inconclusive()
    })
}

fn version(story: &Story<'_>, answer: &Message) -> Option<Finding> {
    let asked = story
        .session
        .steps
        .iter()
        .find(|s| s.from == Side::Client)?;
    let answered = step(story, answer)?;
    Some(
        Finding::failure(
            &VERSION_MISMATCH,
            Stage::IkeNegotiation,
            Basis::Seen,
            "The gateway answered INVALID_MAJOR_VERSION: it does not speak the client's version of IKE.".to_string(),
        )
        .frame(asked.at, asked.message.to_string())
        .step(answered, " with N(INVALID_MAJOR_VERSION)"),
    )
}

fn simple(
    story: &Story<'_>,
    answer: &Message,
    cause: &'static crate::diagnose::Cause,
    name: &str,
) -> Option<Finding> {
    let answered = step(story, answer)?;
    Some(
        Finding::failure(
            cause,
            Stage::IkeNegotiation,
            Basis::Seen,
            say!("The gateway answered {name}."),
        )
        .step(answered, &say!(" with N({name})")),
    )
}

/// The client repeats its request after the error.
fn ignored(story: &Story<'_>, round: &Exchange, answer: &Message, findings: &mut Findings) {
    if let Some(asked) = round.request.as_ref().and_then(|m| step(story, m)) {
        error_ignored(asked, answer.at, findings);
    }
}

/// The client sends what was refused again, as if there were no error.
pub(super) fn error_ignored(asked: &Step, refused: Stamp, findings: &mut Findings) {
    let again: Vec<_> = asked
        .repeats
        .stamps
        .iter()
        .filter(|stamp| stamp.time > refused.time)
        .collect();
    if again.is_empty() {
        return;
    }
    let mut finding = Finding::failure(
        &ERROR_IGNORED,
        Stage::IkeNegotiation,
        Basis::Seen,
        say!(
            "After the error answer the client sent the same message {} more time(s).",
            again.len()
        ),
    )
    .sure(Confidence::Likely)
    .frame(refused, "the error answer");
    for stamp in again {
        finding = finding.frame(*stamp, say!("{} again", asked.message));
    }
    findings.push(finding);
}

fn cookies(story: &Story<'_>, findings: &mut Findings) {
    const COOKIE: u16 = 16390;
    let rounds: Vec<_> = story
        .facts
        .init_rounds()
        .filter_map(|e| e.response.as_ref())
        .filter(|m| m.notify(COOKIE).is_some() && !m.has(33))
        .collect();
    if rounds.len() < 3 {
        return;
    }
    let mut finding = Finding::failure(
        &COOKIE_LOOP,
        Stage::IkeNegotiation,
        Basis::Seen,
        say!(
            "The gateway answered {} rounds of IKE_SA_INIT with a COOKIE and nothing else.",
            rounds.len()
        ),
    );
    for message in rounds.iter().take(8) {
        finding = finding.frame(message.at, "IKE_SA_INIT response with N(COOKIE) only");
    }
    findings.push(finding);
}

/// The first message cannot be read, and nobody answered it.
fn malformed(story: &Story<'_>, findings: &mut Findings) {
    let session = story.session;
    let Some(fault) = session.unreadable.iter().find(|u| u.from == Side::Client) else {
        return;
    };
    let first = story.facts.exchanges.first();
    if session.vantage.truncated > 0 || first.is_none_or(|e| e.kind != kind::SA_INIT) {
        return;
    }
    findings.push(
        Finding::failure(
            &MALFORMED_MESSAGE,
            Stage::IkeNegotiation,
            Basis::Inferred,
            say!(
                "The client's message is faulty ({}: {} at octet {}), and nothing answered it.",
                fault.what,
                fault.reason,
                fault.offset
            ),
        )
        .frame(fault.at, say!("{} at octet {}", fault.reason, fault.offset)),
    );
}
