//! RADIUS facts: what a gateway asked its RADIUS server about a user, and the answer.
//!
//! An exchange is joined to the login that it serves, where that login is known: by the
//! user's name in PPP, or by the addresses of the client and the gateway that the request
//! names. Otherwise it has a session of its own.

use std::net::IpAddr;

use vpnscope_dissectors::radius::Code;

use crate::track::rare::Rare;
use crate::track::session::{Repeats, Stamp};

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The RADIUS client: the gateway's inside address.
    pub client: IpAddr,
    /// The RADIUS server.
    pub server: IpAddr,
    /// What is asked.
    pub code: Code,
    /// The user that is asked about.
    pub user: Option<String>,
    /// The request.
    pub at: Stamp,
    /// Its retransmissions.
    pub repeats: Rare<Repeats>,
    /// The answer.
    pub answer: Option<Answer>,
    /// Random; a retransmission repeats it.
    pub authenticator: [u8; 16],
}

/// The server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it is.
    pub code: Code,
    /// Its frame.
    pub at: Stamp,
    /// Reply-Message, the text for the user.
    pub text: Option<String>,
    /// E= of an MS-CHAP error inside.
    pub error: Option<u32>,
}

impl Exchange {
    /// How many exchanges of one session are kept.
    pub const KEPT: usize = 32;

    /// How often it was sent.
    pub fn sent(&self) -> u32 {
        self.repeats.count.saturating_add(1)
    }

    /// The last time it was sent.
    pub fn last(&self) -> Stamp {
        self.repeats.last.unwrap_or(self.at)
    }
}
