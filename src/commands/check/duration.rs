//! The estimated time of a run.

use crate::commands::ExperimentOptions;
use crate::commands::training::{make_phantoms, training_error};
use crate::terminal::bar::Bar;
use crate::terminal::signals::{stop_flag, stop_on_signals};
use crate::terminal::{CliError, Exit, output};
use dataset::cache::Cache;
use engine::experiment::plan::Plan;
use engine::training::estimate::{TimeEstimate, estimate};
use engine::training::validate;
use run_folder::event::Listener;

/// Times a few steps of a run and prints how long all of it will take. Nothing is written but a temporary folder in the
/// cache.
pub(super) fn print(plan: &Plan, common: &ExperimentOptions) -> Result<Exit, CliError> {
    stop_on_signals()?;
    let cache_dir = common.cache.path();
    let mut bar = Bar::new(validate::columns(plan), 1, 1, common.quiet);
    make_phantoms(plan, &cache_dir, &mut bar)?;
    let (cache, _guard) = Cache::temporary(&cache_dir).map_err(|error| CliError::failure(&error))?;
    let estimate = estimate(plan, &cache, stop_flag(), &mut |event| {
        // An error of the terminal must not fail the command.
        let _ = bar.record(&event);
    });
    drop(bar);
    match estimate.map_err(|error| training_error(&error))? {
        Some(estimate) => output::text(text(plan, &estimate)),
        None => return Ok(Exit::Stopped),
    }
    Ok(Exit::Done)
}

/// Describes an estimate in lines like those of the plan.
fn text(plan: &Plan, estimate: &TimeEstimate) -> String {
    let steps = if estimate.num_steps == 1 { "1 step".to_owned() } else { format!("{} steps", estimate.num_steps) };
    let validate = &plan.experiment.validate;
    let every = |epochs: usize| match epochs {
        1 => "after every epoch".to_owned(),
        count => format!("every {count} epochs"),
    };
    let mut lines = vec![
        format!("about {} for the whole run, estimated from {steps} on this machine", duration(estimate.total)),
        format!("preprocessing {}, once; subjects in the cache take no time", duration(estimate.preprocessing)),
        format!(
            "training {} per step, {} per epoch of {} steps; one thread makes a patch in {}",
            duration(estimate.step),
            duration(estimate.epoch),
            plan.steps_per_epoch,
            duration(estimate.patch)
        ),
    ];
    if estimate.patch_validation > 0.0 {
        let every = every(validate.every_epochs.get());
        lines.push(format!("validation on patches {}, {every}", duration(estimate.patch_validation)));
    }
    if estimate.volume_validation > 0.0 {
        let every = every(plan.experiment.volume_interval());
        let without = if estimate.includes_metrics { "" } else { " and without the time of the metrics" };
        lines.push(format!("validation on whole volumes {}, {every}{without}", duration(estimate.volume_validation)));
    }
    let name = |index: usize| if index == 0 { "time" } else { "" };
    lines.iter().enumerate().map(|(index, line)| format!("{:<18}{line}\n", name(index))).collect()
}

/// Formats a duration with two significant units, such as `3 h 20 min`.
fn duration(seconds: f64) -> String {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 60.0 * MINUTE;
    const DAY: f64 = 24.0 * HOUR;
    let two = |large: f64, small: f64, [one, other]: [&str; 2]| {
        // Rounded first, so that 59.9 minutes become an hour.
        let total = (seconds / small).round() as u64;
        let per_large = (large / small) as u64;
        match (total / per_large, total % per_large) {
            (large, 0) => format!("{large} {one}"),
            (large, small) => format!("{large} {one} {small} {other}"),
        }
    };
    if seconds < 0.0995 {
        format!("{} ms", values::format_number(1e3 * seconds))
    } else if seconds < MINUTE - 0.05 {
        format!("{} s", values::format_number(seconds))
    } else if seconds < HOUR - 0.5 {
        two(MINUTE, 1.0, ["min", "s"])
    } else if seconds < DAY - MINUTE / 2.0 {
        two(HOUR, MINUTE, ["h", "min"])
    } else {
        two(DAY, HOUR, ["d", "h"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        for (seconds, expected) in [
            (0.0042, "4.2 ms"),
            (0.5, "0.5 s"),
            (12.34, "12.3 s"),
            (59.97, "1 min"),
            (75.0, "1 min 15 s"),
            (3_599.9, "1 h"),
            (12_000.0, "3 h 20 min"),
            (86_399.0, "1 d"),
            (100_000.0, "1 d 4 h"),
        ] {
            assert_eq!(duration(seconds), expected, "{seconds}");
        }
    }
}
