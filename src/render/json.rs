//! JSON that is harmless on a terminal too: what `escape` spells out in text is written as
//! `\uXXXX` here, which means the same to every reader.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::escape::is_harmful;

/// As `serde_json` writes it, without what a terminal would act on.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if fragment.bytes().all(|octet| (0x20..0x7f).contains(&octet)) {
            return out.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, harmful)) = rest.char_indices().find(|(_, c)| is_harmful(*c)) {
            let (before, after) = rest.split_at(at);
            out.write_all(before.as_bytes())?;
            for unit in harmful.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = after.get(harmful.len_utf8()..).unwrap_or_default();
        }
        out.write_all(rest.as_bytes())
    }
}

/// Writes a value.
pub fn to_writer(
    out: &mut impl Write,
    value: &(impl Serialize + ?Sized),
) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Harmless))
}

/// The octets of a value.
pub fn to_vec(value: &(impl Serialize + ?Sized)) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(256);
    to_writer(&mut out, value)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_the_same_and_shows_nothing_harmful() {
        let hostile = "Zürich \u{1b}[31m\u{202e}cod\u{9b}2J \u{7f} \u{e0041} \"\\\n\u{feff}";
        let value = serde_json::json!({ hostile: [hostile, 7, null] });
        let octets = to_vec(&value).unwrap();
        let text = String::from_utf8(octets.clone()).unwrap();
        assert_eq!(text.chars().find(|c| is_harmful(*c)), None, "{text}");
        assert!(
            text.contains("Zürich") && text.contains("\\u202e"),
            "{text}"
        );
        let back: serde_json::Value = serde_json::from_slice(&octets).unwrap();
        assert_eq!(back, value);
    }
}
