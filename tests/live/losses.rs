//! What was lost is told, and weakens what is concluded from silence.

use std::time::Duration;

use serde_json::Value;

use crate::common::repository;
use crate::wire::{inside, ipv4, lines, run, said, send_some, sender, signal, start, stop};

fn unanswered(more: &[&str], meanwhile: impl FnOnce(&std::process::Child)) -> (Vec<Value>, String) {
    let child = start(&[&["--format", "ndjson"], more].concat());
    // The gateway speaks, so silence of it means something; then a client gets no answer.
    let answered = repository("pcaps/ikev2-psk-established/client.pcap");
    send_some(&answered, usize::MAX, 100);
    let path = repository("pcaps/ikev2-udp500-dropped/client.pcap");
    send_some(&path, usize::MAX, 1);
    meanwhile(&child);
    std::thread::sleep(Duration::from_millis(2500));
    let output = stop(child);
    let told = said(&output);
    (lines(&output), told)
}

fn finding(list: &[Value]) -> &Value {
    let session = list
        .iter()
        .find(|line| line["final"] == true && line["outcome"] != "established")
        .unwrap();
    &session["findings"][0]
}

#[test]
fn drops_are_counted_shown_and_weaken_what_silence_says() {
    if !inside("losses::drops_are_counted_shown_and_weaken_what_silence_says") {
        return;
    }
    let (list, _) = unanswered(&[], |_| {});
    let sure = finding(&list).clone();
    assert_eq!(sure["code"], "no-response", "{sure}");
    assert_ne!(sure["confidence"], "possible", "{sure}");

    // A reader that sleeps while its small ring runs over.
    let sent = 6000u64;
    let (list, told) = unanswered(&["--buffer", "1M", "--stats-interval", "1"], |child| {
        signal(child, "STOP");
        let mut out = sender("vb");
        for number in 0..6000 {
            out.sendpacket(ipv4(number, 17, 1300)).unwrap();
        }
        signal(child, "CONT");
    });
    let report = list.iter().find(|line| line["type"] == "capture").unwrap();
    let dropped = report["dropped"].as_u64().unwrap();
    assert!(dropped > 1000, "{report}");
    let frames = report["frames"].as_u64().unwrap();
    assert!(frames + dropped >= sent && frames < sent, "{report}");
    assert!(
        told.contains(&format!("dropped by kernel {dropped}")),
        "{told}"
    );
    let weak = finding(&list);
    assert_eq!(
        (&weak["code"], &weak["confidence"]),
        (&"no-response".into(), &"possible".into())
    );
    assert!(
        weak["needs"].as_str().unwrap().contains("without drops"),
        "{weak}"
    );
}

#[test]
fn silence_of_an_interface_that_was_down_says_little() {
    if !inside("losses::silence_of_an_interface_that_was_down_says_little") {
        return;
    }
    let (list, told) = unanswered(&[], |_| {
        run("ip link set va down");
        std::thread::sleep(Duration::from_millis(2500));
        run("ip link set va up");
    });
    assert!(
        told.contains("va: lost: ") && told.contains("va: back again"),
        "{told}"
    );
    let weak = finding(&list);
    assert_eq!(
        (&weak["code"], &weak["confidence"]),
        (&"no-response".into(), &"possible".into())
    );
    assert!(
        weak["needs"].as_str().unwrap().contains("was down"),
        "{weak}"
    );
}
