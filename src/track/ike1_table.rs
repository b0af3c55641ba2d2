//! IKEv1 sessions by their cookies.

use super::ike_table::Table;
use super::ike1::fold::{Opening, fold, opening};
use super::ike1::{Ike1, kind};
use super::ike2::fold::{Folded, Incoming};
use super::session::{Detail, Kind, Session, Side, Stamp, Step};
use super::{Core, esp_table, ike2};
use crate::time::Span;

/// What a message has to do with IKEv1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version1 {
    /// It belongs to this session of IKEv1.
    Session(u32),
    /// It is of IKEv1, but the session is of IKEv2.
    Answer(u32),
    /// Nothing.
    No,
}

impl Table {
    /// Where a message belongs that is, or answers, one of IKEv1; opens the session where it is
    /// new.
    pub(super) fn version_1(
        &mut self,
        core: &mut Core,
        incoming: &Incoming<'_>,
        known: Option<u32>,
    ) -> Version1 {
        let header = &incoming.wire.header;
        let detail = known
            .and_then(|index| core.slab.get(index))
            .map(|open| &open.session.detail);
        match (known, detail, header.major()) {
            (Some(index), Some(Detail::Ike1(_)), _) => Version1::Session(index),
            (Some(index), Some(Detail::Ike2(_)), 1) => Version1::Answer(index),
            (_, _, 1) => Version1::Session(self.open_v1(core, incoming)),
            _ => Version1::No,
        }
    }

    fn open_v1(&mut self, core: &mut Core, incoming: &Incoming<'_>) -> u32 {
        let header = &incoming.wire.header;
        let envelope = incoming.envelope;
        let (initiator_cookie, responder_cookie) = (header.initiator_spi.0, header.responder_spi.0);
        let opening = opening(incoming.wire);
        let first = opening == Opening::First;
        let renewed = renewed(core, incoming).filter(|_| first);
        let is_server = |port| matches!(port, 500 | 4500);
        let by_port = is_server(envelope.source_port) && !is_server(envelope.destination_port);
        let mut from = match opening {
            Opening::Answer => Side::Gateway,
            Opening::Later if by_port => Side::Gateway,
            _ => Side::Client,
        };
        let mut facts = Ike1::new(initiator_cookie, 0, Side::Client);
        if let Some((cookies, sender)) = renewed {
            // The roles stay: the gateway may begin a renewal.
            from = sender;
            facts.initiator = sender;
            facts.renews = Some(cookies);
        }
        if !first {
            facts.responder_cookie = responder_cookie;
        }
        let detail = Detail::Ike1(Box::new(facts));
        let mut session = Session::open(Kind::Ikev1, envelope, from, detail);
        session.vantage.started_late = !first;
        session.roles_known = opening != Opening::Later;
        let index = core.open(session, envelope);
        self.by_spi
            .insert((initiator_cookie, responder_cookie), index);
        if opening == Opening::Answer {
            // What it answers may come a moment later, where times run wrong.
            self.by_spi.entry((initiator_cookie, 0)).or_insert(index);
        }
        index
    }

    /// Adds a message to its session.
    pub(super) fn handle_v1(&mut self, core: &mut Core, index: u32, incoming: &Incoming<'_>) {
        let now = core.now;
        let config = &core.config;
        let Some(open) = core.slab.get_mut(index) else {
            return;
        };
        let detail = std::mem::replace(&mut open.session.detail, Detail::Esp);
        let Detail::Ike1(mut facts) = detail else {
            open.session.detail = detail;
            return;
        };
        let folded = fold(&mut open.session, &mut facts, incoming);
        let cookies = (facts.initiator_cookie, facts.responder_cookie);
        self.by_spi.entry(cookies).or_insert(index);
        for (_, other) in &facts.other_responders {
            self.by_spi.entry((cookies.0, *other)).or_insert(index);
        }
        let idle = patience(&facts, config);
        open.session.detail = Detail::Ike1(facts);
        if folded == Folded::Copied {
            core.counters.copies += 1;
        }
        core.slab.touch(index, now, idle);
        core.join_pair(index, incoming.envelope);
    }

    /// Before a session is closed: tells it, or the session that renews it, whether the tunnel
    /// lived on under the renewed phase 1.
    pub(super) fn settle_renewal(&self, core: &mut Core, esp: &esp_table::Table, index: u32) {
        let Some(session) = core.slab.get(index).map(|open| &open.session) else {
            return;
        };
        let Some(facts) = session.ike1() else { return };
        if let Some((initiator, responder)) = facts.renews {
            let older = self.find(initiator, responder);
            inherit(core, esp, older, Some(index));
        }
        let cookies = core
            .slab
            .get(index)
            .and_then(|open| open.session.ike1())
            .map(|facts| (facts.initiator_cookie, facts.responder_cookie));
        let pair = core
            .slab
            .get(index)
            .map(|open| (open.session.client.ip, open.session.gateway.ip));
        let Some((cookies, (client, gateway))) = cookies.zip(pair) else {
            return;
        };
        let newer = core.between(client, gateway).iter().copied().find(|other| {
            core.slab
                .get(*other)
                .and_then(|open| open.session.ike1())
                .is_some_and(|facts| facts.renews == Some(cookies))
        });
        inherit(core, esp, Some(index), newer);
    }
}

/// Notes with the newer session that data of the older one was seen after it was done.
fn inherit(core: &mut Core, esp: &esp_table::Table, older: Option<u32>, newer: Option<u32>) {
    let (Some(older), Some(newer)) = (older, newer) else {
        return;
    };
    let last = esp.last_of(older);
    let Some(open) = core.slab.get_mut(newer) else {
        return;
    };
    let Detail::Ike1(facts) = &mut open.session.detail else {
        return;
    };
    let done = facts.phase1_done().map(|message| message.at.time);
    let lived_on = last.filter(|last| done.is_some_and(|done| last.time > done));
    // The older session may be closed, and its flows with it, when the newer one is.
    facts.inherited = lived_on.or(facts.inherited);
}

/// An IKEv1 message with the SPIs of an IKEv2 session: a peer that speaks only the old version.
pub(super) fn answer_in_v1(core: &mut Core, index: u32, incoming: &Incoming<'_>) {
    const INVALID_MAJOR_VERSION: u16 = 5;
    let Some(open) = core.slab.get_mut(index) else {
        return;
    };
    let session = &mut open.session;
    let Some(from) = session.side_of(incoming.envelope.source) else {
        return;
    };
    session.touch(incoming.envelope, from);
    let at = Stamp::from(incoming.envelope);
    let length = incoming.wire.header.length;
    let step = session.push_step(Step::new(
        incoming.envelope,
        incoming.frames,
        from,
        "answer in IKEv1",
        length,
    ));
    let Detail::Ike2(facts) = &mut session.detail else {
        return;
    };
    let open = facts
        .exchanges
        .iter_mut()
        .find(|e| e.kind == ike2::kind::SA_INIT && e.response.is_none() && e.by != from);
    if let Some(exchange) = open {
        // Whatever it says, it says it in another version.
        let mut notifies = ike2::Notifies::default();
        notifies.push(INVALID_MAJOR_VERSION, &[]);
        exchange.response = Some(ike2::Message {
            step,
            at,
            length,
            payloads: ike2::Types::default(),
            notifies,
            encrypted: false,
            ke_group: None,
            fragments: None,
            truncated: incoming.envelope.truncated,
            digest: incoming.digest,
        });
    }
    let (now, idle) = (core.now, core.config.idle_half_open);
    core.slab.touch(index, now, idle);
}

/// The session between the same endpoints that a first message renews, and who sends it: one whose
/// tunnel is up, and on the ports that it uses.
fn renewed(core: &Core, incoming: &Incoming<'_>) -> Option<((u64, u64), Side)> {
    let envelope = incoming.envelope;
    let flow = envelope.flow();
    let list = core.between(envelope.source, envelope.destination);
    list.iter().rev().find_map(|index| {
        let session = &core.slab.get(*index)?.session;
        let facts = session.ike1()?;
        let last = session
            .steps
            .iter()
            .rev()
            .find(|s| s.flow == flow || s.flow == flow.reversed())?;
        let sender = if last.flow == flow {
            last.from
        } else {
            last.from.other()
        };
        let alive = facts.has_child() || facts.renews.is_some();
        alive.then_some(((facts.initiator_cookie, facts.responder_cookie), sender))
    })
}

/// How long silence may last before the session is over.
fn patience(facts: &Ike1, config: &super::Config) -> Span {
    let answered = |kind| facts.of_kind(kind).any(|e| e.answer().is_some());
    if answered(kind::QUICK) || facts.renews.is_some() {
        config.idle_established
    } else if facts.phase1.iter().any(|m| m.from != facts.initiator) {
        config.idle_half_open
    } else {
        config.idle_unanswered
    }
}
