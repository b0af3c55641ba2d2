//! What users read on their screens, and the causes behind it.

use crate::report::SeenAs;

/// The codes and messages that users see for a cause.
pub fn seen_as(_code: &str) -> Vec<SeenAs> {
    Vec::new()
}
