//! `runner cache`: what preprocessed volumes take on disk.

use clap::{Args, Subcommand};

use super::{CacheFolder, CliError, Exit};

/// Arguments of `runner cache`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    folder: CacheFolder,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// List the volumes, the default.
    List,
    /// Remove the volumes; runs make again what they need.
    Clear,
}

/// Lists or removes the volumes.
pub fn execute(arguments: &Arguments) -> Result<Exit, CliError> {
    let folder = arguments.folder.path();
    let cache = arguments.folder.open();
    match arguments.action.unwrap_or(Action::List) {
        Action::List => {
            let entries = cache.list().map_err(|error| CliError::failure(&error))?;
            for entry in &entries {
                say!("{:>10.1} MB  {}", entry.bytes as f64 / 1e6, entry.path.display());
            }
            let total: u64 = entries.iter().map(|entry| entry.bytes).sum();
            let limit = arguments.folder.limit();
            say!(
                "{:>10.1} MB  {} volumes in {}, of at most {limit}",
                total as f64 / 1e6,
                entries.len(),
                folder.display()
            );
        }
        Action::Clear => {
            let freed = cache.clear().map_err(|error| CliError::failure(&error))?;
            say!("{:.1} MB freed in {}", freed as f64 / 1e6, folder.display());
        }
    }
    Ok(Exit::Done)
}
