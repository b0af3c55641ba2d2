//! vpnscope says why a VPN connection failed.
//!
//! Bytes walk through the rooms in one direction; no room calls back, and borrowed data ends
//! at [`track`].
//!
//! ```text
//! source ─Frame▶ decap ─Segment▶ assemble ▶ dissect ─Event▶ track ─Session▶ diagnose ─Finding▶ report ▶ render
//! ```

pub mod assemble;
pub mod decap;
pub mod diagnose;
pub mod explain;
pub mod report;
pub mod source;
pub mod time;
pub mod track;
