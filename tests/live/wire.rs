//! Namespaces, wires, programs: what the live tests share.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use pcap::{Active, Capture};
use serde_json::Value;
use vpnscope::source::{FrameSource, file};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_vpnscope");
pub const INSIDE: &str = "VPNSCOPE_INSIDE_NAMESPACE";

/// Whether a test runs inside namespaces of its own, with a wire from `va` to `vb`. If not, it
/// has been run there, or said why it was skipped.
pub fn inside(test: &str) -> bool {
    if std::env::var(INSIDE).is_ok() {
        run("ip link set lo up");
        veth("va", "vb", 65_535);
        return true;
    }
    if !can(test) {
        return false;
    }
    let output = again(test).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    print!("{said}");
    false
}

/// Whether namespaces can be made; says `skipped` if not.
pub fn can(test: &str) -> bool {
    if std::env::var("VPNSCOPE_LIVE").is_ok_and(|value| value == "later") {
        println!("skipped: {test}: VPNSCOPE_LIVE says that it is run later");
        return false;
    }
    let trial = Command::new("unshare")
        .args(["--net", "--mount", "ip", "link"])
        .output();
    if trial.is_ok_and(|output| output.status.success()) {
        return true;
    }
    println!("skipped: {test}: no right to make network namespaces, or no `ip`");
    let required = std::env::var("VPNSCOPE_REQUIRE").is_ok_and(|value| value == "1");
    assert!(
        !required,
        "VPNSCOPE_REQUIRE is 1, but network namespaces cannot be made"
    );
    false
}

/// The same test once more, inside namespaces of its own.
pub fn again(test: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1");
    command
}

/// A pair of interfaces, both up, that carry no IP of this machine.
pub fn veth(a: &str, b: &str, mtu: u32) {
    run(&format!(
        "ip link add {a} mtu {mtu} type veth peer name {b} mtu {mtu}"
    ));
    for name in [a, b] {
        // Either keeps the kernel from speaking IPv6 of its own accord.
        run(&format!("ip link set {name} addrgenmode none"));
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1").ok();
        run(&format!("ip link set {name} up"));
    }
}

pub fn run(command: &str) {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap())
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
}

/// Whether a program is installed. It must be where everything is run.
pub fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("skipped: {program} is not installed");
        let required = std::env::var("VPNSCOPE_LIVE").is_ok_and(|value| value == "all");
        assert!(!required, "VPNSCOPE_LIVE is all, but {program} is missing");
    }
    found
}

/// Runs `vpnscope capture` with these words, and returns when it says that it captures.
pub fn capture(words: &[&str]) -> Child {
    let mut child = Command::new(PROGRAM)
        .arg("capture")
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    listening(&mut child);
    child
}

/// Reads what a capture says first, and nothing after it.
pub fn listening(child: &mut Child) {
    use std::io::Read as _;
    let mut line = Vec::new();
    let mut octet = [0];
    let errors = child.stderr.as_mut().unwrap();
    while errors.read(&mut octet).unwrap() == 1 && octet[0] != b'\n' {
        line.push(octet[0]);
    }
    let line = String::from_utf8_lossy(&line);
    assert!(line.starts_with("vpnscope: capturing on "), "{line}");
}

/// On `va`, with a small buffer where none is asked for.
pub fn start(more: &[&str]) -> Child {
    let small: &[&str] = if more.contains(&"--buffer") {
        &[]
    } else {
        &["--buffer", "8M"]
    };
    capture(&[&["-i", "va"], small, more].concat())
}

pub fn wait_until(mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn signal(child: &Child, name: &str) {
    let command = format!("kill -{name} {}", child.id());
    let status = Command::new("sh").args(["-c", &command]).status().unwrap();
    assert!(status.success(), "{command}");
}

/// Ends it as an administrator does.
pub fn stop(child: Child) -> Output {
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    output
}

pub fn sender(name: &str) -> Capture<Active> {
    Capture::from_device(name)
        .unwrap()
        .snaplen(64)
        .open()
        .unwrap()
}

/// The first request of a client that gets no answer, twice, as fast as ever.
pub fn send_unanswered() -> usize {
    let path = crate::common::repository("pcaps/ikev2-udp500-dropped/client.pcap");
    send_some(&path, 4, 2)
}

/// Sends the frames of a capture through `vb` at the times they came. Gives how many.
pub fn send(path: &Path) -> usize {
    send_some(path, usize::MAX, 1)
}

/// Sends the first frames of a capture, `haste` times as fast as they came.
pub fn send_some(path: &Path, most: usize, haste: u32) -> usize {
    let mut out = sender("vb");
    let mut source = file::open(path, 0).unwrap();
    let begun = Instant::now();
    let (mut first, mut count) = (None, 0);
    while let Some(frame) = source.next_frame() {
        if count == most {
            break;
        }
        let first = *first.get_or_insert(frame.time.0);
        let due = Duration::from_nanos(u64::try_from(frame.time.0 - first).unwrap_or(0)) / haste;
        if let Some(wait) = due.checked_sub(begun.elapsed()) {
            std::thread::sleep(wait);
        }
        out.sendpacket(frame.octets).unwrap();
        count += 1;
    }
    count
}

pub fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("vpnscope-live-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Number of frames and comments in a capture that must be without fault.
pub fn held(path: &Path) -> (u64, u64) {
    let mut source = file::open(path, 0).unwrap();
    while source.next_frame().is_some() {}
    assert_eq!(source.statistics().problems, [], "{}", path.display());
    (source.statistics().frames, source.annotations().comments)
}

/// As [`held`], for the file of a program that was killed: the system may end a write of many pages
/// between two of them, and then only there. Tells the frames, and whether the file is cut.
pub fn held_by_killed(path: &Path) -> (u64, bool) {
    const PAGE: u64 = 4096;
    let mut source = file::open(path, 0).unwrap();
    while source.next_frame().is_some() {}
    let statistics = source.statistics();
    let len = path.metadata().unwrap().len();
    match statistics.problems.as_slice() {
        [] => (statistics.frames, false),
        [cut] => {
            let is_last = cut.what.starts_with("cut off in its last record");
            assert!(
                is_last && !cut.fatal && len.is_multiple_of(PAGE),
                "{cut:?} of {len}"
            );
            (statistics.frames, true)
        }
        more => panic!("{more:?}"),
    }
}

/// An Ethernet frame with an IPv4 packet of `len` octets after the header: UDP between ports
/// that mean nothing, or a bare TCP acknowledgement.
pub fn ipv4(number: u32, protocol: u8, len: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let total = u16::try_from(20 + len).unwrap().to_be_bytes();
    frame.extend([
        0x45, 0, total[0], total[1], 0, 1, 0x40, 0, 64, protocol, 0, 0,
    ]);
    let [_, b, c, d] = number.to_be_bytes();
    frame.extend([10, b, c, d, 203, 0, 113, 1, 0x13, 0x88, 0x13, 0x89]);
    if protocol == 17 {
        let udp = u16::try_from(len).unwrap().to_be_bytes();
        frame.extend([udp[0], udp[1], 0, 0]);
        frame.extend(number.to_be_bytes());
    } else {
        frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 1, 0, 0, 0, 0]);
    }
    frame.resize(34 + len.max(20), 0);
    frame
}

/// The same under tags, the outer of which is the first.
pub fn tagged(frame: &[u8], tags: &[u16]) -> Vec<u8> {
    let mut out = frame[..12].to_vec();
    for tag in tags {
        out.extend(tag.to_be_bytes());
        out.extend([0, 10]);
    }
    out.extend(&frame[12..]);
    out
}
