//! Plays a recorded handshake again: as the client against a live gateway, as the gateway
//! against a live client, or frame by frame. And says where the two differ.
//!
//! Stands beside the walk: takes the messages of one session in, sends octets out.
//!
//! * [`recording`] reads a [`Conversation`] from a capture;
//! * [`script`] says what of it is played and what is changed in it;
//! * [`Replayer`] plays it, without sockets and without a clock;
//! * `drive` is the only part that has both;
//! * [`compare`](compare::compare) tells the recorded from the live conversation;
//! * [`judge`] draws the conclusion.

pub mod compare;
pub mod conversation;
#[cfg(feature = "replay")]
pub mod drive;
mod engine;
mod ike;
pub mod judge;
mod l2tp;
pub mod packet;
mod player;
pub mod recording;
pub mod rewrite;
pub mod rng;
pub mod script;
pub mod settings;
mod tls;

pub use conversation::{Channel, Conversation, Message, Protocol};
pub use engine::{Ending, Noise, Replayer, Transmit};
pub use script::{CannotPlay, Script};
pub use settings::{Settings, Substitution, Timing, Variation};
