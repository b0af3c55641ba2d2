//! Is what flows well formed: in order, and no more of it than needed?

use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, cause, say};
use crate::track::session::{Session, Step};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "traffic",
    causes: &[&REPLAY_DROPS, &RETRANSMISSION_STORM],
    check,
};

cause! {
    /// ## What it means
    /// ESP packets arrive so late, or twice, that the receiver's replay protection (RFC 4303
    /// §3.4.3) drops them.
    /// ## What is seen
    /// Sequence numbers that come more than a window of 64 behind the highest one seen, again and
    /// again. The receiver counts replay errors; users see slow transfers.
    /// ## Likely causes
    /// Quality of service between encryption and the line that holds some packets back, load
    /// sharing over paths of different delay, several CPU cores that encrypt in parallel.
    /// ## What to check on each side
    /// Receiver: its replay counters (`%CRYPTO-4-PKT_REPLAY_ERR`, `ip -s xfrm state`), its window.
    /// Sender: queueing after encryption. Path: per-packet load balancing.
    /// ## When this is wrong
    /// When the capture itself was put together from several queues out of order, or when the
    /// receiver has a larger window.
    pub(super) static REPLAY_DROPS = {
        code: "replay-drops",
        title: "ESP arrives too late for the replay window",
        remedies: [
            "Raise the receiver's replay window (1024 or more), or switch extended sequence numbers on with a large window.",
            "Classify before encryption and queue all ESP of one SA alike; stop per-packet load sharing.",
        ],
        needs: "the receiver's replay counters",
    }
}

cause! {
    /// ## What it means
    /// One side sends the same message over and over, far faster than retransmission timers allow.
    /// ## What is seen
    /// Dozens of identical messages, several in a second, some of them answered.
    /// ## Likely causes
    /// A defect in one of the implementations, two processes that fight for one SA, a collision of
    /// rekeyings that neither side gives up, a loop in the network that repeats packets.
    /// ## What to check on each side
    /// Version and known defects of the sender; its log at that moment; whether the copies have
    /// different IP identifications (sent anew) or the same (repeated by the network).
    /// ## When this is wrong
    /// When a span port delivers the copies with delay; copies within 20 ms are left out.
    pub(super) static RETRANSMISSION_STORM = {
        code: "retransmission-storm",
        title: "the same message is repeated dozens of times",
        remedies: [
            "Update the side that repeats; restart the connection there.",
            "Let only one side begin the rekeying, or set the lifetimes apart.",
        ],
        needs: "the log of the side that repeats",
    }
}

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    replay(session, findings);
    storm(session, findings);
}

fn replay(session: &Session, findings: &mut Findings) {
    let Some(flow) = session.esp.iter().max_by_key(|f| f.beyond_window) else {
        return;
    };
    // A capture that is itself out of order shows it in times that run backwards.
    let share = flow.packets / 100;
    if flow.beyond_window < 3.max(share) || session.vantage.reordered > 0 {
        return;
    }
    let mut finding = Finding::degradation(
        &REPLAY_DROPS,
        Stage::EspData,
        Basis::Inferred,
        say!(
            "{} of {} ESP packets {:08x} of the {} came more than 64 behind the newest, the latest by {}.",
            flow.beyond_window,
            flow.packets,
            flow.spi,
            flow.from.word(),
            flow.latest_by
        ),
    );
    for stamp in &flow.late_at {
        finding = finding.frame(*stamp, "ESP too late for a window of 64");
    }
    findings.push(finding);
}

fn storm(session: &Session, findings: &mut Findings) {
    const MANY: u32 = 20;
    let fast = |step: &&Step| {
        let times = i64::from(step.repeats.count);
        step.repeats.count >= MANY && step.spread().0 < times.saturating_mul(500_000_000)
    };
    let Some(step) = session
        .steps
        .iter()
        .filter(fast)
        .max_by_key(|s| s.repeats.count)
    else {
        return;
    };
    let stage = if step.message.starts_with("CREATE_CHILD") || step.message.starts_with("Quick") {
        Stage::IpsecChild
    } else {
        Stage::EspData
    };
    findings.push(
        Finding::degradation(
            &RETRANSMISSION_STORM,
            stage,
            Basis::Inferred,
            say!(
                "The {} sent the {} {} times within {}.",
                step.from.word(),
                step.message,
                step.sent(),
                step.spread()
            ),
        )
        .sure(Confidence::Likely)
        .step(step, ""),
    );
}
