//! What ends: connections that were quiet for long, or that there is no room for, openings that never
//! carried an octet, and the capture.

use super::connection::Connection;
use super::opening::{Entry, Key};
use super::work::Work;
use super::{
    Appetite, Assembler, At, Delivery, Fact, Incoming, Party, Reader, What, blank_envelope,
};
use crate::decap::{Envelope, Flow, Tcp};
use crate::time::{Span, Timestamp};

/// Silence after which a connection gives away what only lively ones need.
pub(super) const QUIET: Span = Span::from_secs(1);

pub(super) const NO_SEGMENT: Tcp<'static> = Tcp {
    sequence: 0,
    acknowledgment: 0,
    flags: 0,
    window: 0,
    options: &[],
    payload: &[],
    payload_len: 0,
};

impl<U: Reader> Assembler<U> {
    /// Openings that are told at a time that are over.
    const TOLD: usize = 1024;

    /// Lets go of the sixteenth of the connections that was quiet for longest.
    pub(super) fn evict(
        &mut self,
        envelope: &Envelope,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        let mut all: Vec<(Timestamp, Key)> = self
            .connections
            .iter()
            .map(|(key, connection)| (connection.last, *key))
            .collect();
        all.sort_unstable();
        let count = (all.len() / 16).max(1);
        self.counters.evicted += u64::try_from(count).unwrap_or(u64::MAX);
        for (_, key) in all.into_iter().take(count) {
            self.drop_one(&key, envelope, sink);
        }
    }

    pub(super) fn let_go(&mut self, key: &Key) -> Option<Box<Connection<U>>> {
        let connection = self.connections.remove(key)?;
        self.sieve.remove(key.sieved());
        Some(connection)
    }

    pub(super) fn drop_one(
        &mut self,
        key: &Key,
        envelope: &Envelope,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        if let Some(mut connection) = self.let_go(key) {
            self.held = self.held.saturating_sub(connection.held);
            let flow = connection.flow(key);
            forget(&mut connection, flow, &At::from(envelope), envelope, sink);
        }
    }

    /// When [`Assembler::advance`] has something to do.
    pub fn next_deadline(&self) -> Timestamp {
        let sweeps = self.next_sweep.min(self.next_rest);
        sweeps.min(self.waiting.deadline())
    }

    /// Lets go of what was quiet for too long.
    pub fn advance(
        &mut self,
        now: Timestamp,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        const SWEEP: Span = Span::from_secs(5);
        self.note_waiting();
        while let Some(key) = self.waiting.due(now) {
            self.give_way(&key, Some(now), sink);
        }
        if self.next_rest <= now {
            self.rest(now);
        }
        if now < self.next_sweep {
            return;
        }
        if self.over.is_empty() {
            self.take_over(now - self.config.opening_idle);
        }
        self.tell_over(Self::TOLD, (now, true), sink);
        if !self.over.is_empty() {
            // The rest with the next segments: what follows from them wants room too.
            return;
        }
        self.next_sweep = now + SWEEP;
        let mut over: Vec<(u64, Key)> = self
            .connections
            .iter()
            .filter(|(_, connection)| {
                let idle = if connection.closed {
                    self.config.closed
                } else {
                    self.config.idle
                };
                now.since(connection.last) >= idle
            })
            .map(|(key, connection)| (connection.number, *key))
            .collect();
        over.sort_unstable();
        for (_, key) in over {
            self.flush(&key, now, sink);
            self.drop_one(&key, &blank(&key, now), sink);
        }
    }

    /// Lets connections that are quiet give away what only lively ones need: there are many, and
    /// nobody closes most of them.
    fn rest(&mut self, now: Timestamp) {
        while let Some((seen, key)) = self.lively.front().copied()
            && now.since(seen) >= QUIET
        {
            self.lively.pop_front();
            let Some(connection) = self.connections.get_mut(&key) else {
                continue;
            };
            if now.since(connection.last) < QUIET {
                self.lively.push_back((connection.last, key));
            } else if !std::mem::replace(&mut connection.rests, true) {
                connection.user.rest();
                for half in &mut connection.halves {
                    half.rest(&mut self.room);
                }
            }
        }
        self.next_rest = if self.lively.is_empty() {
            Timestamp::MAX
        } else {
            now + QUIET
        };
    }

    /// Takes out the openings that were quiet since `before`. Those that matter are told.
    fn take_over(&mut self, before: Timestamp) {
        let (expects, hints) = (self.config.expects, self.config.hints);
        let (sieve, counters) = (&mut self.sieve, &mut self.counters);
        let numbers = &mut self.numbers;
        let all = before == Timestamp::MAX;
        let mut over = self.openings.expire(before, |key, entry| {
            if !all {
                // At the end nobody asks any more.
                sieve.remove(key.sieved());
            }
            let matters = expects(&entry.flow(key), hints);
            if !matters {
                // Its reader would say nothing of it.
                counters.connections += 1;
                *numbers += 1;
            }
            matters
        });
        if !over.is_empty() {
            self.over.push_back(over);
        }
    }

    /// Openings that never carried an octet become connections for their reader to judge,
    /// and are let go of. `told`: when, and whether because they were silent for long.
    fn tell_over(
        &mut self,
        mut most: usize,
        told: (Timestamp, bool),
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        while most > 0
            && let Some(over) = self.over.front_mut()
        {
            let Some((key, entry)) = over.next() else {
                self.over.pop_front();
                continue;
            };
            most -= 1;
            if entry.is_unanswered() && !self.openings.is_rewritten(&key) {
                self.tell_unanswered(&key, &entry, told, sink);
                continue;
            }
            let envelope = blank(&key, entry.last());
            self.insert(&key, entry, true, sink, &envelope);
            self.drop_one(&key, &envelope, sink);
        }
    }

    /// SYNs alone are one fact: no connection is made for them.
    fn tell_unanswered(
        &mut self,
        key: &Key,
        entry: &Entry,
        (told, idle): (Timestamp, bool),
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        self.numbers += 1;
        self.counters.connections += 1;
        let envelope = blank(key, told);
        let opening = self.openings.opening(key, entry);
        let delivery = Delivery {
            connection: self.numbers,
            flow: entry.flow(key),
            roles_known: true,
            envelope: &envelope,
            at: opening.syn.unwrap_or_else(|| At::from(&envelope)),
            from: Party::Opener,
            what: What::Fact(Fact::Unanswered { opening, idle }),
        };
        sink(&mut U::default(), &delivery);
    }

    /// Ends everything: the capture ended.
    pub fn finish(
        &mut self,
        end: Timestamp,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        self.note_waiting();
        while let Some(key) = self.waiting.due(Timestamp::MAX) {
            self.give_way(&key, None, sink);
        }
        self.take_over(Timestamp::MAX);
        self.tell_over(usize::MAX, (end, false), sink);
        let mut all: Vec<(u64, Key)> = self
            .connections
            .iter()
            .map(|(key, connection)| (connection.number, *key))
            .collect();
        all.sort_unstable();
        for (_, key) in all {
            self.flush(&key, end, sink);
            self.drop_one(&key, &blank(&key, end), sink);
        }
    }

    /// Delivers what waits behind holes.
    fn flush(
        &mut self,
        key: &Key,
        end: Timestamp,
        sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
    ) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let flow = connection.flow(key);
        let envelope = blank(key, end);
        for party in [Party::Opener, Party::Acceptor] {
            let incoming = Incoming {
                envelope: &envelope,
                tcp: &NO_SEGMENT,
                at: At::from(&envelope),
                party,
            };
            let mut work = Work {
                connection,
                flow,
                incoming,
                config: &self.config,
                counters: &mut self.counters,
                room: &mut self.room,
                sink,
            };
            while work.skip(party) {}
        }
    }
}

fn blank(key: &Key, time: Timestamp) -> Envelope {
    blank_envelope(key.capture(), &key.flow(), time, 6)
}

pub(super) fn forget<U>(
    connection: &mut Connection<U>,
    flow: Flow,
    at: &At,
    envelope: &Envelope,
    sink: &mut impl FnMut(&mut U, &Delivery<'_>) -> Appetite,
) {
    let [opener, acceptor] = &connection.halves;
    let delivery = Delivery {
        connection: connection.number,
        flow,
        roles_known: connection.roles_known,
        envelope,
        at: *at,
        from: Party::Opener,
        what: What::Fact(Fact::Forgotten {
            opener: opener.frames,
            acceptor: acceptor.frames,
        }),
    };
    sink(&mut connection.user, &delivery);
}
