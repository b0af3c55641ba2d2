//! `vpnscope analyze`: captures in, one diagnosis per session out.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread;

use serde::Serialize;

use super::budget;
use super::choice::{Choice, Fate};
use super::expect::{Expected, Twins};
use super::output::{self, Out};
use super::seam::Seam;
use super::shelf::Shelf;
use super::{Common, Exit, Format};
use crate::desk::{Desk, Filed, Judged, Over};
use crate::diagnose::Outcome;
use crate::render::json;
use crate::render::text;
use crate::report::{self, CaptureReport, ExpectedReport, Report, Summary};
use crate::source::file::{self, FileSource};
use crate::source::{self, Frame, FrameSource, LinkType, Problem, SourceError, Statistics};
use crate::time::Timestamp;
use crate::track::ike2::solve::Solver;
use crate::track::session::Kind;
use crate::track::vantage::Told;
use crate::track::{Change, Session};
use crate::walk::{Last, Walk};

mod lanes;
mod pair;

use lanes::{Lanes, Part};

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
    /// Threads: from two on, files are walked side by side, or one file is read on one thread and tracked
    /// on another, while sessions are judged
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
    /// Sessions of ESP alone by what became of them.
    lone: Vec<(Outcome, Option<&'static str>, u64)>,
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

    /// Counts a session of ESP alone.
    fn lone(&mut self, outcome: Outcome, cause: Option<&'static str>) {
        if self.args.choice.takes_quiet() {
            let known = self
                .lone
                .iter_mut()
                .find(|known| (known.0, known.1) == (outcome, cause));
            match known {
                Some((.., count)) => *count += 1,
                None => self.lone.push((outcome, cause, 1)),
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
        for (outcome, cause, count) in self.lone.drain(..) {
            (self.summary).count_as(Kind::Esp.word(), outcome, cause, count);
        }
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
    anyhow::ensure!(
        u16::try_from(args.files.len()).is_ok(),
        "more than {} captures at a time",
        u16::MAX
    );
    let out = output::open(args.common.output.as_deref())?;
    let mut reading = Reading {
        args,
        desk: Desk::new(args.choice.gateway_address())
            .standing(args.at.map(Told::from))
            .brief(args.summary)
            .threads(args.threads),
        press: Press {
            out,
            args,
            shelf: Shelf::default(),
            summary: Summary::default(),
            trouble: false,
            solver: args.nat_solve.then(Solver::default),
            twins: Twins::default(),
            expected: Vec::new(),
            lone: Vec::new(),
        },
        expected: Expected::new(&args.expect_client),
        captures: Vec::new(),
        exit: Exit::Clean,
        walk: None,
        capture: 0,
        renumber: 0,
        seam: Seam::default(),
        numbered: 0,
        until: None,
    };
    // Who counts every frame has to see every frame.
    if args.threads > 1 && args.expect_client.is_empty() {
        reading.side_by_side()?;
    } else {
        reading.one_by_one()?;
    }
    reading.close()?;
    let Reading {
        mut press,
        expected,
        captures,
        mut exit,
        ..
    } = reading;
    press.expected = expected.report();
    if exit < Exit::Findings && press.trouble {
        exit = Exit::Findings;
    }
    press.finish(captures)?;
    Ok(exit)
}

/// Reading the files, with a walk that goes on from one to the next where these are slices of one
/// capture.
struct Reading<'a> {
    args: &'a Args,
    desk: Desk,
    press: Press<'a>,
    expected: Expected,
    captures: Vec<CaptureReport>,
    exit: Exit,
    walk: Option<Walk>,
    /// The file that it walked last.
    capture: u16,
    /// What is added to the numbers of its sessions.
    renumber: u32,
    seam: Seam,
    /// Sessions numbered so far.
    numbered: u32,
    /// Until when the file says that it was watched.
    until: Option<Timestamp>,
}

impl Args {
    /// A walk with sessions numbered on from there.
    fn walk(&self, numbered_from: u32) -> Walk {
        let hints = self.choice.hints();
        self.common.budgets.walk(numbered_from, hints)
    }
}

impl Reading<'_> {
    /// Whether a file that begins with such a frame goes on where the last one stopped.
    fn goes_on(&self, time: Timestamp, link: LinkType) -> bool {
        self.walk.is_some() && self.seam.goes_on(time, link)
    }

    /// One file after the other.
    fn one_by_one(&mut self) -> anyhow::Result<()> {
        let args = self.args;
        for (number, path) in (0u16..).zip(&args.files) {
            match file::open_within(path, number, &args.common.budgets.file()) {
                Ok(source) => {
                    let progress = output::Progress::new(&args.files, &args.common);
                    let mut watcher = OnTheSpot {
                        reading: self,
                        progress: &progress,
                    };
                    let walked = walk_through(source, &args.choice, &mut watcher, false)?;
                    progress.done();
                    self.walked(walked)?;
                }
                Err(error) => self.refuse(path, &error),
            }
        }
        Ok(())
    }

    /// Several files at a time, each on a thread, and the judging on this one.
    fn side_by_side(&mut self) -> anyhow::Result<()> {
        let args = self.args;
        thread::scope(|scope| {
            let mut lanes = Lanes::new(scope, args);
            while let Some(mut lane) = lanes.next()? {
                let progress = output::Progress::new(&args.files, &args.common);
                while let Some(part) = lane.part() {
                    lanes.fill()?;
                    match part {
                        Part::Began(time, link) if self.goes_on(time, link) => {
                            self.press.twins.go_on(self.capture, lane.number);
                            lane = lanes.go_on(lane, &mut self.walk)?;
                        }
                        Part::Began(..) => {
                            self.close()?;
                            self.renumber = self.numbered;
                            lane = lanes.start(lane, || args.walk(0));
                        }
                        Part::Over(sessions, offset) => {
                            for session in sessions {
                                self.over(session)?;
                            }
                            progress.at(offset);
                        }
                        Part::Done(walked) => {
                            progress.done();
                            self.walked(*walked)?;
                        }
                        Part::Refused(error) => self.refuse(&lane.path, &error),
                    }
                }
            }
            Ok(())
        })
    }

    /// A session ended.
    fn over(&mut self, mut session: Box<Session>) -> anyhow::Result<()> {
        session.id += self.renumber;
        self.press.session(self.desk.close(session))
    }

    fn refuse(&mut self, path: &Path, error: &SourceError) {
        output::complain(&format!("vpnscope: {error}"));
        let mut statistics = Statistics::new(path.display().to_string(), source::Format::Pcap);
        statistics.note(Problem {
            offset: None,
            frame: None,
            what: error.to_string(),
            fatal: true,
        });
        self.captures.push(report::capture(&statistics, 0, 0));
        self.exit = Exit::Trouble;
    }

    /// Takes the end of a file.
    fn walked(&mut self, walked: Walked) -> anyhow::Result<()> {
        let Walked {
            number,
            statistics,
            sent_by_us,
            walk,
            counts,
        } = walked;
        self.desk.capture_ended(&statistics);
        self.desk.sent_by_us(number, &sent_by_us);
        if walk.is_some() {
            self.walk = walk;
            self.capture = number;
            self.seam.ended(&statistics);
            self.until = statistics.ended.filter(|_| !self.args.choice.ends());
        }
        for problem in &statistics.problems {
            output::complain(&format!("vpnscope: {}: {}", statistics.name, problem.what));
        }
        if statistics.problems.iter().any(|problem| problem.fatal) {
            self.exit = Exit::Trouble;
        }
        let mut report = report::capture(&statistics, counts.copies, counts.undecodable);
        report.unclassified_frames = counts.unclassified;
        self.press.capture(&report)?;
        self.captures.push(report);
        Ok(())
    }

    /// Ends the walk and files what is still open.
    fn close(&mut self) -> anyhow::Result<()> {
        let Some(mut walk) = self.walk.take() else {
            return Ok(());
        };
        let (desk, press, renumber) = (&mut self.desk, &mut self.press, self.renumber);
        walk.watched_until(self.until.take());
        let mut pressed = Ok(());
        let is_plain = press.args.choice.is_plain();
        let is_alone = press.args.files.len() == 1;
        walk.finish_each(&mut |last| match last {
            Last::PushedOut(Change::Closed(mut session)) if pressed.is_ok() => {
                session.id += renumber;
                pressed = press.session(desk.close(session));
            }
            Last::PushedOut(_) => {}
            Last::Over(ended) => desk.learn(&ended),
        });
        pressed?;
        self.numbered = renumber + walk.numbered();
        let over = std::iter::from_fn(|| {
            let change = if is_plain {
                walk.poll_unbuilt()
            } else {
                walk.poll()
            };
            let mut over = change.and_then(Over::of)?;
            over.renumber(renumber);
            // Sessions of several files are compared.
            Some(if is_alone { over } else { over.built() })
        });
        desk.judge_each(over, |judged| match judged {
            Judged::Session(filed) => press.session(filed),
            Judged::Nothing => {
                press.summary.tls_not_reported += 1;
                Ok(())
            }
            Judged::Lone(outcome, cause) => {
                press.lone(outcome, cause);
                Ok(())
            }
        })?;
        budget::given_up(&mut press.summary.evicted, &walk);
        press.summary.other_vpns.add(walk.other_vpns());
        Ok(())
    }
}

/// Who follows a file while it is walked.
trait Watcher {
    type Error;

    /// The walk for a file whose first frame that was asked for is this one.
    fn begin(&mut self, frame: &Frame<'_>) -> Result<Walk, Self::Error>;

    /// A frame that was asked for; not told where frames are read on another thread.
    fn frame(&mut self, frame: &Frame<'_>);

    /// A session ended.
    fn over(&mut self, session: Box<Session>) -> Result<(), Self::Error>;

    /// So many octets were read.
    fn at(&mut self, offset: u64) -> Result<(), Self::Error>;
}

/// Each session is judged when it ends, before the walk goes on.
struct OnTheSpot<'r, 'a, 'p> {
    reading: &'r mut Reading<'a>,
    progress: &'p output::Progress,
}

impl Watcher for OnTheSpot<'_, '_, '_> {
    type Error = anyhow::Error;

    fn begin(&mut self, frame: &Frame<'_>) -> anyhow::Result<Walk> {
        let reading = &mut *self.reading;
        if reading.goes_on(frame.time, frame.link) {
            reading.press.twins.go_on(reading.capture, frame.capture);
        } else {
            reading.close()?;
        }
        let walk = reading.walk.take();
        Ok(walk.unwrap_or_else(|| reading.args.walk(reading.numbered)))
    }

    #[inline]
    fn frame(&mut self, frame: &Frame<'_>) {
        self.reading.expected.frame(frame);
    }

    fn over(&mut self, session: Box<Session>) -> anyhow::Result<()> {
        self.reading.over(session)
    }

    fn at(&mut self, offset: u64) -> anyhow::Result<()> {
        self.progress.at(offset);
        Ok(())
    }
}

/// What a file was like, and the walk that may go on after it.
struct Walked {
    number: u16,
    statistics: Statistics,
    sent_by_us: Vec<u64>,
    /// None where no frame was asked for.
    walk: Option<Walk>,
    counts: Counts,
}

/// What is counted a file.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    copies: u64,
    undecodable: u64,
    unclassified: u64,
}

impl Counts {
    fn of(walk: &Walk) -> Self {
        let counters = walk.counters();
        Self {
            copies: walk.track_counters().copies + walk.copied_fragments(),
            undecodable: counters.undecodable,
            unclassified: counters.unclassified,
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            copies: self.copies - before.copies,
            undecodable: self.undecodable - before.undecodable,
            unclassified: self.unclassified - before.unclassified,
        }
    }
}

/// Walks one file; where asked for, on a thread more than this one.
fn walk_through<W: Watcher>(
    mut source: FileSource,
    choice: &Choice,
    watcher: &mut W,
    in_halves: bool,
) -> Result<Walked, W::Error> {
    let mut begun: Option<(Walk, Counts)> = None;
    let mut number = 0;
    while let Some(frame) = source.next_frame() {
        number = frame.capture;
        if !choice.takes_frame(frame.time) {
            continue;
        }
        let no = frame.no;
        if begun.is_none() {
            let walk = watcher.begin(&frame)?;
            let before = Counts::of(&walk);
            begun = Some((walk, before));
        }
        watcher.frame(&frame);
        let Some((walk, _)) = &mut begun else {
            continue;
        };
        walk.frame(&frame);
        while let Some(Change::Closed(session)) = walk.poll() {
            watcher.over(session)?;
        }
        if in_halves && pair::walk(&mut source, choice, walk, watcher)? {
            break;
        }
        if no % 65_536 == 0 {
            watcher.at(source.offset())?;
        }
    }
    if let Some((walk, _)) = &mut begun {
        walk.settle();
    }
    let counts = begun
        .as_ref()
        .map(|(walk, before)| Counts::of(walk).since(*before));
    Ok(Walked {
        number,
        statistics: source.statistics().clone(),
        sent_by_us: source.annotations().sent_by_us.clone(),
        walk: begun.map(|(walk, _)| walk),
        counts: counts.unwrap_or_default(),
    })
}
