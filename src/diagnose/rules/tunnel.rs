//! Does data go through the tunnel over TLS and DTLS, and who ended it?

use super::child::REKEY_FAILED;
use super::esp::NAT_MAPPING_CHANGED;
use super::liveness::{DPD_TIMEOUT, PEER_DELETED};
use super::path::PMTU_BLACKHOLE;
use crate::diagnose::mtu::LEAST;
use crate::diagnose::tls::{End, Phase, Story, is_tunnel, phase};
use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, say};
use crate::time::{Span, Timestamp};
use crate::track::session::{Session, Side, Stamp};
use crate::track::tls::{Connection, Run, Size};

/// The family. Its causes are those of other families.
pub(super) static FAMILY: Family = Family {
    name: "tunnel-data",
    causes: &[],
    check,
};

/// Octets that a datagram has at least which tries a size: a hint. Whoever looks for the MTU halves
/// what lies between [`LEAST`] and the size that was lost (OpenConnect tries 1030 octets after
/// 1459), and the least that it may try is [`LEAST`]. Liveness checks and keepalives have 25 octets
/// of DTLS. Anything between tells them apart.
const PROBE: u32 = 500;

/// Silence that the liveness checks of a tunnel do not leave by themselves.
const SILENT: Span = Span::from_secs(3);

fn check(session: &Session, context: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session, context) else {
        return;
    };
    let tunnel = story.facts.has_tunnel() || story.channel.is_some() && is_tunnel(&story);
    if findings.any_trouble() || !tunnel {
        return;
    }
    if dead(&story, findings) || ended_by_gateway(&story, findings) {
        return;
    }
    if !moved(&story, findings) {
        fell_back(&story, findings);
    }
    if !findings.any_trouble() {
        large_lost(&story, findings);
    }
    rekey(&story, findings);
}

/// `12:03:07`.
fn clock(time: Timestamp) -> String {
    time.to_string().get(11..19).unwrap_or_default().to_string()
}

/// One end was heard no more, over no channel, and the other one called it in vain.
fn dead(story: &Story<'_>, findings: &mut Findings) -> bool {
    let flow = &story.facts.flow;
    let sides = [
        (
            Side::Gateway,
            flow.gateway_last,
            flow.client_last,
            flow.udp_unanswered,
        ),
        (
            Side::Client,
            flow.client_last,
            flow.gateway_last,
            flow.udp_unheard,
        ),
    ];
    for (silent, heard, other, datagrams) in sides {
        let (Some(heard), Some(other)) = (heard, other) else {
            continue;
        };
        let called = other.time.max(story.session.last.time) - heard.time;
        if called < SILENT || other.time <= heard.time {
            continue;
        }
        if left(story, silent, heard) {
            continue;
        }
        let caller = silent.other();
        let segments = calls(story, caller, heard.time);
        if datagrams.count + segments < 3 {
            continue;
        }
        let mut finding = Finding::failure(
            &DPD_TIMEOUT,
            Stage::TunnelData,
            Basis::Absence { of: silent },
            say!(
                "The {} was heard last at {}; after that the {} sent {} datagram(s) and {segments} segment(s) over {called} in vain.",
                silent.word(),
                clock(heard.time),
                caller.word(),
                datagrams.count
            ),
        )
        .sure(story.sure_of_silence())
        .frame(heard, say!("last of the {}", silent.word()));
        for stamp in [datagrams.first, datagrams.last].into_iter().flatten() {
            finding = finding.frame(stamp, "datagram without an answer");
        }
        for connection in &story.facts.connections {
            for repeated in connection.repeats.iter().filter(|r| r.from == caller) {
                if let Some(last) = repeated.repeats.last.filter(|l| l.time > heard.time) {
                    finding = finding.frame(last, "segment repeated without an acknowledgment");
                }
            }
        }
        findings.push(finding);
        return true;
    }
    false
}

/// Whether an end took its leave: it closed the channel before it fell silent.
fn left(story: &Story<'_>, side: Side, heard: Stamp) -> bool {
    story.facts.connections.iter().any(|connection| {
        let fin = connection
            .fin
            .of(side)
            .is_some_and(|at| at.time <= heard.time);
        let reset = connection
            .reset
            .is_some_and(|reset| reset.from == side && reset.at.time <= heard.time);
        (fin || reset) && std::ptr::eq(connection, story.channel.unwrap_or(connection))
    })
}

/// Segments of an end after a time that were repeats, or SYNs without an answer.
fn calls(story: &Story<'_>, caller: Side, since: Timestamp) -> u32 {
    let mut count = 0;
    for connection in &story.facts.connections {
        for repeated in connection.repeats.iter().filter(|r| r.from == caller) {
            let later = repeated.repeats.stamps.iter().filter(|s| s.time > since);
            count += u32::try_from(later.count()).unwrap_or(u32::MAX);
        }
        if caller == Side::Client && phase(connection) == Phase::Unanswered {
            count += u32::from(connection.opening.syns);
        }
    }
    count
}

/// The gateway closed a tunnel that nobody had asked it to close.
fn ended_by_gateway(story: &Story<'_>, findings: &mut Findings) -> bool {
    let Some(connection) = story.channel else {
        return false;
    };
    let (Some((Side::Gateway, at)), how) = (
        story.end.by(),
        match story.end {
            End::Reset(..) => "RST",
            _ => "FIN",
        },
    ) else {
        return false;
    };
    let asked = connection
        .kept_records()
        .rfind(|record| record.from == Side::Client && record.at.time <= at.time)
        .is_some_and(|record| at.time - record.at.time <= Span::from_secs(1));
    let gateway_spoke = connection
        .kept_records()
        .filter(|record| record.at.time <= at.time && record.at.time > at.time - Span::from_secs(1))
        .map(|record| record.from)
        .next()
        == Some(Side::Gateway);
    let refused: Vec<&Connection> = story
        .facts
        .connections
        .iter()
        .filter(|later| {
            later.opening.syn.is_some_and(|syn| syn.time >= at.time)
                && matches!(phase(later), Phase::Refused | Phase::Unanswered)
        })
        .collect();
    if asked && !gateway_spoke {
        return false;
    }
    let summary = say!(
        "The gateway ended the tunnel at {} with a {how} that the client had not asked for",
        clock(at.time)
    );
    if refused.is_empty() {
        findings.push(
            Finding::info(
                &PEER_DELETED,
                Stage::TunnelData,
                Basis::Inferred,
                say!("{summary}."),
            )
            .frame(at, say!("TCP {how} of the gateway")),
        );
        return false;
    }
    let mut finding = Finding::failure(
        &PEER_DELETED,
        Stage::TunnelData,
        Basis::Seen,
        say!(
            "{summary}, and refused or ignored {} new connection(s) after it: its service is gone.",
            refused.len()
        ),
    )
    .frame(at, say!("TCP {how} of the gateway"));
    for later in refused {
        if let Some(reset) = later.reset {
            finding = finding.frame(reset.at, "new connection refused");
        } else if let Some(syn) = later.opening.syn {
            finding = finding.frame(syn, "new connection without an answer");
        }
    }
    findings.push(finding);
    true
}

/// The client's datagrams came from another place from some moment on.
fn moved(story: &Story<'_>, findings: &mut Findings) -> bool {
    let Some(moved) = story
        .facts
        .moves
        .iter()
        .find(|moved| moved.records >= 3 && !moved.answered)
    else {
        return false;
    };
    let again = story.facts.associations.iter().find(|association| {
        association
            .hello()
            .is_some_and(|h| h.at.time > moved.at.time)
    });
    let mut finding = Finding::degradation(
        &NAT_MAPPING_CHANGED,
        Stage::TunnelData,
        Basis::Inferred,
        say!(
            "From {} on the client's DTLS came from {} port {} instead of {} port {}, with the same keys and going sequence numbers; the gateway went on using the old place{}.",
            clock(moved.at.time),
            moved.after.source.0,
            moved.after.source.1,
            moved.before.source.0,
            moved.before.source.1,
            again.and_then(|a| a.hello()).map_or_else(String::new, |hello| say!(
                ", until the client made a new handshake {} later",
                hello.at.time - moved.at.time
            ))
        ),
    )
    .frame(moved.at, "first datagram from the new place");
    if let Some(hello) = again.and_then(|association| association.hello()) {
        finding = finding.frame(hello.at, "new DTLS ClientHello");
    }
    findings.push(finding);
    true
}

/// The data went back to TCP in mid-session.
fn fell_back(story: &Story<'_>, findings: &mut Findings) {
    let flow = &story.facts.flow;
    let last_udp = flow.udp.gateway.last;
    let tcp = &flow.tcp_since_udp;
    let resumed = carries_data(&tcp.client) && carries_data(&tcp.gateway);
    let Some(last_udp) = last_udp else { return };
    let waited = |run: &Run| run.first.is_some_and(|first| first.time > last_udp.time);
    let (run, at, how) = if let Some(gave_up) = &story.facts.gave_up {
        (gave_up.run, gave_up.at, "made a new DTLS handshake")
    } else if resumed && waited(&tcp.client) {
        let Some(at) = tcp.client.first.max(tcp.gateway.first) else {
            return;
        };
        if at.time - last_udp.time < Span::from_secs(1) && flow.udp_unanswered.count < 3 {
            return;
        }
        (flow.udp_unanswered, at, "went back to TCP")
    } else {
        return;
    };
    if story.facts.gave_up.is_some() && run.spread() < Span::from_secs(1) {
        return;
    }
    let mut finding = Finding::degradation(
        &DPD_TIMEOUT,
        Stage::TunnelData,
        Basis::Absence { of: Side::Gateway },
        say!(
            "DTLS worked until {} and then nothing came back over UDP{}; at {} the client {how}.",
            clock(run.first.map_or(last_udp.time, |first| first.time)),
            match run.count {
                0 => String::new(),
                1 => " to one datagram".to_owned(),
                count => say!(" to {count} datagrams over {}", run.spread()),
            },
            clock(at.time)
        ),
    )
    .sure(story.sure_of_silence())
    .candidates(&["nat-mapping-changed"])
    .frame(at, say!("the client {how}"));
    for (stamp, what) in [
        (Some(last_udp), "last of the gateway over UDP"),
        (run.first, "first datagram without an answer"),
        (run.last, "last datagram without an answer"),
        (tcp.client.first, "data over TCP"),
    ] {
        if let Some(stamp) = stamp {
            finding = finding.frame(stamp, what);
        }
    }
    findings.push(finding);
}

/// Whether a run of records is more than keepalives: several, and not all of them short.
const fn carries_data(run: &Run) -> bool {
    run.count >= 3 && run.longest > 48
}

/// Large datagrams of one end were never followed by anything, smaller ones were.
fn large_lost(story: &Story<'_>, findings: &mut Findings) {
    if story.is_dtls_alone() {
        return;
    }
    for side in [Side::Client, Side::Gateway] {
        let all = story.facts.flow.sizes.of(side);
        let sizes = &all.list;
        let Some(threshold) = sizes
            .iter()
            .filter(|size| size.followed > 0)
            .map(|size| size.ip_len)
            .max()
        else {
            continue;
        };
        let over: Vec<&Size> = sizes
            .iter()
            .filter(|size| size.ip_len > threshold && size.ip_len > LEAST)
            .collect();
        let lost: u32 = over.iter().map(|size| all.lost(size)).sum();
        let small = sizes.iter().filter(|size| size.ip_len <= threshold);
        let (sent, followed) = small.fold((0, 0), |(sent, followed), size| {
            (sent + size.sent, followed + size.followed)
        });
        let answered = sizes
            .iter()
            .filter(|size| size.followed > 0 && size.ip_len > PROBE);
        let probing = lost >= 6 && over.len() >= 3 && answered.count() >= 2
            || lost >= 4 && over.len() >= 2 && followed * 2 >= sent
            || lost >= 3 && followed * 10 >= sent * 8;
        if !probing {
            continue;
        }
        let least = over
            .iter()
            .map(|size| size.ip_len)
            .min()
            .unwrap_or_default();
        let mut finding = Finding::degradation(
            &PMTU_BLACKHOLE,
            Stage::TunnelData,
            Basis::Inferred,
            say!(
                "{lost} datagrams of the {} with {least} octets and more were never answered, those up to {threshold} were: the path takes no more than that, and no ICMP says so.",
                side.word()
            ),
        )
        .remedy(say!(
            "Set the tunnel's base MTU to {threshold} octets or less on the gateway."
        ));
        for size in over.iter().take(8) {
            finding = finding.frame(
                size.first,
                say!("datagram of {} octets, never answered", size.ip_len),
            );
        }
        findings.push(finding);
        return;
    }
}

/// A rekey of DTLS that one end repeats and nobody finishes.
fn rekey(story: &Story<'_>, findings: &mut Findings) {
    let stuck = story.facts.associations.iter().find(|association| {
        let (Some(client), Some(gateway)) = (association.rekey.client, association.rekey.gateway)
        else {
            return false;
        };
        let begun = client.time.min(gateway.time);
        let data = [association.data.client.last, association.data.gateway.last];
        let after = data
            .into_iter()
            .flatten()
            .any(|at| at.time > begun + Span::from_secs(1));
        let repeats = association
            .late_handshake
            .gateway
            .max(association.late_handshake.client);
        repeats >= 5 && !after
    });
    let Some(association) = stuck else { return };
    let Some(at) = association.rekey.client.min(association.rekey.gateway) else {
        return;
    };
    let mut finding = Finding::failure(
        &REKEY_FAILED,
        Stage::TunnelData,
        Basis::Inferred,
        say!(
            "A rekey of DTLS began at {}, its messages were repeated {} times, and no data followed.",
            clock(at.time),
            association.late_handshake.gateway.max(association.late_handshake.client)
        ),
    )
    .sure(Confidence::Likely)
    .frame(at, "first message of the rekey");
    if let Some(last) = association.last.gateway {
        finding = finding.frame(last, "last of the gateway over UDP");
    }
    findings.push(finding);
}
