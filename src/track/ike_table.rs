//! IKE sessions by their SPIs.

use std::hash::BuildHasher;

use foldhash::fast::{FixedState, RandomState};
use hashbrown::HashMap;
use vpnscope_dissectors::ike::{Header, Message};

use super::ike1_table::{Version1, answer_in_v1};
use super::ike2::fold::{Folded, Incoming, fold};
use super::ike2::{Ike2, kind};
use super::session::{Detail, Kind, Session, Side};
use super::{Core, Event};
use crate::limits::SAS;
use crate::time::Span;

/// IKE SAs of one session; one that renews a further time is a session of its own.
const SAS_KEPT: usize = 64;

/// Where each pair of SPIs belongs.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) by_spi: HashMap<(u64, u64), u32, RandomState>,
}

impl Table {
    /// The session that a pair of SPIs belongs to.
    pub(super) fn find(&self, initiator: u64, responder: u64) -> Option<u32> {
        self.by_spi
            .get(&(initiator, responder))
            .or_else(|| self.by_spi.get(&(initiator, 0)))
            .copied()
    }

    /// Adds a message.
    pub(super) fn handle(
        &mut self,
        core: &mut Core,
        event: &Event<'_>,
        wire: &Message<'_>,
        octets: &[u8],
    ) {
        // A message without initiator SPI belongs to no SA (RFC 7296 §2.6).
        if wire.header.major() == 0 || wire.header.initiator_spi.is_zero() {
            return;
        }
        // A fixed seed: reports are the same in every run. A forged collision could at most
        // make one message of an attacker's own look like a retransmission.
        let digest = FixedState::default().hash_one(octets);
        let incoming = Incoming {
            envelope: event.envelope,
            frames: event.frames,
            wire,
            digest,
        };
        let (initiator, responder) = (wire.header.initiator_spi.0, wire.header.responder_spi.0);
        let exact = self.by_spi.get(&(initiator, responder)).copied();
        let known = exact.or_else(|| self.by_spi.get(&(initiator, 0)).copied());
        match self.version_1(core, &incoming, known) {
            Version1::Session(index) => return self.handle_v1(core, index, &incoming),
            Version1::Answer(index) => return answer_in_v1(core, index, &incoming),
            Version1::No => {}
        }
        let (index, sa) = self.place(core, &incoming, known);
        let now = core.now;
        let config = &core.config;
        let Some(open) = core.slab.get_mut(index) else {
            return;
        };
        let detail = std::mem::replace(&mut open.session.detail, Detail::Esp);
        let Detail::Ike2(mut facts) = detail else {
            open.session.detail = detail;
            return;
        };
        let folded = fold(&mut open.session, &mut facts, sa, &incoming);
        if let Some(sa) = facts.sas.get(sa)
            && (exact.is_none() || (sa.initiator_spi, sa.responder_spi) != (initiator, responder))
        {
            self.by_spi
                .entry((sa.initiator_spi, sa.responder_spi))
                .or_insert(index);
        }
        let idle = patience(&facts, config);
        open.session.detail = Detail::Ike2(facts);
        if folded == Folded::Copied {
            core.counters.copies += 1;
        }
        core.slab.touch(index, now, idle);
        core.join_pair(index, event.envelope);
    }

    /// The session and the SA of a message; opens them where they are new.
    fn place(
        &mut self,
        core: &mut Core,
        incoming: &Incoming<'_>,
        known: Option<u32>,
    ) -> (u32, usize) {
        let header = &incoming.wire.header;
        if let Some(index) = known {
            let sa = core.slab.get(index).and_then(|open| {
                let facts = open.session.ike2()?;
                facts.find_sa(header).or_else(|| facts.other_answer(header))
            });
            if let Some(sa) = sa {
                return (index, sa);
            }
        }
        let (index, sa) = match Self::renewed(core, incoming) {
            Some(found) => found,
            None => Self::open(core, incoming),
        };
        let key = (header.initiator_spi.0, header.responder_spi.0);
        self.by_spi.insert(key, index);
        (index, sa)
    }

    fn open(core: &mut Core, incoming: &Incoming<'_>) -> (u32, usize) {
        let header = &incoming.wire.header;
        // Whoever set the I flag began the SA.
        let from = if header.flags.from_original_initiator() {
            Side::Client
        } else {
            Side::Gateway
        };
        let mut facts = Ike2::default();
        let sa = facts.add_sa(incoming, Side::Client, false);
        let late = !is_first(header);
        let detail = Detail::Ike2(Box::new(facts));
        let mut session = Session::open(Kind::Ikev2, incoming.envelope, from, detail);
        session.vantage.started_late = late;
        session.roles_known = !late;
        (core.open(session, incoming.envelope), sa)
    }

    /// A message with new SPIs, both known to its sender, right after a `CREATE_CHILD_SA`
    /// between the same endpoints: the IKE SA was renewed. The new SPIs were exchanged
    /// encrypted, so this is a conclusion, and marked as one.
    fn renewed(core: &mut Core, incoming: &Incoming<'_>) -> Option<(u32, usize)> {
        let header = &incoming.wire.header;
        if header.responder_spi.is_zero() || header.exchange_type < kind::CREATE_CHILD {
            return None;
        }
        let envelope = incoming.envelope;
        let list = core.between(envelope.source, envelope.destination).to_vec();
        let index = list.into_iter().rev().find(|index| {
            let Some(open) = core.slab.get(*index) else {
                return false;
            };
            let flow = envelope.flow();
            let Some(facts) = open.session.ike2() else {
                return false;
            };
            let rekeyed = facts.exchanges.iter().rev().any(|e| {
                e.kind == kind::CREATE_CHILD && e.response.is_some() && e.sa + 1 == facts.sas.len()
            });
            rekeyed
                && open
                    .session
                    .steps
                    .iter()
                    .rev()
                    .any(|s| s.flow == flow || s.flow == flow.reversed())
        })?;
        let open = core.slab.get_mut(index)?;
        let sender = open.session.side_of(envelope.source)?;
        let initiator = if header.flags.from_original_initiator() {
            sender
        } else {
            sender.other()
        };
        let Detail::Ike2(facts) = &mut open.session.detail else {
            return None;
        };
        if facts.sas.len() >= SAS.or(SAS_KEPT) {
            core.counters.evicted_sas += 1;
            return None;
        }
        let sa = facts.add_sa(incoming, initiator, true);
        Some((index, sa))
    }

    /// Forgets the SPIs of a session that is over.
    pub(super) fn forget(&mut self, session: &Session) {
        if let Some(facts) = session.ike1() {
            let (initiator, responder) = (facts.initiator_cookie, facts.responder_cookie);
            self.by_spi.remove(&(initiator, responder));
            self.by_spi.remove(&(initiator, 0));
            for (_, other) in &facts.other_responders {
                self.by_spi.remove(&(initiator, *other));
            }
        }
        let Some(facts) = session.ike2() else { return };
        for sa in &facts.sas {
            self.by_spi.remove(&(sa.initiator_spi, sa.responder_spi));
            self.by_spi.remove(&(sa.initiator_spi, 0));
        }
    }
}

fn is_first(header: &Header) -> bool {
    matches!(header.exchange_type, kind::SA_INIT | kind::RESUME)
        && header.message_id == 0
        && !header.flags.is_response()
}

/// How long silence may last before the session is over.
fn patience(facts: &Ike2, config: &super::Config) -> Span {
    let answered = |e: &super::ike2::Exchange| e.response.is_some();
    if facts.of_kind(kind::AUTH).any(answered) {
        config.idle_established
    } else if facts.exchanges.iter().any(answered) {
        config.idle_half_open
    } else {
        config.idle_unanswered
    }
}
