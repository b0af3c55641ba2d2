//! `vpnscope decode`: every VPN-relevant frame, layer by layer.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::choice::FrameChoice;
use super::members::Members;
use super::output::{self, Out};
use super::seam::Seam;
use super::{Common, Exit, Format};
use crate::desk::{Desk, Judged, Over};
use crate::render::json;
use crate::render::tree;
use crate::report::decode::{Builder, FrameReport, Secrets, wire_len};
use crate::source::FrameSource;
use crate::source::file::{self, FileSource};
use crate::track::{Change, Event, Session};
use crate::walk::{Last, Walk};

/// Options of `decode`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Captures: pcap or pcapng, plain, .gz or .zst; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    choice: FrameChoice,
    #[command(flatten)]
    pub(super) common: Common,
}

/// What goes on from file to file.
struct Table {
    desk: Desk,
    out: Out,
    /// Whether nothing was written yet.
    first: bool,
    /// Goes on from slice to slice.
    walk: Option<Walk>,
    seam: Seam,
    /// Sessions in the files before.
    sessions: u32,
    /// Whether one that was asked for is in trouble.
    trouble: bool,
}

impl Table {
    fn close(&mut self, choice: &FrameChoice, session: Box<Session>) {
        let filed = self.desk.close(session);
        self.trouble |= filed.is_trouble() && choice.names(&filed.session);
    }

    /// Ends the walk, and judges what it held.
    fn end(&mut self, choice: &FrameChoice) -> anyhow::Result<()> {
        let Some(mut walk) = self.walk.take() else {
            return Ok(());
        };
        walk.finish_each(&mut |last| match last {
            Last::PushedOut(Change::Closed(session)) => self.close(choice, session),
            Last::PushedOut(_) => {}
            Last::Over(ended) => self.desk.learn(&ended),
        });
        self.sessions = walk.numbered();
        let mut trouble = self.trouble;
        self.desk
            .judge_each(walk.closed().map(Over::from), |judged| {
                if let Judged::Session(filed) = judged {
                    trouble |= filed.is_trouble() && choice.names(&filed.session);
                }
                anyhow::Ok(())
            })?;
        self.trouble = trouble;
        Ok(())
    }
}

/// Runs `decode`.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut exit = Exit::Clean;
    let mut table = Table {
        desk: Desk::default(),
        out: output::open(args.common.output.as_deref())?,
        first: true,
        walk: None,
        seam: Seam::default(),
        sessions: 0,
        trouble: false,
    };
    if args.format == Format::Json {
        table.out.write_all(b"[")?;
    }
    let members = members(args)?;
    for (number, path) in (0u16..).zip(&args.files) {
        match file::open_within(path, number, &args.common.budgets.file()) {
            Ok(source) => {
                exit = exit.max(read(source, args, members.as_ref(), &mut table)?);
            }
            Err(error) => {
                output::complain(&format!("vpnscope: {error}"));
                exit = Exit::Trouble;
            }
        }
    }
    table.end(&args.choice)?;
    if args.format == Format::Json {
        table.out.write_all(b"]\n")?;
    }
    output::close(table.out)?;
    // The sessions are diagnosed too: the exit status says whether one of them is in trouble.
    let verdict = if table.trouble {
        Exit::Findings
    } else {
        Exit::Clean
    };
    Ok(exit.max(verdict))
}

/// The frames of the session that was asked for; `None` where none was.
fn members(args: &Args) -> anyhow::Result<Option<Members>> {
    let Some(session) = args.choice.session else {
        return Ok(None);
    };
    if args.files.iter().any(|path| path == Path::new("-")) {
        bail!("--session reads its input twice, which standard input does not allow");
    }
    let takes = |time| args.choice.takes_time(time);
    let members = Members::of(&args.common.budgets, &takes, &args.files, session);
    Ok(Some(members))
}

/// Decodes one file.
fn read(
    mut source: FileSource,
    args: &Args,
    members: Option<&Members>,
    table: &mut Table,
) -> anyhow::Result<Exit> {
    let secrets = Secrets(args.common.show_secrets);
    let choice = &args.choice;
    let mut begun = false;
    while let Some(frame) = source.next_frame() {
        if !choice.takes_time(frame.time) {
            continue;
        }
        if !begun && !table.seam.goes_on(frame.time, frame.link) {
            table.end(choice)?;
        }
        begun = true;
        let sessions = table.sessions;
        // Each frame is shown where it stands.
        let walk = table.walk.get_or_insert_with(|| {
            let budgets = &args.common.budgets;
            budgets.walk_in_file_order(sessions, choice.hints())
        });
        let mut builder = Builder::default();
        walk.frame_and(&frame, &mut |event: &Event<'_>| {
            let flow = event.envelope.flow();
            let is_member = members.is_none_or(|m| m.has(&frame, Some(flow)));
            if is_member && choice.takes_flow(&flow) {
                builder.add(event, wire_len(event.envelope), secrets);
            }
        });
        if let Some(report) = builder.take() {
            write(&mut table.out, args.format, &report, table.first)?;
            table.first = false;
        }
        while let Some(Change::Closed(session)) = table.walk.as_mut().and_then(Walk::poll) {
            table.close(choice, session);
        }
    }
    let statistics = source.statistics();
    table.desk.capture_ended(statistics);
    if begun {
        table.seam.ended(statistics);
    }
    let mut exit = Exit::Clean;
    for problem in &statistics.problems {
        output::complain(&format!("vpnscope: {}: {}", statistics.name, problem.what));
        if problem.fatal {
            exit = Exit::Trouble;
        }
    }
    Ok(exit)
}

fn write(
    out: &mut impl Write,
    format: Format,
    report: &FrameReport,
    first: bool,
) -> anyhow::Result<()> {
    match format {
        Format::Text => tree::frame(out, report)?,
        Format::Json | Format::Ndjson => {
            if format == Format::Json && !first {
                out.write_all(b",")?;
            }
            json::to_writer(&mut *out, report)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}
