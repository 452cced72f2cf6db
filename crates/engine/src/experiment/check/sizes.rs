//! Rules on sizes: what no memory holds, and numbers that can only be slips of the keyboard.
//!
//! Whatever is allowed here can be multiplied without overflow, and asking the system for it does not end the program.

use std::collections::BTreeMap;

use super::data::DatasetSummary;
use super::{Diagnostics, Environment};
use crate::experiment::load::Document;
use crate::experiment::problem::Problems;
use transforms::lazy;
use transforms::{Incoming, KeyProblem, Transform};
use values::Bytes;
use volume::{Grid, Label};

/// Bytes that stand for a memory that is not known; no machine has more.
const LARGEST_MEMORY: u64 = 1 << 46;
/// Bytes that the order of an epoch's patches takes for each of them.
const BYTES_OF_A_REQUEST: u64 = 32;

const FEWER_VOXELS: &str = "take fewer voxels, or a coarser spacing";

/// The numbers of a document that have a largest sensible value.
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
    .map(|(path, count, most)| (path.to_owned(), count, most))
    .into();
    let source = &experiment.data.source;
    let limits = source.component().generator().map(|generator| generator.limits()).unwrap_or_default();
    let path = |key| format!("data.source.{}.{key}", source.name());
    counts.extend(limits.into_iter().map(|(key, count, most)| (path(key), count, most)));
    for (path, count, most) in counts.into_iter().filter(|(_, count, most)| count > most) {
        diagnostics.problem(&path, format!("expected at most {most}, got {count}"), "take a smaller number");
    }
}

/// The grid of each subject after preprocess, and whether every volume on the way has voxels and fits into memory, and so do the
/// patches that the document asks for.
pub(super) fn volumes<'a>(
    diagnostics: &mut Diagnostics,
    summary: &'a DatasetSummary,
    environment: &Environment,
) -> BTreeMap<&'a String, Grid> {
    let memory = Memory { bytes: environment.memory_bytes.unwrap_or(LARGEST_MEMORY), channels: summary.channels };
    check_patches(diagnostics, summary, &memory);
    let experiment = &diagnostics.document.experiment;
    let mut outgoing = BTreeMap::new();
    for (name, grid) in &summary.grids {
        if !memory.holds(grid.shape) {
            let source = &experiment.data.source;
            let location = match source.component().generator() {
                Some(_) => format!("data.source.{}.shape", source.name()),
                None => "data.source".to_owned(),
            };
            diagnostics.problem(&location, memory.too_large(name, grid.shape), "take smaller volumes");
            break;
        }
        match memory.chains(diagnostics.document, *grid) {
            Ok(grid) => drop(outgoing.insert(name, grid)),
            Err(refusal) => {
                refusal.tell(diagnostics, &memory, name);
                break;
            }
        }
    }
    outgoing
}

/// Whether a volume and what the document's chains make of it fit into memory, whichever subject it is.
///
/// # Errors
/// Names the step that makes it too large or cuts all of it off, at its location.
pub fn check_volume(
    document: &Document,
    name: &str,
    incoming: &Incoming,
    memory_bytes: Option<u64>,
) -> Result<(), Problems> {
    let memory = Memory { bytes: memory_bytes.unwrap_or(LARGEST_MEMORY), channels: incoming.channels };
    let mut diagnostics = Diagnostics::new(document);
    if let Err(refusal) = memory.chains(document, incoming.grid) {
        refusal.tell(&mut diagnostics, &memory, name);
    }
    diagnostics.finish().map(drop)
}

/// Patches, windows and the order of an epoch must fit into memory.
fn check_patches(diagnostics: &mut Diagnostics, summary: &DatasetSummary, memory: &Memory) {
    let experiment = &diagnostics.document.experiment;
    let patch = experiment.sampler.patch();
    let batch = experiment.train.batch_size.get();
    let waiting = experiment.queue.max_length.get().min(summary.patches_per_epoch);
    let sampler = format!("sampler.{}.patch", experiment.sampler.name());
    let asked = [
        (sampler.as_str(), "one patch takes", memory.of(patch, 1)),
        ("train.batch_size", "the patches of a batch take", memory.of(patch, batch)),
        ("queue.max_length", "the patches of a full queue take", memory.of(patch, waiting)),
        ("inference.window", "one window takes", memory.of(experiment.window(), 1)),
        (
            "queue.samples_per_volume",
            "the order of an epoch's patches takes",
            (summary.patches_per_epoch as u64).checked_mul(BYTES_OF_A_REQUEST),
        ),
    ];
    // What one patch takes is in all that follows, so the first is told alone.
    if let Some((path, what, bytes)) = asked.into_iter().find(|(_, _, bytes)| !memory.has(*bytes)) {
        let message = format!("{what} {}, {}", told(bytes), memory.told());
        diagnostics.problem(path, message, "take a smaller number");
    }
}

/// A step that a subject cannot go through.
struct Refusal {
    path: String,
    reason: Reason,
}

enum Reason {
    /// It makes a volume of this shape, which no memory holds.
    TooLarge([usize; 3]),
    /// It cannot be applied to the subject for another reason.
    Misfit(KeyProblem),
}

impl Refusal {
    fn tell(&self, diagnostics: &mut Diagnostics, memory: &Memory, subject: &str) {
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

/// How much may be asked for.
struct Memory {
    bytes: u64,
    channels: usize,
}

impl Memory {
    /// Bytes of so many volumes of a shape with their labels; `None` is more than can be counted.
    fn of(&self, shape: [usize; 3], count: usize) -> Option<u64> {
        let voxel = self.channels.checked_mul(size_of::<f32>())?.checked_add(size_of::<Label>())?;
        let factors = shape.into_iter().chain([count, voxel]);
        factors.into_iter().try_fold(1u64, |product, factor| product.checked_mul(factor as u64))
    }

    fn has(&self, bytes: Option<u64>) -> bool {
        bytes.is_some_and(|bytes| bytes <= self.bytes)
    }

    fn holds(&self, shape: [usize; 3]) -> bool {
        self.has(self.of(shape, 1))
    }

    fn told(&self) -> String {
        format!("and the machine has {}", Bytes(self.bytes))
    }

    fn too_large(&self, subject: &str, [x, y, z]: [usize; 3]) -> String {
        let bytes = told(self.of([x, y, z], 1));
        format!("subject {subject} would have {x} x {y} x {z} voxels, which take {bytes}, {}", self.told())
    }

    /// The grid after the preprocess chain, if no step of it or of the augment chain refuses the volume.
    fn chains(&self, document: &Document, grid: Grid) -> Result<Grid, Refusal> {
        let experiment = &document.experiment;
        let chain = experiment.preprocess_chain();
        let turn = chain.len() - experiment.preprocess.len();
        let turned = self.walk(&chain[..turn], "preprocess", grid)?;
        let outgoing = self.walk(&experiment.preprocess, "preprocess", turned)?;
        self.walk(&experiment.augment, "augment", outgoing).map(|_| outgoing)
    }

    /// The grid after steps, none of which refuses the volume.
    fn walk(&self, steps: &[Transform], path: &str, mut grid: Grid) -> Result<Grid, Refusal> {
        for (index, step) in steps.iter().enumerate() {
            let path = format!("{path}.{index}");
            grid = self.step(step, &path, grid)?;
        }
        Ok(grid)
    }

    fn step(&self, step: &Transform, path: &str, grid: Grid) -> Result<Grid, Refusal> {
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
            return Err(Refusal { path, reason: Reason::Misfit(problem) });
        }
        if !step.component().changes_shape() {
            return Ok(grid);
        }
        let step = std::slice::from_ref(step);
        let incoming = Incoming { grid, channels: self.channels };
        let after = lazy::output_grid(step, &lazy::fixed_params(step, &incoming), &grid);
        if self.holds(after.shape) {
            return Ok(after);
        }
        let path = format!("{path}.{}", step[0].name());
        Err(Refusal { path, reason: Reason::TooLarge(after.shape) })
    }
}

fn told(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "more bytes than can be counted".to_owned(), |bytes| Bytes(bytes).to_string())
}
