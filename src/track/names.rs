//! DNS: which name a client looked up before it went to an address, and look-ups that came to
//! nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use vpnscope_dissectors::dns::{Data, Message, RecordType, ResponseCode};

use super::session::{Detail, Endpoint, Kind, Session, Side, Stamp, Step};
use super::tls::Lookup;
use super::{Core, Event};
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
    /// By client and name.
    open: BTreeMap<(IpAddr, String), Open>,
    /// The last name that was looked up for an address, and by whom.
    addresses: BTreeMap<IpAddr, Named>,
    order: VecDeque<IpAddr>,
    /// How many of `addresses` a client learned by a name, and when the last of them.
    learned: BTreeMap<(IpAddr, String), (u32, Timestamp)>,
    /// Names that led to a session, and when. Bounded.
    carried: BTreeMap<String, Timestamp>,
}

#[derive(Debug)]
struct Open {
    look: Look,
    client: Endpoint,
    last: Timestamp,
}

#[derive(Debug, Clone)]
struct Named {
    name: String,
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
/// How long before a session a name may have been looked up for its gateway: addresses move on.
const BELIEVED: Span = Span::from_secs(6 * 3600);
/// Silence after which a look-up is over.
const IDLE: Span = Span::from_secs(60);

impl Names {
    /// Adds a message.
    pub(super) fn handle(&mut self, core: &mut Core, event: &Event<'_>, message: &Message<'_>) {
        let Some(Ok(question)) = message.questions().next() else {
            return;
        };
        let is_address = matches!(
            question.record_type,
            RecordType::A | RecordType::AAAA | RecordType::HTTPS | RecordType::SVCB
        );
        if !is_address || question.class != 1 {
            return;
        }
        let name = question.name.lower_case();
        if message.flags.is_response() {
            self.answer(event, name, message);
        } else {
            self.query(core, event, name, question.record_type);
        }
    }

    fn query(&mut self, core: &mut Core, event: &Event<'_>, name: String, record_type: RecordType) {
        let envelope = event.envelope;
        let key = (envelope.source, name);
        let over = self
            .open
            .get(&key)
            .is_some_and(|open| envelope.time - open.last > IDLE);
        if over && let Some(open) = self.open.remove(&key) {
            self.end(core, open);
        }
        if self.open.len() >= core.config.lookups && !self.open.contains_key(&key) {
            // Whatever comes first: it might have been answered, so nothing is said of it.
            self.open.pop_first();
            core.counters.evicted_lookups += 1;
        }
        let open = self.open.entry(key).or_insert_with_key(|(ip, name)| Open {
            look: Look {
                name: name.clone(),
                queries: Vec::new(),
                asked: 0,
                answers: Vec::new(),
                resolved: false,
            },
            client: Endpoint {
                ip: *ip,
                port: envelope.source_port,
            },
            last: envelope.time,
        });
        open.last = open.last.max(envelope.time);
        open.look.asked = open.look.asked.saturating_add(1);
        if open.look.queries.len() < KEPT {
            open.look.queries.push(Query {
                at: Stamp::from(envelope),
                server: envelope.destination,
                record_type,
            });
        }
    }

    fn answer(&mut self, event: &Event<'_>, name: String, message: &Message<'_>) {
        let envelope = event.envelope;
        let key = (envelope.destination, name);
        let Some(open) = self.open.get_mut(&key) else {
            return;
        };
        open.last = open.last.max(envelope.time);
        let at = Stamp::from(envelope);
        let mut addresses: u32 = 0;
        let asked = open.look.queries.first().map_or(at, |query| query.at);
        let mut named: Vec<IpAddr> = Vec::new();
        for record in message.answers().flatten().take(64) {
            match record.data {
                Data::Ipv4(address) => named.push(address.into()),
                Data::Ipv6(address) => named.push(address.into()),
                _ => continue,
            }
            addresses += 1;
        }
        open.look.resolved |= addresses > 0;
        if open.look.answers.len() < KEPT {
            open.look.answers.push(Answer {
                at,
                server: envelope.source,
                code: message.flags.response_code(),
                addresses,
            });
        }
        let (client, name) = key;
        for address in named {
            let known = Named {
                name: name.clone(),
                client,
                asked,
                answered: at,
            };
            let learned = self.learned.entry((client, name.clone()));
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
        let key = (named.client, named.name);
        if let Some((count, _)) = self.learned.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.learned.remove(&key);
            }
        }
    }

    /// Whether a client learned an address by a name, or by one that a search list made the
    /// name from.
    fn found_otherwise(&self, client: IpAddr, name: &str, asked: Timestamp) -> bool {
        let mut key = (client, name.to_string());
        loop {
            let learned = self.learned.get(&key);
            if learned.is_some_and(|(_, last)| is_believed(*last, asked)) {
                return true;
            }
            let Some((shorter, _)) = key.1.rsplit_once('.') else {
                return false;
            };
            key.1.truncate(shorter.len());
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
            name: named.name.clone(),
            asked: named.asked,
            answered: Some(named.answered),
        })
    }

    /// The name that anybody looked up for an address, not long before something began.
    pub(super) fn name(&self, gateway: IpAddr, began: Timestamp) -> Option<&str> {
        self.addresses
            .get(&gateway)
            .filter(|named| named.is_believed(began))
            .map(|named| named.name.as_str())
    }

    /// Ends look-ups that are over.
    pub(super) fn advance(&mut self, core: &mut Core, now: Timestamp) {
        let over: Vec<_> = self
            .open
            .iter()
            .filter(|(_, open)| now - open.last > IDLE)
            .map(|(key, _)| key.clone())
            .collect();
        for key in over {
            if let Some(open) = self.open.remove(&key) {
                self.end(core, open);
            }
        }
    }

    /// Ends all look-ups: the capture ended.
    pub(super) fn finish(&mut self, core: &mut Core) {
        let mut all: Vec<Open> = std::mem::take(&mut self.open).into_values().collect();
        all.sort_by_key(|open| open.look.queries.first().map(|query| query.at));
        for open in all {
            self.end(core, open);
        }
    }

    /// A look-up that came to nothing is a session of its own, where it is about a VPN.
    fn end(&mut self, core: &mut Core, open: Open) {
        let Open { look, client, .. } = open;
        let Some(first) = look.queries.first().copied() else {
            return;
        };
        let asked = first.at.time;
        let carried = self.carried.get(&look.name);
        let led = carried.is_some_and(|last| is_believed(*last, asked));
        if look.resolved || (!led && !looks_like_vpn(&look.name)) {
            return;
        }
        if self.found_otherwise(client.ip, &look.name, asked) {
            return;
        }
        core.open_closed(session(look, client, first));
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
