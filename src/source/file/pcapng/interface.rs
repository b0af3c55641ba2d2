//! What a section says of its interfaces: descriptions and statistics.

use super::block::{self, Framing, Order};
use super::{PcapNg, note};
use crate::source::file::input::Input;
use crate::source::{LinkType, Statistics};
use crate::time::{Span, Timestamp};
use note::Walk;

/// Link types listed.
const LINK_TYPES: usize = 256;
/// Longest time that a capture is believed to have gone on without a frame.
const LONGEST_SILENCE: Span = Span::from_secs(7 * 24 * 3600);
/// Octets of filter text kept.
const FILTER_TEXT: usize = 4096;

/// What is needed to read the packets of an interface.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interface {
    pub(super) link: LinkType,
    /// Octets captured of a frame at most; 0 means all.
    pub(super) snaplen: u32,
    /// Octets of frame check sequence at the end of each frame.
    pub(super) fcs: u32,
    unit: Unit,
    /// Added to every time, nanoseconds.
    offset: i64,
    /// Frames dropped by the interface, by the system.
    drops: (Option<u64>, Option<u64>),
}

/// How a count of time units becomes nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Nanoseconds a unit.
    Times(u64),
    /// Units a nanosecond.
    Per(u64),
    /// Units a second, as a power of two.
    Binary(u32),
}

impl Unit {
    /// From `if_tsresol`: the high bit chooses between powers of ten and of two.
    fn from_resolution(octet: u8) -> Self {
        let power = u32::from(octet & 0x7f);
        if octet & 0x80 != 0 {
            return Self::Binary(power);
        }
        match power {
            0..=9 => Self::Times(10_u64.pow(9 - power)),
            // Finer than any count can reach a nanosecond with: every time is 0.
            _ => Self::Per(10_u64.checked_pow(power - 9).unwrap_or(u64::MAX)),
        }
    }

    #[inline]
    fn nanoseconds(self, ticks: u64) -> i64 {
        let nanoseconds = match self {
            Self::Times(n) => ticks.saturating_mul(n),
            Self::Per(n) => ticks / n,
            Self::Binary(power) => {
                let nanoseconds = u128::from(ticks) * 1_000_000_000;
                u64::try_from(nanoseconds.checked_shr(power).unwrap_or(0)).unwrap_or(u64::MAX)
            }
        };
        i64::try_from(nanoseconds).unwrap_or(i64::MAX)
    }
}

impl Interface {
    fn new(link: LinkType, snaplen: u32) -> Self {
        Self {
            link,
            snaplen,
            fcs: 0,
            unit: Unit::Times(1000),
            offset: 0,
            drops: (None, None),
        }
    }

    /// When something happened that is `ticks` units after the epoch.
    #[inline]
    pub(super) fn time(&self, ticks: u64) -> Timestamp {
        Timestamp(self.unit.nanoseconds(ticks).saturating_add(self.offset))
    }

    fn option(&mut self, code: u16, value: &[u8], order: Order) {
        match (code, value) {
            (block::IF_TSRESOL, &[octet]) => self.unit = Unit::from_resolution(octet),
            (block::IF_FCSLEN, &[octets]) => self.fcs = u32::from(octets),
            (block::IF_TSOFFSET, _) => {
                let seconds = order.long(value, 0).map_or(0, u64::cast_signed);
                self.offset = seconds.saturating_mul(1_000_000_000);
            }
            _ => {}
        }
    }

    fn dropped(&self) -> u64 {
        let (interface, system) = self.drops;
        interface.unwrap_or(0).saturating_add(system.unwrap_or(0))
    }
}

/// Frames lost, as the two places that may tell it tell it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Drops {
    before: Option<u64>,
    /// Counted at single packets of this section.
    packets: Option<u64>,
    /// Counted by interface statistics of this section.
    interfaces: Option<u64>,
}

impl Drops {
    pub(super) fn next_section(&mut self) {
        *self = Self {
            before: self.total(),
            ..Self::default()
        };
    }

    /// Interface statistics cover what single packets tell.
    fn total(self) -> Option<u64> {
        match (self.before, self.interfaces.or(self.packets)) {
            (None, None) => None,
            (before, here) => Some(before.unwrap_or(0).saturating_add(here.unwrap_or(0))),
        }
    }
}

impl PcapNg {
    /// Interface description: link type 8..10, snap length 12..16, options.
    pub(super) fn interface(
        &mut self,
        input: &Input,
        statistics: &mut Statistics,
        framing: Framing,
    ) {
        let block = framing.block(input.ahead());
        let (link, snaplen) = (self.order.half(block, 8), self.order.word(block, 12));
        let (Some(link), Some(snaplen)) = (link, snaplen) else {
            let what = "an interface description that is too short";
            return note::problem(statistics, input.offset(), Walk::GoesOn, what);
        };
        if self.interfaces.len() >= self.most_interfaces {
            let most = self.most_interfaces;
            let what = format!("an interface beyond {most}: its frames are left out");
            return note::problem(statistics, input.offset(), Walk::GoesOn, what);
        }
        let mut interface = Interface::new(LinkType(link), snaplen);
        for (code, value) in self.order.options(block::after(block, 16)) {
            match code {
                block::COMMENT => self.annotations.comments += 1,
                block::IF_FILTER => keep_filter(statistics, value),
                _ => interface.option(code, value, self.order),
            }
        }
        let links = &mut statistics.link_types;
        if links.len() < LINK_TYPES && !links.contains(&interface.link) {
            links.push(interface.link);
        }
        self.interfaces.push(interface);
    }

    /// Interface statistics: interface 8..12, time 12..20, options.
    pub(super) fn interface_statistics(
        &mut self,
        input: &Input,
        statistics: &mut Statistics,
        framing: Framing,
    ) {
        let block = framing.block(input.ahead());
        let id = self.order.word(block, 8);
        let known = id.and_then(|id| self.interfaces.get_mut(id as usize));
        let Some(interface) = known else {
            let what = "statistics of an interface that is not described";
            return note::problem(statistics, input.offset(), Walk::GoesOn, what);
        };
        let before = interface.dropped();
        let half = |at| Some(u64::from(self.order.word(block, at)?));
        if let (Some(high), Some(low)) = (half(12), half(16)) {
            ended(statistics, interface.time(high << 32 | low));
        }
        for (code, value) in self.order.options(block::after(block, 20)) {
            match code {
                block::ISB_IFDROP => interface.drops.0 = self.order.long(value, 0),
                block::ISB_OSDROP => interface.drops.1 = self.order.long(value, 0),
                block::COMMENT => self.annotations.comments += 1,
                _ => {}
            }
        }
        if interface.drops == (None, None) {
            return;
        }
        // The counters run from the start of the capture: a later block replaces an earlier.
        let others = self.drops.interfaces.unwrap_or(0).saturating_sub(before);
        self.drops.interfaces = Some(others.saturating_add(interface.dropped()));
        statistics.dropped = self.drops.total();
    }

    /// A packet says how many were lost since the one before it.
    pub(super) fn dropped_before_packet(&mut self, count: u64, statistics: &mut Statistics) {
        let packets = self.drops.packets.unwrap_or(0).saturating_add(count);
        self.drops.packets = Some(packets);
        statistics.dropped = self.drops.total();
    }
}

/// Statistics are read while a capture goes on. One that claims to have gone on for longer than
/// anybody waits has another unit of time than it says.
fn ended(statistics: &mut Statistics, time: Timestamp) {
    let believed = statistics
        .last
        .is_some_and(|last| time > last && time.since(last) < LONGEST_SILENCE);
    if believed {
        statistics.ended = statistics.ended.max(Some(time));
    }
}

/// `if_filter`: an octet that says what follows, 0 for text as libpcap takes it.
fn keep_filter(statistics: &mut Statistics, value: &[u8]) {
    let Some((0, text)) = value.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    let text = text.trim_end_matches('\0').trim();
    let kept = statistics.filter.get_or_insert_default();
    let is_new = kept.split("; ").all(|filter| filter != text);
    if text.is_empty() || !is_new || kept.len() + text.len() > FILTER_TEXT {
        if kept.is_empty() {
            statistics.filter = None;
        }
        return;
    }
    if !kept.is_empty() {
        kept.push_str("; ");
    }
    kept.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolutions_of_ten_and_of_two_give_nanoseconds() {
        let time = |resolution, ticks| Unit::from_resolution(resolution).nanoseconds(ticks);
        assert_eq!(time(0, 3), 3_000_000_000);
        assert_eq!(time(6, 3), 3000);
        assert_eq!(time(9, 3), 3);
        assert_eq!(time(12, 3999), 3);
        assert_eq!(time(28, u64::MAX), 1);
        assert_eq!(time(0x7f, u64::MAX), 1, "bounded divisor");
        assert_eq!(time(0x80, 2), 2_000_000_000);
        assert_eq!(time(0x8a, 1536), 1_500_000_000);
        assert_eq!(time(0xff, u64::MAX), 0);
        assert_eq!(time(0x80 | 32, 1 << 31), 500_000_000);
        assert_eq!(time(0, u64::MAX), i64::MAX);
    }
}
