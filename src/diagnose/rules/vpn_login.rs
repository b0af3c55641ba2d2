//! Did the login inside TLS succeed?

use super::certificates::{demanded, sent_empty_certificate};
use super::tls_handshake::GATEWAY_LIMIT;
use crate::diagnose::tls::{
    End, Phase, Story, Vpn, after_handshake, is_tunnel, logins, phase, said_goodbye, turns,
};
use crate::diagnose::{
    Basis, Cause, Confidence, Context, Family, Finding, Findings, Stage, cause, say,
};
use crate::time::Span;
use crate::track::session::{Session, Side, Stamp};
use crate::track::tls::Connection;

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "vpn-login",
    causes: &[&LOGIN_FAILED, &NOT_A_VPN_GATEWAY],
    check,
};

cause! {
    /// ## What it means
    /// TLS came about, the client talked to the gateway, and no tunnel followed: probably the
    /// login was refused. The conversation itself is encrypted.
    ///
    /// ## What is seen
    /// A few requests of the client, each answered at once; then the client closes within
    /// seconds. No DTLS, no records that are no answers.
    ///
    /// ## Likely causes
    /// - Wrong user name, password or second factor.
    /// - The account is locked, or has no right to use the VPN.
    /// - The gateway could not reach its directory or RADIUS server.
    ///
    /// ## What to check on each side
    /// - Gateway: its authentication log at that time.
    /// - Client: the message it showed.
    ///
    /// ## When this is wrong
    /// When the user broke off, or the connection was only a test of the gateway.
    pub(super) static LOGIN_FAILED = {
        code: "login-failed",
        title: "the login inside TLS did not lead to a tunnel",
        remedies: [
            "Check user name, password and second factor.",
            "Read the gateway's authentication log at that time: it names the reason.",
        ],
        needs: "the gateway's log, or the keys of the TLS session",
    }
}

cause! {
    /// ## What it means
    /// TLS came about, but what answers does not behave like a gateway of this VPN.
    ///
    /// ## What is seen
    /// A client of a VPN makes one request, gets one answer, closes, perhaps tries once more
    /// in another way, and gives up.
    ///
    /// ## Likely causes
    /// - The name or port leads to an ordinary web server or load balancer.
    /// - The VPN service of the gateway is off, and its management page answers.
    /// - The client speaks the protocol of another vendor.
    ///
    /// ## What to check on each side
    /// - What a browser shows at this name and port.
    /// - Which VPN protocol the client is set to.
    ///
    /// ## When this is wrong
    /// When the gateway refuses the client for another reason in its first answer.
    pub(super) static NOT_A_VPN_GATEWAY = {
        code: "not-a-vpn-gateway",
        title: "what answers does not behave like a VPN gateway",
        remedies: [
            "Open the address in a browser, to see what answers there.",
            "Check name, port and VPN protocol in the client's profile.",
        ],
        needs: "the keys of the TLS session, or the client's log",
    }
}

fn check(session: &Session, context: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session, context) else {
        return;
    };
    let Some(connection) = story.channel else {
        return;
    };
    let settled = findings.any_trouble()
        || story.phase != Phase::Up
        || !is_login(&story, connection)
        || connection.started_late
        || !story.facts.associations.is_empty()
        || context.has_lone_tunnel(session)
        || is_tunnel(&story);
    if settled {
        return;
    }
    let Some((by, at)) = story.end.by() else {
        return;
    };
    if certificate_missing(&story, connection, at, findings) {
        return;
    }
    let requests = after_handshake(connection).filter(|record| record.from == Side::Client);
    let last_answer = after_handshake(connection)
        .filter(|record| record.from == Side::Gateway)
        .last()
        .map(|record| record.at);
    let Some(last_answer) = last_answer else {
        return;
    };
    let (exchanges, _) = logins(connection);
    if exchanges == 0 || at.time - last_answer.time > Span::from_secs(120) {
        return;
    }
    let turns = turns(connection);
    let again = asked_again(&turns);
    if granted_before(&turns) || by == Side::Gateway && exchanges >= 2 && !again {
        turned_away(&story, connection, at, exchanges, findings);
        return;
    }
    let ends = (session.client.ip, session.gateway.ip);
    if exchanges <= 1 && context.tunnels.contains(&ends) {
        // The same client got through in another connection.
        return;
    }
    let (cause, summary) = verdict(&story, exchanges, again, by);
    let other = if cause.code == LOGIN_FAILED.code {
        "not-a-vpn-gateway"
    } else {
        "login-failed"
    };
    let mut finding = Finding::failure(cause, Stage::VpnLogin, Basis::Inferred, summary)
        .sure(Confidence::Possible)
        .candidates(&[other, "session-expired", "gateway-limit"]);
    if let Some(first) = requests.clone().next() {
        finding = finding.frame(first.at, "first request inside TLS");
    }
    finding = with_hello(finding, connection)
        .frame(last_answer, "last answer inside TLS")
        .frame(at, say!("end by the {}", by.word()));
    findings.push(heard_out(connection, finding));
}

/// Requests and answers are counted: where octets are missing, nobody knows what they brought.
fn heard_out(connection: &Connection, finding: Finding) -> Finding {
    if !connection.lacks_octets() {
        return finding;
    }
    finding
        .inconclusive()
        .needs("a capture without gaps: octets of this connection are missing from this one")
}

/// What a login that led to no tunnel looks like.
fn verdict(story: &Story<'_>, exchanges: u32, again: bool, by: Side) -> (&'static Cause, String) {
    let tries = story.facts.connections.iter();
    let one_each = tries
        .clone()
        .all(|connection| phase(connection) == Phase::Up && logins(connection).0 <= 1);
    if one_each && exchanges <= 1 {
        let count = tries.count();
        (
            &NOT_A_VPN_GATEWAY,
            say!(
                "In {count} connection(s) the client made one request each, got one answer and left: what answers is perhaps no VPN gateway, or refuses at once."
            ),
        )
    } else if again {
        (
            &LOGIN_FAILED,
            say!(
                "{exchanges} requests and answers inside TLS, the last requests of one size, as if the same form were filled in again; then the {} closed and no tunnel followed: the login was probably refused.",
                by.word()
            ),
        )
    } else {
        (
            &LOGIN_FAILED,
            say!(
                "{exchanges} requests and answers inside TLS, then the client closed; no tunnel followed: the login was probably refused."
            ),
        )
    }
}

/// How much two fillings of one form differ: another password is some letters longer.
const SAME_FORM: u32 = 16;

/// Whether the client's last request is as long as the one before it: the form came back, and was
/// filled in again. The request for a tunnel, after a login that was granted, is another one.
fn asked_again(turns: &[(u32, u32)]) -> bool {
    matches!(turns, [.., (before, _), (last, _)] if turns.len() >= 3 && before.abs_diff(*last) <= SAME_FORM)
}

/// Whether the answer before the last one brought more than the forms before it, as the end of a
/// login does (a cookie, the profile), and the last one next to nothing: a line that says no to
/// what the client asked for after it.
fn granted_before(turns: &[(u32, u32)]) -> bool {
    /// More than a form grows by another field; less than a cookie with the words around it.
    const COOKIE: u32 = 64;
    matches!(
        turns,
        [.., (_, form), (_, granted), (_, last)]
            if *granted >= form.saturating_add(COOKIE) && *last > 0 && *last < form / 2
    ) && !asked_again(turns)
}

/// Whether there is reason to take the conversation for a login. A name that sounds like a
/// VPN, or a gateway that serves one, is not enough by itself: other things are served there
/// too, and some clients open connections to look around before they log in. It takes several
/// requests besides, and a client that leaves without the farewell of TLS, as no browser does
/// and no program that speaks HTTP over TLS by the book.
fn is_login(story: &Story<'_>, connection: &Connection) -> bool {
    match story.vpn {
        None => false,
        Some(Vpn::Name | Vpn::Gateway) => {
            let browser = connection
                .hello()
                .is_some_and(|hello| !hello.alpn.is_empty());
            // In TLS 1.3 the tickets answer the client's Finished.
            let asked = if connection.is_tls13() { 3 } else { 2 };
            !browser && logins(connection).0 >= asked && !said_goodbye(connection)
        }
        Some(_) => true,
    }
}

fn with_hello(finding: Finding, connection: &Connection) -> Finding {
    match connection.hello() {
        Some(hello) => finding.frame(hello.at, "ClientHello"),
        None => finding,
    }
}

/// A gateway that asks for a certificate, goes on without one, and says so in its first
/// answer: the client leaves, tries again and leaves again.
fn certificate_missing(
    story: &Story<'_>,
    connection: &Connection,
    at: Stamp,
    findings: &mut Findings,
) -> bool {
    let empty = |connection: &Connection| {
        sent_empty_certificate(connection)
            || connection
                .chains
                .client
                .as_ref()
                .is_some_and(|chain| chain.count == 0)
    };
    let all = story.facts.connections.iter();
    if !all
        .clone()
        .all(|known| empty(known) && logins(known).0 <= 1)
    {
        return false;
    }
    let mut finding = demanded(
        connection,
        at,
        Stage::VpnLogin,
        Basis::Inferred,
        "gave one short answer, after which the client left",
    )
    .sure(Confidence::Likely)
    .candidates(&["login-failed"]);
    for known in all {
        finding = with_hello(finding, known);
    }
    findings.push(finding);
    true
}

/// The gateway heard the login to its end and hung up.
fn turned_away(
    story: &Story<'_>,
    connection: &Connection,
    at: Stamp,
    exchanges: u32,
    findings: &mut Findings,
) {
    let how = match (story.end, story.end.is_by(Side::Client)) {
        (_, true) => "said no in few octets, and the client left",
        (End::Reset(..), _) => "reset the connection itself",
        _ => "closed the connection itself",
    };
    let mut finding = Finding::failure(
        &GATEWAY_LIMIT,
        Stage::VpnLogin,
        Basis::Inferred,
        say!(
            "After {exchanges} requests and answers inside TLS the gateway {how}; no tunnel followed."
        ),
    )
    .sure(Confidence::Possible)
    .candidates(&["login-failed", "session-expired", "config-no-address"]);
    finding = with_hello(finding, connection);
    let answers = after_handshake(connection).filter(|record| record.from == Side::Gateway);
    if let Some(last) = answers.last() {
        finding = finding.frame(last.at, "last answer inside TLS");
    }
    let finding = finding.frame(at, "the end of the connection");
    findings.push(heard_out(connection, finding));
}
