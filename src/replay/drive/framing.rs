//! What stands around a message on its way: the non-ESP marker of port 4500 (RFC 3948 §2.2), and
//! prefix and lengths of IKE over TCP (RFC 9329 §3, §4).

use vpnscope_dissectors::natt::NON_ESP_MARKER;

use crate::assemble::tcp_ike;
use crate::replay::conversation::{Channel, Protocol, Transport};
use crate::time::Timestamp;

/// One connection, both directions.
pub(super) struct Framing {
    marked: bool,
    transport: Transport,
    /// Whether the prefix comes first.
    prefix: bool,
    heard: tcp_ike::Stream,
}

impl Framing {
    /// That of whoever connects.
    pub(super) fn new(protocol: Protocol, transport: Transport) -> Self {
        Self {
            marked: protocol.is_ike(),
            transport,
            prefix: true,
            heard: tcp_ike::Stream::new(true),
        }
    }

    /// Something was sent: the prefix is behind it.
    pub(super) const fn begun(&mut self) {
        self.prefix = false;
    }

    /// A message as it goes out.
    pub(super) fn encode(&self, channel: Channel, octets: &[u8]) -> Vec<u8> {
        let framed = self.transport == Transport::Framed;
        let mut wire = Vec::with_capacity(octets.len() + 12);
        if framed {
            if self.prefix {
                wire.extend(tcp_ike::PREFIX);
            }
            // The length counts itself and the marker.
            let length = u16::try_from(octets.len() + 6).unwrap_or(u16::MAX);
            wire.extend(length.to_be_bytes());
        }
        if framed || (self.marked && channel == Channel::Natt) {
            wire.extend(NON_ESP_MARKER);
        }
        wire.extend(octets);
        wire
    }

    /// The messages in what came in.
    pub(super) fn decode(&mut self, channel: Channel, octets: &[u8]) -> Vec<Vec<u8>> {
        if self.transport != Transport::Framed {
            let marked = self.marked && channel == Channel::Natt;
            let bare = octets.strip_prefix(&NON_ESP_MARKER).filter(|_| marked);
            return vec![bare.unwrap_or(octets).to_vec()];
        }
        let mark = tcp_ike::Mark {
            frame: 0,
            time: Timestamp(0),
        };
        self.heard.push(octets, mark);
        let mut messages = Vec::new();
        while let Some(message) = self.heard.next_message() {
            let (tcp_ike::Carried::Ike(octets)
            | tcp_ike::Carried::Esp(octets)
            | tcp_ike::Carried::Short(octets)) = message.carried;
            messages.push(octets.to_vec());
        }
        if self.heard.is_lost() {
            // What is no frame is handed on, to be counted.
            messages.push(octets.to_vec());
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart_however_they_arrive() {
        let mut sender = Framing::new(Protocol::Ikev2, Transport::Framed);
        let mut wire = sender.encode(Channel::Primary, b"first message");
        assert!(wire.starts_with(b"IKETCP\x00\x13\0\0\0\0first"));
        sender.begun();
        wire.extend(sender.encode(Channel::Primary, b"second one"));
        let mut receiver = Framing::new(Protocol::Ikev2, Transport::Framed);
        let heard: Vec<_> = wire
            .iter()
            .flat_map(|octet| receiver.decode(Channel::Primary, &[*octet]))
            .collect();
        assert_eq!(heard, [b"first message".to_vec(), b"second one".to_vec()]);
    }

    #[test]
    fn the_marker_stands_on_its_port_alone() {
        let mut framing = Framing::new(Protocol::Ikev1, Transport::Datagrams);
        assert_eq!(framing.encode(Channel::Primary, b"x"), b"x");
        assert_eq!(framing.encode(Channel::Natt, b"x"), b"\0\0\0\0x");
        assert_eq!(framing.decode(Channel::Natt, b"\0\0\0\0x"), [b"x"]);
        assert_eq!(
            framing.decode(Channel::Primary, b"\0\0\0\0x"),
            [b"\0\0\0\0x"]
        );
    }
}
