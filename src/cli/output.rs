//! Where output goes.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use anyhow::Context as _;

use super::Color;
use crate::render::escape::harmless;

/// Standard output or a file, buffered.
pub(super) type Out = BufWriter<Box<dyn Write>>;

/// Opens the output.
pub(super) fn open(path: Option<&Path>) -> anyhow::Result<Out> {
    let sink: Box<dyn Write> = match path {
        Some(path) => Box::new(
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
        ),
        None => Box::new(io::stdout()),
    };
    Ok(BufWriter::with_capacity(64 * 1024, sink))
}

/// Flushes the output.
pub(super) fn close(mut out: Out) -> io::Result<()> {
    out.flush()
}

/// Says something about the input or the machine, never into the data.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{}", harmless(text));
}

/// Whether the reader of our output has gone.
pub(super) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let json = cause
            .downcast_ref::<serde_json::Error>()
            .and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}

/// Whether to use colour.
pub(super) fn coloured(choice: Color, to_file: bool) -> bool {
    match choice {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            !to_file
                && io::stdout().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        }
    }
}

/// A progress bar for inputs that take long, on a terminal only.
pub(super) struct Progress {
    bar: Option<indicatif::ProgressBar>,
}

impl Progress {
    /// A bar over the size of the files, where that is known.
    pub(super) fn new(files: &[std::path::PathBuf], common: &super::Common) -> Self {
        let size: u64 = files
            .iter()
            .filter_map(|path| path.metadata().ok())
            .map(|meta| meta.len())
            .sum();
        // Below this size the whole run is a matter of a moment.
        let wanted = size > 200_000_000
            && io::stderr().is_terminal()
            && !matches!(common.color, Color::Never);
        Self {
            bar: wanted.then(|| indicatif::ProgressBar::new(size)),
        }
    }

    /// How many octets were read.
    pub(super) fn at(&self, octets: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(octets);
        }
    }

    /// The end.
    pub(super) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
