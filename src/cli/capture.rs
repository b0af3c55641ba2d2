//! `vpnscope capture`: the walk of `analyze`, over interfaces.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};

use super::choice::{Choice, Fate};
use super::{Common, Exit, Format, output};
use crate::assemble::ip;
use crate::desk::Desk;
use crate::report;
use crate::source::live::{self, Filter, LiveSource, Options, Poll};
use crate::source::{Problem, Statistics};
use crate::time::Span;
use crate::track::{self, Change};
use crate::walk::Walk;

mod history;
mod press;
mod units;
mod writing;

use press::Press;
use writing::{Rings, What, Writing};

/// When capturing tells of failures by its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ExitStatus {
    /// Never: 0 on a clean stop
    Clean,
    /// 1 if a session failed or is degraded
    Findings,
}

/// Options of `capture`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
pub(super) struct Args {
    /// Interface; repeat for several. `any` is all of them
    #[arg(short, long = "interface", required = true, value_name = "IFACE")]
    interfaces: Vec<String>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    choice: Choice,
    /// Counts only, nothing per session; the whole diagnosis still runs
    #[arg(long)]
    summary: bool,
    /// Stop after this time: 30, 30s, 5m, 2h
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    duration: Option<Duration>,
    /// Stop after this many frames
    #[arg(long, value_name = "N")]
    packets: Option<u64>,
    /// Stop once this many sessions failed or are degraded
    #[arg(long, value_name = "N")]
    until_failures: Option<usize>,
    /// What the exit status of a clean stop tells
    #[arg(long, value_enum, default_value = "clean")]
    exit_status: ExitStatus,
    /// Print counters to standard error at this interval; SIGUSR1 does so at any time
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    stats_interval: Option<Duration>,
    /// Capture filter in libpcap's language, instead of the default one
    #[arg(long, value_name = "BPF", conflicts_with = "all_traffic")]
    filter: Option<String>,
    /// No capture filter: the kernel passes every frame
    #[arg(long)]
    all_traffic: bool,
    /// Kernel buffer of each interface: 64M
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = units::size)]
    buffer: u64,
    /// Octets captured of a frame at most
    #[arg(long, value_name = "OCTETS", default_value_t = 262_144)]
    snaplen: u32,
    /// Do not ask for frames that are for other machines
    #[arg(long)]
    no_promiscuous: bool,
    /// Become this user once the interfaces are open
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Give up the right to capture too: an interface that vanished stays lost
    #[arg(long, requires = "user")]
    drop_all: bool,
    /// Threads; one captures, see the message
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Write frames to this capture: .pcapng or .pcap, with .zst or .gz
    #[arg(short, long, value_name = "OUT")]
    write_to: Option<PathBuf>,
    /// Which frames to write
    #[arg(long, value_enum, default_value = "vpn", requires = "write_to")]
    write: What,
    #[command(flatten)]
    rings: Rings,
}

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
/// Frames between two looks at the clock.
const FRAMES_A_LOOK: u32 = 256;

/// Runs `capture`.
pub(super) fn run(mut args: Args) -> anyhow::Result<Exit> {
    args.choice.for_interfaces();
    let source = open(&args)?;
    if let Some(user) = &args.user {
        live::become_user(user, !args.drop_all).map_err(|why| anyhow!(why))?;
    }
    let signals = Signals::listen().context("cannot listen to signals")?;
    let writing = match &args.write_to {
        Some(path) => Some(Writing::create(path, args.write, &args.rings, &source)?),
        None => None,
    };
    if args.threads > 1 {
        output::complain(
            "vpnscope: --threads: one thread captures. PACKET_FANOUT_HASH would spread the two directions \
             and the fragments of one client over threads, and a fanout program cannot be set through libpcap",
        );
    }
    let press = Press::new(
        output::open(args.common.output.as_deref())?,
        args.format,
        output::coloured(args.common.color, args.common.output.is_some()),
        args.summary,
    );
    let config = track::Config {
        settled_after: [1500, 5000, 11_000].map(Span::from_millis).to_vec(),
        ..track::Config::default()
    };
    let mut walk = Walk::hinted(ip::Config::default(), config, args.choice.hints());
    walk.keep_flow();
    let now = live::clock();
    let capture = Capture {
        walk,
        desk: Desk::new(args.choice.gateway_address()),
        press,
        writing,
        problems: Vec::new(),
        begun: now,
        ticked: now,
        told: now,
        args: &args,
    };
    capture.go(source, &signals)
}

fn open(args: &Args) -> anyhow::Result<LiveSource> {
    let filter = match (&args.filter, args.all_traffic) {
        (Some(text), _) => Filter::Text(text.clone()),
        (None, true) => Filter::None,
        (None, false) => Filter::Default,
    };
    let options = Options {
        snaplen: args.snaplen,
        promiscuous: !args.no_promiscuous,
        buffer: u32::try_from(args.buffer)
            .ok()
            .filter(|size| *size <= 1 << 30)
            .ok_or_else(|| anyhow!("--buffer: at most 1G"))?,
        filter,
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
    begun: Instant,
    ticked: Instant,
    told: Instant,
    args: &'a Args,
}

impl Capture<'_> {
    fn go(mut self, mut source: LiveSource, signals: &Signals) -> anyhow::Result<Exit> {
        let mut frames = 0u64;
        let mut since_look = 0;
        while !signals.stop.load(Ordering::Relaxed) {
            let mut look = true;
            match source.next_frame(WAIT) {
                Poll::Frame(frame) => {
                    frames += 1;
                    self.frame(&frame);
                    since_look += 1;
                    look = since_look >= FRAMES_A_LOOK;
                }
                Poll::Idle => self.walk.advance(live::settled()),
                Poll::Lost { interface, why } => {
                    self.news(
                        interface,
                        frames,
                        &format!("lost: {why}; it is tried again"),
                    );
                }
                Poll::Returned { interface } => self.news(interface, frames, "back again"),
            }
            self.changes()?;
            if self.args.packets.is_some_and(|most| frames >= most) {
                break;
            }
            if !look {
                continue;
            }
            since_look = 0;
            if self.press.troubled() >= self.args.until_failures.unwrap_or(usize::MAX)
                || !self.tick(&mut source, signals)?
            {
                break;
            }
        }
        self.end(source)
    }

    fn frame(&mut self, frame: &crate::source::Frame<'_>) {
        match &mut self.writing {
            Some(writing) => writing.frame(frame, &mut self.walk),
            None => {
                self.walk.frame(frame);
            }
        }
    }

    fn news(&mut self, interface: u32, frame: u64, what: &str) {
        let at = usize::try_from(interface).unwrap_or(usize::MAX);
        let name = self.args.interfaces.get(at).map_or("?", String::as_str);
        let what = format!("{name}: {what}");
        output::complain(&format!("vpnscope: {what}"));
        if self.problems.len() < Statistics::PROBLEMS_KEPT {
            self.problems.push(Problem {
                offset: None,
                frame: (frame > 0).then_some(frame),
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
            self.walk.look(live::settled());
            self.changes()?;
            self.press.flush()?;
            if let Some(writing) = &mut self.writing {
                writing.tick(&counters);
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
                    if let Some(writing) = &mut self.writing {
                        writing.judged(&filed, false);
                    }
                    if self.args.choice.of(&filed) == Fate::Reported {
                        self.press.grown(&filed)?;
                    }
                }
                Change::Closed(session) => {
                    let filed = self.desk.close(session);
                    self.filed(&filed)?;
                }
            }
        }
        Ok(())
    }

    fn filed(&mut self, filed: &crate::desk::Filed) -> anyhow::Result<()> {
        self.press.sstp(filed.is_sstp);
        if let Some(writing) = &mut self.writing {
            writing.judged(filed, true);
        }
        // What was said of a session must not stand when it turns out otherwise.
        let fate = self.args.choice.of(filed);
        if fate == Fate::Reported || self.press.has_said(filed.session.id) {
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
        let end = self.args.packets.is_none().then(live::settled);
        self.walk.watched_until(end);
        self.walk.finish();
        self.desk.capture_so_far(&statistics);
        let mut last = Vec::new();
        while let Some(change) = self.walk.poll() {
            if let Change::Closed(session) = change {
                last.push(session);
            }
        }
        for filed in self.desk.close_all(last) {
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
        let capture = report::capture(&statistics, copies, undecodable);
        let evicted = report::Evicted {
            sessions: tracked.evicted_sessions,
            fragments: self.walk.evicted_fragments(),
            streams: self.walk.evicted_streams(),
        };
        let troubled = self.press.troubled();
        self.press
            .finish(capture, evicted, self.walk.other_vpns())?;
        let findings = self.args.exit_status == ExitStatus::Findings && troubled > 0;
        Ok(if findings {
            Exit::Findings
        } else {
            Exit::Clean
        })
    }
}
