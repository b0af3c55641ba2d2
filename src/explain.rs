//! `explain`: what an error code, a log line, a cause or a stage means, and what to check.
//!
//! In: what a user reads. Out: [`Explanation`], the model of `explain --format json`. The
//! knowledge is data: `explain/causes.toml` holds the catalogue of causes and stages,
//! `explain/codes.toml` the crosswalk from users' codes and log lines to causes. Findings
//! take their `seen_as` from here ([`seen_as`]), and `docs/causes.md` is written from it
//! ([`causes_markdown`]). [`judge()`] weighs the causes
//! against the sessions of a report. What this does not do: it reads no capture.

use std::collections::BTreeMap;

use crate::report::SeenAs;

mod catalogue;
mod judge;
mod kinds;
mod lookup;
mod markdown;
mod model;
mod text;

pub use catalogue::{Catalogue, Cause, Dial, Entry, EntryKind, Stage};
pub use judge::judge;
pub use lookup::{Found, lookup, suggestions};
pub use markdown::causes_markdown;
pub use model::{CauseVerdict, Explanation, Match, MatchKind, SCHEMA};
pub use text::render_text;

/// How many of a cause's codes and log lines a finding names.
const SEEN_AS: usize = 12;
/// How many of them of one product.
const OF_ONE_PRODUCT: usize = 5;

/// The codes and log lines behind which `cause` can stand: those that users report most
/// first, then those that mean it most often, at most a dozen. Names of protocol codes are
/// left out: users do not see them.
pub fn seen_as(cause: &str) -> Vec<SeenAs> {
    seen(&[cause], |_| true)
}

/// The same for the first of `causes` and those that it may be more exactly, as far as users
/// see them where a session is of this kind (`ikev1`, `tls`, …).
pub fn seen_in(kind: &str, causes: &[&str]) -> Vec<SeenAs> {
    seen(causes, |entry| kinds::fits(entry, kind))
}

/// How many places what a cause may be stands behind the cause itself.
const BEHIND: usize = 3;

fn seen(causes: &[&str], fits: impl Fn(&Entry) -> bool) -> Vec<SeenAs> {
    let mut ranked: Vec<(usize, &'static Entry)> = Catalogue::builtin()
        .entries()
        .iter()
        .filter(|entry| entry.is_seen_by_users() && fits(entry))
        .filter_map(|entry| {
            let place = |wanted: &str| entry.causes.iter().position(|code| code == wanted);
            let (own, others) = causes.split_first()?;
            let other = others.iter().filter_map(|code| place(code)).min();
            let rank = place(own).or(other.map(|place| place.saturating_add(BEHIND)))?;
            Some((rank, entry))
        })
        .collect();
    ranked.sort_by_key(|&(rank, entry)| match entry.common {
        Some(place) => (false, rank.saturating_add(usize::from(place))),
        None => (true, rank),
    });
    // One product with many codes must not crowd out the others.
    let mut of_product: BTreeMap<&str, usize> = BTreeMap::new();
    ranked
        .into_iter()
        .map(|(_, entry)| entry)
        .filter(|entry| {
            let count = of_product.entry(&entry.product).or_default();
            *count += 1;
            *count <= OF_ONE_PRODUCT
        })
        .take(SEEN_AS)
        .map(|entry| SeenAs {
            product: entry.product.clone(),
            code: entry.code.clone(),
        })
        .collect()
}

/// Explains what `query` names, or gives the nearest known codes where nothing matches.
pub fn explain(query: &str) -> Result<Explanation, Vec<String>> {
    let catalogue = Catalogue::builtin();
    let found = lookup(catalogue, query);
    if found.is_empty() {
        return Err(suggestions(catalogue, query));
    }
    Ok(Explanation::new(catalogue, query, &found))
}

/// Everything that can be explained, as one document: every stage, cause, code and line.
pub fn explain_all() -> Explanation {
    let catalogue = Catalogue::builtin();
    let stages = catalogue.stages().iter().map(Found::Stage);
    let causes = catalogue.causes().iter().map(Found::Cause);
    let entries = catalogue.entries().iter().map(Found::Entry);
    let found: Vec<_> = stages.chain(causes).chain(entries).collect();
    Explanation::new(catalogue, "", &found)
}

#[cfg(test)]
mod tests;
