//! `PPPoE` sessions by hardware addresses and session ID.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use vpnscope_dissectors::pppoe::{Code, Packet, TagType};

use super::keys::Keys;
use super::ppp;
use super::pppoe::{Discovery, Mac, Pppoe, Refused};
use super::session::{Detail, Kind, Session, Side, Stamp, Step};
use super::{Core, Event};
use crate::decap::Envelope;
use crate::time::Span;

/// Copies of a span port come within this time; no `PPPoE` timer is that short.
const COPY_SPAN: Span = Span::from_millis(20);

/// Client, server, session ID; the server and the ID are zero while they are not known.
type Key = (Mac, Mac, u16);

/// Where each session belongs.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_id: Keys<Key>,
}

/// No hardware address.
const NOBODY: Mac = [0; 6];

impl Table {
    /// Adds a packet.
    pub(super) fn handle(&mut self, core: &mut Core, event: &Event<'_>, packet: &Packet<'_>) {
        let envelope = event.envelope;
        let (source, destination) = envelope.mac;
        let Some((index, from)) = self.place(core, envelope, packet) else {
            return;
        };
        let now = core.now;
        let idle = core.config.clone();
        let Some(open) = core.slab.get_mut(index) else {
            return;
        };
        let session: &mut Session = &mut open.session;
        let Detail::Pppoe(facts) = &mut session.detail else {
            return;
        };
        let mut facts = std::mem::take(facts);
        session.touch(envelope, from);
        let is_copy = if packet.is_session() {
            let inner = ppp::fold::Incoming {
                envelope,
                frames: event.frames,
                from,
                octets: packet.body,
            };
            ppp::fold::fold(session, &mut facts.ppp, &inner)
        } else {
            discover(session, &mut facts, event, packet, from)
        };
        if from == Side::Gateway {
            facts.server.get_or_insert(source);
        } else if destination != [0xff; 6] {
            facts.server.get_or_insert(destination);
        }
        if packet.code == Code::PADS {
            // The client chose among those that offered themselves.
            facts.server = Some(source);
        }
        if packet.is_session() {
            facts.session_id.get_or_insert(packet.session_id);
        }
        let answered = facts.server.is_some();
        session.detail = Detail::Pppoe(facts);
        for key in keys(session) {
            self.by_id.insert(key, index);
        }
        core.counters.copies += u64::from(is_copy);
        let idle = if answered {
            idle.idle_established
        } else {
            idle.idle_unanswered
        };
        core.slab.touch(index, now, idle);
    }

    /// The session of a packet and its sender.
    fn place(
        &mut self,
        core: &mut Core,
        envelope: &Envelope,
        packet: &Packet<'_>,
    ) -> Option<(u32, Side)> {
        let (source, destination) = envelope.mac;
        if source == NOBODY && destination == NOBODY {
            return None;
        }
        let find = |client: Mac, server: Mac, id: u16| self.by_id.get(&(client, server, id));
        let id = packet.session_id;
        if id != 0 {
            let known = find(source, destination, id)
                .map(|index| (index, Side::Client))
                .or_else(|| find(destination, source, id).map(|index| (index, Side::Gateway)));
            if known.is_some() {
                return known;
            }
        }
        match packet.code {
            Code::PADI | Code::PADR => {
                let attempt = find(source, NOBODY, 0).filter(|index| is_open(core, *index));
                let index = attempt.unwrap_or_else(|| open(core, envelope, Side::Client, false));
                Some((index, Side::Client))
            }
            Code::PADO | Code::PADS => {
                let attempt = find(destination, NOBODY, 0).filter(|index| is_open(core, *index));
                let index = attempt.unwrap_or_else(|| open(core, envelope, Side::Gateway, true));
                Some((index, Side::Gateway))
            }
            Code::PADT => None,
            _ if packet.is_session() && id != 0 => {
                Some((open(core, envelope, Side::Client, true), Side::Client))
            }
            _ => None,
        }
    }

    /// Forgets a session that is over.
    pub(super) fn forget(&mut self, index: u32) {
        self.by_id.forget(index);
    }
}

/// Whether discovery still runs: a PADI after the session began is another attempt.
fn is_open(core: &Core, index: u32) -> bool {
    core.slab
        .get(index)
        .and_then(|open| open.session.pppoe())
        .is_some_and(|facts| facts.session_id.is_none() && facts.error.is_none())
}

fn open(core: &mut Core, envelope: &Envelope, from: Side, is_late: bool) -> u32 {
    let (source, destination) = envelope.mac;
    let facts = Pppoe {
        client: if from == Side::Client {
            source
        } else {
            destination
        },
        ..Pppoe::default()
    };
    let detail = Detail::Pppoe(Box::new(facts));
    let mut session = Session::open(Kind::Pppoe, envelope, from, detail);
    session.vantage.started_late = is_late;
    session.roles_known = !is_late || from == Side::Gateway;
    core.open(session, envelope)
}

fn keys(session: &Session) -> Vec<Key> {
    let Some(facts) = session.pppoe() else {
        return Vec::new();
    };
    let mut keys = vec![(facts.client, NOBODY, 0)];
    if let (Some(server), Some(id)) = (facts.server, facts.session_id) {
        keys.push((facts.client, server, id));
    }
    keys
}

fn discover(
    session: &mut Session,
    facts: &mut Pppoe,
    event: &Event<'_>,
    packet: &Packet<'_>,
    from: Side,
) -> bool {
    let at = Stamp::from(event.envelope);
    let digest =
        FixedState::default().hash_one((from, packet.code.0, packet.session_id, packet.body));
    let known = facts.digests.iter().rev().find(|(seen, _)| *seen == digest);
    if let Some(step) = known.and_then(|&(_, index)| session.steps.get_mut(index)) {
        if (at.time - step.last().time).0.abs() <= COPY_SPAN.0 {
            step.copies += 1;
            session.vantage.copies += 1;
            return true;
        }
        step.repeats.note(at);
        return false;
    }
    let step = session.push_step(Step::new(
        event.envelope,
        event.frames,
        from,
        packet.code.to_string(),
        u32::from(packet.length),
    ));
    if let Some(index) = step {
        facts.digests.push((digest, index));
    }
    if facts.discovery.len() < Pppoe::KEPT {
        facts.discovery.push(Discovery {
            code: packet.code,
            at,
            step,
        });
    }
    for tag in packet.tags().map_while(Result::ok).take(64) {
        let text = ppp::fold::text(tag.value.0);
        match tag.tag_type {
            TagType::AC_NAME => facts.ac_name = Some(text),
            TagType::SERVICE_NAME if !text.is_empty() => facts.service = Some(text),
            tag_type if tag_type.is_error() && facts.error.is_none() => {
                facts.error = Some(Refused {
                    tag: tag_type.0,
                    text,
                    at,
                    step,
                });
            }
            _ => {}
        }
    }
    match packet.code {
        Code::PADS if packet.session_id != 0 => facts.session_id = Some(packet.session_id),
        Code::PADT if facts.terminated.is_none() => facts.terminated = Some((from, at, step)),
        _ => {}
    }
    false
}

#[cfg(test)]
mod tests;
