//! What stands in clear in an IKE message, kept small: sessions are many, and most are never
//! looked at again.

use crate::track::pack::{Pack, Packer, Unpacker, octets, octets_of};
use crate::track::rare::{Rare, Usual};

/// Which payload types a message carries in clear.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Types {
    /// Bit n: type n. All of `IKEv2` are here, and nearly all of `IKEv1`.
    low: u64,
    /// Those from 64 on, 64 in each.
    high: Rare<[u64; 3]>,
}

impl Usual for [u64; 3] {
    const USUAL: &'static Self = &[0; 3];
}

impl Types {
    /// Notes a type.
    pub fn insert(&mut self, payload_type: u8) {
        let bit = 1 << (payload_type & 63);
        match usize::from(payload_type >> 6).checked_sub(1) {
            None => self.low |= bit,
            Some(place) => {
                if let Some(word) = self.high.get_mut(place) {
                    *word |= bit;
                }
            }
        }
    }

    /// Whether it was noted.
    pub fn has(&self, payload_type: u8) -> bool {
        let word = match usize::from(payload_type >> 6).checked_sub(1) {
            None => self.low,
            Some(place) => self.high.get(place).copied().unwrap_or_default(),
        };
        word >> (payload_type & 63) & 1 == 1
    }
}

/// The notifies of a message that stand in clear, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notifies {
    /// Of each its type, how many octets of data are kept, and these.
    octets: Vec<u8>,
}

/// A notify payload in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notify<'a> {
    /// Type.
    pub notify_type: u16,
    /// The first octets of its data.
    pub data: &'a [u8],
}

impl Notify<'_> {
    /// How many octets of data are kept.
    pub const KEPT: usize = 64;

    /// The data as a 16-bit number, as `INVALID_KE_PAYLOAD` carries it.
    pub fn number(&self) -> Option<u16> {
        self.data
            .first_chunk::<2>()
            .map(|octets| u16::from_be_bytes(*octets))
    }
}

impl Notifies {
    /// Adds one.
    pub fn push(&mut self, notify_type: u16, data: &[u8]) {
        let data = data.get(..Notify::KEPT).unwrap_or(data);
        if self.octets.capacity() == 0 {
            // The usual first message: two hashes of 20 octets and some without data.
            self.octets.reserve(64);
        }
        let [high, low] = notify_type.to_be_bytes();
        let len = u8::try_from(data.len()).unwrap_or(u8::MAX);
        self.octets.extend_from_slice(&[high, low, len]);
        self.octets.extend_from_slice(data);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Notify<'_>> + Clone {
        let mut rest = self.octets.as_slice();
        std::iter::from_fn(move || {
            let (&[high, low, len], after) = rest.split_first_chunk()?;
            let (data, next) = after.split_at_checked(usize::from(len))?;
            rest = next;
            Some(Notify {
                notify_type: u16::from_be_bytes([high, low]),
                data,
            })
        })
    }
}

impl Pack for [u64; 3] {
    fn pack(&self, to: &mut Packer<'_>) {
        for word in self {
            word.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let mut words = [0; 3];
        for word in &mut words {
            *word = Pack::unpack(from)?;
        }
        Some(words)
    }
}

impl Pack for Types {
    fn pack(&self, to: &mut Packer<'_>) {
        let Self { low, high } = self;
        low.pack(to);
        high.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(Self {
            low: Pack::unpack(from)?,
            high: Pack::unpack(from)?,
        })
    }
}

impl Pack for Notifies {
    fn pack(&self, to: &mut Packer<'_>) {
        octets(&self.octets, to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let octets = octets_of(from)?.to_vec();
        Some(Self { octets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_a_set() {
        let mut types = Types::default();
        for payload_type in [0, 33, 63, 64, 132, 255] {
            assert!(!types.has(payload_type));
            types.insert(payload_type);
            assert!(types.has(payload_type));
        }
        assert_eq!((0..=255).filter(|t| types.has(*t)).count(), 6);
    }

    #[test]
    fn notifies_come_back_in_order_and_cut() {
        let mut notifies = Notifies::default();
        assert!(notifies.iter().next().is_none());
        notifies.push(17, &[0, 14]);
        notifies.push(16390, &[7; 100]);
        notifies.push(14, &[]);
        let all: Vec<Notify<'_>> = notifies.iter().collect();
        assert_eq!(all.len(), 3);
        assert_eq!((all[0].notify_type, all[0].number()), (17, Some(14)));
        assert_eq!(
            (all[1].notify_type, all[1].data.len()),
            (16390, Notify::KEPT)
        );
        assert_eq!((all[2].notify_type, all[2].number()), (14, None));
    }
}
