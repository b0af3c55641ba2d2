//! Parses, runs, sets the exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(vpnscope::cli::run())
}
