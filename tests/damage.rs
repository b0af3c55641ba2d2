//! The labelled captures, damaged as real captures are: one direction missing, started late,
//! doubled by a span port, cut by snaplen, with dropped frames, with jittered times, with
//! other addresses. Whatever happens to a capture, nothing may be claimed with certainty
//! that is not true; and what costs no information may cost no answer.
//!
//! `VPNSCOPE_DAMAGE=KIND[,PREFIX]` runs one kind, on some scenarios, and says more.
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

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use common::damage::{self, Owned};
use common::score::Score;
use serde_json::Value;
use vpnscope::assemble::ip;
use vpnscope::desk::{Desk, Filed};
use vpnscope::diagnose::Confidence;
use vpnscope::source::Statistics;
use vpnscope::track::{self, Change};
use vpnscope::walk::Walk;

fn analyze(frames: &[Owned], statistics: &Statistics) -> Vec<Filed> {
    let mut walk = Walk::new(ip::Config::default(), track::Config::default());
    let mut desk = Desk::default();
    let mut filed = Vec::new();
    for frame in frames {
        walk.frame(&frame.frame());
        while let Some(Change::Closed(session)) = walk.poll() {
            filed.push(desk.close(session));
        }
    }
    walk.finish();
    desk.capture_ended(statistics);
    let mut last = Vec::new();
    while let Some(Change::Closed(session)) = walk.poll() {
        last.push(session);
    }
    filed.extend(desk.close_all(last));
    filed.sort_by_key(|f| f.session.id);
    filed
}

/// One way to damage: what it does, and whether everything must stay right.
struct Kind {
    name: &'static str,
    harmless: bool,
    apply: fn(&[Owned], &Ends) -> Vec<Owned>,
}

/// Who talks in a capture.
struct Ends {
    clients: Vec<IpAddr>,
    gateways: Vec<IpAddr>,
    /// Differs from capture to capture: each loses other frames.
    salt: u64,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "undamaged",
        harmless: true,
        apply: |frames, _| frames.to_vec(),
    },
    Kind {
        name: "doubled",
        harmless: true,
        apply: |frames, _| damage::doubled(frames),
    },
    Kind {
        name: "jittered",
        harmless: true,
        apply: |frames, _| damage::jittered(frames, 5_000, false, 1 + common::seed()),
    },
    Kind {
        name: "jittered-sorted",
        harmless: true,
        apply: |frames, _| damage::jittered(frames, 5_000, true, 2 + common::seed()),
    },
    Kind {
        name: "rewritten",
        harmless: true,
        apply: |frames, _| damage::rewritten(frames, true).0,
    },
    Kind {
        name: "rewritten-without-sums",
        harmless: true,
        apply: |frames, _| damage::rewritten(frames, false).0,
    },
    Kind {
        name: "without-gateway",
        harmless: false,
        apply: |frames, ends| damage::without_source(frames, &ends.gateways),
    },
    Kind {
        name: "without-client",
        harmless: false,
        apply: |frames, ends| damage::without_source(frames, &ends.clients),
    },
    Kind {
        name: "second-half",
        harmless: false,
        apply: |frames, _| damage::second_half(frames),
    },
    Kind {
        name: "first-half",
        harmless: false,
        apply: |frames, _| damage::first_half(frames),
    },
    Kind {
        name: "snaplen-96",
        harmless: false,
        apply: |frames, _| damage::snapped(frames, 96),
    },
    Kind {
        name: "dropped-30-a",
        harmless: false,
        apply: |frames, ends| damage::dropped(frames, 30, ends.salt ^ (11 + common::seed())),
    },
    Kind {
        name: "dropped-30-b",
        harmless: false,
        apply: |frames, ends| damage::dropped(frames, 30, ends.salt ^ (12 + common::seed())),
    },
    Kind {
        name: "dropped-30-c",
        harmless: false,
        apply: |frames, ends| damage::dropped(frames, 30, ends.salt ^ (13 + common::seed())),
    },
];

fn ends(filed: &[Filed], name: &str) -> Ends {
    let set = |of: fn(&Filed) -> IpAddr| -> Vec<IpAddr> {
        let all: BTreeSet<IpAddr> = filed.iter().map(of).collect();
        all.into_iter().collect()
    };
    Ends {
        clients: set(|f| f.session.client.ip),
        gateways: set(|f| f.session.gateway.ip),
        salt: name.bytes().fold(0, |salt: u64, octet| {
            salt.wrapping_mul(257) + u64::from(octet)
        }) << 16,
    }
}

/// The expectations with the addresses that a rewriting gave.
fn renamed(expect: &Value, names: &BTreeMap<IpAddr, IpAddr>) -> Value {
    let mut expect = expect.clone();
    if let Some(clients) = expect.get_mut("sessions").and_then(Value::as_object_mut) {
        let old = std::mem::take(clients);
        for (ip, accept) in old {
            let new = ip.parse().ok().and_then(|ip: IpAddr| names.get(&ip));
            clients.insert(new.map_or(ip.clone(), ToString::to_string), accept);
        }
    }
    expect
}

struct Case {
    name: String,
    frames: Vec<Owned>,
    statistics: Statistics,
    expect: Value,
    ends: Ends,
}

fn cases(folder: &Path, prefix: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for truth in common::files(folder, |p| p.ends_with("truth.json")) {
        let scenario = truth.parent().unwrap();
        let short = scenario.file_name().unwrap().to_string_lossy().to_string();
        // What a trap's truth forbids to be certain of is certain once damage removed the trap.
        if !short.starts_with(prefix) || short.starts_with("crafted-trap-") {
            continue;
        }
        let truth: Value = serde_json::from_str(&std::fs::read_to_string(&truth).unwrap()).unwrap();
        for (file, expect) in truth["expect"].as_object().unwrap() {
            if file == "compare" {
                continue;
            }
            let (frames, statistics) = damage::load(&scenario.join(file));
            let name = format!("{short}/{file}");
            let ends = ends(&analyze(&frames, &statistics), &name);
            cases.push(Case {
                name,
                frames,
                statistics,
                expect: expect.clone(),
                ends,
            });
        }
    }
    cases
}

fn run(kind: &Kind, cases: &[Case]) -> Score {
    let mut score = Score::default();
    for case in cases {
        let frames = (kind.apply)(&case.frames, &case.ends);
        let statistics = damage::statistics(&frames, case.statistics.dropped);
        let expect = if kind.name.starts_with("rewritten") {
            renamed(&case.expect, &damage::rewritten(&case.frames, false).1)
        } else {
            case.expect.clone()
        };
        score.capture(&case.name, &analyze(&frames, &statistics), &expect);
    }
    score
}

/// The acceptance of a damaged capture also holds what honest ignorance says.
#[test]
fn damaged_captures_are_never_certain_and_wrong() {
    let wish = std::env::var("VPNSCOPE_DAMAGE").unwrap_or_default();
    let (kind, prefix) = wish.split_once(',').unwrap_or((wish.as_str(), ""));
    let folder = match common::corpus("damage to the larger labelled corpus") {
        Some(corpus) if corpus.join("lab").is_dir() => corpus.join("lab"),
        _ => common::repository("pcaps"),
    };
    let cases = cases(&folder, prefix);
    assert!(!cases.is_empty(), "no labelled captures");
    let mut faults = Vec::new();
    let (mut right, mut files) = (0, 0);
    let mut all = (0, 0);
    let sound: BTreeSet<String> = run(&KINDS[0], &cases).wrong.iter().map(at).collect();
    for kind in KINDS
        .iter()
        .filter(|k| kind.is_empty() || k.name.starts_with(kind))
    {
        let score = run(kind, &cases);
        println!(
            "{:<24} {:>4} of {} right, {} certain and wrong, {} false alarms",
            kind.name,
            score.right,
            score.files,
            score.certain_and_wrong.len(),
            score.false_alarm.len()
        );
        for line in &score.certain_and_wrong {
            faults.push(format!("{}: certain and wrong: {line}", kind.name));
        }
        if !kind.name.starts_with("undamaged") {
            all = (all.0 + score.right, all.1 + score.files);
        }
        if kind.harmless {
            let lost = score.wrong.iter().filter(|line| !sound.contains(&at(line)));
            for line in lost {
                faults.push(format!("{}: no longer right: {line}", kind.name));
            }
            for line in &score.false_alarm {
                faults.push(format!("{}: false alarm: {line}", kind.name));
            }
        } else {
            right += score.right;
            files += score.files;
            if !wish.is_empty() {
                score.print(kind.name);
            }
            for line in &score.false_alarm {
                println!("  false alarm: {line}");
            }
        }
    }
    println!("damaged: {right} of {files} right");
    assert!(faults.is_empty(), "{faults:#?}");
    // Where messages are missing, many verdicts cannot be had; the bound notices when more are
    // lost. Each capture loses other frames: over many seeds it is 35 to 37 %
    // here. The other one holds all damage, of which a part must change nothing.
    assert!(
        files == 0 || right * 100 >= files * 34,
        "less than 34 % right where messages are missing"
    );
    assert!(
        all.1 == 0 || all.0 * 100 >= all.1 * 60,
        "{} of {} right in all: less than 60 %",
        all.0,
        all.1
    );
}

/// Captures that lost just what told one cause from another one: that is never certain.
#[test]
fn what_lost_its_contradiction_is_not_certain() {
    for (file, lost, code) in [
        (
            "tls13-retry-unknown-group/client.pcap",
            &[6][..],
            "tls-alert-illegal-parameter",
        ),
        (
            "crafted-ikev1-no-peer-config/single.pcap",
            &[1, 2],
            "proposal-mismatch",
        ),
        (
            "crafted-no-peer-config/single.pcap",
            &[1, 2, 3, 18, 20, 21, 26],
            "proposal-mismatch",
        ),
        (
            "crafted-different-backends/single.pcap",
            &[4],
            "nat-t-blocked",
        ),
        ("l2tp-no-address/single.pcap", &[19], "l2tp-cdn"),
    ] {
        let (frames, statistics) = damage::load(&common::repository("pcaps").join(file));
        let found = |frames: &[Owned]| -> Vec<_> {
            let filed = analyze(frames, &damage::statistics(frames, statistics.dropped));
            let all = filed.iter().flat_map(|filed| &filed.verdict.findings);
            all.filter(|finding| finding.cause.code == code)
                .map(|finding| finding.confidence)
                .collect()
        };
        assert_eq!(found(&frames), [], "{file} as it was");
        let rest: Vec<Owned> = frames
            .iter()
            .filter(|frame| !lost.contains(&frame.no))
            .cloned()
            .collect();
        assert_eq!(found(&rest), [Confidence::Likely], "{file}");
    }
}

/// The capture that a line of the score is about.
#[allow(clippy::ptr_arg, reason = "used where iterators give this")]
fn at(line: &String) -> String {
    line.split(": ").next().unwrap_or_default().to_string()
}
