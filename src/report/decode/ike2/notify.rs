//! What the data of an IKEv2 notify say, where their type gives them a structure.

use serde_json::{Value, json};
use vpnscope_dissectors::ike::v2::codes::RohcAttributeType;
use vpnscope_dissectors::ike::v2::{
    AttributeValue, AuthAnnouncement, GatewayIdentity, Notify, NotifyData,
};

use super::{Fields, SHOWN, hex, list, set};

/// The fields of a notify payload.
pub(super) fn fill(fields: &mut Fields, notify: &Notify<'_>) {
    set(fields, "protocol", notify.protocol.0);
    set(fields, "protocol_name", notify.protocol.to_string());
    set(fields, "notify_type", notify.notify_type.0);
    set(fields, "notify_name", notify.notify_type.to_string());
    set(fields, "spi", hex(&notify.spi));
    set(fields, "data", hex(&notify.data));
    match notify.content() {
        Ok(content) => first(fields, content),
        Err(error) => set(fields, "error", error.to_string()),
    }
}

/// Data of RFC 7296 and of what is met every day.
fn first(fields: &mut Fields, content: NotifyData<'_>) {
    match content {
        NotifyData::None | NotifyData::Octets(_) => {}
        NotifyData::Cookie(cookie) => set(fields, "cookie", hex(&cookie)),
        NotifyData::NatDetection(hash) => set(fields, "nat_hash", hex(hash)),
        NotifyData::KeyExchange(group) => {
            set(fields, "group", group.0);
            set(fields, "group_name", group.to_string());
        }
        NotifyData::UnsupportedPayload(payload) => {
            set(fields, "payload_type", payload.0);
            set(fields, "payload_type_name", payload.to_string());
        }
        NotifyData::MessageId(id) => set(fields, "invalid_message_id", id),
        NotifyData::WindowSize(size) => set(fields, "window_size", size),
        NotifyData::Ipcomp { cpi, transform, .. } => {
            set(fields, "cpi", cpi);
            set(fields, "ipcomp_transform", transform.0);
            set(fields, "ipcomp_transform_name", transform.to_string());
        }
        NotifyData::Address(address) => set(fields, "address", address.to_string()),
        NotifyData::AuthLifetime(seconds) => set(fields, "lifetime_s", seconds),
        NotifyData::Redirect { gateway, nonce } => {
            self::gateway(fields, &gateway);
            set(fields, "nonce", hex(&nonce));
        }
        NotifyData::RedirectedFrom(gateway) => self::gateway(fields, &gateway),
        NotifyData::HashAlgorithms(codes) => {
            let codes: Vec<_> = codes.iter().take(SHOWN).collect();
            let numbers: Vec<Value> = codes.iter().map(|c| c.0.into()).collect();
            let names: Vec<Value> = codes.iter().map(|c| c.to_string().into()).collect();
            set(fields, "hash_algorithms", numbers);
            set(fields, "hash_algorithms_names", names);
        }
        NotifyData::AuthMethods(announcements) => {
            let items = announcements.map(|a| a.map(|a| announcement(&a)));
            list(fields, "auth_methods", items);
        }
        NotifyData::Win32(code) => set(fields, "win32_code", code),
        other => second(fields, other),
    }
}

/// Data of the extensions.
fn second(fields: &mut Fields, content: NotifyData<'_>) {
    match content {
        NotifyData::TicketLifetime { lifetime, ticket } => {
            set(fields, "lifetime_s", lifetime);
            set(fields, "ticket_length", ticket.len());
        }
        NotifyData::Rohc(attributes) => {
            let items = attributes.map(|a| {
                a.map(|a| {
                    let value = match a.value {
                        AttributeValue::Short(value) => json!(value),
                        AttributeValue::Long(octets) => json!(hex(&octets)),
                    };
                    let name = RohcAttributeType(a.code).to_string();
                    json!({ "type": a.code, "name": name, "value": value })
                })
            });
            list(fields, "rohc_attributes", items);
        }
        NotifyData::MessageIdSync {
            nonce,
            expected_send,
            expected_receive,
        } => {
            set(fields, "nonce", format!("{nonce:08x}"));
            set(fields, "expected_send", expected_send);
            set(fields, "expected_receive", expected_receive);
        }
        NotifyData::ReplayCounterSync(delta) => set(fields, "replay_counter_delta", delta),
        NotifyData::SecurePasswordMethods(codes) => {
            let codes: Vec<_> = codes.iter().take(SHOWN).collect();
            let numbers: Vec<Value> = codes.iter().map(|c| c.0.into()).collect();
            let names: Vec<Value> = codes.iter().map(|c| c.to_string().into()).collect();
            set(fields, "password_methods", numbers);
            set(fields, "password_methods_names", names);
        }
        NotifyData::Domain(name) => set(fields, "domain", name),
        NotifyData::Puzzle { prf, difficulty } => {
            set(fields, "prf", prf.0);
            set(fields, "prf_name", prf.to_string());
            set(fields, "difficulty", difficulty);
        }
        NotifyData::PpkIdentity { id_type, id } => {
            set(fields, "ppk_id_type", id_type.0);
            set(fields, "ppk_id_type_name", id_type.to_string());
            set(fields, "ppk_id", hex(&id));
        }
        NotifyData::PpkIdentityKey {
            id_type,
            id,
            confirmation,
        } => {
            set(fields, "ppk_id_type", id_type.0);
            set(fields, "ppk_id_type_name", id_type.to_string());
            set(fields, "ppk_id", hex(&id));
            set(fields, "ppk_confirmation", hex(confirmation));
        }
        NotifyData::NoPpkAuth(auth) => set(fields, "auth_length", auth.len()),
        NotifyData::Aggfrag {
            congestion_control,
            dont_fragment,
        } => {
            set(fields, "congestion_control", congestion_control);
            set(fields, "dont_fragment", dont_fragment);
        }
        _ => {}
    }
}

fn announcement(announcement: &AuthAnnouncement<'_>) -> Value {
    json!({
        "method": announcement.method.0,
        "method_name": announcement.method.to_string(),
        "cert_link": announcement.cert_link,
        "algorithm": hex(&announcement.algorithm),
    })
}

fn gateway(fields: &mut Fields, gateway: &GatewayIdentity<'_>) {
    match gateway {
        GatewayIdentity::Address(address) => set(fields, "gateway", address.to_string()),
        GatewayIdentity::Fqdn(name) => set(fields, "gateway", *name),
        GatewayIdentity::Other(identity_type, octets) => {
            set(fields, "gateway_type", identity_type.0);
            set(fields, "gateway", hex(octets));
        }
        _ => {}
    }
}
