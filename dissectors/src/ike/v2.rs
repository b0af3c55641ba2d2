//! IKEv2 (RFC 7296 and successors).
