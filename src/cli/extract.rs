//! `vpnscope extract`: the frames that matter, to a new capture.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::budget::Budgets;
use super::choice::{parse_gateway, parse_time};
use super::keep::outbox::{Known, Outbox};
use super::keep::shard::Shard;
use super::members::Members;
use super::seam::Seam;
use super::{Exit, output};
use crate::assemble::Hints;
use crate::decap::{Addresses, Content, Flow, decap};
use crate::dissect::streams;
use crate::source::file::{self, FileSource};
use crate::source::writer::{Counters, Description, Origin, Output, Writer};
use crate::source::{Frame, FrameSource};
use crate::time::Timestamp;
use crate::track::{DnsSight, EspSight, Event, What};
use crate::walk::{Fate, Front, Sink};

/// Options of `extract`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Captures: pcap or pcapng, plain, .gz or .zst; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The new capture: .pcap or .pcapng, with .gz or .zst; - for standard output
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Only the frames of the session with this number, as `analyze` counts over these files
    #[arg(long, value_name = "N", conflicts_with = "shard")]
    session: Option<u32>,
    /// Only one share of all address pairs, the same in every file and run
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Of ESP packets keep this many octets from the SPI on, at least 16
    #[arg(long, value_name = "N")]
    snap_esp: Option<usize>,
    /// Only conversations of this client
    #[arg(long, value_name = "ADDR")]
    client: Option<IpAddr>,
    /// Only conversations with this gateway
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_gateway)]
    gateway: Option<(IpAddr, Option<u16>)>,
    /// Only frames from this time on (RFC 3339 or seconds since 1970)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Only frames up to this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    #[command(flatten)]
    pub(super) budgets: Budgets,
}

impl Args {
    fn takes_time(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time <= until)
    }

    fn takes_flow(&self, flow: &Flow) -> bool {
        let has = |ip: IpAddr| flow.source.0 == ip || flow.destination.0 == ip;
        self.client.is_none_or(has)
            && self.gateway.is_none_or(|(ip, _)| has(ip))
            && self.shard.is_none_or(|shard| shard.takes(flow))
    }

    fn front(&self) -> Front {
        let hints = Hints {
            client: self.client,
            gateway: self.gateway,
        };
        // Frames are written in the order in which they stand.
        let streams = streams::Config {
            waits: false,
            ..self.budgets.streams(hints)
        };
        let mut front = Front::with(self.budgets.fragments(), streams);
        front.keep_flow();
        front
    }
}

/// Runs `extract`.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    for input in &args.files {
        if is_same(input, &args.output) {
            bail!(
                "{} is read from; name another output",
                args.output.display()
            );
        }
        if args.session.is_some() && input == Path::new("-") {
            bail!("--session reads its input twice, which standard input does not allow");
        }
    }
    let numbers = (0u16..).zip(&args.files);
    let mut exit = Exit::Clean;
    let mut sources = Vec::new();
    for (number, path) in numbers {
        match file::open_within(path, number, &args.budgets.file()) {
            Ok(source) => sources.push(source),
            Err(error) => {
                output::complain(&format!("vpnscope: {error}"));
                exit = Exit::Trouble;
            }
        }
    }
    if sources.is_empty() {
        return Ok(exit);
    }
    let writer = Writer::create(&args.output, Output::for_path(&args.output));
    let mut out = Press {
        writer: writer.with_context(|| format!("cannot write {}", args.output.display()))?,
        snap_esp: args.snap_esp,
        origins: Vec::new(),
    };
    let takes = |time| args.takes_time(time);
    let members = args
        .session
        .map(|session| Members::of(&args.budgets, &takes, &args.files, session));
    let mut going = Going::default();
    for source in sources {
        let statistics = match &members {
            None => all(args, &mut going, source, &mut out),
            Some(members) => write_members(members, args, &mut going, source, &mut out),
        }
        .with_context(|| format!("cannot write {}", args.output.display()))?;
        for problem in &statistics.problems {
            output::complain(&format!("vpnscope: {}: {}", statistics.name, problem.what));
            if problem.fatal {
                exit = Exit::Trouble;
            }
        }
    }
    out.writer
        .finish()
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    Ok(exit)
}

/// Whether two paths name the same file.
fn is_same(a: &Path, b: &Path) -> bool {
    if a == Path::new("-") || b == Path::new("-") {
        return false;
    }
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b || is_same_inode(&a, &b),
        _ => false,
    }
}

#[cfg(unix)]
fn is_same_inode(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => a.is_file() && (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_same_inode(_: &Path, _: &Path) -> bool {
    false
}

/// The capture being written.
struct Press {
    writer: Writer,
    snap_esp: Option<usize>,
    /// Where frames of the file at hand came from.
    origins: Vec<Origin>,
}

impl Press {
    fn frame(&mut self, frame: &Frame<'_>, name: &str, filter: Option<&str>) -> io::Result<()> {
        let origin = Origin::of(frame);
        if self.origins.last() != Some(&origin) && !self.origins.contains(&origin) {
            let description = Description {
                name: Some(name.into()),
                filter: filter.map(Into::into),
                snaplen: 0,
            };
            self.writer.describe(origin, description);
            self.origins.push(origin);
        }
        let octets = self
            .snap_esp
            .map_or(frame.octets, |most| snapped(frame, most));
        self.writer.frame(&Frame { octets, ..*frame }, None)
    }

    /// Says how the capture of a file ended: until when it went on, and what it lost.
    fn ended(&mut self, statistics: &crate::source::Statistics) -> io::Result<()> {
        let Some(time) = statistics.ended.max(statistics.last) else {
            return Ok(());
        };
        let mut dropped = statistics.dropped;
        for origin in std::mem::take(&mut self.origins) {
            let counters = Counters {
                time,
                received: None,
                dropped_by_interface: None,
                // Once for the whole file.
                dropped_by_system: dropped.take(),
            };
            self.writer.counters(origin, &counters)?;
        }
        Ok(())
    }
}

/// A frame without the inside of its ESP packet.
fn snapped<'a>(frame: &Frame<'a>, most: usize) -> &'a [u8] {
    let segment = decap(frame);
    let esp = match segment.content {
        Content::Ip { payload, .. } if segment.envelope.protocol == 50 => payload,
        Content::Udp { payload, .. } => {
            let ports = (
                segment.envelope.source_port,
                segment.envelope.destination_port,
            );
            if crate::dissect::classify(ports, payload) != crate::dissect::Class::Esp {
                return frame.octets;
            }
            payload
        }
        _ => return frame.octets,
    };
    let begin = esp
        .as_ptr()
        .addr()
        .checked_sub(frame.octets.as_ptr().addr());
    begin
        .and_then(|begin| frame.octets.get(..begin + most.max(16)))
        .unwrap_or(frame.octets)
}

/// Takes what the front gives: of ESP its header is enough.
struct Taker<'a> {
    args: &'a Args,
    outbox: &'a mut Outbox,
}

impl Sink for Taker<'_> {
    fn event(&mut self, event: &Event<'_>) {
        if let What::Incomplete(incomplete) = event.what
            && self.args.takes_flow(&incomplete.flow)
        {
            self.outbox.keep(event.frames);
        }
    }

    fn esp(&mut self, _: &EspSight<'_>, _: &Frame<'_>) -> bool {
        true
    }

    fn dns(&mut self, _: &DnsSight, _: &[u8]) -> bool {
        true
    }

    fn knows(&mut self, _: Addresses<'_>) -> bool {
        true
    }
}

/// The front, which goes on from slice to slice.
#[derive(Default)]
struct Going {
    front: Option<Front>,
    seam: Seam,
}

impl Going {
    /// The front for a file that begins with this frame.
    fn begin(&mut self, first: &Frame<'_>, args: &Args) -> Front {
        let front = self.front.take();
        front
            .filter(|_| self.seam.goes_on(first.time, first.link))
            .unwrap_or_else(|| args.front())
    }

    /// A file ended of which something was asked for, if a front is given.
    fn end(&mut self, front: Option<Front>, statistics: &crate::source::Statistics) {
        if front.is_some() {
            self.front = front;
            self.seam.ended(statistics);
        }
    }
}

/// Writes everything of ours in a file.
fn all(
    args: &Args,
    going: &mut Going,
    mut source: FileSource,
    out: &mut Press,
) -> io::Result<crate::source::Statistics> {
    let mut begun: Option<Front> = None;
    let mut outbox = Outbox::default();
    let name = source.statistics().name.clone();
    let mut filter = None;
    while let Some(frame) = source.next_frame() {
        if !args.takes_time(frame.time) {
            continue;
        }
        let front = begun.get_or_insert_with(|| going.begin(&frame, args));
        let fate = front.pass(
            &frame,
            &mut Taker {
                args,
                outbox: &mut outbox,
            },
        );
        let flow = front.flow();
        let fate = match (fate, &flow) {
            // To which conversation a fragment belongs is known when it is whole.
            (fate @ (Fate::NotOurs | Fate::Fragment), _) => fate,
            (_, Some(flow)) if !args.takes_flow(flow) => Fate::NotOurs,
            (fate, _) => fate,
        };
        let known = Known {
            fate,
            flow,
            pieces: front.pieces(),
            alone: flow.as_ref().is_some_and(|flow| args.takes_flow(flow)),
        };
        outbox.put(&frame, known, &mut |frame| {
            out.frame(frame, &name, filter.as_deref())
        })?;
        if frame.no == 1 {
            filter.clone_from(&source.statistics().filter);
        }
    }
    outbox.finish(&mut |frame| out.frame(frame, &name, filter.as_deref()))?;
    let statistics = source.statistics().clone();
    going.end(begun, &statistics);
    out.ended(&statistics)?;
    Ok(statistics)
}

/// Writes the frames of one session.
fn write_members(
    members: &Members,
    args: &Args,
    going: &mut Going,
    mut source: FileSource,
    out: &mut Press,
) -> io::Result<crate::source::Statistics> {
    let mut begun: Option<Front> = None;
    let name = source.statistics().name.clone();
    while let Some(frame) = source.next_frame() {
        if !args.takes_time(frame.time) {
            continue;
        }
        let front = begun.get_or_insert_with(|| going.begin(&frame, args));
        front.frame(&frame, &mut |_: &Event<'_>| {});
        if members.has(&frame, front.flow()) {
            out.frame(&frame, &name, None)?;
        }
    }
    let statistics = source.statistics().clone();
    going.end(begun, &statistics);
    out.ended(&statistics)?;
    Ok(statistics)
}
