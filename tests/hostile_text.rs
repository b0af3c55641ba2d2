//! What strangers write into identities, names, messages, certificates, comments and file names
//! reaches no terminal: not as text, not as JSON, not among the complaints.
//!
//! Every run of letters in the frames of labelled captures is overwritten by terminal tricks of
//! the same length, so that each field that carries text carries them once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test code"
)]

mod common;

use std::path::{Path, PathBuf};

use common::program::run;
use vpnscope::render::escape::is_harmful;

/// Colour, bell, right-to-left override, a lone newline, the C1 control sequence introducer, a
/// tag character, octets that are no UTF-8.
const TRICKS: &[&[u8]] = &[
    b"\x1b[31m",
    b"\x07",
    "\u{202e}".as_bytes(),
    b"\n",
    "\u{9b}2J".as_bytes(),
    "\u{e0041}".as_bytes(),
    b"\xff\xfe",
    b"\r",
    "\u{2028}".as_bytes(),
];

/// Overwrites every run of at least five letters, from place `skip` on, with tricks.
fn poison(octets: &mut [u8], skip: usize, turn: &mut usize) -> usize {
    let mut runs = 0;
    let mut at = skip;
    while at < octets.len() {
        let rest = &octets[at..];
        let is_text = |octet: &u8| octet.is_ascii_alphanumeric() || b" .-_@=/:".contains(octet);
        let len = rest.iter().take_while(|octet| is_text(octet)).count();
        if len >= 5 {
            runs += 1;
            let mut place = at;
            while place < at + len {
                let trick = TRICKS[*turn % TRICKS.len()];
                *turn += 1;
                let room = at + len - place;
                if trick.len() <= room {
                    octets[place..place + trick.len()].copy_from_slice(trick);
                    place += trick.len();
                } else {
                    octets[place] = 0x1b;
                    place += 1;
                }
            }
        }
        at += len.max(1);
    }
    runs
}

fn poisoned(path: &Path) -> Vec<u8> {
    let octets = std::fs::read(path).unwrap();
    let frames = common::run::frames(&octets);
    let Some(first) = frames.first() else {
        return octets;
    };
    let mut out = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    out.extend([0, 0, 4, 0]);
    out.extend(u32::from(first.link.0).to_le_bytes());
    let mut turn = 0;
    for frame in frames {
        let mut octets = frame.octets;
        let skip = 42.min(octets.len());
        poison(&mut octets, skip, &mut turn);
        let len = u32::try_from(octets.len()).unwrap();
        let seconds = u32::try_from(frame.time.0 / 1_000_000_000).unwrap();
        let micros = u32::try_from(frame.time.0 % 1_000_000_000 / 1000).unwrap();
        for value in [seconds, micros, len, frame.wire_len.max(len)] {
            out.extend(value.to_le_bytes());
        }
        out.extend(octets);
    }
    out
}

/// Runs a command; nothing that it prints is harmful. Gives what it printed.
fn is_harmless(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(
        matches!(output.status.code(), Some(0..=2)),
        "{arguments:?}: {:?} {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    for text in [&printed, &said] {
        let bad = text
            .char_indices()
            .find(|(_, c)| *c != '\n' && is_harmful(*c));
        if let Some((at, bad)) = bad {
            let around: String = text[..at].chars().rev().take(120).collect();
            let around: String = around.chars().rev().collect();
            panic!("{arguments:?} prints {bad:?} after {around:?}");
        }
    }
    printed
}

fn folder() -> PathBuf {
    // The name is as hostile as the rest.
    let folder = std::env::temp_dir().join(format!("vpnscope-hostile-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn every_command_prints_what_strangers_wrote_without_harm() {
    let all = common::files(&common::repository("pcaps"), common::is_capture);
    let long = std::env::var_os("VPNSCOPE_LONG").is_some();
    let wanted = [
        "aggressive",
        "xauth",
        "mschapv2",
        "pap-auth",
        "ppp",
        "dns",
        "radius",
        "pppoe",
        "cert",
        "sni",
        "tls12-mutual",
        "ikescan",
        "libreswan",
        "stopccn",
        "http",
        "name",
    ];
    let chosen: Vec<PathBuf> = all
        .into_iter()
        .filter(|path| {
            long || wanted
                .iter()
                .any(|name| path.to_string_lossy().contains(name))
        })
        .step_by(if long { 1 } else { 3 })
        .collect();
    assert!(chosen.len() >= 12, "{} captures", chosen.len());
    let folder = folder();
    let hostile = folder.join("a\u{1b}[31m\u{202e}\u{9b}b.pcap");
    let name = hostile.to_str().unwrap();
    let mut escaped = 0;
    for (index, path) in chosen.iter().enumerate() {
        std::fs::write(&hostile, poisoned(path)).unwrap();
        let mut printed = is_harmless(&["analyze", "--tls", "all", name]);
        printed += &is_harmless(&["decode", name]);
        for form in ["json", "ndjson"] {
            let text = is_harmless(&["analyze", "--tls", "all", "--format", form, name]);
            for line in text.lines() {
                serde_json::from_str::<serde_json::Value>(line).expect("JSON");
            }
            is_harmless(&["decode", "--show-secrets", "--format", form, name]);
        }
        if index % 4 == 0 || long {
            let whole = path.to_str().unwrap();
            let (a, b) = (format!("a\u{1b}[1m={whole}"), format!("b\u{202e}={name}"));
            is_harmless(&["compare", &a, &b]);
            is_harmless(&["compare", "--format", "json", &a, &b]);
            is_harmless(&["explain", "809", "--in", name]);
            is_harmless(&[
                "explain",
                "cert-name-mismatch",
                "--in",
                name,
                "--format",
                "json",
            ]);
            is_harmless(&[
                "replay",
                name,
                "--session",
                "1",
                "--show-script",
                "--target",
                "127.0.0.1:9",
            ]);
        }
        escaped += printed.matches("\\u{1b}").count();
    }
    std::fs::remove_dir_all(&folder).unwrap();
    // The tricks did arrive, and were spelled out.
    assert!(
        escaped > 2 * chosen.len(),
        "only {escaped} tricks were shown of {} captures",
        chosen.len()
    );
}

#[test]
fn names_of_files_that_cannot_be_read_are_harmless() {
    let missing = "no\u{1b}]0;title\u{7}such\u{202e}file\n.pcap";
    for arguments in [
        vec!["analyze", missing],
        vec!["decode", missing],
        vec!["compare", missing, missing],
        vec!["explain", "809", "--in", missing],
        vec!["extract", missing, "-o", "/nowhere\u{1b}/x.pcap"],
        vec!["explain", "log line \u{1b}[31m with tricks"],
    ] {
        is_harmless(&arguments);
    }
}

/// Comments and filters of a pcapng, and options that are no text at all.
#[test]
fn comments_of_a_capture_are_harmless() {
    let block = |kind: u32, body: &[u8]| {
        let total = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
        [&kind.to_le_bytes()[..], &total, body, &total].concat()
    };
    let option = |code: u16, value: &[u8]| {
        let len = u16::try_from(value.len()).unwrap().to_le_bytes();
        let mut out = [&code.to_le_bytes()[..], &len, value].concat();
        out.resize(out.len().next_multiple_of(4), 0);
        out
    };
    let tricks = TRICKS.concat();
    let comment = [option(1, &tricks), vec![0; 4]].concat();
    let section = [
        &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..],
        &[255; 8],
        &comment,
    ]
    .concat();
    let filter = [&[0][..], &tricks].concat();
    let options = [option(2, &tricks), option(11, &filter), comment.clone()].concat();
    let interface = [&[1, 0, 0, 0, 0, 0, 4, 0][..], &options].concat();
    let frame = [0; 60];
    let head = [0u32, 0, 0, 60, 60].map(u32::to_le_bytes).concat();
    let packet = [&head[..], &frame, &comment].concat();
    let file = [
        block(0x0a0d_0d0a, &section),
        block(1, &interface),
        block(6, &packet),
    ]
    .concat();
    let folder = folder().with_extension("comments");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("c.pcapng");
    std::fs::write(&path, file).unwrap();
    let name = path.to_str().unwrap();
    is_harmless(&["analyze", name]);
    let json = is_harmless(&["analyze", "--format", "json", name]);
    assert!(json.contains("\\u001b"), "{json}");
    is_harmless(&["decode", "--format", "ndjson", name]);
    let copy = folder.join("copy.pcapng");
    is_harmless(&["extract", name, "-o", copy.to_str().unwrap()]);
    is_harmless(&["compare", name, copy.to_str().unwrap()]);
    std::fs::remove_dir_all(&folder).unwrap();
}
