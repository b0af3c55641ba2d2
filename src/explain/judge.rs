//! What a capture says about the causes behind a code or log line.
//!
//! In: an explanation and the sessions of a report. Out: the same explanation, each cause
//! supported, excluded or left open, with the frames that say so, the supported ones first.
//! Nothing is diagnosed here: findings are taken at their word, and what they leave open is
//! decided by how far the session came.

use std::net::IpAddr;

use super::catalogue::{Catalogue, Cause, Dial, Entry};
use super::model::{CauseVerdict, Explanation, Match, MatchKind};
use crate::report::{EvidenceReport, FindingReport, Rung, SessionReport};

/// How many sessions are weighed against each other.
const SESSIONS: usize = 64;
/// How many frames stand for one cause.
const FRAMES: usize = 6;

/// The way of a session, by its kind.
const IKE: &[&str] = &[
    "dns",
    "reachability",
    "ike-negotiation",
    "ike-nat-traversal",
    "ike-authentication",
    "ike-configuration",
    "ipsec-child",
    "esp-data",
    "l2tp-control",
    "ppp-lcp",
    "ppp-authentication",
    "ppp-network",
    "tunnel-data",
];
const L2TP: &[&str] = &[
    "dns",
    "reachability",
    "l2tp-control",
    "ppp-lcp",
    "ppp-authentication",
    "ppp-network",
    "tunnel-data",
];
const TLS: &[&str] = &[
    "dns",
    "tcp-connect",
    "tls-handshake",
    "vpn-login",
    "dtls-handshake",
    "tunnel-data",
];

fn way(kind: &str) -> &'static [&'static str] {
    match kind {
        "l2tp" | "pppoe" | "radius" => L2TP,
        "tls" | "dtls" | "tls-vpn" | "dns" => TLS,
        _ => IKE,
    }
}

/// Judges every cause of every match by what `sessions` show.
pub fn judge(explanation: &mut Explanation, sessions: &[SessionReport]) {
    let catalogue = Catalogue::builtin();
    let named = Named::find(&explanation.query);
    let of_line: Vec<&SessionReport> = sessions
        .iter()
        .filter(|session| named.fits(session))
        .collect();
    let elsewhere = !named.is_empty() && of_line.is_empty() && !sessions.is_empty();
    let candidates = if of_line.is_empty() {
        sessions.iter().collect()
    } else {
        of_line
    };
    let chosen = chosen(&candidates);
    for found in &mut explanation.matches {
        if elsewhere {
            found.different_attempt = Some(named.missing());
        }
        judge_match(catalogue, found, &chosen);
    }
}

/// The sessions that matter: those in trouble, else those that cannot be told, else all.
fn chosen<'a>(sessions: &[&'a SessionReport]) -> Vec<&'a SessionReport> {
    let of = |outcomes: &[&str]| {
        let fits = |s: &&&SessionReport| outcomes.contains(&s.outcome);
        let list: Vec<_> = sessions
            .iter()
            .filter(fits)
            .copied()
            .take(SESSIONS)
            .collect();
        Some(list).filter(|list| !list.is_empty())
    };
    of(&["failed", "degraded"])
        .or_else(|| of(&["incomplete"]))
        .or_else(|| of(&["established"]))
        .unwrap_or_default()
}

fn judge_match(catalogue: &Catalogue, found: &mut Match, sessions: &[&SessionReport]) {
    if sessions.is_empty() {
        return;
    }
    let entry = catalogue
        .entries()
        .iter()
        .find(|entry| Some(&entry.product) == found.product.as_ref() && entry.code == found.code);
    if found.different_attempt.is_none() {
        found.different_attempt = entry.and_then(|entry| other_stage(entry, sessions));
    }
    for verdict in &mut found.causes {
        if let Some(cause) = catalogue.cause(&verdict.code) {
            *verdict = weigh(cause, sessions);
        }
    }
    if found.kind != MatchKind::Cause && found.different_attempt.is_none() {
        add_primary(found, sessions);
    }
    let rank = |verdict: &CauseVerdict| {
        let primary = sessions
            .iter()
            .any(|session| session.cause == Some(verdict.code.as_str()));
        match verdict.supported {
            Some(true) if primary => 0,
            Some(true) => 1,
            None if !verdict.evidence.is_empty() => 2,
            None => 3,
            Some(false) => 4,
        }
    };
    found.causes.sort_by_key(rank);
}

/// What the capture shows, where it is none of the usual causes.
fn add_primary(found: &mut Match, sessions: &[&SessionReport]) {
    let listed = |code: &str| found.causes.iter().any(|verdict| verdict.code == code);
    let missing = sessions.iter().find_map(|session| {
        let finding = primary(session)?;
        (!listed(finding.code)).then_some(finding)
    });
    let any_listed = sessions
        .iter()
        .any(|session| session.cause.is_some_and(&listed));
    if let Some(finding) = missing.filter(|_| !any_listed && !found.causes.is_empty()) {
        let is_parent = finding.candidates.iter().any(|code| listed(code));
        let how = if is_parent {
            "encryption hides which of the following: "
        } else {
            "not one of the usual causes, but what the capture shows: "
        };
        found.causes.push(CauseVerdict {
            code: finding.code.to_owned(),
            supported: Some(true),
            because: format!("{how}{}", finding.summary),
            evidence: frames(finding),
        });
    }
}

/// The finding that names the session's cause.
fn primary(session: &SessionReport) -> Option<&FindingReport> {
    let code = session.cause?;
    session.findings.iter().find(|finding| finding.code == code)
}

fn frames(finding: &FindingReport) -> Vec<EvidenceReport> {
    finding.evidence.iter().take(FRAMES).cloned().collect()
}

/// One cause over all sessions: what one supports stands; what none leaves open is out.
fn weigh(cause: &Cause, sessions: &[&SessionReport]) -> CauseVerdict {
    let mut verdicts = sessions.iter().map(|session| one(cause, session));
    let Some(mut best) = verdicts.next() else {
        return open(cause, String::new(), Vec::new());
    };
    let rank = |supported: Option<bool>| match supported {
        Some(true) => 0,
        None => 1,
        Some(false) => 2,
    };
    for verdict in verdicts {
        let better = rank(verdict.supported) < rank(best.supported)
            || verdict.supported.is_none() && best.supported.is_none() && best.evidence.is_empty();
        if better {
            best = verdict;
        }
    }
    best
}

fn verdict(
    cause: &Cause,
    supported: Option<bool>,
    because: String,
    evidence: Vec<EvidenceReport>,
) -> CauseVerdict {
    CauseVerdict {
        code: cause.code.clone(),
        supported,
        because,
        evidence,
    }
}

fn open(cause: &Cause, because: String, evidence: Vec<EvidenceReport>) -> CauseVerdict {
    verdict(cause, None, because, evidence)
}

fn out(cause: &Cause, because: String, evidence: Vec<EvidenceReport>) -> CauseVerdict {
    verdict(cause, Some(false), because, evidence)
}

/// Whether a finding's code is the cause, or one of its family.
fn is_cause(cause: &Cause, code: &str) -> bool {
    cause.code == code || cause.code == "tls-alert-NAME" && code.starts_with("tls-alert-")
}

/// Whether a candidate of a finding leaves the cause possible: it is the cause, or one of
/// the reasons for which a certificate is rejected.
fn may_be(cause: &Cause, candidate: &str) -> bool {
    is_cause(cause, candidate) || cause.code == "cert-rejected" && candidate.starts_with("cert-")
}

/// One cause in one session.
fn one(cause: &Cause, session: &SessionReport) -> CauseVerdict {
    let mine = session
        .findings
        .iter()
        .find(|finding| is_cause(cause, finding.code));
    if let Some(finding) = mine {
        return verdict(cause, Some(true), finding.summary.clone(), frames(finding));
    }
    for finding in &session.findings {
        let excluded = finding
            .excluded
            .iter()
            .find(|excluded| is_cause(cause, excluded.code));
        if let Some(excluded) = excluded {
            return out(cause, excluded.because.clone(), frames(finding));
        }
    }
    let candidate = session
        .findings
        .iter()
        .filter(|finding| finding.severity != "info")
        .find(|finding| finding.candidates.iter().any(|code| may_be(cause, code)));
    if let Some(finding) = candidate {
        let because = format!("possible: {} {}", finding.summary, needs(finding, cause));
        return open(cause, because.trim_end().to_owned(), frames(finding));
    }
    contradicted(cause, session)
        .or_else(|| by_stage(cause, session))
        .or_else(|| by_primary(cause, session))
        .unwrap_or_else(|| {
            open(
                cause,
                format!(
                    "the capture says nothing for or against it; it would show so: {}",
                    cause.shows
                ),
                Vec::new(),
            )
        })
}

fn needs(finding: &FindingReport, cause: &Cause) -> String {
    let needs = finding.needs.as_deref().unwrap_or(&cause.capture);
    format!("To decide: {needs}.")
}

fn rung_evidence(rung: &Rung) -> Vec<EvidenceReport> {
    vec![EvidenceReport {
        capture: rung.capture,
        frame: rung.frame,
        what: format!("{} of the {}", rung.message, rung.from),
    }]
}

fn first_of<'a>(session: &'a SessionReport, from: &str) -> Option<&'a Rung> {
    session.ladder.iter().find(|rung| rung.from == from)
}

/// Single facts that rule a cause out.
fn contradicted(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    let answer = first_of(session, "gateway");
    let asked = first_of(session, "client");
    let against = |because: String, rung: &Rung| Some(out(cause, because, rung_evidence(rung)));
    match cause.code.as_str() {
        "l2tp-no-response" if session.kind != "l2tp" => hidden(cause, session),
        "no-response" if answer.is_none() && session.outcome != "established" => {
            let finding = primary(session)?;
            let because = format!("possible: {}", finding.summary);
            Some(open(cause, because, frames(finding)))
        }
        "no-response" | "request-never-arrived" | "l2tp-no-response" | "tcp-no-answer" => {
            let rung = answer?;
            let because = format!(
                "the gateway answered in frame {}: {}",
                rung.frame, rung.message
            );
            against(because, rung)
        }
        "service-not-started" => {
            let rung = asked?;
            against(
                format!(
                    "the client does send: {} in frame {}",
                    rung.message, rung.frame
                ),
                rung,
            )
        }
        "dns-no-answer" | "dns-nxdomain" if session.kind != "dns" => {
            let rung = asked?;
            against(
                format!(
                    "the client knows the address: frame {} goes there",
                    rung.frame
                ),
                rung,
            )
        }
        "l2tp-without-ipsec" if session.kind.starts_with("ikev") => {
            let rung = asked.or(answer)?;
            against(
                format!("IKE is there: {} in frame {}", rung.message, rung.frame),
                rung,
            )
        }
        "port-unreachable" | "admin-prohibited" => {
            let rung = asked?;
            Some(out(
                cause,
                format!(
                    "no ICMP error quotes the client's packets, such as frame {}",
                    rung.frame
                ),
                rung_evidence(rung),
            ))
        }
        "nat-t-responder-behind-nat" | "nat-t-not-supported" | "nat-t-blocked" => {
            nat(cause, session)
        }
        "fragment-lost" => unfragmented(cause, session),
        "eap-failed" | "radius-timeout" | "ppp-auth-protocol-mismatch" => login(cause, session),
        "cert-name-mismatch" | "cert-missing-eku" => unjudged(cause, session),
        "esp-blocked" | "esp-one-way" => both_ways(cause, session),
        code if code.starts_with("l2tp-") || code.starts_with("ppp-") => hidden(cause, session),
        _ => None,
    }
}

/// What runs inside ESP cannot be seen; but where nothing came back, only silence fits.
fn hidden(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    if !session.kind.starts_with("ikev") || session.stage != "esp-data" {
        return None;
    }
    let came_back = session
        .counters
        .esp
        .iter()
        .any(|flow| flow.from == "gateway");
    let evidence = primary(session).map(frames).unwrap_or_default();
    if came_back || cause.code == "l2tp-no-response" {
        let because = "possible: it would be inside ESP, which cannot be read without keys";
        return Some(open(cause, because.to_owned(), evidence));
    }
    let because = "no ESP came from the gateway, so nothing inside it was answered";
    Some(out(cause, because.to_owned(), evidence))
}

/// The gateway refused before the client could judge its certificate.
fn unjudged(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    let finding = primary(session).filter(|finding| finding.code == "auth-failed")?;
    let judged = ["cert-untrusted", "cert-name-mismatch", "cert-missing-eku"];
    let by_client = finding.candidates.iter().any(|code| judged.contains(code));
    if by_client {
        return None;
    }
    let frame = finding.evidence.last()?.frame;
    let because = format!(
        "it was the gateway that refused, in frame {frame}: the client never got to judge a certificate"
    );
    Some(out(cause, because, frames(finding)))
}

/// What NAT detection says.
fn nat(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    let nat = session.negotiated.get("nat")?;
    let behind = |who: &str| nat.get(who).and_then(serde_json::Value::as_bool);
    let (client, gateway) = (behind("initiator_behind")?, behind("responder_behind")?);
    let forced = behind("forced").unwrap_or(false);
    let rung = session
        .ladder
        .iter()
        .rev()
        .find(|rung| rung.from == "gateway")?;
    let because = match cause.code.as_str() {
        "nat-t-responder-behind-nat" if !gateway => {
            "NAT detection says that the gateway is not behind NAT"
        }
        "nat-t-not-supported" if client || gateway || forced => {
            "both sides did NAT detection, so both know NAT traversal"
        }
        "nat-t-blocked" if !client && !gateway && !forced => {
            "NAT detection found no NAT, so IKE does not move to port 4500"
        }
        _ => return None,
    };
    Some(out(cause, because.to_owned(), rung_evidence(rung)))
}

/// No message came in fragments.
fn unfragmented(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    let any = session
        .ladder
        .iter()
        .any(|rung| rung.note.contains("fragment"));
    let rung = session.ladder.last().filter(|_| !any)?;
    Some(out(
        cause,
        format!(
            "no message of this session was fragmented, up to frame {}",
            rung.frame
        ),
        rung_evidence(rung),
    ))
}

/// What the login in PPP shows.
fn login(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    let ppp = session.negotiated.get("ppp")?;
    let method = ppp.get("auth").and_then(serde_json::Value::as_str)?;
    let rung = session.ladder.iter().find(|rung| {
        ["PAP ", "CHAP ", "EAP "]
            .iter()
            .any(|protocol| rung.message.starts_with(protocol))
    })?;
    match cause.code.as_str() {
        "eap-failed" if method != "EAP" => Some(out(
            cause,
            format!("the login is {method}, not EAP: frame {}", rung.frame),
            rung_evidence(rung),
        )),
        "ppp-auth-protocol-mismatch" => Some(out(
            cause,
            format!("both sides agreed on {method}: frame {}", rung.frame),
            rung_evidence(rung),
        )),
        "radius-timeout" => {
            let verdict = session.ladder.iter().rev().find(|rung| {
                [
                    "CHAP Success",
                    "CHAP Failure",
                    "PAP Authenticate-Ack",
                    "PAP Authenticate-Nak",
                    "EAP Success",
                    "EAP Failure",
                ]
                .contains(&rung.message.as_str())
            })?;
            Some(out(
                cause,
                format!(
                    "the gateway did give its verdict: {} in frame {}",
                    verdict.message, verdict.frame
                ),
                rung_evidence(verdict),
            ))
        }
        _ => None,
    }
}

/// ESP that flows both ways.
fn both_ways(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    let of = |side: &str| {
        session
            .counters
            .esp
            .iter()
            .filter(|flow| flow.from == side)
            .map(|flow| flow.packets)
            .sum::<u64>()
    };
    let (client, gateway) = (of("client"), of("gateway"));
    if client == 0 || gateway == 0 || session.outcome == "failed" && session.stage == "esp-data" {
        return None;
    }
    let rung = session.ladder.last()?;
    Some(out(
        cause,
        format!("ESP flows both ways: {client} packets of the client, {gateway} of the gateway"),
        rung_evidence(rung),
    ))
}

/// How far the session came, against where the cause stops one.
fn by_stage(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    let way = way(session.kind);
    let at = |stage: &str| way.iter().position(|rung| *rung == stage);
    let stop = at(session.stage)?;
    let places: Vec<usize> = cause.stage.iter().filter_map(|stage| at(stage)).collect();
    let (Some(first), Some(last)) = (places.iter().min(), places.iter().max()) else {
        let rung = session.ladder.first()?;
        return Some(out(
            cause,
            format!(
                "it belongs to {}, and this is {}",
                cause.usual_stage(),
                session.kind
            ),
            rung_evidence(rung),
        ));
    };
    let works = session.outcome == "established";
    if *last < stop || works && *last <= stop && session.stage != "esp-data" {
        let past = way.get(*last).copied().unwrap_or_default();
        let proof = beyond(session, way, *last);
        let because = match proof.first() {
            Some(frame) => format!(
                "the session got past {past}: frame {}, {}",
                frame.frame, frame.what
            ),
            None => format!("the session got past {past}"),
        };
        return Some(out(cause, because, proof));
    }
    if *first > stop && session.outcome == "failed" {
        let proof = primary(session).map(frames).filter(|f| !f.is_empty());
        let proof = proof.or_else(|| session.ladder.last().map(rung_evidence))?;
        let frame = proof.first().map_or(0, |frame| frame.frame);
        return Some(out(
            cause,
            format!(
                "the session stopped at {} (frame {frame}) and never came to {}",
                session.stage,
                way.get(*first).copied().unwrap_or_default()
            ),
            proof,
        ));
    }
    None
}

/// Frames of a stage after `last`.
fn beyond(session: &SessionReport, way: &[&str], last: usize) -> Vec<EvidenceReport> {
    // That the client went on proves an answer, except to its very first message.
    let only_answers = last <= 1;
    let later = session.ladder.iter().find(|rung| {
        if only_answers && rung.from != "gateway" {
            return false;
        }
        stage_of(&rung.message)
            .and_then(|stage| way.iter().position(|known| *known == stage))
            .is_some_and(|at| at > last)
    });
    later
        .map(rung_evidence)
        .or_else(|| primary(session).map(frames))
        .or_else(|| session.ladder.last().map(rung_evidence))
        .unwrap_or_default()
}

/// The stage that a message of the ladder belongs to.
fn stage_of(message: &str) -> Option<&'static str> {
    const TABLE: &[(&str, &str)] = &[
        ("IKE_SA_INIT response", "ike-negotiation"),
        ("IKE_SA_INIT", "reachability"),
        ("IKE_AUTH", "ike-authentication"),
        ("CREATE_CHILD_SA", "ipsec-child"),
        ("Main Mode 1", "reachability"),
        ("Main Mode 5", "ike-authentication"),
        ("Main Mode 6", "ike-authentication"),
        ("Main Mode", "ike-negotiation"),
        ("Aggressive Mode 1", "reachability"),
        ("Aggressive Mode 3", "ike-authentication"),
        ("Aggressive", "ike-negotiation"),
        ("Transaction", "ike-configuration"),
        ("Quick Mode", "ipsec-child"),
        ("SCC", "l2tp-control"),
        ("IC", "l2tp-control"),
        ("StopCCN", "l2tp-control"),
        ("LCP Configure", "ppp-lcp"),
        ("PAP", "ppp-authentication"),
        ("CHAP", "ppp-authentication"),
        ("EAP", "ppp-authentication"),
        ("IPCP", "ppp-network"),
        ("IPV6CP", "ppp-network"),
        ("CCP", "ppp-network"),
        ("SYN", "tcp-connect"),
        ("ClientHello", "tls-handshake"),
        ("ServerHello", "tls-handshake"),
        ("Certificate", "tls-handshake"),
        ("application data", "vpn-login"),
    ];
    TABLE
        .iter()
        .find(|(start, _)| message.starts_with(start))
        .map(|(_, stage)| *stage)
}

/// Another cause of the same stage was seen in clear.
fn by_primary(cause: &Cause, session: &SessionReport) -> Option<CauseVerdict> {
    let finding = primary(session)?;
    let settled = finding.confidence == "certain" && finding.candidates.is_empty();
    settled.then(|| {
        out(
            cause,
            format!("something else stopped it: {}", finding.summary),
            frames(finding),
        )
    })
}

/// Windows tells by its code when it gave up; a capture of another stage is of another try.
fn other_stage(entry: &Entry, sessions: &[&SessionReport]) -> Option<String> {
    let dial = entry.dial?;
    let [session] = sessions else { return None };
    let is_ppp = session.stage.starts_with("ppp-");
    let hides_ppp = session.kind.starts_with("ikev") && session.stage == "esp-data"
        || session.outcome == "established";
    let is_meant = session
        .cause
        .is_some_and(|code| entry.causes.iter().any(|cause| cause == code));
    let differs = match dial {
        // EAP in IKEv2 fails with the same codes.
        Dial::Ppp => !is_ppp && !hides_ppp && session.kind != "radius" && !is_meant,
        Dial::Tunnel => is_ppp,
    };
    differs.then(|| {
        format!(
            "Windows says {} {}, but this capture stops at {}: code and capture are of different attempts",
            entry.code,
            match dial {
                Dial::Ppp => "only once PPP runs",
                Dial::Tunnel => "before PPP starts",
            },
            session.stage
        )
    })
}

/// What a pasted line names: addresses and IKE SPIs. They join it to one session, or show
/// that it is of another one.
#[derive(Debug, Default)]
struct Named {
    addresses: Vec<IpAddr>,
    spis: Vec<String>,
}

impl Named {
    /// How many of each are looked at.
    const KEPT: usize = 16;

    fn find(query: &str) -> Self {
        let mut named = Self::default();
        let is_inside = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
        for token in query.split(|c: char| !is_inside(c)) {
            for part in token.split(':').filter(|part| part.len() == 16) {
                let is_spi =
                    part.chars().all(|c| c.is_ascii_hexdigit()) && part != "0000000000000000";
                if is_spi && named.spis.len() < Self::KEPT {
                    named.spis.push(part.to_ascii_lowercase());
                }
            }
            let bare = token.trim_matches(['.', ':']);
            let address = bare
                .parse::<std::net::SocketAddr>()
                .map(|at| at.ip())
                .or_else(|_| bare.parse());
            // `::` and the like are no address of anybody.
            if let Ok(address) = address
                && !address.is_unspecified()
                && bare.len() >= 7
                && named.addresses.len() < Self::KEPT
            {
                named.addresses.push(address);
            }
        }
        named
    }

    fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.spis.is_empty()
    }

    /// Whether a session has one of the SPIs, or, where none is named, one of the addresses.
    fn fits(&self, session: &SessionReport) -> bool {
        if !self.spis.is_empty() {
            let filter: String = session
                .wireshark_filter
                .chars()
                .filter(char::is_ascii_hexdigit)
                .collect();
            return self.spis.iter().any(|spi| filter.contains(spi.as_str()));
        }
        let ends = [
            Some(session.client.ip.as_str()),
            session.gateway.as_ref().map(|gateway| gateway.ip.as_str()),
        ];
        self.addresses
            .iter()
            .any(|address| ends.contains(&Some(address.to_string().as_str())))
    }

    fn missing(&self) -> String {
        let names: Vec<String> = if self.spis.is_empty() {
            self.addresses.iter().map(ToString::to_string).collect()
        } else {
            self.spis.clone()
        };
        format!(
            "the line names {}, which no session of this capture has: line and capture are of different attempts, or NAT stands between them",
            names.join(", ")
        )
    }
}
