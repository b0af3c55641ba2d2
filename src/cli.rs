//! The command line: parses, runs, decides the exit status.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

mod analyze;
mod budget;
#[cfg(feature = "live")]
mod capture;
mod choice;
mod compare;
mod decode;
mod expect;
mod explain;
mod extract;
#[cfg(feature = "live")]
mod interfaces;
mod keep;
mod members;
mod output;
#[cfg(feature = "replay")]
mod replay;
mod seam;
mod shelf;

/// Says why a VPN connection failed, with the frames that prove it.
#[derive(Debug, Parser)]
#[command(name = "vpnscope", version, about, max_term_width = 80)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read captures and print one diagnosis per session
    Analyze(analyze::Args),
    /// Print every VPN-relevant frame, layer by layer
    Decode(decode::Args),
    /// Play a recorded exchange again, and say where the live one differs
    #[cfg(feature = "replay")]
    Replay(Box<replay::Args>),
    /// Lay captures of the same event from different points side by side
    Compare(compare::Args),
    /// Say what an error code, a log line, a cause or a stage means, and what to check
    Explain(explain::Args),
    /// Write only the VPN-relevant frames to a new capture
    Extract(extract::Args),
    /// Capture from interfaces, and say what fails while it fails
    #[cfg(feature = "live")]
    Capture(Box<capture::Args>),
    /// List what can be captured from, and which right is missing
    #[cfg(feature = "live")]
    Interfaces(interfaces::Args),
    /// Print the JSON Schema of an output format
    Schema {
        /// Which format
        #[arg(value_enum)]
        of: SchemaOf,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// The documents that have a schema.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum SchemaOf {
    Report,
    Decode,
    Replay,
    Compare,
    Explain,
}

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// One JSON object a line
    Ndjson,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Options that mean the same everywhere.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// When to use colour
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Color,
    /// Print passwords, cookies and tickets too
    #[arg(long)]
    pub show_secrets: bool,
    #[command(flatten)]
    pub(crate) budgets: budget::Budgets,
}

impl Command {
    /// What the user wants to be held or read at most.
    fn budgets(&self) -> Option<&budget::Budgets> {
        let common = match self {
            Self::Analyze(args) => &args.common,
            Self::Decode(args) => &args.common,
            #[cfg(feature = "replay")]
            Self::Replay(args) => &args.common,
            Self::Compare(args) => &args.common,
            Self::Explain(args) => &args.common,
            #[cfg(feature = "live")]
            Self::Capture(args) => &args.common,
            Self::Extract(args) => return Some(&args.budgets),
            _ => return None,
        };
        Some(&common.budgets)
    }
}

/// The exit statuses of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Everything readable, nothing failed.
    Clean = 0,
    /// Something failed or is degraded.
    Findings = 1,
    /// Bad usage or unreadable input.
    Trouble = 2,
}

/// Runs the command line and gives the exit status.
pub fn run() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    if let Some(budgets) = cli.command.budgets() {
        budgets.set_limits();
    }
    let result = match cli.command {
        Command::Analyze(args) => analyze::run(&args),
        Command::Decode(args) => decode::run(&args),
        #[cfg(feature = "replay")]
        Command::Replay(args) => replay::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Extract(args) => extract::run(&args),
        #[cfg(feature = "live")]
        Command::Capture(args) => capture::run(*args),
        #[cfg(feature = "live")]
        Command::Interfaces(args) => interfaces::run(&args),
        Command::Schema { of } => schema(of),
        Command::Completions { shell } => completions(shell),
        Command::Man => man(),
    };
    match result {
        Ok(exit) => exit as u8,
        Err(error) if output::is_closed_pipe(&error) => 0,
        Err(error) => {
            output::complain(&format!("vpnscope: {error:#}"));
            2
        }
    }
}

/// The schema of what is written: a field that may be left out is not required.
fn schema_of<T: schemars::JsonSchema>() -> schemars::Schema {
    schemars::generate::SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<T>()
}

fn schema(of: SchemaOf) -> anyhow::Result<Exit> {
    let schema = match of {
        SchemaOf::Report => schema_of::<crate::report::Report>(),
        SchemaOf::Replay => schema_of::<crate::report::replay::ReplayReport>(),
        SchemaOf::Compare => schema_of::<crate::report::compare::CompareReport>(),
        SchemaOf::Explain => schema_of::<crate::explain::Explanation>(),
        SchemaOf::Decode => schema_of::<crate::report::decode::FrameReport>(),
    };
    let mut out = output::open(None)?;
    serde_json::to_writer_pretty(&mut out, &schema)?;
    output::close(out)?;
    Ok(Exit::Clean)
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<Exit> {
    let mut out = output::open(None)?;
    clap_complete::generate(shell, &mut command(), "vpnscope", &mut out);
    output::close(out)?;
    Ok(Exit::Clean)
}

fn man() -> anyhow::Result<Exit> {
    let mut out = output::open(None)?;
    clap_mangen::Man::new(command()).render(&mut out)?;
    output::close(out)?;
    Ok(Exit::Clean)
}

/// The command line as data.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}
