//! `decode` against tshark's tables over captures by others. Every difference that remains
//! stands in `known.toml` with who is right and why; an entry that nothing needs any more fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test code"
)]

mod common;

#[path = "differential/judge.rs"]
mod judge;
#[path = "differential/table.rs"]
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use vpnscope::decap::{Content, decap};
use vpnscope::source::{FrameSource, file};

use judge::{Difference, PROTOCOLS};
use table::Table;

/// The differences that are known.
#[derive(Debug, Deserialize)]
struct Known {
    /// Captures on which tshark is no judge at all.
    #[serde(default)]
    no_judge: Vec<NoJudge>,
    /// Single differences.
    #[serde(default)]
    difference: Vec<Entry>,
    /// Frames whose IP fragment header the two read differently.
    #[serde(default)]
    fragment: Vec<Fragment>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fragment {
    capture: String,
    frames: Vec<u64>,
    why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoJudge {
    /// Part of the path below `files/`.
    capture: String,
    /// Protocols; all where absent.
    #[serde(default)]
    protocols: Vec<String>,
    why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    protocol: String,
    /// Part of the path below `files/`.
    capture: String,
    /// Frames; all of the capture where absent.
    #[serde(default)]
    frames: Vec<u64>,
    /// What is compared: `header`, `payloads`, …
    field: String,
    /// Who is right.
    right: Right,
    why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Right {
    Vpnscope,
    Tshark,
    Both,
    Neither,
}

impl Entry {
    fn covers(&self, capture: &str, difference: &Difference) -> bool {
        self.protocol == difference.protocol
            && self.field == difference.field
            && capture.contains(&self.capture)
            && (self.frames.is_empty() || self.frames.contains(&difference.frame))
    }
}

fn known() -> Known {
    let path = common::repository("tests/differential/known.toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The captures that have a table of a protocol, with their path below `files/`.
fn captures(corpus: &Path) -> Vec<(String, PathBuf)> {
    let root = corpus.join("captures/files");
    common::files(&root, |_| true)
        .into_iter()
        .map(|path| {
            let name = path
                .strip_prefix(&root)
                .unwrap()
                .to_string_lossy()
                .into_owned();
            (name, path)
        })
        .collect()
}

/// Every decoded frame of a capture by its number.
fn decode(path: &Path) -> BTreeMap<u64, Value> {
    let octets = std::fs::read(path).unwrap();
    common::run::decode_values(&common::run::frames(&octets))
        .into_iter()
        .map(|value| (value["frame"].as_u64().unwrap(), value))
        .collect()
}

#[test]
fn every_difference_to_tshark_is_known() {
    let Some(corpus) = common::corpus("comparison with tshark") else {
        return;
    };
    let known = known();
    let mut used = BTreeSet::new();
    let mut unfair = BTreeSet::new();
    let mut unknown = Vec::new();
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (name, path) in captures(&corpus) {
        let mut frames = None;
        for protocol in PROTOCOLS {
            let reference = corpus.join(format!("captures/reference/{name}.{}.tsv", protocol.name));
            if !reference.is_file() {
                continue;
            }
            let no_judge = known.no_judge.iter().position(|entry| {
                name.contains(&entry.capture)
                    && (entry.protocols.is_empty()
                        || entry.protocols.iter().any(|p| p == protocol.name))
            });
            if let Some(index) = no_judge {
                unfair.insert(index);
                continue;
            }
            let frames = frames.get_or_insert_with(|| decode(&path));
            let (compared, differences) = protocol.compare(&Table::read(&reference), frames);
            let count = counts.entry(protocol.name).or_default();
            count.0 += compared;
            count.1 += differences.len() as u64;
            for difference in differences {
                let entries: Vec<usize> = (0..known.difference.len())
                    .filter(|i| known.difference[*i].covers(&name, &difference))
                    .collect();
                if entries.is_empty() {
                    unknown.push(format!("{name} {difference}"));
                }
                used.extend(entries);
            }
        }
    }
    for (protocol, (compared, different)) in &counts {
        println!("{protocol}: {compared} values compared, {different} differ");
        assert!(*compared > 0, "nothing was compared for {protocol}");
    }
    assert_eq!(counts.len(), PROTOCOLS.len(), "a protocol has no tables");
    let stale: Vec<&Entry> = (0..known.difference.len())
        .filter(|i| !used.contains(i))
        .map(|i| &known.difference[i])
        .collect();
    let stale_captures: Vec<&NoJudge> = (0..known.no_judge.len())
        .filter(|i| !unfair.contains(i))
        .map(|i| &known.no_judge[i])
        .collect();
    unknown.truncate(200);
    assert!(
        unknown.is_empty(),
        "differences that known.toml does not explain:\n{}",
        unknown.join("\n")
    );
    assert!(stale.is_empty(), "entries without a difference: {stale:#?}");
    assert!(
        stale_captures.is_empty(),
        "captures that are not there: {stale_captures:#?}"
    );
}

#[test]
fn every_known_difference_says_why() {
    let known = known();
    for entry in &known.difference {
        assert!(
            entry.why.len() > 20,
            "{} {}: why is {:?}?",
            entry.capture,
            entry.field,
            entry.right
        );
        assert!(
            PROTOCOLS.iter().any(|p| p.name == entry.protocol),
            "{} is not compared",
            entry.protocol
        );
    }
    for entry in &known.fragment {
        assert!(entry.why.len() > 20, "{}: why?", entry.capture);
    }
    for entry in &known.no_judge {
        assert!(entry.why.len() > 20, "{}: why?", entry.capture);
    }
}

/// Every fragment of a capture: frame, identification, offset in octets, whether more follow.
fn fragments(path: &Path) -> BTreeSet<(u64, u64, u64, bool)> {
    let mut source = match file::open(path, 0) {
        Ok(source) => source,
        Err(error) => panic!("{error}"),
    };
    let mut found = BTreeSet::new();
    while let Some(frame) = source.next_frame() {
        if let Content::Fragment(part) = decap(&frame).content {
            found.insert((frame.no, part.id.into(), part.offset.into(), part.more));
        }
    }
    found
}

/// What tshark says of the same.
fn fragments_of(table: &Table) -> BTreeSet<(u64, u64, u64, bool)> {
    let mut found = BTreeSet::new();
    for row in table.rows() {
        // tshark gives the field as it stands; its unit is eight octets.
        let offsets = |column| -> Vec<u64> { row.numbers(column).iter().map(|n| n * 8).collect() };
        let v6 = row.numbers("ipv6.fraghdr.ident");
        let (id, offset, more) = if v6.is_empty() {
            (
                row.numbers("ip.id"),
                offsets("ip.frag_offset"),
                row.numbers("ip.flags.mf"),
            )
        } else {
            (
                v6,
                offsets("ipv6.fraghdr.offset"),
                row.numbers("ipv6.fraghdr.more"),
            )
        };
        // The innermost header; an outer one is peeled off.
        if let (Some(id), Some(offset), Some(more)) = (id.last(), offset.last(), more.last())
            && (*offset != 0 || *more != 0)
        {
            found.insert((row.frame(), *id, *offset, *more != 0));
        }
    }
    found
}

#[test]
fn fragments_are_those_that_tshark_sees() {
    let Some(corpus) = common::corpus("comparison of IP fragments with tshark") else {
        return;
    };
    let known = known();
    let mut compared = 0;
    let mut unknown = Vec::new();
    for (name, path) in captures(&corpus) {
        let reference = corpus.join(format!("captures/reference/{name}.frag.tsv"));
        if !reference.is_file() {
            continue;
        }
        let (ours, theirs) = (fragments(&path), fragments_of(&Table::read(&reference)));
        compared += theirs.len();
        let explained = |frame: u64| {
            known
                .fragment
                .iter()
                .any(|e| name.contains(&e.capture) && e.frames.contains(&frame))
        };
        for odd in ours.symmetric_difference(&theirs) {
            if !explained(odd.0) {
                let who = if ours.contains(odd) { "we" } else { "tshark" };
                unknown.push(format!("{name}: only {who} {odd:?}"));
            }
        }
    }
    println!("{compared} IP fragments compared");
    assert!(compared > 0, "no fragments were compared");
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}
