//! `vpnscope decode`.
use super::{Common, Exit};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(_: &Args) -> anyhow::Result<Exit> {
    Ok(Exit::Clean)
}
