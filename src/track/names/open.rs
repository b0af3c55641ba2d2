//! A look-up that is not over, as few octets: most are answered and never spoken of.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::Equivalent;
use vpnscope_dissectors::dns::{RecordType, ResponseCode};

use super::{Answer, KEPT, Look, Query};
use crate::tables::Keyed;
use crate::time::Timestamp;
use crate::track::session::Stamp;

/// What an answer says.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) at: Stamp,
    pub(super) server: IpAddr,
    pub(super) record_type: RecordType,
    pub(super) code: ResponseCode,
    pub(super) named: Vec<IpAddr>,
}

/// A client and a name that it looks up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) client: IpAddr,
    pub(super) name: Arc<str>,
}

/// A [`Key`] whose name is borrowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) client: IpAddr,
    /// ASCII.
    pub(super) name: &'a [u8],
}

impl Key {
    fn asked(&self) -> Asked<'_> {
        Asked {
            client: self.client,
            name: self.name.as_bytes(),
        }
    }
}

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.client {
            IpAddr::V4(v4) => state.write_u32(v4.to_bits()),
            IpAddr::V6(v6) => state.write_u128(v6.to_bits()),
        }
        state.write(self.name);
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.asked().hash(state);
    }
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.client == key.client && *self.name == *key.name.as_bytes()
    }
}

impl From<&Asked<'_>> for Key {
    fn from(asked: &Asked<'_>) -> Self {
        Self {
            client: asked.client,
            name: std::str::from_utf8(asked.name).unwrap_or_default().into(),
        }
    }
}

/// A look-up that is not over.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) name: Arc<str>,
    pub(super) client: IpAddr,
    /// The client's, of the first query.
    pub(super) port: u16,
    /// An answer named an address: nothing will be said of it.
    pub(super) resolved: bool,
    /// The type asked for first, and the server asked.
    pub(super) record_type: RecordType,
    pub(super) server: IpAddr,
    pub(super) first: Stamp,
    pub(super) last: Timestamp,
    pub(super) asked: u32,
    /// What came behind the first query, as long as no address was named.
    pub(super) more: Option<Box<More>>,
}

/// What follows the first query of a look-up.
#[derive(Debug, Default)]
pub(super) struct More {
    queries: Vec<Repeat>,
    /// Servers that were asked besides the first.
    servers: Vec<IpAddr>,
    answers: Vec<Answer>,
}

/// A query that is not the first.
#[derive(Debug)]
struct Repeat {
    at: Stamp,
    record_type: RecordType,
    /// Whom it asked: the first server, or, from 1 on, one of the others.
    server: u8,
}

impl More {
    /// Repeats that room is made for at a time: there are many look-ups.
    const ROOM: usize = 4;

    fn push(&mut self, query: Query, first: IpAddr) {
        let others = &mut self.servers;
        let place = if query.server == first {
            0
        } else {
            let known = others.iter().position(|known| *known == query.server);
            1 + known.unwrap_or_else(|| {
                others.push(query.server);
                others.len() - 1
            })
        };
        if self.queries.len() == self.queries.capacity() {
            self.queries.reserve_exact(Self::ROOM);
        }
        self.queries.push(Repeat {
            at: query.at,
            record_type: query.record_type,
            // No more than KEPT.
            server: u8::try_from(place).unwrap_or_default(),
        });
    }

    fn query(&self, repeat: &Repeat, first: IpAddr) -> Query {
        let other = usize::from(repeat.server).checked_sub(1);
        let other = other.and_then(|place| self.servers.get(place));
        Query {
            at: repeat.at,
            server: other.copied().unwrap_or(first),
            record_type: repeat.record_type,
        }
    }
}

impl Keyed for Open {
    type Key<'a> = Asked<'a>;

    fn key(&self) -> Asked<'_> {
        Asked {
            client: self.client,
            name: self.name.as_bytes(),
        }
    }

    fn is(&self, asked: &Asked<'_>) -> bool {
        self.client == asked.client && *self.name.as_bytes() == *asked.name
    }
}

impl Open {
    pub(super) fn by_whom(&self) -> (IpAddr, &str) {
        (self.client, &self.name)
    }

    pub(super) fn to_key(&self) -> Key {
        Key {
            client: self.client,
            name: Arc::clone(&self.name),
        }
    }

    pub(super) fn first(&self) -> Query {
        Query {
            at: self.first,
            server: self.server,
            record_type: self.record_type,
        }
    }

    /// Takes a query that is not the first.
    pub(super) fn count(&mut self, query: Query) {
        self.asked = self.asked.saturating_add(1);
        if !self.resolved {
            let more = self.more.get_or_insert_default();
            if more.queries.len() + 1 < KEPT {
                more.push(query, self.server);
            }
        }
    }

    /// Takes an answer.
    pub(super) fn answer(&mut self, told: &Told) {
        self.last = self.last.max(told.at.time);
        self.resolved |= !told.named.is_empty();
        if self.resolved {
            self.more = None;
            return;
        }
        let answers = &mut self.more.get_or_insert_default().answers;
        if answers.len() < KEPT {
            if answers.capacity() == 0 {
                answers.reserve_exact(1);
            }
            answers.push(Answer {
                at: told.at,
                server: told.server,
                record_type: told.record_type,
                code: told.code,
                addresses: u32::try_from(told.named.len()).unwrap_or(u32::MAX),
            });
        }
    }

    pub(super) fn look(&self) -> Look {
        let queries = self.more.iter().flat_map(|more| {
            let queries = more.queries.iter();
            queries.map(|repeat| more.query(repeat, self.server))
        });
        let answers = self.more.iter().flat_map(|more| &more.answers);
        Look {
            name: self.name.to_string(),
            queries: std::iter::once(self.first()).chain(queries).collect(),
            asked: self.asked,
            answers: answers.copied().collect(),
            resolved: self.resolved,
        }
    }
}
