//! The octets of headers, blocks and records, in little-endian order.

use super::{Counters, Description};
use crate::source::{Frame, LinkType};
use crate::time::Timestamp;

/// Longest comment or filter an option can hold, octets.
const LONGEST_OPTION: usize = 0xfffc;

/// Octets captured of a frame at most, as it stands in headers.
const SNAPLEN: u32 = 262_144;

fn word(out: &mut Vec<u8>, n: u32) {
    out.extend_from_slice(&n.to_le_bytes());
}

fn half(out: &mut Vec<u8>, n: u16) {
    out.extend_from_slice(&n.to_le_bytes());
}

fn length(octets: &[u8]) -> u32 {
    u32::try_from(octets.len()).unwrap_or(u32::MAX)
}

fn pad(out: &mut Vec<u8>, begin: usize) {
    let len = out.len() - begin;
    out.resize(begin + len.next_multiple_of(4), 0);
}

/// A block: type, length, what `body` writes, length.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    word(out, kind);
    word(out, 0);
    body(out);
    let total = u32::try_from(out.len() - begin + 4).unwrap_or(u32::MAX);
    word(out, total);
    if let Some(place) = out.get_mut(begin + 4..begin + 8) {
        place.copy_from_slice(&total.to_le_bytes());
    }
}

/// An option: code, length, value, padding.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    half(out, code);
    half(out, u16::try_from(value.len()).unwrap_or(u16::MAX));
    let begin = out.len();
    out.extend_from_slice(value);
    pad(out, begin);
}

/// Text cut to what an option can hold, between characters.
fn fitting(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_OPTION);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

fn end_of_options(out: &mut Vec<u8>) {
    word(out, 0);
}

/// Section header block, section length not known, with the writing program.
pub(super) fn section(out: &mut Vec<u8>) {
    block(out, 0x0a0d_0d0a, |out| {
        word(out, 0x1a2b_3c4d);
        half(out, 1);
        half(out, 0);
        out.extend_from_slice(&[0xff; 8]);
        let program = concat!("vpnscope ", env!("CARGO_PKG_VERSION"));
        option(out, 4, program.as_bytes());
        end_of_options(out);
    });
}

/// Interface description block, times in nanoseconds.
pub(super) fn interface(out: &mut Vec<u8>, link: LinkType, description: Option<&Description>) {
    block(out, 1, |out| {
        half(out, link.0);
        half(out, 0);
        word(out, description.map_or(0, |known| known.snaplen));
        if let Some(name) = description.and_then(|known| known.name.as_deref()) {
            option(out, 2, fitting(name).as_bytes());
        }
        option(out, 9, &[9]);
        if let Some(filter) = description.and_then(|known| known.filter.as_deref()) {
            option(out, 11, &[&[0], fitting(filter).as_bytes()].concat());
        }
        end_of_options(out);
    });
}

/// Times before 1970 cannot be written and become it.
fn time(out: &mut Vec<u8>, time: Timestamp) {
    let nanoseconds = u64::try_from(time.0).unwrap_or(0);
    word(out, (nanoseconds >> 32) as u32);
    word(out, (nanoseconds & 0xffff_ffff) as u32);
}

/// Enhanced packet block.
pub(super) fn packet(out: &mut Vec<u8>, frame: &Frame<'_>, interface: u32, comment: Option<&str>) {
    block(out, 6, |out| {
        word(out, interface);
        time(out, frame.time);
        word(out, length(frame.octets));
        word(out, frame.wire_len);
        let begin = out.len();
        out.extend_from_slice(frame.octets);
        pad(out, begin);
        if let Some(comment) = comment {
            option(out, 1, fitting(comment).as_bytes());
            end_of_options(out);
        }
    });
}

/// Interface statistics block.
pub(super) fn interface_statistics(out: &mut Vec<u8>, interface: u32, counters: &Counters) {
    block(out, 5, |out| {
        word(out, interface);
        time(out, counters.time);
        let known = [
            (4, counters.received),
            (5, counters.dropped_by_interface),
            (7, counters.dropped_by_system),
        ];
        for (code, count) in known {
            if let Some(count) = count {
                option(out, code, &count.to_le_bytes());
            }
        }
        end_of_options(out);
    });
}

/// File header of a classic pcap with nanoseconds.
pub(super) fn pcap_header(out: &mut Vec<u8>, link: LinkType) {
    word(out, 0xa1b2_3c4d);
    half(out, 2);
    half(out, 4);
    word(out, 0);
    word(out, 0);
    word(out, SNAPLEN);
    word(out, u32::from(link.0));
}

/// Record of a classic pcap. Times outside 1970..2106 become the nearest that can be written.
pub(super) fn record(out: &mut Vec<u8>, frame: &Frame<'_>) {
    let time = frame.time.0.max(0);
    let seconds = u32::try_from(time / 1_000_000_000).unwrap_or(u32::MAX);
    word(out, seconds);
    word(out, u32::try_from(time % 1_000_000_000).unwrap_or(0));
    word(out, length(frame.octets));
    word(out, frame.wire_len);
    out.extend_from_slice(frame.octets);
}
