//! The options of `replay`.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::cli::{Common, Format};
use crate::replay::conversation::Side;
use crate::replay::drive::{self, raw::Rate};
use crate::replay::judge::Want;
use crate::replay::rewrite::{self, Mapping};
use crate::replay::{Settings, Substitution, Timing, Variation};
use crate::time::Span;

/// Options of `replay`.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("how").required(true).args(["target", "listen", "raw"]))]
pub(in crate::cli) struct Args {
    /// The capture; - for standard input
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// The session to play, numbered as analyze does
    #[arg(long, value_name = "N")]
    pub(super) session: Option<u32>,
    /// Play the client against this gateway
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(super) target: Option<String>,
    /// Play the gateway on this address
    #[arg(long, value_name = "ADDR[:PORT]")]
    pub(super) listen: Option<String>,
    /// Send the recorded frames on this interface, rewritten
    #[arg(long, value_name = "IFACE")]
    pub(super) raw: Option<String>,
    /// Keep time as recorded, or lose none
    #[arg(long, value_enum, default_value = "recorded")]
    pub(super) timing: TimingArg,
    /// Send from this port
    #[arg(long, value_name = "PORT")]
    pub(super) source_port: Option<u16>,
    /// Keep the recorded initiator SPI
    #[arg(long)]
    pub(super) keep_spi: bool,
    /// Keep the recorded TLS random and session id
    #[arg(long)]
    pub(super) keep_random: bool,
    /// Send this server name instead of the recorded one
    #[arg(long, value_name = "NAME")]
    pub(super) sni: Option<String>,
    /// Change one thing; may be given several times
    #[arg(id = "variation", long = "set", value_name = "KEY=VALUE", value_parser = Variation::parse)]
    pub(super) set: Vec<Variation>,
    /// Send later messages as recorded, recorded credentials among them
    #[arg(long)]
    pub(super) blind: bool,
    /// What the exit status 0 stands for
    #[arg(long, value_enum, default_value = "same")]
    pub(super) want: WantArg,
    /// Do not ask before sending
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Print the octets instead of sending them
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print what would be played, and what is changed in it
    #[arg(long)]
    pub(super) show_script: bool,
    /// Write what happened to this capture
    #[arg(long, value_name = "OUT.pcapng")]
    pub(super) record: Option<PathBuf>,
    /// Messages sent at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(super) max_messages: u32,
    /// Clients that are served before --listen ends
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) clients: usize,
    /// The only client that --listen answers
    #[arg(long, value_name = "ADDR")]
    pub(super) client: Option<IpAddr>,
    /// --raw: put another address, or address and port, in the place of a recorded one
    #[arg(long, value_name = "OLD=NEW", value_parser = Mapping::parse)]
    pub(super) map: Vec<Mapping>,
    /// --raw: the source MAC; that of the interface where this is not given
    #[arg(long, value_name = "MAC", value_parser = rewrite::parse_mac)]
    pub(super) source_mac: Option<[u8; 6]>,
    /// --raw: the destination MAC; the recorded one where this is not given
    #[arg(long, value_name = "MAC", value_parser = rewrite::parse_mac)]
    pub(super) destination_mac: Option<[u8; 6]>,
    /// --raw: recorded, fast, or frames a second
    #[arg(long, value_name = "RATE", default_value = "recorded", value_parser = Rate::parse)]
    pub(super) rate: Rate,
    /// --raw: how often
    #[arg(long = "loop", value_name = "N", default_value_t = 1)]
    pub(super) loops: u32,
    /// Seconds it may take in all [default: 90; none with --raw]
    #[arg(long, value_name = "S")]
    pub(super) timeout: Option<u32>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    pub(super) format: Format,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

/// How time is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum TimingArg {
    /// Pauses and retransmissions as recorded
    Recorded,
    /// No pauses, few retransmissions
    Fast,
}

/// What the exit status 0 stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum WantArg {
    /// The live exchange ends as the recorded one did
    Same,
    /// The live exchange gets past where the recorded one failed
    Progress,
}

impl Args {
    /// How long it may take in all.
    pub(super) fn patience(&self) -> Span {
        Span::from_secs(i64::from(self.timeout.unwrap_or(90)))
    }

    /// What the exit status is about.
    pub(super) const fn wanted(&self) -> Want {
        match self.want {
            WantArg::Same => Want::Same,
            WantArg::Progress => Want::Progress,
        }
    }

    pub(super) fn settings(&self) -> Settings {
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
