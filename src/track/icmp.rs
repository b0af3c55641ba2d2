//! ICMP errors and incomplete datagrams, given to the session they are about.

use std::net::IpAddr;

use vpnscope_dissectors::ike;

use super::session::{IcmpFact, Session, Side, Stamp};
use super::{Core, Event, Incomplete, ike_table};
use crate::decap::{Icmp, Quoted};

/// Finds the session an ICMP error is about and notes the fact there.
///
/// Gives the session where it told a path MTU.
pub(super) fn handle(
    core: &mut Core,
    ike: &ike_table::Table,
    event: &Event<'_>,
    icmp: &Icmp<'_>,
) -> Option<u32> {
    let quoted = icmp.quoted?;
    let Some((index, about)) = owner(core, ike, &quoted, event.envelope.destination) else {
        core.counters.unrelated_icmp += 1;
        return None;
    };
    let session = &mut core.slab.get_mut(index)?.session;
    let at = Stamp::from(event.envelope);
    session.frames += 1;
    session.last = session.last.max(at);
    let fact = IcmpFact {
        at,
        reporter: event.envelope.source,
        v6: icmp.v6,
        icmp_type: icmp.icmp_type,
        code: icmp.code,
        mtu: icmp.mtu,
        about,
        protocol: quoted.protocol,
        ports: (quoted.source_port, quoted.destination_port),
        quoted_len: quoted.ip_len,
        repeats: crate::track::rare::Rare::USUAL,
    };
    let told = fact.is_too_big().then_some(index);
    if let (true, Some(mtu)) = (fact.is_too_big(), fact.mtu) {
        session
            .path
            .of_mut(about)
            .told(fact.at, mtu, fact.quoted_len);
    }
    note(session, fact);
    told
}

/// Whether an error is about nothing that was seen.
pub(super) fn is_unrelated(
    core: &Core,
    ike: &ike_table::Table,
    event: &Event<'_>,
    icmp: &Icmp<'_>,
) -> bool {
    let told = event.envelope.destination;
    icmp.quoted
        .is_some_and(|quoted| owner(core, ike, &quoted, told).is_none())
}

fn note(session: &mut Session, fact: IcmpFact) {
    let room = session.icmp.len() < Session::FACTS_KEPT;
    let same = session.icmp.iter_mut().find(|known| {
        known.reporter == fact.reporter
            && (known.v6, known.icmp_type, known.code) == (fact.v6, fact.icmp_type, fact.code)
            && known.mtu == fact.mtu
            && known.about == fact.about
            && known.protocol == fact.protocol
            && known.ports == fact.ports
    });
    match same {
        Some(known) => known.repeats.note(fact.at),
        None if room => session.icmp.push(fact),
        None => {}
    }
}

/// By SPI where the quote holds an IKE header, else by addresses and ports.
fn owner(
    core: &Core,
    ike: &ike_table::Table,
    quoted: &Quoted<'_>,
    told: IpAddr,
) -> Option<(u32, Side)> {
    if quoted.protocol == 17 {
        let octets = quoted.payload;
        let body = octets.strip_prefix(&[0; 4]).unwrap_or(octets);
        if let Ok(header) = ike::Header::parse(body) {
            let found = ike.find(header.initiator_spi.0, header.responder_spi.0);
            if let Some(index) = found {
                // Where a translator left the quotation as it was, the error still goes to
                // whoever sent the datagram.
                let about = side(core, index, quoted)
                    .or_else(|| core.slab.get(index)?.session.side_of(told));
                return Some((index, about?));
            }
        }
    }
    let list = core.between(quoted.source, quoted.destination);
    let by_ports = list.iter().rev().copied().find(|index| {
        core.slab
            .get(*index)
            .is_some_and(|open| uses(&open.session, quoted))
    });
    if let Some(index) = by_ports.or_else(|| list.last().copied().filter(|_| quoted.protocol == 50))
    {
        return Some((index, side(core, index, quoted)?));
    }
    if list.is_empty() {
        return foreign(core, quoted, told);
    }
    None
}

/// The session of a quotation whose addresses nobody knows here: a translator, or whoever
/// rewrote the capture, left them as they were. The receiver and the ports still tell.
fn foreign(core: &Core, quoted: &Quoted<'_>, told: IpAddr) -> Option<(u32, Side)> {
    const FEW: usize = 64;
    if core.slab.len() + core.lone > FEW {
        return None;
    }
    let ports = (quoted.source_port, quoted.destination_port);
    core.slab.indices().into_iter().rev().find_map(|index| {
        let session = &core.slab.get(index)?.session;
        let about = session.side_of(told)?;
        let step = session.steps.iter().rev().find(|step| {
            let here = (step.flow.source.1, step.flow.destination.1);
            (step.from == about && here == ports)
                || (step.from != about && (here.1, here.0) == ports)
        });
        let by_esp = quoted.protocol == 50 && session.ike2().is_some();
        (step.is_some() || by_esp).then_some((index, about))
    })
}

fn uses(session: &Session, quoted: &Quoted<'_>) -> bool {
    let source = (quoted.source, quoted.source_port);
    let destination = (quoted.destination, quoted.destination_port);
    session.steps.iter().rev().any(|step| {
        (step.flow.source, step.flow.destination) == (source, destination)
            || (step.flow.source, step.flow.destination) == (destination, source)
    })
}

fn side(core: &Core, index: u32, quoted: &Quoted<'_>) -> Option<Side> {
    let session = &core.slab.get(index)?.session;
    let by_step = session.steps.iter().rev().find_map(|step| {
        if step.flow.source.0 == quoted.source {
            Some(step.from)
        } else if step.flow.destination.0 == quoted.source {
            Some(step.from.other())
        } else {
            None
        }
    });
    by_step.or_else(|| session.side_of(quoted.source))
}

/// Notes fragments that never became a datagram with the session of their SPIs, or the latest
/// one of their addresses.
pub(super) fn incomplete(core: &mut Core, ike: &ike_table::Table, incomplete: &Incomplete) {
    let flow = incomplete.flow;
    let list = core.between(flow.source.0, flow.destination.0);
    let by_spi = incomplete
        .ike_spis
        .and_then(|(initiator, responder)| ike.find(initiator, responder));
    let Some(index) = by_spi.or_else(|| list.last().copied()) else {
        return;
    };
    let Some(open) = core.slab.get_mut(index) else {
        return;
    };
    let session = &mut open.session;
    let Some(from) = session.side_of(flow.source.0) else {
        return;
    };
    let mut fact = incomplete.fact.clone();
    fact.from = from;
    session.frames += fact.frames.len() as u64;
    *session.vantage.frames.of_mut(from) += fact.frames.len() as u64;
    if session.incomplete.len() < Session::FACTS_KEPT {
        session.incomplete.push(fact);
    }
}
