//! The program under test, as a process.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The program in the repository's folder, without colours, with nothing on its standard input.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vpnscope"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// What it printed, and how it ended.
pub fn run(arguments: &[&str]) -> Output {
    program()
        .args(arguments)
        .output()
        .expect("the program runs")
}

/// The same with octets on its standard input.
pub fn fed(arguments: &[&str], octets: &[u8]) -> Output {
    let mut child = program()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut input = child.stdin.take().unwrap();
    let octets = octets.to_vec();
    let feeder = std::thread::spawn(move || {
        // The program may stop reading early.
        let _ = input.write_all(&octets);
    });
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    output
}

/// What it printed as JSON.
pub fn json(arguments: &[&str]) -> Value {
    let output = run(arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("{arguments:?}: {error}: {said}")
    })
}

/// A file for one test, gone with it.
pub struct Scratch(PathBuf);

impl Scratch {
    /// One that holds these octets; its name ends as given.
    pub fn new(name: &str, octets: &[u8]) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let of = (env!("CARGO_CRATE_NAME"), std::process::id());
        let path = folder.join(format!("{}-{}-{name}", of.0, of.1));
        std::fs::write(&path, octets).unwrap();
        Self(path)
    }

    /// Its path.
    pub fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
