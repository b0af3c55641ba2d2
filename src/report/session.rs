//! Sessions: one attempt of one client at one gateway, with its messages and counters.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::finding::{FindingReport, finding};
use super::vantage::{VantageReport, vantage};
use super::{ike1, ike2, l2tp, tls};
use crate::diagnose::Verdict;
use crate::track::esp::EspFlow;
use crate::track::pppoe::Mac;
use crate::track::session::{Detail, Endpoint, Kind, Session, Step};

/// One attempt of one client at one gateway.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SessionReport {
    /// Number, from 1 in order of the first frame.
    pub id: u32,
    /// `ikev1`, `ikev2`, `l2tp`, `pppoe`, `tls`, `dtls`, `tls-vpn`, `esp`, `dns`, `radius`.
    pub kind: &'static str,
    /// The first initiator seen.
    pub client: EndpointReport,
    /// Its peer.
    pub gateway: Option<EndpointReport>,
    /// Name of the gateway, where one was seen.
    pub gateway_name: Option<String>,
    /// False where the capture starts mid-session.
    pub roles_known: bool,
    /// Time of the first frame.
    pub first: String,
    /// Time of the last frame.
    pub last: String,
    /// Frames.
    pub frames: u64,
    /// `established`, `failed`, `degraded` or `incomplete`.
    pub outcome: &'static str,
    /// The last stage reached; for failed and degraded the one where it stopped.
    pub stage: &'static str,
    /// Code of the primary finding; null when established.
    pub cause: Option<&'static str>,
    /// `certain`, `likely` or `possible`.
    pub confidence: &'static str,
    /// By severity, confidence, stage.
    pub findings: Vec<FindingReport>,
    /// What each side offered, by kind.
    pub offered: Value,
    /// What was agreed, by kind.
    pub negotiated: Value,
    /// Counters.
    pub counters: Counters,
    /// Display filter that shows this session in Wireshark.
    pub wireshark_filter: String,
    /// The messages in order.
    pub ladder: Vec<Rung>,
    /// Messages not in the ladder because there were too many.
    #[serde(skip_serializing_if = "is_zero")]
    pub ladder_not_shown: u64,
    /// What the capture could and could not show of this session.
    pub vantage: VantageReport,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for this form"
)]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// An address and port.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EndpointReport {
    /// Address as text.
    pub ip: String,
    /// UDP or TCP port, 0 where there is none.
    pub port: u16,
    /// Hardware address, where it is all that there is: `PPPoE` runs below IP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware: Option<String>,
}

/// Counters of one session.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Counters {
    /// ESP flows.
    pub esp: Vec<EspReport>,
    /// Retransmissions of each end.
    pub retransmissions: Both<u32>,
    /// Octets of TCP payload of each end, where there is a TCP channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_octets: Option<Both<u64>>,
    /// Octets of UDP payload of each end, where there is a UDP channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_octets: Option<Both<u64>>,
}

/// One value for each end.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
pub struct Both<T> {
    /// The client's.
    pub client: T,
    /// The gateway's.
    pub gateway: T,
}

/// One ESP flow.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EspReport {
    /// SPI, hex.
    pub spi: String,
    /// `client` or `gateway`.
    pub from: &'static str,
    /// `ip`, `udp` or `tcp`.
    pub over: &'static str,
    /// Packets.
    pub packets: u64,
    /// Octets of ESP.
    pub octets: u64,
    /// Sequence number of the first packet seen.
    pub first_sequence: u32,
    /// Highest sequence number.
    pub last_sequence: u32,
    /// Sequence numbers never seen.
    pub missing: u64,
    /// Sequence numbers seen twice.
    pub duplicated: u64,
    /// Sequence numbers that came after a higher one.
    pub late: u64,
}

/// One line of the ladder.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Rung {
    /// Capture, from 0.
    pub capture: u16,
    /// Frame.
    pub frame: u64,
    /// Time.
    pub time: String,
    /// `client` or `gateway`.
    pub from: &'static str,
    /// Message.
    pub message: String,
    /// What is worth knowing about it.
    pub note: String,
}

/// The report of one session.
pub fn session(id: u32, session: &Session, verdict: &Verdict) -> SessionReport {
    let (offered, negotiated) = match &session.detail {
        Detail::Ike1(facts) => ike1::agreement(facts),
        Detail::Ike2(facts) => ike2::agreement(facts),
        Detail::L2tp(facts) => l2tp::agreement(facts),
        Detail::Pppoe(facts) => l2tp::pppoe(facts),
        Detail::Tls(facts) => tls::agreement(facts),
        Detail::Esp | Detail::Radius | Detail::Dns(_) => (Value::Null, Value::Null),
    };
    let endpoint = |e: &Endpoint| EndpointReport {
        ip: e.ip.to_string(),
        port: e.port,
        hardware: None,
    };
    let (mut client, mut gateway) = (endpoint(&session.client), endpoint(&session.gateway));
    let mut is_gateway_known = session.kind != Kind::Dns;
    if let Detail::Pppoe(facts) = &session.detail {
        client.hardware = Some(hardware(facts.client));
        gateway.hardware = facts.server.map(hardware);
        is_gateway_known = facts.server.is_some();
    }
    let mut retransmissions = session.retransmissions();
    let octets = session.tls().map(tls::octets);
    if let Some(facts) = session.tls() {
        let again = tls::retransmissions(facts);
        retransmissions.client = retransmissions.client.saturating_add(again.client);
        retransmissions.gateway = retransmissions.gateway.saturating_add(again.gateway);
    }
    SessionReport {
        id,
        kind: session.kind.word(),
        client,
        gateway: is_gateway_known.then_some(gateway),
        gateway_name: session.gateway_name.clone(),
        roles_known: session.roles_known,
        first: session.first.time.to_string(),
        last: session.last.time.to_string(),
        frames: session.frames,
        outcome: verdict.outcome.word(),
        stage: verdict.stage.word(),
        cause: verdict.cause,
        confidence: verdict.confidence.word(),
        findings: verdict
            .findings
            .iter()
            .map(|one| finding(one, session.kind))
            .collect(),
        offered,
        negotiated,
        counters: Counters {
            esp: session.esp.iter().map(esp).collect(),
            retransmissions: Both {
                client: retransmissions.client,
                gateway: retransmissions.gateway,
            },
            tcp_octets: octets
                .filter(|_| session.kind != Kind::Dtls)
                .map(|(tcp, _)| Both {
                    client: tcp.client,
                    gateway: tcp.gateway,
                }),
            udp_octets: octets
                .filter(|(_, udp)| udp.client + udp.gateway > 0)
                .map(|(_, udp)| Both {
                    client: udp.client,
                    gateway: udp.gateway,
                }),
        },
        wireshark_filter: wireshark_filter(session),
        ladder: session
            .steps
            .iter()
            .map(|step| rung(session, step))
            .collect(),
        ladder_not_shown: session.steps_not_kept,
        vantage: vantage(session, verdict),
    }
}

fn hardware(mac: Mac) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

fn esp(flow: &EspFlow) -> EspReport {
    EspReport {
        spi: format!("{:08x}", flow.spi),
        from: flow.from.word(),
        over: flow.over.word(),
        packets: flow.packets,
        octets: flow.octets,
        first_sequence: flow.first_sequence,
        last_sequence: flow.last_sequence,
        missing: flow.missing,
        duplicated: flow.duplicated,
        late: flow.late,
    }
}

fn rung(session: &Session, step: &Step) -> Rung {
    let mut notes = Vec::new();
    if let Some(facts) = session.ike2() {
        ike2::notes(facts, session, step, &mut notes);
    }
    if let Some(facts) = session.l2tp() {
        l2tp::notes(facts, session, step, &mut notes);
    }
    if let Some(facts) = session.ike1() {
        ike1::notes(facts, session, step, &mut notes);
    }
    if let Some(facts) = session.tls() {
        tls::notes(facts, step, &mut notes);
    }
    if step.fragments > 1 {
        notes.push(format!("{} IP fragments", step.fragments));
    }
    if step.repeats.count > 0 {
        notes.push(format!("sent {} times over {}", step.sent(), step.spread()));
    }
    if step.copies > 0 {
        notes.push(format!("{} copies", step.copies));
    }
    Rung {
        capture: step.at.capture(),
        frame: step.at.frame(),
        time: step.at.time.to_string(),
        from: step.from.word(),
        message: step.message.to_string(),
        note: notes.join(", "),
    }
}

/// A display filter that finds the session by what Wireshark itself can see.
fn wireshark_filter(session: &Session) -> String {
    let mut parts: Vec<String> = Vec::new();
    let ispi = |spi: u64| {
        let octets: Vec<String> = spi
            .to_be_bytes()
            .iter()
            .map(|o| format!("{o:02x}"))
            .collect();
        format!("isakmp.ispi == {}", octets.join(":"))
    };
    if let Some(facts) = session.ike2() {
        parts.extend(facts.sas.iter().take(8).map(|sa| ispi(sa.initiator_spi)));
    }
    if let Some(facts) = session.ike1() {
        parts.push(ispi(facts.initiator_cookie));
    }
    if let Some(facts) = session.pppoe() {
        return format!(
            "eth.addr == {} && (pppoed || pppoes)",
            l2tp::mac(facts.client)
        );
    }
    if let Some(facts) = session.l2tp() {
        let (client, gateway) = (session.client.ip, session.gateway.ip);
        let field = if client.is_ipv4() { "ip" } else { "ipv6" };
        return format!(
            "{field}.addr == {client} && {field}.addr == {gateway} && ({})",
            l2tp::wireshark_filter(facts).join(" || ")
        )
        .replace(" && ()", " && l2tp");
    }
    if let Some(facts) = session.tls() {
        return tls::wireshark_filter(session, facts);
    }
    if let Detail::Dns(facts) = &session.detail {
        return format!("dns.qry.name == \"{}\"", facts.name);
    }
    parts.extend(
        session
            .esp
            .iter()
            .take(16)
            .map(|flow| format!("esp.spi == 0x{:08x}", flow.spi)),
    );
    if parts.is_empty() {
        let (client, gateway) = (session.client.ip, session.gateway.ip);
        let field = if client.is_ipv4() { "ip" } else { "ipv6" };
        return format!("{field}.addr == {client} && {field}.addr == {gateway}");
    }
    parts.join(" || ")
}
