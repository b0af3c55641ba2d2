//! `vpnscope capture`: the walk of `analyze`, over interfaces.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

use super::choice::Fate;
use super::{Exit, budget, output};
use crate::desk::Desk;
use crate::dissect::streams;
use crate::report;
use crate::source::live::{self, LiveSource, Options, Poll};
use crate::source::{Problem, Statistics};
use crate::time::{Span, Timestamp};
use crate::track::{self, Change};
use crate::walk::Walk;

mod history;
mod options;
mod press;
mod remarks;
mod units;
mod writing;

pub(super) use options::Args;

use options::ExitStatus;
use press::Press;
use writing::Writing;

/// What the world asks of a capture.
struct Signals {
    stop: Arc<AtomicBool>,
    tell: Arc<AtomicBool>,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
        let signals = Self {
            stop: Arc::default(),
            tell: Arc::default(),
        };
        for signal in [SIGINT, SIGTERM] {
            // The second one does not wait for a clean end.
            signal_hook::flag::register_conditional_shutdown(signal, 2, signals.stop.clone())?;
            signal_hook::flag::register(signal, signals.stop.clone())?;
        }
        signal_hook::flag::register(SIGUSR1, signals.tell.clone())?;
        Ok(signals)
    }
}

/// How often what is slow is done.
const TICK: Duration = Duration::from_millis(500);
/// Longest wait for a frame, so that signals are heard.
const WAIT: Duration = Duration::from_millis(200);
/// Frames between two looks at the clock, while they come without a pause.
const FRAMES_A_LOOK: u32 = 256;
/// How long the last frames may take out of the rings once it is over, and all of them.
const LAST_WAIT: Duration = Duration::from_millis(120);
const LAST_WAITS: Duration = Duration::from_secs(5);

/// Runs `capture`.
pub(super) fn run(mut args: Args) -> anyhow::Result<Exit> {
    args.choice.for_interfaces();
    let (first, last) = (Timestamp(i64::MIN), Timestamp::MAX);
    if !(args.choice.takes_frame(first) && args.choice.takes_frame(last)) {
        bail!("--since and --until choose frames of files; an interface has --duration");
    }
    let mut source = open(&args)?;
    if let Some(user) = &args.user {
        live::become_user(user, !args.drop_all).map_err(|why| anyhow!(why))?;
    }
    let signals = Signals::listen().context("cannot listen to signals")?;
    let writing = match &args.write_to {
        Some(path) => Some(Writing::create(path, args.write, &args.rings, &mut source)?),
        None => None,
    };
    let press = Press::new(
        output::open(args.common.output.as_deref())?,
        args.format,
        output::coloured(args.common.color, args.common.output.is_some()),
        args.summary,
    );
    let config = track::Config {
        settled_after: [1500, 5000, 11_000].map(Span::from_millis).to_vec(),
        waits: false,
        ..args.common.budgets.track()
    };
    let budgets = &args.common.budgets;
    let streams = streams::Config {
        waits: false,
        ..budgets.streams(args.choice.hints())
    };
    let mut walk = Walk::with(budgets.fragments(), streams, config);
    walk.keep_flow();
    // For those who wait for it before they try what fails.
    output::complain(&format!(
        "vpnscope: capturing on {}",
        args.interfaces.join(", ")
    ));
    let now = live::clock();
    let capture = Capture {
        walk,
        desk: Desk::new(args.choice.gateway_address()),
        press,
        writing,
        problems: Vec::new(),
        frames: 0,
        begun: now,
        ticked: now,
        told: now,
        args: &args,
    };
    capture.go(source, &signals)
}

fn open(args: &Args) -> anyhow::Result<LiveSource> {
    let options = Options {
        snaplen: args.snaplen,
        promiscuous: !args.no_promiscuous,
        buffer: u32::try_from(args.buffer)
            .ok()
            .filter(|size| *size <= 1 << 30)
            .ok_or_else(|| anyhow!("--buffer: at most 1G"))?,
        filter: args.filter(),
        threads: args.threads,
    };
    Ok(LiveSource::open(&args.interfaces, options, 0)?)
}

/// A capture that goes on.
struct Capture<'a> {
    walk: Walk,
    desk: Desk,
    press: Press,
    writing: Option<Writing>,
    /// What happened to the interfaces.
    problems: Vec<Problem>,
    frames: u64,
    begun: Instant,
    ticked: Instant,
    told: Instant,
    args: &'a Args,
}

impl Capture<'_> {
    fn go(mut self, mut source: LiveSource, signals: &Signals) -> anyhow::Result<Exit> {
        let mut since_look = 0;
        let mut wait = Duration::ZERO;
        while !self.has_enough() && !signals.stop.load(Ordering::Relaxed) {
            if self.next(&mut source, wait)? {
                wait = Duration::ZERO;
                since_look += 1;
                if since_look < FRAMES_A_LOOK {
                    continue;
                }
            } else {
                // Nothing is there: first what is due now and then, then a wait.
                wait = WAIT;
            }
            since_look = 0;
            if self.press.troubled() >= self.args.until_failures.unwrap_or(usize::MAX)
                || !self.tick(&mut source, signals)?
            {
                break;
            }
        }
        self.drain(&mut source)?;
        self.end(source)
    }

    fn has_enough(&self) -> bool {
        self.args.packets.is_some_and(|most| self.frames >= most)
    }

    /// Takes the next frame, or what else there is within `wait`. `true` where it was a frame.
    fn next(&mut self, source: &mut LiveSource, wait: Duration) -> anyhow::Result<bool> {
        let mut came = false;
        match source.next_frame(wait) {
            Poll::Frame(frame) => {
                came = true;
                self.frames += 1;
                self.frame(&frame);
            }
            Poll::Idle => self.walk.advance(source.settled()),
            Poll::Lost { interface, why } => {
                self.news(interface, &format!("lost: {why}; it is tried again"));
            }
            Poll::Returned { interface } => self.news(interface, "back again"),
        }
        self.changes()?;
        Ok(came)
    }

    /// Takes what came before the end and is still in the rings.
    fn drain(&mut self, source: &mut LiveSource) -> anyhow::Result<()> {
        let (end, begun) = (live::wall_clock(), live::clock());
        while !self.has_enough()
            && source.statistics().last.is_none_or(|last| last <= end)
            && live::clock().duration_since(begun) < LAST_WAITS
            && self.next(source, LAST_WAIT)?
        {}
        Ok(())
    }

    fn frame(&mut self, frame: &crate::source::Frame<'_>) {
        match &mut self.writing {
            Some(writing) => writing.frame(frame, &mut self.walk),
            None => {
                self.walk.frame(frame);
            }
        }
    }

    fn news(&mut self, interface: u32, what: &str) {
        let at = usize::try_from(interface).unwrap_or(usize::MAX);
        let name = self.args.interfaces.get(at).map_or("?", String::as_str);
        let what = format!("{name}: {what}");
        output::complain(&format!("vpnscope: {what}"));
        if self.problems.len() < Statistics::PROBLEMS_KEPT {
            self.problems.push(Problem {
                offset: None,
                frame: (self.frames > 0).then_some(self.frames),
                what,
                fatal: false,
            });
        }
    }

    /// What is done now and then. `false` where the time is over.
    fn tick(&mut self, source: &mut LiveSource, signals: &Signals) -> anyhow::Result<bool> {
        let now = live::clock();
        if self
            .args
            .duration
            .is_some_and(|most| now.duration_since(self.begun) >= most)
        {
            return Ok(false);
        }
        let mut tell = signals.tell.swap(false, Ordering::Relaxed);
        if let Some(interval) = self.args.stats_interval
            && now.duration_since(self.told) >= interval
        {
            self.told = now;
            tell = true;
        }
        if tell || now.duration_since(self.ticked) >= TICK {
            self.ticked = now;
            let counters = source.counters();
            self.desk.capture_so_far(source.statistics());
            let settled = source.settled();
            self.walk.advance(settled);
            self.walk.look(settled);
            self.changes()?;
            self.press.flush()?;
            if let Some(writing) = &mut self.writing {
                writing.tick(&counters, settled);
            }
            if tell {
                self.tell(&counters);
            }
        }
        Ok(true)
    }

    fn tell(
        &self,
        counters: &[(
            crate::source::writer::Origin,
            crate::source::writer::Counters,
        )],
    ) {
        let sum = |of: fn(&crate::source::writer::Counters) -> Option<u64>| -> u64 {
            counters
                .iter()
                .filter_map(|(_, counters)| of(counters))
                .sum()
        };
        let walked = self.walk.counters();
        let tracked = self.walk.track_counters();
        let written = self.writing.as_ref().map_or(String::new(), Writing::told);
        output::complain(&format!(
            "vpnscope: received {}, dropped by kernel {}, dropped by interface {}, walked {}, ours {}; \
             sessions open {}, closed {}, evicted {}; memory {} MiB{written}",
            sum(|counters| counters.received),
            sum(|counters| counters.dropped_by_system),
            sum(|counters| counters.dropped_by_interface),
            walked.frames,
            walked.ours,
            self.walk.open_sessions(),
            self.press.closed(),
            tracked.evicted_sessions,
            units::resident_octets() >> 20,
        ));
    }

    fn changes(&mut self) -> anyhow::Result<()> {
        while let Some(change) = self.walk.poll() {
            match change {
                Change::Opened(_) => {}
                Change::Verdict(session) => {
                    let filed = self.desk.look(session);
                    let is_reported = self.args.choice.of(&filed) == Fate::Reported;
                    if let Some(writing) = &mut self.writing {
                        writing.judged(&filed, is_reported, false);
                    }
                    if is_reported {
                        self.press.grown(&filed)?;
                    }
                }
                Change::Closed(session) => {
                    let filed = self.desk.close(session);
                    self.filed(&filed)?;
                }
                Change::Unanswered(syns) => {
                    let filed = self.desk.close(syns.session());
                    self.filed(&filed)?;
                }
                Change::Lone(lone) => {
                    let filed = self.desk.close(lone.session());
                    self.filed(&filed)?;
                }
            }
        }
        Ok(())
    }

    fn filed(&mut self, filed: &crate::desk::Filed) -> anyhow::Result<()> {
        self.press.sstp(filed.is_sstp);
        let fate = self.args.choice.of(filed);
        // What was said of a session must not stand when it turns out otherwise.
        let is_reported = fate == Fate::Reported || self.press.has_said(filed.session.id);
        if let Some(writing) = &mut self.writing {
            writing.judged(filed, is_reported, true);
        }
        if is_reported {
            self.press.closed_session(filed)?;
        } else if fate == Fate::Counted {
            self.press.not_reported();
        }
        Ok(())
    }

    /// Finishes open sessions, prints the summary, flushes everything.
    fn end(mut self, mut source: LiveSource) -> anyhow::Result<Exit> {
        let counters = source.counters();
        let mut statistics = source.statistics().clone();
        let end = self.args.packets.is_none().then(|| source.settled());
        self.walk.watched_until(end);
        self.desk.capture_so_far(&statistics);
        let desk = &mut self.desk;
        self.walk.finish_shown(&mut |ended| desk.learn(&ended));
        while let Some(session) = self.walk.next_closed() {
            let filed = self.desk.judge(session);
            self.filed(&filed)?;
        }
        for problem in std::mem::take(&mut self.problems) {
            statistics.note(problem);
        }
        if let Some(writing) = self.writing.take() {
            for what in writing.finish(&counters) {
                statistics.note(Problem {
                    offset: None,
                    frame: None,
                    what,
                    fatal: false,
                });
            }
        }
        let tracked = self.walk.track_counters();
        let copies = tracked.copies + self.walk.copied_fragments();
        let undecodable = self.walk.counters().undecodable;
        let mut capture = report::capture(&statistics, copies, undecodable);
        capture.unclassified_frames = self.walk.counters().unclassified;
        let mut evicted = report::Evicted::default();
        budget::given_up(&mut evicted, &self.walk);
        let troubled = self.press.troubled();
        let (filter, others) = (self.args.filter(), self.walk.other_vpns());
        self.press
            .finish(capture, evicted, others, filter.in_words())?;
        let findings = self.args.exit_status == ExitStatus::Findings && troubled > 0;
        Ok(if findings {
            Exit::Findings
        } else {
            Exit::Clean
        })
    }
}
