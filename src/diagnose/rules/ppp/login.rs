//! What became of the login.

use std::fmt::Write as _;

use vpnscope_dissectors::ppp::MsChapError;

use super::{PPP_AUTH_FAILED, PPP_AUTH_PROTOCOL_MISMATCH, who, with_step};
use crate::diagnose::rules::radius::RADIUS_TIMEOUT;
use crate::diagnose::rules::reachability::enough;
use crate::diagnose::{Basis, Confidence, Finding, Stage, say};
use crate::time::Span;
use crate::track::ppp::{Decision, Login, Ppp};
use crate::track::session::Session;

/// The authenticator said no, and did not say yes later.
pub(super) fn refused(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let login = ppp.login()?;
    let verdict = login.verdict.as_ref().filter(|verdict| !verdict.granted)?;
    let user = login
        .user
        .as_ref()
        .map_or_else(String::new, |user| say!(" of '{user}'"));
    let summary = say!(
        "The {} refused the {} login{user}{}.",
        who(login.authenticator),
        login.method.name(),
        reason(verdict)
    );
    let mut finding = Finding::failure(
        &PPP_AUTH_FAILED,
        Stage::PppAuthentication,
        Basis::Seen,
        summary,
    );
    finding = with_step(finding, session, verdict.step);
    finding = with_step(finding, session, login.answered);
    if let Some(delay) = delay(login, verdict).filter(|delay| *delay >= Span::from_secs(8)) {
        let _ = write!(
            finding.summary,
            " The verdict took {delay}: the server may have waited for RADIUS in vain."
        );
        // Then nobody looked at the password.
        finding = finding
            .sure(Confidence::Likely)
            .candidates(&["radius-timeout"]);
    }
    let word = match verdict.error.map(MsChapError) {
        Some(MsChapError::ACCT_DISABLED) => Some("Enable the account."),
        Some(MsChapError::PASSWD_EXPIRED) => Some("Change the expired password."),
        Some(MsChapError::NO_DIALIN_PERMISSION) => {
            Some("Grant the account dial-in permission, or fix the NPS policy that should.")
        }
        Some(MsChapError::RESTRICTED_LOGON_HOURS) => {
            Some("Check the account's logon hours and the server's clock.")
        }
        Some(MsChapError::CHANGING_PASSWORD) => {
            Some("The new password does not fit the policy; choose another one.")
        }
        _ => None,
    };
    Some(match word {
        Some(word) => finding.remedy(word),
        None => finding,
    })
}

fn delay(login: &Login, verdict: &Decision) -> Option<Span> {
    Some(verdict.at.time - login.answered_at?.time)
}

/// What the refusal says, in words.
fn reason(verdict: &Decision) -> String {
    let error = verdict.error.map_or_else(String::new, |code| {
        let words = match MsChapError(code) {
            MsChapError::AUTHENTICATION_FAILURE => " (wrong name or password)",
            MsChapError::ACCT_DISABLED => " (the account is disabled)",
            MsChapError::PASSWD_EXPIRED => " (the password has expired)",
            MsChapError::NO_DIALIN_PERMISSION => " (no dial-in permission)",
            MsChapError::RESTRICTED_LOGON_HOURS => " (not at this time of day)",
            MsChapError::CHANGING_PASSWORD => " (changing the password failed)",
            _ => "",
        };
        say!(" with E={code}{words}")
    });
    let text = if verdict.text.is_empty() {
        String::new()
    } else {
        say!(": \"{}\"", verdict.text)
    };
    say!("{error}{text}")
}

/// MS-CHAPv2 Success without the server's proof: a client has to leave then.
pub(super) fn unproven(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let login = ppp.login()?;
    let verdict = login
        .verdict
        .as_ref()
        .filter(|verdict| verdict.proof_missing)?;
    let ended = ppp
        .terminated
        .iter()
        .find(|end| end.by != login.authenticator && end.at.follows(verdict.at))?;
    let finding = Finding::failure(
        &PPP_AUTH_FAILED,
        Stage::PppAuthentication,
        Basis::Inferred,
        say!(
            "The {}'s MS-CHAPv2 Success lacks the proof \"S=\" with forty hex digits, and the {} ended the link.",
            who(login.authenticator),
            who(ended.by)
        ),
    )
    .remedy("Repair the RADIUS or PPP server: its MS-CHAPv2 Success must carry S=, as RFC 2759 demands.");
    let finding = with_step(finding, session, verdict.step);
    Some(with_step(finding, session, ended.step))
}

/// The login was sent and got no verdict.
pub(super) fn undecided(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let login = ppp.login().filter(|login| login.verdict.is_none())?;
    let step = session.step(login.answered.or(login.asked)?)?;
    let answered = login.answered.is_some();
    let ended = ppp.terminated.iter().find(|end| end.at.follows(step.at));
    let waited = session.last.time - step.at.time;
    let silent =
        enough(step, session) && waited.0 + session.vantage.watched_after.0 >= Span::from_secs(8).0;
    if ended.is_none() && !silent {
        return None;
    }
    let method = login.method.name();
    if !answered {
        // The challenge got no answer: the peer cannot or will not log in this way.
        let finding = Finding::failure(
            &PPP_AUTH_PROTOCOL_MISMATCH,
            Stage::PppAuthentication,
            Basis::Absence {
                of: login.authenticator.other(),
            },
            say!(
                "The {} asked for {method} {} time(s) and the {} never answered.",
                who(login.authenticator),
                step.sent(),
                who(login.authenticator.other())
            ),
        )
        .candidates(&["response-lost"])
        .step(step, "");
        return Some(finding.sure(Confidence::Possible));
    }
    let mut finding = Finding::failure(
        &RADIUS_TIMEOUT,
        Stage::PppAuthentication,
        Basis::Absence {
            of: login.authenticator,
        },
        say!(
            "The {} sent its {method} login {} time(s) and got no verdict.",
            who(login.authenticator.other()),
            step.sent()
        ),
    )
    .sure(Confidence::Possible)
    .candidates(&["ppp-auth-failed", "response-lost"])
    .step(step, "");
    if let Some(end) = ended {
        finding = with_step(finding, session, end.step);
    }
    Some(finding)
}
