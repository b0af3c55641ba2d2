//! Clients that call over TCP, each served in a thread of its own.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::super::framing::Framing;
use super::super::lines::{Arrival, LOOK, is_timeout, read_tcp};
use super::super::{Clock, DriveError, Sighting, socket};
use super::{IDLE, Listening, QUIET, TOGETHER, seen};
use crate::replay::conversation::Channel;
use crate::replay::engine::Replayer;
use crate::replay::script::Script;
use crate::time::Timestamp;

/// What a thread reports.
enum Report {
    /// Something went over the wire.
    Seen(Sight),
    /// The client is done.
    Done(Box<Replayer>),
}

/// A sighting with octets of its own.
struct Sight {
    time: Timestamp,
    sent: bool,
    source: SocketAddr,
    destination: SocketAddr,
    octets: Vec<u8>,
}

/// One client and what is needed to talk to it.
struct Call {
    stream: TcpStream,
    ours: SocketAddr,
    peer: SocketAddr,
    clock: Clock,
    reports: SyncSender<Report>,
    stop: Arc<AtomicBool>,
}

/// Serves until as many clients as wanted are done, or time is up.
pub(super) fn serve(
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
    let (sender, reports) = sync_channel(256);
    let stop = Arc::new(AtomicBool::new(false));
    let mut done = Vec::new();
    let mut open = 0;
    while done.len() < listening.clients && clock.now() < end {
        match listener.accept() {
            Ok((stream, peer)) => {
                let stranger = listening.client.is_some_and(|only| only != peer.ip());
                if stranger || open >= TOGETHER {
                    continue;
                }
                let Some(replayer) = make() else { continue };
                let prepared = prepare(&stream).map_err(socket("cannot talk to the client"))?;
                let call = Call {
                    stream,
                    ours: prepared,
                    peer,
                    clock,
                    reports: sender.clone(),
                    stop: stop.clone(),
                };
                let framing = Framing::new(script.protocol, script.transport);
                std::thread::spawn(move || call.converse(replayer, framing));
                open += 1;
            }
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(socket("cannot accept a client")(error)),
        }
        open -= hear(&reports, &mut done, tap);
    }
    stop.store(true, Ordering::Relaxed);
    // Whoever is being served is let go, and still reports.
    let limit = clock.now() + QUIET + QUIET;
    while open > 0 && clock.now() < limit {
        open -= hear(&reports, &mut done, tap);
    }
    Ok(done)
}

/// Takes reports for a moment; gives how many clients are done.
fn hear(
    reports: &Receiver<Report>,
    done: &mut Vec<Replayer>,
    tap: &mut dyn FnMut(&Sighting<'_>),
) -> usize {
    let mut ended = 0;
    let mut patience = Duration::from_millis(20);
    while let Ok(report) = reports.recv_timeout(patience) {
        patience = Duration::ZERO;
        match report {
            Report::Seen(sight) => {
                let Sight {
                    source,
                    destination,
                    ref octets,
                    ..
                } = sight;
                let mut sighting = seen(sight.time, sight.sent, source, destination, octets);
                sighting.stream = true;
                tap(&sighting);
            }
            Report::Done(replayer) => {
                ended += 1;
                // Who connected and said nothing is no client.
                if !replayer.live().messages.is_empty() {
                    done.push(*replayer);
                }
            }
        }
    }
    ended
}

fn prepare(stream: &TcpStream) -> io::Result<SocketAddr> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOOK))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    stream.local_addr()
}

impl Call {
    fn converse(self, mut replayer: Replayer, mut framing: Framing) {
        // Only who connects says the prefix.
        framing.begun();
        replayer.connected(Channel::Primary, self.ours, self.peer);
        let (sender, arrivals) = sync_channel(64);
        let reading = Arc::new(AtomicBool::new(false));
        let flag = reading.clone();
        let reader = self
            .stream
            .try_clone()
            .map(|reader| std::thread::spawn(move || read_tcp(reader, &sender, &flag)));
        let end = self.clock.now() + IDLE;
        let mut last = self.clock.now();
        while replayer.ending().is_none() {
            self.speak(&mut replayer, &framing);
            let now = self.clock.now();
            let quiet = replayer.is_satisfied() && now - last > QUIET;
            if now > end || quiet || self.stop.load(Ordering::Relaxed) {
                replayer.give_up();
                break;
            }
            match arrivals.recv_timeout(LOOK) {
                Ok(Arrival::Octets(channel, octets)) => {
                    last = self.clock.now();
                    self.report(false, &octets);
                    for octets in framing.decode(channel, &octets) {
                        replayer.handle(last, channel, &octets);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Arrival::Closed | Arrival::Refused) | Err(RecvTimeoutError::Disconnected) => {
                    replayer.closed();
                }
            }
        }
        self.speak(&mut replayer, &framing);
        reading.store(true, Ordering::Relaxed);
        drop(arrivals);
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Ok(reader) = reader {
            let _ = reader.join();
        }
        let _ = self.reports.send(Report::Done(Box::new(replayer)));
    }

    fn speak(&self, replayer: &mut Replayer, framing: &Framing) {
        let mut writer = &self.stream;
        while let Some(transmit) = replayer.poll_transmit(self.clock.now()) {
            let octets = framing.encode(transmit.channel, &transmit.octets);
            self.report(true, &octets);
            if writer.write_all(&octets).is_err() {
                replayer.closed();
            }
        }
    }

    fn report(&self, sent: bool, octets: &[u8]) {
        let (source, destination) = if sent {
            (self.ours, self.peer)
        } else {
            (self.peer, self.ours)
        };
        let _ = self.reports.send(Report::Seen(Sight {
            time: self.clock.now(),
            sent,
            source,
            destination,
            octets: octets.to_vec(),
        }));
    }
}
