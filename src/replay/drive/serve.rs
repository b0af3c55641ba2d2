//! Plays the gateway to whoever calls: one replayer for each client.

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::Arrival;
use super::{Clock, DriveError, LOOK, Sighting, is_timeout, off_wire, on_wire, read_tcp, socket};
use crate::replay::conversation::{Channel, Protocol};
use crate::replay::engine::Replayer;
use crate::replay::script::Script;
use crate::time::{Span, Timestamp};

/// Where to listen.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    /// The address.
    pub ip: IpAddr,
    /// The port, where the user named one.
    pub port: Option<u16>,
    /// The only client that is answered, where the user named one.
    pub client: Option<IpAddr>,
    /// Clients that are served before it ends.
    pub clients: usize,
    /// How long it may take in all.
    pub patience: Span,
}

/// Clients that are served at the same time.
const TOGETHER: usize = 64;
/// A client that was told everything is done after so long without a word.
const QUIET: Span = Span::from_millis(1500);
/// A client that was not told everything is given up after so long without a word.
const IDLE: Span = Span::from_secs(30);

/// One client.
struct Guest {
    peer: SocketAddr,
    /// What tells two attempts from one address apart: the initiator SPI of IKE.
    key: Vec<u8>,
    replayer: Replayer,
    last: Timestamp,
}

/// Serves until as many clients as wanted are done, or time is up.
pub fn serve(
    script: &Script,
    make: &mut dyn FnMut() -> Option<Replayer>,
    listening: &Listening,
    tap: &mut dyn FnMut(&Sighting<'_>),
) -> Result<Vec<Replayer>, DriveError> {
    if script.protocol.is_stream() {
        serve_tcp(script, make, listening, tap)
    } else {
        serve_udp(script, make, listening, tap)
    }
}

struct Door {
    channel: Channel,
    socket: Arc<UdpSocket>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the driver is where sockets are made"
)]
fn open(ip: IpAddr, port: u16, channel: Channel) -> Result<Door, DriveError> {
    let at = SocketAddr::new(ip, port);
    let bound = UdpSocket::bind(at).map_err(socket(format!("cannot listen on {at}")))?;
    bound
        .set_read_timeout(Some(Duration::from_millis(20)))
        .map_err(socket("cannot set a timeout"))?;
    Ok(Door {
        channel,
        socket: Arc::new(bound),
    })
}

/// The address that a socket bound to all addresses sends from to this peer.
#[expect(
    clippy::disallowed_methods,
    reason = "the driver is where sockets are made"
)]
fn local(door: &Door, peer: SocketAddr) -> SocketAddr {
    let bound = door.socket.local_addr().unwrap_or(peer);
    if !bound.ip().is_unspecified() {
        return bound;
    }
    let probe = UdpSocket::bind((bound.ip(), 0)).and_then(|probe| {
        probe.connect(peer)?;
        probe.local_addr()
    });
    SocketAddr::new(probe.map_or(bound.ip(), |at| at.ip()), bound.port())
}

fn serve_udp(
    script: &Script,
    make: &mut dyn FnMut() -> Option<Replayer>,
    listening: &Listening,
    tap: &mut dyn FnMut(&Sighting<'_>),
) -> Result<Vec<Replayer>, DriveError> {
    let port = listening.port.unwrap_or(script.recorded_port);
    let mut doors = vec![open(listening.ip, port, script.first_channel)?];
    let ike = matches!(script.protocol, Protocol::Ikev1 | Protocol::Ikev2);
    if ike && script.first_channel == Channel::Primary && port == 500 {
        // Whoever sees a NAT goes on there.
        doors.extend(open(listening.ip, 4500, Channel::Natt).ok());
    }
    let clock = Clock::start();
    let end = clock.now() + listening.patience;
    let mut guests: Vec<Guest> = Vec::new();
    let mut done = Vec::new();
    let mut buffer = vec![0; 65_536];
    while done.len() < listening.clients && clock.now() < end {
        for door in &doors {
            let (len, peer) = match door.socket.recv_from(&mut buffer) {
                Ok(heard) => heard,
                Err(error) if is_timeout(&error) => continue,
                // An ICMP error about something we sent: that client has gone.
                Err(_) => continue,
            };
            let now = clock.now();
            let octets = buffer.get(..len).unwrap_or_default();
            if listening.client.is_some_and(|only| only != peer.ip()) {
                continue;
            }
            let ours = local(door, peer);
            tap(&seen(now, false, peer, ours, octets));
            let octets = off_wire(door.channel, octets);
            let key = if ike {
                octets.get(..8).unwrap_or_default().to_vec()
            } else {
                Vec::new()
            };
            let place = find(&mut guests, peer, &key, &mut done).or_else(|| {
                let replayer = if guests.len() < TOGETHER {
                    make()?
                } else {
                    return None;
                };
                guests.push(Guest {
                    peer,
                    key,
                    replayer,
                    last: now,
                });
                Some(guests.len() - 1)
            });
            if let Some(guest) = place.and_then(|place| guests.get_mut(place)) {
                guest.replayer.connected(door.channel, ours, peer);
                guest.replayer.handle(now, door.channel, octets);
                guest.last = now;
            }
        }
        for guest in &mut guests {
            speak(guest, &doors, script.protocol, &clock, tap);
        }
        collect(&mut guests, clock.now(), &mut done);
    }
    for mut guest in guests {
        guest.replayer.give_up();
        done.push(guest.replayer);
    }
    // Strangers that said nothing of the protocol are no clients.
    done.retain(|replayer| !replayer.live().messages.is_empty());
    Ok(done)
}

fn find(
    guests: &mut Vec<Guest>,
    peer: SocketAddr,
    key: &[u8],
    done: &mut Vec<Replayer>,
) -> Option<usize> {
    let place = guests.iter().position(|guest| {
        guest.key == key && guest.peer.ip() == peer.ip() && (guest.peer == peer || !key.is_empty())
    })?;
    if guests.get(place)?.replayer.is_over() {
        done.push(guests.swap_remove(place).replayer);
        return None;
    }
    Some(place)
}

fn speak(
    guest: &mut Guest,
    doors: &[Door],
    protocol: Protocol,
    clock: &Clock,
    tap: &mut dyn FnMut(&Sighting<'_>),
) {
    while let Some(transmit) = guest.replayer.poll_transmit(clock.now()) {
        let door = doors.iter().find(|door| door.channel == transmit.channel);
        let Some(door) = door.or(doors.first()) else {
            return;
        };
        let octets = on_wire(protocol, transmit.channel, &transmit.octets);
        let ours = local(door, guest.peer);
        tap(&seen(clock.now(), true, ours, guest.peer, &octets));
        let _ = door.socket.send_to(&octets, guest.peer);
    }
}

fn collect(guests: &mut Vec<Guest>, now: Timestamp, done: &mut Vec<Replayer>) {
    let mut place = 0;
    while let Some(guest) = guests.get_mut(place) {
        let patience = if guest.replayer.is_satisfied() {
            QUIET
        } else {
            IDLE
        };
        if now - guest.last > patience {
            guest.replayer.give_up();
        }
        if guest.replayer.ending().is_some() && now - guest.last > QUIET {
            let guest = guests.swap_remove(place);
            if !guest.replayer.live().messages.is_empty() {
                done.push(guest.replayer);
            }
        } else {
            place += 1;
        }
    }
}

fn seen(
    time: Timestamp,
    sent: bool,
    source: SocketAddr,
    destination: SocketAddr,
    octets: &[u8],
) -> Sighting<'_> {
    Sighting {
        time,
        sent,
        source,
        destination,
        stream: false,
        octets,
    }
}

fn serve_tcp(
    script: &Script,
    make: &mut dyn FnMut() -> Option<Replayer>,
    listening: &Listening,
    tap: &mut dyn FnMut(&Sighting<'_>),
) -> Result<Vec<Replayer>, DriveError> {
    let at = SocketAddr::new(listening.ip, listening.port.unwrap_or(script.recorded_port));
    let listener = TcpListener::bind(at).map_err(socket(format!("cannot listen on {at}")))?;
    listener
        .set_nonblocking(true)
        .map_err(socket("cannot wait for clients"))?;
    let clock = Clock::start();
    let end = clock.now() + listening.patience;
    let mut done = Vec::new();
    while done.len() < listening.clients && clock.now() < end {
        match listener.accept() {
            Ok((stream, peer)) => {
                if listening.client.is_some_and(|only| only != peer.ip()) {
                    continue;
                }
                let Some(mut replayer) = make() else { continue };
                converse(&mut replayer, &stream, peer, &clock, tap)?;
                done.push(replayer);
            }
            Err(error) if is_timeout(&error) => pause(),
            Err(error) => return Err(socket("cannot accept a client")(error)),
        }
    }
    Ok(done)
}

#[expect(clippy::disallowed_methods, reason = "the driver is where time passes")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

fn converse(
    replayer: &mut Replayer,
    stream: &TcpStream,
    peer: SocketAddr,
    clock: &Clock,
    tap: &mut dyn FnMut(&Sighting<'_>),
) -> Result<(), DriveError> {
    let end = clock.now() + IDLE;
    let prepare = || -> io::Result<(SocketAddr, TcpStream)> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
        Ok((stream.local_addr()?, stream.try_clone()?))
    };
    let (ours, reader) = prepare().map_err(socket("cannot talk to the client"))?;
    replayer.connected(Channel::Primary, ours, peer);
    let (sender, arrivals) = sync_channel(64);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = stop.clone();
    let thread = std::thread::spawn(move || read_tcp(reader, &sender, &flag));
    let mut writer = stream;
    let mut last = clock.now();
    loop {
        while let Some(transmit) = replayer.poll_transmit(clock.now()) {
            let mut sighting = seen(clock.now(), true, ours, peer, &transmit.octets);
            sighting.stream = true;
            tap(&sighting);
            if writer.write_all(&transmit.octets).is_err() {
                replayer.closed();
            }
        }
        let now = clock.now();
        let quiet = replayer.is_satisfied() && now - last > QUIET;
        if now > end || quiet {
            replayer.give_up();
        }
        if replayer.ending().is_some() {
            break;
        }
        match arrivals.recv_timeout(LOOK) {
            Ok(Arrival::Octets(channel, octets)) => {
                last = clock.now();
                let mut sighting = seen(last, false, peer, ours, &octets);
                sighting.stream = true;
                tap(&sighting);
                replayer.handle(last, channel, &octets);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Arrival::Closed | Arrival::Refused) | Err(RecvTimeoutError::Disconnected) => {
                replayer.closed();
            }
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    drop(arrivals);
    let _ = stream.shutdown(std::net::Shutdown::Both);
    let _ = thread.join();
    Ok(())
}
