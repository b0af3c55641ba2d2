//! The registry of causes keeps its word: every rule file is asked, codes are unique and well
//! formed, explanations are whole, and each cause has a capture in which it fires and a near
//! miss in which it stays silent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use vpnscope::diagnose::{SECTIONS, causes};

#[test]
fn every_rule_file_is_registered() {
    let folder = common::repository("src/diagnose/rules");
    let registry = std::fs::read_to_string(common::repository("src/diagnose/rules.rs")).unwrap();
    for path in common::files(&folder, |p| p.extension().is_some_and(|e| e == "rs")) {
        let relative = path.strip_prefix(&folder).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        if text.contains("static FAMILY: Family") {
            let module = relative
                .with_extension("")
                .to_string_lossy()
                .replace('/', "::");
            assert!(
                registry.contains(&format!("&{module}::FAMILY")),
                "{module} is not in FAMILIES"
            );
        }
    }
}

#[test]
fn codes_are_unique_and_well_formed() {
    let mut seen = BTreeSet::new();
    for cause in causes() {
        assert!(seen.insert(cause.code), "{} is declared twice", cause.code);
        assert!(
            cause
                .code
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_'),
            "{} is not kebab-case",
            cause.code
        );
        assert!(
            !cause.title.ends_with('.'),
            "{}: the title ends with a full stop",
            cause.code
        );
        assert!(!cause.remedies.is_empty(), "{}: no remedy", cause.code);
        assert!(
            cause.file.contains("rules"),
            "{}: declared outside the rules",
            cause.code
        );
    }
    assert!(seen.len() > 10);
}

#[test]
fn explanations_have_all_sections_in_order() {
    for cause in causes() {
        let mut rest = cause.explanation;
        for section in SECTIONS {
            let at = rest
                .find(section)
                .unwrap_or_else(|| panic!("{}: {section} is missing", cause.code));
            rest = &rest[at + section.len()..];
            let text = rest.split("##").next().unwrap_or_default().trim();
            assert!(!text.is_empty(), "{}: {section} is empty", cause.code);
        }
    }
}

#[derive(serde::Deserialize)]
struct Entry {
    #[serde(default)]
    fires: Vec<String>,
    #[serde(default)]
    near_miss: Vec<String>,
    /// Why there is no capture, where there is none.
    #[serde(default)]
    without: Option<String>,
}

#[test]
fn every_cause_fires_somewhere_and_stays_silent_nearby() {
    let text = std::fs::read_to_string(common::repository("pcaps/registry.toml")).unwrap();
    let registry: BTreeMap<String, Entry> = toml::from_str(&text).unwrap();
    let mut faults = Vec::new();
    let codes: BTreeSet<&str> = causes().map(|c| c.code).collect();
    let explained = explained();
    for (name, entry) in &registry {
        let reasoned = entry.without.is_some() && explained.contains(name);
        if !codes.contains(name.as_str()) && !reasoned {
            faults.push(format!("{name} is in the registry but no rule knows it"));
        }
    }
    for name in &explained {
        if !registry.contains_key(name) {
            faults.push(format!(
                "{name} is explained, but has neither a rule nor a reason"
            ));
        }
    }
    for code in codes {
        let Some(entry) = registry.get(code) else {
            faults.push(format!("{code} has no captures in pcaps/registry.toml"));
            continue;
        };
        if let Some(reason) = &entry.without {
            println!("{code}: no capture: {reason}");
        } else if entry.fires.is_empty() || entry.near_miss.is_empty() {
            faults.push(format!("{code} needs a capture that fires and a near miss"));
        }
        for file in &entry.fires {
            if !found(file).contains(code) {
                faults.push(format!("{code} does not fire in {file}"));
            }
        }
        for file in &entry.near_miss {
            if found(file).contains(code) {
                faults.push(format!("{code} fires in its near miss {file}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Causes that `explain` knows. An alert of TLS may have its entry by name.
fn explained() -> BTreeSet<String> {
    #[derive(serde::Deserialize)]
    struct Catalogue {
        cause: Vec<Cause>,
    }
    #[derive(serde::Deserialize)]
    struct Cause {
        code: String,
    }
    let text = std::fs::read_to_string(common::repository("src/explain/causes.toml")).unwrap();
    let catalogue: Catalogue = toml::from_str(&text).unwrap();
    let codes = catalogue.cause.into_iter().map(|cause| cause.code);
    codes.filter(|code| !code.contains("NAME")).collect()
}

fn found(file: &str) -> BTreeSet<&'static str> {
    common::analyze(&common::repository("pcaps").join(file))
        .iter()
        .flat_map(|filed| {
            filed
                .verdict
                .findings
                .iter()
                .map(|f| f.cause.code)
                .collect::<Vec<_>>()
        })
        .collect()
}
