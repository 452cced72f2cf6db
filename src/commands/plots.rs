//! Keeps the plots of a run up to date while it trains.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use metrics::Metric;
use report::plots;
use run_folder::event::{Event, Listener};
use run_folder::folder::RunFolder;

/// The minimum interval between two drawings.
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// The minimum interval in multiples of the time of a drawing, which grows with the number of metrics.
const MIN_INTERVAL_FACTOR: u32 = 30;

/// Draws the plots after epochs, and once more at the end.
#[derive(Debug)]
pub struct Plots {
    root: PathBuf,
    title: String,
    metrics: Vec<Metric>,
    last: Option<Instant>,
    min_interval: Duration,
    pending: bool,
}

impl Plots {
    /// Creates a listener for the plots of a run with some metrics.
    pub fn new(folder: &RunFolder, title: &str, metrics: &[Metric]) -> Self {
        let (root, title, metrics) = (folder.root().to_owned(), title.to_owned(), metrics.to_vec());
        Self { root, title, metrics, last: None, min_interval: MIN_INTERVAL, pending: false }
    }

    fn draw(&mut self) -> io::Result<()> {
        self.pending = false;
        let start = Instant::now();
        self.last = Some(start);
        plots::draw_learning_curves(&self.root, &self.title, &self.metrics).map_err(io::Error::other)?;
        self.min_interval = MIN_INTERVAL.max(MIN_INTERVAL_FACTOR * start.elapsed());
        Ok(())
    }
}

impl Listener for Plots {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Epoch(_) if self.last.is_none_or(|last| last.elapsed() >= self.min_interval) => self.draw(),
            Event::Epoch(_) => {
                self.pending = true;
                Ok(())
            }
            Event::Finished if self.pending => self.draw(),
            _ => Ok(()),
        }
    }
}
