//! The end of a session, and that of a capture, which closes all that are open.
//!
//! Those are many at a time: what is packed stays so, where it is, until it is asked for.

use super::nap::Nap;
use super::pack::Shared;
use super::session::{self, Ending, Session};
use super::{Ended, EspFlow, Queued, Tracker, esp_lay, names, tls};
use crate::time::Timestamp;

/// What the end of a session adds to it. It is told to the session when that is asked for: a
/// packed one stays packed until then.
#[derive(Debug)]
pub(super) struct End {
    pub(super) ending: Ending,
    pub(super) now: Timestamp,
    pub(super) flows: Vec<EspFlow>,
    pub(super) gateway_name: Option<String>,
    pub(super) lookup: Option<tls::Lookup>,
    pub(super) told: bool,
}

impl End {
    pub(super) fn new(ending: Ending, now: Timestamp) -> Self {
        Self {
            ending,
            now,
            flows: Vec::new(),
            gateway_name: None,
            lookup: None,
            told: false,
        }
    }

    /// Shows a session as it will be.
    pub(super) fn show(
        &mut self,
        nap: &mut Nap,
        shared: &Shared,
        show: &mut impl FnMut(Ended<'_>),
    ) {
        if !nap.is_asleep() {
            self.tell(nap);
            return show(Ended::Session(nap));
        }
        nap.glimpse(shared, |session| {
            self.tell(session);
            show(Ended::Session(session));
            self.flows = std::mem::take(&mut session.esp);
            self.told = false;
        });
    }

    pub(super) fn tell(&mut self, session: &mut Session) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        if !self.flows.is_empty() {
            esp_lay::lay(session, &self.flows, self.now);
        }
        session.esp = std::mem::take(&mut self.flows);
        if session.gateway_name.is_none() {
            session.gateway_name.clone_from(&self.gateway_name);
        }
        if let (Some(lookup), session::Detail::Tls(facts)) = (&self.lookup, &mut session.detail) {
            facts.lookups.push(lookup.clone());
        }
        session.vantage.ending = self.ending;
        session.vantage.watched_after = self.now - session.last.time;
    }
}

impl Tracker {
    /// Closes everything: the capture ended. Shows each session that is over before the first of
    /// them is given by [`Tracker::poll`].
    pub fn finish(&mut self, end: Timestamp, show: &mut impl FnMut(Ended<'_>)) {
        self.advance(end);
        while let Some(held) = self.hold.next().or_else(|| self.hold.next_error()) {
            self.take_held(held);
        }
        self.esp.finish(&mut self.core);
        self.core.show(0, show);
        let lone = self.esp.lone.in_order();
        let mut waiting = lone.as_slice();
        let open = self.core.slab.indices();
        for &index in &open {
            let id = self.core.slab.aside(index).map_or(0, |open| open.id);
            let before = waiting.partition_point(|(other, _)| *other < id);
            let (before, after) = waiting.split_at_checked(before).unwrap_or_default();
            self.show_lone(before, show);
            waiting = after;
            self.retire(index, show);
            self.core.slab.settle_disturbed();
        }
        self.show_lone(waiting, show);
        let ended: Vec<u32> = lone.into_iter().map(|(_, session)| session).collect();
        (self.ended, self.retired) = (ended.into_iter(), open.into_iter());
        let from = self.core.changes.len();
        self.names.finish(&mut self.core);
        self.core.show(from, show);
    }

    /// Shows sessions of ESP alone that the end of the capture closes.
    fn show_lone(&mut self, sessions: &[(u32, u32)], show: &mut impl FnMut(Ended<'_>)) {
        for (_, session) in sessions {
            if let Some(sight) = self.esp.lone.look(*session) {
                show(Ended::Lone(sight));
            }
        }
        if !sessions.is_empty() {
            self.core.changes.push_back(Queued::Lone(sessions.len()));
        }
    }

    /// Closes a session and shows it as it will be, but leaves it where it is until it is asked
    /// for: one that is packed takes least there.
    fn retire(&mut self, index: u32, show: &mut impl FnMut(Ended<'_>)) {
        self.ike.settle_renewal(&mut self.core, &self.esp, index);
        let open = self.core.slab.aside(index);
        let flows = if open.is_some_and(|open| open.session.is_asleep()) {
            self.esp.retire(index)
        } else {
            self.esp.release(index)
        };
        let Some(mut end) = self.forget(index, Ending::CaptureEnd, flows) else {
            return;
        };
        let Some((open, shared)) = self.core.slab.retire(index) else {
            return;
        };
        self.core.pairs.remove_each(&open.pairs, index);
        end.show(&mut open.session, shared, show);
        match self.core.changes.back_mut() {
            Some(Queued::Retired(count)) => *count += 1,
            _ => self.core.changes.push_back(Queued::Retired(1)),
        }
    }

    /// A session that the end of the capture closed, as it was shown.
    pub(super) fn take_retired(&mut self, index: u32) -> Option<Box<Session>> {
        let nap = self.core.slab.take_retired(index)?;
        let was_told = !nap.is_asleep();
        let mut session = nap.into_session(self.core.slab.shared())?;
        if !was_told {
            let mut end = End {
                flows: self.esp.release(index),
                ..End::new(Ending::CaptureEnd, self.core.now)
            };
            end.tell(&mut session);
            names(&mut self.names, &mut session);
        }
        Some(session)
    }
}
