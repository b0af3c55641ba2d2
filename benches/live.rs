//! What capturing costs: frames of a mixed span sent through a veth pair as fast as it takes
//! them, to nobody, to `tcpdump -w`, and to `vpnscope capture`, all with buffers of the same size.
//!
//! On a veth pair the receiving side works in the sender's time: a capture that keeps up slows
//! the sender instead of dropping. So what is measured is the rate left to the sender, in frames
//! for each second of its own processor time (which others on the machine do not change), and the
//! processor time of the capture for each frame; side by side in several rounds, and the ratios
//! count. Needs root, `unshare`, `ip` and `tcpdump`. A capture named after `--` is sent instead.
#![allow(
    irrefutable_let_patterns,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::panic,
    unreachable_pub,
    dead_code,
    reason = "a bench: it owns a clock and prints"
)]

mod traffic;

use std::io::Cursor;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use vpnscope::source::FrameSource;
use vpnscope::source::file::{self, FileSource};

const INSIDE: &str = "VPNSCOPE_INSIDE_NAMESPACE";
/// How long is sent to each.
const TIME: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;
/// The least of tcpdump's rate that the same work must leave, on a machine that others use too.
const LEAST: f64 = 0.9;

/// Who captures: a name, and a program with its words.
const RECEIVERS: [(&str, &[&str]); 5] = [
    ("nobody", &[]),
    (
        "tcpdump -w",
        &[
            "tcpdump",
            "-i",
            "va",
            "-n",
            "-B",
            "65536",
            "-w",
            "/dev/null",
        ],
    ),
    (
        "vpnscope, default filter",
        &["vpnscope", "capture", "-i", "va", "--buffer", "64M"],
    ),
    (
        "vpnscope --all-traffic",
        &[
            "vpnscope",
            "capture",
            "-i",
            "va",
            "--buffer",
            "64M",
            "--all-traffic",
        ],
    ),
    (
        "vpnscope --all-traffic -w, all",
        &[
            "vpnscope",
            "capture",
            "-i",
            "va",
            "--buffer",
            "64M",
            "--all-traffic",
            "--write",
            "all",
            "-w",
            "/dev/null",
        ],
    ),
];

fn run(command: &str) {
    let mut words = command.split(' ');
    let status = Command::new(words.next().unwrap()).args(words).status();
    assert!(status.is_ok_and(|status| status.success()), "{command}");
}

fn frames(mut source: FileSource) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(frame) = source.next_frame() {
        if (14..=1514).contains(&frame.octets.len()) {
            all.push(frame.octets.to_vec());
        }
    }
    all
}

fn listeners() -> usize {
    let list = std::fs::read_to_string("/proc/net/packet").unwrap();
    list.lines().count() - 1
}

fn begin(words: &[&str]) -> Option<Child> {
    let (program, words) = words.split_first()?;
    let program = if *program == "vpnscope" {
        env!("CARGO_BIN_EXE_vpnscope")
    } else {
        program
    };
    let before = listeners();
    let child = Command::new(program)
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    while listeners() == before {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(200));
    Some(child)
}

/// Processor time used so far, seconds.
fn used(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after = stat.rsplit_once(") ").unwrap().1;
    let ticks = |at: usize| after.split(' ').nth(at).unwrap().parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

/// Frames a second left to the sender, and nanoseconds of the receiver's time for each.
fn measure(frames: &[Vec<u8>], words: &[&str]) -> (f64, f64) {
    let child = begin(words);
    let of = |child: &Child| used(&child.id().to_string());
    let before = child.as_ref().map_or(0.0, of);
    let mine = used("self");
    let mut out = pcap::Capture::from_device("vb").unwrap().open().unwrap();
    let begun = Instant::now();
    let mut sent = 0usize;
    while begun.elapsed() < TIME {
        for _ in 0..256 {
            out.sendpacket(&*frames[sent % frames.len()]).unwrap();
            sent += 1;
        }
    }
    let rate = sent as f64 / (used("self") - mine);
    // What is in the ring is worked off.
    std::thread::sleep(Duration::from_millis(700));
    let cost = child.map_or(0.0, |mut child| {
        let cost = of(&child) - before;
        let end = format!("kill -TERM {}", child.id());
        Command::new("sh").args(["-c", &end]).status().unwrap();
        child.wait().unwrap();
        cost
    });
    (rate, cost / sent as f64 * 1e9)
}

fn median(mut list: Vec<f64>) -> f64 {
    list.sort_by(f64::total_cmp);
    list[list.len() / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_quick = arguments
        .iter()
        .any(|word| word == "--quick" || word == "--test");
    if is_quick {
        println!("skipped: the rates of live capture are measured by `cargo bench --bench live`");
        return;
    }
    if std::env::var(INSIDE).is_err() {
        let status = Command::new("unshare")
            .arg("--net")
            .arg(std::env::current_exe().unwrap())
            .args(arguments)
            .env(INSIDE, "1")
            .status();
        let code = status.ok().and_then(|status| status.code());
        std::process::exit(code.unwrap_or(2));
    }
    run("ip link add va type veth peer name vb");
    for name in ["va", "vb"] {
        run(&format!("ip link set {name} addrgenmode none"));
        run(&format!("ip link set {name} up"));
    }
    let named = arguments.iter().find(|word| !word.starts_with('-'));
    let source = match named {
        Some(path) => file::open(Path::new(path), 0).unwrap(),
        None => {
            let octets = traffic::pcap(traffic::Mix::Span, 100_000);
            FileSource::new("mixed-span", Cursor::new(octets), 0).unwrap()
        }
    };
    let frames = frames(source);
    let mut rounds: Vec<Vec<(f64, f64)>> = Vec::new();
    for _ in 0..ROUNDS {
        let of = |(_, words): &(&str, &[&str])| measure(&frames, words);
        rounds.push(RECEIVERS.iter().map(of).collect());
    }
    println!("{ROUNDS} rounds of {TIME:?}, medians; ratios are of the same round");
    println!("receiver                         sender pkt/s  x tcpdump  cpu ns/pkt  x tcpdump");
    let mut worst = f64::MAX;
    for (at, (name, _)) in RECEIVERS.iter().enumerate() {
        let of =
            |pick: fn(&(f64, f64)) -> f64| median(rounds.iter().map(|r| pick(&r[at])).collect());
        let ratio = |pick: fn(&(f64, f64)) -> f64| {
            median(rounds.iter().map(|r| pick(&r[at]) / pick(&r[1])).collect())
        };
        println!(
            "{name:<32} {:>12.0} {:>10.2} {:>11.0} {:>10.2}",
            of(|m| m.0),
            ratio(|m| m.0),
            of(|m| m.1),
            ratio(|m| m.1)
        );
        if at > 1 {
            worst = worst.min(ratio(|m| m.0));
        }
    }
    assert!(worst >= LEAST, "{worst:.2} of the rate that tcpdump leaves");
}
