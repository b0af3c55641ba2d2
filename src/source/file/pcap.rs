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
        Some(Self {
            big_endian,
            unit,
            record_header,
            may_be_swapped: version.0 == 2 && version.1 < 4,
            link: LinkType((link & 0xffff) as u16),
            fcs,
            version,
            seconds: 0,
        })
    }

    #[inline]
    fn head(&self, octets: &[u8]) -> Option<Head> {
        let &[
            s0,
            s1,
            s2,
            s3,
            f0,
            f1,
            f2,
            f3,
            c0,
            c1,
            c2,
            c3,
            o0,
            o1,
            o2,
            o3,
        ] = octets.first_chunk::<16>()?;
        let of = |octets| number(octets, self.big_endian);
        let mut head = Head {
            seconds: of([s0, s1, s2, s3]),
            fraction: of([f0, f1, f2, f3]),
            captured: of([c0, c1, c2, c3]),
            original: of([o0, o1, o2, o3]),
        };
        if self.may_be_swapped && head.captured > head.original {
            std::mem::swap(&mut head.captured, &mut head.original);
        }
        Some(head)
    }

    /// The next record.
    #[inline]
    pub(super) fn next(
        &mut self,
        input: &mut Input,
        statistics: &mut Statistics,
    ) -> Option<Record> {
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

    #[inline]
    fn record(&mut self, input: &mut Input, head: Head) -> Record {
        let place = input.place() + self.record_header;
        input.advance(self.record_header + head.captured as usize);
        self.seconds = head.seconds;
        let nanoseconds = i64::from(head.fraction) * i64::from(self.unit);
        let mut record = Record {
            place,
            captured: head.captured,
            wire_len: head.original,
            time: Timestamp(i64::from(head.seconds) * 1_000_000_000 + nanoseconds),
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
fn number(octets: [u8; 4], big_endian: bool) -> u32 {
    if big_endian {
        u32::from_be_bytes(octets)
    } else {
        u32::from_le_bytes(octets)
    }
}
