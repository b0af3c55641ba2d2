//! `vpnscope replay --listen`: the recorded gateway to live clients.

use std::net::SocketAddr;

use anyhow::bail;

use super::Args;
use super::load::Recorded;
use super::record::Record;
use super::tell::{self, tell};
use super::whom::{consent, resolve};
use crate::cli::{Exit, output};
use crate::replay::{Replayer, drive, judge};

/// Plays the gateway.
pub(super) fn serve(
    args: &Args,
    listen: &str,
    recorded: Recorded,
    first: Replayer,
) -> anyhow::Result<Exit> {
    let (ip, port) = resolve(listen)?;
    if ip.is_multicast() {
        bail!("{ip} is a multicast address");
    }
    let script = first.script().clone();
    let (recording, mut settings) = (recorded.conversation, args.settings());
    let listening = drive::Listening {
        ip,
        port,
        client: args.client,
        clients: args.clients.max(1),
        patience: args.patience(),
    };
    if args.dry_run {
        return super::dry_run(args, first, &target_of(&listening));
    }
    let whom = args
        .client
        .map_or_else(|| "whoever calls".to_string(), |client| client.to_string());
    output::complain(&format!(
        "vpnscope: session {} ({}) is played as the gateway on {} to {whom}, to {} clients, for {} at most",
        recording.session,
        script.name(),
        SocketAddr::new(ip, port.unwrap_or(script.recorded_port)),
        listening.clients,
        args.patience()
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
    if served.is_empty() {
        let why = format!("nobody called within {}", args.patience());
        return tell::nothing(args, recording.session, listen, why);
    }
    let judged: Vec<_> = served
        .into_iter()
        .map(|replayer| {
            let judgement = judge::judge(&replayer);
            (replayer, judgement)
        })
        .collect();
    tell(args, &judged)
}

fn target_of(listening: &drive::Listening) -> drive::Target {
    drive::Target {
        ip: listening.ip,
        port: listening.port,
        source_port: None,
        patience: listening.patience,
    }
}
