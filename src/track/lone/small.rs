//! A flow in two cache lines, and the first packets of some flows beside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::decap::{Envelope, Flow};
use crate::time::Span;
use crate::track::esp::{self, EspFlow, Over};
use crate::track::esp_index::Key;
use crate::track::esp_table::{EspSight, Packet, wide};
use crate::track::path::USUAL_MTU;
use crate::track::session::{Side, Stamp};

/// No flow follows; no list is kept.
pub(super) const NONE: u32 = u32::MAX;
/// Flows of which the first packets are kept, not the first one alone.
const HEADS: usize = 4096;
/// An address as it was before it became a number.
fn narrow(address: u128, v6: bool) -> IpAddr {
    match u32::try_from(address) {
        Ok(v4) if !v6 => IpAddr::V4(Ipv4Addr::from_bits(v4)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(address)),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
pub(super) const fn halves(address: u128) -> [u64; 2] {
    [(address >> 64) as u64, address as u64]
}

const fn whole([high, low]: [u64; 2]) -> u128 {
    (high as u128) << 64 | low as u128
}

/// A flow whose packets came in order, or with gaps: two cache lines, and what finds and counts
/// a packet stands in the first.
#[repr(C, align(128))]
#[derive(Debug, Clone, Copy)]
pub(in crate::track) struct Small {
    pub(super) destination: [u64; 2],
    pub(super) source: [u64; 2],
    pub(super) spi: u32,
    /// UDP ports, 0 for protocol 50.
    pub(super) ports: (u16, u16),
    last_sequence: u32,
    pub(super) packets: u32,
    window: u64,
    octets: u64,
    pub(super) last: Stamp,
    pub(super) first: Stamp,
    first_sequence: u32,
    /// Where its first packets stand.
    pub(super) head: u32,
    /// The next flow of the same session.
    pub(super) next: u32,
    truncated: u32,
    missing: u32,
    /// Smallest and largest ESP length, octets.
    sizes: (u16, u16),
    largest_ip: u16,
    first_len: u16,
    pub(super) v6: bool,
    udp: bool,
}

/// What a flow needs to know of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    at: Stamp,
    sequence: u32,
    len: u16,
    ip_len: u16,
    truncated: bool,
}

impl Seen {
    /// `None` where it takes more than a small record.
    pub(super) fn new(
        at: Stamp,
        sequence: u32,
        len: u32,
        ip_len: u32,
        truncated: bool,
    ) -> Option<Self> {
        if ip_len > USUAL_MTU {
            return None;
        }
        Some(Self {
            at,
            sequence,
            len: u16::try_from(len).ok()?,
            ip_len: u16::try_from(ip_len).ok()?,
            truncated,
        })
    }
}

impl Small {
    /// A flow that begins with this packet; `None` where a small record cannot hold it.
    pub(in crate::track) fn new(envelope: &Envelope, packet: Packet) -> Option<Self> {
        if envelope.fragments > 1 || packet.over == Over::Tcp {
            return None;
        }
        let seen = Seen::new(
            Stamp::from(envelope),
            packet.sequence,
            packet.len,
            envelope.ip_len,
            envelope.truncated,
        )?;
        Some(Self {
            destination: halves(wide(envelope.destination)),
            source: halves(wide(envelope.source)),
            spi: packet.spi,
            ports: (envelope.source_port, envelope.destination_port),
            last_sequence: packet.sequence,
            packets: 1,
            window: 1,
            octets: u64::from(seen.len),
            last: seen.at,
            first: seen.at,
            first_sequence: packet.sequence,
            head: NONE,
            next: NONE,
            truncated: u32::from(seen.truncated),
            missing: 0,
            sizes: (seen.len, seen.len),
            largest_ip: seen.ip_len,
            first_len: seen.len,
            v6: envelope.source.is_ipv6(),
            udp: packet.over == Over::Udp,
        })
    }

    /// What it is found by.
    pub(in crate::track) const fn key(&self) -> Key {
        Key {
            spi: self.spi,
            destination: whole(self.destination),
        }
    }

    pub(super) fn addresses(&self) -> (IpAddr, IpAddr) {
        let of = |address| narrow(whole(address), self.v6);
        (of(self.source), of(self.destination))
    }

    pub(super) fn flow(&self) -> Flow {
        let (source, destination) = self.addresses();
        Flow {
            source: (source, self.ports.0),
            destination: (destination, self.ports.1),
        }
    }

    pub(super) const fn over(&self) -> Over {
        if self.udp { Over::Udp } else { Over::Ip }
    }

    /// Counts a packet as [`Small::count`] does, where nothing is unusual about it.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "compared with the MTU before"
    )]
    #[inline]
    pub(super) fn is_next(
        &mut self,
        sight: &EspSight<'_>,
        silent: Span,
        heads: &mut Heads,
    ) -> bool {
        let plain = sight.sequence == self.last_sequence.wrapping_add(1)
            && self.packets < u32::MAX
            && sight.len.max(sight.ip_len) <= USUAL_MTU
            && !sight.truncated;
        if !plain {
            return false;
        }
        let len = sight.len as u16;
        self.window = self.window << 1 | 1;
        self.last_sequence = sight.sequence;
        self.packets += 1;
        self.octets += u64::from(len);
        self.sizes = (self.sizes.0.min(len), self.sizes.1.max(len));
        self.largest_ip = self.largest_ip.max(sight.ip_len as u16);
        if self.packets as usize <= EspFlow::HEAD && self.head != NONE {
            heads.push(self.head, sight.at, sight.len);
        }
        if silent >= Span::default() {
            self.last = sight.at;
        }
        true
    }

    #[inline(never)]
    pub(super) fn count_sight(&mut self, sight: &EspSight<'_>, heads: &mut Heads) -> bool {
        let (number, truncated) = (sight.sequence, sight.truncated);
        Seen::new(sight.at, number, sight.len, sight.ip_len, truncated)
            .is_some_and(|seen| self.count(&seen, heads))
    }

    /// Something of each half of the record: who asks for it has both where they are quick to reach.
    #[inline]
    pub(super) const fn touch(&self) -> u64 {
        self.octets ^ self.window ^ self.spi as u64
    }

    /// Counts a packet as [`EspFlow::count`] does. `false` where a small record cannot: nothing
    /// is counted then.
    #[inline]
    pub(super) fn count(&mut self, seen: &Seen, heads: &mut Heads) -> bool {
        let ahead = seen.sequence.wrapping_sub(self.last_sequence);
        if ahead == 1 {
            self.window = self.window << 1 | 1;
        } else if !self.is_gap(ahead) {
            return false;
        }
        if self.packets == u32::MAX || self.truncated == u32::MAX {
            return false;
        }
        self.last_sequence = seen.sequence;
        self.packets += 1;
        self.octets += u64::from(seen.len);
        self.truncated += u32::from(seen.truncated);
        self.sizes = (self.sizes.0.min(seen.len), self.sizes.1.max(seen.len));
        self.largest_ip = self.largest_ip.max(seen.ip_len);
        if self.head != NONE && self.packets as usize <= EspFlow::HEAD {
            heads.push(self.head, seen.at, u32::from(seen.len));
        }
        if seen.at.time >= self.last.time {
            self.last = seen.at;
        }
        true
    }

    /// Notes that sequence numbers are passed over, where that is all.
    #[cold]
    fn is_gap(&mut self, ahead: u32) -> bool {
        if ahead == 0 || ahead >= 0x8000_0000 {
            return false;
        }
        let Some(missing) = self.missing.checked_add(ahead - 1) else {
            return false;
        };
        self.missing = missing;
        self.window = if ahead < 64 {
            self.window << ahead | 1
        } else {
            1
        };
        true
    }

    /// The flow in full.
    pub(super) fn whole(&self, from: Side, head: Vec<(Stamp, u32)>) -> EspFlow {
        let over = self.over();
        let first = self.first;
        EspFlow {
            packets: u64::from(self.packets),
            octets: self.octets,
            window: self.window,
            last_sequence: self.last_sequence,
            largest_ip: u32::from(self.largest_ip),
            sizes: (u32::from(self.sizes.0), u32::from(self.sizes.1)),
            last: self.last,
            head: if head.is_empty() {
                vec![(first, u32::from(self.first_len))]
            } else {
                head
            },
            truncated: u64::from(self.truncated),
            missing: u64::from(self.missing),
            ..EspFlow::new(
                self.spi,
                from,
                over,
                self.flow(),
                first,
                self.first_sequence,
            )
        }
    }
}

/// The first packets of some flows.
#[derive(Debug, Default)]
pub(super) struct Heads {
    pub(super) lists: Vec<Vec<(Stamp, u32)>>,
    free: Vec<u32>,
}

impl Heads {
    /// A new list, where there is room for one.
    pub(super) fn begin(&mut self, first: &Small) -> u32 {
        let at = self.free.pop().or_else(|| {
            let at = u32::try_from(self.lists.len()).ok();
            at.filter(|_| self.lists.len() < HEADS)
                .inspect(|_| self.lists.push(Vec::new()))
        });
        let Some(at) = at else { return NONE };
        if let Some(list) = self.lists.get_mut(at as usize) {
            esp::make_room(list, EspFlow::HEAD);
            list.push((first.first, u32::from(first.first_len)));
        }
        at
    }

    #[inline]
    fn push(&mut self, at: u32, stamp: Stamp, len: u32) {
        if let Some(list) = self.lists.get_mut(at as usize) {
            esp::make_room(list, EspFlow::HEAD);
            list.push((stamp, len));
        }
    }

    pub(super) fn end(&mut self, at: u32) -> Vec<(Stamp, u32)> {
        let list = self.lists.get_mut(at as usize);
        list.map_or_else(Vec::new, |list| {
            self.free.push(at);
            std::mem::take(list)
        })
    }
}
