//! natt.
