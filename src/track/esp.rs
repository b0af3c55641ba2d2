//! ESP by SPI: one lookup and a few counters per packet.

use crate::decap::Flow;
use crate::time::{Span, Timestamp};
use crate::track::path::USUAL_MTU;
use crate::track::session::{Side, Stamp};

/// How ESP travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Over {
    /// IP protocol 50.
    Ip,
    /// In UDP (RFC 3948).
    Udp,
    /// In TCP (RFC 9329).
    Tcp,
}

impl Over {
    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// One ESP SA in one direction, as far as its headers show it.
// In this order: what each packet changes stands together, in as few cache lines as it takes.
#[repr(C)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EspFlow {
    /// Packets, duplicates included.
    pub packets: u64,
    /// Octets of ESP, header included.
    pub octets: u64,
    /// Which of the last 64 sequence numbers were seen.
    pub(super) window: u64,
    /// Highest sequence number seen.
    pub last_sequence: u32,
    /// Largest IP datagram seen in one piece, octets; offloaded ones left out.
    pub largest_ip: u32,
    /// Smallest and largest ESP length seen, octets.
    pub sizes: (u32, u32),
    /// Last packet.
    pub last: Stamp,
    /// The first packets: frame and ESP length, to show patterns. Bounded.
    pub head: Vec<(Stamp, u32)>,
    /// Packets cut by snaplen.
    pub truncated: u64,
    /// SPI.
    pub spi: u32,
    /// Who sends on it.
    pub from: Side,
    /// How it travels.
    pub over: Over,
    /// Addresses and ports, as first seen.
    pub flow: Flow,
    /// Changes of address or port, each with the frame that showed it. Bounded.
    pub moves: Vec<(Stamp, Flow)>,
    /// First packet.
    pub first: Stamp,
    /// Sequence number of the first packet seen.
    pub first_sequence: u32,
    /// Sequence numbers passed over and never seen.
    pub missing: u64,
    /// Copies that a span port made.
    pub copies: u64,
    /// The same sequence number again, later.
    pub duplicated: u64,
    /// Sequence numbers that came after a higher one.
    pub late: u64,
    /// How far the latest of these was behind the highest.
    pub latest_by: u32,
    /// Datagrams longer than a usual link takes: joined by the capturing host.
    pub offloaded: u64,
    /// Datagrams that came in IP fragments.
    pub fragmented: u64,
    /// The first and the last packets, to lay both directions side by side.
    pub log: Log,
    /// Packets that came more than a window of 64 behind the newest one.
    pub beyond_window: u64,
    /// Some of them.
    pub late_at: Vec<Stamp>,
}

/// One packet of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logged {
    /// Its frame and time.
    pub at: Stamp,
    /// Octets of its IP datagram.
    pub ip_len: u32,
    /// Whether a router has to drop it where it is too long.
    pub cannot_shrink: bool,
    /// Whether it came in IP fragments.
    pub fragmented: bool,
}

/// The first and the last packets of a flow. Bounded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    first: Vec<Logged>,
    last: Vec<Logged>,
    /// Where the oldest of `last` stands, once it is full.
    oldest: usize,
}

/// Room for the first one alone: most flows are short. Those that are not grow fast, up to the
/// `most` that are kept. Gives whether the list takes more than before.
#[inline]
pub(super) fn make_room<T>(list: &mut Vec<T>, most: usize) -> bool {
    let is_full = list.len() == list.capacity();
    if is_full {
        grow(list, most);
    }
    is_full
}

#[cold]
fn grow<T>(list: &mut Vec<T>, most: usize) {
    let len = list.len();
    list.reserve_exact((len * 8).clamp(1, most).saturating_sub(len));
}

impl Log {
    /// Packets kept of each end of the flow.
    pub const KEPT: usize = 128;

    /// Notes a packet. Gives whether that took memory.
    #[inline]
    pub fn note(&mut self, packet: Logged) -> bool {
        let list = if self.first.len() < Self::KEPT {
            &mut self.first
        } else if self.last.len() < Self::KEPT {
            &mut self.last
        } else {
            if let Some(slot) = self.last.get_mut(self.oldest) {
                *slot = packet;
                self.oldest = (self.oldest + 1) % Self::KEPT;
            }
            return false;
        };
        let grew = make_room(list, Self::KEPT);
        list.push(packet);
        grew
    }

    fn weight(&self) -> usize {
        (self.first.capacity() + self.last.capacity()) * size_of::<Logged>()
    }

    /// The first packets, in order.
    pub fn first(&self) -> &[Logged] {
        &self.first
    }

    /// The last packets that are not among the first, in order.
    pub fn last(&self) -> impl Iterator<Item = &Logged> {
        let (newer, older) = self.last.split_at_checked(self.oldest).unwrap_or_default();
        older.iter().chain(newer)
    }
}

/// Copies of a span port come within this time.
pub const COPY_SPAN: Span = Span::from_millis(20);

impl EspFlow {
    /// How many first packets are kept.
    pub const HEAD: usize = 24;
    /// How many moves are kept.
    pub const MOVES: usize = 16;

    /// A flow whose first packet has just been seen.
    pub fn new(spi: u32, from: Side, over: Over, flow: Flow, at: Stamp, sequence: u32) -> Self {
        Self {
            spi,
            from,
            over,
            flow,
            moves: Vec::new(),
            packets: 0,
            octets: 0,
            first: at,
            last: at,
            first_sequence: sequence,
            last_sequence: sequence,
            missing: 0,
            copies: 0,
            duplicated: 0,
            late: 0,
            latest_by: 0,
            sizes: (u32::MAX, 0),
            largest_ip: 0,
            head: Vec::new(),
            offloaded: 0,
            fragmented: 0,
            truncated: 0,
            log: Log::default(),
            beyond_window: 0,
            late_at: Vec::new(),
            window: 0,
        }
    }

    /// Counts one packet; gives `true` for a copy made by a span port.
    pub fn count(&mut self, at: Stamp, sequence: u32, len: u32, ip_len: u32) -> bool {
        self.counted(at, sequence, len, ip_len, &mut false)
    }

    /// The same; sets `grew` where that took memory.
    #[expect(clippy::inline_always, reason = "measured: a call costs as much")]
    #[inline(always)]
    pub(super) fn counted(
        &mut self,
        at: Stamp,
        sequence: u32,
        len: u32,
        ip_len: u32,
        grew: &mut bool,
    ) -> bool {
        if self.packets > 0 && sequence == self.last_sequence.wrapping_add(1) {
            // As nearly always.
            self.window = self.window << 1 | 1;
            self.last_sequence = sequence;
        } else if self.is_out_of_order(at, sequence, grew) {
            return true;
        }
        self.packets += 1;
        self.octets += u64::from(len);
        self.sizes = (self.sizes.0.min(len), self.sizes.1.max(len));
        if ip_len <= USUAL_MTU {
            self.largest_ip = self.largest_ip.max(ip_len);
        } else {
            self.offloaded += 1;
        }
        if self.head.len() < Self::HEAD {
            *grew |= make_room(&mut self.head, Self::HEAD);
            self.head.push((at, len));
        }
        if at.time >= self.last.time {
            self.last = at;
        }
        false
    }

    /// Notes a sequence number that is not the next one; gives `true` where the packet is a copy.
    #[cold]
    fn is_out_of_order(&mut self, at: Stamp, sequence: u32, grew: &mut bool) -> bool {
        if self.packets > 0 && self.is_copy(at.time, sequence) {
            self.copies += 1;
            return true;
        }
        let before = self.beyond_window;
        self.advance(sequence);
        if self.beyond_window > before && self.late_at.len() < Self::MOVES {
            *grew = true;
            self.late_at.push(at);
        }
        false
    }

    /// The same sequence number within moments is a copy: a sender never repeats one.
    fn is_copy(&self, time: Timestamp, sequence: u32) -> bool {
        let behind = self.last_sequence.wrapping_sub(sequence);
        behind < 64 && self.window >> behind & 1 == 1 && time - self.last.time <= COPY_SPAN
    }

    fn advance(&mut self, sequence: u32) {
        if self.packets == 0 {
            self.window = 1;
            return;
        }
        let ahead = sequence.wrapping_sub(self.last_sequence);
        if ahead == 0 {
            self.duplicated += 1;
        } else if ahead < 0x8000_0000 {
            self.missing += u64::from(ahead - 1);
            self.window = if ahead < 64 {
                self.window << ahead | 1
            } else {
                1
            };
            self.last_sequence = sequence;
        } else {
            self.fill(self.last_sequence.wrapping_sub(sequence));
        }
    }

    fn fill(&mut self, behind: u32) {
        if behind < 64 && self.window >> behind & 1 == 1 {
            self.duplicated += 1;
            return;
        }
        self.late += 1;
        self.latest_by = self.latest_by.max(behind);
        if behind < 64 {
            self.window |= 1 << behind;
        } else {
            self.beyond_window += 1;
        }
        self.missing = self.missing.saturating_sub(1);
    }

    /// Octets of memory that it takes.
    pub fn weight(&self) -> usize {
        size_of::<Self>()
            + self.head.capacity() * size_of::<(Stamp, u32)>()
            + self.moves.capacity() * size_of::<(Stamp, Flow)>()
            + self.late_at.capacity() * size_of::<Stamp>()
            + self.log.weight()
    }

    /// Notes that the flow now runs between other addresses or ports.
    pub fn moved(&mut self, at: Stamp, flow: Flow) {
        let current = self.moves.last().map_or(self.flow, |(_, flow)| *flow);
        if current != flow && self.moves.len() < Self::MOVES {
            self.moves.push((at, flow));
        }
    }

    /// Addresses and ports it used last.
    pub fn current(&self) -> Flow {
        self.moves.last().map_or(self.flow, |(_, flow)| *flow)
    }
}

packed! {
    EspFlow {
        spi,
        from,
        over,
        flow,
        moves,
        packets,
        octets,
        first,
        last,
        first_sequence,
        last_sequence,
        missing,
        copies,
        duplicated,
        late,
        latest_by,
        sizes,
        largest_ip,
        head,
        offloaded,
        fragmented,
        truncated,
        log,
        beyond_window,
        late_at,
        window,
    }
    Log { first, last, oldest }
    Logged { at, ip_len, cannot_shrink, fragmented }
}

packed_choice! { Over { 0 => Ip, 1 => Udp, 2 => Tcp } }

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn flow() -> EspFlow {
        let at = |n: u8| (IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)), 4500);
        let flow = Flow {
            source: at(1),
            destination: at(2),
        };
        EspFlow::new(0x1000, Side::Client, Over::Udp, flow, stamp(0), 1)
    }

    fn stamp(ms: i64) -> Stamp {
        Stamp::new(0, 1, Timestamp(ms * 1_000_000))
    }

    #[test]
    fn counts_gaps_late_packets_copies_and_replays() {
        let mut esp = flow();
        for (ms, sequence) in [(0, 1), (100, 2), (200, 5), (201, 5), (300, 4), (900, 5)] {
            esp.count(stamp(ms), sequence, 100, 120);
        }
        assert_eq!(esp.missing, 1, "3 was never seen, 4 came late");
        assert_eq!((esp.late, esp.latest_by), (1, 1));
        assert_eq!(esp.copies, 1);
        assert_eq!(esp.duplicated, 1);
        assert_eq!(esp.packets, 5);
    }
}
