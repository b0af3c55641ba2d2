//! Strings from the wire, made harmless for a terminal.

use std::fmt::Write as _;

/// Replaces control characters, escape sequences, and what turns the reading direction, by
/// `\u{…}`; everything else stays.
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Control characters, line and paragraph separators, and bidirectional or invisible formats.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0x00ad | 0x061c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
            | 0xfeff | 0xfff9..=0xfffb | 0xe0000..=0xe007f)
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn terminal_tricks_are_spelled_out() {
        assert_eq!(harmless("a\u{1b}[31mb"), "a\\u{1b}[31mb");
        assert_eq!(harmless("x\u{202e}cod"), "x\\u{202e}cod");
        assert_eq!(harmless("Zürich → ok"), "Zürich → ok");
    }
}
