//! Rules for sizes: volumes and patches that exceed the memory, and counts that can only be typing errors.
//!
//! Sizes that pass these rules can be multiplied without overflow, and allocating them does not abort the program.

use std::collections::BTreeMap;

use super::data::DatasetSummary;
use super::{Diagnostics, Environment};
use crate::experiment::load::Document;
use crate::experiment::problem::Problems;
use crate::experiment::spec::Experiment;
use transforms::lazy;
use transforms::{Incoming, KeyProblem, Transform};
use values::Bytes;
use volume::{Grid, Label};

/// The assumed memory in bytes if it is unknown; more than any machine has.
const MAX_MEMORY: u64 = 1 << 46;
/// Bytes per patch of the shuffled list of an epoch's patches.
const REQUEST_BYTES: u64 = 32;

const ITERATIONS: &str = "train.iterations_per_epoch";
const FEWER_VOXELS: &str = "use fewer voxels or a coarser spacing";

/// Checks counts against a maximum.
pub(super) fn check(diagnostics: &mut Diagnostics) {
    let experiment = &diagnostics.document.experiment;
    let (queue, train, keep) = (&experiment.queue, &experiment.train, &experiment.checkpoint);
    let mut counts: Vec<(String, usize, usize)> = [
        ("queue.max_length", queue.max_length.get(), 1_000_000),
        ("queue.samples_per_volume", queue.samples_per_volume.get(), 1_000_000),
        ("queue.workers", queue.workers, 1024),
        ("train.epochs", train.epochs.get(), 10_000_000),
        ("train.batch_size", train.batch_size.get(), 1_000_000),
        ("train.accumulate_batches", train.accumulate_batches.get(), 1_000_000),
        ("checkpoint.keep_best", keep.keep_best, 1000),
        ("checkpoint.keep_last", keep.keep_last.get(), 1000),
    ]
    .map(|(path, count, max)| (path.to_owned(), count, max))
    .into();
    let batches = experiment.validate.pseudo_dice.as_ref().map(|pseudo_dice| pseudo_dice.batches.get());
    counts.extend(batches.map(|count| ("validate.pseudo_dice.batches".to_owned(), count, 1_000_000)));
    counts.extend(train.iterations_per_epoch.map(|count| (ITERATIONS.to_owned(), count.get(), 10_000_000)));
    let source = &experiment.data.source;
    let limits = source.component().generator().map(|generator| generator.limits()).unwrap_or_default();
    let path = |key| format!("data.source.{}.{key}", source.name());
    counts.extend(limits.into_iter().map(|(key, count, max)| (path(key), count, max)));
    for (path, count, max) in counts.into_iter().filter(|(_, count, max)| count > max) {
        diagnostics.problem(&path, format!("expected at most {max}, got {count}"), "use a smaller number");
    }
}

/// Returns the grid of each preprocessed volume, and checks that every intermediate volume is not empty and fits into
/// memory, as do the patches.
pub(super) fn volumes<'a>(
    diagnostics: &mut Diagnostics,
    summary: &'a DatasetSummary,
    environment: &Environment,
) -> BTreeMap<&'a String, Grid> {
    let memory = Memory { bytes: environment.memory_bytes.unwrap_or(MAX_MEMORY), channels: summary.channels };
    check_patches(diagnostics, summary, &Memory { channels: summary.network_channels(), ..memory });
    let experiment = &diagnostics.document.experiment;
    let mut outgoing = BTreeMap::new();
    for (name, grid) in &summary.grids {
        if !memory.fits(grid.shape) {
            let source = &experiment.data.source;
            let location = match source.component().generator() {
                Some(_) => format!("data.source.{}.shape", source.name()),
                None => "data.source".to_owned(),
            };
            diagnostics.problem(&location, memory.too_large(name, grid.shape), "use smaller volumes");
            break;
        }
        match memory.chains(diagnostics.document, *grid) {
            Ok(grid) => drop(outgoing.insert(name, grid)),
            Err(rejection) => {
                rejection.report(diagnostics, &memory, name);
                break;
            }
        }
    }
    outgoing
}

/// Checks that a volume and all intermediate volumes of the chains are not empty and fit into memory.
///
/// # Errors
/// The first transform for which this fails.
pub fn check_volume(
    document: &Document,
    name: &str,
    incoming: &Incoming,
    memory_bytes: Option<u64>,
) -> Result<(), Problems> {
    let memory = Memory { bytes: memory_bytes.unwrap_or(MAX_MEMORY), channels: incoming.channels };
    let mut diagnostics = Diagnostics::new(document);
    if let Err(rejection) = memory.chains(document, incoming.grid) {
        rejection.report(&mut diagnostics, &memory, name);
    }
    diagnostics.finish().map(drop)
}

/// Checks that patches, windows and the list of an epoch's patches fit into memory.
fn check_patches(diagnostics: &mut Diagnostics, summary: &DatasetSummary, memory: &Memory) {
    let experiment = &diagnostics.document.experiment;
    let patch = experiment.sampler.patch();
    let batch = experiment.train.batch_size.get();
    let waiting = experiment.queue.max_length.get().min(summary.patches_per_epoch);
    let sampler = format!("sampler.{}.patch", experiment.sampler.name());
    let sizes = [
        (sampler.as_str(), "one patch takes", memory.required(patch, 1)),
        ("train.batch_size", "the patches of a batch take", memory.required(patch, batch)),
        ("queue.max_length", "the patches of a full queue take", memory.required(patch, waiting)),
        ("inference.window", "one window takes", memory.required(experiment.window(), 1)),
        (
            if experiment.train.iterations_per_epoch.is_some() { ITERATIONS } else { "queue.samples_per_volume" },
            "the list of an epoch's patches takes",
            (summary.patches_per_epoch as u64).checked_mul(REQUEST_BYTES),
        ),
    ];
    // Each size includes those before it, so report the first only.
    if let Some((path, what, bytes)) = sizes.into_iter().find(|(_, _, bytes)| !memory.suffices(*bytes)) {
        let message = format!("{what} {}, {}", in_words(bytes), memory.in_words());
        diagnostics.problem(path, message, "use a smaller number");
    }
}

/// A transform that cannot be applied to a subject.
struct Rejection {
    path: String,
    reason: Reason,
}

enum Reason {
    /// It makes a volume of this shape, which exceeds the memory.
    TooLarge([usize; 3]),
    /// It cannot be applied to the subject for another reason.
    Misfit(KeyProblem),
}

impl Rejection {
    fn report(&self, diagnostics: &mut Diagnostics, memory: &Memory, subject: &str) {
        match &self.reason {
            Reason::TooLarge(shape) => {
                diagnostics.problem(&self.path, memory.too_large(subject, *shape), FEWER_VOXELS);
            }
            Reason::Misfit(KeyProblem { message, help, .. }) => {
                diagnostics.problem(&self.path, format!("subject {subject}: {message}"), help.unwrap_or_default());
            }
        }
    }
}

/// The available memory.
#[derive(Clone, Copy)]
struct Memory {
    bytes: u64,
    channels: usize,
}

impl Memory {
    /// Returns the bytes of `count` volumes with their label maps; `None` on overflow.
    fn required(&self, shape: [usize; 3], count: usize) -> Option<u64> {
        let voxel = self.channels.checked_mul(size_of::<f32>())?.checked_add(size_of::<Label>())?;
        let factors = shape.into_iter().chain([count, voxel]);
        factors.into_iter().try_fold(1u64, |product, factor| product.checked_mul(factor as u64))
    }

    fn suffices(&self, bytes: Option<u64>) -> bool {
        bytes.is_some_and(|bytes| bytes <= self.bytes)
    }

    fn fits(&self, shape: [usize; 3]) -> bool {
        self.suffices(self.required(shape, 1))
    }

    fn in_words(&self) -> String {
        format!("and the machine has {}", Bytes(self.bytes))
    }

    fn too_large(&self, subject: &str, [x, y, z]: [usize; 3]) -> String {
        let bytes = in_words(self.required([x, y, z], 1));
        format!("subject {subject} would have {x} x {y} x {z} voxels, which take {bytes}, {}", self.in_words())
    }

    /// Returns the grid after preprocessing, if all transforms of both chains can be applied.
    fn chains(&self, document: &Document, grid: Grid) -> Result<Grid, Rejection> {
        let experiment = &document.experiment;
        let chain = experiment.preprocess_chain();
        let num_reorienting = chain.len() - experiment.preprocess.len();
        let reoriented = self.walk(&chain[..num_reorienting], "preprocess", grid)?;
        let outgoing = self.walk(&experiment.preprocess, "preprocess", reoriented)?;
        let augmented = self.walk(&experiment.augment, "augment", outgoing)?;
        self.patch_chain(experiment, augmented)?;
        Ok(outgoing)
    }

    /// Checks that `patch_augment` turns the block that is cut from a volume into a patch.
    fn patch_chain(&self, experiment: &Experiment, volume: Grid) -> Result<(), Rejection> {
        let (patch, cut) = (experiment.sampler.patch(), experiment.cut());
        if experiment.patch_augment.is_empty() {
            return Ok(());
        }
        let rejection = |path: String, key, message: String, help| {
            let problem = KeyProblem::new(key, message).help(help);
            Rejection { path, reason: Reason::Misfit(problem) }
        };
        if !self.fits(cut) {
            return Err(Rejection { path: "patch_augment".to_owned(), reason: Reason::TooLarge(cut) });
        }
        let mut grid = Grid { shape: cut, ..volume };
        for (index, step) in experiment.patch_augment.iter().enumerate() {
            let path = format!("patch_augment.{index}");
            if let Some(name) = step.nested_steps().iter().find_map(|inner| self.changing(inner, grid)) {
                let message =
                    format!("{name} changes the shape of a patch, so whether it is applied must not be random");
                return Err(rejection(path, step.name(), message, "put it outside of `maybe` and `one_of`"));
            }
            grid = self.step(step, &path, grid)?;
        }
        if grid.shape == patch {
            return Ok(());
        }
        let [from, to, expected] = [cut, grid.shape, patch].map(|shape| shape.map(|size| size.to_string()).join(" x "));
        let message = format!(
            "the steps turn a block of {from} voxels into one of {to}, expected the sampler's patch of {expected}"
        );
        Err(rejection(
            "patch_augment".to_owned(),
            "",
            message,
            "remove the steps that change the shape, or move them to `augment`; `patch` of rotate_and_scale must be the sampler's",
        ))
    }

    /// Returns the name of the first step, or step inside it, that changes the shape of a block, if any.
    fn changing(&self, step: &Transform, grid: Grid) -> Option<&'static str> {
        if step.component().nested().is_some() {
            return step.nested_steps().iter().find_map(|inner| self.changing(inner, grid));
        }
        let (chain, incoming) = (std::slice::from_ref(step), Incoming { grid, channels: self.channels });
        let can_change = step.component().changes_shape() && step.component().check_incoming(&incoming).is_ok();
        let outgoing = |_| lazy::output_grid(chain, &lazy::fixed_params(chain, &incoming), &grid).shape;
        can_change.then_some(()).map(outgoing).filter(|shape| *shape != grid.shape).map(|_| step.name())
    }

    /// Returns the grid after some transforms, if all can be applied.
    fn walk(&self, steps: &[Transform], path: &str, mut grid: Grid) -> Result<Grid, Rejection> {
        for (index, step) in steps.iter().enumerate() {
            let path = format!("{path}.{index}");
            grid = self.step(step, &path, grid)?;
        }
        Ok(grid)
    }

    fn step(&self, step: &Transform, path: &str, grid: Grid) -> Result<Grid, Rejection> {
        if let Some(nested) = step.component().nested() {
            let mut after = grid;
            for (index, inner) in nested.steps.iter().enumerate() {
                let incoming = if nested.is_choice { grid } else { after };
                after = self.step(inner, &format!("{path}.{}.{index}", nested.key), incoming)?;
            }
            return Ok(after);
        }
        if let Err(problem) = step.component().check_incoming(&Incoming { grid, channels: self.channels }) {
            let path = format!("{path}.{}", step.name());
            return Err(Rejection { path, reason: Reason::Misfit(problem) });
        }
        if !step.component().changes_shape() {
            return Ok(grid);
        }
        let step = std::slice::from_ref(step);
        let incoming = Incoming { grid, channels: self.channels };
        let after = lazy::output_grid(step, &lazy::fixed_params(step, &incoming), &grid);
        if self.fits(after.shape) {
            return Ok(after);
        }
        let path = format!("{path}.{}", step[0].name());
        Err(Rejection { path, reason: Reason::TooLarge(after.shape) })
    }
}

fn in_words(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "more than 16 EiB".to_owned(), |bytes| Bytes(bytes).to_string())
}
