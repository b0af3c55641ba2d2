//! `replay` as text: a table "recorded | live | verdict" for each message.

use std::io::{self, Write};

use super::escape::harmless;
use crate::report::replay::{FieldReport, ReplayReport, StepReport};

/// Columns of a value that are shown.
const WIDTH: usize = 44;

/// Writes the report.
pub fn report(out: &mut impl Write, report: &ReplayReport, colour: bool) -> io::Result<()> {
    writeln!(out, "session {} against {}", report.session, report.target)?;
    for one in &report.steps {
        step(out, one, colour)?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "reached  {}",
        report.reached.as_deref().unwrap_or("nothing")
    )?;
    let verdict = paint(report.verdict, colour);
    writeln!(out, "verdict  {verdict}: {}", harmless(&report.why))
}

fn step(out: &mut impl Write, step: &StepReport, colour: bool) -> io::Result<()> {
    let (way, name) = match (&step.sent, &step.received) {
        (Some(name), _) => ("sent", name.as_str()),
        (_, Some(name)) => ("received", name.as_str()),
        _ => ("", ""),
    };
    let way = if step.time.is_some() { way } else { "missing" };
    write!(out, "\n{way} {}", harmless(name))?;
    if let Some(time) = &step.time {
        write!(out, "  {}", time.get(11..26).unwrap_or(time))?;
    }
    match step.recorded_frame {
        Some(frame) => writeln!(out, "  (recorded in frame {frame})")?,
        None => writeln!(out, "  (not in the recording)")?,
    }
    if step.fields.len() < 2 {
        return Ok(());
    }
    writeln!(
        out,
        "  {:<20} {:<WIDTH$} {:<WIDTH$}",
        "field", "recorded", "live"
    )?;
    for one in &step.fields {
        field(out, one, colour)?;
    }
    Ok(())
}

fn field(out: &mut impl Write, field: &FieldReport, colour: bool) -> io::Result<()> {
    let value = |value: &Option<String>| {
        let text = value.as_deref().map_or_else(|| "-".to_string(), harmless);
        if text.chars().count() > WIDTH {
            let head: String = text.chars().take(WIDTH - 1).collect();
            format!("{head}…")
        } else {
            text
        }
    };
    let live = if field.recorded == field.live {
        "=".to_string()
    } else {
        value(&field.live)
    };
    writeln!(
        out,
        "  {:<20} {:<WIDTH$} {live:<WIDTH$} {}",
        field.field,
        value(&field.recorded),
        paint(field.verdict, colour)
    )?;
    if field.verdict == "different" {
        for (who, value) in [("recorded", &field.recorded), ("live", &field.live)] {
            let text = value.as_deref().unwrap_or("-");
            if text.chars().count() > WIDTH {
                writeln!(out, "    {who}: {}", harmless(text))?;
            }
        }
    }
    Ok(())
}

fn paint(word: &'static str, colour: bool) -> String {
    let code = match word {
        _ if !colour => return word.to_string(),
        "different" | "not-played" => 31,
        "same" | "further" => 32,
        _ => 2,
    };
    format!("\x1b[{code}m{word}\x1b[0m")
}
