//! The `dtls` layer: the records of a datagram, handshake fragments, clear alerts.

use serde_json::{Value, json};
use vpnscope_dissectors::tls::{Context, HandshakeType};

use super::Layer;
use super::tls::{alert, head, message, push};
use crate::track::DtlsWhat as What;

/// Adds what a DTLS association gave to the layer of its frame.
pub(super) fn add(layer: &mut Layer, what: &What<'_>, context: Context, truncated: bool) {
    match what {
        What::Record(record) => {
            let mut fields = json!({
                "content_type": record.content_type.0,
                "content_type_name": record.content_type.to_string(),
                "version": record.version.0, "version_name": record.version.to_string(),
                "epoch": record.epoch, "sequence": record.sequence, "length": record.length,
            });
            if !record.connection_id.is_empty()
                && let Value::Object(fields) = &mut fields
            {
                let id = record.connection_id.to_string();
                fields.insert("connection_id".into(), id.into());
            }
            push(layer, "records", fields);
        }
        What::Unified(record) => {
            let length = record.length.map_or(record.ciphertext.len(), usize::from);
            let mut fields = json!({
                "content_type": null, "unified_header": true, "epoch_bits": record.epoch_bits(),
                "encrypted_sequence": record.encrypted_sequence, "length": length,
            });
            if record.has_connection_id()
                && let Value::Object(fields) = &mut fields
            {
                let id = record.connection_id.to_string();
                fields.insert("connection_id".into(), id.into());
            }
            push(layer, "records", fields);
        }
        What::Fragment { fragment, again } => {
            let mut fields = head(fragment.message_type, fragment.length);
            fields.insert("message_seq".into(), fragment.message_seq.into());
            fields.insert("fragment_offset".into(), fragment.fragment_offset.into());
            fields.insert("fragment_length".into(), fragment.fragment_length.into());
            push(layer, "handshakes", Value::Object(fields));
            // A message sent again completes nothing, but says all that it says.
            if *again && fragment.fragment_length == fragment.length {
                whole(layer, fragment.message_type, &fragment.body, context);
            }
        }
        What::Message {
            message_type, body, ..
        } => whole(layer, *message_type, body, context),
        What::Alert(found) => push(layer, "alerts", alert(*found)),
        What::Unreadable(error) if !truncated => {
            layer.error.get_or_insert_with(|| error.to_string());
        }
        What::Incomplete { .. } | What::ChangeCipherSpec(_) | What::Unreadable(_) => {}
    }
}

/// Adds what a whole message says to its last fragment.
fn whole(layer: &mut Layer, message_type: HandshakeType, body: &[u8], context: Context) {
    let (fields, error) = message(message_type, body, context);
    if let Some(error) = error {
        layer.error.get_or_insert_with(|| error.to_string());
    }
    let last = layer
        .fields
        .get_mut("handshakes")
        .and_then(Value::as_array_mut)
        .and_then(|handshakes| handshakes.last_mut());
    if let Some(Value::Object(last)) = last {
        last.extend(fields);
    }
}
