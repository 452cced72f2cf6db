//! `runner sweep --dry-run`: the runs with estimates of time and disk space.

use super::{Checked, SweepArgs, keys, show, status, values};
use crate::terminal::bar::duration;
use crate::terminal::table::table;
use crate::terminal::{CliError, Exit};
use sweep::estimate::{History, Stopwatch, cache_bytes, run_bytes};
use sweep::run_state::{self, RunState};

/// Prints a line for each run: its status, what differs, and an estimate of time and disk space.
pub(super) fn print(checked: &Checked, arguments: &SweepArgs) -> Result<Exit, CliError> {
    let Checked { points, folder, sweep, definition } = checked;
    let runs = run_state::read(folder, &definition.ids).map_err(|error| CliError::failure(&error))?;
    let history = History::read(folder.root(), |document| arguments.common.plan(document).ok());
    let mut stopwatch = Stopwatch::default();
    let keys = keys(points.iter().map(|point| &point.record.changes));
    let (mut rows, mut seconds_left, mut bytes_left, mut timed) = (Vec::new(), Vec::new(), 0, false);
    for (point, run) in points.iter().zip(&runs) {
        let seconds = match history.seconds(&point.plan) {
            Some(seconds) => seconds,
            None => {
                timed = true;
                stopwatch.seconds(&point.plan).map_err(|error| CliError::failure(&error))?
            }
        };
        let bytes = run_bytes(&point.plan);
        let epochs = point.plan.experiment.train.epochs.get();
        let done = if run.run_state == RunState::Done { epochs } else { run.epochs };
        seconds_left.push(seconds * epochs.saturating_sub(done) as f64 / epochs as f64);
        bytes_left += if run.run_state == RunState::Waiting { bytes } else { 0 };
        let start = [point.record.id.clone(), run.run_state.word().to_owned()].into_iter();
        let end = [epochs.to_string(), duration(seconds), megabytes(bytes)];
        rows.push(start.chain(values(&point.record.changes, &keys)).chain(end).collect());
    }
    let header = ["run", "status"].map(str::to_owned).into_iter().chain(keys);
    let header: Vec<String> = header.chain(["epochs", "time", "disk"].map(str::to_owned)).collect();
    show(&table(&header, &rows));
    let jobs = arguments.jobs(sweep).unwrap_or_else(|| arguments.devices(sweep).len().max(1));
    let cache = points.iter().map(|point| cache_bytes(&point.plan)).max().unwrap_or(0);
    outln!("{}", status::summary(&runs));
    let with_jobs = match jobs {
        1 => String::new(),
        jobs => format!(", {} with {jobs} jobs", duration(seconds_with_jobs(&seconds_left, jobs))),
    };
    let total = duration(seconds_left.iter().sum());
    outln!("about {total} of training left{with_jobs}; {} of disk", megabytes(bytes_left));
    outln!("preprocessed volumes take up to {} in the cache, which runs share", megabytes(cache));
    let basis = if timed { "one small timed step on this machine" } else { "finished runs" };
    outln!(
        "times are estimated from {basis}{}",
        if jobs > 1 { ", assuming that jobs do not slow each other down" } else { "" }
    );
    Ok(Exit::Done)
}

/// Returns how long runs take if each starts in the first of some jobs that is free.
fn seconds_with_jobs(runs: &[f64], jobs: usize) -> f64 {
    let mut busy_until = vec![0.0; jobs.clamp(1, runs.len().max(1))];
    for seconds in runs {
        let first = busy_until.iter_mut().min_by(|a: &&mut f64, b| a.total_cmp(b)).expect("there is a job");
        *first += seconds;
    }
    busy_until.into_iter().fold(0.0, f64::max)
}

fn megabytes(bytes: u64) -> String {
    match bytes as f64 / 1e6 {
        size if size >= 1000.0 => format!("{:.1} GB", size / 1000.0),
        size => format!("{size:.1} MB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_not_divided_among_jobs() {
        assert_eq!(seconds_with_jobs(&[36.0], 8), 36.0);
        assert_eq!(seconds_with_jobs(&[74.0; 6], 2), 222.0);
        assert_eq!(seconds_with_jobs(&[10.0, 0.0, 30.0], 2), 30.0);
        assert_eq!(seconds_with_jobs(&[], 2), 0.0);
    }
}
