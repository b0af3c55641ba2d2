//! Was the gateway's name found?

use crate::diagnose::{Basis, Context, Family, Finding, Findings, Stage, cause, say};
use crate::track::names::Look;
use crate::track::session::{Detail, Session, Side};
use vpnscope_dissectors::dns::{RecordType, ResponseCode};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "dns",
    causes: &[&DNS_NO_ANSWER, &DNS_NXDOMAIN],
    check,
};

cause! {
    /// ## What it means
    /// The client asked for the gateway's address and no name server answered.
    ///
    /// ## What is seen
    /// The same query several times, perhaps to several servers, nothing back, and no packet
    /// to any gateway afterwards.
    ///
    /// ## Likely causes
    /// - The name servers are wrong for this network, down, or blocked.
    /// - The client is not really on-line: captive portal, wrong VLAN, no default route.
    ///
    /// ## What to check on each side
    /// - Client: which name servers it has (DHCP option 6), and whether it reaches them.
    /// - To separate the two questions: connect to the gateway by address.
    ///
    /// ## When this is wrong
    /// When the answers come another way than the queries, past the capture.
    pub(super) static DNS_NO_ANSWER = {
        code: "dns-no-answer",
        title: "no name server answers the look-up of the gateway",
        remedies: [
            "Check the client's name servers and the way to them.",
            "Try the gateway by its address, to see whether anything else is wrong.",
        ],
        needs: "a capture at the name server, or the client's own resolver log",
    }
}

cause! {
    /// ## What it means
    /// The name servers answered that the gateway's name does not exist, or has no address.
    ///
    /// ## What is seen
    /// A query and an answer with NXDOMAIN or without an address, and no packet to any gateway
    /// afterwards.
    ///
    /// ## Likely causes
    /// - A typing error in the VPN profile.
    /// - The record is missing, or exists inside the company's network only (split DNS).
    ///
    /// ## What to check on each side
    /// - The name in the profile, letter by letter.
    /// - The public zone: `dig NAME` from outside.
    ///
    /// ## When this is wrong
    /// When the client appends search domains and asks for the bare name afterwards.
    pub(super) static DNS_NXDOMAIN = {
        code: "dns-nxdomain",
        title: "the gateway's name does not exist",
        remedies: [
            "Correct the gateway's name in the VPN profile.",
            "Add the name to the zone that the client sees.",
        ],
    }
}

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    let Detail::Dns(look) = &session.detail else {
        return;
    };
    if look.answers.is_empty() {
        unanswered(session, look, findings);
    } else {
        refused(session, look, findings);
    }
}

fn servers(look: &Look) -> String {
    let list: Vec<String> = look.servers().iter().map(ToString::to_string).collect();
    list.join(", ")
}

fn unanswered(session: &Session, look: &Look, findings: &mut Findings) {
    let spread = session.last.time - session.first.time;
    let watched = session.vantage.watched_after;
    if look.asked < 2 || spread.0 + watched.0 < 2_000_000_000 {
        return;
    }
    let mut finding = Finding::failure(
        &DNS_NO_ANSWER,
        Stage::Dns,
        Basis::Absence { of: Side::Gateway },
        say!(
            "{} queries for {} to {} over {spread}, and no answer.",
            look.asked,
            look.name,
            servers(look)
        ),
    );
    for query in look.queries.iter().take(8) {
        let what = say!("DNS query {} to {}", query.record_type, query.server);
        finding = finding.frame(query.at, what);
    }
    findings.push(finding);
}

fn refused(session: &Session, look: &Look, findings: &mut Findings) {
    let code = |wanted| look.answers.iter().find(|answer| answer.code == wanted);
    let nxdomain = code(ResponseCode::NXDOMAIN);
    let empty = code(ResponseCode::NOERROR);
    let Some(answer) = nxdomain.or(empty).or_else(|| look.answers.first()) else {
        return;
    };
    let (cause, says) = match answer.code {
        ResponseCode::NXDOMAIN => (&DNS_NXDOMAIN, "does not exist (NXDOMAIN)".to_string()),
        ResponseCode::NOERROR => (&DNS_NXDOMAIN, "has no address".to_string()),
        other => (&DNS_NO_ANSWER, say!("cannot be looked up ({other})")),
    };
    let mut finding = Finding::failure(
        cause,
        Stage::Dns,
        // That a name does not exist holds for every type of record.
        if answer.code == ResponseCode::NXDOMAIN {
            Basis::Proven
        } else {
            Basis::Seen
        },
        say!("{} answered that {} {says}.", answer.server, look.name),
    )
    .frame(answer.at, say!("DNS answer {}", answer.code));
    if let Some(query) = look.queries.first() {
        finding = finding.frame(query.at, say!("DNS query {}", query.record_type));
    }
    let _ = session;
    // An address of another type may have been given in an answer that the capture lacks: to a
    // question that it shows, or to the one for IPv4 that everybody asks.
    let is_answered = |wanted| look.answers.iter().any(|a| a.record_type == wanted);
    let all = look.queries.iter().all(|q| is_answered(q.record_type));
    let lacks = answer.code == ResponseCode::NOERROR && !(all && is_answered(RecordType::A));
    findings.push(if lacks {
        finding.inconclusive()
    } else {
        finding
    });
}
