//! Event files for TensorBoard: the same scalars as the CSV files.
//!
//! When a run is resumed, the events after its checkpoint are removed from the files of earlier processes, as they are from
//! the tables, so that no step is there twice.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::event::{Columns, Event, Listener};
use super::folder::{RunFolder, naming, write_atomically};
use super::manifest::host;
use super::records::Position;

mod encode;

use encode::{bytes_field, record, records, scalar_event, scalar_of, time_field};

/// The beginning of the name of every event file.
const PREFIX: &str = "events.out.tfevents.";

/// The tags of scalars of a step; all others are of an epoch.
const STEP_TAGS: [&str; 2] = ["loss/step", "grad_norm"];

/// Writes an event file for TensorBoard.
#[derive(Debug)]
pub struct TensorBoard {
    path: PathBuf,
    file: BufWriter<File>,
    columns: Columns,
}

impl TensorBoard {
    /// Removes the events after `position` from earlier files, and creates a new one; TensorBoard joins those of one folder.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn open(folder: &RunFolder, columns: &Columns, position: Position) -> io::Result<Self> {
        truncate(&folder.tensorboard(), position)?;
        let name = format!("{PREFIX}{:.0}.{}.{}", seconds(), host(), std::process::id());
        let path = folder.tensorboard().join(name);
        let file = BufWriter::new(File::create(&path).map_err(naming(&path))?);
        let mut board = Self { path, file, columns: columns.clone() };
        let mut event = time_field(seconds());
        bytes_field(&mut event, 3, b"brain.Event:2");
        board.write(&event)?;
        board.sync()?;
        Ok(board)
    }

    fn scalar(&mut self, tag: &str, step: usize, value: f64) -> io::Result<()> {
        self.write(&scalar_event(time_field(seconds()), tag, step, value))
    }

    fn write(&mut self, event: &[u8]) -> io::Result<()> {
        self.file.write_all(&record(event)).map_err(naming(&self.path))
    }
}

impl Listener for TensorBoard {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Step(step) => {
                self.scalar(STEP_TAGS[0], step.step, step.train_loss)?;
                self.scalar(STEP_TAGS[1], step.step, step.grad_norm)
            }
            Event::Epoch(epoch) => {
                self.scalar("learning_rate", epoch.step, epoch.learning_rate)?;
                self.scalar("loss/train", epoch.step, epoch.train_loss)?;
                let scores = self.columns.metrics.clone().into_iter().zip(epoch.scores.iter().copied());
                let named = scores.map(|(name, score)| (name.replacen("val_", "val/", 1), score));
                let named: Vec<_> = named.chain([("loss/val".to_owned(), epoch.val_loss)]).collect();
                for (name, score) in named {
                    if let Some(score) = score {
                        self.scalar(&name, epoch.step, score)?;
                    }
                }
                self.sync()
            }
            _ => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.flush().map_err(naming(&self.path))
    }
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Removes the events after a position, and torn ones, from the event files of a folder. Files without scalars are deleted.
fn truncate(folder: &Path, position: Position) -> io::Result<()> {
    for entry in fs::read_dir(folder).map_err(naming(folder))? {
        let path = entry?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)) {
            continue;
        }
        let bytes = fs::read(&path).map_err(naming(&path))?;
        let is_kept = |record: &&[u8]| match scalar_of(record) {
            Some((tag, step)) if STEP_TAGS.contains(&tag) => step <= position.steps as u64,
            // The values of an epoch have the step at its end.
            Some((_, step)) => step <= position.steps_of_epochs as u64,
            None => true,
        };
        let kept: Vec<&[u8]> = records(&bytes).into_iter().filter(is_kept).collect();
        if !kept.iter().any(|record| scalar_of(record).is_some()) {
            fs::remove_file(&path).map_err(naming(&path))?;
            continue;
        }
        let kept = kept.concat();
        if kept.len() < bytes.len() {
            write_atomically(&path, &kept).map_err(io::Error::other)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EpochRecord, StepRecord, Timing};

    fn columns() -> Columns {
        Columns { metrics: vec!["val_dice_mean".into()], cases: vec![] }
    }

    fn step(step: usize) -> Event {
        let epoch = step.div_ceil(2);
        let (train_loss, grad_norm, seconds) = (0.5, 1.0, 1.0);
        Event::Step(StepRecord { epoch, step, train_loss, grad_norm, patches: 2, seconds, wait_seconds: 0.0 })
    }

    fn epoch(epoch: usize) -> Event {
        Event::Epoch(EpochRecord {
            epoch,
            step: 2 * epoch,
            learning_rate: 1e-4,
            train_loss: 0.5,
            val_loss: None,
            scores: vec![Some(0.25)],
            timing: Timing::default(),
        })
    }

    /// Returns the steps of a tag in all files.
    fn steps(folder: &RunFolder, tag: &str) -> Vec<u64> {
        let mut steps = Vec::new();
        for entry in fs::read_dir(folder.tensorboard()).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            let of_tag = records(&bytes).into_iter().filter_map(scalar_of).filter(|(own, _)| *own == tag);
            steps.extend(of_tag.map(|(_, step)| step).collect::<Vec<_>>());
        }
        steps.sort_unstable();
        steps
    }

    /// Writes three epochs of two steps; epoch 2 is over, but its checkpoint is from before its validation.
    fn killed_run() -> (tempfile::TempDir, RunFolder) {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(runs.path(), "name", "id").unwrap();
        let mut board = TensorBoard::open(&folder, &columns(), Position::default()).unwrap();
        for event in [step(1), step(2), epoch(1), step(3), step(4), epoch(2), step(5)] {
            board.record(&event).unwrap();
        }
        board.sync().unwrap();
        // An earlier process of the test, which has another name.
        fs::rename(&board.path, folder.tensorboard().join(format!("{PREFIX}1.host.1"))).unwrap();
        (runs, folder)
    }

    #[test]
    fn no_step_is_there_twice_after_a_run_is_resumed() {
        let (_runs, folder) = killed_run();
        let position = Position { epochs: 1, steps: 4, steps_of_epochs: 2 };
        let mut board = TensorBoard::open(&folder, &columns(), position).unwrap();
        for event in [epoch(2), step(5), step(6), epoch(3)] {
            board.record(&event).unwrap();
        }
        board.sync().unwrap();
        assert_eq!(steps(&folder, "loss/step"), [1, 2, 3, 4, 5, 6]);
        assert_eq!(steps(&folder, "grad_norm"), [1, 2, 3, 4, 5, 6]);
        for tag in ["loss/train", "learning_rate", "val/dice_mean"] {
            assert_eq!(steps(&folder, tag), [2, 4, 6], "{tag}");
        }
    }

    #[test]
    fn a_run_that_starts_again_keeps_no_event_and_a_torn_one_is_removed() {
        let (_runs, folder) = killed_run();
        let path = folder.tensorboard().join(format!("{PREFIX}1.host.1"));
        let mut torn = fs::read(&path).unwrap();
        torn.extend([9, 0, 0]);
        fs::write(&path, &torn).unwrap();
        let all = Position { epochs: 9, steps: 99, steps_of_epochs: 99 };
        drop(TensorBoard::open(&folder, &columns(), all).unwrap());
        assert_eq!(fs::read(&path).unwrap(), torn[..torn.len() - 3]);
        drop(TensorBoard::open(&folder, &columns(), Position::default()).unwrap());
        assert!(!path.exists());
        assert_eq!(steps(&folder, "loss/step"), [0; 0]);
    }
}
