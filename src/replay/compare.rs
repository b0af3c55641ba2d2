//! From two conversations to their difference, field by field.
//!
//! One function, [`compare`], that does not know which of the two is recorded and which is
//! live, or whether both are recorded. Each message is described as a list of fields; a rule
//! for each field says whether it may differ.

use super::conversation::{Conversation, Message, Protocol, Side};
use crate::time::{Span, Timestamp};

mod ike;
mod l2tp;
mod tls;

/// Whether a field may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// It is to be the same.
    Same,
    /// It is to be the same where both have it.
    SameIfBoth,
    /// It is another one every time: SPIs, nonces, times.
    Varies,
    /// A time: it may differ, but not be longer by a second in the second conversation.
    Within(Span),
    /// It is encrypted: what is there cannot be compared.
    Hidden,
}

/// A field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its value, as a person reads it.
    pub value: String,
    /// Whether it may differ.
    pub rule: Rule,
}

/// A message, described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// What it is: `IKE_SA_INIT response`.
    pub name: String,
    /// Who said it.
    pub from: Side,
    /// How far the conversation has come with it; 0 where it does not go on.
    pub rank: u8,
    /// What it refuses, if it does.
    pub refusal: Option<String>,
    /// Whether it is one of a round that a peer may or may not ask for.
    pub round: Round,
    /// Whether it takes up an earlier session of TLS.
    pub resumes: bool,
    /// Its fields.
    pub fields: Vec<Field>,
    /// When it was said.
    pub time: Timestamp,
    /// Its frame, where it is recorded.
    pub frame: Option<u64>,
}

/// Rounds that a peer may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Round {
    /// None: it belongs to the conversation.
    #[default]
    No,
    /// A cookie: hangs on the peer's load, says nothing.
    Cookie,
    /// Another group or another hello: says that the peer is set up differently.
    Retry,
}

/// What was found of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The same.
    Same,
    /// Different, as it must be.
    Expected,
    /// Different.
    Different,
    /// Not comparable: encrypted.
    Hidden,
}

impl Verdict {
    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Expected => "expected",
            Self::Different => "different",
            Self::Hidden => "hidden",
        }
    }
}

/// One field, both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDifference {
    /// Its name.
    pub field: &'static str,
    /// Its value in the first conversation; `None` where it is not there.
    pub recorded: Option<String>,
    /// Its value in the second.
    pub live: Option<String>,
    /// What was found.
    pub verdict: Verdict,
}

/// One message, both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepDifference {
    /// What it is; in the second conversation, where it is there.
    pub name: String,
    /// Who said it.
    pub from: Side,
    /// When, in the second conversation.
    pub time: Option<Timestamp>,
    /// Its frame in the first one.
    pub recorded_frame: Option<u64>,
    /// Its fields.
    pub fields: Vec<FieldDifference>,
}

/// The difference of two conversations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Message by message, in the order of the second conversation; what only the first has
    /// stands where it would have been.
    pub steps: Vec<StepDifference>,
    /// What was said in the first conversation.
    pub recorded: Vec<Description>,
    /// What was said in the second.
    pub live: Vec<Description>,
}

impl Difference {
    /// How far each came: the highest rank of what was said.
    pub fn ranks(&self) -> (u8, u8) {
        let rank = |all: &[Description]| all.iter().map(|d| d.rank).max().unwrap_or_default();
        (rank(&self.recorded), rank(&self.live))
    }

    /// The last refusal that `from` said in each.
    pub fn refusals(&self, from: Side) -> (Option<String>, Option<String>) {
        let refusal = |all: &[Description]| {
            let mut said = all.iter().rev().filter(|d| d.from == from);
            said.find_map(|d| d.refusal.clone())
        };
        (refusal(&self.recorded), refusal(&self.live))
    }

    /// The last thing that `from` said in each.
    pub fn last_words(&self, from: Side) -> (Option<String>, Option<String>) {
        let word = |all: &[Description]| {
            let mut said = all.iter().rev().filter(|d| d.from == from);
            said.next().map(|d| d.name.clone())
        };
        (word(&self.recorded), word(&self.live))
    }

    /// The first field of what `from` said that differs and should not.
    pub fn first(&self, from: Side) -> Option<(&StepDifference, &FieldDifference)> {
        self.steps
            .iter()
            .filter(|step| step.from == from)
            .find_map(|step| {
                let field = step
                    .fields
                    .iter()
                    .find(|f| f.verdict == Verdict::Different)?;
                Some((step, field))
            })
    }
}

/// The name of one message.
pub fn name(protocol: Protocol, message: &Message) -> String {
    describe(protocol, &[message]).map_or_else(|| "octets".to_string(), |d| d.name)
}

/// Describes what one end said before the other one spoke.
fn describe(protocol: Protocol, group: &[&Message]) -> Option<Description> {
    match protocol {
        Protocol::Ikev1 | Protocol::Ikev2 => ike::describe(group.first()?),
        Protocol::Tls | Protocol::Dtls => tls::describe(protocol, group),
        Protocol::L2tp => l2tp::describe(group.first()?),
    }
}

/// Describes a conversation.
pub fn describe_all(conversation: &Conversation) -> Vec<Description> {
    let protocol = conversation.protocol;
    let grouped = matches!(protocol, Protocol::Tls | Protocol::Dtls);
    let messages = &conversation.messages;
    let mut all: Vec<Description> = Vec::new();
    let groups = messages.chunk_by(|a, b| grouped && a.from == b.from);
    let mut asked: Option<&Message> = None;
    for group in groups {
        let group: Vec<&Message> = group.iter().collect();
        let Some(first) = group.first().copied() else {
            continue;
        };
        if let Some(mut description) = describe(protocol, &group) {
            description.fields.extend(carriage(first, &group, asked));
            all.push(description);
        }
        if asked.is_none_or(|asked| asked.from != first.from) || protocol != Protocol::L2tp {
            asked = Some(first);
        }
    }
    all
}

/// An answer that comes later by less is no difference.
const LATENCY: Span = Span::from_secs(1);

/// How it travelled.
fn carriage(first: &Message, group: &[&Message], asked: Option<&Message>) -> Vec<Field> {
    // 0: nobody could see.
    let fragments = group.iter().map(|m| m.fragments).max().unwrap_or_default();
    let mut fields = Vec::new();
    if fragments > 0 {
        fields.push(Field {
            name: "fragments",
            value: fragments.to_string(),
            rule: Rule::SameIfBoth,
        });
    }
    if let Some(asked) = asked.filter(|asked| asked.from != first.from) {
        let last = asked
            .repeats
            .iter()
            .copied()
            .filter(|time| *time <= first.time)
            .fold(asked.time, Timestamp::max);
        fields.push(Field {
            name: "latency",
            value: (first.time - last).to_string(),
            rule: Rule::Within(first.time - last),
        });
    }
    fields
}

/// The difference of two conversations.
pub fn compare(recorded: &Conversation, live: &Conversation) -> Difference {
    let first = describe_all(recorded);
    let second = describe_all(live);
    let by_name = recorded.protocol == Protocol::L2tp;
    let pairs = pair(&first, &second, by_name);
    let steps = pairs
        .iter()
        .map(|(a, b)| step(a.and_then(|i| first.get(i)), b.and_then(|i| second.get(i))))
        .collect();
    Difference {
        steps,
        recorded: first,
        live: second,
    }
}

type Pair = (Option<usize>, Option<usize>);

/// Which message of one conversation stands for which of the other: the n-th that an end said,
/// rounds apart; or the n-th of the same name where the order is free.
fn pair(first: &[Description], second: &[Description], by_name: bool) -> Vec<Pair> {
    let mut taken = vec![false; first.len()];
    let mut pairs: Vec<Pair> = Vec::new();
    for (place, live) in second.iter().enumerate() {
        let fits = |recorded: &Description| {
            recorded.from == live.from
                && recorded.round == live.round
                && (!by_name || recorded.name == live.name)
        };
        let found = first
            .iter()
            .zip(&taken)
            .position(|(recorded, taken)| !taken && fits(recorded));
        if let Some(slot) = found.and_then(|found| taken.get_mut(found)) {
            *slot = true;
        }
        pairs.push((found, Some(place)));
    }
    // What only the first has stands before the first pair that comes after it.
    for (place, taken) in taken.iter().enumerate() {
        if *taken {
            continue;
        }
        let at = pairs
            .iter()
            .position(|(a, _)| a.is_some_and(|a| a > place))
            .unwrap_or(pairs.len());
        pairs.insert(at, (Some(place), None));
    }
    pairs
}

fn step(recorded: Option<&Description>, live: Option<&Description>) -> StepDifference {
    let any = live.or(recorded);
    let mut fields = vec![message_field(recorded, live)];
    if let (Some(recorded), Some(live)) = (recorded, live) {
        fields.extend(field_pairs(&recorded.fields, &live.fields));
    }
    StepDifference {
        name: any.map(|d| d.name.clone()).unwrap_or_default(),
        from: any.map_or(Side::Client, |d| d.from),
        time: live.map(|d| d.time),
        recorded_frame: recorded.and_then(|d| d.frame),
        fields,
    }
}

/// What the message is, as a field like any other.
fn message_field(recorded: Option<&Description>, live: Option<&Description>) -> FieldDifference {
    let cookie = recorded.or(live).is_some_and(|d| d.round == Round::Cookie);
    let name = |d: Option<&Description>| d.map(|d| d.name.clone());
    let (recorded, live) = (name(recorded), name(live));
    FieldDifference {
        field: "message",
        verdict: if recorded == live {
            Verdict::Same
        } else if cookie {
            Verdict::Expected
        } else {
            Verdict::Different
        },
        recorded,
        live,
    }
}

fn field_pairs(recorded: &[Field], live: &[Field]) -> Vec<FieldDifference> {
    let mut names: Vec<&'static str> = recorded.iter().map(|field| field.name).collect();
    for field in live {
        if !names.contains(&field.name) {
            names.push(field.name);
        }
    }
    let find = |fields: &[Field], name: &str| fields.iter().find(|f| f.name == name).cloned();
    names
        .into_iter()
        .map(|name| {
            let (recorded, live) = (find(recorded, name), find(live, name));
            let slower = match (&recorded, &live) {
                (Some(a), Some(b)) => match (a.rule, b.rule) {
                    (Rule::Within(a), Rule::Within(b)) => b.0.saturating_sub(a.0) >= LATENCY.0,
                    _ => false,
                },
                _ => false,
            };
            let rule = recorded
                .as_ref()
                .or(live.as_ref())
                .map_or(Rule::Same, |f| f.rule);
            let (recorded, live) = (recorded.map(|f| f.value), live.map(|f| f.value));
            FieldDifference {
                field: name,
                verdict: match rule {
                    Rule::Hidden => Verdict::Hidden,
                    _ if recorded == live => Verdict::Same,
                    Rule::Within(_) if slower => Verdict::Different,
                    Rule::Varies | Rule::Within(_) => Verdict::Expected,
                    Rule::SameIfBoth if recorded.is_none() || live.is_none() => Verdict::Expected,
                    Rule::Same | Rule::SameIfBoth => Verdict::Different,
                },
                recorded,
                live,
            }
        })
        .collect()
}

/// A field that is to be the same.
fn same(name: &'static str, value: impl Into<String>) -> Field {
    Field {
        name,
        value: value.into(),
        rule: Rule::Same,
    }
}

/// A field that is another one every time.
fn varies(name: &'static str, value: impl Into<String>) -> Field {
    Field {
        name,
        value: value.into(),
        rule: Rule::Varies,
    }
}

/// A list as a field; nothing where it is empty.
fn list(name: &'static str, items: &[String]) -> Option<Field> {
    (!items.is_empty()).then(|| same(name, items.join(" ")))
}
