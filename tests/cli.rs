//! The promises of the command line, through the binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test code"
)]

mod common;

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use common::program::{Scratch, fed, json, program, run};
use serde_json::Value;

/// A capture in which one session failed.
const FAILED: &str = "pcaps/ikev2-psk-mismatch/client.pcap";
/// A capture in which all went well.
const HEALTHY: &str = "pcaps/ikev2-psk-established/client.pcap";

fn status(arguments: &[&str]) -> i32 {
    run(arguments).status.code().expect("an exit status")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).expect("UTF-8")
}

fn capture(path: &str) -> Vec<u8> {
    std::fs::read(common::repository(path)).unwrap()
}

#[test]
fn exit_statuses() {
    assert_eq!(status(&["analyze", HEALTHY]), 0);
    assert_eq!(status(&["analyze", FAILED]), 1);
    assert_eq!(status(&["decode", HEALTHY]), 0);
    assert_eq!(status(&["decode", FAILED]), 1);
    assert_eq!(status(&["analyze", "--summary", FAILED]), 1);
    for command in ["analyze", "decode"] {
        assert_eq!(status(&[command]), 2, "{command}: no file is bad usage");
        assert_eq!(status(&[command, "--no-such-option", HEALTHY]), 2);
        assert_eq!(status(&[command, "no/such/file.pcap"]), 2);
        assert_eq!(status(&[command, "Cargo.toml"]), 2, "no capture");
        assert_eq!(status(&[command, "src"]), 2, "a folder");
        // 2 beats 1.
        assert_eq!(status(&[command, FAILED, "no/such/file.pcap"]), 2);
    }
    assert_eq!(status(&["no-such-command"]), 2);
    assert_eq!(status(&[]), 2);
}

#[test]
fn what_could_be_read_is_reported_beside_what_could_not() {
    let report = json(&["analyze", "--format", "json", "no/such/file.pcap", FAILED]);
    assert_eq!(report["captures"].as_array().unwrap().len(), 2);
    assert_eq!(report["sessions"].as_array().unwrap().len(), 1);
    assert!(report["captures"][0]["problems"][0]["what"].is_string());
    assert_eq!(report["captures"][1]["problems"], Value::Array(Vec::new()));
    let output = run(&["analyze", "no/such/file.pcap"]);
    assert!(text(&output.stderr).contains("no/such/file.pcap"));
}

#[test]
fn a_file_cut_in_its_last_record_is_a_problem_and_no_2() {
    for (whole, expected) in [(HEALTHY, 0), (FAILED, 1)] {
        let mut octets = capture(whole);
        octets.truncate(octets.len() - 5);
        let cut = Scratch::new("cut.pcap", &octets);
        let output = run(&["analyze", "--format", "json", cut.name()]);
        let code = output.status.code().unwrap();
        assert!(code < 2, "{whole}: {code}");
        if expected == 1 {
            // The last frame is gone, and with it the refusal perhaps, but never the report.
            assert!(code <= 1);
        }
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let problem = &report["captures"][0]["problems"][0];
        assert!(problem["offset"].is_u64(), "{problem}");
        assert!(!text(&output.stderr).is_empty(), "said on stderr too");
        assert_eq!(status(&["decode", cut.name()]), code);
    }
}

#[test]
fn a_closed_pipe_ends_quietly() {
    for arguments in [
        ["decode", "pcaps/oc-ten-clients/client.pcap"],
        ["analyze", "pcaps/oc-ten-clients/client.pcap"],
    ] {
        let mut child = program()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Read nothing, and go.
        drop(child.stdout.take());
        let mut complaint = String::new();
        let mut stderr = child.stderr.take().unwrap();
        stderr.read_to_string(&mut complaint).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
        assert_eq!(complaint, "");
    }
}

/// The report without what names the file.
fn without_names(octets: &[u8]) -> Value {
    let mut report: Value = serde_json::from_slice(octets).unwrap();
    for capture in report["captures"].as_array_mut().unwrap() {
        capture.as_object_mut().unwrap().remove("file");
    }
    report
}

#[test]
fn standard_input_and_compression_give_the_same_report() {
    let octets = capture(FAILED);
    let plain = without_names(&run(&["analyze", "--format", "json", FAILED]).stdout);
    let piped = fed(&["analyze", "--format", "json", "-"], &octets);
    assert_eq!(piped.status.code(), Some(1));
    assert_eq!(without_names(&piped.stdout), plain);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&octets).unwrap();
    let gzip = Scratch::new("same.pcap.gz", &gzip.finish().unwrap());
    let zstd = zstd::encode_all(octets.as_slice(), 3).unwrap();
    let zstd = Scratch::new("same.pcap.zst", &zstd);
    for file in [&gzip, &zstd] {
        let output = run(&["analyze", "--format", "json", file.name()]);
        assert_eq!(without_names(&output.stdout), plain, "{}", file.name());
    }
    assert_eq!(fed(&["analyze", "-"], b"no capture").status.code(), Some(2));
    assert_eq!(fed(&["analyze", "-"], b"").status.code(), Some(2));
}

#[test]
fn only_failed_leaves_out_what_went_well() {
    let both = json(&["analyze", "--format", "json", HEALTHY, FAILED]);
    assert_eq!(both["sessions"].as_array().unwrap().len(), 2);
    let failed = json(&[
        "analyze", "--format", "json", "--only", "failed", HEALTHY, FAILED,
    ]);
    let outcomes: Vec<&Value> = failed["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|session| &session["outcome"])
        .collect();
    assert_eq!(outcomes, ["failed"]);
}

#[test]
fn client_gateway_and_number_choose_sessions() {
    let capture = "pcaps/oc-ten-clients/gateway.pcap";
    let all = json(&["analyze", "--format", "json", "--tls", "all", capture]);
    let sessions = all["sessions"].as_array().unwrap();
    assert!(sessions.len() >= 2, "one session only");
    let chosen = |option: &str, value: &str| -> Vec<Value> {
        json(&[
            "analyze", "--format", "json", "--tls", "all", option, value, capture,
        ])["sessions"]
            .as_array()
            .unwrap()
            .clone()
    };
    let first = &sessions[0];
    let client = first["client"]["ip"].as_str().unwrap();
    let of_client = chosen("--client", client);
    assert!(!of_client.is_empty());
    assert!(of_client.iter().all(|s| s["client"]["ip"] == client));
    assert!(chosen("--client", "198.51.100.250").is_empty());
    let gateway = first["gateway"]["ip"].as_str().unwrap();
    let port = first["gateway"]["port"].as_u64().unwrap();
    assert!(!chosen("--gateway", gateway).is_empty());
    assert!(!chosen("--gateway", &format!("{gateway}:{port}")).is_empty());
    assert!(chosen("--gateway", &format!("{gateway}:9")).is_empty());
    let id = first["id"].to_string();
    let by_number = chosen("--session", &id);
    assert_eq!(by_number.len(), 1);
    assert_eq!(by_number[0]["id"], first["id"]);
    assert_eq!(status(&["analyze", "--client", "nobody", FAILED]), 2);
    assert_eq!(status(&["analyze", "--gateway", "::1:x", FAILED]), 2);
}

#[test]
fn decode_chooses_frames_as_analyze_chooses_sessions() {
    let file = common::repository("pcaps/libreswan-ikev1-dpd-timeout/client.pcap");
    let file = file.to_str().unwrap();
    let frames = |chosen: &[&str]| -> Vec<u64> {
        let mut arguments = vec!["decode", "--format", "ndjson"];
        arguments.extend(chosen);
        arguments.push(file);
        text(&run(&arguments).stdout)
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["frame"]
                    .as_u64()
                    .unwrap()
            })
            .collect()
    };
    let all = frames(&[]);
    let (first, second) = (frames(&["--session", "1"]), frames(&["--session", "2"]));
    assert!(!first.is_empty() && !second.is_empty());
    assert!(
        first
            .iter()
            .all(|frame| all.contains(frame) && !second.contains(frame))
    );
    assert_eq!(frames(&["--client", "192.168.77.23"]), all);
    assert_eq!(frames(&["--client", "192.0.2.77"]), Vec::<u64>::new());
    assert_eq!(frames(&["--gateway", "198.51.100.7:500"]), all);
    assert!(frames(&["--until", "2020-01-01T00:00:00Z"]).is_empty());
    // What was not asked for is no finding.
    assert_eq!(status(&["decode", "--client", "192.0.2.77", file]), 0);
    assert_eq!(status(&["decode", "--session", "2", file]), 1);
}

#[test]
fn since_and_until_cut_the_capture() {
    let whole = json(&["analyze", "--format", "json", HEALTHY]);
    let capture = &whole["captures"][0];
    let (first, last) = (
        capture["first"].as_str().unwrap(),
        capture["last"].as_str().unwrap(),
    );
    let count = |arguments: &[&str]| -> usize {
        let mut all = vec!["analyze", "--format", "json"];
        all.extend(arguments);
        all.push(HEALTHY);
        json(&all)["sessions"].as_array().unwrap().len()
    };
    assert_eq!(count(&["--since", first, "--until", last]), 1);
    assert_eq!(count(&["--since", "2100-01-01T00:00:00Z"]), 0);
    assert_eq!(count(&["--until", "1970-01-02T00:00:00Z"]), 0);
    assert_eq!(count(&["--until", "86400"]), 0);
    assert_eq!(status(&["analyze", "--since", "yesterday", HEALTHY]), 2);
}

#[test]
fn output_goes_to_a_file_where_one_is_named() {
    let target = Scratch::new("report.json", b"");
    let output = run(&["analyze", "--format", "json", "-o", target.name(), FAILED]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let written = std::fs::read(target.name()).unwrap();
    let direct = run(&["analyze", "--format", "json", FAILED]);
    assert_eq!(written, direct.stdout);
    assert_eq!(
        status(&["analyze", "-o", "no/such/folder/report.txt", FAILED]),
        2
    );
}

#[test]
fn ndjson_gives_the_same_objects_a_line_each() {
    let whole = json(&["analyze", "--format", "json", FAILED]);
    let output = run(&["analyze", "--format", "ndjson", FAILED]);
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |kind: &str| -> Vec<Value> {
        lines
            .iter()
            .filter(|line| line["type"] == kind)
            .map(|line| {
                let mut line = line.clone();
                line.as_object_mut().unwrap().remove("type");
                line
            })
            .collect()
    };
    assert_eq!(of("session"), *whole["sessions"].as_array().unwrap());
    assert_eq!(of("capture"), *whole["captures"].as_array().unwrap());
    assert_eq!(of("summary"), [whole["summary"].clone()]);
    assert_eq!(lines.last().unwrap()["type"], "summary");
    assert_eq!(
        lines.len(),
        of("session").len() + of("capture").len() + of("summary").len()
    );
}

#[test]
fn summary_counts_and_shows_no_session() {
    let report = json(&["analyze", "--format", "json", "--summary", FAILED]);
    assert_eq!(report["sessions"], Value::Array(Vec::new()));
    assert_eq!(report["summary"]["by_outcome"]["failed"], 1);
}

#[test]
fn every_report_fits_the_schema() {
    let schema = json(&["schema", "report"]);
    let mut checked = 0;
    for path in common::files(&common::repository("pcaps"), common::is_capture) {
        let octets = std::fs::read(&path).unwrap();
        let report = common::run::analyze_octets(&octets).unwrap();
        let value = serde_json::to_value(&report).unwrap();
        let faults = common::schema::faults(&schema, &value);
        assert!(faults.is_empty(), "{}: {faults:#?}", path.display());
        checked += 1;
    }
    assert!(checked >= 40);
    // What the binary prints, and what the validator refuses.
    let mut printed = json(&["analyze", "--format", "json", FAILED]);
    assert!(common::schema::faults(&schema, &printed).is_empty());
    printed["sessions"][0]["frames"] = "four".into();
    printed["summary"]
        .as_object_mut()
        .unwrap()
        .remove("sessions");
    assert_eq!(common::schema::faults(&schema, &printed).len(), 2);
}

#[test]
fn every_decoded_frame_fits_the_schema() {
    let schema = json(&["schema", "decode"]);
    let mut checked = 0;
    for path in common::files(&common::repository("pcaps"), common::is_capture) {
        let frames = common::run::frames(&std::fs::read(&path).unwrap());
        for value in common::run::decode_values(&frames) {
            let faults = common::schema::faults(&schema, &value);
            assert!(faults.is_empty(), "{}: {faults:#?}", path.display());
            checked += 1;
        }
    }
    assert!(checked >= 1000, "{checked} frames only");
    let output = run(&["decode", "--format", "ndjson", FAILED]);
    for line in text(&output.stdout).lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        assert!(common::schema::faults(&schema, &value).is_empty());
    }
}

/// What `compare` and `explain` print; the tests of `replay` check every document of theirs.
#[test]
fn comparisons_and_explanations_fit_their_schemas() {
    let schema = json(&["schema", "compare"]);
    for name in [
        "ikev2-psk-mismatch",
        "l2tp-pap-auth-failed",
        "ikev2-nat-mapping-changed",
    ] {
        let client = format!("client=pcaps/{name}/client.pcap");
        let gateway = format!("gateway=pcaps/{name}/gateway.pcap");
        let value = json(&["compare", "--format", "json", &client, &gateway]);
        let faults = common::schema::faults(&schema, &value);
        assert!(faults.is_empty(), "{name}: {faults:#?}");
        assert!(!value["sessions"].as_array().unwrap().is_empty(), "{name}");
    }
    let schema = json(&["schema", "explain"]);
    let queries: &[&[&str]] = &[
        &[],
        &["809"],
        &["NO_PROPOSAL_CHOSEN"],
        &["psk-mismatch"],
        &["ike-authentication"],
        &["received NO_PROPOSAL_CHOSEN notify error"],
        &["809", "--in", FAILED],
    ];
    for query in queries {
        let mut args = vec!["explain", "--format", "json"];
        args.extend(*query);
        let output = run(&args);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        let faults = common::schema::faults(&schema, &value);
        assert!(faults.is_empty(), "{query:?}: {faults:#?}");
    }
}

#[test]
fn other_schemas_are_schemas() {
    for of in ["report", "decode", "compare", "replay", "explain"] {
        let schema = json(&["schema", of]);
        assert_eq!(
            schema["$schema"], "https://json-schema.org/draft/2020-12/schema",
            "{of}"
        );
        assert!(schema["properties"].is_object(), "{of}");
    }
    assert_eq!(status(&["schema", "weather"]), 2);
}

#[test]
fn help_names_every_command_and_option() {
    let help = text(&run(&["--help"]).stdout);
    for command in [
        "analyze",
        "decode",
        "compare",
        "explain",
        "schema",
        "completions",
        "man",
    ] {
        assert!(help.contains(command), "{command} is not in --help");
        let output = run(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0), "{command}");
        let shown = text(&output.stdout);
        assert!(shown.starts_with(|c: char| c.is_uppercase()), "{command}");
        let widest = shown.lines().map(|l| l.chars().count()).max().unwrap();
        assert!(widest <= 100, "{command}: {widest} columns");
    }
    let analyze = text(&run(&["analyze", "--help"]).stdout);
    for option in [
        "--format",
        "--output",
        "--client",
        "--gateway",
        "--session",
        "--since",
        "--until",
        "--summary",
        "--only",
        "--tls",
        "--threads",
        "--color",
        "--show-secrets",
    ] {
        assert!(
            analyze.contains(option),
            "{option} is not in analyze --help"
        );
    }
    assert_eq!(status(&["--version"]), 0);
}

#[test]
fn completions_and_manual_are_not_empty() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&run(&["completions", shell]).stdout);
        assert!(
            script.contains("analyze") && script.contains("ndjson"),
            "{shell}"
        );
    }
    let manual = text(&run(&["man"]).stdout);
    assert!(manual.contains(".TH vpnscope") && manual.contains("analyze"));
}

#[test]
fn colour_only_where_it_is_asked_for() {
    let painted = run(&["analyze", "--color", "always", FAILED]).stdout;
    let plain = run(&["analyze", "--color", "never", FAILED]).stdout;
    let piped = run(&["analyze", FAILED]).stdout;
    assert!(painted.contains(&0x1b));
    assert!(!plain.contains(&0x1b));
    assert_eq!(plain, piped);
}

/// Blocks of the README: a line `$ vpnscope …` and what the program printed.
fn readme_blocks() -> Vec<(String, String)> {
    let readme = std::fs::read_to_string(common::repository("README.md")).unwrap();
    let mut blocks = Vec::new();
    for (index, block) in readme.split("```").enumerate() {
        let body = block.split_once('\n').map_or("", |(_, body)| body);
        if index % 2 == 1
            && let Some(rest) = body.strip_prefix("$ vpnscope ")
        {
            let (command, shown) = rest.split_once('\n').expect("output");
            blocks.push((command.to_string(), shown.to_string()));
        }
    }
    blocks
}

#[test]
fn the_readme_shows_what_the_program_prints() {
    let blocks = readme_blocks();
    assert!(!blocks.is_empty(), "the README shows no command");
    for (command, shown) in blocks {
        let arguments: Vec<&str> = command.split(' ').collect();
        let printed = text(&run(&arguments).stdout);
        assert_eq!(printed.trim_end(), shown.trim_end(), "$ vpnscope {command}");
    }
}

#[test]
fn no_line_of_a_report_is_wider_than_eighty_columns() {
    let mut wide = Vec::new();
    let mut lines = 0;
    for path in common::files(&common::repository("pcaps"), common::is_capture) {
        let octets = std::fs::read(&path).unwrap();
        let report = common::run::analyze_octets(&octets).unwrap();
        let mut in_filter = false;
        for line in common::run::report_text(&report).lines() {
            lines += 1;
            // A display filter is copied, so it breaks between its terms only.
            in_filter = line.starts_with("  Wireshark: ") || in_filter && line.starts_with("   ");
            let one_term = in_filter && !line.trim_end_matches(" ||").contains(" || ");
            if line.chars().count() > 80 && !one_term {
                wide.push(format!("{}: {line}", path.display()));
            }
        }
    }
    assert!(lines > 3000, "{lines} lines only");
    assert!(wide.is_empty(), "{} wide lines: {wide:#?}", wide.len());
}
