//! A validator for the part of JSON Schema that the printed schemas use. A keyword that it does
//! not know is a fault: a schema must not seem to hold because half of it is not looked at.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "test code; each test uses a part of it"
)]

use serde_json::Value;

/// Every fault of `value` against `schema`, with its place.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(schema, schema, value, "", &mut faults);
    faults
}

fn check(root: &Value, schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
    let rules = match schema {
        Value::Bool(true) => return,
        Value::Bool(false) => return faults.push(format!("{place}: nothing may stand here")),
        Value::Object(rules) => rules,
        other => panic!("no schema: {other}"),
    };
    for (keyword, rule) in rules {
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "format" | "default" => {}
            "$ref" => {
                let path = rule.as_str().and_then(|r| r.strip_prefix('#'));
                let target = root.pointer(path.expect("a local reference"));
                check(root, target.expect("a definition"), value, place, faults);
            }
            "type" => {
                let fits = match rule {
                    Value::Array(kinds) => kinds.iter().any(|kind| is(kind, value)),
                    kind => is(kind, value),
                };
                if !fits {
                    faults.push(format!("{place}: {value} is no {rule}"));
                }
            }
            "enum" => {
                if !rule.as_array().expect("a list").contains(value) {
                    faults.push(format!("{place}: {value} is none of {rule}"));
                }
            }
            "const" => {
                if rule != value {
                    faults.push(format!("{place}: {value} is not {rule}"));
                }
            }
            "minimum" | "maximum" => bound(keyword, rule, value, place, faults),
            "anyOf" | "oneOf" => {
                let fitting = rule
                    .as_array()
                    .expect("a list")
                    .iter()
                    .filter(|schema| {
                        let mut inner = Vec::new();
                        check(root, schema, value, place, &mut inner);
                        inner.is_empty()
                    })
                    .count();
                if fitting == 0 || keyword == "oneOf" && fitting > 1 {
                    faults.push(format!("{place}: {fitting} of {keyword} fit {value}"));
                }
            }
            "allOf" => {
                for schema in rule.as_array().expect("a list") {
                    check(root, schema, value, place, faults);
                }
            }
            "required" => {
                for name in rule.as_array().expect("a list") {
                    let name = name.as_str().expect("a name");
                    if value.is_object() && value.get(name).is_none() {
                        faults.push(format!("{place}: {name} is missing"));
                    }
                }
            }
            "properties" => {
                for (name, schema) in rule.as_object().expect("properties") {
                    if let Some(inner) = value.get(name) {
                        check(root, schema, inner, &format!("{place}/{name}"), faults);
                    }
                }
            }
            "additionalProperties" => {
                let known = rules.get("properties").and_then(Value::as_object);
                for (name, inner) in value.as_object().into_iter().flatten() {
                    if known.is_none_or(|known| !known.contains_key(name)) {
                        check(root, rule, inner, &format!("{place}/{name}"), faults);
                    }
                }
            }
            "items" => {
                for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, inner, &format!("{place}/{index}"), faults);
                }
            }
            "prefixItems" => {
                let items = value.as_array().into_iter().flatten();
                for (index, (schema, inner)) in
                    rule.as_array().into_iter().flatten().zip(items).enumerate()
                {
                    check(root, schema, inner, &format!("{place}/{index}"), faults);
                }
            }
            "minItems" | "maxItems" => {
                if let Some(items) = value.as_array() {
                    bound(keyword, rule, &items.len().into(), place, faults);
                }
            }
            unknown => panic!("the validator does not know {unknown}"),
        }
    }
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type: {other}"),
    }
}

fn bound(keyword: &str, rule: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
    let (Some(rule), Some(value)) = (rule.as_f64(), value.as_f64()) else {
        return;
    };
    let fits = if keyword.starts_with("min") {
        value >= rule
    } else {
        value <= rule
    };
    if !fits {
        faults.push(format!("{place}: {value} against {keyword} {rule}"));
    }
}
