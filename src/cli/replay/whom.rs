//! To whom it goes, and whether the user agrees.

use std::io::{IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use anyhow::{Context as _, bail};

use super::Args;
use crate::cli::output;
use crate::replay::{Replayer, drive};

/// `HOST`, `HOST:PORT`, `[ADDR]:PORT`.
pub(super) fn target(args: &Args) -> anyhow::Result<drive::Target> {
    let text = args.target.as_deref().unwrap_or_default();
    let (ip, port) = resolve(text)?;
    drive::check(ip)?;
    Ok(drive::Target {
        ip,
        port,
        source_port: args.source_port,
        patience: args.patience(),
    })
}

pub(super) fn resolve(text: &str) -> anyhow::Result<(IpAddr, Option<u16>)> {
    if let Ok(ip) = text.trim_matches(['[', ']']).parse() {
        return Ok((ip, None));
    }
    if let Ok(at) = text.parse::<SocketAddr>() {
        return Ok((at.ip(), Some(at.port())));
    }
    if text.contains([',', '/', ' ']) {
        bail!("{text} is more than one target: a replay goes to one host");
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
pub(super) fn announce(replayer: &Replayer, target: &drive::Target, args: &Args) {
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
        script.name(),
        SocketAddr::new(target.ip, port),
        ours.join(", "),
        args.max_messages,
        script.end
    ));
    if let Some(note) = script.note {
        output::complain(&format!("vpnscope: {note}"));
    }
    if args.blind && !script.later.is_empty() {
        output::complain(&format!(
            "vpnscope: --blind: then {} later messages as recorded, with whatever credentials are in them",
            script.later.len()
        ));
    }
}

pub(super) fn consent(args: &Args) -> anyhow::Result<()> {
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
