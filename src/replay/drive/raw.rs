//! Recorded frames onto an interface, as they are but for what is rewritten.

use std::time::Duration;

use pnet::datalink::{self, Channel, Config, DataLinkSender};

use super::{Clock, DriveError, socket};
use crate::time::{Span, Timestamp};

/// How fast frames are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// With the recorded pauses.
    Recorded,
    /// That many a second.
    Fixed(u32),
    /// As fast as it goes.
    Fast,
}

impl Rate {
    /// Reads `recorded`, `fast`, or frames a second.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "recorded" => Ok(Self::Recorded),
            "fast" => Ok(Self::Fast),
            _ => match text.parse() {
                Ok(rate) if rate > 0 => Ok(Self::Fixed(rate)),
                _ => Err("recorded, fast, or a number of frames a second".to_string()),
            },
        }
    }
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Frames.
    pub frames: u64,
    /// Their octets.
    pub octets: u64,
    /// Frames that the interface did not take: too long, or no room.
    pub refused: u64,
    /// Whether time was up before the end.
    pub cut_off: bool,
}

/// How fast, how often, how long.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// How fast.
    pub rate: Rate,
    /// How often.
    pub loops: u32,
    /// How long at most.
    pub patience: Option<Span>,
}

/// An interface to send on.
pub struct Interface {
    sender: Box<dyn DataLinkSender>,
    /// Its MAC, where it has one.
    pub mac: Option<[u8; 6]>,
}

impl Interface {
    /// Opens it.
    pub fn open(name: &str) -> Result<Self, DriveError> {
        let missing = || std::io::Error::other("there is no such interface");
        let interface = datalink::interfaces()
            .into_iter()
            .find(|interface| interface.name == name)
            .ok_or_else(|| socket(name)(missing()))?;
        match datalink::channel(&interface, Config::default()) {
            Ok(Channel::Ethernet(sender, _)) => Ok(Self {
                sender,
                mac: interface.mac.map(|mac| mac.octets()),
            }),
            Ok(_) => Err(socket(name)(std::io::Error::other(
                "not an Ethernet interface",
            ))),
            Err(error) => Err(socket(format!("cannot send on {name}"))(error)),
        }
    }

    /// Sends frames with their recorded times, several times over; `tap` is told what was sent.
    pub fn send(
        &mut self,
        frames: &[(Timestamp, Vec<u8>)],
        speed: Speed,
        tap: &mut dyn FnMut(Timestamp, &[u8]),
    ) -> Sent {
        let mut sent = Sent::default();
        let clock = Clock::start();
        let end = speed.patience.map(|patience| clock.now() + patience);
        for _ in 0..speed.loops {
            let start = clock.now();
            let first = frames.first().map(|(time, _)| *time).unwrap_or_default();
            for (number, (time, octets)) in (0i64..).zip(frames) {
                let due = match speed.rate {
                    Rate::Recorded => start + (*time - first),
                    Rate::Fixed(rate) => {
                        start + Span(number.saturating_mul(1_000_000_000) / i64::from(rate))
                    }
                    Rate::Fast => start,
                };
                if end.is_some_and(|end| end < due || end < clock.now()) {
                    sent.cut_off = true;
                    return sent;
                }
                wait_until(&clock, due);
                match self.sender.send_to(octets, None) {
                    Some(Ok(())) => {
                        sent.frames += 1;
                        sent.octets += octets.len() as u64;
                        tap(clock.now(), octets);
                    }
                    _ => sent.refused += 1,
                }
            }
        }
        sent
    }
}

#[expect(clippy::disallowed_methods, reason = "the driver is where time passes")]
fn wait_until(clock: &Clock, due: Timestamp) {
    if let Ok(nanos) = u64::try_from((due - clock.now()).0) {
        std::thread::sleep(Duration::from_nanos(nanos));
    }
}
