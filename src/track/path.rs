//! What sizes of datagrams each end sent, what became of them, and what routers said of it.
//!
//! A path with a small MTU swallows by size: small datagrams pass, large ones vanish, and the
//! sender is told by ICMP or not at all. The facts here are counted per packet of a session, in
//! a few comparisons; only sessions with ESP or such ICMP pay more.

use crate::decap::Envelope;
use crate::time::{Span, Timestamp};
use crate::track::esp::Logged;
use crate::track::pack::{Pack, Packer, Unpacker};
use crate::track::rare::Rare;
use crate::track::session::Stamp;

/// Longer datagrams in one piece were never on a link of usual MTU: the capturing host's card
/// cuts or joins them, so their sizes prove nothing.
pub const USUAL_MTU: u32 = 1500;

/// What one end sent, by size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sent {
    /// Octets of the largest datagram seen in one piece, offloaded ones left out.
    pub largest: u32,
    /// Datagrams that came in IP fragments, all of which were seen.
    pub fragmented: u32,
    /// Datagrams too long for a usual link: segmentation or its reverse by the capturing host.
    pub offloaded: u32,
    /// Path MTUs that routers told this end. Bounded.
    pub limits: Rare<Vec<Limit>>,
    /// ESP by size, answered and not.
    pub esp: Option<Box<Sizes>>,
}

/// A path MTU that a router told the sender, and what it sent then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The ICMP message.
    pub at: Stamp,
    /// Octets; of a router that names none, one less than what it refused.
    pub mtu: u32,
    /// Datagrams beyond it that were sent later all the same, in one piece with DF: octets.
    /// Bounded.
    pub ignored: Vec<(Stamp, u32)>,
    /// How many there were.
    pub ignored_count: u32,
    /// Datagrams within it, or fragmented, of more than half its size: it was obeyed.
    pub obeyed: Option<Stamp>,
}

impl Limit {
    /// Datagrams on the way while the ICMP message was, are no disobedience.
    const GRACE: Span = Span::from_millis(100);
    /// Frames kept.
    const KEPT: usize = 16;
}

impl Sent {
    /// Limits kept.
    pub const LIMITS: usize = 8;

    /// Counts a datagram.
    pub fn count(&mut self, envelope: &Envelope) {
        let len = envelope.ip_len;
        if envelope.fragments > 1 {
            self.fragmented = self.fragmented.saturating_add(1);
        } else if len > USUAL_MTU {
            self.offloaded = self.offloaded.saturating_add(1);
            return;
        } else {
            self.largest = self.largest.max(len);
        }
        for limit in &mut self.limits {
            limit.count(envelope);
        }
    }

    /// A router refused a datagram of `refused` octets.
    pub fn told(&mut self, at: Stamp, mtu: u32, refused: u32) {
        let mtu = if mtu == 0 {
            refused.saturating_sub(1)
        } else {
            mtu
        };
        // A refusal of what would fit is forged or mangled.
        let plausible = refused > mtu || refused == 0;
        let known = self.limits.iter().any(|limit| limit.mtu == mtu);
        if plausible && !known && mtu > 0 && self.limits.len() < Self::LIMITS {
            self.limits.push(Limit {
                at,
                mtu,
                ignored: Vec::new(),
                ignored_count: 0,
                obeyed: None,
            });
        }
    }
}

/// Whether a router has to drop it where it is too long.
pub fn cannot_shrink(envelope: &Envelope) -> bool {
    envelope.dont_fragment || envelope.destination.is_ipv6() || envelope.fragments > 1
}

impl Limit {
    fn count(&mut self, envelope: &Envelope) {
        if envelope.time - self.at.time < Self::GRACE {
            return;
        }
        let whole = envelope.fragments <= 1;
        if whole && envelope.ip_len > self.mtu && cannot_shrink(envelope) {
            self.ignored_count = self.ignored_count.saturating_add(1);
            if self.ignored.len() < Self::KEPT {
                self.ignored.push((Stamp::from(envelope), envelope.ip_len));
            }
        } else if envelope.ip_len > self.mtu / 2 && self.obeyed.is_none() {
            self.obeyed = Some(Stamp::from(envelope));
        }
    }
}

/// ESP of one end by size, in rounds: packets of about one size sent together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sizes {
    classes: [Class; Self::CLASSES],
    /// Rounds that may still be answered, oldest first.
    open: Vec<Round>,
    /// Rounds that were not answered and larger than all that were: the last ones.
    vanished: Vec<Vanished>,
}

/// A round that nobody answered, of datagrams larger than any that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vanished {
    /// Its first packet.
    pub at: Stamp,
    /// Octets of the datagram.
    pub size: u32,
    /// Whether it came in IP fragments.
    pub fragmented: bool,
}

/// Rounds of datagrams of about the same size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Class {
    /// Rounds after which the other end sent something.
    pub answered: u32,
    /// Rounds after which it did not.
    pub unanswered: u32,
    /// Octets of the largest datagram answered.
    pub largest_answered: u32,
    /// Octets of the smallest datagram not answered.
    pub smallest_unanswered: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Round {
    at: Stamp,
    last: Timestamp,
    size: u32,
    cannot_shrink: bool,
    fragmented: bool,
}

impl Sizes {
    /// Octets of one class.
    const STEP: u32 = 64;
    const CLASSES: usize = 25;
    /// Packets of one class closer than this are one round.
    const TOGETHER: Span = Span::from_millis(150);
    /// Answers come within this, or are not attributed.
    const PATIENCE: Span = Span::from_millis(700);
    /// Unanswered rounds whose frames are kept.
    const KEPT: usize = 24;
    /// Rounds open at a time.
    const OPEN: usize = 16;

    fn class(size: u32) -> usize {
        usize::try_from(size / Self::STEP).map_or(Self::CLASSES - 1, |n| n.min(Self::CLASSES - 1))
    }

    /// The sender sent a datagram.
    pub fn packet(&mut self, packet: &Logged) {
        self.sent(Round {
            at: packet.at,
            last: packet.at.time,
            size: packet.ip_len,
            cannot_shrink: packet.cannot_shrink,
            fragmented: packet.fragmented,
        });
    }

    fn sent(&mut self, new: Round) {
        self.expire(new.last);
        let class = Self::class(new.size);
        let together = self.open.iter_mut().rev().find(|round| {
            Self::class(round.size) == class && new.last - round.last < Self::TOGETHER
        });
        if let Some(round) = together {
            round.last = new.last;
        } else if self.open.len() < Self::OPEN {
            self.open.push(new);
        }
    }

    /// All open rounds count as answered: which one it was cannot be seen, and a false
    /// "unanswered" would be worse.
    ///
    /// The other end sent something.
    pub fn answer(&mut self, time: Timestamp) {
        self.expire(time);
        for round in self.open.drain(..) {
            if let Some(class) = self.classes.get_mut(Self::class(round.size)) {
                class.answered = class.answered.saturating_add(1);
                class.largest_answered = class.largest_answered.max(round.size);
            }
        }
        let largest = self.largest_answered();
        self.vanished.retain(|round| round.size > largest);
    }

    fn expire(&mut self, now: Timestamp) {
        let largest = self.largest_answered();
        let (classes, vanished) = (&mut self.classes, &mut self.vanished);
        self.open.retain(|round| {
            if now - round.last <= Self::PATIENCE {
                return true;
            }
            if let Some(class) = classes.get_mut(Self::class(round.size)) {
                class.unanswered = class.unanswered.saturating_add(1);
                if class.smallest_unanswered == 0 || round.size < class.smallest_unanswered {
                    class.smallest_unanswered = round.size;
                }
            }
            if round.size > largest && round.cannot_shrink {
                if vanished.len() >= Self::KEPT {
                    vanished.remove(0);
                }
                vanished.push(Vanished {
                    at: round.at,
                    size: round.size,
                    fragmented: round.fragmented,
                });
            }
            false
        });
    }

    /// Octets of the largest datagram answered.
    pub fn largest_answered(&self) -> u32 {
        self.classes
            .iter()
            .map(|class| class.largest_answered)
            .max()
            .unwrap_or_default()
    }

    /// Rounds answered, of datagrams up to `size` octets.
    pub fn answered_up_to(&self, size: u32) -> u32 {
        self.classes
            .iter()
            .take(Self::class(size) + 1)
            .map(|class| class.answered)
            .sum()
    }

    /// Rounds not answered, of datagrams of at most `size` octets.
    pub fn unanswered_up_to(&self, size: u32) -> u32 {
        self.classes
            .iter()
            .take(Self::class(size) + 1)
            .map(|class| class.unanswered)
            .sum()
    }

    /// Rounds that were never answered, larger than any that was, and not to be fragmented on
    /// the way. The last ones.
    pub fn vanished(&self) -> &[Vanished] {
        &self.vanished
    }

    /// Packets in between are not known: what is open is neither answered nor not.
    pub fn skip(&mut self) {
        self.open.clear();
    }

    /// The capture ends: what is still open is neither.
    pub fn end(&mut self, now: Timestamp) {
        self.expire(now);
    }
}

impl Pack for [Class; Sizes::CLASSES] {
    fn pack(&self, to: &mut Packer<'_>) {
        let used = || {
            self.iter()
                .enumerate()
                .filter(|(_, c)| **c != Class::default())
        };
        used().count().pack(to);
        for (place, class) in used() {
            place.pack(to);
            class.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let mut classes = [Class::default(); Sizes::CLASSES];
        for _ in 0..from.len()? {
            let slot = classes.get_mut(from.len()?)?;
            *slot = Pack::unpack(from)?;
        }
        Some(classes)
    }
}

packed! {
    Sizes { classes, open, vanished }
    Vanished { at, size, fragmented }
    Class { answered, unanswered, largest_answered, smallest_unanswered }
    Round { at, last, size, cannot_shrink, fragmented }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(ms: i64, size: u32) -> Round {
        Round {
            at: stamp(ms),
            last: stamp(ms).time,
            size,
            cannot_shrink: true,
            fragmented: false,
        }
    }

    fn stamp(ms: i64) -> Stamp {
        Stamp::new(0, ms.unsigned_abs(), Timestamp(ms * 1_000_000))
    }

    #[test]
    fn large_packets_that_nobody_answers_stand_out() {
        let mut sizes = Sizes::default();
        for ms in [0, 300, 600, 2600, 2900] {
            sizes.sent(round(ms, 164));
            sizes.answer(stamp(ms + 1).time);
            if ms == 600 {
                for large in [640, 950, 1270, 1590] {
                    sizes.sent(round(large, 1300));
                    sizes.sent(round(large + 1, 1300));
                }
            }
        }
        assert_eq!(sizes.largest_answered(), 164);
        assert_eq!(sizes.answered_up_to(164), 5);
        assert_eq!(sizes.unanswered_up_to(164), 0);
        assert_eq!(sizes.vanished().len(), 4);
        assert_eq!(
            sizes.vanished().first().map(|v| (v.at, v.size)),
            Some((stamp(640), 1300))
        );
    }

    #[test]
    fn one_answer_clears_the_size_and_all_below() {
        let mut sizes = Sizes::default();
        for ms in [0, 1000, 2000] {
            sizes.sent(round(ms, 1300));
        }
        sizes.sent(round(4000, 1400));
        sizes.answer(stamp(4100).time);
        assert!(sizes.vanished().is_empty());
        assert_eq!(sizes.largest_answered(), 1400);
    }
}
