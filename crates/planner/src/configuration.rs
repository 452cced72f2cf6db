//! One configuration: patch, levels and batch for volumes of given spacing and median shape.

use crate::PlanError;
use crate::memory::Network;
use crate::preset::{MIN_BATCH, Preset};
use crate::topology::{Topology, topology};

/// Features of the first level; each level has twice as many as the one before, up to a maximum.
const FIRST_WIDTH: usize = 32;
const MAX_WIDTH_3D: usize = 320;
const MAX_WIDTH_2D: usize = 512;
/// The edge of the cube, and of the square, whose content a patch has at first, whatever its aspect ratio.
const FIRST_EDGE_3D: f64 = 256.0;
const FIRST_EDGE_2D: f64 = 2048.0;

/// What a configuration is computed for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    /// The planner.
    pub preset: Preset,
    /// The memory in GB that training may take.
    pub memory_gb: f64,
    /// The number of entries of `labels` in `dataset.json`.
    pub classes: usize,
    /// The number of voxels of all training volumes, by their median shape.
    pub dataset_voxels: f64,
}

/// A configuration in D dimensions, with axes in the order of computation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Computed<const D: usize> {
    pub topology: Topology<D>,
    pub widths: Vec<usize>,
    pub batch: Batch,
    /// The patch with which the search began: the aspect ratio of the voxels, no larger than the median volume.
    pub first_patch: [f64; D],
}

impl Computed<2> {
    /// Returns the same for slices as volumes of one voxel along the first axis.
    pub fn in_volume(self) -> Computed<3> {
        let Self { topology, widths, batch, first_patch } = self;
        let levels = |values: Vec<[usize; 2]>| values.into_iter().map(|value| across(1, value)).collect();
        let topology = Topology {
            patch: across(1, topology.patch),
            strides: levels(topology.strides),
            kernels: levels(topology.kernels),
            divisible_by: across(1, topology.divisible_by),
        };
        Computed { topology, widths, batch, first_patch: across(1.0, first_patch) }
    }
}

/// Puts a value for the axis across slices before those of the axes of a slice.
fn across<T>(value: T, [first, second]: [T; 2]) -> [T; 3] {
    [value, first, second]
}

/// The number of patches of a batch, and what limits it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// Patches of a training step.
    pub size: usize,
    /// The number of patches that fit into memory, by nnU-Net's estimate.
    pub fits: i64,
    /// The number of patches that are the largest allowed fraction of the dataset.
    pub of_dataset: i64,
    /// The number of values that convolutions write for one patch.
    pub feature_map_size: i64,
    /// The estimated memory of training in GB.
    pub memory_gb: f64,
}

impl Batch {
    /// Formats the estimated memory of training in GB, such as `7.5`.
    pub fn memory_text(&self) -> String {
        if self.memory_gb < 0.1 { "< 0.1".to_owned() } else { format!("{:.1}", self.memory_gb) }
    }
}

/// Computes a configuration, by the rules of nnU-Net's `get_plans_for_configuration`.
///
/// The first patch has the content of 256³ (or 2048²) voxels and the aspect ratio that makes it a cube in millimetres, and is
/// no larger than the median volume. While the network for it does not fit into memory, the patch is shortened along the axis
/// of which it covers most.
///
/// # Errors
/// When no patch fits into memory, or the spacing is not positive.
pub(crate) fn compute<const D: usize>(
    spacing: [f64; D],
    median_shape: [f64; D],
    task: &Task,
) -> Result<Computed<D>, PlanError> {
    if spacing.iter().any(|mm| !(*mm > 0.0 && mm.is_finite())) {
        return Err(PlanError::Spacing { spacing: spacing.to_vec() });
    }
    let reference = task.preset.reference(D);
    let available = reference.feature_map_size * (task.memory_gb / task.preset.memory_gb());
    let first_patch = first_patch(spacing, median_shape);
    let mut levels = topology(spacing, first_patch);
    let mut size = feature_map_size(&levels, task);
    while task.preset.required(size, D) > available {
        levels = shortened(&levels, spacing, median_shape);
        if levels.patch.iter().any(|voxels| *voxels < 1) {
            return Err(PlanError::Memory { memory_gb: task.memory_gb });
        }
        size = feature_map_size(&levels, task);
    }
    let relative = available / size as f64;
    let fits = (relative * reference.batch_size).round_ties_even() as i64;
    let patch_voxels = product(levels.patch.map(|voxels| voxels as f64));
    let of_dataset = (task.dataset_voxels * task.preset.max_batch_fraction() / patch_voxels).round_ties_even() as i64;
    let batch_size = fits.min(of_dataset).max(MIN_BATCH) as usize;
    let memory_gb =
        batch_size as f64 * size as f64 / reference.batch_size / reference.feature_map_size * task.preset.memory_gb();
    let batch = Batch { size: batch_size, fits, of_dataset, feature_map_size: size, memory_gb };
    Ok(Computed { widths: widths::<D>(levels.strides.len()), topology: levels, batch, first_patch })
}

fn first_patch<const D: usize>(spacing: [f64; D], median_shape: [f64; D]) -> [f64; D] {
    let aspect = spacing.map(|mm| 1.0 / mm);
    let edge: f64 = if D == 2 { FIRST_EDGE_2D } else { FIRST_EDGE_3D };
    let scale = (edge.powi(D as i32) / product(aspect)).powf(1.0 / D as f64);
    std::array::from_fn(|axis| (aspect[axis] * scale).round_ties_even().min(median_shape[axis]))
}

/// Returns the levels of the next smaller patch. The step is a multiple of the strides; since a shorter patch may be halved
/// less often, the strides are those of the patch that is shorter by one step.
fn shortened<const D: usize>(levels: &Topology<D>, spacing: [f64; D], median_shape: [f64; D]) -> Topology<D> {
    let covered = |axis: usize| levels.patch[axis] as f64 / median_shape[axis];
    let longest = (0..D).reduce(|best, axis| if covered(axis) >= covered(best) { axis } else { best }).unwrap_or(0);
    let mut shorter = levels.patch;
    shorter[longest] -= levels.divisible_by[longest];
    let step = topology(spacing, shorter.map(|voxels| voxels as f64)).divisible_by[longest];
    let mut patch = levels.patch;
    patch[longest] -= step;
    topology(spacing, patch.map(|voxels| voxels as f64))
}

fn widths<const D: usize>(levels: usize) -> Vec<usize> {
    let max = if D == 2 { MAX_WIDTH_2D } else { MAX_WIDTH_3D };
    (0..levels)
        .map(|level| FIRST_WIDTH.saturating_mul(1usize.checked_shl(level as u32).unwrap_or(0)).min(max))
        .collect()
}

fn feature_map_size<const D: usize>(levels: &Topology<D>, task: &Task) -> i64 {
    let widths = widths::<D>(levels.strides.len());
    let encoder = task.preset.encoder();
    let network = Network { encoder, strides: &levels.strides, widths: &widths, classes: task.classes };
    network.feature_map_size(levels.patch)
}

/// Returns the product of values, multiplied from the first to the last.
pub(crate) fn product<const D: usize>(values: [f64; D]) -> f64 {
    values.into_iter().fold(1.0, |product, value| product * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(preset: Preset) -> Task {
        Task { preset, memory_gb: preset.memory_gb(), classes: 3, dataset_voxels: 1e12 }
    }

    #[test]
    fn a_large_isotropic_volume_has_a_cube_of_128_voxels() {
        let computed = compute([1.0; 3], [512.0; 3], &task(Preset::Nnunet)).unwrap();
        assert_eq!((computed.topology.patch, computed.batch.size), ([128; 3], 2));
        assert_eq!(computed.widths, [32, 64, 128, 256, 320, 320]);
    }

    #[test]
    fn more_memory_gives_a_larger_patch() {
        let voxels = |memory_gb: f64| {
            let task = Task { memory_gb, ..task(Preset::ResencL) };
            compute([1.0; 3], [512.0; 3], &task).unwrap().topology.patch.iter().product::<i64>()
        };
        assert!(voxels(12.0) < voxels(24.0) && voxels(24.0) < voxels(48.0));
    }

    #[test]
    fn a_batch_of_the_default_planner_is_at_most_a_twentieth_of_the_dataset() {
        let few = Task { dataset_voxels: 60.0 * 40.0 * 56.0 * 40.0, ..task(Preset::Nnunet) };
        let computed = compute([1.0; 3], [36.0, 50.0, 35.0], &few).unwrap();
        assert_eq!((computed.topology.patch, computed.batch.size), ([40, 56, 40], 3));
        assert!(computed.batch.fits > 3);
    }

    #[test]
    fn too_little_memory_is_an_error() {
        let tiny = Task { memory_gb: 1e-9, ..task(Preset::Nnunet) };
        assert!(matches!(compute([1.0; 3], [64.0; 3], &tiny), Err(PlanError::Memory { .. })));
        assert!(matches!(compute([1.0, 0.0], [64.0; 2], &tiny), Err(PlanError::Spacing { .. })));
    }
}
