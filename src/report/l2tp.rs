//! Offers, agreements and ladder notes of L2TP sessions and the PPP inside.

use serde_json::{Map, Value, json};
use vpnscope_dissectors::l2tp::{CallResult, ErrorCode, MessageType, StopResult};
use vpnscope_dissectors::ppp::{IpcpOption, LcpOption};

use crate::track::l2tp::{Closing, L2tp};
use crate::track::ppp::{Half, Ppp, Value as Wanted};
use crate::track::pppoe::{Mac, Pppoe};
use crate::track::session::{PerSide, Session, Side, Step};

/// `offered` and `negotiated` of the contract.
pub(super) fn agreement(facts: &L2tp) -> (Value, Value) {
    let sides = |ids: PerSide<Option<u32>>| json!([ids.client, ids.gateway]);
    let mut offered = Map::new();
    let mut negotiated = Map::new();
    let names = |side: Side| {
        json!({
            "host": facts.host.of(side),
            "vendor": facts.vendor.of(side),
            "challenge": facts.challenge.of(side).asked.is_some(),
        })
    };
    offered.insert("client".into(), names(Side::Client));
    offered.insert("gateway".into(), names(Side::Gateway));
    negotiated.insert("version".into(), facts.version.into());
    negotiated.insert("tunnel_ids".into(), sides(facts.tunnel));
    if let Some(call) = facts.main_call() {
        negotiated.insert("session_ids".into(), sides(call.session));
        negotiated.insert("ppp".into(), ppp(&call.ppp));
        offered.insert("ppp".into(), ppp_offers(&call.ppp));
    }
    (offered.into(), negotiated.into())
}

/// `offered` and `negotiated` of a `PPPoE` session. Its ends have no addresses, so their
/// hardware addresses stand here.
pub(super) fn pppoe(facts: &Pppoe) -> (Value, Value) {
    let offered = json!({"service": facts.service, "ppp": ppp_offers(&facts.ppp)});
    let negotiated = json!({
        "client_mac": mac(facts.client),
        "server_mac": facts.server.map(mac),
        "ac_name": facts.ac_name,
        "session_id": facts.session_id,
        "ppp": ppp(&facts.ppp),
    });
    (offered, negotiated)
}

/// A hardware address as text.
pub(super) fn mac(address: Mac) -> String {
    address.map(|octet| format!("{octet:02x}")).join(":")
}

/// What PPP agreed on.
fn ppp(facts: &Ppp) -> Value {
    let mut all = Map::new();
    if let Some(method) = facts.method() {
        all.insert("auth".into(), method.name().into());
    }
    if let Some(user) = facts.login().and_then(|login| login.user.clone()) {
        all.insert("user".into(), user.into());
    }
    let mru = facts
        .mru(Side::Client)
        .into_iter()
        .chain(facts.mru(Side::Gateway))
        .min();
    if let Some(mru) = mru {
        all.insert("mru".into(), mru.into());
    }
    if let Some(address) = facts.client_address() {
        all.insert("address".into(), address.to_string().into());
    }
    if !facts.identifications.is_empty() {
        let said: Vec<Value> = facts
            .identifications
            .iter()
            .map(|(side, text)| json!({"from": side.word(), "text": text}))
            .collect();
        all.insert("identifications".into(), said.into());
    }
    all.into()
}

/// What each side asked for in LCP and IPCP, and what was refused.
fn ppp_offers(facts: &Ppp) -> Value {
    let mut all = Map::new();
    for (name, negotiation, is_lcp) in [("lcp", &facts.lcp, true), ("ipcp", &facts.ipcp, false)] {
        if !negotiation.is_seen() {
            continue;
        }
        let of = |side: Side| half(negotiation.of.of(side), is_lcp);
        all.insert(
            name.into(),
            json!({"client": of(Side::Client), "gateway": of(Side::Gateway)}),
        );
    }
    all.into()
}

fn half(half: &Half, is_lcp: bool) -> Value {
    let name = |option: u8| {
        if is_lcp {
            LcpOption(option).to_string()
        } else {
            IpcpOption(option).to_string()
        }
    };
    let wanted: Vec<String> = half
        .wanted
        .iter()
        .map(|wanted| match text(wanted.value) {
            Some(value) => format!("{} {value}", name(wanted.option)),
            None => name(wanted.option),
        })
        .collect();
    let refused: Vec<String> = half
        .refusals
        .iter()
        .map(|refusal| {
            let how = if refusal.rejected {
                "rejected"
            } else {
                "refused"
            };
            format!("{} {how} {} time(s)", name(refusal.option), refusal.count)
        })
        .collect();
    json!({"wanted": wanted, "refused": refused, "agreed": half.acked.is_some()})
}

fn text(value: Wanted) -> Option<String> {
    match value {
        Wanted::Authentication(method) => Some(method.name()),
        Wanted::Number(number) => Some(number.to_string()),
        Wanted::Ipv4(address) => Some(std::net::Ipv4Addr::from(address).to_string()),
        Wanted::Other => None,
    }
}

/// What is worth knowing about a message of the ladder.
pub(super) fn notes(facts: &L2tp, session: &Session, step: &Step, notes: &mut Vec<String>) {
    let index = session
        .steps
        .iter()
        .position(|other| std::ptr::eq(other, step));
    let control = facts.control.iter().find(|c| c.step == index);
    match control.map(|c| (c.message_type, c.from)) {
        Some((MessageType::SCCRQ | MessageType::SCCRP, from)) => {
            let names: Vec<&str> = [facts.host.of(from), facts.vendor.of(from)]
                .into_iter()
                .filter_map(|name| name.as_deref())
                .collect();
            if !names.is_empty() {
                notes.push(names.join(", "));
            }
            if facts.challenge.of(from).asked.is_some() {
                notes.push("with challenge".to_string());
            }
        }
        Some((MessageType::STOP_CCN, _)) => {
            notes.extend(facts.stop.as_ref().map(|stop| closing(stop, true)));
        }
        Some((MessageType::CDN, _)) => {
            let disconnect = facts
                .calls
                .iter()
                .filter_map(|call| call.disconnect.as_ref())
                .find(|closing| closing.step == index);
            notes.extend(disconnect.map(|cdn| closing(cdn, false)));
        }
        _ => {}
    }
    for call in &facts.calls {
        ppp_notes(&call.ppp, index, notes);
    }
}

fn ppp_notes(ppp: &Ppp, index: Option<usize>, notes: &mut Vec<String>) {
    for login in &ppp.logins {
        if login.answered == index {
            notes.extend(login.user.as_ref().map(|user| format!("user '{user}'")));
        }
        if let Some(verdict) = login
            .verdict
            .as_ref()
            .filter(|verdict| verdict.step == index)
        {
            notes.extend(verdict.error.map(|error| format!("E={error}")));
            if !verdict.text.is_empty() {
                notes.push(format!("\"{}\"", verdict.text));
            }
        }
    }
    for rejected in ppp
        .rejected
        .iter()
        .filter(|rejected| rejected.step == index)
    {
        notes.push(rejected.protocol.to_string());
    }
    for end in ppp.terminated.iter().filter(|end| end.step == index) {
        if !end.text.is_empty() {
            notes.push(format!("\"{}\"", end.text));
        }
    }
}

fn closing(closing: &Closing, is_stop: bool) -> String {
    let mut words = Vec::new();
    if let Some(result) = closing.result {
        let name = if is_stop {
            StopResult(result).to_string()
        } else {
            CallResult(result).to_string()
        };
        words.push(format!("result {result} ({name})"));
    }
    if let Some(error) = closing.error.filter(|error| *error != 0) {
        words.push(format!("error {error} ({})", ErrorCode(error)));
    }
    words.extend(closing.message.as_ref().map(|text| format!("\"{text}\"")));
    words.join(", ")
}

/// A display filter that finds the tunnel.
pub(super) fn wireshark_filter(facts: &L2tp) -> Vec<String> {
    [facts.tunnel.client, facts.tunnel.gateway]
        .into_iter()
        .flatten()
        .map(|id| {
            if facts.version == 3 {
                format!("l2tp.ccid == {id}")
            } else {
                format!("l2tp.tunnel == {id}")
            }
        })
        .collect()
}
