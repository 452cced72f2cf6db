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
    let (mut rows, mut seconds_left, mut bytes_left, mut timed) = (Vec::new(), 0.0, 0, false);
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
        seconds_left += seconds * epochs.saturating_sub(done) as f64 / epochs as f64;
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
        jobs => format!(", {} with {jobs} jobs", duration(seconds_left / jobs as f64)),
    };
    outln!("about {} of training left{with_jobs}; {} of disk", duration(seconds_left), megabytes(bytes_left));
    outln!("preprocessed volumes take up to {} in the cache, which runs share", megabytes(cache));
    let basis = if timed { "one small timed step on this machine" } else { "finished runs" };
    outln!(
        "times are estimated from {basis}{}",
        if jobs > 1 { ", assuming that jobs do not slow each other down" } else { "" }
    );
    Ok(Exit::Done)
}

fn megabytes(bytes: u64) -> String {
    match bytes as f64 / 1e6 {
        size if size >= 1000.0 => format!("{:.1} GB", size / 1000.0),
        size => format!("{size:.1} MB"),
    }
}
