//! Did client and gateway agree on TLS?

use vpnscope_dissectors::tls::{AlertDescription, Authentication, KeyExchange, Version};

use super::reachability::NO_RESPONSE;
use super::tls_alerts;
use crate::diagnose::tls::{End, Phase, Story, said_in_all};
use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, cause, say};
use crate::time::Span;
use crate::track::session::{Session, Side};
use crate::track::tls::connection::{AlertSeen, Reset};
use crate::track::tls::{Connection, Hello};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "tls-handshake",
    causes: &[
        &TLS_HELLO_REJECTED,
        &TLS_VERSION_MISMATCH,
        &TLS_CIPHER_MISMATCH,
        &TLS_GROUP_MISMATCH,
        &NOT_TLS,
        &TCP_RESET,
        &GATEWAY_LIMIT,
    ],
    check,
};

cause! {
    /// ## What it means
    /// The gateway read the client's first message and hung up without saying why. Version,
    /// cipher suites, groups or signature schemes do not suit it.
    ///
    /// ## What is seen
    /// A `ClientHello`, acknowledged by TCP, and then a FIN from the gateway with not one
    /// octet of TLS before it. Servers with GnuTLS, ocserv among them, do so where others send
    /// an alert.
    ///
    /// ## Likely causes
    /// - The client offers only versions that the gateway has switched off, or the other way
    ///   round.
    /// - No cipher suite in common: only RSA key exchange against an elliptic-curve
    ///   certificate, or only suites that the gateway's policy forbids.
    /// - No group in common in TLS 1.3.
    ///
    /// ## What to check on each side
    /// - Gateway: its log at that time, and its TLS priorities.
    /// - Client: which versions and suites it offers; they stand in the report.
    ///
    /// ## When this is wrong
    /// When the gateway closed for another reason, such as a limit or an address that it bans.
    pub(super) static TLS_HELLO_REJECTED = {
        code: "tls-hello-rejected",
        title: "the gateway closes after the ClientHello without an alert",
        remedies: [
            "Read the gateway's log for this time: it names what it did not like.",
            "Compare the versions and cipher suites that the client offers with what the gateway allows.",
            "Permit TLS 1.2 and 1.3 with the usual ECDHE suites on both sides.",
        ],
        needs: "the gateway's log: without an alert the capture cannot tell version, suite and group apart",
    }
}

cause! {
    /// ## What it means
    /// Client and gateway have no version of TLS in common.
    ///
    /// ## What is seen
    /// The alert `protocol_version`, or a ServerHello of a version that the client did not
    /// offer, after which the client leaves.
    ///
    /// ## Likely causes
    /// - An upgrade switched off TLS 1.0 and 1.1 on the gateway, and the client knows nothing
    ///   newer.
    /// - The client demands TLS 1.3, and the gateway is too old for it.
    ///
    /// ## What to check on each side
    /// - The versions that each side allows; the client's stand in the report.
    ///
    /// ## When this is wrong
    /// Some servers send this alert for anything they do not like in a hello.
    pub(super) static TLS_VERSION_MISMATCH = {
        code: "tls-version-mismatch",
        title: "no TLS version in common",
        remedies: [
            "Allow TLS 1.2 on both sides, or a version that both know.",
            "Update the older of the two.",
        ],
    }
}

cause! {
    /// ## What it means
    /// Client and gateway have no cipher suite in common, or none that fits the gateway's
    /// certificate.
    ///
    /// ## What is seen
    /// The alert `handshake_failure` or `insufficient_security` in answer to the
    /// `ClientHello`.
    ///
    /// ## Likely causes
    /// - The gateway's policy was tightened, and the client offers only what it forbids.
    /// - The gateway's certificate has an elliptic-curve key, and the client knows only RSA
    ///   suites, or the other way round.
    ///
    /// ## What to check on each side
    /// - The gateway's list of suites against the client's offer.
    /// - The kind of key in the gateway's certificate.
    ///
    /// ## When this is wrong
    /// The same alert stands for a missing signature scheme, and for a client certificate that
    /// the gateway does not like.
    pub(super) static TLS_CIPHER_MISMATCH = {
        code: "tls-cipher-mismatch",
        title: "no cipher suite in common",
        remedies: [
            "Permit a suite on the gateway that the client offers, or update the client.",
            "Give the gateway a certificate with a key that the client's suites can use.",
        ],
        needs: "the gateway's list of cipher suites, or its log",
    }
}

cause! {
    /// ## What it means
    /// Client and gateway have no key exchange group in common.
    ///
    /// ## What is seen
    /// A refusal in answer to a `ClientHello` whose suites are the usual ones and whose list
    /// of groups is short, or a HelloRetryRequest for a group that the client does not have.
    ///
    /// ## Likely causes
    /// - One side was restricted to certain curves, or to finite-field groups.
    ///
    /// ## What to check on each side
    /// - The list of groups (curves) on both sides.
    ///
    /// ## When this is wrong
    /// When a signature scheme is missing instead: the alert is the same.
    pub(super) static TLS_GROUP_MISMATCH = {
        code: "tls-group-mismatch",
        title: "no key exchange group in common",
        remedies: ["Permit secp256r1 or x25519 on both sides."],
        needs: "the gateway's list of groups, or its log",
    }
}

cause! {
    /// ## What it means
    /// What answers on this port does not speak TLS.
    ///
    /// ## What is seen
    /// A `ClientHello`, and an answer that is no TLS record: HTTP, a banner, HTML.
    ///
    /// ## Likely causes
    /// - Another service listens on the port, or TLS is not switched on in it.
    /// - A proxy or captive portal answers in the gateway's place.
    /// - The client has the wrong port.
    ///
    /// ## What to check on each side
    /// - Gateway: what listens on the port, and whether TLS is configured.
    /// - Client's network: a proxy or portal between.
    ///
    /// ## When this is wrong
    /// Hardly ever: the octets stand in the capture.
    pub(super) static NOT_TLS = {
        code: "not-tls",
        title: "the other side does not speak TLS on this port",
        remedies: [
            "Check what listens on this port of the gateway, and that TLS is switched on in it.",
            "Look for a proxy or captive portal between client and gateway.",
        ],
    }
}

cause! {
    /// ## What it means
    /// The connection was reset in the middle of the TLS handshake.
    ///
    /// ## What is seen
    /// A RST after the `ClientHello`, with no TLS of the gateway before it.
    ///
    /// ## Likely causes
    /// - A firewall or provider filters by the name in the `ClientHello` (SNI) and sends the
    ///   RST in the gateway's name: its TTL differs from that of the gateway's packets.
    /// - The gateway is full or bans the address, and resets instead of answering.
    /// - The service crashed on the message.
    ///
    /// ## What to check on each side
    /// - The TTL of the RST and of the gateway's SYN, ACK.
    /// - Gateway: its log, limits and ban list at that time.
    ///
    /// ## When this is wrong
    /// When the TTL differs because the gateway is a cluster behind a load balancer.
    pub(super) static TCP_RESET = {
        code: "tcp-reset",
        title: "the connection is reset during the TLS handshake",
        remedies: [
            "Capture at the gateway: if no RST leaves there, a box on the path sends it.",
            "Read the gateway's log at that time: limits, bans, crashes.",
            "Try another name or port, to see whether a filter looks at the name.",
        ],
        needs: "a capture at the gateway at the same time: it shows who sends the RST",
    }
}

cause! {
    /// ## What it means
    /// The gateway serves others and turns this client away: it has as many sessions as it
    /// may have.
    ///
    /// ## What is seen
    /// While other sessions with the same gateway go on, a new one is accepted by TCP and
    /// reset or closed before or right after the login.
    ///
    /// ## Likely causes
    /// - The number of clients, of sessions of one user, or of licences is used up.
    ///
    /// ## What to check on each side
    /// - Gateway: limits (`max-clients`, `max-same-clients`), licences, and old sessions that
    ///   hold a place.
    ///
    /// ## When this is wrong
    /// When the client is banned, or the gateway crashed in this one session.
    pub(super) static GATEWAY_LIMIT = {
        code: "gateway-limit",
        title: "the gateway is full",
        remedies: [
            "Raise the gateway's limit of clients, or of sessions of one user.",
            "End stale sessions on the gateway.",
        ],
        needs: "the gateway's log: it names the limit",
    }
}

fn check(session: &Session, context: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session, context) else {
        return;
    };
    let Some(connection) = story.channel else {
        return;
    };
    if findings.any_trouble() || story.phase < Phase::HelloSent {
        return;
    }
    if let Some(foreign) = &connection.not_tls {
        not_tls(&story, foreign, findings);
        return;
    }
    if story.phase == Phase::Up {
        return;
    }
    if let Some(found) = unknown_group(connection) {
        findings.push(found);
        return;
    }
    if let Some(alert) = tls_alerts::deciding(connection, story.end) {
        alerted(&story, connection, alert, findings);
        return;
    }
    match story.phase {
        Phase::HelloSent => after_hello(&story, connection, context, findings),
        Phase::Answered | Phase::Flight | Phase::ClientFinished => {
            broken_off(&story, connection, findings);
        }
        _ => {}
    }
}

/// A gateway that asks, with a `HelloRetryRequest`, for a group that the client did not name.
fn unknown_group(connection: &Connection) -> Option<Finding> {
    let (hello, retry) = (connection.hello()?, connection.answers.last()?);
    let group = retry.group.filter(|_| retry.is_retry)?;
    if hello.groups.is_empty() || !hello.is_whole || hello.groups.contains(&group) {
        return None;
    }
    let mut finding = Finding::failure(
        &TLS_GROUP_MISMATCH,
        Stage::TlsHandshake,
        Basis::Seen,
        say!(
            "The gateway asks for a key of the group {group}, which is not among those of the client: it offers {}.",
            offer(hello)
        ),
    )
    .frame(hello.at, "ClientHello")
    .frame(retry.at, say!("HelloRetryRequest for {group}"));
    if let Some(alert) = connection.alerts.first() {
        let description = alert.alert.description;
        finding = finding.frame(alert.at, say!("alert {description}"));
    }
    Some(finding)
}

/// Whether all that a server could miss in a hello is a group: of TLS 1.3 alone, with the
/// usual suites and signature schemes, and hardly any group.
fn lacks_groups_only(hello: &Hello) -> bool {
    hello.is_whole
        && hello.oldest_listed().rank() >= Version::TLS_1_3.rank()
        && hello.suites.iter().filter(|suite| suite.is_tls13()).count() >= 3
        && hello.schemes.len() >= 6
        && (1..=2).contains(&hello.groups.len())
}

fn not_tls(
    story: &Story<'_>,
    foreign: &crate::track::tls::connection::NotTls,
    findings: &mut Findings,
) {
    let text: String = foreign
        .octets
        .iter()
        .take_while(|octet| octet.is_ascii_graphic() || **octet == b' ')
        .take(40)
        .map(|octet| char::from(*octet))
        .collect();
    let shown = if text.len() >= 4 {
        say!("\"{text}\"")
    } else {
        vpnscope_dissectors::Octets(foreign.octets.get(..16).unwrap_or(&foreign.octets)).to_string()
    };
    let mut finding = Finding::failure(
        &NOT_TLS,
        Stage::TlsHandshake,
        Basis::Seen,
        say!(
            "The {} on port {} answered the ClientHello with {shown}, which is no TLS.",
            foreign.from.word(),
            story.session.gateway.port
        ),
    )
    .frame(foreign.at, "answer that is no TLS");
    if let Some(hello) = story.channel.and_then(Connection::hello) {
        finding = finding.frame(hello.at, "ClientHello");
    }
    findings.push(finding);
}

/// What speaks for which mismatch in a hello that was refused, the likeliest first.
pub(super) fn suspects(hello: &Hello) -> Vec<&'static str> {
    let mut list = Vec::new();
    let rank = Version::TLS_1_2.rank();
    let only_new =
        hello.oldest_listed().rank() > rank || hello.suites.iter().all(|suite| suite.is_tls13());
    let only_old = hello.newest().rank() < rank;
    let has_tls13 = hello.newest().rank() > rank;
    let old_suites = || hello.suites.iter().filter(|suite| !suite.is_tls13());
    let one_kind = old_suites().next().is_some()
        && (old_suites().all(|suite| suite.key_exchange() == KeyExchange::Rsa)
            || old_suites().all(|suite| suite.authentication() == Authentication::Ecdsa));
    if only_old || only_new {
        list.push("tls-version-mismatch");
    }
    if one_kind || hello.suites.len() <= 2 {
        list.push("tls-cipher-mismatch");
    }
    if (has_tls13 || !hello.groups.is_empty()) && hello.groups.len() <= 2 {
        list.push("tls-group-mismatch");
    }
    for code in ["tls-version-mismatch", "tls-cipher-mismatch"] {
        if !list.contains(&code) {
            list.push(code);
        }
    }
    if has_tls13 && !list.contains(&"tls-group-mismatch") {
        list.push("tls-group-mismatch");
    }
    list
}

/// What a hello offers, in a few words.
pub(super) fn offer(hello: &Hello) -> String {
    let versions = if hello.versions.len() > 1 {
        say!("{} to {}", hello.oldest_listed(), hello.newest())
    } else {
        say!("{}", hello.newest())
    };
    let mut text = say!("{versions}, {} cipher suite(s)", hello.suites.len());
    if let ([only], _) | ([only, ..], true) = (&hello.suites[..], hello.suites.len() <= 3) {
        text = say!("{versions}, {} suite(s) such as {only}", hello.suites.len());
    }
    if !hello.groups.is_empty() {
        let groups: Vec<String> = hello
            .groups
            .iter()
            .take(4)
            .map(ToString::to_string)
            .collect();
        text = say!("{text}, groups {}", groups.join(", "));
    }
    text
}

fn alerted(story: &Story<'_>, connection: &Connection, alert: &AlertSeen, findings: &mut Findings) {
    let description = alert.alert.description;
    let before_answer = connection.answers.is_empty();
    let hello = connection.hello();
    let cause = match description {
        AlertDescription::PROTOCOL_VERSION => &TLS_VERSION_MISMATCH,
        AlertDescription::INSUFFICIENT_SECURITY => &TLS_CIPHER_MISMATCH,
        AlertDescription::HANDSHAKE_FAILURE
            if before_answer
                && alert.from == Side::Gateway
                && hello.is_some_and(|hello| hello.newest().rank() <= Version::TLS_1_2.rank()) =>
        {
            &TLS_CIPHER_MISMATCH
        }
        AlertDescription::HANDSHAKE_FAILURE
            if before_answer
                && alert.from == Side::Gateway
                && hello.is_some_and(lacks_groups_only) =>
        {
            &TLS_GROUP_MISMATCH
        }
        AlertDescription::CLOSE_NOTIFY => {
            if story.phase == Phase::HelloSent && alert.from == Side::Gateway {
                rejected(connection, alert.at, "closed with close_notify", findings);
            }
            return;
        }
        other => tls_alerts::cause(other),
    };
    let basis = if cause.code == TLS_GROUP_MISMATCH.code {
        Basis::Inferred
    } else if description == AlertDescription::HANDSHAKE_FAILURE && alert.from == Side::Gateway {
        // A record with an alert, and not an octet more.
        said(connection, 5 + 2)
    } else {
        Basis::Seen
    };
    let mut finding = Finding::failure(
        cause,
        Stage::TlsHandshake,
        basis,
        say!(
            "The {} ended the handshake with the alert {description}{}.",
            alert.from.word(),
            hello
                .filter(|_| before_answer)
                .map_or_else(String::new, |hello| {
                    say!("; the client offers {}", offer(hello))
                })
        ),
    )
    .frame(
        alert.at,
        say!("alert {description} of the {}", alert.from.word()),
    );
    if let Some(hello) = hello {
        finding = finding.frame(hello.at, "ClientHello");
        if before_answer && description == AlertDescription::HANDSHAKE_FAILURE {
            let others = suspects(hello);
            let others: Vec<_> = others
                .into_iter()
                .filter(|code| *code != cause.code)
                .collect();
            finding = finding.candidates(&others);
        }
    }
    findings.push(finding);
}

/// Nothing of the gateway's TLS came after the hello.
fn after_hello(
    story: &Story<'_>,
    connection: &Connection,
    context: &Context,
    findings: &mut Findings,
) {
    let Some(hello) = connection.hellos.last() else {
        return;
    };
    match story.end {
        End::Fin(Side::Gateway, at) => {
            rejected(connection, at, "closed the connection", findings);
        }
        End::Reset(Side::Gateway, _) => {
            if let Some(reset) = connection.reset {
                reset_after_hello(story, connection, reset, context, findings);
            }
        }
        _ => {
            let acked = u64::from(connection.acked.client.octets) >= connection.sent.client;
            let heard = connection.opening.answer.is_some() || connection.last.gateway.is_some();
            if !heard || story.watched(hello.at) < Span::from_secs(4) || connection.gaps > 0 {
                return;
            }
            let mut finding = Finding::failure(
                &NO_RESPONSE,
                Stage::TlsHandshake,
                Basis::Absence { of: Side::Gateway },
                say!(
                    "The gateway accepted the connection{} and said nothing for {}.",
                    if acked {
                        ", acknowledged the ClientHello"
                    } else {
                        ""
                    },
                    story.watched(hello.at)
                ),
            )
            .frame(hello.at, "ClientHello, never answered");
            if let Some(at) = connection.acked.client.at.filter(|_| acked) {
                finding = finding.frame(at, "its acknowledgment by TCP");
            }
            finding = finding.remedy(
                "Restart the VPN service on the gateway: its system accepts connections, the service itself does not answer.",
            )
            .remedy("Capture at the gateway at the same time: if the ClientHello is not there, something on the way lets small segments through and drops large ones.")
            .specific();
            findings.push(finding);
        }
    }
}

/// What it rests on that the gateway said so many octets and no more.
fn said(connection: &Connection, octets: u32) -> Basis {
    if said_in_all(connection, Side::Gateway) == Some(octets) {
        Basis::Proven
    } else {
        Basis::Seen
    }
}

fn rejected(connection: &Connection, at: crate::track::Stamp, how: &str, findings: &mut Findings) {
    let Some(hello) = connection.hellos.last() else {
        return;
    };
    if let Some(retry) = connection.answers.last().filter(|answer| answer.is_retry) {
        let known = retry
            .group
            .is_none_or(|group| hello.groups.contains(&group));
        if !known {
            return;
        }
    }
    findings.push(
        Finding::failure(
            &TLS_HELLO_REJECTED,
            Stage::TlsHandshake,
            said(connection, 0),
            say!(
                "The gateway {how} {} after the ClientHello without any TLS of its own; the client offers {}.",
                at.time - hello.at.time,
                offer(hello)
            ),
        )
        .frame(hello.at, "ClientHello")
        .frame(at, "end by the gateway, no TLS before it")
        .candidates(&suspects(hello)),
    );
}

fn reset_after_hello(
    story: &Story<'_>,
    connection: &Connection,
    reset: Reset,
    context: &Context,
    findings: &mut Findings,
) {
    let Some(hello) = connection.hellos.last() else {
        return;
    };
    let delay = reset.at.time - hello.at.time;
    let endpoint = (story.session.gateway.ip, story.session.gateway.port);
    let others = context.tls_servers.contains(&endpoint);
    let mut finding = Finding::failure(
        &TCP_RESET,
        Stage::TlsHandshake,
        said(connection, 0),
        say!(
            "A RST with the gateway's address came {delay} after the ClientHello, before any TLS of the gateway{}.",
            match reset.usual_ttl {
                Some(usual) if reset.is_foreign() => say!(
                    "; its TTL is {}, that of the gateway's other packets {usual}: a box on the path sent it",
                    reset.ttl
                ),
                _ => String::new(),
            }
        ),
    )
    .frame(hello.at, "ClientHello")
    .frame(reset.at, say!("TCP RST, TTL {}", reset.ttl));
    if reset.is_foreign() {
        finding = finding
            .exclude("gateway-limit", "the RST does not come from the gateway itself")
            .remedy("Look for a filter between the capture and the gateway that reads the name in the ClientHello.");
    } else if others {
        finding = finding.candidates(&["gateway-limit"]).remedy(
            "The gateway serves others in this capture: look at its limits and its ban list first.",
        );
    }
    findings.push(finding);
}

/// The handshake had begun on both sides and was broken off without a word in clear.
fn broken_off(story: &Story<'_>, connection: &Connection, findings: &mut Findings) {
    let Some((by, at)) = story.end.by() else {
        return;
    };
    if connection.gaps > 0 || connection.answer().is_none() {
        return;
    }
    let by_reset = matches!(story.end, End::Reset(..));
    if by == Side::Client && !by_reset {
        // The client may have come for nothing else.
        return;
    }
    let what = if by_reset { "RST" } else { "FIN" };
    findings.push(
        Finding::failure(
            &TCP_RESET,
            Stage::TlsHandshake,
            Basis::Inferred,
            say!(
                "The {} ended the connection with a {what} in the middle of the TLS handshake.",
                by.word()
            ),
        )
        .sure(Confidence::Possible)
        .frame(at, say!("TCP {what} of the {}", by.word())),
    );
}
