//! Messages that span several datagrams or records, whole again.

pub mod cisco_ike;
