//! `vpnscope replay --raw`: recorded frames onto an interface.

use std::collections::HashSet;
use std::io::Write as _;

use anyhow::bail;

use super::load::standard_input;
use super::record::Record;
use super::{Args, consent, tell};
use crate::cli::{Exit, Format, output};
use crate::replay::rewrite::Rewrite;
use crate::replay::{drive, recording};
use crate::report::replay as model;
use crate::source::{Frame, FrameSource, file};
use crate::time::{Span, Timestamp};
use crate::track::Session;

/// Frames to send, and what stays behind.
#[derive(Default)]
struct Picked {
    frames: Vec<(Timestamp, Vec<u8>)>,
    octets: usize,
    /// Of a link that cannot become Ethernet.
    unsendable: u64,
    /// Cut by the capture: they are sent as short as they are.
    cut: u64,
}

/// Sends recorded frames.
pub(super) fn raw(args: &Args, interface: &str) -> anyhow::Result<Exit> {
    let picked = picked(args)?;
    output::complain(&format!(
        "vpnscope: {} frames ({} octets) go to {interface}, {} times",
        picked.frames.len(),
        picked.octets,
        args.loops
    ));
    for (count, what) in [
        (
            picked.unsendable,
            "are of a link that cannot become Ethernet: not sent",
        ),
        (
            picked.cut,
            "are cut short in the capture, and sent as short as they are",
        ),
    ] {
        if count > 0 {
            output::complain(&format!("vpnscope: {count} frames {what}"));
        }
    }
    if args.dry_run || args.show_script {
        let mut out = output::open(args.common.output.as_deref())?;
        for (time, octets) in &picked.frames {
            writeln!(out, "{time} {}", vpnscope_dissectors::Octets(octets))?;
        }
        output::close(out)?;
        return Ok(Exit::Clean);
    }
    if picked.frames.is_empty() {
        bail!("the capture holds no frame to send");
    }
    let mut line = drive::raw::Interface::open(interface)?;
    consent(args)?;
    let mut record = Record::create(args.record.as_deref())?;
    let speed = drive::raw::Speed {
        rate: args.rate,
        loops: args.loops,
        patience: args.timeout.map(|s| Span::from_secs(i64::from(s))),
    };
    let sent = line.send(&picked.frames, speed, &mut |time, octets| {
        record.raw(time, octets);
    });
    record.finish()?;
    let all = sent.refused == 0 && !sent.cut_off;
    let late = if sent.cut_off { "; time was up" } else { "" };
    let why = format!(
        "sent {} frames, {} octets; {} were not taken{late}",
        sent.frames, sent.octets, sent.refused
    );
    if args.format == Format::Text {
        let mut out = output::open(args.common.output.as_deref())?;
        writeln!(out, "{why}")?;
        output::close(out)?;
    } else {
        let session = args.session.unwrap_or_default();
        tell::write(args, &[model::frames(session, interface, all, why)])?;
    }
    Ok(if all { Exit::Clean } else { Exit::Trouble })
}

/// The frames of one session, or of all, rewritten.
fn picked(args: &Args) -> anyhow::Result<Picked> {
    if args.file.as_os_str() == "-" {
        let octets = standard_input()?;
        let open = || file::FileSource::new("-", std::io::Cursor::new(octets.clone()), 0);
        return pick(args, &mut open()?, &mut open()?);
    }
    let open = || file::open(&args.file, 0);
    pick(args, &mut open()?, &mut open()?)
}

fn pick(
    args: &Args,
    first: &mut impl FrameSource,
    second: &mut impl FrameSource,
) -> anyhow::Result<Picked> {
    /// Octets that are sent at most: they stand in memory.
    const MOST: usize = 1 << 30;
    let sessions = recording::sessions_and(first, args.session);
    let chosen: Vec<_> = match args.session {
        Some(_) => vec![recording::choose(&sessions, args.session)?],
        None => sessions.iter().collect(),
    };
    let named = named(&chosen);
    let rewrite = Rewrite {
        mappings: args.map.clone(),
        source_mac: args.source_mac,
        destination_mac: args.destination_mac,
    };
    let mut picked = Picked::default();
    while let Some(frame) = second.next_frame() {
        if !named.contains(&frame.no) && !chosen.iter().any(|session| between(session, &frame)) {
            continue;
        }
        let Some(rewritten) = rewrite.apply(&frame) else {
            picked.unsendable += 1;
            continue;
        };
        picked.cut += u64::from(frame.octets.len() < frame.wire_len as usize);
        picked.octets += rewritten.len();
        if picked.octets > MOST {
            bail!("more than {MOST} octets: choose a session");
        }
        picked.frames.push((frame.time, rewritten));
    }
    Ok(picked)
}

/// The frames that sessions name.
fn named(chosen: &[&Session]) -> HashSet<u64> {
    let steps = chosen.iter().flat_map(|session| &session.steps);
    steps
        .flat_map(|step| {
            let sightings = step.sightings().map(|sighting| sighting.frame);
            sightings.chain(step.frames.iter().copied())
        })
        .collect()
}

/// Whether a frame went between the ends of a session, fragments included.
fn between(session: &Session, frame: &Frame<'_>) -> bool {
    let envelope = crate::decap::decap(frame).envelope;
    let ends = [envelope.source, envelope.destination];
    (session.first.frame..=session.last.frame).contains(&frame.no)
        && ends.contains(&session.client.ip)
        && ends.contains(&session.gateway.ip)
}
