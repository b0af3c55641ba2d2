//! Does data flow both ways?

use crate::diagnose::ike2::{Auth, Story};
use crate::diagnose::{
    Basis, Cause, Confidence, Context, Family, Finding, Findings, Stage, cause, say,
};
use crate::time::Span;
use crate::track::Lone;
use crate::track::esp::{EspFlow, Over};
use crate::track::ike2::nat::Nat;
use crate::track::session::{IcmpFact, Session, Side, Stamp};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "esp",
    causes: &[&ESP_BLOCKED, &ESP_ONE_WAY, &NAT_MAPPING_CHANGED],
    check,
};

cause! {
    /// ## What it means
    /// The tunnel was negotiated, one end sends its data, and none of the other end's data
    /// arrives: ESP as IP protocol 50 does not pass.
    ///
    /// ## What is seen
    /// IKE answered, ESP (protocol 50) from one end only.
    ///
    /// ## Likely causes
    /// - A firewall permits UDP 500 but not IP protocol 50.
    /// - A NAT that was not detected cannot carry protocol 50.
    ///
    /// ## What to check on each side
    /// - Every firewall on the path: IP protocol 50 in both directions.
    /// - Force UDP encapsulation.
    ///
    /// ## When this is wrong
    /// When the other end had nothing to send, or the data is lost behind it.
    pub(super) static ESP_BLOCKED = {
        code: "esp-blocked",
        title: "ESP as IP protocol 50 does not pass",
        remedies: [
            "Permit IP protocol 50 in both directions on every firewall of the path.",
            "Or force UDP encapsulation (port 4500) on both ends.",
        ],
        needs: "a capture at the other end at the same time",
    }
}

cause! {
    /// ## What it means
    /// Data leaves one end and none comes back, although the tunnel was negotiated.
    ///
    /// ## What is seen
    /// ESP of one direction only, or of both until one falls silent while the other goes on.
    ///
    /// ## Likely causes
    /// - A filter or NAT drops one direction.
    /// - The receiver has no route back, or no such SA any more.
    /// - The inner host does not answer.
    ///
    /// ## What to check on each side
    /// - The silent side: does ESP arrive there, do its counters of that SA grow?
    /// - The inner network: routes and forwarding.
    ///
    /// ## When this is wrong
    /// When the traffic is one-way by nature (a stream without answers).
    pub(super) static ESP_ONE_WAY = {
        code: "esp-one-way",
        title: "tunnel data flows in one direction only",
        remedies: [
            "Look at the silent side whether the ESP arrives and is decrypted (counters of the SA).",
            "If it is, check routes, forwarding and firewall rules of the inner network.",
            "If it is not, capture along the path for the place where it stops.",
        ],
        needs: "a capture at the other end at the same time",
    }
}

cause! {
    /// ## What it means
    /// The NAT in front of the client gave its traffic another address or port in the middle
    /// of the session, and the gateway still sends to the old one.
    ///
    /// ## What is seen
    /// The same ESP SPI from a new address or port, while the other direction goes on to the
    /// old one; often an ICMP port unreachable from the NAT.
    ///
    /// ## Likely causes
    /// - The NAT's UDP timeout is shorter than the keepalive interval.
    /// - The NAT rebooted or its uplink changed.
    ///
    /// ## What to check on each side
    /// - Client: NAT keepalives every 20 s, MOBIKE on.
    /// - NAT: UDP timeout.
    ///
    /// ## When this is wrong
    /// When the gateway follows a moment later.
    pub(super) static NAT_MAPPING_CHANGED = {
        code: "nat-mapping-changed",
        title: "the client's address or port behind the NAT changed",
        remedies: [
            "Send NAT keepalives more often than the NAT's UDP timeout (20 s is the default of RFC 3948).",
            "Switch MOBIKE on at both ends, and dead peer detection at the client, so that the session follows the change.",
            "Raise the NAT's UDP timeout.",
        ],
    }
}

/// What is said of ESP alone, of which nothing else is known: the cause that is named where it
/// came from one end only. It is never more than incomplete, since its beginning was not seen.
pub(in crate::diagnose) fn alone(lone: &Lone) -> Option<&'static str> {
    let mut sent = lone.sent();
    let (from, over) = sent.next()?;
    if sent.any(|(side, _)| side != from) {
        return None;
    }
    Some(one_way_cause(over).0.code)
}

fn one_way_cause(over: Over) -> (&'static Cause, &'static str) {
    match over {
        Over::Ip => (&ESP_BLOCKED, "as IP protocol 50"),
        Over::Udp => (&ESP_ONE_WAY, "in UDP"),
        Over::Tcp => (&ESP_ONE_WAY, "in TCP"),
    }
}

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    if session.esp.is_empty() {
        no_esp(session, findings);
        return;
    }
    if moved(session, findings) {
        return;
    }
    one_way(session, findings);
}

/// Granted, never used, and taken down by hand: perhaps ESP never got here.
fn no_esp(session: &Session, findings: &mut Findings) {
    let Some(story) = Story::of(session) else {
        return;
    };
    let Auth::Granted(exchange) = story.auth else {
        return;
    };
    let Some(farewell) = story.deleted() else {
        return;
    };
    let Some(left) = farewell.request.as_ref() else {
        return;
    };
    if farewell.id != exchange.id.wrapping_add(1)
        || farewell.by != exchange.by
        || story.used_after(exchange)
        || story.hides_child(exchange)
        || !session.knows_esp()
    {
        return;
    }
    let from = farewell.by;
    findings.push(by_way_of(
        &story.facts.nat,
        Finding::failure(
            &ESP_BLOCKED,
            Stage::EspData,
            Basis::Absence { of: from },
            say!(
                "The tunnel was granted, no ESP was seen at all, and after {} the {} took it down: its data may have been lost before this point, or there was none.",
                left.at.time - exchange.response.as_ref().map_or(left.at.time, |m| m.at.time),
                from.word()
            ),
        )
        .inconclusive()
        .frame(left.at, "INFORMATIONAL of Delete size")
        .needs("a capture at the other end at the same time"),
    ));
}

/// What was on its way when a stream began is over by then. Chosen, not derived.
const UNDER_WAY: Span = Span::from_millis(500);

/// Where the peers found a NAT between them, ESP travels in UDP: remedies for IP protocol 50 would
/// be of no use.
pub(super) fn by_way_of(nat: &Nat, finding: Finding) -> Finding {
    if !nat.detected(Side::Client) && !nat.detected(Side::Gateway) {
        return finding;
    }
    finding
        .remedy("The peers found a NAT between them, so the data travel in UDP 4500 beside IKE: check the routes and policies that lead traffic into the tunnel at both ends.")
        .remedy("Capture at the other end at the same time, to see whether UDP 4500 carries more than IKE there.")
        .specific()
}

fn sent(session: &Session, side: Side) -> impl Iterator<Item = &EspFlow> {
    session.esp.iter().filter(move |flow| flow.from == side)
}

/// A flow that moved to another address or port while the peer went on to the old one.
fn moved(session: &Session, findings: &mut Findings) -> bool {
    for flow in &session.esp {
        let Some((at, new)) = flow.moves.last() else {
            continue;
        };
        let before = flow
            .moves
            .iter()
            .rev()
            .nth(1)
            .map_or(flow.flow, |(_, flow)| *flow);
        if *new == before {
            continue;
        }
        let side = flow.from.other();
        // The peer's last packet after the move still went to the old place.
        let stale = sent(session, side)
            .filter(|f| f.last.time > at.time)
            .filter(|f| f.current().destination == before.source)
            .max_by_key(|f| f.last);
        let followed = sent(session, side).any(|f| f.current().destination == new.source)
            || session.steps.iter().any(|s| {
                s.at.time >= at.time && s.from == side && s.flow.destination == new.source
            });
        let Some(stale) = stale.filter(|_| !followed) else {
            continue;
        };
        let icmp = session
            .icmp
            .iter()
            .find(|i| i.about == side && i.is_port_unreachable() && i.at.time > at.time);
        findings.push(mapping(flow, *at, before.source, new.source, stale, icmp));
        return true;
    }
    false
}

fn mapping(
    flow: &EspFlow,
    at: Stamp,
    before: (std::net::IpAddr, u16),
    now: (std::net::IpAddr, u16),
    stale: &EspFlow,
    icmp: Option<&IcmpFact>,
) -> Finding {
    let mut finding = Finding::failure(
        &NAT_MAPPING_CHANGED,
        Stage::EspData,
        Basis::Seen,
        say!(
            "ESP SPI {:08x} comes from {}:{} instead of {}:{} since frame {}, but the {} still sends to the old address.",
            flow.spi, now.0, now.1, before.0, before.1, at.frame(), stale.from.word()
        ),
    )
    .frame(at, say!("ESP {:08x} from the new address {}:{}", flow.spi, now.0, now.1))
    .frame(stale.last, say!("ESP {:08x} still to {}:{}", stale.spi, before.0, before.1));
    // Dead peer detection or MOBIKE may still mend it shortly after.
    if stale.last.time - at.time < Span::from_secs(1) {
        finding = finding.sure(Confidence::Likely);
    }
    if let Some(icmp) = icmp {
        finding = finding.frame(
            icmp.at,
            say!(
                "ICMP port unreachable from {}: the old mapping is gone",
                icmp.reporter
            ),
        );
        for stamp in &icmp.repeats.stamps {
            finding = finding.frame(*stamp, "ICMP port unreachable again");
        }
    } else {
        finding = finding.sure(Confidence::Likely);
    }
    finding
}

fn one_way(session: &Session, findings: &mut Findings) {
    let count = |side| sent(session, side).map(|f| f.packets).sum::<u64>();
    let (client, gateway) = (count(Side::Client), count(Side::Gateway));
    let (from, packets) = if gateway == 0 {
        (Side::Client, client)
    } else {
        (Side::Gateway, gateway)
    };
    if client > 0 && gateway > 0 {
        fell_silent(session, findings);
        return;
    }
    let Some(first) = sent(session, from).map(|f| f.first).min() else {
        return;
    };
    let last = sent(session, from).map(|f| f.last).max().unwrap_or(first);
    let over = sent(session, from).next().map_or(Over::Udp, |f| f.over);
    let (cause, how) = one_way_cause(over);
    let mut finding = Finding::failure(
        cause,
        Stage::EspData,
        Basis::Absence { of: from.other() },
        say!(
            "The {} sent {packets} ESP packets {how} over {}; not one came from the {}.",
            from.word(),
            last.time - first.time,
            from.other().word()
        ),
    )
    .candidates(&["esp-blocked", "esp-one-way", "inner-misconfiguration"]);
    finding.candidates.retain(|code| *code != cause.code);
    let head = sent(session, from).flat_map(|f| &f.head).take(8);
    finding =
        finding.frames(head.map(|(stamp, len)| (*stamp, say!("ESP of {len} octets, unanswered"))));
    let few = packets < 2 || last.time - first.time < Span::from_millis(500);
    findings.push(if few { finding.inconclusive() } else { finding });
}

/// Both sent, then one fell silent while the other went on to the end.
fn fell_silent(session: &Session, findings: &mut Findings) {
    let Some(run) = session.esp_run else { return };
    let lasted = run.last.time - run.since.time;
    // Answers used to come: what was the longest wait so far?
    let usual = *session.esp_pace.of(run.from);
    let long = lasted >= Span::from_millis(800) && lasted.0 > usual.0.saturating_mul(2);
    if run.packets < 4 || !long {
        return;
    }
    let silent = run.from.other();
    let last_heard = sent(session, silent).map(|f| f.last).max();
    let mut finding = Finding::failure(
        &ESP_ONE_WAY,
        Stage::EspData,
        Basis::Absence { of: silent },
        say!(
            "ESP flowed both ways until {}; then the {} sent {} more packets over {lasted} and the {} none.",
            last_heard.map_or_else(String::new, |s| say!("frame {}", s.frame())),
            run.from.word(),
            run.packets,
            silent.word()
        ),
    )
    .candidates(&["nat-mapping-changed", "dpd-timeout", "peer-deleted", "esp-blocked"])
    .frame(run.since, say!("first ESP of the {} that got no answer", run.from.word()));
    if let Some(heard) = last_heard {
        finding = finding.frame(heard, say!("last ESP of the {}", silent.word()));
    }
    finding = finding.frame(
        run.last,
        say!("ESP of the {}, still unanswered", run.from.word()),
    );
    // Whoever goes on speaking IKE is there and is heard: perhaps it has nothing to say.
    let speaks = session.steps.iter().find(|s| {
        let at = s.last().time;
        s.from == silent && at > run.since.time + UNDER_WAY && at < run.last.time
    });
    findings.push(match speaks {
        Some(step) => finding
            .inconclusive()
            .frame(step.last(), say!("{} of the {}: it is alive", step.message, silent.word()))
            .exclude("dpd-timeout", "the silent end goes on speaking IKE")
            .candidates(&["inner-misconfiguration"])
            .needs("a capture at the other end at the same time, or the knowledge whether this traffic expects answers"),
        None => finding,
    });
}
