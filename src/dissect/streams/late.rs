//! Datagrams and errors that came before what they follow from, and wait a moment for it.

use super::{Streams, give_dtls};
use crate::assemble::messages::dtls::{self, Look};
use crate::assemble::waiting::{PATIENCE, Waiting};
use crate::decap::{Envelope, Flow};
use crate::time::Timestamp;
use crate::track::Event;

/// A datagram with its octets.
#[derive(Debug)]
pub(super) struct Datagram {
    envelope: Envelope,
    frames: Vec<u64>,
    payload: Box<[u8]>,
}

/// Datagrams that wait, by capture and association.
pub(super) type Early = Waiting<(u16, Flow), Datagram>;

/// An ICMP error about a connection that is not known.
#[derive(Debug)]
pub(super) struct Error {
    about: Flow,
    envelope: Envelope,
}

impl Error {
    /// Until when it waits.
    pub(super) fn until(&self) -> Timestamp {
        self.envelope.time + PATIENCE
    }
}

/// Errors that wait.
const ERRORS: usize = 256;

impl Streams {
    /// Takes a datagram, or lets it wait.
    pub(super) fn datagram(
        &mut self,
        envelope: &Envelope,
        frames: &[u64],
        payload: &[u8],
        sink: &mut dyn FnMut(&Event<'_>),
    ) -> bool {
        let flow = envelope.flow();
        let key = (envelope.capture, dtls::ordered(&flow));
        let look = self.dtls.look(&key, &flow, payload);
        let look = match look {
            Look::NotOurs if self.early.holds(&key) && dtls::may_be(payload) => Look::Early,
            // Whether it belongs to a connection is told by what the gateway said there.
            Look::First if self.tcp.disordered() > 0 || self.early.holds(&key) => Look::Early,
            look => look,
        };
        if look == Look::NotOurs {
            return false;
        }
        if look == Look::Early && self.waits {
            if self.early.has_room(&key) {
                let datagram = Datagram {
                    envelope: *envelope,
                    frames: frames.to_vec(),
                    payload: payload.into(),
                };
                let at = self.early.list(&key).len();
                let octets = payload.len();
                self.early.keep(&key, envelope.time, octets, at, datagram);
                return true;
            }
            self.give_way(&key, None, sink);
        }
        self.dtls.put(
            &key,
            &flow,
            (envelope.frame, envelope.time),
            payload,
            &mut |item| {
                give_dtls(item, envelope, frames, sink);
            },
        );
        if !self.early.is_empty() {
            self.release(&key, sink);
        }
        true
    }

    /// Takes what waited for what came now.
    fn release(&mut self, key: &(u16, Flow), sink: &mut dyn FnMut(&Event<'_>)) {
        while let Some(at) = self.turn(key) {
            self.take(key, at, sink);
        }
    }

    /// The first datagram of an association that need not wait any longer.
    fn turn(&self, key: &(u16, Flow)) -> Option<usize> {
        self.early.list(key).position(|waiting| {
            let look = self
                .dtls
                .look(key, &waiting.envelope.flow(), &waiting.payload);
            matches!(look, Look::Ready | Look::First)
        })
    }

    fn take(&mut self, key: &(u16, Flow), at: usize, sink: &mut dyn FnMut(&Event<'_>)) {
        let Some((waited, _)) = self.early.take(key, at) else {
            return;
        };
        let envelope = &waited.envelope;
        let at = (envelope.frame, envelope.time);
        self.dtls
            .put(key, &envelope.flow(), at, &waited.payload, &mut |item| {
                give_dtls(item, envelope, &waited.frames, sink);
            });
    }

    /// Takes what waited until `now`, or all that waits, of an association.
    fn give_way(
        &mut self,
        key: &(u16, Flow),
        now: Option<Timestamp>,
        sink: &mut dyn FnMut(&Event<'_>),
    ) {
        while self.early.holds(key) && now.is_none_or(|now| self.early.is_late(key, now)) {
            let turn = self.turn(key);
            self.take(key, turn.unwrap_or_default(), sink);
            if turn.is_none() {
                self.dtls.give_up_order(key);
            }
        }
        self.release(key, sink);
    }

    /// Keeps an error for a moment.
    pub(super) fn keep_error(&mut self, about: Flow, envelope: &Envelope) {
        if self.waits && self.errors.len() < ERRORS {
            self.errors.push_back(Error {
                about,
                envelope: *envelope,
            });
        }
    }

    /// Lets go of what waited until `now`.
    pub(super) fn let_go(&mut self, now: Timestamp, sink: &mut dyn FnMut(&Event<'_>)) {
        while let Some(key) = self.early.due(now) {
            self.give_way(&key, Some(now), sink);
        }
        while let Some(Error { about, envelope }) = self.errors.front()
            && envelope.time + PATIENCE <= now
        {
            let (about, envelope) = (*about, *envelope);
            self.errors.pop_front();
            self.touch(&about, &envelope, sink);
        }
    }
}
