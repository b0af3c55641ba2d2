//! l2tp.
