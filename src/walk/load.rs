//! Events on their way to another thread.
//!
//! The front gives events that borrow from the frame at hand. A load keeps what they borrow in one
//! row, and gives them again, in order and as they were, to whoever has it.

use vpnscope_dissectors::dns;

use crate::decap::{Addresses, decap, ordinary};
use crate::dissect::{self, Class};
use crate::source::{Frame, LinkType};
use crate::track::session::Stamp;
use crate::track::{DnsSight, ESP_TOGETHER, EspSight, Event, What};

use super::sink::Sink;

mod kept;
mod rows;

use kept::Kept;
use rows::{Part, Rows};

/// Octets that a load holds before it goes.
const OCTETS: usize = 128 << 10;
/// Items that a load holds before it goes.
const ITEMS: usize = 1024;

/// Something that the front gave.
#[derive(Debug)]
enum Item {
    Esp(Esp),
    /// The next of these messages.
    Dns,
    /// The next event.
    Event,
    /// The next event, which is a keepalive, and counts only where it is known between whom.
    Keepalive,
}

/// Who is given again what the front gave.
pub(super) trait Taker {
    /// Packets of ESP that come next.
    fn foresee(&mut self, sights: &[EspSight<'_>]);

    /// ESP by its header; `whole` has the event where that is not enough.
    fn esp(&mut self, sight: &EspSight<'_>, whole: &Whole<'_>);

    fn dns(&mut self, sight: &DnsSight, message: &dns::Message<'_>);

    fn event(&mut self, event: &Event<'_>);

    /// Nothing, unless something between its addresses is followed.
    fn keepalive(&mut self, event: &Event<'_>);
}

/// Everything that the front gave since the load was empty.
#[derive(Debug, Default)]
pub struct Load {
    rows: Rows,
    items: Vec<Item>,
    lookups: Vec<(DnsSight, Part)>,
    events: Vec<Kept>,
    /// A keepalive follows of which it was asked whether it counts.
    asked: bool,
}

impl Load {
    /// Whether it should go.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.items.len() >= ITEMS || self.rows.octets.len() >= OCTETS
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Empties it, to be filled again.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.items.clear();
        self.lookups.clear();
        self.events.clear();
    }

    /// Gives everything in it, in order; asks after each of it whether to go on.
    pub(super) fn give<T: Taker, E>(
        &self,
        taker: &mut T,
        mut go_on: impl FnMut(&mut T) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut lookups, mut events) = (self.lookups.iter(), self.events.iter());
        let mut items = self.items.as_slice();
        loop {
            items = self.give_esp(items, taker, &mut go_on)?;
            let Some((item, behind)) = items.split_first() else {
                return Ok(());
            };
            items = behind;
            match item {
                Item::Esp(_) => continue,
                Item::Dns => {
                    let kept = lookups.next();
                    let read = |part: &Part| dns::Message::parse(self.rows.octets(*part));
                    if let Some((sight, Ok(message))) = kept.map(|(at, part)| (at, read(part))) {
                        taker.dns(sight, &message);
                    }
                }
                Item::Event | Item::Keepalive => {
                    let event = events.next().and_then(|kept| kept.event(&self.rows));
                    match (item, event) {
                        (_, None) => {}
                        (Item::Keepalive, Some(event)) => taker.keepalive(&event),
                        (_, Some(event)) => taker.event(&event),
                    }
                }
            }
            go_on(taker)?;
        }
    }

    /// Gives the packets of ESP in front of `items`, and what is behind them.
    #[inline]
    fn give_esp<'i, T: Taker, E>(
        &self,
        mut items: &'i [Item],
        taker: &mut T,
        go_on: &mut impl FnMut(&mut T) -> Result<(), E>,
    ) -> Result<&'i [Item], E> {
        loop {
            let mut sights = [EspSight::NONE; ESP_TOGETHER];
            let of_esp = items.iter().map_while(|item| match item {
                Item::Esp(esp) => esp.sight(self.rows.octets(esp.octets)),
                _ => None,
            });
            let mut len = 0;
            for (place, sight) in sights.iter_mut().zip(of_esp) {
                *place = sight;
                len += 1;
            }
            let sights = sights.get(..len).unwrap_or_default();
            let Some((now, behind)) = items.split_at_checked(len).filter(|_| len > 0) else {
                return Ok(items);
            };
            taker.foresee(sights);
            for (sight, item) in sights.iter().zip(now) {
                if let Item::Esp(esp) = item {
                    let octets = self.rows.octets(esp.octets);
                    taker.esp(sight, &Whole { esp, octets });
                }
                go_on(taker)?;
            }
            items = behind;
        }
    }
}

impl Sink for Load {
    fn event(&mut self, event: &Event<'_>) {
        let kept = Kept::of(event, &mut self.rows);
        self.events.push(kept);
        // Whatever else comes counts in any case.
        let asked = std::mem::take(&mut self.asked) && matches!(event.what, What::NatKeepalive);
        self.items
            .push(if asked { Item::Keepalive } else { Item::Event });
    }

    #[inline]
    fn esp(&mut self, sight: &EspSight<'_>, frame: &Frame<'_>) -> bool {
        let esp = Esp::of(sight, frame, &mut self.rows).map(Item::Esp);
        let is_kept = esp.is_some();
        self.items.extend(esp);
        is_kept
    }

    fn dns(&mut self, sight: &DnsSight, payload: &[u8]) -> bool {
        let is_dns = dns::Message::parse(payload).is_ok();
        if is_dns {
            let part = self.rows.keep(payload);
            self.lookups.push((*sight, part));
            self.items.push(Item::Dns);
        }
        is_dns
    }

    fn knows(&mut self, _: Addresses<'_>) -> bool {
        self.asked = true;
        true
    }
}

/// ESP in a frame of plain shape. There are many of them: what follows from their headers is not
/// kept a second time.
#[derive(Debug)]
struct Esp {
    at: Stamp,
    /// Its headers; the frame, where more than these says what it is.
    octets: Part,
    /// Octets from the SPI on, on the wire.
    len: u32,
    wire_len: u32,
    captured_len: u32,
    interface: u32,
    link: LinkType,
    /// Where the addresses are in `octets`.
    addresses: u16,
    is_v6: bool,
    is_udp: bool,
    cannot_shrink: bool,
    truncated: bool,
}

/// Octets of a frame that are copied at once: all headers of nearly every frame.
const HEAD: usize = 96;

impl Esp {
    #[inline]
    fn of(sight: &EspSight<'_>, frame: &Frame<'_>, rows: &mut Rows) -> Option<Self> {
        let (addresses, is_v6) = match sight.addresses {
            Addresses::V4(octets) => (octets.as_ptr(), false),
            Addresses::V6(octets) => (octets.as_ptr(), true),
        };
        let addresses = (addresses.addr()).checked_sub(frame.octets.as_ptr().addr())?;
        let captured_len = u32::try_from(frame.octets.len()).ok()?;
        let is_ordinary = matches!(frame.link, LinkType::ETHERNET | LinkType::RAW)
            && !sight.truncated
            && captured_len <= frame.wire_len;
        let octets = match frame.octets.first_chunk::<HEAD>() {
            // The headers of an ordinary frame take 82 octets at most.
            Some(head) if is_ordinary => rows.keep(head),
            _ => rows.keep(frame.octets),
        };
        Some(Self {
            at: sight.at,
            octets,
            len: sight.len,
            wire_len: frame.wire_len,
            captured_len,
            interface: frame.interface,
            link: frame.link,
            addresses: u16::try_from(addresses).ok()?,
            is_v6,
            is_udp: sight.ports != (0, 0),
            cannot_shrink: sight.cannot_shrink,
            truncated: sight.truncated,
        })
    }

    #[inline]
    fn sight<'a>(&self, octets: &'a [u8]) -> Option<EspSight<'a>> {
        let from_addresses = octets.get(usize::from(self.addresses)..)?;
        let (addresses, rest, ip) = if self.is_v6 {
            let (addresses, rest) = from_addresses.split_first_chunk()?;
            (Addresses::V6(addresses), rest, 40)
        } else {
            let (addresses, rest) = from_addresses.split_first_chunk()?;
            (Addresses::V4(addresses), rest, 20)
        };
        let mut esp = rest;
        let (mut ports, mut udp) = ((0, 0), 0);
        if self.is_udp {
            let (&[s0, s1, d0, d1, ..], behind) = rest.split_first_chunk::<8>()?;
            ports = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
            (esp, udp) = (behind, 8);
        }
        let &[a, b, c, d, e, f, g, h] = esp.first_chunk()?;
        Some(EspSight {
            at: self.at,
            addresses,
            ports,
            spi: u32::from_be_bytes([a, b, c, d]),
            sequence: u32::from_be_bytes([e, f, g, h]),
            len: self.len,
            ip_len: self.len + udp + ip,
            cannot_shrink: self.cannot_shrink,
            truncated: self.truncated,
        })
    }
}

/// The frame that ESP was in, as far as an event follows from it.
pub(super) struct Whole<'a> {
    esp: &'a Esp,
    octets: &'a [u8],
}

impl Whole<'_> {
    /// Gives the event of the packet.
    #[cold]
    pub(super) fn event(&self, sink: &mut impl FnMut(&Event<'_>)) {
        let Esp {
            at,
            captured_len,
            is_udp,
            ..
        } = *self.esp;
        let frame = Frame {
            capture: at.capture(),
            no: at.frame(),
            time: at.time,
            link: self.esp.link,
            octets: self.octets,
            wire_len: self.esp.wire_len,
            interface: self.esp.interface,
        };
        let mut segment = ordinary(&frame).unwrap_or_else(|| decap(&frame));
        if segment.envelope.captured_len < captured_len {
            // Only headers came along, of a frame that was whole.
            segment.envelope.captured_len = captured_len;
            segment.envelope.truncated = false;
        }
        let class = is_udp.then_some(Class::Esp);
        dissect::segment(&segment, &[], class, sink);
    }
}

#[cfg(test)]
mod tests;
