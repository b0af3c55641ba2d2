//! Did XAUTH and mode config of IKEv1 give the client what it needs?

use vpnscope_dissectors::ike::v1::AuthenticationMethod;

use super::super::ppp::CONFIG_NO_ADDRESS;
use super::super::reachability::{NO_RESPONSE, enough, lost};
use super::{settled, tell};
use crate::diagnose::ike1::{Reached, Story};
use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, cause, say};
use crate::track::ike1::{Exchange, kind};
use crate::track::session::{Session, Step};

/// The family.
pub(in crate::diagnose::rules) static FAMILY: Family = Family {
    name: "ikev1-configuration",
    causes: &[&XAUTH_FAILED],
    check,
};

cause! {
    /// ## What it means
    /// The devices accepted each other; then the gateway asked for name and password (XAUTH), got
    /// an answer, and did not let the user in.
    ///
    /// ## What is seen
    /// Phase 1 with a method that includes XAUTH, one or more transaction exchanges begun by the
    /// gateway and answered, and then neither mode config nor quick mode. A login that succeeds is
    /// followed by one of these at once.
    ///
    /// ## Likely causes
    /// - Wrong name or password, a locked or expired account.
    /// - The gateway's RADIUS or directory server refused or did not answer.
    ///
    /// ## What to check on each side
    /// - Gateway: its log of the login, and of the server that it asks.
    /// - Client: name, realm, password.
    ///
    /// ## When this is wrong
    /// When the user took the dialogue for the password away.
    pub(in crate::diagnose::rules) static XAUTH_FAILED = {
        code: "xauth-failed",
        title: "the login by XAUTH was refused",
        remedies: [
            "Check name and password of the user, and whether the account is locked or expired.",
            "Read the gateway's log of the login; check its RADIUS server and the shared secret with it.",
        ],
        needs: "the gateway's log, or the IKE keys of this session",
    }
}

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session) else {
        return;
    };
    if session.vantage.started_late || story.reached != Reached::Configuring {
        return;
    }
    let all: Vec<&Exchange> = story
        .facts
        .of_kind(kind::TRANSACTION)
        .filter(|e| !e.messages.is_empty())
        .collect();
    let Some(last) = all.last() else { return };
    let xauth = story.method().is_some_and(AuthenticationMethod::has_xauth)
        || (story.facts.abilities.client.xauth && story.facts.abilities.gateway.xauth);
    if last.answer().is_none() {
        unanswered(&story, last, findings);
    } else if last.by == story.initiator() {
        no_address(&story, &all, last, findings);
    } else if xauth {
        refused(&story, &all, findings);
    }
}

fn steps<'a>(story: &Story<'a>, exchange: &Exchange) -> impl Iterator<Item = &'a Step> {
    let found: Vec<&Step> = exchange
        .messages
        .iter()
        .filter_map(|message| story.step(message))
        .collect();
    found.into_iter()
}

fn with_all<'a>(
    story: &Story<'_>,
    mut finding: Finding,
    all: impl Iterator<Item = &'a &'a Exchange>,
) -> Finding {
    for exchange in all {
        for step in steps(story, exchange) {
            finding = finding.frame(step.at, say!("{}, {} octets", step.message, step.length));
        }
    }
    finding
}

/// The gateway asked, the client answered, and that was all.
fn refused(story: &Story<'_>, all: &[&Exchange], findings: &mut Findings) {
    let asked = all.iter().filter(|e| e.by == story.responder()).count();
    let left = story.farewell().and_then(|message| story.step(message));
    let rounds = if asked == 1 {
        "one exchange".to_string()
    } else {
        say!("{asked} exchanges")
    };
    let end = match left {
        Some(left) => say!("the {} left", left.from.word()),
        None => "nothing followed".to_string(),
    };
    let mut finding = Finding::failure(
        &XAUTH_FAILED,
        Stage::IkeConfiguration,
        Basis::Inferred,
        say!(
            "The {} began {rounds} of XAUTH, all answered; then {end}: neither mode config nor quick mode, which follow a login at once.",
            story.responder().word()
        ),
    )
    .exclude("psk-mismatch", "phase 1 is done")
    .exclude("proposal-mismatch", "phase 1 is done");
    if let Some(proof) = story.proof().and_then(|message| story.step(message)) {
        finding = finding.frame(proof.at, proof.message.to_string());
    }
    finding = with_all(story, finding, all.iter());
    if let Some(left) = left {
        finding = finding.frame(
            left.at,
            say!("{}: the {} leaves", left.message, left.from.word()),
        );
    }
    if asked < 2 && left.is_none() {
        // The verdict comes in an exchange of its own: the gateway may still be asking its server.
        finding = finding
            .sure(Confidence::Possible)
            .candidates(&["radius-timeout"]);
    }
    let waited = left.is_some() || settled(story.session);
    if asked >= 2 && !waited {
        finding = finding
            .sure(Confidence::Possible)
            .needs("a longer capture: it ends with the last message of the login");
    }
    let told = waited || asked >= 2;
    findings.push(tell(story, finding, told));
}

/// The client asked for its configuration, was answered, and did not go on.
fn no_address(story: &Story<'_>, all: &[&Exchange], last: &Exchange, findings: &mut Findings) {
    let (Some(asked), Some(answered)) = (
        last.first().and_then(|m| story.step(m)),
        last.answer().and_then(|m| story.step(m)),
    ) else {
        return;
    };
    if let Some(finding) = lost(asked, answered, Stage::IkeConfiguration) {
        findings.push(finding);
        return;
    }
    let left = story.farewell().and_then(|message| story.step(message));
    let end = match left {
        Some(left) => say!("the {} left", left.from.word()),
        None => "nothing followed".to_string(),
    };
    let mut finding = Finding::failure(
        &CONFIG_NO_ADDRESS,
        Stage::IkeConfiguration,
        Basis::Inferred,
        say!(
            "The {} asked for its configuration and was answered with {} octets; then {end} and no quick mode was begun: it did not get what it needs.",
            last.by.word(),
            answered.length
        ),
    )
    .exclude("xauth-failed", "the client went on to mode config after the login");
    finding = with_all(story, finding, all.iter());
    if let Some(left) = left {
        finding = finding.frame(
            left.at,
            say!("{}: the {} leaves", left.message, left.from.word()),
        );
    }
    let told = left.is_some() || settled(story.session);
    findings.push(tell(story, finding, told));
}

/// A transaction without an answer.
fn unanswered(story: &Story<'_>, last: &Exchange, findings: &mut Findings) {
    let Some(asked) = last.first().and_then(|m| story.step(m)) else {
        return;
    };
    let to_user = last.by == story.responder();
    let wait = if to_user {
        "; a user may be asked for the password meanwhile"
    } else {
        ""
    };
    let finding = Finding::failure(
        &NO_RESPONSE,
        Stage::IkeConfiguration,
        Basis::Absence { of: last.by.other() },
        say!(
            "The {} (message ID {:08x}) of the {} was sent {} times over {} without an answer{wait}.",
            asked.message,
            last.id,
            last.by.word(),
            asked.sent(),
            asked.spread()
        ),
    )
    .step(asked, ", unanswered")
    .candidates(if to_user {
        &["response-lost", "xauth-failed"]
    } else {
        &["config-no-address", "response-lost", "request-never-arrived"]
    });
    findings.push(tell(
        story,
        finding,
        enough(asked, story.session) && asked.sent() > 1,
    ));
}
