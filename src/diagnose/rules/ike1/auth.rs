//! Did the peers of IKEv1 prove themselves to each other?

use vpnscope_dissectors::ike::v1::NotifyType;

use super::super::auth::{AUTH_FAILED, fitting};
use super::super::natt::NAT_T_BLOCKED;
use super::super::reachability::{enough, lost};
use super::{settled, step, tell};
use crate::diagnose::ike1::{Reached, Story};
use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, cause, say};
use crate::time::Span;
use crate::track::ike1::{Message, Mode};
use crate::track::session::{Session, Stamp, Step};

mod aggressive;

pub(super) use aggressive::blocked as aggressive_blocked;

/// The family.
pub(in crate::diagnose::rules) static FAMILY: Family = Family {
    name: "ikev1-authentication",
    causes: &[&PSK_MISMATCH, &ID_MISMATCH],
    check,
};

cause! {
    /// ## What it means
    /// The peers have different pre-shared keys. In IKEv1 the key enters the encryption: neither
    /// can read what the other one says after the fourth message, not even the error.
    ///
    /// ## What is seen
    /// Main mode 1 to 4 in order; the fifth message again and again, each time met by an
    /// undecipherable message, by a repeated fourth message, or by nothing; never a sixth.
    ///
    /// ## Likely causes
    /// - A typing error, a trailing blank, another character encoding, or the key of another
    ///   connection.
    /// - The gateway chose the key by the client's address, and has another one for it: with NAT
    ///   between them, or with several connections for any address.
    ///
    /// ## What to check on each side
    /// - Both: type the key anew, without copying.
    /// - Gateway: which key belongs to the address from which the client arrives.
    ///
    /// ## When this is wrong
    /// When the fifth message does not reach the gateway at all (UDP 4500 blocked, fragments
    /// lost): a capture at the gateway decides.
    pub(in crate::diagnose::rules) static PSK_MISMATCH = {
        code: "psk-mismatch",
        title: "the pre-shared keys differ",
        remedies: [
            "Type the pre-shared key anew on both sides; beware of trailing blanks and of the character encoding.",
            "Check which key the gateway uses for the address from which this client arrives.",
        ],
        needs: "the gateway's log, or the pre-shared key to try to decrypt the fifth message with",
    }
}

cause! {
    /// ## What it means
    /// The gateway could read the client's message and refused it: it knows no connection for
    /// the identity that the client named, or the client refused the gateway's.
    ///
    /// ## What is seen
    /// The fifth message once, one encrypted answer that is no sixth message, and then silence:
    /// the client understood the answer, so the pre-shared keys agree.
    ///
    /// ## Likely causes
    /// - The identity that the client sends (address, name, mail address) is not the one that
    ///   the gateway expects. Behind a NAT a client often names its private address.
    ///
    /// ## What to check on each side
    /// - Gateway: the log names the identity that it received.
    /// - Client: which identity it sends, and which one it expects of the gateway.
    ///
    /// ## When this is wrong
    /// When the client gave up for another reason at the same moment.
    pub(in crate::diagnose::rules) static ID_MISMATCH = {
        code: "id-mismatch",
        title: "an identity is not the expected one",
        remedies: [
            "Compare the identity that the client sends with the one that the gateway has for it; its log names both.",
            "Behind a NAT, configure a name as identity instead of the address.",
        ],
        needs: "the gateway's log, or the IKE keys of this session",
    }
}

/// What hides behind a refusal where certificates are used.
const CERTIFICATES: &[&str] = &[
    "cert-rejected",
    "cert-untrusted",
    "cert-expired",
    "cert-not-yet-valid",
    "cert-name-mismatch",
    "cert-missing",
    "id-mismatch",
];

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session) else {
        return;
    };
    if session.vantage.started_late || story.reached >= Reached::Configuring {
        return;
    }
    match (story.facts.mode, story.reached) {
        (Mode::Aggressive | Mode::Base, _) => aggressive::check(&story, findings),
        (_, Reached::Proving) => main(&story, findings),
        (_, Reached::Authenticated) => after_main(&story, findings),
        _ => {}
    }
}

/// Main mode 5 is there, and no sixth message.
fn main(story: &Story<'_>, findings: &mut Findings) {
    let Some(proof) = story.proof() else { return };
    let Some(sent) = story.step(proof) else {
        return;
    };
    let responder = story.responder();
    let answers: Vec<&Message> = story.informationals(responder, proof.at).collect();
    let fourth = step(story, story.facts.message(4));
    let begged: Vec<Stamp> = fourth
        .map(|step| {
            step.repeats
                .stamps
                .iter()
                .copied()
                .filter(|stamp| stamp.time > proof.at.time)
                .collect()
        })
        .unwrap_or_default();
    let repeated = sent.repeats.count > 0;
    let in_clear = answers.iter().find(|m| !m.encrypted && m.error().is_some());
    if let Some(error) = in_clear {
        told(story, sent, error, findings);
    } else if !repeated && answers.len() == 1 {
        understood(story, sent, &answers, findings);
    } else if !answers.is_empty() || !begged.is_empty() {
        unreadable(story, sent, &answers, &begged, findings);
    } else {
        silence(story, sent, findings);
    }
}

/// The responder says in clear what it thinks of the proof.
fn told(story: &Story<'_>, sent: &Step, error: &Message, findings: &mut Findings) {
    let notify = error.error().map(|n| NotifyType(n.notify_type));
    let (Some(notify), Some(answered)) = (notify, story.step(error)) else {
        return;
    };
    let psk = story.has_psk();
    let cause = match notify {
        NotifyType::INVALID_ID_INFORMATION => &ID_MISMATCH,
        NotifyType::AUTHENTICATION_FAILED => &AUTH_FAILED,
        // Whatever it complains about is what the wrong key made of the message.
        _ if psk => &PSK_MISMATCH,
        _ => &AUTH_FAILED,
    };
    let mut finding = Finding::failure(
        cause,
        Stage::IkeAuthentication,
        Basis::Inferred,
        say!(
            "The {} answered the {} with N({notify}) in clear; the sixth message never came.",
            story.responder().word(),
            sent.message
        ),
    )
    .step(sent, "")
    .step(answered, &say!(" with N({notify})"))
    .exclude(
        "proposal-mismatch",
        "the gateway chose a proposal in its second message",
    );
    finding = if psk {
        finding.candidates(&["psk-mismatch", "id-mismatch"])
    } else {
        finding.candidates(CERTIFICATES)
    };
    finding.candidates.retain(|code| *code != cause.code);
    findings.push(fitting(finding));
}

/// The initiator repeats its proof, whatever comes back: it cannot read it.
fn unreadable(
    story: &Story<'_>,
    sent: &Step,
    answers: &[&Message],
    begged: &[Stamp],
    findings: &mut Findings,
) {
    let psk = story.has_psk();
    let cause = if psk { &PSK_MISMATCH } else { &AUTH_FAILED };
    let met = match (answers.is_empty(), begged.is_empty()) {
        (false, _) => say!(
            "{} encrypted message(s) that it could not use",
            answers.len()
        ),
        (true, _) => say!(
            "the fourth message {} time(s) again, as if the fifth had not been understood",
            begged.len()
        ),
    };
    let mut finding = Finding::failure(
        cause,
        Stage::IkeAuthentication,
        Basis::Inferred,
        say!(
            "The {} sent its {} {} times over {}, and the {} answered with {met}; the sixth message never came.",
            story.initiator().word(),
            sent.message,
            sent.sent(),
            sent.spread(),
            story.responder().word()
        ),
    )
    .step(sent, "");
    for message in answers {
        if let Some(step) = story.step(message) {
            finding = finding.step(step, " instead of the sixth message");
        }
    }
    for stamp in begged {
        finding = finding.frame(*stamp, "the fourth message again");
    }
    finding = finding.exclude(
        "proposal-mismatch",
        "the gateway chose a proposal in its second message",
    );
    if psk {
        finding = finding.exclude(
            "id-mismatch",
            "a client that can read the refusal does not send the same message again",
        );
    } else {
        finding = finding.candidates(CERTIFICATES);
    }
    // Nothing came from the port to which it was sent: perhaps it did not arrive there.
    let moved = answers.is_empty() && moved(story, sent) && !story.is_near(story.responder());
    if moved {
        finding = finding.sure(Confidence::Possible).candidates(&["nat-t-blocked"]).needs(
            "a capture on the gateway's WAN interface: does the message on UDP 4500 arrive there?",
        );
    }
    let finding = fitting(finding);
    let enough = sent.sent() >= 2 || begged.len() >= 2 || settled(story.session);
    findings.push(if enough {
        finding
    } else {
        finding.inconclusive()
    });
}

/// Whether a message went to another port than the one from which its peer was heard last.
fn moved(story: &Story<'_>, sent: &Step) -> bool {
    let heard = story
        .session
        .steps
        .iter()
        .rfind(|s| s.from != sent.from && s.at < sent.at);
    heard.is_some_and(|heard| heard.flow.source.1 != sent.flow.destination.1)
}

/// One answer, and the initiator left it at that: it could read it.
fn understood(story: &Story<'_>, sent: &Step, answers: &[&Message], findings: &mut Findings) {
    let Some(answer) = answers.first().and_then(|message| story.step(message)) else {
        return;
    };
    let psk = story.has_psk();
    let settled = settled(story.session);
    let cause = if psk && settled {
        &ID_MISMATCH
    } else {
        &AUTH_FAILED
    };
    let mut finding = Finding::failure(
        cause,
        Stage::IkeAuthentication,
        Basis::Inferred,
        say!(
            "The {} answered the {} with one encrypted informational message of {} octets instead of the sixth message, and the {} did not try again.",
            story.responder().word(),
            sent.message,
            answer.length,
            story.initiator().word()
        ),
    )
    .frame(sent.at, sent.message.to_string())
    .step(answer, " instead of the sixth message")
    .exclude("proposal-mismatch", "the gateway chose a proposal in its second message");
    finding = match (psk, settled) {
        (true, true) => finding.exclude(
            "psk-mismatch",
            "with different keys the client could not have read the refusal, and would have sent its message again",
        ),
        (true, false) => finding
            .candidates(&["psk-mismatch", "id-mismatch"])
            .needs("a longer capture: it ends before the client could have sent its message again"),
        (false, _) => finding.candidates(CERTIFICATES),
    };
    findings.push(fitting(finding));
}

/// Nothing came back to the proof.
fn silence(story: &Story<'_>, sent: &Step, findings: &mut Findings) {
    let responder = story.responder();
    let moved = moved(story, sent);
    let arrived = story.is_near(responder);
    let absence = Basis::Absence { of: responder };
    let psk = story.has_psk();
    let times = say!(
        "The {} was sent {} times over {} without an answer, after four messages in order.",
        sent.message,
        sent.sent(),
        sent.spread()
    );
    let finding = if moved && !arrived {
        Finding::failure(
            &NAT_T_BLOCKED,
            Stage::IkeNatTraversal,
            absence,
            say!(
                "{times} It went to UDP port {}, the four before it to port {}.",
                sent.flow.destination.1,
                story.session.gateway.port
            ),
        )
        .candidates(if psk {
            &["psk-mismatch", "request-never-arrived", "fragment-lost"]
        } else {
            &["request-never-arrived", "fragment-lost"]
        })
    } else if psk {
        let near = if arrived {
            " It arrived at the gateway, where this capture was made."
        } else {
            ""
        };
        Finding::failure(
            &PSK_MISMATCH,
            Stage::IkeAuthentication,
            absence,
            say!("{times}{near}"),
        )
        .sure(Confidence::Likely)
        .candidates(if arrived {
            &["id-mismatch"]
        } else {
            &["request-never-arrived", "fragment-lost", "response-lost"]
        })
    } else {
        Finding::failure(&AUTH_FAILED, Stage::IkeAuthentication, absence, times)
            .sure(Confidence::Possible)
            .candidates(CERTIFICATES)
            .candidates(&["fragment-lost"])
    };
    let finding = fitting(finding.step(sent, ", unanswered"));
    findings.push(tell(story, finding, enough(sent, story.session)));
}

/// The sixth message is there, and nothing after it but perhaps a farewell.
fn after_main(story: &Story<'_>, findings: &mut Findings) {
    let (Some(asked), Some(answered)) =
        (step(story, story.proof()), step(story, story.acceptance()))
    else {
        return;
    };
    if let Some(finding) = lost(asked, answered, Stage::IkeAuthentication) {
        findings.push(finding);
        return;
    }
    if story.facts.renews.is_some() {
        return;
    }
    // The initiator takes its leave at once: it did not accept what the responder proved.
    let patience = story.round_trip().unwrap_or_default() + Span::from_millis(100);
    let left = story
        .informationals(story.initiator(), answered.at)
        .find(|m| m.at.time - answered.at.time <= patience);
    let Some(left) = left.and_then(|message| story.step(message)) else {
        return;
    };
    let mut finding = Finding::failure(
        &AUTH_FAILED,
        Stage::IkeAuthentication,
        Basis::Inferred,
        say!(
            "The {} accepted, and within {} of its sixth message the {} sent an encrypted informational message and began no quick mode.",
            story.responder().word(),
            left.at.time - answered.at.time,
            story.initiator().word()
        ),
    )
    .frame(answered.at, answered.message.to_string())
    .step(left, ": the initiator gives up");
    finding = if story.has_psk() {
        finding
            .candidates(&["id-mismatch"])
            .exclude("psk-mismatch", "the gateway could read the fifth message")
    } else {
        finding.candidates(CERTIFICATES)
    };
    findings.push(fitting(finding));
}
