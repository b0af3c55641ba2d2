//! NAT detection, verified by recomputing the hashes (RFC 7296 §2.23).

use std::net::IpAddr;

use sha1::{Digest, Sha1};

use crate::track::session::Side;

/// Whether a hash fits the address and port that this capture saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fit {
    /// No such notify was seen.
    #[default]
    Absent,
    /// It fits: between its sender and this capture nothing translates.
    Fits,
    /// It does not fit: an address was translated, or the sender wants it to look so.
    Differs,
}

/// What the NAT detection notifies of `IKE_SA_INIT` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Nat {
    /// The initiator's hash of its own address.
    pub request_source: Fit,
    /// The initiator's hash of the responder's address.
    pub request_destination: Fit,
    /// The responder's hash of its own address.
    pub response_source: Fit,
    /// The responder's hash of the initiator's address.
    pub response_destination: Fit,
    /// The request came straight from its sender: its TTL is one that hosts start with.
    pub request_untouched: bool,
    /// The response came straight from its sender.
    pub response_untouched: bool,
    /// What the client hashed as its own address and port, where trying found it.
    pub private: Option<(IpAddr, u16)>,
}

/// TTLs that hosts start with.
pub const fn is_initial_ttl(ttl: u8) -> bool {
    matches!(ttl, 64 | 128 | 255)
}

impl Nat {
    /// Whether an end hashed its own address falsely on purpose, to force encapsulation: its
    /// datagram was captured before any router, where nothing can have translated it.
    pub const fn forced(&self, side: Side) -> bool {
        match side {
            Side::Client => matches!(self.request_source, Fit::Differs) && self.request_untouched,
            Side::Gateway => {
                matches!(self.response_source, Fit::Differs) && self.response_untouched
            }
        }
    }

    /// Whether an end looks translated to its peer or to this capture.
    pub const fn detected(&self, side: Side) -> bool {
        match side {
            Side::Client => {
                matches!(self.request_source, Fit::Differs)
                    || matches!(self.response_destination, Fit::Differs)
            }
            Side::Gateway => {
                matches!(self.response_source, Fit::Differs)
                    || matches!(self.request_destination, Fit::Differs)
            }
        }
    }

    /// Whether both peers sent the notifies, so that both can encapsulate.
    pub const fn supported(&self) -> bool {
        !matches!(self.request_source, Fit::Absent) && !matches!(self.response_source, Fit::Absent)
    }
}

/// The hash of RFC 7296 §2.23: SHA-1 over SPIs, address and port.
pub fn hash(initiator_spi: u64, responder_spi: u64, address: IpAddr, port: u16) -> [u8; 20] {
    let mut sha = Sha1::new();
    sha.update(initiator_spi.to_be_bytes());
    sha.update(responder_spi.to_be_bytes());
    match address {
        IpAddr::V4(v4) => sha.update(v4.octets()),
        IpAddr::V6(v6) => sha.update(v6.octets()),
    }
    sha.update(port.to_be_bytes());
    sha.finalize().into()
}
