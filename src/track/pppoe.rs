//! `PPPoE` facts: how the session was found, and the PPP inside it.

use vpnscope_dissectors::pppoe::Code;

use crate::track::ppp::Ppp;
use crate::track::session::{Side, Stamp};

/// A hardware address.
pub type Mac = [u8; 6];

/// What was seen of one `PPPoE` session.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pppoe {
    /// The client's hardware address.
    pub client: Mac,
    /// The access concentrator's, once it has answered.
    pub server: Option<Mac>,
    /// The session ID that PADS gave.
    pub session_id: Option<u16>,
    /// Discovery packets in order. Bounded.
    pub discovery: Vec<Discovery>,
    /// Name of the access concentrator.
    pub ac_name: Option<String>,
    /// The service asked for.
    pub service: Option<String>,
    /// An error that the access concentrator reports.
    pub error: Option<Refused>,
    /// PADT: who ended the session.
    pub terminated: Option<(Side, Stamp, Option<usize>)>,
    /// What runs inside.
    pub ppp: Ppp,
    /// Digests of the discovery packets that have a step, and the step.
    pub(super) digests: Vec<(u64, usize)>,
}

/// One discovery packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discovery {
    /// What it is.
    pub code: Code,
    /// First sighting.
    pub at: Stamp,
    /// Its step.
    pub step: Option<usize>,
}

/// An error tag of the access concentrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Type of the tag.
    pub tag: u16,
    /// Its text.
    pub text: String,
    /// When.
    pub at: Stamp,
    /// The step of the packet that held it.
    pub step: Option<usize>,
}

impl Pppoe {
    /// How many discovery packets are kept.
    pub const KEPT: usize = 32;

    /// The discovery packets of one code.
    pub fn of_code(&self, code: Code) -> impl Iterator<Item = &Discovery> {
        self.discovery
            .iter()
            .filter(move |found| found.code == code)
    }
}
