//! What verdicts know besides their session: the captures, and what was learned from all
//! sessions that closed before.

use std::hash::Hash;
use std::net::IpAddr;

use vpnscope_dissectors::ike::v1::IkeSuite;

use super::{rules, tls};
use crate::tables::Blocks;
use crate::tables::book::Book;
use crate::time::Timestamp;
use crate::track::ike1::Ike1;
use crate::track::ike2::{IkeSa, Suite};
use crate::track::session::{Endpoint, Kind, Session, Side};
use crate::track::tls::Tls;
use crate::track::vantage::Told;
use crate::track::{LoneSight, Unanswered};

/// What is known of a capture as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CaptureFacts {
    /// Its first and last frame's times.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Frames the capturing host dropped.
    pub dropped: Option<u64>,
    /// Whether snaplen cut frames.
    pub truncated: bool,
    /// Whether a filter chose the frames.
    pub filtered: bool,
    /// When nothing could be captured, from and to.
    pub blind: Vec<(Timestamp, Timestamp)>,
}

/// What others need to know of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Its client.
    pub client: Endpoint,
    /// Its first frame's time.
    pub first: Timestamp,
    /// The gateway's last message, where it sent any.
    pub answered: Option<Timestamp>,
    /// When data began to flow.
    pub granted: Option<Timestamp>,
}

/// Attempts at one gateway.
#[derive(Debug, Clone, Copy)]
struct Attempts {
    /// All of them.
    count: u32,
    /// The first and the last that was answered or granted something; [`Kept::NONE`] where none
    /// was.
    first: u32,
    last: u32,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            count: 0,
            first: Kept::NONE,
            last: Kept::NONE,
        }
    }
}

/// An attempt, and the place of the next one at the same gateway. Times that there are none of
/// are the earliest there is: there are very many attempts, and a word each would say no more.
#[derive(Debug)]
struct Kept {
    client: Endpoint,
    /// [`Kept::NONE`] at the last one.
    next: u32,
    first: Timestamp,
    answered: Timestamp,
    granted: Timestamp,
}

impl Kept {
    const NONE: u32 = u32::MAX;
    const NEVER: Timestamp = Timestamp(i64::MIN);

    fn new(attempt: &Attempt) -> Self {
        Self {
            client: attempt.client,
            next: Self::NONE,
            first: attempt.first,
            answered: attempt.answered.unwrap_or(Self::NEVER),
            granted: attempt.granted.unwrap_or(Self::NEVER),
        }
    }

    fn attempt(&self) -> Attempt {
        let time = |time| (time != Self::NEVER).then_some(time);
        Attempt {
            client: self.client,
            first: self.first,
            answered: time(self.answered),
            granted: time(self.granted),
        }
    }
}

/// A suite that a gateway accepted, and the place of the one before it. Gateways that accepted
/// the same in the same order share them.
type Link<S> = (Option<u32>, S);

/// What gateways accepted.
#[derive(Debug)]
struct Accepted<S> {
    /// Gateway: the last suite.
    last: Book<IpAddr, u32>,
    places: hashbrown::HashMap<Link<S>, u32, foldhash::fast::RandomState>,
    links: Blocks<Link<S>>,
}

impl<S> Default for Accepted<S> {
    fn default() -> Self {
        Self {
            last: Book::default(),
            places: hashbrown::HashMap::default(),
            links: Blocks::default(),
        }
    }
}

impl<S: Copy + Eq + Hash> Accepted<S> {
    /// Suites of one gateway that are remembered.
    const EACH: usize = 64;

    fn of(&self, gateway: &IpAddr) -> Option<Vec<S>> {
        let mut place = Some(*self.last.get(gateway)?);
        let mut list = Vec::new();
        while let Some((before, suite)) = place.and_then(|place| self.links.get(place)) {
            list.push(*suite);
            place = *before;
        }
        list.reverse();
        Some(list)
    }

    fn note(&mut self, gateway: IpAddr, suite: S) {
        let last = self.last.get(&gateway).copied();
        let (mut place, mut len) = (last, 0);
        while let Some((before, known)) = place.and_then(|place| self.links.get(place)) {
            len += 1;
            if *known == suite || len >= Self::EACH {
                return;
            }
            place = *before;
        }
        let link = (last, suite);
        let links = &mut self.links;
        let place = *self.places.entry(link).or_insert_with(|| links.push(link));
        *self.last.or_insert_with(gateway, || place) = place;
    }
}

/// What a rule may know besides the session.
#[derive(Debug, Default)]
pub struct Context {
    /// The captures.
    pub captures: Vec<CaptureFacts>,
    /// Addresses from which something was seen in these captures, bounded.
    pub heard: Book<IpAddr>,
    /// IKE transforms that a gateway accepted from anybody. Bounded.
    accepted: Accepted<Suite>,
    /// The same of IKEv1, lifetimes left out.
    accepted_ikev1: Accepted<IkeSuite>,
    /// Gateways of which a negotiation that went well was not seen: what they accepted is not
    /// known. Bounded.
    pub accepted_unseen: Book<IpAddr>,
    /// Addresses between which IKE was seen: client and gateway. Bounded.
    pub ike: Book<(IpAddr, IpAddr)>,
    /// Attempts by gateway. Bounded.
    attempts: Book<IpAddr, Attempts>,
    /// Those that were answered or granted something.
    told: Blocks<Kept>,
    /// How many of them are a client's at a gateway, and when the first of these began: there
    /// may be very many, and each is asked how many others there are.
    tries: Book<(IpAddr, IpAddr), (u32, Timestamp)>,
    /// How many of those began at a time, where there are several.
    began: hashbrown::HashMap<(IpAddr, IpAddr, Timestamp), u32, foldhash::fast::RandomState>,
    /// How many they are.
    attempts_kept: usize,
    /// The gateway that the user named.
    pub gateway: Option<IpAddr>,
    /// Addresses and ports at which a VPN over TLS was seen. Bounded.
    pub vpn_gateways: Book<(IpAddr, u16)>,
    /// Addresses of clients and gateways between which a tunnel over TLS was seen. Bounded.
    pub tunnels: Book<(IpAddr, IpAddr)>,
    /// The same, of tunnels in DTLS whose channel over TCP was not found: from when to when there
    /// were any. Bounded.
    pub lone_tunnels: Book<(IpAddr, IpAddr), (Timestamp, Timestamp)>,
    /// Addresses to which this capture shows nothing of what they answer to. Bounded.
    pub deaf: Book<IpAddr>,
    /// Addresses of clients and servers between which TLS came up. Bounded.
    pub channels: Book<(IpAddr, IpAddr)>,
    /// Addresses and ports that answered with TLS. Bounded.
    pub tls_servers: Book<(IpAddr, u16)>,
    /// Where the user says that the captures stand.
    pub at: Option<Told>,
    /// Sessions by capture from which messages are missing.
    pub holes: std::collections::BTreeMap<u16, u32>,
    /// Frames that vpnscope itself sent, by capture. Bounded by who reads the file.
    pub own: std::collections::BTreeSet<(u16, u64)>,
}

impl Context {
    /// Whether a tunnel in DTLS whose channel over TCP was not found lived while a session did,
    /// between the same ends: then it is this session's, whatever the capture lacks.
    pub fn has_lone_tunnel(&self, session: &Session) -> bool {
        self.lone_tunnels
            .get(&(session.client.ip, session.gateway.ip))
            .is_some_and(|(first, last)| *first <= session.last.time && *last >= session.first.time)
    }

    /// How many addresses are remembered.
    pub const KEPT: usize = 100_000;

    /// How many attempts are remembered of one gateway: the first ones.
    const ATTEMPTS: u32 = 4096;

    /// Nothing but the gateway that the user named, if any.
    pub fn new(gateway: Option<IpAddr>) -> Self {
        Self {
            gateway,
            ..Self::default()
        }
    }

    /// Suites that a gateway accepted from anybody, the first one first.
    pub fn accepted(&self, gateway: &IpAddr) -> Option<Vec<Suite>> {
        self.accepted.of(gateway)
    }

    /// As [`Context::accepted`], of IKEv1, lifetimes left out.
    pub fn accepted_ikev1(&self, gateway: &IpAddr) -> Option<Vec<IkeSuite>> {
        self.accepted_ikev1.of(gateway)
    }

    /// Attempts at a gateway that were answered or granted something, the first one first.
    pub fn told(&self, gateway: &IpAddr) -> impl Iterator<Item = Attempt> {
        let first = self.attempts.get(gateway).map(|list| list.first);
        let mut next = first.unwrap_or(Kept::NONE);
        std::iter::from_fn(move || {
            let kept = self.told.get(next)?;
            next = kept.next;
            Some(kept.attempt())
        })
    }

    fn keep_attempt(&mut self, gateway: IpAddr, attempt: impl FnOnce() -> Attempt) {
        if self.attempts_kept >= Self::KEPT {
            return;
        }
        let list = self.attempts.or_insert_with(gateway, Attempts::default);
        if list.count >= Self::ATTEMPTS {
            return;
        }
        self.attempts_kept += 1;
        list.count += 1;
        let attempt = attempt();
        if attempt.answered.is_some() || attempt.granted.is_some() {
            let place = self.told.push(Kept::new(&attempt));
            match self.told.get_mut(std::mem::replace(&mut list.last, place)) {
                Some(before) => before.next = place,
                None => list.first = place,
            }
        }
        let (client, first) = (attempt.client.ip, attempt.first);
        let tries = self.tries.or_insert_with((client, gateway), || (0, first));
        let (count, earliest) = tries;
        *count += 1;
        if *count == 2 {
            self.began.insert((client, gateway, *earliest), 1);
        }
        if *count >= 2 {
            *self.began.entry((client, gateway, first)).or_default() += 1;
        }
    }

    /// How many other attempts the client of a session made at its gateway, at other times.
    pub fn other_attempts(&self, session: &Session) -> u32 {
        let (client, gateway) = (session.client.ip, session.gateway.ip);
        let first = session.first.time;
        match self.tries.get(&(client, gateway)) {
            None => 0,
            Some((1, earliest)) => u32::from(*earliest != first),
            Some((count, _)) => {
                let same = self.began.get(&(client, gateway, first)).copied();
                count.saturating_sub(same.unwrap_or_default())
            }
        }
    }

    fn learn_attempt(&mut self, session: &Session) {
        self.keep_attempt(session.gateway.ip, || Attempt {
            client: session.client,
            first: session.first.time,
            answered: session
                .steps
                .iter()
                .filter(|s| s.from == Side::Gateway)
                .map(|s| s.last().time)
                .max(),
            granted: session.esp.iter().map(|f| f.first.time).min(),
        });
    }

    /// Sessions of the same capture, this one left out, from which messages are missing.
    pub fn others_with_holes(&self, session: &Session) -> u32 {
        let all = self
            .holes
            .get(&session.first.capture())
            .copied()
            .unwrap_or(0);
        all.saturating_sub(u32::from(has_holes(session)))
    }

    /// Whether vpnscope itself sent frames of this session.
    pub fn is_own(&self, session: &Session) -> bool {
        !self.own.is_empty()
            && session
                .steps
                .iter()
                .any(|step| self.own.contains(&(step.at.capture(), step.at.frame())))
    }

    /// As [`Context::learn`], from a session that is not built.
    pub(crate) fn learn_unanswered(&mut self, syns: &Unanswered) {
        let flow = syns.flow();
        let (client, gateway) = (flow.source, flow.destination);
        self.heard.insert_within(Self::KEPT, client.0);
        let attempt = Attempt {
            client: Endpoint {
                ip: client.0,
                port: client.1,
            },
            first: syns.first.time,
            answered: None,
            granted: None,
        };
        self.keep_attempt(gateway.0, || attempt);
    }

    /// As [`Context::learn`], from a session of ESP alone that is not built.
    pub(crate) fn learn_lone(&mut self, lone: &LoneSight) {
        for (sent, end) in [
            (lone.sent.gateway, lone.gateway),
            (lone.sent.client, lone.client),
        ] {
            if sent > 0 {
                self.heard.insert_within(Self::KEPT, end.ip);
            }
        }
        let attempt = Attempt {
            client: lone.client,
            first: lone.first,
            answered: None,
            granted: Some(lone.earliest),
        };
        self.keep_attempt(lone.gateway.ip, || attempt);
    }

    /// Whether no rule has anything to say of a session that is not built, and nothing shows that
    /// it belongs to a VPN: a SYN that the capture ended too soon after.
    pub(crate) fn has_nothing_to_say(&self, syns: &Unanswered) -> bool {
        let gateway = syns.flow().destination;
        rules::tcp::is_too_early(syns.syns, syns.watched())
            && self.gateway != Some(gateway.0)
            && !self.vpn_gateways.contains(&gateway)
            && self.own.is_empty()
    }

    fn learn_tls(&mut self, session: &Session, facts: &Tls) {
        let ends = (session.client.ip, session.gateway.ip);
        let endpoint = (session.gateway.ip, session.gateway.port);
        if facts.has_tunnel() {
            self.tunnels.insert_within(Self::KEPT, ends);
            if facts.began_with_tunnel(session.first) && self.lone_tunnels.len() < Self::KEPT {
                let (first, last) = (session.first.time, session.last.time);
                let known = self.lone_tunnels.or_insert_with(ends, || (first, last));
                *known = (known.0.min(first), known.1.max(last));
            }
        }
        let is_up = |c| tls::phase(c) == tls::Phase::Up;
        if facts.connections.iter().any(is_up) {
            self.tls_servers.insert_within(Self::KEPT, endpoint);
            self.channels.insert_within(Self::KEPT, ends);
        }
        if tls::is_vpn_gateway(session, facts, self) {
            self.vpn_gateways.insert_within(Self::KEPT, endpoint);
        }
    }

    /// Learns from a session before any is diagnosed.
    pub fn learn(&mut self, session: &Session) {
        if has_holes(session) {
            let count = self.holes.entry(session.first.capture()).or_default();
            *count = count.saturating_add(1);
        }
        let (client, gateway) = (session.client.ip, session.gateway.ip);
        let frames = session.vantage.frames;
        if frames.gateway > 0 {
            self.heard.insert_within(Self::KEPT, gateway);
        }
        if frames.client > 0 {
            self.heard.insert_within(Self::KEPT, client);
        }
        if session.vantage.one_direction() {
            let deaf = if frames.gateway == 0 { client } else { gateway };
            self.deaf.insert_within(Self::KEPT, deaf);
        }
        self.learn_attempt(session);
        if let Some(facts) = session.tls() {
            self.learn_tls(session, facts);
        }
        let is_ike = matches!(session.kind, Kind::Ikev1 | Kind::Ikev2);
        if is_ike {
            self.ike.insert_within(Self::KEPT, (client, gateway));
        }
        if is_ike && session.vantage.started_late {
            // Who is who may be a guess there.
            self.accepted_unseen.insert_within(Self::KEPT, gateway);
            self.accepted_unseen.insert_within(Self::KEPT, client);
        }
        if let Some(suite) = session
            .ike2()
            .and_then(|f| f.sas.first())
            .and_then(IkeSa::suite)
            && self.accepted.last.len() < Self::KEPT
        {
            self.accepted.note(session.gateway.ip, suite);
        }
        if let Some(suite) = session.ike1().and_then(Ike1::suite)
            && self.accepted_ikev1.last.len() < Self::KEPT
        {
            let suite = IkeSuite {
                life_seconds: None,
                life_kilobytes: None,
                ..*suite
            };
            self.accepted_ikev1.note(session.gateway.ip, suite);
        }
    }
}

/// Whether messages of a session, or packets of its ESP, are missing that must have been sent.
fn has_holes(session: &Session) -> bool {
    let unseen = session.vantage.unseen;
    let one_way = session.vantage.one_direction() || session.vantage.started_late;
    !one_way && unseen.client + unseen.gateway > 0
}
