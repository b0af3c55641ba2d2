//! The `ike` layer: what both versions share.

use serde_json::{Map, Value, json};
use vpnscope_dissectors::ike::{Message, RawPayload, v1, v2};

use crate::limits::ITEMS;

use super::{Layer, Secrets, first, ike1, ike2};

/// Payloads of one message that are shown; a real one has a dozen or two.
const PAYLOADS_SHOWN: usize = 256;

pub(super) fn layer(message: &Message<'_>, truncated: bool, secrets: Secrets) -> Layer {
    let header = message.header;
    let v2 = header.major() != 1;
    let mut error = message.length_fault.filter(|_| !truncated);
    let mut payloads: Vec<Value> = Vec::new();
    let mut encrypted = !v2 && header.flags.is_encrypted();
    let (shown, beyond) = first(message.payloads(), ITEMS.or(PAYLOADS_SHOWN));
    for payload in shown {
        match payload {
            Ok(raw) => {
                encrypted |= matches!(raw.payload_type, 46 | 53);
                let (name, fields) = if v2 {
                    ike2::payload(&raw)
                } else {
                    ike1::payload(&raw, &header, secrets)
                };
                payloads.push(show(&raw, &name, fields));
            }
            Err(fault) => error = error.or(Some(fault).filter(|_| !truncated)),
        }
    }
    let exchange = if v2 {
        v2::ExchangeType(header.exchange_type).to_string()
    } else {
        v1::ExchangeType(header.exchange_type).to_string()
    };
    Layer {
        error: error.map(|error| error.to_string()),
        ..Layer::new("ike")
    }
    .with("initiator_spi", header.initiator_spi.to_string())
    .with("responder_spi", header.responder_spi.to_string())
    .with("version", format!("{}.{}", header.major(), header.minor()))
    .with("exchange_type", header.exchange_type)
    .with("exchange_type_name", exchange)
    .with("flags", header.flags.0)
    .with("message_id", header.message_id)
    .with("length", header.length)
    .with("encrypted", encrypted)
    .with_first("payloads", (payloads, beyond))
}

fn show(raw: &RawPayload<'_>, name: &str, fields: Map<String, Value>) -> Value {
    let mut all = Map::new();
    all.insert("type".into(), raw.payload_type.into());
    all.insert("name".into(), json!(name));
    all.insert("length".into(), raw.length.into());
    all.extend(fields);
    Value::Object(all)
}
