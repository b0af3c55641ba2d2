//! For every name in the code tables, a frame and a value decoded from it.
//!
//! The names come from the tables, the frames from `coverage/*.toml`: a frame of a capture in
//! `pcaps/`, or octets laid out by hand after the RFC that the entry names. A name without a frame
//! fails, and so does an entry whose name is in no table.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test code"
)]

mod common;

#[path = "coverage/frames.rs"]
mod frames;
#[path = "coverage/names.rs"]
mod names;
#[path = "coverage/sweep.rs"]
mod sweep;
#[path = "coverage/sweep1.rs"]
mod sweep1;

use std::collections::{BTreeMap, BTreeSet};

use common::run::Owned;
use frames::Entry;
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    entry: Vec<Entry>,
}

fn book(name: &str) -> Vec<Entry> {
    let path = common::repository("tests/coverage").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let book: Book = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    book.entry
}

/// Frames of captures that were read already.
#[derive(Default)]
struct Library {
    captures: BTreeMap<String, (Vec<Owned>, BTreeMap<u64, Value>)>,
}

impl Library {
    fn of(&mut self, capture: &str) -> &(Vec<Owned>, BTreeMap<u64, Value>) {
        self.captures.entry(capture.to_string()).or_insert_with(|| {
            let path = common::repository("pcaps").join(capture);
            let octets = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let frames = common::run::frames(&octets);
            let decoded = by_number(&frames);
            (frames, decoded)
        })
    }

    /// The decoded frame of an entry.
    fn decoded(&mut self, entry: &Entry) -> Value {
        if let Some(capture) = &entry.capture {
            let no = entry.frame.expect("an entry of a capture has a frame");
            let (_, decoded) = self.of(capture);
            decoded.get(&no).cloned().unwrap_or(Value::Null)
        } else {
            let frames = entry.by_hand();
            let last = frames.len() as u64;
            by_number(&frames).remove(&last).unwrap_or(Value::Null)
        }
    }
}

fn by_number(frames: &[Owned]) -> BTreeMap<u64, Value> {
    common::run::decode_values(frames)
        .into_iter()
        .map(|value| (value["frame"].as_u64().unwrap(), value))
        .collect()
}

/// Holds a book to a list of names.
fn hold(file: &str, wanted: &[String]) {
    let entries = book(file);
    let mut library = Library::default();
    let mut faults = Vec::new();
    let mut named = BTreeSet::new();
    for entry in &entries {
        named.insert(entry.name.clone());
        if entry.capture.is_none() && entry.hand.is_none() {
            faults.push(format!("{}: neither a capture nor by hand", entry.name));
            continue;
        }
        let decoded = library.decoded(entry);
        let Some(found) = decoded.pointer(&entry.path) else {
            faults.push(format!("{}: no {} in {decoded}", entry.name, entry.path));
            continue;
        };
        let expected = serde_json::to_value(&entry.value).expect("a value");
        if *found != expected {
            faults.push(format!(
                "{}: {} is {found}, not {expected}",
                entry.name, entry.path
            ));
        }
    }
    let wanted: BTreeSet<String> = wanted.iter().cloned().collect();
    for name in wanted.difference(&named) {
        faults.push(format!("{name}: has no frame"));
    }
    for name in named.difference(&wanted) {
        faults.push(format!("{name}: is in no table"));
    }
    let captured = entries.iter().filter(|e| e.capture.is_some()).count();
    println!(
        "{file}: {} names, {captured} frames of captures, {} by hand",
        wanted.len(),
        entries.len() - captured
    );
    assert!(
        faults.is_empty(),
        "{} faults in {file}:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn ikev2() {
    hold("ikev2.toml", &names::ikev2());
}

#[test]
fn link_types_and_encapsulations() {
    hold("link.toml", &names::link());
}

#[test]
fn ikev1() {
    hold("ikev1.toml", &names::ikev1());
}

#[test]
fn ikev1_tables() {
    hold("ikev1-tables.toml", &names::ikev1_tables());
}

#[test]
fn tls_and_dtls() {
    hold("tls.toml", &names::tls());
}

#[test]
fn l2tp_and_ppp() {
    hold("l2tp.toml", &names::l2tp());
}
