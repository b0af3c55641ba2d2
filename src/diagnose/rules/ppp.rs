//! Did PPP agree on a link, let the user in, and bring up a network?

use vpnscope_dissectors::ppp::Protocol;

use crate::diagnose::{Context, Family, Finding, Findings, cause, say};
use crate::track::ppp::{Half, Ppp, Refusal, Terminated};
use crate::track::session::{Session, Side};

mod link;
mod login;
mod network;

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
    /// A few refusals are how PPP negotiates; silence in a capture of one direction is none. Two
    /// ends that both begin at one magic number are no loop where the login is answered.
    pub(super) static PPP_LCP_LOOP = {
        code: "ppp-lcp-loop",
        title: "PPP's link negotiation does not end",
        remedies: [
            "Let both sides allow the same option, usually the authentication protocol: see what was asked for and refused.",
            "If the server never sends LCP, look whether its PPP daemon starts.",
            "If one magic number comes from both sides, find what sends the packets back: a modem, a bridge or a proxy in loopback.",
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
    if let Some(finding) = login::refused(session, ppp) {
        findings.push(finding);
        return;
    }
    if ppp.is_up() {
        return;
    }
    let questions: [fn(&Session, &Ppp) -> Option<Finding>; 5] = [
        link::looped,
        login::unproven,
        login::undecided,
        network::network,
        link::link,
    ];
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

fn quoted(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        say!(": \"{text}\"")
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

fn refusals(mut finding: Finding, session: &Session, refusal: &Refusal) -> Finding {
    for step in &refusal.steps {
        finding = with_step(finding, session, Some(*step));
    }
    finding
}
