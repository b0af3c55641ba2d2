//! Cisco's fragments of IKEv1 messages (payload 132, MS-IKEE §2.2.3), put together.
//!
//! Every fragment is an IKE message of its own, with the cookies of the message it is a piece of;
//! the pieces together are that message, its header included. A message that is sent again comes
//! in fragments of the same numbers and is given again.
//!
//! Overlaps: of two fragments with the same number the first one counts.

use std::collections::{BTreeMap, VecDeque};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use vpnscope_dissectors::ike::v1::Fragment;
use vpnscope_dissectors::ike::{Header, Message};

use crate::decap::{Envelope, Flow};
use crate::time::{Span, Timestamp};

/// Budgets.
#[derive(Debug, Clone)]
pub struct Config {
    /// Messages in assembly at the same time.
    pub messages: usize,
    /// Octets of all of them together.
    pub octets: usize,
    /// A fragment this much later than the first of its number belongs to another message.
    pub age: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            messages: 4096,
            octets: 16 << 20,
            age: Span::from_secs(60),
        }
    }
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Messages given up because there were too many.
    pub evicted: u64,
    /// Fragments that repeat a number with other octets.
    pub conflicts: u64,
    /// Fragments together that were no IKE message of the same cookies.
    pub broken: u64,
}

/// Octets of one message at most: it must fit into UDP.
const MESSAGE_MOST: usize = 65_535;
/// Copies of a span port come within this time.
const COPY_SPAN: Span = Span::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    flow: Flow,
    initiator: u64,
    responder: u64,
    id: u16,
}

#[derive(Debug, Default)]
struct Partial {
    parts: BTreeMap<u8, Part>,
    last: Option<u8>,
    since: Timestamp,
    octets: usize,
    /// What it takes, the lists of frames included.
    cost: usize,
    /// When all parts were there.
    done: Option<Timestamp>,
}

#[derive(Debug)]
struct Part {
    frames: Vec<u64>,
    octets: Vec<u8>,
}

/// A message that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// Its octets, from the initiator's cookie on.
    pub octets: Vec<u8>,
    /// The frames of its fragments, in order.
    pub frames: Vec<u64>,
}

/// Puts fragments together.
#[derive(Debug, Default)]
pub struct Assembler {
    config: Config,
    open: HashMap<Key, Partial, RandomState>,
    /// Keys in order of their first fragment, for the budgets.
    order: VecDeque<Key>,
    octets: usize,
    counters: Counters,
}

impl Assembler {
    /// An assembler with these budgets.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }

    /// Counters so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes a message that is a fragment; gives the whole message that it completes.
    pub fn handle(
        &mut self,
        envelope: &Envelope,
        frames: &[u64],
        message: &Message<'_>,
    ) -> Option<Whole> {
        let part = fragment(message)?;
        if part.number == 0 {
            return None;
        }
        let key = Key {
            flow: envelope.flow(),
            initiator: message.header.initiator_spi.0,
            responder: message.header.responder_spi.0,
            id: part.id,
        };
        let now = envelope.time;
        let age = self.config.age;
        let partial = self.open.entry(key).or_insert_with(|| {
            self.order.push_back(key);
            Partial {
                since: now,
                ..Partial::default()
            }
        });
        let over = partial.done.is_some_and(|done| now - done > COPY_SPAN);
        if over || now - partial.since > age {
            self.octets = self.octets.saturating_sub(partial.cost);
            *partial = Partial {
                since: now,
                ..Partial::default()
            };
        }
        if partial.done.is_some() {
            return None;
        }
        if let Some(known) = partial.parts.get(&part.number) {
            self.counters.conflicts += u64::from(known.octets != part.data.0);
            return None;
        }
        if partial.octets.saturating_add(part.data.len()) > MESSAGE_MOST {
            self.counters.broken += 1;
            return None;
        }
        let before = partial.cost;
        partial.add(&part, envelope, frames);
        self.octets = (self.octets + partial.cost).saturating_sub(before);
        let whole = partial.whole();
        if let Some(whole) = &whole {
            // The octets are given away; that it is done is remembered for its copies.
            self.octets = self.octets.saturating_sub(partial.cost);
            *partial = Partial {
                since: now,
                done: Some(now),
                ..Partial::default()
            };
            if !belongs(whole, &message.header) {
                self.counters.broken += 1;
                self.keep_budget();
                return None;
            }
        }
        self.keep_budget();
        whole
    }

    fn keep_budget(&mut self) {
        while self.open.len() > self.config.messages || self.octets > self.config.octets {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if let Some(partial) = self.open.remove(&oldest) {
                self.octets = self.octets.saturating_sub(partial.cost);
                self.counters.evicted += u64::from(partial.done.is_none());
            }
        }
    }
}

/// The fragment that a message is, if it is one.
pub fn fragment<'a>(message: &Message<'a>) -> Option<Fragment<'a>> {
    const FRAGMENT: u8 = 132;
    if message.header.major() != 1 || message.header.next_payload != FRAGMENT {
        return None;
    }
    let raw = message.payloads().next()?.ok()?;
    Fragment::parse(&raw).ok()
}

/// Whether the parts together are an IKE message between the same peers.
fn belongs(whole: &Whole, part: &Header) -> bool {
    Header::parse(&whole.octets).is_ok_and(|header| {
        header.initiator_spi == part.initiator_spi
            && header.major() == part.major()
            && fragment_free(&header)
    })
}

/// Fragments of fragments would never end.
fn fragment_free(header: &Header) -> bool {
    header.next_payload != 132
}

impl Partial {
    /// What a part takes beside its octets and frames.
    const EACH: usize = 128;

    fn add(&mut self, part: &Fragment<'_>, envelope: &Envelope, frames: &[u64]) {
        self.octets += part.data.len();
        if part.is_last() {
            self.last = Some(part.number);
        }
        let frames = if frames.is_empty() {
            vec![envelope.frame]
        } else {
            frames.to_vec()
        };
        let octets = part.data.0.to_vec();
        self.cost += octets.len() + size_of_val(&*frames) + Self::EACH;
        self.parts.insert(part.number, Part { frames, octets });
    }

    fn whole(&self) -> Option<Whole> {
        let last = self.last?;
        let complete = (1..=last).all(|number| self.parts.contains_key(&number));
        complete.then(|| {
            let parts = self.parts.range(1..=last);
            let mut frames: Vec<u64> = parts.clone().flat_map(|(_, p)| p.frames.clone()).collect();
            frames.sort_unstable();
            frames.dedup();
            let octets = parts.flat_map(|(_, p)| p.octets.iter().copied()).collect();
            Whole { octets, frames }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::decap::{Checksum, Encapsulation};

    /// A fragment of the message `whole`: its number, whether it is the last, its octets.
    fn piece(id: u16, number: u8, last: bool, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(36 + data.len()).unwrap();
        let mut octets = vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9, 9, 9, 9];
        octets.extend([132, 0x10, 2, 0, 0, 0, 0, 0]);
        octets.extend(length.to_be_bytes());
        octets.extend([0, 0]);
        octets.extend((8 + u16::try_from(data.len()).unwrap()).to_be_bytes());
        octets.extend(id.to_be_bytes());
        octets.extend([number, u8::from(last)]);
        octets.extend(data);
        octets
    }

    fn message() -> Vec<u8> {
        let mut octets = vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9, 9, 9, 9];
        octets.extend([5, 0x10, 2, 1, 0, 0, 0, 0, 0, 0, 0, 60]);
        octets.extend([0xaa; 32]);
        octets
    }

    fn at(frame: u64, ms: i64) -> Envelope {
        Envelope {
            capture: 0,
            interface: 0,
            frame,
            time: Timestamp(ms * 1_000_000),
            source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            destination: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
            source_port: 500,
            destination_port: 500,
            protocol: 17,
            ttl: 64,
            ip_id: 0,
            dont_fragment: false,
            mac: Default::default(),
            vlan: None,
            ip_len: 0,
            wire_len: 0,
            captured_len: 0,
            truncated: false,
            checksum: Checksum::default(),
            encapsulation: Encapsulation::default(),
            fragments: 1,
        }
    }

    fn give(assembler: &mut Assembler, frame: u64, ms: i64, octets: &[u8]) -> Option<Whole> {
        let message = Message::parse(octets).unwrap();
        assembler.handle(&at(frame, ms), &[], &message)
    }

    #[test]
    fn fragments_in_any_order_make_the_message() {
        let whole = message();
        let mut assembler = Assembler::default();
        assert_eq!(
            give(&mut assembler, 5, 0, &piece(1, 2, false, &whole[20..40])),
            None
        );
        assert_eq!(
            give(&mut assembler, 6, 1, &piece(1, 3, true, &whole[40..])),
            None
        );
        let found = give(&mut assembler, 7, 2, &piece(1, 1, false, &whole[..20])).unwrap();
        assert_eq!((found.octets, found.frames), (whole, vec![5, 6, 7]));
        assert_eq!(assembler.octets, 0);
    }

    #[test]
    fn copies_are_ignored_and_retransmissions_are_given_again() {
        let whole = message();
        let (one, two) = (
            piece(1, 1, false, &whole[..30]),
            piece(1, 2, true, &whole[30..]),
        );
        let mut assembler = Assembler::default();
        assert!(give(&mut assembler, 1, 0, &one).is_none());
        assert!(give(&mut assembler, 2, 0, &one).is_none());
        assert!(give(&mut assembler, 3, 1, &two).is_some());
        assert!(give(&mut assembler, 4, 1, &two).is_none());
        assert!(give(&mut assembler, 5, 1000, &one).is_none());
        let again = give(&mut assembler, 6, 1001, &two).unwrap();
        assert_eq!(again.frames, [5, 6]);
    }

    #[test]
    fn what_is_no_message_is_counted() {
        let mut assembler = Assembler::default();
        assert!(give(&mut assembler, 1, 0, &piece(1, 1, true, &[0; 40])).is_none());
        assert_eq!(assembler.counters().broken, 1);
        let nested = piece(9, 1, true, &message());
        assert!(give(&mut assembler, 2, 0, &piece(2, 1, true, &nested)).is_none());
        assert_eq!(assembler.counters().broken, 2);
        assert!(give(&mut assembler, 3, 0, &piece(3, 0, true, &message())).is_none());
    }

    #[test]
    fn a_number_with_other_octets_does_not_change_the_first() {
        let whole = message();
        let mut assembler = Assembler::default();
        give(&mut assembler, 1, 0, &piece(1, 1, false, &whole[..30]));
        give(&mut assembler, 2, 0, &piece(1, 1, false, &[0; 30]));
        let found = give(&mut assembler, 3, 0, &piece(1, 2, true, &whole[30..])).unwrap();
        assert_eq!(found.octets, whole);
        assert_eq!(assembler.counters().conflicts, 1);
    }

    #[test]
    fn budgets_hold() {
        let mut assembler = Assembler::new(Config {
            messages: 8,
            octets: 1000,
            ..Config::default()
        });
        for id in 0..100 {
            give(
                &mut assembler,
                u64::from(id),
                0,
                &piece(id, 1, false, &[7; 300]),
            );
        }
        assert!(assembler.open.len() <= 8 && assembler.octets <= 1000);
        assert!(assembler.counters().evicted > 90);
        assert!(assembler.order.len() <= 100);
    }
}
