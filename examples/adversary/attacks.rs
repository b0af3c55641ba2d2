//! The attacks: each makes one frame after the other, from the numbers of a seed.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a generator, shared with tests: what it makes is what it means to make"
)]

/// Every kind of attack by its letter.
pub const KINDS: &[(char, &str, Make)] = &[
    ('r', "random octets on VPN ports", random_udp),
    ('f', "random frames", random_frame),
    ('i', "IKE_SA_INIT requests, a new SPI each", ike2_init),
    ('a', "IKE_SA_INIT answers to nothing", ike2_answer),
    (
        'k',
        "encrypted IKE fragments, never complete",
        ike2_fragment,
    ),
    ('m', "Main Mode 1, a new cookie each", ike1_main),
    ('c', "Cisco IKE fragments, never complete", cisco_fragment),
    ('e', "ESP in UDP, a new SPI each", esp_in_udp),
    ('E', "ESP, a new SPI each", esp_plain),
    ('g', "IP fragments, never complete", ip_fragment),
    ('s', "SYNs to port 443", syn),
    ('t', "beginnings of ClientHellos without SYN", tls_begin),
    ('h', "octets ahead of a hole in a connection", tls_hole),
    ('d', "DTLS ClientHellos", dtls_hello),
    ('p', "parts of DTLS messages", dtls_part),
    ('l', "L2TP tunnels", l2tp_tunnel),
    ('o', "PPPoE discoveries", pppoe),
    ('u', "RADIUS requests", radius),
    ('n', "look-ups of gateways", dns),
    ('q', "ICMP errors that quote anything", icmp),
    ('b', "beginnings of right messages", begin),
];

/// Makes a frame.
pub type Make = fn(&mut Random) -> Vec<u8>;

/// `SplitMix64`.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn octets(&mut self, count: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(count + 8);
        while out.len() < count {
            out.extend(self.next().to_be_bytes());
        }
        out.truncate(count);
        out
    }

    fn u16(&mut self) -> u16 {
        self.next() as u16
    }

    /// One of sixteen million clients.
    fn client(&mut self) -> [u8; 4] {
        let [a, b, c, ..] = self.next().to_be_bytes();
        [10, a, b, c]
    }

    /// One of sixteen gateways.
    fn gateway(&mut self) -> [u8; 4] {
        [203, 0, 113, self.below(16) as u8]
    }
}

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let head = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    [&head[..], &kind.to_be_bytes(), payload].concat()
}

fn ip(random: &mut Random, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (random.client(), random.gateway());
    ip_between(random, from, to, protocol, 0x4000, payload)
}

fn ip_between(
    random: &mut Random,
    from: [u8; 4],
    to: [u8; 4],
    protocol: u8,
    place: u16,
    payload: &[u8],
) -> Vec<u8> {
    let total = (payload.len() as u16).saturating_add(20);
    let header = [
        &[0x45, 0][..],
        &total.to_be_bytes(),
        &random.u16().to_be_bytes(),
        &place.to_be_bytes(),
        &[64, protocol, 0, 0],
        &from,
        &to,
    ];
    ethernet(0x0800, &[&header.concat(), payload].concat())
}

fn udp(random: &mut Random, from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u16 + 8;
    let header = [from, to, len, 0].map(u16::to_be_bytes).concat();
    ip(random, 17, &[&header, payload].concat())
}

fn high_port(random: &mut Random) -> u16 {
    random.u16() | 0x8000
}

fn random_udp(random: &mut Random) -> Vec<u8> {
    let ports = [500, 4500, 1701, 443, 53, 1812, 4433, 10_443];
    let to = ports[random.below(8) as usize];
    let from = high_port(random);
    let len = random.below(600) as usize;
    let payload = random.octets(len);
    udp(random, from, to, &payload)
}

fn random_frame(random: &mut Random) -> Vec<u8> {
    let len = 14 + random.below(1400) as usize;
    let kinds = [0x0800, 0x86dd, 0x8100, 0x8847, 0x8864, 0x88a8];
    let kind = kinds[random.below(6) as usize];
    let payload = random.octets(len);
    ethernet(kind, &payload)
}

/// The header of an IKE message and what follows it.
fn ike(spis: [u64; 2], first: u8, version: u8, kind: [u8; 2], id: u32, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 28).to_be_bytes();
    let [initiator, responder] = spis.map(u64::to_be_bytes);
    let kind = [first, version, kind[0], kind[1]];
    [
        &initiator[..],
        &responder,
        &kind,
        &id.to_be_bytes(),
        &length,
        body,
    ]
    .concat()
}

/// SA with one proposal (AES-CBC-256, SHA2-256, MODP-2048), KE, nonce.
fn ike2_body(random: &mut Random) -> Vec<u8> {
    let sa = [
        &[34, 0, 0, 48, 0, 0, 0, 44, 1, 1, 0, 4][..],
        &[3, 0, 0, 12, 1, 0, 0, 12, 0x80, 14, 1, 0],
        &[3, 0, 0, 8, 2, 0, 0, 5, 3, 0, 0, 8, 3, 0, 0, 12],
        &[0, 0, 0, 8, 4, 0, 0, 14],
    ]
    .concat();
    let ke = [&[40, 0, 1, 8, 0, 14, 0, 0][..], &random.octets(256)].concat();
    let nonce = [&[0, 0, 0, 36][..], &random.octets(32)].concat();
    [sa, ke, nonce].concat()
}

fn ike2_init(random: &mut Random) -> Vec<u8> {
    let body = ike2_body(random);
    let spis = [random.next(), 0];
    udp(random, 500, 500, &ike(spis, 33, 0x20, [34, 8], 0, &body))
}

fn ike2_answer(random: &mut Random) -> Vec<u8> {
    let body = ike2_body(random);
    let spis = [random.next(), random.next()];
    udp(random, 500, 500, &ike(spis, 33, 0x20, [34, 0x20], 0, &body))
}

fn ike2_fragment(random: &mut Random) -> Vec<u8> {
    let inside = random.octets(400);
    let number = 1 + random.below(3) as u8;
    let body = [&[35, 0, 1, 0x98, 0, number, 0, 4][..], &inside].concat();
    let spis = [random.next(), random.next()];
    let message = ike(spis, 53, 0x20, [35, 8], 1, &body);
    let from = high_port(random);
    udp(random, from, 4500, &[&[0; 4][..], &message].concat())
}

fn ike1_main(random: &mut Random) -> Vec<u8> {
    let body = [
        &[13, 0, 0, 56, 0, 0, 0, 1, 0, 0, 0, 1][..],
        &[0, 0, 0, 44, 1, 1, 0, 1, 0, 0, 0, 36, 1, 1, 0, 0],
        &[0x80, 1, 0, 7, 0x80, 14, 1, 0, 0x80, 2, 0, 4],
        &[
            0x80, 3, 0, 1, 0x80, 4, 0, 14, 0x80, 11, 0, 1, 0x80, 12, 0x70, 0x80,
        ],
        &[0, 0, 0, 20],
        &random.octets(16),
    ]
    .concat();
    let spis = [random.next(), 0];
    udp(random, 500, 500, &ike(spis, 1, 0x10, [2, 0], 0, &body))
}

fn cisco_fragment(random: &mut Random) -> Vec<u8> {
    let inside = random.octets(500);
    let number = 1 + random.below(4) as u8;
    let id = random.u16().to_be_bytes();
    let body = [&[0, 0, 1, 0xfc][..], &id, &[number, 0], &inside].concat();
    let spis = [random.next(), random.next()];
    let message = ike(spis, 132, 0x10, [2, 0], 0, &body);
    udp(random, 500, 500, &message)
}

fn esp_packet(random: &mut Random) -> Vec<u8> {
    let spi = (random.next() as u32 | 0x100).to_be_bytes();
    let len = 64 + random.below(8) as usize * 16;
    [&spi[..], &[0, 0, 0, 1], &random.octets(len)].concat()
}

fn esp_in_udp(random: &mut Random) -> Vec<u8> {
    let packet = esp_packet(random);
    let from = high_port(random);
    udp(random, from, 4500, &packet)
}

fn esp_plain(random: &mut Random) -> Vec<u8> {
    let packet = esp_packet(random);
    ip(random, 50, &packet)
}

fn ip_fragment(random: &mut Random) -> Vec<u8> {
    let (from, to) = (random.client(), random.gateway());
    let place = 0x2000 | random.below(180) as u16;
    let len = 8 * (1 + random.below(170) as usize);
    let payload = random.octets(len);
    ip_between(random, from, to, 17, place, &payload)
}

fn tcp(random: &mut Random, flags: u8, payload: &[u8]) -> Vec<u8> {
    let from = high_port(random).to_be_bytes();
    let (sequence, acknowledgment) = (random.octets(4), random.octets(4));
    let header = [
        &from[..],
        &443u16.to_be_bytes(),
        &sequence,
        &acknowledgment,
        &[0x50, flags, 0xff, 0xff, 0, 0, 0, 0],
    ];
    ip(random, 6, &[&header.concat(), payload].concat())
}

fn syn(random: &mut Random) -> Vec<u8> {
    tcp(random, 2, &[])
}

/// A ClientHello that says it is longer than what comes of it.
fn tls_begin(random: &mut Random) -> Vec<u8> {
    let inside = random.octets(600);
    let head = [22, 3, 1, 0x0f, 0xff, 1, 0, 0x2f, 0xf0, 3, 3];
    let payload = [&head[..], &inside].concat();
    tcp(random, 0x18, &payload)
}

/// One of a few thousand connections, whose octets come in any order and leave holes.
fn tls_hole(random: &mut Random) -> Vec<u8> {
    let which = random.below(4096) as u16;
    let sequence = (1000 + random.below(1 << 20) as u32).to_be_bytes();
    let inside = random.octets(1300);
    let begins = random.below(64) == 0;
    let (sequence, flags) = if begins {
        (1000u32.to_be_bytes(), 0x18)
    } else {
        (sequence, 0x18)
    };
    let head: &[u8] = if begins {
        &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]
    } else {
        &[]
    };
    let port = (0x8000 | which).to_be_bytes();
    let header = [
        &port[..],
        &443u16.to_be_bytes(),
        &sequence,
        &[0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0],
        head,
    ];
    let payload = [&header.concat(), &inside[..]].concat();
    ip_between(random, [10, 9, 9, 9], [203, 0, 113, 1], 6, 0x4000, &payload)
}

fn dtls(random: &mut Random, length: u16, number: u8, offset: u16, body: &[u8]) -> Vec<u8> {
    let count = body.len() as u16;
    let record = [
        &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0][..],
        &(count + 12).to_be_bytes(),
        &[1, 0],
        &length.to_be_bytes(),
        &[0, number, 0],
        &offset.to_be_bytes(),
        &[0],
        &count.to_be_bytes(),
        body,
    ]
    .concat();
    let from = high_port(random);
    udp(random, from, 443, &record)
}

fn dtls_hello(random: &mut Random) -> Vec<u8> {
    let client_random = random.octets(32);
    let body = [
        &[0xfe, 0xfd][..],
        &client_random,
        &[0, 0, 0, 4, 0xc0, 0x2f, 0xc0, 0x30, 1, 0],
    ]
    .concat();
    dtls(random, body.len() as u16, 0, 0, &body)
}

fn dtls_part(random: &mut Random) -> Vec<u8> {
    let len = 1 + random.below(1200) as usize;
    let body = random.octets(len);
    let (number, offset) = (random.below(8) as u8, random.below(8000) as u16);
    dtls(random, 0xf000, number, offset, &body)
}

fn l2tp_tunnel(random: &mut Random) -> Vec<u8> {
    let tunnel = random.u16().to_be_bytes();
    let avps = [
        &[0x80, 8, 0, 0, 0, 0, 0, 1, 0x80, 8, 0, 0, 0, 2, 1, 0][..],
        &[
            0x80, 10, 0, 0, 0, 3, 0, 0, 0, 3, 0x80, 9, 0, 0, 0, 7, b'l', b'a', b'c',
        ],
        &[0x80, 8, 0, 0, 0, 9],
        &tunnel,
    ]
    .concat();
    let length = (avps.len() as u16 + 12).to_be_bytes();
    let header = [&[0xc8, 2][..], &length, &[0; 8]].concat();
    let from = high_port(random);
    udp(random, from, 1701, &[header, avps].concat())
}

fn pppoe(random: &mut Random) -> Vec<u8> {
    let host = random.octets(8);
    let payload = [&[0x11, 9, 0, 0, 0, 16, 1, 1, 0, 0, 1, 3, 0, 8][..], &host].concat();
    let mut frame = ethernet(0x8863, &payload);
    let mac = random.octets(5);
    frame[7..12].copy_from_slice(&mac);
    frame
}

fn radius(random: &mut Random) -> Vec<u8> {
    let authenticator = random.octets(16);
    let name = random.octets(8);
    let id = random.next() as u8;
    let payload = [&[1, id, 0, 30][..], &authenticator, &[1, 10], &name].concat();
    let from = high_port(random);
    udp(random, from, 1812, &payload)
}

fn dns(random: &mut Random) -> Vec<u8> {
    let id = random.u16().to_be_bytes();
    let name = format!("vpn{:012x}", random.next() >> 16);
    let payload = [
        &id[..],
        &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 15],
        name.as_bytes(),
        &[7, b'e', b'x', b'a', b'm', b'p', b'l', b'e', 0, 0, 1, 0, 1],
    ]
    .concat();
    let from = high_port(random);
    udp(random, from, 53, &payload)
}

fn icmp(random: &mut Random) -> Vec<u8> {
    let code = random.below(16) as u8;
    let quoted = ike2_init(random);
    let quoted = quoted.get(14..14 + 48).unwrap_or_default();
    let payload = [&[3, code, 0, 0, 0, 0, 5, 0x14][..], quoted].concat();
    ip(random, 1, &payload)
}

/// Any of the others, cut short with lengths as they were.
fn begin(random: &mut Random) -> Vec<u8> {
    let (_, _, make) = KINDS[random.below(KINDS.len() as u64 - 1) as usize];
    let mut frame = make(random);
    let len = random.below(frame.len() as u64) as usize;
    frame.truncate(len.max(14));
    frame
}

/// The frames of these kinds, all of them where none are named.
pub fn kinds(wanted: Option<&str>) -> Vec<Make> {
    KINDS
        .iter()
        .filter(|(letter, ..)| wanted.is_none_or(|list| list.contains(*letter)))
        .map(|(_, _, make)| *make)
        .collect()
}

/// The nanoseconds since 1970 of a packet: a hundred thousand a second, so that nothing grows
/// old while it lasts.
pub fn time_of(no: u64) -> i64 {
    1_700_000_000_000_000_000 + (no as i64) * 10_000
}
