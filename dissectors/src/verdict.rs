//! What looking at octets says about whose they are.

/// Whether octets are of a protocol, judged by their structure alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// They are, whatever the port says.
    Certain,
    /// They may be: a hint from outside, such as the port, decides.
    Unsure,
    /// They are not.
    NotOurs,
}
