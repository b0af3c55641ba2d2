//! The command line of `capture`.

use std::path::PathBuf;
use std::time::Duration;

use super::super::choice::Choice;
use super::super::{Common, Format};
use super::units;
use super::writing::{Rings, What};
use crate::source::live::Filter;

/// When capturing tells of failures by its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ExitStatus {
    /// Never: 0 on a clean stop
    Clean,
    /// 1 if a session failed or is degraded
    Findings,
}

/// Options of `capture`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
pub(in crate::cli) struct Args {
    /// Interface; repeat for several. `any` is all of them
    #[arg(short, long = "interface", required = true, value_name = "IFACE")]
    pub(super) interfaces: Vec<String>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    pub(super) format: Format,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
    #[command(flatten)]
    pub(super) choice: Choice,
    /// Counts only, nothing per session; the whole diagnosis still runs
    #[arg(long)]
    pub(super) summary: bool,
    /// Stop after this time: 30, 30s, 5m, 2h
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub(super) duration: Option<Duration>,
    /// Stop after this many frames
    #[arg(long, value_name = "N")]
    pub(super) packets: Option<u64>,
    /// Stop once this many sessions failed or are degraded
    #[arg(long, value_name = "N")]
    pub(super) until_failures: Option<usize>,
    /// What the exit status of a clean stop tells
    #[arg(long, value_enum, default_value = "clean")]
    pub(super) exit_status: ExitStatus,
    /// Print counters to standard error at this interval; SIGUSR1 does so at any time
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub(super) stats_interval: Option<Duration>,
    /// Capture filter in libpcap's language, instead of the default one
    #[arg(long, value_name = "BPF", conflicts_with = "all_traffic")]
    pub(super) filter: Option<String>,
    /// No capture filter: the kernel passes every frame
    #[arg(long)]
    pub(super) all_traffic: bool,
    /// Kernel buffer of each interface: 64M
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = units::size)]
    pub(super) buffer: u64,
    /// Octets captured of a frame at most
    #[arg(long, value_name = "OCTETS", default_value_t = 262_144)]
    pub(super) snaplen: u32,
    /// Do not ask for frames that are for other machines
    #[arg(long)]
    pub(super) no_promiscuous: bool,
    /// Become this user once the interfaces are open
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// Give up the right to capture too: an interface that vanished stays lost
    #[arg(long, requires = "user")]
    pub(super) drop_all: bool,
    /// Threads that read the interface, each its share of the address pairs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = units::threads)]
    pub(super) threads: usize,
    /// Write frames to this capture: .pcapng or .pcap, with .zst or .gz
    #[arg(short, long, value_name = "OUT")]
    pub(super) write_to: Option<PathBuf>,
    /// Which frames to write
    #[arg(long, value_enum, default_value = "vpn", requires = "write_to")]
    pub(super) write: What,
    #[command(flatten)]
    pub(super) rings: Rings,
}

impl Args {
    /// Which frames the kernel passes.
    pub(super) fn filter(&self) -> Filter {
        match (&self.filter, self.all_traffic) {
            (Some(text), _) => Filter::Text(text.clone()),
            (None, true) => Filter::None,
            (None, false) => Filter::Default,
        }
    }
}
