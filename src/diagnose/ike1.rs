//! What the order, directions and lengths of an IKEv1 session say about what is encrypted.
//!
//! Everything after main mode 4 is encrypted, and so are most errors. What remains is who spoke,
//! when, in which exchange, and how long the message was; lengths are computed from the
//! negotiated suite.

use vpnscope_dissectors::ike::v1::{AuthenticationMethod, IkeSuite};

use super::{Confidence, Outcome, Progress, Stage};
use crate::time::Span;
use crate::track::ike1::{Exchange, Ike1, Message, Mode, kind};
use crate::track::ike2::nat::is_initial_ttl;
use crate::track::session::{Session, Side, Stamp, Step};

/// An IKEv1 session, read.
#[derive(Debug, Clone, Copy)]
pub struct Story<'a> {
    /// The session.
    pub session: &'a Session,
    /// Its facts.
    pub facts: &'a Ike1,
    /// The negotiated suite of phase 1.
    pub suite: Option<&'a IkeSuite>,
    /// How far it came.
    pub reached: Reached,
}

/// How far a session came, by the messages seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// Nothing came back to the first message.
    Nothing,
    /// The responder answered the first message.
    Answered,
    /// The initiator has sent what proves its identity; the responder has not accepted it.
    Proving,
    /// Phase 1 is done.
    Authenticated,
    /// Transaction exchanges took place.
    Configuring,
    /// A quick mode was begun.
    Child,
    /// A quick mode was answered.
    ChildAnswered,
    /// A quick mode was completed, or its tunnel is used.
    ChildDone,
}

impl<'a> Story<'a> {
    /// Reads an IKEv1 session; `None` for any other.
    pub fn of(session: &'a Session) -> Option<Self> {
        let facts = session.ike1()?;
        let mut story = Self {
            session,
            facts,
            suite: facts.suite(),
            reached: Reached::Nothing,
        };
        story.reached = story.read();
        Some(story)
    }

    /// Who began phase 1.
    pub const fn initiator(&self) -> Side {
        self.facts.initiator
    }

    /// Who answered it.
    pub const fn responder(&self) -> Side {
        self.facts.initiator.other()
    }

    fn read(&self) -> Reached {
        // Data both ways tell of a tunnel, whatever the capture lacks of its negotiation.
        if self.esp(Side::Client) > 0 && self.esp(Side::Gateway) > 0 {
            return Reached::ChildDone;
        }
        let quick = self.facts.of_kind(kind::QUICK).map(Self::quick).max();
        // Who sends data has had the answer at least.
        let used = (!self.session.esp.is_empty()).then_some(Reached::ChildAnswered);
        if let Some(best) = quick.max(used) {
            return best;
        }
        let transaction = self
            .facts
            .of_kind(kind::TRANSACTION)
            .any(|e| !e.messages.is_empty());
        if transaction {
            return Reached::Configuring;
        }
        if self.phase1_accepted() {
            return Reached::Authenticated;
        }
        if self.proof().is_some() {
            return Reached::Proving;
        }
        let answered = self.facts.phase1.iter().any(|m| m.from == self.responder());
        if answered {
            Reached::Answered
        } else {
            Reached::Nothing
        }
    }

    fn quick(exchange: &Exchange) -> Reached {
        match (exchange.answer(), exchange.confirmation()) {
            (Some(_), Some(_)) => Reached::ChildDone,
            (Some(_), None) => Reached::ChildAnswered,
            (None, _) => Reached::Child,
        }
    }

    /// The message by which the initiator proves its identity: main mode 5, aggressive mode 3.
    pub fn proof(&self) -> Option<&'a Message> {
        let ordinal = match self.facts.mode {
            Mode::Main | Mode::Unknown => 5,
            Mode::Aggressive | Mode::Base => 3,
        };
        self.facts.message(ordinal)
    }

    /// The last message of the responder in phase 1 by which it accepts: main mode 6; in
    /// aggressive mode there is none after its first.
    pub fn acceptance(&self) -> Option<&'a Message> {
        match self.facts.mode {
            Mode::Main | Mode::Unknown => self.facts.message(6),
            Mode::Base => self.facts.message(4),
            Mode::Aggressive => None,
        }
    }

    fn phase1_accepted(&self) -> bool {
        match self.facts.mode {
            // Only what follows shows whether the responder accepted the third message.
            Mode::Aggressive => self.facts.renews.is_some() && self.proof().is_some(),
            _ => self.acceptance().is_some(),
        }
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

    /// The step of a message.
    pub fn step(&self, message: &Message) -> Option<&'a Step> {
        message.step.and_then(|index| self.session.step(index))
    }

    /// How the peers authenticate each other.
    pub fn method(&self) -> Option<AuthenticationMethod> {
        self.suite.and_then(|suite| suite.authentication)
    }

    /// Whether a pre-shared key is part of the keys: a wrong one shows as a message that nobody
    /// can read.
    pub fn has_psk(&self) -> bool {
        self.method()
            .is_some_and(AuthenticationMethod::is_pre_shared_key)
    }

    /// Informational messages of one end, sent within `from..` in order of time.
    pub fn informationals(&self, side: Side, after: Stamp) -> impl Iterator<Item = &'a Message> {
        // Steps stand in the order of the protocol, even where times run wrong.
        let step = self.session.steps.iter().position(|s| s.at == after);
        self.facts
            .of_kind(kind::INFORMATIONAL)
            .flat_map(|exchange| &exchange.messages)
            .filter(move |m| {
                let later = match (m.step, step) {
                    (Some(mine), Some(after)) => mine > after,
                    _ => m.at > after,
                };
                m.from == side && later
            })
    }

    /// Whether this capture stands next to an end: its datagrams still have the TTL that hosts
    /// start with, so no router is between.
    pub fn is_near(&self, side: Side) -> bool {
        let mut own = self.session.steps.iter().filter(|s| s.from == side);
        own.by_ref().any(|s| is_initial_ttl(s.ttl))
    }

    /// Time between the first message and its answer.
    pub fn round_trip(&self) -> Option<Span> {
        let asked = self.step(self.facts.message(1)?)?;
        let answered = self.facts.message(2)?;
        let sent = asked
            .sightings()
            .filter(|s| s.time <= answered.at.time)
            .last()?;
        Some(answered.at.time - sent.time)
    }

    /// Anything of one end after a moment: IKE not seen before, or ESP.
    pub fn heard_after(&self, side: Side, after: Stamp) -> bool {
        let ike = self
            .session
            .steps
            .iter()
            .any(|s| s.from == side && s.last() > after);
        let esp = self
            .session
            .esp
            .iter()
            .any(|f| f.from == side && f.last > after);
        ike || esp
    }

    /// Octets of payloads of quick mode 1 that are there in any case: HASH, an SA with one
    /// transform, a nonce of the least size.
    pub fn least_quick(&self) -> Option<usize> {
        // RFC 2409 §5.5: HASH(1), SA (DOI and situation 8, proposal 8 with SPI 4, transform 8
        // with encapsulation mode 4), nonce of 8 octets; each with its generic header.
        let hash = 4 + usize::from(self.suite?.prf_len()?);
        let sa = 4 + 8 + (8 + 4) + (8 + 4);
        Some(hash + sa + (4 + 8))
    }

    /// Length of an informational message with one notify about an SA of phase 2, without data:
    /// HASH(1), and a notify with an SPI of 4 octets (RFC 2408 §3.14).
    pub fn one_notify(&self) -> Option<usize> {
        let hash = 4 + usize::from(self.suite?.prf_len()?);
        self.suite?.sealed_len(hash + (4 + 8 + 4))
    }

    /// Length of a question for liveness, and of its answer: a notify with both cookies and a
    /// sequence number (RFC 3706 §5.3).
    pub fn liveness(&self) -> Option<usize> {
        let hash = 4 + usize::from(self.suite?.prf_len()?);
        self.suite?.sealed_len(hash + (4 + 8 + 16 + 4))
    }

    /// Whether a quick mode message of `length` octets can hold a key exchange of the smallest
    /// group still in use: 768-bit MODP, or one of elliptic curves of 192 bits.
    pub fn has_room_for_key(&self, length: u32) -> Option<bool> {
        const SMALLEST: usize = 4 + 48;
        let needed = self.suite?.sealed_len(self.least_quick()? + SMALLEST)?;
        Some(usize::try_from(length).ok()? >= needed)
    }

    /// Whether a quick mode message of `length` octets can hold a key exchange of the group of
    /// phase 1.
    pub fn has_room_for_phase1_group(&self, length: u32) -> Option<bool> {
        let public = usize::from(self.suite?.group?.public_len()?);
        let needed = self.suite?.sealed_len(self.least_quick()? + 4 + public)?;
        Some(usize::try_from(length).ok()? >= needed)
    }

    /// Whether something proves that this capture lacks messages of the session: nothing follows
    /// from what it does not show.
    pub fn has_holes(&self) -> bool {
        let unseen = self.session.vantage.unseen;
        unseen.client + unseen.gateway > 0
    }

    /// The trailing informational messages of one end that nothing of the peer follows.
    pub fn farewell(&self) -> Option<&'a Message> {
        let last = self.facts.exchanges.last()?;
        let message = last.first()?;
        (last.kind == kind::INFORMATIONAL && !self.heard_after(message.from.other(), message.at))
            .then_some(message)
    }
}

const UNKNOWN: Progress = Progress {
    stage: Stage::Reachability,
    outcome: Outcome::Incomplete,
    confidence: Confidence::Possible,
};

/// How far a session came.
pub fn progress(session: &Session) -> Progress {
    let Some(story) = Story::of(session) else {
        return UNKNOWN;
    };
    let esp = !session.esp.is_empty();
    let stage = match story.reached {
        Reached::Nothing => Stage::Reachability,
        Reached::Answered => Stage::IkeNegotiation,
        Reached::Proving | Reached::Authenticated => Stage::IkeAuthentication,
        Reached::Configuring => Stage::IkeConfiguration,
        Reached::Child | Reached::ChildAnswered | Reached::ChildDone => Stage::IpsecChild,
    };
    let stage = if esp && story.reached >= Reached::ChildAnswered {
        Stage::EspData
    } else {
        stage
    };
    let incomplete = Progress { stage, ..UNKNOWN };
    if session.vantage.started_late {
        return Progress {
            stage: if esp { Stage::EspData } else { stage },
            ..incomplete
        };
    }
    let both = story.esp(Side::Client) > 0 && story.esp(Side::Gateway) > 0;
    let established = |confidence| Progress {
        stage,
        outcome: Outcome::Established,
        confidence,
    };
    match story.reached {
        Reached::ChildDone if both => established(Confidence::Certain),
        Reached::ChildDone => established(Confidence::Likely),
        // A renewal of phase 1: the tunnel of the one before it goes on.
        Reached::Authenticated if story.facts.inherited.is_some() => {
            established(Confidence::Certain)
        }
        Reached::Authenticated if story.facts.renews.is_some() => established(Confidence::Likely),
        _ => incomplete,
    }
}
