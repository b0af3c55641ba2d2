//! What the user asked for.

use super::conversation::{Protocol, Side};
use crate::time::Span;

mod substitution;
mod variation;

pub use substitution::Substitution;
pub use variation::Variation;

/// How time is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Timing {
    /// Pauses and retransmissions as recorded.
    #[default]
    Recorded,
    /// No pauses, few and short retransmissions.
    Fast,
}

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who is played: the client with `--target`, the gateway with `--listen`.
    pub role: Side,
    /// How time is kept.
    pub timing: Timing,
    /// The server name to send instead of the recorded one.
    pub sni: Option<String>,
    /// Whether later messages are sent as recorded.
    pub blind: bool,
    /// Deliberate changes.
    pub variations: Vec<Variation>,
    /// Messages sent at most.
    pub messages: u32,
    /// The seed of everything fresh.
    pub seed: u64,
}

impl Settings {
    /// Messages heard at most: more are a flood.
    pub const HEARD: u32 = 400;
    /// Octets heard at most.
    pub const HEARD_OCTETS: usize = 1 << 20;
    /// Between messages that are sent without an answer to wait for.
    pub const PACE: Span = Span::from_secs(1);

    /// The client, as recorded, bounded by the defaults.
    pub const fn new(role: Side, seed: u64) -> Self {
        Self {
            role,
            timing: Timing::Recorded,
            sni: None,
            blind: false,
            variations: Vec::new(),
            messages: 20,
            seed,
        }
    }

    /// The first change that was asked for and means nothing in this protocol.
    pub fn misplaced(&self, protocol: Protocol) -> Option<String> {
        let ike = protocol.is_ike();
        let tls = matches!(protocol, Protocol::Tls | Protocol::Dtls);
        self.variations.iter().find_map(|variation| {
            let (word, applies) = match variation {
                Variation::Encryption(..) => ("encryption", ike),
                Variation::Prf(_) => ("prf", ike),
                Variation::Integrity(_) => ("integrity", protocol == Protocol::Ikev2),
                Variation::Group(_) => ("group", ike),
                Variation::Proposals(_) | Variation::ReverseProposals => ("proposals", ike),
                Variation::DropVendorId(_) => ("drop-vendor-id", ike),
                Variation::Drop(_) => ("drop", ike),
                Variation::Duplicate(_) => ("duplicate", ike),
                Variation::Version(_) => ("version", ike || tls),
                Variation::Ciphers(_) => ("ciphers", tls),
                Variation::FragmentSize(_) => ("fragment", tls),
                Variation::Keep(substitution) => {
                    let word = format!("keep={}", substitution.word());
                    return (!substitution.is_of(protocol)).then_some(word);
                }
            };
            (!applies).then(|| word.to_string())
        })
    }

    /// Whether a substitution is made.
    pub fn does(&self, substitution: Substitution) -> bool {
        !self.variations.contains(&Variation::Keep(substitution))
    }
}
