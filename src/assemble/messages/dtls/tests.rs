//! Fragments in any order, overlapping, lying, endless; every budget.

use super::direction::Done;
use super::*;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Given {
    Message(u8, Vec<u8>, Vec<u64>, u32),
    Incomplete(u8, u32, u32),
    Fragment(bool),
    Other,
}

struct Bench {
    assembler: Assembler,
    given: Vec<Given>,
    frame: u64,
    sequence: u16,
}

fn flow(client: u32) -> Flow {
    Flow {
        source: (
            std::net::Ipv4Addr::from(0x0a00_0000 + client).into(),
            50_000,
        ),
        destination: (std::net::Ipv4Addr::new(203, 0, 113, 1).into(), 443),
    }
}

impl Bench {
    fn new(config: Config) -> Self {
        Self {
            assembler: Assembler::new(config),
            given: Vec::new(),
            frame: 0,
            sequence: 0,
        }
    }

    fn send(&mut self, flow: &Flow, payload: &[u8]) -> bool {
        self.frame += 1;
        let time = Timestamp(i64::try_from(self.frame).unwrap() * 1_000_000);
        let given = &mut self.given;
        self.assembler
            .handle(0, flow, self.frame, time, payload, &mut |item| {
                given.push(own(item));
            })
    }

    fn finish(&mut self) {
        let given = &mut self.given;
        self.assembler.finish(&mut |item| given.push(own(item)));
    }

    /// A record of the server with a fragment.
    fn server(&mut self, fragment: &[u8]) -> bool {
        self.sequence += 1;
        let record = record(self.sequence, fragment);
        self.send(&flow(0).reversed(), &record)
    }

    fn messages(&self) -> Vec<&Given> {
        let messages = self.given.iter();
        messages
            .filter(|given| matches!(given, Given::Message(..)))
            .collect()
    }
}

fn own(item: &Item<'_>) -> Given {
    match item.what {
        What::Message {
            message_type,
            body,
            frames,
            fragments,
            ..
        } => Given::Message(message_type.0, body.to_vec(), frames.to_vec(), fragments),
        What::Incomplete {
            message_type,
            length,
            seen,
            ..
        } => Given::Incomplete(message_type.0, length, seen),
        What::Fragment { again, .. } => Given::Fragment(again),
        _ => Given::Other,
    }
}

fn record(sequence: u16, fragment: &[u8]) -> Vec<u8> {
    let len = u16::try_from(fragment.len()).unwrap().to_be_bytes();
    let sequence = sequence.to_be_bytes();
    [
        &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0],
        &sequence[..],
        &len,
        fragment,
    ]
    .concat()
}

fn fragment(kind: u8, number: u16, length: u32, offset: u32, octets: &[u8]) -> Vec<u8> {
    let len = u32::try_from(octets.len()).unwrap();
    let three = |value: u32| value.to_be_bytes()[1..].to_vec();
    [
        vec![kind],
        three(length),
        number.to_be_bytes().to_vec(),
        three(offset),
        three(len),
        octets.to_vec(),
    ]
    .concat()
}

fn body() -> Vec<u8> {
    (0..100).collect()
}

fn part(from: u32, to: u32) -> Vec<u8> {
    let range = usize::try_from(from).unwrap()..usize::try_from(to).unwrap();
    fragment(11, 2, 100, from, &body()[range])
}

/// The assembler after a ServerHello, so that the association is known.
fn begun(config: Config) -> Bench {
    let mut bench = Bench::new(config);
    let hello = [&[0xfe, 0xfd][..], &[8; 32], &[0, 0xc0, 0x2f, 0]].concat();
    let len = u32::try_from(hello.len()).unwrap();
    bench.server(&fragment(2, 1, len, 0, &hello));
    bench.given.clear();
    bench
}

#[test]
fn fragments_in_any_order_make_the_message() {
    let parts = [(0, 30), (30, 60), (60, 61), (61, 100)];
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]];
    for order in orders {
        let mut bench = begun(Config::default());
        for index in order {
            let (from, to) = parts[index];
            bench.server(&part(from, to));
        }
        let Some(Given::Message(11, octets, frames, 4)) = bench.messages().first().copied() else {
            panic!("{:?}", bench.given);
        };
        assert_eq!((octets, frames.len()), (&body(), 4), "{order:?}");
        assert!(bench.assembler.held <= size_of::<Association>());
    }
}

#[test]
fn copies_and_overlaps_add_what_is_new_and_no_more() {
    let mut bench = begun(Config::default());
    bench.server(&part(0, 40));
    bench.server(&part(0, 40));
    bench.server(&part(20, 70));
    bench.server(&part(60, 100));
    // The whole of it again, in one.
    bench.server(&part(0, 100));
    let again: Vec<_> = bench
        .given
        .iter()
        .filter_map(|given| match given {
            Given::Fragment(again) => Some(*again),
            _ => None,
        })
        .collect();
    assert_eq!(again, [false, true, false, false, true]);
    let [Given::Message(11, octets, ..)] = bench.messages()[..] else {
        panic!("{:?}", bench.given);
    };
    assert_eq!(octets, &body());
}

#[test]
fn of_overlapping_octets_those_that_came_first_stay() {
    let mut bench = begun(Config::default());
    bench.server(&fragment(11, 2, 6, 2, b"CD"));
    bench.server(&fragment(11, 2, 6, 0, b"abcdef"));
    let [Given::Message(11, octets, ..)] = bench.messages()[..] else {
        panic!("{:?}", bench.given);
    };
    assert_eq!(octets, b"abCDef");
}

#[test]
fn fragments_that_lie_are_no_part_of_a_message() {
    let mut bench = begun(Config::default());
    // Beyond the message; of another length than the others; longer than the record.
    bench.server(&fragment(11, 2, 100, 90, &[1; 20]));
    bench.server(&fragment(11, 2, 101, 0, &[1; 50]));
    let mut long = part(0, 50);
    long.truncate(40);
    assert!(!bench.server(&long));
    bench.server(&part(0, 50));
    bench.server(&part(50, 100));
    let [Given::Message(11, octets, ..)] = bench.messages()[..] else {
        panic!("{:?}", bench.given);
    };
    assert_eq!(octets, &body());
    bench.finish();
    assert!(bench.given.contains(&Given::Incomplete(11, 101, 50)));
}

#[test]
fn a_message_of_sixteen_mebibytes_is_passed_by() {
    let mut bench = begun(Config::default());
    for n in 0..1000 {
        bench.server(&fragment(11, 2, (1 << 24) - 1, n * 1000, &[0; 1000]));
    }
    assert!(bench.assembler.held <= size_of::<Association>());
    assert_eq!(
        bench
            .given
            .iter()
            .filter(|g| **g == Given::Fragment(false))
            .count(),
        1000
    );
    bench.server(&part(0, 100));
    assert_eq!(bench.messages().len(), 1);
}

#[test]
fn a_million_tiny_records_are_counted_and_not_kept() {
    let mut bench = begun(Config::default());
    let tiny: Vec<u8> = (0..50u32)
        .flat_map(|n| record(1, &fragment(11, 2, 100_000, n * 2, &[0])))
        .collect();
    let mut fragments = 0;
    for n in 0..20_000u32 {
        bench.given.clear();
        // Every other octet, over and over: none of it is new after the first thousand.
        let mut datagram = tiny.clone();
        for (place, octets) in datagram.chunks_mut(26).enumerate() {
            let at = (u32::try_from(place).unwrap() + n * 50) * 2 % 100_000;
            octets[19..22].copy_from_slice(&at.to_be_bytes()[1..]);
        }
        bench.send(&flow(0).reversed(), &datagram);
        fragments += bench
            .given
            .iter()
            .filter(|g| matches!(g, Given::Fragment(_)))
            .count();
        assert!(bench.assembler.held < 200_000, "{}", bench.assembler.held);
    }
    assert_eq!(fragments, 1_000_000);
    bench.finish();
    assert_eq!(
        bench.given.last(),
        Some(&Given::Incomplete(11, 100_000, 1024))
    );
    assert!(bench.assembler.held <= size_of::<Association>());
}

#[test]
fn messages_that_are_incomplete_at_a_time_are_bounded_and_counted() {
    let mut bench = begun(Config::default());
    for number in 0..1000 {
        bench.server(&fragment(11, number, 5000, 0, &[1; 1000]));
    }
    assert_eq!(bench.assembler.counters().messages, 1000 - 16);
    assert!(bench.assembler.held < 20_000);
    bench.finish();
    let told = bench
        .given
        .iter()
        .filter(|g| matches!(g, Given::Incomplete(..)));
    assert_eq!(told.count(), 16);
}

fn hello(client: u32) -> Vec<u8> {
    let body = [
        &[0xfe, 0xfd][..],
        &client.to_be_bytes(),
        &[7; 28],
        &[0, 0, 0, 2, 0xc0, 0x2f, 1, 0],
    ]
    .concat();
    let len = u32::try_from(body.len()).unwrap();
    record(0, &fragment(1, 0, len, 0, &body))
}

#[test]
fn associations_beyond_the_budget_are_let_go_of_and_counted() {
    let mut bench = Bench::new(Config {
        associations: 1000,
        ..Config::default()
    });
    for client in 0..20_000 {
        assert!(bench.send(&flow(client), &hello(client)));
        assert!(bench.assembler.table.len() <= 1000);
    }
    let left = bench.assembler.table.len() as u64;
    assert_eq!(bench.assembler.counters().evicted, 20_000 - left);
    assert_eq!(bench.messages().len(), 20_000);
}

#[test]
fn octets_that_wait_are_bounded_even_if_no_association_is_new() {
    let mut bench = Bench::new(Config {
        octets: 1 << 20,
        ..Config::default()
    });
    for client in 0..500 {
        bench.send(&flow(client), &hello(client));
    }
    for number in 1..10u16 {
        for client in 0..500 {
            let piece = record(number, &fragment(11, number, 60_000, 0, &[1; 1000]));
            bench.send(&flow(client), &piece);
            assert!(bench.assembler.held <= 1 << 20, "{}", bench.assembler.held);
        }
    }
    assert!(bench.assembler.counters().evicted > 0);
}

#[test]
fn what_is_no_dtls_is_not_taken() {
    let mut bench = Bench::new(Config::default());
    assert!(!bench.send(&flow(0), b"GET / HTTP/1.1"));
    assert!(!bench.send(&flow(0), &[]));
    assert_eq!(bench.assembler.table.len(), 0);
}

#[test]
fn an_association_takes_little() {
    assert!(size_of::<Association>() <= 288 && size_of::<Done>() == 6);
}
