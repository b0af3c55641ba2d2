//! Saying what came of it.

use std::io::Write as _;

use super::Args;
use crate::cli::{Exit, Format, output};
use crate::render;
use crate::render::json;
use crate::replay::Replayer;
use crate::replay::conversation::Side;
use crate::replay::judge::Judgement;
use crate::report::replay::{self as model, ReplayReport};

/// Says what came of each conversation. The exit status is that of the worst.
pub(super) fn tell(args: &Args, judged: &[(Replayer, Judgement)]) -> anyhow::Result<Exit> {
    let want = args.wanted();
    let mut reports: Vec<(u8, ReplayReport)> = judged
        .iter()
        .map(|(replayer, judgement)| (judgement.exit(want), report(replayer, judgement)))
        .collect();
    let worst = reports.iter().map(|(exit, _)| *exit).max();
    if args.format == Format::Json && reports.len() > 1 {
        // One document: the worst, with all of them in it.
        let place = reports.iter().position(|(exit, _)| Some(*exit) == worst);
        let mut whole = judged
            .get(place.unwrap_or_default())
            .map(|(replayer, judgement)| report(replayer, judgement))
            .unwrap_or_default();
        whole.clients = reports.drain(..).map(|(_, report)| report).collect();
        reports.push((0, whole));
    }
    let reports: Vec<ReplayReport> = reports.into_iter().map(|(_, report)| report).collect();
    write(args, &reports)?;
    Ok(match worst {
        Some(0) => Exit::Clean,
        Some(1) => Exit::Findings,
        _ => Exit::Trouble,
    })
}

/// Says that nothing could be played.
pub(super) fn nothing(
    args: &Args,
    session: u32,
    target: &str,
    why: String,
) -> anyhow::Result<Exit> {
    output::complain(&format!("vpnscope: {why}"));
    write(args, &[model::not_played(session, target, why)])?;
    Ok(Exit::Trouble)
}

fn report(replayer: &Replayer, judgement: &Judgement) -> ReplayReport {
    let role = replayer.script().role;
    let target = match role {
        Side::Client => replayer.live().gateway,
        Side::Gateway => replayer.live().client,
    };
    let session = replayer.recording().session;
    model::report(session, target.to_string(), role, judgement)
}

/// Writes documents, or text.
pub(super) fn write(args: &Args, reports: &[ReplayReport]) -> anyhow::Result<()> {
    let mut out = output::open(args.common.output.as_deref())?;
    for report in reports {
        match args.format {
            Format::Text => {
                let colour = output::coloured(args.common.color, args.common.output.is_some());
                render::replay::report(&mut out, report, colour)?;
            }
            Format::Json | Format::Ndjson => {
                json::to_writer(&mut out, report)?;
                out.write_all(b"\n")?;
            }
        }
    }
    output::close(out)?;
    Ok(())
}
