//! From pieces to wholes: IP fragments to datagrams, TCP segments to octets in order, and
//! records, fragments and frames to messages.
//!
//! Takes [`Segment`](crate::decap::Segment)s, gives wholes with the frames they came from, and
//! what never became whole as facts. Works within fixed budgets and counts what they evict.
//! Never judges.

pub mod ip;
pub mod messages;
pub mod tcp;
pub mod tcp_ike;
