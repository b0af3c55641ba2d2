//! ESP between addresses of which nothing else is known, as a span port shows it that was plugged
//! in while tunnels were up. There may be hundreds of thousands of such flows: each is a record of
//! 128 octets, and the session that they are is built where more happens to it than packets in
//! order, or where somebody wants to read it.

use std::net::IpAddr;

use super::esp::{EspFlow, Over};
use super::esp_index::Key;
use super::esp_table::{EspSight, Packet};
use super::session::{Detail, Ending, Endpoint, Kind, PerSide, Session, Side, Stamp};
use super::{End, Pair};
use crate::decap::Envelope;
use crate::tables::book::Book;
use crate::tables::sieve::between;
use crate::tables::{Blocks, Sieve};
use crate::time::{Span, Timestamp};

mod small;
#[cfg(test)]
mod tests;

pub(super) use small::Small;
use small::{Heads, NONE, Seen, halves};

/// Flows of one session: where there are more, it is built.
const FLOWS: u32 = 64;
/// Sessions that are looked at for silence in one go, at least.
const SWEPT: usize = 128;
/// All are looked at in so many goes.
const GOES: usize = 64;
/// Records of which some are free.
#[derive(Debug)]
struct Slots<T> {
    all: Blocks<T>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            all: Blocks::default(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    #[inline]
    fn get(&self, at: u32) -> Option<&T> {
        self.all.get(at)
    }

    #[inline]
    fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.all.get_mut(at)
    }

    fn add(&mut self, record: T) -> u32 {
        let Some(at) = self.free.pop() else {
            return self.all.push(record);
        };
        if let Some(slot) = self.get_mut(at) {
            *slot = record;
        }
        at
    }

    fn remove(&mut self, at: u32) {
        self.free.push(at);
    }
}

/// A session of such flows.
#[derive(Debug, Clone, Copy)]
struct Few {
    /// Its number; 0 where there is none.
    id: u32,
    first: u32,
    last: u32,
    flows: u32,
}

/// What is to be learned from a session that is over, before it is built.
#[derive(Debug, Clone, Copy)]
pub struct LoneSight {
    /// Who sent the first packet.
    pub client: Endpoint,
    /// Its peer.
    pub gateway: Endpoint,
    /// The first packet of the session.
    pub first: Timestamp,
    /// The earliest first packet of any flow.
    pub earliest: Timestamp,
    /// Packets of each.
    pub sent: PerSide<u64>,
}

/// A flow that was taken out of the tables.
#[derive(Debug)]
pub(super) struct Kept {
    flow: Small,
    head: Vec<(Stamp, u32)>,
    from: Side,
    /// Where it stood.
    pub(super) at: u32,
}

impl Kept {
    const fn new(flow: Small, at: u32) -> Self {
        Self {
            flow,
            head: Vec::new(),
            from: Side::Client,
            at,
        }
    }

    /// What it was found by.
    pub(super) const fn key(&self) -> Key {
        self.flow.key()
    }

    fn whole(self) -> EspFlow {
        self.flow.whole(self.from, self.head)
    }
}

/// A session of ESP alone that is over.
#[derive(Debug)]
pub struct Lone {
    /// Number in order of opening, from 1.
    pub id: u32,
    /// Name that the gateway was looked up by.
    pub(super) gateway_name: Option<String>,
    /// The flow that it began with.
    first: Small,
    flows: Vec<Kept>,
    ending: Ending,
    now: Timestamp,
}

impl Lone {
    pub(super) fn new(taken: Taken, ending: Ending, now: Timestamp) -> Self {
        Self {
            id: taken.id,
            gateway_name: None,
            first: taken.first,
            flows: taken.flows,
            ending,
            now,
        }
    }

    /// Its gateway, and when it began.
    pub(super) fn asked_for(&self) -> (IpAddr, Timestamp) {
        (self.first.addresses().1, self.first.first.time)
    }

    /// Who sent, and how each flow travelled, in the order of their first packets.
    pub fn sent(&self) -> impl Iterator<Item = (Side, Over)> {
        let mut flows: Vec<_> = self.flows.iter().collect();
        flows.sort_by_key(|kept| (kept.flow.first, kept.flow.spi));
        flows.into_iter().map(|kept| (kept.from, kept.flow.over()))
    }

    /// The session that this is.
    pub fn session(self) -> Box<Session> {
        let mut session = Box::new(blank(self.id, &self.first));
        let mut end = End {
            flows: self.flows.into_iter().map(Kept::whole).collect(),
            gateway_name: self.gateway_name,
            ..End::new(self.ending, self.now)
        };
        end.flows.sort_by_key(|flow| (flow.first, flow.spi));
        end.tell(&mut session);
        session
    }
}

/// A session that began with this flow, before any packet is counted.
fn blank(id: u32, first: &Small) -> Session {
    let flow = first.flow();
    let end = |(ip, port)| Endpoint { ip, port };
    let mut session = Session::empty(
        Kind::Esp,
        end(flow.source),
        end(flow.destination),
        first.first,
        Detail::Esp,
    );
    session.id = id;
    session.roles_known = false;
    session.vantage.started_late = true;
    session
}

/// Who sends, where this is the client's address.
fn side(flow: &Small, client: [u64; 2]) -> Side {
    if flow.source == client {
        Side::Client
    } else {
        Side::Gateway
    }
}

/// What a session was made of.
#[derive(Debug)]
pub(super) struct Taken {
    id: u32,
    first: Small,
    /// Its flows, the first one first.
    pub(super) flows: Vec<Kept>,
}

impl Taken {
    /// The session without its flows, and these.
    pub(super) fn build(self) -> (Session, impl Iterator<Item = EspFlow>) {
        let session = blank(self.id, &self.first);
        (session, self.flows.into_iter().map(Kept::whole))
    }
}

/// All sessions of ESP alone.
#[derive(Debug, Default)]
pub(super) struct Table {
    flows: Slots<Small>,
    sessions: Slots<Few>,
    open: usize,
    by_pair: Book<Pair, u32>,
    pairs: Sieve,
    heads: Heads,
    /// The session that is looked at next for silence.
    swept: u32,
}

impl Table {
    /// How many sessions there are.
    pub(super) const fn len(&self) -> usize {
        self.open
    }

    /// Octets that they take, with what leads to them.
    pub(super) fn octets(&self) -> usize {
        self.flows.all.octets()
            + self.sessions.all.octets()
            + self.by_pair.octets()
            + self.flows.all.len() * 2 * size_of::<u32>()
            + self.heads.lists.len() * EspFlow::HEAD * size_of::<(Stamp, u32)>()
    }

    /// Reads of the flow at a place what leads to its record.
    #[inline]
    pub(super) fn touch(&self, at: u32) -> u64 {
        self.flows.get(at).map_or(0, Small::touch)
    }

    /// Whether the flow at a place is that of a key.
    #[inline]
    pub(super) fn is_at(&self, at: u32, key: &Key) -> bool {
        (self.flows.get(at))
            .is_some_and(|flow| flow.spi == key.spi && flow.destination == halves(key.destination))
    }

    /// Counts a packet of the flow at a place, with `source` as a number; `false` where it asks
    /// for more than that.
    #[expect(
        clippy::inline_always,
        reason = "measured: each packet of ESP is looked up"
    )]
    #[inline(always)]
    pub(super) fn sight(
        &mut self,
        at: u32,
        sight: &EspSight<'_>,
        source: u128,
        idle: Span,
    ) -> bool {
        let Some(flow) = self.flows.get_mut(at) else {
            return false;
        };
        let silent = sight.at.time - flow.last.time;
        let is_its = flow.source == halves(source)
            && flow.ports == sight.ports
            && flow.v6 == sight.addresses.is_v6()
            && silent <= idle;
        if !is_its {
            return false;
        }
        let heads = &mut self.heads;
        flow.is_next(sight, silent, heads) || flow.count_sight(sight, heads)
    }

    /// The same, from an envelope. Gives the number of its session.
    pub(super) fn handle(&mut self, at: u32, envelope: &Envelope, packet: Packet) -> Option<u32> {
        let flow = self.flows.get_mut(at)?;
        if flow.flow() != envelope.flow() || envelope.fragments > 1 || packet.over == Over::Tcp {
            return None;
        }
        let (stamp, truncated) = (Stamp::from(envelope), envelope.truncated);
        let seen = Seen::new(
            stamp,
            packet.sequence,
            packet.len,
            envelope.ip_len,
            truncated,
        )?;
        if !flow.count(&seen, &mut self.heads) {
            return None;
        }
        let (a, b) = flow.addresses();
        Some(self.sessions.get(self.find(a, b)?)?.id)
    }

    /// Addresses of the flow at a place.
    pub(super) fn ends(&self, at: u32) -> Option<(IpAddr, IpAddr)> {
        self.flows.get(at).map(Small::addresses)
    }

    /// The session between two addresses.
    pub(super) fn find(&self, a: IpAddr, b: IpAddr) -> Option<u32> {
        if self.open == 0 || !self.pairs.may_hold(between(a, b)) {
            return None;
        }
        self.by_pair.get(&Pair::of(a, b)).copied()
    }

    /// Adds a flow, to the session between its addresses or to a new one, which is numbered then.
    /// Gives its place and the number of its session; `None` where that has too many.
    pub(super) fn add(
        &mut self,
        mut flow: Small,
        number: impl FnOnce() -> u32,
    ) -> Option<(u32, u32)> {
        let (a, b) = flow.addresses();
        let known = self.find(a, b);
        let full = |at| self.sessions.get(at).is_none_or(|few| few.flows >= FLOWS);
        if known.is_some_and(full) {
            return None;
        }
        flow.head = self.heads.begin(&flow);
        let at = self.flows.add(flow);
        if let Some(few) = known.and_then(|known| self.sessions.get_mut(known)) {
            if let Some(last) = self.flows.get_mut(few.last) {
                last.next = at;
            }
            few.last = at;
            few.flows += 1;
            return Some((at, few.id));
        }
        let id = number();
        let session = self.sessions.add(Few {
            id,
            first: at,
            last: at,
            flows: 1,
        });
        self.open += 1;
        self.pairs.add(between(a, b));
        self.by_pair.put(Pair::of(a, b), session);
        Some((at, id))
    }

    fn flows_of(&self, session: u32) -> impl Iterator<Item = (u32, &Small)> {
        let few = self.sessions.get(session).filter(|few| few.id != 0);
        let mut next = few.map_or(NONE, |few| few.first);
        std::iter::from_fn(move || {
            let at = next;
            let flow = self.flows.get(at)?;
            next = flow.next;
            Some((at, flow))
        })
    }

    /// When a session was last seen.
    pub(super) fn last_seen(&self, session: u32) -> Option<Timestamp> {
        self.flows_of(session).map(|(_, flow)| flow.last.time).max()
    }

    /// Takes a session out of the table.
    pub(super) fn take(&mut self, session: u32) -> Option<Taken> {
        let id = self.sessions.get(session)?.id;
        let (a, b) = self.ends(self.sessions.get(session)?.first)?;
        let list = self.flows_of(session);
        let mut flows: Vec<Kept> = list.map(|(at, flow)| Kept::new(*flow, at)).collect();
        let first = flows.first()?.flow;
        for kept in &mut flows {
            kept.from = side(&kept.flow, first.source);
            kept.head = self.heads.end(kept.flow.head);
            self.flows.remove(kept.at);
        }
        if self.by_pair.get(&Pair::of(a, b)) == Some(&session) {
            self.by_pair.remove(&Pair::of(a, b));
            self.pairs.remove(between(a, b));
        }
        if let Some(few) = self.sessions.get_mut(session) {
            few.id = 0;
        }
        self.sessions.remove(session);
        self.open -= 1;
        Some(Taken { id, first, flows })
    }

    fn all(&self) -> impl Iterator<Item = (u32, u32)> {
        let count = u32::try_from(self.sessions.all.len()).unwrap_or(NONE);
        (0..count).filter_map(|at| {
            let few = self.sessions.get(at).filter(|few| few.id != 0)?;
            Some((few.id, at))
        })
    }

    /// All sessions with their numbers, in their order.
    pub(super) fn in_order(&self) -> Vec<(u32, u32)> {
        let mut all: Vec<_> = self.all().collect();
        all.sort_unstable();
        all
    }

    /// What is to be learned from a session.
    pub(super) fn look(&self, session: u32) -> Option<LoneSight> {
        let (_, first) = self.flows_of(session).next()?;
        let flow = first.flow();
        let end = |(ip, port)| Endpoint { ip, port };
        let mut sight = LoneSight {
            client: end(flow.source),
            gateway: end(flow.destination),
            first: first.first.time,
            earliest: first.first.time,
            sent: PerSide::default(),
        };
        for (_, flow) in self.flows_of(session) {
            *sight.sent.of_mut(side(flow, first.source)) += u64::from(flow.packets);
            sight.earliest = sight.earliest.min(flow.first.time);
        }
        Some(sight)
    }

    /// Some sessions that have been silent for `idle`: each is asked in one of [`GOES`] calls.
    pub(super) fn silent(&mut self, now: Timestamp, idle: Span) -> Vec<u32> {
        let count = self.sessions.all.len();
        let each = (count / GOES).max(SWEPT).min(count);
        let mut silent = Vec::new();
        for _ in 0..each {
            let at = self.swept;
            self.swept = if (at as usize) + 1 < count { at + 1 } else { 0 };
            if self.last_seen(at).is_some_and(|last| last + idle <= now) {
                silent.push(at);
            }
        }
        silent
    }

    /// Sessions of which something may be said while they go on: silent for so long, or of one
    /// direction for so long.
    pub(super) fn settled(&self, now: Timestamp, after: Span) -> Vec<u32> {
        let is_settled = |at: &u32| {
            let one_way = self
                .look(*at)
                .filter(|sight| sight.sent.client == 0 || sight.sent.gateway == 0);
            let since = match one_way {
                Some(sight) => Some(sight.first),
                None => self.last_seen(*at),
            };
            since.is_some_and(|since| since + after <= now)
        };
        self.all().map(|(_, at)| at).filter(is_settled).collect()
    }
}
