//! The three kinds of packet block.

use super::block::{self, Framing};
use super::{PcapNg, note};
use crate::source::Statistics;
use crate::source::file::input::Input;
use crate::source::file::{Annotations, Record};
use crate::time::Timestamp;
use note::Walk;

impl PcapNg {
    /// What nearly every block is, read without a detour: a well-formed enhanced packet in
    /// little-endian order, without options, already in the buffer. `None` says nothing.
    #[inline]
    pub(in crate::source::file) fn usual(&mut self, input: &mut Input) -> Option<Record> {
        if self.order.big_endian {
            return None;
        }
        let ahead = input.ready()?;
        let head = ahead.first_chunk::<28>()?;
        let word = |at: usize| head.get(at..)?.first_chunk().copied();
        if word(0)? != block::Kind::ENHANCED_PACKET.0.to_le_bytes() {
            return None;
        }
        let (total, captured) = (word(4)?, u32::from_le_bytes(word(20)?));
        let padded = (captured as usize).checked_next_multiple_of(4)?;
        let end = padded.checked_add(28)?;
        if ahead.get(end..end + 4) != Some(&total) || u32::from_le_bytes(total) as usize != end + 4
        {
            return None;
        }
        let id = u32::from_le_bytes(word(8)?);
        let interface = self.interfaces.get(id as usize)?;
        let ticks = u64::from(u32::from_le_bytes(word(12)?)) << 32
            | u64::from(u32::from_le_bytes(word(16)?));
        self.latest = interface.time(ticks);
        let mut record = Record {
            place: input.place() + 28,
            captured,
            wire_len: u32::from_le_bytes(word(24)?),
            time: self.latest,
            link: interface.link,
            interface: self.interfaces_before.wrapping_add(id),
        };
        if interface.fcs > 0 {
            record.cut_tail(interface.fcs);
        }
        input.advance(end + 4);
        Some(record)
    }

    /// Enhanced packet: interface 8..12, time 12..20, captured 20..24, original 24..28, octets,
    /// options.
    #[inline]
    pub(super) fn enhanced(
        &mut self,
        input: &Input,
        statistics: &mut Statistics,
        framing: Framing,
    ) -> Option<Record> {
        let block = framing.block(input.ahead());
        let Some(head) = block.first_chunk::<28>() else {
            return left_out(input, statistics, "a packet block that is too short");
        };
        let word = |at| self.order.word(head, at).unwrap_or(0);
        let (id, high, low, captured, original) = (word(8), word(12), word(16), word(20), word(24));
        let padded = (captured as usize).next_multiple_of(4);
        let Some(record) = self.record(id, (high, low), captured, original, block.len()) else {
            return self.wrong(input, statistics, id, captured);
        };
        if block.len() > 28 + padded {
            let options = block::after(block, 28 + padded);
            self.packet_options(options, statistics);
        }
        Some(record.at(input.place() + 28))
    }

    /// Obsolete packet: interface 8..10, drops 10..12, then as an enhanced packet.
    pub(super) fn obsolete(
        &mut self,
        input: &Input,
        statistics: &mut Statistics,
        framing: Framing,
    ) -> Option<Record> {
        let block = framing.block(input.ahead());
        let Some(head) = block.first_chunk::<28>() else {
            return left_out(input, statistics, "a packet block that is too short");
        };
        let word = |at| self.order.word(head, at).unwrap_or(0);
        let (high, low, captured, original) = (word(12), word(16), word(20), word(24));
        let id = u32::from(self.order.half(head, 8).unwrap_or(0));
        let drops = self.order.half(head, 10).unwrap_or(u16::MAX);
        let Some(record) = self.record(id, (high, low), captured, original, block.len()) else {
            return self.wrong(input, statistics, id, captured);
        };
        // All ones says that the writer does not know.
        if drops != u16::MAX {
            self.dropped_before_packet(u64::from(drops), statistics);
        }
        let options = block::after(block, 28 + (captured as usize).next_multiple_of(4));
        self.packet_options(options, statistics);
        Some(record.at(input.place() + 28))
    }

    /// Simple packet: original length 8..12, octets. It belongs to the first interface and has
    /// no time: that of the packet before it is given.
    pub(super) fn simple(
        &mut self,
        input: &Input,
        statistics: &mut Statistics,
        framing: Framing,
    ) -> Option<Record> {
        let block = framing.block(input.ahead());
        let Some(original) = self.order.word(block, 8) else {
            return left_out(input, statistics, "a packet block that is too short");
        };
        let Some(interface) = self.interfaces.first() else {
            return self.wrong(input, statistics, 0, 0);
        };
        let snaplen = match interface.snaplen {
            0 => u32::MAX,
            snaplen => snaplen,
        };
        let room = u32::try_from(block.len().saturating_sub(12)).unwrap_or(u32::MAX);
        let mut record = Record {
            place: input.place() + 12,
            captured: original.min(snaplen).min(room),
            wire_len: original,
            time: self.latest,
            link: interface.link,
            interface: self.interfaces_before,
        };
        record.cut_tail(interface.fcs);
        Some(record)
    }

    /// A packet whose interface is described and whose octets, from 28 on, lie in its block.
    #[inline]
    fn record(
        &mut self,
        id: u32,
        (high, low): (u32, u32),
        captured: u32,
        original: u32,
        block: usize,
    ) -> Option<Record> {
        let interface = self.interfaces.get(id as usize)?;
        if captured as usize > block.saturating_sub(28) {
            return None;
        }
        let time: Timestamp = interface.time(u64::from(high) << 32 | u64::from(low));
        let mut record = Record {
            place: 0,
            captured,
            wire_len: original,
            time,
            link: interface.link,
            interface: self.interfaces_before.saturating_add(id),
        };
        if interface.fcs > 0 {
            record.cut_tail(interface.fcs);
        }
        self.latest = time;
        Some(record)
    }

    #[cold]
    fn wrong(
        &self,
        input: &Input,
        statistics: &mut Statistics,
        id: u32,
        captured: u32,
    ) -> Option<Record> {
        let what = if self.interfaces.get(id as usize).is_none() {
            format!("a packet of interface {id}, which is not described, is left out")
        } else {
            format!("a packet of {captured} octets in a shorter block is left out")
        };
        left_out(input, statistics, what)
    }

    fn packet_options(&mut self, options: &[u8], statistics: &mut Statistics) {
        for (code, value) in self.order.options(options) {
            match code {
                block::COMMENT => {
                    self.annotations.comments += 1;
                    if value.starts_with(Annotations::SENT_BY_US.as_bytes()) {
                        self.annotations.keep_sent(statistics.frames + 1);
                    }
                }
                block::EPB_DROPCOUNT => {
                    if let Some(count) = self.order.long(value, 0) {
                        self.dropped_before_packet(count, statistics);
                    }
                }
                _ => {}
            }
        }
    }
}

#[cold]
fn left_out(input: &Input, statistics: &mut Statistics, what: impl Into<String>) -> Option<Record> {
    note::problem(statistics, input.offset(), Walk::GoesOn, what);
    None
}
