//! Did the DTLS channel come about?

use vpnscope_dissectors::tls::{AlertDescription, HandshakeType, KeyExchange};

use super::certificates::alert_cause;
use super::path::FRAGMENT_LOST;
use super::reachability::{NO_RESPONSE, RESPONSE_LOST};
use super::tcp::cause_of;
use crate::diagnose::tls::{Phase, Story, is_tunnel};
use crate::diagnose::{
    Basis, Cause, Confidence, Context, Family, Finding, Findings, Outcome, Severity, Stage, cause,
    say,
};
use crate::time::Span;
use crate::track::session::{IcmpFact, Session, Side};
use crate::track::tls::connection::AlertSeen;
use crate::track::tls::{Answer, Association, Hello};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "dtls",
    causes: &[
        &DTLS_MISSING,
        &DTLS_CIPHER_MISMATCH,
        &DTLS_VERSION_MISMATCH,
        &DTLS_SESSION_UNKNOWN,
        &DTLS_ALERT,
        &DTLS_MTU,
    ],
    check,
};

cause! {
    /// ## What it means
    /// The VPN works over TLS alone: its data channel over UDP is missing. Everything runs
    /// through TCP inside TCP, which is slow and stalls when packets are lost.
    ///
    /// ## What is seen
    /// A tunnel over TLS, and either no DTLS at all, or `ClientHello`s over UDP that nobody
    /// answers.
    ///
    /// ## Likely causes
    /// - UDP to the gateway's DTLS port is blocked on the way.
    /// - DTLS is switched off on the gateway or in the client, or a proxy is in use.
    /// - The gateway offers no DTLS version or suite that the client knows.
    ///
    /// ## What to check on each side
    /// - Gateway: whether the UDP port listens and DTLS is enabled for the user's group.
    /// - Path: whether UDP on that port passes both ways.
    ///
    /// ## When this is wrong
    /// When the capture shows TCP only because of its filter.
    pub(super) static DTLS_MISSING = {
        code: "dtls-missing",
        title: "the VPN runs over TLS alone, its DTLS channel is missing",
        remedies: [
            "Permit UDP to the gateway's DTLS port (often 443) in both directions.",
            "Switch DTLS on at the gateway, for this group of users, and in the client.",
        ],
        needs: "a capture at the gateway at the same time: whether the ClientHello over UDP arrives",
    }
}

cause! {
    /// ## What it means
    /// Client and gateway have no cipher suite in common for DTLS, or the gateway took another
    /// one than was agreed inside TLS.
    ///
    /// ## What is seen
    /// A `ServerHello` with a suite that the client did not offer, an alert in answer to the
    /// hello, or the alert `illegal_parameter` of a client whose resumed session came with
    /// another suite ("old session cipher not returned").
    ///
    /// ## Likely causes
    /// - The lists of suites for TLS and for DTLS differ on the gateway.
    ///
    /// ## What to check on each side
    /// - Gateway: the suites of DTLS (on an ASA `ssl cipher dtlsv1`), aligned with those of
    ///   TLS.
    ///
    /// ## When this is wrong
    /// When the message was changed on the way.
    pub(super) static DTLS_CIPHER_MISMATCH = {
        code: "dtls-cipher-mismatch",
        title: "no cipher suite in common for DTLS",
        remedies: [
            "Align the gateway's cipher suites of DTLS with those of TLS.",
            "Permit on the gateway a DTLS suite that the client offers.",
        ],
    }
}

cause! {
    /// ## What it means
    /// Client and gateway have no version of DTLS in common.
    ///
    /// ## What is seen
    /// The alert `protocol_version`, or hellos of a version that the other side does not
    /// answer.
    ///
    /// ## Likely causes
    /// - Old AnyConnect clients speak a version before DTLS 1.0 (`0x0100`) that the gateway no
    ///   longer allows.
    /// - One side knows DTLS 1.2 only, the other DTLS 1.0 or 1.3 only.
    ///
    /// ## What to check on each side
    /// - Gateway: `dtls-legacy`, `cisco-client-compat` or the like, and the versions allowed.
    ///
    /// ## When this is wrong
    /// Some servers send this alert for anything they do not like in a hello.
    pub(super) static DTLS_VERSION_MISMATCH = {
        code: "dtls-version-mismatch",
        title: "no DTLS version in common",
        remedies: [
            "Permit a DTLS version on the gateway that the client knows, or update the client.",
        ],
    }
}

cause! {
    /// ## What it means
    /// The gateway that answers over UDP does not know the session that was agreed over TLS.
    ///
    /// ## What is seen
    /// A hello that wants to resume a session, answered by a full handshake with a
    /// certificate; the client stops.
    ///
    /// ## Likely causes
    /// - A load balancer sends TCP and UDP to different servers of a cluster.
    /// - The session has expired on the gateway.
    ///
    /// ## What to check on each side
    /// - Load balancer: the same server for TCP and UDP of one client.
    ///
    /// ## When this is wrong
    /// When the client could have done the full handshake and stopped for another reason.
    pub(super) static DTLS_SESSION_UNKNOWN = {
        code: "dtls-session-unknown",
        title: "the server that answers over UDP does not know the session",
        remedies: [
            "Send TCP and UDP of one client to the same server of the cluster.",
        ],
    }
}

cause! {
    /// ## What it means
    /// The DTLS handshake ended with an alert.
    ///
    /// ## What is seen
    /// The alert in clear.
    ///
    /// ## Likely causes
    /// - What the alert says; see the summary.
    ///
    /// ## What to check on each side
    /// - The log of the side that sent the alert.
    ///
    /// ## When this is wrong
    /// Alerts in clear are not authenticated: anybody on the path can send one.
    pub(super) static DTLS_ALERT = {
        code: "dtls-alert",
        title: "the DTLS handshake ended with an alert",
        remedies: ["Read the log of the side that sent the alert."],
    }
}

cause! {
    /// ## What it means
    /// The large messages of the DTLS handshake do not arrive.
    ///
    /// ## What is seen
    /// The gateway's flight arrives again and again with a gap: the `ServerHello` and the end of
    /// the flight are there, the certificate or pieces of it never.
    ///
    /// ## Likely causes
    /// - The gateway sends its certificate in datagrams larger than the path takes, and the IP
    ///   fragments are dropped.
    ///
    /// ## What to check on each side
    /// - Gateway: its DTLS MTU; a value of 1200 crosses nearly every path.
    /// - Path: whether IP fragments pass.
    ///
    /// ## When this is wrong
    /// When the capture lost the same datagrams each time, for instance by a filter on ports,
    /// which IP fragments never match.
    pub(super) static DTLS_MTU = {
        code: "dtls-mtu",
        title: "large messages of the DTLS handshake do not arrive",
        remedies: [
            "Lower the DTLS MTU of the gateway, so that its messages need no IP fragments.",
            "Permit IP fragments on the path.",
            "Use a shorter certificate chain.",
        ],
        needs: "a capture at the gateway at the same time",
    }
}

fn check(session: &Session, context: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session, context) else {
        return;
    };
    if findings.any_trouble() || story.facts.has_tunnel() {
        return;
    }
    let Some(association) = story.association() else {
        if !context.has_lone_tunnel(session) {
            never_tried(&story, findings);
        }
        return;
    };
    if association.started_late {
        return;
    }
    if let Some(mut found) = judge(&story, association) {
        // Its channel over TCP was not found, but there is one: the data may travel there.
        let ends = (session.client.ip, session.gateway.ip);
        if story.channel.is_none() && context.channels.contains(&ends) {
            found.severity = found.severity.max(Severity::Warning);
            if found.outcome == Outcome::Failed {
                found.outcome = Outcome::Degraded;
            }
            if found.cause.code == NO_RESPONSE.code {
                found.cause = &DTLS_MISSING;
            }
        }
        findings.push(found);
    }
}

/// A failure where DTLS is all there is, a degradation where TLS goes on without it.
fn finding(story: &Story<'_>, cause: &'static Cause, basis: Basis, summary: String) -> Finding {
    let works = story.channel.is_some() && story.phase >= Phase::Up;
    if works {
        Finding::degradation(cause, Stage::DtlsHandshake, basis, summary)
    } else {
        Finding::failure(cause, Stage::DtlsHandshake, basis, summary)
    }
}

/// A tunnel over TLS without any DTLS.
fn never_tried(story: &Story<'_>, findings: &mut Findings) {
    if story.channel.is_none() || story.phase != Phase::Up || !is_tunnel(story) {
        return;
    }
    let Some(connection) = story.channel.filter(|connection| !connection.started_late) else {
        return;
    };
    let octets = story.facts.flow.tcp;
    let mut finding = Finding::degradation(
        &DTLS_MISSING,
        Stage::DtlsHandshake,
        Basis::Absence { of: Side::Client },
        say!(
            "The tunnel runs over TLS alone ({} and {} octets): the client sent no DTLS to the gateway.",
            octets.client.octets, octets.gateway.octets
        ),
    )
    .remedy("No ClientHello over UDP was seen: either DTLS is switched off on one side or not offered by the gateway, or the capture stands behind what blocks it.");
    if let Some(hello) = connection.hello() {
        finding = finding.frame(hello.at, "ClientHello of the TLS channel");
    }
    for side in [octets.client, octets.gateway] {
        if let Some(at) = side.last {
            finding = finding.frame(at, "data over TLS");
        }
    }
    for record in story.data().take(40) {
        if record.at.time - connection.hello().map_or(record.at, |h| h.at).time > Span::from_secs(1)
        {
            finding = finding.frame(record.at, "tunnel record over TLS");
            break;
        }
    }
    findings.push(finding);
}

fn judge(story: &Story<'_>, association: &Association) -> Option<Finding> {
    refused_by_icmp(story, association)
        .or_else(|| by_alert(story, association))
        .or_else(|| other_suite(story, association))
        .or_else(|| unknown_session(story, association))
        .or_else(|| gap_in_flight(story, association))
        .or_else(|| not_heard(story, association))
        .or_else(|| unanswered(story, association))
}

fn is_about(icmp: &IcmpFact, association: &Association, side: Side) -> bool {
    let flow = association.flow;
    let ports = match side {
        Side::Client => (flow.source.1, flow.destination.1),
        Side::Gateway => (flow.destination.1, flow.source.1),
    };
    icmp.protocol == 17 && icmp.about == side && icmp.ports == ports
}

fn refused_by_icmp(story: &Story<'_>, association: &Association) -> Option<Finding> {
    let (icmp, cause) = story.session.icmp.iter().find_map(|icmp| {
        is_about(icmp, association, Side::Client)
            .then(|| cause_of(icmp))
            .flatten()
            .map(|cause| (icmp, cause))
    })?;
    let family = if icmp.v6 { "ICMPv6" } else { "ICMP" };
    let hello = association.hello();
    let found = finding(
        story,
        cause,
        Basis::Seen,
        say!(
            "{} answered the DTLS ClientHello to port {} with {family} type {} code {}{}.",
            icmp.reporter,
            association.flow.destination.1,
            icmp.icmp_type,
            icmp.code,
            fallback(story)
        ),
    )
    .frame(icmp.at, say!("{family} error from {}", icmp.reporter));
    Some(with_hello(found, hello))
}

fn with_hello(finding: Finding, hello: Option<&Hello>) -> Finding {
    match hello {
        Some(hello) => finding.frame(hello.at, "DTLS ClientHello"),
        None => finding,
    }
}

/// What became of the tunnel.
fn fallback(story: &Story<'_>) -> &'static str {
    if story.channel.is_some() && story.phase == Phase::Up {
        "; the tunnel runs over TLS alone"
    } else {
        ""
    }
}

fn by_alert(story: &Story<'_>, association: &Association) -> Option<Finding> {
    let alert = association
        .alerts
        .iter()
        .find(|alert| alert.alert.ends(false))?;
    let (cause, basis) = alert_means(association, alert);
    let description = alert.alert.description;
    let mut found = finding(
        story,
        cause,
        basis,
        say!(
            "The {} ended the DTLS handshake with the alert {description}{}{}.",
            alert.from.word(),
            contrast(association),
            fallback(story)
        ),
    )
    .frame(
        alert.at,
        say!("alert {description} of the {}", alert.from.word()),
    );
    found = with_hello(found, association.hello());
    if let Some(answer) = association.answer() {
        found = found.frame(answer.at, "ServerHello");
    }
    Some(found)
}

fn alert_means(association: &Association, alert: &AlertSeen) -> (&'static Cause, Basis) {
    let description = alert.alert.description;
    let answered = association.answer().is_some();
    let other = association
        .answer()
        .zip(association.hello())
        .is_some_and(|(answer, hello)| is_other_suite(hello, answer));
    match description {
        AlertDescription::PROTOCOL_VERSION => (&DTLS_VERSION_MISMATCH, Basis::Seen),
        AlertDescription::INSUFFICIENT_SECURITY => (&DTLS_CIPHER_MISMATCH, Basis::Seen),
        AlertDescription::HANDSHAKE_FAILURE if !answered && alert.from == Side::Gateway => {
            (&DTLS_CIPHER_MISMATCH, Basis::Seen)
        }
        AlertDescription::ILLEGAL_PARAMETER if other => (&DTLS_CIPHER_MISMATCH, Basis::Seen),
        AlertDescription::ILLEGAL_PARAMETER if answered && resumes(association) => {
            (&DTLS_CIPHER_MISMATCH, Basis::Inferred)
        }
        // What a server says that finds nothing to use in the hello.
        AlertDescription::MISSING_EXTENSION | AlertDescription::ILLEGAL_PARAMETER
            if !answered && alert.from == Side::Gateway =>
        {
            (&DTLS_CIPHER_MISMATCH, Basis::Inferred)
        }
        other => (alert_cause(other).unwrap_or(&DTLS_ALERT), Basis::Seen),
    }
}

/// Whether the server chose a suite that is not among those offered.
fn is_other_suite(hello: &Hello, answer: &Answer) -> bool {
    !hello.suites.is_empty() && hello.suites.len() < 128 && !hello.suites.contains(&answer.suite)
}

/// Whether the server agreed to resume the session that the client named.
fn resumes(association: &Association) -> bool {
    association
        .answer()
        .zip(association.hello())
        .is_some_and(|(answer, hello)| {
            !hello.session_id.is_empty() && hello.session_id == answer.session_id
        })
}

fn contrast(association: &Association) -> String {
    match (association.answer(), association.hello()) {
        (Some(answer), Some(hello)) if is_other_suite(hello, answer) => say!(
            ": it offered {} suite(s), and the gateway chose {}, which is not among them",
            hello.suites.len(),
            answer.suite
        ),
        (None, Some(hello)) => say!(
            "; the client offers {}, {} suite(s)",
            hello.newest(),
            hello.suites.len()
        ),
        _ => String::new(),
    }
}

fn other_suite(story: &Story<'_>, association: &Association) -> Option<Finding> {
    let (answer, hello) = association.answer().zip(association.hello())?;
    if !is_other_suite(hello, answer) {
        return None;
    }
    let offered: Vec<String> = hello
        .suites
        .iter()
        .take(3)
        .map(ToString::to_string)
        .collect();
    let found = finding(
        story,
        &DTLS_CIPHER_MISMATCH,
        Basis::Seen,
        say!(
            "The gateway's DTLS ServerHello names {}, which the client did not offer ({}); the client went no further{}.",
            answer.suite,
            offered.join(", "),
            fallback(story)
        ),
    )
    .frame(answer.at, "ServerHello with another suite");
    Some(with_hello(found, Some(hello)))
}

fn unknown_session(story: &Story<'_>, association: &Association) -> Option<Finding> {
    let (answer, hello) = association.answer().zip(association.hello())?;
    let psk = matches!(
        answer.suite.key_exchange(),
        KeyExchange::Psk | KeyExchange::PskWith(_)
    );
    let full = association
        .message(Side::Gateway, HandshakeType::CERTIFICATE)
        .is_some();
    let went_on = association
        .message(Side::Client, HandshakeType::CLIENT_KEY_EXCHANGE)
        .is_some();
    let legacy = hello.session_id.len() == 32 && story.channel.is_some();
    if psk || !full || went_on || !legacy || resumes(association) || answer.is_tls13() {
        return None;
    }
    let found = finding(
        story,
        &DTLS_SESSION_UNKNOWN,
        Basis::Inferred,
        say!(
            "The client wanted to resume a session, the gateway began a full handshake with a certificate, and the client stopped{}.",
            fallback(story)
        ),
    )
    .frame(answer.at, "ServerHello with another session id");
    Some(with_hello(found, Some(hello)))
}

/// The gateway's flight came more than once, each time without one of its messages.
fn gap_in_flight(story: &Story<'_>, association: &Association) -> Option<Finding> {
    let flight: Vec<_> = association
        .messages
        .iter()
        .filter(|message| message.from == Side::Gateway)
        .filter(|message| message.message_type != HandshakeType::HELLO_VERIFY_REQUEST)
        .collect();
    let first = flight.iter().map(|message| message.message_seq).min()?;
    let last = flight.iter().map(|message| message.message_seq).max()?;
    let missing: Vec<u16> = (first..=last)
        .filter(|seq| {
            !flight
                .iter()
                .any(|message| message.message_seq == *seq && message.whole)
        })
        .collect();
    let repeated = flight.iter().any(|message| message.repeats.count > 0);
    let went_on = association
        .message(Side::Client, HandshakeType::CLIENT_KEY_EXCHANGE)
        .is_some();
    if missing.is_empty() || !repeated || went_on || last - first > 16 {
        return None;
    }
    let arrived: Vec<String> = flight
        .iter()
        .filter(|message| message.whole)
        .map(|message| message.message_type.to_string())
        .collect();
    let mut found = finding(
        story,
        &DTLS_MTU,
        Basis::Inferred,
        say!(
            "Of the gateway's flight {} arrived, again and again, and message number {} of it never: the one large message (the certificate) does not cross{}.",
            arrived.join(", "),
            missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            fallback(story)
        ),
    )
    .candidates(&["fragment-lost"]);
    for message in association.messages.iter().filter(|m| m.repeats.count > 0) {
        for stamp in message.repeats.stamps.iter().take(4) {
            found = found.frame(*stamp, say!("{} again", message.message_type));
        }
    }
    Some(with_hello(found, association.hello()))
}

/// The gateway answered each time, and the client goes on asking.
fn not_heard(story: &Story<'_>, association: &Association) -> Option<Finding> {
    let answer = association.answer()?;
    let hello = association.messages.iter().rev().find(|message| {
        message.from == Side::Client && message.message_type == HandshakeType::CLIENT_HELLO
    })?;
    let again = hello
        .repeats
        .last
        .filter(|last| last.time > answer.at.time)?;
    let fragmented = association
        .messages
        .iter()
        .find(|message| message.from == Side::Gateway && message.ip_fragments > 1);
    let (cause, summary): (&'static Cause, String) = match fragmented {
        Some(message) => (
            &FRAGMENT_LOST,
            say!(
                "The gateway answered with a flight whose {} needs {} IP fragments, and the client repeated its ClientHello all the same: it does not get the whole flight{}.",
                message.message_type,
                message.ip_fragments,
                fallback(story)
            ),
        ),
        None => (
            &RESPONSE_LOST,
            say!(
                "The gateway answered the DTLS ClientHello, and the client sent it {} times all the same: the answer does not reach it{}.",
                hello.repeats.count + 1,
                fallback(story)
            ),
        ),
    };
    let mut found = finding(story, cause, Basis::Inferred, summary)
        .frame(answer.at, "ServerHello")
        .frame(again, "ClientHello again, after it was answered");
    if let Some(message) = fragmented {
        found = match message.step.and_then(|step| story.session.step(step)) {
            Some(step) => found.step(step, ", in IP fragments"),
            None => found.frame(message.at, "message in IP fragments"),
        };
        for datagram in story.session.incomplete.iter().take(4) {
            found = found.frame(datagram.at, "IP fragments");
        }
    }
    Some(with_hello(found, association.hello()).sure(Confidence::Likely))
}

/// Nothing came back.
fn unanswered(story: &Story<'_>, association: &Association) -> Option<Finding> {
    if association.datagrams.gateway > 0 || association.last.gateway.is_some() {
        return None;
    }
    let hello = association.hello()?;
    let associations = story.facts.associations.iter();
    let sent: u32 = associations
        .clone()
        .flat_map(|known| &known.messages)
        .filter(|message| message.message_type == HandshakeType::CLIENT_HELLO)
        .map(|message| message.repeats.count + 1)
        .sum();
    let last = association.last.client.unwrap_or(hello.at);
    // A client that lives repeats its hello after a second or less.
    if sent < 2 || last.time - hello.at.time < Span::from_millis(500) {
        return None;
    }
    let alone = story.channel.is_none();
    let cause = if alone { &NO_RESPONSE } else { &DTLS_MISSING };
    let mut found = finding(
        story,
        cause,
        Basis::Absence { of: Side::Gateway },
        say!(
            "{sent} DTLS ClientHello(s) to UDP port {} over {}, and no answer{}.",
            association.flow.destination.1,
            last.time - hello.at.time,
            fallback(story)
        ),
    )
    .sure(story.sure_of_silence());
    if alone {
        found = found
            .remedy(say!(
                "Permit UDP port {} in both directions on every firewall of the path.",
                association.flow.destination.1
            ))
            .remedy("Check that the gateway's service listens on this UDP port, and speaks a version of DTLS that the client offers.")
            .remedy("Capture at the gateway at the same time: do the ClientHellos arrive there?")
            .specific();
    }
    for message in associations.flat_map(|known| &known.messages) {
        found = found.frame(message.at, "DTLS ClientHello");
        for stamp in message.repeats.stamps.iter().take(4) {
            found = found.frame(*stamp, "DTLS ClientHello again");
        }
    }
    if story.session.steps.iter().any(|step| step.fragments > 1) {
        found = found.candidates(&["fragment-lost"]);
    }
    Some(found)
}
