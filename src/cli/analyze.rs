//! `vpnscope analyze`: captures in, one diagnosis per session out.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::budget;
use super::choice::{Choice, Fate};
use super::expect::{Expected, Twins};
use super::output::{self, Out};
use super::shelf::Shelf;
use super::{Common, Exit, Format};
use crate::desk::{Desk, Filed, Over};
use crate::render::json;
use crate::render::text;
use crate::report::{self, CaptureReport, ExpectedReport, Report, Summary};
use crate::source::file::{self, FileSource};
use crate::source::{Frame, FrameSource, LinkType, SourceError};
use crate::time::{Span, Timestamp};
use crate::track::Change;
use crate::track::ike2::solve::Solver;
use crate::track::vantage::Told;
use crate::walk::{Last, Walk};

/// Where a capture stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum At {
    /// At the client
    Client,
    /// At the gateway
    Gateway,
    /// On the gateway's outer interface
    Wan,
    /// On the gateway's inner interface
    Lan,
    /// At a server behind the gateway
    Server,
}

impl From<At> for Told {
    fn from(at: At) -> Self {
        match at {
            At::Client => Self::Client,
            At::Gateway => Self::Gateway,
            At::Wan => Self::Wan,
            At::Lan => Self::Lan,
            At::Server => Self::Server,
        }
    }
}

/// Options of `analyze`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Captures: pcap or pcapng, plain, .gz or .zst; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    choice: Choice,
    /// Counts only, nothing per session; the whole diagnosis still runs
    #[arg(long)]
    summary: bool,
    /// Where the captures stand
    #[arg(long, value_enum)]
    at: Option<At>,
    /// A client that should show up in the captures: what of it did, and if nothing, what else
    #[arg(long, value_name = "ADDR")]
    expect_client: Vec<IpAddr>,
    /// Try out which private address a client behind NAT has (seconds of computing)
    #[arg(long)]
    nat_solve: bool,
    /// Threads: from two on, one reads ahead, and sessions that end together are judged by all
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
}

/// Where sessions go as they are known.
struct Press<'a> {
    out: Out,
    args: &'a Args,
    shelf: Shelf,
    summary: Summary,
    /// A session that is reported failed or is degraded.
    trouble: bool,
    solver: Option<Solver>,
    twins: Twins,
    expected: Vec<ExpectedReport>,
}

#[derive(Serialize)]
struct Line<'a, T: Serialize> {
    r#type: &'static str,
    #[serde(flatten)]
    what: &'a T,
}

impl Press<'_> {
    fn session(&mut self, mut filed: Filed) -> anyhow::Result<()> {
        if self.args.files.len() > 1 {
            self.twins.see(&filed.session);
        }
        self.summary.other_vpns.sstp += u64::from(filed.is_sstp);
        self.summary.evicted.certificates += budget::certificates_left_out(&filed.session);
        match self.args.choice.of(&filed) {
            Fate::Reported => self.trouble |= filed.is_trouble(),
            Fate::Counted => {
                self.summary.tls_not_reported += 1;
                return Ok(());
            }
            Fate::NotAsked => return Ok(()),
        }
        self.summary
            .count(filed.session.kind.word(), &filed.verdict);
        if self.args.summary {
            return Ok(());
        }
        if let Some(solver) = &mut self.solver {
            solver.solve(&mut filed.session);
        }
        let report = report::session(filed.session.id, &filed.session, &filed.verdict);
        match self.args.format {
            Format::Ndjson => self.line("session", &report),
            Format::Json => self.shelf.write(&report, &mut self.out),
            Format::Text => {
                let most = self.args.common.budgets.descriptions();
                if !self.shelf.keep(report, most) {
                    self.summary.evicted.descriptions += 1;
                }
                Ok(())
            }
        }
    }

    fn line(&mut self, name: &'static str, what: &impl Serialize) -> anyhow::Result<()> {
        json::to_writer(&mut self.out, &Line { r#type: name, what })?;
        self.out.write_all(b"\n")?;
        Ok(())
    }

    fn capture(&mut self, capture: &CaptureReport) -> anyhow::Result<()> {
        match self.args.format {
            Format::Ndjson => self.line("capture", capture),
            Format::Json | Format::Text => Ok(()),
        }
    }

    fn finish(mut self, captures: Vec<CaptureReport>) -> anyhow::Result<()> {
        let colour = output::coloured(self.args.common.color, self.args.common.output.is_some());
        let report = Report {
            schema: report::SCHEMA,
            captures,
            sessions: Vec::new(),
            summary: self.summary,
            expected: self.expected,
            hints: self.twins.hints(&self.args.files),
        };
        match self.args.format {
            format @ (Format::Text | Format::Json) => {
                let style = text::Style { colour };
                self.shelf.finish(report, format, style, &mut self.out)?;
            }
            Format::Ndjson => {
                for expected in &report.expected {
                    let line = Line {
                        r#type: "expected",
                        what: expected,
                    };
                    json::to_writer(&mut self.out, &line)?;
                    self.out.write_all(b"\n")?;
                }
                for hint in &report.hints {
                    let line = Line {
                        r#type: "hint",
                        what: &serde_json::json!({ "hint": hint }),
                    };
                    json::to_writer(&mut self.out, &line)?;
                    self.out.write_all(b"\n")?;
                }
                let line = Line {
                    r#type: "summary",
                    what: &report.summary,
                };
                json::to_writer(&mut self.out, &line)?;
                self.out.write_all(b"\n")?;
            }
        }
        output::close(self.out)?;
        Ok(())
    }
}

/// Runs `analyze`.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let out = output::open(args.common.output.as_deref())?;
    let mut press = Press {
        out,
        args,
        shelf: Shelf::default(),
        summary: Summary::default(),
        trouble: false,
        solver: args.nat_solve.then(Solver::default),
        twins: Twins::default(),
        expected: Vec::new(),
    };
    let mut desk = Desk::new(args.choice.gateway_address())
        .standing(args.at.map(Told::from))
        .brief(args.summary)
        .threads(args.threads);
    let mut expected = Expected::new(&args.expect_client);
    let mut captures = Vec::new();
    let mut exit = Exit::Clean;
    let mut reading = Reading::default();
    for (number, path) in (0u16..).zip(&args.files) {
        let limits = file::Limits {
            ahead: args.threads > 1,
            ..args.common.budgets.file()
        };
        match file::open_within(path, number, &limits) {
            Ok(source) => {
                let (capture, worst) = read(
                    source,
                    args,
                    &mut desk,
                    &mut press,
                    &mut expected,
                    &mut reading,
                )?;
                press.capture(&capture)?;
                exit = exit.max(worst);
                captures.push(capture);
            }
            Err(error) => {
                refuse(path, &error, &mut captures);
                exit = Exit::Trouble;
            }
        }
    }
    reading.close(&mut desk, &mut press)?;
    press.expected = expected.report();
    if exit < Exit::Findings && press.trouble {
        exit = Exit::Findings;
    }
    press.finish(captures)?;
    Ok(exit)
}

fn refuse(path: &Path, error: &SourceError, captures: &mut Vec<CaptureReport>) {
    output::complain(&format!("vpnscope: {error}"));
    let mut statistics =
        crate::source::Statistics::new(path.display().to_string(), crate::source::Format::Pcap);
    statistics.note(crate::source::Problem {
        offset: None,
        frame: None,
        what: error.to_string(),
        fatal: true,
    });
    captures.push(report::capture(&statistics, 0, 0));
}

/// A walk that goes on from one file to the next where these are slices of one capture.
#[derive(Default)]
struct Reading {
    walk: Option<Walk>,
    last: Option<Timestamp>,
    links: Vec<LinkType>,
    /// Sessions numbered so far.
    numbered: u32,
    /// Until when the file says that it was watched.
    until: Option<Timestamp>,
}

impl Reading {
    /// Slices of a ring follow each other closely, with the same link type.
    const GAP: Span = Span::from_secs(10);

    /// The walk for a file that begins with this frame: the same one for a slice that goes on.
    fn begin(
        &mut self,
        frame: &Frame<'_>,
        desk: &mut Desk,
        press: &mut Press<'_>,
    ) -> anyhow::Result<()> {
        let goes_on = self.links.contains(&frame.link)
            && self
                .last
                .is_some_and(|last| frame.time >= last && frame.time - last <= Self::GAP);
        if !goes_on {
            self.close(desk, press)?;
        }
        if self.walk.is_none() {
            let hints = press.args.choice.hints();
            let budgets = &press.args.common.budgets;
            self.walk = Some(budgets.walk(self.numbered, hints));
        }
        Ok(())
    }

    /// Ends the walk and files what is still open.
    fn close(&mut self, desk: &mut Desk, press: &mut Press<'_>) -> anyhow::Result<()> {
        let Some(mut walk) = self.walk.take() else {
            return Ok(());
        };
        walk.watched_until(self.until.take());
        let mut pressed = Ok(());
        let is_plain = press.args.choice.is_plain();
        walk.finish_each(&mut |last| match last {
            Last::PushedOut(Change::Closed(session)) if pressed.is_ok() => {
                pressed = press.session(desk.close(session));
            }
            Last::PushedOut(_) => {}
            Last::Over(ended) => desk.learn(&ended),
        });
        pressed?;
        self.numbered = walk.numbered();
        let over = std::iter::from_fn(|| {
            let change = if is_plain {
                walk.poll_unbuilt()
            } else {
                walk.poll()
            };
            change.and_then(Over::of)
        });
        desk.judge_each(over, |filed| match filed {
            Some(filed) => press.session(filed),
            None => {
                press.summary.tls_not_reported += 1;
                Ok(())
            }
        })?;
        budget::given_up(&mut press.summary.evicted, &walk);
        press.summary.other_vpns.add(walk.other_vpns());
        Ok(())
    }

    /// Copies, undecodable and unclassified frames so far.
    fn counts(&self) -> (u64, u64, u64) {
        self.walk.as_ref().map_or((0, 0, 0), |walk| {
            (
                walk.track_counters().copies + walk.copied_fragments(),
                walk.counters().undecodable,
                walk.counters().unclassified,
            )
        })
    }
}

/// Walks one file and files the sessions that end in it.
fn read(
    mut source: FileSource,
    args: &Args,
    desk: &mut Desk,
    press: &mut Press<'_>,
    expected: &mut Expected,
    reading: &mut Reading,
) -> anyhow::Result<(CaptureReport, Exit)> {
    let progress = output::Progress::new(&args.files, &args.common);
    let mut before = None;
    let mut number = 0;
    while let Some(frame) = source.next_frame() {
        number = frame.capture;
        if !args.choice.takes_frame(frame.time) {
            continue;
        }
        let no = frame.no;
        if before.is_none() {
            reading.begin(&frame, desk, press)?;
            before = Some(reading.counts());
        }
        expected.frame(&frame);
        let Some(walk) = &mut reading.walk else {
            continue;
        };
        walk.frame(&frame);
        while let Some(Change::Closed(session)) = walk.poll() {
            press.session(desk.close(session))?;
        }
        if no % 65_536 == 0 {
            progress.at(source.offset());
        }
    }
    let statistics = source.statistics().clone();
    desk.capture_ended(&statistics);
    desk.sent_by_us(number, &source.annotations().sent_by_us);
    if before.is_some() {
        reading.last = statistics.last;
        reading.until = statistics.ended.filter(|_| !args.choice.ends());
        reading.links.clone_from(&statistics.link_types);
    }
    progress.done();
    for problem in &statistics.problems {
        output::complain(&format!("vpnscope: {}: {}", statistics.name, problem.what));
    }
    let fatal = statistics.problems.iter().any(|problem| problem.fatal);
    let (copies, undecodable, unclassified) = before.map_or((0, 0, 0), |before| {
        let now = reading.counts();
        (now.0 - before.0, now.1 - before.1, now.2 - before.2)
    });
    let mut report = report::capture(&statistics, copies, undecodable);
    report.unclassified_frames = unclassified;
    Ok((report, if fatal { Exit::Trouble } else { Exit::Clean }))
}
