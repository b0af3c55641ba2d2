//! `vpnscope decode`: every VPN-relevant frame, layer by layer.

use std::io::Write;
use std::path::PathBuf;

use super::output::{self, Out};
use super::{Common, Exit, Format};
use crate::assemble::Hints;
use crate::desk::Desk;
use crate::render::tree;
use crate::report::decode::{Builder, FrameReport, Secrets, wire_len};
use crate::source::FrameSource;
use crate::source::file::{self, FileSource};
use crate::track::{Change, Event};

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
    common: Common,
}

/// Runs `decode`.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut out = output::open(args.common.output.as_deref())?;
    let mut exit = Exit::Clean;
    let mut desk = Desk::default();
    let mut first = true;
    if args.format == Format::Json {
        out.write_all(b"[")?;
    }
    for (number, path) in (0u16..).zip(&args.files) {
        match file::open_within(path, number, &args.common.budgets.file()) {
            Ok(source) => exit = exit.max(read(source, args, &mut desk, &mut out, &mut first)?),
            Err(error) => {
                output::complain(&format!("vpnscope: {error}"));
                exit = Exit::Trouble;
            }
        }
    }
    if args.format == Format::Json {
        out.write_all(b"]\n")?;
    }
    output::close(out)?;
    // The sessions are diagnosed too: the exit status says whether one of them is in trouble.
    let verdict = if desk.trouble() > 0 {
        Exit::Findings
    } else {
        Exit::Clean
    };
    Ok(exit.max(verdict))
}

/// Decodes one file.
fn read(
    mut source: FileSource,
    args: &Args,
    desk: &mut Desk,
    out: &mut Out,
    first: &mut bool,
) -> anyhow::Result<Exit> {
    let secrets = Secrets(args.common.show_secrets);
    let mut walk = args.common.budgets.walk(0, Hints::default());
    while let Some(frame) = source.next_frame() {
        let mut builder = Builder::default();
        walk.frame_and(&frame, &mut |event: &Event<'_>| {
            builder.add(event, wire_len(event.envelope), secrets);
        });
        if let Some(report) = builder.take() {
            write(out, args.format, &report, *first)?;
            *first = false;
        }
        while let Some(Change::Closed(session)) = walk.poll() {
            desk.close(session);
        }
    }
    walk.finish_each(&mut |change| {
        if let Change::Closed(session) = change {
            desk.close(session);
        }
    });
    let statistics = source.statistics();
    desk.capture_ended(statistics);
    let mut last = Vec::new();
    while let Some(Change::Closed(session)) = walk.poll() {
        last.push(session);
    }
    desk.close_each(last, |_| anyhow::Ok(()))?;
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
            serde_json::to_writer(&mut *out, report)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}
