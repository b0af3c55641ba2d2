//! What happened in a replay, as a capture whose frames are marked as ours.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;

use crate::replay::{drive, packet};
use crate::source::writer::{Output, Writer};
use crate::source::{Frame, LinkType, file};
use crate::time::Timestamp;

/// What happened, as a capture.
pub(super) struct Record {
    writer: Option<Writer>,
    number: u64,
    streams: Vec<(SocketAddr, SocketAddr, u32)>,
    fault: Option<std::io::Error>,
}

impl Record {
    pub(super) fn create(path: Option<&Path>) -> anyhow::Result<Self> {
        let writer = match path {
            Some(path) => Some(
                Writer::create(path, Output::for_path(path))
                    .with_context(|| format!("cannot write {}", path.display()))?,
            ),
            None => None,
        };
        Ok(Self {
            writer,
            number: 0,
            streams: Vec::new(),
            fault: None,
        })
    }

    pub(super) fn take(&mut self, sighting: &drive::Sighting<'_>) {
        if self.writer.is_none() {
            return;
        }
        let (source, destination) = (sighting.source, sighting.destination);
        if !sighting.stream {
            let octets = packet::udp(source, destination, sighting.octets);
            self.write(sighting, &octets);
            return;
        }
        let ends = [(source, destination), (destination, source)];
        if !self
            .streams
            .iter()
            .any(|(a, b, _)| ends.contains(&(*a, *b)))
        {
            self.shake_hands(sighting);
        }
        for chunk in sighting.octets.chunks(1400) {
            let numbers = (
                self.sequence(source, destination, 0),
                self.sequence(destination, source, 0),
            );
            self.sequence(source, destination, chunk.len());
            let octets = packet::tcp(source, destination, numbers, packet::flags::ACK, chunk);
            self.write(sighting, &octets);
        }
    }

    /// The sequence number of a direction, moved on by `len` afterwards.
    fn sequence(&mut self, source: SocketAddr, destination: SocketAddr, len: usize) -> u32 {
        let known =
            |(a, b, _): &&mut (SocketAddr, SocketAddr, u32)| (*a, *b) == (source, destination);
        let len = u32::try_from(len).unwrap_or_default();
        if let Some((_, _, at)) = self.streams.iter_mut().find(known) {
            let now = *at;
            *at = at.wrapping_add(len);
            return now;
        }
        self.streams.push((source, destination, 1));
        1
    }

    /// The segments that the kernel sent to open the connection.
    fn shake_hands(&mut self, sighting: &drive::Sighting<'_>) {
        use packet::flags::{ACK, SYN};
        let (a, b) = (sighting.source, sighting.destination);
        // Whoever speaks first has called: so it is in TLS.
        for (source, destination, numbers, flags) in [
            (a, b, (0, 0), SYN),
            (b, a, (0, 1), SYN | ACK),
            (a, b, (1, 1), ACK),
        ] {
            let octets = packet::tcp(source, destination, numbers, flags, &[]);
            let sent = sighting.sent == (source == a);
            self.write(&drive::Sighting { sent, ..*sighting }, &octets);
        }
    }

    fn write(&mut self, sighting: &drive::Sighting<'_>, octets: &[u8]) {
        self.frame(sighting.time, LinkType::RAW, sighting.sent, octets);
    }

    fn frame(&mut self, time: Timestamp, link: LinkType, sent: bool, octets: &[u8]) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        self.number += 1;
        let frame = Frame {
            capture: 0,
            no: self.number,
            time,
            link,
            octets,
            wire_len: u32::try_from(octets.len()).unwrap_or(u32::MAX),
            interface: 0,
        };
        let comment = sent.then_some(file::Annotations::SENT_BY_US);
        if let Err(error) = writer.frame(&frame, comment) {
            self.fault.get_or_insert(error);
        }
    }

    /// A frame that was sent as it stands.
    pub(super) fn raw(&mut self, time: Timestamp, octets: &[u8]) {
        self.frame(time, LinkType::ETHERNET, true, octets);
    }

    pub(super) fn finish(self) -> anyhow::Result<()> {
        if let Some(fault) = self.fault {
            return Err(fault).context("the record");
        }
        self.writer
            .map_or(Ok(()), Writer::finish)
            .context("the record")
    }
}
