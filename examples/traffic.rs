//! Writes generated traffic as a capture: `traffic MIX FRAMES >file.pcap`, for counting
//! instructions and for trying things out. The mixes are those of the benches.
#![allow(
    clippy::pedantic,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    unreachable_pub,
    dead_code,
    reason = "a tool for developers, not part of the product"
)]

#[path = "../benches/traffic/mod.rs"]
mod traffic;

use std::io::Write;

use traffic::{Mix, pcap};

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mix = arguments
        .first()
        .and_then(|name| Mix::ALL.into_iter().find(|mix| mix.name() == name));
    let frames = arguments.get(1).and_then(|frames| frames.parse().ok());
    let (Some(mix), Some(frames)) = (mix, frames) else {
        eprintln!("usage: traffic esp-bulk|handshakes|mixed-span|small-64B FRAMES >file.pcap");
        return std::process::ExitCode::from(2);
    };
    match std::io::stdout().write_all(&pcap(mix, frames)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(_) => std::process::ExitCode::FAILURE,
    }
}
