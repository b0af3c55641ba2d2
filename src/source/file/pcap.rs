//! Classic pcap: one header, then records of one link type.
//!
//! Layout as in draft-ietf-opsawg-pcap. Takes an [`Input`], gives the place of each record's
//! octets. Both byte orders, micro- and nanoseconds, and the older form with a longer record
//! header ("modified" pcap).

use super::input::Input;
use super::note::Walk;
use super::{Record, note};
use crate::source::{LinkType, Statistics};
use crate::time::Timestamp;

/// Octets of the file header.
pub(super) const HEADER: usize = 24;
/// Longest record believed, as in libpcap.
const LONGEST: usize = 262_144;
/// Records in a row that must look right before a place counts as found again.
const IN_A_ROW: usize = 3;
/// How far the time of a record found again may be from the latest one, seconds.
const NEARBY: u32 = 86_400;

/// The file header, and with it all that is needed to read records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pcap {
    /// Numbers are big-endian.
    big_endian: bool,
    /// In the form that nearly all writers use, see `usual`.
    is_usual: bool,
    /// Nanoseconds in a unit of the fraction: 1 or 1000.
    unit: u32,
    /// Octets of a record header: 16, or 24 in modified pcap.
    record_header: usize,
    /// Before version 2.4 the two lengths may stand the other way round.
    may_be_swapped: bool,
    /// Link type, the low sixteen bits of the last header field.
    pub(super) link: LinkType,
    /// Octets of frame check sequence at the end of each frame.
    fcs: u32,
    /// Major and minor version.
    pub(super) version: (u16, u16),
    /// Seconds of the record read last, for judging what is found after garbage.
    seconds: u32,
}

/// A record header in numbers.
#[derive(Debug, Clone, Copy)]
struct Head {
    seconds: u32,
    fraction: u32,
    captured: u32,
    original: u32,
}

impl Pcap {
    /// Whether four octets are the magic number of a pcap, and how it is to be read:
    /// big-endian, nanoseconds in a unit, octets of a record header.
    pub(super) fn magic(octets: [u8; 4]) -> Option<(bool, u32, usize)> {
        Some(match octets {
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, 1000, 16),
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, 1000, 16),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, 1, 16),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, 1, 16),
            [0xa1, 0xb2, 0xcd, 0x34] => (true, 1000, 24),
            [0x34, 0xcd, 0xb2, 0xa1] => (false, 1000, 24),
            _ => return None,
        })
    }

    /// Reads the file header. Snap length, time zone and accuracy (octets 8..20) are not used.
    pub(super) fn parse(header: &[u8; HEADER]) -> Option<Self> {
        let [
            m0,
            m1,
            m2,
            m3,
            major0,
            major1,
            minor0,
            minor1,
            ..,
            l0,
            l1,
            l2,
            l3,
        ] = *header;
        let (big_endian, unit, record_header) = Self::magic([m0, m1, m2, m3])?;
        let u16_of = |octets| {
            if big_endian {
                u16::from_be_bytes(octets)
            } else {
                u16::from_le_bytes(octets)
            }
        };
        let version = (u16_of([major0, major1]), u16_of([minor0, minor1]));
        let link = number([l0, l1, l2, l3], big_endian);
        // Bit 26 says that bits 28..31 count the frame check sequence in pairs of octets.
        let fcs = if link & 0x0400_0000 == 0 {
            0
        } else {
            (link >> 28) * 2
        };
        let may_be_swapped = version.0 == 2 && version.1 < 4;
        Some(Self {
            big_endian,
            is_usual: !big_endian && !may_be_swapped && record_header == 16 && fcs == 0,
            unit,
            record_header,
            may_be_swapped,
            link: LinkType((link & 0xffff) as u16),
            fcs,
            version,
            seconds: 0,
        })
    }

    fn head(&self, octets: &[u8]) -> Option<Head> {
        let octets = octets.first_chunk::<16>()?;
        let word = |at: usize| {
            let octets = octets.get(at..)?.first_chunk()?;
            Some(number(*octets, self.big_endian))
        };
        let mut head = Head {
            seconds: word(0)?,
            fraction: word(4)?,
            captured: word(8)?,
            original: word(12)?,
        };
        if self.may_be_swapped && head.captured > head.original {
            std::mem::swap(&mut head.captured, &mut head.original);
        }
        Some(head)
    }

    /// What nearly every record is, read without a detour: little-endian, with a header of
    /// sixteen octets, already in the buffer. `None` says nothing.
    #[inline]
    pub(super) fn usual(&mut self, input: &mut Input) -> Option<Record> {
        if !self.is_usual {
            return None;
        }
        let ahead = input.ready()?;
        let head = ahead.first_chunk::<16>()?;
        let word = |at: usize| Some(u32::from_le_bytes(*head.get(at..)?.first_chunk()?));
        let captured = word(8)?;
        if captured as usize > LONGEST || 16 + captured as usize > ahead.len() {
            return None;
        }
        self.seconds = word(0)?;
        let time = time(self.seconds, word(4)?, self.unit);
        let record = Record {
            place: input.place() + 16,
            captured,
            wire_len: word(12)?,
            time,
            link: self.link,
            interface: 0,
        };
        input.advance(16 + captured as usize);
        Some(record)
    }

    /// The next record, whatever it looks like.
    #[inline(never)]
    pub(super) fn any(&mut self, input: &mut Input, statistics: &mut Statistics) -> Option<Record> {
        loop {
            if !input.ensure(self.record_header) {
                note::ended(input, statistics, self.record_header);
                return None;
            }
            let head = self.head(input.ahead())?;
            let captured = head.captured as usize;
            if captured > LONGEST {
                if self.recover(input, statistics, captured) {
                    continue;
                }
                return None;
            }
            if !input.ensure(self.record_header + captured) {
                note::ended(input, statistics, self.record_header + captured);
                return None;
            }
            return Some(self.record(input, head));
        }
    }

    fn record(&mut self, input: &mut Input, head: Head) -> Record {
        let place = input.place() + self.record_header;
        input.advance(self.record_header + head.captured as usize);
        self.seconds = head.seconds;
        let mut record = Record {
            place,
            captured: head.captured,
            wire_len: head.original,
            time: time(head.seconds, head.fraction, self.unit),
            link: self.link,
            interface: 0,
        };
        if self.fcs > 0 {
            record.cut_tail(self.fcs);
        }
        record
    }

    /// After a length nobody believes: looks for the next place from which records follow.
    #[cold]
    fn recover(&self, input: &mut Input, statistics: &mut Statistics, announced: usize) -> bool {
        let from = input.offset();
        let what = format!("a record announces {announced} octets, more than {LONGEST}");
        input.advance(1);
        while input.ensure(self.record_header) {
            if self.records_follow(input) {
                let skipped = input.offset() - from;
                let what = format!("{what}; {skipped} octets skipped up to the next record");
                note::problem(statistics, from, Walk::GoesOn, what);
                return true;
            }
            input.advance(1);
        }
        let what = format!("{what}; no record was found after it");
        note::problem(statistics, from, Walk::Ends, what);
        false
    }

    /// Whether records that look right stand one after the other here, or one up to the end.
    fn records_follow(&self, input: &mut Input) -> bool {
        let mut at = 0;
        for read in 0..IN_A_ROW {
            if !input.ensure(at + self.record_header) {
                return read > 0 && input.available() == at;
            }
            let head = input.ahead().get(at..).and_then(|octets| self.head(octets));
            let Some(head) = head.filter(|head| self.looks_right(head)) else {
                return false;
            };
            at += self.record_header + head.captured as usize;
        }
        true
    }

    fn looks_right(&self, head: &Head) -> bool {
        let nearby = self.seconds == 0 || head.seconds.abs_diff(self.seconds) <= NEARBY;
        (1..=LONGEST).contains(&(head.captured as usize))
            && (head.captured..=0x00ff_ffff).contains(&head.original)
            && u64::from(head.fraction) * u64::from(self.unit) < 1_000_000_000
            && nearby
    }
}

#[inline]
fn time(seconds: u32, fraction: u32, unit: u32) -> Timestamp {
    Timestamp(i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * i64::from(unit))
}

fn number(octets: [u8; 4], big_endian: bool) -> u32 {
    if big_endian {
        u32::from_be_bytes(octets)
    } else {
        u32::from_le_bytes(octets)
    }
}
