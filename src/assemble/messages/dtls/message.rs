//! One handshake message and the fragments that are there of it.

use vpnscope_dissectors::dtls::Fragment;
use vpnscope_dissectors::tls::HandshakeType;

/// What a fragment brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Insertion {
    /// The message is whole now.
    Whole,
    /// Octets that were missing.
    Something,
    /// Nothing new.
    Nothing,
}

/// A message of which octets are missing.
#[derive(Debug)]
pub(super) struct Partial {
    message_type: HandshakeType,
    message_seq: u16,
    length: u32,
    /// Stretches in order, without overlap.
    stretches: Vec<Stretch>,
    seen: u32,
    empty_seen: bool,
}

#[derive(Debug)]
struct Stretch {
    offset: u32,
    octets: Box<[u8]>,
    frame: u64,
}

impl Stretch {
    fn end(&self) -> u32 {
        self.offset
            .saturating_add(u32::try_from(self.octets.len()).unwrap_or(u32::MAX))
    }
}

/// Stretches that are kept of a message; real ones have a handful.
const STRETCHES_KEPT: usize = 1024;

impl Partial {
    pub(super) const fn new(fragment: &Fragment<'_>) -> Self {
        Self {
            message_type: fragment.message_type,
            message_seq: fragment.message_seq,
            length: fragment.length,
            stretches: Vec::new(),
            seen: 0,
            empty_seen: false,
        }
    }

    pub(super) const fn message_type(&self) -> HandshakeType {
        self.message_type
    }

    pub(super) const fn message_seq(&self) -> u16 {
        self.message_seq
    }

    pub(super) const fn length(&self) -> u32 {
        self.length
    }

    pub(super) const fn seen(&self) -> u32 {
        self.seen
    }

    pub(super) fn fragments(&self) -> u32 {
        u32::try_from(self.stretches.len())
            .unwrap_or(u32::MAX)
            .max(1)
    }

    pub(super) fn held(&self) -> usize {
        size_of::<Self>()
            + self.stretches.len() * size_of::<Stretch>()
            + usize::try_from(self.seen).unwrap_or_default()
    }

    pub(super) fn is_of(&self, fragment: &Fragment<'_>) -> bool {
        self.message_type == fragment.message_type
            && self.message_seq == fragment.message_seq
            && self.length == fragment.length
    }

    /// Adds what is new of a fragment; a fragment that reaches beyond the message is none.
    pub(super) fn insert(&mut self, fragment: &Fragment<'_>, frame: u64) -> Insertion {
        let end = fragment
            .fragment_offset
            .saturating_add(fragment.fragment_length);
        if end > self.length || self.stretches.len() >= STRETCHES_KEPT {
            return Insertion::Nothing;
        }
        let before = self.seen;
        let mut at = fragment.fragment_offset;
        while at < end {
            // The first stretch that ends after `at`.
            let index = self
                .stretches
                .partition_point(|stretch| stretch.end() <= at);
            let next = self.stretches.get(index);
            if let Some(next) = next
                && next.offset <= at
            {
                at = next.end();
                continue;
            }
            let until = next.map_or(end, |next| next.offset.min(end));
            let octets = slice(fragment, at, until);
            self.seen = self
                .seen
                .saturating_add(u32::try_from(octets.len()).unwrap_or(u32::MAX));
            self.stretches.insert(
                index,
                Stretch {
                    offset: at,
                    octets: octets.into(),
                    frame,
                },
            );
            at = until;
        }
        let fresh = self.seen > before || (self.length == 0 && !self.empty_seen);
        if self.length == 0 && !self.empty_seen {
            self.empty_seen = true;
            self.stretches.push(Stretch {
                offset: 0,
                octets: Box::default(),
                frame,
            });
        }
        match (fresh, self.seen >= self.length) {
            (true, true) => Insertion::Whole,
            (true, false) => Insertion::Something,
            (false, _) => Insertion::Nothing,
        }
    }

    /// The octets that are there, joined: the body, once the message is whole.
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(usize::try_from(self.seen).unwrap_or_default());
        for stretch in &self.stretches {
            body.extend_from_slice(&stretch.octets);
        }
        body
    }

    /// The frames they came in, in the order of their octets.
    pub(super) fn frames(&self) -> Vec<u64> {
        let mut frames: Vec<u64> = self.stretches.iter().map(|stretch| stretch.frame).collect();
        frames.dedup();
        frames
    }
}

/// The octets `from..to` of the message that are in a fragment.
fn slice<'a>(fragment: &Fragment<'a>, from: u32, to: u32) -> &'a [u8] {
    let index = |at: u32| usize::try_from(at.saturating_sub(fragment.fragment_offset)).ok();
    match (index(from), index(to)) {
        (Some(from), Some(to)) => fragment.body.0.get(from..to).unwrap_or_default(),
        _ => &[],
    }
}
