//! `--raw`: what arrives at the other end of a cable is what was recorded, rewritten.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use vpnscope::decap::{Checksum, Content, decap};
use vpnscope::source::{Frame, FrameSource as _, LinkType, file};
use vpnscope::time::Timestamp;

use super::lab::namespace::Namespaces;
use super::lab::{Folder, Run, has, pcap, skip, until, vpnscope};
use super::stream;

/// A frame with its time.
type Sent = (Timestamp, Vec<u8>);

const MACS: [&str; 4] = [
    "--source-mac",
    "02:00:00:00:00:0a",
    "--destination-mac",
    "02:00:00:00:00:0b",
];
const MAPS: [&str; 6] = [
    "--map",
    "198.51.100.10=192.0.2.77",
    "--map",
    "203.0.113.10:500=192.0.2.78:1500",
    "--map",
    "203.0.113.10=192.0.2.78",
];

/// tcpdump at the other end of the cable.
struct Tap {
    child: Child,
    file: PathBuf,
}

impl Tap {
    fn start(net: &Namespaces, folder: &Folder) -> Option<Self> {
        if !has("tcpdump") {
            skip("no tcpdump");
            return None;
        }
        let file = folder.0.join("arrived.pcap");
        let name = net.gateway_interface().to_string();
        let child = net
            .gateway("tcpdump")
            .args([
                "-i",
                &name,
                "-U",
                "-n",
                "-Z",
                "root",
                "--time-stamp-precision=nano",
            ])
            .args(["-Q", "in", "-w"])
            .arg(&file)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        assert!(until(Duration::from_secs(10), || file.exists()));
        std::thread::sleep(Duration::from_millis(500));
        Some(Self { child, file })
    }

    /// The frames that arrived from us.
    fn frames(mut self, wanted: usize) -> Vec<Sent> {
        let ours = || -> Vec<Sent> {
            let mut frames = read(&self.file);
            frames.retain(|(_, octets)| octets[6..12] == [2, 0, 0, 0, 0, 10]);
            frames
        };
        until(Duration::from_secs(10), || ours().len() >= wanted);
        let frames = ours();
        let _ = self.child.kill();
        let _ = self.child.wait();
        frames
    }
}

fn read(path: &Path) -> Vec<Sent> {
    let mut frames = Vec::new();
    if let Ok(mut source) = file::open(path, 0) {
        while let Some(frame) = source.next_frame() {
            frames.push((frame.time, frame.octets.to_vec()));
        }
    }
    frames
}

fn send(net: &Namespaces, file: &Path, more: &[&str]) -> Run {
    let mut command = net.vpnscope();
    command
        .arg("replay")
        .arg(file)
        .args(["--raw", net.client_interface(), "--yes"])
        .args(MACS)
        .args(more)
        .stdin(Stdio::null());
    Run::of(&command.output().unwrap())
}

/// What `--dry-run` says would be sent.
fn planned(file: &Path, more: &[&str]) -> Vec<Vec<u8>> {
    let output = vpnscope()
        .arg("replay")
        .arg(file)
        .args(["--raw", "lo", "--dry-run"])
        .args(MACS)
        .args(more)
        .output()
        .unwrap();
    let run = Run::of(&output);
    run.exits(0);
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len() / 2)
            .map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap())
            .collect()
    };
    let lines = run.stdout.lines();
    lines
        .map(|line| hex(line.split(' ').nth(1).unwrap()))
        .collect()
}

fn frame(octets: &[u8]) -> Frame<'_> {
    Frame {
        capture: 0,
        no: 1,
        time: Timestamp(0),
        link: LinkType::ETHERNET,
        octets,
        wire_len: u32::try_from(octets.len()).unwrap(),
        interface: 0,
    }
}

/// A capture whose frames carry two VLAN tags.
fn tagged(folder: &Folder, from: &Path) -> PathBuf {
    let path = folder.0.join("tagged.pcap");
    let mut writer = vpnscope::source::writer::Writer::create(
        &path,
        vpnscope::source::writer::Output::for_path(&path),
    )
    .unwrap();
    for (time, mut octets) in read(from) {
        octets.splice(12..12, [0x88, 0xa8, 0, 7, 0x81, 0, 0, 42]);
        let one = Frame {
            time,
            ..frame(&octets)
        };
        writer.frame(&one, None).unwrap();
    }
    writer.finish().unwrap();
    path
}

#[test]
fn what_arrives_is_what_was_planned() {
    let folder = Folder::new();
    let plain = pcap("ikev2-psk-established/client.pcap");
    let cases = [
        ("plain", plain.clone()),
        ("tagged", tagged(&folder, &plain)),
        (
            "fragments",
            pcap("ikev2-frag-needed-then-established/client.pcap"),
        ),
    ];
    for (name, file) in cases {
        let Some(net) = Namespaces::new() else { return };
        let folder = Folder::new();
        let Some(tap) = Tap::start(&net, &folder) else {
            return;
        };
        let plan = planned(&file, &MAPS);
        assert!(plan.len() > 3, "{name}");
        let record = folder.0.join("record.pcapng");
        let more = [
            &MAPS[..],
            &["--rate", "fast", "--record", record.to_str().unwrap()],
        ]
        .concat();
        let run = send(&net, &file, &more);
        run.exits(0);
        let arrived: Vec<Vec<u8>> = tap.frames(plan.len()).into_iter().map(|f| f.1).collect();
        assert_eq!(arrived.len(), plan.len(), "{name}");
        assert!(arrived == plan, "{name}");
        let recorded: Vec<Vec<u8>> = read(&record).into_iter().map(|f| f.1).collect();
        assert!(recorded == plan, "{name}: the record");
        check(name, &file, &arrived);
    }
}

/// Addresses, ports, MACs, tags, fragments and checksums of what arrived.
fn check(name: &str, file: &Path, arrived: &[Vec<u8>]) {
    let (mut good, mut fragments, mut ports) = (0, 0, 0);
    for octets in arrived {
        assert_eq!(octets[..6], [2, 0, 0, 0, 0, 11], "{name}");
        let one = frame(octets);
        let segment = decap(&one);
        let envelope = &segment.envelope;
        for ip in [envelope.source, envelope.destination] {
            assert!(
                !["198.51.100.10", "203.0.113.10"].contains(&ip.to_string().as_str()),
                "{name}: {ip}"
            );
        }
        assert_ne!(envelope.checksum, Checksum::Bad, "{name}");
        good += usize::from(envelope.checksum == Checksum::Good);
        fragments += usize::from(matches!(segment.content, Content::Fragment(_)));
        ports += usize::from([envelope.source_port, envelope.destination_port].contains(&1500));
        assert_eq!(envelope.vlan, (name == "tagged").then_some(42), "{name}");
    }
    assert!(good > 0 && ports > 0, "{name}: {good} {ports}");
    let recorded = read(file)
        .iter()
        .filter(|(_, octets)| matches!(decap(&frame(octets)).content, Content::Fragment(_)))
        .count();
    assert_eq!(fragments, recorded, "{name}");
    assert_eq!(fragments > 0, name == "fragments");
}

/// How long it took, in milliseconds, from the first frame to the last as they arrived.
fn took(frames: &[Sent]) -> i64 {
    let (first, last) = (frames.first().unwrap().0, frames.last().unwrap().0);
    (last - first).as_millis()
}

#[test]
fn frames_keep_time() {
    let Some(net) = Namespaces::new() else { return };
    let folder = Folder::new();
    // Eleven frames, a tenth of a second apart.
    let (a, b) = (
        "192.0.2.1:500".parse().unwrap(),
        "192.0.2.2:500".parse().unwrap(),
    );
    let said = stream::session(&pcap("ikev2-udp500-dropped/client.pcap")).messages[0]
        .octets
        .clone();
    let frames: Vec<Sent> = (0..11)
        .map(|n| {
            let time = Timestamp(1_700_000_000_000_000_000 + n * 100_000_000);
            (time, vpnscope::replay::packet::udp(a, b, &said))
        })
        .collect();
    let file = stream::write(&folder.0.join("even.pcap"), &frames);
    let cases: &[(&[&str], usize, std::ops::Range<i64>)] = &[
        (&[], 11, 990..3000),
        (&["--rate", "20"], 11, 490..2000),
        (&["--rate", "50", "--loop", "3"], 33, 590..2500),
        (&["--rate", "fast", "--loop", "20"], 220, 0..900),
    ];
    for (more, count, time) in cases {
        let Some(tap) = Tap::start(&net, &folder) else {
            return;
        };
        let run = send(&net, &file, more);
        run.exits(0);
        assert!(
            run.stdout.starts_with(&format!("sent {count} frames")),
            "{}",
            run.stdout
        );
        let arrived = tap.frames(*count);
        assert_eq!(arrived.len(), *count, "{more:?}");
        let took = took(&arrived);
        assert!(time.contains(&took), "{more:?}: {took} ms");
        std::fs::remove_file(folder.0.join("arrived.pcap")).unwrap();
    }
    // Time that is up ends it, and that is said.
    let run = send(
        &net,
        &file,
        &["--rate", "1", "--timeout", "1", "--format", "json"],
    );
    let json = run.exits(2).says("not-played");
    assert!(
        json["why"].as_str().unwrap().contains("time was up"),
        "{json:#}"
    );
}

/// What cannot be sent is counted and said.
#[test]
fn what_stays_behind_is_said() {
    let file = pcap("tcp-snaplen-96/single.pcap");
    let output = vpnscope()
        .arg("replay")
        .arg(&file)
        .args(["--raw", "lo", "--dry-run"])
        .output()
        .unwrap();
    let run = Run::of(&output);
    run.exits(0);
    assert!(
        run.stderr.contains("cut short in the capture"),
        "{}",
        run.stderr
    );
    let output = vpnscope()
        .arg("replay")
        .arg(pcap("encap-sll2/single.pcap"))
        .args(["--raw", "lo", "--dry-run"])
        .output()
        .unwrap();
    let run = Run::of(&output);
    assert!(
        run.stderr.contains("cannot become Ethernet: not sent"),
        "{}",
        run.stderr
    );
}
