//! The report as a tired engineer reads it: verdict first, 80 columns, frames as Wireshark
//! numbers them.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::escape::harmless;
use crate::report::{
    CaptureReport, EndpointReport, Evicted, FindingReport, Report, Rung, SessionReport, Summary,
};

/// Columns.
const WIDTH: usize = 80;
/// A blank at which no line is broken; it is written as an ordinary one.
const NO_BREAK: &str = "\u{a0}";
/// Lines of a ladder that are shown; the middle of a longer one is left out, and said so.
const LADDER: usize = 24;

/// How to paint.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Whether to use colour.
    pub colour: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }

    fn outcome(self, outcome: &str) -> String {
        let code = match outcome {
            "established" => "1;32",
            "failed" => "1;31",
            "degraded" => "1;33",
            _ => "1;36",
        };
        self.paint(code, &outcome.to_uppercase())
    }

    fn head(self, text: &str) -> String {
        self.paint("1", text)
    }
}

/// Writes the whole report.
pub fn report(out: &mut impl Write, report: &Report, style: Style) -> io::Result<()> {
    let several = report.captures.len() > 1;
    let mut same: BTreeMap<Alike, Vec<&SessionReport>> = BTreeMap::new();
    for session in &report.sessions {
        same.entry(alike(session)).or_default().push(session);
    }
    for session in &report.sessions {
        // With the first of them all are shown.
        if let Some(all) = same.remove(&alike(session)) {
            let others = all.get(1..).unwrap_or_default();
            self::session(out, report, session, others, style)?;
            writeln!(out)?;
        }
    }
    for capture in report
        .captures
        .iter()
        .filter(|_| several || report.sessions.is_empty())
    {
        line(
            out,
            &format!("{}: {} frames", harmless(&capture.file), capture.frames),
        )?;
    }
    for expected in &report.expected {
        wrapped(out, "Expected: ", &harmless(&expected.says))?;
    }
    for hint in &report.hints {
        wrapped(out, "Hint: ", &harmless(hint))?;
    }
    summary(out, report, style)
}

/// Writes what was found of one session, without its ladder: `compare` draws its own.
pub(super) fn compared(
    out: &mut impl Write,
    captures: &[CaptureReport],
    session: &SessionReport,
    style: Style,
) -> io::Result<()> {
    let report = Report {
        schema: crate::report::compare::SCHEMA,
        captures: captures.to_vec(),
        sessions: Vec::new(),
        summary: Summary::default(),
        expected: Vec::new(),
        hints: Vec::new(),
    };
    headline(out, session, &[], style)?;
    let mut findings = session.findings.iter();
    if let Some(primary) = findings.next() {
        finding(out, &report, primary, style)?;
    } else {
        established(out, session)?;
    }
    for other in findings {
        also(out, &report, other, style)?;
    }
    for note in &session.vantage.notes {
        wrapped(out, "  Note: ", &harmless(note))?;
    }
    remedies(out, session, style)
}

/// The paragraph of one session, as soon as it is known.
pub fn one(out: &mut impl Write, report: &Report, style: Style) -> io::Result<()> {
    for session in &report.sessions {
        self::session(out, report, session, &[], style)?;
        writeln!(out)?;
    }
    Ok(())
}

/// What stands after the last session.
pub fn end(out: &mut impl Write, report: &Report, style: Style) -> io::Result<()> {
    summary(out, report, style)
}

/// What attempts have in common that are folded into one paragraph: kind, client and gateway,
/// outcome, stage and cause.
pub type Alike = (
    &'static str,
    String,
    Option<String>,
    &'static str,
    &'static str,
    Option<&'static str>,
);

/// What an attempt has in common with others like it.
pub fn alike(session: &SessionReport) -> Alike {
    (
        session.kind,
        session.client.ip.clone(),
        session.gateway.as_ref().map(|g| g.ip.clone()),
        session.outcome,
        session.stage,
        session.cause,
    )
}

fn session(
    out: &mut impl Write,
    report: &Report,
    session: &SessionReport,
    others: &[&SessionReport],
    style: Style,
) -> io::Result<()> {
    headline(out, session, others, style)?;
    let mut findings = session.findings.iter().peekable();
    match findings.next_if(|finding| finding.severity != "info") {
        Some(primary) => finding(out, report, primary, style)?,
        None => established(out, session)?,
    }
    for other in findings {
        also(out, report, other, style)?;
    }
    for note in &session.vantage.notes {
        wrapped(out, "  Note: ", &harmless(note))?;
    }
    if !others.is_empty() {
        let frames: Vec<String> = others
            .iter()
            .take(8)
            .filter_map(|s| {
                s.ladder
                    .first()
                    .map(|rung| format!("{} at frame {}", s.id, rung.frame))
            })
            .collect();
        let more = others.len().saturating_sub(8);
        let tail = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        wrapped(
            out,
            "  The other attempts: ",
            &format!("session {}{tail}", frames.join(", ")),
        )?;
    }
    ladder(out, session, style)?;
    remedies(out, session, style)?;
    // Lines break before and after the words that join terms, not within one.
    let whole = session.wireshark_filter.replace(' ', NO_BREAK);
    let joined = ["&&", "||"].iter().fold(whole, |filter, word| {
        filter.replace(&format!("{NO_BREAK}{word}{NO_BREAK}"), &format!(" {word} "))
    });
    wrapped(out, "  Wireshark: ", &joined)
}

fn address(end: &EndpointReport) -> &str {
    end.hardware.as_deref().unwrap_or(&end.ip)
}

fn headline(
    out: &mut impl Write,
    session: &SessionReport,
    others: &[&SessionReport],
    style: Style,
) -> io::Result<()> {
    let name = session
        .gateway_name
        .as_ref()
        .map(|n| format!(" ({})", harmless(n)))
        .unwrap_or_default();
    let gateway = session.gateway.as_ref().map_or("?", address);
    let roles = if session.roles_known {
        ""
    } else {
        " (who is who is a guess)"
    };
    writeln!(
        out,
        "{}  {}  {} → {gateway}{name}{roles}",
        style.outcome(session.outcome),
        session.kind,
        address(&session.client),
    )?;
    let attempts = match others.len() {
        0 => format!("  session {}", session.id),
        n => format!(
            "  {} attempts, all alike; shown: session {}",
            n + 1,
            session.id
        ),
    };
    let when = session
        .first
        .get(..19)
        .unwrap_or(&session.first)
        .replace('T', " ");
    line(
        out,
        &format!("{attempts}, {when} UTC, {} frames", session.frames),
    )?;
    let verdict = match session.cause {
        Some(cause) if session.outcome == "incomplete" => {
            format!("Inconclusive at {}: perhaps {cause}.", session.stage)
        }
        Some(cause) => format!(
            "Stopped at {}: {cause}, {}.",
            session.stage, session.confidence
        ),
        None if session.outcome == "incomplete" => {
            format!(
                "The capture cannot tell; last stage seen: {}.",
                session.stage
            )
        }
        None => format!("Reached {}, {}.", session.stage, session.confidence),
    };
    writeln!(out, "  {}", style.head(&verdict))
}

fn established(out: &mut impl Write, session: &SessionReport) -> io::Result<()> {
    for esp in session.counters.esp.iter().take(6) {
        let text = format!(
            "ESP {} from the {}: {} packets, {} octets, {} missing, {} late",
            esp.spi, esp.from, esp.packets, esp.octets, esp.missing, esp.late
        );
        line(out, &format!("  {text}"))?;
    }
    let more = session.counters.esp.len().saturating_sub(6);
    if more > 0 {
        line(out, &format!("  and {more} more ESP flows"))?;
    }
    Ok(())
}

fn finding(
    out: &mut impl Write,
    report: &Report,
    finding: &FindingReport,
    style: Style,
) -> io::Result<()> {
    wrapped(out, "  ", &harmless(&finding.summary))?;
    evidence(out, report, finding, style)?;
    if !finding.candidates.is_empty() {
        wrapped(out, "  It may be: ", &finding.candidates.join(", "))?;
    }
    for excluded in &finding.excluded {
        wrapped(
            out,
            "  It is not: ",
            &format!("{}, because {}", excluded.code, harmless(&excluded.because)),
        )?;
    }
    if let Some(needs) = &finding.needs {
        wrapped(out, "  To decide, get: ", needs)?;
    }
    if !finding.seen_as.is_empty() {
        let seen: Vec<String> = finding
            .seen_as
            .iter()
            .take(6)
            .map(|s| format!("{} {}", s.product, s.code))
            .collect();
        wrapped(out, "  Users see: ", &seen.join("; "))?;
    }
    Ok(())
}

fn also(
    out: &mut impl Write,
    report: &Report,
    finding: &FindingReport,
    style: Style,
) -> io::Result<()> {
    let word = if finding.severity == "info" {
        "Good to know"
    } else {
        "Also"
    };
    wrapped(
        out,
        &format!("  {word}: "),
        &format!(
            "{} ({}): {}",
            finding.code,
            finding.confidence,
            harmless(&finding.summary)
        ),
    )?;
    if finding.severity == "info" {
        Ok(())
    } else {
        evidence(out, report, finding, style)
    }
}

fn evidence(
    out: &mut impl Write,
    report: &Report,
    finding: &FindingReport,
    style: Style,
) -> io::Result<()> {
    const SHOWN: usize = 8;
    if finding.evidence.is_empty() {
        return Ok(());
    }
    writeln!(out, "  {}", style.head("Proof"))?;
    for item in finding.evidence.iter().take(SHOWN) {
        let file = match report.captures.get(usize::from(item.capture)) {
            Some(capture) if report.captures.len() > 1 => format!("{} ", base(&capture.file)),
            _ => String::new(),
        };
        wrapped(
            out,
            &format!("    {file}frame {:<5} ", item.frame),
            &harmless(&item.what),
        )?;
    }
    let more = finding.evidence.len().saturating_sub(SHOWN);
    if more > 0 {
        line(
            out,
            &format!("    and {more} more frames (see --format json)"),
        )?;
    }
    Ok(())
}

fn base(file: &str) -> String {
    harmless(file.rsplit('/').next().unwrap_or(file))
}

fn ladder(out: &mut impl Write, session: &SessionReport, style: Style) -> io::Result<()> {
    if session.ladder.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "  {}",
        style.head("frame     time   client                     gateway")
    )?;
    let total = session.ladder.len();
    let (head, tail) = if total > LADDER {
        (LADDER / 2, LADDER / 2)
    } else {
        (total, 0)
    };
    let start = session
        .ladder
        .first()
        .map(|rung| seconds(&rung.time))
        .unwrap_or_default();
    for item in session.ladder.iter().take(head) {
        rung(out, item, start)?;
    }
    if tail > 0 {
        line(
            out,
            &format!("          … {} messages not shown …", total - head - tail),
        )?;
        for item in session.ladder.iter().skip(total - tail) {
            rung(out, item, start)?;
        }
    }
    Ok(())
}

/// Seconds of the day of an RFC 3339 time, enough to print differences.
fn seconds(time: &str) -> f64 {
    let part = |from: usize, to: usize| time.get(from..to).and_then(|t| t.parse::<f64>().ok());
    let days = part(8, 10).unwrap_or_default();
    let tail = time
        .get(17..)
        .map(|t| t.trim_end_matches('Z'))
        .and_then(|t| t.parse::<f64>().ok());
    days * 86_400.0
        + part(11, 13).unwrap_or_default() * 3600.0
        + part(14, 16).unwrap_or_default() * 60.0
        + tail.unwrap_or_default()
}

fn rung(out: &mut impl Write, rung: &Rung, start: f64) -> io::Result<()> {
    let message = harmless(&rung.message);
    let bars = 32usize.saturating_sub(message.chars().count()).max(2);
    let (left, right) = ("─".repeat(bars / 2), "─".repeat(bars - bars / 2));
    let arrow = if rung.from == "client" {
        format!("{left}{message}{right}▶")
    } else {
        format!("◀{left}{message}{right}")
    };
    let elapsed = seconds(&rung.time) - start;
    let text = format!("  {:>5} {elapsed:>8.3}   {arrow}", rung.frame);
    let note = harmless(&rung.note);
    if note.is_empty() {
        return line(out, &text);
    }
    let width = text.chars().count() + 2;
    if width + note.chars().count() <= WIDTH {
        return line(out, &format!("{text}  {note}"));
    }
    line(out, &text)?;
    wrapped(out, "                   ", &note)
}

fn remedies(out: &mut impl Write, session: &SessionReport, style: Style) -> io::Result<()> {
    let Some(finding) = session.findings.first() else {
        return Ok(());
    };
    if finding.remedies.is_empty() || session.outcome == "established" {
        return Ok(());
    }
    writeln!(out, "  {}", style.head("What to do"))?;
    for (n, remedy) in (1u32..).zip(finding.remedies.iter()) {
        wrapped(out, &format!("    {n}. "), &harmless(remedy))?;
    }
    Ok(())
}

fn summary(out: &mut impl Write, report: &Report, style: Style) -> io::Result<()> {
    for capture in &report.captures {
        problems(out, capture)?;
    }
    counts(
        out,
        &report.summary,
        report.captures.iter().map(|c| c.frames).sum(),
        style,
    )
}

fn problems(out: &mut impl Write, capture: &CaptureReport) -> io::Result<()> {
    let name = base(&capture.file);
    for problem in capture.problems.iter().take(10) {
        let place = match (problem.frame, problem.offset) {
            (Some(frame), Some(offset)) => format!(" frame {frame}, offset {offset}"),
            (Some(frame), None) => format!(" frame {frame}"),
            (None, Some(offset)) => format!(" offset {offset}"),
            (None, None) => String::new(),
        };
        wrapped(out, &format!("{name}{place}: "), &harmless(&problem.what))?;
    }
    if let Some(dropped) = capture.dropped.filter(|dropped| *dropped > 0) {
        wrapped(
            out,
            &format!("{name}: "),
            &format!(
                "the capturing host dropped {dropped} frames; what is missing may be missing from the capture only"
            ),
        )?;
    }
    if capture.truncated_frames > 0 {
        line(
            out,
            &format!(
                "{name}: {} frames were cut by snaplen",
                capture.truncated_frames
            ),
        )?;
    }
    if capture.unclassified_frames > 0 {
        wrapped(
            out,
            &format!("{name}: "),
            &format!(
                "{} datagram(s) on UDP 500, 1701 or 4500 are no VPN that is known",
                capture.unclassified_frames
            ),
        )?;
    }
    if capture.undecodable_frames > 0 {
        line(
            out,
            &format!(
                "{name}: {} frames could not be decoded whole",
                capture.undecodable_frames
            ),
        )?;
    }
    Ok(())
}

/// Writes the counts.
pub fn counts(
    out: &mut impl Write,
    summary: &Summary,
    frames: u64,
    style: Style,
) -> io::Result<()> {
    let mut text = format!("{} session(s) in {frames} frames", summary.sessions);
    for (outcome, count) in &summary.by_outcome {
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!(", {count} {outcome}"));
    }
    wrapped(out, "", &style.head(&text))?;
    if !summary.by_cause.is_empty() {
        let causes: Vec<String> = summary
            .by_cause
            .iter()
            .map(|(code, count)| format!("{code} {count}"))
            .collect();
        wrapped(out, "Causes: ", &causes.join(", "))?;
    }
    if summary.tls_not_reported > 0 {
        wrapped(
            out,
            "",
            &format!(
                "{} TLS or DTLS sessions that nothing marks as a VPN are not shown (--tls all shows them)",
                summary.tls_not_reported
            ),
        )?;
    }
    let vpns = summary.other_vpns;
    for (name, count) in [
        ("WireGuard", vpns.wireguard),
        ("OpenVPN", vpns.openvpn),
        ("SSTP", vpns.sstp),
        ("PPTP", vpns.pptp),
    ] {
        if count > 0 {
            line(out, &format!("Seen, not analysed: {name} ({count})"))?;
        }
    }
    let evicted = summary.evicted;
    if !evicted.is_nothing() {
        wrapped(out, "", &given_up(&evicted))?;
    }
    Ok(())
}

fn given_up(evicted: &Evicted) -> String {
    let counts: Vec<String> = [
        (evicted.sessions, "sessions"),
        (evicted.fragments, "fragmented datagrams"),
        (evicted.streams, "streams"),
        (evicted.esp_flows, "ESP flows"),
        (evicted.lookups, "look-ups"),
        (evicted.descriptions, "descriptions of sessions"),
        (evicted.sas, "renewed IKE SAs told apart"),
        (evicted.certificates, "certificates of long chains"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    format!(
        "Given up for lack of room: {} (--budget gives more room)",
        counts.join(", ")
    )
}

fn line(out: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "{text}")
}

/// Writes `text` after `lead`, broken at blanks, with the lead's width as indent.
pub fn wrapped(out: &mut impl Write, lead: &str, text: &str) -> io::Result<()> {
    let indent = lead.chars().count().min(WIDTH / 2);
    let mut column = lead.chars().count();
    write!(out, "{lead}")?;
    let mut first = true;
    for word in text.split(' ') {
        let width = word.chars().filter(|c| !c.is_control()).count();
        if !first && column + 1 + width > WIDTH {
            write!(out, "\n{:indent$}", "")?;
            column = indent;
        } else if !first {
            write!(out, " ")?;
            column += 1;
        }
        write!(out, "{}", word.replace(NO_BREAK, " "))?;
        column += width;
        first = false;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_at_eighty_columns_with_a_hanging_indent() {
        let mut out = Vec::new();
        wrapped(&mut out, "  Proof: ", &"word ".repeat(40)).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.lines()
                .all(|line| line.trim_end().chars().count() <= WIDTH)
        );
        assert!(
            text.lines()
                .skip(1)
                .all(|line| line.starts_with("         w") || line.trim().is_empty())
        );
    }
}
