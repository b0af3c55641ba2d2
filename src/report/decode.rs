//! The serialised model of `decode`: every VPN-relevant frame, layer by layer.

use schemars::JsonSchema;
use serde::Serialize;

/// One frame.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FrameReport {
    /// Capture, from 0.
    pub capture: u16,
}
