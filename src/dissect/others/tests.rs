use super::*;

fn flow() -> Flow {
    Flow {
        source: ("192.0.2.9".parse().unwrap(), 40_000),
        destination: ("203.0.113.1".parse().unwrap(), 51_820),
    }
}

/// Octets as if drawn by lot.
fn lot(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[1]
        })
        .collect()
}

fn udp(payloads: &[Vec<u8>]) -> Counts {
    let mut others = Others::default();
    for payload in payloads {
        if may_be_udp(payload) {
            others.udp(&flow(), payload);
        }
    }
    others.counts()
}

fn tcp(payload: &[u8]) -> Counts {
    let mut others = Others::default();
    if may_be_tcp(payload) {
        others.tcp(&flow(), payload);
    }
    others.counts()
}

fn initiation() -> Vec<u8> {
    [&[1, 0, 0, 0][..], &lot(128, 1), &[0; 16]].concat()
}

fn response() -> Vec<u8> {
    [&[2, 0, 0, 0][..], &lot(72, 2), &[0; 16]].concat()
}

fn data(index: u32, counter: u64, len: usize) -> Vec<u8> {
    [
        &[4, 0, 0, 0][..],
        &index.to_le_bytes(),
        &counter.to_le_bytes(),
        &lot(len, 3),
    ]
    .concat()
}

#[test]
fn wireguard_handshakes_are_known_and_one_conversation_counts_once() {
    assert_eq!(udp(&[initiation()]).wireguard, 1);
    assert_eq!(udp(&[response()]).wireguard, 1);
    assert_eq!(udp(&[initiation(), initiation(), response()]).wireguard, 1);
    let mut others = Others::default();
    others.udp(&flow(), &initiation());
    others.udp(&flow().reversed(), &response());
    others.udp(
        &Flow {
            source: (flow().source.0, 40_001),
            ..flow()
        },
        &initiation(),
    );
    assert_eq!(others.counts().wireguard, 2);
    // A second cookie that is not zero.
    let with_cookie = [&[1, 0, 0, 0][..], &lot(144, 9)].concat();
    assert_eq!(udp(&[with_cookie]).wireguard, 1);
}

#[test]
fn what_only_resembles_wireguard_is_not_counted() {
    let cut = |mut octets: Vec<u8>, len: usize| {
        octets.truncate(len);
        octets
    };
    let with = |at: usize, octet: u8| {
        let mut octets = initiation();
        octets[at] = octet;
        octets
    };
    let zeros = |from: usize, len: usize| {
        let mut octets = initiation();
        octets[from..from + len].fill(0);
        octets
    };
    for near in [
        cut(initiation(), 147),
        [initiation(), vec![0]].concat(),
        cut(response(), 91),
        with(1, 1),
        with(0, 3),
        zeros(8, 32),
        zeros(116, 16),
        // A second hash that is neither zero nor a hash.
        with(140, 1),
        [&[1, 0, 0, 0][..], &[b'a'; 144]].concat(),
        // DTLS of an access point behind four octets of CAPWAP.
        [&[1, 0, 0, 0, 22, 0xfe, 0xfd][..], &[0; 141]].concat(),
    ] {
        assert_eq!(udp(&[near]), Counts::default());
    }
}

#[test]
fn wireguard_data_is_known_by_counters_that_go_on() {
    let packets =
        |counters: &[u64]| -> Vec<Vec<u8>> { counters.iter().map(|n| data(7, *n, 32)).collect() };
    assert_eq!(udp(&packets(&[5, 6, 9, 10])).wireguard, 1);
    assert_eq!(udp(&packets(&[5, 6, 9])).wireguard, 0);
    // A copy of a span port neither counts nor disturbs.
    assert_eq!(udp(&packets(&[5, 6, 6, 7, 8])).wireguard, 1);
    assert_eq!(udp(&packets(&[5, 4, 3, 2, 1])).wireguard, 0);
    assert_eq!(udp(&packets(&[1, 9000, 18_000, 27_000])).wireguard, 0);
    let others: Vec<_> = (0..9u32).map(|n| data(n, u64::from(n), 32)).collect();
    assert_eq!(udp(&others), Counts::default());
    let odd: Vec<_> = (0..9u64).map(|n| data(7, n, 33)).collect();
    assert_eq!(udp(&odd), Counts::default());
    let high: Vec<_> = (0..9u64).map(|n| data(7, n | 1 << 60, 32)).collect();
    assert_eq!(udp(&high), Counts::default());
}

fn hard_reset() -> Vec<u8> {
    [&[0x38][..], &lot(8, 4), &[0, 0, 0, 0, 0]].concat()
}

fn reset_answer() -> Vec<u8> {
    [
        &[0x40][..],
        &lot(8, 5),
        &[1, 0, 0, 0, 0],
        &lot(8, 4),
        &[0, 0, 0, 0],
    ]
    .concat()
}

const STAMP: [u8; 8] = [0, 0, 0, 1, 0x65, 0x53, 0xf1, 0x00];

fn authenticated(hash: usize) -> Vec<u8> {
    let (session, hash) = (lot(8, 6), lot(hash, 7));
    [&[0x38][..], &session, &hash, &STAMP, &[0, 0, 0, 0, 0]].concat()
}

fn crypt(opcode: u8, encrypted: usize) -> Vec<u8> {
    let (session, hash, rest) = (lot(8, 6), lot(32, 7), lot(encrypted, 8));
    [&[opcode][..], &session, &STAMP, &hash, &rest].concat()
}

fn crypt_v2() -> Vec<u8> {
    let mut packet = crypt(0x50, 5);
    packet.extend(lot(300, 10));
    let len = packet.len();
    packet[len - 2..].copy_from_slice(&300u16.to_be_bytes());
    packet
}

#[test]
fn openvpn_is_known_by_its_resets() {
    for packet in [
        hard_reset(),
        reset_answer(),
        authenticated(16),
        authenticated(20),
        authenticated(32),
        authenticated(64),
        crypt(0x38, 5),
        crypt(0x40, 17),
        crypt_v2(),
    ] {
        assert_eq!(
            udp(std::slice::from_ref(&packet)).openvpn,
            1,
            "{packet:02x?}"
        );
        let len = u16::try_from(packet.len()).unwrap().to_be_bytes();
        let counts = tcp(&[&len[..], &packet].concat());
        assert_eq!(counts.openvpn, 1, "{packet:02x?}");
    }
    assert_eq!(udp(&[hard_reset(), reset_answer()]).openvpn, 1);
}

#[test]
fn what_only_resembles_openvpn_is_not_counted() {
    let with = |mut octets: Vec<u8>, at: usize, octet: u8| {
        octets[at] = octet;
        octets
    };
    let no_session = [&[0x38][..], &[0; 13]].concat();
    for near in [
        no_session,
        [hard_reset(), vec![0]].concat(),
        with(hard_reset(), 9, 1),
        with(hard_reset(), 13, 1),
        // Key 1.
        with(hard_reset(), 0, 0x39),
        with(reset_answer(), 9, 2),
        with(authenticated(20), 30, 9),
        with(authenticated(20), 33, 0x10),
        with(crypt(0x38, 5), 9, 9),
        crypt(0x38, 6),
        crypt(0x40, 5),
        crypt(0x50, 5),
        // QUIC with a short header.
        [&[0x40][..], &lot(1199, 11)].concat(),
    ] {
        assert_eq!(
            udp(std::slice::from_ref(&near)),
            Counts::default(),
            "{near:02x?}"
        );
    }
    let wrong_length = [&[0, 15][..], &hard_reset()].concat();
    assert_eq!(tcp(&wrong_length), Counts::default());
}

#[test]
fn sstp_and_pptp_are_known() {
    let request = b"SSTP_DUPLEX_POST /sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/ HTTP/1.1\r\n";
    assert_eq!(tcp(request).sstp, 1);
    assert_eq!(
        tcp(b"SSTP_DUPLEX_POST /index.html HTTP/1.1\r\n"),
        Counts::default()
    );
    let start = |length: u16, kind: u8, cookie: u8| {
        let mut octets = length.to_be_bytes().to_vec();
        octets.extend([0, 1, 0x1a, 0x2b, 0x3c, cookie, 0, kind, 0, 0]);
        octets.resize(usize::from(length), 0);
        octets
    };
    assert_eq!(tcp(&start(156, 1, 0x4d)).pptp, 1);
    assert_eq!(tcp(&start(20, 6, 0x4d)).pptp, 1);
    assert_eq!(tcp(&start(156, 1, 0x4e)), Counts::default());
    assert_eq!(tcp(&start(157, 1, 0x4d)), Counts::default());
    assert_eq!(tcp(&start(156, 16, 0x4d)), Counts::default());
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut others = Others::default();
    let packet = hard_reset();
    for n in 0..200_000u32 {
        let flow = Flow {
            source: (std::net::Ipv4Addr::from(n).into(), 1),
            ..flow()
        };
        others.udp(&flow, &packet);
        others.udp(&flow, &data(7, 1, 32));
    }
    assert_eq!(others.counts().openvpn, 200_000);
    assert!(others.seen.len() <= KEPT && others.data.len() <= KEPT);
}
