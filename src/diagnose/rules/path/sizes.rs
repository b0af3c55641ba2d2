//! What sizes cross: ICMP that names a limit, and ESP that vanishes by size.

use super::{FRAG_NEEDED_IGNORED, FRAGMENT_LOST, PMTU_BLACKHOLE, SIDES, stage};
use crate::diagnose::mtu::{Overhead, to_try};
use crate::diagnose::{Basis, Finding, Findings, Stage, say};
use crate::track::path::{Limit, Sizes, Vanished};
use crate::track::session::{Session, Side, Stamp};

/// Sizes of unanswered packets that are at most so far apart are one size.
const ALIKE: u32 = 8;

/// A router named an MTU and the sender went on.
pub(super) fn frag_needed_ignored(session: &Session, findings: &mut Findings) -> bool {
    for side in SIDES {
        for limit in &session.path.of(side).limits {
            if let Some(finding) = ignored(session, side, limit) {
                let code = finding.cause.code;
                if !findings.has(code) {
                    findings.push(finding);
                }
                return true;
            }
        }
    }
    false
}

fn ignored(session: &Session, side: Side, limit: &Limit) -> Option<Finding> {
    let last = limit.ignored.last()?;
    let obeyed = limit.obeyed.is_some_and(|at| at > last.0);
    let refused = session.icmp.iter().find(|fact| {
        fact.is_too_big()
            && fact.about == side
            && fact.mtu == Some(limit.mtu)
            && fact.repeats.count > 0
    });
    let vanished = session
        .path
        .of(side)
        .esp
        .as_ref()
        .is_some_and(|sizes| sizes.vanished().iter().any(|round| round.size > limit.mtu));
    let unheard = session
        .steps
        .iter()
        .any(|step| step.from == side && step.ip_len > limit.mtu && step.sent() >= 2);
    if obeyed || limit.ignored_count < 2 || (refused.is_none() && !vanished && !unheard) {
        return None;
    }
    let works = session.esp.iter().any(|flow| flow.from == side.other());
    let make = if works {
        Finding::degradation
    } else {
        Finding::failure
    };
    let mut finding = make(
        &FRAG_NEEDED_IGNORED,
        if works { Stage::EspData } else { stage(session) },
        Basis::Seen,
        say!(
            "A router told the {} that the path takes {} octets (frame {}), and it sent {} datagram(s) of up to {} octets all the same, not to be fragmented.",
            side.word(),
            limit.mtu,
            limit.at.frame(),
            limit.ignored_count,
            last.1
        ),
    )
    .frame(limit.at, say!("ICMP: too big, MTU {}", limit.mtu));
    for (stamp, size) in limit.ignored.iter().take(8) {
        finding = finding.frame(*stamp, say!("{size} octets all the same"));
    }
    Some(advise(finding, session, side, limit.mtu))
}

/// Small ESP is answered, large ESP never.
pub(super) fn esp_by_size(session: &Session, findings: &mut Findings) {
    for side in SIDES {
        let Some(sizes) = &session.path.of(side).esp else {
            continue;
        };
        let Some(hole) = Hole::of(sizes) else {
            continue;
        };
        let run_is_this = session
            .esp_run
            .is_some_and(|run| run.from == side && run.since >= hole.first);
        if run_is_this {
            findings.withdraw("esp-one-way");
        }
        findings.push(hole.finding(session, side));
        return;
    }
}

/// A size that is sent again and again without an answer, while smaller ones are answered.
struct Hole {
    /// Octets of the largest datagram answered.
    passes: u32,
    /// Octets of what vanishes.
    fails: u32,
    fragmented: bool,
    first: Stamp,
    last: Stamp,
    rounds: Vec<Stamp>,
}

impl Hole {
    /// `None` where the pattern is not that of a path that minds the size.
    fn of(sizes: &Sizes) -> Option<Self> {
        /// More is a stream that wants no answer: nobody tries so long.
        const MOST: usize = 20;
        let vanished = sizes.vanished();
        let passes = sizes.largest_answered();
        let reliable = sizes.answered_up_to(passes);
        if vanished.len() > MOST || reliable < 3 || sizes.unanswered_up_to(passes) * 2 > reliable {
            return None;
        }
        let alike = |like: &Vanished| {
            let fails = like.size;
            vanished
                .iter()
                .filter(move |other| other.size.abs_diff(fails) <= ALIKE)
        };
        let usual = vanished
            .iter()
            .max_by_key(|round| (alike(round).count(), std::cmp::Reverse(round.size)))?;
        let rounds: Vec<Stamp> = alike(usual).map(|round| round.at).collect();
        let (first, last) = (*rounds.first()?, *rounds.last()?);
        (rounds.len() >= 3).then_some(Self {
            passes,
            fails: usual.size,
            fragmented: usual.fragmented,
            first,
            last,
            rounds,
        })
    }

    fn finding(&self, session: &Session, side: Side) -> Finding {
        let (cause, how) = if self.fragmented {
            (&FRAGMENT_LOST, "in IP fragments")
        } else {
            (&PMTU_BLACKHOLE, "not to be fragmented")
        };
        let mut finding = Finding::degradation(
            cause,
            Stage::EspData,
            Basis::Absence { of: side.other() },
            say!(
                "ESP of the {} in datagrams of up to {} octets is answered; datagrams of {} octets, {how}, were sent {} times over {} and never answered, and no ICMP said why.",
                side.word(),
                self.passes,
                self.fails,
                self.rounds.len(),
                self.last.time - self.first.time
            ),
        )
        .candidates(&["inner-misconfiguration"]);
        for stamp in self.rounds.iter().take(12) {
            finding = finding.frame(
                *stamp,
                say!("ESP in {} octets of IP, unanswered", self.fails),
            );
        }
        let offloaded = session.path.of(side).offloaded;
        if offloaded > 0 {
            finding = finding.needs(say!(
                "a capture without offload (ethtool -K … tso off gso off gro off) or from a span port: {offloaded} datagrams were longer than any link takes"
            ));
        }
        advise(finding, session, side, to_try(self.passes, self.fails))
    }
}

/// What to set for a path MTU.
fn advise(finding: Finding, session: &Session, side: Side, mtu: u32) -> Finding {
    let suite = session
        .ike2()
        .and_then(|facts| facts.sas.first())
        .and_then(crate::track::ike2::IkeSa::suite);
    let overhead = session
        .esp
        .iter()
        .filter(|flow| flow.from == side)
        .find_map(|flow| Overhead::of(flow, suite));
    match overhead {
        Some(overhead) => finding.remedy(say!(
            "For a path MTU of {mtu}, set the MTU inside the tunnel to {} and clamp the TCP MSS to {} ({}); lower both until large transfers pass.",
            overhead.inner(mtu),
            overhead.mss(mtu),
            overhead.words()
        )),
        None => finding.remedy(say!(
            "Keep what the {} sends within {mtu} octets of IP; lower that until it passes.",
            side.word()
        )),
    }
}
