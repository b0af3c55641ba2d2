//! Did PPP agree on a link, let the user in, and bring up a network?

use std::fmt::Write as _;

use vpnscope_dissectors::ppp::{IpcpOption, LcpOption, MsChapError, Protocol};

use super::radius::RADIUS_TIMEOUT;
use super::reachability::enough;
use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, cause};
use crate::time::Span;
use crate::track::ppp::{Decision, Half, Login, Method, Ppp, Refusal, Terminated, Value};
use crate::track::session::{Session, Side};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "ppp",
    causes: &[
        &PPP_LCP_LOOP,
        &PPP_AUTH_PROTOCOL_MISMATCH,
        &PPP_AUTH_FAILED,
        &PPP_MPPE_REQUIRED,
        &PPP_IPCP_REJECTED,
        &CONFIG_NO_ADDRESS,
    ],
    check,
};

cause! {
    /// ## What it means
    /// The two PPP ends never agree on their link: one keeps refusing what the other keeps
    /// asking for, one does not answer at all, or a side hears its own packets.
    ///
    /// ## What is seen
    /// LCP Configure-Requests and Configure-Naks for the same option again and again,
    /// Configure-Requests without an answer, or one magic number from both sides.
    ///
    /// ## Likely causes
    /// - The two sides allow different authentication protocols and neither gives in.
    /// - The server's PPP daemon did not start, or started with other options.
    /// - An MRU or an option that one side insists on.
    ///
    /// ## What to check on each side
    /// - Client: which authentication protocols does the profile allow?
    /// - Server: the PPP options (`require-…`, `refuse-…`, `mru`) and its log.
    ///
    /// ## When this is wrong
    /// A few refusals are how PPP negotiates; silence in a capture of one direction is none.
    pub(super) static PPP_LCP_LOOP = {
        code: "ppp-lcp-loop",
        title: "PPP's link negotiation does not end",
        remedies: [
            "Let both sides allow the same option, usually the authentication protocol: see what was asked for and refused.",
            "If the server never sends LCP, look whether its PPP daemon starts.",
        ],
    }
}

cause! {
    /// ## What it means
    /// Client and server have no authentication protocol in common.
    ///
    /// ## What is seen
    /// LCP Configure-Reject of the authentication option, or Configure-Nak with another
    /// protocol, and then the end of the link.
    ///
    /// ## Likely causes
    /// - The client's profile does not allow what the server demands (MS-CHAPv2, PAP, EAP).
    /// - The server's policy demands EAP for this connection.
    ///
    /// ## What to check on each side
    /// - Client: the boxes for PAP, CHAP, MS-CHAP v2 and EAP.
    /// - Server: required protocols; the methods of the RADIUS or NPS policy.
    ///
    /// ## When this is wrong
    /// When the link goes on with another protocol after the refusal.
    pub(super) static PPP_AUTH_PROTOCOL_MISMATCH = {
        code: "ppp-auth-protocol-mismatch",
        title: "no authentication protocol in common",
        remedies: [
            "Allow in the client's profile the protocol that the server demands (mostly MS-CHAP v2).",
            "Or let the server demand one that the client allows.",
        ],
    }
}

cause! {
    /// ## What it means
    /// The server refuses the user: name, password, or the account behind it.
    ///
    /// ## What is seen
    /// CHAP Failure (with MS-CHAP's error number), PAP Authenticate-Nak or EAP Failure, then
    /// the end of the link.
    ///
    /// ## Likely causes
    /// - E=691 and PAP: wrong name or password, or a domain in the name that does not belong.
    /// - E=646 to 649, 709: the account is restricted, disabled, expired, without dial-in
    ///   right, or must change its password.
    /// - The server cannot ask its directory: RADIUS secret, domain trust, certificate.
    ///
    /// ## What to check on each side
    /// - Client: name as the server expects it, stored password.
    /// - Server: the log of RADIUS, NPS or the directory at that second.
    ///
    /// ## When this is wrong
    /// When another try on the same link succeeds.
    pub(super) static PPP_AUTH_FAILED = {
        code: "ppp-auth-failed",
        title: "the server refuses the user",
        remedies: [
            "Try the same name and password where they are known to work; drop a stored password.",
            "Read the server's or RADIUS log of that second: it names the account's state.",
        ],
    }
}

cause! {
    /// ## What it means
    /// One side insists on MPPE encryption inside PPP, the other does not do it.
    ///
    /// ## What is seen
    /// CCP Configure-Reject of MPPE, or Protocol-Reject of CCP, and then the end of the link.
    ///
    /// ## Likely causes
    /// - The profile demands encryption inside PPP although IPsec encrypts already.
    /// - The login method gives no keys for MPPE (PAP, CHAP-MD5).
    ///
    /// ## What to check on each side
    /// - Client: data encryption "optional" for L2TP/IPsec.
    /// - Server: `require-mppe` and the kernel module for it.
    ///
    /// ## When this is wrong
    /// Where nobody insists, a rejected CCP is normal and the link goes on.
    pub(super) static PPP_MPPE_REQUIRED = {
        code: "ppp-mppe-required",
        title: "one side insists on MPPE",
        remedies: [
            "Make MPPE optional on the side that insists; IPsec protects the data already.",
            "Or log in with MS-CHAPv2 and switch MPPE on at both ends.",
        ],
    }
}

cause! {
    /// ## What it means
    /// The user is in, but the sides do not agree on a network protocol.
    ///
    /// ## What is seen
    /// Protocol-Reject of IPCP, an IPCP option refused for good, IPCP without an answer, or
    /// IPCP terminated; then the end of the link.
    ///
    /// ## Likely causes
    /// - The server has no IPv4 configured for this user or service.
    /// - The client's network component is broken (Windows: WAN Miniport).
    ///
    /// ## What to check on each side
    /// - Server: local address and pool of the PPP service, its log.
    /// - Client: is IPv4 ticked; on Windows reinstall the WAN Miniport (IP) devices.
    ///
    /// ## When this is wrong
    /// When another network protocol (IPv6) comes up and is all that is wanted.
    pub(super) static PPP_IPCP_REJECTED = {
        code: "ppp-ipcp-rejected",
        title: "no network protocol comes up in PPP",
        remedies: [
            "Server: give the PPP service a local address and a pool, and let it do IPCP.",
            "Windows client with error 720: remove the WAN Miniport (IP) devices and scan for hardware again.",
        ],
    }
}

cause! {
    /// ## What it means
    /// The gateway has no address for the client.
    ///
    /// ## What is seen
    /// In PPP: the client asks for an address (0.0.0.0) and the server rejects the option, or
    /// IPCP ends without one.
    ///
    /// ## Likely causes
    /// - The address pool is exhausted or not configured for this user.
    /// - The RADIUS server assigns none, or one that is in use.
    ///
    /// ## What to check on each side
    /// - Server: size and leases of the pool, Framed-IP-Address.
    /// - Client: "obtain an address automatically".
    ///
    /// ## When this is wrong
    /// When the client wants a fixed address and the server refuses that one only.
    pub(super) static CONFIG_NO_ADDRESS = {
        code: "config-no-address",
        title: "the gateway gives the client no address",
        remedies: [
            "Enlarge or free the address pool.",
            "Check what the server or RADIUS assigns to this user.",
        ],
    }
}

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    let Some(ppp) = session.ppp() else { return };
    if let Some(finding) = refused(session, ppp) {
        findings.push(finding);
        return;
    }
    if ppp.is_up() {
        return;
    }
    let questions: [fn(&Session, &Ppp) -> Option<Finding>; 5] =
        [looped, unproven, undecided, network, link];
    if let Some(finding) = questions.iter().find_map(|ask| ask(session, ppp)) {
        findings.push(finding);
    }
}

/// A finding whose evidence is the step with this index, if it was kept.
fn with_step(finding: Finding, session: &Session, step: Option<usize>) -> Finding {
    match step.and_then(|index| session.step(index)) {
        Some(step) => finding.step(step, ""),
        None => finding,
    }
}

fn who(side: Side) -> &'static str {
    side.word()
}

/// The authenticator said no, and did not say yes later.
fn refused(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let login = ppp.login()?;
    let verdict = login.verdict.as_ref().filter(|verdict| !verdict.granted)?;
    let user = login
        .user
        .as_ref()
        .map_or_else(String::new, |user| format!(" of '{user}'"));
    let summary = format!(
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
        finding = finding.candidates(&["radius-timeout"]);
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
        format!(" with E={code}{words}")
    });
    let text = if verdict.text.is_empty() {
        String::new()
    } else {
        format!(": \"{}\"", verdict.text)
    };
    format!("{error}{text}")
}

/// One magic number from both sides.
fn looped(_: &Session, ppp: &Ppp) -> Option<Finding> {
    let at = ppp.looped?;
    let magic = ppp.magic.client.unwrap_or_default();
    Some(
        Finding::failure(
            &PPP_LCP_LOOP,
            Stage::PppLcp,
            Basis::Seen,
            format!("Both sides use the magic number {magic:08x}: the link is looped back."),
        )
        .frame(at, "LCP with the peer's own magic number"),
    )
}

/// MS-CHAPv2 Success without the server's proof: a client has to leave then.
fn unproven(session: &Session, ppp: &Ppp) -> Option<Finding> {
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
        format!(
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
fn undecided(session: &Session, ppp: &Ppp) -> Option<Finding> {
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
            format!(
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
        format!(
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

/// The link is up and the user in: what became of the network protocols?
fn network(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let reached = ppp.reached_network()
        || ppp
            .rejected
            .iter()
            .any(|rejected| rejected.protocol.0 & 0xc000 == 0x8000);
    if !reached {
        return None;
    }
    encryption(session, ppp)
        .or_else(|| protocol_rejected(session, ppp))
        .or_else(|| address(session, ppp))
        .or_else(|| network_ended(session, ppp))
}

/// A text that speaks of encryption.
fn speaks_of_mppe(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("mppe") || text.contains("encryption")
}

fn encryption(session: &Session, ppp: &Ppp) -> Option<Finding> {
    /// The option of MPPE in CCP.
    const MPPE: u8 = 18;
    let end = ppp
        .terminated
        .iter()
        .find(|end| end.protocol == Protocol::LCP);
    let said = end.is_some_and(|end| speaks_of_mppe(&end.text));
    let rejected = ppp
        .rejected
        .iter()
        .find(|rejected| rejected.protocol == Protocol::CCP);
    let refusal = [Side::Client, Side::Gateway].into_iter().find_map(|side| {
        let refusal = ppp.ccp.of.of(side).refusal(MPPE)?;
        Some((side, refusal)).filter(|_| refusal.rejected || refusal.count >= 4)
    });
    let wanted = |side: Side| ppp.ccp.of.of(side).wanted.iter().any(|w| w.option == MPPE);
    // Only the side that wanted MPPE ends a link for lack of it.
    let ender = end.map(|end| end.by);
    let by_rejection =
        rejected.is_some_and(|r| ender == Some(r.by.other()) && wanted(r.by.other()));
    let by_option = refusal.is_some_and(|(side, _)| ender == Some(side));
    if !said && !by_rejection && !by_option {
        return None;
    }
    let mut finding = Finding::failure(
        &PPP_MPPE_REQUIRED,
        Stage::PppNetwork,
        if said { Basis::Seen } else { Basis::Inferred },
        match (refusal, rejected) {
            (Some((side, _)), _) => format!(
                "The {} refused MPPE in CCP and the {} ended the link.",
                who(side.other()),
                who(side)
            ),
            (None, Some(rejected)) => format!(
                "The {} rejected CCP and the {} ended the link.",
                who(rejected.by),
                who(rejected.by.other())
            ),
            (None, None) => format!(
                "The {} ended the link: \"{}\".",
                ender.map_or("peer", who),
                end.map_or("", |end| end.text.as_str())
            ),
        },
    );
    if let Some((_, refusal)) = refusal {
        for step in &refusal.steps {
            finding = with_step(finding, session, Some(*step));
        }
    }
    finding = with_step(finding, session, rejected.and_then(|r| r.step));
    Some(with_step(finding, session, end.and_then(|end| end.step)))
}

fn protocol_rejected(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let rejected = ppp
        .rejected
        .iter()
        .find(|rejected| rejected.protocol == Protocol::IPCP)?;
    if ppp.ipv6cp.is_open() {
        return None;
    }
    let mut finding = Finding::failure(
        &PPP_IPCP_REJECTED,
        Stage::PppNetwork,
        Basis::Seen,
        format!(
            "The {} rejected IPCP: it does not do IPv4 on this link.",
            who(rejected.by)
        ),
    );
    finding = with_step(finding, session, rejected.step);
    for other in ppp.rejected.iter().filter(|r| r.at != rejected.at) {
        finding = with_step(finding, session, other.step);
    }
    finding = with_step(finding, session, ppp.ipcp.of.of(rejected.by.other()).first);
    Some(match ended_by(ppp, None) {
        Some(end) => with_step(finding, session, end.step),
        None => finding,
    })
}

/// The client gets no address, or does not get the one that it wants.
fn address(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let half = &ppp.ipcp.of.client;
    let wanted = half
        .wanted
        .iter()
        .find_map(|w| match (IpcpOption(w.option), w.value) {
            (IpcpOption::IP_ADDRESS, Value::Ipv4(address)) => Some(address),
            _ => None,
        });
    let refusal = half.refusal(IpcpOption::IP_ADDRESS.0)?;
    let over = ended_by(ppp, None).is_some() || closed(session);
    if refusal.rejected && (over || half.acked.is_none()) {
        let asked = wanted.unwrap_or_default();
        return Some(refusals(
            Finding::failure(
                &CONFIG_NO_ADDRESS,
                Stage::PppNetwork,
                Basis::Seen,
                format!(
                    "The gateway rejected the client's request for an address (last {}): it assigns none.",
                    std::net::Ipv4Addr::from(asked)
                ),
            )
            .candidates(&["ppp-ipcp-rejected"]),
            session,
            refusal,
        ));
    }
    if half.acked.is_none() && refusal.count >= 4 {
        let instead = match refusal.instead {
            Some(Value::Ipv4(address)) => std::net::Ipv4Addr::from(address).to_string(),
            _ => "another".to_string(),
        };
        let cause = if refusal.instead == Some(Value::Ipv4([0; 4])) {
            &CONFIG_NO_ADDRESS
        } else {
            &PPP_IPCP_REJECTED
        };
        return Some(refusals(
            Finding::failure(
                cause,
                Stage::PppNetwork,
                Basis::Seen,
                format!(
                    "The gateway refused the client's address {} times and proposed {instead}; they never agreed.",
                    refusal.count
                ),
            ),
            session,
            refusal,
        ));
    }
    None
}

fn refusals(mut finding: Finding, session: &Session, refusal: &Refusal) -> Finding {
    for step in &refusal.steps {
        finding = with_step(finding, session, Some(*step));
    }
    finding
}

/// IPCP that was terminated, refused or not answered.
fn network_ended(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let terminated = ppp
        .terminated
        .iter()
        .find(|end| matches!(end.protocol, Protocol::IPCP | Protocol::IPV6CP));
    if let Some(end) = terminated {
        let finding = Finding::failure(
            &PPP_IPCP_REJECTED,
            Stage::PppNetwork,
            Basis::Seen,
            format!(
                "The {} terminated {}{}.",
                who(end.by),
                crate::track::ppp::fold::short_name(end.protocol),
                quoted(&end.text)
            ),
        );
        return Some(with_step(finding, session, end.step));
    }
    let client = &ppp.ipcp.of.client;
    let refusal = [Side::Client, Side::Gateway]
        .into_iter()
        .find_map(|side| ppp.ipcp.of.of(side).most_refused().filter(|r| r.count >= 5));
    if let Some(refusal) = refusal {
        let finding = Finding::failure(
            &PPP_IPCP_REJECTED,
            Stage::PppNetwork,
            Basis::Seen,
            format!(
                "IPCP option {} was refused {} times and never agreed.",
                IpcpOption(refusal.option),
                refusal.count
            ),
        );
        return Some(refusals(finding, session, refusal));
    }
    let (asked, step) = tries(session, client)?;
    let no_answer = client.answers == 0 && ppp.ipcp.of.gateway.requests == 0;
    if asked >= 3 && no_answer {
        let finding = Finding::failure(
            &PPP_IPCP_REJECTED,
            Stage::PppNetwork,
            Basis::Absence { of: Side::Gateway },
            format!(
                "The client sent {asked} IPCP Configure-Requests and the gateway never answered."
            ),
        )
        .candidates(&["config-no-address", "response-lost"]);
        return Some(with_step(finding, session, Some(step)));
    }
    None
}

fn quoted(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": \"{text}\"")
    }
}

/// How often a side asked, repetitions included, and the step of its first request.
fn tries(session: &Session, half: &Half) -> Option<(u32, usize)> {
    let first = half.first?;
    let mut repeats = session.step(first).map_or(0, |step| step.repeats.count);
    if let Some(last) = half.last.filter(|last| *last != first) {
        repeats = repeats.saturating_add(session.step(last).map_or(0, |step| step.repeats.count));
    }
    Some((half.requests.saturating_add(repeats), first))
}

/// The Terminate-Request of the link, or of a protocol.
fn ended_by(ppp: &Ppp, protocol: Option<Protocol>) -> Option<&Terminated> {
    let wanted = protocol.unwrap_or(Protocol::LCP);
    ppp.terminated.iter().find(|end| end.protocol == wanted)
}

/// Whether the tunnel or call around the link was closed.
fn closed(session: &Session) -> bool {
    session.l2tp().is_some_and(|facts| {
        facts.stop.is_some()
            || facts
                .main_call()
                .is_some_and(|call| call.disconnect.is_some())
    })
}

/// The link itself.
fn link(session: &Session, ppp: &Ppp) -> Option<Finding> {
    if ppp.lcp.is_open() && ppp.login().is_some() {
        return None;
    }
    authentication_protocol(session, ppp)
        .or_else(|| refused_again(session, ppp))
        .or_else(|| peer_refuses_to_authenticate(session, ppp))
        .or_else(|| silent(session, ppp))
        .or_else(|| ended_early(session, ppp))
}

fn method_of(half: &Half) -> Option<Method> {
    half.wanted.iter().find_map(|wanted| match wanted.value {
        Value::Authentication(method) => Some(method),
        _ => None,
    })
}

/// The option that says how to log in, refused.
fn authentication_protocol(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let option = LcpOption::AUTHENTICATION_PROTOCOL.0;
    let (side, refusal) = [Side::Gateway, Side::Client]
        .into_iter()
        .find_map(|side| Some((side, ppp.lcp.of.of(side).refusal(option)?)))?;
    let half = ppp.lcp.of.of(side);
    let over = ended_by(ppp, None).is_some() || closed(session);
    if half.acked.is_some() || (!over && refusal.count < 3) {
        return None;
    }
    let asked = method_of(half).map_or_else(|| "a login".to_string(), Method::name);
    let peer = who(side.other());
    let loops = !refusal.rejected && refusal.count >= 3;
    let instead = match refusal.instead {
        Some(Value::Authentication(method)) => format!(" and wants {}", method.name()),
        _ => String::new(),
    };
    let (cause, summary) = if loops {
        (
            &PPP_LCP_LOOP,
            format!(
                "The {} insists on {asked}; the {peer} refused it {} times{instead}, and neither gave in.",
                who(side),
                refusal.count
            ),
        )
    } else {
        (
            &PPP_AUTH_PROTOCOL_MISMATCH,
            format!(
                "The {} demands {asked}; the {peer} {} it{instead}, and the link ended.",
                who(side),
                if refusal.rejected {
                    "rejects"
                } else {
                    "refuses"
                }
            ),
        )
    };
    let mut finding = Finding::failure(cause, Stage::PppLcp, Basis::Seen, summary);
    if loops {
        finding = finding.candidates(&["ppp-auth-protocol-mismatch"]);
    } else if !refusal.rejected {
        // More refusals, perhaps not captured, and it is a loop.
        finding = finding.sure(Confidence::Likely);
    }
    finding = refusals(finding, session, refusal);
    finding = with_step(finding, session, half.first);
    Some(match ended_by(ppp, None) {
        Some(end) => with_step(finding, session, end.step),
        None => finding,
    })
}

/// Another option, refused until nobody goes on.
fn refused_again(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let (side, refusal) = [Side::Client, Side::Gateway].into_iter().find_map(|side| {
        let half = ppp.lcp.of.of(side);
        let refusal = half.most_refused().filter(|r| r.count >= 5)?;
        half.acked.is_none().then_some((side, refusal))
    })?;
    let finding = Finding::failure(
        &PPP_LCP_LOOP,
        Stage::PppLcp,
        Basis::Seen,
        format!(
            "The {} refused the {}'s LCP option {} {} times, and they never agreed.",
            who(side.other()),
            who(side),
            LcpOption(refusal.option),
            refusal.count
        ),
    );
    Some(refusals(finding, session, refusal))
}

/// `peer refused to authenticate`, and texts like it.
fn peer_refuses_to_authenticate(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let end = ended_by(ppp, None)?;
    let text = end.text.to_ascii_lowercase();
    if !text.contains("authenticat") {
        return None;
    }
    let finding = Finding::failure(
        &PPP_AUTH_PROTOCOL_MISMATCH,
        Stage::PppLcp,
        Basis::Inferred,
        format!("The {} ended the link: \"{}\".", who(end.by), end.text),
    )
    .candidates(&["ppp-auth-failed"]);
    Some(with_step(finding, session, end.step))
}

/// One side asks and the other one never says a word of LCP.
fn silent(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let side = [Side::Client, Side::Gateway].into_iter().find(|side| {
        let mine = ppp.lcp.of.of(*side);
        mine.requests > 0 && mine.answers == 0 && ppp.lcp.of.of(side.other()).requests == 0
    })?;
    let silent = side.other();
    // Who takes the call down at once has said why: that is the call's story, not PPP's.
    let call = session.l2tp().and_then(|facts| facts.main_call());
    if call
        .and_then(|call| call.disconnect.as_ref())
        .is_some_and(|closing| closing.from == silent)
    {
        return None;
    }
    let half = ppp.lcp.of.of(side);
    let (asked, first) = tries(session, half)?;
    let step = session.step(first)?;
    if asked < 3 && !enough(step, session) {
        return None;
    }
    let finding = Finding::failure(
        &PPP_LCP_LOOP,
        Stage::PppLcp,
        Basis::Absence { of: silent },
        format!(
            "The {} sent {asked} LCP Configure-Request(s), and the {} never answered nor sent LCP of its own.",
            who(side),
            who(silent)
        ),
    )
    .candidates(&["l2tp-cdn", "response-lost"]);
    Some(with_step(finding, session, Some(first)))
}

/// Terminated before the link was open, without a reason that can be named.
fn ended_early(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let end = ended_by(ppp, None)?;
    if ppp.login().is_some_and(|login| login.verdict.is_some()) {
        return None;
    }
    let finding = Finding::failure(
        &PPP_LCP_LOOP,
        Stage::PppLcp,
        Basis::Inferred,
        format!(
            "The {} ended the link during its negotiation{}.",
            who(end.by),
            quoted(&end.text)
        ),
    )
    .sure(Confidence::Possible)
    .candidates(&["ppp-auth-protocol-mismatch", "peer-deleted"]);
    let finding = with_step(finding, session, end.step);
    // An open link that is ended again without a word of why: perhaps somebody gave up.
    Some(if ppp.lcp.is_open() {
        finding.inconclusive()
    } else {
        finding
    })
}
