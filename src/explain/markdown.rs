//! `docs/causes.md`, written from the catalogue.

use std::fmt::Write as _;

use super::catalogue::{Catalogue, Cause};
use super::model::likely;
use super::seen_as;

const HEAD: &str = "\
# What goes wrong, how it shows, what users see

Written from `src/explain/causes.toml` and `src/explain/codes.toml`; change those, not this
page. `vpnscope explain CODE` tells the same for a cause, a stage, a users' code or a pasted
log line.
";

/// The text of `docs/causes.md`.
pub fn causes_markdown() -> String {
    let catalogue = Catalogue::builtin();
    let mut out = String::from(HEAD);
    for stage in catalogue.stages() {
        let _ = write!(
            out,
            "\n## {}\n\n{} On the wire: {}\n",
            stage.code, stage.meaning, stage.shows
        );
        for cause in catalogue.causes() {
            if cause.usual_stage() == stage.code {
                write_cause(&mut out, cause);
            }
        }
    }
    write_codes(&mut out, catalogue);
    out
}

fn write_cause(out: &mut String, cause: &Cause) {
    let _ = write!(out, "\n### {}\n\n{}\n\n", cause.code, cause.meaning);
    let also: Vec<&str> = cause.stage.iter().skip(1).map(String::as_str).collect();
    if !also.is_empty() {
        let _ = writeln!(out, "- **Also at**: {}", also.join(", "));
    }
    let _ = writeln!(out, "- **On the wire**: {}", cause.shows);
    if let Some(keys) = &cause.keys {
        let _ = writeln!(out, "- **With keys or a log**: {keys}");
    }
    let why = likely(&cause.code);
    if !why.is_empty() {
        let _ = writeln!(out, "- **Usual reasons**: {}", why.join(" "));
    }
    let seen: Vec<String> = seen_as(&cause.code)
        .iter()
        .map(|seen| format!("{} `{}`", seen.product, seen.code))
        .collect();
    if !seen.is_empty() {
        let _ = writeln!(out, "- **Users see**: {}", seen.join(" · "));
    }
    let _ = writeln!(out, "- **Check at the client**: {}", cause.client.join(" "));
    let _ = writeln!(
        out,
        "- **Check at the gateway**: {}",
        cause.gateway.join(" ")
    );
    let _ = writeln!(out, "- **Settled by a capture** {}", cause.capture);
}

fn write_codes(out: &mut String, catalogue: &Catalogue) {
    out.push_str("\n## Codes and log lines\n");
    let mut product = "";
    for entry in catalogue.entries() {
        if entry.product != product {
            product = &entry.product;
            let _ = write!(
                out,
                "\n### {product}\n\n| code or line | stage | causes | meaning |\n| --- | --- | --- | --- |\n"
            );
        }
        let causes = if entry.causes.is_empty() {
            "none".to_owned()
        } else {
            entry.causes.join(", ")
        };
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            entry.code.replace('|', "\\|"),
            entry.stage,
            causes,
            entry.meaning.replace('|', "\\|")
        );
    }
}
