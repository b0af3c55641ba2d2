//! A segment is put into its connection.

use crate::decap::{Flow, Tcp};

use super::half::{Early, Place, Room};
use super::{
    Appetite, At, Config, Connection, Counters, Delivery, Fact, Incoming, Options, Party, What,
};

/// A connection and the segment that is being put into it.
pub(super) struct Work<'a, 'b, U, S> {
    pub(super) connection: &'a mut Connection<U>,
    pub(super) flow: Flow,
    pub(super) incoming: Incoming<'b>,
    pub(super) config: &'a Config,
    pub(super) counters: &'a mut Counters,
    pub(super) room: &'a mut Room,
    pub(super) sink: &'a mut S,
}

impl<U, S: FnMut(&mut U, &Delivery<'_>) -> Appetite> Work<'_, '_, U, S> {
    fn give(&mut self, from: Party, at: At, what: What<'_>) {
        let delivery = Delivery {
            connection: self.connection.number,
            flow: self.flow,
            roles_known: self.connection.roles_known,
            envelope: self.incoming.envelope,
            at,
            from,
            what,
        };
        self.connection.appetite = (self.sink)(&mut self.connection.user, &delivery);
    }

    fn fact(&mut self, fact: Fact) {
        self.give(self.incoming.party, self.incoming.at, What::Fact(fact));
    }

    fn hungry(&self) -> bool {
        self.connection.appetite == Appetite::All
    }

    pub(super) fn segment(&mut self) {
        let Incoming {
            tcp,
            party,
            envelope,
            at,
        } = self.incoming;
        if tcp.has(Tcp::SYN) {
            let sequence = tcp.sequence.wrapping_add(1);
            self.connection.half(party).start(sequence);
            self.fact(Fact::SynRepeated);
            return;
        }
        let half = self.connection.half(party);
        half.frames = half.frames.saturating_add(1);
        let notable = tcp.payload_len > 0 || tcp.flags & (Tcp::FIN | Tcp::RST) != 0;
        let half = self.connection.half(party);
        if !half.is_started() && !tcp.has(Tcp::RST) {
            half.start(tcp.sequence);
        }
        if notable
            && half.is_copy(
                tcp.sequence,
                tcp.payload_len,
                tcp.flags,
                envelope.ip_id,
                at.time,
                self.room,
            )
        {
            self.counters.copies += 1;
            self.fact(Fact::Copy);
            return;
        }
        if tcp.has(Tcp::ACK) {
            self.acknowledgment();
        }
        self.window();
        if tcp.payload_len > 0 || self.is_probe() {
            self.data();
        }
        if tcp.has(Tcp::FIN) {
            self.fin();
        }
        if tcp.has(Tcp::RST) {
            let half = self.connection.half(party);
            let offset = half.offset(tcp.sequence);
            self.connection.closed = true;
            self.fact(Fact::Reset { offset });
        }
        for party in [Party::Opener, Party::Acceptor] {
            while self.connection.half(party).gives_up(at.time, self.config) && self.skip(party) {}
        }
    }

    fn is_probe(&mut self) -> bool {
        let Incoming { tcp, party, .. } = self.incoming;
        tcp.flags & !Tcp::PSH == Tcp::ACK
            && tcp.payload_len == 0
            && self.connection.half(party).place(tcp.sequence, 0) == Place::KeepAlive
    }

    fn window(&mut self) {
        let Incoming { tcp, party, .. } = self.incoming;
        let closed = tcp.window == 0 && tcp.flags & (Tcp::RST | Tcp::FIN) == 0;
        let half = self.connection.half(party);
        let changed = closed && !half.window_closed;
        half.window_closed = closed;
        if changed {
            self.fact(Fact::WindowClosed);
        }
    }

    fn acknowledgment(&mut self) {
        let Incoming { tcp, party, at, .. } = self.incoming;
        let peer = self.connection.half(party.other());
        if !peer.is_started() {
            if tcp.flags & Tcp::RST == 0 {
                peer.start(tcp.acknowledgment);
            }
            return;
        }
        let moved = peer.acknowledge(tcp.acknowledgment, at.time);
        let offset = peer.acked();
        if !self.hungry() {
            return;
        }
        if moved {
            self.fact(Fact::Acked { offset });
        }
        if tcp.options.len() < 10 {
            return;
        }
        let peer = self.connection.half(party.other());
        let blocks = Options::parse(tcp.options).sack;
        let blocks = blocks.iter().flatten();
        let beyond = blocks
            .map(|(from, to)| (peer.offset(*from), peer.offset(*to)))
            .filter(|(from, to)| from > &offset && to > from);
        let edges = beyond.fold(None, |edges: Option<(u32, u32)>, (from, to)| {
            Some(edges.map_or((from, to), |(low, high)| (low.min(from), high.max(to))))
        });
        if let Some((from, to)) = edges {
            self.fact(Fact::Sack {
                acked: offset,
                from,
                to,
            });
        }
    }

    fn data(&mut self) {
        let Incoming { tcp, party, at, .. } = self.incoming;
        let half = self.connection.half(party);
        let (offset, len) = (half.offset(tcp.sequence), tcp.payload_len);
        let end = tcp.sequence.wrapping_add(len);
        let acked = half.acked();
        match half.place(tcp.sequence, len) {
            Place::KeepAlive => self.fact(Fact::KeepAlive),
            Place::Outside => {}
            Place::Old => self.fact(Fact::Repeat { offset, len, acked }),
            Place::Next { skip } => {
                let had_hole = half.hole().is_some();
                half.reach(end);
                if skip > 0 {
                    let len = skip;
                    self.fact(Fact::Repeat { offset, len, acked });
                }
                self.deliver(party, tcp.sequence, tcp.payload, len, skip, at);
                self.drain(party);
                if had_hole {
                    self.fact(Fact::Filled { offset });
                }
            }
            Place::Ahead => {
                let fresh = half.reach(end);
                let known = half.hole();
                let early = Early {
                    sequence: tcp.sequence,
                    octets: tcp.payload.into(),
                    len,
                    at,
                };
                let differs = half.keep(early);
                let hole = half.hole();
                if differs {
                    self.fact(Fact::Conflict { offset });
                }
                if !fresh {
                    self.fact(Fact::Repeat { offset, len, acked });
                } else if known.is_none()
                    && let Some((offset, len)) = hole
                {
                    self.fact(Fact::Hole { offset, len });
                }
            }
        }
    }

    /// Delivers the octets of a segment after the first `skip`.
    fn deliver(&mut self, party: Party, sequence: u32, octets: &[u8], len: u32, skip: u32, at: At) {
        let end = sequence.wrapping_add(len);
        let half = self.connection.half(party);
        let offset = half.next();
        half.advance(end);
        let fresh = usize::try_from(skip)
            .ok()
            .and_then(|skip| octets.get(skip..))
            .unwrap_or_default();
        if !fresh.is_empty() {
            let what = What::Octets {
                offset,
                octets: fresh,
            };
            self.give(party, at, what);
        }
        let present = u32::try_from(octets.len()).unwrap_or(u32::MAX).max(skip);
        if present < len {
            let what = What::Gap {
                offset: offset.wrapping_add(present - skip),
                len: len - present,
            };
            self.give(party, at, what);
        }
    }

    /// Delivers what waited and is next now.
    fn drain(&mut self, party: Party) {
        while let Some((early, skip)) = self.connection.half(party).ready() {
            self.deliver(
                party,
                early.sequence,
                &early.octets,
                early.len,
                skip,
                early.at,
            );
        }
    }

    /// Gives up the first hole of a direction; tells whether there was one.
    pub(super) fn skip(&mut self, party: Party) -> bool {
        let half = self.connection.half(party);
        let Some((offset, len)) = half.skip_hole() else {
            half.forget_early();
            return false;
        };
        self.counters.gaps += 1;
        self.give(party, self.incoming.at, What::Gap { offset, len });
        self.drain(party);
        true
    }

    fn fin(&mut self) {
        let Incoming { tcp, party, .. } = self.incoming;
        let sequence = tcp.sequence.wrapping_add(tcp.payload_len);
        let half = self.connection.half(party);
        let again = half.fin.is_some();
        half.fin = Some(sequence);
        let offset = half.offset(sequence);
        if !again {
            self.fact(Fact::Fin { offset });
        }
        let both = self.connection.halves.iter().all(|half| half.fin.is_some());
        self.connection.closed |= both;
    }
}
