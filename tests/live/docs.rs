//! The commands of `docs/capture.md` do what they are said to do.

use std::process::Command;

use crate::common::repository;
use crate::wire::{PROGRAM, folder, inside, listening, said, send, veth};

#[test]
fn the_commands_of_the_page_on_capturing_run() {
    if !inside("docs::the_commands_of_the_page_on_capturing_run") {
        return;
    }
    veth("vc", "vd", 1500);
    let page = std::fs::read_to_string(repository("docs/capture.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1);
    let commands = blocks.flat_map(|block| block.split("```").next().unwrap().lines());
    let folder = folder("docs");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&folder, open).unwrap();
    let capture = repository("pcaps/ikev2-psk-mismatch/client.pcap");
    let night = folder.join("night_00001_20260301120000.pcapng");
    let mut count = 0;
    for line in commands {
        let line = line.replace("eth1", "va").replace("eth2", "vc");
        let mut words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words.remove(0), "vpnscope", "{line}");
        let is_capture = words[0] == "capture";
        if is_capture {
            if let Some(at) = words.iter().position(|word| *word == "--duration") {
                words.drain(at..=at + 1);
            }
            words.extend(["--duration", "1.5"]);
        } else {
            std::fs::copy(&capture, &night).unwrap();
        }
        let mut child = Command::new(PROGRAM)
            .args(&words)
            .current_dir(&folder)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        if is_capture {
            listening(&mut child);
            send(&capture);
        }
        let output = child.wait_with_output().unwrap();
        let findings = words.contains(&"findings") || words[0] == "analyze";
        let wanted = i32::from(findings);
        assert_eq!(
            output.status.code(),
            Some(wanted),
            "{line}: {}",
            said(&output)
        );
        count += 1;
    }
    assert!(count >= 10, "{count}");
    for written in [
        "failures.ndjson",
        "first-failure.pcapng",
        "night.ndjson",
        "one.pcapng",
    ] {
        let length = folder.join(written).metadata().unwrap().len();
        assert!(length > 200, "{written}: {length}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
