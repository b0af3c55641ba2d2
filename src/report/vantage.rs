//! What the capture could and could not show of a session.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::diagnose::Verdict;
use crate::track::session::{Ending, Session};
use crate::track::vantage::{Told, standing};

/// What the capture could and could not show.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct VantageReport {
    /// Frames seen of the client and the gateway.
    pub frames: BTreeMap<&'static str, u64>,
    /// The first message seen is not a first message.
    pub started_late: bool,
    /// Messages that must have been sent but were not seen.
    pub unseen: BTreeMap<&'static str, u32>,
    /// Messages of one end only, although the other one answered.
    pub one_direction: bool,
    /// Messages cut by snaplen.
    pub truncated: u32,
    /// Copies made by a span port.
    pub copies: u64,
    /// Where the capture stands.
    pub stands: StandsReport,
    /// What in this capture misleads: each is in `notes` too.
    pub traps: Vec<TrapReport>,
    /// Sentences for a person: what this capture cannot show.
    pub notes: Vec<String>,
}

/// Something in a capture that misleads.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TrapReport {
    /// Its name: see `docs/confidence.md`.
    pub trap: &'static str,
    /// One sentence with the numbers of this session.
    pub note: String,
    /// What it does to the verdict.
    pub effect: &'static str,
}

/// Where a capture stands.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StandsReport {
    /// `client`, `gateway`, `between`, `both` or `unknown`, by what was seen.
    pub at: &'static str,
    /// How that is known.
    pub because: String,
    /// What the user said: `client`, `gateway`, `wan`, `lan` or `server`.
    pub told: Option<&'static str>,
    /// Routers between each end and the capture, where TTLs tell.
    pub hops: BTreeMap<&'static str, Option<u8>>,
}

pub(super) fn vantage(session: &Session, verdict: &Verdict) -> VantageReport {
    let vantage = &session.vantage;
    let standing = standing(session);
    let mut notes: Vec<String> = verdict.traps.iter().map(|t| t.note.clone()).collect();
    if vantage.two_points {
        notes.push("the same messages were seen at two points, as on both sides of a NAT".into());
    }
    if vantage.ending == Ending::Evicted {
        notes.push("closed early: too many sessions were open".to_string());
    }
    VantageReport {
        frames: BTreeMap::from([
            ("client", vantage.frames.client),
            ("gateway", vantage.frames.gateway),
        ]),
        started_late: vantage.started_late,
        unseen: BTreeMap::from([
            ("client", vantage.unseen.client),
            ("gateway", vantage.unseen.gateway),
        ]),
        one_direction: vantage.one_direction(),
        truncated: vantage.truncated,
        copies: vantage.copies,
        stands: StandsReport {
            at: standing.place.word(),
            because: standing.because,
            told: vantage.told.map(Told::word),
            hops: BTreeMap::from([
                ("client", standing.hops.client),
                ("gateway", standing.hops.gateway),
            ]),
        },
        traps: verdict
            .traps
            .iter()
            .map(|trap| TrapReport {
                trap: trap.what.word(),
                note: trap.note.clone(),
                effect: trap.what.effect(),
            })
            .collect(),
        notes,
    }
}
