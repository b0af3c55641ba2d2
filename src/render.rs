//! From the report to text for people. Formats, and computes nothing: JSON is the report as it
//! is, and everything said here stands in it.

pub mod compare;
pub mod escape;
pub mod json;
pub mod replay;
pub mod text;
pub mod tree;
