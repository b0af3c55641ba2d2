//! Did the L2TP server answer, agree, and keep the tunnel?

use vpnscope_dissectors::l2tp::MessageType;

use crate::diagnose::{
    Basis, Confidence, Context, Family, Finding, Findings, Outcome, Progress, Stage, cause, say,
};
use crate::track::l2tp::{Closing, Control, L2tp};
use crate::track::session::Session;

mod life;
mod set_up;

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "l2tp",
    causes: &[
        &L2TP_NO_RESPONSE,
        &L2TP_STOPCCN,
        &L2TP_CDN,
        &L2TP_TUNNEL_AUTH_FAILED,
        &L2TP_WITHOUT_IPSEC,
    ],
    check,
};

cause! {
    /// ## What it means
    /// The L2TP server does not answer: neither the request for a tunnel nor, inside IPsec,
    /// whatever the client sends once IPsec is up.
    ///
    /// ## What is seen
    /// The same control message several times with growing gaps and no answer. Inside IPsec:
    /// ESP packets of one size at such intervals, and none back.
    ///
    /// ## Likely causes
    /// - The L2TP daemon does not run, or does not listen on UDP 1701.
    /// - A firewall drops 1701 outside IPsec and the packets are not taken as from IPsec.
    /// - The answers are lost, or ESP passes in one direction only.
    ///
    /// ## What to check on each side
    /// - Server: is the daemon listening; do the requests reach it (inside capture)?
    /// - Server's firewall: accept UDP 1701 when it comes out of IPsec.
    ///
    /// ## When this is wrong
    /// When the capture sees one direction only.
    pub(super) static L2TP_NO_RESPONSE = {
        code: "l2tp-no-response",
        title: "the L2TP server does not answer",
        remedies: [
            "Check that the L2TP daemon runs and listens on UDP 1701 of this address.",
            "Let the firewall accept UDP 1701 from decrypted IPsec traffic.",
            "Capture on the server, on the wire and inside, at the same time.",
        ],
        needs: "a capture at the server at the same time",
    }
}

cause! {
    /// ## What it means
    /// One side closes the L2TP tunnel before it was of use, and says why.
    ///
    /// ## What is seen
    /// StopCCN with its result code, error code and text.
    ///
    /// ## Likely causes
    /// - Result 2 with an error code: the peer names its trouble, such as lack of resources.
    /// - Result 4: not authorised; 5: another version; 6: shutting down.
    ///
    /// ## What to check on each side
    /// - The log of the side that sent it, at that second.
    ///
    /// ## When this is wrong
    /// A StopCCN after a working session is its normal end.
    pub(super) static L2TP_STOPCCN = {
        code: "l2tp-stopccn",
        title: "the L2TP tunnel was refused or closed",
        remedies: ["Read the log of the side that sent the StopCCN; its result and error code name the reason."],
    }
}

cause! {
    /// ## What it means
    /// The tunnel stands, and the call inside it is refused or ended before PPP got anywhere.
    ///
    /// ## What is seen
    /// CDN with its result code, error code and text, soon after ICRQ or ICCN.
    ///
    /// ## Likely causes
    /// - The server could not start PPP: no `/dev/ppp`, no kernel module, a bad options file.
    /// - No free session or port.
    ///
    /// ## What to check on each side
    /// - Server: does its PPP daemon start, and with what status does it end?
    ///
    /// ## When this is wrong
    /// A CDN after a working session, or after a refused login, is its normal end.
    pub(super) static L2TP_CDN = {
        code: "l2tp-cdn",
        title: "the call in the L2TP tunnel was refused or ended at once",
        remedies: [
            "Server: look why PPP does not start: /dev/ppp, kernel modules, options file, the PPP daemon's log.",
            "Server: raise the number of sessions if the codes speak of resources.",
        ],
    }
}

cause! {
    /// ## What it means
    /// The tunnel's own shared secret differs on the two sides, apart from any user's
    /// password.
    ///
    /// ## What is seen
    /// A challenge in SCCRQ or SCCRP, and then StopCCN (result 4, or a text about
    /// authentication) instead of the next message.
    ///
    /// ## Likely causes
    /// - Different secrets, or a secret stored for another host name.
    /// - Only one side has tunnel authentication switched on.
    ///
    /// ## What to check on each side
    /// - The secret and the host names in SCCRQ and SCCRP.
    ///
    /// ## When this is wrong
    /// When the StopCCN has another reason and the challenge is only its neighbour.
    pub(super) static L2TP_TUNNEL_AUTH_FAILED = {
        code: "l2tp-tunnel-auth-failed",
        title: "the L2TP tunnel's shared secret differs",
        remedies: [
            "Set the same tunnel secret for this host name on both sides, or switch tunnel authentication off on both.",
        ],
    }
}

cause! {
    /// ## What it means
    /// L2TP runs in clear, without IPsec around it: whoever is on the path reads logins and
    /// data. Where the gateway expects IPsec it drops such packets.
    ///
    /// ## What is seen
    /// L2TP control messages on UDP 1701 in clear, and no IKE between the two addresses.
    ///
    /// ## Likely causes
    /// - The profile has no IPsec (Windows: `ProhibitIpSec` is 1, no pre-shared key set).
    /// - A line between two providers, where plain L2TP is meant.
    ///
    /// ## What to check on each side
    /// - Client: is IPsec part of the profile, and did its IKE service start?
    /// - Gateway: does it accept 1701 outside IPsec? It should not.
    ///
    /// ## When this is wrong
    /// When the capture was taken after decryption, or plain L2TP is intended.
    pub(super) static L2TP_WITHOUT_IPSEC = {
        code: "l2tp-without-ipsec",
        title: "L2TP runs in clear, without IPsec",
        remedies: [
            "Client: put IPsec back into the profile (Windows: ProhibitIpSec = 0, then restart).",
            "Gateway: accept UDP 1701 only inside IPsec, so that this fails visibly.",
        ],
        needs: "a capture that starts before the client's first packet, with UDP 500 and 4500",
    }
}

/// How far the session came.
pub(super) fn progress(session: &Session) -> Progress {
    let Some(facts) = session.l2tp() else {
        return super::UNKNOWN;
    };
    let call = facts.main_call();
    let carried = facts.data.client.packets > 0 && facts.data.gateway.packets > 0;
    let up = call.is_some_and(|call| {
        call.ppp.is_up() || facts.version == 3 && call.connected.is_some() && carried
    });
    let ppp = call.map(|call| &call.ppp);
    let stage = match ppp {
        Some(ppp) if up => {
            if ppp.carried.client.packets + ppp.carried.gateway.packets > 0 || facts.version == 3 {
                Stage::TunnelData
            } else {
                Stage::PppNetwork
            }
        }
        Some(ppp) if ppp.reached_network() => Stage::PppNetwork,
        Some(ppp) if !ppp.logins.is_empty() => Stage::PppAuthentication,
        Some(ppp) if ppp.is_seen() => Stage::PppLcp,
        _ => Stage::L2tpControl,
    };
    let outcome = if up && !session.vantage.started_late {
        Outcome::Established
    } else {
        Outcome::Incomplete
    };
    let confidence = if outcome == Outcome::Established {
        Confidence::Certain
    } else {
        Confidence::Possible
    };
    Progress {
        stage,
        outcome,
        confidence,
    }
}

fn check(session: &Session, context: &Context, findings: &mut Findings) {
    let Some(facts) = session.l2tp() else { return };
    if !findings.any_trouble() {
        let up = facts.main_call().is_some_and(|call| call.ppp.is_up());
        if up {
            life::died(session, facts, findings);
        } else {
            set_up::set_up(session, facts, findings);
        }
    }
    clear(session, facts, context, findings);
}

fn step_of<'a>(session: &'a Session, control: &Control) -> Option<&'a crate::track::session::Step> {
    control.step.and_then(|index| session.step(index))
}

/// L2TP in clear, where no IKE was seen between the two.
fn clear(session: &Session, facts: &L2tp, context: &Context, findings: &mut Findings) {
    let pair = (session.client.ip, session.gateway.ip);
    if context.ike.contains(&pair) || facts.version != 2 {
        return;
    }
    let Some(request) = facts.of_type(MessageType::SCCRQ).next() else {
        return;
    };
    let from_windows = facts
        .vendor
        .client
        .as_deref()
        .is_some_and(|vendor| vendor.contains("Microsoft"));
    let unanswered = session.vantage.frames.gateway == 0;
    let summary = say!(
        "L2TP runs in clear between {} and {}, and no IKE was seen between them.",
        pair.0,
        pair.1
    );
    let stage = Stage::L2tpControl;
    // Windows itself runs L2TP without IPsec only when a registry value tells it to.
    let finding = if from_windows && unanswered {
        findings.withdraw(L2TP_NO_RESPONSE.code);
        let summary = say!(
            "{summary} Windows' own client does so only when IPsec is switched off for L2TP; nothing came back."
        );
        Finding::failure(&L2TP_WITHOUT_IPSEC, stage, Basis::Inferred, summary)
            .candidates(&[L2TP_NO_RESPONSE.code, "request-never-arrived"])
    } else {
        Finding::info(&L2TP_WITHOUT_IPSEC, stage, Basis::Seen, summary)
    };
    findings.push(finding.frame(request.at, "SCCRQ in clear"));
}

fn closed_by(finding: Finding, session: &Session, closing: &Closing) -> Finding {
    match closing.step.and_then(|index| session.step(index)) {
        Some(step) => finding.step(step, ""),
        None => finding.frame(closing.at, "end of tunnel or call"),
    }
}
