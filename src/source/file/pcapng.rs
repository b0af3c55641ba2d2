//! pcapng: sections of blocks, with any number of interfaces each.
//!
//! Layout as in draft-ietf-opsawg-pcapng. Takes an [`Input`], gives the place of each packet's
//! octets, and notes what the other blocks tell: drops, filters, comments.

use super::input::{End, Input};
use super::{Annotations, Limits, Record, note};
use crate::source::Statistics;
use crate::time::Timestamp;

mod block;
mod interface;
mod packet;

use block::{Framing, Kind, Order};
use interface::{Drops, Interface};
use note::Walk;

/// Longest block believed.
const LONGEST: usize = 16 << 20;
/// Longest block believed where the place was lost before, or the end comes first.
const LONGEST_FOUND: usize = 1 << 20;
/// Octets that tell how a block is framed: type, length, and of a section its byte order.
const HEAD: usize = 12;

/// The state of the section being read.
#[derive(Debug)]
pub(super) struct PcapNg {
    order: Order,
    interfaces: Vec<Interface>,
    /// How many of them are kept.
    most_interfaces: usize,
    /// Interfaces of the sections before.
    interfaces_before: u32,
    drops: Drops,
    /// Time of the packet read last, for packets that carry none.
    latest: Timestamp,
    pub(super) annotations: Annotations,
}

impl PcapNg {
    /// How many interfaces of a section are kept.
    pub(super) fn keep_interfaces(&mut self, most: usize) {
        self.most_interfaces = most;
    }

    /// Reads the first section header, before which the input stands.
    pub(super) fn open(input: &mut Input) -> Result<Self, String> {
        let mut walker = Self {
            order: Order::default(),
            interfaces: Vec::new(),
            most_interfaces: Limits::default().interfaces,
            interfaces_before: 0,
            drops: Drops::default(),
            latest: Timestamp(0),
            annotations: Annotations::default(),
        };
        input.ensure(HEAD);
        let framing = Framing::read(input.ahead(), walker.order)
            .ok_or("a pcapng section header that is cut off or has no byte-order magic")?;
        if !framing.is_sane() {
            return Err(format!(
                "a pcapng section header of {} octets",
                framing.total
            ));
        }
        if !input.ensure(framing.total) {
            return Err("a pcapng section header that is cut off".into());
        }
        walker.section(input, framing)?;
        input.advance(framing.total);
        Ok(walker)
    }

    /// The next packet, whatever it looks like.
    #[inline(never)]
    pub(super) fn any(&mut self, input: &mut Input, statistics: &mut Statistics) -> Option<Record> {
        loop {
            if !input.ensure(HEAD) {
                note::ended(input, statistics, HEAD);
                return None;
            }
            let framing = Framing::read(input.ahead(), self.order);
            let Some(framing) = framing.filter(Framing::is_sane) else {
                self.recover(input, statistics, &fault(framing))?;
                continue;
            };
            if !input.ensure(framing.total) {
                self.beyond_the_end(input, statistics, framing)?;
                continue;
            }
            if !framing.closes(input.ahead()) && !self.believe(input, statistics, framing)? {
                continue;
            }
            let packet = match framing.kind {
                Kind::ENHANCED_PACKET => self.enhanced(input, statistics, framing),
                Kind::SECTION_HEADER => {
                    self.next_section(input, statistics, framing)?;
                    None
                }
                _ => self.other(input, statistics, framing),
            };
            input.advance(framing.total);
            if packet.is_some() {
                return packet;
            }
        }
    }

    /// Every other block.
    fn other(
        &mut self,
        input: &Input,
        statistics: &mut Statistics,
        framing: Framing,
    ) -> Option<Record> {
        match framing.kind {
            Kind::INTERFACE => self.interface(input, statistics, framing),
            Kind::SIMPLE_PACKET => return self.simple(input, statistics, framing),
            Kind::PACKET => return self.obsolete(input, statistics, framing),
            Kind::INTERFACE_STATISTICS => self.interface_statistics(input, statistics, framing),
            Kind::SECRETS => self.annotations.secrets += 1,
            Kind::NAME_RESOLUTION => {}
            _ => self.annotations.unknown_blocks += 1,
        }
        None
    }

    /// A section after the first. `None`: it cannot be read, and nothing after it.
    fn next_section(
        &mut self,
        input: &Input,
        statistics: &mut Statistics,
        framing: Framing,
    ) -> Option<()> {
        let section = self.section(input, framing);
        section
            .map_err(|what| note::problem(statistics, input.offset(), Walk::Ends, what))
            .ok()
    }

    /// Section header: byte-order magic 8..12, version 12..16, section length 16..24 (not
    /// used: the blocks tell it), options.
    fn section(&mut self, input: &Input, framing: Framing) -> Result<(), String> {
        let block = framing.block(input.ahead());
        let order = framing.order;
        let (Some(major), Some(minor)) = (order.half(block, 12), order.half(block, 14)) else {
            return Err(format!(
                "a pcapng section header of {} octets",
                framing.total
            ));
        };
        if major != 1 {
            return Err(format!("pcapng version {major}.{minor}, only 1.x is known"));
        }
        let known = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        self.interfaces_before = self.interfaces_before.saturating_add(known);
        self.interfaces.clear();
        self.drops.next_section();
        self.order = order;
        let comments = order.options(block::after(block, 24));
        self.annotations.comments += comments.filter(|o| o.0 == block::COMMENT).count() as u64;
        Ok(())
    }

    /// The two lengths of a block differ. Its own octets are believed where another block, or
    /// the end, follows; otherwise the next block is looked for. `None`: nothing can follow.
    #[cold]
    fn believe(
        &mut self,
        input: &mut Input,
        statistics: &mut Statistics,
        framing: Framing,
    ) -> Option<bool> {
        let what = format!(
            "a block announces {} octets, and another length at its end",
            framing.total
        );
        let followed = if input.ensure(framing.total + HEAD) {
            let next = input.ahead().get(framing.total..).unwrap_or_default();
            Framing::read(next, self.order).is_some_and(|next| next.is_sane() && next.is_known())
        } else {
            input.available() == framing.total
        };
        if followed {
            note::problem(statistics, input.offset(), Walk::GoesOn, what);
            return Some(true);
        }
        self.recover(input, statistics, &what)?;
        Some(false)
    }

    /// The input ends inside a block: it was cut off, or the length is wrong.
    #[cold]
    fn beyond_the_end(
        &mut self,
        input: &mut Input,
        statistics: &mut Statistics,
        framing: Framing,
    ) -> Option<()> {
        let usual = framing.is_known() && framing.total <= LONGEST_FOUND;
        if usual || input.end() != Some(&End::Clean) {
            note::ended(input, statistics, framing.total);
            return None;
        }
        let what = format!(
            "a block announces {} octets, {} are there",
            framing.total,
            input.available()
        );
        let from = input.offset();
        let found = self.find(input);
        let what = match found {
            Some(skipped) => format!("{what}; {skipped} octets skipped up to the next block"),
            None => what,
        };
        note::problem(statistics, from, Walk::GoesOn, what);
        found.map(drop)
    }

    /// The framing is broken: looks for the next block. `None`: nothing can follow.
    #[cold]
    fn recover(
        &mut self,
        input: &mut Input,
        statistics: &mut Statistics,
        what: &str,
    ) -> Option<()> {
        let from = input.offset();
        let found = self.find(input);
        let (walk, then) = match found {
            Some(skipped) => {
                let then = format!("{skipped} octets skipped up to the next block");
                (Walk::GoesOn, then)
            }
            None => (Walk::Ends, "no block was found after it".into()),
        };
        note::problem(statistics, from, walk, format!("{what}; {then}"));
        found.map(drop)
    }

    /// Steps on to the next place where a whole block of a known type stands, both of its
    /// lengths equal. Gives how many octets were skipped.
    fn find(&self, input: &mut Input) -> Option<u64> {
        let from = input.offset();
        loop {
            input.advance(1);
            if !input.ensure(HEAD) {
                return None;
            }
            let framing = Framing::read(input.ahead(), self.order)
                .filter(|f| f.is_known() && f.is_sane() && f.total <= LONGEST_FOUND);
            if let Some(framing) = framing
                && input.ensure(framing.total)
                && framing.closes(input.ahead())
            {
                return Some(input.offset() - from);
            }
        }
    }
}

#[cold]
fn fault(framing: Option<Framing>) -> String {
    match framing {
        None => "a section header without byte-order magic".into(),
        Some(Framing { kind, total, .. }) => {
            format!("a block of type {:#010x} announces {total} octets", kind.0)
        }
    }
}
