//! Sockets and the clock: the only part of the replay that has them.
//!
//! Everything goes through sockets of the system's own, connected to the one target, so that
//! the kernel neither resets what it does not know nor lets strangers in.

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pnet::datalink;

use super::conversation::{Channel, Protocol};
use super::engine::Replayer;
use super::script::Script;
use crate::time::{Span, Timestamp};

mod framing;
mod lines;
pub mod raw;
mod serve;
mod sniff;

use framing::Framing;
use lines::{Arrival, Line, Lines, Wire};
pub use serve::{Listening, serve};

/// Why nothing could be driven.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// A socket could not be had.
    #[error("{what}: {error}")]
    Socket {
        /// What was tried.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// The target does not take the connection.
    #[error("{peer} does not take the connection: {error}")]
    NotConnected {
        /// The target.
        peer: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The target is no single host.
    #[error("{0} is {1}: a replay goes to one host")]
    NotOneHost(IpAddr, &'static str),
}

fn socket(what: impl Into<String>) -> impl FnOnce(io::Error) -> DriveError {
    let what = what.into();
    move |error| DriveError::Socket { what, error }
}

/// Refuses addresses that are more than one host.
pub fn check(ip: IpAddr) -> Result<(), DriveError> {
    let reason = match ip {
        IpAddr::V4(v4) if v4.is_broadcast() || is_broadcast(ip) => "a broadcast address",
        IpAddr::V4(v4) if v4.octets()[0] == 0 => "no address of a host",
        _ if ip.is_multicast() => "a multicast address",
        _ if ip.is_unspecified() => "no address of a host",
        _ => return Ok(()),
    };
    Err(DriveError::NotOneHost(ip, reason))
}

/// Whether it is the broadcast address of a network that this machine is in.
fn is_broadcast(ip: IpAddr) -> bool {
    datalink::interfaces()
        .iter()
        .flat_map(|interface| &interface.ips)
        .any(|net| net.prefix() < 31 && net.contains(ip) && net.broadcast() == ip)
}

/// The clock of the machine, running on evenly from when it was started.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    epoch: Timestamp,
    start: Instant,
}

impl Clock {
    /// Starts it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the driver is where the clock is read"
    )]
    pub fn start() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            epoch: Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
            start: Instant::now(),
        }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        let passed = self.start.elapsed().as_nanos();
        self.epoch + Span(i64::try_from(passed).unwrap_or(i64::MAX))
    }
}

/// A number that differs from run to run.
pub fn seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::hash::RandomState::new().build_hasher().finish()
}

/// Where to.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The host.
    pub ip: IpAddr,
    /// The port, where the user named one.
    pub port: Option<u16>,
    /// The port to send from, where the user named one.
    pub source_port: Option<u16>,
    /// How long it may take in all.
    pub patience: Span,
}

/// Something that went over the wire, for the record.
#[derive(Debug, Clone, Copy)]
pub struct Sighting<'a> {
    /// When.
    pub time: Timestamp,
    /// Whether we sent it.
    pub sent: bool,
    /// From where.
    pub source: SocketAddr,
    /// To where.
    pub destination: SocketAddr,
    /// Over TCP rather than UDP.
    pub stream: bool,
    /// The octets, with the marker.
    pub octets: &'a [u8],
}

/// Ports of a channel: remote and, where it matters, local.
pub fn ports(script: &Script, target: &Target, channel: Channel) -> (u16, Option<u16>) {
    let first = script.first_channel;
    if script.transport.is_tcp() {
        return (target.port.unwrap_or(script.recorded_port), None);
    }
    let (remote, local) = match (script.protocol, channel) {
        (Protocol::Ikev1 | Protocol::Ikev2, Channel::Primary) => (500, Some(500)),
        (Protocol::Ikev1 | Protocol::Ikev2, Channel::Natt) => (4500, Some(4500)),
        (Protocol::L2tp, _) => (script.recorded_port, Some(1701)),
        (Protocol::Tls | Protocol::Dtls, _) => (script.recorded_port, None),
    };
    if channel == first || diverted(script, target, first) == channel {
        let from = target.source_port.or(local);
        (target.port.unwrap_or(remote), from)
    } else {
        (remote, local)
    }
}

/// The channel that a recorded message goes to live: all of IKE goes to port 4500, with its
/// marker, where that is the port the user named (RFC 3948 §2.2).
fn diverted(script: &Script, target: &Target, channel: Channel) -> Channel {
    let natt = script.protocol.is_ike() && target.port == Some(crate::dissect::NATT_PORT);
    if natt && !script.transport.is_tcp() {
        Channel::Natt
    } else {
        channel
    }
}

/// The octets of a message as they stand in a datagram or a stream.
pub fn on_wire(script: &Script, target: &Target, channel: Channel, octets: &[u8]) -> Vec<u8> {
    let channel = diverted(script, target, channel);
    Framing::new(script.protocol, script.transport).encode(channel, octets)
}

/// Plays against a target until it is over.
pub fn play(
    replayer: &mut Replayer,
    target: &Target,
    tap: &mut dyn FnMut(&Sighting<'_>),
) -> Result<(), DriveError> {
    check(target.ip)?;
    let clock = Clock::start();
    let end = clock.now() + target.patience;
    let script = replayer.script().clone();
    let mut lines = Lines::new();
    if script.transport.is_tcp() {
        match lines.open_tcp(target, &script) {
            Err(error @ DriveError::NotConnected { peer, .. }) => {
                replayer.connected(Channel::Primary, nowhere(peer), peer);
                replayer.unreachable(error.to_string());
                return Ok(());
            }
            other => other?,
        }
    } else {
        let mut channels = script.channels(replayer.recording());
        for channel in &mut channels {
            *channel = diverted(&script, target, *channel);
        }
        channels.dedup();
        for channel in channels {
            lines.open_udp(channel, target, &script)?;
        }
    }
    let sniffer = lines.open.first().and_then(|line| match line.wire {
        Wire::Udp(_) => sniff::Sniffer::start(line.local.ip(), target.ip),
        Wire::Tcp(_) => None,
    });
    for line in &lines.open {
        replayer.connected(line.channel, line.local, line.peer);
    }
    let mut framing = Framing::new(script.protocol, script.transport);
    let mut flow = Flow {
        target,
        script: &script,
        clock,
        tap,
    };
    while !replayer.is_over() {
        flow.speak(replayer, &lines, &mut framing)?;
        let now = clock.now();
        if now >= end {
            replayer.give_up();
        }
        if replayer.is_over() {
            break;
        }
        let until = replayer.next_deadline().map_or(end, |at| at.min(end));
        let wait = u64::try_from((until - now).0).unwrap_or_default();
        // A deadline that has passed is not waited for, but what arrived is taken first.
        let arrival = lines
            .arrivals
            .recv_timeout(Duration::from_nanos(wait.min(1_000_000_000)));
        match arrival {
            Ok(Arrival::Octets(channel, octets)) => {
                if let Some(line) = lines.get(channel) {
                    flow.tap(line, false, &octets);
                }
                for octets in framing.decode(channel, &octets) {
                    replayer.handle(clock.now(), channel, &octets);
                }
            }
            Ok(Arrival::Refused) => replayer.refused(),
            Ok(Arrival::Closed) => replayer.closed(),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
    if let Some(sniffer) = sniffer {
        let seen = sniffer.stop();
        replayer.fragments(&|message| {
            let wire = framing.encode(message.channel, &message.octets);
            seen.fragments(&wire)
        });
    }
    Ok(())
}

fn nowhere(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => SocketAddr::from(([0u8; 4], 0)),
        SocketAddr::V6(_) => SocketAddr::from(([0u16; 8], 0)),
    }
}

/// What goes out, and who watches.
struct Flow<'a> {
    target: &'a Target,
    script: &'a Script,
    clock: Clock,
    tap: &'a mut dyn FnMut(&Sighting<'_>),
}

impl Flow<'_> {
    /// Sends whatever is due.
    fn speak(
        &mut self,
        replayer: &mut Replayer,
        lines: &Lines,
        framing: &mut Framing,
    ) -> Result<(), DriveError> {
        while let Some(transmit) = replayer.poll_transmit(self.clock.now()) {
            let channel = diverted(self.script, self.target, transmit.channel);
            let Some(line) = lines.get(channel).or(lines.open.first()) else {
                break;
            };
            let octets = framing.encode(channel, &transmit.octets);
            framing.begun();
            self.tap(line, true, &octets);
            match (send(line, &octets), replayer.ending()) {
                (Err(error), None) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    replayer.refused();
                }
                (Err(_), None) if matches!(line.wire, Wire::Tcp(_)) => replayer.closed(),
                (Err(error), None) => {
                    return Err(socket(format!("cannot send to {}", line.peer))(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn tap(&mut self, line: &Line, sent: bool, octets: &[u8]) {
        let (source, destination) = if sent {
            (line.local, line.peer)
        } else {
            (line.peer, line.local)
        };
        (self.tap)(&Sighting {
            time: self.clock.now(),
            sent,
            source,
            destination,
            stream: matches!(line.wire, Wire::Tcp(_)),
            octets,
        });
    }
}

fn send(line: &Line, octets: &[u8]) -> io::Result<()> {
    match &line.wire {
        Wire::Udp(udp) => udp.send(octets).map(|_| ()),
        Wire::Tcp(tcp) => (&mut &*tcp).write_all(octets),
    }
}
