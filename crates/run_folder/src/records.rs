//! Writes `metrics.csv`, `steps.csv`, `cases.csv` and `timing.csv` while a run trains.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, Writer};

use super::event::{CaseRecord, Columns, EpochRecord, Event, Listener, StepRecord};
use super::folder::{RunFolder, naming, write_atomically};

/// The four CSV files of a run.
#[derive(Debug)]
pub struct Records {
    metrics: Table,
    steps: Table,
    cases: Table,
    timing: Table,
}

/// The position of a run at its checkpoint; later rows are removed when it is resumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The number of complete epochs.
    pub epochs: usize,
    /// The number of optimizer steps.
    pub steps: usize,
    /// The number of optimizer steps in the complete epochs.
    pub steps_of_epochs: usize,
}

#[derive(Debug)]
struct Table {
    path: PathBuf,
    writer: Writer<File>,
}

impl Records {
    /// Opens the tables; rows after `position` and an incomplete last line are removed.
    ///
    /// # Errors
    /// When a file cannot be read or written, or has other columns than this run.
    pub fn open(folder: &RunFolder, columns: &Columns, position: Position) -> io::Result<Self> {
        let metrics = ["epoch", "step", "learning_rate", "train_loss", "val_loss"];
        let metrics = metrics.iter().map(|name| (*name).to_owned()).chain(columns.metrics.iter().cloned());
        let cases = ["epoch", "subject"].iter().map(|name| (*name).to_owned()).chain(columns.cases.iter().cloned());
        let fixed = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let timing = [
            "epoch",
            "seconds",
            "train_seconds",
            "validate_seconds",
            "wait_seconds",
            "patches_per_second",
            "peak_memory_bytes",
        ];
        let by_epoch = |row: &StringRecord| number(row, 0).is_some_and(|epoch| epoch <= position.epochs);
        let by_step = |row: &StringRecord| number(row, 1).is_some_and(|step| step <= position.steps);
        let (epochs, steps) = (Some(position.epochs), Some(position.steps));
        let step_columns = fixed(&["epoch", "step", "train_loss", "grad_norm"]);
        Ok(Self {
            metrics: Table::open(&folder.file("metrics.csv"), &metrics.collect::<Vec<_>>(), epochs, by_epoch)?,
            steps: Table::open(&folder.file("steps.csv"), &step_columns, steps, by_step)?,
            cases: Table::open(&folder.file("cases.csv"), &cases.collect::<Vec<_>>(), None, by_epoch)?,
            timing: Table::open(&folder.file("timing.csv"), &fixed(&timing), None, by_epoch)?,
        })
    }
}

fn number(row: &StringRecord, column: usize) -> Option<usize> {
    row.get(column)?.parse().ok()
}

impl Table {
    /// Opens a table and removes rows for which `keep` is false; `expected` is the number of rows that must remain.
    fn open(
        path: &Path,
        header: &[String],
        expected: Option<usize>,
        keep: impl Fn(&StringRecord) -> bool,
    ) -> io::Result<Self> {
        let mut rows = 0;
        let mut kept = Writer::from_writer(Vec::new());
        kept.write_record(header)?;
        match std::fs::read(path) {
            Ok(bytes) if !bytes.is_empty() => {
                // An incomplete last line was being written when the process was killed.
                let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                let mut reader = ReaderBuilder::new().flexible(true).from_reader(&bytes[..whole]);
                let columns = reader.headers()?;
                if whole > 0 && columns.iter().ne(header.iter().map(String::as_str)) {
                    let columns = columns.iter().collect::<Vec<_>>().join(",");
                    let message = format!(
                        "{} has the columns {columns}, expected {}; the run was started with other metrics or labels",
                        path.display(),
                        header.join(",")
                    );
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
                for row in reader.records() {
                    let row = row?;
                    if row.len() == header.len() && keep(&row) {
                        kept.write_record(&row)?;
                        rows += 1;
                    }
                }
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if let Some(expected) = expected.filter(|expected| *expected != rows) {
            let message = format!(
                "{} has {rows} complete rows, but the checkpoint counts {expected}; restore the file, or start a new run",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let bytes = kept.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        write_atomically(path, &bytes).map_err(io::Error::other)?;
        let file = File::options().append(true).open(path)?;
        Ok(Self { path: path.to_owned(), writer: csv::WriterBuilder::new().has_headers(false).from_writer(file) })
    }

    fn write(&mut self, row: &[String]) -> io::Result<()> {
        let written = self.writer.write_record(row).map_err(io::Error::from).and_then(|()| self.writer.flush());
        written.map_err(naming(&self.path))
    }

    fn sync(&mut self) -> io::Result<()> {
        let synced = self.writer.flush().and_then(|()| self.writer.get_ref().sync_data());
        synced.map_err(naming(&self.path))
    }
}

/// Returns the shortest text that is parsed as the same number.
fn float(value: f64) -> String {
    value.to_string()
}

/// Returns the text of a cell, which is empty for a value that was not computed or is undefined.
fn cell(value: Option<f64>) -> String {
    value.map(float).unwrap_or_default()
}

impl Listener for Records {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Step(StepRecord { epoch, step, train_loss, grad_norm, .. }) => {
                self.steps.write(&[epoch.to_string(), step.to_string(), float(*train_loss), float(*grad_norm)])
            }
            Event::Case(CaseRecord { epoch, subject, scores }) => {
                let mut row = vec![epoch.to_string(), subject.clone()];
                row.extend(scores.iter().copied().map(cell));
                self.cases.write(&row)
            }
            Event::Epoch(record) => self.epoch(record),
            _ => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        [&mut self.metrics, &mut self.steps, &mut self.cases, &mut self.timing].into_iter().try_for_each(Table::sync)
    }
}

impl Records {
    fn epoch(&mut self, record: &EpochRecord) -> io::Result<()> {
        let mut row = vec![
            record.epoch.to_string(),
            record.step.to_string(),
            float(record.learning_rate),
            float(record.train_loss),
            cell(record.val_loss),
        ];
        row.extend(record.scores.iter().copied().map(cell));
        self.metrics.write(&row)?;
        let timing = &record.timing;
        self.timing.write(&[
            record.epoch.to_string(),
            float(timing.seconds),
            float(timing.train_seconds),
            float(timing.validate_seconds),
            float(timing.wait_seconds),
            float(timing.patches_per_second),
            timing.peak_memory_bytes.to_string(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        Columns { metrics: vec!["val_dice_liver".into(), "val_dice_mean".into()], cases: vec!["dice_liver".into()] }
    }

    fn step(epoch: usize, step: usize) -> Event {
        Event::Step(StepRecord {
            epoch,
            step,
            train_loss: 0.1 + 0.2,
            grad_norm: 1.0,
            patches: 2,
            seconds: 1.0,
            wait_seconds: 0.0,
        })
    }

    fn epoch(epoch: usize) -> Event {
        Event::Epoch(EpochRecord {
            epoch,
            step: 2 * epoch,
            learning_rate: 1e-4,
            train_loss: 0.5,
            val_loss: None,
            scores: vec![Some(0.25), None],
            timing: super::super::event::Timing::default(),
        })
    }

    fn folder() -> (tempfile::TempDir, RunFolder) {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(runs.path(), "name", "id").unwrap();
        (runs, folder)
    }

    #[test]
    fn floats_survive_a_round_trip_and_missing_ones_are_empty() {
        let (_runs, folder) = folder();
        let mut records = Records::open(&folder, &columns(), Position::default()).unwrap();
        records.record(&step(1, 1)).unwrap();
        records.record(&epoch(1)).unwrap();
        let steps = std::fs::read_to_string(folder.file("steps.csv")).unwrap();
        assert_eq!(steps, "epoch,step,train_loss,grad_norm\n1,1,0.30000000000000004,1\n");
        let metrics = std::fs::read_to_string(folder.file("metrics.csv")).unwrap();
        let header = "epoch,step,learning_rate,train_loss,val_loss,val_dice_liver,val_dice_mean";
        assert_eq!(metrics, format!("{header}\n1,2,0.0001,0.5,,0.25,\n"));
    }

    #[test]
    fn rows_after_the_checkpoint_and_incomplete_lines_are_removed() {
        let (_runs, folder) = folder();
        let mut records = Records::open(&folder, &columns(), Position::default()).unwrap();
        for number in 1usize..=4 {
            records.record(&step(number.div_ceil(2), number)).unwrap();
        }
        records.record(&epoch(1)).unwrap();
        records.record(&epoch(2)).unwrap();
        drop(records);
        let path = folder.file("steps.csv");
        let torn = std::fs::read_to_string(&path).unwrap() + "3,5,0.1";
        std::fs::write(&path, torn).unwrap();
        drop(Records::open(&folder, &columns(), Position { epochs: 1, steps: 3, steps_of_epochs: 2 }).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 4);
        assert_eq!(std::fs::read_to_string(folder.file("metrics.csv")).unwrap().lines().count(), 2);
    }

    #[test]
    fn a_table_with_missing_rows_is_an_error() {
        let (_runs, folder) = folder();
        let mut records = Records::open(&folder, &columns(), Position::default()).unwrap();
        records.record(&step(1, 1)).unwrap();
        drop(records);
        let error =
            Records::open(&folder, &columns(), Position { epochs: 0, steps: 2, steps_of_epochs: 0 }).unwrap_err();
        assert!(error.to_string().contains("steps.csv has 1 complete rows, but the checkpoint counts 2"), "{error}");
    }

    #[test]
    fn other_columns_are_an_error() {
        let (_runs, folder) = folder();
        drop(Records::open(&folder, &columns(), Position::default()).unwrap());
        let error = Records::open(&folder, &Columns::default(), Position::default()).unwrap_err();
        assert!(error.to_string().contains("other metrics or labels"), "{error}");
    }
}
