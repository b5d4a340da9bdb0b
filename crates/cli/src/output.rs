//! Data for stdout. `println!` would panic when nobody reads on, as in `… | head`.

use anyhow::anyhow;
use std::fmt::Display;
use std::io::Write;

/// Writes to stdout at once.
pub(crate) fn show(text: impl Display) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    let written = write!(stdout, "{text}").and_then(|()| stdout.flush());
    written.map_err(|error| anyhow!("cannot write to stdout: {error}"))
}

/// Writes a line to stdout.
pub(crate) fn line(text: impl Display) -> anyhow::Result<()> {
    show(format_args!("{text}\n"))
}
