//! `vpnscope interfaces`: what can be captured from, and which right is missing.

use std::io::Write;

use serde::Serialize;

use super::{Common, Exit, Format, output};
use crate::render::escape::harmless;
use crate::render::json;
use crate::source::live::{self, Interface};

/// Options of `interfaces`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Listed {
    name: String,
    description: Option<String>,
    addresses: Vec<String>,
    up: bool,
    loopback: bool,
    connected: Option<bool>,
}

#[derive(Serialize)]
struct List {
    interfaces: Vec<Listed>,
    /// Which right is missing, and the command that grants it.
    missing_right: Option<String>,
}

impl From<Interface> for Listed {
    fn from(interface: Interface) -> Self {
        Self {
            name: interface.name,
            description: interface.description,
            addresses: interface
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect(),
            up: interface.up,
            loopback: interface.loopback,
            connected: interface.connected,
        }
    }
}

/// Runs `interfaces`.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let list = List {
        interfaces: live::interfaces()?.into_iter().map(Listed::from).collect(),
        missing_right: live::missing_right(),
    };
    let mut out = output::open(args.common.output.as_deref())?;
    match args.format {
        Format::Text => text(&mut out, &list)?,
        Format::Json => {
            json::to_writer(&mut out, &list)?;
            out.write_all(b"\n")?;
        }
        Format::Ndjson => {
            for interface in &list.interfaces {
                json::to_writer(&mut out, interface)?;
                out.write_all(b"\n")?;
            }
        }
    }
    output::close(out)?;
    Ok(Exit::Clean)
}

fn text(out: &mut impl Write, list: &List) -> std::io::Result<()> {
    for interface in &list.interfaces {
        let state = match (interface.up, interface.connected) {
            (false, _) => "down",
            (true, Some(false)) => "up, nothing connected",
            (true, _) => "up",
        };
        let name = harmless(&interface.name);
        write!(out, "{name:<16} {state}")?;
        if !interface.addresses.is_empty() {
            write!(out, "  {}", interface.addresses.join(" "))?;
        }
        if let Some(description) = &interface.description {
            write!(out, "  {}", harmless(description))?;
        }
        writeln!(out)?;
    }
    match &list.missing_right {
        Some(missing) => writeln!(out, "No right to capture: {missing}"),
        None => writeln!(out, "The right to capture is there."),
    }
}
