//! vpnscope says why a VPN connection failed.
//!
//! Bytes walk through the rooms in one direction; no room calls back, and borrowed data ends
//! at [`track`].
//!
//! ```text
//! source ─Frame▶ decap ─Segment▶ assemble ▶ dissect ─Event▶ track ─Session▶ diagnose ─Finding▶ report ▶ render
//! ```

pub mod assemble;
pub mod cli;
pub mod compare;
pub mod decap;
pub mod desk;
pub mod diagnose;
pub mod dissect;
pub mod explain;
pub mod limits;
pub mod render;
pub mod replay;
pub mod report;
pub mod source;
pub mod tables;
pub mod time;
pub mod track;
pub mod walk;
