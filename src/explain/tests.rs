//! The data is good, and every code and log line of the crosswalk is found.

use std::collections::BTreeSet;

use super::*;

fn builtin() -> Catalogue {
    Catalogue::parse(include_str!("causes.toml"), include_str!("codes.toml")).unwrap()
}

#[test]
fn the_data_is_consistent() {
    let catalogue = builtin();
    let stages: BTreeSet<_> = catalogue.stages().iter().map(|s| s.code.as_str()).collect();
    let known: Vec<_> = crate::diagnose::Stage::ALL
        .iter()
        .map(|s| s.word())
        .collect();
    assert_eq!(stages, known.into_iter().collect());
    let mut codes = BTreeSet::new();
    for cause in catalogue.causes() {
        assert!(codes.insert(cause.code.as_str()), "{} twice", cause.code);
        assert!(!cause.stage.is_empty() && !cause.meaning.is_empty());
        assert!(!cause.client.is_empty() && !cause.gateway.is_empty());
        assert!(
            cause
                .stage
                .iter()
                .all(|stage| stages.contains(stage.as_str()))
        );
    }
    for entry in catalogue.entries() {
        assert!(stages.contains(entry.stage.as_str()), "{}", entry.code);
        let unique: BTreeSet<_> = entry.causes.iter().collect();
        assert_eq!(unique.len(), entry.causes.len(), "{}", entry.code);
        for cause in &entry.causes {
            assert!(codes.contains(cause.as_str()), "{}: {cause}", entry.code);
        }
        assert!(!entry.meaning.is_empty(), "{}", entry.code);
    }
}

#[test]
fn no_code_that_users_see_maps_to_a_single_cause() {
    for entry in builtin().entries() {
        if entry.is_seen_by_users() && !entry.benign {
            assert_ne!(entry.causes.len(), 1, "{} {}", entry.product, entry.code);
        }
    }
}

#[test]
fn every_cause_that_rules_name_is_in_the_catalogue() {
    let catalogue = builtin();
    let missing: Vec<&str> = crate::diagnose::causes()
        .map(|cause| cause.code)
        .filter(|code| catalogue.cause(code).is_none())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_entry_is_found_by_its_own_code() {
    let catalogue = builtin();
    for entry in catalogue.entries() {
        let found = lookup(&catalogue, &entry.code);
        assert!(
            found
                .iter()
                .any(|found| matches!(found, Found::Entry(e) if e.code == entry.code)),
            "{} {}",
            entry.product,
            entry.code
        );
        for name in entry.names.iter().chain(&entry.patterns) {
            assert!(
                lookup(&catalogue, name)
                    .iter()
                    .any(|found| matches!(found, Found::Entry(e) if e.code == entry.code)),
                "{}: {name}",
                entry.code
            );
        }
    }
}

/// Causes named for a query, over all matches.
fn causes(query: &str) -> BTreeSet<String> {
    let explanation = explain(query).unwrap_or_else(|near| panic!("{query}: only near {near:?}"));
    explanation
        .matches
        .iter()
        .flat_map(|found| &found.causes)
        .map(|cause| cause.code.clone())
        .collect()
}

/// What is typed or pasted, and the causes that must be among the answers.
const CROSSWALK: &str = include_str!("tests/crosswalk.txt");

#[test]
fn the_whole_crosswalk() {
    let mut lines = 0;
    for line in CROSSWALK.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (wanted, query) = line.split_once(" | ").unwrap();
        let answered = causes(query);
        for cause in wanted.split_whitespace().filter(|word| *word != "-") {
            assert!(
                answered.contains(cause),
                "{query}: no {cause} in {answered:?}"
            );
        }
        lines += 1;
    }
    assert!(lines > 400, "{lines}");
}

/// Every number and every line of the table, as it is typed and pasted: with and without what
/// stands before it, in other case and in hexadecimal.
#[test]
fn the_whole_crosswalk_in_other_forms() {
    let mut forms = 0;
    for line in CROSSWALK.lines() {
        let Some((wanted, query)) = line.split_once(" | ").filter(|_| !line.starts_with('#'))
        else {
            continue;
        };
        let mut others = vec![query.to_uppercase(), format!("  {query} ")];
        match query.parse::<u32>() {
            // Cisco's message numbers and event ids are no Windows codes.
            Ok(number) if number < 0x10000 && number != 12345 => others.extend([
                format!("Windows {number}"),
                format!("error {number}"),
                format!("Error: {number}"),
                format!("ERROR {number}:"),
                format!("(Error {number})"),
                format!("failed with error code {number}."),
                format!("0x{number:x}"),
                format!("0x{number:08X}"),
                format!("0x8007{number:04x}"),
                format!("0x8007{number:04X}"),
                format!("{}", (0x8007_0000 | number).cast_signed()),
                format!("11/12/2026 8:14:11 AM RasClient 20227 The error code returned on failure is {number}."),
            ]),
            Ok(_) => {}
            Err(_) if query.starts_with('-') || !query.chars().any(char::is_alphabetic) => {}
            Err(_) => others.extend([
                query.to_lowercase(),
                format!("Nov 12 08:14:11 gw daemon[1234]: {query}"),
                format!("2026-11-12T08:14:11.123456+01:00 gw daemon: 12[IKE] <vpn|7> {query}"),
            ]),
        }
        for other in others {
            let answered = causes(&other);
            for cause in wanted.split_whitespace().filter(|word| *word != "-") {
                assert!(
                    answered.contains(cause),
                    "{other}: no {cause} in {answered:?}"
                );
            }
            forms += 1;
        }
    }
    assert!(forms > 2000, "{forms}");
}

#[test]
fn numbers_come_in_many_forms() {
    for query in [
        "809",
        "Windows 809",
        "error 809",
        "Error code 809:",
        "Windows error 809",
        "The user SYSTEM dialed a connection named VPN which has failed. The error code returned on failure is 809.",
        "0x80070329",
        "0x329",
    ] {
        let explanation = explain(query).unwrap();
        assert_eq!(explanation.matches[0].code, "809", "{query}");
        assert_eq!(explanation.matches[0].product.as_deref(), Some("Windows"));
    }
    // A port or an address is no error code.
    assert!(explain("10.0.0.1:809 -> 10.0.0.2:691").is_err());
}

#[test]
fn a_pasted_line_matches_what_it_holds_and_no_more() {
    let line = "Nov 12 08:14:11 gw charon: 13[IKE] tried 2 shared keys for '%any' - 'bob', but MAC mismatched";
    let explanation = explain(line).unwrap();
    assert_eq!(explanation.matches.len(), 1);
    assert_eq!(
        explanation.matches[0].product.as_deref(),
        Some("strongSwan")
    );
    let line = "ERROR: phase2 negotiation failed due to time up waiting for phase1. ESP 203.0.113.10[0]->198.51.100.2[0]";
    let explanation = explain(line).unwrap();
    assert_eq!(explanation.matches.len(), 1);
    assert!(explanation.matches[0].code.ends_with("waiting for phase1"));
}

#[test]
fn benign_lines_say_so() {
    for query in ["msg: invalid DH group 19.", "msg: not matched"] {
        let explanation = explain(query).unwrap();
        assert!(explanation.matches[0].benign, "{query}");
        assert!(
            explanation.matches[0].meaning.contains("succeed"),
            "{query}"
        );
    }
}

#[test]
fn names_of_protocol_codes() {
    let both = explain("NO_PROPOSAL_CHOSEN").unwrap();
    let products: Vec<_> = both
        .matches
        .iter()
        .filter_map(|m| m.product.clone())
        .collect();
    assert!(products.contains(&"IKEv1".to_owned()) && products.contains(&"IKEv2".to_owned()));
    assert_eq!(
        explain("got E=691 R=0 C=00 V=3 M=Access denied")
            .unwrap()
            .matches[0]
            .code,
        "E=691"
    );
    assert_eq!(
        explain("handshake_failure").unwrap().matches[0].code,
        "handshake_failure"
    );
    assert_eq!(explain("tls-alert-unknown-ca").unwrap().matches.len(), 2);
    assert_eq!(explain("StopCCN").unwrap().matches[0].stage, "l2tp-control");
}

#[test]
fn causes_and_stages() {
    let cause = explain("proposal-mismatch").unwrap();
    assert_eq!(cause.matches[0].kind, MatchKind::Cause);
    assert_eq!(cause.matches[0].causes.len(), 1);
    assert!(cause.matches[0].likely.len() >= 2);
    assert!(
        cause.matches[0]
            .likely
            .iter()
            .all(|why| !why.starts_with('-') && !why.contains("##"))
    );
    let stage = explain("ike-authentication").unwrap();
    assert_eq!(stage.matches[0].kind, MatchKind::Stage);
    assert_eq!(stage.matches[0].causes[0].code, "auth-failed");
    let all = explain_all();
    assert!(all.matches.len() > 400);
}

#[test]
fn unknown_input_gets_the_nearest() {
    assert!(
        explain("proposal-mismach")
            .unwrap_err()
            .contains(&"proposal-mismatch".to_owned())
    );
    assert!(explain("8091").unwrap_err().contains(&"809".to_owned()));
    assert!(explain("").is_err());
    assert!(explain(&"x".repeat(1 << 20)).is_err());
}

#[test]
fn findings_are_seen_as_what_users_read() {
    let seen = seen_as("no-response");
    assert!(seen.len() <= 12);
    let windows: Vec<_> = seen
        .iter()
        .filter(|s| s.product == "Windows")
        .map(|s| s.code.as_str())
        .collect();
    assert!(
        windows.contains(&"809") && windows.contains(&"789"),
        "{seen:?}"
    );
    assert!(seen_as("ppp-auth-failed").iter().any(|s| s.code == "691"));
    assert!(seen_as("no-such-cause").is_empty());
    // What users report most stands first.
    for cause in ["cert-untrusted", "cert-name-mismatch", "cert-missing-eku"] {
        assert_eq!(seen_as(cause)[0].code, "13801", "{cause}");
    }
    for (cause, code) in [
        ("nat-t-blocked", "809"),
        ("no-response", "809"),
        ("psk-mismatch", "789"),
        ("ppp-auth-failed", "691"),
        ("eap-failed", "691"),
        ("dns-nxdomain", "868"),
        ("ppp-ipcp-rejected", "720"),
    ] {
        assert_eq!(seen_as(cause)[0].code, code, "{cause}");
    }
    assert_eq!(seen_as("proposal-mismatch")[0].product, "Windows");
}

#[test]
fn what_users_see_depends_on_what_they_dial() {
    let codes = |kind: &str, causes: &[&str]| -> Vec<String> {
        let all = seen_in(kind, causes).into_iter();
        all.map(|seen| format!("{} {}", seen.product, seen.code))
            .collect()
    };
    let refused = [
        "auth-failed",
        "psk-mismatch",
        "id-mismatch",
        "cert-rejected",
    ];
    let two = codes("ikev2", &refused);
    assert_eq!(two[0], "Windows 13801");
    assert!(!two.iter().any(|seen| seen == "Windows 789"), "{two:?}");
    let one = codes("ikev1", &["psk-mismatch"]);
    assert_eq!(one[0], "Windows 789");
    assert!(!one.iter().any(|seen| seen == "Windows 13801"), "{one:?}");
    let tls = codes("tls", &["cert-untrusted"]);
    assert!(tls.iter().any(|seen| seen.starts_with("openconnect")));
    assert!(
        !tls.iter()
            .any(|seen| seen.contains("13801") || seen.contains("810"))
    );
    let line = codes("pppoe", &["no-response"]);
    assert!(line.contains(&"Windows 651".to_owned()), "{line:?}");
    assert!(!line.iter().any(|seen| seen == "Windows 809"));
    for kind in ["ikev1", "ikev2", "l2tp"] {
        assert_eq!(codes(kind, &["no-response"])[0], "Windows 809");
    }
}

#[test]
fn text_is_narrow_and_complete() {
    let text = render_text(&explain("809").unwrap());
    assert!(text.contains("Windows 809 (stage reachability)"));
    assert!(text.contains("nat-t-blocked") && text.contains("Does not help"));
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let list = render_text(&explain_all());
    assert!(list.lines().count() > 400);
}
