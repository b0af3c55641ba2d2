//! Offers, agreements and ladder notes of IKEv2 sessions.

use serde_json::{Map, Value, json};
use vpnscope_dissectors::ike::v2::{
    Algorithm, Encryption, Integrity, KeyExchange, NotifyType, Prf,
};

use crate::track::ike2::{Ike2, Message, Proposal};
use crate::track::session::{Session, Side, Step};

/// Encryption with its key length: `AES_CBC_256`.
fn encryption(id: Encryption, bits: Option<u16>) -> String {
    let name = id
        .short_name()
        .map_or_else(|| id.to_string(), ToString::to_string);
    bits.map_or(name.clone(), |bits| format!("{name}_{bits}"))
}

fn group(id: KeyExchange) -> String {
    Algorithm::KeyExchange(id).to_string()
}

/// `offered` and `negotiated` of the contract.
pub(super) fn agreement(facts: &Ike2) -> (Value, Value) {
    let Some(sa) = facts.sas.first() else {
        return (Value::Null, Value::Null);
    };
    let mut offered = Map::new();
    if !sa.offered.is_empty() {
        offered.insert(
            "initiator".into(),
            sa.offered.proposals().iter().map(proposal).collect(),
        );
    }
    if let Some(chosen) = sa.chosen.first() {
        offered.insert("responder".into(), json!([proposal(&chosen)]));
    }
    let mut negotiated = Map::new();
    if let Some(suite) = sa.suite() {
        let mut ike = Map::new();
        ike.insert(
            "encryption".into(),
            encryption(suite.encryption, suite.key_bits).into(),
        );
        ike.insert("prf".into(), suite.prf.to_string().into());
        if let Some(integrity) = suite.integrity {
            ike.insert("integrity".into(), integrity.to_string().into());
        }
        if let Some(method) = suite.key_exchange {
            ike.insert("key_exchange".into(), group(method).into());
        }
        negotiated.insert("ike".into(), ike.into());
    }
    let nat = &facts.nat;
    negotiated.insert(
        "nat".into(),
        json!({
            "initiator_behind": nat.detected(Side::Client) && !nat.forced(Side::Client),
            "responder_behind": nat.detected(Side::Gateway) && !nat.forced(Side::Gateway),
            "forced": nat.forced(Side::Client) || nat.forced(Side::Gateway),
            "private_address": nat.private.map(|(ip, port)| format!("{ip}:{port}")),
        }),
    );
    let both = |notify: NotifyType| Value::from(facts.both_said(notify.0));
    negotiated.insert(
        "fragmentation".into(),
        both(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED),
    );
    negotiated.insert("mobike".into(), Value::Null);
    negotiated.insert(
        "vendor_ids".into(),
        facts
            .vendor_ids
            .iter()
            .map(|(side, name)| json!({"from": side.word(), "name": &**name}))
            .collect(),
    );
    (offered.into(), negotiated.into())
}

fn proposal(p: &Proposal) -> Value {
    let names = |list: &[KeyExchange]| list.iter().map(|k| group(*k)).collect::<Vec<_>>();
    json!({
        "protocol": match p.protocol { 1 => "IKE", 2 => "AH", 3 => "ESP", _ => "UNKNOWN" },
        "encryption": p.encryption.iter().map(|(id, bits)| encryption(*id, *bits)).collect::<Vec<_>>(),
        "prf": p.prf.iter().map(Prf::to_string).collect::<Vec<_>>(),
        "integrity": p.integrity.iter().map(Integrity::to_string).collect::<Vec<_>>(),
        "key_exchange": names(&p.key_exchange),
        "additional": p.additional.iter().map(|(n, k)| format!("ADDKE{}: {}", n - 5, group(*k))).collect::<Vec<_>>(),
    })
}

fn message_of<'a>(facts: &'a Ike2, session: &Session, step: &Step) -> Option<&'a Message> {
    let index = session
        .steps
        .iter()
        .position(|other| std::ptr::eq(other, step))?;
    facts
        .exchanges
        .iter()
        .flat_map(|e| e.request.iter().chain(e.response.iter()))
        .find(|m| m.step == Some(index))
}

/// What is worth knowing about a message.
pub(super) fn notes(facts: &Ike2, session: &Session, step: &Step, notes: &mut Vec<String>) {
    let Some(message) = message_of(facts, session, step) else {
        notes.push(format!("{} octets", step.length));
        return;
    };
    for notify in message.notifies.iter() {
        let name = NotifyType(notify.notify_type);
        let telling =
            notify.notify_type < 16384 || matches!(name, NotifyType::COOKIE | NotifyType::REDIRECT);
        if telling {
            let detail = match (name, notify.number()) {
                (NotifyType::INVALID_KE_PAYLOAD, Some(id)) => {
                    format!(": {}", group(KeyExchange(id)))
                }
                _ => String::new(),
            };
            notes.push(format!("N({name}{detail})"));
        }
    }
    if let Some(parts) = &message.fragments {
        let missing = parts.missing();
        notes.push(format!(
            "{} of {} IKE fragments",
            parts.seen.len(),
            parts.total
        ));
        if !missing.is_empty() {
            notes.push(format!("missing {missing:?}"));
        }
    }
    if let Some(id) = message.ke_group {
        notes.push(group(KeyExchange(id)));
    }
    if message.encrypted {
        notes.push(format!("encrypted, {} octets", message.length));
    }
    if step.flow.source.1 != 500 || step.flow.destination.1 != 500 {
        notes.push(format!(
            "port {}",
            if step.from == Side::Client {
                step.flow.destination.1
            } else {
                step.flow.source.1
            }
        ));
    }
}
