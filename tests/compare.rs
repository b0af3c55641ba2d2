//! Captures of the same event from two points: every labelled pair must be judged as its truth
//! says, whatever the order of the points and whatever their clocks show; pairs where all is
//! well must raise no alarm.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test code"
)]

mod common;
#[path = "compare/made.rs"]
mod made;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::damage::{self, Owned};
use serde_json::Value;
use vpnscope::compare::{Comparison, Watcher, compare};
use vpnscope::diagnose::{Confidence, Outcome};
use vpnscope::source::{Format, Frame, Statistics};

fn point(name: &str, number: u16, frames: &[Owned]) -> vpnscope::compare::Point {
    let mut watcher = Watcher::new(name.to_string(), None);
    for frame in frames {
        watcher.frame(&Frame {
            capture: number,
            ..frame.frame()
        });
    }
    let mut statistics = Statistics::new(name, Format::Pcap);
    statistics.frames = frames.len() as u64;
    statistics.first = frames.first().map(|f| f.time);
    statistics.last = frames.iter().map(|f| f.time).max();
    watcher.finish(statistics)
}

fn together(points: &[(&str, &[Owned])]) -> Comparison {
    compare(
        (0u16..)
            .zip(points)
            .map(|(number, (name, frames))| point(name, number, frames))
            .collect(),
    )
}

fn causes(comparison: &Comparison) -> Vec<&'static str> {
    comparison
        .sessions
        .iter()
        .map(|(_, j)| j.verdict.cause.unwrap_or(j.verdict.outcome.word()))
        .collect()
}

struct Pair {
    name: String,
    truth: Value,
    client: Vec<Owned>,
    gateway: Vec<Owned>,
}

fn capture(folder: &Path, name: &str) -> Option<PathBuf> {
    ["pcap", "pcapng"]
        .iter()
        .map(|end| folder.join(format!("{name}.{end}")))
        .find(|path| path.is_file())
}

fn pairs() -> Vec<Pair> {
    let folder = match common::corpus("pairs of the larger labelled corpus") {
        Some(corpus) if corpus.join("lab").is_dir() => corpus.join("lab"),
        _ => common::repository("pcaps"),
    };
    common::files(&folder, |p| p.ends_with("truth.json"))
        .into_iter()
        .filter_map(|truth| {
            let folder = truth.parent()?;
            let (client, gateway) = (capture(folder, "client")?, capture(folder, "gateway")?);
            Some(Pair {
                name: folder.file_name()?.to_string_lossy().into_owned(),
                truth: serde_json::from_str(&std::fs::read_to_string(&truth).unwrap()).unwrap(),
                client: damage::load(&client).0,
                gateway: damage::load(&gateway).0,
            })
        })
        .collect()
}

fn accepted(pair: &Pair) -> Option<BTreeSet<String>> {
    let list = pair.truth["expect"]["compare"]["causes"].as_array()?;
    Some(
        list.iter()
            .filter_map(|c| c.as_str().map(String::from))
            .collect(),
    )
}

fn is_right(comparison: &Comparison, accepted: &BTreeSet<String>) -> bool {
    causes(comparison).iter().any(|c| accepted.contains(*c))
}

#[test]
fn labelled_pairs_are_judged_right() {
    let pairs = pairs();
    let mut faults = Vec::new();
    let mut judged = 0;
    for pair in &pairs {
        let Some(accepted) = accepted(pair) else {
            continue;
        };
        judged += 1;
        let forth = together(&[("client", &pair.client), ("gateway", &pair.gateway)]);
        if !is_right(&forth, &accepted) {
            faults.push(format!("{}: {accepted:?}: {:?}", pair.name, causes(&forth)));
            continue;
        }
        let back = together(&[("gateway", &pair.gateway), ("client", &pair.client)]);
        if !is_right(&back, &accepted) {
            faults.push(format!("{} turned round: {:?}", pair.name, causes(&back)));
        }
        // A clock that is three minutes ahead: what both saw brings it back.
        let mut ahead = pair.gateway.clone();
        for frame in &mut ahead {
            frame.time.0 += 180_000_000_000;
        }
        let shifted = together(&[("client", &pair.client), ("gateway", &ahead)]);
        let common = shifted.matches.clocks[1].pairs > 0;
        if common && !is_right(&shifted, &accepted) {
            faults.push(format!(
                "{} three minutes ahead: {:?}",
                pair.name,
                causes(&shifted)
            ));
        }
        if common && forth.matches.clocks[1].uncertainty < Some(vpnscope::time::Span::from_secs(1))
        {
            let moved = shifted.matches.clocks[1].offset.0 - forth.matches.clocks[1].offset.0;
            assert_eq!(moved, 180_000_000_000, "{}: the clock's offset", pair.name);
        }
    }
    println!("{judged} pairs judged, {} faults", faults.len());
    assert!(judged > 10, "the labelled pairs are missing");
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn pairs_where_all_is_well_raise_no_alarm() {
    let mut faults = Vec::new();
    for pair in pairs() {
        // Of ten clients, two are meant to fail.
        if pair.truth["outcome"] != "established" || pair.name == "oc-ten-clients" {
            continue;
        }
        let both = together(&[("client", &pair.client), ("gateway", &pair.gateway)]);
        for (_, j) in &both.sessions {
            if matches!(j.verdict.outcome, Outcome::Failed | Outcome::Degraded) {
                faults.push(format!("{}: {:?}", pair.name, causes(&both)));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn three_points_show_between_which_two_it_is_lost() {
    let folder = common::repository("pcaps/ikev2-udp4500-blocked");
    let client = damage::load(&capture(&folder, "client").unwrap()).0;
    let gateway = damage::load(&capture(&folder, "gateway").unwrap()).0;
    let middle = damage::doubled(&client)
        .into_iter()
        .skip(1)
        .step_by(2)
        .collect::<Vec<_>>();
    let all = together(&[("wan", &gateway), ("client", &client), ("lan", &middle)]);
    assert_eq!(all.sessions.len(), 1);
    let (group, judgement) = &all.sessions[0];
    let path: Vec<&str> = group
        .order
        .iter()
        .map(|p| all.points[*p].name.as_str())
        .collect();
    assert_eq!(path, ["client", "lan", "wan"]);
    assert_eq!(judgement.verdict.cause, Some("nat-t-blocked"));
    assert_eq!(judgement.verdict.confidence, Confidence::Certain);
    let summary = &judgement.verdict.findings[0].summary;
    assert!(summary.contains("from lan to wan"), "{summary}");
}

#[test]
fn captures_of_different_events_have_nothing_in_common() {
    let load = |name: &str| {
        let folder = common::repository("pcaps").join(name);
        damage::load(&capture(&folder, "client").unwrap()).0
    };
    let (one, other) = (load("ikev2-psk-established"), load("ikev2-childless"));
    let both = together(&[("a", &one), ("b", &other)]);
    assert_eq!(both.sessions.len(), 2, "{:?}", causes(&both));
    assert_eq!(both.matches.clocks[1].uncertainty, None);
}

/// A kind of damage by its name.
type Way<'a> = (&'a str, &'a dyn Fn(&[Owned]) -> Vec<Owned>);

/// Whatever happens to one capture of a pair or to both: never certain and wrong.
#[test]
fn damaged_pairs_are_never_certain_and_wrong() {
    let seed = common::seed();
    let ways: &[Way<'_>] = &[
        ("dropped", &|f| damage::dropped(f, 30, 21 + seed)),
        ("dropped otherwise", &|f| damage::dropped(f, 30, 22 + seed)),
        ("started late", &damage::second_half),
        ("ended early", &damage::first_half),
        ("snaplen 96", &|f| damage::snapped(f, 96)),
        ("doubled", &damage::doubled),
        ("jittered", &|f| damage::jittered(f, 5_000, true, 23 + seed)),
    ];
    let (mut faults, mut right, mut judged) = (Vec::new(), 0, 0);
    for pair in &pairs() {
        let may = claims(pair);
        for (way, apply) in ways {
            let (client, gateway) = (apply(&pair.client), apply(&pair.gateway));
            for (which, a, b) in [
                ("client", &client, &pair.gateway),
                ("gateway", &pair.client, &gateway),
                ("both", &client, &gateway),
            ] {
                let both = together(&[("client", a), ("gateway", b)]);
                judged += 1;
                let told = causes(&both);
                right += u32::from(told.iter().any(|c| may.contains(*c)));
                for (_, j) in &both.sessions {
                    let v = &j.verdict;
                    let trouble = matches!(v.outcome, Outcome::Failed | Outcome::Degraded);
                    let code = v.cause.unwrap_or_default();
                    if trouble && v.confidence == Confidence::Certain && !may.contains(code) {
                        faults.push(format!("{} ({which} {way}): {code}", pair.name));
                    }
                }
            }
        }
    }
    println!("{judged} damaged pairs, {right} told right");
    assert!(faults.is_empty(), "{faults:#?}");
}

/// What may be claimed of a pair: of each capture alone and of both, or that it works.
fn claims(pair: &Pair) -> BTreeSet<String> {
    let mut may = accepted(pair).unwrap_or_default();
    for (file, expect) in pair.truth["expect"].as_object().unwrap() {
        if file == "compare" {
            continue;
        }
        let lists = expect["accept"].as_array().into_iter().flatten().chain(
            expect["sessions"]
                .as_object()
                .into_iter()
                .flat_map(|o| o.values().filter_map(Value::as_array).flatten()),
        );
        for accept in lists {
            may.extend(common::score::strings(&accept["certain"]));
            if accept["outcome"] == serde_json::json!(["established"]) {
                may.insert("established".to_string());
            }
        }
    }
    may
}
