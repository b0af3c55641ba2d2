//! Alerts (RFC 5246 §7.2, RFC 9846 §6).

use super::codes::{AlertDescription, AlertLevel};
use crate::{ParseError, Reason};

/// An alert in clear, two octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Alert {
    /// Octet 0.
    pub level: AlertLevel,
    /// Octet 1.
    pub description: AlertDescription,
}

impl Alert {
    /// Reads the fragment of an alert record. A clear one has two octets; an encrypted one
    /// is never as short, for even a stream cipher adds a MAC.
    pub const fn parse(fragment: &[u8]) -> Result<Self, ParseError> {
        match *fragment {
            [level, description] => Ok(Self {
                level: AlertLevel(level),
                description: AlertDescription(description),
            }),
            [] | [_] => Err(ParseError::new(
                "TLS alert",
                0,
                Reason::Truncated {
                    needed: 2,
                    available: fragment.len(),
                },
            )),
            _ => Err(ParseError::new(
                "TLS alert",
                0,
                Reason::Invalid("encrypted"),
            )),
        }
    }

    /// Whether the sender ends the connection with it: every fatal one and `close_notify`,
    /// and in TLS 1.3, where the level means nothing, every one but `user_canceled`.
    pub const fn ends(self, is_tls13: bool) -> bool {
        matches!(self.level, AlertLevel::FATAL)
            || matches!(self.description, AlertDescription::CLOSE_NOTIFY)
            || (is_tls13 && !matches!(self.description, AlertDescription::USER_CANCELED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_or_encrypted() {
        let alert = Alert::parse(&[2, 40]).unwrap();
        assert_eq!(alert.level, AlertLevel::FATAL);
        assert_eq!(alert.description, AlertDescription::HANDSHAKE_FAILURE);
        assert!(alert.ends(false));
        assert!(!Alert::parse(&[1, 112]).unwrap().ends(false));
        assert!(Alert::parse(&[1, 112]).unwrap().ends(true));
        assert_eq!(
            Alert::parse(&[0; 26]).unwrap_err().reason,
            Reason::Invalid("encrypted")
        );
        assert_eq!(
            Alert::parse(&[2]).unwrap_err().reason,
            Reason::Truncated {
                needed: 2,
                available: 1
            }
        );
    }
}
