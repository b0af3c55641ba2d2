//! Whole messages that span records, fragments, segments or datagrams, each with the frames
//! it came from.

pub mod cisco_ike;
pub mod dtls;
pub mod tls;
