//! The names of vendor ids. The same few come again and again, so each is looked up once.

use std::cell::RefCell;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use vpnscope_dissectors::ike::vendor::{Capability, Family, VendorMatch, lookup, lookup_from};
use vpnscope_dissectors::ike::{Header, Spi};

/// What is known of a vendor id.
#[derive(Debug, Clone)]
pub(crate) struct Vendor {
    /// What it is called, or its octets in hex.
    pub(crate) name: Arc<str>,
    /// Whose it is, and what it says its sender can do, where that is known.
    pub(crate) known: Option<(Family, Option<Capability>)>,
}

/// Vendor ids that are remembered: strangers make up as many as they like.
const KEPT: usize = 4096;
/// Octets of the longest one that is remembered.
const LONGEST: usize = 256;

thread_local! {
    /// Pure function results only: which thread asks makes no difference.
    static KNOWN: RefCell<HashMap<Box<[u8]>, Vendor, RandomState>> =
        RefCell::new(HashMap::default());
}

/// The vendor id `octets`.
pub(crate) fn vendor(octets: &[u8]) -> Vendor {
    KNOWN.with_borrow_mut(|known| {
        if let Some(vendor) = known.get(octets) {
            return vendor.clone();
        }
        let vendor = Vendor::of(octets, lookup(octets).as_ref());
        if known.len() < KEPT && octets.len() <= LONGEST {
            known.insert(octets.into(), vendor.clone());
        }
        vendor
    })
}

/// The vendor id `octets` of the end with this cookie: some vendor ids repeat a part of it.
pub(crate) fn vendor_from(octets: &[u8], cookie: Spi) -> Vendor {
    let found = vendor(octets);
    if found.known.is_some() {
        return found;
    }
    match lookup_from(octets, cookie) {
        Some(by_cookie) => Vendor::of(octets, Some(&by_cookie)),
        None => found,
    }
}

/// The name of a known vendor id.
pub(crate) fn known_vendor(octets: &[u8]) -> Option<String> {
    lookup(octets).map(|found| found.to_string())
}

/// The name of a known vendor id in a message with this header: some vendor ids repeat a part of
/// their sender's cookie, which may be either.
pub(crate) fn vendor_of(octets: &[u8], header: &Header) -> Option<String> {
    [header.initiator_spi, header.responder_spi]
        .into_iter()
        .find_map(|cookie| lookup_from(octets, cookie))
        .map(|found| found.to_string())
}

impl Vendor {
    fn of(octets: &[u8], found: Option<&VendorMatch<'_>>) -> Self {
        let name = found.map_or_else(
            || {
                let shown = octets.get(..32).unwrap_or(octets);
                vpnscope_dissectors::Octets(shown).to_string()
            },
            ToString::to_string,
        );
        Self {
            name: name.into(),
            known: found.map(|found| (found.family, found.capability)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_every_time() {
        // MD5 of "RFC 3947".
        let rfc3947 = [
            0x4a, 0x13, 0x1c, 0x81, 0x07, 0x03, 0x58, 0x45, 0x5c, 0x57, 0x28, 0xf2, 0x0e, 0x95,
            0x45, 0x2f,
        ];
        for _ in 0..2 {
            let found = vendor(&rfc3947);
            assert_eq!(Some(found.name.to_string()), known_vendor(&rfc3947));
            assert!(
                found
                    .known
                    .is_some_and(|(_, capability)| capability.is_some())
            );
            let unknown = vendor(b"\x01\x02nobody");
            assert_eq!(&*unknown.name, "01026e6f626f6479");
            assert!(unknown.known.is_none());
        }
    }

    #[test]
    fn a_cookie_is_not_remembered_for_others() {
        let mut octets = [7; 16];
        octets[4..8].copy_from_slice(&[1, 2, 3, 4]);
        let sender = Spi(0x0102_0304 ^ 0x0001_0000);
        assert!(vendor_from(&octets, sender).known.is_some());
        assert!(vendor_from(&octets, Spi(5)).known.is_none());
        assert!(vendor(&octets).known.is_none());
    }
}
