//! `vpnscope compare`: captures of the same event from different points, side by side.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::choice::Choice;
use super::output;
use super::{Common, Exit, Format};
use crate::compare::{Point, Room, Watcher, compare};
use crate::render;
use crate::render::json;
use crate::report::compare::{CompareReport, ComparedSession, report};
use crate::source::file;
use crate::source::{Format as FileFormat, Frame, FrameSource, Statistics};

/// Options of `compare`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Captures with the names of their points: client=a.pcap wan=b.pcap; one file with several
    /// interfaces is compared with itself
    #[arg(required = true, value_name = "NAME=FILE")]
    points: Vec<String>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    choice: Choice,
}

impl Args {
    fn watcher(&self, name: String, room: Rc<Room>, share: usize) -> Watcher {
        let walk = self.common.budgets.share(share, self.choice.hints());
        Watcher::with(name, self.choice.gateway_address(), walk, room)
    }
}

/// `client=a.pcap`; without a name the file's own.
fn named(point: &str) -> (String, PathBuf) {
    match point.split_once('=') {
        Some((name, file))
            if !name.is_empty() && !file.is_empty() && !Path::new(point).exists() =>
        {
            (name.to_string(), PathBuf::from(file))
        }
        _ => {
            let path = PathBuf::from(point);
            let stem = path.file_stem().unwrap_or_default();
            (stem.to_string_lossy().into_owned(), path)
        }
    }
}

/// Runs `compare`.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut points: Vec<(String, PathBuf)> = args.points.iter().map(|p| named(p)).collect();
    for index in 0..points.len() {
        let taken = |name: &str| points.iter().take(index).any(|(other, _)| other == name);
        let Some(mut name) = points.get(index).map(|(name, _)| name.clone()) else {
            continue;
        };
        while taken(&name) {
            name.push('\'');
        }
        if let Some(point) = points.get_mut(index) {
            point.0 = name;
        }
    }
    let mut exit = Exit::Clean;
    let mut watched = Vec::new();
    if let [(_, path)] = points.as_slice() {
        watched = interfaces(path, args, &mut exit)?;
    } else {
        for (number, (name, path)) in (0u16..).zip(&points) {
            match watch(name, path, number, args, &mut exit) {
                Ok(point) => watched.push(point),
                Err(error) => {
                    output::complain(&format!("vpnscope: {error}"));
                    exit = Exit::Trouble;
                }
            }
        }
    }
    if watched.len() < 2 {
        output::complain("vpnscope: compare needs two captures that can be read");
        return Ok(Exit::Trouble);
    }
    let comparison = compare(watched);
    let report = report(&comparison, |number, group, verdict| {
        let points = comparison.points.iter().zip(&group.members);
        let seen: Vec<_> = points
            .flat_map(|(p, list)| list.iter().filter_map(|n| p.filed.get(*n)))
            .collect();
        args.choice.of_compared(number, &seen, verdict)
    });
    let trouble = report.sessions.iter().any(ComparedSession::is_trouble);
    if trouble && exit < Exit::Findings {
        exit = Exit::Findings;
    }
    write(args, &report)?;
    Ok(exit)
}

fn write(args: &Args, report: &CompareReport) -> anyhow::Result<()> {
    let mut out = output::open(args.common.output.as_deref())?;
    match args.format {
        Format::Text => {
            let colour = output::coloured(args.common.color, args.common.output.is_some());
            let style = render::text::Style { colour };
            render::compare::report(&mut out, report, style)?;
        }
        Format::Json => {
            json::to_writer(&mut out, report)?;
            out.write_all(b"\n")?;
        }
        Format::Ndjson => {
            for session in &report.sessions {
                let mut line = serde_json::to_value(session)?;
                if let Some(fields) = line.as_object_mut() {
                    fields.insert("type".into(), "session".into());
                }
                json::to_writer(&mut out, &line)?;
                out.write_all(b"\n")?;
            }
            let last = serde_json::json!({
                "type": "summary", "schema": report.schema,
                "vantages": report.vantages, "summary": report.summary,
            });
            json::to_writer(&mut out, &last)?;
            out.write_all(b"\n")?;
        }
    }
    output::close(out)?;
    Ok(())
}

fn problems(statistics: &Statistics, exit: &mut Exit) {
    for problem in &statistics.problems {
        output::complain(&format!("vpnscope: {}: {}", statistics.name, problem.what));
        if problem.fatal {
            *exit = Exit::Trouble;
        }
    }
}

fn watch(
    name: &str,
    path: &Path,
    number: u16,
    args: &Args,
    exit: &mut Exit,
) -> Result<Point, crate::source::SourceError> {
    let mut source = file::open_within(path, number, &args.common.budgets.file())?;
    let room = Room::share(args.points.len());
    let mut watcher = args.watcher(name.to_string(), room, 1);
    while let Some(frame) = source.next_frame() {
        if args.choice.takes_frame(frame.time) {
            watcher.frame(&frame);
        }
    }
    problems(source.statistics(), exit);
    Ok(watcher.finish(source.statistics().clone()))
}

/// Interfaces of one file that are compared.
const INTERFACES: usize = 16;
/// The walk of each has this part of the budgets: they walk at the same time.
const SHARES: usize = 8;

/// One file, a point for each of its interfaces.
fn interfaces(path: &Path, args: &Args, exit: &mut Exit) -> anyhow::Result<Vec<Point>> {
    let mut source = file::open_within(path, 0, &args.common.budgets.file())?;
    let mut watchers: Vec<(Watcher, Statistics)> = Vec::new();
    let room = Room::share(1);
    let mut beyond = 0u64;
    while let Some(frame) = source.next_frame() {
        let number = usize::try_from(frame.interface).unwrap_or(usize::MAX);
        if !args.choice.takes_frame(frame.time) {
            continue;
        }
        if number >= INTERFACES {
            beyond += 1;
            continue;
        }
        while watchers.len() <= number {
            let name = format!("interface-{}", watchers.len());
            let own = Statistics::new(format!("{} ({name})", path.display()), FileFormat::PcapNg);
            watchers.push((args.watcher(name, room.clone(), SHARES), own));
        }
        let Some((watcher, statistics)) = watchers.get_mut(number) else {
            continue;
        };
        count(statistics, &frame);
        watcher.frame(&Frame {
            capture: u16::try_from(number).unwrap_or(u16::MAX),
            ..frame
        });
    }
    problems(source.statistics(), exit);
    if beyond > 0 {
        output::complain(&format!(
            "vpnscope: {beyond} frames of interfaces beyond {INTERFACES} are not compared"
        ));
    }
    let dropped = source.statistics().dropped;
    Ok(watchers
        .into_iter()
        .map(|(watcher, mut statistics)| {
            statistics.dropped = dropped;
            watcher.finish(statistics)
        })
        .collect())
}

fn count(statistics: &mut Statistics, frame: &Frame<'_>) {
    statistics.frames += 1;
    statistics.bytes += frame.octets.len() as u64;
    statistics.first = statistics.first.or(Some(frame.time));
    statistics.last = statistics.last.max(Some(frame.time));
    if !statistics.link_types.contains(&frame.link) {
        statistics.link_types.push(frame.link);
    }
    let cut = u32::try_from(frame.octets.len()).is_ok_and(|len| len < frame.wire_len);
    statistics.truncated_frames += u64::from(cut);
}
