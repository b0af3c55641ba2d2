//! DNS: which name a client looked up before it went to an address, and look-ups that came to
//! nothing.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use vpnscope_dissectors::dns::{Data, Message, Questions, RecordType, ResponseCode};

use super::session::{Endpoint, Stamp};
use super::tls::Lookup;
use super::{Core, DnsSight};
use crate::tables::Boxes;
use crate::time::{Span, Timestamp};

mod open;
mod untold;
mod words;

use open::{Asked, Key, Open, Told};
use untold::session;
pub use words::looks_like_vpn;

/// One name looked up by one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The name, lower case.
    pub name: String,
    /// Queries: when, what for, and which server was asked. Bounded.
    pub queries: Vec<Query>,
    /// Queries in all.
    pub asked: u32,
    /// Answers. Bounded.
    pub answers: Vec<Answer>,
    /// An answer named an address.
    pub resolved: bool,
}

/// A query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Its frame.
    pub at: Stamp,
    /// The server.
    pub server: IpAddr,
    /// The type asked for.
    pub record_type: RecordType,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Its frame.
    pub at: Stamp,
    /// The server.
    pub server: IpAddr,
    /// The type that was asked for.
    pub record_type: RecordType,
    /// Its code.
    pub code: ResponseCode,
    /// How many addresses it names.
    pub addresses: u32,
}

impl Look {
    /// Servers that were asked, each once.
    pub fn servers(&self) -> Vec<IpAddr> {
        let all: BTreeSet<IpAddr> = self.queries.iter().map(|query| query.server).collect();
        all.into_iter().collect()
    }
}

/// All look-ups.
#[derive(Debug, Default)]
pub(super) struct Names {
    open: Boxes<Open>,
    /// The last name that was looked up for an address, and by whom.
    addresses: HashMap<IpAddr, Named, RandomState>,
    order: VecDeque<IpAddr>,
    /// How many of `addresses` a client learned by a name, and when the last of them.
    learned: HashMap<Key, (u32, Timestamp), RandomState>,
    /// Names that led to a session, and when. Bounded.
    carried: HashMap<Arc<str>, Timestamp, RandomState>,
    /// The name at hand.
    text: Vec<u8>,
    /// The last answers to questions that were not seen. Bounded.
    early: HashMap<Key, Vec<Told>, RandomState>,
}

#[derive(Debug, Clone)]
struct Named {
    name: Arc<str>,
    client: IpAddr,
    asked: Stamp,
    answered: Stamp,
}

impl Named {
    /// Whether what began then may have followed from it.
    fn is_believed(&self, began: Timestamp) -> bool {
        is_believed(self.answered.time, began)
    }
}

/// Whether what a name meant at a time may still be so.
fn is_believed(then: Timestamp, now: Timestamp) -> bool {
    now - then <= BELIEVED
}

/// Addresses that are remembered.
const ADDRESSES_KEPT: usize = 50_000;

/// Queries and answers of a look-up that are kept.
const KEPT: usize = 24;

/// Questions that were not seen, of which answers are remembered; beyond it, all are forgotten.
const EARLY_KEPT: usize = 1024;

/// Answers to one of them.
const EARLY_EACH: usize = 8;

/// How long before a session a name may have been looked up for its gateway: addresses move on.
const BELIEVED: Span = Span::from_secs(6 * 3600);

/// Silence after which a look-up is over.
const IDLE: Span = Span::from_secs(60);

impl Names {
    /// Adds a message.
    pub(super) fn handle(&mut self, core: &mut Core, sight: &DnsSight, message: &Message<'_>) {
        let mut questions = message.questions();
        let Some(Ok(question)) = questions.next() else {
            return;
        };
        let is_address = matches!(
            question.record_type,
            RecordType::A | RecordType::AAAA | RecordType::HTTPS | RecordType::SVCB
        );
        if !is_address || question.class != 1 {
            return;
        }
        let mut text = std::mem::take(&mut self.text);
        question.name.put_lower_case(&mut text);
        if message.flags.is_response() {
            let asked = Asked {
                client: sight.destination.0,
                name: &text,
            };
            if core.config.waits || self.open.get(&asked).is_some() {
                let told = told(sight, message, question.record_type, questions);
                self.answer(asked, told, core.config.waits);
            }
        } else {
            self.query(core, sight, &text, question.record_type);
        }
        self.text = text;
    }

    fn query(&mut self, core: &mut Core, sight: &DnsSight, name: &[u8], record_type: RecordType) {
        let asked = Asked {
            client: sight.source.0,
            name,
        };
        let query = Query {
            at: sight.at,
            server: sight.destination.0,
            record_type,
        };
        let time = sight.at.time;
        match self.open.get_mut(&asked) {
            Some(open) if time - open.last > IDLE => {
                if let Some(open) = self.open.remove(&asked) {
                    self.end(core, &open);
                }
            }
            Some(open) => {
                open.last = open.last.max(time);
                open.count(query);
                return;
            }
            None => {}
        }
        if self.open.len() >= core.config.lookups {
            // It may be answered all the same: nothing is said of it.
            core.counters.evicted_lookups += 1;
            return;
        }
        let Key { client, name } = Key::from(&asked);
        self.open.insert(Box::new(Open {
            name,
            client,
            port: sight.source.1,
            resolved: false,
            record_type,
            server: query.server,
            first: query.at,
            last: time,
            asked: 1,
            more: None,
        }));
        if !self.early.is_empty() && core.config.waits {
            self.answered_before(asked, time);
        }
    }

    /// Takes the answers that stand in the file a little before their question.
    fn answered_before(&mut self, asked: Asked<'_>, now: Timestamp) {
        for told in self.early.remove(&asked).into_iter().flatten() {
            if now - told.at.time <= Stamp::JITTER {
                self.note(asked, &told);
            }
        }
    }

    fn answer(&mut self, asked: Asked<'_>, told: Told, waits: bool) {
        if self.note(asked, &told) || !waits {
            return;
        }
        if self.early.len() >= EARLY_KEPT {
            self.early.clear();
        }
        match self.early.get_mut(&asked) {
            Some(list) if list.len() < EARLY_EACH => list.push(told),
            Some(_) => {}
            None => {
                self.early.insert(Key::from(&asked), vec![told]);
            }
        }
    }

    /// Notes an answer to a question that is known; `false` where it is not.
    fn note(&mut self, asked: Asked<'_>, told: &Told) -> bool {
        let Some(open) = self.open.get_mut(&asked) else {
            return false;
        };
        open.answer(told);
        if !told.named.is_empty() {
            let (key, first) = (open.to_key(), open.first);
            self.learn(&key, first, told);
        }
        true
    }

    /// Remembers the addresses that an answer names.
    fn learn(&mut self, key: &Key, first: Stamp, told: &Told) {
        let at = told.at;
        for &address in &told.named {
            let known = Named {
                name: key.name.clone(),
                client: key.client,
                asked: first,
                answered: at,
            };
            let learned = self.learned.entry_ref(key);
            let (count, last) = learned.or_insert((0, at.time));
            *count += 1;
            *last = at.time.max(*last);
            match self.addresses.insert(address, known) {
                Some(before) => self.unlearn(&before),
                None => self.order.push_back(address),
            }
        }
        while self.order.len() > ADDRESSES_KEPT {
            let oldest = self.order.pop_front();
            if let Some(named) = oldest.and_then(|oldest| self.addresses.remove(&oldest)) {
                self.unlearn(&named);
            }
        }
    }

    fn unlearn(&mut self, named: &Named) {
        let asked = Asked {
            client: named.client,
            name: named.name.as_bytes(),
        };
        if let Some((count, _)) = self.learned.get_mut(&asked) {
            *count -= 1;
            if *count == 0 {
                self.learned.remove(&asked);
            }
        }
    }

    /// Whether a client learned an address by a name, or by one that a search list made the
    /// name from.
    fn found_otherwise(&self, client: IpAddr, name: &str, asked: Timestamp) -> bool {
        let mut name = name;
        loop {
            let asked_for = Asked {
                client,
                name: name.as_bytes(),
            };
            let learned = self.learned.get(&asked_for);
            if learned.is_some_and(|(_, last)| is_believed(*last, asked)) {
                return true;
            }
            let Some((shorter, _)) = name.rsplit_once('.') else {
                return false;
            };
            name = shorter;
        }
    }

    /// What the client of a session looked up before it went to its gateway.
    pub(super) fn lookup(
        &mut self,
        client: IpAddr,
        gateway: IpAddr,
        began: Timestamp,
    ) -> Option<Lookup> {
        let named = self.addresses.get(&gateway);
        let named = named.filter(|named| named.is_believed(began))?;
        if let Some(last) = self.carried.get_mut(&named.name) {
            *last = began.max(*last);
        } else if self.carried.len() < ADDRESSES_KEPT {
            self.carried.insert(named.name.clone(), began);
        }
        (named.client == client).then(|| Lookup {
            name: named.name.to_string(),
            asked: named.asked,
            answered: Some(named.answered),
        })
    }

    /// The name that anybody looked up for an address, not long before something began.
    pub(super) fn name(&self, gateway: IpAddr, began: Timestamp) -> Option<&str> {
        self.addresses
            .get(&gateway)
            .filter(|named| named.is_believed(began))
            .map(|named| &*named.name)
    }

    /// Ends look-ups that are over.
    pub(super) fn advance(&mut self, core: &mut Core, now: Timestamp) {
        let mut over = self.open.take_where(|open| now - open.last > IDLE);
        over.retain(|open| self.came_to_nothing(open));
        over.sort_unstable_by(|open, other| open.by_whom().cmp(&other.by_whom()));
        for open in over {
            self.end(core, &open);
        }
    }

    /// Ends all look-ups: the capture ended.
    pub(super) fn finish(&mut self, core: &mut Core) {
        let all = self.open.take();
        let mut all: Vec<_> = all.filter(|open| self.came_to_nothing(open)).collect();
        all.sort_unstable_by(|open, other| {
            let first = open.first.cmp(&other.first);
            first.then_with(|| open.by_whom().cmp(&other.by_whom()))
        });
        for open in all {
            self.end(core, &open);
        }
    }

    /// Whether a look-up, of a name that is about a VPN or led to one, gave no address.
    fn came_to_nothing(&self, open: &Open) -> bool {
        let carried = || self.carried.get(&open.name);
        let led = || carried().is_some_and(|last| is_believed(*last, open.first.time));
        !open.resolved && (looks_like_vpn(&open.name) || led())
    }

    /// A look-up that came to nothing is a session of its own, where it is about a VPN.
    fn end(&mut self, core: &mut Core, open: &Open) {
        if !self.came_to_nothing(open)
            || self.found_otherwise(open.client, &open.name, open.first.time)
        {
            return;
        }
        let client = Endpoint {
            ip: open.client,
            port: open.port,
        };
        core.open_closed(session(open.look(), client, open.first()));
    }
}

/// What an answer says, of which the questions up to these were read.
fn told(
    sight: &DnsSight,
    message: &Message<'_>,
    record_type: RecordType,
    questions: Questions<'_>,
) -> Told {
    let mut named: Vec<IpAddr> = Vec::new();
    for record in message.answers_after(questions).flatten().take(64) {
        match record.data {
            Data::Ipv4(address) => named.push(address.into()),
            Data::Ipv6(address) => named.push(address.into()),
            _ => {}
        }
    }
    Told {
        at: sight.at,
        server: sight.source.0,
        record_type,
        code: message.flags.response_code(),
        named,
    }
}
