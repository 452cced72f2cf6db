//! From run folders to tables and pictures.
//!
//! Reads what lies in a run folder and nothing else, so a run from last year still reports: [`runs`] finds and
//! reads them, [`compare`] sorts them into groups that can be compared and compares their settings by
//! [`statistics`], [`verdict`] and [`warnings`] say in words what follows. The rest writes it down: [`tables`], [`chart`],
//! [`page`] and [`markdown`]. The plots of a single run are in [`plots`]; scores of cases that no comparison is about are
//! in [`scores`] and [`score_boxes`].

use std::fs;
use std::io;
use std::path::Path;

use run_folder::folder::{RunError, write_atomically};

pub mod chart;
pub mod compare;
pub mod keys;
pub mod markdown;
pub mod page;
pub mod plots;
pub mod runs;
pub mod score_boxes;
pub mod scores;
pub mod statistics;
pub mod tables;
pub mod verdict;
pub mod viewer;
pub mod warnings;

use chart::Charts;
use compare::{Epoch, Group};
use verdict::Verdict;

/// A comparison of runs, and what follows from it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The groups that can be compared within, the largest first.
    pub groups: Vec<(Group, Verdict)>,
    /// Folders that look like runs and cannot be read, with the reason.
    pub broken: Vec<(String, String)>,
}

impl Report {
    /// Reads and compares the runs below a folder.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn read(root: &Path, epoch: Epoch) -> io::Result<Self> {
        let found = runs::find(root)?;
        let groups = compare::compare(found.runs, epoch);
        let groups = groups.into_iter().map(|group| {
            let verdict = Verdict::of(&group);
            (group, verdict)
        });
        Ok(Self { groups: groups.collect(), broken: found.broken })
    }

    /// Writes `summary.csv`, `cases.csv`, `comparisons.csv`, `report.md`, `report.html` and `plots/*.svg`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, folder: &Path, title: &str) -> Result<(), RunError> {
        let plots = folder.join("plots");
        make(folder, &plots).map_err(|source| RunError::Write { path: plots.clone(), source })?;
        let groups: Vec<&Group> = self.groups.iter().map(|(group, _)| group).collect();
        tables::write_summary(&folder.join("summary.csv"), &groups)?;
        tables::write_cases(&folder.join("cases.csv"), &groups)?;
        tables::write_comparisons(&folder.join("comparisons.csv"), &groups)?;
        write_atomically(&folder.join("report.md"), markdown::text(&self.groups, &self.broken).as_bytes())?;
        let mut drawn = Vec::new();
        for (number, (group, verdict)) in self.groups.iter().enumerate() {
            let charts = Charts::of(group);
            for chart in charts.all() {
                let name = match number {
                    0 => format!("{}.svg", chart.name),
                    number => format!("group_{}_{}.svg", number + 1, chart.name),
                };
                write_atomically(&plots.join(name), chart.file().as_bytes())?;
            }
            drawn.push((group, verdict, charts));
        }
        write_atomically(&folder.join("report.html"), page::text(title, &drawn, &self.broken).as_bytes())
    }
}

/// Makes the folder of the charts; where an earlier report stands, its charts go.
fn make(folder: &Path, plots: &Path) -> io::Result<()> {
    fs::create_dir_all(plots)?;
    if !folder.join("report.html").exists() {
        return Ok(());
    }
    for entry in fs::read_dir(plots)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "svg") {
            match fs::remove_file(path) {
                // Another process writes the same report.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
    }
    Ok(())
}
