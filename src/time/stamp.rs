//! A frame and when it was captured.

use std::fmt;
use std::num::NonZeroU64;

use super::{Span, Timestamp};

/// A frame and when it was captured. In sixteen octets, even where there may be none: most of
/// what a session holds are stamps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// The capture in the upper 16 bits, the frame in the lower 48, and one more than that.
    place: NonZeroU64,
    /// When.
    pub time: Timestamp,
}

impl Stamp {
    /// How far the times of one exchange may run wrong: clocks, queues, merged captures.
    pub const JITTER: Span = Span::from_millis(20);

    /// The highest frame number that is told apart: no file of so many frames can be stored.
    const LAST_FRAME: u64 = (1 << 48) - 2;

    /// Frame `frame` (from 1; 0 where there is none) of capture `capture` (from 0).
    #[inline]
    pub const fn new(capture: u16, frame: u64, time: Timestamp) -> Self {
        let frame = if frame > Self::LAST_FRAME {
            Self::LAST_FRAME
        } else {
            frame
        };
        let [high, low] = capture.to_be_bytes();
        let capture = u64::from_be_bytes([high, low, 0, 0, 0, 0, 0, 0]);
        Self {
            place: NonZeroU64::MIN.saturating_add(capture | frame),
            time,
        }
    }

    /// Capture, from 0.
    #[inline]
    pub const fn capture(self) -> u16 {
        let [high, low, ..] = (self.place.get() - 1).to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    /// Frame number, from 1; 0 where it is of none.
    #[inline]
    pub const fn frame(self) -> u64 {
        (self.place.get() - 1) & ((1 << 48) - 1)
    }

    /// The same moment in another frame of the same capture.
    #[must_use]
    pub const fn in_frame(self, frame: u64) -> Self {
        Self::new(self.capture(), frame, self.time)
    }

    /// Whether this may have come after `other`, as far as times can be trusted.
    pub fn follows(self, other: Self) -> bool {
        self.time + Self::JITTER >= other.time
    }

    /// Whether it stands after another one of the same capture: by its time, and where clocks
    /// are too coarse to tell, by its frame.
    pub fn comes_after(self, other: Self) -> bool {
        (self.time, self.frame()) > (other.time, other.frame())
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (capture, frame) = (self.capture(), self.frame());
        write!(f, "frame {frame} of capture {capture} at {:?}", self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_two_words_and_says_what_it_was_told() {
        assert_eq!(size_of::<Option<Stamp>>(), 16);
        let time = Timestamp(7);
        for (capture, frame) in [(0, 0), (0, 1), (3, 1 << 47), (u16::MAX, 5), (u16::MAX, 0)] {
            let stamp = Stamp::new(capture, frame, time);
            assert_eq!((stamp.capture(), stamp.frame()), (capture, frame));
            assert_eq!(stamp.time, time);
        }
        let last = Stamp::new(u16::MAX, u64::MAX, time);
        assert_eq!((last.capture(), last.frame()), (u16::MAX, (1 << 48) - 2));
        assert_eq!(last.in_frame(9), Stamp::new(u16::MAX, 9, time));
    }

    #[test]
    fn they_stand_in_order_of_capture_frame_and_time() {
        let sorted = [(0, 1, 9), (0, 2, 3), (0, 2, 4), (1, 0, 0)]
            .map(|(capture, frame, time)| Stamp::new(capture, frame, Timestamp(time)));
        assert!(sorted.is_sorted());
    }
}
