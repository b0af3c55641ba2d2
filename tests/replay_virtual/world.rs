//! Two replayers and a network between them, in virtual time.

use std::net::SocketAddr;
use std::path::Path;

use vpnscope::replay::conversation::Side;
use vpnscope::replay::judge::{Judgement, judge};
use vpnscope::replay::recording::{Selection, extract};
use vpnscope::replay::settings::{Settings, Timing, Variation};
use vpnscope::replay::{Channel, Conversation, Protocol, Replayer, recording};
use vpnscope::source::{FrameSource as _, file};
use vpnscope::time::{Span, Timestamp};

pub(crate) fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("pcaps")
        .join(name)
}

/// The first session of a labelled capture.
pub(crate) fn session(name: &str) -> Conversation {
    let sessions = recording::sessions(&mut file::open(&path(name), 0).unwrap());
    recording::read(&mut file::open(&path(name), 0).unwrap(), &sessions[0]).unwrap()
}

/// The first flow to `port` in a labelled capture.
pub(crate) fn flow(name: &str, protocol: Protocol, port: u16) -> Conversation {
    let mut source = file::open(&path(name), 0).unwrap();
    let mut ends = None;
    while let Some(frame) = source.next_frame() {
        let segment = vpnscope::decap::decap(&frame);
        let envelope = &segment.envelope;
        let is_udp = matches!(segment.content, vpnscope::decap::Content::Udp { .. });
        let fits = is_udp == (protocol != Protocol::Tls);
        if envelope.destination_port == port && fits && ends.is_none() {
            ends = Some((
                SocketAddr::new(envelope.source, envelope.source_port),
                SocketAddr::new(envelope.destination, port),
            ));
        }
    }
    let (client, gateway) = ends.unwrap();
    let selection = Selection {
        protocol,
        session: 1,
        client,
        gateway,
        frames: None,
        range: (1, u64::MAX),
    };
    extract(&mut file::open(&path(name), 0).unwrap(), &selection)
}

pub(crate) fn settings(role: Side) -> Settings {
    let mut settings = Settings::new(role, if role == Side::Client { 1 } else { 2 });
    settings.timing = Timing::Fast;
    settings
}

pub(crate) fn set(role: Side, text: &str) -> Settings {
    let mut settings = settings(role);
    settings.variations.push(Variation::parse(text).unwrap());
    settings
}

pub(crate) const CLIENT: &str = "10.9.8.7:500";
pub(crate) const GATEWAY: &str = "10.9.8.1:500";

pub(crate) fn replayer(recording: Conversation, settings: Settings) -> Replayer {
    let (client, gateway) = (CLIENT.parse().unwrap(), GATEWAY.parse().unwrap());
    let (local, peer) = match settings.role {
        Side::Client => (client, gateway),
        Side::Gateway => (gateway, client),
    };
    let mut replayer = Replayer::new(recording, settings).unwrap();
    replayer.connected(Channel::Primary, local, peer);
    replayer.connected(Channel::Natt, local, peer);
    replayer
}

/// What the network does to the n-th message (from 0, both directions counted together).
pub(crate) type Network = fn(usize) -> Vec<Span>;

/// What somebody on the way makes of a message of one end.
pub(crate) type Tamper = fn(Side, &mut Vec<u8>);

pub(crate) fn at_once(_: usize) -> Vec<Span> {
    vec![Span::from_millis(1)]
}

pub(crate) struct World {
    pub(crate) client: Replayer,
    pub(crate) gateway: Replayer,
    /// What somebody on the way makes of each message.
    pub(crate) tamper: Tamper,
    now: Timestamp,
    flying: Vec<(Timestamp, Side, Channel, Vec<u8>)>,
    carried: usize,
}

impl World {
    pub(crate) fn new(client: Replayer, gateway: Replayer) -> Self {
        Self {
            client,
            gateway,
            tamper: |_, _| {},
            now: Timestamp::from_parts(1_700_000_000, 0),
            flying: Vec::new(),
            carried: 0,
        }
    }

    /// Runs until the client is done; fails where that takes more than two minutes.
    pub(crate) fn run(&mut self, network: Network) -> Judgement {
        let end = self.now + Span::from_secs(120);
        let mut turns = 0;
        while self.now < end {
            turns += 1;
            assert!(turns < 20_000, "no time passes");
            for side in [Side::Client, Side::Gateway] {
                let one = match side {
                    Side::Client => &mut self.client,
                    Side::Gateway => &mut self.gateway,
                };
                while let Some(mut transmit) = one.poll_transmit(self.now) {
                    (self.tamper)(side, &mut transmit.octets);
                    for delay in network(self.carried) {
                        let arrival = (
                            self.now + delay,
                            side.other(),
                            transmit.channel,
                            transmit.octets.clone(),
                        );
                        self.flying.push(arrival);
                    }
                    self.carried += 1;
                }
            }
            if self.client.is_over() {
                return judge(&self.client);
            }
            let arrivals = self.flying.iter().map(|one| one.0);
            let deadlines = [self.client.next_deadline(), self.gateway.next_deadline()];
            let next = arrivals.chain(deadlines.into_iter().flatten()).min();
            let Some(next) = next else {
                self.client.give_up();
                continue;
            };
            self.now = self.now.max(next);
            let due: Vec<_> = self
                .flying
                .extract_if(.., |one| one.0 <= self.now)
                .collect();
            for (_, to, channel, octets) in due {
                match to {
                    Side::Client => self.client.handle(self.now, channel, &octets),
                    Side::Gateway => self.gateway.handle(self.now, channel, &octets),
                }
            }
        }
        panic!("not over after two minutes");
    }
}
