//! From what happened to a verdict.

use super::compare::{Description, Difference, compare};
use super::conversation::{Conversation, Protocol, Side};
use super::engine::{Ending, Replayer};
use super::script::Script;
use super::settings::Substitution;

/// The verdict on a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The live exchange ends as the recorded one did.
    Same,
    /// It does not.
    Different,
    /// It gets past the message at which the recorded one failed.
    Further,
    /// It could not be played.
    NotPlayed,
}

impl Verdict {
    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "different",
            Self::Further => "further",
            Self::NotPlayed => "not-played",
        }
    }
}

/// What is wanted of the live exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Want {
    /// That it ends as the recorded one did: the bug is reproduced.
    #[default]
    Same,
    /// That it gets further: the bug is fixed.
    Progress,
}

/// The conclusion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, in one sentence.
    pub why: String,
    /// The last thing the other end said.
    pub reached: Option<String>,
    /// Field by field.
    pub difference: Difference,
    /// Whether the recording itself stopped within what can be played.
    pub recording_failed: bool,
    /// How the recording failed after what can be played, where it did.
    pub beyond: Option<String>,
}

impl Judgement {
    /// The exit status for what was wanted.
    pub const fn exit(&self, want: Want) -> u8 {
        match (want, self.verdict) {
            (_, Verdict::NotPlayed) => 2,
            (Want::Same, Verdict::Same) | (Want::Progress, Verdict::Further) => 0,
            // Nothing failed in the recording, and nothing did live.
            (Want::Progress, Verdict::Same) if !self.recording_failed => 0,
            (Want::Same | Want::Progress, _) => 1,
        }
    }

    /// Takes in that the recorded session failed, and how, if that lies beyond what can be
    /// played: no progress can be seen then.
    pub fn recorded_failure(&mut self, beyond: Option<&str>) {
        let known = std::mem::replace(&mut self.recording_failed, true);
        let Some(how) = beyond else { return };
        if known || self.verdict == Verdict::NotPlayed {
            return;
        }
        self.beyond = Some(how.to_string());
        let later = format!("; the recording failed later ({how}), which needs keys to reach");
        self.why.push_str(&later);
    }
}

/// The part of a recording that a script plays.
pub fn played(recording: &Conversation, script: &Script) -> Conversation {
    let messages = script
        .steps
        .iter()
        .filter_map(|step| recording.messages.get(step.recorded).cloned())
        .collect();
    Conversation {
        messages,
        ..recording.clone()
    }
}

/// Judges what a replayer did.
pub fn judge(replayer: &Replayer) -> Judgement {
    let recorded = played(replayer.recording(), replayer.script());
    let live = replayer.live();
    let role = replayer.script().role;
    let mut difference = compare(&recorded, live);
    excuse(&mut difference, role);
    if replayer.settings().does(Substitution::Binders) {
        excuse_full_handshake(&mut difference);
    }
    let heard = live.of(role.other()).count();
    let silent = recorded.of(role.other()).count() == 0;
    let peer = role.other();
    let (was, is) = difference.ranks();
    // The last word was ours, and nobody answered it.
    let unanswered = recorded.messages.last().is_some_and(|m| m.from == role);
    let refused = difference.refusals(peer).0.is_some();
    let short = unanswered && was < full(recorded.protocol);
    let recording_failed = silent || refused || was == 0 || short;
    let (verdict, why) = match replayer.ending() {
        Some(Ending::Flood) => (Verdict::NotPlayed, flood(replayer)),
        _ if heard == 0 && !silent => (Verdict::NotPlayed, nothing(replayer)),
        _ if heard == 0 => (
            Verdict::Same,
            "no answer, now as in the recording".to_string(),
        ),
        _ if is > was && recording_failed => (Verdict::Further, further(&difference, peer)),
        ending => verdict(&difference, role, ending),
    };
    Judgement {
        verdict,
        why,
        reached: difference.last_words(peer).1,
        difference,
        recording_failed,
        beyond: None,
    }
}

/// The rank of what cannot be outdone without keys.
const fn full(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Ikev2 => 2,
        Protocol::L2tp => 3,
        Protocol::Ikev1 | Protocol::Tls | Protocol::Dtls => 4,
    }
}

/// A server that took up an earlier session when it was recorded goes the whole way live,
/// because the offer to take it up was left out: what that brings is expected.
fn excuse_full_handshake(difference: &mut Difference) {
    use super::compare::Verdict as Field;
    /// What a full handshake has and an abbreviated one has not, or has otherwise.
    const FULL: &[&str] = &[
        "messages",
        "extensions",
        "certificate",
        "certificate_request",
        "group",
        "signature",
    ];
    let resumed = |all: &[Description]| all.iter().any(|d| d.resumes);
    if !resumed(&difference.recorded) || resumed(&difference.live) {
        return;
    }
    for step in &mut difference.steps {
        for field in &mut step.fields {
            let excused = FULL.contains(&field.field) && field.verdict == Field::Different;
            let both = field.field != "group" || field.recorded.is_none();
            if excused && both {
                field.verdict = Field::Expected;
            }
        }
    }
}

/// What we sent differs where we changed it: that is no finding.
fn excuse(difference: &mut Difference, role: Side) {
    use super::compare::Verdict as Field;
    for step in &mut difference.steps {
        if step.from != role {
            continue;
        }
        for field in &mut step.fields {
            if field.verdict == Field::Different {
                field.verdict = Field::Expected;
            }
        }
    }
}

fn verdict(difference: &Difference, role: Side, ending: Option<Ending>) -> (Verdict, String) {
    if let Some((step, field)) = difference.first(role.other()) {
        let value = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_string());
        let mut why = format!(
            "{}: {} is {}, recorded was {}",
            step.name,
            field.field,
            value(&field.live),
            value(&field.recorded)
        );
        if let (was, Some(refusal)) = &difference.refusals(role.other())
            && was.as_ref() != Some(refusal)
        {
            why = format!("the peer refuses with {refusal}; {why}");
        }
        return (Verdict::Different, why);
    }
    match ending {
        Some(Ending::Budget) => (
            Verdict::Different,
            "the peer asks for the same again and again".to_string(),
        ),
        _ => (
            Verdict::Same,
            match &difference.refusals(role.other()).1 {
                Some(refusal) => format!("the peer refuses with {refusal}, as recorded"),
                None => "every answer is as recorded, as far as it can be played".to_string(),
            },
        ),
    }
}

fn further(difference: &Difference, peer: Side) -> String {
    let (was, _) = &difference.refusals(peer);
    let stopped = was.as_ref().map_or_else(
        || "fell silent".to_string(),
        |refusal| format!("was refused with {refusal}"),
    );
    let now = difference.last_words(peer).1.unwrap_or_default();
    format!("the recording {stopped}; now the peer answers with {now}")
}

fn nothing(replayer: &Replayer) -> String {
    let noise = replayer.noise();
    let peer = match replayer.script().role {
        Side::Client => replayer.live().gateway,
        Side::Gateway => replayer.live().client,
    };
    if let Some(fault) = replayer.fault() {
        fault.to_string()
    } else if noise.garbage > 0 {
        format!(
            "{peer} answers with {}, {} times",
            noise.last, noise.garbage
        )
    } else if noise.foreign > 0 {
        format!(
            "{peer} answers with {}, {} times",
            noise.last, noise.foreign
        )
    } else if replayer.ending() == Some(Ending::Refused) {
        format!("nothing listens on {peer}: its host refuses")
    } else if replayer.ending() == Some(Ending::Closed) {
        format!("{peer} closed the connection without a word")
    } else {
        let sent: usize = replayer
            .live()
            .messages
            .iter()
            .map(|m| 1 + m.repeats.len())
            .sum();
        format!("{peer} does not answer: {sent} sent, nothing heard; the recorded one did")
    }
}

fn flood(replayer: &Replayer) -> String {
    let noise = replayer.noise();
    format!(
        "the peer sends without end: given up after {} messages that belong and {} that do not",
        replayer.live().of(replayer.script().role.other()).count(),
        noise.foreign + noise.garbage
    )
}
