//! ESP flows by SPI and destination, and the sessions they belong to.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::Core;
use super::esp::{EspFlow, EspKey, Over};
use super::session::{Detail, Kind, Session, Side, Stamp};
use crate::decap::Envelope;

/// What an ESP header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet {
    pub(super) spi: u32,
    pub(super) sequence: u32,
    pub(super) len: u32,
    pub(super) over: Over,
}

#[derive(Debug)]
struct Entry {
    flow: EspFlow,
    owner: u32,
}

/// All ESP flows.
#[derive(Debug, Default)]
pub(super) struct Table {
    flows: HashMap<EspKey, Entry, RandomState>,
    by_owner: HashMap<u32, Vec<EspKey>, RandomState>,
    not_tracked: u64,
}

impl Table {
    pub(super) fn handle(&mut self, core: &mut Core, envelope: &Envelope, packet: Packet) {
        let key = EspKey {
            spi: packet.spi,
            destination: envelope.destination,
        };
        let at = Stamp::from(envelope);
        let flow = envelope.flow();
        if let Some(entry) = self.flows.get_mut(&key) {
            if entry.flow.current() != flow {
                entry.flow.moved(at, flow);
            }
            let copy = entry
                .flow
                .count(at, packet.sequence, packet.len, envelope.ip_len);
            core.counters.copies += u64::from(copy);
            let now = core.now;
            if let Some(open) = core.slab.get_mut(entry.owner) {
                open.session.touch(envelope, entry.flow.from);
                if !copy {
                    open.session.run_esp(entry.flow.from, at);
                    open.session.size_esp(entry.flow.from, at, envelope);
                }
                let idle = open.idle.max(core.config.idle_established);
                core.slab.touch(entry.owner, now, idle);
            }
            return;
        }
        self.add(core, envelope, packet, key);
    }

    fn add(&mut self, core: &mut Core, envelope: &Envelope, packet: Packet, key: EspKey) {
        if self.flows.len() >= core.config.esp_flows {
            core.counters.evicted_esp += 1;
            self.not_tracked += 1;
            return;
        }
        let (owner, from) = Self::owner(core, envelope, packet);
        let at = Stamp::from(envelope);
        let mut flow = EspFlow::new(
            packet.spi,
            from,
            packet.over,
            envelope.flow(),
            at,
            packet.sequence,
        );
        flow.count(at, packet.sequence, packet.len, envelope.ip_len);
        if let Some(open) = core.slab.get_mut(owner) {
            open.session.touch(envelope, from);
            open.session.run_esp(from, at);
            open.session.size_esp(from, at, envelope);
        }
        let (now, idle) = (core.now, core.config.idle_established);
        core.slab.touch(owner, now, idle);
        self.flows.insert(key, Entry { flow, owner });
        self.by_owner.entry(owner).or_default().push(key);
    }

    /// The session that a new SPI belongs to: the latest one between its addresses, and, in
    /// UDP, its ports. SPIs are exchanged encrypted, so addresses and time must do.
    fn owner(core: &mut Core, envelope: &Envelope, packet: Packet) -> (u32, Side) {
        let flow = envelope.flow();
        let list = core.between(envelope.source, envelope.destination);
        let mut best: Option<(u8, u32, Side)> = None;
        for index in list.iter().rev().copied() {
            let Some(open) = core.slab.get(index) else {
                continue;
            };
            let session = &open.session;
            let Some((score, side)) = fit(session, &flow, packet) else {
                continue;
            };
            if best.is_none_or(|(top, ..)| score > top) {
                best = Some((score, index, side));
            }
        }
        if let Some((_, index, side)) = best {
            return (index, side);
        }
        let mut session = Session::open(Kind::Esp, envelope, Side::Client, Detail::Esp);
        session.roles_known = false;
        session.vantage.started_late = true;
        (core.open(session, envelope), Side::Client)
    }

    /// Gives the flows of a session that is being closed.
    pub(super) fn release(&mut self, core: &mut Core, owner: u32) -> Vec<EspFlow> {
        let keys = self.by_owner.remove(&owner).unwrap_or_default();
        let mut flows: Vec<EspFlow> = keys
            .iter()
            .filter_map(|key| self.flows.remove(key))
            .map(|e| e.flow)
            .collect();
        flows.sort_by_key(|flow| (flow.first, flow.spi));
        if let Some(open) = core.slab.get_mut(owner) {
            open.session.vantage.copies += flows.iter().map(|flow| flow.copies).sum::<u64>();
        }
        flows
    }
}

/// How well a session fits as the owner of an ESP flow, and who would be its sender.
fn fit(session: &Session, flow: &crate::decap::Flow, packet: Packet) -> Option<(u8, Side)> {
    let side = session
        .steps
        .iter()
        .rev()
        .find_map(|step| {
            if step.flow.source.0 == flow.source.0 && step.flow.destination.0 == flow.destination.0
            {
                Some(step.from)
            } else if step.flow.source.0 == flow.destination.0
                && step.flow.destination.0 == flow.source.0
            {
                Some(step.from.other())
            } else {
                None
            }
        })
        .or_else(|| session.side_of(flow.source.0))?;
    let ports = packet.over != Over::Udp
        || session
            .steps
            .iter()
            .rev()
            .any(|s| s.flow == *flow || s.flow == flow.reversed());
    let score = match &session.detail {
        Detail::Ike1(facts) => 2 + u8::from(facts.has_child()) + 2 * u8::from(ports),
        Detail::Ike2(facts) => {
            let authenticated = facts
                .of_kind(super::ike2::kind::AUTH)
                .any(|e| e.response.is_some());
            2 + u8::from(authenticated) + 2 * u8::from(ports)
        }
        Detail::Esp => 1 + u8::from(ports),
        Detail::L2tp(_) => return None,
    };
    Some((score, side))
}
