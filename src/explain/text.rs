//! An explanation as text for a terminal.

use std::fmt::Write as _;

use super::model::{CauseVerdict, Explanation, Match, MatchKind};

/// Columns of text.
const WIDTH: usize = 80;

/// The explanation as text; with many matches (everything, a list) one line each.
pub fn render_text(explanation: &Explanation) -> String {
    let mut out = String::new();
    if explanation.query.is_empty() {
        for found in &explanation.matches {
            let who = found.product.as_deref().unwrap_or(match found.kind {
                MatchKind::Stage => "stage",
                _ => "cause",
            });
            let _ = writeln!(out, "{who:<14} {:<44} {}", found.code, found.stage);
        }
        return out;
    }
    for (index, found) in explanation.matches.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        write_match(&mut out, found);
    }
    out
}

fn write_match(out: &mut String, found: &Match) {
    let who = match (&found.product, found.kind) {
        (Some(product), _) => format!("{product} "),
        (None, MatchKind::Stage) => "stage ".to_owned(),
        (None, _) => "cause ".to_owned(),
    };
    let _ = writeln!(out, "{who}{} (stage {})", found.code, found.stage);
    wrapped(out, "  ", &found.meaning);
    if found.benign {
        wrapped(
            out,
            "  ",
            "The line also stands in connections that succeed.",
        );
    }
    if let Some(different) = &found.different_attempt {
        wrapped(out, "  ", &format!("Attention: {different}"));
    }
    section(out, "On the wire", &found.shows);
    let against = match found.kind {
        MatchKind::Cause => "May be wrong",
        _ => "Speaks against it",
    };
    section(out, against, &found.against);
    if !(found.causes.is_empty()
        || found.kind == MatchKind::Cause
            && found.causes.len() == 1
            && found.causes.iter().all(|c| c.supported.is_none()))
    {
        let is_ranked = found.causes.iter().any(|cause| cause.supported.is_some());
        out.push_str(if is_ranked {
            "  Causes, as the capture ranks them\n"
        } else {
            "  Causes, usual one first\n"
        });
        write_causes(out, &found.causes);
    }
    if !found.likely.is_empty() {
        out.push_str("  Usual reasons\n");
        for reason in &found.likely {
            wrapped(out, "    ", &format!("- {reason}"));
        }
    }
    if !found.check.is_empty() {
        out.push_str("  Check\n");
        for check in &found.check {
            wrapped(out, "    ", &format!("- {check}"));
        }
    }
    if let Some(folklore) = &found.folklore {
        section(out, "Does not help", folklore);
    }
    section(out, "Settled by a capture", &found.capture);
}

fn write_causes(out: &mut String, causes: &[CauseVerdict]) {
    let mut shown: Vec<(u16, u64)> = Vec::new();
    for cause in causes {
        let frames: Vec<(u16, u64)> = cause
            .evidence
            .iter()
            .map(|at| (at.capture, at.frame))
            .collect();
        let text = match (cause.supported, cause.evidence.first()) {
            (Some(true), _) => format!("supported: {}", cause.because),
            // One frame is enough to know what need not be looked at.
            (Some(false), Some(at)) if !cause.because.contains("frame ") => {
                format!("excluded: {} (frame {})", cause.because, at.frame)
            }
            (Some(false), _) => format!("excluded: {}", cause.because),
            (None, _) => cause.because.clone(),
        };
        wrapped(out, "    ", &format!("{}: {text}", cause.code));
        // The same frames again would only push the rest off the screen.
        if cause.supported == Some(false) || frames == shown {
            continue;
        }
        for at in &cause.evidence {
            wrapped(out, "      ", &format!("frame {}: {}", at.frame, at.what));
        }
        shown = frames;
    }
}

fn section(out: &mut String, title: &str, text: &str) {
    if !text.is_empty() {
        wrapped(out, "  ", &format!("{title}: {text}"));
    }
}

/// Breaks `text` into lines, the later ones indented by two more.
fn wrapped(out: &mut String, indent: &str, text: &str) {
    let mut column = 0usize;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column == 0 {
            out.push_str(indent);
            column = indent.len();
        } else if column.saturating_add(length).saturating_add(1) > WIDTH {
            out.push('\n');
            out.push_str(indent);
            out.push_str("  ");
            column = indent.len().saturating_add(2);
        } else {
            out.push(' ');
            column = column.saturating_add(1);
        }
        out.push_str(word);
        column = column.saturating_add(length);
    }
    out.push('\n');
}
