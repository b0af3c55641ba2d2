//! PPP facts: what each side asked for and refused, the login, and what ended it.
//!
//! One [`Ppp`] for each call of an L2TP tunnel and for each `PPPoE` session.

use vpnscope_dissectors::ppp::{ChapAlgorithm, Protocol};

use crate::track::rare::{Rare, Usual};
use crate::track::session::{PerSide, Side, Stamp};

pub mod fold;

/// What was seen of one PPP link.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ppp {
    /// Link control.
    pub lcp: Negotiation,
    /// IPv4.
    pub ipcp: Rare<Negotiation>,
    /// IPv6.
    pub ipv6cp: Rare<Negotiation>,
    /// Compression, and MPPE with it.
    pub ccp: Rare<Negotiation>,
    /// Logins in order. Bounded.
    pub logins: Vec<Login>,
    /// Protocols that one side does not do. Bounded.
    pub rejected: Rare<Vec<RejectedProtocol>>,
    /// Terminate-Requests. Bounded.
    pub terminated: Rare<Vec<Terminated>>,
    /// IP packets of each side.
    pub carried: PerSide<Carried>,
    /// LCP echoes of each side.
    pub echo: PerSide<Echo>,
    /// What the sides say they are (LCP Identification). Bounded.
    pub identifications: Rare<Vec<(Side, String)>>,
    /// The magic number that each side last asked for.
    pub magic: PerSide<Option<u32>>,
    /// A side heard its own magic number: the link is looped.
    pub looped: Option<Stamp>,
    /// Packets of each side that the other one answered and that were not seen.
    pub unseen: PerSide<u32>,
    /// The last questions: protocol, who asked, code and identifier
    /// in one. Bounded.
    pub(super) asked: std::collections::VecDeque<(u16, Side, u16)>,
    /// Digests of the packets that have a step, and the step.
    pub(super) digests: Vec<(u64, usize)>,
}

impl Ppp {
    /// How many logins, rejected protocols, terminations and identifications are kept.
    pub const KEPT: usize = 16;

    /// Whether anything of PPP was seen.
    pub fn is_seen(&self) -> bool {
        self.lcp.is_seen()
            || !self.logins.is_empty()
            || self.ipcp.is_seen()
            || self.ipv6cp.is_seen()
            || self.ccp.is_seen()
            || self.carried.client.packets + self.carried.gateway.packets > 0
    }

    /// Whether IP runs: a network protocol open in both directions, or packets both ways.
    pub fn is_up(&self) -> bool {
        self.ipcp.is_open()
            || self.ipv6cp.is_open()
            || (self.carried.client.packets > 0 && self.carried.gateway.packets > 0)
    }

    /// The login that counts: the last one with a verdict, else the last one.
    pub fn login(&self) -> Option<&Login> {
        self.logins
            .iter()
            .rev()
            .find(|login| login.verdict.is_some())
            .or_else(|| self.logins.last())
    }

    /// Whether a network control protocol was tried.
    pub fn reached_network(&self) -> bool {
        self.ipcp.is_seen() || self.ipv6cp.is_seen() || self.ccp.is_seen()
    }

    /// How the gateway wants the user to log in, as it was agreed or last asked for.
    pub fn method(&self) -> Option<Method> {
        let asked = |side: Side| {
            let half = self.lcp.of.of(side);
            half.wanted.iter().find_map(|wanted| match wanted.value {
                Value::Authentication(method) => Some((half.acked.is_some(), method)),
                _ => None,
            })
        };
        let used = self.login().map(|login| login.method);
        used.or_else(|| {
            asked(Side::Gateway)
                .or_else(|| asked(Side::Client))
                .map(|(_, m)| m)
        })
    }
}

/// One control protocol's negotiation: each side asks for itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Negotiation {
    /// What each side asked for, and how the peer took it.
    pub of: PerSide<Half>,
}

impl Usual for Negotiation {
    const USUAL: &'static Self = &Self {
        of: PerSide {
            client: Half::NOTHING,
            gateway: Half::NOTHING,
        },
    };
}

impl Negotiation {
    /// Whether anything of it was seen.
    pub fn is_seen(&self) -> bool {
        self.of.client.requests + self.of.gateway.requests > 0
    }

    /// Whether both requests were acknowledged.
    pub fn is_open(&self) -> bool {
        self.of.client.acked.is_some() && self.of.gateway.acked.is_some()
    }
}

/// One direction of a negotiation: what a side asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Half {
    /// Distinct Configure-Requests.
    pub requests: u32,
    /// Step of the first one.
    pub first: Option<usize>,
    /// Step of the last one.
    pub last: Option<usize>,
    /// Options of the last one. Bounded.
    pub wanted: Vec<Wanted>,
    /// Configure-Acks, -Naks and -Rejects of the peer.
    pub answers: u32,
    /// When the peer acknowledged, and the step.
    pub acked: Option<(Stamp, Option<usize>)>,
    /// Options that the peer refused. Bounded.
    pub refusals: Vec<Refusal>,
}

impl Half {
    const NOTHING: Self = Self {
        requests: 0,
        first: None,
        last: None,
        wanted: Vec::new(),
        answers: 0,
        acked: None,
        refusals: Vec::new(),
    };

    /// How many options and refusals are kept.
    pub const KEPT: usize = 32;
    /// How many steps of a refusal are kept.
    pub const STEPS: usize = 16;

    /// The refusal of an option.
    pub fn refusal(&self, option: u8) -> Option<&Refusal> {
        self.refusals
            .iter()
            .find(|refusal| refusal.option == option)
    }

    /// The refusal that was repeated most.
    pub fn most_refused(&self) -> Option<&Refusal> {
        self.refusals.iter().max_by_key(|refusal| refusal.count)
    }
}

/// An option that a side asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Its type, within the protocol.
    pub option: u8,
    /// Its value.
    pub value: Value,
}

/// The value of an option, as far as rules and report need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// An authentication protocol.
    Authentication(Method),
    /// A number: MRU, magic number, MPPE bits.
    Number(u32),
    /// An IPv4 address.
    Ipv4([u8; 4]),
    /// Anything else.
    Other,
}

/// How a user logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// PAP.
    Pap,
    /// CHAP with an algorithm, where it is known.
    Chap(Option<ChapAlgorithm>),
    /// EAP.
    Eap,
    /// Another protocol.
    Other(Protocol),
}

impl Method {
    /// The words of the field.
    pub fn name(self) -> String {
        match self {
            Self::Pap => "PAP".to_string(),
            Self::Chap(Some(ChapAlgorithm::MS_CHAP_V2)) => "MS-CHAPv2".to_string(),
            Self::Chap(Some(ChapAlgorithm::MS_CHAP)) => "MS-CHAP".to_string(),
            Self::Chap(Some(ChapAlgorithm::MD5)) => "CHAP-MD5".to_string(),
            Self::Chap(Some(other)) => format!("CHAP with {other}"),
            Self::Chap(None) => "CHAP".to_string(),
            Self::Eap => "EAP".to_string(),
            Self::Other(protocol) => protocol.to_string(),
        }
    }
}

/// An option that the peer refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its type.
    pub option: u8,
    /// Configure-Reject rather than Configure-Nak: it is not done at all.
    pub rejected: bool,
    /// How often.
    pub count: u32,
    /// Steps of the refusals.
    pub steps: Vec<usize>,
    /// What the peer would take instead, as it said last.
    pub instead: Option<Value>,
}

/// One try to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// How.
    pub method: Method,
    /// Who demands it.
    pub authenticator: Side,
    /// Step of the challenge or the first EAP request.
    pub asked: Option<usize>,
    /// Step of the last answer: the PAP request, the CHAP or EAP response.
    pub answered: Option<usize>,
    /// When the last answer was first sent.
    pub answered_at: Option<Stamp>,
    /// The user's name.
    pub user: Option<String>,
    /// What became of it.
    pub verdict: Option<Decision>,
}

/// The authenticator's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether the user may in.
    pub granted: bool,
    /// When.
    pub at: Stamp,
    /// Its step.
    pub step: Option<usize>,
    /// E= of an MS-CHAP Failure.
    pub error: Option<u32>,
    /// R= of an MS-CHAP Failure.
    pub retry: Option<bool>,
    /// The text for the user.
    pub text: String,
    /// An MS-CHAPv2 Success without the proof that the client must check (RFC 2759 §5).
    pub proof_missing: bool,
}

/// A protocol that one side does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectedProtocol {
    /// Who says so.
    pub by: Side,
    /// Which.
    pub protocol: Protocol,
    /// When.
    pub at: Stamp,
    /// Its step.
    pub step: Option<usize>,
}

/// A Terminate-Request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminated {
    /// Who ends it.
    pub by: Side,
    /// LCP for the link, else a network protocol.
    pub protocol: Protocol,
    /// When.
    pub at: Stamp,
    /// Its step.
    pub step: Option<usize>,
    /// The reason given.
    pub text: String,
}

/// IP packets of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Carried {
    /// How many.
    pub packets: u64,
    /// Octets of PPP frames.
    pub octets: u64,
    /// The first.
    pub first: Option<Stamp>,
    /// The last.
    pub last: Option<Stamp>,
}

/// LCP echoes that one side sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Echo {
    /// Requests.
    pub requests: u32,
    /// Requests since the peer's last reply.
    pub unanswered: u32,
    /// The first of those.
    pub since: Option<Stamp>,
    /// The last request.
    pub last: Option<Stamp>,
}
