//! How much is read of one thing, by everybody alike: set before the first frame is read, if at all.
//!
//! What is held at a time of many things has budgets of its own, in the configuration of its room.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A limit that the user may set; everybody who asks names the usual one.
#[derive(Debug)]
pub struct Limit(AtomicUsize);

impl Limit {
    const fn unset() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Sets it; 0 is the usual one.
    pub fn set(&self, most: usize) {
        self.0.store(most, Ordering::Relaxed);
    }

    /// What the user set, or else the usual one.
    pub fn or(&self, usual: usize) -> usize {
        match self.0.load(Ordering::Relaxed) {
            0 => usual,
            most => most,
        }
    }
}

/// Encapsulations that are peeled off one frame. The usual number is the highest.
pub static NESTING: Limit = Limit::unset();
/// Payloads, AVPs and options of one message that are shown.
pub static ITEMS: Limit = Limit::unset();
/// Certificates of one chain that are read.
pub static CERTIFICATES: Limit = Limit::unset();
/// IKE SAs that renew each other and are told as one session.
pub static SAS: Limit = Limit::unset();
