//! What events borrow, in one row.

use super::kept::Streams;

/// Where something lies in its row. A load goes long before these are too small.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    at: u32,
    len: u32,
}

impl Part {
    /// Puts more behind what is in a row.
    #[inline]
    fn behind<T: Copy>(row: &mut Vec<T>, more: &[T]) -> Self {
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let (at, len) = (narrow(row.len()), narrow(more.len()));
        row.extend_from_slice(more);
        Self { at, len }
    }

    #[inline]
    fn of<T>(self, row: &[T]) -> &[T] {
        let rest = row.get(self.at as usize..).unwrap_or_default();
        rest.get(..self.len as usize).unwrap_or_default()
    }
}

/// Rows of what events borrow.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) octets: Vec<u8>,
    frames: Vec<u64>,
    pub(super) streams: Streams,
}

impl Rows {
    pub(super) fn clear(&mut self) {
        self.octets.clear();
        self.frames.clear();
        self.streams.clear();
    }

    #[inline]
    pub(super) fn keep(&mut self, octets: &[u8]) -> Part {
        Part::behind(&mut self.octets, octets)
    }

    pub(super) fn keep_frames(&mut self, frames: &[u64]) -> Part {
        Part::behind(&mut self.frames, frames)
    }

    #[inline]
    pub(super) fn octets(&self, part: Part) -> &[u8] {
        part.of(&self.octets)
    }

    pub(super) fn frames(&self, part: Part) -> &[u64] {
        part.of(&self.frames)
    }
}
