//! Records and messages cut anywhere, lying, lost, tiny and endless.

use super::messages::LONGEST_MESSAGE;
use super::*;

/// What was given, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Given {
    Record(u8, u16, bool, bool),
    Handshake(u8, Vec<u8>, Vec<u64>),
    Cut(u8, u32, usize),
    Alert(u8),
    NotTls(Vec<u8>),
    Unreadable,
    Ssl2,
}

fn own(item: &Item<'_>) -> Given {
    match item.what {
        What::Record {
            content_type,
            length,
            clear,
            cut,
            ..
        } => Given::Record(content_type.0, length, clear, cut),
        What::Handshake { message_type, body } => {
            Given::Handshake(message_type.0, body.to_vec(), item.frames.to_vec())
        }
        What::HandshakeCut {
            message_type,
            length,
            body,
        } => Given::Cut(message_type.0, length, body.len()),
        What::Ssl2Hello(_) => Given::Ssl2,
        What::Alert(alert) => Given::Alert(alert.description.0),
        What::NotTls(octets) => Given::NotTls(octets.to_vec()),
        What::Unreadable(_) => Given::Unreadable,
    }
}

#[derive(Default)]
struct Bench {
    stream: Stream,
    given: Vec<Given>,
    frame: u64,
    sent: [bool; 2],
}

impl Bench {
    fn send(&mut self, from: Party, octets: &[u8]) {
        self.frame += 1;
        let sent = &mut self.sent[usize::from(from == Party::Acceptor)];
        let at_start = !std::mem::replace(sent, true);
        let given = &mut self.given;
        self.stream
            .octets(from, at_start, self.frame, octets, &mut |item| {
                given.push(own(item));
            });
    }

    fn client(&mut self, octets: &[u8]) {
        self.send(Party::Opener, octets);
    }

    fn server(&mut self, octets: &[u8]) {
        self.send(Party::Acceptor, octets);
    }

    fn gap(&mut self, from: Party, len: u32) {
        let given = &mut self.given;
        self.stream
            .gap(from, len, &mut |item| given.push(own(item)));
    }

    fn finish(&mut self) {
        let given = &mut self.given;
        self.stream.finish(&mut |item| given.push(own(item)));
    }

    fn messages(&self) -> Vec<(u8, Vec<u8>)> {
        let messages = self.given.iter().filter_map(|given| match given {
            Given::Handshake(kind, body, _) => Some((*kind, body.clone())),
            _ => None,
        });
        messages.collect()
    }
}

fn record(content_type: u8, fragment: &[u8]) -> Vec<u8> {
    let len = u16::try_from(fragment.len()).unwrap().to_be_bytes();
    [&[content_type, 3, 3], &len[..], fragment].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &len[1..], body].concat()
}

/// A `ClientHello` of TLS 1.2 with one suite.
fn client_hello() -> Vec<u8> {
    [&[3, 3][..], &[7; 32], &[0, 0, 2, 0xc0, 0x2f, 1, 0]].concat()
}

/// The `ServerHello` that answers it.
fn server_hello() -> Vec<u8> {
    [&[3, 3][..], &[8; 32], &[0, 0xc0, 0x2f, 0]].concat()
}

fn greeted() -> Bench {
    let mut bench = Bench::default();
    bench.client(&record(22, &message(1, &client_hello())));
    bench.given.clear();
    bench
}

#[test]
fn messages_are_the_same_wherever_segments_and_records_are_cut() {
    let certificate = vec![5; 300];
    let flight = [
        message(2, &server_hello()),
        message(11, &certificate),
        message(14, &[]),
    ]
    .concat();
    let expected = [(2, server_hello()), (11, certificate), (14, vec![])];
    for fragment in [1, 2, 3, 5, 39, 43, 100, 500] {
        let records: Vec<u8> = flight
            .chunks(fragment)
            .flat_map(|part| record(22, part))
            .collect();
        for segment in [1, 2, 4, 5, 6, 44, 1000, 5000] {
            let mut bench = greeted();
            for part in records.chunks(segment) {
                bench.server(part);
            }
            assert_eq!(bench.messages(), expected, "{fragment} {segment}");
            assert!(bench.stream.held() < 100);
        }
    }
}

#[test]
fn a_message_names_the_frames_it_came_in() {
    let mut bench = greeted();
    let octets = record(
        22,
        &[message(2, &server_hello()), message(11, &[5; 50])].concat(),
    );
    bench.server(&octets[..30]);
    bench.server(&octets[30..60]);
    bench.server(&octets[60..]);
    let frames: Vec<_> = bench
        .given
        .iter()
        .filter_map(|given| match given {
            Given::Handshake(_, _, frames) => Some(frames.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(frames, [vec![2, 3, 4], vec![2, 3, 4]]);
}

#[test]
fn a_message_of_sixteen_mebibytes_is_passed_by_and_what_follows_is_read() {
    let mut bench = greeted();
    bench.server(&record(22, &message(2, &server_hello())));
    bench.given.clear();
    // The length alone is the lie: what follows it is a message like any other after so much.
    let length = (1 << 24) - 1;
    bench.server(&record(
        22,
        &[&[11, 0xff, 0xff, 0xff][..], &[0; 1000]].concat(),
    ));
    assert!(bench.stream.held() < 4096, "{}", bench.stream.held());
    let mut left = length - 1000;
    let full = record(22, &[0; 16384]);
    while left > 16384 {
        bench.server(&full);
        left -= 16384;
        assert!(bench.stream.held() < 4096, "{}", bench.stream.held());
    }
    bench.server(&record(22, &vec![0; left]));
    bench.server(&record(22, &message(14, &[])));
    let cut: Vec<_> = bench
        .given
        .iter()
        .filter(|given| matches!(given, Given::Cut(..)))
        .collect();
    assert_eq!(cut, [&Given::Cut(11, (1 << 24) - 1, 1000)]);
    assert_eq!(bench.messages(), [(14, vec![])]);
}

#[test]
fn a_million_tiny_records_are_counted_and_not_kept() {
    let mut bench = greeted();
    bench.server(&record(22, &message(2, &server_hello())));
    bench.given.clear();
    // A message that becomes whole only at the end of what is allowed, an octet at a time.
    let len = LONGEST_MESSAGE - 4;
    let certificate = message(11, &vec![9; len]);
    let tiny: Vec<u8> = certificate
        .iter()
        .flat_map(|octet| record(22, &[*octet]))
        .collect();
    let mut most = 0;
    for part in tiny.chunks(1460) {
        bench.server(part);
        most = most.max(bench.stream.held());
    }
    let empty: Vec<u8> = (0..1_000_000 - certificate.len())
        .flat_map(|_| record(22, &[0]))
        .collect();
    for part in empty.chunks(1460) {
        bench.server(part);
        most = most.max(bench.stream.held());
    }
    let records = bench
        .given
        .iter()
        .filter(|given| matches!(given, Given::Record(22, 1, ..)));
    assert_eq!(records.count(), 1_000_000);
    let first = bench.messages().remove(0);
    assert_eq!((first.0, first.1.len()), (11, len));
    assert!(most < LONGEST_MESSAGE + 8 * (2 * FRAMES_KEPT + 1), "{most}");
    assert_eq!(bench.stream.appetite(), Appetite::Some);
}

#[test]
fn a_gap_costs_the_message_it_is_in_and_no_more() {
    let mut bench = greeted();
    let certificate = record(22, &message(11, &[5; 500]));
    bench.server(&record(22, &message(2, &server_hello())));
    bench.server(&certificate[..200]);
    bench.gap(Party::Acceptor, 100);
    bench.server(&certificate[300..]);
    bench.server(&record(22, &message(14, &[])));
    assert!(bench.given.contains(&Given::Record(22, 504, true, true)));
    assert!(bench.given.contains(&Given::Cut(11, 500, 191)));
    assert_eq!(bench.messages().last(), Some(&(14, vec![])));
}

#[test]
fn after_a_gap_over_records_it_goes_on_at_the_next_that_starts_a_segment() {
    let mut bench = greeted();
    bench.server(&record(22, &message(2, &server_hello())));
    bench.server(&record(22, &message(11, &[5; 500]))[..100]);
    bench.gap(Party::Acceptor, 3000);
    bench.server(b"the rest of something");
    bench.server(&record(22, &message(14, &[])));
    assert!(bench.given.contains(&Given::Cut(11, 500, 91)));
    assert_eq!(bench.messages().last(), Some(&(14, vec![])));
}

#[test]
fn a_record_that_lies_about_its_length_is_told_of() {
    let mut bench = greeted();
    bench.server(&record(22, &message(2, &server_hello())));
    bench.server(&[22, 3, 3, 0xff, 0xff, 1, 2, 3]);
    assert_eq!(bench.given.last(), Some(&Given::Unreadable));
    // And found again.
    bench.server(&record(21, &[2, 40]));
    assert_eq!(bench.given.last(), Some(&Given::Alert(40)));
}

#[test]
fn what_never_becomes_whole_is_told_of_at_the_end() {
    let mut bench = greeted();
    bench.server(&record(22, &[11, 0, 1, 0, 1, 2, 3]));
    bench.finish();
    assert_eq!(bench.given.last(), Some(&Given::Cut(11, 256, 3)));
}

#[test]
fn what_is_no_tls_is_let_go_of() {
    let mut bench = greeted();
    bench.server(b"HTTP/1.1 400 Bad Request\r\n");
    assert_eq!(
        bench.given.last(),
        Some(&Given::NotTls(b"HTTP/1.1 400 Bad Request\r\n".to_vec()))
    );
    let mut bench = Bench::default();
    bench.client(b"\x16\x05\x00 something else");
    assert_eq!(bench.given, []);
    assert_eq!(bench.stream.appetite(), Appetite::Nothing);
}

#[test]
fn the_hello_of_ssl_2_is_read_and_what_follows_is_tls() {
    let mut bench = Bench::default();
    let hello = [
        &[0x80, 28, 1, 3, 1, 0, 3, 0, 0, 0, 16, 0, 0, 0x2f][..],
        &[7; 16],
    ]
    .concat();
    for octet in &hello {
        bench.client(&[*octet]);
    }
    bench.client(&record(21, &[2, 70]));
    assert_eq!(bench.given[0], Given::Ssl2);
    assert_eq!(bench.given.last(), Some(&Given::Alert(70)));
}

#[test]
fn encrypted_messages_are_not_taken_for_clear_ones() {
    let mut bench = greeted();
    bench.server(&record(22, &message(2, &server_hello())));
    bench.server(&record(20, &[1]));
    bench.given.clear();
    // Random octets that begin like a hello.
    bench.server(&record(22, &[1, 0, 0, 36, 9, 9, 9, 9, 9, 9, 9, 9]));
    assert_eq!(bench.given, [Given::Record(22, 12, false, false)]);
}
