//! A report: runs compared, with the conclusion, and the files that show it.

use std::fs;
use std::io;
use std::path::Path;

use run_folder::folder::{RunError, write_atomically};

use crate::charts::Charts;
use crate::comparison::{Compared, Group, Subject, compare};
use crate::runs::Run;
use crate::verdict::Verdict;
use crate::{markdown, page, runs, tables};

/// A comparison of runs with its conclusions.
#[derive(Clone, Debug)]
pub struct Report {
    /// Groups of comparable runs, the largest group first.
    pub groups: Vec<(Group, Verdict)>,
    /// Run folders that cannot be read, each with the reason.
    pub unreadable: Vec<(String, String)>,
}

impl Report {
    /// Reads and compares all runs below a folder.
    ///
    /// # Errors
    /// If the folder cannot be read. An unreadable run is listed in [`Report::unreadable`] instead.
    pub fn read(root: &Path, compared: impl Into<Compared>) -> io::Result<Self> {
        let found = runs::find(root)?;
        Ok(Self { unreadable: found.unreadable, ..Self::of(found.runs, compared) })
    }

    /// Compares runs.
    pub fn of(runs: Vec<Run>, compared: impl Into<Compared>) -> Self {
        let groups = compare(runs, compared).into_iter().map(|group| {
            let verdict = Verdict::of(&group);
            (group, verdict)
        });
        Self { groups: groups.collect(), unreadable: Vec::new() }
    }

    /// Returns the names of the metrics that any run declares or has scores of.
    pub fn metric_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for run in self.groups.iter().flat_map(|(group, _)| &group.runs) {
            names.extend(run.run.metric_names());
        }
        names.sort();
        names.dedup();
        names
    }

    /// Writes `summary.csv`, `cases.csv`, `comparisons.csv`, `report.md`, `report.html` and `plots/*.svg`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path, title: &str) -> Result<(), RunError> {
        let plots = folder.join("plots");
        create_plots_folder(folder, &plots).map_err(|source| RunError::Write { path: plots.clone(), source })?;
        let groups: Vec<&Group> = self.groups.iter().map(|(group, _)| group).collect();
        tables::write_summary(&folder.join("summary.csv"), &groups)?;
        // Each metric of predictions has a group of the same cases.
        let has_same_cases = groups.first().is_some_and(|group| group.subject == Subject::Predictions);
        let distinct = if has_same_cases { &groups[..1] } else { &groups[..] };
        tables::write_cases(&folder.join("cases.csv"), distinct)?;
        tables::write_comparisons(&folder.join("comparisons.csv"), &groups)?;
        write_atomically(&folder.join("report.md"), markdown::text(&self.groups, &self.unreadable).as_bytes())?;
        let mut sections = Vec::new();
        for (index, (group, verdict)) in self.groups.iter().enumerate() {
            let charts = Charts::of(group);
            for chart in charts.all() {
                let name = match index {
                    0 => format!("{}.svg", chart.name),
                    index => format!("group_{}_{}.svg", index + 1, chart.name),
                };
                write_atomically(&plots.join(name), chart.file().as_bytes())?;
            }
            sections.push((group, verdict, charts));
        }
        write_atomically(&folder.join("report.html"), page::text(title, &sections, &self.unreadable).as_bytes())
    }
}

/// Creates the folder of charts, and removes the charts of an earlier report.
fn create_plots_folder(folder: &Path, plots: &Path) -> io::Result<()> {
    fs::create_dir_all(plots)?;
    if !folder.join("report.html").exists() {
        return Ok(());
    }
    for entry in fs::read_dir(plots)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            match fs::remove_file(path) {
                // Another process is writing the same report.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
    }
    Ok(())
}
