//! One interface being captured from: opened, lost, opened again.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pcap::{Active, Capture, Device, Error, Precision};

use super::fanout::Group;
use super::{Filter, Options, clock, filter, rights, wall_clock};
use crate::source::{LinkType, SourceError};
use crate::time::Timestamp;

/// First wait before an interface that was lost is tried again.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What a look for a frame found.
pub(super) enum Fetched {
    /// A frame; its octets are in `octets`.
    Frame(Head),
    /// A frame that another ring has too.
    Others,
    /// None is there now.
    Nothing,
    /// The interface is gone.
    Lost(String),
}

/// What stands beside the octets of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) time: Timestamp,
    pub(super) wire_len: u32,
}

/// Frames counted by libpcap since the interface was opened first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) received: u64,
    pub(super) dropped_by_interface: u64,
    pub(super) dropped_by_system: u64,
}

impl Counted {
    fn plus(self, other: Self) -> Self {
        Self {
            received: self.received + other.received,
            dropped_by_interface: self.dropped_by_interface + other.dropped_by_interface,
            dropped_by_system: self.dropped_by_system + other.dropped_by_system,
        }
    }
}

/// An interface.
pub(super) struct Handle {
    pub(super) name: String,
    pub(super) link: LinkType,
    pub(super) octets: Vec<u8>,
    /// The group of rings on this interface, where there are several.
    group: Option<Arc<Group>>,
    /// Frames stamped before came when the ring had not joined its group: others have them.
    joined: Option<Timestamp>,
    capture: Option<Capture<Active>>,
    next_try: Instant,
    wait: Duration,
    /// Counted before the interface was lost.
    before: Counted,
    /// Counted since it was opened, as read last.
    since: Counted,
    /// The filter in force.
    pub(super) filter: Option<String>,
}

impl Handle {
    pub(super) fn open(
        name: &str,
        options: &Options,
        group: Option<Arc<Group>>,
    ) -> Result<Self, SourceError> {
        let opened = rights::with_capture(|| open(name, options, group.as_deref()))?;
        let (capture, link, filter) = opened;
        Ok(Self {
            name: name.into(),
            link,
            octets: Vec::new(),
            joined: group.is_some().then(wall_clock),
            group,
            capture: Some(capture),
            next_try: clock(),
            wait: FIRST_WAIT,
            before: Counted::default(),
            since: Counted::default(),
            filter,
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.capture.is_some()
    }

    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.capture.as_ref().map(AsFd::as_fd)
    }

    /// When a lost interface is tried next.
    pub(super) fn next_try(&self) -> Option<Instant> {
        (!self.is_open()).then_some(self.next_try)
    }

    /// Takes the next frame out of the ring.
    pub(super) fn fetch(&mut self) -> Fetched {
        let Some(capture) = &mut self.capture else {
            return Fetched::Nothing;
        };
        match capture.next_packet() {
            Ok(packet) => {
                // With nanosecond precision the field for microseconds holds nanoseconds.
                let nanoseconds = u32::try_from(packet.header.ts.tv_usec).unwrap_or(0);
                let time = Timestamp::from_parts(packet.header.ts.tv_sec, nanoseconds);
                let wire_len = packet.header.len;
                self.octets.clear();
                self.octets.extend_from_slice(packet.data);
                if self.joined.is_some_and(|joined| time < joined) {
                    return Fetched::Others;
                }
                Fetched::Frame(Head { time, wire_len })
            }
            Err(Error::TimeoutExpired) => Fetched::Nothing,
            Err(error) => {
                self.count();
                self.before = self.before.plus(self.since);
                self.since = Counted::default();
                self.capture = None;
                self.wait = FIRST_WAIT;
                self.next_try = clock() + self.wait;
                Fetched::Lost(reason(&error))
            }
        }
    }

    /// Tries to open a lost interface again, not more often than the back-off allows.
    pub(super) fn reopen(&mut self, options: &Options, now: Instant) -> bool {
        if self.is_open() || now < self.next_try {
            return false;
        }
        let group = self.group.as_deref();
        let opened = rights::with_capture(|| open(&self.name, options, group));
        if let Ok((capture, link, filter)) = opened {
            self.capture = Some(capture);
            self.joined = self.group.is_some().then(wall_clock);
            (self.link, self.filter) = (link, filter);
            return true;
        }
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        self.next_try = now + self.wait;
        false
    }

    /// Reads the counters of the kernel. What was read last stays where that fails.
    pub(super) fn count(&mut self) -> Counted {
        if let Some(Ok(stat)) = self.capture.as_mut().map(Capture::stats) {
            self.since = Counted {
                received: u64::from(stat.received),
                dropped_by_interface: u64::from(stat.if_dropped),
                dropped_by_system: u64::from(stat.dropped),
            };
        }
        self.before.plus(self.since)
    }
}

type Opened = (Capture<Active>, LinkType, Option<String>);

fn open(name: &str, options: &Options, group: Option<&Group>) -> Result<Opened, SourceError> {
    let fault = |what: String| SourceError::Interface {
        interface: name.into(),
        what,
    };
    let bounded = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    // The kernel knows no promiscuous mode for all interfaces at once.
    let promiscuous = options.promiscuous && name != "any";
    let capture = Capture::from_device(Device::from(name))
        .map_err(|error| fault(explain(&error, name)))?
        .snaplen(bounded(options.snaplen))
        .buffer_size(bounded(options.buffer))
        .timeout(bounded(Options::BLOCK_MS))
        .promisc(promiscuous)
        .precision(Precision::Nano)
        .open()
        .map_err(|error| fault(explain(&error, name)))?;
    let link = link_type(capture.get_datalink().0);
    let text = match &options.filter {
        Filter::Default => Some(filter::default_for(link)),
        Filter::None => None,
        Filter::Text(text) => Some(text.clone()),
    };
    let mut capture = capture
        .setnonblock()
        .map_err(|error| fault(reason(&error)))?;
    if let Some(text) = &text {
        capture
            .filter(text, true)
            .map_err(|error| fault(format!("bad filter: {}", reason(&error))))?;
    }
    if let Some(group) = group {
        let joined = group.join(capture.as_fd());
        joined.map_err(|error| {
            fault(format!(
                "the kernel shares no frames among threads ({error}); use --threads 1"
            ))
        })?;
    }
    Ok((capture, link, text))
}

/// What libpcap calls a data link, as capture files number it. They differ for few.
fn link_type(dlt: i32) -> LinkType {
    match dlt {
        12 | 14 => LinkType::RAW,
        other => LinkType(u16::try_from(other).unwrap_or(u16::MAX)),
    }
}

/// Why an interface could not be opened, and what to do about it.
fn explain(error: &Error, name: &str) -> String {
    let reason = reason(error);
    let says = |what: &str| reason.to_lowercase().contains(what);
    if says("permission") || says("not permitted") {
        return format!("no right to capture: {}", rights::how_to_grant());
    }
    if says("no such device") || says("doesn't exist") {
        return "no such interface; `vpnscope interfaces` lists them".into();
    }
    if says("not up") || says("is down") {
        return format!("it is down; `ip link set {name} up` brings it up");
    }
    reason
}

fn reason(error: &Error) -> String {
    match error {
        Error::PcapError(text) => text.trim().into(),
        other => other.to_string(),
    }
}
