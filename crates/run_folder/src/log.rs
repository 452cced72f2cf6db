//! `log.txt`: the events of a run with their times.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use super::event::{Event, Listener};
use super::folder::{RunFolder, naming};
use super::manifest::now;

/// Appends lines to `log.txt`: progress, epochs, checkpoints and warnings.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the file to append to it.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(folder: &RunFolder) -> io::Result<Self> {
        let path = folder.file("log.txt");
        let file = File::options().create(true).append(true).open(&path).map_err(naming(&path))?;
        Ok(Self { path, file })
    }

    /// Appends a line with the time.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.file, "{} {text}", now()).map_err(naming(&self.path))
    }
}

impl Listener for Log {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Preparing { task, done, total } if done == total => self.line(&format!("{task}: {total} done")),
            Event::Epoch(epoch) => {
                let loss = epoch.val_loss.map(|loss| format!(", validation loss {loss:.4}")).unwrap_or_default();
                let seconds = epoch.timing.seconds;
                self.line(&format!("epoch {}: loss {:.4}{loss}, {seconds:.1} s", epoch.epoch, epoch.train_loss))
            }
            Event::Checkpoint { path, best } => {
                self.line(&format!("checkpoint {}{}", path.display(), if *best { ", the best so far" } else { "" }))
            }
            Event::Warning(text) => self.line(&format!("warning: {text}")),
            Event::Finished => self.line("ended"),
            Event::Preparing { .. } | Event::Inputs(_) | Event::Step(_) | Event::Case(_) | Event::Validating { .. } => {
                Ok(())
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data().map_err(naming(&self.path))
    }
}
