//! `vpnscope replay`: a recorded exchange once more, and where the live one differs.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::bail;

use super::{Exit, output};
use crate::replay::{Channel, Replayer, drive, judge};
use load::{Recorded, load};
use record::Record;
use tell::tell;
use whom::{announce, consent, target};

mod args;
mod load;
mod raw;
mod record;
mod serve;
mod tell;
mod whom;

pub(super) use args::Args;

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
    let recorded = load(&args.file, args.session, &args.common.budgets)?;
    let settings = args.settings();
    let replayer = Replayer::new(recorded.conversation.clone(), settings.clone())?;
    if args.show_script {
        let mut out = output::open(args.common.output.as_deref())?;
        let text = replayer.script().text(replayer.recording(), &settings);
        out.write_all(text.as_bytes())?;
        output::close(out)?;
        return Ok(Exit::Clean);
    }
    if let Some(listen) = &args.listen {
        return serve::serve(args, listen, recorded, replayer);
    }
    let target = target(args)?;
    if args.dry_run {
        return dry_run(args, replayer, &target);
    }
    announce(&replayer, &target, args);
    if let Some(failure) = &recorded.failure {
        let how = &failure.how;
        output::complain(&format!("vpnscope: the recorded session failed: {how}"));
    }
    consent(args)?;
    play(args, replayer, &recorded, &target)
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
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
        let octets = drive::on_wire(&script, target, transmit.channel, &transmit.octets);
        writeln!(
            out,
            "to {}, {} octets:",
            SocketAddr::new(target.ip, port),
            octets.len()
        )?;
        for line in octets.chunks(32) {
            writeln!(out, "  {}", vpnscope_dissectors::Octets(line))?;
        }
    }
    writeln!(out, "what follows hangs on the answers")?;
    output::close(out)?;
    Ok(Exit::Clean)
}

fn play(
    args: &Args,
    mut replayer: Replayer,
    recorded: &Recorded,
    target: &drive::Target,
) -> anyhow::Result<Exit> {
    let mut record = Record::create(args.record.as_deref())?;
    drive::play(&mut replayer, target, &mut |sighting| record.take(sighting))?;
    record.finish()?;
    let mut judgement = judge::judge(&replayer);
    recorded.weigh(&mut judgement);
    tell(args, &[(replayer, judgement)])
}
