//! Do large segments of the TCP connection cross the path?

use super::path::{FRAG_NEEDED_IGNORED, PMTU_BLACKHOLE};
use crate::diagnose::tls::{Phase, Story};
use crate::diagnose::{Basis, Context, Family, Finding, Findings, Outcome, Stage, cause, say};
use crate::time::Span;
use crate::track::session::{IcmpFact, Session, Side};
use crate::track::tls::Connection;
use crate::track::tls::connection::{Hole, Repeated};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "tcp-path",
    causes: &[&MSS_CLAMP_WRONG],
    check,
};

cause! {
    /// ## What it means
    /// A box on the path lowers the segment size that the ends agree on, but not far enough:
    /// segments of that size do not cross.
    ///
    /// ## What is seen
    /// A segment size in the SYN that no link has by itself, and segments of just that size
    /// that vanish.
    ///
    /// ## Likely causes
    /// - The clamp was set for one tunnel or PPPoE, and there is another one on the way.
    ///
    /// ## What to check on each side
    /// - The MTU of every link and tunnel on the path, and the value of the clamp: MTU less 40
    ///   octets (IPv4), less 60 (IPv6).
    ///
    /// ## When this is wrong
    /// When the host itself was given this segment size.
    pub(super) static MSS_CLAMP_WRONG = {
        code: "mss-clamp-wrong",
        title: "the segment size is lowered on the way, but not enough",
        remedies: ["Lower the clamp to the smallest MTU of the path less 40 octets (IPv6: 60)."],
        needs: "captures on both sides of the box that clamps: the sizes in the SYN differ",
    }
}

/// Segment sizes that hosts have by themselves: Ethernet less the headers of IPv4 or IPv6,
/// with and without timestamps, jumbo frames, and the loopback.
const NATURAL: [u16; 8] = [1460, 1440, 1448, 1428, 8960, 8940, 65495, 65475];

/// Smaller segments cross every path that IP may use.
const LARGE: u32 = 500;

fn check(session: &Session, context: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session, context) else {
        return;
    };
    let Some(connection) = story.channel else {
        return;
    };
    if findings.any_trouble() {
        return;
    }
    let stuck = connection
        .repeats
        .iter()
        .find(|repeated| is_stuck(connection, repeated));
    if let Some(repeated) = stuck {
        at_sender(&story, connection, repeated, findings);
        return;
    }
    let missing = connection
        .holes
        .iter()
        .find(|hole| is_missing(&story, connection, hole));
    if let Some(hole) = missing {
        at_receiver(&story, connection, hole, findings);
    }
}

/// Whether a large segment was sent again and again and never acknowledged, while smaller
/// ones were, or were said to be there beyond it.
fn is_stuck(connection: &Connection, repeated: &Repeated) -> bool {
    let acked = connection.acked.of(repeated.from).octets;
    if repeated.repeats.count < 3 || repeated.len < LARGE || acked > repeated.offset {
        return false;
    }
    let heard_of = connection
        .sacks
        .iter()
        .any(|sack| sack.by != repeated.from && sack.acked == repeated.offset);
    // The peer lives: it said so beyond the hole, or goes on repeating its own.
    heard_of || acked == repeated.offset && acked > 0
}

fn at_sender(
    story: &Story<'_>,
    connection: &Connection,
    repeated: &Repeated,
    findings: &mut Findings,
) {
    let session = story.session;
    let too_big = session
        .icmp
        .iter()
        .find(|icmp| icmp.is_too_big() && icmp.about == repeated.from && icmp.protocol == 6);
    let later = |icmp: &IcmpFact| {
        repeated
            .repeats
            .last
            .is_some_and(|last| last.time > icmp.at.time)
            && icmp.mtu.is_none_or(|mtu| repeated.ip_len > mtu)
    };
    let from = repeated.from.word();
    let times = repeated.repeats.count + 1;
    let mut finding = match too_big.filter(|icmp| later(icmp)) {
        Some(icmp) => failure(
            story,
            &FRAG_NEEDED_IGNORED,
            Basis::Seen,
            say!(
                "{} told the {from} that packets may have {} octets, and the {from} went on sending {} octets, {times} times.",
                icmp.reporter,
                icmp.mtu.unwrap_or_default(),
                repeated.ip_len
            ),
        )
        .frame(icmp.at, "ICMP: fragmentation needed"),
        None => failure(
            story,
            &PMTU_BLACKHOLE,
            Basis::Inferred,
            say!(
                "The {from} sent the same segment of {} octets (IP {}) {times} times and it was never acknowledged, while shorter ones arrive.",
                repeated.len, repeated.ip_len
            ),
        ),
    };
    for stamp in repeated.repeats.stamps.iter().take(8) {
        finding = finding.frame(*stamp, "the same segment again");
    }
    if let Some(sack) = connection
        .sacks
        .iter()
        .find(|sack| sack.by != repeated.from)
    {
        finding = finding.frame(sack.last, "the peer has what follows, not this");
    }
    findings.push(clamped(finding, connection, repeated.from, repeated.len));
}

/// Whether a stretch as long as a full segment never came although what follows did.
fn is_missing(story: &Story<'_>, connection: &Connection, hole: &Hole) -> bool {
    if hole.filled.is_some() || hole.lost_by_capture || hole.len < LARGE {
        return false;
    }
    let acked = connection.acked.of(hole.from).octets;
    if acked > hole.offset {
        return false;
    }
    let largest = connection.largest.of(hole.from).ip_len;
    let shorter = hole.len + 40 > largest;
    // The receiver says itself that it lacks the stretch.
    let said = connection
        .sacks
        .iter()
        .any(|sack| sack.by != hole.from && sack.acked == hole.offset);
    let waited = story.watched(hole.at) >= Span::from_secs(2);
    shorter && waited && (said || acked <= hole.offset)
}

fn at_receiver(story: &Story<'_>, connection: &Connection, hole: &Hole, findings: &mut Findings) {
    let from = hole.from.word();
    let mut finding = failure(
        story,
        &PMTU_BLACKHOLE,
        Basis::Inferred,
        say!(
            "{} octets of the {from} never arrived, although what it sent before and after them did: segments of that size do not cross the path.",
            hole.len
        ),
    )
    .frame(hole.at, "segment beyond the missing stretch");
    if let Some(sack) = connection.sacks.iter().find(|sack| sack.by != hole.from) {
        finding = finding.frame(
            sack.first,
            "selective acknowledgment: the stretch is missing",
        );
    }
    if let Some(answer) = connection.answer() {
        finding = finding.frame(answer.at, "ServerHello, which arrived");
    }
    findings.push(clamped(finding, connection, hole.from, hole.len));
}

fn failure(
    story: &Story<'_>,
    cause: &'static crate::diagnose::Cause,
    basis: Basis,
    summary: String,
) -> Finding {
    if story.phase == Phase::Up {
        let mut finding = Finding::degradation(cause, Stage::TunnelData, basis, summary);
        finding.outcome = Outcome::Degraded;
        return finding;
    }
    Finding::failure(cause, Stage::TlsHandshake, basis, summary)
}

/// Says that a clamp is to blame, where the capture shows it at work and the lost segments have
/// the size that it grants; suspects one, where the segment size in a SYN is no natural one.
fn clamped(mut finding: Finding, connection: &Connection, from: Side, len: u32) -> Finding {
    let opening = &connection.opening;
    // A host sends as much as its peer's SYN grants.
    let (rewritten, seen) = match from {
        Side::Gateway => (opening.rewritten, opening.syn),
        Side::Client => (opening.answer_rewritten, opening.answer),
    };
    let is_full = |mss: u16| len <= u32::from(mss) && len + 12 >= u32::from(mss);
    if let Some(lowered) = rewritten.filter(|lowered| is_full(lowered.to)) {
        let before = std::mem::replace(&mut finding.cause, &MSS_CLAMP_WRONG);
        finding.summary = say!(
            "A box on the path lowers the segment size that the {} asks for from {} to {}, and segments of that size do not cross all the same. {}",
            from.other().word(),
            lowered.from,
            lowered.to,
            finding.summary
        );
        if let Some(seen) = seen {
            finding = finding.frame(seen, say!("segment size {} before the box", lowered.from));
        }
        return finding.candidates(&[before.code]);
    }
    let sizes = [opening.mss, opening.answer_mss];
    let clamp = sizes
        .into_iter()
        .flatten()
        .find(|mss| !NATURAL.contains(mss) && is_full(*mss));
    match clamp {
        Some(mss) => finding.candidates(&[MSS_CLAMP_WRONG.code]).remedy(say!(
            "The SYN names a segment size of {mss}: a box lowers it, and not far enough."
        )),
        None => finding,
    }
}
