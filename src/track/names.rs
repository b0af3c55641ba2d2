//! DNS: which name a client looked up before it went to an address, and look-ups that came to
//! nothing.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashMap};
use vpnscope_dissectors::dns::{Data, Message, Questions, RecordType, ResponseCode};

use super::session::{Detail, Endpoint, Kind, Session, Side, Stamp, Step};
use super::tls::Lookup;
use super::{Core, DnsSight};
use crate::tables::{Boxes, Keyed};
use crate::time::{Span, Timestamp};

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

/// What an answer says.
#[derive(Debug)]
struct Told {
    at: Stamp,
    server: IpAddr,
    record_type: RecordType,
    code: ResponseCode,
    named: Vec<IpAddr>,
}

/// A client and a name that it looks up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    client: IpAddr,
    name: Arc<str>,
}

/// A [`Key`] whose name is borrowed.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    client: IpAddr,
    /// ASCII.
    name: &'a [u8],
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
struct Open {
    name: Arc<str>,
    client: IpAddr,
    /// The client's, of the first query.
    port: u16,
    /// An answer named an address: nothing will be said of it.
    resolved: bool,
    /// The type asked for first, and the server asked.
    record_type: RecordType,
    server: IpAddr,
    first: Stamp,
    last: Timestamp,
    asked: u32,
    /// What came behind the first query, as long as no address was named.
    more: Option<Box<More>>,
}

/// What follows the first query of a look-up.
#[derive(Debug, Default)]
struct More {
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
    fn by_whom(&self) -> (IpAddr, &str) {
        (self.client, &self.name)
    }

    fn to_key(&self) -> Key {
        Key {
            client: self.client,
            name: Arc::clone(&self.name),
        }
    }

    fn first(&self) -> Query {
        Query {
            at: self.first,
            server: self.server,
            record_type: self.record_type,
        }
    }

    /// Takes a query that is not the first.
    fn count(&mut self, query: Query) {
        self.asked = self.asked.saturating_add(1);
        if !self.resolved {
            let more = self.more.get_or_insert_default();
            if more.queries.len() + 1 < KEPT {
                more.push(query, self.server);
            }
        }
    }

    /// Takes an answer.
    fn answer(&mut self, told: &Told) {
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

    fn look(&self) -> Look {
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
                Some(before) => self.unlearn(before),
                None => self.order.push_back(address),
            }
        }
        while self.order.len() > ADDRESSES_KEPT {
            let oldest = self.order.pop_front();
            if let Some(named) = oldest.and_then(|oldest| self.addresses.remove(&oldest)) {
                self.unlearn(named);
            }
        }
    }

    fn unlearn(&mut self, named: Named) {
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

fn session(look: Look, client: Endpoint, first: Query) -> Session {
    let gateway = Endpoint {
        ip: first.server,
        port: 53,
    };
    let name = look.name.clone();
    let mut steps: Vec<Step> = Vec::new();
    let mut last = first.at;
    for query in &look.queries {
        let text = format!("DNS query {} {}", query.record_type, name);
        let repeats = steps
            .iter_mut()
            .find(|step| step.message == text && step.flow.destination.0 == query.server);
        last = last.max(query.at);
        match repeats {
            Some(step) => step.repeats.note(query.at),
            None => steps.push(step(query.at, Side::Client, text, client, query.server)),
        }
    }
    for answer in &look.answers {
        let text = format!("DNS answer {}", answer.code);
        last = last.max(answer.at);
        steps.push(step(answer.at, Side::Gateway, text, client, answer.server));
    }
    steps.sort_by_key(|step| step.at);
    let frames = look.queries.len() + look.answers.len();
    let mut session = Session::empty(
        Kind::Dns,
        client,
        gateway,
        first.at,
        Detail::Dns(Box::new(look)),
    );
    session.last = last;
    session.frames = u64::try_from(frames).unwrap_or(u64::MAX);
    session.gateway_name = Some(name);
    session.steps = steps;
    let answers = session
        .steps
        .iter()
        .filter(|step| step.from == Side::Gateway);
    session.vantage.frames.gateway = answers.count() as u64;
    session.vantage.frames.client = session.frames - session.vantage.frames.gateway;
    session
}

fn step(at: Stamp, from: Side, message: String, client: Endpoint, server: IpAddr) -> Step {
    let flow = crate::decap::Flow {
        source: (client.ip, client.port),
        destination: (server, 53),
    };
    let flow = if from == Side::Client {
        flow
    } else {
        flow.reversed()
    };
    Step::bare(at, from, message, flow)
}

/// Whether a name looks like that of a VPN gateway: one of its labels is, or begins or ends
/// with, a word that people use for one.
pub fn looks_like_vpn(name: &str) -> bool {
    thread_local! {
        /// The name that was asked about last: the same one is asked about several times.
        static JUDGED: std::cell::RefCell<(String, bool)> =
            const { std::cell::RefCell::new((String::new(), false)) };
    }
    JUDGED.with_borrow_mut(|(last, verdict)| {
        if last != name {
            last.clear();
            last.push_str(name);
            *verdict = holds_word_of_vpn(name);
        }
        *verdict
    })
}

fn holds_word_of_vpn(name: &str) -> bool {
    const WORDS: [&str; 14] = [
        "vpn",
        "ras",
        "remote",
        "connect",
        "gw",
        "gateway",
        "anyconnect",
        "sslvpn",
        "ipsec",
        "ikev2",
        "l2tp",
        "dialin",
        "einwahl",
        "webvpn",
    ];
    const PARTS: [&str; 3] = ["vpn", "anyconnect", "globalprotect"];
    let host = name.trim_end_matches('.');
    // The registered domain says who runs it, not what it is: the last two labels count only
    // with an unmistakable word.
    let count = host.split('.').count();
    let own = count.saturating_sub(2).max(1);
    host.split('.').enumerate().any(|(place, label)| {
        let bare = label.trim_matches(|c: char| c.is_ascii_digit() || c == '-');
        let word = place < own
            && label.split('-').chain([bare]).any(|part| {
                let part = part.trim_matches(|c: char| c.is_ascii_digit());
                WORDS.iter().any(|word| word.eq_ignore_ascii_case(part))
            });
        word || PARTS.iter().any(|part| holds(label, part))
    })
}

/// Whether a label holds a word, in capitals or not.
fn holds(label: &str, word: &str) -> bool {
    label
        .as_bytes()
        .windows(word.len())
        .any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_gateways() {
        for name in [
            "vpn.example.test",
            "vpn2.example.test",
            "ras.firm.example",
            "gw-01.firm.example",
            "sslvpn.firm.example",
            "remote.firm.example.",
            "myvpn.example.com",
            "eu-west.corpvpn.net",
        ] {
            assert!(looks_like_vpn(name), "{name}");
        }
        for name in [
            "www.example.com",
            "connectivity-check.ubuntu.com",
            "grass.example.com",
            "mail.gw.com",
            "",
        ] {
            assert!(!looks_like_vpn(name), "{name}");
        }
    }
}
