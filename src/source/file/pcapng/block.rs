//! How every block is framed: type, length, body with options, length again.

use super::LONGEST;

/// A block type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind(pub(super) u32);

impl Kind {
    pub(super) const INTERFACE: Self = Self(1);
    /// Obsolete.
    pub(super) const PACKET: Self = Self(2);
    pub(super) const SIMPLE_PACKET: Self = Self(3);
    pub(super) const NAME_RESOLUTION: Self = Self(4);
    pub(super) const INTERFACE_STATISTICS: Self = Self(5);
    pub(super) const ENHANCED_PACKET: Self = Self(6);
    /// Decryption secrets, such as a TLS key log.
    pub(super) const SECRETS: Self = Self(10);
    pub(super) const SECTION_HEADER: Self = Self(0x0a0d_0d0a);
}

/// Option `opt_comment` of every block.
pub(super) const COMMENT: u16 = 1;
/// Option `if_tsresol` of an interface description.
pub(super) const IF_TSRESOL: u16 = 9;
/// Option `if_filter` of an interface description.
pub(super) const IF_FILTER: u16 = 11;
/// Option `if_fcslen` of an interface description.
pub(super) const IF_FCSLEN: u16 = 13;
/// Option `if_tsoffset` of an interface description.
pub(super) const IF_TSOFFSET: u16 = 14;
/// Option `isb_ifdrop` of interface statistics.
pub(super) const ISB_IFDROP: u16 = 5;
/// Option `isb_osdrop` of interface statistics.
pub(super) const ISB_OSDROP: u16 = 7;
/// Option `epb_dropcount` of an enhanced packet.
pub(super) const EPB_DROPCOUNT: u16 = 4;

/// The byte order of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Order {
    pub(super) big_endian: bool,
}

impl Order {
    #[inline]
    pub(super) fn half(self, octets: &[u8], at: usize) -> Option<u16> {
        let octets = *octets.get(at..)?.first_chunk()?;
        Some(if self.big_endian {
            u16::from_be_bytes(octets)
        } else {
            u16::from_le_bytes(octets)
        })
    }

    #[inline]
    pub(super) fn word(self, octets: &[u8], at: usize) -> Option<u32> {
        let octets = *octets.get(at..)?.first_chunk()?;
        Some(if self.big_endian {
            u32::from_be_bytes(octets)
        } else {
            u32::from_le_bytes(octets)
        })
    }

    pub(super) fn long(self, octets: &[u8], at: usize) -> Option<u64> {
        let octets = *octets.get(at..)?.first_chunk()?;
        Some(if self.big_endian {
            u64::from_be_bytes(octets)
        } else {
            u64::from_le_bytes(octets)
        })
    }

    /// Code and value of each option, up to the end mark or a length that does not fit.
    pub(super) fn options(self, mut octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
        std::iter::from_fn(move || {
            let (code, len) = (self.half(octets, 0)?, self.half(octets, 2)?);
            if code == 0 {
                return None;
            }
            let value = octets.get(4..)?.get(..usize::from(len))?;
            let padded = 4 + usize::from(len).next_multiple_of(4);
            octets = octets.get(padded..).unwrap_or_default();
            Some((code, value))
        })
    }
}

/// What follows in a block from an offset on, such as its options.
pub(super) fn after(block: &[u8], at: usize) -> &[u8] {
    block.get(at..).unwrap_or_default()
}

/// Type and length of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing {
    pub(super) kind: Kind,
    /// Octets of the whole block, as its beginning announces.
    pub(super) total: usize,
    /// Byte order of the block; of a section header its own.
    pub(super) order: Order,
}

impl Framing {
    /// Reads the first twelve octets. `None` where they are missing, or where a section header
    /// has no byte-order magic.
    #[inline]
    pub(super) fn read(octets: &[u8], order: Order) -> Option<Self> {
        let head: &[u8; 12] = octets.first_chunk()?;
        // The same in both byte orders.
        let order = if head.starts_with(&Kind::SECTION_HEADER.0.to_be_bytes()) {
            match head {
                [.., 0x1a, 0x2b, 0x3c, 0x4d] => Order { big_endian: true },
                [.., 0x4d, 0x3c, 0x2b, 0x1a] => Order { big_endian: false },
                _ => return None,
            }
        } else {
            order
        };
        Some(Self {
            kind: Kind(order.word(head, 0)?),
            total: order.word(head, 4)? as usize,
            order,
        })
    }

    /// Whether the length can be one.
    #[inline]
    pub(super) fn is_sane(&self) -> bool {
        let least = if self.kind == Kind::SECTION_HEADER {
            28
        } else {
            12
        };
        self.total.is_multiple_of(4) && (least..=LONGEST).contains(&self.total)
    }

    /// Whether the type is one of those every reader knows.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.kind.0, 1..=6 | 10 | 0x0a0d_0d0a)
    }

    /// The octets of the block, without the length at its end.
    #[inline]
    pub(super) fn block<'a>(&self, ahead: &'a [u8]) -> &'a [u8] {
        ahead
            .get(..self.total.saturating_sub(4))
            .unwrap_or_default()
    }

    /// Whether the length at the end of the block is the one at its beginning.
    #[inline]
    pub(super) fn closes(&self, ahead: &[u8]) -> bool {
        let end = self.total.saturating_sub(4);
        self.order.word(ahead, end).map(|n| n as usize) == Some(self.total)
    }
}
