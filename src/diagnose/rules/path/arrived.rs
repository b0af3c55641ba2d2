//! What the receiver's side shows: part of a message arrives, again and again, never all of it.

use super::{FRAGMENT_LOST, PMTU_BLACKHOLE, SIDES, stage, went_on, with_ike_fragmentation};
use crate::diagnose::{Basis, Confidence, Context, Finding, Findings, Stage, say};
use crate::time::Span;
use crate::track::ike1::FragmentSet;
use crate::track::ike2::{Message, kind};
use crate::track::session::{IncompleteDatagram, Session, Side, Stamp};
use crate::track::vantage::hops;

/// Part of a message arrived, again and again, and never all of it.
pub(super) fn in_part(session: &Session, context: &Context) -> Option<(Option<Stamp>, Finding)> {
    ip_fragments(session, context)
        .or_else(|| ike_fragments(session))
        .or_else(|| cisco_fragments(session))
        .map(|finding| (None, finding))
}

fn ip_fragments(session: &Session, context: &Context) -> Option<Finding> {
    for side in SIDES {
        let list: Vec<&IncompleteDatagram> = session
            .incomplete
            .iter()
            .filter(|datagram| datagram.from == side && !datagram.is_esp)
            .collect();
        let Some(first) = list.iter().map(|datagram| datagram.at).min() else {
            continue;
        };
        if went_on(session, side, first) || was_answered(session, side, first) {
            continue;
        }
        return Some(ip_finding(session, context, side, &list));
    }
    None
}

/// Whether the peer answered an IKE request from then on: one that did not arrive whole is not
/// answered.
fn was_answered(session: &Session, side: Side, from: Stamp) -> bool {
    session.ike2().is_some_and(|facts| {
        // The first request is small, and its answer may stand in the wrong order.
        let mut asked = facts
            .exchanges
            .iter()
            .filter(|e| e.by == side && e.kind != kind::SA_INIT);
        asked.any(|exchange| {
            let answer = exchange.response.as_ref();
            answer.is_some_and(|answer| answer.at.time > from.time)
        })
    })
}

fn ip_finding(
    session: &Session,
    context: &Context,
    side: Side,
    list: &[&IncompleteDatagram],
) -> Finding {
    let largest = list.iter().map(|d| d.largest).max().unwrap_or_default();
    let only_first = list.iter().all(|d| d.has_first);
    let no_first = list.iter().all(|d| !d.has_first);
    let which = match (only_first, no_first) {
        (true, _) => {
            "only first fragments arrive here, as behind a filter that knows no ports in the others"
        }
        (_, true) => "the first fragments never arrive here",
        _ => "some fragments of each are missing here",
    };
    // A filter by port hides all but the first fragments; then the ends would go on.
    let filtered = context
        .captures
        .get(usize::from(session.first.capture()))
        .is_some_and(|capture| capture.filtered);
    let plain = list.len() >= 3 && !filtered;
    // A path that takes fragments away takes the same ones each time; chance, as of a capture that
    // lost frames, now these and now those, and none of some.
    let each_time = (only_first || no_first)
        && session.path.of(side).fragmented == 0
        && !is_at_sender(session, side);
    let sure = if each_time && (plain || list.len() >= 2 && others_seen(session, list)) {
        Confidence::Certain
    } else {
        Confidence::Likely
    };
    let mut finding = Finding::failure(
        &FRAGMENT_LOST,
        stage(session),
        Basis::Absence { of: side },
        say!(
            "The {} sent a message in IP fragments {} time(s) (largest fragment {largest} octets), and {which}; it never became whole.",
            side.word(),
            list.len()
        ),
    )
    .sure(sure);
    for datagram in list.iter().take(16) {
        for frame in &datagram.frames {
            finding = finding.frame(
                datagram.at.in_frame(*frame),
                say!("IP fragment of the {}, the rest is missing", side.word()),
            );
        }
    }
    let finding = with_ike_fragmentation(finding, session);
    let settled = list.len() >= 2 || session.vantage.watched_after >= Span::from_secs(4);
    if settled {
        finding
    } else {
        finding.inconclusive()
    }
}

/// Whether no router stands between a sender and the capture: its TTL is as the system sets it.
/// What is missing there the capture lost, or a box on the same link took away.
fn is_at_sender(session: &Session, side: Side) -> bool {
    let mut sent = session.steps.iter().filter(|step| step.from == side);
    sent.any(|step| hops(step.ttl) == 0)
}

/// ESP that comes in fragments of which some are always missing, while smaller ESP passes.
pub(super) fn esp_in_part(session: &Session, findings: &mut Findings) {
    for side in SIDES {
        let list: Vec<&IncompleteDatagram> = session
            .incomplete
            .iter()
            .filter(|datagram| datagram.from == side && datagram.is_esp)
            .collect();
        let whole = session.path.of(side).fragmented;
        if list.len() < 3 || u32::try_from(list.len()).unwrap_or(u32::MAX) < whole {
            continue;
        }
        let make = if others_seen(session, &list) {
            Finding::degradation
        } else {
            // A capture filter by port shows just this on a healthy path.
            Finding::info
        };
        let largest = list.iter().map(|d| d.largest).max().unwrap_or_default();
        let mut finding = make(
            &FRAGMENT_LOST,
            Stage::EspData,
            Basis::Absence { of: side },
            say!(
                "{} ESP packets of the {} came in IP fragments of which some never arrived here (largest fragment {largest} octets); {whole} came whole.",
                list.len(),
                side.word()
            ),
        )
        .needs("a capture at the other end, taken without a filter by port");
        for datagram in list.iter().take(12) {
            finding = finding.frame(datagram.at, "fragment of ESP, the rest is missing");
        }
        findings.push(finding);
    }
}

/// Whether something proves that this capture can show later fragments at all.
fn others_seen(session: &Session, list: &[&IncompleteDatagram]) -> bool {
    session.path.client.fragmented + session.path.gateway.fragmented > 0
        || list.iter().any(|datagram| !datagram.has_first)
}

/// IKE fragments (RFC 7383) of a message, of which some never came.
fn ike_fragments(session: &Session) -> Option<Finding> {
    let facts = session.ike2()?;
    for exchange in &facts.exchanges {
        let messages = [
            (exchange.by, exchange.request.as_ref()),
            (exchange.by.other(), exchange.response.as_ref()),
        ];
        for (side, message) in messages {
            let Some(message) = message.filter(|m| !m.is_whole() && !m.truncated) else {
                continue;
            };
            // A request that came whole is answered; after an answer that came whole the one who
            // asked goes on, whatever else the one who answered has to say.
            let came_whole = if side == exchange.by {
                exchange.response.is_some() || went_on(session, side, message.at)
            } else {
                went_on(session, exchange.by, message.at)
            };
            if !came_whole {
                return ike_finding(session, side, message);
            }
        }
    }
    None
}

/// Cisco's fragments of an `IKEv1` message, of which some never came.
fn cisco_fragments(session: &Session) -> Option<Finding> {
    let facts = session.ike1()?;
    for side in SIDES {
        let sets: Vec<&FragmentSet> = facts
            .fragments
            .iter()
            .filter(|set| set.from == side && !set.is_complete())
            .collect();
        let stamps = || {
            sets.iter()
                .flat_map(|set| set.seen.iter().map(|(_, at, _)| *at))
        };
        let Some(first) = stamps().min().filter(|at| !went_on(session, side, *at)) else {
            continue;
        };
        let times = sets
            .iter()
            .flat_map(|set| set.seen.iter().map(|(.., times)| *times))
            .sum::<u32>();
        let what = match sets.first().map(|set| (set.missing(), set.total)) {
            Some((missing, Some(total))) if !missing.is_empty() => {
                let list: Vec<String> = missing.iter().map(u8::to_string).collect();
                say!("number {} of {total}", list.join(", "))
            }
            _ => "the last".to_string(),
        };
        let mut finding = Finding::failure(
            &FRAGMENT_LOST,
            stage(session),
            Basis::Absence { of: side },
            say!(
                "Of the IKE fragments (Cisco) of the {}'s message {what} never arrived here, while the others came {times} time(s).",
                side.word()
            ),
        );
        for at in stamps().take(16) {
            finding = finding.frame(at, "IKE fragment, others of its message are missing");
        }
        let settled = session.vantage.watched_after >= Span::from_secs(4)
            || session.last.time - first.time >= Span::from_secs(1);
        return Some(if settled {
            finding
        } else {
            finding.inconclusive()
        });
    }
    None
}

fn ike_finding(session: &Session, side: Side, message: &Message) -> Option<Finding> {
    let fragments = message.fragments.as_ref()?;
    let missing = fragments.missing();
    let times = fragments.seen.iter().map(|(.., times)| *times).max()?;
    // All fragments but the last have the full size.
    let only_last = fragments
        .seen
        .iter()
        .all(|(number, ..)| *number == fragments.total);
    let cause = if only_last && times >= 2 {
        &PMTU_BLACKHOLE
    } else {
        &FRAGMENT_LOST
    };
    let list: Vec<String> = missing.iter().map(u16::to_string).collect();
    let why = if only_last {
        ": only the last and smallest arrives, the full-sized ones do not"
    } else {
        ""
    };
    let mut finding = Finding::failure(
        cause,
        stage(session),
        Basis::Absence { of: side },
        say!(
            "Of {} IKE fragments of the {}'s message, number {} never arrived here in {times} sending(s){why}. The largest that did was {} octets of IP.",
            fragments.total,
            side.word(),
            list.join(", "),
            fragments.largest_ip
        ),
    )
    .sure(if times >= 3 && !is_at_sender(session, side) { Confidence::Certain } else { Confidence::Likely })
    .candidates(&["fragment-lost", "pmtu-blackhole"]);
    if only_last {
        finding = finding.remedy(say!(
            "Make IKE fragments at the {} no larger than {} octets of IP, which arrive, or 576 to be safe everywhere (strongSwan: fragment_size).",
            side.word(),
            fragments.largest_ip
        ));
    }
    finding.candidates.retain(|code| *code != cause.code);
    if let Some(step) = message.step.and_then(|index| session.step(index)) {
        finding = finding.step(step, ", not all of its fragments");
    }
    let settled = times >= 2 || session.vantage.watched_after >= Span::from_secs(4);
    Some(if settled {
        finding
    } else {
        finding.inconclusive()
    })
}
