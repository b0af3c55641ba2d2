//! `vpnscope replay`: a recorded exchange once more, and where the live one differs.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::output;
use super::{Common, Exit, Format};
use crate::render;
use crate::replay::conversation::{Conversation, Side};
use crate::replay::drive::raw::Rate;
use crate::replay::judge::{self, Judgement, Want};
use crate::replay::rewrite::{self, Mapping};
use crate::replay::{
    Channel, Replayer, Settings, Substitution, Timing, Variation, drive, recording,
};
use crate::report::replay as model;
use crate::source::file;
use crate::time::Span;

mod raw;
mod record;

use record::Record;

/// Options of `replay`.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("how").required(true).args(["target", "listen", "raw"]))]
pub(super) struct Args {
    /// The capture; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The session to play, numbered as analyze does
    #[arg(long, value_name = "N")]
    session: Option<u32>,
    /// Play the client against this gateway
    #[arg(long, value_name = "HOST[:PORT]")]
    target: Option<String>,
    /// Play the gateway on this address
    #[arg(long, value_name = "ADDR[:PORT]")]
    listen: Option<String>,
    /// Send the recorded frames on this interface, rewritten
    #[arg(long, value_name = "IFACE")]
    raw: Option<String>,
    /// Keep time as recorded, or lose none
    #[arg(long, value_enum, default_value = "recorded")]
    timing: TimingArg,
    /// Send from this port
    #[arg(long, value_name = "PORT")]
    source_port: Option<u16>,
    /// Keep the recorded initiator SPI
    #[arg(long)]
    keep_spi: bool,
    /// Keep the recorded TLS random and session id
    #[arg(long)]
    keep_random: bool,
    /// Send this server name instead of the recorded one
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// Change one thing; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = Variation::parse)]
    set: Vec<Variation>,
    /// Send later messages as recorded, recorded credentials among them
    #[arg(long)]
    blind: bool,
    /// What the exit status 0 stands for
    #[arg(long, value_enum, default_value = "same")]
    want: WantArg,
    /// Do not ask before sending
    #[arg(long, short)]
    yes: bool,
    /// Print the octets instead of sending them
    #[arg(long)]
    dry_run: bool,
    /// Print what would be played, and what is changed in it
    #[arg(long)]
    show_script: bool,
    /// Write what happened to this capture
    #[arg(long, value_name = "OUT.pcapng")]
    record: Option<PathBuf>,
    /// Messages sent at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    max_messages: u32,
    /// Clients that are served before --listen ends
    #[arg(long, value_name = "N", default_value_t = 1)]
    clients: usize,
    /// The only client that --listen answers
    #[arg(long, value_name = "ADDR")]
    client: Option<IpAddr>,
    /// --raw: put another address, or address and port, in the place of a recorded one
    #[arg(long, value_name = "OLD=NEW", value_parser = Mapping::parse)]
    map: Vec<Mapping>,
    /// --raw: the source MAC; that of the interface where this is not given
    #[arg(long, value_name = "MAC", value_parser = rewrite::parse_mac)]
    source_mac: Option<[u8; 6]>,
    /// --raw: the destination MAC; the recorded one where this is not given
    #[arg(long, value_name = "MAC", value_parser = rewrite::parse_mac)]
    destination_mac: Option<[u8; 6]>,
    /// --raw: recorded, fast, or frames a second
    #[arg(long, value_name = "RATE", default_value = "recorded", value_parser = Rate::parse)]
    rate: Rate,
    /// --raw: how often
    #[arg(long = "loop", value_name = "N", default_value_t = 1)]
    loops: u32,
    /// Seconds it may take in all
    #[arg(long, value_name = "S", default_value_t = 90)]
    timeout: u32,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    common: Common,
}

/// How time is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TimingArg {
    /// Pauses and retransmissions as recorded
    Recorded,
    /// No pauses, few retransmissions
    Fast,
}

/// What the exit status 0 stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum WantArg {
    /// The live exchange ends as the recorded one did
    Same,
    /// The live exchange gets past where the recorded one failed
    Progress,
}

impl Args {
    fn settings(&self) -> Settings {
        let mut settings = Settings::new(
            if self.listen.is_some() {
                Side::Gateway
            } else {
                Side::Client
            },
            drive::seed(),
        );
        settings.timing = match self.timing {
            TimingArg::Recorded => Timing::Recorded,
            TimingArg::Fast => Timing::Fast,
        };
        settings.sni.clone_from(&self.sni);
        settings.blind = self.blind;
        settings.messages = self.max_messages;
        settings.variations.clone_from(&self.set);
        let keep = |substitution| Variation::Keep(substitution);
        if self.keep_spi {
            settings.variations.push(keep(Substitution::InitiatorSpi));
        }
        if self.keep_random {
            settings.variations.push(keep(Substitution::Random));
        }
        settings
    }
}

/// Runs `replay`.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    if let Some(record) = &args.record
        && same_file(record, &args.file)
    {
        bail!("{} is the input", record.display());
    }
    if let Some(interface) = &args.raw {
        return raw::raw(args, interface);
    }
    let recording = load(&args.file, args.session)?;
    let settings = args.settings();
    let replayer = Replayer::new(recording, settings.clone())?;
    if args.show_script {
        let mut out = output::open(args.common.output.as_deref())?;
        let text = replayer.script().text(replayer.recording(), &settings);
        out.write_all(text.as_bytes())?;
        output::close(out)?;
        return Ok(Exit::Clean);
    }
    if let Some(listen) = &args.listen {
        return serve(args, listen, replayer);
    }
    let target = target(args)?;
    if args.dry_run {
        return dry_run(args, replayer, &target);
    }
    announce(&replayer, &target, args);
    consent(args)?;
    play(args, replayer, &target)
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// Reads the recording. The capture is read twice, standard input is kept for that.
fn load(path: &Path, session: Option<u32>) -> anyhow::Result<Conversation> {
    /// Octets of standard input that are kept.
    const KEPT: u64 = 1 << 30;
    if path.as_os_str() == "-" {
        let mut octets = Vec::new();
        std::io::stdin()
            .take(KEPT)
            .read_to_end(&mut octets)
            .context("standard input")?;
        let open = || file::FileSource::new("-", std::io::Cursor::new(octets.clone()), 0);
        let sessions = recording::sessions(&mut open()?);
        let chosen = recording::choose(&sessions, session)?;
        return Ok(recording::read(&mut open()?, chosen)?);
    }
    let sessions = recording::sessions(&mut file::open(path, 0)?);
    let chosen = recording::choose(&sessions, session)?;
    Ok(recording::read(&mut file::open(path, 0)?, chosen)?)
}

/// `HOST`, `HOST:PORT`, `[ADDR]:PORT`.
fn target(args: &Args) -> anyhow::Result<drive::Target> {
    let text = args.target.as_deref().unwrap_or_default();
    let (ip, port) = resolve(text)?;
    drive::check(ip)?;
    Ok(drive::Target {
        ip,
        port,
        source_port: args.source_port,
        patience: Span::from_secs(i64::from(args.timeout)),
    })
}

fn resolve(text: &str) -> anyhow::Result<(IpAddr, Option<u16>)> {
    if let Ok(ip) = text.trim_matches(['[', ']']).parse() {
        return Ok((ip, None));
    }
    if let Ok(at) = text.parse::<SocketAddr>() {
        return Ok((at.ip(), Some(at.port())));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => {
            let port = port.parse().with_context(|| format!("{text}: no port"))?;
            (host, Some(port))
        }
        None => (text, None),
    };
    let first = (host, 0)
        .to_socket_addrs()
        .with_context(|| format!("{host} has no address"))?
        .next();
    match first {
        Some(at) => Ok((at.ip(), port)),
        None => bail!("{host} has no address"),
    }
}

/// Says what is sent to whom, and how far it goes.
fn announce(replayer: &Replayer, target: &drive::Target, args: &Args) {
    let script = replayer.script();
    let (port, _) = drive::ports(script, target, script.first_channel);
    let ours: Vec<&str> = script
        .steps
        .iter()
        .filter(|step| step.action == crate::replay::script::Action::Send)
        .map(|step| step.name.as_str())
        .collect();
    output::complain(&format!(
        "vpnscope: session {} ({}) goes to {}: {}; {} messages at most; ends {}",
        replayer.recording().session,
        script.protocol.name(),
        SocketAddr::new(target.ip, port),
        ours.join(", "),
        args.max_messages,
        script.end
    ));
    if args.blind && !script.later.is_empty() {
        output::complain(&format!(
            "vpnscope: --blind: then {} later messages as recorded, with whatever credentials are in them",
            script.later.len()
        ));
    }
}

fn consent(args: &Args) -> anyhow::Result<()> {
    if args.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() || args.file.as_os_str() == "-" {
        bail!("nobody to ask whether to send: use --yes");
    }
    let mut err = std::io::stderr();
    let _ = write!(err, "send? [y/N] ");
    let _ = err.flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        bail!("not sent");
    }
    Ok(())
}

/// Prints the octets of what would be sent before any answer is needed.
fn dry_run(args: &Args, mut replayer: Replayer, target: &drive::Target) -> anyhow::Result<Exit> {
    let mut out = output::open(args.common.output.as_deref())?;
    let script = replayer.script().clone();
    let local = match target.ip {
        IpAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
        IpAddr::V6(_) => SocketAddr::from(([0u16; 8], 0)),
    };
    for channel in [Channel::Primary, Channel::Natt] {
        let (port, from) = drive::ports(&script, target, channel);
        let local = SocketAddr::new(local.ip(), from.unwrap_or_default());
        replayer.connected(channel, local, SocketAddr::new(target.ip, port));
    }
    writeln!(
        out,
        "{}",
        script.text(replayer.recording(), &args.settings())
    )?;
    let now = drive::Clock::start().now();
    while let Some(transmit) = replayer.poll_transmit(now) {
        let (port, _) = drive::ports(&script, target, transmit.channel);
        writeln!(
            out,
            "to {}, {} octets:",
            SocketAddr::new(target.ip, port),
            transmit.octets.len()
        )?;
        for line in transmit.octets.chunks(32) {
            writeln!(out, "  {}", vpnscope_dissectors::Octets(line))?;
        }
    }
    writeln!(out, "what follows hangs on the answers")?;
    output::close(out)?;
    Ok(Exit::Clean)
}

fn play(args: &Args, mut replayer: Replayer, target: &drive::Target) -> anyhow::Result<Exit> {
    let mut record = Record::create(args.record.as_deref())?;
    drive::play(&mut replayer, target, &mut |sighting| record.take(sighting))?;
    record.finish()?;
    let judgement = judge::judge(&replayer);
    finish(args, &replayer, &judgement)
}

/// Plays the gateway.
fn serve(args: &Args, listen: &str, first: Replayer) -> anyhow::Result<Exit> {
    let (ip, port) = resolve(listen)?;
    if ip.is_multicast() {
        bail!("{ip} is a multicast address");
    }
    let script = first.script().clone();
    let (recording, mut settings) = (first.recording().clone(), args.settings());
    let listening = drive::Listening {
        ip,
        port,
        client: args.client,
        clients: args.clients.max(1),
        patience: Span::from_secs(i64::from(args.timeout)),
    };
    if args.dry_run {
        return dry_run(args, first, &target_of(&listening));
    }
    let whom = args
        .client
        .map_or_else(|| "whoever calls".to_string(), |client| client.to_string());
    output::complain(&format!(
        "vpnscope: session {} ({}) is played as the gateway on {} to {whom}, to {} clients, for {} s at most",
        recording.session,
        script.protocol.name(),
        SocketAddr::new(ip, port.unwrap_or(script.recorded_port)),
        listening.clients,
        args.timeout
    ));
    consent(args)?;
    let mut record = Record::create(args.record.as_deref())?;
    let mut spare = Some(first);
    let mut make = || {
        settings.seed = settings.seed.wrapping_add(1);
        // The recording was accepted once, so it is again.
        spare
            .take()
            .or_else(|| Replayer::new(recording.clone(), settings.clone()).ok())
    };
    let served = drive::serve(&script, &mut make, &listening, &mut |sighting| {
        record.take(sighting);
    })?;
    record.finish()?;
    let mut worst = None;
    for replayer in &served {
        let judgement = judge::judge(replayer);
        let exit = finish(args, replayer, &judgement)?;
        worst = worst.max(Some(exit));
    }
    worst.context("nobody called")
}

fn target_of(listening: &drive::Listening) -> drive::Target {
    drive::Target {
        ip: listening.ip,
        port: listening.port,
        source_port: None,
        patience: listening.patience,
    }
}

fn finish(args: &Args, replayer: &Replayer, judgement: &Judgement) -> anyhow::Result<Exit> {
    let role = replayer.script().role;
    let target = match role {
        Side::Client => replayer.live().gateway,
        Side::Gateway => replayer.live().client,
    };
    let report = model::report(
        replayer.recording().session,
        target.to_string(),
        role,
        judgement,
    );
    let mut out = output::open(args.common.output.as_deref())?;
    match args.format {
        Format::Text => {
            let colour = output::coloured(args.common.color, args.common.output.is_some());
            render::replay::report(&mut out, &report, colour)?;
        }
        Format::Json | Format::Ndjson => {
            serde_json::to_writer(&mut out, &report)?;
            out.write_all(b"\n")?;
        }
    }
    output::close(out)?;
    let want = match args.want {
        WantArg::Same => Want::Same,
        WantArg::Progress => Want::Progress,
    };
    Ok(match judgement.exit(want) {
        0 => Exit::Clean,
        1 => Exit::Findings,
        _ => Exit::Trouble,
    })
}
