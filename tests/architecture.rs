//! Who may import whom: the table of ARCHITECTURE.md, checked against the `use` lines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod common;

use std::collections::BTreeSet;

/// For each room, the rooms of this crate that it may import.
const ALLOWED: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("limits", &[]),
    ("tables", &[]),
    ("source", &["time"]),
    ("decap", &["limits", "source", "time"]),
    ("assemble", &["decap", "source", "tables", "time"]),
    ("dissect", &["assemble", "decap", "time", "track"]),
    ("track", &["assemble", "decap", "limits", "tables", "time"]),
    ("diagnose", &["decap", "tables", "time", "track", "explain"]),
    ("desk", &["diagnose", "source", "track", "time"]),
    ("explain", &["diagnose", "report", "time", "track"]),
    (
        "report",
        &[
            "assemble", "decap", "diagnose", "dissect", "explain", "limits", "source", "time",
            "track", "compare", "replay",
        ],
    ),
    ("render", &["report"]),
    (
        "walk",
        &["assemble", "decap", "dissect", "source", "time", "track"],
    ),
    (
        "compare",
        &[
            "desk", "decap", "diagnose", "source", "time", "track", "walk", "assemble", "dissect",
            "report",
        ],
    ),
    (
        "replay",
        &[
            "decap", "source", "time", "track", "walk", "assemble", "dissect",
        ],
    ),
];

/// Rooms that must not know the dissectors.
const NO_DISSECTORS: &[&str] = &["time", "tables", "source", "decap", "render"];

fn rooms_used(text: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for part in text.split("crate::").skip(1) {
        if let Some(list) = part.strip_prefix('{') {
            for item in list.split('}').next().unwrap_or_default().split(',') {
                rooms.insert(
                    item.split("::")
                        .next()
                        .unwrap_or_default()
                        .trim()
                        .to_string(),
                );
            }
            continue;
        }
        let room: String = part
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        rooms.insert(room);
    }
    rooms
}

fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let source = common::repository("src");
    let mut faults = Vec::new();
    let all: BTreeSet<&str> = ALLOWED
        .iter()
        .map(|(room, _)| *room)
        .chain(["cli"])
        .collect();
    for path in common::files(&source, |p| p.extension().is_some_and(|e| e == "rs")) {
        let relative = path
            .strip_prefix(&source)
            .unwrap()
            .to_string_lossy()
            .replace('\\', "/");
        // Unit tests build what they need wherever it is made.
        if relative.ends_with("/tests.rs") {
            continue;
        }
        let room = relative.split(['/', '.']).next().unwrap().to_string();
        if relative.ends_with("tests.rs") || relative.contains("/tests/") {
            continue;
        }
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == room) else {
            assert!(
                ["cli", "lib", "main"].contains(&room.as_str()),
                "{room} is not in the table"
            );
            continue;
        };
        let text = code(&std::fs::read_to_string(&path).unwrap());
        for used in rooms_used(&text) {
            if all.contains(used.as_str()) && used != room && !allowed.contains(&used.as_str()) {
                faults.push(format!("{relative} imports {used}"));
            }
        }
        if NO_DISSECTORS.contains(&room.as_str()) && text.contains("vpnscope_dissectors") {
            faults.push(format!("{relative} imports the dissectors"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn dissectors_know_nothing_of_the_rooms() {
    let manifest = std::fs::read_to_string(common::repository("dissectors/Cargo.toml")).unwrap();
    assert!(
        !manifest.contains("\nvpnscope ="),
        "the dissectors must not depend on the rooms"
    );
    let library = std::fs::read_to_string(common::repository("dissectors/Cargo.toml")).unwrap();
    assert!(library.contains("unsafe_code = \"forbid\""));
}
