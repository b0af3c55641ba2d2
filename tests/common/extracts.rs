//! Traffic that is nobody's VPN.

use std::path::Path;

use vpnscope::source::writer::{Output, Writer};
use vpnscope::source::{Frame, LinkType};
use vpnscope::time::Timestamp;

/// Writes a connection to a web server, a look-up of a printer and a fragmented video.
pub fn ordinary(path: &Path) {
    let mut writer = Writer::create(path, Output::for_path(path)).unwrap();
    let ip = |protocol: u8, fragment: u16, payload: &[u8]| {
        let mut octets = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
        let total = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
        octets.extend([0x45, 0, total[0], total[1], 0, 9]);
        octets.extend(fragment.to_be_bytes());
        octets.extend([64, protocol, 0, 0, 10, 9, 9, 1, 10, 9, 9, 2]);
        octets.extend(payload);
        octets
    };
    let tcp = |flags: u8, sequence: u32, back: bool, payload: &[u8]| {
        let ports: [u16; 2] = if back { [80, 40_000] } else { [40_000, 80] };
        let mut octets = ports.map(u16::to_be_bytes).concat();
        octets.extend(sequence.to_be_bytes());
        octets.extend([0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        octets.extend(payload);
        ip(6, 0x4000, &octets)
    };
    let mut udp = vec![0x17, 0x70, 0x17, 0x71, 0x05, 0xe0, 0, 0];
    udp.resize(1480, 0x47);
    let frames = [
        tcp(0x02, 100, false, b""),
        tcp(0x12, 500, true, b""),
        tcp(0x10, 101, false, b""),
        tcp(
            0x18,
            101,
            false,
            b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n",
        ),
        tcp(0x18, 501, true, b"HTTP/1.1 200 OK\r\n\r\nwhatever"),
        ip(17, 0x2000, &udp),
        ip(17, 185, &[0x47; 24]),
        tcp(0x11, 139, false, b""),
        ip(
            17,
            0x4000,
            &[0x14, 0xe9, 0x14, 0xe9, 0, 12, 0, 0, 0, 0, 0, 0],
        ),
    ];
    for (no, octets) in (1..).zip(&frames) {
        writer
            .frame(
                &Frame {
                    capture: 0,
                    no,
                    time: Timestamp::from_parts(1_700_000_000 + i64::try_from(no).unwrap(), 0),
                    link: LinkType::ETHERNET,
                    octets,
                    wire_len: u32::try_from(octets.len()).unwrap(),
                    interface: 0,
                },
                None,
            )
            .unwrap();
    }
    writer.finish().unwrap();
}
