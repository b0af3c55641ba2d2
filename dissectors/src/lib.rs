//! Borrowed, typed views of VPN protocol octets.
//!
//! What comes in: the octets of one datagram, record or message. What goes out:
//! structures that borrow from them, every good part before a bad one. What this
//! crate does not do: it keeps no state and knows no flow, no clock and no socket;
//! it does not judge whether a value makes sense, only whether the framing holds.

#[macro_use]
mod code;
mod error;
#[macro_use]
mod list;
mod octets;
mod verdict;

pub mod ah;
pub mod dns;
pub mod dtls;
pub mod eap;
pub mod esp;
pub mod ike;
pub mod l2tp;
pub mod natt;
pub mod ppp;
pub mod pppoe;
pub mod radius;
pub mod tls;

pub use error::{ParseError, Reason};
pub use octets::Octets;
pub use verdict::Verdict;

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
