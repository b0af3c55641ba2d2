//! Live capture in network namespaces of its own: frames sent through veth pairs.
//!
//! Needs root, `unshare` and `ip`; without them each test says `skipped` and why, and fails if
//! `VPNSCOPE_REQUIRE` is 1. They mostly wait, so let eight run at once (`--test-threads 8`).
//! `VPNSCOPE_LIVE=all` sends every capture instead of a sample, `later` skips all of them;
//! `VPNSCOPE_SOAK` says how many seconds the soak lasts; `VPNSCOPE_LONG=1` counts a thousand
//! starts instead of a few.

#![cfg(all(feature = "live", target_os = "linux"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "test code"
)]

#[path = "../common/mod.rs"]
mod common;

mod control;
mod docs;
mod judged;
mod life;
mod losses;
mod rights;
mod source;
mod wire;
mod writing;
