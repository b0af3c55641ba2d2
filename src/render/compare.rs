//! The comparison as text: the verdict, then a ladder with one column for each point.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::escape::harmless;
use super::text::{self, Style};
use crate::report::compare::{CompareReport, ComparedSession, MessageReport};

/// Messages of a ladder that are shown; the middle of a longer one is left out, and said so.
const LADDER: usize = 48;

/// Writes the whole report.
pub fn report(out: &mut impl Write, report: &CompareReport, style: Style) -> io::Result<()> {
    let mut captures = report.captures.clone();
    for (capture, point) in captures.iter_mut().zip(&report.vantages) {
        capture.file.clone_from(&point.name);
    }
    for session in &report.sessions {
        text::compared(out, &captures, &session.session, style)?;
        ladder(out, session)?;
        writeln!(out)?;
    }
    if report.sessions.is_empty() {
        writeln!(out, "No VPN session in any of the captures.")?;
    }
    if report.summary.tls_not_reported > 0 {
        writeln!(
            out,
            "{} TLS or DTLS session(s) that work and are no VPN's are not shown (--tls all).",
            report.summary.tls_not_reported
        )?;
    }
    for point in &report.vantages {
        let clock = match (point.capture, point.uncertainty_ns) {
            (0, _) => "reference clock".to_string(),
            (_, Some(off)) => format!(
                "clock {}s ± {}s",
                signed(point.clock_offset_ns),
                seconds(off)
            ),
            (_, None) => "nothing in common to compare the clocks by".to_string(),
        };
        writeln!(
            out,
            "{}: {} datagrams, {} of them seen elsewhere too; {clock}",
            harmless(&point.name),
            point.recorded,
            point.matched
        )?;
    }
    Ok(())
}

/// Seconds with as many digits as matter.
fn seconds(ns: i64) -> String {
    let ns = ns.unsigned_abs();
    let (whole, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
    format!("{whole}.{:06}", rest / 1_000)
}

fn signed(ns: i64) -> String {
    let sign = if ns < 0 { '−' } else { '+' };
    format!("{sign}{}", seconds(ns))
}

fn ladder(out: &mut impl Write, session: &ComparedSession) -> io::Result<()> {
    let names: Vec<&str> = session.path.iter().map(String::as_str).collect();
    let width = names
        .iter()
        .map(|name| name.chars().count().max(18))
        .max()
        .unwrap_or(18);
    let mut head = format!("  {:<34}", "");
    for name in &names {
        write!(head, " {:<width$}", harmless(name)).map_err(io::Error::other)?;
    }
    writeln!(out, "{}", head.trim_end())?;
    let total = session.messages.len();
    for (number, message) in session.messages.iter().enumerate() {
        if total > LADDER && number >= LADDER / 2 && number + LADDER / 2 < total {
            if number == LADDER / 2 {
                writeln!(out, "  … {} more …", total - LADDER)?;
            }
            continue;
        }
        line(out, message, &names, width)?;
    }
    if session.messages_not_shown > 0 {
        writeln!(
            out,
            "  {} more datagrams are alike at all points",
            session.messages_not_shown
        )?;
    }
    Ok(())
}

fn line(
    out: &mut impl Write,
    message: &MessageReport,
    names: &[&str],
    width: usize,
) -> io::Result<()> {
    let arrow = if message.from == "client" {
        "→"
    } else {
        "←"
    };
    let mut text = format!("  {arrow} {:<32}", harmless(&message.message));
    for name in names {
        let cell = match message.seen.get(*name).and_then(Option::as_ref) {
            Some(seen) => {
                let time = seen.time.get(11..23).unwrap_or(&seen.time);
                format!("{} #{}", time, seen.frame)
            }
            None => "not seen".to_string(),
        };
        write!(text, " {cell:<width$}").map_err(io::Error::other)?;
    }
    writeln!(out, "{}", text.trim_end())?;
    if !message.changed.is_empty() {
        writeln!(out, "      {}", harmless(&message.changed.join(", ")))?;
    }
    Ok(())
}
