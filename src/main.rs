//! Parses, runs, sets the exit status.

use std::process::ExitCode;

/// Sessions are many small allocations: the system's allocator takes three times as long.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(vpnscope::cli::run())
}
