//! `decode` as text: one frame a paragraph, one layer a block, fields as they stand in JSON.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::escape::harmless;
use crate::report::decode::{FrameReport, Layer};

/// Octets of a hex string after which it is cut.
const HEX_SHOWN: usize = 64;

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
    write!(out, "  {}", layer.layer.to_uppercase())?;
    simple(out, &layer.fields)?;
    writeln!(out)?;
    nested(out, &layer.fields, 2)?;
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

/// The fields that fit on a line; a code point whose name stands beside it shows once.
fn simple(out: &mut impl Write, fields: &Map<String, Value>) -> io::Result<()> {
    for (name, value) in fields.iter().filter(|(_, value)| !is_nested(value)) {
        if value.is_null() || fields.contains_key(&format!("{name}_name")) && name != "type" {
            continue;
        }
        let label = name.strip_suffix("_name").unwrap_or(name);
        write!(out, "  {label} {}", brief(value))?;
    }
    Ok(())
}

fn nested(out: &mut impl Write, fields: &Map<String, Value>, depth: usize) -> io::Result<()> {
    let indent = depth * 2;
    for (name, value) in fields.iter().filter(|(_, value)| is_nested(value)) {
        let items: &[Value] = match value {
            Value::Array(items) => items,
            one => std::slice::from_ref(one),
        };
        for item in items {
            write!(out, "{:indent$}{}", "", name.trim_end_matches('s'))?;
            match item {
                Value::Object(fields) => {
                    simple(out, fields)?;
                    writeln!(out)?;
                    nested(out, fields, depth + 1)?;
                }
                other => writeln!(out, "  {}", brief(other))?,
            }
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
