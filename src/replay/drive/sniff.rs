//! Watches in how many IP fragments the peer's datagrams arrive, which a socket does not tell.
//!
//! Needs the right to read frames; without it nobody sees, and nothing is compared.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use pnet::datalink::{self, Channel, Config, DataLinkReceiver};

use crate::assemble::ip;
use crate::decap::{Content, Segment, decap};
use crate::source::{Frame, LinkType};
use crate::time::Timestamp;

/// Datagrams that are remembered.
const KEPT: usize = 1024;
/// How long the watcher may lag behind the socket.
const LAG: Duration = Duration::from_millis(100);

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<u64, u16>);

impl Seen {
    /// In how many fragments a datagram with this payload came.
    pub(super) fn fragments(&self, payload: &[u8]) -> Option<u16> {
        self.0.get(&digest(payload)).copied()
    }

    fn note(&mut self, segment: &Segment<'_>) {
        if let Content::Udp { payload, .. } = segment.content
            && self.0.len() < KEPT
        {
            self.0
                .insert(digest(payload), segment.envelope.fragments.max(1));
        }
    }
}

fn digest(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    hasher.finish()
}

/// A watcher.
pub(super) struct Sniffer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Sniffer {
    /// Watches what comes from `peer` on the interface that has the address `local`.
    pub(super) fn start(local: IpAddr, peer: IpAddr) -> Option<Self> {
        let interface = datalink::interfaces().into_iter().find(|interface| {
            let has = interface.ips.iter().any(|net| net.ip() == local);
            has && (interface.mac.is_some() || interface.is_loopback())
        })?;
        let config = Config {
            read_timeout: Some(LAG / 2),
            ..Config::default()
        };
        let Ok(Channel::Ethernet(_, receiver)) = datalink::channel(&interface, config) else {
            return None;
        };
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let thread = std::thread::spawn(move || watch(receiver, peer, &flag));
        Some(Self { stop, thread })
    }

    /// What was seen.
    #[expect(clippy::disallowed_methods, reason = "the driver is where time passes")]
    pub(super) fn stop(self) -> Seen {
        std::thread::sleep(LAG);
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn watch(mut receiver: Box<dyn DataLinkReceiver>, peer: IpAddr, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut fragments = ip::Assembler::new(ip::Config::default());
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let Ok(octets) = receiver.next() else {
            continue;
        };
        number += 1;
        let frame = Frame {
            capture: 0,
            no: number,
            time: Timestamp(0),
            link: LinkType::ETHERNET,
            octets,
            wire_len: u32::try_from(octets.len()).unwrap_or(u32::MAX),
            interface: 0,
        };
        let segment = decap(&frame);
        if segment.envelope.source != peer {
            continue;
        }
        if matches!(segment.content, Content::Fragment(_)) {
            if let Some(datagram) = fragments.handle(&segment) {
                seen.note(&datagram.segment());
            }
        } else {
            seen.note(&segment);
        }
    }
    seen
}
