//! The whole walk, measured beside the least that any analyser has to do: reading the record
//! headers and touching the link, IP and transport headers by hand. Both run over the same
//! octets in the same run; the ratio is what counts, on a machine that others use too.
#![allow(
    clippy::pedantic,
    clippy::disallowed_methods,
    irrefutable_let_patterns,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    unreachable_pub,
    dead_code,
    clippy::panic,
    reason = "a bench: it owns a clock and prints"
)]

mod traffic;

use std::hint::black_box;
use std::io::Cursor;
use std::time::Instant;

use traffic::{Mix, pcap, tunnels};
use vpnscope::assemble::ip;
use vpnscope::desk::Desk;
use vpnscope::source::FrameSource;
use vpnscope::source::file::FileSource;
use vpnscope::track::{self, Change};
use vpnscope::walk::Walk;

/// Frames of one round.
const FRAMES: usize = 100_000;

/// The least: record headers, then Ethernet, IPv4, and the class by protocol and port.
fn limit(file: &[u8]) -> u64 {
    let mut classes = 0u64;
    let mut rest = &file[24..];
    while let Some((header, after)) = rest.split_first_chunk::<16>() {
        let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let Some((frame, next)) = after.split_at_checked(len) else {
            break;
        };
        rest = next;
        if frame.len() < 38 || frame[12..14] != [8, 0] {
            continue;
        }
        let ports = u32::from_be_bytes([frame[34], frame[35], frame[36], frame[37]]);
        let has = |port| ports & 0xffff == port || ports >> 16 == port;
        classes += match frame[23] {
            50 => 1,
            17 if has(4500) => 2,
            17 if has(500) => 3,
            _ => 0,
        };
    }
    classes
}

/// Everything: frames to verdicts.
fn walk(file: &[u8]) -> u64 {
    let mut source = FileSource::new("bench", Cursor::new(file.to_vec()), 0).expect("a capture");
    let mut walk = Walk::new(ip::Config::default(), track::Config::default());
    let mut desk = Desk::default();
    let mut last = Vec::new();
    while let Some(frame) = source.next_frame() {
        walk.frame(&frame);
        while let Some(change) = walk.poll() {
            if let Change::Closed(session) = change {
                black_box(desk.close(session));
            }
        }
    }
    walk.finish();
    while let Some(change) = walk.poll() {
        if let Change::Closed(session) = change {
            last.push(session);
        }
    }
    black_box(desk.close_all(last));
    walk.counters().frames
}

/// Frames to sessions, none of which is built.
fn pass(file: &[u8]) -> u64 {
    let mut source = FileSource::new("bench", Cursor::new(file.to_vec()), 0).expect("a capture");
    let mut walk = Walk::new(ip::Config::default(), track::Config::default());
    while let Some(frame) = source.next_frame() {
        walk.frame(&frame);
    }
    walk.finish_each(&mut |last| {
        black_box(&last);
    });
    walk.counters().frames
}

/// What a packet costs where its SA is one of a thousand, and where it is one of a million.
fn many_sas(rounds: usize) {
    const PACKETS: usize = 4_000_000;
    let sizes = [1_000, 1_000_000];
    let files = sizes.map(|sas| tunnels(sas, PACKETS));
    let mut rounds: Vec<[f64; 2]> = (0..rounds)
        .map(|_| files.each_ref().map(|file| time(|| pass(file))))
        .collect();
    rounds.sort_by(|a, b| (a[1] / a[0]).total_cmp(&(b[1] / b[0])));
    let [few, many] = rounds[rounds.len() / 2];
    let each = |seconds: f64| seconds / PACKETS as f64 * 1e9;
    println!(
        "1,000 SAs {:.0} ns/packet, 1,000,000 SAs {:.0} ns/packet: {:.1} times",
        each(few),
        each(many),
        many / few
    );
}

fn time(work: impl Fn() -> u64) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_secs_f64()
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick" || argument == "--test");
    let (frames, rounds) = if quick { (FRAMES / 5, 3) } else { (FRAMES, 9) };
    println!(
        "mix            packets/s   ns/packet   limit ns   x limit   (median of {rounds} rounds)"
    );
    for mix in Mix::ALL {
        let file = pcap(mix, frames);
        let mut pairs: Vec<(f64, f64)> = (0..rounds)
            .map(|_| (time(|| limit(&file)), time(|| walk(&file))))
            .collect();
        pairs.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
        let (least, whole) = pairs[rounds / 2];
        let count = frames as f64;
        println!(
            "{:<12} {:>11.0} {:>11.0} {:>10.1} {:>9.1}",
            mix.name(),
            count / whole,
            whole / count * 1e9,
            least / count * 1e9,
            whole / least
        );
    }
    many_sas(if quick { 1 } else { 3 });
}
