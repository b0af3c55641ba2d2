//! Finding one's way in the octets of a message, to change one thing in it.

use std::ops::Range;

/// The place of the `n`-th payload of a type in an IKE message (RFC 7296 §3.2): its body.
pub(crate) fn payload(octets: &[u8], kind: u8, n: usize) -> Option<Range<usize>> {
    let (mut next, mut at, mut seen) = (*octets.get(16)?, 28, 0);
    while next != 0 {
        let length = usize::from(u16::from_be_bytes([
            *octets.get(at + 2)?,
            *octets.get(at + 3)?,
        ]));
        if next == kind {
            if seen == n {
                return Some(at + 4..at + length);
            }
            seen += 1;
        }
        next = *octets.get(at)?;
        at += length.max(4);
    }
    None
}

/// Puts a second proposal beside the only one of an IKEv2 request: with AES of 128 bits.
pub(crate) fn second_proposal(octets: &mut Vec<u8>) {
    let sa = payload(octets, 33, 0).unwrap();
    let mut first = octets[sa.clone()].to_vec();
    let mut second = first.clone();
    first[0] = 2;
    second[4] = 2;
    // The key length: the last two octets of the first transform's attribute.
    assert_eq!(second[18..20], [1, 0]);
    second[18..20].copy_from_slice(&[0, 128]);
    let grow = u16::try_from(second.len()).unwrap();
    first.extend(second);
    octets.splice(sa.clone(), first);
    for at in [sa.start - 2, 26] {
        let old = u16::from_be_bytes([octets[at], octets[at + 1]]);
        octets[at..at + 2].copy_from_slice(&(old + grow).to_be_bytes());
    }
}

/// The place of a TLS handshake message in octets of a stream: its body. Messages that span
/// records are not found.
pub(crate) fn handshake(octets: &[u8], kind: u8) -> Option<Range<usize>> {
    let mut record = 0;
    while octets.len() >= record + 5 {
        let length = usize::from(u16::from_be_bytes([octets[record + 3], octets[record + 4]]));
        let end = record + 5 + length;
        let mut at = record + 5;
        while octets[record] == 22 && at + 4 <= end.min(octets.len()) {
            let body = usize::from(octets[at + 1]) << 16
                | usize::from(octets[at + 2]) << 8
                | usize::from(octets[at + 3]);
            if octets[at] == kind {
                return Some(at + 4..at + 4 + body);
            }
            at += 4 + body;
        }
        record = end;
    }
    None
}

/// The place of a TLS extension in the body of a ServerHello: its body.
pub(crate) fn extension(octets: &[u8], kind: u16) -> Option<Range<usize>> {
    let hello = handshake(octets, 2)?;
    // Version 2, random 32, session id, suite 2, compression 1, length of the extensions 2.
    let mut at = hello.start + 34;
    at += 1 + usize::from(octets[at]) + 3 + 2;
    while at < hello.end {
        let length = usize::from(u16::from_be_bytes([octets[at + 2], octets[at + 3]]));
        if octets[at..at + 2] == kind.to_be_bytes() {
            return Some(at + 4..at + 4 + length);
        }
        at += 4 + length;
    }
    None
}

/// Puts an extension last into a ServerHello that stands at the beginning of a record.
pub(crate) fn add_extension(octets: &mut Vec<u8>, kind: u16, body: &[u8]) {
    let Some(hello) = handshake(octets, 2) else {
        return;
    };
    let list = hello.start + 34;
    let list = list + 1 + usize::from(octets[list]) + 3;
    let mut added = kind.to_be_bytes().to_vec();
    added.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    added.extend(body);
    let grow = u16::try_from(added.len()).unwrap();
    // Record, handshake message, list.
    for at in [3, 7, list] {
        let old = u16::from_be_bytes([octets[at], octets[at + 1]]);
        octets[at..at + 2].copy_from_slice(&(old + grow).to_be_bytes());
    }
    octets.splice(hello.end..hello.end, added);
}

/// The value of an L2TP attribute in a control message (RFC 2661 §4.1).
pub(crate) fn attribute(octets: &[u8], kind: u16) -> Option<Range<usize>> {
    if octets.first()? & 0x80 == 0 {
        return None;
    }
    let mut at = 12;
    while at + 6 <= octets.len() {
        let length = usize::from(u16::from_be_bytes([octets[at], octets[at + 1]]) & 0x03ff);
        if octets[at + 4..at + 6] == kind.to_be_bytes() {
            return Some(at + 6..at + length);
        }
        at += length.max(6);
    }
    None
}

/// The place of a PPP packet of this protocol and code in an L2TP data message: its data.
pub(crate) fn ppp(octets: &[u8], protocol: u16, code: u8) -> Option<Range<usize>> {
    if octets.first()? & 0x80 != 0 {
        return None;
    }
    let [high, low] = protocol.to_be_bytes();
    let at = octets
        .windows(5)
        .position(|five| five == [0xff, 0x03, high, low, code])?;
    Some(at + 8..octets.len())
}
