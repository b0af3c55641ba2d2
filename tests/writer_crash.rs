//! What is left of a capture when the program is killed, or the disk is full.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test code"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use vpnscope::source::writer::{Output, Writer};
use vpnscope::source::{Frame, FrameSource, LinkType, file};
use vpnscope::time::Timestamp;

const INSIDE: &str = "VPNSCOPE_WRITE_TO";

fn frame(no: u64, octets: &[u8]) -> Frame<'_> {
    Frame {
        capture: 0,
        no,
        time: Timestamp(1_000_000_000 * i64::try_from(no).unwrap()),
        link: LinkType::ETHERNET,
        octets,
        wire_len: u32::try_from(octets.len()).unwrap(),
        interface: 0,
    }
}

fn again(test: &str, path: &Path, before: &[&str]) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut words = before.iter().map(PathBuf::from).chain([program]);
    let mut command = Command::new(words.next().unwrap());
    command
        .args(words)
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, path)
        .stdout(Stdio::null());
    command
}

#[test]
fn a_killed_writer_leaves_a_readable_capture() {
    if let Ok(path) = std::env::var(INSIDE) {
        let path = Path::new(&path);
        let mut writer = Writer::create(path, Output::for_path(path)).unwrap();
        let octets = [0xab; 777];
        for no in 1.. {
            writer.frame(&frame(no, &octets), None).unwrap();
            if no % 100 == 0 {
                writer.flush().unwrap();
            }
        }
    }
    for name in [
        "killed.pcapng",
        "killed.pcap",
        "killed.pcapng.zst",
        "killed.pcapng.gz",
    ] {
        let path = std::env::temp_dir().join(format!("{}-{name}", std::process::id()));
        let mut child = again("a_killed_writer_leaves_a_readable_capture", &path, &[])
            .spawn()
            .unwrap();
        while std::fs::metadata(&path).map_or(0, |m| m.len()) < 10_000 {
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mut source = file::open(&path, 0).unwrap();
        let mut frames = 0;
        while let Some(frame) = source.next_frame() {
            assert_eq!(frame.octets, [0xab; 777]);
            frames += 1;
        }
        assert!(frames >= 100, "{name}: {frames}");
        let fatal = source.statistics().problems.iter().find(|p| p.fatal);
        assert_eq!(fatal, None, "{name}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_full_disk_leaves_a_whole_capture_and_writing_goes_on_when_there_is_room() {
    let test = "a_full_disk_leaves_a_whole_capture_and_writing_goes_on_when_there_is_room";
    if let Ok(folder) = std::env::var(INSIDE) {
        return fill(Path::new(&folder));
    }
    let folder = std::env::temp_dir().join(format!("vpnscope-full-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let trial = Command::new("unshare").args(["--mount", "true"]).output();
    if !trial.is_ok_and(|output| output.status.success()) {
        println!("skipped: no right to mount a small disk");
        let required = std::env::var("VPNSCOPE_REQUIRE").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "VPNSCOPE_REQUIRE is 1, but a small disk cannot be mounted"
        );
        return;
    }
    let output = again(test, &folder, &["unshare", "--mount"])
        .output()
        .unwrap();
    std::fs::remove_dir(&folder).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// Inside a mount namespace of its own.
fn fill(folder: &Path) {
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(folder)
        .status()
        .unwrap();
    assert!(mounted.success());
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![0; 700_000]).unwrap();
    let path = folder.join("full.pcapng");
    let mut writer = Writer::create(&path, Output::for_path(&path)).unwrap();
    let octets = [0xcd; 1000];
    let mut errors = 0;
    for no in 1..=1000 {
        errors += u64::from(writer.frame(&frame(no, &octets), None).is_err());
    }
    assert!(errors > 0 && writer.lost() > 0);
    std::fs::remove_file(&ballast).unwrap();
    let lost = writer.lost();
    for no in 1001..=1100 {
        writer.frame(&frame(no, &octets), None).unwrap();
    }
    writer.finish().unwrap();
    let mut source = file::open(&path, 0).unwrap();
    let mut frames = 0;
    while let Some(frame) = source.next_frame() {
        assert_eq!(frame.octets, octets);
        frames += 1;
    }
    assert_eq!(source.statistics().problems, []);
    assert_eq!(frames + lost, 1100);
}
