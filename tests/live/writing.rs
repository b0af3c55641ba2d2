//! What a capture writes, and what of it survives.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use vpnscope::source::{FrameSource, file};

use crate::common::repository;
use crate::wire::{
    folder, has, held, held_by_killed, inside, ipv4, lines, run, said, send, send_unanswered,
    sender, start, stop,
};

/// What tshark says of the frames of a capture that satisfy a filter, where it is installed.
fn tshark(path: &Path, filter: &str) -> Option<Vec<String>> {
    if !has("tshark") {
        return None;
    }
    let output = Command::new("tshark")
        .args(["-r", path.to_str().unwrap(), "-Y", filter])
        .args(["-T", "fields", "-e", "frame.number", "-e", "frame.comment"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().map(str::to_string).collect())
}

#[test]
fn a_failure_is_said_while_it_goes_on_and_its_frames_are_written_with_it() {
    if !inside("writing::a_failure_is_said_while_it_goes_on_and_its_frames_are_written_with_it") {
        return;
    }
    let folder = folder("failed");
    let out = folder.join("failed.pcapng");
    let out_name = out.to_str().unwrap();
    let child = start(&[
        "--format",
        "ndjson",
        "--until-failures",
        "1",
        "--write",
        "failed",
        "-w",
        out_name,
    ]);
    send(&repository("pcaps/ikev2-psk-mismatch/client.pcap"));
    // It stops by itself, long before the session is over.
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines = lines(&output);
    let sessions: Vec<&Value> = lines.iter().filter(|l| l["type"] == "session").collect();
    let revisions: Vec<u64> = sessions
        .iter()
        .map(|s| s["revision"].as_u64().unwrap())
        .collect();
    assert!(
        revisions.len() > 1 && revisions.is_sorted(),
        "{revisions:?}"
    );
    assert_eq!(
        (&sessions[0]["final"], &sessions[0]["cause"]),
        (&false.into(), &"auth-failed".into())
    );
    assert_eq!(sessions.last().unwrap()["final"], true);
    assert!(
        lines
            .iter()
            .any(|l| l["filter"].as_str().is_some_and(|f| f.contains("ip6")))
    );
    let (frames, comments) = held(&out);
    assert_eq!((frames, comments), (4, 2));
    if let Some(commented) = tshark(&out, "frame.comment contains \"auth-failed\"") {
        assert_eq!(commented.len(), 2, "{commented:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn findings_stand_as_comments_on_the_frames_that_show_them() {
    if !inside("writing::findings_stand_as_comments_on_the_frames_that_show_them") {
        return;
    }
    let folder = folder("comments");
    for what in ["vpn", "all"] {
        let out = folder.join(format!("{what}.pcapng"));
        let path = out.to_str().unwrap();
        let child = start(&[
            "--format",
            "ndjson",
            "--write",
            what,
            "-w",
            path,
            "--all-traffic",
        ]);
        let mut other = sender("vb");
        other.sendpacket(ipv4(1, 17, 60)).unwrap();
        let count = send(&repository("pcaps/ikev2-psk-mismatch/client.pcap"));
        std::thread::sleep(Duration::from_secs(3));
        // Something that comes after the finding.
        let more = send_unanswered();
        std::thread::sleep(Duration::from_millis(300));
        let lines = lines(&stop(child));
        let session = lines
            .iter()
            .find(|line| line["final"] == true && line["cause"] == "auth-failed")
            .unwrap();
        let evidence: Vec<u64> = session["findings"][0]["evidence"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["frame"].as_u64().unwrap())
            .collect();
        let (frames, comments) = held(&out);
        // Both captures begin with a question and an answer of ARP, which are not ours.
        let wanted = if what == "all" {
            1 + count + more
        } else {
            count - 2 + more - 2
        };
        assert_eq!(frames, wanted as u64, "{what}");
        assert!(comments >= 1, "{what}");
        let Some(commented) = tshark(&out, "frame.comment contains \"auth-failed\"") else {
            continue;
        };
        let numbers: Vec<u64> = commented
            .iter()
            .map(|line| line.split('\t').next().unwrap().parse().unwrap())
            .collect();
        if what == "vpn" {
            // The first three frames were not ours and are not there.
            let evidence: Vec<u64> = evidence.iter().map(|no| no - 3).collect();
            assert_eq!(numbers, evidence, "{commented:?}");
        } else {
            assert_eq!(numbers, [count as u64 + 2], "{commented:?}");
            assert!(
                commented[0].contains("[seen before, at 20"),
                "{commented:?}"
            );
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn rings_hold_every_frame_once_or_the_latest() {
    if !inside("writing::rings_hold_every_frame_once_or_the_latest") {
        return;
    }
    let folder = folder("rings");
    let cases: [(&str, &[&str], Option<usize>); 4] = [
        ("by-size.pcapng", &["--ring-size", "64k"], None),
        ("by-count.pcapng.zst", &["--ring-packets", "100"], None),
        ("by-time.pcapng", &["--ring-time", "0.5"], None),
        (
            "latest.pcap",
            &["--ring-packets", "100", "--ring-files", "2"],
            Some(2),
        ),
    ];
    for (name, how, files) in cases {
        let out = folder.join(name);
        let base = [
            "--write",
            "all",
            "--all-traffic",
            "-w",
            out.to_str().unwrap(),
        ];
        let child = start(&[&base[..], how].concat());
        let mut wire = sender("vb");
        for number in 0..550 {
            wire.sendpacket(ipv4(number, 17, 400)).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = stop(child);
        assert_eq!(said(&output), "");
        let stem = name.split('.').next().unwrap();
        let mut list: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .starts_with(stem)
            })
            .collect();
        list.sort();
        let each: Vec<u64> = list.iter().map(|path| held(path).0).collect();
        match files {
            Some(files) => assert_eq!((list.len(), &each[..]), (files, &[100, 50][..]), "{name}"),
            None => {
                assert!(list.len() >= 2, "{name}: {list:?}");
                assert_eq!(each.iter().sum::<u64>(), 550, "{name}: {each:?}");
            }
        }
        if name == "by-size.pcapng" {
            // The interface's counters stand in each file.
            let mut source = file::open(&list[0], 0).unwrap();
            while source.next_frame().is_some() {}
            assert_eq!(source.statistics().dropped, Some(0));
            assert!(
                list.iter()
                    .rev()
                    .skip(1)
                    .all(|path| { (64_000..80_000).contains(&path.metadata().unwrap().len()) })
            );
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn killed_in_the_middle_it_leaves_a_file_that_others_read() {
    if !inside("writing::killed_in_the_middle_it_leaves_a_file_that_others_read") {
        return;
    }
    let folder = folder("killed");
    let out = folder.join("killed.pcapng");
    let mut child = start(&["--write", "all", "-w", out.to_str().unwrap()]);
    let mut wire = sender("vb");
    for number in 0..20_000 {
        wire.sendpacket(ipv4(number, 17, 700)).unwrap();
    }
    crate::wire::wait_until(|| out.metadata().is_ok_and(|meta| meta.len() > 1 << 20));
    child.kill().unwrap();
    child.wait().unwrap();
    let (frames, is_cut) = held_by_killed(&out);
    assert!(frames > 1000 && frames <= 20_000, "{frames}");
    // It calls a file that is cut faulty.
    if let Some(all) = (!is_cut).then(|| tshark(&out, "udp")).flatten() {
        assert_eq!(all.len() as u64, frames);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn nothing_is_lost_by_a_clean_stop() {
    if !inside("writing::nothing_is_lost_by_a_clean_stop") {
        return;
    }
    let folder = folder("clean");
    for name in [
        "plain.pcapng",
        "plain.pcap",
        "packed.pcapng.zst",
        "packed.pcap.gz",
    ] {
        let out = folder.join(name);
        let words = ["--write", "all", "--all-traffic", "--buffer", "64M", "-w"];
        let child = start(&[&words[..], &[out.to_str().unwrap()]].concat());
        let mut wire = sender("vb");
        for number in 0..10_000 {
            wire.sendpacket(ipv4(number, 17, 200)).unwrap();
        }
        stop(child);
        assert_eq!(held(&out).0, 10_000, "{name}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_full_disk_is_said_and_the_diagnosis_goes_on() {
    if !inside("writing::a_full_disk_is_said_and_the_diagnosis_goes_on") {
        return;
    }
    let folder = folder("full");
    run(&format!(
        "mount -t tmpfs -o size=256k tmpfs {}",
        folder.display()
    ));
    let out = folder.join("full.pcapng");
    let words = [
        "--write",
        "all",
        "--format",
        "ndjson",
        "-w",
        out.to_str().unwrap(),
    ];
    let child = start(&words);
    let mut wire = sender("vb");
    for number in 0..1000 {
        wire.sendpacket(ipv4(number, 17, 1000)).unwrap();
    }
    std::thread::sleep(Duration::from_secs(1));
    send(&repository("pcaps/ikev2-psk-mismatch/client.pcap"));
    std::thread::sleep(Duration::from_millis(300));
    let output = stop(child);
    let told = said(&output);
    assert!(told.contains("the diagnosis goes on"), "{told}");
    let lines = lines(&output);
    let is_there = |line: &&Value| line["final"] == true && line["cause"] == "auth-failed";
    assert_eq!(lines.iter().filter(is_there).count(), 1);
    let report = lines.iter().find(|line| line["type"] == "capture").unwrap();
    let problems = report["problems"].to_string();
    assert!(problems.contains("frames were not written"), "{problems}");
    let (frames, _) = held(&out);
    assert!(frames > 100 && frames < 1000, "{frames}");
    run(&format!("umount {}", folder.display()));
    std::fs::remove_dir_all(&folder).unwrap();
}
