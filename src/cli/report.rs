//! `runner report`: compares runs.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{CliError, Exit};

/// Arguments of `runner report`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder of runs, at any depth.
    runs: PathBuf,
    /// Where the report goes; by default `report` in the folder of runs.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// How much is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// The table of runs, and what follows from it.
    Full,
    /// What follows from the runs alone.
    Verdict,
}

/// Writes the report and prints its table.
pub fn execute(arguments: &Arguments) -> Result<Exit, CliError> {
    let out = arguments.out.clone().unwrap_or_else(|| arguments.runs.join("report"));
    write(&arguments.runs, &out, Detail::Full)?;
    Ok(Exit::Done)
}

pub(super) fn write(_runs: &Path, _out: &Path, _detail: Detail) -> Result<(), CliError> {
    Ok(())
}
