//! Texts and lists that packed sessions share.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use vpnscope_dissectors::ike::vendor::Family;
use vpnscope_dissectors::tls::Certificate;

use crate::track::tls::hello::Offered;

/// Octets of all texts, and of all lists: strangers make up as many as they like.
const OCTETS: usize = 1 << 20;
/// Octets of the longest one that is shared.
const LONGEST: usize = 4096;
/// Octets that an entry takes beside its own.
const ENTRY: usize = 96;

/// Things that sessions share already, each once. They are told apart by where they lie, which
/// stays so while they are kept here.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    places: HashMap<usize, u32, RandomState>,
    list: Vec<Arc<T>>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            places: HashMap::default(),
            list: Vec::new(),
        }
    }
}

impl<T> Shelf<T> {
    /// Things that are kept: as many as are remembered, so that they take no more than they do
    /// anyway.
    const KEPT: usize = 1024;

    /// The place of a thing; `None` where there is no room for it, or nobody else has it.
    pub(super) fn place(&mut self, thing: &Arc<T>) -> Option<u64> {
        let address = Arc::as_ptr(thing).addr();
        if let Some(place) = self.places.get(&address) {
            return Some(u64::from(*place));
        }
        if self.list.len() >= Self::KEPT || Arc::strong_count(thing) < 2 {
            return None;
        }
        let place = u32::try_from(self.list.len()).ok()?;
        self.list.push(Arc::clone(thing));
        self.places.insert(address, place);
        Some(u64::from(place))
    }

    /// The thing at a place.
    pub(super) fn at(&self, place: u64) -> Option<Arc<T>> {
        self.list.get(usize::try_from(place).ok()?).cloned()
    }
}

/// Texts and lists, each once.
#[derive(Debug, Default)]
pub(in crate::track) struct Shared {
    texts: HashMap<Arc<str>, u32, RandomState>,
    /// Each text, and as it stands in the program where it does.
    text_list: Vec<(Arc<str>, Option<&'static str>)>,
    lists: HashMap<Arc<[u8]>, u32, RandomState>,
    list_list: Vec<Arc<[u8]>>,
    families: Vec<Family>,
    pub(super) certificates: Shelf<Certificate>,
    pub(super) offers: Shelf<Offered>,
    /// Octets of texts, of lists.
    octets: (usize, usize),
    scratch: Vec<u8>,
}

impl Shared {
    /// An empty list of octets with room.
    pub(super) fn scratch(&mut self) -> Vec<u8> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch
    }

    /// Keeps the room for later.
    pub(super) fn give_back(&mut self, scratch: Vec<u8>) {
        self.scratch = scratch;
    }

    /// The place of a text; `None` where there is no room for it.
    pub(super) fn text(&mut self, text: &str) -> Option<u64> {
        self.note_text(text, None, || text.into())
    }

    /// The place of a text of the program.
    pub(super) fn own_text(&mut self, text: &'static str) -> Option<u64> {
        self.note_text(text, Some(text), || text.into())
    }

    /// The place of a text that is shared already.
    pub(super) fn shared_text(&mut self, text: &Arc<str>) -> Option<u64> {
        self.note_text(text, None, || Arc::clone(text))
    }

    fn note_text(
        &mut self,
        text: &str,
        own: Option<&'static str>,
        share: impl FnOnce() -> Arc<str>,
    ) -> Option<u64> {
        if let Some(place) = self.texts.get(text) {
            if own.is_some()
                && let Some(known) = self.text_list.get_mut(*place as usize)
            {
                known.1 = own;
            }
            return Some(u64::from(*place));
        }
        if text.len() > LONGEST || self.octets.0 > OCTETS {
            return None;
        }
        let place = u32::try_from(self.text_list.len()).ok()?;
        let shared = share();
        self.octets.0 += text.len() + ENTRY;
        self.text_list.push((Arc::clone(&shared), own));
        self.texts.insert(shared, place);
        Some(u64::from(place))
    }

    /// The text at a place, and as it stands in the program.
    pub(super) fn text_at(&self, place: u64) -> Option<&(Arc<str>, Option<&'static str>)> {
        self.text_list.get(usize::try_from(place).ok()?)
    }

    /// The place of a list; `None` where there is no room for it.
    pub(super) fn list(&mut self, list: &[u8]) -> Option<u64> {
        if let Some(place) = self.lists.get(list) {
            return Some(u64::from(*place));
        }
        if list.len() > LONGEST || self.octets.1 > OCTETS {
            return None;
        }
        let place = u32::try_from(self.list_list.len()).ok()?;
        let shared: Arc<[u8]> = list.into();
        self.octets.1 += list.len() + ENTRY;
        self.list_list.push(Arc::clone(&shared));
        self.lists.insert(shared, place);
        Some(u64::from(place))
    }

    /// The list at a place.
    pub(super) fn listed(&self, place: u64) -> Option<&[u8]> {
        let list = self.list_list.get(usize::try_from(place).ok()?)?;
        Some(list)
    }

    /// The place of a family of implementations.
    pub(super) fn family(&mut self, family: Family) -> u64 {
        let known = self.families.iter().position(|known| *known == family);
        let place = known.unwrap_or_else(|| {
            self.families.push(family);
            self.families.len() - 1
        });
        place as u64
    }

    /// The family at a place.
    pub(super) fn family_at(&self, place: u64) -> Option<Family> {
        self.families.get(usize::try_from(place).ok()?).copied()
    }
}
