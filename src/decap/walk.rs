//! The walk inwards, one header at a time.
//!
//! Every reader takes the octets that are left and says which layer comes next. What was read
//! last stands until a deeper IP datagram has been read, so a fault inside a tunnel leaves the
//! datagram around it.

use super::rest::Rest;
use super::{Content, Envelope, Peel, Segment, Stop, ip, link, transport, tunnel};
use crate::source::Frame;

/// What the octets that are left begin with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Layer {
    /// Ethernet II or 802.3.
    Ethernet,
    /// What an `EtherType` names.
    EtherType(u16),
    /// A PPP protocol field (RFC 1661 §2), perhaps with address and control octets before it.
    Ppp,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// IP, of the version in its first nibble.
    Ip,
    /// The payload of an IP datagram.
    Payload(u8),
    /// MPLS labels.
    Mpls,
    /// What follows the bottom of an MPLS label stack.
    UnderMpls,
}

/// The next layer, or `None` at the innermost one.
pub(super) type Step<'a> = Result<Option<(Layer, Rest<'a>)>, Stop>;

/// The state of one walk.
pub(super) struct Walk<'a> {
    /// What is known of the layer being read. It becomes the segment's envelope when a
    /// datagram is found in it.
    pub(super) envelope: Envelope,
    /// The AH header looked through last.
    pub(super) ah: Option<&'a [u8]>,
    /// The innermost datagram so far.
    segment: Segment<'a>,
}

/// Walks a frame.
pub(super) fn frame<'a>(frame: &Frame<'a>) -> Segment<'a> {
    let wire = usize::try_from(frame.wire_len).unwrap_or(usize::MAX);
    let rest = Rest::new(frame.octets, wire);
    let mut walk = Walk::new(Envelope::of(frame));
    let first = link::first(&mut walk, frame.link, rest);
    walk.run(first)
}

/// Walks the payload of an IP datagram.
pub(super) fn payload<'a>(envelope: &Envelope, octets: &'a [u8], wire_len: u32) -> Segment<'a> {
    let wire = usize::try_from(wire_len).unwrap_or(usize::MAX);
    let rest = Rest::new(octets, wire);
    let mut walk = Walk::new(*envelope);
    walk.envelope.truncated = rest.is_cut();
    walk.found(other(rest));
    walk.run(Ok(Some((Layer::Payload(envelope.protocol), rest))))
}

/// A payload of which only the protocol is known.
pub(super) fn other(rest: Rest<'_>) -> Content<'_> {
    Content::Ip {
        payload: rest.octets,
        payload_len: rest.wire_len(),
    }
}

impl<'a> Walk<'a> {
    fn new(envelope: Envelope) -> Self {
        Self {
            envelope,
            ah: None,
            segment: Segment {
                envelope,
                content: Content::Nothing,
                ah: None,
                stopped: None,
            },
        }
    }

    fn run(mut self, first: Step<'a>) -> Segment<'a> {
        let mut step = first;
        // Ends: every layer consumes octets or is followed by one that does, and every tunnel
        // takes one of the few places in the encapsulation.
        loop {
            match step {
                Ok(Some((layer, rest))) => step = self.layer(layer, rest),
                Ok(None) => break,
                Err(fault) => {
                    self.segment.stopped = Some(fault);
                    break;
                }
            }
        }
        if matches!(self.segment.content, Content::Nothing) {
            // No datagram: what the link layer said is all there is.
            self.segment.envelope = self.envelope;
        }
        self.segment
    }

    fn layer(&mut self, layer: Layer, rest: Rest<'a>) -> Step<'a> {
        match layer {
            Layer::Ethernet => link::ethernet(self, rest),
            Layer::EtherType(ether_type) => link::ether_type(self, ether_type, rest),
            Layer::Ppp => link::ppp(self, rest),
            Layer::Ipv4 => ip::v4(self, rest),
            Layer::Ipv6 => ip::v6(self, rest),
            Layer::Ip => match rest.u8(0).map(|first| first >> 4) {
                Some(4) => ip::v4(self, rest),
                Some(6) => ip::v6(self, rest),
                Some(_) => Err(rest.stop("ip", 0, "neither IPv4 nor IPv6")),
                None => Err(rest.short("ip")),
            },
            Layer::Payload(protocol) => transport::payload(self, protocol, rest),
            Layer::Mpls => tunnel::mpls(self, rest),
            Layer::UnderMpls => tunnel::under_mpls(self, rest),
        }
    }

    /// Notes a layer that is peeled off.
    pub(super) fn peel(&mut self, peel: Peel, rest: Rest<'_>) -> Result<(), Stop> {
        if self.envelope.encapsulation.push(peel) {
            Ok(())
        } else {
            Err(rest.stop("encapsulation", 0, "nested too deep"))
        }
    }

    /// A datagram was read, or what it carries is known better.
    pub(super) fn found(&mut self, content: Content<'a>) {
        self.segment.envelope = self.envelope;
        self.segment.content = content;
        self.segment.ah = self.ah;
    }

    /// Something is wrong, but what follows can be read.
    pub(super) fn note(&mut self, stop: Stop) {
        self.segment.stopped = Some(stop);
    }
}
