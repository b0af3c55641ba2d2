//! Whether a file goes on where the one before it stopped: slices of one capture, as rings give.

use crate::source::{LinkType, Statistics};
use crate::time::{Span, Timestamp};

/// Where the last file stopped.
#[derive(Debug, Default)]
pub(super) struct Seam {
    links: Vec<LinkType>,
    /// Of its first and its last frame.
    span: Option<(Timestamp, Timestamp)>,
}

impl Seam {
    /// Slices of a ring follow each other closely, with the same link type.
    const GAP: Span = Span::from_secs(10);
    /// Frames of several queues or interfaces stand a little out of order at the seam, too: this
    /// much, and this part of the slice before it. Two points that saw the same have most of
    /// their time in common.
    const OVERLAP: Span = Span::from_millis(20);
    const PART: i64 = 100;

    /// Whether a file that begins with such a frame goes on there.
    pub(super) fn goes_on(&self, time: Timestamp, link: LinkType) -> bool {
        self.links.contains(&link)
            && self.span.is_some_and(|(first, last)| {
                let early = last - time;
                time - last <= Self::GAP
                    && early <= Self::OVERLAP
                    && early.0.saturating_mul(Self::PART) <= (last - first).0
            })
    }

    /// A file ended.
    pub(super) fn ended(&mut self, statistics: &Statistics) {
        self.span = statistics.first.zip(statistics.last);
        self.links.clone_from(&statistics.link_types);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Format;

    #[test]
    fn slices_follow_closely_and_points_overlap() {
        let at = |millis: i64| Timestamp(millis * 1_000_000);
        let mut statistics = Statistics::new(String::from("one"), Format::Pcap);
        statistics.link_types.push(LinkType(1));
        (statistics.first, statistics.last) = (Some(at(0)), Some(at(60_000)));
        let mut seam = Seam::default();
        assert!(!seam.goes_on(at(60_001), LinkType(1)), "nothing before it");
        seam.ended(&statistics);
        for (millis, goes_on) in [
            (60_000, true),
            (70_000, true),
            (70_001, false),
            (59_980, true),
            (59_979, false),
            (1, false),
        ] {
            assert_eq!(seam.goes_on(at(millis), LinkType(1)), goes_on, "{millis}");
            assert!(!seam.goes_on(at(millis), LinkType(101)));
        }
        // Two points that saw one handshake of ten milliseconds.
        statistics.last = Some(at(10));
        seam.ended(&statistics);
        assert!(!seam.goes_on(at(1), LinkType(1)));
    }
}
