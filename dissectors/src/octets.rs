//! Octet strings that print themselves short.

use core::fmt;
use core::ops::Deref;

/// Borrowed octets; `Debug` and `Display` print lower-case hex without prefix, and cut
/// `Debug` after 32 octets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Octets<'a>(pub &'a [u8]);

impl Deref for Octets<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.0
    }
}

impl<'a> From<&'a [u8]> for Octets<'a> {
    fn from(octets: &'a [u8]) -> Self {
        Self(octets)
    }
}

impl fmt::Display for Octets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Octets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .take(32)
            .try_for_each(|octet| write!(f, "{octet:02x}"))?;
        if self.0.len() > 32 {
            write!(f, "… ({} octets)", self.0.len())?;
        }
        Ok(())
    }
}
