//! Progress of a run: a bar on a terminal, lines of text elsewhere.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use report::format;
use run_folder::event::{Columns, EpochRecord, Event, Listener, StepRecord};

/// Interval between lines without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// With more scores than this, the line of an epoch shows only the means over labels.
const MAX_SCORES: usize = 8;

/// Shows the progress of a run on stderr.
#[derive(Debug)]
pub struct Bar {
    bar: Option<ProgressBar>,
    quiet: bool,
    columns: Columns,
    num_steps: usize,
    num_epochs: usize,
    steps_per_epoch: usize,
    /// Patches, seconds and waiting seconds of the last steps, with exponential decay.
    recent: [f64; 3],
    /// The latest score of whole validation volumes, in words.
    score: Option<String>,
    last_line: Instant,
}

impl Bar {
    /// Returns a bar for a run of `num_epochs` epochs.
    pub fn new(columns: Columns, num_epochs: usize, steps_per_epoch: usize, quiet: bool) -> Self {
        let num_steps = num_epochs * steps_per_epoch;
        let bar = (!quiet && io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{wide_bar:.cyan/blue} {msg}").expect("the template is valid");
            let bar = ProgressBar::new(num_steps as u64).with_style(style);
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let last_line = Instant::now();
        Self { bar, quiet, columns, num_steps, num_epochs, steps_per_epoch, recent: [0.0; 3], score: None, last_line }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None if !self.quiet => eprintln!("{text}"),
            None => {}
        }
    }

    /// Shows the current task: in the bar, or, without a terminal, as a line at intervals.
    fn status(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                self.line(text);
            }
            None => {}
        }
    }

    fn step(&mut self, record: &StepRecord) {
        const DECAY: f64 = 0.9;
        let new = [record.patches as f64, record.seconds, record.wait_seconds];
        for (recent, new) in self.recent.iter_mut().zip(new) {
            *recent = *recent * DECAY + new;
        }
        let [patches, seconds, waited] = self.recent;
        let steps_per_second = patches / seconds / record.patches as f64;
        let left = (self.num_steps - record.step.min(self.num_steps)) as f64 / steps_per_second;
        let score = self.score.as_ref().map(|score| format!(" · {score}")).unwrap_or_default();
        let text = format!(
            "epoch {}/{} · step {}/{} · loss {:.4}{score} · {:.1} patches/s · waiting {:.0} % · {} left",
            record.epoch,
            self.num_epochs,
            record.step - (record.epoch - 1) * self.steps_per_epoch,
            self.steps_per_epoch,
            record.train_loss,
            patches / seconds,
            100.0 * waited / seconds,
            duration(left),
        );
        if let Some(bar) = &self.bar {
            bar.set_position(record.step as u64);
        }
        self.status(&text);
    }

    fn epoch(&mut self, record: &EpochRecord) {
        let mut text = format!("epoch {}/{}: loss {:.4}", record.epoch, self.num_epochs, record.train_loss);
        if let Some(loss) = record.val_loss {
            text += &format!(", validation {loss:.4}");
        }
        let is_abridged = self.columns.metrics.len() > MAX_SCORES;
        for (name, score) in self.columns.metrics.iter().zip(&record.scores) {
            if let Some(score) = score.filter(|_| !is_abridged || name.ends_with("_mean")) {
                let value = format::column_value(name, score, &[]);
                text += &format!(", {} {value}", name.trim_start_matches("val_").replace('_', " "));
            }
        }
        if let Some((column, name)) = Columns::headline(&self.columns.metrics)
            && let Some(score) = record.scores.get(column).copied().flatten()
        {
            let value = format::column_value(&self.columns.metrics[column], score, &[]);
            self.score = Some(format!("{name} {value}"));
        }
        self.line(&format!("{text} ({})", duration(record.timing.seconds)));
    }
}

impl Listener for Bar {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Preparing { task, done, total } => self.status(&format!("{task} {done}/{total}")),
            Event::Step(record) => self.step(record),
            Event::Validating { done, total } => self.status(&format!("validating: volume {done}/{total}")),
            Event::Epoch(record) => self.epoch(record),
            Event::Warning(text) => match &self.bar {
                Some(bar) => bar.println(format!("warning: {text}")),
                None => eprintln!("warning: {text}"),
            },
            Event::Inputs(_) | Event::Case(_) | Event::Checkpoint { .. } | Event::Finished => {}
        }
        Ok(())
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Formats a duration, such as `45 s`, `12 min` or `3 h 20 min`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "unknown time".to_owned();
    }
    let seconds = seconds.round() as u64;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}
