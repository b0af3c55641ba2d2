//! Sockets and the clock: the only part of the replay that has them.
//!
//! Everything goes through sockets of the system's own, connected to the one target, so that
//! the kernel neither resets what it does not know nor lets strangers in.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::conversation::{Channel, Protocol};
use super::engine::Replayer;
use super::script::Script;
use crate::time::{Span, Timestamp};

pub mod raw;
mod serve;

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
        IpAddr::V4(v4) if v4.is_broadcast() => "a broadcast address",
        IpAddr::V4(v4) if v4.octets()[0] == 0 => "no address of a host",
        _ if ip.is_multicast() => "a multicast address",
        _ if ip.is_unspecified() => "no address of a host",
        _ => return Ok(()),
    };
    Err(DriveError::NotOneHost(ip, reason))
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
    let (remote, local) = match (script.protocol, channel) {
        (Protocol::Ikev1 | Protocol::Ikev2, Channel::Primary) => (500, Some(500)),
        (Protocol::Ikev1 | Protocol::Ikev2, Channel::Natt) => (4500, Some(4500)),
        (Protocol::L2tp, _) => (script.recorded_port, Some(1701)),
        (Protocol::Tls | Protocol::Dtls, _) => (script.recorded_port, None),
    };
    if channel == first {
        let from = target.source_port.or(local);
        (target.port.unwrap_or(remote), from)
    } else {
        (remote, local)
    }
}

enum Arrival {
    Octets(Channel, Vec<u8>),
    Refused,
    Closed,
}

/// One open channel.
struct Line {
    channel: Channel,
    wire: Wire,
    local: SocketAddr,
    peer: SocketAddr,
}

enum Wire {
    Udp(Arc<UdpSocket>),
    Tcp(TcpStream),
}

/// All channels and their readers.
struct Lines {
    open: Vec<Line>,
    arrivals: Receiver<Arrival>,
    sender: SyncSender<Arrival>,
    stop: Arc<AtomicBool>,
    readers: Vec<JoinHandle<()>>,
}

/// How often a reader looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(100);

impl Lines {
    fn new() -> Self {
        // A flood waits in the kernel, which drops what does not fit.
        let (sender, arrivals) = sync_channel(64);
        Self {
            open: Vec::new(),
            arrivals,
            sender,
            stop: Arc::new(AtomicBool::new(false)),
            readers: Vec::new(),
        }
    }

    fn get(&self, channel: Channel) -> Option<&Line> {
        self.open.iter().find(|line| line.channel == channel)
    }

    fn open_udp(
        &mut self,
        channel: Channel,
        target: &Target,
        script: &Script,
    ) -> Result<(), DriveError> {
        let (remote, local) = ports(script, target, channel);
        let peer = SocketAddr::new(target.ip, remote);
        let socket_ = bind(target.ip, local, target.source_port.is_some())?;
        socket_
            .connect(peer)
            .map_err(socket(format!("cannot reach {peer}")))?;
        socket_
            .set_read_timeout(Some(LOOK))
            .map_err(socket("cannot set a timeout"))?;
        let local = socket_.local_addr().map_err(socket("no local address"))?;
        let socket_ = Arc::new(socket_);
        let (reader, sender, stop) = (socket_.clone(), self.sender.clone(), self.stop.clone());
        self.readers.push(std::thread::spawn(move || {
            read_udp(&reader, channel, &sender, &stop);
        }));
        self.open.push(Line {
            channel,
            wire: Wire::Udp(socket_),
            local,
            peer,
        });
        Ok(())
    }

    fn open_tcp(&mut self, target: &Target, script: &Script) -> Result<(), DriveError> {
        let (remote, _) = ports(script, target, Channel::Primary);
        let peer = SocketAddr::new(target.ip, remote);
        let stream = TcpStream::connect_timeout(&peer, Duration::from_secs(10))
            .map_err(socket(format!("cannot connect to {peer}")))?;
        let _ = stream.set_nodelay(true);
        stream
            .set_read_timeout(Some(LOOK))
            .map_err(socket("cannot set a timeout"))?;
        let local = stream.local_addr().map_err(socket("no local address"))?;
        let reader = stream
            .try_clone()
            .map_err(socket("cannot share a socket"))?;
        let (sender, stop) = (self.sender.clone(), self.stop.clone());
        self.readers
            .push(std::thread::spawn(move || read_tcp(reader, &sender, &stop)));
        self.open.push(Line {
            channel: Channel::Primary,
            wire: Wire::Tcp(stream),
            local,
            peer,
        });
        Ok(())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A reader may wait for room.
        while self.arrivals.try_recv().is_ok() {}
        for reader in self.readers.drain(..) {
            while !reader.is_finished() {
                let _ = self.arrivals.recv_timeout(LOOK);
            }
            let _ = reader.join();
        }
    }
}

/// A socket on the wanted local port; on any where the port is only a custom and taken.
#[expect(
    clippy::disallowed_methods,
    reason = "the driver is where sockets are made"
)]
fn bind(peer: IpAddr, port: Option<u16>, must: bool) -> Result<UdpSocket, DriveError> {
    let any: IpAddr = match peer {
        IpAddr::V4(_) => [0u8; 4].into(),
        IpAddr::V6(_) => [0u8; 16].into(),
    };
    if let Some(port) = port {
        match UdpSocket::bind((any, port)) {
            Ok(bound) => return Ok(bound),
            Err(error) if must => {
                return Err(socket(format!("cannot send from port {port}"))(error));
            }
            Err(_) => {}
        }
    }
    UdpSocket::bind((any, 0)).map_err(socket("no socket"))
}

fn read_udp(reader: &UdpSocket, channel: Channel, sender: &SyncSender<Arrival>, stop: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        let arrival = match reader.recv(&mut buffer) {
            Ok(len) => Arrival::Octets(channel, buffer.get(..len).unwrap_or_default().to_vec()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Arrival::Refused,
            Err(error) if is_timeout(&error) => continue,
            Err(_) => return,
        };
        if sender.send(arrival).is_err() {
            return;
        }
    }
}

fn read_tcp(mut reader: TcpStream, sender: &SyncSender<Arrival>, stop: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        let arrival = match reader.read(&mut buffer) {
            Ok(0) => Arrival::Closed,
            Ok(len) => {
                let octets = buffer.get(..len).unwrap_or_default().to_vec();
                Arrival::Octets(Channel::Primary, octets)
            }
            Err(error) if is_timeout(&error) => continue,
            Err(_) => Arrival::Closed,
        };
        let over = matches!(arrival, Arrival::Closed);
        if sender.send(arrival).is_err() || over {
            return;
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// The non-ESP marker.
const MARKER: [u8; 4] = [0; 4];

fn on_wire(protocol: Protocol, channel: Channel, octets: &[u8]) -> Vec<u8> {
    let marked = channel == Channel::Natt && matches!(protocol, Protocol::Ikev1 | Protocol::Ikev2);
    let mut wire = if marked { MARKER.to_vec() } else { Vec::new() };
    wire.extend(octets);
    wire
}

fn off_wire(channel: Channel, octets: &[u8]) -> &[u8] {
    if channel == Channel::Natt {
        octets.strip_prefix(&MARKER).unwrap_or(octets)
    } else {
        octets
    }
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
    if script.protocol.is_stream() {
        lines.open_tcp(target, &script)?;
    } else {
        for channel in script.channels(replayer.recording()) {
            lines.open_udp(channel, target, &script)?;
        }
    }
    for line in &lines.open {
        replayer.connected(line.channel, line.local, line.peer);
    }
    while !replayer.is_over() {
        while let Some(transmit) = replayer.poll_transmit(clock.now()) {
            let Some(line) = lines.get(transmit.channel).or(lines.open.first()) else {
                break;
            };
            let octets = on_wire(script.protocol, transmit.channel, &transmit.octets);
            tap(&sighting(line, &clock, true, &octets));
            match (send(line, &octets), replayer.ending()) {
                (Err(error), None) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    replayer.refused();
                }
                (Err(error), None) => {
                    return Err(socket(format!("cannot send to {}", line.peer))(error));
                }
                _ => {}
            }
        }
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
        match lines
            .arrivals
            .recv_timeout(Duration::from_nanos(wait.min(1_000_000_000)))
        {
            Ok(Arrival::Octets(channel, octets)) => {
                if let Some(line) = lines.get(channel) {
                    tap(&sighting(line, &clock, false, &octets));
                }
                replayer.handle(clock.now(), channel, off_wire(channel, &octets));
            }
            Ok(Arrival::Refused) => replayer.refused(),
            Ok(Arrival::Closed) => replayer.closed(),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
    Ok(())
}

fn send(line: &Line, octets: &[u8]) -> io::Result<()> {
    match &line.wire {
        Wire::Udp(udp) => udp.send(octets).map(|_| ()),
        Wire::Tcp(tcp) => (&mut &*tcp).write_all(octets),
    }
}

fn sighting<'a>(line: &Line, clock: &Clock, sent: bool, octets: &'a [u8]) -> Sighting<'a> {
    let (source, destination) = if sent {
        (line.local, line.peer)
    } else {
        (line.peer, line.local)
    };
    Sighting {
        time: clock.now(),
        sent,
        source,
        destination,
        stream: matches!(line.wire, Wire::Tcp(_)),
        octets,
    }
}
