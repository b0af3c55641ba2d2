//! Recordings made from others: what no labelled capture shows.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use vpnscope::replay::conversation::Side;
use vpnscope::replay::{Conversation, packet, recording};
use vpnscope::source::writer::{Output, Writer};
use vpnscope::source::{Frame, LinkType, file};
use vpnscope::time::Timestamp;

use super::lab::Folder;

/// The first session of a capture.
pub(crate) fn session(path: &Path) -> Conversation {
    let sessions = recording::sessions(&mut file::open(path, 0).unwrap());
    recording::read(&mut file::open(path, 0).unwrap(), &sessions[0]).unwrap()
}

/// An IKE conversation over UDP, as it would be over TCP (RFC 9329).
pub(crate) fn recording(folder: &Folder, path: &Path) -> PathBuf {
    use packet::flags::{ACK, SYN};

    let conversation = session(path);
    let client: SocketAddr = "192.0.2.10:40000".parse().unwrap();
    let gateway: SocketAddr = "203.0.113.10:4500".parse().unwrap();
    let mut frames = Vec::new();
    let time = conversation.messages[0].time;
    let mut next = [1u32, 1];
    for (a, b, numbers, flags) in [
        (client, gateway, (0, 0), SYN),
        (gateway, client, (0, 1), SYN | ACK),
        (client, gateway, (1, 1), ACK),
    ] {
        frames.push((time, packet::tcp(a, b, numbers, flags, &[])));
    }
    for (place, message) in conversation.messages.iter().enumerate() {
        let (a, b, us) = match message.from {
            Side::Client => (client, gateway, 0),
            Side::Gateway => (gateway, client, 1),
        };
        let mut said = Vec::new();
        if place == 0 {
            said.extend(b"IKETCP");
        }
        let length = u16::try_from(message.octets.len() + 6).unwrap();
        said.extend(length.to_be_bytes());
        said.extend([0; 4]);
        said.extend(&message.octets);
        for piece in said.chunks(100) {
            let numbers = (next[us], next[1 - us]);
            frames.push((message.time, packet::tcp(a, b, numbers, ACK, piece)));
            next[us] += u32::try_from(piece.len()).unwrap();
        }
    }
    write(&folder.0.join("tcp.pcap"), &frames)
}

/// An L2TP conversation whose control messages of the client are numbered from 7 on.
pub(crate) fn renumbered(folder: &Folder, path: &Path) -> PathBuf {
    let conversation = session(path);
    let mut frames = Vec::new();
    for message in &conversation.messages {
        let mut octets = message.octets.clone();
        let control = octets[0] & 0x80 != 0;
        // After flags, length and two ids: Ns, Nr (RFC 2661 section 3.1).
        let at = if message.from == Side::Client { 8 } else { 10 };
        if control && octets.len() > 12 {
            octets[at + 1] += 7;
        }
        let packet = packet::udp(message.source, message.destination, &octets);
        frames.push((message.time, packet));
    }
    write(&folder.0.join("renumbered.pcap"), &frames)
}

/// A capture of bare IP packets.
pub(crate) fn write(path: &Path, frames: &[(Timestamp, Vec<u8>)]) -> PathBuf {
    let mut writer = Writer::create(path, Output::for_path(path)).unwrap();
    for (number, (time, octets)) in (1..).zip(frames) {
        let frame = Frame {
            capture: 0,
            no: number,
            time: *time,
            link: LinkType::RAW,
            octets,
            wire_len: u32::try_from(octets.len()).unwrap(),
            interface: 0,
        };
        writer.frame(&frame, None).unwrap();
    }
    writer.finish().unwrap();
    path.to_path_buf()
}

/// The magic number of the recorded client's first LCP Configure-Request, in hex.
pub(crate) fn magic(path: &Path) -> String {
    use std::fmt::Write as _;
    let conversation = session(path);
    for (_, message) in conversation.of(Side::Client) {
        // An LCP Configure-Request with address and control octets, and the option 5 in it.
        let at = message
            .octets
            .windows(5)
            .position(|five| five == [0xff, 0x03, 0xc0, 0x21, 1]);
        let Some(at) = at else { continue };
        let mut options = &message.octets[at + 8..];
        while let [kind, len, ..] = *options {
            if kind == 5 {
                let mut hex = String::new();
                for octet in &options[2..6] {
                    let _ = write!(hex, "{octet:02x}");
                }
                return hex;
            }
            options = &options[usize::from(len)..];
        }
    }
    panic!("no magic number");
}
