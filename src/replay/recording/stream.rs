//! Octets of a recorded TCP connection, put in order.

use std::collections::BTreeMap;

use crate::decap::Tcp;

/// One direction of a TCP connection.
#[derive(Default)]
pub(super) struct Stream {
    next: Option<u32>,
    waiting: BTreeMap<u32, Vec<u8>>,
}

impl Stream {
    /// Segments that may wait for one before them.
    const WAITING: usize = 256;

    /// The octets that are now in order.
    pub(super) fn take(&mut self, tcp: &Tcp<'_>) -> Vec<u8> {
        if tcp.has(Tcp::SYN) {
            self.next = Some(tcp.sequence.wrapping_add(1));
            self.waiting.clear();
            return Vec::new();
        }
        if tcp.payload.is_empty() {
            return Vec::new();
        }
        let mut next = *self.next.get_or_insert(tcp.sequence);
        if self.waiting.len() < Self::WAITING {
            self.waiting
                .entry(tcp.sequence)
                .or_insert_with(|| tcp.payload.to_vec());
        }
        let mut said = Vec::new();
        loop {
            let ready = self.waiting.iter().find_map(|(sequence, octets)| {
                let behind = next.wrapping_sub(*sequence);
                let len = u32::try_from(octets.len()).unwrap_or(u32::MAX);
                (behind < 0x8000_0000).then_some((*sequence, behind.min(len)))
            });
            let Some((sequence, known)) = ready else {
                break;
            };
            let octets = self.waiting.remove(&sequence).unwrap_or_default();
            let new = octets.get(known as usize..).unwrap_or_default();
            next = next.wrapping_add(u32::try_from(new.len()).unwrap_or_default());
            said.extend_from_slice(new);
        }
        self.next = Some(next);
        said
    }
}
