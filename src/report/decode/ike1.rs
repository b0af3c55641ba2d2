//! The payloads of IKEv1.

use serde_json::{Value, json};
use vpnscope_dissectors::ike::v1::{
    Attribute, AttributeClass, AttributeValue, Attributes, ConfigAttribute, ConfigValue,
    Configuration, ExchangeType, Identification, Notify, NotifyData, Payload, PayloadType,
    Proposal, SecurityAssociation, Transform,
};
use vpnscope_dissectors::ike::{Header, RawPayload};

use super::Secrets;
use super::ike2::{Fields, SHOWN, hex, list, set, set_first};

/// What is printed in place of a secret.
const HIDDEN: &str = "(hidden)";

/// The name and the fields of a payload; `error` where its body cannot be read.
pub(super) fn payload(raw: &RawPayload<'_>, header: &Header, secrets: Secrets) -> (String, Fields) {
    let name = PayloadType(raw.payload_type).to_string();
    let mut fields = Fields::new();
    match Payload::parse(raw, ExchangeType(header.exchange_type)) {
        Ok(payload) => fill(&mut fields, &payload, header, secrets),
        Err(error) => set(&mut fields, "error", error.to_string()),
    }
    (name, fields)
}

fn fill(fields: &mut Fields, payload: &Payload<'_>, header: &Header, secrets: Secrets) {
    match payload {
        Payload::Sa(sa) => security_association(fields, sa),
        Payload::Ke(octets) | Payload::Signature(octets) => {
            set(fields, "data_length", octets.len());
        }
        Payload::Id(id) => identity(fields, id),
        Payload::Cert(cert) => {
            set(fields, "encoding", cert.encoding.0);
            set(fields, "encoding_name", cert.encoding.to_string());
            set(fields, "data_length", cert.data.len());
        }
        Payload::CertReq(request) => {
            set(fields, "encoding", request.encoding.0);
            set(fields, "encoding_name", request.encoding.to_string());
            set(fields, "authority", hex(&request.authority));
        }
        Payload::Hash(octets) => set(fields, "hash", hex(octets)),
        Payload::Nonce(octets) => set(fields, "nonce", hex(octets)),
        Payload::Notify(notify) => self::notify(fields, notify),
        Payload::Delete(delete) => {
            set(fields, "doi", delete.doi.0);
            set(fields, "protocol", delete.protocol.0);
            set(fields, "protocol_name", delete.protocol.to_string());
            let spis = delete.spis().map(|spi| hex(&spi).into());
            set_first(fields, "spis", spis);
        }
        Payload::VendorId(octets) => {
            set(fields, "vendor_id", hex(octets));
            let name = crate::track::vendor_of(octets, header);
            set(fields, "vendor_name", name);
        }
        Payload::Config(config) => configuration(fields, config, secrets),
        Payload::NatD(octets) => set(fields, "nat_hash", hex(octets)),
        Payload::NatOa(address) => {
            set(fields, "id_type", address.id_type.0);
            set(fields, "id_type_name", address.id_type.to_string());
            let text = address
                .address()
                .map_or_else(|| hex(&address.data), |address| address.to_string());
            set(fields, "identity", text);
        }
        Payload::Fragment(part) => {
            set(fields, "fragment_id", part.id);
            set(fields, "fragment_number", part.number);
            set(fields, "last", part.is_last());
            set(fields, "data_length", part.data.len());
        }
        Payload::Unknown(_, octets) => set(fields, "data", hex(octets)),
        _ => {}
    }
}

fn security_association(fields: &mut Fields, sa: &SecurityAssociation<'_>) {
    set(fields, "doi", sa.doi.0);
    set(fields, "doi_name", sa.doi.to_string());
    set(fields, "situation", sa.situation.flags);
    if let Some(labels) = sa.situation.labels {
        set(fields, "labeled_domain", labels.domain);
        set(fields, "secrecy_level", hex(&labels.secrecy_level));
        set(fields, "integrity_level", hex(&labels.integrity_level));
    }
    let proposals = sa.proposals().map(|p| p.map(|p| proposal(&p)));
    list(fields, "proposals", proposals);
}

fn proposal(p: &Proposal<'_>) -> Value {
    let mut fields = Fields::new();
    set(&mut fields, "number", p.number);
    set(&mut fields, "protocol", p.protocol.0);
    set(&mut fields, "protocol_name", p.protocol.to_string());
    set(&mut fields, "spi", hex(&p.spi));
    let transforms = p.transforms().map(|t| t.map(|t| transform(&t)));
    list(&mut fields, "transforms", transforms);
    fields.into()
}

fn transform(t: &Transform<'_>) -> Value {
    let mut fields = Fields::new();
    set(&mut fields, "number", t.number);
    set(&mut fields, "id", t.id);
    let name = t.name().map(ToString::to_string);
    set(
        &mut fields,
        "name",
        name.unwrap_or_else(|| format!("UNKNOWN_{}", t.id)),
    );
    attributes(&mut fields, t.class(), t.attributes());
    fields.into()
}

fn attributes(fields: &mut Fields, class: AttributeClass, attributes: Attributes<'_>) {
    let items = attributes.map(|a| a.map(|a| attribute(class, &a)));
    list(fields, "attributes", items);
}

fn attribute(class: AttributeClass, a: &Attribute<'_>) -> Value {
    let mut fields = Fields::new();
    set(&mut fields, "type", a.code);
    let name = class.name(a.code).map(ToString::to_string);
    set(
        &mut fields,
        "type_name",
        name.unwrap_or_else(|| format!("UNKNOWN_{}", a.code)),
    );
    match (a.value.number(), a.value) {
        (Some(number), _) => {
            set(&mut fields, "value", number);
            if let Some(name) = class.value_name(a.code, number) {
                set(&mut fields, "value_name", name);
            }
        }
        (None, AttributeValue::Long(octets)) => set(&mut fields, "value", hex(&octets)),
        (None, AttributeValue::Short(number)) => set(&mut fields, "value", number),
    }
    fields.into()
}

fn identity(fields: &mut Fields, id: &Identification<'_>) {
    set(fields, "id_type", id.id_type.0);
    set(fields, "id_type_name", id.id_type.to_string());
    set(fields, "id_protocol", id.protocol);
    set(fields, "id_port", id.port);
    set(fields, "identity", id.identity().to_string());
}

fn notify(fields: &mut Fields, notify: &Notify<'_>) {
    set(fields, "doi", notify.doi.0);
    set(fields, "protocol", notify.protocol.0);
    set(fields, "protocol_name", notify.protocol.to_string());
    set(fields, "notify_type", notify.notify_type.0);
    set(fields, "notify_name", notify.notify_type.to_string());
    set(fields, "spi", hex(&notify.spi));
    set(fields, "data", hex(&notify.data));
    match notify.content() {
        Ok(NotifyData::Attributes(list)) => attributes(fields, notify.class(), list),
        Ok(NotifyData::Replay(on)) => set(fields, "replay_detection", on),
        Ok(NotifyData::Sequence(number)) => set(fields, "sequence", number),
        Ok(NotifyData::Gateway(address)) => set(fields, "gateway", address.to_string()),
        Ok(NotifyData::WindowsStatus { status, message_id }) => {
            set(fields, "status", status);
            set(fields, "about_message_id", message_id);
        }
        Ok(NotifyData::DosCookie(cookie)) => set(fields, "cookie", cookie.to_string()),
        Ok(NotifyData::ExchangeInfo { flags, message_id }) => {
            set(fields, "exchange_info", flags);
            set(fields, "about_message_id", message_id);
        }
        Ok(_) => {}
        Err(error) => set(fields, "error", error.to_string()),
    }
}

fn configuration(fields: &mut Fields, config: &Configuration<'_>, secrets: Secrets) {
    set(fields, "config_type", config.config_type.0);
    set(fields, "config_type_name", config.config_type.to_string());
    set(fields, "identifier", config.identifier);
    let items = config.attributes().map(|a| {
        a.map(|a| {
            json!({
                "type": a.code,
                "name": ConfigAttribute(a.code).to_string(),
                "value": config_value(&ConfigValue::of(&a), secrets),
            })
        })
    });
    list(fields, "attributes", items);
}

fn config_value(value: &ConfigValue<'_>, secrets: Secrets) -> Value {
    match value {
        ConfigValue::Number(number) => json!(number),
        ConfigValue::Ipv4(address) => json!(address.to_string()),
        ConfigValue::Ipv6(address) => json!(address.to_string()),
        ConfigValue::Ipv4Subnet(network, mask) => json!(format!("{network}/{mask}")),
        ConfigValue::Ipv6Prefix(address, len) => json!(format!("{address}/{len}")),
        ConfigValue::Networks(networks) => networks
            .clone()
            .take(SHOWN)
            .map(|network| json!(network.to_string()))
            .collect(),
        ConfigValue::Text(text) => json!(text),
        ConfigValue::Secret(octets) if secrets.0 => {
            json!(String::from_utf8_lossy(octets.0))
        }
        ConfigValue::Secret(_) => json!(HIDDEN),
        ConfigValue::Octets(octets) => json!(hex(octets)),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn shown(body: &[u8], secrets: Secrets) -> Map<String, Value> {
        let raw = RawPayload {
            payload_type: PayloadType::ATTRIBUTES.0,
            next_payload: 0,
            reserved: 0,
            length: 0,
            offset: 28,
            body,
        };
        let header = Header::parse(&[0x10; 28]).unwrap();
        payload(&raw, &header, secrets).1
    }

    #[test]
    fn passwords_are_hidden_unless_asked_for() {
        let body = b"\x02\0\0\0\x40\x89\0\x03bob\x40\x8a\0\x06secret";
        let hidden = Value::Object(shown(body, Secrets(false))).to_string();
        assert!(hidden.contains("bob") && hidden.contains(HIDDEN));
        assert!(!hidden.contains("secret"));
        let told = Value::Object(shown(body, Secrets(true))).to_string();
        assert!(told.contains("secret"));
    }
}
