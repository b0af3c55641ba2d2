//! What is costly to derive and comes again and again: certificates, and what hellos offer.
//!
//! Results of pure functions, so that it makes no difference which thread asks, or whether they
//! are remembered. Bounded: strangers make up as many as they like.

use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashMap};
use vpnscope_dissectors::tls::fingerprint::Carrier;
use vpnscope_dissectors::tls::{Certificate, ClientHello, ExtensionType};

use crate::track::tls::hello::Offered;

/// Certificates and offers that are remembered.
const KEPT: usize = 1024;
/// Octets of the longest one that is remembered.
const LONGEST: usize = 4096;

/// Octets that are told apart by their length and their end, and then by all of them: the end of
/// a certificate is a signature, and hashing it all would cost more than comparing it once.
#[derive(Clone, Copy)]
struct Asked<'a>(&'a [u8]);

#[derive(PartialEq, Eq)]
struct Known(Box<[u8]>);

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.0.len());
        let from = self.0.len().saturating_sub(48);
        state.write(self.0.get(from..).unwrap_or_default());
    }
}

impl Hash for Known {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Asked(&self.0).hash(state);
    }
}

impl Equivalent<Known> for Asked<'_> {
    fn equivalent(&self, key: &Known) -> bool {
        *self.0 == *key.0
    }
}

type Memo<T> = RefCell<HashMap<Known, T, RandomState>>;

thread_local! {
    static CERTIFICATES: Memo<Option<Arc<Certificate>>> = RefCell::default();
    static OFFERS: Memo<Arc<Offered>> = RefCell::default();
    /// Where what is asked for is written: no longer than a hello.
    static KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn remembered<T: Clone>(memo: &Memo<T>, octets: &[u8], derive: impl FnOnce() -> T) -> T {
    if let Some(known) = memo.borrow().get(&Asked(octets)) {
        return known.clone();
    }
    let derived = derive();
    let mut memo = memo.borrow_mut();
    if memo.len() < KEPT && octets.len() <= LONGEST {
        memo.insert(Known(octets.into()), derived.clone());
    }
    derived
}

/// What a certificate in DER says; `None` where it is none.
pub(super) fn certificate(der: &[u8]) -> Option<Arc<Certificate>> {
    CERTIFICATES.with(|memo| remembered(memo, der, || Certificate::parse(der).ok().map(Arc::new)))
}

/// What a hello says beside what is new in each.
pub(super) fn offered(hello: &ClientHello<'_>, carrier: Carrier) -> Arc<Offered> {
    KEY.with_borrow_mut(|key| {
        key.clear();
        write_key(key, hello, carrier);
        let derive = || Arc::new(Offered::of(hello, carrier));
        OFFERS.with(|memo| remembered(memo, key, derive))
    })
}

/// Everything that [`Offered::of`] looks at, and JA4.
fn write_key(key: &mut Vec<u8>, hello: &ClientHello<'_>, carrier: Carrier) {
    key.push(match carrier {
        Carrier::Tcp => 0,
        Carrier::Dtls => 1,
        Carrier::Quic => 2,
    });
    key.push(u8::from(hello.fault.is_none()));
    key.extend(hello.version.0.to_be_bytes());
    let cookie = hello.cookie.map_or(0, |cookie| cookie.len() + 1);
    key.extend(cookie.to_be_bytes());
    key.extend(hello.cipher_suites.len().to_be_bytes());
    key.extend(hello.cipher_suites.octets());
    for share in hello.key_shares().into_iter().flatten().flatten() {
        key.extend(share.group.0.to_be_bytes());
    }
    for extension in hello.extensions.into_iter().flatten() {
        key.extend(extension.extension_type.0.to_be_bytes());
        let data = extension.body.0;
        match extension.extension_type {
            ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION
            | ExtensionType::SIGNATURE_ALGORITHMS
            | ExtensionType::SUPPORTED_GROUPS
            | ExtensionType::SUPPORTED_VERSIONS => {
                let len = u16::try_from(data.len()).unwrap_or(u16::MAX);
                key.extend(len.to_be_bytes());
                key.extend(data);
            }
            ExtensionType::SESSION_TICKET => key.push(u8::from(data.is_empty())),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_was_asked_for() {
        let memo: Memo<usize> = RefCell::default();
        // The same length and end, other octets before.
        let (mut one, mut other) = ([0; 100], [0; 100]);
        (one[3], other[3]) = (1, 2);
        assert_eq!(remembered(&memo, &one, || 1), 1);
        assert_eq!(remembered(&memo, &other, || 2), 2);
        assert_eq!(remembered(&memo, &one, || 3), 1);
        assert_eq!(remembered(&memo, &other, || 3), 2);
        for n in 0..2 * KEPT {
            remembered(&memo, &n.to_be_bytes(), || n);
        }
        assert_eq!(memo.borrow().len(), KEPT);
        assert_eq!(certificate(b"no certificate"), None);
    }
}
