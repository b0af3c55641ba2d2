//! Did large datagrams cross the path, and their fragments?

use crate::diagnose::ike2::{Auth, Story};
use crate::diagnose::mtu::{Overhead, to_try};
use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, cause};
use crate::time::Span;
use crate::track::ike2::Message;
use crate::track::path::{Limit, Sizes};
use crate::track::session::{IncompleteDatagram, Session, Side, Stamp, Step};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "path",
    causes: &[&FRAGMENT_LOST, &PMTU_BLACKHOLE, &FRAG_NEEDED_IGNORED],
    check,
};

cause! {
    /// ## What it means
    /// A message was too large for one packet, was sent in fragments, and not all of them
    /// arrive. The receiver waits for the rest and says nothing; the sender repeats it and
    /// gives up.
    ///
    /// ## What is seen
    /// At the receiver: fragments of the same message again and again, some always missing.
    /// At the sender: small messages are answered, the fragmented one never. The numbers of
    /// IKE fragments (RFC 7383) and the offsets of IP fragments stand in clear.
    ///
    /// ## Likely causes
    /// - A firewall, provider or cloud gateway drops IP fragments; stateless filters drop all
    ///   but the first, which alone has ports.
    /// - A certificate chain or a post-quantum key makes the message large, and one side does
    ///   not support IKE fragmentation.
    ///
    /// ## What to check on each side
    /// - Both: IKE fragmentation (RFC 7383) on; on Windows servers the registry value
    ///   `EnableServerFragmentation`.
    /// - Everything between: rules and counters for IP fragments.
    ///
    /// ## When this is wrong
    /// When the capture itself leaves fragments out: a capture filter by port never matches
    /// any but the first.
    pub(super) static FRAGMENT_LOST = {
        code: "fragment-lost",
        title: "fragments of a large message do not arrive",
        remedies: [
            "Switch on IKE fragmentation (RFC 7383) at both ends, so that no IP fragments are needed.",
            "Permit IP fragments on every firewall of the path.",
            "Make the message smaller: shorter certificate chain, ECDSA instead of RSA.",
        ],
        needs: "a capture at the other end at the same time: it shows which fragments arrive",
    }
}

cause! {
    /// ## What it means
    /// The path takes packets up to a size and swallows larger ones, and no ICMP message says
    /// so. Small things work, large ones hang.
    ///
    /// ## What is seen
    /// Packets up to one size are answered; those of a larger size, not to be fragmented, are
    /// sent again and again and never answered.
    ///
    /// ## Likely causes
    /// - A link with a smaller MTU (PPPoE, LTE, another tunnel) and a firewall that drops ICMP
    ///   "fragmentation needed".
    /// - The MTU of the tunnel interface, or the TCP MSS inside it, takes no account of what
    ///   ESP adds.
    ///
    /// ## What to check on each side
    /// - `ping` with DF and growing size between the two ends, outside the tunnel.
    /// - Whether ICMP type 3 code 4 (IPv6: type 2) may pass.
    ///
    /// ## When this is wrong
    /// When the large packets are a stream that wants no answer, or the receiver drops them for
    /// another reason.
    pub(super) static PMTU_BLACKHOLE = {
        code: "pmtu-blackhole",
        title: "large packets vanish on the path",
        remedies: [
            "Let ICMP \"fragmentation needed\" and \"packet too big\" pass on every firewall.",
            "Lower the MTU of the tunnel, or clamp the TCP MSS inside it.",
            "For IKE: make its fragments smaller (strongSwan: fragment_size).",
        ],
        needs: "a capture at the other end at the same time: it shows the largest size that arrives",
    }
}

cause! {
    /// ## What it means
    /// A router says that packets are too large for the next link, names the size that fits,
    /// and the sender goes on as before.
    ///
    /// ## What is seen
    /// ICMP "fragmentation needed" (3/4) or "packet too big" (`ICMPv6` 2) about the session, and
    /// later packets of the same sender that are still larger and still not to be fragmented.
    ///
    /// ## Likely causes
    /// - The sender's own firewall drops the ICMP message, or a NAT does not translate what it
    ///   quotes.
    /// - The VPN software does not pass the new size on to what it tunnels.
    ///
    /// ## What to check on each side
    /// - Sender: does the ICMP reach the host, is path MTU discovery on, what does
    ///   `ip route get` show as the MTU?
    ///
    /// ## When this is wrong
    /// When the ICMP is forged or belongs to another path that is used no longer.
    pub(super) static FRAG_NEEDED_IGNORED = {
        code: "frag-needed-ignored",
        title: "a router names a smaller MTU and the sender takes no notice",
        remedies: [
            "Let ICMP \"fragmentation needed\" reach the sender, through its own firewall and NAT.",
            "Or set the MTU by hand to the size that the router names.",
        ],
    }
}

/// Sizes of unanswered packets that are at most so far apart are one size.
const ALIKE: u32 = 8;

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    if frag_needed_ignored(session, findings) {
        return;
    }
    let cut = arrived_in_part(session).or_else(|| never_heard(session));
    if let Some((step, finding)) = cut {
        // The same silence, explained better.
        for code in ["no-response", "response-lost", "eap-failed"] {
            let same = findings.iter().any(|other| {
                other.cause.code == code
                    && step.is_none_or(|at| other.evidence.iter().any(|e| e.at == at))
            });
            if same {
                findings.withdraw(code);
            }
        }
        findings.push(finding);
        return;
    }
    esp_by_size(session, findings);
}

/// The stage of what is stuck.
fn stage(session: &Session) -> Stage {
    match Story::of(session) {
        Some(story) => match story.auth {
            Auth::NotReached if story.facts.accepted().is_none() => Stage::IkeNegotiation,
            Auth::Granted(last) if story.used_after(last) => Stage::EspData,
            _ => Stage::IkeAuthentication,
        },
        None => super::progress(session).stage,
    }
}

const SIDES: [Side; 2] = [Side::Client, Side::Gateway];

/// Whether `side` brought something new after `at`: a message not seen before, or data.
fn went_on(session: &Session, side: Side, at: Stamp) -> bool {
    session
        .steps
        .iter()
        .any(|step| step.from == side && step.at > at)
        || session
            .esp
            .iter()
            .any(|flow| flow.from == side && flow.last.time > at.time)
}

/// How both ends stand to fragmentation of IKE itself, as a sentence.
fn ike_fragmentation(session: &Session) -> Option<String> {
    /// `IKEV2_FRAGMENTATION_SUPPORTED`.
    const SUPPORTED: u16 = 16430;
    let facts = session.ike2()?;
    let said = |m: Option<&Message>| m.is_some_and(|m| m.notify(SUPPORTED).is_some());
    let asked = facts
        .init_rounds()
        .filter_map(|e| e.request.as_ref())
        .next_back();
    let words = match (said(asked), said(facts.accepted())) {
        (true, true) => "Both ends offered IKE fragmentation (RFC 7383).",
        (true, false) => "The gateway did not offer IKE fragmentation (RFC 7383).",
        (false, true) => "The client did not offer IKE fragmentation (RFC 7383).",
        (false, false) => "Neither end offered IKE fragmentation (RFC 7383).",
    };
    Some(words.to_string())
}

fn with_sentence(mut summary: String, sentence: Option<String>) -> String {
    if let Some(sentence) = sentence {
        summary.push(' ');
        summary.push_str(&sentence);
    }
    summary
}

// ---- what the receiver's side shows ----

/// Part of a message arrived, again and again, and never all of it.
fn arrived_in_part(session: &Session) -> Option<(Option<Stamp>, Finding)> {
    ip_fragments(session)
        .or_else(|| ike_fragments(session))
        .map(|finding| (None, finding))
}

fn ip_fragments(session: &Session) -> Option<Finding> {
    for side in SIDES {
        let list: Vec<&IncompleteDatagram> = session
            .incomplete
            .iter()
            .filter(|datagram| datagram.from == side && !datagram.is_esp)
            .collect();
        let Some(first) = list.iter().map(|datagram| datagram.at).min() else {
            continue;
        };
        if went_on(session, side, first) {
            continue;
        }
        return Some(ip_finding(session, side, &list));
    }
    None
}

fn ip_finding(session: &Session, side: Side, list: &[&IncompleteDatagram]) -> Finding {
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
    // One place where later fragments pass shows that the capture can see them.
    let seen_elsewhere = session.path.client.fragmented + session.path.gateway.fragmented > 0
        || list.iter().any(|d| !d.has_first);
    let sure = if list.len() >= 2 && seen_elsewhere {
        Confidence::Certain
    } else {
        Confidence::Likely
    };
    let mut finding = Finding::failure(
        &FRAGMENT_LOST,
        stage(session),
        Basis::Absence { of: side },
        with_sentence(
            format!(
                "The {} sent a message in IP fragments {} time(s) (largest fragment {largest} octets), and {which}; it never became whole.",
                side.word(),
                list.len()
            ),
            ike_fragmentation(session),
        ),
    )
    .sure(sure);
    for datagram in list.iter().take(16) {
        for frame in &datagram.frames {
            finding = finding.frame(
                Stamp {
                    frame: *frame,
                    ..datagram.at
                },
                format!("IP fragment of the {}, the rest is missing", side.word()),
            );
        }
    }
    let settled = list.len() >= 2 || session.vantage.watched_after >= Span::from_secs(4);
    if settled {
        finding
    } else {
        finding.inconclusive()
    }
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
            let answered = side == exchange.by && exchange.response.is_some();
            if !answered && !went_on(session, side, message.at) {
                return ike_finding(session, side, message);
            }
        }
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
        format!(
            "Of {} IKE fragments of the {}'s message, number {} never arrived here in {times} sending(s){why}. The largest that did was {} octets of IP.",
            fragments.total,
            side.word(),
            list.join(", "),
            fragments.largest_ip
        ),
    )
    .sure(if times >= 3 { Confidence::Certain } else { Confidence::Likely })
    .candidates(&["fragment-lost", "pmtu-blackhole"])
    .remedy(format!(
        "Make IKE fragments smaller than {} octets of IP at the {} (strongSwan: fragment_size).",
        to_try(fragments.largest_ip, 1280),
        side.word()
    ));
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

// ---- what the sender's side shows ----

/// A large message that was sent often and never heard, after small ones that were.
fn never_heard(session: &Session) -> Option<(Option<Stamp>, Finding)> {
    let (index, step) = session
        .steps
        .iter()
        .enumerate()
        .rev()
        .find(|(_, step)| is_large(session, step))?;
    let other = step.from.other();
    let small = session
        .steps
        .iter()
        .take(index)
        .any(|s| s.from == step.from && !is_large(session, s))
        && session.steps.iter().take(index).any(|s| s.from == other);
    let stuck = !went_on(session, other, step.at) && !went_on(session, step.from, step.last());
    if !small || !stuck || !insisted(session, step) {
        return None;
    }
    let split = ike_parts(session, step);
    let (cause, how) = match (step.fragments, split) {
        (2.., _) => (
            &FRAGMENT_LOST,
            format!("{} octets in {} IP fragments", step.ip_len, step.fragments),
        ),
        (_, Some((total, largest))) => (
            &PMTU_BLACKHOLE,
            format!("{total} IKE fragments of up to {largest} octets of IP, not to be fragmented"),
        ),
        _ => (
            &PMTU_BLACKHOLE,
            format!("{} octets, not to be fragmented", step.ip_len),
        ),
    };
    let passed = session
        .steps
        .iter()
        .take(index)
        .filter(|s| s.from == step.from && s.fragments <= 1)
        .map(|s| s.ip_len)
        .max()
        .unwrap_or_default();
    let again = session
        .steps
        .iter()
        .filter(|s| s.from == other && s.last() > step.at)
        .find(|s| s.repeats.count > 0);
    let silence = match again {
        Some(asked) => format!(
            "the {} repeats its {} as if nothing had come",
            other.word(),
            asked.message
        ),
        None => "nothing came back".to_string(),
    };
    let mut finding = Finding::failure(
        cause,
        stage(session),
        Basis::Absence { of: other },
        with_sentence(
            format!(
                "The {} ({how}) was sent {} time(s) over {}, and {silence}; messages of up to {passed} octets in one piece were answered.",
                step.message,
                step.sent(),
                step.spread()
            ),
            ike_fragmentation(session),
        ),
    )
    .step(step, ", never heard")
    .candidates(&["fragment-lost", "pmtu-blackhole", "nat-t-blocked"]);
    finding.candidates.retain(|code| *code != cause.code);
    if let Some(asked) = again {
        for stamp in asked.repeats.stamps.iter().filter(|s| **s > step.at) {
            finding = finding.frame(*stamp, format!("{} again", asked.message));
        }
    }
    if let Some((_, largest)) = split {
        finding = finding.remedy(format!(
            "Make IKE fragments smaller than {largest} octets of IP at the {} (strongSwan: fragment_size).",
            step.from.word()
        ));
    }
    Some((Some(step.at), finding))
}

/// Total and largest IP size of the IKE fragments that a step's message came in.
fn ike_parts(session: &Session, step: &Step) -> Option<(u16, u32)> {
    let facts = session.ike2()?;
    let message = facts
        .exchanges
        .iter()
        .flat_map(|e| e.request.iter().chain(e.response.iter()))
        .find(|m| m.at == step.at)?;
    let fragments = message.fragments.as_ref()?;
    (fragments.total > 1).then_some((fragments.total, fragments.largest_ip))
}

/// Large enough for a path to mind: in fragments, or near what every path takes, with DF.
fn is_large(session: &Session, step: &Step) -> bool {
    let cannot_shrink = step.dont_fragment || step.flow.source.0.is_ipv6();
    step.fragments > 1
        || cannot_shrink && step.ip_len > 1280 && step.ip_len <= crate::track::path::USUAL_MTU
        || cannot_shrink && ike_parts(session, step).is_some()
}

/// Whether it was sent, or asked for, often enough for silence to mean something.
fn insisted(session: &Session, step: &Step) -> bool {
    let asked_again = session
        .steps
        .iter()
        .filter(|s| s.from == step.from.other())
        .flat_map(|s| &s.repeats.stamps)
        .filter(|stamp| **stamp > step.at)
        .count();
    super::reachability::enough(step, session) && (step.sent() >= 2 || asked_again >= 2)
}

// ---- ICMP ----

/// A router named an MTU and the sender went on.
fn frag_needed_ignored(session: &Session, findings: &mut Findings) -> bool {
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
        .is_some_and(|sizes| sizes.vanished().iter().any(|(_, size)| *size > limit.mtu));
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
    let (fact, size) = (limit.at, last.1);
    let mut finding = make(
        &FRAG_NEEDED_IGNORED,
        if works { Stage::EspData } else { stage(session) },
        Basis::Seen,
        format!(
            "A router told the {} that the path takes {} octets (frame {}), and it sent {} datagram(s) of up to {size} octets all the same, not to be fragmented.",
            side.word(),
            limit.mtu,
            fact.frame,
            limit.ignored_count
        ),
    )
    .frame(fact, format!("ICMP: too big, MTU {}", limit.mtu));
    for (stamp, size) in limit.ignored.iter().take(8) {
        finding = finding.frame(*stamp, format!("{size} octets all the same"));
    }
    Some(advise(finding, session, side, limit.mtu))
}

// ---- ESP by size ----

/// Small ESP is answered, large ESP never.
fn esp_by_size(session: &Session, findings: &mut Findings) {
    for side in SIDES {
        let sent = session.path.of(side);
        let Some(sizes) = &sent.esp else { continue };
        let Some((size, rounds)) = vanishing(sizes) else {
            continue;
        };
        let Some(finding) = blackhole(session, side, sizes, size, &rounds) else {
            continue;
        };
        let run_is_this = session
            .esp_run
            .zip(rounds.first())
            .is_some_and(|(run, first)| run.from == side && run.since >= *first);
        if run_is_this {
            findings.withdraw("esp-one-way");
        }
        findings.push(finding);
        return;
    }
}

/// The size that is sent again and again without an answer, and its rounds; `None` where
/// the pattern is not that of a path that minds the size.
fn vanishing(sizes: &Sizes) -> Option<(u32, Vec<Stamp>)> {
    /// More is a stream that wants no answer: nobody tries so long.
    const MOST: usize = 20;
    let vanished = sizes.vanished();
    let passes = sizes.largest_answered();
    let reliable = sizes.answered_up_to(passes);
    if vanished.len() > MOST || reliable < 3 || sizes.unanswered_up_to(passes) * 2 > reliable {
        return None;
    }
    let alike = |size: u32| {
        vanished
            .iter()
            .filter(move |(_, other)| other.abs_diff(size) <= ALIKE)
    };
    let size = vanished
        .iter()
        .map(|(_, size)| *size)
        .max_by_key(|size| (alike(*size).count(), std::cmp::Reverse(*size)))?;
    let rounds: Vec<Stamp> = alike(size).map(|(at, _)| *at).collect();
    (rounds.len() >= 3).then_some((size, rounds))
}

fn blackhole(
    session: &Session,
    side: Side,
    sizes: &Sizes,
    size: u32,
    rounds: &[Stamp],
) -> Option<Finding> {
    let passes = sizes.largest_answered();
    let (Some(first), Some(last)) = (rounds.first(), rounds.last()) else {
        return None;
    };
    let offloaded = session.path.of(side).offloaded;
    let mut finding = Finding::degradation(
        &PMTU_BLACKHOLE,
        Stage::EspData,
        Basis::Absence { of: side.other() },
        format!(
            "ESP of the {} in datagrams of up to {passes} octets is answered; datagrams of {size} octets, not to be fragmented, were sent {} times over {} and never answered, and no ICMP said why.",
            side.word(),
            rounds.len(),
            last.time - first.time
        ),
    )
    .candidates(&["inner-misconfiguration"]);
    for stamp in rounds.iter().take(12) {
        finding = finding.frame(*stamp, format!("ESP in {size} octets of IP, unanswered"));
    }
    if offloaded > 0 {
        finding = finding.needs(format!(
            "a capture without offload (ethtool -K … tso off gso off gro off) or from a span port: {offloaded} datagrams were longer than any link takes"
        ));
    }
    Some(advise(finding, session, side, to_try(passes, size)))
}

/// What to set for a path MTU.
fn advise(finding: Finding, session: &Session, side: Side, mtu: u32) -> Finding {
    let suite = session
        .ike2()
        .and_then(|facts| facts.sas.first())
        .and_then(|sa| sa.suite());
    let overhead = session
        .esp
        .iter()
        .filter(|flow| flow.from == side)
        .find_map(|flow| Overhead::of(flow, suite));
    match overhead {
        Some(overhead) => finding.remedy(format!(
            "For a path MTU of {mtu}, set the MTU inside the tunnel to {} and clamp the TCP MSS to {} ({}); lower both until large transfers pass.",
            overhead.inner(mtu),
            overhead.mss(mtu),
            overhead.words()
        )),
        None => finding.remedy(format!(
            "Keep what the {} sends within {mtu} octets of IP; lower that until it passes.",
            side.word()
        )),
    }
}
