//! What the lengths, order and directions of an IKEv2 session say about what is encrypted.
//!
//! Every length here is computed from the negotiated suite (RFC 7296 §3.14); without the
//! negotiation there is no arithmetic, and no conclusion.

use super::memo;
use crate::time::Span;
use crate::track::ike2::{Exchange, Ike2, Message, Suite, kind};
use crate::track::session::{Session, Side, Stamp, Step};

/// How `IKE_AUTH` ended, as far as one can see from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth<'a> {
    /// No `IKE_AUTH` was seen.
    NotReached,
    /// The last request has no answer.
    Unanswered(&'a Exchange),
    /// The last answer has room for one short notify only: refused.
    Refused(&'a Exchange),
    /// The only answer is longer than a notify but too short to grant a child SA.
    ChildRefused(&'a Exchange),
    /// EAP was in progress, and the last answer is too short to grant a child SA.
    EapEnded(&'a Exchange),
    /// The answer could grant everything, and the client took its leave at once.
    ClientRefused(&'a Exchange, &'a Exchange),
    /// The answer is long enough, or later messages prove that it was.
    Granted(&'a Exchange),
    /// The suite is not known, or not all was captured: lengths say nothing.
    Unknown(&'a Exchange),
}

/// As [`Auth`], with places among the exchanges: nothing of it is borrowed.
#[derive(Debug, Clone, Copy)]
pub(super) enum AuthAt {
    NotReached,
    Unanswered(usize),
    Refused(usize),
    ChildRefused(usize),
    EapEnded(usize),
    ClientRefused(usize, usize),
    Granted(usize),
    Unknown(usize),
}

impl Auth<'_> {
    fn place(self, facts: &Ike2) -> AuthAt {
        let of = |exchange: &Exchange| {
            let same = |other: &Exchange| std::ptr::eq(other, exchange);
            facts.exchanges.iter().position(same).unwrap_or_default()
        };
        match self {
            Self::NotReached => AuthAt::NotReached,
            Self::Unanswered(last) => AuthAt::Unanswered(of(last)),
            Self::Refused(last) => AuthAt::Refused(of(last)),
            Self::ChildRefused(last) => AuthAt::ChildRefused(of(last)),
            Self::EapEnded(last) => AuthAt::EapEnded(of(last)),
            Self::ClientRefused(last, left) => AuthAt::ClientRefused(of(last), of(left)),
            Self::Granted(last) => AuthAt::Granted(of(last)),
            Self::Unknown(last) => AuthAt::Unknown(of(last)),
        }
    }
}

impl AuthAt {
    fn auth(self, facts: &Ike2) -> Auth<'_> {
        let at = |index: usize| facts.exchanges.get(index);
        let found = match self {
            Self::NotReached => None,
            Self::Unanswered(last) => at(last).map(Auth::Unanswered),
            Self::Refused(last) => at(last).map(Auth::Refused),
            Self::ChildRefused(last) => at(last).map(Auth::ChildRefused),
            Self::EapEnded(last) => at(last).map(Auth::EapEnded),
            Self::ClientRefused(last, left) => at(last)
                .zip(at(left))
                .map(|(last, left)| Auth::ClientRefused(last, left)),
            Self::Granted(last) => at(last).map(Auth::Granted),
            Self::Unknown(last) => at(last).map(Auth::Unknown),
        };
        found.unwrap_or(Auth::NotReached)
    }
}

/// An IKEv2 session with what follows from its lengths.
#[derive(Debug, Clone, Copy)]
pub struct Story<'a> {
    /// The session.
    pub session: &'a Session,
    /// Its facts.
    pub facts: &'a Ike2,
    /// The suite of the first SA.
    pub suite: Option<Suite>,
    /// How authentication ended.
    pub auth: Auth<'a>,
}

/// `CHILDLESS_IKEV2_SUPPORTED` (RFC 6023).
const CHILDLESS: u16 = 16418;

impl<'a> Story<'a> {
    /// Reads an IKEv2 session; `None` for any other.
    pub fn of(session: &'a Session) -> Option<Self> {
        let facts = session.ike2()?;
        let suite = facts
            .sas
            .first()
            .and_then(super::super::track::ike2::IkeSa::suite);
        let mut story = Self {
            session,
            facts,
            suite,
            auth: Auth::NotReached,
        };
        let place = memo::ike2(session, || story.read_auth().place(facts));
        story.auth = place.auth(facts);
        Some(story)
    }

    /// The `IKE_AUTH` exchanges of the first SA in order of message ID.
    pub fn auths(&self) -> impl DoubleEndedIterator<Item = &'a Exchange> {
        self.facts
            .of_kind(kind::AUTH)
            .filter(|exchange| exchange.sa == 0)
    }

    /// ESP packets seen of one end.
    pub fn esp(&self, side: Side) -> u64 {
        self.session
            .esp
            .iter()
            .filter(|f| f.from == side)
            .map(|f| f.packets)
            .sum()
    }

    /// Exchanges after `IKE_AUTH` that were answered, other than a farewell.
    fn life_after(&self, last: &Exchange) -> bool {
        self.facts.exchanges.iter().any(|exchange| {
            let after = exchange.sa > 0 || exchange.by != last.by || exchange.id > last.id;
            let rekey = exchange.kind == kind::CREATE_CHILD;
            after && (rekey || exchange.sa > 0) && exchange.response.is_some()
        })
    }

    /// Whether something proves that the IKE SA was used after `IKE_AUTH`.
    pub fn used_after(&self, last: &Exchange) -> bool {
        self.life_after(last) || (self.esp(Side::Client) > 0 && self.esp(Side::Gateway) > 0)
    }

    /// Time between the first `IKE_SA_INIT` request and its answer.
    pub fn round_trip(&self) -> Option<Span> {
        self.facts.init_rounds().find_map(|exchange| {
            let request = exchange.request.as_ref()?;
            let response = exchange.response.as_ref()?;
            let sent = self
                .sightings(request)
                .filter(|s| s.time <= response.at.time)
                .last()?;
            Some(response.at.time - sent.time)
        })
    }

    /// Every sighting of a message.
    pub fn sightings(&self, message: &Message) -> impl Iterator<Item = Stamp> + use<'a> {
        let step = message.step.and_then(|index| self.session.step(index));
        let alone = step.is_none().then_some(message.at);
        alone
            .into_iter()
            .chain(step.into_iter().flat_map(Step::sightings))
    }

    /// Whether the peers may leave out the child SA in `IKE_AUTH`.
    pub fn childless(&self) -> bool {
        self.facts
            .accepted()
            .is_some_and(|m| m.notify(CHILDLESS).is_some())
    }

    fn read_auth(&self) -> Auth<'a> {
        let asked = || self.auths().filter(|exchange| exchange.request.is_some());
        let Some(last) = asked().next_back().or_else(|| self.auths().next_back()) else {
            return Auth::NotReached;
        };
        let Some(response) = &last.response else {
            return Auth::Unanswered(last);
        };
        if self.used_after(last) {
            return Auth::Granted(last);
        }
        let Some(suite) = self.suite else {
            return Auth::Unknown(last);
        };
        if !response.is_whole() {
            return Auth::Unknown(last);
        }
        let fragmented = response.fragments.is_some();
        let rounds = asked().count();
        let (Some(notify), Some(least)) = (suite.short_notify(), suite.least_success(rounds == 1))
        else {
            return Auth::Unknown(last);
        };
        if !fragmented && response.length <= notify {
            return Auth::Refused(last);
        }
        if !fragmented && response.length < least {
            return if rounds > 1 {
                Auth::EapEnded(last)
            } else {
                Auth::ChildRefused(last)
            };
        }
        if let Some(farewell) = self.farewell(last, response) {
            return Auth::ClientRefused(last, farewell);
        }
        Auth::Granted(last)
    }

    /// The client's own short message at once after a granting answer: a refusal of the
    /// gateway's certificate or identity, because nobody leaves within a round trip.
    ///
    /// After EAP the gateway has proven itself rounds before (RFC 7296 §2.16): whoever leaves
    /// then has other reasons. Where the answer has no room for a certificate, all that the client
    /// has to do before it refuses is one hash and a comparison of names; a program that closes
    /// what it just opened takes longer.
    fn farewell(&self, last: &Exchange, response: &Message) -> Option<&'a Exchange> {
        /// How long a chain of signatures takes to be checked, and one hash. Chosen, not derived.
        const CHAIN: Span = Span::from_millis(100);
        const HASH: Span = Span::from_millis(20);
        let short = self.suite?.short_notify()?;
        let work = if self.shows_certificate(response) {
            CHAIN
        } else {
            HASH
        };
        let patience = self.round_trip().unwrap_or_default() + work;
        if self.auths().count() > 1 {
            return None;
        }
        let farewell = self.facts.exchanges.iter().find(|exchange| {
            let request = exchange.request.as_ref();
            exchange.sa == 0
                && exchange.kind == kind::INFORMATIONAL
                && exchange.by == last.by
                && exchange.id == last.id.wrapping_add(1)
                && request
                    .is_some_and(|m| m.length <= short && m.at.time - response.at.time <= patience)
                && self.esp(Side::Client) + self.esp(Side::Gateway) == 0
        })?;
        // First the tunnel and then the IKE SA are deleted: an end in good order.
        let orderly = self
            .lives_on(farewell)
            .is_some_and(|wait| wait <= Span::from_secs(1));
        (!orderly).then_some(farewell)
    }

    /// How long after a client's farewell it uses the IKE SA again, if it does: then the farewell
    /// was not the end of it, and did not refuse the gateway.
    fn lives_on(&self, farewell: &Exchange) -> Option<Span> {
        let left = farewell.request.as_ref()?;
        self.facts
            .exchanges
            .iter()
            .filter(|e| e.sa == farewell.sa && e.by == farewell.by && e.id > farewell.id)
            .filter_map(|e| Some(e.request.as_ref()?.at.time - left.at.time))
            .min()
    }

    /// Whether a client's farewell has room for an SPI, which neither a refusal of the gateway nor
    /// the end of the IKE SA holds.
    pub fn names_spi(&self, farewell: &Message) -> bool {
        let notify = self.suite.and_then(|suite| suite.one_notify());
        notify.is_some_and(|notify| farewell.length > notify)
    }

    /// Whether a client's farewell takes down its tunnel alone: it names it, or the IKE SA is used
    /// after it.
    pub fn keeps_ike_sa(&self, farewell: &Exchange) -> bool {
        let names_spi = (farewell.request.as_ref()).is_some_and(|left| self.names_spi(left));
        names_spi || self.lives_on(farewell).is_some()
    }

    /// Whether a message of `IKE_AUTH` has room for a certificate beside a child.
    pub fn shows_certificate(&self, message: &Message) -> bool {
        /// Shorter than any certificate with a signature, longer than a second address or two.
        const CERTIFICATE: u32 = 256;
        self.suite
            .and_then(|suite| suite.least_success(true))
            .is_some_and(|least| message.length >= least + CERTIFICATE)
    }

    /// Whether the answer to `IKE_AUTH` is long enough whether or not it grants a child: where both
    /// messages have room for a certificate, its size covers that of the SA and the selectors.
    pub fn hides_child(&self, exchange: &Exchange) -> bool {
        let has_room =
            |message: Option<&Message>| message.is_some_and(|m| self.shows_certificate(m));
        self.auths().count() == 1
            && has_room(exchange.request.as_ref())
            && has_room(exchange.response.as_ref())
            && !self.used_after(exchange)
            && self.session.esp.is_empty()
            && self.session.knows_esp()
    }

    /// Whether EAP succeeded and the last round of `IKE_AUTH` was the one that closes it: the
    /// gateway's answer before it has the length of EAP's success, and the client's last request
    /// that of an authentication alone (RFC 7296 §2.16).
    pub fn closes_eap(&self, last: &Exchange) -> bool {
        let Some(suite) = self.suite else {
            return false;
        };
        let mut before = self.auths().filter(|e| e.id.wrapping_add(1) == last.id);
        let answer = before.next().and_then(|e| e.response.as_ref());
        let success = suite.one_notify();
        let closing = suite
            .authentication()
            .zip(suite.authentication_and_notify());
        let alone = |request: &Message| {
            closing.is_some_and(|(least, most)| (least..=most).contains(&request.length))
        };
        answer.is_some_and(|m| m.is_whole() && Some(m.length) == success)
            && last.request.as_ref().is_some_and(alone)
    }

    /// An `INFORMATIONAL` request of Delete size after which nothing more came.
    pub fn deleted(&self) -> Option<&'a Exchange> {
        let last = self.facts.exchanges.last()?;
        let request = last.request.as_ref()?;
        let short = self
            .facts
            .sas
            .get(last.sa)?
            .suite()
            .or(self.suite)?
            .short_notify()?;
        let esp_after = self
            .session
            .esp
            .iter()
            .any(|flow| flow.last.time > request.at.time + Span::from_secs(1));
        (last.kind == kind::INFORMATIONAL && request.length <= short && !esp_after).then_some(last)
    }
}

impl std::ops::Add<Self> for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}
