//! L2TP sessions by their endpoints and tunnel IDs.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use vpnscope_dissectors::l2tp::{self, Message, MessageType};

use super::keys::Keys;
use super::l2tp::L2tp;
use super::l2tp::fold::{Attributes, Incoming, fold};
use super::session::{Detail, Endpoint, Kind, Session, Side};
use super::{Core, Event};
use crate::decap::{Envelope, Flow};
use crate::time::Span;

/// A tunnel as seen from one direction: the client's address and port, the gateway's address,
/// who receives, and the ID that the receiver gave.
type Key = (IpAddr, u16, IpAddr, Side, u32);

/// Logins that are remembered.
const LOGINS_KEPT: usize = 256;

/// Whether a data message holds a packet of an authentication protocol.
fn is_login(message: &Message<'_>) -> bool {
    !message.is_control()
        && vpnscope_dissectors::ppp::Frame::parse(message.body)
            .is_ok_and(|frame| frame.protocol.authenticates())
}

/// Where each tunnel ID belongs.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_id: Keys<Key>,
    /// Users that logged in lately, newest last, and their sessions. Bounded.
    logins: VecDeque<(String, u32)>,
}

impl Table {
    /// Adds a message.
    pub(super) fn handle(
        &mut self,
        core: &mut Core,
        event: &Event<'_>,
        message: Message<'_>,
        octets: &[u8],
    ) {
        let attributes = message.is_control().then(|| Attributes::read(&message));
        let Some((index, from)) = self.place(core, event.envelope, &message, attributes.as_ref())
        else {
            return;
        };
        // A fixed seed: reports are the same in every run.
        let digest = FixedState::default().hash_one(octets);
        let incoming = Incoming {
            envelope: event.envelope,
            frames: event.frames,
            from,
            message,
            octets,
            digest,
        };
        let (now, config) = (core.now, &core.config);
        let Some(open) = core.slab.get_mut(index) else {
            return;
        };
        let detail = std::mem::replace(&mut open.session.detail, Detail::Esp);
        let Detail::L2tp(mut facts) = detail else {
            open.session.detail = detail;
            return;
        };
        let is_copy = fold(
            &mut open.session,
            &mut facts,
            &incoming,
            attributes.as_ref(),
        );
        let idle = patience(&facts, config);
        if is_login(&incoming.message) {
            self.remember(&facts, index);
        }
        open.session.detail = Detail::L2tp(facts);
        core.counters.copies += u64::from(is_copy);
        if attributes.is_some() {
            self.register(core, index);
        }
        core.slab.touch(index, now, idle);
        core.join_pair(index, event.envelope);
    }

    /// The session of a message and its sender; opens one where it is new. `None` for data
    /// of no known tunnel on a port that is not L2TP's.
    fn place(
        &mut self,
        core: &mut Core,
        envelope: &Envelope,
        message: &Message<'_>,
        attributes: Option<&Attributes>,
    ) -> Option<(u32, Side)> {
        let message_type = attributes.and_then(|all| all.message_type);
        let assigned = attributes.and_then(|all| all.tunnel);
        if message_type == Some(MessageType::SCCRQ) && message.tunnel_id == Some(0) {
            return Some(self.request(core, envelope, assigned));
        }
        let id = message.tunnel_id.or(message.session_id)?;
        let to_gateway = key(envelope, Side::Gateway, id);
        let to_client = key(envelope, Side::Client, id);
        if let Some(index) = self.by_id.get(&to_gateway) {
            return Some((index, Side::Client));
        }
        if let Some(index) = self.by_id.get(&to_client) {
            return Some((index, Side::Gateway));
        }
        if let Some(found) = assigned.and_then(|own| self.by_own_id(envelope, own)) {
            return Some(found);
        }
        self.adopt(core, envelope, message, id)
            .or_else(|| self.late(core, envelope, message, message_type))
    }

    /// A request for a tunnel: a repetition, or a new attempt.
    fn request(
        &mut self,
        core: &mut Core,
        envelope: &Envelope,
        assigned: Option<u32>,
    ) -> (u32, Side) {
        let known = assigned
            .map(|id| {
                (
                    envelope.source,
                    envelope.source_port,
                    envelope.destination,
                    Side::Client,
                    id,
                )
            })
            .and_then(|key| self.by_id.get(&key));
        if let Some(index) = known {
            let is_over = core
                .slab
                .get(index)
                .and_then(|open| open.session.l2tp())
                .is_none_or(|facts| facts.stop.is_some());
            if !is_over {
                Self::began(core, index, envelope);
                return (index, Side::Client);
            }
        }
        if let Some(index) = Self::overtaken(core, envelope) {
            return (index, Side::Client);
        }
        let session = Session::open(
            Kind::L2tp,
            envelope,
            Side::Client,
            Detail::L2tp(Box::default()),
        );
        (core.open(session, envelope), Side::Client)
    }

    /// The tunnel whose answer stands before this request: times that run a little wrong. It
    /// did not begin before the capture after all.
    fn overtaken(core: &mut Core, envelope: &Envelope) -> Option<u32> {
        let flow = envelope.flow();
        let list = core.between(envelope.source, envelope.destination);
        let index = list.iter().rev().take(8).copied().find(|index| {
            core.slab.get(*index).is_some_and(|open| {
                let session = &open.session;
                session.vantage.started_late
                    && session
                        .l2tp()
                        .is_some_and(|facts| facts.of_type(MessageType::SCCRQ).next().is_none())
                    && sender_within(session, &flow) == Some(Side::Client)
            })
        })?;
        Self::began(core, index, envelope).then_some(index)
    }

    /// The first request of a session that seemed to have started before the capture.
    fn began(core: &mut Core, index: u32, envelope: &Envelope) -> bool {
        const OVERTAKE: Span = Span::from_millis(50);
        let Some(open) = core.slab.get_mut(index) else {
            return false;
        };
        let session = &mut open.session;
        let near = (envelope.time - session.first.time).0.abs() <= OVERTAKE.0;
        if near && session.vantage.started_late {
            session.vantage.started_late = false;
            session.roles_known = true;
        }
        near
    }

    /// By the ID that the sender gave to be addressed by, which `SCCRP` and `StopCCN` repeat: a
    /// client that never got an answer knows no ID of the gateway's.
    fn by_own_id(&self, envelope: &Envelope, own: u32) -> Option<(u32, Side)> {
        let client = (envelope.source, envelope.source_port, envelope.destination);
        let gateway = (
            envelope.destination,
            envelope.destination_port,
            envelope.source,
        );
        let of = |(ip, port, peer), side| self.by_id.get(&(ip, port, peer, side, own));
        of(client, Side::Client)
            .map(|index| (index, Side::Client))
            .or_else(|| of(gateway, Side::Gateway).map(|index| (index, Side::Gateway)))
    }

    /// A tunnel between the same endpoints whose receiver's ID is not known yet: its answer
    /// was not captured.
    fn adopt(
        &mut self,
        core: &Core,
        envelope: &Envelope,
        message: &Message<'_>,
        id: u32,
    ) -> Option<(u32, Side)> {
        let flow = envelope.flow();
        let list = core.between(envelope.source, envelope.destination);
        let (index, from) = list.iter().rev().take(64).copied().find_map(|index| {
            let session = &core.slab.get(index)?.session;
            let facts = session.l2tp()?;
            let from = sender_within(session, &flow)?;
            let version = message.flags.version();
            let fits = facts.version == version && facts.tunnel.of(from.other()).is_none();
            fits.then_some((index, from))
        })?;
        // A StopCCN of a client that never got an answer goes to tunnel 0, which is nobody's.
        if id != 0 {
            self.by_id.insert(key(envelope, from.other(), id), index);
        }
        Some((index, from))
    }

    /// A message of a tunnel whose beginning was not captured.
    fn late(
        &mut self,
        core: &mut Core,
        envelope: &Envelope,
        message: &Message<'_>,
        message_type: Option<MessageType>,
    ) -> Option<(u32, Side)> {
        let on_port = [envelope.source_port, envelope.destination_port].contains(&l2tp::PORT);
        if !message.is_control() && !on_port && envelope.protocol == 17 {
            return None;
        }
        let (from, is_known) = sender(envelope, message_type);
        let mut facts = L2tp {
            version: message.flags.version(),
            ..L2tp::default()
        };
        let id = message.tunnel_id.or(message.session_id)?;
        *facts.tunnel.of_mut(from.other()) = Some(id).filter(|id| *id != 0);
        let detail = Detail::L2tp(Box::new(facts));
        let mut session = Session::open(Kind::L2tp, envelope, from, detail);
        session.vantage.started_late = true;
        session.roles_known = is_known;
        let index = core.open(session, envelope);
        if id != 0 {
            self.by_id.insert(key(envelope, from.other(), id), index);
        }
        Some((index, from))
    }

    /// Remembers who logs in, for the RADIUS that follows.
    fn remember(&mut self, facts: &L2tp, index: u32) {
        let users = facts.calls.iter().filter_map(|call| call.ppp.login());
        let Some(user) = users.filter_map(|login| login.user.clone()).next_back() else {
            return;
        };
        let login = (user, index);
        if self.logins.back() == Some(&login) {
            return;
        }
        if self.logins.len() >= LOGINS_KEPT {
            self.logins.pop_front();
        }
        self.logins.push_back(login);
    }

    /// The session in which a user logged in last and has no verdict yet.
    pub(super) fn login_of(&self, core: &Core, user: &str) -> Option<u32> {
        let recent = self.logins.iter().rev().take(LOGINS_KEPT);
        recent
            .filter(|(name, _)| name == user)
            .map(|(_, index)| *index)
            .find(|index| {
                let open = core.slab.get(*index);
                let ppp = open.and_then(|open| open.session.ppp());
                let login = ppp.and_then(super::ppp::Ppp::login);
                login.is_some_and(|login| {
                    login.verdict.is_none() && login.user.as_deref() == Some(user)
                })
            })
    }

    /// Makes the IDs of a session findable.
    fn register(&mut self, core: &Core, index: u32) {
        let Some(session) = core.slab.get(index).map(|open| &open.session) else {
            return;
        };
        for key in keys(session) {
            self.by_id.insert(key, index);
        }
    }

    /// Forgets a session that is over.
    pub(super) fn forget(&mut self, index: u32) {
        self.by_id.forget(index);
    }
}

/// Who sends on `flow`, by the messages and the endpoints seen so far.
fn sender_within(session: &Session, flow: &Flow) -> Option<Side> {
    let by_step = session.steps.iter().rev().find_map(|step| {
        if step.flow == *flow {
            Some(step.from)
        } else if step.flow == flow.reversed() {
            Some(step.from.other())
        } else {
            None
        }
    });
    by_step.or_else(|| {
        let endpoint = |end: Endpoint| (end.ip, end.port);
        let (client, gateway) = (endpoint(session.client), endpoint(session.gateway));
        if (flow.source, flow.destination) == (client, gateway) {
            Some(Side::Client)
        } else if (flow.source, flow.destination) == (gateway, client) {
            Some(Side::Gateway)
        } else {
            None
        }
    })
}

fn keys(session: &Session) -> Vec<Key> {
    let Some(facts) = session.l2tp() else {
        return Vec::new();
    };
    let (client, gateway) = (session.client, session.gateway.ip);
    let mut keys = Vec::new();
    for side in [Side::Client, Side::Gateway] {
        if let Some(id) = facts.tunnel.of(side) {
            keys.push((client.ip, client.port, gateway, side, *id));
        }
        // Version 3 data names the session alone.
        if facts.version == 3 {
            keys.extend(facts.calls.iter().filter_map(|call| {
                let id = (*call.session.of(side))?;
                Some((client.ip, client.port, gateway, side, id))
            }));
        }
    }
    keys
}

/// The key under which a message towards `receiver` is found.
fn key(envelope: &Envelope, receiver: Side, id: u32) -> Key {
    match receiver {
        Side::Gateway => (
            envelope.source,
            envelope.source_port,
            envelope.destination,
            receiver,
            id,
        ),
        Side::Client => (
            envelope.destination,
            envelope.destination_port,
            envelope.source,
            receiver,
            id,
        ),
    }
}

/// Who sent a message of a tunnel whose beginning was not seen, and whether that is sure.
fn sender(envelope: &Envelope, message_type: Option<MessageType>) -> (Side, bool) {
    match message_type {
        Some(MessageType::SCCRQ | MessageType::SCCCN | MessageType::ICRQ | MessageType::ICCN) => {
            return (Side::Client, true);
        }
        Some(MessageType::SCCRP | MessageType::ICRP) => return (Side::Gateway, true),
        _ => {}
    }
    match (
        envelope.source_port == l2tp::PORT,
        envelope.destination_port == l2tp::PORT,
    ) {
        (true, false) => (Side::Gateway, true),
        (false, true) => (Side::Client, true),
        _ => (Side::Client, false),
    }
}

/// How long silence may last before the tunnel is over.
fn patience(facts: &L2tp, config: &super::Config) -> Span {
    if facts.stop.is_some() {
        // Late repetitions and acknowledgments come within a minute (RFC 2661 §5.7).
        Span::from_secs(60)
    } else if facts.is_tunnel_up() || facts.data.client.packets + facts.data.gateway.packets > 0 {
        config.idle_established
    } else if facts
        .control
        .iter()
        .any(|control| control.from == Side::Gateway)
    {
        config.idle_half_open
    } else {
        config.idle_unanswered
    }
}

#[cfg(test)]
mod tests;
