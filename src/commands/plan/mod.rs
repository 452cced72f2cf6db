//! `runner plan`: experiments for a dataset, by the rules of nnU-Net.

mod argument;
mod dataset;
mod files;
mod labels;

use std::path::PathBuf;

use clap::Args;

use self::dataset::PlannedDataset;
use self::files::OutputFolder;
use super::numbers::positive;
use super::{CacheOptions, Execute};
use crate::terminal::bar::Bar;
use crate::terminal::signals::{stop_flag, stop_on_signals};
use crate::terminal::{CliError, Exit, output, table};
use engine::experiment::check::{Environment, check};
use engine::experiment::load::{SetArgument, load};
use planner::fingerprint::{Extraction, Unreadable, extract};
use planner::writer::{self, ExperimentFile};
use planner::{DatasetFingerprint, DatasetPlan, PlanError, Preset};
use run_folder::event::{Columns, Event, Listener};
use values::format_number;

/// Plan experiments for a dataset, by the rules of nnU-Net.
///
/// Reads every training subject once, and writes `fingerprint.json` and the experiments `3d_fullres.yaml`, `2d.yaml` and,
/// where patches at full resolution cover little of a scan, `3d_lowres.yaml` and `3d_cascade_fullres.yaml`, which is trained
/// after it. Each is nnU-Net's whole recipe; comments say where its numbers come from.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner plan data/Dataset004_Hippocampus                                 writes experiments/Dataset004_Hippocampus
  runner plan data/Task03_Liver --explain                                 also says in plain words why
  runner plan data/Task03_Liver --preset resenc_l --out experiments/liver_resenc_l
  runner plan data/Task03_Liver --memory-gb 16                            for a GPU of which 16 GB may be used
  runner plan experiments/liver_baseline.yaml --out experiments/liver_planned

Then:
  runner check experiments/Dataset004_Hippocampus/3d_fullres.yaml         validate the experiment
  runner run experiments/Dataset004_Hippocampus/3d_fullres.yaml           train it")]
pub struct PlanArgs {
    /// Folder of a dataset (nnU-Net's raw data, or the layout of the Medical Segmentation Decathlon), or an experiment file,
    /// whose section `data` is planned for.
    dataset: PathBuf,
    /// Planner of nnU-Net: nnunet (ExperimentPlanner, 8 GB), or with a residual encoder resenc_m (8 GB), resenc_l (24 GB) or
    /// resenc_xl (40 GB).
    #[arg(long, default_value_t = Preset::Nnunet)]
    preset: Preset,
    /// GPU memory in GB that training may take, by nnU-Net's estimate [default: that of the preset].
    #[arg(long, value_name = "N", value_parser = positive)]
    memory_gb: Option<f64>,
    /// Folder of the experiments [default: experiments/NAME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Also print in plain words why the plan is as it is. Existing files are then left unchanged.
    #[arg(long)]
    explain: bool,
    /// Replace files that exist.
    #[arg(long)]
    overwrite: bool,
    /// Use this fingerprint.json of an earlier plan for the dataset instead of reading the subjects.
    #[arg(long, value_name = "FILE")]
    fingerprint: Option<PathBuf>,
    /// Override one key of the experiment file, such as `--set data.source.msd.root=data/Task03_Liver`; repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<SetArgument>,
    #[command(flatten)]
    cache: CacheOptions,
    /// Print only results, warnings and errors.
    #[arg(long)]
    quiet: bool,
}

impl Execute for PlanArgs {
    /// Writes the experiments and prints a table of them.
    fn execute(&self) -> Result<Exit, CliError> {
        let dataset = PlannedDataset::open(&self.dataset, &self.set, &self.cache.path())?;
        let folder = OutputFolder::new(self.out.clone(), dataset.name());
        folder.check()?;
        if !self.overwrite && !self.explain {
            folder.check_empty()?;
        }
        let mut bar = Bar::new(Columns::default(), 1, 1, self.quiet);
        for note in dataset.notes() {
            warn(&mut bar, note);
        }
        let Some(fingerprint) = self.fingerprint(&dataset, &mut bar)? else { return Ok(Exit::Stopped) };
        for note in dataset.label_notes(&fingerprint) {
            warn(&mut bar, note);
        }
        let facts = dataset.facts(&fingerprint, &mut |note| warn(&mut bar, note))?;
        drop(bar);
        let memory_gb = self.memory_gb.unwrap_or_else(|| self.preset.memory_gb());
        let plan = DatasetPlan::new(&fingerprint, &facts, self.preset, memory_gb).map_err(plan_error)?;
        let section = dataset.section(&fingerprint, &facts);
        let mut files = writer::experiments(&section, &fingerprint, &plan);
        let overview = overview(&files, &plan);
        files.push(ExperimentFile { name: "fingerprint.json".to_owned(), text: fingerprint.to_json() });
        // Before anything is printed: a reader such as `head` may end the program.
        let written = folder.write(&files, self.overwrite)?;
        if self.explain {
            output::text(planner::explain::explain(&section, &fingerprint, &plan) + "\n");
        }
        outln!("{overview}");
        written.iter().for_each(|line| outln!("{line}"));
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        self.problems(&folder, &names).iter().for_each(|problem| eprintln!("warning: {problem}"));
        Ok(Exit::Done)
    }
}

impl PlanArgs {
    /// Returns what `runner check` says against the planned experiments, such as regions that contradict the labels.
    fn problems(&self, folder: &OutputFolder, files: &[&str]) -> Vec<String> {
        let environment = Environment { memory_bytes: None, ..self.cache.environment() };
        let mut problems: Vec<String> = Vec::new();
        // The second stage of a cascade needs trained runs of the first.
        for file in files.iter().filter(|file| file.ends_with(".yaml") && !file.contains("cascade")) {
            let document = load(&folder.file(file), &[]);
            let found = document.and_then(|document| check(&document, &environment, None)).err();
            for problem in found.into_iter().flat_map(|problems| problems.0) {
                let help = problem.help.map(|help| format!("; {help}")).unwrap_or_default();
                let text = format!("the experiments cannot be trained yet: {}{help}", problem.message);
                if !problems.contains(&text) {
                    problems.push(text);
                }
            }
        }
        problems
    }

    /// Returns the fingerprint, from the file that was given or from the subjects; `None` if Ctrl-C stopped the reading.
    fn fingerprint(&self, dataset: &PlannedDataset, bar: &mut Bar) -> Result<Option<DatasetFingerprint>, CliError> {
        if let Some(path) = &self.fingerprint {
            let fingerprint = DatasetFingerprint::read(path)
                .map_err(|error| CliError::problem(error, "leave `--fingerprint` out to read the subjects"))?;
            dataset.check_same_subjects(path, &fingerprint)?;
            return Ok(Some(fingerprint));
        }
        stop_on_signals()?;
        dataset.make_phantoms(&self.cache.path(), bar)?;
        let extraction = extract(dataset.subjects(), dataset.num_channels(), stop_flag(), &mut |done, total| {
            // An error of the terminal must not fail the command.
            let _ = bar.record(&Event::Preparing { task: "reading subjects", done, total });
        });
        match extraction {
            Extraction::Done(fingerprint) => Ok(Some(fingerprint)),
            Extraction::Stopped => Ok(None),
            Extraction::Unreadable(unreadable) => Err(unreadable_error(&unreadable, dataset.subjects().len())),
            Extraction::NoForeground => Err(CliError::problem(
                "no subject has a voxel with a label above 0, so there is nothing to segment",
                "check the label maps: 0 is the background",
            )),
        }
    }
}

fn warn(bar: &mut Bar, text: impl Into<String>) {
    // An error of the terminal must not fail the command.
    let _ = bar.record(&Event::Warning(text.into()));
}

fn plan_error(error: PlanError) -> CliError {
    let help = match &error {
        PlanError::NoSubjects => "check the dataset",
        PlanError::Spacing { .. } => "correct the spacing in the headers of the images",
        PlanError::Memory { .. } => "give a larger number with `--memory-gb`",
    };
    CliError::problem(error.to_string(), help)
}

/// Returns the error of subjects that cannot be used, each with its file.
fn unreadable_error(unreadable: &[Unreadable], total: usize) -> CliError {
    const MAX_SHOWN: usize = 20;
    let count = unreadable.len();
    let mut lines =
        vec![format!("{count} of {total} subjects cannot be used, so nothing is planned; the others are fine:")];
    lines.extend(unreadable.iter().take(MAX_SHOWN).map(|one| format!("subject {}: {}", one.subject, one.reason)));
    if count > MAX_SHOWN {
        lines.push(format!("and {} more", count - MAX_SHOWN));
    }
    lines.push("fix the files, or remove the subjects from the dataset".to_owned());
    CliError::Failure(lines.join("\n"))
}

/// Returns a table of the experiments.
fn overview(files: &[ExperimentFile], plan: &DatasetPlan) -> String {
    let header = ["experiment", "spacing (mm)", "patch", "batch", "levels", "memory (GB)"].map(str::to_owned);
    let rows = files.iter().zip(writer::configurations(plan)).map(|(file, (_, configuration))| {
        vec![
            file.name.clone(),
            configuration.spacing_mm.map(|mm| mm.map_or_else(|| "-".to_owned(), format_number)).join(" x "),
            configuration.patch.map(|voxels| voxels.to_string()).join(" x "),
            configuration.batch.size.to_string(),
            configuration.widths.len().to_string(),
            configuration.batch.memory_text(),
        ]
    });
    table::table(&header, &rows.collect::<Vec<_>>()).trim_end().to_owned()
}
