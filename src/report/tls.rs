//! Offers, agreements and ladder notes of TLS and DTLS sessions.

use serde_json::{Map, Value, json};
use vpnscope_dissectors::tls::{Certificate, CipherSuite, NamedGroup, Version};

use crate::time::Timestamp;
use crate::track::session::{PerSide, Session, Side, Step};
use crate::track::tls::{Answer, Chain, Hello, Tls};

/// Names of a certificate that are shown.
const NAMES_SHOWN: usize = 32;

/// `offered` and `negotiated` of the contract.
pub(super) fn agreement(facts: &Tls) -> (Value, Value) {
    let channel = facts.channel();
    let association = facts
        .associations
        .iter()
        .rev()
        .find(|association| association.is_established())
        .or_else(|| facts.associations.last());
    let dtls = association.map(|association| {
        let hello = association.hello().map(offer);
        let answer = association.answer().map(|answer| {
            let gateway = association.chains.gateway.as_ref();
            answered(answer, answer.group, gateway)
        });
        (hello, answer)
    });
    let Some(connection) = channel else {
        let (offered, negotiated) = dtls.unwrap_or_default();
        return (value(offered), value(negotiated));
    };
    let mut offered = connection.hello().map(offer);
    let gateway = connection.chains.gateway.as_ref();
    let mut negotiated = connection.answer().map(|answer| {
        let group = answer.group.or(connection.group);
        answered(answer, group, gateway)
    });
    if let Some((hello, answer)) = dtls {
        if let Some(hello) = hello {
            offered
                .get_or_insert_default()
                .insert("dtls".into(), hello.into());
        }
        if let Some(answer) = answer {
            negotiated
                .get_or_insert_default()
                .insert("dtls".into(), answer.into());
        }
    }
    (value(offered), value(negotiated))
}

fn value(map: Option<Map<String, Value>>) -> Value {
    map.map_or(Value::Null, Value::Object)
}

fn names<T: ToString>(list: &[T]) -> Value {
    list.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .into()
}

fn offer(hello: &Hello) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("versions".into(), names::<Version>(&hello.versions));
    map.insert("cipher_suites".into(), names::<CipherSuite>(&hello.suites));
    map.insert("groups".into(), names::<NamedGroup>(&hello.groups));
    map.insert("signature_algorithms".into(), names(&hello.schemes));
    map.insert("alpn".into(), hello.alpn.clone().into());
    if let Some(name) = &hello.server_name {
        map.insert("sni".into(), name.clone().into());
    }
    map.insert("ja4".into(), (&*hello.ja4).into());
    map
}

fn answered(
    answer: &Answer,
    group: Option<NamedGroup>,
    chain: Option<&Chain>,
) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("version".into(), answer.version.to_string().into());
    map.insert("cipher_suite".into(), answer.suite.to_string().into());
    if let Some(group) = group {
        map.insert("group".into(), group.to_string().into());
    }
    if let Some(protocol) = &answer.alpn {
        map.insert("alpn".into(), protocol.clone().into());
    }
    if let Some(certificate) = chain.and_then(Chain::leaf) {
        map.insert("certificate".into(), describe(certificate));
    }
    map
}

fn describe(certificate: &Certificate) -> Value {
    let names: Vec<String> = certificate
        .subject_alternative_names
        .iter()
        .take(NAMES_SHOWN)
        .map(ToString::to_string)
        .collect();
    json!({
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "not_before": Timestamp::from_parts(certificate.not_before_s, 0).to_string(),
        "not_after": Timestamp::from_parts(certificate.not_after_s, 0).to_string(),
        "sans": names,
        "key": certificate.key,
        "sha256": certificate.sha256,
    })
}

/// Octets of application data of each side over TCP and over UDP.
pub(super) fn octets(facts: &Tls) -> (PerSide<u64>, PerSide<u64>) {
    let of = |activity: &PerSide<crate::track::tls::Activity>| PerSide {
        client: activity.client.octets,
        gateway: activity.gateway.octets,
    };
    (of(&facts.flow.tcp), of(&facts.flow.udp))
}

/// Segments of each side that were sent again.
pub(super) fn retransmissions(facts: &Tls) -> PerSide<u32> {
    let mut sum = PerSide::default();
    for connection in &facts.connections {
        let counts = connection.repeat_count;
        sum.client = counts.client.saturating_add(sum.client);
        sum.gateway = counts.gateway.saturating_add(sum.gateway);
    }
    sum
}

/// A display filter for the connections and associations of a session.
pub(super) fn wireshark_filter(session: &Session, facts: &Tls) -> String {
    let field = if session.client.ip.is_ipv4() {
        "ip"
    } else {
        "ipv6"
    };
    let one = |protocol: &str, flow: &crate::decap::Flow| {
        format!(
            "({field}.addr == {} && {field}.addr == {} && {protocol}.port == {} && {protocol}.port == {})",
            flow.source.0, flow.destination.0, flow.source.1, flow.destination.1
        )
    };
    let tcp = facts
        .connections
        .iter()
        .take(8)
        .map(|it| one("tcp", &it.flow));
    let udp = facts
        .associations
        .iter()
        .take(8)
        .map(|it| one("udp", &it.flow));
    tcp.chain(udp).collect::<Vec<_>>().join(" || ")
}

/// Notes of a line of the ladder.
pub(super) fn notes(facts: &Tls, step: &Step, notes: &mut Vec<String>) {
    if step.length > 0 && !step.message.starts_with("Alert") {
        notes.push(format!("{} octets", step.length));
    }
    let at = (step.at.capture(), step.at.frame());
    let here = |known: &crate::track::Stamp| (known.capture(), known.frame()) == at;
    let hellos = facts
        .connections
        .iter()
        .flat_map(|connection| &connection.hellos)
        .chain(
            facts
                .associations
                .iter()
                .flat_map(|association| &association.hellos),
        );
    if step.from == Side::Client
        && step.message.ends_with("ClientHello")
        && let Some(hello) = hellos.into_iter().find(|hello| here(&hello.at))
    {
        notes.push(format!("up to {}", hello.newest()));
        if let Some(name) = &hello.server_name {
            notes.push(format!("for {name}"));
        }
    }
    let answers = facts
        .connections
        .iter()
        .flat_map(|connection| &connection.answers)
        .chain(
            facts
                .associations
                .iter()
                .flat_map(|association| &association.answers),
        );
    if step.from == Side::Gateway
        && step.message.ends_with("ServerHello")
        && let Some(answer) = answers.into_iter().find(|answer| here(&answer.at))
    {
        notes.push(format!("{}, {}", answer.version, answer.suite));
    }
}
