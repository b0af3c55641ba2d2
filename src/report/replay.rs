//! What `replay` says: `vpnscope.replay/1`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::replay::compare::StepDifference;
use crate::replay::conversation::Side;
use crate::replay::judge::{Judgement, Verdict};

/// The schema's name and version.
pub const SCHEMA: &str = "vpnscope.replay/1";

/// The document of one replay.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ReplayReport {
    /// Name and version of this form.
    pub schema: &'static str,
    /// The session of the capture that was played.
    pub session: u32,
    /// To whom, or on which address.
    pub target: String,
    /// The last thing the other end said.
    pub reached: Option<String>,
    /// Message by message.
    pub steps: Vec<StepReport>,
    /// `same`, `different`, `further` or `not-played`.
    pub verdict: &'static str,
    /// Why, in one sentence.
    pub why: String,
    /// Where several clients called: the document of each. What stands above is the worst.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ReplayReport>,
}

/// One message.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepReport {
    /// What was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
    /// What was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<String>,
    /// When; null where the recording has it and the live exchange has not.
    pub time: Option<String>,
    /// Its frame in the recording.
    pub recorded_frame: Option<u64>,
    /// Field by field.
    pub fields: Vec<FieldReport>,
}

/// One field.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FieldReport {
    /// Its name.
    pub field: &'static str,
    /// Its recorded value.
    pub recorded: Option<String>,
    /// Its live value.
    pub live: Option<String>,
    /// `same`, `expected`, `different` or `hidden`.
    pub verdict: &'static str,
}

/// The document of a judgement; `role` is who was played.
pub fn report(session: u32, target: String, role: Side, judgement: &Judgement) -> ReplayReport {
    ReplayReport {
        schema: SCHEMA,
        session,
        target,
        reached: judgement.reached.clone(),
        steps: judgement
            .difference
            .steps
            .iter()
            .map(|one| step(role, one))
            .collect(),
        verdict: judgement.verdict.word(),
        why: judgement.why.clone(),
        clients: Vec::new(),
    }
}

/// The document of a replay in which nothing was said.
pub fn not_played(session: u32, target: &str, why: String) -> ReplayReport {
    ReplayReport {
        schema: SCHEMA,
        session,
        target: target.to_string(),
        verdict: Verdict::NotPlayed.word(),
        why,
        ..ReplayReport::default()
    }
}

/// The document of frames that were sent as they stand: nothing was listened for.
pub fn frames(session: u32, target: &str, all: bool, why: String) -> ReplayReport {
    ReplayReport {
        verdict: if all {
            Verdict::Same.word()
        } else {
            Verdict::NotPlayed.word()
        },
        ..not_played(session, target, why)
    }
}

fn step(role: Side, step: &StepDifference) -> StepReport {
    let name = Some(step.name.clone());
    let ours = step.from == role;
    StepReport {
        sent: name.clone().filter(|_| ours),
        received: name.filter(|_| !ours),
        time: step.time.map(|time| time.to_string()),
        recorded_frame: step.recorded_frame,
        fields: step
            .fields
            .iter()
            .map(|field| FieldReport {
                field: field.field,
                recorded: field.recorded.clone(),
                live: field.live.clone(),
                verdict: field.verdict.word(),
            })
            .collect(),
    }
}
