//! Did the first packet reach anybody, and did an answer come back?

use crate::diagnose::{
    Basis, Cause, Confidence, Context, Family, Finding, Findings, Stage, cause, say,
};
use crate::time::Span;
use crate::track::ike2::{Exchange, kind};
use crate::track::session::{Session, Side, Step};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "reachability",
    causes: &[
        &NO_RESPONSE,
        &RESPONSE_LOST,
        &PORT_UNREACHABLE,
        &ADMIN_PROHIBITED,
    ],
    check,
};

cause! {
    /// ## What it means
    /// The client asked and nothing came back from the gateway: not an answer, not an error, not
    /// an ICMP message; or a router on the way says by ICMP that it finds no way to the gateway. Without
    /// that word, where the request or the answer was lost cannot be seen from one place.
    ///
    /// ## What is seen
    /// The same first message several times, spaced by the sender's retransmission timer, and
    /// no frame from the gateway.
    ///
    /// ## Likely causes
    /// - A firewall or the provider drops UDP 500 or 4500 on the way.
    /// - The gateway is down, has another address, or its service does not listen.
    /// - The gateway drops requests of peers it does not know without a word.
    /// - The answer is lost on its way back (asymmetric routing, NAT without a mapping).
    ///
    /// ## What to check on each side
    /// - Client: is the address right, does another network (a phone's hotspot) work?
    /// - Gateway: does a capture on its WAN interface show the request? That decides between
    ///   "never arrived" and "answer lost".
    ///
    /// ## When this is wrong
    /// When the capture sees one direction only, or the capturing host dropped the answers.
    pub(super) static NO_RESPONSE = {
        code: "no-response",
        title: "nothing answered the first message",
        remedies: [
            "Capture on the gateway's WAN interface at the same time: if the request is not there, look upstream (provider, NAT, firewall, port forwarding of UDP 500 and 4500).",
            "If the request is there, check that the gateway's IKE service runs and has a configuration for this client's address.",
            "Try from another network to rule out the client's own firewall or provider.",
        ],
        needs: "a capture on the gateway's WAN interface at the same time",
    }
}

cause! {
    /// ## What it means
    /// The gateway answers every request, but the client keeps asking as if it had heard
    /// nothing: the answers do not reach it.
    ///
    /// ## What is seen
    /// The same request again after each answer, with the same octets and message ID, and the
    /// gateway repeats its answer each time.
    ///
    /// ## Likely causes
    /// - The way back is different or filtered (asymmetric routing, stateful firewall).
    /// - A NAT in front of the client lost or never made the mapping.
    /// - On the client itself a host firewall drops the answer after the capture point.
    ///
    /// ## What to check on each side
    /// - Gateway: route and source address of the answers.
    /// - Client: capture there at the same time; do the answers arrive?
    ///
    /// ## When this is wrong
    /// When the client does receive the answers and ignores them because it does not trust
    /// or understand them.
    pub(super) static RESPONSE_LOST = {
        code: "response-lost",
        title: "the gateway answers, but the client does not hear it",
        remedies: [
            "Follow the answers from the gateway towards the client: return route, source address, stateful firewalls, NAT mappings.",
            "Capture at the client at the same time: where the answers are missing there, the loss lies between the two capture points.",
        ],
        needs: "a capture at the client at the same time",
    }
}

cause! {
    /// ## What it means
    /// The host was reached, but nothing listens on the port: it says so by ICMP.
    ///
    /// ## What is seen
    /// ICMP port unreachable (3/3, ICMPv6 1/4) that quotes the client's request.
    ///
    /// ## Likely causes
    /// - The VPN service is stopped, crashed, or listens on another address.
    /// - A forwarding rule points to a host without the service.
    ///
    /// ## What to check on each side
    /// - Gateway: is the service running and bound to this address and port?
    /// - In between: does the ICMP come from the gateway itself or from a box before it?
    ///
    /// ## When this is wrong
    /// When the ICMP is forged, or answers a late packet of a session that was closed.
    pub(super) static PORT_UNREACHABLE = {
        code: "port-unreachable",
        title: "nothing listens on the gateway's port",
        remedies: [
            "Start the VPN service on the gateway and check that it listens on this address and port.",
            "Check that port forwarding points to the right host.",
        ],
    }
}

cause! {
    /// ## What it means
    /// A filter rejected the packet and says so by ICMP.
    ///
    /// ## What is seen
    /// ICMP "administratively prohibited" (3/9, 3/10, 3/13, ICMPv6 1/1) that quotes the
    /// client's request. Its source address is the box that filters.
    ///
    /// ## Likely causes
    /// - A firewall rule or access list on that box.
    ///
    /// ## What to check on each side
    /// - The box that sent the ICMP: its rules for UDP 500, UDP 4500 and protocol 50.
    ///
    /// ## When this is wrong
    /// When other packets of the same flow pass: then the rule matches only some of them.
    pub(super) static ADMIN_PROHIBITED = {
        code: "admin-prohibited",
        title: "a filter on the way rejects the packets",
        remedies: [
            "Permit UDP 500, UDP 4500 (and IP protocol 50 without NAT) on the box that sent the ICMP message.",
        ],
    }
}

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    let Some(facts) = session.ike2() else { return };
    if icmp(session, findings) {
        return;
    }
    let first = facts.exchanges.iter().find(|e| e.kind == kind::SA_INIT);
    let Some(exchange) = first.filter(|_| !session.vantage.started_late) else {
        return;
    };
    let answered = facts.exchanges.iter().any(|e| e.response.is_some());
    if !answered {
        no_response(session, exchange, findings);
    } else if facts.exchanges.iter().all(|e| e.kind == kind::SA_INIT) {
        response_lost(session, findings);
    }
}

/// ICMP errors about a session that never got an answer.
pub(super) fn icmp(session: &Session, findings: &mut Findings) -> bool {
    if session.vantage.frames.gateway > 0 {
        return false;
    }
    let Some(fact) = session.icmp.iter().find(|i| {
        i.about == Side::Client
            && (i.is_prohibited() || i.is_port_unreachable() || i.is_unreachable())
    }) else {
        return false;
    };
    let (cause, words): (&'static Cause, _) = if fact.is_port_unreachable() {
        (&PORT_UNREACHABLE, "port unreachable")
    } else if fact.is_prohibited() {
        (&ADMIN_PROHIBITED, "administratively prohibited")
    } else {
        (&NO_RESPONSE, "host or network unreachable")
    };
    let Some(step) = session.steps.first() else {
        return false;
    };
    let times = fact.repeats.count + 1;
    let mut finding = Finding::failure(
        cause,
        Stage::Reachability,
        Basis::Seen,
        say!(
            "{} answered {times} time(s) with ICMP {words} (type {}, code {}) to the {} sent to UDP port {}, and the gateway never answered.",
            fact.reporter, fact.icmp_type, fact.code, step.message, fact.ports.1
        ),
    )
    .frame(step.at, step.message.to_string())
    .frame(fact.at, say!("ICMP {words} from {}", fact.reporter));
    for stamp in &fact.repeats.stamps {
        finding = finding.frame(*stamp, say!("ICMP {words} again"));
    }
    if cause.code == NO_RESPONSE.code {
        finding = finding
            .exclude(
                "response-lost",
                say!("{} says that the way there ends with it", fact.reporter),
            )
            .remedy(say!(
                "{} knows no way to {}: check the address that the client uses, whether the gateway is up, and the routes of that router.",
                fact.reporter, session.gateway.ip
            ));
    }
    findings.push(finding);
    true
}

fn no_response(session: &Session, exchange: &Exchange, findings: &mut Findings) {
    let Some(step) = exchange
        .request
        .as_ref()
        .and_then(|m| session.step(m.step?))
    else {
        return;
    };
    let finding = Finding::failure(
        &NO_RESPONSE,
        Stage::Reachability,
        Basis::Absence { of: Side::Gateway },
        say!(
            "The {} was sent {} times over {} from {} to {}, and nothing came back.",
            step.message,
            step.sent(),
            step.spread(),
            session.client.ip,
            session.gateway.ip
        ),
    )
    .step(step, "")
    .candidates(&["request-never-arrived", "response-lost"]);
    findings.push(if enough(step, session) {
        finding
    } else {
        finding
            .inconclusive()
            .needs("a longer capture: it ends before the sender gave up")
    });
}

/// Whether the sender asked often or long enough for silence to mean something.
pub(super) fn enough(step: &Step, session: &Session) -> bool {
    step.sent() >= 3 && step.spread() >= Span::from_secs(1)
        || session.vantage.watched_after >= Span::from_secs(10)
        || step.sent() >= 2 && session.vantage.watched_after >= Span::from_secs(4)
}

/// The client repeats its request after answers that are in the capture.
fn response_lost(session: &Session, findings: &mut Findings) {
    let Some(facts) = session.ike2() else { return };
    let Some(exchange) = facts.init_rounds().next_back() else {
        return;
    };
    let (Some(request), Some(response)) = (&exchange.request, &exchange.response) else {
        return;
    };
    if response.error().is_some() {
        return;
    }
    let step = |m: &crate::track::ike2::Message| m.step.and_then(|index| session.step(index));
    let (Some(asked), Some(answered)) = (step(request), step(response)) else {
        return;
    };
    if let Some(finding) = lost(asked, answered, Stage::Reachability) {
        findings.push(finding);
    }
}

/// The finding for a request that goes on after its answer.
pub(super) fn lost(asked: &Step, answered: &Step, stage: Stage) -> Option<Finding> {
    let again: Vec<_> = asked
        .repeats
        .stamps
        .iter()
        .filter(|stamp| stamp.time > answered.at.time)
        .collect();
    if again.len() < 2 {
        return None;
    }
    let repeated = answered.repeats.count > 0;
    let mut finding = Finding::failure(
        &RESPONSE_LOST,
        stage,
        Basis::Seen,
        say!(
            "The gateway answered the {} {} time(s), but the client sent the same octets again {} times after the first answer.",
            asked.message,
            answered.sent(),
            again.len()
        ),
    )
    .sure(if repeated { Confidence::Certain } else { Confidence::Likely })
    .step(answered, "");
    for stamp in again {
        finding = finding.frame(*stamp, say!("{} again, although answered", asked.message));
    }
    Some(finding)
}
