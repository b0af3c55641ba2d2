//! Did the RADIUS server answer, and what did it say?

use vpnscope_dissectors::radius::Code;

use super::auth::{AUTH_FAILED, EAP_FAILED};
use super::ppp::PPP_AUTH_FAILED;
use crate::diagnose::{
    Basis, Cause, Confidence, Context, Family, Finding, Findings, Outcome, Progress, Stage, cause,
    say,
};
use crate::time::Span;
use crate::track::radius::Exchange;
use crate::track::session::{Kind, Session, Side};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "radius",
    causes: &[&RADIUS_TIMEOUT],
    check,
};

cause! {
    /// ## What it means
    /// The server does not get an answer from the RADIUS server that it asks about the user.
    ///
    /// ## What is seen
    /// Access-Requests repeated without an answer; or, from outside, a login that gets no
    /// verdict while the server is there.
    ///
    /// ## Likely causes
    /// - The RADIUS server is down, or UDP 1812 does not pass.
    /// - It does not know this client's address or shared secret and stays silent.
    ///
    /// ## What to check on each side
    /// - Server: route to the RADIUS server, shared secret, source address of the requests.
    /// - RADIUS server: is this client configured, and does its log show the requests?
    ///
    /// ## When this is wrong
    /// When the verdict was lost on its way to the client: a capture at the server tells.
    pub(super) static RADIUS_TIMEOUT = {
        code: "radius-timeout",
        title: "the RADIUS server does not answer",
        remedies: [
            "Capture UDP 1812 between the VPN server and the RADIUS server.",
            "Check that the RADIUS server knows the VPN server's address and shared secret.",
        ],
        needs: "a capture between the VPN server and its RADIUS server",
    }
}

/// How far a session of RADIUS alone came.
pub(super) fn progress(session: &Session) -> Progress {
    let answered = session
        .radius
        .last()
        .and_then(|exchange| exchange.answer.as_ref());
    let accepted = answered.is_some_and(|answer| answer.code == Code::ACCESS_ACCEPT);
    Progress {
        stage: Stage::PppAuthentication,
        outcome: if accepted {
            Outcome::Established
        } else {
            Outcome::Incomplete
        },
        confidence: if accepted {
            Confidence::Certain
        } else {
            Confidence::Possible
        },
    }
}

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    let Some(last) = session.radius.last() else {
        return;
    };
    let Some(answer) = &last.answer else {
        silent(session, last, findings);
        return;
    };
    if answer.code != Code::ACCESS_REJECT {
        return;
    }
    let cause = login(session).0;
    if findings.has(cause.code) && session.kind == Kind::L2tp {
        return;
    }
    findings.withdraw(cause.code);
    let error = answer
        .error
        .map_or_else(String::new, |error| say!(" with E={error}"));
    let said = answer
        .text
        .as_ref()
        .map_or_else(String::new, |text| say!(": \"{text}\""));
    let finding = Finding::failure(
        cause,
        login(session).1,
        Basis::Seen,
        say!(
            "The RADIUS server {} rejected the login{}{error}{said}.",
            last.server,
            of(last)
        ),
    )
    .frame(answer.at, "Access-Reject")
    .frame(last.at, "Access-Request");
    // Without the login that asked for it nobody can say what was refused to whom.
    let finding = if session.kind == Kind::Radius {
        finding.sure(Confidence::Likely)
    } else {
        finding
    };
    findings.push(finding);
}

/// The cause and stage of a refused login, by what kind of login it is.
fn login(session: &Session) -> (&'static Cause, Stage) {
    match session.kind {
        Kind::Ikev1 | Kind::Ikev2 => (&EAP_FAILED, Stage::IkeAuthentication),
        Kind::L2tp | Kind::Pppoe => (&PPP_AUTH_FAILED, Stage::PppAuthentication),
        _ => (&AUTH_FAILED, Stage::PppAuthentication),
    }
}

fn of(exchange: &Exchange) -> String {
    exchange
        .user
        .as_ref()
        .map_or_else(String::new, |user| say!(" of '{user}'"))
}

/// The last request has no answer.
fn silent(session: &Session, last: &Exchange, findings: &mut Findings) {
    let spread = last.last().time - last.at.time;
    let waited = session.last.time - last.last().time;
    let watched = Span(waited.0.saturating_add(session.vantage.watched_after.0));
    let (cause, stage) = login(session);
    // Who asked twice and then refused the login has given up waiting.
    let gave_up = last.sent() >= 2 && findings.has(cause.code);
    let enough = last.sent() >= 3 || (last.sent() >= 2 && watched >= Span::from_secs(5));
    if !enough && !gave_up && watched < Span::from_secs(10) {
        return;
    }
    let mut finding = Finding::failure(
        &RADIUS_TIMEOUT,
        stage,
        Basis::Absence { of: Side::Gateway },
        say!(
            "{} asked the RADIUS server {} about the login{} {} time(s) over {spread}, and it never answered.",
            last.client,
            last.server,
            of(last),
            last.sent()
        ),
    )
    .frame(last.at, "Access-Request, unanswered");
    for stamp in &last.repeats.stamps {
        finding = finding.frame(*stamp, "Access-Request again, unanswered");
    }
    if findings.has(cause.code) {
        // The refusal that the user sees is what follows from it.
        findings.withdraw(cause.code);
        finding
            .summary
            .push_str(" The login was refused for lack of an answer.");
        finding = finding.exclude(
            cause.code,
            "nobody looked at the password: the RADIUS server was asked and stayed silent",
        );
    } else if session.kind == Kind::Radius {
        finding = finding.sure(Confidence::Likely);
    }
    findings.push(finding);
}
