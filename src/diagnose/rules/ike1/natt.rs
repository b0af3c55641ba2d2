//! Can the peers of IKEv1 cope with the NAT between them?

use std::net::IpAddr;

use vpnscope_dissectors::ike::vendor::Family as Maker;

use super::{settled, step};
use crate::diagnose::ike1::{Reached, Story};
use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, cause, say};
use crate::track::esp::Over;
use crate::track::session::{Session, Side};

/// The family.
pub(in crate::diagnose::rules) static FAMILY: Family = Family {
    name: "ikev1-nat-traversal",
    causes: &[&NAT_T_NOT_SUPPORTED, &NAT_T_RESPONDER_BEHIND_NAT],
    check,
};

cause! {
    /// ## What it means
    /// One side does not speak NAT traversal, so the tunnel's data leave as IP protocol 50, which
    /// a NAT that shares its address cannot carry.
    ///
    /// ## What is seen
    /// The first messages of one side have no vendor id of NAT traversal; the
    /// negotiation succeeds; the data go out as protocol 50 and none come back, or none are seen
    /// at all.
    ///
    /// ## Likely causes
    /// - NAT traversal is switched off on one side (`nat_traversal=no`, `--natt-mode none`).
    /// - Very old firmware.
    ///
    /// ## What to check on each side
    /// - Both: switch NAT traversal on.
    /// - Where that is impossible: a NAT that passes IPsec through, for one client at a time.
    ///
    /// ## When this is wrong
    /// When there is no NAT, and a firewall drops protocol 50.
    pub(in crate::diagnose::rules) static NAT_T_NOT_SUPPORTED = {
        code: "nat-t-not-supported",
        title: "one side does not speak NAT traversal",
        remedies: [
            "Switch NAT traversal on at the side that does not offer it; permit UDP 4500 on the way.",
            "If that side cannot, put it on a public address or use a NAT with IPsec passthrough.",
        ],
        needs: "a capture at the other end: does IP protocol 50 arrive there?",
    }
}

cause! {
    /// ## What it means
    /// The gateway itself stands behind a NAT, and a Windows client does not accept that: it
    /// negotiates, and then gives up.
    ///
    /// ## What is seen
    /// A client with Microsoft's vendor ids; the NAT detection hashes say that the *responder's*
    /// address was translated; the client stops without a completed quick mode.
    ///
    /// ## Likely causes
    /// - Windows' default since XP SP2: no UDP encapsulation to servers behind a NAT.
    ///
    /// ## What to check on each side
    /// - Client: `HKLM\SYSTEM\CurrentControlSet\Services\PolicyAgent`,
    ///   `AssumeUDPEncapsulationContextOnSendRule` = 2 (DWORD), then restart Windows.
    /// - Gateway: a public address of its own makes this unnecessary.
    ///
    /// ## When this is wrong
    /// When the setting is made already: then something else stopped the client.
    pub(in crate::diagnose::rules) static NAT_T_RESPONDER_BEHIND_NAT = {
        code: "nat-t-responder-behind-nat",
        title: "Windows refuses a gateway behind a NAT",
        remedies: [
            "On the Windows client set AssumeUDPEncapsulationContextOnSendRule to 2 and restart it.",
            "Or give the gateway a public address.",
        ],
        needs: "the value of AssumeUDPEncapsulationContextOnSendRule on the client",
    }
}

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session) else {
        return;
    };
    if session.vantage.started_late {
        return;
    }
    not_supported(&story, findings);
    responder_behind(&story, findings);
}

/// An address that only a NAT brings to the Internet.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || a == 100 && (64..128).contains(&b)
        }
        IpAddr::V6(v6) => v6.segments().first().is_some_and(|s| s & 0xfe00 == 0xfc00),
    }
}

fn not_supported(story: &Story<'_>, findings: &mut Findings) {
    let session = story.session;
    let abilities = &story.facts.abilities;
    let without = match (&abilities.client.nat, &abilities.gateway.nat) {
        // A responder does not mention it to an initiator that did not (RFC 3947 §3.1), so its
        // silence says nothing then.
        (None, _) => Side::Client,
        (Some(_), None) if is_private(session.client.ip) => Side::Gateway,
        _ => return,
    };
    if story.reached < Reached::ChildDone {
        return;
    }
    let (client, gateway) = (story.esp(Side::Client), story.esp(Side::Gateway));
    let in_udp = session.esp.iter().any(|flow| flow.over == Over::Udp);
    if in_udp || client > 0 && gateway > 0 {
        return;
    }
    // What speaks for a NAT: an address that needs one, or a port that IKE does not use.
    let translated = is_private(session.client.ip) != is_private(session.gateway.ip)
        || !matches!(session.client.port, 500 | 4500);
    let farewell = story.farewell();
    if !translated || client + gateway == 0 && farewell.is_none() {
        return;
    }
    for code in ["esp-blocked", "esp-one-way"] {
        findings.withdraw(code);
    }
    let data = match (client, gateway) {
        (0, 0) => "no data were seen, and then it was taken down".to_string(),
        (n, 0) => say!("the client sent {n} ESP packets as IP protocol 50, and none came back"),
        (_, n) => say!(
            "the gateway sent {n} ESP packets as IP protocol 50, and none came from the client"
        ),
    };
    let mut finding = Finding::failure(
        &NAT_T_NOT_SUPPORTED,
        Stage::EspData,
        Basis::Absence {
            of: if gateway == 0 {
                Side::Gateway
            } else {
                Side::Client
            },
        },
        say!(
            "The {} does not offer NAT traversal; the tunnel was negotiated without it, {data}.",
            without.word(),
        ),
    )
    .sure(Confidence::Likely)
    .candidates(&["esp-blocked"]);
    for ordinal in [1, 2] {
        if let Some(step) = step(story, story.facts.message(ordinal)) {
            let says = if step.from == without {
                "without a vendor id of NAT traversal"
            } else {
                "with vendor ids of NAT traversal"
            };
            finding = finding.frame(step.at, say!("{} {says}", step.message));
        }
    }
    for (stamp, len) in session.esp.iter().flat_map(|f| &f.head).take(8) {
        finding = finding.frame(*stamp, say!("ESP of {len} octets as IP protocol 50"));
    }
    if let Some(left) = farewell.and_then(|message| story.step(message)) {
        finding = finding.frame(
            left.at,
            say!("{}: the {} leaves", left.message, left.from.word()),
        );
    }
    findings.push(finding);
}

fn responder_behind(story: &Story<'_>, findings: &mut Findings) {
    let session = story.session;
    let facts = story.facts;
    let (windows, gateway) = (
        facts
            .abilities
            .of(story.initiator())
            .makers
            .contains(&Maker::Microsoft),
        story.responder(),
    );
    let gave_up = story.reached < Reached::ChildDone && story.reached >= Reached::Answered;
    let ended = || settled(session) || story.farewell().is_some();
    let behind = || facts.nat.detected(gateway) && !facts.nat.forced(gateway);
    if !windows || !gave_up || !ended() || !behind() {
        return;
    }
    // The same silence, explained better.
    findings.withdraw("phase2-not-started");
    if findings.any_trouble() {
        return;
    }
    let mut finding = Finding::failure(
        &NAT_T_RESPONDER_BEHIND_NAT,
        Stage::IkeNatTraversal,
        Basis::Absence { of: story.initiator() },
        "NAT detection says that the gateway's address was translated, and the Windows client stopped before a tunnel was made.".to_string(),
    )
    .sure(Confidence::Likely);
    for ordinal in [1, 3, 4] {
        if let Some(step) = step(story, facts.message(ordinal)) {
            finding = finding.frame(step.at, step.message.to_string());
        }
    }
    findings.push(finding);
}
