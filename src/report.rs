//! The serialised model of `analyze`: what other programs rely on.
//!
//! Built from sessions and verdicts; formats nothing. Fields may be added; one that stands
//! here keeps its name, type and meaning.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::diagnose::{Outcome, Severity, Verdict};
use crate::dissect::others::Counts;
use crate::source::{Format, Statistics};
use crate::track::esp::EspFlow;
use crate::track::session::{Detail, Kind, Session, Step};

pub mod compare;
pub mod decode;
mod ike1;
mod ike2;
mod l2tp;
pub mod replay;
mod tls;

/// The name and version of this model.
pub const SCHEMA: &str = "vpnscope.report/1";

/// What `analyze --format json` prints.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Report {
    /// `vpnscope.report/1`.
    pub schema: &'static str,
    /// The inputs.
    pub captures: Vec<CaptureReport>,
    /// One entry for each attempt of one client at one gateway.
    pub sessions: Vec<SessionReport>,
    /// Counts over all sessions.
    pub summary: Summary,
    /// Clients that should have shown up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<ExpectedReport>,
    /// What else could be done with these captures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// A client that should have shown up.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ExpectedReport {
    /// Its address.
    pub client: String,
    /// Whether anything came from it.
    pub arrived: bool,
    /// Frames from it.
    pub frames_from: u64,
    /// Frames to it.
    pub frames_to: u64,
    /// Capture of the first of them.
    pub first_capture: Option<u16>,
    /// The first of them.
    pub first_frame: Option<u64>,
    /// All frames that were looked at: proof that the capture works.
    pub frames_looked_at: u64,
    /// Other addresses that sent some of them.
    pub other_senders: u64,
    /// From when.
    pub since: Option<String>,
    /// To when.
    pub until: Option<String>,
    /// The same as a sentence.
    pub says: String,
}

/// One input.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CaptureReport {
    /// File name, `-` or interface.
    pub file: String,
    /// `pcap`, `pcapng` or `live`.
    pub format: &'static str,
    /// Link types met, as pcap numbers them.
    pub link_types: Vec<u16>,
    /// Frames read.
    pub frames: u64,
    /// Octets captured.
    pub bytes: u64,
    /// Time of the first frame, UTC, RFC 3339.
    pub first: Option<String>,
    /// Latest time of any frame.
    pub last: Option<String>,
    /// Capture filter, where the file names one.
    pub filter: Option<String>,
    /// Frames the capturing host dropped, where known.
    pub dropped: Option<u64>,
    /// Frames cut by snaplen.
    pub truncated_frames: u64,
    /// Copies made by a span port.
    pub duplicated_frames: u64,
    /// Frames that could not be decoded.
    pub undecodable_frames: u64,
    /// Datagrams on the ports of IKE and L2TP that are something else.
    pub unclassified_frames: u64,
    /// What was wrong, and where.
    pub problems: Vec<ProblemReport>,
}

/// Something wrong with an input.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ProblemReport {
    /// Octet offset in the input.
    pub offset: Option<u64>,
    /// Frame number.
    pub frame: Option<u64>,
    /// What is wrong.
    pub what: String,
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

/// What the capture could and could not show.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct VantageReport {
    /// Frames seen of the client and the gateway.
    pub frames: BTreeMap<&'static str, u64>,
    /// The first message seen is not a first message.
    pub started_late: bool,
    /// Messages that must have been sent but were not seen.
    pub unseen: BTreeMap<&'static str, u32>,
    /// Messages of one end only, although the other one answered.
    pub one_direction: bool,
    /// Messages cut by snaplen.
    pub truncated: u32,
    /// Copies made by a span port.
    pub copies: u64,
    /// Where the capture stands.
    pub stands: StandsReport,
    /// What in this capture misleads: each is in `notes` too.
    pub traps: Vec<TrapReport>,
    /// Sentences for a person: what this capture cannot show.
    pub notes: Vec<String>,
}

/// Something in a capture that misleads.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TrapReport {
    /// Its name: see `docs/confidence.md`.
    pub trap: &'static str,
    /// One sentence with the numbers of this session.
    pub note: String,
    /// What it does to the verdict.
    pub effect: &'static str,
}

/// Where a capture stands.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StandsReport {
    /// `client`, `gateway`, `between`, `both` or `unknown`, by what was seen.
    pub at: &'static str,
    /// How that is known.
    pub because: String,
    /// What the user said: `client`, `gateway`, `wan`, `lan` or `server`.
    pub told: Option<&'static str>,
    /// Routers between each end and the capture, where TTLs tell.
    pub hops: BTreeMap<&'static str, Option<u8>>,
}

/// One thing that is wrong, or worth knowing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FindingReport {
    /// Cause code.
    pub code: &'static str,
    /// `error`, `warning` or `info`.
    pub severity: &'static str,
    /// `certain`, `likely` or `possible`.
    pub confidence: &'static str,
    /// Stage.
    pub stage: &'static str,
    /// One sentence with the numbers of this session.
    pub summary: String,
    /// The frames that prove it.
    pub evidence: Vec<EvidenceReport>,
    /// What it may be, where encryption hides it.
    pub candidates: Vec<&'static str>,
    /// What it cannot be.
    pub excluded: Vec<ExcludedReport>,
    /// What to do.
    pub remedies: Vec<String>,
    /// What users see.
    pub seen_as: Vec<SeenAs>,
    /// What capture or key would settle it.
    pub needs: Option<String>,
}

/// A frame and what it shows.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EvidenceReport {
    /// Capture, from 0.
    pub capture: u16,
    /// Frame number.
    pub frame: u64,
    /// What it shows.
    pub what: String,
}

/// A cause that was considered and cannot be.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ExcludedReport {
    /// Code.
    pub code: &'static str,
    /// Why not.
    pub because: String,
}

/// A code that users of a product see.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct SeenAs {
    /// Product.
    pub product: String,
    /// Code or message.
    pub code: String,
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

/// Counts over all sessions.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Summary {
    /// Sessions.
    pub sessions: u64,
    /// By kind.
    pub by_kind: BTreeMap<&'static str, u64>,
    /// By outcome.
    pub by_outcome: BTreeMap<&'static str, u64>,
    /// By cause.
    pub by_cause: BTreeMap<&'static str, u64>,
    /// TLS and DTLS sessions that were followed but are not reported (see `--tls`).
    pub tls_not_reported: u64,
    /// VPNs that were seen and named but are not analysed.
    pub other_vpns: OtherVpns,
    /// What budgets gave up.
    pub evicted: Evicted,
}

/// VPNs that were seen and named but are not analysed.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
pub struct OtherVpns {
    /// WireGuard, by addresses and ports.
    pub wireguard: u64,
    /// OpenVPN over UDP or TCP, by addresses and ports.
    pub openvpn: u64,
    /// SSTP connections, with and without TLS around them.
    pub sstp: u64,
    /// Pairs of hosts that speak PPTP.
    pub pptp: u64,
}

impl OtherVpns {
    /// Adds what a walk saw.
    pub const fn add(&mut self, counts: Counts) {
        self.wireguard += counts.wireguard;
        self.openvpn += counts.openvpn;
        self.sstp += counts.sstp;
        self.pptp += counts.pptp;
    }
}

/// What budgets gave up.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
pub struct Evicted {
    /// Sessions.
    pub sessions: u64,
    /// Datagrams waiting for fragments.
    pub fragments: u64,
    /// TCP streams and DTLS associations.
    pub streams: u64,
    /// ESP flows that were not counted.
    pub esp_flows: u64,
    /// Look-ups of names.
    pub lookups: u64,
    /// Sessions that are counted above and described nowhere.
    pub descriptions: u64,
    /// IKE SAs that are told as sessions of their own, although they renew another one.
    pub sas: u64,
    /// Certificates of long chains.
    pub certificates: u64,
}

impl Evicted {
    /// Whether nothing was.
    pub fn is_nothing(&self) -> bool {
        let Self {
            sessions,
            fragments,
            streams,
            esp_flows,
            lookups,
            descriptions,
            sas,
            certificates,
        } = *self;
        let waiting = sessions + fragments + streams + esp_flows + lookups;
        waiting + descriptions + sas + certificates == 0
    }
}

impl Summary {
    /// Counts one verdict.
    pub fn count(&mut self, kind: &'static str, verdict: &Verdict) {
        self.count_as(kind, verdict.outcome, verdict.cause, 1);
    }

    /// Counts sessions by what became of them.
    pub fn count_as(
        &mut self,
        kind: &'static str,
        outcome: Outcome,
        cause: Option<&'static str>,
        count: u64,
    ) {
        self.sessions += count;
        *self.by_kind.entry(kind).or_default() += count;
        *self.by_outcome.entry(outcome.word()).or_default() += count;
        if let Some(cause) = cause {
            *self.by_cause.entry(cause).or_default() += count;
        }
    }
}

/// The report of one input.
pub fn capture(statistics: &Statistics, duplicated: u64, undecodable: u64) -> CaptureReport {
    let mut problems: Vec<_> = statistics
        .problems
        .iter()
        .map(|p| ProblemReport {
            offset: p.offset,
            frame: p.frame,
            what: p.what.clone(),
        })
        .collect();
    if statistics.problems_not_kept > 0 {
        let what = format!("{} more problems like these", statistics.problems_not_kept);
        problems.push(ProblemReport {
            offset: None,
            frame: None,
            what,
        });
    }
    CaptureReport {
        file: statistics.name.clone(),
        format: match statistics.format {
            Format::Pcap => "pcap",
            Format::PcapNg => "pcapng",
            Format::Live => "live",
        },
        link_types: statistics.link_types.iter().map(|link| link.0).collect(),
        frames: statistics.frames,
        bytes: statistics.bytes,
        first: statistics.first.map(|time| time.to_string()),
        last: statistics.last.map(|time| time.to_string()),
        filter: statistics.filter.clone(),
        dropped: statistics.dropped,
        truncated_frames: statistics.truncated_frames,
        duplicated_frames: duplicated,
        undecodable_frames: undecodable,
        unclassified_frames: 0,
        problems,
    }
}

/// The report of one session.
pub fn session(id: u32, session: &Session, verdict: &Verdict) -> SessionReport {
    let (offered, negotiated) = match &session.detail {
        Detail::Ike1(facts) => ike1::agreement(facts),
        Detail::Ike2(facts) => ike2::agreement(facts),
        Detail::L2tp(facts) => l2tp::agreement(facts),
        Detail::Pppoe(facts) => l2tp::pppoe(facts),
        Detail::Esp | Detail::Radius => (Value::Null, Value::Null),
        Detail::Tls(facts) => tls::agreement(facts),
        Detail::Dns(_) => (Value::Null, Value::Null),
    };
    let endpoint = |e: &crate::track::session::Endpoint| EndpointReport {
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

fn hardware(mac: crate::track::pppoe::Mac) -> String {
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

fn finding(finding: &crate::diagnose::Finding, kind: Kind) -> FindingReport {
    let mut remedies = finding.remedies.clone();
    let general = !finding.specific && finding.severity != Severity::Info;
    if general || remedies.is_empty() {
        // What the rule said for this session is not said again.
        let others = finding.cause.remedies.iter();
        let others = others.filter(|other| !finding.remedies.iter().any(|own| own == *other));
        remedies.extend(others.map(ToString::to_string));
    }
    let open = !finding.candidates.is_empty()
        || finding.confidence != crate::diagnose::Confidence::Certain;
    FindingReport {
        code: finding.cause.code,
        severity: finding.severity.word(),
        confidence: finding.confidence.word(),
        stage: finding.stage.word(),
        summary: finding.summary.clone(),
        evidence: finding
            .evidence
            .iter()
            .map(|e| EvidenceReport {
                capture: e.at.capture(),
                frame: e.at.frame(),
                what: e.what.clone(),
            })
            .collect(),
        candidates: finding.candidates.clone(),
        excluded: finding
            .excluded
            .iter()
            .map(|e| ExcludedReport {
                code: e.code,
                because: e.because.clone(),
            })
            .collect(),
        remedies,
        seen_as: seen_as(finding, kind),
        needs: finding.needs.clone().or_else(|| {
            finding
                .cause
                .needs
                .filter(|_| open)
                .map(ToString::to_string)
        }),
    }
}

/// What users see of the cause, and of those that it may be.
fn seen_as(finding: &crate::diagnose::Finding, kind: Kind) -> Vec<SeenAs> {
    let mut codes = vec![finding.cause.code];
    codes.extend(&finding.candidates);
    crate::explain::seen_in(kind.word(), &codes)
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

fn vantage(session: &Session, verdict: &Verdict) -> VantageReport {
    let vantage = &session.vantage;
    let standing = crate::track::vantage::standing(session);
    let mut notes: Vec<String> = verdict.traps.iter().map(|t| t.note.clone()).collect();
    if vantage.two_points {
        notes.push("the same messages were seen at two points, as on both sides of a NAT".into());
    }
    if vantage.ending == crate::track::session::Ending::Evicted {
        notes.push("closed early: too many sessions were open".to_string());
    }
    VantageReport {
        frames: BTreeMap::from([
            ("client", vantage.frames.client),
            ("gateway", vantage.frames.gateway),
        ]),
        started_late: vantage.started_late,
        unseen: BTreeMap::from([
            ("client", vantage.unseen.client),
            ("gateway", vantage.unseen.gateway),
        ]),
        one_direction: vantage.one_direction(),
        truncated: vantage.truncated,
        copies: vantage.copies,
        stands: StandsReport {
            at: standing.place.word(),
            because: standing.because,
            told: vantage.told.map(crate::track::vantage::Told::word),
            hops: BTreeMap::from([
                ("client", standing.hops.client),
                ("gateway", standing.hops.gateway),
            ]),
        },
        traps: verdict
            .traps
            .iter()
            .map(|trap| TrapReport {
                trap: trap.what.word(),
                note: trap.note.clone(),
                effect: trap.what.effect(),
            })
            .collect(),
        notes,
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
