//! Keeps the plots of a run up to date while it trains.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use report::plots;
use run_folder::event::{Event, Listener};
use run_folder::folder::RunFolder;

/// The minimum interval between two drawings, each of which takes a fraction of a second.
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// Draws the plots after epochs, and once more at the end.
#[derive(Debug)]
pub struct Plots {
    root: PathBuf,
    title: String,
    last: Option<Instant>,
    pending: bool,
}

impl Plots {
    /// Creates a listener for the plots of a run.
    pub fn new(folder: &RunFolder, title: &str) -> Self {
        Self { root: folder.root().to_owned(), title: title.to_owned(), last: None, pending: false }
    }

    fn draw(&mut self) -> io::Result<()> {
        self.pending = false;
        self.last = Some(Instant::now());
        plots::draw_learning_curves(&self.root, &self.title).map_err(io::Error::other)
    }
}

impl Listener for Plots {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Epoch(_) if self.last.is_none_or(|last| last.elapsed() >= MIN_INTERVAL) => self.draw(),
            Event::Epoch(_) => {
                self.pending = true;
                Ok(())
            }
            Event::Finished if self.pending => self.draw(),
            _ => Ok(()),
        }
    }
}
