//! The octets that are still to be read, with their place in the frame and their length on
//! the wire.

use super::Stop;

/// What is left of a frame. `octets` may be shorter than `wire` where snaplen cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest<'a> {
    /// What was captured of it.
    pub(super) octets: &'a [u8],
    /// Offset of `octets` in the frame.
    pub(super) at: usize,
    /// How long it was on the wire, never less than `octets`.
    pub(super) wire: usize,
}

impl<'a> Rest<'a> {
    pub(super) fn new(octets: &'a [u8], wire: usize) -> Self {
        Self {
            octets,
            at: 0,
            wire: wire.max(octets.len()),
        }
    }

    /// What follows the first `n` octets, if that many were captured.
    pub(super) fn skip(self, n: usize) -> Option<Self> {
        Some(Self {
            octets: self.octets.get(n..)?,
            at: self.at + n,
            wire: self.wire - n,
        })
    }

    /// As [`Rest::skip`], and nothing is left where the capture ends before.
    pub(super) fn skip_or_end(self, n: usize) -> Self {
        let skipped = n.min(self.octets.len());
        Self {
            octets: self.octets.get(n..).unwrap_or_default(),
            at: self.at + skipped,
            wire: self.wire.saturating_sub(n),
        }
    }

    /// The first `len` octets, as a header declares them. What is beyond is padding, or a
    /// trailer; what is missing was cut.
    pub(super) fn declared(self, len: usize) -> Self {
        Self {
            octets: self.octets.get(..len).unwrap_or(self.octets),
            at: self.at,
            wire: len,
        }
    }

    /// The first `N` octets.
    pub(super) fn head<const N: usize>(self) -> Option<&'a [u8; N]> {
        self.octets.first_chunk()
    }

    /// A 16-bit number in network byte order at `offset`.
    pub(super) fn be16(self, offset: usize) -> Option<u16> {
        let octets: &[u8; 2] = self.octets.get(offset..)?.first_chunk()?;
        Some(u16::from_be_bytes(*octets))
    }

    /// A 32-bit number in network byte order at `offset`.
    pub(super) fn be32(self, offset: usize) -> Option<u32> {
        let octets: &[u8; 4] = self.octets.get(offset..)?.first_chunk()?;
        Some(u32::from_be_bytes(*octets))
    }

    /// The octet at `offset`.
    pub(super) fn u8(self, offset: usize) -> Option<u8> {
        self.octets.get(offset).copied()
    }

    /// Whether the capture holds less than the headers declare.
    pub(super) fn is_cut(self) -> bool {
        self.octets.len() < self.wire
    }

    /// Length on the wire.
    pub(super) fn wire_len(self) -> u32 {
        u32::try_from(self.wire).unwrap_or(u32::MAX)
    }

    /// A stop at `offset` octets from here.
    pub(super) fn stop(self, layer: &'static str, offset: usize, what: &'static str) -> Stop {
        Stop {
            layer,
            offset: self.at + offset.min(self.octets.len()),
            what,
        }
    }

    /// The stop for a header that is not there whole: cut by the capture, or never sent so.
    pub(super) fn short(self, layer: &'static str) -> Stop {
        let what = if self.is_cut() {
            "the capture ends inside the header"
        } else {
            "too short for the header"
        };
        self.stop(layer, self.octets.len(), what)
    }
}
