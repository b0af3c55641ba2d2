//! `vpnscope explain`: what a code, a log line, a cause or a stage means, and what a capture
//! says about it.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::budget::Budgets;
use super::output;
use super::{Common, Exit, Format};
use crate::assemble::Hints;
use crate::desk::{Desk, Filed, Judged, Over};
use crate::explain::{self, Explanation};
use crate::render::escape::harmless;
use crate::render::json;
use crate::report::{self, SessionReport};
use crate::source::FrameSource;
use crate::source::file;
use crate::track::Change;
use crate::walk::Last;

/// How many sessions of a capture are kept to judge by. Those in trouble come first.
const SESSIONS_KEPT: usize = 10_000;

/// Options of `explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A cause, a stage, an error code or a pasted log line; without it, everything is listed
    #[arg(value_name = "CODE", num_args = 0..)]
    query: Vec<String>,
    /// Say what of it this capture supports and excludes
    #[arg(long = "in", value_name = "FILE")]
    capture: Option<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Runs `explain`.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let query = args.query.join(" ");
    let mut exit = Exit::Clean;
    let mut explanation = if query.trim().is_empty() {
        explain::explain_all()
    } else {
        match explain::explain(&query) {
            Ok(explanation) => explanation,
            Err(near) => {
                unknown(&query, &near);
                return Ok(Exit::Trouble);
            }
        }
    };
    if let Some(path) = &args.capture {
        let (sessions, worst) = sessions(path, &args.common.budgets)?;
        exit = worst;
        explain::judge(&mut explanation, &sessions);
    }
    write(args, &explanation)?;
    Ok(exit)
}

fn unknown(query: &str, near: &[String]) {
    let shown: String = query.chars().take(80).collect();
    let hint = if near.is_empty() {
        String::new()
    } else {
        format!("; nearest known: {}", near.join(", "))
    };
    output::complain(&format!("vpnscope: nothing is known of \"{shown}\"{hint}"));
}

fn write(args: &Args, explanation: &Explanation) -> anyhow::Result<()> {
    let mut out = output::open(args.common.output.as_deref())?;
    match args.format {
        Format::Text => {
            for line in explain::render_text(explanation).lines() {
                writeln!(out, "{}", harmless(line))?;
            }
        }
        Format::Json | Format::Ndjson => {
            json::to_writer(&mut out, explanation)?;
            out.write_all(b"\n")?;
        }
    }
    output::close(out)?;
    Ok(())
}

/// The sessions of a capture, and the exit status that they make.
fn sessions(path: &Path, budgets: &Budgets) -> anyhow::Result<(Vec<SessionReport>, Exit)> {
    let mut source = file::open_within(path, 0, &budgets.file())?;
    let mut walk = budgets.walk(0, Hints::default());
    let mut desk = Desk::default();
    let mut kept: Vec<SessionReport> = Vec::new();
    let mut keep = |filed: &Filed| {
        if kept.len() < SESSIONS_KEPT {
            kept.push(report::session(
                filed.session.id,
                &filed.session,
                &filed.verdict,
            ));
        } else if filed.is_trouble() {
            // One that works makes room: it says less.
            let place = kept.iter().position(|s| s.outcome == "established");
            if let Some(slot) = place.and_then(|place| kept.get_mut(place)) {
                *slot = report::session(filed.session.id, &filed.session, &filed.verdict);
            }
        }
    };
    while let Some(frame) = source.next_frame() {
        walk.frame(&frame);
        while let Some(Change::Closed(session)) = walk.poll() {
            keep(&desk.close(session));
        }
    }
    walk.finish_each(&mut |last| match last {
        Last::PushedOut(Change::Closed(session)) => keep(&desk.close(session)),
        Last::PushedOut(_) => {}
        Last::Over(ended) => desk.learn(&ended),
    });
    desk.capture_ended(source.statistics());
    desk.judge_each(walk.closed().map(Over::from), |judged| {
        if let Judged::Session(filed) = judged {
            keep(&filed);
        }
        anyhow::Ok(())
    })?;
    let statistics = source.statistics();
    for problem in &statistics.problems {
        output::complain(&format!("vpnscope: {}: {}", statistics.name, problem.what));
    }
    let exit = if statistics.problems.iter().any(|problem| problem.fatal) {
        Exit::Trouble
    } else if desk.trouble() > 0 {
        Exit::Findings
    } else {
        Exit::Clean
    };
    kept.sort_by_key(|session| session.id);
    Ok((kept, exit))
}
