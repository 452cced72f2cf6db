//! `runner cache`: lists or clears the cache of preprocessed volumes.

use clap::{Args, Subcommand};

use super::{CacheOptions, Execute};
use crate::terminal::{CliError, Exit};

/// List or clear the cache of preprocessed volumes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner cache
  runner cache clear")]
pub struct CacheArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    folder: CacheOptions,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// List the cached volumes (default).
    List,
    /// Remove all cached volumes; the next run recomputes those that it needs.
    Clear,
}

impl Execute for CacheArgs {
    /// Lists or removes the volumes.
    fn execute(&self) -> Result<Exit, CliError> {
        let folder = self.folder.path();
        let cache = self.folder.open();
        match self.action.unwrap_or(Action::List) {
            Action::List => {
                let entries = cache.list().map_err(|error| CliError::failure(&error))?;
                for entry in &entries {
                    outln!("{:>10.1} MB  {}", entry.bytes as f64 / 1e6, entry.path.display());
                }
                let total: u64 = entries.iter().map(|entry| entry.bytes).sum();
                let limit = self.folder.limit();
                outln!(
                    "{:>10.1} MB  {} volumes in {}, of at most {limit}",
                    total as f64 / 1e6,
                    entries.len(),
                    folder.display()
                );
            }
            Action::Clear => {
                let freed = cache.clear().map_err(|error| CliError::failure(&error))?;
                outln!("{:.1} MB freed in {}", freed as f64 / 1e6, folder.display());
            }
        }
        Ok(Exit::Done)
    }
}
