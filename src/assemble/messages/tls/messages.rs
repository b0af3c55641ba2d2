//! Handshake messages in clear, put together from records.

use vpnscope_dissectors::tls::{Handshake, HandshakeType, Handshakes, ServerHello};

use super::direction::{Body, Direction};
use super::{Item, Shared, What};
use crate::assemble::tcp::Party;

/// A handshake message longer than this is passed by: real ones are far shorter.
pub(super) const LONGEST_MESSAGE: usize = 192 << 10;

/// Octets of room for messages that a connection keeps between them.
const ROOM_KEPT: usize = 512;

impl Direction {
    /// Adds the octets of a handshake record, and gives the messages that are whole now.
    pub(super) fn join(
        &mut self,
        from: Party,
        body: &Body,
        shared: &mut Shared,
        sink: &mut impl FnMut(&Item<'_>),
    ) {
        let mut octets = &body.octets[..];
        let skipped = self.skip.min(octets.len());
        self.skip -= skipped;
        octets = octets.get(skipped..).unwrap_or_default();
        self.message.extend_from_slice(octets);
        self.whole_messages(from, shared, sink);
        if body.cut {
            self.give_up_message(from, shared, sink);
        }
        if let Some((_, length)) = begun(&self.message)
            && length > LONGEST_MESSAGE
        {
            let missing = (length + 4).saturating_sub(self.message.len());
            self.give_up_message(from, shared, sink);
            self.skip = missing;
        }
    }

    fn whole_messages(
        &mut self,
        from: Party,
        shared: &mut Shared,
        sink: &mut impl FnMut(&Item<'_>),
    ) {
        // Records of an octet each must not cost a walk each.
        let is_whole = begun(&self.message).is_some_and(|(_, len)| self.message.len() >= len + 4);
        if !is_whole {
            return;
        }
        let mut message = std::mem::take(&mut self.message);
        let mut end = 0;
        for handshake in Handshakes::new(&message).map_while(Result::ok) {
            end = handshake.offset + Handshake::HEADER_LEN + handshake.body.len();
            if handshake.message_type == HandshakeType::SERVER_HELLO
                && let Ok(hello) = ServerHello::parse(handshake.body.0)
            {
                shared.context.version = Some(hello.selected_version());
                shared.context.suite = Some(hello.cipher_suite);
            }
            sink(&Item {
                from,
                frames: &self.message_frames,
                context: shared.context,
                what: What::Handshake {
                    message_type: handshake.message_type,
                    body: handshake.body.0,
                },
            });
        }
        message.drain(..end);
        let last = self.message_frames.last().copied();
        self.message_frames.clear();
        if !message.is_empty() {
            self.message_frames.extend(last);
        } else if message.capacity() > ROOM_KEPT {
            // Certificates: nothing as long follows, and connections are many.
            message = Vec::new();
        }
        self.message = message;
    }

    /// Gives what there is of a message that will not become whole.
    pub(super) fn give_up_message(
        &mut self,
        from: Party,
        shared: &Shared,
        sink: &mut impl FnMut(&Item<'_>),
    ) {
        let message = std::mem::take(&mut self.message);
        let frames = std::mem::take(&mut self.message_frames);
        if let Some((message_type, length)) = begun(&message) {
            sink(&Item {
                from,
                frames: &frames,
                context: shared.context,
                what: What::HandshakeCut {
                    message_type,
                    length: u32::try_from(length).unwrap_or(u32::MAX),
                    body: message.get(4..).unwrap_or_default(),
                },
            });
        }
    }
}

/// Type and length of a message that has begun.
fn begun(message: &[u8]) -> Option<(HandshakeType, usize)> {
    let &[message_type, a, b, c] = message.first_chunk::<4>()?;
    let length = u32::from_be_bytes([0, a, b, c]);
    Some((
        HandshakeType(message_type),
        usize::try_from(length).unwrap_or(usize::MAX),
    ))
}
