//! Real peers for the replay tests: daemons on loopback or in network namespaces.
//!
//! Traffic stays on loopback and in namespaces that are made here and removed at the end. What
//! a test lacks (root, a daemon) it says as `skipped: why`; with `VPNSCOPE_REQUIRE=1` that fails.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code; each test uses a part of it"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub mod libreswan;
pub mod namespace;
pub mod ocserv;
#[allow(
    clippy::duplicate_mod,
    reason = "some tests have it from `common` too, others have no `common`"
)]
#[path = "../common/schema.rs"]
mod schema;
pub mod strongswan;
pub mod tls;
pub mod xl2tpd;

/// Says why a test does nothing; fails where nothing may be left out.
pub fn skip(why: &str) {
    assert!(
        std::env::var_os("VPNSCOPE_REQUIRE").is_none(),
        "VPNSCOPE_REQUIRE is set: {why}"
    );
    println!("skipped: {why}");
}

/// Whether these tests have a turn of their own, later.
pub fn is_later() -> bool {
    let later = std::env::var_os("VPNSCOPE_LAB").is_some_and(|when| when == "later");
    if later {
        println!("skipped: later");
    }
    later
}

/// Whether a program is there.
pub fn has(program: &str) -> bool {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/bin"];
    folders
        .iter()
        .any(|folder| Path::new(folder).join(program).exists())
}

/// Whether we are root.
pub fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.starts_with(b"0\n"))
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A folder of this test, removed with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("vpnscope-lab-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether the tests that take long are wanted: `make ci-long`.
pub fn long() -> bool {
    let wanted = std::env::var_os("VPNSCOPE_LONG").is_some();
    if !wanted {
        println!("skipped: only in make ci-long");
    }
    wanted
}

/// A key and a certificate for `name` in this folder.
pub fn certificate(folder: &Folder, name: &str) {
    let status = Command::new("openssl")
        .args("req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem".split(' '))
        .args(["-subj", &format!("/CN={name}")])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(&folder.0)
        .output()
        .unwrap();
    assert!(status.status.success());
}

/// A daemon, ended with the test.
pub struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts it, its words into a file.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let out = std::fs::File::create(log).unwrap();
        let child = command
            .stdin(Stdio::piped())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for it to end.
    pub fn wait(&mut self, patience: Duration) -> bool {
        until(patience, || self.child.try_wait().unwrap().is_some())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again until it is so.
pub fn until(patience: Duration, mut so: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if so() {
            return true;
        }
        if start.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A TCP port that is free now.
pub fn free_tcp() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A UDP port that is free now.
pub fn free_udp() -> u16 {
    UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The schema of what `replay` says.
fn published() -> &'static serde_json::Value {
    static SCHEMA: OnceLock<serde_json::Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let printed = vpnscope().args(["schema", "replay"]).output().unwrap();
        serde_json::from_slice(&printed.stdout).unwrap()
    })
}

/// What a run of the program said.
pub struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(output: &Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The document, which fits the schema that is published.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr));
        let faults = schema::faults(published(), &value);
        assert!(faults.is_empty(), "{faults:#?}\n{value:#}");
        value
    }

    /// Asserts the exit status, showing everything where it is another one.
    #[track_caller]
    pub fn exits(&self, status: i32) -> &Self {
        assert_eq!(self.status, status, "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts the verdict of the JSON.
    #[track_caller]
    pub fn says(&self, verdict: &str) -> serde_json::Value {
        let json = self.json();
        assert_eq!(json["verdict"], verdict, "{json:#}");
        json
    }
}

/// The program.
pub fn vpnscope() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vpnscope"))
}

/// Runs `replay FILE …` with JSON output and without asking.
pub fn replay(mut command: Command, file: &Path, args: &[&str]) -> Run {
    let output = command
        .arg("replay")
        .arg(file)
        .args(["--yes", "--format", "json"])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Run::of(&output)
}

/// A labelled capture.
pub fn pcap(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("pcaps")
        .join(name)
}

/// What a file says, or nothing.
pub fn text(path: &Path) -> String {
    let mut text = String::new();
    if let Ok(file) = std::fs::File::open(path) {
        let _ = BufReader::new(file).read_to_string(&mut text);
    }
    text
}

/// The last lines of a file.
pub fn tail(path: &Path) -> String {
    let Ok(file) = std::fs::File::open(path) else {
        return String::new();
    };
    let lines: Vec<String> = BufReader::new(file).lines().map_while(Result::ok).collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
