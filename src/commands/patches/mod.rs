//! `runner patches`: lists the training patches, or measures how fast they are made.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

mod contact_sheet;

use clap::Args;
use sha2::{Digest, Sha256};

use super::numbers::{at_least_one, whole};
use super::training::{make_phantoms, training_error};
use super::{Execute, ExperimentOptions};
use crate::output_paths::{check_folder, make_folder};
use crate::terminal::bar::Bar;
use crate::terminal::table::table;
use crate::terminal::{CliError, Exit, output};
use crate::volume_files;
use contact_sheet::ContactSheet;
use dataset::cache::Cache;
use dataset::patch::Patch;
use engine::experiment::load;
use engine::experiment::plan::Plan;
use engine::training::dataset::PreprocessedDataset;
use engine::training::{self, TrainError, validate};
use run_folder::event::Listener;
use transforms::Transform;
use transforms::lazy::{self, Profile};
use volume::{Grid, Volume, Voxels};

/// Show the patches that training would sample, or measure how fast they are prepared.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner patches experiments/quickstart.yaml --count 8 --out patches
  runner patches experiments/quickstart.yaml --epoch 3
  runner patches experiments/quickstart.yaml --bench --step-ms 200")]
pub struct PatchesArgs {
    /// Experiment file (YAML).
    experiment: PathBuf,
    /// First epoch, counted from 1.
    #[arg(long, default_value = "1", value_parser = at_least_one)]
    epoch: NonZeroUsize,
    /// Show the patches of one optimizer step, counted from 1 as in steps.csv.
    #[arg(long, conflicts_with_all = ["epoch", "count", "bench"], value_parser = at_least_one)]
    step: Option<NonZeroUsize>,
    /// Number of patches, continuing into later epochs [default: 16; with --bench one epoch].
    #[arg(long, value_parser = at_least_one)]
    count: Option<NonZeroUsize>,
    /// Write each patch as NIfTI with its sampled parameters as JSON, and a contact sheet of the first 64.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Measure patches per second and the time of each transform instead of listing patches.
    #[arg(long)]
    bench: bool,
    /// With --bench: simulate a training step of MS milliseconds.
    #[arg(long, value_name = "MS", requires = "bench", value_parser = whole::<u64>)]
    step_ms: Option<u64>,
    #[command(flatten)]
    common: ExperimentOptions,
}

/// The default number of patches.
const DEFAULT_COUNT: usize = 16;

impl Execute for PatchesArgs {
    /// Makes the patches in the order in which training gets them.
    fn execute(&self) -> Result<Exit, CliError> {
        self.out.as_deref().map(check_folder).transpose()?;
        let document = load::load(&self.experiment, &self.common.set)?;
        let plan = self.common.plan(&document)?;
        let start = Instant::now();
        let cache = self.common.cache.open();
        let mut dataset = prepare(&plan, &cache, &self.common.cache.path(), self.common.quiet)?;
        if self.bench {
            dataset.enable_profiling();
        }
        let dataset = Arc::new(dataset);
        let prepared = start.elapsed().as_secs_f64();
        let Selection { mut epoch, mut skip, count } = Selection::of(self, &plan);
        let mut files = self.out.as_deref().map(|out| PatchFiles::create(out, &plan)).transpose()?;

        let mut digest = Sha256::new();
        let mut rows = Vec::new();
        let mut waited = 0.0;
        let mut made = 0;
        let start = Instant::now();
        while made < count {
            let mut queue = training::patches(&plan, &dataset, epoch, skip);
            for patch in queue.by_ref().take(count - made) {
                let patch = patch.map_err(|error| CliError::failure(&error))?;
                if made == 0 && self.bench {
                    // Printed immediately, since a bench may wait for these lines.
                    outln!("subjects prepared   {prepared:.3} s");
                    outln!("first patch         {:.4} s after that", start.elapsed().as_secs_f64());
                }
                if !self.bench {
                    add_to_digest(&mut digest, &patch);
                    rows.push(row(made, epoch, &patch, &plan));
                }
                if let Some(files) = &mut files {
                    files.add(&patch)?;
                }
                made += 1;
                if let Some(time) = self.step_ms
                    && made.is_multiple_of(training::patches_per_step(&plan))
                {
                    std::thread::sleep(Duration::from_millis(time));
                }
            }
            waited += queue.wait_seconds();
            (epoch, skip) = (epoch + 1, 0);
        }
        if let Some(files) = files {
            files.finish()?;
        }
        if self.bench {
            print_speed(made, start.elapsed().as_secs_f64(), waited, &plan);
            print_times(&dataset, made);
            cache.finish().map_err(|error| CliError::failure(&error))?;
            return Ok(Exit::Done);
        }
        cache.finish().map_err(|error| CliError::failure(&error))?;
        output::text(table(&header(&plan), &rows));
        outln!("SHA-256 of these {made} patches: {}", hex::encode(digest.finalize()));
        if let Some(out) = &self.out {
            outln!("{}", out.display());
        }
        Ok(Exit::Done)
    }
}

/// The requested patches.
struct Selection {
    /// The first epoch, counted from 1.
    epoch: usize,
    /// The number of patches to skip in that epoch.
    skip: usize,
    count: usize,
}

impl Selection {
    fn of(arguments: &PatchesArgs, plan: &Plan) -> Self {
        let Some(step) = arguments.step else {
            let default = if arguments.bench { plan.patches_per_epoch } else { DEFAULT_COUNT };
            let count = arguments.count.map_or(default, NonZeroUsize::get);
            return Self { epoch: arguments.epoch.get(), skip: 0, count };
        };
        let before = step.get() - 1;
        let per_step = training::patches_per_step(plan);
        let skip = before % plan.steps_per_epoch * per_step;
        let count = per_step.min(plan.patches_per_epoch - skip);
        Self { epoch: before / plan.steps_per_epoch + 1, skip, count }
    }
}

/// Writes patches and their contact sheet, as `--out` does.
pub(super) fn save(out: &Path, plan: &Plan, patches: &[Patch]) -> Result<(), CliError> {
    let mut files = PatchFiles::create(out, plan)?;
    patches.iter().try_for_each(|patch| files.add(patch))?;
    files.finish()
}

/// A folder of patches with their contact sheet.
struct PatchFiles<'a> {
    out: &'a Path,
    plan: &'a Plan,
    sheet: ContactSheet,
    written: usize,
}

impl<'a> PatchFiles<'a> {
    fn create(out: &'a Path, plan: &'a Plan) -> Result<Self, CliError> {
        make_folder(out)?;
        Ok(Self { out, plan, sheet: ContactSheet::new(&plan.targets.labels), written: 0 })
    }

    fn add(&mut self, patch: &Patch) -> Result<(), CliError> {
        let grid = grid_of(patch, self.plan);
        self.sheet.add(patch, grid.spacing());
        write(self.out, self.written, patch, grid, self.plan)?;
        self.written += 1;
        Ok(())
    }

    fn finish(self) -> Result<(), CliError> {
        self.sheet.write(&self.out.join("contact_sheet.png"))
    }
}

/// Preprocesses the subjects of a plan, after generating its phantoms.
pub(super) fn prepare(
    plan: &Plan,
    cache: &Cache,
    cache_dir: &Path,
    quiet: bool,
) -> Result<PreprocessedDataset, CliError> {
    let mut bar = Bar::new(validate::columns(plan), 1, 1, quiet);
    for warning in &plan.warnings {
        eprintln!("warning: {warning}");
    }
    make_phantoms(plan, cache_dir, &mut bar)?;
    let dataset = PreprocessedDataset::prepare(plan, cache, &AtomicBool::new(false), &mut |event| {
        // An error of the terminal must not fail the command.
        let _ = bar.record(&event);
    });
    Ok(dataset.map_err(|error| training_error(&TrainError::Preprocess(error)))?.expect("the stop flag is never set"))
}

/// Prints the throughput.
fn print_speed(made: usize, seconds: f64, waited: f64, plan: &Plan) {
    let queue = &plan.experiment.queue;
    let [x, y, z] = plan.patch;
    outln!("patches             {made} of {x} x {y} x {z} voxels, {} workers", queue.workers);
    outln!("patches per second  {:.1}", made as f64 / seconds);
    outln!("waiting             {:.1} % of {seconds:.2} s", 100.0 * waited / seconds);
    if let Some(bytes) = run_folder::memory::peak_resident_bytes() {
        outln!("peak memory         {:.0} MB", bytes as f64 / 1e6);
    }
}

/// Prints the time that each step of making a patch takes.
fn print_times(dataset: &PreprocessedDataset, made: usize) {
    let rows = dataset.profile().map(Profile::table).unwrap_or_default();
    let all: f64 = rows.iter().map(|(_, time)| time.as_secs_f64()).sum();
    let row = |name: &str, seconds: f64| {
        let percent = format!("{:.1}", 100.0 * seconds / all);
        vec![name.to_owned(), format!("{:.3}", 1e3 * seconds / made as f64), percent]
    };
    let mut cells: Vec<_> = rows.iter().map(|(name, time)| row(name, time.as_secs_f64())).collect();
    cells.push(row("all", all));
    output::text(table(&["step", "ms per patch", "%"].map(str::to_owned), &cells));
}

/// Adds everything in a patch that affects training to a digest.
fn add_to_digest(digest: &mut Sha256, patch: &Patch) {
    digest.update(&patch.subject);
    digest.update((patch.index as u64).to_le_bytes());
    patch.start.iter().for_each(|start| digest.update((*start as i64).to_le_bytes()));
    digest.update(bytemuck::cast_slice(&patch.image));
    digest.update(bytemuck::cast_slice(&patch.label));
    digest.update(patch.params_json().to_string());
}

fn header(plan: &Plan) -> Vec<String> {
    let first = ["", "epoch", "subject", "patch", "start", "min", "mean", "max"].map(str::to_owned);
    first.into_iter().chain(plan.targets.labels.iter().map(|label| format!("{} %", label.name))).collect()
}

fn row(number: usize, epoch: usize, patch: &Patch, plan: &Plan) -> Vec<String> {
    let extreme = |pick: fn(f32, f32) -> f32| patch.image.iter().copied().reduce(pick).unwrap_or(f32::NAN);
    let mean = patch.image.iter().map(|value| f64::from(*value)).sum::<f64>() / patch.image.len() as f64;
    let percent = |value| {
        let voxels = patch.label.iter().filter(|label| **label == value).count();
        format!("{:.2}", 100.0 * voxels as f64 / patch.label.len() as f64)
    };
    let first = [
        format!("{number:04}"),
        epoch.to_string(),
        patch.subject.clone(),
        patch.index.to_string(),
        format!("{:?}", patch.start),
        format!("{:.3}", extreme(f32::min)),
        format!("{mean:.3}"),
        format!("{:.3}", extreme(f32::max)),
    ];
    first.into_iter().chain(plan.targets.labels.iter().map(|label| percent(label.value))).collect()
}

fn write(out: &Path, number: usize, patch: &Patch, grid: Grid, plan: &Plan) -> Result<(), CliError> {
    let volume = Volume {
        grid,
        image: Voxels::new(patch.channels, patch.shape, patch.image.clone()),
        label: Some(Voxels::new(1, patch.shape, patch.label.clone())),
    };
    let experiment = &plan.experiment;
    let chain: Vec<&Transform> = experiment.augment.iter().chain(&experiment.patch_augment).collect();
    let description = serde_json::json!({
        "subject": patch.subject, "patch": patch.index, "start": patch.start,
        "chain": chain, "draws": patch.params,
    });
    volume_files::write(
        out,
        &format!("{number:04}_"),
        &volume,
        &[&experiment.patch_augment, &experiment.augment, &experiment.preprocess],
        &description,
    )
}

/// Returns the grid of a patch.
fn grid_of(patch: &Patch, plan: &Plan) -> Grid {
    let of_patch = &patch.params[plan.experiment.augment.len()..];
    let block = Grid { shape: plan.experiment.cut(), affine: patch.affine };
    lazy::output_grid(&plan.experiment.patch_augment, of_patch, &block)
}
