//! `vpnscope decode`: every VPN-relevant frame, layer by layer.

use std::io::Write;
use std::path::PathBuf;

use super::output;
use super::{Common, Exit, Format};
use crate::assemble::ip;
use crate::render::tree;
use crate::report::decode::{Builder, FrameReport, Secrets, wire_len};
use crate::source::FrameSource;
use crate::source::file;
use crate::track::Event;
use crate::walk::Front;

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
    let mut first = true;
    if args.format == Format::Json {
        out.write_all(b"[")?;
    }
    for (number, path) in (0u16..).zip(&args.files) {
        let mut source = match file::open(path, number) {
            Ok(source) => source,
            Err(error) => {
                output::complain(&format!("vpnscope: {error}"));
                exit = Exit::Trouble;
                continue;
            }
        };
        let mut front = Front::new(ip::Config::default());
        while let Some(frame) = source.next_frame() {
            let mut builder = Builder::default();
            front.frame(&frame, &mut |event: &Event<'_>| {
                builder.add(
                    event,
                    wire_len(event.envelope),
                    Secrets(args.common.show_secrets),
                );
            });
            if let Some(report) = builder.take() {
                write(&mut out, args.format, &report, first)?;
                first = false;
            }
        }
        for problem in &source.statistics().problems {
            output::complain(&format!(
                "vpnscope: {}: {}",
                source.statistics().name,
                problem.what
            ));
            if problem.fatal {
                exit = Exit::Trouble;
            }
        }
    }
    if args.format == Format::Json {
        out.write_all(b"]\n")?;
    }
    output::close(out)?;
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
