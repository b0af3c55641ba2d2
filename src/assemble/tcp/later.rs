//! SYNs that are noted some at a time.
//!
//! Of a million connections the record of nearly none is where the processor can reach it soon:
//! to note a SYN is to wait for memory, twice. Records that are asked for together are waited for
//! together. Whoever asks for openings has those that wait noted first, so that nobody can tell.

use super::opening::Key;
use super::options::Options;
use super::{Assembler, At, Noted, PlainSyn, Reader};

/// A SYN that waits.
#[derive(Debug, Clone, Copy)]
struct Waits {
    key: Key,
    hash: u64,
    at: At,
    sequence: u32,
    mss: Option<u16>,
    ttl: u8,
    first: bool,
}

/// SYNs that wait.
#[derive(Debug, Default)]
pub(super) struct Later(Vec<Waits>);

/// As many as a processor waits for at a time.
const TOGETHER: usize = 16;

impl<U: Reader> Assembler<U> {
    /// As [`Assembler::plain_syn`], for who need not know whether there is room.
    #[inline]
    pub fn syn_later(&mut self, syn: &PlainSyn<'_>) -> Noted {
        let (key, first) = Key::of_plain(syn.at.capture(), syn.addresses, syn.ports);
        if self.is_awaited(&key, syn) {
            return Noted::Whole;
        }
        let list = &mut self.later.0;
        if list.capacity() == 0 {
            list.reserve_exact(TOGETHER);
        }
        list.push(Waits {
            key,
            hash: self.openings.hash(&key),
            at: syn.at,
            sequence: syn.sequence,
            mss: Options::mss(syn.options),
            ttl: syn.ttl,
            first,
        });
        if list.len() >= TOGETHER {
            self.note_all();
        }
        Noted::Here
    }

    /// Notes what waits.
    #[inline]
    pub fn note_waiting(&mut self) {
        if !self.later.0.is_empty() {
            self.note_all();
        }
    }

    #[inline(never)]
    fn note_all(&mut self) {
        let mut list = std::mem::take(&mut self.later.0);
        // What is read here is read again below. That nothing depends on it is the point.
        let words = list.iter().map(|syn| self.openings.touch(syn.hash));
        std::hint::black_box(words.fold(0, |all, word| all ^ word));
        let records = list.iter().map(|syn| self.openings.touch_record(syn.hash));
        std::hint::black_box(records.fold(0, |all, record| all ^ record));
        for syn in &list {
            let what = (syn.sequence, syn.mss, syn.ttl);
            self.note(&syn.key, syn.hash, what, false, syn.at, syn.first);
        }
        list.clear();
        self.later.0 = list;
    }
}
