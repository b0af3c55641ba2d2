//! Is UDP encapsulation done as the peer expects it?

use crate::diagnose::ike2::{Auth, Story};
use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, cause, say};
use crate::track::esp::Over;
use crate::track::session::{Session, Side, Step};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "encapsulation",
    causes: &[&NON_ESP_MARKER_MISSING, &NAT_PORT_SPLIT],
    check,
};

cause! {
    /// ## What it means
    /// On UDP 4500 an IKE message must begin with four zero octets (RFC 3948); without them the
    /// receiver takes it for ESP and drops it.
    /// ## What is seen
    /// After `IKE_SA_INIT` on port 500 the client sends IKE to port 4500 without the marker,
    /// repeats it, and gets no answer.
    /// ## Likely causes
    /// A client that was told to start on port 4500 without knowing about the marker, a box or a
    /// userspace NAT that strips it, a home-made implementation.
    /// ## What to check on each side
    /// Client: version and port settings. Any box between that "understands" IPsec. A capture at
    /// the client shows whether the marker was ever there.
    /// ## When this is wrong
    /// When the gateway accepts such messages (a few do) and stays silent for another reason.
    pub(super) static NON_ESP_MARKER_MISSING = {
        code: "non-esp-marker-missing",
        title: "IKE goes to UDP 4500 without the non-ESP marker",
        remedies: [
            "Start on port 500 and let NAT detection move the session to 4500, or update the client.",
            "Switch off IPsec helpers on the boxes between client and gateway.",
        ],
        needs: "a capture at the client, to see who leaves the marker out",
    }
}

cause! {
    /// ## What it means
    /// IKE and the ESP in UDP of one client leave the NAT from different ports. The gateway sends
    /// its ESP to the port that it learned from IKE, where perhaps nobody expects it.
    /// ## What is seen
    /// At the gateway's side: IKE on 4500 from one source port of the client's address, ESP of the
    /// same session from another one from its first packet on.
    /// ## Likely causes
    /// Client software that uses two sockets, a NAT that maps each flow anew (symmetric NAT with
    /// short timeouts), a load balancer in front of the NAT.
    /// ## What to check on each side
    /// Client: whether one process sends both (kernel encapsulation against userspace IKE). NAT:
    /// its mapping behaviour and timeouts for UDP 4500.
    /// ## When this is wrong
    /// When the mapping simply changed between IKE and the first ESP packet (see
    /// nat-mapping-changed).
    pub(super) static NAT_PORT_SPLIT = {
        code: "nat-port-split",
        title: "IKE and ESP leave the NAT from different ports",
        remedies: [
            "Let IKE and ESP of the client use the same UDP socket (port 4500 on both).",
            "Make the NAT keep one mapping for UDP 4500 of one client.",
        ],
        needs: "a capture at the client at the same time",
    }
}

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session) else {
        return;
    };
    marker(&story, findings);
    split(session, findings);
}

/// Whether an IKE message fills its datagram without room for the marker.
fn is_bare(step: &Step) -> bool {
    let headers = if step.flow.source.0.is_ipv4() { 28 } else { 48 };
    step.fragments == 1 && step.flow.destination.1 == 4500 && step.ip_len == step.length + headers
}

fn marker(story: &Story<'_>, findings: &mut Findings) {
    let Auth::Unanswered(exchange) = story.auth else {
        return;
    };
    let session = story.session;
    let Some(step) = exchange
        .request
        .as_ref()
        .and_then(|m| session.step(m.step?))
        .filter(|step| is_bare(step))
    else {
        return;
    };
    if !super::reachability::enough(step, session) {
        return;
    }
    findings.withdraw("nat-t-blocked");
    findings.withdraw("no-response");
    findings.push(
        Finding::failure(
            &NON_ESP_MARKER_MISSING,
            Stage::IkeNatTraversal,
            Basis::Absence { of: Side::Gateway },
            say!(
                "The {} was sent to UDP 4500 {} times without the four zero octets before it, and nothing came back.",
                step.message,
                step.sent()
            ),
        )
        .sure(Confidence::Certain)
        .step(step, " without the non-ESP marker")
        .candidates(&["nat-t-blocked"]),
    );
}

fn split(session: &Session, findings: &mut Findings) {
    let natt = |s: &&Step| s.from == Side::Client && s.flow.destination.1 == 4500;
    let Some(ike) = session.steps.iter().rev().find(natt) else {
        return;
    };
    let Some(esp) = session.esp.iter().find(|f| {
        f.from == Side::Client
            && f.over == Over::Udp
            && f.moves.is_empty()
            && f.packets >= 2
            && f.flow.source.0 == ike.flow.source.0
            && f.flow.source.1 != ike.flow.source.1
    }) else {
        return;
    };
    let followed = session.esp.iter().any(|f| {
        f.from == Side::Gateway
            && (f.flow.destination == esp.flow.source || f.current().destination == esp.flow.source)
    });
    if followed
        || session
            .steps
            .iter()
            .any(|s| s.flow.source == esp.flow.source)
    {
        return;
    }
    findings.withdraw("esp-one-way");
    let mut finding = Finding::degradation(
        &NAT_PORT_SPLIT,
        Stage::EspData,
        Basis::Inferred,
        say!(
            "IKE comes from {} port {}, ESP {:08x} of the same session from port {} since its first packet; the gateway never sends there.",
            ike.flow.source.0, ike.flow.source.1, esp.spi, esp.flow.source.1
        ),
    )
    .frame(ike.at, say!("{} from port {}", ike.message, ike.flow.source.1))
    .candidates(&["nat-mapping-changed"]);
    for (stamp, _) in esp.head.iter().take(8) {
        finding = finding.frame(*stamp, say!("ESP from port {}", esp.flow.source.1));
    }
    findings.push(finding);
}
