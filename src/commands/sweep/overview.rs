//! Progress of a sweep on the terminal: a bar over all runs and a line for each one that is training.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{changed, keys, status};
use crate::terminal::bar::duration;
use report::format::count;
use sweep::claim::RunProgress;
use sweep::launch::Overview;
use sweep::points::Point;
use sweep::run_state::{RunState, Score, SweepRun};

/// Interval between lines without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Shows the progress of a sweep on stderr.
pub(super) struct Display {
    /// The changes of each run.
    names: BTreeMap<String, String>,
    /// The last reported state of each run.
    reported: BTreeMap<String, &'static str>,
    bars: Option<Bars>,
    quiet: bool,
    last_line: Instant,
}

struct Bars {
    all: MultiProgress,
    overview: ProgressBar,
    jobs: BTreeMap<String, ProgressBar>,
}

impl Display {
    /// Returns a display of these runs.
    pub fn new(points: &[Point], quiet: bool) -> Self {
        let keys = keys(points.iter().map(|point| &point.record.changes));
        let names = points.iter().map(|point| {
            let record = &point.record;
            (record.id.clone(), changed(&record.changes, &keys))
        });
        let bars = (!quiet && io::stderr().is_terminal()).then(|| {
            let all = MultiProgress::new();
            let style = ProgressStyle::with_template("{wide_bar:.cyan/blue} {msg}").expect("the template is valid");
            let overview = all.add(ProgressBar::new(points.len() as u64).with_style(style));
            Bars { all, overview, jobs: BTreeMap::new() }
        });
        Self { names: names.collect(), reported: BTreeMap::new(), bars, quiet, last_line: Instant::now() }
    }

    /// Shows the state of the sweep.
    pub fn show(&mut self, overview: &Overview) {
        for run in overview.runs {
            self.report_change(run, overview.own.contains(&run.id.as_str()));
        }
        match &mut self.bars {
            Some(bars) => bars.show(overview, &self.names),
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                let own = overview.runs.iter().filter(|run| overview.own.contains(&run.id.as_str()));
                let lines: Vec<String> = own.map(|run| format!("{} {}", run.id, line(run))).collect();
                self.line(&format!("{} · {}", status::summary(overview.runs), lines.join(" · ")));
            }
            None => {}
        }
    }

    /// Reports once that a run has started or ended.
    fn report_change(&mut self, run: &SweepRun, is_own: bool) {
        let word = run.run_state.word();
        let Some(before) = self.reported.insert(run.id.clone(), word).filter(|before| *before != word) else {
            return;
        };
        let name = self.names.get(&run.id).cloned().unwrap_or_default();
        let score = run.score.as_ref().map(|score| format!(", {score}")).unwrap_or_default();
        let text = match &run.run_state {
            RunState::Running { host, .. } if !is_own => format!("{} ({name}) runs on {host}", run.id),
            RunState::Running { .. } if before == "interrupted" => format!("{} ({name}) resumes", run.id),
            RunState::Running { .. } => format!("{} ({name}) starts", run.id),
            RunState::Failed(reason) => format!("{} ({name}) failed: {reason}", run.id),
            RunState::Done | RunState::Pruned => {
                format!("{} ({name}) is {word} after {}{score}", run.id, count(run.epochs, "epoch"))
            }
            RunState::Interrupted { reason: None } => {
                format!("{} ({name}) was interrupted after {}", run.id, count(run.epochs, "epoch"))
            }
            RunState::Interrupted { reason: Some(reason) } => format!("{} ({name}) is not restarted: {reason}", run.id),
            RunState::Waiting => return,
        };
        self.line(&text);
    }

    fn line(&self, text: &str) {
        match &self.bars {
            // An error of the terminal must not fail the sweep.
            Some(bars) => drop(bars.all.println(text)),
            None if !self.quiet => eprintln!("{text}"),
            None => {}
        }
    }
}

impl Bars {
    fn show(&mut self, overview: &Overview, names: &BTreeMap<String, String>) {
        let has_ended =
            |run: &&SweepRun| matches!(run.run_state, RunState::Done | RunState::Pruned | RunState::Failed(_));
        self.overview.set_position(overview.runs.iter().filter(has_ended).count() as u64);
        self.overview.set_message(status::summary(overview.runs));
        self.jobs.retain(|id, bar| {
            let is_running = overview.own.contains(&id.as_str());
            if !is_running {
                bar.finish_and_clear();
            }
            is_running
        });
        for run in overview.runs.iter().filter(|run| overview.own.contains(&run.id.as_str())) {
            let bar = self.jobs.entry(run.id.clone()).or_insert_with(|| {
                let style =
                    ProgressStyle::with_template("{bar:12.cyan/blue} {wide_msg}").expect("the template is valid");
                self.all.add(ProgressBar::new(1).with_style(style))
            });
            if let RunState::Running { progress, .. } = &run.run_state {
                bar.set_length(progress.steps.max(1) as u64);
                bar.set_position(progress.step as u64);
            }
            bar.set_message(format!("{} · {}", names.get(&run.id).map_or("", String::as_str), line(run)));
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.jobs.values().for_each(ProgressBar::finish_and_clear);
        self.overview.finish_and_clear();
    }
}

/// Formats the progress of a run in a line.
fn line(run: &SweepRun) -> String {
    let RunState::Running { progress, .. } = &run.run_state else { return run.run_state.word().to_owned() };
    let RunProgress { task, epoch, epochs, loss, .. } = progress;
    let mut parts = vec![match task {
        Some(task) => task.clone(),
        None if *epoch == 0 => "starting".to_owned(),
        None => format!("epoch {epoch}/{epochs}"),
    }];
    parts.extend(loss.map(|loss| format!("loss {loss:.4}")));
    parts.extend(run.score.as_ref().map(Score::to_string));
    parts.extend(progress.seconds_left().map(|seconds| format!("{} left", duration(seconds))));
    parts.join(" · ")
}
