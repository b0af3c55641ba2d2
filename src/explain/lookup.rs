//! From what a user typed or pasted to what the catalogue knows of it.

use super::catalogue::{Catalogue, Cause, Entry, EntryKind, Stage};

/// Longest query that is looked at, in octets: a log line, not a log.
const MAX_QUERY: usize = 4096;
/// How many near misses are suggested.
const SUGGESTIONS: usize = 3;

/// Something that a query names.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    /// A cause.
    Cause(&'a Cause),
    /// A stage.
    Stage(&'a Stage),
    /// A code or log line.
    Entry(&'a Entry),
}

/// What `query` names: a cause or stage by its code, codes by number or name, or every code
/// and log line found in a pasted line, the longest match first.
pub fn lookup<'a>(catalogue: &'a Catalogue, query: &str) -> Vec<Found<'a>> {
    let query = clipped(query);
    let text = canonical(query);
    if text.is_empty() {
        return Vec::new();
    }
    let exact = exact(catalogue, &text);
    if !exact.is_empty() {
        return exact;
    }
    let mut hits = Vec::new();
    pattern_hits(catalogue, &text, &mut hits);
    number_hits(catalogue, query, &text, &mut hits);
    if hits.iter().all(|hit| hit.is_weak) {
        name_hits(catalogue, query, &text, &mut hits);
    }
    if hits.is_empty() {
        return part_of_a_pattern(catalogue, &text);
    }
    ranked(hits)
}

/// A piece of the text that a pattern explains.
struct Hit<'a> {
    entry: &'a Entry,
    start: usize,
    end: usize,
    /// Literal octets that matched.
    weight: usize,
    /// A bare number says less than words.
    is_weak: bool,
}

/// Longest first; a hit inside a better one adds nothing.
fn ranked(mut hits: Vec<Hit<'_>>) -> Vec<Found<'_>> {
    hits.sort_by_key(|hit| (hit.is_weak, core::cmp::Reverse(hit.weight)));
    let mut kept: Vec<Hit<'_>> = Vec::new();
    for hit in hits {
        let is_covered = kept.iter().any(|better| {
            core::ptr::eq(better.entry, hit.entry)
                || (better.start <= hit.start
                    && hit.end <= better.end
                    && better.weight > hit.weight)
        });
        if !is_covered {
            kept.push(hit);
        }
    }
    kept.into_iter()
        .map(|hit| Found::Entry(hit.entry))
        .collect()
}

fn clipped(query: &str) -> &str {
    let mut end = query.len().min(MAX_QUERY);
    while !query.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    query.get(..end).unwrap_or_default()
}

/// Lower case, one blank between words, `-` and `_` as blanks, plain quotes.
pub(super) fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let character = match character {
            '\u{2018}' | '\u{2019}' | '`' => '\'',
            '\u{201c}' | '\u{201d}' => '"',
            '\u{2013}' | '\u{2014}' | '-' | '_' => ' ',
            other => other,
        };
        if character.is_whitespace() {
            if !out.ends_with(' ') && !out.is_empty() {
                out.push(' ');
            }
        } else {
            out.extend(character.to_lowercase());
        }
    }
    out.truncate(out.trim_end().len());
    out
}

fn exact<'a>(catalogue: &'a Catalogue, text: &str) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    let causes = catalogue.causes().iter();
    found.extend(
        causes
            .filter(|cause| canonical(&cause.code) == text)
            .map(Found::Cause),
    );
    let stages = catalogue.stages().iter();
    found.extend(
        stages
            .filter(|stage| canonical(&stage.code) == text)
            .map(Found::Stage),
    );
    // `tls-alert-…` names the family too.
    if found.is_empty() && text.starts_with("tls alert ") {
        found.extend(catalogue.cause("tls-alert-NAME").map(Found::Cause));
    }
    // A cause's own code asks for the cause, not for what sounds like it.
    let is_cause = !found.is_empty();
    let bare = without_lead(text);
    let entries = catalogue.entries().iter();
    found.extend(
        entries
            .filter(|entry| {
                let named = bare
                    .strip_prefix(entry.spelled.product.as_str())
                    .map_or(bare, |rest| without_lead(rest.trim_start()));
                let asked = [text, bare, named];
                entry
                    .spelled
                    .names
                    .iter()
                    .chain(&entry.spelled.patterns)
                    .any(|name| {
                        if is_cause {
                            name == text
                        } else {
                            asked.iter().any(|asked| is_named(name, asked))
                        }
                    })
            })
            .map(Found::Entry),
    );
    found
}

/// What stands before the telling part of Windows' names: people leave it out.
const PREFIXES: &[&str] = &[
    "error ipsec ike ",
    "error oakley ",
    "error vpn ",
    "error ppp ",
    "error ",
];

/// A name of Windows' without what stands before it: `vpn timeout`. `error` or `timeout`
/// alone would say too little.
fn shorts(name: &str) -> impl Iterator<Item = &str> {
    PREFIXES
        .iter()
        .filter_map(|prefix| name.strip_prefix(prefix))
        .filter(|short| short.len() > 5 && short.contains(' '))
}

/// Whether `asked` is the name, with or without what Windows puts before it.
fn is_named(name: &str, asked: &str) -> bool {
    name == asked || shorts(name).any(|short| short == asked)
}

/// Drops what people write before a number: `error`, `code`, `Windows`, `#`.
fn without_lead(text: &str) -> &str {
    let mut rest = text;
    loop {
        let before = rest;
        for lead in [
            "error", "code", "windows", "vpn", "ras", "event", "fehler", "#", ":", "%",
        ] {
            if let Some(after) = rest.strip_prefix(lead)
                && (after.starts_with(|c: char| !c.is_alphanumeric())
                    || !lead.starts_with(char::is_alphabetic))
            {
                rest = after.trim_start();
            }
        }
        if rest == before {
            return rest;
        }
    }
}

fn pattern_hits<'a>(catalogue: &'a Catalogue, text: &str, hits: &mut Vec<Hit<'a>>) {
    for entry in catalogue.entries() {
        let best = entry
            .spelled
            .patterns
            .iter()
            .filter_map(|pattern| find(pattern, text))
            .max_by_key(|&(_, _, weight)| weight);
        if let Some((start, end, weight)) = best {
            hits.push(Hit {
                entry,
                start,
                end,
                weight,
                is_weak: false,
            });
        }
    }
}

/// Names of codes inside a longer text: `received notify TS_UNACCEPTABLE`.
fn name_hits<'a>(catalogue: &'a Catalogue, query: &str, text: &str, hits: &mut Vec<Hit<'a>>) {
    let query = query.to_lowercase();
    // Names of alerts are everyday words: `access denied`, `internal error`.
    let is_about_tls = ["tls", "ssl", "alert"]
        .iter()
        .any(|word| text.contains(word));
    for entry in catalogue.entries() {
        // Nobody writes an underscore by accident.
        let is_spelt = entry.code.contains('_') && query.contains(&entry.code);
        if entry.product == "TLS" && !is_about_tls && !is_spelt {
            continue;
        }
        let short_names = entry
            .spelled
            .names
            .iter()
            .flat_map(|name| shorts(name))
            .filter(|short| query.contains(&short.replace(' ', "_")));
        let best = entry
            .spelled
            .names
            .iter()
            .map(String::as_str)
            .filter(|name| name.len() >= 3 && name.parse::<u32>().is_err())
            .chain(short_names)
            .filter_map(|name| find(name, text))
            .max_by_key(|&(_, _, weight)| weight);
        if let Some((start, end, weight)) = best {
            hits.push(Hit {
                entry,
                start,
                end,
                weight,
                is_weak: false,
            });
        }
    }
}

/// Windows' numbers inside a longer text that speaks of an error, lists of numbers, and
/// `0x8007…`.
fn number_hits<'a>(catalogue: &'a Catalogue, query: &str, text: &str, hits: &mut Vec<Hit<'a>>) {
    let is_list = !text
        .chars()
        .any(|c| c.is_alphabetic() || matches!(c, '.' | ':'));
    let speaks_of_an_error = is_list || SPEAKS_OF_AN_ERROR.iter().any(|word| text.contains(word));
    let parts = query.split(|c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '(' | ')' | '"' | '\'' | ';' | '=' | '/' | ',' | '\u{2013}'
            )
    });
    for part in parts {
        let Some((number, is_hex)) = number(part) else {
            continue;
        };
        if !is_hex && !speaks_of_an_error {
            continue;
        }
        // HRESULT_FROM_WIN32 puts 0x8007 before the code.
        let plain = if number >> 16 == 0x8007 {
            number & 0xffff
        } else {
            number
        };
        let (code, hex) = (plain.to_string(), format!("0x{number:08X}"));
        let entry = catalogue.entries().iter().find(|entry| {
            entry.kind == EntryKind::Code && (entry.code == code || entry.code == hex)
        });
        if let Some(entry) = entry {
            hits.push(Hit {
                entry,
                start: 0,
                end: 0,
                weight: code.len(),
                is_weak: true,
            });
        }
    }
}

/// Words of which one stands beside a number that is an error code.
const SPEAKS_OF_AN_ERROR: &[&str] = &[
    "error", "code", "fail", "reason", "fehler", "erreur", "hresult",
];

/// The number in one word, and whether it was written in hexadecimal: `809.`, `Error:809`,
/// `0x80070329`, `-2147023927`.
fn number(word: &str) -> Option<(u32, bool)> {
    let word =
        word.trim_matches(|c: char| matches!(c, '.' | ',' | ':' | '!' | '?' | '#' | '[' | ']'));
    let word = match word.rsplit_once(':') {
        Some((lead, rest)) if lead.chars().all(char::is_alphabetic) => rest,
        _ => word,
    };
    let lower = word.to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("0x") {
        return Some((u32::from_str_radix(digits, 16).ok()?, true));
    }
    if let Some(digits) = lower.strip_prefix('-') {
        // An HRESULT as a signed number.
        let value = digits.parse::<u32>().ok()?;
        return (value > i32::MAX.unsigned_abs() / 2).then(|| (0u32.wrapping_sub(value), true));
    }
    Some((lower.parse().ok()?, false))
}

/// Where the fragments of `pattern` stand in `text`, in order and on word boundaries:
/// start, end, and how many octets matched literally.
fn find(pattern: &str, text: &str) -> Option<(usize, usize, usize)> {
    let mut start = None;
    let mut at = 0;
    let mut weight = 0;
    for fragment in fragments(pattern) {
        let found = find_word(text, fragment, at)?;
        start.get_or_insert(found);
        at = found.saturating_add(fragment.len());
        weight += fragment.len();
    }
    start.map(|start| (start, at, weight))
}

/// The literal parts of a pattern; an ellipsis varies as `*` does.
fn fragments(pattern: &str) -> impl Iterator<Item = &str> {
    pattern
        .split(['*', '…'])
        .flat_map(|part| part.split("..."))
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

fn find_word(text: &str, fragment: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let found = at.saturating_add(text.get(at..)?.find(fragment)?);
        let end = found.saturating_add(fragment.len());
        let joins = |edge: Option<char>, other: Option<char>| {
            edge.is_some_and(char::is_alphanumeric) && other.is_some_and(char::is_alphanumeric)
        };
        let before = text.get(..found).and_then(|s| s.chars().next_back());
        let after = text.get(end..).and_then(|s| s.chars().next());
        if !joins(fragment.chars().next(), before) && !joins(fragment.chars().next_back(), after) {
            return Some(found);
        }
        at = found.saturating_add(fragment.chars().next().map_or(1, char::len_utf8));
    }
}

/// The other way round: the user typed a part of a line that the catalogue knows.
fn part_of_a_pattern<'a>(catalogue: &'a Catalogue, text: &str) -> Vec<Found<'a>> {
    if text.len() < 6 {
        return Vec::new();
    }
    catalogue
        .entries()
        .iter()
        .filter(|entry| {
            let spelled = &entry.spelled;
            spelled
                .names
                .iter()
                .chain(&spelled.patterns)
                .any(|known| find_word(known, text, 0).is_some())
        })
        .take(5)
        .map(Found::Entry)
        .collect()
}

/// The known codes and names nearest to `query`.
pub fn suggestions(catalogue: &Catalogue, query: &str) -> Vec<String> {
    let text = canonical(clipped(query));
    let wanted = grams(&text);
    let causes = catalogue.causes().iter().map(|cause| &cause.code);
    let stages = catalogue.stages().iter().map(|stage| &stage.code);
    let entries = catalogue
        .entries()
        .iter()
        .flat_map(|entry| core::iter::once(&entry.code).chain(&entry.names));
    let mut scored: Vec<(usize, &String)> = causes
        .chain(stages)
        .chain(entries)
        .map(|name| (likeness(&wanted, &canonical(name)), name))
        .filter(|&(score, _)| score > 0)
        .collect();
    scored.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.len().cmp(&b.1.len())));
    scored.dedup_by(|a, b| a.1 == b.1);
    let mut names: Vec<String> = Vec::new();
    for (_, name) in scored {
        if names.len() == SUGGESTIONS {
            break;
        }
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Pairs of neighbouring characters, the ends included.
fn grams(text: &str) -> Vec<(char, char)> {
    let padded: Vec<char> = core::iter::once('^')
        .chain(text.chars())
        .chain(core::iter::once('$'))
        .collect();
    padded
        .iter()
        .zip(padded.iter().skip(1))
        .map(|(&a, &b)| (a, b))
        .collect()
}

/// Dice's coefficient over pairs of characters, in thousandths.
fn likeness(wanted: &[(char, char)], name: &str) -> usize {
    let mut theirs = grams(name);
    let total = wanted.len().saturating_add(theirs.len());
    let shared = wanted
        .iter()
        .filter(
            |gram| match theirs.iter().position(|other| other == *gram) {
                Some(at) => {
                    theirs.swap_remove(at);
                    true
                }
                None => false,
            },
        )
        .count();
    shared.saturating_mul(2000).checked_div(total).unwrap_or(0)
}
