//! RADIUS exchanges by their endpoints and identifiers, and the logins they serve.

use std::collections::VecDeque;
use std::hash::Hash;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use vpnscope_dissectors::radius::{AttributeType, Code, Packet};

use super::ppp::fold::text;
use super::radius::{Answer, Exchange};
use super::session::{Detail, Kind, Session, Side, Stamp, Step};
use super::{Core, Event, l2tp_table};
use crate::decap::Envelope;
use crate::time::Span;

/// Copies of a span port come within this time; no RADIUS timer is that short.
const COPY_SPAN: Span = Span::from_millis(20);
/// Requests and users that are remembered.
const KEPT: usize = 16_384;
/// A login of several rounds is one while its packets are this close together.
const SAME_LOGIN: Span = Span::from_secs(60);

/// A session, safe against its index being used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    index: u32,
    id: u32,
}

/// A map that forgets its oldest entries.
#[derive(Debug)]
struct Bounded<K, V> {
    map: HashMap<K, V, RandomState>,
    order: VecDeque<K>,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self {
            map: HashMap::default(),
            order: VecDeque::new(),
        }
    }
}

impl<K: Hash + Eq + Clone, V> Bounded<K, V> {
    fn insert(&mut self, key: K, value: V) {
        if self.map.insert(key.clone(), value).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.map.remove(&oldest);
        }
    }
}

/// Client address and port, server address, identifier.
type Key = (IpAddr, u16, IpAddr, u8);

/// Where each request belongs.
#[derive(Debug, Default)]
pub(super) struct Table {
    requests: Bounded<Key, (Owner, usize)>,
    users: Bounded<(IpAddr, IpAddr, String), Owner>,
}

impl Table {
    /// Adds a packet.
    pub(super) fn handle(
        &mut self,
        core: &mut Core,
        logins: &l2tp_table::Table,
        event: &Event<'_>,
        packet: &Packet<'_>,
    ) {
        match packet.code {
            Code::ACCESS_REQUEST => self.request(core, logins, event, packet),
            Code::ACCESS_ACCEPT | Code::ACCESS_REJECT | Code::ACCESS_CHALLENGE => {
                self.answer(core, event, packet);
            }
            _ => {}
        }
    }

    fn owned(core: &mut Core, owner: Owner) -> Option<&mut Session> {
        let open = core.slab.get_mut(owner.index)?;
        (open.session.id == owner.id).then_some(&mut *open.session)
    }

    fn request(
        &mut self,
        core: &mut Core,
        logins: &l2tp_table::Table,
        event: &Event<'_>,
        packet: &Packet<'_>,
    ) {
        let envelope = event.envelope;
        let at = Stamp::from(envelope);
        let key = (
            envelope.source,
            envelope.source_port,
            envelope.destination,
            packet.identifier,
        );
        if let Some((owner, number)) = self.requests.map.get(&key).copied()
            && again(core, owner, number, envelope, &packet.authenticator)
        {
            let now = core.now;
            let idle = core.slab.get(owner.index).map(|open| open.idle);
            core.slab.touch(owner.index, now, idle.unwrap_or_default());
            return;
        }
        let user = packet
            .attribute(AttributeType::USER_NAME)
            .map(|name| text(name.body));
        let owner = match served(core, logins, packet, user.as_deref()) {
            Some(owner) => owner,
            None => self.own(core, envelope, user.as_deref()),
        };
        let Some(session) = Self::owned(core, owner) else {
            return;
        };
        if session.radius.len() >= Exchange::KEPT {
            return;
        }
        session.radius.push(Exchange {
            client: envelope.source,
            server: envelope.destination,
            code: packet.code,
            user,
            at,
            repeats: crate::track::rare::Rare::USUAL,
            answer: None,
            authenticator: packet.authenticator,
        });
        let number = session.radius.len() - 1;
        note(session, event, packet, Side::Client);
        self.requests.insert(key, (owner, number));
        let now = core.now;
        let idle = core.slab.get(owner.index).map(|open| open.idle);
        core.slab.touch(owner.index, now, idle.unwrap_or_default());
    }

    /// A session of its own for a login that is not seen otherwise.
    fn own(&mut self, core: &mut Core, envelope: &Envelope, user: Option<&str>) -> Owner {
        let key = user.map(|user| (envelope.source, envelope.destination, user.to_string()));
        let known = key
            .as_ref()
            .and_then(|key| self.users.map.get(key).copied());
        if let Some(owner) = known {
            let is_same = Self::owned(core, owner).is_some_and(|session| {
                let open_end = session
                    .radius
                    .last()
                    .and_then(|exchange| exchange.answer.as_ref())
                    .is_none_or(|answer| answer.code == Code::ACCESS_CHALLENGE);
                open_end && envelope.time - session.last.time <= SAME_LOGIN
            });
            if is_same {
                return owner;
            }
        }
        let session = Session::open(Kind::Radius, envelope, Side::Client, Detail::Radius);
        let index = core.open(session, envelope);
        let id = core.slab.get(index).map_or(0, |open| open.session.id);
        let owner = Owner { index, id };
        if let Some(key) = key {
            self.users.insert(key, owner);
        }
        owner
    }

    fn answer(&mut self, core: &mut Core, event: &Event<'_>, packet: &Packet<'_>) {
        let envelope = event.envelope;
        let key = (
            envelope.destination,
            envelope.destination_port,
            envelope.source,
            packet.identifier,
        );
        let Some((owner, number)) = self.requests.map.get(&key).copied() else {
            return;
        };
        let Some(session) = Self::owned(core, owner) else {
            return;
        };
        let is_new = session
            .radius
            .get(number)
            .is_some_and(|exchange| exchange.answer.is_none());
        if is_new {
            let error = packet
                .attributes()
                .map_while(Result::ok)
                .find_map(|attribute| attribute.ms_chap_error())
                .map(|failure| failure.error.0);
            let reply = packet
                .attribute(AttributeType::REPLY_MESSAGE)
                .map(|message| text(message.body));
            if let Some(exchange) = session.radius.get_mut(number) {
                exchange.answer = Some(Answer {
                    code: packet.code,
                    at: Stamp::from(envelope),
                    text: reply,
                    error,
                });
            }
            note(session, event, packet, Side::Gateway);
        }
        let now = core.now;
        let idle = core.slab.get(owner.index).map(|open| open.idle);
        core.slab.touch(owner.index, now, idle.unwrap_or_default());
    }
}

/// A request seen before: a copy, or a retransmission.
fn again(
    core: &mut Core,
    owner: Owner,
    number: usize,
    envelope: &Envelope,
    authenticator: &[u8; 16],
) -> bool {
    let at = Stamp::from(envelope);
    let Some(session) = Table::owned(core, owner) else {
        return false;
    };
    let is_own = session.kind == Kind::Radius;
    let Some(exchange) = session
        .radius
        .get_mut(number)
        .filter(|exchange| exchange.authenticator == *authenticator)
    else {
        return false;
    };
    let first = exchange.at;
    let is_copy = (at.time - exchange.last().time).0.abs() <= COPY_SPAN.0;
    if !is_copy {
        exchange.repeats.note(at);
    }
    if is_own {
        session.touch(envelope, Side::Client);
        let step = session.steps.iter_mut().find(|step| step.at == first);
        match step {
            Some(step) if is_copy => step.copies += 1,
            Some(step) => step.repeats.note(at),
            None => {}
        }
    }
    if is_copy {
        core.counters.copies += 1;
    }
    true
}

/// A line in the ladder of a session of its own. In the ladder of a login RADIUS has no
/// place: it runs between others.
fn note(session: &mut Session, event: &Event<'_>, packet: &Packet<'_>, from: Side) {
    if session.kind != Kind::Radius {
        session.frames += 1;
        return;
    }
    session.touch(event.envelope, from);
    session.push_step(Step::new(
        event.envelope,
        event.frames,
        from,
        packet.code.to_string(),
        u32::from(packet.length),
    ));
}

/// The login that a request serves: a PPP login of the same name, or the latest session
/// between the client and the gateway that the request names.
fn served(
    core: &Core,
    logins: &l2tp_table::Table,
    packet: &Packet<'_>,
    user: Option<&str>,
) -> Option<Owner> {
    let of = |index: u32| {
        let open = core.slab.get(index)?;
        let id = open.session.id;
        Some(Owner { index, id })
    };
    let by_name = user.and_then(|user| logins.login_of(core, user));
    if let Some(index) = by_name {
        return of(index);
    }
    let (client, gateway) = stations(packet)?;
    let index = core.between(client, gateway).last().copied()?;
    of(index)
}

/// The addresses that a login is between.
pub(super) fn stations(packet: &Packet<'_>) -> Option<(IpAddr, IpAddr)> {
    let address = |wanted| {
        packet
            .attribute(wanted)
            .and_then(|station| ip(station.body))
    };
    let client = address(AttributeType::CALLING_STATION_ID)?;
    Some((client, address(AttributeType::CALLED_STATION_ID)?))
}

/// The address in a station ID: alone, or with a port as strongSwan writes it, `a[4500]`.
fn ip(octets: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(octets).ok()?;
    let address = text.split_once('[').map_or(text, |(address, _)| address);
    address.trim().parse().ok()
}
