//! dtls.
