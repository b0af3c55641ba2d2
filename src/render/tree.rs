//! `decode` as text: one frame a paragraph, one layer a block, fields as they stand in JSON.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::escape::harmless;
use crate::report::decode::{FrameReport, Layer};

/// Octets of a hex string after which it is cut.
const HEX_SHOWN: usize = 48;
/// Columns.
const WIDTH: usize = 80;

/// Writes one frame.
pub fn frame(out: &mut impl Write, frame: &FrameReport) -> io::Result<()> {
    let port = |port: u16| {
        if port == 0 {
            String::new()
        } else {
            format!(":{port}")
        }
    };
    write!(
        out,
        "frame {}  {}  {}{} → {}{}  {} octets",
        frame.frame,
        frame.time.get(11..26).unwrap_or(&frame.time),
        frame.src,
        port(frame.sport),
        frame.dst,
        port(frame.dport),
        frame.len
    )?;
    if !frame.encapsulation.is_empty() {
        write!(out, "  in {}", frame.encapsulation.join(", "))?;
    }
    writeln!(out)?;
    if frame.frames.len() > 1 {
        writeln!(out, "  from frames {:?}", frame.frames)?;
    }
    for layer in &frame.layers {
        self::layer(out, layer)?;
    }
    Ok(())
}

fn layer(out: &mut impl Write, layer: &Layer) -> io::Result<()> {
    fields(out, 2, &layer.layer.to_uppercase(), &layer.fields)?;
    nested(out, &layer.fields, 4)?;
    if let Some(error) = &layer.error {
        writeln!(out, "    malformed: {}", harmless(error))?;
    }
    Ok(())
}

fn is_nested(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Array(items) => items.iter().any(Value::is_object),
        _ => false,
    }
}

/// Nothing worth a word: no value, an empty one, or a number whose name stands beside it.
fn is_silent(fields: &Map<String, Value>, name: &str, value: &Value) -> bool {
    let named = |name: &str| {
        let stem = name.strip_suffix("_type").unwrap_or(name);
        [
            format!("{name}_name"),
            format!("{name}_names"),
            format!("{stem}_name"),
        ]
        .iter()
        .any(|other| other != name && fields.contains_key(other))
    };
    match value {
        Value::Array(_) if named(name) => true,
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => named(name) || name == "type" && fields.contains_key("name"),
    }
}

/// One line of fields, broken before a field that would pass the last column.
fn fields(
    out: &mut impl Write,
    indent: usize,
    title: &str,
    fields: &Map<String, Value>,
) -> io::Result<()> {
    write!(out, "{:indent$}{title}", "")?;
    let mut column = indent + title.chars().count();
    for (name, value) in fields.iter().filter(|(_, value)| !is_nested(value)) {
        if is_silent(fields, name, value) || name == "name" {
            continue;
        }
        let label = name
            .strip_suffix("_name")
            .or(name.strip_suffix("_names"))
            .unwrap_or(name);
        let label = label.replace('_', " ");
        let text = match name.as_str() {
            "length" => format!("{} octets", brief(value)),
            _ => format!("{label} {}", brief(value)),
        };
        let width = text.chars().count();
        if column + 2 + width > WIDTH && column > indent + 4 {
            write!(out, "\n{:1$}", "", indent + 4)?;
            column = indent + 4;
        } else {
            write!(out, "  ")?;
            column += 2;
        }
        column = item(out, &text, column, indent + 6)?;
    }
    writeln!(out)
}

/// One field, a long list broken between its items.
fn item(out: &mut impl Write, text: &str, mut column: usize, indent: usize) -> io::Result<usize> {
    for (n, part) in text.split_inclusive(", ").enumerate() {
        let width = part.chars().count();
        if n > 0 && column + width > WIDTH {
            write!(out, "\n{:indent$}", "")?;
            column = indent;
        }
        write!(out, "{part}")?;
        column += width;
    }
    Ok(column)
}

fn nested(out: &mut impl Write, all: &Map<String, Value>, indent: usize) -> io::Result<()> {
    for (name, value) in all.iter().filter(|(_, value)| is_nested(value)) {
        let items: &[Value] = match value {
            Value::Array(items) => items,
            one => std::slice::from_ref(one),
        };
        for item in items {
            let Value::Object(object) = item else {
                writeln!(out, "{:indent$}{}", "", brief(item))?;
                continue;
            };
            let kind = name.trim_end_matches('s').replace('_', " ");
            let title = object
                .get("name")
                .and_then(Value::as_str)
                .map_or(kind, harmless);
            fields(out, indent, &title, object)?;
            nested(out, object, indent + 2)?;
        }
    }
    Ok(())
}

fn brief(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let text = harmless(text);
            if text.chars().count() <= HEX_SHOWN {
                return text;
            }
            let cut: String = text.chars().take(HEX_SHOWN).collect();
            format!("{cut}… ({} characters)", text.chars().count())
        }
        Value::Array(items) => {
            let shown: Vec<String> = items.iter().take(24).map(brief).collect();
            let more = items.len().saturating_sub(24);
            let tail = if more > 0 {
                format!(", {more} more")
            } else {
                String::new()
            };
            format!("[{}{tail}]", shown.join(", "))
        }
        other => other.to_string(),
    }
}
