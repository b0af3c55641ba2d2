//! Allocations and memory of the walk, counted by an allocator that counts.
//!
//! One test only: the counters belong to the whole process.
#![allow(
    clippy::pedantic,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    unreachable_pub,
    dead_code,
    reason = "test code"
)]
#![allow(
    unsafe_code,
    reason = "the trait of allocators is unsafe; this one hands everything on to the system's"
)]

#[path = "../benches/traffic/mod.rs"]
mod traffic;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use traffic::{Mix, pcap};
use vpnscope::assemble::ip;
use vpnscope::source::FrameSource;
use vpnscope::source::file::FileSource;
use vpnscope::time::Span;
use vpnscope::track::{self, Change};
use vpnscope::walk::Walk;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static HELD: AtomicUsize = AtomicUsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        HELD.fetch_add(layout.size(), Relaxed);
        // SAFETY: what is asked of us is asked of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: it came from the system's allocator with this layout.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        HELD.fetch_add(size, Relaxed);
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: it came from the system's allocator with this layout.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a stretch of frames cost.
struct Cost {
    allocations: usize,
    held: isize,
    sessions: usize,
}

/// Walks the first `warm` frames, then counts what the others cost. The walk stays open.
fn cost(mix: Mix, warm: usize, frames: usize) -> Cost {
    cost_of(mix, warm, frames, track::Config::default())
}

fn cost_of(mix: Mix, warm: usize, frames: usize, config: track::Config) -> Cost {
    let file = pcap(mix, warm + frames);
    let mut source = FileSource::new("traffic", Cursor::new(file), 0).expect("a capture");
    let mut walk = Walk::new(ip::Config::default(), config);
    let mut walked = 0;
    let mut before = (0, 0, 0);
    while let Some(frame) = source.next_frame() {
        if walked == warm {
            before = (
                ALLOCATIONS.load(Relaxed),
                HELD.load(Relaxed),
                walk.open_sessions(),
            );
        }
        walked += 1;
        walk.frame(&frame);
        while let Some(change) = walk.poll() {
            assert!(matches!(change, Change::Closed(_)));
        }
    }
    let held = HELD.load(Relaxed).cast_signed() - before.1.cast_signed();
    Cost {
        allocations: ALLOCATIONS.load(Relaxed) - before.0,
        held,
        sessions: walk.open_sessions() - before.2,
    }
}

#[test]
fn packets_allocate_nothing_and_sessions_little() {
    // Each of a thousand SAs was seen some dozen times before.
    let esp = cost(Mix::Esp, 60_000, 40_000);
    println!("esp-bulk: {} allocations in 40000 packets", esp.allocations);
    assert_eq!(esp.allocations, 0, "ESP of known flows");

    // One packet in ten is ESP of the same thousand SAs.
    let span = cost(Mix::Span, 400_000, 100_000);
    println!(
        "mixed-span: {} allocations in 100000 packets",
        span.allocations
    );
    assert_eq!(span.allocations, 0, "a span port of which nothing is ours");

    let handshakes = cost(Mix::Handshakes, 0, 20_000);
    assert!(handshakes.sessions > 200, "{}", handshakes.sessions);
    let each = handshakes.allocations / handshakes.sessions;
    let octets = handshakes.held / handshakes.sessions.cast_signed();
    println!(
        "handshakes: {} sessions, {each} allocations and {octets} octets each",
        handshakes.sessions
    );
    assert!(each <= SESSION_ALLOCATIONS, "{each} allocations a session");
    assert!(octets <= SESSION_OCTETS, "{octets} octets a session");

    let drowsy = track::Config {
        awake_octets: 256 << 10,
        awake_for: Span::from_millis(0),
        ..track::Config::default()
    };
    let packed = cost_of(Mix::Handshakes, 20_000, 40_000, drowsy);
    let octets = packed.held / packed.sessions.cast_signed();
    println!("handshakes: {octets} octets a packed session");
    assert!(octets <= PACKED_OCTETS, "{octets} octets a packed session");
}

/// Allocations of a session from its first frame to its last.
const SESSION_ALLOCATIONS: usize = 34;
/// Octets of a session that is packed, all tables included.
const PACKED_OCTETS: isize = 1_750;
/// Octets of an open session, all tables included.
const SESSION_OCTETS: isize = 6_656;
