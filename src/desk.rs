//! Where closed sessions get their verdict.
//!
//! A session is judged when the tracker lets go of it, with what was learned from all that
//! closed before it; those that the end of a capture closes are learned from together first.
//! A file and an interface do this alike, so their verdicts are the same.

use std::net::IpAddr;

use crate::diagnose::{
    CaptureFacts, Context, Outcome, Verdict, diagnose, diagnose_briefly, diagnose_lone, tls,
};
use crate::source::Statistics;
use crate::track::vantage::Told;
use crate::track::{Change, Ended, Lone, Session, Unanswered};

/// A session with its verdict.
#[derive(Debug)]
pub struct Filed {
    /// The session.
    pub session: Box<Session>,
    /// What became of it.
    pub verdict: Verdict,
    /// Whether it belongs to a VPN: of TLS and DTLS, that something shows it; else always.
    pub of_vpn: bool,
    /// Whether it is TLS that carries SSTP.
    pub is_sstp: bool,
}

impl Filed {
    /// Whether it failed or is degraded.
    pub fn is_trouble(&self) -> bool {
        matches!(self.verdict.outcome, Outcome::Failed | Outcome::Degraded)
    }
}

/// What became of a session that was judged, built or not.
#[derive(Debug)]
pub enum Judged {
    /// A session with its verdict.
    Session(Filed),
    /// One of TLS of which there is nothing to be said.
    Nothing,
    /// ESP alone: its outcome and its cause.
    Lone(Outcome, Option<&'static str>),
}

impl Judged {
    fn is_trouble(&self) -> bool {
        matches!(self, Self::Session(filed) if filed.is_trouble())
    }
}

/// The desk.
#[derive(Debug, Default)]
pub struct Desk {
    context: Context,
    trouble: u64,
    brief: bool,
    threads: usize,
}

/// A session that is over, built or not.
#[derive(Debug)]
pub enum Over {
    /// A session.
    Session(Box<Session>),
    /// SYNs that nobody answered.
    Unanswered(Unanswered),
    /// ESP alone.
    Lone(Box<Lone>),
}

impl Over {
    /// What a change says is over.
    pub fn of(change: Change) -> Option<Self> {
        match change {
            Change::Closed(session) => Some(Self::Session(session)),
            Change::Unanswered(syns) => Some(Self::Unanswered(syns)),
            Change::Lone(lone) => Some(Self::Lone(lone)),
            Change::Opened(_) | Change::Verdict(_) => None,
        }
    }

    /// Adds to its number.
    pub fn renumber(&mut self, by: u32) {
        match self {
            Self::Session(session) => session.id += by,
            Self::Unanswered(syns) => syns.id += by,
            Self::Lone(lone) => lone.id += by,
        }
    }

    /// Builds ESP alone.
    #[must_use]
    pub fn built(self) -> Self {
        match self {
            Self::Lone(lone) => Self::Session(lone.session()),
            over => over,
        }
    }

    fn session(self) -> Box<Session> {
        match self {
            Self::Session(session) => session,
            Self::Unanswered(syns) => syns.session(),
            Self::Lone(lone) => lone.session(),
        }
    }
}

impl From<Box<Session>> for Over {
    fn from(session: Box<Session>) -> Self {
        Self::Session(session)
    }
}

/// Sessions that are judged by several threads before they are given away.
const BATCH: usize = 1024;

impl Desk {
    /// A desk that knows the gateway the user named, if any.
    pub fn new(gateway: Option<IpAddr>) -> Self {
        Self {
            context: Context::new(gateway),
            trouble: 0,
            brief: false,
            threads: 1,
        }
    }

    /// With so many threads for sessions that closed together.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, 64);
        self
    }

    /// For those who count verdicts and read no sentence of them.
    #[must_use]
    pub fn brief(mut self, brief: bool) -> Self {
        self.brief = brief;
        self
    }

    /// With where the user says that the captures stand.
    #[must_use]
    pub fn standing(mut self, at: Option<Told>) -> Self {
        self.context.at = at;
        self
    }

    /// Learns from a session that is over.
    pub fn learn(&mut self, ended: &Ended<'_>) {
        match ended {
            Ended::Session(session) => self.context.learn(session),
            Ended::Unanswered(syns) => self.context.learn_unanswered(syns),
            Ended::Lone(lone) => self.context.learn_lone(lone),
        }
    }

    /// Judges one session.
    pub fn close(&mut self, session: Box<Session>) -> Filed {
        self.context.learn(&session);
        self.judge(session)
    }

    /// Judges sessions that closed together.
    pub fn close_all(&mut self, sessions: Vec<Box<Session>>) -> Vec<Filed> {
        for session in &sessions {
            self.context.learn(session);
        }
        sessions
            .into_iter()
            .map(|session| self.judge(session))
            .collect()
    }

    /// Judges sessions that closed together one after the other, each given away before the
    /// next is asked for: there may be many. All of them were learned from before.
    pub fn judge_each<E>(
        &mut self,
        sessions: impl Iterator<Item = Over>,
        mut take: impl FnMut(Judged) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.threads < 2 {
            for over in sessions {
                take(self.judge_over(over))?;
            }
            return Ok(());
        }
        let mut sessions = sessions.peekable();
        while sessions.peek().is_some() {
            for judged in self.judge_together(sessions.by_ref().take(BATCH)) {
                self.trouble += u64::from(judged.is_trouble());
                take(judged)?;
            }
        }
        Ok(())
    }

    fn judge_over(&mut self, over: Over) -> Judged {
        let judged = self.look_at(over);
        self.trouble += u64::from(judged.is_trouble());
        judged
    }

    fn look_at(&self, over: Over) -> Judged {
        match &over {
            Over::Unanswered(syns) if self.context.has_nothing_to_say(syns) => {
                return Judged::Nothing;
            }
            Over::Lone(lone) if self.brief => {
                let (outcome, cause) = diagnose_lone(lone);
                return Judged::Lone(outcome, cause);
            }
            _ => {}
        }
        let mut session = over.session();
        session.vantage.told = self.context.at;
        Judged::Session(self.look(session))
    }

    /// Judges sessions on several threads. A verdict needs nothing of another one's: each
    /// thread takes a stretch of them, and the order stays.
    fn judge_together(&self, mut sessions: impl Iterator<Item = Over>) -> Vec<Judged> {
        let each = BATCH.div_ceil(self.threads);
        std::thread::scope(|scope| {
            let mut work = Vec::new();
            loop {
                let part: Vec<_> = sessions.by_ref().take(each).collect();
                if part.is_empty() {
                    break;
                }
                work.push(scope.spawn(move || {
                    let judged = part.into_iter().map(|over| self.look_at(over));
                    judged.collect::<Vec<_>>()
                }));
            }
            let mut all = Vec::new();
            for thread in work {
                match thread.join() {
                    Ok(judged) => all.extend(judged),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            all
        })
    }

    /// Judges one session that was learned from before.
    pub fn judge(&mut self, mut session: Box<Session>) -> Filed {
        session.vantage.told = self.context.at;
        let filed = self.look(session);
        self.trouble += u64::from(filed.is_trouble());
        filed
    }

    /// Takes what a capture's end tells.
    pub fn capture_ended(&mut self, statistics: &Statistics) {
        self.context.captures.push(CaptureFacts {
            span: statistics.first.zip(statistics.ended.max(statistics.last)),
            dropped: statistics.dropped,
            truncated: statistics.truncated_frames > 0,
            filtered: statistics.filter.is_some(),
            blind: statistics.blind.clone(),
        });
    }

    /// Takes the frames of a capture that vpnscope itself sent.
    pub fn sent_by_us(&mut self, capture: u16, frames: &[u64]) {
        let own = frames.iter().map(|frame| (capture, *frame));
        self.context.own.extend(own);
    }

    /// Takes what is known so far of the one capture that goes on.
    pub fn capture_so_far(&mut self, statistics: &Statistics) {
        self.context.captures.clear();
        self.capture_ended(statistics);
    }

    /// What would be said of a session that goes on.
    pub fn look(&self, session: Box<Session>) -> Filed {
        let verdict = if self.brief {
            diagnose_briefly(&session, &self.context)
        } else {
            diagnose(&session, &self.context)
        };
        let trouble = matches!(verdict.outcome, Outcome::Failed | Outcome::Degraded);
        let of_vpn = session.tls().is_none_or(|facts| {
            tls::evidence(&session, facts, &self.context)
                // A name alone is a reason to tell of a failure, no more.
                .is_some_and(|evidence| trouble || evidence != tls::Vpn::Name)
        });
        let is_sstp = session
            .tls()
            .is_some_and(|facts| facts.connections.iter().any(tls::is_sstp));
        Filed {
            session,
            verdict,
            of_vpn,
            is_sstp,
        }
    }

    /// Sessions so far that failed or are degraded.
    pub const fn trouble(&self) -> u64 {
        self.trouble
    }
}
