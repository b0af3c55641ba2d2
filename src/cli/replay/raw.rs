//! `vpnscope replay --raw`: recorded frames onto an interface.

use std::io::Write as _;

use anyhow::bail;

use super::Args;
use crate::cli::{Exit, Format, output};
use crate::replay::rewrite::Rewrite;
use crate::replay::{drive, recording};
use crate::report::replay as model;
use crate::source::{FrameSource as _, file};
use crate::time::Timestamp;

/// Sends recorded frames.
pub(super) fn raw(args: &Args, interface: &str) -> anyhow::Result<Exit> {
    let frames = frames(args)?;
    let octets: usize = frames.iter().map(|(_, octets)| octets.len()).sum();
    output::complain(&format!(
        "vpnscope: {} frames ({octets} octets) go to {interface}, {} times",
        frames.len(),
        args.loops
    ));
    if args.dry_run || args.show_script {
        let mut out = output::open(args.common.output.as_deref())?;
        for (time, octets) in &frames {
            writeln!(out, "{time} {}", vpnscope_dissectors::Octets(octets))?;
        }
        output::close(out)?;
        return Ok(Exit::Clean);
    }
    if frames.is_empty() {
        bail!("the capture holds no frame to send");
    }
    super::consent(args)?;
    let sent = drive::raw::Interface::open(interface)?.send(&frames, args.rate, args.loops);
    let mut out = output::open(args.common.output.as_deref())?;
    match args.format {
        Format::Text => writeln!(
            out,
            "sent {} frames, {} octets; {} were not taken",
            sent.frames, sent.octets, sent.refused
        )?,
        Format::Json | Format::Ndjson => writeln!(
            out,
            "{}",
            serde_json::json!({
                "schema": model::SCHEMA, "session": args.session.unwrap_or_default(),
                "target": interface, "reached": null, "steps": [],
                "verdict": if sent.refused == 0 { "same" } else { "not-played" },
                "why": format!("{} frames sent, {} not taken", sent.frames, sent.refused),
            })
        )?,
    }
    output::close(out)?;
    Ok(if sent.refused == 0 {
        Exit::Clean
    } else {
        Exit::Trouble
    })
}

/// The frames of one session, or of all, rewritten.
fn frames(args: &Args) -> anyhow::Result<Vec<(Timestamp, Vec<u8>)>> {
    /// Octets that are sent at most: they stand in memory.
    const MOST: usize = 1 << 30;
    let sessions = recording::sessions(&mut file::open(&args.file, 0)?);
    let chosen: Vec<_> = match args.session {
        Some(_) => vec![recording::choose(&sessions, args.session)?],
        None => sessions.iter().collect(),
    };
    let rewrite = Rewrite {
        mappings: args.map.clone(),
        source_mac: args.source_mac,
        destination_mac: args.destination_mac,
    };
    let mut source = file::open(&args.file, 0)?;
    let mut frames = Vec::new();
    let mut octets = 0usize;
    while let Some(frame) = source.next_frame() {
        let envelope = crate::decap::decap(&frame).envelope;
        let ends = [envelope.source, envelope.destination];
        let ours = chosen.iter().any(|session| {
            (session.first.frame..=session.last.frame).contains(&frame.no)
                && ends.contains(&session.client.ip)
                && ends.contains(&session.gateway.ip)
        });
        if !ours {
            continue;
        }
        if let Some(rewritten) = rewrite.apply(&frame) {
            octets += rewritten.len();
            if octets > MOST {
                bail!("more than {MOST} octets: choose a session");
            }
            frames.push((frame.time, rewritten));
        }
    }
    Ok(frames)
}
