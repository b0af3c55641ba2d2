//! Plays the gateway to whoever calls: one replayer for each client.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::framing::Framing;
use super::lines::is_timeout;
use super::{Clock, DriveError, Sighting, socket};
use crate::replay::conversation::Channel;
use crate::replay::engine::Replayer;
use crate::replay::script::Script;
use crate::time::{Span, Timestamp};

mod tcp;

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
    /// Where it was heard from last, on each channel.
    peers: Vec<(Channel, SocketAddr)>,
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
    if script.transport.is_tcp() {
        tcp::serve(script, make, listening, tap)
    } else {
        serve_udp(script, make, listening, tap)
    }
}

struct Door {
    channel: Channel,
    socket: UdpSocket,
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
        socket: bound,
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
    let ike = script.protocol.is_ike();
    let mut framing = Framing::new(script.protocol, script.transport);
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
            let octets = framing.decode(door.channel, octets).concat();
            let key = if ike {
                octets.get(..8).unwrap_or_default().to_vec()
            } else {
                Vec::new()
            };
            let caller = (door.channel, peer);
            let place = find(&mut guests, caller, &key, &mut done).or_else(|| {
                let replayer = if guests.len() < TOGETHER {
                    make()?
                } else {
                    return None;
                };
                guests.push(Guest {
                    peers: vec![caller],
                    key,
                    replayer,
                    last: now,
                });
                Some(guests.len() - 1)
            });
            if let Some(guest) = place.and_then(|place| guests.get_mut(place)) {
                guest.replayer.connected(door.channel, ours, peer);
                guest.replayer.handle(now, door.channel, &octets);
                guest.last = now;
            }
        }
        for guest in &mut guests {
            speak(guest, &doors, &framing, &clock, tap);
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
    caller: (Channel, SocketAddr),
    key: &[u8],
    done: &mut Vec<Replayer>,
) -> Option<usize> {
    let (channel, peer) = caller;
    let place = guests.iter().position(|guest| {
        let known = |(_, at): &(Channel, SocketAddr)| {
            at.ip() == peer.ip() && (*at == peer || !key.is_empty())
        };
        guest.key == key && guest.peers.iter().any(known)
    })?;
    let guest = guests.get_mut(place)?;
    if guest.replayer.is_over() {
        done.push(guests.swap_remove(place).replayer);
        return None;
    }
    guest.peers.retain(|(known, _)| *known != channel);
    guest.peers.push(caller);
    Some(place)
}

fn speak(
    guest: &mut Guest,
    doors: &[Door],
    framing: &Framing,
    clock: &Clock,
    tap: &mut dyn FnMut(&Sighting<'_>),
) {
    while let Some(transmit) = guest.replayer.poll_transmit(clock.now()) {
        // Where the client was never heard on that channel, where it was heard last.
        let at = |(channel, _): &&(Channel, SocketAddr)| *channel == transmit.channel;
        let known = guest.peers.iter().find(at).or(guest.peers.last());
        let Some((channel, peer)) = known.copied() else {
            return;
        };
        let Some(door) = doors.iter().find(|door| door.channel == channel) else {
            return;
        };
        let octets = framing.encode(channel, &transmit.octets);
        let ours = local(door, peer);
        tap(&seen(clock.now(), true, ours, peer, &octets));
        let _ = door.socket.send_to(&octets, peer);
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
