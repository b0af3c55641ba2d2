//! Offers, agreements and ladder notes of IKEv1 sessions.

use serde_json::{Map, Value, json};
use vpnscope_dissectors::ike::v1::{IkeSuite, NotifyType};

use crate::track::ike1::{Ike1, Message};
use crate::track::session::{Session, Side, Step};

/// `offered` and `negotiated` of the contract.
pub(super) fn agreement(facts: &Ike1) -> (Value, Value) {
    let mut offered = Map::new();
    if !facts.offered.is_empty() {
        let offers = facts.offered.iter().map(|offer| suite(&offer.suite));
        offered.insert("initiator".into(), offers.collect());
    }
    let mut negotiated = Map::new();
    if let Some(chosen) = &facts.chosen {
        offered.insert("responder".into(), json!([suite(&chosen.suite)]));
        negotiated.insert("ike".into(), suite(&chosen.suite));
    }
    negotiated.insert("mode".into(), facts.mode.word().into());
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
    let both = |has: fn(&crate::track::ike1::Abilities) -> bool| {
        has(&facts.abilities.client) && has(&facts.abilities.gateway)
    };
    negotiated.insert("nat_t".into(), both(|a| a.nat.is_some()).into());
    negotiated.insert("dpd".into(), both(|a| a.dpd).into());
    negotiated.insert("fragmentation".into(), both(|a| a.fragmentation).into());
    negotiated.insert(
        "vendor_ids".into(),
        facts
            .vendor_ids
            .iter()
            .map(|(side, name)| json!({"from": side.word(), "name": &**name}))
            .collect(),
    );
    if !facts.identities.is_empty() {
        negotiated.insert(
            "identities".into(),
            facts
                .identities
                .iter()
                .map(|(side, name)| json!({"from": side.word(), "identity": name}))
                .collect(),
        );
    }
    (offered.into(), negotiated.into())
}

fn suite(suite: &IkeSuite) -> Value {
    let mut fields = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_string(), value);
        }
    };
    set("encryption", suite.cipher().map(|c| c.to_string().into()));
    set("hash", suite.hash.map(|h| h.to_string().into()));
    set(
        "authentication",
        suite.authentication.map(|a| a.to_string().into()),
    );
    set("group", suite.group.map(|g| g.to_string().into()));
    set("lifetime_s", suite.life_seconds.map(Value::from));
    set("lifetime_kb", suite.life_kilobytes.map(Value::from));
    fields.into()
}

fn message_of<'a>(facts: &'a Ike1, session: &Session, step: &Step) -> Option<&'a Message> {
    let index = session
        .steps
        .iter()
        .position(|other| std::ptr::eq(other, step))?;
    let others = facts.exchanges.iter().flat_map(|e| &e.messages);
    facts
        .phase1
        .iter()
        .chain(others)
        .chain(&facts.foreign)
        .find(|m| m.step == Some(index))
}

/// What is worth knowing about a message.
pub(super) fn notes(facts: &Ike1, session: &Session, step: &Step, notes: &mut Vec<String>) {
    let Some(message) = message_of(facts, session, step) else {
        notes.push(format!("{} octets", step.length));
        return;
    };
    if message.ordinal == 1 && !facts.offered.is_empty() && message.has(1) {
        notes.push(format!("{} transforms offered", facts.offered.len()));
    }
    if message.ordinal == 2
        && message.has(1)
        && let Some(chosen) = &facts.chosen
    {
        notes.push(format!("chose {}", chosen.suite));
    }
    for notify in message.notifies.iter() {
        notes.push(format!("N({})", NotifyType(notify.notify_type)));
    }
    if let Some(exchange) = facts
        .exchanges
        .iter()
        .find(|e| e.messages.iter().any(|m| std::ptr::eq(m, message)))
    {
        notes.push(format!("message ID {:08x}", exchange.id));
    }
    if message.pieces > 1 {
        notes.push(format!("in {} frames", message.pieces));
    }
    if message.commit {
        notes.push("commit".to_string());
    }
    if message.encrypted {
        notes.push(format!("encrypted, {} octets", message.length));
    }
    if step.flow.source.1 != 500 || step.flow.destination.1 != 500 {
        let port = if step.from == Side::Client {
            step.flow.destination.1
        } else {
            step.flow.source.1
        };
        notes.push(format!("port {port}"));
    }
}
