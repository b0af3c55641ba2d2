//! ESP flows by SPI and destination, and the sessions they belong to.

use std::hash::BuildHasher;
use std::net::IpAddr;

use foldhash::fast::{FixedState, RandomState};
use hashbrown::HashMap;

use super::Core;
use super::esp::{EspFlow, Log, Logged, Over};
use super::esp_index::{Index, Key};
use super::esp_lay::lay;
use super::hold::Hold;
use super::lone::{self, Small};
use super::path::cannot_shrink;
use super::session::{Detail, Kind, Session, Side, Stamp};
use crate::decap::{Addresses, Envelope};
use crate::tables::Blocks;
use crate::time::Timestamp;

/// What an ESP header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet {
    pub(super) spi: u32,
    pub(super) sequence: u32,
    pub(super) len: u32,
    pub(super) over: Over,
}

/// ESP in a frame of plain shape, for the fast way: everything still borrowed.
#[derive(Debug, Clone, Copy)]
pub struct EspSight<'a> {
    /// Its frame and time.
    pub at: Stamp,
    /// Source and destination.
    pub addresses: Addresses<'a>,
    /// UDP ports, 0 for protocol 50.
    pub ports: (u16, u16),
    /// SPI.
    pub spi: u32,
    /// Sequence number.
    pub sequence: u32,
    /// Octets from the SPI on, on the wire.
    pub len: u32,
    /// Octets of the IP datagram.
    pub ip_len: u32,
    /// Whether a router has to drop it where it is too long.
    pub cannot_shrink: bool,
    /// Whether snaplen cut it.
    pub truncated: bool,
}

impl EspSight<'_> {
    /// Of nothing.
    pub(crate) const NONE: Self = Self {
        at: Stamp::new(0, 0, Timestamp(0)),
        addresses: Addresses::V4(&[0; 8]),
        ports: (0, 0),
        spi: 0,
        sequence: 0,
        len: 0,
        ip_len: 0,
        cannot_shrink: false,
        truncated: false,
    };

    #[inline]
    fn key(&self) -> Key {
        Key {
            spi: self.spi,
            destination: self.addresses.wide().1,
        }
    }
}

pub(super) fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Places from here on are of flows that belong to no session that is built.
const LONE: u32 = 1 << 31;

/// Tells one path (source and ports) from another.
#[expect(clippy::cast_possible_truncation, reason = "both halves are mixed in")]
fn path_tag(source: u128, ports: (u16, u16)) -> u64 {
    let ports = u64::from(ports.0) << 16 | u64::from(ports.1);
    (source as u64).rotate_left(32) ^ (source >> 64) as u64 ^ ports
}

// In this order, as the flow in it.
#[repr(C)]
#[derive(Debug)]
struct Entry {
    key: Key,
    path: u64,
    owner: u32,
    /// Whether both directions are laid side by side later.
    logged: bool,
    /// Whether every packet must be seen with its envelope, because a router told its sender
    /// a path MTU.
    watched: bool,
    flow: EspFlow,
    /// Octets that it took when it was weighed.
    weight: usize,
}

/// Flows of one session.
#[derive(Debug, Default)]
struct Owned {
    flows: Vec<u32>,
    /// Every packet of each is seen with its envelope.
    watched: bool,
    /// There was no room to lay their packets side by side.
    unlogged: bool,
    /// It is over.
    retired: bool,
}

/// A flow of which one packet was seen, between addresses that no session knows.
#[derive(Debug, Clone, Copy)]
struct Fresh {
    envelope: Envelope,
    packet: Packet,
}

/// Flows of one session that are told one by one: new ones are not, beyond.
const EACH: usize = 8192;
/// Sessions, the latest, that are asked whether a new flow is theirs.
const ASKED: usize = 256;
/// Messages, the latest, of each that are asked where it went.
const STEPS_ASKED: usize = 64;
/// What a flow takes beside itself: the places that lead to it.
const FOUND_BY: usize = 2 * size_of::<u32>();
/// Flows of one packet that are kept whole; beyond it a filter remembers that they were seen.
const FRESH_KEPT: usize = 128;
/// Places of that filter, eight octets each.
const FILTER: usize = 1 << 17;

/// Packets of ESP that are looked up together: as many as a processor waits for at a time.
pub const TOGETHER: usize = 16;

/// Flows whose words and records fill the second cache of most processors several times.
const VAST: usize = 32 << 10;

/// Octets that a flow takes with what leads to it.
const FLOW: usize = 768;

/// All ESP flows.
#[derive(Debug, Default)]
pub(super) struct Table {
    index: Index,
    entries: Blocks<Option<Entry>>,
    free: Vec<u32>,
    by_owner: HashMap<u32, Owned, RandomState>,
    /// Octets that all flows take.
    held: usize,
    /// Flows between addresses that no session knows.
    pub(super) lone: lone::Table,
    fresh: HashMap<Key, Fresh, RandomState>,
    filter: Vec<[u32; 2]>,
}

impl Table {
    /// Counts a packet of a known flow on its usual path; `false` asks for the envelope.
    #[expect(
        clippy::inline_always,
        reason = "measured: a sight is large, and goes nowhere but to who takes it"
    )]
    #[inline(always)]
    pub(super) fn sight(&mut self, core: &mut Core, hold: &Hold, sight: &EspSight<'_>) -> bool {
        let (source, destination) = sight.addresses.wide();
        let key = Key {
            spi: sight.spi,
            destination,
        };
        let Some(at) = self.find(&key) else {
            return self.is_single(core, hold, sight.addresses, &key);
        };
        if at >= LONE {
            return (self.lone).sight(at - LONE, sight, source, core.config.idle_established);
        }
        let Some(Some(entry)) = self.entries.get_mut(at) else {
            return false;
        };
        if entry.path != path_tag(source, sight.ports) || entry.watched {
            return false;
        }
        entry.flow.truncated += u64::from(sight.truncated);
        let (number, len) = (sight.sequence, sight.len);
        let mut grew = false;
        if (entry.flow).counted(sight.at, number, len, sight.ip_len, &mut grew) {
            core.counters.copies += 1;
        } else if entry.logged {
            grew |= entry.flow.log.note(Logged {
                at: sight.at,
                ip_len: sight.ip_len,
                cannot_shrink: sight.cannot_shrink,
                fragmented: false,
            });
        }
        if grew {
            self.weigh(core, at);
        }
        true
    }

    #[expect(
        clippy::inline_always,
        reason = "measured: each packet of ESP is looked up"
    )]
    #[inline(always)]
    fn find(&self, key: &Key) -> Option<u32> {
        self.index.get(key, |place| {
            if place >= LONE {
                self.lone.is_at(place - LONE, key)
            } else {
                let entry = self.entries.get(place).and_then(Option::as_ref);
                entry.is_some_and(|entry| entry.key == *key)
            }
        })
    }

    /// Whether they are more than caches hold.
    #[inline]
    pub(super) const fn is_vast(&self) -> bool {
        self.index.len() > VAST
    }

    /// Reads the words and the records that lead from these packets to their flows, all words
    /// before any record. That nothing depends on them is the point.
    #[inline]
    pub(super) fn foresee(&self, sights: &[EspSight<'_>]) {
        let mut places = [None; TOGETHER];
        for (place, sight) in places.iter_mut().zip(sights) {
            *place = self.index.home_of(&sight.key());
        }
        let records = places.iter().flatten().map(|place| {
            if *place >= LONE {
                self.lone.touch(*place - LONE)
            } else {
                let entry = self.entries.get(*place).and_then(Option::as_ref);
                entry.map_or(0, |entry| entry.path ^ entry.flow.packets)
            }
        });
        std::hint::black_box(records.fold(0, |all, record| all ^ record));
    }

    /// Whether a packet is the first of a flow that is not kept until a second one comes: see
    /// [`Table::unknown`].
    #[inline(never)]
    fn is_single(
        &mut self,
        core: &mut Core,
        hold: &Hold,
        addresses: Addresses<'_>,
        key: &Key,
    ) -> bool {
        let (source, destination) = (addresses.source(), addresses.destination());
        let may_be_known = self.fresh.len() < FRESH_KEPT
            || self.fresh.contains_key(key)
            || !core.between(source, destination).is_empty()
            || self.lone.find(source, destination).is_some()
            || hold.concerns(source, destination);
        if may_be_known || self.seen_before(key) {
            return false;
        }
        core.counters.single_esp += 1;
        true
    }

    /// Takes a packet. Gives the number of its session where that is not built.
    pub(super) fn handle(
        &mut self,
        core: &mut Core,
        envelope: &Envelope,
        packet: Packet,
    ) -> Option<u32> {
        let key = Key {
            spi: packet.spi,
            destination: wide(envelope.destination),
        };
        let Some(mut at) = self.find(&key) else {
            return self.unknown(core, envelope, packet, key);
        };
        if at >= LONE {
            let number = self.lone.handle(at - LONE, envelope, packet);
            if number.is_some() {
                return number;
            }
            // More than counting.
            let (a, b) = self.lone.ends(at - LONE)?;
            self.build(core, a, b);
            at = self.find(&key)?;
        }
        self.handle_known(core, envelope, packet, at);
        None
    }

    fn handle_known(&mut self, core: &mut Core, envelope: &Envelope, packet: Packet, at: u32) {
        let Some(Some(entry)) = self.entries.get_mut(at) else {
            return;
        };
        let flow = envelope.flow();
        let mut grew = entry.flow.current() != flow;
        if grew {
            entry.flow.moved(Stamp::from(envelope), flow);
            entry.path = tag_of(envelope);
        }
        let is_copy = entry.count(envelope, packet, &mut grew);
        core.counters.copies += u64::from(is_copy);
        core.slab.note_changed(entry.owner);
        if entry.watched {
            let (owner, from) = (entry.owner, entry.flow.from);
            if let Some(open) = core.slab.get_mut(owner) {
                open.session.path.of_mut(from).count(envelope);
            }
        }
        if grew {
            self.weigh(core, at);
        }
    }

    /// Finds out how much a flow takes now. Where all together take too much, the packets of its
    /// session's flows are not laid side by side: half of them would tell a wrong story.
    #[cold]
    fn weigh(&mut self, core: &mut Core, at: u32) {
        let entry = self.entries.get_mut(at).and_then(Option::as_mut);
        let Some(entry) = entry else { return };
        let weight = size_of::<Entry>() - size_of::<EspFlow>() + FOUND_BY + entry.flow.weight();
        self.held = (self.held + weight).saturating_sub(entry.weight);
        let grew = weight > entry.weight;
        entry.weight = weight;
        if !grew || !entry.logged || self.held <= core.config.esp_octets {
            return;
        }
        let Some(owned) = self.by_owner.get_mut(&entry.owner) else {
            return;
        };
        owned.unlogged = true;
        for at in &owned.flows {
            let Some(Some(entry)) = self.entries.get_mut(*at) else {
                continue;
            };
            entry.logged = false;
            entry.flow.log = Log::default();
            let lighter = size_of::<Entry>() - size_of::<EspFlow>() + FOUND_BY;
            let lighter = lighter + entry.flow.weight();
            self.held = (self.held + lighter).saturating_sub(entry.weight);
            entry.weight = lighter;
            core.counters.evicted_esp += 1;
        }
    }

    /// The first packet of a flow. Between addresses that no session knows, a second one is
    /// waited for: a scan with as many SPIs as packets must not fill the memory.
    fn unknown(
        &mut self,
        core: &mut Core,
        envelope: &Envelope,
        packet: Packet,
        key: Key,
    ) -> Option<u32> {
        // Even where a session between its addresses is known by now.
        if let Some(first) = self.fresh.remove(&key) {
            self.add(core, &first.envelope, first.packet, key);
            return self.handle(core, envelope, packet);
        }
        let (a, b) = (envelope.source, envelope.destination);
        if !core.between(a, b).is_empty() || self.lone.find(a, b).is_some() {
            return self.add(core, envelope, packet, key);
        }
        if self.fresh.len() < FRESH_KEPT {
            self.fresh.insert(
                key,
                Fresh {
                    envelope: *envelope,
                    packet,
                },
            );
        } else if self.seen_before(&key) {
            return self.add(core, envelope, packet, key);
        } else {
            core.counters.single_esp += 1;
        }
        None
    }

    /// Whether the filter knows a key; remembers it in the place of the older of two.
    fn seen_before(&mut self, key: &Key) -> bool {
        if self.filter.is_empty() {
            // Pages that are not touched are not taken.
            self.filter = vec![[0; 2]; FILTER];
        }
        // A fixed seed: two keys on one place are told apart or not, in every run alike.
        let hash = FixedState::default().hash_one(key);
        let place = usize::try_from(hash >> 32).unwrap_or_default() % FILTER;
        let tag = u32::try_from(hash & 0xffff_ffff).unwrap_or_default() | 1;
        let Some(slot) = self.filter.get_mut(place) else {
            return false;
        };
        let known = slot.contains(&tag);
        if !known {
            *slot = [tag, slot[0]];
        }
        known
    }

    /// Adds a flow. Gives the number of its session where that is not built.
    fn add(
        &mut self,
        core: &mut Core,
        envelope: &Envelope,
        packet: Packet,
        key: Key,
    ) -> Option<u32> {
        let held = self.held + self.lone.octets() + self.index.octets();
        if self.index.len() >= core.config.esp_flows || held > core.config.esp_octets {
            core.counters.evicted_esp += 1;
            return None;
        }
        let (a, b) = (envelope.source, envelope.destination);
        if core.between(a, b).is_empty()
            && let Some(small) = Small::new(envelope, packet)
            && let Some(number) = self.add_small(core, small, key)
        {
            return Some(number);
        }
        self.build(core, a, b);
        self.add_whole(core, envelope, packet, key);
        None
    }

    fn add_small(&mut self, core: &mut Core, small: Small, key: Key) -> Option<u32> {
        let opened = core.slab.numbered();
        let (at, number) = self.lone.add(small, || core.slab.take_number())?;
        if core.slab.numbered() > opened {
            core.opened();
        }
        self.index.insert(&key, at + LONE);
        core.lone = self.lone.len();
        Some(number)
    }

    /// Builds the session of the flows between two addresses, where there is one that is not.
    pub(super) fn build(&mut self, core: &mut Core, a: IpAddr, b: IpAddr) {
        if let Some(session) = self.lone.find(a, b) {
            self.build_one(core, session);
        }
    }

    /// Builds such a session.
    pub(super) fn build_one(&mut self, core: &mut Core, session: u32) {
        let Some(taken) = self.take_lone(core, session) else {
            return;
        };
        let (built, flows) = taken.build();
        let flows: Vec<EspFlow> = flows.collect();
        let seen = flows.iter().map(|flow| flow.first.time).max();
        let idle = core.config.idle_established;
        let owner = core.reopen(built, seen.unwrap_or_default(), idle);
        for flow in flows {
            let destination = wide(flow.flow.destination.0);
            let key = Key {
                spi: flow.spi,
                destination,
            };
            let (source, destination) = (flow.flow.source, flow.flow.destination);
            let entry = Entry {
                key,
                path: path_tag(wide(source.0), (source.1, destination.1)),
                owner,
                logged: false,
                watched: false,
                flow,
                weight: 0,
            };
            self.enter(core, entry);
        }
    }

    /// Takes a session that is not built out of the tables.
    pub(super) fn take_lone(&mut self, core: &mut Core, session: u32) -> Option<lone::Taken> {
        let taken = self.lone.take(session)?;
        for kept in &taken.flows {
            self.index.remove(&kept.key(), kept.at + LONE);
        }
        core.lone = self.lone.len();
        Some(taken)
    }

    /// The session that is not built and has been silent for too long, of a packet's flow.
    pub(super) fn stale(&self, core: &Core, envelope: &Envelope) -> Option<u32> {
        let session = (self.lone).find(envelope.source, envelope.destination)?;
        let last = self.lone.last_seen(session)?;
        (last + core.config.idle_established <= core.now).then_some(session)
    }

    fn add_whole(&mut self, core: &mut Core, envelope: &Envelope, packet: Packet, key: Key) {
        let (owner, from) = Self::owner(core, envelope, packet);
        let owned = self.by_owner.entry(owner).or_default();
        if owned.flows.len() >= EACH {
            core.counters.evicted_esp += 1;
            return;
        }
        let at = Stamp::from(envelope);
        let flow = EspFlow::new(
            packet.spi,
            from,
            packet.over,
            envelope.flow(),
            at,
            packet.sequence,
        );
        let open = core.slab.get(owner);
        let logged =
            !owned.unlogged && open.is_some_and(|open| !matches!(open.session.detail, Detail::Esp));
        core.counters.evicted_esp += u64::from(owned.unlogged);
        let told = open.is_some_and(|open| !open.session.path.of(from).limits.is_empty());
        let path = tag_of(envelope);
        let mut entry = Entry {
            flow,
            key,
            owner,
            path,
            logged,
            watched: told,
            weight: 0,
        };
        entry.count(envelope, packet, &mut false);
        let (now, idle) = (core.now, core.config.idle_established);
        core.slab.touch(owner, now, idle);
        self.enter(core, entry);
    }

    fn enter(&mut self, core: &mut Core, entry: Entry) {
        let (key, owner, told) = (entry.key, entry.owner, entry.watched);
        let index = self.free.pop().unwrap_or_else(|| self.entries.push(None));
        if let Some(slot) = self.entries.get_mut(index) {
            *slot = Some(entry);
        }
        self.index.insert(&key, index);
        let owned = self.by_owner.entry(owner).or_default();
        owned.flows.push(index);
        owned.watched &= told;
        self.weigh(core, index);
        core.slab.burden(owner, FLOW);
    }

    /// The session that a new SPI belongs to: the latest one between its addresses, and, in
    /// UDP, its ports. SPIs are exchanged encrypted, so addresses and time must do.
    fn owner(core: &mut Core, envelope: &Envelope, packet: Packet) -> (u32, Side) {
        let flow = envelope.flow();
        let list = core.between(envelope.source, envelope.destination);
        let mut best: Option<(u8, u32, Side)> = None;
        for index in list.iter().rev().copied().take(ASKED) {
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

    fn owned(&self, owner: u32) -> impl Iterator<Item = &Entry> {
        let owned = self.by_owner.get(&owner);
        let list = owned.map_or(&[][..], |owned| owned.flows.as_slice());
        list.iter().filter_map(|at| self.entries.get(*at)?.as_ref())
    }

    /// When a flow of a session was last used.
    pub(super) fn last_used(&self, owner: u32) -> Option<Timestamp> {
        self.owned(owner).map(|entry| entry.flow.last.time).max()
    }

    /// Gives a copy of a session what its flows teach so far.
    pub(super) fn snapshot(&self, owner: u32, session: &mut Session, now: Timestamp) {
        let mut flows: Vec<EspFlow> = self.owned(owner).map(|entry| entry.flow.clone()).collect();
        flows.sort_by_key(|flow| (flow.first, flow.spi));
        lay(session, &flows, now);
        session.esp = flows;
    }

    /// A router told one end of a session a path MTU: from now on sizes matter.
    pub(super) fn watch(&mut self, owner: u32) {
        let owned = self.by_owner.entry(owner).or_default();
        if owned.watched {
            return;
        }
        owned.watched = true;
        for at in &owned.flows {
            if let Some(Some(entry)) = self.entries.get_mut(*at) {
                entry.watched = true;
            }
        }
    }

    /// When the last packet of a session was seen that is still open.
    pub(super) fn last_of(&self, owner: u32) -> Option<Stamp> {
        let list = &self
            .by_owner
            .get(&owner)
            .filter(|owned| !owned.retired)?
            .flows;
        let entries = list.iter().filter_map(|at| self.entries.get(*at));
        entries.flatten().map(|entry| entry.flow.last).max()
    }

    /// The flows of a session that the end of the capture closes. They are released when it is
    /// asked for, and nobody else's until then.
    pub(super) fn retire(&mut self, owner: u32) -> Vec<EspFlow> {
        let mut flows: Vec<EspFlow> = self.owned(owner).map(|entry| entry.flow.clone()).collect();
        flows.sort_by_key(|flow| (flow.first, flow.spi));
        if let Some(owned) = self.by_owner.get_mut(&owner) {
            owned.retired = true;
        }
        flows
    }

    /// Gives the flows of a session that is being closed.
    pub(super) fn release(&mut self, owner: u32) -> Vec<EspFlow> {
        let list = self.by_owner.remove(&owner).unwrap_or_default().flows;
        let mut flows: Vec<EspFlow> = Vec::with_capacity(list.len());
        for at in list {
            if let Some(entry) = self.entries.get_mut(at).and_then(Option::take) {
                self.index.remove(&entry.key, at);
                self.held = self.held.saturating_sub(entry.weight);
                self.free.push(at);
                flows.push(entry.flow);
            }
        }
        flows.sort_by_key(|flow| (flow.first, flow.spi));
        flows
    }

    /// Takes what was seen once, so long ago that nothing more can belong to it, into sessions;
    /// gives those that were opened for it, which are over, and then some that are not built
    /// and have been silent for as long.
    pub(super) fn expire(&mut self, core: &mut Core, now: Timestamp) -> (Vec<u32>, Vec<u32>) {
        let before = now - core.config.idle_established;
        let over = self
            .fresh
            .extract_if(|_, fresh| fresh.envelope.time <= before);
        let mut over: Vec<(Key, Fresh)> = over.collect();
        over.sort_by_key(|(_, fresh)| (fresh.envelope.capture, fresh.envelope.frame));
        let mut owners = Vec::new();
        let mut lone = Vec::new();
        for (key, Fresh { envelope, packet }) in over {
            let opened = core.slab.numbered();
            self.add(core, &envelope, packet, key);
            if core.slab.numbered() == opened {
                continue;
            }
            let at = self.find(&key);
            let entry = at.and_then(|at| self.entries.get(at)?.as_ref());
            match entry {
                Some(entry) => owners.push(entry.owner),
                None => lone.extend(self.lone.find(envelope.source, envelope.destination)),
            }
        }
        lone.extend(self.lone.silent(now, core.config.idle_established));
        (owners, lone)
    }

    /// Opens sessions for what was seen once: the capture ended.
    pub(super) fn finish(&mut self, core: &mut Core) {
        let mut fresh: Vec<(Key, Fresh)> = self.fresh.drain().collect();
        fresh.sort_by_key(|(_, fresh)| (fresh.envelope.capture, fresh.envelope.frame));
        for (key, Fresh { envelope, packet }) in fresh {
            self.add(core, &envelope, packet, key);
        }
    }
}

impl Entry {
    fn count(&mut self, envelope: &Envelope, packet: Packet, grew: &mut bool) -> bool {
        let at = Stamp::from(envelope);
        self.flow.truncated += u64::from(envelope.truncated);
        self.flow.fragmented += u64::from(envelope.fragments > 1);
        let ip_len = if envelope.fragments > 1 {
            0
        } else {
            envelope.ip_len
        };
        let (number, len) = (packet.sequence, packet.len);
        if self.flow.counted(at, number, len, ip_len, grew) {
            return true;
        }
        if self.logged {
            *grew |= self.flow.log.note(Logged {
                at,
                ip_len: envelope.ip_len,
                cannot_shrink: cannot_shrink(envelope),
                fragmented: envelope.fragments > 1,
            });
        }
        false
    }
}

fn tag_of(envelope: &Envelope) -> u64 {
    path_tag(
        wide(envelope.source),
        (envelope.source_port, envelope.destination_port),
    )
}

/// How well a session fits as the owner of an ESP flow, and who would be its sender.
fn fit(session: &Session, flow: &crate::decap::Flow, packet: Packet) -> Option<(u8, Side)> {
    let side = session
        .steps
        .iter()
        .rev()
        .take(STEPS_ASKED)
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
            .take(STEPS_ASKED)
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
        Detail::L2tp(_) | Detail::Pppoe(_) | Detail::Radius | Detail::Tls(_) | Detail::Dns(_) => {
            return None;
        }
    };
    Some((score, side))
}
