//! IKEv1 (RFC 2407, RFC 2408, RFC 2409 and successors).

pub mod codes;
