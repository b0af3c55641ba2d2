//! Did the TCP connection to the gateway come about?

use super::reachability::{ADMIN_PROHIBITED, NO_RESPONSE, PORT_UNREACHABLE, RESPONSE_LOST};
use crate::diagnose::tls::{Phase, Story};
use crate::diagnose::{
    Basis, Cause, Confidence, Context, Family, Finding, Findings, Stage, cause, say,
};
use crate::time::Span;
use crate::track::session::{IcmpFact, Session, Side};
use crate::track::tls::Connection;

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "tcp-connect",
    causes: &[&TCP_REFUSED, &TCP_NO_ANSWER],
    check,
};

cause! {
    /// ## What it means
    /// The gateway's address answers, but nothing listens on this TCP port, or a firewall says
    /// so in its name.
    ///
    /// ## What is seen
    /// A SYN, answered by a RST.
    ///
    /// ## Likely causes
    /// - The VPN service is stopped, or bound to another address or port.
    /// - The client has the wrong port, or the name resolves to the wrong address.
    /// - A firewall that rejects with RST.
    ///
    /// ## What to check on each side
    /// - Gateway: whether the service runs and listens (`ss -ltn`), and on which address.
    /// - Between: rules for this port.
    ///
    /// ## When this is wrong
    /// When the RST comes from a box on the path: its TTL then differs from that of the
    /// gateway's other packets.
    pub(super) static TCP_REFUSED = {
        code: "tcp-refused",
        title: "the gateway refuses the TCP connection",
        remedies: [
            "Start the VPN service on the gateway, or bind it to this address and port.",
            "Check the port that the client uses, and the address its name resolves to.",
            "Look for a firewall rule that rejects this port.",
        ],
        needs: "a capture at the gateway: whether the SYN arrives there",
    }
}

cause! {
    /// ## What it means
    /// Nobody answers the client's request for a TCP connection.
    ///
    /// ## What is seen
    /// The same SYN several times, in growing intervals, and nothing back.
    ///
    /// ## Likely causes
    /// - A firewall drops the port silently.
    /// - The gateway is down, or the address is wrong.
    /// - The answer is lost on its way back.
    ///
    /// ## What to check on each side
    /// - Client: whether other ports of the gateway answer, and whether the address is right.
    /// - Gateway: whether the SYN arrives, and by which way the answer leaves.
    ///
    /// ## When this is wrong
    /// When the capture sees one direction only, or stands where the answer does not pass.
    pub(super) static TCP_NO_ANSWER = {
        code: "tcp-no-answer",
        title: "nobody answers the TCP connection request",
        remedies: [
            "Permit the TCP port to the gateway on every firewall of the path.",
            "Check that the gateway is up and that its name resolves to the right address.",
        ],
        needs: "a capture at the gateway at the same time: it shows whether the SYN arrives and is answered",
    }
}

fn check(session: &Session, context: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session, context) else {
        return;
    };
    let Some(connection) = story.channel else {
        return;
    };
    match story.phase {
        Phase::Refused => refused(&story, connection, findings),
        Phase::Unanswered => unanswered(&story, connection, findings),
        Phase::Open => answer_lost(&story, connection, findings),
        _ => {}
    }
}

fn refused(story: &Story<'_>, connection: &Connection, findings: &mut Findings) {
    let Some(reset) = connection.reset else {
        return;
    };
    let Some(syn) = connection.opening.syn else {
        return;
    };
    let gateway = story.session.gateway;
    findings.push(
        Finding::failure(
            &TCP_REFUSED,
            Stage::TcpConnect,
            Basis::Seen,
            say!(
                "{} port {} answered the SYN with a RST after {}.",
                gateway.ip,
                gateway.port,
                reset.at.time - syn.time
            ),
        )
        .frame(syn, "TCP SYN")
        .frame(reset.at, "TCP RST in answer"),
    );
}

fn unanswered(story: &Story<'_>, connection: &Connection, findings: &mut Findings) {
    let session = story.session;
    if let Some(icmp) = about_client(session) {
        rejected(session, connection, icmp, findings);
        return;
    }
    let opening = &connection.opening;
    let (Some(syn), Some(last)) = (opening.syn, opening.last_syn) else {
        return;
    };
    let watched = session.vantage.watched_after;
    let waited = Span((last.time - syn.time).0.saturating_add(watched.0));
    if is_too_early(opening.syns, waited) {
        return;
    }
    let mut finding = Finding::failure(
        &TCP_NO_ANSWER,
        Stage::TcpConnect,
        Basis::Absence { of: Side::Gateway },
        say!(
            "{} SYN(s) to {} port {} over {}, and no answer.",
            opening.syns,
            session.gateway.ip,
            session.gateway.port,
            last.time - syn.time
        ),
    )
    .candidates(&["request-never-arrived", "response-lost"]);
    finding = match session.steps.iter().find(|step| step.from == Side::Client) {
        Some(step) => finding.step(step, ", unanswered"),
        None => finding.frame(syn, "TCP SYN, unanswered"),
    };
    findings.push(finding);
}

/// Whether an answer to so many SYNs may still come after so long: a client that hears nothing
/// repeats its SYN after a second.
pub(crate) fn is_too_early(syns: u8, waited: Span) -> bool {
    syns < 2 && waited < Span::from_secs(3)
}

/// The first ICMP error about a segment of the client.
pub(super) fn about_client(session: &Session) -> Option<&IcmpFact> {
    session
        .icmp
        .iter()
        .find(|icmp| icmp.about == Side::Client && icmp.protocol == 6 && cause_of(icmp).is_some())
}

/// What an ICMP error says of a service.
pub(super) fn cause_of(icmp: &IcmpFact) -> Option<&'static Cause> {
    if icmp.is_prohibited() {
        Some(&ADMIN_PROHIBITED)
    } else if icmp.is_port_unreachable() {
        Some(&PORT_UNREACHABLE)
    } else if icmp.is_unreachable() {
        Some(&NO_RESPONSE)
    } else {
        None
    }
}

fn rejected(session: &Session, connection: &Connection, icmp: &IcmpFact, findings: &mut Findings) {
    let Some(cause) = cause_of(icmp) else { return };
    let family = if icmp.v6 { "ICMPv6" } else { "ICMP" };
    let mut finding = Finding::failure(
        cause,
        Stage::TcpConnect,
        Basis::Seen,
        say!(
            "{} answered the SYN to {} port {} with {family} type {} code {}.",
            icmp.reporter,
            session.gateway.ip,
            session.gateway.port,
            icmp.icmp_type,
            icmp.code
        ),
    )
    .frame(icmp.at, say!("{family} error from {}", icmp.reporter));
    if let Some(syn) = connection.opening.syn {
        finding = finding.frame(syn, "TCP SYN that it quotes");
    }
    findings.push(finding);
}

/// The gateway answered, and the client goes on asking: it did not hear.
fn answer_lost(story: &Story<'_>, connection: &Connection, findings: &mut Findings) {
    let opening = &connection.opening;
    let (Some(answer), Some(last)) = (opening.answer, opening.last_syn) else {
        return;
    };
    if opening.acknowledged || opening.syns < 2 || last.time <= answer.time {
        return;
    }
    let mut finding = Finding::failure(
        &RESPONSE_LOST,
        Stage::TcpConnect,
        Basis::Inferred,
        say!(
            "The gateway answered the SYN, and the client sent it {} times all the same: the answer does not reach it.",
            opening.syns
        ),
    )
    .sure(Confidence::Likely)
    .frame(answer, "SYN, ACK of the gateway");
    if let Some(step) = story.session.steps.iter().find(|s| s.from == Side::Client) {
        finding = finding.step(step, ", repeated after it was answered");
    }
    findings.push(finding);
}
