//! The payloads of IKEv2.

use serde_json::{Map, Value, json};
use vpnscope_dissectors::eap;
use vpnscope_dissectors::ike::RawPayload;
use vpnscope_dissectors::ike::v2::{
    AttributeValue, ConfigValue, Identification, Payload, PayloadType, Proposal, Selector,
    Transform,
};

use super::first;

mod notify;

pub(super) type Fields = Map<String, Value>;

/// Items of one list that are shown.
pub(super) const SHOWN: usize = 512;

/// The name and the fields of a payload; `error` where its body cannot be read.
pub(super) fn payload(raw: &RawPayload<'_>) -> (String, Fields) {
    let name = PayloadType(raw.payload_type).to_string();
    let mut fields = Fields::new();
    if raw.is_critical() {
        fields.insert("critical".into(), true.into());
    }
    match Payload::parse(raw) {
        Ok(payload) => fill(&mut fields, &payload),
        Err(error) => {
            fields.insert("error".into(), error.to_string().into());
        }
    }
    (name, fields)
}

pub(super) fn set(fields: &mut Fields, name: &str, value: impl Into<Value>) {
    fields.insert(name.to_string(), value.into());
}

/// Sets a list of the first items, and the count of those beyond where there are any.
pub(super) fn set_first(fields: &mut Fields, name: &str, items: impl Iterator<Item = Value>) {
    let (shown, beyond) = first(items, SHOWN);
    set(fields, name, shown);
    if beyond > 0 {
        set(fields, &format!("{name}_not_shown"), beyond);
    }
}

fn fill(fields: &mut Fields, payload: &Payload<'_>) {
    match payload {
        Payload::Sa(sa) => {
            list(
                fields,
                "proposals",
                sa.proposals().map(|p| p.map(|p| proposal(&p))),
            );
        }
        Payload::Ke(ke) => {
            set(fields, "group", ke.method.0);
            set(fields, "group_name", ke.method.to_string());
            set(fields, "data_length", ke.data.len());
        }
        Payload::IdI(id) | Payload::IdR(id) | Payload::IdG(id) => identity(fields, id),
        Payload::Cert(cert) => {
            set(fields, "encoding", cert.encoding.0);
            set(fields, "encoding_name", cert.encoding.to_string());
            set(fields, "data_length", cert.data.len());
        }
        Payload::CertReq(request) => {
            set(fields, "encoding", request.encoding.0);
            set(fields, "encoding_name", request.encoding.to_string());
            let authorities = request.authorities().map(|a| hex(a).into());
            set_first(fields, "authorities", authorities);
        }
        other => fill_rest(fields, other),
    }
}

/// The payloads that mostly travel encrypted.
fn fill_rest(fields: &mut Fields, payload: &Payload<'_>) {
    match payload {
        Payload::Auth(auth) => {
            set(fields, "method", auth.method.0);
            set(fields, "method_name", auth.method.to_string());
        }
        Payload::Nonce(nonce) => set(fields, "nonce", hex(nonce)),
        Payload::Notify(notify) => notify::fill(fields, notify),
        Payload::Delete(delete) => {
            set(fields, "protocol", delete.protocol.0);
            set(fields, "protocol_name", delete.protocol.to_string());
            let spis = delete.spis().map(|spi| hex(&spi).into());
            set_first(fields, "spis", spis);
        }
        Payload::VendorId(octets) => {
            set(fields, "vendor_id", hex(octets));
            set(fields, "vendor_name", crate::track::known_vendor(octets));
        }
        Payload::TsI(ts) | Payload::TsR(ts) => {
            list(
                fields,
                "selectors",
                ts.selectors().map(|s| s.map(|s| selector(&s))),
            );
        }
        Payload::Encrypted(sealed) => {
            set(fields, "first_payload", sealed.first_payload.0);
            set(fields, "encrypted_length", sealed.octets.len());
        }
        Payload::EncryptedFragment(part) => {
            set(fields, "first_payload", part.first_payload.0);
            set(fields, "fragment_number", part.fragment_number);
            set(fields, "total_fragments", part.total_fragments);
            set(fields, "encrypted_length", part.octets.len());
        }
        Payload::Config(config) => {
            set(fields, "config_type", config.config_type.0);
            set(fields, "config_type_name", config.config_type.to_string());
            list(
                fields,
                "attributes",
                config.attributes().map(|a| {
                    a.map(|a| {
                        json!({
                            "type": a.attribute_type.0,
                            "name": a.attribute_type.to_string(),
                            "value": config_value(&a.value()),
                        })
                    })
                }),
            );
        }
        Payload::Eap(packet) => eap(fields, packet),
        Payload::Gspm(octets)
        | Payload::Gsa(octets)
        | Payload::Kd(octets)
        | Payload::Puzzle(octets)
        | Payload::Unknown(_, octets) => {
            set(fields, "data", hex(octets));
        }
        _ => {}
    }
}

/// Puts the good items into a list, and what ended it into `error`.
pub(super) fn list(
    fields: &mut Fields,
    name: &str,
    items: impl Iterator<Item = Result<Value, vpnscope_dissectors::ParseError>>,
) {
    let mut good = Vec::new();
    for item in items {
        match item {
            Ok(value) => good.push(value),
            Err(error) => set(fields, "error", error.to_string()),
        }
    }
    set_first(fields, name, good.into_iter());
}

fn proposal(p: &Proposal<'_>) -> Value {
    let mut fields = Fields::new();
    set(&mut fields, "number", p.number);
    set(&mut fields, "protocol", p.protocol.0);
    set(&mut fields, "protocol_name", p.protocol.to_string());
    set(&mut fields, "spi", hex(&p.spi));
    list(
        &mut fields,
        "transforms",
        p.transforms().map(|t| t.map(|t| transform(&t))),
    );
    fields.into()
}

fn transform(t: &Transform<'_>) -> Value {
    let attributes: Vec<Value> = t
        .attributes()
        .take(SHOWN)
        .flatten()
        .map(|a| {
            let value = match a.value {
                AttributeValue::Short(value) => json!(value),
                AttributeValue::Long(octets) => json!(hex(&octets)),
            };
            json!({ "type": a.code, "value": value })
        })
        .collect();
    json!({
        "type": t.transform_type.0,
        "type_name": t.transform_type.to_string(),
        "id": t.id,
        "name": t.algorithm().name().map_or_else(|| format!("UNKNOWN_{}", t.id), ToString::to_string),
        "attributes": attributes,
    })
}

fn identity(fields: &mut Fields, id: &Identification<'_>) {
    set(fields, "id_type", id.id_type.0);
    set(fields, "id_type_name", id.id_type.to_string());
    set(fields, "identity", id.identity().to_string());
}

fn selector(selector: &Selector<'_>) -> Value {
    match selector {
        Selector::Addresses {
            ip_protocol,
            start_port,
            end_port,
            start,
            end,
        } => json!({
            "ip_protocol": ip_protocol, "start_port": start_port, "end_port": end_port,
            "start": start.to_string(), "end": end.to_string(),
        }),
        Selector::SecurityLabel(label) => json!({ "security_label": hex(label) }),
        Selector::Other {
            ts_type,
            ip_protocol,
            octets,
        } => json!({
            "type": ts_type.0, "ip_protocol": ip_protocol, "data": hex(octets),
        }),
        other => json!({ "content": format!("{other:?}") }),
    }
}

fn config_value(value: &ConfigValue<'_>) -> Value {
    match value {
        ConfigValue::Empty => Value::Null,
        ConfigValue::Ipv4(ip) => ip.to_string().into(),
        ConfigValue::Ipv6(ip) => ip.to_string().into(),
        ConfigValue::Ipv4Subnet(ip, mask) => format!("{ip}/{mask}").into(),
        ConfigValue::Ipv6Prefix(ip, len) => format!("{ip}/{len}").into(),
        ConfigValue::Text(text) => (*text).into(),
        ConfigValue::Supported(codes) => codes
            .iter()
            .take(SHOWN)
            .map(|code| Value::from(code.to_string()))
            .collect(),
        ConfigValue::Seconds(seconds) => (*seconds).into(),
        ConfigValue::Octets(octets) => hex(octets).into(),
        other => format!("{other:?}").into(),
    }
}

fn eap(fields: &mut Fields, packet: &eap::Packet<'_>) {
    set(fields, "code", packet.code.0);
    set(fields, "code_name", packet.code.to_string());
    set(fields, "id", packet.identifier);
    if let Some(method) = packet.method {
        set(fields, "eap_type", method.0);
        set(fields, "eap_type_name", method.to_string());
    }
}

pub(super) fn hex(octets: &[u8]) -> String {
    vpnscope_dissectors::Octets(octets).to_string()
}
