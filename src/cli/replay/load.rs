//! Reading the recording, and what became of it.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::assemble::Hints;
use crate::cli::budget::Budgets;
use crate::desk::Desk;
use crate::diagnose::{Outcome, Stage};
use crate::replay::conversation::{Conversation, Protocol};
use crate::replay::judge::Judgement;
use crate::replay::recording;
use crate::source::{FrameSource, file};
use crate::track::Session;

/// What was recorded.
pub(super) struct Recorded {
    /// The octets.
    pub(super) conversation: Conversation,
    /// How the session failed, if it did.
    pub(super) failure: Option<Failure>,
}

/// How a session failed.
pub(super) struct Failure {
    /// Cause and stage.
    pub(super) how: String,
    /// Whether that was after what can be played without keys.
    pub(super) is_beyond: bool,
}

impl Recorded {
    /// Takes the failure into a judgement.
    pub(super) fn weigh(&self, judgement: &mut Judgement) {
        if let Some(failure) = &self.failure {
            judgement.recorded_failure(failure.is_beyond.then_some(failure.how.as_str()));
        }
    }
}

/// Reads the recording. The capture is read twice; standard input is kept for that.
pub(super) fn load(
    path: &Path,
    session: Option<u32>,
    budgets: &Budgets,
) -> anyhow::Result<Recorded> {
    if path.as_os_str() == "-" {
        let octets = standard_input()?;
        let open = || file::FileSource::new("-", std::io::Cursor::new(octets.clone()), 0);
        return from(&mut open()?, &mut open()?, session, budgets);
    }
    from(
        &mut file::open(path, 0)?,
        &mut file::open(path, 0)?,
        session,
        budgets,
    )
}

/// Standard input, to be read more than once.
pub(super) fn standard_input() -> anyhow::Result<Arc<[u8]>> {
    /// Octets that are kept.
    const KEPT: u64 = 256 << 20;
    let mut octets = Vec::new();
    std::io::stdin()
        .take(KEPT + 1)
        .read_to_end(&mut octets)
        .context("standard input")?;
    anyhow::ensure!(
        octets.len() as u64 <= KEPT,
        "standard input is longer than {KEPT} octets: write it to a file, which is read twice"
    );
    Ok(octets.into())
}

fn from(
    first: &mut impl FrameSource,
    second: &mut impl FrameSource,
    wanted: Option<u32>,
    budgets: &Budgets,
) -> anyhow::Result<Recorded> {
    let walk = budgets.walk(0, Hints::default());
    let sessions = recording::sessions_and(first, wanted, walk);
    let chosen = recording::choose(&sessions, wanted)?;
    let id = chosen.id;
    let conversation = recording::read(second, chosen)?;
    let mut desk = Desk::new(None);
    desk.capture_ended(first.statistics());
    let protocol = conversation.protocol;
    Ok(Recorded {
        conversation,
        failure: failure(desk, sessions, id, protocol),
    })
}

/// How a session failed.
fn failure(mut desk: Desk, sessions: Vec<Session>, id: u32, protocol: Protocol) -> Option<Failure> {
    let filed = desk.close_all(sessions.into_iter().map(Box::new).collect());
    let one = filed.into_iter().find(|filed| filed.session.id == id)?;
    let verdict = one.verdict;
    (verdict.outcome == Outcome::Failed).then(|| {
        let cause = verdict.cause.unwrap_or("no cause found");
        let reach = match protocol {
            Protocol::Ikev1 | Protocol::Ikev2 => Stage::IkeNegotiation,
            Protocol::L2tp => Stage::PppLcp,
            Protocol::Tls | Protocol::Dtls => Stage::TcpConnect,
        };
        Failure {
            how: format!("{cause} at {}", verdict.stage.word()),
            is_beyond: verdict.stage > reach,
        }
    })
}
