//! Do others at the same gateway, or several gateways at one address, explain it?

use crate::diagnose::ike2::{Auth, Story};
use crate::diagnose::{
    Attempt, Basis, Confidence, Context, Family, Finding, Findings, Severity, Stage, cause, say,
};
use crate::time::Span;
use crate::track::session::{Session, Side};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "crowd",
    causes: &[&RATE_LIMITED, &CLIENTS_BEHIND_SAME_NAT, &DIFFERENT_BACKENDS],
    check,
};

cause! {
    /// ## What it means
    /// The gateway stopped answering this source address after several attempts, while it goes
    /// on answering others.
    /// ## What is seen
    /// Earlier attempts from the same address were answered; then the first message is repeated
    /// into silence, and in that time another client gets answers from the same gateway.
    /// ## Likely causes
    /// A limit on half-open connections for each address (strongSwan's `block_threshold`, a
    /// firewall's connection limit, fail2ban), often met by a client that keeps trying with a
    /// wrong key, or by many clients behind one NAT.
    /// ## What to check on each side
    /// Gateway: limits on half-open SAs and their counters, bans, its log for this address.
    /// Client: why the earlier attempts did not succeed; that comes first.
    /// ## When this is wrong
    /// When the path of this client broke at the same moment for another reason.
    pub(super) static RATE_LIMITED = {
        code: "rate-limited-by-gateway",
        title: "the gateway answers others, but no longer this address",
        remedies: [
            "Find out why the earlier attempts failed and stop them: the block usually ends by itself.",
            "Raise the gateway's limit on half-open connections for one address, if many clients share it.",
        ],
        needs: "the gateway's log",
    }
}

cause! {
    /// ## What it means
    /// Two clients behind the same NAT use the same gateway, and the gateway confuses their
    /// tunnels: the newer one takes the older one's place.
    /// ## What is seen
    /// Two sessions from one public address. When the second one is granted, data from the
    /// gateway to the first one stops, although the first client goes on sending.
    /// ## Likely causes
    /// L2TP over IPsec in transport mode: both clients have the same selectors, public address
    /// and UDP port 1701, and the gateway's policy knows only one. "Unique id" settings that
    /// replace a connection of the same identity do the same.
    /// ## What to check on each side
    /// Gateway: policies per peer (marks, connmark plug-in), `uniqueids`; both users' identities.
    /// Clients: whether both dial at the same time from one site.
    /// ## When this is wrong
    /// When the first client really went silent or was replaced on purpose.
    pub(super) static CLIENTS_BEHIND_SAME_NAT = {
        code: "clients-behind-same-nat",
        title: "a second client behind the same NAT displaces the first",
        remedies: [
            "Use IKEv2 or IKEv1 with XAUTH in tunnel mode, so that each client has its own inner address.",
            "For L2TP over IPsec let the gateway tell the clients apart (strongSwan's connmark, Libreswan's overlapip).",
            "Give each client an identity of its own.",
        ],
        needs: "the gateway's log at the moment when the second client connects",
    }
}

cause! {
    /// ## What it means
    /// More than one host answers behind the gateway's address, and they do not share state:
    /// what one began, another one does not know.
    /// ## What is seen
    /// The same `IKE_SA_INIT` request is answered with different responder SPIs, perhaps with
    /// different TTLs or vendor IDs; later messages of the session are not answered.
    /// ## Likely causes
    /// A load balancer that does not keep a client on one node, or keeps UDP 500 and 4500 apart;
    /// anycast; a failover in the middle of the negotiation.
    /// ## What to check on each side
    /// Load balancer: affinity by source address for UDP 500 and 4500 and ESP together. Cluster:
    /// whether both nodes believe to be active.
    /// ## When this is wrong
    /// When one gateway forgot its half-open SA and answered the retransmission anew.
    pub(super) static DIFFERENT_BACKENDS = {
        code: "different-backends",
        title: "several hosts behind one address answer",
        remedies: [
            "Keep all traffic of one client (UDP 500, UDP 4500, ESP) on one node.",
            "Check that only one node of the cluster is active for this address.",
        ],
        needs: "a capture behind the load balancer",
    }
}

fn check(session: &Session, context: &Context, findings: &mut Findings) {
    rate_limited(session, context, findings);
    displaced(session, context, findings);
    backends(session, findings);
}

fn attempts(session: &Session, context: &Context) -> impl Iterator<Item = Attempt> {
    context.told(&session.gateway.ip)
}

fn rate_limited(session: &Session, context: &Context, findings: &mut Findings) {
    if !findings.has("no-response") || session.vantage.frames.gateway > 0 {
        return;
    }
    let since = session.first.time;
    let all = || attempts(session, context);
    let earlier = all()
        .filter(|a| a.client.ip == session.client.ip && a.first < since)
        .filter(|a| since - a.first <= Span::from_secs(600))
        .filter(|a| a.answered.is_some())
        .count();
    if earlier < 3 {
        return;
    }
    let Some(other) = all().find(|a| {
        a.client.ip != session.client.ip
            && a.answered
                .is_some_and(|t| t >= since && a.first <= session.last.time)
    }) else {
        return;
    };
    let Some(step) = session.steps.first() else {
        return;
    };
    findings.withdraw("no-response");
    findings.push(
        Finding::failure(
            &RATE_LIMITED,
            Stage::Reachability,
            Basis::Inferred,
            say!(
                "{earlier} earlier attempts from {} were answered; this one was sent {} times into silence, while the gateway answered {}.",
                session.client.ip,
                step.sent(),
                other.client.ip
            ),
        )
        .step(step, "")
        .candidates(&["request-never-arrived", "response-lost"]),
    );
}

fn displaced(session: &Session, context: &Context, findings: &mut Findings) {
    if !findings.has("esp-one-way") {
        return;
    }
    let last = |side| {
        session
            .esp
            .iter()
            .filter(|f| f.from == side)
            .map(|f| f.last)
            .max()
    };
    let (Some(heard), Some(sent)) = (last(Side::Gateway), last(Side::Client)) else {
        return;
    };
    if heard.time >= sent.time {
        return;
    }
    let near = Span::from_secs(2);
    let Some(other) = attempts(session, context).find(|a| {
        let same = a.client.ip == session.client.ip && a.client != session.client;
        same && a
            .granted
            .is_some_and(|t| (t - heard.time).0.abs() <= near.0 && a.first > session.first.time)
    }) else {
        return;
    };
    let mut finding = Finding::failure(
        &CLIENTS_BEHIND_SAME_NAT,
        Stage::EspData,
        Basis::Inferred,
        say!(
            "The gateway's last data for this client came within {near} of the moment when another client behind the same address ({}, port {}) got its tunnel; this client went on sending.",
            other.client.ip, other.client.port
        ),
    )
    .candidates(&["esp-one-way", "dpd-timeout"])
    .frame(heard, "last ESP of the gateway");
    if let Some(run) = session.esp_run {
        finding = finding
            .frame(run.since, "first ESP of the client without an answer")
            .frame(run.last, "ESP of the client, still unanswered");
    }
    findings.withdraw("esp-one-way");
    findings.push(finding);
}

fn backends(session: &Session, findings: &mut Findings) {
    let Some(story) = Story::of(session) else {
        return;
    };
    let Some((at, spi)) = story.facts.other_responders.first() else {
        return;
    };
    let Some(first) = story.facts.sas.first() else {
        return;
    };
    let text = say!(
        "The same request was answered with responder SPI {:016x} and with {spi:016x}.",
        first.responder_spi
    );
    let broken = matches!(story.auth, Auth::Unanswered(_) | Auth::NotReached);
    let mut finding = if broken {
        findings.withdraw("no-response");
        findings.withdraw("nat-t-blocked");
        Finding::failure(
            &DIFFERENT_BACKENDS,
            Stage::IkeAuthentication,
            Basis::Inferred,
            text,
        )
        .candidates(&["nat-t-blocked", "response-lost"])
    } else {
        Finding::info(
            &DIFFERENT_BACKENDS,
            Stage::IkeNegotiation,
            Basis::Inferred,
            text,
        )
    };
    if finding.severity != Severity::Info {
        finding = finding.sure(Confidence::Likely);
    }
    if let Some(answer) = story.facts.accepted().and_then(|m| session.step(m.step?)) {
        finding = finding.frame(answer.at, "the answer with the first SPI");
    }
    findings.push(finding.frame(*at, "the answer with another SPI"));
}
