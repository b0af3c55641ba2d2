//! The sockets of a replay, each with a reader.

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{DriveError, Target, ports, socket};
use crate::replay::conversation::Channel;
use crate::replay::script::Script;

pub(super) enum Arrival {
    Octets(Channel, Vec<u8>),
    Refused,
    Closed,
}

/// One open channel.
pub(super) struct Line {
    pub(super) channel: Channel,
    pub(super) wire: Wire,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
}

pub(super) enum Wire {
    Udp(Arc<UdpSocket>),
    Tcp(TcpStream),
}

/// All channels and their readers.
pub(super) struct Lines {
    pub(super) open: Vec<Line>,
    pub(super) arrivals: Receiver<Arrival>,
    sender: SyncSender<Arrival>,
    stop: Arc<AtomicBool>,
    readers: Vec<JoinHandle<()>>,
}

/// How often a reader looks whether it is to stop.
pub(super) const LOOK: Duration = Duration::from_millis(100);

impl Lines {
    pub(super) fn new() -> Self {
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

    pub(super) fn get(&self, channel: Channel) -> Option<&Line> {
        self.open.iter().find(|line| line.channel == channel)
    }

    pub(super) fn open_udp(
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

    pub(super) fn open_tcp(&mut self, target: &Target, script: &Script) -> Result<(), DriveError> {
        let (remote, _) = ports(script, target, Channel::Primary);
        let peer = SocketAddr::new(target.ip, remote);
        let stream = TcpStream::connect_timeout(&peer, Duration::from_secs(10))
            .map_err(|error| DriveError::NotConnected { peer, error })?;
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

pub(super) fn read_tcp(mut reader: TcpStream, sender: &SyncSender<Arrival>, stop: &AtomicBool) {
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

pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
