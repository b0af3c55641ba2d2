//! Hostile input: every truncation length and random mutations of the labelled captures, through
//! everything that reads them. No panic, no more work than the input is long, and every error
//! points into the input.
//!
//! The default run is a sample; `VPNSCOPE_LONG=1` takes all captures and many more rounds.
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

#[path = "robustness/mutate.rs"]
mod mutate;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use common::run::{self, Owned};
use mutate::Random;
use serde_json::Value;
use vpnscope::source::Frame;

fn long() -> bool {
    std::env::var_os("VPNSCOPE_LONG").is_some()
}

fn captures() -> Vec<PathBuf> {
    let found = common::files(&common::repository("pcaps"), common::is_capture);
    assert!(found.len() >= 40, "the labelled captures are missing");
    found
}

/// Runs `work`; a panic in it says which input it was.
fn survive<T>(which: impl Fn() -> String, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| panic!("panicked on {}", which()))
}

/// Both commands over frames, in both forms; what comes out is bounded and its errors lie within.
fn whole_walk(frames: &[Owned]) {
    let octets: usize = frames.iter().map(|f| f.octets.len() + 16).sum();
    let decoded = run::decode_frames(frames);
    assert!(decoded.len() <= frames.len(), "more lines than frames");
    let mut printed = 0;
    for report in &decoded {
        let value = serde_json::to_value(report).expect("serialises");
        errors_lie_within(&value);
        printed += value.to_string().len();
    }
    let text = run::decode_text(&decoded);
    assert!(
        printed + text.len() <= 200 * octets + 4096,
        "{printed} octets of JSON and {} of text from {octets}",
        text.len()
    );
    is_harmless(&text);
    check_report(&run::analyze_frames(frames), octets);
}

fn check_report(report: &vpnscope::report::Report, octets: usize) {
    let json = serde_json::to_string(report).expect("serialises");
    let text = run::report_text(report);
    is_harmless(&text);
    assert!(
        report.sessions.len() <= octets / 16 + 1,
        "{} sessions from {octets} octets",
        report.sessions.len()
    );
    // A finding with its explanation is some thousand octets, however short the capture.
    let bound = 200 * octets + 20_000 * (report.sessions.len() + 1);
    assert!(
        json.len() + text.len() <= bound,
        "{} octets of JSON and {} of text from {octets}",
        json.len(),
        text.len()
    );
    for session in &report.sessions {
        assert!(
            session.cause.is_none() || session.outcome != "established",
            "an established session has no cause"
        );
    }
}

/// No octet of the wire reaches the terminal as it is.
fn is_harmless(text: &str) {
    let bad = text
        .chars()
        .find(|c| *c != '\n' && vpnscope::render::escape::is_harmful(*c));
    assert_eq!(bad, None, "a control character in the text");
}

/// Every "… at octet N" of a decoded frame is at most the size of a datagram or stream message
/// that the frame can have completed.
fn errors_lie_within(frame: &Value) {
    let single = frame["frames"].is_null();
    let len = frame["len"].as_u64().expect("a length");
    let bound = if single { len.max(65_535) } else { 65_535 };
    each_error(frame, &mut |text| {
        let offset: Option<u64> = text
            .rsplit_once(" at octet ")
            .and_then(|(_, n)| n.parse().ok());
        if let Some(offset) = offset {
            assert!(offset <= bound, "{text} in a frame of {len} octets");
        }
    });
}

fn each_error(value: &Value, sink: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "error" => sink(text),
                    other => each_error(other, sink),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| each_error(item, sink)),
        _ => {}
    }
}

/// What kind of frame this is: frames alike in this need not all be cut at every length.
fn signature(value: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    for layer in value["layers"].as_array().into_iter().flatten() {
        parts.push(layer["layer"].to_string());
        for name in ["version", "exchange_type", "message_type", "code", "type"] {
            parts.push(layer[name].to_string());
        }
        for list in ["payloads", "handshakes", "records", "alerts", "avps"] {
            for item in layer[list].as_array().into_iter().flatten() {
                parts.push(format!(
                    "{}/{}/{}",
                    item["type"], item["notify_type"], item["content_type"]
                ));
            }
        }
    }
    parts.push(value["encapsulation"].to_string());
    parts.join(" ")
}

/// One frame of every kind that the captures hold.
fn kinds() -> Vec<(String, Owned)> {
    let mut seen = BTreeSet::new();
    let mut kinds = Vec::new();
    for path in captures() {
        let octets = std::fs::read(&path).unwrap();
        let frames = run::frames(&octets);
        for value in run::decode_values(&frames) {
            let frame = &frames[usize::try_from(value["frame"].as_u64().unwrap()).unwrap() - 1];
            if seen.insert(format!("{} {}", frame.link.0, signature(&value))) {
                kinds.push((
                    format!("{} frame {}", path.display(), value["frame"]),
                    frame.clone(),
                ));
            }
        }
    }
    kinds
}

#[test]
fn every_truncation_length_of_every_kind_of_frame() {
    let kinds = kinds();
    assert!(kinds.len() >= 40, "only {} kinds of frames", kinds.len());
    let mut cuts = 0u64;
    for (name, frame) in &kinds {
        let step = if long() {
            1
        } else {
            1 + frame.octets.len() / 700
        };
        let mut batch = Vec::new();
        for len in (0..frame.octets.len()).step_by(step) {
            let mut cut = frame.clone();
            cut.octets.truncate(len);
            // The short frame that somebody sent, and the one that snaplen made.
            cut.wire_len = u32::try_from(len).unwrap();
            batch.push(cut.clone());
            cut.wire_len = frame.wire_len;
            batch.push(cut);
            cuts += 2;
        }
        survive(|| format!("a cut of {name}"), || glance_agrees(&batch));
        survive(|| format!("a cut of {name}"), || whole_walk(&batch));
    }
    println!("{} kinds of frames, {cuts} cuts", kinds.len());
}

/// The quick look at a frame never reads outside of it, whatever the walk says of it later.
fn glance_agrees(frames: &[Owned]) {
    for frame in frames {
        let frame: Frame<'_> = frame.as_frame(1);
        let segment = vpnscope::decap::decap(&frame);
        if let Some(stop) = segment.stopped {
            let text = format!("{stop:?}");
            assert!(!text.is_empty());
        }
        let _ = vpnscope::decap::glance(&frame);
    }
}

#[test]
fn every_truncation_length_of_a_file_of_each_format() {
    let small = |end: &str| {
        captures()
            .into_iter()
            .filter(|p| p.to_string_lossy().ends_with(end))
            .filter(|p| p.metadata().unwrap().len() > 1500)
            .min_by_key(|p| p.metadata().unwrap().len())
            .unwrap()
    };
    for path in [small(".pcap"), small(".pcapng")] {
        let octets = std::fs::read(&path).unwrap();
        let forms = [
            octets.clone(),
            mutate::gzip(&octets),
            zstd::encode_all(octets.as_slice(), 3).unwrap(),
        ];
        for (form, octets) in forms.iter().enumerate() {
            for len in 0..octets.len() {
                let cut = &octets[..len];
                let result = survive(
                    || format!("{} form {form} cut at {len}", path.display()),
                    || run::analyze_octets(cut),
                );
                if let Ok(report) = result {
                    let capture = &report.captures[0];
                    assert!(capture.frames <= octets.len() as u64 / 16 * 4 + 1);
                    // The plain octets of a compressed file may be more than the file.
                    let bound = if form == 0 { len as u64 } else { u64::MAX };
                    for problem in &capture.problems {
                        assert!(problem.offset.is_none_or(|at| at <= bound), "{problem:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn mutated_frames_cost_no_more_than_whole_ones() {
    let rounds: u64 = if long() { 60 } else { 1 };
    let mut runs = 0u64;
    for (index, path) in captures().into_iter().enumerate() {
        let octets = std::fs::read(&path).unwrap();
        let mut frames = run::frames(&octets);
        if !long() {
            frames.truncate(60);
        }
        if frames.is_empty() {
            continue;
        }
        for round in 0..rounds {
            let seed = round * 10_000 + index as u64;
            let mut random = Random::new(seed);
            let mutated = mutate::frames(&frames, &mut random);
            survive(
                || format!("{} mutated with seed {seed}", path.display()),
                || whole_walk(&mutated),
            );
            runs += 1;
        }
    }
    println!("{runs} mutated captures");
}

#[test]
fn mutated_files_are_read_as_far_as_they_can_be() {
    let rounds: u64 = if long() { 40 } else { 1 };
    for (index, path) in captures().into_iter().enumerate() {
        let octets = std::fs::read(&path).unwrap();
        if octets.len() > 40_000 && !long() {
            continue;
        }
        for round in 0..rounds {
            let seed = 7_000_000 + round * 10_000 + index as u64;
            let mut random = Random::new(seed);
            let mutated = mutate::octets(&octets, &mut random);
            let result = survive(
                || format!("{} mutated with seed {seed}", path.display()),
                || run::analyze_octets(&mutated),
            );
            if let Ok(report) = result {
                let capture = &report.captures[0];
                assert!(
                    capture.frames <= mutated.len() as u64 / 16,
                    "{} frames from {} octets",
                    capture.frames,
                    mutated.len()
                );
                assert!(capture.bytes <= mutated.len() as u64);
                for problem in &capture.problems {
                    assert!(
                        problem.offset.is_none_or(|at| at <= mutated.len() as u64),
                        "{problem:?}"
                    );
                }
                check_report(&report, mutated.len());
            }
        }
    }
}
