//! Did the peers accept each other?

use vpnscope_dissectors::ike::v2::NotifyType;

use crate::diagnose::ike2::{Auth, Story};
use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, cause, say};
use crate::track::ike2::{Exchange, Message};
use crate::track::session::{Session, Side, Step};

use super::reachability::{enough, lost};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "authentication",
    causes: &[&AUTH_FAILED, &EAP_FAILED],
    check,
};

cause! {
    /// ## What it means
    /// The peers agreed on algorithms, and then one refused the other: its key, its identity
    /// or its certificate. Which of these is encrypted.
    ///
    /// ## What is seen
    /// Either the gateway's `IKE_AUTH` answer has room for nothing but one short notify; or
    /// the gateway answered in full and the client took its leave within a round trip. The
    /// lengths follow from the negotiated suite.
    ///
    /// ## Likely causes
    /// - The pre-shared key differs: a typing error, another encoding, a trailing blank.
    /// - The identity that one side sends is not the one that the other side expects.
    /// - A certificate is expired, not trusted, has the wrong name or usage.
    ///
    /// ## What to check on each side
    /// - The log of the side that refused: it names the reason.
    /// - Both: the key, the identities sent and expected, the certificates' dates and names.
    ///
    /// ## When this is wrong
    /// A lone notify of another kind has the same length, and a stack that pads more than it
    /// must can hide a longer one.
    pub(super) static AUTH_FAILED = {
        code: "auth-failed",
        title: "one side refused the other's key, identity or certificate",
        remedies: [
            "Read the log of the side that refused; it names the reason: key, identity or certificate.",
            "Type the pre-shared key anew on both sides, without blanks at its ends.",
            "Compare the identity that the client sends with the one that the gateway expects, and the other way round.",
            "Check the certificates' dates, names (SAN = what the user typed), usage and issuers.",
        ],
        needs: "the log of the side that refused, or the IKE keys of this session",
    }
}

cause! {
    /// ## What it means
    /// The gateway's certificate or key was accepted, and then the user's EAP login failed.
    ///
    /// ## What is seen
    /// Two or more rounds of `IKE_AUTH`, whose last answer is too short to grant a child SA,
    /// and then the client's short farewell or silence.
    ///
    /// ## Likely causes
    /// - Wrong user name or password, expired or locked account.
    /// - The RADIUS server refuses, or does not know this gateway.
    /// - No EAP method in common.
    ///
    /// ## What to check on each side
    /// - Gateway and RADIUS server: their log for this user and time.
    /// - Client: user name with or without domain, EAP method.
    ///
    /// ## When this is wrong
    /// When the client stopped for another reason in the middle of EAP.
    pub(super) static EAP_FAILED = {
        code: "eap-failed",
        title: "the user's EAP login was refused",
        remedies: [
            "Look up this login in the gateway's and the RADIUS server's log: it names the reason (Windows shows 691 or 812).",
            "Let the user type name and password anew; check that the account is neither locked nor expired.",
            "Check that client and gateway have an EAP method in common.",
        ],
        needs: "the gateway's or the RADIUS server's log",
    }
}

/// The remedies of [`AUTH_FAILED`], each with what it is good for: the beginning of a candidate's
/// code.
const REMEDIES: &[(&str, &str)] = &[
    (
        "",
        "Read the log of the side that refused; it names the reason: key, identity or certificate.",
    ),
    (
        "psk-",
        "Type the pre-shared key anew on both sides, without blanks at its ends.",
    ),
    (
        "id-",
        "Compare the identity that the client sends with the one that the gateway expects, and the other way round.",
    ),
    (
        "cert-",
        "Check the certificates' dates, names (SAN = what the user typed), usage and issuers.",
    ),
];

/// With only those remedies that help against what it may be: nobody needs to look at the
/// certificates of peers that have none.
pub(super) fn fitting(mut finding: Finding) -> Finding {
    if finding.cause.code != AUTH_FAILED.code || finding.candidates.is_empty() {
        return finding;
    }
    for (good_for, remedy) in REMEDIES {
        if finding.candidates.iter().any(|c| c.starts_with(good_for)) {
            finding = finding.remedy(*remedy);
        }
    }
    finding.specific()
}

/// What encryption hides behind a refusal by the gateway.
const HIDDEN: &[&str] = &[
    "psk-mismatch",
    "id-mismatch",
    "cert-rejected",
    "cert-missing",
];
/// What encryption hides behind a refusal by the client.
const HIDDEN_CLIENT: &[&str] = &[
    "cert-untrusted",
    "cert-name-mismatch",
    "cert-expired",
    "cert-missing-eku",
    "id-mismatch",
];
/// The same, where the gateway's answer has no room for a certificate.
const HIDDEN_WITHOUT_CERTIFICATE: &[&str] = &["id-mismatch", "child-refused"];

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session) else {
        return;
    };
    match story.auth {
        Auth::Refused(exchange) if story.auths().count() > 1 => eap(&story, exchange, findings),
        Auth::Refused(exchange) => refused(&story, exchange, findings),
        Auth::ClientRefused(exchange, farewell) => client(&story, exchange, farewell, findings),
        // Closed, and refused only what EAP was for: a question of the child.
        Auth::EapEnded(exchange) if story.closes_eap(exchange) => {}
        Auth::EapEnded(exchange) => eap(&story, exchange, findings),
        Auth::Unanswered(exchange) => unanswered(&story, exchange, findings),
        _ => {}
    }
    if let Auth::Granted(exchange) | Auth::Unknown(exchange) = story.auth {
        response_lost(&story, exchange, findings);
    }
}

fn step<'a>(story: &Story<'a>, message: Option<&Message>) -> Option<&'a Step> {
    message
        .and_then(|m| m.step)
        .and_then(|index| story.session.step(index))
}

fn refused(story: &Story<'_>, exchange: &Exchange, findings: &mut Findings) {
    let (Some(asked), Some(answered)) = (
        step(story, exchange.request.as_ref()),
        step(story, exchange.response.as_ref()),
    ) else {
        return;
    };
    if let Some(error) = exchange.response.as_ref().and_then(Message::error) {
        in_clear(story, answered, error.notify_type, findings);
        return;
    }
    let least = story
        .suite
        .and_then(|s| s.least_success(true))
        .unwrap_or_default();
    let notify = story.suite.and_then(|s| s.one_notify()).unwrap_or_default();
    // The first answer of IKE_AUTH holds an identity and an authentication, with EAP too
    // (RFC 7296 §1.2, §2.16): eight octets have room for neither, only for an error. A later
    // answer could be EAP's success, which is as short.
    let exact = exchange.id == 1
        && story.suite.and_then(|s| s.one_notify()) == Some(answered.length)
        && exchange
            .response
            .as_ref()
            .is_some_and(|m| m.fragments.is_none());
    let basis = if exact {
        Basis::Proven
    } else {
        Basis::Inferred
    };
    findings.push(
        Finding::failure(
            &AUTH_FAILED,
            Stage::IkeAuthentication,
            basis,
            say!(
                "The gateway's IKE_AUTH answer is {} octets: with this suite one error notify takes {notify}, the shortest success {least}.",
                answered.length
            ),
        )
        .frame(asked.at, say!("{}, {} octets", asked.message, asked.length))
        .step(answered, ", one short notify long")
        .candidates(HIDDEN)
        .exclude("proposal-mismatch", "the gateway chose a proposal in its IKE_SA_INIT answer")
        .exclude("no-response", "the gateway answered"),
    );
}

/// A gateway that could not read the request answers without protection: its word stands in
/// clear, and anybody could have said it.
fn in_clear(story: &Story<'_>, answered: &Step, notify_type: u16, findings: &mut Findings) {
    let name = NotifyType(notify_type);
    findings.push(
        Finding::failure(
            &AUTH_FAILED,
            Stage::IkeAuthentication,
            Basis::Inferred,
            say!(
                "The gateway answered IKE_AUTH in clear with {name}: it could not read the request or refused it unprotected ({}).",
                story.session.gateway.ip
            ),
        )
        .step(answered, &say!(" in clear with N({name})"))
        .candidates(HIDDEN)
        .candidates(&["malformed-message"]),
    );
}

fn client(story: &Story<'_>, exchange: &Exchange, farewell: &Exchange, findings: &mut Findings) {
    let (Some(answered), Some(left)) = (
        step(story, exchange.response.as_ref()),
        step(story, farewell.request.as_ref()),
    ) else {
        return;
    };
    if story.keeps_ike_sa(farewell) {
        // The tunnel goes. See the family of the child.
        return;
    }
    let finding = Finding::failure(
        &AUTH_FAILED,
        Stage::IkeAuthentication,
        Basis::Inferred,
        say!(
            "The gateway answered IKE_AUTH in full ({} octets), and {} later the client ended the session with a message of one notify's size; no ESP followed.",
            answered.length,
            left.at.time - answered.at.time
        ),
    )
    .frame(answered.at, say!("{}, {} octets", answered.message, answered.length))
    .step(left, " of one notify's size: the client's refusal")
    .exclude("psk-mismatch", "the gateway accepted the client's authentication")
    .needs("the client's log, or the IKE keys of this session")
    .specific();
    let certificate = exchange
        .response
        .as_ref()
        .is_some_and(|answer| story.shows_certificate(answer));
    findings.push(if certificate {
        finding
            .candidates(HIDDEN_CLIENT)
            .remedy("The client refused the gateway: look at the client's log, then at the gateway's certificate: issuer trusted by the client, SAN equal to the name the user typed, dates, server authentication usage.")
            .remedy("Compare the identity that the gateway sends with the one that the client expects of it.")
    } else {
        finding
            .sure(Confidence::Possible)
            .candidates(HIDDEN_WITHOUT_CERTIFICATE)
            .remedy("Read the client's log: it names what it did not accept of the gateway's answer.")
            .remedy("Compare the identity that the gateway sends with the one that the client expects of it.")
            .remedy("Compare mode (tunnel or transport), proposals and traffic selectors of the tunnel: a client also takes down at once what was granted otherwise than it asked.")
    });
}

fn eap(story: &Story<'_>, exchange: &Exchange, findings: &mut Findings) {
    let Some(answered) = step(story, exchange.response.as_ref()) else {
        return;
    };
    let rounds = story.auths().count();
    let least = story
        .suite
        .and_then(|s| s.least_success(false))
        .unwrap_or_default();
    // By their places: steps stand in the order of the protocol, whatever the clocks say.
    let later: Vec<_> = story
        .session
        .steps
        .iter()
        .skip_while(|s| (s.at, s.from) != (answered.at, answered.from))
        .filter(|s| s.from == Side::Client)
        .collect();
    // Without any later word of the client the login may still have been going on.
    let settled = !later.is_empty() || enough(answered, story.session);
    let mut finding = Finding::failure(
        &EAP_FAILED,
        Stage::IkeAuthentication,
        Basis::Inferred,
        say!(
            "After {rounds} rounds of IKE_AUTH the gateway's last answer is {} octets, too short to grant a tunnel (at least {least}); no further IKE_AUTH and no ESP followed.",
            answered.length
        ),
    );
    for exchange in story.auths() {
        if let Some(response) = step(story, exchange.response.as_ref()) {
            finding = finding.frame(
                response.at,
                say!("{}, {} octets", response.message, response.length),
            );
        }
    }
    for left in later.iter().take(2) {
        finding = finding.frame(left.at, say!("{}: the client gives up", left.message));
    }
    let finding = finding
        .exclude(
            "psk-mismatch",
            "the gateway went on to EAP, so it accepted what came before",
        )
        .exclude(
            "proposal-mismatch",
            "the gateway chose a proposal in its IKE_SA_INIT answer",
        );
    findings.push(if settled {
        finding
    } else {
        finding.inconclusive()
    });
}

/// A request on the same port as the negotiation, or after answers on this port, that got
/// no answer.
fn unanswered(story: &Story<'_>, exchange: &Exchange, findings: &mut Findings) {
    if findings.any_trouble() {
        return;
    }
    let Some(asked) = step(story, exchange.request.as_ref()) else {
        return;
    };
    let rounds = story.auths().count();
    let (cause, stage) = if rounds > 1 {
        (&EAP_FAILED, Stage::IkeAuthentication)
    } else {
        (&super::reachability::NO_RESPONSE, Stage::IkeAuthentication)
    };
    let finding = Finding::failure(
        cause,
        stage,
        Basis::Absence { of: Side::Gateway },
        say!(
            "The {} (message ID {}) was sent {} times over {} without an answer, after {} answered.",
            asked.message,
            exchange.id,
            asked.sent(),
            asked.spread(),
            if rounds > 1 { "earlier rounds of IKE_AUTH were" } else { "IKE_SA_INIT was" }
        ),
    )
    .sure(Confidence::Likely)
    .step(asked, ", unanswered")
    .candidates(&["fragment-lost", "nat-t-blocked", "response-lost", "radius-timeout"]);
    findings.push(if enough(asked, story.session) {
        finding
    } else {
        finding.inconclusive()
    });
}

/// The gateway granted, but the client repeats its request: it does not hear the answer.
fn response_lost(story: &Story<'_>, exchange: &Exchange, findings: &mut Findings) {
    let fragmented = exchange
        .response
        .as_ref()
        .is_some_and(|m| m.fragments.is_some());
    if story.used_after(exchange) || fragmented {
        return;
    }
    let (Some(asked), Some(answered)) = (
        step(story, exchange.request.as_ref()),
        step(story, exchange.response.as_ref()),
    ) else {
        return;
    };
    // An answer in fragments that does not arrive is a question of fragments.
    if let Some(finding) =
        lost(asked, answered, Stage::IkeAuthentication).filter(|_| answered.fragments < 2)
    {
        findings.push(finding);
    }
}
